//! When nothing is written and nothing is due, nothing is done; and what is due is not
//! due everywhere at once.

use super::clock::{MINUTE_S, START_S, World, point};
use super::*;

/// A world in which nothing is left to do: a pass that changes something needs one more,
/// which sees that nothing has changed.
fn calm(sets: &[&str]) -> World {
    let mut world = World::new(sets);
    for name in ["a", "b", "c"] {
        let points = [0, 60, 120].map(|at| point(START_S + at)).concat();
        put(&world.redis, &format!("metrics.{name}"), &points);
    }
    assert!(!world.may_rest(START_S), "not without a pass");
    for _ in 0..2 {
        world.pass(START_S).unwrap();
    }
    assert!(world.may_rest(START_S));
    world
}

/// One question instead of a look at every series.
#[test]
fn a_pass_is_left_out_only_while_nobody_writes() {
    let mut world = calm(&[]);
    let before = (world.redis.calls("sscan"), world.redis.calls("getrange"));
    for minute in 0..50 {
        assert!(world.may_rest(START_S + minute * MINUTE_S));
    }
    let after = (world.redis.calls("sscan"), world.redis.calls("getrange"));
    assert_eq!(before, after);
    let deeds = &world.trimmer.deeds;
    assert_eq!((deeds.passes, deeds.rests, deeds.members), (53, 51, 3));
    // Anything that anybody does wakes it, whether or not it has to do with series.
    let deeds: [&[&str]; 5] = [
        &["APPEND", "metrics.a", "x"],
        &["SADD", SET, "metrics.new"],
        &["DEL", "metrics.b"],
        &["SET", "elsewhere", "1"],
        &["FLUSHALL"],
    ];
    for deed in deeds {
        let _: redis::Value = world.redis.run(deed);
        assert!(!world.may_rest(START_S), "{deed:?}");
        assert!(!world.may_rest(START_S), "{deed:?}: not without a pass");
        for _ in 0..2 {
            world.pass(START_S).unwrap();
        }
        assert!(world.may_rest(START_S), "{deed:?}");
    }
}

/// A key with a time to live goes without any command.
#[test]
fn a_series_that_expires_is_noticed() {
    let mut world = World::new(&[]);
    put(&world.redis, "metrics.a", &point(START_S));
    put(&world.redis, "metrics.b", &point(START_S));
    let _: u32 = world.redis.run(&["PEXPIRE", "metrics.b", "700"]);
    eventually("it was noticed", || {
        if !world.may_rest(START_S) {
            world.pass(START_S).unwrap();
        }
        let members = world.redis.members();
        holds(members == ["a".to_owned()].into(), || {
            format!("{members:?}")
        })
    });
}

/// Time alone makes something due: the oldest record of what is known, and what is not
/// known within the time that old records may wait.
#[test]
fn a_pass_is_made_when_something_may_be_due() {
    let mut world = calm(&["redis.full_duration_s=60", "roomba.grace_s=0"]);
    assert!(world.may_rest(START_S + 59));
    assert!(!world.may_rest(START_S + 60));
    world.pass(START_S + 60).unwrap();
    assert_eq!(world.seconds("a"), [START_S + 60, START_S + 120]);
    let mut world = calm(&[]);
    let in_a_day = START_S + 86_400;
    assert!(world.may_rest(in_a_day));
    put(&world.redis, "metrics.empty", b"");
    world.pass(START_S).unwrap();
    assert!(world.may_rest(START_S + 532));
    assert!(!world.may_rest(START_S + 533));
}

/// A Redis that may not be asked is passed over each time.
#[test]
fn a_redis_that_tells_nothing_of_itself_is_trimmed_all_the_same() {
    let mut world = calm(&[]);
    let _: String = world.redis.run(&["ACL", "SETUSER", "default", "-info"]);
    put(
        &world.redis,
        "metrics.d",
        &[point(START_S), point(START_S)].concat(),
    );
    for _ in 0..3 {
        assert!(!world.may_rest(START_S));
        world.pass(START_S).unwrap();
    }
    assert_eq!(world.seconds("d"), [START_S]);
}

/// The running server does the same, and wakes up.
#[test]
fn an_idle_server_does_not_look_at_the_series() {
    let redis = Redis::start();
    put(&redis, "metrics.a", &records(&[0, 60]));
    let skyring = trimming(&redis).start();
    eventually("it rests", || {
        let rests = count(&skyring, "rests");
        holds(rests >= 2, || format!("{rests}"))
    });
    let before = (redis.calls("sscan"), count(&skyring, "passes"));
    wait_for_passes(&skyring, 2);
    assert_eq!(redis.calls("sscan"), before.0);
    append(&redis, "metrics.a", &records(&[30]));
    eventually("what came late was put in order", || {
        let seen = redis.series("a");
        let values = crate::fixture::sender::values_of(&seen, "a");
        holds(values == [0.0, 30.0, 60.0], || format!("{values:?}"))
    });
    skyring.finish();
}

/// Series that have all begun together, as after an installation, are not all cut by the
/// same pass for ever, and a new server goes on in the rhythm of the one before.
#[test]
fn series_that_began_together_are_not_cut_together() {
    let mut world = World::new(&["redis.full_duration_s=600"]);
    let names: Vec<String> = (0..200).map(|at| format!("together.{at}")).collect();
    for name in &names {
        put(&world.redis, &format!("metrics.{name}"), b"");
    }
    let mut cuts = Vec::new();
    for minute in 0..45 {
        let now_s = START_S + minute * MINUTE_S;
        for name in &names {
            world.feeder.append(&world.redis, name, &point(now_s));
        }
        let before = world.trimmer.deeds.cut;
        world.pass(now_s).unwrap();
        cuts.push(world.trimmer.deeds.cut - before);
        if minute == 40 {
            world.restart();
        }
    }
    // The first points are too old after twenty minutes; then each series is cut once in
    // every nine or ten.
    assert_eq!(cuts[..20].iter().sum::<u64>(), 0, "{cuts:?}");
    assert!(cuts[21..].iter().all(|cut| *cut < 40), "{cuts:?}");
    assert_eq!(cuts[21..41].iter().sum::<u64>(), 2 * 200, "{cuts:?}");
}
