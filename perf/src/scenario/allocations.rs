//! Allocations a point in the steady state. The server runs in this process,
//! where the harness's allocator sees what its threads ask for; shards are told
//! from other threads by their names, and the stretch from decode to encode by
//! the server's own mark.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{Bench, describe};
use crate::alloc::{Allocations, of_threads};
use crate::report::{Findings, Table, Target};
use crate::server::{self, SHARD_THREADS};
use crate::slice::{Slice, Writer, run};

/// Runs the scenario.
pub fn measure(bench: &Bench<'_>) -> Result<Findings> {
    if bench.program.is_none() {
        return Ok(Findings::default());
    }
    let load = &bench.options.load;
    let plan = load.plan(bench.size(20_000, 100_000), 4, 500);
    let names = plan.names();
    let points = load.points.unwrap_or(bench.size(400_000, 3_000_000));
    let redis = bench.redis()?;
    let state = tempfile::Builder::new()
        .prefix("skyring-perf-state-")
        .tempdir()?;
    let mut settings = server::settings(&redis.socket(), state.path());
    settings.extend(bench.options.settings.iter().cloned());
    let settings = skyring::Settings::load(None, &settings).context("settings")?;
    let server = skyring::Server::start(settings).context("the server in this process")?;
    if !server.wait_ready(Duration::from_secs(30)) {
        bail!("the server in this process was not ready in time");
    }
    let address = *server
        .addresses()
        .pickle
        .first()
        .context("no pickle address")?;
    let slice = Slice {
        plan,
        names: &names,
        history: true,
        // Enough that buffers, tables and pools have their last size.
        warm_rounds: 10,
        timed_rounds: plan.rounds_for(points),
        rate: None,
        warm_at_rate: false,
    };
    let mut looks: Vec<(Allocations, Allocations)> = Vec::new();
    let outcome = run(
        bench.stage(&redis, None),
        Writer::InProcess(address),
        slice,
        "allocations: server in this process",
        || {
            looks.push((of_threads(SHARD_THREADS)?, of_threads("skyring-")?));
            Ok(())
        },
    )?;
    let drained = server.drain();
    if drained.lost > 0 {
        bail!("the server in this process lost points: {drained}");
    }
    let [before, after] = looks[..] else {
        bail!("the clock did not start and stop")
    };
    let stretch = after.0.stretch - before.0.stretch;
    let elsewhere = after.0.elsewhere - before.0.elsewhere;
    let everything = after.1.stretch + after.1.elsewhere;
    let others = everything - (before.1.stretch + before.1.elsewhere) - stretch - elsewhere;
    if before.0 == Allocations::default() {
        bail!("no thread named {SHARD_THREADS} was seen to allocate: were they renamed?");
    }

    let mut findings = Findings::default();
    let title = format!(
        "allocations in the steady state, {} points: {}",
        outcome.points,
        describe(&plan)
    );
    let mut table = Table::new(title, &["allocations", "per point", "per frame"]);
    let frames = outcome.points as f64 / plan.frame_points as f64;
    for (name, count) in [
        ("shards, from decode to encode", stretch),
        (
            "shards, elsewhere (the runtime's reads and writes)",
            elsewhere,
        ),
        ("the server's other threads", others),
    ] {
        let count = count as f64;
        table.row(
            name,
            &[count, count / outcome.points as f64, count / frames],
        );
    }
    findings.tables.push(table);
    let what = "allocations from decode to encode";
    findings
        .targets
        .push(Target::at_most(what, stretch as f64, 0.0));
    Ok(findings)
}
