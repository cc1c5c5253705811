//! What keeps a point from being stored twice, and what Skyline's programs read of it.

use std::thread;

use serde_json::{Value, json};

use super::{KEY, address, get, plan, post, record};
use crate::fixture::python;
use crate::fixture::redis::Redis;
use crate::fixture::skyring::Skyring;
use crate::fixture::{eventually, holds, now_s};

fn send(skyring: &Skyring, metric: &str, timestamp: u64) {
    let query = format!("metric={metric}&timestamp={timestamp}&value=1.5&key={KEY}");
    assert_eq!(get(&address(skyring), &query).code, 204);
}

/// How many points were left out as received before.
fn already_received(skyring: &Skyring) -> u64 {
    skyring.status()["flux"]["already_received"]
        .as_u64()
        .unwrap()
}

fn timestamps(redis: &Redis, metric: &str) -> usize {
    let one = record(metric, now_s(), "1.5").len();
    redis.series(metric).len() / one
}

/// The last timestamp in the hash, as Python reads it.
fn last_in_hash(redis: &Redis, metric: &str) -> Option<Value> {
    let text: Option<String> = redis.run(&["HGET", "flux.last.metric_data", metric]);
    let input = format!("{}\n", json!(text?));
    Some(python::script("flux_last.py", &[], &input).remove(0))
}

/// Both keys, in the texts that Skyline's programs read, once the point is stored; older
/// points and the same again are left out.
#[test]
fn the_last_timestamps_are_written_as_skyline_reads_them() {
    let redis = Redis::start();
    let skyring = plan(&redis).start();
    let now = now_s();
    send(&skyring, "a.b", now - 10);
    send(&skyring, "a.b", now - 5);
    send(&skyring, "a.b", now - 5);
    send(&skyring, "a.b", now - 7);
    assert_eq!(already_received(&skyring), 2);
    assert_eq!(timestamps(&redis, "a.b"), 2);
    eventually("the hash was written", || {
        let last = last_in_hash(&redis, "a.b");
        let wanted = json!({ "timestamp": now - 5, "value": 1.5 });
        holds(last.as_ref() == Some(&wanted), || format!("{last:?}"))
    });
    let own: String = redis.run(&["GET", "flux.last.a.b"]);
    let input = format!("{}\n", json!(own));
    let own = python::script("flux_last.py", &[], &input).remove(0);
    assert_eq!(own, json!([now - 5, 1.5]));
    // One metric's own key would be the hash.
    send(&skyring, "metric_data", now);
    eventually("the hash was written again", || {
        let last = last_in_hash(&redis, "metric_data");
        holds(last.is_some(), || format!("{last:?}"))
    });
    skyring.finish();
}

/// What Skyline's programs have left is believed, in every text that they write.
#[test]
fn what_others_have_written_is_read() {
    let redis = Redis::start();
    let now = now_s();
    let hash = "flux.last.metric_data";
    let set = |metric: &str, text: String| -> u32 { redis.run(&["HSET", hash, metric, &text]) };
    set("hash", format!("{{'timestamp': {now}, 'value': 1.5}}"));
    set("nan", format!("{{'timestamp': {now}, 'value': nan}}"));
    set("none", "{'timestamp': None, 'value': None}".to_owned());
    set("torn", "{'timestamp': ".to_owned());
    redis.run::<()>(&["SET", "flux.last.own", &format!("[{now}, 1.5]")]);
    redis.run::<()>(&["SET", "flux.last.none", &format!("[{now}, None]")]);
    let skyring = plan(&redis).start();
    for metric in ["hash", "nan", "none", "own"] {
        send(&skyring, metric, now);
        assert_eq!(timestamps(&redis, metric), 0, "{metric}");
        send(&skyring, metric, now + 1);
        assert_eq!(timestamps(&redis, metric), 1, "{metric}");
    }
    for metric in ["torn", "unknown"] {
        send(&skyring, metric, now);
        assert_eq!(timestamps(&redis, metric), 1, "{metric}");
    }
    assert_eq!(already_received(&skyring), 4);
    skyring.finish();
}

/// Another writer may change the keys at any time: what is remembered is not believed
/// any more then, neither what is newer there nor what was taken away.
#[test]
fn a_change_by_another_writer_is_seen_at_once() {
    let redis = Redis::start();
    let skyring = plan(&redis).start();
    let now = now_s();
    let hash = "flux.last.metric_data";
    for metric in ["by.hash", "by.key", "gone"] {
        send(&skyring, metric, now - 10);
    }
    eventually("all were written", || {
        let count: u32 = redis.run(&["HLEN", hash]);
        holds(count == 3, || count.to_string())
    });
    let text = format!("{{'timestamp': {now}, 'value': 1.5}}");
    redis.run::<u32>(&["HSET", hash, "by.hash", &text]);
    redis.run::<u32>(&["HDEL", hash, "by.key"]);
    redis.run::<()>(&["SET", "flux.last.by.key", &format!("[{now}, 1.5]")]);
    redis.run::<u32>(&["HDEL", hash, "gone"]);
    redis.run::<u32>(&["DEL", "flux.last.gone"]);
    // It is told before the writer has its answer, but read by a thread of its own.
    let sent = |metric: &str, timestamp: u64| {
        let before = timestamps(&redis, metric);
        send(&skyring, metric, timestamp);
        timestamps(&redis, metric) - before
    };
    eventually("the older one passed again", || {
        holds(sent("gone", now - 20) == 1, || "left out".to_owned())
    });
    assert_eq!(sent("by.hash", now - 5), 0);
    assert_eq!(sent("by.key", now - 5), 0);
    assert_eq!(sent("by.hash", now + 5), 1);
    assert_eq!(sent("by.key", now + 5), 1);
    skyring.finish();
}

/// Redis is told what was delivered in one change for many metrics, and asked once for
/// many; after that it need not be asked.
#[test]
fn many_metrics_cost_few_questions() {
    let redis = Redis::start();
    let skyring = plan(&redis).start();
    let now = now_s();
    let send = |timestamp: u64| {
        let metrics: Vec<Value> = (0..450)
            .map(|at| json!({ "metric": format!("m{at}"), "timestamp": timestamp, "value": at }))
            .collect();
        let body = json!({ "key": KEY, "metrics": metrics }).to_string();
        assert_eq!(post(&address(&skyring), body).code, 204);
    };
    send(now - 10);
    eventually("all were written", || {
        let count: u32 = redis.run(&["HLEN", "flux.last.metric_data"]);
        holds(count == 450, || count.to_string())
    });
    let asked = redis.calls("hmget");
    assert!(asked <= 4, "{asked} questions for 450 metrics");
    // A change looks at what is there too, and is no question of a request.
    let questions = || redis.calls("mget") - redis.calls("watch");
    let before = questions();
    for at in 0..10 {
        send(now - 9 + at);
    }
    assert_eq!(questions(), before, "for metrics that are known");
    assert_eq!(
        redis.series("m0").len(),
        11 * record("m0", now, "0.0").len()
    );
    skyring.finish();
}

/// The same points in many requests at once: each is stored once.
#[test]
fn requests_at_once_do_not_store_a_point_twice() {
    let redis = Redis::start();
    let skyring = plan(&redis).start();
    let address = address(&skyring);
    let now = now_s();
    let metrics: Vec<Value> = (0..20)
        .map(|at| json!({ "metric": format!("m{at}"), "timestamp": now, "value": 1.5 }))
        .collect();
    let body = json!({ "key": KEY, "metrics": metrics }).to_string();
    let (address, body) = (&address, &body);
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(move || {
                for _ in 0..5 {
                    assert_eq!(post(address, body).code, 204);
                }
            });
        }
    });
    for at in 0..20 {
        let metric = format!("m{at}");
        assert_eq!(
            redis.series(&metric),
            record(&metric, now, "1.5"),
            "{metric}"
        );
    }
    let counts = skyring.status()["flux"].clone();
    assert_eq!(counts["delivered"], json!(20));
    assert_eq!(counts["already_received"], json!(16 * 5 * 20 - 20));
    skyring.finish();
}

/// With the check off every point is stored; a reload switches it.
#[test]
fn the_check_can_be_switched_off() {
    let redis = Redis::start();
    let on = plan(&redis);
    let mut skyring = on.start();
    let now = now_s();
    send(&skyring, "a", now);
    send(&skyring, "a", now);
    assert_eq!(timestamps(&redis, "a"), 1);
    let off = on.set("flux.check_last_timestamp", false);
    skyring.reload(&off, &["flux.check_last_timestamp: true -> false"]);
    send(&skyring, "a", now);
    assert_eq!(timestamps(&redis, "a"), 2);
    skyring.finish();
}

/// Points that fill a gap are stored though newer ones were received, and do not become
/// the last.
#[test]
fn what_fills_a_gap_is_stored_and_is_not_the_last() {
    let redis = Redis::start();
    let skyring = plan(&redis).start();
    let now = now_s();
    send(&skyring, "a", now);
    let fill = format!(
        "metric=a&timestamp={}&value=1.5&fill=true&key={KEY}",
        now - 20_000
    );
    assert_eq!(get(&address(&skyring), &fill).code, 204);
    let single = json!({
        "key": KEY, "metric": "a", "timestamp": now - 30_000, "value": 1.5, "fill": "true",
    });
    assert_eq!(post(&address(&skyring), single.to_string()).code, 204);
    assert_eq!(timestamps(&redis, "a"), 3);
    eventually("the last was written", || {
        let last = last_in_hash(&redis, "a");
        let wanted = json!({ "timestamp": now, "value": 1.5 });
        holds(last.as_ref() == Some(&wanted), || format!("{last:?}"))
    });
    skyring.finish();
}

/// Keys of other types than they should be cost the comparison, not the points.
#[test]
fn keys_that_cannot_be_read_cost_no_points() {
    let redis = Redis::start();
    redis.run::<()>(&["SET", "flux.last.metric_data", "no hash"]);
    let skyring = plan(&redis).start();
    let now = now_s();
    send(&skyring, "a", now);
    send(&skyring, "a", now);
    let stored = timestamps(&redis, "a");
    assert!((1..=2).contains(&stored), "{stored}");
    let unchecked = skyring.status()["flux"]["unchecked"].as_u64().unwrap();
    assert!(unchecked >= 1);
    // It goes on by itself when the key is as it should be.
    redis.run::<u32>(&["DEL", "flux.last.metric_data"]);
    eventually("the hash was written", || {
        let last = last_in_hash(&redis, "a");
        holds(last.is_some(), || "nothing".to_owned())
    });
    skyring.finish();
}
