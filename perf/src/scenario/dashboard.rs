//! What the page for operators costs: an answer with a million metrics in ten shards,
//! and the data plane while a browser asks as often as the page does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{Bench, describe, ratios, turns};
use crate::report::{Findings, Table, Target, median};
use crate::server::Server;
use crate::slice::{Outcome, Slice, Writer, run};

/// Shards of the server that is asked.
const SHARDS: u64 = 10;
/// What the page asks for, each time.
const PATHS: [&str; 3] = ["api/status", "api/history?after=0", "api/talkers"];
/// How often the page asks.
const EACH: Duration = Duration::from_secs(2);
/// How often it is looked whether the slice is over.
const LOOK: Duration = Duration::from_millis(20);
/// Longest answer that is good enough.
const BYTES_MAX: f64 = (200 << 10) as f64;
/// Most CPU time for an answer that is good enough.
const MILLIS_MAX: f64 = 5.0;

/// Runs the scenario.
pub fn measure(bench: &Bench<'_>) -> Result<Findings> {
    let mut findings = Findings::default();
    answers(bench, &mut findings)?;
    company(bench, &mut findings)?;
    Ok(findings)
}

/// CPU time and size of answers, of a server that has nothing else to do.
fn answers(bench: &Bench<'_>, findings: &mut Findings) -> Result<()> {
    let plan = bench
        .options
        .load
        .plan(bench.size(20_000, 1_000_000), SHARDS, 500);
    let names = plan.names();
    let redis = bench.redis()?;
    let settings = [format!("shards={SHARDS}")];
    let Some(server) = bench.server_with(&redis.socket(), &settings)? else {
        return Ok(());
    };
    let slice = Slice {
        plan,
        names: &names,
        history: false,
        warm_rounds: 1,
        timed_rounds: 1,
        rate: None,
        warm_at_rate: false,
    };
    let stage = bench.stage(&redis, None);
    let title = "dashboard: all metrics";
    run(stage, Writer::Server(&server), slice, title, || Ok(()))?;
    let times = bench.size(20, 200);
    let title = format!("dashboard, {SHARDS} shards: {}", describe(&plan));
    let mut table = Table::new(title, &["CPU ms/answer", "KiB/answer"]);
    for path in PATHS {
        let before = server.cpu()?;
        let mut bytes = 0;
        for _ in 0..times {
            bytes = bytes.max(server.get(path)?.len());
        }
        let used = server.cpu()?.since(&before);
        let millis = used.all_ns as f64 / 1e6 / f64::from(times);
        table.row(path, &[millis, bytes as f64 / 1024.0]);
        let what = format!("CPU ms for an answer of {path}");
        findings
            .targets
            .push(Target::at_most(&what, millis, MILLIS_MAX));
        let what = format!("bytes of an answer of {path}");
        let target = Target::at_most(&what, bytes as f64, BYTES_MAX);
        findings.targets.push(target);
    }
    findings.tables.push(table);
    server.end()
}

/// The same points with and without somebody who looks.
fn company(bench: &Bench<'_>, findings: &mut Findings) -> Result<()> {
    let load = &bench.options.load;
    let plan = load.plan(bench.size(20_000, 100_000), 4, 500);
    let names = plan.names();
    let slices = load.slices.unwrap_or(bench.size(2, 8));
    let points = load.points.unwrap_or(bench.size(400_000, 40_000_000));
    let slice = Slice {
        plan,
        names: &names,
        history: true,
        warm_rounds: 3,
        timed_rounds: plan.rounds_for(points.div_ceil(slices)),
        rate: None,
        warm_at_rate: false,
    };
    let redis = bench.redis()?;
    let Some(server) = bench.server(&redis.socket())? else {
        return Ok(());
    };
    let mut sides: [Vec<f64>; 2] = Default::default();
    for round in 0..slices {
        for side in turns(round, sides.len()) {
            let is_open = side == 1;
            let name = if is_open { "open" } else { "closed" };
            let title = format!("dashboard: {name} {} of {slices}", round + 1);
            let stage = bench.stage(&redis, None);
            let is_over = AtomicBool::new(!is_open);
            let outcome = std::thread::scope(|scope| {
                scope.spawn(|| browse(&server, &is_over));
                let outcome = run(stage, Writer::Server(&server), slice, &title, || Ok(()));
                is_over.store(true, Ordering::Relaxed);
                outcome
            })?;
            sides[side].push(shard_ns_per_point(&outcome)?);
        }
    }
    server.end()?;
    let [closed, open] = &sides;
    let title = format!("dashboard: {}", describe(&plan));
    let mut table = Table::new(title, &["shards' ns/point"]);
    table.row("page closed", &[median(closed.iter().copied())]);
    table.row("page open", &[median(open.iter().copied())]);
    findings.tables.push(table);
    let [ratio, least, most] = ratios(open, closed);
    let title = "dashboard: open / closed, neighbouring slices";
    let mut pairs = Table::new(title, &["median", "least", "most"]);
    pairs.row("the shards' CPU a point", &[ratio, least, most]);
    findings.tables.push(pairs);
    let what = "CPU of the data plane a point with a browser open against without";
    findings.targets.push(Target::at_most(what, ratio, 1.05));
    Ok(())
}

/// Asks as the page does, until it is over. What fails here fails in the slice too.
fn browse(server: &Server, is_over: &AtomicBool) {
    let mut next = Instant::now();
    while !is_over.load(Ordering::Relaxed) {
        if Instant::now() < next {
            std::thread::sleep(LOOK);
            continue;
        }
        for path in PATHS {
            let _ = server.get(path);
        }
        next += EACH;
    }
}

fn shard_ns_per_point(outcome: &Outcome) -> Result<f64> {
    let cpu = outcome.server.context("the server's CPU time is known")?;
    Ok(cpu.named_ns as f64 / outcome.points as f64)
}
