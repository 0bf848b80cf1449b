//! The record of one exchange. It is closed when the response's BODY ends, breaks or is dropped: a 200 that breaks
//! midway is a failure, and a client that goes away is nobody's.

mod attempt;
mod booking;
mod call;
mod evidence;
mod line;
mod sample;
mod second;
mod switched;

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, Uri, Version};

use super::client::stream::Stream;
use super::client::who::Client;
use super::endpoint::pool::Pool;
use super::fault::{AttemptError, Fault};
use super::request::assign::Assignment;
use super::request::fields::Fields;
use super::request::gate::Pass;
use super::request::headers::new_request_id;
use super::request::origin::Origin;
use super::request::respond::{Form, Refusal};
use super::request::upload::Upload;
use super::view::ServiceView;
use super::worker::Worker;
use crate::domain::Timestamp;
use crate::domain::stats::{ErrorReason, GrpcCode, MethodLabel, RouteId};
use booking::{Assigned, Attempt, Blame};
use call::Call;
pub(super) use line::unread;
pub(super) use sample::trace_id_of;
pub(super) use second::Aside;

/// What is counted for a client that went away: nginx's code.
const CLIENT_LEFT: u16 = 499;

/// One request with all that became of it.
pub(super) struct Exchange {
    pub(super) worker: Rc<Worker>,
    pub(super) client: Rc<Client>,
    pub(super) origin: Origin,
    pub(super) request_id: HeaderValue,
    pub(super) method: Method,
    /// What the client sent; levelled with the request.
    pub(super) fields: Fields,
    pub(super) started: Timestamp,
    pub(super) upload: Option<Rc<Upload>>,
    /// Where it belongs, if that is elsewhere.
    pub(super) location: Option<HeaderValue>,
    /// While its service answers only so many at once.
    pub(super) pass: Option<Pass>,
    /// Which of its service's routes led there.
    route: RouteId,
    has_body: bool,
    stream: Option<Rc<Stream>>,
    uri: Uri,
    version: Version,
    /// Where it belongs, even if no version gets it.
    addressed: Option<Rc<ServiceView>>,
    assigned: Option<Assigned>,
    /// The version that has it now, if that is not the one it was assigned to.
    asked: Option<usize>,
    attempt: Option<Attempt>,
    endpoint: Option<SocketAddr>,
    upstream: Option<Duration>,
    waited: Duration,
    /// How long connecting to endpoints took: that is the network's time, and a version with few requests connects more
    /// often.
    connecting: Duration,
    retries: u32,
    status: StatusCode,
    bytes_out: u64,
    error: Option<ErrorReason>,
    /// What went wrong on a version whose answer the client does not see.
    failure: Option<ErrorReason>,
    rescued: bool,
    blame: Blame,
    /// `None`: it is no gRPC call.
    call: Option<Call>,
    /// It ended in a tunnel, which writes its line in the log.
    is_tunnel: bool,
    tunnelled_in: u64,
    closed: bool,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The client was given all of the answer.
    Whole,
    /// The endpoint's answer broke off.
    Cut(AttemptError),
    /// The client went away, or spoiled its own request.
    ClientLeft,
    /// A limit was reached that says nothing of the endpoint: the client's own, or that of a stream with nothing to tell.
    OutOfTime,
}

impl Exchange {
    pub(super) fn begin(worker: Rc<Worker>, client: Rc<Client>, head: &Parts, has_body: bool) -> Box<Self> {
        client.life.request_began();
        let origin = Origin::of(&client, &head.headers, &worker.view().snapshot.trusted);
        let fields = Fields::of(&head.headers);
        Box::new(Self {
            started: worker.clock.now(),
            request_id: origin.request_id().unwrap_or_else(new_request_id),
            origin,
            method: head.method.clone(),
            uri: head.uri.clone(),
            version: head.version,
            stream: client.life.stream(),
            has_body,
            worker,
            client,
            upload: None,
            location: None,
            pass: None,
            route: RouteId::default(),
            addressed: None,
            assigned: None,
            asked: None,
            attempt: None,
            endpoint: None,
            upstream: None,
            waited: Duration::ZERO,
            connecting: Duration::ZERO,
            retries: 0,
            status: StatusCode::INTERNAL_SERVER_ERROR,
            bytes_out: 0,
            error: None,
            failure: None,
            rescued: false,
            blame: Blame::Nobody,
            call: fields.is_call.then(Call::default),
            fields,
            is_tunnel: false,
            tunnelled_in: 0,
            closed: false,
        })
    }

    /// Its service is known, and the route that led there.
    pub(super) fn addressed(&mut self, service: &Rc<ServiceView>, route: RouteId) {
        self.addressed = Some(service.clone());
        self.route = route;
    }

    /// It stood still for so long because its service was held.
    pub(super) fn waited(&mut self, time: Duration) {
        self.waited += time;
    }

    /// A connection to an endpoint was made for it.
    pub(super) fn connected(&mut self, took: Duration) {
        self.connecting += took;
    }

    /// When its work began: at its head, or when its service was released.
    pub(super) fn work_began(&self) -> Timestamp {
        self.started + self.waited
    }

    /// A version was chosen; if the request is evidence, it is so whatever comes of it.
    pub(super) fn assigned(&mut self, service: Rc<ServiceView>, assignment: &Assignment) {
        let assigned = Assigned::new(service, assignment, self.route);
        let worker = self.worker.index;
        assigned.cells(worker).in_flight.add(1);
        assigned.begin(worker, self.work_began(), self.has_body);
        self.client.life.allow_pauses_of(assigned.service.policy.timeouts.idle);
        self.assigned = Some(assigned);
    }

    /// The request goes to this endpoint now.
    pub(super) fn attempt(&mut self, pool: &Rc<Pool>) {
        if self.endpoint.is_some() {
            self.repeats();
        }
        self.endpoint = Some(pool.address);
        if let Some(assigned) = self.judged() {
            let began = self.work_began();
            assigned.goes_to_one_of(self.worker.index, began, pool.age(began));
        }
        self.attempt = Some(Attempt::begin(pool.clone(), self.worker.index));
    }

    /// The request is sent again, here or elsewhere.
    pub(super) fn repeats(&mut self) {
        self.retries += 1;
        if let Some(assigned) = &self.assigned {
            assigned.cells(self.worker.index).retries.add(1);
        }
    }

    /// The endpoint that had it was lost. That it did not answer, and how long that was waited for, says nothing of its
    /// version.
    pub(super) fn left_alone(&mut self) {
        self.connecting = self.worker.clock.now() - self.work_began();
        self.attempt = None;
    }

    /// The attempt under way (or the choice of an endpoint) failed.
    pub(super) fn failed(&mut self, error: AttemptError) {
        self.error = Some(error.reason());
        match error.fault() {
            Fault::Client | Fault::Proxy => self.blame = Blame::Others,
            Fault::Endpoint if self.is_running_out() => self.is_overdue(),
            Fault::Endpoint => {
                if self.blame == Blame::Nobody {
                    self.blame = Blame::Endpoint(error.reason());
                }
                if error.is_of_host() {
                    self.endpoint_failed();
                }
                self.count_error(error.reason());
            }
        }
        self.attempt = None;
    }

    /// We answer ourselves.
    pub(super) fn refused(&mut self, refusal: Refusal, form: Form) {
        self.status = refusal.status();
        self.error = refusal.reason();
        if form == Form::Grpc {
            self.status = StatusCode::OK;
            self.end_call(refusal.grpc());
        }
        if refusal == Refusal::Overdue {
            self.is_overdue();
        }
        match refusal.fault() {
            Fault::Client | Fault::Proxy => self.blame = Blame::Others,
            Fault::Endpoint => {}
        }
    }

    /// So many bytes of the response's body went to the client.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.bytes_out += u64::try_from(bytes).unwrap_or(u64::MAX);
        if let Some(stream) = &self.stream {
            stream.gave();
        }
    }

    /// The client took all there is of the response's body so far.
    pub(super) fn waits_for_endpoint(&self) {
        if let Some(stream) = &self.stream {
            stream.waits_for_more();
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Closes the record; later calls do nothing.
    pub(super) fn end(&mut self, end: End) {
        if !self.closed {
            self.end_at(self.worker.clock.now(), end);
        }
    }

    /// The same, when the time is known.
    pub(super) fn end_at(&mut self, now: Timestamp, end: End) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        if let End::Cut(error) = end {
            self.failed(error);
        }
        let end = self.in_time(end);
        if end == End::OutOfTime {
            self.error = self.error.or(Some(ErrorReason::HttpResponseTimeout));
        }
        self.settle_attempt(end);
        let code = match end {
            End::ClientLeft => CLIENT_LEFT,
            End::Whole | End::Cut(_) | End::OutOfTime => self.status.as_u16(),
        };
        let took = now - self.started;
        let grpc = self.code_at(end);
        self.count((code, grpc), took);
        self.end_wait(now);
        match end {
            End::Whole | End::Cut(_) => self.give_evidence(),
            End::ClientLeft | End::OutOfTime => {}
        }
        if !self.is_tunnel {
            self.log((code, grpc), took);
        }
        if self.has_body && !self.upload.as_ref().is_some_and(|upload| upload.has_ended()) {
            self.client.life.body_left_unread();
        }
        if let Some(assigned) = &self.assigned {
            // Last: whoever sees nothing in flight sees everything counted.
            assigned.cells(self.worker.index).in_flight.add(-1);
        }
        self.pass = None;
        self.client.life.request_ended();
    }

    fn count(&self, (code, grpc): (u16, Option<GrpcCode>), took: Duration) {
        let worker = self.worker.index;
        // Asked for only when needed: it is shared with the other workers.
        let unrouted = if self.assigned.is_none() { self.worker.unrouted() } else { None };
        let cells = match (&self.assigned, &unrouted) {
            (Some(assigned), _) => assigned.cells(worker),
            (None, Some(unrouted)) => {
                if let Some(reason) = self.error {
                    unrouted[worker].error(reason);
                }
                &unrouted[worker]
            }
            (None, None) => return,
        };
        cells.request_bytes.add(self.bytes_in());
        cells.response_bytes.add(self.bytes_out);
        cells.ended(MethodLabel::of(&self.method), code, micros(took));
        if let Some(grpc) = grpc {
            cells.grpc_ended(grpc);
        }
    }

    fn bytes_in(&self) -> u64 {
        self.upload.as_ref().map_or(self.tunnelled_in, |upload| upload.bytes())
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.end(End::ClientLeft);
    }
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}
