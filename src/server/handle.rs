//! What other threads may ask of a running server.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::Receiver;

use super::watch::{sum, unix_ms};
use super::{Addresses, COUNT_TIMEOUT, ask, lock};
use crate::admit::{CensusPage, Cut, MembersPage, MetricId, Tidings};
use crate::batch::Outcome;
use crate::flux::FluxStatus;
use crate::history;
use crate::listeners::Listeners;
use crate::logging;
use crate::pipeline::Inquiry;
use crate::plane::{self, Sender};
use crate::redis::LinkState;
use crate::redis_info::InfoDesk;
use crate::roomba::RoombaStatus;
use crate::rules::{Rules, SkipEdits};
use crate::self_metrics::SelfMetricsStatus;
use crate::settings::Settings;
use crate::shard::{Common, Message, OwnedPoint, Parcel};
use crate::side_keys::SideKeysStatus;
use crate::stats::{Counts, RuleCounts, Source};
use crate::status::{
    self, LatencyBuckets, LatencyStatus, ListenerStatus, RedisStatus, RuleStatus, Status,
};
use crate::vista::VistaStatus;

/// Redis that has not answered for this long is not settling.
const SILENT: Duration = Duration::from_secs(5);

/// Fills in a status.
type Show = Box<dyn Fn(&mut FluxStatus) + Send>;

/// Where the threads beside the data plane leave what they count.
#[derive(Default)]
pub(crate) struct Boards {
    pub roomba: Arc<Mutex<RoombaStatus>>,
    pub side_keys: Arc<Mutex<SideKeysStatus>>,
    pub self_metrics: Arc<Mutex<SelfMetricsStatus>>,
    pub flux: Arc<Mutex<FluxStatus>>,
    /// Fills in what Flux counts at the moment.
    pub flux_now: Mutex<Option<Show>>,
    /// What Flux counts of the operator's rules.
    pub flux_rules: Mutex<Vec<RuleCounts>>,
    pub vista: Arc<Mutex<VistaStatus>>,
    pub history: history::Board,
}

/// What other threads may ask of a running server.
pub struct Handle {
    pub(super) started: Instant,
    pub(super) started_at: SystemTime,
    /// The CPU of each shard.
    pub(super) cpus: Vec<usize>,
    pub(super) draining: AtomicBool,
    /// What each shard has last said that it counts.
    pub(super) last_counts: Mutex<Vec<Counts>>,
    pub(super) listeners: Mutex<Listeners>,
    pub(crate) boards: Boards,
    pub(crate) redis_info: InfoDesk,
    pub(super) flux: Mutex<Vec<SocketAddr>>,
    pub(super) admin: Option<SocketAddr>,
    pub(super) redis: String,
    /// The settings and rules in force.
    pub(super) current: Mutex<(Arc<Settings>, Arc<Rules>)>,
    pub(super) common: Arc<Common>,
}

impl Handle {
    /// As [`super::Server::wait_ready`].
    pub fn wait_ready(&self, timeout: Duration) -> bool {
        self.common.board.wait_ready(timeout)
    }

    /// As [`super::Server::addresses`].
    pub fn addresses(&self) -> Addresses {
        let listeners = lock(&self.listeners);
        Addresses {
            pickle: listeners.addresses(Source::Pickle),
            shard_pickle: listeners.addresses(Source::ShardPickle),
            msgpack: listeners.addresses(Source::Msgpack),
            line_tcp: listeners.addresses(Source::LineTcp),
            line_udp: listeners.addresses(Source::LineUdp),
            flux: lock(&self.flux).clone(),
            admin: self.admin,
            redis: self.redis.clone(),
        }
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<Settings> {
        lock(&self.current).0.clone()
    }

    /// The rules in force.
    pub fn rules(&self) -> Arc<Rules> {
        lock(&self.current).1.clone()
    }

    /// Has the skip lists overruled by `edits`, in place of those before.
    pub fn edit_skips(&self, edits: SkipEdits) {
        self.change(|settings, rules| (settings.clone(), Arc::new(rules.with_edits(edits))));
    }

    /// Has every shard go on under the settings and rules that `next` makes of those
    /// in force.
    pub(super) fn change(
        &self,
        next: impl FnOnce(&Arc<Settings>, &Arc<Rules>) -> (Arc<Settings>, Arc<Rules>),
    ) {
        let mut current = lock(&self.current);
        *current = next(&current.0, &current.1);
        let (settings, rules) = &*current;
        let reload = |reply| Message::Reload(settings.clone(), rules.clone(), reply);
        for answer in ask(&self.common.inboxes, reload) {
            // A shard that is late changes later.
            let _ = answer.recv_timeout(COUNT_TIMEOUT);
        }
    }

    /// Whether the server ends.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Whether every shard answers.
    pub fn is_alive(&self) -> bool {
        let answers = ask(&self.common.inboxes, Message::Count);
        answers
            .into_iter()
            .all(|answer| answer.recv_timeout(COUNT_TIMEOUT).is_ok())
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.common.inboxes.len()
    }

    /// A part of what a shard knows of its metrics, at most `entries_max` from the
    /// one numbered `from` on; `None` if the shard is late or has ended.
    pub fn census(&self, shard: usize, from: MetricId, entries_max: usize) -> Option<CensusPage> {
        let inbox = self.common.inboxes.get(shard)?;
        let (reply, answer) = crossbeam_channel::bounded(1);
        inbox.send(Message::Census(from, entries_max, reply)).ok()?;
        answer.recv_timeout(COUNT_TIMEOUT).ok()
    }

    /// Names of metrics that a shard has made known, of at most `entries_max` from the
    /// one numbered `from` on; `None` if the shard is late or has ended.
    pub fn members(&self, shard: usize, from: MetricId, entries_max: usize) -> Option<MembersPage> {
        let inbox = self.common.inboxes.get(shard)?;
        let (reply, answer) = crossbeam_channel::bounded(1);
        inbox
            .send(Message::Members(from, entries_max, reply))
            .ok()?;
        answer.recv_timeout(COUNT_TIMEOUT).ok()
    }

    /// What the shards together can say of the series of these metrics, by their
    /// names without the namespace.
    pub fn inquire(&self, names: Vec<Box<[u8]>>) -> Inquiry {
        let names = Arc::new(names);
        let mut all = Inquiry {
            tidings: vec![Tidings::default(); names.len()],
            is_behind: false,
        };
        let ask_about = |reply| Message::Inquire(names.clone(), reply);
        for answer in ask(&self.common.inboxes, ask_about) {
            // A shard that is late has enough to do, and what it will tell nobody is
            // lost: all that it could have named is in doubt.
            let Ok(shard) = answer.recv_timeout(COUNT_TIMEOUT) else {
                all.is_behind = true;
                for tidings in &mut all.tidings {
                    tidings.is_doubtful = true;
                }
                continue;
            };
            all.is_behind |= shard.is_behind;
            for (sum, one) in all.tidings.iter_mut().zip(shard.tidings) {
                *sum |= one;
            }
        }
        all
    }

    /// Tells the shards of series that have become shorter. One that has ended needs not
    /// know.
    pub fn note_cuts(&self, cuts: Vec<Cut>) {
        let cuts = Arc::new(cuts);
        for inbox in self.common.inboxes.iter() {
            let _ = inbox.send(Message::Cut(cuts.clone()));
        }
    }

    /// The sum of what each shard counts between two of its turns.
    pub fn counts(&self) -> Counts {
        sum(&self.shard_counts())
    }

    /// What each shard counts between two of its turns.
    pub fn shard_counts(&self) -> Vec<Counts> {
        let answers = ask(&self.common.inboxes, Message::Count);
        let mut last = lock(&self.last_counts);
        for (answer, last) in answers.into_iter().zip(last.iter_mut()) {
            // A shard that is late is shown as it was: counters never go back.
            if let Ok(shard) = answer.recv_timeout(COUNT_TIMEOUT) {
                *last = shard;
            }
        }
        last.clone()
    }

    /// What the server says of itself, at this moment.
    pub fn status(&self) -> Status {
        let by_shard = self.shard_counts();
        let mut counts = sum(&by_shard);
        counts.add_to_rules(&lock(&self.boards.flux_rules));
        let states = self.common.board.states();
        let (state, reason) = self.judge(&states, &counts);
        let draining = self.draining.load(Ordering::Relaxed);
        let redis = &counts.redis;
        let (recent, shards) = self.recent(&by_shard, &states);
        let open = lock(&self.listeners);
        let listeners: BTreeMap<_, _> = status::sources(&counts)
            .map(|(source, counts)| {
                let addresses = open
                    .addresses(source)
                    .iter()
                    .map(SocketAddr::to_string)
                    .collect();
                let drops = source.is_udp().then(|| open.kernel_drops(source));
                (
                    source.as_str(),
                    ListenerStatus::new(counts, addresses, drops),
                )
            })
            .collect();
        Status {
            version: env!("CARGO_PKG_VERSION"),
            uptime_s: self.started.elapsed().as_secs(),
            started_ms: unix_ms(self.started_at),
            now_ms: unix_ms(SystemTime::now()),
            ready: reason.is_empty(),
            reason,
            draining,
            listeners,
            latency_us: LatencyStatus::new(&counts.latency_us),
            recent,
            shards,
            rules: counts.rules.iter().map(RuleStatus::new).collect(),
            latency_buckets: LatencyBuckets::new(&counts.latency_us),
            redis: RedisStatus {
                connected: !states
                    .iter()
                    .any(|state| matches!(state, LinkState::Away(_))),
                url: self.redis.clone(),
                state,
                batches: redis.batches,
                in_flight_batches: redis.batches_in_flight,
                waiting_batches: redis.batches_waiting,
                appends: redis.appends,
                members_asserted: redis.members_asserted,
                resent: redis.resent,
                connections: redis.connections,
                errors: status::words(&redis.errors),
                unanswered_ms: redis.unanswered_ms,
                info: self.redis_info.last(),
            },
            metrics_known: counts.metrics_known,
            metrics_bytes: counts.metrics_bytes,
            metrics_not_kept: counts.metrics_not_kept,
            series_new: counts.series_new,
            buffer_bytes: self.common.budget.used(),
            buffer_bytes_max: self.settings().horizon.buffer_bytes_max,
            roomba: lock(&self.boards.roomba).clone(),
            side_keys: lock(&self.boards.side_keys).clone(),
            self_metrics: lock(&self.boards.self_metrics).clone(),
            flux: self.flux_status(),
            vista: lock(&self.boards.vista).clone(),
            faults: logging::faults(),
        }
    }

    fn flux_status(&self) -> FluxStatus {
        let mut status = lock(&self.boards.flux).clone();
        let addresses = lock(&self.flux);
        status.addresses = addresses.iter().map(SocketAddr::to_string).collect();
        if let Some(show) = &*lock(&self.boards.flux_now) {
            show(&mut status);
        }
        status
    }

    /// As [`super::Server::submit`].
    pub fn submit(&self, points: Vec<OwnedPoint>) -> Receiver<Outcome> {
        let (reply, outcome) = crossbeam_channel::bounded(1);
        // A shard that has ended drops the reply, which the receiver sees.
        if let Some(inbox) = self.common.inboxes.first() {
            let _ = inbox.send(Message::Points(points, reply));
        }
        outcome
    }

    /// A way for points into each shard, which takes them in its order and as fast as
    /// it can; `parcels_max` wait there at most. A shard ends only when it was sent
    /// [`Parcel::end`].
    pub(crate) fn ways_in(&self, parcels_max: usize) -> Vec<Sender<Parcel>> {
        let inboxes = self.common.inboxes.iter();
        inboxes
            .map(|shard| {
                let (sender, inbox) = plane::inbox(parcels_max);
                // One that has ended drops the inbox, and then what is sent to it.
                let _ = shard.send(Message::Take(inbox));
                sender
            })
            .collect()
    }

    /// Why Redis takes nothing now, if it is known to be so.
    pub(crate) fn redis_trouble(&self) -> Option<String> {
        self.common.board.trouble().map(|trouble| match trouble {
            LinkState::Away(error) => format!("redis is not reachable: {error}"),
            LinkState::Refusing(code) => format!("redis refuses commands: {code}"),
            LinkState::Ready => String::new(),
        })
    }

    /// The state of Redis in a word, and why the server is not ready, if so.
    fn judge(&self, states: &[LinkState], counts: &Counts) -> (&'static str, String) {
        let draining = self.draining.load(Ordering::Relaxed);
        let first = states.iter().find(|state| **state != LinkState::Ready);
        let silent = Duration::from_millis(counts.redis.unanswered_ms);
        let (state, reason) = match first {
            Some(LinkState::Away(error)) => ("away", format!("redis is not reachable: {error}")),
            Some(LinkState::Refusing(code)) => {
                ("refusing", format!("redis refuses commands: {code}"))
            }
            _ if silent > SILENT => (
                "silent",
                format!("redis has not answered for {} s", silent.as_secs()),
            ),
            _ => ("ready", String::new()),
        };
        if draining {
            (state, "draining".to_owned())
        } else {
            (state, reason)
        }
    }
}
