//! The whole way from text to meaning, and the files in `config/`.

use std::collections::BTreeSet;
use std::path::Path;

use proptest::prelude::{any, prop_assert, proptest};
use toml::de::DeValue;

use super::spec::{AdminAddress, EndpointAddress, Traffic};
use super::*;
use crate::domain::proxy_protocol::ProxyProtocol;
use crate::domain::rollout::{OnFailure, Plan, Promotion, Strategy};
use crate::domain::routing::{Affinity, HostPattern, LimitBy, Upgrades};
use crate::domain::{VersionName, Weight};

const REFERENCE: &str = include_str!("../../../config/reference.toml");
const CANARY: &str = include_str!("../../../config/canary.toml");

fn env(name: &str) -> Option<String> {
    (name == "PORT").then(|| "8080".to_owned())
}

fn no_env(_: &str) -> Option<String> {
    None
}

/// A config that is valid but for `lines` of the service `web`, which begin at line 6.
fn with_service_lines(lines: &str) -> String {
    format!(
        "[[listeners]]\naddress = '127.0.0.1:80'\n\
         [services.web.versions]\nv1.endpoints = ['a:1']\n[services.web]\n{lines}"
    )
}

fn errors(text: &str) -> String {
    parse(text, &env).map_or_else(|errors| errors.to_string(), |spec| format!("accepted: {spec:?}"))
}

/// Every key in the text, in general form: `services.*.versions.*.image`.
fn keys_of(text: &str) -> BTreeSet<String> {
    fn walk(value: &DeValue<'_>, at: &str, keys: &mut BTreeSet<String>) {
        let last = at.rsplit('.').next().unwrap_or(at);
        match value {
            DeValue::Table(_) if last == "weights" || last == "headers" => {}
            DeValue::Table(entries) => {
                for (key, value) in entries {
                    let key =
                        if last == "services" || last == "versions" { "*" } else { key.get_ref().as_ref() };
                    let path = if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") };
                    if key != "*" {
                        keys.insert(path.clone());
                    }
                    walk(value.get_ref(), &path, keys);
                }
            }
            DeValue::Array(items) => {
                items.iter().for_each(|item| walk(item.get_ref(), &format!("{at}[]"), keys))
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {}
        }
    }
    let mut keys = BTreeSet::new();
    let document = DeTable::parse(text).expect("the reference is TOML");
    walk(&DeValue::Table(document.into_inner()), "", &mut keys);
    keys
}

/// The reference with its keys that have no default switched on.
fn whole_reference() -> String {
    let switch_on = |line: &'static str| match line.strip_prefix('#') {
        Some(key) if key.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => key,
        _ => line,
    };
    REFERENCE.lines().map(switch_on).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_file_in_config_is_valid() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder).expect("config/ is there") {
        let path = entry.expect("config/ is readable").path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a config is text");
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if let Err(errors) = parse(&text, &no_env) {
            panic!("{}", errors.render(&name, Style::Plain));
        }
        names.insert(name);
    }
    assert!(names.contains("adit.toml") && names.contains("canary.toml") && names.contains("reference.toml"));
}

#[test]
fn the_reference_has_every_key_that_is_read_and_no_other() {
    let vocabulary = reader::vocabulary(|table| drop(file::read(table)));
    let join =
        |table: &str, key: &str| if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") };
    let read: BTreeSet<_> =
        vocabulary.iter().flat_map(|(table, keys)| keys.iter().map(|key| join(table, key))).collect();
    assert!(read.contains("services.*.rollout.steps[].pause"), "{read:?}");
    let written = keys_of(&whole_reference());
    assert_eq!(written.difference(&read).collect::<Vec<_>>(), Vec::<&String>::new(), "written, not read");
    assert_eq!(read.difference(&written).collect::<Vec<_>>(), Vec::<&String>::new(), "read, not written");
}

#[test]
fn the_reference_tells_the_defaults() {
    let is_key = |line: &&str| line.starts_with(|c: char| c.is_ascii_lowercase()) && line.contains(" = ");
    let (defaults, rest): (Vec<_>, Vec<_>) =
        REFERENCE.lines().partition(|line| is_key(line) && line.contains("# default"));
    assert_eq!(defaults.len(), 77);
    let without_default: Vec<_> =
        rest.iter().filter(|line| is_key(line)).filter_map(|line| line.split(' ').next()).collect();
    let hooks = ["at", "url", "at", "url"];
    let checks = ["name", "prometheus", "query", "max", "name", "url"];
    let services = ["address", "release", "endpoints", "endpoints"];
    assert_eq!(without_default, [services.as_slice(), &hooks, &checks].concat());
    assert_eq!(parse(&rest.join("\n"), &no_env), parse(REFERENCE, &no_env));
}

#[test]
fn what_the_reference_leaves_out_is_valid_too() {
    let errors = errors(&whole_reference());
    for pair in ["`weights` and `release`", "`path` and `grpc`"] {
        assert!(errors.contains(&format!("{pair} exclude each other")), "{errors}");
    }
    assert_eq!(errors.lines().count(), 2, "{errors}");
}

#[test]
fn only_what_does_not_go_past_the_proxy_may_be_upgraded_to() {
    let spec = |lines: &str| parse(&with_service_lines(lines), &no_env).expect("a valid config");
    let policy = |lines: &str| spec(lines).services.values().next().expect("a service").policy.clone();
    let protocol = |name: &str| Upgrades::protocol(name).expect("a name");
    assert_eq!(policy("").upgrades, Upgrades::default());
    assert_eq!(policy("upgrades = []").upgrades, Upgrades::NONE);
    assert_eq!(
        policy("upgrades = ['WebSocket', 'chat/2']").upgrades,
        Upgrades::of(vec![protocol("websocket"), protocol("chat/2")])
    );
    assert_eq!(policy("timeouts.tunnel = '5m'").timeouts.tunnel.as_secs(), 300);
    let errors = errors(&with_service_lines("upgrades = ['h2c', 'TLS/1.0', 'a b']"));
    for told in [
        "services.web.upgrades[0]: \"h2c\" can't be passed on: requests inside it would go past the routes and limits",
        "services.web.upgrades[1]: \"TLS/1.0\" can't be passed on: nobody but the endpoint could read what is inside",
        "services.web.upgrades[2]: \"a b\" is not a protocol's name",
    ] {
        assert!(errors.contains(told), "{told} is not in {errors}");
    }
}

#[test]
fn a_front_door_means_what_the_smallest_file_means() {
    let file = "[[listeners]]\naddress = '127.0.0.1:0'\n\
                [services.default.versions.v1]\nendpoints = ['127.0.0.1:9001', 'web:80']";
    let to = ["web:80", "127.0.0.1:9001", "web:80"].map(|text| text.parse().expect("an endpoint")).to_vec();
    let listen = "127.0.0.1:0".parse().expect("an address");
    assert_eq!(parse(file, &no_env), Ok(Spec::front_door(listen, to)));
}

#[test]
fn what_is_written_is_what_is_meant() {
    let spec = parse(CANARY, &no_env).expect("canary.toml is valid");
    let web = &spec.services["web"];
    assert_eq!(web.traffic, Traffic::Release(VersionName::from("v1")));
    assert_eq!(web.routes[1].host, HostPattern::Under("shop.example".into()));
    assert_eq!(web.policy.affinity, Affinity::Cookie);
    assert_eq!(web.rollout.steps[3].pause.as_secs(), 120);
    assert_eq!(web.rollout.advance.min_requests, 100);
    let api = &spec.services["api"];
    let weight = |percent| Weight::from_percent(percent).expect("a weight");
    let weights = vec![(VersionName::from("v1"), weight(90.0)), (VersionName::from("v2"), weight(10.0))];
    assert_eq!(api.traffic, Traffic::Weights(weights));
    let endpoint = EndpointAddress::Dns { name: "api-v2.internal".to_owned(), port: 3000 };
    assert_eq!(api.versions["v2"].endpoints, [endpoint]);
}

#[test]
fn blue_green_previews_and_then_switches_once() {
    let spec = parse(include_str!("../../../config/blue-green.toml"), &no_env).expect("it is valid");
    let plan = &spec.services["web"].rollout;
    let steps: Vec<_> = plan.steps.iter().map(|step| (step.weight.percent(), step.pause.as_secs())).collect();
    assert_eq!((plan.strategy, steps), (Strategy::BlueGreen, vec![(0.0, 120), (100.0, 0)]));
    let text = with_service_lines("rollout.strategy = 'blue-green'\nrollout.promote = 'manual'");
    let spec = parse(&text, &no_env).expect("it is valid");
    let plan = &spec.services["web"].rollout;
    assert_eq!(
        (plan.bake.as_secs(), plan.promotion),
        (600, Promotion::Manual),
        "watched unless told otherwise"
    );
}

#[test]
fn all_at_once_is_one_step_without_a_bake_of_its_own() {
    let text = with_service_lines("rollout.strategy = 'all-at-once'\nrollout.on_failure = 'freeze'");
    let spec = parse(&text, &no_env).expect("it is valid");
    let plan = &spec.services["web"].rollout;
    assert_eq!((plan.steps.clone(), plan.bake.as_secs()), (Plan::at_once(), 0));
    assert_eq!(plan.on_failure, OnFailure::Freeze);
}

#[test]
fn who_may_ask_and_how_often_is_what_is_written() {
    let lines = "access = { allow = ['10.0.0.0/8'], deny = ['10.6.6.6'] }\nrate_limit = { requests = 100, burst = 50 }\n\
                 connection.proxy_protocol = 'v1'";
    let text = format!("trusted_proxies = ['10.0.0.1', 'fd00::/8']\n{}", with_service_lines(lines));
    let spec = parse(&text, &no_env).expect("it is valid");
    let shown: Vec<_> = spec.trusted_proxies.0.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["10.0.0.1/32", "fd00::/8"]);
    let policy = &spec.services["web"].policy;
    assert!(policy.access.admits([10, 0, 0, 1].into()) && !policy.access.admits([10, 6, 6, 6].into()));
    let rule = policy.rate_limit.clone().expect("there is a rule");
    assert_eq!(
        (rule.by, rule.requests.get(), rule.per.as_secs(), rule.burst.get()),
        (LimitBy::Ip, 100, 1, 50)
    );
    assert_eq!(policy.connection.proxy_protocol, Some(ProxyProtocol::V1));
    let spec = parse(&with_service_lines("rate_limit = { requests = 7, by = 'header:X-Key' }"), &no_env);
    let rule = spec.expect("it is valid").services["web"].policy.rate_limit.clone().expect("there is a rule");
    assert_eq!((rule.burst.get(), rule.by), (7, LimitBy::Header(http::HeaderName::from_static("x-key"))));
}

#[test]
fn variables_reach_numbers_and_switches_too() {
    let text = "workers = '${WORKERS:-3}'\n[[listeners]]\naddress = '0.0.0.0:${PORT}'\n[admin]\naddress = 'unix:${PORT}'";
    let spec = parse(text, &env).expect("all variables are there");
    assert_eq!(spec.workers.map(std::num::NonZeroUsize::get), Some(3));
    assert_eq!(spec.listeners[0].address.port(), 8080);
    assert_eq!(spec.admin.address, AdminAddress::Unix("8080".into()));
}

#[test]
fn errors_say_what_and_where_and_what_to_do() {
    let cases: Vec<_> = include_str!("errors.txt").split("\n=== ").skip(1).collect();
    assert!(cases.len() > 50, "only {} cases were found", cases.len());
    for case in cases {
        let (kind, case) = case.split_once('\n').expect("a case says what it is");
        let (text, expected) = case.split_once("\n---\n").expect("a case has two parts");
        let text = if kind == "service" { with_service_lines(text) } else { text.to_owned() };
        assert_eq!(errors(&text), expected.trim_end(), "{text}");
    }
}

#[test]
fn the_same_route_in_two_services_names_both_places() {
    let text = "[[listeners]]\naddress = '[::]:0'\n[services.a]\nversions.v.endpoints = ['a:1']\n\
                routes = [{ host = 'x', path = '/p/', methods = ['GET', 'PUT'], headers = { A = '1' } }]\n\
                [[services.b.routes]]\nheaders = { a = '1' }\nmethods = ['PUT', 'GET']\npath = '/p'\nhost = 'X'\n\
                [services.b.versions.v]\nendpoints = ['a:1']";
    let expected = "line 6, column 1: services.b.routes[0]: the same route is at services.a.routes[0] (line 5) \
                    (a request can only go to one service: give one of the two another host, path, method or header)";
    assert_eq!(errors(text), expected);
}

#[test]
fn people_see_the_line_that_is_wrong() {
    let text = with_service_lines("rollout.steps = [1, 'ä', 5]");
    let errors = parse(&text, &no_env).expect_err("`ä` is no weight");
    let shown = errors.render("adit.toml", Style::Plain);
    let expected = "\
error: services.web.rollout.steps[1]: `ä` is not a percentage
 --> adit.toml:6:21
  |
6 | rollout.steps = [1, 'ä', 5]
  |                     ^^^";
    assert_eq!(shown, expected);
    assert!(errors.render("adit.toml", Style::Coloured).contains("\u{1b}["));
}

#[test]
fn people_see_what_to_do() {
    let errors = parse("worker = 2\n", &no_env).expect_err("`worker` is no key");
    let expected = "\
error: there is no listener, so no client can connect
--> adit.toml:1:1
 = help: add a `[[listeners]]` table with `address = \"0.0.0.0:8080\"`

error: unknown key `worker`
 --> adit.toml:1:1
  |
1 | worker = 2
  | ^^^^^^
  |
  = help: did you mean `workers`?";
    assert_eq!(errors.render("adit.toml", Style::Plain), expected);
}

#[test]
fn machines_see_every_error_with_its_place() {
    let errors = parse(&with_service_lines("release = 'v2'"), &no_env).expect_err("there is no v2");
    let expected = serde_json::json!({
        "valid": false,
        "errors": [{
            "file": "adit.toml",
            "line": 6,
            "column": 11,
            "path": "services.web.release",
            "message": "there is no version \"v2\"",
            "help": "versions are v1",
        }],
    });
    assert_eq!(errors.to_json("adit.toml"), expected);
}

#[test]
fn what_is_too_much_to_show_is_counted() {
    let text: String = (0..150).map(|n| format!("unknown_{n} = 1\n")).collect();
    let errors = parse(&text, &no_env).expect_err("none of them is a key");
    assert_eq!(errors.list().len(), 100);
    assert!(errors.to_string().ends_with("… and 51 more errors"), "{errors}");
}

#[test]
fn a_deep_nest_is_an_error_and_not_a_crash() {
    for text in [format!("a = {}", "[".repeat(100_000)), format!("a{} = 1", ".a".repeat(100_000))] {
        assert!(parse(&text, &no_env).is_err());
    }
}

proptest! {
    #[test]
    fn any_text_is_read_without_a_crash(text in any::<String>()) {
        if let Err(errors) = parse(&text, &env) {
            prop_assert!(!errors.render("x", Style::Plain).is_empty());
        }
    }

    #[test]
    fn a_damaged_config_is_read_without_a_crash_and_errors_lie_inside(
        at in 0..REFERENCE.len(),
        length in 0_usize..40,
        with in "[ -~é\n]{0,5}",
    ) {
        let mut text = whole_reference();
        let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let end = (at + length..=text.len()).find(|end| text.is_char_boundary(*end)).unwrap_or(text.len());
        text.replace_range(at..end, &with);
        if let Err(errors) = parse(&text, &env) {
            prop_assert!(!errors.list().is_empty());
            prop_assert!(errors.list().iter().all(|error| error.line <= text.lines().count() + 1));
            prop_assert!(!errors.render("x", Style::Plain).is_empty());
        }
    }
}
