//! TLS, by rustls with aws-lc-rs and nothing else. [`outgoing`] is towards endpoints; all else is about listeners: certificates and keys from files, which of them a client is shown, what is known of a client that
//! shows one, and the files looked at again while the program runs.
//!
//! A listener has one [`Keyring`]; workers take its [`Terms`] once per handshake. Running connections keep the terms they
//! were made under. What can't be used never replaces what can. One provider of cryptography: aws-lc-rs, always passed
//! on by hand.

mod certificate;
mod choose;
mod client;
mod file;
mod keyring;
mod keyrings;
mod names;
pub mod outgoing;
mod self_signed;
mod terms;

pub use certificate::Certificate;
pub use client::ClientCertificate;
pub use file::FileError;
pub use keyring::Keyring;
pub use keyrings::Keyrings;
pub use terms::Terms;

use std::sync::{Arc, LazyLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// The one provider of cryptography.
static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));
