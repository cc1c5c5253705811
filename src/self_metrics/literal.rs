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

use crate::literal::{Scalar, Scanner, TEXT_BYTES_MAX};
use crate::point::Number;
use crate::shard::OwnedPoint;

pub(super) use crate::literal::Fault;

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

type Parts<'a> = [Option<Scalar<'a>>; 3];

impl<'a> Scanner<'a> {
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
