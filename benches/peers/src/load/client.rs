//! One connection of the generator.

use std::io::{self, ErrorKind};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Instant;

use mio::net::TcpStream;
use mio::{Interest, Poll, Token};
use rustls::ClientConfig;

use super::Reuse;
use super::answer::{Answer, Progress};
use super::tls::{Resumption, Transport};

pub(super) struct Client {
    transport: Transport,
    answer: Answer,
    state: State,
}

enum State {
    Idle,
    /// A request is being sent, or its answer waited for.
    Asking {
        request: Arc<[u8]>,
        sent: usize,
        since: Instant,
    },
    /// Its one request is answered; the other side will close.
    Ending,
}

/// What came of driving a connection as far as it goes.
pub(super) enum Outcome {
    Waiting,
    /// The request of `since` is answered.
    Answered {
        since: Instant,
        handshake: Option<Resumption>,
        then: Then,
    },
    /// The request of `since` failed; the connection is over.
    Failed {
        since: Instant,
        why: String,
    },
    /// Ended by the other side, between two requests.
    Ended,
}

pub(super) enum Then {
    Idle,
    /// The other side says it ends the connection.
    Over,
    /// It was asked to: its end is waited for.
    Ending,
}

impl Client {
    pub(super) fn connect(
        port: u16,
        tls: Option<&Arc<ClientConfig>>,
        poll: &Poll,
        token: Token,
    ) -> io::Result<Client> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port).into())?;
        stream.set_nodelay(true)?;
        poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        let transport = Transport::new(stream, tls)?;
        Ok(Client { transport, answer: Answer::default(), state: State::Idle })
    }

    pub(super) fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    pub(super) fn asking_since(&self) -> Option<Instant> {
        match &self.state {
            State::Asking { since, .. } => Some(*since),
            State::Idle | State::Ending => None,
        }
    }

    pub(super) fn ask(&mut self, request: Arc<[u8]>, since: Instant) {
        self.state = State::Asking { request, sent: 0, since };
    }

    /// Sends and reads what can be without waiting.
    pub(super) fn drive(
        &mut self,
        reuse: Reuse,
        expected: &[u8],
        scratch: &mut [u8],
        closed: bool,
    ) -> Outcome {
        if self.transport.is_handshaking()
            && let Err(error) = self.shake_hands(scratch)
        {
            return self.fail(&error);
        }
        if let Err(error) = self.send() {
            return self.fail(&error);
        }
        loop {
            let got = match self.transport.read(scratch) {
                Ok(0) => return self.end(),
                Ok(got) => got,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Outcome::Waiting,
                // Before it is connected there is nothing to read.
                Err(error) if error.kind() == ErrorKind::NotConnected => return Outcome::Waiting,
                Err(error) => return self.fail(&error),
            };
            let State::Asking { since, .. } = self.state else {
                return Outcome::Failed {
                    since: Instant::now(),
                    why: "bytes that nobody asked for".to_owned(),
                };
            };
            match self.answer.take(&scratch[..got], expected) {
                Ok(Progress::More) if got < scratch.len() && self.is_plain() && !closed => {
                    return Outcome::Waiting;
                }
                Ok(Progress::More) => {}
                Ok(Progress::Done { ends_connection }) => {
                    return self.answered(since, reuse, ends_connection);
                }
                Err(why) => return Outcome::Failed { since, why },
            }
        }
    }

    fn answered(&mut self, since: Instant, reuse: Reuse, ends_connection: bool) -> Outcome {
        let handshake = self.transport.handshake();
        let then = match reuse {
            Reuse::Once => Then::Ending,
            Reuse::KeepAlive if ends_connection => Then::Over,
            Reuse::KeepAlive => Then::Idle,
        };
        self.state = if matches!(then, Then::Idle) { State::Idle } else { State::Ending };
        Outcome::Answered { since, handshake, then }
    }

    /// Nothing of HTTP comes before the handshake is done.
    fn shake_hands(&mut self, scratch: &mut [u8]) -> io::Result<()> {
        match self.transport.read(scratch) {
            Ok(_) => Err(ErrorKind::UnexpectedEof.into()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn send(&mut self) -> io::Result<()> {
        let State::Asking { request, sent, .. } = &mut self.state else { return Ok(()) };
        while *sent < request.len() {
            match self.transport.write(&request[*sent..]) {
                Ok(written) => *sent += written,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn is_plain(&self) -> bool {
        matches!(self.transport, Transport::Plain(_))
    }

    /// The other side has closed.
    fn end(&mut self) -> Outcome {
        self.transport.close();
        match &self.state {
            State::Asking { since, .. } => {
                let when = if self.answer.has_begun() { "within an answer" } else { "without an answer" };
                Outcome::Failed { since: *since, why: format!("closed {when}") }
            }
            State::Idle | State::Ending => Outcome::Ended,
        }
    }

    fn fail(&mut self, error: &io::Error) -> Outcome {
        match &self.state {
            State::Asking { since, .. } => Outcome::Failed { since: *since, why: error.to_string() },
            State::Idle | State::Ending => Outcome::Ended,
        }
    }
}
