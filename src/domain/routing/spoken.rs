//! What clients of a listener may speak.

/// What clients of a listener may speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spoken {
    /// Either; their first bytes tell.
    #[default]
    Any,
    /// HTTP/1.0 and HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}
