//! Points, by listener and by rule.

use super::{Kind, Metric, Number, Samples};
use crate::status::{ListenerStatus, Status};

fn by_listener<N: Number>(
    status: &Status,
    samples: &mut Samples,
    number: fn(&ListenerStatus) -> N,
) {
    for (listener, counts) in &status.listeners {
        samples.put(&[listener], number(counts));
    }
}

pub(super) static METRICS: &[Metric] = &[
    Metric {
        name: "skyring_points_received_total",
        kind: Kind::Counter,
        labels: &["listener"],
        help: "Points decoded, and items that should have been points.",
        worry: "its rate is 0 while senders send: nothing arrives, look at connections and frames_bad",
        read: |status, samples| by_listener(status, samples, |l| l.received),
    },
    Metric {
        name: "skyring_points_stored_total",
        kind: Kind::Counter,
        labels: &["listener"],
        help: "Points that Redis has confirmed.",
        worry: "its rate stays below that of points received: see what is dropped, and points in flight",
        read: |status, samples| by_listener(status, samples, |l| l.stored),
    },
    Metric {
        name: "skyring_points_dropped_total",
        kind: Kind::Counter,
        labels: &["listener", "reason"],
        help: "Points not stored, by reason.",
        worry: "reasons other than not_mine, rule and skipped grow: senders send what cannot be stored, or Redis refuses for good",
        read: |status, samples| {
            for (listener, counts) in &status.listeners {
                for (reason, points) in &counts.dropped {
                    samples.put(&[listener, reason], *points);
                }
            }
        },
    },
    Metric {
        name: "skyring_points_in_flight",
        kind: Kind::Gauge,
        labels: &["listener"],
        help: "Points on their way to Redis.",
        worry: "it grows without end: Redis is slower than the stream, or away",
        read: |status, samples| by_listener(status, samples, |l| l.in_flight),
    },
    Metric {
        name: "skyring_settle_latency_seconds",
        kind: Kind::Histogram,
        labels: &[],
        help: "From the arrival of a point's bytes to Redis's answer.",
        worry: "high quantiles grow: Redis or its host is overloaded",
        read: |status, samples| samples.put_latencies(&status.latency_buckets),
    },
    Metric {
        name: "skyring_frames_total",
        kind: Kind::Counter,
        labels: &["listener"],
        help: "Frames, msgpack datagrams and lines decoded.",
        worry: "",
        read: |status, samples| by_listener(status, samples, |l| l.frames),
    },
    Metric {
        name: "skyring_frames_bad_total",
        kind: Kind::Counter,
        labels: &["listener", "reason"],
        help: "Frames and msgpack datagrams skipped, by reason.",
        worry: "it grows: a sender speaks another protocol, or is hostile",
        read: |status, samples| {
            for (listener, counts) in &status.listeners {
                for (reason, frames) in &counts.frames_bad {
                    samples.put(&[listener, reason], *frames);
                }
            }
        },
    },
    Metric {
        name: "skyring_frames_too_long_total",
        kind: Kind::Counter,
        labels: &["listener"],
        help: "Frames longer than horizon.frame_bytes_max, each with its connection closed, and overlong lines, each skipped.",
        worry: "it grows: a sender speaks another protocol to this port, or frames are larger than the setting",
        read: |status, samples| by_listener(status, samples, |l| l.frames_too_long),
    },
    Metric {
        name: "skyring_frames_cut_short_total",
        kind: Kind::Counter,
        labels: &["listener"],
        help: "Frames whose connection ended in their middle.",
        worry: "it grows: senders or what lies between break connections, and send these points again or lose them",
        read: |status, samples| by_listener(status, samples, |l| l.frames_cut_short),
    },
    Metric {
        name: "skyring_received_bytes_total",
        kind: Kind::Counter,
        labels: &["listener"],
        help: "Bytes received in whole frames.",
        worry: "",
        read: |status, samples| by_listener(status, samples, |l| l.bytes),
    },
    Metric {
        name: "skyring_connections",
        kind: Kind::Gauge,
        labels: &["listener"],
        help: "Open connections.",
        worry: "0 where relays should be connected; near horizon.connections_max",
        read: |status, samples| by_listener(status, samples, |l| l.connections),
    },
    Metric {
        name: "skyring_connections_accepted_total",
        kind: Kind::Counter,
        labels: &["listener"],
        help: "Connections accepted.",
        worry: "it grows fast: senders connect anew for each point, which costs both sides",
        read: |status, samples| by_listener(status, samples, |l| l.connections_accepted),
    },
    Metric {
        name: "skyring_connections_refused_total",
        kind: Kind::Counter,
        labels: &["listener"],
        help: "Connections closed at once because horizon.connections_max were open.",
        worry: "it grows: raise horizon.connections_max, or find who opens so many",
        read: |status, samples| by_listener(status, samples, |l| l.connections_refused),
    },
    Metric {
        name: "skyring_connections_stalled_total",
        kind: Kind::Counter,
        labels: &["listener"],
        help: "Connections given up because a frame did not grow for horizon.frame_stall_s.",
        worry: "it grows: senders hang in the middle of a frame",
        read: |status, samples| by_listener(status, samples, |l| l.connections_stalled),
    },
    Metric {
        name: "skyring_kernel_drops_total",
        kind: Kind::Counter,
        labels: &["listener"],
        help: "Datagrams that the kernel dropped since it had no room for more.",
        worry: "it grows: points are lost; raise horizon.udp_buffer_bytes and net.core.rmem_max",
        read: |status, samples| {
            for (listener, counts) in &status.listeners {
                if let Some(drops) = counts.kernel_drops {
                    samples.put(&[listener], drops);
                }
            }
        },
    },
    Metric {
        name: "skyring_rule_judgements_total",
        kind: Kind::Counter,
        labels: &["rule", "action"],
        help: "Judgements of a metric's name in which the rule fitted: about one for each metric and shard.",
        worry: "0: the rule fits nothing",
        read: |status, samples| {
            for rule in &status.rules {
                samples.put(&[&rule.name, rule.action], rule.judged);
            }
        },
    },
    Metric {
        name: "skyring_rule_points_total",
        kind: Kind::Counter,
        labels: &["rule", "action"],
        help: "Points for which it was the last rule that fitted.",
        worry: "",
        read: |status, samples| {
            for rule in &status.rules {
                samples.put(&[&rule.name, rule.action], rule.points);
            }
        },
    },
    Metric {
        name: "skyring_metrics_known",
        kind: Kind::Gauge,
        labels: &[],
        help: "Metrics in the shards' tables: one that came to two shards counts twice.",
        worry: "it grows without end: a sender makes new names all the time",
        read: |status, samples| samples.put(&[], status.metrics_known),
    },
    Metric {
        name: "skyring_metrics_table_bytes",
        kind: Kind::Gauge,
        labels: &[],
        help: "Memory of the shards' tables.",
        worry: "",
        read: |status, samples| samples.put(&[], status.metrics_bytes),
    },
    Metric {
        name: "skyring_metrics_not_kept_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Points whose metric found the table full.",
        worry: "it grows: each such point costs Redis a second command; raise horizon.metrics_max",
        read: |status, samples| samples.put(&[], status.metrics_not_kept),
    },
    Metric {
        name: "skyring_series_new_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Metrics that got an entry in the shards' tables, each time.",
        worry: "it grows all the time: somebody sends names that are used once",
        read: |status, samples| samples.put(&[], status.series_new),
    },
    Metric {
        name: "skyring_buffer_bytes",
        kind: Kind::Gauge,
        labels: &[],
        help: "Memory that connections and unsettled batches hold.",
        worry: "it is near horizon.buffer_bytes_max: nothing more is read until Redis has settled some",
        read: |status, samples| samples.put(&[], status.buffer_bytes),
    },
    Metric {
        name: "skyring_buffer_max_bytes",
        kind: Kind::Gauge,
        labels: &[],
        help: "The bound of that, horizon.buffer_bytes_max.",
        worry: "",
        read: |status, samples| samples.put(&[], status.buffer_bytes_max),
    },
];
