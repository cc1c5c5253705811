//! The time that Vista goes by.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

/// Longest sleep at one go: the host's clock may be set meanwhile.
const SLEEP_MS_MAX: u64 = 60_000;

/// A wait that is over at a time of a clock, or before.
pub type Wait<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// A clock, in milliseconds of UTC since 1970.
pub trait Clock: Send + Sync + 'static {
    /// The present time.
    fn now_ms(&self) -> i64;

    /// Waits until `until_ms`, at most.
    fn wait(&self, until_ms: i64) -> Wait<'_>;

    /// Is told when nothing is under way, and when something will be, if ever.
    fn idle(&self, _until_ms: Option<i64>) {}
}

/// The host's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostClock;

impl Clock for HostClock {
    fn now_ms(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(_) => 0,
        }
    }

    fn wait(&self, until_ms: i64) -> Wait<'_> {
        let wait_ms = until_ms.saturating_sub(self.now_ms()).max(0).unsigned_abs();
        let wait = Duration::from_millis(wait_ms.min(SLEEP_MS_MAX));
        Box::pin(tokio::time::sleep(wait))
    }
}

/// A clock that is moved on by hand, and stands still until all that is due is done: for
/// tests and the harness, where days go by in a moment.
pub struct DrivenClock {
    now_ms: watch::Sender<i64>,
    /// When more will be due, told since the clock was last moved.
    idle: Mutex<Option<i64>>,
    told: Condvar,
}

impl DrivenClock {
    /// A clock that stands at this time, in seconds since 1970.
    pub fn at(now_s: i64) -> Arc<Self> {
        Arc::new(Self {
            now_ms: watch::channel(now_s * 1000).0,
            idle: Mutex::new(None),
            told: Condvar::new(),
        })
    }

    /// Goes on to `until_s`, and has everything done that is due up to then. False if
    /// something takes longer than `patience`.
    pub fn run_until(&self, until_s: i64, patience: Duration) -> bool {
        let until_ms = until_s * 1000;
        loop {
            let now_ms = self.now_ms();
            let Some(next_ms) = self.wait_until_idle(now_ms, patience) else {
                return false;
            };
            // Of what waits for no time at all nothing more will be told.
            if now_ms >= until_ms || next_ms == i64::MAX {
                *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(next_ms);
            }
            if now_ms >= until_ms {
                return true;
            }
            self.now_ms.send_replace(next_ms.min(until_ms));
            if next_ms == i64::MAX {
                return true;
            }
        }
    }

    /// When more will be due than was due at `now_ms`, once all that is done.
    fn wait_until_idle(&self, now_ms: i64, patience: Duration) -> Option<i64> {
        let begin = Instant::now();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            // What was told of an earlier time is not about this one.
            if let Some(next_ms) = idle.take().filter(|next_ms| *next_ms > now_ms) {
                return Some(next_ms);
            }
            let left = patience.checked_sub(begin.elapsed())?;
            let waited = self.told.wait_timeout(idle, left);
            idle = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Clock for DrivenClock {
    fn now_ms(&self) -> i64 {
        *self.now_ms.borrow()
    }

    fn wait(&self, until_ms: i64) -> Wait<'_> {
        let mut now_ms = self.now_ms.subscribe();
        Box::pin(async move {
            // It ends with the clock, if not before.
            let _ = now_ms.wait_for(|now_ms| *now_ms >= until_ms).await;
        })
    }

    fn idle(&self, until_ms: Option<i64>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        *idle = Some(until_ms.unwrap_or(i64::MAX));
        self.told.notify_all();
    }
}
