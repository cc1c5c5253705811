//! Metrics fetched from Graphite and Prometheus. One sample for each entry of the
//! configuration, which bounds them.

use std::collections::BTreeMap;

use super::{Kind, Metric};

pub(super) static METRICS: &[Metric] = &[
    Metric {
        name: "skyring_vista_enabled",
        kind: Kind::Gauge,
        labels: &[],
        help: "1 if metrics are fetched.",
        worry: "",
        read: |status, samples| samples.put(&[], status.vista.enabled),
    },
    Metric {
        name: "skyring_vista_entries",
        kind: Kind::Gauge,
        labels: &["state"],
        help: "Entries of vista.fetch, by state.",
        worry: "state failing: the source does not answer as it should; state disabled: the entry is at fault, see skyring check",
        read: |status, samples| {
            for (state, entries) in &status.vista.states {
                samples.put(&[state], *entries);
            }
        },
    },
    Metric {
        name: "skyring_vista_requests_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Questions asked of sources, several targets of a Graphite in one.",
        worry: "",
        read: |status, samples| samples.put(&[], status.vista.requests),
    },
    Metric {
        name: "skyring_vista_requests_failed_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Questions to sources that had no good answer.",
        worry: "it grows: see the errors of sources and entries on /api/status",
        read: |status, samples| samples.put(&[], status.vista.requests_failed),
    },
    Metric {
        name: "skyring_vista_metrics_fetched_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Metrics in good answers of sources.",
        worry: "it does not grow for longer than the least frequency",
        read: |status, samples| samples.put(&[], status.vista.fetched),
    },
    Metric {
        name: "skyring_vista_populates_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Histories and gaps that were begun to be filled.",
        worry: "it grows all the time: sources or this server are often away",
        read: |status, samples| samples.put(&[], status.vista.populates),
    },
    Metric {
        name: "skyring_vista_populates_failed_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Histories and gaps whose filling failed; it is tried again.",
        worry: "it grows: see the errors of entries on /api/status",
        read: |status, samples| samples.put(&[], status.vista.populates_failed),
    },
    Metric {
        name: "skyring_vista_points_dropped_total",
        kind: Kind::Counter,
        labels: &["reason"],
        help: "Values fetched that were not delivered.",
        worry: "reason refused: horizon.skip names the metric, or its points are too old",
        read: |status, samples| {
            let dropped = status.vista.dropped;
            samples.put(&["null"], dropped.null);
            samples.put(&["non_finite"], dropped.non_finite);
            samples.put(&["refused"], dropped.refused);
        },
    },
    Metric {
        name: "skyring_vista_source_up",
        kind: Kind::Gauge,
        labels: &["remote_host"],
        help: "1 if the source has answered last, 0 if it is left alone after failures.",
        worry: "0: it is away, or refuses the login; its error is on /api/status",
        read: |status, samples| {
            // One host may be asked with several logins.
            let mut hosts: BTreeMap<&str, bool> = BTreeMap::new();
            for source in &status.vista.sources {
                *hosts.entry(&source.remote_host).or_insert(true) &= !source.is_failing;
            }
            for (host, is_up) in hosts {
                samples.put(&[host], is_up);
            }
        },
    },
    Metric {
        name: "skyring_vista_records_inherited_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Records that Python's Vista had left in Redis, delivered and removed.",
        worry: "it grows all the time: Python's Vista still runs",
        read: |status, samples| samples.put(&[], status.vista.inherited),
    },
    Metric {
        name: "skyring_vista_redis_errors_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Failures of Redis with last points and with the keys beside.",
        worry: "it grows: what Redis says is in the log",
        read: |status, samples| samples.put(&[], status.vista.redis_errors),
    },
    Metric {
        name: "skyring_vista_points_total",
        kind: Kind::Counter,
        labels: &["metric"],
        help: "Points delivered.",
        worry: "it does not grow for longer than the entry's frequency",
        read: |status, samples| {
            for entry in &status.vista.entries {
                samples.put(&[&entry.metric], entry.points);
            }
        },
    },
    Metric {
        name: "skyring_vista_lag_seconds",
        kind: Kind::Gauge,
        labels: &["metric"],
        help: "How far the newest point that was delivered is behind the clock.",
        worry: "more than the entry's frequency and 300 s: the source is away or has nothing new",
        read: |status, samples| {
            for entry in &status.vista.entries {
                if let Some(lag_s) = entry.lag_s {
                    samples.put(&[&entry.metric], lag_s);
                }
            }
        },
    },
];
