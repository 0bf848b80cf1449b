//! Endpoints that cost little: one thread, epoll, fixed answers, many ports. HTTP/1.1 only, no pipelining.
//!
//! | asked | answered |
//! | --- | --- |
//! | `/10k…`, `/1m…` | 10 KiB, 1 MiB |
//! | a request with a body | `received N`, once the whole body came |
//! | `/counts` | a line per port: the port and how many requests it answered, checks and `/counts` left out |
//! | all else | 100 bytes |

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::Ipv4Addr;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use crate::body::Sink;

pub const SMALL: usize = 100;
pub const HEALTH: &str = "/healthz";
const SCRATCH: usize = 256 * 1024;

/// Serves `count` ports for ever. Which ones is said in one line on standard output.
pub fn serve(count: usize) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut ports = Vec::new();
    for index in 0..count {
        let mut listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0).into())?;
        poll.registry().register(&mut listener, Token(index), Interest::READABLE)?;
        ports.push(Port { number: listener.local_addr()?.port(), listener, answered: 0 });
    }
    let numbers: Vec<String> = ports.iter().map(|port| port.number.to_string()).collect();
    println!("{}", numbers.join(" "));
    let mut server =
        Server { ports, connections: Slab::new(), scratch: vec![0; SCRATCH], bodies: Bodies::new() };
    let mut events = Events::with_capacity(1024);
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        for event in &events {
            match event.token().0.checked_sub(count) {
                None => server.accept(event.token().0, &poll)?,
                Some(key) => server.drive(key, event.is_read_closed()),
            }
        }
    }
}

/// What a body of so many bytes consists of: not one byte over and over, so that a piece lost or twice shows.
pub fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| b'a' + (index % 23) as u8).collect()
}

struct Server {
    ports: Vec<Port>,
    connections: Slab<Connection>,
    scratch: Vec<u8>,
    bodies: Bodies,
}

struct Port {
    number: u16,
    listener: TcpListener,
    answered: u64,
}

impl Server {
    fn accept(&mut self, index: usize, poll: &Poll) -> io::Result<()> {
        loop {
            let mut stream = match self.ports[index].listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // The other side is gone already, or we are out of files: what counts shows at the client.
                Err(_) => return Ok(()),
            };
            stream.set_nodelay(true)?;
            let entry = self.connections.vacant_entry();
            let token = Token(self.ports.len() + entry.key());
            poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
            entry.insert(Connection::new(stream, index));
        }
    }

    fn drive(&mut self, key: usize, closed: bool) {
        // An event that was queued before its connection ended.
        let Some(connection) = self.connections.get_mut(key) else { return };
        let goes_on = connection.drive(closed, &mut self.scratch, &self.bodies, &mut self.ports);
        if !matches!(goes_on, Ok(true)) {
            self.connections.remove(key);
        }
    }
}

struct Bodies {
    small: Vec<u8>,
    ten_kib: Vec<u8>,
    one_mib: Vec<u8>,
}

impl Bodies {
    fn new() -> Bodies {
        Bodies { small: pattern(SMALL), ten_kib: pattern(10 << 10), one_mib: pattern(1 << 20) }
    }

    fn of(&self, which: Which) -> &[u8] {
        match which {
            Which::Small => &self.small,
            Which::TenKib => &self.ten_kib,
            Which::OneMib => &self.one_mib,
            Which::Own => &[],
        }
    }
}

#[derive(Clone, Copy)]
enum Which {
    Small,
    TenKib,
    OneMib,
    /// It stands behind the head already.
    Own,
}

struct Connection {
    stream: TcpStream,
    port: usize,
    /// What came of a head that is not whole.
    head: Vec<u8>,
    /// The body that is being received.
    sink: Option<Sink>,
    /// The answer that is being sent: its head, which body, how much of both is gone.
    answer: Option<(Vec<u8>, Which, usize)>,
    last: bool,
}

impl Connection {
    fn new(stream: TcpStream, port: usize) -> Connection {
        Connection { stream, port, head: Vec::new(), sink: None, answer: None, last: false }
    }

    /// Does what can be done without waiting. Says whether the connection goes on.
    fn drive(
        &mut self,
        closed: bool,
        scratch: &mut [u8],
        bodies: &Bodies,
        ports: &mut [Port],
    ) -> io::Result<bool> {
        loop {
            if !self.send(bodies)? {
                return Ok(true);
            }
            if self.last {
                return Ok(false);
            }
            let got = match self.stream.read(scratch) {
                Ok(0) => return Ok(false),
                Ok(got) => got,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            };
            self.take(&scratch[..got], ports)?;
            // A short read has emptied the socket: no second call to hear that. Unless its end is near.
            if got < scratch.len() && !closed && self.send(bodies)? && !self.last {
                return Ok(true);
            }
        }
    }

    /// Sends what is to be sent; says whether all of it is gone.
    fn send(&mut self, bodies: &Bodies) -> io::Result<bool> {
        while let Some((head, which, gone)) = &mut self.answer {
            let body = bodies.of(*which);
            let (head_left, body_left) =
                (&head[(*gone).min(head.len())..], &body[gone.saturating_sub(head.len())..]);
            if head_left.is_empty() && body_left.is_empty() {
                self.answer = None;
                break;
            }
            match self.stream.write_vectored(&[IoSlice::new(head_left), IoSlice::new(body_left)]) {
                Ok(written) => *gone += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn take(&mut self, bytes: &[u8], ports: &mut [Port]) -> io::Result<()> {
        if let Some(sink) = &mut self.sink {
            if let Some(received) = sink.take(bytes)? {
                self.sink = None;
                self.answer_own(&format!("received {received}"), &mut ports[self.port]);
            }
            return Ok(());
        }
        self.head.extend_from_slice(bytes);
        let Some(end) = self.head.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(()) };
        let whole = std::mem::take(&mut self.head);
        let (head, rest) = whole.split_at(end + 4);
        let head = std::str::from_utf8(head).map_err(|_| ErrorKind::InvalidData)?.to_ascii_lowercase();
        self.last = head.contains("\r\nconnection: close\r\n");
        if let Some(sink) = Sink::announced(&head)? {
            self.sink = Some(sink);
            return self.take(rest, ports);
        }
        let path = head.split(' ').nth(1).unwrap_or_default();
        self.answer_to(path, ports);
        Ok(())
    }

    fn answer_to(&mut self, path: &str, ports: &mut [Port]) {
        if path == "/counts" {
            let counts: String =
                ports.iter().map(|port| format!("{} {}\n", port.number, port.answered)).collect();
            self.answer_own(&counts, &mut ports[self.port]);
            // It counts requests, not those who ask for the counts.
            ports[self.port].answered -= 1;
            return;
        }
        let port = &mut ports[self.port];
        let (which, length) = match path {
            _ if path.starts_with("/10k") => (Which::TenKib, 10 << 10),
            _ if path.starts_with("/1m") => (Which::OneMib, 1 << 20),
            _ => (Which::Small, SMALL),
        };
        port.answered += u64::from(path != HEALTH);
        self.answer = Some((head(port.number, length), which, 0));
    }

    fn answer_own(&mut self, text: &str, port: &mut Port) {
        port.answered += 1;
        let mut answer = head(port.number, text.len());
        answer.extend_from_slice(text.as_bytes());
        self.answer = Some((answer, Which::Own, 0));
    }
}

fn head(port: u16, length: usize) -> Vec<u8> {
    let fields = "server: endpoint\r\ndate: Sat, 01 Nov 2025 12:00:00 GMT\r\ncontent-type: text/plain\r\ncache-control: no-store";
    format!("HTTP/1.1 200 OK\r\n{fields}\r\nx-endpoint: {port}\r\ncontent-length: {length}\r\n\r\n")
        .into_bytes()
}
