//! The pipeline against a model of Redis that fails in every way that an error
//! reply or a lost connection can, at every place: the real one cannot be made
//! to fail between two given commands.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use proptest::prelude::*;

use super::*;
use crate::batch::Completion;
use crate::point::{Number, Point};

/// What a model of Redis has received and answered on one connection, and what
/// it holds across connections.
#[derive(Default)]
struct Model {
    series: BTreeMap<String, Vec<u8>>,
    members: BTreeSet<String>,
    input: Vec<u8>,
    appends: usize,
    sadds: usize,
}

/// How the model answers the commands of one exchange.
#[derive(Clone, Copy, Debug)]
enum Mood {
    Well,
    /// This one of the commands, and each as many further, gets this error.
    Failing(usize, &'static str),
}

impl Model {
    /// Runs at most `commands_max` of the commands received; returns the answers.
    fn run(&mut self, commands_max: usize, mood: Mood) -> Vec<u8> {
        let mut out = Vec::new();
        for number in 1..=commands_max {
            let Some((command, taken)) = parse_command(&self.input) else {
                break;
            };
            self.input.drain(..taken);
            match mood {
                Mood::Failing(each, error) if number % each == 0 => {
                    out.extend_from_slice(format!("-{error} no\r\n").as_bytes());
                }
                _ => out.extend_from_slice(&self.execute(&command)),
            }
        }
        out
    }

    fn execute(&mut self, command: &[Vec<u8>]) -> Vec<u8> {
        let key = String::from_utf8(command[1].clone()).unwrap();
        match command[0].as_slice() {
            b"APPEND" if key.ends_with("hash") => b"-WRONGTYPE it is a hash\r\n".to_vec(),
            b"APPEND" => {
                self.appends += 1;
                let series = self.series.entry(key).or_default();
                series.extend_from_slice(&command[2]);
                format!(":{}\r\n", series.len()).into_bytes()
            }
            b"SADD" => {
                assert_eq!(key, "metrics.unique_metrics");
                self.sadds += 1;
                let members = command[2..]
                    .iter()
                    .map(|name| String::from_utf8(name.clone()).unwrap());
                self.members.extend(members);
                format!(":{}\r\n", command.len() - 2).into_bytes()
            }
            other => panic!("{other:?}"),
        }
    }

    /// The timestamps of a metric in the order of their first occurrence.
    fn timestamps(&self, name: &str) -> Vec<i64> {
        let mut seen = Vec::new();
        let series = self
            .series
            .get(&format!("metrics.{name}"))
            .map_or(&[][..], Vec::as_slice);
        // An integer of nine digits or more and a value below 128.
        for record in series.chunks(7) {
            assert_eq!(record[..2], [0x92, 0xce]);
            let timestamp = i64::from(u32::from_be_bytes(record[2..6].try_into().unwrap()));
            if !seen.contains(&timestamp) {
                seen.push(timestamp);
            }
        }
        seen
    }
}

fn parse_command(input: &[u8]) -> Option<(Vec<Vec<u8>>, usize)> {
    let line = |at: usize| {
        let end = at + input[at..].windows(2).position(|pair| pair == b"\r\n")?;
        let count: usize = std::str::from_utf8(&input[at + 1..end])
            .unwrap()
            .parse()
            .unwrap();
        Some((count, end + 2))
    };
    if input.is_empty() {
        return None;
    }
    let (arguments, mut at) = line(0)?;
    let mut command = Vec::new();
    for _ in 0..arguments {
        if at >= input.len() {
            return None;
        }
        let (bytes, start) = line(at)?;
        command.push(input.get(start..start + bytes)?.to_vec());
        at = start + bytes + 2;
    }
    Some((command, at))
}

fn pipeline(batch_points_max: u32, metrics_max: usize) -> Pipeline {
    pipeline_with(batch_points_max, metrics_max, "[]")
}

/// With rules of the operator, as TOML writes their list.
fn pipeline_with(batch_points_max: u32, metrics_max: usize, rules: &str) -> Pipeline {
    let mut settings = Settings::load(None, &[format!("rule={rules}")]).unwrap();
    settings.redis.batch_points_max = batch_points_max;
    settings.redis.in_flight_max = 3;
    settings.horizon.metrics_max = metrics_max;
    let mut pipeline = Pipeline::new(&settings, Arc::new(Budget::new(1 << 30, 1 << 20)));
    pipeline.connect();
    pipeline
}

fn arrival() -> Arrival {
    Arrival {
        at: Instant::now(),
        unix_s: 1_700_000_000,
    }
}

fn append(pipeline: &mut Pipeline, points: &[(String, i64)]) {
    let points = points.iter().map(|(name, timestamp)| Point {
        name: name.as_bytes(),
        timestamp: Number::Int(*timestamp),
        value: Number::Int(1),
    });
    pipeline.append(points, Source::Pickle, arrival(), None);
}

fn assert_balanced(pipeline: &Pipeline) {
    for source in &pipeline.counts.sources {
        let ends = source.stored + source.dropped_sum() + source.in_flight;
        assert_eq!(source.received, ends, "{source:?}");
    }
}

/// Flushes and settles, all going well, until nothing is left.
fn finish(pipeline: &mut Pipeline, model: &mut Model) {
    for _ in 0..1000 {
        while pipeline.flush(&mut model.input, true) {}
        let answers = model.run(usize::MAX, Mood::Well);
        let taken = pipeline.settle(&answers).unwrap();
        assert_eq!(taken, answers.len());
        if pipeline.is_settled() {
            return;
        }
    }
    panic!("the pipeline does not come to rest");
}

#[derive(Clone, Debug)]
enum Step {
    /// Points of these metrics.
    Append(Vec<u8>),
    Flush,
    /// Redis runs so many commands, in this mood, and answers.
    Answer(usize, Mood),
    /// Redis runs so many commands, so many bytes of its answers arrive, and the
    /// connection is lost and made again.
    Lose(usize, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let errors = prop::sample::select(vec!["LOADING", "OOM", "BUSY", "READONLY", "MISCONF"]);
    let mood = prop_oneof![
        3 => Just(Mood::Well),
        1 => (1..4usize, errors).prop_map(|(each, error)| Mood::Failing(each, error)),
    ];
    let step = prop_oneof![
        4 => prop::collection::vec(0..12u8, 1..40).prop_map(Step::Append),
        4 => Just(Step::Flush),
        4 => (0..60usize, mood).prop_map(|(commands, mood)| Step::Answer(commands, mood)),
        1 => (0..60usize, 0..200usize).prop_map(|(commands, bytes)| Step::Lose(commands, bytes)),
    ];
    prop::collection::vec(step, 1..120)
}

/// Runs the steps, then lets everything go well; checks that nothing is missing,
/// nothing is out of order, and everything is counted.
fn survive(steps: &[Step], metrics_max: usize, rules: &str, stored_as: fn(&str) -> Option<String>) {
    let mut pipeline = pipeline_with(16, metrics_max, rules);
    let mut model = Model::default();
    let mut sent: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    let mut answers: Vec<u8> = Vec::new();
    let mut next = 1_700_000_000;
    let mut refused = 0;
    for step in steps {
        match step {
            Step::Append(metrics) => {
                let mut points = Vec::new();
                for metric in metrics {
                    let name = if *metric == 0 {
                        "a.hash".to_owned()
                    } else {
                        format!("m{metric}")
                    };
                    next += 1;
                    if let Some(stored_as) = stored_as(&name) {
                        sent.entry(stored_as).or_default().push(next);
                    } else {
                        refused += 1;
                    }
                    points.push((name, next));
                }
                append(&mut pipeline, &points);
            }
            Step::Flush => while pipeline.flush(&mut model.input, true) {},
            Step::Answer(commands, mood) => {
                answers.extend(model.run(*commands, *mood));
                let taken = pipeline.settle(&answers).unwrap();
                answers.drain(..taken);
            }
            Step::Lose(commands, bytes) => {
                answers.extend(model.run(*commands, Mood::Well));
                answers.truncate(*bytes);
                pipeline.settle(&answers).unwrap();
                answers.clear();
                model.input.clear();
                pipeline.lose_connection();
                assert!(
                    !pipeline.flush(&mut model.input, true),
                    "nothing is sent without a connection"
                );
                pipeline.connect();
            }
        }
        assert_balanced(&pipeline);
    }
    answers.extend(model.run(usize::MAX, Mood::Well));
    pipeline.settle(&answers).unwrap();
    finish(&mut pipeline, &mut model);
    assert_balanced(&pipeline);
    let counts = &pipeline.counts.sources[Source::Pickle as usize];
    assert_eq!(counts.in_flight, 0);
    let hashed = sent
        .remove("a.hash")
        .map_or(0, |points| points.len() as u64);
    assert_eq!(counts.dropped[DropReason::WrongType as usize], hashed);
    assert_eq!(counts.dropped[DropReason::Rule as usize], refused);
    assert_eq!(counts.stored, counts.received - hashed - refused);
    for (name, timestamps) in &sent {
        assert_eq!(&model.timestamps(name), timestamps, "{name}");
        assert!(model.members.contains(&format!("metrics.{name}")), "{name}");
    }
    assert_eq!(pipeline.budget.used(), 0, "what was claimed is given back");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever fails and wherever: no point is missing, each metric keeps its
    /// order, every point is counted once.
    #[test]
    fn nothing_is_lost_or_reordered_by_failures(steps in steps()) {
        survive(&steps, 1000, "[]", |name| Some(name.to_owned()));
    }

    /// The same with a metric table that is full: slower, but nothing is dropped.
    #[test]
    fn a_full_table_loses_nothing(steps in steps()) {
        survive(&steps, 4, "[]", |name| Some(name.to_owned()));
    }

    /// The same where names are stored under others: several under one, some under a
    /// name that is itself dropped or renamed where points come under it.
    #[test]
    fn rules_lose_and_reorder_nothing(steps in steps(), metrics_max in 2..20usize) {
        survive(&steps, metrics_max, RULES, ruled);
    }
}

#[test]
fn points_of_one_metric_in_a_batch_are_one_append() {
    let mut pipeline = pipeline(1000, 1000);
    let mut model = Model::default();
    let points: Vec<_> = (0..90)
        .map(|n| (format!("m{}", n % 3), 1_700_000_000 + n))
        .collect();
    append(&mut pipeline, &points);
    finish(&mut pipeline, &mut model);
    assert_eq!((model.appends, model.sadds), (3, 1));
    assert_eq!(
        model.timestamps("m1"),
        (0..30).map(|n| 1_700_000_001 + 3 * n).collect::<Vec<_>>()
    );
}

const RULES: &str = "[{name='gone', match='^m(1|2)$', action='drop'}, \
    {name='kept', match='^m3$', action='keep'}, \
    {name='swap', match='^m4$', action='rename', to='m5'}, \
    {name='back', match='^m(6|7|8)$', action='rename', to='m1'}, \
    {name='on', match='^m5$', action='rename', to='m3'}]";

/// [`RULES`], by hand.
fn ruled(name: &str) -> Option<String> {
    let stored = match name {
        "m1" | "m2" => return None,
        "m4" | "m5" => "m3",
        "m6" | "m7" | "m8" => "m1",
        name => name,
    };
    Some(stored.to_owned())
}

fn rule_counts_of(pipeline: &Pipeline) -> Vec<(String, u64, u64)> {
    let counts = pipeline.counts.rules.iter();
    counts
        .map(|counts| (counts.name.to_string(), counts.judged, counts.points))
        .collect()
}

/// Each metric is judged once, and each of its points counted for one rule.
#[test]
fn rules_are_asked_once_for_each_metric() {
    let mut pipeline = pipeline_with(1000, 1000, RULES);
    let mut model = Model::default();
    for round in 0..5 {
        let points: Vec<_> = (1..10)
            .map(|n| (format!("m{n}"), 1_700_000_000 + round))
            .collect();
        append(&mut pipeline, &points);
        finish(&mut pipeline, &mut model);
    }
    let expected = [
        ("gone", 2, 10),
        ("kept", 1, 5),
        ("swap", 1, 0),
        ("back", 3, 15),
        ("on", 2, 10),
    ];
    let expected = expected.map(|(name, judged, points)| (name.to_owned(), judged, points));
    assert_eq!(rule_counts_of(&pipeline), expected);
    assert_eq!(
        model.members,
        ["m1", "m3", "m9"]
            .map(|name| format!("metrics.{name}"))
            .into()
    );
    let census = pipeline.census(0, 100);
    let seen = census.rows.iter().filter(|row| row.is_seen).count();
    assert_eq!(seen, 3, "only what is stored is a metric to others");
}

/// What a metric was under other rules must not stick to it, nor may counters go back.
#[test]
fn new_rules_take_hold_at_the_next_point() {
    let mut pipeline = pipeline_with(1000, 1000, RULES);
    let mut model = Model::default();
    append(
        &mut pipeline,
        &[
            ("m6".to_owned(), 1_700_000_001),
            ("m2".to_owned(), 1_700_000_001),
        ],
    );
    finish(&mut pipeline, &mut model);
    let list = "rule=[{name='gone', match='^m6$', action='drop'}]";
    let settings = Settings::load(None, &[list.to_owned()]).unwrap();
    let rules = Arc::new(pipeline.rules.with_settings(&settings));
    pipeline.reload(&settings, rules);
    let names = ["m6", "m1", "m2"];
    append(
        &mut pipeline,
        &names.map(|name| (name.to_owned(), 1_700_000_002)),
    );
    finish(&mut pipeline, &mut model);
    assert_eq!(model.timestamps("m1"), [1_700_000_001, 1_700_000_002]);
    assert_eq!(model.timestamps("m2"), [1_700_000_002]);
    assert_eq!(rule_counts_of(&pipeline), [("gone".to_owned(), 2, 2)]);
    assert_balanced(&pipeline);
}

/// A sweep gives entries new numbers: renamed metrics must go on to where they went.
#[test]
fn renamed_metrics_survive_a_sweep() {
    let rules = "[{prefix='a', action='rename', to='b'}, {prefix='gone', action='drop'}]";
    let mut pipeline = pipeline_with(64, 40, rules);
    let mut model = Model::default();
    let at = |second: i64| {
        let names = (0..10).flat_map(|n| [format!("a{n}"), format!("gone{n}"), format!("c{n}")]);
        names
            .map(move |name| (name, 1_700_000_000 + second))
            .collect::<Vec<_>>()
    };
    append(&mut pipeline, &at(0));
    finish(&mut pipeline, &mut model);
    assert_eq!(pipeline.metrics.len(), 40);
    for (metric, confirmed_s) in [("b7", 1), ("c1", 1)] {
        let metric = pipeline.metrics.look_up(metric.as_bytes()).unwrap();
        pipeline.metrics.entry(metric).confirmed_s = confirmed_s;
    }
    pipeline.started -= Duration::from_secs(2 * u64::from(FORGET_S));
    for second in 1..4 {
        append(&mut pipeline, &at(second));
        pipeline.sweep();
        append(&mut pipeline, &at(10 + second));
        finish(&mut pipeline, &mut model);
    }
    let expected: Vec<i64> = [0, 1, 11, 2, 12, 3, 13]
        .map(|second| 1_700_000_000 + second)
        .into();
    for n in 0..10 {
        assert_eq!(model.timestamps(&format!("b{n}")), expected);
        assert_eq!(model.timestamps(&format!("c{n}")), expected);
    }
    assert_eq!(model.members.len(), 20);
    assert_balanced(&pipeline);
}

/// The steady state costs Redis one command for each metric, and no SADD.
#[test]
fn a_confirmed_metric_is_asserted_again_only_when_its_key_is_new() {
    let mut pipeline = pipeline(1000, 1000);
    let mut model = Model::default();
    append(&mut pipeline, &[("a".to_owned(), 1_700_000_001)]);
    finish(&mut pipeline, &mut model);
    append(&mut pipeline, &[("a".to_owned(), 1_700_000_002)]);
    finish(&mut pipeline, &mut model);
    assert_eq!((model.appends, model.sadds), (2, 1));
    model.series.clear();
    model.members.clear();
    append(&mut pipeline, &[("a".to_owned(), 1_700_000_003)]);
    finish(&mut pipeline, &mut model);
    assert_eq!((model.appends, model.sadds), (3, 2));
    assert!(model.members.contains("metrics.a"));
}

#[test]
fn more_than_500_new_metrics_take_several_sadds() {
    let mut pipeline = pipeline(4096, 10_000);
    let mut model = Model::default();
    let points: Vec<_> = (0..1201)
        .map(|n| (format!("m{n}"), 1_700_000_000))
        .collect();
    append(&mut pipeline, &points);
    finish(&mut pipeline, &mut model);
    assert_eq!((model.members.len(), model.sadds), (1201, 3));
}

/// Dead names must not keep live ones out of the table for ever, and entries
/// that batches hold must survive the change of numbers.
#[test]
fn a_sweep_forgets_silent_metrics_and_keeps_those_under_way() {
    let mut pipeline = pipeline(64, 100);
    let mut model = Model::default();
    let old: Vec<_> = (0..100)
        .map(|n| (format!("old{n}"), 1_700_000_000))
        .collect();
    append(&mut pipeline, &old);
    finish(&mut pipeline, &mut model);
    for metric in 0..100 {
        pipeline.metrics.entry(metric).confirmed_s = 1;
    }
    pipeline.started -= Duration::from_secs(2 * u64::from(FORGET_S));
    let under_way = [
        ("old7".to_owned(), 1_700_000_005),
        ("old93".to_owned(), 1_700_000_006),
    ];
    append(&mut pipeline, &under_way);
    pipeline.sweep();
    assert_eq!(pipeline.metrics.len(), 2);
    append(
        &mut pipeline,
        &[
            ("old93".to_owned(), 1_700_000_007),
            ("new".to_owned(), 1_700_000_008),
        ],
    );
    finish(&mut pipeline, &mut model);
    assert_eq!(
        model.timestamps("old93"),
        [1_700_000_000, 1_700_000_006, 1_700_000_007]
    );
    assert_eq!(model.timestamps("old7"), [1_700_000_000, 1_700_000_005]);
    assert_eq!(model.timestamps("new"), [1_700_000_008]);
    assert_eq!(pipeline.metrics.len(), 3);
}

/// What was not stored when the time was over is counted as lost, what still
/// comes as well.
#[test]
fn giving_up_counts_every_point() {
    let mut pipeline = pipeline(16, 1000);
    let mut out = Vec::new();
    let points: Vec<_> = (0..100).map(|n| (format!("m{n}"), 1_700_000_000)).collect();
    append(&mut pipeline, &points);
    assert!(pipeline.flush(&mut out, true));
    pipeline.give_up();
    append(&mut pipeline, &points[..7]);
    let counts = &pipeline.counts.sources[Source::Pickle as usize];
    assert_eq!(
        (counts.received, counts.in_flight, counts.stored),
        (107, 0, 0)
    );
    assert_eq!(counts.dropped[DropReason::Shutdown as usize], 107);
    assert!(pipeline.is_settled());
}

#[test]
fn answers_that_were_not_asked_for_end_the_connection() {
    let mut pipeline = pipeline(16, 1000);
    assert_eq!(pipeline.settle(b":1\r\n"), Err(Garbage));
    let mut out = Vec::new();
    append(&mut pipeline, &[("a".to_owned(), 1_700_000_000)]);
    assert!(pipeline.flush(&mut out, true));
    assert_eq!(pipeline.settle(b"$5\r\nhello\r\n"), Err(Garbage));
    pipeline.lose_connection();
    assert_balanced(&pipeline);
}

/// A completion is told once, when the last of its points is settled.
#[test]
fn a_completion_is_told_when_its_points_are_settled() {
    let mut pipeline = pipeline(16, 1000);
    let mut model = Model::default();
    let told = Rc::new(std::cell::RefCell::new(Vec::new()));
    let names: Vec<String> = (0..50)
        .map(|n| format!("m{n}"))
        .chain(["bad\n".to_owned()])
        .collect();
    let points = names.iter().map(|name| Point {
        name: name.as_bytes(),
        timestamp: Number::Int(1_700_000_000 - 80_000),
        value: Number::Int(1),
    });
    let teller = told.clone();
    let completion = Completion::new(move |outcome| teller.borrow_mut().push(outcome));
    pipeline.append(points, Source::Direct, arrival(), Some(Rc::new(completion)));
    while pipeline.flush(&mut model.input, true) {}
    let answers = model.run(20, Mood::Well);
    pipeline.settle(&answers).unwrap();
    assert!(told.borrow().is_empty());
    let answers = model.run(usize::MAX, Mood::Well);
    pipeline.settle(&answers).unwrap();
    finish(&mut pipeline, &mut model);
    let outcome = crate::batch::Outcome {
        admitted: 50,
        refused: 1,
        refusals: vec![(50, crate::stats::DropReason::NameInvalid)],
        ..Default::default()
    };
    assert_eq!(*told.borrow(), [outcome]);
}

/// An answer of a kind that no command here gets must not pass for one.
#[test]
fn a_foreign_answer_to_the_last_command_loses_no_point() {
    let mut pipeline = pipeline(16, 1000);
    let mut model = Model::default();
    append(&mut pipeline, &[("a".to_owned(), 1_700_000_001)]);
    finish(&mut pipeline, &mut model);
    append(&mut pipeline, &[("a".to_owned(), 1_700_000_002)]);
    assert!(pipeline.flush(&mut Vec::new(), true));
    assert_eq!(pipeline.settle(b"+OK\r\n"), Err(Garbage));
    pipeline.lose_connection();
    pipeline.connect();
    finish(&mut pipeline, &mut model);
    assert_balanced(&pipeline);
    assert_eq!(model.timestamps("a"), [1_700_000_001, 1_700_000_002]);
}

/// A Redis that takes SADD and refuses APPEND for long must not make the batch
/// larger each time it is sent again.
#[test]
fn a_batch_that_is_refused_again_and_again_does_not_grow() {
    let mut pipeline = pipeline(16, 1000);
    append(&mut pipeline, &[("a".to_owned(), 1_700_000_001)]);
    let mut sizes = Vec::new();
    for _ in 0..10 {
        let mut out = Vec::new();
        assert!(pipeline.flush(&mut out, true));
        let sadds = out.windows(4).filter(|word| word == b"SADD").count();
        sizes.push(out.len());
        let answers = format!("-NOPERM no\r\n{}", ":1\r\n".repeat(sadds));
        assert_eq!(pipeline.settle(answers.as_bytes()), Ok(answers.len()));
        assert_eq!(pipeline.redis(), Redis::Refusing);
    }
    assert!(sizes[2..].iter().all(|size| *size == sizes[2]), "{sizes:?}");
    assert_balanced(&pipeline);
}
