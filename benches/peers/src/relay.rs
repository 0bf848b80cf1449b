//! The floor: what carrying bytes between two sockets costs, and nothing else. One connection to an endpoint per client's
//! connection, no parsing, one thread, epoll.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

const LISTENER: Token = Token(usize::MAX - 1);
const SCRATCH: usize = 256 * 1024;

/// Relays what comes to `port` to the endpoints in turn, for ever.
pub fn serve(port: u16, endpoints: &[u16]) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port).into())?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut pairs = Slab::new();
    let mut turn = endpoints.iter().cycle();
    let mut scratch = vec![0; SCRATCH];
    let mut events = Events::with_capacity(1024);
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        for event in &events {
            let Token(number) = event.token();
            if event.token() == LISTENER {
                let next = || turn.next().copied().unwrap_or_default();
                accept(&listener, &poll, &mut pairs, next)?;
                continue;
            }
            // An event that was queued before its connection ended finds nothing.
            let Some(pair) = pairs.get_mut(number / 2) else { continue };
            // Two tokens a pair: even the client's, odd the endpoint's.
            let came_from = if number.is_multiple_of(2) { Side::Client } else { Side::Endpoint };
            if pair.drive(came_from, event, &mut scratch).is_err() || pair.is_over() {
                pairs.remove(number / 2);
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    poll: &Poll,
    pairs: &mut Slab<Pair>,
    mut next: impl FnMut() -> u16,
) -> io::Result<()> {
    // An error to accept is that client's, or WouldBlock.
    while let Ok((mut client, _)) = listener.accept() {
        let Ok(mut endpoint) = TcpStream::connect((Ipv4Addr::LOCALHOST, next()).into()) else { continue };
        client.set_nodelay(true)?;
        endpoint.set_nodelay(true)?;
        let entry = pairs.vacant_entry();
        let both = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut client, Token(2 * entry.key()), both)?;
        poll.registry().register(&mut endpoint, Token(2 * entry.key() + 1), both)?;
        entry.insert(Pair { client, endpoint, up: Flow::default(), down: Flow::default() });
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Client,
    Endpoint,
}

struct Pair {
    client: TcpStream,
    endpoint: TcpStream,
    /// From the client to the endpoint.
    up: Flow,
    /// And back.
    down: Flow,
}

impl Pair {
    /// What is readable here flows to the other side; where it is writable, what waited goes on.
    fn drive(&mut self, at: Side, event: &mio::event::Event, scratch: &mut [u8]) -> io::Result<()> {
        let (from_here, to_here) = match at {
            Side::Client => (&mut self.up, &mut self.down),
            Side::Endpoint => (&mut self.down, &mut self.up),
        };
        let (here, there) = match at {
            Side::Client => (&mut self.client, &mut self.endpoint),
            Side::Endpoint => (&mut self.endpoint, &mut self.client),
        };
        if event.is_writable() && to_here.is_stuck() {
            to_here.pump(there, here, true, scratch)?;
        }
        if event.is_readable() {
            from_here.pump(here, there, event.is_read_closed(), scratch)?;
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.up.ended && self.down.ended
    }
}

/// One direction.
#[derive(Default)]
struct Flow {
    /// Read, but not taken by the other side.
    waiting: Vec<u8>,
    /// The end was read and passed on.
    ended: bool,
}

impl Flow {
    fn is_stuck(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Carries bytes until the one side has no more, or the other takes no more. `to_the_end`: a short read is no sign that
    /// the socket is empty, since its end, or what was left while we were stuck, may be there without another event.
    fn pump(
        &mut self,
        from: &mut TcpStream,
        to: &mut TcpStream,
        to_the_end: bool,
        scratch: &mut [u8],
    ) -> io::Result<()> {
        loop {
            if self.is_stuck() {
                let written = write(to, &self.waiting)?;
                self.waiting.drain(..written);
                if self.is_stuck() {
                    return Ok(());
                }
                // Given back: what waits once need not stay allocated.
                self.waiting = Vec::new();
            }
            if self.ended {
                return Ok(());
            }
            let got = match from.read(scratch) {
                Ok(got) => got,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            if got == 0 {
                self.ended = true;
                return to.shutdown(Shutdown::Write);
            }
            let written = write(to, &scratch[..got])?;
            self.waiting.extend_from_slice(&scratch[written..got]);
            if got < scratch.len() && !to_the_end && !self.is_stuck() {
                return Ok(());
            }
        }
    }
}

/// How much the other side takes now: nothing while it is not yet connected.
fn write(to: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    match to.write(bytes) {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => Ok(0),
        written => written,
    }
}
