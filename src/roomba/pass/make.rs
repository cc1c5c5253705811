//! Changes on their way, and what their answers say.

use std::time::{Duration, Instant};

use redis::{Pipeline, RedisResult, Value};

use super::super::change::Changes;
use super::look::{Reason, Task, tell};
use super::{Place, Trimmer, is_about_the_key};

impl Trimmer {
    /// Makes the changes, and counts those that were made. Series that have changed
    /// meanwhile are to be looked at again.
    pub(super) fn make<'m>(
        &mut self,
        place: &Place<'_>,
        mut changes: Changes<'m>,
        again: &mut Vec<Task<'m>>,
    ) -> RedisResult<()> {
        if changes.made.is_empty() {
            return Ok(());
        }
        if self.is_dry {
            for change in &changes.made {
                self.deeds.count(change.deed, &change.found, change.bytes);
            }
            return Ok(());
        }
        changes.note_trims(place.now_s);
        for change in &changes.made {
            self.ledger.note(change.key, None);
        }
        let replies = self.ask(&mut changes.pipe)?;
        let mut refusal = None;
        for (change, reply) in changes.made.into_iter().zip(replies) {
            let key = change.key;
            match reply {
                Ok(Value::Int(0..)) => {
                    self.deeds.count(change.deed, &change.found, change.bytes);
                    self.ledger.note(key, change.known);
                    tell(&change);
                    again.extend(change.then.map(|reason| Task { key, reason }));
                }
                Ok(_) => {
                    self.deeds.conflicts += 1;
                    let reason = Reason::Unknown;
                    again.push(Task { key, reason });
                }
                Err(error) if error.code() == Some("NOSCRIPT") => {
                    // Somebody has flushed the scripts.
                    self.load_scripts()?;
                    let reason = Reason::Unknown;
                    again.push(Task { key, reason });
                }
                Err(error) => {
                    self.deeds.refused += 1;
                    if !is_about_the_key(&error) {
                        refusal = Some(error);
                    }
                }
            }
        }
        refusal.map_or(Ok(()), Err)
    }

    pub(super) fn ask(&mut self, pipe: &mut Pipeline) -> RedisResult<Vec<RedisResult<Value>>> {
        let started = Instant::now();
        let replies = pipe.ignore_errors().query(&mut self.connection);
        let elapsed = micros(started.elapsed());
        self.deeds.redis_us += elapsed;
        self.trip_us.saturating_record(elapsed);
        replies
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
