//! What keeps a point from being delivered twice: for each metric the newest
//! timestamp that was, in Redis and, as far as others cannot have changed it, in
//! memory.
//!
//! Redis tells this connection of every change that anybody else makes to the keys,
//! upon which what is remembered is not believed any more. Own changes are gathered
//! for a second, so that each metric costs one a second at most, and for up to ten while
//! to tell them takes long. Where Redis cannot be asked, points pass, and what is
//! delivered is told later.

mod store;
mod table;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, RedisResult};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

use super::{FluxPoint, lock};
use crate::logging::Throttle;
use crate::settings::RedisUrl;
use store::News;
pub(super) use table::bytes_max;
use table::{Table, Terms, Tried};

/// How long what Redis is to be told is gathered, ...
const GATHER: Duration = Duration::from_secs(1);
/// ... or so many times as long as it took to tell it last time: points need Redis too.
const GATHER_TIMES: u32 = 4;
/// The longest that it is gathered.
const GATHER_MAX: Duration = Duration::from_secs(10);
/// Metrics in one question to Redis, and in one change there.
const METRICS_AT_ONCE: usize = 500;
/// Pause before another attempt to connect, or to write.
const RETRY: Duration = Duration::from_secs(1);
/// How often Redis is asked anew since what it said may have changed meanwhile.
const ATTEMPTS: u32 = 3;

static FAILED: Throttle = Throttle::new(Duration::from_secs(60));

/// See the module. Clones are the same.
#[derive(Clone)]
pub(super) struct Last {
    shared: Arc<Shared>,
}

struct Shared {
    table: Mutex<Table>,
    link: watch::Sender<Link>,
    /// Points were settled.
    settled: Notify,
    /// Redis is to be told something.
    marked: Notify,
    /// It is to be told at once.
    urged: Notify,
    /// [`Table::marked`] when Redis was last told everything.
    written: watch::Sender<u64>,
    /// How long a metric's own key is kept, in seconds.
    keep_s: u32,
    unchecked: AtomicU64,
}

/// The connection to Redis.
#[derive(Clone)]
enum Link {
    /// For the first time.
    Connecting,
    Up(MultiplexedConnection),
    Down,
}

/// The last timestamps in Redis, asked for once, for a command that needs no server.
///
/// # Errors
///
/// When Redis cannot be asked.
pub(crate) async fn noted(
    redis: &mut MultiplexedConnection,
    metrics: &[&str],
) -> RedisResult<Vec<Option<i64>>> {
    store::look_up(redis, metrics).await
}

/// What became of points that asked to pass.
pub(super) struct Passed {
    /// Those that do; each of them must be settled.
    pub points: Vec<FluxPoint>,
    /// How many were received before.
    pub already_received: u64,
}

impl Last {
    /// Starts the tasks that speak to Redis.
    pub fn start(runtime: &Handle, url: RedisUrl, metrics_max: usize, keep_s: u32) -> Self {
        let last = Self {
            shared: Arc::new(Shared {
                table: Mutex::new(Table::new(metrics_max)),
                link: watch::Sender::new(Link::Connecting),
                settled: Notify::new(),
                marked: Notify::new(),
                urged: Notify::new(),
                written: watch::Sender::new(0),
                keep_s,
                unchecked: AtomicU64::new(0),
            }),
        };
        runtime.spawn(last.clone().keep_connected(url));
        runtime.spawn(last.clone().keep_written());
        last
    }

    /// Lets those points pass that are newer than the last of their metric. With
    /// `pending_counts` a point counts as received as soon as it is on its way;
    /// without, one that is there twice at once waits for the other to arrive.
    ///
    /// Nothing is awaited after points have passed: who gives up waiting leaves none
    /// behind that is never settled.
    pub async fn admit(&self, points: Vec<FluxPoint>, pending_counts: bool) -> Passed {
        let passed = self.decide(&points, pending_counts).await;
        let before = points.len();
        let mut passed = passed.into_iter();
        let mut points = points;
        points.retain(|_| passed.next().unwrap_or(true));
        Passed {
            already_received: (before - points.len()) as u64,
            points,
        }
    }

    async fn decide(&self, points: &[FluxPoint], pending_counts: bool) -> Vec<bool> {
        let mut learned = HashMap::new();
        let mut terms = Terms {
            unknown_pass: false,
            pending_counts,
        };
        let mut attempts = 0;
        let mut changes = 0;
        loop {
            let mut settled = std::pin::pin!(self.shared.settled.notified());
            // What is settled between the look and the wait must not be missed.
            settled.as_mut().enable();
            let tried = {
                let mut table = self.table();
                if table.changes() != changes && attempts < ATTEMPTS {
                    learned.clear();
                }
                changes = table.changes();
                table.admit(points, &learned, terms)
            };
            let unknown = match tried {
                Tried::Passed(passed) => return passed,
                Tried::Depends => {
                    settled.await;
                    // Much may have happened meanwhile.
                    learned.clear();
                    continue;
                }
                Tried::Unknown(unknown) => unknown,
            };
            let metrics: Vec<&str> = unknown
                .iter()
                .map(|place| &*points[*place].metric)
                .collect();
            match self.look_up(&metrics).await {
                Ok(last) => {
                    let last = last.into_iter().map(|last| last.unwrap_or(i64::MIN));
                    learned.extend(metrics.into_iter().zip(last));
                    attempts += 1;
                }
                Err(error) => {
                    report(&error);
                    let unchecked = metrics.len() as u64;
                    self.shared
                        .unchecked
                        .fetch_add(unchecked, Ordering::Relaxed);
                    terms.unknown_pass = true;
                }
            }
        }
    }

    /// Notes what became of points that were let pass: name, timestamp, value, and
    /// whether it was delivered. Points that fill gaps are not among them.
    pub fn settle<'p>(&self, points: impl Iterator<Item = (&'p str, i64, f64, bool)>) {
        let is_dirty = {
            let mut table = self.table();
            table.look_at_clock();
            for (metric, timestamp, value, is_delivered) in points {
                table.settle(metric, timestamp, value, is_delivered);
            }
            table.dirty() > 0
        };
        self.shared.settled.notify_waiters();
        if is_dirty {
            self.shared.marked.notify_one();
        }
    }

    /// Waits until Redis has been told of everything that was settled before.
    pub async fn written(&self) {
        let marked = self.table().marked();
        if self.table().dirty() == 0 && *self.shared.written.borrow() >= marked {
            return;
        }
        let mut written = self.shared.written.subscribe();
        self.shared.marked.notify_one();
        self.shared.urged.notify_one();
        // The sender lives as long as this.
        let _ = written.wait_for(|written| *written >= marked).await;
    }

    /// The last timestamp of each metric.
    pub async fn last(&self, metrics: &[&str]) -> RedisResult<Vec<Option<i64>>> {
        let known: Vec<_> = {
            let table = self.table();
            metrics.iter().map(|metric| table.known(metric)).collect()
        };
        let unknown = metrics.iter().zip(&known);
        let unknown = unknown.filter(|(_, known)| known.is_none());
        let unknown: Vec<&str> = unknown.map(|(metric, _)| *metric).collect();
        let mut asked = self.look_up(&unknown).await?.into_iter();
        let table = self.table();
        let both = metrics.iter().zip(known);
        let last = both.map(|(metric, known)| match known {
            Some(last) => last,
            None => asked.next().flatten().max(table.untold(metric)),
        });
        Ok(last.collect())
    }

    /// Points that were delivered without being compared, since Redis could not be
    /// asked.
    pub fn unchecked(&self) -> u64 {
        self.shared.unchecked.load(Ordering::Relaxed)
    }

    /// Metrics with points delivered, each once in a minute.
    pub fn delivered(&self) -> u64 {
        self.table().delivered()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        lock(&self.shared.table)
    }

    async fn look_up(&self, metrics: &[&str]) -> RedisResult<Vec<Option<i64>>> {
        let mut connection = self.connection().await?;
        let mut last = Vec::with_capacity(metrics.len());
        for metrics in metrics.chunks(METRICS_AT_ONCE) {
            last.extend(store::look_up(&mut connection, metrics).await?);
        }
        Ok(last)
    }

    /// The connection to Redis.
    pub async fn connection(&self) -> RedisResult<MultiplexedConnection> {
        let mut link = self.shared.link.subscribe();
        let link = link.wait_for(|link| !matches!(link, Link::Connecting));
        match link.await.as_deref() {
            Ok(Link::Up(connection)) => Ok(connection.clone()),
            _ => Err((ErrorKind::Io, "not connected to Redis").into()),
        }
    }

    /// Connects, and connects again whenever the connection is gone.
    async fn keep_connected(self, url: RedisUrl) {
        loop {
            let gone = Arc::new(Notify::new());
            let (listener, told) = (Arc::downgrade(&self.shared), gone.clone());
            let listen = move |news| {
                if news == News::Gone {
                    told.notify_one();
                }
                if let Some(shared) = listener.upgrade() {
                    let mut table = lock(&shared.table);
                    match news {
                        News::Changed(metric) => table.forget(&metric),
                        News::AllChanged => table.forget_all(),
                        News::Emptied => table.empty(),
                        News::Gone => table.set_keeps(false),
                    }
                }
            };
            match store::connect(&url, listen).await {
                Ok((connection, tracking)) => {
                    if let Err(error) = &tracking {
                        tracing::warn!(%error, "Redis does not tell of changes to flux.last.*, so each request asks for them");
                    }
                    self.table().set_keeps(tracking.is_ok());
                    self.shared.link.send_replace(Link::Up(connection));
                    gone.notified().await;
                }
                Err(error) => report(&error),
            }
            self.table().set_keeps(false);
            self.shared.link.send_replace(Link::Down);
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Tells Redis what is to be told, a second after there is something, or some more if
    /// that is much.
    async fn keep_written(self) {
        let mut pause = GATHER;
        loop {
            self.shared.marked.notified().await;
            let _ = tokio::time::timeout(pause, self.shared.urged.notified()).await;
            let mut begun = Instant::now();
            while let Err(error) = self.write().await {
                report(&error);
                tokio::time::sleep(RETRY).await;
                begun = Instant::now();
            }
            pause = (begun.elapsed() * GATHER_TIMES).clamp(GATHER, GATHER_MAX);
            // What is settled of a metric that is just being told says nothing.
            if self.table().dirty() > 0 {
                self.shared.marked.notify_one();
            }
        }
    }

    /// Tells Redis what is to be told now. What comes meanwhile stands behind that, and
    /// is gathered for the next time: metrics that always have something new would else
    /// be written without a pause.
    async fn write(&self) -> RedisResult<()> {
        let (marked, mut left) = {
            let table = self.table();
            (table.marked(), table.dirty())
        };
        while left > 0 {
            let metrics = left.min(METRICS_AT_ONCE);
            left -= metrics;
            let marks = self.table().take_dirty(metrics);
            if marks.is_empty() {
                continue;
            }
            let written = match self.connection().await {
                Ok(mut connection) => {
                    store::write(&mut connection, &marks, self.shared.keep_s).await
                }
                Err(error) => Err(error),
            };
            match written {
                Ok(true) => self.table().note_written(marks),
                Ok(false) => {
                    self.give_back(marks);
                    return Err((ErrorKind::Io, "others write flux.last.* all the time").into());
                }
                Err(error) => {
                    self.give_back(marks);
                    return Err(error);
                }
            }
        }
        self.shared.written.send_replace(marked);
        Ok(())
    }

    fn give_back(&self, marks: Vec<table::Mark>) {
        let given_up = self.table().give_back(marks);
        if given_up > 0 {
            tracing::warn!(
                given_up,
                "last timestamps that Redis could not be told are forgotten: flux.last_metrics_max wait already"
            );
        }
    }
}

fn report(error: &redis::RedisError) {
    if let Some(suppressed) = FAILED.admit() {
        tracing::warn!(%error, suppressed, "the last timestamps of flux.last.* cannot be read or written: points are taken without looking for duplicates");
    }
}
