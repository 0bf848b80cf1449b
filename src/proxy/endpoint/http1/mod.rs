//! HTTP/1.1 towards an endpoint: a connection carries one request at a time and waits for the next one. It is polled by whoever
//! waits for its answer, and by nobody while it waits itself: no task of its own, no channel.
//!
//! `wire` is a socket with what was read ahead and what is still to be written; `output` what that is; `upload` a request's body
//! on its way into it; `connection` sends one request and reads the head of its answer; `body` is the rest of the answer;
//! `waiting` keeps connections for the next request.

mod body;
mod connection;
mod output;
mod upload;
mod waiting;
mod wire;

pub(crate) use body::Body;
pub(super) use connection::Connection;
pub(crate) use connection::Left;
pub(super) use waiting::Waiting;
