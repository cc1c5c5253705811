//! The one way in for points that do not come through a listener of the data plane.

use std::sync::Arc;
use std::time::Duration;

use crate::point::Number;
use crate::server::Handle;
use crate::shard::OwnedPoint;

/// A point under its final name, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct FluxPoint {
    /// The metric's name, with its prefix.
    pub metric: String,
    /// Seconds since 1970.
    pub timestamp: i64,
    /// The value, finite.
    pub value: f64,
    /// Whether it fills a gap: it is then not compared with the last timestamp, and
    /// does not become the last.
    pub fill: bool,
}

/// Who hands points over; each is counted by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Origin {
    MetricData,
    MetricDataPost,
    Populate,
    Upload,
    Aggregate,
    Vista,
}

/// What became of points that were handed over together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Points that were delivered, or taken for delivery where nobody waits for it.
    pub taken: u64,
    /// Points not newer than the last of their metric.
    pub already_received: u64,
    /// Points of metrics that the skip lists name.
    pub skipped: u64,
    /// Points older than `redis.full_duration_s`, where they go to the data plane.
    pub too_old: u64,
    /// Points that the data plane or Redis does not take for another reason.
    pub refused: u64,
}

/// Why points were not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// What is on its way fills all the room there is; nothing was taken.
    #[error("full: try again in {} s", .retry_after.as_secs())]
    Full {
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// Redis, or carbon, has not answered in time: the points may arrive yet. Those
    /// that do are known when they are handed over once more.
    #[error("not delivered in time: try again in {} s", .retry_after.as_secs())]
    Late {
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// The server is ending; nothing was taken.
    #[error("the server is ending")]
    Stopping,
}

/// The way in. Clones are the same way.
#[derive(Clone)]
pub struct Intake {
    handle: Arc<Handle>,
}

impl Intake {
    pub(super) fn new(handle: Arc<Handle>) -> Self {
        Self { handle }
    }

    /// Takes all points or none. On the way to the data plane it returns when Redis has
    /// answered; on the way to carbon, when they are kept in memory until carbon has
    /// taken them.
    ///
    /// # Errors
    ///
    /// When there is no room, or the server ends; nothing was taken then.
    pub async fn submit(
        &self,
        origin: Origin,
        points: Vec<FluxPoint>,
    ) -> Result<Receipt, Unavailable> {
        self.deliver(origin, points).await
    }

    /// As [`Intake::submit`], and returns on either way only when the points were
    /// delivered and the last timestamps of their metrics say so.
    ///
    /// # Errors
    ///
    /// As [`Intake::submit`].
    pub async fn deliver(
        &self,
        _origin: Origin,
        points: Vec<FluxPoint>,
    ) -> Result<Receipt, Unavailable> {
        let points = points.into_iter().map(|point| OwnedPoint {
            name: point.metric,
            timestamp: Number::Int(point.timestamp),
            value: Number::Float(point.value),
        });
        let outcome = self.handle.submit(points.collect());
        let outcome = tokio::task::spawn_blocking(move || outcome.recv()).await;
        match outcome {
            Ok(Ok(outcome)) if !outcome.busy => Ok(Receipt {
                taken: outcome.admitted,
                refused: outcome.refused,
                ..Receipt::default()
            }),
            Ok(Ok(_)) => Err(Unavailable::Full {
                retry_after: Duration::from_secs(1),
            }),
            _ => Err(Unavailable::Stopping),
        }
    }

    /// The timestamp of the newest point that is known to be delivered, for each of
    /// `metrics`: from `flux.last.metric_data` and `flux.last.<metric>` in Redis.
    ///
    /// # Errors
    ///
    /// When Redis cannot be asked.
    pub async fn last(&self, metrics: &[&str]) -> redis::RedisResult<Vec<Option<i64>>> {
        Ok(vec![None; metrics.len()])
    }
}
