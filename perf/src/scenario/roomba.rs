//! What it costs to keep series at their length, in order and without duplicates:
//! Skyring's trimmer against a model of Skyline's Roomba, over the same series under
//! a clock that the harness sets; what a pass does to points on their way; and
//! whether any point is lost to a pass.

mod latency;
mod memory;
mod python;
mod race;
mod world;

use anyhow::{Result, bail};
use skyring::Settings;
use skyring::roomba::deeds::Deeds;
use skyring::roomba::namespaces;
use skyring::roomba::pass::{Namespace, Trimmer};

use self::world::World;
use super::Bench;
use crate::process::own_cpu_ns;
use crate::redis::{Redis, Usage};
use crate::report::{Findings, Table, Target, median};

/// What figures are given for.
const MILLION: f64 = 1e6;

/// Runs the scenario.
pub fn measure(bench: &Bench<'_>) -> Result<Findings> {
    let load = &bench.options.load;
    let count = load.metrics.unwrap_or(bench.size(1_000, 100_000));
    let hour = bench.size(10, 60);
    // Each pass of the model is like any other, as its figures show: a part of the
    // hour tells what the whole would cost.
    let part = bench.size(2, 5);
    let names: Vec<String> = (0..count)
        .map(|at| crate::names::name(load.seed, at))
        .collect();
    let redis = bench.redis()?;
    let steady = Steady {
        bench,
        redis: &redis,
        names: &names,
    };
    let model = steady.python(part)?;
    let trimmer = steady.skyring(hour)?;
    let mut findings = Findings::default();
    report(&mut findings, count, &model, &trimmer);
    memory::measure(bench, &redis, &mut findings)?;
    race::measure(bench, &redis, &mut findings)?;
    drop(redis);
    latency::measure(bench, &mut findings)?;
    Ok(findings)
}

/// How long series are kept by default, and when they are cut.
fn namespace() -> Result<Namespace> {
    match namespaces(&Settings::default()).into_iter().next() {
        Some(namespace) => Ok(namespace),
        None => bail!("the default settings trim nothing"),
    }
}

/// Both sides do the same: a first pass that knows nothing, and then one each minute.
struct Steady<'a> {
    bench: &'a Bench<'a>,
    redis: &'a Redis,
    names: &'a [String],
}

/// What came out for one side.
#[derive(Default)]
struct Side {
    /// The first pass.
    first: Pass,
    /// One a minute behind it.
    passes: Vec<Pass>,
    /// Redis's CPU time for the points themselves, in ns, each minute.
    append_ns: Vec<f64>,
    /// Memory of Redis, in bytes: with all series at their exact size, and after all
    /// passes.
    used_bytes: (u64, u64),
    /// Points that are not as they were written.
    missing: u64,
    deeds: Deeds,
    ledger_bytes: usize,
}

/// What a pass cost.
#[derive(Clone, Debug, Default)]
struct Pass {
    usage: Usage,
    /// CPU time of the trimmer, in ns.
    own_ns: u64,
}

impl Side {
    /// Of passes behind the first: their mean.
    fn mean(&self, figure: impl Fn(&Pass) -> f64) -> f64 {
        self.passes.iter().map(figure).sum::<f64>() / self.passes.len() as f64
    }

    fn all(&self) -> Usage {
        let mut all = Usage::default();
        self.passes.iter().for_each(|pass| all.add(&pass.usage));
        all
    }
}

impl Steady<'_> {
    fn python(&self, minutes: u64) -> Result<Side> {
        let mut redis = self.redis.connect()?;
        self.run("Skyline's way", minutes, |world| {
            python::pass(&mut redis, world.oldest_s(), world.now_s())?;
            Ok(())
        })
    }

    fn skyring(&self, minutes: u64) -> Result<Side> {
        let mut trimmer = Trimmer::new(self.redis.connect()?, false)?;
        let none = std::collections::HashSet::new();
        let mut side = self.run("Skyring", minutes, |world| {
            let (namespace, now_s) = (world.namespace.clone(), world.now_s());
            trimmer.pass(&namespace, &none, now_s, world)?;
            Ok(())
        })?;
        side.deeds = trimmer.deeds.clone();
        side.ledger_bytes = trimmer.ledger_bytes();
        Ok(side)
    }

    fn run(
        &self,
        who: &str,
        minutes: u64,
        mut pass: impl FnMut(&mut World) -> Result<()>,
    ) -> Result<Side> {
        let progress = self.bench.progress;
        progress.begin(&format!("trimming: {who}"));
        self.redis.flush()?;
        let mut redis = self.redis.connect()?;
        let mut world = World::new(self.names, namespace()?);
        world.fill(&mut redis)?;
        let mut side = Side::default();
        side.used_bytes.0 = self.redis.used_bytes()?;
        for minute in 0..=minutes {
            progress.at(minute, minutes);
            if self.bench.stop.load(std::sync::atomic::Ordering::Relaxed) {
                bail!("interrupted");
            }
            let before = self.redis.usage(&mut redis)?;
            world.append(&mut redis)?;
            let between = self.redis.usage(&mut redis)?;
            let own_before = own_cpu_ns();
            pass(&mut world)?;
            let own_ns = own_cpu_ns() - own_before;
            let after = self.redis.usage(&mut redis)?;
            let usage = after.since(&between);
            let done = Pass { usage, own_ns };
            if minute == 0 {
                side.first = done;
            } else {
                side.passes.push(done);
                side.append_ns.push(between.since(&before).cpu_ns as f64);
            }
        }
        side.used_bytes.1 = self.redis.used_bytes()?;
        side.missing = world.missing(&mut redis)?;
        Ok(side)
    }
}

fn report(findings: &mut Findings, count: u64, model: &Side, trimmer: &Side) {
    let sides = [("Skyline's way", model), ("Skyring", trimmer)];
    let per_million = MILLION / count as f64;
    let columns = [
        "passes",
        "Redis CPU s",
        "least",
        "most",
        "commands",
        "MB by socket",
        "own CPU s",
        "Redis CPU s for the points",
    ];
    let title = format!(
        "trimming: a pass over 1 million series of a day and one point a minute, \
         from {count} series (mean)"
    );
    let mut steady = Table::new(title, &columns);
    for (name, side) in sides {
        let cpu = |pass: &Pass| pass.usage.cpu_ns as f64 / 1e9 * per_million;
        let all = || side.passes.iter().map(cpu);
        steady.row(
            name,
            &[
                side.passes.len() as f64,
                side.mean(cpu),
                all().fold(f64::INFINITY, f64::min),
                all().fold(0.0, f64::max),
                side.mean(|pass| pass.usage.commands() as f64) * per_million,
                side.mean(|pass| pass.usage.bytes as f64) / 1e6 * per_million,
                side.mean(|pass| pass.own_ns as f64) / 1e9 * per_million,
                median(side.append_ns.iter().copied()) / 1e9 * per_million,
            ],
        );
    }
    let columns = ["Redis CPU s", "commands", "MB by socket", "own CPU s"];
    let title = "trimming: the first pass, which knows nothing, over 1 million series";
    let mut first = Table::new(title, &columns);
    for (name, side) in sides {
        let Pass { usage, own_ns } = &side.first;
        first.row(
            name,
            &[
                usage.cpu_ns as f64 / 1e9 * per_million,
                usage.commands() as f64 * per_million,
                usage.bytes as f64 / 1e6 * per_million,
                *own_ns as f64 / 1e9 * per_million,
            ],
        );
    }
    findings.tables.extend([steady, first]);
    for (name, side) in sides {
        let title = format!("trimming: {name}, calls for each series in an hour");
        let all = side.all();
        let names: Vec<&str> = all.calls.keys().map(String::as_str).collect();
        let mut table = Table::new(title, &names);
        let hours = side.passes.len() as f64 / 60.0;
        let calls = all
            .calls
            .values()
            .map(|it| *it as f64 / hours / count as f64);
        table.row("calls", &calls.collect::<Vec<_>>());
        findings.tables.push(table);
    }
    let columns = ["exact", "after all passes", "remembered by Skyring"];
    let mut memory = Table::new("trimming: bytes a series", &columns);
    for (name, side) in sides {
        let each = |bytes: u64| bytes as f64 / count as f64;
        let (exact, after) = side.used_bytes;
        let ledger = side.ledger_bytes as u64;
        memory.row(name, &[each(exact), each(after), each(ledger)]);
    }
    findings.tables.push(memory);
    let ratio = |figure: fn(&Usage) -> u64| {
        let figure = |pass: &Pass| figure(&pass.usage) as f64;
        model.mean(figure) / trimmer.mean(figure)
    };
    let goal = |what, measured| Target::at_least(what, measured, 20.0);
    findings.targets.extend([
        goal(
            "Redis CPU of Skyline's Roomba against Skyring's, an hour",
            ratio(|usage| usage.cpu_ns),
        ),
        goal(
            "bytes through the socket of Skyline's Roomba against Skyring's, an hour",
            ratio(|usage| usage.bytes),
        ),
        Target::at_most(
            "points lost or changed in that hour",
            trimmer.missing as f64,
            0.0,
        ),
    ]);
}
