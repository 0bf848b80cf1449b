//! The committed inputs of the fuzz targets (`tests/fuzz`), once each through the same checks, without a fuzzer.

use std::path::Path;

#[path = "../fuzz/checks/config.rs"]
mod config;
#[path = "../fuzz/checks/cookie.rs"]
mod cookie;
#[path = "../fuzz/checks/forwarded.rs"]
mod forwarded;
#[path = "../fuzz/checks/headers.rs"]
mod headers;
#[path = "../fuzz/checks/http1.rs"]
mod http1;
#[path = "../fuzz/checks/proxy_protocol.rs"]
mod proxy_protocol;
#[path = "../fuzz/checks/request.rs"]
mod request;
#[path = "../fuzz/checks/trace.rs"]
mod trace;

/// Panics when something does not hold.
type Check = fn(&[u8]);

/// The targets, by the names of their folders.
const TARGETS: [(&str, Check); 8] = [
    ("config", config::check),
    ("cookie", cookie::check),
    ("forwarded", forwarded::check),
    ("headers", headers::check),
    ("http1", http1::check),
    ("proxy_protocol", proxy_protocol::check),
    ("request", request::check),
    ("trace", trace::check),
];

fn folder(name: &str) -> Vec<std::path::PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz").join(name);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

#[test]
fn every_input_of_the_corpus_holds() {
    for (target, check) in TARGETS {
        let inputs = folder(&format!("corpus/{target}"));
        assert!(inputs.len() >= 5, "{target} has only {} inputs", inputs.len());
        for path in inputs {
            let data = std::fs::read(&path).expect("an input");
            let held = std::panic::catch_unwind(|| check(&data));
            assert!(held.is_ok(), "{}: see the panic above", path.display());
        }
    }
}

#[test]
fn every_fuzz_target_is_replayed_here() {
    let name = |path: std::path::PathBuf| {
        path.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned()
    };
    let mut targets: Vec<_> = folder("fuzz_targets").into_iter().map(name).collect();
    let mut corpora: Vec<_> = folder("corpus").into_iter().map(name).collect();
    targets.sort();
    corpora.sort();
    assert_eq!(targets, TARGETS.map(|(name, _)| name));
    assert_eq!(targets, corpora, "each has a corpus");
}
