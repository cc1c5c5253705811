//! Resident memory of the server with a million metrics known.

use anyhow::Result;

use super::{Bench, describe};
use crate::report::{Findings, Table};
use crate::slice::{Slice, Writer, run};

/// Metrics sent before the first look, so that buffers and code that any load
/// brings in are not put down to the metrics.
const BEFORE: u64 = 1000;

/// Runs the scenario.
pub fn measure(bench: &Bench<'_>) -> Result<Findings> {
    let plan = bench
        .options
        .load
        .plan(bench.size(100_000, 1_000_000), 4, 500);
    let names = plan.names();
    let redis = bench.redis()?;
    let Some(server) = bench.server(&redis.socket())? else {
        return Ok(Findings::default());
    };
    let stage = bench.stage(&redis, None);
    let idle = server.resident_bytes()?;
    // A few metrics, many rounds: the same traffic as what follows.
    let few = crate::plan::Plan {
        per_lane: BEFORE.div_ceil(plan.lanes),
        ..plan
    };
    let few_names = few.names();
    let points = bench.size(200_000, 1_000_000);
    let warm = Slice {
        plan: few,
        names: &few_names,
        history: false,
        warm_rounds: 1,
        timed_rounds: few.rounds_for(points),
        rate: None,
        warm_at_rate: false,
    };
    run(
        stage,
        Writer::Server(&server),
        warm,
        "memory: few metrics",
        || Ok(()),
    )?;
    let before = server.resident_bytes()?;
    let slice = Slice {
        plan,
        names: &names,
        history: false,
        warm_rounds: 1,
        timed_rounds: 1,
        rate: None,
        warm_at_rate: false,
    };
    run(
        stage,
        Writer::Server(&server),
        slice,
        "memory: all metrics",
        || Ok(()),
    )?;
    let after = server.resident_bytes()?;
    let status = server.status().unwrap_or_default();
    server.end()?;

    let metrics = plan.metrics() as f64;
    let name_bytes: usize = names.iter().map(String::len).sum();
    let mut findings = Findings::default();
    let mut table = Table::new(
        format!("memory: {}", describe(&plan)),
        &["MiB", "bytes/metric"],
    );
    let mib = |bytes: f64| bytes / 1024.0 / 1024.0;
    let mut row = |name: &str, bytes: f64| table.row(name, &[mib(bytes), bytes / metrics]);
    row("resident, idle", idle as f64);
    row(
        "resident, after traffic of a thousand metrics",
        before as f64,
    );
    row("resident, all metrics known", after as f64);
    row("grown by the metrics", after as f64 - before as f64);
    row("of that, the names' own bytes", name_bytes as f64);
    for (name, key) in [
        ("its own account: metric table", "metrics_bytes"),
        ("its own account: buffers", "buffer_bytes"),
    ] {
        if let Some(bytes) = status[key].as_f64() {
            row(name, bytes);
        }
    }
    findings.tables.push(table);
    Ok(findings)
}
