//! Who may ask, and how often.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use adit::clock::Clock;
use adit::domain::Timestamp;
use adit::domain::routing::{Access, Hold, HoldTerms, LimitBy, Limiter, RateLimit, Salt, TrustedProxies};

use crate::endpoint::Scripted;
use crate::world::{Proxy, Web, eventually, networks};

const START: Timestamp = Timestamp::from_micros(1_000_000_000);

/// So many a minute, and so many at once.
fn limited(web: Web, by: LimitBy, requests: u32) -> Web {
    let requests = NonZeroU32::new(requests).unwrap();
    let rule = RateLimit { by, requests, per: Duration::from_secs(60), burst: requests };
    Web { limiter: Some(Arc::new(Limiter::new(rule, Salt(1, 2)))), ..web }
}

/// Answers every request at once; the proxy in front, at 127.0.0.1, is trusted.
fn believing(web: Web) -> Web {
    Web { trusted: TrustedProxies(networks(&["127.0.0.1"])), ..web }
}

fn from(client: &str) -> String {
    format!("GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: {client}\r\n\r\n")
}

#[test]
fn who_is_denied_or_not_allowed_gets_403_and_no_endpoint_hears_of_it() {
    let endpoint = Scripted::saying("hello");
    let mut web = believing(Web::of(&[&endpoint]));
    web.policy.access =
        Access { allow: networks(&["192.0.2.0/24", "2001:db8::/32"]), deny: networks(&["192.0.2.66"]) };
    let proxy = Proxy::start(web);
    for (client, status) in
        [("192.0.2.1", 200), ("192.0.2.66", 403), ("198.51.100.1", 403), ("2001:db8::1", 200), ("::1", 403)]
    {
        assert_eq!(proxy.ask(&from(client)).status, status, "{client}");
    }
    let refused = proxy.ask(&from("192.0.2.66"));
    assert_eq!(refused.header("proxy-status"), Some("adit; error=http_request_denied"));
    assert_eq!(endpoint.heads().len(), 2);
}

#[test]
fn who_asks_too_often_is_told_when_to_come_back() {
    let endpoint = Scripted::saying("hello");
    let (clock, hand) = Clock::manual(START);
    let web = limited(believing(Web::of(&[&endpoint])), LimitBy::Ip, 2);
    let proxy = Proxy::start_with(web, 1, clock, Duration::ZERO);
    let statuses = |client: &str| [(); 3].map(|()| proxy.ask(&from(client)).status);
    assert_eq!(statuses("192.0.2.1"), [200, 200, 429]);
    assert_eq!(statuses("192.0.2.2"), [200, 200, 429], "another client");
    hand.advance(Duration::from_millis(500));
    let refused = proxy.ask(&from("192.0.2.1"));
    assert_eq!(
        (refused.header("retry-after"), refused.header("proxy-status")),
        (Some("30"), Some("adit; error=http_request_denied"))
    );
    hand.advance(Duration::from_millis(29_500));
    assert_eq!([(); 2].map(|()| proxy.ask(&from("192.0.2.1")).status), [200, 429]);
    assert_eq!(endpoint.heads().len(), 5);
}

#[test]
fn a_limit_is_by_header_or_for_the_whole_service() {
    let endpoint = Scripted::saying("hello");
    let by_key = LimitBy::Header(http::HeaderName::from_static("x-key"));
    for (by, expected) in [(by_key, [200, 429, 200, 200, 429]), (LimitBy::Service, [200, 429, 429, 429, 429])]
    {
        let proxy = Proxy::start(limited(Web::of(&[&endpoint]), by.clone(), 1));
        let asked = ["x-key: 1\r\n", "x-key: 1\r\n", "x-key: 2\r\n", "", ""]
            .map(|key| proxy.ask(&format!("GET / HTTP/1.1\r\nhost: a\r\n{key}\r\n")).status);
        assert_eq!(asked, expected, "{by:?}");
    }
}

#[test]
fn all_workers_share_a_limit() {
    let endpoint = Scripted::saying("hello");
    let (clock, _hand) = Clock::manual(START);
    let web = limited(Web::of(&[&endpoint]), LimitBy::Ip, 20);
    let proxy = Proxy::start_with(web, 2, clock, Duration::ZERO);
    let good = (0..100).filter(|_| proxy.get("/").status == 200).count();
    assert_eq!(good, 20);
}

#[test]
fn a_spoofed_address_is_no_way_around_a_limit() {
    let endpoint = Scripted::saying("hello");
    let proxy = Proxy::start(limited(Web::of(&[&endpoint]), LimitBy::Ip, 1));
    let statuses = ["192.0.2.1", "192.0.2.2"].map(|client| proxy.ask(&from(client)).status);
    assert_eq!(statuses, [200, 429]);
}

#[test]
fn what_is_refused_is_no_evidence_and_no_endpoints_failure() {
    let (stable, canary) = (Scripted::saying("v1"), Scripted::saying("v2"));
    let mut web = limited(Web::canary(&[stable.address], &[canary.address], 100.0), LimitBy::Ip, 3);
    web = believing(web);
    web.policy.access.deny = networks(&["198.51.100.1"]);
    let proxy = Proxy::start(web);
    for _ in 0..20 {
        proxy.ask(&from("192.0.2.1"));
        assert_eq!(proxy.ask(&from("198.51.100.1")).status, 403);
    }
    let evidence = proxy.evidence();
    assert_eq!((evidence.canary.routed, evidence.stable.routed), (3, 0), "{evidence:?}");
    assert_eq!((proxy.ended(1, 200), proxy.ended(1, 429), proxy.ended(1, 403)), (3, 0, 0));
    assert_eq!(proxy.endpoint_counts(1, 0), (3, 0));
    let unrouted = &proxy.shared.live.load().unrouted;
    let counted = |code| unrouted.sum(|cells| cells.requests(code, adit::domain::stats::MethodLabel::Get));
    assert_eq!((counted(429), counted(403)), (17, 20));
}

#[test]
fn a_limit_goes_on_over_a_new_snapshot() {
    let endpoint = Scripted::saying("hello");
    let web = limited(Web::of(&[&endpoint]), LimitBy::Ip, 1);
    let again = web.again();
    let proxy = Proxy::start(web);
    assert_eq!(proxy.get("/").status, 200);
    proxy.publish(again);
    assert_eq!(proxy.get("/").status, 429);
}

#[test]
fn each_request_of_a_connection_is_of_the_client_that_it_names() {
    let endpoint = Scripted::saying("hello");
    let proxy = Proxy::start(limited(believing(Web::of(&[&endpoint])), LimitBy::Ip, 1));
    let mut wire = proxy.client();
    let statuses = ["192.0.2.1", "192.0.2.1", "192.0.2.2"].map(|client| {
        wire.send(from(client));
        wire.reply().status
    });
    assert_eq!(statuses, [200, 429, 200]);
}

#[test]
fn who_waits_for_a_release_has_used_its_share_once_and_who_may_not_ask_does_not_wait() {
    let endpoint = Scripted::saying("hello");
    let mut released = limited(believing(Web::of(&[&endpoint])), LimitBy::Ip, 1);
    released.policy.access.deny = networks(&["198.51.100.1"]);
    let hold = Arc::new(Hold::new(HoldTerms::default()));
    let proxy = Proxy::start(Web { hold: Some(hold.clone()), ..released.again() });
    let mut waiting = proxy.client();
    waiting.send(from("192.0.2.1"));
    eventually("it waits", || hold.waiting() == 1);
    assert_eq!(proxy.ask(&from("198.51.100.1")).status, 403);
    assert_eq!(proxy.ask(&from("192.0.2.1")).status, 429);
    proxy.publish(released);
    assert_eq!(waiting.reply().status, 200);
}
