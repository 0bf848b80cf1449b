//! HTTP/2 towards an endpoint: a connection (here a session, so that it is not taken for HTTP/1's) carries many
//! requests at once. Spoken with the `h2` crate itself: who failed what is known per stream, and a stream can be ended
//! without its neighbours.

mod body;
mod pump;
mod session;
mod sessions;
mod stream;

pub(crate) use body::Body;
pub(super) use sessions::Sessions;
pub(super) use stream::Stream;
