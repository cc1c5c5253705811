//! A core that runs against modelled sources, in modelled time: days go by in a moment,
//! and every point that is delivered is kept, with its time.

use std::collections::BTreeMap;

use super::*;
use crate::source::Sample;
use crate::vista::answer;
use crate::vista::entry::tests::{checked, table};

/// A whole hour.
const BEGIN_S: i64 = 1_795_294_800;
const HOUR_S: i64 = 3600;
const DAY_S: i64 = 86_400;

const LIMITS: Limits = Limits {
    delay_ms: 5000,
    source_requests_max: 8,
    batch_targets_max: 20,
    backfills_max: 2,
    backfills_per_minute: 300,
    populate_tries_max: 4,
};

/// A source of points, one each `step_s`, whose value is its time.
#[derive(Clone)]
struct Model {
    step_s: i64,
    /// How late each point comes.
    lag_s: i64,
    /// From when to when nothing can be reached.
    outages: Vec<std::ops::Range<i64>>,
    /// Whether a question is never answered before its time is over.
    hangs: bool,
    answer_ms: i64,
    /// The first point.
    since_s: i64,
    cannot_populate: bool,
}

const MODEL: Model = Model {
    step_s: 60,
    lag_s: 0,
    outages: Vec::new(),
    hangs: false,
    answer_ms: 20,
    since_s: BEGIN_S - 40 * DAY_S,
    cannot_populate: false,
};

impl Model {
    fn answer(&self, window: Window, now_s: i64) -> Vec<Sample> {
        let first = window.from_s.max(self.since_s);
        let first = first + (-first).rem_euclid(self.step_s);
        let times = (0..).map(|at| first + at * self.step_s);
        let times = times.take_while(|at| *at < window.to_s && at + self.lag_s <= now_s);
        times
            .map(|timestamp| Sample {
                timestamp,
                value: timestamp as f64,
            })
            .collect()
    }

    fn is_away(&self, now_s: i64) -> bool {
        self.outages.iter().any(|outage| outage.contains(&now_s))
    }
}

/// A core, its sources by their hosts, and what was delivered.
struct World {
    core: Core,
    tables: Vec<String>,
    models: BTreeMap<String, Model>,
    now_ms: i64,
    /// When each job under way ends.
    under_way: BTreeMap<(i64, u64), Job>,
    jobs: u64,
    /// By metric, what was delivered and when.
    delivered: BTreeMap<String, Vec<(i64, i64)>>,
    /// Questions by host, each with when it was asked and how many targets it had.
    asked: BTreeMap<String, Vec<(i64, usize)>>,
    populates: u64,
}

fn host(number: usize) -> String {
    format!("http://source-{number}.example.org")
}

/// An entry of the source of this number.
fn entry(source: usize, host_type: &str, target: &str, more: &str) -> String {
    table(host_type, target, more).replace("http://source.example.org", &host(source))
}

impl World {
    fn new(tables: Vec<String>, models: Vec<Model>) -> Self {
        let models = models.into_iter().enumerate();
        let mut world = Self {
            core: Core::new(LIMITS, 1),
            tables,
            models: models.map(|(at, model)| (host(at), model)).collect(),
            now_ms: BEGIN_S * 1000,
            under_way: BTreeMap::new(),
            jobs: 0,
            delivered: BTreeMap::new(),
            asked: BTreeMap::new(),
            populates: 0,
        };
        world.load();
        world
    }

    fn load(&mut self) {
        self.core.load(LIMITS, checked(&self.tables), |_| None);
        for (id, entry) in self.core.unknown(usize::MAX) {
            let delivered = self.delivered.get(&entry.metric);
            let last_s = delivered.and_then(|all| Some(all.last()?.0));
            self.core.learn(id, last_s, self.now_ms);
        }
    }

    /// What a kill does: all that was under way and all that was known is gone.
    fn restart(&mut self) {
        self.under_way.clear();
        self.core = Core::new(LIMITS, 2);
        self.load();
    }

    fn run_for(&mut self, seconds: i64) {
        let until_ms = self.now_ms + seconds * 1000;
        loop {
            while let Some(job) = self.core.take(self.now_ms) {
                self.begin(job);
            }
            let ends = self.under_way.keys().next().map(|(at, _)| *at);
            let next_ms = ends.into_iter().chain(self.core.wake_ms()).min();
            match next_ms.filter(|next_ms| *next_ms <= until_ms) {
                Some(next_ms) => self.now_ms = self.now_ms.max(next_ms),
                None => break,
            }
            while let Some(((at, number), _)) = self.under_way.first_key_value() {
                let key = (*at, *number);
                if key.0 > self.now_ms {
                    break;
                }
                let job = self.under_way.remove(&key).unwrap();
                self.end(job);
            }
        }
        self.now_ms = until_ms;
    }

    fn begin(&mut self, job: Job) {
        let host = job.asked[0].entry.site.to_string();
        let model = &self.models[&host];
        let takes_ms = match (model.hangs, model.is_away(self.now_ms / 1000)) {
            (true, _) => 45_000,
            (_, true) => 1,
            _ => model.answer_ms,
        };
        let asked = self.asked.entry(host).or_default();
        asked.push((self.now_ms, job.asked.len()));
        self.jobs += 1;
        self.under_way
            .insert((self.now_ms + takes_ms, self.jobs), job);
    }

    fn end(&mut self, job: Job) {
        let model = self.models[&job.asked[0].entry.site.to_string()].clone();
        let now_s = self.now_ms / 1000;
        let outcomes = job.asked.iter().map(|asked| {
            let failed = |text: &str, blame| {
                let text = text.to_owned();
                Err(Failure { text, blame })
            };
            if model.hangs || model.is_away(now_s) {
                let blame = Blame::Source {
                    retry_after_s: None,
                    is_slow: model.hangs,
                };
                return failed("away", blame);
            }
            let window = match job.task {
                Task::Fetch(window) | Task::FetchPiece { window, .. } => window,
                Task::FetchAsWritten => panic!("not modelled"),
                Task::Probe(_) => return Ok(Looked::default()),
                Task::Populate if model.cannot_populate => {
                    return failed("422", Blame::Question);
                }
                Task::Populate => {
                    self.populates += 1;
                    Window {
                        from_s: asked.seen.last_s.unwrap_or(now_s - 7 * DAY_S),
                        to_s: gap::minute_of(now_s),
                    }
                }
            };
            let samples = model.answer(window, now_s);
            let seen = &asked.seen;
            let fresh = answer::fresh(&samples, seen.last_s, seen.resolution_s, now_s);
            let all = self
                .delivered
                .entry(asked.entry.metric.clone())
                .or_default();
            // As Flux does: nothing that is not newer than the last.
            let last_s = all.last().map_or(i64::MIN, |last: &(i64, i64)| last.0);
            let points = fresh.points.iter().map(|point| point.timestamp);
            let points: Vec<i64> = points.filter(|at| *at > last_s).collect();
            all.extend(points.iter().map(|at| (*at, now_s)));
            Ok(Looked {
                last_s: fresh.points.last().map(|point| point.timestamp),
                points: points.len() as u64,
                resolution_s: fresh.resolution_s,
                to_s: window.to_s,
                ..Looked::default()
            })
        });
        let outcomes: Vec<Outcome> = outcomes.collect();
        self.core.settle(&job, outcomes, self.now_ms);
    }

    fn times(&self, metric: &str) -> Vec<i64> {
        let all = self.delivered.get(metric).map(Vec::as_slice);
        all.unwrap_or_default().iter().map(|(at, _)| *at).collect()
    }

    /// Every point from the first that was delivered up to the present is there once.
    fn assert_whole(&self, metric: &str, step_s: i64, behind_s: i64) {
        let times = self.times(metric);
        let gaps: Vec<_> = times
            .windows(2)
            .filter(|pair| pair[1] - pair[0] != step_s)
            .collect();
        assert!(gaps.is_empty(), "{metric}: {gaps:?}");
        let lag_s = self.now_ms / 1000 - times.last().expect("some points");
        assert!(lag_s <= behind_s, "{metric} is {lag_s} s behind");
    }

    fn asked(&self, source: usize) -> usize {
        self.asked.get(&host(source)).map_or(0, Vec::len)
    }
}

#[test]
fn every_minute_is_fetched_once_and_soon_after_its_end() {
    for host_type in ["graphite", "prometheus"] {
        let tables = vec![entry(0, host_type, "a", "")];
        let mut world = World::new(tables, vec![MODEL]);
        world.run_for(2 * HOUR_S);
        world.assert_whole("a", 60, 130);
        let steady = &world.delivered["a"][20..];
        assert!(
            steady.iter().all(|(at, when)| when - at < 60 + 15),
            "{steady:?}"
        );
        // One question a minute.
        assert!((119..=122).contains(&world.asked(0)), "{}", world.asked(0));
        assert_eq!(world.populates, 0);
    }
}

// The reference loses all that a source has later than it was first asked for it.
#[test]
fn a_source_that_lags_loses_nothing_and_is_not_populated_from() {
    for lag_s in [100, 180, 1800, HOUR_S, 5 * HOUR_S] {
        let tables = vec![entry(
            0,
            "graphite",
            "a",
            "uri = '/render?from=-7hours&target='",
        )];
        let model = Model { lag_s, ..MODEL };
        let mut world = World::new(tables, vec![model]);
        world.run_for(8 * HOUR_S);
        world.assert_whole("a", 60, lag_s + 130);
        assert_eq!(world.populates, 0, "{lag_s}");
    }
}

#[test]
fn an_outage_leaves_no_gap_and_no_duplicate_and_disturbs_nobody_else() {
    for outage_s in [600, 2 * HOUR_S, 2 * DAY_S] {
        let away = BEGIN_S + HOUR_S..BEGIN_S + HOUR_S + outage_s;
        let model = Model {
            outages: Vec::from([away.clone()]),
            ..MODEL
        };
        let tables = vec![
            entry(0, "graphite", "a", ""),
            entry(0, "graphite", "b", ""),
            entry(1, "prometheus", "c", ""),
        ];
        let mut world = World::new(tables, vec![model, MODEL]);
        world.run_for(HOUR_S + outage_s);
        let asked = world.asked(0);
        // Left alone: about once a minute and a half.
        let asked_max = 70 + outage_s / 60 * 2;
        assert!(asked as i64 <= asked_max, "{asked} of {asked_max}");
        world.run_for(600);
        for metric in ["a", "b", "c"] {
            world.assert_whole(metric, 60, 130);
        }
        assert_eq!(world.populates, 2, "{outage_s}");
        assert!(
            world.delivered["c"][20..]
                .iter()
                .all(|(at, when)| when - at < 75)
        );
    }
}

// While a source is away it is asked cheap questions only, however many wait for their
// history there.
#[test]
fn history_waits_until_a_source_that_is_away_answers() {
    let history = "populate_at_resolutions = ['7d']";
    let tables = (0..50).map(|at| entry(0, "prometheus", &format!("m{at}"), history));
    let away = BEGIN_S..BEGIN_S + DAY_S;
    let model = Model {
        outages: Vec::from([away]),
        ..MODEL
    };
    let mut world = World::new(tables.collect(), vec![model]);
    world.run_for(DAY_S);
    // Those that were begun before it was known.
    assert!(world.core.totals().populates <= 4);
    assert!(world.asked(0) < 3000, "{}", world.asked(0));
    world.run_for(600);
    for at in 0..50 {
        world.assert_whole(&format!("m{at}"), 60, 130);
    }
    assert_eq!(world.populates, 50);
}

// Where history cannot be had as such, the gap is asked for in pieces.
#[test]
fn a_gap_that_cannot_be_populated_is_fetched_in_pieces() {
    let outage_s = 20 * DAY_S;
    let model = Model {
        outages: std::iter::once(BEGIN_S + HOUR_S..BEGIN_S + HOUR_S + outage_s).collect(),
        cannot_populate: true,
        ..MODEL
    };
    let mut world = World::new(vec![entry(0, "prometheus", "a", "")], vec![model]);
    world.run_for(HOUR_S + outage_s + HOUR_S);
    world.assert_whole("a", 60, 130);
}

#[test]
fn history_is_filled_once_and_the_minutes_go_on() {
    let history = "populate_at_resolutions = ['7days']";
    let tables = vec![
        entry(0, "graphite", "a", history),
        entry(0, "graphite", "b", ""),
    ];
    let mut world = World::new(tables, vec![MODEL]);
    world.run_for(HOUR_S);
    world.assert_whole("a", 60, 130);
    assert_eq!(world.times("a")[0], BEGIN_S - 7 * DAY_S);
    assert_eq!(world.populates, 1);
    world.restart();
    world.run_for(HOUR_S);
    world.assert_whole("a", 60, 130);
    assert_eq!(world.populates, 1);
}

// A metric whose history cannot be had must not wait for it for ever.
#[test]
fn history_that_cannot_be_had_is_given_up_and_the_metric_fetched() {
    let tables = vec![entry(
        0,
        "prometheus",
        "a",
        "populate_at_resolutions = ['7d']",
    )];
    let model = Model {
        cannot_populate: true,
        ..MODEL
    };
    let mut world = World::new(tables, vec![model]);
    world.run_for(8 * 60 - 1);
    assert!(world.times("a").is_empty());
    world.run_for(HOUR_S);
    world.assert_whole("a", 60, 130);
    assert_eq!(world.core.totals().populates_failed, 4);
}

// A target that names nothing is no reason to ask for its history each minute.
#[test]
fn a_metric_without_points_is_populated_once() {
    let tables = vec![entry(
        0,
        "prometheus",
        "a",
        "populate_at_resolutions = ['7d']",
    )];
    let model = Model {
        since_s: BEGIN_S + DAY_S,
        ..MODEL
    };
    let mut world = World::new(tables, vec![model]);
    world.run_for(DAY_S);
    assert_eq!(world.populates, 1);
    world.run_for(HOUR_S);
    world.assert_whole("a", 60, 130);
    assert_eq!(world.populates, 1);
}

#[test]
fn an_hourly_metric_that_comes_late_is_fetched_as_soon_as_it_is_there() {
    for lag_s in [0, 600, 3000, 2 * HOUR_S] {
        let more = "frequency = 3600\nuri = '/render?from=-5hours&target='";
        let tables = vec![entry(0, "graphite", "a", more)];
        let model = Model {
            step_s: HOUR_S,
            lag_s,
            ..MODEL
        };
        let mut world = World::new(tables, vec![model]);
        world.run_for(3 * DAY_S);
        world.assert_whole("a", HOUR_S, 2 * HOUR_S + lag_s);
        let steady = &world.delivered["a"][8..];
        let late_s = steady.iter().map(|(at, when)| when - at - lag_s.max(60));
        let latest_s = late_s.max().unwrap();
        assert!(latest_s <= 310, "{lag_s}: {latest_s}");
        assert_eq!(world.populates, 0, "{lag_s}");
        // It is not asked for while nothing can be there.
        let asked = world.asked(0) as i64;
        assert!(
            asked <= 73 * (2 + lag_s.min(HOUR_S) / 60) + 2000,
            "{lag_s}: {asked}"
        );
    }
}

#[test]
fn a_kill_at_any_time_leaves_no_gap_and_no_duplicate() {
    let tables = vec![
        entry(0, "graphite", "a", ""),
        entry(0, "graphite", "b", "populate_at_resolutions = ['7days']"),
        entry(1, "prometheus", "c", ""),
    ];
    let slow = Model {
        answer_ms: 700,
        ..MODEL
    };
    let mut world = World::new(tables, vec![slow.clone(), slow]);
    for wait_s in [1, 2, 3, 65, 66, 5, 6, 7, 130, 1, 400, 4000, 9] {
        world.run_for(wait_s);
        world.restart();
    }
    world.run_for(600);
    for metric in ["a", "b", "c"] {
        world.assert_whole(metric, 60, 130);
    }
}

// The row of the issue: 5,000 entries of ten sources, two of which hang.
#[test]
fn sources_that_hang_hold_up_nobody_else() {
    let entry = |at: usize| {
        let host_type = if at % 10 < 5 {
            "graphite"
        } else {
            "prometheus"
        };
        entry(at % 10, host_type, &format!("m{at}"), "")
    };
    let models = (0..10).map(|at| Model {
        hangs: at == 3 || at == 7,
        answer_ms: 50,
        ..MODEL
    });
    let mut world = World::new((0..5000).map(entry).collect(), models.collect());
    world.run_for(20 * 60);
    for at in 0..5000 {
        let metric = format!("m{at}");
        if at % 10 == 3 || at % 10 == 7 {
            assert!(world.times(&metric).is_empty());
            continue;
        }
        world.assert_whole(&metric, 60, 150);
        let steady = &world.delivered[&metric][15..];
        assert!(steady.iter().all(|(at, when)| when - at <= 120), "{metric}");
    }
    // A Graphite is asked for 500 metrics in 25 questions a minute.
    assert!(world.asked(0) < 21 * 26, "{}", world.asked(0));
}

#[test]
fn graphite_is_asked_for_as_many_targets_as_are_allowed() {
    let entries = (0..25).map(|at| entry(0, "graphite", &format!("m{at}"), ""));
    let mut world = World::new(entries.collect(), vec![MODEL]);
    world.run_for(1);
    let targets: Vec<usize> = world.asked[&host(0)].iter().map(|asked| asked.1).collect();
    assert_eq!(targets, [20, 5]);
}

// Two sources with one target, and one with two logins, are never asked together.
#[test]
fn other_hosts_and_other_logins_are_other_sources() {
    let name = |name: &str| format!("graphite_target = '{name}'");
    let tables = vec![
        entry(0, "graphite", "a", &name("one")),
        entry(1, "graphite", "a", &name("two")),
        entry(
            0,
            "graphite",
            "a",
            &format!("{}\ntoken = 't'", name("three")),
        ),
    ];
    let mut world = World::new(tables, vec![MODEL, MODEL]);
    let mut sources = Vec::new();
    while let Some(job) = world.core.take(world.now_ms) {
        assert_eq!(job.asked.len(), 1);
        sources.push(job.source);
    }
    sources.sort_unstable();
    assert_eq!(sources, [0, 1, 2]);
}

#[test]
fn a_source_that_asks_to_be_left_alone_is() {
    let mut world = World::new(vec![entry(0, "graphite", "a", "")], vec![MODEL]);
    let job = world.core.take(world.now_ms).unwrap();
    let failure = Failure {
        text: "status 429".to_owned(),
        blame: Blame::Source {
            retry_after_s: Some(300),
            is_slow: false,
        },
    };
    world.core.settle(&job, vec![Err(failure)], world.now_ms);
    world.run_for(299);
    assert_eq!(world.asked(0), 0);
    let status = world.core.status(world.now_ms, &BTreeMap::new());
    assert_eq!(status.entries[0].error, "status 429");
    assert!(status.sources[0].is_failing);
    world.run_for(10);
    assert_eq!(world.asked(0), 1);
    world.assert_whole("a", 60, 130);
}

// A clock that is set back or forth by an hour costs nothing that was good.
#[test]
fn a_clock_that_jumps_leaves_no_gap_and_no_duplicate() {
    for jump_s in [HOUR_S, -HOUR_S] {
        let mut world = World::new(vec![entry(0, "graphite", "a", "")], vec![MODEL]);
        world.run_for(HOUR_S);
        world.now_ms += jump_s * 1000;
        world.run_for(2 * HOUR_S);
        world.assert_whole("a", 60, 130);
    }
}

#[test]
fn a_reload_keeps_what_is_known_of_entries_that_stay() {
    let tables = vec![entry(0, "graphite", "a", ""), entry(0, "graphite", "b", "")];
    let mut world = World::new(tables, vec![MODEL, MODEL]);
    world.run_for(HOUR_S);
    world.tables[1] = entry(1, "graphite", "c", "");
    world.tables.push(table("graphite", "a.*", ""));
    let asked = world.asked(0);
    world.load();
    let status = world.core.status(world.now_ms, &BTreeMap::new());
    let states: Vec<&str> = status.entries.iter().map(|entry| entry.state).collect();
    assert_eq!(states, ["ok", "waiting", "disabled"]);
    world.run_for(HOUR_S);
    world.assert_whole("a", 60, 130);
    world.assert_whole("c", 60, 130);
    assert!(world.asked(0) - asked <= 62);
    assert_eq!(
        world.core.status(world.now_ms, &BTreeMap::new()).states["disabled"],
        1
    );
}
