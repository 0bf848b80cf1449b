//! Where and with what it was measured.

use std::fs;

use crate::peers::{Kind, Programs, version};

pub struct Machine {
    lines: Vec<String>,
}

impl Machine {
    pub fn look(note: &str, kinds: &[Kind], programs: &Programs) -> Machine {
        let cpu = read("/proc/cpuinfo");
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let model = model.map_or("unknown CPU", |(_, name)| name);
        let memory = read("/proc/meminfo");
        let memory =
            memory.lines().next().and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        let kernel = read("/proc/sys/kernel/osrelease");
        let load = read("/proc/loadavg");
        let load = load.split(' ').next().unwrap_or("?");
        let mut lines = vec![
            note.to_owned(),
            format!("{model}, {} cores, {} GiB, Linux {}", cores(), memory.unwrap_or(0) >> 20, kernel.trim()),
            format!("Load of the machine when it began: {load}{}", remark(load)),
        ];
        lines.extend(kinds.iter().map(|kind| format!("{kind}: {}", version(*kind, programs))));
        Machine { lines }
    }

    pub fn text(&self) -> String {
        self.lines.iter().map(|line| format!("- {line}\n")).collect()
    }
}

pub fn cores() -> usize {
    let cpu = read("/proc/cpuinfo");
    cpu.lines().filter(|line| line.starts_with("processor")).count().max(1)
}

fn remark(load: &str) -> &'static str {
    // On a machine that does other things too, CPU times are those of cold caches, latencies those of waiting.
    if load.parse::<f64>().unwrap_or(0.0) > 1.0 {
        " (**not quiet**: ratios are rough, latencies mean nothing)"
    } else {
        ""
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
