//! JSON as monitoring systems write it: with numbers that no float can hold, and, by
//! old Graphites, with bare `NaN` and `Infinity`.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::error::{FetchError, excerpt};
use super::{Sample, Series};

/// Stands for a number that is not finite where JSON has no word for it.
const NOT_FINITE: &str = "1e9999";

/// Reads `body`, whose bare `NaN` and `Infinity` become numbers that are not finite;
/// `text` is room for the body with these replaced.
///
/// # Errors
///
/// [`FetchError::NotJson`] with the beginning of the body, or [`FetchError::Shape`].
pub(super) fn parse<'a, T: Deserialize<'a>>(
    body: &'a [u8],
    text: &'a mut Vec<u8>,
) -> Result<T, FetchError> {
    let error = match serde_json::from_slice(body) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    if error.is_syntax() && spell_out(body, text) {
        return serde_json::from_slice(text).map_err(|error| fault(&error, body));
    }
    Err(fault(&error, body))
}

fn fault(error: &serde_json::Error, body: &[u8]) -> FetchError {
    let looks_like_json = matches!(body.trim_ascii_start().first(), Some(b'[' | b'{'));
    if error.is_eof() && looks_like_json {
        return FetchError::Cut(format!("the JSON ends after {} bytes", body.len()));
    }
    if error.is_data() {
        return FetchError::Shape(excerpt(error.to_string().as_bytes()));
    }
    FetchError::NotJson(excerpt(body))
}

/// Puts a number in the place of each bare `NaN` and `Infinity`; whether there was any.
fn spell_out(body: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    let mut rest = body;
    let mut in_text = false;
    let mut any = false;
    while let Some(&byte) = rest.first() {
        let word = [&b"NaN"[..], b"Infinity", b"nan", b"inf"]
            .into_iter()
            .find(|word| !in_text && rest.starts_with(word));
        if let Some(word) = word {
            out.extend_from_slice(NOT_FINITE.as_bytes());
            rest = &rest[word.len()..];
            any = true;
            continue;
        }
        let taken = match byte {
            b'\\' if in_text => rest.len().min(2),
            b'"' => {
                in_text = !in_text;
                1
            }
            _ => 1,
        };
        out.extend_from_slice(&rest[..taken]);
        rest = &rest[taken..];
    }
    any
}

/// The points of a series, read one by one, so that they take no more room than they
/// must: pairs of value and time, or of time and value.
#[derive(Default)]
pub(super) struct Points<const TIME_FIRST: bool>(Series);

impl<const TIME_FIRST: bool> Points<TIME_FIRST> {
    /// The series of this name, its points in the order in which they stand.
    pub fn named(self, name: String) -> Series {
        Series { name, ..self.0 }
    }

    /// Whether nothing stands there, not even what was left out.
    pub fn is_empty(&self) -> bool {
        self.0.newest.is_none()
    }
}

impl<'de, const TIME_FIRST: bool> Deserialize<'de> for Points<TIME_FIRST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Reader::<TIME_FIRST>)
    }
}

struct Reader<const TIME_FIRST: bool>;

impl<'de, const TIME_FIRST: bool> Visitor<'de> for Reader<TIME_FIRST> {
    type Value = Points<TIME_FIRST>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of pairs of a value and a time")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut pairs: A) -> Result<Self::Value, A::Error> {
        let mut series = Series::default();
        let bad = |text: &RawValue| {
            let text = excerpt(text.get().as_bytes());
            A::Error::custom(format_args!("{text} is no number"))
        };
        while let Some((one, other)) = pairs.next_element::<(&RawValue, &RawValue)>()? {
            let (time, value) = if TIME_FIRST {
                (one, other)
            } else {
                (other, one)
            };
            let timestamp = seconds(time).ok_or_else(|| bad(time))?;
            series.newest = series.newest.max(Some(timestamp));
            if value.get() == "null" {
                series.nulls += 1;
                continue;
            }
            let value = number(value).ok_or_else(|| bad(value))?;
            if value.is_finite() {
                series.samples.push(Sample { timestamp, value });
            } else {
                series.not_finite += 1;
            }
        }
        Ok(Points(series))
    }
}

/// A number in JSON, or in a JSON string, as Prometheus writes values. Too large ones
/// are infinite.
fn number(text: &RawValue) -> Option<f64> {
    let text = text.get();
    let bare = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    bare.unwrap_or(text).parse().ok()
}

/// Whole seconds since 1970, of a number that may have a fraction.
fn seconds(text: &RawValue) -> Option<i64> {
    let text = text.get();
    if let Ok(seconds) = text.parse() {
        return Some(seconds);
    }
    let seconds = text.parse::<f64>().ok()?.floor();
    // A float holds 2^53 exactly; no clock is near it.
    (seconds.abs() < 9_007_199_254_740_992.0).then_some(seconds as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(text: &str) -> Result<Vec<Option<f64>>, FetchError> {
        let mut room = Vec::new();
        let raw: Vec<&RawValue> = parse(text.as_bytes(), &mut room)?;
        Ok(raw.into_iter().map(number).collect())
    }

    #[test]
    fn numbers_that_json_has_no_word_for_are_read() {
        let infinite = Some(f64::INFINITY);
        assert_eq!(
            numbers("[1e9999, -1e9999, 1e+22, \"+Inf\", \"1e-07\", null]").unwrap(),
            [
                infinite,
                Some(f64::NEG_INFINITY),
                Some(1e22),
                infinite,
                Some(1e-7),
                None
            ]
        );
        assert_eq!(
            numbers("[NaN, Infinity, -Infinity, 2.5]").unwrap(),
            [infinite, infinite, Some(f64::NEG_INFINITY), Some(2.5)]
        );
    }

    // A metric may be called so.
    #[test]
    fn words_in_texts_stay() {
        let mut room = Vec::new();
        let body = br#"["NaN \" Infinity", NaN]"#;
        let (name, _): (String, &RawValue) = parse(body, &mut room).unwrap();
        assert_eq!(name, "NaN \" Infinity");
    }

    #[test]
    fn what_is_no_json_is_told_with_its_beginning() {
        assert_eq!(
            numbers("<html>no</html>"),
            Err(FetchError::NotJson("<html>no</html>".to_owned()))
        );
        assert_eq!(numbers(""), Err(FetchError::NotJson(String::new())));
        assert!(matches!(numbers("[1, 2"), Err(FetchError::Cut(_))));
        assert!(matches!(numbers("{}"), Err(FetchError::Shape(_))));
        let deep = "[".repeat(1 << 20);
        assert!(numbers(&deep).is_err());
    }
}
