//! How a service's endpoints are spoken to.

/// How a service's endpoints are spoken to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// Which version of HTTP.
    pub protocol: Protocol,
}

/// A version of HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1: a connection carries one request at a time.
    #[default]
    Http1,
    /// HTTP/2, without asking: a connection carries many.
    Http2,
}
