//! A server within the test, whose Vista goes by a clock that the test moves on.

use std::sync::Arc;

use serde_json::Value;
use skyring::vista::{Clock, DrivenClock};
use skyring::{Server, Settings};

use crate::fixture::skyring::Plan;
use crate::fixture::{DEADLINE, eventually, holds};

/// A running server and its clock.
pub struct World {
    clock: Arc<DrivenClock>,
    server: Server,
}

impl World {
    /// Starts it at this time.
    pub fn start(plan: &Plan, now_s: i64) -> World {
        let clock = DrivenClock::at(now_s);
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
        let until_s = self.now_s() + seconds;
        let is_done = self.clock.run_until(until_s, DEADLINE);
        assert!(is_done, "still busy at {}: {}", self.now_s(), self.status());
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
