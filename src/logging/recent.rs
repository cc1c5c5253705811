//! The last warnings and errors, for those who look at the page and not at the log.

use std::fmt::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::printable;

/// Faults that are kept: of each kind the last.
const KEPT: usize = 50;
/// Longest text of a fault, in bytes before what is escaped.
const TEXT_BYTES_MAX: usize = 400;

/// Something that was logged as a warning or an error, once or often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// `error` or `warn`.
    pub level: &'static str,
    /// What has happened.
    pub message: String,
    /// The fields of the last time, `name=value`.
    pub fields: String,
    /// What mends it; empty where nothing is known to.
    pub mend: String,
    /// How often it has happened, as far as was counted.
    pub count: u64,
    /// First time, in seconds since 1970.
    pub first_s: u64,
    /// Last time.
    pub last_s: u64,
}

static FAULTS: Faults = Faults::new();

/// The last faults of this process, newest first.
pub fn faults() -> Vec<Fault> {
    FAULTS.list()
}

/// Keeps each event of the levels warn and error.
pub(super) struct Keep;

impl<S: Subscriber> Layer<S> for Keep {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warn",
            _ => return,
        };
        let mut text = Text::default();
        event.record(&mut text);
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let now_s = since.unwrap_or_default().as_secs();
        FAULTS.note(Fault {
            level,
            message: shown(&text.message),
            fields: shown(&text.fields),
            mend: shown(&text.mend),
            count: 1 + text.suppressed,
            first_s: now_s,
            last_s: now_s,
        });
    }
}

/// Faults by what they say, the newest last.
struct Faults(Mutex<Vec<Fault>>);

impl Faults {
    const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    fn note(&self, mut fault: Fault) {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |known: &Fault| known.message == fault.message && known.level == fault.level;
        if let Some(at) = faults.iter().position(is_same) {
            let known = faults.remove(at);
            fault.count += known.count;
            fault.first_s = known.first_s;
        } else if faults.len() == KEPT {
            faults.remove(0);
        }
        faults.push(fault);
    }

    fn list(&self) -> Vec<Fault> {
        let faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        faults.iter().rev().cloned().collect()
    }
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
    mend: String,
    suppressed: u64,
}

impl Visit for Text {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "suppressed" {
            self.suppressed = value;
        } else {
            self.record_debug(field, &value);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "mend" {
            self.mend = value.to_owned();
        } else {
            self.record_debug(field, &format_args!("{value}"));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => {
                let gap = if self.fields.is_empty() { "" } else { " " };
                write!(self.fields, "{gap}{name}={value:?}")
            }
        };
    }
}

fn shown(text: &str) -> String {
    let end = text.floor_char_boundary(TEXT_BYTES_MAX);
    let cut = if end < text.len() { "\u{2026}" } else { "" };
    format!("{}{cut}", printable(&text[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(message: &str, at: u64) -> Fault {
        Fault {
            level: "warn",
            message: message.to_owned(),
            fields: String::new(),
            mend: String::new(),
            count: 1,
            first_s: at,
            last_s: at,
        }
    }

    #[test]
    fn the_same_again_is_counted_and_newest_come_first() {
        let faults = Faults::new();
        for (message, at) in [("a", 1), ("b", 2), ("a", 3)] {
            faults.note(fault(message, at));
        }
        let list = faults.list();
        let told: Vec<_> = list.iter().map(|f| (&*f.message, f.count)).collect();
        assert_eq!(told, [("a", 2), ("b", 1)]);
        assert_eq!((list[0].first_s, list[0].last_s), (1, 3));
    }

    #[test]
    fn they_are_bounded_in_number_and_length() {
        let faults = Faults::new();
        for n in 0..1000 {
            faults.note(fault(&n.to_string(), n));
        }
        let list = faults.list();
        assert_eq!((list.len(), &*list[0].message), (KEPT, "999"));
        let long = shown(&"\u{9b}\u{e9}".repeat(100_000));
        assert!(long.len() < 8 * TEXT_BYTES_MAX && long.ends_with('\u{2026}'));
        assert!(!long.contains('\u{9b}'));
    }
}
