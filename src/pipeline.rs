//! A shard's way from admitted points to settled ones, without the I/O.
//!
//! ```text
//! append ▸ current ──seal──▸ waiting ──flush──▸ in flight ──settle──▸ done
//!                               ▲                   │
//!                               └── sent again ◂────┘  connection lost, or an
//!                                                      error that will pass
//! ```
//!
//! What must stay true here:
//!
//! - Every point is in exactly one place: a batch, `stored`, or `dropped`.
//! - Batches are settled in an order that keeps that of each metric's points:
//!   no metric is ever in flight in two batches at once, and what is sent again
//!   goes before anything newer.
//! - Nothing is dropped because Redis is away, slow, or refuses for now.

mod append;
mod settle;
#[cfg(test)]
mod tests;

pub use append::Names;
pub use settle::Garbage;

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::admit::{CensusPage, Cut, MembersPage, MetricId, Metrics, Tidings};
use crate::batch::Batch;
use crate::budget::Budget;
use crate::rules::Rules;
use crate::settings::Settings;
use crate::stats::{Counts, DropReason, Source, rule_counts};
use crate::stretch;
use crate::talkers::{Brought, Talkers};
use crate::wire::resp::Encoder;

/// A metric that has points is made known again when this long has passed since
/// Redis last confirmed it, plus up to as much again by its name, so that the
/// commands are spread. Together with the usual minute between two points of a
/// metric it stays below five minutes.
const REASSERT_S: u32 = 110;

/// A metric that was silent for this long may lose its entry when the table is
/// full.
const FORGET_S: u32 = 3600;

/// Shortest time between two sweeps of a full table.
const SWEEP: Duration = Duration::from_secs(300);

/// Redis that has not answered for this long has enough to do with points.
const SLOW: Duration = Duration::from_millis(20);

/// What a shard says of the series that it was asked about.
#[derive(Clone, Debug, Default)]
pub struct Inquiry {
    /// Of each metric.
    pub tidings: Vec<Tidings>,
    /// Whether points wait for Redis.
    pub is_behind: bool,
}

/// Whether commands may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redis {
    /// There is no connection. Points are kept until the budget is used up.
    Away,
    /// Commands are sent.
    Ready,
    /// Redis answers with errors that will pass. What it refused is sent again
    /// from time to time, one batch alone; nothing is read meanwhile.
    Refusing,
}

/// The time at which bytes arrived, by all clocks that matter.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// For latencies.
    pub at: Instant,
    /// Seconds since 1970, for the age of points.
    pub unix_s: i64,
}

impl Arrival {
    /// Now.
    pub fn now() -> Self {
        let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self {
            at: Instant::now(),
            unix_s: unix.map_or(0, |since| since.as_secs() as i64),
        }
    }
}

/// See the module.
pub struct Pipeline {
    /// What this shard counts.
    pub counts: Counts,
    /// Who brings the most of it.
    pub talkers: Talkers,
    metrics: Metrics,
    rules: Arc<Rules>,
    encoder: Encoder,
    max_resolution_s: i64,
    full_duration_s: i64,
    batch_points_max: usize,
    in_flight_max: usize,
    budget: Arc<Budget>,
    current: Batch,
    /// When `current` got its first point.
    current_since: Option<Instant>,
    waiting: VecDeque<Batch>,
    in_flight: VecDeque<Batch>,
    /// Batches with commands that failed for now, until all in flight are answered.
    failed: Vec<Batch>,
    spare: Vec<Batch>,
    redis: Redis,
    /// Commands that were sent and are not answered.
    unanswered: u64,
    /// Since when the oldest unanswered command has been unanswered.
    unanswered_since: Option<Instant>,
    just_settled: bool,
    started: Instant,
    swept: Instant,
    /// Metrics whose key turned out to be new: to be made known.
    unknown: Vec<MetricId>,
    connections_waiting: Vec<Waker>,
    link: Option<Waker>,
    /// The time for the drain is over: what still comes is counted as lost.
    given_up: bool,
}

impl Pipeline {
    /// An empty pipeline under these settings.
    pub fn new(settings: &Settings, budget: Arc<Budget>) -> Self {
        let mut pipeline = Self {
            counts: Counts::new(),
            talkers: Talkers::default(),
            metrics: Metrics::new(settings.horizon.metrics_max),
            rules: Arc::new(Rules::new(settings)),
            encoder: Encoder::new(&settings.redis.namespace),
            max_resolution_s: settings.horizon.max_resolution_s.into(),
            full_duration_s: settings.redis.full_duration_s.into(),
            batch_points_max: settings.redis.batch_points_max as usize,
            in_flight_max: settings.redis.in_flight_max as usize,
            budget,
            current: Batch::default(),
            current_since: None,
            waiting: VecDeque::with_capacity(64),
            in_flight: VecDeque::with_capacity(64),
            failed: Vec::with_capacity(64),
            spare: Vec::with_capacity(64),
            redis: Redis::Away,
            unanswered: 0,
            unanswered_since: None,
            just_settled: false,
            started: Instant::now(),
            swept: Instant::now(),
            unknown: Vec::new(),
            connections_waiting: Vec::new(),
            link: None,
            given_up: false,
        };
        pipeline.counts.rules = rule_counts(pipeline.rules.list(), &[]);
        pipeline.current.clear(1);
        pipeline
    }

    // ---- append ---------------------------------------------------------

    /// Whether a frame may be appended now; otherwise nothing may be read.
    ///
    /// With Redis there, little is kept waiting: more would only be latency.
    /// With Redis away, all that the budget allows is kept.
    pub fn has_room(&self) -> bool {
        if self.given_up {
            return true;
        }
        match self.redis {
            Redis::Ready => {
                // With nothing of ours to settle, the budget is full of partial
                // frames, and only completing one of them gives room back.
                let nothing_to_settle = self.waiting.is_empty() && self.in_flight.is_empty();
                self.waiting.len() < self.in_flight_max
                    && (nothing_to_settle || self.budget.has_room())
            }
            Redis::Away => self.budget.has_room(),
            Redis::Refusing => false,
        }
    }

    /// Whether the time for the drain is over, so that what still comes is only
    /// counted.
    pub fn has_given_up(&self) -> bool {
        self.given_up
    }

    /// Has `waker` woken when there may be room.
    pub fn wait_for_room(&mut self, waker: &Waker) {
        self.connections_waiting.push(waker.clone());
    }

    /// Encodes the next batch that may be sent into `out`, and counts it as in
    /// flight; false if there is none for now.
    ///
    /// With nothing in flight, a batch goes at once. With something in flight,
    /// it goes when it is full, when another has been settled, or when it has
    /// waited long enough (`linger_over`).
    pub fn flush(&mut self, out: &mut Vec<u8>, linger_over: bool) -> bool {
        let in_flight_max = match self.redis {
            Redis::Ready => self.in_flight_max,
            Redis::Refusing => 1,
            Redis::Away => 0,
        };
        if self.in_flight.len() >= in_flight_max || !self.failed.is_empty() {
            return false;
        }
        if self.waiting.is_empty() {
            let due = self.in_flight.is_empty() || self.just_settled || linger_over;
            if !due || (self.current.is_empty() && self.unknown.is_empty()) {
                return false;
            }
        }
        let oldest = self.in_flight.front().map(|batch| batch.seq);
        let next = self.waiting.front().unwrap_or(&self.current);
        if oldest.is_some_and(|oldest| next.after >= oldest) {
            return false;
        }
        if self.waiting.is_empty() {
            self.seal();
        }
        let Some(mut batch) = self.waiting.pop_front() else {
            return false;
        };
        let _stretch = stretch::enter();
        self.unanswered += batch.encode(&self.metrics, &self.encoder, out);
        self.just_settled = false;
        self.unanswered_since.get_or_insert_with(Instant::now);
        self.in_flight.push_back(batch);
        true
    }

    /// Since when the current batch waits for company, if it does.
    pub fn lingers_since(&self) -> Option<Instant> {
        if self.in_flight.is_empty() {
            None
        } else {
            self.current_since
        }
    }

    /// Whether a batch has been sent that is not answered in full.
    pub fn has_in_flight(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// Commands that were sent and are not answered.
    pub fn unanswered(&self) -> u64 {
        self.unanswered
    }

    /// Closes the current batch and begins the next.
    fn seal(&mut self) {
        for metric in self.unknown.drain(..) {
            if self.metrics.entry(metric).begin_sadd() {
                self.current.assert_member(metric);
            }
        }
        if self.current.is_empty() {
            return;
        }
        let mut next = self.spare.pop().unwrap_or_default();
        next.clear(self.current.seq + 1);
        let mut sealed = std::mem::replace(&mut self.current, next);
        self.current_since = None;
        sealed.claimed = sealed.bytes();
        self.budget.claim_always(sealed.claimed);
        self.waiting.push_back(sealed);
    }

    // ---- the end --------------------------------------------------------

    /// Whether every point is settled and every new metric known.
    pub fn is_settled(&self) -> bool {
        self.current.is_empty()
            && self.waiting.is_empty()
            && self.in_flight.is_empty()
            && self.failed.is_empty()
            && self.unknown.is_empty()
    }

    /// Gives up everything that is not settled, and all that still comes, and
    /// counts it as lost by the shutdown.
    pub fn give_up(&mut self) {
        self.given_up = true;
        self.lose_connection();
        self.unknown.clear();
        let current = std::mem::take(&mut self.current);
        let next = current.seq + 1;
        let waiting = std::mem::take(&mut self.waiting);
        for mut batch in waiting.into_iter().chain([current]) {
            let unsettled: Vec<usize> = batch.unsettled().map(|(number, _)| number).collect();
            for number in unsettled {
                self.drop_item(&batch, number, DropReason::Shutdown);
            }
            self.recycle(&mut batch);
        }
        self.current.clear(next);
        self.current_since = None;
        self.wake_connections();
    }

    // ---- upkeep ---------------------------------------------------------

    /// A copy of all counts, with what can only be said at this moment.
    pub fn snapshot(&self) -> Counts {
        let mut counts = self.counts.clone();
        counts.metrics_known = self.metrics.len() as u64;
        counts.metrics_bytes = self.metrics.bytes() as u64;
        counts.redis.batches_in_flight = self.in_flight.len() as u64;
        counts.redis.batches_waiting = (self.waiting.len() + self.failed.len()) as u64;
        counts.redis.unanswered_ms = self.silence().as_millis() as u64;
        counts
    }

    /// What was received so far from one source, and all new series.
    pub fn brought(&self, source: Source) -> Brought {
        Brought {
            points: self.counts.sources[source as usize].received,
            series: self.counts.series_new,
        }
    }

    /// Takes up what a reload may change.
    pub fn reload(&mut self, settings: &Settings, rules: Arc<Rules>) {
        self.counts.rules = rule_counts(rules.list(), &self.counts.rules);
        self.rules = rules;
        self.max_resolution_s = settings.horizon.max_resolution_s.into();
        self.full_duration_s = settings.redis.full_duration_s.into();
    }

    /// A part of what is known of the metrics; see [`Metrics::census`].
    pub fn census(&mut self, from: MetricId, entries_max: usize) -> CensusPage {
        let mut page = self.metrics.census(from, entries_max);
        page.is_behind = self.is_behind();
        page
    }

    /// What can be said of the series of these metrics, and whether points wait for
    /// Redis.
    pub fn inquire<'n>(&mut self, names: impl Iterator<Item = &'n [u8]>) -> Inquiry {
        Inquiry {
            tidings: names.map(|name| self.metrics.inquire(name)).collect(),
            is_behind: self.is_behind(),
        }
    }

    /// The names of metrics that were made known; see [`Metrics::members`].
    pub fn members(&self, from: MetricId, entries_max: usize) -> MembersPage {
        self.metrics.members(from, entries_max)
    }

    /// Notes that series have become shorter.
    pub fn note_cuts(&mut self, cuts: &[Cut]) {
        cuts.iter().for_each(|cut| self.metrics.note_cut(cut));
    }

    fn is_behind(&self) -> bool {
        let is_slow = self.silence() > SLOW;
        is_slow || !self.waiting.is_empty() || !matches!(self.redis, Redis::Ready)
    }

    /// To be called about once a second.
    pub fn tick(&mut self) {
        self.talkers.tick();
        // Room in the budget may have come from another shard.
        self.wake_connections();
        if self.metrics.is_full() && self.swept.elapsed() > SWEEP {
            self.sweep();
        }
    }

    /// Forgets metrics that have been silent for long, but none that a batch
    /// holds.
    fn sweep(&mut self) {
        self.swept = Instant::now();
        let now_s = self.clock_s();
        let oldest_unsettled = self.oldest_unsettled();
        let moved = self.metrics.sweep(|entry| {
            entry.batch >= oldest_unsettled
                || entry.is_sadd_under_way()
                || now_s.saturating_sub(entry.confirmed_s) < FORGET_S
        });
        self.unknown = self
            .unknown
            .iter()
            .filter_map(|metric| moved.get(*metric as usize).copied().flatten())
            .collect();
        let batches = self
            .waiting
            .iter_mut()
            .chain(&mut self.in_flight)
            .chain(&mut self.failed);
        for batch in batches.chain([&mut self.current]) {
            batch.renumber(&moved);
        }
        // A batch may hold, under its name, a metric that only now gets an entry:
        // what comes next must not overtake it.
        self.seal();
        self.current.after = self.current.seq - 1;
    }

    /// Has `waker` woken when there may be something to flush.
    pub fn wait_for_batch(&mut self, waker: &Waker) {
        match &self.link {
            Some(link) if link.will_wake(waker) => {}
            _ => self.link = Some(waker.clone()),
        }
    }

    /// Wakes the link if there is something to flush, or a linger to time.
    fn wake_link_if_due(&mut self, linger_runs: bool) {
        let due = !self.waiting.is_empty() || !linger_runs || self.in_flight.is_empty();
        if due
            && self.in_flight.len() < self.in_flight_max
            && let Some(link) = self.link.take()
        {
            link.wake();
        }
    }

    /// Whether a connection waits for room.
    pub fn has_waiting_connections(&self) -> bool {
        !self.connections_waiting.is_empty()
    }

    /// Wakes the connections that wait, if there is room.
    pub fn wake_connections(&mut self) {
        if !self.connections_waiting.is_empty() && self.has_room() {
            for waker in self.connections_waiting.drain(..) {
                waker.wake();
            }
        }
    }

    /// Sequence number of the oldest batch that is not settled.
    fn oldest_unsettled(&self) -> u64 {
        let oldest = |batches: &VecDeque<Batch>| batches.front().map(|batch| batch.seq);
        let failed = self.failed.iter().map(|batch| batch.seq).min();
        [oldest(&self.in_flight), oldest(&self.waiting), failed]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(self.current.seq)
    }

    /// The shard's own clock: seconds since its start, and never 0.
    fn clock_s(&self) -> u32 {
        self.started.elapsed().as_secs() as u32 + 1
    }
}
