//! How tunnels end: what ends them, what does not, and what their two sides are told.

use std::sync::Arc;
use std::time::Duration;

use adit::clock::{Clock, Manual};
use adit::domain::Timestamp;
use adit::domain::routing::{Split, Standing};

use crate::switch::{Endpoint, GOING_AWAY, assert_open, assert_told_1001, frame, unmasked};
use crate::wire::Wire;
use crate::world::{Proxy, Web, eventually};

const DRAIN: Duration = Duration::from_secs(8);
const HOUR: Duration = Duration::from_secs(3600);

/// A proxy whose time stands still until the test moves it.
fn held(web: Web) -> (Proxy, Arc<Manual>) {
    let (clock, hand) = Clock::manual(Timestamp::from_micros(1_000_000_000));
    (Proxy::start_with(web, 1, clock, DRAIN), hand)
}

fn running(web: Web) -> Proxy {
    Proxy::start_with(web, 1, Clock::real(), DRAIN)
}

/// Lets the proxy look at everything it has, at the time that it is then.
fn look(proxy: &Proxy, hand: &Manual) {
    for _ in 0..5 {
        hand.advance(Duration::from_millis(100));
        assert_eq!(proxy.ask("GET / HTTP/1.1\r\n\r\n").status, 400);
    }
}

fn drain(proxy: &mut Proxy) -> adit::proxy::Workers {
    let workers = proxy.workers.take().unwrap();
    workers.drain();
    workers
}

#[test]
fn a_silent_tunnel_is_ended_after_an_hour_and_a_byte_either_way_prolongs_it() {
    let at = Endpoint::new();
    let (proxy, hand) = held(Web::at(&[at.address]));
    let mut tunnel = at.tunnel(&proxy);
    for _ in 0..3 {
        hand.advance(HOUR - Duration::from_secs(60));
        look(&proxy, &hand);
        assert_open(&mut tunnel);
        look(&proxy, &hand);
    }
    hand.advance(HOUR);
    look(&proxy, &hand);
    assert_told_1001(&mut tunnel);
}

#[test]
fn a_drain_says_1001_to_both_sides_and_waits_for_their_goodbyes() {
    let at = Endpoint::new();
    let mut proxy = running(Web::at(&[at.address]));
    let mut tunnel = at.tunnel(&proxy);
    assert_open(&mut tunnel);
    let workers = drain(&mut proxy);
    assert_told_1001(&mut tunnel);
    drop(tunnel);
    workers.join();
}

#[test]
fn a_goodbye_waits_for_the_end_of_a_frame() {
    let at = Endpoint::new();
    let mut proxy = running(Web::at(&[at.address]));
    let (mut client, mut endpoint) = at.tunnel(&proxy);
    // A fragment of a message, 100,000 bytes long: half of it now.
    let header = [&[0x01, 127][..], &100_000_u64.to_be_bytes()].concat();
    endpoint.send(&header);
    endpoint.send(vec![b'x'; 50_000]);
    assert_eq!(client.up_to(50_010).len(), 50_010);
    let workers = drain(&mut proxy);
    // The other direction is between two frames: its goodbye comes at once, and nothing of this one is disturbed.
    assert_eq!(unmasked(&endpoint.up_to(8)), GOING_AWAY);
    endpoint.send([&vec![b'x'; 50_000][..], b"\x80\x04 end", &GOING_AWAY].concat());
    let rest = client.up_to(50_004);
    assert!(rest[..50_000].iter().all(|byte| *byte == b'x'), "the frame was cut");
    assert_eq!(rest[50_000..], GOING_AWAY, "the next frame is not passed on");
    client.send([0x88, 0x80, 1, 2, 3, 4]);
    assert!(client.rest().is_empty() && endpoint.rest().is_empty());
    drop((client, endpoint));
    workers.join();
}

#[test]
fn what_never_comes_to_the_end_of_a_frame_is_cut() {
    let at = Endpoint::new();
    let (mut proxy, hand) = held(Web::at(&[at.address]));
    let (mut client, mut endpoint) = at.tunnel(&proxy);
    endpoint.send(b"\x82\x7Ehalf a header and no more");
    client.send(b"\x82\xFEas well");
    assert_eq!((client.up_to(26).len(), endpoint.up_to(9).len()), (26, 9));
    let workers = drain(&mut proxy);
    let cut = std::thread::spawn(move || {
        assert!(client.is_closed());
        assert!(endpoint.is_closed());
    });
    let mut passed = Duration::ZERO;
    while !cut.is_finished() {
        hand.advance(Duration::from_millis(100));
        passed += Duration::from_millis(100);
        std::thread::park_timeout(Duration::from_millis(2));
    }
    cut.join().unwrap();
    assert!(passed >= Duration::from_secs(3), "cut after {passed:?}");
    workers.join();
}

#[test]
fn a_goodbye_of_their_own_is_not_said_twice() {
    let at = Endpoint::new();
    let mut proxy = running(Web::at(&[at.address]));
    let (mut client, mut endpoint) = at.tunnel(&proxy);
    endpoint.send(b"\x88\x02\x03\xE8");
    assert_eq!(client.up_to(4), b"\x88\x02\x03\xE8");
    let workers = drain(&mut proxy);
    assert_eq!(unmasked(&endpoint.up_to(8)), GOING_AWAY);
    drop(endpoint);
    assert!(client.rest().is_empty(), "1000 was said already");
    drop(client);
    workers.join();
}

#[test]
fn other_protocols_are_told_by_the_end_of_the_stream() {
    use adit::domain::routing::Upgrades;
    let at = Endpoint::new();
    let mut web = Web::at(&[at.address]);
    web.policy.upgrades = Upgrades::of(vec![Upgrades::protocol("chat").unwrap()]);
    let mut proxy = running(web);
    let mut client = proxy.client();
    client.send(crate::switch::ASK.replace(": WebSocket", ": chat"));
    let mut endpoint = at.accept();
    endpoint.request_head().unwrap();
    endpoint.send(crate::switch::AGREE.replace("websocket", "chat"));
    client.head().unwrap();
    let workers = drain(&mut proxy);
    assert!(client.rest().is_empty() && endpoint.rest().is_empty());
    drop((client, endpoint));
    workers.join();
}

#[test]
fn a_drain_does_not_end_all_tunnels_at_once() {
    const TUNNELS: usize = 40;
    let at = Endpoint::new();
    let (mut proxy, hand) = held(Web::at(&[at.address]));
    let tunnels: Vec<_> = (0..TUNNELS).map(|_| at.tunnel(&proxy)).collect();
    let mut silent = proxy.client();
    let vitals = proxy.workers.as_ref().unwrap().vitals();
    eventually("all are connected", || vitals.connections() == 1 + u64::try_from(TUNNELS).unwrap());
    let workers = drain(&mut proxy);
    assert!(silent.is_closed(), "the drain has begun");
    let told = |tunnels: &[(Wire, Wire)]| {
        let told =
            |(client, _): &&(Wire, Wire)| client.stream.peek(&mut [0; 4]).is_ok_and(|count| count == 4);
        tunnels.iter().filter(told).count()
    };
    for (client, _) in &tunnels {
        client.stream.set_nonblocking(true).unwrap();
    }
    // Forty tunnels, 10 ms apart: spread over the first 400 ms. That all or none of them have their moment in a half of it
    // happens once in 2^39 times.
    hand.advance(Duration::from_millis(200));
    eventually("some are told in the first 200 ms", || told(&tunnels) > 0);
    assert!(told(&tunnels) < TUNNELS, "all were told within 200 ms");
    hand.advance(Duration::from_millis(200));
    eventually("all are told after 400 ms", || told(&tunnels) == TUNNELS);
    assert_eq!(vitals.connections(), u64::try_from(TUNNELS).unwrap(), "none was cut");
    drop(tunnels);
    workers.join();
}

#[test]
fn a_tunnel_that_begins_in_a_drain_is_ended_again() {
    let at = Endpoint::new();
    let mut proxy = running(Web::at(&[at.address]));
    let mut client = proxy.client();
    client.send(crate::switch::ASK);
    let mut endpoint = at.accept();
    endpoint.request_head().unwrap();
    let workers = drain(&mut proxy);
    endpoint.send(crate::switch::AGREE);
    assert!(client.head().unwrap().starts_with("HTTP/1.1 101 "));
    assert_told_1001(&mut (client, endpoint));
    workers.join();
}

#[test]
fn reloads_weights_and_failed_checks_leave_tunnels_alone() {
    let at = Endpoint::new();
    let web = Web::canary(&[at.address], &[at.address], 50.0);
    let again = web.again();
    let (proxy, hand) = held(web);
    let mut tunnels: Vec<_> = (0..8).map(|_| at.tunnel(&proxy)).collect();
    let mut check = |what: &str| {
        look(&proxy, &hand);
        for tunnel in &mut tunnels {
            println!("{what}");
            assert_open(tunnel);
        }
    };
    let mut lighter = again.again();
    lighter.set_weight(1.0);
    proxy.publish(lighter);
    check("another weight");
    let mut changed = again.again();
    changed.policy.timeouts.tunnel = Duration::from_millis(1);
    changed.policy.upgrades = adit::domain::routing::Upgrades::NONE;
    proxy.publish(changed);
    check("another policy");
    let mut out = again.again();
    out.versions.iter_mut().for_each(|version| version.endpoints.clear());
    proxy.publish(out);
    check("no endpoint passes its checks");
    let mut back = again.again();
    back.versions[0].endpoints[0].standing = Standing::Probation;
    proxy.publish(back);
    check("one is on probation");
    let mut baking = again.again();
    baking.set_weight(100.0);
    proxy.publish(baking);
    check("stable gets nothing and stands by");
}

#[test]
fn an_abort_ends_the_tunnels_of_the_canary_and_no_others() {
    let (stable, canary) = (Endpoint::new(), Endpoint::new());
    let mut web = Web::canary(&[stable.address], &[canary.address], 100.0);
    let (again, mut none) = (web.again(), web.again());
    web.set_weight(0.0);
    let proxy = running(web);
    let mut on_stable = stable.tunnel(&proxy);
    proxy.publish(again);
    let mut on_canary = canary.tunnel(&proxy);
    none.split = Split::whole(0);
    proxy.publish(none);
    assert_told_1001(&mut on_canary);
    assert_open(&mut on_stable);
}

#[test]
fn a_canary_that_gets_nothing_any_more_lets_its_clients_go() {
    let (stable, canary) = (Endpoint::new(), Endpoint::new());
    let web = Web::canary(&[stable.address], &[canary.address], 100.0);
    let mut nothing = web.again();
    let proxy = running(web);
    let mut on_canary = canary.tunnel(&proxy);
    nothing.set_weight(0.0);
    proxy.publish(nothing);
    assert_told_1001(&mut on_canary);
}

#[test]
fn a_promotion_ends_the_tunnels_of_the_version_before() {
    let (stable, canary) = (Endpoint::new(), Endpoint::new());
    let mut web = Web::canary(&[stable.address], &[canary.address], 100.0);
    let (again, mut promoted) = (web.again(), web.again());
    web.set_weight(0.0);
    let proxy = running(web);
    let mut on_stable = stable.tunnel(&proxy);
    proxy.publish(again);
    let mut on_canary = canary.tunnel(&proxy);
    promoted.split = Split::whole(1);
    proxy.publish(promoted);
    assert_told_1001(&mut on_stable);
    assert_open(&mut on_canary);
}

#[test]
fn who_chose_the_version_by_hand_stays_with_it() {
    let (stable, canary) = (Endpoint::new(), Endpoint::new());
    let mut web = Web::canary(&[stable.address], &[canary.address], 0.0);
    web.policy.preview_host = Some("a".into());
    let mut none = web.again();
    let (proxy, hand) = held(web);
    let mut tunnel = canary.tunnel(&proxy);
    none.split = Split::whole(0);
    proxy.publish(none);
    look(&proxy, &hand);
    assert_open(&mut tunnel);
}

#[test]
fn an_endpoint_that_is_drained_or_removed_ends_its_tunnels() {
    let at = Endpoint::new();
    let web = Web::at(&[at.address]);
    let cells = web.versions[0].endpoints[0].cells.clone();
    let proxy = running(web);
    let mut tunnel = at.tunnel(&proxy);
    let mut without = Web::at(&[]);
    without.versions[0].cells = proxy.shared.live.load().services[0].versions[0].cells.clone();
    cells.dismiss(true);
    proxy.publish(without);
    assert!(!cells.is_drained(), "a tunnel is open");
    assert_told_1001(&mut tunnel);
    drop(tunnel);
    eventually("it may be stopped", || cells.is_drained());
}

#[test]
fn a_client_that_goes_on_talking_is_cut_in_the_end() {
    let at = Endpoint::new();
    let (mut proxy, hand) = held(Web::at(&[at.address]));
    let (mut client, mut endpoint) = at.tunnel(&proxy);
    let workers = drain(&mut proxy);
    let ended = std::thread::spawn(move || {
        while client.stream.peek(&mut [0]).is_ok_and(|count| count > 0) {
            client.send(frame(b"and another thing"));
            if client.up_to(4).is_empty() {
                break;
            }
        }
        unmasked(&endpoint.up_to(8)) == GOING_AWAY && endpoint.rest().is_empty()
    });
    while !ended.is_finished() {
        hand.advance(Duration::from_millis(100));
        std::thread::park_timeout(Duration::from_millis(2));
    }
    assert!(ended.join().unwrap(), "nothing is passed on behind a goodbye");
    workers.join();
}
