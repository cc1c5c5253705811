//! The body of a POST of metrics, taken apart without a tree of its values.

use std::borrow::Cow;

use super::json::{Json, NoJson, Reader};
use crate::literal::write_text;

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

/// One metric of a list, by the texts of its values, which are empty where there are
/// none. They are JSON; of equal keys the last counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Listed<'a> {
    /// The whole.
    pub text: &'a str,
    metric: &'a str,
    timestamp: &'a str,
    value: &'a str,
    fill: &'a str,
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
        let is_dict = reader.peek() == b'{';
        let from = reader.at();
        let is_plain = reader.plain_dict(Field::quoted, |field, value| self.set(field, value));
        if is_plain.is_none() {
            *self = Self::default();
            if is_dict {
                reader.dict(|key, reader| {
                    let value = reader.passed()?;
                    if let Some(field) = Field::named(&key) {
                        self.set(field, value);
                    }
                    Ok(())
                })?;
            } else {
                reader.passed()?;
            }
        }
        self.text = reader.since(from);
        Ok(())
    }

    #[inline]
    fn set(&mut self, field: Field, value: &'a str) {
        match field {
            Field::Metric => self.metric = value,
            Field::Timestamp => self.timestamp = value,
            Field::Value => self.value = value,
            Field::Fill => self.fill = value,
        }
    }

    /// The name between its quotes, timestamp and value as they stand there, escapes and
    /// all, if the name is a text and `fill` is not there.
    #[inline]
    pub fn plain(&self) -> Option<(&'a str, &'a str, &'a str)> {
        let name = self.metric.strip_prefix('"')?.strip_suffix('"')?;
        self.fill
            .is_empty()
            .then_some((name, self.timestamp, self.value))
    }

    /// The same with its values read.
    pub fn item(&self) -> Item<'a> {
        // They were read before, so they can be read again.
        let value = |text: &'a str| Reader::new(text).flat_value().ok();
        Item {
            metric: value(self.metric),
            timestamp: value(self.timestamp),
            value: value(self.value),
            fill: value(self.fill),
            form: Form::Listed(self.text),
        }
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

    #[test]
    fn one_that_stands_alone_is_shown_in_skylines_order() {
        let post = post(r#"{"value": "1", "metric": "a b", "timestamp": 5, "fill": "true"}"#);
        let single = post.single().unwrap();
        assert!(single.is_fill() && post.listed.is_empty());
        let shown = "{'metric': 'a_b', 'timestamp': 5, 'value': '1'}";
        assert_eq!(single.repr(Some("a_b")), shown);
    }
}
