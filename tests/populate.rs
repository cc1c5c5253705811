//! `POST /populate_metric`: histories of real Graphites and Prometheuses, in the form
//! in which Skyline's Vista asks for them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::slice::from_ref;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::fixture::carbon_cache::CarbonCache;
use crate::fixture::faulty::{Answer, Faulty};
use crate::fixture::graphite_web::GraphiteWeb;
use crate::fixture::prometheus::Prometheus;
use crate::fixture::redis::Redis;
use crate::fixture::skyring::{Plan, Skyring};
use crate::fixture::{eventually, hex, holds, http, now_s, python};

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// An entry of `vista.fetch`.
fn entry(url: &str, kind: &str, target: &str, more: &str) -> String {
    format!(
        "{{ remote_host = '{url}', remote_host_type = '{kind}', remote_target = '{target}'{more} }}"
    )
}

/// A server that may fetch from these, and fetches nothing by itself.
fn plan(redis: &Redis, entries: &[String]) -> Plan {
    Plan::with(redis)
        .set("flux.self_key", format!("'{KEY}'"))
        .set("vista.enabled", false)
        .set("vista.fetch", format!("[{}]", entries.join(", ")))
}

/// What Skyline's Vista sends.
fn job(kind: &str, target: &str, metric: &str, urls: &[String]) -> Value {
    let quoted: Vec<String> = urls.iter().map(|url| format!("'{url}'")).collect();
    json!({
        "remote_host_type": kind,
        "remote_target": target,
        "metric": metric,
        "namespace_prefix": "vista",
        "key": KEY,
        "token": "None",
        "user": "None",
        "password": "None",
        "fetch_resolution_urls": format!("\"[{}]\"", quoted.join(", ")),
    })
}

fn post(skyring: &Skyring, body: &str) -> http::Answer {
    let address = skyring.ready["flux"][0].as_str().unwrap();
    let length = body.len();
    let request = format!(
        "POST /flux/populate_metric HTTP/1.1\r\nHost: {address}\r\nContent-Type: \
         application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    http::request(address, &request).unwrap()
}

/// Asks for a history, and waits until so many are done and have failed.
fn populate(skyring: &Skyring, job: &Value, done: u64, failed: u64) {
    let answer = post(skyring, &job.to_string());
    assert_eq!(answer.code, 204, "{}", answer.body);
    wait(skyring, done, failed);
}

fn wait(skyring: &Skyring, done: u64, failed: u64) {
    eventually("the histories were over", || {
        let populate = skyring.status()["flux"]["populate"].clone();
        holds(
            populate["done"] == done && populate["failed"] == failed,
            || format!("{populate} {}", skyring.process.stderr()),
        )
    });
}

/// The points that a history must become, and their bytes, as Python finds them.
fn expected(mut given: Value, windows: &[Range<i64>], after: Option<i64>) -> (usize, Vec<u8>) {
    let windows: Vec<[i64; 2]> = windows.iter().map(|it| [it.start, it.end]).collect();
    given["windows"] = json!(windows);
    given["after"] = json!(after);
    given["before"] = json!(windows.last().unwrap()[1]);
    let found = python::script("history.py", &[], &given.to_string()).remove(0);
    let points = found["points"].as_array().unwrap().len();
    (points, hex(found["records"].as_str().unwrap()))
}

fn minute(time: i64) -> i64 {
    time / 60 * 60
}

/// OpenMetrics of a gauge, each 7 seconds, with values that no float rounds, some of
/// which are no numbers.
fn samples(span: Range<i64>) -> String {
    let lines = span.step_by(7).map(|time| {
        let value = match time % 97 {
            0 => "NaN".to_owned(),
            1 => "+Inf".to_owned(),
            rest => format!("{}", rest as f64 / 4.0),
        };
        format!("back{{a=\"b\"}} {value} {time}.25\n")
    });
    format!("# TYPE back gauge\n{}", lines.collect::<String>())
}

#[test]
fn a_history_of_prometheus_is_the_mean_of_each_minute_of_its_raw_samples() {
    let now = now_s() as i64;
    // With a gap, and an end that is not at a minute.
    let text = samples(now - 70_000..now - 40_000) + &samples(now - 30_000..now - 2_013);
    let server = Prometheus::start(&text.replacen("# TYPE back gauge\n", "", 1));
    let redis = Redis::start();
    let target = "back{a=\"b\"}";
    let skyring = plan(&redis, &[entry(&server.url(), "prometheus", target, "")]).start();
    let url = format!(
        "{}/api/v1/query?query=back%7Ba%3D%22b%22%7D[6d]",
        server.url()
    );
    populate(
        &skyring,
        &job("prometheus", target, "vista.back", &[url]),
        1,
        0,
    );
    let given = json!({ "prometheus": server.url(), "selector": target });
    let (points, records) = expected(given, from_ref(&(minute(now - 80_000)..minute(now))), None);
    assert!(points > 900, "{points}");
    assert_eq!(redis.series("vista.back"), records);
    let status = skyring.status();
    assert_eq!(status["flux"]["populate"]["points"], points);
    assert_eq!(
        redis.run::<Vec<String>>(&["SMEMBERS", "vista.fetcher.unique_metrics"]),
        [target]
    );
    assert_eq!(
        redis.run::<String>(&["GET", "vista.last.resolution.vista.back"]),
        "7"
    );
    let left: i64 = redis.run(&["TTL", "vista.last.resolution.vista.back"]);
    assert!((3000..=3600).contains(&left), "{left}");
}

// Three archives, of which the finest has many points a minute: each age comes from
// its own, and what is stored already does not come again.
#[test]
fn a_history_of_graphite_comes_from_the_archive_of_each_age() {
    let web = GraphiteWeb::start();
    let now = now_s() as i64;
    let points: Vec<(i64, f64)> = (1..8000)
        .map(|at| (now - (8000 - at) * 10, (at % 64) as f64))
        .collect();
    web.write("a.b", &[(10, 1080), (60, 720), (600, 2000)], &points);
    let redis = Redis::start();
    let plan = plan(&redis, &[entry(&web.url(), "graphite", "a.b", "")]);
    let skyring = plan.start();
    let url = |window: &str| format!("{}/render/?{window}&format=json&target=a.b", web.url());
    let urls = [
        url("from=-2hours"),
        url("from=-7days&until=-11hours"),
        url("from=-11hours&until=-2hours"),
    ];
    let job = job("graphite", "a.b", "vista.a.b", &urls);
    let before = now_s() as i64;
    populate(&skyring, &job, 1, 0);
    if minute(before) != minute(now_s() as i64) {
        // Which minutes were asked for is not known.
        return a_history_of_graphite_comes_from_the_archive_of_each_age();
    }
    let age = |seconds: i64| minute(before - seconds);
    // Older ones than the data plane stores are not asked for.
    // Each archive is asked for what is ten minutes younger than its age.
    let windows = [
        age(86_400)..age(39_000),
        age(39_000)..age(6600),
        age(6600)..minute(before),
    ];
    let given = json!({ "graphite": web.file("a.b") });
    let (count, records) = expected(given.clone(), &windows, None);
    assert!(count > 600, "{count}");
    let stored = redis.series("vista.a.b");
    assert_eq!(stored, records);
    // Once more, after the server was killed and some newer points came to the source.
    drop(skyring);
    web.write("a.b", &[], &[(now - 5, 1000.0)]);
    let skyring = plan.start();
    populate(&skyring, &job, 1, 0);
    let again = redis.series("vista.a.b");
    assert!(again.starts_with(&stored));
    // At most the minutes that have passed since.
    let minutes = (now_s() as i64 - before) / 60 + 1;
    assert!(again.len() <= stored.len() + 16 * minutes as usize);
}

// With a Graphite all of it is delivered, however old. Where Redis has lost what it
// knew, Graphite says up to where the history is there.
#[test]
fn a_history_goes_to_graphite_whole_and_once() {
    let source = GraphiteWeb::start();
    let now = now_s() as i64;
    let points: Vec<(i64, f64)> = (1..3000)
        .map(|at| (minute(now) - (3000 - at) * 60, at as f64 / 8.0))
        .collect();
    source.write("a.b", &[(60, 5000)], &points);
    let cache = CarbonCache::start();
    let local = GraphiteWeb::over(&cache);
    let redis = Redis::start();
    let entry = entry(&source.url(), "graphite", "a.b", "");
    let skyring = plan(&redis, &[entry])
        .set("graphite.carbon_pickle", format!("'{}'", cache.pickle()))
        .set("graphite.url", format!("'{}'", local.url()))
        .start();
    let url = format!(
        "{}/render/?from=-3days&format=json&target=a.b",
        source.url()
    );
    let job = job("graphite", "a.b", "vista.a.b", &[url]);
    populate(&skyring, &job, 1, 0);
    let wanted: BTreeMap<i64, f64> = points.iter().copied().collect();
    eventually("carbon had written all", || {
        let found = cache.points("vista.a.b");
        holds(found == wanted, || format!("{} points", found.len()))
    });
    redis.run::<()>(&["FLUSHALL"]);
    populate(&skyring, &job, 2, 0);
    // Minutes may have passed since, in which the source has no points.
    assert_eq!(skyring.status()["flux"]["populate"]["points"], points.len());
}

// Wherever the server is when it is killed, the same request goes on behind the last
// point that is stored.
#[test]
fn a_history_that_was_killed_goes_on_without_a_gap_and_without_a_double() {
    let now = now_s() as i64;
    let start = minute(now) - 500_000;
    let lines = (start..now - 1000)
        .step_by(200)
        .map(|time| format!("back {} {time}.25\n", time % 64));
    let server = Prometheus::start(&lines.collect::<String>());
    let redis = Redis::durable();
    let plan = plan(&redis, &[entry(&server.url(), "prometheus", "back", "")])
        .set("redis.full_duration_s", 864_000);
    let url = format!("{}/api/v1/query?query=back[6d]", server.url());
    let job = job("prometheus", "back", "vista.back", &[url]);
    for least in [0, 1, 10_000, 20_000, 30_000] {
        let mut skyring = plan.start();
        assert_eq!(post(&skyring, &job.to_string()).code, 204);
        eventually("points came", || {
            let length = redis.series("vista.back").len();
            holds(length >= least, || format!("{length} bytes of {least}"))
        });
        skyring.process.signal(Signal::KILL);
        skyring.process.exit();
    }
    let skyring = plan.start();
    populate(&skyring, &job, 1, 0);
    let given = json!({ "prometheus": server.url(), "selector": "back" });
    let (points, records) = expected(given, from_ref(&(start - 60..minute(now))), None);
    assert!(points > 2000, "{points}");
    assert!(redis.series("vista.back") == records, "{points} points");
}

// Skyline's own Vista asks in vain for the samples of an expression, of which there
// are none; a single quote in a target makes its text of the list unreadable.
#[test]
fn an_expression_is_asked_for_in_steps_and_a_list_may_be_json() {
    let now = now_s() as i64;
    let server = Prometheus::start(&samples(now - 9_000..now - 1_000));
    let redis = Redis::start();
    let target = "sum(back{a=\\\"b\\\"}) * 2";
    let entry = format!(
        "{{ remote_host = '{}', remote_host_type = 'prometheus', remote_target = \"{target}\" }}",
        server.url()
    );
    let skyring = plan(&redis, &[entry]).start();
    let target = "sum(back{a='b'}) * 2";
    let url = format!(
        "{}/api/v1/query?query=sum(back%7Ba='b'%7D)%20*%202[3h]",
        server.url()
    );
    let mut body = job("prometheus", target, "vista.sum", from_ref(&url));
    let answer = post(&skyring, &body.to_string());
    assert_eq!(answer.code, 400);
    assert!(
        answer
            .body
            .contains("fetch_resolution_urls: expected a list"),
        "{}",
        answer.body
    );
    body["fetch_resolution_urls"] = json!([url]);
    populate(&skyring, &body, 1, 0);
    let records = redis.series("vista.sum");
    assert!(records.len() > 100 * 12, "{}", records.len());
}

/// One field of a good job replaced, and the words with which that is refused.
fn bad_jobs(good: &Value) -> Vec<(Value, &'static str)> {
    let with = |name: &str, value: Value| {
        let mut bad = good.clone();
        bad[name] = value;
        bad
    };
    let without = |name: &str| {
        let mut bad = good.clone();
        bad.as_object_mut().unwrap().remove(name);
        bad
    };
    let urls = |url: &str| with("fetch_resolution_urls", json!([url]));
    vec![
        (json!([1]), "expected a JSON object"),
        (json!("x"), "expected a JSON object"),
        (without("remote_host_type"), "no remote_host_type"),
        (
            with("remote_host_type", json!("netdata")),
            "expected graphite or prometheus",
        ),
        (without("remote_target"), "no remote_target"),
        (
            with("remote_target", json!("x".repeat(5000))),
            "remote_target: expected at most",
        ),
        (without("metric"), "no metric"),
        (with("metric", Value::Null), "no metric"),
        (with("metric", json!("a b")), "metric: expected a name"),
        (with("metric", json!("a\nb")), "metric: expected a name"),
        (
            with("metric", json!("x".repeat(5000))),
            "metric: expected a name",
        ),
        (without("fetch_resolution_urls"), "no fetch_resolution_urls"),
        (
            with("fetch_resolution_urls", json!("None")),
            "expected a list",
        ),
        (
            with("fetch_resolution_urls", json!("\"[]\"")),
            "expected a list",
        ),
        (with("fetch_resolution_urls", json!([])), "expected a list"),
        (with("fetch_resolution_urls", json!([1])), "expected a list"),
        (
            with("fetch_resolution_urls", json!(vec!["x"; 65])),
            "expected a list",
        ),
        (
            with("fetch_resolution_urls", json!("__import__('os')")),
            "expected a list",
        ),
        (urls("x"), "expected http and https URLs"),
        (urls("file:///etc/passwd"), "expected http and https URLs"),
        (with("user", json!("a:b")), "user: expected no colon"),
        (with("password", json!("p")), "a password needs a user"),
    ]
}

// Nobody must have this server ask what its caller likes: neither another host, nor
// anything but a question for points.
#[test]
fn nothing_is_fetched_but_points_and_only_from_the_configured_hosts() {
    let server = Faulty::start(Answer::json("[]"));
    let trap = Faulty::start(Answer::json("[]"));
    let redis = Redis::start();
    let base = format!("{}/base", server.url());
    let skyring = plan(&redis, &[entry(&base, "graphite", "a.b", "")]).start();
    let (host, other) = (server.address(), trap.address());
    let good = format!("{base}/render/?from=-7days&format=json&target=a.b");
    let good_job = job("graphite", "a.b", "vista.a.b", from_ref(&good));
    let refused = |body: &Value, words: &str| {
        let answer = post(&skyring, &body.to_string());
        assert_eq!(answer.code, 400, "{body}");
        let told: Value = serde_json::from_str(&answer.body).unwrap();
        let message = told["message"].as_str().unwrap();
        assert!(message.contains(words), "{body}: {message}");
    };
    for (bad, words) in bad_jobs(&good_job) {
        refused(&bad, words);
    }
    let query = "from=-7days&format=json&target=a.b";
    let no_entry = "is the host of no entry of vista.fetch";
    for (url, words) in [
        (format!("http://{other}/base/render/?{query}"), no_entry),
        (format!("https://{host}/base/render/?{query}"), no_entry),
        (
            format!(
                "http://localhost:{}/base/render/?{query}",
                host.split_once(':').unwrap().1
            ),
            no_entry,
        ),
        (
            format!("http://127.0.0.1.example.org/base/render/?{query}"),
            no_entry,
        ),
        (
            format!("http://{host}@{other}/base/render/?{query}"),
            "without a login",
        ),
        (
            format!("http://{other}#@{host}/base/render/?{query}"),
            "without a login or #",
        ),
        (format!("http://{host}/render/?{query}"), no_entry),
        (format!("{base}/?{query}"), no_entry),
        (format!("{base}/metrics/find?{query}"), no_entry),
        (format!("{base}/render/../admin/render2?{query}"), no_entry),
        (format!("{base}/%2e%2e/render/?{query}"), no_entry),
        (format!("{base}/render/"), "a URL without a query"),
        (
            format!("{base}/render/?from=-7days&target="),
            "a URL without a target",
        ),
        (format!("{base}/render/?target=a"), "a URL without from"),
        (format!("{base}/render/?from=x&target=a"), "no time: x"),
        (
            format!("{base}/render/?from=-7days&from=-1days&target=a"),
            "stands there twice",
        ),
        (
            format!("{base}/render/?from=-7days&format=png&target=a"),
            "expected format=json",
        ),
        (
            format!("{base}/render/?url=http://{other}&from=-7days&target=a"),
            "only",
        ),
        (
            format!("{base}/render/?from=1&until=99999999999999&target=a"),
            "of this century",
        ),
        (format!("{base}/render/?from=-7days&target=%0aa"), "UTF-8"),
    ] {
        let mut bad = good_job.clone();
        bad["fetch_resolution_urls"] = json!([good, url]);
        refused(&bad, words);
    }
    for key in [json!(""), Value::Null, json!("None"), json!("f".repeat(32))] {
        let mut bad = good_job.clone();
        bad["key"] = key;
        assert_eq!(post(&skyring, &bad.to_string()).code, 401, "{bad}");
    }
    assert_eq!(post(&skyring, "{").code, 400);
    assert_eq!(server.requests(), [] as [String; 0]);
    // The good one is made anew of what it asks for, and whatever its target says
    // stays its target.
    let mut hidden = good_job.clone();
    hidden["fetch_resolution_urls"] = json!([format!(
        "{base}/render/?from=-7days&target=a&url=http://{other}/%23x"
    )]);
    populate(&skyring, &hidden, 1, 0);
    let requests = server.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    let target = format!(
        "target=a%26url%3Dhttp%3A%2F%2F{}%2F%23x ",
        other.replace(':', "%3A")
    );
    assert!(
        requests[0].starts_with("GET /base/render?from=")
            || requests[0].starts_with("GET /base/render/?from="),
        "{requests:?}"
    );
    assert!(requests[0].contains(&target), "{requests:?}");
    // A host that is allowed sends on to one that is not.
    server.answer(Answer::redirect("302 Found", &trap.url()));
    populate(&skyring, &good_job, 1, 1);
    assert_eq!(trap.requests(), [] as [String; 0]);
    assert!(
        skyring
            .process
            .stderr()
            .contains("which is not the host that is configured")
    );
}

// A password that Vista's entry holds is the entry's; what the caller gives is sent in
// its place, and never both.
#[test]
fn a_history_is_fetched_with_the_login_of_the_entry_or_of_the_caller() {
    let server = Faulty::start(Answer::json("[]"));
    let redis = Redis::start();
    let secrets = ", token = 'hunter2', headers = { X-Scope-OrgID = 'hunter3' }";
    let entries = [
        entry(&server.url(), "graphite", "a.b", secrets),
        entry(&server.url(), "graphite", "c.d", ""),
    ];
    let skyring = plan(&redis, &entries).start();
    let mut count = 0;
    let mut sent = |target: &str, user: &str, password: &str| {
        let url = format!(
            "{}/render/?from=-1hours&format=json&target={target}",
            server.url()
        );
        let mut job = job("graphite", target, &format!("vista.{count}"), &[url]);
        job["user"] = json!(user);
        job["password"] = json!(password);
        count += 1;
        populate(&skyring, &job, count, 0);
        server.requests().pop().unwrap()
    };
    let own = sent("a.b", "None", "None");
    assert!(
        own.contains("authorization: Bearer hunter2") && own.contains("hunter3"),
        "{own}"
    );
    let callers = sent("a.b", "me", "hunter4");
    assert!(
        callers.contains("authorization: Basic bWU6aHVudGVyNA=="),
        "{callers}"
    );
    assert!(
        !callers.contains("hunter2") && !callers.contains("hunter3"),
        "{callers}"
    );
    for target in ["c.d", "other"] {
        let none = sent(target, "None", "None");
        assert!(!none.contains("hunter"), "{none}");
    }
    assert!(!skyring.process.stderr().contains("hunter"));
}

#[test]
fn a_source_that_fails_costs_its_own_history_and_no_other() {
    let faulty = Faulty::start(Answer::Silence);
    let good = GraphiteWeb::start();
    let now = now_s() as i64;
    good.write("a", &[(60, 1440)], &[(minute(now) - 600, 2.5)]);
    let redis = Redis::start();
    let entries = [
        entry(&faulty.url(), "graphite", "a", ""),
        entry(&good.url(), "graphite", "a", ""),
    ];
    let skyring = plan(&redis, &entries)
        .set("vista.answer_timeout_s", 1)
        .set("flux.populate_running_max", 2)
        .set("flux.populate_per_source_max", 1)
        .set("flux.populate_queue_max", 2)
        .start();
    let job_at = |url: &str, metric: &str| {
        let url = format!("{url}/render/?from=-1hours&format=json&target=a");
        job("graphite", "a", metric, &[url])
    };
    // One runs and hangs, two wait behind it, and for more there is no room.
    for metric in ["bad.1", "bad.2", "bad.3", "bad.1"] {
        let answer = post(&skyring, &job_at(&faulty.url(), metric).to_string());
        assert_eq!(answer.code, 204, "{metric}: {}", answer.body);
    }
    let full = post(&skyring, &job_at(&faulty.url(), "bad.4").to_string());
    assert_eq!(full.code, 503, "{}", full.body);
    assert!(
        full.head.to_ascii_lowercase().contains("retry-after: 60"),
        "{}",
        full.head
    );
    faulty.answer(Answer::Whole(
        "200 OK",
        String::new(),
        b"<html>down</html>".to_vec(),
    ));
    wait(&skyring, 0, 3);
    let log = skyring.process.stderr();
    assert!(log.contains("no JSON: <html>down</html>"), "{log}");
    populate(&skyring, &job_at(&good.url(), "good"), 1, 3);
    assert_eq!(redis.series("good").len(), 15);
}

// What passes is waited for, and what was delivered before is not lost.
#[test]
fn a_history_goes_on_when_its_source_is_well_again() {
    let faulty = Faulty::start(Answer::Whole(
        "503 Service Unavailable",
        "Retry-After: 1\r\n".to_owned(),
        Vec::new(),
    ));
    let redis = Redis::start();
    let skyring = plan(&redis, &[entry(&faulty.url(), "graphite", "a", "")]).start();
    let url = format!("{}/render/?from=-1hours&format=json&target=a", faulty.url());
    let job = job("graphite", "a", "vista.a", &[url]);
    assert_eq!(post(&skyring, &job.to_string()).code, 204);
    eventually("it was asked", || {
        holds(!faulty.requests().is_empty(), || "no request".to_owned())
    });
    let time = minute(now_s() as i64) - 600;
    let series = format!(
        r#"[{{"target":"a","datapoints":[[3,{}],[1e9999,{}],[1,{time}],[null,{}],[2,{time}]]}}]"#,
        time + 60,
        time + 120,
        time + 180
    );
    faulty.answer(Answer::json(&series));
    wait(&skyring, 1, 0);
    let lines = json!([[time, 2.0], [time + 60, 3.0]]);
    let wanted = python::script("pack.py", &[], &lines.to_string()).remove(0);
    assert_eq!(redis.series("vista.a"), hex(wanted.as_str().unwrap()));
    // A source that does not know the metric has nothing, which is no failure.
    faulty.answer(Answer::json("[]"));
    populate(&skyring, &job, 2, 0);
}
