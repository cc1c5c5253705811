//! The binary killed at any stage: what it goes on with afterwards has no gap and nothing
//! twice.

use rustix::process::Signal;

use super::{DAY_S, HOUR_S, RECORD, assert_whole, entry, first, minute, plan, prometheus, write};
use crate::fixture::graphite_web::GraphiteWeb;
use crate::fixture::redis::Redis;
use crate::fixture::skyring::Plan;
use crate::fixture::{eventually, holds};

/// Kills the server again and again, each time a little later, and then lets it go on
/// until `is_whole`.
fn kill(plan: &Plan, redis: &Redis, metrics: &[&str], is_whole: impl Fn() -> Result<(), String>) {
    let bytes = || -> usize {
        metrics
            .iter()
            .map(|metric| redis.series(metric).len())
            .sum()
    };
    for round in 0..10 {
        let before = bytes();
        let mut skyring = plan.start();
        // Some rounds end as soon as anything has been stored, some in the midst of it.
        if round % 2 == 0 {
            for _ in 0..200 * (round + 1) {
                if bytes() > before {
                    break;
                }
                std::thread::yield_now();
            }
        }
        skyring.process.signal(Signal::KILL);
        skyring.process.exit();
    }
    let skyring = plan.start();
    eventually("everything was there", &is_whole);
    skyring.finish();
}

#[test]
fn history_that_is_broken_off_goes_on_where_it_was() {
    let now = minute();
    let begin = now - 3 * DAY_S - HOUR_S;
    let web = GraphiteWeb::start();
    // Both go on into the future, so that each minute has its points when it is over:
    // Prometheus would else repeat its last value for the five minutes behind.
    write(&web, "a", 60, begin..now + HOUR_S);
    let server = prometheus(begin..now + HOUR_S);
    let redis = Redis::start();
    let entries = [
        entry(
            &web.url(),
            "graphite",
            "a",
            "populate_at_resolutions = ['3days', '2days', '6hours']",
        ),
        entry(
            &server.url(),
            "prometheus",
            "back",
            "populate_at_resolutions = ['3d']",
        ),
    ];
    let plan = plan(&redis, &entries);
    kill(&plan, &redis, &["a", "back"], || {
        let reach = |metric: &str| redis.series(metric).len() / RECORD;
        let days = 3 * DAY_S as usize / 60;
        let there = (reach("a"), reach("back"));
        holds(there.0 >= days - 20 && there.1 >= days - 20, || {
            format!("{there:?} of {days}")
        })
    });
    for metric in ["a", "back"] {
        assert_all(&redis, metric, now - 3 * DAY_S);
    }
}

#[test]
fn fetching_that_is_broken_off_goes_on_where_it_was() {
    let now = minute();
    let web = GraphiteWeb::start();
    let metrics: Vec<String> = (0..20).map(|at| format!("m{at}")).collect();
    for metric in &metrics {
        write(&web, metric, 60, now - HOUR_S..now + HOUR_S);
    }
    let redis = Redis::start();
    let entries: Vec<String> = metrics
        .iter()
        .map(|metric| entry(&web.url(), "graphite", metric, ""))
        .collect();
    let plan = plan(&redis, &entries);
    let names: Vec<&str> = metrics.iter().map(String::as_str).collect();
    kill(&plan, &redis, &names, || {
        let missing = names
            .iter()
            .find(|name| redis.series(name).len() < 9 * RECORD);
        holds(missing.is_none(), || format!("{missing:?}"))
    });
    for name in names {
        assert_all(&redis, name, now - 660);
    }
}

/// All up to the last that is there is there once.
fn assert_all(redis: &Redis, metric: &str, from: i64) {
    let series = redis.series(metric);
    let until = first(&series) + 60 * (series.len() / RECORD) as i64;
    assert_whole(redis, metric, from, until);
}
