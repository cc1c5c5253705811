//! What an operator sees of Vista, with the binary and by the host's clock.

use super::world::World;
use super::{HOUR_S, entry, minute, plan, prometheus, records, write};
use crate::fixture::carbon_cache::CarbonCache;
use crate::fixture::graphite_web::GraphiteWeb;
use crate::fixture::process::Process;
use crate::fixture::redis::Redis;
use crate::fixture::run::run;
use crate::fixture::{eventually, holds};

#[test]
fn one_entry_can_be_tried_by_hand() {
    let now = minute();
    let web = GraphiteWeb::start();
    write(&web, "a.b", 60, now - HOUR_S..now + HOUR_S);
    let server = prometheus(now - HOUR_S..now);
    let redis = Redis::start();
    let entries = [
        entry(
            &web.url(),
            "graphite",
            "a.b",
            "namespace_prefix = 'vista', token = 'the-secret'",
        ),
        entry(&server.url(), "prometheus", "back", ""),
        entry(&server.url(), "prometheus", "nobody", ""),
        entry(&web.url(), "graphite", "a.*", "graphite_target = 'wild'"),
    ];
    let plan = plan(&redis, &entries);
    let file = plan.file();
    let test = |name: &str| {
        let ended = run(
            &["vista", "test", name, "--config", file.to_str().unwrap()],
            b"",
        );
        for text in [&ended.stdout, &ended.stderr] {
            assert!(!text.contains("the-secret"), "{text}");
        }
        ended
    };
    for name in ["vista.a.b", "a.b"] {
        let tried = test(name);
        assert_eq!(tried.code, 0, "{}", tried.stderr);
        let asks = format!("GET {}/render/?from=", web.url());
        for part in [
            &asks[..],
            "target=a.b",
            "a.b: 10 points",
            "60 s",
            "submitted",
            "vista.a.b: ",
        ] {
            assert!(tried.stdout.contains(part), "{part}: {}", tried.stdout);
        }
    }
    let tried = test("back");
    assert_eq!(tried.code, 0, "{}", tried.stderr);
    assert!(
        tried
            .stdout
            .contains("/api/v1/query_range?query=back&start="),
        "{}",
        tried.stdout
    );
    for (name, said) in [
        ("nobody", "no series"),
        ("a.*", "may name several series"),
        (
            "nothing",
            "no entry of vista.fetch has the name or the target nothing",
        ),
    ] {
        let tried = test(name);
        assert_eq!(tried.code, 1);
        assert!(tried.stderr.contains(said), "{}", tried.stderr);
        assert_eq!(tried.stderr.lines().count(), 1, "{}", tried.stderr);
    }
    // Nothing was submitted.
    assert!(redis.keys().is_empty());
}

#[test]
fn the_state_of_each_entry_is_shown_and_counted() {
    let now = minute();
    let web = GraphiteWeb::start();
    write(&web, "a.b", 60, now - HOUR_S..now + HOUR_S);
    let redis = Redis::start();
    let entries = [
        entry(&web.url(), "graphite", "a.b", "frequency = 30"),
        entry("http://me:the-secret@127.0.0.1:1", "graphite", "away", ""),
        entry(&web.url(), "graphite", "a.b", ""),
    ];
    let skyring = plan(&redis, &entries).start();
    let vista = eventually("all entries were in their states", || {
        let vista = skyring.status()["vista"].clone();
        let states: Vec<&str> = (0..3)
            .map(|at| vista["entries"][at]["state"].as_str().unwrap_or(""))
            .collect();
        holds(states == ["ok", "failing", "disabled"], || {
            vista.to_string()
        })?;
        Ok(vista)
    });
    let [good, away, twice] = [0, 1, 2].map(|at| vista["entries"][at].clone());
    assert_eq!(good["notes"].as_array().unwrap().len(), 1);
    let lag = good["lag_s"].as_i64().unwrap();
    assert!((0..200).contains(&lag), "{lag}");
    assert!(good["next_fetch_s"].as_i64() > good["last_point_s"].as_i64());
    assert!(
        away["error"].as_str().unwrap().contains("no connection"),
        "{away}"
    );
    assert!(
        twice["error"]
            .as_str()
            .unwrap()
            .contains("entry 1 has the same name")
    );
    assert!(!vista.to_string().contains("the-secret"), "{vista}");
    let page = skyring.get("/metrics").body;
    for line in [
        "skyring_vista_entries{state=\"disabled\"} 1",
        "skyring_vista_source_up{remote_host=\"http://127.0.0.1:1\"} 0",
        "skyring_vista_lag_seconds{metric=\"a.b\"}",
    ] {
        assert!(page.contains(line), "{line}: {page}");
    }
    let log = skyring.process.stderr();
    assert_eq!(
        log.matches("entry 3, a.b, is not fetched").count(),
        1,
        "{log}"
    );
    assert!(!log.contains("the-secret"), "{log}");
    skyring.finish();
}

// Minutes are those of UTC, wherever the host is.
#[test]
fn the_time_zone_of_the_host_does_not_matter() {
    let now = minute();
    let web = GraphiteWeb::start();
    write(&web, "a.b", 60, now - HOUR_S..now + HOUR_S);
    let redis = Redis::start();
    let plan = plan(&redis, &[entry(&web.url(), "graphite", "a.b", "")]);
    let file = plan.file();
    let binary = env!("CARGO_BIN_EXE_skyring");
    let _skyring = Process::start("skyring", binary, |command| {
        command.args(["serve", "--config", file.to_str().unwrap()]);
        command.env("TZ", "America/New_York");
    });
    let series = eventually("the points were there", || {
        let series = redis.series("a.b");
        holds(series.len() >= 9 * 15, || format!("{} bytes", series.len()))?;
        Ok(series)
    });
    let count = series.len() as i64 / 15;
    // The minutes before the one in which it was asked for, and none of that.
    let is_right = (0..4).any(|late| {
        let until = now + 60 * late;
        until <= minute() && series == records((until - 60 * count..until).step_by(60))
    });
    assert!(is_right, "{count} records");
}

#[test]
fn a_reload_takes_entries_up_and_a_standby_fetches_nothing() {
    let begin = minute() - HOUR_S;
    let web = GraphiteWeb::start();
    for metric in ["a", "b"] {
        write(&web, metric, 60, begin - HOUR_S..begin + HOUR_S);
    }
    let redis = Redis::start();
    let one = [entry(&web.url(), "graphite", "a", "")];
    let standby = plan(&redis, &one).set("vista.enabled", false);
    let mut world = World::start(&standby, begin + 20);
    world.run_for(120);
    assert!(redis.keys().is_empty());
    world.reload(&standby.clone().set("vista.enabled", true));
    world.wait_for(0, "the entry was fetched", |entry| entry["state"] == "ok");
    let two = [one[0].clone(), entry(&web.url(), "graphite", "b", "")];
    world.reload(&plan_over(&standby, &two));
    world.wait_for(1, "the new entry was fetched", |entry| {
        entry["state"] == "ok"
    });
    world.run_for(120);
    for metric in ["a", "b"] {
        let series = redis.series(metric);
        let expected = records((begin + 120 - 600..begin + 240).step_by(60));
        assert_eq!(series, expected, "{metric}");
    }
    world.finish();
}

fn plan_over(
    plan: &crate::fixture::skyring::Plan,
    entries: &[String],
) -> crate::fixture::skyring::Plan {
    plan.clone()
        .set("vista.enabled", true)
        .set("vista.fetch", format!("[{}]", entries.join(", ")))
}

// In a cluster each entry is fetched by the owner of its name alone, the one that rules
// have made of it; it goes to Graphite, whose relays know the owner.
#[test]
fn nodes_share_the_entries_and_deliver_to_graphite() {
    let begin = minute() - HOUR_S;
    let web = GraphiteWeb::start();
    let metrics: Vec<String> = (0..6).map(|at| format!("m{at}")).collect();
    for metric in &metrics {
        write(&web, metric, 60, begin - HOUR_S..begin + HOUR_S);
    }
    let entries: Vec<String> = metrics
        .iter()
        .map(|metric| entry(&web.url(), "graphite", metric, ""))
        .collect();
    let carbon = CarbonCache::start();
    let redis = Redis::start();
    let plan = plan(&redis, &entries)
        .set("rule", "[{ prefix = 'm', action = 'rename', to = 'w.m' }]")
        .set("cluster.shards", "{ a = 0, b = 1 }")
        .set("graphite.carbon_pickle", format!("'{}'", carbon.pickle()));
    let owner = |metric: &str| {
        let file = plan.clone().set("cluster.node", "'a'").file();
        let ended = run(&["owner", metric, "--config", file.to_str().unwrap()], b"");
        ended.stdout.trim_end().replace(&format!("{metric} "), "")
    };
    let mut fetched = Vec::new();
    for node in ["a", "b"] {
        let world = World::start(
            &plan.clone().set("cluster.node", format!("'{node}'")),
            begin + 20,
        );
        world.run_for(120);
        let entries = eventually("every entry had its state", || {
            let status = world.status();
            let entries = status["entries"].as_array().unwrap().clone();
            let is_known =
                |entry: &serde_json::Value| entry["state"] == "ok" || entry["state"] == "elsewhere";
            holds(entries.iter().all(is_known), || status.to_string())?;
            Ok(entries)
        });
        for entry in entries {
            let metric = entry["metric"].as_str().unwrap();
            if entry["state"] == "ok" {
                assert_eq!(owner(metric), node, "{entry}");
                fetched.push(metric.to_owned());
            } else {
                assert_eq!(entry["node"], owner(metric), "{entry}");
            }
        }
        world.finish();
    }
    fetched.sort();
    assert_eq!(fetched, metrics);
    for metric in &metrics {
        eventually(&format!("Graphite had {metric}"), || {
            let points = carbon.points(metric);
            let wanted = (begin - 600..begin + 120).step_by(60);
            let missing = wanted
                .clone()
                .find(|at| points.get(at) != Some(&super::value(*at)));
            holds(missing.is_none(), || format!("{missing:?}"))
        });
    }
}
