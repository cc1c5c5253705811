//! Settings that the documents name, and their defaults.

use std::collections::BTreeMap;

use regex::Regex;

use super::text::{Document, Table, documents};
use crate::fixture::run::run;

/// What is written like a setting and is none: keys of Redis, files, and fields of the
/// status.
const NO_SETTINGS: &[&str] = &[
    "horizon.d",
    "horizon.skip_metrics",
    "horizon.do_not_skip_metrics",
    "horizon.roomba.metrics_last_trimmed",
    "flux.carbon",
    "flux.filled_metrics",
    "flux.last.metric_data",
    "vista.metrics",
    "vista.fetcher.metrics.json",
    "vista.fetcher.unique_metrics",
];

/// Each setting and its default, as TOML.
fn defaults() -> BTreeMap<String, toml::Value> {
    let printed = run(&["config", "--default"], b"").stdout;
    let mut settings = BTreeMap::new();
    collect("", toml::from_str(&printed).unwrap(), &mut settings);
    settings
}

fn collect(section: &str, table: toml::Table, settings: &mut BTreeMap<String, toml::Value>) {
    for (key, value) in table {
        let name = format!("{section}{key}");
        if let toml::Value::Table(table) = &value {
            collect(&format!("{name}."), table.clone(), settings);
        }
        settings.insert(name, value);
    }
}

/// A setting that was renamed, or that never was, would be looked for in vain.
#[test]
fn settings_that_are_named_are_there() {
    let defaults = defaults();
    let sections = defaults.iter().filter(|(_, value)| value.is_table());
    let sections: Vec<&str> = sections.map(|(name, _)| &**name).collect();
    let pattern = format!(r"^({})\.[a-z_.]+$", sections.join("|").replace('.', r"\."));
    let pattern = Regex::new(&pattern).unwrap();
    let mut named = 0;
    for (at, span) in documents().iter().flat_map(Document::spans) {
        if pattern.is_match(&span) && !NO_SETTINGS.contains(&&*span) {
            assert!(defaults.contains_key(&span), "{at}: no setting is {span}");
            named += 1;
        }
    }
    assert!(named > 50, "{named}");
}

/// The tables that tell defaults tell those that are in force.
#[test]
fn defaults_in_tables_are_true() {
    let defaults = defaults();
    let mut compared = 0;
    for table in documents().iter().flat_map(Document::tables) {
        let column = |names: &[&str]| {
            let is_it = |head: &String| names.contains(&&**head);
            table.head.iter().position(is_it)
        };
        let Some(default_at) = column(&["default"]) else {
            continue;
        };
        let name_at = column(&["key", "knob", "setting"]);
        let name_at = name_at.unwrap_or_else(|| panic!("{}: defaults of what?", table.at));
        compared += compare(&table, name_at, default_at, &defaults);
    }
    assert!(compared > 25, "{compared}");
}

fn compare(
    table: &Table,
    name_at: usize,
    default_at: usize,
    defaults: &BTreeMap<String, toml::Value>,
) -> usize {
    let mut compared = 0;
    for row in &table.rows {
        for name in row[name_at].split(", ") {
            let name = name.trim_matches('`');
            let at = format!("{}: {name}", table.at);
            let value = defaults.get(name);
            let value = value.unwrap_or_else(|| panic!("{at}: there is no such setting"));
            assert_eq!(told(&row[default_at], name), *value, "{at}");
            compared += 1;
        }
    }
    compared
}

/// The default that a cell tells: a value, perhaps with a unit, and perhaps with words
/// behind it that explain it.
fn told(cell: &str, name: &str) -> toml::Value {
    let (value, _) = cell
        .split_once(':')
        .filter(|(_, rest)| rest.starts_with(' '))
        .unwrap_or((cell, ""));
    let words: Vec<&str> = value.split(' ').collect();
    let number = words[0].replace(',', "").parse::<i64>();
    match (number, &words[..]) {
        (Ok(number), [_, "MiB"]) => toml::Value::Integer(number << 20),
        (Ok(number), _) => toml::Value::Integer(number),
        (_, ["true"]) => true.into(),
        (_, ["false"]) => false.into(),
        (_, ["none"]) => "".into(),
        (_, ["off" | "[]"]) => toml::Value::Array(Vec::new()),
        // Of Skyline's own the tests of the import know.
        (_, ["Skyline's", "lists"]) => {
            let printed = run(&["config", "--default"], b"").stdout;
            let table: toml::Table = toml::from_str(&printed).unwrap();
            let (section, key) = name.split_once('.').unwrap();
            table[section][key].clone()
        }
        (_, [address]) => vec![(*address).to_owned()].into(),
        _ => panic!("no default: {cell}"),
    }
}
