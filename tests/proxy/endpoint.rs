//! Endpoints: one that follows a script, one that can be killed, and none at all.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::wire::{Heads, Wire};

/// An endpoint that follows a script.
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    heads: Heads,
}

impl Scripted {
    /// Runs `script` for every connection, each on a thread of its own. The connection closes when it returns.
    pub(crate) fn start(script: impl Fn(&mut Wire) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, heads, script) =
            (Arc::<AtomicUsize>::default(), Heads::default(), Arc::new(script));
        let endpoint = Self { address, connections: connections.clone(), heads: heads.clone() };
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (heads, script) = (heads.clone(), script.clone());
                let number = connections.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || {
                    let mut wire = Wire::new(stream);
                    (wire.number, wire.heads) = (number, heads);
                    script(&mut wire);
                });
            }
        });
        endpoint
    }

    /// Answers every request with 200 and this text.
    pub(crate) fn saying(text: &'static str) -> Self {
        Self::start(move |wire| {
            while wire.request().is_some() {
                wire.send(ok(text));
            }
        })
    }

    /// Answers every request with these bytes and keeps the connection.
    pub(crate) fn answering(bytes: &'static str) -> Self {
        Self::start(move |wire| {
            while wire.request().is_some() {
                wire.send(bytes);
            }
        })
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The heads of the requests it saw.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

/// An endpoint that can be killed like a process: all its sockets close at once, in the middle of whatever they do.
pub(crate) struct Mortal {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<Mortality>>,
}

/// How an endpoint treats connections.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Style {
    KeepsConnections,
    ClosesEach,
}

#[derive(Default)]
struct Mortality {
    dead: bool,
    in_flight: usize,
    streams: Vec<TcpStream>,
}

impl Mortal {
    pub(crate) fn start(style: Style) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(Mortality::default()));
        let life = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut state = life.lock().unwrap();
                if state.dead {
                    // Before anybody can say that it is dead, the listener is gone.
                    drop(listener);
                    return;
                }
                state.streams.push(stream.try_clone().unwrap());
                let life = life.clone();
                std::thread::spawn(move || Self::serve(&mut Wire::new(stream), style, &life));
            }
        });
        Self { address, state }
    }

    fn serve(wire: &mut Wire, style: Style, life: &Mutex<Mortality>) {
        while wire.request().is_some() {
            life.lock().unwrap().in_flight += 1;
            std::thread::park_timeout(Duration::from_millis(1));
            let mut state = life.lock().unwrap();
            state.in_flight -= 1;
            if state.dead {
                return;
            }
            // Whole or not at all: an answer that has begun can't be saved.
            match style {
                Style::KeepsConnections => wire.send(ok("hello")),
                Style::ClosesEach => {
                    wire.send("HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello");
                    return;
                }
            }
        }
    }

    /// How many requests were in flight then.
    pub(crate) fn kill(&self) -> usize {
        let mut state = self.state.lock().unwrap();
        state.dead = true;
        for stream in &state.streams {
            let _closed_before = stream.shutdown(std::net::Shutdown::Both);
        }
        let in_flight = state.in_flight;
        drop(state);
        // Wakes the listener, so that it goes as well.
        let _refused = TcpStream::connect(self.address);
        in_flight
    }
}

/// An address where nobody listens: refuses connections.
pub(crate) fn nobody() -> SocketAddr {
    // Bound, not listening: nobody else can take it while the test runs.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    std::mem::forget(socket);
    address
}

/// A whole answer.
pub(crate) fn ok(text: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len())
}
