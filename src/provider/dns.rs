//! Names to addresses: each name that endpoints are known by is looked up again when its answer expires.

mod lookup;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tracing::error;

use self::lookup::{Answers, Looked, System};
use crate::clock::Clock;

/// A name is never looked up more often than this, however short its answers live.
const SHORTEST: Duration = Duration::from_secs(1);
/// The wait after a first failure; it doubles with each further one.
const RETRY: Duration = Duration::from_secs(5);
/// The longest wait between failures.
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// Looks names up until dropped.
pub struct Names {
    clock: Clock,
    found: mpsc::Sender<Found>,
    read: Arc<Read>,
    running: BTreeMap<String, AbortHandle>,
    tasks: JoinSet<()>,
}

/// Tells how this machine looks names up, at the time of asking.
type Read = dyn Fn() -> System + Send + Sync;

/// A lookup that ended. One of a name that is no longer wanted may still be on its way: pass over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The name, as it was wanted.
    pub name: String,
    /// Its addresses, sorted, each once, at least one. `Err`: why there are none, for people; the addresses known
    /// before are then still the best there are, and it is for the receiver to keep them.
    pub result: Result<Vec<IpAddr>, String>,
}

/// Whoever wanted the addresses is gone.
struct Unwanted;

impl Names {
    /// Looks nothing up yet. Every lookup is told to `found`; while that is full, looking up waits.
    ///
    /// Names are looked up as `/etc/hosts` and `/etc/resolv.conf` say at the time of each lookup, IPv4 and IPv6 alike.
    pub fn new(clock: Clock, found: mpsc::Sender<Found>) -> Self {
        Self::reading(clock, found, Arc::new(System::read))
    }

    fn reading(clock: Clock, found: mpsc::Sender<Found>, read: Arc<Read>) -> Self {
        Self { clock, found, read, running: BTreeMap::new(), tasks: JoinSet::new() }
    }

    /// From now on looks up exactly these: a new one at once, all again when their answers expire (after 1 s at least
    /// and 5 min at most; 10 s with Docker's own name server, whose lifetimes mean nothing), after a failure within
    /// 5 to 30 s. Call it within a tokio runtime.
    pub fn reconcile(&mut self, wanted: BTreeSet<String>) {
        self.reap();
        self.running.retain(|name, task| {
            let stays = wanted.contains(name) && !task.is_finished();
            if !stays {
                task.abort();
            }
            stays
        });
        for name in wanted {
            if !self.running.contains_key(&name) {
                self.start(name);
            }
        }
    }

    fn start(&mut self, name: String) {
        let (clock, found, read) = (self.clock.clone(), self.found.clone(), self.read.clone());
        let wanted = name.clone();
        let task = self.tasks.spawn(async move {
            let Err(Unwanted) = follow(wanted, clock, found, read).await;
        });
        self.running.insert(name, task);
    }

    fn reap(&mut self) {
        while let Some(ended) = self.tasks.try_join_next() {
            if let Err(failure) = ended
                && failure.is_panic()
            {
                error!(%failure, "following a name broke down and starts anew");
            }
        }
    }
}

async fn follow(
    name: String,
    clock: Clock,
    found: mpsc::Sender<Found>,
    read: Arc<Read>,
) -> Result<Infallible, Unwanted> {
    let mut known = Known::default();
    loop {
        let looked = look_up(&name, &read).await;
        let now = clock.now();
        let (result, wait) = known.take_in(looked);
        found.send(Found { name: name.clone(), result }).await.map_err(|_| Unwanted)?;
        clock.sleep_until(now + wait).await;
    }
}

/// One lookup. It runs as a task of its own: should it panic, that is its result.
async fn look_up(name: &str, read: &Arc<Read>) -> Looked {
    let (asked, read) = (name.to_owned(), read.clone());
    let mut alone = JoinSet::new();
    alone.spawn(async move {
        // Reads files: not on this thread.
        match tokio::task::spawn_blocking(move || read()).await {
            Ok(system) => system.find(&asked).await,
            Err(failure) => Looked::failed(&failure.to_string()),
        }
    });
    alone.join_next().await.expect("one task was spawned: the line above").unwrap_or_else(|failure| {
        error!(name, %failure, "a lookup broke down");
        Looked::failed(&failure.to_string())
    })
}

/// What is known of one name.
#[derive(Debug, Default)]
struct Known {
    v4: Vec<IpAddr>,
    v6: Vec<IpAddr>,
    failures: u32,
}

impl Known {
    /// Takes in a lookup, and returns its result and the time until the next.
    fn take_in(&mut self, looked: Looked) -> (Result<Vec<IpAddr>, String>, Duration) {
        let (ttl, longest, why) = (looked.ttl(), looked.longest, looked.why().to_owned());
        keep(&mut self.v4, looked.v4);
        keep(&mut self.v6, looked.v6);
        match ttl {
            Some(ttl) => {
                self.failures = 0;
                (Ok(self.addresses()), ttl.clamp(SHORTEST, longest))
            }
            None => {
                let wait = RETRY.saturating_mul(1 << self.failures.min(8)).min(LONGEST_RETRY);
                self.failures = self.failures.saturating_add(1);
                (Err(why), wait)
            }
        }
    }

    fn addresses(&self) -> Vec<IpAddr> {
        let all: BTreeSet<_> = self.v4.iter().chain(&self.v6).copied().collect();
        all.into_iter().collect()
    }
}

/// A family that could not be asked keeps its last addresses: a name server that stumbles over one of two questions
/// must not take half of the endpoints away.
fn keep(known: &mut Vec<IpAddr>, answers: Answers) {
    match answers {
        Answers::Addresses { addresses, .. } => *known = addresses,
        Answers::Nothing(_) => known.clear(),
        Answers::Failed(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::net::SocketAddr;
    use std::sync::Mutex;

    use hickory_resolver::proto::op::{Message, ResponseCode};
    use hickory_resolver::proto::rr::{RData, Record, RecordType};
    use tokio::net::UdpSocket;

    use super::*;
    use crate::clock::Manual;
    use crate::domain::Timestamp;

    /// What a name server says about each name; names that are not in it don't exist.
    type Zone = HashMap<&'static str, Says>;

    #[derive(Clone, Copy)]
    enum Says {
        /// These addresses, for so many seconds.
        Addresses(&'static [&'static str], u32),
        /// It can't answer this kind of question, but has this address.
        Stumbles(RecordType, &'static str),
        /// It can't answer.
        Fails,
    }

    /// A real name server on loopback, and names that are looked up there.
    struct Bench {
        clock: Arc<Manual>,
        zone: Arc<Mutex<Zone>>,
        names: Names,
        found: mpsc::Receiver<Found>,
        _server: JoinSet<()>,
    }

    impl Bench {
        async fn new(zone: impl IntoIterator<Item = (&'static str, Says)>) -> Self {
            let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
            let address = socket.local_addr().expect("bound");
            let zone = Arc::new(Mutex::new(Zone::from_iter(zone)));
            let mut server = JoinSet::new();
            server.spawn(serve(socket, zone.clone()));
            let (clock, manual) = Clock::manual(Timestamp::from_micros(1_000_000));
            let (sender, found) = mpsc::channel(16);
            let names = Names::reading(clock, sender, Arc::new(move || system(address)));
            Self { clock: manual, zone, names, found, _server: server }
        }

        fn want<const N: usize>(&mut self, names: [&str; N]) {
            self.names.reconcile(names.map(str::to_owned).into());
        }

        fn say(&self, name: &'static str, says: Says) {
            self.zone.lock().expect("no panic").insert(name, says);
        }

        async fn found(&mut self) -> Result<String, String> {
            let result = self.found.recv().await.expect("a lookup").result;
            result.map(|found| found.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        }

        async fn found_after(&mut self, wait: Duration) -> Result<String, String> {
            self.clock.advance(wait);
            self.found().await
        }
    }

    fn system(server: SocketAddr) -> System {
        let hosts = "192.0.2.99 filed\n127.0.0.1 localhost\n";
        let conf = "nameserver 127.0.0.1\nsearch here.example\noptions ndots:2 timeout:20";
        System::parse(conf, hosts).asking(server)
    }

    async fn serve(socket: UdpSocket, zone: Arc<Mutex<Zone>>) {
        let mut question = [0; 1500];
        loop {
            let (length, from) = socket.recv_from(&mut question).await.expect("a question");
            let question = Message::from_vec(&question[..length]).expect("a question");
            let answer = answer(question, &zone.lock().expect("no panic"));
            socket.send_to(&answer.to_vec().expect("an answer"), from).await.expect("sent");
        }
    }

    fn answer(question: Message, zone: &Zone) -> Message {
        let query = question.queries[0].clone();
        let mut answer = question.into_response();
        let (name, kind) = (query.name().to_string(), query.query_type());
        let (addresses, ttl): (&[&str], _) = match zone.get(name.as_str()) {
            Some(Says::Addresses(addresses, ttl)) => (addresses, *ttl),
            Some(Says::Stumbles(on, address)) if *on != kind => (std::slice::from_ref(address), 60),
            Some(Says::Stumbles(..) | Says::Fails) => {
                answer.metadata.response_code = ResponseCode::ServFail;
                return answer;
            }
            None => {
                answer.metadata.response_code = ResponseCode::NXDomain;
                return answer;
            }
        };
        for address in addresses {
            let data = RData::from(address.parse::<IpAddr>().expect("an address"));
            if data.record_type() == kind {
                answer.add_answer(Record::from_rdata(query.name().clone(), ttl, data));
            }
        }
        answer
    }

    #[tokio::test]
    async fn all_addresses_of_both_families_are_found_sorted_and_once() {
        let says = Says::Addresses(&["192.0.2.2", "2001:db8::1", "192.0.2.1", "192.0.2.2"], 60);
        let mut bench = Bench::new([("web.example.com.", says)]).await;
        bench.want(["web.example.com"]);
        assert_eq!(bench.found().await, Ok("192.0.2.1 192.0.2.2 2001:db8::1".to_owned()));
    }

    #[tokio::test]
    async fn a_name_is_looked_up_again_when_its_answer_expires() {
        let mut bench = Bench::new([("web.example.com.", Says::Addresses(&["192.0.2.1"], 1))]).await;
        bench.want(["web.example.com"]);
        assert_eq!(bench.found().await, Ok("192.0.2.1".to_owned()));
        bench.say("web.example.com.", Says::Addresses(&["192.0.2.7", "192.0.2.8"], 1));
        assert_eq!(bench.found_after(SHORTEST).await, Ok("192.0.2.7 192.0.2.8".to_owned()));
    }

    #[tokio::test]
    async fn a_failure_says_why_and_is_tried_again() {
        let mut bench = Bench::new([]).await;
        bench.want(["web.example.com"]);
        assert_eq!(bench.found().await, Err("no such name (NXDOMAIN)".to_owned()));
        bench.say("web.example.com.", Says::Fails);
        assert_eq!(
            bench.found_after(RETRY).await,
            Err("the name server answered: Server Failure".to_owned())
        );
        bench.say("web.example.com.", Says::Addresses(&[], 60));
        assert_eq!(bench.found_after(2 * RETRY).await, Err("the name has no addresses".to_owned()));
        bench.say("web.example.com.", Says::Addresses(&["192.0.2.1"], 60));
        assert_eq!(bench.found_after(4 * RETRY).await, Ok("192.0.2.1".to_owned()));
    }

    #[tokio::test]
    async fn a_family_that_can_t_be_asked_keeps_its_last_addresses() {
        let says = Says::Addresses(&["192.0.2.1", "2001:db8::1"], 1);
        let mut bench = Bench::new([("web.example.com.", says)]).await;
        bench.want(["web.example.com"]);
        assert_eq!(bench.found().await, Ok("192.0.2.1 2001:db8::1".to_owned()));
        bench.say("web.example.com.", Says::Stumbles(RecordType::A, "2001:db8::2"));
        assert_eq!(bench.found_after(SHORTEST).await, Ok("192.0.2.1 2001:db8::2".to_owned()));
    }

    #[tokio::test]
    async fn short_names_are_searched_for_as_the_system_says() {
        let (here, there) = (Says::Addresses(&["192.0.2.1"], 60), Says::Addresses(&["192.0.2.2"], 60));
        let mut bench = Bench::new([("a_b.here.example.", here), ("a_b.", there), ("c.", there)]).await;
        for (name, address) in [("a_b", "192.0.2.1"), ("a_b.", "192.0.2.2"), ("c", "192.0.2.2")] {
            bench.want([name]);
            assert_eq!(bench.found().await, Ok(address.to_owned()), "{name}");
        }
    }

    #[tokio::test]
    async fn what_the_hosts_file_says_is_not_asked_for() {
        let mut bench = Bench::new([("filed.", Says::Addresses(&["192.0.2.1", "2001:db8::1"], 60))]).await;
        bench.want(["filed"]);
        assert_eq!(bench.found().await, Ok("192.0.2.99".to_owned()));
        bench.want(["localhost"]);
        assert_eq!(bench.found().await, Ok("127.0.0.1".to_owned()));
    }

    #[tokio::test]
    async fn localhost_is_found_on_this_machine() {
        let (sender, mut found) = mpsc::channel(1);
        let mut names = Names::new(Clock::real(), sender);
        names.reconcile(["localhost".to_owned()].into());
        let addresses = found.recv().await.expect("a lookup").result.expect("addresses");
        assert!(!addresses.is_empty() && addresses.iter().all(IpAddr::is_loopback), "{addresses:?}");
    }

    #[tokio::test]
    async fn what_is_no_name_is_told_so() {
        let mut bench = Bench::new([]).await;
        bench.want(["two..dots"]);
        let why = bench.found().await.expect_err("no name");
        assert!(why.starts_with("not a name:"), "{why}");
    }

    #[tokio::test]
    async fn a_vanished_name_is_not_looked_up_again() {
        let says = Says::Addresses(&["192.0.2.1"], 1);
        let mut bench = Bench::new([("a.example.com.", says), ("b.example.com.", says)]).await;
        bench.want(["a.example.com", "b.example.com"]);
        bench.found().await.expect("addresses");
        bench.found().await.expect("addresses");
        bench.want(["b.example.com"]);
        let ended = bench.names.tasks.join_next().await.expect("the task of a");
        assert!(ended.expect_err("aborted").is_cancelled());
        bench.clock.advance(SHORTEST);
        assert_eq!(bench.found.recv().await.map(|found| found.name).as_deref(), Some("b.example.com"));
    }

    #[test]
    fn the_wait_follows_the_answers_and_grows_with_failures() {
        let looked = |ttl| Looked {
            v4: Answers::Addresses {
                addresses: vec![IpAddr::from([192, 0, 2, 1])],
                ttl: Duration::from_secs(ttl),
            },
            v6: Answers::Nothing(String::new()),
            longest: Duration::from_secs(300),
        };
        let mut known = Known::default();
        let mut waits = |looked| known.take_in(looked).1.as_secs();
        assert_eq!([0, 1, 60, 300, 86_400].map(|ttl| waits(looked(ttl))), [1, 1, 60, 300, 300]);
        assert_eq!(
            [(); 12].map(|()| waits(Looked::failed("no"))),
            [5, 10, 20, 30, 30, 30, 30, 30, 30, 30, 30, 30]
        );
        assert_eq!([waits(looked(2)), waits(Looked::failed("no"))], [2, 5]);
    }
}
