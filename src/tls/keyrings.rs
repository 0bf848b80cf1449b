//! The keyrings of all listeners: filled at the start, and again when files or wishes change. What can't be used changes
//! nothing and is said: in the log, in the status, in the metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::{error, info, warn};

use super::certificate::Certificate;
use super::file::Contents;
use super::keyring::{Keyring, Maker, Wanted, flaws};
use super::{FileError, self_signed};
use crate::clock::Clock;
use crate::config::spec::{Listener, Spec, Tls};
use crate::domain::Timestamp;

/// Between two looks at the files. Not by notification: a look costs little, and sees every way to replace a file.
const POLL: Duration = Duration::from_secs(5);
/// Two files are not replaced at one moment: what changed is used once it has stayed the same for so long.
const QUIET: Duration = Duration::from_millis(500);
/// With fewer days left, a certificate is a problem.
const SOON: i64 = 14;
/// How often that is repeated in the log.
const REMINDER: Duration = Duration::from_secs(86_400);

/// The keyrings of all listeners.
pub struct Keyrings {
    clock: Clock,
    /// By listener, in the config's order; `None`: without TLS.
    rings: Vec<Option<Arc<Ring>>>,
    replaced: AtomicU64,
    refused: AtomicU64,
    reminded: Mutex<Option<Timestamp>>,
}

struct Ring {
    listener: String,
    keyring: Arc<Keyring>,
    state: Mutex<State>,
}

struct State {
    wanted: Wanted,
    /// What was last made, or could not be: of these wishes, with this in the files.
    tried: (Wanted, u64),
    maker: Maker,
    /// Why what is wanted is not what is shown.
    problem: Option<String>,
}

impl Keyrings {
    /// Reads all files of a config.
    ///
    /// # Errors
    /// When one can't be used: which listener, which file, what to do.
    pub fn load(spec: &Spec, clock: Clock) -> Result<Self, String> {
        let now = clock.now();
        let ring = |listener: &Listener| {
            let Some(wanted) = wanted(listener, spec) else { return Ok(None) };
            Ring::fill(listener.address.to_string(), wanted, now).map(|ring| Some(Arc::new(ring)))
        };
        let rings = spec.listeners.iter().map(ring).collect::<Result<_, _>>()?;
        let (replaced, refused) = (AtomicU64::new(0), AtomicU64::new(0));
        let keyrings = Self { clock, rings, replaced, refused, reminded: Mutex::default() };
        keyrings.introduce();
        keyrings.remind();
        Ok(keyrings)
    }

    /// What is wrong with the files that a config names, with the place in the config that leads to each.
    pub fn check(spec: &Spec) -> Vec<(String, FileError)> {
        let listeners = (0..).zip(&spec.listeners).filter_map(|(index, listener)| match &listener.tls {
            Some(Tls::Files(files)) => Some((index, files)),
            Some(Tls::SelfSigned) | None => None,
        });
        let said = |(index, files)| {
            let place = format!("listeners[{index}].tls");
            flaws(files).into_iter().map(move |flaw| (place.clone(), flaw))
        };
        listeners.flat_map(said).collect()
    }

    /// The keyring of a listener, by its place in the config; `None`: it has no TLS.
    pub fn keyring(&self, listener: usize) -> Option<Arc<Keyring>> {
        Some(self.rings.get(listener)?.as_ref()?.keyring.clone())
    }

    /// Whether any listener has TLS.
    pub fn any(&self) -> bool {
        self.rings().next().is_some()
    }

    /// Takes up what a config wants now and looks at all files. What can't be used changes nothing; why, in words.
    pub fn reload(&self, spec: &Spec) -> Vec<String> {
        for (ring, listener) in self.rings.iter().zip(&spec.listeners) {
            if let (Some(ring), Some(wanted)) = (ring, wanted(listener, spec)) {
                ring.state().wanted = wanted;
            }
        }
        self.look();
        self.failures()
    }

    /// Looks at all files now.
    pub fn look(&self) {
        for ring in self.rings() {
            let wanted = ring.state().wanted.clone();
            let contents = wanted.read();
            match ring.take_up(wanted, &contents, self.clock.now()) {
                None => {}
                Some(Ok(())) => self.replaced(ring),
                Some(Err(why)) => {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                    error!(
                        listener = ring.listener,
                        "certificates not replaced, the last good ones serve on: {why}"
                    );
                }
            }
        }
    }

    /// Looks at the files again and again. Never returns.
    pub async fn watch(self: Arc<Self>) {
        if !self.any() {
            return std::future::pending().await;
        }
        loop {
            self.clock.sleep_until(self.clock.now() + POLL).await;
            if self.clone().changed().await {
                let keyrings = self.clone();
                // Only a panic in it can end it early; the next round looks again.
                let _looked = tokio::task::spawn_blocking(move || keyrings.look()).await;
            }
            self.remind();
        }
    }

    /// Whether the files have changed, and stay as they are.
    async fn changed(self: Arc<Self>) -> bool {
        let mut before = self.clone().digests().await;
        let now = self.clock.now();
        if !self.rings().zip(&before).any(|(ring, digest)| ring.is_due(*digest, now)) {
            return false;
        }
        loop {
            self.clock.sleep_until(self.clock.now() + QUIET).await;
            let now = self.clone().digests().await;
            if now == before {
                return true;
            }
            before = now;
        }
    }

    async fn digests(self: Arc<Self>) -> Vec<u64> {
        let read = tokio::task::spawn_blocking(move || {
            let digest = |ring: &Arc<Ring>| {
                let wanted = ring.state().wanted.clone();
                wanted.read().digest()
            };
            self.rings().map(digest).collect()
        });
        read.await.unwrap_or_default()
    }

    /// All certificates that are shown, each with its listener.
    pub fn certificates(&self) -> Vec<(String, Certificate)> {
        let each = |ring: &Arc<Ring>| {
            let listener = ring.listener.clone();
            let terms = ring.keyring.terms();
            terms.certificates().iter().map(|one| (listener.clone(), one.clone())).collect::<Vec<_>>()
        };
        self.rings().flat_map(each).collect()
    }

    /// What is not as it should be, in words.
    pub fn problems(&self) -> Vec<String> {
        let now = self.clock.now();
        let expiring =
            self.certificates().into_iter().filter_map(|(_, certificate)| expiry(&certificate, now));
        let mut problems = self.failures();
        problems.extend(expiring);
        problems.dedup();
        problems
    }

    /// How often changed files were taken up, and how often they could not be used.
    pub fn reloads(&self) -> (u64, u64) {
        (self.replaced.load(Ordering::Relaxed), self.refused.load(Ordering::Relaxed))
    }

    fn failures(&self) -> Vec<String> {
        let failure = |ring: &Arc<Ring>| {
            let why = ring.state().problem.clone()?;
            Some(format!(
                "listener {}: the new certificates can't be used, the last good ones serve on: {why}",
                ring.listener
            ))
        };
        self.rings().filter_map(failure).collect()
    }

    fn replaced(&self, ring: &Ring) {
        self.replaced.fetch_add(1, Ordering::Relaxed);
        info!(listener = ring.listener, "certificates replaced");
        for certificate in ring.keyring.terms().certificates() {
            introduce(&ring.listener, certificate);
        }
    }

    fn introduce(&self) {
        for (listener, certificate) in self.certificates() {
            introduce(&listener, &certificate);
        }
    }

    /// Says once a day which certificates end soon.
    fn remind(&self) {
        let now = self.clock.now();
        let mut reminded = self.reminded.lock().unwrap_or_else(PoisonError::into_inner);
        if reminded.is_some_and(|last| now - last < REMINDER) {
            return;
        }
        for (_, certificate) in self.certificates() {
            if let Some(problem) = expiry(&certificate, now) {
                *reminded = Some(now);
                warn!("{problem}");
            }
        }
    }

    fn rings(&self) -> impl Iterator<Item = &Arc<Ring>> {
        self.rings.iter().flatten()
    }
}

impl Ring {
    fn fill(listener: String, wanted: Wanted, now: Timestamp) -> Result<Self, String> {
        let said = |why| format!("listener {listener}: {why}");
        let contents = wanted.read();
        let mut maker = Maker::new().map_err(said)?;
        let terms = maker.make(&wanted, &contents, now).map_err(said)?;
        let tried = (wanted.clone(), contents.digest());
        let state = State { wanted, tried, maker, problem: None };
        Ok(Self { listener, keyring: Arc::new(Keyring::new(terms)), state: Mutex::new(state) })
    }

    /// Shows what is wanted, if that can be made. `None`: it is shown already, or was tried before.
    fn take_up(&self, wanted: Wanted, contents: &Contents, now: Timestamp) -> Option<Result<(), String>> {
        let digest = contents.digest();
        let mut state = self.state();
        if state.tried == (wanted.clone(), digest) && !self.wears_out(&wanted, now) {
            return None;
        }
        let made = state.maker.make(&wanted, contents, now).map(|terms| self.keyring.replace(terms));
        state.problem = made.as_ref().err().cloned();
        state.tried = (wanted, digest);
        Some(made)
    }

    /// Whether there is something to take up, with this in the files.
    fn is_due(&self, digest: u64, now: Timestamp) -> bool {
        let state = self.state();
        state.tried.1 != digest || state.tried.0 != state.wanted || self.wears_out(&state.wanted, now)
    }

    /// Whether it is for us to renew it.
    fn wears_out(&self, wanted: &Wanted, now: Timestamp) -> bool {
        let ends = |certificate: &Certificate| certificate.days_left(now) < SOON;
        wanted.tls == Tls::SelfSigned && self.keyring.terms().certificates().iter().any(ends)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing is left half done by a panic: the state changes after all else is done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wanted(listener: &Listener, spec: &Spec) -> Option<Wanted> {
    let tls = listener.tls.clone()?;
    let hosts = if tls == Tls::SelfSigned { self_signed::hosts(spec) } else { Default::default() };
    Some(Wanted { tls, protocol: listener.protocol, hosts })
}

/// What there is to say of a certificate's end.
fn expiry(certificate: &Certificate, now: Timestamp) -> Option<String> {
    let (label, end) = (&certificate.label, certificate.not_after_text());
    match certificate.days_left(now) {
        ..0 => Some(format!("certificate {label} HAS EXPIRED at {end} and is still shown; replace it")),
        days @ 0..SOON => Some(format!("certificate {label} expires in {days} days, at {end}; replace it")),
        _ => None,
    }
}

fn introduce(listener: &str, certificate: &Certificate) {
    let Certificate { label, hosts, fingerprint, .. } = certificate;
    let until = certificate.not_after_text();
    info!(listener, certificate = label, ?hosts, until, sha256 = fingerprint, "certificate");
}
