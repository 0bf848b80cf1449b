//! Endpoints that are spoken to over TLS.

use std::sync::Arc;

use adit::domain::routing::{Connection, Identity, Protocol, Roots, Tls};
use h2::server::Builder;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use crate::endpoint::{Scripted, ok};
use crate::frames::{Speaker, accept, say};
use crate::world::{Proxy, Web, eventually};

/// Whose certificates an endpoint may have.
struct Authority {
    params: CertificateParams,
    key: KeyPair,
    der: Vec<u8>,
}

/// A certificate, and how long it is good.
#[derive(Clone, Copy, PartialEq)]
enum Term {
    Running,
    Over,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self { params, key, der }
    }

    fn issue(&self, name: &str, term: Term) -> Identity {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        if term == Term::Over {
            (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        }
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(&self.params, &self.key);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        Identity { chain: vec![certificate.der().to_vec()], key: key.serialize_der() }
    }

    fn roots(&self) -> Roots {
        Roots::These(vec![self.der.clone()])
    }
}

/// An endpoint's side of TLS. `clients`: who may vouch for those who come.
fn acceptor(identity: &Identity, alpn: &[&str], clients: Option<&Authority>) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from(authority.der.clone())).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let chain = identity.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
    let key = PrivateKeyDer::try_from(identity.key.clone()).unwrap();
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

/// An endpoint that answers `hello` over HTTP/1.1.
fn http1(acceptor: TlsAcceptor) -> Scripted {
    Scripted::start(move |wire| {
        let stream = wire.stream.try_clone().unwrap();
        stream.set_nonblocking(true).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let stream = tokio::net::TcpStream::from_std(stream).unwrap();
            let Some(mut stream) = accept(&acceptor, stream).await else { return };
            let mut read = Vec::new();
            while stream.read_buf(&mut read).await.is_ok_and(|length| length > 0) {
                if read.ends_with(b"\r\n\r\n") {
                    read.clear();
                    stream.write_all(ok("hello").as_bytes()).await.unwrap();
                    stream.flush().await.unwrap();
                }
            }
        });
    })
}

fn http2(acceptor: TlsAcceptor) -> Speaker {
    Speaker::start_with(Builder::new(), Some(acceptor), |_, respond| async { say(respond, "hello") })
}

fn proxy(address: std::net::SocketAddr, protocol: Protocol, tls: Tls) -> Proxy {
    let mut web = Web::at(&[address]);
    web.policy.connection = Connection { protocol, tls: Some(Arc::new(tls)), proxy_protocol: None };
    Proxy::start(web)
}

fn trusting(authority: &Authority) -> Tls {
    Tls { roots: authority.roots(), server_name: Some("shop.internal".to_owned()), identity: None }
}

#[test]
fn http1_is_spoken_over_tls_and_its_connection_used_again() {
    let authority = Authority::new();
    let identity = authority.issue("shop.internal", Term::Running);
    let endpoint = http1(acceptor(&identity, &["http/1.1"], None));
    let proxy = proxy(endpoint.address, Protocol::Http1, trusting(&authority));
    for _ in 0..3 {
        assert_eq!(proxy.get("/").text(), "hello");
    }
    assert_eq!(endpoint.connections(), 1);
}

#[test]
fn http2_is_spoken_over_tls() {
    let authority = Authority::new();
    let identity = authority.issue("shop.internal", Term::Running);
    let endpoint = http2(acceptor(&identity, &["h2"], None));
    let proxy = proxy(endpoint.address, Protocol::Http2, trusting(&authority));
    for _ in 0..3 {
        assert_eq!(proxy.get("/").text(), "hello");
    }
    assert_eq!(endpoint.connections(), 1);
    assert_eq!(endpoint.requests()[0].uri().scheme_str(), Some("https"));
}

#[test]
fn with_auto_the_endpoint_chooses() {
    let authority = Authority::new();
    let identity = authority.issue("shop.internal", Term::Running);
    let modern = http2(acceptor(&identity, &["h2", "http/1.1"], None));
    let old = http1(acceptor(&identity, &["http/1.1"], None));
    let silent = http1(acceptor(&identity, &[], None));
    for address in [modern.address, old.address, silent.address] {
        let proxy = proxy(address, Protocol::Auto, trusting(&authority));
        for _ in 0..3 {
            assert_eq!(proxy.get("/").text(), "hello");
        }
    }
    assert_eq!((modern.connections(), old.connections(), silent.connections()), (1, 1, 1));
}

#[test]
fn an_endpoint_that_does_not_agree_to_http2_is_refused_when_it_is_wanted() {
    let authority = Authority::new();
    let identity = authority.issue("shop.internal", Term::Running);
    for alpn in [&["http/1.1"][..], &[]] {
        let endpoint = http1(acceptor(&identity, alpn, None));
        let proxy = proxy(endpoint.address, Protocol::Http2, trusting(&authority));
        let reply = proxy.get("/");
        assert_eq!(
            (reply.status, reply.header("proxy-status")),
            (502, Some("adit; error=tls_protocol_error")),
            "{alpn:?}"
        );
    }
}

#[test]
fn a_certificate_that_is_not_good_for_the_endpoint_is_refused() {
    let (authority, other) = (Authority::new(), Authority::new());
    for (what, identity) in [
        ("of another authority", other.issue("shop.internal", Term::Running)),
        ("for another name", authority.issue("blog.internal", Term::Running)),
        ("expired", authority.issue("shop.internal", Term::Over)),
    ] {
        let (old, modern) =
            (http1(acceptor(&identity, &["http/1.1"], None)), http2(acceptor(&identity, &["h2"], None)));
        for (address, protocol) in [(old.address, Protocol::Http1), (modern.address, Protocol::Http2)] {
            let proxy = proxy(address, protocol, trusting(&authority));
            let reply = proxy.ask("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello");
            let expected = (502, Some("adit; error=tls_certificate_error"));
            assert_eq!((reply.status, reply.header("proxy-status")), expected, "{what}, {protocol:?}");
            eventually("it is the endpoint's failure", || proxy.endpoint_counts(0, 0) == (1, 1));
        }
        assert_eq!((old.heads().len(), modern.requests().len()), (0, 0), "{what}");
    }
}

#[test]
fn without_a_name_of_its_own_a_service_trusts_what_its_endpoints_are_called() {
    let authority = Authority::new();
    let tls = || Tls { server_name: None, ..trusting(&authority) };
    let good = http2(acceptor(&authority.issue("127.0.0.1", Term::Running), &["h2"], None));
    assert_eq!(proxy(good.address, Protocol::Http2, tls()).get("/").text(), "hello");
    let bad = http2(acceptor(&authority.issue("shop.internal", Term::Running), &["h2"], None));
    assert_eq!(proxy(bad.address, Protocol::Http2, tls()).get("/").status, 502);
}

#[test]
fn an_endpoint_that_asks_who_we_are_is_shown_our_certificate() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let identity = authority.issue("shop.internal", Term::Running);
    let ours = clients.issue("adit.internal", Term::Running);
    let (old, modern) = (
        http1(acceptor(&identity, &["http/1.1"], Some(&clients))),
        http2(acceptor(&identity, &["h2"], Some(&clients))),
    );
    for (address, protocol) in [(old.address, Protocol::Http1), (modern.address, Protocol::Http2)] {
        let shown = Tls { identity: Some(ours.clone()), ..trusting(&authority) };
        assert_eq!(proxy(address, protocol, shown).get("/").text(), "hello", "{protocol:?}");
        let reply = proxy(address, protocol, trusting(&authority)).get("/");
        let expected = (502, Some("adit; error=tls_certificate_error"));
        assert_eq!((reply.status, reply.header("proxy-status")), expected, "{protocol:?}");
    }
}

#[test]
fn an_endpoint_without_tls_is_no_tls_connection() {
    let endpoint = Scripted::start(|wire| {
        wire.send("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
        wire.head();
    });
    let authority = Authority::new();
    let reply = proxy(endpoint.address, Protocol::Http1, trusting(&authority)).get("/");
    assert_eq!((reply.status, reply.header("proxy-status")), (502, Some("adit; error=tls_protocol_error")));
}

#[test]
fn a_service_whose_tls_changes_speaks_the_new_way_at_once() {
    let (authority, other) = (Authority::new(), Authority::new());
    let endpoint = http2(acceptor(&authority.issue("shop.internal", Term::Running), &["h2"], None));
    let mut web = Web::at(&[endpoint.address]);
    web.policy.connection = Connection {
        protocol: Protocol::Http2,
        tls: Some(Arc::new(trusting(&authority))),
        proxy_protocol: None,
    };
    let mut changed = web.again();
    changed.policy.connection.tls = Some(Arc::new(trusting(&other)));
    let proxy = Proxy::start(web);
    assert_eq!(proxy.get("/").text(), "hello");
    proxy.publish(changed);
    assert_eq!(proxy.get("/").status, 502);
}
