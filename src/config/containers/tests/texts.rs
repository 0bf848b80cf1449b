//! Labels to meaning: what is read, what is refused, and that no text is ever more than a value.

use std::time::Duration;

use super::*;
use crate::config::containers::labels::{self, Labels};
use crate::config::spec::Recover;
use crate::domain::routing::{Affinity, HostPattern, Protocol, RateLimit};

/// What [`LABELS`] say, as the config has it.
const LINES: &str = "
        hosts = ['a.example', '*.b.example']
        recover = 'restart'
        health = { path = '/healthz', interval = '5s', rise = 1 }
        eject = { max_percent = 25, base = '1s' }
        timeouts = { response = '9s', tunnel = '2h' }
        retry = { attempts = 2, on = ['connect', 502, '5xx'], budget = '10%', methods = ['GET'] }
        limits = { max_in_flight = 7, queue = 3, max_body = '1MiB' }
        affinity.by = 'header:X-User'
        access = { allow = ['10.0.0.0/8', '::1'], deny = ['10.1.1.1'] }
        rate_limit = { requests = 5, per = '1m' }
        override.from = ['10.0.0.0/8']
        upgrades = []
        [services.web.rollout]
        strategy = 'canary'
        steps = [1, { weight = '12.5%', pause = '2m' }, 100]
        bake = '1m'
        rescue = { methods = [], on = [500, 503] }
        advance = { min_requests = 9, on_max_time = 'abort' }
        analysis = { max_error_rate = '3%', dry_run = true, latency = { quantiles = [0.5, 0.99], gates = [0.5] }, tolerated_rise = { relative = 1.5 } }";

const LABELS: [(&str, &str); 35] = [
    ("hosts", "a.example, *.b.example"),
    ("recover", "restart"),
    ("health.path", "/healthz"),
    ("health.interval", "5s"),
    ("health.rise", "1"),
    ("eject.max_percent", "25"),
    ("eject.base", "1s"),
    ("timeouts.response", "9s"),
    ("timeouts.tunnel", "2h"),
    ("retry.attempts", "2"),
    ("retry.on", "connect,502,5xx"),
    ("retry.budget", "10%"),
    ("retry.methods", "GET"),
    ("limits.max_in_flight", "7"),
    ("limits.queue", "3"),
    ("limits.max_body", "1MiB"),
    ("affinity.by", "header:X-User"),
    ("access.allow", "10.0.0.0/8,::1"),
    ("access.deny", "10.1.1.1"),
    ("rate_limit.requests", "5"),
    ("rate_limit.per", "1m"),
    ("override.from", "10.0.0.0/8"),
    ("upgrades", ""),
    ("rollout.strategy", "canary"),
    ("rollout.steps", "1, 12.5%:2m, 100"),
    ("rollout.bake", "1m"),
    ("rollout.rescue", ""),
    ("rollout.rescue.on", "500,503"),
    ("rollout.min_requests", "9"),
    ("rollout.advance.on_max_time", "abort"),
    ("rollout.max_error_rate", "3%"),
    ("rollout.dry_run", "true"),
    ("rollout.analysis.latency.quantiles", "0.5,0.99"),
    ("rollout.analysis.latency.gates", "0.5"),
    ("rollout.analysis.tolerated_rise.relative", "1.5"),
];

fn read(labels: &[(&str, &str)]) -> Labels {
    labels::read(labels.iter().copied())
}

/// What is wrong, one label a line.
fn faults(labels: &[(&str, &str)]) -> String {
    let shown = read(labels).faults.into_iter().map(|fault| format!("{}: {}", fault.label, fault.what));
    shown.collect::<Vec<_>>().join("\n")
}

#[test]
fn labels_mean_what_the_same_keys_mean_in_the_config() {
    let config = file(&format!("[services.web]\n{LINES}"));
    let config = &config.waiting["web"];
    let labels = read(&LABELS);
    assert_eq!(labels.faults, []);
    let said = labels.said.treatment;
    assert_eq!((&said.policy, &said.rollout), (&config.policy, &config.rollout));
    assert_eq!((&said.health, &said.eject, said.recover), (&config.health, &config.eject, Recover::Restart));
    let hosts = |routes: &[crate::domain::routing::RouteMatch]| -> BTreeSet<HostPattern> {
        routes.iter().map(|route| route.host.clone()).collect()
    };
    assert_eq!(hosts(&labels.said.routes), hosts(&config.routes));
}

#[test]
fn what_is_not_said_has_the_configs_default() {
    let config = file("[services.web]");
    let (config, said) = (&config.waiting["web"], read(&[]).said);
    assert_eq!((&said.treatment.policy, &said.treatment.rollout), (&config.policy, &config.rollout));
    assert_eq!((&said.treatment.health, &said.treatment.eject), (&config.health, &config.eject));
    assert_eq!((said.treatment.recover, &said.routes), (config.recover, &config.routes));
}

#[test]
fn routes_are_each_host_under_the_path() {
    let said = read(&[("hosts", "b.example,a.example"), ("path", "/api"), ("strip_prefix", "true")]).said;
    let shown: Vec<_> = said.routes.iter().map(|it| (it.path.as_str(), it.strip_prefix)).collect();
    assert_eq!(shown, [("/api", true), ("/api", true)]);
    assert_eq!(
        faults(&[("strip_prefix", "true")]),
        "adit.strip_prefix: there is no prefix to strip (give the route a `path`, or remove `strip_prefix`)"
    );
}

#[test]
fn errors_name_the_label_and_say_what_to_do() {
    for (label, text, expected) in [
        ("health.interval", "2 parsecs", "`2 parsecs` is not a duration"),
        ("health.rise", "0", "must be from 1 to 1000000"),
        ("health.path", "healthz", "`healthz` is not a path: write it as `/healthz`"),
        ("enable", "yes", "\"yes\" is not true or false"),
        ("hosts", "", "an empty list leads no request here"),
        ("hosts", "a b", "`a b` is not a host"),
        ("path", "api", "`api` is not a path prefix: it starts with `/`"),
        ("port", "1.0", "\"1.0\" is not a whole number"),
        ("recover", "maybe", "\"maybe\" is not known here (write \"restart\" or \"no\")"),
        ("rollout.steps", "1,5,50", "the last step is 50 %, so the release would never be complete"),
        ("rollout.steps", "5,1,100", "weight 1 % is not above 5 %"),
        ("rollout.steps", "5:soon,100", "is not a duration"),
        ("rollout.strategy", "green", "\"green\" is not known here"),
        ("rollout.max_error_rate", "5", "\"5\" is not a share with its percent sign"),
        ("rollout.analysis.alpha", "NaN", "\"NaN\" is not a number"),
        ("access.allow", "10.1.2.3/8", "has bits set behind its prefix"),
        ("service", "a/b", "\"a/b\" is not a name"),
        ("service", "", "\"\" is not a name"),
        (
            "connection.tls.ca_file",
            "/etc/shadow",
            "only the config file may say this: `[services.NAME.connection.tls]`",
        ),
        (
            "rollout.hooks.url",
            "http://x/",
            "only the config file may say this: `[services.NAME.rollout.hooks]`",
        ),
        ("heath.path", "/", "there is no such label: did you mean adit.health.path?"),
        ("Enable", "true", "there is no such label: did you mean adit.enable?"),
        ("rollout.stratgy", "canary", "there is no such label: did you mean adit.rollout.strategy?"),
        ("min_requests", "1", "there is no such label: did you mean adit.rollout."),
        ("health", "/", "there is no such label"),
        ("versions.v1.endpoints", "a:1", "there is no such label"),
        ("", "", "there is no such label"),
        ("quux", "1", "there is no such label (config/reference.toml lists them)"),
    ] {
        let found = faults(&[(label, text)]);
        assert!(
            found.starts_with(&format!("adit.{label}: ")) && found.contains(expected),
            "{label}={text}: {found}"
        );
    }
}

#[test]
fn labels_that_need_each_other_are_looked_at_together() {
    let alone = faults(&[("limits.queue", "3")]);
    assert_eq!(
        alone,
        "adit.limits.queue: it does nothing without `max_in_flight` (add `max_in_flight`: how many requests are answered at once)"
    );
    let both = faults(&[("limits.max_in_flight", "many"), ("limits.queue", "3")]);
    assert!(both.lines().count() == 2 && both.contains("adit.limits.max_in_flight: \"many\""), "{both}");
    let twice = faults(&[("rollout.min_time", "1m"), ("rollout.advance.min_time", "2m")]);
    assert_eq!(twice, "adit.rollout.advance.min_time: says the same as adit.rollout.min_time: keep one");
    assert_eq!(
        faults(&[("rate_limit.by", "ip")]),
        "adit.rate_limit.by: `requests` is missing (write `requests = 100`: how many in `per`)"
    );
}

#[test]
fn what_is_right_counts_beside_what_is_wrong() {
    let labels = read(&[
        ("health.path", "/up"),
        ("health.interval", "often"),
        ("affinity.by", "cookie"),
        ("nonsense", "1"),
    ]);
    assert_eq!(labels.faults.len(), 2);
    assert_eq!(labels.said.treatment.health.path.as_deref(), Some("/up"));
    assert_eq!(labels.said.treatment.policy.affinity, Affinity::Cookie);
    assert_eq!(labels.texts.keys().collect::<Vec<_>>(), ["affinity.by", "health.path"]);
}

#[test]
fn a_labels_text_is_never_more_than_a_value() {
    let evil = "/x\"\n]]\n[services.evil]\nhosts = ['evil']\nrecover = \"restart\" # '''";
    let labels =
        read(&[("health.path", evil), ("version", evil), ("network", "]]\n[docker]"), ("hosts", "a', 'b")]);
    let said = &labels.said;
    assert_eq!((said.treatment.recover, said.treatment.health.path.as_deref()), (Recover::No, None));
    assert_eq!((said.version.as_deref(), said.network.as_deref()), (Some(evil), Some("]]\n[docker]")));
    let wrong: Vec<_> = labels.faults.iter().map(|fault| fault.label.as_str()).collect();
    assert_eq!(wrong, ["adit.health.path", "adit.hosts"]);
    let desired = desired([web("v1", 1, &[("adit.health.grpc", evil), ("adit.hosts\"]\nx", "1")])]);
    assert!(desired.spec.services.is_empty() && desired.left_out.len() == 1, "{}", said_of(&desired));
}

fn said_of(desired: &Desired) -> String {
    said(desired)
}

#[test]
fn a_label_does_not_read_our_environment() {
    let labels = read(&[("health.path", "/${HOME}"), ("version", "$HOME"), ("network", "$$")]);
    assert_eq!(labels.said.version.as_deref(), Some("$HOME"));
    assert_eq!(labels.said.network.as_deref(), Some("$$"));
    assert!(faults(&[("port", "${PORT:-80}")]).contains("\"${PORT:-80}\" is not a whole number"));
    assert!(labels.said.treatment.health.path.is_none_or(|path| path == "/${HOME}"));
}

#[test]
fn numbers_and_words_are_what_is_asked_for() {
    let said = read(&[
        ("retry.attempts", " 2 "),
        ("connection.protocol", "http2"),
        ("health.grpc", ""),
        ("rate_limit.requests", "1"),
    ])
    .said;
    assert_eq!(said.treatment.policy.retry.attempts, 2);
    assert_eq!(said.treatment.policy.connection.protocol, Protocol::Http2);
    assert_eq!(said.treatment.health.grpc.as_deref(), Some(""));
    let per = said.treatment.policy.rate_limit.map(|RateLimit { per, .. }| per);
    assert_eq!(per, Some(Duration::from_secs(1)));
}

/// The labels that the reference names: `adit.health.{path,grpc}` is two.
fn documented() -> BTreeSet<String> {
    let reference = include_str!("../../../../config/reference.toml");
    let lines = reference.lines().filter_map(|line| line.strip_prefix("#   adit."));
    let expand = |line: &str| -> Vec<String> {
        let word = line.split_whitespace().next().unwrap_or_default();
        match word.split_once('{') {
            None => vec![word.to_owned()],
            Some((table, keys)) => {
                keys.trim_end_matches('}').split(',').map(|key| format!("{table}{key}")).collect()
            }
        }
    };
    lines.flat_map(expand).collect()
}

#[test]
fn the_reference_lists_every_label_and_no_other() {
    let known: BTreeSet<String> = labels::all().map(str::to_owned).collect();
    let documented = documented();
    assert_eq!(known.difference(&documented).collect::<Vec<_>>(), Vec::<&String>::new(), "known, not listed");
    assert_eq!(documented.difference(&known).collect::<Vec<_>>(), Vec::<&String>::new(), "listed, not known");
}
