//! The texts in which Skyline's programs leave points in Redis: Python literals, as
//! Python's `repr` writes them, of two shapes.
//!
//! ```text
//! {'metric': 'a.b', 'value': 1.5, 'timestamp': 1700000000}
//! ['a.b', 1.5, 1700000000]
//! ```
//!
//! Whatever is read here, Python's `ast.literal_eval` reads as the same; but of what
//! that reads, this reads only texts, numbers and constants, in a dict, a list or a
//! tuple, without nesting.

use std::borrow::Cow;

use crate::point::Number;
use crate::shard::OwnedPoint;

/// Longest text that is looked at, in bytes.
const TEXT_BYTES_MAX: usize = 1 << 16;

/// Why a text is no point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("longer than {TEXT_BYTES_MAX} bytes")]
    TooLong,
    #[error("not a literal of texts and numbers")]
    Syntax,
    #[error("neither a dict of metric, value and timestamp nor a list of name, value, timestamp")]
    Shape,
    #[error("a value or timestamp that is no finite number")]
    NotFinite,
}

/// Reads a point: its timestamp as whole seconds, its value as a float.
pub(super) fn parse(text: &[u8]) -> Result<OwnedPoint, Fault> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Fault::TooLong);
    }
    let text = std::str::from_utf8(text).map_err(|_| Fault::Syntax)?;
    let mut scanner = Scanner {
        rest: text.trim_start_matches([' ', '\t']),
    };
    let [name, value, timestamp] = match scanner.next() {
        Some('{') => scanner.dict()?,
        Some('[') => scanner.items(']')?,
        Some('(') => scanner.items(')')?,
        _ => return Err(Fault::Syntax),
    };
    scanner.skip_blanks();
    if !scanner.rest.is_empty() {
        return Err(Fault::Syntax);
    }
    let (Some(Scalar::Text(name)), Some(value), Some(timestamp)) = (name, value, timestamp) else {
        return Err(Fault::Shape);
    };
    if name.is_empty() {
        return Err(Fault::Shape);
    }
    Ok(OwnedPoint {
        name: name.into_owned(),
        timestamp: Number::Int(timestamp.whole_seconds()?),
        value: Number::Float(value.number()?),
    })
}

enum Scalar<'a> {
    Text(Cow<'a, str>),
    Int(&'a str),
    Float(&'a str),
    Constant(&'a str),
}

impl Scalar<'_> {
    /// A number, or a text that holds one, as carbon takes it.
    fn number(&self) -> Result<f64, Fault> {
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

    fn whole_seconds(&self) -> Result<i64, Fault> {
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

struct Scanner<'a> {
    rest: &'a str,
}

type Parts<'a> = [Option<Scalar<'a>>; 3];

impl<'a> Scanner<'a> {
    /// The next character, which is taken.
    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next();
        self.rest = chars.as_str();
        next
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    /// Takes one of these, if that comes next.
    fn take_sign(&mut self, signs: &[char]) -> bool {
        let rest = self.rest.strip_prefix(signs);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// The same, behind any blanks.
    fn take(&mut self, wanted: char) -> bool {
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

    /// What follows a `{`. As in Python the last of equal keys wins.
    fn dict(&mut self) -> Result<Parts<'a>, Fault> {
        let mut parts = [None, None, None];
        while !self.take('}') {
            let key = self.scalar()?;
            if !self.take(':') {
                return Err(Fault::Syntax);
            }
            let value = self.scalar()?;
            if let Scalar::Text(key) = key {
                match key.as_ref() {
                    "metric" => parts[0] = Some(value),
                    "value" => parts[1] = Some(value),
                    "timestamp" => parts[2] = Some(value),
                    _ => {}
                }
            }
            if !self.take(',') {
                return self.take('}').then_some(parts).ok_or(Fault::Syntax);
            }
        }
        Ok(parts)
    }

    /// What follows the bracket of a list or tuple.
    fn items(&mut self, end: char) -> Result<Parts<'a>, Fault> {
        let mut parts = [None, None, None];
        let mut count = 0;
        while !self.take(end) {
            let item = self.scalar()?;
            *parts.get_mut(count).ok_or(Fault::Shape)? = Some(item);
            count += 1;
            if !self.take(',') {
                return self.take(end).then_some(parts).ok_or(Fault::Syntax);
            }
        }
        Ok(parts)
    }

    fn scalar(&mut self) -> Result<Scalar<'a>, Fault> {
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
    use std::io::Write;
    use std::process::{Command, Stdio};

    use proptest::prelude::*;
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    use serde_json::{Value, json};

    fn read(text: &str) -> Result<(String, i64, f64), Fault> {
        parse(text.as_bytes()).map(|point| match (point.timestamp, point.value) {
            (Number::Int(timestamp), Number::Float(value)) => (point.name, timestamp, value),
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn both_shapes_are_read() {
        let wanted = Ok(("a.b".to_owned(), 1_700_000_000, 1.5));
        for text in [
            "{'metric': 'a.b', 'value': 1.5, 'timestamp': 1700000000}",
            "{\"timestamp\":1700000000.9,\"other\":None,'value':'1.5', 'metric':'a.b',}",
            "['a.b', 1.5, 1700000000]",
            " ( 'a.b' ,\n1.5, '1700000000' , ) ",
            "['a\\x2eb', 15e-1, 1700000000]",
        ] {
            assert_eq!(read(text), wanted, "{text}");
        }
    }

    #[test]
    fn what_is_no_point_is_refused() {
        use Fault::*;
        let long = format!("['{}', 1, 1]", "x".repeat(TEXT_BYTES_MAX));
        for (text, fault) in [
            ("", Syntax),
            ("a", Syntax),
            ("{", Syntax),
            ("[]", Shape),
            ("{}", Shape),
            ("['a', 1]", Shape),
            ("['a', 1, 2, 3]", Shape),
            ("['', 1, 2]", Shape),
            ("[1, 2, 3]", Shape),
            ("['a', None, 2]", Shape),
            ("['a', 'b', 2]", Shape),
            ("['a', nan, 2]", NotFinite),
            ("['a', -inf, 2]", NotFinite),
            ("['a', 1e999, 2]", NotFinite),
            ("['a', 'nan', 2]", NotFinite),
            ("['a', 1, 99999999999999999999]", NotFinite),
            ("['a', 1, 1e300]", NotFinite),
            ("['a', 01, 2]", Syntax),
            ("['a', 1_0, 2]", Syntax),
            ("['a', 0x1, 2]", Syntax),
            ("['a', 1j, 2]", Syntax),
            ("['a', -, 2]", Syntax),
            ("['a', 1e, 2]", Syntax),
            ("['a', 1, 2] x", Syntax),
            ("['a', 1, [2]]", Syntax),
            ("['a' 1, 2]", Syntax),
            ("[b'a', 1, 2]", Syntax),
            ("['a\\ud800', 1, 2]", Syntax),
            ("['a\\x4', 1, 2]", Syntax),
            ("['a\\u{e9}', 1, 2]", Syntax),
            ("['a\nb', 1, 2]", Syntax),
            ("['a", Syntax),
            ("__import__('os')", Syntax),
            (long.as_str(), TooLong),
        ] {
            assert_eq!(read(text), Err(fault), "{text}");
        }
        assert_eq!(parse(b"['\xff', 1, 2]"), Err(Syntax));
    }

    /// Runs a Python script that makes of `given` a list `found`.
    fn python(script: &str, given: &Value) -> Vec<Value> {
        let program = format!(
            "import ast, json, struct, sys\ngiven = json.load(sys.stdin)\nfound = []\n\
             {script}\nprint(json.dumps(found))"
        );
        let mut child = Command::new("/usr/bin/python3")
            .args(["-W", "ignore", "-c", &program])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let text = given.to_string();
        let mut stdin = child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        assert!(output.status.success());
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn points() -> Vec<(String, f64, i64)> {
        let name = prop_oneof![
            "[a-z0-9._;=-]{1,40}",
            "['\"\\\\a\\n\\t\\x00-\\x1f]{1,12}",
            any::<String>().prop_filter("a name", |name| !name.is_empty()),
        ];
        let value = prop_oneof![
            any::<f64>().prop_filter("finite", |value| value.is_finite()),
            (-1000_i32..1000).prop_map(f64::from),
        ];
        let strategy = (name, value, any::<i64>());
        let mut runner = TestRunner::deterministic();
        let mut next = || strategy.new_tree(&mut runner).unwrap().current();
        (0..3000).map(|_| next()).collect()
    }

    // Floats pass to and from Python as their bits, since JSON's texts of them are
    // not what is tested.
    #[test]
    fn what_python_writes_is_read_as_it_was() {
        let points = points();
        let given: Vec<Value> = points
            .iter()
            .map(|(name, value, timestamp)| json!([name, value.to_bits().to_string(), timestamp]))
            .collect();
        let script = "
for name, bits, timestamp in given:
    value = struct.unpack('<d', struct.pack('<Q', int(bits)))[0]
    found.append(str({'metric': name, 'value': value, 'timestamp': timestamp}))
    found.append(str([name, value, timestamp]))
    found.append(str([name, int(value), float(timestamp)]))";
        let texts = python(script, &json!(given));
        for ((name, value, timestamp), texts) in points.iter().zip(texts.chunks(3)) {
            let texts: Vec<&str> = texts.iter().map(|text| text.as_str().unwrap()).collect();
            for text in &texts[..2] {
                let found = read(text).unwrap();
                assert_eq!((&found.0, found.1), (name, *timestamp), "{text}");
                assert_eq!(found.2.to_bits(), value.to_bits(), "{text}");
            }
            match read(texts[2]) {
                Ok(found) => assert_eq!(found.2, value.trunc(), "{}", texts[2]),
                // The float next to the largest integer is beyond it.
                Err(fault) => {
                    assert_eq!(fault, Fault::NotFinite);
                    assert_eq!(*timestamp as f64, 2_f64.powi(63));
                }
            }
        }
    }

    /// Texts that may be points, and points with a part replaced by another text.
    fn doubtful_texts() -> Vec<String> {
        let pieces = prop::sample::select(vec![
            "'metric'",
            "'value'",
            "'timestamp'",
            "'a'",
            "\"b\\x41\"",
            "1",
            "-2.5",
            "1e3",
            "00",
            "0",
            ".",
            "1.",
            ".5",
            "True",
            "None",
            " ",
            "\n",
            "\t",
            ",",
            ":",
            "{",
            "}",
            "[",
            "]",
            "(",
            ")",
            "'",
            "\"",
            "\\",
            "e",
            "-",
            "'1'",
            "\\u0041",
            "#",
            "\u{e9}",
            "\u{c}",
        ]);
        let soup = prop::collection::vec(pieces, 1..16).prop_map(|pieces| pieces.concat());
        let place = any::<prop::sample::Index>;
        let strategy = (place(), place(), place(), soup);
        let points = points();
        let mut runner = TestRunner::deterministic();
        let mut texts = Vec::new();
        for _ in 0..6000 {
            let (which, from, to, soup) = strategy.new_tree(&mut runner).unwrap().current();
            let (name, value, timestamp) = which.get(&points);
            let name = name.replace(['\\', '\'', '\n', '\r', '\0'], "_");
            let sound =
                format!("{{'metric': '{name}', 'value': {value:?}, 'timestamp': {timestamp}}}");
            let chars: Vec<char> = sound.chars().collect();
            let (from, to) = (from.index(chars.len()), to.index(chars.len()));
            let head: String = chars[..from.min(to)].iter().collect();
            let tail: String = chars[from.max(to)..].iter().collect();
            texts.push(format!("{head}{soup}{tail}"));
            texts.push(format!("{head}{tail}"));
            texts.push(format!("['n', {soup}, 1]"));
            texts.push(format!("[{soup}]"));
            texts.push(format!("{{{soup}}}"));
            texts.push(format!("['n', 1, 2{soup}"));
        }
        texts
    }

    #[test]
    fn nothing_is_read_that_python_reads_otherwise() {
        let texts = doubtful_texts();
        let script = "
for text in given:
    try:
        point = ast.literal_eval(text)
        if isinstance(point, dict):
            point = [point['metric'], point['value'], point['timestamp']]
        name, value, seconds = point
        if isinstance(seconds, str):
            seconds = float(seconds)
        bits = struct.unpack('<Q', struct.pack('<d', float(value)))[0]
        found.append([name, int(seconds), str(bits)])
    except Exception as error:
        found.append(repr(error))";
        let found = python(script, &json!(texts));
        let mut points = 0;
        for (text, found) in texts.iter().zip(found) {
            if let Ok((name, timestamp, value)) = read(text) {
                let bits = value.to_bits().to_string();
                assert_eq!(found, json!([name, timestamp, bits]), "{text:?}");
                points += 1;
            }
        }
        assert!(points > 100, "{points} texts were points");
    }
}
