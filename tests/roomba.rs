//! Trimming, by hand and beside the running server, against what Skyline's own Roomba
//! makes of the same series, and against other programs that write them meanwhile.

mod clock;
mod faults;
mod hours;
mod once;
mod reload;
mod rest;
mod ways;
mod writers;

use std::collections::BTreeMap;
use std::process::ExitStatus;

use rustix::process::Signal;
use serde_json::Value;
use skyring::roomba::pass::PassError;

use crate::fixture::redis::Redis;
use crate::fixture::sender::{Sender, record};
use crate::fixture::skyring::{Plan, Skyring, command};
use crate::fixture::stream::Stream;
use crate::fixture::{eventually, eventually_by_steps, hex, holds, http, now_s, python};

/// What the tests set `redis.full_duration_s` and `roomba.grace_s` to.
const FULL_S: u64 = 600;
const GRACE_S: u64 = 4;
/// No test has records so near to the bound that it matters when exactly they run.
const MARGIN_S: u64 = 250;

const TRIMS: &str = "horizon.roomba.metrics_last_trimmed";
const SET: &str = "metrics.unique_metrics";

/// A server that trims every second.
fn trimming(redis: &Redis) -> Plan {
    Plan::with(redis)
        .set("roomba.enabled", true)
        .set("roomba.interval_s", 1)
        .set("roomba.grace_s", GRACE_S)
        .set("redis.full_duration_s", FULL_S)
}

/// The second up to which records are too old.
fn bound_s() -> u64 {
    now_s() - FULL_S - GRACE_S
}

/// Records of floats, at so many seconds from now, each with its own value.
fn records(offsets: &[i64]) -> Vec<u8> {
    let now = now_s() as f64;
    let records = offsets
        .iter()
        .map(|at| record(now + *at as f64, *at as f64));
    records.collect::<Vec<_>>().concat()
}

/// Sets a series and makes it a member.
fn put(redis: &Redis, key: &str, bytes: &[u8]) {
    let mut pipe = redis::pipe();
    pipe.cmd("SET").arg(key).arg(bytes).ignore();
    pipe.cmd("SADD").arg(SET).arg(key).ignore();
    pipe.query::<()>(&mut redis.connection()).unwrap();
}

fn append(redis: &Redis, key: &str, bytes: &[u8]) {
    let mut append = redis::cmd("APPEND");
    append.arg(key).arg(bytes);
    append.query::<()>(&mut redis.connection()).unwrap();
}

fn series(redis: &Redis, key: &str) -> Option<Vec<u8>> {
    redis.run(&["GET", key])
}

fn is_member(redis: &Redis, key: &str) -> bool {
    redis.run(&["SISMEMBER", SET, key])
}

/// Fills Redis with histories, or appends to them; see `tests/python/roomba.py`. What
/// becomes of each key.
fn histories(redis: &Redis, what: &str, prefix: &str, seed: &str) -> Histories {
    let (socket, bound, margin) = (redis.socket(), bound_s(), MARGIN_S);
    let (bound, margin) = (bound.to_string(), margin.to_string());
    let socket = socket.to_str().unwrap();
    let arguments = [what, socket, prefix, &bound, &margin, seed, "300"];
    let after: BTreeMap<String, Option<String>> =
        serde_json::from_value(python::script("roomba.py", &arguments, "").remove(0)).unwrap();
    let set = format!("{prefix}unique_metrics");
    let after = after
        .into_iter()
        .map(|(key, after)| (key, after.map(|after| hex(&after))));
    Histories {
        set,
        after: after.collect(),
    }
}

struct Histories {
    set: String,
    after: BTreeMap<String, Option<Vec<u8>>>,
}

impl Histories {
    /// Whether every series is as Skyline's Roomba would leave it, and exactly those
    /// that are left are members.
    fn check(&self, redis: &Redis) -> Result<(), String> {
        for (key, wanted) in &self.after {
            let seen = series(redis, key);
            holds(seen == *wanted, || {
                format!("{key}: {seen:02x?} instead of {wanted:02x?}")
            })?;
        }
        let members: Vec<String> = redis.run(&["SMEMBERS", &self.set]);
        for key in members {
            let is_left = self.after.get(&key).is_some_and(Option::is_some);
            holds(is_left, || format!("{key} is a member, and no series"))?;
        }
        Ok(())
    }

    /// The keys that are removed.
    fn removed(&self) -> impl Iterator<Item = &String> {
        let removed = self.after.iter().filter(|(_, after)| after.is_none());
        removed.map(|(key, _)| key)
    }
}

fn roomba(skyring: &Skyring) -> Value {
    skyring.status()["roomba"].clone()
}

fn count(skyring: &Skyring, name: &str) -> u64 {
    let status = roomba(skyring);
    let number = status[name].as_u64();
    number.unwrap_or_else(|| panic!("no {name} in {status}"))
}

/// Waits until so many more passes have begun and ended.
fn wait_for_passes(skyring: &Skyring, passes: u64) {
    // One may be under way.
    let aim = count(skyring, "passes") + passes + 1;
    eventually_by_steps("passes ended", || {
        let status = roomba(skyring);
        let passes = status["passes"].as_u64().unwrap();
        holds(passes >= aim, || status.to_string()).map_err(|seen| (passes, seen))
    });
}

/// Runs `skyring trim --once` and reads the numbers it prints.
fn trim(plan: &Plan, more: &[&str]) -> Trimmed {
    let file = plan.file();
    let mut arguments = vec!["trim", "--once", "--config", file.to_str().unwrap()];
    arguments.extend(more);
    let mut process = command(&arguments);
    let status = process.exit();
    let number = |line: &str| {
        let (label, number) = line.rsplit_once(' ')?;
        let label = label.trim().trim_start_matches("would be ");
        Some((label.to_owned(), number.parse().ok()?))
    };
    Trimmed {
        status,
        numbers: process.stdout().lines().filter_map(number).collect(),
        stderr: process.stderr(),
    }
}

struct Trimmed {
    status: ExitStatus,
    numbers: BTreeMap<String, u64>,
    stderr: String,
}

impl Trimmed {
    /// The numbers that are not 0, after a run without fault.
    fn sums(&self) -> BTreeMap<&str, u64> {
        assert!(self.status.success(), "{} {}", self.status, self.stderr);
        assert_eq!(self.numbers.len(), 13, "{:?}", self.numbers);
        let all = self.numbers.iter();
        let numbers = all.map(|(label, number)| (label.as_str(), *number));
        numbers.filter(|(_, number)| *number > 0).collect()
    }
}

/// Everything that is in Redis, in one number.
fn digest(redis: &Redis) -> String {
    redis.run(&["DEBUG", "DIGEST"])
}

/// Beside the server, within a few intervals, and again when a writer that Skyring
/// knows nothing of has appended older records.
#[test]
fn the_running_server_makes_of_histories_what_skylines_roomba_makes() {
    let redis = Redis::start();
    let filled = histories(&redis, "fill", "metrics.", "beside");
    let skyring = trimming(&redis).start();
    eventually("all was trimmed", || filled.check(&redis));
    assert!(filled.removed().count() > 10);
    for round in 0..3 {
        // Keys that were removed get records, but are no members: nobody trims them.
        let late = histories(&redis, "late", "metrics.", &format!("late {round}"));
        let members: Vec<String> = redis.run(&["SMEMBERS", SET]);
        let late = Histories {
            after: late
                .after
                .into_iter()
                .filter(|(key, _)| members.contains(key))
                .collect(),
            ..late
        };
        eventually("what came late was put in order", || late.check(&redis));
    }
    wait_for_passes(&skyring, 2);
    let status = roomba(&skyring);
    assert_eq!(status["enabled"], true);
    assert_eq!(status["error"], "");
    assert_eq!(status["refused"], 0);
    assert_eq!(status["quarantined"], 0);
    assert!(status["removed"].as_u64() >= Some(filled.removed().count() as u64));
    for name in ["cut", "mended", "records_old", "records_duplicate"] {
        assert!(status[name].as_u64() > Some(20), "{name} {status}");
    }
    assert!(status["bytes_before"].as_u64() > status["bytes_after"].as_u64());
    skyring.finish();
}

/// Disorder and duplicates that came through Skyring itself are seen by what is told
/// of them, without reading other series again.
#[test]
fn what_came_through_skyring_is_put_in_order() {
    let redis = Redis::start();
    let skyring = trimming(&redis).start();
    let mut sender = Sender::connect(&skyring.pickle());
    let now = now_s() as f64;
    let names: Vec<String> = (0..50).map(|at| format!("own.{at}")).collect();
    let mut send = |points: &[(f64, f64)]| {
        for name in &names {
            let points = points
                .iter()
                .map(|(at, value)| (&name[..], now + at, *value));
            sender.send(&crate::fixture::sender::frame(&points.collect::<Vec<_>>()));
        }
    };
    let check = |wanted: &[(f64, f64)]| {
        let wanted = wanted.iter().map(|(at, value)| record(now + at, *value));
        let wanted = wanted.collect::<Vec<_>>().concat();
        eventually("every series was in order", || {
            for name in &names {
                let seen = redis.series(name);
                holds(seen == wanted, || format!("{name}: {seen:02x?}"))?;
            }
            Ok(())
        });
    };
    send(&[(0.0, 1.0), (60.0, 2.0), (120.0, 3.0)]);
    check(&[(0.0, 1.0), (60.0, 2.0), (120.0, 3.0)]);
    wait_for_passes(&skyring, 2);
    let whole = count(&skyring, "read_whole");
    // In order; twice within the newest second; of one second, but not in order.
    send(&[(180.0, 4.0)]);
    check(&[(0.0, 1.0), (60.0, 2.0), (120.0, 3.0), (180.0, 4.0)]);
    wait_for_passes(&skyring, 1);
    send(&[(180.0, 3.5), (180.75, 6.0), (180.25, 5.0)]);
    let newest = [(180.0, 3.5), (180.25, 5.0), (180.75, 6.0)];
    check(&[&[(0.0, 1.0), (60.0, 2.0), (120.0, 3.0)], &newest[..]].concat());
    wait_for_passes(&skyring, 1);
    assert_eq!(count(&skyring, "read_whole"), whole, "the ends were enough");
    // Late, for which all is read.
    send(&[(30.0, 1.5)]);
    let all = [(0.0, 1.0), (30.0, 1.5), (60.0, 2.0), (120.0, 3.0)];
    check(&[&all[..], &newest].concat());
    // Another writer, behind what Skyring wrote.
    for name in &names {
        let bytes = record(now + 90.0, 2.5);
        append(&redis, &format!("metrics.{name}"), &bytes);
    }
    let all = [
        (0.0, 1.0),
        (30.0, 1.5),
        (60.0, 2.0),
        (90.0, 2.5),
        (120.0, 3.0),
    ];
    check(&[&all[..], &newest].concat());
    skyring.finish();
}

/// Time passes: what a stream has brought is cut off some seconds later, between full
/// duration and that with twice the grace, and the series goes in the end. A point
/// then makes the metric known again.
#[test]
fn a_series_ages_and_goes_and_comes_back() {
    let redis = Redis::start();
    let skyring = trimming(&redis)
        .set("redis.full_duration_s", 60)
        .set("roomba.grace_s", 2)
        .start();
    let mut sender = Sender::connect(&skyring.pickle());
    let start = now_s() as f64;
    // One for each second, of which the last goes after about ten seconds.
    for at in 0..6 {
        let points = [("aging", start - 58.0 + f64::from(at), f64::from(at))];
        sender.send(&crate::fixture::sender::frame(&points));
    }
    skyring.wait_until_settled(6);
    let mut sizes = vec![];
    eventually("the series went", || {
        let seen = redis.series("aging").len() / 19;
        let is_member = is_member(&redis, "metrics.aging");
        sizes.push(seen);
        holds(seen == 0 && !is_member, || format!("{sizes:?}"))
    });
    assert!(sizes.is_sorted_by(|one, two| one >= two), "{sizes:?}");
    assert!(now_s() as f64 - start >= 8.0, "not before its time");
    assert!(redis.members().is_empty() && redis.keys().is_empty());
    sender.send_point("aging", 7.0);
    skyring.wait_until_settled(7);
    eventually("the metric was a member again", || {
        holds(redis.members().contains("aging"), || {
            format!("{:?}", redis.members())
        })
    });
    assert_eq!(redis.series("aging").len(), 19);
    assert_eq!(count(&skyring, "removed"), 1);
    skyring.finish();
}

/// The series of the smaller namespace have their own duration, set and members.
#[test]
fn the_mini_namespace_is_trimmed_too_and_each_keeps_its_record_of_trims() {
    let redis = Redis::start();
    let mini = |key: &str, offsets: &[i64]| {
        let mut pipe = redis::pipe();
        pipe.cmd("SET").arg(key).arg(records(offsets)).ignore();
        pipe.cmd("SADD")
            .arg("mini.unique_metrics")
            .arg(key)
            .ignore();
        pipe.query::<()>(&mut redis.connection()).unwrap();
    };
    let plan = trimming(&redis)
        .set("roomba.mini_namespace", "\"mini.\"")
        .set("roomba.mini_duration_s", 100);
    mini("mini.a", &[-300, -200, 0, 60]);
    mini("mini.dead", &[-300]);
    put(&redis, "metrics.a", &records(&[-2000, -300, 0, 60]));
    for stale in ["metrics.gone", "mini.gone", "elsewhere.gone"] {
        let _: u32 = redis.run(&["HSET", TRIMS, stale, "1"]);
    }
    let skyring = plan.start();
    wait_for_passes(&skyring, 4);
    assert_eq!(series(&redis, "mini.a").unwrap().len(), 2 * 19);
    assert_eq!(series(&redis, "metrics.a").unwrap().len(), 3 * 19);
    assert_eq!(series(&redis, "mini.dead"), None);
    let members: Vec<String> = redis.run(&["SMEMBERS", "mini.unique_metrics"]);
    assert_eq!(members, ["mini.a"]);
    let trims: BTreeMap<String, u64> = redis.run(&["HGETALL", TRIMS]);
    let keys: Vec<&str> = trims.keys().map(String::as_str).collect();
    assert_eq!(keys, ["elsewhere.gone", "metrics.a", "mini.a"]);
    assert!(trims["metrics.a"] + 60 > now_s() && trims["mini.a"] <= now_s());
    let status = roomba(&skyring);
    assert_eq!(
        (&status["members"], &status["removed"]),
        (&2.into(), &1.into())
    );
    skyring.finish();
}

/// The numbers on both pages are the same, and the quantiles rise.
#[test]
fn status_and_metrics_show_what_was_done() {
    let redis = Redis::start();
    put(&redis, "metrics.a", &records(&[-9000, 0, 0, 60]));
    put(&redis, "metrics.dead", &records(&[-9000]));
    let _: u32 = redis.run(&["SADD", SET, "metrics.ghost"]);
    let skyring = trimming(&redis).start();
    wait_for_passes(&skyring, 2);
    let status = roomba(&skyring);
    for (name, wanted) in [
        ("members", 1),
        ("mended", 1),
        ("removed", 1),
        ("ghosts", 1),
        ("records_old", 2),
        ("records_duplicate", 1),
        ("bytes_before", 5 * 19),
        ("bytes_after", 2 * 19),
    ] {
        assert_eq!(status[name], wanted, "{name} {status}");
    }
    let number = |name: &str| status[name].as_u64().unwrap();
    assert!(number("trip_p50_us") > 0 && number("trip_p50_us") <= number("trip_p99_us"));
    assert!(number("trip_p99_us") <= number("trip_max_us") && number("trips") >= 3);
    assert!(number("redis_us") / number("trips") <= number("trip_max_us"));
    assert!(number("ledger_bytes") > 0 && number("redis_us") > 0);
    assert!(number("last_pass_ended_s").abs_diff(now_s()) < 60);
    let page = skyring.get("/metrics").body;
    let sample = |name: &str| {
        let line = page.lines().find_map(|line| line.strip_prefix(name));
        let line = line.unwrap_or_else(|| panic!("no {name} in {page}"));
        line.trim().parse::<f64>().unwrap()
    };
    for name in [
        "cut",
        "mended",
        "removed",
        "ghosts",
        "quarantined",
        "refused",
    ] {
        let shown = sample(&format!("skyring_roomba_{name}_total "));
        assert_eq!(shown as u64, number(name), "{name}");
    }
    assert_eq!(sample("skyring_roomba_enabled "), 1.0);
    assert_eq!(sample("skyring_roomba_failing "), 0.0);
    assert_eq!(sample("skyring_roomba_members "), 1.0);
    assert!(sample("skyring_roomba_passes_total ") as u64 >= number("passes"));
    let trips = |it: &str| sample(&format!("skyring_roomba_trip_seconds_{it} "));
    let up_to = |bound: &str| trips(&format!("bucket{{le=\"{bound}\"}}"));
    assert_eq!(
        (up_to("+Inf"), up_to("60")),
        (trips("count"), trips("count"))
    );
    assert!(trips("count") as u64 >= number("trips"));
    assert!(up_to("0.00025") <= up_to("0.01") && up_to("0.01") <= up_to("1"));
    assert!(trips("sum") > 0.0 && trips("sum") <= 60.0 * trips("count"));
    skyring.finish();
}

/// What Skyline's Roomba logs of its passes, by its words, is in the log of those who
/// want it.
#[test]
fn the_figures_of_a_pass_are_in_the_log_at_debug_level() {
    let started = |level: &str| {
        let redis = Redis::start();
        put(&redis, "metrics.disordered", &records(&[60, 0]));
        put(&redis, "metrics.old", &records(&[-9000, 0, 60]));
        put(&redis, "metrics.dead", &records(&[-9000]));
        let broken = [&records(&[0])[..], b"\xc1", &records(&[60])].concat();
        put(&redis, "metrics.broken", &broken);
        let _: u32 = redis.run(&["SADD", SET, "metrics.ghost"]);
        let plan = trimming(&redis).set("log.format", "\"json\"");
        (plan.set("log.level", level).start(), redis)
    };
    let figures = |skyring: &Skyring| -> Option<Value> {
        let log = skyring.process.stderr();
        let mut lines = log.lines().filter_map(|it| serde_json::from_str(it).ok());
        lines.find(|line: &Value| line["keyspace"].is_u64())
    };
    let (quiet, _redis) = started("\"info\"");
    wait_for_passes(&quiet, 1);
    assert_eq!(figures(&quiet), None, "not at the level of info");
    quiet.finish();
    let (skyring, _redis) = started("\"debug\"");
    let told = eventually("the first pass was told of", || {
        figures(&skyring).ok_or_else(|| skyring.process.stderr())
    });
    assert_eq!(
        (&told["level"], &told["namespace"]),
        (&"DEBUG".into(), &"metrics.".into())
    );
    for (name, wanted) in [
        ("keyspace", 5),
        ("operated_on", 5),
        ("blocked", 0),
        ("euthanized", 1),
        ("ghosts", 1),
        ("active", 3),
        ("trimmed", 2),
        ("quarantined", 1),
        ("refused", 0),
        ("bytes_before", 8 * 19 + 1),
        ("bytes_after", 6 * 19),
    ] {
        assert_eq!(told[name], wanted, "{name} {told}");
    }
    assert!(told["redis_us"].as_u64() > Some(0), "{told}");
    assert!(told["seconds"].as_f64() > Some(0.0), "{told}");
    skyring.finish();
}

/// A pass over an hour is left at once at the end of the server.
#[test]
fn a_pass_that_would_take_an_hour_ends_with_the_server() {
    let redis = Redis::start();
    let mut fill = redis::pipe();
    for at in 0..5_000 {
        let key = format!("metrics.many.{at}");
        fill.cmd("SET").arg(&key).arg(records(&[0])).ignore();
        fill.cmd("SADD").arg(SET).arg(&key).ignore();
    }
    fill.query::<()>(&mut redis.connection()).unwrap();
    let skyring = trimming(&redis).set("roomba.interval_s", 3600).start();
    eventually("the pass has begun", || {
        let looks = redis.calls("getrange");
        holds(looks > 0, || format!("{looks} looks"))
    });
    assert_eq!(http::get(&skyring.admin(), "/healthz").unwrap().code, 200);
    assert_eq!(count(&skyring, "passes"), 0);
    assert_eq!(skyring.end(Signal::TERM), 0);
    assert!(redis.calls("getrange") < 5_000);
}
