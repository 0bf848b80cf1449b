//! Names of versions, and which of them is wanted.

use super::*;
use crate::config::spec::EndpointAddress;

/// `v1@1 v2@2x`: version, birth, and `x` ended, `c` created only, `p` paused.
fn containers(text: &str) -> Vec<Container> {
    let read = |word: &str| {
        let (version, rest) = word.split_once('@').expect("a version and a birth");
        let born = rest.trim_end_matches(char::is_alphabetic).parse().expect("a birth");
        let run = match rest.trim_start_matches(|c: char| c.is_ascii_digit()) {
            "" => Run::Running,
            "x" => Run::Exited { code: 0, out_of_memory: false },
            "f" => Run::Exited { code: 1, out_of_memory: false },
            "c" => Run::Created,
            "p" => Run::Paused,
            other => panic!("{other} is no state"),
        };
        Container { run, ..web(version, born, &[]) }
    };
    text.split_whitespace().map(read).collect()
}

#[test]
fn the_version_that_came_last_is_wanted() {
    for (what, seen, (stable, wanted, kept), expected) in [
        ("one version", "v1@1", ("", "", vec![]), "v1"),
        ("at a first start users have the first", "v1@1 v2@2", ("", "", vec![]), "v1"),
        ("what ended before the first start is no version", "v1@1x v2@2", ("", "", vec![]), "v2"),
        ("nothing runs at the first start", "v1@1x v2@2x", ("", "", vec![]), "v2"),
        ("a new version", "v1@1 v2@2", ("v1", "v1", vec!["v1"]), "v2"),
        ("a new version that is not started", "v1@1 v2@2c", ("v1", "v1", vec!["v1"]), "v1"),
        ("a new version that ended at once", "v1@1 v2@2x", ("v1", "v1", vec!["v1"]), "v1"),
        ("a new version that failed at once", "v1@1 v2@2f", ("v1", "v1", vec!["v1"]), "v2"),
        ("an old version that failed long ago", "v1@2 v0@1f", ("v1", "v1", vec!["v1"]), "v1"),
        ("what failed before the first start", "v1@1f v2@2", ("", "", vec![]), "v2"),
        ("the old one is scaled up", "v1@1 v2@2 v1@3", ("v2", "v2", vec!["v2"]), "v2"),
        ("more of the canary", "v1@1 v2@2 v2@3", ("v1", "v2", vec!["v1", "v2"]), "v2"),
        ("the canary is stopped, not removed", "v1@1 v2@2x", ("v1", "v2", vec!["v1", "v2"]), "v2"),
        ("the canary is removed", "v1@1", ("v1", "v2", vec!["v1", "v2"]), "v1"),
        ("a newer one during a rollout", "v1@1 v2@2 v3@3", ("v1", "v2", vec!["v1", "v2"]), "v3"),
        ("the newer one is removed again", "v1@1 v2@2", ("v1", "v3", vec!["v1", "v3"]), "v2"),
        ("stable is gone during a rollout", "v2@2", ("v1", "v2", vec!["v1", "v2"]), "v2"),
        ("stable is made anew during a rollout", "v2@2 v1@3", ("v1", "v2", vec!["v1", "v2"]), "v2"),
        ("stable is made anew, the canary removed", "v1@3", ("v1", "v2", vec!["v1", "v2"]), "v1"),
        ("all stopped", "v1@1x v2@2x", ("v2", "v2", vec!["v2"]), "v2"),
        ("only what is not wanted is left, and stopped", "v2@2x", ("v1", "v1", vec!["v1"]), "v1"),
        ("a paused one is there", "v1@1 v2@2p", ("v1", "v1", vec!["v1"]), "v2"),
        ("an old version made anew is a way back", "v2@2 v1@3", ("v2", "v2", vec!["v2"]), "v1"),
    ] {
        let standings = of_web(standing(stable, wanted, &kept));
        let desired = Containers::default().desired(&file(""), &sighting(containers(seen)), &standings);
        assert_eq!(released(&desired, "web"), expected, "{what}: {}", said(&desired));
    }
}

#[test]
fn a_container_that_was_never_started_makes_no_service() {
    for (seen, served) in [("v1@1c", false), ("v1@1", true), ("v1@1x", true), ("v1@1c v2@2", true)] {
        let desired = Containers::default().desired(&file(""), &sighting(containers(seen)), &BTreeMap::new());
        assert_eq!(desired.spec.services.contains_key("web"), served, "{seen}");
    }
    let known = of_web(standing("v1", "v1", &["v1"]));
    let desired = Containers::default().desired(&file(""), &sighting(containers("v1@1c")), &known);
    assert!(desired.spec.services.contains_key("web"), "users know it");
}

#[test]
fn versions_of_the_config_were_always_there() {
    let file = file("[services.web.versions]\nv1.endpoints = ['a:1']");
    let mut merge = Containers::default();
    let first = merge.desired(&file, &sighting(containers("v2@2")), &BTreeMap::new());
    assert_eq!(released(&first, "web"), "v1");
    let standings = of_web(standing("v1", "v1", &["v1"]));
    let second = merge.desired(&file, &sighting(containers("v2@2")), &standings);
    assert_eq!(released(&second, "web"), "v2");
    assert_eq!(versions(&second, "web"), "v1[a:1] v2[172.17.0.2:8080]");
}

#[test]
fn a_version_is_called_as_its_labels_or_its_image_say() {
    const OCI: &str = "org.opencontainers.image.version";
    for (reference, labels, expected) in [
        ("web:1.4.0", vec![("adit.version", "v9"), (OCI, "1.5")], "v9"),
        ("web:1.4.0", vec![(OCI, "1.5")], "1.5"),
        ("registry.example:5000/team/web:1.4.0", vec![], "1.4.0"),
        ("registry.example:5000/team/web", vec![], "aaaaaaaaaaaa"),
        ("web:latest", vec![], "aaaaaaaaaaaa"),
        ("web:1.4.0@sha256:0123", vec![], "1.4.0"),
        ("web@sha256:0123", vec![], "aaaaaaaaaaaa"),
        ("sha256:0123", vec![], "aaaaaaaaaaaa"),
        ("web:1", vec![("adit.version", "1.0")], "1.0"),
        ("web:1", vec![("adit.version", "true")], "true"),
        ("web:1", vec![("adit.version", "007")], "007"),
        ("web:1", vec![("adit.version", "fix/the bug")], "fix-the-bug"),
        ("web:1", vec![("adit.version", "…")], "aaaaaaaaaaaa"),
        ("web:_x", vec![], "x"),
    ] {
        let labels = [labels, vec![("adit.service", "web")]].concat();
        let of_web = Container { image: image(reference, "aa"), ..container("web", 1, &labels) };
        assert_eq!(released(&desired([of_web]), "web"), expected, "{reference} {labels:?}");
    }
    let odd = container("web", 1, &[("adit.service", "web"), ("adit.version", "a/b")]);
    assert_said(
        &desired([odd]),
        &["container web: version \"a/b\" is called a-b: a name has letters, digits and `._+-`"],
    );
}

#[test]
fn a_tag_that_moved_is_another_version() {
    let tagged = |name: &str, born, id| {
        let labels = [("adit.service", "web")];
        Container { image: image("web:1.4", id), ..container(name, born, &labels) }
    };
    let both = || [tagged("new", 2, "bb"), tagged("old", 1, "aa")];
    let desired = desired(both());
    assert_eq!(versions(&desired, "web"), "1.4[172.17.0.1:8080] 1.4-bbbbbbbbbbbb[172.17.0.2:8080]");
    let moved = "container new: 1.4 stood for image aaaaaaaaaaaa and stands for bbbbbbbbbbbb here: this is version \
                 1.4-bbbbbbbbbbbb";
    assert_said(&desired, &[moved]);
    // What was recorded decides, not who is older; also when the first build is long gone.
    let mut standing = standing("1.4", "1.4", &[]);
    let build = Build { image_id: Some(image("", "bb").id), ..Build::default() };
    standing.builds.insert("1.4".into(), build);
    let known = Containers::default().desired(&file(""), &sighting(both()), &of_web(standing.clone()));
    assert_eq!(versions(&known, "web"), "1.4[172.17.0.2:8080] 1.4-aaaaaaaaaaaa[172.17.0.1:8080]");
    let later =
        Containers::default().desired(&file(""), &sighting([tagged("later", 3, "cc")]), &of_web(standing));
    assert_eq!(versions(&later, "web"), "1.4-cccccccccccc[172.17.0.3:8080]");
}

#[test]
fn a_build_is_known_by_image_commit_time_and_source() {
    let mut of_web = web("v1", 1, &[("org.opencontainers.image.revision", "4f2a91c")]);
    of_web.image = Image {
        digests: vec!["mirror/web@sha256:22".to_owned(), "registry.example/web@sha256:11".to_owned()],
        created: Some("2026-11-01T13:00:00+01:00".to_owned()),
        labels: BTreeMap::from([
            ("org.opencontainers.image.source".to_owned(), "https://git.example/web".to_owned()),
            ("org.opencontainers.image.revision".to_owned(), "the image's".to_owned()),
            ("org.opencontainers.image.created".to_owned(), "yesterday".to_owned()),
        ]),
        ..image("registry.example/web:1.4", "aa")
    };
    let desired = desired([of_web]);
    let build = &service(&desired, "web").versions["v1"].build;
    let text = |text: &str| Some(text.to_owned());
    let expected = Build {
        image: text("registry.example/web:1.4@sha256:11"),
        revision: text("4f2a91c"),
        created: text("2026-11-01T12:00:00Z"),
        source: text("https://git.example/web"),
        image_id: Some(image("", "aa").id),
    };
    assert_eq!(*build, expected);
    assert!(
        said(&desired).contains("label org.opencontainers.image.created does not count"),
        "{}",
        said(&desired)
    );
    assert!(desired.left_out.is_empty());
}

#[test]
fn versions_that_users_have_stay_without_containers() {
    let standings = of_web(standing("v1", "v2", &["v1", "v2"]));
    let desired = Containers::default().desired(&file(""), &sighting(containers("v2@2")), &standings);
    assert_eq!(versions(&desired, "web"), "v1[] v2[172.17.0.2:8080]");
    let ended = Containers::default().desired(&file(""), &sighting(containers("v1@1x v2@2")), &standings);
    assert!(ended.placed.values().any(|placed| placed.version.as_str() == "v1"), "{:?}", ended.placed);
    let web_v1 = &service(&ended, "web").versions["v1"];
    assert_eq!(web_v1.endpoints, ["172.17.0.1:8080".parse::<EndpointAddress>().expect("an endpoint")]);
}

#[test]
fn a_service_whose_containers_are_all_gone_lingers_until_it_is_forgotten() {
    let mut merge = Containers::default();
    let labels = [("adit.hosts", "shop.example")];
    let before = merge.desired(&file(""), &sighting([web("v1", 1, &labels)]), &BTreeMap::new());
    let standings = of_web(standing("v1", "v1", &["v1"]));
    for _ in 0..2 {
        let after = merge.desired(&file(""), &sighting([]), &standings);
        assert_eq!((versions(&after, "web"), released(&after, "web")), ("v1[]".to_owned(), "v1".to_owned()));
        assert_eq!(service(&after, "web").routes, service(&before, "web").routes);
        assert_eq!(after.lingering, BTreeSet::from([ServiceName::from("web")]));
    }
    merge.forget(&"web".into());
    assert!(merge.desired(&file(""), &sighting([]), &standings).spec.services.is_empty());
}
