//! The corpus of hostile input: bytes in, what the client may see, what the endpoints may see. After every case the same
//! must hold: the endpoints saw nothing that can be read in two ways, nobody was blamed for a client's fault, nothing
//! panicked, nothing is left in flight, and a clean request is served.
//!
//! `ADIT_CORPUS_TABLE=1 cargo test --test corpus -- second_opinion` asks nginx and HAProxy the same and writes
//! `AGREEMENT.md`.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod case;
mod cases;
mod client;
mod front;
mod h2;
mod judge;
mod recorder;
mod second;
mod strict;

#[allow(dead_code, reason = "shared with tests/proxy, which uses more of it")]
#[path = "../proxy/endpoint.rs"]
mod endpoint;
#[allow(dead_code, reason = "shared with tests/proxy, which uses more of it")]
#[path = "../proxy/wire.rs"]
mod wire;
#[allow(dead_code, reason = "shared with tests/proxy, which uses more of it")]
#[path = "../proxy/world.rs"]
mod world;

#[test]
fn the_names_of_cases_say_what_they_stand_on() {
    let mut seen = std::collections::BTreeSet::new();
    let cases = cases::all();
    let known = ["RFC ", "CVE-", "VU#"];
    for case in cases.iter().flat_map(|(_, cases)| cases) {
        let name = case.name;
        assert!(known.iter().any(|source| name.starts_with(source)), "{name}");
        assert!(name.contains(": ") && !name.contains('|'), "{name}");
        assert!(seen.insert(name), "twice: {name}");
        assert!(!case.may.is_empty(), "{name} expects nothing");
    }
    assert!(seen.len() >= 260, "{} cases", seen.len());
    for (group, cases) in &cases {
        println!("{group}: {} cases", cases.len());
    }
}
