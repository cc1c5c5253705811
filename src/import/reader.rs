//! Takes the values of Skyline's settings as the types that they must have, and tells
//! of those that have another or are not known.

use super::Note;
use super::document::{Document, Origin, quoted};
use super::evaluate::{Binding, Settings};
use super::value::{Item, Kind, Text, Value};
use crate::settings::Settings as Ours;

/// What is read from, and what comes of it.
pub(super) struct Reader<'a> {
    pub settings: &'a Settings,
    pub host: &'a str,
    pub document: Document,
    pub notes: Vec<Note>,
}

/// A value and the line that it was given in.
#[derive(Clone, Debug)]
pub(super) struct Given<T> {
    pub value: T,
    pub line: usize,
}

impl Reader<'_> {
    /// Tells something about the setting `name`.
    pub fn note(&mut self, line: usize, name: &str, message: impl Into<String>) {
        self.notes.push(Note {
            line: Some(line),
            name: name.to_owned(),
            message: message.into(),
        });
    }

    /// Whether the file sets `name` at all, to whatever.
    pub fn is_given(&self, name: &str) -> bool {
        self.settings.names.contains_key(name)
    }

    /// The value of `name` if it is set to one that is known.
    pub fn known(&mut self, name: &str) -> Option<Given<Value>> {
        let Binding { value, line } = self.settings.names.get(name)?.clone();
        let value = self.known_value(name, &value, line)?;
        Some(Given { value, line })
    }

    /// `value`, if it is known; else tells why not.
    pub fn known_value(&mut self, name: &str, value: &Value, line: usize) -> Option<Value> {
        let why = match value {
            Value::Unknown(why) => why.clone(),
            Value::Name(origin) => {
                let message = format!("not carried over: it comes from {origin}");
                self.note(line, name, message);
                return None;
            }
            Value::Container(id) => match &self.settings.heap.container(*id).ruined {
                Some(why) => why.clone(),
                None => return Some(value.clone()),
            },
            value => return Some(value.clone()),
        };
        let mut message = format!("not carried over: {}", why.why);
        if why.line != line {
            message.push_str(&format!(" (line {})", why.line));
        }
        self.note(line, name, message);
        None
    }

    /// Tells that `name` has a value of the wrong type.
    pub fn refuse(&mut self, name: &str, expected: &str, found: &Value, line: usize) {
        let found = found.type_name(&self.settings.heap);
        self.note(line, name, format!("expected {expected}, found {found}"));
    }

    /// A string. `None` is none.
    pub fn text(&mut self, name: &str) -> Option<Given<String>> {
        let Given { value, line } = self.known(name)?;
        let value = self.text_value(name, &value, line)?;
        Some(Given { value, line })
    }

    /// The string that `value` is; `None` is none.
    pub fn text_value(&mut self, name: &str, value: &Value, line: usize) -> Option<String> {
        match self.known_value(name, value, line)? {
            Value::Text(Text { text, of_host }) => {
                if of_host {
                    let message = format!("{} is the name of this machine", quoted(&text));
                    self.note(line, name, message);
                }
                Some(text.to_string())
            }
            Value::None => None,
            value => {
                self.refuse(name, "a string", &value, line);
                None
            }
        }
    }

    /// A whole number, or a string of digits.
    pub fn number(&mut self, name: &str) -> Option<Given<i64>> {
        let Given { value, line } = self.known(name)?;
        let value = self.number_value(name, &value, line)?;
        Some(Given { value, line })
    }

    /// The whole number that Python's `int` makes of `value`.
    pub fn number_value(&mut self, name: &str, value: &Value, line: usize) -> Option<i64> {
        let value = self.known_value(name, value, line)?;
        let number = match &value {
            Value::Int(number) => Some(*number),
            Value::Float(number) if number.abs() < 1e15 => Some(number.trunc() as i64),
            Value::Text(text) => text.text.trim().parse().ok(),
            _ => None,
        };
        if number.is_none() {
            self.refuse(name, "a whole number", &value, line);
        }
        number
    }

    /// A boolean, as Python takes any value for one.
    pub fn truth(&mut self, name: &str) -> Option<Given<bool>> {
        let Given { value, line } = self.known(name)?;
        let value = value.truth(&self.settings.heap);
        Some(Given { value, line })
    }

    /// The elements of a list, tuple or set.
    pub fn list(&mut self, name: &str) -> Option<Given<Vec<Item>>> {
        let Given { value, line } = self.known(name)?;
        let value = self.list_value(name, &value, line)?;
        Some(Given { value, line })
    }

    /// The elements of the list, tuple or set that `value` is; `None` has none.
    pub fn list_value(&mut self, name: &str, value: &Value, line: usize) -> Option<Vec<Item>> {
        match self.known_value(name, value, line)? {
            Value::Container(id) if self.settings.heap.container(id).kind != Kind::Dict => {
                Some(self.settings.heap.container(id).items().to_vec())
            }
            Value::None => Some(Vec::new()),
            value => {
                self.refuse(name, "a list", &value, line);
                None
            }
        }
    }

    /// The strings of a list; others are told of and left out.
    pub fn texts(&mut self, name: &str) -> Option<Given<Vec<String>>> {
        let Given { value: items, line } = self.list(name)?;
        let mut value = Vec::new();
        for item in items {
            if item.value == Value::None {
                self.refuse(name, "a string", &Value::None, item.line);
            }
            let Some(text) = self.text_value(name, &item.value, item.line) else {
                continue;
            };
            if self.settings.joined.contains(&item.line) {
                let message = format!(
                    "a comma may be missing: to Python these lines are one string, {}",
                    quoted(&text)
                );
                self.note(item.line, name, message);
            }
            value.push(text);
        }
        Some(Given { value, line })
    }

    /// The pairs of a dict whose keys are strings; others are told of and left out.
    pub fn dict(&mut self, name: &str) -> Option<Given<Vec<(String, Item)>>> {
        let Given { value, line } = self.known(name)?;
        let items = match &value {
            Value::Container(id) if self.settings.heap.container(*id).kind == Kind::Dict => {
                self.settings.heap.container(*id).items().to_vec()
            }
            Value::None => Vec::new(),
            _ => {
                self.refuse(name, "a dict", &value, line);
                return None;
            }
        };
        let mut pairs = Vec::new();
        for item in items {
            match &item.key {
                Value::Text(key) => pairs.push((key.text.to_string(), item)),
                key => self.refuse(name, "a string as the key", key, item.line),
            }
        }
        Some(Given { value: pairs, line })
    }

    /// Puts a setting whose value holds a placeholder of Skyline's own file, or that
    /// cannot be used as it is: as a comment, and tells what to do.
    pub fn put_off(
        &mut self,
        section: &'static str,
        key: &'static str,
        value: String,
        origin: Origin<'_>,
        why: &str,
    ) {
        let entry = self.document.put(section, key, value, origin);
        entry.off = true;
        let name = entry.name();
        if let Some((from, line)) = origin.first() {
            let message = format!("{why}: {name} is left commented out, set it by hand");
            self.note(*line, from, message);
        }
    }

    /// Asks for a secret to be put into a file, since it is not printed.
    pub fn ask_for_secret(&mut self, name: &str, line: usize, path: &str) {
        let message = format!(
            "not printed: put the password as one line into {path}, which only Skyring's \
             user may read (mode 0600)"
        );
        self.note(line, name, message);
    }

    /// Puts a table of an array of tables, if it can be read back; else tells why not.
    /// A key that names a file is not judged, since that need not be there yet.
    pub fn put_table(
        &mut self,
        table: &'static str,
        keys: Vec<(&'static str, String)>,
        secret: bool,
        name: &str,
        line: usize,
    ) {
        let judged = keys.iter().filter(|(key, _)| *key != "password_file");
        let judged: Vec<String> = judged
            .map(|(key, value)| format!("{key} = {value}"))
            .collect();
        let set = format!("{table}=[{{ {} }}]", judged.join(", "));
        let faults = match Ours::load(None, &[set]) {
            Ok(_) => Vec::new(),
            Err(error) => error.faults,
        };
        let mut faults = faults.iter().filter(|fault| fault.key == table);
        if let Some(fault) = faults.next() {
            let message = format!("{table} is left out: {}", fault.message);
            return self.note(line, name, message);
        }
        self.document
            .put_table(table, keys, secret, &[(name, line)]);
    }
}

/// Whether `text` is, or was made from, a placeholder of Skyline's own file.
pub(super) fn is_placeholder(text: &str) -> bool {
    text.contains("YOUR_") || text.starts_with("YOURown")
}

/// Says that `text` is one.
pub(super) fn placeholder(text: &str) -> String {
    format!("it still is the placeholder {}", quoted(text))
}
