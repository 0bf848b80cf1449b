//! TLS, by rustls with aws-lc-rs and nothing else. `outgoing` is towards endpoints.

pub mod outgoing;
