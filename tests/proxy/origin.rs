//! Who asks: whom a trusted proxy names, and nobody else's word.

use adit::domain::routing::{Affinity, Override, TrustedProxies};

use crate::endpoint::Scripted;
use crate::wire::header;
use crate::world::{Proxy, Web, networks};

/// Everything that a client can say of itself.
const CLAIMS: &str = "x-forwarded-for: 198.51.100.7, 192.0.2.1\r\nx-forwarded-proto: https\r\nx-forwarded-host: Shop.example\r\n\
     x-forwarded-port: 8443\r\nx-real-ip: 192.0.2.1\r\nforwarded: for=192.0.2.1\r\nx-request-id: abc-1\r\n\
     x-forwarded-server: s\r\nx-forwarded-ssl: on\r\n";

fn behind(web: Web, trusted: &[&str]) -> Web {
    Web { trusted: TrustedProxies(networks(trusted)), ..web }
}

/// What the endpoint is told when a proxy at 127.0.0.1, trusted or not, sends `fields`.
fn told(trusted: &[&str], fields: &str) -> String {
    let endpoint = Scripted::saying("hello");
    let proxy = Proxy::start(behind(Web::of(&[&endpoint]), trusted));
    let reply = proxy.ask(&format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n"));
    assert_eq!(reply.status, 200, "{reply:?}");
    endpoint.heads().remove(0)
}

#[track_caller]
fn assert_told(head: &str, expected: &[(&str, Option<&str>)]) {
    for (name, value) in expected {
        assert_eq!(header(head, name), *value, "{name} in {head}");
    }
}

#[test]
fn what_a_trusted_proxy_says_is_passed_on_and_completed() {
    let head = told(&["127.0.0.0/8"], CLAIMS);
    assert_told(
        &head,
        &[
            // What stands left of the client is only its own word.
            ("x-forwarded-for", Some("192.0.2.1, 127.0.0.1")),
            ("x-forwarded-proto", Some("https")),
            ("x-forwarded-host", Some("Shop.example")),
            ("x-forwarded-port", Some("8443")),
            ("x-real-ip", Some("192.0.2.1")),
            ("x-request-id", Some("abc-1")),
            ("forwarded", None),
            ("x-forwarded-server", None),
            ("x-forwarded-ssl", None),
            ("host", Some("a")),
        ],
    );
}

#[test]
fn what_anybody_else_says_is_not_passed_on() {
    for trusted in [&[][..], &["10.0.0.0/8"], &["::1"]] {
        let head = told(trusted, CLAIMS);
        assert_told(
            &head,
            &[
                ("x-forwarded-for", Some("127.0.0.1")),
                ("x-forwarded-proto", Some("http")),
                ("x-forwarded-host", Some("a")),
                ("x-real-ip", None),
                ("forwarded", None),
            ],
        );
        assert_eq!(header(&head, "x-request-id").unwrap().len(), 32, "{head}");
    }
}

#[test]
fn a_chain_of_trusted_proxies_is_walked_over_several_lines() {
    let lines = "x-forwarded-for: 2001:db8::7, [2001:db8::1]:4711\r\nX-Forwarded-For: 10.0.0.2\r\nx-forwarded-for: 10.0.0.1:80\r\n";
    let head = told(&["127.0.0.1", "10.0.0.0/8"], lines);
    assert_told(&head, &[("x-forwarded-for", Some("2001:db8::1, 10.0.0.2, 10.0.0.1, 127.0.0.1"))]);
    assert_eq!(head.matches("x-forwarded-for").count(), 1, "{head}");
}

#[test]
fn what_a_trusted_proxy_says_badly_is_not_passed_on() {
    let head = told(
        &["127.0.0.1"],
        "x-forwarded-for: 192.0.2.1, unknown\r\nx-forwarded-proto: gopher\r\nx-forwarded-host: a b\r\n\
         x-forwarded-port: 99999\r\nx-real-ip: 192.0.2.1\r\nx-request-id: a<b>\r\n",
    );
    assert_told(
        &head,
        &[
            ("x-forwarded-for", Some("127.0.0.1")),
            ("x-forwarded-proto", Some("http")),
            ("x-forwarded-host", Some("a")),
            ("x-real-ip", None),
        ],
    );
    assert_eq!(header(&head, "x-request-id").unwrap().len(), 32, "{head}");
}

#[test]
fn a_trusted_proxys_scheme_without_a_port_leaves_the_port_open() {
    let head = told(&["127.0.0.1"], "x-forwarded-proto: HTTPS\r\n");
    assert_told(&head, &[("x-forwarded-proto", Some("https")), ("x-forwarded-port", None)]);
}

#[test]
fn two_different_claims_are_none() {
    let twice =
        "x-forwarded-proto: https\r\nx-forwarded-proto: http\r\nx-request-id: a\r\nx-request-id: b\r\n";
    let head = told(&["127.0.0.1"], twice);
    assert_told(&head, &[("x-forwarded-proto", Some("http"))]);
    assert_eq!(header(&head, "x-request-id").unwrap().len(), 32, "{head}");
}

#[test]
fn a_request_id_of_a_trusted_proxy_is_the_answers_too() {
    let proxy = Proxy::start(behind(Web::at(&[]), &["127.0.0.1"]));
    let reply = proxy.ask("GET / HTTP/1.1\r\nhost: a\r\nx-request-id: abc-1\r\n\r\n");
    assert_eq!((reply.status, reply.header("x-request-id")), (503, Some("abc-1")));
}

#[test]
fn a_cookie_is_secure_when_a_trusted_proxy_says_that_the_client_uses_https() {
    for (trusted, secure) in [(&["127.0.0.1"][..], true), (&[], false)] {
        let endpoint = Scripted::saying("hello");
        let mut web = behind(Web::of(&[&endpoint]), trusted);
        web.policy.affinity = Affinity::Cookie;
        let reply = Proxy::start(web).ask("GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-proto: https\r\n\r\n");
        let cookie = reply.header("set-cookie").unwrap();
        assert_eq!(cookie.ends_with("; Secure"), secure, "{cookie}");
    }
}

#[test]
fn a_version_is_chosen_by_hand_by_the_client_not_by_the_proxy_in_front() {
    let (stable, canary) = (Scripted::saying("v1"), Scripted::saying("v2"));
    for (trusted, client, text) in [
        (&["127.0.0.1"][..], "192.0.2.1", "v2"),
        (&["127.0.0.1"], "192.0.3.1", "v1"),
        (&["127.0.0.1"], "192.0.2.1, 192.0.3.1", "v1"),
        (&[], "192.0.2.1", "v1"),
    ] {
        let mut web = behind(Web::canary(&[stable.address], &[canary.address], 0.0), trusted);
        web.policy.version_override = Some(Override {
            header: http::HeaderName::from_static("x-adit-version"),
            from: networks(&["192.0.2.0/24"]),
        });
        let request =
            format!("GET / HTTP/1.1\r\nhost: a\r\nx-adit-version: v2\r\nx-forwarded-for: {client}\r\n\r\n");
        assert_eq!(Proxy::start(web).ask(&request).text(), text, "{trusted:?} {client}");
    }
}

#[test]
fn thousands_of_addresses_are_answered_like_one() {
    let many = format!("x-forwarded-for: {}\r\n", vec!["127.0.0.1"; 2500].join(","));
    let head = told(&["127.0.0.1"], &many);
    assert_eq!(header(&head, "x-forwarded-for").unwrap().split(", ").count(), 33);
}
