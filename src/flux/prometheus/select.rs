//! What a sender wants dropped or kept, as the headers of its requests say.
//!
//! `dropMetrics` and `doNotDropMetrics` are lists of patterns, by commas or as a
//! Python list; `dropLabels` is a Python list of `[label, pattern]`, where `*` fits
//! every value.

use regex::{Regex, RegexBuilder};
use serde_json::Value;

use crate::literal;

/// Patterns of one header, at most.
const PATTERNS_MAX: usize = 128;
/// Memory of one compiled pattern, at most.
const PATTERN_BYTES_MAX: usize = 256 << 10;

/// A pattern by Skyline's shared rule: it fits what it is a part of, what has all of
/// its dotted elements in any order, and what it fits from the start as a regular
/// expression.
#[derive(Clone, Debug)]
struct Pattern {
    text: String,
    regex: Option<Regex>,
}

impl Pattern {
    fn new(text: &str) -> Self {
        let mut builder = RegexBuilder::new(&format!("^(?:{})", escape_braces(text)));
        // What is no regular expression still fits by the other rules.
        let regex = builder.size_limit(PATTERN_BYTES_MAX).build().ok();
        let text = text.to_owned();
        Self { text, regex }
    }

    fn fits(&self, name: &str) -> bool {
        name.contains(&self.text)
            || self
                .text
                .split('.')
                .all(|element| name.split('.').any(|part| part == element))
            || self
                .regex
                .as_ref()
                .is_some_and(|regex| regex.is_match(name))
    }
}

/// Python takes a brace that begins no repetition for itself.
fn escape_braces(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}', '\\']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let repetition = rest.find('}').filter(|end| {
            let inner = &rest[1..(*end).max(1)];
            inner.starts_with(|c: char| c.is_ascii_digit())
                && inner.chars().all(|c| c.is_ascii_digit() || c == ',')
        });
        let taken = match (rest.as_bytes()[0], repetition) {
            (b'{', Some(end)) => {
                out.push_str(&rest[..=end]);
                end + 1
            }
            (b'\\', _) => {
                let end = rest.chars().take(2).map(char::len_utf8).sum();
                out.push_str(&rest[..end]);
                end
            }
            _ => {
                out.push('\\');
                out.push_str(&rest[..1]);
                1
            }
        };
        rest = &rest[taken..];
    }
    out.push_str(rest);
    out
}

/// A header that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHeader {
    /// `dropLabels` is no list of pairs.
    #[error("Malformed dropLabels header")]
    DropLabels,
    /// Another is no list.
    #[error("Malformed {0} header")]
    Metrics(&'static str),
    /// There are too many patterns in one.
    #[error("Too many patterns in the {0} header, at most {PATTERNS_MAX}")]
    TooMany(&'static str),
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    drop: Vec<Pattern>,
    keep: Vec<Pattern>,
    /// Each with the values it is dropped with; all if there is no pattern.
    labels: Vec<(String, Option<Pattern>)>,
}

impl Selection {
    /// Of the three headers, each empty if it was not sent.
    ///
    /// # Errors
    ///
    /// The first header that is not as it should be.
    pub fn new(drop: &str, keep: &str, labels: &str) -> Result<Self, BadHeader> {
        Ok(Self {
            drop: patterns("dropMetrics", drop)?,
            keep: patterns("doNotDropMetrics", keep)?,
            labels: label_patterns(labels)?,
        })
    }

    /// Whether the sender wants it, whatever else says no.
    pub fn keeps(&self, name: &str) -> bool {
        self.keep.iter().any(|pattern| pattern.fits(name))
    }

    /// Whether the sender does not want it.
    pub fn drops(&self, name: &str) -> bool {
        self.drop.iter().any(|pattern| pattern.fits(name))
    }

    /// Whether a label is left out.
    pub fn drops_label(&self, name: &str, value: &str) -> bool {
        self.labels.iter().any(|(label, pattern)| {
            label == name && pattern.as_ref().is_none_or(|pattern| pattern.fits(value))
        })
    }
}

fn patterns(header: &'static str, text: &str) -> Result<Vec<Pattern>, BadHeader> {
    let text = text.trim();
    let mut texts = Vec::new();
    if text.starts_with('[') {
        let list = literal::parse(text).map_err(|_| BadHeader::Metrics(header))?;
        collect_texts(&list, &mut texts).ok_or(BadHeader::Metrics(header))?;
    } else {
        texts.extend(text.split(',').map(|part| part.trim().to_owned()));
    }
    texts.retain(|text| !text.is_empty());
    if texts.len() > PATTERNS_MAX {
        return Err(BadHeader::TooMany(header));
    }
    Ok(texts.iter().map(|text| Pattern::new(text)).collect())
}

/// The texts of a list and of the lists in it.
fn collect_texts(value: &Value, texts: &mut Vec<String>) -> Option<()> {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(items) => {
            for item in items {
                collect_texts(item, texts)?;
            }
        }
        _ => return None,
    }
    Some(())
}

fn label_patterns(text: &str) -> Result<Vec<(String, Option<Pattern>)>, BadHeader> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let list = literal::parse(text.trim()).map_err(|_| BadHeader::DropLabels)?;
    let list = list.as_array().ok_or(BadHeader::DropLabels)?;
    if list.len() > PATTERNS_MAX {
        return Err(BadHeader::TooMany("dropLabels"));
    }
    let pair = |item: &Value| {
        let [label, pattern] = item.as_array()?.as_slice() else {
            return None;
        };
        let pattern = match pattern.as_str()? {
            "*" | ".*" => None,
            pattern => Some(Pattern::new(pattern)),
        };
        Some((label.as_str()?.to_owned(), pattern))
    };
    let pairs: Option<Vec<_>> = list.iter().map(pair).collect();
    pairs.ok_or(BadHeader::DropLabels)
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    #[test]
    fn patterns_fit_by_part_by_elements_and_from_the_start() {
        for (pattern, name, is_fit) in [
            ("go_gc", "go_gc_duration_seconds{a=\"b\"}", true),
            ("c.a", "a.b.c", true),
            ("c.d", "a.b.c", false),
            ("go_.*_sum{", "go_x_sum{a=\"b\"}", true),
            (".*_bucket{.*", "x_bucket{le=\"1\"}", true),
            (".*_bucket{.*", "x_sum{le=\"1\"}", false),
            ("o_gc.*", "go_gc", false),
            ("a{2}b", "aab", true),
            ("x[", "x[", true),
            ("x[", "x", false),
        ] {
            assert_eq!(Pattern::new(pattern).fits(name), is_fit, "{pattern} {name}");
        }
    }

    #[test]
    fn both_forms_of_a_list_are_read() {
        for text in ["a_total, b_total", "['a_total', ['b_total']]"] {
            let selection = Selection::new(text, "", "").unwrap();
            assert!(
                selection.drops("a_total{}") && selection.drops("b_total{}"),
                "{text}"
            );
            assert!(
                !selection.drops("c_total{}") && !selection.keeps("a_total{}"),
                "{text}"
            );
        }
        assert!(!Selection::new(" , ", "", "").unwrap().drops("a"));
        let error = Selection::new("[1]", "", "").unwrap_err();
        assert_eq!(error.to_string(), "Malformed dropMetrics header");
        let many = "a,".repeat(200);
        assert_eq!(
            Selection::new("", &many, "").unwrap_err(),
            BadHeader::TooMany("doNotDropMetrics")
        );
    }

    // Skyline raises on the first label that does not fit, and drops all behind one
    // that does.
    #[test]
    fn a_label_is_dropped_by_its_own_value_only() {
        let text = "[['pod', '*'], ['code', '5..'], ['code', 'teapot']]";
        let selection = Selection::new("", "", text).unwrap();
        for (name, value, is_dropped) in [
            ("pod", "x", true),
            ("code", "503", true),
            ("code", "teapot", true),
            ("code", "200", false),
            ("path", "5xx", false),
        ] {
            assert_eq!(
                selection.drops_label(name, value),
                is_dropped,
                "{name} {value}"
            );
        }
        for bad in [
            "pod",
            "[['pod']]",
            "['pod', '*']",
            "[['pod', 1]]",
            "{'pod': '*'}",
        ] {
            assert_eq!(
                Selection::new("", "", bad).unwrap_err(),
                BadHeader::DropLabels,
                "{bad}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_header_is_read_or_refused(text in ".{0,60}", name in ".{0,20}") {
            for (drop, keep, labels) in [(&*text, "", ""), ("", &*text, ""), ("", "", &*text)] {
                if let Ok(selection) = Selection::new(drop, keep, labels) {
                    let _ = selection.drops(&name) || selection.drops_label(&name, &name);
                }
            }
        }
    }
}
