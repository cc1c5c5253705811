//! Points stored a second in the steady state and CPU time a point, against the
//! floor of ready-made APPEND commands, in slices that take turns.

use anyhow::Result;

use super::{Bench, describe, floor_first};
use crate::process::Cpu;
use crate::report::{Findings, Table, Target, Timeline, median};
use crate::slice::{Outcome, Slice, Writer, run};

/// Runs the scenario.
pub fn measure(bench: &Bench<'_>) -> Result<Findings> {
    let load = &bench.options.load;
    let plan = load.plan(bench.size(20_000, 100_000), 4, 500);
    let floor_plan = load.floor_plan(plan);
    let slices = load.slices.unwrap_or(bench.size(2, 8));
    let points = load.points.unwrap_or(bench.size(400_000, 8_000_000));
    let names = plan.names();
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
    let server = bench.server(&redis.socket())?;
    let stage = bench.stage(&redis, None);
    let (mut floors, mut servers): (Vec<Outcome>, Vec<Outcome>) = (Vec::new(), Vec::new());
    for pair in 0..slices {
        for floor in [floor_first(pair), !floor_first(pair)] {
            let number = pair + 1;
            if floor {
                let slice = Slice {
                    plan: floor_plan,
                    ..slice
                };
                let title = format!("capacity: floor {number} of {slices}");
                floors.push(run(stage, Writer::Floor, slice, &title, || Ok(()))?);
            } else if let Some(server) = &server {
                let title = format!("capacity: server {number} of {slices}");
                servers.push(run(
                    stage,
                    Writer::Server(server),
                    slice,
                    &title,
                    || Ok(()),
                )?);
            }
        }
    }
    server.map_or(Ok(()), |s| s.end())?;
    let title = format!("capacity: {}", describe(&plan));
    Ok(findings(&title, &floors, &servers))
}

fn findings(title: &str, floors: &[Outcome], servers: &[Outcome]) -> Findings {
    let mut findings = Findings::default();
    let floor_rate = median(floors.iter().map(Outcome::points_per_s));
    let server_rate = median(servers.iter().map(Outcome::points_per_s));
    let mut table = Table::new(
        title,
        &[
            "points timed",
            "points/s",
            "slowest",
            "fastest",
            "Redis ns/point",
            "server ns/point",
            "shards ns/point",
            "shard wakes/1000 points",
            "sender ns/point",
            "Redis busy %",
        ],
    );
    for (name, outcomes) in [("floor", floors), ("server", servers)] {
        if outcomes.is_empty() {
            continue;
        }
        let rates = || outcomes.iter().map(Outcome::points_per_s);
        let shards = |figure: fn(&Cpu) -> u64| {
            let figure = |o: &Outcome| o.server.as_ref().map_or(f64::NAN, |s| figure(s) as f64);
            median(outcomes.iter().map(|o| figure(o) / o.points as f64))
        };
        let per_point = |o: &Outcome| o.pumped.cpu_ns as f64 / o.points as f64;
        let busy = |o: &Outcome| 100.0 * o.redis_ns as f64 / o.wall.as_nanos() as f64;
        table.row(
            name,
            &[
                outcomes.iter().map(|o| o.points as f64).sum(),
                median(rates()),
                rates().fold(f64::INFINITY, f64::min),
                rates().fold(0.0, f64::max),
                median(outcomes.iter().map(Outcome::redis_ns_per_point)),
                median(outcomes.iter().map(Outcome::server_ns_per_point)),
                shards(|s| s.named_ns),
                1000.0 * shards(|s| s.named_sleeps),
                median(outcomes.iter().map(per_point)),
                median(outcomes.iter().map(busy)),
            ],
        );
    }
    findings.tables.push(table);
    if !servers.is_empty() {
        let pairs: Vec<f64> = floors
            .iter()
            .zip(servers)
            .map(|(floor, server)| server.points_per_s() / floor.points_per_s())
            .collect();
        let share = |o: &Outcome| o.server_ns_per_point() / o.redis_ns_per_point();
        let share = median(servers.iter().map(share));
        let mut table = Table::new("capacity: ratios", &["median", "least", "most"]);
        let least = pairs.iter().copied().fold(f64::INFINITY, f64::min);
        let most = pairs.iter().copied().fold(0.0, f64::max);
        table.row(
            "server / floor, points/s, neighbouring slices",
            &[median(pairs.iter().copied()), least, most],
        );
        findings.tables.push(table);
        let what = "points stored a second against the floor";
        findings
            .targets
            .push(Target::at_least(what, server_rate / floor_rate, 0.90));
        let what = "server CPU a point against Redis CPU a point";
        findings.targets.push(Target::at_most(what, share, 0.30));
    }
    for (floor, outcomes) in [(true, floors), (false, servers)] {
        for (index, outcome) in outcomes.iter().enumerate() {
            findings.timelines.push(Timeline {
                name: format!("capacity {}", index + 1),
                floor,
                rate: outcome.rate.clone(),
                latency: Vec::new(),
            });
        }
    }
    findings
}
