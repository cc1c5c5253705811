//! The scenarios, and what they have in common.

pub mod allocations;
pub mod capacity;
pub mod carbon;
pub mod dashboard;
pub mod datagrams;
pub mod flux;
pub mod latency;
pub mod lines;
pub mod matrix;
pub mod memory;
pub mod roomba;
pub mod rules;
pub mod side_keys;
pub mod vista;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::Result;

use crate::options::{Options, Scenario};
use crate::plan::Plan;
use crate::process::Cores;
use crate::progress::Progress;
use crate::proxy::Proxy;
use crate::redis::Redis;
use crate::report::{Report, median};
use crate::server::Server;
use crate::slice::Stage;

/// What all scenarios share.
pub struct Bench<'a> {
    /// The command line.
    pub options: &'a Options,
    /// The CPUs.
    pub cores: Cores,
    /// The server's binary; `None` when only the floor is measured.
    pub program: Option<PathBuf>,
    /// Raised when the run is to end.
    pub stop: &'a AtomicBool,
    /// The line on the terminal.
    pub progress: &'a Progress,
}

impl Bench<'_> {
    /// A fresh Redis.
    pub fn redis(&self) -> Result<Redis> {
        Redis::start(self.cores.redis, self.options.persistence)
    }

    /// A fresh server that writes to the Redis at `path`.
    pub fn server(&self, path: &Path) -> Result<Option<Server>> {
        self.server_with(path, &[])
    }

    /// The same with a scenario's own `settings`; those of the command line win.
    pub fn server_with(&self, path: &Path, settings: &[String]) -> Result<Option<Server>> {
        let settings = settings.iter().chain(&self.options.settings);
        let start = |program| Server::start(program, self.cores.rest, path, settings);
        self.program.as_deref().map(start).transpose()
    }

    /// What slices need.
    pub fn stage<'a>(&'a self, redis: &'a Redis, proxy: Option<&'a Proxy>) -> Stage<'a> {
        Stage {
            redis,
            proxy,
            stop: self.stop,
            progress: self.progress,
        }
    }

    /// One of two figures, by the size of the run.
    pub fn size<T>(&self, small: T, full: T) -> T {
        if self.options.small { small } else { full }
    }
}

/// Runs `scenario` and adds what it finds to `report`.
pub fn measure(bench: &Bench<'_>, scenario: Scenario, report: &mut Report) -> Result<()> {
    match scenario {
        Scenario::Capacity => {
            report.add(capacity::measure(bench)?);
            report.add(allocations::measure(bench)?);
        }
        Scenario::Allocations => report.add(allocations::measure(bench)?),
        Scenario::Latency => report.add(latency::measure(bench)?),
        Scenario::Memory => report.add(memory::measure(bench)?),
        Scenario::Matrix => report.add(matrix::measure(bench)?),
        Scenario::Rules => report.add(rules::measure(bench)?),
        Scenario::SideKeys => report.add(side_keys::measure(bench)?),
        Scenario::Datagrams => report.add(datagrams::measure(bench)?),
        Scenario::Dashboard => report.add(dashboard::measure(bench)?),
        Scenario::Lines => report.add(lines::measure(bench)?),
        Scenario::Roomba => report.add(roomba::measure(bench)?),
        Scenario::Carbon => report.add(carbon::measure(bench)?),
        Scenario::Flux => report.add(flux::measure(bench)?),
        Scenario::Vista => report.add(vista::measure(bench)?),
        Scenario::All => {
            report.add(capacity::measure(bench)?);
            report.add(allocations::measure(bench)?);
            report.add(latency::measure(bench)?);
            report.add(memory::measure(bench)?);
            report.add(rules::measure(bench)?);
            report.add(side_keys::measure(bench)?);
            report.add(datagrams::measure(bench)?);
            report.add(lines::measure(bench)?);
            report.add(roomba::measure(bench)?);
            report.add(flux::measure(bench)?);
            report.add(carbon::measure(bench)?);
            report.add(vista::measure(bench)?);
            report.add(dashboard::measure(bench)?);
            report.add(matrix::measure(bench)?);
        }
    }
    Ok(())
}

/// Whether pair number `pair` begins with the floor. The order A B B A cancels a
/// drift of the machine that goes one way.
pub fn floor_first(pair: u64) -> bool {
    pair.is_multiple_of(2)
}

/// The order in which `sides` sides take their turns in round number `round`: A B C,
/// then C B A.
pub fn turns(round: u64, sides: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..sides).collect();
    if !floor_first(round) {
        order.reverse();
    }
    order
}

/// `over / under` of neighbouring turns: the middle, the least and the most.
pub fn ratios(over: &[f64], under: &[f64]) -> [f64; 3] {
    let pairs = || over.iter().zip(under).map(|(over, under)| over / under);
    let least = pairs().fold(f64::INFINITY, f64::min);
    [median(pairs()), least, pairs().fold(0.0, f64::max)]
}

/// A plan in words.
pub fn describe(plan: &Plan) -> String {
    format!(
        "{} metrics, {} connections, {} points a frame, protocol {}, {} timestamps",
        plan.metrics(),
        plan.lanes,
        plan.frame_points,
        plan.protocol,
        if plan.stamp == crate::plan::Stamp::Float {
            "float"
        } else {
            "int"
        }
    )
}
