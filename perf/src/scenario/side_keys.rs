//! What the keys beside the data cost Redis: one point a minute of every metric,
//! with them and without. A second stands for a minute: in each, every metric sends
//! one point and the keys are brought up to date once. What the server does at
//! longer intervals it does as seldom as ever, on both sides.

use std::time::Duration;

use anyhow::Result;

use super::{Bench, describe, ratios, turns};
use crate::report::{Findings, Table, Target, median};
use crate::slice::{Outcome, Slice, Writer, run};

/// A minute.
const PASS: Duration = Duration::from_secs(1);

/// Runs the scenario.
pub fn measure(bench: &Bench<'_>) -> Result<Findings> {
    let load = &bench.options.load;
    let plan = load.plan(bench.size(20_000, 100_000), 4, 500);
    let slices = load.slices.unwrap_or(bench.size(1, 4));
    let seconds = load.seconds.unwrap_or(bench.size(3, 24));
    let passes = seconds.div_ceil(slices);
    let names = plan.names();
    let slice = Slice {
        plan,
        names: &names,
        history: true,
        warm_rounds: 1,
        timed_rounds: passes,
        rate: Some(plan.metrics() as f64 / PASS.as_secs_f64()),
    };
    let sides = [
        ("off", ["horizon.side_keys=false"].as_slice()),
        (
            "on",
            ["horizon.side_keys=true", "horizon.side_keys_s=1"].as_slice(),
        ),
    ];
    let redis = bench.redis()?;
    let mut outcomes: [Vec<Outcome>; 2] = Default::default();
    for round in 0..slices {
        for side in turns(round, sides.len()) {
            let (name, settings) = sides[side];
            let settings: Vec<String> = settings.iter().map(|&s| s.to_owned()).collect();
            // A new one for each slice: Redis is empty, and it must not think that
            // its keys are there.
            let Some(server) = bench.server_with(&redis.socket(), &settings)? else {
                return Ok(Findings::default());
            };
            let title = format!("side keys: {name} {} of {slices}", round + 1);
            let mut first = true;
            let outcome = run(
                bench.stage(&redis, None),
                Writer::Server(&server),
                slice,
                &title,
                || {
                    // The first pass, in which everything is new, is over before
                    // the clock starts.
                    if std::mem::take(&mut first) {
                        std::thread::sleep(PASS * 5 / 2);
                    }
                    Ok(())
                },
            )?;
            server.end()?;
            outcomes[side].push(outcome);
        }
    }
    let mut findings = Findings::default();
    let columns = [
        "minutes",
        "Redis ns/point",
        "server ns/point",
        "Redis busy %",
    ];
    let title = format!("side keys, a second for a minute: {}", describe(&plan));
    let mut table = Table::new(title, &columns);
    for ((name, _), outcomes) in sides.iter().zip(&outcomes) {
        let busy = |o: &Outcome| 100.0 * o.redis_ns as f64 / o.wall.as_nanos() as f64;
        let figures = [
            (passes * slices) as f64,
            median(outcomes.iter().map(Outcome::redis_ns_per_point)),
            median(outcomes.iter().map(Outcome::server_ns_per_point)),
            median(outcomes.iter().map(busy)),
        ];
        table.row(*name, &figures);
    }
    findings.tables.push(table);
    let [off, on] = outcomes.map(|outcomes| {
        let figure = Outcome::redis_ns_per_point;
        outcomes.iter().map(figure).collect::<Vec<f64>>()
    });
    let [ratio, least, most] = ratios(&on, &off);
    let title = "side keys: on / off, neighbouring slices";
    let mut table = Table::new(title, &["median", "least", "most"]);
    table.row("Redis CPU", &[ratio, least, most]);
    findings.tables.push(table);
    let what = "Redis CPU with side keys against without";
    findings.targets.push(Target::at_most(what, ratio, 1.3));
    Ok(findings)
}
