//! Changes on their way, and what their answers say.

use std::time::{Duration, Instant};

use redis::{Pipeline, RedisResult, Value};

use super::super::change::{Answered, Carried, Change};
use super::super::deeds::Deed;
use super::look::{FRONT_BYTES, Reason, Task, tell};
use super::{Place, Trimmer, is_about_the_key};
use crate::admit::Cut;

/// What a script answers of a key of another type.
const IS_NO_SERIES: i64 = -2;

impl Trimmer {
    /// Counts the changes that were made. Series that have changed meanwhile are to be
    /// looked at again.
    pub(super) fn settle<'m>(
        &mut self,
        place: &Place<'_>,
        answered: Answered<'m>,
        again: &mut Vec<Task<'m>>,
    ) -> RedisResult<()> {
        let mut refusal = None;
        for (change, answer) in answered.scripts {
            match answer {
                Ok(Value::Int(0..)) => {
                    self.note_made(place, &change);
                    tell(&change);
                    again.extend(change.then.and_then(|reason| change.task.again(reason)));
                }
                Ok(Value::Int(IS_NO_SERIES)) => self.deeds.refused += 1,
                Ok(_) => {
                    self.deeds.conflicts += 1;
                    again.extend(change.task.again(Reason::Unknown));
                }
                Err(error) if error.code() == Some("NOSCRIPT") => {
                    // Somebody has flushed the scripts.
                    self.load_scripts()?;
                    again.extend(change.task.again(Reason::Unknown));
                }
                Err(error) => {
                    self.deeds.refused += 1;
                    if !is_about_the_key(&error) {
                        refusal = Some(error);
                    }
                }
            }
        }
        for Carried { change, before, .. } in answered.carried {
            if answered.is_executed {
                self.note_made(place, &change);
                self.deeds.carried += 1;
            } else {
                // Somebody has written to one of them, or Redis has no room: then a
                // script makes the change.
                self.ledger.note(change.task.key, before);
                again.extend(change.task.again(Reason::Due(FRONT_BYTES)));
            }
        }
        refusal.map_or(Ok(()), Err)
    }

    /// Notes that a change was made.
    fn note_made(&mut self, place: &Place<'_>, change: &Change<'_>) {
        self.deeds.count(change.deed, &change.found, change.bytes);
        self.ledger.note(change.task.key, change.known);
        self.note_cut(place, change);
    }

    fn note_cut(&mut self, place: &Place<'_>, change: &Change<'_>) {
        let name = change
            .task
            .key
            .strip_prefix(place.namespace.prefix.as_bytes());
        let (before, after) = change.bytes;
        let is_gone = matches!(change.deed, Deed::Remove | Deed::RemoveGhost);
        // Of what is longer than these numbers reach nobody knows the length.
        let bytes = u32::try_from(before.saturating_sub(after)).unwrap_or(u32::MAX);
        self.cuts.extend(name.map(|name| Cut {
            name: name.into(),
            bytes: (!is_gone).then_some(bytes),
        }));
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
