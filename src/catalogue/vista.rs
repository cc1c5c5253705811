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
            let mut states: BTreeMap<&str, u64> = BTreeMap::new();
            for entry in &status.vista.entries {
                *states.entry(entry.state).or_default() += 1;
            }
            for (state, entries) in states {
                samples.put(&[state], entries);
            }
        },
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
