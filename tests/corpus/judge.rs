//! What must hold after every case, whatever it was about.

use std::fmt::Write as _;

use crate::case::{Blame, Case, Outcome, Protocol};
use crate::client::Peer;
use crate::front::{Front, Ours, Seen, matches};
use crate::recorder::{CLEAN, Connection, NEXT};
use crate::strict::{self, Request, Rest};
use crate::world::eventually;

/// Runs all of them on a proxy of ours each and reports everything that does not hold.
#[track_caller]
pub(crate) fn hold(cases: &[Case]) {
    let failures: Vec<String> = cases.iter().filter_map(failure).collect();
    let (failed, all) = (failures.len(), cases.len());
    assert!(failures.is_empty(), "{failed} of {all} cases do not hold:\n\n{}", failures.join("\n"));
}

fn failure(case: &Case) -> Option<String> {
    let (mut seen, mut faults) = witness(case);
    faults.append(&mut seen.faults);
    faults.extend(seen.replies.iter().flat_map(|reply| reply.unfit(case.upgrade())));
    let shown = |name: &&&str| seen.replies.iter().any(|reply| !reply.all(name).is_empty());
    faults.extend(case.hidden.iter().filter(shown).map(|name| format!("the client saw {name}")));
    faults.extend(at_endpoints(case, &seen));
    let whole = Whole::of(&seen);
    if !case.may.iter().any(|outcome| whole.is(outcome, &seen)) {
        faults.insert(0, "none of the outcomes that are expected".into());
    }
    if case.most.is_some_and(|most| whole.requests.len() + whole.begun.len() > most) {
        faults.push(format!("{} requests reached endpoints", whole.requests.len() + whole.begun.len()));
    }
    (!faults.is_empty()).then(|| report(case, &seen, &whole, &faults))
}

/// Runs a case on a proxy of ours: what was seen, and what was not as it should be afterwards.
pub(crate) fn witness(case: &Case) -> (Seen, Vec<String>) {
    let mut front = Front::ours(case);
    let mut seen = front.converse(case);
    let faults = afterwards(&front, case);
    // Its connections to the endpoints close with it: then all has come.
    front.ours.take();
    eventually("the endpoints' connections closed", || front.public.is_quiet() && front.admin.is_quiet());
    (seen.public, seen.admin) = (front.public.connections(), front.admin.connections());
    (seen, faults)
}

/// What the endpoints saw but for the harness's own requests.
pub(crate) struct Whole {
    pub(crate) requests: Vec<String>,
    /// Requests that broke off, and what can't be read.
    pub(crate) begun: Vec<String>,
    pub(crate) broken: Vec<String>,
}

impl Whole {
    pub(crate) fn of(seen: &Seen) -> Self {
        let mut whole = Self { requests: Vec::new(), begun: Vec::new(), broken: Vec::new() };
        for (service, connections) in [("", &seen.public), ("admin: ", &seen.admin)] {
            for connection in connections {
                let read = strict::read(&connection.bytes);
                let requests = read.requests.iter().filter(|it| !is_own(it));
                whole.requests.extend(requests.map(|it| format!("{service}{}", it.summary())));
                match read.rest {
                    Rest::Nothing => {}
                    Rest::Begun(bytes) => whole.begun.push(bytes),
                    Rest::Broken(why) => whole.broken.push(why),
                }
            }
        }
        whole
    }

    fn is(&self, outcome: &Outcome, seen: &Seen) -> bool {
        let expected: Vec<&str> = outcome.endpoint.iter().copied().filter(|it| *it != "...").collect();
        let may_begin = outcome.endpoint.contains(&"...");
        matches(outcome.client, &seen.client)
            && (expected == ["*"] || self.requests == expected)
            && self.broken.is_empty()
            && (may_begin || self.begun.is_empty())
    }
}

fn is_own(request: &Request) -> bool {
    request.target == CLEAN || request.target == NEXT
}

/// The clean request, the counters, and that nothing is left.
fn afterwards(front: &Front, case: &Case) -> Vec<String> {
    let mut faults = Vec::new();
    let Some(ours) = &front.ours else { return faults };
    eventually(case.name, || ours.in_flight() == (0, 0) && ours.connections() == 0);
    let before = ours.blamed();
    faults.extend(clean(front));
    if ours.panics() != 0 {
        faults.push(format!("{} panics", ours.panics()));
    }
    match (case.blame, before) {
        (Blame::Nobody, (0, 0, 0)) => {}
        (Blame::Open, _) | (Blame::Version, (0, 1, 1)) => {}
        (Blame::Version, blamed) => faults.push(format!("not against the version alone: {blamed:?}")),
        (Blame::Nobody, blamed) => {
            faults.push(format!("counted against endpoint, version, canary: {blamed:?}"))
        }
        (Blame::Endpoint, (failures, errors, judged)) => {
            if failures == 0 || errors == 0 || judged != 1 {
                faults.push(format!(
                    "not all of it counted: endpoint {failures}, version {errors}, canary {judged}"
                ));
            }
        }
    }
    faults.extend(left(ours));
    faults
}

fn clean(front: &Front) -> Option<String> {
    let mut peer = Peer::connect(&front.at, front.patience);
    peer.send(format!("GET {CLEAN} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
    let reply = peer.reply(false);
    let served = reply.as_ref().is_some_and(|it| it.status == 200 && it.body == CLEAN.as_bytes());
    (!served).then(|| format!("a clean request afterwards is answered with {reply:?}"))
}

fn left(ours: &Ours) -> Option<String> {
    eventually("the clean request has ended", || ours.connections() == 0);
    (ours.in_flight() != (0, 0)).then(|| format!("in flight: {:?}", ours.in_flight()))
}

/// Whatever the case is about, no endpoint may see such a thing.
fn at_endpoints(case: &Case, seen: &Seen) -> Vec<String> {
    let mut faults = Vec::new();
    let read = |connection: &Connection| strict::read(&connection.bytes);
    for connection in seen.public.iter().chain(&seen.admin) {
        let read = read(connection);
        if let Rest::Broken(why) = &read.rest {
            faults.push(format!("an endpoint can't read what it got: {why}"));
        }
        for request in &read.requests {
            faults.extend(request.faults(case.upgrade()));
        }
        let own = read.requests.iter().any(is_own);
        if case.afresh && own && read.requests.iter().any(|it| !is_own(it)) {
            faults.push("the connection to the endpoint was used again".into());
        }
    }
    let public = seen.public.iter().flat_map(|connection| read(connection).requests);
    for request in public.filter(|it| is_admin(&it.target)) {
        faults.push(format!("{} slipped past the route of /admin", request.target));
    }
    let mut all = seen.public.iter().chain(&seen.admin).flat_map(|connection| read(connection).requests);
    if let Some(first) = all.find(|it| !is_own(it)) {
        let lines: Vec<String> =
            first.fields.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let missing =
            case.with.iter().filter(|wanted| !lines.iter().any(|line| line.eq_ignore_ascii_case(wanted)));
        faults.extend(missing.map(|line| format!("the endpoint did not see {line:?}: {lines:?}")));
        let there = case.without.iter().filter(|name| !first.all(name).is_empty());
        faults.extend(there.map(|name| format!("the endpoint saw {name}: {lines:?}")));
    }
    faults
}

/// Whether a server that decodes and resolves, like most, reads this as `/admin` or something below.
fn is_admin(target: &str) -> bool {
    let path = target.split('?').next().unwrap_or_default();
    let mut decoded = String::new();
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        decoded.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        // An escaped slash divides nothing.
        decoded.push(code.filter(|code| *code != b'/').map_or('%', char::from));
        rest = rest.get(at + 3..).unwrap_or_default();
    }
    decoded.push_str(rest);
    let mut segments = Vec::new();
    for segment in decoded.split('/').filter(|it| !it.is_empty() && *it != ".") {
        match segment {
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    segments.first() == Some(&"admin")
}

fn report(case: &Case, seen: &Seen, whole: &Whole, faults: &[String]) -> String {
    let mut text = format!("== {}\n", case.name);
    for fault in faults {
        let _ = writeln!(text, "   !! {fault}");
    }
    let sent = case.bytes();
    let shown = if case.protocol == Protocol::Http2 { 600 } else { 300 };
    let _ = writeln!(
        text,
        "   sent:      {}{}",
        sent[..sent.len().min(shown)].escape_ascii(),
        if sent.len() > shown { "…" } else { "" }
    );
    let _ = writeln!(text, "   client:    {}", seen.client.join(", "));
    for reply in &seen.replies {
        let body = String::from_utf8_lossy(&reply.body[..reply.body.len().min(120)]).into_owned();
        let _ = writeln!(text, "              {} {:?} {body:?}", reply.status, reply.fields);
    }
    let _ = writeln!(
        text,
        "   endpoint:  {:?} begun: {:?} broken: {:?}",
        whole.requests, whole.begun, whole.broken
    );
    for outcome in &case.may {
        let _ = writeln!(text, "   expected:  {} and {:?}", outcome.client, outcome.endpoint);
    }
    text
}

#[test]
fn a_case_that_does_not_hold_is_noticed() {
    let case = || crate::case::case("RFC 9110: any", "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(failure(&case().passed(&["GET /x"])), None);
    for wrong in [
        case().refused(),
        case().may("200, closed", &["GET /x"]),
        case().passed(&["GET /y"]),
        case().passed(&[]),
        case().passed(&["GET /x"]).with("x-a: 1"),
        case().passed(&["GET /x"]).without(&["host"]),
        case().passed(&["GET /x"]).hides(&["content-length"]),
        case().passed(&["GET /x"]).afresh(),
        case().passed(&["GET /x"]).blamed(),
        case().passed(&["GET /x"]).at_most(0),
        case()
            .passed(&["GET /x"])
            .answering("HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n", crate::case::Then::Keep),
    ] {
        assert!(failure(&wrong).is_some());
    }
}
