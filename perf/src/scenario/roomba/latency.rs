//! Data latency while passes run, against none: the same stream in an open loop at
//! half of the capacity, with other series beside it that passes trim. Time runs
//! faster for these: a point every five seconds, and a pass as often.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use redis::Connection;

use crate::plan::Stamp;
use crate::proxy::Proxy;
use crate::record;
use crate::redis::Redis;
use crate::report::{Findings, Table, Target, median};
use crate::scenario::{Bench, describe, ratios, turns};
use crate::server::Server;
use crate::slice::{Outcome, Slice, Writer, run};

/// Seconds between two points of the series that are trimmed, and between passes.
const STEP_S: u64 = 5;
/// Points of each.
const POINTS: u64 = 1_440;
/// How long too old points may wait, on top of what passes need.
const GRACE_S: u64 = 10 * STEP_S;
/// Namespace of these series.
const MINI: &str = "mini.";
/// How long the first pass over them may take.
const PATIENCE: Duration = Duration::from_secs(120);
const PAGE: u64 = 100;

/// One side's slices.
#[derive(Default)]
struct Side {
    outcomes: Vec<Outcome>,
    /// Counted by the server under the clock.
    looked_at: u64,
    cut: u64,
}

impl Side {
    fn p99(&self) -> Vec<f64> {
        let p99 = |outcome: &Outcome| {
            let recorder = outcome.recorder.as_ref();
            recorder.map_or(f64::NAN, |it| it.histogram.value_at_quantile(0.99) as f64)
        };
        self.outcomes.iter().map(p99).collect()
    }

    fn redis_ns(&self) -> Vec<f64> {
        self.outcomes
            .iter()
            .map(Outcome::redis_ns_per_point)
            .collect()
    }
}

/// Measures it.
pub fn measure(bench: &Bench<'_>, findings: &mut Findings) -> Result<()> {
    let load = &bench.options.load;
    let plan = crate::plan::Plan::new(bench.size(5_000, 50_000), 4, 500);
    let series = bench.size(500, 50_000);
    let slices = load.slices.unwrap_or(bench.size(1, 6));
    let seconds = load.seconds.unwrap_or(bench.size(3, 60)) as f64 / slices as f64;
    let names = plan.names();
    let redis = bench.redis()?;
    let dir = tempfile::Builder::new()
        .prefix("skyring-perf-proxy-")
        .tempdir()?;
    let proxy = Proxy::start(&dir.path().join("proxy.sock"), &redis.socket())?;
    let probe = Slice {
        plan,
        names: &names,
        history: true,
        warm_rounds: 2,
        timed_rounds: plan.rounds_for(bench.size(50_000, 500_000)),
        rate: None,
        warm_at_rate: false,
    };
    let mut sides = [Side::default(), Side::default()];
    for round in 0..slices {
        let Some(direct) = bench.server(&redis.socket())? else {
            return Ok(());
        };
        let title = format!("trimming: capacity {} of {slices}", round + 1);
        let stage = bench.stage(&redis, None);
        let probed = run(stage, Writer::Server(&direct), probe, &title, || Ok(()))?;
        direct.end()?;
        let rate = load
            .rate
            .map_or(probed.points_per_s() / 2.0, |rate| rate as f64);
        let slice = Slice {
            timed_rounds: plan.rounds_for((rate * seconds) as u64),
            rate: Some(rate),
            ..probe
        };
        for side in turns(round, sides.len()) {
            let is_on = side == 1;
            let name = if is_on { "with passes" } else { "without" };
            let title = format!("trimming: latency {name} {} of {slices}", round + 1);
            // A new one each time, since its first pass is none of what is measured.
            let server = bench.server_with(proxy.path(), &settings(is_on))?;
            let server = server.context("no server")?;
            let mut counts = Vec::new();
            let stage = bench.stage(&redis, Some(&proxy));
            let outcome = run(stage, Writer::Server(&server), slice, &title, || {
                if counts.is_empty() {
                    prepare(&redis, &server, series, is_on)?;
                }
                counts.push((count(&server, "looked_at")?, count(&server, "cut")?));
                Ok(())
            })?;
            server.end()?;
            let [before, after] = counts[..] else {
                bail!("the clock did not start and stop")
            };
            sides[side].looked_at += after.0 - before.0;
            sides[side].cut += after.1 - before.1;
            sides[side].outcomes.push(outcome);
        }
    }
    report(findings, &describe(&plan), series, &sides);
    Ok(())
}

fn settings(is_on: bool) -> [String; 5] {
    [
        format!("roomba.enabled={is_on}"),
        format!("roomba.interval_s={STEP_S}"),
        format!("roomba.grace_s={GRACE_S}"),
        format!("roomba.mini_namespace={MINI:?}"),
        format!("roomba.mini_duration_s={}", STEP_S * POINTS - GRACE_S),
    ]
}

/// Writes the series that are trimmed, as many of them due as in any other step, and
/// waits until each was read once.
fn prepare(redis: &Redis, server: &Server, series: u64, is_on: bool) -> Result<()> {
    let mut connection = redis.connect()?;
    let before = count(server, "read_whole")?;
    fill(&mut connection, series)?;
    let deadline = Instant::now() + PATIENCE;
    while is_on && count(server, "read_whole")? < before + series {
        if Instant::now() > deadline {
            bail!("the first pass has not read all series within {PATIENCE:?}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn fill(redis: &mut Connection, series: u64) -> Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    for page in (0..series).step_by(PAGE as usize) {
        let mut pipe = redis::pipe();
        let mut members = redis::cmd("SADD");
        members.arg(format!("{MINI}unique_metrics"));
        for at in page..series.min(page + PAGE) {
            let key = format!("{MINI}trimmed.{at}");
            let mut bytes = Vec::new();
            for point in (0..POINTS).rev() {
                let second = now - at % STEP_S - STEP_S * point;
                record::put(&mut bytes, Stamp::Float, second, point as f64);
            }
            pipe.cmd("SET").arg(&key).arg(bytes).ignore();
            members.arg(key);
        }
        pipe.add_command(members).ignore();
        pipe.exec(redis)?;
    }
    Ok(())
}

fn count(server: &Server, name: &str) -> Result<u64> {
    let status = server.status()?;
    let count = status["roomba"][name].as_u64();
    count.with_context(|| format!("/api/status has no {name} of roomba"))
}

fn report(findings: &mut Findings, plan: &str, series: u64, sides: &[Side; 2]) {
    let columns = [
        "points timed",
        "seconds",
        "looked at/s",
        "cut/s",
        "p50 us",
        "p99 us",
        "Redis ns/point",
        "Redis busy %",
    ];
    let title = format!(
        "trimming: latency at half of the capacity, medians of slices; {series} series \
         of {POINTS} points trimmed every {STEP_S} s beside {plan}"
    );
    let mut table = Table::new(title, &columns);
    for (name, side) in ["without passes", "with passes"].into_iter().zip(sides) {
        let outcomes = &side.outcomes;
        let seconds: f64 = outcomes.iter().map(|it| it.wall.as_secs_f64()).sum();
        let p50 = outcomes.iter().filter_map(|it| it.recorder.as_ref());
        let p50 = p50.map(|it| it.histogram.value_at_quantile(0.5) as f64);
        let busy = |o: &Outcome| 100.0 * o.redis_ns as f64 / o.wall.as_nanos() as f64;
        table.row(
            name,
            &[
                outcomes.iter().map(|it| it.points as f64).sum(),
                seconds,
                side.looked_at as f64 / seconds,
                side.cut as f64 / seconds,
                median(p50),
                median(side.p99()),
                median(side.redis_ns()),
                median(outcomes.iter().map(busy)),
            ],
        );
    }
    let [off, on] = sides;
    let title = "trimming: with passes / without, neighbouring slices";
    let mut pairs = Table::new(title, &["median", "least", "most"]);
    let p99 = ratios(&on.p99(), &off.p99());
    pairs.row("p99", &p99);
    pairs.row(
        "Redis CPU a point",
        &ratios(&on.redis_ns(), &off.redis_ns()),
    );
    findings.tables.extend([table, pairs]);
    let what = "p99 of data latency while passes run against none";
    findings.targets.push(Target::at_most(what, p99[0], 1.5));
}
