//! The operator's rules: which points are stored under which name, through every
//! listener, what is counted, and that `test-rules` says the same beforehand.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::fixture::listener::ALL;
use crate::fixture::redis::Redis;
use crate::fixture::run::run;
use crate::fixture::sender::{Sender, frame, record};
use crate::fixture::skyring::{Plan, Skyring};
use crate::fixture::{eventually, holds, now_s};

/// Several names under one; a name that is dropped where it comes in, and stored under
/// where another is renamed to it; a list of what is kept, before what is dropped.
const RULES: &str = "[\
    { name = 'hosts', match = '^servers\\.(web|db)\\d+\\.', action = 'rename', to = '${1}.' }, \
    { name = 'probes', prefix = 'probe.', action = 'drop' }, \
    { match = '^(stats|web|db)\\.', action = 'keep' }, \
    { name = 'synth', prefix = 'synthetic.', action = 'rename', to = 'probe.' }, \
    { name = 'noise', match = '\\.noise$', action = 'drop' } ]";

/// Each name, what it is stored as, and the last rule that fits.
const NAMES: [(&str, Option<&str>, Option<&str>); 11] = [
    ("servers.web01.cpu", Some("web.cpu"), Some("3")),
    ("servers.web02.cpu", Some("web.cpu"), Some("3")),
    ("web.cpu", Some("web.cpu"), Some("3")),
    ("servers.db7.noise", Some("db.noise"), Some("3")),
    ("servers.mail1.cpu", Some("servers.mail1.cpu"), None),
    ("probe.a", None, Some("probes")),
    ("synthetic.a", Some("probe.a"), Some("synth")),
    ("stats.noise", Some("stats.noise"), Some("3")),
    ("other.noise", None, Some("noise")),
    ("other.caf\u{e9}", Some("other.caf\u{e9}"), None),
    ("synthetic.skyline.mirage.x", None, Some("synth")),
];

fn stored() -> BTreeSet<String> {
    let stored = NAMES.iter().filter_map(|(_, stored, _)| *stored);
    stored.map(str::to_owned).collect()
}

fn points_by_rule(skyring: &Skyring) -> BTreeMap<String, u64> {
    let status = skyring.status();
    let rules = status["rules"].as_array().unwrap().iter();
    rules
        .map(|rule| {
            (
                rule["name"].as_str().unwrap().to_owned(),
                rule["points"].as_u64().unwrap(),
            )
        })
        .collect()
}

/// Through every listener; in Redis, among the names that other programs read, and in
/// counters there is nothing of a name from the wire that rules have changed.
#[test]
fn rules_hold_for_every_listener_and_for_all_that_others_read() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis)
        .with_lines()
        .set("horizon.side_keys_s", 1)
        .set("rule", RULES)
        .start();
    let mut sent = 0;
    let mut skipped = 0;
    for listener in ALL {
        let listener = skyring.listener(listener);
        let now = now_s() as f64;
        for value in [1.0, 2.0] {
            let points: Vec<_> = NAMES.iter().map(|(name, ..)| (*name, now, value)).collect();
            listener.send(&points);
        }
        let counts = listener.wait_until_settled(2 * NAMES.len() as u64);
        assert_eq!(counts.dropped.get("rule"), Some(&4), "{:?}", counts.dropped);
        skipped += counts.dropped.get("skipped").copied().unwrap_or(0);
        sent += counts.received;
    }
    assert_eq!(skipped, 8, "skip lists see the new name");
    assert_eq!(redis.keys(), stored());
    assert_eq!(redis.members(), stored());
    let mut expected = BTreeMap::new();
    for (_, _, rule) in NAMES {
        if let Some(rule) = rule {
            *expected.entry(rule.to_owned()).or_default() += 2 * ALL.len() as u64;
        }
    }
    expected.insert("hosts".to_owned(), 0);
    assert_eq!(points_by_rule(&skyring), expected);
    assert_eq!(
        redis.series("web.cpu").len() as u64,
        3 * 19 * 2 * ALL.len() as u64
    );
    let received: BTreeSet<String> = eventually("the names received are listed", || {
        let received: BTreeSet<String> = redis.run(&["SMEMBERS", "aet.horizon.metrics_received"]);
        holds(received.is_superset(&stored()), || format!("{received:?}"))?;
        Ok(received)
    });
    let mut known = stored();
    known.insert("probe.skyline.mirage.x".to_owned());
    assert_eq!(received, known);
    let page = skyring.get("/metrics").body;
    let sample = "skyring_rule_points_total{rule=\"noise\",action=\"drop\"} 8\n";
    assert!(page.contains(sample), "{page}");
    assert_eq!(sent, 8 * NAMES.len() as u64);
    skyring.finish();
}

/// A series has its points in the order in which one connection sent them, whatever
/// names they came under.
#[test]
fn points_of_several_names_keep_their_order_in_one_series() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).set("rule", RULES).start();
    let mut sender = Sender::connect(&skyring.pickle());
    let now = now_s() as f64;
    let names = ["servers.web01.cpu", "web.cpu", "servers.web02.cpu"];
    let mut expected = Vec::new();
    for at in 0..3000 {
        let value = f64::from(at);
        sender.send(&frame(&[(names[at as usize % 3], now, value)]));
        expected.extend(record(now, value));
    }
    skyring.wait_until_settled(3000);
    assert_eq!(redis.series("web.cpu"), expected);
    skyring.finish();
}

/// A reload has every metric judged anew; one at fault changes nothing.
#[test]
fn a_reload_changes_the_rules_and_counters_go_on() {
    let redis = Redis::start();
    let plan = Plan::with(&redis).set("rule", "[{ name = 'a', prefix = 'a.', action = 'drop' }]");
    let mut skyring = plan.start();
    let mut sender = Sender::connect(&skyring.pickle());
    let point = frame(&[("a.x", now_s() as f64, 1.0)]);
    sender.send(&point);
    skyring.wait_until_settled(1);
    let rules = "[{ name = 'a', prefix = 'a.', action = 'rename', to = 'b.' }]";
    skyring.reload(
        &plan.clone().set("rule", rules),
        &[
            "rule: [{ \"name\" = \"a\", \"prefix\" = \"a.\", \"action\" = \"drop\" }] -> \
            [{ \"name\" = \"a\", \"prefix\" = \"a.\", \"action\" = \"rename\", \"to\" = \"b.\" }]",
        ],
    );
    sender.send(&point);
    let counts = skyring.wait_until_settled(2);
    assert_eq!((counts.stored, counts.dropped["rule"]), (1, 1));
    assert_eq!(redis.keys(), BTreeSet::from(["b.x".to_owned()]));
    assert_eq!(points_by_rule(&skyring)["a"], 2);
    plan.clone()
        .set("rule", "[{ match = '(', action = 'drop' }]")
        .file();
    skyring.process.signal(rustix::process::Signal::HUP);
    eventually("the fault was told", || {
        let told = skyring.told_of_reloads();
        holds(
            told.iter().any(|line| line.contains("unclosed group")),
            || format!("{told:?}"),
        )
    });
    sender.send(&point);
    assert_eq!(skyring.wait_until_settled(3).stored, 2);
    skyring.finish();
}

/// What `test-rules` says beforehand is what the server then does.
#[test]
fn test_rules_says_what_the_server_does() {
    let redis = Redis::start();
    let plan = Plan::with(&redis)
        .set("rule", RULES)
        .set("flux.listen", "[]")
        .set("cluster.node", "\"a\"")
        .set("cluster.shards", "{ a = 0, b = 1 }");
    let skyring = plan.start();
    let kinds = [
        "servers.web",
        "servers.mail",
        "probe.p",
        "synthetic.s",
        "other.skyline.mirage.x",
    ];
    let ends = ["", ".noise", "\u{202e}"];
    let mut names: Vec<String> = Vec::new();
    for kind in kinds {
        for number in 0..20 {
            names.push(format!("{kind}{number}.cpu{}", ends[number % ends.len()]));
        }
    }
    let file = plan.file();
    let arguments = ["test-rules", "--json", "--config", file.to_str().unwrap()];
    let ended = run(&arguments, names.join("\n").as_bytes());
    assert_eq!((ended.code, &*ended.stderr), (0, ""));
    let told: Vec<Value> = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(told.len(), names.len());
    let now = now_s() as f64;
    let points: Vec<_> = names.iter().map(|name| (name.as_str(), now, 1.0)).collect();
    Sender::connect(&skyring.pickle()).send(&frame(&points));
    let counts = skyring.wait_until_settled(names.len() as u64);
    let (mut keys, mut dropped, mut by_rule) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
    for fate in &told {
        match fate["dropped"].as_str() {
            Some(reason) => *dropped.entry(reason.to_owned()).or_insert(0) += 1,
            None => drop(keys.insert(fate["stored_as"].as_str().unwrap().to_owned())),
        }
        if let Some(rule) = fate["rules"].as_array().unwrap().last() {
            *by_rule
                .entry(rule.as_str().unwrap().to_owned())
                .or_insert(0) += 1;
        }
    }
    assert!(
        dropped.len() == 4 && by_rule.len() == 4,
        "{dropped:?} {by_rule:?}"
    );
    assert_eq!(redis.keys(), keys);
    assert_eq!(counts.dropped, dropped);
    let mut counted = points_by_rule(&skyring);
    counted.retain(|_, points| *points > 0);
    assert_eq!(counted, by_rule);
    skyring.finish();
}
