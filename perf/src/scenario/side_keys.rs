//! What the keys beside the data cost Redis: one point a minute of every metric,
//! with them and without. A second stands for a minute: in each, every metric sends
//! one point and the keys are brought up to date once. All that the server does for
//! them it counts in such passes, what is done once in many of them too: a slice has
//! as many as an hour.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{Bench, describe, ratios, turns};
use crate::report::{Findings, Table, Target, median};
use crate::server::Server;
use crate::slice::{Outcome, Slice, Writer, run};

/// What stands for a minute.
const MINUTE: Duration = Duration::from_secs(1);
/// Those before the clock starts, in which all is new.
const FIRST_MINUTES: u64 = 6;

/// One side's slices.
#[derive(Default)]
struct Side {
    outcomes: Vec<Outcome>,
    passes: Vec<u64>,
}

/// Runs the scenario.
pub fn measure(bench: &Bench<'_>) -> Result<Findings> {
    let load = &bench.options.load;
    let plan = load.plan(bench.size(20_000, 100_000), 4, 500);
    let slices = load.slices.unwrap_or(bench.size(1, 2));
    let seconds = load.seconds.unwrap_or(bench.size(3, 120));
    let minutes = seconds.div_ceil(slices);
    let names = plan.names();
    let slice = Slice {
        plan,
        names: &names,
        history: true,
        warm_rounds: FIRST_MINUTES,
        timed_rounds: minutes,
        rate: Some(plan.metrics() as f64 / MINUTE.as_secs_f64()),
        warm_at_rate: true,
    };
    let redis = bench.redis()?;
    let mut sides = [Side::default(), Side::default()];
    for round in 0..slices {
        for side in turns(round, sides.len()) {
            let is_on = side == 1;
            let settings = [
                format!("horizon.side_keys={is_on}"),
                "horizon.side_keys_s=1".to_owned(),
            ];
            // A new one for each slice: Redis is empty, and it must not think that
            // its keys are there.
            let Some(server) = bench.server_with(&redis.socket(), &settings)? else {
                return Ok(Findings::default());
            };
            let name = if is_on { "on" } else { "off" };
            let title = format!("side keys: {name} {} of {slices}", round + 1);
            let mut passes = Vec::new();
            let outcome = run(
                bench.stage(&redis, None),
                Writer::Server(&server),
                slice,
                &title,
                || {
                    passes.push(self::passes(&server)?);
                    Ok(())
                },
            )?;
            server.end()?;
            let [before, after] = passes[..] else {
                bail!("the clock did not start and stop")
            };
            sides[side].outcomes.push(outcome);
            sides[side].passes.push(after - before);
        }
    }
    Ok(findings(&describe(&plan), minutes, &sides))
}

fn findings(plan: &str, minutes: u64, sides: &[Side; 2]) -> Findings {
    let columns = [
        "minutes",
        "passes",
        "Redis ns/point",
        "server ns/point",
        "Redis busy %",
    ];
    let title = format!("side keys, a second for a minute: {plan}");
    let mut table = Table::new(title, &columns);
    for (name, side) in ["off", "on"].into_iter().zip(sides) {
        let outcomes = &side.outcomes;
        let busy = |o: &Outcome| 100.0 * o.redis_ns as f64 / o.wall.as_nanos() as f64;
        let figures = [
            (minutes * outcomes.len() as u64) as f64,
            side.passes.iter().sum::<u64>() as f64,
            median(outcomes.iter().map(Outcome::redis_ns_per_point)),
            median(outcomes.iter().map(Outcome::server_ns_per_point)),
            median(outcomes.iter().map(busy)),
        ];
        table.row(name, &figures);
    }
    let [off, on] = sides;
    let cost = |side: &Side| -> Vec<f64> {
        let figure = Outcome::redis_ns_per_point;
        side.outcomes.iter().map(figure).collect()
    };
    // A pass may find its second too short, and end in the next: what is above the
    // other side is put down to the passes that there were.
    let above = cost(on).into_iter().zip(cost(off)).zip(&on.passes);
    let scaled: Vec<f64> = above
        .map(|((on, off), passes)| off + (on - off) * minutes as f64 / *passes as f64)
        .collect();
    let [ratio, least, most] = ratios(&scaled, &cost(off));
    let title = "side keys: on / off, one pass a minute, neighbouring slices";
    let mut pairs = Table::new(title, &["median", "least", "most"]);
    pairs.row("Redis CPU", &[ratio, least, most]);
    let what = "Redis CPU with side keys against without";
    Findings {
        targets: vec![Target::at_most(what, ratio, 1.3)],
        tables: vec![table, pairs],
        ..Findings::default()
    }
}

/// Passes so far that went through all metrics.
fn passes(server: &Server) -> Result<u64> {
    let status = server.status()?;
    let passes = status["side_keys"]["passes"].as_u64();
    passes.context("/api/status has no passes of side_keys")
}
