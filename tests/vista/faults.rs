//! Sources that answer as none should: each fault is named on its own entry, costs
//! nobody else anything, and nothing is missing once it is over.

use serde_json::json;

use super::world::World;
use super::{
    HOUR_S, assert_series, assert_whole, entry, minute, pack, plan, records, value, write,
};
use crate::fixture::faulty::{Answer, Faulty};
use crate::fixture::graphite_web::GraphiteWeb;
use crate::fixture::redis::Redis;

fn status(line: &'static str, headers: &str, body: &str) -> Answer {
    Answer::Whole(line, headers.to_owned(), body.as_bytes().to_vec())
}

/// An answer of a Graphite with these points.
fn graphite(points: impl Iterator<Item = (i64, f64)>) -> Answer {
    let points: Vec<(f64, i64)> = points.map(|(at, value)| (value, at)).collect();
    let body = json!([{ "target": "t", "tags": {}, "datapoints": points }]);
    Answer::json(&body.to_string())
}

/// Each fault, and what is to be said of it.
fn faults() -> Vec<(&'static str, Answer, &'static str)> {
    let graphite = "graphite";
    let prometheus = "prometheus";
    let series = r#"{"target": "t", "datapoints": [[1, 1795295400]]}"#;
    let histogram = r#"{"status":"success","data":{"resultType":"matrix","result":[
        {"metric":{},"histograms":[[1795295400,{"count":"1"}]]}]}}"#;
    let vector = r#"{"status":"success","data":{"resultType":"vector","result":[
        {"metric":{},"value":[1795295400,"1"]}]}}"#;
    let error = r#"{"status":"error","errorType":"bad_data","error":"1:9: parse error"}"#;
    let page = "<html><h1>Welcome</h1></html>";
    let half = b"[{\"target\": \"t\", \"datap".to_vec();
    vec![
        (
            graphite,
            status("400 Bad Request", "", "no such function"),
            "status 400: no such function",
        ),
        (
            prometheus,
            status("400 Bad Request", "", error),
            "status 400: bad_data: 1:9: parse error",
        ),
        (graphite, status("401 Unauthorized", "", ""), "status 401"),
        (
            graphite,
            status("429 Too Many Requests", "Retry-After: 90\r\n", ""),
            "status 429",
        ),
        (
            graphite,
            status("500 Internal Server Error", "", page),
            "status 500: <html>",
        ),
        (
            prometheus,
            status("503 Service Unavailable", "", ""),
            "status 503",
        ),
        (graphite, Answer::json(page), "no JSON: <html>"),
        (graphite, Answer::Half(half), "the answer broke off"),
        (graphite, Answer::Nothing, "the answer broke off"),
        (graphite, Answer::Silence, "no whole answer within 1 s"),
        (prometheus, Answer::Drip, "no whole answer within 1 s"),
        (graphite, Answer::Huge(100 << 20), "more than 1048576 bytes"),
        (
            graphite,
            Answer::redirect("302 Found", "/elsewhere"),
            "redirects more than",
        ),
        (
            graphite,
            Answer::redirect("302 Found", "http://192.0.2.1/"),
            "redirects to http://192.0.2.1",
        ),
        (graphite, Answer::json("[]"), "no series"),
        (
            graphite,
            Answer::json(&format!("[{series}, {series}]")),
            "2 series where one is wanted",
        ),
        (graphite, Answer::json("{\"a\": 1}"), "JSON"),
        (prometheus, Answer::json(histogram), "native histograms"),
        (prometheus, Answer::json(vector), "a vector has one point"),
    ]
}

#[test]
fn each_fault_is_named_and_costs_nobody_else_anything() {
    let begin = minute() - 2 * HOUR_S;
    let web = GraphiteWeb::start();
    write(&web, "good", 60, begin - HOUR_S..begin + HOUR_S);
    let faults = faults();
    let servers: Vec<Faulty> = faults
        .iter()
        .map(|(_, answer, _)| Faulty::start(answer.clone()))
        .collect();
    let each = faults.iter().zip(&servers).enumerate();
    let mut entries: Vec<String> = each
        .map(|(at, ((kind, ..), server))| entry(&server.url(), kind, &format!("m{at}"), ""))
        .collect();
    entries.push(entry(&web.url(), "graphite", "good", ""));
    let redis = Redis::start();
    let plan = plan(&redis, &entries)
        .set("vista.answer_timeout_s", 1)
        .set("vista.answer_bytes_max", 1 << 20);
    let world = World::start(&plan, begin + 20);
    world.run_for(120);
    for (at, (_, _, said)) in faults.iter().enumerate() {
        let entry = world.wait_for(at, &format!("the fault was named: {said}"), |entry| {
            entry["error"].as_str().unwrap().contains(said)
        });
        assert_eq!(entry["state"], "failing");
        assert_eq!(entry["points"], 0);
    }
    let good = |until: i64| records((begin - 600..until).step_by(60));
    assert_series(&redis, "good", &good(begin + 120));
    // All of them are well again: what was missed is there.
    let times = || (begin - 600..begin + HOUR_S).step_by(60);
    for ((kind, ..), server) in faults.iter().zip(&servers) {
        let points = times().map(|at| (at, value(at)));
        server.answer(match *kind {
            "graphite" => graphite(points),
            _ => {
                let values: Vec<(i64, String)> =
                    points.map(|(at, value)| (at, value.to_string())).collect();
                let result = json!([{ "metric": {}, "values": values }]);
                let data = json!({ "resultType": "matrix", "result": result });
                Answer::json(&json!({ "status": "success", "data": data }).to_string())
            }
        });
    }
    world.run_for(480);
    for (at, (kind, ..)) in faults.iter().enumerate() {
        let window = if *kind == "graphite" { 600 } else { 300 };
        assert_whole(&redis, &format!("m{at}"), begin - window, begin + 600);
        world.wait_for(at, "the entry was good again", |entry| {
            entry["state"] == "ok"
        });
    }
    assert_series(&redis, "good", &good(begin + 600));
    world.finish();
}

// A source that asks to be left alone is, for as long as it has said.
#[test]
fn retry_after_is_honoured() {
    let begin = minute() - HOUR_S;
    let busy = status("429 Too Many Requests", "Retry-After: 600\r\n", "");
    let server = Faulty::start(busy);
    let entries = (0..30).map(|at| entry(&server.url(), "prometheus", &format!("m{at}"), ""));
    let redis = Redis::start();
    let world = World::start(&plan(&redis, &entries.collect::<Vec<_>>()), begin + 20);
    world.run_for(590);
    // As many as were asked at the same time.
    assert!(server.requests().len() <= 8, "{}", server.requests().len());
    world.finish();
}

// Numbers that are none, twice the same time, times in disorder, and one in the future.
#[test]
fn odd_points_are_dropped_one_by_one() {
    let begin = minute() - HOUR_S;
    let [a, b, c, d] = [1, 2, 3, 4].map(|at| begin - 600 + at * 60);
    let body = format!(
        "[{{\"target\": \"t\", \"datapoints\": [[4.5, {d}], [1.5, {a}], [NaN, {c}], \
         [9, {b}], [2.5, {b}], [1e9999, {c}], [null, {c}], [-Infinity, {c}], \
         [8.5, {}]]}}]",
        begin + 7200
    );
    let server = Faulty::start(Answer::json(&body));
    let redis = Redis::start();
    let entries = [entry(&server.url(), "graphite", "odd", "")];
    let world = World::start(&plan(&redis, &entries), begin + 20);
    world.run_for(60);
    let expected = pack(&json!([(a, 1.5), (b, 2.5), (d, 4.5)]));
    assert_series(&redis, "odd", &expected);
    world.finish();
}
