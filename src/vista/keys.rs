//! The keys in Redis by which Skyline's other programs, and Python's Vista should it
//! take over, know what was fetched. Each is in the form that Python's Vista writes.
//!
//! | key | is |
//! | --- | --- |
//! | `vista.fetcher`, `vista.worker` | seconds since 1970, for 120 s: it lives |
//! | `vista.metrics` | set of the final names, which Flux always de-duplicates |
//! | `vista.fetcher.unique_metrics` | set of the targets that have had points |
//! | `vista.last.resolution.<metric>` | seconds between two points, for 3600 s |
//!
//! The queue of Python's Vista, `vista.fetcher.metrics.json`, holds secrets: it is
//! emptied, see [`super::inherit`], and never written.

use std::collections::BTreeMap;

use redis::{Pipeline, RedisResult};

use crate::background::Link;

/// How long the keys of liveness are good for.
const ALIVE_S: u64 = 120;
/// How long a resolution is good for.
const RESOLUTION_S: u64 = 3600;
/// Members of one SADD, at most.
const MEMBERS_MAX: usize = 500;

/// What Redis is to be told.
#[derive(Debug, Default)]
pub(super) struct Tidings {
    /// Final names that were not yet told.
    pub metrics: Vec<String>,
    /// What was delivered since, by its final name: its target and its resolution.
    pub delivered: BTreeMap<String, (String, Option<i64>)>,
}

impl Tidings {
    /// Tells Redis, at `now_s`.
    ///
    /// # Errors
    ///
    /// Those of Redis; all of it is then to be told again.
    pub fn tell(&self, link: &mut Link, now_s: i64) -> RedisResult<()> {
        let mut commands = redis::pipe();
        for key in ["vista.fetcher", "vista.worker"] {
            commands.set_ex(key, now_s, ALIVE_S).ignore();
        }
        add(&mut commands, "vista.metrics", self.metrics.iter());
        let targets = self.delivered.values().map(|(target, _)| target);
        add(&mut commands, "vista.fetcher.unique_metrics", targets);
        for (metric, (_, resolution_s)) in &self.delivered {
            if let Some(resolution_s) = resolution_s {
                let key = format!("vista.last.resolution.{metric}");
                commands.set_ex(key, *resolution_s, RESOLUTION_S).ignore();
            }
        }
        link.run(&commands)
    }
}

fn add<'a>(commands: &mut Pipeline, key: &str, members: impl Iterator<Item = &'a String>) {
    let members: Vec<&String> = members.collect();
    for members in members.chunks(MEMBERS_MAX) {
        commands.sadd(key, members).ignore();
    }
}
