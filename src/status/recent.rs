//! The last interval of the history, and the shards side by side.

use std::collections::BTreeMap;

use serde::Serialize;

use super::LatencyStatus;
use crate::history::{Fate, Interval};
use crate::redis::LinkState;
use crate::stats::{Counts, Source, SourceCounts};

/// An interval: two seconds while somebody looks at the history, else ten.
#[derive(Clone, Debug, Serialize)]
pub struct RecentStatus {
    /// How long it was, in milliseconds.
    pub span_ms: u64,
    /// Points received, stored and dropped in it, by listener.
    pub listeners: BTreeMap<&'static str, Fate>,
    /// APPEND commands answered in it.
    pub appends: u64,
    /// From bytes received to settled, of the points that were settled in it.
    pub latency_us: LatencyStatus,
}

impl RecentStatus {
    pub(crate) fn new(interval: &Interval) -> Self {
        let fates = Source::ALL.iter().zip(interval.sources);
        Self {
            span_ms: interval.span_ms,
            listeners: fates
                .map(|(source, fate)| (source.as_str(), fate))
                .collect(),
            appends: interval.appends,
            latency_us: interval.latency_us,
        }
    }
}

/// One shard.
#[derive(Clone, Debug, Serialize)]
pub struct ShardStatus {
    /// The CPU that it keeps to.
    pub cpu: usize,
    /// CPU time of its thread, in microseconds.
    pub cpu_us: u64,
    /// The part of the last interval that its thread was running, in percent.
    pub busy_percent: f64,
    /// Open connections.
    pub connections: u64,
    /// Points received.
    pub received: u64,
    /// Points in Redis.
    pub stored: u64,
    /// Points on their way there.
    pub in_flight: u64,
    /// Batches that wait to be sent, and that are not answered in full.
    pub batches: u64,
    /// Metrics in its table.
    pub metrics_known: u64,
    /// Its link to Redis: `ready`, `away` or `refusing`.
    pub redis: &'static str,
}

impl ShardStatus {
    pub(crate) fn new(cpu: usize, counts: &Counts, link: Option<&LinkState>) -> Self {
        let sum = |count: fn(&SourceCounts) -> u64| counts.sources.iter().map(count).sum();
        Self {
            cpu,
            cpu_us: counts.cpu_us,
            busy_percent: 0.0,
            connections: sum(|source| source.connections),
            received: sum(|source| source.received),
            stored: sum(|source| source.stored),
            in_flight: sum(|source| source.in_flight),
            batches: counts.redis.batches_waiting + counts.redis.batches_in_flight,
            metrics_known: counts.metrics_known,
            redis: match link {
                Some(LinkState::Ready) => "ready",
                Some(LinkState::Refusing(_)) => "refusing",
                Some(LinkState::Away(_)) | None => "away",
            },
        }
    }

    /// Takes over what was counted of the last interval.
    pub(crate) fn note_interval(&mut self, cpu_us: u64, span_ms: u64) {
        let percent = cpu_us as f64 / 10.0 / span_ms.max(1) as f64;
        self.busy_percent = (percent * 10.0).round() / 10.0;
    }
}
