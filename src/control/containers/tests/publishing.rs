//! What is published when the engine says something, and what is left alone.

use super::*;

#[tokio::test]
async fn the_same_sighting_again_publishes_nothing() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    let before = world.generation();
    world.see();
    assert_eq!(world.generation(), before);
}

#[tokio::test]
async fn a_sighting_that_changes_nothing_that_counts_publishes_nothing() {
    let mut world = World::new();
    world.serve("web-v1-1", "v1");
    let before = world.generation();
    let other = Container { labels: BTreeMap::new(), ..container("db-1", "1", START, &[]) };
    world.containers.insert("db-1".into(), other);
    world.see();
    assert_eq!(world.generation(), before);
}

#[tokio::test]
async fn an_event_of_one_service_recompiles_no_other() {
    let mut world = World::new();
    for number in 0..50 {
        for replica in 0..10 {
            let name = format!("s{number}-{replica}");
            let host = format!("s{number}.example");
            let service = format!("s{number}");
            let labels = [("adit.service", service.as_str()), ("adit.hosts", host.as_str())];
            let mut one = container(&name, "v1", START, &labels);
            one.ports.networks = BTreeMap::from([("net".to_owned(), IpAddr::from([10, 1, number, replica]))]);
            world.containers.insert(name, one);
        }
    }
    world.see();
    let before = world.control.around.live.load_full();
    assert_eq!(before.services.len(), 50);
    world.good("s7-3");
    world.change("s7-3", |it| it.run = Run::Paused);
    let after = world.control.around.live.load_full();
    let changed = before.services.iter().zip(&after.services).filter(|(one, other)| !Arc::ptr_eq(one, other));
    let changed: Vec<_> = changed.map(|(one, _)| one.name.to_string()).collect();
    assert_eq!(changed, ["s7"]);
    assert!(Arc::ptr_eq(&before.matcher, &after.matcher), "the routes are as they were");
}
