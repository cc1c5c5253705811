//! Every malformed field, with the exact answer of Skyline's Flux.

use std::io::Write;

use serde_json::{Value, json};

use super::{KEY, address, get, plan, post, post_with, told};
use crate::fixture::now_s;
use crate::fixture::python;
use crate::fixture::redis::Redis;

/// What is told of a fault: `{"code": 400, "message": ...}`, as Python writes it.
fn bad(message: &str) -> (u16, String) {
    let message = json!(message).to_string();
    (400, format!("{{\"code\": 400, \"message\": {message}}}"))
}

/// Parameters are looked at in their order, and the first bad one is told.
#[test]
fn each_fault_in_a_url_is_told_as_skyline_tells_it() {
    let redis = Redis::start();
    let skyring = plan(&redis).start();
    let address = address(&skyring);
    let now = now_s();
    let (old, ahead) = (now - 3700, now + 100);
    let too_old = "timestamp is too old, older than 3600 seconds";
    let too_new = "timestamp is more than 1 minute in the future";
    let not_current = "timestamp is not a valid current unix timestamp";
    let all = format!("metric=a&value=1&key={KEY}");
    let long = "a".repeat(252);
    let cases = [
        (
            "x=1".to_owned(),
            "Invalid parameter received - x".to_owned(),
        ),
        (
            format!("{all}&Metric=x"),
            "Invalid parameter received - Metric".to_owned(),
        ),
        (
            "metric=a&value=1".to_owned(),
            "no key parameter passed".to_owned(),
        ),
        (String::new(), "no key parameter passed".to_owned()),
        (
            format!("value=1&key={KEY}"),
            "no metric parameter passed".to_owned(),
        ),
        (
            format!("metric=&value=1&key={KEY}"),
            "no metric parameter passed".to_owned(),
        ),
        (
            format!("metric=a&key={KEY}"),
            "no value parameter passed".to_owned(),
        ),
        (
            format!("metric=a&value=&key={KEY}"),
            "invalid value - ".to_owned(),
        ),
        (
            format!("metric=a&value=x&key={KEY}"),
            "invalid value - x".to_owned(),
        ),
        (
            format!("metric=a&value=nan&key={KEY}"),
            "invalid value - nan".to_owned(),
        ),
        (
            format!("metric=a&value=-inf&key={KEY}"),
            "invalid value - -inf".to_owned(),
        ),
        (
            format!("metric=a&value=1e999&key={KEY}"),
            "invalid value - 1e999".to_owned(),
        ),
        (
            format!("{all}&timestamp="),
            "invalid timestamp -  - timestamp is not an int".to_owned(),
        ),
        (
            format!("{all}&timestamp=1.5"),
            "invalid timestamp - 1.5 - timestamp is not an int".to_owned(),
        ),
        (
            format!("{all}&timestamp=12"),
            format!("invalid timestamp - 12 - {not_current}"),
        ),
        (
            format!("{all}&timestamp={old}"),
            format!("invalid timestamp - {old} - {too_old}"),
        ),
        (
            format!("{all}&timestamp={ahead}"),
            format!("invalid timestamp - {ahead} - {too_new}"),
        ),
        (
            format!("{all}&fill=true&timestamp=x"),
            "invalid timestamp".to_owned(),
        ),
        (
            format!("{all}&fill=True&timestamp=12"),
            format!("invalid timestamp - 12 - {not_current}"),
        ),
        (
            format!("metric=a%3Bb&value=1&key={KEY}"),
            "invalid metric - a;b - invalid characters in name".to_owned(),
        ),
        (
            format!("metric=a+b&value=1&key={KEY}"),
            "invalid metric - a b - invalid characters in name".to_owned(),
        ),
        (
            format!("metric={long}&value=1&key={KEY}"),
            format!("invalid metric - {long} - longer than 255 characters"),
        ),
        (
            "value=x&metric=%3B&key=wrong".to_owned(),
            "invalid value - x".to_owned(),
        ),
        (
            "metric=%C3%A9&value=x".to_owned(),
            "invalid metric - \u{e9} - invalid characters in name".to_owned(),
        ),
        (
            format!("{all}&value=2"),
            "invalid value - ['1', '2']".to_owned(),
        ),
    ];
    for (query, message) in cases {
        let message = json!(message).to_string().replace('\u{e9}', "\\u00e9");
        let wanted = (400, format!("{{\"code\": 400, \"message\": {message}}}"));
        assert_eq!(told(get(&address, &query)), wanted, "{query}");
    }
    assert!(redis.keys().is_empty());
    skyring.finish();
}

/// The same for what is posted; items are repeated as Python shows them.
#[test]
fn each_fault_in_a_post_is_told_as_skyline_tells_it() {
    let redis = Redis::start();
    let skyring = plan(&redis).start();
    let address = address(&skyring);
    let now = now_s();
    for (body, message) in [
        ("", "invalid json data"),
        ("{", "invalid json data"),
        ("[1]", "invalid json data"),
        ("\"x\"", "invalid json data"),
        ("{}", "no POST data received"),
        ("[]", "no POST data received"),
        ("null", "no POST data received"),
        ("0", "no POST data received"),
        ("{\"metric\": \"a\", \"value\": 1}", "no key passed"),
    ] {
        assert_eq!(told(post(&address, body)), bad(message), "{body}");
    }
    assert_eq!(
        told(post(&address, b"{\"a\": \"\xff\"}")),
        bad("no POST data received")
    );
    for (fields, message) in [
        ("", "no metric data passed"),
        ("\"metrics\": []", "no metric data passed"),
        ("\"metrics\": {\"metric\": \"a\"}", "no metric data passed"),
        ("\"metric\": \"a\"", "no metric data passed"),
        ("\"value\": 1", "no metric data passed"),
    ] {
        let separator = if fields.is_empty() { "" } else { ", " };
        let body = format!("{{\"key\": \"{KEY}\"{separator}{fields}}}");
        assert_eq!(told(post(&address, &body)), bad(message), "{body}");
    }
    let old = now - 3700;
    let cases = [
        ("{}".to_owned(), "invalid metric - {}".to_owned()),
        ("5".to_owned(), "invalid metric - 5".to_owned()),
        ("{\"value\": 1}".to_owned(), "invalid metric - {'value': 1}".to_owned()),
        ("{\"metric\": null, \"value\": 1}".to_owned(), "invalid metric - {'metric': None, 'value': 1}".to_owned()),
        ("{\"metric\": \"\", \"value\": 1}".to_owned(), "invalid metric - {'metric': '', 'value': 1}".to_owned()),
        (
            "{\"metric\": \"a;b\", \"value\": 1, \"timestamp\": 1}".to_owned(),
            "invalid metric - {'metric': 'a;b', 'value': 1, 'timestamp': 1} - invalid characters in name".to_owned(),
        ),
        (
            "{\"x\": [true, null, 1.0], \"metric\": \"a *;\"}".to_owned(),
            "invalid metric - {'x': [True, None, 1.0], 'metric': 'a__;'} - invalid characters in name".to_owned(),
        ),
        (
            "{\"metric\": \"a b\", \"timestamp\": 12, \"value\": 1}".to_owned(),
            "invalid timestamp - 12 - timestamp is not a valid current unix timestamp - {'metric': 'a_b', 'timestamp': 12, 'value': 1}".to_owned(),
        ),
        (
            format!("{{\"metric\": \"a\", \"timestamp\": {old}, \"value\": 1}}"),
            format!("invalid timestamp - {old} - timestamp is too old, older than 3600 seconds - {{'metric': 'a', 'timestamp': {old}, 'value': 1}}"),
        ),
        (
            "{\"metric\": \"a\", \"timestamp\": null, \"value\": 1}".to_owned(),
            "invalid timestamp - None - timestamp is not an int - {'metric': 'a', 'timestamp': None, 'value': 1}".to_owned(),
        ),
        (
            format!("{{\"metric\": \"a\", \"timestamp\": {now}.5, \"value\": 1}}"),
            format!("invalid timestamp - {now}.5 - timestamp is not an int - {{'metric': 'a', 'timestamp': {now}.5, 'value': 1}}"),
        ),
        (
            "{\"metric\": \"a\", \"timestamp\": \"x\", \"value\": 1, \"fill\": \"true\"}".to_owned(),
            "invalid timestamp - {'metric': 'a', 'timestamp': 'x', 'value': 1, 'fill': 'true'}".to_owned(),
        ),
        ("{\"metric\": \"a\"}".to_owned(), "no value parameter present - {'metric': 'a'}".to_owned()),
        (
            "{\"metric\": \"a\", \"value\": \"\"}".to_owned(),
            "no value parameter present - {'metric': 'a', 'value': ''}".to_owned(),
        ),
        ("{\"metric\": \"a\", \"value\": null}".to_owned(), "invalid value - {'metric': 'a', 'value': None}".to_owned()),
        ("{\"metric\": \"a\", \"value\": \"x\"}".to_owned(), "invalid value - {'metric': 'a', 'value': 'x'}".to_owned()),
        ("{\"metric\": \"a\", \"value\": true}".to_owned(), "invalid value - {'metric': 'a', 'value': True}".to_owned()),
        ("{\"metric\": \"a\", \"value\": NaN}".to_owned(), "invalid value - {'metric': 'a', 'value': nan}".to_owned()),
        ("{\"metric\": \"a\", \"value\": -Infinity}".to_owned(), "invalid value - {'metric': 'a', 'value': -inf}".to_owned()),
        ("{\"metric\": \"a\", \"value\": \"nan\"}".to_owned(), "invalid value - {'metric': 'a', 'value': 'nan'}".to_owned()),
        ("{\"metric\": \"a\", \"value\": [1]}".to_owned(), "invalid value - {'metric': 'a', 'value': [1]}".to_owned()),
    ];
    let good = format!("{{\"metric\": \"good\", \"timestamp\": {now}, \"value\": 1}}");
    for (item, message) in cases {
        let body = format!("{{\"key\": \"{KEY}\", \"metrics\": [{good}, {item}]}}");
        assert_eq!(told(post(&address, &body)), bad(&message), "{item}");
    }
    let single = format!("{{\"value\": \"x\", \"metric\": \"a b\", \"key\": \"{KEY}\"}}");
    let message = "invalid value - {'metric': 'a_b', 'value': 'x'}";
    assert_eq!(told(post(&address, single)), bad(message));
    assert!(redis.keys().is_empty());
    skyring.finish();
}

/// Items with every kind of value and text in them are shown as the real Python shows
/// them.
#[test]
fn items_are_shown_as_python_shows_them() {
    let redis = Redis::start();
    let skyring = plan(&redis).start();
    let address = address(&skyring);
    let items = [
        "{\"a\": \"it's\", \"b\": \"\\\"\", \"c\": \"'\\\"\", \"d\": \"\\\\ \\n\\r\\t\\u0000\\u001f\\u007f\"}",
        "{\"a\": \"\\u00e9\\u00a0\\u00ad\\u200b\\u2028\\u0301 \\ud83d\\ude00 \\ue000\", \"\\u65e5\": {}}",
        "{\"a\": 1e16, \"b\": 1e-5, \"c\": 123456789.123, \"d\": 0.0001, \"e\": 1E5, \"f\": 1e400, \"g\": -0, \"h\": -0.0}",
        "{\"a\": 5e-324, \"b\": 1.7976931348623157e308, \"c\": 12345678901234567890123, \"d\": [[], {}, [null, true, false]]}",
        "{\"a\": 1, \"b\": 2, \"a\": {\"c\": 3}}",
        "[1, \"two\", [3.0]]",
        "\"text\"",
        "null",
    ];
    let input: String = items
        .iter()
        .map(|item| format!("{}\n", json!(item)))
        .collect();
    let shown = python::script("flux_repr.py", &[], &input);
    assert_eq!(shown.len(), items.len());
    for (item, shown) in items.iter().zip(shown) {
        let body = format!("{{\"key\": \"{KEY}\", \"metrics\": [{item}]}}");
        let answer: Value = serde_json::from_str(&post(&address, &body).body).unwrap();
        let wanted = format!("invalid metric - {}", shown.as_str().unwrap());
        assert_eq!(answer["message"], json!(wanted), "{item}");
    }
    skyring.finish();
}

/// A body may be compressed; one that only says so is taken as it is.
#[test]
fn gzip_is_decompressed() {
    let redis = Redis::start();
    let skyring = plan(&redis).start();
    let address = address(&skyring);
    let compressed = |metric: &str| {
        let body = json!({ "key": KEY, "metric": metric, "value": 1 }).to_string();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(body.as_bytes()).unwrap();
        gzip.finish().unwrap()
    };
    let head = "Content-Encoding: gzip\r\n";
    assert_eq!(post_with(&address, head, compressed("a")).code, 204);
    assert_eq!(
        told(post(&address, compressed("b"))),
        bad("no POST data received")
    );
    let cut = &compressed("c")[..20];
    assert_eq!(post_with(&address, head, cut).code, 400);
    let plain = json!({ "key": KEY, "metric": "d", "value": 1 }).to_string();
    assert_eq!(post_with(&address, head, plain).code, 204);
    let stored: Vec<String> = redis.keys().into_iter().collect();
    assert_eq!(stored, ["a", "d"]);
    skyring.finish();
}
