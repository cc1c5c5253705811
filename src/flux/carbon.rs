//! The way to Graphite: points wait here, within bounds, until carbon has read them.
//!
//! carbon's pickle protocol knows no acknowledgement, and what its kernel has taken
//! is lost when it is killed. What proves that it has read everything is the end of
//! a connection: carbon closes its side only after it has read up to the end of
//! ours. So a connection is used for `graphite.confirm_ms`, ended, and followed by
//! the next one:
//!
//! ```text
//! connect - frames ... - end of our side - carbon closes - connect: delivered - frames ...
//! ```
//!
//! Points are kept until then, and count as delivered when the next connection
//! stands: a carbon that was killed closes its connections too, but is not there
//! any more. After any other end everything is sent again on the next connection,
//! in order, before anything newer. So carbon may get points twice, which it bears,
//! and none is lost. A carbon that reads nothing is waited for.

mod delivery;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

use super::intake::Unavailable;
use super::status::CarbonStatus;
use crate::settings::{Endpoint, GraphiteSettings};
use crate::shard::OwnedPoint;
use delivery::Delivery;

/// What a point takes besides its name, in bytes: the point itself, and later its
/// part of a frame.
const POINT_BYTES: usize = 64;
/// When it is worth trying again while points are on their way.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Longest wait for the task's end after its time is over.
const END_SLACK: Duration = Duration::from_secs(2);

/// Called with whether the points were delivered.
type Done = Box<dyn FnOnce(bool) + Send>;

/// The way to one carbon, with a task of its own. Dropping it gives up what waits.
pub struct Carbon {
    shared: Arc<Shared>,
    /// By when the task must end, once it must.
    end_by: watch::Sender<Option<Instant>>,
    /// Says how many points are left when the task has ended.
    ended: Receiver<u64>,
}

/// What the task and those who queue share.
struct Shared {
    state: Mutex<State>,
    /// Wakes the task when there is something to send.
    work: Notify,
    points_max: u64,
    bytes_max: u64,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Batch>,
    /// Points that are neither delivered nor given up, and what they take in memory.
    points: u64,
    bytes: u64,
    is_ending: bool,
    /// When there is a connection again at the earliest, if there is none.
    away_until: Option<Instant>,
    status: CarbonStatus,
}

/// Points that were queued together and are not all in frames yet.
struct Batch {
    points: Arc<[OwnedPoint]>,
    /// The first that is not.
    next: usize,
    done: Done,
}

impl Carbon {
    /// Starts the task on `runtime`; it connects at once, whether or not there is
    /// anything to send.
    pub fn start(runtime: &Handle, address: Endpoint, settings: &GraphiteSettings) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            work: Notify::new(),
            points_max: settings.queue_points_max.into(),
            bytes_max: settings.queue_bytes_max as u64,
        });
        shared.lock().status.address = address.to_string();
        let (end_by, told) = watch::channel(None);
        let (end, ended) = crossbeam_channel::bounded(1);
        let confirm = Duration::from_millis(settings.confirm_ms.into());
        let delivery = Delivery::new(shared.clone(), address, confirm, told);
        runtime.spawn(async move {
            // Nobody may be left to hear it.
            let _ = end.send(delivery.run().await);
        });
        Self {
            shared,
            end_by,
            ended,
        }
    }

    /// Takes all points or none, in this order behind those before. `done` is called
    /// with `true` when carbon has read them, with `false` when the server has ended
    /// before; it must not block. Points that alone are more than there is ever room
    /// for are taken when nothing else waits: what bounds them is for the caller.
    ///
    /// # Errors
    ///
    /// When there is no room, or the server ends; `done` is not called then.
    pub fn queue(
        &self,
        points: impl Into<Arc<[OwnedPoint]>>,
        done: impl FnOnce(bool) + Send + 'static,
    ) -> Result<(), Unavailable> {
        let points: Arc<[OwnedPoint]> = points.into();
        if points.is_empty() {
            done(true);
            return Ok(());
        }
        let count = points.len() as u64;
        let bytes = points.iter().map(point_bytes).sum::<u64>();
        let mut state = self.shared.lock();
        if state.is_ending {
            return Err(Unavailable::Stopping);
        }
        let is_over = state.points + count > self.shared.points_max
            || state.bytes + bytes > self.shared.bytes_max;
        if is_over && state.points > 0 {
            let retry_after = state.retry_after();
            return Err(Unavailable::Full { retry_after });
        }
        state.points += count;
        state.bytes += bytes;
        state.waiting.push_back(Batch {
            points,
            next: 0,
            done: Box::new(done),
        });
        drop(state);
        self.shared.work.notify_one();
        Ok(())
    }

    /// What it shows of itself.
    pub fn status(&self) -> CarbonStatus {
        let state = self.shared.lock();
        CarbonStatus {
            queue_points: state.points,
            queue_bytes: state.bytes,
            ..state.status.clone()
        }
    }

    /// Takes nothing more, delivers what waits until `deadline`, and returns how
    /// many points are left then. It blocks, so it is not for a task of the runtime.
    pub fn stop(&self, deadline: Instant) -> u64 {
        self.shared.lock().is_ending = true;
        self.end_by.send_replace(Some(deadline));
        match self.ended.recv_deadline(deadline + END_SLACK) {
            Ok(left) => left,
            // A runtime that has no time for the task, or has ended before it.
            Err(_) => self.shared.lock().points,
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whole seconds, as HTTP tells them.
    fn retry_after(&self) -> Duration {
        let until = self.away_until.unwrap_or_else(Instant::now);
        let wait = until.saturating_duration_since(Instant::now());
        RETRY_AFTER.max(Duration::from_secs(wait.as_secs() + 1))
    }
}

/// What a point is reckoned to take in memory.
fn point_bytes(point: &OwnedPoint) -> u64 {
    (point.name.len() + POINT_BYTES) as u64
}
