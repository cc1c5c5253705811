//! The one way in for points that do not come through a listener of the data plane.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tokio::runtime::Handle as Runtime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, timeout_at};

use super::aggregate::Aggregator;
use super::carbon::Carbon;
use super::direct::{Arrived, Direct};
use super::fill::Filler;
use super::last::{Last, Passed};
use super::lock;
use super::names::Names;
use super::status::FluxStatus;
use crate::point::Number;
use crate::server::Handle;
use crate::settings::{FluxSettings, Settings};
use crate::shard::OwnedPoint;
use crate::stats::DropReason;

/// What points on their way hold is counted in pieces of this many bytes.
const PIECE_BYTES: usize = 64;
/// What a point holds besides its name, in bytes.
const POINT_BYTES: usize = 192;
/// When it is worth trying again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Of points that are all delivered.
const ALL: Arrived<'static> = Arrived::Settled(&[]);

/// A point that was checked.
#[derive(Clone, Debug, PartialEq)]
pub struct FluxPoint {
    /// The metric's name, with its prefix: the operator's rules are still to be followed,
    /// unless it is one that Flux itself has made.
    pub metric: String,
    /// Seconds since 1970.
    pub timestamp: i64,
    /// The value, finite.
    pub value: f64,
    /// Whether it fills a gap: it is then not compared with the last timestamp, and
    /// does not become the last.
    pub fill: bool,
}

/// Who hands points over; each is counted by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Origin {
    MetricData,
    MetricDataPost,
    Populate,
    Upload,
    Aggregate,
    Fill,
    Vista,
}

impl Origin {
    /// Whether its points are compared with the last of their metrics, whatever
    /// `flux.check_last_timestamp` says.
    fn is_always_checked(self) -> bool {
        matches!(self, Self::Vista | Self::Populate)
    }

    /// Whether its points have the names under which they are stored: they were made
    /// of points that had them.
    fn is_named(self) -> bool {
        matches!(self, Self::Aggregate | Self::Fill)
    }

    /// Whether `flux.aggregate` is meant for its points: not for history, nor for what
    /// is fetched at a frequency of its own.
    fn is_aggregated(self) -> bool {
        matches!(self, Self::MetricData | Self::MetricDataPost)
    }
}

/// What became of points that were handed over together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Points that were delivered, or taken for delivery where nobody waits for it.
    pub taken: u64,
    /// Points not newer than the last of their metric.
    pub already_received: u64,
    /// Points of metrics that the skip lists or a rule of the operator leave out.
    pub skipped: u64,
    /// Points older than `redis.full_duration_s`, where they go to the data plane.
    pub too_old: u64,
    /// Points that the data plane or Redis does not take for another reason.
    pub refused: u64,
}

/// Why points were not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// What is on its way fills all the room there is; nothing was taken.
    #[error("full: try again in {} s", .retry_after.as_secs())]
    Full {
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// Redis is away or refuses commands; nothing was taken.
    #[error("redis takes nothing now: try again in {} s", .retry_after.as_secs())]
    Away {
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// Redis, or carbon, has not answered in time: the points may arrive yet. Those
    /// that do are known when they are handed over once more.
    #[error("not delivered in time: try again in {} s", .retry_after.as_secs())]
    Late {
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// The server is ending; nothing was taken.
    #[error("the server is ending")]
    Stopping,
}

impl Unavailable {
    /// When it is worth trying again; `None` if it never is.
    pub fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Full { retry_after }
            | Self::Away { retry_after }
            | Self::Late { retry_after } => Some(retry_after),
            Self::Stopping => None,
        }
    }
}

/// The way in. Clones are the same way.
#[derive(Clone)]
pub struct Intake {
    shared: Arc<Shared>,
}

struct Shared {
    handle: Arc<Handle>,
    names: Names,
    last: Last,
    aggregator: Arc<Aggregator>,
    filler: Arc<Filler>,
    route: Route,
    /// Pieces of memory for points on their way to the data plane.
    room: Arc<Semaphore>,
    pieces: u32,
    wait_s: AtomicU32,
    checks: AtomicBool,
    is_stopping: AtomicBool,
    counts: Arc<Counts>,
}

enum Route {
    Direct(Direct),
    Carbon(Arc<Carbon>),
}

#[derive(Default)]
struct Counts {
    on_the_way: AtomicU64,
    delivered: AtomicU64,
    already_received: AtomicU64,
    dropped: Mutex<BTreeMap<&'static str, u64>>,
}

/// What has become of a part of the points that were handed over.
#[derive(Clone, Copy)]
enum Part {
    Settled(Receipt),
    Ended,
}

impl Intake {
    /// A way to carbon, if there is one, or else to the data plane.
    pub(super) fn start(
        runtime: &Runtime,
        handle: Arc<Handle>,
        carbon: Option<Arc<Carbon>>,
    ) -> Self {
        let settings = handle.settings();
        let flux = &settings.flux;
        let keep_s = settings.redis.full_duration_s;
        let last = Last::start(runtime, settings.redis_url(), flux.last_metrics_max, keep_s);
        let pieces = u32::try_from(flux.queue_bytes_max / PIECE_BYTES).unwrap_or(u32::MAX >> 4);
        let route = match carbon {
            Some(carbon) => Route::Carbon(carbon),
            None => Route::Direct(Direct::start(runtime, |max| handle.ways_in(max))),
        };
        let intake = Self {
            shared: Arc::new(Shared {
                names: Names::new(handle.clone(), matches!(route, Route::Direct(_))),
                handle,
                last,
                aggregator: Aggregator::new(flux),
                filler: Filler::new(flux),
                route,
                room: Arc::new(Semaphore::new(pieces as usize)),
                pieces,
                wait_s: AtomicU32::new(0),
                checks: AtomicBool::new(true),
                is_stopping: AtomicBool::new(false),
                counts: Arc::default(),
            }),
        };
        intake.take_up(flux);
        intake
    }

    /// Goes on under these settings.
    pub(super) fn reload(&self, settings: &Settings) {
        self.take_up(&settings.flux);
    }

    fn take_up(&self, flux: &FluxSettings) {
        let shared = &self.shared;
        shared.wait_s.store(flux.wait_s, Ordering::Relaxed);
        shared.aggregator.reload(flux);
        shared.filler.reload(flux);
        let checks = flux.check_last_timestamp;
        shared.checks.store(checks, Ordering::Relaxed);
    }

    /// Takes all points or none. On the way to the data plane it returns when Redis has
    /// answered; on the way to carbon, when they are kept in memory until carbon has
    /// taken them. Points that are to be aggregated are kept in memory on either way
    /// until their period is over.
    ///
    /// # Errors
    ///
    /// When there is no room, Redis does not answer in time, or the server ends.
    pub async fn submit(
        &self,
        origin: Origin,
        points: Vec<FluxPoint>,
    ) -> Result<Receipt, Unavailable> {
        let is_done = !matches!(self.shared.route, Route::Carbon(_));
        let (points, mut receipt) = self.name(origin, points);
        if !origin.is_aggregated() {
            receipt.add(self.take(origin, points, is_done, self.deadline()).await?);
            return Ok(receipt);
        }
        let (claim, others) = self.shared.aggregator.claim(points)?;
        receipt.add(self.take(origin, others, is_done, self.deadline()).await?);
        receipt.taken += claim.keep();
        Ok(receipt)
    }

    /// Points under the names under which they are stored, and what became of those that
    /// have none.
    fn name(&self, origin: Origin, mut points: Vec<FluxPoint>) -> (Vec<FluxPoint>, Receipt) {
        let mut receipt = Receipt::default();
        if !origin.is_named() {
            let counts = &self.shared.counts;
            self.shared.names.give(&mut points, |reason| {
                counts.count_dropped(reason.as_str(), 1);
                receipt.note(reason);
            });
        }
        (points, receipt)
    }

    /// The name under which points of a metric are stored, as far as this server
    /// decides that.
    pub fn stored_name<'n>(&self, metric: &'n str) -> Cow<'n, str> {
        self.shared.names.stored(metric)
    }

    /// What makes one point of several.
    pub(super) fn aggregator(&self) -> &Arc<Aggregator> {
        &self.shared.aggregator
    }

    /// What fills periods without points.
    pub(super) fn filler(&self) -> &Arc<Filler> {
        &self.shared.filler
    }

    /// As [`Intake::submit`], and returns on either way only when the points were
    /// delivered and the last timestamps of their metrics say so.
    ///
    /// # Errors
    ///
    /// As [`Intake::submit`].
    pub async fn deliver(
        &self,
        origin: Origin,
        points: Vec<FluxPoint>,
    ) -> Result<Receipt, Unavailable> {
        let deadline = self.deadline();
        let (points, mut receipt) = self.name(origin, points);
        receipt.add(self.take(origin, points, true, deadline).await?);
        let written = timeout_at(deadline, self.shared.last.written()).await;
        written.map(|()| receipt).map_err(|_| late())
    }

    /// The timestamp of the newest point that is known to be delivered, for each of
    /// `metrics`: from `flux.last.metric_data` and `flux.last.<metric>` in Redis.
    ///
    /// # Errors
    ///
    /// When Redis cannot be asked.
    pub async fn last(&self, metrics: &[&str]) -> redis::RedisResult<Vec<Option<i64>>> {
        let names: Vec<Cow<'_, str>> = metrics.iter().map(|it| self.stored_name(it)).collect();
        let names: Vec<&str> = names.iter().map(|name| &**name).collect();
        self.shared.last.last(&names).await
    }

    /// A connection to Redis for what is beside the data. Others use it too, so nothing
    /// that blocks it or changes it for all may be sent.
    ///
    /// # Errors
    ///
    /// When there is none now.
    pub async fn redis(&self) -> redis::RedisResult<MultiplexedConnection> {
        self.shared.last.connection().await
    }

    fn deadline(&self) -> Instant {
        let wait_s = self.shared.wait_s.load(Ordering::Relaxed);
        Instant::now() + Duration::from_secs(wait_s.into())
    }

    async fn take(
        &self,
        origin: Origin,
        points: Vec<FluxPoint>,
        waits: bool,
        deadline: Instant,
    ) -> Result<Receipt, Unavailable> {
        let shared = &self.shared;
        if shared.is_stopping.load(Ordering::Relaxed) {
            return Err(Unavailable::Stopping);
        }
        if points.is_empty() {
            return Ok(Receipt::default());
        }
        let is_direct = matches!(shared.route, Route::Direct(_));
        if is_direct && shared.handle.redis_trouble().is_some() {
            let retry_after = RETRY_AFTER;
            return Err(Unavailable::Away { retry_after });
        }
        let room = match is_direct {
            true => Some(self.room_for(&points, deadline).await?),
            false => None,
        };
        let is_checked = origin.is_always_checked() || shared.checks.load(Ordering::Relaxed);
        let passed = if is_checked {
            // Who waits for the arrival waits for that of an earlier attempt too.
            let admitted = shared.last.admit(points, !waits);
            timeout_at(deadline, admitted).await.map_err(|_| late())?
        } else {
            Passed {
                points,
                already_received: 0,
            }
        };
        // Nothing may be awaited before the points are handed on: whoever waits may
        // give up, and what has passed must be settled.
        shared.filler.saw(&passed.points);
        let already_received = passed.already_received;
        let mut receipt = Receipt {
            already_received,
            ..Receipt::default()
        };
        let counts = &shared.counts;
        counts
            .already_received
            .fetch_add(already_received, Ordering::Relaxed);
        let (tell, mut told) = mpsc::unbounded_channel();
        let room = Arc::new(room);
        let mut open = 0;
        let (fills, mut others): (Vec<_>, Vec<_>) =
            passed.points.into_iter().partition(|point| point.fill);
        let checked = if is_checked { others.len() } else { 0 };
        let loads = if is_direct {
            // The shards part them further, and refuse nothing as a whole.
            vec![(others, checked), (fills, 0)]
        } else {
            // In one piece, so that all of it is taken or nothing.
            others.extend(fills);
            vec![(others, checked)]
        };
        for (points, checked) in loads {
            if points.is_empty() {
                continue;
            }
            let load = Load {
                last: shared.last.clone(),
                checked,
                counts: counts.clone(),
                tell: tell.clone(),
                _room: room.clone(),
            };
            receipt.taken += points.len() as u64;
            open += self.hand_on(points, load)?;
        }
        if !waits {
            return Ok(receipt);
        }
        receipt.taken = 0;
        while open > 0 {
            match timeout_at(deadline, told.recv()).await {
                Ok(Some(Part::Settled(part))) => receipt.add(part),
                Ok(Some(Part::Ended) | None) => return Err(Unavailable::Stopping),
                Err(_) => return Err(late()),
            }
            open -= 1;
        }
        Ok(receipt)
    }

    async fn room_for(
        &self,
        points: &[FluxPoint],
        deadline: Instant,
    ) -> Result<OwnedSemaphorePermit, Unavailable> {
        let bytes = points.iter().map(|point| point.metric.len() + POINT_BYTES);
        let pieces = bytes.sum::<usize>().div_ceil(PIECE_BYTES);
        // What alone is more than there ever is waits until it is alone.
        let pieces = u32::try_from(pieces).unwrap_or(u32::MAX);
        let pieces = pieces.min(self.shared.pieces);
        let room = self.shared.room.clone().acquire_many_owned(pieces);
        match timeout_at(deadline, room).await {
            Ok(Ok(room)) => Ok(room),
            Ok(Err(_)) => Err(Unavailable::Stopping),
            Err(_) => Err(Unavailable::Full {
                retry_after: RETRY_AFTER,
            }),
        }
    }

    /// Hands points on; returns in how many parts they will be told of.
    fn hand_on(&self, points: Vec<FluxPoint>, load: Load) -> Result<usize, Unavailable> {
        let points: Vec<OwnedPoint> = points.into_iter().map(owned).collect();
        let counts = &self.shared.counts;
        let count = points.len() as u64;
        counts.on_the_way.fetch_add(count, Ordering::Relaxed);
        let load = Arc::new(load);
        match &self.shared.route {
            Route::Direct(direct) => {
                Ok(direct.send(points, move |points, arrived| load.arrived(points, arrived)))
            }
            Route::Carbon(carbon) => {
                let points: Arc<[OwnedPoint]> = points.into();
                let (done, all) = (load.clone(), points.clone());
                let queued = carbon.queue(points.clone(), move |is_delivered| {
                    done.arrived(&all, if is_delivered { ALL } else { Arrived::Ended });
                });
                if queued.is_err() {
                    load.settle(&points, None);
                    counts.on_the_way.fetch_sub(count, Ordering::Relaxed);
                }
                queued.map(|()| 1)
            }
        }
    }

    /// Fills in what it counts.
    pub(super) fn show(&self, status: &mut FluxStatus) {
        let shared = &self.shared;
        let counts = &shared.counts;
        status.queue_points = counts.on_the_way.load(Ordering::Relaxed);
        status.queue_bytes_max = (shared.pieces as usize * PIECE_BYTES) as u64;
        let free = shared.room.available_permits();
        let used = (shared.pieces as usize).saturating_sub(free);
        status.queue_bytes = (used * PIECE_BYTES) as u64;
        status.delivered = counts.delivered.load(Ordering::Relaxed);
        status.already_received = counts.already_received.load(Ordering::Relaxed);
        status.unchecked = shared.last.unchecked();
        status.metrics_delivered = shared.last.delivered();
        status.dropped = lock(&counts.dropped).clone();
        status.aggregate = shared.aggregator.status();
        status.fill = shared.filler.status();
        match &shared.route {
            Route::Direct(_) => status.route = "horizon",
            Route::Carbon(carbon) => {
                status.route = "carbon";
                status.carbon = Some(carbon.status());
            }
        }
    }

    /// Takes nothing more in.
    pub(super) fn begin_stop(&self) {
        self.shared.is_stopping.store(true, Ordering::Relaxed);
    }

    /// Waits until what was taken to the data plane has been dealt with and the last
    /// timestamps say so, and closes the way there.
    pub(super) async fn stop(&self, deadline: Instant) {
        if let Route::Direct(direct) = &self.shared.route {
            let all = self.shared.room.acquire_many(self.shared.pieces);
            let _ = timeout_at(deadline, all).await;
            direct.close();
        }
        let _ = timeout_at(deadline, self.shared.last.written()).await;
    }
}

/// What is done when points have arrived.
struct Load {
    /// Where last timestamps are kept.
    last: Last,
    /// So many of the first points were compared with them, or of each part all or none.
    checked: usize,
    counts: Arc<Counts>,
    tell: mpsc::UnboundedSender<Part>,
    /// Given back with the last part.
    _room: Arc<Option<OwnedSemaphorePermit>>,
}

impl Load {
    fn arrived(&self, points: &[OwnedPoint], arrived: Arrived<'_>) {
        let missing = match arrived {
            Arrived::Settled(missing) => Some(missing),
            Arrived::Ended => None,
        };
        self.settle(points, missing);
        let part = self.count(points.len() as u64, missing);
        // Whoever waited may have gone.
        let _ = self.tell.send(part);
    }

    fn settle(&self, points: &[OwnedPoint], missing: Option<&[(usize, DropReason)]>) {
        if self.checked == 0 {
            return;
        }
        let mut missing_at = missing.unwrap_or_default().iter().peekable();
        let compared = points.iter().take(self.checked);
        let settled = compared.enumerate().map(|(place, point)| {
            let is_missing = missing_at.next_if(|(at, _)| *at == place).is_some();
            let timestamp = point.timestamp.whole() as i64;
            let is_delivered = missing.is_some() && !is_missing;
            (&*point.name, timestamp, point.value.as_f64(), is_delivered)
        });
        self.last.settle(settled);
    }

    fn count(&self, points: u64, missing: Option<&[(usize, DropReason)]>) -> Part {
        let counts = &self.counts;
        counts.on_the_way.fetch_sub(points, Ordering::Relaxed);
        let Some(missing) = missing else {
            counts.count_dropped("shutdown", points);
            return Part::Ended;
        };
        let taken = points - missing.len() as u64;
        counts.delivered.fetch_add(taken, Ordering::Relaxed);
        let mut receipt = Receipt {
            taken,
            ..Receipt::default()
        };
        let mut has_ended = false;
        for (_, reason) in missing {
            counts.count_dropped(reason.as_str(), 1);
            has_ended |= *reason == DropReason::Shutdown;
            receipt.note(*reason);
        }
        if has_ended {
            return Part::Ended;
        }
        Part::Settled(receipt)
    }
}

impl Counts {
    fn count_dropped(&self, reason: &'static str, points: u64) {
        *lock(&self.dropped).entry(reason).or_default() += points;
    }
}

impl Receipt {
    /// Adds a point that is not stored.
    fn note(&mut self, reason: DropReason) {
        match reason {
            DropReason::Skipped | DropReason::Rule => self.skipped += 1,
            DropReason::TooOld => self.too_old += 1,
            _ => self.refused += 1,
        }
    }

    fn add(&mut self, part: Self) {
        self.taken += part.taken;
        self.already_received += part.already_received;
        self.skipped += part.skipped;
        self.too_old += part.too_old;
        self.refused += part.refused;
    }
}

fn owned(point: FluxPoint) -> OwnedPoint {
    OwnedPoint {
        name: point.metric,
        timestamp: Number::Int(point.timestamp),
        value: Number::Float(point.value),
    }
}

fn late() -> Unavailable {
    Unavailable::Late {
        retry_after: RETRY_AFTER,
    }
}
