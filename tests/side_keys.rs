//! The keys that Skyline's programs read besides the data: as Skyline's own Horizon
//! has them, in passes of one second instead of a minute.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rustix::process::Signal;

use crate::fixture::redis::Redis;
use crate::fixture::sender::{Sender, frame};
use crate::fixture::skyring::{Plan, Skyring};
use crate::fixture::{eventually, holds, now_s};

const RECEIVED: &str = "aet.horizon.metrics_received";
const COUNT: &str = "thunder.horizon.worker.metrics_received";
const QUEUE: &str = "horizon.worker.average_queue_size";
const CHECKED: &str = "horizon.checked_through_skip_list";
const SKIP: &str = "horizon.skip_metrics";
const DO_NOT_SKIP: &str = "horizon.do_not_skip_metrics";
const ASSIGNED: &str = "horizon.shards.metrics_assigned";
const DROPPED: &str = "horizon.shard.metrics_dropped";

fn plan(redis: &Redis) -> Plan {
    Plan::with(redis).set("horizon.side_keys_s", 1)
}

/// Connections that each send one point of each name whenever they are asked to.
struct Stream {
    senders: RefCell<Vec<Sender>>,
}

impl Stream {
    fn new(skyring: &Skyring, connections: usize) -> Stream {
        let senders = (0..connections).map(|_| Sender::connect(&skyring.pickle()));
        Stream {
            senders: RefCell::new(senders.collect()),
        }
    }

    fn send(&self, names: &[&str]) {
        let now = now_s() as f64;
        let points: Vec<(&str, f64, f64)> = names.iter().map(|name| (*name, now, 1.0)).collect();
        for sender in self.senders.borrow_mut().iter_mut() {
            sender.send(&frame(&points));
        }
    }

    /// Goes on sending until the probe is `Ok`.
    fn send_until<T>(
        &self,
        names: &[&str],
        what: &str,
        mut probe: impl FnMut() -> Result<T, String>,
    ) -> T {
        eventually(what, || {
            self.send(names);
            std::thread::sleep(std::time::Duration::from_millis(20));
            probe()
        })
    }
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn members(redis: &Redis, key: &str) -> BTreeSet<String> {
    redis.run(&["SMEMBERS", key])
}

fn fields(redis: &Redis, key: &str) -> BTreeSet<String> {
    let names: Vec<String> = redis.run(&["HKEYS", key]);
    names.into_iter().collect()
}

/// A hash whose values must be whole numbers as text.
fn numbers(redis: &Redis, key: &str) -> BTreeMap<String, u64> {
    let texts: BTreeMap<String, String> = redis.run(&["HGETALL", key]);
    texts
        .into_iter()
        .map(|(name, text)| (name, text.parse().unwrap()))
        .collect()
}

fn all_of<T: std::fmt::Debug + PartialEq>(found: Vec<T>, wanted: Vec<T>) -> Result<(), String> {
    holds(found == wanted, || format!("{found:?}, wanted {wanted:?}"))
}

/// Whether these are the names that were received, that were checked, that are skipped,
/// and that are not.
fn keys_hold(redis: &Redis, wanted: [BTreeSet<String>; 4]) -> Result<(), String> {
    let found = [
        members(redis, RECEIVED),
        members(redis, CHECKED),
        fields(redis, SKIP),
        fields(redis, DO_NOT_SKIP),
    ];
    all_of(found.into(), wanted.into())
}

/// Waits until so many passes more have begun: each writes when it did.
fn wait_for_passes(redis: &Redis, passes: u64) {
    let begun = |redis: &Redis| numbers(redis, QUEUE).get("timestamp").copied().unwrap_or(0);
    let aim = begun(redis) + passes;
    eventually("passes went by", || {
        let seen = begun(redis);
        holds(seen >= aim, || format!("{seen} of {aim}"))
    });
}

/// The list that Skyline's documentation gives of what an hour of Horizon leaves,
/// with types, values and times to live. Both shards get each metric, which counts
/// once.
#[test]
fn after_a_pass_with_traffic_all_keys_are_there() {
    let redis = Redis::start();
    let skyring = plan(&redis).start();
    let stream = Stream::new(&skyring, 4);
    let kept = ["side.a", "side.b", "caf\u{e9}.c"];
    let skipped = "skyline.analyzer.h1.projected";
    let names = [kept[0], kept[1], kept[2], skipped];
    stream.send_until(&names, "all keys were there", || {
        keys_hold(
            &redis,
            [set(&names), set(&names), set(&[skipped]), set(&kept)],
        )?;
        let count = numbers(&redis, COUNT);
        holds(count.get("value") == Some(&4), || format!("{count:?}"))
    });
    let now = now_s();
    let recent = |seconds: u64| (now - 60..=now + 1).contains(&seconds);
    for key in [COUNT, QUEUE] {
        let figures = numbers(&redis, key);
        let names: Vec<&str> = figures.keys().map(String::as_str).collect();
        assert_eq!(names, ["timestamp", "value"], "{key}");
        assert!(recent(figures["timestamp"]), "{key}: {figures:?}");
    }
    for key in [SKIP, DO_NOT_SKIP] {
        let times = numbers(&redis, key);
        assert!(times.values().all(|time| recent(*time)), "{key}: {times:?}");
    }
    let heartbeat: String = redis.run(&["GET", "horizon"]);
    assert!(recent(heartbeat.parse().unwrap()), "{heartbeat}");
    for (key, kind, longest) in [
        ("horizon", "string", 120),
        (RECEIVED, "set", -1),
        (COUNT, "hash", -1),
        (QUEUE, "hash", -1),
        (SKIP, "hash", -1),
        (DO_NOT_SKIP, "hash", -1),
        (CHECKED, "set", 86_400),
    ] {
        let found: String = redis.run(&["TYPE", key]);
        assert_eq!(found, kind, "{key}");
        let life: i64 = redis.run(&["TTL", key]);
        let good = if longest > 0 { 1..=longest } else { -1..=-1 };
        assert!(good.contains(&life), "{key}: {life}");
    }
    let keys: BTreeSet<String> = redis.run(&["KEYS", "*horizon*"]);
    assert_eq!(keys.len(), 7, "no others: {keys:?}");
    skyring.finish();
}

/// Thunder alerts when the key is missing, and an idle Horizon is none that is down.
#[test]
fn the_heartbeat_comes_without_traffic_and_comes_back() {
    let redis = Redis::start();
    let skyring = plan(&redis).start();
    for _ in 0..2 {
        let life = eventually("the heartbeat was there", || {
            let life: i64 = redis.run(&["TTL", "horizon"]);
            holds(life > 0, || format!("{life}"))?;
            Ok(life)
        });
        assert!(life <= 120, "{life}");
        let _: u32 = redis.run(&["DEL", "horizon"]);
    }
    let none: u32 = redis.run(&["EXISTS", RECEIVED, COUNT, CHECKED, SKIP, DO_NOT_SKIP]);
    assert_eq!(none, 0, "nothing was received");
    skyring.finish();
}

/// The set holds what is received, not what once was: by this process or by another.
#[test]
fn names_that_come_no_more_leave_the_set() {
    let redis = Redis::start();
    let _: u32 = redis.run(&["SADD", RECEIVED, "former.a", "former.b", "stays"]);
    let skyring = plan(&redis).start();
    let stream = Stream::new(&skyring, 2);
    stream.send_until(&["stays", "goes"], "the former names were gone", || {
        all_of(
            vec![members(&redis, RECEIVED)],
            vec![set(&["goes", "stays"])],
        )
    });
    stream.send_until(&["stays"], "the silent name was gone", || {
        all_of(vec![members(&redis, RECEIVED)], vec![set(&["stays"])])
    });
    eventually("silence emptied the set", || {
        all_of(vec![members(&redis, RECEIVED)], vec![set(&[])])
    });
    assert!(
        fields(&redis, DO_NOT_SKIP).is_superset(&set(&["goes", "stays"])),
        "verdicts stay"
    );
    skyring.finish();
}

/// Points of the metric that were stored and that were skipped so far.
fn fate(skyring: &Skyring, redis: &Redis, name: &str) -> (usize, u64) {
    let counts = skyring.wait_for("settled", |counts| counts.in_flight == 0);
    let skipped = counts.dropped.get("skipped").copied().unwrap_or(0);
    (redis.series(name).len() / 19, skipped)
}

/// Waits until a point of this metric is stored, or skipped.
fn wait_until_treated(skyring: &Skyring, redis: &Redis, name: &str, is_stored: bool) {
    let stream = Stream::new(skyring, 1);
    eventually(&format!("{name} was stored: {is_stored}"), || {
        let before = fate(skyring, redis, name);
        let received = skyring.counts().received;
        stream.send(&[name]);
        skyring.wait_for("received", |counts| counts.received == received + 1);
        let after = fate(skyring, redis, name);
        let wanted = if is_stored {
            (before.0 + 1, before.1)
        } else {
            (before.0, before.1 + 1)
        };
        holds(after == wanted, || format!("{before:?} to {after:?}"))
    });
}

/// Python's metrics_manager and operators move names between the hashes. That is
/// honoured, stays as they left it through passes and a restart, and can be undone.
#[test]
fn edits_of_the_hashes_are_honoured_and_survive() {
    let redis = Redis::start();
    let plan = plan(&redis);
    let (out, in_) = ("edited.out", "skyline.mirage.edited.in");
    let mut skyring = plan.start();
    wait_until_treated(&skyring, &redis, out, true);
    wait_until_treated(&skyring, &redis, in_, false);
    eventually("both stood in the hashes", || {
        all_of(
            vec![fields(&redis, SKIP), fields(&redis, DO_NOT_SKIP)],
            vec![set(&[in_]), set(&[out])],
        )
    });
    for (from, to, name) in [(DO_NOT_SKIP, SKIP, out), (SKIP, DO_NOT_SKIP, in_)] {
        let _: u32 = redis.run(&["HDEL", from, name]);
        let _: u32 = redis.run(&["HSET", to, name, "1"]);
    }
    for _ in 0..2 {
        wait_until_treated(&skyring, &redis, out, false);
        wait_until_treated(&skyring, &redis, in_, true);
        wait_for_passes(&redis, 3);
        assert_eq!(fields(&redis, SKIP), set(&[out]));
        assert_eq!(fields(&redis, DO_NOT_SKIP), set(&[in_]));
        skyring.finish();
        skyring = plan.start();
    }
    let _: u32 = redis.run(&["HDEL", SKIP, out]);
    let _: u32 = redis.run(&["HDEL", DO_NOT_SKIP, in_]);
    wait_until_treated(&skyring, &redis, out, true);
    wait_until_treated(&skyring, &redis, in_, false);
    let stream = Stream::new(&skyring, 1);
    stream.send_until(&[out, in_], "both were back in their places", || {
        all_of(
            vec![fields(&redis, SKIP), fields(&redis, DO_NOT_SKIP)],
            vec![set(&[in_]), set(&[out])],
        )
    });
    skyring.finish();
}

/// Puts so many names into a hash, and returns them.
fn edit_many(redis: &Redis, key: &str, count: usize) -> Vec<String> {
    let names: Vec<String> = (0..count).map(|at| format!("edited.m{at}")).collect();
    for names in names.chunks(1_000) {
        let pairs = names.iter().flat_map(|name| [name.as_str(), "1"]);
        let words: Vec<&str> = ["HSET", key].into_iter().chain(pairs).collect();
        let _: u32 = redis.run(&words);
    }
    names
}

/// Edits hold from the first point on, however many there are.
#[test]
fn edits_hold_before_the_first_point_is_taken() {
    let redis = Redis::start();
    let names = edit_many(&redis, SKIP, 50_000);
    let skyring = Plan::with(&redis).start();
    let mut sender = Sender::connect(&skyring.pickle());
    let now = now_s() as f64;
    for names in names.chunks(1_000) {
        let points: Vec<(&str, f64, f64)> =
            names.iter().map(|name| (name.as_str(), now, 1.0)).collect();
        sender.send(&frame(&points));
    }
    let counts = skyring.wait_until_settled(names.len() as u64);
    let skipped = [("skipped".to_owned(), names.len() as u64)];
    assert_eq!(counts.dropped, skipped.into());
    assert!(redis.keys().is_empty());
    skyring.finish();
}

/// A server that started without Redis reads the edits when Redis comes, and does
/// not leave that to the second pass, which begins after a minute.
#[test]
fn edits_hold_as_soon_as_redis_is_there() {
    let mut redis = Redis::durable();
    let edited = "edited.out";
    let _: u32 = redis.run(&["HSET", SKIP, edited, "1"]);
    redis.crash();
    let mut skyring = Plan::with(&redis).spawn();
    eventually("it goes on without Redis", || {
        let text = skyring.process.stderr();
        let is_tried = text.contains("side keys: Redis failed");
        holds(is_tried, || text.clone())
    });
    redis.launch();
    skyring.wait_until_ready();
    wait_until_treated(&skyring, &redis, edited, false);
    let uptime_s = skyring.status()["uptime_s"].as_u64().unwrap();
    assert!(uptime_s < 55, "only the second pass read them");
    skyring.finish();
}

/// What Skyring wrote under other lists is no edit: new lists hold at once, for
/// known names too, while edits stay.
#[test]
fn other_lists_after_a_restart_or_a_reload_hold_for_known_names() {
    let redis = Redis::start();
    let plan = plan(&redis).set("horizon.skip", "[\"old.\"]");
    let skyring = plan.start();
    let names = ["old.a", "new.b", "plain.c", "edited.d"];
    let stream = Stream::new(&skyring, 2);
    stream.send_until(&names, "the hashes were written", || {
        all_of(
            vec![fields(&redis, SKIP), fields(&redis, DO_NOT_SKIP)],
            vec![set(&["old.a"]), set(&["edited.d", "new.b", "plain.c"])],
        )
    });
    let _: u32 = redis.run(&["HDEL", DO_NOT_SKIP, "edited.d"]);
    let _: u32 = redis.run(&["HSET", SKIP, "edited.d", "1"]);
    wait_until_treated(&skyring, &redis, "edited.d", false);
    skyring.finish();

    let plan = plan.set("horizon.skip", "[\"new.\"]");
    let mut skyring = plan.start();
    wait_until_treated(&skyring, &redis, "old.a", true);
    wait_until_treated(&skyring, &redis, "new.b", false);
    wait_until_treated(&skyring, &redis, "edited.d", false);
    let stream = Stream::new(&skyring, 2);
    stream.send_until(&names, "the hashes agreed with the new lists", || {
        all_of(
            vec![fields(&redis, SKIP), fields(&redis, DO_NOT_SKIP)],
            vec![set(&["edited.d", "new.b"]), set(&["old.a", "plain.c"])],
        )
    });

    plan.set("horizon.skip", "[\"plain.\"]").file();
    skyring.process.signal(Signal::HUP);
    wait_until_treated(&skyring, &redis, "plain.c", false);
    wait_until_treated(&skyring, &redis, "new.b", true);
    stream.send_until(&names, "the hashes agreed with the reloaded lists", || {
        all_of(
            vec![fields(&redis, SKIP), fields(&redis, DO_NOT_SKIP)],
            vec![set(&["edited.d", "plain.c"]), set(&["new.b", "old.a"])],
        )
    });
    skyring.finish();
}

/// Adler-32 of these names is 0, 2 and 1 modulo 3, and 0 modulo 2, as Python's zlib
/// has it.
#[test]
fn the_shard_sets_follow_the_table() {
    let redis = Redis::start();
    let plan = plan(&redis)
        .set("cluster.node", "\"one\"")
        .set("cluster.shard_pickle", "[\"127.0.0.1:0\"]")
        .set("flux.listen", "[]")
        .set("cluster.shards", "{ one = 0, two = 1, three = 2 }");
    let mut skyring = plan.start();
    let names = ["a.b", "stats.web01.cpu.user", "vista.app1.requests"];
    let stream = Stream::new(&skyring, 2);
    stream.send_until(&names, "the sets were written", || {
        let ours = || set(&names[..1]);
        all_of(
            vec![
                members(&redis, ASSIGNED),
                members(&redis, DROPPED),
                fields(&redis, DO_NOT_SKIP),
                members(&redis, CHECKED),
                members(&redis, RECEIVED),
            ],
            vec![ours(), set(&names[1..]), ours(), ours(), set(&names)],
        )
    });
    for (table, ours, others) in [
        ("{ one = 0, two = 1 }", &names[..], &names[..0]),
        ("{ two = 0, one = 1 }", &names[..0], &names[..]),
    ] {
        plan.clone().set("cluster.shards", table).file();
        skyring.process.signal(Signal::HUP);
        stream.send_until(&names, "names moved between the sets", || {
            all_of(
                vec![members(&redis, ASSIGNED), members(&redis, DROPPED)],
                vec![set(ours), set(others)],
            )
        });
    }
    let life: i64 = redis.run(&["TTL", DROPPED]);
    assert_eq!(life, -1);
    skyring.finish();
}

/// A reload of a faulty file is told as an error.
#[test]
fn logged_errors_are_counted() {
    let redis = Redis::start();
    let plan = plan(&redis);
    let mut skyring = plan.start();
    plan.set("horizon.linger_us", -1).file();
    skyring.process.signal(Signal::HUP);
    let key = "horizon.log.errors.per_minute";
    eventually("the error was counted", || {
        let count: Option<u64> = redis.run(&["GET", key]);
        holds(count >= Some(1), || format!("{count:?}"))
    });
    let life: i64 = redis.run(&["TTL", key]);
    assert!((1..=119).contains(&life), "{life}");
    skyring.finish();
}

/// What other programs remove, or a Redis without its file loses, is written again.
#[test]
fn an_emptied_redis_is_filled_again() {
    let mut redis = Redis::start();
    let skyring = plan(&redis).start();
    let names = ["again.a", "skyline.mirage.b"];
    let stream = Stream::new(&skyring, 2);
    for is_crash in [false, true, false] {
        stream.send_until(&names, "the keys were there", || {
            keys_hold(
                &redis,
                [set(&names), set(&names), set(&names[1..]), set(&names[..1])],
            )
        });
        if is_crash {
            redis.crash();
            redis.launch();
        } else {
            let _: String = redis.run(&["FLUSHALL"]);
        }
    }
    skyring.finish();
}

/// What MONITOR shows of the side keys' commands: how many, and the most words that
/// one had.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    commands: u64,
    words_max: usize,
}

/// Redis does one command at a time, and a relay that waits for it loses points.
#[test]
fn a_hundred_thousand_names_take_many_small_commands() {
    const NAMES: usize = 100_500;
    let redis = Redis::start();
    let skyring = plan(&redis).start();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let is_over = Arc::new(AtomicBool::new(false));
    let mut monitor = UnixStream::connect(redis.socket()).unwrap();
    monitor.write_all(b"MONITOR\r\n").unwrap();
    let watcher = {
        let (seen, is_over) = (Arc::clone(&seen), Arc::clone(&is_over));
        std::thread::spawn(move || {
            for line in BufReader::new(monitor).lines() {
                let line = line.unwrap_or_default();
                if line.contains("\"horizon.") || line.contains("\"aet.horizon.") {
                    let mut seen = seen.lock().unwrap();
                    seen.commands += 1;
                    // The time and the client come first, then command and key.
                    let words = line.split('"').count() / 2;
                    seen.words_max = seen.words_max.max(words);
                }
                if is_over.load(Ordering::Acquire) {
                    return;
                }
            }
        })
    };
    let names: Vec<String> = (0..NAMES).map(|at| format!("many.host{at}.cpu")).collect();
    let mut sender = Sender::connect(&skyring.pickle());
    let stored = |redis: &Redis| {
        let sizes: Vec<usize> = vec![
            redis.run(&["SCARD", RECEIVED]),
            redis.run(&["SCARD", CHECKED]),
            redis.run(&["HLEN", DO_NOT_SKIP]),
        ];
        sizes
    };
    eventually("all names were in the keys", || {
        let now = now_s() as f64;
        for names in names.chunks(1000) {
            let points: Vec<(&str, f64, f64)> =
                names.iter().map(|name| (name.as_str(), now, 1.0)).collect();
            sender.send(&frame(&points));
        }
        all_of(stored(&redis), vec![NAMES; 3])
    });
    is_over.store(true, Ordering::Release);
    let _: String = redis.run(&["PING"]);
    watcher.join().unwrap();
    let seen = *seen.lock().unwrap();
    assert!(seen.commands > 600, "{seen:?}");
    // 500 members, or 500 names with their times.
    assert!((500..=1002).contains(&seen.words_max), "{seen:?}");
    skyring.finish();
}

/// The end of the server does not wait for a Redis that does not answer the side
/// keys. No points are under way, so there is nothing that it must wait for.
#[test]
fn the_end_does_not_wait_for_side_keys() {
    let mut redis = Redis::start();
    let skyring = plan(&redis).start();
    eventually("a pass was made", || {
        let beat: u32 = redis.run(&["EXISTS", "horizon"]);
        holds(beat == 1, || "no heartbeat".to_owned())
    });
    redis.signal(Signal::STOP);
    let code = skyring.end(Signal::TERM);
    redis.signal(Signal::CONT);
    assert_eq!(code, 0);
}
