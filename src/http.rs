//! HTTP/1.1 for the page of operators and for Flux: connections are accepted and
//! served here within bounds; what is answered is theirs.

use std::convert::Infallible;
use std::future::Future;
use std::net::TcpListener;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};

use crate::logging::Throttle;

/// What is told to who has begun a head and not ended it in time.
const TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\
    content-type: application/json\r\ncontent-length: 32\r\n\r\n\
    {\"title\": \"408 Request Timeout\"}";
/// Wait after an accept that failed, mostly for want of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);
/// How long a connection whose life is over may take for the request under way.
const LAST_REQUEST: Duration = Duration::from_secs(60);

/// Bounds of a server's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time; further ones wait in the system's queue.
    pub connections_max: usize,
    /// Longest head of a request, answered 431 beyond; at least 8 KiB.
    pub head_bytes_max: usize,
    /// Bytes read at once, at least as many as a head may have: bodies that come in few
    /// pieces take less CPU time.
    pub read_bytes_max: usize,
    /// Longest wait for the whole head of a request, answered 408 beyond; idle
    /// connections are closed then.
    pub head_timeout: Duration,
    /// How long a connection may live; the request under way then is its last.
    pub life: Duration,
}

/// What the listeners of one server share: their bounds, how many connections are
/// open, and whether it ends. Clones are the same.
#[derive(Clone)]
pub struct Gate {
    shared: Arc<Shared>,
    stopping: watch::Receiver<bool>,
}

struct Shared {
    limits: Mutex<Limits>,
    open: AtomicUsize,
    changed: Notify,
    stop: watch::Sender<bool>,
}

/// A connection that counts as open until dropped.
struct Place(Arc<Shared>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.changed.notify_waiters();
    }
}

impl Gate {
    /// Open, within these bounds.
    pub fn new(limits: Limits) -> Self {
        let (stop, stopping) = watch::channel(false);
        Self {
            shared: Arc::new(Shared {
                limits: Mutex::new(limits),
                open: AtomicUsize::new(0),
                changed: Notify::new(),
                stop,
            }),
            stopping,
        }
    }

    /// Changes the bounds, for connections that come from now on.
    pub fn set_limits(&self, limits: Limits) {
        *self
            .shared
            .limits
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = limits;
        self.shared.changed.notify_waiters();
    }

    /// Connections that are open.
    pub fn connections(&self) -> usize {
        self.shared.open.load(Ordering::Relaxed)
    }

    /// Accepts nothing more, and has each connection end with the request under way.
    pub fn stop(&self) {
        self.shared.stop.send_replace(true);
    }

    /// Waits until no connection is open.
    pub async fn wait_until_closed(&self) {
        self.wait_for(|open| open == 0).await;
    }

    fn limits(&self) -> Limits {
        let limits = self.shared.limits.lock();
        *limits.unwrap_or_else(PoisonError::into_inner)
    }

    async fn wait_for(&self, is_met: impl Fn(usize) -> bool) {
        loop {
            let mut changed = pin!(self.shared.changed.notified());
            // What changes between the look and the wait must not be missed.
            changed.as_mut().enable();
            if is_met(self.connections()) {
                return;
            }
            changed.await;
        }
    }

    /// Waits until another connection may be accepted. Listeners may go beyond the
    /// bound together, by one connection each.
    async fn wait_for_place(&self) {
        let has_place = |open| open < self.limits().connections_max;
        self.wait_for(has_place).await;
    }

    fn place(&self) -> Place {
        self.shared.open.fetch_add(1, Ordering::Relaxed);
        Place(self.shared.clone())
    }
}

/// Accepts connections and serves each by `service`, until the gate is stopped or
/// `closing` becomes true; connections that are open then go on. What is queued when
/// it closes is still served.
pub async fn serve<S>(
    socket: TcpListener,
    service: S,
    gate: Gate,
    mut closing: watch::Receiver<bool>,
) where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
{
    let listener = match tokio::net::TcpListener::from_std(socket) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "a listening socket could not be used");
            return;
        }
    };
    let mut stopping = gate.stopping.clone();
    loop {
        tokio::select! {
            () = gate.wait_for_place() => {}
            () = told(&mut stopping) => return,
        }
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = told(&mut stopping) => return,
            () = told(&mut closing) => match listener.accept().now_or_never() {
                Some(accepted) => accepted,
                None => return,
            },
        };
        match accepted {
            Ok((stream, _)) => {
                let place = gate.place();
                let served = connection(stream, service.clone(), gate.clone(), place);
                tokio::spawn(served);
            }
            Err(error) => {
                static BRAKE: Throttle = Throttle::new(Duration::from_secs(10));
                if let Some(suppressed) = BRAKE.admit() {
                    tracing::warn!(%error, suppressed, "a connection could not be accepted; raise the file limit (ulimit -n, LimitNOFILE=) if it says too many open files");
                }
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// Waits until a signal is given, or can never be given again.
async fn told(signal: &mut watch::Receiver<bool>) {
    let _ = signal.wait_for(|is_given| *is_given).await;
}

async fn connection<S>(stream: TcpStream, service: S, gate: Gate, place: Place)
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
    S::Future: Future,
{
    let limits = gate.limits();
    // Answers are short, and somebody waits for each.
    let _ = stream.set_nodelay(true);
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // Who has nothing more to send still wants its answers.
        .half_close(true)
        .header_read_timeout(limits.head_timeout)
        .max_header_size(limits.head_bytes_max)
        .max_buf_size(limits.read_bytes_max.max(limits.head_bytes_max))
        .serve_connection(TokioIo::new(stream), service);
    let mut stopping = gate.stopping.clone();
    // What goes wrong with a connection is the peer's affair.
    tokio::select! {
        ended = &mut connection => {
            if ended.is_err_and(|error| error.is_timeout()) {
                tell_too_slow(connection.into_parts());
            }
            return;
        }
        () = tokio::time::sleep(limits.life) => {}
        () = told(&mut stopping) => {}
    }
    Pin::new(&mut connection).graceful_shutdown();
    let _ = tokio::time::timeout(LAST_REQUEST, connection).await;
    drop(place);
}

/// Tells a peer that has begun a head that it was too slow, which hyper does not; who was
/// just idle needs no answer. It is short, so it goes at once or not at all.
fn tell_too_slow<S>(parts: http1::Parts<TokioIo<TcpStream>, S>) {
    if !parts.read_buf.is_empty() {
        let _ = parts.io.inner().try_write(TOO_SLOW);
    }
}
