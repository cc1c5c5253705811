//! Python literals, in which Skyline's programs leave structures in Redis: as
//! Python's `repr` writes them, and `ast.literal_eval` reads them.

use std::borrow::Cow;
use std::fmt::Write;

use serde_json::{Map, Value};

/// Longest text that is looked at, in bytes.
pub(crate) const TEXT_BYTES_MAX: usize = 1 << 16;
/// Brackets within brackets, at most.
const DEPTH_MAX: u32 = 16;

/// Why a text is not what was wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("longer than {TEXT_BYTES_MAX} bytes")]
    TooLong,
    #[error("not a literal of texts and numbers")]
    Syntax,
    #[error("neither a dict of metric, value and timestamp nor a list of name, value, timestamp")]
    Shape,
    #[error("a value or timestamp that is no finite number")]
    NotFinite,
}

/// Reads a literal of texts, numbers, constants, lists, tuples (which become arrays)
/// and dicts, whose keys that are no texts become texts. Numbers that JSON does not
/// have (`nan`, `inf`) become null.
///
/// # Errors
///
/// [`Fault::TooLong`], or [`Fault::Syntax`] for whatever else a text may be.
pub(crate) fn parse(text: &str) -> Result<Value, Fault> {
    parse_within(text, TEXT_BYTES_MAX)
}

/// The same of a text that may be as long as this.
pub(crate) fn parse_within(text: &str, bytes_max: usize) -> Result<Value, Fault> {
    if text.len() > bytes_max {
        return Err(Fault::TooLong);
    }
    let mut scanner = Scanner { rest: text };
    let value = scanner.value(DEPTH_MAX)?;
    scanner.skip_blanks();
    if scanner.rest.is_empty() {
        Ok(value)
    } else {
        Err(Fault::Syntax)
    }
}

/// What Python's `repr` writes of the same.
pub(crate) fn repr(value: &Value) -> String {
    let mut out = String::new();
    write_repr(&mut out, value);
    out
}

fn write_repr(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => out.push_str(&float_repr(float)),
            _ => out.push_str(&number.to_string()),
        },
        Value::String(text) => write_text(out, text),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                write_repr(out, item);
            }
            out.push(']');
        }
        Value::Object(items) => {
            out.push('{');
            for (at, (key, item)) in items.iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                write_text(out, key);
                out.push_str(": ");
                write_repr(out, item);
            }
            out.push('}');
        }
    }
}

/// A float as Python writes it: the fewest digits that are read as the same, and an
/// exponent of two digits at least, from 1e16 on and below 1e-4.
pub(crate) fn float_repr(float: f64) -> String {
    let size = float.abs();
    if size == 0.0 || (1e-4..1e16).contains(&size) {
        return format!("{float:?}");
    }
    let text = format!("{float:e}");
    match text.split_once('e') {
        Some((digits, exponent)) => match exponent.strip_prefix('-') {
            Some(exponent) => format!("{digits}e-{exponent:0>2}"),
            None => format!("{digits}e+{exponent:0>2}"),
        },
        // Neither infinity nor NaN has one.
        None => text.to_lowercase(),
    }
}

/// A text as Python's `repr` writes it.
pub(crate) fn write_text(out: &mut String, text: &str) {
    let quote = match text.contains('\'') && !text.contains('"') {
        true => '"',
        false => '\'',
    };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            ' '..='~' => out.push(c),
            c if is_printable(c) => out.push(c),
            c => {
                let code = c as u32;
                // Writing to a string does not fail.
                let _ = match code {
                    ..=0xff => write!(out, "\\x{code:02x}"),
                    0x100..=0xffff => write!(out, "\\u{code:04x}"),
                    _ => write!(out, "\\U{code:08x}"),
                };
            }
        }
    }
    out.push(quote);
}

/// Whether Python shows a character that is not ASCII as it is. Rust judges by the same
/// categories, but for the first character of a text, which may be a mark.
fn is_printable(c: char) -> bool {
    let text: String = ['a', c].iter().collect();
    c as u32 > 0x7f && text.escape_debug().nth(1) == Some(c)
}

pub(crate) enum Scalar<'a> {
    Text(Cow<'a, str>),
    Int(&'a str),
    Float(&'a str),
    Constant(&'a str),
}

impl Scalar<'_> {
    /// A number, or a text that holds one, as carbon takes it.
    pub fn number(&self) -> Result<f64, Fault> {
        let text = match self {
            Self::Int(text) | Self::Float(text) => text,
            Self::Text(text) => text.as_ref(),
            Self::Constant("True") => "1",
            Self::Constant("False") => "0",
            Self::Constant(_) => return Err(Fault::Shape),
        };
        match text.parse::<f64>() {
            // An integer has no negative zero.
            Ok(number) if number == 0.0 && matches!(self, Self::Int(_)) => Ok(0.0),
            Ok(number) if number.is_finite() => Ok(number),
            Ok(_) => Err(Fault::NotFinite),
            Err(_) => Err(Fault::Shape),
        }
    }

    fn json(&self) -> Result<Value, Fault> {
        Ok(match self {
            Self::Text(text) => Value::from(text.as_ref()),
            Self::Int(text) => match (text.parse::<i64>(), text.parse::<u64>()) {
                (Ok(number), _) => Value::from(number),
                (_, Ok(number)) => Value::from(number),
                _ => Value::from(self.number()?),
            },
            Self::Float(_) => self.number().map_or(Value::Null, Value::from),
            Self::Constant(word) => match *word {
                "True" => Value::Bool(true),
                "False" => Value::Bool(false),
                _ => Value::Null,
            },
        })
    }

    pub fn whole_seconds(&self) -> Result<i64, Fault> {
        if let Self::Int(text) = self {
            return text.parse().map_err(|_| Fault::NotFinite);
        }
        let seconds = self.number()?.trunc();
        // Both bounds are powers of two, which a float holds exactly.
        if (-(2_f64.powi(63))..2_f64.powi(63)).contains(&seconds) {
            Ok(seconds as i64)
        } else {
            Err(Fault::NotFinite)
        }
    }
}

/// Takes a text apart from its front.
pub(crate) struct Scanner<'a> {
    /// What is left of it.
    pub rest: &'a str,
}

impl<'a> Scanner<'a> {
    /// The next character, which is taken.
    pub fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next();
        self.rest = chars.as_str();
        next
    }

    pub fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    /// Takes one of these, if that comes next.
    pub fn take_sign(&mut self, signs: &[char]) -> bool {
        let rest = self.rest.strip_prefix(signs);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// The same, behind any blanks.
    pub fn take(&mut self, wanted: char) -> bool {
        self.skip_blanks();
        self.take_sign(&[wanted])
    }

    /// Takes digits; how many there were.
    fn take_digits(&mut self) -> usize {
        let rest = self.rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let count = self.rest.len() - rest.len();
        self.rest = rest;
        count
    }

    /// A literal, with brackets at most so deep.
    fn value(&mut self, depth: u32) -> Result<Value, Fault> {
        self.skip_blanks();
        match self.rest.chars().next() {
            Some('{' | '[' | '(') if depth == 0 => Err(Fault::Syntax),
            Some('{') => {
                self.next();
                self.map(depth - 1).map(Value::Object)
            }
            Some(open @ ('[' | '(')) => {
                self.next();
                let close = if open == '[' { ']' } else { ')' };
                self.array(close, depth - 1).map(Value::Array)
            }
            _ => match self.scalar() {
                Ok(scalar) => scalar.json(),
                Err(Fault::NotFinite) => {
                    let end = self.rest.find(|c: char| !is_word(c));
                    self.rest = &self.rest[end.unwrap_or(self.rest.len())..];
                    Ok(Value::Null)
                }
                Err(fault) => Err(fault),
            },
        }
    }

    /// What follows a `{`. As in Python the last of equal keys wins.
    fn map(&mut self, depth: u32) -> Result<Map<String, Value>, Fault> {
        let mut items = Map::new();
        while !self.take('}') {
            let key = match self.value(depth)? {
                Value::String(key) => key,
                key => repr(&key),
            };
            if !self.take(':') {
                return Err(Fault::Syntax);
            }
            items.insert(key, self.value(depth)?);
            if !self.take(',') {
                return self.take('}').then_some(items).ok_or(Fault::Syntax);
            }
        }
        Ok(items)
    }

    /// What follows the bracket of a list or tuple.
    fn array(&mut self, close: char, depth: u32) -> Result<Vec<Value>, Fault> {
        let mut items = Vec::new();
        while !self.take(close) {
            items.push(self.value(depth)?);
            if !self.take(',') {
                return self.take(close).then_some(items).ok_or(Fault::Syntax);
            }
        }
        Ok(items)
    }

    pub fn scalar(&mut self) -> Result<Scalar<'a>, Fault> {
        self.skip_blanks();
        match self.rest.chars().next() {
            Some(quote @ ('\'' | '"')) => {
                self.next();
                self.text(quote).map(Scalar::Text)
            }
            Some('-' | '.' | '0'..='9') => self.number(),
            _ => {
                let end = self.rest.find(|c: char| !is_word(c));
                let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
                self.rest = rest;
                match word {
                    "None" | "True" | "False" => Ok(Scalar::Constant(word)),
                    "nan" | "inf" => Err(Fault::NotFinite),
                    _ => Err(Fault::Syntax),
                }
            }
        }
    }

    fn number(&mut self) -> Result<Scalar<'a>, Fault> {
        let text = self.rest;
        self.take_sign(&['-']);
        if self.rest.starts_with("inf") {
            return Err(Fault::NotFinite);
        }
        let unsigned = self.rest;
        let whole = self.take_digits();
        let has_point = self.take_sign(&['.']);
        let fraction = if has_point { self.take_digits() } else { 0 };
        let has_exponent = self.take_sign(&['e', 'E']);
        if has_exponent {
            self.take_sign(&['+', '-']);
        }
        if whole + fraction == 0 || (has_exponent && self.take_digits() == 0) {
            return Err(Fault::Syntax);
        }
        // Neither 1_000 nor 0x10 nor 1j: no program writes a value so.
        if self.rest.starts_with(is_word) {
            return Err(Fault::Syntax);
        }
        let text = &text[..text.len() - self.rest.len()];
        if has_point || has_exponent {
            return Ok(Scalar::Float(text));
        }
        let whole = &unsigned[..whole];
        if whole.starts_with('0') && whole.contains(|digit| digit != '0') {
            return Err(Fault::Syntax);
        }
        Ok(Scalar::Int(text))
    }

    /// What follows an opening quote, up to the closing one.
    fn text(&mut self, quote: char) -> Result<Cow<'a, str>, Fault> {
        let is_special = |c: char| c == quote || matches!(c, '\\' | '\n' | '\r' | '\0');
        let mut text = Cow::Borrowed("");
        loop {
            let at = self.rest.find(is_special).ok_or(Fault::Syntax)?;
            let (plain, rest) = self.rest.split_at(at);
            self.rest = rest;
            if text.is_empty() {
                text = Cow::Borrowed(plain);
            } else {
                text.to_mut().push_str(plain);
            }
            match self.next() {
                Some('\\') => text.to_mut().push(self.escape()?),
                Some(c) if c == quote => return Ok(text),
                _ => return Err(Fault::Syntax),
            }
        }
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Result<char, Fault> {
        let digits = match self.next() {
            Some(c @ ('\\' | '\'' | '"')) => return Ok(c),
            Some('n') => return Ok('\n'),
            Some('r') => return Ok('\r'),
            Some('t') => return Ok('\t'),
            Some('x') => 2,
            Some('u') => 4,
            Some('U') => 8,
            _ => return Err(Fault::Syntax),
        };
        let hex = self.rest.get(..digits).ok_or(Fault::Syntax)?;
        if !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Fault::Syntax);
        }
        self.rest = &self.rest[digits..];
        let code = u32::from_str_radix(hex, 16).map_err(|_| Fault::Syntax)?;
        // Half of a surrogate pair is no character, and no name that can be sent.
        char::from_u32(code).ok_or(Fault::Syntax)
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn nested_literals_are_read_as_python_reads_them() {
        for (text, wanted) in [
            (
                "{'a': [1, (2.5, None), {'b': \"it's\"}], 'c': True,}",
                json!({"a": [1, [2.5, null], {"b": "it's"}], "c": true}),
            ),
            (
                "[['code', '5..'], ('le', '*')]",
                json!([["code", "5.."], ["le", "*"]]),
            ),
            (" [nan, -inf, inf] ", json!([null, null, null])),
            ("{1: 'x'}", json!({"1": "x"})),
            ("'\\x41\\u00e4'", json!("A\u{e4}")),
        ] {
            assert_eq!(parse(text), Ok(wanted), "{text}");
        }
        for bad in [
            "",
            "[",
            "[1",
            "{'a'}",
            "{'a': }",
            "[1] 2",
            "a",
            "open('x')",
            "[1 2]",
        ] {
            assert_eq!(parse(bad), Err(Fault::Syntax), "{bad}");
        }
        assert_eq!(parse(&"[".repeat(100_000)), Err(Fault::TooLong));
        assert_eq!(parse(&"[".repeat(1000)), Err(Fault::Syntax));
    }

    // The expected texts are those of Python 3.11's `repr`.
    #[test]
    fn what_is_written_is_as_pythons() {
        for (value, wanted) in [
            (
                json!({"a": [1, 2.5, null, true], "it's": "\"'\n\\"}),
                r#"{'a': [1, 2.5, None, True], "it's": '"\'\n\\'}"#,
            ),
            (
                json!([1e16, 1.5e300, 1e-5, 0.0001, 100.0, -0.0]),
                "[1e+16, 1.5e+300, 1e-05, 0.0001, 100.0, -0.0]",
            ),
        ] {
            assert_eq!(repr(&value), wanted);
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec((any::<String>(), inner), 0..6)
                    .prop_map(|items| items.into_iter().collect::<Map<_, _>>().into()),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value in any_value()) {
            prop_assert_eq!(parse(&repr(&value)), Ok(value));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            let _ = parse(&text);
        }
    }
}
