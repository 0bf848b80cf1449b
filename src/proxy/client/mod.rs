//! The clients' side: the sockets that they connect to, what a connection speaks, how long it may live.

pub(crate) mod connection;
pub(crate) mod crowd;
pub(crate) mod descriptors;
pub(crate) mod life;
pub(crate) mod listeners;
pub(crate) mod socket;
pub(crate) mod stream;
