//! What a running server says of itself: `/api/status`, and the same numbers as
//! Prometheus text.

use std::collections::BTreeMap;

use prometheus::{Encoder, GaugeVec, IntCounterVec, Opts, Registry, TextEncoder};
use serde::Serialize;

use crate::flux::FluxStatus;
use crate::roomba::RoombaStatus;
use crate::self_metrics::SelfMetricsStatus;
use crate::side_keys::SideKeysStatus;
use crate::stats::{Counts, DropReason, Source, SourceCounts, Tally};
use crate::vista::VistaStatus;

/// Everything that `/api/status` shows.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Skyring's version.
    pub version: &'static str,
    /// Seconds since the start.
    pub uptime_s: u64,
    /// Whether everything listens and Redis settles.
    pub ready: bool,
    /// Why it is not ready; empty if it is.
    pub reason: String,
    /// Whether the server is ending.
    pub draining: bool,
    /// By listener.
    pub listeners: BTreeMap<&'static str, ListenerStatus>,
    /// From bytes received to settled.
    pub latency_us: LatencyStatus,
    /// The way to Redis.
    pub redis: RedisStatus,
    /// Metrics in the shards' tables: one that came to two shards counts twice.
    pub metrics_known: u64,
    /// Memory of those tables.
    pub metrics_bytes: u64,
    /// Points whose metric found the table full.
    pub metrics_not_kept: u64,
    /// Memory that connections and unsettled batches hold.
    pub buffer_bytes: usize,
    /// Trimming.
    pub roomba: RoombaStatus,
    /// The keys beside the data.
    pub side_keys: SideKeysStatus,
    /// Skyline's metrics about itself.
    pub self_metrics: SelfMetricsStatus,
    /// Points over HTTP.
    pub flux: FluxStatus,
    /// Points fetched.
    pub vista: VistaStatus,
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

/// Quantiles in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct LatencyStatus {
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p999: u64,
    pub max: u64,
    pub count: u64,
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

impl LatencyStatus {
    pub(crate) fn new(counts: &Counts) -> Self {
        let latency = &counts.latency_us;
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
    /// The same numbers in Prometheus's text format.
    ///
    /// # Errors
    ///
    /// Never for the names that stand here; the library cannot know that.
    pub fn to_prometheus(&self) -> prometheus::Result<String> {
        let page = Page::default();
        type Number = fn(&ListenerStatus) -> u64;
        let by_listener: [(&str, &str, Number); 10] = [
            (
                "points_received_total",
                "Points decoded, and items that should have been points.",
                |l| l.received,
            ),
            (
                "points_stored_total",
                "Points that Redis has confirmed.",
                |l| l.stored,
            ),
            (
                "frames_total",
                "Frames, msgpack datagrams and lines decoded.",
                |l| l.frames,
            ),
            (
                "frames_too_long_total",
                "Frames longer than horizon.frame_bytes_max, each with its connection closed; and overlong lines, each skipped.",
                |l| l.frames_too_long,
            ),
            (
                "frames_cut_short_total",
                "Frames whose connection ended in their middle.",
                |l| l.frames_cut_short,
            ),
            ("connections_accepted_total", "Connections accepted.", |l| {
                l.connections_accepted
            }),
            (
                "connections_refused_total",
                "Connections closed at once because horizon.connections_max were open.",
                |l| l.connections_refused,
            ),
            (
                "connections_stalled_total",
                "Connections given up because a frame did not grow for horizon.frame_stall_s.",
                |l| l.connections_stalled,
            ),
            (
                "received_bytes_total",
                "Bytes received in whole frames.",
                |l| l.bytes,
            ),
            ("connections", "Open connections.", |l| l.connections),
        ];
        for (name, help, number) in by_listener {
            for (listener, status) in &self.listeners {
                page.set(name, help, &[("listener", listener)], number(status))?;
            }
        }
        for (listener, status) in &self.listeners {
            page.set(
                "points_in_flight",
                "Points on their way to Redis.",
                &[("listener", listener)],
                status.in_flight,
            )?;
            if let Some(drops) = status.kernel_drops {
                page.set(
                    "kernel_drops_total",
                    "Datagrams that the kernel dropped since it had no room for more.",
                    &[("listener", listener)],
                    drops,
                )?;
            }
            for (reason, points) in &status.dropped {
                let labels = [("listener", *listener), ("reason", *reason)];
                page.set(
                    "points_dropped_total",
                    "Points not stored, by reason.",
                    &labels,
                    *points,
                )?;
            }
            for (reason, frames) in &status.frames_bad {
                let labels = [("listener", *listener), ("reason", reason.as_str())];
                page.set(
                    "frames_bad_total",
                    "Frames and msgpack datagrams skipped, by reason.",
                    &labels,
                    *frames,
                )?;
            }
        }
        for (code, errors) in &self.redis.errors {
            page.set(
                "redis_errors_total",
                "Error replies of Redis, by code.",
                &[("code", code)],
                *errors,
            )?;
        }
        let plain: [(&str, &str, u64); 14] = [
            (
                "redis_batches_total",
                "Batches that Redis has answered in full.",
                self.redis.batches,
            ),
            (
                "redis_appends_total",
                "APPEND commands that Redis has answered.",
                self.redis.appends,
            ),
            (
                "redis_members_asserted_total",
                "Members sent to the set of known metrics.",
                self.redis.members_asserted,
            ),
            (
                "redis_commands_resent_total",
                "Commands sent again after a lost connection or an error that passes.",
                self.redis.resent,
            ),
            (
                "redis_connections_total",
                "Connections made to Redis.",
                self.redis.connections,
            ),
            (
                "redis_batches_in_flight",
                "Batches sent and not answered in full.",
                self.redis.in_flight_batches,
            ),
            (
                "redis_batches_waiting",
                "Batches that wait to be sent.",
                self.redis.waiting_batches,
            ),
            (
                "redis_unanswered_milliseconds",
                "How long the oldest unanswered batch has been waiting.",
                self.redis.unanswered_ms,
            ),
            (
                "ready",
                "1 if everything listens and Redis settles.",
                u64::from(self.ready),
            ),
            (
                "draining",
                "1 if the server is ending.",
                u64::from(self.draining),
            ),
            (
                "metrics_known",
                "Metrics in the shards' tables.",
                self.metrics_known,
            ),
            (
                "metrics_table_bytes",
                "Memory of the shards' tables.",
                self.metrics_bytes,
            ),
            (
                "metrics_not_kept_total",
                "Points whose metric found the table full.",
                self.metrics_not_kept,
            ),
            (
                "buffer_bytes",
                "Memory that connections and unsettled batches hold.",
                self.buffer_bytes as u64,
            ),
        ];
        for (name, help, number) in plain {
            page.set(name, help, &[], number)?;
        }
        let latency = self.latency_us;
        let quantiles = [
            ("0.5", latency.p50),
            ("0.9", latency.p90),
            ("0.99", latency.p99),
            ("0.999", latency.p999),
            ("1", latency.max),
        ];
        for (quantile, micros) in quantiles {
            page.set(
                "settle_latency_microseconds",
                "From bytes received to Redis's answer, by quantile, since the start.",
                &[("quantile", quantile)],
                micros,
            )?;
        }
        self.roomba.add_to(&page)?;
        page.set(
            "uptime_seconds",
            "Seconds since the start.",
            &[("version", self.version)],
            self.uptime_s,
        )?;
        page.text()
    }
}

impl RoombaStatus {
    fn add_to(&self, page: &Page) -> prometheus::Result<()> {
        let deeds = &self.deeds;
        let plain: [(&str, &str, u64); 24] = [
            (
                "roomba_enabled",
                "1 if series are trimmed.",
                u64::from(self.enabled),
            ),
            (
                "roomba_failing",
                "1 if the last pass ended with an error.",
                u64::from(!self.error.is_empty()),
            ),
            (
                "roomba_passes_total",
                "Passes over all series that came to their end.",
                deeds.passes,
            ),
            (
                "roomba_rests_total",
                "Passes that looked at nothing, since nothing was due or written.",
                deeds.rests,
            ),
            (
                "roomba_last_pass_ended_timestamp_seconds",
                "When the last pass ended, since 1970; 0 if none has.",
                self.last_pass_ended_s.unsigned_abs(),
            ),
            (
                "roomba_members",
                "Members of the set of metrics, in the last pass.",
                deeds.members,
            ),
            (
                "roomba_batch_members",
                "Members that were left to batch processing, in the last pass.",
                deeds.batch_members,
            ),
            (
                "roomba_looked_at_total",
                "Series of which something was read.",
                deeds.looked_at,
            ),
            (
                "roomba_read_whole_total",
                "Series of which all was read.",
                deeds.read_whole,
            ),
            (
                "roomba_cut_total",
                "Series whose old records were cut off.",
                deeds.cut,
            ),
            (
                "roomba_mended_total",
                "Series put in order, or rid of duplicates or of what is no record.",
                deeds.mended,
            ),
            (
                "roomba_removed_total",
                "Series removed since they had no record that is new enough.",
                deeds.removed,
            ),
            (
                "roomba_ghosts_total",
                "Members removed since they had no series.",
                deeds.ghosts,
            ),
            (
                "roomba_quarantined_total",
                "Series of which a copy was set aside since it could not all be read.",
                deeds.quarantined,
            ),
            (
                "roomba_conflicts_total",
                "Changes not made since another writer had changed the series.",
                deeds.conflicts,
            ),
            (
                "roomba_refused_total",
                "Commands that Redis refused, and series too long to be read.",
                deeds.refused,
            ),
            (
                "roomba_records_old_total",
                "Records cut off since they were too old.",
                deeds.records_old,
            ),
            (
                "roomba_records_duplicate_total",
                "Records dropped for another one of the same timestamp.",
                deeds.records_duplicate,
            ),
            (
                "roomba_values_foreign_total",
                "Values dropped since they are no records of two numbers.",
                deeds.values_foreign,
            ),
            (
                "roomba_replaced_bytes_total",
                "Bytes of the parts that were replaced, before.",
                deeds.bytes_before,
            ),
            (
                "roomba_kept_bytes_total",
                "Bytes of the parts that were replaced, after.",
                deeds.bytes_after,
            ),
            (
                "roomba_redis_microseconds_total",
                "Time of all round trips to Redis for groups of series.",
                deeds.redis_us,
            ),
            (
                "roomba_trips_total",
                "Round trips to Redis for groups of series.",
                self.trips,
            ),
            (
                "roomba_ledger_bytes",
                "Memory of what is known of the series.",
                self.ledger_bytes as u64,
            ),
        ];
        for (name, help, number) in plain {
            page.set(name, help, &[], number)?;
        }
        let quantiles = [
            ("0.5", self.trip_p50_us),
            ("0.99", self.trip_p99_us),
            ("1", self.trip_max_us),
        ];
        for (quantile, micros) in quantiles {
            page.set(
                "roomba_trip_microseconds",
                "Round trips to Redis for groups of series, by quantile, since the start.",
                &[("quantile", quantile)],
                micros,
            )?;
        }
        Ok(())
    }
}

/// A page of Prometheus text under construction.
#[derive(Default)]
struct Page {
    registry: Registry,
    counters: std::cell::RefCell<BTreeMap<String, IntCounterVec>>,
    gauges: std::cell::RefCell<BTreeMap<String, GaugeVec>>,
}

impl Page {
    fn set(
        &self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        number: u64,
    ) -> prometheus::Result<()> {
        let names: Vec<&str> = labels.iter().map(|(name, _)| *name).collect();
        let values: Vec<&str> = labels.iter().map(|(_, value)| *value).collect();
        let opts = Opts::new(format!("skyring_{name}"), help);
        if name.ends_with("_total") {
            let mut counters = self.counters.borrow_mut();
            if !counters.contains_key(name) {
                let counter = IntCounterVec::new(opts, &names)?;
                self.registry.register(Box::new(counter.clone()))?;
                counters.insert(name.to_owned(), counter);
            }
            counters[name]
                .get_metric_with_label_values(&values)?
                .inc_by(number);
            return Ok(());
        }
        let mut gauges = self.gauges.borrow_mut();
        if !gauges.contains_key(name) {
            let gauge = GaugeVec::new(opts, &names)?;
            self.registry.register(Box::new(gauge.clone()))?;
            gauges.insert(name.to_owned(), gauge);
        }
        gauges[name]
            .get_metric_with_label_values(&values)?
            .set(number as f64);
        Ok(())
    }

    fn text(&self) -> prometheus::Result<String> {
        let mut out = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut out)?;
        String::from_utf8(out).map_err(|error| prometheus::Error::Msg(error.to_string()))
    }
}
