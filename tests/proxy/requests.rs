//! What an endpoint sees of a request, and what it never sees.

use adit::domain::routing::RouteMatch;

use crate::endpoint::Scripted;
use crate::wire::header;
use crate::world::{Proxy, Web, eventually, route};

#[test]
fn an_endpoint_sees_who_asked_and_nothing_between_the_hops() {
    let endpoint = Scripted::answering(
        "HTTP/1.1 200 OK\r\nconnection: x-hop, keep-alive\r\nx-hop: 1\r\nserver: theirs\r\nkeep-alive: timeout=9\r\n\
         content-length: 0\r\n\r\n",
    );
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    let reply = proxy.ask(
        "GET /a//b?q=%20&r HTTP/1.1\r\nHost: Shop.example:81\r\nConnection: X-Private, keep-alive\r\nX-Private: 1\r\n\
         X-Forwarded-For: 10.0.0.1\r\nX_Forwarded_For: 10.0.0.1\r\nTE: gzip\r\nUpgrade: websocket\r\nX-Mine: 1\r\n\r\n",
    );
    let head = &endpoint.heads()[0];
    assert!(head.starts_with("GET /a//b?q=%20&r HTTP/1.1\r\n"), "{head}");
    for (name, value) in [
        ("host", Some("Shop.example:81")),
        ("x-forwarded-for", Some("127.0.0.1")),
        ("x-forwarded-proto", Some("http")),
        ("x-forwarded-host", Some("Shop.example:81")),
        ("x-forwarded-port", Some(&*proxy.address.port().to_string())),
        ("x-mine", Some("1")),
        ("x-private", None),
        ("x_forwarded_for", None),
        ("te", None),
        ("upgrade", None),
        ("via", None),
    ] {
        assert_eq!(header(head, name), value, "{name} in {head}");
    }
    assert_eq!(header(head, "x-request-id").unwrap().len(), 32);
    let kept = ["server", "x-hop", "keep-alive"].map(|name| reply.header(name));
    assert_eq!(kept, [Some("theirs"), None, None]);
}

#[test]
fn a_request_that_can_be_read_in_two_ways_never_reaches_an_endpoint() {
    let endpoint = Scripted::saying("hello");
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a@b\r\n\r\n", 400),
        ("GET http://a/ HTTP/1.1\r\nhost: b\r\n\r\n", 400),
        ("GET http://u@a/ HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        ("GET /%00 HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        ("GET /a\\b HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        ("GET /%zz HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        ("GET * HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 501),
    ] {
        let mut client = proxy.client();
        client.send(request);
        assert_eq!(client.reply().status, status, "{request}");
        assert!(client.is_closed(), "{request}");
    }
    assert_eq!(endpoint.connections(), 0);
    assert_eq!(proxy.get("/").text(), "hello");
}

#[test]
fn methods_for_the_proxy_itself_never_reach_an_endpoint() {
    let endpoint = Scripted::saying("hello");
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    for (request, status) in [
        ("CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n", 405),
        ("TRACE / HTTP/1.1\r\nhost: a\r\n\r\n", 405),
        ("OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n", 204),
    ] {
        let reply = proxy.ask(request);
        assert_eq!(reply.status, status, "{request}");
        assert!(reply.header("allow").is_some_and(|allow| allow.contains("GET")), "{request}");
    }
    assert_eq!(endpoint.connections(), 0);
}

#[test]
fn a_length_that_contradicts_chunks_is_not_passed_on() {
    let endpoint = Scripted::saying("hello");
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    for framing in
        ["content-length: 3\r\ntransfer-encoding: chunked", "transfer-encoding: chunked\r\ncontent-length: 3"]
    {
        let mut client = proxy.client();
        client.send(format!(
            "POST / HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n"
        ));
        client.reply();
        assert!(client.is_closed(), "{framing}");
    }
    for head in endpoint.heads() {
        assert!(header(&head, "content-length").is_none() && !head.contains("smuggled"), "{head}");
    }
}

#[test]
fn an_absolute_target_is_forwarded_in_origin_form() {
    let endpoint = Scripted::saying("hello");
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    assert_eq!(proxy.ask("GET http://shop.example/a?b HTTP/1.1\r\nhost: shop.example\r\n\r\n").status, 200);
    let head = &endpoint.heads()[0];
    assert!(head.starts_with("GET /a?b HTTP/1.1\r\n"), "{head}");
    assert_eq!(header(head, "host"), Some("shop.example"));
}

#[test]
fn a_client_of_http_1_0_is_served_and_let_go() {
    let endpoint =
        Scripted::answering("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n");
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    let mut client = proxy.client();
    client.send("GET / HTTP/1.0\r\n\r\n");
    let reply = client.reply();
    assert_eq!((reply.text(), reply.header("transfer-encoding")), ("hi", None));
    let head = &endpoint.heads()[0];
    assert!(head.starts_with("GET / HTTP/1.1\r\n"), "{head}");
    assert_eq!(header(head, "host"), Some(&*endpoint.address.to_string()));
}

#[test]
fn a_prefix_is_stripped_if_the_route_says_so() {
    let endpoint = Scripted::saying("hello");
    let mut web = Web::of(&[&endpoint]);
    web.routes = vec![RouteMatch { strip_prefix: true, ..route("/api") }];
    let proxy = Proxy::start(web);
    for path in ["/api/x?q", "/api", "/%61pi/x"] {
        assert_eq!(proxy.get(path).status, 200, "{path}");
    }
    let targets: Vec<_> =
        endpoint.heads().iter().map(|head| head.split(' ').nth(1).unwrap().to_owned()).collect();
    assert_eq!(targets, ["/x?q", "/", "/x"]);
}

#[test]
fn a_request_without_a_route_is_told_so() {
    let endpoint = Scripted::saying("hello");
    let mut web = Web::of(&[&endpoint]);
    web.routes = vec![route("/api")];
    let proxy = Proxy::start(web);
    let reply = proxy.get("/apix");
    assert_eq!(
        (reply.status, reply.header("proxy-status")),
        (404, Some("adit; error=destination_not_found"))
    );
    let id = reply.header("x-request-id").unwrap();
    assert!(reply.text().contains(id), "{}", reply.text());
    let snapshot = proxy.shared.live.load();
    let unrouted =
        || snapshot.unrouted.sum(|cells| cells.requests(404, adit::domain::stats::MethodLabel::Get));
    eventually("counted", || unrouted() == 1);
}

#[test]
fn a_request_whose_body_nobody_wants_still_gets_its_answer() {
    let proxy = Proxy::start(Web::at(&[]));
    for _ in 0..20 {
        let mut client = proxy.client();
        client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 50000\r\n\r\n");
        client.send([b'x'; 40_000]);
        assert_eq!(client.reply().status, 503);
    }
}

#[test]
fn a_head_larger_than_the_limit_is_refused() {
    let endpoint = Scripted::saying("hello");
    let proxy = Proxy::start(Web::of(&[&endpoint]));
    let large = "x".repeat(40 * 1024);
    assert_eq!(proxy.ask(&format!("GET / HTTP/1.1\r\nhost: a\r\nx: {large}\r\n\r\n")).status, 431);
    let long = "x".repeat(17 * 1024);
    assert_eq!(proxy.get(&format!("/{long}")).status, 414);
    assert_eq!(endpoint.connections(), 0);
}
