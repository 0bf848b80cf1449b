//! How endpoints are spoken to: HTTP/2, TLS and gRPC's health check, with servers of another maker (grpcio).

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Stdio};

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

use crate::harness::{Adit, directory, is_missing, python, run_to_end, version};

/// A gRPC server with a health service. Ends when dropped.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    /// `tls`: where its certificates are.
    fn start(tls: Option<&Path>) -> Self {
        let mut command = python("tests/python/health_server.py");
        command.arg("serve").args(tls).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("Python starts");
        let mut line = String::new();
        let stdout = process.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("it says its port");
        let port = line.trim().parse().expect("a port");
        Self { process, port }
    }

    /// From now on its service `shop` says this about itself.
    fn says(&mut self, status: &str) {
        let stdin = self.process.stdin.as_mut().expect("it is piped");
        writeln!(stdin, "{status}").expect("it listens");
    }

    fn config(&self, more: &str) -> String {
        format!(
            "[services.web.versions.v1]\nendpoints = [\"localhost:{}\"]\n\
             [services.web.health]\ngrpc = \"shop\"\ninterval = \"100ms\"\n\
             [services.web.connection]\nprotocol = \"http2\"\n{more}",
            self.port
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.process.kill();
        let _ended = self.process.wait();
    }
}

/// What a gRPC client is told about `shop` through Adit.
fn asked(adit: &Adit) -> String {
    let mut client = python("tests/python/health_server.py");
    let output = client.args(["ask", &adit.address().to_string(), "shop"]).output().expect("Python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn wait_for_check(adit: &Adit, words: &str) {
    adit.wait_for_web(&format!("a check says {words:?}"), |web| {
        let checks = version(web, "v1").endpoints.iter().filter_map(|endpoint| endpoint.last_check.as_ref());
        checks.into_iter().any(|check| check.contains(words))
    });
}

/// A folder with an authority, a server's and a client's certificate by it, and another authority.
fn certificates(folder: &Path) {
    let authority = |name: &str| {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("signed").pem();
        std::fs::write(folder.join(name), pem).expect("written");
        (params, key)
    };
    let (params, key) = authority("ca.pem");
    authority("other-ca.pem");
    let issuer = Issuer::from_params(&params, &key);
    for name in ["server", "client"] {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.distinguished_name.push(DnType::CommonName, name);
        let own = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&own, &issuer).expect("signed");
        std::fs::write(folder.join(format!("{name}.pem")), certificate.pem()).expect("written");
        std::fs::write(folder.join(format!("{name}.key")), own.serialize_pem()).expect("written");
    }
}

/// The table for TLS with these files.
fn tls(folder: &Path, ca: &str) -> String {
    let at = |name: &str| folder.join(name).display().to_string();
    format!(
        "[services.web.connection.tls]\nca_file = {:?}\ncert_file = {:?}\nkey_file = {:?}\n",
        at(ca),
        at("client.pem"),
        at("client.key")
    )
}

#[test]
fn grpc_is_served_in_http2_without_tls_and_its_health_check_decides_who_gets_traffic() {
    if is_missing("python") {
        return;
    }
    let mut server = Server::start(None);
    let adit = Adit::start(&server.config(""));
    adit.wait_until_ready();
    assert_eq!(asked(&adit), "SERVING");
    server.says("NOT_SERVING");
    wait_for_check(&adit, "gRPC health check: NOT_SERVING");
    server.says("SERVING");
    wait_for_check(&adit, "200 in");
}

#[test]
fn grpc_is_served_over_tls_with_a_certificate_of_ours_and_a_bad_file_changes_nothing() {
    if is_missing("python") {
        return;
    }
    let folder = directory();
    certificates(folder.path());
    let server = Server::start(Some(folder.path()));
    let adit = Adit::start(&server.config(&tls(folder.path(), "ca.pem")));
    adit.wait_until_ready();
    assert_eq!(asked(&adit), "SERVING");
    std::fs::write(folder.path().join("broken.pem"), "no certificate").expect("written");
    adit.edit(|config| config.replace("/ca.pem", "/broken.pem"));
    let refused = adit.cli(&["reload"]);
    assert!(
        format!("{}{}", refused.stdout, refused.stderr).contains("services.web.connection.tls.ca_file"),
        "{refused:?}"
    );
    assert!(
        format!("{}{}", refused.stdout, refused.stderr).contains("there is no certificate in it"),
        "{refused:?}"
    );
    assert_eq!(asked(&adit), "SERVING");
    adit.edit(|config| config.replace("/broken.pem", "/other-ca.pem"));
    wait_for_check(&adit, "TLS: invalid peer certificate");
}

#[test]
fn check_tells_what_is_wrong_with_a_file_that_a_config_names() {
    let folder = directory();
    certificates(folder.path());
    let config = |tls: &str| {
        format!(
            "[[listeners]]\naddress = \"127.0.0.1:0\"\n\
             [services.web.versions.v1]\nendpoints = [\"127.0.0.1:9\"]\n[services.web.connection.tls]\n{tls}"
        )
    };
    let at = |name: &str| folder.path().join(name).display().to_string();
    for (tls, words) in [
        (format!("ca_file = {:?}", at("none.pem")), "ca_file: "),
        (format!("ca_file = {:?}", at("client.key")), "there is no certificate in it"),
        (
            format!(
                "ca_file = {:?}\ncert_file = {:?}\nkey_file = {:?}",
                at("ca.pem"),
                at("server.pem"),
                at("client.key")
            ),
            "the key does not belong to the certificate",
        ),
        (
            format!("ca_file = {:?}\ncert_file = {:?}", at("ca.pem"), at("server.pem")),
            "`key_file` is missing",
        ),
    ] {
        std::fs::write(folder.path().join("adit.toml"), config(&tls)).expect("written");
        let said = run_to_end(&["check", "-c", "adit.toml"], folder.path());
        assert!(format!("{}{}", said.stdout, said.stderr).contains(words), "{tls}: {said:?}");
    }
}
