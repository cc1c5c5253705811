//! One pass over all series of a namespace.
//!
//! A series is looked at only when there is a reason:
//!
//! | reason | what is read | what may follow |
//! | --- | --- | --- |
//! | nothing is known of it | all | whatever it needs |
//! | its oldest record is due | a little of the front, and the end | the old records are cut off |
//! | somebody may have written out of order | the end: its newest second, and what was appended since | the end is put in order, or all is read |
//!
//! What is known of a series is in the [`Ledger`]. Who feeds it says whether there is
//! reason for doubt: see [`crate::admit::Tidings`].
//!
//! Every change is a script on the server that first compares the bytes it replaces
//! with those that were read, so that no other writer's work is lost; see
//! [`super::change`]. What becomes of a change is known only by its answer: until then
//! nothing is known of the series.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use redis::{Connection, Pipeline, RedisError, RedisResult, Value};

use super::change::{ASIDE, Change, Changes, LAST_TRIMMED, Part, Scripts};
use super::deeds::{Deed, Deeds};
use super::ledger::{Known, Ledger};
use super::trim::{self, Action, Found, Span};
use crate::admit::Tidings;
use crate::connection::LOG_PERIOD;
use crate::logging::{Throttle, printable};

/// Members that are fetched, and asked about, together.
const PAGE: usize = 250;
/// Series that are looked at with one round trip: a longer one would hold up points.
const GROUP: usize = 16;
/// Bytes of a series's front that are read when it is due.
const FRONT_BYTES: usize = 256;
/// The same when those are all old.
const LONG_FRONT_BYTES: usize = 16 << 10;
/// Longest series that is read together with others.
const TOGETHER_BYTES: usize = 1 << 20;
/// Longest series that is read as a whole.
const SERIES_BYTES_MAX: usize = 128 << 20;
/// Round trips for one group, at most; what is not done then waits for the next pass.
const ROUNDS: usize = 8;
/// Longest round trip that is told apart, in microseconds: a minute.
const TRIP_US_MAX: u64 = 60_000_000;
/// The record of trims is rid of series that are no more by the first pass and by
/// each that is as many further.
const CLEAN_PASSES: u64 = 60;

/// Series under one prefix, and how long they are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Put before each metric's name; the set of members is `<prefix>unique_metrics`.
    pub prefix: String,
    /// How long a record is kept, in seconds.
    pub duration_s: i64,
    /// How much longer the oldest record may stay before it is cut off, so that
    /// several go at once.
    pub slack_s: i64,
    /// How long what cannot be read is kept aside, in seconds.
    pub quarantine_s: u32,
}

/// Why a pass has ended early.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// It was told to.
    #[error("stopped")]
    Stopped,
    /// The settings that it was made under are not those in force.
    #[error("the settings have changed")]
    Reloaded,
    /// Redis is away, or refuses.
    #[error(transparent)]
    Redis(#[from] RedisError),
}

/// Those around a pass: whom it asks, and who says when it may go on.
pub trait Company {
    /// What is known elsewhere of the series of these metrics.
    fn tidings(&mut self, names: Vec<Box<[u8]>>) -> Vec<Tidings>;

    /// Called when `done` of about `all` series are done with; may wait.
    ///
    /// # Errors
    ///
    /// When the pass shall end.
    fn go_on(&mut self, done: u64, all: u64) -> Result<(), PassError>;
}

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

#[derive(Clone, Copy)]
struct Task<'m> {
    key: &'m [u8],
    reason: Reason,
}

/// Where the series are of one pass.
struct Place<'p> {
    namespace: &'p Namespace,
    set: String,
    oldest_s: i64,
    now_s: i64,
}

impl Place<'_> {
    fn due_s(&self, first_s: i64) -> i64 {
        first_s.saturating_add(self.namespace.duration_s + self.namespace.slack_s)
    }

    fn known(&self, span: Span) -> Option<Known> {
        Known::new(span.last_at, span.last_s, self.due_s(span.first_s))
    }
}

/// What the end of a series becomes.
struct End {
    known: Known,
    found: Found,
    /// Other bytes, if it is not in order.
    new: Option<Vec<u8>>,
}

/// See the module.
pub struct Trimmer {
    connection: Connection,
    scripts: Arc<Scripts>,
    ledger: Ledger,
    is_dry: bool,
    /// What was done so far.
    pub deeds: Deeds,
    /// Round trips of groups to Redis, in microseconds.
    pub trip_us: Histogram<u64>,
}

impl Trimmer {
    /// Over a connection that has logged in. A dry one changes nothing, and counts
    /// what it would change.
    ///
    /// # Errors
    ///
    /// When Redis does not take the scripts.
    pub fn new(connection: Connection, is_dry: bool) -> RedisResult<Self> {
        #[allow(clippy::unwrap_used, reason = "these bounds are accepted")]
        let trip_us = Histogram::new_with_max(TRIP_US_MAX, 2).unwrap();
        let mut trimmer = Self {
            connection,
            scripts: Arc::default(),
            ledger: Ledger::default(),
            is_dry,
            deeds: Deeds::default(),
            trip_us,
        };
        trimmer.load_scripts()?;
        Ok(trimmer)
    }

    /// Goes on over another connection, with what is known.
    ///
    /// # Errors
    ///
    /// As [`Trimmer::new`].
    pub fn reconnect(&mut self, connection: Connection) -> RedisResult<()> {
        self.connection = connection;
        self.load_scripts()
    }

    /// Its connection.
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Forgets what is known of every series, so that each is read anew.
    pub fn forget(&mut self) {
        self.ledger.clear();
    }

    /// Memory of what is known, in bytes.
    pub fn ledger_bytes(&self) -> usize {
        self.ledger.bytes()
    }

    /// Looks at every series for which there is a reason at the time `now_s`, in
    /// seconds since 1970, but at none whose key is in `excluded`.
    ///
    /// # Errors
    ///
    /// When it is told to stop, or Redis is away or refuses for now.
    pub fn pass(
        &mut self,
        namespace: &Namespace,
        excluded: &HashSet<Vec<u8>>,
        now_s: i64,
        company: &mut dyn Company,
    ) -> Result<(), PassError> {
        let started = Instant::now();
        let place = Place {
            namespace,
            set: format!("{}unique_metrics", namespace.prefix),
            oldest_s: now_s.saturating_sub(namespace.duration_s),
            now_s,
        };
        let size = redis::cmd("SCARD").arg(&place.set).to_owned();
        let members: u64 = size.query(&mut self.connection)?;
        let (mut done, mut left_out, mut cursor) = (0, 0, 0u64);
        loop {
            let scan = redis::cmd("SSCAN")
                .arg(&place.set)
                .arg(cursor)
                .arg("COUNT")
                .arg(PAGE)
                .query(&mut self.connection)?;
            let (next, mut keys): (u64, Vec<Vec<u8>>) = scan;
            // While the set is rehashed a member may come twice.
            keys.sort_unstable();
            keys.dedup();
            for page in keys.chunks(PAGE) {
                let due = page.iter().filter(|key| !excluded.contains(*key));
                let due: Vec<&[u8]> = due.map(Vec::as_slice).collect();
                left_out += (page.len() - due.len()) as u64;
                self.page(&place, &due, done, members, company)?;
                done += page.len() as u64;
            }
            cursor = next;
            if cursor == 0 {
                break;
            }
            company.go_on(done, members)?;
        }
        self.ledger.end_pass();
        if !self.is_dry && self.deeds.passes.is_multiple_of(CLEAN_PASSES) {
            self.clean_trims(&place)?;
        }
        self.deeds.passes += 1;
        self.deeds.members = done;
        self.deeds.batch_members = left_out;
        self.deeds.last_pass_s = started.elapsed().as_secs_f64();
        Ok(())
    }

    fn page(
        &mut self,
        place: &Place<'_>,
        keys: &[&[u8]],
        done: u64,
        members: u64,
        company: &mut dyn Company,
    ) -> Result<(), PassError> {
        let prefix = place.namespace.prefix.as_bytes();
        // No metric has the empty name: of what is outside of the namespace nobody
        // can tell anything.
        let name = |key: &&[u8]| Box::from(key.strip_prefix(prefix).unwrap_or_default());
        let tidings = company.tidings(keys.iter().map(name).collect());
        let mut tasks = Vec::new();
        for (key, tidings) in keys.iter().zip(tidings) {
            if let Some(reason) = self.reason(key, tidings, place.now_s) {
                tasks.push(Task { key, reason });
            }
        }
        let groups = tasks.len().div_ceil(GROUP) as u64;
        for (number, group) in tasks.chunks(GROUP).enumerate() {
            self.group(place, group.to_vec())?;
            company.go_on(done + number as u64 * keys.len() as u64 / groups, members)?;
        }
        Ok(())
    }

    fn reason(&mut self, key: &[u8], tidings: Tidings, now_s: i64) -> Option<Reason> {
        let Some(known) = self.ledger.see(key) else {
            return Some(Reason::Unknown);
        };
        if tidings.is_doubtful {
            // Who tells this has seen what was changed, and it is told once.
            known.is_changed = false;
            known.is_doubtful = true;
        }
        if i64::from(known.due_s) <= now_s {
            return Some(Reason::Due(FRONT_BYTES));
        }
        // Of a series that comes another way nobody would tell us.
        let is_watched = tidings.is_fed && !known.is_changed;
        (known.is_doubtful || !is_watched).then_some(Reason::Doubt)
    }

    /// Looks at series until each is as it should be.
    fn group<'m>(&mut self, place: &'m Place<'_>, mut group: Vec<Task<'m>>) -> RedisResult<()> {
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
            self.deeds.looked_at += 1;
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
        let known = span.and_then(|span| place.known(span));
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
            place.due_s(first_s),
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

    /// Makes the changes, and counts those that were made. Series that have changed
    /// meanwhile are to be looked at again.
    fn make<'m>(
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

    fn ask(&mut self, pipe: &mut Pipeline) -> RedisResult<Vec<RedisResult<Value>>> {
        let started = Instant::now();
        let replies = pipe.ignore_errors().query(&mut self.connection);
        let elapsed = micros(started.elapsed());
        self.deeds.redis_us += elapsed;
        self.trip_us.saturating_record(elapsed);
        replies
    }

    /// Rids the record of trims of series of this namespace that are no members. What
    /// else may stand there is no reason not to trim.
    fn clean_trims(&mut self, place: &Place<'_>) -> RedisResult<()> {
        match self.scan_trims(place) {
            Err(error) if is_about_the_key(&error) => Ok(()),
            result => result,
        }
    }

    fn scan_trims(&mut self, place: &Place<'_>) -> RedisResult<()> {
        let prefix = place.namespace.prefix.as_bytes();
        let mut cursor = 0u64;
        loop {
            let scan = redis::cmd("HSCAN")
                .arg(LAST_TRIMMED)
                .arg(cursor)
                .arg("COUNT")
                .arg(PAGE)
                .query(&mut self.connection)?;
            // Keys and times by turns.
            let (next, row): (u64, Vec<Vec<u8>>) = scan;
            let keys = row.iter().step_by(2).map(Vec::as_slice);
            let doubtful: Vec<&[u8]> = keys
                .filter(|key| key.starts_with(prefix) && self.ledger.find(key).is_none())
                .collect();
            if !doubtful.is_empty() {
                let mut ask = redis::pipe();
                for key in &doubtful {
                    ask.cmd("SISMEMBER").arg(&place.set).arg(key);
                }
                let members: Vec<bool> = ask.query(&mut self.connection)?;
                let gone = doubtful.iter().zip(members).filter(|(_, member)| !member);
                let gone: Vec<&&[u8]> = gone.map(|(key, _)| key).collect();
                if !gone.is_empty() {
                    let mut delete = redis::cmd("HDEL");
                    delete.arg(LAST_TRIMMED).arg(gone);
                    delete.query::<Value>(&mut self.connection)?;
                }
            }
            cursor = next;
            if cursor == 0 {
                return Ok(());
            }
        }
    }

    fn load_scripts(&mut self) -> RedisResult<()> {
        if !self.is_dry {
            self.scripts = Arc::new(Scripts::load(&mut self.connection)?);
        }
        Ok(())
    }

    fn refuse(&mut self, key: &[u8]) {
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

fn tell(change: &Change<'_>) {
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

/// Whether an error is due to what stands under one key, and not to the state that
/// Redis is in.
fn is_about_the_key(error: &RedisError) -> bool {
    matches!(error.code(), Some("WRONGTYPE" | "ERR"))
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
