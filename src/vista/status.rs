//! What Vista shows on `/api/status`.

use serde::Serialize;

/// Vista as a whole.
#[derive(Clone, Debug, Default, Serialize)]
pub struct VistaStatus {
    /// Whether metrics are fetched.
    pub enabled: bool,
    /// Every entry of `vista.fetch`, in its order.
    pub entries: Vec<EntryStatus>,
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
    /// Time of the newest point that was delivered, in seconds since 1970.
    pub last_point_s: Option<i64>,
    /// How far that is behind the clock.
    pub lag_s: Option<i64>,
    /// What went wrong last; empty since it went well.
    pub error: String,
    /// When the next fetch is due, in seconds since 1970.
    pub next_fetch_s: Option<i64>,
    /// Points delivered.
    pub points: u64,
    /// History or a gap being filled: from, to, and where it stands, in seconds since
    /// 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backfill: Option<BackfillStatus>,
}

/// History or a gap being filled, in seconds since 1970.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct BackfillStatus {
    pub from_s: i64,
    pub to_s: i64,
    pub at_s: i64,
}
