//! The parts of other makers that other tests stand on.

use crate::harness::{is_missing, python};

#[test]
fn clients_and_servers_of_other_makers_are_there() {
    if is_missing("python") {
        return;
    }
    let output = python("tests/python/there.py").output().expect("Python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
