//! A certificate of our own making, for a first try. It lives in memory alone: no key lies on a disk, and the next start
//! makes another one.

use std::collections::BTreeSet;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::certificate::Certificate;
use crate::config::spec::Spec;
use crate::domain::Timestamp;
use crate::domain::routing::HostPattern;

/// What it is called.
pub(super) const LABEL: &str = "self-signed";
/// Browsers refuse what is valid for longer than 398 days.
const DAYS: i64 = 397;
const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// The hosts that it is to be for: this machine's, and those of the config.
pub(super) fn hosts(spec: &Spec) -> BTreeSet<String> {
    let routes = spec.services.values().flat_map(|service| &service.routes);
    let named = routes.filter_map(|route| match &route.host {
        HostPattern::Exact(_) | HostPattern::Under(_) => Some(route.host.to_string()),
        HostPattern::Any => None,
    });
    let previews = spec.services.values().filter_map(|service| service.policy.preview_host.as_deref());
    named.chain(previews.map(str::to_owned)).chain(LOCAL.map(str::to_owned)).collect()
}

/// Makes one.
pub(super) fn make(hosts: &BTreeSet<String>, now: Timestamp) -> Result<Certificate, String> {
    let mut params = CertificateParams::default();
    for host in hosts {
        // Not every host can be in a certificate: `my_service` can, other things can't, and then it does without.
        match CertificateParams::new([host.trim_matches(['[', ']']).to_owned()]) {
            Ok(one) => params.subject_alt_names.extend(one.subject_alt_names),
            Err(error) => tracing::warn!(host, %error, "not in the self-signed certificate"),
        }
    }
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Adit, self-signed");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // From yesterday, for clients whose clocks are slow.
    let ((year, month, first), (next, then, last)) = (day(now, -1)?, day(now, DAYS)?);
    params.not_before = rcgen::date_time_ymd(year, month, first);
    params.not_after = rcgen::date_time_ymd(next, then, last);
    let key = KeyPair::generate().map_err(|error| error.to_string())?;
    let certificate = params.self_signed(&key).map_err(|error| error.to_string())?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    Certificate::of(LABEL, certificate.der().clone(), key)
}

/// Year, month and day, so many days from now.
fn day(now: Timestamp, days: i64) -> Result<(i32, u8, u8), String> {
    let seconds = i64::try_from(now.as_micros() / 1_000_000).unwrap_or_default() + days * 86_400;
    let at = jiff::Timestamp::from_second(seconds.max(0)).map_err(|error| error.to_string())?;
    let date = at.to_zoned(jiff::tz::TimeZone::UTC).date();
    let part = |number: i8| u8::try_from(number).unwrap_or(1);
    Ok((i32::from(date.year()), part(date.month()), part(date.day())))
}
