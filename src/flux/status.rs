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
    /// Metrics with points delivered, each once in a minute.
    pub metrics_delivered: u64,
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
    /// Points of which fewer are made.
    pub aggregate: AggregateStatus,
    /// Points made for periods without any.
    pub fill: FillStatus,
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

/// Aggregation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AggregateStatus {
    /// Metrics that are known to be aggregated.
    pub metrics: u64,
    /// Periods of them that are not over.
    pub periods: u64,
    /// Points that were aggregated.
    pub points: u64,
    /// Points of periods that had been sent already.
    pub late: u64,
    /// Points for which there was no room, so that their request was.
    pub refused: u64,
    /// Points made of others.
    pub made: u64,
    /// Those that nobody has taken yet.
    pub waiting: u64,
    /// Points that were not made, since their value would be no number.
    pub overflowed: u64,
}

/// Filling of periods without points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FillStatus {
    /// Metrics that are filled.
    pub metrics: u64,
    /// Points made.
    pub filled: u64,
    /// Points that could not be made, or were not taken.
    pub failed: u64,
    /// Points of metrics that are too many to be filled.
    pub not_kept: u64,
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
