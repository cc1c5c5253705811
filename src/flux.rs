//! Flux: points that come over HTTP, or from other parts of this process, on their
//! way to Graphite, or to the data plane where no Graphite is configured.
//!
//! ```text
//! HTTP endpoints ─┐            ┌─ carbon, pickle frames      graphite.carbon_pickle set
//! uploads ────────┼─▸ intake ─▸┤
//! populate, Vista ┘            └─ the data plane, directly   else
//! ```
//!
//! [`intake`] is the one way in: it leaves out what was received before, keeps what
//! was taken until it is delivered, and says so to whoever waits.

pub mod aggregate;
pub mod answer;
pub mod carbon;
mod checks;
mod direct;
pub mod fill;
pub mod http;
pub mod intake;
pub mod json;
pub mod keys;
pub(crate) mod last;
mod liveness;
mod metric_data;
mod metric_data_post;
mod names;
mod points;
pub mod populate;
pub mod post;
pub mod prometheus;
mod quota;
pub mod status;
mod telegraf;
pub mod uploads;
mod victoria;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use carbon::Carbon;
pub use http::Site;
pub use intake::{FluxPoint, Intake, Origin, Receipt, Unavailable};
pub use populate::Populate;
pub use status::FluxStatus;

use crate::background::Background;
use crate::http::{Gate, Limits};
use crate::server::Handle;
use crate::settings::{FluxSettings, Settings};

/// Longest that answers which are under way may take at the end, beyond the drain's
/// own time.
const CLOSE_SLACK: Duration = Duration::from_secs(1);

/// What threads of Flux are to others of the host, as `nice` has it.
const NICE: i32 = 5;
/// Memory of a connection's task, in bytes.
const TASK_BYTES: u64 = 16 << 10;
/// Bytes read at once: a body of 450 metrics comes whole.
const READ_BYTES_MAX: usize = 64 << 10;
/// What a body and what is read from it take, for each of its bytes.
const BODY_FACTOR: u64 = 3;

/// The part of the server that takes points over HTTP, and its runtime.
pub struct Flux {
    runtime: Option<Runtime>,
    gate: Gate,
    site: Arc<Site>,
    carbon: Option<Arc<Carbon>>,
    aggregation: JoinHandle<()>,
    filling: Option<Background>,
    open: Vec<Open>,
}

/// A listener.
struct Open {
    /// As it is configured.
    address: SocketAddr,
    /// As it is bound.
    bound: SocketAddr,
    closing: watch::Sender<bool>,
}

impl Flux {
    /// Serves on `sockets`; with none, only the rest of the process hands points over.
    ///
    /// # Errors
    ///
    /// When a thread or the runtime cannot be made.
    pub fn start(handle: Arc<Handle>, sockets: Vec<(SocketAddr, TcpListener)>) -> io::Result<Self> {
        let settings = handle.settings();
        let runtime = Builder::new_multi_thread()
            .worker_threads(settings.flux.threads as usize)
            .thread_name("skyring-flux")
            .on_thread_start(step_back)
            .enable_all()
            .build()?;
        let graphite = &settings.graphite;
        let carbon = graphite.carbon_pickle.clone();
        let carbon = carbon.map(|address| Carbon::start(runtime.handle(), address, graphite));
        let carbon = carbon.map(Arc::new);
        let intake = Intake::start(runtime.handle(), handle.clone(), carbon.clone());
        let aggregation = runtime.spawn(intake.aggregator().clone().run(intake.clone()));
        let (filler, url) = (intake.filler(), settings.redis_url());
        let filling = filler.start(runtime.handle().clone(), intake.clone(), url)?;
        let populate = Populate::new(handle.clone(), intake.clone(), runtime.handle().clone());
        let mut flux = Self {
            runtime: Some(runtime),
            aggregation,
            filling: Some(filling),
            gate: Gate::new(limits(&settings.flux)),
            site: Arc::new(Site::new(handle, intake, populate)),
            carbon,
            open: Vec::new(),
        };
        flux.open(sockets)?;
        flux.show();
        if let Some(runtime) = &flux.runtime {
            runtime.spawn(liveness::run(Arc::downgrade(&flux.site)));
            uploads::start(runtime.handle(), &flux.site);
        }
        Ok(flux)
    }

    /// Opens these too, each with the address as it is configured.
    ///
    /// # Errors
    ///
    /// The system's, when it does not make a socket ready.
    pub fn open(&mut self, sockets: Vec<(SocketAddr, TcpListener)>) -> io::Result<()> {
        let Some(runtime) = &self.runtime else {
            return Ok(());
        };
        for (address, socket) in sockets {
            socket.set_nonblocking(true)?;
            let bound = socket.local_addr()?;
            let (closing, told) = watch::channel(false);
            let service = http::service(self.site.clone());
            runtime.spawn(crate::http::serve(socket, service, self.gate.clone(), told));
            self.open.push(Open {
                address,
                bound,
                closing,
            });
        }
        Ok(())
    }

    /// Where it listens.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.open.iter().map(|open| open.bound).collect()
    }

    /// Whether it listens on this address, as it is configured.
    pub fn listens_on(&self, address: SocketAddr) -> bool {
        self.open.iter().any(|open| open.address == address)
    }

    /// The way in for other parts of this process.
    pub fn intake(&self) -> Intake {
        self.site.intake.clone()
    }

    /// The way in for those who want a history fetched.
    pub fn populate(&self) -> Populate {
        self.site.populate.clone()
    }

    /// Goes on under these settings: addresses that they do not have are closed, when
    /// what is queued there has been accepted.
    pub fn reload(&mut self, settings: &Settings) {
        self.site.reload(settings);
        self.site.intake.reload(settings);
        self.gate.set_limits(limits(&settings.flux));
        self.open.retain(|open| {
            let stays = settings.flux.listen.contains(&open.address);
            if !stays {
                open.closing.send_replace(true);
            }
            stays
        });
    }

    /// Has the server's status say how Flux stands at the moment.
    fn show(&self) {
        let (site, gate) = (Arc::downgrade(&self.site), self.gate.clone());
        let show = move |status: &mut FluxStatus| {
            if let Some(site) = site.upgrade() {
                status.connections = gate.connections() as u64;
                status.endpoints = site.endpoints();
                site.intake.show(status);
                site.populate.show(status);
            }
        };
        *lock(&self.site.handle.boards.flux_now) = Some(Box::new(show));
    }

    /// Takes nothing more in, and waits until what was taken is delivered, at most
    /// until `deadline`. Returns how many points are left of those that do not go to
    /// the data plane, which counts its own.
    pub fn stop(mut self, deadline: Instant) -> u64 {
        self.gate.stop();
        let Some(runtime) = self.runtime.take() else {
            return 0;
        };
        let intake = &self.site.intake;
        if let Some(filling) = self.filling.take() {
            filling.stop();
        }
        let unmade = runtime.block_on(async {
            let until = tokio::time::Instant::from_std(deadline + CLOSE_SLACK);
            let closed = self.gate.wait_until_closed();
            let _ = tokio::time::timeout_at(until, closed).await;
            self.aggregation.abort();
            let _ = (&mut self.aggregation).await;
            let aggregator = intake.aggregator();
            let _ = tokio::time::timeout_at(until, aggregator.finish(intake)).await;
            intake.begin_stop();
            aggregator.status().waiting
        });
        let carbon = self.carbon.as_ref();
        let unsent = carbon.map_or(0, |carbon| carbon.stop(deadline));
        runtime.block_on(intake.stop(deadline.into()));
        runtime.shutdown_timeout(CLOSE_SLACK);
        unmade + unsent
    }
}

/// Has the system prefer other threads, the shards above all, where they want the same
/// CPU.
fn step_back() {
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "a thread of Flux keeps its priority");
    }
}

/// Worst-case memory of Flux, one line for each bound, in bytes.
pub fn bytes_max(settings: &Settings) -> Vec<(&'static str, u64)> {
    let flux = &settings.flux;
    let connections = match flux.listen.is_empty() {
        true => 0,
        // What is read at once and an answer each, and the task. The first piece of a body
        // holds all that was read with it while more is read.
        false => {
            let buffers = 2 * flux.head_bytes_max.max(READ_BYTES_MAX) + flux.head_bytes_max;
            u64::from(flux.connections_max) * (buffers as u64 + TASK_BYTES)
        }
    };
    let graphite = &settings.graphite;
    let carbon = match graphite.carbon_pickle {
        // As frames and as points, whose last timestamps are yet to be told.
        Some(_) => 2 * graphite.queue_bytes_max as u64,
        None => 0,
    };
    let periods = aggregate::bytes_max(flux);
    let filled = fill::bytes_max(flux);
    let mut lines = vec![
        ("Flux: connections", connections),
        (
            "Flux: bodies, and what is read from them",
            BODY_FACTOR * flux.bodies_bytes_max as u64,
        ),
        (
            "Flux: points on their way to Redis",
            flux.queue_bytes_max as u64,
        ),
        ("Flux: points on their way to carbon", carbon),
        ("Flux: periods that are aggregated", periods),
        ("Flux: metrics that are filled", filled),
        (
            "Flux: last timestamps",
            last::bytes_max(flux.last_metrics_max),
        ),
        ("Flux: histories", populate::bytes_max(settings)),
    ];
    lines.extend(prometheus::bytes_max(settings));
    lines.extend(uploads::bytes_max(settings));
    lines
}

fn limits(settings: &FluxSettings) -> Limits {
    Limits {
        connections_max: settings.connections_max as usize,
        head_bytes_max: settings.head_bytes_max,
        read_bytes_max: READ_BYTES_MAX,
        head_timeout: Duration::from_secs(settings.head_s.into()),
        life: Duration::from_secs(settings.connection_s.into()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
