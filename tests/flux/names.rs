//! The operator's rules for points over HTTP: a metric has one name, that under which
//! it is stored.

use serde_json::{Value, json};

use super::{KEY, address, get, plan, post, record};
use crate::fixture::carbon_cache::CarbonCache;
use crate::fixture::redis::Redis;
use crate::fixture::skyring::{Plan, Skyring};
use crate::fixture::{eventually, holds, now_s};

/// One that would change what it has made once more, and one that drops.
const RULES: &str = "[{ name = 'no', prefix = 'no.', action = 'drop' }, \
     { name = 'noise', prefix = 'noise.', action = 'rename', to = 'skyline.analyzer.' }, \
     { name = 'dc', match = '^', action = 'rename', to = 'dc1.' }]";

fn renaming(redis: &Redis) -> Plan {
    plan(redis).set("rule", RULES)
}

fn send(skyring: &Skyring, metric: &str, timestamp: u64) {
    let query = format!("metric={metric}&timestamp={timestamp}&value=1.5&key={KEY}");
    assert_eq!(get(&address(skyring), &query).code, 204);
}

/// The fields of `flux.last.metric_data`, once there are so many.
fn noted(redis: &Redis, count: usize) -> Vec<String> {
    eventually("the last timestamps were noted", || {
        let mut fields: Vec<String> = redis.run(&["HKEYS", "flux.last.metric_data"]);
        fields.sort();
        holds(fields.len() == count, || format!("{fields:?}"))?;
        Ok(fields)
    })
}

fn points_by_rule(skyring: &Skyring) -> Value {
    let status = skyring.status();
    let rules = status["rules"].as_array().unwrap().iter();
    let points = rules.map(|rule| {
        let name = rule["name"].as_str().unwrap();
        (name.to_owned(), rule["points"].clone())
    });
    Value::Object(points.collect())
}

/// What is stored under a new name is known under it alone, and known again after a
/// restart; what a rule drops is taken and stored nowhere.
#[test]
fn a_metric_that_a_rule_renames_is_known_by_its_new_name() {
    let redis = Redis::start();
    let now = now_s();
    let skyring = renaming(&redis).start();
    send(&skyring, "a.b", now - 10);
    send(&skyring, "a.b", now - 10);
    send(&skyring, "dc1.a.b", now - 10);
    send(&skyring, "no.c", now);
    let points = ["a.c", "no.d", "noise.x"]
        .map(|metric| json!({ "metric": metric, "value": 1.5, "timestamp": now }));
    let body = json!({ "key": KEY, "metrics": points }).to_string();
    assert_eq!(post(&address(&skyring), body).code, 204);
    let known = ["dc1.a.b", "dc1.a.c", "dc1.dc1.a.b"];
    assert_eq!(noted(&redis, 3), known);
    assert_eq!(redis.keys(), known.map(str::to_owned).into());
    assert_eq!(redis.members(), known.map(str::to_owned).into());
    assert_eq!(redis.run::<i64>(&["EXISTS", "flux.last.a.b"]), 0);
    assert_eq!(redis.run::<i64>(&["EXISTS", "flux.last.dc1.a.b"]), 1);
    assert_eq!(skyring.status()["flux"]["already_received"], 1);
    let counted = json!({ "no": 2, "noise": 0, "dc": 4 });
    assert_eq!(points_by_rule(&skyring), counted);
    let refused = &skyring.status()["flux"]["endpoints"]["metric_data_post"]["refused"];
    assert_eq!(
        refused,
        &json!({ "skipped": 2 }),
        "the skip lists see the new name"
    );
    skyring.finish();
    let skyring = renaming(&redis).start();
    send(&skyring, "a.b", now - 10);
    assert_eq!(skyring.status()["flux"]["already_received"], 1);
    send(&skyring, "a.b", now - 9);
    let mut expected = record("x", now - 10, "1.5");
    expected.extend(record("x", now - 9, "1.5"));
    assert_eq!(redis.series("dc1.a.b"), expected);
    skyring.finish();
}

/// What fills a series, and what is made of several points, is not renamed once more.
#[test]
fn filled_and_aggregated_points_keep_their_name() {
    let redis = Redis::start();
    let rules = "[{ namespace = 'dc1.zero', interval = 1, zero_fill = true }]";
    let skyring = renaming(&redis)
        .set("flux.aggregate", rules)
        .set("flux.grace_s", 0)
        .start();
    send(&skyring, "zero.errors", now_s());
    eventually("the series was filled", || {
        let points =
            redis.series("dc1.zero.errors").len() / record("x", 1_700_000_000, "0.0").len();
        holds(points >= 4, || format!("{points} points"))
    });
    skyring.finish();
    assert_eq!(redis.keys(), ["dc1.zero.errors".to_owned()].into());
}

/// Graphite stores a metric under the name that it came with: Horizon renames it when
/// it comes back.
#[test]
fn on_the_way_to_carbon_names_stay_as_they_are() {
    let redis = Redis::start();
    let carbon = CarbonCache::start();
    let skyring = renaming(&redis)
        .set("graphite.carbon_pickle", format!("'{}'", carbon.pickle()))
        .start();
    let now = now_s() / 60 * 60;
    send(&skyring, "a.b", now);
    send(&skyring, "a.b", now);
    assert_eq!(noted(&redis, 1), ["a.b"]);
    eventually("Graphite had it", || {
        let points = carbon.points("a.b");
        holds(points.get(&(now as i64)) == Some(&1.5), || {
            format!("{points:?}")
        })
    });
    skyring.finish();
}
