//! The machine that a report is about.

use std::fs;

/// What it takes to compare a report with another.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Rig {
    /// As /proc/cpuinfo names it.
    pub cpu: String,
    /// CPUs that the harness may use.
    pub cpus: usize,
    /// Kernel release.
    pub kernel: String,
    /// Redis's version.
    pub redis: String,
    /// Start of the run, UTC.
    pub date: String,
    /// The CPU of Redis and the CPU of everything else.
    pub cores: crate::process::Cores,
}

impl Rig {
    /// This machine, now.
    pub fn here(cores: crate::process::Cores, cpus: usize) -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = info.lines().find(|l| l.starts_with("model name"));
        let cpu = model
            .and_then(|l| l.split(": ").nth(1))
            .unwrap_or("unknown")
            .to_owned();
        let kernel = rustix::system::uname()
            .release()
            .to_string_lossy()
            .into_owned();
        let date = humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
        Self {
            cpu,
            cpus,
            kernel,
            redis: String::new(),
            date,
            cores,
        }
    }
}

impl std::fmt::Display for Rig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}, {} CPUs (Redis on {}, everything else on {}), Linux {}, Redis {}, {}",
            self.cpu,
            self.cpus,
            self.cores.redis,
            self.cores.rest,
            self.kernel,
            self.redis,
            self.date
        )
    }
}

/// What the CPUs have done since start-up, in ticks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ticks {
    all: u64,
    busy: u64,
    stolen: u64,
    own: u64,
}

/// How quiet the machine was during a run.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub struct Quiet {
    /// Share of all CPU time that other processes of this host used.
    pub others_percent: f64,
    /// Share of all CPU time that other guests of the hypervisor took.
    pub stolen_percent: f64,
}

impl Ticks {
    /// Until now. Children count as ours once they have ended.
    pub fn now() -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let cpus = numbers(stat.lines().next().unwrap_or_default());
        let at = |index: usize| cpus.get(index).copied().unwrap_or(0);
        // user nice system idle iowait irq softirq steal
        let all = cpus.iter().take(8).sum();
        let stolen = at(7);
        let busy = all - at(3) - at(4) - stolen;
        let own = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // utime, stime, cutime, cstime: fields 14 to 17, the name being the second.
        let own = own.rsplit(')').next().unwrap_or_default();
        let own = own
            .split_whitespace()
            .skip(11)
            .take(4)
            .filter_map(|n| n.parse::<u64>().ok());
        Self {
            all,
            busy,
            stolen,
            own: own.sum(),
        }
    }

    /// How quiet it was from `before` until `self`.
    pub fn since(&self, before: &Self) -> Quiet {
        let all = (self.all - before.all).max(1) as f64;
        let own = self.own - before.own;
        let others = (self.busy - before.busy).saturating_sub(own);
        let stolen = self.stolen - before.stolen;
        Quiet {
            others_percent: 100.0 * others as f64 / all,
            stolen_percent: 100.0 * stolen as f64 / all,
        }
    }
}

fn numbers(line: &str) -> Vec<u64> {
    line.split_whitespace()
        .filter_map(|n| n.parse().ok())
        .collect()
}
