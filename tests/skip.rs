//! Skyline's skip lists: which points are dropped, through every listener, and that
//! those cost Redis nothing.

use std::collections::BTreeSet;

use crate::fixture::listener::ALL;
use crate::fixture::redis::Redis;
use crate::fixture::skyring::{Plan, Skyring};
use crate::fixture::{now_s, python};

/// Sends three points of each name to each listener, and holds what is stored, and
/// what is counted as skipped, against the names that must be.
fn assert_skipped(redis: &Redis, skyring: &Skyring, names: &[String], skipped: &BTreeSet<String>) {
    let kept = names.iter().filter(|name| !skipped.contains(*name));
    let kept: BTreeSet<String> = kept.cloned().collect();
    for listener in ALL {
        let listener = skyring.listener(listener);
        let now = now_s() as f64;
        let of = |value: f64| names.iter().map(move |name| (name.as_str(), now, value));
        let points: Vec<_> = [1.0, 2.0, 3.0].into_iter().flat_map(of).collect();
        listener.send(&points);
        let counts = listener.wait_until_settled(points.len() as u64);
        let dropped = 3 * skipped.len() as u64;
        assert_eq!(counts.dropped.get("skipped").copied().unwrap_or(0), dropped);
        assert_eq!(counts.dropped_total(), dropped, "{:?}", counts.dropped);
        assert_eq!(counts.stored, 3 * kept.len() as u64);
    }
    assert_eq!(redis.keys(), kept);
    assert_eq!(redis.members(), kept);
    for name in kept {
        assert_eq!(redis.series(&name).len(), 19 * 3 * ALL.len(), "{name}");
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn toml(patterns: &[String]) -> String {
    format!("{patterns:?}")
}

/// Skyline's own lists, through every listener: values that its worker gave.
#[test]
fn the_default_lists_skip_what_skyline_skips() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).with_lines().start();
    let kept = [
        "skyline.analyzer.h1.run_time",
        "skyline.horizon.h1.worker.queue_size",
        "skyline.h1.mirage.checks",
        "skyline.boundary.run_time",
        "stats.web01.cpu.user",
        "Skyline.Analyzer.x",
        "skyline.analyzer",
    ];
    let skipped = [
        "skyline.analyzer.h1.projected",
        "my.skyline.analyzer.x",
        "skyline.boundary.x",
        "skyline.ionosphere.x",
        "skyline.mirage.x",
    ];
    let names = owned(&[&kept[..], &skipped[..]].concat());
    assert_skipped(&redis, &skyring, &names, &skipped.map(str::to_owned).into());
    skyring.finish();
}

/// Each rule of the matching by itself: a part of the name, all elements in any
/// order, elements twice, empty elements, case, and the list that rescues.
#[test]
fn lists_match_as_skylines_do() {
    let names = [
        "a.b.c",
        "c.b.a.zz",
        "c.b.zz",
        "xa.bx",
        "a.b",
        "b.a",
        "A.b",
        "a",
        "a.a",
        "b.a.a",
        "a.b.a",
        "y.z.x",
        "y.z.x.",
        "x.y.z",
        "keep.x.a",
        "a.keep",
        "caf\u{e9}.n",
        "n.caf\u{e9}",
        "x;k=v",
    ];
    let cases: [(&[&str], &[&str]); 12] = [
        (&[], &[]),
        (&[], &["a"]),
        (&["a.b.c"], &[]),
        (&["a.b"], &[]),
        (&["A.b"], &[]),
        (&["a.a"], &[]),
        (&["x.y."], &[]),
        (&["a"], &["a.keep"]),
        (&["caf\u{e9}.n"], &[]),
        (&["k=v", "zz"], &["x"]),
        (&["a", "x", "y"], &["z.x", "b.b", "c"]),
        (&["."], &["b."]),
    ];
    let names = owned(&names);
    for (skip, do_not_skip) in cases {
        let (skip, do_not_skip) = (owned(skip), owned(do_not_skip));
        let redis = Redis::start();
        let skyring = Plan::with(&redis)
            .with_lines()
            .set("horizon.skip", toml(&skip))
            .set("horizon.do_not_skip", toml(&do_not_skip))
            .start();
        let skipped = python::skipped(&skip, &do_not_skip, &names);
        assert_skipped(&redis, &skyring, &names, &skipped);
        skyring.finish();
    }
}

/// A hundred patterns that skip and thirty that rescue, over a thousand names, all
/// seeded: exactly the metrics that Skyline's own rule keeps are in Redis.
#[test]
fn a_hundred_patterns_skip_what_pythons_sets_say() {
    let mut state = 0x5eed_5eed_5eed_5eed_u64;
    let mut random = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bound as u64) as usize
    };
    let mut dotted = |elements: usize, more: usize| {
        let count = elements + random(more);
        let element = |_| format!("e{}", random(20));
        (0..count).map(element).collect::<Vec<_>>().join(".")
    };
    let skip: Vec<String> = (0..100).map(|_| dotted(2, 2)).collect();
    let do_not_skip: Vec<String> = (0..30).map(|_| dotted(2, 2)).collect();
    let names: BTreeSet<String> = (0..1_000).map(|_| dotted(2, 6)).collect();
    let names: Vec<String> = names.into_iter().collect();
    let skipped = python::skipped(&skip, &do_not_skip, &names);
    let part = names.len() / 20..names.len() * 19 / 20;
    assert!(part.contains(&skipped.len()), "{} skipped", skipped.len());
    let redis = Redis::start();
    let skyring = Plan::with(&redis)
        .with_lines()
        .set("horizon.skip", toml(&skip))
        .set("horizon.do_not_skip", toml(&do_not_skip))
        .start();
    assert_skipped(&redis, &skyring, &names, &skipped);
    skyring.finish();
}

/// A skipped metric costs Redis no key, no member, and no command; nor does the
/// server write one for each of its points.
#[test]
fn skipped_metrics_cost_redis_nothing() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis)
        .with_lines()
        .set("horizon.side_keys", false)
        .set("horizon.skip", "[\"noise\"]")
        .start();
    let names: Vec<String> = (0..2_000).map(|at| format!("noise.m{at}")).collect();
    for listener in ALL {
        let listener = skyring.listener(listener);
        let now = now_s() as f64;
        let points: Vec<_> = names.iter().map(|name| (name.as_str(), now, 1.0)).collect();
        for round in 1..=3 {
            listener.send(&points);
            let counts = listener.wait_until_settled(2_000 * round);
            assert_eq!(
                counts.dropped,
                [("skipped".to_owned(), counts.received)].into()
            );
        }
    }
    assert_eq!(redis.calls("append") + redis.calls("sadd"), 0);
    assert_eq!(redis.run::<u64>(&["DBSIZE"]), 0);
    let status = skyring.status();
    assert_eq!(status["redis"]["batches"], 0);
    skyring.finish();
}

/// What is wrong with a name is said before it is looked for in the lists, and the
/// lists before the age: each point is in the counter of the first that holds.
#[test]
fn a_point_is_dropped_for_the_first_reason() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis)
        .with_lines()
        .set("horizon.skip", "[\"noise\"]")
        .start();
    let now = now_s() as f64;
    for listener in ALL {
        let listener = skyring.listener(listener);
        listener.send(&[
            ("noise.\u{1b}[31m", now, 1.0),
            ("noise.old", now - 9_000.0, 1.0),
            ("noise.wild", now, f64::INFINITY),
            ("noise", now, 1.0),
            ("old", now - 9_000.0, f64::INFINITY),
            ("good", now, 1.0),
        ]);
        let counts = listener.wait_until_settled(6);
        let reasons = [("name_invalid", 1), ("skipped", 3), ("too_old", 1)];
        let wanted = reasons.map(|(reason, count)| (reason.to_owned(), count));
        assert_eq!(counts.dropped, wanted.into());
    }
    assert_eq!(redis.keys(), ["good".to_owned()].into());
    skyring.finish();
}
