//! `POST /populate_metric`: a job in the forms that Skyline's Vista sends, and what it
//! is held against before anything is fetched.
//!
//! ```text
//! {"remote_host_type": "graphite", "remote_target": "a.b", "metric": "vista.a.b",
//!  "namespace_prefix": "vista", "key": "...", "token": "None", "user": "None",
//!  "password": "None", "fetch_resolution_urls":
//!      "\"['http://h/render/?from=-7days&format=json&target=a.b']\""}
//! ```
//!
//! The URLs are never fetched as they come. Each is taken apart, its host must be that
//! of an entry of `vista.fetch`, its path the one for questions, and what is sent is
//! made anew of what it asks for: so nobody has this server ask anything else, or
//! anybody else.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::Request;
use axum::http::StatusCode;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::job::{Ask, Job};
use crate::flux::answer::Answer;
use crate::flux::http::Site as Shared;
use crate::literal;
use crate::settings::{Fetch, RemoteHostType, Secret, Settings};
use crate::side_keys::now_s;
use crate::source::graphite::{self, Render};
use crate::source::{Origin, Site, minute, prometheus};

/// URLs in one request, at most.
const URLS_MAX: usize = 64;
/// Longest of all of them together, and longest target, in bytes.
pub(super) const URLS_BYTES_MAX: usize = 32 << 10;
const TARGET_BYTES_MAX: usize = 4096;
/// Parameters of Graphite that a target is told from.
const RENDER_PARAMETERS: [&str; 4] = ["from=", "until=", "format=", "target="];

/// Why a request is refused; told to whoever asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum Refusal {
    #[error("expected a JSON object")]
    Json,
    #[error("no {0}")]
    Missing(&'static str),
    #[error("remote_host_type: expected graphite or prometheus")]
    Type,
    #[error("metric: expected a name of letters, digits and any of . _ - % + / = :")]
    Metric,
    #[error(
        "fetch_resolution_urls: expected a list, or its text, of at most {URLS_MAX} URLs of \
         {URLS_BYTES_MAX} bytes in all"
    )]
    Urls,
    #[error("remote_target: expected at most {TARGET_BYTES_MAX} bytes")]
    Target,
    #[error("fetch_resolution_urls: {0}")]
    Url(String),
    #[error("{0} is the host of no entry of vista.fetch, from which alone is fetched")]
    Host(String),
    #[error("{0}")]
    Login(String),
}

/// The endpoint.
pub async fn answer(shared: Arc<Shared>, request: Request) -> Answer {
    let received = match shared.receive(request, true).await {
        Ok(received) => received,
        Err(answer) => return answer,
    };
    let Ok(Value::Object(body)) = serde_json::from_slice(&received.bytes) else {
        return refuse(&Refusal::Json);
    };
    let force = shared.force();
    let grant = force
        .keys
        .grant(&text(&body, "key").unwrap_or_default())
        .await;
    if !grant.is_some_and(|grant| grant.is_self) {
        let code = StatusCode::UNAUTHORIZED;
        return Answer::refused(code, "invalid_key", "invalid key");
    }
    let job = match job(&body, &force.settings, now_s() as i64) {
        Ok(job) => job,
        Err(refusal) => return refuse(&refusal),
    };
    match shared.populate.request(job) {
        Ok(_) => Answer::no_content(),
        Err(why) => why.into(),
    }
}

fn refuse(refusal: &Refusal) -> Answer {
    let reason = match refusal {
        Refusal::Json => "invalid_json",
        Refusal::Metric => "metric_name",
        Refusal::Host(_) => "host_not_allowed",
        _ => "invalid_parameters",
    };
    Answer::bad(reason, &refusal.to_string())
}

/// A field as text; none where Skyline's programs mean none.
fn text(body: &Map<String, Value>, name: &str) -> Option<String> {
    let text = match body.get(name)? {
        Value::String(text) => text.clone(),
        Value::Null => return None,
        other => other.to_string(),
    };
    (!matches!(text.as_str(), "" | "None")).then_some(text)
}

/// The job that a request asks for, with `now` in seconds since 1970.
fn job(body: &Map<String, Value>, settings: &Settings, now: i64) -> Result<Job, Refusal> {
    let wanted = |name| text(body, name).ok_or(Refusal::Missing(name));
    let host_type = match wanted("remote_host_type")?.as_str() {
        "graphite" => RemoteHostType::Graphite,
        "prometheus" => RemoteHostType::Prometheus,
        _ => return Err(Refusal::Type),
    };
    let remote_target = wanted("remote_target")?;
    if remote_target.len() > TARGET_BYTES_MAX {
        return Err(Refusal::Target);
    }
    let metric = wanted("metric")?;
    let is_good = |c: char| c.is_ascii_alphanumeric() || "._-%+/=:".contains(c);
    if metric.len() > settings.horizon.name_bytes_max || !metric.chars().all(is_good) {
        return Err(Refusal::Metric);
    }
    let urls = urls(body.get("fetch_resolution_urls"))?;
    let entries = &settings.vista.fetch;
    let entry = |url: &str| entry(entries, url, host_type, &remote_target);
    let mut asks = Vec::new();
    let mut first: Option<&Fetch> = None;
    for url in &urls {
        let fetch = entry(url)?;
        if first.is_some_and(|first| first.remote_host != fetch.remote_host) {
            return Err(Refusal::Url("expected URLs of one host".to_owned()));
        }
        first = first.or(Some(fetch));
        asks.push(ask(url, host_type, now)?);
    }
    let fetch = first.ok_or(Refusal::Urls)?;
    asks.sort_by_key(|ask| ask.span().start);
    let site = site(body, fetch, &remote_target)?;
    Ok(Job {
        metric,
        remote_target,
        site: Arc::new(site),
        asks,
        since: Instant::now(),
    })
}

/// The entry whose host this URL is of; of several the one for this target.
fn entry<'a>(
    entries: &'a [Fetch],
    url: &str,
    host_type: RemoteHostType,
    remote_target: &str,
) -> Result<&'a Fetch, Refusal> {
    let address = url.split_once('?').map_or(url, |(address, _)| address);
    let parsed = reqwest::Url::parse(address).ok();
    let origin = parsed.as_ref().and_then(Origin::of);
    let origin = origin.ok_or_else(|| Refusal::Url("expected http and https URLs".to_owned()))?;
    let is_plain = |url: &reqwest::Url| {
        url.username().is_empty() && url.password().is_none() && url.fragment().is_none()
    };
    let path = match parsed.filter(is_plain) {
        Some(url) => url.path().to_owned(),
        None => {
            return Err(Refusal::Url(
                "expected URLs without a login or #".to_owned(),
            ));
        }
    };
    let paths: &[&str] = match host_type {
        RemoteHostType::Graphite => &["/render", "/render/"],
        RemoteHostType::Prometheus => &[prometheus::QUERY_PATH, prometheus::RANGE_PATH],
    };
    let mut found = entries.iter().filter(|entry| {
        let Ok(site) = Site::at(&entry.remote_host) else {
            return false;
        };
        let base = site.base_path();
        *site.origin() == origin
            && entry.remote_host_type == host_type
            && path
                .strip_prefix(&base)
                .is_some_and(|rest| paths.contains(&rest))
    });
    let first = found.next();
    let same = first
        .into_iter()
        .chain(found)
        .find(|entry| entry.remote_target == remote_target);
    same.or(first)
        .ok_or_else(|| Refusal::Host(origin.to_string()))
}

/// Where the job is sent, with the login that the request has, or else the entry's if
/// that is for the same target.
fn site(body: &Map<String, Value>, fetch: &Fetch, remote_target: &str) -> Result<Site, Refusal> {
    let bad = |error: crate::source::SiteError| Refusal::Login(error.to_string());
    let given = ["token", "user", "password"].map(|name| text(body, name));
    if given.iter().all(Option::is_none) && fetch.remote_target == remote_target {
        return Site::of(fetch).map_err(bad);
    }
    let plain = Fetch {
        token: None,
        user: None,
        password: None,
        api_key: None,
        headers: crate::settings::Headers::default(),
        ..fetch.clone()
    };
    let mut site = Site::of(&plain).map_err(bad)?.without_login();
    let [token, user, password] = given;
    let secret = |text: Option<String>| text.map(|text| Secret::from(text.as_str()));
    site.log_in(secret(token), user.as_deref(), secret(password))
        .map_err(bad)?;
    Ok(site)
}

/// The URLs, as a list or as the text of one in Python, perhaps in quotes.
fn urls(value: Option<&Value>) -> Result<Vec<String>, Refusal> {
    let mut value = value
        .cloned()
        .ok_or(Refusal::Missing("fetch_resolution_urls"))?;
    // A text in a text, as Skyline's Vista sends it.
    for _ in 0..2 {
        if let Value::String(text) = &value {
            value = literal::parse(text).map_err(|_| Refusal::Urls)?;
        }
    }
    let Value::Array(items) = value else {
        return Err(Refusal::Urls);
    };
    if items.is_empty() || items.len() > URLS_MAX {
        return Err(Refusal::Urls);
    }
    let text = |item: Value| match item {
        Value::String(text) => Ok(text),
        _ => Err(Refusal::Urls),
    };
    let urls: Vec<String> = items.into_iter().map(text).collect::<Result<_, _>>()?;
    let bytes: usize = urls.iter().map(String::len).sum();
    (bytes <= URLS_BYTES_MAX)
        .then_some(urls)
        .ok_or(Refusal::Urls)
}

/// What one URL asks for.
fn ask(url: &str, host_type: RemoteHostType, now: i64) -> Result<Ask, Refusal> {
    let bad = |why: &str| Refusal::Url(why.to_owned());
    let (address, query) = url
        .split_once('?')
        .ok_or_else(|| bad("a URL without a query"))?;
    match host_type {
        RemoteHostType::Graphite => render(query, now),
        RemoteHostType::Prometheus if address.ends_with(prometheus::RANGE_PATH) => steps(query),
        RemoteHostType::Prometheus => samples(query, now),
    }
}

/// Graphite's parameters. Skyline's Vista puts the target last, without encoding it.
fn render(query: &str, now: i64) -> Result<Ask, Refusal> {
    let bad = |why: String| Refusal::Url(why);
    let mut parameters: Vec<String> = Vec::new();
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let is_known = RENDER_PARAMETERS.iter().any(|it| part.starts_with(it));
        match parameters.last_mut() {
            // An & within a target.
            Some(last) if !is_known && last.starts_with("target=") => {
                last.push('&');
                last.push_str(part);
            }
            _ if is_known => parameters.push(part.to_owned()),
            _ => {
                return Err(bad(
                    "expected from, until, format and target only".to_owned()
                ));
            }
        }
    }
    let of = |name: &str| {
        let mut found = parameters.iter().filter_map(|it| it.strip_prefix(name));
        let first = found.next();
        match found.next() {
            Some(_) => Err(bad(format!("{name} stands there twice"))),
            None => Ok(first),
        }
    };
    let time = |text: &str| {
        let span = text.strip_prefix('-').and_then(graphite::span_s);
        let time = span.map(|span| now - span).or_else(|| text.parse().ok());
        time.ok_or_else(|| bad(format!("no time: {}", text.escape_debug())))
    };
    if of("format=")?.is_some_and(|format| format != "json") {
        return Err(bad("expected format=json".to_owned()));
    }
    let from = of("from=")?.ok_or_else(|| bad("a URL without from".to_owned()))?;
    let (from, is_by_age) = (time(from)?, from.starts_with('-'));
    let until = of("until=")?.map(time).transpose()?.unwrap_or(now);
    let target = of("target=")?.unwrap_or_default();
    // Names may hold what looks encoded, which Skyline's worker keeps so.
    let target = decoded(&target.replace(".%2F", ".%252F"))?;
    if target.is_empty() {
        return Err(bad("a URL without a target".to_owned()));
    }
    let render = Render::parse("default").map_err(|error| bad(error.to_string()))?;
    Ok(Ask::Render {
        render,
        target,
        span: span(from, until, now)?,
        is_by_age,
    })
}

/// `query=<expression>[15d]`.
fn samples(query: &str, now: i64) -> Result<Ask, Refusal> {
    let bad =
        || Refusal::Url("expected query=<expression>[<span>] only, such as up[15d]".to_owned());
    let range = query.strip_prefix("query=").filter(|it| !it.contains('&'));
    let range = decoded(range.ok_or_else(bad)?)?;
    let inner = range.trim_end().strip_suffix(']').ok_or_else(bad)?;
    let (expression, length) = inner.rsplit_once('[').ok_or_else(bad)?;
    let length = prometheus::duration_s(length.trim()).ok_or_else(bad)?;
    if expression.trim().is_empty() {
        return Err(bad());
    }
    Ok(Ask::of_prometheus(
        expression,
        span(now - length, now, now)?,
    ))
}

/// `query=<expression>&start=<seconds>&end=<seconds>&step=60s`.
fn steps(query: &str) -> Result<Ask, Refusal> {
    let bad = || Refusal::Url("expected query, start, end and step=60 only".to_owned());
    let mut parts = [None; 4];
    for part in query.split('&') {
        let (name, value) = part.split_once('=').ok_or_else(bad)?;
        let names = ["query", "start", "end", "step"];
        let at = names.iter().position(|it| *it == name).ok_or_else(bad)?;
        if parts[at].replace(value).is_some() {
            return Err(bad());
        }
    }
    let [
        Some(expression),
        Some(start),
        Some(end),
        Some("60" | "60s" | "1m"),
    ] = parts
    else {
        return Err(bad());
    };
    let time = |text: &str| text.parse::<i64>().map_err(|_| bad());
    let end = time(end)?;
    Ok(Ask::Steps {
        expression: decoded(expression)?,
        span: span(time(start)?, end, end)?,
    })
}

/// What is from `from` to before `until`, widened to whole minutes, but never into the
/// one that `now` lies in.
fn span(from: i64, until: i64, now: i64) -> Result<Range<i64>, Refusal> {
    let bad = || Refusal::Url("expected times of this century, the older one first".to_owned());
    let known = 0..=4_102_444_800;
    if !known.contains(&from) || !known.contains(&until) || from > until {
        return Err(bad());
    }
    let end = minute::floor(until + minute::MINUTE - 1).min(minute::floor(now));
    Ok(minute::floor(from)..end)
}

fn decoded(text: &str) -> Result<String, Refusal> {
    let text = percent_decode_str(text).decode_utf8();
    let bad = || Refusal::Url("expected UTF-8 in what is encoded".to_owned());
    let text = text.map_err(|_| bad())?.into_owned();
    (!text.contains(char::is_control))
        .then_some(text)
        .ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn settings() -> Settings {
        let entry = |kind: &str| {
            format!(
                "{{ remote_host = 'http://h', remote_host_type = '{kind}', remote_target = 'a' }}"
            )
        };
        let entries = format!(
            "vista.fetch=[{}, {}]",
            entry("graphite"),
            entry("prometheus")
        );
        Settings::load(None, &[entries]).unwrap()
    }

    fn asked(kind: &str, urls: Value) -> Result<Vec<Ask>, Refusal> {
        let body = json!({
            "remote_host_type": kind, "remote_target": "a", "metric": "vista.a",
            "fetch_resolution_urls": urls,
        });
        let Value::Object(body) = body else {
            panic!("an object")
        };
        job(&body, &settings(), 1_795_295_764).map(|job| job.asks)
    }

    // The URLs are those of Skyline's own Vista, as its acceptance vectors give them.
    #[test]
    fn the_urls_of_vista_become_questions_oldest_first() {
        let text = "\"['http://h/render/?from=-7days&until=-24hours&format=json&target=a', \
                    'http://h/render/?from=1795274164&format=json&target=a', \
                    'http://h/render/?from=-24hours&until=-6hours&format=json&target=a']\"";
        let asks = asked("graphite", json!(text)).unwrap();
        let spans: Vec<Range<i64>> = asks.iter().map(|ask| ask.span().clone()).collect();
        let now = 1_795_295_760;
        let ago = |seconds: i64| now - seconds;
        assert_eq!(
            spans,
            [
                ago(604_800)..ago(86_400) + 60,
                ago(86_400)..ago(21_600) + 60,
                ago(21_600)..now
            ]
        );
        let url = "http://h/api/v1/query?query=goodpop%7Ba%3D%22b%22%7D[15d]";
        for urls in [
            json!([url]),
            json!(format!("['{url}']")),
            json!(format!("\"['{url}']\"")),
        ] {
            let wanted = Ask::Samples {
                selector: "goodpop{a=\"b\"}".to_owned(),
                span: ago(1_296_000)..now,
            };
            assert_eq!(asked("prometheus", urls), Ok(vec![wanted]));
        }
        let url = "http://h/api/v1/query_range?query=a%20%2b%20b&start=60&end=180&step=60s";
        let wanted = Ask::Steps {
            expression: "a + b".to_owned(),
            span: 60..180,
        };
        assert_eq!(asked("prometheus", json!([url])), Ok(vec![wanted]));
    }

    // Signs that mean something in a URL are part of a target that nobody has encoded.
    #[test]
    fn a_target_is_all_that_stands_behind_its_name() {
        for (written, wanted) in [
            ("sumSeries(a.*,b)", "sumSeries(a.*,b)"),
            ("a+b", "a+b"),
            ("a%2Bb", "a+b"),
            ("a.%2Fb", "a.%2Fb"),
            ("a&b=c", "a&b=c"),
            ("a#b?c", "a#b?c"),
            ("a&until=-1hours", "a"),
        ] {
            let url = format!("http://h/render/?from=-2hours&target={written}");
            let asks = asked("graphite", json!([url])).unwrap();
            let Ask::Render { target, .. } = &asks[0] else {
                panic!("{asks:?}")
            };
            assert_eq!(target, wanted);
        }
    }

    proptest! {
        #[test]
        fn no_url_makes_it_panic(path in "(/render/|/api/v1/query|/x)", query in ".*") {
            for kind in ["graphite", "prometheus"] {
                let _ = asked(kind, json!([format!("http://h{path}?{query}")]));
                let _ = asked(kind, json!(query.clone()));
            }
        }
    }
}
