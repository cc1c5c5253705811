//! Points over HTTP.

use super::{Kind, Metric};

pub(super) static METRICS: &[Metric] = &[
    Metric {
        name: "skyring_flux_connections",
        kind: Kind::Gauge,
        labels: &[],
        help: "Open connections.",
        worry: "it is at its bound: further clients wait",
        read: |status, samples| samples.put(&[], status.flux.connections),
    },
    Metric {
        name: "skyring_flux_requests_total",
        kind: Kind::Counter,
        labels: &["endpoint", "code"],
        help: "Requests answered, by status code.",
        worry: "codes of 500 and above, 429: there is no room, see the queue; 400 and 401: clients send what is no good",
        read: |status, samples| {
            for (endpoint, counts) in &status.flux.endpoints {
                for (code, answers) in &counts.answers {
                    samples.put(&[endpoint, &code.to_string()], *answers);
                }
            }
        },
    },
    Metric {
        name: "skyring_flux_points_total",
        kind: Kind::Counter,
        labels: &["endpoint"],
        help: "Points taken.",
        worry: "",
        read: |status, samples| {
            for (endpoint, counts) in &status.flux.endpoints {
                samples.put(&[endpoint], counts.points);
            }
        },
    },
    Metric {
        name: "skyring_flux_refused_total",
        kind: Kind::Counter,
        labels: &["endpoint", "reason"],
        help: "Requests or points refused, by reason.",
        worry: "it grows: clients send what is no good, or have no key",
        read: |status, samples| {
            for (endpoint, counts) in &status.flux.endpoints {
                for (reason, refused) in &counts.refused {
                    samples.put(&[endpoint, reason], *refused);
                }
            }
        },
    },
    Metric {
        name: "skyring_flux_queue_points",
        kind: Kind::Gauge,
        labels: &[],
        help: "Points taken and not yet delivered.",
        worry: "it grows: where points are delivered is slower than the clients, or away",
        read: |status, samples| samples.put(&[], status.flux.queue_points),
    },
    Metric {
        name: "skyring_flux_queue_bytes",
        kind: Kind::Gauge,
        labels: &[],
        help: "What those hold in memory, on the way to the data plane.",
        worry: "it is near its bound: clients are answered 503",
        read: |status, samples| samples.put(&[], status.flux.queue_bytes),
    },
    Metric {
        name: "skyring_flux_queue_bytes_max",
        kind: Kind::Gauge,
        labels: &[],
        help: "The bound of that.",
        worry: "",
        read: |status, samples| samples.put(&[], status.flux.queue_bytes_max),
    },
    Metric {
        name: "skyring_flux_delivered_points_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Points delivered.",
        worry: "its rate stays below that of points taken",
        read: |status, samples| samples.put(&[], status.flux.delivered),
    },
    Metric {
        name: "skyring_flux_delivered_metrics_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Metrics with points delivered, each once in a minute.",
        worry: "",
        read: |status, samples| samples.put(&[], status.flux.metrics_delivered),
    },
    Metric {
        name: "skyring_flux_already_received_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Points not newer than the last of their metric.",
        worry: "it grows as fast as points are taken: a client sends everything again",
        read: |status, samples| samples.put(&[], status.flux.already_received),
    },
    Metric {
        name: "skyring_flux_unchecked_metrics_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Metrics whose points were taken without looking for duplicates.",
        worry: "it grows: the last timestamps cannot be read in Redis",
        read: |status, samples| samples.put(&[], status.flux.unchecked),
    },
    Metric {
        name: "skyring_flux_dropped_points_total",
        kind: Kind::Counter,
        labels: &["reason"],
        help: "Points that were taken and not delivered, by reason.",
        worry: "it grows: points are lost",
        read: |status, samples| {
            for (reason, points) in &status.flux.dropped {
                samples.put(&[reason], *points);
            }
        },
    },
    Metric {
        name: "skyring_flux_carbon_connected",
        kind: Kind::Gauge,
        labels: &[],
        help: "1 if there is a connection to carbon; only where Flux delivers to it.",
        worry: "0 while points wait: carbon is away",
        read: |status, samples| {
            if let Some(carbon) = &status.flux.carbon {
                samples.put(&[], carbon.connected);
            }
        },
    },
    Metric {
        name: "skyring_flux_carbon_sent_points_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Points written to carbon.",
        worry: "",
        read: |status, samples| {
            if let Some(carbon) = &status.flux.carbon {
                samples.put(&[], carbon.sent);
            }
        },
    },
    Metric {
        name: "skyring_flux_carbon_resent_points_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Points written to carbon once more after a connection broke.",
        worry: "it grows: connections to carbon break",
        read: |status, samples| {
            if let Some(carbon) = &status.flux.carbon {
                samples.put(&[], carbon.resent);
            }
        },
    },
    Metric {
        name: "skyring_flux_carbon_last_sent_timestamp_seconds",
        kind: Kind::Gauge,
        labels: &[],
        help: "When something was last written to carbon, since 1970; 0 if never.",
        worry: "it stands still while points wait: carbon takes nothing",
        read: |status, samples| {
            if let Some(carbon) = &status.flux.carbon {
                samples.put(&[], carbon.last_sent_s);
            }
        },
    },
    Metric {
        name: "skyring_flux_aggregated_points_total",
        kind: Kind::Counter,
        labels: &["outcome"],
        help: "Points of metrics that are aggregated: aggregated, come too late, or without room.",
        worry: "outcome late grows: flux.grace_s is too short; outcome refused: flux.aggregate_periods_max is too small",
        read: |status, samples| {
            let aggregate = &status.flux.aggregate;
            samples.put(&["aggregated"], aggregate.points);
            samples.put(&["late"], aggregate.late);
            samples.put(&["refused"], aggregate.refused);
        },
    },
    Metric {
        name: "skyring_flux_aggregate_made_points_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Points made of those.",
        worry: "",
        read: |status, samples| samples.put(&[], status.flux.aggregate.made),
    },
    Metric {
        name: "skyring_flux_filled_points_total",
        kind: Kind::Counter,
        labels: &["outcome"],
        help: "Points for minutes without any: made, or not made or not taken.",
        worry: "outcome failed grows: where points are delivered is away, or Redis",
        read: |status, samples| {
            let fill = &status.flux.fill;
            samples.put(&["filled"], fill.filled);
            samples.put(&["failed"], fill.failed);
        },
    },
    Metric {
        name: "skyring_flux_populate_waiting",
        kind: Kind::Gauge,
        labels: &[],
        help: "Histories that wait to be fetched.",
        worry: "",
        read: |status, samples| samples.put(&[], status.flux.populate.waiting),
    },
    Metric {
        name: "skyring_flux_populate_running",
        kind: Kind::Gauge,
        labels: &[],
        help: "Histories that are being fetched.",
        worry: "",
        read: |status, samples| samples.put(&[], status.flux.populate.running),
    },
    Metric {
        name: "skyring_flux_populated_total",
        kind: Kind::Counter,
        labels: &["outcome"],
        help: "Histories that were fetched, or could not be.",
        worry: "outcome failed grows: see the log",
        read: |status, samples| {
            let populate = &status.flux.populate;
            samples.put(&["done"], populate.done);
            samples.put(&["failed"], populate.failed);
        },
    },
    Metric {
        name: "skyring_flux_populated_points_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Points of such histories.",
        worry: "",
        read: |status, samples| samples.put(&[], status.flux.populate.points),
    },
];
