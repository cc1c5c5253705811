//! One pass over all series of a namespace.
//!
//! A series is looked at only when there is a reason:
//!
//! | reason | what is read | what may follow |
//! | --- | --- | --- |
//! | nothing is known of it | all | whatever it needs |
//! | its oldest record is due | a little of the front, and what was appended since | the old records are cut off |
//! | somebody may have written out of order | what was appended since | that part is put in order, or all is read |
//!
//! What is known of a series is in the ledger: up to where it was found in order,
//! its newest timestamp there, and when its oldest record is due. Who feeds it says
//! whether there is reason for doubt: see [`crate::admit::Tidings`].
//!
//! Every change is a script on the server that first compares the bytes it replaces
//! with those that were read, so that no other writer's work is lost.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hasher};
use std::ops::AddAssign;
use std::time::{Duration, Instant};

use foldhash::quality::RandomState;
use hdrhistogram::Histogram;
use redis::{Connection, Pipeline, RedisError, RedisResult, Script, Value};
use serde::Serialize;

use super::trim::{self, Action, Found, Span};
use crate::admit::Tidings;

/// Members that are fetched, and asked about, together.
const PAGE: usize = 250;
/// Series that are looked at with one round trip: a longer one would hold up points.
const GROUP: usize = 16;
/// Bytes of a series's front that are read when it is due.
const FRONT_BYTES: usize = 256;
/// The same when those are all old.
const LONG_FRONT_BYTES: usize = 16 << 10;
/// Round trips for one group, at most; what is not done then waits for the next pass.
const ROUNDS: usize = 4;
/// Skyline's record of when each series was last trimmed.
const LAST_TRIMMED: &str = "horizon.roomba.metrics_last_trimmed";
/// In front of the keys of series that were set aside.
const ASIDE: &str = "skyring.quarantine.";
/// Passes after which the record of trims is rid of series that are no more.
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

/// What passes have done.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Deeds {
    /// Passes that came to their end.
    pub passes: u64,
    /// Members of the set of metrics, in the last pass.
    pub members: u64,
    /// Members that were left to batch processing, in the last pass.
    pub batch_members: u64,
    /// Series of which something was read.
    pub looked_at: u64,
    /// Series of which all was read.
    pub read_whole: u64,
    /// Series whose old records were cut off.
    pub cut: u64,
    /// Series that were put in order or rid of duplicates or of what is no record.
    pub mended: u64,
    /// Series that were removed, since they had no record that is new enough.
    pub removed: u64,
    /// Members that were removed, since they had no series.
    pub ghosts: u64,
    /// Series of which a copy was set aside, since it could not all be read.
    pub quarantined: u64,
    /// Changes that were not made, since another writer had changed the series.
    pub conflicts: u64,
    /// Commands that Redis refused, such as for a key of another type.
    pub refused: u64,
    /// Records that were cut off since they were too old.
    pub records_old: u64,
    /// Records that were dropped for another one of the same timestamp.
    pub records_duplicate: u64,
    /// Values that were dropped since they are no records of two numbers.
    pub values_foreign: u64,
    /// Bytes of the parts that were replaced, before.
    pub bytes_before: u64,
    /// The same, after.
    pub bytes_after: u64,
    /// Time of all round trips to Redis, in microseconds.
    pub redis_us: u64,
    /// How long the last pass took, in seconds.
    pub last_pass_s: f64,
}

impl AddAssign<&Self> for Deeds {
    fn add_assign(&mut self, other: &Self) {
        self.passes += other.passes;
        self.members += other.members;
        self.batch_members += other.batch_members;
        self.looked_at += other.looked_at;
        self.read_whole += other.read_whole;
        self.cut += other.cut;
        self.mended += other.mended;
        self.removed += other.removed;
        self.ghosts += other.ghosts;
        self.quarantined += other.quarantined;
        self.conflicts += other.conflicts;
        self.refused += other.refused;
        self.records_old += other.records_old;
        self.records_duplicate += other.records_duplicate;
        self.values_foreign += other.values_foreign;
        self.bytes_before += other.bytes_before;
        self.bytes_after += other.bytes_after;
        self.redis_us += other.redis_us;
        self.last_pass_s += other.last_pass_s;
    }
}

#[derive(Clone, Copy, Debug)]
struct State {
    /// Length of the front that was found in order.
    clean_bytes: u32,
    /// Newest timestamp in it, and when the oldest is due, in seconds since 1970.
    newest_s: u32,
    due_s: u32,
    /// The pass that has seen it last, cut to 32 bits.
    pass: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Unknown,
    Due(usize),
    Doubt,
}

struct Task<'m> {
    key: &'m [u8],
    reason: Reason,
}

/// See the module.
pub struct Trimmer {
    connection: Connection,
    replace: Script,
    remove: Script,
    set_aside: Script,
    /// By a hash of the key.
    ledger: HashMap<u64, State, RandomState>,
    hasher: RandomState,
    is_dry: bool,
    now_s: i64,
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
        #[allow(clippy::unwrap_used, reason = "two digits are accepted")]
        let trip_us = Histogram::new(2).unwrap();
        let mut trimmer = Self {
            connection,
            replace: Script::new(include_str!("replace.lua")),
            remove: Script::new(include_str!("remove.lua")),
            set_aside: Script::new(include_str!("set_aside.lua")),
            ledger: HashMap::default(),
            hasher: RandomState::default(),
            is_dry,
            now_s: 0,
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

    /// Forgets what is known of every series, so that each is read anew.
    pub fn forget(&mut self) {
        self.ledger.clear();
    }

    /// Memory of what is known, in bytes.
    pub fn ledger_bytes(&self) -> usize {
        self.ledger.capacity() * (size_of::<(u64, State)>() + 1)
    }

    /// Looks at every series for which there is a reason at the time `now_s`, in
    /// seconds since 1970, but at none whose key is in `excluded`.
    ///
    /// # Errors
    ///
    /// When it is told to stop, or Redis is away.
    pub fn pass(
        &mut self,
        namespace: &Namespace,
        excluded: &HashSet<Vec<u8>>,
        now_s: i64,
        company: &mut dyn Company,
    ) -> Result<(), PassError> {
        let started = Instant::now();
        self.now_s = now_s;
        let set = format!("{}unique_metrics", namespace.prefix);
        let members: u64 = redis::cmd("SCARD").arg(&set).query(&mut self.connection)?;
        let (mut done, mut left_out, mut cursor) = (0, 0, 0u64);
        loop {
            let scan = redis::cmd("SSCAN")
                .arg(&set)
                .arg(cursor)
                .arg("COUNT")
                .arg(PAGE)
                .query(&mut self.connection)?;
            let (next, keys): (u64, Vec<Vec<u8>>) = scan;
            for page in keys.chunks(PAGE) {
                let (before, due): (usize, Vec<&[u8]>) = (
                    page.len(),
                    page.iter()
                        .filter(|key| !excluded.contains(*key))
                        .map(Vec::as_slice)
                        .collect(),
                );
                left_out += (before - due.len()) as u64;
                self.page(namespace, &set, &due, done, members, company)?;
                done += before as u64;
            }
            company.go_on(done, members)?;
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        self.deeds.passes += 1;
        self.deeds.members = done;
        self.deeds.batch_members = left_out;
        self.end_of_pass()?;
        self.deeds.last_pass_s = started.elapsed().as_secs_f64();
        Ok(())
    }

    fn page(
        &mut self,
        namespace: &Namespace,
        set: &str,
        keys: &[&[u8]],
        done: u64,
        members: u64,
        company: &mut dyn Company,
    ) -> Result<(), PassError> {
        let prefix = namespace.prefix.as_bytes();
        let name = |key: &&[u8]| Box::from(key.strip_prefix(prefix).unwrap_or(key));
        let tidings = company.tidings(keys.iter().map(name).collect());
        let mut tasks = Vec::new();
        for (key, tidings) in keys.iter().zip(tidings) {
            if let Some(reason) = self.reason(key, tidings) {
                tasks.push(Task { key, reason });
            }
        }
        let pages = tasks.len().div_ceil(GROUP) as u64;
        let mut tasks = tasks.into_iter();
        for number in 0..pages {
            let mut group: Vec<Task<'_>> = tasks.by_ref().take(GROUP).collect();
            for _ in 0..ROUNDS {
                if group.is_empty() {
                    break;
                }
                group = self.round(namespace, set, group)?;
            }
            company.go_on(done + number * keys.len() as u64 / pages, members)?;
        }
        Ok(())
    }

    fn reason(&mut self, key: &[u8], tidings: Tidings) -> Option<Reason> {
        let now_s = self.now_s;
        let pass = self.deeds.passes as u32;
        let hash = self.hash(key);
        let Some(state) = self.ledger.get_mut(&hash) else {
            return Some(Reason::Unknown);
        };
        state.pass = pass;
        if i64::from(state.due_s) <= now_s {
            return Some(Reason::Due(FRONT_BYTES));
        }
        // Of a series that comes another way nobody would tell us.
        (tidings.is_doubtful || !tidings.is_fed).then_some(Reason::Doubt)
    }

    /// Looks at the series of a group and makes the changes they need; returns those
    /// at which a further look is needed.
    fn round<'m>(
        &mut self,
        namespace: &Namespace,
        set: &str,
        group: Vec<Task<'m>>,
    ) -> RedisResult<Vec<Task<'m>>> {
        let mut looks = redis::pipe();
        for task in &group {
            let clean = self.clean_bytes(task.key);
            match task.reason {
                Reason::Unknown => looks.cmd("GET").arg(task.key),
                Reason::Due(bytes) => {
                    looks.cmd("GETRANGE").arg(task.key).arg(0).arg(bytes - 1);
                    looks.cmd("STRLEN").arg(task.key);
                    looks.cmd("GETRANGE").arg(task.key).arg(clean).arg(-1)
                }
                Reason::Doubt => looks.cmd("GETRANGE").arg(task.key).arg(clean).arg(-1),
            };
        }
        let mut replies = self.ask(&mut looks)?.into_iter();
        let mut again = Vec::new();
        let mut changes = Changes::default();
        for task in group {
            self.deeds.looked_at += 1;
            let count = if matches!(task.reason, Reason::Due(_)) {
                3
            } else {
                1
            };
            let read: Result<Vec<Option<Vec<u8>>>, ()> =
                replies.by_ref().take(count).map(bytes_of).collect();
            let Ok(mut read) = read else {
                self.deeds.refused += 1;
                self.forget_key(task.key);
                continue;
            };
            let last = read.pop().flatten();
            let next = match task.reason {
                Reason::Unknown => self.whole(namespace, set, task.key, last, &mut changes),
                Reason::Due(bytes) => {
                    let length = read.pop().flatten().unwrap_or_default();
                    let front = read.pop().flatten().unwrap_or_default();
                    let tail = last.unwrap_or_default();
                    let clean = self.clean_bytes(task.key);
                    if length.as_slice() < clean.to_be_bytes().as_slice() {
                        // Somebody else has cut it.
                        Some(Reason::Unknown)
                    } else {
                        self.due(namespace, task.key, (&front, bytes), &tail, &mut changes)
                    }
                }
                Reason::Doubt => {
                    let tail = last.unwrap_or_default();
                    self.tail(task.key, &tail, true, &mut changes)
                }
            };
            again.extend(next.map(|reason| Task {
                key: task.key,
                reason,
            }));
        }
        self.make(changes, &mut again)?;
        Ok(again)
    }

    /// What a series needs that was read as a whole.
    fn whole<'m>(
        &mut self,
        namespace: &Namespace,
        set: &str,
        key: &'m [u8],
        bytes: Option<Vec<u8>>,
        changes: &mut Changes<'m>,
    ) -> Option<Reason> {
        self.deeds.read_whole += 1;
        self.forget_key(key);
        let Some(bytes) = bytes else {
            self.deeds.ghosts += 1;
            changes.push_remove(&self.remove, set, key, b"");
            return None;
        };
        let (action, found, span) = trim::trim(&bytes, self.now_s - namespace.duration_s);
        self.count(&found);
        if found.is_broken {
            self.deeds.quarantined += 1;
            let kept = match action {
                Action::Replace(kept) => kept,
                Action::Keep | Action::Remove => Vec::new(),
            };
            tracing::warn!(
                key = %String::from_utf8_lossy(key),
                bytes = bytes.len(),
                kept = kept.len(),
                "a series could not all be read: a copy is kept aside under {ASIDE}<key>"
            );
            self.deeds.bytes_before += bytes.len() as u64;
            self.deeds.bytes_after += kept.len() as u64;
            let state = span.map(|span| self.state(namespace, kept.len(), span));
            let quarantine = (namespace.quarantine_s, &bytes[..], &kept[..]);
            changes.push_set_aside(&self.set_aside, set, key, quarantine, state);
            return None;
        }
        match action {
            Action::Keep => {
                if let Some(span) = span {
                    let state = self.state(namespace, bytes.len(), span);
                    self.remember(key, state);
                }
            }
            Action::Replace(new) => {
                let state = span.map(|span| self.state(namespace, new.len(), span));
                self.note_replaced(&found, bytes.len(), new.len());
                changes.push_replace(&self.replace, key, 0, &bytes, &new, state);
            }
            Action::Remove => {
                self.deeds.removed += 1;
                self.deeds.bytes_before += bytes.len() as u64;
                changes.push_remove(&self.remove, set, key, &bytes);
            }
        }
        None
    }

    /// What a series needs whose oldest record is due: of `front`, which was read up
    /// to so many bytes, the old records are cut off.
    fn due<'m>(
        &mut self,
        namespace: &Namespace,
        key: &'m [u8],
        (front, read_bytes): (&[u8], usize),
        tail: &[u8],
        changes: &mut Changes<'m>,
    ) -> Option<Reason> {
        let oldest_s = self.now_s - namespace.duration_s;
        let Some((cut, records, Some(first_s))) = trim::old_front(front, oldest_s) else {
            let may_read_more = front.len() == read_bytes && read_bytes < LONG_FRONT_BYTES;
            return Some(if may_read_more {
                Reason::Due(LONG_FRONT_BYTES)
            } else {
                Reason::Unknown
            });
        };
        // What was appended since may need as much as the front, or more.
        if let Some(reason) = self.tail(key, tail, false, changes) {
            return Some(reason);
        }
        let state = self.ledger.get(&self.hash(key)).copied()?;
        let state = State {
            clean_bytes: state.clean_bytes.checked_sub(cut as u32)?,
            due_s: due_s(namespace, first_s),
            ..state
        };
        if cut == 0 {
            self.remember(key, state);
            return None;
        }
        self.deeds.cut += 1;
        self.deeds.records_old += records;
        self.deeds.bytes_before += cut as u64;
        changes.push_replace(&self.replace, key, 0, &front[..cut], b"", Some(state));
        None
    }

    /// What a series needs of which only that was read that was appended since it was
    /// last found in order; `may_change` is false if the front is to be changed too.
    fn tail<'m>(
        &mut self,
        key: &'m [u8],
        tail: &[u8],
        may_change: bool,
        changes: &mut Changes<'m>,
    ) -> Option<Reason> {
        let Some(state) = self.ledger.get(&self.hash(key)).copied() else {
            return Some(Reason::Unknown);
        };
        if tail.is_empty() {
            return None;
        }
        let (action, found, span) = trim::trim(tail, i64::MIN);
        let follows = span.is_some_and(|span| span.first_s > i64::from(state.newest_s));
        if !follows || found.is_broken || found.foreign > 0 {
            return Some(Reason::Unknown);
        }
        let span = span?;
        let newest_s = clamp(span.last_s);
        let at = state.clean_bytes;
        let state = |bytes: usize| State {
            clean_bytes: at.saturating_add(bytes as u32),
            newest_s,
            ..state
        };
        match action {
            Action::Keep => self.remember(key, state(tail.len())),
            Action::Replace(_) | Action::Remove if !may_change => return Some(Reason::Unknown),
            Action::Replace(new) => {
                self.count(&found);
                self.note_replaced(&found, tail.len(), new.len());
                let state = Some(state(new.len()));
                changes.push_replace(&self.replace, key, at as usize, tail, &new, state);
            }
            Action::Remove => return Some(Reason::Unknown),
        }
        None
    }

    fn make<'m>(&mut self, mut changes: Changes<'m>, again: &mut Vec<Task<'m>>) -> RedisResult<()> {
        if changes.made.is_empty() || self.is_dry {
            return Ok(());
        }
        if !changes.trimmed.is_empty() {
            let record = changes.pipe.cmd("HSET").arg(LAST_TRIMMED);
            for key in &changes.trimmed {
                record.arg(*key).arg(self.now_s);
            }
        }
        let replies = self.ask(&mut changes.pipe)?;
        for (made, reply) in changes.made.into_iter().zip(replies) {
            match reply {
                Ok(Value::Int(length)) if length >= i64::from(made.is_removal) => {
                    if let Some(state) = made.state {
                        self.remember(made.key, state);
                    }
                }
                Ok(_) => {
                    self.deeds.conflicts += 1;
                    self.forget_key(made.key);
                    again.push(Task {
                        key: made.key,
                        reason: Reason::Unknown,
                    });
                }
                Err(error) => {
                    self.deeds.refused += 1;
                    self.forget_key(made.key);
                    if error.code() == Some("NOSCRIPT") {
                        return Err(error);
                    }
                }
            }
        }
        Ok(())
    }

    fn ask(&mut self, pipe: &mut Pipeline) -> RedisResult<Vec<RedisResult<Value>>> {
        let started = Instant::now();
        let replies = pipe.ignore_errors().query(&mut self.connection);
        let elapsed = started.elapsed();
        self.deeds.redis_us += micros(elapsed);
        self.trip_us.saturating_record(micros(elapsed));
        replies
    }

    /// Forgets series that no pass sees any more, and rids the record of trims of
    /// them.
    fn end_of_pass(&mut self) -> RedisResult<()> {
        let pass = self.deeds.passes as u32;
        self.ledger
            .retain(|_, state| pass.wrapping_sub(state.pass) <= 2);
        if self.is_dry || !self.deeds.passes.is_multiple_of(CLEAN_PASSES) {
            return Ok(());
        }
        let mut cursor = 0u64;
        loop {
            let scan = redis::cmd("HSCAN")
                .arg(LAST_TRIMMED)
                .arg(cursor)
                .arg("COUNT")
                .arg(PAGE)
                .query(&mut self.connection)?;
            let (next, rows): (u64, Vec<(Vec<u8>, Vec<u8>)>) = scan;
            let gone: Vec<&[u8]> = rows
                .iter()
                .map(|(key, _)| key.as_slice())
                .filter(|key| !self.ledger.contains_key(&self.hash(key)))
                .collect();
            if !gone.is_empty() {
                let delete = redis::cmd("HDEL").arg(LAST_TRIMMED).arg(&gone).to_owned();
                let _: Value = delete.query(&mut self.connection)?;
            }
            cursor = next;
            if cursor == 0 {
                return Ok(());
            }
        }
    }

    fn load_scripts(&mut self) -> RedisResult<()> {
        for script in [&self.replace, &self.remove, &self.set_aside] {
            script.load(&mut self.connection)?;
        }
        Ok(())
    }

    fn count(&mut self, found: &Found) {
        self.deeds.records_old += found.old;
        self.deeds.records_duplicate += found.duplicates;
        self.deeds.values_foreign += found.foreign;
    }

    fn note_replaced(&mut self, found: &Found, before: usize, after: usize) {
        if found.is_disordered || found.duplicates + found.foreign > 0 {
            self.deeds.mended += 1;
        } else {
            self.deeds.cut += 1;
        }
        self.deeds.bytes_before += before as u64;
        self.deeds.bytes_after += after as u64;
    }

    fn state(&self, namespace: &Namespace, bytes: usize, span: Span) -> State {
        State {
            clean_bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
            newest_s: clamp(span.last_s),
            due_s: due_s(namespace, span.first_s),
            pass: self.deeds.passes as u32,
        }
    }

    fn remember(&mut self, key: &[u8], state: State) {
        // Of a series that is too long for the ledger nothing is known.
        if state.clean_bytes < u32::MAX {
            self.ledger.insert(self.hash(key), state);
        }
    }

    fn clean_bytes(&self, key: &[u8]) -> u64 {
        let state = self.ledger.get(&self.hash(key));
        state.map_or(0, |state| state.clean_bytes.into())
    }

    fn forget_key(&mut self, key: &[u8]) {
        self.ledger.remove(&self.hash(key));
    }

    fn hash(&self, key: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key);
        hasher.finish()
    }
}

/// Changes that are made with one round trip.
#[derive(Default)]
struct Changes<'m> {
    pipe: Pipeline,
    made: Vec<Made<'m>>,
    trimmed: Vec<&'m [u8]>,
}

struct Made<'m> {
    key: &'m [u8],
    is_removal: bool,
    state: Option<State>,
}

impl<'m> Changes<'m> {
    fn push_replace(
        &mut self,
        script: &Script,
        key: &'m [u8],
        at: usize,
        read: &[u8],
        new: &[u8],
        state: Option<State>,
    ) {
        let call = self.call(script, &[key]);
        call.arg(at).arg(read).arg(new);
        self.note(key, false, state);
        self.trimmed.push(key);
    }

    fn push_remove(&mut self, script: &Script, set: &str, key: &'m [u8], read: &[u8]) {
        let call = self.call(script, &[key, set.as_bytes(), LAST_TRIMMED.as_bytes()]);
        call.arg(key).arg(read);
        self.note(key, true, None);
    }

    fn push_set_aside(
        &mut self,
        script: &Script,
        set: &str,
        key: &'m [u8],
        (quarantine_s, read, kept): (u32, &[u8], &[u8]),
        state: Option<State>,
    ) {
        let aside = [ASIDE.as_bytes(), key].concat();
        let keys = [key, &aside, set.as_bytes(), LAST_TRIMMED.as_bytes()];
        let call = self.call(script, &keys);
        call.arg(key).arg(read).arg(kept).arg(quarantine_s);
        self.note(key, false, state);
    }

    fn call(&mut self, script: &Script, keys: &[&[u8]]) -> &mut Pipeline {
        let call = self.pipe.cmd("EVALSHA");
        call.arg(script.get_hash()).arg(keys.len()).arg(keys)
    }

    fn note(&mut self, key: &'m [u8], is_removal: bool, state: Option<State>) {
        self.made.push(Made {
            key,
            is_removal,
            state,
        });
    }
}

/// The bytes of an answer, a number's as of 64 bits, big-endian; `None` inside if
/// there is no such key.
fn bytes_of(reply: RedisResult<Value>) -> Result<Option<Vec<u8>>, ()> {
    match reply {
        Ok(Value::BulkString(bytes)) => Ok(Some(bytes)),
        Ok(Value::Int(number)) => Ok(Some(number.to_be_bytes().to_vec())),
        Ok(Value::Nil) => Ok(None),
        _ => Err(()),
    }
}

fn due_s(namespace: &Namespace, first_s: i64) -> u32 {
    clamp(first_s.saturating_add(namespace.duration_s + namespace.slack_s))
}

fn clamp(seconds: i64) -> u32 {
    seconds.clamp(0, u32::MAX.into()) as u32
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
