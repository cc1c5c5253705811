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

mod once;
pub mod pass;
pub mod trim;

pub use once::trim_once;

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use redis::{Connection, RedisResult};
use serde::Serialize;

use crate::admit::Tidings;
use crate::connection::LOG_PERIOD;
use crate::host;
use crate::logging::{Throttle, printable};
use crate::server::Handle;
use crate::settings::{RedisUrl, Settings};
use pass::{Company, Deeds, Namespace, PassError, Trimmer};

/// The part of an interval over which a pass is spread.
const SPREAD: f64 = 0.8;
/// How long it waits for points that wait for Redis, before it looks again.
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
    /// Quantiles of its round trips to Redis, in microseconds.
    pub trip_p50_us: u64,
    /// The same.
    pub trip_p99_us: u64,
    /// Memory of what it knows of the series.
    pub ledger_bytes: usize,
    /// What is wrong, if anything is.
    pub error: String,
}

/// A running Roomba. Dropping it stops it.
pub struct Roomba {
    stop: Sender<()>,
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
        let (stop, stopped) = bounded(1);
        let thread = std::thread::Builder::new()
            .name("skyring-roomba".to_owned())
            .spawn(move || {
                run(&Beside {
                    handle,
                    url,
                    status,
                    stopped,
                });
            })?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Roomba {
    /// Has it end soon; to drop it waits for that.
    pub fn stop(&self) {
        let _ = self.stop.try_send(());
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
        // The next look comes within two intervals: a pass may be late.
        slack_s: (grace_s - 2 * interval_s).max(0),
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
    let set = format!("{}unique_metrics", settings.redis.namespace);
    let members: u64 = redis::cmd("SCARD").arg(set).query(connection)?;
    if keys.len() as u64 >= members {
        // It would leave nothing to trim, which cannot be meant.
        keys.clear();
    }
    Ok(keys)
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
    stopped: Receiver<()>,
}

impl Beside {
    /// Waits; false if it is to stop.
    fn wait(&self, time: Duration) -> bool {
        self.stopped.recv_timeout(time) == Err(RecvTimeoutError::Timeout)
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
    loop {
        let started = Instant::now();
        let settings = beside.handle.settings();
        let interval = Duration::from_secs(settings.roomba.interval_s.into());
        beside.note(|status| status.enabled = settings.roomba.enabled);
        if settings.roomba.enabled {
            match round(beside, &settings, &mut trimmers, is_connected) {
                Ok(()) => {
                    is_connected = true;
                    beside.note(|status| status.error.clear());
                }
                Err(PassError::Stopped) => return,
                Err(PassError::Redis(error)) => {
                    is_connected = false;
                    let text = printable(&error.to_string()).into_owned();
                    static BRAKE: Throttle = Throttle::new(LOG_PERIOD);
                    if let Some(suppressed) = BRAKE.admit() {
                        tracing::warn!(error = text, suppressed, "series are not trimmed for now");
                    }
                    beside.note(|status| status.error = text);
                }
            }
        }
        show(beside, &trimmers);
        let rest = interval.saturating_sub(started.elapsed());
        if !beside.wait(rest.max(WAIT_MIN)) {
            return;
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
    let share = 1.0 / namespaces.len() as f64;
    for namespace in namespaces {
        let at = trimmers
            .iter()
            .position(|(known, _)| known.prefix == namespace.prefix);
        let at = match at {
            Some(at) => {
                if !is_connected {
                    trimmers[at]
                        .1
                        .reconnect(host::connect_redis(&beside.url)?)?;
                }
                at
            }
            None => {
                let trimmer = Trimmer::new(host::connect_redis(&beside.url)?, false)?;
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
        let excluded = batch_keys(&mut host::connect_redis(&beside.url)?, settings)?;
        let interval = Duration::from_secs(settings.roomba.interval_s.into());
        let mut company = Shards {
            beside,
            started: Instant::now(),
            spread: interval.mul_f64(SPREAD * share),
            is_fed_here: namespace.prefix == settings.redis.namespace,
        };
        trimmer.pass(&namespace, &excluded, now_s(), &mut company)?;
        let deeds = &trimmer.deeds;
        tracing::debug!(
            namespace = namespace.prefix,
            members = deeds.members,
            looked_at = deeds.looked_at,
            cut = deeds.cut,
            mended = deeds.mended,
            removed = deeds.removed,
            ghosts = deeds.ghosts,
            conflicts = deeds.conflicts,
            seconds = deeds.last_pass_s,
            "a pass has ended; the counts are sums over all passes"
        );
    }
    Ok(())
}

fn show(beside: &Beside, trimmers: &[(Namespace, Trimmer)]) {
    beside.note(|status| {
        let Some((_, first)) = trimmers.first() else {
            return;
        };
        status.deeds = first.deeds.clone();
        status.ledger_bytes = first.ledger_bytes();
        status.trip_p50_us = first.trip_us.value_at_quantile(0.5);
        status.trip_p99_us = first.trip_us.value_at_quantile(0.99);
        for (_, mini) in &trimmers[1..] {
            status.deeds += &mini.deeds;
            status.ledger_bytes += mini.ledger_bytes();
        }
    });
}

/// The shards, who know what they have appended, and how they fare.
struct Shards<'b> {
    beside: &'b Beside,
    started: Instant,
    spread: Duration,
    /// Whether the shards write the series in question.
    is_fed_here: bool,
}

impl Company for Shards<'_> {
    fn tidings(&mut self, names: Vec<Box<[u8]>>) -> Vec<Tidings> {
        if !self.is_fed_here {
            return vec![Tidings::default(); names.len()];
        }
        self.beside.handle.inquire(names).tidings
    }

    fn go_on(&mut self, done: u64, all: u64) -> Result<(), PassError> {
        while self.beside.handle.inquire(Vec::new()).is_behind {
            if !self.beside.wait(BEHIND) {
                return Err(PassError::Stopped);
            }
        }
        let part = done as f64 / all.max(1) as f64;
        let due = self.spread.mul_f64(part.min(1.0));
        let wait = due.saturating_sub(self.started.elapsed());
        let wait = if wait < WAIT_MIN {
            Duration::ZERO
        } else {
            wait
        };
        if self.beside.wait(wait) {
            Ok(())
        } else {
            Err(PassError::Stopped)
        }
    }
}
