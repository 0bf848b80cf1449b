//! On real SQLite files.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Duration;

use tempfile::{TempDir, tempdir};

use super::{By, DATABASE, Identity, Store, StoreError, schema};
use crate::config::spec::Build;
use crate::control::journal::Entry;
use crate::domain::rollout::{
    Action, Decision, End, Event, Judgement, Machine, Operator, Outcome, PhaseName, Plan, Reason, Transition,
    Verdict, Wanted,
};
use crate::domain::{ServiceName, Timestamp, VersionName};

const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_123_456);

fn web() -> ServiceName {
    "web".into()
}

fn records(actions: Vec<Action>) -> Vec<Transition> {
    actions
        .into_iter()
        .filter_map(|action| match action {
            Action::Record(transition) => Some(transition),
            Action::Save | Action::OpenEpoch { .. } | Action::CloseEpoch => None,
        })
        .collect()
}

fn entries(transitions: &[Transition], by: Option<&By>) -> Vec<Entry> {
    transitions.iter().map(|transition| Entry::transition(&web(), transition.clone(), by)).collect()
}

/// How each rollout ended, newest first.
fn ends(store: &Store) -> Vec<Option<String>> {
    let page = store.journal().unwrap().rollouts(&web(), None, 9).unwrap();
    page.rollouts.into_iter().map(|rollout| rollout.outcome).collect()
}

/// A machine at its first step after one successful one, and how it got there.
fn machine() -> (Machine, Vec<Transition>) {
    let mut machine = Machine::first("v1".into());
    let mut transitions = release(&mut machine, "v2");
    transitions.extend(records(machine.on(NOW, Event::Readiness { canary: true, stable: true })));
    let verdict = Verdict {
        outcome: Outcome::Successful,
        rule: "errors: canary at most 1.25 × stable + 0.5 %".into(),
        value: 0.1 + 0.2,
        bound: 1.0 / 3.0,
        canary_requests: 900,
        canary_failures: 1,
        stable_requests: 90_000,
        stable_failures: 99,
        detail: Default::default(),
    };
    let judgement = Judgement { decision: Decision::Advance, verdict };
    let later = NOW + Duration::from_secs(60);
    transitions.extend(records(machine.on(later, Event::Evidence(judgement))));
    (machine, transitions)
}

fn release(machine: &mut Machine, version: &str) -> Vec<Transition> {
    let mut plan = Plan::default();
    plan.analysis.alpha = 0.1 + 0.7;
    let wanted = Wanted { release: &VersionName::from(version), plan: &plan, salt: (u64::MAX, 7) };
    records(machine.on(NOW, Event::Wanted(wanted)))
}

/// As a start of the program sees it.
fn restarted(mut machine: Machine) -> Machine {
    machine.on(NOW, Event::Restarted);
    machine
}

fn loaded(store: &Store) -> Machine {
    store.load().unwrap().remove("web").unwrap()
}

/// What kill -9 at this moment would leave: the files as they are, while the store is still open.
fn killed(dir: &Path) -> TempDir {
    let copy = tempdir().unwrap();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

fn message(error: &StoreError) -> String {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{error}{cause}")
}

#[test]
fn what_was_saved_is_loaded_to_the_last_bit() {
    let dir = tempdir().unwrap();
    let (machine, transitions) = machine();
    let mut store = Store::open(dir.path()).unwrap();
    store.save(NOW, &web(), &machine, &entries(&transitions, None)).unwrap();
    drop(store);
    let loaded = loaded(&Store::open(dir.path()).unwrap());
    assert_eq!(restarted(loaded), restarted(machine));
}

#[test]
fn what_a_save_returned_for_survives_kill_9() {
    let dir = tempdir().unwrap();
    let (mut machine, transitions) = machine();
    let mut store = Store::open(dir.path()).unwrap();
    store.save(NOW, &web(), &machine, &entries(&transitions, None)).unwrap();
    let earlier = killed(dir.path());
    let abort = records(machine.operator(NOW, Operator::Abort).unwrap());
    store.save(NOW, &web(), &machine, &entries(&abort, None)).unwrap();
    let later = killed(dir.path());

    let [(earlier, _dir), (later, _other)] =
        [earlier, later].map(|dir| (Store::open(dir.path()).unwrap(), dir));
    assert_eq!(loaded(&earlier).phase(), PhaseName::Stepping);
    assert_eq!(loaded(&later).last().map(|last| last.end), Some(End::Aborted));
    assert_eq!(ends(&later), [Some("aborted".into())]);
}

#[test]
fn a_second_adit_on_the_same_directory_is_refused() {
    let dir = tempdir().unwrap();
    let first = Store::open(dir.path()).unwrap();
    let refused = Store::open(dir.path()).unwrap_err();
    let expected = format!(
        "the state directory {} is in use by another adit (process {}); stop that one, or give this one another \
         `dir` in [state]",
        dir.path().display(),
        std::process::id()
    );
    assert_eq!(message(&refused), expected);
    drop(first);
    Store::open(dir.path()).unwrap();
}

#[test]
fn one_save_can_hold_the_end_of_a_rollout_and_the_begin_of_the_next() {
    let dir = tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let (mut machine, mut transitions) = machine();
    transitions.extend(release(&mut machine, "v3"));
    store.save(NOW, &web(), &machine, &entries(&transitions, None)).unwrap();
    assert_eq!(ends(&store), [None, Some("superseded".into())]);
}

#[test]
fn a_full_disk_keeps_nothing_of_a_save_and_the_store_goes_on_once_there_is_room() {
    let dir = tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let (machine, transitions) = machine();
    store.save(NOW, &web(), &machine, &[]).unwrap();
    let room = |store: &Store, pages: u32| {
        store.connection.pragma_update(None, "max_page_count", pages).unwrap();
    };
    room(&store, 1);
    let many: Vec<_> = transitions.iter().cycle().take(500).cloned().collect();
    let mut aborted = machine.clone();
    aborted.operator(NOW, Operator::Abort).unwrap();
    let full = store.save(NOW, &web(), &aborted, &entries(&many, None)).unwrap_err();
    let expected = format!(
        "no room on the disk for {}; free some, or set `dir` in [state] to another disk: database or disk is full",
        dir.path().join(DATABASE).display()
    );
    assert_eq!(message(&full), expected);
    assert_eq!(restarted(loaded(&store)), restarted(machine), "all or nothing");
    assert_eq!(ends(&store), []);
    room(&store, 1_000_000);
    store.save(NOW, &web(), &aborted, &entries(&many, None)).unwrap();
    assert_eq!(loaded(&store).phase(), PhaseName::Idle);
}

#[test]
fn a_directory_that_cannot_be_is_named_with_the_way_out() {
    let dir = tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Store::open(&file.join("state")).unwrap_err();
    let expected = format!(
        "the state directory {} can't be used; make it writable for this user, or set `dir` in [state]: Not a \
         directory (os error 20)",
        file.join("state").display()
    );
    assert_eq!(message(&error), expected);
}

#[test]
fn a_database_that_cannot_be_written_is_named_with_the_way_out() {
    let dir = tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    store.connection.pragma_update(None, "query_only", true).unwrap();
    let error = store.save(NOW, &web(), &machine().0, &[]).unwrap_err();
    assert!(matches!(error, StoreError::ReadOnly { .. }), "{error:?}");
    assert!(message(&error).contains("make the file and its directory writable"), "{}", message(&error));
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_as_it_is() {
    let dir = tempdir().unwrap();
    let path = dir.path().join(DATABASE);
    let text = "no database at all, but long enough to be taken for one. ".repeat(20);
    fs::write(&path, &text).unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    assert!(message(&error).contains("put back a copy, or move it away"), "{}", message(&error));
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn a_file_of_a_newer_adit_is_refused() {
    let dir = tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.connection.pragma_update(None, "user_version", 99).unwrap();
    drop(store);
    let error = Store::open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error:?}");
    assert!(error.to_string().contains("was written by a newer adit (schema 99"), "{error}");
}

#[test]
fn a_record_that_cannot_be_understood_names_its_service() {
    let dir = tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    store.save(NOW, &web(), &machine().0, &[]).unwrap();
    store.connection.execute("UPDATE machines SET machine = '{\"stable\":1}'", []).unwrap();
    let error = store.load().unwrap_err();
    assert!(error.to_string().contains("the record of service web can't be understood"), "{error}");
}

#[test]
fn a_number_that_could_not_be_read_back_is_not_kept() {
    let dir = tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let mut machine = Machine::first("v1".into());
    let mut plan = Plan::default();
    plan.analysis.alpha = f64::NAN;
    let wanted = Wanted { release: &"v2".into(), plan: &plan, salt: (0, 0) };
    machine.on(NOW, Event::Wanted(wanted));
    let error = store.save(NOW, &web(), &machine, &[]).unwrap_err();
    assert!(matches!(error, StoreError::Unreadable { .. }), "{error:?}");
    assert!(store.load().unwrap().is_empty());
}

#[test]
fn commits_are_on_the_disk_when_they_return() {
    let dir = tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let pragma = |name: &str| {
        store
            .connection
            .pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))
            .unwrap()
    };
    assert_eq!(pragma("journal_mode"), rusqlite::types::Value::Text("wal".into()));
    assert_eq!(pragma("synchronous"), rusqlite::types::Value::Integer(2), "FULL");
}

#[test]
fn a_database_without_tables_gets_them() {
    let dir = tempdir().unwrap();
    fs::write(dir.path().join(DATABASE), "").unwrap();
    schema::open(&dir.path().join(DATABASE)).unwrap();
    assert!(Store::open(dir.path()).unwrap().load().unwrap().is_empty());
}

fn build(image: &str) -> Build {
    Build { image: Some(image.into()), ..Build::default() }
}

#[test]
fn a_version_name_stands_for_one_build() {
    let [one, two] = ["1", "2"].map(|digit| format!("sha256:{}", digit.repeat(64)));
    let conflict =
        |now: &str, known: &str| Identity::Conflict { now: now.to_owned(), known: known.to_owned() };
    let cases = [
        (format!("r/web@{one}"), format!("r/web@{one}"), Identity::Known),
        (format!("r/web@{one}"), format!("mirror/web:v2@{one}"), Identity::Known),
        (
            format!("r/web@{one}"),
            format!("r/web@{two}"),
            conflict(&format!("r/web@{two}"), &format!("r/web@{one}")),
        ),
        (format!("r/web@{one}"), "r/web:v2".into(), Identity::Known),
        ("r/web:v2".into(), format!("r/web@{one}"), Identity::New),
        ("r/web:v2".into(), "r/web:v2".into(), Identity::Known),
        ("r/web:v2".into(), "r/web:v3".into(), Identity::New),
    ];
    for (known, image, expected) in cases {
        let dir = tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        let mut identify =
            |version: &str, image: &str| store.identify(NOW, &web(), &version.into(), &build(image)).unwrap();
        assert_eq!(identify("v2", &known), Identity::New);
        assert_eq!(identify("v2", &image), expected, "{known} then {image}");
        assert_eq!(identify("v3", &image), Identity::New, "another name is another version");
    }
}

#[test]
fn a_conflicting_image_does_not_become_the_known_one() {
    let dir = tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let mut identify = |image: &str| store.identify(NOW, &web(), &"v2".into(), &build(image)).unwrap();
    identify("web@sha256:aa");
    for _ in 0..2 {
        let conflict = Identity::Conflict { now: "web@sha256:bb".into(), known: "web@sha256:aa".into() };
        assert_eq!(identify("web@sha256:bb"), conflict);
    }
}

#[test]
fn reasons_with_data_are_kept_too() {
    let dir = tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let (mut machine, _) = machine();
    let superseding = release(&mut machine, "v3");
    store.save(NOW, &web(), &machine, &entries(&superseding, None)).unwrap();
    let last = loaded(&store).last().map(|last| last.reason.clone());
    assert_eq!(last, Some(Reason::Superseded { by: "v3".into() }));
}

#[test]
fn what_was_deployed_is_there_after_a_kill() {
    let dir = tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let text = r#"{"versions":{"v2":{"endpoints":["a:1"],"build":{"image":"web@sha256:aa"}}},"intent":null}"#;
    let record = serde_json::from_str(text).unwrap();
    store.keep_deployments(NOW, &web(), &record).unwrap();
    let copy = killed(dir.path());
    let after = Store::open(copy.path()).unwrap();
    assert_eq!(after.deployments().unwrap(), [(web(), record)].into());
    let other = after.compare(&web(), &"v2".into(), &build("web@sha256:bb")).unwrap();
    assert!(
        matches!(other, Identity::Conflict { .. }),
        "the build of a deployed version is known: {other:?}"
    );
}

#[test]
fn where_no_digest_decides_another_commit_is_another_build() {
    let of = |image: &str, revision: &str| Build {
        image: Some(image.to_owned()).filter(|image| !image.is_empty()),
        revision: Some(revision.to_owned()).filter(|revision| !revision.is_empty()),
        ..Build::default()
    };
    let conflict = Identity::Conflict { now: "revision b".into(), known: "revision a".into() };
    let cases = [
        (of("", "a"), of("", "a"), Identity::Known),
        (of("", "a"), of("", "b"), conflict.clone()),
        (of("", "a"), of("web:1", "a"), Identity::New),
        (of("web:1", ""), of("web:1", "a"), Identity::New),
        (of("web:1", "a"), of("web:1", "b"), conflict),
        (of("web@sha256:aa", "a"), of("web@sha256:aa", "b"), Identity::Known),
        (of("web:1", "a"), Build::default(), Identity::Known),
    ];
    for (known, now, expected) in cases {
        let dir = tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        assert_eq!(store.identify(NOW, &web(), &"v2".into(), &known).unwrap(), Identity::New);
        assert_eq!(store.identify(NOW, &web(), &"v2".into(), &now).unwrap(), expected, "{known:?} {now:?}");
    }
}

#[test]
fn what_is_learnt_of_a_build_piece_by_piece_stays() {
    let dir = tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let revision = |revision: &str| Build { revision: Some(revision.into()), ..Build::default() };
    let mut identify = |build: &Build| store.identify(NOW, &web(), &"v2".into(), build).unwrap();
    for build in [build("web:1"), revision("a"), build("web@sha256:aa"), build("web:2")] {
        assert!(matches!(identify(&build), Identity::New | Identity::Known), "{build:?}");
    }
    assert!(matches!(identify(&revision("b")), Identity::Conflict { .. }));
    assert!(matches!(identify(&build("web@sha256:bb")), Identity::Conflict { .. }));
}
