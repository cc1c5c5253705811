//! Redis is away, flushed, full or read-only in the middle of passes: nothing is ever
//! removed for that, and all is well once Redis is.

use super::*;

/// Something of each kind that a pass has to do, without changing what must be left:
/// old records, disorder, duplicates and broken bytes in series of `good` records.
fn spoil(redis: &Redis, round: i64) {
    for metric in 0..30_i64 {
        let name = format!("metrics.fault.{metric}");
        let at = 10 * (30 * round + metric);
        let mut bytes = records(&[-9000 - at, at + 5]);
        if metric % 3 == 0 {
            bytes.extend(b"\xc1");
        }
        if metric % 5 == 0 {
            bytes.extend(records(&[-8000 - at]));
        }
        append(redis, &name, &bytes);
        let _: u32 = redis.run(&["SADD", SET, &name]);
    }
}

/// Old records in each series, and at the same moment a state of Redis that begins with
/// this command: whatever trims them meets it.
fn spoil_under(redis: &Redis, command: &[&str]) {
    let mut both = redis::pipe();
    for metric in 0..30 {
        let key = format!("metrics.fault.{metric}");
        both.cmd("APPEND").arg(key).arg(records(&[-9000])).ignore();
    }
    both.cmd(command[0]).arg(&command[1..]).ignore();
    both.atomic().query::<()>(&mut redis.connection()).unwrap();
}

/// The values, which are offsets, of each series.
fn good(redis: &Redis, rounds: i64) -> Result<(), String> {
    for metric in 0..30_i64 {
        let name = format!("fault.{metric}");
        let wanted: Vec<f64> = (0..rounds)
            .map(|round| (10 * (30 * round + metric) + 5) as f64)
            .collect();
        let series = redis.series(&name);
        holds(series.len().is_multiple_of(19), || {
            format!("{name} is broken")
        })?;
        let seen = crate::fixture::sender::values_of(&series, &name);
        holds(seen == wanted, || format!("{name}: {seen:?}"))?;
    }
    Ok(())
}

/// Whether every good point is somewhere in Redis at this moment.
fn assert_nothing_is_lost(redis: &Redis, rounds: i64) {
    for metric in 0..30_i64 {
        let series = redis.series(&format!("fault.{metric}"));
        for round in 0..rounds {
            let value = (10 * (30 * round + metric) + 5) as f64;
            let value = value.to_be_bytes();
            let is_there = series.windows(8).any(|bytes| bytes == value);
            assert!(is_there, "metric {metric} of round {round}");
        }
    }
}

#[test]
fn flushed_scripts_and_cut_connections_during_passes() {
    let redis = Redis::start();
    let skyring = trimming(&redis).start();
    let rounds = 12;
    for round in 0..rounds {
        spoil(&redis, round);
        let _: String = redis.run(&["SCRIPT", "FLUSH"]);
        let _: u32 = redis.run(&["CLIENT", "KILL", "TYPE", "normal"]);
        let looks = redis.calls("getrange");
        eventually("a pass has begun", || {
            holds(redis.calls("getrange") > looks, || "no".to_owned())
        });
        assert_nothing_is_lost(&redis, round + 1);
    }
    eventually("all was well", || good(&redis, rounds));
    wait_for_passes(&skyring, 1);
    assert_eq!(roomba(&skyring)["error"], "");
    assert_eq!(count(&skyring, "removed") + count(&skyring, "ghosts"), 0);
    assert!(count(&skyring, "quarantined") >= 10);
    skyring.finish();
}

/// Only trimming makes room in a Redis that is full.
#[test]
fn a_full_redis_is_trimmed() {
    let redis = Redis::start();
    let skyring = trimming(&redis).start();
    spoil(&redis, 0);
    eventually("all was well", || good(&redis, 1));
    spoil_under(&redis, &["CONFIG", "SET", "maxmemory", "1"]);
    eventually("all was well in a full Redis", || good(&redis, 1));
    let _: String = redis.run(&["CONFIG", "SET", "maxmemory", "0"]);
    skyring.finish();
}

/// What Redis refuses for a time is told, and done afterwards.
#[test]
fn a_read_only_redis_loses_nothing() {
    let redis = Redis::start();
    let skyring = trimming(&redis).start();
    spoil(&redis, 0);
    eventually("all was well", || good(&redis, 1));
    spoil_under(&redis, &["REPLICAOF", "127.0.0.1", "1"]);
    eventually("it was told", || {
        let status = roomba(&skyring);
        let error = status["error"].as_str().unwrap().to_owned();
        holds(error.contains("read only"), || status.to_string())
    });
    let page = skyring.get("/metrics").body;
    assert!(page.contains("skyring_roomba_failing 1"), "{page}");
    assert_nothing_is_lost(&redis, 1);
    let _: String = redis.run(&["REPLICAOF", "NO", "ONE"]);
    eventually("all was well again", || good(&redis, 1));
    eventually("nothing was wrong any more", || {
        let status = roomba(&skyring);
        holds(status["error"] == "", || status.to_string())
    });
    assert_eq!(count(&skyring, "removed") + count(&skyring, "ghosts"), 0);
    skyring.finish();
}

/// Killed, and back with what was on disk.
#[test]
fn a_redis_that_is_restarted_finds_its_series_trimmed() {
    let mut redis = Redis::durable();
    let skyring = trimming(&redis).start();
    let mut rounds = 0;
    for _ in 0..3 {
        spoil(&redis, rounds);
        redis.crash();
        eventually("it was told", || {
            let status = roomba(&skyring);
            holds(status["error"] != "", || status.to_string())
        });
        redis.launch();
        rounds += 1;
        assert_nothing_is_lost(&redis, rounds);
        eventually("all was well", || good(&redis, rounds));
    }
    assert_eq!(count(&skyring, "removed") + count(&skyring, "ghosts"), 0);
    skyring.finish();
}
