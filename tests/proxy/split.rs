//! Which version requests go to, seen from outside.

use adit::clock::Clock;
use adit::domain::routing::{Affinity, Override};
use std::time::Duration;

use crate::endpoint::{Scripted, nobody};
use crate::wire::Wire;
use crate::world::{Proxy, Web, eventually, version};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

fn ask(client: &mut Wire, request: &str) -> String {
    client.send(request);
    client.reply().text().to_owned()
}

#[test]
fn the_canary_gets_its_share_of_5000_requests_and_all_are_accounted_for() {
    let (stable, canary) = (Scripted::saying("v1"), Scripted::saying("v2"));
    let web = Web::canary(&[stable.address], &[canary.address], 20.0);
    let proxy = Proxy::start_with(web, 2, Clock::real(), Duration::ZERO);
    let clients: Vec<_> = (0..10)
        .map(|_| {
            let mut client = proxy.client();
            std::thread::spawn(move || (0..500).filter(|_| ask(&mut client, GET) == "v2").count())
        })
        .collect();
    let seen: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
    // Four standard deviations: sqrt(5000 · 0.2 · 0.8) = 28.3.
    assert!((887..=1113).contains(&seen), "{seen} of 5000 at 20 %");
    eventually("all ended", || proxy.in_flight() == 0);
    let evidence = proxy.evidence();
    let seen = u64::try_from(seen).unwrap();
    assert_eq!((evidence.canary.routed, evidence.canary.completed, evidence.canary.failed), (seen, seen, 0));
    assert_eq!((evidence.stable.routed, evidence.stable.completed), (5000 - seen, 5000 - seen));
    assert_eq!((proxy.ended(0, 200), proxy.ended(1, 200)), (5000 - seen, seen));
}

#[test]
fn a_client_with_a_cookie_moves_to_the_canary_once_and_stays() {
    let (stable, canary) = (Scripted::saying("v1"), Scripted::saying("v2"));
    let mut web = Web::canary(&[stable.address], &[canary.address], 0.0);
    web.policy.affinity = Affinity::Cookie;
    let template = web.again();
    let proxy = Proxy::start(web);
    let cookies: Vec<String> = (0..50)
        .map(|_| {
            let reply = proxy.get("/");
            assert_eq!(reply.text(), "v1");
            let cookie = reply.header("set-cookie").unwrap();
            assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax"), "{cookie}");
            cookie.split(';').next().unwrap().to_owned()
        })
        .collect();
    let mut moved = vec![false; cookies.len()];
    for weight in [10.0, 50.0, 90.0, 100.0] {
        let mut web = template.again();
        web.set_weight(weight);
        proxy.publish(web);
        for (cookie, moved) in cookies.iter().zip(&mut moved) {
            let reply = proxy.ask(&format!("GET / HTTP/1.1\r\nhost: a\r\ncookie: {cookie}\r\n\r\n"));
            let on_canary = reply.text() == "v2";
            assert!(on_canary || !*moved, "{cookie} went back to stable at {weight} %");
            assert_eq!(reply.header("set-cookie"), None);
            *moved = on_canary;
        }
    }
    assert!(moved.iter().all(|moved| *moved));
}

#[test]
fn a_new_snapshot_holds_for_the_next_request_on_an_open_connection() {
    let (stable, canary) = (Scripted::saying("v1"), Scripted::saying("v2"));
    let web = Web::canary(&[stable.address], &[canary.address], 100.0);
    let mut aborted = web.again();
    aborted.set_weight(0.0);
    let proxy = Proxy::start(web);
    let mut client = proxy.client();
    assert_eq!(ask(&mut client, GET), "v2");
    proxy.publish(aborted);
    for _ in 0..100 {
        assert_eq!(ask(&mut client, GET), "v1");
    }
}

#[test]
fn a_version_can_be_chosen_by_hand_from_an_allowed_network_only() {
    let endpoints = ["v1", "v2", "v3"].map(Scripted::saying);
    for (network, chosen) in [("127.0.0.0/8", "v3"), ("10.0.0.0/8", "v1")] {
        let mut web = Web::canary(&[endpoints[0].address], &[nobody()], 0.0);
        web.versions.push(version("v3", &[endpoints[2].address]));
        web.policy.version_override = Some(Override {
            header: "x-adit-version".parse().unwrap(),
            from: vec![network.parse().unwrap()],
        });
        let proxy = Proxy::start(web);
        let reply = proxy.ask("GET / HTTP/1.1\r\nhost: a\r\nx-adit-version: v3\r\n\r\n");
        assert_eq!(reply.text(), chosen, "{network}");
        eventually("ended", || proxy.in_flight() == 0);
        let judged = u64::from(chosen == "v1");
        assert_eq!(proxy.evidence().stable.completed, judged, "{network}");
    }
}

#[test]
fn an_outcome_is_booked_where_its_request_was_routed() {
    let (go, gate) = std::sync::mpsc::sync_channel::<()>(1);
    let gate = std::sync::Mutex::new(gate);
    let slow = Scripted::start(move |wire| {
        wire.request();
        gate.lock().unwrap().recv().unwrap();
        wire.send(crate::endpoint::ok("late"));
    });
    let web = Web::canary(&[nobody()], &[slow.address], 100.0);
    let mut next = web.again();
    next.set_weight(0.0);
    let proxy = Proxy::start(web);
    let earlier = proxy.shared.live.load_full();
    let mut client = proxy.client();
    client.send(GET);
    eventually("the endpoint was asked", || slow.heads().len() == 1);
    proxy.publish(next);
    go.send(()).unwrap();
    assert_eq!(client.reply().text(), "late");
    eventually("ended", || proxy.in_flight() == 0);
    let booked = earlier.services[0].split.epoch.as_ref().unwrap().counts().canary;
    assert_eq!((booked.routed, booked.completed, proxy.evidence().canary.completed), (1, 1, 0));
}

#[test]
fn an_abort_moves_every_client_with_a_cookie_to_stable_at_once() {
    let (stable, canary) = (Scripted::saying("v1"), Scripted::saying("v2"));
    let mut web = Web::canary(&[stable.address], &[canary.address], 100.0);
    web.policy.affinity = Affinity::Cookie;
    let mut aborted = web.again();
    aborted.set_weight(0.0);
    let proxy = Proxy::start(web);
    let cookies: Vec<_> = (0..20_u128).map(|client| format!("adit_id={client:032x}")).collect();
    let ask = |cookie: &String| {
        let reply = proxy.ask(&format!("GET / HTTP/1.1\r\nhost: a\r\ncookie: {cookie}\r\n\r\n"));
        reply.text().to_owned()
    };
    assert!(cookies.iter().all(|cookie| ask(cookie) == "v2"));
    proxy.publish(aborted);
    assert!(cookies.iter().all(|cookie| ask(cookie) == "v1"));
}

#[test]
fn a_request_under_way_at_an_abort_reaches_no_other_endpoint_of_the_canary() {
    let (go, gate) = std::sync::mpsc::sync_channel::<()>(1);
    let gate = std::sync::Arc::new(std::sync::Mutex::new(gate));
    // Each takes a request, waits, and dies with it: a GET is then tried elsewhere.
    let dying = || {
        let gate = gate.clone();
        Scripted::start(move |wire| {
            if wire.request().is_some() {
                let _gone = gate.lock().unwrap().recv();
            }
        })
    };
    let (first, second, stable) = (dying(), dying(), Scripted::saying("v1"));
    let web = Web::canary(&[stable.address], &[first.address, second.address], 100.0);
    let mut aborted = web.again();
    aborted.set_weight(0.0);
    let proxy = Proxy::start(web);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let heads = || first.heads().len() + second.heads().len();
    eventually("the canary has the request", || heads() == 1);
    proxy.publish(aborted);
    assert_eq!(proxy.get("/").text(), "v1", "the abort is in force");
    drop(go);
    assert_eq!((client.reply().status, heads()), (502, 1));
}
