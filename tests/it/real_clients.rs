//! Clients of other makers work as they come, in cleartext and over TLS.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use tempfile::TempDir;

use crate::certificates::Authority;
use crate::harness::{Adit, directory, is_missing, python};

/// Browsers take their time to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server of another maker, the program in front of it with a plain listener and one with TLS, and who signed for that.
struct World {
    server: Child,
    /// What the server says.
    lines: Receiver<String>,
    adit: Adit,
    folder: TempDir,
}

impl World {
    fn start() -> Self {
        let mut command = python("tests/python/http_server.py");
        let mut server = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("Python starts");
        let (out, (tell, lines)) = (server.stdout.take().expect("piped"), sync_channel(8));
        std::thread::spawn(move || {
            BufReader::new(out).lines().map_while(Result::ok).try_for_each(|line| tell.send(line))
        });
        let port = lines.recv_timeout(PATIENCE).expect("it says its port");
        let (authority, folder) = (Authority::new("ours"), directory());
        let files = authority.server(&["localhost"]).config(folder.path(), "web");
        std::fs::write(folder.path().join("ca.pem"), &authority.pem).expect("written");
        let adit = Adit::start(&format!(
            "[services.web.versions.v1]\nendpoints = [\"127.0.0.1:{}\"]\n\
             [[listeners]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificates = [{files}] }}\n",
            port
        ));
        adit.wait_until_ready();
        Self { server, lines, adit, folder }
    }

    /// In cleartext, then over TLS.
    fn urls(&self) -> [String; 2] {
        let listeners = self.adit.status().listeners;
        let port = |place: usize| listeners[place].rsplit(':').next().expect("a port").to_owned();
        [format!("http://localhost:{}", port(1)), format!("https://localhost:{}", port(0))]
    }

    fn authorities(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Runs `command` to its end; what it wrote to standard output.
    #[track_caller]
    fn run(&self, command: &mut Command) -> String {
        let output = command.stdin(Stdio::null()).output().expect("tests/run sees to it that it is there");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let wrong = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}\n{said}\n{wrong}\n{}", self.adit.stderr());
        said
    }

    #[track_caller]
    fn assert_no_endpoint_failed(&self) {
        let metrics = self.adit.api("GET", "/metrics", "").text();
        let failed = metrics.lines().find(|line| {
            line.starts_with("adit_endpoint_errors_total") && line.contains("v1") && !line.ends_with(" 0")
        });
        assert_eq!(failed, None, "{}", self.adit.stderr());
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

#[test]
fn curl_uploads_downloads_and_is_told_to_go_on() {
    if is_missing("python") {
        return;
    }
    let world = World::start();
    let (upload, blob) = (world.folder.path().join("upload"), world.folder.path().join("blob"));
    std::fs::write(&upload, vec![b'x'; 3_000_000]).expect("written");
    let upload = format!("@{}", upload.display());
    for url in world.urls() {
        let versions = if url.starts_with("https") {
            ["--http1.1", "--http2"]
        } else {
            ["--http1.1", "--http2-prior-knowledge"]
        };
        for version in versions {
            let proto = if version == "--http1.1" { "1.1" } else { "2" };
            let curl = |path: &str, args: &[&str]| {
                let mut curl = Command::new("curl");
                curl.args([
                    "--silent",
                    "--show-error",
                    "--fail",
                    "--max-time",
                    "20",
                    "--noproxy",
                    "*",
                    version,
                    "--cacert",
                ]);
                curl.arg(world.authorities()).arg("--output").arg(&blob);
                curl.args(["--write-out", "%{http_code} %{http_version} %{size_upload} %{size_download}"]);
                world.run(curl.args(args).arg(format!("{url}{path}")))
            };
            let says = |status: u16, up: u64, down: u64| format!("{status} {proto} {up} {down}");
            assert_eq!(curl("/blob", &[]), says(200, 0, 1 << 20));
            assert_eq!(
                std::fs::read(&blob).expect("kept"),
                (0..=255).cycle().take(1 << 20).collect::<Vec<u8>>()
            );
            assert_eq!(curl("/blob", &["--range", "256-511"]), says(206, 0, 256));
            assert_eq!(curl("/blob", &["--head"]), says(200, 0, 0));
            assert_eq!(curl("/echo", &["--data-binary", &upload]), says(200, 3_000_000, 3_000_000));
            let go_on =
                ["--data-binary", &upload, "--header", "expect: 100-continue", "--expect100-timeout", "15"];
            assert_eq!(curl("/echo", &go_on), says(200, 3_000_000, 3_000_000));
            let chunked = ["--data-binary", &upload, "--header", "transfer-encoding: chunked"];
            if proto == "1.1" {
                assert!(curl("/echo", &chunked).ends_with(" 3000000"));
            }
        }
    }
    world.assert_no_endpoint_failed();
}

#[test]
fn h2load_is_answered_every_time() {
    if is_missing("python") || is_missing("h2load") {
        return;
    }
    let world = World::start();
    for url in world.urls() {
        let mut h2load = Command::new("h2load");
        let said = world.run(h2load.args(["-n", "2000", "-c", "8", "-m", "20"]).arg(format!("{url}/echo")));
        assert!(said.contains("status codes: 2000 2xx, 0 3xx, 0 4xx, 0 5xx"), "{said}");
        assert!(said.contains("Application protocol: h2"), "{said}");
    }
    world.assert_no_endpoint_failed();
}

#[test]
fn httpx_and_urllib_work_as_they_come() {
    if is_missing("python") {
        return;
    }
    let world = World::start();
    for url in world.urls() {
        world.run(python("tests/python/http_clients.py").arg(url).arg(world.authorities()));
    }
    world.assert_no_endpoint_failed();
}

#[test]
fn nodes_clients_work_as_they_come() {
    if is_missing("python") || is_missing("node") {
        return;
    }
    let world = World::start();
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/node/clients.mjs");
    for url in world.urls() {
        let mut node = Command::new("node");
        node.env("NODE_EXTRA_CA_CERTS", world.authorities());
        world.run(node.arg(&script).arg(url).arg(world.authorities()));
    }
    world.assert_no_endpoint_failed();
}

#[test]
fn a_browser_shows_a_page_with_all_that_belongs_to_it() {
    if is_missing("python") || is_missing("chromium") {
        return;
    }
    let world = World::start();
    for (url, proto) in world.urls().into_iter().zip(["http/1.1", "h2"]) {
        let profile = directory();
        let mut chromium = Command::new("chromium");
        chromium.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]);
        chromium.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
        chromium.args(["--disable-dev-shm-usage", "--no-proxy-server", "--ignore-certificate-errors"]);
        chromium.arg(format!("--user-data-dir={}", profile.path().display()));
        chromium.arg(format!("{url}/page")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut browser = chromium.spawn().expect("tests/run sees to it that it is there");
        let told = world.lines.recv_timeout(PATIENCE);
        drop(browser.kill());
        drop(browser.wait());
        let wanted = format!(
            "post 200 100000; many 20; style 123px; events one+two+three; socket hello; over {proto}; done"
        );
        assert_eq!(told, Ok(wanted), "{}", world.adit.stderr());
    }
    world.assert_no_endpoint_failed();
}
