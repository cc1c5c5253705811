//! Changes of series: scripts on the server that first compare what they replace.

use std::sync::Arc;

use redis::{Connection, Pipeline, RedisResult, Script};

use super::deeds::Deed;
use super::ledger::Known;
use super::pass::Reason;
use super::trim::Found;

/// Skyline's record of when each series was last trimmed.
pub const LAST_TRIMMED: &str = "horizon.roomba.metrics_last_trimmed";
/// In front of the keys of series that were set aside.
pub const ASIDE: &str = "skyring.quarantine.";

/// The scripts, each of which answers a number less than 0 if the series is not any
/// more as it was read.
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
    /// The series.
    pub key: &'m [u8],
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

/// Changes that are made with one round trip.
pub struct Changes<'m> {
    scripts: Arc<Scripts>,
    set: &'m str,
    /// The commands, one for each of `made`.
    pub pipe: Pipeline,
    /// The changes.
    pub made: Vec<Change<'m>>,
}

impl<'m> Changes<'m> {
    /// None yet, of series whose members are in `set`.
    pub fn new(scripts: Arc<Scripts>, set: &'m str) -> Self {
        Self {
            scripts,
            set,
            pipe: redis::pipe(),
            made: Vec::new(),
        }
    }

    /// Puts `new` in the place of a part; only where they differ is sent.
    pub fn replace(&mut self, change: Change<'m>, part: Part<'_>, new: &[u8]) {
        let (front, back) = common(part.bytes, new);
        let read = &part.bytes[front..part.bytes.len() - back];
        let new = &new[front..new.len() - back];
        let scripts = self.scripts.clone();
        let call = self.call(&scripts.replace, &[change.key]);
        call.arg(part.at + front).arg(read).arg(new);
        call.arg(part.series_bytes);
        self.made.push(change);
    }

    /// Removes a series, of which all was `read`, or which was not there.
    pub fn remove(&mut self, change: Change<'m>, read: &[u8]) {
        let keys = [change.key, self.set.as_bytes(), LAST_TRIMMED.as_bytes()];
        let scripts = self.scripts.clone();
        let call = self.call(&scripts.remove, &keys);
        call.arg(change.key).arg(read);
        self.made.push(change);
    }

    /// Keeps a copy of a series, of which all was `read`, aside for a time, in
    /// seconds, and `kept` in its place.
    pub fn set_aside(&mut self, change: Change<'m>, read: &[u8], kept: &[u8], time_s: u32) {
        let aside = [ASIDE.as_bytes(), change.key].concat();
        let (set, trims) = (self.set.as_bytes(), LAST_TRIMMED.as_bytes());
        let scripts = self.scripts.clone();
        let call = self.call(&scripts.set_aside, &[change.key, &aside, set, trims]);
        call.arg(change.key).arg(read).arg(kept).arg(time_s);
        self.made.push(change);
    }

    /// Notes when the series were trimmed that will be there afterwards.
    pub fn note_trims(&mut self, now_s: i64) {
        let trimmed = self.made.iter().filter(|it| it.deed == Deed::Replace);
        let keys: Vec<&[u8]> = trimmed.map(|change| change.key).collect();
        if keys.is_empty() {
            return;
        }
        let record = self.pipe.cmd("HSET").arg(LAST_TRIMMED);
        for key in keys {
            record.arg(key).arg(now_s);
        }
    }

    fn call(&mut self, script: &Script, keys: &[&[u8]]) -> &mut Pipeline {
        let call = self.pipe.cmd("EVALSHA");
        call.arg(script.get_hash()).arg(keys.len()).arg(keys)
    }
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
