//! The body of a POST of metrics, taken apart without a tree of its values.

use std::borrow::Cow;

use memchr::memchr;

use super::checks;
use super::json::{Json, NoJson, Reader, leading_number};
use crate::literal::write_text;
use crate::wire::number;

/// A body.
#[derive(Debug)]
pub enum Body<'a> {
    /// An object with something in it.
    Post(Post<'a>),
    /// Nothing that Python would take for true.
    Nothing,
    /// Something else than an object.
    Other,
}

/// Length of a metric in a list, at least, unless its name is very short, in bytes.
const ITEM_BYTES: usize = 64;

/// Keys besides `metrics` that are looked at.
const FIELDS: [&str; 8] = [
    "key",
    "metric",
    "timestamp",
    "value",
    "fill",
    "status",
    "test",
    "validate_key",
];

/// An object that was posted.
#[derive(Debug, Default)]
pub struct Post<'a> {
    /// What is in `metrics`, if that is a list: at most one more than may be.
    pub listed: Vec<Listed<'a>>,
    fields: Vec<(Cow<'a, str>, Json<'a>)>,
}

/// One metric of a list, of equal keys the last.
#[derive(Clone, Copy, Debug, Default)]
pub struct Listed<'a> {
    /// The whole, which is JSON.
    pub text: &'a str,
    /// What it says, if that needs no second look.
    pub plain: Option<Plain<'a>>,
}

/// A metric as nearly all are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plain<'a> {
    /// Its name, which may have it and stays as it is.
    pub name: &'a str,
    /// Its time, ten digits.
    pub timestamp: i64,
    /// Its value, finite.
    pub value: f64,
}

/// One metric.
#[derive(Debug)]
pub struct Item<'a> {
    /// Its name.
    pub metric: Option<Json<'a>>,
    /// Its time.
    pub timestamp: Option<Json<'a>>,
    /// Its value.
    pub value: Option<Json<'a>>,
    /// Whether it fills a gap.
    pub fill: Option<Json<'a>>,
    /// How it came.
    pub form: Form<'a>,
}

/// How a metric came.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form<'a> {
    /// In a list, as this text.
    Listed(&'a str),
    /// Alone.
    Single,
    /// As a field of Telegraf's.
    Telegraf,
}

impl<'a> Body<'a> {
    /// Reads a body, and keeps one metric more than `items_max` at most.
    ///
    /// # Errors
    ///
    /// When it is no JSON.
    pub fn parse(text: &'a str, items_max: usize) -> Result<Self, NoJson> {
        let mut reader = Reader::new(text);
        if reader.peek() != b'{' {
            let is_true = reader.flat_value()?.is_true();
            reader.end()?;
            return Ok(if is_true { Self::Other } else { Self::Nothing });
        }
        let mut post = Post::default();
        let mut is_empty = true;
        reader.dict(|key, reader| {
            is_empty = false;
            if key != "metrics" {
                let value = reader.flat_value()?;
                if FIELDS.contains(&&*key) {
                    post.fields.retain(|(known, _)| *known != key);
                    post.fields.push((key, value));
                }
                return Ok(());
            }
            post.listed.clear();
            if reader.peek() != b'[' {
                reader.flat_value()?;
                return Ok(());
            }
            // Hardly any takes less than this of the text.
            let likely = (text.len() - reader.at()) / ITEM_BYTES;
            post.listed.reserve(likely.min(items_max));
            reader.list(|reader| {
                if post.listed.len() > items_max {
                    return reader.passed().map(drop);
                }
                // Read where it stays, since there are many.
                post.listed.push(Listed::default());
                match post.listed.last_mut() {
                    Some(listed) => listed.read(reader),
                    None => Ok(()),
                }
            })
        })?;
        reader.end()?;
        Ok(if is_empty {
            Self::Nothing
        } else {
            Self::Post(post)
        })
    }
}

impl<'a> Post<'a> {
    /// The value of a key other than `metrics`.
    pub fn get(&self, key: &str) -> Option<&Json<'a>> {
        let mut fields = self.fields.iter();
        fields.find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The metric that stands alone, if there is one with a value.
    pub fn single(&self) -> Option<Item<'a>> {
        let field = |key| self.get(key).cloned();
        Some(Item {
            metric: Some(field("metric")?),
            timestamp: field("timestamp"),
            value: Some(field("value")?),
            fill: field("fill"),
            form: Form::Single,
        })
    }
}

/// What is looked at of a metric.
#[derive(Clone, Copy)]
enum Field {
    Metric,
    Timestamp,
    Value,
    Fill,
}

impl Field {
    fn named(key: &str) -> Option<Self> {
        Some(match key {
            "metric" => Self::Metric,
            "timestamp" => Self::Timestamp,
            "value" => Self::Value,
            "fill" => Self::Fill,
            _ => return None,
        })
    }

    /// The one with whose quoted name bytes begin, and how long that is.
    #[inline]
    fn quoted(bytes: &[u8]) -> Option<(Self, usize)> {
        if bytes.starts_with(b"\"metric\"") {
            Some((Self::Metric, 8))
        } else if bytes.starts_with(b"\"timestamp\"") {
            Some((Self::Timestamp, 11))
        } else if bytes.starts_with(b"\"value\"") {
            Some((Self::Value, 7))
        } else if bytes.starts_with(b"\"fill\"") {
            Some((Self::Fill, 6))
        } else {
            None
        }
    }
}

impl<'a> Listed<'a> {
    #[inline]
    fn read(&mut self, reader: &mut Reader<'a>) -> Result<(), NoJson> {
        reader.peek();
        let from = reader.at();
        self.plain = Plain::read(reader);
        if self.plain.is_none() && reader.at() == from {
            reader.passed()?;
        }
        self.text = reader.since(from);
        Ok(())
    }

    /// The same with its values read.
    pub fn item(&self) -> Item<'a> {
        let mut item = Item {
            metric: None,
            timestamp: None,
            value: None,
            fill: None,
            form: Form::Listed(self.text),
        };
        // It was read before, so it can be read again, if it is an object.
        let _ = Reader::new(self.text).dict(|key, reader| {
            let value = Some(reader.flat_value()?);
            match Field::named(&key) {
                Some(Field::Metric) => item.metric = value,
                Some(Field::Timestamp) => item.timestamp = value,
                Some(Field::Value) => item.value = value,
                Some(Field::Fill) => item.fill = value,
                None => {}
            }
            Ok(())
        });
        item
    }
}

impl<'a> Plain<'a> {
    /// Reads what comes next if it is plain; else nothing, or what lacks something.
    #[inline]
    fn read(reader: &mut Reader<'a>) -> Option<Self> {
        let (mut name, mut timestamp, mut value) = (None, None, None);
        reader.plain_dict(Field::quoted, |field, text| match field {
            Field::Metric => {
                let text = text.strip_prefix('"')?;
                let length = memchr(b'"', text.as_bytes())?;
                name = Some(&text[..length]);
                checks::is_plain_name(&text[..length]).then_some(length + 2)
            }
            Field::Timestamp => {
                let number = number::leading(text.as_bytes())?;
                timestamp = Some(i64::try_from(number.whole?).ok()?);
                (number.bytes == 10).then_some(10)
            }
            Field::Value => {
                let (number, bytes) = leading_number(text)?;
                value = Some(number);
                Some(bytes)
            }
            Field::Fill => None,
        })?;
        Some(Self {
            name: name?,
            timestamp: timestamp?,
            value: value?,
        })
    }
}

impl<'a> Item<'a> {
    /// Whether it says that it fills a gap.
    pub fn is_fill(&self) -> bool {
        match &self.fill {
            Some(Json::Bool(fill)) => *fill,
            Some(Json::Text(fill)) => fill == "true" || fill == "True",
            _ => false,
        }
    }

    /// As Python shows it, with this name.
    pub fn repr(&self, name: Option<&str>) -> String {
        let metric = match name {
            Some(name) => Some(Json::Text(Cow::Borrowed(name))),
            None => self.metric.clone(),
        };
        let Form::Listed(text) = self.form else {
            return self.repr_in_order(metric);
        };
        // It was read before, so it can be read again.
        let mut json = Json::parse(text).unwrap_or(Json::Null);
        if let (Json::Dict(items), Some(metric)) = (&mut json, metric) {
            let all = items.iter_mut().filter(|(key, _)| key == "metric");
            all.for_each(|(_, value)| *value = metric.clone());
        }
        json.repr()
    }

    fn repr_in_order(&self, metric: Option<Json<'_>>) -> String {
        let (timestamp, value) = (self.timestamp.as_ref(), self.value.as_ref());
        let metric = ("metric", metric.as_ref());
        let all = match self.form {
            Form::Telegraf => [metric, ("value", value), ("timestamp", timestamp)],
            _ => [metric, ("timestamp", timestamp), ("value", value)],
        };
        let mut out = "{".to_owned();
        let present = all.iter().filter_map(|(key, value)| Some((key, (*value)?)));
        for (place, (key, value)) in present.enumerate() {
            out.push_str(if place > 0 { ", " } else { "" });
            write_text(&mut out, key);
            out.push_str(": ");
            out.push_str(&value.repr());
        }
        out.push('}');
        out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn post(text: &str) -> Post<'_> {
        match Body::parse(text, 10) {
            Ok(Body::Post(post)) => post,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn bodies_are_told_apart() {
        for text in ["{}", "[]", "null", "0", "\"\"", "false", " { } "] {
            assert!(matches!(Body::parse(text, 10), Ok(Body::Nothing)), "{text}");
        }
        for text in ["[1]", "1", "\"x\"", "true", "NaN"] {
            assert!(matches!(Body::parse(text, 10), Ok(Body::Other)), "{text}");
        }
        for text in ["", "{", "{\"a\":1}x", "{\"metrics\": [}"] {
            assert!(Body::parse(text, 10).is_err(), "{text}");
        }
    }

    // As in Python, the last of equal keys counts.
    #[test]
    fn the_last_of_equal_keys_counts() {
        let text = r#"{"key": "a", "metrics": [{}], "key": "b",
            "metrics": [{"metric": "x", "value": 1, "metric": "y"}]}"#;
        let post = post(text);
        assert_eq!(post.get("key"), Some(&Json::Text("b".into())));
        assert_eq!(post.listed.len(), 1);
        let item = post.listed[0].item();
        assert_eq!(item.metric, Some(Json::Text("y".into())));
        assert_eq!(item.repr(None), "{'metric': 'y', 'value': 1}");
        assert_eq!(item.repr(Some("z")), "{'metric': 'z', 'value': 1}");
    }

    proptest! {
        // What is read at once is what a second look finds.
        #[test]
        fn plain_metrics_are_those_that_need_no_second_look(
            text in "[{] ?(\"(metric|timestamp|value|fill|x)\" ?: ?(-?[0-9]{0,20}[.]?[0-9]{0,9}|-?[0-9]{10}|[0-9]e[0-9]{1,3}|\"[a-z .\\\\;]{0,20}\"|true) ?,? ?){0,5}[}]",
        ) {
            let body = format!("{{\"metrics\": [{text}]}}");
            let Ok(Body::Post(post)) = Body::parse(&body, 10) else {
                prop_assert!(Json::parse(&text).is_err());
                return Ok(());
            };
            let (listed, careful) = (post.listed[0], Json::parse(&text).unwrap());
            prop_assert_eq!(listed.text, &text);
            let item = listed.item();
            let fields = [
                ("metric", &item.metric),
                ("timestamp", &item.timestamp),
                ("value", &item.value),
                ("fill", &item.fill),
            ];
            for (key, value) in fields {
                prop_assert_eq!(value.as_ref(), careful.get(key));
            }
            if let Some(plain) = listed.plain {
                prop_assert_eq!(item.metric, Some(Json::Text(plain.name.into())));
                prop_assert!(checks::is_plain_name(plain.name));
                let timestamp = plain.timestamp.to_string();
                prop_assert!(timestamp.len() == 10);
                prop_assert_eq!(item.timestamp, Some(Json::Int(&timestamp)));
                let value = item.value.and_then(|value| checks::json_value(&value));
                prop_assert_eq!(value.map(f64::to_bits), Some(plain.value.to_bits()));
                prop_assert!(item.fill.is_none());
            }
        }
    }

    #[test]
    fn nearly_every_metric_is_plain() {
        for (text, is_plain) in [
            (
                r#"{"metric": "a.b", "timestamp": 1700000000, "value": 1.5}"#,
                true,
            ),
            (
                r#"{"value":-1e-7,"timestamp":1700000000,"metric":"a.b"}"#,
                true,
            ),
            (
                r#"{"metric": "a.b", "timestamp": 1700000000, "value": 0.30000000000000004}"#,
                true,
            ),
            (
                r#"{"metric": "a b", "timestamp": 1700000000, "value": 1}"#,
                false,
            ),
            (
                r#"{"metric": "a.b", "timestamp": 1700000000.0, "value": 1}"#,
                false,
            ),
            (
                r#"{"metric": "a.b", "timestamp": 170000000, "value": 1}"#,
                false,
            ),
            (
                r#"{"metric": "a.b", "timestamp": 1700000000, "value": 1e999}"#,
                false,
            ),
            (
                r#"{"metric": "a.b", "timestamp": 1700000000, "value": "1"}"#,
                false,
            ),
            (r#"{"metric": "a.b", "value": 1}"#, false),
            (
                r#"{"metric": "a.b", "timestamp": 1700000000, "value": 1, "fill": "true"}"#,
                false,
            ),
        ] {
            let body = format!("{{\"metrics\": [{text}]}}");
            let post = post(&body);
            assert_eq!(post.listed[0].plain.is_some(), is_plain, "{text}");
            assert_eq!(post.listed[0].text, text);
        }
    }

    #[test]
    fn one_that_stands_alone_is_shown_in_skylines_order() {
        let post = post(r#"{"value": "1", "metric": "a b", "timestamp": 5, "fill": "true"}"#);
        let single = post.single().unwrap();
        assert!(single.is_fill() && post.listed.is_empty());
        let shown = "{'metric': 'a_b', 'timestamp': 5, 'value': '1'}";
        assert_eq!(single.repr(Some("a_b")), shown);
    }
}
