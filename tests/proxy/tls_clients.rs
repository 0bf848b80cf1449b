//! Clients that show certificates.

use std::sync::Arc;

use adit::proxy::Handshake;

use crate::certificates::{Authority, Pair};
use crate::endpoint::Scripted;
use crate::tls_world::{Conversation, Secure};
use crate::wire::header;
use crate::world::Web;

/// A proxy that asks its clients for certificates of its authority: `require` or `optional`.
fn asking(web: Web, auth: &str) -> Secure {
    Secure::start(web, 1, |authority, folder| {
        let files = authority.server(&["shop.example"]).config(folder, "shop");
        std::fs::write(folder.join("ca.pem"), &authority.pem).unwrap();
        let ca = folder.join("ca.pem").display().to_string();
        vec![format!("tls = {{ certificates = [{files}], client_ca_file = '{ca}', client_auth = '{auth}' }}")]
    })
}

fn client(secure: &Secure, shows: Option<&Pair>) -> Conversation {
    let config = secure.authority.trusted_with(rustls::ALL_VERSIONS, shows);
    Conversation::begin(secure.proxy.address, Arc::new(config), "shop.example")
}

const FORGED: &str = "GET / HTTP/1.1\r\nhost: shop.example\r\nX-Client-Cert-Subject: CN=admin\r\n\
                      X_Client_Cert_Subject: CN=admin\r\nX-Client-Cert-Verified: true\r\nClient-Cert: :AAAA:\r\n\
                      Client_Cert: :AAAA:\r\nconnection: x-client-cert-verified\r\n\r\n";

#[test]
fn an_endpoint_is_told_whose_certificate_was_shown() {
    let endpoint = Scripted::saying("hello");
    let secure = asking(Web::of(&[&endpoint]), "require");
    let miller = secure.authority.client("Miller, Meyer", "alice");
    assert_eq!(client(&secure, Some(&miller)).ask(FORGED).status, 200);
    let head = &endpoint.heads()[0];
    assert_eq!(header(head, "x-client-cert-subject"), Some("CN=alice,O=Miller\\, Meyer"), "{head}");
    assert_eq!(header(head, "x-client-cert-verified"), Some("true"));
    let whole = header(head, "client-cert").unwrap();
    assert!(whole.starts_with(":MII") && whole.ends_with(':'), "{whole}");
    assert_eq!(head.matches("admin").count() + head.matches(":AAAA:").count(), 0, "{head}");
}

#[test]
fn who_shows_nothing_or_what_another_authority_signed_does_not_get_in() {
    let endpoint = Scripted::saying("hello");
    let secure = asking(Web::of(&[&endpoint]), "require");
    let forger = Authority::new("theirs").client("x", "alice");
    for (count, shows) in [(1, None), (2, Some(&forger))] {
        let mut client = client(&secure, shows);
        // TLS 1.3: the client's side of the handshake is over before it is refused.
        let _refused_already = client.shake();
        client.send(FORGED);
        let error = std::io::Read::read(&mut client.0, &mut [0; 1]).unwrap_err().to_string();
        assert!(error.contains("alert"), "{error}");
        secure.counted(Handshake::ClientCertificate, count);
    }
    assert_eq!(endpoint.connections(), 0);
}

#[test]
fn where_a_certificate_is_optional_its_absence_is_told() {
    let endpoint = Scripted::saying("hello");
    let secure = asking(Web::of(&[&endpoint]), "optional");
    assert_eq!(client(&secure, None).ask(FORGED).status, 200);
    let head = &endpoint.heads()[0];
    assert_eq!(header(head, "x-client-cert-verified"), Some("false"), "{head}");
    assert_eq!((header(head, "x-client-cert-subject"), header(head, "client-cert")), (None, None));
}

#[test]
fn where_clients_show_certificates_only_hosts_of_the_certificate_are_served() {
    let endpoint = Scripted::saying("hello");
    let secure = asking(Web::of(&[&endpoint]), "require");
    let alice = secure.authority.client("x", "alice");
    let mut client = client(&secure, Some(&alice));
    assert_eq!(client.ask("GET / HTTP/1.1\r\nhost: other.example\r\n\r\n").status, 421);
    assert_eq!(client.ask("GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n").status, 200);
    assert_eq!(client.ask("GET / HTTP/1.0\r\n\r\n").status, 421);
    assert_eq!(endpoint.heads().len(), 1);
}

#[test]
fn a_session_is_not_resumed_once_other_authorities_count() {
    let endpoint = Scripted::saying("hello");
    let secure = asking(Web::of(&[&endpoint]), "optional");
    let alice = secure.authority.client("x", "alice");
    let config = Arc::new(secure.authority.trusted_with(rustls::ALL_VERSIONS, Some(&alice)));
    let resumed = || {
        let mut client = Conversation::begin(secure.proxy.address, config.clone(), "shop.example");
        client.send("GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n");
        let mut answer = [0; 12];
        let answered = std::io::Read::read_exact(&mut client.0, &mut answer).is_ok();
        (client.is_resumed(), answered)
    };
    assert_eq!((resumed(), resumed()), ((false, true), (true, true)));
    let subjects = || {
        let heads = endpoint.heads();
        heads.iter().filter(|head| header(head, "x-client-cert-subject") == Some("CN=alice,O=x")).count()
    };
    assert_eq!(subjects(), 2, "a resumed session is still alice's");
    std::fs::write(secure.folder.path().join("ca.pem"), Authority::new("theirs").pem).unwrap();
    secure.keyrings.look();
    assert_eq!(resumed(), (false, false));
    assert_eq!(endpoint.heads().len(), 2);
}
