//! By which address a container is reached.

use std::net::SocketAddr;

use super::*;
use crate::domain::container::Ports;

/// The endpoint of a container with these ports and labels, or what is said of it.
fn reached(site: Site, ports: Ports, labels: &[(&str, &str)], lines: &str) -> String {
    let labels =
        [labels, &[("adit.service", "web"), ("adit.version", "v1"), ("com.docker.compose.project", "shop")]];
    let of_web = Container { ports, ..container("web", 1, &labels.concat()) };
    let seen = Sighting { site, ..sighting([of_web]) };
    let desired = Containers::default().desired(&file(lines), &seen, &BTreeMap::new());
    match desired.left_out.values().next() {
        Some(why) => why.clone(),
        None => versions(&desired, "web"),
    }
}

fn ours(networks: &[&str]) -> Site {
    let networks = networks.iter().map(|name| (*name).to_owned()).collect();
    Site::Container { id: "adit".to_owned(), networks }
}

fn ports(networks: &[&str], published: &[&str]) -> Ports {
    let address = |(at, name): (usize, &&str)| ((*name).to_owned(), IpAddr::from([10, 0, at as u8, 1]));
    let published: Vec<SocketAddr> = published.iter().map(|text| text.parse().expect("an address")).collect();
    Ports {
        host_network: false,
        networks: networks.iter().enumerate().map(address).collect(),
        exposed: BTreeSet::from([8080]),
        published: if published.is_empty() { BTreeMap::new() } else { BTreeMap::from([(8080, published)]) },
    }
}

#[test]
fn a_container_is_reached_where_we_meet_it() {
    let network = |name| vec![("adit.network", name)];
    let host = |networks: &[&str], published: &[&str], labels: Vec<(&str, &str)>| {
        reached(Site::Host, ports(networks, published), &labels, "")
    };
    assert_eq!(host(&["a"], &["0.0.0.0:32768", "[::]:32768"], vec![]), "v1[127.0.0.1:32768]");
    assert_eq!(host(&["a"], &["192.0.2.7:90", "127.0.0.1:91"], vec![]), "v1[127.0.0.1:91]");
    assert_eq!(host(&["a"], &["192.0.2.7:90"], vec![]), "v1[192.0.2.7:90]");
    assert_eq!(host(&["a"], &[], vec![]), "v1[10.0.0.1:8080]");
    assert_eq!(host(&["a", "b"], &[], network("b")), "v1[10.0.1.1:8080]");
    let which = "label adit.network: it is in networks a, b: say which one to use";
    assert_eq!(host(&["a", "b"], &[], vec![]), which);
    assert_eq!(reached(Site::Host, ports(&["a", "b"], &[]), &[], "network = 'b'"), "v1[10.0.1.1:8080]");
    assert_eq!(host(&[], &[], vec![]), "label adit.network: it is in no network, and publishes no port");

    let inside = |site: &[&str], networks: &[&str], labels: Vec<(&str, &str)>| {
        reached(ours(site), ports(networks, &["0.0.0.0:32768"]), &labels, "")
    };
    assert_eq!(inside(&["b", "c"], &["a", "b", "c"], vec![]), "v1[10.0.1.1:8080]");
    assert_eq!(inside(&["b", "c"], &["a", "b", "c"], network("c")), "v1[10.0.2.1:8080]");
    assert_eq!(inside(&["shop_front"], &["a", "shop_front"], network("front")), "v1[10.0.1.1:8080]");
    let apart = "label adit.network: Adit shares no network with it: it is in a, Adit in b";
    assert_eq!(inside(&["b"], &["a"], vec![]), apart);
    assert_eq!(
        inside(&["b"], &["a", "b"], network("a")),
        "label adit.network: Adit is not in network a: attach it"
    );
    let elsewhere = "label adit.network: it is not in network d, but in: a, b";
    assert_eq!(inside(&["b"], &["a", "b"], network("d")), elsewhere);
    let preferred = reached(ours(&["a", "b"]), ports(&["a", "b"], &[]), &[], "network = 'b'");
    assert_eq!(preferred, "v1[10.0.1.1:8080]");
}

#[test]
fn a_container_with_its_hosts_network_is_reached_on_loopback() {
    let on_host = |exposed: &[u16]| Ports {
        host_network: true,
        exposed: exposed.iter().copied().collect(),
        ..Ports::default()
    };
    let port = [("adit.port", "9000")];
    assert_eq!(reached(Site::Host, on_host(&[]), &port, ""), "v1[127.0.0.1:9000]");
    let own = [("adit.port", "80")];
    let round = "label adit.port: 127.0.0.1:80 is a listener of Adit: requests would go round in circles";
    assert_eq!(reached(Site::Host, on_host(&[]), &own, ""), round);
    let from_inside = reached(ours(&["a"]), on_host(&[]), &port, "");
    assert!(from_inside.starts_with("it has its host's network"), "{from_inside}");
}

#[test]
fn the_port_is_the_only_one_or_the_one_that_is_said() {
    let exposing =
        |exposed: &[u16]| Ports { exposed: exposed.iter().copied().collect(), ..ports(&["a"], &[]) };
    let reached =
        |exposed: &[u16], labels: &[(&str, &str)]| reached(Site::Host, exposing(exposed), labels, "");
    assert_eq!(reached(&[3000], &[]), "v1[10.0.0.1:3000]");
    assert_eq!(reached(&[3000, 9090], &[("adit.port", "9090")]), "v1[10.0.0.1:9090]");
    assert_eq!(
        reached(&[], &[]),
        "label adit.port: it exposes no port: say with adit.port which one it listens on"
    );
    let which = "label adit.port: it exposes ports 3000, 9090: say with adit.port which one to use";
    assert_eq!(reached(&[3000, 9090], &[]), which);
    assert_eq!(reached(&[3000], &[("adit.port", "http")]), "label adit.port: \"http\" is not a whole number");
    assert_eq!(reached(&[3000], &[("adit.port", "0")]), "label adit.port: must be from 1 to 65535");
}

#[test]
fn an_address_serves_one_version() {
    let on_port = |version: &str, born| {
        let ports = Ports { host_network: true, ..Ports::default() };
        Container { ports, ..web(version, born, &[("adit.port", "9000")]) }
    };
    let two = desired([on_port("v1", 1), on_port("v2", 2)]);
    assert_eq!(versions(&two, "web"), "v1[127.0.0.1:9000]");
    let taken = "container web-v2-2: 127.0.0.1:9000 can serve only one version, and container web-v1-1 has that \
                 address; the container is left out";
    assert_said(&two, &[taken]);
    // What ended has given its address up.
    let ended = Container { run: Run::Exited { code: 0, out_of_memory: false }, ..on_port("v1", 1) };
    let after = desired([ended, on_port("v2", 2)]);
    assert_eq!(versions(&after, "web"), "v1[] v2[127.0.0.1:9000]");
    assert_said(&after, &[]);

    let file = file("[services.web.versions]\nv1.endpoints = ['127.0.0.1:9000']");
    let of_v1 = Containers::default().desired(&file, &sighting([on_port("v1", 1)]), &BTreeMap::new());
    assert_eq!(versions(&of_v1, "web"), "v1[127.0.0.1:9000]");
    assert_eq!(service(&of_v1, "web").versions["v1"].containers.len(), 1);
    let of_v2 = Containers::default().desired(&file, &sighting([on_port("v2", 2)]), &BTreeMap::new());
    assert_eq!(versions(&of_v2, "web"), "v1[127.0.0.1:9000]");
    assert!(said(&of_v2).contains("the config has that address in version v1"), "{}", said(&of_v2));
}
