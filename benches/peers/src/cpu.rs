//! What a contender used, from the kernel's own accounting: CPU time by the scheduler (nanoseconds, per thread), its
//! division into user and system time, memory.

use std::collections::HashMap;
use std::fs;
use std::time::Instant;

/// A process and its descendants at one moment.
pub struct Sample {
    at: Instant,
    /// By thread: nanoseconds on a core.
    threads: HashMap<u32, u64>,
    /// In ticks.
    user: u64,
    system: u64,
}

/// What was used between two samples.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// CPU seconds, of all threads.
    pub cpu: f64,
    /// The share of it that was user time. By ticks: of short times it is but a guess.
    pub user_share: f64,
    /// CPU seconds of the thread that worked most.
    pub busiest: f64,
    /// Seconds between the samples.
    pub elapsed: f64,
}

impl Sample {
    /// Of a process and all that it started.
    pub fn of(root: u32) -> Sample {
        Sample::of_all(&family(root))
    }

    pub fn of_all(processes: &[u32]) -> Sample {
        let mut sample = Sample { at: Instant::now(), threads: HashMap::new(), user: 0, system: 0 };
        for &process in processes {
            for thread in numbers_in(&format!("/proc/{process}/task")) {
                // A thread that ended meanwhile has no file; what it used is lost, and it was not a worker.
                let Ok(text) = fs::read_to_string(format!("/proc/{process}/task/{thread}/schedstat")) else {
                    continue;
                };
                let on_cpu = text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0);
                sample.threads.insert(thread, on_cpu);
            }
            let fields = stat(process);
            sample.user += fields.first().copied().unwrap_or(0);
            sample.system += fields.get(1).copied().unwrap_or(0);
        }
        sample
    }

    pub fn until(&self, later: &Sample) -> Usage {
        let used = |(thread, after): (&u32, &u64)| {
            after.saturating_sub(self.threads.get(thread).copied().unwrap_or(0)) as f64 / 1e9
        };
        let (user, system) = (later.user.saturating_sub(self.user), later.system.saturating_sub(self.system));
        Usage {
            cpu: later.threads.iter().map(used).sum(),
            user_share: user as f64 / (user + system).max(1) as f64,
            busiest: later.threads.iter().map(used).fold(0.0, f64::max),
            elapsed: (later.at - self.at).as_secs_f64(),
        }
    }
}

impl Usage {
    /// Without what the process would have used in the same time doing nothing.
    pub fn without(self, idle: Usage) -> Usage {
        let share = self.elapsed / idle.elapsed.max(0.001);
        let less = |used: f64, idle: f64| (used - idle * share).max(0.0);
        Usage { cpu: less(self.cpu, idle.cpu), busiest: less(self.busiest, idle.busiest), ..self }
    }

    /// Of one core.
    pub fn share_of_core(self) -> f64 {
        self.cpu / self.elapsed.max(0.001)
    }
}

/// The process itself and all that it started.
pub fn family(root: u32) -> Vec<u32> {
    let mut members = vec![root];
    let mut next = 0;
    while let Some(&process) = members.get(next) {
        for thread in numbers_in(&format!("/proc/{process}/task")) {
            let children = fs::read_to_string(format!("/proc/{process}/task/{thread}/children"));
            members.extend(
                children.unwrap_or_default().split_whitespace().filter_map(|word| word.parse::<u32>().ok()),
            );
        }
        next += 1;
    }
    members
}

/// Memory of its own, and its share of what it shares, in KiB: what the machine would have more without it. The kernel's
/// socket buffers are not in it.
pub fn memory(root: u32) -> u64 {
    let pss = |process: u32| -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
        text.lines().find(|line| line.starts_with("Pss:"))?.split_whitespace().nth(1)?.parse().ok()
    };
    family(root).into_iter().filter_map(pss).sum()
}

fn numbers_in(folder: &str) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// User and system time of a process, in ticks.
fn stat(process: u32) -> Vec<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name, in brackets, may contain anything.
    let Some((_, fields)) = text.rsplit_once(") ") else { return Vec::new() };
    fields.split(' ').skip(11).take(2).filter_map(|word| word.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::{Sample, memory};

    #[test]
    fn time_that_a_process_works_is_counted_and_time_that_it_sleeps_is_not() {
        let own = std::process::id();
        let before = Sample::of(own);
        let start = std::time::Instant::now();
        while start.elapsed().as_millis() < 100 {}
        std::thread::sleep(std::time::Duration::from_millis(200));
        let usage = before.until(&Sample::of(own));
        assert!(usage.elapsed >= 0.3, "{usage:?}");
        assert!(usage.busiest > 0.01 && usage.busiest < 0.15, "{usage:?}");
        assert!(memory(own) > 100);
    }
}
