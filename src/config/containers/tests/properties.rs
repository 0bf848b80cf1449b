//! Whatever containers there are: no crash, a spec that can be served, and nobody suffers from another's mistakes.

use proptest::prelude::{Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::*;
use crate::config::containers::labels;
use crate::domain::container::Health;

/// Labels that are known, nearly known or anything, with texts that may fit.
fn labels() -> impl Strategy<Value = BTreeMap<String, String>> {
    let known: Vec<String> = labels::all().map(|label| format!("adit.{label}")).collect();
    let label = prop_oneof![
        8 => prop::sample::select(known),
        1 => "adit\\.[a-z_.]{0,12}",
        1 => any::<String>(),
    ];
    let text = prop_oneof![
        "[0-9]{1,5}",
        "[0-9]{1,3}(ms|s|m|%|KiB)",
        Just("true".to_owned()),
        Just("GET,HEAD".to_owned()),
        Just("1,5:2m,100".to_owned()),
        "[a-c]\\.example",
        "/[a-z]{0,3}",
        any::<String>(),
    ];
    prop::collection::btree_map(label, text, 0..6)
}

/// Containers of a few services and versions; some labels are nonsense.
fn containers() -> impl Strategy<Value = Vec<Container>> {
    let run = prop_oneof![
        4 => Just(Run::Running),
        1 => Just(Run::Paused),
        1 => Just(Run::Created),
        1 => Just(Run::Exited { code: 1, out_of_memory: false }),
    ];
    let mess = prop_oneof![3 => Just(BTreeMap::new()), 1 => labels()];
    let one = ("[ab]", 1_u8..4, 0_u8..3, run, mess);
    prop::collection::vec(one, 0..8).prop_map(|all| {
        let build = |(at, (name, version, id, run, mess)): (usize, (String, u8, u8, Run, BTreeMap<_, _>))| {
            let born = u16::try_from(at + 1).unwrap_or(u16::MAX);
            let host = format!("{name}.example");
            let own = [("adit.service", name.as_str()), ("adit.hosts", &host)];
            let mut one = container(&format!("{name}-{at}"), born, &own);
            one.labels.extend(mess);
            one.image = image(&format!("{name}:{version}"), &format!("{version}{id}"));
            Container { run, health: Some(Health::Healthy), ..one }
        };
        all.into_iter().enumerate().map(build).collect()
    })
}

fn ask(containers: Vec<Container>) -> Desired {
    desired(containers)
}

/// Services, with what users get and where; without ids.
fn shape(desired: &Desired) -> Vec<(String, String, String)> {
    let names = desired.spec.services.keys();
    names
        .map(|name| (name.to_string(), released(desired, name.as_str()), versions(desired, name.as_str())))
        .collect()
}

/// Why a spec can't be served, if it can't.
fn flaw(desired: &Desired) -> Option<String> {
    for (name, service) in &desired.spec.services {
        let all: Vec<_> = service.versions.values().flat_map(|version| &version.endpoints).collect();
        let distinct: BTreeSet<_> = all.iter().collect();
        if !service.can_be_served() || service.routes.is_empty() || distinct.len() != all.len() {
            return Some(format!("{name}: {service:?}"));
        }
        for version in service.versions.values() {
            let known = |address: &std::net::SocketAddr| {
                version.endpoints.iter().any(|endpoint| endpoint.to_string() == address.to_string())
            };
            if !version.containers.keys().all(known) {
                return Some(format!("{name}: a container without an endpoint: {version:?}"));
            }
        }
    }
    None
}

proptest! {
    #[test]
    fn no_labels_are_ever_a_crash(labels in labels()) {
        let mut one = container("one", 1, &[("adit.service", "one")]);
        one.labels.extend(labels);
        let desired = ask(vec![one]);
        prop_assert_eq!(flaw(&desired), None);
        let asked = desired.placed.len() + desired.left_out.len();
        prop_assert!(asked == 1 || desired.spec.services.is_empty(), "{:?}", desired);
        prop_assert!(desired.left_out.is_empty() || desired.notices.iter().any(|notice| notice.wrong));
    }

    #[test]
    fn what_comes_out_can_be_served(seen in containers()) {
        let desired = ask(seen.clone());
        prop_assert_eq!(flaw(&desired), None);
        for one in &seen {
            let both = desired.placed.contains_key(&one.id) && desired.left_out.contains_key(&one.id);
            prop_assert!(!both, "{} is served and left out", one.name);
        }
    }

    #[test]
    fn the_order_of_containers_does_not_matter(seen in containers(), salt in any::<u8>()) {
        let renamed = seen.iter().enumerate().map(|(at, one)| {
            let order = (at as u8).wrapping_mul(37) ^ salt;
            Container { id: format!("{order:02x}{}", one.id), ..one.clone() }
        });
        prop_assert_eq!(shape(&ask(renamed.collect())), shape(&ask(seen)));
    }

    #[test]
    fn what_was_asked_before_does_not_matter(seen in containers(), before in containers()) {
        let mut merge = Containers::default();
        let nothing = BTreeMap::new();
        // Of services that keep old routes the answer differs, and is said.
        merge.desired(&file(""), &sighting(before), &nothing);
        let after = merge.desired(&file(""), &sighting(seen.clone()), &nothing);
        let fresh = ask(seen);
        if !said(&after).contains("it keeps the routes") {
            prop_assert_eq!(shape(&after), shape(&fresh));
        }
    }

    #[test]
    fn a_bad_container_changes_no_other_service(seen in containers(), mess in labels()) {
        let before = ask(seen.clone());
        let mut bad = container("bad", 0, &[("adit.service", "bad"), ("adit.hosts", "bad.example")]);
        bad.labels.extend(mess.into_iter().filter(|(label, _)| label != "adit.service"));
        // It can be told to want another's route; then it is the one to go, for it came last.
        bad.created = Timestamp::from_micros(1000);
        let after = ask([seen, vec![bad]].concat());
        let mut rest = shape(&after);
        rest.retain(|(name, _, _)| name != "bad");
        prop_assert_eq!(rest, shape(&before));
    }

    #[test]
    fn more_containers_of_a_version_change_nothing_of_what_is_wanted(seen in containers(), which in any::<prop::sample::Index>()) {
        let before = ask(seen.clone());
        let placed: Vec<_> = seen.iter().filter(|one| before.placed.contains_key(&one.id) && one.is_live()).collect();
        if !placed.is_empty() {
            let template = which.get(&placed);
            let more = container("more", 999, &[]);
            let more = Container { id: more.id, name: more.name, created: more.created, ports: more.ports, ..(**template).clone() };
            let after = ask([seen.clone(), vec![more]].concat());
            for name in before.spec.services.keys() {
                prop_assert_eq!(released(&before, name.as_str()), released(&after, name.as_str()));
            }
        }
    }
}
