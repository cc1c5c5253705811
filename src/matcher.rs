//! Skyline's way to match metrics by namespace, which its programs share.
//!
//! A pattern fits a name that it equals or is a part of; a name among whose dotted
//! elements are all of the pattern's, in any order; and a name whose beginning it
//! fits as a regular expression.

use regex::{Regex, RegexBuilder};

use crate::rules::Patterns;

/// Memory that a pattern may take as a regular expression, in bytes.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// One pattern, ready to be held against names.
#[derive(Clone, Debug)]
pub struct Matcher {
    text: Patterns,
    regex: Option<Regex>,
}

impl Matcher {
    /// A pattern that is no regular expression, or too large a one, fits in the other
    /// ways only: names are full of characters that mean something else there.
    pub fn new(pattern: &str) -> Self {
        let anchored = format!("^(?:{pattern})");
        let mut regex = RegexBuilder::new(&anchored);
        Self {
            text: Patterns::new(&[pattern.to_owned()]),
            regex: regex.size_limit(REGEX_BYTES_MAX).build().ok(),
        }
    }

    /// Whether the pattern fits the name.
    pub fn fits(&self, name: &str) -> bool {
        let regex = self.regex.as_ref();
        self.text.fit(name.as_bytes()) || regex.is_some_and(|regex| regex.is_match(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Expected as Skyline's matched_or_regexed_in_list has it.
    #[test]
    fn patterns_fit_as_skylines_do() {
        let fits = |pattern: &str, name: &str| Matcher::new(pattern).fits(name);
        for (pattern, name) in [
            ("a.b", "a.b"),
            ("otel.traces", "x.otel.traces.y"),
            ("b.a", "a.x.b"),
            ("a\\.[0-9]+$", "a.12"),
            (".*\\.errors", "web.errors.5m"),
            ("a+b", "x.a+b"),
            ("[", "a[b"),
        ] {
            assert!(fits(pattern, name), "{pattern:?} {name:?}");
        }
        for (pattern, name) in [
            ("b\\.[0-9]+$", "a.b.12"),
            ("a.b", "a.xb"),
            ("a.a", "a.b"),
            ("(", "a.b"),
            ("a|b", "x"),
        ] {
            assert!(!fits(pattern, name), "{pattern:?} {name:?}");
        }
    }
}
