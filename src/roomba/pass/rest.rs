//! Passes that need not be made: nothing is due, and nobody has written anything.

use redis::{ErrorKind, RedisResult};

use super::super::ledger::Left;
use super::Trimmer;

/// What Redis tells of itself that changes with anything that anybody writes.
const SIGNS: [&str; 5] = [
    "run_id:",
    "rdb_changes_since_last_save:",
    "rdb_last_save_time:",
    // Keys that go by themselves are no changes to Redis.
    "expired_keys:",
    "evicted_keys:",
];
/// Where in INFO these are.
const SECTIONS: [&str; 3] = ["server", "persistence", "stats"];

/// What the last pass has left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Calm {
    /// The signs when it began: if they are the same now, neither has it changed
    /// anything, nor has anybody since.
    signs: Vec<String>,
    /// From when on a series may be due by time alone, in seconds since 1970.
    until_s: i64,
}

impl Trimmer {
    /// Whether a pass at the time `now_s`, in seconds since 1970, would find nothing to
    /// do; if so it counts as made.
    ///
    /// # Errors
    ///
    /// When Redis is away.
    pub fn may_rest(&mut self, now_s: i64) -> RedisResult<bool> {
        let Some(calm) = self.calm.take_if(|calm| now_s < calm.until_s) else {
            return Ok(false);
        };
        let is_calm = self.signs()?.is_some_and(|signs| signs == calm.signs);
        if is_calm {
            self.calm = Some(calm);
            self.deeds.passes += 1;
            self.deeds.rests += 1;
        }
        Ok(is_calm)
    }

    /// The signs now; `None` if this Redis, or one in its place, does not tell all.
    pub(super) fn signs(&mut self) -> RedisResult<Option<Vec<String>>> {
        let mut ask = redis::pipe();
        for section in SECTIONS {
            ask.cmd("INFO").arg(section);
        }
        let told: Vec<String> = match ask.query(&mut self.connection) {
            Ok(told) => told,
            // It may not be allowed to ask.
            Err(error) if error.code().is_some() => return Ok(None),
            Err(error) if error.kind() == ErrorKind::UnexpectedReturnType => return Ok(None),
            Err(error) => return Err(error),
        };
        let lines = || told.iter().flat_map(|section| section.lines());
        let sign = |name: &&str| lines().find(|line| line.starts_with(name));
        let signs: Option<Vec<&str>> = SIGNS.iter().map(sign).collect();
        Ok(signs.map(|signs| signs.into_iter().map(str::to_owned).collect()))
    }

    /// Notes what a pass over so many `members`, which began at `now_s` with these
    /// signs, has left behind.
    pub(super) fn note_calm(
        &mut self,
        signs: Option<Vec<String>>,
        (now_s, slack_s): (i64, i64),
        members: u64,
        left: Left,
    ) {
        // Of what nothing is known, such as a bare number, something may be due at any
        // time; it may wait as long as what is known does.
        let unknown_s = if left.seen < members {
            now_s.saturating_add(slack_s)
        } else {
            i64::MAX
        };
        let until_s = left.due_s.unwrap_or(i64::MAX).min(unknown_s);
        self.calm = signs.map(|signs| Calm { signs, until_s });
    }
}
