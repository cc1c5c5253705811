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
    let (model, trimmer) = steady(bench, &names, &redis, (hour, part))?;
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

/// Both sides do the same, each to a Redis of its own: a first pass that knows nothing,
/// and then one each minute. They take turns, so that whatever else the machine does
/// falls upon both: the minutes of the model, of which there are fewer, lie between those
/// of Skyring's hour.
fn steady(
    bench: &Bench<'_>,
    names: &[String],
    redis: &Redis,
    (hour, part): (u64, u64),
) -> Result<(Side, Side)> {
    let progress = bench.progress;
    progress.begin("trimming: an hour");
    let beside = bench.redis()?;
    let mut connection = beside.connect()?;
    let mut model = Run::start(&beside, names)?;
    let mut run = Run::start(redis, names)?;
    let mut trimmer = Trimmer::new(redis.connect()?, false)?;
    trimmer.carries = true;
    let none = std::collections::HashSet::new();
    for minute in 0..=hour {
        progress.at(minute, hour);
        if bench.stop.load(std::sync::atomic::Ordering::Relaxed) {
            bail!("interrupted");
        }
        if minute % (hour / part) == 0 {
            model.minute(|world| {
                python::pass(&mut connection, world.oldest_s(), world.now_s())?;
                Ok(())
            })?;
        }
        run.minute(|world| {
            let (namespace, now_s) = (world.namespace.clone(), world.now_s());
            trimmer.pass(&namespace, &none, now_s, world)?;
            Ok(())
        })?;
    }
    let mut trimmed = run.end()?;
    trimmed.deeds = trimmer.deeds.clone();
    trimmed.ledger_bytes = trimmer.ledger_bytes();
    Ok((model.end()?, trimmed))
}

/// One side under way.
struct Run<'r> {
    redis: &'r Redis,
    connection: redis::Connection,
    world: World,
    side: Side,
}

impl<'r> Run<'r> {
    fn start(redis: &'r Redis, names: &[String]) -> Result<Self> {
        redis.flush()?;
        let mut connection = redis.connect()?;
        let mut world = World::new(names, namespace()?);
        world.fill(&mut connection)?;
        let mut side = Side::default();
        side.used_bytes.0 = redis.used_bytes()?;
        Ok(Self {
            redis,
            connection,
            world,
            side,
        })
    }

    /// A minute passes, and then a pass is made.
    fn minute(&mut self, pass: impl FnOnce(&mut World) -> Result<()>) -> Result<()> {
        let before = self.redis.usage(&mut self.connection)?;
        self.world.append(&mut self.connection)?;
        let between = self.redis.usage(&mut self.connection)?;
        let own_before = own_cpu_ns();
        pass(&mut self.world)?;
        let own_ns = own_cpu_ns() - own_before;
        let after = self.redis.usage(&mut self.connection)?;
        let usage = after.since(&between);
        let done = Pass { usage, own_ns };
        let side = &mut self.side;
        if side.append_ns.is_empty() {
            side.first = done;
        } else {
            side.passes.push(done);
        }
        side.append_ns.push(between.since(&before).cpu_ns as f64);
        Ok(())
    }

    fn end(mut self) -> Result<Side> {
        self.side.used_bytes.1 = self.redis.used_bytes()?;
        self.side.missing = self.world.missing(&mut self.connection)?;
        Ok(self.side)
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
