//! Reads settings from a TOML file and from the command line, and keeps for each
//! where it was given, so that every fault can name its place.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{Fault, Place, SettingsError, nearest};
use super::value::Bad;
use super::{ENTRIES, Entry, SECTIONS, Settings, relations};

/// The longest piece of a refused value that is repeated in an error, in characters.
const FOUND_CHARS_MAX: usize = 60;

/// See [`Settings::load`].
pub(super) fn load(file: Option<&Path>, sets: &[String]) -> Result<Settings, SettingsError> {
    let mut loader = Loader {
        settings: Settings::default(),
        places: BTreeMap::new(),
        faults: Vec::new(),
    };
    if let Some(file) = file {
        loader.file(file);
    }
    for set in sets {
        loader.set(set);
    }
    relations::check(&mut loader);
    loader.finish()
}

/// Settings in the making.
pub(super) struct Loader {
    pub(super) settings: Settings,
    /// Where each key was given last.
    places: BTreeMap<String, Place>,
    faults: Vec<Fault>,
}

/// A text that values are read from.
struct Source<'a> {
    text: &'a str,
    /// The file; without one the text is from the command line.
    file: Option<&'a Path>,
}

impl Loader {
    /// Refuses what `keys` are set to together, at the place of the first of them
    /// that was given at all. Says nothing if one of them already is at fault: its
    /// value here would be the default, which nobody asked for.
    pub(super) fn refuse(&mut self, keys: &[&str], message: String) {
        if self
            .faults
            .iter()
            .any(|fault| keys.contains(&fault.key.as_str()))
        {
            return;
        }
        let given = keys
            .iter()
            .find_map(|key| Some((*key, self.places.get(*key)?.clone())));
        let (key, place) = given.unwrap_or((keys[0], Place::Default));
        self.faults.push(Fault {
            place,
            key: key.to_owned(),
            message,
        });
    }

    fn finish(mut self) -> Result<Settings, SettingsError> {
        if self.faults.is_empty() {
            return Ok(self.settings);
        }
        self.faults.sort_by_key(|fault| match fault.place {
            Place::File(_) => 0,
            Place::Line(_, line) => line,
            Place::Set | Place::Default => usize::MAX,
        });
        Err(SettingsError {
            faults: self.faults,
        })
    }

    fn file(&mut self, file: &Path) {
        let text = match std::fs::read(file) {
            Ok(bytes) => bytes,
            Err(error) => {
                let message = format!("cannot read the configuration: {error}");
                return self.fault(Place::File(file.to_owned()), "", message);
            }
        };
        let text = match String::from_utf8(text) {
            Ok(text) => text,
            Err(error) => {
                let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
                let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
                let place = Place::Line(file.to_owned(), line);
                return self.fault(place, "", "expected text in UTF-8".to_owned());
            }
        };
        let source = Source {
            text: &text,
            file: Some(file),
        };
        let (table, errors) = DeTable::parse_recoverable(&text);
        if errors.is_empty() {
            return self.root(&source, table.get_ref());
        }
        // After a syntax error what was recovered is a guess, so it is not judged.
        for error in errors {
            let place = source.place(error.span().map_or(0, |span| span.start));
            self.fault(place, "", error.message().to_owned());
        }
    }

    fn root(&mut self, source: &Source<'_>, table: &DeTable<'_>) {
        for (name, value) in table {
            let key: &str = name.get_ref();
            let section = SECTIONS.iter().find(|(section, _)| *section == key);
            match (section, value.get_ref()) {
                (Some((section, _)), DeValue::Table(table)) => self.section(source, section, table),
                (Some((section, _)), _) => {
                    let place = source.place(value.span().start);
                    let found = source.found(value);
                    let message = format!("expected a table, [{section}], found {found}");
                    self.fault(place, section, message);
                }
                (None, DeValue::Table(_)) => {
                    let place = source.place(name.span().start);
                    self.fault(place, key, unknown_section(key));
                }
                (None, _) => self.entry(source, "", name, value),
            }
        }
    }

    fn section(&mut self, source: &Source<'_>, section: &'static str, table: &DeTable<'_>) {
        for (name, value) in table {
            let inner = dotted(section, name.get_ref());
            let inner = SECTIONS.iter().find(|(known, _)| *known == inner);
            match (inner, value.get_ref()) {
                (Some((inner, _)), DeValue::Table(table)) => self.section(source, inner, table),
                _ => self.entry(source, section, name, value),
            }
        }
    }

    fn entry(
        &mut self,
        source: &Source<'_>,
        section: &str,
        name: &Spanned<Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
    ) {
        let place = source.place(name.span().start);
        match find(section, name.get_ref()) {
            Some(entry) => self.put(source, entry, value),
            None => {
                let key = dotted(section, name.get_ref());
                self.fault(place, &key, unknown_key(section, name.get_ref()));
            }
        }
    }

    fn put(&mut self, source: &Source<'_>, entry: &Entry, value: &Spanned<DeValue<'_>>) {
        let key = entry.key();
        match (entry.set)(&mut self.settings, value, entry.limits) {
            Ok(()) => {
                self.places.insert(key, source.place(value.span().start));
            }
            Err(bad) => {
                let message = source.refusal(entry, &bad, value);
                self.fault(source.place(bad.span.start), &key, message);
            }
        }
    }

    /// Applies one `section.key=value` of the command line.
    fn set(&mut self, set: &str) {
        let Some((key, text)) = set.split_once('=') else {
            let message = format!("expected section.key=value, found \"{}\"", shortened(set));
            return self.fault(Place::Set, "", message);
        };
        let (key, text) = (key.trim(), text.trim());
        let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
        let Some(entry) = find(section, name) else {
            let known = section.is_empty() || SECTIONS.iter().any(|(known, _)| *known == section);
            let message = if known {
                unknown_key(section, name)
            } else {
                unknown_section(section)
            };
            return self.fault(Place::Set, key, message);
        };
        let source = Source { text, file: None };
        match DeValue::parse(text) {
            Ok(value) if !entry.bare || matches!(value.get_ref(), DeValue::String(_)) => {
                self.put(&source, entry, &value);
            }
            // A bare string, perhaps one that also reads as a number or a date.
            _ if entry.bare => {
                let value = Spanned::new(0..text.len(), DeValue::String(Cow::Borrowed(text)));
                self.put(&source, entry, &value);
            }
            _ => {
                let expected = (entry.expected)(entry.limits);
                let message = format!("expected {expected}, found \"{}\"", shortened(text));
                self.fault(Place::Set, key, message);
            }
        }
    }

    fn fault(&mut self, place: Place, key: &str, message: String) {
        self.faults.push(Fault {
            place,
            key: key.to_owned(),
            message,
        });
    }
}

impl Source<'_> {
    fn place(&self, offset: usize) -> Place {
        let Some(file) = self.file else {
            return Place::Set;
        };
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        Place::Line(file.to_owned(), line)
    }

    fn refusal(&self, entry: &Entry, bad: &Bad, value: &Spanned<DeValue<'_>>) -> String {
        if let Some(message) = &bad.message {
            return message.clone();
        }
        let expected = (entry.expected)(entry.limits);
        if entry.secret {
            return format!("expected {expected}, found something else");
        }
        let found = match self.text.get(bad.span.clone()) {
            Some(text) if bad.span != value.span() => shortened(text),
            _ => self.found(value),
        };
        format!("expected {expected}, found {found}")
    }

    /// A value as it was written; containers, which may be long, by their kind.
    fn found(&self, value: &Spanned<DeValue<'_>>) -> String {
        match value.get_ref() {
            DeValue::Array(_) => "a list".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
            DeValue::String(text) => format!("\"{}\"", shortened(text)),
            _ => shortened(self.text.get(value.span()).unwrap_or_default()),
        }
    }
}

fn find(section: &str, name: &str) -> Option<&'static Entry> {
    ENTRIES
        .iter()
        .find(|entry| entry.section == section && entry.name == name)
}

fn dotted(section: &str, name: &str) -> String {
    if section.is_empty() {
        name.to_owned()
    } else {
        format!("{section}.{name}")
    }
}

fn unknown_section(section: &str) -> String {
    let names: Vec<&str> = SECTIONS.iter().map(|(name, _)| *name).collect();
    match nearest(section, &names) {
        Some(name) => format!("unknown section; did you mean {name}?"),
        None => format!("unknown section; there are {}", names.join(", ")),
    }
}

fn unknown_key(section: &str, name: &str) -> String {
    if let Some(entry) = ENTRIES.iter().find(|entry| entry.name == name) {
        return format!("unknown setting; did you mean {}?", entry.key());
    }
    let siblings: Vec<&str> = ENTRIES
        .iter()
        .filter(|entry| entry.section == section)
        .map(|entry| entry.name)
        .collect();
    if let Some(name) = nearest(name, &siblings) {
        return format!("unknown setting; did you mean {}?", dotted(section, name));
    }
    let all: Vec<&str> = ENTRIES.iter().map(|entry| entry.name).collect();
    match nearest(name, &all).and_then(|name| ENTRIES.iter().find(|entry| entry.name == name)) {
        Some(entry) => format!("unknown setting; did you mean {}?", entry.key()),
        None if section.is_empty() => {
            format!(
                "unknown setting; at the top level there are {}",
                siblings.join(", ")
            )
        }
        None => format!("unknown setting; {section} has {}", siblings.join(", ")),
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(FOUND_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
