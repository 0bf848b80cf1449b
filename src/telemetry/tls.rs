//! How TLS at the listeners is doing.

use std::collections::BTreeMap;

use prometheus::proto::MetricFamily;

use super::families::{Family, number};

/// What others count and know.
#[derive(Clone, Debug, Default)]
pub struct TlsReading {
    /// Handshakes by how they went, a fixed set.
    pub handshakes: Vec<(&'static str, u64)>,
    /// How often changed certificates were taken up, and how often they could not be used.
    pub reloads: (u64, u64),
    /// The certificates that are shown, by what the config calls them, with the end of their time in seconds since the
    /// Unix epoch.
    pub certificates: Vec<(String, i64)>,
}

/// Adds what is read.
pub(super) fn tls(all: &mut Vec<MetricFamily>, reading: &TlsReading) {
    let help = "TLS handshakes with clients; what is not `success` is the client's doing or the network's.";
    let mut handshakes = Family::counter("adit_tls_handshakes_total", help, ["result"]);
    for (result, count) in &reading.handshakes {
        handshakes.sample([result], number(*count));
    }
    handshakes.finish(all);
    let help = "Changed certificates: taken up, or not fit for use.";
    let mut reloads = Family::counter("adit_tls_certificate_reloads_total", help, ["result"]);
    let (successes, failures) = reading.reloads;
    reloads.sample(["success"], number(successes));
    reloads.sample(["failure"], number(failures));
    reloads.finish(all);
    let help = "When a certificate that is shown expires, in seconds since the Unix epoch.";
    let mut ends = Family::gauge("adit_tls_certificate_not_after_seconds", help, ["certificate"]);
    // One file may be shown at several listeners: the first to end is what matters.
    let mut first = BTreeMap::new();
    for (certificate, end) in &reading.certificates {
        let known = first.entry(certificate).or_insert(*end);
        *known = (*known).min(*end);
    }
    for (certificate, end) in first {
        ends.sample([certificate], number(u64::try_from(end).unwrap_or_default()));
    }
    ends.finish(all);
}
