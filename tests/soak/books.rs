//! Three accounts of the same requests: what clients saw, what the log says, what the metrics say.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde_json::Value;

use crate::tally::Counts;
use crate::world::CLEAN;

/// Requests by service, version and status.
pub(crate) type ByVersion = BTreeMap<(String, String, u16), u64>;

/// What the access log says.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Of all requests.
    pub(crate) all: ByVersion,
    /// Of clean ones, by kind of client.
    pub(crate) clean: Counts,
    pub(crate) lines: u64,
}

impl Log {
    pub(crate) fn read(path: &Path) -> Self {
        let mut log = Self::default();
        for line in BufReader::new(File::open(path).unwrap()).lines() {
            let line = line.unwrap();
            // What is being written is no line yet; the end is waited for by count.
            let Ok(line) = serde_json::from_str::<Value>(&line) else { continue };
            log.add(&line);
        }
        log
    }

    /// Requests that were none of the clean ones'.
    pub(crate) fn dirty(&self) -> Vec<(&(String, String, u16), &u64)> {
        self.all.iter().filter(|((service, ..), _)| !CLEAN.contains(&service.as_str())).collect()
    }

    fn add(&mut self, line: &Value) {
        let text = |field: &str| line[field].as_str().unwrap_or_default().to_owned();
        let status = u16::try_from(line["status"].as_u64().unwrap()).unwrap();
        let (service, path) = (text("service"), text("path"));
        self.lines += 1;
        if CLEAN.contains(&service.as_str()) {
            let marked = path.strip_prefix("/clean/").and_then(|rest| rest.split('/').next());
            let kind = marked.unwrap_or(&service).to_owned();
            *self.clean.entry((kind, service.clone(), status)).or_default() += 1;
        }
        *self.all.entry((service, text("version"), status)).or_default() += 1;
    }
}

/// `adit_requests_total` over all methods.
pub(crate) fn counted(metrics: &str) -> ByVersion {
    let mut counted = ByVersion::new();
    for line in metrics.lines().filter_map(|line| line.strip_prefix("adit_requests_total{")) {
        let (labels, value) = line.rsplit_once("} ").unwrap();
        let label = |name: &str| {
            let found = labels.split(',').find_map(|label| label.strip_prefix(&format!("{name}=")));
            found.unwrap_or_default().trim_matches('"').to_owned()
        };
        let value = value.parse::<f64>().unwrap();
        if value > 0.0 {
            let key = (label("service"), label("version"), label("code").parse().unwrap());
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
            let count = value as u64;
            *counted.entry(key).or_default() += count;
        }
    }
    counted
}

/// The sum over all series of a family, which must be there.
pub(crate) fn sum(metrics: &str, family: &str) -> f64 {
    let of = |line: &&str| line.strip_prefix(family).is_some_and(|rest| rest.starts_with(['{', ' ']));
    let values: Vec<f64> = metrics.lines().filter(of).map(value).collect();
    assert!(!values.is_empty(), "no {family} in {metrics}");
    values.iter().sum()
}

fn value(line: &str) -> f64 {
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Where two accounts differ.
pub(crate) fn differences<K: Ord + std::fmt::Debug>(
    left: &BTreeMap<K, u64>,
    right: &BTreeMap<K, u64>,
) -> Vec<String> {
    let keys: std::collections::BTreeSet<_> = left.keys().chain(right.keys()).collect();
    let both = |key| (left.get(key).copied().unwrap_or(0), right.get(key).copied().unwrap_or(0));
    let differ = keys.into_iter().map(|key| (key, both(key))).filter(|(_, (left, right))| left != right);
    differ.map(|(key, (left, right))| format!("{key:?}: {left} and {right}")).collect()
}
