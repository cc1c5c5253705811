//! What Flux shows on `/api/status`.

use std::collections::BTreeMap;

use serde::Serialize;

/// Flux as a whole.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FluxStatus {
    /// Where it listens.
    pub addresses: Vec<String>,
    /// Open connections.
    pub connections: u64,
    /// By endpoint.
    pub endpoints: BTreeMap<&'static str, EndpointStatus>,
    /// Where points go: `horizon` or `carbon`.
    pub route: &'static str,
    /// Points taken and not yet delivered.
    pub queue_points: u64,
    /// What those hold in memory, on the way to the data plane.
    pub queue_bytes: u64,
    /// The bound of that.
    pub queue_bytes_max: u64,
    /// Points delivered.
    pub delivered: u64,
    /// Points not newer than the last of their metric.
    pub already_received: u64,
    /// Metrics whose points were taken without looking for duplicates, since Redis could
    /// not be asked.
    pub unchecked: u64,
    /// Points that were taken and not delivered, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// The way to carbon, if that is the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carbon: Option<CarbonStatus>,
    /// Histories fetched by request.
    pub populate: PopulateStatus,
}

/// One endpoint.
#[derive(Clone, Debug, Default, Serialize)]
pub struct EndpointStatus {
    /// Requests answered, by status code.
    pub answers: BTreeMap<u16, u64>,
    /// Points in them that were taken.
    pub points: u64,
    /// Requests or points refused, by reason.
    pub refused: BTreeMap<String, u64>,
}

/// The way to carbon.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CarbonStatus {
    /// `graphite.carbon_pickle`.
    pub address: String,
    /// Whether there is a connection.
    pub connected: bool,
    /// Connections so far; there is a new one for each time that carbon is to prove
    /// what it has read.
    pub connections: u64,
    /// Points that are neither delivered nor given up.
    pub queue_points: u64,
    /// What those take in memory.
    pub queue_bytes: u64,
    /// Points written, each once.
    pub sent: u64,
    /// Points written once more after a connection broke.
    pub resent: u64,
    /// Points that carbon has read.
    pub delivered: u64,
    /// When something was last written, in seconds since 1970; 0 = never.
    pub last_sent_s: u64,
    /// What is wrong; empty if nothing is.
    pub error: String,
}

/// Histories fetched by request.
#[derive(Clone, Debug, Default, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct PopulateStatus {
    pub waiting: u64,
    pub running: u64,
    pub done: u64,
    pub failed: u64,
    pub points: u64,
}
