//! Start, readiness, shutdown, crash, and two servers in one place.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use crate::fixture::http;
use crate::fixture::redis::{Plan as RedisPlan, Redis};
use crate::fixture::sender::{Load, Sender, frame, values_of};
use crate::fixture::skyring::{Plan, Skyring, redis_servers_in};
use crate::fixture::{eventually, free_port, holds, now_s};

/// With Redis away, `serve` says so, keeps trying, and is ready as soon as
/// Redis answers. Standard output has one line, ever.
#[test]
fn ready_is_said_only_when_redis_has_answered() {
    let mut redis = Redis::prepare(RedisPlan::default());
    let admin = format!("127.0.0.1:{}", free_port());
    let mut skyring = Plan::with(&redis)
        .set("admin.listen", format!("\"{admin}\""))
        .spawn();
    wait_until_said_away(&skyring);
    let answer = eventually("the admin page answered", || http::get(&admin, "/readyz"));
    assert_eq!(answer.code, 503, "{}", answer.body);
    assert!(
        answer.body.to_lowercase().contains("redis"),
        "{}",
        answer.body
    );
    let answer = eventually("the admin page answered", || http::get(&admin, "/healthz"));
    assert_eq!(answer.code, 200, "{}", answer.body);
    assert_eq!(skyring.process.stdout(), "");
    assert!(skyring.process.is_running());
    redis.launch();
    skyring.wait_until_ready();
    assert_eq!(skyring.get("/readyz").code, 200);
    assert_eq!(skyring.ready["redis"].as_str().unwrap(), redis.unix_url());
    let mut sender = Sender::connect(&skyring.pickle());
    sender.send_point("a", 1.0);
    skyring.wait_until_settled(1);
    skyring.finish();
}

/// Servers that are started side by side, so that their threads get the CPU
/// late and in any order: each of them is ready, serves and ends.
#[test]
fn servers_started_side_by_side_are_all_ready() {
    let redis = Redis::start();
    for _ in 0..4 {
        let plans: Vec<Plan> = (0..10).map(|_| Plan::with(&redis)).collect();
        let mut servers: Vec<Skyring> = plans.iter().map(Plan::spawn).collect();
        for skyring in &mut servers {
            skyring.wait_until_ready();
        }
        for skyring in &servers {
            Sender::connect(&skyring.pickle()).send_point("side.by.side", 1.0);
        }
        for skyring in servers {
            skyring.wait_until_settled(1);
            skyring.finish();
        }
    }
    assert_eq!(redis.series("side.by.side").len(), 40 * 19);
}

fn wait_until_said_away(skyring: &Skyring) {
    eventually(
        "the log said that Redis is away, and that it is tried again",
        || {
            let log = skyring.process.stderr();
            let said = log
                .lines()
                .any(|line| line.contains("redis") && line.contains("trying again"));
            holds(said, || log)
        },
    );
}

/// The ready line has exactly the parts that users of it rely on.
#[test]
fn the_ready_line_names_every_bound_address() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis)
        .set("horizon.pickle", "[\"127.0.0.1:0\", \"[::1]:0\"]")
        .start();
    let addresses = skyring.pickle_addresses();
    assert_eq!(addresses.len(), 2);
    assert!(addresses[0].starts_with("127.0.0.1:") && addresses[1].starts_with("[::1]:"));
    for (at, address) in addresses.iter().enumerate() {
        assert!(!address.ends_with(":0"), "{address}");
        Sender::connect(address).send_point("a", at as f64);
    }
    skyring.wait_until_settled(2);
    assert!(skyring.admin().starts_with("127.0.0.1:"));
    skyring.finish();
}

/// Everything that has reached the server's sockets when SIGTERM arrives is
/// stored, also what it has not read yet; exit code 0.
#[test]
fn sigterm_stores_what_was_sent_before_it() {
    ends_with_everything_stored(Signal::TERM);
}

/// SIGINT does the same.
#[test]
fn sigint_stores_what_was_sent_before_it() {
    ends_with_everything_stored(Signal::INT);
}

fn ends_with_everything_stored(signal: Signal) {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).start();
    let mut senders: Vec<Sender> = (0..50)
        .map(|_| Sender::connect(&skyring.pickle()))
        .collect();
    skyring.wait_for("accepted all", |counts| counts.number("connections") == 50);
    let names: Vec<String> = (0..50).map(|at| format!("last.c{at}")).collect();
    let now = now_s() as f64;
    // 50 frames of 20 points for each connection, about 25 KiB: what a socket
    // holds while nobody reads it.
    for value in 0..50 {
        for (sender, name) in senders.iter_mut().zip(&names) {
            let points: Vec<(&str, f64, f64)> = (0..20)
                .map(|at| (name.as_str(), now, f64::from(value * 20 + at)))
                .collect();
            sender.send(&frame(&points));
        }
    }
    assert_eq!(skyring.end(signal), 0);
    let wanted: Vec<f64> = (0..1000).map(f64::from).collect();
    for name in &names {
        assert!(
            values_of(&redis.series(name), name) == wanted,
            "{name} is not whole"
        );
    }
    assert_eq!(redis.members().len(), 50);
    for sender in &mut senders {
        sender.wait_until_closed();
    }
}

/// SIGTERM while senders write as fast as they can: what was received is what
/// is stored, each metric's points up to one moment and none after it.
#[test]
fn sigterm_under_full_load_stores_all_that_was_received() {
    let redis = Redis::start();
    let mut skyring = Plan::with(&redis).start();
    let load = Load::endless(&skyring, 8, 50, Duration::ZERO);
    load.wait_for_more(50_000);
    skyring.process.signal(Signal::TERM);
    assert_eq!(skyring.exit_code(), 0, "{}", skyring.process.stderr());
    let stored = load.join().assert_a_start_in(&redis);
    assert_eq!(
        last_books(&skyring),
        [stored, stored, 0],
        "the log against what Redis holds"
    );
}

/// What the last line of the log says: how many points were received, stored,
/// and dropped by the shutdown.
fn last_books(skyring: &Skyring) -> [u64; 3] {
    let log = skyring.process.stderr();
    let line = log.lines().rev().find(|line| line.contains("received "));
    let line = line.unwrap_or_else(|| panic!("no line says what was received: {log}"));
    ["received ", "stored ", "dropped by shutdown "].map(|words| {
        let (_, rest) = line
            .split_once(words)
            .unwrap_or_else(|| panic!("no {words}: {line}"));
        let end = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        rest[..end]
            .parse()
            .unwrap_or_else(|_| panic!("no number after {words}: {line}"))
    })
}

/// With Redis away, the drain ends after `drain_s`: exit code 1, and the log
/// says how many points are lost.
#[test]
fn sigterm_with_redis_away_says_how_many_points_are_lost() {
    let mut redis = Redis::start();
    let mut skyring = Plan::with(&redis).set("drain_s", 2).start();
    let mut sender = Sender::connect(&skyring.pickle());
    for value in 0..100 {
        sender.send_point("stored", f64::from(value));
    }
    skyring.wait_until_settled(100);
    redis.crash();
    for value in 0..1237 {
        sender.send_point("lost", f64::from(value));
    }
    let counts = skyring.wait_for("received all", |counts| counts.received == 1337);
    assert_eq!((counts.stored, counts.in_flight), (100, 1237));
    skyring.process.signal(Signal::TERM);
    assert_eq!(skyring.exit_code(), 1);
    assert_eq!(last_books(&skyring), [1337, 100, 1237]);
}

/// The drain waits for Redis: if it comes back in time, nothing is lost. And
/// while draining, /readyz says so.
#[test]
fn sigterm_waits_for_redis_to_come_back() {
    let mut redis = Redis::durable();
    let mut skyring = Plan::with(&redis).set("drain_s", 60).start();
    let mut sender = Sender::connect(&skyring.pickle());
    sender.send_point("late", 0.0);
    skyring.wait_until_settled(1);
    redis.crash();
    for value in 1..500 {
        sender.send_point("late", f64::from(value));
    }
    skyring.wait_for("received all", |counts| counts.received == 500);
    skyring.process.signal(Signal::TERM);
    let reason = eventually("/readyz told of the drain", || {
        let answer = skyring.get("/readyz");
        holds(answer.code == 503 && answer.body.contains("drain"), || {
            answer.body.clone()
        })?;
        Ok(answer.body)
    });
    assert!(skyring.process.is_running(), "{reason}");
    redis.launch();
    assert_eq!(skyring.exit_code(), 0, "{}", skyring.process.stderr());
    let wanted: Vec<f64> = (0..500).map(f64::from).collect();
    assert_eq!(values_of(&redis.series("late"), "late"), wanted);
}

/// The same when Redis is only paused: what it was sent before counts.
#[test]
fn sigterm_waits_for_a_paused_redis() {
    let mut redis = Redis::start();
    let mut skyring = Plan::with(&redis).set("drain_s", 60).start();
    let mut sender = Sender::connect(&skyring.pickle());
    sender.send_point("paused", 0.0);
    skyring.wait_until_settled(1);
    redis.signal(Signal::STOP);
    for value in 1..500 {
        sender.send_point("paused", f64::from(value));
    }
    skyring.wait_for("received all", |counts| counts.received == 500);
    skyring.process.signal(Signal::TERM);
    sender.wait_until_closed();
    assert!(skyring.process.is_running());
    redis.signal(Signal::CONT);
    assert_eq!(skyring.exit_code(), 0, "{}", skyring.process.stderr());
    let wanted: Vec<f64> = (0..500).map(f64::from).collect();
    assert_eq!(values_of(&redis.series("paused"), "paused"), wanted);
}

/// SIGTERM before Redis has ever answered ends the server at once, and well:
/// nothing was received, so nothing is lost.
#[test]
fn sigterm_before_it_was_ready() {
    let redis = Redis::prepare(RedisPlan::default());
    let mut skyring = Plan::with(&redis).spawn();
    wait_until_said_away(&skyring);
    skyring.process.signal(Signal::TERM);
    assert_eq!(skyring.exit_code(), 0);
    assert_eq!(skyring.process.stdout(), "");
}

/// A clean end takes the private Redis with it, and its data come back.
#[test]
fn a_private_redis_ends_with_the_server_and_keeps_its_data() {
    let plan = Plan::private();
    for round in 0..2 {
        let skyring = plan.start();
        let servers = redis_servers_in(&plan.state_dir());
        assert_eq!(servers.len(), 1, "one private Redis");
        let mut sender = Sender::connect(&skyring.pickle());
        sender.send_point("kept", f64::from(round));
        skyring.wait_until_settled(1);
        let values = values_of(&private_series(&skyring, "kept"), "kept");
        assert_eq!(values, [0.0, 1.0][..=round as usize]);
        skyring.finish();
        assert_eq!(redis_servers_in(&plan.state_dir()), [0; 0], "none is left");
    }
}

/// After a kill -9 a second start finds the orphan, and every point that was
/// counted as stored; a third process is never left.
#[test]
fn kill_9_leaves_no_orphan_and_loses_no_stored_point() {
    let plan = Plan::private();
    for round in 0..3 {
        let mut skyring = plan.start();
        let mut sender = Sender::connect(&skyring.pickle());
        for at in 0..100 {
            sender.send_point("survivor", f64::from(round * 100 + at));
        }
        sender.send_point(&format!("metric.of.round{round}"), 1.0);
        skyring.wait_until_settled(101);
        let values = values_of(&private_series(&skyring, "survivor"), "survivor");
        let wanted: Vec<f64> = (0..(round + 1) * 100).map(f64::from).collect();
        assert_eq!(values, wanted);
        let servers = redis_servers_in(&plan.state_dir());
        assert_eq!(servers.len(), 1, "one private Redis in round {round}");
        skyring.process.signal(Signal::KILL);
        skyring.process.exit();
    }
    let skyring = plan.start();
    let mut connection = private_connection(&skyring);
    let members: std::collections::BTreeSet<String> = redis::cmd("SMEMBERS")
        .arg("metrics.unique_metrics")
        .query(&mut connection)
        .unwrap();
    for member in [
        "survivor",
        "metric.of.round0",
        "metric.of.round1",
        "metric.of.round2",
    ] {
        assert!(
            members.contains(&format!("metrics.{member}")),
            "{member}: {members:?}"
        );
    }
    assert_eq!(
        values_of(&private_series(&skyring, "survivor"), "survivor").len(),
        300
    );
    skyring.finish();
    assert_eq!(redis_servers_in(&plan.state_dir()), [0; 0], "none is left");
}

/// The private Redis itself dies: the server starts it again, and nothing that
/// was sent is missing.
#[test]
fn a_private_redis_that_dies_is_started_again() {
    let plan = Plan::private();
    let skyring = plan.start();
    let load = Load::endless(&skyring, 2, 10, Duration::from_millis(2));
    load.wait_for_more(500);
    let servers = redis_servers_in(&plan.state_dir());
    assert_eq!(servers.len(), 1);
    let id = rustix::process::Pid::from_raw(servers[0] as i32).unwrap();
    rustix::process::kill_process(id, Signal::KILL).unwrap();
    eventually("another private Redis ran", || {
        let now = redis_servers_in(&plan.state_dir());
        holds(now.len() == 1 && now != servers, || {
            format!("{servers:?}, now {now:?}")
        })
    });
    load.wait_for_more(500);
    load.stop_stored(&skyring);
    skyring.finish();
}

fn private_connection(skyring: &Skyring) -> redis::Connection {
    let socket = skyring.ready["redis"]
        .as_str()
        .unwrap()
        .strip_prefix("unix:")
        .unwrap();
    assert!(Path::new(socket).exists(), "{socket}");
    redis::Client::open(format!("unix://{socket}"))
        .unwrap()
        .get_connection()
        .unwrap()
}

fn private_series(skyring: &Skyring, metric: &str) -> Vec<u8> {
    let mut connection = private_connection(skyring);
    redis::cmd("GET")
        .arg(format!("metrics.{metric}"))
        .query(&mut connection)
        .unwrap()
}

/// What a second server must do that finds its place taken.
fn assert_refused(plan: &Plan, names: &str) {
    let mut second = plan.spawn();
    assert_eq!(second.exit_code(), 2, "{}", second.process.stderr());
    let log = second.process.stderr();
    assert_eq!(second.process.stdout(), "");
    let naming = log.lines().filter(|line| line.contains(names)).count();
    assert_eq!(naming, 1, "one line that names {names}: {log}");
}

#[test]
fn a_second_server_with_the_same_state_directory_exits_2() {
    let redis = Redis::start();
    let plan = Plan::with(&redis);
    let first = plan.start();
    assert_refused(&plan, plan.state_dir().to_str().unwrap());
    let mut sender = Sender::connect(&first.pickle());
    sender.send_point("first", 1.0);
    first.wait_until_settled(1);
    first.finish();
    // The lock ends with its owner.
    plan.start().finish();
}

#[test]
fn a_second_server_with_the_same_private_redis_exits_2_and_leaves_it_alone() {
    let plan = Plan::private();
    let first = plan.start();
    let servers = redis_servers_in(&plan.state_dir());
    assert_refused(&plan, plan.state_dir().to_str().unwrap());
    assert_eq!(redis_servers_in(&plan.state_dir()), servers);
    let mut sender = Sender::connect(&first.pickle());
    sender.send_point("first", 1.0);
    first.wait_until_settled(1);
    first.finish();
}

/// SO_REUSEPORT would let two servers of one user share a port unseen.
#[test]
fn a_second_server_with_the_same_port_exits_2() {
    let redis = Redis::start();
    let first = Plan::with(&redis).start();
    let pickle = first.pickle();
    assert_refused(
        &Plan::with(&redis).set("horizon.pickle", format!("[\"{pickle}\"]")),
        &pickle,
    );
    let admin = first.admin();
    assert_refused(
        &Plan::with(&redis).set("admin.listen", format!("\"{admin}\"")),
        &admin,
    );
    for at in 0..20 {
        Sender::connect(&pickle).send_point("first", f64::from(at));
    }
    first.wait_until_settled(20);
    first.finish();
}

/// SIGHUP never ends the server, and closes no connection.
#[test]
fn sighup_keeps_everything_going() {
    let redis = Redis::start();
    let mut skyring = Plan::with(&redis).start();
    let mut sender = Sender::connect(&skyring.pickle());
    for at in 0..10 {
        skyring.process.signal(Signal::HUP);
        sender.send_point("reload", f64::from(at));
        skyring.wait_until_settled(at as u64 + 1);
    }
    sender.assert_open();
    skyring.finish();
}

/// Nothing is polled and nothing ticks faster than once a second: with 100
/// silent connections, the CPU time used in a window of three seconds is small.
#[test]
fn an_idle_server_uses_no_cpu_to_speak_of() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).start();
    let mut senders: Vec<Sender> = (0..100)
        .map(|_| Sender::connect(&skyring.pickle()))
        .collect();
    for (at, sender) in senders.iter_mut().enumerate() {
        sender.send_point(&format!("idle.m{at}"), 1.0);
    }
    skyring.wait_until_settled(100);
    let before = skyring.process.cpu_ticks();
    // The window is what is measured; nothing is waited for.
    std::thread::sleep(Duration::from_secs(3));
    let used_ticks = skyring.process.cpu_ticks() - before;
    assert!(
        used_ticks <= 20,
        "{} ms of CPU time in three idle seconds",
        used_ticks * 10
    );
    skyring.finish();
}
