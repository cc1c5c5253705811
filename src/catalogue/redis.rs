//! The way to Redis.

use super::{Kind, Metric, seconds_of_ms};

pub(super) static METRICS: &[Metric] = &[
    Metric {
        name: "skyring_redis_connected",
        kind: Kind::Gauge,
        labels: &[],
        help: "1 if every shard has a connection to Redis.",
        worry: "0: Redis is not reachable; points are kept, and behind the bound senders wait",
        read: |status, samples| samples.put(&[], status.redis.connected),
    },
    Metric {
        name: "skyring_redis_unanswered_seconds",
        kind: Kind::Gauge,
        labels: &[],
        help: "How long the oldest unanswered batch has been waiting.",
        worry: "more than a second: Redis hangs, such as in a fork or a slow command",
        read: |status, samples| samples.put(&[], seconds_of_ms(status.redis.unanswered_ms)),
    },
    Metric {
        name: "skyring_redis_errors_total",
        kind: Kind::Counter,
        labels: &["code"],
        help: "Error replies of Redis, by code.",
        worry: "it grows: OOM, MISCONF and the like stop all reading until they are mended; WRONGTYPE loses the points of that key",
        read: |status, samples| {
            for (code, errors) in &status.redis.errors {
                samples.put(&[code], *errors);
            }
        },
    },
    Metric {
        name: "skyring_redis_batches_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Batches that Redis has answered in full.",
        worry: "",
        read: |status, samples| samples.put(&[], status.redis.batches),
    },
    Metric {
        name: "skyring_redis_batches_in_flight",
        kind: Kind::Gauge,
        labels: &[],
        help: "Batches sent and not answered in full.",
        worry: "it stays at redis.in_flight_max for each shard: Redis is the limit",
        read: |status, samples| samples.put(&[], status.redis.in_flight_batches),
    },
    Metric {
        name: "skyring_redis_batches_waiting",
        kind: Kind::Gauge,
        labels: &[],
        help: "Batches that wait to be sent.",
        worry: "it grows: Redis is slower than the stream",
        read: |status, samples| samples.put(&[], status.redis.waiting_batches),
    },
    Metric {
        name: "skyring_redis_appends_total",
        kind: Kind::Counter,
        labels: &[],
        help: "APPEND commands that Redis has answered.",
        worry: "",
        read: |status, samples| samples.put(&[], status.redis.appends),
    },
    Metric {
        name: "skyring_redis_members_asserted_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Members sent to the set of known metrics.",
        worry: "its rate is near that of appends: metrics are new each time, or the table is full",
        read: |status, samples| samples.put(&[], status.redis.members_asserted),
    },
    Metric {
        name: "skyring_redis_commands_resent_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Commands sent again after a lost connection or an error that passes.",
        worry: "it grows: connections to Redis break, and series may hold records twice until Roomba has looked",
        read: |status, samples| samples.put(&[], status.redis.resent),
    },
    Metric {
        name: "skyring_redis_connections_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Connections made to Redis.",
        worry: "it grows beyond one for each shard: connections break",
        read: |status, samples| samples.put(&[], status.redis.connections),
    },
];
