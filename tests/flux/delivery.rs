//! What 204 means: the points are in Redis, whatever happens next.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{KEY, address, get, plan, post, record};
use crate::fixture::redis::Redis;
use crate::fixture::{eventually, holds, now_s};

/// The answer to one request on a connection that is kept; `None` when it is gone.
fn ask(stream: &mut TcpStream, text: &str) -> Option<String> {
    stream.write_all(text.as_bytes()).ok()?;
    let mut answer = Vec::new();
    let mut byte = [0; 1024];
    while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(0) | Err(_) => return None,
            Ok(count) => answer.extend_from_slice(&byte[..count]),
        }
    }
    String::from_utf8(answer).ok()
}

/// Killed in the middle of traffic: every point that was answered 204 is in Redis.
#[test]
fn nothing_that_was_acknowledged_is_missing_after_a_kill() {
    let redis = Redis::start();
    let mut skyring = plan(&redis).start();
    let address = address(&skyring);
    let now = now_s();
    let acknowledged = Mutex::new(Vec::new());
    let (address, acknowledged) = (&address, &acknowledged);
    thread::scope(|scope| {
        for client in 0..8 {
            scope.spawn(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                for at in 0.. {
                    let metric = format!("c{client}.m{at}");
                    let text = format!(
                        "GET /metric_data?metric={metric}&timestamp={now}&value=1&key={KEY} HTTP/1.1\r\nHost: x\r\n\r\n"
                    );
                    match ask(&mut stream, &text) {
                        Some(answer) if answer.starts_with("HTTP/1.1 204 ") => {
                            acknowledged.lock().unwrap().push(metric);
                        }
                        Some(answer) => panic!("{answer}"),
                        None => return,
                    }
                }
            });
        }
        eventually("some were acknowledged", || {
            let count = acknowledged.lock().unwrap().len();
            holds(count >= 500, || count.to_string())
        });
        skyring.process.signal(Signal::KILL);
    });
    skyring.process.exit();
    let keys = redis.keys();
    for metric in acknowledged.lock().unwrap().iter() {
        assert!(keys.contains(metric), "{metric} was acknowledged");
    }
}

/// While Redis is away requests are told to try again, and those that do lose nothing.
#[test]
fn while_redis_is_away_clients_are_told_to_try_again() {
    let mut redis = Redis::durable();
    let skyring = plan(&redis).start();
    let address = address(&skyring);
    let now = now_s();
    assert_eq!(
        get(
            &address,
            &format!("metric=a&timestamp={now}&value=1&key={KEY}")
        )
        .code,
        204
    );
    redis.crash();
    eventually("it was seen that Redis is away", || {
        let ready = skyring.get("/readyz");
        holds(ready.code == 503, || ready.body)
    });
    let later = format!("metric=a&timestamp={}&value=1&key={KEY}", now + 1);
    let answer = get(&address, &later);
    assert_eq!(answer.code, 503, "{}", answer.body);
    let head = answer.head.to_ascii_lowercase();
    assert!(head.contains("\r\nretry-after: 1"), "{head}");
    redis.launch();
    eventually("a client that tried again was served", || {
        let answer = get(&address, &later);
        holds(answer.code == 204, || answer.body)
    });
    let both = [now, now + 1].map(|at| record("a", at, "1.0")).concat();
    assert_eq!(redis.series("a"), both);
    skyring.finish();
}

/// A Redis that does not answer: the request is answered 503 when its time is over, the
/// point arrives all the same, and the client that tries again does not store it twice.
#[test]
fn a_redis_that_is_paused_makes_requests_late_and_loses_nothing() {
    let mut redis = Redis::start();
    let skyring = plan(&redis).set("flux.wait_s", 1).start();
    let address = address(&skyring);
    let now = now_s();
    let query = |at: u64| format!("metric=a&timestamp={}&value=1&key={KEY}", now + at);
    assert_eq!(get(&address, &query(0)).code, 204);
    redis.signal(Signal::STOP);
    let answer = get(&address, &query(1));
    assert_eq!(answer.code, 503, "{}", answer.body);
    assert!(
        answer
            .head
            .to_ascii_lowercase()
            .contains("\r\nretry-after: ")
    );
    assert_eq!(get(&address, &query(1)).code, 503);
    redis.signal(Signal::CONT);
    eventually("a client that tried again was served", || {
        let answer = get(&address, &query(1));
        holds(answer.code == 204, || answer.body)
    });
    let both = [now, now + 1].map(|at| record("a", at, "1.0")).concat();
    assert_eq!(redis.series("a"), both);
    skyring.finish();
}

/// What points on their way may hold is bounded: behind it requests wait, and are told
/// to try again.
#[test]
fn points_on_their_way_are_bounded() {
    let mut redis = Redis::start();
    let skyring = plan(&redis)
        .set("flux.wait_s", 1)
        .set("flux.queue_bytes_max", 1 << 20)
        .start();
    let address = address(&skyring);
    let now = now_s();
    let body = |client: usize, timestamp: u64| {
        let point = |at: usize| json!({ "metric": format!("c{client}.m{at}"), "timestamp": timestamp, "value": 1 });
        let metrics: Vec<Value> = (0..1000).map(point).collect();
        json!({ "key": KEY, "metrics": metrics }).to_string()
    };
    // Redis need not be asked for what is known.
    for client in 0..16 {
        let known = post(&address, body(client, now - 1));
        assert_eq!(known.code, 204, "{}", known.body);
    }
    redis.signal(Signal::STOP);
    let (address, full) = (&address, &AtomicBool::new(false));
    thread::scope(|scope| {
        for client in 0..16 {
            let body = body(client, now);
            scope.spawn(move || {
                let answer = post(address, &body);
                assert_eq!(answer.code, 503, "{}", answer.body);
                if answer.body.contains("full: try again") {
                    full.store(true, Ordering::Relaxed);
                }
            });
        }
    });
    assert!(
        full.load(Ordering::Relaxed),
        "nobody was told that it is full"
    );
    let status = skyring.status()["flux"].clone();
    assert!(status["queue_bytes"].as_u64() <= status["queue_bytes_max"].as_u64());
    redis.signal(Signal::CONT);
    for client in 0..16 {
        let body = body(client, now);
        eventually("a client that tried again was served", || {
            let answer = post(address, &body);
            holds(answer.code == 204, || answer.body)
        });
    }
    let wanted = [now - 1, now].map(|at| record("c9.m9", at, "1.0"));
    assert_eq!(redis.series("c9.m9"), wanted.concat());
    assert_eq!(redis.keys().len(), 16_000);
    skyring.finish();
}

/// A metric whose key is of another type costs its own request alone, also while others
/// share its batches.
#[test]
fn a_poisoned_key_costs_only_its_own_points() {
    let redis = Redis::start();
    redis.run::<u32>(&["SADD", "metrics.bad", "a set"]);
    let skyring = plan(&redis).set("shards", 1).start();
    let address = &address(&skyring);
    let now = now_s();
    thread::scope(|scope| {
        for client in 0..8 {
            scope.spawn(move || {
                for at in 0..20 {
                    let metric = if client == 0 {
                        "bad".to_owned()
                    } else {
                        format!("c{client}")
                    };
                    let query = format!(
                        "metric={metric}&timestamp={}&value=1&key={KEY}",
                        now - 30 + at
                    );
                    let answer = get(address, &query);
                    let wanted = if client == 0 { 400 } else { 204 };
                    assert_eq!(answer.code, wanted, "{metric}: {}", answer.body);
                }
            });
        }
    });
    assert_eq!(
        skyring.status()["flux"]["dropped"],
        json!({ "wrong_type": 20 })
    );
    let one = record("c1", now, "1.0").len();
    assert_eq!(redis.series("c1").len(), 20 * one);
    skyring.finish();
}

/// Ended in the middle of traffic: requests under way are answered, nothing that was
/// acknowledged is missing, and the server ends with 0.
#[test]
fn an_end_finishes_the_requests_under_way() {
    let redis = Redis::start();
    let skyring = plan(&redis).start();
    let address = address(&skyring);
    let now = now_s();
    let acknowledged = Mutex::new(Vec::new());
    let (address, acknowledged) = (&address, &acknowledged);
    let mut skyring = Some(skyring);
    thread::scope(|scope| {
        for client in 0..4 {
            scope.spawn(move || {
                for at in 0.. {
                    let metric = format!("c{client}.m{at}");
                    let text = format!(
                        "GET /metric_data?metric={metric}&timestamp={now}&value=1&key={KEY} HTTP/1.1\r\nHost: x\r\n\r\n"
                    );
                    let Ok(mut stream) = TcpStream::connect(address) else {
                        return;
                    };
                    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
                    match ask(&mut stream, &text) {
                        Some(answer) if answer.starts_with("HTTP/1.1 204 ") => {
                            acknowledged.lock().unwrap().push(metric);
                        }
                        // Connections that were queued when it ended are reset.
                        _ => return,
                    }
                }
            });
        }
        eventually("some were acknowledged", || {
            let count = acknowledged.lock().unwrap().len();
            holds(count >= 100, || count.to_string())
        });
        assert_eq!(skyring.take().unwrap().end(Signal::TERM), 0);
    });
    let keys = redis.keys();
    for metric in acknowledged.lock().unwrap().iter() {
        assert!(keys.contains(metric), "{metric} was acknowledged");
    }
    let marks: usize = redis.run(&["HLEN", "flux.last.metric_data"]);
    assert!(
        marks >= acknowledged.lock().unwrap().len(),
        "{marks} last timestamps"
    );
}
