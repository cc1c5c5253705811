//! A server within the test, whose Vista goes by a clock that the test moves on.

use std::sync::{Arc, Condvar, Mutex};

use serde_json::Value;
use skyring::vista::Clock;
use skyring::vista::clock::Wait;
use skyring::{Server, Settings};
use tokio::sync::watch;

use crate::fixture::skyring::Plan;
use crate::fixture::{DEADLINE, eventually, holds};

/// A clock that stands still until everything that is due is done.
pub struct SimulatedClock {
    now_ms: watch::Sender<i64>,
    /// When more will be due, told since the clock was last moved.
    idle: Mutex<Option<i64>>,
    told: Condvar,
}

impl SimulatedClock {
    fn new(now_s: i64) -> Arc<Self> {
        Arc::new(Self {
            now_ms: watch::channel(now_s * 1000).0,
            idle: Mutex::new(None),
            told: Condvar::new(),
        })
    }

    /// Goes on to `until_s`, and lets everything be done that is due up to then.
    fn run_until(&self, until_s: i64) {
        let until_ms = until_s * 1000;
        loop {
            let now_ms = *self.now_ms.borrow();
            let mut idle = self.idle.lock().unwrap();
            // What was told of an earlier time is not about this one.
            while idle.is_none_or(|next_ms| next_ms <= now_ms) {
                *idle = None;
                let (back, late) = self.told.wait_timeout(idle, DEADLINE).unwrap();
                assert!(!late.timed_out(), "Vista is still busy at {now_ms}");
                idle = back;
            }
            let next_ms = idle.take().unwrap();
            if now_ms >= until_ms {
                *idle = Some(next_ms);
                return;
            }
            drop(idle);
            self.now_ms.send_replace(next_ms.min(until_ms));
        }
    }
}

impl Clock for SimulatedClock {
    fn now_ms(&self) -> i64 {
        *self.now_ms.borrow()
    }

    fn wait(&self, until_ms: i64) -> Wait<'_> {
        let mut now_ms = self.now_ms.subscribe();
        Box::pin(async move {
            let _ = now_ms.wait_for(|now_ms| *now_ms >= until_ms).await;
        })
    }

    fn idle(&self, until_ms: Option<i64>) {
        *self.idle.lock().unwrap() = Some(until_ms.unwrap_or(i64::MAX));
        self.told.notify_all();
    }
}

/// A running server and its clock.
pub struct World {
    clock: Arc<SimulatedClock>,
    server: Server,
}

impl World {
    /// Starts it at this time.
    pub fn start(plan: &Plan, now_s: i64) -> World {
        let clock = SimulatedClock::new(now_s);
        let settings = Settings::load(Some(&plan.file()), &[]).unwrap();
        let server = Server::start_with_clock(settings, clock.clone()).unwrap();
        assert!(server.wait_ready(DEADLINE));
        World { clock, server }
    }

    pub fn now_s(&self) -> i64 {
        self.clock.now_ms() / 1000
    }

    /// Lets so much time go by, with everything done that is due meanwhile.
    pub fn run_for(&self, seconds: i64) {
        self.clock.run_until(self.now_s() + seconds);
    }

    /// What `/api/status` says of Vista.
    pub fn status(&self) -> Value {
        serde_json::to_value(self.server.status().vista).unwrap()
    }

    /// Waits for a condition on the status of the entry at this place.
    pub fn wait_for(&self, place: usize, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        eventually(what, || {
            let entry = self.status()["entries"][place].clone();
            holds(condition(&entry), || entry.to_string())?;
            Ok(entry)
        })
    }

    /// Goes on under these settings.
    pub fn reload(&mut self, plan: &Plan) {
        let settings = Settings::load(Some(&plan.file()), &[]).unwrap();
        self.server.reload(&settings).unwrap();
    }

    /// Ends the server, which must have lost nothing.
    pub fn finish(self) {
        let drained = self.server.drain();
        assert!(drained.is_complete(), "{drained}");
    }
}
