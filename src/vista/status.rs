//! What Vista shows on `/api/status`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::core::Dropped;

/// Vista as a whole.
#[derive(Clone, Debug, Default, Serialize)]
pub struct VistaStatus {
    /// Whether metrics are fetched.
    pub enabled: bool,
    /// How many entries are in each state.
    pub states: BTreeMap<&'static str, u64>,
    /// Questions asked of sources.
    pub requests: u64,
    /// Questions to which there was no good answer.
    pub requests_failed: u64,
    /// Metrics in good answers.
    pub fetched: u64,
    /// Metrics in good answers of which points were delivered.
    pub delivered: u64,
    /// The longest time that a question took lately, in milliseconds.
    pub slowest_ms: u64,
    /// Histories and gaps that were begun to be filled.
    pub populates: u64,
    /// Those that failed.
    pub populates_failed: u64,
    /// Points delivered.
    pub points: u64,
    /// Points fetched that were not delivered, by reason.
    pub dropped: Dropped,
    /// Records that Python's Vista had left in Redis and that were delivered.
    pub inherited: u64,
    /// Failures of Redis with the keys beside.
    pub redis_errors: u64,
    /// How far the furthest entry is behind the clock.
    pub lag_max_s: Option<i64>,
    /// Every source that is asked.
    pub sources: Vec<SourceStatus>,
    /// Entries of `vista.fetch`, in its order.
    pub entries: Vec<EntryStatus>,
    /// How many more there are.
    pub left_out: usize,
}

/// One source.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SourceStatus {
    /// Where it is, without secrets.
    pub remote_host: String,
    /// Entries that are fetched there.
    pub entries: u64,
    /// Questions that it has not answered.
    pub running: u64,
    /// Entries that are due and wait for their turn.
    pub waiting: u64,
    /// Whether it is left alone for a while after failures.
    pub is_failing: bool,
    /// Its last failure; empty since it has answered.
    pub error: String,
}

/// One entry of `vista.fetch`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct EntryStatus {
    /// The metric's final name.
    pub metric: String,
    /// The source, without secrets.
    pub remote_host: String,
    /// What is asked there.
    pub remote_target: String,
    /// Seconds between two fetches.
    pub frequency_s: u32,
    /// `waiting`, `ok`, `failing`, `populating`, `disabled` or `elsewhere` (another node
    /// fetches it).
    pub state: &'static str,
    /// The node that fetches it, if that is another.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub node: String,
    /// Time of the newest point that was delivered, in seconds since 1970.
    pub last_point_s: Option<i64>,
    /// How far that is behind the clock.
    pub lag_s: Option<i64>,
    /// What went wrong last; empty since it went well.
    pub error: String,
    /// What the operator should know of how it is configured.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// When the next fetch is due, in seconds since 1970.
    pub next_fetch_s: Option<i64>,
    /// Points delivered.
    pub points: u64,
    /// History or a gap being filled: from, to, and where it stands, in seconds since
    /// 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backfill: Option<BackfillStatus>,
}

impl EntryStatus {
    /// What an entry's state can be.
    pub const STATES: [&'static str; 6] = [
        "waiting",
        "ok",
        "failing",
        "populating",
        "disabled",
        "elsewhere",
    ];
}

/// History or a gap being filled, in seconds since 1970.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct BackfillStatus {
    pub from_s: i64,
    pub to_s: i64,
    pub at_s: i64,
}
