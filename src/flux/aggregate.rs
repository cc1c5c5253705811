//! Aggregation: of the points of a metric in each period of some seconds, one point
//! is made by each method.
//!
//! ```text
//! points of requests -> claim -> periods of each metric -> due -> the intake
//! ```
//!
//! Periods begin at multiples of their length since 1970, and the points made have
//! the timestamps of their beginnings. A period is due `flux.grace_s` after its end,
//! or after its first point where that came later, as points do that a client has
//! kept while it could not send. What comes for a period after it, or after a newer
//! one of its metric, was sent is late, and counted. Points that fill gaps are
//! aggregated by themselves, however old, and fill gaps as well.
//!
//! Periods are in memory only, within a bound; at the end of the server they are sent
//! as they are.

mod sums;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quick_cache::sync::Cache;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::intake::{FluxPoint, Intake, Origin, Unavailable};
use super::status::AggregateStatus;
use crate::logging::Throttle;
use crate::matcher::Matcher;
use crate::settings::{Aggregate, FluxSettings, Method};
use crate::side_keys::now_s;
use sums::Sums;

/// Names of which it is remembered whether, and by which rule, they are aggregated.
const DECISIONS: usize = 100_000;
/// What a metric with one period is reckoned to take, in bytes: both, the name, and
/// where they are kept.
const ENTRY_BYTES: u64 =
    (size_of::<Series>() + size_of::<Sums>() + 2 * size_of::<(Arc<str>, Key)>() + 256) as u64;
/// How long after a period was sent later points of its metric are told from others.
const MEMORY_S: i64 = 3600;
/// When it is worth trying again when there is no room for more periods.
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// Points that are handed over at a time.
const SUBMIT_POINTS: usize = 5000;

static FAILED: Throttle = Throttle::new(Duration::from_secs(60));

/// One of `flux.aggregate`, ready for use.
#[derive(Debug)]
pub(super) struct Rule {
    pub settings: Aggregate,
    pub matcher: Matcher,
}

impl Rule {
    fn new(settings: &Aggregate) -> Arc<Self> {
        Arc::new(Self {
            matcher: Matcher::new(&settings.namespace),
            settings: settings.clone(),
        })
    }

    /// Length of a period, in seconds.
    pub fn interval(&self) -> i64 {
        self.settings.interval.into()
    }

    /// What stands behind a metric's name, for each method.
    pub fn suffixes(&self) -> impl Iterator<Item = (Method, &'static str)> {
        let methods = &self.settings.method;
        let has_suffix = self.settings.method_suffix || methods.len() > 1;
        methods.iter().map(move |method| {
            let suffix = if has_suffix { method.suffix() } else { "" };
            (*method, suffix)
        })
    }
}

/// The rules in force, and what they say of names that were looked at.
struct Rules {
    rules: Vec<Arc<Rule>>,
    decisions: Cache<Box<str>, Option<usize>>,
}

impl Rules {
    fn new(settings: &FluxSettings) -> Arc<Self> {
        Arc::new(Self {
            rules: settings.aggregate.iter().map(Rule::new).collect(),
            decisions: Cache::new(DECISIONS),
        })
    }

    /// The first that fits.
    fn rule(&self, name: &str) -> Option<&Arc<Rule>> {
        let decision = self.decisions.get(name).unwrap_or_else(|| {
            let decision = self.rules.iter().position(|rule| rule.matcher.fits(name));
            self.decisions.insert(name.into(), decision);
            decision
        });
        self.rules.get(decision?)
    }
}

/// What periods and metrics take in memory at most, in bytes.
pub(super) fn bytes_max(settings: &FluxSettings) -> u64 {
    match settings.aggregate.is_empty() {
        true => 0,
        false => settings.aggregate_periods_max as u64 * ENTRY_BYTES,
    }
}

/// See the module.
pub struct Aggregator {
    state: Mutex<State>,
    /// Wakes the task when the first period opens.
    work: Notify,
}

struct State {
    rules: Arc<Rules>,
    grace_s: i64,
    periods_max: usize,
    series: HashMap<Arc<str>, Series>,
    /// When periods are due, in seconds since 1970.
    due: BTreeMap<i64, Vec<(Arc<str>, Key)>>,
    /// Room that claims hold.
    claimed: usize,
    open: usize,
    /// Points made that nobody has taken yet.
    made: Vec<FluxPoint>,
    status: AggregateStatus,
}

/// A period of a metric: its beginning, and whether its points fill gaps.
type Key = (i64, bool);

/// A metric that is aggregated.
struct Series {
    rule: Arc<Rule>,
    open: BTreeMap<Key, Sums>,
    /// The beginning of the newest period that was sent.
    sent: Option<i64>,
    /// When that was, in seconds since 1970.
    sent_at: i64,
}

/// Points that are to be aggregated, and the room for them. Dropping it gives up both.
pub struct Claim {
    aggregator: Arc<Aggregator>,
    points: Vec<(FluxPoint, Arc<Rule>)>,
}

impl Aggregator {
    /// Under these settings.
    pub(super) fn new(settings: &FluxSettings) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                rules: Rules::new(settings),
                grace_s: settings.grace_s.into(),
                periods_max: settings.aggregate_periods_max,
                series: HashMap::new(),
                due: BTreeMap::new(),
                claimed: 0,
                open: 0,
                made: Vec::new(),
                status: AggregateStatus::default(),
            }),
            work: Notify::new(),
        })
    }

    /// Goes on under these settings. A metric whose rule has changed has its periods
    /// sent as they are with its next point.
    pub fn reload(&self, settings: &FluxSettings) {
        let mut state = self.lock();
        state.rules = Rules::new(settings);
        state.grace_s = settings.grace_s.into();
        state.periods_max = settings.aggregate_periods_max;
    }

    /// Splits points into those that are to be aggregated, for which it claims room,
    /// and the others, in their order. Nothing is aggregated before the claim is
    /// kept: the others may yet be refused.
    ///
    /// # Errors
    ///
    /// When there is no room for more periods.
    pub fn claim(
        self: &Arc<Self>,
        points: Vec<FluxPoint>,
    ) -> Result<(Claim, Vec<FluxPoint>), Unavailable> {
        let mut claim = Claim {
            aggregator: self.clone(),
            points: Vec::new(),
        };
        let rules = self.lock().rules.clone();
        if rules.rules.is_empty() {
            return Ok((claim, points));
        }
        let mut others = Vec::with_capacity(points.len());
        let mut claimed = Vec::new();
        for point in points {
            match rules.rule(&point.metric) {
                Some(rule) => claimed.push((point, rule.clone())),
                None => others.push(point),
            }
        }
        self.lock().make_room(claimed.len())?;
        claim.points = claimed;
        Ok((claim, others))
    }

    /// What it shows of itself.
    pub fn status(&self) -> AggregateStatus {
        let state = self.lock();
        AggregateStatus {
            metrics: state.series.len() as u64,
            periods: state.open as u64,
            waiting: state.made.len() as u64,
            ..state.status
        }
    }

    /// Hands over what is due, until it is dropped.
    pub(super) async fn run(self: Arc<Self>, intake: Intake) {
        loop {
            let next = self.lock().due.first_key_value().map(|(at, _)| *at);
            let wait = next.map(|at| Duration::from_secs((at - now_s() as i64).max(0) as u64));
            match wait {
                Some(Duration::ZERO) => {}
                // Whatever is due earlier than it was when this wait began wakes it.
                Some(wait) => {
                    tokio::select! {
                        () = sleep(wait) => {}
                        () = self.work.notified() => {}
                    }
                    continue;
                }
                None => {
                    self.work.notified().await;
                    continue;
                }
            }
            self.lock().close_due(now_s() as i64);
            while let Some(retry_after) = self.hand_over(&intake).await {
                sleep(retry_after).await;
            }
        }
    }

    /// Hands over all periods as they are. What is not taken stays, and is counted as
    /// waiting.
    pub(super) async fn finish(&self, intake: &Intake) {
        self.lock().close_due(i64::MAX);
        let _ = self.hand_over(intake).await;
    }

    /// Hands over the points made; when to try again, if not all were taken.
    async fn hand_over(&self, intake: &Intake) -> Option<Duration> {
        loop {
            let points: Vec<FluxPoint> = {
                let state = self.lock();
                let count = state.made.len().min(SUBMIT_POINTS);
                state.made[..count].to_vec()
            };
            if points.is_empty() {
                return None;
            }
            let count = points.len();
            match intake.submit(Origin::Aggregate, points).await {
                Ok(_) => drop(self.lock().made.drain(..count)),
                Err(error) => {
                    if let Some(suppressed) = FAILED.admit() {
                        tracing::warn!(suppressed, "aggregated points wait: {error}");
                    }
                    return Some(error.retry_after().unwrap_or(Duration::MAX));
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim {
    /// Aggregates the points, and says how many those are.
    pub fn keep(mut self) -> u64 {
        let points = std::mem::take(&mut self.points);
        if points.is_empty() {
            return 0;
        }
        let count = points.len();
        let now_s = now_s() as i64;
        let mut state = self.aggregator.lock();
        state.claimed -= count;
        let first_due = state.first_due();
        for (point, rule) in points {
            state.add(&point, rule, now_s);
        }
        let is_sooner = state.first_due() < first_due;
        drop(state);
        if is_sooner {
            self.aggregator.work.notify_one();
        }
        count as u64
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.points.is_empty() {
            self.aggregator.lock().claimed -= self.points.len();
        }
    }
}

impl State {
    /// Claims room for so many points, each of which may open a period of a metric
    /// that is new.
    fn make_room(&mut self, points: usize) -> Result<(), Unavailable> {
        let has_room = |state: &Self| {
            let used = state.open.max(state.series.len()) + state.claimed + state.made.len();
            used + points <= state.periods_max
        };
        if !has_room(self) {
            self.series.retain(|_, series| !series.open.is_empty());
        }
        // Points that alone are more than there is ever room for are taken when there
        // is nothing else: what bounds them is a request's own bound.
        if points > 0 && !has_room(self) && self.open + self.claimed + self.made.len() > 0 {
            self.status.refused += points as u64;
            let retry_after = RETRY_AFTER;
            return Err(Unavailable::Full { retry_after });
        }
        self.claimed += points;
        Ok(())
    }

    fn first_due(&self) -> i64 {
        self.due.first_key_value().map_or(i64::MAX, |(at, _)| *at)
    }

    fn add(&mut self, point: &FluxPoint, rule: Arc<Rule>, now_s: i64) {
        let interval = rule.interval();
        let start = point.timestamp.div_euclid(interval) * interval;
        let key = (start, point.fill);
        let name = match self.series.get_key_value(point.metric.as_str()) {
            Some((name, series)) => {
                let name = name.clone();
                if series.rule.settings != rule.settings {
                    self.close_series(&name, now_s);
                    self.series.remove(&name);
                }
                name
            }
            None => Arc::from(point.metric.as_str()),
        };
        let series = self.series.entry(name.clone()).or_insert_with(|| Series {
            rule,
            open: BTreeMap::new(),
            sent: None,
            sent_at: now_s,
        });
        if !point.fill && series.sent.is_some_and(|sent| start <= sent) {
            self.status.late += 1;
            return;
        }
        self.status.points += 1;
        let sums = series.open.entry(key).or_insert_with(|| {
            let due = now_s.max(start + interval) + self.grace_s;
            self.due.entry(due).or_default().push((name, key));
            self.open += 1;
            Sums::default()
        });
        sums.add(point.value);
    }

    /// Makes the points of all periods that are due by now, the oldest first.
    fn close_due(&mut self, now_s: i64) {
        let later = self.due.split_off(&now_s.saturating_add(1));
        let due = std::mem::replace(&mut self.due, later);
        let mut due: Vec<(Arc<str>, Key)> = due.into_values().flatten().collect();
        due.sort_by_key(|(_, key)| *key);
        for (name, key) in due {
            self.close(&name, key, now_s);
        }
        let forgotten = now_s.saturating_sub(MEMORY_S);
        self.series
            .retain(|_, series| !series.open.is_empty() || series.sent_at > forgotten);
    }

    /// Makes the points of all periods of a metric.
    fn close_series(&mut self, name: &str, now_s: i64) {
        let Some(series) = self.series.get(name) else {
            return;
        };
        let keys: Vec<Key> = series.open.keys().copied().collect();
        for key in keys {
            self.close(name, key, now_s);
        }
    }

    /// Makes the points of one period, unless that was done.
    fn close(&mut self, name: &str, key: Key, now_s: i64) {
        let Some(series) = self.series.get_mut(name) else {
            return;
        };
        let Some(sums) = series.open.remove(&key) else {
            return;
        };
        self.open -= 1;
        let (start, fill) = key;
        if !fill {
            series.sent = series.sent.max(Some(start));
            series.sent_at = now_s;
        }
        for (method, suffix) in series.rule.suffixes() {
            let value = sums.value(method);
            if !value.is_finite() {
                self.status.overflowed += 1;
                continue;
            }
            self.status.made += 1;
            self.made.push(FluxPoint {
                metric: format!("{name}{suffix}"),
                timestamp: start,
                value,
                fill,
            });
        }
    }
}
