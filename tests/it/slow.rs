//! Slow clients: heads that trickle in, bodies that trickle in, answers that trickle out. Others do not feel them.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

use crate::harness::{Adit, Answer, Client, Endpoint, now, until, web};

/// In the suite the machine does other things too, and a program with more to do then waits longer for its turn; measured on
/// a quiet machine it is below 1.1.
const MOST: f64 = 2.0;
/// So many requests make a round; the quietest round counts.
const ROUND: usize = 300;

/// Clients that do next to nothing, a thousandth of them every few milliseconds.
struct Slow {
    stop: Arc<AtomicBool>,
    driver: Option<JoinHandle<u64>>,
}

enum Dawdler {
    Head(TcpStream),
    Body(TcpStream),
    Reader(TcpStream),
}

impl Dawdler {
    fn start(number: u64, to: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).expect("a socket");
        // What the kernel takes for a reader is not slow.
        socket.set_recv_buffer_size(4096).expect("a size");
        socket.connect(&to.into()).expect("the listener accepts");
        let mut stream = TcpStream::from(socket);
        let (head, made): (&str, fn(TcpStream) -> Self) = match number % 4 {
            0 | 1 => ("GET / HTTP/1.1\r\nhost: slow.example\r\nx-slow: ", Self::Head),
            2 => ("POST / HTTP/1.1\r\nhost: slow.example\r\ncontent-length: 100000\r\n\r\n", Self::Body),
            _ => ("GET / HTTP/1.1\r\nhost: slow.example\r\n\r\n", Self::Reader),
        };
        stream.write_all(head.as_bytes()).expect("sent");
        stream.set_nonblocking(true).expect("a socket");
        made(stream)
    }

    /// A little more. Whether the connection still stands.
    fn go_on(&mut self) -> bool {
        let done = match self {
            Self::Head(stream) | Self::Body(stream) => stream.write(b"x"),
            Self::Reader(stream) => stream.read(&mut [0; 64]),
        };
        match done {
            Ok(bytes) => bytes > 0,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }
}

impl Slow {
    /// So many, kept up: whoever is cut comes again.
    fn start(count: u64, to: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let mut clients: Vec<_> = (0..count).map(|number| Dawdler::start(number, to)).collect();
        let driver = std::thread::spawn(move || {
            let mut cut = 0;
            for number in (0..count).cycle() {
                if number % 20 == 0 {
                    std::thread::park_timeout(Duration::from_millis(10));
                }
                if told.load(Ordering::Relaxed) {
                    break;
                }
                let client = &mut clients[usize::try_from(number).expect("few")];
                if !client.go_on() {
                    *client = Dawdler::start(number, to);
                    cut += 1;
                }
            }
            cut
        });
        Self { stop, driver: Some(driver) }
    }

    /// Ends them; how many were cut meanwhile.
    fn stop(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.driver.take().expect("stopped once").join().expect("the driver does not panic")
    }
}

fn micros(client: &mut Client) -> u128 {
    let began = now();
    assert_eq!(client.get("/").expect("an answer").status, 200);
    (now() - began).as_micros()
}

/// Of the rounds' medians the least: what else the machine does can only add to it.
fn quietest(times: &[u128]) -> f64 {
    let medians = times.chunks_exact(ROUND).map(|round| {
        let mut round = round.to_vec();
        round.sort_unstable();
        round[ROUND / 2]
    });
    f64::from(u32::try_from(medians.min().expect("at least one round")).expect("not an hour"))
}

/// `ADIT_SLOW_REQUESTS` makes it longer, and the figure more exact.
#[test]
fn two_thousand_slow_clients_slow_nobody_else() {
    let files = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: files.maximum, maximum: files.maximum }).expect("it may");
    let requests = std::env::var("ADIT_SLOW_REQUESTS").map_or(3000, |count| count.parse().expect("a number"));
    let (fast, slow) = (Endpoint::start("v1"), Endpoint::start("slow"));
    slow.script(|script| script.answer = Answer::Big(4 << 20));
    // So that heads that trickle are there all the time, and not cut after ten seconds.
    let config = format!(
        "workers = 1\nlimits = {{ head = \"10m\", requests = 1000000 }}\n{}\n[services.slow]\nhosts = [\"slow.example\"]\n[services.slow.versions.v1]\n\
         endpoints = [\"{}\"]\n",
        web(&[("v1", &[&fast])]),
        slow.address()
    );
    let burdened = Adit::start_alone(&config);
    let free = Adit::start_beside(&config, &burdened);
    burdened.wait_until_ready();
    free.wait_until_ready();
    let crowd = Slow::start(2000, burdened.address());
    until(
        "the slow ones are there",
        || {
            let metrics = burdened.api("GET", "/metrics", "").text();
            let open = metrics.lines().find_map(|line| line.strip_prefix("adit_connections_open "))?;
            open.parse::<u32>().ok().filter(|open| *open >= 1900)
        },
        || burdened.api("GET", "/metrics", "").text(),
    );
    let mut clients = [free.client(), burdened.client()];
    let mut times = [Vec::new(), Vec::new()];
    // One by one, so that whatever else the machine does meets both.
    for _ in 0..requests {
        for (client, times) in clients.iter_mut().zip(&mut times) {
            times.push(micros(client));
        }
    }
    let cut = crowd.stop();
    let [without, with] = times.map(|times| quietest(&times));
    let ratio = with / without;
    println!(
        "a request took {without} µs without and {with} µs with 2000 slow clients: {ratio:.3}; {cut} were cut"
    );
    assert!(ratio < MOST, "{with} µs with slow clients, {without} µs without: {ratio}");
}
