//! `skyring get`: one series as Redis holds it, read as Skyline's readers do: all
//! records, then sorted by timestamp, those of the same time in the order of their
//! arrival.

pub(crate) mod plot;
mod series;

use std::fmt::Write;
use std::process::ExitCode;

use redis::{Connection, RedisResult};

use crate::cli::{EXIT_FAILED, print, tell};
use crate::host;
use crate::logging::printable;
use crate::settings::Settings;

use series::Sample;

/// Members that one SSCAN is to look at.
const SCAN_COUNT: u32 = 1000;
/// Most calls of SSCAN in search of names near to one that is not there.
const SCANS_MAX: u32 = 20;
/// Most names that are suggested.
const SUGGESTIONS_MAX: usize = 3;
/// How alike two names must be, from 0 to 1.
const LIKENESS_MIN: f64 = 0.7;

/// Prints or draws the series of a metric. Fails if there is none, or if some of it
/// cannot be read.
pub fn run(settings: &Settings, metric: &str, plot: bool) -> ExitCode {
    let url = settings.redis_url();
    let fetched = host::connect_redis(&url).and_then(|mut connection| {
        let bytes = fetch(&mut connection, &key(settings, metric))?;
        Ok((connection, bytes))
    });
    let (mut connection, bytes) = match fetched {
        Ok((connection, Some(bytes))) => (connection, bytes),
        Ok((mut connection, None)) => {
            return tell(EXIT_FAILED, &not_there(&mut connection, settings, metric));
        }
        Err(error) => {
            let private = if settings.redis_is_private() {
                "; without redis.url this is the private Redis of a server that runs over state_dir"
            } else {
                ""
            };
            return tell(EXIT_FAILED, &format!("{}: {error}{private}", url.display()));
        }
    };
    let (samples, faults) = match bytes {
        Value::Series(bytes) => series::read(&bytes),
        Value::Other => {
            let kind = kind(&mut connection, &key(settings, metric));
            let text = format!(
                "{} is a {kind} and no series; it was not written by Horizon",
                key(settings, metric)
            );
            return tell(EXIT_FAILED, &text);
        }
    };
    let text = if plot {
        plot::draw(metric, &samples, plot::terminal_size())
    } else {
        list(&samples)
    };
    let printed = print(&text);
    for fault in &faults {
        tell(EXIT_FAILED, &fault.to_string());
    }
    if faults.is_empty() {
        printed
    } else {
        ExitCode::from(EXIT_FAILED)
    }
}

fn key(settings: &Settings, metric: &str) -> String {
    format!("{}{metric}", settings.redis.namespace)
}

fn list(samples: &[Sample]) -> String {
    let mut text = String::new();
    for sample in samples {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{} {}", sample.timestamp, sample.value);
    }
    text
}

/// What a key holds.
enum Value {
    Series(Vec<u8>),
    Other,
}

fn fetch(connection: &mut Connection, key: &str) -> RedisResult<Option<Value>> {
    match redis::cmd("GET").arg(key).query(connection) {
        Ok(bytes) => Ok(Option::map(bytes, Value::Series)),
        Err(error) if error.code() == Some("WRONGTYPE") => Ok(Some(Value::Other)),
        Err(error) => Err(error),
    }
}

fn kind(connection: &mut Connection, key: &str) -> String {
    let kind = redis::cmd("TYPE").arg(key).query(connection);
    kind.unwrap_or_else(|_| "key of another type".to_owned())
}

/// What to say of a metric that has no key.
fn not_there(connection: &mut Connection, settings: &Settings, metric: &str) -> String {
    let namespace = &settings.redis.namespace;
    let set = format!("{namespace}unique_metrics");
    let member = key(settings, metric);
    let mut is_member = redis::cmd("SISMEMBER");
    is_member.arg(&set).arg(member);
    if is_member.query(connection).unwrap_or(false) {
        return format!("{metric} has no points, though it is a member of {set}");
    }
    let near = near(connection, &set, namespace, metric).unwrap_or_default();
    let near: Vec<&str> = near.iter().map(String::as_str).collect();
    match &near[..] {
        [] => format!("there is no metric {metric}"),
        near => format!(
            "there is no metric {metric}; near to it: {}",
            near.join(", ")
        ),
    }
}

/// The metrics that are named most alike, of a bounded part of the set.
fn near(
    connection: &mut Connection,
    set: &str,
    namespace: &str,
    metric: &str,
) -> RedisResult<Vec<String>> {
    // A name that was given with its namespace is a name all the same.
    let wanted = metric.strip_prefix(namespace).unwrap_or(metric);
    let mut found: Vec<(f64, String)> = Vec::new();
    let mut cursor = 0_u64;
    for _ in 0..SCANS_MAX {
        let mut scan = redis::cmd("SSCAN");
        scan.arg(set).arg(cursor).arg("COUNT").arg(SCAN_COUNT);
        let (next, members): (u64, Vec<Vec<u8>>) = scan.query(connection)?;
        found.extend(members.iter().filter_map(|member| {
            let name = member.strip_prefix(namespace.as_bytes())?;
            let name = String::from_utf8_lossy(name).into_owned();
            let likeness = strsim::normalized_damerau_levenshtein(&name, wanted);
            (likeness >= LIKENESS_MIN).then_some((likeness, name))
        }));
        // SSCAN may return a member twice.
        found.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        found.dedup();
        found.truncate(SUGGESTIONS_MAX);
        cursor = next;
        if cursor == 0 {
            break;
        }
    }
    Ok(found
        .into_iter()
        .map(|(_, name)| printable(&name).into_owned())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::private_redis::tests::TestRedis;

    fn settings(redis: &TestRedis) -> Settings {
        let mut settings = Settings::default();
        settings.redis.url = Some(redis.url());
        settings
    }

    fn add(redis: &TestRedis, names: impl Iterator<Item = String>) {
        let mut command = redis::cmd("SADD");
        command.arg("metrics.unique_metrics");
        for name in names {
            command.arg(format!("metrics.{name}"));
        }
        command.query::<()>(&mut redis.connect()).unwrap();
    }

    #[test]
    fn a_name_that_is_not_there_brings_up_near_ones() {
        let redis = TestRedis::start(&[]);
        add(
            &redis,
            (0..3000).map(|at| format!("server{at}.memory.free")),
        );
        add(
            &redis,
            [
                "web01.cpu.user".to_owned(),
                "web01.cpu.\u{9b}ser".to_owned(),
            ]
            .into_iter(),
        );
        let say = |metric: &str| not_there(&mut redis.connect(), &settings(&redis), metric);
        assert_eq!(
            say("web01.cpu.uesr"),
            "there is no metric web01.cpu.uesr; near to it: web01.cpu.user, web01.cpu.\\u{9b}ser"
        );
        assert!(say("metrics.web01.cpu.user").contains("near to it: web01.cpu.user"));
        assert_eq!(
            say("nothing.of.the.kind.at.all"),
            "there is no metric nothing.of.the.kind.at.all"
        );
        assert_eq!(
            say("web01.cpu.user"),
            "web01.cpu.user has no points, though it is a member of metrics.unique_metrics"
        );
    }
}
