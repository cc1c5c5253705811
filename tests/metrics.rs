//! `/metrics` against its catalogue and against Prometheus's own tools.

use serde_json::Value;

use crate::fixture::listener::ALL;
use crate::fixture::metrics::{catalogue, promtool};
use crate::fixture::prometheus::Prometheus;
use crate::fixture::redis::Redis;
use crate::fixture::run::run;
use crate::fixture::sender::{Sender, framed};
use crate::fixture::skyring::{Plan, Skyring};
use crate::fixture::{eventually, holds, now_s};
use crate::flux::{self, KEY};

/// Metrics of which [`busy`] shows nothing: of points that are lost, of a source that has
/// answered, and of carbon, which is another route than Redis.
const SILENT: [&str; 6] = [
    "skyring_flux_carbon_connected",
    "skyring_flux_carbon_last_sent_timestamp_seconds",
    "skyring_flux_carbon_resent_points_total",
    "skyring_flux_carbon_sent_points_total",
    "skyring_flux_dropped_points_total",
    "skyring_vista_lag_seconds",
];

/// A server with all parts at work, so that every metric has something to show.
pub fn busy(redis: &Redis) -> Skyring {
    redis.run::<()>(&["HSET", "metrics.some.hash", "a", "b"]);
    let skyring = Plan::with(redis)
        .with_lines()
        .set("roomba.enabled", "true")
        .set("roomba.interval_s", 1)
        .set("horizon.side_keys_s", 1)
        .set("self_metrics.enabled", "true")
        .set("flux.self_key", format!("\"{KEY}\""))
        .set(
            "vista.fetch",
            "[{ remote_host = 'http://127.0.0.1:9', remote_host_type = 'prometheus', remote_target = 'up' }]",
        )
        .set(
            "rule",
            "[{ name = 'a \"b\\c', prefix = 'noise.', action = 'drop' }]",
        )
        .start();
    for listener in ALL {
        let listener = skyring.listener(listener);
        let now = now_s() as f64;
        listener.send(&[
            ("some.good", now, 1.0),
            ("some.hash", now, 1.0),
            ("some.old", now - 9_000.0, 1.0),
            ("noise.a", now, 1.0),
        ]);
        listener.wait_until_settled(4);
    }
    let flux = flux::address(&skyring);
    let query = format!("metric=flux.a&value=1&timestamp={}&key=", now_s());
    assert_eq!(flux::get(&flux, &format!("{query}{KEY}")).code, 204);
    assert_eq!(flux::get(&flux, &format!("{query}nonsense")).code, 401);
    Sender::connect(&skyring.pickle()).send(&framed(b"cos\nsystem\n."));
    skyring.wait_for("counted the bad frame", |counts| {
        counts.frames_bad_total() == 1
    });
    eventually("Roomba has made a pass", || {
        let passes = &skyring.status()["roomba"]["passes"];
        holds(passes.as_u64() > Some(0), || passes.to_string())
    });
    skyring
}

/// Nothing is exposed that the catalogue does not have, and nothing stands in the
/// catalogue that no server shows: but for two metrics, each of something that has gone
/// very wrong or very well.
#[test]
fn the_page_and_its_catalogue_have_the_same_metrics() {
    let redis = Redis::start();
    let skyring = busy(&redis);
    let to_carbon = Plan::private()
        .set("graphite.carbon_pickle", "\"127.0.0.1:9\"")
        .start();
    let (catalogue, mut exposed) = (catalogue(), skyring.exposed());
    exposed.extend(to_carbon.exposed());
    for (name, kind) in &exposed {
        assert_eq!(catalogue.get(name), Some(kind), "{name}");
    }
    let silent = catalogue.keys().filter(|name| !exposed.contains_key(*name));
    let silent: Vec<&str> = silent.map(String::as_str).collect();
    assert_eq!(
        silent,
        [
            "skyring_flux_dropped_points_total",
            "skyring_vista_lag_seconds"
        ]
    );
    skyring.finish();
    to_carbon.finish();
}

/// promtool knows the conventions: names, units, types, help; and the text format.
#[test]
fn promtool_finds_nothing_to_mend() {
    let redis = Redis::start();
    let skyring = busy(&redis);
    let page = skyring.get("/metrics").body;
    let ended = promtool(&["check", "metrics"], page.as_bytes());
    assert_eq!(
        (ended.code, ended.stderr + &ended.stdout),
        (0, String::new()),
        "{page}"
    );
    skyring.finish();
}

/// The histogram counts each stored point once, and its quantiles are those of the status.
#[test]
fn the_latency_histogram_agrees_with_the_status() {
    let redis = Redis::start();
    let skyring = busy(&redis);
    let page = eventually("nothing more is stored", || {
        let (before, page, after) = (
            skyring.status(),
            skyring.get("/metrics").body,
            skyring.status(),
        );
        let counts = [&before, &after].map(|status| status["latency_us"]["count"].as_u64());
        holds(counts[0] == counts[1], || format!("{counts:?}"))?;
        Ok((after, page))
    });
    let (status, page) = page;
    let sample = |name: &str| -> f64 {
        let line = page.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {page}"))
            .trim()
            .parse()
            .unwrap()
    };
    let count = status["latency_us"]["count"].as_u64().unwrap() as f64;
    assert!(count >= 4.0);
    assert_eq!(sample("skyring_settle_latency_seconds_count "), count);
    assert_eq!(
        sample("skyring_settle_latency_seconds_bucket{le=\"+Inf\"} "),
        count
    );
    assert_eq!(
        sample("skyring_settle_latency_seconds_bucket{le=\"60\"} "),
        count
    );
    let max_s = status["latency_us"]["max"].as_f64().unwrap() / 1e6;
    let sum = sample("skyring_settle_latency_seconds_sum ");
    assert!(sum > 0.0 && sum <= max_s * count, "{sum} {max_s} {count}");
    skyring.finish();
}

/// Expressions of alerts, without when they fire, and those of the dashboard's panels.
fn expressions() -> Vec<String> {
    let alerts = run(&["generate", "alerts"], b"").stdout;
    let alerts = alerts
        .lines()
        .filter_map(|line| line.trim().strip_prefix("expr: "));
    let mut all: Vec<String> = alerts
        .map(|quoted| {
            let expression: String = serde_json::from_str(quoted).unwrap();
            let words: Vec<&str> = expression.rsplitn(3, ' ').collect();
            words[2].to_owned()
        })
        .collect();
    let dashboard = run(&["generate", "grafana"], b"").stdout;
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let rows = dashboard["panels"].as_array().unwrap().iter();
    let inner = rows
        .clone()
        .filter_map(|row| row["panels"].as_array())
        .flatten();
    for panel in rows.chain(inner) {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().unwrap();
            all.push(
                expression
                    .replace("$__rate_interval", "1m")
                    .replace("$instance", ".+"),
            );
        }
    }
    all
}

/// promtool reads the alert rules; every expression of them and of the dashboard gives
/// something in a real Prometheus that scrapes a server, but for what the server does
/// not show.
#[test]
fn alerts_and_the_dashboard_find_their_metrics_in_prometheus() {
    let alerts = run(&["generate", "alerts"], b"").stdout;
    let ended = promtool(&["check", "rules", "/dev/stdin"], alerts.as_bytes());
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
    let redis = Redis::start();
    let skyring = busy(&redis);
    let prometheus = Prometheus::scraping(&skyring.admin());
    let expressions = expressions();
    assert!(expressions.len() > catalogue().len(), "{expressions:?}");
    let is_silent = |expression: &&String| SILENT.iter().any(|name| expression.contains(name));
    for expression in expressions
        .iter()
        .filter(|expression| !is_silent(expression))
    {
        eventually(&format!("{expression} gave something"), || {
            let found = prometheus.query(expression)?;
            holds(!found.is_empty(), || "nothing".to_owned())
        });
    }
    skyring.finish();
}
