//! What a running server says of itself: `/api/status`, and the same numbers as
//! Prometheus text.

mod recent;

pub use recent::{RecentStatus, ShardStatus};

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::catalogue;
use crate::flux::FluxStatus;
use crate::logging::Fault;
use crate::redis_info::RedisInfo;
use crate::roomba::RoombaStatus;
use crate::self_metrics::SelfMetricsStatus;
use crate::side_keys::SideKeysStatus;
use crate::stats::{Counts, DropReason, RuleCounts, Source, SourceCounts, Tally};
use crate::vista::{VistaStatus, view};

/// Everything that `/api/status` shows.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Skyring's version.
    pub version: &'static str,
    /// Seconds since the start.
    pub uptime_s: u64,
    /// When it was started, in milliseconds since 1970.
    pub started_ms: u64,
    /// Now, by the server's clock, in milliseconds since 1970.
    pub now_ms: u64,
    /// Whether everything listens and Redis settles.
    pub ready: bool,
    /// Why it is not ready; empty if it is.
    pub reason: String,
    /// Whether the server is ending.
    pub draining: bool,
    /// By listener.
    pub listeners: BTreeMap<&'static str, ListenerStatus>,
    /// By rule of the operator, in their order.
    pub rules: Vec<RuleStatus>,
    /// From bytes received to settled, since the start.
    pub latency_us: LatencyStatus,
    /// The same, counted by upper bounds.
    #[serde(skip)]
    pub latency_buckets: LatencyBuckets,
    /// The last interval of the history; `null` before the first is over.
    pub recent: Option<RecentStatus>,
    /// By shard, in their order.
    pub shards: Vec<ShardStatus>,
    /// The way to Redis.
    pub redis: RedisStatus,
    /// Metrics in the shards' tables: one that came to two shards counts twice.
    pub metrics_known: u64,
    /// Memory of those tables.
    pub metrics_bytes: u64,
    /// Points whose metric found the table full.
    pub metrics_not_kept: u64,
    /// Metrics that got an entry in those tables, each time.
    pub series_new: u64,
    /// Memory that connections and unsettled batches hold.
    pub buffer_bytes: usize,
    /// The bound of that, `horizon.buffer_bytes_max`.
    pub buffer_bytes_max: usize,
    /// Trimming.
    pub roomba: RoombaStatus,
    /// The keys beside the data.
    pub side_keys: SideKeysStatus,
    /// Skyline's metrics about itself.
    pub self_metrics: SelfMetricsStatus,
    /// Points over HTTP.
    pub flux: FluxStatus,
    /// Points fetched.
    #[serde(serialize_with = "view::serialize")]
    pub vista: VistaStatus,
    /// The last warnings and errors of the log, newest first.
    pub faults: Vec<Fault>,
}

/// One listener. `received = stored + the sum of dropped + in_flight`, always.
#[derive(Clone, Debug, Serialize)]
pub struct ListenerStatus {
    /// Where it listens.
    pub addresses: Vec<String>,
    /// Open connections.
    pub connections: u64,
    /// Points received.
    pub received: u64,
    /// Points in Redis.
    pub stored: u64,
    /// Points on their way there.
    pub in_flight: u64,
    /// Points that were not stored, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Frames decoded.
    pub frames: u64,
    /// Frames skipped, by reason.
    pub frames_bad: BTreeMap<String, u64>,
    /// Frames over the bound, each with its connection closed.
    pub frames_too_long: u64,
    /// Frames whose connection ended in their middle.
    pub frames_cut_short: u64,
    /// Connections accepted.
    pub connections_accepted: u64,
    /// Connections closed because there were too many.
    pub connections_refused: u64,
    /// Connections given up in the middle of a frame.
    pub connections_stalled: u64,
    /// Bytes received, in whole frames.
    pub bytes: u64,
    /// Datagrams that the kernel dropped since it had no room for more; only where
    /// it comes in datagrams.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_drops: Option<u64>,
}

/// One rule of the operator.
#[derive(Clone, Debug, Serialize)]
pub struct RuleStatus {
    /// Its name, or its place from 1.
    pub name: String,
    /// `rename`, `drop` or `keep`.
    pub action: &'static str,
    /// Judgements in which it fitted.
    pub judged: u64,
    /// Points for which it was the last that fitted.
    pub points: u64,
}

/// Upper bounds of latencies on `/metrics`, in microseconds.
const BUCKETS_US: [u64; 16] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000, 60_000_000,
];

/// Quantiles in microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct LatencyStatus {
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p999: u64,
    pub max: u64,
    pub count: u64,
}

/// Latencies by upper bounds.
#[derive(Clone, Debug)]
pub struct LatencyBuckets {
    /// How many there are.
    pub count: u64,
    /// The sum of all, in microseconds.
    pub sum_us: u64,
    /// Upper bounds in seconds, and how many are not above each.
    pub buckets: Vec<(f64, u64)>,
}

/// The way to Redis.
#[derive(Clone, Debug, Serialize)]
pub struct RedisStatus {
    /// Whether every shard has a connection.
    pub connected: bool,
    /// Where, without secrets.
    pub url: String,
    /// `ready`, `away`, `refusing` or `silent`.
    pub state: &'static str,
    /// Batches answered in full.
    pub batches: u64,
    /// Batches sent and not answered in full.
    pub in_flight_batches: u64,
    /// Batches that wait to be sent.
    pub waiting_batches: u64,
    /// APPEND commands answered.
    pub appends: u64,
    /// Members sent by SADD.
    pub members_asserted: u64,
    /// Commands sent again.
    pub resent: u64,
    /// Connections made.
    pub connections: u64,
    /// Error replies, by Redis's code.
    pub errors: BTreeMap<String, u64>,
    /// How long the oldest unanswered batch has been waiting.
    pub unanswered_ms: u64,
    /// What it says of itself: asked only while somebody looks, so `null` at first.
    pub info: Option<RedisInfo>,
}

impl ListenerStatus {
    pub(crate) fn new(
        counts: &SourceCounts,
        addresses: Vec<String>,
        kernel_drops: Option<u64>,
    ) -> Self {
        let dropped = DropReason::ALL
            .iter()
            .map(|reason| (reason.as_str(), counts.dropped[*reason as usize]));
        Self {
            addresses,
            connections: counts.connections,
            received: counts.received,
            stored: counts.stored,
            in_flight: counts.in_flight,
            dropped: dropped.collect(),
            frames: counts.frames,
            frames_bad: words(&counts.frames_bad),
            frames_too_long: counts.frames_too_long,
            frames_cut_short: counts.frames_cut_short,
            connections_accepted: counts.connections_accepted,
            connections_refused: counts.connections_refused,
            connections_stalled: counts.connections_stalled,
            bytes: counts.bytes,
            kernel_drops,
        }
    }
}

impl RuleStatus {
    pub(crate) fn new(counts: &RuleCounts) -> Self {
        Self {
            name: counts.name.to_string(),
            action: counts.action,
            judged: counts.judged,
            points: counts.points,
        }
    }
}

impl LatencyStatus {
    pub(crate) fn new(latency: &Histogram<u64>) -> Self {
        Self {
            p50: latency.value_at_quantile(0.5),
            p90: latency.value_at_quantile(0.9),
            p99: latency.value_at_quantile(0.99),
            p999: latency.value_at_quantile(0.999),
            max: latency.max(),
            count: latency.len(),
        }
    }
}

impl Default for LatencyBuckets {
    /// The same bounds, and nothing in them.
    fn default() -> Self {
        Self {
            count: 0,
            sum_us: 0,
            buckets: BUCKETS_US
                .map(|bound| (catalogue::seconds_of_us(bound), 0))
                .into(),
        }
    }
}

impl LatencyBuckets {
    pub(crate) fn new(latency: &Histogram<u64>) -> Self {
        let recorded = latency.iter_recorded();
        let sum_us = recorded.map(|cell| cell.value_iterated_to() * cell.count_at_value());
        let bucket = |bound: &u64| {
            let seconds = catalogue::seconds_of_us(*bound);
            (seconds, latency.count_between(0, *bound))
        };
        Self {
            count: latency.len(),
            sum_us: sum_us.sum(),
            buckets: BUCKETS_US.iter().map(bucket).collect(),
        }
    }
}

pub(crate) fn words(tally: &Tally) -> BTreeMap<String, u64> {
    tally
        .iter()
        .map(|(word, count)| (word.to_owned(), count))
        .collect()
}

/// Sources in the order in which they are shown.
pub(crate) fn sources(counts: &Counts) -> impl Iterator<Item = (Source, &SourceCounts)> {
    Source::ALL
        .iter()
        .map(|source| (*source, &counts.sources[*source as usize]))
}

impl Status {
    /// The same numbers in Prometheus's text format; see [`catalogue`].
    ///
    /// # Errors
    ///
    /// As [`catalogue::page`].
    pub fn to_prometheus(&self) -> prometheus::Result<String> {
        catalogue::page(self)
    }
}

#[cfg(test)]
mod tests;
