//! `[services.*.rollout]`: how a new version is released.

use std::time::Duration;

use super::file::{DAY, MILLISECOND};
use super::latency::latency;
use super::reader::Table;
use super::strategy::{Moves, moves};
use super::value::Value;
use super::{checks, hooks};
use crate::domain::rollout::{Advance, Analysis, OnFailure, OnMaxTime, Plan, PromoteMargin, ToleratedRise};

pub(super) const MONTH: Duration = Duration::from_secs(30 * 86_400);
const MOST_REQUESTS: u64 = 1_000_000_000;
/// More than this many times stable's error rate is no margin any more.
const MOST_RELATIVE: f64 = 100.0;

/// The plan of a service's rollouts.
pub(super) fn plan(table: &mut Table<'_>) -> Plan {
    table.unserved(&["salt"]);
    let default = Plan::default();
    let on_failure = table
        .value("on_failure")
        .and_then(|value| value.choice(&[("abort", OnFailure::Abort), ("freeze", OnFailure::Freeze)], &[]));
    let Moves { strategy, steps, promotion, bake } = moves(table);
    Plan {
        strategy,
        steps,
        promotion,
        advance: table.table("advance", advance),
        ready_timeout: table.duration("ready_timeout", MILLISECOND..=DAY, default.ready_timeout),
        on_failure: on_failure.unwrap_or_default(),
        bake,
        analysis: table.table("analysis", analysis),
        hooks: hooks::read(table),
        checks: checks::read(table),
    }
}

fn advance(table: &mut Table<'_>) -> Advance {
    let words = [
        ("pause", OnMaxTime::Pause),
        ("abort", OnMaxTime::Abort),
        ("advance-if-no-harm", OnMaxTime::AdvanceIfNoHarm),
    ];
    let default = Advance::default();
    let on_max_time = table.value("on_max_time").and_then(|value| value.choice(&words, &[]));
    let advance = Advance {
        min_requests: table.integer("min_requests", 0..=MOST_REQUESTS, default.min_requests),
        min_time: table.duration("min_time", Duration::ZERO..=MONTH, default.min_time),
        max_time: table.duration("max_time", MILLISECOND..=MONTH, default.max_time),
        on_max_time: on_max_time.unwrap_or(default.on_max_time),
    };
    if table.sound() && advance.max_time < advance.min_time {
        let help = "a step would be given up before it may be left";
        table.error_of("max_time", "`max_time` is shorter than `min_time`", Some(help.to_owned()));
    }
    advance
}

fn analysis(table: &mut Table<'_>) -> Analysis {
    let default = Analysis::default();
    let max_error_rate = table.value("max_error_rate").and_then(|value| {
        let share = value.share()?;
        within(&value, share, share > 0.0 && share < 1.0, "above 0% and below 100%")
    });
    Analysis {
        alpha: chance(table, default.alpha),
        tolerated_rise: table.table("tolerated_rise", |table| {
            let ToleratedRise { relative, absolute } = Analysis::default().tolerated_rise;
            let given = table.value("absolute").and_then(|value| value.share());
            ToleratedRise { relative: factor(table, relative), absolute: given.unwrap_or(absolute) }
        }),
        promote_margin: table.table("promote_margin", promote_margin),
        max_error_rate,
        dry_run: table.boolean("dry_run", default.dry_run),
        latency: Some(table.table("latency", latency)),
    }
}

fn promote_margin(table: &mut Table<'_>) -> PromoteMargin {
    let default = Analysis::default().promote_margin;
    let absolute = table.value("absolute").and_then(|value| {
        let share = value.share()?;
        within(&value, share, share > 0.0, "above 0%")
    });
    PromoteMargin {
        relative: factor(table, default.relative),
        absolute: absolute.unwrap_or(default.absolute),
        alpha: chance(table, default.alpha),
    }
}

/// How many times stable's error rate.
fn factor(table: &mut Table<'_>, default: f64) -> f64 {
    let given = table.value("relative").and_then(|value| {
        let number = value.number()?;
        within(&value, number, (1.0..=MOST_RELATIVE).contains(&number), "from 1 to 100: 1.1 is a tenth more")
    });
    given.unwrap_or(default)
}

/// The chance of a wrong decision.
fn chance(table: &mut Table<'_>, default: f64) -> f64 {
    let given = table.value("alpha").and_then(|value| {
        let number = value.number()?;
        within(
            &value,
            number,
            number > 0.0 && number < 0.5,
            "above 0 and below 0.5: 0.01 is one in a hundred",
        )
    });
    given.unwrap_or(default)
}

fn within<T>(value: &Value<'_>, meaning: T, fits: bool, bounds: &str) -> Option<T> {
    if fits {
        return Some(meaning);
    }
    value.error(format!("must be {bounds}"), None);
    None
}
