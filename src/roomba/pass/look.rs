//! What is read of a series, what follows from that, and the change it takes.

use redis::{Pipeline, RedisResult, Value};

use super::super::change::{ASIDE, Change, Changes, Part};
use super::super::deeds::Deed;
use super::super::ledger::Known;
use super::super::trim::{self, Action, Found};
use super::{GROUP, Place, Trimmer, is_about_the_key};
use crate::connection::LOG_PERIOD;
use crate::logging::{Throttle, printable};

/// How many seconds of a series its end may come to hold until it is looked at ...
const END_S: i64 = 3600;
/// ... or which part of all.
const END_PART: i64 = 4;
/// Bytes of a series's front that are read when it is due.
pub const FRONT_BYTES: usize = 256;
/// The same when those are all old.
const LONG_FRONT_BYTES: usize = 16 << 10;
/// What Redis answers when it is asked how long a key has to live.
const LIVES_FOR_EVER: i64 = -1;
/// Longest series that is read together with others.
const TOGETHER_BYTES: usize = 1 << 20;
/// Longest series that is read as a whole.
const SERIES_BYTES_MAX: usize = 128 << 20;
/// Looks at one series, at most; what is not done then waits for the next pass.
const LOOKS_MAX: u8 = 8;

/// Why a series is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Nothing is known of it.
    Unknown,
    /// As `Unknown`, and nothing was found: there is no series, or an empty one.
    Nothing,
    /// As `Unknown`, and it is too long to be read together with others.
    Long,
    /// Its oldest record is due; so many bytes of the front are read.
    Due(usize),
    /// The same, but it is watched and read whole, to be written whole.
    Carried,
    /// It may be out of order.
    Doubt,
}

/// A look that is to be taken.
#[derive(Clone, Copy)]
pub struct Task<'m> {
    /// The series.
    pub key: &'m [u8],
    /// Why.
    pub reason: Reason,
    /// How many looks have shown that another one is needed.
    looks: u8,
}

impl<'m> Task<'m> {
    /// A first look.
    pub fn new(key: &'m [u8], reason: Reason) -> Self {
        Self {
            key,
            reason,
            looks: 0,
        }
    }

    /// What Redis has to do for it, next to others: a script may follow from most.
    pub(super) fn weight(&self) -> usize {
        match self.reason {
            Reason::Long => GROUP,
            Reason::Unknown | Reason::Due(_) | Reason::Doubt => 2,
            Reason::Carried | Reason::Nothing => 1,
        }
    }

    /// Another look; `None` if there were too many.
    pub(super) fn again(self, reason: Reason) -> Option<Self> {
        let looks = self.looks + 1;
        (looks < LOOKS_MAX).then_some(Self {
            reason,
            looks,
            ..self
        })
    }
}

/// What the end of a series becomes.
struct End {
    known: Known,
    found: Found,
    /// Other bytes, if it is not in order.
    new: Option<Vec<u8>>,
}

impl Trimmer {
    /// One round trip: makes the changes that the last one has shown to be needed, and
    /// looks at further series. Returns the changes these need; series at which another
    /// look is needed are added to `again`.
    pub(super) fn trip<'m>(
        &mut self,
        place: &'m Place<'_>,
        changes: Changes<'m>,
        tasks: Vec<Task<'m>>,
        again: &mut Vec<Task<'m>>,
    ) -> RedisResult<Changes<'m>> {
        let (mut pipe, commands) = changes.commands(place.now_s);
        for change in changes.all() {
            self.ledger.note(change.task.key, None);
        }
        let watched = tasks.iter().filter(|task| task.reason == Reason::Carried);
        let watched: Vec<&[u8]> = watched.map(|task| task.key).collect();
        if !watched.is_empty() {
            pipe.cmd("WATCH").arg(&watched);
        }
        for task in &tasks {
            self.look(task, &mut pipe);
        }
        for key in &watched {
            pipe.cmd("PTTL").arg(key);
        }
        let mut replies = self.ask(&mut pipe)?.into_iter();
        let answers = replies.by_ref().take(commands).collect();
        self.settle(place, changes.answered(answers), again)?;
        let mut changes = Changes::new(self.scripts.clone(), &place.set);
        if !watched.is_empty() {
            let reply = replies.next();
            changes.is_watching = matches!(reply, Some(Ok(_)));
            // Without, a script makes the change, and if it is not allowed, any further.
            let code = reply.and_then(Result::err);
            let code = code.as_ref().and_then(|error| error.code());
            self.carries &= !matches!(code, Some("NOPERM" | "ERR"));
        }
        let looks: Vec<_> = replies.by_ref().take(tasks.len()).collect();
        // MSET would take their time to live away.
        let volatile = watched.into_iter().zip(replies);
        let volatile = volatile.filter(|(_, left)| !matches!(left, Ok(Value::Int(LIVES_FOR_EVER))));
        let volatile: Vec<&[u8]> = volatile.map(|(key, _)| key).collect();
        for (mut task, read) in tasks.into_iter().zip(looks) {
            if volatile.contains(&task.key) {
                task.reason = Reason::Unknown;
            }
            match read {
                Ok(read) => {
                    let reason = self.judge(place, task, read, &mut changes);
                    again.extend(reason.and_then(|reason| task.again(reason)));
                }
                Err(error) if is_about_the_key(&error) => self.refuse(task.key),
                Err(error) => return Err(error),
            }
        }
        if self.is_dry {
            for change in changes.all() {
                self.deeds.count(change.deed, &change.found, change.bytes);
            }
            return Ok(Changes::new(self.scripts.clone(), &place.set));
        }
        Ok(changes)
    }

    /// What a series needs of which this was read; returns why another look is needed,
    /// if it is.
    fn judge<'m>(
        &mut self,
        place: &Place<'_>,
        task: Task<'m>,
        read: Value,
        changes: &mut Changes<'m>,
    ) -> Option<Reason> {
        match (task.reason, read) {
            (Reason::Unknown | Reason::Long | Reason::Carried, Value::BulkString(bytes)) => {
                self.unknown(place, task, &bytes, changes)
            }
            (Reason::Nothing, Value::Int(0)) => {
                changes.remove(plain(task, Deed::RemoveGhost), b"");
                None
            }
            (Reason::Nothing, Value::Int(_)) => None,
            (Reason::Due(bytes), Value::BulkString(front)) => {
                self.due(place, task, (&front, bytes), changes)
            }
            (Reason::Doubt, Value::BulkString(end)) => self.doubt(task, &end, changes),
            _ => {
                self.refuse(task.key);
                None
            }
        }
    }

    /// The commands that read what a task needs.
    fn look(&self, task: &Task<'_>, looks: &mut Pipeline) {
        let mut range = |from: usize, bytes: Option<usize>| {
            let to = bytes.map_or(-1, |bytes| (from + bytes) as i64 - 1);
            looks.cmd("GETRANGE").arg(task.key).arg(from).arg(to);
        };
        let known = || self.ledger.find(task.key);
        let newest_at = || known().map_or(0, |known| known.newest_at as usize);
        match task.reason {
            Reason::Unknown | Reason::Carried => range(0, Some(TOGETHER_BYTES + 1)),
            Reason::Long => range(0, Some(SERIES_BYTES_MAX + 1)),
            Reason::Nothing => {
                looks.cmd("EXISTS").arg(task.key);
            }
            Reason::Due(bytes) => range(0, Some(bytes)),
            Reason::Doubt => range(newest_at(), None),
        }
    }

    fn unknown<'m>(
        &mut self,
        place: &Place<'_>,
        task: Task<'m>,
        bytes: &[u8],
        changes: &mut Changes<'m>,
    ) -> Option<Reason> {
        if bytes.is_empty() {
            self.ledger.note(task.key, None);
            return Some(Reason::Nothing);
        }
        if bytes.len() > SERIES_BYTES_MAX {
            self.refuse(task.key);
            static BRAKE: Throttle = Throttle::new(LOG_PERIOD);
            if let Some(suppressed) = BRAKE.admit() {
                tracing::warn!(
                    key = shown(task.key),
                    bytes_max = SERIES_BYTES_MAX,
                    suppressed,
                    "a series is too long to be trimmed"
                );
            }
            return None;
        }
        if task.reason != Reason::Long && bytes.len() > TOGETHER_BYTES {
            return Some(Reason::Long);
        }
        self.whole(place, task, bytes, changes);
        None
    }

    /// What a series needs that was read as a whole.
    fn whole<'m>(
        &mut self,
        place: &Place<'_>,
        task: Task<'m>,
        bytes: &[u8],
        changes: &mut Changes<'m>,
    ) {
        let key = task.key;
        let is_carried = task.reason == Reason::Carried;
        self.deeds.read_whole += u64::from(!is_carried);
        let (action, found, span) = trim::trim(bytes, place.oldest_s);
        let before = self.ledger.find(key);
        let known = |first_s: i64, old_bytes: usize| {
            let due_s = place.due_s(key, first_s, before);
            let span = span?;
            Known::new(old_bytes + span.last_at, span.last_s, due_s)
        };
        let is_due = before.is_some_and(|before| place.is_due(before.due_s));
        if let (true, Action::Replace(kept)) = (found.is_only_old() && !is_due, &action) {
            // Its old records may wait, like those of any other series.
            let old_bytes = bytes.len() - kept.len();
            let waiting = trim::first_s(bytes).and_then(|first_s| known(first_s, old_bytes));
            if waiting.is_some_and(|known| !place.is_due(known.due_s)) {
                return self.ledger.note(key, waiting);
            }
        }
        let known = span.and_then(|span| known(span.first_s, 0));
        let part = Part {
            at: 0,
            bytes,
            series_bytes: bytes.len(),
        };
        let kept = match &action {
            Action::Replace(new) => &new[..],
            Action::Keep => bytes,
            Action::Remove => b"",
        };
        let change = Change {
            task,
            deed: Deed::Replace,
            found,
            bytes: (bytes.len(), kept.len()),
            known,
            then: None,
        };
        if found.is_broken {
            let deed = Deed::SetAside;
            let time_s = place.namespace.quarantine_s;
            return changes.set_aside(Change { deed, ..change }, bytes, kept, time_s);
        }
        match action {
            Action::Keep => self.ledger.note(key, known),
            Action::Replace(new) if is_carried && changes.is_watching => {
                changes.carry(change, before, new)
            }
            Action::Replace(_) => changes.replace(change, part, kept),
            Action::Remove => {
                let deed = Deed::Remove;
                changes.remove(Change { deed, ..change }, bytes);
            }
        }
    }

    /// What a series needs whose oldest record is due: of `front`, which was read up
    /// to so many bytes, the old records are cut off.
    fn due<'m>(
        &mut self,
        place: &Place<'_>,
        task: Task<'m>,
        (front, read_bytes): (&[u8], usize),
        changes: &mut Changes<'m>,
    ) -> Option<Reason> {
        let Some((cut, records, Some(first_s))) = trim::old_front(front, place.oldest_s) else {
            let may_read_more = front.len() == read_bytes && read_bytes < LONG_FRONT_BYTES;
            return Some(if may_read_more {
                Reason::Due(LONG_FRONT_BYTES)
            } else {
                Reason::Unknown
            });
        };
        let before = self.ledger.find(task.key)?;
        let Some(newest_at) = (before.newest_at as usize).checked_sub(cut) else {
            return Some(Reason::Unknown);
        };
        let due_s = place.due_s(task.key, first_s, Some(before));
        let known = Known::new(newest_at, before.newest_s.into(), due_s);
        let known = known.map(|known| known.doubted(before.is_doubtful));
        let end_s = END_S.min(place.namespace.duration_s / END_PART);
        let is_long = place.now_s - i64::from(before.newest_s) > end_s;
        let then = (before.is_doubtful || is_long).then_some(Reason::Doubt);
        if cut == 0 {
            self.ledger.note(task.key, known);
            return then;
        }
        let found = Found {
            records,
            old: records,
            ..Found::default()
        };
        let change = Change {
            task,
            deed: Deed::Replace,
            found,
            bytes: (cut, 0),
            known,
            then,
        };
        let part = Part {
            at: 0,
            bytes: &front[..cut],
            series_bytes: before.newest_at as usize,
        };
        changes.replace(change, part, b"");
        None
    }

    /// What a series needs of which only the end was read.
    fn doubt<'m>(
        &mut self,
        task: Task<'m>,
        end: &[u8],
        changes: &mut Changes<'m>,
    ) -> Option<Reason> {
        let Some(end_now) = self.end(task.key, end) else {
            return Some(Reason::Unknown);
        };
        if end_now.new.is_some() {
            self.mend_end(task, end, end_now, changes);
        } else {
            self.ledger.note(task.key, Some(end_now.known));
        }
        None
    }

    /// What the end of a series becomes; `None` if it does not fit to what is known,
    /// or needs to be looked at with the rest.
    fn end(&self, key: &[u8], end: &[u8]) -> Option<End> {
        let before = self.ledger.find(key)?;
        let newest_s = i64::from(before.newest_s);
        // Somebody else may have cut the series, or put another in its place.
        if trim::first_s(end)? != newest_s {
            return None;
        }
        let (action, found, span) = trim::trim(end, i64::MIN);
        let span = span?;
        if span.first_s < newest_s || found.is_broken || found.foreign > 0 {
            return None;
        }
        let newest_at = before.newest_at as usize + span.last_at;
        let known = Known::new(newest_at, span.last_s, before.due_s.into())?;
        let new = match action {
            Action::Keep => None,
            Action::Replace(new) => Some(new),
            Action::Remove => return None,
        };
        Some(End { known, found, new })
    }

    fn mend_end<'m>(
        &mut self,
        task: Task<'m>,
        end: &[u8],
        End { known, found, new }: End,
        changes: &mut Changes<'m>,
    ) {
        let new = new.unwrap_or_default();
        let at = self
            .ledger
            .find(task.key)
            .map_or(0, |known| known.newest_at) as usize;
        let change = Change {
            task,
            deed: Deed::Replace,
            found,
            bytes: (end.len(), new.len()),
            known: Some(known),
            then: None,
        };
        let part = Part {
            at,
            bytes: end,
            series_bytes: at + end.len(),
        };
        changes.replace(change, part, &new);
    }

    pub(super) fn refuse(&mut self, key: &[u8]) {
        self.deeds.refused += 1;
        self.ledger.note(key, None);
    }
}

/// A change of which there is nothing to say.
fn plain(task: Task<'_>, deed: Deed) -> Change<'_> {
    Change {
        task,
        deed,
        found: Found::default(),
        bytes: (0, 0),
        known: None,
        then: None,
    }
}

pub(super) fn tell(change: &Change<'_>) {
    if change.deed == Deed::SetAside {
        tracing::warn!(
            key = shown(change.task.key),
            bytes = change.bytes.0,
            bytes_kept = change.bytes.1,
            "a series could not all be read: a copy is kept aside under {ASIDE}<key>"
        );
    }
}

fn shown(key: &[u8]) -> String {
    printable(&String::from_utf8_lossy(key)).into_owned()
}
