//! What goes wrong at the start or in the machine: each says what, where and what to do.

use std::path::Path;
use std::process::Command;

use crate::harness::{Adit, Endpoint, Load, directory, refused, run_to_end, staying_at, web};

const GOOD: &str = "[[listeners]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"unix:admin.sock\"\n\
                    [services.web]\nrelease = \"v1\"\n[services.web.versions.v1]\nendpoints = [\"127.0.0.1:9001\"]\n";

#[test]
fn a_config_that_is_not_toml_is_shown_with_its_place() {
    refused("[services.web\n").expect_code(3).expect_words(&["adit.toml", "1"]);
}

#[test]
fn an_unknown_key_is_named_with_its_place_and_what_was_probably_meant() {
    let config = GOOD.replace("release = ", "relase = ");
    refused(&config).expect_code(3).expect_words(&["adit.toml", "line 6, column 1", "relase", "release"]);
}

#[test]
fn all_mistakes_are_shown_at_once() {
    let config = GOOD.replace("release = ", "relase = ").replace("127.0.0.1:9001", "nowhere");
    refused(&config).expect_code(3).expect_words(&["relase", "nowhere"]);
}

#[test]
fn check_finds_what_run_would_refuse() {
    let dir = directory();
    std::fs::write(dir.path().join("bad.toml"), GOOD.replace("release", "relase")).expect("written");
    run_to_end(&["check", "-c", "bad.toml"], dir.path()).expect_code(3);
    std::fs::write(dir.path().join("good.toml"), GOOD).expect("written");
    run_to_end(&["check", "-c", "good.toml"], dir.path()).expect_code(0);
}

#[test]
fn every_example_config_passes_the_check() {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let dir = directory();
    for name in ["config/adit.toml", "config/canary.toml", "config/blue-green.toml", "config/reference.toml"]
    {
        let file = configs.with_file_name(name);
        run_to_end(&["check", "-c", &file.to_string_lossy()], dir.path()).expect_code(0);
    }
}

#[test]
fn a_missing_config_is_named() {
    let dir = directory();
    run_to_end(&["run", "-c", "nowhere.toml"], dir.path()).expect_code(3).expect_words(&["nowhere.toml"]);
}

#[test]
fn a_port_in_use_is_named() {
    let taken = Endpoint::start("v1");
    let address = taken.address().to_string();
    let config = GOOD.replacen("127.0.0.1:0", &address, 1);
    refused(&config).expect_code(1).expect_words(&[&address, "in use", "choose another"]);
}

#[test]
fn a_verb_that_does_not_exist_is_a_usage_error() {
    run_to_end(&["frobnicate"], directory().path()).expect_code(2);
}

#[test]
fn a_service_whose_endpoints_are_all_down_answers_503_and_says_why() {
    let mut endpoint = Endpoint::start("v1");
    endpoint.stop();
    let adit = Adit::start(&web(&[("v1", &[&endpoint])]));
    let at = endpoint.address().to_string();
    adit.wait_for_web("a check has failed", |web| {
        web.versions[0].endpoints.iter().any(|endpoint| endpoint.last_check.is_some())
    });
    let response = adit.client().get("/").expect("answer");
    let proxy_status = response.head.field("proxy-status").unwrap_or_default();
    assert_eq!(response.status, 503, "{}", response.text());
    assert!(proxy_status.contains("destination_unavailable"), "{proxy_status}");
    let shown = adit.cli(&["status"]).expect_code(0).stdout;
    assert!(shown.contains(&at) && shown.contains("refused"), "{shown}");
}

#[test]
fn a_full_disk_under_the_state_stops_no_traffic_and_no_abort_and_is_shown() {
    let Some(disk) = SmallDisk::mount() else { return };
    let (v1, v2) = (Endpoint::start("v1"), Endpoint::start("v2"));
    let config = format!("{}{}", web(&[("v1", &[&v1]), ("v2", &[&v2])]), staying_at(50.0));
    let adit = Adit::start_with_state(&config, disk.path());
    adit.wait_until_all_ready();
    adit.release("v2");
    adit.wait_for_weight(50.0);
    disk.fill();
    // What lowers the canary acts first: it must work even now, and say that it could not be saved.
    let told = adit.api("POST", "/v1/services/web/abort", "{\"why\":\"disk full\"}");
    v2.wait_for("the canary's last requests to end", |v2| v2.in_flight() == 0);
    let before = v2.requests();
    Load::on(adit.address()).requests(500).run().assert_all_good();
    assert_eq!(v2.requests(), before, "{}", told.text());
    let status = adit.wait_for("the problem is shown", |status| !status.problems.is_empty());
    let disk = disk.path().to_string_lossy().into_owned();
    assert!(status.problems.iter().any(|problem| problem.contains(&disk)), "{status:?}");
}

#[test]
fn a_deploy_that_can_not_be_saved_is_not_done() {
    let Some(disk) = SmallDisk::mount() else { return };
    let (v1, v2) = (Endpoint::start("v1"), Endpoint::start("v2"));
    let config = format!("{}{}", web(&[("v1", &[&v1])]), staying_at(50.0));
    let adit = Adit::start_with_state(&config, disk.path());
    adit.wait_until_all_ready();
    disk.fill();
    let body = format!("{{\"version\":\"v2\",\"endpoints\":[\"{}\"]}}", v2.address());
    let told = adit.api("POST", "/v1/services/web/deploy", &body);
    assert_eq!(told.status, 500, "{}", told.text());
    assert!(told.text().contains("not_saved") && told.text().contains("not deployed"), "{}", told.text());
    let web = adit.web();
    assert_eq!((web.deploy, web.rollout, web.versions.len()), (None, None, 1));
    Load::on(adit.address()).requests(100).run().assert_all_good();
}

/// A file system of one MiB. Unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None`, and a loud word, where mounting is not allowed.
    fn mount() -> Option<Self> {
        let dir = directory();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "adit-test"])
            .arg(dir.path())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(dir));
        }
        eprintln!("SKIPPED: a full disk needs a small file system, and only root may mount one");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn fill(&self) {
        use std::io::Write as _;
        let mut file = std::fs::File::create(self.path().join("filler")).expect("an empty file fits");
        while file.write_all(&[0; 4096]).is_ok() {}
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the program that uses it may still be going away.
        drop(Command::new("umount").arg("-l").arg(self.path()).status());
    }
}
