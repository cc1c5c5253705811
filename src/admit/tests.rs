use std::collections::HashMap;

use super::*;
use crate::settings::Settings;

fn rules(sets: &[&str]) -> Rules {
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    Rules::new(&Settings::load(None, &sets).unwrap())
}

/// The edge is that of `int(timestamp) < now - max_resolution`.
#[test]
fn age_is_judged_in_whole_seconds_and_the_future_has_no_end() {
    use Number::{Bool, Float, Int, Uint};
    let verdict = |timestamp| admit(timestamp, Int(1), 1000).map(|_| ());
    for young in [
        Int(1000),
        Float(1000.0),
        Float(1000.9),
        Int(i64::MAX),
        Uint(u64::MAX),
        Float(1e300),
    ] {
        assert_eq!(verdict(young), Ok(()), "{young:?}");
    }
    for old in [
        Int(999),
        Float(999.99),
        Int(-1),
        Int(i64::MIN),
        Float(-1e300),
        Bool(true),
    ] {
        assert_eq!(verdict(old), Err(DropReason::TooOld), "{old:?}");
    }
    assert_eq!(
        admit(Float(-0.5), Int(1), 0).map(|_| ()),
        Ok(()),
        "int(-0.5) is 0"
    );
}

#[test]
fn what_is_not_finite_is_refused() {
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let number = Number::Float(number);
        let refused = DropReason::NotFinite;
        assert_eq!(admit(number, Number::Int(1), 0).unwrap_err(), refused);
        assert_eq!(admit(Number::Int(1), number, 0).unwrap_err(), refused);
    }
}

fn look_up(metrics: &Metrics, name: &[u8]) -> (Option<MetricId>, Probe) {
    let mut probes = [Probe::default(); GROUP];
    metrics.probe([name].into_iter(), &mut probes);
    (metrics.find(name, &probes[0]), probes[0])
}

/// The table against a map of the standard library, through all its growth.
#[test]
fn every_name_is_found_and_no_other() {
    let rules = rules(&[]);
    let mut metrics = Metrics::new(1 << 20);
    let mut known: HashMap<String, MetricId> = HashMap::new();
    for number in 0..50_000u32 {
        let name = format!("{}.{}", "n".repeat(number as usize % 90), number % 40_000);
        let (found, probe) = look_up(&metrics, name.as_bytes());
        assert_eq!(found, known.get(&name).copied(), "{name}");
        if found.is_none() {
            let metric = metrics
                .insert(name.as_bytes(), &probe, &rules, None)
                .unwrap();
            known.insert(name, metric);
        }
    }
    assert_eq!(metrics.len(), known.len());
    for (name, metric) in &known {
        assert_eq!(look_up(&metrics, name.as_bytes()).0, Some(*metric));
        assert_eq!(metrics.name(*metric), name.as_bytes());
    }
    let bound = table_bytes_max(metrics.len()) + metrics.chunks.len() as u64 * CHUNK_BYTES as u64;
    assert!((metrics.bytes() as u64) < bound);
}

/// Names of one group are looked up before any of them has an entry.
#[test]
fn a_name_that_comes_twice_in_a_group_gets_one_entry() {
    let rules = rules(&[]);
    let mut metrics = Metrics::new(100);
    let names: [&[u8]; 3] = [b"a", b"b", b"a"];
    let mut probes = [Probe::default(); GROUP];
    metrics.probe(names.into_iter(), &mut probes);
    let mut found = Vec::new();
    for (name, probe) in names.iter().zip(&probes) {
        let metric = metrics.find(name, probe);
        found.push(metric.or_else(|| metrics.insert(name, probe, &rules, None)));
    }
    assert_eq!(found, [Some(0), Some(1), Some(0)]);
}

#[test]
fn a_full_table_takes_no_more() {
    let rules = rules(&[]);
    let mut metrics = Metrics::new(2);
    for (name, expected) in [(b"a", Some(0)), (b"b", Some(1)), (b"c", None)] {
        let (_, probe) = look_up(&metrics, name);
        assert_eq!(metrics.insert(name, &probe, &rules, None), expected);
    }
    assert!(metrics.is_full());
}

/// A verdict holds for the rules it was made under, and for no others.
#[test]
fn new_rules_judge_known_metrics_again() {
    let mut metrics = Metrics::new(100);
    let (_, probe) = look_up(&metrics, b"stats.web01.cpu.user");
    let first = rules(&[]);
    let metric = metrics
        .insert(b"stats.web01.cpu.user", &probe, &first, None)
        .unwrap();
    assert_eq!(metrics.verdict(metric, &first), None);
    let settings = |set: &str| Settings::load(None, &[set.to_owned()]).unwrap();
    let skips = first.with_settings(&settings("horizon.skip=['cpu']"));
    assert_eq!(metrics.verdict(metric, &skips), Some(DropReason::Skipped));
    let shorter = skips.with_settings(&settings("horizon.name_bytes_max=16"));
    assert_eq!(
        metrics.verdict(metric, &shorter),
        Some(DropReason::NameTooLong)
    );
    let last = shorter.with_settings(&settings("horizon.name_bytes_max=64"));
    assert_eq!(metrics.verdict(metric, &last), None);
}

/// What a shard tells of other writers: it knows them by the lengths that Redis
/// answers, and only of series that it has appended to itself.
#[test]
fn other_writers_are_told_of_once_and_only_by_who_would_hear_of_them() {
    let mut metrics = Metrics::new(100);
    let (_, probe) = look_up(&metrics, b"a");
    let id = metrics.insert(b"a", &probe, &rules(&[]), None).unwrap();
    let append = |metrics: &mut Metrics, timestamp: i64, length: i64| {
        let entry = metrics.entry(id);
        entry.note_time(Number::Int(timestamp));
        entry.note_length(10, length, 0);
        let told = metrics.inquire(b"a");
        assert_eq!(metrics.inquire(b"a"), Tidings::default(), "told once");
        assert!(told.is_fed);
        told.is_doubtful
    };
    assert_eq!(metrics.inquire(b"a"), Tidings::default());
    assert!(!append(&mut metrics, 100, 10), "the key is new");
    assert!(!append(&mut metrics, 160, 20));
    assert!(append(&mut metrics, 220, 45), "somebody has appended");
    assert!(append(&mut metrics, 280, 40), "or cut, or both");
    assert!(append(&mut metrics, 340, 10), "or removed it");
    assert!(append(&mut metrics, 340, 20), "a time comes twice");
    assert!(append(&mut metrics, 220, 30), "or late");
    assert!(!append(&mut metrics, 400, 40));
}

/// What this process itself cuts is no other writer's work, unless an answer has come
/// before that; and of a series that it removes nothing is known any more.
#[test]
fn who_is_told_of_a_cut_expects_the_shorter_series() {
    let mut metrics = Metrics::new(100);
    let (_, probe) = look_up(&metrics, b"a");
    let id = metrics.insert(b"a", &probe, &rules(&[]), None).unwrap();
    metrics.entry(id).confirmed_s = 1;
    let append = |metrics: &mut Metrics, length: i64| {
        metrics.entry(id).note_length(10, length, 0);
        metrics.inquire(b"a").is_doubtful
    };
    let cut = |metrics: &mut Metrics, bytes: Option<u32>| {
        let name = Box::from(&b"a"[..]);
        metrics.note_cut(&Cut { name, bytes });
    };
    assert!(!append(&mut metrics, 10));
    assert!(!append(&mut metrics, 20));
    cut(&mut metrics, Some(15));
    assert!(!append(&mut metrics, 15));
    cut(&mut metrics, Some(10));
    assert!(append(&mut metrics, 34), "somebody has appended as much");
    assert!(append(&mut metrics, 40), "cut, and not told");
    metrics.entry(id).note_length(10, 20, 0);
    cut(&mut metrics, Some(30));
    assert!(append(&mut metrics, 30), "the answer came before the word");
    assert!(!append(&mut metrics, 40), "which was not counted twice");
    assert_eq!(metrics.members(0, 10).names, [Box::from(&b"a"[..])]);
    cut(&mut metrics, None);
    assert!(metrics.members(0, 10).names.is_empty());
    assert!(
        metrics.entry(id).is_unconfirmed(2, 300),
        "it is made known again"
    );
    assert!(!append(&mut metrics, 10), "the key is new");
}

/// Only what was made known is a member, each once, page by page.
#[test]
fn members_are_told_by_pages() {
    let mut metrics = Metrics::new(100);
    for number in 0..10 {
        let name = format!("name{number}");
        let (_, probe) = look_up(&metrics, name.as_bytes());
        let id = metrics.insert(name.as_bytes(), &probe, &rules(&[]), None);
        metrics.entry(id.unwrap()).confirmed_s = number % 3;
    }
    let (mut names, mut from) = (Vec::new(), Some(0));
    while let Some(at) = from {
        let page = metrics.members(at, 3);
        assert!(page.names.len() <= 3);
        names.extend(page.names);
        from = page.next;
    }
    let names: Vec<&str> = names.iter().map(|it| str::from_utf8(it).unwrap()).collect();
    assert_eq!(
        names,
        ["name1", "name2", "name4", "name5", "name7", "name8"]
    );
    assert_eq!(metrics.members(1_000, 3).next, None);
}

/// What the keys beside the data are made of: every metric once, and whether it
/// was seen since the last time.
#[test]
fn a_census_has_every_metric_and_forgets_that_it_was_seen() {
    let rules = rules(&["horizon.skip=['skip']"]);
    let mut metrics = Metrics::new(100);
    for number in 0..10 {
        let name = format!("name{number}");
        let (_, probe) = look_up(&metrics, name.as_bytes());
        let verdict = (number == 7).then_some(DropReason::Skipped);
        metrics.insert(name.as_bytes(), &probe, &rules, verdict);
    }
    let census = |metrics: &mut Metrics| {
        let (mut rows, mut from) = (Vec::new(), Some(0));
        while let Some(at) = from {
            let page = metrics.census(at, 3);
            let mut names = &page.names[..];
            for row in page.rows {
                let (name, rest) = names.split_at(row.name_bytes.into());
                names = rest;
                rows.push((String::from_utf8(name.to_vec()).unwrap(), row));
            }
            from = page.next;
        }
        rows
    };
    let first = census(&mut metrics);
    assert_eq!(first.len(), 10);
    assert!(first.iter().all(|(_, row)| row.is_seen));
    assert_eq!(first[7].0, "name7");
    assert_eq!(first[7].1.verdict, Some(DropReason::Skipped));
    let (found, _) = look_up(&metrics, b"name4");
    metrics.verdict(found.unwrap(), &rules);
    let seen: Vec<String> = census(&mut metrics)
        .into_iter()
        .filter_map(|(name, row)| row.is_seen.then_some(name))
        .collect();
    assert_eq!(seen, ["name4"]);
}
