//! A shard: one executor with everything that it owns, and the tasks that run
//! on it.
//!
//! ```text
//! acceptors ──▸ the least busy shard's inbox ──▸ connections ──▸ pipeline ◂──▸ link ◂──▸ Redis
//! ```
//!
//! The shard's end, in order: acceptors take what is queued and close; each
//! connection is told that nothing more will be sent to it, and is then read
//! until it would block; what was read is settled; when the time is over, what
//! is left is counted as lost.

mod loads;
mod message;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender as Reply;
use rustix::time::ClockId;
use socket2::Socket;

use crate::admit;
use crate::batch::{self, Completion, Outcome};
use crate::budget::Budget;
use crate::connection::{self, BUDGET_RETRY, Buffers, LOG_PERIOD, Slot};
use crate::datagrams::{self, Delivery};
use crate::logging::Throttle;
use crate::pipeline::{Arrival, Names, Pipeline};
use crate::plane::{self, Accepted, Inbox, Listener, Sender, Stream};
use crate::point::Point;
use crate::redis::{self, LinkBoard};
use crate::rules::rule;
use crate::settings::{Listen, RedisUrl, Settings};
use crate::stats::{Counts, Source};
use crate::talkers;
use crate::wire::pickle::{self, Decoder};

pub use loads::Loads;
pub use message::{Message, OwnedPoint, Parcel};

/// Bytes read at once. Small enough to stay in the second-level cache with what
/// becomes of them.
const SCRATCH_BYTES: usize = 256 << 10;
/// The pace of upkeep; an idle shard wakes no faster.
const TICK: Duration = Duration::from_secs(1);
/// How long relays are given, at the end, to see that nothing more is taken.
const CLOSING: Duration = Duration::from_millis(200);
/// Points from inside the process that are taken in at one turn.
const PARCEL_TURN: usize = 1024;
/// Wait after an accept that failed, mostly for want of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);
/// What a line may have besides the name: two numbers, blanks, a line end.
const LINE_NUMBERS_BYTES: usize = 256;

/// What all shards share.
pub struct Common {
    /// The settings that the server was started with. Of those that a reload
    /// changes, [`Live`] and the pipeline have the newest.
    pub settings: Arc<Settings>,
    /// Memory that connections and batches may hold together.
    pub budget: Arc<Budget>,
    /// How the links to Redis stand.
    pub board: Arc<LinkBoard>,
    /// Where connections should go.
    pub loads: Loads,
    /// Each shard's inbox.
    pub inboxes: Vec<Sender<Message>>,
}

/// Settings that a reload may change, as tasks look at them.
#[derive(Clone, Copy, Debug)]
pub struct Live {
    /// Connections of all shards, at most.
    pub connections_max: u32,
    /// A partial frame that has not grown for this long is given up.
    pub frame_stall: Duration,
    /// Longest wait of a point for company.
    pub linger: Duration,
    /// Longest line, its end among it.
    pub line_bytes_max: usize,
}

impl Live {
    fn new(settings: &Settings) -> Self {
        let horizon = &settings.horizon;
        Self {
            connections_max: horizon.connections_max,
            frame_stall: Duration::from_secs(horizon.frame_stall_s.into()),
            linger: Duration::from_micros(horizon.linger_us.into()),
            line_bytes_max: horizon.name_bytes_max + LINE_NUMBERS_BYTES,
        }
    }
}

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not begun.
    Serving,
    /// Nothing more is accepted.
    Refusing,
    /// Peers are told; what they still send is read.
    Closing,
    /// Connections are read until they would block.
    Emptying,
}

/// Something that happens, for which tasks of one shard wait.
#[derive(Default)]
pub struct Event {
    waiting: RefCell<Vec<Waker>>,
}

impl Event {
    /// Wakes everyone who waits.
    pub fn notify(&self) {
        for waker in self.waiting.borrow_mut().drain(..) {
            waker.wake();
        }
    }

    /// Waits until `happened`, which is looked at now and after each [`Event::notify`].
    pub async fn wait_until(&self, happened: impl Fn() -> bool) {
        poll_fn(|cx| {
            if happened() {
                return Poll::Ready(());
            }
            let mut waiting = self.waiting.borrow_mut();
            // A task may wait in vain any number of times before it happens.
            if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                waiting.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }
}

/// See the module. Its parts are borrowed for a turn at a time, never across an
/// await.
pub struct Shard {
    /// Its number.
    pub index: usize,
    /// What all shards share.
    pub common: Arc<Common>,
    /// From admitted points to settled ones.
    pub pipeline: RefCell<Pipeline>,
    /// Where connections read to; what is not decoded in the same turn is copied.
    pub scratch: RefCell<Vec<u8>>,
    /// The decoder of all its connections, which keeps its memory.
    pub decoder: RefCell<Decoder>,
    /// Buffers for what a turn leaves over.
    pub buffers: RefCell<Buffers>,
    /// Settings that a reload may change.
    pub live: Cell<Live>,
    /// The links' states.
    pub board: Arc<LinkBoard>,
    /// How far the end has come.
    pub phase: Cell<Phase>,
    /// Microseconds of work since the last tick.
    work_us: Cell<u64>,
    /// Notified when the pipeline is settled, or a connection or acceptor ends.
    pub settled: Event,
    /// Whether a task looks at the budget for connections that wait for it.
    watches_budget: Cell<bool>,
    slots: RefCell<BTreeMap<u64, Rc<Slot>>>,
    slot_next: Cell<u64>,
    /// Listeners that are open here, and whether each is to be closed.
    acceptors: RefCell<BTreeMap<Listen, bool>>,
    stop_accepting: Event,
    /// Tasks that take in datagrams.
    feeds: Cell<usize>,
}

/// Runs a shard until it is told to drain; returns its last counts.
pub async fn run(
    index: usize,
    common: Arc<Common>,
    url: RedisUrl,
    inbox: Inbox<Message>,
) -> Counts {
    let settings = &common.settings;
    let shard = Rc::new(Shard {
        index,
        pipeline: RefCell::new(Pipeline::new(settings, common.budget.clone())),
        scratch: RefCell::new(vec![0; SCRATCH_BYTES]),
        decoder: RefCell::new(Decoder::new()),
        buffers: RefCell::new(Buffers::default()),
        live: Cell::new(Live::new(settings)),
        board: common.board.clone(),
        phase: Cell::new(Phase::Serving),
        work_us: Cell::new(0),
        settled: Event::default(),
        watches_budget: Cell::new(false),
        slots: RefCell::default(),
        slot_next: Cell::new(0),
        acceptors: RefCell::default(),
        stop_accepting: Event::default(),
        feeds: Cell::new(0),
        common,
    });
    plane::spawn(redis::run(shard.clone(), url));
    plane::spawn(tick(shard.clone()));
    let deadline = Rc::new(Cell::new(None));
    plane::spawn(receive(shard.clone(), inbox, deadline.clone()));
    shard.settled.wait_until(|| deadline.get().is_some()).await;
    let deadline = deadline.get().unwrap_or_else(Instant::now);
    shard.drain(deadline).await;
    shard.snapshot()
}

async fn receive(shard: Rc<Shard>, inbox: Inbox<Message>, deadline: Rc<Cell<Option<Instant>>>) {
    while let Some(message) = inbox.receive().await {
        match message {
            Message::Serve(source, accepted) => shard.serve(source, accepted),
            Message::Points(points, reply) => shard.append(&points, reply),
            Message::Count(reply) => {
                // Whoever asked may have gone.
                let _ = reply.try_send(shard.snapshot());
            }
            Message::Talkers(reply) => {
                let _ = reply.try_send(shard.pipeline.borrow().talkers.report());
            }
            Message::Census(from, entries_max, reply) => {
                let page = shard.pipeline.borrow_mut().census(from, entries_max);
                let _ = reply.try_send(page);
            }
            Message::Inquire(names, reply) => {
                let names = names.iter().map(|name| &**name);
                let inquiry = shard.pipeline.borrow_mut().inquire(names);
                let _ = reply.try_send(inquiry);
            }
            Message::Members(from, entries_max, reply) => {
                let page = shard.pipeline.borrow().members(from, entries_max);
                let _ = reply.try_send(page);
            }
            Message::Cut(cuts) => shard.pipeline.borrow_mut().note_cuts(&cuts),
            Message::Listen(listen, socket) => {
                shard.acceptors.borrow_mut().insert(listen, false);
                plane::spawn(accept(shard.clone(), listen, socket));
            }
            Message::Unlisten(listen, reply) => {
                plane::spawn(close(shard.clone(), Some(listen), reply));
            }
            Message::StopAccepting(reply) => {
                shard.phase.set(Phase::Refusing);
                plane::spawn(close(shard.clone(), None, reply));
            }
            Message::Feed(source, inbox) => {
                shard.feeds.set(shard.feeds.get() + 1);
                plane::spawn(feed(shard.clone(), source, inbox));
            }
            Message::Take(inbox) => {
                shard.feeds.set(shard.feeds.get() + 1);
                plane::spawn(take_in(shard.clone(), inbox));
            }
            Message::Reload(settings, rules, reply) => {
                shard.live.set(Live::new(&settings));
                shard.pipeline.borrow_mut().reload(&settings, rules);
                let _ = reply.try_send(());
            }
            Message::Drain(until) => {
                deadline.set(Some(until));
                shard.settled.notify();
            }
        }
    }
}

/// Has one listener, or all, closed; answers when what was queued there has been
/// handed over.
async fn close(shard: Rc<Shard>, listen: Option<Listen>, reply: Reply<()>) {
    for (open, is_closing) in shard.acceptors.borrow_mut().iter_mut() {
        *is_closing |= listen.is_none_or(|listen| listen == *open);
    }
    shard.stop_accepting.notify();
    let is_closed = || match listen {
        Some(listen) => !shard.acceptors.borrow().contains_key(&listen),
        None => shard.acceptors.borrow().is_empty(),
    };
    shard.settled.wait_until(is_closed).await;
    let _ = reply.try_send(());
}

async fn feed(shard: Rc<Shard>, source: Source, inbox: Inbox<Delivery>) {
    datagrams::take_in(&shard, source, &inbox).await;
    shard.feeds.set(shard.feeds.get() - 1);
    shard.settled.notify();
}

/// Takes in points from inside the process, until told that no more will come.
async fn take_in(shard: Rc<Shard>, inbox: Inbox<Parcel>) {
    while let Some(mut parcel) = inbox.receive().await {
        let Some(tell) = parcel.tell.take() else {
            break;
        };
        let completion = Rc::new(Completion::new(|outcome| tell(Some(outcome))));
        for points in parcel.points.chunks(PARCEL_TURN) {
            shard.wait_for_room(false).await;
            let started = Instant::now();
            shard.append_owned(Names::Stored, points, completion.clone());
            shard.note_work(started.elapsed());
            plane::let_others_run().await;
        }
    }
    shard.feeds.set(shard.feeds.get() - 1);
    shard.settled.notify();
}

/// Accepts connections and hands each to the shard with the least work.
async fn accept(shard: Rc<Shard>, listen: Listen, socket: Socket) {
    match Listener::new(socket) {
        Ok(listener) => accept_all(&shard, listen, &listener).await,
        Err(error) => tracing::error!(%error, "a listening socket could not be used"),
    }
    shard.acceptors.borrow_mut().remove(&listen);
    shard.settled.notify();
}

async fn accept_all(shard: &Rc<Shard>, listen: Listen, listener: &Listener) {
    let source = listen.source;
    let is_closing = || shard.acceptors.borrow().get(&listen) != Some(&false);
    loop {
        let mut next = std::pin::pin!(listener.accept());
        let mut stop = std::pin::pin!(shard.stop_accepting.wait_until(is_closing));
        // The stop goes first: with many queued it would else come late.
        let accepted = poll_fn(|cx| {
            if stop.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            next.as_mut().poll(cx).map(Some)
        })
        .await;
        match accepted {
            Some(Ok(accepted)) => shard.hand_over(source, accepted),
            Some(Err(error)) => {
                static BRAKE: Throttle = Throttle::new(LOG_PERIOD);
                if let Some(suppressed) = BRAKE.admit() {
                    let mend = "raise the file limit, ulimit -n or LimitNOFILE=, if there are too many open files";
                    tracing::warn!(%error, suppressed, mend, "a connection could not be accepted");
                }
                plane::sleep(ACCEPT_RETRY).await;
            }
            None => {
                for accepted in listener.queued() {
                    shard.hand_over(source, accepted);
                }
                // A wait that is merely given up may still take a connection, which
                // nobody would serve or close.
                listener.shut();
                if let Ok(accepted) = next.await {
                    shard.hand_over(source, accepted);
                }
                return;
            }
        }
        plane::let_others_run().await;
    }
}

async fn tick(shard: Rc<Shard>) {
    loop {
        plane::sleep(TICK).await;
        let mut pipeline = shard.pipeline.borrow_mut();
        pipeline.tick();
        for slot in shard.slots.borrow().values() {
            slot.tell(&mut pipeline.talkers);
        }
        drop(pipeline);
        let loads = &shard.common.loads;
        loads.note_work(shard.index, shard.work_us.take());
        let stall = shard.live.get().frame_stall;
        for slot in shard.slots.borrow().values() {
            if slot.is_stalled(stall) {
                slot.give_up();
            }
        }
    }
}

impl Shard {
    fn hand_over(self: &Rc<Self>, source: Source, accepted: Accepted) {
        let connections_max = self.live.get().connections_max;
        {
            let mut pipeline = self.pipeline.borrow_mut();
            pipeline.counts.source(source).connections_accepted += 1;
        }
        let Some(target) = self.common.loads.assign(connections_max) else {
            self.pipeline
                .borrow_mut()
                .counts
                .source(source)
                .connections_refused += 1;
            static BRAKE: Throttle = Throttle::new(LOG_PERIOD);
            if let Some(suppressed) = BRAKE.admit() {
                tracing::warn!(
                    connections_max,
                    suppressed,
                    mend = "raise horizon.connections_max, or see who opens so many",
                    "connections are refused: horizon.connections_max are open"
                );
            }
            drop(accepted.into_stream());
            return;
        };
        if target == self.index {
            self.serve(source, accepted);
            return;
        }
        let refused = self.common.inboxes[target].try_send(Message::Serve(source, accepted));
        if let Err(Message::Serve(source, accepted)) = refused {
            // Its inbox is full: it has more to do than we thought.
            self.common.loads.pass_on(target, self.index);
            self.serve(source, accepted);
        }
    }

    fn serve(self: &Rc<Self>, source: Source, accepted: Accepted) {
        let stream = accepted.into_stream();
        let number = self.slot_next.replace(self.slot_next.get() + 1);
        let slot = Rc::new(Slot::new(stream.peer()));
        self.slots.borrow_mut().insert(number, slot.clone());
        plane::spawn(serve(self.clone(), source, stream, slot, number));
    }

    /// Waits until there is room for points. What is under way, a frame of which a
    /// part has been read, may use the budget's reserve.
    pub async fn wait_for_room(self: &Rc<Self>, is_under_way: bool) {
        if self.has_room(is_under_way) {
            return;
        }
        self.watch_budget();
        poll_fn(|cx| {
            if self.has_room(is_under_way) {
                return Poll::Ready(());
            }
            self.pipeline.borrow_mut().wait_for_room(cx.waker());
            Poll::Pending
        })
        .await;
    }

    /// Whether points may be appended now.
    pub fn has_room(&self, is_under_way: bool) -> bool {
        let pipeline = self.pipeline.borrow();
        let may_begin = self.common.budget.has_room() || pipeline.has_given_up();
        pipeline.has_room() && (is_under_way || may_begin)
    }

    /// A copy of all that is counted. To be asked for on the shard's thread.
    fn snapshot(&self) -> Counts {
        let mut counts = self.pipeline.borrow().snapshot();
        let cpu = rustix::time::clock_gettime(ClockId::ThreadCPUTime);
        counts.cpu_us = cpu.tv_sec as u64 * 1_000_000 + cpu.tv_nsec as u64 / 1000;
        counts
    }

    /// Counts work, by which new connections are shared out.
    pub fn note_work(&self, worked: Duration) {
        let sum = self.work_us.get() + worked.as_micros() as u64;
        self.work_us.set(sum);
    }

    /// Has connections that wait for room woken when another shard, or another
    /// connection, gives room back: of which this shard hears nothing.
    fn watch_budget(self: &Rc<Self>) {
        if self.common.budget.has_room() || self.watches_budget.replace(true) {
            return;
        }
        let shard = self.clone();
        plane::spawn(async move {
            while shard.pipeline.borrow().has_waiting_connections()
                || !shard.common.budget.has_room()
            {
                plane::sleep(BUDGET_RETRY).await;
                shard.pipeline.borrow_mut().wake_connections();
            }
            shard.watches_budget.set(false);
        });
    }

    fn append(&self, points: &[OwnedPoint], reply: Reply<Outcome>) {
        if !self.pipeline.borrow().has_room() || !self.common.budget.has_room() {
            let _ = reply.try_send(Outcome {
                busy: true,
                ..Outcome::default()
            });
            return;
        }
        let completion = Rc::new(Completion::new(move |outcome| {
            // Whoever waited may have gone.
            let _ = reply.try_send(outcome);
        }));
        self.append_owned(Names::Received, points, completion);
    }

    fn append_owned(&self, names: Names, points: &[OwnedPoint], completion: Rc<Completion>) {
        let points = points.iter().map(|point| Point {
            name: point.name.as_bytes(),
            timestamp: point.timestamp,
            value: point.value,
        });
        let mut pipeline = self.pipeline.borrow_mut();
        let before = pipeline.brought(Source::Direct);
        let arrival = Arrival::now();
        pipeline.append_under(names, points, Source::Direct, arrival, Some(completion));
        let brought = pipeline.brought(Source::Direct) - before;
        pipeline
            .talkers
            .note_sender(talkers::Sender::Inside, brought);
    }

    async fn drain(self: &Rc<Self>, deadline: Instant) {
        self.enter(Phase::Closing);
        self.wait_for_connections(Instant::now() + CLOSING).await;
        self.enter(Phase::Emptying);
        let timer = self.clone();
        plane::spawn(async move {
            plane::sleep(deadline.saturating_duration_since(Instant::now())).await;
            timer.pipeline.borrow_mut().give_up();
            timer.settled.notify();
        });
        let done = || {
            let is_read = self.slots.borrow().is_empty() && self.feeds.get() == 0;
            is_read && self.pipeline.borrow().is_settled()
        };
        self.settled.wait_until(done).await;
    }

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        for slot in self.slots.borrow().values() {
            slot.wake();
        }
    }

    async fn wait_for_connections(self: &Rc<Self>, until: Instant) {
        let over = Rc::new(Cell::new(false));
        let (shard, timer) = (self.clone(), over.clone());
        plane::spawn(async move {
            plane::sleep(until.saturating_duration_since(Instant::now())).await;
            timer.set(true);
            shard.settled.notify();
        });
        self.settled
            .wait_until(|| over.get() || self.slots.borrow().is_empty())
            .await;
    }
}

async fn serve(shard: Rc<Shard>, source: Source, stream: Stream, slot: Rc<Slot>, number: u64) {
    shard
        .pipeline
        .borrow_mut()
        .counts
        .source(source)
        .connections += 1;
    connection::serve(&shard, source, stream, &slot).await;
    let mut pipeline = shard.pipeline.borrow_mut();
    pipeline.counts.source(source).connections -= 1;
    slot.tell(&mut pipeline.talkers);
    drop(pipeline);
    shard.slots.borrow_mut().remove(&number);
    shard.common.loads.release(shard.index);
    shard.settled.notify();
}

/// What each shard holds at most besides the shared budget, in bytes.
pub fn bytes_max(settings: &Settings) -> Vec<(&'static str, u64)> {
    let decoder = pickle::scratch_bytes_max(settings.horizon.frame_bytes_max);
    let frame_points = pickle::points_max(settings.horizon.frame_bytes_max);
    let mut parts = vec![
        (
            "points of one frame, beyond the buffers",
            (frame_points * batch::POINT_BYTES_MAX) as u64,
        ),
        (
            "metric table, with names of 64 bytes",
            admit::table_bytes_max(settings.horizon.metrics_max),
        ),
        ("decoder, for the worst of frames", decoder as u64),
        ("who brings the most", talkers::BYTES_MAX as u64),
        (
            "read and write buffers",
            (SCRATCH_BYTES + redis::LINK_BYTES) as u64,
        ),
    ];
    if !settings.rule.is_empty() {
        let caches = (settings.rule.len() * rule::CACHE_BYTES_MAX) as u64;
        let diversions = admit::diversions_bytes_max(settings.horizon.metrics_max);
        parts.push(("rules, and what they make of metrics", caches + diversions));
    }
    parts
}
