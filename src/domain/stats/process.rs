//! Evidence that grows with the counts, with fresh starts (ANALYSIS section 6).

use super::LogSum;

/// An e-process over `N` bets: one process from the beginning (half of the stake) and *restarts* that began at 0
/// later, the j-th with `0.5/(j(j+1))` of the stake. A canary that breaks after hours of health is then judged by a
/// process that does not carry those hours. All that is kept is bounded.
#[derive(Clone, Debug)]
pub struct EProcess<const N: usize> {
    ln_stakes: [f64; N],
    /// What all evidence so far adds up to, per bet.
    sums: [f64; N],
    /// The first process and the newest restarts, in order.
    runs: Vec<Run<N>>,
    next: u32,
    /// Whether the newest process has seen evidence.
    fed: bool,
    log_e: f64,
}

#[derive(Clone, Debug)]
struct Run<const N: usize> {
    number: u32,
    ln_stake: f64,
    /// The sums when it began: its own evidence is what came since.
    base: [f64; N],
}

/// Restarts that are kept. Dropping the oldest replaces it by 0, which keeps the promise.
const RESTARTS: usize = 15;

impl<const N: usize> EProcess<N> {
    /// No evidence yet; `stakes` add up to 1.
    pub fn new(stakes: [f64; N]) -> Self {
        let mut process = Self {
            ln_stakes: stakes.map(f64::ln),
            sums: [0.0; N],
            runs: Vec::with_capacity(1 + RESTARTS),
            next: 0,
            fed: false,
            log_e: 0.0,
        };
        process.begin();
        process
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        self.sums = [0.0; N];
        self.runs.clear();
        self.next = 0;
        self.begin();
    }

    /// Adds evidence, per bet.
    pub fn feed(&mut self, evidence: [f64; N]) {
        self.feed_runs(evidence, u32::MAX);
    }

    /// Adds evidence that began to be gathered when [`Self::next_run`] was `run`: a process that began later must
    /// not have it, since part of it was known when it began.
    pub fn feed_runs(&mut self, evidence: [f64; N], run: u32) {
        if evidence == [0.0; N] {
            return;
        }
        for (sum, more) in self.sums.iter_mut().zip(&evidence) {
            *sum += more;
        }
        for late in self.runs.iter_mut().rev().take_while(|late| late.number >= run) {
            for (base, more) in late.base.iter_mut().zip(&evidence) {
                *base += more;
            }
        }
        self.fed = true;
        self.weigh();
    }

    /// The number of the next restart.
    pub fn next_run(&self) -> u32 {
        self.next
    }

    /// Starts one more process at 0. The newest one serves again if it has not seen anything yet.
    pub fn restart(&mut self) {
        if !self.fed {
            return;
        }
        if self.runs.len() > RESTARTS {
            self.runs.remove(1);
        }
        self.begin();
    }

    /// Takes back what speaks against the canary, and leaves what speaks for it. Lowering evidence is always valid.
    pub fn forgive(&mut self) {
        for run in &mut self.runs {
            for (base, sum) in run.base.iter_mut().zip(&self.sums) {
                *base = base.max(*sum);
            }
        }
        self.weigh();
    }

    /// ln of the e-value of all processes and bets together.
    pub fn log_e(&self) -> f64 {
        self.log_e
    }

    fn begin(&mut self) {
        self.runs.push(Run { number: self.next, ln_stake: stake(self.next).ln(), base: self.sums });
        self.next += 1;
        self.fed = false;
        self.weigh();
    }

    fn weigh(&mut self) {
        let mut total = LogSum::EMPTY;
        for run in &self.runs {
            for bet in 0..N {
                total.add(run.ln_stake + self.ln_stakes[bet] + self.sums[bet] - run.base[bet]);
            }
        }
        self.log_e = total.ln();
    }
}

/// The stake of run `number`: 0 is the first process. All of them add up to 1.
fn stake(number: u32) -> f64 {
    let j = f64::from(number);
    if number == 0 { 0.5 } else { 0.5 / (j * (j + 1.0)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn single() -> EProcess<1> {
        EProcess::new([1.0])
    }

    #[test]
    fn a_restart_without_evidence_since_the_last_costs_no_stake() {
        let mut process = single();
        process.feed([-1.0]);
        process.restart();
        let once = process.log_e();
        (0..100).for_each(|_| process.restart());
        assert_eq!((process.log_e(), process.next_run()), (once, 2));
    }

    #[test]
    fn only_the_first_process_and_the_newest_restarts_are_kept() {
        let mut process = single();
        for _ in 0..1000 {
            process.feed([-0.01]);
            process.restart();
        }
        let kept: Vec<u32> = process.runs.iter().map(|run| run.number).collect();
        assert_eq!(kept, [0].into_iter().chain(986..=1000).collect::<Vec<_>>());
    }

    #[test]
    fn evidence_gathered_before_a_restart_does_not_count_for_it() {
        let mut process = single();
        process.feed([-1.0]);
        let began = process.next_run();
        process.restart();
        process.feed_runs([3.0], began);
        let expected = (0.5 * 2f64.exp() + 0.25).ln();
        assert!((process.log_e() - expected).abs() < 1e-12, "{} not {expected}", process.log_e());
    }

    #[test]
    fn forgiving_never_raises_the_evidence_and_keeps_what_speaks_for_the_canary() {
        let mut process = EProcess::new([0.5, 0.5]);
        process.feed([40.0, -5.0]);
        process.forgive();
        let expected = (0.25 * (1.0 + (-5f64).exp())).ln();
        assert!((process.log_e() - expected).abs() < 1e-12, "{} not {expected}", process.log_e());
    }
}
