//! The program under load, with its endpoints, and the config that makes the promises exact.

use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rustls::ClientConfig;
use tempfile::TempDir;

use crate::certificates::Authority;
use crate::harness::{Adit, Answer, Endpoint, directory};
use crate::python::Part;

/// Everything that is there while the load runs.
pub(crate) struct World {
    pub(crate) adit: Adit,
    pub(crate) front: Arc<Front>,
    /// What is released: endpoints by version.
    pub(crate) web: [(&'static str, Endpoint); 2],
    /// One endpoint that stays, and one that is killed over and over.
    pub(crate) killed: Mutex<Endpoint>,
    /// Where the access log goes.
    pub(crate) log: PathBuf,
    pub(crate) others: Vec<Endpoint>,
    _servers: Vec<Part>,
    _folder: TempDir,
}

/// Where clients connect.
pub(crate) struct Front {
    /// With TLS.
    pub(crate) tls: SocketAddr,
    /// Without.
    pub(crate) plain: SocketAddr,
    trusted: ClientConfig,
}

/// Services whose every request must be answered well.
pub(crate) const CLEAN: [&str; 6] = ["web", "steady", "still", "big", "grpc", "chat"];

/// The bytes of an answer of `big`.
pub(crate) const BIG: u64 = 300_000;

impl World {
    pub(crate) fn start() -> Self {
        let (authority, folder) = (Authority::new("ours"), directory());
        let files = authority
            .server(&["steady.example", "still.example", "big.example", "dirty.example"])
            .config(folder.path(), "soak");
        let web = [("v1", Endpoint::start("v1")), ("v2", Endpoint::start("v2"))];
        let killed = Endpoint::start("killed");
        let others: Vec<_> = ["stays", "still", "big", "dirty"].map(Endpoint::start).into();
        others[2].script(|script| script.answer = Answer::Big(BIG));
        let (grpc, chat) = (Part::server("grpc_server.py"), Part::server("ws_server.py"));
        let config = format!(
            "access_log = \"stdout\"\nworkers = 2\n[limits]\nhead = \"2s\"\nfirst_byte = \"2s\"\ntls_handshake = \"2s\"\n\
             {}{}{}{}{}{}{}[[listeners]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificates = [{files}] }}\n",
            released(&web[0].1, &web[1].1),
            steady(&others[0], &killed),
            service("still", "hosts = [\"still.example\"]", &[others[1].address()], ""),
            service("big", "hosts = [\"big.example\"]", &[others[2].address()], ""),
            service("dirty", "hosts = [\"dirty.example\"]", &[others[3].address()], ""),
            service(
                "grpc",
                &route("/test.Echo"),
                &[grpc.address],
                "[services.grpc.connection]\nprotocol = \"http2\"\n"
            ),
            service("chat", &route("/chat"), &[chat.address], ""),
        );
        let log = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("soak.log");
        let adit = Adit::start_writing_to(File::create(&log).unwrap(), &config);
        adit.wait_until_ready();
        let addresses = adit.addresses();
        let (trusted, servers) = (authority.trusted(), vec![grpc, chat]);
        let front = Arc::new(Front { tls: addresses[0], plain: addresses[1], trusted });
        let killed = Mutex::new(killed);
        Self { adit, front, web, killed, log, others, _servers: servers, _folder: folder }
    }

    /// The metrics as they are now.
    pub(crate) fn metrics(&self) -> String {
        self.adit.api("GET", "/metrics", "").text()
    }

    /// Ends what connections to endpoints are kept.
    pub(crate) fn stop_endpoints(&mut self) {
        self.web.iter_mut().for_each(|(_, endpoint)| endpoint.stop());
        self.others.iter_mut().for_each(Endpoint::stop);
        self.killed.get_mut().unwrap().stop();
    }
}

impl Front {
    /// A client's terms of TLS that offers this protocol.
    pub(crate) fn terms(&self, protocol: &[u8]) -> Arc<ClientConfig> {
        let mut terms = self.trusted.clone();
        terms.alpn_protocols = vec![protocol.to_vec()];
        Arc::new(terms)
    }
}

fn service(name: &str, routes: &str, endpoints: &[SocketAddr], more: &str) -> String {
    let endpoints: Vec<_> = endpoints.iter().map(|at| format!("\"{at}\"")).collect();
    format!(
        "[services.{name}]\n{routes}\n[services.{name}.health]\ninterval = \"100ms\"\n{more}\
         [services.{name}.versions.v1]\nendpoints = [{}]\n",
        endpoints.join(", ")
    )
}

/// Clients of other makers name the listener's address as host.
fn route(path: &str) -> String {
    format!("routes = [{{ host = \"127.0.0.1\", path = \"{path}\" }}]")
}

/// A GET that met the endpoint's end is sent to the one that stays: each of them, so the budget is all of them.
fn steady(stays: &Endpoint, killed: &Endpoint) -> String {
    let retry = "[services.steady.retry]\non = [\"connect\", \"reset\"]\nbudget = \"100%\"\n\
                 [services.steady.eject]\nbase = \"100ms\"\nmax = \"200ms\"\n";
    service("steady", "hosts = [\"steady.example\"]", &[stays.address(), killed.address()], retry)
}

/// A bad version fails every request, and stable answers each of them. Latency is not judged: both versions answer alike, and
/// a busy machine would only make chance decide.
fn released(v1: &Endpoint, v2: &Endpoint) -> String {
    let rollout = format!(
        "[services.web.timeouts]\nconnect = \"1000ms\"\n\
         [services.web.rollout]\nsteps = [{{ weight = 20 }}, {{ weight = 100 }}]\n\
         advance = {{ min_requests = 20, min_time = \"100ms\" }}\nrescue = {{ budget = \"100%\" }}\n\
         [services.web.rollout.analysis]\npromote_margin = {{ absolute = \"5%\" }}\nlatency = {{ quantiles = [], gates = [] }}\n\
         [services.web.versions.v2]\nendpoints = [\"{}\"]\n",
        v2.address()
    );
    service("web", "hosts = [\"web.example\"]\nrelease = \"v1\"", &[v1.address()], &rollout)
}
