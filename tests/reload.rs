//! SIGHUP: a changed configuration is taken up while points come in. Nothing is
//! lost or counted twice, what did not change is not touched, and a
//! configuration at fault changes nothing.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use rustix::process::Signal;

use crate::fixture::redis::{Plan as RedisPlan, Redis};
use crate::fixture::sender::{Load, Sender, frame, values_of};
use crate::fixture::skyring::{Plan, Skyring};
use crate::fixture::stream::{Stream, Streamed, datagram};
use crate::fixture::{eventually, holds, now_s, python};

pub const THREE: &str = "{ \"a\" = 0, \"b\" = 1, \"c\" = 2 }";
const TWO: &str = "{ \"a\" = 0, \"b\" = 1 }";
/// Any free port of this host.
pub const ANY: &str = "\"127.0.0.1:0\"";
pub const LISTENERS: [&str; 5] = ["pickle", "shard_pickle", "msgpack", "line_tcp", "line_udp"];

/// The setting that holds a listener's addresses.
pub fn key(listener: &str) -> String {
    match listener {
        "shard_pickle" => "cluster.shard_pickle".to_owned(),
        _ => format!("horizon.{listener}"),
    }
}

/// A server with a listener of every kind, in a cluster of three.
pub fn plan_of_three(redis: &Redis) -> Plan {
    let every = |plan: Plan, listener: &&str| plan.set(&key(listener), format!("[{ANY}]"));
    LISTENERS
        .iter()
        .fold(Plan::with(redis), every)
        .set("cluster.node", "\"a\"")
        .set("cluster.shards", THREE)
        .set("flux.listen", "[]")
        .set("horizon.skip", "[\"skipped\"]")
        .set("horizon.do_not_skip", "[]")
}

/// Names of a stream, of which every fourth is one that the lists may skip.
fn metrics(stream: &str, count: usize) -> Vec<String> {
    let kind = |at: usize| if at.is_multiple_of(4) { "noise" } else { "cpu" };
    (0..count)
        .map(|at| format!("stream.{stream}.m{at}.{}", kind(at)))
        .collect()
}

/// Cluster shards 3 to 2 and back, skip lists changed and changed back, and
/// listeners of every kind added and removed, again and again, while a stream
/// goes to each listener. Every point is stored once, or dropped for its name;
/// what is never dropped is whole and in order; no connection ends, neither on
/// the listeners that stay nor on those that went.
#[test]
fn reloads_under_load_lose_nothing_and_close_nothing() {
    let redis = Redis::start();
    let plan = plan_of_three(&redis);
    let mut skyring = plan.start();
    let addresses = LISTENERS.map(|listener| skyring.addresses_of(listener).remove(0));
    let mut streams: Vec<Stream> = LISTENERS
        .iter()
        .zip(&addresses)
        .map(|(listener, address)| {
            Stream::start(&skyring, listener, address, metrics(listener, 24))
        })
        .collect();
    let files = eventually("every connection was accepted", || {
        let open = TCP.map(|listener| skyring.counts_of(listener).number("connections"));
        holds(open == [1; 3], || format!("{open:?}"))?;
        Ok(skyring.process.open_files())
    });
    for round in 0..6 {
        let added = LISTENERS[round % LISTENERS.len()];
        let two = plan
            .clone()
            .set("cluster.shards", TWO)
            .set("horizon.skip", "[\"skipped\", \"noise\"]")
            .set(&key(added), format!("[{ANY}, {ANY}]"));
        let shards = |from: &str, to: &str| format!("cluster.shards: {from} -> {to}");
        let skip = "horizon.skip: [\"skipped\"] -> [\"skipped\", \"noise\"]";
        let skip_back = "horizon.skip: [\"skipped\", \"noise\"] -> [\"skipped\"]";
        let listen = format!("{}: [{ANY}] -> [{ANY}, {ANY}]", key(added));
        let listen_back = format!("{}: [{ANY}, {ANY}] -> [{ANY}]", key(added));
        skyring.reload(&two, &in_order([&listen, skip, &shards(THREE, TWO)]));
        let at = skyring.addresses_of(added);
        let before = LISTENERS
            .iter()
            .position(|listener| *listener == added)
            .unwrap();
        assert_eq!(at[0], addresses[before], "the other stays where it was");
        let more = (!added.contains("udp") && added != "msgpack").then(|| {
            let names = metrics(&format!("{added}{round}"), 6);
            Stream::start(&skyring, added, &at[1], names)
        });
        for stream in streams.iter().chain(&more) {
            stream.wait_for_more(20);
        }
        skyring.reload(
            &plan,
            &in_order([&listen_back, skip_back, &shards(TWO, THREE)]),
        );
        assert_eq!(skyring.addresses_of(added), at[..1]);
        if more.is_some() {
            let refused = TcpStream::connect(&at[1]).map(|_| ());
            assert!(refused.is_err(), "{added} at {} is closed", at[1]);
        }
        streams.extend(more);
        for stream in &streams {
            stream.wait_for_more(20);
        }
    }
    let streamed: Vec<Streamed> = streams.into_iter().map(Stream::stop).collect();
    for listener in LISTENERS {
        assert_exactly_once(&skyring, &redis, listener, &streamed);
    }
    for listener in TCP {
        let of_it = streamed
            .iter()
            .filter(|stream| stream.listener == listener)
            .count() as u64;
        let counts = skyring.counts_of(listener);
        assert_eq!(counts.number("connections_accepted"), of_it, "{listener}");
    }
    // The streams' connections are closed, so fewer are open than at the start.
    eventually("no file stayed open", || {
        let open = skyring.process.open_files();
        holds(open <= files, || {
            format!("{open} open, {files} at the start")
        })
    });
    skyring.finish();
}

const TCP: [&str; 3] = ["pickle", "shard_pickle", "line_tcp"];

/// The changes in the order of the settings, as a reload tells them.
fn in_order(mut changes: [&str; 3]) -> [&str; 3] {
    changes.sort_by_key(|change| {
        let keys = ["horizon.pickle", "horizon.msgpack", "horizon.line_tcp"];
        let keys = keys.iter().chain(&["horizon.line_udp", "horizon.skip"]);
        let mut keys = keys.chain(&["cluster.shards", "cluster.shard_pickle"]);
        keys.position(|key| change.starts_with(&format!("{key}:")))
    });
    changes
}

/// All points sent to a listener are counted, as stored or as dropped for
/// their name; Redis holds as many records as were stored, each metric's in
/// order and none twice; a metric that was always to be stored is whole, one
/// that never was is not there.
fn assert_exactly_once(skyring: &Skyring, redis: &Redis, listener: &str, streamed: &[Streamed]) {
    let of_it = || streamed.iter().filter(|stream| stream.listener == listener);
    let sent: u64 = of_it().map(Streamed::points).sum();
    let counts = skyring.wait_until_settled_of(listener, sent);
    assert!(
        counts
            .dropped
            .keys()
            .all(|reason| reason == "not_mine" || reason == "skipped")
    );
    let mut stored = 0;
    for stream in of_it() {
        let names = &stream.metrics;
        let owners = python::owners(names, 3)
            .into_iter()
            .zip(python::owners(names, 2));
        for (name, owners) in names.iter().zip(owners) {
            let values = values_of(&redis.series(name), name);
            let ascends = values.windows(2).all(|pair| pair[0] < pair[1]);
            assert!(ascends, "{name}: a point twice or out of order: {values:?}");
            stored += values.len() as u64;
            // With a table of two, noise is skipped.
            match (owners.0 == 0, owners.1 == 0 && !name.ends_with("noise")) {
                (true, true) => {
                    let wanted: Vec<f64> = (0..stream.rounds).map(|at| at as f64).collect();
                    assert!(values == wanted, "{name} is not whole: {values:?}");
                }
                (false, false) => assert!(values.is_empty(), "{name} is never ours: {values:?}"),
                _ => {
                    let part = 1..stream.rounds as usize;
                    assert!(
                        part.contains(&values.len()),
                        "{name} is ours at times: {values:?}"
                    );
                }
            }
        }
    }
    assert_eq!(
        counts.stored, stored,
        "{listener}: counted against found in Redis"
    );
}

/// Every kind of fault: it is told, with the mend where there is one, and the
/// server goes on as it was, rules and listeners and all.
#[test]
fn a_configuration_at_fault_changes_nothing() {
    let redis = Redis::start();
    let plan = plan_of_three(&redis);
    let mut skyring = plan.start();
    let addresses = LISTENERS.map(|listener| skyring.addresses_of(listener));
    let mut sender = Sender::connect(&skyring.pickle());
    skyring.wait_for("accepted it", |counts| counts.number("connections") == 1);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken_udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    let taken_udp = taken_udp.local_addr().unwrap();
    // What would be taken up if it were not for the fault.
    let changed = plan
        .clone()
        .set("horizon.skip", "[\"mine\"]")
        .set("horizon.line_tcp", format!("[{ANY}, {ANY}]"));
    let nothing = "nothing has changed: the configuration is at fault";
    let file = plan.file().display().to_string();
    let renumbered = "the numbers must be 0 to 1 without a gap, the same on all nodes; \
                      renumbered: shards = { \"a\" = 0, \"c\" = 1 }";
    let missing = "this node, cluster.node \"a\", is none of cluster.shards, which are b, c; \
                   set cluster.node to one of them, or add it: shards = \
                   { \"a\" = 2, \"b\" = 0, \"c\" = 1 }";
    let unknown = "cluster.shard: unknown setting; did you mean cluster.shards?";
    let in_use = |key: &str, address| {
        format!(
            "nothing has changed: {key}: cannot listen on {address}: Address already in use (os \
             error 98); stop what listens there, or set {key} to another address (port 0 takes \
             a free one)"
        )
    };
    let shards = "cluster.shards";
    let faults = [
        (shards, "{ a = 0, c = 2 }".to_owned(), renumbered.to_owned()),
        (shards, "{ b = 0, c = 1 }".to_owned(), missing.to_owned()),
        ("cluster.shard", "{ a = 0 }".to_owned(), unknown.to_owned()),
        (
            "horizon.pickle",
            format!("[{ANY}, \"{taken}\"]"),
            in_use("horizon.pickle", taken),
        ),
        (
            "horizon.line_udp",
            format!("[\"{taken_udp}\"]"),
            in_use("horizon.line_udp", taken_udp),
        ),
    ];
    for (number, (fault, value, told)) in faults.into_iter().enumerate() {
        let files = skyring.process.open_files();
        let faulty = changed.clone().set(fault, value);
        if told.starts_with("nothing has changed") {
            skyring.reload(&faulty, &[&told]);
        } else {
            faulty.file();
            skyring.process.signal(Signal::HUP);
            let line = line_of(&file, fault);
            let key = if fault == shards {
                "cluster.shards: "
            } else {
                ""
            };
            skyring.wait_until_told(&[&format!("{file}:{line}: {key}{told}"), nothing]);
        }
        assert_eq!(
            LISTENERS.map(|listener| skyring.addresses_of(listener)),
            addresses
        );
        eventually("no file stayed open", || {
            let open = skyring.process.open_files();
            holds(open <= files, || format!("{open} open, {files} before"))
        });
        // By Python's zlib: the first is mine of three, the second is not.
        sender.send_point("a.b", number as f64);
        sender.send_point("mine.17", number as f64);
        sender.send_point("vista.app1.requests", number as f64);
        let sent = (number as u64 + 1) * 3;
        let mine = python::owners(&["mine.17".to_owned()], 3)[0] == 0;
        let counts = skyring.wait_until_settled_of("pickle", sent);
        let stored = sent / 3 * (1 + u64::from(mine));
        let dropped = BTreeMap::from([("not_mine".to_owned(), sent - stored)]);
        assert_eq!((counts.stored, counts.dropped), (stored, dropped));
    }
    // The configuration as it was is no change, and a good one is taken up.
    skyring.reload(&plan, &["nothing has changed"]);
    let good = plan.set("drain_s", 7);
    skyring.reload(&good, &["drain_s: 20 -> 7"]);
    sender.assert_open();
    skyring.finish();
}

/// Where a key stands in a file, counted from 1.
fn line_of(file: &str, key: &str) -> usize {
    let text = std::fs::read_to_string(file).unwrap();
    let line = text
        .lines()
        .position(|line| line.starts_with(&format!("{key} = ")));
    line.unwrap() + 1
}

/// Each change is one line in the order of the settings, no secret is shown,
/// and what cannot change while the server runs says so, each time until it has
/// been restarted.
#[test]
fn a_reload_tells_each_change_and_no_secret() {
    let redis = Redis::with(RedisPlan {
        password: "hunter2",
        ..RedisPlan::default()
    });
    let plan = Plan::private().set("redis.url", format!("\"{}\"", redis.unix_url()));
    let directory = plan.state_dir().parent().unwrap().to_owned();
    let password = directory.join("password");
    std::fs::write(&password, "hunter2\n").unwrap();
    let plan = plan.set("redis.password_file", format!("\"{}\"", password.display()));
    let mut skyring = plan.start();
    let restart = [
        "redis.url: ".to_owned()
            + &format!("\"{}\" -> ", redis.unix_url())
            + "\"redis://me:***@127.0.0.1:1/3\" (needs a restart)",
        "redis.password_file: changed (needs a restart)".to_owned(),
        "horizon.frame_bytes_max: 67108864 -> 1048576 (needs a restart)".to_owned(),
    ];
    let later = [
        "flux.self_key: \"\" -> \"***\"",
        "flux.keys: {} -> { \"***1\" = \"prefix\" }",
        "log.level: \"info\" -> \"warn\" (needs a restart)",
    ];
    std::fs::write(&password, "hunter3\n").unwrap();
    let lasting = plan
        .set("redis.url", "\"redis://me:hunter4@127.0.0.1:1/3\"")
        .set("horizon.frame_bytes_max", 1 << 20)
        .set("flux.self_key", "\"hunter5\"")
        .set("flux.keys", "{ hunter6 = \"prefix\" }")
        .set("log.level", "\"warn\"");
    let changed = lasting
        .clone()
        .set("horizon.max_resolution_s", 500)
        .set("cluster.node", "\"other\"")
        .set("horizon.do_not_skip", "[\"x\", \"y\"]");
    changed.file();
    skyring.process.signal(Signal::HUP);
    let told = eventually("the reload was told", || {
        let told = skyring.told_of_reloads();
        holds(told.len() >= 9, || format!("{told:?}"))?;
        Ok(told)
    });
    assert_eq!(
        told[..3],
        [&restart[0], &restart[1], &told[2]].map(String::clone)
    );
    assert!(
        told[2].starts_with("horizon.do_not_skip: [") && told[2].ends_with("-> [\"x\", \"y\"]")
    );
    assert_eq!(told[3], "horizon.max_resolution_s: 1000 -> 500");
    assert_eq!(told[4], restart[2]);
    assert!(told[5].starts_with("cluster.node: \"") && told[5].ends_with("\" -> \"other\""));
    assert_eq!(told[6..], later);
    // Those in force are no change any more.
    let still = [&restart[0], &restart[1], &restart[2], later[2]];
    skyring.process.signal(Signal::HUP);
    let told = eventually("the second reload was told", || {
        let told = skyring.told_of_reloads();
        holds(told.len() >= 13, || format!("{told:?}"))?;
        Ok(told)
    });
    assert_eq!(told[9..], still.map(str::to_owned));
    assert!(
        !skyring.process.stderr().contains("hunter"),
        "a secret in the log"
    );
    // Redis is still reached with the old password.
    Sender::connect(&skyring.pickle()).send_point("a", 1.0);
    assert_eq!(skyring.wait_until_settled(1).stored, 1);
    skyring.finish();
}

/// A hundred SIGHUPs in a row under full load, each with another configuration:
/// nothing is lost, nothing is left open, and the last one is in force.
#[test]
fn a_storm_of_reloads_under_load_harms_nothing() {
    let redis = Redis::start();
    let plan = Plan::with(&redis);
    let mut skyring = plan.start();
    let load = Load::endless(&skyring, 4, 50, Duration::from_millis(1));
    skyring.wait_for("accepted all", |counts| counts.number("connections") == 4);
    let files = skyring.process.open_files();
    for number in 0..100 {
        let lists = ["[]", "[\"nothing.like.it\"]"];
        let listen = [format!("[{ANY}]"), format!("[{ANY}, {ANY}]")];
        let change = plan
            .clone()
            .set("horizon.skip", lists[number % 2])
            .set("horizon.line_tcp", &listen[number / 2 % 2])
            .set("horizon.line_udp", &listen[number / 3 % 2]);
        change.file();
        skyring.process.signal(Signal::HUP);
        if number % 10 == 9 {
            load.wait_for_more(200);
        }
    }
    load.wait_for_more(1000);
    plan.clone().set("drain_s", 9).file();
    skyring.process.signal(Signal::HUP);
    eventually("the last reload was taken up", || {
        let told = skyring.told_of_reloads();
        holds(
            told.last()
                .is_some_and(|last| last.starts_with("horizon.skip: ")),
            || format!("{told:?}"),
        )?;
        let first = told.iter().any(|line| line == "drain_s: 20 -> 9");
        holds(first, || format!("{told:?}"))
    });
    let told = skyring.told_of_reloads();
    let faults = told
        .iter()
        .filter(|line| line.contains("nothing has changed: "));
    assert_eq!(faults.count(), 0, "{told:?}");
    assert_eq!(skyring.addresses_of("line_tcp"), [""; 0]);
    eventually("no file stayed open", || {
        let open = skyring.process.open_files();
        holds(open <= files, || format!("{open} open, {files} before"))
    });
    let sent = load.stop_stored(&skyring);
    assert_eq!(skyring.counts().number("connections_accepted"), 4);
    sent.assert_exactly_in(&redis);
    skyring.finish();
}

/// With Redis away, a reload is taken up at once: new rules judge what comes
/// from then on, a listener is added and one removed, and what was received
/// before, under the old rules, is stored when Redis is back.
#[test]
fn a_reload_while_redis_is_away() {
    let mut redis = Redis::durable();
    let plan = plan_of_three(&redis).set("cluster.shards", "{}");
    let mut skyring = plan.start();
    let mut sender = Sender::connect(&skyring.pickle());
    sender.send_point("before.crash", 0.0);
    skyring.wait_until_settled_of("pickle", 1);
    redis.crash();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let msgpack = skyring.addresses_of("msgpack").remove(0);
    for value in 0..50 {
        sender.send_point("noise.away", f64::from(value));
        socket
            .send_to(&datagram("udp.away", f64::from(value)), &msgpack)
            .unwrap();
    }
    skyring.wait_for("received all", |counts| counts.received == 51);
    let changed = plan
        .set("horizon.skip", "[\"noise\"]")
        .set("horizon.msgpack", "[]")
        .set("horizon.pickle", format!("[{ANY}, {ANY}]"));
    let told = [
        format!("horizon.pickle: [{ANY}] -> [{ANY}, {ANY}]"),
        format!("horizon.msgpack: [{ANY}] -> []"),
        "horizon.skip: [\"skipped\"] -> [\"noise\"]".to_owned(),
    ];
    skyring.reload(&changed, &told.each_ref().map(String::as_str));
    let mut second = Sender::connect(&skyring.addresses_of("pickle")[1]);
    sender.send_point("noise.away", 50.0);
    second.send_point("second.away", 0.0);
    let counts = skyring.wait_for("received all", |counts| counts.received == 53);
    assert_eq!(counts.dropped, BTreeMap::from([("skipped".to_owned(), 1)]));
    assert_eq!((counts.stored, counts.in_flight), (1, 51));
    assert_eq!(skyring.counts_of("msgpack").in_flight, 50);
    redis.launch();
    assert_eq!(skyring.wait_until_settled_of("pickle", 53).stored, 52);
    assert_eq!(skyring.wait_until_settled_of("msgpack", 50).stored, 50);
    let wanted: Vec<f64> = (0..50).map(f64::from).collect();
    for name in ["noise.away", "udp.away"] {
        assert_eq!(values_of(&redis.series(name), name), wanted, "{name}");
    }
    skyring.finish();
}

/// SIGTERM on the heels of a reload that removes listeners: what is queued there
/// is stored all the same.
#[test]
fn sigterm_right_after_a_reload_loses_nothing() {
    let redis = Redis::start();
    for round in 0..5 {
        let plan = plan_of_three(&redis).set("cluster.shards", "{}");
        let mut skyring = plan.start();
        let [pickle, _, msgpack, ..] =
            LISTENERS.map(|listener| skyring.addresses_of(listener).pop().unwrap_or_default());
        let mut before = Sender::connect(&pickle);
        before.send_point(&format!("before{round}"), 0.0);
        skyring.wait_until_settled_of("pickle", 1);
        skyring.process.signal(Signal::STOP);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut open = Vec::new();
        for value in 1..=50 {
            let value = f64::from(value);
            before.send_point(&format!("before{round}"), value);
            let mut sender = TcpStream::connect(&pickle).unwrap();
            let point = [(&*format!("queued{round}"), now_s() as f64, value)];
            sender.write_all(&frame(&point)).unwrap();
            open.push(sender);
            socket
                .send_to(&datagram(&format!("udp{round}"), value), &msgpack)
                .unwrap();
        }
        let removed = plan
            .set("horizon.pickle", "[]")
            .set("horizon.msgpack", "[]");
        removed.file();
        skyring.process.signal(Signal::HUP);
        skyring.process.signal(Signal::TERM);
        skyring.process.signal(Signal::CONT);
        assert_eq!(skyring.exit_code(), 0, "{}", skyring.process.stderr());
        let count = |name: &str| {
            let name = format!("{name}{round}");
            values_of(&redis.series(&name), &name).len()
        };
        assert_eq!(["before", "queued", "udp"].map(count), [51, 50, 50]);
    }
}
