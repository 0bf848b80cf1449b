//! An exchange that ended in a tunnel.

use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderValue, Uri};

use super::{End, Exchange};
use crate::domain::routing::Role;
use crate::domain::stats::ErrorReason;
use crate::proxy::request::assign::AssignedBy;
use crate::proxy::view::ServiceView;

/// Where a tunnel belongs.
pub(in crate::proxy) struct Switched {
    pub(in crate::proxy) service: Rc<ServiceView>,
    pub(in crate::proxy) version: usize,
    /// What the version is; `None`: it was chosen by hand.
    pub(in crate::proxy) role: Option<Role>,
}

impl Exchange {
    /// The endpoint agreed to another protocol: as an exchange it is over, and was good. Its line in the log waits for
    /// [`Self::tunnel_ended`].
    pub(in crate::proxy) fn switched(&mut self) -> Option<Switched> {
        self.is_tunnel = true;
        self.end(End::Whole);
        self.let_go_of_the_head();
        let assigned = self.assigned.as_ref()?;
        let version = self.asked.unwrap_or(assigned.version);
        let by_hand = matches!(assigned.by, AssignedBy::Override | AssignedBy::Preview);
        let mut arms = assigned.service.split.arms().iter();
        let role = arms.find(|arm| arm.version == version).map(|arm| arm.role);
        Some(Switched { service: assigned.service.clone(), version, role: role.filter(|_| !by_hand) })
    }

    /// The tunnel that it became has carried so many bytes, from the client and to it.
    pub(in crate::proxy) fn tunnel_ended(&mut self, (up, down): (u64, u64), error: Option<ErrorReason>) {
        self.bytes_out = down;
        self.tunnelled_in = up;
        self.error = self.error.or(error);
        let took = self.worker.clock.now() - self.started;
        self.log((self.status.as_u16(), None), took);
    }

    /// What is kept of the head is part of the buffer that it was read into: thousands of bytes for as long as a tunnel
    /// lives. Copies take what they need.
    fn let_go_of_the_head(&mut self) {
        let head = &mut self.fields;
        let fields = [&mut head.host, &mut head.user_agent, &mut head.traceparent];
        for value in fields.into_iter().flatten() {
            *value = HeaderValue::from_maybe_shared(Bytes::copy_from_slice(value.as_bytes()))
                .unwrap_or(HeaderValue::from_static(""));
        }
        self.uri = Uri::from_maybe_shared(Bytes::from(self.uri.to_string())).unwrap_or_default();
    }
}
