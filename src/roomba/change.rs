//! Changes of series, of which none replaces what another writer has put there since
//! it was read.
//!
//! | way | how | what it costs Redis |
//! | --- | --- | --- |
//! | script | compares what it replaces, and moves what stays within Redis | its Lua hashes every byte that stays |
//! | carried | what was read whole under `WATCH` is written whole in a transaction, unless it has a time to live | less, see tuning.md, but all bytes go through the socket twice |

use std::sync::Arc;

use redis::{Cmd, Connection, Pipeline, RedisResult, Script, Value};

use super::deeds::Deed;
use super::ledger::Known;
use super::pass::{Reason, Task};
use super::trim::Found;

/// Skyline's record of when each series was last trimmed.
pub const LAST_TRIMMED: &str = "horizon.roomba.metrics_last_trimmed";
/// In front of the keys of series that were set aside.
pub const ASIDE: &str = "skyring.quarantine.";

/// The scripts, each of which answers a number less than 0 if a series is not any more
/// as it was read.
pub struct Scripts {
    replace: Script,
    remove: Script,
    set_aside: Script,
}

impl Default for Scripts {
    fn default() -> Self {
        Self::beginning_with("")
    }
}

/// Lets a script run in a Redis that is full: only trimming makes room there.
const ALLOW_OOM: &str = "#!lua flags=allow-oom\n";

impl Scripts {
    /// Has Redis take them.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub fn load(connection: &mut Connection) -> RedisResult<Self> {
        let scripts = Self::beginning_with(ALLOW_OOM);
        let loaded = scripts.load_all(connection);
        if loaded.as_ref().is_err_and(|error| error.code().is_some()) {
            // Before Redis 7 a script has no flags.
            let scripts = Self::default();
            scripts.load_all(connection)?;
            return Ok(scripts);
        }
        loaded.map(|()| scripts)
    }

    fn beginning_with(head: &str) -> Self {
        let script = |code: &str| Script::new(&format!("{head}{code}"));
        Self {
            replace: script(include_str!("replace.lua")),
            remove: script(include_str!("remove.lua")),
            set_aside: script(include_str!("set_aside.lua")),
        }
    }

    fn load_all(&self, connection: &mut Connection) -> RedisResult<()> {
        for script in [&self.replace, &self.remove, &self.set_aside] {
            script.load(connection)?;
        }
        Ok(())
    }
}

/// A change that is on its way, and what follows from it once it is made.
pub struct Change<'m> {
    /// The look that has shown the need of it.
    pub task: Task<'m>,
    /// What it is.
    pub deed: Deed,
    /// What was found in what it replaces.
    pub found: Found,
    /// Bytes of what was read, and of what is left of that.
    pub bytes: (usize, usize),
    /// What is known of the series afterwards.
    pub known: Option<Known>,
    /// Why to look at it again at once.
    pub then: Option<Reason>,
}

/// A part of a series as it was read.
#[derive(Clone, Copy)]
pub struct Part<'a> {
    /// Where it begins.
    pub at: usize,
    /// What stood there.
    pub bytes: &'a [u8],
    /// How long the series was.
    pub series_bytes: usize,
}

/// A change that is carried through the socket.
pub struct Carried<'m> {
    /// What follows from it.
    pub change: Change<'m>,
    /// All of the series.
    new: Vec<u8>,
    /// What is known of it as it is.
    pub before: Option<Known>,
}

/// Changes that are made with one round trip.
pub struct Changes<'m> {
    scripts: Arc<Scripts>,
    set: &'m str,
    /// The changes that have a script each, and its call.
    made: Vec<(Change<'m>, Cmd)>,
    /// The changes that put other bytes in the place of some, which one script makes, and
    /// what it is to know of each.
    replaced: Vec<(Change<'m>, [Vec<u8>; 4])>,
    /// The changes that are carried, all of them or none.
    carried: Vec<Carried<'m>>,
    /// Whether series are watched, so that the transaction is due that ends this.
    pub is_watching: bool,
}

/// Changes, and what Redis has answered.
pub struct Answered<'m> {
    /// Those that scripts make.
    pub scripts: Vec<(Change<'m>, RedisResult<Value>)>,
    /// Those that were carried.
    pub carried: Vec<Carried<'m>>,
    /// Whether these were made.
    pub is_executed: bool,
}

impl<'m> Changes<'m> {
    /// None yet, of series whose members are in `set`.
    pub fn new(scripts: Arc<Scripts>, set: &'m str) -> Self {
        Self {
            scripts,
            set,
            made: Vec::new(),
            replaced: Vec::new(),
            carried: Vec::new(),
            is_watching: false,
        }
    }

    /// Whether there is nothing to be sent.
    pub fn is_empty(&self) -> bool {
        self.made.is_empty() && self.replaced.is_empty() && !self.is_watching
    }

    /// Writes `new` in the place of a series that is watched.
    pub fn carry(&mut self, change: Change<'m>, before: Option<Known>, new: Vec<u8>) {
        self.carried.push(Carried {
            change,
            new,
            before,
        });
    }

    /// Puts `new` in the place of a part; only where they differ is sent.
    pub fn replace(&mut self, change: Change<'m>, part: Part<'_>, new: &[u8]) {
        let (front, back) = common(part.bytes, new);
        let read = &part.bytes[front..part.bytes.len() - back];
        let new = &new[front..new.len() - back];
        let arguments = [
            (part.at + front).to_string().into_bytes(),
            read.to_vec(),
            new.to_vec(),
            part.series_bytes.to_string().into_bytes(),
        ];
        self.replaced.push((change, arguments));
    }

    /// Removes a series, of which all was `read`, or which was not there.
    pub fn remove(&mut self, change: Change<'m>, read: &[u8]) {
        let keys = [
            change.task.key,
            self.set.as_bytes(),
            LAST_TRIMMED.as_bytes(),
        ];
        let mut call = call(&self.scripts.remove, &keys);
        call.arg(change.task.key).arg(read);
        self.made.push((change, call));
    }

    /// Keeps a copy of a series, of which all was `read`, aside for a time, in
    /// seconds, and `kept` in its place.
    pub fn set_aside(&mut self, change: Change<'m>, read: &[u8], kept: &[u8], time_s: u32) {
        let aside = [ASIDE.as_bytes(), change.task.key].concat();
        let (set, trims) = (self.set.as_bytes(), LAST_TRIMMED.as_bytes());
        let keys = [change.task.key, &aside, set, trims];
        let mut call = call(&self.scripts.set_aside, &keys);
        call.arg(change.task.key).arg(read).arg(kept).arg(time_s);
        self.made.push((change, call));
    }

    /// All changes.
    pub fn all(&self) -> impl Iterator<Item = &Change<'m>> {
        let made = self.made.iter().map(|(change, _)| change);
        let replaced = self.replaced.iter().map(|(change, _)| change);
        let carried = self.carried.iter().map(|carried| &carried.change);
        made.chain(replaced).chain(carried)
    }

    /// The commands: first the transaction, if series are watched, since a script may
    /// change one of these; then the scripts; then perhaps one that notes when the series
    /// were trimmed that will be there afterwards. Beside them how many there are.
    pub fn commands(&self, now_s: i64) -> (Pipeline, usize) {
        let mut pipe = redis::pipe();
        if !self.carried.is_empty() {
            pipe.cmd("MULTI");
            // One command, since to hear that each was queued would wake us each time.
            let write = pipe.cmd("MSET");
            for Carried { change, new, .. } in &self.carried {
                write.arg(change.task.key).arg(new);
            }
            pipe.cmd("EXEC");
        } else if self.is_watching {
            pipe.cmd("UNWATCH");
        }
        for (_, call) in &self.made {
            pipe.add_command(call.clone());
        }
        if !self.replaced.is_empty() {
            let keys = self.replaced.iter().map(|(change, _)| change.task.key);
            let mut call = call(&self.scripts.replace, &keys.collect::<Vec<_>>());
            for (_, arguments) in &self.replaced {
                call.arg(arguments);
            }
            pipe.add_command(call);
        }
        let trimmed = self.all().filter(|it| it.deed == Deed::Replace);
        let keys: Vec<&[u8]> = trimmed.map(|change| change.task.key).collect();
        if !keys.is_empty() {
            let record = pipe.cmd("HSET").arg(LAST_TRIMMED);
            for key in keys {
                record.arg(key).arg(now_s);
            }
        }
        let commands = pipe.len();
        (pipe, commands)
    }

    /// Whether the transaction was made, and what the scripts have answered, by the
    /// answers to all commands.
    pub fn answered(self, answers: Vec<RedisResult<Value>>) -> Answered<'m> {
        let mut answers = answers.into_iter();
        let executed = if self.carried.is_empty() {
            answers.by_ref().take(self.is_watching.into()).last()
        } else {
            answers.by_ref().take(3).last()
        };
        let own = answers.by_ref().take(self.made.len());
        let made = self.made.into_iter().map(|(change, _)| change);
        let mut scripts: Vec<_> = made.zip(own).collect();
        if !self.replaced.is_empty() {
            let answer = answers.next().unwrap_or(Ok(Value::Nil));
            let each = match answer {
                Ok(Value::Array(each)) => each.into_iter().map(Ok).collect(),
                // It is about all of them.
                answer => vec![answer; self.replaced.len()],
            };
            let replaced = self.replaced.into_iter().map(|(change, _)| change);
            scripts.extend(replaced.zip(each));
        }
        Answered {
            scripts,
            is_executed: matches!(executed, Some(Ok(Value::Array(_)))),
            carried: self.carried,
        }
    }
}

fn call(script: &Script, keys: &[&[u8]]) -> Cmd {
    let mut call = redis::cmd("EVALSHA");
    call.arg(script.get_hash()).arg(keys.len()).arg(keys);
    call
}

/// How many bytes are the same at both ends: first at the back, so that what is cut
/// off a front is just that.
fn common(read: &[u8], new: &[u8]) -> (usize, usize) {
    let same = |(one, two): &(&u8, &u8)| one == two;
    let back = read.iter().rev().zip(new.iter().rev());
    let back = back.take_while(same).count();
    let front = read[..read.len() - back]
        .iter()
        .zip(&new[..new.len() - back]);
    (front.take_while(same).count(), back)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_cut_off_a_front_is_just_that() {
        assert_eq!(common(b"aabab", b"ab"), (0, 2));
        assert_eq!(common(b"aabab", b"aabb"), (3, 1));
        assert_eq!(common(b"aa", b"aa"), (0, 2));
        assert_eq!(common(b"", b""), (0, 0));
    }

    proptest! {
        #[test]
        fn the_ends_and_the_new_middle_make_the_whole(
            read in proptest::collection::vec(0u8..3, 0..20),
            new in proptest::collection::vec(0u8..3, 0..20),
        ) {
            let (front, back) = common(&read, &new);
            let made = [
                &read[..front],
                &new[front..new.len() - back],
                &read[read.len() - back..],
            ];
            prop_assert_eq!(made.concat(), new);
        }
    }
}
