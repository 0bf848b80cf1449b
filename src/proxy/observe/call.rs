//! The record of an exchange that is a gRPC call: its code comes last, and its client may have said how long it waits.
//!
//! A call whose client's time is over, or nearly, is judged like one whose client went away: nobody failed it, and whether
//! it was slow is judged by its time alone. How long to wait is the client's choice: with a millisecond anybody could make
//! a version look bad.

use http::{HeaderMap, Response, StatusCode, Version};

use super::{Blame, End, Exchange};
use crate::domain::stats::{ErrorReason, GrpcCode};
use crate::proxy::request::grpc::{self, Deadline};
use crate::proxy::request::respond::Refusal;

/// What is known of a call.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Call {
    deadline: Option<Deadline>,
    /// How it ended, as its client sees it.
    code: Option<GrpcCode>,
    /// The client's time ran out.
    overdue: bool,
}

impl Exchange {
    pub(in crate::proxy) fn is_grpc(&self) -> bool {
        self.call.is_some()
    }

    /// Reads what a call's head says of it: how long its client waits.
    pub(in crate::proxy) fn read_call(&mut self, headers: &mut HeaderMap) -> Result<(), Refusal> {
        let Some(call) = &mut self.call else { return Ok(()) };
        grpc::level(headers)?;
        // Its client's clock runs while the service is held.
        call.deadline = Deadline::of(headers, self.started)?;
        Ok(())
    }

    pub(in crate::proxy) fn deadline(&self) -> Option<Deadline> {
        self.call.as_ref()?.deadline
    }

    /// The client waits no longer.
    pub(in crate::proxy) fn is_overdue(&mut self) {
        if let Some(call) = &mut self.call {
            call.overdue = true;
        }
    }

    /// How an answer is rated: a code that is a failure counts as its counterpart in HTTP.
    pub(in crate::proxy) fn rated<B>(&self, response: &Response<B>) -> StatusCode {
        let code = self.call.as_ref().and_then(|_| grpc::code(response.headers()));
        let failed = code.filter(|code| code.is_failure() && !self.is_running_out());
        failed.and_then(|code| StatusCode::from_u16(code.as_http()).ok()).unwrap_or(response.status())
    }

    /// The end of the call is here: in the head of its answer, or after its body.
    pub(in crate::proxy) fn call_ended(&mut self, fields: &HeaderMap) {
        if let Some(code) = self.call.as_ref().and_then(|_| grpc::code(fields)) {
            self.call_ended_with(code);
        }
    }

    fn call_ended_with(&mut self, code: GrpcCode) {
        let running_out = self.is_running_out();
        let by_deadline = code == GrpcCode::DeadlineExceeded && self.deadline().is_some();
        let Some(call) = &mut self.call else { return };
        call.code = Some(code);
        if by_deadline || (code.is_failure() && running_out) {
            call.overdue = true;
        } else if code.is_failure() {
            self.error = Some(ErrorReason::GrpcStatus);
            self.blame = Blame::Endpoint(ErrorReason::GrpcStatus);
        }
    }

    /// Whether its client's protocol has a place for trailers whatever was said before.
    pub(in crate::proxy) fn speaks_http2(&self) -> bool {
        self.version == Version::HTTP_2
    }

    /// Whether an endpoint has answered the call and not said yet how it ended.
    pub(in crate::proxy) fn owes_code(&self) -> bool {
        self.call.as_ref().is_some_and(|call| call.code.is_none())
            && self.upstream.is_some()
            && self.status == StatusCode::OK
    }

    /// The same call, for another version.
    pub(super) fn next_call(&self) -> Option<Call> {
        self.call.as_ref().map(|call| Call { deadline: call.deadline, ..Call::default() })
    }

    /// We end the call in the endpoint's place.
    pub(in crate::proxy) fn end_call(&mut self, code: GrpcCode) {
        if let Some(call) = &mut self.call {
            call.code = Some(code);
        }
    }

    /// Whether what goes wrong now may be due to the client's own limit.
    pub(super) fn is_running_out(&self) -> bool {
        self.deadline().is_some_and(|deadline| deadline.is_near(self.worker.clock.now()))
    }

    /// What an end is worth if the client's time is over.
    pub(super) fn in_time(&self, end: End) -> End {
        let overdue = self.call.as_ref().is_some_and(|call| call.overdue);
        if overdue && end != End::ClientLeft { End::OutOfTime } else { end }
    }

    /// The code of a call that ended so.
    pub(super) fn code_at(&self, end: End) -> Option<GrpcCode> {
        let call = self.call.as_ref()?;
        Some(match (end, call.code) {
            // Most clients leave when their time is over, a little before we end it.
            (End::ClientLeft, _) if self.is_running_out() => GrpcCode::DeadlineExceeded,
            (End::ClientLeft, _) => GrpcCode::Cancelled,
            (End::Whole | End::Cut(_) | End::OutOfTime, Some(code)) => code,
            (End::Whole | End::Cut(_) | End::OutOfTime, None) => GrpcCode::of_http(self.status.as_u16()),
        })
    }

    /// The status that says for ejection what the endpoint's answer was.
    pub(super) fn rated_status(&self) -> u16 {
        let code = self.call.as_ref().and_then(|call| call.code);
        code.filter(|code| code.is_failure()).map_or(self.status.as_u16(), GrpcCode::as_http)
    }
}
