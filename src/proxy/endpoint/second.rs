//! A request is sent a second time although there may be an answer: that is kept until it is known that the other is
//! better. For retries within a version and for what another version is asked.

use std::rc::Rc;
use std::time::Duration;

use http::{Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;

use crate::proxy::answer::Download;
use crate::proxy::fault::AttemptError;
use crate::proxy::observe::{Aside, Exchange};
use crate::proxy::worker::Worker;

/// The rest of an answer that nobody will see is read up to this size and for so long, for its connection's sake.
const REST: u64 = 16 * 1024;
const REST_TIME: Duration = Duration::from_secs(1);

/// An answer, or why there is none.
pub(super) type Answer = Result<Response<Download>, AttemptError>;

/// What one attempt came to, and the record of it, while another is under way.
pub(super) struct First {
    kept: Option<Response<Download>>,
    aside: Aside,
}

impl First {
    pub(super) fn set_aside(exchange: &Exchange, answer: Answer, aside: Aside) -> Self {
        // Two connections must not read the one upload.
        let whole = exchange.upload.as_ref().is_none_or(|upload| upload.has_ended());
        Self { kept: answer.ok().filter(|_| whole), aside }
    }

    /// The answer for the client: the second if it is better, or if the first was none. And whether it is better.
    pub(super) fn or_better(
        self,
        exchange: &mut Exchange,
        second: Answer,
        is_better: impl FnOnce(StatusCode) -> bool,
    ) -> (Answer, bool) {
        let better = second.as_ref().is_ok_and(|response| is_better(exchange.rated(response)));
        match self.kept {
            Some(first) if !better => {
                discard(&exchange.worker, second.ok());
                exchange.take_up(self.aside);
                (Ok(first), false)
            }
            first => {
                discard(&exchange.worker, first);
                exchange.leave_aside(self.aside);
                (second, better)
            }
        }
    }
}

/// Lets go of an answer that nobody will see. A small one is read to its end, so that its connection can be used again.
fn discard(worker: &Rc<Worker>, response: Option<Response<Download>>) {
    let Some(mut download) = response.map(Response::into_body) else { return };
    let small = download.incoming.size_hint().upper().is_some_and(|rest| rest <= REST);
    if !small {
        return;
    }
    let clock = worker.clock.clone();
    worker.spawn(async move {
        let read = async {
            while let Some(frame) = download.incoming.frame().await {
                if frame.is_err() {
                    return false;
                }
            }
            true
        };
        let read = tokio::select! {
            read = read => read,
            () = clock.sleep_until(clock.now() + REST_TIME) => false,
        };
        if let Some(connection) = download.connection.take().filter(|_| read) {
            download.pool.put(connection, clock.now());
        }
    });
}
