//! Several Skyrings that share out the metrics, wired as Skyline's
//! documentation wires its instances; and who owns what.
//!
//! ```text
//! senders --> relay X --> Skyring X                (its pickle listener)
//!                    `--> relay-b of each other node --> the Skyring there
//!                                                  (its shard listener)
//! ```

use std::collections::{BTreeMap, BTreeSet};

use rustix::process::Signal;

use crate::fixture::carbon::CarbonRelay;
use crate::fixture::redis::Redis;
use crate::fixture::run::run;
use crate::fixture::skyring::{Plan, Skyring, command};
use crate::fixture::{eventually, holds, now_s, python};

const NODES: [&str; 3] = ["graphite-a", "graphite-b", "graphite-c"];
/// Points of each metric in one wave.
const POINTS: u64 = 3;

/// One machine of the cluster, without the relay in front of it.
struct Node {
    skyring: Skyring,
    plan: Plan,
}

/// A table of the first `count` nodes.
fn table(count: usize) -> String {
    let rows: Vec<String> = NODES[..count]
        .iter()
        .enumerate()
        .map(|(number, node)| format!("\"{node}\" = {number}"))
        .collect();
    format!("{{ {} }}", rows.join(", "))
}

fn names() -> Vec<String> {
    let plain = (0..240).map(|at| format!("stats.web{at:03}.cpu-{}.user", at % 4));
    let odd = ["caf\u{e9}.requests", "\u{65e5}\u{672c}.cpu", "a;dc=one;k=v"];
    plain.chain(odd.map(str::to_owned)).collect()
}

/// One wave of lines for each of `relays` relays: each metric is sent to one of
/// them.
fn wave(names: &[String], relays: usize, first: u64) -> Vec<String> {
    let mut lines = vec![String::new(); relays];
    let now = now_s();
    for point in first..first + POINTS {
        for (at, name) in names.iter().enumerate() {
            lines[at % relays] += &format!("{name} {point}.{at} {}\n", now - 60 + point);
        }
    }
    lines
}

/// The metrics of a node's own pickle listener and of its shard listener
/// together: received, stored, and dropped by reason.
fn books(skyring: &Skyring) -> (u64, u64, BTreeMap<String, u64>) {
    let [own, others] = ["pickle", "shard_pickle"].map(|listener| skyring.counts_of(listener));
    let mut dropped = own.dropped;
    for (reason, count) in others.dropped {
        *dropped.entry(reason).or_default() += count;
    }
    let received = own.received + others.received;
    (received, own.stored + others.stored, dropped)
}

/// Waits until a node has received so many points and settled them, of which
/// `mine` are stored and all others belong to other nodes.
fn wait_for_books(node: &Node, received: u64, mine: u64) {
    let wanted = BTreeMap::from([("not_mine".to_owned(), received - mine)]);
    eventually("every node had its share", || {
        let seen = books(&node.skyring);
        holds(seen == (received, mine, wanted.clone()), || {
            format!("{seen:?}, wanted {:?}", (received, mine, &wanted))
        })
    });
}

/// Connections that are open, and that were accepted, of both pickle listeners.
fn accepted(skyring: &Skyring) -> [u64; 4] {
    let [own, others] = ["pickle", "shard_pickle"].map(|listener| skyring.counts_of(listener));
    [own, others]
        .map(|counts| {
            let number = |name| counts.number(name);
            [number("connections"), number("connections_accepted")]
        })
        .concat()
        .try_into()
        .unwrap()
}

/// Three nodes: each metric is in exactly one Redis, the one that Python's zlib
/// says, byte for byte as Python packs it. Then one node is killed, and the
/// others, told of it by a changed table, take over its names at once, on the
/// connections that they have.
#[test]
fn three_nodes_share_the_metrics_and_two_take_over() {
    let redises: Vec<Redis> = NODES.iter().map(|_| Redis::start()).collect();
    let plans = NODES.iter().zip(&redises).map(|(node, redis)| {
        Plan::with(redis)
            .set("cluster.node", format!("\"{node}\""))
            .set("cluster.shards", table(3))
            .set("flux.listen", "[]")
            .set("shards", 1)
    });
    let mut nodes: Vec<Node> = plans
        .map(|plan| Node {
            skyring: plan.spawn(),
            plan,
        })
        .collect();
    for node in &mut nodes {
        node.skyring.wait_until_ready();
    }
    let shard_pickle = |node: &Node| node.skyring.addresses_of("shard_pickle");
    let local_only: Vec<Vec<String>> = nodes.iter().map(shard_pickle).collect();
    let mut relay_bs = CarbonRelay::start_copying(&local_only);
    let destinations = |at: usize| {
        let others = relay_bs
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != at);
        let others = others.map(|(_, relay_b)| relay_b.pickle());
        std::iter::once(nodes[at].skyring.pickle())
            .chain(others)
            .collect()
    };
    let all: Vec<Vec<String>> = (0..NODES.len()).map(destinations).collect();
    let mut relays = CarbonRelay::start_copying(&all);

    let names = names();
    let owners_of_three = python::owners(&names, 3);
    let first = wave(&names, 3, 0);
    for (relay, lines) in relays.iter().zip(&first) {
        relay.send(lines);
    }
    let points = names.len() as u64 * POINTS;
    let share = |owners: &[usize], node: usize| {
        let mine = owners.iter().filter(|owner| **owner == node).count();
        mine as u64 * POINTS
    };
    for (at, node) in nodes.iter().enumerate() {
        wait_for_books(node, points, share(&owners_of_three, at));
    }
    let mut wanted: [BTreeMap<String, Vec<u8>>; 3] = Default::default();
    let records = python::records_of_lines(&first.concat());
    for (name, owner) in names.iter().zip(&owners_of_three) {
        wanted[*owner].insert(name.clone(), records[name].clone());
    }
    for (redis, wanted) in redises.iter().zip(&wanted) {
        assert_holds(redis, wanted);
    }

    let mut lost = nodes.pop().unwrap();
    lost.skyring.process.signal(Signal::KILL);
    lost.skyring.process.exit();
    relays.pop().unwrap().crash();
    relay_bs.pop().unwrap().crash();
    let change = format!("cluster.shards: {} -> {}", table(3), table(2));
    for node in &mut nodes {
        let before = accepted(&node.skyring);
        assert_eq!(before, [1; 4], "its relay's and its relay-b's connection");
        let plan = node.plan.clone().set("cluster.shards", table(2));
        node.skyring.reload(&plan, &[&change]);
        assert_eq!(accepted(&node.skyring), before, "the connections stay");
    }
    let owners_of_two = python::owners(&names, 2);
    let second = wave(&names, 2, POINTS);
    for (relay, lines) in relays.iter().zip(&second) {
        relay.send(lines);
    }
    for (at, node) in nodes.iter().enumerate() {
        let stored = share(&owners_of_three, at) + share(&owners_of_two, at);
        wait_for_books(node, 2 * points, stored);
    }
    let records = python::records_of_lines(&second.concat());
    for (name, owner) in names.iter().zip(&owners_of_two) {
        let series = wanted[*owner].entry(name.clone()).or_default();
        series.extend(&records[name]);
    }
    for (redis, wanted) in redises.iter().zip(&wanted) {
        assert_holds(redis, wanted);
    }
    for node in nodes {
        node.skyring.finish();
    }
}

/// Redis holds these series and no other.
fn assert_holds(redis: &Redis, wanted: &BTreeMap<String, Vec<u8>>) {
    for (name, records) in wanted {
        assert!(redis.series(name) == *records, "{name}");
    }
    let names: BTreeSet<String> = wanted.keys().cloned().collect();
    assert_eq!(redis.keys(), names);
    assert_eq!(redis.members(), names);
}

/// Runs `skyring owner` with this standard input: exit code, standard output,
/// standard error.
fn owner(arguments: &[&str], input: &[u8]) -> (i32, String, String) {
    let ended = run(&[&["owner"], arguments].concat(), input);
    (ended.code, ended.stdout, ended.stderr)
}

/// Names of many lengths and scripts: every one goes to the node that Python
/// names, for tables of several sizes, whatever the order in which they are
/// written.
#[test]
fn owner_names_the_node_that_python_finds() {
    let letters = [
        "a", "Z", "9", ".", "-", "_", " ", ";k=v", "\u{e9}", "\u{3b1}", "\u{65e5}",
    ];
    let mut names = names();
    let mut seed = 1_u64;
    for length in (1..=120).chain([300, 1000, 2000]) {
        let mut name = String::new();
        for _ in 0..length {
            // The constants of Knuth's generator: the same names each time.
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            name += letters[(seed >> 33) as usize % letters.len()];
        }
        names.push(name);
    }
    names.push("\u{1f600}".to_owned());
    names.push("x".repeat(4096));
    let input = names.iter().map(|name| format!("{name}\n"));
    let input: String = input.collect();
    for count in [1, 2, 3, 7, 60] {
        let rows = (0..count).rev().map(|at| format!("\"node {at}\" = {at}"));
        let shards = rows.collect::<Vec<_>>().join(", ");
        let shards = format!("cluster.shards={{ {shards} }}");
        let set = ["--set", &shards, "--set", "cluster.node=node 0"];
        let set = [&set[..], &["--set", "flux.listen=[]"]].concat();
        let (code, stdout, stderr) = owner(&set, input.as_bytes());
        assert_eq!((code, stderr.as_str()), (0, ""));
        let wanted: Vec<String> = names
            .iter()
            .zip(python::owners(&names, count))
            .map(|(name, owner)| format!("{name} node {owner}"))
            .collect();
        assert_eq!(stdout.lines().collect::<Vec<_>>(), wanted, "{count}");
    }
}

/// Names on the command line, with a table from a file; without a table this
/// node owns everything.
#[test]
fn owner_takes_names_as_arguments_and_its_table_from_a_file() {
    let plan = Plan::private()
        .set("cluster.node", "\"graphite-b\"")
        .set("flux.listen", "[]");
    let file = plan.clone().set("cluster.shards", table(3)).file();
    let config = ["--config", file.to_str().unwrap()];
    // Owners by Python's zlib.
    let names = ["stats.web01.cpu.user", "a.b", "vista.app1.requests"];
    let arguments = [&names[..], &config].concat();
    let (code, stdout, _) = owner(&arguments, b"not.read\n");
    let wanted =
        "stats.web01.cpu.user graphite-c\na.b graphite-a\nvista.app1.requests graphite-b\n";
    assert_eq!((code, stdout.as_str()), (0, wanted));
    plan.file();
    let (code, stdout, _) = owner(&config, b"a.b\nstats.web01.cpu.user");
    let wanted = "a.b graphite-b\nstats.web01.cpu.user graphite-b\n";
    assert_eq!((code, stdout.as_str()), (0, wanted));
}

/// Names that no node would store are told, one line each, and cost only
/// themselves.
#[test]
fn owner_refuses_names_that_would_not_be_stored() {
    let set = [
        "--set",
        "cluster.node=here",
        "--set",
        "horizon.name_bytes_max=20",
    ];
    let input = b"good\n\nbad\x1b[31m\ncaf\xe9\n123456789012345678901\ngood.too\n";
    let (code, stdout, stderr) = owner(&set, input);
    assert_eq!((code, stdout.as_str()), (1, "good here\ngood.too here\n"));
    let told: Vec<&str> = stderr.lines().collect();
    assert_eq!(told.len(), 4, "{stderr}");
    assert!(told[1].contains("bad\\u{1b}[31m"), "{stderr}");
    assert!(told[3].contains("horizon.name_bytes_max is 20"), "{stderr}");
    let (code, stdout, stderr) = owner(&["--set", "cluster.shards={ a = 1 }", "x"], b"");
    assert_eq!((code, stdout.as_str()), (2, ""), "{stderr}");
}

/// A table that leaves names without an owner, or this node without names, stops
/// the start; the message has the table as it should be.
#[test]
fn a_bad_table_is_refused_at_the_start_and_by_check() {
    let renumbered = "shards = { \"graphite-a\" = 0, \"graphite-c\" = 1 }";
    let with_me = "shards = { \"graphite-a\" = 0, \"graphite-b\" = 1, \"graphite-c\" = 2 }";
    let faults = [
        (
            "{ graphite-a = 0, graphite-c = 2 }",
            "graphite-a",
            renumbered,
        ),
        (
            "{ graphite-a = 1, graphite-c = 2 }",
            "graphite-a",
            renumbered,
        ),
        (
            "{ graphite-a = 0, graphite-c = 0 }",
            "graphite-a",
            renumbered,
        ),
        ("{ graphite-a = 0, graphite-b = 1 }", "graphite-c", with_me),
        (
            "{ graphite-a = 0, graphite-b = 1 }",
            "graphite",
            "\"graphite\" = 2",
        ),
    ];
    for (shards, node, mend) in faults {
        let plan = Plan::private()
            .set("cluster.node", format!("\"{node}\""))
            .set("cluster.shards", shards);
        let file = plan.file();
        for subcommand in ["serve", "check", "config", "owner"] {
            let mut process = command(&[subcommand, "--config", file.to_str().unwrap()]);
            let code = process.exit().code();
            let stderr = process.stderr();
            assert_eq!(code, Some(2), "{subcommand} {shards}: {stderr}");
            assert_eq!(stderr.lines().count(), 1, "{subcommand} {shards}: {stderr}");
            assert!(stderr.contains(mend), "{subcommand} {shards}: {stderr}");
            assert!(stderr.contains("cluster."), "{stderr}");
            assert_eq!(process.stdout(), "");
        }
    }
}
