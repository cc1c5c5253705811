//! Due series are cut by scripts or carried through the socket, and who writes them is
//! told; whose names nobody tells, Redis is asked for.

use super::clock::{MINUTE_S, Proxy, START_S, World, point};
use super::*;

/// Keeps series for a minute, and cuts them with the first pass that may.
const SETS: [&str; 2] = ["redis.full_duration_s=60", "roomba.grace_s=0"];

/// Series of three points each, of which the first is due a minute after the start, seen
/// once.
fn seen(names: &[&str]) -> World {
    let mut world = World::new(&SETS);
    for name in names {
        let points = [0, 30, 60].map(|at| point(START_S + at)).concat();
        put(&world.redis, &format!("metrics.{name}"), b"");
        world.feeder.append(&world.redis, name, &points);
    }
    world.pass(START_S).unwrap();
    world
}

fn seconds(offsets: &[i64]) -> Vec<i64> {
    offsets.iter().map(|at| START_S + at).collect()
}

/// The result is the same either way; a long series, or with a Redis elsewhere any, goes
/// no way but by a script.
#[test]
fn a_part_of_what_is_due_is_carried() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
    let mut world = seen(&names);
    let sets = world.redis.calls("set");
    world.pass(START_S + 75).unwrap();
    for name in names {
        assert_eq!(world.seconds(name), seconds(&[30, 60]), "{name}");
    }
    let deeds = &world.trimmer.deeds;
    assert_eq!((deeds.cut, deeds.carried, deeds.read_whole), (9, 5, 9));
    assert_eq!(world.redis.calls("set"), sets + 4);
    assert_eq!(world.redis.calls("mset"), 1);
    assert_eq!(world.redis.calls("evalsha"), 1);
    let trims: BTreeMap<String, i64> = world.redis.run(&["HGETALL", TRIMS]);
    assert_eq!(trims.len(), 9);
    let mut world = seen(&names);
    world.trimmer.carries = false;
    world.pass(START_S + 75).unwrap();
    let deeds = &world.trimmer.deeds;
    assert_eq!((deeds.cut, deeds.carried), (9, 0));
    let mut world = World::new(&SETS);
    let long: Vec<u8> = (0..20_000).flat_map(|at| point(START_S + at)).collect();
    put(&world.redis, "metrics.long", &long);
    world.pass(START_S).unwrap();
    world.pass(START_S + 75).unwrap();
    assert_eq!(world.seconds("long").first(), Some(&(START_S + 16)));
    let deeds = &world.trimmer.deeds;
    assert_eq!((deeds.cut, deeds.carried), (1, 0));
}

/// A series that somebody has given a time to live keeps it, whichever way it goes.
#[test]
fn a_time_to_live_is_kept() {
    for carries in [true, false] {
        let mut world = seen(&["a", "b"]);
        world.trimmer.carries = carries;
        let _: u32 = world.redis.run(&["EXPIRE", "metrics.a", "1000"]);
        world.pass(START_S + 75).unwrap();
        let left: Vec<i64> = ["metrics.a", "metrics.b"]
            .map(|key| world.redis.run(&["TTL", key]))
            .into();
        assert!((1..=1000).contains(&left[0]), "{left:?}");
        assert_eq!(left[1], -1);
        for name in ["a", "b"] {
            assert_eq!(world.seconds(name), seconds(&[30, 60]), "{name}");
        }
        assert_eq!(world.trimmer.deeds.carried, u64::from(carries));
    }
}

/// Between the look and the change another program appends to one of the series, replaces
/// another and removes a third: what it did stays done, and the rest is cut as well.
#[test]
fn what_is_carried_overwrites_nothing() {
    let mut world = seen(&["a", "b", "c"]);
    let proxy = Proxy::start(&world.redis);
    world.trimmer.reconnect(proxy.connect()).unwrap();
    let mut other = world.redis.connection();
    proxy.before_next("MULTI", move || {
        let mut pipe = redis::pipe();
        pipe.cmd("APPEND")
            .arg("metrics.a")
            .arg(point(START_S + 70))
            .cmd("SET")
            .arg("metrics.b")
            .arg(point(START_S + 71))
            .cmd("DEL")
            .arg("metrics.c");
        pipe.exec(&mut other).unwrap();
    });
    world.pass(START_S + 75).unwrap();
    assert_eq!(world.seconds("a"), seconds(&[30, 60, 70]));
    assert_eq!(world.seconds("b"), seconds(&[71]));
    assert!(world.seconds("c").is_empty());
    let deeds = &world.trimmer.deeds;
    assert_eq!((deeds.cut, deeds.carried, deeds.ghosts), (1, 0, 1));
    // Undisturbed, what is known of them is right again.
    for name in ["a", "b"] {
        world
            .feeder
            .append(&world.redis, name, &point(START_S + 100));
    }
    world.pass(START_S + 125).unwrap();
    assert_eq!(world.seconds("a"), seconds(&[70, 100]));
    assert_eq!(world.seconds("b"), seconds(&[71, 100]));
}

/// A Redis that is full refuses to be written to, but not to be trimmed; and one whose
/// user may not watch anything is trimmed by scripts alone.
#[test]
fn what_may_not_be_carried_is_cut_by_scripts() {
    let faults: [&[&str]; 2] = [
        &["CONFIG", "SET", "maxmemory", "1"],
        &["ACL", "SETUSER", "default", "-watch"],
    ];
    for fault in faults {
        let mut world = seen(&["a", "b", "c"]);
        let _: String = world.redis.run(fault);
        world.pass(START_S + 75).unwrap();
        for name in ["a", "b", "c"] {
            assert_eq!(world.seconds(name), seconds(&[30, 60]), "{fault:?} {name}");
        }
        let deeds = &world.trimmer.deeds;
        assert_eq!((deeds.cut, deeds.carried), (3, 0), "{fault:?}");
    }
}

/// Who feeds the series tells their names; Redis is asked for its members only once a
/// while, or when it has more of them, or others are known.
#[test]
fn members_that_nobody_here_feeds_are_found() {
    let mut world = seen(&["a", "b"]);
    let mut asked = Vec::new();
    for pass in 1..=61 {
        let before = world.redis.calls("sscan");
        world.pass(START_S).unwrap();
        asked.push(world.redis.calls("sscan") - before);
        let is_turn = pass == 60;
        assert_eq!(asked.last(), Some(&u64::from(is_turn)), "{asked:?}");
    }
    // One more, out of order.
    put(
        &world.redis,
        "metrics.c",
        &[point(START_S + 60), point(START_S)].concat(),
    );
    world.pass(START_S).unwrap();
    assert_eq!(world.seconds("c"), seconds(&[0, 60]));
    // As many as are told, but others.
    let _: u32 = world.redis.run(&["SREM", SET, "metrics.b"]);
    append(&world.redis, "metrics.c", &point(START_S + 30));
    world.pass(START_S).unwrap();
    assert_eq!(world.seconds("c"), seconds(&[0, 30, 60]));
    assert_eq!(world.trimmer.deeds.members, 3);
}

/// The shards of a running server tell the names of what they feed.
#[test]
fn a_server_whose_shards_know_all_members_does_not_ask_redis_for_them() {
    let redis = Redis::start();
    let skyring = trimming(&redis).start();
    let metrics = ["a", "b", "c"].map(str::to_owned).to_vec();
    let stream = Stream::start(&skyring, "pickle", &skyring.pickle(), metrics);
    eventually("the metrics were known", || {
        let members = redis.members();
        holds(members.len() == 3, || format!("{members:?}"))
    });
    wait_for_passes(&skyring, 1);
    let before = redis.calls("sscan");
    wait_for_passes(&skyring, 3);
    assert_eq!(redis.calls("sscan"), before);
    assert_eq!(count(&skyring, "members"), 3);
    // One that nobody told.
    let _: u32 = redis.run(&["SADD", SET, "metrics.ghost"]);
    eventually("it was found", || {
        let members = redis.members();
        holds(members.len() == 3, || format!("{members:?}"))
    });
    stream.stop();
    skyring.finish();
}

/// A pass that is broken off has seen some series, which the next must not leave out.
#[test]
fn what_a_broken_off_pass_has_seen_is_seen_again() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
    let mut world = seen(&names);
    // Another program writes something late, and the feeder what shows it.
    let write = |world: &World, late: i64, new: i64| {
        for name in names {
            let key = format!("metrics.{name}");
            append(&world.redis, &key, &point(START_S + late));
            let new = point(START_S + new);
            world.feeder.append(&world.redis, name, &new);
        }
    };
    write(&world, 10, 90);
    world.feeder.stop_at_next.set(true);
    let stopped = world.pass(START_S);
    assert!(matches!(stopped, Err(PassError::Stopped)), "{stopped:?}");
    write(&world, 20, 100);
    world.pass(START_S).unwrap();
    for name in names {
        let wanted = seconds(&[0, 10, 20, 30, 60, 90, 100]);
        assert_eq!(world.seconds(name), wanted, "{name}");
    }
}

/// Who feeds a series and is told of each cut hears nothing that would need a look.
#[test]
fn a_cut_is_no_reason_for_doubt() {
    let mut world = seen(&["a", "b", "c", "d", "e", "f", "g", "h"]);
    world.pass(START_S + 75).unwrap();
    let reads = |world: &World| world.redis.calls("getrange");
    let before = reads(&world);
    for name in ["a", "h"] {
        world
            .feeder
            .append(&world.redis, name, &point(START_S + 80));
    }
    world.pass(START_S + 80).unwrap();
    // Nobody has heard anything of the others meanwhile.
    assert_eq!(reads(&world) - before, 6);
}

/// Passes that are late again and again look ahead by as much.
#[test]
fn late_passes_leave_nothing_longer_than_twice_the_grace() {
    let mut world = World::new(&["redis.full_duration_s=600"]);
    let names: Vec<String> = (0..20).map(|at| format!("late.{at}")).collect();
    for name in &names {
        put(&world.redis, &format!("metrics.{name}"), b"");
    }
    for minute in 0..120 {
        let now_s = START_S + minute * MINUTE_S;
        for (at, name) in names.iter().enumerate() {
            let point = point(now_s + at as i64);
            world.feeder.append(&world.redis, name, &point);
        }
        for name in &names {
            let oldest_s = now_s - 600 - 2 * 600;
            let seen = world.seconds(name)[0];
            assert!(seen > oldest_s, "minute {minute}, {name}: {}", now_s - seen);
        }
        // Every second one is left out.
        if minute % 2 == 0 {
            world.pass(now_s).unwrap();
        }
    }
    assert!(world.trimmer.deeds.cut > 20 * 8);
}
