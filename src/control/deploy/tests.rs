//! Orders, what is kept of them, and what is wanted in the end.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use proptest::prelude::{Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::order::{DeployOrder, Site};
use super::overlay::{clash, overlay};
use super::record::Deployments;
use super::{CommandError, DeployError};
use crate::config::parse;
use crate::config::spec::{ServiceSpec, Spec, Traffic};
use crate::control::By;
use crate::domain::rollout::{Event, Machine, Operator, Wanted};
use crate::domain::{ServiceName, Timestamp, VersionName};

const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

/// A config whose service `web` has `lines`.
fn config(lines: &str) -> Spec {
    let text = format!("[[listeners]]\naddress = '127.0.0.1:8080'\n[services.web]\n{lines}");
    parse(&text, &|_| None).unwrap_or_else(|errors| panic!("{errors}"))
}

fn one_version() -> Spec {
    config("release = 'v1'\nversions.v1.endpoints = ['127.0.0.1:9001']")
}

fn two_versions(release: &str) -> Spec {
    config(&format!(
        "release = '{release}'\nversions.v1.endpoints = ['127.0.0.1:9001']\nversions.v2.endpoints = ['127.0.0.1:9002']"
    ))
}

fn order(version: &str, ports: &[u16]) -> DeployOrder {
    DeployOrder {
        version: version.to_owned(),
        endpoints: ports.iter().map(|port| format!("127.0.0.1:{port}")).collect(),
        ..DeployOrder::default()
    }
}

/// A service under a config, with what was deployed and where its rollouts stand.
struct World {
    file: Spec,
    record: Deployments,
    machine: Machine,
}

impl World {
    fn new(file: Spec) -> Self {
        Self { file, record: Deployments::default(), machine: Machine::first("v1".into()) }
    }

    fn service(&self) -> &ServiceSpec {
        &self.file.services["web"]
    }

    fn prepare(&self, order: &DeployOrder) -> Result<Deployments, DeployError> {
        let listeners: [SocketAddr; 1] = ["127.0.0.1:8080".parse().unwrap()];
        let record = self.record.current(self.service(), Some(&self.machine));
        let site =
            Site { file: self.service(), record: &record, machine: &self.machine, listeners: &listeners };
        order.prepare(&site, &By { who: "ci".into(), why: order.why.clone() }, NOW)
    }

    /// As control does it.
    fn deploy(&mut self, order: &DeployOrder) -> Result<(), DeployError> {
        self.record = self.prepare(order)?;
        self.want();
        Ok(())
    }

    fn reload(&mut self, file: Spec) {
        self.file = file;
        self.record = self.record.current(self.service(), Some(&self.machine));
        self.want();
    }

    fn want(&mut self) {
        let wanted = self.wanted();
        let Traffic::Release(release) = &wanted.traffic else { return };
        let plan = &wanted.rollout;
        self.machine.on(NOW, Event::Wanted(Wanted { release, plan, salt: (0, 0) }));
        self.machine.on(NOW, Event::Readiness { canary: true, stable: true });
    }

    fn promote(&mut self) {
        self.machine.operator(NOW, Operator::PromoteFull).unwrap();
    }

    fn wanted(&self) -> ServiceSpec {
        let deployments = BTreeMap::from([(ServiceName::from("web"), self.record.clone())]);
        overlay(&self.file, &deployments).services["web"].as_ref().clone()
    }

    /// The wanted version, and all versions that there are.
    fn shown(&self) -> (String, Vec<String>) {
        let wanted = self.wanted();
        let Traffic::Release(release) = &wanted.traffic else { return ("weights".into(), Vec::new()) };
        (release.to_string(), wanted.versions.keys().map(ToString::to_string).collect())
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn invalid(result: Result<Deployments, DeployError>) -> String {
    match result {
        Err(DeployError::Invalid(what)) => what,
        other => panic!("{other:?}"),
    }
}

fn conflict<T: std::fmt::Debug>(result: Result<T, DeployError>) -> String {
    match result {
        Err(DeployError::Refused(CommandError::Conflict(what))) => what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_deployed_version_is_added_and_wanted() {
    let mut world = World::new(one_version());
    world.deploy(&order("v2", &[9002, 9012])).unwrap();
    assert_eq!(world.shown(), ("v2".into(), names(&["v1", "v2"])));
    let endpoints = &world.wanted().versions["v2"].endpoints;
    assert_eq!(
        endpoints.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["127.0.0.1:9002", "127.0.0.1:9012"]
    );
}

#[test]
fn nothing_deployed_leaves_the_config_as_it_is() {
    let file = two_versions("v2");
    assert_eq!(overlay(&file, &BTreeMap::new()), file);
    let nothing = BTreeMap::from([(ServiceName::from("web"), Deployments::default())]);
    assert_eq!(overlay(&file, &nothing), file);
}

#[test]
fn what_is_kept_reads_as_it_was_written() {
    let mut world = World::new(one_version());
    let image = Some("r/web@sha256:aa".to_owned());
    world.deploy(&DeployOrder { image, why: Some("w".into()), ..order("v2", &[9002]) }).unwrap();
    let text = serde_json::to_string(&world.record).unwrap();
    assert_eq!(serde_json::from_str::<Deployments>(&text).unwrap(), world.record, "{text}");
}

#[test]
fn the_order_counts_until_the_config_names_another_release_and_then_no_more() {
    let mut world = World::new(two_versions("v1"));
    world.deploy(&order("v3", &[9003])).unwrap();
    world.reload(two_versions("v1"));
    assert_eq!(world.shown().0, "v3", "the config says what it said before");
    world.reload(two_versions("v2"));
    assert_eq!(world.shown().0, "v2");
    world.reload(two_versions("v1"));
    assert_eq!(world.shown().0, "v1", "an order that ended does not come back");
}

#[test]
fn a_config_that_changes_only_release_keeps_the_deployed_stable() {
    let mut world = World::new(two_versions("v1"));
    world.deploy(&order("v3", &[9003])).unwrap();
    world.promote();
    world.reload(two_versions("v2"));
    assert_eq!(world.shown(), ("v2".into(), names(&["v1", "v2", "v3"])));
    assert_eq!(world.machine.stable().as_str(), "v3");
}

#[test]
fn fixed_weights_in_the_config_end_the_order() {
    let mut world = World::new(two_versions("v1"));
    world.deploy(&order("v3", &[9003])).unwrap();
    let weights = config(
        "weights = { v1 = 50, v2 = 50 }\nversions.v1.endpoints = ['a:1']\nversions.v2.endpoints = ['b:1']",
    );
    world.reload(weights.clone());
    assert_eq!(world.wanted(), *weights.services["web"]);
    world.reload(two_versions("v1"));
    assert_eq!(world.shown().0, "v1");
}

#[test]
fn only_what_is_wanted_or_used_or_the_way_back_is_kept() {
    let mut world = World::new(one_version());
    for number in 2..30_u16 {
        world.deploy(&order(&format!("v{number}"), &[9000 + number])).unwrap();
        world.promote();
    }
    assert_eq!(world.shown(), ("v29".into(), names(&["v1", "v27", "v28", "v29"])));
    let mut aborting = World::new(one_version());
    for number in 2..30_u16 {
        aborting.deploy(&order(&format!("v{number}"), &[9000 + number])).unwrap();
        aborting.machine.operator(NOW, Operator::Abort).unwrap();
    }
    assert_eq!(aborting.shown(), ("v29".into(), names(&["v1", "v29"])));
}

#[test]
fn the_way_back_survives_an_abort() {
    let mut world = World::new(one_version());
    for (version, port) in [("v2", 9002), ("v3", 9003)] {
        world.deploy(&order(version, &[port])).unwrap();
        world.promote();
    }
    for (version, port) in [("v4", 9004), ("v5", 9005)] {
        world.deploy(&order(version, &[port])).unwrap();
        world.machine.operator(NOW, Operator::Abort).unwrap();
    }
    assert_eq!(world.shown().1, names(&["v1", "v2", "v3", "v5"]));
}

#[test]
fn two_slots_can_take_turns() {
    let mut world = World::new(one_version());
    for number in 2..10_u16 {
        world.deploy(&order(&format!("v{number}"), &[9001 + (number + 1) % 2])).unwrap();
        world.promote();
        let wanted = world.wanted();
        assert_eq!(clash(&wanted), None, "{wanted:?}");
        assert!(wanted.versions.contains_key(world.machine.stable()));
    }
    assert_eq!(world.shown(), ("v9".into(), names(&["v8", "v9"])), "v1's endpoint serves v9");
}

#[test]
fn an_endpoint_that_users_have_is_not_given_to_another_version() {
    let mut world = World::new(one_version());
    let why = invalid(world.prepare(&order("v2", &[9001])));
    assert!(why.contains("127.0.0.1:9001") && why.contains("v1"), "{why}");
    world.deploy(&order("v2", &[9002])).unwrap();
    let replacing = DeployOrder { replace: true, ..order("v3", &[9002]) };
    world.deploy(&replacing).unwrap();
    assert_eq!(world.shown(), ("v3".into(), names(&["v1", "v3"])));
}

#[test]
fn all_that_is_wrong_with_an_order_is_said_at_once() {
    let world = World::new(one_version());
    let bad = DeployOrder {
        version: "v 2".into(),
        endpoints: names(&["web", "127.0.0.1:8080", "a:1", "a:1", "127.0.0.1:9001"]),
        image: Some("no image".into()),
        revision: Some(String::new()),
        created: Some("yesterday".into()),
        ..DeployOrder::default()
    };
    let why = invalid(world.prepare(&bad));
    for part in [
        "`version`: \"v 2\" is not a name",
        "endpoints[0]: `web` is not an endpoint: the port is missing: write `web:8080`",
        "endpoints[1]: 127.0.0.1:8080 is a listener of Adit",
        "endpoints[3]: a:1 is named twice",
        "127.0.0.1:9001 is already an endpoint of version v1",
        "`image`: ",
        "`revision`: ",
        "`created`: ",
    ] {
        assert!(why.contains(part), "{part} is missing in:\n{why}");
    }
    let nothing = invalid(world.prepare(&DeployOrder::default()));
    assert!(
        nothing.contains("`version` is missing") && nothing.contains("`endpoints` is missing"),
        "{nothing}"
    );
}

#[test]
fn a_version_of_the_config_may_be_deployed_as_it_is() {
    let mut world = World::new(two_versions("v1"));
    for same in [order("v2", &[9002]), order("v2", &[])] {
        world.deploy(&same).unwrap();
        assert_eq!(world.shown(), ("v2".into(), names(&["v1", "v2"])));
    }
    assert_eq!(world.record.builds().count(), 0, "the config has it, the record need not");
}

#[test]
fn a_version_of_the_config_can_not_be_changed_by_a_deploy() {
    let world = World::new(two_versions("v1"));
    let other_image = DeployOrder { image: Some("web:2".into()), ..order("v2", &[9002]) };
    for (other, key) in [(order("v2", &[9003]), "`endpoints`"), (other_image, "`image`")] {
        let why = conflict(world.prepare(&other));
        assert!(why.contains("services.web.versions.v2") && why.contains(key), "{why}");
    }
}

#[test]
fn a_second_version_has_to_wait_or_to_replace_the_first() {
    let mut world = World::new(one_version());
    world.deploy(&order("v2", &[9002])).unwrap();
    let why = conflict(world.prepare(&order("v3", &[9003])));
    for part in ["rollout 1 of v2", "by ci", "2023-11-14", "adit abort web", "--replace"] {
        assert!(why.contains(part), "{part} is missing in: {why}");
    }
    world.deploy(&DeployOrder { replace: true, ..order("v3", &[9003]) }).unwrap();
    let canary = world.machine.rollout().map(|rollout| rollout.canary.clone());
    assert_eq!(canary, Some(VersionName::from("v3")));
}

#[test]
fn the_same_order_again_changes_nothing() {
    let mut world = World::new(one_version());
    let order = DeployOrder { image: Some("r/web@sha256:aa".into()), ..order("v2", &[9002]) };
    world.deploy(&order).unwrap();
    let before = (world.record.clone(), world.machine.clone());
    world.deploy(&order).unwrap();
    assert_eq!((&world.record, world.machine.next_number()), (&before.0, before.1.next_number()));
    let brief = DeployOrder { image: None, endpoints: Vec::new(), ..order };
    assert_eq!(world.prepare(&brief).unwrap(), before.0, "what is left open is as it is known");
}

fn with_image(order: DeployOrder, image: &str) -> DeployOrder {
    DeployOrder { image: Some(image.to_owned()), ..order }
}

fn ports(world: &World, version: &str) -> Vec<String> {
    world.wanted().versions[version].endpoints.iter().map(ToString::to_string).collect()
}

#[test]
fn a_version_that_users_have_moves_only_when_equal_digests_prove_that_it_is_the_same_build() {
    let mut world = World::new(one_version());
    world.deploy(&with_image(order("v2", &[9002]), "r/web:2@sha256:aa")).unwrap();
    for (port, role) in [(9102, "the canary"), (9202, "stable")] {
        let before = ports(&world, "v2");
        for unproven in [
            order("v2", &[port]),
            DeployOrder { replace: true, ..order("v2", &[port]) },
            order("v2", &[9002, port]),
        ] {
            let why = conflict(world.prepare(&unproven));
            let words = format!("v2 is {role} with {}; other endpoints", before.join(", "));
            assert!(why.starts_with(&words) && why.contains("name@sha256:…"), "{why}");
        }
        world.deploy(&with_image(order("v2", &[port]), "r/web@sha256:aa")).unwrap();
        assert_eq!(ports(&world, "v2"), [format!("127.0.0.1:{port}")]);
        assert_eq!(world.machine.next_number(), 2, "it is the same rollout");
        drop(world.machine.operator(NOW, Operator::PromoteFull));
    }
}

#[test]
fn a_version_that_users_have_without_a_digest_does_not_move_at_all() {
    let mut world = World::new(one_version());
    world.deploy(&with_image(order("v2", &[9002]), "r/web:2")).unwrap();
    world.promote();
    let why = conflict(world.prepare(&with_image(order("v2", &[9102]), "r/web:2")));
    assert!(why.contains("v2 is stable with 127.0.0.1:9002") && why.contains("without a digest"), "{why}");
}

#[test]
fn a_version_that_users_have_gets_no_other_image() {
    for (known, other) in [
        (None, "r/web:3"),
        (None, "r/web@sha256:bb"),
        (Some("r/web:2"), "r/web:3"),
        (Some("r/web:2"), "r/web:2@sha256:aa"),
        (Some("r/web@sha256:aa"), "r/web@sha256:bb"),
        (Some("r/web@sha256:aa"), "r/web:2"),
    ] {
        let mut world = World::new(one_version());
        let first = DeployOrder { image: known.map(str::to_owned), ..order("v2", &[9002]) };
        world.deploy(&first).unwrap();
        for role in ["the canary", "stable"] {
            for endpoints in [&[9002][..], &[9102]] {
                let why = conflict(world.prepare(&with_image(order("v2", endpoints), other)));
                let words = format!("v2 is {role} with {}; `{other}`", known.unwrap_or("no image"));
                assert!(why.starts_with(&words), "{why}");
            }
            world.deploy(&first).unwrap();
            drop(world.machine.operator(NOW, Operator::PromoteFull));
        }
    }
}

#[test]
fn an_aborted_version_may_be_deployed_with_other_endpoints_and_another_tag() {
    let mut world = World::new(one_version());
    world.deploy(&with_image(order("v2", &[9002]), "r/web:2")).unwrap();
    world.machine.operator(NOW, Operator::Abort).unwrap();
    world.deploy(&with_image(order("v2", &[9102]), "r/web:3")).unwrap();
    assert_eq!(ports(&world, "v2"), ["127.0.0.1:9102"]);
}

#[test]
fn a_config_that_takes_a_deployed_stables_endpoint_is_seen() {
    let mut world = World::new(one_version());
    world.deploy(&order("v2", &[9002])).unwrap();
    world.promote();
    world.reload(config(
        "release = 'v1'\nversions.v1.endpoints = ['127.0.0.1:9001']\nversions.v3.endpoints = ['127.0.0.1:9002']",
    ));
    let wanted = world.wanted();
    let (endpoint, one, other) = clash(&wanted).expect("v2 and v3 share an endpoint");
    assert_eq!((endpoint.to_string().as_str(), one.as_str(), other.as_str()), ("127.0.0.1:9002", "v2", "v3"));
}

#[test]
fn a_version_that_the_config_comes_to_define_is_the_configs() {
    let mut world = World::new(one_version());
    world.deploy(&order("v2", &[9002])).unwrap();
    world.promote();
    world.reload(config(
        "release = 'v2'\nversions.v1.endpoints = ['127.0.0.1:9001']\nversions.v2.endpoints = ['127.0.0.1:9102']",
    ));
    assert_eq!(world.wanted(), *world.service());
}

/// What may happen to a service.
#[derive(Clone, Debug)]
enum Happening {
    Deploy { order: DeployOrder },
    Reload { release: &'static str },
    Promote,
    Abort,
}

fn happening() -> impl Strategy<Value = Happening> {
    let ports = prop::collection::btree_set(9001..9006_u16, 0..3);
    let deploy = (1..7_u8, ports, any::<bool>()).prop_map(|(version, ports, replace)| {
        let ports: Vec<_> = ports.into_iter().collect();
        Happening::Deploy { order: DeployOrder { replace, ..order(&format!("v{version}"), &ports) } }
    });
    prop_oneof![
        4 => deploy,
        1 => prop_oneof![Just("v1"), Just("v2")].prop_map(|release| Happening::Reload { release }),
        2 => Just(Happening::Promote),
        1 => Just(Happening::Abort),
    ]
}

impl World {
    /// Whether what was stable or canary, and still is, has the endpoints that it had.
    fn same_builds(&self, machine: &Machine, wanted: &ServiceSpec) -> bool {
        let canary = |machine: &Machine| machine.rollout().map(|it| (it.number, it.canary.clone()));
        let still = canary(machine).filter(|before| canary(&self.machine).as_ref() == Some(before));
        let used = [machine.stable().clone()].into_iter().chain(still.map(|(_, version)| version));
        let now = self.wanted();
        used.filter(|version| !self.service().versions.contains_key(version)).all(|version| {
            now.versions.get(&version).is_none_or(|it| it.endpoints == wanted.versions[&version].endpoints)
        })
    }

    /// As control does it: what can't be is refused and changes nothing.
    fn meet(&mut self, happening: &Happening) {
        match happening {
            Happening::Deploy { order } => drop(self.deploy(order)),
            Happening::Reload { release } => {
                let before = (self.file.clone(), self.record.clone());
                self.file = two_versions(release);
                self.record = self.record.current(self.service(), Some(&self.machine));
                let wanted = self.wanted();
                if clash(&wanted).is_some() || !wanted.versions.contains_key(self.machine.stable()) {
                    (self.file, self.record) = before;
                }
                self.want();
            }
            Happening::Promote => drop(self.machine.operator(NOW, Operator::PromoteFull)),
            Happening::Abort => drop(self.machine.operator(NOW, Operator::Abort)),
        }
    }
}

proptest! {
    #[test]
    fn whatever_is_deployed_users_keep_their_version_and_the_list_stays_short(
        happenings in prop::collection::vec(happening(), 1..40)
    ) {
        let mut world = World::new(two_versions("v1"));
        for happening in &happenings {
            let before = (world.machine.clone(), world.wanted());
            world.meet(happening);
            prop_assert!(world.same_builds(&before.0, &before.1), "{happening:?}: {before:?}");
            let wanted = world.wanted();
            prop_assert!(wanted.versions.contains_key(world.machine.stable()), "{happening:?}: {wanted:?}");
            if let Some(rollout) = world.machine.rollout() {
                prop_assert!(wanted.versions.contains_key(&rollout.canary), "{happening:?}: {wanted:?}");
            }
            prop_assert_eq!(clash(&wanted), None, "{:?}", happening);
            prop_assert!(world.record.builds().count() <= 4, "{happening:?}: {:?}", world.record);
            let text = serde_json::to_string(&world.record).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Deployments>(&text).unwrap(), &world.record);
        }
    }
}
