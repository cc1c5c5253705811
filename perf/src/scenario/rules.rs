//! What the skip lists and the cluster's table cost: the same points stored by a
//! server with 100 patterns and a table of three nodes, and by one without. On a
//! third side the points of other nodes' and of skipped metrics come along, in the
//! same frames, three for each that is stored.

use std::hint::black_box;

use anyhow::{Context, Result};
use skyring::rules::Rules;

use super::{Bench, describe, ratios, turns};
use crate::names;
use crate::plan::Plan;
use crate::process::own_cpu_ns;
use crate::report::{Findings, Table, Target, median};
use crate::slice::{Outcome, Slice, Writer, run};

/// Metrics that are refused for each that is stored, where they come along.
const REFUSED: u64 = 3;

/// Runs the scenario.
pub fn measure(bench: &Bench<'_>) -> Result<Findings> {
    let load = &bench.options.load;
    let plan = load.plan(bench.size(20_000, 100_000), 4, 500);
    let mixed_plan = Plan {
        per_lane: plan.per_lane * (REFUSED + 1),
        stored_one_in: REFUSED + 1,
        ..plan
    };
    let settings = settings();
    let rules = skyring::Settings::load(None, &settings).context("settings")?;
    let rules = Rules::new(&rules);
    let Names { stored, mixed } = names(&plan, &rules);
    let slices = load.slices.unwrap_or(bench.size(2, 8));
    let points = load.points.unwrap_or(bench.size(400_000, 6_000_000));
    let slice = Slice {
        plan,
        names: &stored,
        history: true,
        warm_rounds: 3,
        timed_rounds: plan.rounds_for(points.div_ceil(slices)),
        rate: None,
        warm_at_rate: false,
    };
    let redis = bench.redis()?;
    let Some(without) = bench.server(&redis.socket())? else {
        return Ok(Findings::default());
    };
    let Some(with) = bench.server_with(&redis.socket(), &settings)? else {
        return Ok(Findings::default());
    };
    let mixed_slice = Slice {
        plan: mixed_plan,
        names: &mixed,
        ..slice
    };
    let sides = [
        ("without", &without, slice),
        ("with", &with, slice),
        ("with, 3 refused for each", &with, mixed_slice),
    ];
    let mut outcomes: [Vec<Outcome>; 3] = Default::default();
    for round in 0..slices {
        for side in turns(round, sides.len()) {
            let (name, server, slice) = sides[side];
            let title = format!("rules: {name} {} of {slices}", round + 1);
            let stage = bench.stage(&redis, None);
            let outcome = run(stage, Writer::Server(server), slice, &title, || Ok(()))?;
            outcomes[side].push(outcome);
        }
    }
    let sides = sides.map(|(name, ..)| name);
    without.end()?;
    with.end()?;
    Ok(findings(&plan, sides, &outcomes, &rules, &stored))
}

fn findings(
    plan: &Plan,
    sides: [&str; 3],
    outcomes: &[Vec<Outcome>; 3],
    rules: &Rules,
    names: &[String],
) -> Findings {
    let mut findings = Findings::default();
    let columns = [
        "points stored",
        "stored/s",
        "Redis ns/stored",
        "server ns/stored",
        "sender ns/stored",
    ];
    let title = format!("rules, 100 patterns and 3 nodes: {}", describe(plan));
    let mut table = Table::new(title, &columns);
    for (name, outcomes) in sides.into_iter().zip(outcomes) {
        let per_point = |o: &Outcome| o.pumped.cpu_ns as f64 / o.points as f64;
        let figures = [
            outcomes.iter().map(|o| o.points as f64).sum(),
            median(outcomes.iter().map(Outcome::points_per_s)),
            median(outcomes.iter().map(Outcome::redis_ns_per_point)),
            median(outcomes.iter().map(Outcome::server_ns_per_point)),
            median(outcomes.iter().map(per_point)),
        ];
        table.row(name, &figures);
    }
    findings.tables.push(table);
    let mut table = Table::new(
        "rules: ratios to without, neighbouring slices",
        &["median", "least", "most"],
    );
    let rates =
        |side: usize| -> Vec<f64> { outcomes[side].iter().map(Outcome::points_per_s).collect() };
    let cost = |side: usize| -> Vec<f64> {
        outcomes[side]
            .iter()
            .map(Outcome::server_ns_per_point)
            .collect()
    };
    let [ratio, least, most] = ratios(&rates(1), &rates(0));
    table.row("points stored/s, with", &[ratio, least, most]);
    table.row(
        "points stored/s, with, 3 refused for each",
        &ratios(&rates(2), &rates(0)),
    );
    table.row(
        "server CPU a stored point, with",
        &ratios(&cost(1), &cost(0)),
    );
    table.row(
        "server CPU a stored point, with, 3 refused for each",
        &ratios(&cost(2), &cost(0)),
    );
    findings.tables.push(table);
    let mut table = Table::new("rules: judging a metric, once", &["ns/metric"]);
    table.row("100 patterns, 3 nodes, stored", &[judging_ns(rules, names)]);
    findings.tables.push(table);
    let what = "points stored a second with 100 patterns and 3 nodes against without";
    findings.targets.push(Target::at_least(what, ratio, 0.95));
    findings
}

/// Median CPU time that the rules take for a name.
fn judging_ns(rules: &Rules, names: &[String]) -> f64 {
    let names = &names[..names.len().min(5000)];
    median((0..5).map(|_| {
        let before = own_cpu_ns();
        for name in names {
            black_box(rules.judge(black_box(name.as_bytes())).is_ok());
        }
        (own_cpu_ns() - before) as f64 / names.len() as f64
    }))
}

/// Settings of the server with rules.
fn settings() -> Vec<String> {
    let patterns = toml(&names::skip_patterns());
    vec![
        format!("horizon.skip={patterns}"),
        "cluster.shards={ one = 0, two = 1, three = 2 }".to_owned(),
        "cluster.node=one".to_owned(),
        "cluster.shard_pickle=[]".to_owned(),
        "flux.listen=[]".to_owned(),
    ]
}

fn toml(texts: &[String]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| format!("{text:?}")).collect();
    format!("[{}]", quoted.join(", "))
}

struct Names {
    /// As many as the plan has, all stored under the rules.
    stored: Vec<String>,
    /// The same, each with [`REFUSED`] refused ones behind it.
    mixed: Vec<String>,
}

fn names(plan: &Plan, rules: &Rules) -> Names {
    let all = (0..).map(|index| names::name(plan.seed, index));
    let (mut stored, mut refused) = (Vec::new(), Vec::new());
    let metrics = plan.metrics() as usize;
    for name in all {
        match rules.judge(name.as_bytes()) {
            Ok(()) => stored.push(name),
            Err(_) => refused.push(name),
        }
        if stored.len() >= metrics && refused.len() >= metrics * REFUSED as usize {
            break;
        }
    }
    stored.truncate(metrics);
    let behind = refused.chunks_exact(REFUSED as usize);
    let mixed = stored.iter().zip(behind).flat_map(|(stored, refused)| {
        std::iter::once(stored)
            .chain(refused)
            .cloned()
            .collect::<Vec<_>>()
    });
    Names {
        mixed: mixed.collect(),
        stored,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skyring::stats::DropReason;

    /// The measurement means something only if both kinds are refused, often.
    #[test]
    fn every_stored_name_has_foreign_and_skipped_ones_behind_it() {
        let rules = Rules::new(&skyring::Settings::load(None, &settings()).unwrap());
        let plan = Plan::new(2000, 1, 500);
        let Names { stored, mixed } = names(&plan, &rules);
        assert_eq!((stored.len(), mixed.len()), (2000, 8000));
        let mut counts = [0; 3];
        for (index, name) in mixed.iter().enumerate() {
            let judged = rules.judge(name.as_bytes());
            assert_eq!(judged.is_ok(), index % 4 == 0);
            counts[match judged {
                Ok(()) => 0,
                Err(DropReason::NotMine) => 1,
                Err(reason) => {
                    assert_eq!(reason, DropReason::Skipped);
                    2
                }
            }] += 1;
        }
        assert!(counts[1] > 3000 && counts[2] > 500, "{counts:?}");
    }
}
