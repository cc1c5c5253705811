//! Flux's way to Graphite: Debian's carbon-cache, and receivers that break.

use std::sync::mpsc;

use skyring::flux::Carbon;
use skyring::point::Number;
use skyring::settings::GraphiteSettings;
use skyring::shard::OwnedPoint;

use crate::fixture::carbon_cache::CarbonCache;
use crate::fixture::{eventually, holds, now_s};

/// What carbon-cache is sent is in its files, also after it was killed.
#[test]
fn carbon_cache_writes_what_was_delivered() {
    let mut cache = CarbonCache::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let settings = GraphiteSettings {
        confirm_ms: 50,
        ..GraphiteSettings::default()
    };
    let carbon = Carbon::start(runtime.handle(), cache.pickle().parse().unwrap(), &settings);
    let minute = now_s() as i64 / 60 * 60;
    let points = |first: i64| -> Vec<OwnedPoint> {
        let point = |at: i64| OwnedPoint {
            name: format!("flux.metric{}", at % 3),
            timestamp: Number::Int(minute - 60 * (at / 3)),
            value: Number::Float(at as f64 / 4.0),
        };
        (first..first + 300).map(point).collect()
    };
    let (done, told) = mpsc::channel();
    let say = done.clone();
    carbon
        .queue(points(0), move |good| say.send(good).unwrap())
        .unwrap();
    assert!(told.recv().unwrap());
    let has = |cache: &CarbonCache, count: usize| {
        eventually("everything was in the files", || {
            let points = cache.points("flux.metric1");
            holds(points.len() == count, || format!("{points:?}"))
        });
    };
    has(&cache, 100);
    cache.crash();
    carbon
        .queue(points(300), move |good| done.send(good).unwrap())
        .unwrap();
    cache.restart();
    assert!(told.recv().unwrap());
    has(&cache, 200);
    assert_eq!(cache.points("flux.metric1")[&(minute - 60)], 1.0);
}
