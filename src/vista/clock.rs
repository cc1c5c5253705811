//! The time that Vista goes by.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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
