//! Many shapes of load, each for a short time, each compared in full.

use anyhow::Result;

use super::Bench;
use crate::plan::Plan;
use crate::report::{Findings, Table};
use crate::slice::{Slice, Writer, run};

/// Runs the scenario.
pub fn measure(bench: &Bench<'_>) -> Result<Findings> {
    let load = &bench.options.load;
    let redis = bench.redis()?;
    let stage = bench.stage(&redis, None);
    let mut table = Table::new(
        "matrix: closed loop",
        &[
            "points/s",
            "of the floor",
            "server ns/point",
            "Redis ns/point",
            "server / Redis",
        ],
    );
    let points = load.points.unwrap_or(bench.size(50_000, 1_000_000));
    let shapes = shapes(bench);
    for (index, plan) in shapes.iter().enumerate() {
        let plan = Plan {
            stamp: load.stamp,
            seed: load.seed,
            ..*plan
        };
        let names = plan.names();
        // A server of its own for each shape, so that none profits from another's metrics.
        let server = bench.server(&redis.socket())?;
        let slice = Slice {
            plan,
            names: &names,
            history: false,
            warm_rounds: 2,
            timed_rounds: plan.rounds_for(points),
            rate: None,
            warm_at_rate: false,
        };
        let name = format!(
            "p{} {:>3} connections {:>3} points/frame {:>7} metrics",
            plan.protocol,
            plan.lanes,
            plan.frame_points,
            plan.metrics()
        );
        let title = format!("matrix {} of {}: {name}", index + 1, shapes.len());
        let floor = Slice {
            plan: load.floor_plan(plan),
            ..slice
        };
        let floor = run(stage, Writer::Floor, floor, &title, || Ok(()))?;
        let Some(server) = server else {
            let rate = floor.points_per_s();
            table.row(
                name,
                &[rate, 1.0, f64::NAN, floor.redis_ns_per_point(), f64::NAN],
            );
            continue;
        };
        let outcome = run(stage, Writer::Server(&server), slice, &title, || Ok(()))?;
        server.end()?;
        let server_ns = outcome.server_ns_per_point();
        table.row(
            name,
            &[
                outcome.points_per_s(),
                outcome.points_per_s() / floor.points_per_s(),
                server_ns,
                outcome.redis_ns_per_point(),
                server_ns / outcome.redis_ns_per_point(),
            ],
        );
    }
    Ok(Findings {
        tables: vec![table],
        ..Findings::default()
    })
}

/// Every combination at full size; small, each value once beside a common middle.
fn shapes(bench: &Bench<'_>) -> Vec<Plan> {
    let protocols = [2, 0, 4];
    let connections = [16, 1, 256];
    let frames = [500, 1, 50];
    let metrics = [
        bench.size(10_000, 100_000),
        1000,
        bench.size(50_000, 1_000_000),
    ];
    let mut shapes = Vec::new();
    for (a, protocol) in protocols.into_iter().enumerate() {
        for (b, lanes) in connections.into_iter().enumerate() {
            for (c, frame_points) in frames.into_iter().enumerate() {
                for (d, metrics) in metrics.into_iter().enumerate() {
                    let apart = [a, b, c, d].iter().filter(|i| **i > 0).count();
                    if apart <= 1 || !bench.options.small {
                        let plan = Plan::new(metrics, lanes, frame_points);
                        shapes.push(Plan { protocol, ..plan });
                    }
                }
            }
        }
    }
    shapes
}
