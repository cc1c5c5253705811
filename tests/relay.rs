//! What real senders send: Debian's carbon-relay, and Python's picklers.

use std::collections::BTreeMap;

use crate::fixture::carbon::CarbonRelay;
use crate::fixture::now_s;
use crate::fixture::python;
use crate::fixture::redis::Redis;
use crate::fixture::sender::{Sender, framed, pickle, record};
use crate::fixture::skyring::Plan;

/// Plain lines of 150 metrics, twenty points of each, with values of many forms.
fn lines() -> String {
    let now = now_s();
    let mut lines = String::new();
    for at in 0..20 {
        for metric in 0..150 {
            let value = match metric % 6 {
                0 => format!("{at}"),
                1 => format!("-{at}.{metric}"),
                2 => format!("{metric}e-{at}"),
                3 => format!("{}", u64::MAX / (at + 1)),
                4 => format!("0.{at}{metric}"),
                _ => format!("{}", f64::from(metric) / 7.0),
            };
            let timestamp = now - 60 + at;
            lines += &format!(
                "stats.web{metric:03}.cpu-{at_core}.user {value} {timestamp}\n",
                at_core = metric % 4
            );
        }
    }
    lines
}

/// Sends plain lines through a carbon-relay with these destinations and holds
/// what Redis has against what Python's msgpack makes of them.
fn assert_relayed(listen: &str, destinations: impl Fn(&[String]) -> Vec<String>) {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).set("horizon.pickle", listen).start();
    let destinations = destinations(&skyring.pickle_addresses());
    let relay = CarbonRelay::start(&destinations);
    let lines = lines();
    relay.send(&lines);

    let counts = skyring.wait_until_settled(lines.lines().count() as u64);
    assert_eq!(counts.stored, counts.received);
    assert_eq!(counts.number("connections"), destinations.len() as u64);
    let expected = python::records_of_lines(&lines);
    for (metric, records) in &expected {
        assert_eq!(&redis.series(metric), records, "{metric}");
    }
    assert_eq!(redis.members(), expected.keys().cloned().collect());
    assert_eq!(redis.keys(), expected.keys().cloned().collect());
    skyring.finish();
}

#[test]
fn carbon_relay_with_one_destination() {
    assert_relayed("[\"127.0.0.1:0\"]", |addresses| addresses.to_vec());
}

#[test]
fn carbon_relay_with_four_connections_to_one_address() {
    assert_relayed("[\"127.0.0.1:0\"]", |addresses| {
        vec![addresses[0].clone(); 4]
    });
}

#[test]
fn carbon_relay_with_four_listen_addresses() {
    let listen = "[\"127.0.0.1:0\", \"127.0.0.1:0\", \"127.0.0.1:0\", \"127.0.0.1:0\"]";
    assert_relayed(listen, |addresses| {
        assert_eq!(addresses.len(), 4);
        addresses.to_vec()
    });
}

/// Carbon's relay starts before Skyring and keeps its points until it is there,
/// and goes on after Skyring was away.
#[test]
fn carbon_relay_reconnects_after_a_restart() {
    let redis = Redis::start();
    let plan = Plan::with(&redis);
    let first = plan.start();
    let plan = plan.set("horizon.pickle", format!("[\"{}\"]", first.pickle()));
    let relay = CarbonRelay::start(&first.pickle_addresses());
    let lines = lines();
    let half = lines.len() / 2 + lines[lines.len() / 2..].find('\n').unwrap() + 1;
    let (before, after) = lines.split_at(half);
    relay.send(before);
    first.wait_until_settled(before.lines().count() as u64);
    first.finish();
    relay.send(after);
    let second = plan.start();
    second.wait_until_settled(after.lines().count() as u64);
    for (metric, records) in &python::records_of_lines(&lines) {
        assert_eq!(&redis.series(metric), records, "{metric}");
    }
    second.finish();
}

/// Protocols 0 to 5 of both picklers, all shapes and kinds of number, senders
/// that make pickles by hand, and items that must be refused one by one: each
/// series is byte for byte what Python's msgpack packs, each refusal is in the
/// counter of its reason.
#[test]
fn pickles_of_every_protocol_and_sender() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).start();
    let mut sender = Sender::connect(&skyring.pickle());
    let mut series: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut before = skyring.counts();
    let cases = python::cases("pickles.py");
    assert!(cases.len() > 150, "{} cases", cases.len());
    for case in cases {
        sender.send(&framed(&case.pickle));
        let mut touched = Vec::new();
        for (metric, records) in case.series {
            series.entry(metric.clone()).or_default().extend(records);
            touched.push(metric);
        }
        let frames = before.number("frames") + 1;
        let after = skyring.wait_for(&format!("settled {}", case.name), |counts| {
            counts.number("frames") == frames && counts.in_flight == 0
        });
        assert_eq!(after.frames_bad, BTreeMap::new(), "{}", case.name);
        for metric in &touched {
            assert!(
                redis.series(metric) == series[metric],
                "{}: {metric}: stored {:02x?}, Python makes {:02x?}",
                case.name,
                redis.series(metric),
                series[metric]
            );
        }
        let mut dropped = after.dropped.clone();
        for (reason, count) in &before.dropped {
            *dropped.get_mut(reason).unwrap() -= count;
        }
        dropped.retain(|_, count| *count > 0);
        assert_eq!(dropped, case.dropped, "{}", case.name);
        before = after;
    }
    assert_eq!(redis.members(), series.keys().cloned().collect());
    assert_eq!(redis.keys(), series.keys().cloned().collect());
    sender.assert_open();
    skyring.finish();
}

/// The frames and records that the other tests make themselves are Python's.
#[test]
fn the_fixtures_own_pickles_and_records_are_pythons() {
    let names: Vec<String> = (0..600).map(|at| format!("own.metric{at}")).collect();
    for count in [1, 2, 85, 86, 600] {
        let points: Vec<(&str, f64, f64)> = names[..count]
            .iter()
            .enumerate()
            .map(|(at, name)| (name.as_str(), 1_795_302_404.0, at as f64 / 3.0))
            .collect();
        let lines: Vec<String> = points
            .iter()
            .map(|(name, time, value)| format!("{name} {value} {time}\n"))
            .collect();
        let pickled = &python::script("carbon_pickle.py", &[], &lines.concat())[0];
        assert_eq!(
            pickle(&points),
            crate::fixture::hex(pickled.as_str().unwrap()),
            "{count}"
        );
        let records = python::records_of_lines(&lines.concat());
        for (name, time, value) in points {
            assert_eq!(records[name], record(time, value));
        }
    }
}
