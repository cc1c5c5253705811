//! What is read of a series, what follows from that, and the change it takes.

use redis::{Pipeline, RedisResult, Value};

use super::super::change::{ASIDE, Change, Changes, Part};
use super::super::deeds::Deed;
use super::super::ledger::Known;
use super::super::trim::{self, Action, Found};
use super::{Place, Trimmer, is_about_the_key};
use crate::connection::LOG_PERIOD;
use crate::logging::{Throttle, printable};

/// Bytes of a series's front that are read when it is due.
pub const FRONT_BYTES: usize = 256;
/// The same when those are all old.
const LONG_FRONT_BYTES: usize = 16 << 10;
/// Longest series that is read together with others.
const TOGETHER_BYTES: usize = 1 << 20;
/// Longest series that is read as a whole.
const SERIES_BYTES_MAX: usize = 128 << 20;
/// Round trips for one group, at most; what is not done then waits for the next pass.
const ROUNDS: usize = 8;

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
    /// It may be out of order.
    Doubt,
}

impl Reason {
    /// How many commands it takes.
    fn looks(self) -> usize {
        match self {
            Self::Due(_) => 2,
            _ => 1,
        }
    }
}

/// A look that is to be taken.
#[derive(Clone, Copy)]
pub(super) struct Task<'m> {
    /// The series.
    pub key: &'m [u8],
    /// Why.
    pub reason: Reason,
}

/// What the end of a series becomes.
struct End {
    known: Known,
    found: Found,
    /// Other bytes, if it is not in order.
    new: Option<Vec<u8>>,
}

impl Trimmer {
    /// Looks at series until each is as it should be.
    pub(super) fn group<'m>(
        &mut self,
        place: &'m Place<'_>,
        mut group: Vec<Task<'m>>,
    ) -> RedisResult<()> {
        let series = group.len() as u64;
        for _ in 0..ROUNDS {
            let (long, short): (Vec<_>, Vec<_>) =
                group.iter().partition(|task| task.reason == Reason::Long);
            if short.is_empty() && long.is_empty() {
                break;
            }
            group = Vec::new();
            for tasks in std::iter::once(short).chain(long.into_iter().map(|task| vec![task])) {
                if !tasks.is_empty() {
                    group.extend(self.round(place, tasks)?);
                }
            }
        }
        self.deeds.looked_at += series;
        Ok(())
    }

    /// Looks at series and makes the changes they need; returns those at which a
    /// further look is needed.
    fn round<'m>(
        &mut self,
        place: &'m Place<'_>,
        tasks: Vec<Task<'m>>,
    ) -> RedisResult<Vec<Task<'m>>> {
        let mut looks = redis::pipe();
        for task in &tasks {
            self.look(task, &mut looks);
        }
        let mut replies = self.ask(&mut looks)?.into_iter();
        let mut again = Vec::new();
        let mut changes = Changes::new(self.scripts.clone(), &place.set);
        for task in tasks {
            let key = task.key;
            // All that belong to it, even if the first is an error.
            let read: Vec<_> = replies.by_ref().take(task.reason.looks()).collect();
            let read: RedisResult<Vec<Value>> = read.into_iter().collect();
            let read = match read {
                Ok(read) => read,
                Err(error) if is_about_the_key(&error) => {
                    self.refuse(key);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let mut read = read.into_iter();
            let next = match (task.reason, read.next(), read.next()) {
                (Reason::Unknown | Reason::Long, Some(Value::BulkString(bytes)), None) => {
                    self.unknown(place, task, &bytes, &mut changes)
                }
                (Reason::Nothing, Some(Value::Int(count)), None) => {
                    if count == 0 {
                        changes.remove(plain(key, Deed::RemoveGhost), b"");
                    }
                    None
                }
                (
                    Reason::Due(bytes),
                    Some(Value::BulkString(front)),
                    Some(Value::BulkString(end)),
                ) => self.due(place, key, (&front, bytes), &end, &mut changes),
                (Reason::Doubt, Some(Value::BulkString(end)), None) => {
                    self.doubt(key, &end, &mut changes)
                }
                _ => {
                    self.refuse(key);
                    None
                }
            };
            again.extend(next.map(|reason| Task { key, reason }));
        }
        self.make(place, changes, &mut again)?;
        Ok(again)
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
            Reason::Unknown => range(0, Some(TOGETHER_BYTES + 1)),
            Reason::Long => range(0, Some(SERIES_BYTES_MAX + 1)),
            Reason::Nothing => {
                looks.cmd("EXISTS").arg(task.key);
            }
            Reason::Due(bytes) => {
                range(0, Some(bytes));
                range(newest_at(), None);
            }
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
        if task.reason == Reason::Unknown && bytes.len() > TOGETHER_BYTES {
            return Some(Reason::Long);
        }
        self.whole(place, task.key, bytes, changes);
        None
    }

    /// What a series needs that was read as a whole.
    fn whole<'m>(
        &mut self,
        place: &Place<'_>,
        key: &'m [u8],
        bytes: &[u8],
        changes: &mut Changes<'m>,
    ) {
        self.deeds.read_whole += 1;
        let (action, found, span) = trim::trim(bytes, place.oldest_s);
        let known = |first_s: i64, before: usize| {
            let due_s = place.due_s(key, first_s);
            let span = span?;
            Known::new(before + span.last_at, span.last_s, due_s)
        };
        if let (true, Action::Replace(kept)) = (found.is_only_old(), &action) {
            // Its old records may wait, like those of any other series.
            let old_bytes = bytes.len() - kept.len();
            let waiting = trim::first_s(bytes).and_then(|first_s| known(first_s, old_bytes));
            if waiting.is_some_and(|known| i64::from(known.due_s) > place.now_s) {
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
            key,
            deed: Deed::Replace,
            found,
            bytes: (bytes.len(), kept.len()),
            known: known.map(|known| known.changed(true)),
            then: None,
        };
        if found.is_broken {
            let deed = Deed::SetAside;
            let time_s = place.namespace.quarantine_s;
            return changes.set_aside(Change { deed, ..change }, bytes, kept, time_s);
        }
        match action {
            Action::Keep => self.ledger.note(key, known),
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
        key: &'m [u8],
        (front, read_bytes): (&[u8], usize),
        end: &[u8],
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
        let before = self.ledger.find(key)?;
        let Some(end_now) = self.end(key, end) else {
            return Some(Reason::Unknown);
        };
        if end_now.new.is_some() {
            // First the end, and then another look.
            self.mend_end(key, end, end_now, Some(Reason::Due(read_bytes)), changes);
            return None;
        }
        let Some(newest_at) = (end_now.known.newest_at as usize).checked_sub(cut) else {
            return Some(Reason::Unknown);
        };
        let known = Known::new(
            newest_at,
            end_now.known.newest_s.into(),
            place.due_s(key, first_s),
        );
        if cut == 0 {
            let known = known.map(|known| known.changed(end_now.known.is_changed));
            self.ledger.note(key, known);
            return None;
        }
        let found = Found {
            records,
            old: records,
            ..Found::default()
        };
        let change = Change {
            key,
            deed: Deed::Replace,
            found,
            bytes: (cut, 0),
            known: known.map(|known| known.changed(true)),
            then: None,
        };
        let part = Part {
            at: 0,
            bytes: &front[..cut],
            series_bytes: before.newest_at as usize + end.len(),
        };
        changes.replace(change, part, b"");
        None
    }

    /// What a series needs of which only the end was read.
    fn doubt<'m>(
        &mut self,
        key: &'m [u8],
        end: &[u8],
        changes: &mut Changes<'m>,
    ) -> Option<Reason> {
        let Some(end_now) = self.end(key, end) else {
            return Some(Reason::Unknown);
        };
        if end_now.new.is_some() {
            self.mend_end(key, end, end_now, None, changes);
        } else {
            self.ledger.note(key, Some(end_now.known));
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
        let known = known.changed(before.is_changed);
        let new = match action {
            Action::Keep => None,
            Action::Replace(new) => Some(new),
            Action::Remove => return None,
        };
        Some(End { known, found, new })
    }

    fn mend_end<'m>(
        &mut self,
        key: &'m [u8],
        end: &[u8],
        End { known, found, new }: End,
        then: Option<Reason>,
        changes: &mut Changes<'m>,
    ) {
        let new = new.unwrap_or_default();
        let at = self.ledger.find(key).map_or(0, |known| known.newest_at) as usize;
        let change = Change {
            key,
            deed: Deed::Replace,
            found,
            bytes: (end.len(), new.len()),
            known: Some(known.changed(true)),
            then,
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
fn plain(key: &[u8], deed: Deed) -> Change<'_> {
    Change {
        key,
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
            key = shown(change.key),
            bytes = change.bytes.0,
            bytes_kept = change.bytes.1,
            "a series could not all be read: a copy is kept aside under {ASIDE}<key>"
        );
    }
}

fn shown(key: &[u8]) -> String {
    printable(&String::from_utf8_lossy(key)).into_owned()
}
