//! `GET /metric_data`: one point in the URL.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::request::Parts;

use super::answer::{Answer, json_text};
use super::checks::{self, Clock};
use super::http::{InForce, LISTEN, Site};
use super::json::Json;
use super::keys::Grant;
use super::points::{self, Taken};
use super::{FluxPoint, Origin, quota};

/// A parameter, decoded.
type Pair<'q> = (Cow<'q, str>, Cow<'q, str>);

/// What the parameters say.
#[derive(Default)]
struct Asked {
    grant: Option<Grant>,
    metric: Option<String>,
    value: Option<f64>,
    timestamp: Option<i64>,
    is_test: bool,
    is_fill: bool,
}

/// Answers a request.
pub async fn answer(site: Arc<Site>, request: Request) -> Answer {
    let (parts, _) = request.into_parts();
    take(&site, &parts).await.unwrap_or_else(|refused| refused)
}

async fn take(site: &Site, request: &Parts) -> Result<Answer, Answer> {
    let force = site.force();
    let clock = Clock::new(force.settings.flux.max_age_s);
    let pairs = pairs(request.uri.query().unwrap_or_default());
    let Some(asked) = read(&force, clock, &pairs).await? else {
        return Ok(site.health(LISTEN).await);
    };
    let no = |reason, what| Answer::bad(reason, &format!("no {what} parameter passed"));
    let grant = asked.grant.ok_or_else(|| no("invalid_key", "key"))?;
    let metric = asked.metric.filter(|metric| !metric.is_empty());
    let metric = metric.ok_or_else(|| no("metric_name", "metric"))?;
    let value = asked.value.ok_or_else(|| no("invalid_value", "value"))?;
    if asked.is_test || points::is_test(&request.headers) {
        return Ok(points::test_answer(
            grant.namespace.as_deref(),
            &[&metric],
            1,
        ));
    }
    let (name, _) = grant.name(&metric);
    check_quota(site, &force, &grant, &name, &metric).await?;
    let point = FluxPoint {
        metric: name.into_owned(),
        timestamp: asked.timestamp.unwrap_or(clock.now),
        value,
        fill: asked.is_fill,
    };
    let receipt = site.intake.submit(Origin::MetricData, vec![point]).await?;
    Ok(points::answer(site, &Taken::new("metric_data", 1, receipt)))
}

/// Each parameter is looked at in its turn: the first that is bad decides what is told.
/// `None` if only the health is asked for.
async fn read(force: &InForce, clock: Clock, pairs: &[Pair<'_>]) -> Result<Option<Asked>, Answer> {
    let is_fill = pairs
        .iter()
        .any(|(name, value)| name == "fill" && value == "true");
    let mut asked = Asked {
        is_fill,
        ..Asked::default()
    };
    for (name, value) in pairs {
        match &**name {
            "status" => return Ok(None),
            "key" => {
                let grant = force.keys.grant(value).await;
                asked.grant = Some(grant.ok_or_else(points::invalid_key)?);
            }
            "timestamp" => asked.timestamp = Some(timestamp(clock, value, is_fill)?),
            "metric" => {
                checks::name(value).map_err(|reason| {
                    let message = format!("invalid metric - {value} - {reason}");
                    Answer::bad("metric_name", &message)
                })?;
                asked.metric = Some(value.clone().into_owned());
            }
            "value" => {
                let message = || format!("invalid value - {value}");
                let number = checks::value(value);
                asked.value = Some(number.ok_or_else(|| Answer::bad("invalid_value", &message()))?);
            }
            "fill" => {}
            "test" => asked.is_test = value == "true",
            _ => {
                let message = format!("Invalid parameter received - {name}");
                return Err(Answer::bad("invalid_parameters", &message));
            }
        }
    }
    Ok(Some(asked))
}

fn timestamp(clock: Clock, text: &str, is_fill: bool) -> Result<i64, Answer> {
    let bad = |message: &str| Answer::bad("invalid_timestamp", message);
    if is_fill {
        let timestamp = clock.fill_timestamp(text);
        return timestamp.ok_or_else(|| bad("invalid timestamp"));
    }
    clock
        .timestamp(text)
        .map_err(|reason| bad(&format!("invalid timestamp - {text} - {reason}")))
}

/// The parameters in their order. As in Skyline's, one that comes more than once has
/// the text of a list as its value, which passes for nothing.
fn pairs(query: &str) -> Vec<Pair<'_>> {
    let mut pairs: Vec<Pair<'_>> = form_urlencoded::parse(query.as_bytes()).collect();
    let is_repeated = |at: usize| pairs[..at].iter().any(|(name, _)| *name == pairs[at].0);
    // There are seven at most that are known, and of others one is too many.
    if !(1..pairs.len().min(16)).any(is_repeated) {
        return pairs;
    }
    pairs.truncate(16);
    let mut merged: Vec<(Cow<'_, str>, Vec<Json<'_>>)> = Vec::new();
    for (name, value) in pairs {
        let value = Json::Text(value);
        match merged.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None => merged.push((name, vec![value])),
        }
    }
    let text = |mut values: Vec<Json<'_>>| match &values[..] {
        [Json::Text(_)] => values.remove(0).to_text().into_owned(),
        _ => Json::List(values).repr(),
    };
    merged
        .into_iter()
        .map(|(name, values)| (name, text(values).into()))
        .collect()
}

async fn check_quota(
    site: &Site,
    force: &InForce,
    grant: &Grant,
    name: &str,
    submitted: &str,
) -> Result<(), Answer> {
    let first = name.split('.').next().unwrap_or_default();
    let prefix = grant.namespace.as_deref().unwrap_or(first);
    let Some(quota) = force.settings.flux.quotas.quota(prefix) else {
        return Ok(());
    };
    if quota::rejected(&site.intake, prefix, quota, &[name])
        .await
        .is_empty()
    {
        return Ok(());
    }
    let error = format!(
        "over quota - this account is allowed {quota} metrics and an additional metric was \
         posted that has been rejected"
    );
    let body = format!(
        "{{\"code\": 400, \"error\": {}, \"rejected metric\": {}}}",
        json_text(&error),
        json_text(submitted)
    );
    Err(Answer::json(StatusCode::BAD_REQUEST, body).because("over_quota"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_parameter_that_comes_twice_is_a_list() {
        let pairs = |query| -> Vec<(String, String)> {
            let pairs = super::pairs(query).into_iter();
            pairs
                .map(|(name, value)| (name.into(), value.into()))
                .collect()
        };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            pairs("a=1&b=x+y%2B&c"),
            [pair("a", "1"), pair("b", "x y+"), pair("c", "")]
        );
        assert_eq!(
            pairs("a=1&b=&a=it's"),
            [pair("a", "['1', \"it's\"]"), pair("b", "")]
        );
    }
}
