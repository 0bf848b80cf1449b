//! What a listener shows now, and how it comes to show something else.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::ProducesTickets;
use siphasher::sip::SipHasher13;

use super::certificate::{Certificate, paths};
use super::file::Contents;
use super::terms::{Terms, verifier};
use super::{FileError, self_signed};
use crate::config::spec::{Tls, TlsFiles, TlsVersion};
use crate::domain::Timestamp;
use crate::domain::routing::Spoken;

/// What a listener shows now. Read by all workers, once per handshake.
#[derive(Debug)]
pub struct Keyring(ArcSwap<Terms>);

/// What a listener should show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) tls: Tls,
    /// What is offered by ALPN.
    pub(super) protocol: Spoken,
    /// The hosts of the config, if it is to be for them.
    pub(super) hosts: BTreeSet<String>,
}

/// What makes terms, and what is to be kept from one making to the next.
pub(super) struct Maker {
    /// By whom clients are vouched for, as a number: sessions begun under other rules are not resumed (CVE-2025-23419).
    rules: u64,
    tickets: Arc<dyn ProducesTickets>,
}

impl Keyring {
    pub(super) fn new(terms: Terms) -> Self {
        Self(ArcSwap::from_pointee(terms))
    }

    /// The terms for a connection that begins now.
    pub fn terms(&self) -> Arc<Terms> {
        self.0.load_full()
    }

    pub(super) fn replace(&self, terms: Terms) {
        self.0.store(Arc::new(terms));
    }
}

impl Wanted {
    /// What is in its files now.
    pub(super) fn read(&self) -> Contents {
        Contents::read(self.paths())
    }

    fn paths(&self) -> Vec<&Path> {
        match &self.tls {
            Tls::SelfSigned => Vec::new(),
            Tls::Files(TlsFiles { certificates, clients, .. }) => {
                let authorities = clients.as_ref().map(|clients| clients.ca_file.as_path());
                certificates.iter().flat_map(paths).chain(authorities).collect()
            }
        }
    }
}

impl Maker {
    pub(super) fn new() -> Result<Self, String> {
        Ok(Self { rules: 0, tickets: tickets()? })
    }

    /// Makes what is wanted of what is in the files. What it makes is whole or nothing.
    pub(super) fn make(
        &mut self,
        wanted: &Wanted,
        contents: &Contents,
        now: Timestamp,
    ) -> Result<Terms, String> {
        let rules = rules(wanted, contents);
        if rules != self.rules {
            *self = Self { rules, tickets: tickets()? };
        }
        let said = |error: FileError| error.to_string();
        let (certificates, clients, min_version) = match &wanted.tls {
            Tls::SelfSigned => (vec![self_signed::make(&wanted.hosts, now)?], None, TlsVersion::default()),
            Tls::Files(files) => {
                let certificates = load(files, contents).map_err(said)?;
                let clients = files.clients.as_ref().map(|clients| verifier(clients, contents)).transpose();
                (certificates, clients.map_err(said)?, files.min_version)
            }
        };
        Terms::new(certificates, clients, (min_version, wanted.protocol), self.tickets.clone())
            .map_err(|error| error.to_string())
    }
}

fn load(files: &TlsFiles, contents: &Contents) -> Result<Vec<Certificate>, FileError> {
    files.certificates.iter().map(|files| Certificate::load(files, contents)).collect()
}

fn tickets() -> Result<Arc<dyn ProducesTickets>, String> {
    // Its keys change every six hours; a ticket is good for twelve.
    Ticketer::new().map_err(|error| format!("no keys for session tickets: {error}"))
}

fn rules(wanted: &Wanted, contents: &Contents) -> u64 {
    let mut hasher = SipHasher13::new();
    if let Tls::Files(TlsFiles { clients: Some(clients), .. }) = &wanted.tls {
        clients.auth.hash(&mut hasher);
        contents.digest_of(&clients.ca_file).hash(&mut hasher);
    }
    hasher.finish()
}

/// What is wrong with the files that are wanted.
pub(super) fn flaws(files: &TlsFiles) -> Vec<FileError> {
    let wanted = Wanted { tls: Tls::Files(files.clone()), protocol: Spoken::Any, hosts: BTreeSet::new() };
    let contents = wanted.read();
    let certificates = files.certificates.iter().filter_map(|one| Certificate::load(one, &contents).err());
    let clients = files.clients.as_ref().and_then(|clients| verifier(clients, &contents).err());
    certificates.chain(clients).collect()
}
