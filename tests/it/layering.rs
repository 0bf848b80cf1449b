//! The shape of the source itself: which room may import which, how long a file may be, and that no example config is
//! without a test.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Lines before a file's tests.
const LONGEST: usize = 350;

/// What the pure core must not name.
const IMPURE: &[&str] = &[
    "tokio",
    "hyper",
    "hyper_util",
    "axum",
    "rusqlite",
    "fastrand",
    "std::fs",
    "std::process",
    "std::thread",
    "std::env",
    "std::time::Instant",
    "std::time::SystemTime",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "UnixListener",
    "Instant::now",
    "SystemTime::now",
];

type Table = BTreeMap<String, BTreeSet<String>>;

#[test]
fn imports_follow_the_table_in_lib_rs() {
    let table = table();
    let mut wrong = Vec::new();
    for (file, source) in production_sources() {
        let from = room_of_file(&file, &table);
        let allowed = table.get(&from).unwrap_or_else(|| panic!("{from} is missing in the table"));
        for path in crate_paths(&source) {
            let to = room_of_path(&path, &table);
            if to != from && !allowed.contains(&to) {
                wrong.push(format!("{}: {from} may not import {to} (crate::{path})", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "change the design, not the table:\n{}", wrong.join("\n"));
}

#[test]
fn the_table_in_lib_rs_allows_nothing_that_is_not_used() {
    let table = table();
    let mut used = Table::new();
    for (file, source) in production_sources() {
        let from = room_of_file(&file, &table);
        let rooms = crate_paths(&source).into_iter().map(|path| room_of_path(&path, &table));
        used.entry(from).or_default().extend(rooms);
    }
    let mut idle = Vec::new();
    for (from, allowed) in &table {
        let none = BTreeSet::new();
        let used = used.get(from).unwrap_or(&none);
        idle.extend(allowed.difference(used).map(|to| format!("{from} -> {to}")));
    }
    assert!(idle.is_empty(), "take these out of the table: {idle:?}");
}

#[test]
fn the_pure_core_names_nothing_impure() {
    let mut wrong = Vec::new();
    for (file, source) in production_sources() {
        if !file.starts_with("domain") {
            continue;
        }
        let named = IMPURE.iter().filter(|name| names(&source, name));
        wrong.extend(named.map(|name| format!("{}: {name}", file.display())));
    }
    assert!(wrong.is_empty(), "domain/ decides and is told; it asks nobody:\n{}", wrong.join("\n"));
}

#[test]
fn no_source_file_is_longer_than_a_reader_can_hold() {
    let long: Vec<String> = production_files()
        .into_iter()
        .map(|file| (lines_before_tests(&read(&file)), file))
        .filter(|(lines, _)| *lines > LONGEST)
        .map(|(lines, file)| format!("{}: {lines}", file.display()))
        .collect();
    assert!(long.is_empty(), "more than {LONGEST} lines before the tests, find the missing noun: {long:?}");
}

#[test]
fn every_example_config_is_loaded_by_a_test() {
    let tests: String = [root().join("src"), root().join("tests")]
        .iter()
        .flat_map(|dir| rust_files(dir))
        .map(|f| read(&f))
        .collect();
    for file in std::fs::read_dir(root().join("config")).expect("config/ can be read") {
        let name = file.expect("config/ can be read").file_name();
        let name = name.to_string_lossy();
        assert!(tests.contains(&format!("config/{name}")), "config/{name} is loaded by no test");
    }
}

#[test]
fn paths_are_found_in_nested_use_trees_and_inline() {
    let source = "use crate::domain::{Weight, stats::{Cells, self}};\n let x = crate::clock::Clock::real();";
    let found: BTreeSet<String> = crate_paths(source).into_iter().collect();
    let expected = ["clock::Clock::real", "domain::Weight", "domain::stats::Cells", "domain::stats::self"]
        .map(String::from);
    assert_eq!(found, BTreeSet::from(expected));
}

#[test]
fn comments_strings_and_tests_import_nothing() {
    let source =
        "//! crate::a\nlet b = \"crate::b\"; // crate::c\n#[cfg(test)]\nmod tests {\nuse crate::d::D; }";
    assert_eq!(crate_paths(&production(source)), Vec::<String>::new());
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Reads the fenced block that opens with "```text imports" in the docs of `lib.rs`: `room -> room room ...` per line.
fn table() -> Table {
    let source = read(&root().join("src/lib.rs"));
    let docs = source.lines().filter_map(|line| line.strip_prefix("//!")).map(str::trim);
    let rows = docs.skip_while(|line| *line != "```text imports").skip(1).take_while(|line| *line != "```");
    let table: Table = rows
        .map(|row| {
            row.split_once("->").unwrap_or_else(|| panic!("no arrow in the import table's row `{row}`"))
        })
        .map(|(from, to)| (from.trim().to_owned(), to.split_whitespace().map(str::to_owned).collect()))
        .collect();
    assert!(table.contains_key("domain"), "no import table in src/lib.rs");
    table
}

/// Every file of `src/` but `lib.rs`, relative to it, without comments, strings and tests.
fn production_sources() -> Vec<(PathBuf, String)> {
    let src = root().join("src");
    production_files()
        .into_iter()
        .filter(|file| !file.ends_with("lib.rs"))
        .map(|file| (file.strip_prefix(&src).expect("found below src").to_owned(), production(&read(&file))))
        .collect()
}

/// Every file of `src/` that is not itself (part of) a module of tests.
fn production_files() -> Vec<PathBuf> {
    let files = rust_files(&root().join("src"));
    assert!(files.len() > 20, "src/ was not found where it should be");
    let tests: Vec<PathBuf> = files.iter().flat_map(|file| test_modules(file)).collect();
    files.into_iter().filter(|file| !tests.iter().any(|module| file.starts_with(module))).collect()
}

/// The modules that a file declares for tests alone: each as the folder and as the file that it may be.
fn test_modules(file: &Path) -> Vec<PathBuf> {
    let source = read(file);
    let lines: Vec<&str> = source.lines().collect();
    let declared = lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]");
    let names = declared.filter_map(|pair| pair[1].split_once("mod ")?.1.strip_suffix(';'));
    let inside = match file.file_stem() {
        Some(stem) if stem != "mod" && stem != "lib" => file.with_extension(""),
        _ => file.parent().expect("a file is in a folder").to_owned(),
    };
    names.flat_map(|name| [inside.join(name), inside.join(format!("{name}.rs"))]).collect()
}

/// `domain/stats/cells.rs` is in the most specific room that the table knows: `domain::stats`.
fn room_of_file(file: &Path, table: &Table) -> String {
    let module = file.with_extension("");
    let parts: Vec<_> = module.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    room_of_path(&parts.join("::"), table)
}

fn room_of_path(path: &str, table: &Table) -> String {
    let rooms = table.keys().filter(|room| path == *room || path.starts_with(&format!("{room}::")));
    rooms
        .max_by_key(|room| room.len())
        .cloned()
        .unwrap_or_else(|| path.split("::").next().unwrap_or(path).to_owned())
}

/// All paths that begin with `crate::` (in the program's own file: `adit::`), without that.
fn crate_paths(source: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for root in ["crate::", "adit::"] {
        for (at, _) in source.match_indices(root) {
            let free = source[..at].chars().next_back().is_none_or(|c| !is_word(c) && c != ':' && c != '$');
            if free {
                use_tree(&source[at + root.len()..], "", &mut paths);
            }
        }
    }
    paths
}

/// Reads one use tree (`a::{b, c::d}`) and returns what follows it.
fn use_tree<'a>(text: &'a str, before: &str, paths: &mut Vec<String>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = rest.trim_start();
            if let Some(after) = rest.strip_prefix('}') {
                return after;
            }
            let after = use_tree(rest, before, paths).trim_start();
            rest = after.strip_prefix(',').unwrap_or(after);
            assert!(rest.len() < text.len() && !rest.is_empty(), "a use tree without an end: {text:.80}");
        }
    }
    let end = text.find(|c| !is_word(c) && c != '*').unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    let path = if before.is_empty() { word.to_owned() } else { format!("{before}::{word}") };
    match rest.strip_prefix("::") {
        Some(deeper) if deeper.starts_with(|c: char| is_word(c) || c == '{' || c == '*') => {
            use_tree(deeper, &path, paths)
        }
        _ => {
            paths.push(path);
            let renamed = rest.trim_start().strip_prefix("as ").map(str::trim_start);
            renamed.map_or(rest, |rest| rest.trim_start_matches(is_word))
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether the source names this path, not just a longer word.
fn names(source: &str, name: &str) -> bool {
    source.match_indices(name).any(|(at, _)| {
        let before = source[..at].chars().next_back();
        let after = source[at + name.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

/// Without tests, line comments and string literals.
fn production(source: &str) -> String {
    let count = lines_before_tests(source);
    let mut bare = String::new();
    for line in source.lines().take(count) {
        let mut quoted = false;
        let mut previous = ' ';
        for c in line.split("//").next().unwrap_or_default().chars() {
            if c == '"' && previous != '\\' && previous != '\'' {
                quoted = !quoted;
            } else if !quoted {
                bare.push(c);
            }
            previous = c;
        }
        bare.push('\n');
    }
    bare
}

/// Tests come last in a file, in a module of their own.
fn lines_before_tests(source: &str) -> usize {
    let lines: Vec<&str> = source.lines().collect();
    let is_tests =
        |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{');
    lines.windows(2).position(is_tests).unwrap_or(lines.len())
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display())) {
        let path = entry.expect("a directory can be read to its end").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
