//! What Flux shows on `/api/status`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::status::Page;

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

impl FluxStatus {
    /// The same numbers in Prometheus's form.
    pub(crate) fn add_to(&self, page: &Page) -> prometheus::Result<()> {
        for (endpoint, status) in &self.endpoints {
            for (code, answers) in &status.answers {
                page.set(
                    "flux_requests_total",
                    "Requests answered, by endpoint and status code.",
                    &[("endpoint", endpoint), ("code", &code.to_string())],
                    *answers,
                )?;
            }
            page.set(
                "flux_points_total",
                "Points taken, by endpoint.",
                &[("endpoint", endpoint)],
                status.points,
            )?;
            for (reason, refused) in &status.refused {
                page.set(
                    "flux_refused_total",
                    "Requests or points refused, by endpoint and reason.",
                    &[("endpoint", endpoint), ("reason", reason)],
                    *refused,
                )?;
            }
        }
        for (reason, points) in &self.dropped {
            page.set(
                "flux_points_dropped_total",
                "Points that were taken and not delivered, by reason.",
                &[("reason", reason)],
                *points,
            )?;
        }
        for (name, help, number) in [
            ("flux_connections", "Open connections.", self.connections),
            (
                "flux_queue_points",
                "Points taken and not yet delivered.",
                self.queue_points,
            ),
            (
                "flux_points_delivered_total",
                "Points delivered.",
                self.delivered,
            ),
            (
                "flux_points_already_received_total",
                "Points not newer than the last of their metric.",
                self.already_received,
            ),
            (
                "flux_metrics_unchecked_total",
                "Metrics whose points were taken without looking for duplicates.",
                self.unchecked,
            ),
        ] {
            page.set(name, help, &[], number)?;
        }
        let Some(carbon) = &self.carbon else {
            return Ok(());
        };
        for (name, help, number) in [
            (
                "flux_carbon_connected",
                "1 if there is a connection to carbon.",
                u64::from(carbon.connected),
            ),
            (
                "flux_carbon_points_sent_total",
                "Points written to carbon, each once.",
                carbon.sent,
            ),
            (
                "flux_carbon_points_resent_total",
                "Points written to carbon once more.",
                carbon.resent,
            ),
            (
                "flux_carbon_last_sent_timestamp_seconds",
                "When something was last written to carbon, since 1970; 0 if never.",
                carbon.last_sent_s,
            ),
        ] {
            page.set(name, help, &[], number)?;
        }
        Ok(())
    }
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
