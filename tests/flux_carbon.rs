//! Flux's way to Graphite: Debian's carbon-cache and carbon-relay, and receivers that
//! hang, go, and come back.

use std::collections::BTreeSet;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;

use rustix::process::Signal;
use serde_json::{Value, json};
use skyring::flux::Carbon;
use skyring::point::Number;
use skyring::settings::GraphiteSettings;
use skyring::shard::OwnedPoint;

use crate::fixture::carbon::CarbonRelay;
use crate::fixture::carbon_cache::CarbonCache;
use crate::fixture::process::Process;
use crate::fixture::redis::Redis;
use crate::fixture::sender::record;
use crate::fixture::skyring::{Plan, Skyring, command};
use crate::fixture::{eventually, free_port, holds, now_s, python};
use crate::flux::{KEY, address, get, plan, post};

/// Real Python that prints what carbon's pickle receiver would read, as it reads it.
struct Receiver {
    port: u16,
    process: Process,
}

impl Receiver {
    fn start(port: u16) -> Receiver {
        let script = "/tests/python/carbon_receiver.py";
        let script = format!("{}{script}", env!("CARGO_MANIFEST_DIR"));
        let process = Process::start("receiver", "/usr/bin/python3", |command| {
            command.arg(script).arg(port.to_string());
        });
        let port = eventually("the receiver listened", || {
            let text = process.stdout();
            let line = text.split_once('\n').ok_or_else(|| process.stderr())?.0;
            line.parse().map_err(|error| format!("{line}: {error}"))
        });
        Receiver { port, process }
    }

    /// What it has received, frame by frame: name, timestamp, value.
    fn frames(&self) -> Vec<Vec<(String, i64, f64)>> {
        let text = self.process.stdout();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let point = |point: &Value| {
            assert_eq!((&point[3], &point[4]), (&"int".into(), &"float".into()));
            let name = point[0].as_str().unwrap().to_owned();
            (name, point[1].as_i64().unwrap(), point[2].as_f64().unwrap())
        };
        let frame = |line: &str| {
            let points: Vec<Value> = serde_json::from_str(line).unwrap();
            points.iter().map(point).collect()
        };
        whole.lines().skip(1).map(frame).collect()
    }

    fn points(&self) -> Vec<(String, i64, f64)> {
        self.frames().concat()
    }

    /// Kills it with SIGKILL, waits until it is gone, and returns what it had received.
    fn crash(mut self) -> Vec<(String, i64, f64)> {
        self.process.signal(Signal::KILL);
        self.process.exit();
        self.points()
    }
}

/// A server whose Flux delivers to this port, and asks for a proof ten times a second.
fn plan_to(redis: &Redis, port: u16) -> Plan {
    plan(redis)
        .set("graphite.carbon_pickle", format!("\"127.0.0.1:{port}\""))
        .set("graphite.confirm_ms", 100)
}

fn carbon_status(skyring: &Skyring) -> Value {
    skyring.status()["flux"]["carbon"].clone()
}

fn wait_until(skyring: &Skyring, what: &str, condition: impl Fn(&Value) -> bool) {
    eventually(what, || {
        let status = carbon_status(skyring);
        holds(condition(&status), || status.to_string())
    });
}

fn is_all_delivered(status: &Value) -> bool {
    status["queue_points"] == 0
}

/// `GET /metric_data` of one point; its code.
fn send(address: &str, metric: &str, timestamp: u64, value: f64) -> u16 {
    let query = format!("metric={metric}&value={value}&timestamp={timestamp}&key={KEY}");
    get(address, &query).code
}

/// What carbon-cache is sent is in its files, also after it was killed.
#[test]
fn carbon_cache_writes_what_was_delivered() {
    let mut cache = CarbonCache::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let settings = GraphiteSettings {
        confirm_ms: 50,
        ..GraphiteSettings::default()
    };
    let to = cache.pickle().parse().unwrap();
    let carbon = Carbon::start(runtime.handle(), to, &settings);
    let minute = now_s() as i64 / 60 * 60;
    let points = |first: i64| -> Vec<OwnedPoint> {
        let point = |at: i64| OwnedPoint {
            name: format!("flux.metric{}", at % 3),
            timestamp: Number::Int(minute - 60 * (at / 3)),
            value: Number::Float(at as f64 / 4.0),
        };
        (first..first + 300).map(point).collect()
    };
    let (done, told) = mpsc::channel();
    let say = done.clone();
    let say = move |is_good| say.send(is_good).unwrap();
    carbon.queue(points(0), say).unwrap();
    assert!(told.recv().unwrap());
    let has = |cache: &CarbonCache, count: usize| {
        eventually("everything was in the files", || {
            let points = cache.points("flux.metric1");
            holds(points.len() == count, || format!("{points:?}"))
        });
    };
    has(&cache, 100);
    cache.crash();
    let say = move |is_good| done.send(is_good).unwrap();
    carbon.queue(points(300), say).unwrap();
    cache.restart();
    assert!(told.recv().unwrap());
    has(&cache, 200);
    assert_eq!(cache.points("flux.metric1")[&(minute - 60)], 1.0);
}

/// Points of a POST over Debian's carbon-cache into its files, and `check` says that
/// it can be reached, or which firewall to look at.
#[test]
fn posted_points_are_in_graphites_files() {
    let mut cache = CarbonCache::start();
    let redis = Redis::start();
    let plan = plan(&redis)
        .set("graphite.carbon_pickle", format!("\"{}\"", cache.pickle()))
        .set("graphite.confirm_ms", 100);
    let skyring = plan.start();
    let minute = now_s() / 60 * 60;
    let metrics: Vec<Value> = (0..20)
        .map(|at| json!({ "metric": format!("posted.m{at}"), "value": at, "timestamp": minute }))
        .collect();
    let body = json!({ "key": KEY, "metrics": metrics });
    assert_eq!(post(&address(&skyring), body.to_string()).code, 204);
    wait_until(&skyring, "all was delivered", is_all_delivered);
    for at in [0, 1, 19] {
        eventually("the point was in its file", || {
            let points = cache.points(&format!("posted.m{at}"));
            let wanted = [(minute as i64, f64::from(at))].into();
            holds(points == wanted, || format!("{points:?}"))
        });
    }
    assert!(redis.keys().iter().all(|key| !key.starts_with("posted.")));
    skyring.finish();
    let check = || {
        let file = plan.file();
        let mut process = command(&["check", "--config", file.to_str().unwrap()]);
        process.exit();
        process.stdout() + &process.stderr()
    };
    let good = check();
    assert!(
        good.contains("ok    carbon: graphite.carbon_pickle"),
        "{good}"
    );
    cache.crash();
    let bad = check();
    let line = bad.lines().find(|line| line.starts_with("fault carbon"));
    assert!(line.is_some_and(|line| line.contains("firewall")), "{bad}");
}

/// A receiver that is killed in the middle of traffic and comes back, three times:
/// every point that was answered 204 has been received by one of them. What a
/// receiver was sent twice is what may be.
#[test]
fn what_was_acknowledged_is_received_though_the_receiver_is_killed() {
    let redis = Redis::start();
    let receiver = Receiver::start(0);
    let port = receiver.port;
    let skyring = plan_to(&redis, port).start();
    let address = &address(&skyring);
    let now = now_s();
    let is_over = &AtomicBool::new(false);
    let sent = &AtomicU64::new(0);
    let mut received = Vec::new();
    let (acknowledged, receiver) = std::thread::scope(|scope| {
        let mut receiver = receiver;
        let clients: Vec<_> = (0..3)
            .map(|client| {
                scope.spawn(move || {
                    let mut acknowledged = Vec::new();
                    for at in 0.. {
                        if is_over.load(Ordering::Relaxed) {
                            break;
                        }
                        let metric = format!("c{client}.m{at}");
                        if send(address, &metric, now, 1.0) == 204 {
                            acknowledged.push(metric);
                            sent.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    acknowledged
                })
            })
            .collect();
        let more = |count: u64| {
            let before = sent.load(Ordering::Relaxed);
            eventually("more was acknowledged", || {
                let now = sent.load(Ordering::Relaxed);
                holds(now >= before + count, || now.to_string())
            });
        };
        for _ in 0..3 {
            more(50);
            received.extend(receiver.crash());
            wait_until(&skyring, "it was seen gone", |status| {
                status["connected"] == false
            });
            more(50);
            receiver = Receiver::start(port);
            wait_until(&skyring, "it was seen back", |status| {
                status["connected"] == true
            });
        }
        more(50);
        is_over.store(true, Ordering::Relaxed);
        let clients = clients.into_iter();
        let acknowledged: Vec<String> = clients.flat_map(|client| client.join().unwrap()).collect();
        (acknowledged, receiver)
    });
    wait_until(&skyring, "all was delivered", is_all_delivered);
    let status = carbon_status(&skyring);
    assert_eq!(status["delivered"], acknowledged.len() as u64, "{status}");
    skyring.finish();
    received.extend(receiver.crash());
    let received: BTreeSet<String> = received.into_iter().map(|(name, ..)| name).collect();
    let missing: Vec<&String> = acknowledged
        .iter()
        .filter(|metric| !received.contains(*metric))
        .collect();
    assert!(
        missing.is_empty(),
        "{} acknowledged, missing {missing:?}",
        acknowledged.len()
    );
}

/// While carbon is away: the last timestamps say nothing of what it has not read, a
/// point is not taken twice, and behind the bound clients are told when to try again.
/// Then everything arrives, in order.
#[test]
fn while_carbon_is_away_points_wait_within_the_bound() {
    let redis = Redis::start();
    let port = free_port();
    let skyring = plan_to(&redis, port)
        .set("graphite.queue_points_max", 3)
        .start();
    let address = address(&skyring);
    let now = now_s();
    for at in 0..3 {
        assert_eq!(send(&address, "away.m", now - 10 + at, at as f64), 204);
    }
    let again = send(&address, "away.m", now - 8, 2.0);
    assert_eq!(again, 204, "what is on its way is received already");
    let full = get(
        &address,
        &format!("metric=away.m&value=3&timestamp={now}&key={KEY}"),
    );
    assert_eq!(full.code, 503);
    assert!(
        full.head.to_lowercase().contains("\r\nretry-after: "),
        "{}",
        full.head
    );
    wait_until(&skyring, "it was told", |status| status["error"] != "");
    let last = || redis.run::<Option<String>>(&["HGET", "flux.last.metric_data", "away.m"]);
    assert_eq!(last(), None);
    let receiver = Receiver::start(port);
    wait_until(&skyring, "all was delivered", is_all_delivered);
    let wanted: Vec<_> = (0..3)
        .map(|at| ("away.m".to_owned(), (now - 10) as i64 + at, at as f64))
        .collect();
    assert_eq!(receiver.points(), wanted);
    eventually("the last timestamp was told", || {
        let text = last().unwrap_or_default();
        holds(text.contains(&(now - 8).to_string()), || text.clone())
    });
    assert_eq!(send(&address, "away.m", now, 3.0), 204);
    skyring.finish();
    eventually("the end delivered it", || {
        let points = receiver.points();
        holds(points.len() == 4, || format!("{points:?}"))
    });
}

/// A point that is delivered while Redis is being told of an older one of its metric is
/// told too, though nothing more comes.
#[test]
fn what_is_delivered_while_redis_is_told_is_told_too() {
    let redis = Redis::start();
    let receiver = Receiver::start(0);
    let skyring = plan_to(&redis, receiver.port).start();
    let address = address(&skyring);
    let now = now_s();
    let told = |timestamp: u64| {
        eventually("the last timestamp was told", || {
            let last: Option<String> = redis.run(&["HGET", "flux.last.metric_data", "told.m"]);
            let text = last.unwrap_or_default();
            holds(text.contains(&timestamp.to_string()), || text.clone())
        });
    };
    assert_eq!(send(&address, "told.m", now - 2, 0.0), 204);
    told(now - 2);
    redis.run::<()>(&["CLIENT", "PAUSE", "60000", "WRITE"]);
    assert_eq!(send(&address, "told.m", now - 1, 1.0), 204);
    eventually("Redis was being told", || {
        let clients: String = redis.run(&["CLIENT", "LIST"]);
        let mut flags = clients
            .split(' ')
            .filter_map(|it| it.strip_prefix("flags="));
        // Held up, and the connection that hears of changes by others.
        let is_told = flags.any(|flags| flags.contains('b') && flags.contains('B'));
        holds(is_told, || clients.clone())
    });
    assert_eq!(send(&address, "told.m", now, 2.0), 204);
    wait_until(&skyring, "all was delivered", is_all_delivered);
    redis.run::<()>(&["CLIENT", "UNPAUSE"]);
    told(now);
    skyring.finish();
}

/// A client that is told to come again sends all of it again: no part of it, a point or
/// one that fills a gap, may have been taken before.
#[test]
fn what_does_not_fit_as_a_whole_is_not_taken_in_part() {
    let redis = Redis::start();
    let port = free_port();
    let skyring = plan_to(&redis, port)
        .set("graphite.queue_points_max", 2)
        .start();
    let now = now_s();
    let address = address(&skyring);
    let body = json!({"key": KEY, "metrics": [
        {"metric": "part.m", "value": 1, "timestamp": now},
        {"metric": "part.f", "value": 1, "timestamp": now, "fill": "true"},
    ]});
    let take = || post(&address, body.to_string()).code;
    assert_eq!(send(&address, "part.first", now, 1.0), 204);
    assert_eq!(take(), 503);
    assert_eq!(carbon_status(&skyring)["queue_points"], 1);
    let receiver = Receiver::start(port);
    wait_until(&skyring, "the first was delivered", is_all_delivered);
    assert_eq!(take(), 204);
    skyring.finish();
    let names: Vec<String> = receiver
        .points()
        .into_iter()
        .map(|(name, ..)| name)
        .collect();
    assert_eq!(names, ["part.first", "part.m", "part.f"]);
}

/// A carbon that is away at the end may be waited for; the data plane ends meanwhile,
/// since its senders and its points have their own time.
#[test]
fn while_the_end_waits_for_carbon_the_listeners_are_closed() {
    let redis = Redis::start();
    let port = free_port();
    let mut skyring = plan_to(&redis, port).set("drain_s", 600).start();
    assert_eq!(send(&address(&skyring), "end.m", now_s(), 1.0), 204);
    let pickle = skyring.pickle();
    skyring.process.signal(Signal::TERM);
    eventually("nothing more was accepted", || {
        let refused = TcpStream::connect(&pickle).is_err();
        holds(refused, || "it was".to_owned())
    });
    assert!(skyring.process.is_running());
    let receiver = Receiver::start(port);
    assert_eq!(skyring.exit_code(), 0);
    assert_eq!(receiver.points().len(), 1);
}

/// One that accepts and reads nothing, as a carbon does whose cache is full.
#[test]
fn at_the_end_a_carbon_that_reads_nothing_costs_its_points_and_the_exit_code_says_so() {
    let redis = Redis::start();
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = mute.local_addr().unwrap().port();
    let skyring = plan_to(&redis, port).set("drain_s", 1).start();
    let address = address(&skyring);
    for at in 0..5 {
        assert_eq!(send(&address, &format!("mute.m{at}"), now_s(), 1.0), 204);
    }
    wait_until(&skyring, "they waited", |status| {
        status["queue_points"] == 5
    });
    let mut skyring = skyring;
    skyring.process.signal(Signal::TERM);
    assert_eq!(skyring.exit_code(), 1);
    let log = skyring.process.stderr();
    assert!(log.contains("not delivered to carbon 5"), "{log}");
}

/// The way that Skyline's own have it: Flux, Graphite's relay, Horizon, Redis.
#[test]
fn points_come_back_from_carbon_relay_into_redis() {
    let redis = Redis::start();
    let pickle = format!("127.0.0.1:{}", free_port());
    let relay = CarbonRelay::start(std::slice::from_ref(&pickle));
    let skyring = plan(&redis)
        .set("horizon.pickle", format!("[\"{pickle}\"]"))
        .set("graphite.carbon_pickle", format!("\"{}\"", relay.pickle()))
        .set("graphite.confirm_ms", 100)
        .start();
    let now = now_s();
    let lines: String = (0..40)
        .map(|at| format!("relayed.m{} {}.5 {}\n", at % 4, at, now - 60 + at))
        .collect();
    for line in lines.lines() {
        let parts: Vec<&str> = line.split(' ').collect();
        let timestamp = parts[2].parse().unwrap();
        let value = parts[1].parse().unwrap();
        assert_eq!(send(&address(&skyring), parts[0], timestamp, value), 204);
    }
    skyring.wait_until_settled(40);
    for (metric, records) in &python::records_of_lines(&lines) {
        assert_eq!(&redis.series(metric), records, "{metric}");
    }
    skyring.finish();
}

/// Points of a day that is not over, from requests of their own and all alike: each
/// counts, and the end sends them.
#[test]
fn aggregated_points_count_each_and_the_end_sends_them() {
    let redis = Redis::start();
    let rule = "[{ namespace = 'hits', method = ['sum', 'max'], interval = 86400 }]";
    let skyring = plan(&redis)
        .set("flux.aggregate", rule)
        .set("flux.grace_s", 3600)
        .start();
    let address = address(&skyring);
    let now = now_s();
    for _ in 0..3 {
        assert_eq!(send(&address, "web.hits", now, 2.5), 204);
    }
    let metrics = json!([
        { "metric": "web.hits", "value": 2.5, "timestamp": now },
        { "metric": "web.other", "value": 1, "timestamp": now },
        { "metric": "web.hits", "value": 4.0, "timestamp": now },
    ]);
    let body = json!({ "key": KEY, "metrics": metrics });
    assert_eq!(post(&address, body.to_string()).code, 204);
    // All or nothing: a bad point leaves the sum as it was.
    let bad = json!({ "key": KEY, "metrics": [
        { "metric": "web.hits", "value": 100, "timestamp": now },
        { "metric": "web.hits", "value": "x", "timestamp": now },
    ] });
    assert_eq!(post(&address, bad.to_string()).code, 400);
    let status = skyring.status()["flux"]["aggregate"].clone();
    assert_eq!(
        (&status["points"], &status["periods"]),
        (&5.into(), &1.into()),
        "{status}"
    );
    let stored = redis.series("web.hits");
    assert!(stored.is_empty(), "only what is made of them is stored");
    skyring.finish();
    let day = now / 86_400 * 86_400;
    let lines = format!("web.hits.sum 14.0 {day}\nweb.hits.max 4.0 {day}\nweb.other 1.0 {now}\n");
    for (metric, records) in &python::records_of_graphite_lines(&lines) {
        assert_eq!(&redis.series(metric), records, "{metric}");
    }
}

/// Seconds without points get 0, or the last value, which may have been delivered
/// before this server was started.
#[test]
fn periods_without_points_are_filled() {
    let redis = Redis::start();
    let now = now_s();
    let before = format!("{{'timestamp': {}, 'value': 5.5}}", now - 30);
    let field = ["HSET", "flux.last.metric_data", "kept.state", &before];
    redis.run::<i64>(&field);
    let rules = "[{ namespace = 'zero', interval = 1, zero_fill = true }, \
                 { namespace = 'kept', interval = 1, last_known_value = true }, \
                 { namespace = 'none', interval = 1 }]";
    let skyring = plan(&redis)
        .set("flux.aggregate", rules)
        .set("flux.grace_s", 0)
        .start();
    let address = address(&skyring);
    let now = now_s();
    for metric in ["zero.errors", "kept.load", "none.load"] {
        assert_eq!(send(&address, metric, now, 7.25), 204);
    }
    let has = |metric: &str, value: f64| {
        eventually(&format!("{metric} was filled with {value}"), || {
            let series = redis.series(metric);
            let filled = (now..now + 120).filter(|second| {
                let wanted = fill(*second, value);
                series.windows(wanted.len()).any(|part| part == wanted)
            });
            let filled = filled.count();
            holds(filled >= 3, || format!("{filled} seconds: {series:02x?}"))
        });
    };
    has("zero.errors", 0.0);
    has("kept.load", 7.25);
    has("kept.state", 5.5);
    let series = redis.series("none.load");
    assert_eq!(series, fill(now, 7.25), "and nothing else is filled");
    skyring.finish();
}

/// The record of an integer timestamp and a float, as Python's msgpack packs it.
fn fill(timestamp: u64, value: f64) -> Vec<u8> {
    let float = record(0.0, value)[10..].to_vec();
    let mut packed = vec![0x92, 0xce];
    packed.extend((timestamp as u32).to_be_bytes());
    packed.extend(float);
    packed
}

/// A reload can begin to aggregate.
#[test]
fn a_reload_has_points_aggregated() {
    let redis = Redis::start();
    let plan = plan(&redis).set("flux.grace_s", 0);
    let mut skyring = plan.start();
    let address = address(&skyring);
    let send = |metric: &str| {
        let now = now_s();
        let point = |value: f64| json!({ "metric": metric, "timestamp": now, "value": value });
        let body = json!({ "key": KEY, "metrics": [point(1.5), point(1.75)] });
        assert_eq!(post(&address, body.to_string()).code, 204);
        now
    };
    let now = send("web.before");
    assert_eq!(
        redis.series("web.before"),
        fill(now, 1.5),
        "the second is not newer"
    );
    let rules = "[{ namespace = 'web', interval = 1, method = ['sum'] }]";
    plan.clone().set("flux.aggregate", rules).file();
    skyring.process.signal(Signal::HUP);
    eventually("the reload was told", || {
        let told = skyring.told_of_reloads();
        let line = told
            .iter()
            .find(|line| line.starts_with("flux.aggregate: "));
        let line = line.ok_or_else(|| format!("{told:?}"))?;
        assert!(!line.contains("restart"), "{line}");
        Ok(())
    });
    let now = send("web.after");
    eventually("the sum was stored", || {
        let series = redis.series("web.after");
        holds(series == fill(now, 3.25), || format!("{series:02x?}"))
    });
    skyring.finish();
}
