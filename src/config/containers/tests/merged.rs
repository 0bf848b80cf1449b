//! Containers, their labels and the config in one.

use super::*;
use crate::config::spec::{Recover, ReleaseBy};
use crate::domain::rollout::Strategy;
use crate::domain::routing::{Affinity, HostPattern};

const V1: &[&str] = &["v1"];

#[test]
fn containers_that_ask_for_it_become_a_service() {
    let labels =
        [("adit.enable", "true"), ("com.docker.compose.service", "shop"), ("adit.recover", "restart")];
    let one = container("shop-1", 1, &labels);
    let desired = desired([one.clone(), container("shop-2", 2, &labels)]);
    let shop = service(&desired, "shop");
    assert_eq!(versions(&desired, "shop"), "aaaaaaaaaaaa[172.17.0.1:8080 172.17.0.2:8080]");
    assert_eq!((shop.release_by, shop.recover), (ReleaseBy::Containers, Recover::Restart));
    assert_eq!(shop.routes[0].host, HostPattern::Any);
    assert_eq!(shop.versions["aaaaaaaaaaaa"].containers.values().next(), Some(&Arc::new(one)));
    assert_said(&desired, &[]);
}

#[test]
fn who_does_not_ask_is_not_served() {
    let compose = ("com.docker.compose.service", "shop");
    let all = [
        container("off", 1, &[("adit.enable", "false"), ("adit.service", "web")]),
        container("once", 2, &[("adit.enable", "true"), compose, ("com.docker.compose.oneoff", "True")]),
        container("other", 3, &[compose]),
        container("unclear", 4, &[compose, ("adit.port", "80")]),
        container("nameless", 5, &[("adit.enable", "true")]),
        container("unsure", 6, &[("adit.enable", "yes"), compose]),
    ];
    let desired = desired(all);
    assert!(desired.spec.services.is_empty());
    assert_said(
        &desired,
        &[
            "container nameless: nothing says which service it belongs to: add adit.service; the container is left out",
            "container unclear: it has labels of Adit but not adit.enable=true: it is not served",
            "container unsure: label adit.enable: \"yes\" is not true or false; the container is left out",
        ],
    );
}

#[test]
fn a_wrong_label_leaves_a_new_container_out_and_keeps_stables() {
    let wrong = [("adit.health.interval", "2 parsecs"), ("adit.hots", "x"), ("adit.health.path", "/up")];
    let seen = sighting([web("v1", 1, &wrong), web("v2", 2, &wrong)]);
    let desired = Containers::default().desired(&file(""), &seen, &of_web(standing("v1", "v1", V1)));
    assert_eq!(
        (versions(&desired, "web"), released(&desired, "web")),
        ("v1[172.17.0.1:8080]".to_owned(), "v1".to_owned())
    );
    let health = service(&desired, "web").versions["v1"].health.clone().expect("a label says it");
    assert_eq!(health.path.as_deref(), Some("/up"));
    let form = "is not a duration";
    let notices: Vec<_> =
        desired.notices.iter().filter(|it| it.to_string().contains(form) && it.wrong).collect();
    assert_eq!(notices.len(), 2, "{}", said(&desired));
    assert!(said(&desired).contains("container web-v1-1: label adit.hots: there is no such label: did you mean adit.hosts?; the label does not count"), "{}", said(&desired));
    assert!(said(&desired).contains("container web-v2-2: label adit.hots: there is no such label: did you mean adit.hosts?; the container is left out"), "{}", said(&desired));
    assert_eq!(desired.left_out.len(), 1);
}

#[test]
fn stables_labels_count_and_for_the_rollout_the_wanted_versions() {
    let old = [("adit.hosts", "old.example"), ("adit.rollout.steps", "50,100"), ("adit.health.path", "/old")];
    let new = [
        ("adit.hosts", "new.example"),
        ("adit.rollout.strategy", "blue-green"),
        ("adit.rollout.preview_host", "preview.example"),
        ("adit.health.path", "/new"),
    ];
    let seen = sighting([web("v1", 1, &old), web("v2", 2, &new)]);
    let desired = Containers::default().desired(&file(""), &seen, &of_web(standing("v1", "v1", V1)));
    let merged = service(&desired, "web");
    assert_eq!(merged.routes[0].host, HostPattern::Exact("old.example".into()));
    assert_eq!(merged.rollout.strategy, Strategy::BlueGreen);
    assert_eq!(merged.policy.preview_host.as_deref(), Some("preview.example"));
    let path = |version| merged.versions[version].health.as_ref().and_then(|health| health.path.clone());
    assert_eq!((path("v1"), path("v2")), (Some("/old".to_owned()), Some("/new".to_owned())));
    let differs = "container web-v2-2: label adit.hosts: container web-v1-1 says \"old.example\", which counts while v1 is stable";
    assert_said(&desired, &[differs]);
    assert!(!desired.notices[0].wrong);
    // As soon as v2 is stable, its word counts.
    let later = Containers::default().desired(&file(""), &seen, &of_web(standing("v2", "v2", &["v2"])));
    assert_eq!(service(&later, "web").routes[0].host, HostPattern::Exact("new.example".into()));
}

#[test]
fn containers_of_one_version_that_disagree_are_told_apart() {
    let one = web("v1", 1, &[("adit.affinity.by", "cookie"), ("adit.port", "8080")]);
    let other =
        web("v1", 2, &[("adit.affinity.by", "ip"), ("adit.port", "9090"), ("adit.health.path", "/up")]);
    let desired = desired([other, one]);
    assert_eq!(service(&desired, "web").policy.affinity, Affinity::Cookie);
    assert_eq!(versions(&desired, "web"), "v1[172.17.0.1:8080 172.17.0.2:9090]");
    assert_said(
        &desired,
        &[
            "container web-v1-2: label adit.affinity.by: container web-v1-1 says \"cookie\", which was there before and counts",
            "container web-v1-2: label adit.health.path: container web-v1-1 does not have it, which was there before and counts",
        ],
    );
    assert!(desired.notices.iter().all(|notice| notice.wrong));
}

#[test]
fn the_configs_policy_wins_and_says_so() {
    let file = file("[services.web]\nhosts = ['shop.example']\naffinity.by = 'ip'");
    assert_eq!((file.services.len(), file.waiting.len()), (0, 1));
    let labels = [("adit.hosts", "x.example"), ("adit.affinity.by", "cookie"), ("adit.health.path", "/up")];
    let desired = Containers::default().desired(&file, &sighting([web("v1", 1, &labels)]), &BTreeMap::new());
    let merged = service(&desired, "web");
    assert_eq!(merged.policy.affinity, Affinity::Ip);
    assert_eq!(merged.routes[0].host, HostPattern::Exact("shop.example".into()));
    assert_eq!(merged.versions["v1"].health, None);
    assert!(desired.spec.waiting.is_empty());
    let idle = "service web: labels that don't count, because the config has the service: adit.affinity.by, \
                adit.health.path, adit.hosts";
    assert_said(&desired, &[idle]);
    let none = Containers::default().desired(&file, &sighting([]), &BTreeMap::new());
    assert_eq!((none.spec.services.len(), none.spec.waiting.len()), (0, 1));
}

#[test]
fn where_the_config_releases_containers_only_stand_by() {
    let config = |release: &str| {
        file(&format!(
            "[services.web]\nrelease = '{release}'\n[services.web.versions]\nv1.endpoints = ['a:1']"
        ))
    };
    let standings = of_web(standing("v1", "v1", &[]));
    let seen = sighting([web("v2", 2, &[])]);
    let desired = Containers::default().desired(&config("v1"), &seen, &standings);
    assert_eq!(
        (released(&desired, "web"), versions(&desired, "web")),
        ("v1".to_owned(), "v1[a:1] v2[172.17.0.2:8080]".to_owned())
    );
    let by = "service web: version v2 of its containers stands by: the config releases v1, until that is changed or \
              `adit deploy web --version v2` is said";
    assert_said(&desired, &[by]);
    let desired = Containers::default().desired(&config("v2"), &seen, &standings);
    assert_eq!(released(&desired, "web"), "v2");
    assert_said(&desired, &[]);
    // What is not there can't be released; users keep what they have.
    let desired = Containers::default().desired(&config("v3"), &seen, &standings);
    assert_eq!(released(&desired, "web"), "v1");
    assert!(
        said(&desired).contains("the config names version v3, and no container is of that version: v1 stays"),
        "{}",
        said(&desired)
    );
    let first = Containers::default().desired(&config("v3"), &seen, &BTreeMap::new());
    assert!(first.spec.services.is_empty() && first.spec.waiting.len() == 1 && first.left_out.len() == 1);
}

#[test]
fn fixed_weights_may_name_versions_of_containers() {
    let file = file("[services.web]\nweights = { v1 = 90, v2 = 10 }");
    let desired = |seen| Containers::default().desired(&file, &sighting(seen), &BTreeMap::new());
    let both = desired(vec![web("v1", 1, &[]), web("v2", 2, &[])]);
    assert!(matches!(service(&both, "web").traffic, Traffic::Weights(_)));
    let one = desired(vec![web("v1", 1, &[])]);
    assert!(one.spec.services.is_empty() && said(&one).contains("version v2"), "{}", said(&one));
}

#[test]
fn a_route_leads_to_one_service() {
    let of = |service: &str, born, hosts: &str| {
        container(service, born, &[("adit.service", service), ("adit.hosts", hosts)])
    };
    let file = file("[services.shop]\nhosts = ['a.example']\nversions.v1.endpoints = ['a:1']");
    let seen = sighting([
        of("one", 1, "a.example"),
        of("two", 2, "b.example"),
        of("three", 3, "b.example"),
        of("four", 4, "d.example"),
    ]);
    let mut merge = Containers::default();
    let desired = merge.desired(&file, &seen, &BTreeMap::new());
    let names: Vec<_> = desired.spec.services.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["four", "shop", "two"]);
    assert_eq!(desired.left_out.len(), 2);
    assert_said(
        &desired,
        &[
            "service one: a.example leads to service shop already: give it another adit.hosts or adit.path; the service is left out",
            "service three: b.example leads to service two already: give it another adit.hosts or adit.path; the service is left out",
        ],
    );
    // A service that is there does not go because its new labels clash: it stays as it was.
    let seen = sighting([of("two", 2, "b.example"), of("four", 4, "b.example")]);
    let desired = merge.desired(&file, &seen, &BTreeMap::new());
    assert_eq!(service(&desired, "four").routes[0].host, HostPattern::Exact("d.example".into()));
    assert!(said(&desired).contains("it keeps the routes that it had"), "{}", said(&desired));
}

#[test]
fn a_preview_has_a_host_of_its_own() {
    let labels = [("adit.hosts", "a.example"), ("adit.rollout.preview_host", "a.example")];
    let desired = desired([web("v1", 1, &labels)]);
    assert_eq!(service(&desired, "web").policy.preview_host, None);
    assert_said(
        &desired,
        &["service web: the preview's host a.example leads elsewhere already: there is no preview by host"],
    );
}

#[test]
fn what_did_not_change_is_the_same_in_memory() {
    let file = file(
        "[services.api]\nhosts = ['api.example']\nversions.v1.endpoints = ['a:1']\nrelease = 'v1'\n[services.web]",
    );
    let other = container("shop", 9, &[("adit.service", "shop"), ("adit.hosts", "shop.example")]);
    let mut merge = Containers::default();
    let first = merge.desired(&file, &sighting([web("v1", 1, &[]), other.clone()]), &BTreeMap::new());
    let second =
        merge.desired(&file, &sighting([web("v1", 1, &[]), web("v1", 2, &[]), other]), &BTreeMap::new());
    let same = |name: &str| Arc::ptr_eq(&first.spec.services[name], &second.spec.services[name]);
    assert!(same("shop") && !same("web"));
    assert!(Arc::ptr_eq(&file.services["api"], &second.spec.services["api"]));
}

#[test]
fn labels_of_an_image_count_as_its_containers_own() {
    let mut of_web = web("v1", 1, &[("adit.affinity.by", "ip")]);
    of_web.image.labels.insert("adit.affinity.by".to_owned(), "cookie".to_owned());
    of_web.image.labels.insert("adit.hosts".to_owned(), "shop.example".to_owned());
    let desired = desired([of_web]);
    let merged = service(&desired, "web");
    assert_eq!((merged.policy.affinity.clone(), merged.routes.len()), (Affinity::Ip, 1));
    assert_eq!(merged.routes[0].host, HostPattern::Exact("shop.example".into()));
}

#[test]
fn with_a_docker_table_services_need_no_versions() {
    let spec = file("endpoint = 'tcp://127.0.0.1:2375'\nrelist = '5s'\n[services.web]\nrecover = 'restart'");
    let docker = spec.docker.expect("the table is there");
    assert_eq!((docker.endpoint.as_deref(), docker.relist.as_secs()), (Some("tcp://127.0.0.1:2375"), 5));
    let web = &spec.waiting["web"];
    assert_eq!(
        (web.release_by, web.recover, web.can_be_served()),
        (ReleaseBy::Containers, Recover::Restart, false)
    );
    let several = file("[services.web.versions]\nv1.endpoints = ['a:1']\nv2.endpoints = ['a:2']");
    assert_eq!(several.services["web"].release_by, ReleaseBy::Containers);
    let named = file("[services.web]\nrelease = 'v1'\nversions.v1.endpoints = ['a:1']");
    assert_eq!(named.services["web"].release_by, ReleaseBy::Config);
    assert_eq!(file("").docker.map(|docker| docker.relist.as_secs()), Some(30));
}
