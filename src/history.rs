//! The last half hour: what the shards have counted in each two seconds, so that whoever
//! looks sees what was before he looked. While nobody does, ten seconds are put together:
//! most of what an idle server does is to wake its shards for this.
//!
//! A thread asks the shards for their counts, which they give between two turns, and
//! keeps the differences. Latencies are those of each two seconds too: a shard's
//! histogram is of all time, and the one before is subtracted here, not there.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::ser::{SerializeStruct, Serializer};
use serde::{Deserialize, Serialize};

use crate::background::{Background, Stop};
use crate::server::Handle;
use crate::stats::{Counts, Source};
use crate::status::LatencyStatus;

/// Time between two rows while somebody looks.
const INTERVAL: Duration = Duration::from_secs(2);
/// The same while nobody does.
const UNSEEN_INTERVAL: Duration = Duration::from_secs(10);
/// For so long after it was asked for, somebody looks.
const LOOK: Duration = Duration::from_secs(60);
/// Rows that are kept.
const ROWS: usize = 900;
/// How long a row is kept, in milliseconds.
const KEPT_MS: u64 = ROWS as u64 * INTERVAL.as_millis() as u64;

/// What was counted between two moments.
#[derive(Clone, Debug, Default)]
pub struct Interval {
    /// Its number, from 1 on.
    pub seq: u64,
    /// When it ended, in milliseconds since 1970.
    pub at_ms: u64,
    /// How long it was, in milliseconds.
    pub span_ms: u64,
    /// By [`Source`].
    pub sources: [Fate; Source::ALL.len()],
    /// Points on their way when it ended.
    pub in_flight: u64,
    /// APPEND commands answered.
    pub appends: u64,
    /// Metrics that came for the first time.
    pub series_new: u64,
    /// Of the points that were settled in it.
    pub latency_us: LatencyStatus,
    /// CPU time of each shard's thread, in microseconds.
    pub cpu_us: Vec<u64>,
}

/// What became of points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Fate {
    pub received: u64,
    pub stored: u64,
    pub dropped: u64,
}

impl Interval {
    fn between(before: &[Counts], now: &[Counts], span: Duration, seq: u64) -> Self {
        let at = SystemTime::now().duration_since(UNIX_EPOCH);
        let mut interval = Self {
            seq,
            at_ms: at.unwrap_or_default().as_millis() as u64,
            span_ms: span.as_millis() as u64,
            ..Self::default()
        };
        let mut latency = Counts::new().latency_us;
        for (now, before) in now.iter().zip(before) {
            for (sum, (now, before)) in interval
                .sources
                .iter_mut()
                .zip(now.sources.iter().zip(&before.sources))
            {
                sum.received += now.received - before.received;
                sum.stored += now.stored - before.stored;
                sum.dropped += now.dropped_sum() - before.dropped_sum();
                interval.in_flight += now.in_flight;
            }
            interval.appends += now.redis.appends - before.redis.appends;
            interval.series_new += now.series_new - before.series_new;
            interval.cpu_us.push(now.cpu_us - before.cpu_us);
            // Both take longer than all else here, and most servers have idle shards.
            if now.latency_us.len() > before.latency_us.len() {
                // The bounds are the same, and a count never goes back.
                let _ = latency.add(&now.latency_us);
                let _ = latency.subtract(&before.latency_us);
            }
        }
        interval.latency_us = LatencyStatus::new(&latency);
        interval
    }

    /// Points of all sources.
    pub fn total(&self) -> Fate {
        let mut total = Fate::default();
        for fate in &self.sources {
            total.received += fate.received;
            total.stored += fate.stored;
            total.dropped += fate.dropped;
        }
        total
    }
}

/// The intervals that are kept, oldest first.
#[derive(Debug, Default)]
pub struct Intervals {
    rows: VecDeque<Interval>,
    /// When somebody has last looked.
    seen: Option<Instant>,
}

impl Intervals {
    /// The one that ended last.
    pub fn last(&self) -> Option<&Interval> {
        self.rows.back()
    }

    /// Notes that somebody looks.
    pub fn note_look(&mut self) {
        self.seen = Some(Instant::now());
    }

    fn is_looked_at(&self) -> bool {
        self.seen.is_some_and(|seen| seen.elapsed() < LOOK)
    }

    pub(crate) fn push(&mut self, interval: Interval) {
        // The clock may have been set back.
        let is_old = |row: &Interval| interval.at_ms.saturating_sub(row.at_ms) >= KEPT_MS;
        while self.rows.len() == ROWS || self.rows.front().is_some_and(is_old) {
            self.rows.pop_front();
        }
        self.rows.push_back(interval);
    }

    /// Those with a larger number than `seq`, as `/api/history` shows them.
    pub fn after(&self, seq: u64) -> Page<'_> {
        // After a restart the numbers begin anew, and whoever asks has larger ones.
        let last = self.last().map_or(0, |last| last.seq);
        let seq = if seq > last { 0 } else { seq };
        let from = self.rows.partition_point(|interval| interval.seq <= seq);
        Page {
            intervals: self.rows.range(from..),
            last,
        }
    }
}

/// A part of the history, as JSON: the names of columns, and rows of numbers.
#[derive(Clone)]
pub struct Page<'i> {
    intervals: std::collections::vec_deque::Iter<'i, Interval>,
    last: u64,
}

/// The columns of a row. Latencies are -1 if nothing was settled.
const COLUMNS: [&str; 13 + Source::ALL.len()] = [
    "seq",
    "at_ms",
    "span_ms",
    "stored",
    "dropped",
    "in_flight",
    "appends",
    "series_new",
    "p50_us",
    "p90_us",
    "p99_us",
    "p999_us",
    "max_us",
    "received.pickle",
    "received.shard_pickle",
    "received.msgpack",
    "received.line_tcp",
    "received.line_udp",
    "received.direct",
];

impl Interval {
    fn row(&self) -> [i64; COLUMNS.len()] {
        let total = self.total();
        let latency = &self.latency_us;
        let micros = |quantile: u64| match latency.count {
            0 => -1,
            _ => quantile as i64,
        };
        let mut row = [0; COLUMNS.len()];
        let numbers = [
            self.seq,
            self.at_ms,
            self.span_ms,
            total.stored,
            total.dropped,
            self.in_flight,
            self.appends,
            self.series_new,
        ];
        let quantiles = [
            latency.p50,
            latency.p90,
            latency.p99,
            latency.p999,
            latency.max,
        ];
        let received = self.sources.iter().map(|fate| fate.received as i64);
        let numbers = numbers.iter().map(|number| *number as i64);
        let all = numbers.chain(quantiles.into_iter().map(micros));
        for (place, number) in row.iter_mut().zip(all.chain(received)) {
            *place = number;
        }
        row
    }
}

impl Serialize for Page<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rows: Vec<Vec<i64>> = self.intervals.clone().map(|i| i.row().to_vec()).collect();
        let mut page = serializer.serialize_struct("Page", 4)?;
        page.serialize_field("interval_ms", &(INTERVAL.as_millis() as u64))?;
        page.serialize_field("last", &self.last)?;
        page.serialize_field("columns", &COLUMNS[..])?;
        page.serialize_field("rows", &rows)?;
        page.end()
    }
}

/// Where the intervals are kept.
pub(crate) type Board = Arc<Mutex<Intervals>>;

/// The thread that asks.
#[derive(Debug)]
pub struct History {
    thread: Background,
}

impl History {
    /// Keeps the history of a server on its board.
    ///
    /// # Errors
    ///
    /// The system's, when it gives no thread.
    pub fn start(handle: Arc<Handle>) -> io::Result<Self> {
        let thread = Background::start("skyring-history", move |stop| run(&handle, stop))?;
        Ok(Self { thread })
    }

    /// Ends the thread.
    pub fn stop(self) {
        self.thread.stop();
    }
}

fn run(handle: &Handle, stop: &Stop) {
    let mut before = vec![Counts::new(); handle.shards()];
    let board = || {
        let board = handle.boards.history.lock();
        board.unwrap_or_else(PoisonError::into_inner)
    };
    // A server that was just started is watched, by whatever means.
    board().note_look();
    let mut since = Instant::now();
    let mut seq = 0;
    // Who comes to look waits no longer than if somebody had looked before.
    let mut wake = since + INTERVAL;
    while !stop.wait_until(wake) {
        if !board().is_looked_at() && since.elapsed() < UNSEEN_INTERVAL {
            wake += INTERVAL;
            continue;
        }
        let now = handle.shard_counts();
        let asked = Instant::now();
        seq += 1;
        let interval = Interval::between(&before, &now, asked - since, seq);
        board().push(interval);
        (before, since) = (now, asked);
        wake = since + INTERVAL;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::DropReason;

    fn counts(received: u64, latencies: &[u64]) -> Counts {
        let mut counts = Counts::new();
        let source = counts.source(Source::Pickle);
        source.received = received;
        source.stored = received / 2;
        source.drop(DropReason::TooOld, received / 2);
        for latency in latencies {
            counts.latency_us.saturating_record(*latency);
        }
        counts
    }

    /// The latencies of an interval are its own, however many came before.
    #[test]
    fn an_interval_is_the_difference_of_two_counts() {
        let before = [counts(100, &[10; 1000]), counts(0, &[])];
        let now = [
            counts(300, &[&[10; 1000][..], &[5000; 3]].concat()),
            counts(40, &[5000]),
        ];
        let span = Duration::from_secs(2);
        let interval = Interval::between(&before, &now, span, 7);
        let total = interval.total();
        assert_eq!(
            (total.received, total.stored, total.dropped),
            (240, 120, 120)
        );
        assert_eq!(interval.latency_us.count, 4);
        assert!(interval.latency_us.p50.abs_diff(5000) < 50);
        let row = interval.row();
        assert_eq!((row[0], row[2], row[3], row[13]), (7, 2000, 120, 240));
    }

    #[test]
    fn columns_are_named_as_their_sources() {
        for (source, column) in Source::ALL.iter().zip(&COLUMNS[13..]) {
            assert_eq!(format!("received.{}", source.as_str()), *column);
        }
        let nothing = Interval::default().row();
        assert_eq!(nothing[8..13], [-1; 5], "no latency is not one of 0");
    }

    /// Whoever has seen some gets the others; after a restart, all.
    #[test]
    fn pages_go_on_where_the_last_one_ended() {
        let mut intervals = Intervals::default();
        let numbers = |intervals: &Intervals, after: u64| -> Vec<u64> {
            let page = intervals.after(after);
            page.intervals.map(|interval| interval.seq).collect()
        };
        assert!(numbers(&intervals, 5).is_empty());
        for seq in 1..=ROWS as u64 + 10 {
            intervals.push(Interval {
                seq,
                ..Interval::default()
            });
        }
        assert_eq!(numbers(&intervals, 0).len(), ROWS);
        assert_eq!(numbers(&intervals, 908), [909, 910]);
        assert!(numbers(&intervals, 910).is_empty());
        assert_eq!(numbers(&intervals, 5000).len(), ROWS);
        let interval = |seq, at_ms| Interval {
            seq,
            at_ms,
            ..Interval::default()
        };
        let mut intervals = Intervals::default();
        intervals.push(interval(908, 5_000));
        intervals.push(interval(909, 1_000_000));
        intervals.push(interval(910, 5_000 + KEPT_MS));
        assert_eq!(numbers(&intervals, 0), [909, 910], "half an hour is kept");
        let page = serde_json::to_value(intervals.after(909)).unwrap();
        assert_eq!(page["last"], 910);
        assert_eq!(page["rows"].as_array().unwrap().len(), 1);
        assert_eq!(page["columns"][13], "received.pickle");
    }
}
