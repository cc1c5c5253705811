//! Flux: points over HTTP, as Skyline's clients send them, and what Skyline's
//! programs find in Redis.

mod bodies;
mod delivery;
mod hostile;
mod last;
mod names;

use std::process::Command;

use serde_json::{Value, json};

use crate::fixture::http::{self, Answer};
use crate::fixture::python;
use crate::fixture::redis::Redis;
use crate::fixture::skyring::{Plan, Skyring};
use crate::fixture::{eventually, holds, now_s};

pub const KEY: &str = "YOURown32charSkylineAPIkeySecret";
pub const KEY_OF_ONE: &str = "11111111111111111111111111111111";

/// A server with keys, on this Redis.
pub fn plan(redis: &Redis) -> Plan {
    Plan::with(redis)
        .set("flux.self_key", format!("\"{KEY}\""))
        .set("flux.keys", format!("{{ {KEY_OF_ONE} = \"one\" }}"))
}

/// Where Flux listens.
pub fn address(skyring: &Skyring) -> String {
    skyring.ready["flux"][0].as_str().unwrap().to_owned()
}

/// `GET /metric_data?query`.
pub fn get(address: &str, query: &str) -> Answer {
    http::get(address, &format!("/metric_data?{query}")).unwrap()
}

/// The text of a POST, with these lines of head besides those that it needs.
pub fn post_text(path: &str, head: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{head}Content-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// `POST /metric_data_post` with these lines of head.
pub fn post_with(address: &str, head: &str, body: impl AsRef<[u8]>) -> Answer {
    let text = post_text("/metric_data_post", head, body.as_ref());
    http::request(address, text).unwrap()
}

/// `POST /metric_data_post`.
pub fn post(address: &str, body: impl AsRef<[u8]>) -> Answer {
    post_with(address, "", body)
}

/// The code and body of an answer.
pub fn told(answer: Answer) -> (u16, String) {
    (answer.code, answer.body)
}

/// What Redis holds of a metric with one point.
pub fn record(metric: &str, timestamp: u64, value: &str) -> Vec<u8> {
    let line = format!("{metric} {value} {timestamp}\n");
    python::records_of_graphite_lines(&line)
        .remove(metric)
        .unwrap()
}

/// What is counted of an endpoint.
pub fn endpoint(skyring: &Skyring, name: &str) -> Value {
    skyring.status()["flux"]["endpoints"][name].clone()
}

/// The two commands of Skyline's Flux document, with and without the prefix that a
/// proxy takes away, by the real curl: 204, and the point is in Redis as Horizon would
/// have written it.
#[test]
fn the_documented_commands_store_their_points() {
    let redis = Redis::start();
    let skyring = plan(&redis).start();
    let address = address(&skyring);
    let now = now_s();
    let code = |arguments: &[&str]| {
        let output = Command::new("curl")
            .args(["-s", "-S", "-o", "/dev/null", "-w", "%{http_code}"])
            .args(arguments)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let metric = "vista.nodes.skyline-1.cpu.user";
    for (number, prefix) in ["", "/flux"].into_iter().enumerate() {
        let timestamp = now - 10 + number as u64;
        let url = format!(
            "http://{address}{prefix}/metric_data?metric={metric}&timestamp={timestamp}&value=1.0&key={KEY}"
        );
        assert_eq!(code(&["-u", "user:password", &url]), "204");
    }
    let posted = "vista.nodes.skyline-1.cpu.system";
    for (number, prefix) in ["", "/flux"].into_iter().enumerate() {
        let timestamp = now - 10 + number as u64;
        let data = format!(
            "{{\"metric\":\"{posted}\",\"timestamp\":\"{timestamp}\",\"value\":\"1.0\",\"key\":\"{KEY}\"}}"
        );
        let url = format!("http://{address}{prefix}/metric_data_post");
        let json = "Content-Type: application/json";
        let arguments = [
            "-u",
            "user:password",
            "-d",
            &data,
            "-H",
            json,
            "-X",
            "POST",
            &url,
        ];
        assert_eq!(code(&arguments), "204");
    }
    for metric in [metric, posted] {
        let wanted = [now - 10, now - 9]
            .map(|at| record(metric, at, "1.0"))
            .concat();
        assert_eq!(redis.series(metric), wanted, "{metric}");
    }
    assert!(redis.members().contains(metric));
    skyring.finish();
}

/// Skyline's Vista calls Flux with one request for each point, each on a connection of
/// its own; sent once more, nothing is stored twice.
#[test]
fn points_as_vista_sends_them_are_stored_once() {
    let redis = Redis::start();
    let skyring = plan(&redis).start();
    let first = now_s() - 100;
    let send = || {
        let arguments = [&address(&skyring), KEY, &first.to_string(), "50"];
        python::script("flux_vista.py", &arguments, "").remove(0)
    };
    let all_taken = Value::from(vec![204; 50]);
    assert_eq!(send(), all_taken);
    assert_eq!(send(), all_taken);
    let records = (0..50).map(|at| record("vista.m0", first + at, &format!("{at}.5")));
    assert_eq!(
        redis.series("vista.m0"),
        records.collect::<Vec<_>>().concat()
    );
    let status = skyring.status()["flux"].clone();
    assert_eq!(
        (&status["delivered"], &status["already_received"]),
        (&json!(50), &json!(50))
    );
    skyring.finish();
}

/// A list of metrics, by names that need mending, in every form in which numbers come.
#[test]
fn a_list_is_stored_under_mended_names() {
    let redis = Redis::start();
    let skyring = plan(&redis).start();
    let now = now_s();
    let body = json!({
        "key": KEY,
        "metrics": [
            { "metric": "a b*c'd", "timestamp": now, "value": 1 },
            { "metric": "a..b", "timestamp": now.to_string(), "value": "2.5" },
            { "metric": "whole", "timestamp": now as f64, "value": -0.0 },
            { "metric": "skyline.analyzer.skipped", "timestamp": now, "value": 1 },
            { "metric": "now", "value": 1e-7 },
            { "metric": "old", "timestamp": now - 50_000, "value": 4, "fill": "true" },
            { "metric": "older", "timestamp": 5, "value": 4, "fill": true },
        ]
    });
    let answer = post(&address(&skyring), body.to_string());
    assert_eq!(
        answer.code, 207,
        "what is too old for Redis is told: {}",
        answer.body
    );
    assert!(
        answer
            .body
            .starts_with("{\"code\": 207, \"message\": \"1 of 6 points")
    );
    for (metric, timestamp, value) in [
        ("a_b_c_d", now, "1.0"),
        ("a.b", now, "2.5"),
        ("whole", now, "-0.0"),
        ("old", now - 50_000, "4.0"),
    ] {
        assert_eq!(
            redis.series(metric),
            record(metric, timestamp, value),
            "{metric}"
        );
    }
    let stored: Vec<String> = redis.keys().into_iter().collect();
    assert_eq!(stored, ["a.b", "a_b_c_d", "now", "old", "whole"]);
    let counted = endpoint(&skyring, "metric_data_post");
    assert_eq!(counted["answers"], json!({ "207": 1 }));
    assert_eq!(counted["points"], json!(5));
    assert_eq!(counted["refused"], json!({ "skipped": 1, "too_old": 1 }));
    skyring.finish();
}

/// Nothing of a request is taken if anything in it is bad.
#[test]
fn a_post_is_all_or_nothing() {
    let redis = Redis::start();
    let skyring = plan(&redis).start();
    let good = json!({ "metric": "good", "timestamp": now_s(), "value": 1 });
    for bad in [
        json!({ "metric": "bad;", "timestamp": now_s(), "value": 1 }),
        json!({ "metric": "bad", "timestamp": 1, "value": 1 }),
        json!({ "metric": "bad", "timestamp": now_s(), "value": "x" }),
    ] {
        let body = json!({ "key": KEY, "metrics": [good, good, bad] });
        assert_eq!(post(&address(&skyring), body.to_string()).code, 400);
    }
    assert!(redis.keys().is_empty());
    let body = json!({ "key": KEY, "metrics": [good] });
    assert_eq!(post(&address(&skyring), body.to_string()).code, 204);
    skyring.finish();
}

/// A dry run says what would be taken, and takes nothing.
#[test]
fn a_dry_run_takes_nothing() {
    let redis = Redis::start();
    let skyring = plan(&redis).start();
    let address = address(&skyring);
    let now = now_s();
    let wanted = |namespace: &str, count: u32, metrics: &str| {
        let body = format!(
            "{{\"namespace\": \"{namespace}\", \"message\": \"metric ingestion test, no metrics were ingested only counts are reported\", \"ingest_count\": {count}, \"drop_count\": 0, \"metrics\": \"{metrics}\", \"dropped\": \"[]\"}}"
        );
        (200, body)
    };
    let query = format!("metric=a.b&timestamp={now}&value=1&key={KEY}&test=true");
    assert_eq!(told(get(&address, &query)), wanted("None", 1, "['a.b']"));
    let metrics = json!([
        { "metric": "a b", "timestamp": now, "value": 1 },
        { "metric": "c", "timestamp": now, "value": 1 },
    ]);
    let body = json!({ "key": KEY_OF_ONE, "metrics": metrics, "test": "false" });
    let answer = told(post(&address, body.to_string()));
    assert_eq!(answer, wanted("one", 2, "['a_b', 'c']"));
    let body = json!({ "key": KEY_OF_ONE, "metrics": metrics });
    let answer = told(post_with(
        &address,
        "X-Test-Only: yes\r\n",
        body.to_string(),
    ));
    assert_eq!(answer, wanted("one", 2, "['a_b', 'c']"));
    assert!(redis.keys().is_empty());
    skyring.finish();
}

/// What a key allows: names below its prefix, wherever the key stands in the request;
/// and a reload changes keys at once.
#[test]
fn keys_bind_names_to_their_prefix_and_change_at_a_reload() {
    let redis = Redis::start();
    let plan = plan(&redis);
    let mut skyring = plan.start();
    let address = address(&skyring);
    let now = now_s();
    let point = |metric: &str| json!({ "metric": metric, "timestamp": now, "value": 1 });
    let metrics = json!([point("one.a"), point("a"), point("one"), point("onefoo.x")]);
    let body = json!({ "metrics": metrics });
    let head = format!("key: {KEY_OF_ONE}\r\n");
    assert_eq!(post_with(&address, &head, body.to_string()).code, 204);
    let query = format!("key={KEY_OF_ONE}&metric=b&value=1");
    assert_eq!(get(&address, &query).code, 204);
    let query = format!("metric=c&key={KEY_OF_ONE}&value=1");
    assert_eq!(get(&address, &query).code, 204);
    let query = format!("metric=free&value=1&key={KEY}");
    assert_eq!(get(&address, &query).code, 204);
    let stored: Vec<String> = redis.keys().into_iter().collect();
    assert_eq!(
        stored,
        ["free", "one.a", "one.b", "one.c", "one.one", "one.onefoo.x"]
    );
    let invalid = (
        401,
        "{\"code\": 401, \"message\": \"invalid key\"}".to_owned(),
    );
    for key in ["", "x", &KEY[1..], &KEY.to_lowercase(), &format!("{KEY}x")] {
        assert_eq!(told(get(&address, &format!("key={key}"))), invalid, "{key}");
        let body = json!({ "key": key, "metric": "x", "value": 1 });
        assert_eq!(told(post(&address, body.to_string())), invalid, "{key}");
    }
    let body = json!({ "key": null, "metric": "x", "value": 1 }).to_string();
    assert_eq!(told(post(&address, body)), invalid);
    let valid = json!({ "key": KEY, "validate_key": true }).to_string();
    assert_eq!(
        told(post(&address, &valid)),
        (200, "{\"status\": \"key valid\"}".to_owned())
    );
    let changed = plan.set("flux.self_key", "\"another\"");
    skyring.reload(&changed, &["flux.self_key: changed"]);
    assert_eq!(told(post(&address, &valid)), invalid);
    assert_eq!(get(&address, "metric=d&value=1&key=another").code, 204);
    assert!(!skyring.process.stderr().contains(KEY), "a key in the log");
    skyring.finish();
}

/// No key is configured: nobody gets in, nor does an empty key.
#[test]
fn without_keys_nobody_gets_in() {
    let skyring = Plan::private().start();
    let address = address(&skyring);
    for query in ["key=", "key=x", "key=None"] {
        assert_eq!(get(&address, query).code, 401);
    }
    assert_eq!(
        post(&address, "{\"key\": \"\", \"metric\": \"a\", \"value\": 1}").code,
        401
    );
    skyring.finish();
}

/// A prefix that has all its metrics gets no more, and goes on with those it has.
#[test]
fn a_quota_bounds_the_metrics_of_a_prefix() {
    let redis = Redis::start();
    let skyring = plan(&redis)
        .set("flux.quotas", "{ one = 2, free = 1 }")
        .start();
    let address = address(&skyring);
    let now = now_s();
    let point = |metric: &str| json!({ "metric": metric, "timestamp": now, "value": 1 });
    let send = |key: &str, metrics: Value| {
        told(post(
            &address,
            json!({ "key": key, "metrics": metrics }).to_string(),
        ))
    };
    let metrics = json!([
        point("a"),
        point("skyline.analyzer.x"),
        point("b"),
        point("c")
    ]);
    let body = "{\"code\": 207, \"data\": [{\"metric\": \"c\", \"status\": 400}, {\"metric\": \"a\", \"status\": 204}, {\"metric\": \"b\", \"status\": 204}], \"error\": \"over quota - this account is allowed 2 metrics and an additional 1 new metrics were posted that have been rejected\", \"message\": \"2 metrics were processed and 1 metrics were rejected\", \"rejected metrics\": [\"c\"], \"rejected metrics count\": 1, \"processed metrics\": [\"a\", \"b\"], \"processed metrics count\": 2, \"submitted metrics count\": 4, \"defined skipped_metrics count\": 1}";
    assert_eq!(send(KEY_OF_ONE, metrics), (207, body.to_owned()));
    let alone = send(KEY_OF_ONE, json!([point("d")]));
    assert!(
        alone.0 == 400
            && alone
                .1
                .starts_with("{\"code\": 400, \"data\": [{\"metric\": \"d\"")
    );
    let query = format!("metric=e&value=1&key={KEY_OF_ONE}");
    let body = "{\"code\": 400, \"error\": \"over quota - this account is allowed 2 metrics and an additional metric was posted that has been rejected\", \"rejected metric\": \"e\"}";
    assert_eq!(told(get(&address, &query)), (400, body.to_owned()));
    // Those that it has go on, by either endpoint.
    let later = format!("metric=a&value=2&timestamp={}&key={KEY_OF_ONE}", now + 1);
    assert_eq!(get(&address, &later).code, 204);
    // Names without a prefix of their own have the quota of what all begin with.
    assert_eq!(send(KEY, json!([point("free.a")])).0, 204);
    assert_eq!(send(KEY, json!([point("free.b")])).0, 400);
    assert_eq!(send(KEY, json!([point("free.b"), point("other.b")])).0, 204);
    let members: Vec<String> = redis.run(&["SMEMBERS", "flux.quota.namespace_metrics.one"]);
    assert_eq!(members.len(), 2, "{members:?}");
    let key = "flux.quota.namespace_rejected_metrics.one";
    let rejected: std::collections::BTreeMap<String, u64> = redis.run(&["HGETALL", key]);
    let names: Vec<&str> = rejected.keys().map(String::as_str).collect();
    assert_eq!(names, ["one.c", "one.d", "one.e"]);
    let minutes = now / 60 * 60..=now_s();
    assert!(
        rejected
            .values()
            .all(|at| minutes.contains(at) && at % 60 == 0),
        "{rejected:?}"
    );
    skyring.finish();
}

/// Telegraf's batches: one point for each number, and what is none costs only itself.
#[test]
fn telegrafs_batches_are_taken_apart() {
    let redis = Redis::start();
    let skyring = plan(&redis).start();
    let address = address(&skyring);
    let now = now_s();
    let batch = |fields: Value| {
        let metric = json!({
            "fields": fields,
            "name": "disk.io",
            "tags": { "device": "/dev/sda.1", "host": "web1" },
            "timestamp": now,
        });
        json!({ "metrics": [metric] }).to_string()
    };
    let head = format!("key: {KEY}\r\ntelegraf: true\r\nprefix: site\r\n");
    let body = batch(json!({ "read.bytes": 1.5, "mode": "rw", "is_up": true, "free": 3 }));
    assert_eq!(post_with(&address, &head, body).code, 204);
    let stored: Vec<String> = redis.keys().into_iter().collect();
    let parent = "site.web1.-dev-sda_1.disk_io";
    assert_eq!(
        stored,
        [format!("{parent}.free"), format!("{parent}.read_bytes")]
    );
    let body = batch(json!({ "mode": "rw" }));
    assert_eq!(post_with(&address, &head, body).code, 204);
    let refused = endpoint(&skyring, "metric_data_post")["refused"].clone();
    assert_eq!(refused, json!({ "not_numeric": 3 }));
    skyring.finish();
}

/// The paths and methods that there are, and what is told of others.
#[test]
fn other_paths_and_methods_are_told() {
    let redis = Redis::start();
    let skyring = plan(&redis).start();
    let address = address(&skyring);
    let not_found = (404, "{\"title\": \"404 Not Found\"}".to_owned());
    let not_allowed = (405, "{\"title\": \"405 Method Not Allowed\"}".to_owned());
    for path in [
        "/",
        "/flux",
        "/metric",
        "/flux/flux/metric_data",
        "/metric_data/",
    ] {
        assert_eq!(
            told(http::get(&address, path).unwrap()),
            not_found,
            "{path}"
        );
    }
    for path in ["/metric_data_post", "/flux/metric_data_post"] {
        assert_eq!(
            told(http::get(&address, path).unwrap()),
            not_allowed,
            "{path}"
        );
    }
    for path in ["/metric_data", "/flux/metric_data"] {
        let text = post_text(path, "", b"{}");
        assert_eq!(told(http::request(&address, text).unwrap()), not_allowed);
        // It would do what GET does, of which nobody sees the answer.
        let text = format!(
            "HEAD {path}?metric=head&value=1&key={KEY} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        );
        let head = http::request(&address, text).unwrap();
        assert_eq!(told(head), (405, String::new()));
    }
    assert!(!redis.keys().contains("head"));
    let well = (200, "{\"status\": \"ok\"}".to_owned());
    assert_eq!(told(get(&address, "status=yes&other")), well);
    assert_eq!(told(post(&address, "{\"status\": true}")), well);
    let ttl: u64 = redis.run(&["TTL", "flux.listen"]);
    assert!((60..=120).contains(&ttl), "{ttl}");
    skyring.finish();
}

/// Each answer is counted by its code, and each refusal by its reason, under either path.
#[test]
fn single_points_are_counted() {
    let redis = Redis::start();
    let skyring = plan(&redis).start();
    let address = address(&skyring);
    for (number, path) in ["/metric_data", "/flux/metric_data"].iter().enumerate() {
        for (query, code) in [
            (format!("metric=m{number}&value=1&key={KEY}"), 204),
            (format!("metric=m{number}&value=x&key={KEY}"), 400),
            ("metric=m&value=1&key=other".to_owned(), 401),
        ] {
            let answer = http::get(&address, &format!("{path}?{query}")).unwrap();
            assert_eq!(answer.code, code, "{path}?{query}");
        }
    }
    let counted = endpoint(&skyring, "metric_data");
    let wanted = json!({
        "answers": { "204": 2, "400": 2, "401": 2 },
        "points": 2,
        "refused": { "invalid_key": 2, "invalid_value": 2 },
    });
    assert_eq!(counted, wanted);
    skyring.finish();
}

/// Addresses come and go at a reload, and those that stay are not touched.
#[test]
fn addresses_follow_a_reload() {
    let redis = Redis::start();
    let two = plan(&redis).set("flux.listen", "[\"127.0.0.1:0\", \"[::1]:0\"]");
    let mut skyring = two.start();
    let addresses = |skyring: &Skyring| -> Vec<String> {
        serde_json::from_value(skyring.status()["flux"]["addresses"].clone()).unwrap()
    };
    let before = addresses(&skyring);
    assert_eq!(before.len(), 2);
    let one = two.clone().set("flux.listen", "[\"127.0.0.1:0\"]");
    let line = "flux.listen: [\"127.0.0.1:0\", \"[::1]:0\"] -> [\"127.0.0.1:0\"]";
    skyring.reload(&one, &[line]);
    assert_eq!(addresses(&skyring), before[..1]);
    eventually("the other was closed", || {
        holds(std::net::TcpStream::connect(&before[1]).is_err(), || {
            before[1].clone()
        })
    });
    assert_eq!(
        get(&before[0], &format!("metric=a&value=1&key={KEY}")).code,
        204
    );
    let line = "flux.listen: [\"127.0.0.1:0\"] -> [\"127.0.0.1:0\", \"[::1]:0\"]";
    skyring.reload(&two, &[line]);
    let after = addresses(&skyring);
    assert_eq!((after.len(), &after[0]), (2, &before[0]));
    assert_eq!(
        get(&after[1], &format!("metric=b&value=1&key={KEY}")).code,
        204
    );
    skyring.finish();
}

/// The numbers for Prometheus, the keys that Thunder looks at, and the self metrics.
#[test]
fn what_flux_does_can_be_seen() {
    let redis = Redis::start();
    let skyring = plan(&redis)
        .set("horizon.side_keys_s", 1)
        .set("self_metrics.enabled", true)
        .set("self_metrics.name", "\"\"")
        .start();
    let address = address(&skyring);
    assert_eq!(
        get(&address, &format!("metric=a&value=1&key={KEY}")).code,
        204
    );
    assert_eq!(
        get(&address, &format!("metric=a&value=x&key={KEY}")).code,
        400
    );
    let page = skyring.get("/metrics").body;
    for (name, labels) in [
        (
            "requests_total",
            &["endpoint=\"metric_data\"", "code=\"204\""][..],
        ),
        (
            "requests_total",
            &["endpoint=\"metric_data\"", "code=\"400\""],
        ),
        ("points_total", &["endpoint=\"metric_data\""]),
        (
            "refused_total",
            &["endpoint=\"metric_data\"", "reason=\"invalid_value\""],
        ),
        ("delivered_points_total", &[]),
    ] {
        let is_it = |line: &str| {
            let rest = line.strip_prefix(&format!("skyring_flux_{name}"));
            let has_all = labels.iter().all(|label| line.contains(label));
            rest.is_some_and(|rest| rest.starts_with(['{', ' '])) && has_all && line.ends_with(" 1")
        };
        assert!(page.lines().any(is_it), "{name} {labels:?} in {page}");
    }
    eventually("Thunder's keys were written", || {
        let pid: Option<u32> = redis.run(&["GET", "flux.main_process_pid"]);
        let keys: u32 = redis.run(&["EXISTS", "flux.listen", "flux.worker"]);
        holds(pid == Some(skyring.process.id()) && keys == 2, || {
            format!("{pid:?} {keys}")
        })
    });
    eventually("self metrics were made", || {
        let keys = redis.keys();
        let wanted = [
            "skyline.flux.listen.added_to_queue",
            "skyline.flux.listen.discarded.invalid_value",
            "skyline.flux.worker.metrics_sent_to_graphite",
            "skyline.flux.worker.discarded.already_received",
        ];
        holds(wanted.iter().all(|name| keys.contains(*name)), || {
            format!("{keys:?}")
        })
    });
    skyring.finish();
}
