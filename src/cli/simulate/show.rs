//! The numbers as tables for people. Pure: numbers go in, text comes out.

use super::super::grid::{Align, Cell, Grid, Look, Tint, labelled};
use super::super::words;
use super::numbers::{Canary, Healthy, Numbers, Spread, Step};
use super::stuck;

/// Both tables, what follows from them, and what they rest on.
pub(super) fn render(numbers: &Numbers, look: Look) -> String {
    let name = Cell::new(&numbers.service, Tint::Strong).painted(look);
    let mut out = format!(
        "{name} · {} requests a second, stable fails {} ({}) · {} rollouts for each line, seed {}\n\n",
        number(numbers.requests_per_second),
        percent(numbers.stable_errors),
        Cell::plain(&numbers.source).text(),
        numbers.runs,
        numbers.seed
    );
    out.push_str(&format!("{}\n", summary(&numbers.healthy)));
    out.push_str(&steps(&numbers.healthy).render(look));
    for step in numbers.healthy.stages.iter().filter(|step| step.left < stuck::ENOUGH) {
        out.push_str(&labelled("stuck", Tint::Warning, &warning(step), look));
    }
    out.push_str("\nA canary that fails more or less of its requests\n");
    out.push_str(&canaries(&numbers.canaries).render(look));
    out.push('\n');
    for note in &numbers.notes {
        out.push_str(&labelled("note", Tint::Faint, note, look));
    }
    out
}

fn summary(healthy: &Healthy) -> String {
    let promoted = percent(healthy.promoted);
    match healthy.seconds {
        None => format!("A canary as good as stable is promoted in {promoted} of the rollouts"),
        Some(Spread { median, p95 }) => format!(
            "A canary as good as stable: promoted in {promoted} of the rollouts without an operator, after {} (95 of 100 \
             within {})",
            time(median),
            time(p95)
        ),
    }
}

fn steps(healthy: &Healthy) -> Grid {
    let mut grid = Grid::new(&[
        ("STEP", Align::Left),
        ("WEIGHT", Align::Right),
        ("TIME", Align::Right),
        ("P95", Align::Right),
        ("CANARY REQUESTS", Align::Right),
        ("P95", Align::Right),
        ("WAITS FOR", Align::Left),
    ]);
    for step in &healthy.stages {
        let name = if step.phase == "stepping" { step.step.to_string() } else { step.phase.to_owned() };
        let [median, p95] = both(step.seconds, time);
        let [requests, most] = both(step.canary_requests, number);
        grid.push([
            Cell::plain(name),
            Cell::plain(format!("{} %", step.weight)),
            Cell::plain(median),
            Cell::plain(p95),
            Cell::plain(requests),
            Cell::plain(most),
            Cell::new(step.waits_for, if step.left < stuck::ENOUGH { Tint::Warning } else { Tint::Plain }),
        ]);
    }
    grid
}

fn warning(step: &Step) -> String {
    let never = percent(1.0 - step.left);
    let so = format!("step {} is not left in time in {never} of the rollouts", step.step);
    match step.proposals.as_slice() {
        [] => format!("{so}; the next one is as if an operator had promoted there"),
        proposals => format!("{so}; it would be with {}", proposals.join(", or with ")),
    }
}

fn canaries(canaries: &[Canary]) -> Grid {
    let mut grid = Grid::new(&[
        ("ERRORS", Align::Right),
        ("ABORTED", Align::Right),
        ("AFTER", Align::Right),
        ("P95", Align::Right),
        ("FAILED REQUESTS", Align::Right),
        ("P95", Align::Right),
        ("WITH RESCUE", Align::Right),
        ("P95", Align::Right),
        ("ELSE", Align::Left),
    ]);
    for canary in canaries {
        let [after, late] = both(canary.seconds, time);
        let [failed, many] = both(canary.failed_requests, number);
        let [seen, most] = both(canary.failed_requests_with_rescue, number);
        grid.push([
            Cell::plain(percent(canary.errors)),
            Cell::plain(percent(canary.aborted)),
            Cell::plain(after),
            Cell::plain(late),
            Cell::plain(failed),
            Cell::plain(many),
            Cell::plain(seen),
            Cell::plain(most),
            Cell::plain(otherwise(canary)),
        ]);
    }
    grid
}

fn otherwise(canary: &Canary) -> String {
    let parts = [("promoted", canary.promoted), ("undecided", canary.undecided)];
    let parts = parts.into_iter().filter(|(_, share)| *share > 1e-9);
    parts.map(|(what, share)| format!("{what} {}", percent(share))).collect::<Vec<_>>().join(", ")
}

/// Median and p95; a dash where there is none.
fn both(spread: Option<Spread>, show: impl Fn(f64) -> String) -> [String; 2] {
    spread.map_or(["-".to_owned(), "-".to_owned()], |spread| [show(spread.median), show(spread.p95)])
}

/// A share as people write it, to a thousandth of a percent.
fn percent(share: f64) -> String {
    format!("{} %", (share * 1e5).round() / 1e3)
}

/// Whole from 100 on, else with two digits at the most.
fn number(value: f64) -> String {
    if value < 100.0 {
        return ((value * 100.0).round() / 100.0).to_string();
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative; saturates")]
    words::count(value.round() as u64)
}

/// Seconds as people say them: two units at the most.
fn time(seconds: f64) -> String {
    if seconds < 9.95 {
        return format!("{seconds:.1}s");
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative; saturates")]
    let whole = seconds.round() as u64;
    let units = [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)];
    let first = units.iter().position(|(_, length)| whole >= *length).unwrap_or(3);
    let (unit, length) = units[first];
    let rest = units.get(first + 1).map(|(unit, length)| (unit, whole % units[first].1 / length));
    match rest {
        Some((finer, count)) if count > 0 => format!("{}{unit}{count}{finer}", whole / length),
        Some(_) | None => format!("{}{unit}", whole / length),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::grid::Colour;
    use super::*;

    const PLAIN: Look = Look { width: None, colour: Colour::None, terminal: false };

    fn spread(median: f64, p95: f64) -> Option<Spread> {
        Some(Spread { median, p95 })
    }

    fn numbers() -> Numbers {
        let step = |step, phase, weight, left, seconds, waits_for| Step {
            step,
            phase,
            weight,
            left,
            seconds,
            canary_requests: spread(1080.0, 2300.0),
            waits_for,
            proposals: Vec::new(),
        };
        let mut stuck = step(1, "stepping", 1.0, 0.25, spread(3000.0, 3590.0), "evidence");
        stuck.proposals = vec!["a weight of 5 %".into(), "analysis.promote_margin.absolute = \"2%\"".into()];
        let bake = step(2, "baking", 100.0, 1.0, spread(600.0, 600.0), "bake");
        let canary = |errors, aborted, seconds| Canary {
            errors,
            aborted,
            promoted: 1.0 - aborted,
            undecided: 0.0,
            seconds,
            failed_requests: seconds.map(|_| Spread { median: 3.0, p95: 4.0 }),
            failed_requests_with_rescue: seconds.map(|_| Spread { median: 0.0, p95: 0.0 }),
        };
        Numbers {
            service: "web".into(),
            requests_per_second: 12.5,
            stable_errors: 0.001,
            source: "as given".into(),
            runs: 200,
            seed: 1,
            healthy: Healthy {
                promoted: 0.25,
                aborted: 0.0,
                seconds: spread(3601.0, 90_061.0),
                stages: vec![stuck, bake],
            },
            canaries: vec![canary(0.0, 0.0, None), canary(0.05, 0.995, spread(1.62, 66.0))],
            notes: vec!["so it is".into()],
        }
    }

    #[test]
    fn both_tables_and_what_follows_are_shown() {
        let expected = "\
web · 12.5 requests a second, stable fails 0.1 % (as given) · 200 rollouts for each line, seed 1

A canary as good as stable: promoted in 25 % of the rollouts without an operator, after 1h (95 of 100 within 1d1h)
  STEP    WEIGHT  TIME     P95  CANARY REQUESTS    P95  WAITS FOR
  1          1 %   50m  59m50s            1,080  2,300  evidence
  baking   100 %   10m     10m            1,080  2,300  bake
  stuck    step 1 is not left in time in 75 % of the rollouts; it would be with a weight of 5 %, or with analysis.promote_margin.absolute = \"2%\"

A canary that fails more or less of its requests
  ERRORS  ABORTED  AFTER   P95  FAILED REQUESTS  P95  WITH RESCUE  P95  ELSE
     0 %      0 %      -     -                -    -            -    -  promoted 100 %
     5 %   99.5 %   1.6s  1m6s                3    4            0    0  promoted 0.5 %

  note     so it is
";
        let shown = render(&numbers(), PLAIN);
        assert_eq!(shown, expected, "\n{shown}");
    }

    #[test]
    fn times_are_as_fine_as_a_person_wants_them() {
        for (seconds, expected) in [
            (0.0, "0.0s"),
            (1.62, "1.6s"),
            (9.96, "10s"),
            (59.4, "59s"),
            (61.0, "1m1s"),
            (3600.0, "1h"),
            (5400.0, "1h30m"),
            (90_061.0, "1d1h"),
        ] {
            assert_eq!(time(seconds), expected, "{seconds}");
        }
    }
}
