//! Periods without points: metrics that get 0, or their last value, for each.
//!
//! | which | period | is due |
//! | --- | --- | --- |
//! | `flux.zero_fill`, `flux.last_known_value` | a minute | `flux.grace_s` after its end |
//! | `[[flux.aggregate]]` with one of the two | its interval | when its points, had there been any, would have been made |
//!
//! The points have the timestamps of the beginnings of their periods, which are
//! multiples of their lengths since 1970, and do not become the last of their metrics.
//! Filled are the metrics that this server has taken points of, and those in
//! `flux.last.metric_data`, where every metric is that Flux has ever delivered. That
//! hash is asked again before anything is filled, since another server may have
//! delivered a point. A metric is filled until it is taken out of the hash and this
//! server is restarted.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;
use redis::RedisResult;
use serde_json::Value;
use tokio::runtime::Handle as Runtime;

use super::intake::{FluxPoint, Intake, Origin};
use super::status::FillStatus;
use crate::background::{Background, Link, Stop};
use crate::literal;
use crate::logging::Throttle;
use crate::matcher::Matcher;
use crate::settings::{Aggregate, FluxSettings, Method, RedisUrl};
use crate::side_keys::now_s;

/// The last point of each metric that Flux has delivered, as text of a Python dict.
const LAST: &str = "flux.last.metric_data";
/// A period of what is not aggregated.
const MINUTE_S: i64 = 60;
/// How often the hash is gone through for metrics that other servers deliver.
const SEARCH: Duration = Duration::from_secs(300);
/// Fields of it that are gone through at a time.
const PAGE: usize = 1000;
/// Fields that are asked for at a time.
const ASKED: usize = 500;
/// Names of which it is remembered whether, and by which rule, they are filled.
const DECISIONS: usize = 100_000;
/// What a metric is reckoned to take, in bytes: what is known of it, its name, and
/// where they are kept.
const ENTRY_BYTES: u64 = (2 * size_of::<(Box<str>, Last)>() + 128) as u64;
/// Points that are handed over at a time.
const SUBMIT_POINTS: usize = 5000;
/// Longest wait for their delivery, so that the end of the server is not held up.
const SUBMIT_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest rest, so that changed settings are taken up.
const REST: Duration = Duration::from_secs(60);

static FAILED: Throttle = Throttle::new(Duration::from_secs(60));

/// What fills a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum With {
    Zero,
    Last,
}

/// Which metrics are filled, with what, and when.
struct Rule {
    matcher: Matcher,
    /// What stands at the end of the names that were made by aggregation; empty for
    /// others.
    methods: Vec<Method>,
    with: With,
    step_s: i64,
    /// How long after the end of a period it is due.
    delay_s: i64,
}

impl Rule {
    fn of_minute(pattern: &str, with: With, grace_s: u32) -> Self {
        Self {
            matcher: Matcher::new(pattern),
            methods: Vec::new(),
            with,
            step_s: MINUTE_S,
            delay_s: grace_s.into(),
        }
    }

    fn of_aggregate(rule: &Aggregate, grace_s: u32) -> Option<Self> {
        let with = match (rule.zero_fill, rule.last_known_value) {
            (true, _) => With::Zero,
            (_, true) => With::Last,
            _ => return None,
        };
        let has_suffix = rule.method_suffix || rule.method.len() > 1;
        Some(Self {
            matcher: Matcher::new(&rule.namespace),
            methods: if has_suffix {
                rule.method.clone()
            } else {
                Vec::new()
            },
            with,
            step_s: rule.interval.into(),
            // The points are made a grace after the end, and take a moment.
            delay_s: 2 * i64::from(grace_s) + 1,
        })
    }

    fn fits(&self, name: &str) -> bool {
        if self.methods.is_empty() {
            return self.matcher.fits(name);
        }
        let mut suffixes = self.methods.iter().map(|method| method.suffix());
        let raw = suffixes.find_map(|suffix| name.strip_suffix(suffix));
        raw.is_some_and(|raw| self.matcher.fits(raw))
    }

    /// The end of the newest period that is due by now.
    fn last_end(&self, now_s: i64) -> i64 {
        (now_s - self.delay_s).div_euclid(self.step_s) * self.step_s
    }
}

/// The rules in force, and what they say of names that were looked at.
struct Rules {
    rules: Vec<Rule>,
    decisions: Cache<Box<str>, Option<usize>>,
}

impl Rules {
    fn new(settings: &FluxSettings) -> Arc<Self> {
        let grace_s = settings.grace_s;
        let lists = [
            (&settings.zero_fill, With::Zero),
            (&settings.last_known_value, With::Last),
        ];
        let minutes = lists.into_iter().flat_map(|(patterns, with)| {
            let rule = move |pattern: &String| Rule::of_minute(pattern, with, grace_s);
            patterns.iter().map(rule)
        });
        let aggregates = settings.aggregate.iter();
        let aggregates = aggregates.filter_map(|rule| Rule::of_aggregate(rule, grace_s));
        Arc::new(Self {
            rules: minutes.chain(aggregates).collect(),
            decisions: Cache::new(DECISIONS),
        })
    }

    /// The first that fits.
    fn rule(&self, name: &str) -> Option<usize> {
        self.decisions.get(name).unwrap_or_else(|| {
            let decision = self.rules.iter().position(|rule| rule.fits(name));
            self.decisions.insert(name.into(), decision);
            decision
        })
    }
}

/// What metrics take in memory at most, in bytes.
pub(super) fn bytes_max(settings: &FluxSettings) -> u64 {
    match Rules::new(settings).rules.is_empty() {
        true => 0,
        false => settings.fill_metrics_max as u64 * ENTRY_BYTES,
    }
}

/// What is known of the metrics that are filled.
pub struct Filler {
    state: Mutex<State>,
}

struct State {
    rules: Arc<Rules>,
    metrics_max: usize,
    metrics: HashMap<Box<str>, Last>,
    status: FillStatus,
}

/// The newest point of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Last {
    timestamp: i64,
    /// Unknown where a source had nothing but a timestamp.
    value: Option<f64>,
}

impl Filler {
    /// Under these settings.
    pub fn new(settings: &FluxSettings) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                rules: Rules::new(settings),
                metrics_max: settings.fill_metrics_max,
                metrics: HashMap::new(),
                status: FillStatus::default(),
            }),
        })
    }

    /// Goes on under these settings.
    pub fn reload(&self, settings: &FluxSettings) {
        let mut state = self.lock();
        state.rules = Rules::new(settings);
        state.metrics_max = settings.fill_metrics_max;
        let rules = state.rules.clone();
        state.metrics.retain(|name, _| rules.rule(name).is_some());
    }

    /// Learns of points that were taken, whether or not they are delivered yet.
    pub fn saw(&self, points: &[FluxPoint]) {
        let rules = self.lock().rules.clone();
        if rules.rules.is_empty() {
            return;
        }
        let points = points.iter().filter(|point| !point.fill);
        let filled: Vec<&FluxPoint> = points
            .filter(|point| rules.rule(&point.metric).is_some())
            .collect();
        if filled.is_empty() {
            return;
        }
        let mut state = self.lock();
        for point in filled {
            let last = Last {
                timestamp: point.timestamp,
                value: Some(point.value),
            };
            state.learn(&point.metric, last);
        }
    }

    /// What it shows of itself.
    pub fn status(&self) -> FillStatus {
        let state = self.lock();
        FillStatus {
            metrics: state.metrics.len() as u64,
            ..state.status
        }
    }

    /// Starts the thread that fills.
    ///
    /// # Errors
    ///
    /// The system's, when it gives no thread.
    pub(crate) fn start(
        self: &Arc<Self>,
        runtime: Runtime,
        intake: Intake,
        url: RedisUrl,
    ) -> io::Result<Background> {
        let worker = Worker {
            filler: self.clone(),
            runtime,
            intake,
            link: Link::new(url),
            searched: None,
            done_to: now_s() as i64,
        };
        Background::start("skyring-flux-fill", move |stop| worker.run(stop))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Keeps the newer of what is known and `last`. Behind the bound, metrics that are
    /// new are not filled.
    fn learn(&mut self, name: &str, last: Last) {
        if let Some(known) = self.metrics.get_mut(name) {
            if known.timestamp <= last.timestamp {
                *known = last;
            }
        } else if self.metrics.len() < self.metrics_max {
            self.metrics.insert(name.into(), last);
        } else {
            self.status.not_kept += 1;
        }
    }

    /// The metrics of a rule that have no point from `start` on, as far as is known.
    fn without(&self, rule: usize, start: i64) -> Vec<(Box<str>, Last)> {
        let metrics = self.metrics.iter();
        metrics
            .filter(|(_, last)| last.timestamp < start)
            .filter(|(name, _)| self.rules.rule(name) == Some(rule))
            .map(|(name, last)| (name.clone(), *last))
            .collect()
    }
}

/// The thread that fills.
struct Worker {
    filler: Arc<Filler>,
    runtime: Runtime,
    intake: Intake,
    link: Link,
    /// When the hash was last gone through.
    searched: Option<Instant>,
    /// Until when everything that was due is done.
    done_to: i64,
}

impl Worker {
    fn run(mut self, stop: &Stop) {
        loop {
            let rules = self.filler.lock().rules.clone();
            let is_search_due = self.searched.is_none_or(|at| at.elapsed() >= SEARCH);
            if !rules.rules.is_empty() && is_search_due {
                match self.search(&rules, stop) {
                    Ok(()) => self.searched = Some(Instant::now()),
                    Err(error) => self.tell(&error.to_string()),
                }
            }
            let now_s = now_s() as i64;
            for (at, rule) in rules.rules.iter().enumerate() {
                let end = rule.last_end(now_s);
                if end > rule.last_end(self.done_to) {
                    self.fill(at, rule, end - rule.step_s);
                }
            }
            self.done_to = now_s;
            let next = rules.rules.iter().map(|rule| {
                let due = rule.last_end(now_s) + rule.step_s + rule.delay_s;
                Duration::from_secs((due - now_s).max(1) as u64)
            });
            if stop.wait(next.min().unwrap_or(REST).min(REST)) {
                return;
            }
        }
    }

    /// Learns of the metrics that are in the hash.
    fn search(&mut self, rules: &Rules, stop: &Stop) -> RedisResult<()> {
        let mut cursor = 0_u64;
        loop {
            let fields: Vec<Vec<u8>>;
            let mut page = redis::cmd("HSCAN");
            page.arg(LAST).arg(cursor).arg("COUNT").arg(PAGE);
            (cursor, fields) = self.link.query(&page)?;
            for field in fields.chunks_exact(2) {
                let (Ok(name), Some(last)) = (std::str::from_utf8(&field[0]), read(&field[1]))
                else {
                    continue;
                };
                if rules.rule(name).is_some() {
                    self.filler.lock().learn(name, last);
                }
            }
            if cursor == 0 || stop.is_told() {
                return Ok(());
            }
        }
    }

    /// Fills the period from `start` on for the metrics of a rule that have no point
    /// in it or after it.
    fn fill(&mut self, at: usize, rule: &Rule, start: i64) {
        let metrics = self.filler.lock().without(at, start);
        for metrics in metrics.chunks(ASKED) {
            let points = match self.points(metrics, rule, start) {
                Ok(points) => points,
                // Without the hash nothing tells whether there is a point.
                Err(error) => {
                    self.filler.lock().status.failed += metrics.len() as u64;
                    self.tell(&error.to_string());
                    continue;
                }
            };
            for points in points.chunks(SUBMIT_POINTS) {
                self.submit(points.to_vec());
            }
        }
    }

    fn submit(&self, points: Vec<FluxPoint>) {
        let count = points.len() as u64;
        let submitted = self.runtime.block_on(async {
            let submitted = self.intake.submit(Origin::Fill, points);
            tokio::time::timeout(SUBMIT_TIMEOUT, submitted).await
        });
        let error = match submitted {
            Ok(Ok(_)) => {
                self.filler.lock().status.filled += count;
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "not delivered in time".to_owned(),
        };
        self.filler.lock().status.failed += count;
        self.tell(&error);
    }

    /// The points that fill a period of those metrics that, as the hash says, have
    /// none.
    fn points(
        &mut self,
        metrics: &[(Box<str>, Last)],
        rule: &Rule,
        start: i64,
    ) -> RedisResult<Vec<FluxPoint>> {
        let mut command = redis::cmd("HMGET");
        command.arg(LAST);
        for (name, _) in metrics {
            command.arg(&**name);
        }
        let texts: Vec<Option<Vec<u8>>> = self.link.query(&command)?;
        let mut points = Vec::new();
        for ((name, known), text) in metrics.iter().zip(texts) {
            let mut last = *known;
            if let Some(told) = text.and_then(|text| read(&text))
                && told.timestamp > last.timestamp
            {
                last = told;
                self.filler.lock().learn(name, told);
            }
            if last.timestamp >= start {
                continue;
            }
            let value = match rule.with {
                With::Zero => Some(0.0),
                With::Last => last.value,
            };
            points.extend(value.map(|value| FluxPoint {
                metric: name.to_string(),
                timestamp: start,
                value,
                fill: true,
            }));
        }
        Ok(points)
    }

    fn tell(&self, error: &str) {
        if let Some(suppressed) = FAILED.admit() {
            tracing::warn!(suppressed, "periods without points are not filled: {error}");
        }
    }
}

/// Reads `{'timestamp': 1478021700, 'value': 1.2}`, whose value may be `None` or `nan`.
fn read(text: &[u8]) -> Option<Last> {
    let value = literal::parse(std::str::from_utf8(text).ok()?).ok()?;
    Some(Last {
        timestamp: value.get("timestamp")?.as_i64()?,
        value: value.get("value").and_then(Value::as_f64),
    })
}
