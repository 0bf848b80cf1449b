//! The clients' side: the sockets that they connect to, what a connection speaks, how long it may live.

pub(crate) mod body;
pub(crate) mod connection;
pub(crate) mod crowd;
pub(crate) mod descriptors;
pub(crate) mod drive;
mod http1;
mod http2;
pub(crate) mod life;
pub(crate) mod listeners;
pub(crate) mod relayed;
pub(crate) mod socket;
pub(crate) mod stream;
pub(crate) mod tls;
pub(crate) mod who;
