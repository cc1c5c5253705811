//! What an upload says of its files: the fields of the form, which an `info.json`
//! overrides. Names, order of the checks and texts are Skyline's.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::literal;

/// Fields without which there is no upload, in the order in which they are missed.
const REQUIRED: [&str; 7] = [
    "parent_metric_namespace",
    "timezone",
    "format",
    "archive",
    "date_orientation",
    "header_row",
    "columns_to_metrics",
];
/// Longest namespace.
const NAMESPACE_BYTES_MAX: usize = 255;
/// Lines that may be skipped, or precede the header.
const ROWS_MAX: usize = 1_000_000;

/// Texts by their name, as a form or an `info.json` has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fields(BTreeMap<String, String>);

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Format {
    Csv,
    Xlsx,
    Xls,
}

/// What files are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Archive {
    None,
    Zip,
    Gz,
}

/// What is made of the values of one minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Resample {
    Mean,
    Sum,
}

/// An upload's fields, checked.
#[derive(Clone, Debug)]
pub struct Terms {
    /// What metrics begin with, without a dot at the end.
    pub namespace: String,
    /// In which times without an offset are.
    pub timezone: TimeZone,
    /// Of each file.
    pub format: Format,
    /// Of the upload.
    pub archive: Archive,
    /// Whether times run from left to right, with a metric on each row.
    pub is_transposed: bool,
    /// The header's row, behind those skipped.
    pub header_row: usize,
    /// Rows that are skipped at the beginning.
    pub skip_rows: usize,
    /// New names of the columns; empty for those of the header.
    pub columns_to_metrics: Vec<String>,
    /// The columns that are read; empty for all.
    pub columns_to_process: Vec<String>,
    /// The columns that are not.
    pub columns_to_ignore: Vec<String>,
    /// For data of a finer resolution than a minute.
    pub resample: Resample,
    /// Whether points that are not newer than the last are submitted too.
    pub ignores_submitted: bool,
    /// Whether an `info.json` is among the files.
    pub info_in_archive: bool,
    /// Whether nothing is submitted.
    pub is_dry_run: bool,
    /// Whether the log tells of each column.
    pub is_debug: bool,
    /// Whether in `01-02-2020` the day comes first, where the upload says so.
    pub day_first: Option<bool>,
}

impl Fields {
    /// Sets one.
    pub fn set(&mut self, name: &str, value: String) {
        self.0.insert(name.to_owned(), value);
    }

    /// Forgets one.
    pub fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// One, if it was given.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Whether one was given and is not empty.
    pub fn is_set(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| !value.is_empty())
    }

    /// Has what an `info.json` says in place of what was said before. It may be JSON or
    /// a Python dict.
    ///
    /// # Errors
    ///
    /// What is wrong with its text.
    pub fn override_by(&mut self, info: &str) -> Result<(), String> {
        let value = serde_json::from_str(info).or_else(|_| literal::parse(info));
        let Ok(Value::Object(items)) = value else {
            return Err("the info file is neither a JSON object nor a Python dict".to_owned());
        };
        for (name, value) in items {
            let text = match value {
                Value::String(text) => text,
                Value::Null => continue,
                Value::Array(items) => {
                    let texts = items.iter().map(plain);
                    texts.collect::<Vec<_>>().join(",")
                }
                other => plain(&other),
            };
            self.0.insert(name, text);
        }
        Ok(())
    }

    /// The first required field that is missing.
    pub fn missing(&self) -> Option<&'static str> {
        REQUIRED.into_iter().find(|name| self.get(name).is_none())
    }

    /// Checks all, in Skyline's order.
    ///
    /// # Errors
    ///
    /// What is wrong with the first that is.
    pub fn terms(&self) -> Result<Terms, String> {
        if let Some(name) = self.missing() {
            return Err(format!("no {name} in the POST variables"));
        }
        let text = |name| self.get(name).unwrap_or_default().trim();
        let wrong = |name, what: &str| Err(format!("{} is not {what}", quoted(text(name))));
        let namespace = text("parent_metric_namespace").trim_end_matches('.');
        if namespace.is_empty() {
            return Err("blank parent_metric_namespace variable passed".to_owned());
        }
        if namespace.len() > NAMESPACE_BYTES_MAX || metric_part(namespace) != namespace {
            return wrong(
                "parent_metric_namespace",
                "a namespace of letters, digits and . _ -",
            );
        }
        let Some(timezone) = timezone(text("timezone")) else {
            return wrong("timezone", "an accepted timezone");
        };
        let format = match text("format") {
            "csv" => Format::Csv,
            "xlsx" => Format::Xlsx,
            "xls" => Format::Xls,
            _ => return wrong("format", "an accepted format"),
        };
        let archive = match text("archive") {
            "none" => Archive::None,
            "zip" => Archive::Zip,
            "gz" => Archive::Gz,
            _ => return wrong("archive", "an accepted archive type"),
        };
        let is_transposed = match text("date_orientation") {
            "rows" => false,
            "columns" => true,
            _ => return wrong("date_orientation", "a valid date_orientation"),
        };
        let row = |text: &str| text.parse().ok().filter(|row| *row <= ROWS_MAX);
        let Some(header_row) = row(text("header_row")) else {
            return wrong("header_row", "a valid header_row");
        };
        let skip_rows = match text("skip_rows") {
            "" | "none" | "None" => Some(0),
            rows => row(rows),
        };
        let Some(skip_rows) = skip_rows else {
            return Err("skip_row must be none or int".to_owned());
        };
        Ok(Terms {
            namespace: namespace.to_owned(),
            timezone,
            format,
            archive,
            is_transposed,
            header_row,
            skip_rows,
            columns_to_metrics: list(text("columns_to_metrics")),
            columns_to_process: list(text("columns_to_process")),
            columns_to_ignore: list(text("columns_to_ignore")),
            resample: match text("resample_method") {
                "sum" => Resample::Sum,
                _ => Resample::Mean,
            },
            ignores_submitted: is_true(text("ignore_submitted_timestamps")),
            info_in_archive: is_true(text("info_file_in_archive")),
            is_dry_run: is_true(text("dryrun")),
            is_debug: is_true(text("debug")),
            day_first: match text("day_first") {
                "" => None,
                text => Some(is_true(text)),
            },
        })
    }
}

/// What of a text may be a part of a metric's name.
pub fn metric_part(text: &str) -> String {
    let is_good = |c: &char| c.is_ascii_alphanumeric() || "._-".contains(*c);
    text.chars().filter(is_good).collect()
}

/// A name of the IANA database. None of a POSIX rule or of the host.
fn timezone(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok()
}

/// A comma list, or the text of a Python list; `none` is empty.
fn list(text: &str) -> Vec<String> {
    if matches!(text, "none" | "None") {
        return Vec::new();
    }
    if text.starts_with('[')
        && let Ok(Value::Array(items)) = literal::parse(text)
    {
        return items.iter().map(plain).collect();
    }
    let parts = text.split(',').map(str::trim);
    parts
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

fn is_true(text: &str) -> bool {
    ["true", "yes", "1", "on"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word))
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A text as it can be shown: short, and without what would hide or change it.
fn quoted(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    fn fields(changes: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in [
            ("parent_metric_namespace", "a.b"),
            ("timezone", "Europe/London"),
            ("format", "csv"),
            ("archive", "none"),
            ("date_orientation", "rows"),
            ("header_row", "0"),
            ("columns_to_metrics", "date,x,y"),
        ] {
            fields.set(name, value.to_owned());
        }
        for (name, value) in changes {
            fields.set(name, (*value).to_owned());
        }
        fields
    }

    #[test]
    fn each_wrong_field_is_told_in_skylines_words() {
        for (name, value, text) in [
            (
                "parent_metric_namespace",
                "",
                "blank parent_metric_namespace variable passed",
            ),
            ("timezone", "Mars", "Mars is not an accepted timezone"),
            ("format", "ods", "ods is not an accepted format"),
            (
                "archive",
                "tar_gz",
                "tar_gz is not an accepted archive type",
            ),
            (
                "date_orientation",
                "up",
                "up is not a valid date_orientation",
            ),
            ("header_row", "x", "x is not a valid header_row"),
            ("header_row", "-1", "-1 is not a valid header_row"),
            ("skip_rows", "x", "skip_row must be none or int"),
            (
                "parent_metric_namespace",
                "a/b",
                "a/b is not a namespace of letters, digits and . _ -",
            ),
        ] {
            assert_eq!(fields(&[(name, value)]).terms().unwrap_err(), text);
        }
        let error = Fields::default().terms().unwrap_err();
        assert_eq!(error, "no parent_metric_namespace in the POST variables");
    }

    // Skyline takes "false" for true, and JSON's true, false and null for a fault.
    #[test]
    fn an_info_file_overrides_and_may_be_json_or_python() {
        for info in [
            r#"{"timezone": "UTC", "dryrun": true, "debug": "false", "skip_rows": 5, "x": null,
                "columns_to_process": ["date", "x"]}"#,
            "{'timezone': 'UTC', 'dryrun': 'true', 'debug': False, 'skip_rows': '5', \
             'columns_to_process': 'date,x'}",
        ] {
            let mut fields = fields(&[]);
            fields.override_by(info).unwrap();
            let terms = fields.terms().unwrap();
            assert_eq!(terms.timezone.iana_name(), Some("UTC"));
            assert_eq!(
                (terms.is_dry_run, terms.is_debug, terms.skip_rows),
                (true, false, 5)
            );
            assert_eq!(terms.columns_to_process, ["date", "x"]);
            assert_eq!(terms.namespace, "a.b");
        }
        for bad in ["", "[]", "{'a': open('x')}", "nonsense"] {
            assert!(fields(&[]).override_by(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_fields_are_taken_or_refused(name in 0_usize..14, value in ".{0,30}") {
            let names = [
                "parent_metric_namespace", "timezone", "format", "archive", "date_orientation",
                "header_row", "columns_to_metrics", "skip_rows", "columns_to_process",
                "columns_to_ignore", "resample_method", "dryrun", "day_first", "debug",
            ];
            let _ = fields(&[(names[name], &value)]).terms();
            let _ = fields(&[]).override_by(&value);
        }
    }
}
