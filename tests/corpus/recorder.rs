//! An endpoint that keeps every byte, follows a script, and believes nothing but the strict reading.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::case::{Answer, Script, Then, When};
use crate::strict::{self, Request, Rest};
use crate::world::PATIENCE;

/// The target of the clean request that ends each case, and of the one that proves a connection usable.
pub(crate) const CLEAN: &str = "/clean";
pub(crate) const NEXT: &str = "/next";

pub(crate) struct Recorder {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    script: Script,
    connections: Vec<Connection>,
    ended: bool,
    /// Which case is on.
    round: u64,
}

/// What came on one connection.
#[derive(Clone, Default)]
pub(crate) struct Connection {
    pub(crate) bytes: Vec<u8>,
    pub(crate) open: bool,
}

/// Which connection of which case.
#[derive(Clone, Copy)]
struct Seat {
    round: u64,
    number: usize,
}

impl State {
    fn at(&mut self, seat: Seat) -> Option<&mut Connection> {
        self.connections.get_mut(seat.number).filter(|_| seat.round == self.round)
    }
}

impl Recorder {
    pub(crate) fn start(script: Script) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { script, connections: Vec::new(), ended: false, round: 0 }));
        let recorder = Self { address, state: state.clone() };
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut inner = state.lock().unwrap();
                if inner.ended {
                    return;
                }
                inner.connections.push(Connection { bytes: Vec::new(), open: true });
                let seat = Seat { round: inner.round, number: inner.connections.len() - 1 };
                let script = inner.script.clone();
                drop(inner);
                let state = state.clone();
                std::thread::spawn(move || {
                    serve(stream, &script, &state, seat);
                    if let Some(connection) = state.lock().unwrap().at(seat) {
                        connection.open = false;
                    }
                });
            }
        });
        recorder
    }

    /// Forgets what came, and what may still come, for another case.
    pub(crate) fn begin(&self, script: Script) {
        let mut state = self.state.lock().unwrap();
        state.connections.clear();
        state.round += 1;
        state.script = script;
    }

    pub(crate) fn connections(&self) -> Vec<Connection> {
        self.state.lock().unwrap().connections.clone()
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.state.lock().unwrap().connections.iter().all(|connection| !connection.open)
    }

    pub(crate) fn has_seen(&self, end: &str) -> bool {
        let state = self.state.lock().unwrap();
        state.connections.last().is_some_and(|connection| connection.bytes.ends_with(end.as_bytes()))
    }

    /// How many requests have begun.
    pub(crate) fn asked(&self) -> usize {
        let begun = |connection: &Connection| {
            let read = strict::read(&connection.bytes);
            read.requests.len() + usize::from(read.rest != Rest::Nothing)
        };
        self.state.lock().unwrap().connections.iter().map(begun).sum()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.state.lock().unwrap().ended = true;
        // Wakes the listener, so that its thread ends.
        let _gone = TcpStream::connect(self.address);
    }
}

fn serve(mut stream: TcpStream, script: &Script, state: &Mutex<State>, seat: Seat) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    if script.when == When::Connected && seat.number == 0 && act(&mut stream, script, None) {
        return;
    }
    let mut answered = 0;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = stream.read(&mut buffer).unwrap_or(0);
        if length == 0 {
            return;
        }
        let read = {
            let mut state = state.lock().unwrap();
            let Some(connection) = state.at(seat) else { return };
            connection.bytes.extend_from_slice(&buffer[..length]);
            strict::read(&connection.bytes)
        };
        for request in read.requests.iter().skip(answered) {
            answered += 1;
            if answer(&mut stream, script, request) {
                return;
            }
        }
        match &read.rest {
            Rest::Begun(bytes) if script.when == When::Head && bytes.contains("\r\n\r\n") => {
                if act(&mut stream, script, None) {
                    return;
                }
                answered += 1;
            }
            Rest::Broken(_) => return,
            Rest::Begun(_) | Rest::Nothing => {}
        }
    }
}

/// Whether the connection is over.
fn answer(stream: &mut TcpStream, script: &Script, request: &Request) -> bool {
    if request.target == CLEAN || request.target == NEXT || script.when == When::Connected {
        let _gone = stream.write_all(&said(request));
        return false;
    }
    act(stream, script, Some(request))
}

fn act(stream: &mut TcpStream, script: &Script, request: Option<&Request>) -> bool {
    let _gone = match (&script.answer, request) {
        (Answer::Bytes(bytes), _) => stream.write_all(bytes),
        (Answer::Target, Some(request)) => stream.write_all(&said(request)),
        (Answer::Target, None) => Ok(()),
    };
    match script.then {
        Then::Keep => false,
        Then::Close => true,
        Then::Reset => {
            let socket = socket2::SockRef::from(&*stream);
            let _closed = socket.set_linger(Some(std::time::Duration::ZERO));
            true
        }
    }
}

fn said(request: &Request) -> Vec<u8> {
    let (length, body) = (request.target.len(), if request.method == "HEAD" { "" } else { &request.target });
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}
