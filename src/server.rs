//! The server as a whole: what the binary, the tests and the harness start.

mod watch;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};
use std::{fmt, io};

use crossbeam_channel::Receiver;
use serde::Serialize;

use crate::admin;
use crate::admit::{CensusPage, MetricId, Tidings};
use crate::batch::Outcome;
use crate::budget::Budget;
use crate::flux::{Flux, FluxStatus};
use crate::history::{self, History};
use crate::host::{self, HostError, StateError, StateLock};
use crate::listeners::{self, ListenError, Listeners};
use crate::logging;
use crate::pipeline::Inquiry;
use crate::plane::{self, Sender};
use crate::private_redis::PrivateRedis;
use crate::redis::{LinkBoard, LinkState};
use crate::redis_info::InfoDesk;
use crate::roomba::{Roomba, RoombaStatus};
use crate::rules::{Rules, SkipEdits};
use crate::self_metrics::{SelfMetrics, SelfMetricsStatus};
use crate::settings::{Change, Settings};
use crate::shard::{self, Common, Loads, Message, OwnedPoint, Parcel};
use crate::side_keys::{SideKeys, SideKeysStatus, SkipHashes};
use crate::stats::{Counts, RuleCounts, Source};
use crate::status::{
    self, LatencyBuckets, LatencyStatus, ListenerStatus, RedisStatus, RuleStatus, Status,
};
use crate::vista::{Clock, HostClock, Vista, VistaStatus};
use watch::{sum, unix_ms};

/// Messages that wait in a shard's inbox, at most.
const INBOX_MESSAGES: usize = 4096;
/// Longest wait for a shard's counts; it answers between two turns.
const COUNT_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest that the listeners are given to hand over what is queued.
const STOP_ACCEPTING_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for a shard's end after its time for the drain is over.
const DRAIN_SLACK: Duration = Duration::from_secs(5);
/// How often a shard's end is looked for.
const DRAIN_POLL: Duration = Duration::from_millis(2);
/// Longest that the private Redis is given to write what it holds.
const PRIVATE_REDIS_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest that Redis is waited for, so that no point is judged before the skip
/// hashes are known; the private one needs a moment.
const SKIP_HASHES_TIMEOUT: Duration = Duration::from_secs(2);
/// Redis that has not answered for this long is not settling.
const SILENT: Duration = Duration::from_secs(5);

/// Why a server could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The state directory cannot be used, or another server uses it.
    #[error(transparent)]
    State(#[from] StateError),
    /// The host lacks what the data plane needs.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The private Redis could not be started.
    #[error("the private Redis could not be started: {0}")]
    Redis(Box<dyn std::error::Error + Send + Sync>),
    /// A thread could not be started.
    #[error("{what} could not be started: {error}")]
    Thread {
        /// Which.
        what: String,
        /// The system's error.
        error: io::Error,
    },
}

impl StartError {
    /// The exit code that says so: 2 for what the configuration can mend, 1 for
    /// the host.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Listen(_) | Self::State(_) => 2,
            Self::Host(_) | Self::Redis(_) | Self::Thread { .. } => 1,
        }
    }
}

/// Where a server listens, and its Redis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Addresses {
    /// Carbon-relay's pickle stream.
    pub pickle: Vec<SocketAddr>,
    /// The same, from the relays of a cluster's other nodes.
    pub shard_pickle: Vec<SocketAddr>,
    /// msgpack over UDP.
    pub msgpack: Vec<SocketAddr>,
    /// Graphite's lines over TCP.
    pub line_tcp: Vec<SocketAddr>,
    /// Graphite's lines over UDP.
    pub line_udp: Vec<SocketAddr>,
    /// Metrics over HTTP.
    pub flux: Vec<SocketAddr>,
    /// The page for operators.
    pub admin: Option<SocketAddr>,
    /// Redis, without secrets.
    pub redis: String,
}

/// What a drain has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Points that were received.
    pub received: u64,
    /// Points that are in Redis.
    pub stored: u64,
    /// Points that were received and could not be stored in time.
    pub lost: u64,
    /// Points that were taken over HTTP and could not be delivered to carbon in time.
    pub undelivered: u64,
    /// Shards that did not end in time, so that their counts are not known: a
    /// bug, or a host that gave them no CPU.
    pub stuck_shards: u32,
}

impl Drained {
    /// Whether everything that was received is known to be in Redis.
    pub fn is_complete(&self) -> bool {
        self.lost == 0 && self.undelivered == 0 && self.stuck_shards == 0
    }
}

impl fmt::Display for Drained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            received,
            stored,
            lost,
            undelivered,
            stuck_shards,
        } = self;
        write!(
            f,
            "received {received}, stored {stored}, dropped by shutdown {lost}"
        )?;
        if *undelivered > 0 {
            write!(f, ", not delivered to carbon {undelivered}")?;
        }
        if *stuck_shards > 0 {
            write!(f, ", without {stuck_shards} shards that did not end")?;
        }
        Ok(())
    }
}

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
    started: Instant,
    started_at: SystemTime,
    /// The CPU of each shard.
    cpus: Vec<usize>,
    draining: AtomicBool,
    /// What each shard has last said that it counts.
    last_counts: Mutex<Vec<Counts>>,
    listeners: Mutex<Listeners>,
    pub(crate) boards: Boards,
    pub(crate) redis_info: InfoDesk,
    flux: Mutex<Vec<SocketAddr>>,
    admin: Option<SocketAddr>,
    redis: String,
    /// The settings and rules in force.
    current: Mutex<(Arc<Settings>, Arc<Rules>)>,
    common: Arc<Common>,
}

/// A running server. Dropping it drains it.
///
/// ```no_run
/// use std::time::Duration;
/// let settings = skyring::Settings::load(None, &["redis.url=\"unix:/run/redis.sock\"".into()])?;
/// let server = skyring::Server::start(settings)?;
/// if server.wait_ready(Duration::from_secs(10)) {
///     println!("listening on {:?}", server.addresses().pickle);
/// }
/// println!("{}", server.drain());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Server {
    handle: Arc<Handle>,
    shards: Vec<JoinHandle<Counts>>,
    roomba: Option<Roomba>,
    admin: Option<admin::Admin>,
    history: Option<History>,
    side_keys: Option<SideKeys>,
    self_metrics: Option<SelfMetrics>,
    flux: Option<Flux>,
    vista: Option<Vista>,
    private_redis: Option<PrivateRedis>,
    _lock: StateLock,
}

impl Server {
    /// Starts everything that the settings turn on. Returns when it listens;
    /// Redis may still be away: see [`Server::wait_ready`].
    ///
    /// # Errors
    ///
    /// When the host, the state directory or an address does not allow it.
    pub fn start(settings: Settings) -> Result<Self, StartError> {
        Self::start_with_clock(settings, Arc::new(HostClock))
    }

    /// As [`Server::start`], with metrics fetched by another clock than the host's: what
    /// takes days can be seen in a moment.
    ///
    /// # Errors
    ///
    /// As [`Server::start`].
    pub fn start_with_clock(settings: Settings, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        host::require(&settings)?;
        host::raise_file_limit();
        let state_lock = StateLock::acquire(&settings.state_dir)?;
        let cpus = host::placement(&settings);
        let mut listeners = Listeners::default();
        let bound = listeners.bind(&settings, cpus.len())?;
        let admin_socket = match settings.admin.listen {
            Some(address) => Some(admin::bind(address).map_err(|error| ListenError {
                key: "admin.listen",
                address,
                error,
            })?),
            None => None,
        };
        let flux_sockets = bind_flux(&settings, |_| false)?;
        let private_redis = if settings.redis_is_private() {
            let redis = PrivateRedis::start(&settings.state_dir);
            Some(redis.map_err(|error| StartError::Redis(error.into()))?)
        } else {
            None
        };
        let url = settings.redis_url();
        let (senders, inboxes): (Vec<_>, Vec<_>) =
            cpus.iter().map(|_| plane::inbox(INBOX_MESSAGES)).unzip();
        let mut rules = Arc::new(Rules::new(&settings));
        let settings = Arc::new(settings);
        let horizon = &settings.horizon;
        let budget = Budget::new(horizon.buffer_bytes_max, horizon.frame_bytes_max);
        let common = Arc::new(Common {
            budget: Arc::new(budget),
            board: Arc::new(LinkBoard::new(cpus.len())),
            loads: Loads::new(cpus.len()),
            inboxes: senders,
            settings: settings.clone(),
        });
        let mut shards = Vec::new();
        for (index, (cpu, inbox)) in cpus.iter().zip(inboxes).enumerate() {
            let (common, url) = (common.clone(), url.clone());
            let body = move || shard::run(index, common, url, inbox);
            let name = format!("skyring-shard-{index}");
            let thread = plane::launch(name, *cpu, body).map_err(|error| StartError::Thread {
                what: format!("shard {index} on CPU {cpu}"),
                error,
            })?;
            shards.push(thread);
        }
        let mut hashes = SkipHashes::default();
        if settings.horizon.side_keys {
            hashes = SkipHashes::load(url.clone(), rules.skip_lists(), SKIP_HASHES_TIMEOUT);
        }
        if let Some(edits) = hashes.take_edits() {
            rules = Arc::new(rules.with_edits(edits));
            // An inbox keeps its order: they are there before the first connection.
            let reload = |reply| Message::Reload(settings.clone(), rules.clone(), reply);
            drop(ask(&common.inboxes, reload));
        }
        let opened = listeners.open(bound, &common.inboxes);
        opened.map_err(|error| StartError::Thread {
            what: "a receiver of datagrams".to_owned(),
            error,
        })?;
        let handle = Arc::new(Handle {
            started: Instant::now(),
            started_at: SystemTime::now(),
            cpus: cpus.clone(),
            draining: AtomicBool::new(false),
            last_counts: Mutex::new(vec![Counts::new(); cpus.len()]),
            listeners: Mutex::new(listeners),
            boards: Boards::default(),
            redis_info: InfoDesk::new(url.clone()),
            flux: Mutex::default(),
            admin: admin_socket
                .as_ref()
                .and_then(|socket| socket.local_addr().ok()),
            redis: url.to_string(),
            current: Mutex::new((settings, rules)),
            common,
        });
        let roomba = Roomba::start(handle.clone(), url, handle.boards.roomba.clone());
        let roomba = roomba.map_err(|error| StartError::Thread {
            what: "Roomba".to_owned(),
            error,
        })?;
        let admin = match admin_socket {
            Some(socket) => {
                let admin = admin::Admin::start(socket, handle.clone());
                let what = "the page for operators".to_owned();
                Some(admin.map_err(|error| StartError::Thread { what, error })?)
            }
            None => None,
        };
        // Nobody could look at it without the page.
        let history = admin.is_some().then(|| History::start(handle.clone()));
        let history = history.transpose().map_err(|error| StartError::Thread {
            what: "the thread of the history".to_owned(),
            error,
        })?;
        let side_keys =
            SideKeys::start(handle.clone(), hashes).map_err(|error| StartError::Thread {
                what: "the thread of the side keys".to_owned(),
                error,
            })?;
        let self_metrics =
            SelfMetrics::start(handle.clone()).map_err(|error| StartError::Thread {
                what: "the thread of the self metrics".to_owned(),
                error,
            })?;
        let flux =
            Flux::start(handle.clone(), flux_sockets).map_err(|error| StartError::Thread {
                what: "Flux".to_owned(),
                error,
            })?;
        *lock(&handle.flux) = flux.addresses();
        let vista = Vista::start(handle.clone(), flux.intake(), flux.populate(), clock);
        let vista = vista.map_err(|error| StartError::Thread {
            what: "Vista".to_owned(),
            error,
        })?;
        Ok(Self {
            handle,
            shards,
            roomba: Some(roomba),
            admin,
            history,
            side_keys: Some(side_keys),
            self_metrics: Some(self_metrics),
            flux: Some(flux),
            vista: Some(vista),
            private_redis,
            _lock: state_lock,
        })
    }

    /// Waits until Redis has answered every shard; false if `timeout` is over
    /// first.
    pub fn wait_ready(&self, timeout: Duration) -> bool {
        self.handle.wait_ready(timeout)
    }

    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.handle.addresses()
    }

    /// Goes on under new settings, as far as they can be changed while it runs: the
    /// changes are returned, each with whether it is in force. Listeners that stay
    /// are not touched; those that go are first emptied of queued connections, and
    /// connections accepted there go on.
    ///
    /// # Errors
    ///
    /// When a new address cannot be listened on; then nothing has changed.
    pub fn reload(&mut self, settings: &Settings) -> Result<Vec<Change>, StartError> {
        let handle = &self.handle;
        let (changes, settings) = handle.settings().reloaded(settings);
        let shards = &handle.common.inboxes;
        let is_open = |address| {
            let flux = self.flux.as_ref();
            flux.is_some_and(|flux| flux.listens_on(address))
        };
        let flux_sockets = bind_flux(&settings, is_open)?;
        let mut open = lock(&handle.listeners);
        let bound = open.bind(&settings, shards.len())?;
        if let Err(error) = open.open(bound, shards) {
            let leaving = open.leave_others(&handle.settings());
            drop(open);
            listeners::close(leaving, &handle.listeners, shards);
            let what = "a receiver of datagrams".to_owned();
            return Err(StartError::Thread { what, error });
        }
        drop(open);
        handle.change(|_, rules| {
            let rules = rules.with_settings(&settings);
            (Arc::new(settings.clone()), Arc::new(rules))
        });
        let leaving = lock(&handle.listeners).leave_others(&settings);
        listeners::close(leaving, &handle.listeners, shards);
        if let Some(roomba) = &self.roomba {
            roomba.wake();
        }
        if let Some(flux) = &mut self.flux {
            flux.open(flux_sockets)
                .map_err(|error| StartError::Thread {
                    what: "a listener of Flux".to_owned(),
                    error,
                })?;
            flux.reload(&settings);
            *lock(&handle.flux) = flux.addresses();
        }
        if let Some(vista) = &self.vista {
            vista.reload(&settings);
        }
        Ok(changes)
    }

    /// What other threads may use while this one drains the server.
    pub fn handle(&self) -> Arc<Handle> {
        self.handle.clone()
    }

    /// What it counts, at this moment.
    pub fn status(&self) -> Status {
        self.handle.status()
    }

    /// Hands points over as a listener would, but bounded in age by
    /// `redis.full_duration_s` only. What becomes of them can be received in the
    /// end.
    pub fn submit(&self, points: Vec<OwnedPoint>) -> Receiver<Outcome> {
        self.handle.submit(points)
    }

    /// Ends the server: accepts nothing more, reads what was sent, settles it,
    /// within `drain_s`; what is left then is counted as lost.
    pub fn drain(mut self) -> Drained {
        self.end()
    }

    fn end(&mut self) -> Drained {
        let common = &self.handle.common;
        let drain_s = self.handle.settings().drain_s;
        let deadline = Instant::now() + Duration::from_secs(drain_s.into());
        self.handle.draining.store(true, Ordering::Relaxed);
        if let Some(roomba) = &self.roomba {
            roomba.stop();
        }
        // They end while the shards do: one may be waiting for Redis.
        if let Some(self_metrics) = &mut self.self_metrics {
            self_metrics.begin_stop();
        }
        if let Some(side_keys) = &mut self.side_keys {
            side_keys.begin_stop();
        }
        if let Some(vista) = self.vista.take() {
            vista.stop();
        }
        let answers = ask(&common.inboxes, Message::StopAccepting);
        for answer in answers {
            let _ = answer.recv_timeout(STOP_ACCEPTING_TIMEOUT);
        }
        lock(&self.handle.listeners).stop_receivers();
        for inbox in &common.inboxes {
            let _ = inbox.send(Message::Drain(deadline));
        }
        // The shards take in what Flux has until it says that no more will come.
        let undelivered = self.flux.take().map_or(0, |flux| flux.stop(deadline));
        let mut counts = Counts::new();
        let mut stuck = 0;
        for shard in self.shards.drain(..) {
            while !shard.is_finished() && Instant::now() < deadline + DRAIN_SLACK {
                std::thread::sleep(DRAIN_POLL);
            }
            match shard.is_finished().then(|| shard.join()) {
                Some(Ok(last)) => counts += &last,
                _ => stuck += 1,
            }
        }
        if stuck == 0 {
            lock(&self.handle.listeners).join_receivers();
        }
        drop(self.roomba.take());
        drop(self.admin.take());
        if let Some(history) = self.history.take() {
            history.stop();
        }
        if let Some(self_metrics) = self.self_metrics.take() {
            self_metrics.stop();
        }
        if let Some(side_keys) = self.side_keys.take() {
            side_keys.stop();
        }
        if let Some(redis) = self.private_redis.take() {
            redis.stop(PRIVATE_REDIS_TIMEOUT);
        }
        let reason = crate::stats::DropReason::Shutdown as usize;
        let sum =
            |count: fn(&crate::stats::SourceCounts) -> u64| counts.sources.iter().map(count).sum();
        Drained {
            received: sum(|source| source.received),
            stored: sum(|source| source.stored),
            lost: counts
                .sources
                .iter()
                .map(|source| source.dropped[reason])
                .sum(),
            undelivered,
            stuck_shards: stuck,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !self.shards.is_empty() {
            self.end();
        }
    }
}

impl Handle {
    /// As [`Server::wait_ready`].
    pub fn wait_ready(&self, timeout: Duration) -> bool {
        self.common.board.wait_ready(timeout)
    }

    /// As [`Server::addresses`].
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
    fn change(
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

    /// As [`Server::submit`].
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

/// Binds the addresses of Flux that are not open yet.
fn bind_flux(
    settings: &Settings,
    is_open: impl Fn(SocketAddr) -> bool,
) -> Result<Vec<(SocketAddr, TcpListener)>, ListenError> {
    let addresses = settings.flux.listen.iter().copied();
    let new = addresses.filter(|address| !is_open(*address));
    new.map(|address| match admin::bind(address) {
        Ok(socket) => Ok((address, socket)),
        Err(error) => Err(ListenError {
            key: "flux.listen",
            address,
            error,
        }),
    })
    .collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends every shard a message that asks for an answer.
fn ask<T>(
    inboxes: &[Sender<Message>],
    question: impl Fn(crossbeam_channel::Sender<T>) -> Message,
) -> Vec<Receiver<T>> {
    inboxes
        .iter()
        .map(|inbox| {
            let (reply, answer) = crossbeam_channel::bounded(1);
            // A shard that has ended drops the reply, which the receiver sees.
            let _ = inbox.send(question(reply));
            answer
        })
        .collect()
}
