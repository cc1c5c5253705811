//! `POST /prometheus/write`: Prometheus's remote write 1.0, and the same in JSON, on
//! the way to VictoriaMetrics. Labels stay labels; tenant and server are two more.
//!
//! 204 means that VictoriaMetrics has taken what was wanted. While it is away the
//! answer is 503, upon which Prometheus keeps its samples and sends them again. 400 is
//! only for what would be refused again.

mod convert;
mod guard;
pub mod json;
pub mod message;
mod select;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::MethodFilter;
use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use quick_cache::sync::Cache;
use serde_json::{Value, json};

use super::answer::{Answer, json_text};
use super::http::{Received, Site, endpoint};
use super::lock;
use super::victoria::{Failure, Victoria};
use crate::literal;
use crate::logging::Throttle;
use crate::settings::Settings;

use convert::{Converted, NO_SAMPLES, OVER_QUOTA, TOO_OLD, Terms, convert};
use guard::{Bounds, Guard};
use message::{BadBody, Series, TimeSeries};
use select::{BadHeader, Selection};

/// The key by which Skyline knows that it lives.
const LIVES: &str = "flux.prometheus";
/// The endpoint's name.
const ENDPOINT: &str = "prometheus/write";
/// When it is worth trying again after VictoriaMetrics was away.
const RETRY: Duration = Duration::from_secs(5);
/// Longest tenant or server id.
const ID_BYTES_MAX: usize = 255;
/// Headers of senders that are remembered compiled.
const SELECTIONS_MAX: usize = 64;
/// A body is held three times at most: as it came, decompressed, and as lines.
const COPIES: usize = 3;

/// What outlives a request.
pub struct Prometheus {
    victoria: Option<Victoria>,
    guard: Mutex<Guard>,
    selections: Cache<[String; 3], Arc<Selection>>,
}

/// Who sends, and how.
struct Sender {
    tenant: String,
    server: String,
    selection: Arc<Selection>,
    is_test: bool,
}

impl Prometheus {
    /// With the VictoriaMetrics of these settings. If no client can be made for it,
    /// that is told, and it is as if there were none.
    pub fn new(settings: &Settings) -> Self {
        let victoria = Victoria::new(settings).unwrap_or_else(|error| {
            tracing::error!(%error, "no client for victoriametrics.url could be made");
            None
        });
        Self {
            victoria,
            guard: Mutex::new(Guard::new(Instant::now())),
            selections: Cache::new(SELECTIONS_MAX),
        }
    }

    /// Labelled series known of late.
    pub fn series(&self) -> usize {
        lock(&self.guard).series()
    }

    fn selection(&self, parts: &Parts) -> Result<Arc<Selection>, BadHeader> {
        let names = ["dropMetrics", "doNotDropMetrics", "dropLabels"];
        let texts = names.map(|name| said(parts, name).unwrap_or_default());
        if let Some(selection) = self.selections.get(&texts) {
            return Ok(selection);
        }
        let selection = Arc::new(Selection::new(&texts[0], &texts[1], &texts[2])?);
        self.selections.insert(texts, selection.clone());
        Ok(selection)
    }
}

/// Worst-case memory besides bodies, in bytes; none where it is off.
pub fn bytes_max(settings: &Settings) -> Option<(&'static str, u64)> {
    settings.victoriametrics.url.as_ref()?;
    let series = u64::from(settings.flux_prometheus.series_max);
    Some(("Flux: labelled series", guard::SERIES_BYTES * series))
}

/// `router` with the endpoint.
pub fn routes(router: Router<Arc<Site>>) -> Router<Arc<Site>> {
    endpoint(router, MethodFilter::POST, ENDPOINT, write)
}

async fn write(site: Arc<Site>, request: Request) -> Answer {
    match take(&site, request).await {
        Ok(answer) | Err(answer) => answer,
    }
}

async fn take(site: &Arc<Site>, request: Request) -> Result<Answer, Answer> {
    let query = request.uri().query().unwrap_or_default();
    if form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "status") {
        return Ok(site.health(LIVES).await);
    }
    let Some(victoria) = site.prometheus.victoria.clone() else {
        let message = "victoriametrics.url is not set: labelled metrics have nowhere to go";
        let code = StatusCode::NOT_FOUND;
        return Err(Answer::refused(code, "not_configured", message));
    };
    let form = Form::of(request.headers())?;
    let received = site.receive(request, false).await?;
    match form {
        Form::Protobuf => protobuf(site, &victoria, received).await,
        Form::Json => from_json(site, &victoria, received).await,
    }
}

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Protobuf,
    Json,
}

impl Form {
    fn of(headers: &HeaderMap) -> Result<Self, Answer> {
        if headers.contains_key("horizon-shard") {
            let message = "horizon-shard is not taken here: labelled metrics are not passed on \
                           among shards, send them without that header to one node";
            return Err(Answer::bad("horizon_shard", message));
        }
        let kind = text(headers, "content-type").unwrap_or_default();
        let mut parts = kind.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        if media.eq_ignore_ascii_case("application/json") {
            return Ok(Self::Json);
        }
        let right = "send Content-Type: application/x-protobuf, Content-Encoding: snappy, \
                     X-Prometheus-Remote-Write-Version: 0.1.0; or application/json";
        let refused = |reason, what: &str| {
            let code = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            Err(Answer::refused(code, reason, &format!("{what}: {right}")))
        };
        let proto = parts.find_map(|part| part.strip_prefix("proto="));
        if proto.is_some_and(|proto| proto != "prometheus.WriteRequest") {
            return refused(
                "remote_write_2",
                "only remote write 1.0 (prometheus.WriteRequest) is taken; in Prometheus set \
                 protobuf_message: prometheus.WriteRequest",
            );
        }
        if !text(headers, "content-encoding").is_some_and(|it| it.eq_ignore_ascii_case("snappy")) {
            return refused("not_snappy", "only bodies compressed by snappy are taken");
        }
        if !media.is_empty() && !media.eq_ignore_ascii_case("application/x-protobuf") {
            return refused("not_protobuf", "only protobuf and JSON are taken");
        }
        Ok(Self::Protobuf)
    }
}

async fn protobuf(
    site: &Arc<Site>,
    victoria: &Victoria,
    mut received: Received,
) -> Result<Answer, Answer> {
    let sender = sender(site, &received.parts, None).await?;
    let bytes_max = site.force().settings.flux.decompressed_bytes_max;
    let bytes = snap::raw::decompress_len(&received.bytes).unwrap_or(0);
    received.reserve(COPIES * bytes.min(bytes_max))?;
    let work = {
        let (site, body) = (site.clone(), received.bytes.clone());
        move || {
            let message = message::decompress(&body, bytes_max)?;
            let converted = sender.convert(&site, Series::new(&message))?;
            Ok((sender, converted))
        }
    };
    let done = tokio::task::spawn_blocking(work).await;
    let (sender, converted) = match done {
        Ok(done) => done.map_err(|bad: BadBody| bad_body(&bad))?,
        Err(_) => return Err(Answer::empty(StatusCode::INTERNAL_SERVER_ERROR)),
    };
    sender.deliver(site, victoria, converted).await
}

fn bad_body(bad: &BadBody) -> Answer {
    match bad {
        BadBody::TooLong { .. } => {
            let code = StatusCode::PAYLOAD_TOO_LARGE;
            Answer::refused(code, "decompressed_too_long", &bad.to_string())
        }
        _ => Answer::bad("bad_body", &bad.to_string()),
    }
}

async fn from_json(
    site: &Arc<Site>,
    victoria: &Victoria,
    mut received: Received,
) -> Result<Answer, Answer> {
    received.reserve(COPIES * received.bytes.len())?;
    let body: json::Body = match serde_json::from_slice(&received.bytes) {
        Ok(body) => body,
        Err(_) => return Err(Answer::bad("invalid_json", "invalid json data")),
    };
    let sender = sender(site, &received.parts, body.key.as_deref()).await?;
    if body.metrics.is_empty() {
        return Err(Answer::bad("no_metrics", "no metrics data sent"));
    }
    let max = site.force().settings.flux.request_points_max as usize;
    if body.metrics.len() > max {
        let message = format!("at most {max} metrics are taken in one request");
        let code = StatusCode::PAYLOAD_TOO_LARGE;
        return Err(Answer::refused(code, "too_many_points", &message));
    }
    let series: Vec<Option<TimeSeries>> = body.metrics.iter().map(json::series).collect();
    let invalid = series.iter().filter(|series| series.is_none()).count();
    let valid: Vec<TimeSeries> = series.iter().flatten().cloned().collect();
    let converted = sender.convert(site, valid.into_iter().map(Ok));
    let converted = converted.map_err(|bad| bad_body(&bad))?;
    let answer = if invalid < series.len() {
        sender.deliver(site, victoria, converted).await?
    } else {
        Answer::no_content()
    };
    if invalid == 0 || !answer.response.status().is_success() {
        return Ok(answer);
    }
    site.count_refused(ENDPOINT, "invalid_metric", invalid as u64);
    let code = match invalid == series.len() {
        true => StatusCode::BAD_REQUEST,
        false => StatusCode::MULTI_STATUS,
    };
    Ok(invalid_items(code, &body.metrics, &series).with_points(answer.points))
}

/// Which items were taken and which were not.
fn invalid_items(code: StatusCode, items: &[Value], series: &[Option<TimeSeries>]) -> Answer {
    let rows = items.iter().zip(series).map(|(item, series)| {
        let status = if series.is_some() { 204 } else { 400 };
        let item = json_text(&literal::repr(item));
        format!("{{\"metric_data\": {item}, \"status\": {status}}}")
    });
    let rows: Vec<String> = rows.collect();
    let invalid = series.iter().filter(|series| series.is_none()).count();
    let body = format!(
        "{{\"code\": {}, \"data\": [{}], \"error\": \"invalid metric data\", \"message\": \
         \"{} metrics were processed and {invalid} metrics were rejected\"}}",
        code.as_u16(),
        rows.join(", "),
        series.len() - invalid,
    );
    Answer::json(code, body)
}

/// Who sends this, by its headers and `key`, which a body may hold instead.
///
/// # Errors
///
/// The answer to a sender that may not, or does not say who it is.
async fn sender(site: &Site, parts: &Parts, key: Option<&str>) -> Result<Sender, Answer> {
    let refused = |code, reason, message: &str| Answer::refused(code, reason, message);
    let header = text(&parts.headers, "key").or(key).map(str::to_owned);
    let Some(key) = header.or_else(|| authorized(&parts.headers)) else {
        return Err(refused(StatusCode::UNAUTHORIZED, "no_key", "no key header"));
    };
    let Some(grant) = site.force().keys.grant(&key).await else {
        return Err(refused(StatusCode::FORBIDDEN, "invalid_key", "invalid key"));
    };
    let tenant = id(parts, "x-tenant-id")?;
    if let Some(namespace) = &grant.namespace {
        let rest = tenant.strip_prefix(&**namespace);
        if !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.')) {
            let message = "the key is of another tenant than x-tenant-id";
            return Err(refused(StatusCode::FORBIDDEN, "other_tenant", message));
        }
    }
    let selection = site.prometheus.selection(parts);
    let selection = selection.map_err(|bad| Answer::bad("bad_header", &bad.to_string()))?;
    Ok(Sender {
        tenant,
        server: id(parts, "x-server-id")?,
        selection,
        is_test: said(parts, "x-test-only").is_some_and(|text| !text.is_empty()),
    })
}

fn id(parts: &Parts, name: &str) -> Result<String, Answer> {
    let bad = |what: &str| Answer::bad("no_id", &format!("{what} {name} header"));
    let id = said(parts, name).unwrap_or_default();
    let id = id.trim();
    if id.is_empty() {
        return Err(bad("no"));
    }
    let is_good = |c: char| c.is_ascii_graphic() && !"\"\\{},=".contains(c);
    if id.len() > ID_BYTES_MAX || !id.chars().all(is_good) {
        return Err(bad("invalid characters in, or too long, the"));
    }
    Ok(id.to_owned())
}

/// What a header says, or else a parameter of that name: some builds of Prometheus,
/// Debian's 2.42 among them, send no headers of their configuration.
fn said(parts: &Parts, name: &str) -> Option<String> {
    if let Some(text) = text(&parts.headers, name) {
        return Some(text.to_owned());
    }
    let query = parts.uri.query().unwrap_or_default();
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

/// The key as a bearer token, or as the password of basic authentication.
fn authorized(headers: &HeaderMap) -> Option<String> {
    let (scheme, token) = text(headers, "authorization")?.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(token.trim().to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = BASE64.decode(token.trim()).ok()?;
    let (_, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some(password.to_owned())
}

/// A header that is text.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

impl Sender {
    fn convert(
        &self,
        site: &Site,
        series: impl Iterator<Item = Result<TimeSeries, BadBody>>,
    ) -> Result<Converted, BadBody> {
        let settings = &site.force().settings;
        let prometheus = &settings.flux_prometheus;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now_ms = now.map_or(0, |now| now.as_millis() as i64);
        let quota = settings.flux.quotas.quota(&self.tenant);
        let oldest_ms = match prometheus.max_age_s {
            0 => i64::MIN,
            seconds => now_ms - i64::from(seconds) * 1000,
        };
        let terms = Terms {
            tenant: &self.tenant,
            server: &self.server,
            selection: &self.selection,
            rules: &site.handle.rules(),
            drop_buckets: prometheus.drop_buckets,
            oldest_ms,
            bounds: Bounds {
                metric_max: prometheus.metric_series_max as usize,
                tenant_max: quota.map(|quota| quota as usize),
                all_max: prometheus.series_max as usize,
            },
            is_test: self.is_test,
        };
        let known = lock(&site.prometheus.guard).series_of(&self.tenant);
        let mut converted = convert(series, &terms, &site.prometheus.guard)?;
        // A tenant that begins with more than it may have is told, once.
        converted.is_first_excess = known == 0 && converted.refused.contains_key(OVER_QUOTA);
        Ok(converted)
    }

    async fn deliver(
        &self,
        site: &Site,
        victoria: &Victoria,
        converted: Converted,
    ) -> Result<Answer, Answer> {
        if self.is_test {
            return Ok(self.tested(&converted));
        }
        for (reason, count) in &converted.refused {
            site.count_refused(ENDPOINT, reason, *count);
        }
        if converted.taken > 0 {
            victoria
                .import(converted.lines)
                .await
                .map_err(|failure| not_taken(&failure))?;
        }
        let settings = &site.force().settings;
        if converted.is_first_excess {
            let quota = settings.flux.quotas.quota(&self.tenant).unwrap_or(0);
            let message = format!(
                "Too many metrics - quota: {quota}, submitted: {}",
                converted.series
            );
            return Ok(Answer::bad("over_quota_at_once", &message).with_points(converted.taken));
        }
        let is_all_old = converted.taken == 0 && converted.refused.contains_key(TOO_OLD);
        if is_all_old && converted.refused[TOO_OLD] > 0 {
            let seconds = settings.flux_prometheus.max_age_s;
            let message = format!("data older than {seconds} seconds");
            return Ok(Answer::bad("all_too_old", &message));
        }
        Ok(Answer::no_content().with_points(converted.taken))
    }

    fn tested(&self, converted: &Converted) -> Answer {
        let (taken, dropped) = &converted.names;
        let no_values = converted.refused.get(NO_SAMPLES).copied().unwrap_or(0);
        let list = |names: &[String]| json_text(&literal::repr(&json!(names)));
        let message = "metric ingestion test, no metrics were ingested only counts are reported";
        let body = format!(
            "{{\"tenant_id\": {}, \"message\": \"{message}\", \"ingest_count\": {}, \
             \"drop_count\": {}, \"metrics\": {}, \"dropped\": {}, \"no_values_count\": {no_values}}}",
            json_text(&self.tenant),
            taken.len(),
            dropped.len(),
            list(taken),
            list(dropped),
        );
        Answer::json(StatusCode::OK, body)
    }
}

fn not_taken(failure: &Failure) -> Answer {
    static BRAKE: Throttle = Throttle::new(Duration::from_secs(60));
    if let Some(suppressed) = BRAKE.admit() {
        tracing::warn!(suppressed, "labelled metrics are not stored: {failure}");
    }
    match failure {
        Failure::Away(_) => Answer::try_later("victoriametrics_away", &failure.to_string(), RETRY),
        Failure::Refused(_) => Answer::bad("victoriametrics_refused", &failure.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(headers: &[(&'static str, &'static str)]) -> Result<Form, u16> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        Form::of(&map).map_err(|answer| answer.response.status().as_u16())
    }

    // What is sent in another form must be refused for good: 5xx would be tried again
    // for ever.
    #[test]
    fn forms_that_are_not_taken_are_refused_for_good() {
        const PROTOBUF: &str = "application/x-protobuf";
        let snappy = ("content-encoding", "snappy");
        let kind = |kind| ("content-type", kind);
        assert_eq!(form(&[kind(PROTOBUF), snappy]), Ok(Form::Protobuf));
        assert_eq!(form(&[snappy]), Ok(Form::Protobuf));
        let one = kind("application/x-protobuf;proto=prometheus.WriteRequest");
        assert_eq!(form(&[one, snappy]), Ok(Form::Protobuf));
        let two = kind("application/x-protobuf;proto=io.prometheus.write.v2.Request");
        assert_eq!(form(&[two, snappy]), Err(415));
        assert_eq!(
            form(&[kind("application/json; charset=utf-8")]),
            Ok(Form::Json)
        );
        assert_eq!(form(&[kind(PROTOBUF)]), Err(415));
        assert_eq!(
            form(&[kind(PROTOBUF), ("content-encoding", "gzip")]),
            Err(415)
        );
        assert_eq!(form(&[kind("text/plain")]), Err(415));
        assert_eq!(form(&[]), Err(415));
        assert_eq!(
            form(&[kind(PROTOBUF), snappy, ("horizon-shard", "a")]),
            Err(400)
        );
    }

    #[test]
    fn ids_that_could_pose_as_labels_are_refused() {
        let read = |value: &str| {
            let request = Request::builder().header("x-tenant-id", value);
            let (parts, ()) = request.body(()).unwrap().into_parts();
            id(&parts, "x-tenant-id").map_err(|answer| answer.response.status().as_u16())
        };
        assert_eq!(read(" ns.1-a_b "), Ok("ns.1-a_b".to_owned()));
        for bad in ["", " ", "a\"b", "a,b=c", "a}", "a b"] {
            assert_eq!(read(bad), Err(400), "{bad:?}");
        }
    }

    #[test]
    fn what_no_header_says_the_url_may_say() {
        let request = Request::builder().uri("/?x-tenant-id=a&x-server-id=b&key=c");
        let request = request.header("x-server-id", "header").body(()).unwrap();
        let (parts, ()) = request.into_parts();
        assert_eq!(said(&parts, "x-tenant-id").as_deref(), Some("a"));
        assert_eq!(said(&parts, "x-server-id").as_deref(), Some("header"));
        assert_eq!(said(&parts, "x-test-only"), None);
    }

    #[test]
    fn a_key_may_come_as_authorization() {
        let read = |value: &'static str| {
            let mut map = HeaderMap::new();
            map.insert("authorization", value.parse().unwrap());
            authorized(&map)
        };
        assert_eq!(read("Bearer a-key").as_deref(), Some("a-key"));
        // "user:a:key"
        assert_eq!(read("basic dXNlcjphOmtleQ==").as_deref(), Some("a:key"));
        for bad in ["Bearer", "Digest x", "Basic !", "Basic dXNlcg=="] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
