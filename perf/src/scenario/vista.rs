//! Metrics fetched a second from one Graphite and one Prometheus, against what wrk gets
//! of them with the same requests. The source is alone on one CPU; wrk, or Vista and
//! Redis, are on the other. Vista runs in this process by a clock that has it fetch
//! minute after minute without a pause, and stores each point.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use skyring::source::graphite::{Render, Window};
use skyring::source::prometheus;
use skyring::vista::{Clock, DrivenClock};

use super::{Bench, ratios, turns};
use crate::redis::Redis;
use crate::report::{Findings, Table, Target, median};
use crate::server;
use crate::sources::Source;
use crate::wrk::Load;

/// Questions to the source at a time, by Vista and by wrk.
const CONNECTIONS: u64 = 16;
/// Targets of one question to Graphite.
const TARGETS: u64 = 20;
/// Longest that a minute's fetches may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// Points that the sources have before the first minute that is fetched.
const BEFORE_S: i64 = 1800;

/// Runs the scenario.
pub fn measure(bench: &Bench<'_>) -> Result<Findings> {
    let mut findings = Findings::default();
    if bench.program.is_none() {
        return Ok(findings);
    }
    let title = format!("vista: metrics a second, {CONNECTIONS} questions at a time");
    let mut table = Table::new(title, &["wrk, same requests", "skyring, stored"]);
    for kind in ["graphite", "prometheus"] {
        let rates = compare(bench, kind)?;
        let medians = [0, 1].map(|side: usize| median(rates[side].iter().copied()));
        table.row(kind, &medians);
        let [ratio, ..] = ratios(&rates[1], &rates[0]);
        let what = format!("metrics fetched a second from {kind}, against wrk");
        findings.targets.push(Target::at_least(&what, ratio, 0.8));
    }
    findings.tables.push(table);
    Ok(findings)
}

/// Rates of wrk and of Vista, in metrics a second, in turns.
fn compare(bench: &Bench<'_>, kind: &str) -> Result<[Vec<f64>; 2]> {
    // So many that the pause between two minutes, which no real clock has, is small
    // beside what is fetched in each.
    let metrics: u64 = match kind {
        "graphite" => bench.size(200, 800),
        _ => bench.size(400, 4_000),
    };
    let minutes: i64 = bench.size(2, 5);
    let rounds = bench.size(2, 6);
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() as i64;
    let begin_s = now_s / 60 * 60 - 10_800;
    let times = begin_s - BEFORE_S..begin_s + 7200;
    let source = match kind {
        "graphite" => Source::graphite(bench.cores.redis, metrics, &times)?,
        _ => Source::prometheus(bench.cores.redis, metrics, &times)?,
    };
    let redis = Redis::start(bench.cores.rest, bench.options.persistence)?;
    let fetcher = Fetcher::start(bench, &redis.socket(), &source, kind, metrics, begin_s)?;
    let script = script(kind, metrics, begin_s)?;
    let targets = if kind == "graphite" { TARGETS } else { 1 };
    let mut rates: [Vec<f64>; 2] = Default::default();
    for round in 0..rounds {
        for side in turns(round, 2) {
            bench
                .progress
                .begin(&format!("vista: {kind}, {} of {rounds}", round + 1));
            let rate = match side {
                0 => {
                    let load = Load {
                        cpu: bench.cores.rest,
                        connections: CONNECTIONS,
                        seconds: bench.size(1, 4),
                        script: &script,
                    };
                    let found = load.run(source.address)?;
                    if found.bad > 0 {
                        bail!("{kind} refused {} requests of wrk", found.bad);
                    }
                    found.requests_per_s * targets as f64
                }
                _ => fetcher.rate(minutes)?,
            };
            rates[side].push(rate);
        }
    }
    fetcher.finish()?;
    Ok(rates)
}

/// A server in this process that fetches.
struct Fetcher {
    server: skyring::Server,
    clock: Arc<DrivenClock>,
    metrics: u64,
    _state: tempfile::TempDir,
}

impl Fetcher {
    fn start(
        bench: &Bench<'_>,
        redis: &std::path::Path,
        source: &Source,
        kind: &str,
        metrics: u64,
        begin_s: i64,
    ) -> Result<Self> {
        let state = tempfile::Builder::new()
            .prefix("skyring-perf-state-")
            .tempdir()?;
        let entry = |at| {
            format!(
                "{{ remote_host = 'http://{}', remote_host_type = '{kind}', remote_target = \
                 'm{at}' }}",
                source.address
            )
        };
        let entries: Vec<String> = (0..metrics).map(entry).collect();
        let mut settings = server::settings(redis, state.path());
        settings.extend([
            format!("vista.fetch=[{}]", entries.join(", ")),
            format!("vista.source_requests_max={CONNECTIONS}"),
            format!("vista.batch_targets_max={TARGETS}"),
            "redis.full_duration_s=864000".to_owned(),
            "shards=1".to_owned(),
        ]);
        settings.extend(bench.options.settings.iter().cloned());
        let settings = skyring::Settings::load(None, &settings).context("settings")?;
        let clock = DrivenClock::at(begin_s);
        let server = skyring::Server::start_with_clock(settings, clock.clone())
            .context("the server in this process")?;
        if !server.wait_ready(Duration::from_secs(30)) {
            bail!("the server in this process was not ready in time");
        }
        let fetcher = Self {
            server,
            clock,
            metrics,
            _state: state,
        };
        // The first fetch has more points, and makes the series.
        fetcher.rate(1)?;
        Ok(fetcher)
    }

    /// Metrics a second over so many minutes.
    fn rate(&self, minutes: i64) -> Result<f64> {
        let begin = Instant::now();
        let until_s = self.clock.now_ms() / 1000 + minutes * 60;
        if !self.clock.run_until(until_s, PATIENCE) {
            bail!("the fetches of a minute took too long");
        }
        let took = begin.elapsed().as_secs_f64();
        Ok((self.metrics as i64 * minutes) as f64 / took)
    }

    /// Ends it; each metric must have been fetched each minute.
    fn finish(self) -> Result<()> {
        let stored = self.server.drain();
        if !stored.is_complete() {
            bail!("points were lost: {stored}");
        }
        if stored.stored < self.metrics {
            bail!("only {} points of {} metrics", stored.stored, self.metrics);
        }
        Ok(())
    }
}

/// What Vista asks in one minute, one after the other, for wrk.
fn script(kind: &str, metrics: u64, begin_s: i64) -> Result<String> {
    let names: Vec<String> = (0..metrics).map(|at| format!("m{at}")).collect();
    let paths: Vec<String> = match kind {
        "graphite" => {
            let render = Render::parse("default")?;
            let window = Window {
                from: Some(begin_s - 360),
                until: Some(begin_s + 60),
            };
            let asked = |targets: &[String]| {
                let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
                format!("{}?{}", render.path(), render.query(&targets, &window))
            };
            names.chunks(TARGETS as usize).map(asked).collect()
        }
        _ => {
            let asked = |name: &String| {
                let query = prometheus::range_query(name, begin_s - 180, begin_s, 60);
                format!("{}?{query}", prometheus::RANGE_PATH)
            };
            names.iter().map(asked).collect()
        }
    };
    let paths: Vec<String> = paths.iter().map(|path| format!("{path:?}")).collect();
    Ok(format!(
        "local paths = {{ {} }}\nlocal at = 0\nrequest = function()\n    at = at % #paths + 1\n    \
         return wrk.format('GET', paths[at], {{ ['Accept-Encoding'] = 'gzip' }})\nend\n",
        paths.join(", ")
    ))
}
