//! A source that is away leaves no gap behind it, and nobody else notices.

use super::gate::Gate;
use super::world::World;
use super::{DAY_S, HOUR_S, assert_series, entry, minute, plan, prometheus, records, write};
use crate::fixture::graphite_web::GraphiteWeb;
use crate::fixture::redis::Redis;
use crate::fixture::{eventually, holds};

/// Both kinds of source away for so long; and one that is not, if that is not too long to
/// see all of its minutes.
fn outage(outage_s: i64) {
    let begin = minute() - outage_s - 2 * HOUR_S;
    let end = minute();
    let web = GraphiteWeb::start();
    for metric in ["a", "steady"] {
        write(&web, metric, 60, begin - HOUR_S..end);
    }
    let server = prometheus(begin - HOUR_S..end);
    let (graphite, back) = (Gate::to(web.address()), Gate::to(server.address()));
    let redis = Redis::start();
    let mut entries = vec![
        entry(&graphite.url(), "graphite", "a", ""),
        entry(&back.url(), "prometheus", "back", ""),
    ];
    let has_steady = outage_s < DAY_S;
    if has_steady {
        entries.push(entry(&web.url(), "graphite", "steady", ""));
    }
    let world = World::start(&plan(&redis, &entries), begin + 20);
    world.run_for(600);
    let before = graphite.tried();
    for gate in [&graphite, &back] {
        gate.close();
    }
    world.run_for(outage_s);
    if has_steady {
        let steady = records((begin - 600..begin + 600 + outage_s).step_by(60));
        assert_series(&redis, "steady", &steady);
    }
    let tried = graphite.tried() - before;
    assert!(tried as i64 <= 12 + outage_s / 30, "{tried} tries");
    world.wait_for(0, "the source was failing", |entry| {
        entry["state"] == "failing"
    });
    for gate in [&graphite, &back] {
        gate.open();
    }
    world.run_for(600);
    let until = begin + 1200 + outage_s;
    assert_series(&redis, "a", &records((begin - 600..until).step_by(60)));
    assert_series(&redis, "back", &records((begin - 300..until).step_by(60)));
    world.wait_for(0, "the source was good again", |entry| {
        entry["state"] == "ok"
    });
    // It is told up to a second later.
    eventually("both gaps were filled as histories", || {
        let populates = &world.status()["populates"];
        holds(*populates == 2, || populates.to_string())
    });
    world.finish();
}

#[test]
fn ten_minutes_away_leave_no_gap() {
    outage(600);
}

#[test]
fn two_hours_away_leave_no_gap() {
    outage(2 * HOUR_S);
}

#[test]
fn two_days_away_leave_no_gap() {
    outage(2 * DAY_S);
}
