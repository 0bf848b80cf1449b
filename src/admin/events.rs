//! The event stream: what happens, as it happens (server-sent events, WHATWG HTML section 9.2). Every event has the number
//! that it has in the journal; whoever comes back with the last number it saw misses nothing and gets nothing twice, also
//! when Adit was restarted in between. Each reader reads from the disk at its own pace: nothing is kept for the slow ones.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use futures_util::stream::unfold;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::history::unreadable;
use super::problem::{Code, Problem};
use super::routes::Api;
use crate::control::journal::{EventRecord, Journal};
use crate::domain::ServiceName;

/// Readers at a time.
pub(super) const STREAMS: usize = 64;
/// Events that are read at once: what a reader has in memory at most.
const BATCH: u32 = 100;
/// While nothing happens, a sign of life: proxies in between cut what is silent.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// The number of the last event that the reader saw.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What a reader wants.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    #[serde(default)]
    service: Option<String>,
    #[serde(default)]
    after: Option<u64>,
}

/// One reader.
struct Reader {
    journal: Journal,
    service: Option<ServiceName>,
    /// The number of the last event that it was given.
    seen: u64,
    newest: watch::Receiver<u64>,
    closing: watch::Receiver<bool>,
    ready: VecDeque<EventRecord>,
    _place: OwnedSemaphorePermit,
}

/// `GET /v1/events`.
pub(super) async fn events(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(wanted) = wanted.map_err(unreadable)?;
    let service = wanted.service.as_deref().map(ServiceName::from);
    if let Some(service) = &service {
        api.must_know(service).await?;
    }
    let newest = api.journal.newest();
    let latest = *newest.borrow();
    // The header is what a browser sends when it comes back: newer than what its address says.
    let seen = last_event_id(&headers)?.or(wanted.after).unwrap_or(latest);
    if seen > latest {
        return Err(Problem::new(
            Code::BadRequest,
            format!(
                "there is no event {seen} yet, the newest is {latest}; leave it out to begin with the next one"
            ),
        ));
    }
    let place = api.streams.clone().try_acquire_owned().map_err(|_| {
        Problem::new(
            Code::Busy,
            format!("{STREAMS} readers follow the events already; end one of them, or try again later"),
        )
    })?;
    let reader = Reader {
        journal: api.journal.clone(),
        service,
        seen,
        newest,
        closing: api.closing.clone(),
        ready: VecDeque::new(),
        _place: place,
    };
    let mut response = Response::new(Body::from_stream(unfold(reader, Reader::next)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Ok(response)
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    match value.to_str().map(str::trim) {
        Ok("") => Ok(None),
        Ok(text) => text.parse().map(Some).map_err(|_| not_an_id(text)),
        Err(_) => Err(not_an_id("that")),
    }
}

fn not_an_id(text: &str) -> Problem {
    Problem::new(
        Code::BadRequest,
        format!("Last-Event-ID names the last event that was seen by its number, which `{text}` is not"),
    )
}

impl Reader {
    /// The next piece of the stream; `None` at its end.
    async fn next(mut self) -> Option<(Result<Bytes, std::convert::Infallible>, Self)> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.seen = event.id;
                return Some((Ok(told(&event)), self));
            }
            if *self.closing.borrow() {
                return None;
            }
            // Taken note of before reading: what comes in between wakes us again.
            self.newest.borrow_and_update();
            self.ready = self.read().await?.into();
            if self.ready.is_empty() {
                tokio::select! {
                    changed = self.newest.changed() => changed.ok()?,
                    _ = self.closing.changed() => {}
                    () = tokio::time::sleep(HEARTBEAT) => return Some((Ok(Bytes::from_static(b": alive\n\n")), self)),
                }
            }
        }
    }

    /// `None` when the journal can't be read: the reader comes back, and is told then.
    async fn read(&self) -> Option<Vec<EventRecord>> {
        let (journal, service, seen) = (self.journal.clone(), self.service.clone(), self.seen);
        let read = tokio::task::spawn_blocking(move || journal.after(seen, service.as_ref(), BATCH)).await;
        match read.ok()? {
            Ok(events) => Some(events),
            Err(error) => {
                tracing::warn!(%error, "the journal could not be read; an event stream ends");
                None
            }
        }
    }
}

/// One event on the wire. JSON has no line breaks of its own, so its data is one line.
fn told(event: &EventRecord) -> Bytes {
    let data = serde_json::to_string(event).expect("names, numbers and JSON: EventRecord");
    let kind: String = event.kind.chars().filter(|c| !c.is_control()).collect();
    Bytes::from(format!("id: {}\nevent: {kind}\ndata: {data}\n\n", event.id))
}
