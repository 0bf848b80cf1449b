//! What a person watching sees: a live table on a terminal, plain lines elsewhere.

use std::io::{self, IsTerminal as _, Write};
use std::time::Duration;

use super::error::DemoError;
use super::release::{Progress, Release};
use super::service::Character;
use super::summary::Summary;
use super::table::{facts, grouped, line, state, table};

/// Without a terminal, at most this much time between two lines while nothing changes.
const QUIET: Duration = Duration::from_secs(2);

/// Where the demo is shown.
pub(super) struct Screen {
    out: Box<dyn Write>,
    manner: Manner,
    colour: bool,
}

/// How the demo is shown.
enum Manner {
    /// Not at all.
    Silent,
    /// A table that is drawn over itself: this many lines at the moment.
    Live { lines: usize },
    /// A line for each change; what the last one said, and when.
    Lines { last: Option<(String, Duration)> },
}

impl Screen {
    /// On standard output: live on a terminal, lines elsewhere.
    pub(super) fn stdout() -> Self {
        let terminal = io::stdout().is_terminal();
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let manner = if terminal { Manner::Live { lines: 0 } } else { Manner::Lines { last: None } };
        Self { out: Box::new(io::stdout()), manner, colour }
    }

    /// Nowhere.
    pub(super) fn silent() -> Self {
        Self { out: Box::new(io::sink()), manner: Manner::Silent, colour: false }
    }

    /// Says what is about to happen.
    pub(super) fn opening(&mut self, url: &str, rate: u32) -> Result<(), DemoError> {
        self.say(&format!(
            "Service `web`, version v1, two endpoints, behind the proxy at {url}\n\
             Users send about {} requests a second over real connections.\n",
            grouped(u64::from(rate))
        ))
    }

    /// Announces a release.
    pub(super) fn release(&mut self, version: &str, character: Character) -> Result<(), DemoError> {
        match &mut self.manner {
            Manner::Silent => {}
            Manner::Live { lines } => *lines = 0,
            Manner::Lines { last } => *last = None,
        }
        let kind = if character.errors > 0.0 {
            let percent = |share: f64| share * 100.0;
            format!(
                "a bad one: {:.0} % of its answers are errors, {:.0} % never come",
                percent(character.errors),
                percent(character.hangs)
            )
        } else {
            "a good one".to_owned()
        };
        self.say(&format!("Releasing {version} ({kind}): `release = \"{version}\"` saved in the config file"))
    }

    /// Shows how a release goes.
    pub(super) fn progress(&mut self, progress: &Progress<'_>) -> Result<(), DemoError> {
        match &mut self.manner {
            Manner::Silent => Ok(()),
            Manner::Live { lines } => {
                let table = table(progress);
                let mut text = String::new();
                if *lines > 0 {
                    // Up to where the last one began, and clear from there.
                    text.push_str(&format!("\x1b[{lines}A\x1b[J"));
                }
                text.push_str(&table);
                *lines = table.lines().count();
                self.write(&text)
            }
            Manner::Lines { last } => {
                let state = state(progress);
                let due = last
                    .as_ref()
                    .is_none_or(|(said, when)| *said != state || progress.since_edit >= *when + QUIET);
                if !due {
                    return Ok(());
                }
                let line = line(progress, &state);
                *last = Some((state, progress.since_edit));
                self.say(&line)
            }
        }
    }

    /// Says how a release ended.
    pub(super) fn outcome(&mut self, release: &Release) -> Result<(), DemoError> {
        let colour = match release.outcome.as_str() {
            "promoted" => "32",
            _other => "31",
        };
        let headline = self.painted(colour, &format!("{} {}", release.version, release.outcome));
        let facts = facts(release);
        self.say(&format!("{headline}: {}\n{facts}", release.reason))
    }

    /// Says how it all went.
    pub(super) fn closing(&mut self, summary: &Summary) -> Result<(), DemoError> {
        let text = if summary.good {
            self.painted(
                "32",
                &format!(
                    "As it must be: the good version has all users, the bad one went back by itself{}.",
                    if summary.rollouts.iter().all(|release| release.user_failures == 0) {
                        ", and no user saw an error"
                    } else {
                        ""
                    }
                ),
            )
        } else {
            self.painted(
                "31",
                "Not as it must be: the good version is promoted, the bad one aborted. See above.",
            )
        };
        self.say(&text)
    }

    fn painted(&self, colour: &str, text: &str) -> String {
        if self.colour { format!("\x1b[1;{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn say(&mut self, line: &str) -> Result<(), DemoError> {
        self.write(&format!("{line}\n"))
    }

    fn write(&mut self, text: &str) -> Result<(), DemoError> {
        self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()).map_err(DemoError::Output)
    }
}
