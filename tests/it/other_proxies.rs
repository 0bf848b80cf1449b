//! Between proxies of other makers: HAProxy, nginx and curl in front, HAProxy and nginx behind.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::harness::{Adit, Client, Endpoint, directory, is_missing, until, web};

/// Where our clients connect from; every address of 127.0.0.0/8 is this machine.
const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);

/// A server of another maker on a free port. Killed when dropped.
struct Server {
    child: Child,
    address: SocketAddr,
    dir: TempDir,
}

impl Server {
    /// HAProxy with this `defaults`-less section, in which `LISTEN` is its socket.
    fn haproxy(sections: &str) -> Self {
        let config = format!(
            "defaults\n mode http\n timeout client 20s\n timeout server 20s\n timeout connect 20s\n{}\n",
            sections.replace("LISTEN", "fd@0")
        );
        Self::start(
            "haproxy",
            |_| config,
            |dir| {
                let mut command = Command::new("haproxy");
                command.args(["-db", "-f"]).arg(dir.path().join("config"));
                command
            },
        )
    }

    /// nginx with this `server`, in which `LISTEN` is its address.
    fn nginx(server: &str) -> Self {
        let config = |address: SocketAddr| {
            let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .map(|of| format!("{of}_temp_path tmp_{of};\n"))
                .concat();
            format!(
                "pid pid;\ndaemon off;\nworker_processes 1;\nerror_log stderr;\nevents {{}}\n\
                 http {{\naccess_log off;\n{temporary}server {{\n{}\n}}\n}}\n",
                server.replace("LISTEN", &address.to_string())
            )
        };
        Self::start("nginx", config, |dir| {
            let mut command = Command::new("nginx");
            command.arg("-p").arg(dir.path()).args(["-e", "stderr", "-c", "config"]).env("NGINX", "0;");
            command
        })
    }

    /// Both take a socket that is open already: nobody else can have its port.
    fn start(
        name: &str,
        config: impl FnOnce(SocketAddr) -> String,
        command: impl FnOnce(&TempDir) -> Command,
    ) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = socket.local_addr().expect("a bound socket has an address");
        let dir = directory();
        std::fs::write(dir.path().join("config"), config(address)).expect("a file can be written");
        let log = std::fs::File::create(dir.path().join("log")).expect("a file can be made");
        let child = command(&dir)
            .stdin(Stdio::from(OwnedFd::from(socket)))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} is installed (tests/run sees to it): {error}"));
        Self { child, address, dir }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // nginx has a process that it must end itself. Both may have ended already.
        drop(Command::new("kill").arg(self.child.id().to_string()).stderr(Stdio::null()).status());
        drop(self.child.wait());
    }
}

/// An Adit that believes 127.0.0.1 and, with `proxy_protocol`, is told of clients by their connections.
fn adit(endpoint: &Endpoint, proxy_protocol: bool) -> Adit {
    let adit = Adit::start(&format!(
        "trusted_proxies = [\"127.0.0.1\"]\naccess_log = \"stdout\"\n\
         [[listeners]]\naddress = \"127.0.0.1:0\"\nproxy_protocol = {proxy_protocol}\n{}",
        web(&[("v1", &[endpoint])])
    ));
    adit.wait_until_ready();
    adit
}

/// What the server at `address` answers a client at [`CLIENT`].
fn ask(address: SocketAddr, fields: &[(&str, &str)], log: impl Fn() -> String) -> String {
    let fields = [&[("host", "shop.example")], fields].concat();
    let response = Client::connect_from(CLIENT, address)
        .and_then(|mut client| client.request("GET", "/", &fields, b""))
        .unwrap_or_else(|error| panic!("{error}: {}", log()));
    assert_eq!(response.status, 200, "{}\n{}", response.text(), log());
    response.text()
}

fn forwarded(endpoint: &Endpoint) -> String {
    let seen = endpoint.last_seen().expect("a request came");
    seen.head.field("x-forwarded-for").unwrap_or_default().to_owned()
}

#[test]
fn haproxy_in_front_tells_who_the_client_is_by_either_version() {
    if is_missing("haproxy") {
        return;
    }
    for word in ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"] {
        let endpoint = Endpoint::start("v1");
        let adit = adit(&endpoint, true);
        let front = Server::haproxy(&format!(
            "frontend f\n bind LISTEN\n unique-id-format %pid\n default_backend b\nbackend b\n server adit {} {word}\n",
            adit.address()
        ));
        ask(front.address, &[("x-forwarded-for", "192.0.2.66")], || {
            format!("{}{}", front.log(), adit.stderr())
        });
        assert_eq!(forwarded(&endpoint), CLIENT.to_string(), "{word}");
        let line = until("a line of the log", || adit.stdout().pop(), || adit.stderr());
        assert!(line.contains(&format!("\"client_ip\":\"{CLIENT}\"")), "{line}");
    }
}

#[test]
fn health_checks_of_haproxy_are_answered_over_the_proxy_protocol() {
    if is_missing("haproxy") {
        return;
    }
    let endpoint = Endpoint::start("v1");
    let adit = adit(&endpoint, true);
    let front = Server::haproxy(&format!(
        "frontend f\n bind LISTEN\n http-request return status 200 content-type text/plain lf-string %[nbsrv(b)]\n\
         backend b\n option httpchk GET /check\n server adit {} check inter 50ms rise 2 init-addr none send-proxy-v2 \
         check-send-proxy\n",
        adit.address()
    ));
    until(
        "a check came through",
        || (endpoint.last_seen()?.head.word(1) == "/check").then_some(()),
        || format!("{}{}", front.log(), adit.stderr()),
    );
    assert_eq!(forwarded(&endpoint), "127.0.0.1", "it asks for itself");
}

#[test]
fn nginx_in_front_tells_who_the_client_is_by_fields() {
    if is_missing("nginx") {
        return;
    }
    let endpoint = Endpoint::start("v1");
    let adit = adit(&endpoint, false);
    let front = Server::nginx(&format!(
        "listen LISTEN;\nlocation / {{ proxy_pass http://{};\nproxy_set_header X-Real-IP $remote_addr;\n\
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\nproxy_set_header X-Forwarded-Proto https; }}",
        adit.address()
    ));
    ask(front.address, &[("x-forwarded-for", "192.0.2.66")], || front.log());
    assert_eq!(forwarded(&endpoint), format!("{CLIENT}, 127.0.0.1"));
    let head = endpoint.last_seen().expect("a request came").head;
    let client = CLIENT.to_string();
    assert_eq!(
        (head.field("x-real-ip"), head.field("x-forwarded-proto")),
        (Some(client.as_str()), Some("https"))
    );
}

#[test]
fn curl_says_who_it_is_and_is_closed_when_it_may_not() {
    if is_missing("curl") {
        return;
    }
    let endpoint = Endpoint::start("v1");
    let adit = adit(&endpoint, true);
    let curl = |from: &str| {
        let url = format!("http://{}/", adit.address());
        let output =
            Command::new("curl").args(["-sS", "--haproxy-protocol", "--interface", from, &url]).output();
        output.expect("curl is installed: tests/run sees to it").status.success()
    };
    assert!(curl("127.0.0.1"), "{}", adit.stderr());
    assert_eq!(forwarded(&endpoint), "127.0.0.1");
    assert!(!curl("127.0.0.9"), "a peer that is not trusted must not say who its client is");
    let metrics = adit.api("GET", "/metrics", "").text();
    assert!(metrics.contains("adit_connections_refused_total{reason=\"proxy_header\"} 1\n"), "{metrics}");
}

/// An Adit in front of a server that wants to be told by the connection.
fn in_front_of(server: &Server, version: &str) -> Adit {
    let adit = Adit::start(&format!(
        "[services.web]\n[services.web.connection]\nproxy_protocol = \"{version}\"\n\
         [services.web.health]\npath = \"/healthz\"\ninterval = \"100ms\"\n\
         [services.web.versions.v1]\nendpoints = [\"{}\"]\n",
        server.address
    ));
    adit.wait_until_ready();
    adit
}

#[test]
fn nginx_behind_is_told_who_the_client_is() {
    if is_missing("nginx") {
        return;
    }
    for version in ["v1", "v2"] {
        let server = Server::nginx(
            "listen LISTEN proxy_protocol;\nlocation / { return 200 \"$proxy_protocol_addr $proxy_protocol_server_port\"; }",
        );
        let adit = in_front_of(&server, version);
        let told = ask(adit.address(), &[], || format!("{}{}", server.log(), adit.stderr()));
        assert_eq!(told, format!("{CLIENT} {}", adit.address().port()), "{version}");
    }
}

#[test]
fn haproxy_behind_is_told_who_the_client_is() {
    if is_missing("haproxy") {
        return;
    }
    for version in ["v1", "v2"] {
        let server = Server::haproxy(
            "frontend f\n bind LISTEN accept-proxy\n\
             http-request return status 200 content-type text/plain lf-string \"%[src] %[dst_port]\"\n",
        );
        let adit = in_front_of(&server, version);
        let told = ask(adit.address(), &[], || format!("{}{}", server.log(), adit.stderr()));
        assert_eq!(told, format!("{CLIENT} {}", adit.address().port()), "{version}");
    }
}
