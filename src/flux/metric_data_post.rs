//! `POST /metric_data_post`: one point or many in a JSON object.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};

use super::answer::{Answer, json_text};
use super::checks::{self, Clock};
use super::http::{InForce, LISTEN, Site};
use super::json::Json;
use super::keys::Grant;
use super::points::{self, Taken};
use super::post::{Body, Item, Listed, Plain, Post};
use super::{FluxPoint, Origin, quota, telegraf};

const ENDPOINT: &str = "metric_data_post";

/// A point that is as it must be.
struct Checked<'a> {
    metric: Cow<'a, str>,
    timestamp: i64,
    value: f64,
    fill: bool,
    /// Bytes of its name that were put in front.
    prefix_bytes: usize,
}

impl Checked<'_> {
    /// The name as it was submitted, normalised.
    fn submitted(&self) -> &str {
        &self.metric[self.prefix_bytes..]
    }

    /// The same without its request.
    fn into_owned(self) -> Checked<'static> {
        Checked {
            metric: Cow::Owned(self.metric.into_owned()),
            timestamp: self.timestamp,
            value: self.value,
            fill: self.fill,
            prefix_bytes: self.prefix_bytes,
        }
    }

    fn into_point(self) -> FluxPoint {
        FluxPoint {
            metric: self.metric.into_owned(),
            timestamp: self.timestamp,
            value: self.value,
            fill: self.fill,
        }
    }
}

/// What a request comes to, once its body is read.
enum Read {
    /// Nothing is to be taken.
    Answer(Answer),
    /// Only the health is asked for.
    Health,
    /// Points that are as they must be, and the prefix of the key.
    Points(Vec<Checked<'static>>, Option<Arc<str>>),
}

/// Answers a request.
pub async fn answer(site: Arc<Site>, request: Request) -> Answer {
    take(&site, request).await.unwrap_or_else(|refused| refused)
}

async fn take(site: &Site, request: Request) -> Result<Answer, Answer> {
    let force = site.force();
    let (mut checked, prefix) = match read(site, &force, request).await? {
        Read::Answer(answer) => return Ok(answer),
        Read::Health => return Ok(site.health(LISTEN).await),
        Read::Points(checked, prefix) => (checked, prefix),
    };
    let submitted = checked.len();
    let quota = quota_of(&force, prefix.as_deref(), &checked);
    let skipped = skip(site, &mut checked);
    let rejected = match quota {
        Some((namespace, quota)) => reject(site, &namespace, quota, &mut checked).await,
        None => None,
    };
    let owned = |checked: &Checked<'_>| checked.submitted().to_owned();
    let accepted: Vec<String> = match rejected {
        Some(_) => checked.iter().map(owned).collect(),
        None => Vec::new(),
    };
    let taken = checked.len() as u64;
    let points = checked.into_iter().map(Checked::into_point).collect();
    let receipt = site.intake.submit(Origin::MetricDataPost, points).await?;
    if let Some(rejected) = rejected {
        let answer = rejected.answer(&accepted, submitted, skipped);
        return Ok(answer.with_points(receipt.taken));
    }
    Ok(points::answer(site, &Taken::new(ENDPOINT, taken, receipt)))
}

/// Reads a request and checks all of it; its body is let go.
async fn read(site: &Site, force: &InForce, request: Request) -> Result<Read, Answer> {
    let received = site.receive(request, true).await?;
    let headers = &received.parts.headers;
    let nothing = || Answer::bad("invalid_parameters", "no POST data received");
    let not_json = || Answer::bad("invalid_parameters", "invalid json data");
    let text = std::str::from_utf8(&received.bytes).map_err(|_| nothing())?;
    let points_max = force.settings.flux.request_points_max as usize;
    let post = match Body::parse(text, points_max).map_err(|_| not_json())? {
        Body::Post(post) => post,
        Body::Nothing => return Err(nothing()),
        Body::Other => return Err(not_json()),
    };
    let is_true = |key| {
        post.get(key)
            .is_some_and(|value: &Json<'_>| value.is_true())
    };
    let status = post.get("status");
    if status.is_some_and(|status| !status.is_empty_text()) {
        return Ok(Read::Health);
    }
    let grant = authenticate(force, headers, &post).await?;
    if is_true("validate_key") {
        let body = "{\"status\": \"key valid\"}".to_owned();
        return Ok(Read::Answer(Answer::json(StatusCode::OK, body)));
    }
    let is_test = points::is_test(headers) || is_true("test");
    let Some(items) = items(site, headers, post, points_max)? else {
        return Ok(Read::Answer(Answer::no_content()));
    };
    if items.len() > points_max {
        let message = format!("more than {points_max} metrics in one request");
        let code = StatusCode::PAYLOAD_TOO_LARGE;
        return Err(Answer::refused(code, "too_many_points", &message));
    }
    let clock = Clock::new(force.settings.flux.max_age_s);
    let mut checked = items.check(&grant, clock)?;
    if !is_test {
        let checked = checked.into_iter().map(Checked::into_owned).collect();
        return Ok(Read::Points(checked, grant.namespace));
    }
    skip(site, &mut checked);
    Ok(Read::Answer(test_answer(&grant, &checked)))
}

/// Leaves out what the skip lists name, by the names under which it would be stored;
/// returns how many those were.
fn skip(site: &Site, checked: &mut Vec<Checked<'_>>) -> usize {
    let before = checked.len();
    let rules = site.handle.rules();
    checked.retain(|checked| {
        let stored = rules.stored(&checked.metric, |_| {});
        !stored.is_ok_and(|stored| rules.is_skipped(stored.as_bytes()))
    });
    let skipped = before - checked.len();
    site.count_refused(ENDPOINT, "skipped", skipped as u64);
    skipped
}

/// What the key in the header allows, or else the one in the body.
async fn authenticate(
    force: &InForce,
    headers: &HeaderMap,
    post: &Post<'_>,
) -> Result<Grant, Answer> {
    let header = headers.get("key").filter(|key| !key.is_empty());
    let grant = match header {
        Some(key) => force.keys.grant(key.to_str().unwrap_or_default()).await,
        None => {
            let missing = || Answer::bad("invalid_key", "no key passed");
            let key = post.get("key").ok_or_else(missing)?;
            force.keys.grant(&key.to_text()).await
        }
    };
    grant.ok_or_else(points::invalid_key)
}

/// The metrics of a request; `None` if there are none to be taken and nothing is wrong.
fn items<'a>(
    site: &Site,
    headers: &HeaderMap,
    mut post: Post<'a>,
    points_max: usize,
) -> Result<Option<Items<'a>>, Answer> {
    let listed = std::mem::take(&mut post.listed);
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let says = |name| text(name).filter(|value| !value.is_empty());
    if says("key").is_some()
        && says("telegraf").is_some()
        && listed.first().is_some_and(telegraf::is_telegraf)
    {
        let converted = telegraf::convert(&listed, says("prefix"), points_max);
        if converted.bad > 0 {
            let message = "invalid metrics element";
            return Err(Answer::bad("invalid_parameters", message));
        }
        site.count_refused(ENDPOINT, "not_numeric", converted.not_numeric);
        let items = converted.items;
        return Ok((!items.is_empty()).then_some(Items::Made(items)));
    }
    if !listed.is_empty() {
        return Ok(Some(Items::Listed(listed)));
    }
    let no_data = || Answer::bad("invalid_parameters", "no metric data passed");
    let single = post.single().ok_or_else(no_data)?;
    Ok(Some(Items::Made(vec![single])))
}

/// Metrics of a request.
enum Items<'a> {
    /// As they are in its list.
    Listed(Vec<Listed<'a>>),
    /// One that stands alone, or what was made of Telegraf's.
    Made(Vec<Item<'a>>),
}

impl<'a> Items<'a> {
    fn len(&self) -> usize {
        match self {
            Self::Listed(listed) => listed.len(),
            Self::Made(items) => items.len(),
        }
    }

    /// All of them, or what is wrong with the first that is not as it must be.
    fn check(&self, grant: &Grant, clock: Clock) -> Result<Vec<Checked<'a>>, Answer> {
        let mut checked = Vec::with_capacity(self.len());
        match self {
            Self::Listed(listed) => {
                for one in listed {
                    checked.push(match quick(one, grant, clock) {
                        Some(checked) => checked,
                        None => check(&one.item(), grant, clock)?,
                    });
                }
            }
            Self::Made(items) => {
                for item in items {
                    checked.push(check(item, grant, clock)?);
                }
            }
        }
        Ok(checked)
    }
}

/// Takes what needs no second look; `None` says nothing of what is wrong.
#[inline]
fn quick<'a>(listed: &Listed<'a>, grant: &Grant, clock: Clock) -> Option<Checked<'a>> {
    let Plain {
        name,
        timestamp,
        value,
    } = listed.plain?;
    let is_taken = clock.takes(timestamp);
    is_taken.then(|| named(grant, name, timestamp, value, false))
}

#[inline]
fn named<'a>(grant: &Grant, name: &'a str, timestamp: i64, value: f64, fill: bool) -> Checked<'a> {
    let (metric, prefix_bytes) = grant.name(name);
    Checked {
        metric,
        timestamp,
        value,
        fill,
        prefix_bytes,
    }
}

fn check(item: &Item<'_>, grant: &Grant, clock: Clock) -> Result<Checked<'static>, Answer> {
    let name = name(item)?;
    let repr = || item.repr(Some(&name));
    let is_fill = item.is_fill();
    let text = item.timestamp.as_ref().map(checks::timestamp_text);
    let timestamp = match text.filter(|text| !text.is_empty()) {
        None => clock.now,
        Some(text) if is_fill => clock.fill_timestamp(&text).ok_or_else(|| {
            let message = format!("invalid timestamp - {}", repr());
            Answer::bad("invalid_timestamp", &message)
        })?,
        Some(text) => clock.timestamp(&text).map_err(|reason| {
            let raw = item.timestamp.as_ref().map(|raw| raw.to_text());
            let raw = raw.unwrap_or_default();
            let message = format!("invalid timestamp - {raw} - {reason} - {}", repr());
            Answer::bad("invalid_timestamp", &message)
        })?,
    };
    let bad = |what: &str| Answer::bad("invalid_value", &format!("{what} - {}", repr()));
    let value = item.value.as_ref().filter(|value| !value.is_empty_text());
    let value = value.ok_or_else(|| bad("no value parameter present"))?;
    let value = checks::json_value(value).ok_or_else(|| bad("invalid value"))?;
    Ok(named(grant, &name, timestamp, value, is_fill).into_owned())
}

/// The name of a metric, normalised.
fn name<'i>(item: &'i Item<'_>) -> Result<Cow<'i, str>, Answer> {
    let bad = |message: String| Answer::bad("metric_name", &message);
    let raw: &'i Json<'_> = match &item.metric {
        Some(metric) if metric.is_text_or_number() => metric,
        _ => return Err(bad(format!("invalid metric - {}", item.repr(None)))),
    };
    let name = match raw.to_text() {
        Cow::Borrowed(raw) => checks::normalised(raw),
        Cow::Owned(raw) => Cow::Owned(checks::normalised(&raw).into_owned()),
    };
    if let Err(reason) = checks::name(&name) {
        let repr = item.repr(Some(&name));
        return Err(bad(format!("invalid metric - {repr} - {reason}")));
    }
    if name.is_empty() {
        return Err(bad(format!("invalid metric - {}", item.repr(None))));
    }
    Ok(name)
}

fn test_answer(grant: &Grant, checked: &[Checked<'_>]) -> Answer {
    let mut seen: HashSet<&str, foldhash::fast::RandomState> = HashSet::default();
    seen.reserve(checked.len());
    let names = checked.iter().map(Checked::submitted);
    let names: Vec<&str> = names.filter(|name| seen.insert(*name)).collect();
    points::test_answer(grant.namespace.as_deref(), &names, checked.len())
}

/// The prefix whose quota is looked at, that of the key or what all names begin with,
/// and the quota, if there is one.
fn quota_of(
    force: &InForce,
    prefix: Option<&str>,
    checked: &[Checked<'_>],
) -> Option<(String, u32)> {
    let quotas = &force.settings.flux.quotas;
    if quotas.is_empty() {
        return None;
    }
    let prefix = match prefix {
        Some(prefix) => prefix,
        None => {
            let mut firsts = checked
                .iter()
                .map(|checked| checked.metric.split('.').next());
            let first = firsts.next()?;
            firsts.all(|other| other == first).then_some(first)??
        }
    };
    Some((prefix.to_owned(), quotas.quota(prefix)?))
}

/// Metrics over a quota.
struct Rejected {
    quota: u32,
    /// As they were submitted.
    metrics: Vec<String>,
}

async fn reject(
    site: &Site,
    namespace: &str,
    quota: u32,
    checked: &mut Vec<Checked<'_>>,
) -> Option<Rejected> {
    let names: Vec<&str> = checked.iter().map(|checked| &*checked.metric).collect();
    let rejected = quota::rejected(&site.intake, namespace, quota, &names).await;
    let rejected: HashSet<String> = rejected.into_iter().map(str::to_owned).collect();
    if rejected.is_empty() {
        return None;
    }
    let mut metrics = Vec::new();
    checked.retain(|checked| {
        let is_rejected = rejected.contains(&*checked.metric);
        if is_rejected {
            metrics.push(checked.submitted().to_owned());
        }
        !is_rejected
    });
    site.count_refused(ENDPOINT, "over_quota", metrics.len() as u64);
    Some(Rejected { quota, metrics })
}

impl Rejected {
    fn answer(&self, accepted: &[String], submitted: usize, skipped: usize) -> Answer {
        let code = match submitted {
            1 => StatusCode::BAD_REQUEST,
            _ => StatusCode::MULTI_STATUS,
        };
        let (count, taken) = (self.metrics.len(), accepted.len());
        let each = |metrics: &[String], status: u16| -> Vec<String> {
            let each = metrics.iter();
            each.map(|metric| {
                format!(
                    "{{\"metric\": {}, \"status\": {status}}}",
                    json_text(metric)
                )
            })
            .collect()
        };
        let list = |metrics: &[String]| -> String {
            let texts: Vec<String> = metrics.iter().map(|metric| json_text(metric)).collect();
            texts.join(", ")
        };
        let data = [each(&self.metrics, 400), each(accepted, 204)].concat();
        let body = format!(
            "{{\"code\": {}, \"data\": [{}], \"error\": \"over quota - this account is allowed \
             {} metrics and an additional {count} new metrics were posted that have been \
             rejected\", \"message\": \"{taken} metrics were processed and {count} metrics were \
             rejected\", \"rejected metrics\": [{}], \"rejected metrics count\": {count}, \
             \"processed metrics\": [{}], \"processed metrics count\": {taken}, \
             \"submitted metrics count\": {submitted}, \"defined skipped_metrics count\": \
             {skipped}}}",
            code.as_u16(),
            data.join(", "),
            self.quota,
            list(&self.metrics),
            list(accepted)
        );
        Answer::json(code, body)
    }
}
