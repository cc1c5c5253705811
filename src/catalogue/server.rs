//! The server as a whole.

use super::{Kind, Metric, seconds_of_us};

pub(super) static METRICS: &[Metric] = &[
    Metric {
        name: "skyring_ready",
        kind: Kind::Gauge,
        labels: &[],
        help: "1 if everything listens and Redis settles.",
        worry: "0: /readyz says why",
        read: |status, samples| samples.put(&[], status.ready),
    },
    Metric {
        name: "skyring_draining",
        kind: Kind::Gauge,
        labels: &[],
        help: "1 if the server is ending.",
        worry: "",
        read: |status, samples| samples.put(&[], status.draining),
    },
    Metric {
        name: "skyring_uptime_seconds",
        kind: Kind::Gauge,
        labels: &[],
        help: "Seconds since the start.",
        worry: "it begins anew again and again: the server is killed, see its log and the kernel's",
        read: |status, samples| samples.put(&[], status.uptime_s),
    },
    Metric {
        name: "skyring_shard_cpu_seconds_total",
        kind: Kind::Counter,
        labels: &["shard"],
        help: "CPU time of the shard's thread.",
        worry: "about 1 a second for long: the shard is at its limit, give it fewer senders or more shards",
        read: |status, samples| {
            for (index, shard) in status.shards.iter().enumerate() {
                samples.put(&[&index.to_string()], seconds_of_us(shard.cpu_us));
            }
        },
    },
    Metric {
        name: "skyring_build_info",
        kind: Kind::Gauge,
        labels: &["version"],
        help: "Always 1; the label is the version that runs.",
        worry: "",
        read: |status, samples| samples.put(&[status.version], 1_u64),
    },
];
