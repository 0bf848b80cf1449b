//! A connection that changed to another protocol, WebSocket above all: bytes both ways until both sides have ended.
//!
//! - It begins with a 101 that was asked for, and not before: until then no byte of the client's new protocol is passed on.
//! - As an exchange it is over at its 101: counted, and judged as good. What an endpoint does to it later is not held
//!   against its version: clients, networks and endpoints end tunnels for a thousand reasons. The log's line comes at its end.
//! - It outlives reloads and changes of weight, and that its endpoint fails checks or is ejected. It ends with its endpoint
//!   (drained, or gone from the config), when its version was an aborted canary or is no version of the traffic any more
//!   (another one was promoted), and when we do. What was chosen by hand ends with its endpoint alone.
//! - WebSocket's two sides are told then: close code 1001, "going away", between two frames. Not all at once: they will
//!   all come back.
//!
//! `ask` is the handshake, `open` makes a tunnel of it, `pipe` moves the bytes by two `way`s, `frames` knows where a frame
//! ends, `open_ones` is the worker's list.

pub(crate) mod ask;
mod frames;
mod open;
pub(crate) mod open_ones;
mod pipe;
mod way;

pub(crate) use open::{Opening, Tunnel, open};
