//! What is fetched is what the source says, minute by minute.

use serde_json::{Value, json};

use super::world::World;
use super::{DAY_S, HOUR_S, assert_series, entry, first, minute, plan, records, write};
use crate::fixture::graphite_web::GraphiteWeb;
use crate::fixture::prometheus::Prometheus;
use crate::fixture::redis::Redis;
use crate::fixture::run::run;
use crate::fixture::{hex, python};

/// The source's own answer, as Redis must hold it.
fn answer(given: &Value) -> (usize, Vec<u8>) {
    let found = python::script("source_answer.py", &[], &given.to_string()).remove(0);
    let points = found["points"].as_array().unwrap().len();
    (points, hex(found["records"].as_str().unwrap()))
}

/// The values of successive samples: all differ, and some are no numbers.
fn odd(place: i64) -> f64 {
    match place % 11 {
        0 => f64::NAN,
        1 => f64::INFINITY,
        _ => place as f64 * 1e-7 - 3.0,
    }
}

// Half an hour of minutes, with holes in it, of both kinds of source.
#[test]
fn a_fetched_series_equals_the_source_s_own_answer() {
    let begin = minute() - 2 * HOUR_S;
    let web = GraphiteWeb::start();
    let points: Vec<(i64, f64)> = (0..120)
        .filter(|place| place % 7 != 0)
        .map(|place| (begin - HOUR_S + 60 * place, odd(place)))
        .collect();
    web.write("servers.a.load", &[(60, 20_000)], &points);
    let samples = (0..2 * HOUR_S / 7)
        .map(|place| (begin - HOUR_S + 7 * place, odd(place)))
        .filter(|(at, _)| (at - begin).rem_euclid(1800) >= 600)
        .map(|(at, value)| format!("back{{a=\"b\"}} {value} {at}\n"));
    let server = Prometheus::start(&samples.collect::<String>());
    let redis = Redis::start();
    let selector = "back{a=\\\"b\\\"}";
    let named = "graphite_target = 'back', namespace_prefix = 'vista.here'";
    let entries = [
        entry(&web.url(), "graphite", "servers.a.load", ""),
        entry(&server.url(), "prometheus", selector, named),
    ];
    let world = World::start(&plan(&redis, &entries), begin + 20);
    world.run_for(1800);
    let until = begin + 1800;
    let given = json!({ "graphite": web.url(), "target": "servers.a.load",
        "from": begin - 600, "until": until });
    let (points, expected) = answer(&given);
    assert!(points > 20, "{points}");
    assert_series(&redis, "servers.a.load", &expected);
    let given = json!({ "prometheus": server.url(), "target": "back{a=\"b\"}",
        "from": begin - 300, "until": until });
    let (points, expected) = answer(&given);
    assert!(points > 15, "{points}");
    assert_series(&redis, "vista.here.back", &expected);
    world.wait_for(0, "values that are no numbers were counted", |_| {
        let dropped = &world.status()["dropped"];
        dropped["null"].as_u64() > Some(0) && dropped["non_finite"].as_u64() > Some(0)
    });
    world.finish();
}

// A new metric of a function: its history is filled, its gaps are, its minutes fetched;
// and a bare wildcard, which may be several series, is refused and disturbs nobody.
#[test]
fn a_derived_metric_is_populated_backfilled_and_fetched() {
    let begin = minute() - 3 * HOUR_S;
    let web = GraphiteWeb::start();
    for host in ["a", "b", "c"] {
        write(
            &web,
            &format!("stats.{host}.procs_running"),
            60,
            begin - DAY_S..begin + 2 * HOUR_S,
        );
    }
    let redis = Redis::start();
    let sum = "sumSeries(stats.*.procs_running)";
    let more = "graphite_target = 'stats.cumulative.procs_running', namespace_prefix = 'vista', \
                populate_at_resolutions = ['12hours', '2hours']";
    let wildcard = "graphite_target = 'wild'";
    let plan = plan(
        &redis,
        &[
            entry(&web.url(), "graphite", sum, more),
            entry(&web.url(), "graphite", "stats.*.procs_running", wildcard),
        ],
    );
    let metric = "vista.stats.cumulative.procs_running";
    let expected = |until: i64| {
        // What has just left an archive is not asked of it.
        let from = first(&redis.series(metric));
        assert!(from < begin - 11 * HOUR_S, "{from}");
        let given = json!({ "graphite": web.url(), "target": sum, "from": from, "until": until });
        let (points, expected) = answer(&given);
        assert!(points > 660, "{points}");
        expected
    };
    let world = World::start(&plan, begin + 20);
    world.run_for(600);
    assert_series(&redis, metric, &expected(begin + 600));
    world.wait_for(1, "the wildcard was refused", |entry| {
        let error = entry["error"].as_str().unwrap();
        entry["state"] == "disabled" && error.contains("several series")
    });
    world.finish();
    // The server was away for an hour.
    let world = World::start(&plan, begin + 620 + HOUR_S);
    world.run_for(600);
    assert_series(&redis, metric, &expected(begin + 1200 + HOUR_S));
    world.wait_for(0, "the hour was asked for as one", |_| {
        world.status()["populates"] == 1
    });
    world.finish();
    let file = plan.file();
    let checked = run(&["check", "--config", file.to_str().unwrap()], b"");
    assert_eq!(checked.code, 1);
    assert!(
        checked.stdout.contains("entry 2, wild: remote_target"),
        "{}",
        checked.stdout
    );
}

// Points of an hourly metric are there only twenty minutes after their hour.
#[test]
fn an_hourly_metric_whose_points_are_late_is_whole() {
    let begin = (minute() - 12 * HOUR_S) / HOUR_S * HOUR_S;
    let web = GraphiteWeb::start();
    write(&web, "hourly", HOUR_S, begin - 5 * HOUR_S..begin);
    let redis = Redis::start();
    let more = "frequency = 3600, uri = '/render/?from=-3hours&format=json&target='";
    let entries = [entry(&web.url(), "graphite", "hourly", more)];
    let world = World::start(&plan(&redis, &entries), begin + 20);
    for hour in 0..6 {
        world.run_for(1200);
        let at = begin + hour * HOUR_S;
        write(&web, "hourly", HOUR_S, at..at + 1);
        world.run_for(HOUR_S - 1200);
    }
    let expected = records((begin - 3 * HOUR_S..begin + 6 * HOUR_S).step_by(3600));
    assert_series(&redis, "hourly", &expected);
    assert_eq!(world.status()["populates"], 0);
    world.finish();
}

// Ten seconds of resolution become the mean of each minute, as history does.
#[test]
fn several_points_a_minute_become_their_mean_by_fetch_and_by_history() {
    let begin = minute() - 2 * HOUR_S;
    let web = GraphiteWeb::start();
    let points: Vec<(i64, f64)> = (begin - 2 * HOUR_S..begin + HOUR_S)
        .step_by(10)
        .map(|at| (at, (at / 10 % 64) as f64))
        .collect();
    web.write("fine", &[(10, 20_000)], &points);
    let redis = Redis::start();
    let more = "populate_at_resolutions = ['1hours']";
    let entries = [entry(&web.url(), "graphite", "fine", more)];
    let world = World::start(&plan(&redis, &entries), begin + 20);
    world.run_for(1800);
    let from = first(&redis.series("fine"));
    assert!(from < begin - HOUR_S / 2, "{from}");
    let means = (from..begin + 1800).step_by(60).map(|at| {
        let six = (0..6).map(|place| ((at / 10 + place) % 64) as f64);
        (at, six.sum::<f64>() / 6.0)
    });
    let means: Vec<(i64, f64)> = means.collect();
    assert_series(&redis, "fine", &super::pack(&json!(means)));
    world.finish();
}

// The clock of the source is an hour ahead, or behind: its minutes are taken as it names
// them, once, and none of ours that is not over.
#[test]
fn the_clock_of_a_source_may_be_off_by_an_hour() {
    let begin = minute() - 4 * HOUR_S;
    let web = GraphiteWeb::start();
    write(&web, "ahead", 60, begin - HOUR_S..begin + 3 * HOUR_S);
    let redis = Redis::start();
    let entries = [entry(&web.url(), "graphite", "ahead", "")];
    let world = World::start(&plan(&redis, &entries), begin + 20);
    world.run_for(1200);
    assert_series(
        &redis,
        "ahead",
        &records((begin - 600..begin + 1200).step_by(60)),
    );
    world.finish();
    write(&web, "behind", 60, begin - 3 * HOUR_S..begin - HOUR_S);
    let redis = Redis::start();
    let more = "uri = '/render/?from=-2hours&format=json&target='";
    let entries = [entry(&web.url(), "graphite", "behind", more)];
    let world = World::start(&plan(&redis, &entries), begin + 20);
    for step in 0..4 {
        let at = begin - HOUR_S + step * 300;
        write(&web, "behind", 60, at..at + 300);
        world.run_for(300);
    }
    let expected = (begin - 2 * HOUR_S..begin - HOUR_S + 1200).step_by(60);
    assert_series(&redis, "behind", &records(expected));
    assert_eq!(world.status()["populates"], 0);
    world.finish();
}
