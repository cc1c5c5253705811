//! Redis dies, sleeps, is full, is loading, or holds something else.

use std::time::Duration;

use rustix::process::Signal;

use crate::fixture::redis::{Plan as RedisPlan, Redis};
use crate::fixture::sender::{Load, Sender, frame, values_of};
use crate::fixture::skyring::{Plan, Skyring};
use crate::fixture::{eventually, holds, now_s};

const MIB: u64 = 1 << 20;

/// Small enough bounds that a test fills them quickly.
fn bounded(redis: &Redis) -> Plan {
    Plan::with(redis)
        .set("horizon.frame_bytes_max", MIB)
        .set("horizon.buffer_bytes_max", 8 * MIB)
}

fn wait_until_unready(skyring: &Skyring) -> String {
    eventually("/readyz was 503", || {
        let answer = skyring.get("/readyz");
        holds(answer.code == 503, || answer.body.clone())?;
        Ok(answer.body)
    })
}

fn wait_until_ready(skyring: &Skyring) {
    eventually("/readyz was 200", || {
        let answer = skyring.get("/readyz");
        holds(answer.code == 200, || answer.body)
    });
}

/// Killed and restarted twice under load, by a Redis that has on disk whatever
/// it has answered, and that answers LOADING for a while when it comes back:
/// nothing is missing, order is kept, each point is counted once.
#[test]
fn redis_killed_twice_under_load_and_slow_to_load() {
    let mut redis = Redis::durable();
    // Loading these takes some seconds, in which LOADING is answered.
    let mut fill = redis::pipe();
    for at in 0..8_000 {
        fill.cmd("SET").arg(format!("filler{at}")).arg("x").ignore();
    }
    fill.query::<()>(&mut redis.connection()).unwrap();
    redis.set_option("key-load-delay 250");
    redis.set_option("loading-process-events-interval-bytes 1024");

    let skyring = bounded(&redis).start();
    let load = Load::endless(&skyring, 4, 50, Duration::from_millis(2));
    for _ in 0..2 {
        load.wait_for_more(10_000);
        redis.crash();
        wait_until_unready(&skyring);
        redis.spawn();
        redis.wait_until_loaded();
        wait_until_ready(&skyring);
        load.wait_for_more(10_000);
    }
    let sent = load.stop_stored(&skyring);
    sent.assert_all_in(&redis);
    let log = skyring.process.stderr();
    assert!(
        log.contains("LOADING"),
        "the server never met a loading Redis: {log}"
    );
    skyring.finish();
}

/// A Redis that only pauses is not a Redis that is gone: nothing is given up
/// and sent again, senders stall when the buffers are full, memory stays under
/// its bound, and everything arrives exactly once. (The pause lasts until the
/// senders have stalled; twenty seconds would show nothing more.)
#[test]
fn redis_paused_until_the_senders_stall() {
    let mut redis = Redis::durable();
    let skyring = bounded(&redis).start();
    let (start_bytes, _) = skyring.process.resident_bytes();
    let load = Load::endless(&skyring, 4, 200, Duration::ZERO);
    load.wait_for_more(5_000);
    redis.signal(Signal::STOP);
    load.wait_until_stalled();
    let (_, peak_bytes) = skyring.process.resident_bytes();
    // What all connections and batches may hold, and as much again for what
    // the allocator and the metric table need.
    let bound_bytes = start_bytes + 8 * MIB + 40 * MIB;
    assert!(
        peak_bytes < bound_bytes,
        "{} MiB resident",
        peak_bytes / MIB
    );
    let buffered = skyring.status()["buffer_bytes"].as_u64().unwrap();
    assert!(buffered <= 8 * MIB, "{buffered} bytes are buffered");
    assert!(skyring.counts().in_flight > 0);
    redis.signal(Signal::CONT);
    load.wait_for_more(1_000);
    let sent = load.stop_stored(&skyring);
    sent.assert_exactly_in(&redis);
    skyring.finish();
}

/// The same with Redis gone instead of paused.
#[test]
fn redis_gone_until_the_senders_stall() {
    let mut redis = Redis::durable();
    let skyring = bounded(&redis).start();
    let load = Load::endless(&skyring, 4, 200, Duration::ZERO);
    load.wait_for_more(5_000);
    redis.crash();
    load.wait_until_stalled();
    let reason = wait_until_unready(&skyring);
    assert!(reason.to_lowercase().contains("redis"), "{reason}");
    redis.launch();
    wait_until_ready(&skyring);
    load.wait_for_more(1_000);
    let sent = load.stop_stored(&skyring);
    sent.assert_all_in(&redis);
    skyring.finish();
}

/// One connection has filled what all connections together may hold, so that
/// nobody is read any more. When there is room again, everybody is read again,
/// also those whose own shard had nothing under way.
#[test]
fn back_pressure_by_one_connection_ends_for_all_of_them() {
    let mut redis = Redis::start();
    // The memory must be what runs out, not the batches on their way.
    let skyring = Plan::with(&redis)
        .set("redis.in_flight_max", 64)
        .set("horizon.frame_bytes_max", 64 << 10)
        .set("horizon.buffer_bytes_max", MIB)
        .start();
    let mut quiet: Vec<Sender> = (0..4).map(|_| Sender::connect(&skyring.pickle())).collect();
    let load = Load::endless(&skyring, 1, 500, Duration::ZERO);
    let rounds = 3;
    for round in 0..rounds {
        load.wait_for_more(5_000);
        redis.signal(Signal::STOP);
        load.wait_until_stalled();
        for (at, sender) in quiet.iter_mut().enumerate() {
            sender.send_point(&format!("quiet{at}"), f64::from(round));
        }
        redis.signal(Signal::CONT);
        eventually("the quiet connections were read again", || {
            let stored = (0..4).map(|at| redis.series(&format!("quiet{at}")).len());
            let stored: Vec<usize> = stored.map(|bytes| bytes / 19).collect();
            let all = stored.iter().all(|&points| points > round as usize);
            holds(all, || format!("round {round}: {stored:?}"))
        });
    }
    let sent = load.stop();
    let counts = skyring.wait_until_settled(sent.points() + 4 * rounds as u64);
    assert_eq!(counts.stored, counts.received);
    sent.assert_exactly_in(&redis);
    skyring.finish();
}

/// A full Redis is told on /readyz and in the status, and nothing is lost:
/// the points wait until there is room.
#[test]
fn redis_at_maxmemory_is_told_and_recovers() {
    let redis = Redis::durable();
    let skyring = bounded(&redis).start();
    let load = Load::endless(&skyring, 2, 50, Duration::from_millis(2));
    load.wait_for_more(2_000);
    let _: String = redis.run(&["CONFIG", "SET", "maxmemory", "1"]);
    let reason = wait_until_unready(&skyring);
    assert!(reason.contains("OOM"), "{reason}");
    let oom = eventually("OOM was counted", || {
        let status = skyring.status();
        let oom = status["redis"]["errors"]["OOM"].as_u64().unwrap_or(0);
        holds(oom > 0, || status["redis"].to_string())?;
        Ok(oom)
    });
    assert!(oom > 0);
    assert!(skyring.process.stderr().contains("OOM"), "the log says so");
    let _: String = redis.run(&["CONFIG", "SET", "maxmemory", "0"]);
    wait_until_ready(&skyring);
    load.wait_for_more(2_000);
    let sent = load.stop_stored(&skyring);
    sent.assert_exactly_in(&redis);
    skyring.finish();
}

/// Only part of a batch is refused: only that part is sent again.
#[test]
fn a_read_only_redis_is_waited_for() {
    let redis = Redis::start();
    let skyring = bounded(&redis).start();
    let mut sender = Sender::connect(&skyring.pickle());
    sender.send_point("waits", 0.0);
    skyring.wait_until_settled(1);
    // A replica of nobody: it answers READONLY to every write.
    let _: String = redis.run(&["REPLICAOF", "127.0.0.1", "1"]);
    for value in 1..50 {
        sender.send_point("waits", f64::from(value));
    }
    let reason = wait_until_unready(&skyring);
    assert!(reason.contains("READONLY"), "{reason}");
    let _: String = redis.run(&["REPLICAOF", "NO", "ONE"]);
    skyring.wait_until_settled(50);
    let wanted: Vec<f64> = (0..50).map(f64::from).collect();
    assert_eq!(values_of(&redis.series("waits"), "waits"), wanted);
    skyring.finish();
}

/// A metric whose key holds something else loses its own points, counted, and
/// nobody else's; once the key is gone, its points are stored again.
#[test]
fn a_key_of_another_type_costs_only_its_own_points() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).start();
    let mut sender = Sender::connect(&skyring.pickle());
    let _: u32 = redis.run(&["LPUSH", "metrics.wrong", "not a series"]);
    let now = now_s() as f64;
    for value in 0..10 {
        let value = f64::from(value);
        sender.send(&frame(&[
            ("left", now, value),
            ("wrong", now, value),
            ("right", now, value),
        ]));
    }
    let counts = skyring.wait_until_settled(30);
    assert_eq!(counts.dropped, [("wrong_type".to_owned(), 10)].into());
    assert_eq!(counts.stored, 20);
    let wanted: Vec<f64> = (0..10).map(f64::from).collect();
    assert_eq!(values_of(&redis.series("left"), "left"), wanted);
    assert_eq!(values_of(&redis.series("right"), "right"), wanted);
    let list: Vec<String> = redis.run(&["LRANGE", "metrics.wrong", "0", "-1"]);
    assert_eq!(
        list,
        ["not a series"],
        "what another program keeps there is left alone"
    );
    let errors = skyring.status()["redis"]["errors"]["WRONGTYPE"].as_u64();
    assert!(errors.is_some_and(|errors| errors > 0), "{errors:?}");

    let _: u32 = redis.run(&["DEL", "metrics.wrong"]);
    sender.send(&frame(&[("wrong", now, 10.0)]));
    skyring.wait_until_settled(31);
    assert_eq!(values_of(&redis.series("wrong"), "wrong"), [10.0]);
    eventually("the metric was a member", || {
        holds(redis.members().contains("wrong"), || {
            format!("{:?}", redis.members())
        })
    });
    assert_eq!(wait_until_ready(&skyring), ());
    skyring.finish();
}

/// The set of known metrics is of another type: the points are stored all the
/// same, since they are what matters.
#[test]
fn a_set_of_another_type_does_not_stop_the_points() {
    let redis = Redis::start();
    let _: String = redis.run(&["SET", "metrics.unique_metrics", "not a set"]);
    let skyring = Plan::with(&redis).start();
    let mut sender = Sender::connect(&skyring.pickle());
    for value in 0..10 {
        sender.send_point("no.set", f64::from(value));
    }
    let counts = skyring.wait_until_settled(10);
    assert_eq!(counts.stored, 10);
    assert_eq!(redis.series("no.set").len(), 10 * 19);
    let _: u32 = redis.run(&["DEL", "metrics.unique_metrics"]);
    sender.send_point("another", 1.0);
    skyring.wait_until_settled(11);
    eventually("the new metric was a member", || {
        holds(redis.members().contains("another"), || {
            format!("{:?}", redis.members())
        })
    });
    skyring.finish();
}

/// Passwords and databases, by URL and by file, over TCP and unix socket.
#[test]
fn password_and_database_over_tcp_and_unix_socket() {
    let redis = Redis::with(RedisPlan {
        tcp: true,
        password: "open sesame?",
        ..RedisPlan::default()
    });
    let password_file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(password_file.path(), "open sesame?\n").unwrap();
    let port = redis.port();
    let with_file = format!("\"{}\"", password_file.path().display());
    let plans = [
        (0, Plan::with(&redis).set("redis.password_file", &with_file)),
        (
            3,
            Plan::private().set(
                "redis.url",
                format!("\"redis://:open%20sesame%3F@127.0.0.1:{port}/3\""),
            ),
        ),
        (
            2,
            Plan::private()
                .set("redis.url", format!("\"redis://localhost:{port}/2\""))
                .set("redis.password_file", &with_file),
        ),
    ];
    for (database, plan) in plans {
        let skyring = plan.start();
        let shown = skyring.ready.to_string() + &skyring.status().to_string();
        assert!(!shown.contains("sesame"), "a password is shown: {shown}");
        let mut sender = Sender::connect(&skyring.pickle());
        let metric = format!("database{database}");
        sender.send_point(&metric, 1.0);
        skyring.wait_until_settled(1);
        let mut connection = redis.connection();
        redis::cmd("SELECT")
            .arg(database)
            .query::<()>(&mut connection)
            .unwrap();
        let key = format!("metrics.{metric}");
        let series: Vec<u8> = redis::cmd("GET").arg(&key).query(&mut connection).unwrap();
        assert_eq!(values_of(&series, &metric), [1.0]);
        let keys: Vec<String> = redis::cmd("KEYS")
            .arg("metrics.database*")
            .query(&mut connection)
            .unwrap();
        assert_eq!(keys, [key]);
        assert!(!skyring.process.stderr().contains("sesame"));
        skyring.finish();
    }
}

/// The connections to Redis are cut while Redis lives on: what was sent and not
/// answered may have been done, so it is sent again, counted once.
#[test]
fn connections_to_redis_killed_under_load() {
    let redis = Redis::start();
    let skyring = bounded(&redis).start();
    let load = Load::endless(&skyring, 4, 50, Duration::from_millis(1));
    for _ in 0..10 {
        load.wait_for_more(2_000);
        let _: u32 = redis.run(&["CLIENT", "KILL", "TYPE", "normal"]);
    }
    let sent = load.stop_stored(&skyring);
    sent.assert_all_in(&redis);
    skyring.finish();
}
