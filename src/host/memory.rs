//! The most memory that the settings let the server hold, as a table that adds up.

use std::fmt;

use super::{Finding, placement};
use crate::datagrams::LISTENER_BYTES;
use crate::settings::Settings;

/// Worst-case memory, one line for each bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryTable {
    /// What holds memory, and at most how many bytes.
    pub lines: Vec<(String, u64)>,
}

impl MemoryTable {
    /// The table of `settings`; `shard_bytes` names what each shard holds besides the
    /// shared buffers, in bytes.
    pub fn new(settings: &Settings, shard_bytes: &[(&str, u64)]) -> Self {
        let horizon = &settings.horizon;
        let shards = placement(settings).len() as u64;
        let mut lines = vec![(
            "connections and unsettled batches".to_owned(),
            horizon.buffer_bytes_max as u64,
        )];
        let udp = settings.udp_listens().len() as u64;
        if udp > 0 {
            let bytes = LISTENER_BYTES + horizon.udp_buffer_bytes;
            lines.push((format!("datagrams, {udp} listeners"), udp * bytes as u64));
        }
        let flux = crate::flux::bytes_max(settings).into_iter();
        lines.extend(flux.map(|(name, bytes)| (name.to_owned(), bytes)));
        for (name, bytes) in shard_bytes {
            lines.push((
                format!("{name}, {shards} shards"),
                bytes.saturating_mul(shards),
            ));
        }
        Self { lines }
    }

    /// The sum of all lines, in bytes.
    pub fn total_bytes(&self) -> u64 {
        self.lines
            .iter()
            .fold(0, |sum, (_, bytes)| sum.saturating_add(*bytes))
    }

    /// Holds the sum against what this host or its container has.
    pub(super) fn check(&self) -> Finding {
        judge(self.total_bytes(), host_bytes())
    }
}

impl fmt::Display for MemoryTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self
            .lines
            .iter()
            .map(|(name, _)| name.len())
            .max()
            .unwrap_or(0)
            .max(24);
        writeln!(f, "{:width$} {:>10}", "worst-case memory", "MiB")?;
        for (name, bytes) in &self.lines {
            writeln!(f, "{name:width$} {:>10}", mib(*bytes))?;
        }
        writeln!(f, "{:width$} {:>10}", "sum", mib(self.total_bytes()))
    }
}

fn judge(total: u64, host: Option<u64>) -> Finding {
    let Some(host) = host else {
        return Finding::ok("memory", format!("at most {} MiB", mib(total)));
    };
    let message = format!("at most {} MiB of {} MiB", mib(total), mib(host));
    if total <= host {
        return Finding::ok("memory", message);
    }
    Finding::warn(
        "memory",
        message,
        "lower horizon.buffer_bytes_max, horizon.metrics_max or shards, or add memory",
    )
}

/// The memory of this host, or of the container if that has less.
fn host_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let total = meminfo_bytes(&text)?;
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let group = group
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(u64::MAX);
    Some(total.min(group))
}

fn meminfo_bytes(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// Mebibytes with one digit, rounded.
fn mib(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    // The sum is the promise: every line must be in it, those of shards once a shard.
    #[test]
    fn the_lines_add_up() {
        let cpu = super::super::allowed_cpus()[0];
        let sets = [
            format!("cpus=[{cpu}]"),
            "horizon.buffer_bytes_max=268435456".to_owned(),
            "horizon.udp_buffer_bytes=1048576".to_owned(),
        ];
        let settings = Settings::load(None, &sets).unwrap();
        let table = MemoryTable::new(
            &settings,
            &[("metric table", 7 << 20), ("scratch", 1 << 19)],
        );
        let udp = LISTENER_BYTES as u64 + (1 << 20);
        assert_eq!(table.total_bytes(), (256 + 7) * (1 << 20) + (1 << 19) + udp);
        let text = table.to_string();
        let ends: Vec<&str> = text
            .lines()
            .filter_map(|line| line.split(' ').next_back())
            .collect();
        let (udp, sum) = (mib(udp), mib(table.total_bytes()));
        assert_eq!(ends, ["MiB", "256.0", &udp, "7.0", "0.5", &sum]);
    }

    #[test]
    fn more_than_the_host_has_is_warned_of() {
        assert_eq!(judge(1, None).verdict, Verdict::Ok);
        assert_eq!(judge(1, Some(1)).verdict, Verdict::Ok);
        assert_eq!(judge(2, Some(1)).verdict, Verdict::Warn);
        assert_eq!(
            meminfo_bytes("MemTotal:       24 kB\nMemFree: 1 kB\n"),
            Some(24 << 10)
        );
        assert!(host_bytes().is_some());
    }
}
