//! What connections cost that do nothing, and how many there can be.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::harness::{Adit, Endpoint, Load, until, web};

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: web.example\r\nuser-agent: idle/1.0\r\naccept: */*\r\n\r\n";
/// What an idle connection may cost.
const MOST: u64 = 15 * 1024;

/// Lets this test have as many files as it may.
fn raise_files() {
    let now = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum }).expect("it may");
}

/// Connects and has one request answered; the connection stays.
fn asked(to: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(to).expect("the listener accepts");
    ask(&mut stream);
    stream
}

fn ask(stream: &mut TcpStream) {
    stream.write_all(GET).expect("it takes a request");
    answer(stream);
}

/// Reads a whole answer of an endpoint.
fn answer(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).expect("a duration");
    let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
    while !seen.ends_with(b"answers /\n") {
        let read = stream.read(&mut buffer).expect("it answers");
        assert!(read > 0, "closed after {:?}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&buffer[..read]);
    }
}

/// With `ADIT_IDLE=10000` it is ten thousand connections.
#[test]
fn an_idle_connection_costs_less_than_15_kib() {
    raise_files();
    let count: u64 = std::env::var("ADIT_IDLE").map_or(2000, |count| count.parse().expect("a number"));
    let endpoint = Endpoint::start("v1");
    let adit = Adit::start(&web(&[("v1", &[&endpoint])]));
    adit.wait_until_ready();
    let to = adit.address();
    Load::on(to).requests(2000).run().assert_all_good();
    let before = adit.memory();
    let mut connections: Vec<_> = (0..count).map(|_| asked(to)).collect();
    let at_first = adit.memory().saturating_sub(before) / count;
    let mut least = u64::MAX;
    let each = until(
        "the buffers are given back",
        || {
            least = least.min(adit.memory().saturating_sub(before) / count);
            (least < MOST).then_some(least)
        },
        || "memory does not go down",
    );
    println!("{count} idle connections: {at_first} bytes each at first, {each} once they doze");
    for connection in connections.iter_mut().step_by(100) {
        ask(connection);
    }
}

#[test]
fn with_few_files_connections_wait_and_those_that_are_in_still_reach_their_endpoints() {
    raise_files();
    let endpoint = Endpoint::start("v1");
    // Of 428 files 128 are for ourselves, and of the rest a third for endpoints.
    let adit = Adit::start_with_files(
        428,
        &format!("[limits]\nconnections = 1000\n{}", web(&[("v1", &[&endpoint])])),
    );
    adit.wait_until_ready();
    let said = adit.stderr();
    assert!(said.contains("limits.connections can't be met") && said.contains("\"possible\":200"), "{said}");
    let to = adit.address();
    let mut connections: Vec<_> = (0..200).map(|_| asked(to)).collect();
    let mut waiting: Vec<_> = (0..20).map(|_| TcpStream::connect(to).expect("the kernel accepts")).collect();
    for stream in &mut waiting {
        stream.write_all(GET).expect("the kernel takes it");
    }
    // Ninety at once, each with an endpoint connection of its own.
    endpoint.script(|script| script.answer = crate::harness::Answer::Hang);
    for stream in &mut connections[..90] {
        stream.write_all(GET).expect("it takes a request");
    }
    endpoint.wait_for("ninety are asked", |endpoint| endpoint.in_flight() >= 90);
    endpoint.script(|script| script.answer = crate::harness::Answer::Status(200));
    connections[..90].iter_mut().for_each(answer);
    drop(connections);
    waiting.iter_mut().for_each(answer);
}
