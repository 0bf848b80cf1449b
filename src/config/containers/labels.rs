//! Labels mirror keys of the config, and are read by what reads the config: its checks, defaults and words hold for them.
//! `adit.health.path=/healthz` is `path = "/healthz"` in a service's `health` table. A label's text is a value and nothing
//! else, whatever is in it: no TOML is made of it, and no variable of our environment is filled in.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::LazyLock;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::reader::{Document, Table, not_a_name, vocabulary};
use crate::config::rescue::Hosts;
use crate::config::routes;
use crate::config::services::{self, Treatment};
use crate::domain::routing::RouteMatch;

/// How every label of ours begins.
pub(super) const PREFIX: &str = "adit.";

/// Labels that are short for a key deeper in the config.
const SHORT: [(&str, &str); 7] = [
    ("rollout.dry_run", "rollout.analysis.dry_run"),
    ("rollout.max_error_rate", "rollout.analysis.max_error_rate"),
    ("rollout.max_time", "rollout.advance.max_time"),
    ("rollout.min_requests", "rollout.advance.min_requests"),
    ("rollout.min_time", "rollout.advance.min_time"),
    ("rollout.on_max_time", "rollout.advance.on_max_time"),
    ("rollout.rescue", "rollout.rescue.methods"),
];

/// What only the config may say: it names files and addresses that Adit itself would read and call.
const CONFIG_ONLY: [&str; 3] = ["connection.tls", "rollout.checks", "rollout.hooks"];

/// Every label without its prefix, and the key that it is.
static KNOWN: LazyLock<BTreeMap<String, String>> = LazyLock::new(known);

/// What a container's labels say.
#[derive(Debug)]
pub(super) struct Labels {
    /// What they mean.
    pub(super) said: Said,
    /// Those that count, by the label without its prefix, as they are written.
    pub(super) texts: BTreeMap<String, String>,
    /// Those that don't, and why.
    pub(super) faults: Vec<Fault>,
}

/// A label that means nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// As it is written, with its prefix.
    pub(super) label: String,
    /// What is wrong with it, and what to do.
    pub(super) what: String,
}

/// What labels mean.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) enable: Option<bool>,
    pub(super) service: Option<String>,
    pub(super) version: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) network: Option<String>,
    /// What leads to the service: without a label that says it, every request.
    pub(super) routes: Vec<RouteMatch>,
    /// How the service is treated, defaults for all that is not said.
    pub(super) treatment: Treatment,
}

/// One label that may count.
#[derive(Debug)]
struct Entry<'l> {
    /// Without its prefix.
    label: &'l str,
    key: &'static str,
    text: &'l str,
}

/// Reads what is said; what is wrong is left out and told.
pub(super) fn read<'l>(labels: impl Iterator<Item = (&'l str, &'l str)>) -> Labels {
    let (mut entries, mut faults) = sort_out(labels);
    loop {
        let wrong = match attempt(&entries) {
            Ok(said) => {
                let text = |entry: &Entry<'_>| (entry.label.to_owned(), entry.text.to_owned());
                faults.sort_by(|a, b| a.label.cmp(&b.label));
                return Labels { said, texts: entries.iter().map(text).collect(), faults };
            }
            Err(wrong) => wrong,
        };
        // Without them, others may have lost their meaning: so once more, with fewer every time.
        for (at, what) in &wrong {
            faults.extend(entries.get(*at).map(|entry| Fault::of(entry.label, what.clone())));
        }
        let mut at = 0..entries.len();
        entries.retain(|_| at.next().is_some_and(|at| !wrong.contains_key(&at)));
    }
}

/// Every label, without its prefix.
#[cfg(test)]
pub(super) fn all() -> impl Iterator<Item = &'static str> {
    KNOWN.keys().map(String::as_str)
}

/// What a label may be called, and those that can't be.
fn sort_out<'l>(labels: impl Iterator<Item = (&'l str, &'l str)>) -> (Vec<Entry<'l>>, Vec<Fault>) {
    let (mut entries, mut faults) = (Vec::<Entry<'l>>::new(), Vec::new());
    for (label, text) in labels {
        let Some(key) = KNOWN.get(label) else {
            faults.push(Fault::of(label, unknown(label)));
            continue;
        };
        if let Some(same) = entries.iter().find(|entry| entry.key == key) {
            faults.push(Fault::of(label, format!("says the same as {PREFIX}{}: keep one", same.label)));
            continue;
        }
        entries.push(Entry { label, key, text: text.trim() });
    }
    (entries, faults)
}

/// What the labels mean, or what is wrong with which of them; at least one is.
fn attempt(entries: &[Entry<'_>]) -> Result<Said, BTreeMap<usize, String>> {
    let mut root = DeTable::new();
    for (at, entry) in entries.iter().enumerate() {
        insert(&mut root, entry.key, entry.text, at..at + 1);
    }
    // A line for each label, so that the place of an error is the label's number.
    let lines = "\n".repeat(entries.len());
    let wrong = match Document::of_labels(&lines).read(&root, said) {
        Ok(said) => return Ok(said),
        Err(wrong) => wrong,
    };
    let mut whats = BTreeMap::new();
    for error in wrong.list() {
        let help = error.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        let what = format!("{}{help}", error.message);
        // Nobody's in particular: then all of them are doubtful.
        let whose = error.span.as_ref().map_or(0..entries.len(), |span| span.start..span.start + 1);
        for at in whose {
            whats.entry(at).or_insert_with(|| what.clone());
        }
    }
    Err(whats)
}

fn said(table: &mut Table<'_>) -> Said {
    let text = |text: &str| match text {
        "" => Err("it is empty"),
        text => Ok(text.to_owned()),
    };
    let name = |text: &str| not_a_name(text).map_or_else(|| Ok(text.to_owned()), Err);
    let port = table.value("port").and_then(|value| value.integer(&(1..=65_535)));
    Said {
        enable: table.value("enable").and_then(|value| value.boolean()),
        service: table.value("service").and_then(|value| value.parsed(name)),
        version: table.value("version").and_then(|value| value.parsed(text)),
        port: port.and_then(|port| u16::try_from(port).ok()),
        network: table.value("network").and_then(|value| value.parsed(text)),
        routes: routes::flat(table),
        treatment: services::treatment(table, &mut Hosts::default()),
    }
}

/// Puts a text where its key says. No key is the beginning of another.
fn insert<'t>(table: &mut DeTable<'t>, key: &'t str, text: &'t str, span: Range<usize>) {
    let Some((head, rest)) = key.split_once('.') else {
        table
            .insert(Spanned::new(span.clone(), key.into()), Spanned::new(span, DeValue::String(text.into())));
        return;
    };
    let inner = table
        .entry(Spanned::new(span.clone(), head.into()))
        .or_insert_with(|| Spanned::new(span.clone(), DeValue::Table(DeTable::new())));
    if let DeValue::Table(inner) = inner.get_mut() {
        insert(inner, rest, text, span);
    }
}

fn known() -> BTreeMap<String, String> {
    let asked = vocabulary(|table| drop(said(table)));
    let path = |table: &str, key: &str| match table {
        "" => key.to_owned(),
        table => format!("{table}.{key}"),
    };
    let paths = asked.iter().flat_map(|(table, keys)| keys.iter().map(move |key| path(table, key)));
    let is_label = |path: &String| {
        !path.contains(['[', '*']) && !asked.contains_key(path) && config_only(path).is_none()
    };
    let short = SHORT.map(|(short, long)| (short.to_owned(), long.to_owned()));
    paths.filter(is_label).map(|path| (path.clone(), path)).chain(short).collect()
}

/// The table of the config that a label is about which only the config may have.
fn config_only(path: &str) -> Option<&'static str> {
    let holds =
        |table: &&str| path.strip_prefix(*table).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    CONFIG_ONLY.into_iter().find(holds)
}

/// What is said of a label that nobody knows.
fn unknown(label: &str) -> String {
    if let Some(table) = config_only(label) {
        return format!("only the config file may say this: `[services.NAME.{table}]`");
    }
    let typed = label.to_lowercase().replace('-', "_");
    let tolerated = (typed.chars().count() / 4).max(1);
    let last = |label: &str| label.rsplit('.').next().unwrap_or_default().to_owned();
    let close = KNOWN
        .keys()
        .map(|known| (strsim::damerau_levenshtein(&typed, known), known))
        .filter(|(distance, known)| *distance <= tolerated && *distance < known.len().min(typed.len()))
        .min();
    let close =
        close.map(|(_, known)| known).or_else(|| KNOWN.keys().find(|known| last(known) == last(&typed)));
    match close {
        Some(known) => format!("there is no such label: did you mean {PREFIX}{known}?"),
        None => "there is no such label (config/reference.toml lists them)".to_owned(),
    }
}

impl Fault {
    fn of(label: &str, what: String) -> Self {
        Self { label: format!("{PREFIX}{label}"), what }
    }
}
