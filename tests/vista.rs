//! Vista: metrics fetched from real Graphites and Prometheuses into a real Redis.
//!
//! Where hours or days are to go by, the server runs within the test, by a clock that
//! the test moves on ([`world`]), over data of the past that the sources were given
//! beforehand. Elsewhere it is the binary, by the host's clock.

mod faults;
mod fetched;
mod gate;
mod kills;
mod many;
mod nginx;
mod outages;
mod shared;
mod shown;
mod world;

use serde_json::{Value, json};

use crate::fixture::graphite_web::GraphiteWeb;
use crate::fixture::prometheus::Prometheus;
use crate::fixture::redis::Redis;
use crate::fixture::skyring::Plan;
use crate::fixture::{hex, now_s, python};

const HOUR_S: i64 = 3600;
const DAY_S: i64 = 86_400;

/// An entry of `vista.fetch`.
fn entry(url: &str, kind: &str, target: &str, more: &str) -> String {
    let more = if more.is_empty() {
        String::new()
    } else {
        format!(", {more}")
    };
    format!(
        "{{ remote_host = '{url}', remote_host_type = '{kind}', remote_target = \"{target}\"{more} }}"
    )
}

/// A server that fetches these, and stores points of the last ten days.
fn plan(redis: &Redis, entries: &[String]) -> Plan {
    Plan::with(redis)
        .set("shards", 1)
        .set("redis.full_duration_s", 10 * DAY_S)
        .set("vista.fetch", format!("[{}]", entries.join(", ")))
}

/// The beginning of the present minute.
fn minute() -> i64 {
    now_s() as i64 / 60 * 60
}

/// A value for each minute, which no float rounds.
fn value(at_s: i64) -> f64 {
    (at_s / 60 % 1009) as f64 / 4.0
}

/// What Redis must hold of these times, each with its [`value`], as Python packs it.
fn records(times: impl Iterator<Item = i64>) -> Vec<u8> {
    let points: Vec<(i64, f64)> = times.map(|at| (at, value(at))).collect();
    pack(&json!(points))
}

/// What Redis must hold of these points, as Python packs them.
fn pack(points: &Value) -> Vec<u8> {
    let packed = python::script("pack.py", &[], &points.to_string()).remove(0);
    hex(packed.as_str().unwrap())
}

/// Bytes of a record.
const RECORD: usize = 15;

/// The time of the first record of a series of whole seconds.
fn first(series: &[u8]) -> i64 {
    assert!(series.len() >= RECORD, "no points");
    assert_eq!(series[..2], [0x92, 0xce], "a time of 32 bits");
    i64::from(u32::from_be_bytes(series[2..6].try_into().unwrap()))
}

/// The points of a series of whole seconds and floats.
fn points(series: &[u8]) -> Vec<(i64, f64)> {
    let record = |record: &[u8]| {
        let value = record[7..].try_into().unwrap();
        (first(record), f64::from_be_bytes(value))
    };
    series.chunks(RECORD).map(record).collect()
}

/// A series is exactly this.
fn assert_series(redis: &Redis, metric: &str, expected: &[u8]) {
    let series = redis.series(metric);
    if series == expected {
        return;
    }
    let (found, wanted) = (points(&series), points(expected));
    let at = found
        .iter()
        .zip(&wanted)
        .position(|(one, other)| one != other);
    let at = at.unwrap_or(found.len().min(wanted.len()));
    let near = |all: &[(i64, f64)]| {
        let from = at.saturating_sub(2).min(all.len());
        format!("{:?}", &all[from..all.len().min(at + 3)])
    };
    panic!(
        "{metric}: {} points, wanted {}; at {at}: {}, wanted {}",
        found.len(),
        wanted.len(),
        near(&found),
        near(&wanted)
    );
}

/// Every minute is there once, from about `from` up to `until`.
fn assert_whole(redis: &Redis, metric: &str, from: i64, until: i64) {
    let begin = first(&redis.series(metric));
    assert!(
        (from..from + 1800).contains(&begin),
        "{metric} from {begin}, not {from}"
    );
    assert_series(redis, metric, &records((begin..until).step_by(60)));
}

/// Writes a point each `step_s` into a Graphite.
fn write(web: &GraphiteWeb, metric: &str, step_s: i64, times: std::ops::Range<i64>) {
    let points: Vec<(i64, f64)> = times
        .step_by(step_s as usize)
        .map(|at| (at, value(at)))
        .collect();
    let kept = (20 * DAY_S / step_s) as u32;
    web.write(metric, &[(step_s as u32, kept)], &points);
}

/// A Prometheus whose gauge `back` has two samples in each minute of these.
fn prometheus(times: std::ops::Range<i64>) -> Prometheus {
    let lines = times
        .step_by(30)
        .map(|at| format!("back {} {at}\n", value(at)));
    Prometheus::start(&lines.collect::<String>())
}
