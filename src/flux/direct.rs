//! The way to the data plane: each metric by one lane, which leads to one shard, so
//! that the order of its points is kept.
//!
//! What is handed over waits until all requests that are there at this moment have been
//! looked at, and those that come meanwhile, and while a parcel of its lane is under way
//! unless there is enough for another: requests that come at once share batches, and the
//! shard is woken once for all.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use tokio::runtime::Handle as Runtime;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::yield_now;

use super::lock;
use crate::batch::Outcome;
use crate::plane::Sender;
use crate::shard::{OwnedPoint, Parcel};
use crate::stats::DropReason;

/// Parcels of one lane under way at a time: one that is being settled, and one for the
/// shard to go on with.
const UNDER_WAY: usize = 2;
/// Points that are worth a parcel of their own. Fewer wait for others that come, and
/// while a parcel is being settled: to be woken costs the shard, and then Flux, more
/// than to settle them.
const WORTH_POINTS: usize = 256;
/// How often, at most, everything else is let go on, each time with a look at what has
/// come, before what has gathered is sent: clients that were answered together ask again
/// within some microseconds of each other.
const LOOKS: usize = 6;
/// How long it may take until there is no further look: where much else goes on, each
/// takes long, and what has gathered must not wait for that several times. Within it a
/// hundred requests of one point are read.
const LOOKING_MAX: Duration = Duration::from_millis(1);
/// Points in one parcel, unless a single load has more.
const PARCEL_POINTS: usize = 8192;

/// What became of a load.
pub(super) enum Arrived<'a> {
    /// The shard has dealt with all points; each is in Redis unless it is named here,
    /// by its place in the load.
    Settled(&'a [(usize, DropReason)]),
    /// The shard has ended before it took any.
    Ended,
}

/// Who is told.
type Done = Box<dyn FnOnce(&[OwnedPoint], Arrived<'_>) + Send>;

/// Points that were handed over together, and are to go to one shard.
struct Load {
    points: Vec<OwnedPoint>,
    done: Done,
}

/// The loads of a parcel, and which of its points each is.
type Manifest = Vec<(Range<usize>, Done)>;

struct Lane {
    /// Not there any more when the server ends.
    way: Option<Sender<Parcel>>,
    waiting: VecDeque<Load>,
    waiting_points: usize,
    under_way: usize,
}

/// A parcel that has come to its end.
struct Report {
    lane: usize,
    points: Arc<[OwnedPoint]>,
    manifest: Manifest,
    outcome: Option<Outcome>,
}

/// See the module.
pub(super) struct Direct {
    lanes: Arc<Vec<Mutex<Lane>>>,
    loaded: Arc<Notify>,
}

impl Direct {
    /// Opens the lanes, which lead to the ends of inboxes with room for so many parcels,
    /// and starts the tasks that send what waits, and tell what became of points.
    pub fn start(runtime: &Runtime, ways_in: impl FnOnce(usize) -> Vec<Sender<Parcel>>) -> Self {
        // The word that no more will come has room too.
        let ways = ways_in(UNDER_WAY + 1);
        let lane = |way| {
            Mutex::new(Lane {
                way: Some(way),
                waiting: VecDeque::new(),
                waiting_points: 0,
                under_way: 0,
            })
        };
        let lanes: Arc<Vec<_>> = Arc::new(ways.into_iter().map(lane).collect());
        // Bounded by the parcels under way.
        let (reports, told) = unbounded_channel();
        let loaded = Arc::new(Notify::new());
        runtime.spawn(send_together(
            lanes.clone(),
            loaded.clone(),
            reports.clone(),
        ));
        runtime.spawn(tell(lanes.clone(), told, reports));
        Self { lanes, loaded }
    }

    /// Hands points over; `done` is told of each part that goes to another shard, by
    /// a call of its own. Returns how many calls there will be.
    pub fn send<D>(&self, points: Vec<OwnedPoint>, done: D) -> usize
    where
        D: Fn(&[OwnedPoint], Arrived<'_>) + Clone + Send + 'static,
    {
        let mut loads: Vec<Vec<OwnedPoint>> = Vec::new();
        loads.resize_with(self.lanes.len(), Vec::new);
        if let [load] = &mut loads[..] {
            *load = points;
        } else {
            for point in points {
                let lane = self.lane(&point.name);
                loads[lane].push(point);
            }
        }
        let mut parts = 0;
        for (lane, points) in loads.into_iter().enumerate() {
            if !points.is_empty() {
                parts += 1;
                let done = Box::new(done.clone());
                self.load(lane, Load { points, done });
            }
        }
        parts
    }

    fn lane(&self, metric: &str) -> usize {
        let hash = FixedState::default().hash_one(metric);
        // The upper bits, as many as there are lanes.
        ((u128::from(hash) * self.lanes.len() as u128) >> 64) as usize
    }

    fn load(&self, number: usize, load: Load) {
        let mut lane = lock(&self.lanes[number]);
        if lane.way.is_none() {
            drop(lane);
            return (load.done)(&load.points, Arrived::Ended);
        }
        lane.waiting_points += load.points.len();
        lane.waiting.push_back(load);
        drop(lane);
        self.loaded.notify_one();
    }

    /// Closes the lanes: what waits there has ended.
    pub fn close(&self) {
        for lane in self.lanes.iter() {
            let waiting = {
                let mut lane = lock(lane);
                if let Some(way) = lane.way.take() {
                    // A shard that has ended needs no word.
                    drop(way.try_send(Parcel::end()));
                }
                lane.waiting_points = 0;
                std::mem::take(&mut lane.waiting)
            };
            for load in waiting {
                (load.done)(&load.points, Arrived::Ended);
            }
        }
    }
}

impl Lane {
    fn send_next(&mut self, number: usize, reports: &UnboundedSender<Report>) {
        while self.under_way < UNDER_WAY {
            if self.under_way > 0 && self.waiting_points < WORTH_POINTS {
                return;
            }
            let (Some(first), Some(way)) = (self.waiting.pop_front(), &self.way) else {
                return;
            };
            let (points, manifest) = pack(first, &mut self.waiting);
            self.waiting_points -= points.len();
            let points: Arc<[OwnedPoint]> = points.into();
            let (kept, reports) = (points.clone(), reports.clone());
            let parcel = Parcel::new(points, move |outcome| {
                // Nobody is left to be told when the runtime has ended.
                let _ = reports.send(Report {
                    lane: number,
                    points: kept,
                    manifest,
                    outcome,
                });
            });
            self.under_way += 1;
            // There is room for as many as may be under way; one that comes back is
            // dropped, and so reported.
            drop(way.try_send(parcel));
        }
    }
}

/// The points of the first load and of those behind it that fit into one parcel.
fn pack(first: Load, waiting: &mut VecDeque<Load>) -> (Vec<OwnedPoint>, Manifest) {
    let mut points = first.points;
    let mut manifest: Manifest = vec![(0..points.len(), first.done)];
    while let Some(next) = waiting.front() {
        if points.len() + next.points.len() > PARCEL_POINTS {
            break;
        }
        let Some(load) = waiting.pop_front() else {
            break;
        };
        let from = points.len();
        points.extend(load.points);
        manifest.push((from..points.len(), load.done));
    }
    (points, manifest)
}

async fn send_together(
    lanes: Arc<Vec<Mutex<Lane>>>,
    loaded: Arc<Notify>,
    reports: UnboundedSender<Report>,
) {
    loop {
        loaded.notified().await;
        let began = Instant::now();
        // Behind everything else that can go on now, and what has come meanwhile.
        for _ in 0..LOOKS {
            yield_now().await;
            let is_worth = |lane: &Mutex<Lane>| lock(lane).waiting_points >= WORTH_POINTS;
            if lanes.iter().any(is_worth) || began.elapsed() >= LOOKING_MAX {
                break;
            }
        }
        for (number, lane) in lanes.iter().enumerate() {
            lock(lane).send_next(number, &reports);
        }
    }
}

async fn tell(
    lanes: Arc<Vec<Mutex<Lane>>>,
    mut told: UnboundedReceiver<Report>,
    reports: UnboundedSender<Report>,
) {
    while let Some(report) = told.recv().await {
        let number = report.lane;
        {
            let mut lane = lock(&lanes[number]);
            lane.under_way -= 1;
            lane.send_next(number, &reports);
        }
        report.tell();
    }
}

impl Report {
    fn tell(self) {
        let Some(outcome) = self.outcome else {
            for (range, done) in self.manifest {
                done(&self.points[range], Arrived::Ended);
            }
            return;
        };
        let missing = missing(&self.points, &outcome);
        for (range, done) in self.manifest {
            let from = missing.partition_point(|(place, _)| *place < range.start);
            let to = missing.partition_point(|(place, _)| *place < range.end);
            let own = missing[from..to].iter();
            let own: Vec<_> = own
                .map(|(place, reason)| (place - range.start, *reason))
                .collect();
            done(&self.points[range], Arrived::Settled(&own));
        }
    }
}

/// The places of points that are not in Redis, in order, and why.
fn missing(points: &[OwnedPoint], outcome: &Outcome) -> Vec<(usize, DropReason)> {
    let refused = outcome.refusals.iter();
    let mut missing: Vec<_> = refused
        .map(|(place, reason)| (*place as usize, *reason))
        .collect();
    if !outcome.lost_metrics.is_empty() {
        let lost = outcome.lost_metrics.iter();
        let lost: HashMap<&[u8], DropReason> =
            lost.map(|(metric, reason)| (&**metric, *reason)).collect();
        let places = points.iter().enumerate();
        missing.extend(places.filter_map(|(place, point)| {
            let reason = lost.get(point.name.as_bytes())?;
            Some((place, *reason))
        }));
        missing.sort_by_key(|(place, _)| *place);
        missing.dedup_by_key(|(place, _)| *place);
    }
    missing
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::runtime::Builder;

    use super::*;
    use crate::plane::{self, Inbox};
    use crate::point::Number;

    /// Runs with one lane, and the end of it that a shard has.
    fn with_lane<F: Future<Output = ()>>(work: impl FnOnce(Direct, Inbox<Parcel>) -> F) {
        let runtime = Builder::new_current_thread().build().unwrap();
        let mut end = None;
        let direct = Direct::start(runtime.handle(), |parcels_max| {
            let (sender, inbox) = plane::inbox(parcels_max);
            end = Some(inbox);
            vec![sender]
        });
        runtime.block_on(work(direct, end.unwrap()));
    }

    fn points(count: usize) -> Vec<OwnedPoint> {
        let point = OwnedPoint {
            name: "a".to_owned(),
            timestamp: Number::Int(1),
            value: Number::Float(1.0),
        };
        vec![point; count]
    }

    fn nobody(_: &[OwnedPoint], _: Arrived<'_>) {}

    async fn let_others_run() {
        for _ in 0..10 * LOOKS {
            yield_now().await;
        }
    }

    // What waits goes when the parcel before it has come to its end, or is worth one.
    #[test]
    fn few_points_wait_while_a_parcel_is_under_way() {
        with_lane(|direct, inbox| async move {
            let waiting = || lock(&direct.lanes[0]).waiting_points;
            let told = Arc::new(AtomicUsize::new(0));
            let telling = told.clone();
            let done = move |points: &[OwnedPoint], _: Arrived<'_>| {
                telling.fetch_add(points.len(), Ordering::Relaxed);
            };
            direct.send(points(1), done.clone());
            let first = inbox.receive().await;
            for _ in 0..3 {
                direct.send(points(1), done.clone());
            }
            let_others_run().await;
            assert_eq!(waiting(), 3);
            drop(first);
            let second = inbox.receive().await;
            assert_eq!((waiting(), told.load(Ordering::Relaxed)), (0, 1));
            direct.send(points(WORTH_POINTS - 1), done.clone());
            let_others_run().await;
            assert_eq!(waiting(), WORTH_POINTS - 1);
            direct.send(points(1), done.clone());
            let third = inbox.receive().await;
            assert_eq!(waiting(), 0);
            drop((second, third));
            let_others_run().await;
            assert_eq!(told.load(Ordering::Relaxed), 4 + WORTH_POINTS);
        });
    }

    // Others with much to do hold a point up for one turn of theirs, not for each look.
    #[test]
    fn a_lone_point_waits_once_for_what_takes_long() {
        with_lane(|direct, inbox| async move {
            let turns = Arc::new(AtomicUsize::new(0));
            let counted = turns.clone();
            let busy = tokio::spawn(async move {
                loop {
                    counted.fetch_add(1, Ordering::Relaxed);
                    let began = Instant::now();
                    while began.elapsed() < LOOKING_MAX {}
                    yield_now().await;
                }
            });
            yield_now().await;
            let before = turns.load(Ordering::Relaxed);
            direct.send(points(1), nobody);
            inbox.receive().await;
            let turns = turns.load(Ordering::Relaxed) - before;
            assert!(turns <= 3, "{turns}");
            busy.abort();
        });
    }
}
