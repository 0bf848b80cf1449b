//! The listeners of a config, as the data plane takes them.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use crate::config::spec::{self, Spec};
use crate::proxy::{Handshake, Listener, ToHttps, Vitals};
use crate::telemetry::{Metrics, TlsReading};
use crate::tls::Keyrings;

/// All of them, in the config's order.
pub(super) fn of(spec: &Spec, keyrings: &Keyrings) -> Vec<Listener> {
    let listeners = (0..).zip(&spec.listeners);
    listeners.map(|(index, listener)| one(listener, index, keyrings)).collect()
}

fn one(listener: &spec::Listener, index: usize, keyrings: &Keyrings) -> Listener {
    Listener {
        address: listener.address,
        protocol: listener.protocol,
        proxy_protocol: listener.proxy_protocol,
        tls: keyrings.keyring(index),
        redirect: listener.redirect.map(|redirect| ToHttps { port: redirect.port }),
        hsts: listener.hsts.and_then(hsts),
    }
}

/// RFC 6797 section 6.1.
fn hsts(age: Duration) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("max-age={}", age.as_secs())).ok()
}

/// Shows how TLS is doing, if it is spoken anywhere.
pub(super) fn watch_tls(metrics: &Metrics, keyrings: &Arc<Keyrings>, vitals: &Arc<Vitals>) {
    if !keyrings.any() {
        return;
    }
    let (keyrings, vitals) = (keyrings.clone(), vitals.clone());
    metrics.watch_tls(move || {
        let certificates = keyrings.certificates().into_iter();
        TlsReading {
            handshakes: Handshake::ALL.map(|how| (how.as_str(), vitals.handshakes(how))).to_vec(),
            reloads: keyrings.reloads(),
            certificates: certificates.map(|(_, one)| (one.label, one.not_after)).collect(),
        }
    });
}
