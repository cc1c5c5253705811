//! Skyline's metrics about Horizon, and the sending of what Skyline's other programs
//! leave in Redis for carbon, by a thread of its own.
//!
//! | `skyline.horizon.<name>.` | each | is |
//! | --- | --- | --- |
//! | `worker.queue_size` | sixth of a pass | batches that Redis has not answered |
//! | `worker.queue_size_60s_avg` | pass | mean of those |
//! | `worker.datapoints_sent_to_redis` | pass | points stored |
//! | `worker.metrics_received` | pass | metrics received, each once, if any |
//! | `listen.udp_chunks_dropped` | pass | datagrams that the kernel had no room for, if any |
//!
//! Those about Flux are in `self_metrics/flux.rs`; and, if metrics are fetched:
//!
//! | `skyline.vista.<name>.` | each pass, if metrics are fetched |
//! | --- | --- |
//! | `fetcher.sent_to_flux` | metrics of which points were delivered, and histories begun |
//! | `fetcher.time_to_fetch` | longest time that a question took, in whole seconds |
//! | `fetcher.metrics_to_fetch` | entries |
//! | `fetcher.metrics_fetched` | metrics in good answers |
//! | `worker.metrics_sent_to_flux` | metrics of which points were delivered |
//! | `worker.vista.fetcher.metrics.json` | 0: what Python's Vista keeps there |
//!
//! A pass takes `horizon.side_keys_s`. TCP listeners drop nothing for want of room,
//! so Skyline's `listen.pickle_chunks_dropped` is never made. With
//! `self_metrics.carbon` these metrics are sent there; without it this server takes
//! them in itself.

mod flux;
mod literal;
mod relay;
mod waiting;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::background::{Background, Link, Stop};
use crate::flux::FluxStatus;
use crate::logging::Throttle;
use crate::point::Number;
use crate::server::Handle;
use crate::settings::Settings;
use crate::shard::OwnedPoint;
use crate::side_keys::{self, Board, now_s};
use crate::vista::VistaStatus;

use relay::{RelayError, Relayed};
use waiting::Waiting;

/// Samples of the queue in each pass.
const SAMPLES: u32 = 6;
/// Longest wait to hear what became of the points that this server takes in itself.
/// What comes later is heard in the next step.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(200);

static FAILED: Throttle = Throttle::new(Duration::from_secs(60));

/// What the thread of the self metrics counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SelfMetricsStatus {
    /// Points made about this server.
    pub points_made: u64,
    /// Those that were taken, by carbon or by this server itself.
    pub points_sent: u64,
    /// Those that wait for that.
    pub points_waiting: u64,
    /// Those that were dropped: too many waited, or this server refused them, as its
    /// skip lists may have it.
    pub points_dropped: u64,
    /// Points of other programs, from the shared hash, sent to carbon.
    pub shared_sent: u64,
    /// Points of other programs, from their fail queue, sent to carbon.
    pub fail_queue_sent: u64,
    /// Texts of other programs that are no points.
    pub unparseable: u64,
    /// Failures of carbon.
    pub carbon_errors: u64,
    /// Failures of Redis.
    pub redis_errors: u64,
}

/// The thread of the self metrics.
#[derive(Debug)]
pub struct SelfMetrics {
    thread: Background,
}

impl SelfMetrics {
    /// Starts the thread. Settings are looked at anew in each pass, so it runs even
    /// if there is nothing to do yet. How many metrics were received it learns from
    /// the thread of the side keys.
    ///
    /// # Errors
    ///
    /// The system's, when it gives no thread.
    pub fn start(handle: Arc<Handle>) -> io::Result<Self> {
        let boards = &handle.boards;
        let (side_keys, own) = (boards.side_keys.clone(), boards.self_metrics.clone());
        let maker = Maker::new(handle, side_keys, own);
        let thread = Background::start("skyring-self-metrics", move |stop| maker.run(stop))?;
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

struct Maker {
    handle: Arc<Handle>,
    side_keys: Board,
    board: Arc<Mutex<SelfMetricsStatus>>,
    status: SelfMetricsStatus,
    relayed: Relayed,
    link: Link,
    waiting: Waiting,
    /// Sizes of the queue since the last pass: their sum, and how many.
    sizes: (u64, u32),
    /// At the end of the last pass; `None` if that made no self metrics, so that
    /// there is nothing to compare with.
    before: Option<Totals>,
    flux: FluxStatus,
    is_told: bool,
}

/// Counters of the server, of which the self metrics are differences.
#[derive(Clone, Copy, Default)]
struct Totals {
    stored: u64,
    kernel_drops: u64,
    passes: u64,
    vista: Fetched,
}

/// What Vista counts.
#[derive(Clone, Copy, Default)]
struct Fetched {
    fetched: u64,
    delivered: u64,
    populates: u64,
}

impl Fetched {
    fn of(vista: &VistaStatus) -> Self {
        Self {
            fetched: vista.fetched,
            delivered: vista.delivered,
            populates: vista.populates,
        }
    }
}

impl Maker {
    fn new(handle: Arc<Handle>, side_keys: Board, board: Arc<Mutex<SelfMetricsStatus>>) -> Self {
        Self {
            link: Link::new(handle.settings().redis_url()),
            handle,
            side_keys,
            board,
            status: SelfMetricsStatus::default(),
            relayed: Relayed::default(),
            waiting: Waiting::default(),
            sizes: (0, 0),
            before: Some(Totals::default()),
            flux: FluxStatus::default(),
            is_told: false,
        }
    }

    fn run(mut self, stop: &Stop) {
        let mut samples = 0;
        loop {
            let begin = Instant::now();
            let settings = self.handle.settings();
            let pass = Duration::from_secs(settings.horizon.side_keys_s.into());
            let is_enabled = settings.self_metrics.enabled;
            samples += 1;
            let is_pass_over = samples >= SAMPLES || !is_enabled;
            if is_enabled {
                self.make(&settings, is_pass_over);
            } else {
                (self.sizes, self.before) = ((0, 0), None);
            }
            if is_pass_over {
                samples = 0;
                self.relay(&settings, stop);
            }
            self.deliver(&settings);
            self.publish();
            let step = if is_enabled { pass / SAMPLES } else { pass };
            let rest = Instant::now() + step / 10;
            if stop.wait_until(rest.max(begin + step)) {
                return;
            }
        }
    }

    fn make(&mut self, settings: &Settings, is_pass_over: bool) {
        let status = self.handle.status();
        let size = status.redis.in_flight_batches + status.redis.waiting_batches;
        self.sizes.0 += size;
        self.sizes.1 += 1;
        self.put(settings, "worker.queue_size", size as f64);
        if !is_pass_over {
            return;
        }
        let (sum, count) = std::mem::take(&mut self.sizes);
        let mean = sum as f64 / f64::from(count.max(1));
        self.put(settings, "worker.queue_size_60s_avg", mean);
        self.make_of_flux(settings, &status.flux);
        let received = side_keys::read(&self.side_keys);
        let listeners = || status.listeners.values();
        let drops = listeners().filter_map(|listener| listener.kernel_drops);
        let now = Totals {
            stored: listeners().map(|listener| listener.stored).sum(),
            kernel_drops: drops.sum(),
            passes: received.passes,
            vista: Fetched::of(&status.vista),
        };
        let Some(before) = self.before.replace(now) else {
            return;
        };
        let stored = now.stored.saturating_sub(before.stored);
        self.put(settings, "worker.datapoints_sent_to_redis", stored as f64);
        self.make_vista(settings, &status.vista, &before.vista);
        if now.passes > before.passes && received.metrics_received > 0 {
            let metrics = received.metrics_received as f64;
            self.put(settings, "worker.metrics_received", metrics);
        }
        let drops = now.kernel_drops.saturating_sub(before.kernel_drops);
        if drops > 0 {
            self.put(settings, "listen.udp_chunks_dropped", drops as f64);
        }
    }

    fn make_vista(&mut self, settings: &Settings, vista: &VistaStatus, before: &Fetched) {
        if !vista.enabled || vista.entries.is_empty() {
            return;
        }
        let now = Fetched::of(vista);
        let delivered = now.delivered.saturating_sub(before.delivered);
        let populates = now.populates.saturating_sub(before.populates);
        let fetched = now.fetched.saturating_sub(before.fetched);
        for (name, value) in [
            ("fetcher.sent_to_flux", delivered + populates),
            ("fetcher.time_to_fetch", vista.slowest_ms / 1000),
            ("fetcher.metrics_to_fetch", vista.entries.len() as u64),
            ("fetcher.metrics_fetched", fetched),
            ("worker.metrics_sent_to_flux", delivered),
            ("worker.vista.fetcher.metrics.json", 0),
        ] {
            self.put_of(settings, "vista", name, value as f64);
        }
    }

    fn make_of_flux(&mut self, settings: &Settings, now: &FluxStatus) {
        if !settings.flux.listen.is_empty() {
            let has_quotas = !settings.flux.quotas.is_empty();
            for (name, value) in flux::figures(&self.flux, now, has_quotas) {
                self.put_of(settings, "flux", &name, value as f64);
            }
        }
        self.flux = now.clone();
    }

    fn put(&mut self, settings: &Settings, name: &str, value: f64) {
        self.put_of(settings, "horizon", name, value);
    }

    fn put_of(&mut self, settings: &Settings, program: &str, name: &str, value: f64) {
        let name = match settings.self_metrics.name.as_str() {
            "" => format!("skyline.{program}.{name}"),
            host => format!("skyline.{program}.{host}.{name}"),
        };
        self.status.points_made += 1;
        self.waiting.push(OwnedPoint {
            name,
            timestamp: Number::Int(now_s() as i64),
            value: Number::Float(value),
        });
    }

    /// Hands over what waits.
    fn deliver(&mut self, settings: &Settings) {
        let Some(carbon) = &settings.self_metrics.carbon else {
            let submit = |points| self.handle.submit(points);
            return self.waiting.submit(submit, ANSWER_TIMEOUT);
        };
        self.waiting.settle(Duration::ZERO);
        let sent = self.waiting.send(|points| relay::send(carbon, points));
        if let Err(error) = sent {
            self.tell(&RelayError::Carbon(error));
        }
    }

    fn relay(&mut self, settings: &Settings, stop: &Stop) {
        if !settings.horizon.side_keys {
            return;
        }
        let Some(carbon) = &settings.self_metrics.carbon else {
            if !self.is_told
                && let Err(error) = self.tell_of_queue()
            {
                self.tell(&error.into());
            }
            return;
        };
        self.is_told = false;
        for part in [relay::send_shared, relay::drain_queue] {
            if let Err(error) = part(&mut self.link, carbon, &mut self.relayed, stop) {
                self.tell(&error);
            }
        }
    }

    /// Says that a queue grows that nobody else sends, if there is one.
    fn tell_of_queue(&mut self) -> redis::RedisResult<()> {
        if relay::exists_queue(&mut self.link)? {
            self.is_told = true;
            tracing::warn!(
                "{} in Redis holds what Skyline's programs could not send to carbon, and \
                 self_metrics.carbon is not set, so that it stays there and grows; set it to \
                 the carbon that Skyline sends to",
                relay::QUEUE
            );
        }
        Ok(())
    }

    fn tell(&mut self, error: &RelayError) {
        match error {
            RelayError::Carbon(_) => self.status.carbon_errors += 1,
            RelayError::Redis(_) => self.status.redis_errors += 1,
        }
        if let Some(suppressed) = FAILED.admit() {
            tracing::warn!(suppressed, "self metrics: {error}");
        }
    }

    fn publish(&mut self) {
        self.status.points_sent = self.waiting.sent;
        self.status.points_dropped = self.waiting.dropped;
        self.status.points_waiting = self.waiting.len() as u64;
        self.status.shared_sent = self.relayed.shared_sent;
        self.status.fail_queue_sent = self.relayed.queue_sent;
        self.status.unparseable = self.relayed.unparseable;
        *self.board.lock().unwrap_or_else(PoisonError::into_inner) = self.status.clone();
    }
}
