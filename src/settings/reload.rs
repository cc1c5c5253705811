//! Which settings a running server takes up, and what a reload changes.

use std::fmt;

use super::{ENTRIES, Entry, Settings};

/// Settings that take effect without a restart. The others are tied to memory,
/// threads or connections that are made once.
const RELOADABLE: &[&str] = &[
    "drain_s",
    "rule",
    "redis.full_duration_s",
    "horizon.pickle",
    "horizon.msgpack",
    "horizon.line_tcp",
    "horizon.line_udp",
    "horizon.skip",
    "horizon.do_not_skip",
    "horizon.max_resolution_s",
    "horizon.connections_max",
    "horizon.linger_us",
    "horizon.frame_stall_s",
    "horizon.side_keys",
    "horizon.side_keys_s",
    "roomba.enabled",
    "roomba.interval_s",
    "roomba.grace_s",
    "roomba.skip_batch",
    "roomba.mini_namespace",
    "roomba.mini_duration_s",
    "roomba.quarantine_s",
    "batch.enabled",
    "batch.namespaces",
    "cluster.node",
    "cluster.shards",
    "cluster.shard_pickle",
    "flux.listen",
    "flux.self_key",
    "flux.keys",
    "flux.quotas",
    "flux.max_age_s",
    "flux.check_last_timestamp",
    "flux.aggregate",
    "flux.zero_fill",
    "flux.last_known_value",
    "flux.grace_s",
    "flux.connections_max",
    "flux.head_bytes_max",
    "flux.head_s",
    "flux.connection_s",
    "flux.body_bytes_max",
    "flux.decompressed_bytes_max",
    "flux.body_s",
    "flux.request_points_max",
    "flux.wait_s",
    "flux.uploads.enabled",
    "flux.uploads.keys",
    "flux.uploads.save_dir",
    "flux.uploads.bytes_max",
    "flux.uploads.receive_s",
    "flux.uploads.files_max",
    "flux.uploads.unpacked_bytes_max",
    "flux.uploads.ratio_max",
    "flux.uploads.cells_max",
    "flux.uploads.workbook_bytes_max",
    "flux.prometheus.max_age_s",
    "flux.prometheus.drop_buckets",
    "flux.prometheus.metric_series_max",
    "flux.prometheus.series_max",
    "self_metrics.enabled",
    "self_metrics.name",
    "self_metrics.carbon",
    "vista.enabled",
    "vista.fetch",
    "vista.delay_s",
    "vista.source_requests_max",
    "vista.batch_targets_max",
    "vista.backfills_max",
    "vista.backfills_per_minute",
    "vista.populate_tries_max",
];

/// A setting that a reload found changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The setting.
    pub key: String,
    /// What it was, as TOML, secrets masked.
    pub from: String,
    /// What it is.
    pub to: String,
    /// Whether the new value is in force; otherwise it will be after a restart.
    pub is_in_force: bool,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, from, to, .. } = self;
        if from == to {
            write!(f, "{key}: changed")?;
        } else {
            write!(f, "{key}: {from} -> {to}")?;
        }
        if !self.is_in_force {
            f.write_str(" (needs a restart)")?;
        }
        Ok(())
    }
}

impl Entry {
    /// Whether a reload changes it.
    pub fn is_reloadable(&self) -> bool {
        RELOADABLE.contains(&self.key().as_str())
    }
}

impl Settings {
    /// What a server that runs under these settings makes of `new`: every change,
    /// and the settings that it goes on under.
    pub fn reloaded(&self, new: &Self) -> (Vec<Change>, Self) {
        let mut settings = self.clone();
        let mut changes = Vec::new();
        for entry in ENTRIES.iter().filter(|entry| !(entry.is_same)(self, new)) {
            let is_in_force = entry.is_reloadable();
            if is_in_force {
                (entry.copy)(&mut settings, new);
            }
            changes.push(Change {
                key: entry.key(),
                from: (entry.show)(self),
                to: (entry.show)(new),
                is_in_force,
            });
        }
        (changes, settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reloadable_key_is_a_setting() {
        for key in RELOADABLE {
            assert!(ENTRIES.iter().any(|entry| entry.key() == *key), "{key}");
        }
    }

    #[test]
    fn a_reload_takes_up_what_it_can_and_tells_every_change() {
        let old = Settings::default();
        let mut new = old.clone();
        new.horizon.max_resolution_s = 60;
        new.horizon.frame_bytes_max = 1 << 20;
        let (changes, settings) = old.reloaded(&new);
        let told: Vec<String> = changes.iter().map(Change::to_string).collect();
        assert_eq!(
            told,
            [
                "horizon.max_resolution_s: 1000 -> 60",
                "horizon.frame_bytes_max: 67108864 -> 1048576 (needs a restart)"
            ]
        );
        assert_eq!(settings.horizon.max_resolution_s, 60);
        assert_eq!(
            settings.horizon.frame_bytes_max,
            old.horizon.frame_bytes_max
        );
        assert_eq!(old.reloaded(&old), (Vec::new(), old.clone()));
    }

    // A secret that has changed is told, and its value is not.
    #[test]
    fn a_changed_secret_is_told_without_its_value() {
        let load = |key: &str| Settings::load(None, &[format!("flux.self_key={key}")]).unwrap();
        let (changes, _) = load("one").reloaded(&load("two"));
        let told: Vec<String> = changes.iter().map(Change::to_string).collect();
        assert_eq!(told, ["flux.self_key: changed"]);
    }
}
