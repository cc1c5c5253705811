//! The page for operators, and what it and other programs ask for:
//!
//! | path | is |
//! | --- | --- |
//! | `/` | the dashboard |
//! | `/healthz`, `/readyz` | whether the process lives; whether it listens and Redis settles |
//! | `/metrics` | Prometheus text |
//! | `/api/status` | the same numbers as JSON, the last row of the history, the last faults |
//! | `/api/history?after=N` | the last half hour, or what came after row N of it |
//! | `/api/talkers` | who brings the most |
//! | `/api/vista?find=TEXT` | the entries of Vista that have it in their name, source, state or error |
//!
//! It has a thread and a small runtime of its own, and asks the shards only
//! when somebody asks it, so that it costs the data plane nothing.

mod page;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use hyper_util::service::TowerToHyperService;
use tokio::sync::watch;

use crate::host::{self, Transport};
use crate::http::{self, Gate, Limits};
use crate::server::Handle;
use crate::status::Status;

/// Answers are of the moment.
const NO_STORE: [(header::HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];

/// It is for operators and one or two scrapers.
const LIMITS: Limits = Limits {
    connections_max: 64,
    head_bytes_max: 16 << 10,
    read_bytes_max: 16 << 10,
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
        .merge(page::routes())
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/api/status", get(api_status))
        .route("/api/history", get(api_history))
        .route("/api/talkers", get(api_talkers))
        .route("/api/vista", get(api_vista))
        .with_state(handle)
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
    // The answer does not wait for Redis: the next one will know.
    if handle.redis_info.is_due() {
        let handle = handle.clone();
        tokio::task::spawn_blocking(move || handle.redis_info.ask());
    }
    match status(handle).await {
        Some(status) => (NO_STORE, Json(status)).into_response(),
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[derive(Default, serde::Deserialize)]
struct After {
    #[serde(default)]
    after: u64,
}

async fn api_history(
    State(handle): State<Arc<Handle>>,
    Query(After { after }): Query<After>,
) -> Response {
    let history = handle.boards.history.lock();
    let mut history = history.unwrap_or_else(PoisonError::into_inner);
    history.note_look();
    (NO_STORE, Json(history.after(after))).into_response()
}

#[derive(Default, serde::Deserialize)]
struct Find {
    #[serde(default)]
    find: String,
}

async fn api_vista(
    State(handle): State<Arc<Handle>>,
    Query(Find { find }): Query<Find>,
) -> Response {
    (NO_STORE, Json(handle.vista(&find))).into_response()
}

async fn api_talkers(State(handle): State<Arc<Handle>>) -> Response {
    let told = tokio::task::spawn_blocking(move || handle.talkers()).await;
    match told {
        Ok(told) => (NO_STORE, Json(told)).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Asks the shards, which may take a moment, on a thread made for waiting.
async fn status(handle: Arc<Handle>) -> Option<Status> {
    tokio::task::spawn_blocking(move || handle.status())
        .await
        .ok()
}
