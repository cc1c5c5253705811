//! Remote write in JSON, as Skyline's Flux takes it besides protobuf:
//! `{"key": "…", "metrics": [{"metric": "name{label=\"v\"}", "timestamp": 1, "value": 1}]}`,
//! with timestamps in seconds.

use serde::Deserialize;
use serde_json::Value;

use super::message::{Label, Sample, TimeSeries};

/// A body.
#[derive(Debug, Deserialize)]
pub struct Body {
    /// The key, unless a header has it.
    pub key: Option<String>,
    /// The samples.
    #[serde(default)]
    pub metrics: Vec<Value>,
}

/// Reads one item; `None` if it is not of that form.
pub fn series(item: &Value) -> Option<TimeSeries> {
    let number = |name: &str| match item.get(name)? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    let value = number("value").filter(|value| value.is_finite())?;
    // Beyond this, milliseconds would not fit.
    let timestamp = number("timestamp").filter(|seconds| (0.0..1e15).contains(seconds))?;
    Some(TimeSeries {
        labels: labels(item.get("metric")?.as_str()?)?,
        samples: vec![Sample {
            value,
            timestamp: (timestamp * 1000.0).round() as i64,
        }],
    })
}

/// The labels of `name{label="value",…}`, the name first; in values `\\`, `\"` and
/// `\n` stand for what they do in Prometheus's text format.
fn labels(text: &str) -> Option<Vec<Label>> {
    let (name, rest) = text.split_once('{').unwrap_or((text, "}"));
    let label = |name: &str, value: String| Label {
        name: name.trim().to_owned(),
        value,
    };
    if name.is_empty() {
        return None;
    }
    let mut labels = vec![label("__name__", name.to_owned())];
    let mut rest = rest.trim_start();
    while rest != "}" {
        let (name, after) = rest.split_once('=')?;
        let (value, after) = quoted(after.trim_start().strip_prefix('"')?)?;
        labels.push(label(name, value));
        let after = after.trim_start();
        rest = after.strip_prefix(',').unwrap_or(after).trim_start();
        if rest.len() == after.len() && rest != "}" {
            return None;
        }
    }
    Some(labels)
}

/// The text up to the closing quote, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            '"' => return Some((value, chars.as_str())),
            '\\' => value.push(match chars.next()? {
                'n' => '\n',
                c @ ('\\' | '"') => c,
                _ => return None,
            }),
            c => value.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;
    use serde_json::json;

    fn read(text: &str) -> Option<Vec<(String, String)>> {
        let labels = labels(text)?.into_iter();
        Some(labels.map(|label| (label.name, label.value)).collect())
    }

    #[test]
    fn names_with_labels_are_taken_apart() {
        let pairs = |pairs: &[(&str, &str)]| {
            let owned = pairs
                .iter()
                .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()));
            Some(owned.collect::<Vec<_>>())
        };
        assert_eq!(read("up"), pairs(&[("__name__", "up")]));
        assert_eq!(read("up{}"), pairs(&[("__name__", "up")]));
        assert_eq!(
            read("up{a=\"1,2\", b=\"}\\\"\\\\\\n\",}"),
            pairs(&[("__name__", "up"), ("a", "1,2"), ("b", "}\"\\\n")])
        );
        for bad in [
            "",
            "{a=\"1\"}",
            "up{",
            "up{a}",
            "up{a=1}",
            "up{a=\"1\"",
            "up{a=\"1\"b=\"2\"}",
            "up{} ",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    // Skyline takes these seconds for milliseconds later on.
    #[test]
    fn timestamps_are_seconds() {
        let item = json!({ "metric": "up", "timestamp": "1700000000", "value": 1 });
        let sample = series(&item).unwrap().samples[0];
        assert_eq!((sample.timestamp, sample.value), (1_700_000_000_000, 1.0));
        for bad in [
            json!({ "metric": "up", "value": 1 }),
            json!({ "metric": "up", "timestamp": 1 }),
            json!({ "metric": 1, "timestamp": 1, "value": 1 }),
            json!({ "metric": "up", "timestamp": 1, "value": "nan" }),
            json!({ "metric": "up", "timestamp": -1, "value": 1 }),
            json!("up"),
        ] {
            assert!(series(&bad).is_none(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_name_is_read_or_refused(text in ".{0,40}") {
            let _ = read(&text);
        }

        #[test]
        fn any_value_is_read_back(value in ".{0,20}") {
            let text = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let wanted = Some(vec![
                ("__name__".to_owned(), "up".to_owned()),
                ("a".to_owned(), value),
            ]);
            prop_assert_eq!(read(&format!("up{{a=\"{text}\"}}")), wanted);
        }
    }
}
