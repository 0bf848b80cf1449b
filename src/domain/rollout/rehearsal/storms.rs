//! A thousand rollouts in bad weather: faults, incidents, operators, crashes and a store that fails, at random. After every
//! event all that DESIGN section 8 promises of rollouts must hold. A case that fails prints its seed.

mod world;

use std::time::Duration;

use super::dice::Dice;
use super::{Fate, Rehearsal, Rescue, Traffic};
use crate::domain::Weight;
use crate::domain::rollout::{
    Advance, Hook, HookPoint, OnFailure, OnMaxTime, Otherwise, Plan, Promotion, Reason, SplitMode, Step,
    Strategy,
};
use world::World;

const ROLLOUTS: u64 = 1000;
const EVENTS: usize = 150;

/// A whole number below `below`.
fn pick(dice: &mut Dice, below: u32) -> u32 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below `below`")]
    let picked = (dice.unit() * f64::from(below)) as u32;
    picked
}

fn seconds(dice: &mut Dice, most: u32) -> Duration {
    Duration::from_secs(u64::from(pick(dice, most)))
}

fn plan(dice: &mut Dice) -> Plan {
    let mut steps = Vec::new();
    let mut percent = 0.0;
    while percent < 60.0 && steps.len() < 4 {
        percent += 0.5 + dice.unit() * 39.0;
        let weight = Weight::from_percent(percent).expect("below 100");
        let pause = if pick(dice, 3) == 0 { seconds(dice, 300) } else { Duration::ZERO };
        steps.push(Step { weight, pause });
    }
    steps.push(Step { weight: Weight::FULL, pause: Duration::ZERO });
    let mut plan = Plan {
        steps,
        advance: Advance {
            min_requests: u64::from(pick(dice, 200)),
            min_time: seconds(dice, 60),
            max_time: Duration::from_secs(60) + seconds(dice, 3600),
            on_max_time: [OnMaxTime::Pause, OnMaxTime::Abort, OnMaxTime::AdvanceIfNoHarm]
                [usize::try_from(pick(dice, 3)).expect("0 to 2")],
        },
        ready_timeout: Duration::from_secs(10) + seconds(dice, 600),
        on_failure: if pick(dice, 4) == 0 { OnFailure::Freeze } else { OnFailure::Abort },
        bake: if pick(dice, 2) == 0 { seconds(dice, 600) } else { Duration::ZERO },
        ..Plan::default()
    };
    plan.analysis.max_error_rate = (pick(dice, 3) == 0).then_some(0.05);
    plan
}

/// The same, by any strategy, some with hooks, some as a dry run.
fn any_plan(dice: &mut Dice) -> Plan {
    let mut plan = plan(dice);
    match pick(dice, 8) {
        0 | 1 => {
            plan.strategy = Strategy::BlueGreen;
            plan.steps = Plan::switch(seconds(dice, 300));
            plan.promotion = if pick(dice, 3) == 0 { Promotion::Manual } else { Promotion::Auto };
        }
        2 => (plan.strategy, plan.steps) = (Strategy::AllAtOnce, Plan::at_once()),
        _ => {}
    }
    let points = [HookPoint::Start, HookPoint::Step, HookPoint::Promote];
    for at in points.into_iter().filter(|_| pick(dice, 5) == 0) {
        let (url, timeout) = (String::from("http://ci.example/"), Duration::from_secs(10));
        plan.hooks.push(Hook {
            at,
            url,
            timeout,
            attempts: 3,
            otherwise: Otherwise::Pause,
            token_file: None,
        });
    }
    plan.analysis.dry_run = pick(dice, 10) == 0;
    plan
}

#[test]
fn in_a_thousand_random_rollouts_every_invariant_holds() {
    let (mut ended, mut crashes, mut raised) = (0, 0, 0);
    for seed in 0..ROLLOUTS {
        let dice = &mut Dice::new(seed);
        let plan = any_plan(dice);
        let mut world = World::new(plan, dice.clone(), seed);
        for _ in 0..EVENTS {
            world.something_happens();
        }
        ended += world.ended;
        crashes += world.crashes;
        raised += world.raised;
    }
    // Else the weather was so bad, or so good, that nothing was tested.
    assert!(
        ended > 1000 && crashes > 1000 && raised > 1000,
        "{ended} ended, {crashes} crashes, {raised} rises"
    );
}

#[test]
fn of_identical_versions_at_most_one_in_a_hundred_is_aborted_however_long_it_takes() {
    let mut aborted = Vec::new();
    let runs = 600;
    for seed in 0..runs {
        let dice = &mut Dice::new(1_000_000 + seed);
        let per_second = 10_f64.powf(3.0 * dice.unit());
        let calm = 0.05 * dice.unit() * dice.unit();
        let mut plan = plan(dice);
        plan.on_failure = OnFailure::Abort;
        plan.advance = Advance { max_time: Duration::from_secs(90_000), ..plan.advance };
        // Some are through in minutes, some are looked at all day long.
        plan.steps[0].pause = Duration::from_secs_f64(86_400.0 * dice.unit().powi(3));
        let mut rehearsal = Rehearsal::new(&plan, SplitMode::Independent, seed);
        let rescue = Rescue { share: 0.0, reserve: 0.0 };
        let equal = |errors| Traffic { per_second, stable: errors, canary: errors, rescue };
        for _ in 0..4 {
            rehearsal.run(equal(calm), Duration::from_secs(6 * 3600 - 300));
            // Something that both depend on breaks.
            rehearsal.run(equal(0.3), Duration::from_secs(300));
        }
        if rehearsal.fate() == Fate::Aborted(Reason::VerdictFailed) {
            aborted.push(seed);
        }
    }
    assert!(aborted.len() <= 6, "{} of {runs}: seeds {aborted:?}", aborted.len());
}
