//! What the README says is there, is there; what is there, the README says.

use std::collections::BTreeSet;

use crate::harness::{Adit, Client, Endpoint, directory, run_to_end, staying_at, until, web};

const README: &str = include_str!("../../README.md");

/// The words in backquotes that begin with `prefix`, in all table rows.
fn in_tables(prefix: &str) -> BTreeSet<String> {
    let rows = README.lines().filter(|line| line.starts_with('|'));
    let quoted = rows.flat_map(|row| row.split('`').skip(1).step_by(2));
    quoted.filter(|word| word.starts_with(prefix)).map(str::to_owned).collect()
}

#[test]
fn the_metrics_are_those_of_the_readme() {
    let (v1, v2) = (Endpoint::start("v1"), Endpoint::start("v2"));
    let tls = "[[listeners]]\naddress = \"127.0.0.1:0\"\ntls = \"self-signed\"\n";
    let adit = Adit::start(&format!("{}{}{tls}", web(&[("v1", &[&v1]), ("v2", &[&v2])]), staying_at(50.0)));
    adit.wait_until_all_ready();
    adit.release("v2");
    adit.wait_for_weight(50.0);
    let plain = adit.status().listeners[1].parse().expect("an address");
    let client = &mut Client::connect(plain).expect("the listener accepts");
    // Those are shown where there is a container engine.
    let of_docker = |name: &String| name.starts_with("adit_docker_") || name.starts_with("adit_container_");
    let told: BTreeSet<_> = in_tables("adit_").into_iter().filter(|name| !of_docker(name)).collect();
    until(
        "every metric is shown",
        || {
            client.get("/").expect("answer");
            let text = adit.api("GET", "/metrics", "").text();
            let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
            let shown: BTreeSet<_> =
                types.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
            (shown == told).then_some(())
        },
        || adit.api("GET", "/metrics", "").text(),
    );
}

#[test]
fn the_commands_are_those_of_the_readme() {
    let help = run_to_end(&["help"], directory().path()).expect_code(0).stdout;
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let verbs: BTreeSet<_> = listed
        .take_while(|line| line.starts_with("  "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|verb| *verb != "help")
        .map(str::to_owned)
        .collect();
    let told: BTreeSet<_> = in_tables("adit ")
        .iter()
        .filter_map(|command| command.split(' ').nth(1))
        .map(str::to_owned)
        .collect();
    assert_eq!(verbs, told);
}
