//! The keys in Redis that other Skyline programs read besides the data, kept by a
//! thread of its own:
//!
//! | key | type, life | holds |
//! | --- | --- | --- |
//! | `horizon` | string, 120 s | unix seconds: this server lives and settles |
//! | `aet.horizon.metrics_received` | set | names received in the last passes, by any shard |
//! | `thunder.horizon.worker.metrics_received` | hash value, timestamp | how many, in the last pass that had any |
//! | `horizon.worker.average_queue_size` | hash value, timestamp | batches that Redis has not answered |
//! | `horizon.skip_metrics`, `horizon.do_not_skip_metrics` | hashes, name to unix seconds | how each name was judged; see `side_keys/hashes.rs` |
//! | `horizon.checked_through_skip_list` | set, 86400 s | names so judged |
//! | `horizon.shards.metrics_assigned`, `horizon.shard.metrics_dropped` | sets | with cluster shards: names that are ours, and that are not |
//! | `horizon.log.errors.per_minute` | counter, 119 s | errors logged |
//!
//! A pass takes `horizon.side_keys_s`. It reads what the shards know of their
//! metrics, page by page, spread over its time, and writes only what differs from
//! what the ledger says stands in Redis, and each name again once in
//! 60 passes. A name is never written before its points: while Redis is
//! away or a shard has points that wait for it, the pass waits or is cut short, and
//! nothing is lost by that, since the next one begins where it stood.

mod hashes;
mod ledger;
mod pending;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use redis::{Pipeline, RedisError, RedisResult};
use serde::Serialize;

use crate::admit::{CensusPage, CensusRow, MetricId};
use crate::background::{Background, Link, Stop};
use crate::logging::{self, Throttle};
use crate::rules::{Rules, SkipEdits};
use crate::server::Handle;
use crate::settings::Settings;
use crate::stats::{Counts, DropReason};

pub(crate) use hashes::SkipHashes;
use hashes::{Found, MEMBERS_MAX, PAGE_REST, RETRY, Treated, is_away};
use ledger::{Class, Known, Ledger, ROUND_PASSES};
use pending::{KeptName, Members, Named, Pending};

const HEARTBEAT: &str = "horizon";
const HEARTBEAT_S: u32 = 120;
const RECEIVED: &str = "aet.horizon.metrics_received";
const RECEIVED_COUNT: &str = "thunder.horizon.worker.metrics_received";
const QUEUE_SIZE: &str = "horizon.worker.average_queue_size";
const CHECKED: &str = "horizon.checked_through_skip_list";
const CHECKED_S: u32 = 86_400;
/// These two are indeed spelled differently.
const ASSIGNED: &str = "horizon.shards.metrics_assigned";
const DROPPED: &str = "horizon.shard.metrics_dropped";
const ERRORS: &str = "horizon.log.errors.per_minute";
const ERRORS_S: u32 = 119;

/// Names that are collected at most while their points wait for Redis.
const BEHIND_NAMES_MAX: usize = 50_000;
/// Metrics that are asked for at a time. The shard answers between two turns.
const PAGE_ROWS: usize = 500;
/// After so many passes in which nothing came at all the metrics are not looked
/// through any more, until something comes.
const QUIET_PASSES: u32 = 3;
/// Full passes after which the set of received names is rid of those that an
/// earlier process has left.
const TIDY_PASSES: u32 = 2;
/// How often it is looked whether points that were waiting for Redis have arrived.
const BEHIND_POLL: Duration = Duration::from_millis(20);

static REDIS_FAILED: Throttle = Throttle::new(Duration::from_secs(60));
static SHARD_LATE: Throttle = Throttle::new(Duration::from_secs(60));

/// What the thread that keeps the side keys counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SideKeysStatus {
    /// Passes that came to their end.
    pub passes: u64,
    /// Passes that were cut short, since Redis or a shard did not answer, or that the
    /// next one took up, since their time was over.
    pub passes_cut_short: u64,
    /// How long the last pass took; it is spread over its time on purpose.
    pub last_pass_ms: u64,
    /// Metrics received in the last pass, each once, whatever became of them.
    pub metrics_received: u64,
    /// Metrics that were received of late.
    pub metrics_known: u64,
    /// Names written to any of the keys.
    pub names_written: u64,
    /// Names removed from any of the sets.
    pub names_removed: u64,
    /// Metrics on which the skip hashes overrule the skip lists.
    pub skip_edits: u64,
    /// How often the skip hashes were read as a whole.
    pub skip_scans: u64,
    /// Failures of Redis, of any kind.
    pub redis_errors: u64,
}

/// The thread that keeps the side keys.
#[derive(Debug)]
pub struct SideKeys {
    thread: Background,
}

/// Where the thread leaves what it counts.
pub(crate) type Board = Arc<Mutex<SideKeysStatus>>;

impl SideKeys {
    /// Starts the thread. Settings are looked at anew in each pass, so it runs even
    /// if there is nothing to do yet. The skip hashes come as they were read for the
    /// first rules, or not read yet.
    ///
    /// # Errors
    ///
    /// The system's, when it gives no thread.
    pub(crate) fn start(handle: Arc<Handle>, hashes: SkipHashes) -> io::Result<Self> {
        let board = handle.boards.side_keys.clone();
        let keeper = Keeper::new(handle, board, hashes);
        let thread = Background::start("skyring-side-keys", move |stop| keeper.run(stop))?;
        Ok(Self { thread })
    }

    /// Tells the thread to end, and does not wait.
    pub fn begin_stop(&mut self) {
        self.thread.begin_stop();
    }

    /// Ends the thread.
    pub fn stop(self) {
        self.thread.stop();
    }
}

/// A copy of what stands on the board.
pub(crate) fn read(board: &Board) -> SideKeysStatus {
    board.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Whole seconds since 1970.
pub(crate) fn now_s() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}

/// Why a pass did not come to its end.
enum Cut {
    Told,
    Over,
    Late(usize),
    Redis(RedisError),
}

impl From<RedisError> for Cut {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

struct Keeper {
    handle: Arc<Handle>,
    board: Board,
    status: SideKeysStatus,
    link: Link,
    ledger: Ledger,
    hashes: SkipHashes,
    /// The shard and metric that the pass has come to.
    place: (usize, MetricId),
    pending: Pending,
    /// What the names were written under; `None` while none are written.
    under: Option<Under>,
    errors_told: u64,
    /// Points received and points done with, when last looked at.
    points: (u64, u64),
    quiet_passes: u32,
    /// Passes since names are written that went through all metrics.
    full_passes: u32,
}

/// The part of the rules that decides where names are written.
#[derive(PartialEq, Eq)]
struct Under {
    skip: Vec<String>,
    do_not_skip: Vec<String>,
    is_sharded: bool,
}

/// The time of a pass.
#[derive(Clone, Copy)]
struct Pace {
    /// When the next page is due.
    next: Instant,
    slot: Duration,
    /// When the pass is to be over.
    end: Instant,
}

impl Keeper {
    fn new(handle: Arc<Handle>, board: Board, hashes: SkipHashes) -> Self {
        Self {
            link: Link::new(handle.settings().redis_url()),
            handle,
            board,
            status: SideKeysStatus::default(),
            ledger: Ledger::new(),
            hashes,
            place: (0, 0),
            pending: Pending::default(),
            under: None,
            errors_told: 0,
            points: (0, 0),
            quiet_passes: 0,
            full_passes: 0,
        }
    }

    fn run(mut self, stop: &Stop) {
        loop {
            if self.await_hashes(stop) {
                return;
            }
            let begin = Instant::now();
            let settings = self.handle.settings();
            let period = Duration::from_secs(settings.horizon.side_keys_s.into());
            match self.pass(&settings, begin, period, stop) {
                Ok(()) => self.status.passes += 1,
                Err(Cut::Told) => return,
                Err(cut) => self.tell(&cut),
            }
            self.status.last_pass_ms = begin.elapsed().as_millis() as u64;
            self.publish();
            let rest = Instant::now() + period / 10;
            if stop.wait_until(rest.max(begin + period)) {
                return;
            }
        }
    }

    /// Reads the skip hashes as soon as Redis is there, if they never were: until
    /// then points are judged by the lists alone. True if the word to end came.
    fn await_hashes(&mut self, stop: &Stop) -> bool {
        let mut is_told = false;
        while !self.hashes.is_read() && self.handle.settings().horizon.side_keys {
            let rules = self.handle.rules();
            let lists = rules.skip_lists();
            match self.hashes.refresh(&mut self.link, lists, Some(stop)) {
                Ok(Found::Stopped) => return true,
                Ok(_) => {
                    self.hand_over_edits();
                    self.publish();
                }
                // The pass tells what else is wrong.
                Err(error) if !is_away(&error) => return false,
                Err(error) => {
                    if !std::mem::replace(&mut is_told, true) {
                        self.tell(&Cut::Redis(error));
                        self.publish();
                    }
                    if stop.wait(RETRY) {
                        return true;
                    }
                }
            }
        }
        false
    }

    fn pass(
        &mut self,
        settings: &Settings,
        begin: Instant,
        period: Duration,
        stop: &Stop,
    ) -> Result<(), Cut> {
        let writes = settings.horizon.side_keys;
        if !writes {
            self.put_away();
        }
        if !writes && !settings.self_metrics.enabled {
            return Ok(());
        }
        let counts = self.handle.counts();
        let rules = self.handle.rules();
        let is_quiet = self.look_at(&counts);
        if writes {
            self.follow(&rules);
            self.beat(&counts)?;
            let lists = rules.skip_lists();
            match self.hashes.refresh(&mut self.link, lists, Some(stop))? {
                Found::Stopped => return Err(Cut::Told),
                Found::Emptied => self.ledger.forget_written(),
                Found::Known => {}
            }
            self.hand_over_edits();
        }
        if is_quiet && self.place == (0, 0) {
            self.status.metrics_received = 0;
            return Ok(());
        }
        let pages = counts.metrics_known as usize / PAGE_ROWS + self.handle.shards();
        let mut pace = Pace {
            next: begin,
            slot: period * 9 / 10 / pages.max(1) as u32,
            end: begin + period,
        };
        self.take_census(&rules, writes, &mut pace, stop)?;
        if writes {
            self.tidy(&rules, stop)?;
        }
        self.place = (0, 0);
        let received = self.ledger.end_pass();
        self.status.metrics_received = received;
        if writes {
            self.conclude(received)?;
        }
        Ok(())
    }

    /// Whether nothing has come for some passes. Also notes how far the points are.
    fn look_at(&mut self, counts: &Counts) -> bool {
        let (received, _) = progress(counts);
        if received != self.points.0 {
            self.quiet_passes = 0;
            self.points.0 = received;
        } else {
            self.quiet_passes = self.quiet_passes.saturating_add(1);
        }
        self.quiet_passes > QUIET_PASSES
    }

    /// Writes what does not depend on names. The heartbeat says that points reach
    /// Redis, so it waits while some are under way and none arrive.
    fn beat(&mut self, counts: &Counts) -> RedisResult<()> {
        let now_s = now_s();
        let (received, done) = progress(counts);
        let is_settling = received == done || done != self.points.1;
        let mut commands = redis::pipe();
        if is_settling {
            commands
                .cmd("SETEX")
                .arg(HEARTBEAT)
                .arg(HEARTBEAT_S)
                .arg(now_s);
        }
        let batches = counts.redis.batches_in_flight + counts.redis.batches_waiting;
        put_figure(&mut commands, QUEUE_SIZE, batches, now_s);
        let errors = logging::errors();
        if errors > self.errors_told {
            let more = errors - self.errors_told;
            commands.cmd("INCRBY").arg(ERRORS).arg(more);
            commands.cmd("EXPIRE").arg(ERRORS).arg(ERRORS_S);
        }
        commands.cmd("EXISTS").arg(RECEIVED);
        let replies: Vec<redis::Value> = self.link.run(&commands)?;
        self.points.1 = done;
        self.errors_told = errors;
        if self.ledger.listed() > 0 && replies.last() == Some(&redis::Value::Int(0)) {
            // Redis was emptied, or has lost what it held.
            self.ledger.forget_written();
        }
        Ok(())
    }

    /// Takes note of rules that have changed: names may belong elsewhere now.
    fn follow(&mut self, rules: &Rules) {
        let now = Under {
            skip: rules.skip_lists().skip().to_vec(),
            do_not_skip: rules.skip_lists().do_not_skip().to_vec(),
            is_sharded: rules.is_sharded(),
        };
        if self.under.as_ref() != Some(&now) {
            self.ledger.forget_written();
            self.begin_anew();
            self.under = Some(now);
        }
    }

    /// The side keys were switched off: what they said does not count any more.
    fn put_away(&mut self) {
        if self.under.take().is_none() && !self.hashes.is_read() {
            return;
        }
        self.ledger.forget_written();
        self.begin_anew();
        self.full_passes = 0;
        if self.hashes.edits() > 0 {
            self.handle.edit_skips(SkipEdits::default());
        }
        self.hashes = SkipHashes::default();
    }

    /// Goes through all metrics of all shards, from where the last pass came to.
    fn take_census(
        &mut self,
        rules: &Rules,
        writes: bool,
        pace: &mut Pace,
        stop: &Stop,
    ) -> Result<(), Cut> {
        while self.place.0 < self.handle.shards() {
            pace.next += pace.slot;
            if stop.wait_until(pace.next.min(pace.end)) {
                return Err(Cut::Told);
            }
            // There are more metrics than there were when it began.
            if Instant::now() >= pace.end {
                return Err(Cut::Over);
            }
            let (shard, from) = self.place;
            let page = self.handle.census(shard, from, PAGE_ROWS);
            let page = page.ok_or(Cut::Late(shard))?;
            self.place = page.next.map_or((shard + 1, 0), |next| (shard, next));
            self.look_through(&page, rules, writes);
            if page.is_behind && !self.pending.is_empty() {
                self.pending.behind = Some(progress(&self.handle.counts()).0);
            }
            let names = self.pending.len();
            if names >= BEHIND_NAMES_MAX || (names >= MEMBERS_MAX && !self.is_behind()) {
                self.flush(rules, pace, stop)?;
            }
        }
        self.flush(rules, pace, stop)
    }

    /// Whether points of what was collected still wait for Redis.
    fn is_behind(&self) -> bool {
        let behind = self.pending.behind;
        behind.is_some_and(|received| progress(&self.handle.counts()).1 < received)
    }

    /// Writes what was collected, when its points are done with. If that does not
    /// come about in this pass, the next one tries again.
    fn flush(&mut self, rules: &Rules, pace: &Pace, stop: &Stop) -> Result<(), Cut> {
        while self.is_behind() {
            if Instant::now() >= pace.end {
                return Err(Cut::Over);
            }
            if stop.wait(BEHIND_POLL) {
                return Err(Cut::Told);
            }
        }
        self.pending.behind = None;
        while !self.pending.is_empty() {
            let part = self.pending.split();
            self.write(part, rules)?;
            if !self.pending.is_empty() && stop.wait(PAGE_REST) {
                return Err(Cut::Told);
            }
        }
        Ok(())
    }

    /// Enters a page in the ledger, and collects what is to be written of it.
    fn look_through(&mut self, page: &CensusPage, rules: &Rules, collects: bool) {
        let mut names = page.names.as_slice();
        for row in &page.rows {
            let Some((name, rest)) = names.split_at_checked(row.name_bytes.into()) else {
                return;
            };
            names = rest;
            let hash = self.ledger.hash(name);
            if row.is_seen {
                self.ledger.see(hash);
            }
            if let (true, Some(known)) = (collects, self.ledger.known(hash)) {
                self.collect(Named::new(name, hash), row, known, rules);
            }
        }
    }

    fn collect(&mut self, named: Named<'_>, row: &CensusRow, known: Known, rules: &Rules) {
        let is_received = self.ledger.is_received(&known);
        if !is_received {
            if known.is_listed {
                self.pending.delist.push(named.kept());
            }
            return;
        }
        let is_due = row.is_seen && self.ledger.is_due(named.hash);
        if is_due || !known.is_listed {
            self.pending.list.push(named.kept());
        }
        let class = match row.verdict {
            None => Class::Kept,
            Some(DropReason::Skipped) => Class::Skipped,
            Some(DropReason::NotMine) => Class::NotMine,
            Some(_) => return,
        };
        // A metric that went over to another shard has an old verdict in this one.
        let is_news = known.written != Some(class) && (row.is_seen || known.written.is_none());
        if !is_due && !is_news {
            return;
        }
        let treat = &mut self.pending.treat;
        let name = named.kept();
        if rules.is_sharded() {
            let is_moved = known
                .written
                .is_none_or(|former| is_ours(former) != is_ours(class));
            self.pending.shard[usize::from(is_ours(class))].push((name.clone(), is_moved));
        }
        treat.push((name, class));
    }

    /// Writes a part of what was collected, and enters it in the ledger when Redis
    /// has taken it.
    fn write(&mut self, mut pending: Pending, rules: &Rules) -> RedisResult<()> {
        // It may have come to another shard since.
        let is_gone = |name: &KeptName| {
            let known = self.ledger.known(name.hash);
            known.is_none_or(|known| !self.ledger.is_received(&known))
        };
        pending.delist.retain(is_gone);
        let checked: Vec<&KeptName> = pending
            .treat
            .iter()
            .filter(|(_, class)| is_ours(*class))
            .map(|(name, _)| name)
            .collect();
        let mut commands = Members::default();
        commands.put("SADD", RECEIVED, &pending.list);
        commands.put("SREM", RECEIVED, &pending.delist);
        commands.put("SADD", CHECKED, checked.iter().copied());
        for (names, to, from) in [
            (&pending.shard[1], ASSIGNED, DROPPED),
            (&pending.shard[0], DROPPED, ASSIGNED),
        ] {
            let moved = names.iter().filter(|(_, is_moved)| *is_moved);
            commands.put("SREM", from, moved.map(|(name, _)| name));
            commands.put("SADD", to, names.iter().map(|(name, _)| name));
        }
        self.send(commands)?;
        for (names, is_listed) in [(&pending.list, true), (&pending.delist, false)] {
            for name in names {
                self.ledger.note_listed(name.hash, is_listed);
            }
        }
        self.record(&pending.treat, rules)
    }

    fn record(&mut self, treat: &[(KeptName, Class)], rules: &Rules) -> RedisResult<()> {
        let (ours, others): (Vec<_>, Vec<_>) = treat.iter().partition(|(_, class)| is_ours(*class));
        let treated: Vec<Treated<'_>> = ours
            .iter()
            .map(|(name, class)| Treated {
                name: &name.name,
                class: *class,
            })
            .collect();
        let lists = rules.skip_lists();
        let written = self
            .hashes
            .record(&mut self.link, lists, &treated, now_s())?;
        let names = written.iter().filter(|written| **written).count();
        self.status.names_written += names as u64;
        let written = written.into_iter().chain(std::iter::repeat(true));
        for ((name, class), written) in ours.into_iter().chain(others).zip(written) {
            if written {
                self.ledger.note_written(name.hash, *class);
            }
        }
        self.hand_over_edits();
        Ok(())
    }

    fn hand_over_edits(&mut self) {
        if let Some(edits) = self.hashes.take_edits() {
            self.handle.edit_skips(edits);
        }
    }

    /// Rids the sets of names that nobody would remove otherwise: those of an
    /// earlier process, and of metrics that the shards have forgotten.
    fn tidy(&mut self, rules: &Rules, stop: &Stop) -> Result<(), Cut> {
        self.full_passes += 1;
        let is_round = self.full_passes.is_multiple_of(ROUND_PASSES);
        if self.full_passes != TIDY_PASSES && !is_round {
            return Ok(());
        }
        self.tidy_set(RECEIVED, stop, |ledger, known| ledger.is_received(known))?;
        if !is_round {
            return Ok(());
        }
        self.tidy_set(CHECKED, stop, |_, _| true)?;
        if rules.is_sharded() {
            self.tidy_set(ASSIGNED, stop, |_, known| {
                known.written != Some(Class::NotMine)
            })?;
            self.tidy_set(DROPPED, stop, |_, known| {
                !known.written.is_some_and(is_ours)
            })?;
        }
        self.ledger.purge();
        Ok(())
    }

    /// Removes members that the ledger does not know, or that do not belong there.
    fn tidy_set(
        &mut self,
        key: &'static str,
        stop: &Stop,
        belongs: fn(&Ledger, &Known) -> bool,
    ) -> Result<(), Cut> {
        let mut cursor = 0_u64;
        loop {
            let members: Vec<Vec<u8>>;
            let mut page = redis::cmd("SSCAN");
            page.arg(key).arg(cursor).arg("COUNT").arg(MEMBERS_MAX);
            (cursor, members) = self.link.query(&page)?;
            let ledger = &self.ledger;
            let foreign = members.into_iter().filter(|name| {
                let known = ledger.known(ledger.hash(name));
                known.is_none_or(|known| !belongs(ledger, &known))
            });
            let foreign: Vec<Vec<u8>> = foreign.collect();
            let mut commands = Members::default();
            commands.put("SREM", key, &foreign);
            self.send(commands)?;
            if cursor == 0 {
                return Ok(());
            }
            if stop.wait(PAGE_REST) {
                return Err(Cut::Told);
            }
        }
    }

    /// Writes what is known only at the end of a pass.
    fn conclude(&mut self, received: u64) -> RedisResult<()> {
        let mut commands = redis::pipe();
        commands.cmd("EXPIRE").arg(CHECKED).arg(CHECKED_S);
        if received > 0 {
            put_figure(&mut commands, RECEIVED_COUNT, received, now_s());
        }
        self.link.run::<Vec<redis::Value>>(&commands).map(drop)
    }

    fn send(&mut self, commands: Members) -> RedisResult<()> {
        if commands.written + commands.removed == 0 {
            return Ok(());
        }
        self.link.run::<Vec<redis::Value>>(&commands.pipeline)?;
        self.status.names_written += commands.written;
        self.status.names_removed += commands.removed;
        Ok(())
    }

    fn tell(&mut self, cut: &Cut) {
        self.status.passes_cut_short += 1;
        match cut {
            Cut::Told | Cut::Over => return,
            Cut::Late(shard) => {
                if let Some(suppressed) = SHARD_LATE.admit() {
                    tracing::warn!(suppressed, "side keys: shard {shard} does not answer");
                }
            }
            Cut::Redis(error) => {
                self.status.redis_errors += 1;
                if let Some(suppressed) = REDIS_FAILED.admit() {
                    tracing::warn!(suppressed, "side keys: Redis failed, trying again: {error}");
                }
            }
        }
        self.begin_anew();
    }

    /// Has the next pass begin at the first metric, with nothing collected.
    fn begin_anew(&mut self) {
        self.pending = Pending::default();
        self.place = (0, 0);
    }

    fn publish(&mut self) {
        self.status.metrics_known = self.ledger.len() as u64;
        self.status.skip_edits = self.hashes.edits() as u64;
        self.status.skip_scans = self.hashes.scans();
        *self.board.lock().unwrap_or_else(PoisonError::into_inner) = self.status.clone();
    }
}

/// How many points were received, and how many of them are done with.
fn progress(counts: &Counts) -> (u64, u64) {
    let sources = || counts.sources.iter();
    let received = sources().map(|source| source.received).sum();
    let done = sources().map(|source| source.stored + source.dropped_sum());
    (received, done.sum())
}

fn is_ours(class: Class) -> bool {
    class != Class::NotMine
}

/// Figures stand as a value and when it was taken, both whole numbers.
fn put_figure(commands: &mut Pipeline, key: &str, value: u64, now_s: u64) {
    commands
        .cmd("HSET")
        .arg(key)
        .arg(&[("value", value), ("timestamp", now_s)]);
}
