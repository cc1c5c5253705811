//! The page for operators: `/healthz`, `/readyz`, `/metrics`, `/api/status`.
//!
//! It has a thread and a small runtime of its own, and asks the shards only
//! when somebody asks it, so that it costs the data plane nothing.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use hyper_util::service::TowerToHyperService;
use tokio::sync::watch;

use crate::host::{self, Transport};
use crate::http::{self, Gate, Limits};
use crate::server::Handle;
use crate::status::Status;

/// It is for operators and one or two scrapers.
const LIMITS: Limits = Limits {
    connections_max: 64,
    head_bytes_max: 16 << 10,
    head_timeout: Duration::from_secs(10),
    life: Duration::from_secs(300),
};

/// A socket that listens on `address`, which nobody else may share.
///
/// # Errors
///
/// As bind and listen of the system.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(host::probe_port(address, Transport::Tcp)?)
}

/// The thread that serves the page. Ends when dropped.
pub struct Admin {
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Admin {
    /// Serves on `socket` until dropped.
    ///
    /// # Errors
    ///
    /// When the thread or its runtime cannot be made.
    pub fn start(socket: TcpListener, handle: Arc<Handle>) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = watch::channel(false);
        let service = TowerToHyperService::new(router(handle));
        let body = move || {
            runtime.block_on(http::serve(socket, service, Gate::new(LIMITS), stopped));
        };
        let thread = std::thread::Builder::new()
            .name("skyring-admin".to_owned())
            .spawn(body)?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn router(handle: Arc<Handle>) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/api/status", get(api_status))
        .with_state(handle)
}

async fn index() -> &'static str {
    "Skyring\n\n/healthz     the process lives\n/readyz      it listens and Redis settles\n/metrics     Prometheus text\n/api/status  the same numbers as JSON\n"
}

async fn ready(State(handle): State<Arc<Handle>>) -> Response {
    match status(handle).await {
        Some(status) if status.ready => "ready\n".into_response(),
        Some(status) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{}\n", status.reason),
        )
            .into_response(),
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn metrics(State(handle): State<Arc<Handle>>) -> Response {
    let text = status(handle)
        .await
        .and_then(|status| status.to_prometheus().ok());
    match text {
        Some(text) => {
            let kind = [(
                header::CONTENT_TYPE,
                "text/plain; version=0.0.4; charset=utf-8",
            )];
            (kind, text).into_response()
        }
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn api_status(State(handle): State<Arc<Handle>>) -> Response {
    match status(handle).await {
        Some(status) => Json(status).into_response(),
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Asks the shards, which may take a moment, on a thread made for waiting.
async fn status(handle: Arc<Handle>) -> Option<Status> {
    tokio::task::spawn_blocking(move || handle.status())
        .await
        .ok()
}
