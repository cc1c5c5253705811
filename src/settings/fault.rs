//! What is wrong with a configuration, in words that name the place and the mend.

use std::fmt;
use std::path::PathBuf;

use crate::logging::printable;

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A line, counted from 1, of a configuration file.
    Line(PathBuf, usize),
    /// A configuration file as a whole.
    File(PathBuf),
    /// The command line.
    Set,
    /// Nowhere: it is the default.
    Default,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where it was given.
    pub place: Place,
    /// The setting, `section.key`; empty if the fault is none of a setting.
    pub key: String,
    /// What was expected and what was found.
    pub message: String,
}

/// Everything that is wrong with a configuration; shown one fault on a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct SettingsError {
    /// The faults: those of the file in the order of its lines, then the others.
    pub faults: Vec<Fault>,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Line(file, line) => {
                write!(f, "{}:{line}: ", printable(&file.to_string_lossy()))?;
            }
            Place::File(file) => write!(f, "{}: ", printable(&file.to_string_lossy()))?,
            Place::Set => f.write_str("--set ")?,
            Place::Default => {}
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", printable(&self.key))?;
        }
        f.write_str(&printable(&self.message))
    }
}

/// The candidate that `text` most likely was meant to be, if one is near enough.
pub(super) fn nearest<'a>(text: &str, candidates: &[&'a str]) -> Option<&'a str> {
    candidates
        .iter()
        .map(|candidate| (distance(text, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().div_ceil(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance in bytes, with text longer than any key cut off.
fn distance(a: &str, b: &str) -> usize {
    let a = &a.as_bytes()[..a.len().min(64)];
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(*x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_its_key_and_nonsense_finds_none() {
        let keys = ["linger_us", "pickle", "frame_bytes_max", "cpus"];
        assert_eq!(nearest("linger_ms", &keys), Some("linger_us"));
        assert_eq!(nearest("picle", &keys), Some("pickle"));
        assert_eq!(nearest("frame_byte_max", &keys), Some("frame_bytes_max"));
        assert_eq!(nearest("zzzz", &keys), None);
        assert_eq!(nearest("", &keys), None);
        assert_eq!(nearest(&"x".repeat(100_000), &keys), None);
    }

    // A name in a configuration file must not drive the operator's terminal.
    #[test]
    fn control_characters_are_escaped() {
        let fault = Fault {
            place: Place::Line(PathBuf::from("/a\nb"), 3),
            key: "x\u{1b}[31m".to_owned(),
            message: "found \"\r\"".to_owned(),
        };
        assert_eq!(
            fault.to_string(),
            "/a\\u{a}b:3: x\\u{1b}[31m: found \"\\u{d}\""
        );
    }
}
