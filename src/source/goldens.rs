//! Answers of the real servers, and what Python reads in them.

use serde_json::{Value, json};

use super::{FetchError, Series, graphite, prometheus};

fn cases() -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/sources.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn parse(case: &Value, body: &[u8]) -> Result<Vec<Series>, FetchError> {
    match case["source"].as_str() {
        Some("graphite") => graphite::parse(body),
        _ => prometheus::parse(body).map(|reply| reply.series),
    }
}

/// Labels as Prometheus writes them, of the object that Python has read.
fn name(name: &Value) -> String {
    let Value::Object(labels) = name else {
        return name.as_str().unwrap().to_owned();
    };
    let pairs = labels.iter().filter(|(label, _)| *label != "__name__");
    let pairs: Vec<String> = pairs
        .map(|(label, value)| format!("{label}={value}"))
        .collect();
    let metric = labels.get("__name__").map_or("", |it| it.as_str().unwrap());
    format!("{metric}{{{}}}", pairs.join(","))
}

#[test]
fn answers_of_real_servers_are_read_as_python_reads_them() {
    let mut read = 0;
    for case in cases().iter().filter(|case| case["series"].is_array()) {
        let found = parse(case, case["body"].as_str().unwrap().as_bytes()).unwrap();
        let wanted = case["series"].as_array().unwrap();
        assert_eq!(found.len(), wanted.len(), "{}", case["case"]);
        for (series, wanted) in found.iter().zip(wanted) {
            let samples: Vec<Value> = series
                .samples
                .iter()
                .map(|sample| json!([sample.timestamp, sample.value]))
                .collect();
            assert_eq!(json!(samples), wanted["samples"], "{}", case["case"]);
            assert_eq!(series.name, name(&wanted["name"]));
            assert_eq!(json!(series.nulls), wanted["nulls"]);
            assert_eq!(json!(series.not_finite), wanted["not_finite"]);
            read += series.samples.len();
        }
    }
    assert!(read > 60, "{read}");
}

#[test]
fn other_answers_of_real_servers_are_no_series() {
    for case in cases().iter().filter(|case| !case["series"].is_array()) {
        let error = parse(case, case["body"].as_str().unwrap().as_bytes()).unwrap_err();
        assert!(
            matches!(error.word(), "shape" | "source" | "not_json"),
            "{}: {error}",
            case["case"]
        );
    }
}

// An answer can break off after any byte, and a byte of it can be any other.
#[test]
fn parts_of_answers_and_spoilt_answers_never_panic_and_a_part_is_no_whole() {
    for case in cases().iter().filter(|case| case["series"].is_array()) {
        let body = case["body"].as_str().unwrap().as_bytes();
        for end in 0..body.len().min(2000) {
            assert!(parse(case, &body[..end]).is_err(), "{} {end}", case["case"]);
        }
        for at in 0..body.len().min(600) {
            for other in *b"\"[]{},:-0eNI\\\xff" {
                let mut spoilt = body.to_vec();
                spoilt[at] = other;
                let _ = parse(case, &spoilt);
            }
        }
    }
}
