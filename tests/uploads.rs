//! Files of points uploaded to Flux, and the page that does it.

mod page;

use std::collections::BTreeSet;
use std::io::Write;

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fixture::form::Form;
use crate::fixture::http::{self, Answer};
use crate::fixture::redis::Redis;
use crate::fixture::run::printed;
use crate::fixture::skyring::{Plan, Skyring};
use crate::fixture::{eventually, free_port, holds, now_s};

const NAMESPACE: &str = "test.uploads";
const KEY: &str = "5a2ed463-a6de-4f5b-b0d8-2f3ab0ee9b29";

fn plan(redis: &Redis) -> Plan {
    Plan::with(redis)
        .set("flux.uploads.enabled", "true")
        .set(
            "flux.uploads.keys",
            format!("{{ \"{NAMESPACE}\" = \"{KEY}\" }}"),
        )
        .set("batch.enabled", "true")
        .set("batch.namespaces", format!("[\"{NAMESPACE}\"]"))
}

fn flux(skyring: &Skyring) -> String {
    skyring.ready["flux"][0].as_str().unwrap().to_owned()
}

/// The fields of Skyline's document, with some changed; an empty one is left out.
fn form(changes: &[(&str, &str)]) -> Form {
    let usual = [
        ("key", KEY),
        ("parent_metric_namespace", NAMESPACE),
        ("timezone", "UTC"),
        ("format", "csv"),
        ("archive", "none"),
        ("date_orientation", "rows"),
        ("header_row", "0"),
        ("columns_to_metrics", "date,cpu,mem"),
        ("json_response", "true"),
    ];
    let changed = |name: &str| changes.iter().find(|(changed, _)| *changed == name);
    let usual_left = usual.iter().filter(|(name, _)| changed(name).is_none());
    let all = usual_left
        .chain(changes)
        .filter(|(_, value)| !value.is_empty());
    all.fold(Form::default(), |form, (name, value)| {
        form.field(name, value)
    })
}

fn post(skyring: &Skyring, form: &Form) -> Answer {
    form.post(&flux(skyring), "/flux/upload_data", &[])
}

/// Uploads, and waits until it is processed: its status.
fn upload(skyring: &Skyring, form: &Form) -> Value {
    let answer = post(skyring, form);
    assert_eq!(answer.code, 200, "{}", answer.body);
    let told: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(told["data"]["upload"], "successful");
    assert!(
        !answer.body.contains(KEY),
        "the key is not told: {}",
        answer.body
    );
    processed(skyring, told["data"]["upload_id_key"].as_str().unwrap())
}

fn processed(skyring: &Skyring, id_key: &str) -> Value {
    eventually("the upload was processed", || {
        let status = status(skyring, id_key)?;
        holds(status["final_status"].is_string(), || status.to_string())?;
        assert!(status["waiting"].is_null(), "{status}");
        Ok(status)
    })
}

fn status(skyring: &Skyring, id_key: &str) -> Result<Value, String> {
    let path = format!("/api?upload_status=true&upload_id_key={id_key}");
    let answer = http::get(&flux(skyring), &path)?;
    holds(answer.code == 200, || answer.body.clone())?;
    let mut told: Value = serde_json::from_str(&answer.body).map_err(|e| e.to_string())?;
    Ok(told["data"]["upload"].take())
}

/// The points of a metric, as Python reads them.
fn points(redis: &Redis, metric: &str) -> Vec<(i64, f64)> {
    let series: String = hex(&redis.series(metric));
    let script = "import msgpack, sys, json\n\
                  unpacker = msgpack.Unpacker()\n\
                  unpacker.feed(bytes.fromhex(sys.argv[1]))\n\
                  print(json.dumps(list(unpacker)))";
    let points = python(&["-c", script, &series], "");
    let mut points: Vec<(i64, f64)> = serde_json::from_str(&points).unwrap();
    points.sort_by_key(|(time, _)| *time);
    points
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The hour before this one, in which every test's data lie.
fn hour() -> i64 {
    (now_s() / 3600 * 3600 - 3600) as i64
}

/// `time` as a clock in this zone shows it, by Python.
fn local(zone: &str, time: i64, format: &str) -> String {
    let script = "import sys, datetime, zoneinfo\n\
                  zone = zoneinfo.ZoneInfo(sys.argv[1])\n\
                  time = datetime.datetime.fromtimestamp(int(sys.argv[2]), zone)\n\
                  print(time.strftime(sys.argv[3]), end='')";
    python(&["-c", script, zone, &time.to_string(), format], "")
}

/// What Python prints.
fn python(arguments: &[&str], input: &str) -> String {
    printed("/usr/bin/python3", arguments, input.as_bytes())
}

/// Three minutes of two metrics.
fn csv(zone: &str, format: &str) -> String {
    let row = |minute: i64| {
        let time = local(zone, hour() + minute * 60, format);
        format!("{time},{minute}.5,{}\n", minute * 10)
    };
    format!("when,a,b\n{}{}{}", row(0), row(1), row(2))
}

fn expected() -> [Vec<(i64, f64)>; 2] {
    let at = |minute: i64, value: f64| (hour() + minute * 60, value);
    [
        vec![at(0, 0.5), at(1, 1.5), at(2, 2.5)],
        vec![at(0, 0.0), at(1, 10.0), at(2, 20.0)],
    ]
}

fn stored(redis: &Redis) -> [Vec<(i64, f64)>; 2] {
    ["cpu", "mem"].map(|name| points(redis, &format!("{NAMESPACE}.{name}")))
}

// Skyline reads the times of every zone as the server's own.
#[test]
fn a_csv_arrives_with_its_times_in_its_zone_and_once() {
    let redis = Redis::start();
    let skyring = plan(&redis).start();
    let form = form(&[("timezone", "America/New_York")]);
    let form = form.file(
        "data_file",
        "data.csv",
        csv("America/New_York", "%Y-%m-%d %H:%M:%S").as_bytes(),
    );
    let status = upload(&skyring, &form);
    assert_eq!(status["final_status"], "complete", "{status}");
    assert_eq!(
        status["data.csv"], "completed - processed all 2 data columns OK",
        "{status}"
    );
    assert_eq!(
        status["cpu (data.csv)"], "processed - 3 data points submitted",
        "{status}"
    );
    assert_eq!(stored(&redis), expected());
    let status = upload(&skyring, &form);
    let known = "processed - no new timestamps, all already known";
    assert_eq!(
        (&status["cpu (data.csv)"], &status["final_status"]),
        (&json!(known), &json!("complete"))
    );
    assert_eq!(stored(&redis), expected());
}

#[test]
fn every_documented_form_of_dates_arrives_the_same() {
    for (zone, format) in [
        ("UTC", "%d-%m-%Y %H:%M"),
        ("UTC", "%d-%m-%Y %H:%M:%S"),
        ("UTC", "%Y/%m/%d %H:%M:%S"),
        ("Europe/Berlin", "%Y-%m-%dT%H:%M:%S%z"),
        ("UTC", "%s"),
    ] {
        let redis = Redis::start();
        let skyring = plan(&redis).start();
        let form = form(&[("day_first", "true")]);
        let data = csv(zone, format);
        let status = upload(
            &skyring,
            &form.file("data_file", "data.csv", data.as_bytes()),
        );
        assert_eq!(stored(&redis), expected(), "{format}: {status}");
    }
}

/// A spreadsheet as other programs write it.
fn workbook(kind: &str, rows: &Value) -> Vec<u8> {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("book");
    let script = format!("{}/tests/python/workbook.py", env!("CARGO_MANIFEST_DIR"));
    let arguments = [&script, kind, path.to_str().unwrap()];
    python(&arguments, &rows.to_string());
    std::fs::read(path).unwrap()
}

#[test]
fn spreadsheets_arrive() {
    for kind in ["xlsx", "xls"] {
        let redis = Redis::start();
        let skyring = plan(&redis).start();
        let date = |minute: i64| local("Asia/Tokyo", hour() + minute * 60, "t:%Y-%m-%dT%H:%M:%S");
        let rows = json!([
            ["a preamble"],
            ["date", "cpu", "mem"],
            [date(0), 0.5, 0],
            [date(1), 1.5, "10"],
            [date(2), 2.5, 20],
        ]);
        let changes = [
            ("format", kind),
            ("timezone", "Asia/Tokyo"),
            ("skip_rows", "1"),
            ("columns_to_metrics", "none"),
        ];
        let form =
            form(&changes).file("data_file", &format!("data.{kind}"), &workbook(kind, &rows));
        let status = upload(&skyring, &form);
        assert_eq!(status["final_status"], "complete", "{status}");
        assert_eq!(stored(&redis), expected(), "{kind}: {status}");
        let form = form_of_noise(kind);
        let status = upload(&skyring, &form);
        assert_eq!(status["final_status"], "failed", "{status}");
        assert_eq!(stored(&redis), expected());
    }
}

fn form_of_noise(kind: &str) -> Form {
    let noise: Vec<u8> = (0..5000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    form(&[("format", kind)]).file("data_file", &format!("noise.{kind}"), &noise)
}

// Two cells at opposite corners of a sheet are read as all that lies between them:
// with this reader, 16 GiB.
#[test]
fn a_spreadsheet_that_would_fill_memory_costs_its_own_reader_only() {
    let redis = Redis::start();
    let skyring = plan(&redis).start();
    let book = bomb();
    let status = upload(
        &skyring,
        &form(&[("format", "xlsx")]).file("data_file", "bomb.xlsx", &book),
    );
    let told = status["bomb.xlsx"].as_str().unwrap();
    assert!(
        told.starts_with("failed - it is damaged, or takes more than 536870912 bytes"),
        "{told}"
    );
    let (_, most) = skyring.process.resident_bytes();
    assert!(most < 1 << 30, "{most}");
    let form = form(&[]).file(
        "data_file",
        "data.csv",
        csv("UTC", "%Y-%m-%d %H:%M:%S").as_bytes(),
    );
    assert_eq!(upload(&skyring, &form)["final_status"], "complete");
    assert_eq!(stored(&redis), expected());
}

fn bomb() -> Vec<u8> {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("bomb.xlsx");
    let script = "import openpyxl, sys\n\
                  book = openpyxl.Workbook()\n\
                  book.active['A1'] = 'date'\n\
                  book.active['XFD1048576'] = 1\n\
                  book.save(sys.argv[1])";
    python(&["-c", script, path.to_str().unwrap()], "");
    std::fs::read(path).unwrap()
}

/// An archive as Python's own zipfile writes it, of names and texts; a name that begins
/// with `link:` becomes a symbolic link.
fn zip(entries: &[(&str, &str)]) -> Vec<u8> {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("archive.zip");
    let script = "import json, sys, zipfile\n\
                  archive = zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED)\n\
                  for name, text in json.load(sys.stdin):\n\
                  \x20   info = zipfile.ZipInfo(name.removeprefix('link:'))\n\
                  \x20   info.external_attr = (0o120777 if name.startswith('link:') else 0o100644) << 16\n\
                  \x20   archive.writestr(info, text, zipfile.ZIP_DEFLATED)\n\
                  archive.close()";
    let entries = json!(entries).to_string();
    python(&["-c", script, path.to_str().unwrap()], &entries);
    std::fs::read(path).unwrap()
}

#[test]
fn archives_arrive_and_an_info_file_in_them_counts() {
    let data = csv("Europe/London", "%Y-%m-%d %H:%M:%S");
    let info =
        r#"{"timezone": "Europe/London", "columns_to_metrics": "date,cpu,mem", "debug": true}"#;
    let changes = [
        ("archive", "zip"),
        ("timezone", "Asia/Tokyo"),
        ("columns_to_metrics", "none"),
        ("info_file_in_archive", "true"),
    ];
    let archive = zip(&[
        ("folder/info.json", info),
        ("folder/data.csv", &data),
        ("x.sh", ""),
    ]);
    let redis = Redis::start();
    let skyring = plan(&redis).start();
    let status = upload(
        &skyring,
        &form(&changes).file("data_file", "data.zip", &archive),
    );
    assert_eq!(
        status["x.sh"], "failed - DELETED - not an allowed file type",
        "{status}"
    );
    assert_eq!(status["final_status"], "complete - with errors", "{status}");
    assert_eq!(stored(&redis), expected(), "{status}");

    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(data.as_bytes()).unwrap();
    let info =
        "{'timezone': 'Europe/London', 'parent_metric_namespace': 'test.uploads', 'header_row': 0}";
    let redis = Redis::start();
    let skyring = plan(&redis).start();
    let form = form(&[("archive", "gz")])
        .file("info_file", "data.csv.info.json", info.as_bytes())
        .file("data_file", "data.csv.gz", &encoder.finish().unwrap());
    let status = upload(&skyring, &form);
    assert_eq!(status["final_status"], "complete", "{status}");
    assert_eq!(stored(&redis), expected(), "{status}");
}

#[test]
fn hostile_archives_fail_alone_and_leave_nothing() {
    let redis = Redis::start();
    let plan = plan(&redis);
    let skyring = plan.start();
    let zeros = "0".repeat(30 << 20);
    for (entries, text) in [
        (
            &[("../../escaped.csv", "a")][..],
            "Unsafe file path detected in the zip file - ../../escaped.csv",
        ),
        (
            &[("/tmp/escaped.csv", "a")],
            "Unsafe file path detected in the zip file - /tmp/escaped.csv",
        ),
        (
            &[("link:a.csv", "/etc/passwd")],
            "Unsafe file path detected in the zip file - a.csv",
        ),
        (&[("a.csv", &zeros)], "more than 200 times its size"),
    ] {
        let form = form(&[("archive", "zip")]).file("data_file", "data.zip", &zip(entries));
        let status = upload(&skyring, &form);
        assert_eq!(status["status"], "failed", "{status}");
        assert!(status["error"].as_str().unwrap().contains(text), "{status}");
    }
    let uploads = plan.state_dir().join("uploads");
    eventually("nothing was left", || {
        let left: Vec<_> = std::fs::read_dir(&uploads).unwrap().flatten().collect();
        holds(left.is_empty(), || format!("{left:?}"))
    });
    assert!(redis.keys().is_empty());
}

#[test]
fn what_is_not_taken_is_told_in_skylines_words() {
    let redis = Redis::start();
    let skyring = plan(&redis).set("flux.uploads.bytes_max", 100_000).start();
    let data = |form: Form| form.file("data_file", "data.csv", b"date,a\n");
    let failed = |error: &str| {
        format!("{{\"status\": {{\"error\": \"{error}\"}}, \"data\": {{\"upload\": \"failed\"}}}}")
    };
    let unauthorized = || "Unauthorized".to_owned();
    for (form, code, body) in [
        (data(form(&[("key", "")])), 401, unauthorized()),
        (data(form(&[("key", "wrong")])), 401, unauthorized()),
        (
            data(form(&[
                ("key", NAMESPACE),
                ("parent_metric_namespace", KEY),
            ])),
            200,
            String::new(),
        ),
        (
            data(form(&[("parent_metric_namespace", "other")])),
            401,
            unauthorized(),
        ),
        (
            data(form(&[("json_response", "")])),
            400,
            "Bad Request".to_owned(),
        ),
        (
            data(form(&[("archive", "")])),
            400,
            failed("no archive in the POST variables"),
        ),
        (
            data(form(&[("timezone", "Mars/Base")])),
            400,
            failed("Mars/Base is not an accepted timezone"),
        ),
        (
            data(form(&[("archive", "tar_gz")])),
            400,
            failed("tar_gz is not an accepted archive type"),
        ),
        (form(&[]), 400, failed("error :: no data_file in the POST")),
        (
            form(&[]).file("data_file", "d.tar.gz", b""),
            400,
            failed("error - tar.gz archives are not accepted"),
        ),
        (
            form(&[]).file("data_file", "d.exe", b""),
            400,
            String::new(),
        ),
        (
            form(&[]).file("data_file", "d.csv", &[b'1'; 200_000]),
            413,
            String::new(),
        ),
    ] {
        let answer = post(&skyring, &form);
        assert_eq!(answer.code, code, "{}", answer.body);
        assert!(
            body.is_empty() || answer.body == body,
            "{} {body}",
            answer.body
        );
    }
    let address = flux(&skyring);
    let answer = http::post(
        &address,
        "/upload_data",
        &[("Content-Type", "text/plain")],
        b"x",
    )
    .unwrap();
    assert_eq!(answer.code, 415);
    for (path, code) in [
        ("/api?upload_status=true", 400),
        ("/api?upload_status=true&upload_id_key=nothing", 404),
        ("/upload_status?upload_id_key=%2e%2e%2f", 404),
        ("/api", 404),
    ] {
        assert_eq!(http::get(&address, path).unwrap().code, code, "{path}");
    }
}

#[test]
fn uploads_are_off_unless_turned_on() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).start();
    let answer = post(
        &skyring,
        &form(&[]).file("data_file", "data.csv", b"date,a\n"),
    );
    assert_eq!((answer.code, &*answer.body), (404, "Not Found"));
    for path in [
        "/upload",
        "/upload_status?upload_id_key=a",
        "/api?upload_status&upload_id_key=a",
    ] {
        assert_eq!(
            http::get(&flux(&skyring), path).unwrap().code,
            404,
            "{path}"
        );
    }
}

#[test]
fn a_dry_run_submits_nothing_and_known_times_are_submitted_when_asked_for() {
    let redis = Redis::start();
    let skyring = plan(&redis).start();
    let data = csv("UTC", "%Y-%m-%d %H:%M:%S");
    let dry = form(&[("dryrun", "true")]).file("data_file", "data.csv", data.as_bytes());
    let status = upload(&skyring, &dry);
    assert_eq!(
        status["cpu (data.csv)"],
        "processed - 3 data points submitted (dryrun: none was)"
    );
    assert!(redis.keys().is_empty());
    let again = form(&[("ignore_submitted_timestamps", "true")]);
    let again = again.file("data_file", "data.csv", data.as_bytes());
    for times in 1..=2 {
        upload(&skyring, &again);
        assert_eq!(points(&redis, &format!("{NAMESPACE}.cpu")).len(), 3 * times);
    }
    let sorted: BTreeSet<String> = redis.run(&["SMEMBERS", "flux.sort_and_dedup.metrics"]);
    assert_eq!(
        sorted,
        ["cpu", "mem"]
            .map(|name| format!("{NAMESPACE}.{name}"))
            .into()
    );
}

// Skyline says "complete" whatever has failed.
#[test]
fn what_fails_in_a_file_is_told_by_its_column_and_saved_files_stay() {
    let redis = Redis::start();
    let saved = TempDir::new().unwrap();
    let save_dir = format!("\"{}\"", saved.path().display());
    let skyring = plan(&redis)
        .set("flux.uploads.save_dir", save_dir)
        .set("batch.enabled", "false")
        .start();
    let old = local("UTC", hour() - 3 * 86_400, "%Y-%m-%d %H:%M:%S");
    let new = local("UTC", hour(), "%Y-%m-%d %H:%M:%S");
    let data = format!("date,cpu,bad,\u{e4}\n{old},1,x,1\n{new},2,y,2\n");
    let form =
        form(&[("columns_to_metrics", "none")]).file("data_file", "data.csv", data.as_bytes());
    let status = upload(&skyring, &form);
    assert_eq!(status["final_status"], "complete - with errors", "{status}");
    assert_eq!(
        status["cpu (data.csv)"],
        "processed - 1 data points submitted, not stored: 1 older than redis.full_duration_s"
    );
    assert_eq!(
        status["bad (data.csv)"],
        "failed - no timestamps have value data"
    );
    assert!(
        status["\u{e4} (data.csv)"]
            .as_str()
            .unwrap()
            .starts_with("failed - its name"),
        "{status}"
    );
    assert!(
        status["warning"]
            .as_str()
            .unwrap()
            .contains("batch.namespaces"),
        "{status}"
    );
    let directory = std::fs::read_dir(saved.path())
        .unwrap()
        .flatten()
        .next()
        .unwrap();
    assert_eq!(
        std::fs::read_to_string(directory.path().join("data.csv")).unwrap(),
        data
    );
}

// What was answered with 200 must not be lost by a crash.
#[test]
fn an_upload_goes_on_after_the_server_was_killed() {
    let redis = Redis::start();
    let plan = plan(&redis);
    let mut skyring = plan.start();
    let rows: String = (0..20_000)
        .map(|n| format!("{},{n},1\n", hour() - 20_000 + n))
        .collect();
    let changes = [
        ("columns_to_metrics", "date,cpu,mem"),
        ("resample_method", "sum"),
    ];
    let data = format!("a,b,c\n{rows}");
    let answer = post(
        &skyring,
        &form(&changes).file("data_file", "data.csv", data.as_bytes()),
    );
    assert_eq!(answer.code, 200, "{}", answer.body);
    skyring.process.signal(Signal::KILL);
    skyring.process.exit();
    let told: Value = serde_json::from_str(&answer.body).unwrap();
    let skyring = plan.start();
    let status = processed(&skyring, told["data"]["upload_id_key"].as_str().unwrap());
    assert_eq!(status["status"], "complete", "{status}");
    // One point a minute, and the sum of their seconds, however often they came.
    let seconds: BTreeSet<(i64, i64)> = points(&redis, &format!("{NAMESPACE}.mem"))
        .into_iter()
        .map(|(time, value)| (time, value as i64))
        .collect();
    assert!((333..=335).contains(&seconds.len()), "{}", seconds.len());
    assert_eq!(seconds.iter().map(|(_, value)| value).sum::<i64>(), 20_000);
}

/// Who asks learns at once that nothing goes on, and why.
#[test]
fn an_upload_that_waits_for_graphite_says_so() {
    let redis = Redis::start();
    let mut skyring = plan(&redis)
        .set(
            "graphite.carbon_pickle",
            format!("'127.0.0.1:{}'", free_port()),
        )
        .set("flux.wait_s", 1)
        .start();
    let csv = csv("UTC", "%Y-%m-%d %H:%M:%S");
    let answer = post(
        &skyring,
        &form(&[]).file("data_file", "data.csv", csv.as_bytes()),
    );
    assert_eq!(answer.code, 200, "{}", answer.body);
    let told: Value = serde_json::from_str(&answer.body).unwrap();
    let id_key = told["data"]["upload_id_key"].as_str().unwrap();
    eventually("the upload said that it waits", || {
        let status = status(&skyring, id_key)?;
        let waits = status["waiting"].as_str().unwrap_or_default();
        holds(waits.contains("not delivered in time"), || {
            status.to_string()
        })?;
        assert_eq!(status["status"], "pending");
        holds(status["processing started at"].is_string(), || {
            status.to_string()
        })
    });
    // Nothing would take what it holds.
    skyring.process.signal(Signal::KILL);
    skyring.process.exit();
}
