//! The server as a whole.

use super::{Kind, Metric};

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
        name: "skyring_build_info",
        kind: Kind::Gauge,
        labels: &["version"],
        help: "Always 1; the label is the version that runs.",
        worry: "",
        read: |status, samples| samples.put(&[status.version], 1_u64),
    },
];
