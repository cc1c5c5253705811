//! Files of points: `POST /upload_data`, what became of them, and a page to upload
//! with.
//!
//! A form is taken in and checked at once; its files are processed by one worker, by way
//! of a directory of its own, one after the other. See `terms` for what a form says,
//! `time` for dates, and `status` for what is told.

mod archive;
mod job;
mod page;
mod points;
mod receive;
mod status;
mod table;
mod terms;
mod time;
pub mod workbook;
mod worker;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, Response, StatusCode, header};
use axum::routing::MethodFilter;
use serde_json::{Value, json};
use subtle::ConstantTimeEq;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};

use super::answer::{Answer, json_text};
use super::http::{Site, endpoint};
use super::lock;
use crate::settings::{FluxUploadsSettings, Settings};

use job::Job;
use page::Tokens;
use receive::Form;
use status::Status;

/// The directory of uploads below `state_dir`.
const DIRECTORY: &str = "uploads";
/// A cell as it is read, again in its column, and as a point; texts are in the file.
const CELL_BYTES: usize = 2 * size_of::<table::Cell>() + 80;
/// When it is worth trying again where there is no room.
const RETRY: Duration = Duration::from_secs(30);

/// What outlives a request.
pub struct Uploads {
    directory: PathBuf,
    queue: mpsc::Sender<Job>,
    /// Until the worker has it.
    queued: Mutex<Option<mpsc::Receiver<Job>>>,
    /// Uploads that may come in at a time.
    coming: Semaphore,
    tokens: Tokens,
}

impl Uploads {
    /// Under these settings. Nothing is done with the disk before something comes.
    pub fn new(settings: &Settings) -> Self {
        let uploads = &settings.flux_uploads;
        let (queue, queued) = mpsc::channel(uploads.waiting_max as usize);
        Self {
            directory: settings.state_dir.join(DIRECTORY),
            queue,
            queued: Mutex::new(Some(queued)),
            coming: Semaphore::new(uploads.at_once_max as usize),
            tokens: Tokens::default(),
        }
    }
}

/// Worst-case memory of the one upload that is processed at a time, in bytes; none where
/// uploads are off.
pub fn bytes_max(settings: &Settings) -> Option<(&'static str, u64)> {
    let uploads = &settings.flux_uploads;
    let file = uploads.bytes_max.max(uploads.unpacked_bytes_max);
    let table = uploads.cells_max.saturating_mul(CELL_BYTES);
    let sum = file
        .saturating_add(table)
        .saturating_add(uploads.workbook_bytes_max);
    uploads
        .enabled
        .then_some(("Flux: an upload, processed", sum as u64))
}

/// Starts the worker.
pub fn start(runtime: &Handle, site: &Arc<Site>) {
    if let Some(queued) = lock(&site.uploads.queued).take() {
        let left = job::left_behind(&site.uploads.directory);
        runtime.spawn(worker::run(site.clone(), left, queued));
    }
}

/// `router` with what belongs to uploads.
pub fn routes(router: Router<Arc<Site>>) -> Router<Arc<Site>> {
    let router = endpoint(router, MethodFilter::POST, "upload_data", upload);
    let router = endpoint(router, MethodFilter::GET, "upload_status", upload_status);
    let router = endpoint(router, MethodFilter::GET, "api", api);
    endpoint(router, MethodFilter::GET, "upload", page::page)
}

/// A refusal in the form that Skyline's web application has for uploads.
fn failed(code: StatusCode, reason: &'static str, error: &str) -> Answer {
    let error = json_text(error);
    let body =
        format!("{{\"status\": {{\"error\": {error}}}, \"data\": {{\"upload\": \"failed\"}}}}");
    Answer::json(code, body).because(reason)
}

/// Plain text, as Skyline's web application answers without JSON.
fn plain(code: StatusCode, reason: &'static str, text: &'static str) -> Answer {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = code;
    let kind = axum::http::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Answer::from(response).because(reason)
}

fn off() -> Answer {
    plain(StatusCode::NOT_FOUND, "off", "Not Found")
}

async fn upload(site: Arc<Site>, request: Request) -> Answer {
    let settings = site.force().settings.clone();
    if !settings.flux_uploads.enabled {
        return off();
    }
    match take(&site, &settings, request).await {
        Ok(answer) | Err(answer) => answer,
    }
}

async fn take(site: &Arc<Site>, settings: &Settings, request: Request) -> Result<Answer, Answer> {
    let uploads = &site.uploads;
    let headers = request.headers().clone();
    page::check_origin(&headers)?;
    let full = |text| Answer::try_later("full", text, RETRY);
    let place = uploads.queue.try_reserve();
    let place = place.map_err(|_| full("too many uploads wait to be processed"))?;
    let coming = uploads.coming.try_acquire();
    let _coming = coming.map_err(|_| full("too many uploads come in at this moment"))?;
    let form = receive::receive(uploads, &settings.flux_uploads, request).await?;
    page::check_token(&headers, &form.fields, &uploads.tokens)?;
    let job = check(&settings.flux_uploads, &form)?;
    let warning = job.undeclared(settings);
    if let Some(warning) = &warning {
        tracing::warn!(upload = job.id_key, "{warning}");
    }
    let status = job.status(settings);
    // Without one, nobody would learn what becomes of it.
    let written = status.write(&site.intake).await;
    written.map_err(|_| Answer::try_later("redis_away", "redis is away", RETRY))?;
    let directory = uploads.directory.clone();
    let keeping = tokio::task::spawn_blocking(move || form.incoming.keep(&directory, job)).await;
    let kept = keeping.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    let job = kept.map_err(|error| {
        tracing::warn!(%error, "an upload could not be kept");
        failed(
            StatusCode::INSUFFICIENT_STORAGE,
            "disk",
            "the upload could not be kept on disk",
        )
    })?;
    let answer = taken(&job, warning.as_deref());
    place.send(job);
    Ok(answer)
}

fn taken(job: &Job, warning: Option<&str>) -> Answer {
    let mut data = vec![
        ("feature maturity", json!("EXPERIMENTAL")),
        ("upload", json!("successful")),
        ("upload_id", json!(job.id)),
        ("upload_id_key", json!(job.id_key)),
        (
            "parent_metric_namespace",
            json!(job.fields.get("parent_metric_namespace")),
        ),
        ("data file", json!(job.data_name)),
    ];
    if let Some(info) = &job.info_name {
        data.push(("info file", json!(info)));
    }
    if let Some(warning) = warning {
        data.push(("warning", json!(warning)));
    }
    let items: Vec<String> = data
        .iter()
        .map(|(name, value)| format!("\"{name}\": {value}"))
        .collect();
    let body = format!("{{\"status\": {{}}, \"data\": {{{}}}}}", items.join(", "));
    Answer::json(StatusCode::OK, body)
}

/// Checks a form in Skyline's order, and makes a job of it.
fn check(settings: &FluxUploadsSettings, form: &Form) -> Result<Job, Answer> {
    let fields = &form.fields;
    let bad = |text: &str| failed(StatusCode::BAD_REQUEST, "bad_field", text);
    if !fields.is_set("key") {
        return Err(unauthorized());
    }
    if !fields.is_set("json_response") {
        return Err(match fields.is_set("flux_identifier") {
            true => bad("flux_identifier is of Skyline's own page: send json_response=true"),
            false => plain(StatusCode::BAD_REQUEST, "bad_field", "Bad Request"),
        });
    }
    if let Some(name) = fields.missing() {
        return Err(bad(&format!("no {name} in the POST variables")));
    }
    let text = |name| fields.get(name).unwrap_or_default();
    let namespace = text("parent_metric_namespace").trim();
    if !is_authorized(settings, namespace, text("key")) {
        return Err(unauthorized());
    }
    let mut fields = fields.clone();
    // It is written to disk and to Redis, where nobody needs it.
    fields.remove("key");
    fields.remove("token");
    fields.terms().map_err(|text| bad(&text))?;
    let Some(data) = form.files.get("data_file") else {
        return Err(bad(match form.fields.get("data_file") {
            Some(_) => "error :: blank data_file variable",
            None => "error :: no data_file in the POST",
        }));
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let time = format!("{}.{:06}", now.as_secs(), now.subsec_micros());
    let namespace = archive::safe_name(namespace);
    Ok(Job {
        id: format!("{namespace}/{time}"),
        id_key: format!("{namespace}.{time}"),
        fields,
        data_name: data.clone(),
        info_name: form.files.get("info_file").cloned(),
        directory: PathBuf::new(),
    })
}

fn unauthorized() -> Answer {
    plain(StatusCode::UNAUTHORIZED, "invalid_key", "Unauthorized")
}

/// Whether this key may upload to this namespace. Skyline's documents show both
/// namespace = key and key = namespace; both hold, and both compare the key.
fn is_authorized(settings: &FluxUploadsSettings, namespace: &str, key: &str) -> bool {
    let is_same = |one: &str, other: &str| one.as_bytes().ct_eq(other.as_bytes());
    let mut found = subtle::Choice::from(0);
    for (left, right) in settings.keys.iter() {
        let right = right.expose();
        if left.is_empty() || right.is_empty() {
            continue;
        }
        found |= is_same(left, namespace) & is_same(right, key);
        found |= is_same(right, namespace) & is_same(left, key);
    }
    bool::from(found) && !key.is_empty()
}

async fn api(site: Arc<Site>, request: Request) -> Answer {
    let query = request.uri().query().unwrap_or_default();
    if !form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "upload_status") {
        return off();
    }
    upload_status(site, request).await
}

async fn upload_status(site: Arc<Site>, request: Request) -> Answer {
    if !site.force().settings.flux_uploads.enabled {
        return off();
    }
    let query = request.uri().query().unwrap_or_default();
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    let id_key = pairs.find(|(name, value)| name == "upload_id_key" && !value.is_empty());
    let Some((_, id_key)) = id_key else {
        let body = "{\"error\": \"no upload_id_key was passed\"}".to_owned();
        return Answer::json(StatusCode::BAD_REQUEST, body).because("no_upload_id_key");
    };
    let is_good = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let status = match id_key.len() <= 300 && id_key.chars().all(is_good) {
        true => Status::read(&site.intake, &id_key).await,
        false => Ok(None),
    };
    match status {
        Ok(Some(status)) => {
            let body = Value::Object(serde_json::Map::from_iter([("upload".to_owned(), status)]));
            Answer::json(
                StatusCode::OK,
                format!("{{\"status\": {{}}, \"data\": {body}}}"),
            )
        }
        Ok(None) => {
            let text: String = id_key.chars().filter(|c| is_good(*c)).take(300).collect();
            let body = format!("{{\"not found\": \"there is not status for {text}\"}}");
            Answer::json(StatusCode::NOT_FOUND, body).because("not_found")
        }
        Err(_) => Answer::try_later("redis_away", "redis is away", RETRY),
    }
}

/// The headers of a request that a browser sends by itself.
fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(keys: &str) -> FluxUploadsSettings {
        let sets = [format!("flux.uploads.keys={keys}")];
        Settings::load(None, &sets).unwrap().flux_uploads
    }

    // In the second orientation Skyline takes any key.
    #[test]
    fn a_key_is_compared_in_both_orientations() {
        let one = settings("{ space = 'a-key', other = 'b-key' }");
        let two = settings("{ a-key = 'space', b-key = 'other' }");
        for settings in [&one, &two] {
            assert!(is_authorized(settings, "space", "a-key"));
            for (namespace, key) in [
                ("space", "b-key"),
                ("space", ""),
                ("space", "space"),
                ("space.sub", "a-key"),
                ("", "a-key"),
                ("space", "other"),
                ("nothing", "a-key"),
            ] {
                assert!(
                    !is_authorized(settings, namespace, key),
                    "{namespace} {key}"
                );
            }
        }
    }
}
