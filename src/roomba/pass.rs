//! One pass over all series of a namespace.
//!
//! A series is looked at only when there is a reason:
//!
//! | reason | what is read | what may follow |
//! | --- | --- | --- |
//! | nothing is known of it | all | whatever it needs |
//! | its oldest record is due | a little of the front, or all | the old records are cut off |
//! | somebody may have written out of order | the end: its newest second, and what was appended since | the end is put in order, or all is read |
//!
//! What is known of a series is in the [`Ledger`]. Who feeds it says whether there is
//! reason for doubt: see [`crate::admit::Tidings`].
//!
//! No change touches what another writer has put there meanwhile; see
//! [`super::change`]. What becomes of a change is known only by its answer: until then
//! nothing is known of the series.

mod look;
mod make;
mod rest;
mod trims;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use hdrhistogram::Histogram;
use redis::{Connection, RedisError, RedisResult};

use super::change::{Changes, Scripts};
use super::deeds::Deeds;
use super::ledger::{self, Known, Ledger};
use crate::admit::{Cut, Tidings};
use look::FRONT_BYTES;
pub use look::{Reason, Task};
use rest::Calm;

/// Members that Redis is asked for together: it does nothing else meanwhile.
const SCAN_PAGE: usize = 250;
/// Series that the shards are asked about together.
const PAGE: usize = 500;
/// Series that are looked at with one round trip, by what Redis has to do for each: a
/// longer one would hold up points.
const GROUP: usize = 16;
/// Of so many series that are due ...
const CARRIED_OF: u32 = 13;
/// ... so many are carried through the socket, if they may be: with more, too many
/// bytes would go through it, with fewer Redis would be busy for longer.
const CARRIED: u32 = 6;
/// Longest series that is carried.
const CARRIED_BYTES_MAX: u32 = 256 << 10;
/// Longest round trip that is told apart, in microseconds: a minute.
const TRIP_US_MAX: u64 = 60_000_000;
/// The first pass and each that is as many further asks Redis for the members even if all
/// seem to be known, and rids the record of trims of series that are no more.
const THOROUGH_PASSES: u64 = 60;

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
    /// How long after the begin of one pass the next begins, in seconds.
    pub interval_s: i64,
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
    /// Names of metrics that are known to be members of the set, by pages of about
    /// `count`: the next page of those that this pass has not been told; `None` at the
    /// end. One may be told twice.
    fn names(&mut self, count: usize) -> Option<Vec<Box<[u8]>>>;

    /// What is known elsewhere of the series of these metrics.
    fn tidings(&mut self, names: Vec<Box<[u8]>>) -> Vec<Tidings>;

    /// Told of series that have become shorter, so that whoever appends to them does
    /// not take that for the work of another writer.
    fn note_cuts(&mut self, cuts: Vec<Cut>);

    /// Called when `done` of about `all` series are done with; may wait.
    ///
    /// # Errors
    ///
    /// When the pass shall end.
    fn go_on(&mut self, done: u64, all: u64) -> Result<(), PassError>;
}

/// Where the series are of one pass.
struct Place<'p> {
    namespace: &'p Namespace,
    set: String,
    oldest_s: i64,
    now_s: i64,
    /// By how much this pass is late, in seconds: so may the next one be.
    late_s: i64,
}

impl Place<'_> {
    /// When a series is cut whose oldest record is of `first_s`, and of which that is
    /// known so far: as late as may be. Series that have begun together, or that were all
    /// cut late, would be cut together for ever: each of these is cut sooner, by a time of
    /// its own. One that already waits has its place among the others.
    fn due_s(&self, key: &[u8], first_s: i64, known: Option<Known>) -> i64 {
        let Namespace {
            duration_s,
            slack_s,
            interval_s,
            ..
        } = *self.namespace;
        let old_s = first_s.saturating_add(duration_s);
        let last_s = old_s.saturating_add(slack_s);
        let is_late = |known: Known| self.now_s - i64::from(known.due_s) >= 2 * interval_s;
        if old_s <= self.now_s || known.is_some_and(|known| !is_late(known)) {
            return last_s;
        }
        let own_s = ledger::number(key).checked_rem(slack_s.unsigned_abs());
        last_s.saturating_sub(own_s.unwrap_or(0) as i64)
    }

    /// Whether what is due at that time, in seconds since 1970, is due in this pass.
    fn is_due(&self, due_s: u32) -> bool {
        i64::from(due_s) <= self.now_s.saturating_add(self.late_s)
    }
}

/// How far a pass has come.
struct Walk<'p> {
    place: &'p Place<'p>,
    excluded: &'p HashSet<Vec<u8>>,
    /// How many members there are, about.
    members: u64,
    done: u64,
    /// Members that were left to batch processing.
    left_out: u64,
}

/// See the module.
pub struct Trimmer {
    connection: Connection,
    scripts: Arc<Scripts>,
    ledger: Ledger,
    is_dry: bool,
    /// Whether a part of the changes may be carried through the socket.
    pub carries: bool,
    /// Series that were due, for the share of those that are carried.
    turn: u32,
    /// Passes until the next that is thorough.
    thorough_in: u64,
    calm: Option<Calm>,
    /// When the last pass began, in seconds since 1970.
    begun_s: Option<i64>,
    /// Series that the group at hand has made shorter.
    cuts: Vec<Cut>,
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
            carries: false,
            turn: 0,
            thorough_in: 0,
            calm: None,
            begun_s: None,
            cuts: Vec::new(),
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
        self.rouse();
    }

    /// Has the next pass look, whatever the last one has left behind.
    pub fn rouse(&mut self) {
        self.calm = None;
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
        self.rouse();
        self.ledger.begin_pass();
        let signs = self.signs()?;
        let begun_s = self.begun_s.replace(now_s).unwrap_or(now_s);
        let late_s = now_s - begun_s - namespace.interval_s;
        let place = Place {
            namespace,
            set: format!("{}unique_metrics", namespace.prefix),
            oldest_s: now_s.saturating_sub(namespace.duration_s),
            now_s,
            late_s: late_s.clamp(0, namespace.slack_s),
        };
        let size = redis::cmd("SCARD").arg(&place.set).to_owned();
        let members: u64 = size.query(&mut self.connection)?;
        let mut walk = Walk {
            place: &place,
            excluded,
            members,
            done: 0,
            left_out: 0,
        };
        let mut page = company.names(PAGE);
        while let Some(names) = page {
            let key = |name: Box<[u8]>| [namespace.prefix.as_bytes(), &name].concat();
            let keys = names.into_iter().map(key).collect();
            self.keys(&mut walk, keys, company)?;
            page = company.names(PAGE);
            if page.is_some() {
                company.go_on(walk.done, members)?;
            }
        }
        // Redis needs longer to tell the members than for all else.
        let is_thorough = self.thorough_in == 0;
        if is_thorough || walk.done < members || !self.ledger.is_all_seen() {
            self.scan(&mut walk, company)?;
        }
        let Walk { done, left_out, .. } = walk;
        let left = self.ledger.end_pass();
        self.note_calm(signs, (now_s, namespace.slack_s), done - left_out, left);
        if is_thorough {
            if !self.is_dry {
                self.clean_trims(&place)?;
            }
            self.thorough_in = THOROUGH_PASSES;
        }
        self.thorough_in -= 1;
        self.deeds.passes += 1;
        self.deeds.members = done;
        self.deeds.batch_members = left_out;
        self.deeds.last_pass_s = started.elapsed().as_secs_f64();
        Ok(())
    }

    /// Looks at all members that the pass has not seen.
    fn scan(&mut self, walk: &mut Walk<'_>, company: &mut dyn Company) -> Result<(), PassError> {
        // These come again, since nobody has looked at them.
        walk.done -= std::mem::take(&mut walk.left_out);
        let mut cursor = 0u64;
        loop {
            let scan = redis::cmd("SSCAN")
                .arg(&walk.place.set)
                .arg(cursor)
                .arg("COUNT")
                .arg(SCAN_PAGE)
                .query(&mut self.connection)?;
            let (next, keys): (u64, Vec<Vec<u8>>) = scan;
            self.keys(walk, keys, company)?;
            cursor = next;
            if cursor == 0 {
                return Ok(());
            }
            company.go_on(walk.done, walk.members)?;
        }
    }

    /// Looks at those of these series that the pass has not seen.
    fn keys(
        &mut self,
        walk: &mut Walk<'_>,
        mut keys: Vec<Vec<u8>>,
        company: &mut dyn Company,
    ) -> Result<(), PassError> {
        // While the set is rehashed a member may come twice.
        keys.sort_unstable();
        keys.dedup();
        keys.retain(|key| !self.ledger.is_seen(key));
        for page in keys.chunks(PAGE) {
            let due = page.iter().filter(|key| !walk.excluded.contains(*key));
            let due: Vec<&[u8]> = due.map(Vec::as_slice).collect();
            walk.left_out += (page.len() - due.len()) as u64;
            self.page(walk.place, &due, (walk.done, walk.members), company)?;
            walk.done += page.len() as u64;
        }
        Ok(())
    }

    /// Looks at series, of which `done` of about `members` were before them.
    fn page(
        &mut self,
        place: &Place<'_>,
        keys: &[&[u8]],
        (done, members): (u64, u64),
        company: &mut dyn Company,
    ) -> Result<(), PassError> {
        let prefix = place.namespace.prefix.as_bytes();
        // No metric has the empty name: of what is outside of the namespace nobody
        // can tell anything.
        let name = |key: &&[u8]| Box::from(key.strip_prefix(prefix).unwrap_or_default());
        let tidings = company.tidings(keys.iter().map(name).collect());
        let mut tasks = Vec::new();
        for (key, tidings) in keys.iter().zip(tidings) {
            if let Some(reason) = self.reason(place, key, tidings) {
                tasks.push(Task::new(key, reason));
            }
        }
        self.deeds.looked_at += tasks.len() as u64;
        let all = tasks.len();
        let mut changes = Changes::new(self.scripts.clone(), &place.set);
        while !(tasks.is_empty() && changes.is_empty()) {
            // The longer a series is watched, the likelier is it that somebody writes to
            // it: then there is no pause, and further looks travel with the changes.
            let group = if changes.is_empty() || changes.is_watching {
                take_group(&mut tasks)
            } else {
                Vec::new()
            };
            let result = self.trip(place, changes, group, &mut tasks);
            if !self.cuts.is_empty() {
                company.note_cuts(std::mem::take(&mut self.cuts));
            }
            changes = result?;
            if changes.is_empty() && !tasks.is_empty() {
                let part = all.saturating_sub(tasks.len()) * keys.len() / all.max(1);
                company.go_on(done + part as u64, members)?;
            }
        }
        Ok(())
    }

    fn reason(&mut self, place: &Place<'_>, key: &[u8], tidings: Tidings) -> Option<Reason> {
        let Some(known) = self.ledger.see(key) else {
            return Some(Reason::Unknown);
        };
        // It is told once. Of a series that comes another way nobody would tell us.
        known.is_doubtful |= tidings.is_doubtful || !tidings.is_fed;
        if place.is_due(known.due_s) {
            let bytes = known.newest_at;
            return Some(if self.is_carried(bytes) {
                Reason::Carried
            } else {
                Reason::Due(FRONT_BYTES)
            });
        }
        known.is_doubtful.then_some(Reason::Doubt)
    }

    /// Whether the change of a series of about so many bytes, which is due, is carried.
    fn is_carried(&mut self, bytes: u32) -> bool {
        self.turn = self.turn.wrapping_add(1);
        self.carries && bytes <= CARRIED_BYTES_MAX && self.turn % CARRIED_OF < CARRIED
    }

    fn load_scripts(&mut self) -> RedisResult<()> {
        if !self.is_dry {
            self.scripts = Arc::new(Scripts::load(&mut self.connection)?);
        }
        Ok(())
    }
}

/// The series that are looked at next with one round trip: a long one alone.
fn take_group<'m>(tasks: &mut Vec<Task<'m>>) -> Vec<Task<'m>> {
    let mut weight = 0;
    let together = tasks.iter().take_while(|task| {
        weight += task.weight();
        weight <= GROUP
    });
    let count = together.count().max(1).min(tasks.len());
    tasks.drain(..count).collect()
}

/// Whether an error is due to what stands under one key, and not to the state that
/// Redis is in.
fn is_about_the_key(error: &RedisError) -> bool {
    matches!(error.code(), Some("WRONGTYPE" | "ERR"))
}
