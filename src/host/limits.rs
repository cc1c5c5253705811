//! Limits of the process: locked memory and open files.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{Finding, placement};
use crate::settings::Settings;

/// The locked memory without which glommio builds no executor, in bytes.
const MEMLOCK_BYTES_MIN: u64 = 512 << 10;

/// Open files besides connections: listeners, Redis, admin page, logs, libraries.
const FILES_RESERVE: u64 = 256;

/// Open files of one shard: its rings, wake-up descriptors, listeners, and Redis.
const FILES_PER_SHARD: u64 = 32;

/// Raises the limit of open files as far as an ordinary process may, and returns it.
pub fn raise_file_limit() -> u64 {
    raise(Resource::Nofile)
}

/// Raises the limit of locked memory as far as an ordinary process may, and returns
/// it in bytes.
pub fn raise_memlock_limit() -> u64 {
    raise(Resource::Memlock)
}

/// Checks that shards can start. `io_uring` counts its rings and buffers as locked
/// memory, for all processes of a user together.
pub(super) fn check_memlock(settings: &Settings) -> Finding {
    judge_memlock(hard(Resource::Memlock), placement(settings).len() as u64)
}

/// Checks that as many files can be opened as the settings may need.
pub(super) fn check_files(settings: &Settings) -> Finding {
    let shards = placement(settings).len() as u64;
    judge_files(
        hard(Resource::Nofile),
        u64::from(settings.horizon.connections_max),
        shards,
    )
}

fn judge_memlock(limit: u64, shards: u64) -> Finding {
    let mend = |bytes: u64| {
        let kib = bytes >> 10;
        format!(
            "ulimit -l {kib} as root, LimitMEMLOCK={kib}K in the unit file, or \
             \"* - memlock {kib}\" in /etc/security/limits.conf"
        )
    };
    let wanted = MEMLOCK_BYTES_MIN * shards.max(1);
    if limit < MEMLOCK_BYTES_MIN {
        let message = format!(
            "{} KiB may be locked, no shard starts with less than 512",
            limit >> 10
        );
        return Finding::fault("memlock", message, mend(wanted));
    }
    if limit < wanted {
        let message = format!(
            "{} KiB may be locked, {shards} shards want {}",
            limit >> 10,
            wanted >> 10
        );
        return Finding::warn("memlock", message, mend(wanted));
    }
    Finding::ok("memlock", format!("{} may be locked", amount(limit)))
}

fn judge_files(limit: u64, connections_max: u64, shards: u64) -> Finding {
    let needed = connections_max + FILES_RESERVE + FILES_PER_SHARD * shards;
    if limit >= needed {
        let limit = if limit == u64::MAX {
            "any number of".to_owned()
        } else {
            limit.to_string()
        };
        return Finding::ok(
            "files",
            format!("{limit} files may be open, {needed} may be needed"),
        );
    }
    Finding::fault(
        "files",
        format!(
            "{limit} files may be open, but horizon.connections_max = {connections_max} may need \
             {needed}"
        ),
        format!(
            "ulimit -n {needed} as root, LimitNOFILE={needed} in the unit file, or set \
             horizon.connections_max to at most {}",
            (limit + connections_max).saturating_sub(needed)
        ),
    )
}

fn amount(bytes: u64) -> String {
    if bytes == u64::MAX {
        "any amount".to_owned()
    } else {
        format!("{} KiB", bytes >> 10)
    }
}

fn hard(resource: Resource) -> u64 {
    getrlimit(resource).maximum.unwrap_or(u64::MAX)
}

fn raise(resource: Resource) -> u64 {
    let Rlimit { current, maximum } = getrlimit(resource);
    if current == maximum {
        return current.unwrap_or(u64::MAX);
    }
    match setrlimit(
        resource,
        Rlimit {
            current: maximum,
            maximum,
        },
    ) {
        Ok(()) => maximum.unwrap_or(u64::MAX),
        Err(_) => current.unwrap_or(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn locked_memory_is_judged_by_what_a_shard_needs() {
        let verdict = |limit, shards| judge_memlock(limit, shards).verdict;
        assert_eq!(verdict(u64::MAX, 64), Verdict::Ok);
        assert_eq!(verdict(8 << 20, 4), Verdict::Ok);
        assert_eq!(verdict(1 << 20, 4), Verdict::Warn);
        assert_eq!(verdict((512 << 10) - 1, 1), Verdict::Fault);
        let finding = judge_memlock(64 << 10, 2);
        assert!(finding.mend.contains("LimitMEMLOCK=1024K"), "{finding}");
    }

    #[test]
    fn the_mend_of_too_few_files_is_enough() {
        assert_eq!(judge_files(u64::MAX, 10_000, 4).verdict, Verdict::Ok);
        assert_eq!(
            judge_files(10_000 + 256 + 32, 10_000, 1).verdict,
            Verdict::Ok
        );
        let finding = judge_files(4096, 10_000, 1);
        assert_eq!(finding.verdict, Verdict::Fault);
        assert!(finding.mend.contains("ulimit -n 10288"), "{finding}");
        assert!(finding.mend.ends_with("to at most 3808"), "{finding}");
        assert_eq!(judge_files(4096, 3808, 1).verdict, Verdict::Ok);
    }

    #[test]
    fn raising_reaches_the_hard_limit() {
        assert_eq!(raise_file_limit(), hard(Resource::Nofile));
    }
}
