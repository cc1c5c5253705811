//! Graphite and Prometheus as sources: the real ones, and, for answers that they do
//! not give, a server of the test's own. The client is used from inside the process.

use std::future::Future;
use std::io::Write;
use std::ops::Range;
use std::process::Command;
use std::time::Duration;

use skyring::Settings;
use skyring::settings::Fetch;
use skyring::source::graphite::{self, Render, Window};
use skyring::source::{Client, FetchError, Limits, Reply, Sample, Series, Site, prometheus};

use crate::fixture::faulty::{Answer, Faulty};
use crate::fixture::graphite_web::GraphiteWeb;
use crate::fixture::now_s;
use crate::fixture::prometheus::Prometheus;

const LIMITS: Limits = Limits {
    connect_timeout: Duration::from_secs(20),
    timeout: Duration::from_secs(60),
    bytes_max: 1 << 20,
};

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(future)
}

fn site(url: &str, elements: &str) -> Site {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("skyring.toml");
    let text = format!(
        "[[vista.fetch]]\nremote_host = '{url}'\nremote_host_type = 'graphite'\n\
         remote_target = 'a'\n{elements}\n"
    );
    std::fs::write(&file, text).unwrap();
    let fetch: Fetch = Settings::load(Some(&file), &[])
        .unwrap()
        .vista
        .fetch
        .remove(0);
    Site::of(&fetch).unwrap()
}

fn render(url: &str, targets: &[&str], span: Range<i64>) -> Vec<Result<Reply, FetchError>> {
    let window = Window {
        from: Some(span.start),
        until: Some(span.end),
    };
    let render = Render::parse("default").unwrap();
    let (client, site) = (Client::new(LIMITS), site(url, ""));
    run(graphite::fetch(&client, &site, &render, targets, &window))
}

fn pairs(series: &Series) -> Vec<(i64, f64)> {
    let pair = |sample: &Sample| (sample.timestamp, sample.value);
    series.samples.iter().map(pair).collect()
}

/// Whole minutes before the present one, the oldest first, each with its value.
fn minutes(count: i64) -> Vec<(i64, f64)> {
    let present = now_s() as i64 / 60 * 60;
    (0..count)
        .map(|at| (present - (count - at) * 60, at as f64 / 4.0))
        .collect()
}

// A target without a series must not take that of its neighbour, and one that is
// wrong must cost nobody else anything.
#[test]
fn each_target_of_a_batch_gets_its_own_series_from_graphite() {
    let web = GraphiteWeb::start();
    let points = minutes(20);
    let other: Vec<(i64, f64)> = points
        .iter()
        .map(|(time, value)| (*time, value + 100.0))
        .collect();
    web.write("one.a", &[(60, 1440)], &points);
    web.write("one.b", &[(60, 1440)], &other);
    let span = points[0].0..points[19].0 + 60;
    let targets = [
        "no.such",
        "one.a",
        "sumSeries(one.a, one.b)",
        "one.*",
        "noSuchFunction(one.a)",
        "one.b",
        "summarize(one.a,'5min',\"sum\")",
        "scale(one.a, 1, 2, 3)",
        "one.{a}",
        "alias(one.b,\"t1\")",
        "sumSeries(one.a",
        "template(hosts.$x, x=\"a\")",
    ];
    let replies = render(&web.url(), &targets, span.clone());
    let only = |at: usize| replies[at].clone().and_then(Reply::only);
    assert_eq!(only(0), Err(FetchError::NoSeries));
    assert_eq!(pairs(&only(1).unwrap()), points);
    let sum: Vec<(i64, f64)> = points
        .iter()
        .map(|(time, value)| (*time, value * 2.0 + 100.0))
        .collect();
    assert_eq!(pairs(&only(2).unwrap()), sum);
    assert_eq!(only(3), Err(FetchError::SeveralSeries { count: 2 }));
    assert_eq!(only(4).unwrap_err().word(), "status");
    assert!(
        only(4)
            .unwrap_err()
            .to_string()
            .contains("unknown function"),
        "{:?}",
        only(4)
    );
    assert_eq!(pairs(&only(5).unwrap()), other);
    // Its first step lies before the window.
    assert!(only(6).unwrap().samples.len() >= 3);
    assert_eq!(only(7).unwrap_err().word(), "status");
    assert_eq!(pairs(&only(8).unwrap()), points);
    assert_eq!(pairs(&only(9).unwrap()), other);
    assert_eq!(only(10), Err(FetchError::NoSeries));
    assert_eq!(only(11), Err(FetchError::NoSeries));
    // Alone, each is answered as it is among the others.
    for (at, target) in targets.iter().enumerate() {
        let alone = render(&web.url(), &[target], span.clone())
            .remove(0)
            .and_then(Reply::only);
        match (alone, only(at)) {
            (Ok(alone), Ok(batched)) => assert_eq!(alone.samples, batched.samples, "{target}"),
            (alone, batched) => assert_eq!(alone.err(), batched.err(), "{target}"),
        }
    }
}

// A long question goes into the body, which Graphite reads as it reads the query.
#[test]
fn two_hundred_targets_are_asked_for_at_one_go() {
    let web = GraphiteWeb::start();
    let points = minutes(5);
    let names: Vec<String> = (0..200).map(|at| format!("many.metric-{at}")).collect();
    for name in names.iter().step_by(20) {
        web.write(name, &[(60, 60)], &points);
    }
    let targets: Vec<&str> = names.iter().map(String::as_str).collect();
    let replies = render(&web.url(), &targets, points[0].0..points[4].0 + 60);
    for (at, reply) in replies.into_iter().enumerate() {
        match reply.and_then(Reply::only) {
            Ok(series) => assert_eq!((at % 20, pairs(&series)), (0, points.clone())),
            Err(error) => assert_eq!((at % 20 != 0, error), (true, FetchError::NoSeries)),
        }
    }
}

// Both ends of a window, nulls, and numbers that are none: as the server has them.
#[test]
fn a_window_of_graphite_has_its_first_second_and_not_its_last() {
    let web = GraphiteWeb::start();
    let points = minutes(10);
    let mut written = points.clone();
    written[3].1 = f64::INFINITY;
    written[4].1 = f64::NEG_INFINITY;
    written[5].1 = 1e22;
    written[6].1 = 1e-7;
    written.remove(7);
    web.write("a", &[(60, 60)], &written);
    let span = points[1].0..points[9].0;
    let series = render(&web.url(), &["a"], span)
        .remove(0)
        .and_then(Reply::only)
        .unwrap();
    let wanted = [&written[1..3], &written[5..8]].concat();
    assert_eq!(pairs(&series), wanted);
    assert_eq!((series.not_finite, series.nulls), (2, 1));
}

/// Samples of `back`, each `every` seconds and half a second, in a span of the past.
fn past(span: Range<i64>, every: usize) -> (String, Vec<(i64, f64)>) {
    let points: Vec<(i64, f64)> = span
        .step_by(every)
        .map(|time| (time, (time % 1000) as f64 / 4.0))
        .collect();
    let lines = points
        .iter()
        .map(|(time, value)| format!("back{{a=\"b\"}} {value} {time}.5\n"));
    (
        format!("# TYPE back gauge\n{}", lines.collect::<String>()),
        points,
    )
}

#[test]
fn prometheus_gives_every_raw_sample_of_a_span_once() {
    let start = now_s() as i64 / 60 * 60 - 40_000;
    let (lines, points) = past(start..start + 20_000, 7);
    let server = Prometheus::start(&lines);
    let (client, site) = (Client::new(LIMITS), site(&server.url(), ""));
    let selector = "back{a=\"b\"}";
    for span in [
        start..start + 20_000,
        start + 7..start + 8,
        start + 600..start + 660,
    ] {
        let reply = run(prometheus::samples(&client, &site, selector, &span)).unwrap();
        let wanted: Vec<(i64, f64)> = points
            .iter()
            .copied()
            .filter(|it| span.contains(&it.0))
            .collect();
        let series = reply.only().unwrap();
        assert_eq!(pairs(&series), wanted, "{span:?}");
        assert_eq!(series.name, "back{a=\"b\"}");
    }
    let none = run(prometheus::samples(&client, &site, selector, &(0..60))).unwrap();
    assert_eq!(none.only(), Err(FetchError::NoSeries));
}

// The server refuses more than 11,000 steps, or more samples than it may load: what
// comes of the pieces must be what one question would have given.
#[test]
fn a_range_that_is_too_much_for_prometheus_comes_in_pieces() {
    let start = now_s() as i64 / 60 * 60 - 720_060;
    let (mut lines, mut points) = past(start..start + 7200, 60);
    let (more, last) = past(start + 712_800..start + 720_000, 60);
    lines.push_str(more.split_once('\n').unwrap().1);
    points.extend(last);
    let server = Prometheus::with(&lines, &["--query.max-samples=100"]);
    let (client, site) = (Client::new(LIMITS), site(&server.url(), ""));
    let span = start + 60..start + 720_000;
    assert!((span.end - span.start) / 60 > 11_000);
    // Each minute before a step has one sample, half a second after its beginning.
    let expression = "max_over_time(back{a=\"b\"}[60s])";
    let reply = run(prometheus::range(&client, &site, expression, &span, 60));
    let steps = points.iter().map(|(time, value)| (time + 60, *value));
    let wanted: Vec<(i64, f64)> = steps.filter(|it| span.contains(&it.0)).collect();
    assert_eq!(pairs(&reply.unwrap().only().unwrap()), wanted);
    let reply = run(prometheus::samples(&client, &site, "back", &span)).unwrap();
    let wanted: Vec<(i64, f64)> = points
        .into_iter()
        .filter(|it| span.contains(&it.0))
        .collect();
    assert_eq!(pairs(&reply.only().unwrap()), wanted);
}

#[test]
fn what_prometheus_refuses_is_told_in_its_words() {
    let server = Prometheus::start("");
    let (client, site) = (Client::new(LIMITS), site(&server.url(), ""));
    let fetch = |uri: &str| run(prometheus::verbatim(&client, &site, uri)).and_then(Reply::only);
    for (uri, word, words) in [
        ("/api/v1/query?query=up", "shape", "a vector has one point"),
        ("/api/v1/query?query=1", "shape", "a scalar has one point"),
        (
            "/api/v1/query?query=%22a%22",
            "shape",
            "a string where a matrix",
        ),
        ("/api/v1/query?query=no_such%5B5m%5D", "no_series", ""),
        (
            "/api/v1/query?query=sum(",
            "status",
            "status 400: bad_data: ",
        ),
        (
            "/api/v1/query_range?query=up&start=2&end=1&step=1",
            "status",
            "end timestamp",
        ),
        ("/no/such", "status", "status 404: 404 page not found"),
        ("/graph", "not_json", "<"),
        ("no-slash", "connect", "is no path and query"),
    ] {
        let error = fetch(uri).unwrap_err();
        assert_eq!(error.word(), word, "{uri}: {error}");
        assert!(error.to_string().contains(words), "{uri}: {error}");
    }
}

/// A key and a certificate of this host, in PEM.
fn certificate(directory: &std::path::Path) {
    let output = Command::new("openssl")
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
        ])
        .args([
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ])
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

// The password is checked by the real server, which keeps it as bcrypt has it.
#[test]
fn a_server_is_trusted_and_logged_in_to_as_the_entry_says() {
    let directory = tempfile::tempdir().unwrap();
    certificate(directory.path());
    let path = directory.path().display();
    let hash = "$2b$04$qE4aZdjcWrGWfuuuBktNZO8.liNXy5Hg4L8RuRl1a9RReXN1cbLqG";
    let config = directory.path().join("web.yml");
    let text = format!(
        "tls_server_config: {{ cert_file: {path}/cert.pem, key_file: {path}/key.pem }}\n\
         basic_auth_users: {{ me: '{hash}' }}\n"
    );
    std::fs::write(&config, text).unwrap();
    let option = format!("--web.config.file={}", config.display());
    let server = Prometheus::with("", &[&option]);
    let address = server.address();
    let client = Client::new(LIMITS);
    let fetch = |url: &str, elements: &str| {
        let site = site(url, elements);
        run(client.ask(&site, "/api/v1/query", "query=1"))
    };
    let https = format!("https://{address}");
    let trusted = format!("ca_file = '{path}/cert.pem'");
    let login = "user = 'me'\npassword = 'hunter2'";
    assert!(fetch(&https, &format!("{trusted}\n{login}")).is_ok());
    assert!(fetch(&https, &format!("insecure = true\n{login}")).is_ok());
    let with_login = format!("https://me:hunter2@{address}");
    assert!(fetch(&with_login, &trusted).is_ok());
    for (url, elements, word, words) in [
        (&https, login.to_owned(), "tls", "invalid peer certificate"),
        (&https, trusted.clone(), "status", "401: Unauthorized"),
        (
            &https,
            format!("{trusted}\ntoken = 'hunter2'"),
            "status",
            "401: Unauthorized",
        ),
        (
            &https,
            format!("{trusted}\nuser = 'me'\npassword = 'x'"),
            "status",
            "401",
        ),
        (
            &format!("http://{address}"),
            login.to_owned(),
            "status",
            "HTTPS server",
        ),
    ] {
        let error = fetch(url, &elements).unwrap_err();
        assert_eq!(error.word(), word, "{elements}: {error}");
        assert!(error.to_string().contains(words), "{elements}: {error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
    // One that speaks no TLS at all.
    let plain = Faulty::start(Answer::json("[]"));
    let error = fetch(&format!("https://{}", plain.address()), &trusted).unwrap_err();
    assert_eq!(error.word(), "tls", "{error}");
}

fn gzip(bytes: usize) -> Answer {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let piece = vec![b' '; 1 << 20];
    for _ in 0..bytes >> 20 {
        encoder.write_all(&piece).unwrap();
    }
    let headers = "Content-Encoding: gzip\r\n".to_owned();
    Answer::Whole("200 OK", headers, encoder.finish().unwrap())
}

#[test]
fn each_bad_answer_is_bounded_and_told() {
    let server = Faulty::start(Answer::Nothing);
    let client = Client::new(LIMITS);
    let hasty = Client::new(Limits {
        timeout: Duration::from_millis(200),
        ..LIMITS
    });
    let site = site(&server.url(), "");
    let ask = |client: &Client, answer: Answer| {
        server.answer(answer);
        run(client.ask(&site, "/render", "target=a"))
    };
    let html = Answer::Whole("200 OK", String::new(), b"<html>".to_vec());
    // It is the reader's, not the client's, to see that this is no JSON.
    assert_eq!(ask(&client, html).as_deref(), Ok(&b"<html>"[..]));
    let half = ask(&client, Answer::Half(b"[{\"target\":".to_vec())).unwrap_err();
    assert_eq!(half.word(), "cut", "{half}");
    let nothing = ask(&client, Answer::Nothing).unwrap_err();
    assert!(nothing.is_transient(), "{nothing}");
    for answer in [Answer::Huge(100 << 20), gzip(100 << 20)] {
        assert_eq!(ask(&client, answer), Err(FetchError::TooLarge(1 << 20)));
    }
    let told = Answer::Whole("200 OK", String::new(), vec![b' '; (1 << 20) + 1]);
    assert_eq!(ask(&client, told), Err(FetchError::TooLarge(1 << 20)));
    let most = Answer::Whole("200 OK", String::new(), vec![b' '; 1 << 20]);
    assert_eq!(ask(&client, most).map(|body| body.len()), Ok(1 << 20));
    for answer in [Answer::Silence, Answer::Drip] {
        let timeout = Duration::from_millis(200);
        assert_eq!(ask(&hasty, answer), Err(FetchError::Timeout(timeout)));
    }
    let busy = "Retry-After: 17\r\n".to_owned();
    let busy = Answer::Whole("429 Too Many Requests", busy, b"slow\ndown".to_vec());
    let error = ask(&client, busy).unwrap_err();
    assert_eq!(error.to_string(), "status 429: slow down");
    assert_eq!(error.retry_after(), Some(Duration::from_secs(17)));
    let page = Answer::Whole("502 Bad Gateway", String::new(), vec![b'x'; 1 << 20]);
    assert_eq!(
        ask(&client, page).unwrap_err().to_string().len(),
        "status 502: ".len() + 200
    );
    let gone = Site::of(&fetch_of("http://127.0.0.1:1")).unwrap();
    let error = run(client.ask(&gone, "/", "")).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("no connection: Connection refused"),
        "{error}"
    );
    let nowhere = Site::of(&fetch_of("http://no-such-host.invalid")).unwrap();
    assert_eq!(
        run(client.ask(&nowhere, "/", "")).unwrap_err().word(),
        "connect"
    );
}

fn fetch_of(url: &str) -> Fetch {
    let set = format!(
        "vista.fetch=[{{ remote_host = '{url}', remote_host_type = 'graphite', remote_target = 'a' }}]"
    );
    Settings::load(None, &[set]).unwrap().vista.fetch.remove(0)
}

// Whoever can make a source redirect must not learn its login, nor have this host ask
// its own surroundings.
#[test]
fn a_redirect_is_followed_on_the_same_host_only() {
    let server = Faulty::start(Answer::Nothing);
    let trap = Faulty::start(Answer::json("[]"));
    let site = site(&server.url(), "token = 'hunter2'");
    let client = Client::new(LIMITS);
    let ask = |query: &str| run(client.ask(&site, "/render", query));
    for status in [
        "301 Moved",
        "302 Found",
        "303 See Other",
        "307 Temporary",
        "308 Permanent",
    ] {
        for to in [
            trap.url(),
            format!("//{}/x", trap.address()),
            "https://127.0.0.1:1/".into(),
        ] {
            server.answer(Answer::redirect(status, &to));
            assert_eq!(
                ask("target=a").unwrap_err().word(),
                "redirect",
                "{status} {to}"
            );
        }
        server.answer(Answer::redirect(status, "/render?again"));
        assert_eq!(
            ask("target=a"),
            Err(FetchError::RedirectLoop(3)),
            "{status}"
        );
    }
    server.answer(Answer::redirect("302 Found", "file:///etc/passwd"));
    assert_eq!(ask("target=a").unwrap_err().word(), "redirect");
    // What was asked for in a form would be forgotten on the way.
    server.answer(Answer::redirect("302 Found", "/render?again"));
    let form = format!("target={}", "a".repeat(3000));
    assert_eq!(ask(&form).unwrap_err().word(), "status");
    assert_eq!(trap.requests(), [] as [String; 0]);
    let requests = server.requests();
    assert!(
        requests
            .iter()
            .all(|it| it.contains("authorization: Bearer hunter2")),
        "{requests:?}"
    );
    assert!(
        requests
            .iter()
            .any(|it| it.starts_with("POST /render HTTP/1.1") && it.ends_with(&form))
    );
}
