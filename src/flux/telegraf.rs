//! Telegraf's JSON, as its HTTP output sends it in batches.
//!
//! ```text
//! {"fields": {"usage_user": 1.5}, "name": "cpu", "tags": {"cpu": "cpu0", "host": "h"},
//!  "timestamp": 1700000000}                      h.cpu0.cpu.usage_user
//! ```

use std::borrow::Cow;

use super::json::Json;
use super::post::{Form, Item, Listed};

/// What became of a batch.
#[derive(Debug, Default)]
pub struct Converted<'a> {
    /// One for each field that is a number.
    pub items: Vec<Item<'a>>,
    /// Fields that are texts or truths.
    pub not_numeric: u64,
    /// Elements of the list that are not of Telegraf's form.
    pub bad: u64,
}

/// Whether this is the first element of a batch.
pub fn is_telegraf(first: &Listed<'_>) -> bool {
    let Ok(Json::Dict(items)) = Json::parse(first.text) else {
        return false;
    };
    let mut keys: Vec<&str> = items.iter().map(|(key, _)| &**key).collect();
    keys.sort_unstable();
    keys.dedup();
    keys == ["fields", "name", "tags", "timestamp"]
}

/// The points of a batch, under names with `prefix` in front, at most `points_max` and
/// one.
pub fn convert<'a>(
    listed: &[Listed<'a>],
    prefix: Option<&str>,
    points_max: usize,
) -> Converted<'a> {
    let mut converted = Converted::default();
    for one in listed {
        if converted.items.len() > points_max {
            break;
        }
        let json = Json::parse(one.text).ok();
        let added = json.and_then(|json| add(&mut converted, &json, prefix));
        converted.bad += u64::from(added.is_none());
    }
    converted
}

fn add<'a>(converted: &mut Converted<'a>, json: &Json<'a>, prefix: Option<&str>) -> Option<()> {
    let (Json::Dict(tags), Json::Dict(fields)) = (json.get("tags")?, json.get("fields")?) else {
        return None;
    };
    let host = json.get("tags")?.get("host")?;
    let mut parent = prefix.map_or_else(String::new, |prefix| format!("{prefix}."));
    parent.push_str(&plain(&host.to_text()));
    for (tag, value) in tags {
        if tag != "host" {
            parent.push('.');
            parent.push_str(&plain(&value.to_text()));
        }
    }
    parent.push('.');
    parent.push_str(&plain(&json.get("name")?.to_text()));
    let timestamp = json.get("timestamp")?;
    for (field, value) in fields {
        if matches!(value, Json::Text(_) | Json::Bool(_)) {
            converted.not_numeric += 1;
            continue;
        }
        let name = format!("{parent}.{}", plain(field));
        converted.items.push(Item {
            metric: Some(Json::Text(Cow::Owned(name))),
            timestamp: Some(timestamp.clone()),
            value: Some(value.clone()),
            fill: None,
            form: Form::Telegraf,
        });
    }
    Some(())
}

/// One element of a name.
fn plain(text: &str) -> String {
    text.replace('.', "_").replace('/', "-")
}
