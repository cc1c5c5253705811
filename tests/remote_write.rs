//! `POST /prometheus/write`: a real Prometheus writes to it, and a real VictoriaMetrics
//! holds what arrived.

use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;
use serde_json::{Value, json};
use skyring::flux::prometheus::message::{Label, Sample, TimeSeries};

use crate::fixture::http::{self, Answer};
use crate::fixture::prometheus::Prometheus;
use crate::fixture::redis::Redis;
use crate::fixture::skyring::{Plan, Skyring};
use crate::fixture::victoria::Victoria;
use crate::fixture::{eventually, holds};

const SELF: (&str, &str) = ("key", "selfselfselfselfselfselfselfself");
const TENANT: (&str, &str) = ("x-tenant-id", "t1");
const SERVER: (&str, &str) = ("x-server-id", "s1");

fn plan(victoria: &Victoria) -> Plan {
    Plan::private()
        .set("victoriametrics.url", format!("\"{}\"", victoria.url()))
        .set("flux.self_key", format!("\"{}\"", SELF.1))
        .set("flux.keys", "{ key-of-t2 = 't2' }")
}

fn flux(skyring: &Skyring) -> String {
    skyring.ready["flux"][0].as_str().unwrap().to_owned()
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_millis() as i64
}

/// As Prometheus declares it.
#[derive(Clone, PartialEq, Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
}

fn series(labels: &[(&str, &str)], samples: &[(f64, i64)]) -> TimeSeries {
    let label = |(name, value): &(&str, &str)| Label {
        name: (*name).to_owned(),
        value: (*value).to_owned(),
    };
    let sample = |(value, timestamp): &(f64, i64)| Sample {
        value: *value,
        timestamp: *timestamp,
    };
    TimeSeries {
        labels: labels.iter().map(label).collect(),
        samples: samples.iter().map(sample).collect(),
    }
}

fn body(timeseries: Vec<TimeSeries>) -> Vec<u8> {
    let message = WriteRequest { timeseries }.encode_to_vec();
    snap::raw::Encoder::new().compress_vec(&message).unwrap()
}

/// Writes as Prometheus does, with these headers besides.
fn write(skyring: &Skyring, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let usual = [
        ("Content-Type", "application/x-protobuf"),
        ("Content-Encoding", "snappy"),
        ("X-Prometheus-Remote-Write-Version", "0.1.0"),
    ];
    let headers = [&usual, headers].concat();
    http::post(&flux(skyring), "/prometheus/write", &headers, body).unwrap()
}

/// A Prometheus that scrapes itself each second, and writes to `skyring`. Debian's
/// sends no headers of its own, whatever its configuration says.
fn prometheus(skyring: &Skyring) -> Prometheus {
    let configuration = format!(
        "global: {{scrape_interval: 1s}}\n\
         scrape_configs: [{{job_name: itself, static_configs: [{{targets: ['@SELF@']}}]}}]\n\
         remote_write:\n- url: \"http://{}/flux/prometheus/write?x-tenant-id=t1&x-server-id=s1&\
         dropLabels=[['quantile','0.5']]\"\n  authorization: {{credentials: {}}}\n  \
         queue_config: {{batch_send_deadline: 1s, min_backoff: 30ms, max_backoff: 200ms}}\n",
        flux(skyring),
        SELF.1
    );
    Prometheus::configured(&configuration, "", &[])
}

/// Timestamps in milliseconds and values of `up`, as Prometheus itself holds them.
fn up_at_its_source(prometheus: &Prometheus) -> Vec<(i64, f64)> {
    let results = prometheus.query("up[1h]").unwrap();
    let Some(result) = results.first() else {
        return Vec::new();
    };
    let each = result["values"].as_array().unwrap().iter();
    each.map(|pair| {
        let value = pair[1].as_str().unwrap().parse().unwrap();
        ((pair[0].as_f64().unwrap() * 1000.0).round() as i64, value)
    })
    .collect()
}

fn points(exported: &Value) -> Vec<(i64, f64)> {
    let times = exported["timestamps"].as_array().unwrap().iter();
    let values = exported["values"].as_array().unwrap().iter();
    times
        .zip(values)
        .map(|(time, value)| (time.as_i64().unwrap(), value.as_f64().unwrap()))
        .collect()
}

/// Waits until VictoriaMetrics holds so many points of `up`, and compares them with
/// those that Prometheus holds.
fn assert_up_arrives(prometheus: &Prometheus, victoria: &Victoria, count: usize) {
    let arrived = eventually("points of up arrived", || {
        let exported = victoria.export("up");
        let points = exported.first().map(points).unwrap_or_default();
        holds(points.len() >= count, || format!("{exported:?}"))?;
        Ok(points)
    });
    let sent = up_at_its_source(prometheus);
    assert_eq!(arrived, sent[..arrived.len()]);
}

#[test]
fn what_prometheus_writes_is_in_victoriametrics_point_for_point() {
    let victoria = Victoria::start();
    let skyring = plan(&victoria).start();
    let prometheus = prometheus(&skyring);
    assert_up_arrives(&prometheus, &victoria, 3);
    let up = victoria.export("up").swap_remove(0);
    let wanted = json!({
        "__name__": "up", "job": "itself", "instance": prometheus.address(),
        "_tenant_id": "t1", "_server_id": "s1",
    });
    assert_eq!(up["metric"], wanted);
    // Dropped as the header says, and by flux.prometheus.drop_buckets.
    assert!(
        !victoria
            .export("{__name__=\"go_gc_duration_seconds\"}")
            .is_empty()
    );
    assert!(!victoria.export("{quantile=\"0.25\"}").is_empty());
    assert!(victoria.export("{quantile=\"0.5\"}").is_empty());
    assert!(!victoria.export("{__name__=~\".*_count\"}").is_empty());
    assert!(victoria.export("{__name__=~\".*_bucket\"}").is_empty());
    let flux = &skyring.status()["flux"]["endpoints"]["prometheus/write"];
    assert!(flux["points"].as_u64().unwrap() > 0, "{flux}");
    assert!(flux["refused"]["bucket"].as_u64().unwrap() > 0, "{flux}");
}

// A 4xx, or a 204 for what is not stored, would lose what was scraped meanwhile.
#[test]
fn nothing_that_prometheus_writes_is_lost_while_victoriametrics_is_away() {
    let mut victoria = Victoria::prepare();
    let skyring = plan(&victoria).start();
    let prometheus = prometheus(&skyring);
    eventually("Prometheus was told to try again", || {
        let status = skyring.status();
        let answers = &status["flux"]["endpoints"]["prometheus/write"]["answers"];
        holds(answers["503"].as_u64() > Some(2), || answers.to_string())
    });
    let written = body(vec![series(&[("__name__", "up")], &[(1.0, now_ms())])]);
    let answer = write(&skyring, &[SELF, TENANT, SERVER], &written);
    assert_eq!(answer.code, 503);
    assert!(
        answer
            .head
            .to_ascii_lowercase()
            .contains("\r\nretry-after: 5"),
        "{}",
        answer.head
    );
    assert!(
        answer.body.contains("VictoriaMetrics is away"),
        "{}",
        answer.body
    );
    let before = up_at_its_source(&prometheus).len();
    victoria.launch();
    assert_up_arrives(&prometheus, &victoria, before + 2);
}

#[test]
fn senders_are_told_what_is_wrong_and_nothing_of_theirs_is_stored() {
    let victoria = Victoria::start();
    let skyring = plan(&victoria).start();
    let good = body(vec![series(&[("__name__", "up")], &[(1.0, now_ms())])]);
    let other_key = ("key", "key-of-t2");
    let two = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
    for (headers, code, text) in [
        (
            &[TENANT, SERVER][..],
            401,
            "{\"code\": 401, \"message\": \"no key header\"}",
        ),
        (
            &[("key", ""), TENANT, SERVER],
            403,
            "{\"code\": 403, \"message\": \"invalid key\"}",
        ),
        (
            &[("key", "x"), TENANT, SERVER],
            403,
            "{\"code\": 403, \"message\": \"invalid key\"}",
        ),
        (
            &[SELF, SERVER],
            400,
            "{\"code\": 400, \"message\": \"no x-tenant-id header\"}",
        ),
        (
            &[SELF, TENANT],
            400,
            "{\"code\": 400, \"message\": \"no x-server-id header\"}",
        ),
        (&[other_key, TENANT, SERVER], 403, "another tenant"),
        (
            &[other_key, ("x-tenant-id", "t22"), SERVER],
            403,
            "another tenant",
        ),
        (
            &[SELF, TENANT, SERVER, ("dropLabels", "[1]")],
            400,
            "Malformed dropLabels header",
        ),
        (
            &[SELF, TENANT, SERVER, ("horizon-shard", "a")],
            400,
            "horizon-shard",
        ),
    ] {
        let answer = write(&skyring, headers, &good);
        assert_eq!(answer.code, code, "{headers:?}: {}", answer.body);
        assert!(answer.body.contains(text), "{headers:?}: {}", answer.body);
    }
    let address = flux(&skyring);
    let all = [SELF, TENANT, SERVER];
    for (kind, encoding, body, code, text) in [
        (two, "snappy", &good[..], 415, "remote write 1.0"),
        ("application/x-protobuf", "gzip", &good, 415, "snappy"),
        ("text/plain", "identity", b"up 1", 415, "application/json"),
        (
            "application/x-protobuf",
            "snappy",
            b"not snappy",
            400,
            "snappy's block format",
        ),
        (
            "application/x-protobuf",
            "snappy",
            b"\x02\x04\x0a\x05",
            400,
            "no prometheus.WriteRequest",
        ),
        (
            "application/x-protobuf",
            "snappy",
            b"\xff\xff\xff\xff\x0f\x00",
            413,
            "max_samples_per_send",
        ),
        (
            "application/json",
            "identity",
            b"{",
            400,
            "invalid json data",
        ),
        (
            "application/json",
            "identity",
            b"{\"metrics\": []}",
            400,
            "no metrics data sent",
        ),
    ] {
        let headers = [
            &all[..],
            &[("Content-Type", kind), ("Content-Encoding", encoding)],
        ]
        .concat();
        let answer = http::post(&address, "/flux/prometheus/write", &headers, body).unwrap();
        assert_eq!(answer.code, code, "{kind} {encoding}: {}", answer.body);
        assert!(
            answer.body.contains(text),
            "{kind} {encoding}: {}",
            answer.body
        );
    }
    assert!(victoria.export("{__name__!=\"\"}").is_empty());
}

#[test]
fn a_key_writes_for_its_tenant_and_for_those_below_it() {
    let victoria = Victoria::start();
    let skyring = plan(&victoria).start();
    for tenant in ["t2", "t2.floor.1"] {
        let good = body(vec![series(&[("__name__", "up")], &[(1.0, now_ms())])]);
        let headers = [("key", "key-of-t2"), ("x-tenant-id", tenant), SERVER];
        assert_eq!(write(&skyring, &headers, &good).code, 204);
        assert_eq!(
            victoria
                .export(&format!("{{_tenant_id=\"{tenant}\"}}"))
                .len(),
            1
        );
    }
}

// Skyline compares milliseconds with seconds, so that it refuses nothing.
#[test]
fn samples_that_are_too_old_are_left_out_and_nothing_but_those_is_400() {
    let victoria = Victoria::start();
    let skyring = plan(&victoria).start();
    let now = now_ms();
    let headers = [SELF, TENANT, SERVER];
    let mixed = body(vec![series(
        &[("__name__", "mixed")],
        &[(1.0, now - 301_000), (2.0, now)],
    )]);
    assert_eq!(write(&skyring, &headers, &mixed).code, 204);
    assert_eq!(points(&victoria.export("mixed")[0]), [(now, 2.0)]);
    let old = body(vec![series(
        &[("__name__", "old")],
        &[(1.0, now - 301_000)],
    )]);
    let answer = write(&skyring, &headers, &old);
    let text = "{\"code\": 400, \"message\": \"data older than 300 seconds\"}";
    assert_eq!((answer.code, &*answer.body), (400, text));
    assert!(victoria.export("old").is_empty());
}

#[test]
fn a_dry_run_tells_and_stores_nothing() {
    let victoria = Victoria::start();
    let skyring = plan(&victoria).start();
    let now = now_ms();
    let written = body(vec![
        series(&[("__name__", "up"), ("job", "a'b")], &[(1.0, now)]),
        series(&[("__name__", "x_bucket")], &[(1.0, now)]),
        series(&[("__name__", "none")], &[]),
    ]);
    let answer = write(
        &skyring,
        &[SELF, TENANT, SERVER, ("x-test-only", "true")],
        &written,
    );
    assert_eq!(answer.code, 200);
    let told: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(told["ingest_count"], 1);
    assert_eq!(told["drop_count"], 1);
    assert_eq!(told["no_values_count"], 1);
    assert_eq!(told["tenant_id"], "t1");
    let list = r#"['up{_tenant_id="t1",_server_id="s1",job="a\'b"}']"#;
    assert_eq!(told["metrics"], list);
    assert!(victoria.export("{__name__!=\"\"}").is_empty());
}

#[test]
fn a_tenant_over_its_quota_keeps_what_it_has() {
    let victoria = Victoria::start();
    let skyring = plan(&victoria).set("flux.quotas", "{ t1 = 2 }").start();
    let headers = [SELF, TENANT, SERVER];
    let write_all = |names: &[&str]| {
        let all = names
            .iter()
            .map(|name| series(&[("__name__", name)], &[(1.0, now_ms())]));
        write(&skyring, &headers, &body(all.collect()))
    };
    let answer = write_all(&["a", "b", "c"]);
    let text = "{\"code\": 400, \"message\": \"Too many metrics - quota: 2, submitted: 3\"}";
    assert_eq!((answer.code, &*answer.body), (400, text));
    assert_eq!(write_all(&["a", "b", "c"]).code, 204);
    assert_eq!(victoria.export("{__name__=~\"a|b\"}").len(), 2);
    assert!(victoria.export("c").is_empty());
    let flux = &skyring.status()["flux"]["endpoints"]["prometheus/write"];
    assert_eq!(flux["refused"]["over_quota"], 2, "{flux}");
}

#[test]
fn json_is_taken_too_with_timestamps_in_seconds() {
    let victoria = Victoria::start();
    let skyring = plan(&victoria).start();
    let now = now_ms() / 1000;
    let good = json!({ "metric": "up{job=\"a,b\"}", "timestamp": now, "value": "1.5" });
    let bad = json!({ "metric": "up", "timestamp": "x", "value": 1 });
    let send = |metrics: &[&Value]| {
        let body = json!({ "key": SELF.1, "metrics": metrics }).to_string();
        let headers = [
            TENANT,
            SERVER,
            ("Content-Type", "application/json; charset=utf-8"),
        ];
        http::post(
            &flux(&skyring),
            "/prometheus/write",
            &headers,
            body.as_bytes(),
        )
        .unwrap()
    };
    assert_eq!(send(&[&good]).code, 204);
    assert_eq!(points(&victoria.export("up")[0]), [(now * 1000, 1.5)]);
    assert_eq!(
        victoria.export("up{job=\"a,b\",_tenant_id=\"t1\"}").len(),
        1
    );
    let answer = send(&[&good, &bad]);
    assert_eq!(answer.code, 207);
    let told: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(told["data"][0]["status"], 204);
    assert_eq!(told["data"][1]["status"], 400);
    assert_eq!(send(&[&bad]).code, 400);
}

#[test]
fn without_victoriametrics_it_says_so_for_good_and_the_status_is_told_to_all() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis)
        .set("flux.self_key", format!("\"{}\"", SELF.1))
        .start();
    let answer = write(&skyring, &[SELF, TENANT, SERVER], &body(Vec::new()));
    assert_eq!(answer.code, 404);
    assert!(
        answer.body.contains("victoriametrics.url is not set"),
        "{}",
        answer.body
    );
    let answer = http::post(&flux(&skyring), "/prometheus/write?status=1", &[], b"").unwrap();
    assert_eq!((answer.code, &*answer.body), (200, "{\"status\": \"ok\"}"));
    let left: i64 = redis.run(&["TTL", "flux.prometheus"]);
    assert!((1..=120).contains(&left), "{left}");
}
