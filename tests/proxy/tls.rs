//! TLS at listeners: which certificate, which protocol, for how long, and what becomes of requests.

use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use adit::domain::Timestamp;
use adit::proxy::Handshake;
use adit::tls::Keyrings;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use rustls::version::TLS12;

use crate::certificates::replace;
use crate::endpoint::{Scripted, ok};
use crate::tls_world::{Conversation, Secure};
use crate::wire::header;
use crate::world::{PATIENCE, Web, eventually};

#[test]
fn an_endpoint_learns_that_its_client_came_over_tls() {
    let endpoint = Scripted::saying("hello");
    let secure = Secure::shop(Web::of(&[&endpoint]));
    let reply = secure.get("shop.example", "/a?b");
    assert_eq!((reply.status, reply.text()), (200, "hello"));
    let head = &endpoint.heads()[0];
    assert_eq!(header(head, "x-forwarded-proto"), Some("https"), "{head}");
    secure.counted(Handshake::Done, 1);
}

#[test]
fn a_client_is_shown_the_certificate_for_the_host_it_names() {
    let endpoint = Scripted::saying("hello");
    let mut pairs = Vec::new();
    let secure = Secure::start(Web::of(&[&endpoint]), 1, |authority, folder| {
        let hosts: [&[&str]; 3] = [&["first.example"], &["*.shop.example"], &["www.shop.example"]];
        pairs = hosts.map(|hosts| authority.server(hosts)).into();
        let files = (0..).zip(&pairs).map(|(index, pair)| pair.config(folder, &format!("{index}")));
        vec![format!("tls = {{ certificates = [{}] }}", files.collect::<Vec<_>>().join(", "))]
    });
    assert!(secure.client("first.example").was_shown(&pairs[0]));
    assert!(secure.client("www.shop.example").was_shown(&pairs[2]), "exact names go before wildcards");
    assert!(secure.client("WWW.Shop.Example").was_shown(&pairs[2]), "case does not matter");
    assert!(secure.client("other.shop.example").was_shown(&pairs[1]));
    // Nobody's host: the first one is shown, and the client says that it is not the right one.
    let mut stranger = secure.client("stranger.example");
    assert!(stranger.shake().unwrap_err().to_string().contains("not valid for name"));
    let mut silent = secure.authority.trusted();
    silent.enable_sni = false;
    let mut silent = Conversation::begin(secure.proxy.address, Arc::new(silent), "first.example");
    assert!(silent.was_shown(&pairs[0]));
}

#[test]
fn both_sides_agree_on_http2() {
    let endpoint = Scripted::saying("hello");
    let secure = Secure::shop(Web::of(&[&endpoint]));
    let mut config = secure.authority.trusted();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(secure.proxy.address).await.unwrap();
        let name = ServerName::try_from("shop.example").unwrap();
        let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (mut sender, connection) =
            Box::pin(http2::handshake(TokioExecutor::new(), TokioIo::new(stream))).await.unwrap();
        tokio::spawn(connection);
        let request = Request::get("https://shop.example/").body(Empty::<Bytes>::new()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "hello");
        // The port that no port means is another one over TLS.
        let request = Request::get("https://shop.example/").header("host", "shop.example:443");
        let response = sender.send_request(request.body(Empty::new()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
    });
}

#[test]
fn a_client_that_offers_only_http1_gets_it() {
    let endpoint = Scripted::saying("hello");
    let secure = Secure::shop(Web::of(&[&endpoint]));
    for (offers, agreed) in [(&["http/1.1"][..], Some(&b"http/1.1"[..])), (&[], None)] {
        let mut config = secure.authority.trusted();
        config.alpn_protocols = offers.iter().map(|offer| offer.as_bytes().to_vec()).collect();
        let mut client = Conversation::begin(secure.proxy.address, Arc::new(config), "shop.example");
        assert_eq!(client.ask("GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n").text(), "hello");
        assert_eq!(client.0.conn.alpn_protocol(), agreed);
    }
}

#[test]
fn tls_1_2_is_spoken_unless_the_config_asks_for_more() {
    let endpoint = Scripted::saying("hello");
    let secure = Secure::start(Web::of(&[&endpoint]), 1, |authority, folder| {
        let files = authority.server(&["shop.example"]).config(folder, "shop");
        let tls = |more: &str| format!("tls = {{ certificates = [{files}]{more} }}");
        vec![tls(""), tls(", min_version = '1.3'")]
    });
    let old = Arc::new(secure.authority.trusted_with(&[&TLS12], None));
    let mut client = Conversation::begin(secure.proxy.addresses[0], old.clone(), "shop.example");
    assert_eq!(client.ask("GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n").status, 200);
    let mut client = Conversation::begin(secure.proxy.addresses[1], old, "shop.example");
    assert!(client.shake().is_err());
    secure.counted(Handshake::Failed, 1);
}

#[test]
fn whoever_does_not_finish_a_handshake_is_cut_after_five_seconds() {
    let secure = Secure::shop(Web::at(&[]));
    let mut silent = TcpStream::connect(secure.proxy.address).unwrap();
    let mut half = TcpStream::connect(secure.proxy.address).unwrap();
    // The beginning of a record that never ends.
    half.write_all(&[22, 3, 1, 2, 0, 1, 0, 1]).unwrap();
    let vitals = secure.proxy.workers.as_ref().unwrap().vitals();
    eventually("both are connected", || vitals.connections() == 2);
    let (mut tenths, mut trickled) = (0, 0);
    while vitals.connections() > 0 {
        secure.hand.advance(Duration::from_millis(100));
        tenths += 1;
        trickled += usize::from(half.write_all(&[0]).is_ok());
        assert!(tenths < 1_000_000, "never cut");
        std::thread::yield_now();
    }
    assert!(tenths >= 45 && trickled >= 1, "cut after {tenths} tenths of a second");
    for stream in [&mut silent, &mut half] {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let read = stream.read(&mut [0; 64]);
        assert!(
            matches!(&read, Ok(0)) || read.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
        );
    }
    secure.counted(Handshake::TimedOut, 2);
}

#[test]
fn what_is_not_tls_is_counted_and_harms_nobody() {
    let endpoint = Scripted::saying("hello");
    let secure = Secure::shop(Web::of(&[&endpoint]));
    let mut plain = secure.proxy.client();
    plain.send("GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n");
    secure.counted(Handshake::Failed, 1);
    assert_eq!(secure.get("shop.example", "/").status, 200);
    assert_eq!((secure.proxy.endpoint_counts(0, 0), endpoint.connections()), ((1, 0), 1));
}

#[test]
fn an_end_is_said_before_the_connection_closes() {
    let endpoint = Scripted::saying("hello");
    let secure = Secure::shop(Web::of(&[&endpoint]));
    let mut client = secure.client("shop.example");
    assert_eq!(client.ask("GET / HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n\r\n").status, 200);
    assert!(client.until_goodbye());
}

#[test]
fn a_drain_says_goodbye_to_idle_connections_and_lets_handshakes_end() {
    let endpoint = Scripted::saying("hello");
    let mut secure = Secure::shop(Web::of(&[&endpoint]));
    let mut idle = secure.client("shop.example");
    idle.ask("GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n");
    let mut shaking = secure.client("shop.example");
    // The client's hello is sent, the rest waits.
    shaking.0.conn.write_tls(&mut shaking.0.sock).unwrap();
    let vitals = secure.proxy.workers.as_ref().unwrap().vitals();
    eventually("both are connected", || vitals.connections() == 2);
    let workers = secure.proxy.workers.take().unwrap();
    workers.drain();
    assert!(idle.until_goodbye());
    assert_eq!(shaking.ask("GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n").text(), "hello");
    assert!(shaking.until_goodbye());
    workers.join();
}

#[test]
fn large_bodies_pass_unchanged_both_ways() {
    const LENGTH: usize = 10 * 1024 * 1024;
    let endpoint = Scripted::start(|wire| {
        while let Some((_, body)) = wire.request() {
            wire.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()));
            wire.send(body);
        }
    });
    let secure = Secure::shop(Web::of(&[&endpoint]));
    let mut client = secure.client("shop.example");
    let body: Vec<u8> = (0..LENGTH).map(|at| u8::try_from(at % 251).unwrap()).collect();
    client.send(format!("POST / HTTP/1.1\r\nhost: shop.example\r\ncontent-length: {LENGTH}\r\n\r\n"));
    client.send(&body);
    let reply = client.reply();
    assert!(reply.whole && reply.body == body, "{}", reply.head);
}

#[test]
fn an_early_answer_is_not_lost_to_the_body_that_nobody_reads() {
    let secure = Secure::shop(Web::at(&[]));
    let mut client = secure.client("shop.example");
    client.send("POST / HTTP/1.1\r\nhost: shop.example\r\ncontent-length: 50000\r\n\r\n");
    client.send(vec![b'x'; 50_000]);
    assert_eq!(client.reply().status, 503);
    assert!(client.until_goodbye());
}

#[test]
fn a_client_that_takes_nothing_of_an_answer_is_cut() {
    const PIECE: usize = 50_000;
    const PIECES: usize = 1_000;
    let sent = Arc::new(AtomicUsize::new(0));
    let endpoint = Scripted::start({
        let sent = sent.clone();
        move |wire| {
            wire.request();
            wire.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", PIECE * PIECES));
            for _ in 0..PIECES {
                wire.send(vec![b'x'; PIECE]);
                sent.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let secure = Secure::shop(Web::of(&[&endpoint]));
    let mut client = secure.client("shop.example");
    client.send("GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n");
    let (last, looks) = (Cell::new(0), Cell::new(0));
    eventually("it is under way, and stuck", || {
        let now = sent.load(Ordering::Relaxed);
        looks.set(if now > 0 && now == last.replace(now) { looks.get() + 1 } else { 0 });
        looks.get() == 100
    });
    let mut seconds = 0;
    while secure.proxy.in_flight() != 0 {
        secure.hand.advance(Duration::from_secs(1));
        seconds += 1;
        std::thread::yield_now();
    }
    assert!(seconds >= 60, "after {seconds} s");
    assert_eq!((secure.proxy.ended(0, 499), secure.proxy.endpoint_counts(0, 0).1), (1, 0));
}

#[test]
fn a_session_is_resumed_at_any_worker_but_not_at_another_listener() {
    let endpoint = Scripted::saying("hello");
    let secure = Secure::start(Web::of(&[&endpoint]), 2, |authority, folder| {
        let files = authority.server(&["shop.example"]).config(folder, "shop");
        std::fs::write(folder.join("ca.pem"), &authority.pem).unwrap();
        let ca = folder.join("ca.pem").display().to_string();
        let clients = format!(", client_ca_file = '{ca}', client_auth = 'optional'");
        let tls = |more: &str| format!("tls = {{ certificates = [{files}]{more} }}");
        vec![tls(""), tls(&clients)]
    });
    for versions in [&[&rustls::version::TLS13], &[&TLS12]] {
        let config = Arc::new(secure.authority.trusted_with(versions, None));
        let resumed = |at: usize| {
            let mut client = Conversation::begin(secure.proxy.addresses[at], config.clone(), "shop.example");
            assert_eq!(client.ask("GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n").status, 200);
            client.is_resumed()
        };
        assert!(!resumed(0), "{versions:?}");
        // The system spreads connections over the workers.
        assert_eq!((0..16).filter(|_| resumed(0)).count(), 16, "{versions:?}");
        assert!(!resumed(1), "what is asked of clients is not the same there");
    }
}

#[test]
fn hsts_is_said_over_tls_and_leaves_the_endpoints_own_word() {
    let endpoint = Scripted::start(|wire| {
        while let Some((head, _)) = wire.request() {
            let own = "HTTP/1.1 200 OK\r\nstrict-transport-security: max-age=1\r\ncontent-length: 0\r\n\r\n";
            wire.send(if head.contains("/own") { own.to_owned() } else { ok("hello") });
        }
    });
    let secure = Secure::start(Web::of(&[&endpoint]), 1, |authority, folder| {
        let files = authority.server(&["shop.example"]).config(folder, "shop");
        vec![format!("hsts = '365d'\ntls = {{ certificates = [{files}] }}"), String::new()]
    });
    let said =
        |path: &str| secure.get("shop.example", path).header("strict-transport-security").map(str::to_owned);
    assert_eq!(said("/").as_deref(), Some("max-age=31536000"));
    assert_eq!(said("/own").as_deref(), Some("max-age=1"));
    let mut plain = crate::wire::Wire::new(TcpStream::connect(secure.proxy.addresses[1]).unwrap());
    plain.send("GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n");
    assert_eq!(plain.reply().header("strict-transport-security"), None);
}

#[test]
fn a_plain_listener_sends_on_to_the_one_with_tls() {
    let endpoint = Scripted::saying("proof");
    let secure = Secure::start(Web::of(&[&endpoint]), 1, |authority, folder| {
        let files = authority.server(&["shop.example"]).config(folder, "shop");
        let tls = format!("tls = {{ certificates = [{files}] }}");
        vec!["redirect = 'https'".to_owned(), tls, "redirect = 'https:443'".to_owned()]
    });
    let ask = |at: usize, request: &str| {
        let mut plain = crate::wire::Wire::new(TcpStream::connect(secure.proxy.addresses[at]).unwrap());
        plain.send(request);
        plain.reply()
    };
    let port = secure.proxy.addresses[1].port();
    let reply = ask(0, "POST /a%20b?q=%0d HTTP/1.1\r\nhost: Shop.Example:80\r\ncontent-length: 0\r\n\r\n");
    let location = format!("https://shop.example:{port}/a%20b?q=%0d");
    assert_eq!((reply.status, reply.header("location")), (308, Some(location.as_str())));
    let reply = ask(2, "GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n");
    assert_eq!(reply.header("location"), Some("https://shop.example/"));
    assert_eq!(ask(2, "GET / HTTP/1.1\r\nhost: evil@shop.example\r\n\r\n").status, 400);
    let reply = ask(0, "GET /.well-known/acme-challenge/x HTTP/1.1\r\nhost: shop.example\r\n\r\n");
    assert_eq!((reply.status, reply.text()), (200, "proof"));
    assert_eq!(endpoint.heads().len(), 1);
}

#[test]
fn a_request_for_another_certificates_host_is_misdirected() {
    let endpoint = Scripted::saying("hello");
    let secure = Secure::start(Web::of(&[&endpoint]), 1, |authority, folder| {
        let shop = authority.server(&["shop.example", "*.shop.example"]).config(folder, "shop");
        let bank = authority.server(&["bank.example"]).config(folder, "bank");
        vec![format!("tls = {{ certificates = [{shop}, {bank}] }}")]
    });
    let mut client = secure.client("shop.example");
    let mut status = |host: &str| client.ask(&format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n")).status;
    assert_eq!(status("bank.example"), 421);
    assert_eq!(status("bank.example:443"), 421);
    // The connection goes on; what its certificate is for, and what none is for, is served.
    assert_eq!((status("www.shop.example"), status("10.0.0.1"), status("shop.example")), (200, 200, 200));
    let mut silent = secure.authority.trusted();
    silent.enable_sni = false;
    let mut silent = Conversation::begin(secure.proxy.address, Arc::new(silent), "shop.example");
    assert_eq!(silent.ask("GET / HTTP/1.1\r\nhost: bank.example\r\n\r\n").status, 200);
}

#[test]
fn replaced_files_are_shown_to_new_connections_and_leave_others_alone() {
    let endpoint = Scripted::saying("hello");
    let secure = Secure::shop(Web::of(&[&endpoint]));
    let mut before = secure.client("shop.example");
    before.ask("GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n");
    let next = secure.authority.server(&["shop.example"]);
    next.write(secure.folder.path(), "shop");
    secure.keyrings.look();
    assert!(secure.client("shop.example").was_shown(&next));
    assert_eq!(before.ask("GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n").text(), "hello");
    assert_eq!((secure.keyrings.reloads(), secure.keyrings.problems()), ((1, 0), vec![]));
}

#[test]
fn files_that_can_not_be_used_change_nothing_and_are_a_problem() {
    let endpoint = Scripted::saying("hello");
    let secure = Secure::shop(Web::of(&[&endpoint]));
    let other = secure.authority.server(&["shop.example"]);
    let [cert, key] = ["shop.pem", "shop.key"].map(|name| secure.folder.path().join(name));
    let (good_cert, good_key) =
        (std::fs::read_to_string(&cert).unwrap(), std::fs::read_to_string(&key).unwrap());
    for (cert_text, key_text, problem) in [
        (other.pem.as_str(), good_key.as_str(), "not the one of the certificate"),
        ("nothing", &good_key, "no certificate in it"),
        (&good_cert, "nothing", "no private key in it"),
        (
            &good_cert,
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----",
            "passphrase",
        ),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &good_key, "can't be read"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n", &good_key, "not valid PEM"),
    ] {
        replace(&cert, cert_text);
        replace(&key, key_text);
        secure.keyrings.look();
        let problems = secure.keyrings.problems().join("\n");
        assert!(
            problems.contains(problem) && problems.contains("the last good ones"),
            "{problem}: {problems}"
        );
        assert_eq!(secure.get("shop.example", "/").status, 200);
    }
    replace(&cert, &good_cert);
    std::fs::remove_file(&key).unwrap();
    secure.keyrings.look();
    assert!(secure.keyrings.problems().join("\n").contains("no such file"));
    replace(&key, &good_key);
    secure.keyrings.look();
    assert_eq!((secure.keyrings.reloads(), secure.keyrings.problems()), ((1, 7), vec![]));
}

#[test]
fn files_are_looked_at_every_few_seconds_even_behind_symlinks() {
    let secure = Secure::shop(Web::at(&[]));
    let folder = secure.folder.path();
    // As certbot and Kubernetes do it: names stay, and point elsewhere.
    let next = secure.authority.server(&["shop.example"]);
    next.write(folder, "next");
    for ending in ["pem", "key"] {
        let link = folder.join("link");
        std::os::unix::fs::symlink(format!("next.{ending}"), &link).unwrap();
        std::fs::rename(&link, folder.join(format!("shop.{ending}"))).unwrap();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (keyrings, hand) = (secure.keyrings.clone(), secure.hand.clone());
    runtime.block_on(async {
        tokio::select! {
            () = Keyrings::watch(keyrings.clone()) => {}
            () = async {
                while keyrings.reloads() != (1, 0) {
                    hand.advance(Duration::from_millis(500));
                    tokio::task::yield_now().await;
                }
            } => {}
        }
    });
    assert!(secure.client("shop.example").was_shown(&next));
}

#[test]
fn a_certificate_that_ends_soon_is_a_problem_and_an_expired_one_too() {
    let secure = Secure::start(Web::at(&[]), 1, |authority, folder| {
        // The clock stands at 1970-01-01, 00:16.
        let days = [(2, "tomorrow"), (14, "soon"), (16, "later")];
        let files = days
            .map(|(day, name)| authority.server_until(&["a.example"], (1970, 1, day)).config(folder, name));
        vec![format!("tls = {{ certificates = [{}] }}", files.join(", "))]
    });
    let problems = secure.keyrings.problems();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].contains("tomorrow.pem expires in 0 days, at 1970-01-02T00:00:00"), "{problems:?}");
    assert!(problems[1].contains("soon.pem expires in 12 days"), "{problems:?}");
    secure.hand.advance(Duration::from_secs(3 * 86_400));
    let problems = secure.keyrings.problems();
    assert!(problems[0].contains("tomorrow.pem HAS EXPIRED"), "{problems:?}");
    assert_eq!(problems.len(), 3, "{problems:?}");
    let (_, first) = secure.keyrings.certificates().remove(0);
    assert_eq!(first.days_left(Timestamp::from_micros(0)), 1);
}

#[test]
fn a_self_signed_certificate_is_for_this_machine_and_for_the_hosts_of_the_config() {
    let text = "[[listeners]]\naddress = '127.0.0.1:0'\ntls = 'self-signed'\n\
                [services.web]\nhosts = ['shop.example', '*.shop.example', '[::2]']\n\
                [services.web.versions.v1]\nendpoints = ['127.0.0.1:1']";
    let spec = adit::config::parse(text, &|_| None).unwrap();
    let keyrings = Keyrings::load(&spec, adit::clock::Clock::real()).unwrap();
    let (_, certificate) = keyrings.certificates().remove(0);
    let mut hosts = certificate.hosts.clone();
    hosts.sort();
    assert_eq!(hosts, ["*.shop.example", "127.0.0.1", "::1", "::2", "localhost", "shop.example"]);
    assert_eq!(certificate.days_left(adit::clock::Clock::real().now()), 396);
    // The same wishes leave it alone; other hosts make another one.
    keyrings.reload(&spec);
    assert_eq!(keyrings.certificates()[0].1.fingerprint, certificate.fingerprint);
    let other = adit::config::parse(&text.replace("'*.shop.example', ", ""), &|_| None).unwrap();
    keyrings.reload(&other);
    assert_ne!(keyrings.certificates()[0].1.fingerprint, certificate.fingerprint);
}
