//! The CPUs of this process, and which of them the shards get.

use rustix::thread::{CpuSet, sched_getaffinity};

use super::Finding;
use crate::plane;
use crate::settings::Settings;

/// CPUs this process may use, in ascending order; never empty.
pub fn allowed_cpus() -> Vec<usize> {
    let allowed: Vec<usize> = match sched_getaffinity(None) {
        Ok(set) => (0..CpuSet::MAX_CPU)
            .filter(|cpu| set.is_set(*cpu))
            .collect(),
        // A kernel built for more CPUs than the set holds refuses the call.
        Err(_) => (0..std::thread::available_parallelism().map_or(1, usize::from)).collect(),
    };
    if allowed.is_empty() { vec![0] } else { allowed }
}

/// The CPU of each shard: one entry a shard, at least one.
pub fn placement(settings: &Settings) -> Vec<usize> {
    place(settings.shards as usize, &settings.cpus, &allowed_cpus())
}

/// One Redis takes in all that the shards can send, and it has one thread of its own
/// that needs a core. So one shard in two CPUs, four at most; and the last CPUs, since
/// the first ones serve most interrupts.
fn place(shards: usize, cpus: &[usize], allowed: &[usize]) -> Vec<usize> {
    if !cpus.is_empty() {
        return cpus.to_vec();
    }
    let count = if shards == 0 {
        (allowed.len() / 2).clamp(1, 4)
    } else {
        shards
    };
    let mut chosen: Vec<usize> = allowed.iter().rev().copied().cycle().take(count).collect();
    chosen.sort_unstable();
    chosen
}

/// Tells which CPUs the shards get.
pub(super) fn check(settings: &Settings) -> Finding {
    if let Err(error) = plane::probe_cpus() {
        return Finding::fault(
            "cpus",
            format!("the CPUs under /sys/devices/system cannot be looked at: {error}"),
            "mount -t sysfs sysfs /sys",
        );
    }
    let allowed = allowed_cpus();
    let placed = placement(settings);
    let shards = placed.len();
    if shards > allowed.len() {
        return Finding::warn(
            "cpus",
            format!(
                "{shards} shards share {} CPUs and wait for each other",
                allowed.len()
            ),
            format!("set shards to at most {}, or 0", allowed.len()),
        );
    }
    let which: Vec<String> = placed.iter().map(usize::to_string).collect();
    let message = format!(
        "{shards} of {} usable CPUs, {}, for the shards",
        allowed.len(),
        which.join(", ")
    );
    Finding::ok("cpus", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_get_the_last_cpus_and_leave_some_for_redis() {
        assert_eq!(place(0, &[], &[0]), [0]);
        assert_eq!(place(0, &[], &[0, 1]), [1]);
        assert_eq!(place(0, &[], &[0, 1, 2, 3]), [2, 3]);
        assert_eq!(
            place(0, &[], &(0..64).collect::<Vec<_>>()),
            [60, 61, 62, 63]
        );
        assert_eq!(place(0, &[7, 3], &[3, 7]), [7, 3]);
        assert_eq!(place(3, &[], &[4, 5]), [4, 5, 5]);
    }
}
