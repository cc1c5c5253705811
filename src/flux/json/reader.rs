//! Reads JSON piece by piece.

use std::borrow::Cow;

use super::{Json, NoJson};
use crate::wire::number;

/// Brackets within brackets, at most.
const DEPTH_MAX: u32 = 64;
/// Longest integer, in digits; Python refuses longer ones too.
const DIGITS_MAX: usize = 4300;

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

/// The finite number with which a text begins, and how long it is.
#[inline]
pub fn leading_number(text: &str) -> Option<(f64, usize)> {
    if let Some(number) = number::leading(text.as_bytes()) {
        return Some((number.value, number.bytes));
    }
    let (length, _) = number_bytes(text.as_bytes())?;
    let value: f64 = text[..length].parse().ok()?;
    value.is_finite().then_some((value, length))
}

/// How long the number is with which bytes begin, and whether it is a float.
#[inline]
fn number_bytes(bytes: &[u8]) -> Option<(usize, bool)> {
    let first = usize::from(bytes.first() == Some(&b'-'));
    let whole = leading_digits(&bytes[first..]);
    let leads_with_zero = whole > 1 && bytes[first] == b'0';
    if whole == 0 || leads_with_zero {
        return None;
    }
    let mut at = first + whole;
    let mut is_float = false;
    if bytes.get(at) == Some(&b'.') {
        let digits = leading_digits(&bytes[at + 1..]);
        if digits == 0 {
            return None;
        }
        at += 1 + digits;
        is_float = true;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        at += 1 + usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let digits = leading_digits(&bytes[at..]);
        if digits == 0 {
            return None;
        }
        at += digits;
        is_float = true;
    }
    (is_float || whole <= DIGITS_MAX).then_some((at, is_float))
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

    /// Reads an object of a known form, as nearly all that are sent many at a time are:
    /// `known` says which key it is with whose quoted text bytes begin, and how long that
    /// is; `value` is given each key and a text that begins with its value, and says how
    /// long that is. `None` if either does not know; then nothing was read, and `value`
    /// may have been given some of it.
    #[inline]
    pub fn plain_dict<K>(
        &mut self,
        known: impl Fn(&[u8]) -> Option<(K, usize)>,
        mut value: impl FnMut(K, &'a str) -> Option<usize>,
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
            at = blanks(from + value(key, self.text.get(from..)?)?);
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
        let rest = &self.text[self.at..];
        if rest.starts_with("-I") {
            return self.word("-Infinity", Json::Float("-Infinity"));
        }
        let (length, is_float) = number_bytes(rest.as_bytes()).ok_or(NoJson)?;
        self.at += length;
        let text = &rest[..length];
        Ok(if is_float {
            Json::Float(text)
        } else {
            Json::Int(text)
        })
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
