//! Points in, points out, without a clock of their own: what is due is asked for.

use super::*;
use crate::settings::Settings;

/// Every period is over.
const END: i64 = i64::MAX;
/// A minute, years ago.
const MINUTE: i64 = 1_700_000_040;

fn settings(rules: &str, more: &[&str]) -> FluxSettings {
    let mut sets = vec![format!("flux.aggregate=[{rules}]")];
    sets.extend(more.iter().map(|set| (*set).to_owned()));
    Settings::load(None, &sets).unwrap().flux
}

fn aggregator(rules: &str, more: &[&str]) -> Arc<Aggregator> {
    Aggregator::new(&settings(rules, more))
}

fn point(metric: &str, timestamp: i64, value: f64) -> FluxPoint {
    FluxPoint {
        metric: metric.to_owned(),
        timestamp,
        value,
        fill: false,
    }
}

/// Aggregates what is to be, and returns the others.
fn offer(aggregator: &Arc<Aggregator>, points: &[FluxPoint]) -> Vec<FluxPoint> {
    let (claim, others) = aggregator.claim(points.to_vec()).unwrap();
    assert_eq!(claim.keep() as usize + others.len(), points.len());
    others
}

/// What is due by then: name, timestamp and value.
fn due(aggregator: &Aggregator, now_s: i64) -> Vec<(String, i64, f64)> {
    let mut state = aggregator.lock();
    state.close_due(now_s);
    let made = state.made.drain(..);
    made.map(|point| (point.metric, point.timestamp, point.value))
        .collect()
}

fn made(name: &str, timestamp: i64, value: f64) -> (String, i64, f64) {
    (name.to_owned(), timestamp, value)
}

#[test]
fn the_first_rule_that_fits_takes_a_point_and_others_go_on() {
    let aggregator = aggregator(
        "{ namespace = 'a.b', method = ['sum'] }, { namespace = 'a', method = ['max'] }",
        &[],
    );
    let points = [
        point("x.a.b", MINUTE, 1.0),
        point("c", MINUTE, 2.0),
        point("x.a", MINUTE, 5.0),
        point("x.a.b", MINUTE + 59, 1.0),
        point("x.a", MINUTE, 4.0),
    ];
    assert_eq!(offer(&aggregator, &points), [point("c", MINUTE, 2.0)]);
    let mut found = due(&aggregator, END);
    found.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(
        found,
        [made("x.a", MINUTE, 5.0), made("x.a.b", MINUTE, 2.0)]
    );
}

#[test]
fn names_end_with_the_method_where_that_is_asked_or_there_are_several() {
    for (rule, suffixes) in [
        ("method = ['avg']", &[""][..]),
        ("method = ['avg'], method_suffix = true", &[".avg"]),
        ("method = ['min', 'sum']", &[".min", ".sum"]),
    ] {
        let aggregator = aggregator(&format!("{{ namespace = 'a', {rule} }}"), &[]);
        offer(&aggregator, &[point("a", MINUTE, 3.0)]);
        let expected: Vec<_> = suffixes
            .iter()
            .map(|suffix| made(&format!("a{suffix}"), MINUTE, 3.0))
            .collect();
        assert_eq!(due(&aggregator, END), expected);
    }
}

/// The timestamps are the periods' beginnings, and points that come as they are made
/// are due a grace after their period's end, older ones a grace after they came.
#[test]
fn periods_are_aligned_and_due_after_their_end_and_a_grace() {
    let aggregator = aggregator("{ namespace = 'a', interval = 300 }", &["flux.grace_s=7"]);
    let rule = aggregator.lock().rules.rules[0].clone();
    let add = |timestamp, now_s| {
        aggregator
            .lock()
            .add(&point("a", timestamp, 1.0), rule.clone(), now_s);
    };
    let start = MINUTE.div_euclid(300) * 300;
    add(start + 299, start + 299);
    add(start + 300, start + 300);
    add(start - 600, start + 300);
    assert_eq!(due(&aggregator, start + 306), []);
    let found = due(&aggregator, start + 307);
    assert_eq!(found, [made("a", start - 600, 1.0), made("a", start, 1.0)]);
    assert_eq!(due(&aggregator, start + 606), []);
    assert_eq!(due(&aggregator, start + 607), [made("a", start + 300, 1.0)]);
}

/// A second point for a period would take the place of the whole in Graphite.
#[test]
fn what_comes_after_its_period_was_sent_is_late() {
    let aggregator = aggregator("{ namespace = 'a' }", &[]);
    offer(
        &aggregator,
        &[point("a", MINUTE, 1.0), point("a", MINUTE + 60, 1.0)],
    );
    assert_eq!(due(&aggregator, END).len(), 2);
    let late = [point("a", MINUTE + 119, 9.0), point("a", MINUTE, 9.0)];
    offer(&aggregator, &late);
    assert_eq!(due(&aggregator, END), []);
    offer(&aggregator, &[point("a", MINUTE + 120, 2.0)]);
    assert_eq!(due(&aggregator, END), [made("a", MINUTE + 120, 2.0)]);
    let status = aggregator.status();
    assert_eq!((status.points, status.late, status.made), (3, 2, 3));
}

/// They fill gaps before what was sent.
#[test]
fn points_that_fill_gaps_are_never_late_and_stay_apart() {
    let aggregator = aggregator("{ namespace = 'a', method = ['sum'] }", &[]);
    offer(&aggregator, &[point("a", MINUTE, 1.0)]);
    assert_eq!(due(&aggregator, END).len(), 1);
    let fill = |timestamp| FluxPoint {
        fill: true,
        ..point("a", timestamp, 2.0)
    };
    offer(
        &aggregator,
        &[
            fill(MINUTE - 60),
            fill(MINUTE - 30),
            point("a", MINUTE + 60, 5.0),
        ],
    );
    let mut state = aggregator.lock();
    state.close_due(END);
    let fills: Vec<(i64, f64, bool)> = state
        .made
        .drain(..)
        .map(|point| (point.timestamp, point.value, point.fill))
        .collect();
    assert_eq!(fills, [(MINUTE - 60, 4.0, true), (MINUTE + 60, 5.0, false)]);
}

/// A claim that is dropped has aggregated nothing and holds no room.
#[test]
fn a_request_that_is_refused_after_its_claim_leaves_nothing() {
    let aggregator = aggregator("{ namespace = 'a' }", &["flux.aggregate_periods_max=2"]);
    let points = vec![point("a", MINUTE, 1.0), point("a", MINUTE + 60, 1.0)];
    for _ in 0..5 {
        let (claim, _) = aggregator.claim(points.clone()).unwrap();
        drop(claim);
    }
    assert_eq!(due(&aggregator, END), []);
}

#[test]
fn periods_are_bounded_and_a_refused_request_changes_nothing() {
    let aggregator = aggregator("{ namespace = 'a' }", &["flux.aggregate_periods_max=3"]);
    offer(
        &aggregator,
        &[point("a", MINUTE, 1.0), point("a", MINUTE + 60, 1.0)],
    );
    let two = [point("a.b", MINUTE, 1.0), point("a.c", MINUTE, 1.0)];
    let full = aggregator.claim(two.to_vec());
    assert!(matches!(full, Err(Unavailable::Full { .. })));
    offer(&aggregator, &two[..1]);
    assert!(aggregator.claim(two.to_vec()).is_err());
    assert_eq!(due(&aggregator, END).len(), 3);
    offer(&aggregator, &two);
    assert_eq!(aggregator.status().refused, 4);
}

/// Metrics come and go; what is known of them must not stay for good.
#[test]
fn metrics_without_points_are_forgotten() {
    let aggregator = aggregator("{ namespace = 'a' }", &[]);
    let rule = aggregator.lock().rules.rules[0].clone();
    aggregator
        .lock()
        .add(&point("a", MINUTE, 1.0), rule, MINUTE);
    assert_eq!(due(&aggregator, MINUTE + 3600).len(), 1);
    assert_eq!(aggregator.status().metrics, 1);
    due(&aggregator, MINUTE + 3600 + MEMORY_S);
    assert_eq!(aggregator.status().metrics, 0);
}

#[test]
fn a_changed_rule_sends_what_the_one_before_has() {
    let aggregator = aggregator("{ namespace = 'a', method = ['sum'] }", &[]);
    offer(
        &aggregator,
        &[point("a", MINUTE, 1.0), point("a.gone", MINUTE, 1.0)],
    );
    aggregator.reload(&settings(
        "{ namespace = 'a', method = ['min'], method_suffix = true }",
        &[],
    ));
    offer(&aggregator, &[point("a", MINUTE + 1, 7.0)]);
    let found = due(&aggregator, END);
    for expected in [
        made("a", MINUTE, 1.0),
        made("a.min", MINUTE, 7.0),
        made("a.gone", MINUTE, 1.0),
    ] {
        assert!(found.contains(&expected), "{found:?}");
    }
    assert_eq!(found.len(), 3);
}

/// No line of JSON, and no reader of Skyline's, bears an infinity.
#[test]
fn a_sum_that_is_no_number_is_not_made() {
    let aggregator = aggregator("{ namespace = 'a', method = ['sum', 'max'] }", &[]);
    offer(
        &aggregator,
        &[point("a", MINUTE, 1e308), point("a", MINUTE, 1e308)],
    );
    assert_eq!(due(&aggregator, END), [made("a.max", MINUTE, 1e308)]);
    assert_eq!(aggregator.status().overflowed, 1);
}
