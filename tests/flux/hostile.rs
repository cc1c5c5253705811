//! What must not harm Flux: broken, slow and hostile HTTP.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use serde_json::{Value, json};

use super::{KEY, address, endpoint, get, plan, post, post_text, post_with, record, told};
use crate::connections::allow_many_files;
use crate::fixture::http;
use crate::fixture::redis::Redis;
use crate::fixture::skyring::Skyring;
use crate::fixture::{DEADLINE, eventually, holds, now_s};

fn good(address: &str, metric: &str) {
    let query = format!("metric={metric}&value=1&key={KEY}");
    assert_eq!(get(address, &query).code, 204, "a good client goes on");
}

/// Sends bytes and ends the sending side; all that is answered.
fn exchange(address: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    // It may be closed before all is written.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn answers(text: &str) -> usize {
    text.matches("HTTP/1.1 ").count()
}

/// Each bound on the size of a request has its own answer, and costs that request alone.
#[test]
fn requests_beyond_a_bound_are_told() {
    let redis = Redis::start();
    let skyring = plan(&redis)
        .set("flux.head_bytes_max", 8192)
        .set("flux.body_bytes_max", 10_000)
        .set("flux.decompressed_bytes_max", 100_000)
        .set("flux.request_points_max", 10)
        .set("flux.body_s", 1)
        .start();
    let address = address(&skyring);
    let long = exchange(
        &address,
        format!(
            "GET /metric_data?metric={} HTTP/1.1\r\n\r\n",
            "a".repeat(20_000)
        )
        .as_bytes(),
    );
    assert!(
        long.starts_with("HTTP/1.1 431 ") || long.starts_with("HTTP/1.1 414 "),
        "{long}"
    );
    let many: String = (0..200).map(|at| format!("X-{at}: y\r\n")).collect();
    let text = format!("GET /metric_data HTTP/1.1\r\n{many}\r\n");
    let many = exchange(&address, text.as_bytes());
    assert!(many.starts_with("HTTP/1.1 431 "), "{many}");
    let too_long = (
        413,
        "{\"code\": 413, \"message\": \"the body is longer than 10000 bytes\"}".to_owned(),
    );
    assert_eq!(told(post(&address, "x".repeat(10_001))), too_long);
    // One that does not say so beforehand.
    let chunk = format!("{:x}\r\n{}\r\n", 4000, "x".repeat(4000)).repeat(3);
    let text = format!(
        "POST /metric_data_post HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}0\r\n\r\n"
    );
    assert_eq!(told(http::request(&address, text).unwrap()), too_long);
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    bomb.write_all(&vec![b' '; 5_000_000]).unwrap();
    let bomb = bomb.finish().unwrap();
    let answer = post_with(&address, "Content-Encoding: gzip\r\n", bomb);
    assert_eq!(answer.code, 413, "{}", answer.body);
    let points: Vec<Value> = (0..11)
        .map(|at| json!({ "metric": format!("m{at}"), "value": 1 }))
        .collect();
    let body = json!({ "key": KEY, "metrics": points }).to_string();
    let wanted = "{\"code\": 413, \"message\": \"more than 10 metrics in one request\"}";
    assert_eq!(told(post(&address, body)), (413, wanted.to_owned()));
    // A body that does not come: the sending side stays open.
    let mut slow = TcpStream::connect(&address).unwrap();
    slow.set_read_timeout(Some(DEADLINE)).unwrap();
    slow.write_all(b"POST /metric_data_post HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
        .unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    let refused = endpoint(&skyring, "metric_data_post")["refused"].clone();
    let wanted = json!({
        "body_too_long": 2, "body_too_slow": 1, "decompressed_too_long": 1, "too_many_points": 1,
    });
    assert_eq!(refused, wanted);
    good(&address, "good");
    skyring.finish();
}

/// What all bodies together hold is bounded.
#[test]
fn bodies_together_are_bounded() {
    let redis = Redis::start();
    let skyring = plan(&redis)
        .set("flux.bodies_bytes_max", 1 << 20)
        .set("flux.body_bytes_max", 1 << 20)
        .set("flux.body_s", 3600)
        .start();
    let address = address(&skyring);
    let begin = |bytes: usize| {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let head = format!(
            "POST /metric_data_post HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
            bytes + 1
        );
        stream.write_all(head.as_bytes()).unwrap();
        // It may be refused before all is written.
        let _ = stream.write_all(&vec![b' '; bytes]);
        stream
    };
    // There is room for one of them, whichever comes first.
    let mut both = [900_000, 200_000].map(begin);
    for stream in &both {
        stream.set_nonblocking(true).unwrap();
    }
    let answer = eventually("one of them was refused", || {
        let mut bytes = [0; 1024];
        let answers = both.iter_mut().map(|stream| stream.read(&mut bytes));
        let count = answers.flatten().find(|count| *count > 0);
        let count = count.ok_or("no answer")?;
        Ok(String::from_utf8_lossy(&bytes[..count]).into_owned())
    });
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && answer.to_ascii_lowercase().contains("retry-after"),
        "{answer}"
    );
    good(&address, "good");
    drop(both);
    let body = json!({ "key": KEY, "metric": "late", "value": 1 }).to_string();
    let body = format!("{body}{}", " ".repeat(500_000));
    eventually("there was room again", || {
        let answer = post(&address, &body);
        holds(answer.code == 204, || answer.body)
    });
    skyring.finish();
}

/// Bodies in chunks, after `100 Continue`, and requests in a pipeline are served; those
/// that are cut off take nothing.
#[test]
fn unusual_requests_are_served() {
    let redis = Redis::start();
    let skyring = plan(&redis).start();
    let address = address(&skyring);
    let body = |metric: &str| json!({ "key": KEY, "metric": metric, "value": 1 }).to_string();
    let chunks: String = body("chunked")
        .chars()
        .map(|c| format!("1\r\n{c}\r\n"))
        .collect();
    let text = format!(
        "POST /metric_data_post HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"
    );
    assert_eq!(http::request(&address, text).unwrap().code, 204);
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let expected = body("expected");
    let head = format!(
        "POST /metric_data_post HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        expected.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(expected.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    let now = now_s();
    let pipeline: String = (0..100)
        .map(|at| {
            let timestamp = now - 100 + at;
            format!("GET /metric_data?metric=piped&timestamp={timestamp}&value={at}&key={KEY} HTTP/1.1\r\nHost: x\r\n\r\n")
        })
        .collect();
    let answer = exchange(&address, pipeline.as_bytes());
    assert_eq!(answer.matches("HTTP/1.1 204 ").count(), 100);
    let records = (0..100).map(|at| record("piped", now - 100 + at, &format!("{at}.0")));
    assert_eq!(
        redis.series("piped"),
        records.collect::<Vec<_>>().concat(),
        "in order"
    );
    let whole = post_text("/metric_data_post", "", body("cut").as_bytes());
    for end in [10, whole.len() - 40, whole.len() - 1] {
        let answer = exchange(&address, &whole[..end]);
        assert!(!answer.contains(" 204 "), "{end}: {answer}");
    }
    let old = format!("GET /metric_data?metric=old&value=1&key={KEY} HTTP/1.0\r\n\r\n");
    assert!(exchange(&address, old.as_bytes()).starts_with("HTTP/1.0 204 "));
    let stored: Vec<String> = redis.keys().into_iter().collect();
    assert_eq!(stored, ["chunked", "expected", "old", "piped"]);
    skyring.finish();
}

/// Requests of which two readers could take two different lengths: whatever is answered,
/// no part of a body is ever taken for a request.
#[test]
fn no_body_is_taken_for_a_request() {
    let redis = Redis::start();
    let skyring = plan(&redis).start();
    let address = address(&skyring);
    let smuggled =
        format!("GET /metric_data?metric=smuggled&value=1&key={KEY} HTTP/1.1\r\nHost: x\r\n\r\n");
    let length = smuggled.len();
    for head in [
        format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"),
        format!("Content-Length: 0\r\nContent-Length: {length}\r\n"),
        format!("Content-Length: {length}\r\nContent-Length: 0\r\n"),
        format!("Content-Length: +{length}\r\n"),
        format!("Content-Length: 0, {length}\r\n"),
        "Content-Length: -1\r\n".to_owned(),
        "Content-Length: 99999999999999999999999\r\n".to_owned(),
        format!("Content-Length : 0\r\nContent-Length: {length}\r\n"),
        format!("Content-Length: {length}\r\nTransfer-Encoding: xchunked\r\n"),
        format!("Content-Length: {length}\r\nTransfer-Encoding: chunked, identity\r\n"),
        format!("Content-Length: {length}\r\n"),
    ] {
        let start = "POST /metric_data_post HTTP/1.1\r\nHost: x\r\n";
        let body = format!("0\r\n\r\n{smuggled}");
        for body in [&smuggled, &body] {
            let answer = exchange(&address, format!("{start}{head}\r\n{body}").as_bytes());
            assert!(answers(&answer) <= 2, "{head}: {answer}");
        }
    }
    // What follows a body that is over is a request, in whichever way it was told.
    let chunked = format!(
        "POST /metric_data_post HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"
    );
    assert_eq!(answers(&exchange(&address, chunked.as_bytes())), 2);
    good(&address, "good");
    skyring.finish();
}

/// Bodies made to hurt a reader of JSON.
#[test]
fn hostile_bodies_cost_themselves_alone() {
    let redis = Redis::start();
    let skyring = plan(&redis).set("flux.body_bytes_max", 16 << 20).start();
    let address = address(&skyring);
    let mib = 1 << 20;
    for body in [
        "[".repeat(10 * mib),
        "{\"a\":".repeat(mib / 5),
        format!("{{\"key\": \"{KEY}\", \"metrics\": [{}", "[".repeat(mib)),
        format!(
            "{{\"key\": \"{KEY}\", \"metric\": \"a\", \"value\": {}}}",
            "9".repeat(mib)
        ),
        format!(
            "{{\"key\": \"{KEY}\", \"metrics\": [{}1]}}",
            "1,".repeat(mib / 2)
        ),
        format!("{{{}\"key\": \"{KEY}\"}}", "\"a\":1,".repeat(mib / 6)),
        format!("\"{}", "\\u0000".repeat(mib / 6)),
    ] {
        let answer = post(&address, &body);
        assert!((400..=413).contains(&answer.code), "{}", &body[..60]);
        good(&address, "good");
    }
    // Of equal keys the last counts, as in Python.
    let now = now_s();
    let body = format!(
        "{{\"key\": \"x\", \"metric\": \"twice\", \"value\": 1, \"timestamp\": {now}, \"value\": 2, \"key\": \"{KEY}\"}}"
    );
    assert_eq!(post(&address, body).code, 204);
    assert_eq!(redis.series("twice"), record("twice", now, "2.0"));
    let (_, most) = skyring.process.resident_bytes();
    assert!(most < 512 << 20, "{most} bytes");
    skyring.finish();
}

/// A thousand connections that send a byte and then nothing, half of them in the head
/// and half in the body, while good clients are served. Both are told; who has begun
/// nothing, or has had its answer, is just closed.
#[test]
fn a_thousand_slow_connections_keep_nobody_waiting() {
    allow_many_files();
    let redis = Redis::start();
    let skyring = plan(&redis)
        .set("flux.head_s", 5)
        .set("flux.body_s", 5)
        .start();
    let address = address(&skyring);
    let mut idle = [
        TcpStream::connect(&address).unwrap(),
        TcpStream::connect(&address).unwrap(),
    ];
    idle[1]
        .write_all(b"GET /metric_data?status=1 HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let mut slow: Vec<TcpStream> = (0..1000)
        .map(|at| {
            let mut stream = TcpStream::connect(&address).unwrap();
            let text: &[u8] = match at % 2 {
                0 => b"GET /metric_da",
                _ => b"POST /metric_data_post HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
            };
            stream.write_all(text).unwrap();
            stream
        })
        .collect();
    let open = |skyring: &Skyring| skyring.status()["flux"]["connections"].as_u64().unwrap();
    for at in 0..50 {
        good(&address, &format!("m{at}"));
    }
    eventually("all slow ones were given up", || {
        let open = open(&skyring);
        holds(open == 0, || open.to_string())
    });
    let read = |stream: &mut TcpStream| {
        let mut answer = String::new();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    for stream in &mut slow {
        let answer = read(stream);
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert_eq!(answers(&answer), 1, "{answer}");
    }
    assert_eq!(idle.each_mut().map(|stream| answers(&read(stream))), [0, 1]);
    assert_eq!(redis.keys().len(), 50);
    skyring.finish();
}
