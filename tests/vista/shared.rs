//! What Skyline's other programs find in Redis, and what Python's Vista has left there.

use std::collections::BTreeSet;

use super::world::World;
use super::{HOUR_S, assert_series, entry, minute, pack, plan, records, write};
use crate::fixture::graphite_web::GraphiteWeb;
use crate::fixture::redis::Redis;
use crate::fixture::{eventually, holds, python};

// Python's Vista could take over, and would find no queue with secrets.
#[test]
fn python_s_vista_finds_all_that_it_needs_and_no_secret() {
    let begin = minute() - HOUR_S;
    let web = GraphiteWeb::start();
    write(&web, "a.b", 60, begin - HOUR_S..begin + HOUR_S);
    let redis = Redis::start();
    let more = "namespace_prefix = 'vista', token = 'the-secret'";
    let entries = [entry(&web.url(), "graphite", "a.b", more)];
    let world = World::start(&plan(&redis, &entries), begin + 20);
    world.run_for(300);
    let last = begin + 240;
    // Whoever wrote it may tell it up to a second later.
    eventually("the keys were there", || {
        let members: BTreeSet<String> = redis.run(&["SMEMBERS", "vista.fetcher.unique_metrics"]);
        holds(members.contains("a.b"), || format!("{members:?}"))
    });
    let text: String = redis.run(&["HGET", "flux.last.metric_data", "vista.a.b"]);
    let read = python::script(
        "literal_eval.py",
        &[],
        &format!("{}\n", serde_json::json!(text)),
    );
    assert!(read[0].to_string().contains(&last.to_string()), "{read:?}");
    let metrics: BTreeSet<String> = redis.run(&["SMEMBERS", "vista.metrics"]);
    assert_eq!(metrics, BTreeSet::from(["vista.a.b".to_owned()]));
    let resolution: i64 = redis.run(&["GET", "vista.last.resolution.vista.a.b"]);
    assert_eq!(resolution, 60);
    for (key, longest) in [("vista.fetcher", 120), ("vista.worker", 120)] {
        let left: i64 = redis.run(&["TTL", key]);
        assert!((1..=longest).contains(&left), "{key}: {left}");
        let at: i64 = redis.run(&["GET", key]);
        assert!((begin..=begin + 320).contains(&at), "{key}: {at}");
    }
    assert_eq!(
        redis.run::<i64>(&["EXISTS", "vista.fetcher.metrics.json"]),
        0
    );
    for key in redis.run::<Vec<String>>(&["KEYS", "*"]) {
        let dump: Vec<u8> = redis.run(&["DUMP", &key]);
        let secret = b"the-secret";
        assert!(
            !dump.windows(secret.len()).any(|part| part == secret),
            "{key}"
        );
    }
    world.finish();
}

// Fetched by Python and not yet submitted, with its credentials.
#[test]
fn what_python_s_vista_has_left_is_delivered_and_removed() {
    let begin = minute() - HOUR_S;
    let web = GraphiteWeb::start();
    write(&web, "a.b", 60, begin - HOUR_S..begin + HOUR_S);
    let redis = Redis::start();
    for (metric, at) in [("vista.a.b", begin - 1200), ("vista.gone", begin - 900)] {
        let record = format!(
            "[{{'remote_host_type': 'graphite', 'remote_target': 'a.b', 'graphite_target': 'a.b', \
             'metric': '{metric}', 'namespace_prefix': 'vista', 'key': 'the-secret', \
             'token': 'the-secret', 'user': 'None', 'password': 'None', \
             'datapoints': '\"[[{at}, 1.5], [{}, nan], [{}, 2.5]]\"'}}]",
            at + 60,
            at + 120
        );
        redis.run::<()>(&["SADD", "vista.fetcher.metrics.json", &record]);
    }
    redis.run::<()>(&["SADD", "vista.fetcher.metrics.json", "nonsense"]);
    let entries = [entry(
        &web.url(),
        "graphite",
        "a.b",
        "graphite_target = 'other'",
    )];
    let world = World::start(&plan(&redis, &entries), begin + 20);
    // Redis may have been away when it was asked first: it is asked again after a while.
    world.run_for(180);
    eventually("the queue was gone", || {
        let left: i64 = redis.run(&["EXISTS", "vista.fetcher.metrics.json"]);
        holds(left == 0, || left.to_string())
    });
    for (metric, at) in [("vista.a.b", begin - 1200), ("vista.gone", begin - 900)] {
        let points = serde_json::json!([(at, 1.5), (at + 120, 2.5)]);
        assert_series(&redis, metric, &pack(&points));
    }
    assert_series(
        &redis,
        "other",
        &records((begin - 600..begin + 180).step_by(60)),
    );
    world.finish();
}

// Several ends of the server, between a point and its note, and a rule that would rename
// what it has made: nothing is fetched twice, and all of it has the new name.
#[test]
fn a_renamed_metric_goes_on_where_its_series_ends() {
    let begin = minute() - HOUR_S;
    let web = GraphiteWeb::start();
    for metric in ["a.b", "plain"] {
        write(&web, metric, 60, begin - 6 * HOUR_S..begin + HOUR_S);
    }
    let redis = Redis::start();
    let more = "populate_at_resolutions = ['2hours']";
    let entries = [
        entry(&web.url(), "graphite", "a.b", more),
        entry(&web.url(), "graphite", "plain", ""),
    ];
    let plan =
        plan(&redis, &entries).set("rule", "[{ match = '^', action = 'rename', to = 'dc1.' }]");
    for round in 0..3 {
        let world = World::start(&plan, begin + 20 + 300 * round);
        world.run_for(260);
        world.finish();
        for metric in ["a.b", "dc1.a.b", "plain", "dc1.plain"] {
            redis.run::<i64>(&["HDEL", "flux.last.metric_data", metric]);
            redis.run::<i64>(&["DEL", &format!("flux.last.{metric}")]);
        }
    }
    let stored = ["dc1.a.b", "dc1.plain"].map(str::to_owned);
    assert_eq!(redis.keys(), BTreeSet::from(stored));
    super::assert_whole(&redis, "dc1.a.b", begin - 2 * HOUR_S, begin + 840);
    let plain = records((begin - 600..begin + 840).step_by(60));
    assert_series(&redis, "dc1.plain", &plain);
}
