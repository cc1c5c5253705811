//! Skyline's metrics about Horizon, and what Skyline's other programs leave in Redis
//! for carbon: received by real Python, written as real Python writes it.

use std::collections::{BTreeMap, BTreeSet};

use rustix::process::Signal;
use serde_json::Value;

use crate::fixture::process::Process;
use crate::fixture::python;
use crate::fixture::redis::Redis;
use crate::fixture::sender::Sender;
use crate::fixture::skyring::Plan;
use crate::fixture::{eventually, free_port, holds, now_s};

const SHARED: &str = "skyline.graphite_metrics_single_submit";
const SHARED_LAST: &str = "skyline.last.skyline_graphite_metrics_single_submit";
const QUEUE: &str = "skyline.graphite_fail_queue";
const GUARD: &str = "skyline.processing.graphite_fail_queue";
const FAIL: &str = "skyline.graphite_fail";
const OK: &str = "skyline.graphite_ok";

/// A carbon that takes pickles and keeps them.
struct Carbon {
    port: u16,
    process: Process,
}

/// A point as Python's pickle has read it.
#[derive(Clone, Debug, PartialEq)]
struct Point {
    name: String,
    timestamp: i64,
    value: f64,
}

impl Carbon {
    fn start(port: u16) -> Carbon {
        let script = format!(
            "{}/tests/python/carbon_receiver.py",
            env!("CARGO_MANIFEST_DIR")
        );
        let process = Process::start("carbon", "/usr/bin/python3", |command| {
            command.arg(script).arg(port.to_string());
        });
        let port = eventually("carbon listened", || {
            let text = process.stdout();
            let line = text.split_once('\n').ok_or_else(|| process.stderr())?.0;
            line.parse().map_err(|error| format!("{line}: {error}"))
        });
        Carbon { port, process }
    }

    /// Every frame that came, in order. Timestamps are ints and values floats.
    fn frames(&self) -> Vec<Vec<Point>> {
        let text = self.process.stdout();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let point = |point: &Value| {
            assert_eq!((&point[3], &point[4]), (&"int".into(), &"float".into()));
            Point {
                name: point[0].as_str().unwrap().to_owned(),
                timestamp: point[1].as_i64().unwrap(),
                value: point[2].as_f64().unwrap(),
            }
        };
        let frame = |line: &str| -> Vec<Point> {
            let points: Vec<Value> = serde_json::from_str(line).unwrap();
            points.iter().map(point).collect()
        };
        whole.lines().skip(1).map(frame).collect()
    }

    fn points(&self) -> Vec<Point> {
        self.frames().concat()
    }
}

fn plan(redis: &Redis, carbon: u16) -> Plan {
    Plan::with(redis)
        .set("horizon.side_keys_s", 1)
        .set("self_metrics.carbon", format!("\"127.0.0.1:{carbon}\""))
}

/// Texts of points, as Python writes them: as dicts and as lists.
fn texts(points: &[Point]) -> Vec<[String; 2]> {
    let lines: Vec<String> = points
        .iter()
        .map(|point| {
            let Point {
                name,
                timestamp,
                value,
            } = point;
            format!("{}\n", serde_json::json!([name, timestamp, value]))
        })
        .collect();
    let texts = python::script("literals.py", &[], &lines.concat());
    texts
        .into_iter()
        .map(|text| serde_json::from_value(text).unwrap())
        .collect()
}

fn sample(count: usize) -> Vec<Point> {
    let names = ["a.b", "it's \"quoted\"", "caf\u{e9}\\n", "tab\there"];
    (0..count)
        .map(|at| Point {
            name: format!("{}.{at}", names[at % names.len()]),
            timestamp: 1_700_000_000 + (at * 7919 % count) as i64,
            value: at as f64 / 8.0,
        })
        .collect()
}

fn by_name(points: &[Point]) -> BTreeMap<String, Point> {
    let pairs = points
        .iter()
        .map(|point| (point.name.clone(), point.clone()));
    pairs.collect()
}

/// The names of Skyline, so that its canary and Thunder find them.
#[test]
fn without_carbon_own_metrics_come_to_the_own_redis() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis)
        .set("horizon.side_keys_s", 1)
        // Flux's own are looked at in its tests.
        .set("flux.listen", "[]")
        .set("self_metrics.enabled", true)
        .set("self_metrics.name", "\"host-1\"")
        .start();
    let mut sender = Sender::connect(&skyring.pickle());
    let wanted: BTreeSet<String> = [
        "worker.queue_size",
        "worker.queue_size_60s_avg",
        "worker.datapoints_sent_to_redis",
        "worker.metrics_received",
    ]
    .iter()
    .map(|name| format!("skyline.horizon.host-1.{name}"))
    .collect();
    eventually("all self metrics were stored", || {
        sender.send_point("some.metric", 1.0);
        let mut keys = redis.keys();
        keys.remove("some.metric");
        holds(keys == wanted, || format!("{keys:?}"))
    });
    eventually("they were known to Skyline", || {
        let members = redis.members();
        holds(members.is_superset(&wanted), || format!("{members:?}"))
    });
    skyring.finish();
}

#[test]
fn with_carbon_own_metrics_go_there_as_pickles() {
    let redis = Redis::start();
    let carbon = Carbon::start(0);
    let skyring = plan(&redis, carbon.port)
        .set("flux.listen", "[]")
        .set("self_metrics.enabled", true)
        .set("self_metrics.name", "\"\"")
        .start();
    let mut sender = Sender::connect(&skyring.pickle());
    let own = "skyline.horizon.worker";
    eventually("the metrics came to carbon", || {
        for name in ["one.a", "one.b", "one.c"] {
            sender.send_point(name, 1.0);
        }
        let points = carbon.points();
        let has = |name: &str, value: fn(f64) -> bool| {
            let name = format!("{own}.{name}");
            points
                .iter()
                .any(|point| point.name == name && value(point.value))
        };
        let all = has("queue_size", |size| size >= 0.0)
            && has("queue_size_60s_avg", |size| size >= 0.0)
            && has("datapoints_sent_to_redis", |points| points >= 3.0)
            && has("metrics_received", |metrics| metrics == 3.0);
        holds(all, || format!("{points:?}"))
    });
    let now = now_s() as i64;
    for point in carbon.points() {
        assert!(point.name.starts_with(own), "{point:?}");
        assert!((now - 60..=now).contains(&point.timestamp), "{point:?}");
    }
    assert!(redis.keys().iter().all(|key| key.starts_with("one.")));
    skyring.finish();
}

/// What Python programs could not send is Horizon's to send, oldest first, in both
/// shapes, which the one who wrote the queue never read both.
#[test]
fn the_fail_queue_is_drained_oldest_first() {
    let redis = Redis::start();
    let points = sample(1200);
    for (at, texts) in texts(&points).iter().enumerate() {
        let _: u32 = redis.run(&["SADD", QUEUE, &texts[at % 2]]);
    }
    for garbage in ["", "[", "['nan', nan, 1]", "os.system('x')"] {
        let _: u32 = redis.run(&["SADD", QUEUE, garbage]);
    }
    let _: String = redis.run(&["SET", FAIL, "1"]);
    let carbon = Carbon::start(0);
    let skyring = plan(&redis, carbon.port).start();
    eventually("the queue came to carbon", || {
        let found = carbon.points().len();
        holds(found >= points.len(), || format!("{found} points"))
    });
    let found = carbon.points();
    assert_eq!(by_name(&found), by_name(&points));
    assert!(found.is_sorted_by_key(|point| point.timestamp));
    let sizes: Vec<usize> = carbon.frames().iter().map(Vec::len).collect();
    assert_eq!(sizes, [480, 480, 240]);
    eventually("the signs were set", || {
        let ok: i64 = redis.run(&["TTL", OK]);
        let fail: u32 = redis.run(&["EXISTS", FAIL]);
        holds((1..=65).contains(&ok) && fail == 0, || {
            format!("{ok}, {fail}")
        })
    });
    let guard: i64 = redis.run(&["TTL", GUARD]);
    assert!((1..=59).contains(&guard), "{guard}");
    let keys: Vec<String> = redis.run(&["KEYS", &format!("{QUEUE}*")]);
    let [taken] = &keys[..] else {
        panic!("{keys:?}")
    };
    let (_, time) = taken.split_once(".horizon.").unwrap();
    assert!(time.parse::<u64>().unwrap() <= now_s());
    wait_until_done_with(&redis, taken);
    skyring.finish();
}

/// A queue under work lives on until all of it is sent.
fn wait_until_done_with(redis: &Redis, taken: &str) {
    eventually("the queue was done with", || {
        let life: i64 = redis.run(&["TTL", taken]);
        holds((1..=600).contains(&life), || format!("{life}"))
    });
}

fn queue(redis: &Redis, key: &str, points: &[Point]) {
    for texts in texts(points) {
        let _: u32 = redis.run(&["SADD", key, &texts[1]]);
    }
}

/// What a server that was killed in the middle had taken, the next one sends; what
/// was done with it leaves to expire.
#[test]
fn a_queue_under_work_that_was_left_is_sent() {
    let redis = Redis::start();
    let points = sample(30);
    let (left, rest) = points.split_at(20);
    let (done, fresh) = rest.split_at(5);
    let keys = ["1700000000", "1700000001"].map(|time| format!("{QUEUE}.horizon.{time}"));
    queue(&redis, &keys[0], left);
    queue(&redis, &keys[1], done);
    let _: u32 = redis.run(&["EXPIRE", &keys[1], "500"]);
    queue(&redis, QUEUE, fresh);
    let carbon = Carbon::start(0);
    let skyring = plan(&redis, carbon.port).start();
    wait_until_done_with(&redis, &keys[0]);
    eventually("the queue itself was taken", || {
        let there: u32 = redis.run(&["EXISTS", QUEUE]);
        holds(there == 0, || "it is there".to_owned())
    });
    eventually("both came to carbon", || {
        let found = carbon.points().len();
        holds(found >= left.len() + fresh.len(), || format!("{found}"))
    });
    let found = carbon.points();
    assert_eq!(by_name(&found), by_name(&[left, fresh].concat()));
    let first: Vec<Point> = found[..left.len()].to_vec();
    assert_eq!(by_name(&first), by_name(left), "what was left goes first");
    skyring.finish();
}

/// A Redis that fails after the queue was taken leaves it as it was taken, and it
/// is sent when Redis is well again.
#[test]
fn a_failing_redis_loses_nothing_of_the_queue() {
    let redis = Redis::start();
    let points = sample(30);
    queue(&redis, QUEUE, &points);
    let _: String = redis.run(&["ACL", "SETUSER", "default", "-sscan"]);
    let carbon = Carbon::start(0);
    let skyring = plan(&redis, carbon.port).start();
    let taken = eventually("the queue was taken", || {
        let keys: Vec<String> = redis.run(&["KEYS", &format!("{QUEUE}.horizon.*")]);
        keys.first()
            .cloned()
            .ok_or_else(|| "it is there".to_owned())
    });
    eventually("Redis failed", || {
        let errors = skyring.status()["self_metrics"]["redis_errors"].as_u64();
        holds(errors > Some(0), || format!("{errors:?}"))
    });
    let life: i64 = redis.run(&["TTL", &taken]);
    assert_eq!(life, -1, "what nobody has sent must not expire");
    let _: String = redis.run(&["ACL", "SETUSER", "default", "+@all"]);
    // Nobody else works at it any more.
    let _: u32 = redis.run(&["DEL", GUARD]);
    eventually("the queue came to carbon", || {
        let found = by_name(&carbon.points());
        holds(found == by_name(&points), || format!("{found:?}"))
    });
    wait_until_done_with(&redis, &taken);
    skyring.finish();
}

/// Points stored before the self metrics were wanted are not those of a pass.
#[test]
fn the_first_figures_after_a_reload_are_of_a_pass() {
    const POINTS: u64 = 5_000;
    let redis = Redis::start();
    let carbon = Carbon::start(0);
    let plan = plan(&redis, carbon.port);
    let mut skyring = plan.start();
    let mut sender = Sender::connect(&skyring.pickle());
    for at in 0..POINTS {
        sender.send_point("some.metric", at as f64);
    }
    skyring.wait_until_settled(POINTS);
    plan.set("self_metrics.enabled", true).file();
    skyring.process.signal(Signal::HUP);
    let stored = eventually("a pass was told of", || {
        let points = carbon.points();
        let name = "worker.datapoints_sent_to_redis";
        let found = points.into_iter().find(|point| point.name.ends_with(name));
        found.ok_or_else(|| "none".to_owned())
    });
    assert_eq!(stored.value, 0.0, "nothing was stored since");
    skyring.finish();
}

/// While carbon is away everything stays where it is, and is sent when it is back.
#[test]
fn nothing_is_taken_while_carbon_is_away() {
    let redis = Redis::start();
    let points = sample(10);
    let texts = texts(&points);
    for texts in &texts[..5] {
        let _: u32 = redis.run(&["SADD", QUEUE, &texts[1]]);
    }
    for (point, texts) in points[5..].iter().zip(&texts[5..]) {
        let field = format!("{}.{}", point.timestamp, point.name);
        let _: u32 = redis.run(&["HSET", SHARED, &field, &texts[0]]);
    }
    let port = free_port();
    let skyring = plan(&redis, port).start();
    eventually("sending was tried", || {
        let tried: u32 = redis.run(&["EXISTS", SHARED_LAST]);
        holds(tried == 1, || "not tried".to_owned())
    });
    eventually("a pass went by", || {
        let begun: Option<u64> =
            redis.run(&["HGET", "horizon.worker.average_queue_size", "timestamp"]);
        holds(begun > Some(now_s() - 1), || format!("{begun:?}"))
    });
    let left: (usize, usize) = (redis.run(&["SCARD", QUEUE]), redis.run(&["HLEN", SHARED]));
    assert_eq!(left, (5, 5));
    let carbon = Carbon::start(port);
    // Nobody sends again within a minute, so that minute is over.
    let _: String = redis.run(&["SET", SHARED_LAST, "1000000000.5"]);
    eventually("both were sent", || {
        let found = by_name(&carbon.points());
        holds(found == by_name(&points), || format!("{found:?}"))
    });
    skyring.finish();
}

/// Whichever program finds that a minute is over sends the hash for all of them.
#[test]
fn the_shared_hash_is_sent_once_a_minute_by_anybody() {
    let redis = Redis::start();
    let points = sample(1500);
    let fill = || {
        for (point, texts) in points.iter().zip(texts(&points)) {
            let field = format!("{}.{}", point.timestamp, point.name);
            let _: u32 = redis.run(&["HSET", SHARED, &field, &texts[0]]);
        }
    };
    fill();
    let _: u32 = redis.run(&["HSET", SHARED, "1.garbage", "{'metric': "]);
    let carbon = Carbon::start(0);
    let skyring = plan(&redis, carbon.port).start();
    let emptied = || {
        let left: usize = redis.run(&["HLEN", SHARED]);
        holds(left == 0, || format!("{left} left"))
    };
    eventually("the hash was sent", emptied);
    let sizes: Vec<usize> = carbon.frames().iter().map(Vec::len).collect();
    assert!(sizes.iter().all(|size| *size <= 480), "{sizes:?}");
    assert_eq!(by_name(&carbon.points()), by_name(&points));
    let last: u64 = redis.run(&["GET", SHARED_LAST]);
    assert!(now_s() - last < 60, "{last}");

    // The minute is not over: another program has just sent.
    fill();
    let sent = carbon.points().len();
    let begun = now_s();
    eventually("passes went by", || {
        let seen: Option<u64> =
            redis.run(&["HGET", "horizon.worker.average_queue_size", "timestamp"]);
        holds(seen >= Some(begun + 3), || format!("{seen:?}"))
    });
    let left: usize = redis.run(&["HLEN", SHARED]);
    assert_eq!((left, carbon.points().len()), (1500, sent));
    let _: u32 = redis.run(&["DEL", SHARED_LAST]);
    eventually("the hash was sent again", emptied);
    skyring.finish();
}

/// Without a carbon nobody knows where it should go, which is told once, also to
/// those who want no self metrics.
#[test]
fn without_carbon_the_points_of_others_are_left_alone() {
    let redis = Redis::start();
    let _: u32 = redis.run(&["SADD", QUEUE, "['a', 1.0, 1]"]);
    let _: u32 = redis.run(&["HSET", SHARED, "1.a", "{'metric': 'a'}"]);
    let skyring = Plan::with(&redis).set("horizon.side_keys_s", 1).start();
    let told = || {
        let text = skyring.process.stderr();
        text.matches("self_metrics.carbon is not set").count()
    };
    eventually("it was told", || {
        holds(told() > 0, || skyring.process.stderr())
    });
    eventually("passes went by", || {
        let passes = skyring.status()["side_keys"]["passes"].as_u64();
        holds(passes > Some(3), || format!("{passes:?}"))
    });
    assert_eq!(told(), 1);
    let keys: BTreeSet<String> = redis.run(&["KEYS", "skyline.*"]);
    assert_eq!(keys, [SHARED.to_owned(), QUEUE.to_owned()].into());
    skyring.finish();
}
