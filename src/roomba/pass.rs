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

mod look;
mod make;
mod rest;
mod trims;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use hdrhistogram::Histogram;
use redis::{Connection, RedisError, RedisResult};

use super::change::Scripts;
use super::deeds::Deeds;
use super::ledger::{self, Ledger};
use crate::admit::Tidings;
pub use look::Reason;
use look::{FRONT_BYTES, Task};
use rest::Calm;

/// Members that are fetched, and asked about, together.
const PAGE: usize = 250;
/// Series that are looked at with one round trip: a longer one would hold up points.
const GROUP: usize = 8;
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

/// Where the series are of one pass.
struct Place<'p> {
    namespace: &'p Namespace,
    set: String,
    oldest_s: i64,
    now_s: i64,
}

impl Place<'_> {
    /// When a series is cut whose oldest record is of `first_s`: when that is too old,
    /// at the next of the series's own times. Those are `slack_s` apart, and other ones
    /// for each series, so that series that have begun or were looked at together are
    /// not all cut together for ever.
    fn due_s(&self, key: &[u8], first_s: i64) -> i64 {
        let Namespace {
            duration_s,
            slack_s,
            ..
        } = *self.namespace;
        let old_s = first_s.saturating_add(duration_s);
        let own = ledger::number(key).checked_rem(slack_s.unsigned_abs());
        let own_s = own.unwrap_or(0) as i64;
        let wait_s = own_s.saturating_sub(old_s).checked_rem_euclid(slack_s);
        old_s.saturating_add(wait_s.unwrap_or(0))
    }
}

/// See the module.
pub struct Trimmer {
    connection: Connection,
    scripts: Arc<Scripts>,
    ledger: Ledger,
    is_dry: bool,
    /// Passes until the record of trims is cleaned.
    clean_in: u64,
    calm: Option<Calm>,
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
            clean_in: 0,
            calm: None,
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
        let signs = self.signs()?;
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
        let left = self.ledger.end_pass();
        self.note_calm(signs, (now_s, namespace.slack_s), done - left_out, left);
        if !self.is_dry && self.clean_in == 0 {
            self.clean_trims(&place)?;
            self.clean_in = CLEAN_PASSES;
        }
        self.clean_in = self.clean_in.saturating_sub(1);
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

    fn load_scripts(&mut self) -> RedisResult<()> {
        if !self.is_dry {
            self.scripts = Arc::new(Scripts::load(&mut self.connection)?);
        }
        Ok(())
    }
}

/// Whether an error is due to what stands under one key, and not to the state that
/// Redis is in.
fn is_about_the_key(error: &RedisError) -> bool {
    matches!(error.code(), Some("WRONGTYPE" | "ERR"))
}
