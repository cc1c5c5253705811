//! Flux: requests a second against nginx on the same CPU, dry runs against Python's
//! reading of the same bodies, points stored against the pickle path, and what a full
//! Flux costs the data plane. What is held against a program of another's on the same
//! CPU is counted for each second of its CPU time, the kernel's part of it included, so
//! that others on the machine cost neither side anything.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{Bench, describe, ratios, turns};
use crate::plan::{Calendar, Plan, Stamp, value};
use crate::posts::{self, KEY};
use crate::redis::Redis;
use crate::report::{Findings, Table, Target, median};
use crate::server::{FLUX, Server};
use crate::slice::{Outcome, Slice, Writer, run};
use crate::tape::Page;
use crate::wrk::{Load, Nginx, python_loads_per_s};

/// Connections of wrk.
const CONNECTIONS: u64 = 64;
/// Metrics in a POST: as many as Skyline's document advises at most.
const POSTED: u64 = 450;

/// Runs the scenario.
pub fn measure(bench: &Bench<'_>) -> Result<Findings> {
    let mut findings = Findings::default();
    let redis = bench.redis()?;
    let settings = [
        "flux.listen=[\"127.0.0.1:0\"]".to_owned(),
        format!("flux.self_key={KEY}"),
        "horizon.pickle=[\"127.0.0.1:0\"]".to_owned(),
    ];
    let Some(server) = bench.server_with(&redis.socket(), &settings)? else {
        return Ok(findings);
    };
    requests(bench, &server, &mut findings)?;
    dry_runs(bench, &server, &mut findings)?;
    stored(bench, &redis, &server, &mut findings)?;
    data_plane(bench, &redis, &server, &mut findings)?;
    server.end()?;
    Ok(findings)
}

/// `GET /metric_data` with a new point in each, against an empty 204 to the same.
fn requests(bench: &Bench<'_>, server: &Server, findings: &mut Findings) -> Result<()> {
    let nginx = Nginx::start(bench.cores.rest)?;
    let mut rates: [Vec<f64>; 2] = Default::default();
    let mut walls: [Vec<f64>; 2] = Default::default();
    let rounds = bench.size(2, 6);
    let first = Calendar::new(1).second(0) - 2000;
    for round in 0..rounds {
        for side in turns(round, 2) {
            // Points must be newer than those of the round before.
            let script = format!(
                "local n = 0\nrequest = function()\n    n = n + 1\n    return wrk.format('GET', \
                 '/metric_data?metric=flux.web' .. (n % 1000) .. '.cpu.user&value=' .. n .. \
                 '.5&timestamp=' .. ({first} + {round} * 400 + math.floor(n / 1000)) .. \
                 '&key={KEY}')\nend\n"
            );
            let load = Load {
                cpu: bench.cores.redis,
                connections: CONNECTIONS,
                seconds: bench.size(1, 4),
                script: &script,
            };
            bench
                .progress
                .begin(&format!("flux: GET, {} of {rounds}", round + 1));
            let cpu_ns = || match side {
                0 => nginx.cpu_ns(),
                _ => Ok(server.cpu()?.all_ns),
            };
            let address = match side {
                0 => nginx.address,
                _ => server.address(FLUX)?,
            };
            let before = cpu_ns()?;
            let found = load.run(address)?;
            if found.bad > 0 {
                bail!("{} requests were refused", found.bad);
            }
            rates[side].push(found.requests / seconds(cpu_ns()? - before));
            walls[side].push(found.requests_per_s);
        }
    }
    let title = format!("flux: GET /metric_data, {CONNECTIONS} connections");
    let columns = ["requests/s of its CPU time", "requests/s"];
    let mut table = Table::new(title, &columns);
    for (side, name) in ["nginx, empty 204", "skyring, stored"]
        .into_iter()
        .enumerate()
    {
        let medians = [&rates[side], &walls[side]].map(|all| median(all.iter().copied()));
        table.row(name, &medians);
    }
    findings.tables.push(table);
    let [ratio, ..] = ratios(&rates[1], &rates[0]);
    let what = "GET /metric_data, requests a second, against an empty 204 of nginx";
    findings.targets.push(Target::at_least(what, ratio, 0.5));
    Ok(())
}

/// POSTs of 450 metrics with `test`, against Python's `json.loads` of the same body.
fn dry_runs(bench: &Bench<'_>, server: &Server, findings: &mut Findings) -> Result<()> {
    let body = dry_body();
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), &body)?;
    let script = post_script(file.path());
    let mut rates: [Vec<f64>; 2] = Default::default();
    let rounds = bench.size(2, 6);
    for round in 0..rounds {
        for side in turns(round, 2) {
            bench
                .progress
                .begin(&format!("flux: dry runs, {} of {rounds}", round + 1));
            let duration = bench.size(1, 3);
            let rate = match side {
                0 => python_loads_per_s(bench.cores.rest, file.path(), duration as f64)?,
                _ => {
                    let load = Load {
                        cpu: bench.cores.redis,
                        connections: 8,
                        seconds: duration,
                        script: &script,
                    };
                    let before = server.cpu()?;
                    let found = load.run(server.address(FLUX)?)?;
                    if found.bad > 0 {
                        bail!("{} dry runs were refused", found.bad);
                    }
                    found.requests / seconds(server.cpu()?.since(&before).all_ns)
                }
            };
            rates[side].push(rate * POSTED as f64);
        }
    }
    let title = format!("flux: POSTs of {POSTED} metrics, test: true");
    let mut table = Table::new(title, &["points/s of its CPU time"]);
    table.row("Python's json.loads", &[median(rates[0].iter().copied())]);
    table.row(
        "skyring, the whole server",
        &[median(rates[1].iter().copied())],
    );
    findings.tables.push(table);
    let [ratio, ..] = ratios(&rates[1], &rates[0]);
    let what = "points a second in POSTs with test: true, against Python's json.loads";
    findings.targets.push(Target::at_least(what, ratio, 2.0));
    Ok(())
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// Has wrk POST what is in a file.
fn post_script(body: &Path) -> String {
    format!(
        "local file = io.open('{}', 'rb')\nwrk.method = 'POST'\nwrk.path = \
         '/metric_data_post'\nwrk.body = file:read('*a')\nfile:close()\n",
        body.display()
    )
}

fn dry_body() -> Vec<u8> {
    let plan = Plan::new(POSTED, 1, POSTED);
    let names = plan.names();
    let now = Calendar::new(1).second(0);
    let (mut bytes, mut marks) = (Vec::new(), Vec::new());
    let points = names.iter().zip(0..);
    let points = points.map(|(name, m)| (name.as_str(), now, value(m)));
    let page = &mut Page {
        bytes: &mut bytes,
        marks: &mut marks,
    };
    posts::body(page, points, ", \"test\": true");
    bytes
}

/// The same points stored from POSTs and from pickles.
fn stored(
    bench: &Bench<'_>,
    redis: &Redis,
    server: &Server,
    findings: &mut Findings,
) -> Result<()> {
    let load = &bench.options.load;
    let plan = Plan {
        stamp: Stamp::Int,
        ..load.plan(bench.size(20_000, 100_000), 8, POSTED)
    };
    let slices = load.slices.unwrap_or(bench.size(2, 6));
    let points = load.points.unwrap_or(bench.size(400_000, 4_000_000));
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
    let sides = [
        ("pickle", Writer::Server(server)),
        ("POST", Writer::Posts(server)),
    ];
    let mut outcomes: [Vec<Outcome>; 2] = Default::default();
    for round in 0..slices {
        for side in turns(round, sides.len()) {
            let (name, writer) = sides[side];
            let title = format!("flux: {name} {} of {slices}", round + 1);
            let stage = bench.stage(redis, None);
            outcomes[side].push(run(stage, writer, slice, &title, || Ok(()))?);
        }
    }
    let columns = [
        "points timed",
        "points/s",
        "Redis ns/point",
        "server ns/point",
    ];
    let title = format!("flux: stored, {}", describe(&plan));
    let mut table = Table::new(title, &columns);
    for ((name, _), outcomes) in sides.iter().zip(&outcomes) {
        let figures = [
            outcomes.iter().map(|o| o.points as f64).sum(),
            median(outcomes.iter().map(Outcome::points_per_s)),
            median(outcomes.iter().map(Outcome::redis_ns_per_point)),
            median(outcomes.iter().map(Outcome::server_ns_per_point)),
        ];
        table.row(*name, &figures);
    }
    findings.tables.push(table);
    let rates = |side: usize| -> Vec<f64> {
        let outcomes = outcomes[side].iter();
        outcomes.map(Outcome::points_per_s).collect()
    };
    let [ratio, ..] = ratios(&rates(1), &rates(0));
    let what = "points stored a second from POSTs, against the pickle path";
    findings.targets.push(Target::at_least(what, ratio, 0.5));
    Ok(())
}

/// CPU of the shards a point that comes in pickles, with Flux full of dry runs and with
/// Flux idle.
fn data_plane(
    bench: &Bench<'_>,
    redis: &Redis,
    server: &Server,
    findings: &mut Findings,
) -> Result<()> {
    let load = &bench.options.load;
    let plan = load.plan(bench.size(20_000, 100_000), 4, 500);
    let names = plan.names();
    let rounds = bench.size(2, 6);
    let points = load.points.unwrap_or(bench.size(400_000, 4_000_000));
    let slice = Slice {
        plan,
        names: &names,
        history: false,
        warm_rounds: 1,
        timed_rounds: plan.rounds_for(points.div_ceil(rounds)),
        rate: None,
        warm_at_rate: false,
    };
    let body = tempfile::NamedTempFile::new()?;
    std::fs::write(body.path(), dry_body())?;
    let script = post_script(body.path());
    let mut ns: [Vec<f64>; 2] = Default::default();
    for round in 0..rounds {
        for side in turns(round, 2) {
            let flood = Load {
                cpu: bench.cores.redis,
                connections: 8,
                // It is ended with the slice.
                seconds: 120,
                script: &script,
            };
            let flood = match side {
                0 => None,
                _ => Some(flood.start(server.address(FLUX)?)?),
            };
            let name = ["idle", "full"][side];
            let title = format!("flux: data plane, {name} {} of {rounds}", round + 1);
            let outcome = run(
                bench.stage(redis, None),
                Writer::Server(server),
                slice,
                &title,
                || Ok(()),
            );
            if let Some(flood) = flood {
                flood.kill()?;
            }
            let outcome = outcome?;
            let cpu = outcome
                .server
                .context("the CPU of the server is not known")?;
            ns[side].push(cpu.named_ns as f64 / outcome.points as f64);
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    let title = "flux: data plane, pickles stored while Flux has dry runs";
    let mut table = Table::new(title, &["shard ns/point"]);
    table.row("Flux idle", &[median(ns[0].iter().copied())]);
    table.row("Flux full", &[median(ns[1].iter().copied())]);
    findings.tables.push(table);
    let [ratio, ..] = ratios(&ns[1], &ns[0]);
    let what = "data-plane CPU a point with Flux full, against Flux idle";
    findings.targets.push(Target::at_most(what, ratio, 1.1));
    Ok(())
}
