//! TLS as others see it: curl, openssl, and clients while certificates are replaced.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use tempfile::TempDir;

use crate::certificates::{Authority, replace};
use crate::harness::{Adit, Endpoint, directory, refused, run_to_end, until, web};

/// A program with a listener that shows a certificate for `shop.example`; its files are in a folder of the test's.
struct Shop {
    adit: Adit,
    authority: Authority,
    folder: TempDir,
    _endpoint: Endpoint,
}

/// What an outside program said.
struct Said {
    ok: bool,
    text: String,
}

impl Shop {
    fn start(tls: &str) -> Self {
        let (authority, folder, endpoint) = (Authority::new("ours"), directory(), Endpoint::start("v1"));
        let files = authority.server(&["shop.example"]).config(folder.path(), "shop");
        std::fs::write(folder.path().join("ca.pem"), &authority.pem).expect("written");
        let tls = tls.replace("CA", &folder.path().join("ca.pem").display().to_string());
        let listener =
            format!("[[listeners]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificates = [{files}]{tls} }}\n");
        let web = web(&[("v1", &[&endpoint])]);
        let adit = Adit::start(&format!("access_log = \"stdout\"\n{web}{listener}"));
        adit.wait_until_ready();
        Self { adit, authority, folder, _endpoint: endpoint }
    }

    fn curl(&self, args: &[&str]) -> Said {
        let at = self.adit.address();
        let ca = self.folder.path().join("ca.pem");
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--max-time", "20", "--cacert"]).arg(ca).args([
            "--resolve",
            &format!("shop.example:{}:127.0.0.1", at.port()),
            &format!("https://shop.example:{}/", at.port()),
        ]);
        said(curl.args(args), "")
    }

    /// `openssl s_client`, sending one request.
    fn s_client(&self, args: &[&str]) -> Said {
        let mut openssl = Command::new("openssl");
        openssl
            .args(["s_client", "-connect", &self.adit.address().to_string(), "-servername", "shop.example"])
            .args(["-verify_return_error", "-CAfile"])
            .arg(self.folder.path().join("ca.pem"))
            .args(["-ign_eof"])
            .args(args);
        said(&mut openssl, "GET / HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n\r\n")
    }

    fn fingerprint(&self) -> String {
        self.adit.status().certificates[0].sha256.clone()
    }
}

fn said(command: &mut Command, input: &str) -> Said {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("tests/run sees to it that it is there");
    let mut stdin = child.stdin.take().expect("piped");
    let _left_early = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let text = [output.stdout, output.stderr].concat();
    Said { ok: output.status.success(), text: String::from_utf8_lossy(&text).into_owned() }
}

type Tls = BufReader<StreamOwned<ClientConnection, TcpStream>>;

fn connect(to: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<Tls> {
    let stream = TcpStream::connect(to)?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from("shop.example").expect("a name");
    let connection = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
    Ok(BufReader::new(StreamOwned::new(connection, stream)))
}

/// One request; the status and the length of the answer's body.
fn ask(client: &mut Tls, head: &str) -> io::Result<(u16, u64)> {
    client.get_mut().write_all(head.as_bytes())?;
    client.get_mut().flush()?;
    answer(client)
}

fn answer(client: &mut Tls) -> io::Result<(u16, u64)> {
    let (mut status, mut length) = (0, 0);
    loop {
        let mut line = String::new();
        client.read_line(&mut line)?;
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(rest) = line.strip_prefix("http/1.1 ") {
            status = rest[..3].parse().map_err(io::Error::other)?;
        }
        if let Some(rest) = line.strip_prefix("content-length: ") {
            length = rest.parse().map_err(io::Error::other)?;
        }
    }
    let read = io::copy(&mut client.take(length), &mut io::sink())?;
    Ok((status, read))
}

#[test]
fn curl_speaks_http2_and_http1_over_tls() {
    let shop = Shop::start("");
    for (version, proto) in [("--http2", "2"), ("--http1.1", "1.1")] {
        let said =
            shop.curl(&[version, "--write-out", "%{http_code} %{http_version}", "--output", "/dev/null"]);
        assert!(said.ok && said.text == format!("200 {proto}"), "{}", said.text);
    }
    let line = until(
        "the requests are logged",
        || shop.adit.stdout().into_iter().find(|line| line.contains("\"proto\":\"HTTP/2\"")),
        || shop.adit.stdout().join("\n"),
    );
    assert!(line.contains("\"scheme\":\"https\""), "{line}");
}

#[test]
fn openssl_resumes_sessions_and_is_offered_no_early_data() {
    let shop = Shop::start("");
    let session = shop.folder.path().join("session").display().to_string();
    for version in ["-tls1_2", "-tls1_3"] {
        let first = shop.s_client(&[version, "-sess_out", &session]);
        assert!(first.text.contains("New, TLSv1.") && first.text.contains("HTTP/1.1 200"), "{}", first.text);
        assert!(!first.text.contains("Max Early Data: 1"), "{}", first.text);
        let again = shop.s_client(&[version, "-sess_in", &session]);
        assert!(
            again.text.contains("Reused, TLSv1.") && again.text.contains("HTTP/1.1 200"),
            "{}",
            again.text
        );
    }
    let old = shop.s_client(&["-tls1_1", "-cipher", "ALL@SECLEVEL=0"]);
    assert!(!old.text.contains("HTTP/1.1 200"), "{}", old.text);
}

#[test]
fn curl_gets_in_with_its_certificate_and_not_without() {
    let shop = Shop::start(", client_ca_file = \"CA\"");
    let (cert, key) = shop.authority.client("x", "alice").write(shop.folder.path(), "alice");
    let (cert, key) = (cert.display().to_string(), key.display().to_string());
    let with =
        shop.curl(&["--cert", &cert, "--key", &key, "--write-out", "%{http_code}", "--output", "/dev/null"]);
    assert!(with.ok && with.text == "200", "{}", with.text);
    let without = shop.curl(&[]);
    assert!(!without.ok && without.text.contains("alert"), "{}", without.text);
    let metrics = shop.adit.api("GET", "/metrics", "").text();
    assert!(metrics.contains("adit_tls_handshakes_total{result=\"client_certificate\"} 1"), "{metrics}");
}

#[test]
fn certificates_replaced_under_load_lose_no_request() {
    let shop = Shop::start("");
    let (at, config) = (shop.adit.address(), Arc::new(shop.authority.trusted()));
    let (stop, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    let client = || {
        while !stop.load(Ordering::Relaxed) {
            let mut client = connect(at, &config).map_err(|error| format!("no connection: {error}"))?;
            for _ in 0..5 {
                let asked = ask(&mut client, "GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n");
                let (status, _) = asked.map_err(|error| format!("no answer: {error}"))?;
                if status != 200 {
                    return Err(format!("status {status}"));
                }
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(client)).collect();
        for _ in 0..10 {
            let before = answered.load(Ordering::Relaxed);
            shop.authority.server(&["shop.example"]).write(shop.folder.path(), "shop");
            shop.adit.cli(&["reload"]).expect_code(0);
            until(
                "more answers",
                || (answered.load(Ordering::Relaxed) > before + 20).then_some(()),
                || "none",
            );
        }
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            assert_eq!(client.join().expect("no panic"), Ok(()));
        }
    });
    let metrics = shop.adit.api("GET", "/metrics", "").text();
    assert!(metrics.contains("adit_tls_certificate_reloads_total{result=\"success\"} 10"), "{metrics}");
}

#[test]
fn a_replaced_certificate_is_seen_without_being_told() {
    let shop = Shop::start("");
    let before = shop.fingerprint();
    shop.authority.server(&["shop.example"]).write(shop.folder.path(), "shop");
    until("the other certificate", || (shop.fingerprint() != before).then_some(()), || shop.adit.stderr());
    assert!(shop.curl(&[]).ok);
}

#[test]
fn a_bad_certificate_serves_nobody_and_is_said_everywhere() {
    let shop = Shop::start("");
    let (before, cert) = (shop.fingerprint(), shop.folder.path().join("shop.pem"));
    let good = std::fs::read_to_string(&cert).expect("it is there");
    replace(&cert, "garbage");
    shop.adit.cli(&["reload"]).expect_code(1).expect_words(&[
        "shop.pem",
        "no certificate in it",
        "last good",
    ]);
    assert_eq!(shop.fingerprint(), before);
    assert!(shop.curl(&[]).ok);
    let shown = shop.adit.cli(&["status"]).expect_code(0).stdout;
    assert!(shown.contains("problem") && shown.contains("no certificate in it"), "{shown}");
    let metrics = shop.adit.api("GET", "/metrics", "").text();
    assert!(metrics.contains("adit_tls_certificate_reloads_total{result=\"failure\"} 1"), "{metrics}");
    assert!(shop.adit.stderr().contains("certificates not replaced"), "{}", shop.adit.stderr());
    replace(&cert, &good);
    shop.adit.cli(&["reload"]).expect_code(0);
    assert_eq!(shop.adit.status().problems, Vec::<String>::new());
}

#[test]
fn a_reload_adds_a_certificate_but_takes_no_tls_away() {
    let shop = Shop::start("");
    let blog = shop.authority.server(&["blog.example"]).config(shop.folder.path(), "blog");
    shop.adit
        .edit(|text| text.replace("tls = { certificates = [", &format!("tls = {{ certificates = [{blog}, ")));
    shop.adit.cli(&["reload"]).expect_code(0);
    let hosts: Vec<_> = shop.adit.status().certificates.into_iter().flat_map(|one| one.hosts).collect();
    assert_eq!(hosts, ["blog.example", "shop.example"]);
    shop.adit
        .edit(|text| text.lines().filter(|line| !line.starts_with("tls")).collect::<Vec<_>>().join("\n"));
    shop.adit.cli(&["reload"]).expect_code(6).expect_words(&["`listeners` can't be changed by a reload"]);
}

#[test]
fn expiry_is_in_status_and_metrics() {
    let shop = Shop::start("");
    let end = shop.authority.server_until(&["shop.example"], (2020, 1, 1));
    end.write(shop.folder.path(), "shop");
    shop.adit.cli(&["reload"]).expect_code(0);
    let status = shop.adit.status();
    assert_eq!(status.certificates[0].not_after, "2020-01-01T00:00:00.000Z");
    assert!(status.certificates[0].days_left < 0);
    assert!(status.problems[0].contains("HAS EXPIRED"), "{:?}", status.problems);
    let metrics = shop.adit.api("GET", "/metrics", "").text();
    let shown = metrics.lines().find(|line| line.starts_with("adit_tls_certificate_not_after_seconds{"));
    assert!(shown.is_some_and(|line| line.contains("shop.pem\"} 1577836800")), "{metrics}");
    let table = shop.adit.cli(&["status"]).expect_code(0).stdout;
    assert!(table.contains("DAYS LEFT") && table.contains("shop.example"), "{table}");
}

#[test]
fn files_that_can_not_be_used_stop_a_start_and_fail_a_check() {
    let (authority, dir) = (Authority::new("ours"), directory());
    let one = authority.server(&["a.example"]).config(dir.path(), "one");
    authority.server(&["b.example"]).write(dir.path(), "two");
    let config = |files: &str| {
        format!("[[listeners]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificates = [{files}] }}\n")
    };
    let other_key = config(&one.replace("one.key", "two.key"));
    refused(&other_key).expect_code(1).expect_words(&[
        "two.key",
        "not the one of the certificate",
        "one.pem",
    ]);
    refused(&config(&one.replace("one.pem", "no.pem")))
        .expect_code(1)
        .expect_words(&["no.pem", "no such file"]);
    let check = |text: &str, args: &[&str]| {
        std::fs::write(dir.path().join("adit.toml"), text).expect("written");
        run_to_end(&[&["check", "-c", "adit.toml"], args].concat(), dir.path())
    };
    check(&config(&one), &[]).expect_code(0);
    let said = check(&other_key, &[]).expect_code(3).stdout;
    assert!(said.contains("listeners[0].tls") && said.contains("two.key"), "{said}");
    let said = check(&other_key, &["--format", "json"]).expect_code(3).stdout;
    let said: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((&said["valid"], &said["errors"][0]["path"]), (&false.into(), &"listeners[0].tls".into()));
}

#[test]
fn a_self_signed_certificate_serves_a_first_try_and_its_fingerprint_is_said() {
    let endpoint = Endpoint::start("v1");
    let listener = "[[listeners]]\naddress = \"127.0.0.1:0\"\ntls = \"self-signed\"\n";
    let adit = Adit::start(&format!("{}{listener}", web(&[("v1", &[&endpoint])])));
    adit.wait_until_ready();
    let url = format!("https://localhost:{}/", adit.address().port());
    let mut curl = Command::new("curl");
    let said_by_curl =
        said(curl.args(["-sS", "--insecure", "-w", "%{http_code}", "-o", "/dev/null", &url]), "");
    assert_eq!(said_by_curl.text, "200");
    let mut openssl = Command::new("openssl");
    let shown = said(openssl.args(["s_client", "-connect", &adit.address().to_string()]), "").text;
    let mut openssl = Command::new("openssl");
    let print = said(openssl.args(["x509", "-noout", "-fingerprint", "-sha256"]), &shown).text;
    let (_, fingerprint) = print.trim().split_once('=').unwrap_or_else(|| panic!("{print}\n{shown}"));
    assert_eq!(adit.status().certificates[0].sha256, fingerprint);
    assert!(adit.stderr().contains(fingerprint), "{}", adit.stderr());
    assert!(adit.stderr().contains("listening on https://"), "{}", adit.stderr());
}

/// `ADIT_STREAMED=1024` makes it a gibibyte each way.
#[test]
fn large_bodies_are_streamed_through_tls_and_not_kept() {
    const MEBIBYTE: u64 = 1024 * 1024;
    const GROWTH: u64 = 8 * MEBIBYTE;
    let streamed = std::env::var("ADIT_STREAMED").map_or(128, |size| size.parse().expect("a number"));
    let length = streamed * MEBIBYTE;
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let endpoint = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || swallow_and_pour(stream, length));
        }
    });
    let (authority, folder) = (Authority::new("ours"), directory());
    let files = authority.server(&["shop.example"]).config(folder.path(), "shop");
    let adit = Adit::start(&format!(
        "workers = 1\n[services.web.versions.v1]\nendpoints = [\"{endpoint}\"]\n\
         [[listeners]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificates = [{files}] }}\n"
    ));
    adit.wait_until_ready();
    let mut client = connect(adit.address(), &Arc::new(authority.trusted())).expect("connected");
    ask(&mut client, "GET /little HTTP/1.1\r\nhost: shop.example\r\n\r\n").expect("an answer");
    let before = adit.peak_memory();
    let head = format!("POST / HTTP/1.1\r\nhost: shop.example\r\ncontent-length: {length}\r\n\r\n");
    client.get_mut().write_all(head.as_bytes()).expect("sent");
    let piece = vec![b'x'; 64 * 1024];
    for _ in 0..length / (64 * 1024) {
        client.get_mut().write_all(&piece).expect("sent");
    }
    assert_eq!(answer(&mut client).expect("an answer"), (200, length));
    let growth = adit.peak_memory() - before;
    println!("{streamed} MiB each way: {} KiB more", growth / 1024);
    assert!(growth < GROWTH, "{} KiB more", growth / 1024);
}

/// Takes a body of any length and answers with one of `length` bytes, or with nothing to a GET.
fn swallow_and_pour(stream: TcpStream, length: u64) {
    let mut wire = BufReader::new(stream);
    loop {
        let (mut line, mut given) = (String::new(), 0);
        let mut first = String::new();
        while wire.read_line(&mut line).is_ok_and(|read| read > 2) {
            if first.is_empty() {
                first.clone_from(&line);
            }
            if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                given = text.trim().parse().expect("a number");
            }
            line.clear();
        }
        if first.is_empty() || io::copy(&mut (&mut wire).take(given), &mut io::sink()).is_err() {
            return;
        }
        let length = if given > 0 { length } else { 0 };
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
        let poured = wire.get_mut().write_all(head.as_bytes());
        if poured.and_then(|()| io::copy(&mut io::repeat(b'y').take(length), wire.get_mut())).is_err() {
            return;
        }
    }
}

#[test]
fn the_example_is_a_config_whose_files_are_wanted() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/tls.toml");
    let spec = adit::provider::file::load(&example).expect("config/tls.toml is valid");
    assert_eq!((spec.listeners.len(), spec.services.len()), (2, 2));
}
