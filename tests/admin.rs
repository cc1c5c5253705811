//! The page for operators: liveness, readiness, metrics and status.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::TcpStream;

use crate::fixture::http;
use crate::fixture::now_s;
use crate::fixture::redis::Redis;
use crate::fixture::sender::{Sender, frame, framed};
use crate::fixture::skyring::{Plan, Skyring};

#[test]
fn healthz_and_readyz_are_200_while_all_is_well() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).start();
    assert_eq!(skyring.get("/healthz").code, 200);
    assert_eq!(skyring.get("/readyz").code, 200);
    skyring.finish();
}

/// Points of every fate, so that every counter has something to show.
fn send_some_of_everything(skyring: &Skyring) {
    let now = now_s() as f64;
    let mut sender = Sender::connect(&skyring.pickle());
    for at in 0..10 {
        sender.send(&frame(&[
            ("some.good", now, f64::from(at)),
            ("some.old", now - 9_000.0, 1.0),
            ("some.wild", now, f64::INFINITY),
            ("some.\u{1b}[31mred", now, 1.0),
        ]));
    }
    sender.send(&framed(b"cos\nsystem\n."));
    sender.send(&framed(b""));
    skyring.wait_until_settled(40);
    skyring.wait_for("counted the bad frames", |counts| {
        counts.frames_bad_total() == 2
    });
}

#[test]
fn status_has_every_number_that_is_promised() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).start();
    send_some_of_everything(&skyring);
    let status = skyring.status();
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(
        (&status["ready"], &status["draining"]),
        (&true.into(), &false.into())
    );
    assert!(status["uptime_s"].is_u64());
    let pickle = &status["listeners"]["pickle"];
    assert_eq!(pickle["addresses"], skyring.ready["pickle"]);
    for (key, wanted) in [
        ("received", 40),
        ("stored", 10),
        ("in_flight", 0),
        ("frames", 10),
        ("frames_too_long", 0),
        ("frames_cut_short", 0),
        ("connections_accepted", 1),
        ("connections_refused", 0),
        ("connections_stalled", 0),
    ] {
        assert_eq!(pickle[key], wanted, "{key}");
    }
    assert!(pickle["bytes"].as_u64() > Some(1000));
    let reasons = [
        ("too_old", 10),
        ("name_invalid", 10),
        ("name_too_long", 0),
        ("not_numeric", 0),
        ("not_finite", 10),
        ("out_of_range", 0),
        ("bad_shape", 0),
        ("wrong_type", 0),
        ("refused_by_redis", 0),
        ("shutdown", 0),
    ];
    for (reason, wanted) in reasons {
        assert_eq!(pickle["dropped"][reason], wanted, "{reason}");
    }
    assert_eq!(pickle["frames_bad"]["forbidden"], 1);
    assert_eq!(pickle["frames_bad"]["empty"], 1);
    let latency = &status["latency_us"];
    let quantiles = ["p50", "p90", "p99", "p999", "max"].map(|key| latency[key].as_u64().unwrap());
    assert!(quantiles.is_sorted() && quantiles[0] > 0, "{latency}");
    assert_eq!(latency["count"], 10, "each stored point once");
    assert_eq!(status["redis"]["connected"], true);
    assert_eq!(status["redis"]["state"], "ready");
    assert_eq!(status["redis"]["url"], redis.unix_url());
    assert!(status["redis"]["batches"].as_u64() > Some(0));
    assert_eq!(status["redis"]["in_flight_batches"], 0);
    assert_eq!(status["redis"]["resent"], 0);
    assert!(status["metrics_known"].is_u64() && status["buffer_bytes"].is_u64());
    skyring.finish();
}

/// `/metrics` is well-formed Prometheus text, and says what `/api/status` says.
#[test]
fn metrics_are_prometheus_text_and_equal_to_the_status() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).start();
    send_some_of_everything(&skyring);
    let answer = skyring.get("/metrics");
    assert_eq!(answer.code, 200);
    assert!(
        answer.head.to_ascii_lowercase().contains("content-type: "),
        "{}",
        answer.head
    );
    let samples = parse_metrics(&answer.body);
    let status = skyring.status();
    let pickle = &status["listeners"]["pickle"];
    let same = |name: &str, wanted: &serde_json::Value| {
        let name = name.replace("{reason", "{listener=\"pickle\",reason");
        let name = name.replace("{}", "{listener=\"pickle\"}");
        let seen = samples
            .get(&name)
            .unwrap_or_else(|| panic!("no {name} in {samples:#?}"));
        assert_eq!(Some(*seen), wanted.as_f64(), "{name}");
    };
    for (name, key) in [
        ("points_received_total", "received"),
        ("points_stored_total", "stored"),
        ("points_in_flight", "in_flight"),
        ("frames_total", "frames"),
        ("frames_too_long_total", "frames_too_long"),
        ("frames_cut_short_total", "frames_cut_short"),
        ("connections", "connections"),
        ("connections_accepted_total", "connections_accepted"),
        ("connections_refused_total", "connections_refused"),
        ("connections_stalled_total", "connections_stalled"),
        ("received_bytes_total", "bytes"),
    ] {
        same(&format!("skyring_{name}{{}}"), &pickle[key]);
    }
    for (name, key) in [
        ("points_dropped_total", "dropped"),
        ("frames_bad_total", "frames_bad"),
    ] {
        for (reason, count) in pickle[key].as_object().unwrap() {
            same(&format!("skyring_{name}{{reason=\"{reason}\"}}"), count);
        }
    }
    for (name, wanted) in [
        ("redis_batches_total", &status["redis"]["batches"]),
        ("redis_commands_resent_total", &status["redis"]["resent"]),
        (
            "redis_batches_in_flight",
            &status["redis"]["in_flight_batches"],
        ),
        ("metrics_known", &status["metrics_known"]),
        ("ready", &1.into()),
        ("draining", &0.into()),
    ] {
        same(&format!("skyring_{name}"), wanted);
    }
    skyring.finish();
}

/// Reads Prometheus text and refuses whatever its definition refuses: a sample
/// without a type, a name or label of forbidden characters, an unescaped
/// value, a number that is none, a sample that stands there twice.
fn parse_metrics(text: &str) -> BTreeMap<String, f64> {
    let mut types = BTreeMap::new();
    let mut helps = BTreeSet::new();
    let mut samples = BTreeMap::new();
    assert!(text.ends_with('\n'), "the last line has no end");
    for line in text.lines().filter(|line| *line != "# EOF") {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest
                .split_once(' ')
                .unwrap_or_else(|| panic!("no help: {line}"));
            assert!(helps.insert(name.to_owned()), "HELP twice: {line}");
            assert!(!help.trim().is_empty(), "no help: {line}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest
                .split_once(' ')
                .unwrap_or_else(|| panic!("no type: {line}"));
            let kinds = ["counter", "gauge", "histogram", "summary"];
            assert!(kinds.contains(&kind), "no such type: {line}");
            assert!(
                types.insert(name.to_owned(), kind.to_owned()).is_none(),
                "twice: {line}"
            );
        } else if !line.starts_with('#') {
            let (name, value) = parse_sample(line);
            let base = name.split('{').next().unwrap();
            let suffixes = ["", "_total", "_bucket", "_sum", "_count"];
            let typed = suffixes
                .iter()
                .filter_map(|suffix| base.strip_suffix(suffix))
                .find(|base| types.contains_key(*base));
            let typed = typed.unwrap_or_else(|| panic!("a sample without TYPE: {line}"));
            assert!(helps.contains(typed), "a sample without HELP: {line}");
            assert!(samples.insert(name, value).is_none(), "twice: {line}");
        }
    }
    assert!(!samples.is_empty());
    samples
}

/// A sample's name with its labels in order, and its value.
fn parse_sample(line: &str) -> (String, f64) {
    let end = line
        .find(['{', ' '])
        .unwrap_or_else(|| panic!("no sample: {line}"));
    assert_name(&line[..end], line);
    let mut rest = &line[end..];
    let mut labels = BTreeSet::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while !rest.starts_with('}') {
            let (label, value) = rest
                .split_once("=\"")
                .unwrap_or_else(|| panic!("label: {line}"));
            assert_name(label, line);
            let mut escaped = false;
            let end = value.find(|c| {
                let ends = c == '"' && !escaped;
                assert!(
                    !escaped || matches!(c, '\\' | '"' | 'n'),
                    "bad escape: {line}"
                );
                escaped = c == '\\' && !escaped;
                ends
            });
            let end = end.unwrap_or_else(|| panic!("a label without an end: {line}"));
            assert!(
                labels.insert(format!("{label}=\"{}\"", &value[..end])),
                "twice: {line}"
            );
            rest = value[end + 1..].trim_start_matches(',');
        }
        rest = &rest[1..];
    }
    let value = rest.trim_start();
    let number = match value {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        "NaN" => f64::NAN,
        _ => value
            .parse()
            .unwrap_or_else(|_| panic!("no number: {line}")),
    };
    let labels = Vec::from_iter(labels).join(",");
    let labels = if labels.is_empty() {
        labels
    } else {
        format!("{{{labels}}}")
    };
    (format!("{}{labels}", &line[..end]), number)
}

fn assert_name(name: &str, line: &str) {
    let start = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let rest = name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
    assert!(start && rest, "bad name {name:?}: {line}");
}

/// No path or request, however strange, is answered with anything but an
/// error, and the page goes on. Names of metrics are shown nowhere unescaped.
#[test]
fn hostile_requests_do_not_break_the_page() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).start();
    let mut sender = Sender::connect(&skyring.pickle());
    let now = now_s() as f64;
    sender.send(&frame(&[
        ("<script>alert(1)</script>\"\\", now, 1.0),
        ("a{b=\"c\"} 1\\n", now, 1.0),
    ]));
    skyring.wait_until_settled(2);
    for path in [
        "/nothing",
        "/../../etc/passwd",
        "/%00",
        "/%ff%fe",
        "/api/status/../x",
        "/metrics/",
    ] {
        let code = skyring.get(path).code;
        assert!((400..500).contains(&code), "{path}: {code}");
    }
    let address = skyring.admin();
    for text in [
        "nonsense\r\n\r\n".to_owned(),
        "GET / HTTP/9.9\r\n\r\n".to_owned(),
        format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(1 << 20)),
        format!(
            "GET /healthz HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
            "a".repeat(1 << 20)
        ),
        "POST /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            .to_owned(),
        "DELETE /api/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned(),
    ] {
        // The server may close the connection before it has read everything.
        if let Ok(answer) = http::request(&address, &text) {
            assert!(
                (400..600).contains(&answer.code),
                "{text:.40}: {}",
                answer.code
            );
        }
    }
    // Connections that say nothing, or not all of it, hold nobody up.
    let mut silent: Vec<TcpStream> = (0..50)
        .map(|_| TcpStream::connect(&address).unwrap())
        .collect();
    for stream in silent.iter_mut().step_by(2) {
        stream.write_all(b"GET /heal").unwrap();
    }
    assert_eq!(skyring.get("/healthz").code, 200);
    parse_metrics(&skyring.get("/metrics").body);
    assert!(!skyring.get("/").body.contains("<script>alert"));
    skyring.finish();
}

/// Without an address there is no page, and the server runs all the same.
#[test]
fn the_page_can_be_switched_off() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).set("admin.listen", "\"\"").start();
    let mut sender = Sender::connect(&skyring.pickle());
    sender.send_point("no.page", 1.0);
    crate::fixture::eventually("the point was stored", || {
        let series = redis.series("no.page");
        crate::fixture::holds(series.len() == 19, || format!("{series:02x?}"))
    });
    assert_eq!(skyring.end(rustix::process::Signal::TERM), 0);
}
