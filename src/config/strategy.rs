//! How users are moved: `strategy`, and the keys whose meaning depends on it.

use std::time::Duration;

use super::reader::Table;
use super::rollout::MONTH;
use super::value::Value;
use crate::domain::Weight;
use crate::domain::rollout::{Plan, Promotion, Step, Strategy};

const MOST_STEPS: usize = 100;
/// For blue-green: without a bake its one switch would be watched by nobody.
const BAKE: Duration = Duration::from_secs(600);

/// What a strategy makes of a plan.
pub(super) struct Moves {
    pub(super) strategy: Strategy,
    pub(super) steps: Vec<Step>,
    pub(super) promotion: Promotion,
    pub(super) bake: Duration,
}

/// Reads `strategy`, `steps`, `preview`, `promote` and `bake`.
pub(super) fn moves(table: &mut Table<'_>) -> Moves {
    let words = [Strategy::Canary, Strategy::BlueGreen, Strategy::AllAtOnce].map(|it| (it.as_str(), it));
    let strategy = table.value("strategy").and_then(|value| value.choice(&words, &[])).unwrap_or_default();
    let written = table.value("steps");
    let preview = table.duration("preview", Duration::ZERO..=MONTH, Duration::ZERO);
    let promotions = [("auto", Promotion::Auto), ("manual", Promotion::Manual)];
    let promotion = table.value("promote").and_then(|value| value.choice(&promotions, &[]));
    let promotion = promotion.unwrap_or_default();
    let (steps, bake) = match strategy {
        Strategy::Canary => {
            (written.and_then(|value| steps(&value)).unwrap_or(Plan::default().steps), Duration::ZERO)
        }
        Strategy::BlueGreen => {
            refuse_steps(written.as_ref(), strategy, "switches all users at once");
            (Plan::switch(preview), BAKE)
        }
        Strategy::AllAtOnce => {
            refuse_steps(written.as_ref(), strategy, "gives the new version everything at once");
            (Plan::at_once(), Duration::ZERO)
        }
    };
    if strategy != Strategy::BlueGreen {
        let help = format!("remove it, or write `strategy = \"{}\"`", Strategy::BlueGreen);
        let message = |key| {
            format!("`{key}` is about the preview of {}, which {strategy} has not", Strategy::BlueGreen)
        };
        if preview > Duration::ZERO {
            table.error_of("preview", message("preview"), Some(help.clone()));
        }
        if promotion != Promotion::Auto {
            table.error_of("promote", message("promote"), Some(help));
        }
    }
    Moves { strategy, steps, promotion, bake: table.duration("bake", Duration::ZERO..=MONTH, bake) }
}

fn refuse_steps(written: Option<&Value<'_>>, strategy: Strategy, does: &str) {
    if let Some(value) = written {
        let help = format!("remove `steps`, or write `strategy = \"{}\"`", Strategy::Canary);
        value.error(format!("{strategy} has no steps: it {does}"), Some(help));
    }
}

/// Weights that rise and end at 100 %.
fn steps(value: &Value<'_>) -> Option<Vec<Step>> {
    let mut before = Weight::ZERO;
    let steps = value.list(|item| {
        let step = step(&item)?;
        if step.weight <= before {
            let message = format!("weight {} is not above {}", step.weight, before);
            item.error(message, Some("weights rise from step to step".to_owned()));
        }
        before = step.weight;
        Some(step)
    })?;
    if steps.len() > MOST_STEPS {
        value.error(format!("{} steps are more than {MOST_STEPS}", steps.len()), None);
    }
    match steps.last() {
        Some(last) if last.weight == Weight::FULL => {}
        Some(last) => {
            let message = format!("the last step is {}, so the release would never be complete", last.weight);
            value.error(message, Some("end with a step of 100".to_owned()));
        }
        None => value.error("there is no step", Some("write `steps = [1, 5, 25, 50, 100]`".to_owned())),
    }
    Some(steps)
}

/// `5`, `"0.5%"` or `{ weight = 5, pause = "2m" }`; in a label `5` or `5:2m`.
fn step(item: &Value<'_>) -> Option<Step> {
    if let Some([weight, pause]) = item.halves(':') {
        let (weight, pause) = (weight.weight(), pause.duration(&(Duration::ZERO..=MONTH)));
        return Some(Step { weight: weight?, pause: pause? });
    }
    if !item.is_table() {
        return Some(Step { weight: item.weight()?, pause: Duration::ZERO });
    }
    item.table(|table| {
        let pause = table.duration("pause", Duration::ZERO..=MONTH, Duration::ZERO);
        let weight = table.required("weight", "write `{ weight = 5 }`")?.weight();
        Some(Step { weight: weight?, pause })
    })?
}
