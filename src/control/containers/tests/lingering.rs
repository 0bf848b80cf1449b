//! Services without containers, services that the config names too, moved tags, and containers that are restarted.

use super::*;

#[tokio::test]
async fn a_service_without_containers_lingers_for_ten_minutes_and_then_goes() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    world.remove("web-v1-1");
    world.pass(599);
    assert!(world.is_served(), "503");
    assert_eq!(world.candidates("v1"), Vec::<String>::new());
    world.pass(1);
    assert!(!world.is_served(), "404");
    assert_eq!(world.told("none has come for ten minutes: the service is gone"), 1);
}

#[tokio::test]
async fn a_service_that_went_begins_again_where_it_stood() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    world.remove("web-v1-1");
    world.pass(600);
    world.serve("web-v2-1", "v2");
    assert_eq!(world.machine().stable().as_str(), "v1");
    assert_eq!(world.machine().rollout().map(|rollout| rollout.canary.as_str()), Some("v2"));
}

#[tokio::test]
async fn a_container_that_comes_in_time_ends_the_lingering() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    world.remove("web-v1-1");
    world.pass(300);
    world.serve("web-v1-2", "v1");
    world.pass(600);
    assert_eq!(world.candidates("v1"), ["10.0.1.2:80"]);
}

const WEB: &str = "[services.web]\nhosts = ['web.example']\nrelease = 'v1'\n\
                   versions.v1.endpoints = ['127.0.0.1:9001']\n";

#[tokio::test]
async fn where_the_config_names_the_release_containers_start_no_rollout() {
    let mut world = World::with(&format!("{FILE}{WEB}"));
    world.serve("web-v2-1", "v2");
    assert_eq!((world.phase(), world.candidates("v2")), (PhaseName::Idle, vec!["10.0.2.1:80".to_owned()]));
}

#[tokio::test]
async fn a_reload_that_drops_a_written_stable_is_refused_and_containers_serve_on() {
    let mut world = World::with(&format!("{FILE}{WEB}"));
    world.serve("web-v2-1", "v2");
    let other = WEB.replace("'v1'", "'v2'").replace("versions.v1", "versions.v3").replace("9001", "9003");
    let by = By { who: "ops".into(), why: None };
    let came = world.control.desire(Ok(Box::new(spec(&format!("{FILE}{other}")))), Some(by));
    assert!(came.is_err(), "{came:?}");
    world.serve("web-v2-2", "v2");
    assert_eq!(world.candidates("v2").len(), 2);
    assert!(world.service().version_named("v3").is_none(), "nothing of what was refused is in force");
}

#[tokio::test]
async fn a_reload_keeps_what_containers_brought() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    let more = format!("{FILE}{}", WEB.replace("services.web", "services.api"));
    world.control.desire(Ok(Box::new(spec(&more))), None).unwrap();
    assert_eq!(world.candidates("v1"), ["10.0.1.1:80"]);
    assert!(world.control.services.contains_key("api"));
}

#[tokio::test]
async fn a_moved_tag_is_another_version_also_after_a_restart() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    world.restart(FILE);
    let mut moved = container("web-v1-2", "v1", world.clock.now(), &[]);
    moved.image.id = format!("sha256:{}", digest("another"));
    world.containers.insert("web-v1-2".into(), moved);
    world.see();
    let canary = world.machine().rollout().map(|rollout| rollout.canary.clone());
    assert!(canary.as_ref().is_some_and(|canary| canary.as_str().starts_with("v1-")), "{canary:?}");
    assert!(world.control.problems.containers.iter().any(|notice| notice.what.contains("stood for image")));
}

#[tokio::test]
async fn a_container_that_stays_ill_is_restarted_and_that_is_on_record_before_it_is_done() {
    let mut world = World::new();
    let recover = [("adit.recover", "restart")];
    world.run_with("web-v1-1", "v1", &recover);
    world.good("web-v1-1");
    world.change("web-v1-1", |it| it.health = Some(Health::Unhealthy));
    world.pass(0);
    world.pass(29);
    assert!(world.restarts.try_recv().is_err(), "not after 29 s");
    world.pass(1);
    let asked = world.restarts.try_recv().expect("a restart is asked for");
    assert_eq!(asked.container, world.containers["web-v1-1"].id);
    assert_eq!(world.told("a restart is asked for"), 1);
    asked.reply.send(Ok(())).unwrap();
    world.pass(1);
    assert_eq!(world.told("was restarted"), 1);
}

#[tokio::test]
async fn a_service_that_did_not_ask_for_it_has_no_container_restarted() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    world.change("web-v1-1", |it| it.health = Some(Health::Unhealthy));
    world.pass(0);
    world.pass(3_600);
    assert!(world.restarts.try_recv().is_err());
}

#[tokio::test]
async fn a_restart_that_failed_is_on_record() {
    let mut world = World::new();
    world.run_with("web-v1-1", "v1", &[("adit.recover", "restart")]);
    world.change("web-v1-1", |it| it.health = Some(Health::Unhealthy));
    world.pass(0);
    world.pass(30);
    let asked = world.restarts.try_recv().expect("a restart is asked for");
    asked.reply.send(Err("403 Forbidden".into())).unwrap();
    world.pass(1);
    assert_eq!(world.told("could not be restarted: 403 Forbidden"), 1);
}
