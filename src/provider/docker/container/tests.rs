//! What a real engine (20.10) said of real containers: `tests/vectors/docker`.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::domain::container::Withheld;

const ALL: [&str; 13] = [
    "created",
    "exited",
    "healthy",
    "host",
    "networks",
    "oom",
    "paused",
    "plain",
    "published",
    "restarting",
    "sidecar",
    "starting",
    "unhealthy",
];

fn recorded(name: &str) -> String {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/docker").join(format!("{name}.json"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn parsed(name: &str) -> Value {
    serde_json::from_str(&recorded(name)).expect(name)
}

fn seen(json: Value) -> Option<Seen> {
    let image = serde_json::from_str(&recorded("image")).expect("the image");
    read(serde_json::from_value(json).ok()?, image_of(image))
}

fn image_of(inspected: ImageInspect) -> Image {
    image(inspected)
}

fn container(name: &str) -> Container {
    seen(parsed(name)).expect(name).container
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

#[test]
fn a_plain_container_is_told_whole() {
    let seen = seen(parsed("plain")).expect("a container");
    assert_eq!(seen.stop, Stop { signal: Signal::TERM, timeout: Duration::from_secs(10) });
    assert!(seen.started.starts_with("2026-11-21T15:40:"), "{}", seen.started);
    let container = seen.container;
    assert_eq!(container.id.len(), 64);
    assert_eq!(container.name, "web-plain");
    assert_eq!(container.created.to_string().get(..16), Some("2026-11-21T15:40"));
    assert_eq!(container.labels.get("adit.service").map(String::as_str), Some("web"));
    assert_eq!((container.run, container.health, container.withheld()), (Run::Running, None, None));
    assert_eq!(container.ports.networks, BTreeMap::from([("bridge".to_owned(), ip("172.17.0.2"))]));
    assert_eq!(container.ports.exposed, BTreeSet::from([8080]));
    assert_eq!(container.ports.published, BTreeMap::new());
    assert!(!container.ports.host_network);
}

#[test]
fn an_image_that_was_built_here_has_its_labels_and_its_time_and_no_digest() {
    let image = container("plain").image;
    assert_eq!(image.reference, "web:1.4.0");
    assert!(image.id.starts_with("sha256:") && image.id.len() == 71, "{}", image.id);
    assert_eq!(image.digests, Vec::<String>::new());
    assert!(image.created.is_some_and(|created| created.starts_with("2026-11-21T")));
    let label = |name: &str| image.labels.get(name).map(String::as_str);
    assert_eq!(label("org.opencontainers.image.version"), Some("1.4.0"));
    assert_eq!(label("org.opencontainers.image.revision"), Some("0a1b2c3d"));
}

#[test]
fn an_image_from_a_registry_has_the_digests_that_name_it() {
    let mut json = parsed("image");
    json["RepoDigests"] =
        serde_json::json!(["r.example/web@sha256:bb", "<none>@<none>", "a.example/web@sha256:aa"]);
    let image = image(serde_json::from_value(json).expect("an image"));
    assert_eq!(image.digests, ["a.example/web@sha256:aa", "r.example/web@sha256:bb"]);
}

#[test]
fn every_state_of_a_process_has_its_word() {
    let cases = [
        ("plain", Run::Running),
        ("created", Run::Created),
        ("paused", Run::Paused),
        ("restarting", Run::Restarting),
        ("exited", Run::Exited { code: 3, out_of_memory: false }),
        ("oom", Run::Exited { code: 137, out_of_memory: true }),
    ];
    for (name, run) in cases {
        assert_eq!(container(name).run, run, "{name}");
    }
    for (status, run) in [("removing", Run::Removed), ("dead", Run::Removed), ("stopping", Run::Stopping)] {
        let mut json = parsed("plain");
        json["State"]["Status"] = status.into();
        assert_eq!(seen(json).expect(status).container.run, run, "{status}");
    }
}

#[test]
fn without_a_word_for_its_state_the_flags_tell() {
    for (name, run) in [("plain", Run::Running), ("paused", Run::Paused), ("restarting", Run::Restarting)] {
        let mut json = parsed(name);
        json["State"]["Status"] = Value::Null;
        assert_eq!(seen(json).expect(name).container.run, run, "{name}");
    }
}

#[test]
fn every_state_of_a_health_check_has_its_word() {
    let cases = [
        ("plain", None, None),
        ("starting", Some(Health::Starting), Some(Withheld::NotHealthy(Health::Starting))),
        ("healthy", Some(Health::Healthy), None),
        ("unhealthy", Some(Health::Unhealthy), Some(Withheld::NotHealthy(Health::Unhealthy))),
    ];
    for (name, health, withheld) in cases {
        let container = container(name);
        assert_eq!((container.health, container.withheld()), (health, withheld), "{name}");
    }
    let mut json = parsed("healthy");
    json["State"]["Health"]["Status"] = "none".into();
    assert_eq!(seen(json).expect("a container").container.health, None, "a check that was switched off");
}

#[test]
fn a_container_of_several_networks_has_an_address_in_each() {
    let seen = seen(parsed("networks")).expect("a container");
    let networks = [("net-a".to_owned(), ip("172.18.0.2")), ("net-b".to_owned(), ip("172.19.0.2"))];
    assert_eq!(seen.container.ports.networks, BTreeMap::from(networks));
    assert_eq!(seen.container.labels.get("com.docker.compose.service").map(String::as_str), Some("web"));
    assert_eq!(seen.stop.timeout, Duration::from_secs(25));
    assert!(Signal::read("SIGQUIT") == Some(seen.stop.signal));
}

#[test]
fn a_network_of_ipv6_alone_gives_an_address_too() {
    let mut json = parsed("plain");
    json["NetworkSettings"]["Networks"]["bridge"]["IPAddress"] = "".into();
    json["NetworkSettings"]["Networks"]["bridge"]["GlobalIPv6Address"] = "fd00::2".into();
    let ports = seen(json).expect("a container").container.ports;
    assert_eq!(ports.networks, BTreeMap::from([("bridge".to_owned(), ip("fd00::2"))]));
}

#[test]
fn a_container_on_its_hosts_network_says_so_and_has_no_address() {
    let ports = container("host").ports;
    assert!(ports.host_network);
    assert_eq!(ports.networks, BTreeMap::new());
}

#[test]
fn published_ports_are_told_for_tcp_on_both_families() {
    let ports = container("published").ports;
    let at = |texts: &[&str]| texts.iter().map(|text| text.parse().expect(text)).collect::<Vec<SocketAddr>>();
    let published = [(8080, at(&["0.0.0.0:18080", "[::]:18080"])), (8081, at(&["127.0.0.1:18081"]))];
    assert_eq!(ports.published, BTreeMap::from(published));
    assert_eq!(ports.exposed, BTreeSet::from([8080, 8081]), "53/udp is no door for us");
}

#[test]
fn a_sidecar_lives_in_the_network_of_another() {
    let inspected: ContainerInspectResponse =
        serde_json::from_str(&recorded("sidecar")).expect("a container");
    assert_eq!(shares_network_of(&inspected), Some(container("plain").id.as_str()));
}

#[test]
fn who_asks_to_be_served_says_so_by_a_label() {
    let cases = [
        (vec![], false),
        (vec![("adit.port", "80")], false),
        (vec![("adit.service", "web")], true),
        (vec![("adit.enable", "true")], true),
        (vec![("adit.enable", "yes")], true),
        (vec![("adit.enable", "false")], false),
        (vec![("adit.enable", "false"), ("adit.service", "web")], false),
    ];
    for (labels, asks) in cases {
        let map = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(asks_to_be_served(&map), asks, "{labels:?}");
    }
}

#[test]
fn absurd_values_are_left_out() {
    let mut json = parsed("published");
    json["Created"] = "0001-01-01T00:00:00Z".into();
    json["Name"] = "".into();
    json["Config"]["StopSignal"] = "SIGNAL".into();
    json["Config"]["StopTimeout"] = (-1).into();
    json["Config"]["ExposedPorts"] =
        serde_json::json!({"0/tcp": {}, "99999/tcp": {}, "many": {}, "": {}, "/": {}, "70": {}});
    json["NetworkSettings"]["Networks"] = serde_json::json!({
        "none": {"IPAddress": "0.0.0.0"}, "odd": {"IPAddress": "somewhere"}, "": {"IPAddress": "10.0.0.1"}, "null": {},
    });
    json["NetworkSettings"]["Ports"] = serde_json::json!({
        "80/tcp": [{"HostIp": "x", "HostPort": "1"}, {"HostPort": "0"}, {"HostIp": ""}, {"HostPort": "-1"}],
        "81/tcp": null, "82/tcp": [], "83/tcp": [{"HostIp": "", "HostPort": "8083"}, {"HostPort": "8083"}], "x/tcp": [{}],
    });
    let seen = seen(json).expect("a container");
    assert_eq!(seen.stop, Stop { signal: Signal::TERM, timeout: LONGEST_STOP });
    let container = seen.container;
    assert_eq!((container.created, container.name.as_str()), (Timestamp::default(), ""));
    assert_eq!(container.ports.networks, BTreeMap::from([(String::new(), ip("10.0.0.1"))]));
    assert_eq!(container.ports.exposed, BTreeSet::from([70, 80, 81, 82, 83]));
    let there = "0.0.0.0:8083".parse().expect("an address");
    assert_eq!(container.ports.published, BTreeMap::from([(83, vec![there])]));
}

/// Every place in a JSON value, as the way that leads there.
fn places(json: &Value, way: &str, found: &mut Vec<String>) {
    if !way.is_empty() {
        found.push(way.to_owned());
    }
    match json {
        Value::Object(fields) => {
            for (name, field) in fields {
                places(field, &format!("{way}/{}", name.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                places(item, &format!("{way}/{index}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn odd() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(Value::from("")),
        Just(Value::from("\u{0}/é:-1")),
        Just(Value::from(i64::MIN)),
        Just(Value::from(u64::MAX)),
        Just(serde_json::json!([])),
        Just(serde_json::json!({})),
        "[ -~]{0,12}".prop_map(Value::from),
    ]
}

proptest! {
    #[test]
    fn whatever_an_engine_says_nothing_breaks(
        name in prop::sample::select(&ALL[..]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), odd()), 1..6),
    ) {
        let mut json = parsed(name);
        for (which, value) in changes {
            let mut ways = Vec::new();
            places(&json, "", &mut ways);
            if ways.is_empty() { break; }
            if let Some(place) = json.pointer_mut(which.get(&ways).as_str()) {
                *place = value;
            }
        }
        let _told = seen(json);
    }
}

#[test]
fn each_field_may_be_missing() {
    for name in ALL {
        let whole = parsed(name);
        let mut ways = Vec::new();
        places(&whole, "", &mut ways);
        for way in ways {
            let (above, field) = way.rsplit_once('/').expect("a way begins with a slash");
            let mut json = whole.clone();
            let Some(Value::Object(fields)) = json.pointer_mut(above) else { continue };
            fields.remove(&field.replace("~1", "/").replace("~0", "~"));
            let told = seen(json);
            // What bollard insists on, though nobody reads it here; no engine leaves it out.
            let insisted = way.starts_with("/GraphDriver/");
            assert!(told.is_some() || way == "/Id" || insisted, "{name} without {way} is not told at all");
        }
    }
}
