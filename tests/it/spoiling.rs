//! Clients can't spoil a release: whatever they do to their own requests, no version is blamed for it.

mod misdeeds;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use adit::control::report::ServiceStatus;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use socket2::SockRef;

use self::misdeeds::{Misdeed, Then, on_http1, on_http2};
use crate::certificates::Authority;
use crate::harness::{Adit, Endpoint, Load, directory, until, version, web};

/// How many at once.
const CLIENTS: usize = 200;
/// One does so many things a second at most, so that a small machine has time for the others.
const PAUSE: Duration = Duration::from_millis(500);
/// Whoever gets no answer for so long does the next thing.
const PATIENCE: Duration = Duration::from_millis(500);

/// A few hundred requests a step. Times are not judged: two hundred clients on one small machine slow down whom they happen
/// to slow down.
const PLAN: &str = "\
[services.web.rollout]
steps = [{ weight = 30 }, { weight = 60 }, { weight = 100 }]
advance = { min_requests = 60, min_time = \"1s\" }
[services.web.rollout.analysis]
promote_margin = { absolute = \"5%\" }
latency = { quantiles = [] }
";

trait Wire: Read + Write {}
impl<S: Read + Write> Wire for S {}

/// Clients that do all of this, over and over.
struct Mob {
    stop: Arc<AtomicBool>,
    /// How often each was done, in the order of the list.
    done: Arc<Vec<AtomicU64>>,
    misdeeds: Arc<Vec<(Misdeed, Over)>>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Clone)]
enum Over {
    Tcp(SocketAddr),
    Tls(SocketAddr, Arc<ClientConfig>),
}

impl Mob {
    fn start(misdeeds: Vec<(Misdeed, Over)>) -> Self {
        let (stop, misdeeds) = (Arc::<AtomicBool>::default(), Arc::new(misdeeds));
        let done: Arc<Vec<AtomicU64>> = Arc::new(misdeeds.iter().map(|_| AtomicU64::new(0)).collect());
        let client = |number: usize| {
            let (stop, done, misdeeds) = (stop.clone(), done.clone(), misdeeds.clone());
            std::thread::spawn(move || {
                for at in (0..misdeeds.len()).cycle().skip(number) {
                    std::thread::park_timeout(PAUSE);
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let (misdeed, over) = &misdeeds[at];
                    // That they fail is what they are for.
                    let _failed = commit(misdeed, over);
                    done[at].fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        let clients = (0..CLIENTS).map(client).collect();
        Self { stop, done, misdeeds, clients }
    }

    /// Waits until each thing was done so often since the start.
    fn wait_for_each(&self, times: u64) {
        until(
            "every misdeed was done",
            || self.done.iter().all(|done| done.load(Ordering::Relaxed) >= times).then_some(()),
            || format!("{:?}", self.done),
        );
    }

    /// How often anything was done.
    fn stop(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            client.join().expect("no client panics");
        }
        let counts = self.done.iter().map(|done| done.load(Ordering::Relaxed));
        for (count, (misdeed, _)) in counts.clone().zip(self.misdeeds.iter()) {
            assert!(count > 0, "nobody did: {}", misdeed.name);
        }
        counts.sum()
    }
}

fn commit(misdeed: &Misdeed, over: &Over) -> std::io::Result<()> {
    match over {
        Over::Tcp(to) => {
            let mut stream = connect(*to)?;
            deal(misdeed, &mut stream)?;
            reset_if(misdeed, &stream)
        }
        Over::Tls(to, config) => {
            let name = ServerName::try_from("web.example").expect("a name");
            let connection = ClientConnection::new(config.clone(), name).map_err(std::io::Error::other)?;
            let mut stream = StreamOwned::new(connection, connect(*to)?);
            deal(misdeed, &mut stream)?;
            reset_if(misdeed, &stream.sock)
        }
    }
}

fn connect(to: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(to)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn deal(misdeed: &Misdeed, wire: &mut impl Wire) -> std::io::Result<()> {
    wire.write_all(&misdeed.bytes)?;
    wire.flush()?;
    let (mut buffer, mut left) = (
        [0; 4096],
        match misdeed.then {
            Then::Reads => usize::MAX,
            Then::Sips(bytes) => bytes,
            Then::Leaves | Then::Resets => 0,
        },
    );
    while left > 0 {
        match wire.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => left = left.saturating_sub(read),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Ok(()),
        }
    }
    Ok(())
}

fn reset_if(misdeed: &Misdeed, stream: &TcpStream) -> std::io::Result<()> {
    match misdeed.then {
        Then::Resets => SockRef::from(stream).set_linger(Some(Duration::ZERO)),
        Then::Reads | Then::Sips(_) | Then::Leaves => Ok(()),
    }
}

/// Two versions, v1 released, with a large file each; a plain listener, and one with TLS.
struct World {
    v1: Endpoint,
    v2: Endpoint,
    adit: Adit,
    trusted: ClientConfig,
    _folder: tempfile::TempDir,
}

impl World {
    fn start(plan: &str) -> Self {
        let (v1, v2) = (Endpoint::start("v1"), Endpoint::start("v2"));
        for endpoint in [&v1, &v2] {
            endpoint.script(|script| script.big_path = Some(("/big", 16 << 20)));
        }
        let (authority, folder) = (Authority::new("ours"), directory());
        let files = authority.server(&["web.example"]).config(folder.path(), "web");
        let tls = format!("[[listeners]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificates = [{files}] }}\n");
        // How busy the machine is, is not the question here.
        let checks = "interval = \"100ms\"\ntimeout = \"10s\"";
        let web = web(&[("v1", &[&v1]), ("v2", &[&v2])]).replace("interval = \"100ms\"", checks);
        // A hostile client is not kept waiting longer than the test.
        let adit = Adit::start_alone(&format!(
            "access_log = \"stdout\"\nlimits = {{ connections_per_client = 10000 }}\n{web}{plan}{tls}"
        ));
        adit.wait_until_all_ready();
        Self { v1, v2, adit, trusted: authority.trusted(), _folder: folder }
    }

    /// The plain one.
    fn plain(&self) -> SocketAddr {
        self.at(1)
    }

    fn at(&self, place: usize) -> SocketAddr {
        self.adit.status().listeners[place].parse().expect("an address")
    }

    /// Everything over TCP, and every third thing over TLS too, each in its protocol.
    fn misdeeds(&self, wanted: impl Fn(&Misdeed) -> bool) -> Vec<(Misdeed, Over)> {
        let (plain, tls) = (self.plain(), self.at(0));
        let config = |alpn: &[u8]| {
            let mut config = self.trusted.clone();
            config.alpn_protocols = vec![alpn.to_vec()];
            Arc::new(config)
        };
        let (http1, http2) = (config(b"http/1.1"), config(b"h2"));
        let over_tcp = on_http1().into_iter().chain(on_http2()).map(|it| (it, Over::Tcp(plain)));
        let over_tls = (on_http1().into_iter().map(|it| (it, Over::Tls(tls, http1.clone()))))
            .chain(on_http2().into_iter().map(|it| (it, Over::Tls(tls, http2.clone()))));
        over_tcp.chain(over_tls.step_by(3)).filter(|(it, _)| wanted(it)).collect()
    }

    /// The step of the rollout, while it goes on. No verdict on the way may blame the canary for anything.
    fn place(&self, web: &ServiceStatus) -> Option<usize> {
        let Some(rollout) = &web.rollout else { return Some(0) };
        let failed = rollout.verdict.as_ref().map_or(0, |verdict| verdict.canary_failures);
        assert_eq!(failed, 0, "{rollout:#?}\n{}", self.adit.stderr());
        rollout.outcome.is_none().then_some(rollout.step)
    }

    /// What the log says of answers by the canary that went to their end, one of each kind.
    fn whole_ones(&self) -> Vec<String> {
        let whole = |line: &String| line.contains("\"version\":\"v2\"") && line.contains("\"error\":null");
        let mut lines = self.adit.stdout();
        lines.retain(|line| whole(line) && !line.contains("\"status\":499"));
        lines
    }

    #[track_caller]
    fn assert_nobody_is_blamed(&self) {
        let metrics = self.adit.api("GET", "/metrics", "").text();
        for metric in
            ["adit_endpoint_errors_total", "adit_ejections_total", "adit_rescues_total", "adit_panics_total"]
        {
            let series: Vec<_> = metrics
                .lines()
                .filter(|line| {
                    line.starts_with(metric) && !line.ends_with(" 0") && !line.contains("version=\"\"")
                })
                .collect();
            assert!(series.is_empty(), "{series:#?}\n{}", self.adit.stderr());
        }
        let web = self.adit.web();
        for name in ["v1", "v2"] {
            let shown = version(&web, name);
            assert_eq!((shown.failures, shown.rescued), (0, 0), "{shown:#?}");
            let down = shown.endpoints.iter().find(|endpoint| endpoint.state != "ready");
            assert!(down.is_none(), "{down:#?}\n{}", self.adit.stderr());
        }
        assert_eq!((self.v1.failures().len(), self.v2.failures().len()), (0, 0), "endpoints fail nothing");
    }
}

#[test]
fn two_hundred_hostile_clients_during_a_rollout_change_no_verdict_and_eject_nothing() {
    let world = World::start(PLAN);
    let clean = Load::on(world.plain()).per_second(200).start();
    let mob = Mob::start(world.misdeeds(|_| true));
    mob.wait_for_each(2);
    world.assert_nobody_is_blamed();
    world.adit.release("v2");
    // A busy machine takes its time: each step may have as long as a fact may take.
    for step in [2, 3] {
        world.adit.wait_for_web("the next step", |web| world.place(web).is_none_or(|at| at >= step));
        let web = world.adit.web();
        let ended = web.rollout.as_ref().and_then(|rollout| rollout.outcome.as_deref());
        assert_ne!(ended, Some("aborted"), "{}", world.adit.cli(&["explain", "web"]).stdout);
        world.assert_nobody_is_blamed();
    }
    let web = world.adit.wait_for_web("the rollout ends", |web| world.place(web).is_none());
    let rollout = web.rollout.as_ref().expect("a rollout");
    assert_eq!(rollout.outcome.as_deref(), Some("promoted"), "{rollout:#?}");
    let canary = world.v2.requests();
    let done = mob.stop();
    let tally = clean.stop();
    tally.assert_all_good();
    world.assert_nobody_is_blamed();
    println!(
        "{done} misdeeds beside {} clean requests, none of which failed; the canary was asked {canary} times and counted {}",
        tally.total(),
        rollout.verdict.as_ref().map_or(0, |verdict| verdict.canary_requests)
    );
}

/// Only a whole answer to a whole request is evidence: others neither hold a release up nor hurry it on.
#[test]
fn hostile_requests_that_are_never_whole_do_not_move_a_rollout() {
    let world = World::start(&crate::harness::staying_at(50.0));
    world.adit.release("v2");
    world.adit.wait_for_weight(50.0);
    let mob = Mob::start(world.misdeeds(|misdeed| !misdeed.whole));
    mob.wait_for_each(4);
    world.v2.wait_for("the canary is asked", |v2| v2.requests() >= 300);
    mob.stop();
    world.assert_nobody_is_blamed();
    let told = world.adit.cli(&["explain", "web"]).expect_code(0).stdout;
    let web = world.adit.web();
    let counted = web
        .rollout
        .as_ref()
        .and_then(|rollout| rollout.verdict.as_ref())
        .map(|it| (it.canary_requests, it.canary_failures));
    assert!(matches!(counted, None | Some((0, 0))), "{counted:?}\n{told}\n{:#?}", world.whole_ones());
}
