//! Two ways between a client and an endpoint, in the task of the client's connection.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use super::frames::{self, Frames};
use super::open::{Bound, Told};
use super::way::{Broken, Course, Way};
use super::{Opening, Tunnel};
use crate::proxy::client::life::{Ending, Life};
use crate::proxy::worker::Worker;

/// Both sides, and what goes between them.
struct Pipe<C, E> {
    client: C,
    endpoint: E,
    up: Way,
    down: Way,
    tunnel: Rc<Tunnel>,
    worker: Rc<Worker>,
    /// Whether it was the endpoint's side that broke.
    broke: bool,
}

impl Opening {
    /// Carries bytes both ways until both sides have ended, or until the tunnel is told to end. `early`: what the client
    /// sent before it could know that it may.
    pub(crate) async fn run<C>(mut self, client: C, early: Bytes, life: &Life)
    where
        C: AsyncRead + AsyncWrite + Unpin,
    {
        life.is_a_tunnel();
        let Some(connection) = self.connection.take() else { return };
        let Some(left) = connection.taken_over() else { return self.broke() };
        let is_websocket = self.protocol == "websocket";
        let frames = || is_websocket.then(Frames::new);
        let mut pipe = Pipe {
            client,
            endpoint: left.io,
            up: Way::new(early, frames()),
            down: Way::new(left.early, frames()),
            tunnel: self.tunnel.clone(),
            worker: self.exchange.worker.clone(),
            broke: false,
        };
        poll_fn(|cx| match life.ending() {
            Ending::Now => Poll::Ready(()),
            Ending::Not | Ending::Gently => pipe.poll(cx),
        })
        .await;
        if pipe.broke {
            self.broke();
        }
    }
}

impl<C, E> Pipe<C, E>
where
    C: AsyncRead + AsyncWrite + Unpin,
    E: AsyncRead + AsyncWrite + Unpin,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.tunnel.on_told(cx.waker());
        let told = self.tunnel.told();
        if told == Told::Cut {
            return Poll::Ready(());
        }
        let worker = self.worker.clone();
        let mut scratch = worker.scratch.borrow_mut();
        self.poll_up(cx, told, &mut scratch);
        self.poll_down(cx, told, &mut scratch);
        if told == Told::Goodbye {
            // What came down may be what the way up waited for.
            self.poll_up(cx, told, &mut scratch);
        }
        if self.up.is_over() && self.down.is_over() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn poll_up(&mut self, cx: &mut Context<'_>, told: Told, scratch: &mut [u8]) {
        if self.up.is_over() {
            return;
        }
        let course = course(told, &self.down);
        let goodbye = || frames::to_endpoint(fastrand::u32(..).to_ne_bytes());
        let ends = (&mut self.client, &mut self.endpoint);
        let mut passed = |bytes| self.tunnel.passed(Bound::Up, bytes);
        match self.up.poll(cx, ends, scratch, (course, &goodbye), &mut passed) {
            Poll::Ready(Err(Broken::Source)) => self.client_broke(),
            Poll::Ready(Err(Broken::Sink)) => {
                self.broke = true;
                self.up.give_up();
            }
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
    }

    fn poll_down(&mut self, cx: &mut Context<'_>, told: Told, scratch: &mut [u8]) {
        if self.down.is_over() {
            return;
        }
        let course = course(told, &self.up);
        let ends = (&mut self.endpoint, &mut self.client);
        let mut passed = |bytes| self.tunnel.passed(Bound::Down, bytes);
        match self.down.poll(cx, ends, scratch, (course, &frames::to_client), &mut passed) {
            Poll::Ready(Err(Broken::Source)) => {
                self.broke = true;
                // Nothing can be sent there either. The client is told what can be told: that it is over.
                self.up.give_up();
                self.down.source_is_gone();
                cx.waker().wake_by_ref();
            }
            Poll::Ready(Err(Broken::Sink)) => self.client_broke(),
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
    }

    /// Nobody is there any more: the endpoint sees the end of the connection.
    fn client_broke(&mut self) {
        self.up.give_up();
        self.down.give_up();
    }
}

/// How a direction goes on, by what became of the opposite one.
fn course(told: Told, opposite: &Way) -> Course {
    match told {
        Told::Nothing => Course::GoesOn,
        Told::Goodbye | Told::Cut => Course::Ends { other_ended: opposite.has_heard_the_last() },
    }
}
