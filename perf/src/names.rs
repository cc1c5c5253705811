//! Names of metrics as monitoring agents make them: deterministic from a seed,
//! unique, and 20 to 120 characters long.

/// Metrics of one host: each host has one kind, and its leaves differ by number.
const LEAVES: u64 = 50;

const SITES: [&str; 6] = ["dc1", "dc2", "dc3", "eu-west-1", "us-east-2", "ap-south-1"];
const ROLES: [&str; 8] = [
    "web", "api", "db", "cache", "queue", "search", "mail", "worker",
];
const CPU: [&str; 5] = ["user", "system", "idle", "iowait", "steal"];
const NET: [&str; 5] = [
    "rx_bytes",
    "tx_bytes",
    "rx_packets",
    "tx_packets",
    "rx_errors",
];
const POD: [&str; 5] = [
    "cpu.usage_total",
    "memory.working_set_bytes",
    "memory.rss",
    "fs.usage_bytes",
    "restarts",
];
const TIMER: [&str; 5] = ["count", "mean_90", "upper_90", "upper_99", "median"];

/// The name of metric `index`; two indexes below 2^32 never share a name.
///
/// The host's number is part of every name and decides its kind, so that a
/// name can be read back to exactly one index.
pub fn name(seed: u64, index: u64) -> String {
    let host = index / LEAVES;
    let leaf = index % LEAVES;
    let (unit, kind) = (leaf / 5, (leaf % 5) as usize);
    let dice = mix(seed ^ host.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let site = SITES[(dice >> 8) as usize % SITES.len()];
    let role = ROLES[(dice >> 24) as usize % ROLES.len()];
    match dice % 20 {
        0..8 => format!("stats.{site}.{role}-{host:05}.cpu.{unit}.{}", CPU[kind]),
        8..14 => format!(
            "servers.{site}.{role}.{role}-{host:05}.network.eth{unit}.{}",
            NET[kind]
        ),
        14..18 => format!(
            "stats.timers.{site}.{role}-{host:05}.http.requests.endpoint_{unit}.status_2xx.{}",
            TIMER[kind]
        ),
        _ => format!(
            "kubernetes.{site}.namespace.{role}.pod.{role}-{host:05}-{:010x}-{:05x}.container_{unit}.{}",
            dice & 0xff_ffff_ffff,
            mix(dice) & 0xf_ffff,
            POD[kind]
        ),
    }
}

/// 100 patterns of a skip list: half of them fit about a third of all names, the
/// others none, as in a list that has grown for years.
pub fn skip_patterns() -> Vec<String> {
    let mut patterns = Vec::with_capacity(100);
    for unit in 0..5 {
        patterns.extend(CPU.map(|kind| format!("cpu.{unit}.{kind}")));
        patterns.extend(NET.map(|kind| format!("eth{unit}.{kind}")));
    }
    patterns.extend((0..50).map(|team| format!("staging.team-{team:02}.")));
    patterns
}

/// SplitMix64's output function: spreads neighbouring numbers over all 64 bits.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_20_to_120_characters_long() {
        let mut names: Vec<String> = (0..200_000).map(|i| name(7, i)).collect();
        assert!(
            names
                .iter()
                .all(|n| (20..=120).contains(&n.len()) && n.is_ascii())
        );
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 200_000);
    }

    #[test]
    fn the_same_seed_gives_the_same_names() {
        assert_eq!(name(7, 12_345), name(7, 12_345));
        assert!((0..1000).any(|i| name(7, i) != name(8, i)));
    }
}
