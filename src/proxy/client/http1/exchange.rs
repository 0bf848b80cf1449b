//! One request on a connection, from its head to the last byte of its answer.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use http::header::{EXPECT, TE};
use http::{Method, StatusCode, Version};

use super::answer::Reply;
use super::body::UploadBody;
use super::{Connection, bounds};
use crate::proxy::client::body::ClientBody;
use crate::proxy::client::life::Ending;
use crate::proxy::handler::handle;
use crate::proxy::http1::Framing;
use crate::proxy::http1::request::RequestHead;
use crate::proxy::http1::write::has_word;
use crate::proxy::tunnel::Opening;
use crate::proxy::turn::after_the_others;

/// What becomes of a connection when a request on it was answered.
pub(super) enum Then {
    /// The next request comes.
    Next,
    /// It speaks another protocol from now on.
    Tunnel(Box<Opening>),
    /// It ends, and nobody is surprised.
    Farewell,
    /// It has ended.
    Nothing,
}

/// What an answer depends on of its request.
pub(super) struct Asked {
    pub(super) version: Version,
    pub(super) is_head: bool,
    pub(super) takes_trailers: bool,
    /// Whether the client wants to ask again.
    pub(super) keeps_alive: bool,
}

impl Connection {
    /// Has a request answered, and gives the answer to its client.
    pub(super) async fn exchange(&self, head: RequestHead) -> Then {
        let asked = Asked::by(&head);
        let body = ClientBody::Http1(self.body(&head));
        // Here and not later: from the choice of a version to the way there nothing may come between, not even an abort.
        after_the_others().await;
        let handling = pin!(handle(self.worker.clone(), self.client.clone(), head.parts, body));
        let response = self.while_client_stays(handling).await;
        // Taken out in any case: whatever it was, it goes no further than this.
        let opening = self.client.opening.take();
        let Some(response) = response else { return Then::Nothing };
        let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let is_fit = asked.keeps_alive && self.may_go_on().await;
        let mut reply = Reply::new(response, &asked, is_fit, &self.worker.date());
        reply.begin_with(self.wire.end_interim());
        let goes_on = reply.goes_on();
        after_the_others().await;
        let sending = pin!(poll_fn(|cx| reply.poll_send(cx, &self.wire)));
        let Some(Ok(())) = self.while_client_stays(sending).await else { return Then::Nothing };
        match opening.filter(|_| switches) {
            Some(opening) => Then::Tunnel(opening),
            None if goes_on => self.settle().await,
            None => Then::Farewell,
        }
    }

    /// What follows a head.
    fn body(&self, head: &RequestHead) -> UploadBody {
        if head.framing == Framing::Empty {
            return UploadBody::none();
        }
        // Whoever speaks 1.0 knows nothing of it.
        let knows = head.parts.version == Version::HTTP_11;
        let expects = knows && has_word(&head.parts.headers, &EXPECT, "100-continue");
        self.wire.begin_body(head.framing, bounds(&self.client), expects);
        UploadBody::on(&self.wire)
    }

    /// Polls until it is ready. `None`: its client has left meanwhile, or the connection is cut.
    async fn while_client_stays<F: Future>(&self, mut future: Pin<&mut F>) -> Option<F::Output> {
        let life = &self.client.life;
        let mut poll = |cx: &mut Context<'_>| {
            if life.ending() == Ending::Now {
                return Poll::Ready(None);
            }
            match future.as_mut().poll(cx) {
                Poll::Ready(output) => Poll::Ready(Some(output)),
                // Looked at last: most requests wait once, and whoever has its answer need not be there.
                Poll::Pending if self.wire.has_left(cx) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        };
        poll_fn(|cx| self.wire.awake(|| poll(cx))).await
    }

    /// Whether the client may be told that it can ask again: as late as that can be known.
    async fn may_go_on(&self) -> bool {
        self.client.life.ending() == Ending::Not && poll_fn(|cx| Poll::Ready(self.wire.is_fit(cx))).await
    }

    /// After an answer: waits until the request was read to its end as well.
    async fn settle(&self) -> Then {
        let life = &self.client.life;
        let is_fit = poll_fn(|cx| match life.ending() {
            Ending::Now => Poll::Ready(None),
            Ending::Not | Ending::Gently => self.wire.poll_fit(cx).map(Some),
        });
        match is_fit.await {
            None => Then::Nothing,
            // What has come of the next request is answered. Then its client is told.
            Some(true) if life.ending() == Ending::Not || !self.wire.is_silent() => Then::Next,
            Some(true | false) => Then::Farewell,
        }
    }
}

impl Asked {
    fn by(head: &RequestHead) -> Self {
        Self {
            version: head.parts.version,
            is_head: head.parts.method == Method::HEAD,
            takes_trailers: has_word(&head.parts.headers, &TE, "trailers"),
            keeps_alive: head.keeps_alive,
        }
    }
}
