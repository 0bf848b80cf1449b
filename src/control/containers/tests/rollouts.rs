//! What becomes of a rollout when the containers of one of its two versions come or go.

use super::*;

#[tokio::test]
async fn when_the_last_container_of_stable_goes_users_are_served_by_the_canary_and_the_rollout_goes_on() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    world.serve("web-v2-1", "v2");
    world.command(Verb::SetWeight(weight(5.0)));
    world.command(Verb::Resume);
    assert_eq!(world.division(), "v1 v2 5 %");
    world.exit("web-v1-1");
    assert_eq!(world.division(), "v1 v2 100 %", "every request to v1 would fail");
    assert_eq!((world.machine().weight(), world.phase()), (weight(5.0), PhaseName::Stepping));
    assert_eq!(world.told("nothing of v1 is left: v2 gets its requests until it is back"), 1);
}

#[tokio::test]
async fn the_canary_helps_out_until_a_replaced_stable_has_passed_its_checks() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    world.serve("web-v2-1", "v2");
    let created = world.containers["web-v1-1"].created;
    world.containers.remove("web-v1-1");
    world.containers.insert("web-v1-2".into(), container("web-v1-2", "v1", created, &[]));
    world.see();
    assert_eq!(world.division(), "v1 v2 100 %", "v1 has a container that nobody has checked");
    world.good("web-v1-2");
    assert_eq!(world.division(), "v1 v2 1 %");
}

#[tokio::test]
async fn stable_gets_its_share_again_when_it_is_back() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    world.serve("web-v2-1", "v2");
    let as_it_was = world.containers["web-v1-1"].clone();
    world.exit("web-v1-1");
    assert_eq!(world.division(), "v1 v2 100 %");
    world.change("web-v1-1", |it| *it = as_it_was);
    assert_eq!(world.division(), "v1 v2 100 %", "it has not passed its checks again");
    world.good("web-v1-1");
    assert_eq!(world.division(), "v1 v2 1 %");
    assert_eq!(world.told("v1 is back: v2 gets 1 % again"), 1);
}

#[tokio::test]
async fn a_canary_that_is_not_wanted_yet_gets_nothing_because_stable_is_gone() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    world.serve("web-v2-1", "v2");
    world.command(Verb::SetWeight(Weight::ZERO));
    world.remove("web-v1-1");
    assert_eq!(world.division(), "v1 v2 0 %");
}

#[tokio::test]
async fn an_abort_gives_the_canary_nothing_any_more_even_if_nothing_is_left_of_stable() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    world.serve("web-v2-1", "v2");
    world.remove("web-v1-1");
    world.command(Verb::Abort);
    assert_eq!((world.division().as_str(), world.candidates("v1")), ("v1", vec![]));
    world.pass(60);
    assert_eq!(world.division(), "v1", "and it stays so");
}

#[tokio::test]
async fn stable_without_containers_stays_stable_over_a_restart() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    world.serve("web-v2-1", "v2");
    world.remove("web-v1-1");
    world.restart(FILE);
    assert_eq!(world.machine().stable().as_str(), "v1");
    assert_eq!(world.machine().rollout().map(|rollout| rollout.canary.as_str()), Some("v2"));
    world.good("web-v2-1");
    assert_eq!(world.division(), "v1 v2 100 %");
}

#[tokio::test]
async fn a_canary_whose_containers_all_end_gets_nothing_and_is_given_up_when_none_comes_back() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    world.serve("web-v2-1", "v2");
    world.exit("web-v2-1");
    assert_eq!(world.division(), "v1 v2 0 %");
    world.pass(599);
    assert!(world.machine().rollout().is_some());
    world.pass(2);
    let last = world.machine().last().map(|last| last.reason.clone());
    assert_eq!(last, Some(Reason::NotReadyInTime));
}

#[tokio::test]
async fn removing_the_canarys_containers_withdraws_it() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    world.serve("web-v2-1", "v2");
    world.remove("web-v2-1");
    assert_eq!(world.division(), "v1");
    let last = world.machine().last().map(|last| last.reason.clone());
    assert_eq!(last, Some(Reason::ContainersWithdrawn));
}

#[tokio::test]
async fn a_newer_version_takes_the_canarys_place() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    world.serve("web-v2-1", "v2");
    world.serve("web-v3-1", "v3");
    assert_eq!(world.division(), "v1 v3 1 %");
    let superseded = world.machine().last().map(|last| last.reason.clone());
    assert_eq!(superseded, Some(Reason::Superseded { by: VersionName::from("v3") }));
}

#[tokio::test]
async fn a_promoted_version_stays_promoted_when_the_old_ones_containers_go() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    world.serve("web-v2-1", "v2");
    world.command(Verb::PromoteFull);
    world.remove("web-v1-1");
    assert_eq!((world.division().as_str(), world.candidates("v2").len()), ("v2", 1));
    assert!(world.service().version_named("v1").is_some(), "the way back is remembered");
}

#[tokio::test]
async fn in_the_bake_it_is_said_that_there_is_no_way_back_when_the_old_containers_go() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    world.run_with("web-v2-1", "v2", &[("adit.rollout.bake", "10m")]);
    world.good("web-v2-1");
    while world.phase() == PhaseName::Stepping {
        world.command(Verb::Promote);
    }
    assert_eq!(world.phase(), PhaseName::Baking);
    world.remove("web-v1-1");
    assert_eq!(world.told("nothing of v1 is left: there is no way back from v2"), 1);
    world.pass(601);
    assert_eq!((world.machine().stable().as_str(), world.phase()), ("v2", PhaseName::Idle));
}

#[tokio::test]
async fn starting_the_old_version_again_releases_it_like_any_other() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    world.serve("web-v2-1", "v2");
    world.command(Verb::PromoteFull);
    world.remove("web-v1-1");
    world.serve("web-v1-2", "v1");
    assert_eq!(world.division(), "v2 v1 1 %");
}

#[tokio::test]
async fn an_aborted_version_whose_containers_still_run_is_not_tried_again() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    world.serve("web-v2-1", "v2");
    world.command(Verb::Abort);
    world.serve("web-v2-2", "v2");
    world.pass(60);
    assert_eq!((world.division().as_str(), world.phase()), ("v1", PhaseName::Idle));
}
