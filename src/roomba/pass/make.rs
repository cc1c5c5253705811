//! Changes on their way, and what their answers say.

use std::time::{Duration, Instant};

use redis::{Pipeline, RedisResult, Value};

use super::super::change::{Carried, Change, Changes};
use super::super::deeds::Deed;
use super::look::{FRONT_BYTES, Reason, Task, tell};
use super::{Place, Trimmer, is_about_the_key};
use crate::admit::Cut;

impl Trimmer {
    /// Counts the changes that were made, by their answers; all of those at the front
    /// of `replies` that belong to them are taken, of which so many are behind those of
    /// the scripts. Series that have changed meanwhile are to be looked at again.
    pub(super) fn settle<'m>(
        &mut self,
        place: &Place<'_>,
        changes: Changes<'m>,
        further: usize,
        replies: &mut impl Iterator<Item = RedisResult<Value>>,
        again: &mut Vec<Task<'m>>,
    ) -> RedisResult<()> {
        let scripts: Vec<_> = replies.by_ref().take(changes.made.len()).collect();
        let mut further = replies.by_ref().take(further);
        if changes.is_watching {
            let executed = further.by_ref().nth(changes.carried.len() + 1);
            self.settle_carried(place, changes.carried, executed, again);
        }
        further.for_each(drop);
        let mut refusal = None;
        for (change, reply) in changes.made.into_iter().zip(scripts) {
            match reply {
                Ok(Value::Int(0..)) => {
                    self.note_made(place, &change);
                    tell(&change);
                    again.extend(change.then.and_then(|reason| change.task.again(reason)));
                }
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
        refusal.map_or(Ok(()), Err)
    }

    /// The same of changes that were carried: if somebody has written to one of the
    /// series meanwhile, or Redis has no room, none was made, and scripts make them.
    fn settle_carried<'m>(
        &mut self,
        place: &Place<'_>,
        carried: Vec<Carried<'m>>,
        executed: Option<RedisResult<Value>>,
        again: &mut Vec<Task<'m>>,
    ) {
        let is_made = matches!(executed, Some(Ok(Value::Array(_))));
        for Carried { change, before, .. } in carried {
            if is_made {
                self.note_made(place, &change);
                self.deeds.carried += 1;
            } else {
                self.ledger.note(change.task.key, before);
                again.extend(change.task.again(Reason::Due(FRONT_BYTES)));
            }
        }
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
