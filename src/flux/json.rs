//! JSON as Python's `json.loads` reads it, borrowed from its text, and as Python shows
//! what came of it.
//!
//! Skyline's answers repeat parts of a request as Python's `repr` and `str` write them,
//! and Python takes NaN and Infinity, keeps the order of keys and the digits of
//! integers: so numbers stay texts here.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::literal::{self, write_text};
use crate::wire::number;

/// Brackets within brackets, at most.
const DEPTH_MAX: u32 = 64;
/// Longest integer, in digits; Python refuses longer ones too.
const DIGITS_MAX: usize = 4300;

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

/// How many bytes of a text stand for themselves before a quote, a backslash or a
/// control character.
#[inline]
fn plain_bytes(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHS: u64 = ONES << 7;
    // Those below and including the lowest byte with its high bit set are exact.
    let less = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word;
    let (words, rest) = bytes.as_chunks();
    for (place, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let quotes = word ^ (ONES * u64::from(b'"'));
        let backslashes = word ^ (ONES * u64::from(b'\\'));
        let stops = (less(quotes, 1) | less(backslashes, 1) | less(word, b' ')) & HIGHS;
        if stops != 0 {
            return 8 * place + stops.trailing_zeros() as usize / 8;
        }
    }
    let is_plain = |byte: &&u8| !matches!(byte, b'"' | b'\\' | 0..b' ');
    8 * words.len() + rest.iter().take_while(is_plain).count()
}

/// How long the text without escapes is, or the number, with which bytes begin.
#[inline]
fn plain_value_bytes(bytes: &[u8]) -> Option<usize> {
    if let [b'"', text @ ..] = bytes {
        let length = plain_bytes(text);
        return (text.get(length) == Some(&b'"')).then_some(length + 2);
    }
    number_bytes(bytes)
}

/// How long the number is with which bytes begin, if it has neither exponent nor too
/// many digits.
#[inline]
fn number_bytes(bytes: &[u8]) -> Option<usize> {
    let first = usize::from(bytes.first() == Some(&b'-'));
    let whole = leading_digits(&bytes[first..]);
    let leads_with_zero = whole > 1 && bytes[first] == b'0';
    if whole == 0 || whole > DIGITS_MAX || leads_with_zero {
        return None;
    }
    let mut at = first + whole;
    if bytes.get(at) == Some(&b'.') {
        let digits = leading_digits(&bytes[at + 1..]);
        if digits == 0 {
            return None;
        }
        at += 1 + digits;
    }
    (!matches!(bytes.get(at), Some(b'e' | b'E'))).then_some(at)
}

/// How many digits bytes begin with.
#[inline]
fn leading_digits(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let (words, rest) = bytes.as_chunks();
    for (place, word) in words.iter().enumerate() {
        let digits = u64::from_le_bytes(*word) ^ (ONES * u64::from(b'0'));
        // The high bit of each byte that is over 9; the lowest is exact.
        let others = (digits.wrapping_add(ONES * 0x76) | digits) & (ONES << 7);
        if others != 0 {
            return 8 * place + others.trailing_zeros() as usize / 8;
        }
    }
    8 * words.len() + rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// Reads a text piece by piece, so that what is of a known form need not become a
/// [`Json`] first.
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
}

impl<'a> Reader<'a> {
    /// At the beginning of `text`.
    pub fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
        }
    }

    /// The byte that comes next, behind white space; 0 at the end.
    #[inline]
    pub fn peek(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                byte => return *byte,
            }
        }
        0
    }

    /// How far it has read.
    pub fn at(&self) -> usize {
        self.at
    }

    /// What was read since it was at `from`.
    pub fn since(&self, from: usize) -> &'a str {
        &self.text[from..self.at]
    }

    /// Nothing but white space may follow.
    ///
    /// # Errors
    ///
    /// When something does.
    pub fn end(&mut self) -> Result<(), NoJson> {
        self.peek();
        (self.at == self.text.len()).then_some(()).ok_or(NoJson)
    }

    /// Reads whatever comes next.
    ///
    /// # Errors
    ///
    /// When that is no value.
    pub fn value(&mut self) -> Result<Json<'a>, NoJson> {
        match self.peek() {
            b'"' => self.text().map(Json::Text),
            b'{' => {
                let mut items = Vec::new();
                self.dict(|key, reader| {
                    items.push((key, reader.value()?));
                    Ok(())
                })?;
                Ok(Json::Dict(items))
            }
            b'[' => {
                let mut items = Vec::new();
                self.list(|reader| {
                    items.push(reader.value()?);
                    Ok(())
                })?;
                Ok(Json::List(items))
            }
            b'n' => self.word("null", Json::Null),
            b't' => self.word("true", Json::Bool(true)),
            b'f' => self.word("false", Json::Bool(false)),
            b'N' => self.word("NaN", Json::Float("NaN")),
            b'I' => self.word("Infinity", Json::Float("Infinity")),
            _ => self.number(),
        }
    }

    /// Reads whatever comes next, but keeps of a list or an object only its text: what
    /// is nested may take many times the memory of the text.
    ///
    /// # Errors
    ///
    /// As [`Reader::value`].
    pub fn flat_value(&mut self) -> Result<Json<'a>, NoJson> {
        match self.peek() {
            b'{' | b'[' => self.passed().map(Json::Passed),
            _ => self.value(),
        }
    }

    /// Passes over whatever comes next: its text.
    ///
    /// # Errors
    ///
    /// As [`Reader::value`].
    #[inline]
    pub fn passed(&mut self) -> Result<&'a str, NoJson> {
        self.peek();
        let from = self.at;
        self.pass_over()?;
        Ok(self.since(from))
    }

    #[inline]
    fn pass_over(&mut self) -> Result<(), NoJson> {
        match self.peek() {
            b'"' => self.text().map(drop),
            b'0'..=b'9' | b'-' => self.number().map(drop),
            b'{' => self.dict(|_, reader| reader.pass_over()),
            b'[' => self.list(Self::pass_over),
            _ => self.value().map(drop),
        }
    }

    /// Reads an object, each value by `item`.
    ///
    /// # Errors
    ///
    /// When there is none, or `item` fails.
    pub fn dict(
        &mut self,
        mut item: impl FnMut(Cow<'a, str>, &mut Self) -> Result<(), NoJson>,
    ) -> Result<(), NoJson> {
        self.bracketed(b'{', b'}', |reader| {
            let key = match reader.peek() {
                b'"' => reader.text()?,
                _ => return Err(NoJson),
            };
            reader.take(b':')?;
            item(key, reader)
        })
    }

    /// Reads an object of plain texts and numbers under known keys, as nearly all that
    /// are sent many at a time are: `known` says which key it is with whose quoted text
    /// bytes begin, and how long that is; `item` is given each key and the text of its
    /// value. `None` if it is anything else; then nothing was read, and `item` may have
    /// been given some of it.
    #[inline]
    pub fn plain_dict<K>(
        &mut self,
        known: impl Fn(&[u8]) -> Option<(K, usize)>,
        mut item: impl FnMut(K, &'a str),
    ) -> Option<()> {
        let bytes = self.text.as_bytes();
        let blanks = |mut at: usize| {
            while matches!(bytes.get(at), Some(b' ' | b'\n' | b'\t' | b'\r')) {
                at += 1;
            }
            at
        };
        let mut at = blanks(self.at);
        if bytes.get(at) != Some(&b'{') {
            return None;
        }
        loop {
            at = blanks(at + 1);
            let (key, key_bytes) = known(bytes.get(at..)?)?;
            at = blanks(at + key_bytes);
            if bytes.get(at) != Some(&b':') {
                return None;
            }
            let from = blanks(at + 1);
            at = from + plain_value_bytes(bytes.get(from..)?)?;
            item(key, &self.text[from..at]);
            at = blanks(at);
            match bytes.get(at)? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
        self.at = at + 1;
        Some(())
    }

    /// Reads a list, each value by `item`.
    ///
    /// # Errors
    ///
    /// When there is none, or `item` fails.
    pub fn list(
        &mut self,
        item: impl FnMut(&mut Self) -> Result<(), NoJson>,
    ) -> Result<(), NoJson> {
        self.bracketed(b'[', b']', item)
    }

    fn bracketed(
        &mut self,
        open: u8,
        close: u8,
        mut item: impl FnMut(&mut Self) -> Result<(), NoJson>,
    ) -> Result<(), NoJson> {
        self.take(open)?;
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(NoJson);
        }
        if self.peek() != close {
            loop {
                item(self)?;
                match self.peek() {
                    b',' => self.at += 1,
                    _ => break,
                }
            }
        }
        self.depth -= 1;
        self.take(close)
    }

    fn take(&mut self, wanted: u8) -> Result<(), NoJson> {
        if self.peek() != wanted {
            return Err(NoJson);
        }
        self.at += 1;
        Ok(())
    }

    fn word(&mut self, word: &str, value: Json<'a>) -> Result<Json<'a>, NoJson> {
        if !self.text[self.at..].starts_with(word) {
            return Err(NoJson);
        }
        self.at += word.len();
        Ok(value)
    }

    #[inline]
    fn number(&mut self) -> Result<Json<'a>, NoJson> {
        let from = self.at;
        let negative = self.next_is(b'-');
        if negative && self.text[self.at..].starts_with("Infinity") {
            self.at += "Infinity".len();
            return Ok(Json::Float("-Infinity"));
        }
        let first = self.at;
        let whole = self.digits();
        let leads_with_zero = whole > 1 && self.text.as_bytes()[first] == b'0';
        if whole == 0 || leads_with_zero {
            return Err(NoJson);
        }
        let mut is_float = false;
        if self.next_is(b'.') {
            is_float = true;
            if self.digits() == 0 {
                return Err(NoJson);
            }
        }
        if self.next_is(b'e') || self.next_is(b'E') {
            is_float = true;
            let _ = self.next_is(b'+') || self.next_is(b'-');
            if self.digits() == 0 {
                return Err(NoJson);
            }
        }
        let text = &self.text[from..self.at];
        match is_float {
            true => Ok(Json::Float(text)),
            false if whole > DIGITS_MAX => Err(NoJson),
            false => Ok(Json::Int(text)),
        }
    }

    fn next_is(&mut self, byte: u8) -> bool {
        let is_next = self.text.as_bytes().get(self.at) == Some(&byte);
        self.at += usize::from(is_next);
        is_next
    }

    #[inline]
    fn digits(&mut self) -> usize {
        let count = leading_digits(&self.text.as_bytes()[self.at..]);
        self.at += count;
        count
    }

    /// Reads a text; its quote comes next.
    #[inline]
    fn text(&mut self) -> Result<Cow<'a, str>, NoJson> {
        let from = self.at + 1;
        let to = from + plain_bytes(&self.text.as_bytes()[from..]);
        self.at = to + 1;
        match self.text.as_bytes().get(to) {
            Some(b'"') => Ok(Cow::Borrowed(&self.text[from..to])),
            Some(b'\\') => self.text_with_escapes(from).map(Cow::Owned),
            _ => Err(NoJson),
        }
    }

    /// The same from `from` on, its first backslash just passed.
    #[inline(never)]
    fn text_with_escapes(&mut self, from: usize) -> Result<String, NoJson> {
        let mut text = self.text[from..self.at - 1].to_owned();
        loop {
            text.push(self.escaped()?);
            let from = self.at;
            let to = from + plain_bytes(&self.text.as_bytes()[from..]);
            text.push_str(&self.text[from..to]);
            self.at = to + 1;
            match self.text.as_bytes().get(to) {
                Some(b'"') => return Ok(text),
                Some(b'\\') => {}
                _ => return Err(NoJson),
            }
        }
    }

    /// What follows a backslash.
    fn escaped(&mut self) -> Result<char, NoJson> {
        let byte = self.text.as_bytes().get(self.at).copied();
        self.at += 1;
        Ok(match byte.ok_or(NoJson)? {
            byte @ (b'"' | b'\\' | b'/') => byte.into(),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unit_pair(),
            _ => return Err(NoJson),
        })
    }

    /// One character from one or two UTF-16 units; half of a pair is none.
    fn unit_pair(&mut self) -> Result<char, NoJson> {
        let mut units = vec![self.unit()?];
        if (0xd800..0xdc00).contains(&units[0]) {
            if !self.text[self.at..].starts_with("\\u") {
                return Err(NoJson);
            }
            self.at += 2;
            units.push(self.unit()?);
        }
        let mut chars = char::decode_utf16(units);
        chars.next().and_then(Result::ok).ok_or(NoJson)
    }

    fn unit(&mut self) -> Result<u16, NoJson> {
        let digits = self.text.get(self.at..self.at + 4).ok_or(NoJson)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NoJson);
        }
        self.at += 4;
        u16::from_str_radix(digits, 16).map_err(|_| NoJson)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(json: &Json<'_>) -> serde_json::Value {
        match json {
            Json::Null => serde_json::Value::Null,
            Json::Bool(truth) => (*truth).into(),
            Json::Int(text) | Json::Float(text) => serde_json::from_str(text).unwrap(),
            Json::Text(text) => text.as_ref().into(),
            Json::Passed(text) => value(&Json::read(text)),
            Json::List(items) => items.iter().map(value).collect(),
            Json::Dict(items) => {
                let items = items.iter();
                items
                    .map(|(key, item)| (key.to_string(), value(item)))
                    .collect()
            }
        }
    }

    fn any_value() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                prop::collection::vec((any::<String>(), inner), 0..6)
                    .prop_map(|items| items.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_serde_json_writes_is_read(wanted in any_value(), is_pretty: bool) {
            let text = match is_pretty {
                true => serde_json::to_string_pretty(&wanted).unwrap(),
                false => wanted.to_string(),
            };
            let passed = Reader::new(&text).flat_value().unwrap();
            prop_assert_eq!(value(&passed), wanted.clone());
            prop_assert_eq!(value(&Json::parse(&text).unwrap()), wanted);
        }

        // Whatever comes, and also what is nearly right, is read as serde_json reads
        // it, or refused.
        #[test]
        fn anything_else_is_judged_as_serde_json_does(
            text in "[\\[\\]{}\",: \\\\0-9eE+.a-f\n-]{0,24}",
        ) {
            let ours = Json::parse(&text);
            match serde_json::from_str::<serde_json::Value>(&text) {
                Ok(theirs) => prop_assert_eq!(value(&ours.unwrap()), theirs),
                // A double that is too large is infinite in Python.
                Err(error) if error.to_string().contains("out of range") => {}
                Err(error) => prop_assert!(ours.is_err(), "{} {:?}", error, ours),
            }
        }

        // The quick reading of an object is the careful one, and leaves what it cannot
        // read where it was.
        #[test]
        fn plain_objects_are_read_as_all_are(
            text in "[{] ?(\"(a|metric|\u{e9}|\\\\n|\n)?\" ?: ?(-?[0-9]{0,20}[.]?[0-9]{0,9}|\"[a-z.]{0,20}\"|1e5|true|[{][}]) ?,? ?){0,4}[}]?x?",
        ) {
            let (mut quick, mut careful) = (Reader::new(&text), Reader::new(&text));
            let (mut found, mut expected) = (Vec::new(), Vec::new());
            let known = |bytes: &[u8]| {
                let fits = |key: &&str| bytes.starts_with(format!("\"{key}\"").as_bytes());
                let key = ["", "a", "metric", "\u{e9}"].into_iter().find(fits)?;
                Some((key, key.len() + 2))
            };
            match quick.plain_dict(known, |key, value| found.push((key.to_owned(), value))) {
                Some(()) => {
                    careful.dict(|key, reader| {
                        expected.push((key.into_owned(), reader.passed()?));
                        Ok(())
                    }).unwrap();
                    prop_assert_eq!(found, expected);
                    prop_assert_eq!(quick.at(), careful.at());
                }
                None => prop_assert_eq!(quick.at(), 0),
            }
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = Json::parse(&text).map(|json| json.repr());
        }
    }

    #[test]
    fn what_python_takes_besides_is_taken() {
        for (text, repr) in [
            ("NaN", "nan"),
            ("[Infinity, -Infinity]", "[inf, -inf]"),
            ("1e400", "inf"),
            (
                "123456789012345678901234567890",
                "123456789012345678901234567890",
            ),
            ("-0", "0"),
            ("-0.0", "-0.0"),
            ("{\"a\": 1, \"b\": 2, \"a\": 3}", "{'a': 3, 'b': 2}"),
        ] {
            assert_eq!(
                Json::parse(text).map(|json| json.repr()),
                Ok(repr.to_owned())
            );
        }
        for text in [
            "",
            "nan",
            "-",
            "01",
            "1.",
            ".5",
            "'a'",
            "[1,]",
            "\"\t\"",
            "\"\\ud800\"",
            "1 2",
        ] {
            assert_eq!(Json::parse(text), Err(NoJson), "{text}");
        }
    }

    // Deeper nesting would be paid with the stack.
    #[test]
    fn deep_nesting_is_refused() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(Json::parse(&nested(64)).is_ok());
        assert_eq!(Json::parse(&nested(65)), Err(NoJson));
        assert_eq!(Json::parse(&"{\"a\":".repeat(100_000)), Err(NoJson));
    }
}
