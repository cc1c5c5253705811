//! The TOML text: sections in a fixed order, above each key where it came from.

use std::fmt::Write;

use crate::logging::{is_hostile, printable};

/// The sections, as they are printed.
const SECTIONS: [&str; 13] = [
    "",
    "redis",
    "horizon",
    "roomba",
    "batch",
    "cluster",
    "graphite",
    "self_metrics",
    "flux",
    "flux.uploads",
    "vista",
    "admin",
    "log",
];

/// Where passwords are to be put, which the configuration names by file.
pub(super) const SECRETS_DIR: &str = "/etc/skyring";

/// Settings of Skyline that one of ours comes from: name and line.
pub(super) type Origin<'a> = &'a [(&'a str, usize)];

/// One key with its value as TOML.
#[derive(Debug)]
pub(super) struct Entry {
    pub section: &'static str,
    pub key: &'static str,
    pub value: String,
    /// What stands above it.
    comment: String,
    /// The first name and line that it came from.
    pub origin: (String, usize),
    /// Whether it is printed as a comment only.
    pub off: bool,
    /// Whether its value is a secret.
    pub secret: bool,
}

/// One table of an array of tables.
#[derive(Debug)]
struct Table {
    name: &'static str,
    comment: String,
    keys: Vec<(&'static str, String)>,
    secret: bool,
}

/// What will be printed.
#[derive(Debug)]
pub(super) struct Document {
    /// The file that the settings came from, as it is shown.
    file: String,
    pub entries: Vec<Entry>,
    tables: Vec<Table>,
}

impl Entry {
    /// `section.key`
    pub fn name(&self) -> String {
        match self.section {
            "" => self.key.to_owned(),
            section => format!("{section}.{}", self.key),
        }
    }
}

impl Document {
    pub fn new(file: &str) -> Self {
        Self {
            file: file.to_owned(),
            entries: Vec::new(),
            tables: Vec::new(),
        }
    }

    /// Adds `section.key = value`; `value` is TOML.
    pub fn put(
        &mut self,
        section: &'static str,
        key: &'static str,
        value: String,
        origin: Origin<'_>,
    ) -> &mut Entry {
        let first = origin.first().copied().unwrap_or_default();
        self.entries.push(Entry {
            section,
            key,
            value,
            comment: self.comment(origin),
            origin: (first.0.to_owned(), first.1),
            off: false,
            secret: false,
        });
        let last = self.entries.len() - 1;
        &mut self.entries[last]
    }

    /// Adds a table to the array of tables `name`; each of `keys` has a value that is
    /// TOML. `secret` says whether one of them is a secret.
    pub fn put_table(
        &mut self,
        name: &'static str,
        keys: Vec<(&'static str, String)>,
        secret: bool,
        origin: Origin<'_>,
    ) {
        let comment = self.comment(origin);
        self.tables.push(Table {
            name,
            comment,
            keys,
            secret,
        });
    }

    /// The keys that are in effect, in the form `section.key=value`, but for those that
    /// name a file, which need not be there yet. Tables are judged as they are put.
    pub fn to_sets(&self) -> Vec<String> {
        self.entries
            .iter()
            .filter(|entry| !entry.off && entry.key != "password_file")
            .map(|entry| format!("{}={}", entry.name(), entry.value))
            .collect()
    }

    /// The keys that are in effect and hold a secret, each once.
    pub fn secrets(&self) -> Vec<String> {
        let entries = self
            .entries
            .iter()
            .filter(|entry| entry.secret && !entry.off);
        let tables = self.tables.iter().filter(|table| table.secret);
        let mut names: Vec<String> = entries
            .map(Entry::name)
            .chain(tables.map(|table| table.name.to_owned()))
            .collect();
        names.dedup();
        names
    }

    /// The text that is printed.
    pub fn to_toml(&self) -> String {
        let mut out = format!("# Skyring's settings, from Skyline's {}.\n", self.file);
        for section in SECTIONS {
            let tables = self.tables.iter().filter(|table| {
                let (parent, _) = table.name.split_once('.').unwrap_or_default();
                parent == section
            });
            let mut entries = self
                .entries
                .iter()
                .filter(|entry| entry.section == section)
                .peekable();
            if entries.peek().is_some() {
                out.push('\n');
                if !section.is_empty() {
                    let _ = writeln!(out, "[{section}]");
                }
            }
            for entry in entries {
                let mut line = format!("{} = {}", entry.key, entry.value);
                if entry.off {
                    line = format!("# {}", line.replace('\n', "\n# "));
                }
                let _ = writeln!(out, "{}{line}", entry.comment);
            }
            for table in tables {
                let _ = write!(out, "\n[[{}]]\n{}", table.name, table.comment);
                for (key, value) in &table.keys {
                    let _ = writeln!(out, "{key} = {value}");
                }
            }
        }
        out
    }

    fn comment(&self, origin: Origin<'_>) -> String {
        let mut file = format!("{} ", self.file);
        let parts: Vec<String> = origin
            .iter()
            .map(|(name, line)| format!("{name} ({}line {line})", std::mem::take(&mut file)))
            .collect();
        format!("# {}\n", parts.join(", "))
    }
}

/// `text` as a TOML string, with everything escaped that could drive a terminal.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if is_hostile(c) => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A TOML array of values that are TOML; on one line if it is short.
pub(super) fn array(values: &[String]) -> String {
    let line = values.join(", ");
    if line.len() <= 60 {
        return format!("[{line}]");
    }
    let lines: String = values.iter().map(|value| format!("  {value},\n")).collect();
    format!("[\n{lines}]")
}

/// A TOML table on one line, from pairs of a name and a value that is TOML.
pub(super) fn inline_table(pairs: &[(String, String)]) -> String {
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{} = {value}", quoted(name)))
        .collect();
    match pairs.is_empty() {
        true => "{}".to_owned(),
        false => format!("{{ {} }}", pairs.join(", ")),
    }
}

/// The last part of a path, as it is shown.
pub(super) fn file_name(path: &std::path::Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    printable(&name.to_string_lossy()).into_owned()
}
