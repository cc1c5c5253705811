//! Rules and what is known, without Redis; the thread is tested with a server.

use super::*;
use crate::settings::Settings;

const MINUTE: i64 = 1_700_000_040;

fn filler(sets: &[&str]) -> Arc<Filler> {
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    Filler::new(&Settings::load(None, &sets).unwrap().flux)
}

fn point(metric: &str, timestamp: i64, value: f64, fill: bool) -> FluxPoint {
    FluxPoint {
        metric: metric.to_owned(),
        timestamp,
        value,
        fill,
    }
}

fn without(filler: &Filler, rule: usize, start: i64) -> Vec<String> {
    let metrics = filler.lock().without(rule, start);
    let mut names: Vec<String> = metrics.into_iter().map(|(name, _)| name.into()).collect();
    names.sort();
    names
}

/// A point in the period, or after it, is one that need not be filled; one that fills
/// is none.
#[test]
fn metrics_without_a_point_from_the_period_on_are_filled() {
    let filler = filler(&["flux.zero_fill=['z']", "flux.last_known_value=['l']"]);
    filler.saw(&[
        point("z.before", MINUTE - 1, 1.0, false),
        point("z.in", MINUTE, 1.0, false),
        point("z.after", MINUTE + 70, 1.0, false),
        point("z.filled", MINUTE - 60, 1.0, false),
        point("z.filled", MINUTE, 0.0, true),
        point("z.late", MINUTE + 1, 1.0, false),
        point("z.late", MINUTE - 60, 1.0, false),
        point("l.before", MINUTE - 1, 1.0, false),
        point("other", MINUTE - 1, 1.0, false),
    ]);
    assert_eq!(without(&filler, 0, MINUTE), ["z.before", "z.filled"]);
    assert_eq!(without(&filler, 1, MINUTE), ["l.before"]);
    assert_eq!(filler.status().metrics, 6);
}

#[test]
fn periods_are_aligned_and_due_after_their_grace() {
    let filler = filler(&[
        "flux.grace_s=10",
        "flux.zero_fill=['a']",
        "flux.aggregate=[{ namespace = 'b', interval = 300, zero_fill = true }]",
    ]);
    let state = filler.lock();
    let [minute, aggregate] = &state.rules.rules[..] else {
        panic!("two rules");
    };
    assert_eq!(minute.last_end(MINUTE + 9), MINUTE - 60);
    assert_eq!(minute.last_end(MINUTE + 10), MINUTE);
    let end = MINUTE.div_euclid(300) * 300;
    assert_eq!(aggregate.last_end(end + 20), end - 300);
    assert_eq!(aggregate.last_end(end + 21), end);
}

/// They are known by the names that aggregation gives them.
#[test]
fn aggregated_metrics_are_filled_by_the_names_that_they_get() {
    let filler = filler(&[
        "flux.aggregate=[{ namespace = 'a', method = ['avg', 'max'], zero_fill = true }, \
         { namespace = 'b', last_known_value = true }, { namespace = 'c' }]",
    ]);
    let rules = filler.lock().rules.clone();
    assert_eq!(rules.rule("x.a.avg"), Some(0));
    assert_eq!(rules.rule("x.a.max"), Some(0));
    assert_eq!(rules.rule("x.a.min"), None);
    assert_eq!(rules.rule("x.a"), None);
    assert_eq!(rules.rule("b"), Some(1));
    assert_eq!(rules.rule("c"), None);
}

#[test]
fn metrics_are_bounded_and_a_reload_forgets_those_without_a_rule() {
    let filler = filler(&["flux.zero_fill=['a', 'b']", "flux.fill_metrics_max=2"]);
    let points: Vec<FluxPoint> = ["a", "b", "a.b", "a"]
        .iter()
        .map(|name| point(name, MINUTE, 1.0, false))
        .collect();
    filler.saw(&points);
    let status = filler.status();
    assert_eq!((status.metrics, status.not_kept), (2, 1));
    let sets = ["flux.zero_fill=['b']".to_owned()];
    filler.reload(&Settings::load(None, &sets).unwrap().flux);
    assert_eq!(without(&filler, 0, MINUTE + 60), ["b"]);
}

// Values that Skyline's Flux has written; `None` is what it writes of sparse metrics.
#[test]
fn what_other_programs_write_of_the_last_point_is_read() {
    let last = |timestamp, value| Some(Last { timestamp, value });
    assert_eq!(
        read(b"{'timestamp': 1478021700, 'value': 1.2}"),
        last(1_478_021_700, Some(1.2))
    );
    assert_eq!(read(b"{'timestamp': 1, 'value': None}"), last(1, None));
    assert_eq!(read(b"{'timestamp': 1, 'value': nan}"), last(1, None));
    assert_eq!(
        read(b"{'timestamp': 1, 'value': 1e+16}"),
        last(1, Some(1e16))
    );
    for bad in [
        &b"{'value': 1}"[..],
        b"1",
        b"",
        b"{'timestamp': None, 'value': 1}",
        b"\xff",
    ] {
        assert_eq!(read(bad), None, "{bad:?}");
    }
}
