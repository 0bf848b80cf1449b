//! An exchange as the access log shows it.

use std::time::Duration;

use http::{HeaderValue, StatusCode, Version};

use super::Exchange;
use crate::domain::stats::{ErrorReason, GrpcCode, MethodLabel};
use crate::proxy::client::who::Client;
use crate::proxy::request::headers::new_request_id;
use crate::proxy::worker::Worker;
use crate::telemetry::Entry;

impl Exchange {
    pub(super) fn log(&self, (status, grpc_status): (u16, Option<GrpcCode>), took: Duration) {
        let mut log = self.worker.log.borrow_mut();
        if log.is_off() {
            return;
        }
        let assigned = self.assigned.as_ref();
        let service = assigned.map(|assigned| &assigned.service).or(self.addressed.as_ref());
        let version = |index: usize| Some(assigned?.service.versions[index].name.as_str());
        log.record(&Entry {
            at: self.started + took,
            request_id: self.request_id.to_str().unwrap_or_default(),
            trace_id: self.trace_id(),
            client_ip: self.origin.ip,
            method: self.method.as_str(),
            scheme: self.origin.scheme.as_str(),
            host: text(self.fields.host.as_ref()).or(self.uri.host()).unwrap_or_default(),
            path: self.uri.path(),
            query: self.uri.query(),
            proto: proto(self.version),
            status,
            grpc_status,
            bytes_in: self.bytes_in(),
            bytes_out: self.bytes_out,
            duration: took,
            upstream: self.upstream,
            service: service.map(|service| service.name.as_str()),
            version: assigned.and_then(|assigned| version(assigned.version)),
            endpoint: self.endpoint,
            rollout: service.and_then(|service| service.rollout),
            assigned_by: assigned.map(|assigned| assigned.by.as_str()),
            retries: self.retries,
            rescued: self.rescued,
            answered_by: self.asked.and_then(version),
            error: self.error.or(self.failure.filter(|_| self.rescued)),
            user_agent: text(self.fields.user_agent.as_ref()),
        });
    }
}

/// Counts and logs what was answered because it was no request yet.
pub(crate) fn unread(worker: &Worker, client: &Client, status: StatusCode) {
    let reason = ErrorReason::HttpRequestError;
    if let Some(cells) = worker.unrouted() {
        cells[worker.index].error(reason);
        cells[worker.index].ended(MethodLabel::Other, status.as_u16(), 0);
    }
    worker.log.borrow_mut().record(&Entry {
        at: worker.clock.now(),
        request_id: new_request_id().to_str().unwrap_or_default(),
        trace_id: None,
        client_ip: client.ip,
        method: "",
        scheme: client.scheme.as_str(),
        host: "",
        path: "",
        query: None,
        proto: proto(Version::HTTP_11),
        status: status.as_u16(),
        grpc_status: None,
        bytes_in: 0,
        bytes_out: 0,
        duration: Duration::ZERO,
        upstream: None,
        service: None,
        version: None,
        endpoint: None,
        rollout: None,
        assigned_by: None,
        retries: 0,
        rescued: false,
        answered_by: None,
        error: Some(reason),
        user_agent: None,
    });
}

fn text(value: Option<&HeaderValue>) -> Option<&str> {
    value?.to_str().ok()
}

fn proto(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}
