//! JSON as Python's `json.loads` reads it, borrowed from its text, and as Python shows
//! what came of it.
//!
//! Skyline's answers repeat parts of a request as Python's `repr` and `str` write them,
//! and Python takes NaN and Infinity, keeps the order of keys and the digits of
//! integers: so numbers stay texts here.

mod reader;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashMap;

use crate::literal::{self, write_text};
use crate::wire::number;

pub use reader::{Reader, leading_number};

/// The text is no JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoJson;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Json<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// Digits only, with or without a minus.
    Int(&'a str),
    /// Any other number, `NaN`, `Infinity` or `-Infinity`.
    Float(&'a str),
    /// A text.
    Text(Cow<'a, str>),
    /// A list.
    List(Vec<Json<'a>>),
    /// An object, with all its keys in their order; of equal ones the last counts.
    Dict(Vec<(Cow<'a, str>, Json<'a>)>),
    /// A list or an object that was only passed over.
    Passed(&'a str),
}

impl<'a> Json<'a> {
    /// Reads a whole text.
    ///
    /// # Errors
    ///
    /// When it is none, or is nested deeper than 64 brackets.
    pub fn parse(text: &'a str) -> Result<Self, NoJson> {
        let mut reader = Reader::new(text);
        let value = reader.value()?;
        reader.end()?;
        Ok(value)
    }

    /// The value of a key, if this is an object that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let Self::Dict(items) = self else {
            return None;
        };
        let mut items = items.iter().rev();
        items.find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// What was passed over, read after all.
    fn read(text: &str) -> Json<'_> {
        Json::parse(text).unwrap_or(Json::Null)
    }

    /// Whether Python takes it for true.
    pub fn is_true(&self) -> bool {
        match self {
            Self::Passed(text) => Json::read(text).is_true(),
            Self::Null => false,
            Self::Bool(truth) => *truth,
            Self::Int(_) | Self::Float(_) => self.number() != Some(0.0),
            Self::Text(text) => !text.is_empty(),
            Self::List(items) => !items.is_empty(),
            Self::Dict(items) => !items.is_empty(),
        }
    }

    /// Whether it is a text or a number.
    pub fn is_text_or_number(&self) -> bool {
        matches!(self, Self::Text(_) | Self::Int(_) | Self::Float(_))
    }

    /// Whether it is a text with nothing in it.
    pub fn is_empty_text(&self) -> bool {
        matches!(self, Self::Text(text) if text.is_empty())
    }

    /// The number, if it is one; infinite where a double is.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Int(text) | Self::Float(text) => float(text),
            _ => None,
        }
    }

    /// As Python's `str` writes it.
    pub fn to_text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            _ => Cow::Owned(self.repr()),
        }
    }

    /// As Python's `repr` writes it.
    pub fn repr(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Passed(text) => Json::read(text).write(out),
            Self::Null => out.push_str("None"),
            Self::Bool(true) => out.push_str("True"),
            Self::Bool(false) => out.push_str("False"),
            Self::Int("-0") => out.push('0'),
            Self::Int(text) => out.push_str(text),
            Self::Float(text) => {
                let float = float(text).unwrap_or(f64::NAN);
                out.push_str(&literal::float_repr(float));
            }
            Self::Text(text) => write_text(out, text),
            Self::List(items) => {
                out.push('[');
                for (place, item) in items.iter().enumerate() {
                    out.push_str(if place > 0 { ", " } else { "" });
                    item.write(out);
                }
                out.push(']');
            }
            Self::Dict(items) => write_dict(out, items),
        }
    }
}

/// Keys that come more than once have the place of the first and the value of the
/// last.
fn write_dict(out: &mut String, items: &[(Cow<'_, str>, Json<'_>)]) {
    let mut last: HashMap<&str, &Json<'_>> = HashMap::new();
    for (key, value) in items {
        last.insert(key, value);
    }
    let mut separator = "";
    out.push('{');
    for (key, _) in items {
        if let Some(value) = last.remove(&**key) {
            out.push_str(separator);
            write_text(out, key);
            out.push_str(": ");
            value.write(out);
            separator = ", ";
        }
    }
    out.push('}');
}

#[inline]
fn float(text: &str) -> Option<f64> {
    number::short(text.as_bytes()).map_or_else(|| careful_float(text), |it| Some(it.as_f64()))
}

fn careful_float(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        text => text.parse().ok(),
    }
}
