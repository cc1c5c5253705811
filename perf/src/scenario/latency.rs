//! From the scheduled send time to Redis's answer, in an open loop at half of the
//! capacity, against the same open loop of ready-made commands, both through the
//! same proxy.

use anyhow::Result;
use hdrhistogram::Histogram;

use super::{Bench, describe, floor_first};
use crate::proxy::Proxy;
use crate::report::{Findings, Table, Target, Timeline, median};
use crate::slice::{Outcome, Slice, Writer, run};

const QUANTILES: [f64; 7] = [0.5, 0.75, 0.9, 0.99, 0.999, 0.9999, 1.0];

/// Runs the scenario.
pub fn measure(bench: &Bench<'_>) -> Result<Findings> {
    let load = &bench.options.load;
    // A relay's own frames hold up to 500 points, and most of a busy relay's do.
    let plan = load.plan(bench.size(20_000, 100_000), 4, 500);
    let slices = load.slices.unwrap_or(bench.size(2, 6));
    let seconds = load.seconds.unwrap_or(bench.size(4, 60)) as f64 / slices as f64;
    let names = plan.names();
    let probe = Slice {
        plan,
        names: &names,
        history: true,
        warm_rounds: 2,
        timed_rounds: plan.rounds_for(bench.size(200_000, 1_000_000)),
        rate: None,
        warm_at_rate: false,
    };
    let redis = bench.redis()?;
    let dir = tempfile::Builder::new()
        .prefix("skyring-perf-proxy-")
        .tempdir()?;
    let proxy = Proxy::start(&dir.path().join("proxy.sock"), &redis.socket())?;
    let server = bench.server(proxy.path())?;
    // Its capacity is measured without the proxy, which costs some of it.
    let direct = bench.server(&redis.socket())?;
    let prober = direct.as_ref().map_or(Writer::Floor, Writer::Server);
    let (mut rates, mut floors, mut servers) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..slices {
        let title = |what| format!("latency: {what} {} of {slices}", pair + 1);
        // Before each pair: half of the capacity of a minute ago can be all of it now.
        let rate = match load.rate {
            Some(rate) => rate as f64,
            None => {
                let stage = bench.stage(&redis, None);
                let probed = run(stage, prober, probe, &title("capacity"), || Ok(()))?;
                probed.points_per_s() / 2.0
            }
        };
        let slice = Slice {
            timed_rounds: plan.rounds_for((rate * seconds) as u64),
            rate: Some(rate),
            ..probe
        };
        let stage = bench.stage(&redis, Some(&proxy));
        for floor in [floor_first(pair), !floor_first(pair)] {
            if floor {
                // As many connections as the server has, so that frames are due
                // at the same times on both sides.
                floors.push(run(
                    stage,
                    Writer::Floor,
                    slice,
                    &title("floor"),
                    || Ok(()),
                )?);
            } else if let Some(server) = &server {
                let writer = Writer::Server(server);
                servers.push(run(stage, writer, slice, &title("server"), || Ok(()))?);
            }
        }
        rates.push(rate);
    }
    server.map_or(Ok(()), |s| s.end())?;
    direct.map_or(Ok(()), |s| s.end())?;
    let mut findings = Findings::default();
    report(&mut findings, &describe(&plan), &rates, &floors, &servers)?;
    Ok(findings)
}

fn report(
    findings: &mut Findings,
    plan: &str,
    rates: &[f64],
    floors: &[Outcome],
    servers: &[Outcome],
) -> Result<()> {
    let mut table = Table::new(
        format!(
            "latency at {:.0} to {:.0} points/s, us from scheduled send to Redis's answer: {plan}",
            rates.iter().copied().fold(f64::INFINITY, f64::min),
            rates.iter().copied().fold(0.0, f64::max)
        ),
        &[
            "points", "mean", "p50", "p75", "p90", "p99", "p99.9", "p99.99", "max",
        ],
    );
    let mut cost = Table::new(
        "latency: what the loop itself cost",
        &[
            "sender late p99 us",
            "sender late max us",
            "server ns/point",
            "Redis ns/point",
        ],
    );
    let mut merged = Vec::new();
    for (name, outcomes) in [("floor", floors), ("server", servers)] {
        if outcomes.is_empty() {
            continue;
        }
        let all = merge(
            outcomes
                .iter()
                .filter_map(|o| o.recorder.as_ref())
                .map(|r| &r.histogram),
        )?;
        let mut figures = vec![all.len() as f64, all.mean()];
        figures.extend(QUANTILES.map(|q| all.value_at_quantile(q) as f64));
        table.row(name, &figures);
        let late = merge(outcomes.iter().map(|o| &o.pumped.late_us))?;
        cost.row(
            name,
            &[
                late.value_at_quantile(0.99) as f64,
                late.max() as f64,
                median(outcomes.iter().map(Outcome::server_ns_per_point)),
                median(outcomes.iter().map(Outcome::redis_ns_per_point)),
            ],
        );
        merged.push(all);
    }
    findings.tables.extend([table, cost]);
    if let [floor, server] = &merged[..] {
        let ratio = |q| server.value_at_quantile(q) as f64 / floor.value_at_quantile(q) as f64;
        let p99 = |o: &Outcome| {
            o.recorder
                .as_ref()
                .map_or(f64::NAN, |r| r.histogram.value_at_quantile(0.99) as f64)
        };
        let pairs: Vec<f64> = floors
            .iter()
            .zip(servers)
            .map(|(f, s)| p99(s) / p99(f))
            .collect();
        let mut table = Table::new("latency: ratios, server / floor", &["ratio"]);
        for (name, q) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)] {
            table.row(name, &[ratio(q)]);
        }
        table.row(
            "p99, least of neighbouring slices",
            &[pairs.iter().copied().fold(f64::INFINITY, f64::min)],
        );
        table.row(
            "p99, most of neighbouring slices",
            &[pairs.iter().copied().fold(0.0, f64::max)],
        );
        findings.tables.push(table);
        // The medians of the slices: one slice in a bad moment of the machine
        // would else decide the whole.
        let p99 = median(servers.iter().map(p99)) / median(floors.iter().map(p99));
        let what = "p99 from scheduled send to Redis's answer against the floor";
        findings.targets.push(Target::at_most(what, p99, 3.0));
    }
    for (floor, outcomes) in [(true, floors), (false, servers)] {
        for (index, outcome) in outcomes.iter().enumerate() {
            let latency = outcome
                .recorder
                .as_ref()
                .map(|r| r.timeline())
                .unwrap_or_default();
            findings.timelines.push(Timeline {
                name: format!("latency {}", index + 1),
                floor,
                // The last bucket is not full.
                rate: latency[..latency.len().saturating_sub(1)]
                    .iter()
                    .map(|b| (b.at_s, b.points_per_s))
                    .collect(),
                latency,
            });
        }
    }
    Ok(())
}

fn merge<'a>(parts: impl Iterator<Item = &'a Histogram<u64>>) -> Result<Histogram<u64>> {
    let mut all = Histogram::new_with_bounds(1, 600_000_000, 3)?;
    for part in parts {
        all.add(part)?;
    }
    Ok(all)
}
