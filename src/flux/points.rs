//! What the two endpoints of points have in common.

use axum::http::{HeaderMap, StatusCode};

use super::Receipt;
use super::answer::{Answer, json_text};
use super::http::Site;

/// What became of a request's points.
pub struct Taken {
    endpoint: &'static str,
    submitted: u64,
    receipt: Receipt,
}

impl Taken {
    /// Of so many points that were submitted.
    pub fn new(endpoint: &'static str, submitted: u64, receipt: Receipt) -> Self {
        Self {
            endpoint,
            submitted,
            receipt,
        }
    }
}

/// 401, whatever the key was.
pub fn invalid_key() -> Answer {
    Answer::refused(StatusCode::UNAUTHORIZED, "invalid_key", "invalid key")
}

/// Whether the headers say that nothing is to be taken.
pub fn is_test(headers: &HeaderMap) -> bool {
    let test = headers.get("x-test-only");
    test.is_some_and(|test| !test.is_empty())
}

/// What would be taken. Names that were checked have nothing in them that Python or
/// JSON would escape.
pub fn test_answer(namespace: Option<&str>, metrics: &[&str], count: usize) -> Answer {
    let mut body = format!(
        "{{\"namespace\": {}, \"message\": \"metric ingestion test, no metrics were ingested \
         only counts are reported\", \"ingest_count\": {count}, \"drop_count\": 0, \
         \"metrics\": \"[",
        json_text(namespace.unwrap_or("None"))
    );
    // Quotes, a comma and a blank stand around each, and more behind them all.
    body.reserve(metrics.iter().map(|metric| metric.len() + 4).sum::<usize>() + 64);
    for (place, metric) in metrics.iter().enumerate() {
        body.push_str(if place > 0 { ", '" } else { "'" });
        body.push_str(metric);
        body.push('\'');
    }
    body.push_str("]\", \"dropped\": \"[]\"}");
    Answer::json(StatusCode::OK, body)
}

/// 204, if all points were taken, but for those that were received before or are to be
/// skipped; else what was not, and why.
pub fn answer(site: &Site, taken: &Taken) -> Answer {
    let Taken {
        endpoint,
        submitted,
        receipt,
    } = taken;
    let reasons = [
        ("already_received", receipt.already_received),
        ("skipped", receipt.skipped),
        ("too_old", receipt.too_old),
        ("not_storable", receipt.refused),
    ];
    for (reason, points) in reasons {
        site.count_refused(endpoint, reason, points);
    }
    let refused = receipt.too_old + receipt.refused;
    if refused == 0 {
        return Answer::no_content().with_points(receipt.taken);
    }
    let code = match refused == *submitted {
        true => StatusCode::BAD_REQUEST,
        false => StatusCode::MULTI_STATUS,
    };
    let message = format!(
        "{refused} of {submitted} points were not stored: {} are older than \
         redis.full_duration_s, {} have names or keys that cannot be stored",
        receipt.too_old, receipt.refused
    );
    let body = format!(
        "{{\"code\": {}, \"message\": {}}}",
        code.as_u16(),
        json_text(&message)
    );
    Answer::json(code, body).with_points(receipt.taken)
}
