//! What Flux's endpoints share: what they are given, how bodies are read, how answers
//! are counted, and the paths they are at.
//!
//! To add an endpoint, write `async fn answer(site: Arc<Site>, request: Request) ->
//! Answer` and add one line to `router`.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use axum::routing::{MethodFilter, on};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::service::TowerToHyperService;
use redis::AsyncCommands;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::answer::Answer;
use super::checks::Clock;
use super::intake::Intake;
use super::keys::KeyStore;
use super::populate::{self, Populate};
use super::prometheus::Prometheus;
use super::status::EndpointStatus;
use super::uploads::Uploads;
use super::{lock, metric_data, metric_data_post, prometheus, uploads};
use crate::server::Handle;
use crate::settings::Settings;

/// The endpoint of single points.
const METRIC_DATA: &str = "metric_data";
/// What bodies hold is counted in pieces of this many bytes.
const PIECE_BYTES: usize = 1024;
/// Most room that a body is given before so much of it has come.
const FIRST_ROOM_BYTES: u64 = 256 << 10;
/// When it is worth trying again after there was no room for a body.
const BODY_RETRY: Duration = Duration::from_secs(1);

/// The key by which Skyline's Thunder knows that Flux listens.
pub const LISTEN: &str = "flux.listen";
/// How long Redis keeps it, in seconds.
pub const KEPT_S: u64 = 120;
/// How often, and with which pauses, Redis is told that all is well.
const HEALTH_ATTEMPTS: u32 = 10;
const HEALTH_PAUSE: Duration = Duration::from_millis(100);

/// What every endpoint is given.
pub struct Site {
    /// The server as a whole.
    pub handle: Arc<Handle>,
    /// The way in.
    pub intake: Intake,
    /// Histories fetched by request.
    pub populate: Populate,
    /// What remote write keeps.
    pub(super) prometheus: Prometheus,
    /// What uploads keep.
    pub(super) uploads: Uploads,
    force: RwLock<Arc<InForce>>,
    endpoints: Mutex<BTreeMap<&'static str, EndpointStatus>>,
    bodies: Arc<Semaphore>,
}

/// What a reload replaces; a request goes on under what it began with.
pub struct InForce {
    /// The settings.
    pub settings: Arc<Settings>,
    /// The keys.
    pub keys: KeyStore,
}

/// A body that has come as a whole, with the room that it was given.
pub struct Received {
    /// The request without it.
    pub parts: Parts,
    /// Its bytes, decompressed where that was asked for.
    pub bytes: Bytes,
    room: Room,
}

impl Received {
    /// Takes room for so many bytes more, which what is made of the body needs.
    ///
    /// # Errors
    ///
    /// 503 when there is none.
    pub fn reserve(&mut self, bytes: usize) -> Result<(), Answer> {
        self.room.grow(bytes)
    }
}

impl InForce {
    fn new(settings: &Arc<Settings>) -> Arc<Self> {
        Arc::new(Self {
            settings: settings.clone(),
            keys: KeyStore::new(&settings.flux),
        })
    }
}

impl Site {
    /// Under the settings that are in force.
    pub fn new(handle: Arc<Handle>, intake: Intake, populate: Populate) -> Self {
        let settings = handle.settings();
        let pieces = settings.flux.bodies_bytes_max / PIECE_BYTES;
        Self {
            force: RwLock::new(InForce::new(&settings)),
            endpoints: Mutex::default(),
            bodies: Arc::new(Semaphore::new(pieces.min(Semaphore::MAX_PERMITS))),
            prometheus: Prometheus::new(&settings),
            uploads: Uploads::new(&settings),
            handle,
            intake,
            populate,
        }
    }

    /// What is in force.
    pub fn force(&self) -> Arc<InForce> {
        let force = self.force.read();
        force.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Goes on under these settings.
    pub fn reload(&self, settings: &Settings) {
        let next = InForce::new(&Arc::new(settings.clone()));
        self.populate.reload(settings);
        *self.force.write().unwrap_or_else(PoisonError::into_inner) = next;
    }

    /// Answers and refusals so far, by endpoint.
    pub fn endpoints(&self) -> BTreeMap<&'static str, EndpointStatus> {
        lock(&self.endpoints).clone()
    }

    /// Counts `refused` requests or points of an endpoint besides those that its
    /// answer tells: `reason` must be one of few.
    pub fn count_refused(&self, endpoint: &'static str, reason: &'static str, refused: u64) {
        if refused > 0 {
            let mut endpoints = lock(&self.endpoints);
            count(
                &mut endpoints.entry(endpoint).or_default().refused,
                reason,
                refused,
            );
        }
    }

    /// Says that it is well, if Redis takes the `key` by which Skyline's Thunder knows.
    pub async fn health(&self, key: &str) -> Answer {
        let now = Clock::new(0).now;
        for _ in 0..HEALTH_ATTEMPTS {
            let told = async {
                let mut connection = self.intake.redis().await?;
                connection.set_ex::<_, _, ()>(key, now, KEPT_S).await
            };
            if told.await.is_ok() {
                return Answer::json(StatusCode::OK, "{\"status\": \"ok\"}".to_owned());
            }
            tokio::time::sleep(HEALTH_PAUSE).await;
        }
        let code = StatusCode::INTERNAL_SERVER_ERROR;
        Answer::json(code, String::new()).because("unhealthy")
    }

    /// What is sent of an answer, which is counted.
    fn counted(&self, endpoint: &'static str, answer: Answer) -> Response {
        let mut endpoints = lock(&self.endpoints);
        let status = endpoints.entry(endpoint).or_default();
        let code = answer.response.status().as_u16();
        *status.answers.entry(code).or_default() += 1;
        status.points += answer.points;
        if let Some(reason) = answer.refused {
            count(&mut status.refused, reason, 1);
        }
        *answer.response
    }

    /// Reads the body of a request, and with `may_be_gzip` decompresses it if it says
    /// that it is; one that is no gzip after all stays as it is.
    ///
    /// # Errors
    ///
    /// 413, 408 and 503 for one that is too long, too slow or finds no room; 400 for
    /// one that is cut off.
    pub async fn receive(&self, request: Request, may_be_gzip: bool) -> Result<Received, Answer> {
        let force = self.force();
        let flux = &force.settings.flux;
        let (parts, body) = request.into_parts();
        let mut room = Room {
            bodies: self.bodies.clone(),
            permit: None,
        };
        let deadline = Instant::now() + Duration::from_secs(flux.body_s.into());
        let read = read(&parts.headers, body, flux.body_bytes_max, &mut room);
        let mut bytes = match tokio::time::timeout_at(deadline, read).await {
            Ok(read) => read?,
            Err(_) => {
                let message = format!("the body has not come within {} s", flux.body_s);
                let code = StatusCode::REQUEST_TIMEOUT;
                return Err(Answer::refused(code, "body_too_slow", &message));
            }
        };
        let encoding = parts.headers.get(header::CONTENT_ENCODING);
        if may_be_gzip && encoding.is_some_and(|encoding| encoding == "gzip") {
            let bytes_max = flux.decompressed_bytes_max;
            bytes = gunzip(&bytes, bytes_max, &mut room)?.unwrap_or(bytes);
        }
        Ok(Received { parts, bytes, room })
    }
}

fn count(counts: &mut BTreeMap<String, u64>, word: &str, more: u64) {
    match counts.get_mut(word) {
        Some(count) => *count += more,
        None => {
            counts.insert(word.to_owned(), more);
        }
    }
}

/// Room for one body, which grows with it.
struct Room {
    bodies: Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Room {
    fn grow(&mut self, bytes: usize) -> Result<(), Answer> {
        let pieces = u32::try_from(bytes.div_ceil(PIECE_BYTES)).unwrap_or(u32::MAX);
        let Ok(more) = self.bodies.clone().try_acquire_many_owned(pieces) else {
            let message = "no room for the body: other requests have it";
            return Err(Answer::try_later("no_room_for_body", message, BODY_RETRY));
        };
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
        Ok(())
    }
}

async fn read(
    headers: &HeaderMap,
    mut body: Body,
    bytes_max: usize,
    room: &mut Room,
) -> Result<Bytes, Answer> {
    let too_long = || {
        let message = format!("the body is longer than {bytes_max} bytes");
        let code = StatusCode::PAYLOAD_TOO_LARGE;
        Answer::refused(code, "body_too_long", &message)
    };
    let told = headers.get(header::CONTENT_LENGTH);
    let told: Option<u64> = told.and_then(|length| length.to_str().ok()?.parse().ok());
    if told.is_some_and(|length| length > bytes_max as u64) {
        return Err(too_long());
    }
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return Err(Answer::bad("body_cut_off", "the body is cut off"));
        };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let before = first.len().max(all.len());
        if before + data.len() > bytes_max {
            return Err(too_long());
        }
        room.grow(data.len())?;
        // Most bodies come in one piece, which need not be copied.
        if before == 0 {
            first = data;
            continue;
        }
        if all.is_empty() {
            // As much as is told, but not for whoever only says so.
            let told = told.unwrap_or(0).min(FIRST_ROOM_BYTES) as usize;
            all.reserve(told.max(before + data.len()));
            all.extend_from_slice(&first);
        }
        all.extend_from_slice(&data);
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// What was compressed; `None` if that is no gzip.
fn gunzip(bytes: &Bytes, bytes_max: usize, room: &mut Room) -> Result<Option<Bytes>, Answer> {
    let mut decoder = flate2::read::MultiGzDecoder::new(&bytes[..]);
    let mut all = Vec::new();
    let mut piece = [0; 16 * PIECE_BYTES];
    loop {
        let Ok(count) = decoder.read(&mut piece) else {
            return Ok(None);
        };
        if count == 0 {
            return Ok(Some(all.into()));
        }
        if all.len() + count > bytes_max {
            let message = format!("the body is longer than {bytes_max} bytes when decompressed");
            let code = StatusCode::PAYLOAD_TOO_LARGE;
            return Err(Answer::refused(code, "decompressed_too_long", &message));
        }
        room.grow(count)?;
        all.extend_from_slice(&piece[..count]);
    }
}

/// What answers requests.
pub fn service(
    site: Arc<Site>,
) -> impl Service<hyper::Request<Incoming>, Response = Response, Error = Infallible, Future: Send>
+ Clone
+ Send
+ 'static {
    let router = TowerToHyperService::new(router(site.clone()));
    service_fn(move |request: hyper::Request<Incoming>| {
        let (site, router) = (site.clone(), router.clone());
        async move {
            // Requests of one point each come more often than all others, so they are
            // spared what a router costs.
            let is_one_point = request.method() == Method::GET
                && matches!(request.uri().path(), "/metric_data" | "/flux/metric_data");
            if !is_one_point {
                return router.call(request).await;
            }
            let answer = metric_data::answer(site.clone(), request.map(Body::new)).await;
            Ok(site.counted(METRIC_DATA, answer))
        }
    })
}

/// Every endpoint, each with and without `/flux` in front.
fn router(site: Arc<Site>) -> Router {
    let router = Router::new();
    let router = endpoint(router, MethodFilter::GET, METRIC_DATA, metric_data::answer);
    let router = endpoint(
        router,
        MethodFilter::POST,
        "metric_data_post",
        metric_data_post::answer,
    );
    let router = endpoint(
        router,
        MethodFilter::POST,
        "populate_metric",
        populate::request::answer,
    );
    let router = prometheus::routes(router);
    let router = uploads::routes(router);
    router
        .fallback(|| async { title(StatusCode::NOT_FOUND, "404 Not Found") })
        .method_not_allowed_fallback(|| async { not_allowed() })
        .with_state(site)
}

/// `router` with one endpoint more, whose name and path are the same.
pub fn endpoint<F, A>(
    router: Router<Arc<Site>>,
    method: MethodFilter,
    name: &'static str,
    answer: F,
) -> Router<Arc<Site>>
where
    F: Fn(Arc<Site>, Request) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Answer> + Send,
{
    let handler = move |State(site): State<Arc<Site>>, request: Request| {
        let answer = answer.clone();
        async move {
            // It would do what GET does, of which nobody sees the answer.
            if request.method() == Method::HEAD {
                return not_allowed();
            }
            let answer = answer(site.clone(), request).await;
            site.counted(name, answer)
        }
    };
    let paths = [format!("/{name}"), format!("/flux/{name}")];
    paths.iter().fold(router, |router, path| {
        router.route(path, on(method, handler.clone()))
    })
}

fn not_allowed() -> Response {
    title(StatusCode::METHOD_NOT_ALLOWED, "405 Method Not Allowed")
}

fn title(code: StatusCode, title: &str) -> Response {
    let body = format!("{{\"title\": \"{title}\"}}");
    *Answer::json(code, body).response
}
