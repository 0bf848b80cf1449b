//! What a connection costs that does nothing.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use rustix::process::{Resource, getrlimit};

use crate::cpu;
use crate::figures::{Figures, Metric};
use crate::load::{self, Reuse};
use crate::measure::Measured;
use crate::peers::Peer;

/// How many connections: 10,000, or what the limit on open files lets the floor hold, which has two per client.
pub fn connections() -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    10_000.min((files.saturating_sub(1_000) / 2) as usize)
}

/// The contender must have just been started: what it keeps of earlier connections would be taken for nothing.
pub fn measure(peer: &Peer) -> Result<Measured, String> {
    let before = cpu::memory(peer.id());
    let wanted = connections();
    let request = load::get("localhost", "/small", Reuse::KeepAlive);
    let mut held = Vec::with_capacity(wanted);
    for number in 0..wanted {
        let stream = ask_once(peer.site.ports.plain, &request)
            .map_err(|error| format!("connection {number} of {wanted}: {error}"))?;
        held.push(stream);
    }
    // Time to give back what is given back when nothing happens.
    std::thread::sleep(Duration::from_millis(1500));
    let after = cpu::memory(peer.id());
    let open = held.iter().filter(|stream| is_open(stream)).count();
    let problem = (open < wanted).then(|| format!("only {open} of {wanted} connections stayed open"));
    let per_connection = after.saturating_sub(before) as f64 / wanted as f64;
    let figures = Figures::from([(Metric::Memory, per_connection), (Metric::Resident, before as f64)]);
    Ok((figures, problem.into_iter().collect()))
}

/// A connection that has had a request and its answer.
fn ask_once(port: u16, request: &[u8]) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(request)?;
    let (mut answer, mut scratch) = (Vec::new(), [0; 4096]);
    let end = crate::endpoint::pattern(crate::endpoint::SMALL);
    while !answer.ends_with(&end) {
        match stream.read(&mut scratch)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            got => answer.extend_from_slice(&scratch[..got]),
        }
    }
    if !answer.starts_with(b"HTTP/1.1 200 ") {
        return Err(std::io::Error::other("no 200"));
    }
    stream.set_nonblocking(true)?;
    Ok(stream)
}

fn is_open(stream: &TcpStream) -> bool {
    matches!(stream.peek(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}
