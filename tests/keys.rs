//! What stands in Redis besides the records: the set of known metrics, and
//! how little work its upkeep is. And what is too old to stand there.

use crate::fixture::redis::Redis;
use crate::fixture::sender::{Sender, frame, record, values_of};
use crate::fixture::skyring::Plan;
use crate::fixture::{eventually, holds, now_s};

/// Another program may remove a metric at any time. The next point brings back
/// both its key and its place in the set.
#[test]
fn a_metric_that_another_program_removed_comes_back_whole() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).start();
    let mut sender = Sender::connect(&skyring.pickle());
    for value in 0..3 {
        sender.send_point("removed.metric", f64::from(value));
    }
    sender.send_point("kept.metric", 1.0);
    skyring.wait_until_settled(4);
    let _: u32 = redis.run(&["DEL", "metrics.removed.metric"]);
    let _: u32 = redis.run(&["SREM", "metrics.unique_metrics", "metrics.removed.metric"]);
    sender.send_point("removed.metric", 3.0);
    skyring.wait_until_settled(5);
    eventually("the metric was in the set again", || {
        holds(redis.members().contains("removed.metric"), || {
            format!("{:?}", redis.members())
        })
    });
    assert_eq!(
        values_of(&redis.series("removed.metric"), "removed.metric"),
        [3.0]
    );
    assert_eq!(
        values_of(&redis.series("kept.metric"), "kept.metric"),
        [1.0]
    );
    skyring.finish();
}

/// Another program may append to or shorten a series at any time: Skyring only
/// ever appends behind what is there.
#[test]
fn what_other_programs_write_to_a_series_is_kept() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).start();
    let mut sender = Sender::connect(&skyring.pickle());
    let now = now_s() as f64;
    sender.send(&frame(&[("shared", now, 1.0)]));
    skyring.wait_until_settled(1);
    let connection = &mut redis.connection();
    let other = record(now, 2.0);
    redis::cmd("APPEND")
        .arg("metrics.shared")
        .arg(&other)
        .query::<()>(connection)
        .unwrap();
    sender.send(&frame(&[("shared", now, 3.0)]));
    skyring.wait_until_settled(2);
    assert_eq!(
        values_of(&redis.series("shared"), "shared"),
        [1.0, 2.0, 3.0]
    );
    redis::cmd("SET")
        .arg("metrics.shared")
        .arg(&other)
        .query::<()>(connection)
        .unwrap();
    sender.send(&frame(&[("shared", now, 4.0)]));
    skyring.wait_until_settled(3);
    assert_eq!(values_of(&redis.series("shared"), "shared"), [2.0, 4.0]);
    skyring.finish();
}

/// SADD is for new metrics. In the steady state only the slow re-assertion is
/// left, at most once for each metric in a test this short.
#[test]
fn a_known_metric_costs_one_append_and_no_sadd() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).set("shards", 1).start();
    let mut sender = Sender::connect(&skyring.pickle());
    let names: Vec<String> = (0..20).map(|at| format!("steady.m{at}")).collect();
    let now = now_s() as f64;
    let round = |value: f64| -> Vec<u8> {
        let points: Vec<_> = names
            .iter()
            .map(|name| (name.as_str(), now, value))
            .collect();
        frame(&points)
    };
    sender.send(&round(0.0));
    skyring.wait_until_settled(20);
    eventually("all metrics were members", || {
        holds(redis.members().len() == 20, || {
            format!("{:?}", redis.members())
        })
    });
    let (sadds, appends) = (redis.calls("sadd"), redis.calls("append"));
    for value in 1..=200 {
        sender.send(&round(f64::from(value)));
    }
    skyring.wait_until_settled(20 * 201);
    let sadds = redis.calls("sadd") - sadds;
    assert!(
        sadds <= 20,
        "{sadds} SADDs for 4000 points of known metrics"
    );
    let appends = redis.calls("append") - appends;
    assert!((20..=4000).contains(&appends), "{appends} APPENDs");
    skyring.finish();
}

/// A frame of many points of one metric is one APPEND, in order.
#[test]
fn points_of_one_metric_in_a_batch_are_one_append() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).start();
    let mut sender = Sender::connect(&skyring.pickle());
    let now = now_s() as f64;
    let points: Vec<(&str, f64, f64)> = (0..500).map(|at| ("single", now, f64::from(at))).collect();
    sender.send(&frame(&points));
    skyring.wait_until_settled(500);
    assert_eq!(redis.calls("append"), 1);
    let wanted: Vec<f64> = (0..500).map(f64::from).collect();
    assert_eq!(values_of(&redis.series("single"), "single"), wanted);
    skyring.finish();
}

/// Points older than `max_resolution_s` are dropped and counted; future ones
/// are kept. The margins are wide, since the clock goes on during the test.
#[test]
fn only_what_is_older_than_the_limit_is_dropped() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis)
        .set("horizon.max_resolution_s", 500)
        .start();
    let mut sender = Sender::connect(&skyring.pickle());
    let now = now_s() as f64;
    let points: Vec<(&str, f64, f64)> = [-100_000.0, -620.0, -380.0, 0.0, 86_400.0, 1e9]
        .iter()
        .map(|offset| ("aged", now + offset, *offset))
        .collect();
    sender.send(&frame(&points));
    let counts = skyring.wait_until_settled(6);
    assert_eq!(counts.dropped, [("too_old".to_owned(), 2)].into());
    assert_eq!(
        values_of(&redis.series("aged"), "aged"),
        [-380.0, 0.0, 86_400.0, 1e9]
    );
    skyring.finish();
}

/// A metric all of whose points were refused leaves nothing behind.
#[test]
fn a_refused_point_leaves_neither_key_nor_member() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).start();
    let mut sender = Sender::connect(&skyring.pickle());
    let now = now_s() as f64;
    sender.send(&frame(&[
        ("refused.age", now - 9_000.0, 1.0),
        ("refused.nan", now, f64::NAN),
        ("refused.\u{7}", now, 1.0),
        ("good", now, 1.0),
    ]));
    let counts = skyring.wait_until_settled(4);
    assert_eq!(counts.stored, 1);
    eventually("the good metric was a member", || {
        holds(redis.members().len() == 1, || {
            format!("{:?}", redis.members())
        })
    });
    assert_eq!(redis.keys(), ["good".to_owned()].into());
    skyring.finish();
}

/// The setting `redis.namespace` is the prefix of everything.
#[test]
fn another_namespace_is_used_for_keys_and_set() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis)
        .set("redis.namespace", "\"other.\"")
        .start();
    let mut sender = Sender::connect(&skyring.pickle());
    sender.send_point("a.b", 1.0);
    skyring.wait_until_settled(1);
    eventually("the metric was a member", || {
        let members: Vec<String> = redis.run(&["SMEMBERS", "other.unique_metrics"]);
        holds(members == ["other.a.b"], || format!("{members:?}"))
    });
    let series: Vec<u8> = redis.run(&["GET", "other.a.b"]);
    assert_eq!(values_of(&series, "a.b"), [1.0]);
    skyring.finish();
}
