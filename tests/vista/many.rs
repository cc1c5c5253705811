//! Thousands of entries, and sources that never answer.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::{entry, minute, plan, records, value};
use crate::connections::allow_many_files;
use crate::fixture::redis::Redis;
use crate::fixture::{eventually, holds};

const SOURCES: usize = 10;
const ENTRIES_OF_EACH: usize = 500;

/// What a source says to a query.
type Say = fn(&HashMap<String, Vec<String>>) -> Option<String>;

/// A source within the test, that answers from memory; its URL, and how many requests
/// it has had.
fn source(say: Say) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let seen = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let seen = seen.clone();
            std::thread::spawn(move || serve(stream, say, &seen));
        }
    });
    (url, asked)
}

/// Serves until the other side ends the connection.
fn serve(mut stream: TcpStream, say: Say, seen: &AtomicUsize) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            reader
                .read_line(&mut line)
                .ok()
                .filter(|bytes| *bytes > 0)?;
            let lower = line.to_ascii_lowercase();
            if let Some(told) = lower.strip_prefix("content-length:") {
                length = told.trim().parse().ok()?;
            }
            if line == "\r\n" {
                break;
            }
            head.push_str(&line);
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        seen.fetch_add(1, Ordering::Relaxed);
        let path = head.split(' ').nth(1)?;
        let query = path.split_once('?').map_or("", |(_, query)| query);
        let mut asked: HashMap<String, Vec<String>> = HashMap::new();
        for text in [query.as_bytes(), &body] {
            for (name, value) in form_urlencoded::parse(text) {
                asked.entry(name.into()).or_default().push(value.into());
            }
        }
        let Some(answer) = say(&asked) else {
            // Until the other side gives up.
            let _ = reader.read(&mut [0; 1]);
            return None;
        };
        let length = answer.len();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all((head + &answer).as_bytes()).ok()?;
    }
}

/// The last ten minutes, whatever is asked for.
fn times() -> impl Iterator<Item = i64> {
    let minute = minute();
    (minute - 600..=minute).step_by(60)
}

fn graphite(asked: &HashMap<String, Vec<String>>) -> Option<String> {
    let points: Vec<_> = times().map(|at| (value(at), at)).collect();
    let series = asked["target"].iter().map(|target| {
        // Of `alias(m1,'t0')` the second.
        let name = target.split('\'').nth(1).unwrap_or(target);
        json!({ "target": name, "tags": {}, "datapoints": points })
    });
    let series: Vec<_> = series.collect();
    Some(json!(series).to_string())
}

fn prometheus(_: &HashMap<String, Vec<String>>) -> Option<String> {
    let points: Vec<_> = times().map(|at| (at, value(at).to_string())).collect();
    let series = json!([{ "metric": { "__name__": "m" }, "values": points }]);
    let data = json!({ "resultType": "matrix", "result": series });
    Some(json!({ "status": "success", "data": data }).to_string())
}

fn silence(_: &HashMap<String, Vec<String>>) -> Option<String> {
    None
}

// Those that hang do so for longer than the test waits, from the first request on.
#[test]
fn sources_that_hang_delay_none_of_thousands_of_entries() {
    allow_many_files();
    let redis = Redis::start();
    let (mut entries, mut keys, mut hanging) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..SOURCES {
        let kind = if number % 2 == 0 {
            "graphite"
        } else {
            "prometheus"
        };
        let say = match number {
            0 | 1 => silence,
            _ if number % 2 == 0 => graphite,
            _ => prometheus,
        };
        let (url, asked) = source(say);
        for at in 0..ENTRIES_OF_EACH {
            let name = format!("s{number}.m{at}");
            let target = format!("graphite_target = '{name}'");
            entries.push(entry(&url, kind, &format!("m{at}"), &target));
            if number > 1 {
                keys.push(format!("metrics.{name}"));
            }
        }
        if number <= 1 {
            hanging.push(asked);
        }
    }
    let last = minute() - 60;
    let skyring = plan(&redis, &entries)
        .set("vista.answer_timeout_s", 300)
        .start();
    let wanted = records(std::iter::once(last));
    let question: Vec<&str> = std::iter::once("MGET")
        .chain(keys.iter().map(String::as_str))
        .collect();
    eventually("every healthy entry was fetched", || {
        let series: Vec<Option<Vec<u8>>> = redis.run(&question);
        let has = |series: &Option<Vec<u8>>| {
            let series = series.as_deref().unwrap_or_default();
            series.chunks(wanted.len()).any(|record| record == wanted)
        };
        let count = series.iter().filter(|series| has(series)).count();
        holds(count == keys.len(), || {
            let states = &skyring.status()["vista"]["states"];
            format!("{count} of {}: {states}", keys.len())
        })
    });
    for asked in hanging {
        let asked = asked.load(Ordering::Relaxed);
        assert!((1..=20).contains(&asked), "{asked} requests wait");
    }
    let wanted = json!({ "ok": keys.len(), "waiting": 2 * ENTRIES_OF_EACH });
    eventually("the states were told", || {
        let states = &skyring.status()["vista"]["states"];
        holds(*states == wanted, || states.to_string())
    });
    skyring.finish();
}
