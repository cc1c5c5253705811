//! Roomba: keeps each series in Redis at its length, in order, and without
//! duplicates, while other programs read and write it.
//!
//! | step | where | what |
//! | --- | --- | --- |
//! | look | [`pass`] | at little, and only where there is a reason |
//! | decide | [`trim`] | what a series, or its end, becomes |
//! | change | the scripts beside [`pass`] | only what still is as it was read |
//!
//! It runs on a thread of its own, spreads its work over `roomba.interval_s`, and
//! waits while points wait for Redis.

pub mod change;
pub mod deeds;
pub mod ledger;
mod once;
pub mod pass;
pub mod trim;

pub use once::trim_once;

use std::collections::HashSet;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, Sender, bounded};
use hdrhistogram::Histogram;
use redis::{Connection, RedisResult};
use serde::Serialize;

use crate::admit::{Cut, MetricId, Tidings};
use crate::connection::LOG_PERIOD;
use crate::host;
use crate::logging::{Throttle, printable};
use crate::server::Handle;
use crate::settings::{RedisAddress, RedisUrl, Settings};
use crate::status::LatencyBuckets;
use deeds::Deeds;
use pass::{Company, Namespace, PassError, Trimmer};

/// The part of an interval over which a pass is spread.
const SPREAD: f64 = 0.8;
/// The part of an interval for which a pass waits for points that wait for Redis: the
/// rest. A server that is never idle would otherwise never trim.
const PATIENCE: f64 = 1.0 - SPREAD;
/// How long it waits for them before it looks again.
const BEHIND: Duration = Duration::from_millis(100);
/// Shorter waits are saved up.
const WAIT_MIN: Duration = Duration::from_millis(5);
/// Members of a set that are fetched together.
const SET_PAGE: usize = 500;
/// Where Skyline keeps which metrics are left to batch processing, and whether any
/// are.
const BATCH_NAMESPACES: &str = "metrics_manager.batch_processing_namespaces";
const BATCH_METRICS: [&str; 2] = [
    "analyzer.batch_processing_metrics",
    "aet.analyzer.batch_processing_metrics",
];

/// What `/api/status` shows of it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RoombaStatus {
    /// Whether it is on.
    pub enabled: bool,
    /// What it has done.
    #[serde(flatten)]
    pub deeds: Deeds,
    /// When the last pass ended, in seconds since 1970; 0 if none has.
    pub last_pass_ended_s: i64,
    /// Its round trips to Redis for groups of series.
    pub trips: u64,
    /// Quantiles of these, in microseconds.
    pub trip_p50_us: u64,
    /// The same.
    pub trip_p99_us: u64,
    /// The same.
    pub trip_max_us: u64,
    /// All of these, counted by upper bounds.
    #[serde(skip)]
    pub trip_buckets: LatencyBuckets,
    /// Memory of what it knows of the series.
    pub ledger_bytes: usize,
    /// What is wrong, if anything is.
    pub error: String,
}

/// A running Roomba. Dropping it stops it.
pub struct Roomba {
    is_stopped: Arc<AtomicBool>,
    bell: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Roomba {
    /// Starts it beside a server; `status` is kept current.
    ///
    /// # Errors
    ///
    /// When the thread cannot be started.
    pub fn start(
        handle: Arc<Handle>,
        url: RedisUrl,
        status: Arc<Mutex<RoombaStatus>>,
    ) -> io::Result<Self> {
        let is_stopped = Arc::new(AtomicBool::new(false));
        let (bell, rung) = bounded(1);
        let beside = Beside {
            handle,
            url,
            status,
            is_stopped: is_stopped.clone(),
            rung,
        };
        let thread = std::thread::Builder::new()
            .name("skyring-roomba".to_owned())
            .spawn(move || run(&beside))?;
        Ok(Self {
            is_stopped,
            bell,
            thread: Some(thread),
        })
    }

    /// Has it take up changed settings now.
    pub fn wake(&self) {
        // If the bell is full, it will wake for that.
        let _ = self.bell.try_send(());
    }

    /// Has it end soon; to drop it waits for that.
    pub fn stop(&self) {
        self.is_stopped.store(true, Ordering::Release);
        self.wake();
    }
}

impl Drop for Roomba {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            // It waits for an answer of Redis at the longest.
            let _ = thread.join();
        }
    }
}

/// The series that are trimmed under these settings.
pub fn namespaces(settings: &Settings) -> Vec<Namespace> {
    let roomba = &settings.roomba;
    let (grace_s, interval_s) = (i64::from(roomba.grace_s), i64::from(roomba.interval_s));
    let namespace = |prefix: &str, full_s: u32| Namespace {
        prefix: prefix.to_owned(),
        duration_s: i64::from(full_s) + grace_s,
        // The next look comes an interval later, or a little more.
        slack_s: (grace_s - interval_s - interval_s / 8).max(0),
        interval_s,
        quarantine_s: roomba.quarantine_s,
    };
    let mut namespaces = vec![namespace(
        &settings.redis.namespace,
        settings.redis.full_duration_s,
    )];
    if let Some(mini) = &roomba.mini_namespace {
        namespaces.push(namespace(mini, roomba.mini_duration_s));
    }
    namespaces
}

/// The keys that are left to batch processing: none unless the settings say so and
/// namespaces of it exist.
///
/// # Errors
///
/// When Redis is away, or refuses.
pub fn batch_keys(
    connection: &mut Connection,
    settings: &Settings,
) -> RedisResult<HashSet<Vec<u8>>> {
    let mut keys = HashSet::new();
    if !settings.roomba.skip_batch {
        return Ok(keys);
    }
    let in_redis: u64 = redis::cmd("SCARD")
        .arg(BATCH_NAMESPACES)
        .query(connection)?;
    if in_redis == 0 && settings.batch.namespaces.is_empty() {
        return Ok(keys);
    }
    let prefix = settings.redis.namespace.as_bytes();
    for set in BATCH_METRICS {
        let mut cursor = 0u64;
        loop {
            let scan = redis::cmd("SSCAN")
                .arg(set)
                .arg(cursor)
                .arg("COUNT")
                .arg(SET_PAGE)
                .query(connection)?;
            let (next, names): (u64, Vec<Vec<u8>>) = scan;
            keys.extend(names.iter().map(|name| [prefix, name].concat()));
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
    }
    if leaves_nothing(connection, &settings.redis.namespace, &keys)? {
        // That cannot be meant.
        keys.clear();
    }
    Ok(keys)
}

/// Whether every member of the set of metrics is among these keys.
fn leaves_nothing(
    connection: &mut Connection,
    namespace: &str,
    keys: &HashSet<Vec<u8>>,
) -> RedisResult<bool> {
    let set = format!("{namespace}unique_metrics");
    let mut cursor = 0u64;
    loop {
        let scan = redis::cmd("SSCAN")
            .arg(&set)
            .arg(cursor)
            .arg("COUNT")
            .arg(SET_PAGE)
            .query(connection)?;
        let (next, members): (u64, Vec<Vec<u8>>) = scan;
        if !members.iter().all(|member| keys.contains(member)) {
            return Ok(false);
        }
        cursor = next;
        if cursor == 0 {
            return Ok(true);
        }
    }
}

/// Seconds since 1970.
pub fn now_s() -> i64 {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH);
    unix.map_or(0, |since| since.as_secs() as i64)
}

/// What the thread has around it.
struct Beside {
    handle: Arc<Handle>,
    url: RedisUrl,
    status: Arc<Mutex<RoombaStatus>>,
    is_stopped: Arc<AtomicBool>,
    rung: Receiver<()>,
}

impl Beside {
    /// Waits for so long at the most; false if it is to stop.
    fn wait(&self, time: Duration) -> bool {
        if !self.is_stopped() {
            // It may be rung for, or not: who asked looks for the reason.
            let _ = self.rung.recv_timeout(time);
        }
        !self.is_stopped()
    }

    fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Acquire)
    }

    /// Whether what a pass was made under is not in force any more.
    fn has_changed(&self, settings: &Settings) -> bool {
        let now = self.handle.settings();
        now.roomba != settings.roomba
            || now.redis.full_duration_s != settings.redis.full_duration_s
            || now.batch != settings.batch
    }

    fn note(&self, change: impl FnOnce(&mut RoombaStatus)) {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut status);
    }
}

fn run(beside: &Beside) {
    // One for each namespace, since each has a ledger of its own.
    let mut trimmers: Vec<(Namespace, Trimmer)> = Vec::new();
    let mut is_connected = false;
    let mut made_under: Option<Arc<Settings>> = None;
    loop {
        let started = Instant::now();
        let settings = beside.handle.settings();
        if made_under.is_none_or(|before| beside.has_changed(&before)) {
            trimmers.iter_mut().for_each(|(_, trimmer)| trimmer.rouse());
        }
        made_under = Some(settings.clone());
        beside.note(|status| status.enabled = settings.roomba.enabled);
        if settings.roomba.enabled {
            let result = round(beside, &settings, &mut trimmers, is_connected);
            is_connected = !matches!(result, Err(PassError::Redis(_)));
            conclude(beside, result);
        }
        show(beside, &trimmers);
        // Also after a pass that was late something else may be asked for.
        let mut is_wanted = beside.wait(WAIT_MIN);
        while is_wanted && !beside.has_changed(&settings) {
            let interval = Duration::from_secs(settings.roomba.interval_s.into());
            let rest = interval.saturating_sub(started.elapsed());
            if rest.is_zero() {
                break;
            }
            is_wanted = beside.wait(rest);
        }
        if !is_wanted {
            return;
        }
    }
}

/// Tells how a pass has ended.
fn conclude(beside: &Beside, result: Result<(), PassError>) {
    match result {
        Ok(()) => beside.note(|status| {
            status.error.clear();
            status.last_pass_ended_s = now_s();
        }),
        Err(PassError::Stopped | PassError::Reloaded) => {}
        Err(PassError::Redis(error)) => {
            let text = printable(&error.to_string()).into_owned();
            static BRAKE: Throttle = Throttle::new(LOG_PERIOD);
            if let Some(suppressed) = BRAKE.admit() {
                tracing::warn!(error = text, suppressed, "series are not trimmed for now");
            }
            beside.note(|status| status.error = text);
        }
    }
}

/// One pass over each namespace.
fn round(
    beside: &Beside,
    settings: &Settings,
    trimmers: &mut Vec<(Namespace, Trimmer)>,
    is_connected: bool,
) -> Result<(), PassError> {
    let namespaces = namespaces(settings);
    trimmers.retain(|(known, _)| namespaces.iter().any(|new| new.prefix == known.prefix));
    if !is_connected {
        for (_, trimmer) in trimmers.iter_mut() {
            trimmer.reconnect(host::connect_redis(&beside.url)?)?;
        }
    }
    let share = 1.0 / namespaces.len() as f64;
    for namespace in namespaces {
        let at = trimmers
            .iter()
            .position(|(known, _)| known.prefix == namespace.prefix);
        let at = match at {
            Some(at) => at,
            None => {
                let mut trimmer = Trimmer::new(host::connect_redis(&beside.url)?, false)?;
                // Between hosts, or through a tunnel, bytes count for more.
                trimmer.carries = matches!(beside.url.address, RedisAddress::Unix(_));
                trimmers.push((namespace.clone(), trimmer));
                trimmers.len() - 1
            }
        };
        let (known, trimmer) = &mut trimmers[at];
        if *known != namespace {
            // When a series is due is another question now.
            trimmer.forget();
            *known = namespace.clone();
        }
        if trimmer.may_rest(now_s())? {
            continue;
        }
        let before = trimmer.deeds.clone();
        let excluded = batch_keys(trimmer.connection(), settings)?;
        let interval = Duration::from_secs(settings.roomba.interval_s.into());
        let mut company = Shards {
            beside,
            settings,
            started: Instant::now(),
            spread: interval.mul_f64(SPREAD * share),
            patience: interval.mul_f64(PATIENCE * share),
            is_fed_here: namespace.prefix == settings.redis.namespace,
            shard: 0,
            from: 0,
        };
        trimmer.pass(&namespace, &excluded, now_s(), &mut company)?;
        tell(&namespace, &before, &trimmer.deeds);
    }
    Ok(())
}

/// Tells the figures of a pass that Skyline's Roomba tells of its own.
fn tell(namespace: &Namespace, before: &Deeds, after: &Deeds) {
    let done = |count: fn(&Deeds) -> u64| count(after) - count(before);
    let (removed, ghosts) = (done(|it| it.removed), done(|it| it.ghosts));
    tracing::debug!(
        namespace = namespace.prefix,
        keyspace = after.members,
        operated_on = done(|it| it.looked_at),
        blocked = done(|it| it.conflicts),
        euthanized = removed,
        ghosts,
        active = after.members.saturating_sub(removed + ghosts),
        trimmed = done(|it| it.cut + it.mended),
        quarantined = done(|it| it.quarantined),
        refused = done(|it| it.refused),
        bytes_before = done(|it| it.bytes_before),
        bytes_after = done(|it| it.bytes_after),
        redis_us = done(|it| it.redis_us),
        seconds = after.last_pass_s,
        "a pass over all series has ended"
    );
}

fn show(beside: &Beside, trimmers: &[(Namespace, Trimmer)]) {
    let Some((_, first)) = trimmers.first() else {
        return;
    };
    let mut deeds = first.deeds.clone();
    let mut trip_us: Histogram<u64> = first.trip_us.clone();
    let mut ledger_bytes = first.ledger_bytes();
    for (_, other) in &trimmers[1..] {
        deeds += &other.deeds;
        ledger_bytes += other.ledger_bytes();
        // Both have the same bounds, so that this cannot fail.
        let _ = trip_us.add(&other.trip_us);
    }
    beside.note(|status| {
        status.deeds = deeds;
        status.ledger_bytes = ledger_bytes;
        status.trips = trip_us.len();
        status.trip_p50_us = trip_us.value_at_quantile(0.5);
        status.trip_p99_us = trip_us.value_at_quantile(0.99);
        status.trip_max_us = trip_us.max();
        status.trip_buckets = LatencyBuckets::new(&trip_us);
    });
}

/// The shards, who know what they have appended, and how they fare.
struct Shards<'b> {
    beside: &'b Beside,
    /// Those that the pass is made under.
    settings: &'b Settings,
    started: Instant,
    /// Over how long the pass is spread.
    spread: Duration,
    /// How long it still waits for points that wait for Redis.
    patience: Duration,
    /// Whether the shards write the series in question.
    is_fed_here: bool,
    /// The shard that tells the next names, and from which of its metrics on.
    shard: usize,
    from: MetricId,
}

impl Company for Shards<'_> {
    fn names(&mut self, count: usize) -> Option<Vec<Box<[u8]>>> {
        let handle = &self.beside.handle;
        while self.is_fed_here && self.shard < handle.shards() {
            // Those of a shard that is late are found among the members.
            let page = handle.members(self.shard, self.from, count);
            let page = page.unwrap_or_default();
            self.from = page.next.unwrap_or(0);
            self.shard += usize::from(page.next.is_none());
            if !page.names.is_empty() {
                return Some(page.names);
            }
        }
        None
    }

    fn tidings(&mut self, names: Vec<Box<[u8]>>) -> Vec<Tidings> {
        if !self.is_fed_here {
            return vec![Tidings::default(); names.len()];
        }
        self.beside.handle.inquire(names).tidings
    }

    fn note_cuts(&mut self, cuts: Vec<Cut>) {
        if self.is_fed_here {
            self.beside.handle.note_cuts(cuts);
        }
    }

    fn go_on(&mut self, done: u64, all: u64) -> Result<(), PassError> {
        while !self.patience.is_zero() {
            // A shard that has much to do is also slow to say so.
            let asked = Instant::now();
            if !self.beside.handle.inquire(Vec::new()).is_behind {
                break;
            }
            self.wait(BEHIND)?;
            self.patience = self.patience.saturating_sub(asked.elapsed());
        }
        let part = done as f64 / all.max(1) as f64;
        let due = self.spread.mul_f64(part.min(1.0));
        let wait = due.saturating_sub(self.started.elapsed());
        self.wait(if wait < WAIT_MIN {
            Duration::ZERO
        } else {
            wait
        })
    }
}

impl Shards<'_> {
    fn wait(&self, time: Duration) -> Result<(), PassError> {
        if !self.beside.wait(time) {
            return Err(PassError::Stopped);
        }
        if self.beside.has_changed(self.settings) {
            return Err(PassError::Reloaded);
        }
        Ok(())
    }
}
