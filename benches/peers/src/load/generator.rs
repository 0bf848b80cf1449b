//! The generator's loop: when which connection asks, and what is counted where.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use rustls::ClientConfig;

use super::client::{Client, Outcome, Then};
use super::tls::{self, Resumption};
use super::{Pace, Plan, Reuse, Tally};

const TIMER: Token = Token(usize::MAX - 1);
const SCRATCH: usize = 256 * 1024;
/// After so many errors it is of no use to go on.
const TOO_MANY: u64 = 1_000;
/// How long answers to requests of the last window are waited for.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) struct Generator<'a> {
    plan: &'a Plan,
    poll: Poll,
    tls: Option<Arc<ClientConfig>>,
    clients: Vec<Client>,
    scratch: Vec<u8>,
    /// Whose turn it is, of the plan's requests.
    turn: usize,
    /// Connections that may ask, those first that have waited longest: all are used, at low rates too.
    free: VecDeque<usize>,
    /// Open loop: requests that are due, and no connection was free.
    due: VecDeque<Instant>,
    /// Open loop: how many were due since the start.
    scheduled: u64,
    start: Instant,
    tallies: Vec<Tally>,
    failed: u64,
}

impl<'a> Generator<'a> {
    pub(super) fn new(plan: &'a Plan) -> io::Result<Generator<'a>> {
        Ok(Generator {
            plan,
            poll: Poll::new()?,
            tls: plan.tls.map(tls::config),
            clients: Vec::new(),
            scratch: vec![0; SCRATCH],
            turn: 0,
            free: VecDeque::new(),
            due: VecDeque::new(),
            scheduled: 0,
            start: Instant::now(),
            tallies: (0..plan.windows).map(|_| Tally::new()).collect(),
            failed: 0,
        })
    }

    pub(super) fn run(mut self, boundary: &mut dyn FnMut()) -> io::Result<Vec<Tally>> {
        for index in 0..self.plan.connections {
            let client = Client::connect(self.plan.port, self.tls.as_ref(), &self.poll, Token(index))?;
            self.clients.push(client);
            self.free.push_back(index);
        }
        let _timer = self.start_timer()?;
        self.start = Instant::now();
        let mut events = Events::with_capacity(1024);
        let mut passed = 0;
        let mut last_boundary = self.start;
        loop {
            let now = Instant::now();
            while passed <= self.plan.windows && now >= self.boundary(passed) {
                boundary();
                if passed > 0 {
                    self.tallies[passed - 1].elapsed = now - last_boundary;
                }
                (passed, last_boundary) = (passed + 1, now);
            }
            if self.is_done(now) || self.failed > TOO_MANY {
                return Ok(self.finish());
            }
            self.hand_out(now)?;
            match self.poll.poll(&mut events, Some(Duration::from_millis(5))) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            for event in events.iter().filter(|event| event.token() != TIMER) {
                self.drive(event.token().0, event.is_read_closed())?;
            }
        }
    }

    /// Where the first window begins (0), and where the n-th ends.
    fn boundary(&self, number: usize) -> Instant {
        self.start + self.plan.warmup + self.plan.window * number as u32
    }

    fn end(&self) -> Instant {
        self.boundary(self.plan.windows)
    }

    /// The closed loop ends with its last window; the open one waits for those who ask still.
    fn is_done(&self, now: Instant) -> bool {
        let answered = self.plan.pace == Pace::Closed
            || (self.due.is_empty() && self.clients.iter().all(|client| client.asking_since().is_none()));
        now >= self.end() && (answered || now >= self.end() + PATIENCE)
    }

    /// Epoll's own timer counts milliseconds; this one ticks whenever a request is due.
    fn start_timer(&mut self) -> io::Result<Option<OwnedFd>> {
        let Pace::Open(rate) = self.plan.pace else { return Ok(None) };
        let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK)?;
        let tick = Timespec { tv_sec: 0, tv_nsec: ((1e9 / rate) as i64).min(999_999_999) };
        let times = Itimerspec { it_interval: tick, it_value: tick };
        rustix::time::timerfd_settime(&timer, TimerfdTimerFlags::empty(), &times)?;
        self.poll.registry().register(&mut SourceFd(&timer.as_raw_fd()), TIMER, Interest::READABLE)?;
        Ok(Some(timer))
    }

    /// Gives what is due to connections that are free.
    fn hand_out(&mut self, now: Instant) -> io::Result<()> {
        let Pace::Open(rate) = self.plan.pace else {
            while now < self.end()
                && self.failed <= TOO_MANY
                && let Some(index) = self.free.pop_front()
            {
                self.ask(index, now)?;
            }
            return Ok(());
        };
        loop {
            let next = self.start + Duration::from_secs_f64(self.scheduled as f64 / rate);
            if next > now || next >= self.end() {
                break;
            }
            self.due.push_back(next);
            self.scheduled += 1;
        }
        while let Some(&since) = self.due.front() {
            let Some(index) = self.free.pop_front() else { break };
            self.due.pop_front();
            self.ask(index, since)?;
        }
        Ok(())
    }

    fn ask(&mut self, index: usize, since: Instant) -> io::Result<()> {
        let request = self.plan.requests[self.turn % self.plan.requests.len()].clone();
        self.turn += 1;
        self.clients[index].ask(request, since);
        self.drive(index, false)
    }

    fn drive(&mut self, index: usize, closed: bool) -> io::Result<()> {
        let client = &mut self.clients[index];
        let was_idle = client.is_idle();
        match client.drive(self.plan.reuse, &self.plan.body, &mut self.scratch, closed) {
            Outcome::Waiting => {}
            Outcome::Answered { since, handshake, then } => {
                self.record(since, handshake);
                match then {
                    // Its end came with the answer: there will be no other event.
                    Then::Idle if closed => {
                        self.free.push_back(index);
                        return self.drive(index, true);
                    }
                    Then::Idle => self.free.push_back(index),
                    Then::Over => self.reconnect(index, since)?,
                    Then::Ending => return self.drive(index, closed),
                }
            }
            Outcome::Failed { since, why } => {
                self.failed += 1;
                if let Some(tally) = self.tally(since) {
                    *tally.errors.entry(why).or_default() += 1;
                }
                self.replace(index, was_idle)?;
            }
            Outcome::Ended if self.plan.reuse == Reuse::Once && !was_idle => self.replace(index, false)?,
            Outcome::Ended => {
                let now = Instant::now();
                self.count_reconnect(now);
                self.replace(index, was_idle)?;
            }
        }
        Ok(())
    }

    fn reconnect(&mut self, index: usize, since: Instant) -> io::Result<()> {
        self.count_reconnect(since);
        self.replace(index, false)
    }

    fn count_reconnect(&mut self, since: Instant) {
        if let Some(tally) = self.tally(since) {
            tally.reconnects += 1;
        }
    }

    /// A new connection in place of one that is over. One that was idle is among the free ones already.
    fn replace(&mut self, index: usize, was_idle: bool) -> io::Result<()> {
        self.clients[index] = Client::connect(self.plan.port, self.tls.as_ref(), &self.poll, Token(index))?;
        if !was_idle {
            self.free.push_back(index);
        }
        Ok(())
    }

    fn record(&mut self, since: Instant, handshake: Option<Resumption>) {
        let now = Instant::now();
        // By its end, as the CPU time is, or by when it was due, so that none of a window is left out.
        let counted_at = if self.plan.pace == Pace::Closed { now } else { since };
        let Some(tally) = self.tally(counted_at) else { return };
        tally.answers += 1;
        tally.latency.saturating_record((now - since).as_nanos() as u64);
        match handshake {
            Some(Resumption::Full) => tally.handshakes.full += 1,
            Some(Resumption::Resumed) => tally.handshakes.resumed += 1,
            None => {}
        }
    }

    fn tally(&mut self, at: Instant) -> Option<&mut Tally> {
        let since_first = at.checked_duration_since(self.boundary(0))?;
        self.tallies.get_mut((since_first.as_nanos() / self.plan.window.as_nanos()) as usize)
    }

    /// Whoever waits still has failed, and its wait counts.
    fn finish(mut self) -> Vec<Tally> {
        if let Pace::Open(_) = self.plan.pace {
            let asking: Vec<_> = self.clients.iter().filter_map(Client::asking_since).collect();
            for since in asking.into_iter().chain(std::mem::take(&mut self.due)) {
                if let Some(tally) = self.tally(since) {
                    *tally.errors.entry("no answer in time".to_owned()).or_default() += 1;
                    tally.latency.saturating_record(since.elapsed().as_nanos() as u64);
                }
            }
        }
        self.tallies
    }
}
