//! Tests of the line decoder. What lines mean comes from Python: see
//! `tests/goldens/make_lines.py`.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

use super::*;
use crate::wire::goldens::{files, said, spelled};

/// The time that the goldens say it is.
const NOW: i64 = 1_700_000_123;

type Answer = (Vec<(Vec<u8>, String, String)>, InvalidCounts, u64);

/// The points as the goldens spell them, what was invalid, and how many lines.
fn answer(bytes: &[u8]) -> Answer {
    let mut lines = Lines::new(bytes, NOW);
    let points: Vec<_> = lines
        .by_ref()
        .map(|point| {
            (
                point.name.to_vec(),
                spelled(point.timestamp),
                spelled(point.value),
            )
        })
        .collect();
    assert_eq!(lines.next(), None, "the end stays the end");
    let (invalid, count) = (lines.invalid(), lines.lines());
    assert_eq!(count, points.len() as u64 + invalid.total());
    (points, invalid, count)
}

fn one(line: &str) -> [String; 3] {
    let (mut points, _, lines) = answer(line.as_bytes());
    assert_eq!((points.len(), lines), (1, 1), "{line:?}");
    let (name, timestamp, value) = points.remove(0);
    [String::from_utf8(name).unwrap(), timestamp, value]
}

fn invalid(line: &str) -> [u64; 3] {
    let (points, invalid, _) = answer(line.as_bytes());
    assert_eq!(points, [], "{line:?}");
    [invalid.shape, invalid.not_numeric, invalid.out_of_range]
}

#[test]
fn fields_may_stand_anywhere_in_the_line() {
    for line in [
        "a.b 5 1700000000",
        "a.b 5 1700000000\n",
        "a.b 5 1700000000\r\n",
        "  a.b\t5 \t 1700000000 \t\n",
        "\ta.b  5\t1700000000 \r\n",
        "\n\r\n \t\n  \r\na.b 5 1700000000\n\n \n",
    ] {
        assert_eq!(one(line), ["a.b", "i:1700000000", "i:5"], "{line:?}");
    }
}

#[test]
fn no_timestamp_or_minus_one_means_now() {
    let now = format!("i:{NOW}");
    for line in [
        "a 5",
        "a 5\r\n",
        "a 5 -1",
        "a 5 -1.0\n",
        "a 5 -1e0",
        " a\t5 \n",
    ] {
        assert_eq!(one(line), ["a", &now, "i:5"], "{line:?}");
    }
    assert_eq!(one("a 5 1")[1], "i:1");
    assert_eq!(one("a -1 2")[2], "f:bff0000000000000");
}

#[test]
fn names_are_taken_as_they_are() {
    for name in [
        "disk.used;host=web-1;mount=/",
        "a\0b",
        "\u{e9}",
        "\"x\"",
        "a\rb",
        "7",
    ] {
        assert_eq!(one(&format!("{name} 1 2\n")), [name, "i:2", "i:1"]);
    }
    assert_eq!(answer(b"\xff\xfe 1 2").0[0].0, b"\xff\xfe");
}

#[test]
fn lines_that_are_no_points_are_counted_by_kind() {
    for line in ["a", "a\n", "a 1 2 3", "a 1 2 x\r\n", "\r\r\n", " a \n"] {
        assert_eq!(invalid(line), [1, 0, 0], "{line:?}");
    }
    for line in [
        "a x",
        "a x 2",
        "a 1 x",
        "a 0x10 2",
        "a 1_0 2",
        "a None 2\n",
        "a 1 -",
    ] {
        assert_eq!(invalid(line), [0, 1, 0], "{line:?}");
    }
    let (points, counts, lines) = answer(b"a 1 2\nbad\nb 2 x\n\nc 3 4\n");
    assert_eq!(points.len(), 2);
    assert_eq!((counts.shape, counts.not_numeric, lines), (1, 1, 4));
    assert_eq!(answer(b""), (vec![], InvalidCounts::default(), 0));
}

#[test]
fn whole_lines_end_with_the_last_newline() {
    for (bytes, whole) in [("", 0), ("a", 0), ("\n", 1), ("a\nb", 2), ("a\nb\n", 4)] {
        assert_eq!(whole_lines(bytes.as_bytes()), whole, "{bytes:?}");
    }
}

fn goldens() -> BTreeMap<String, Vec<u8>> {
    let mut goldens = files("goldens/line");
    goldens.retain(|name, _| name.ends_with(".txt"));
    assert!(goldens.len() > 20);
    goldens
}

// Goal: what senders print, and what Python prints of any double, means what Python and
// carbon's receiver read in it.
#[test]
fn goldens_decode_to_what_python_says() {
    let expected: Value = serde_json::from_slice(&files("goldens/line")["expected.json"]).unwrap();
    assert_eq!(expected["now"], NOW);
    for (name, bytes) in goldens() {
        let label = name.strip_suffix(".txt").unwrap();
        let (points, invalid, lines) = answer(&bytes);
        let theirs = &expected[label]["points"].as_array().unwrap();
        assert_eq!(points.len(), theirs.len(), "{label}");
        for (ours, theirs) in points.iter().zip(*theirs) {
            assert_eq!(said(ours), *theirs, "{label}");
        }
        let counts = serde_json::json!({
            "shape": invalid.shape,
            "not_numeric": invalid.not_numeric,
            "out_of_range": invalid.out_of_range,
        });
        assert_eq!(counts, expected[label]["invalid"], "{label}");
        assert_eq!(lines, expected[label]["lines"], "{label}");
    }
}

/// What a connection does with bytes that arrive in two parts.
fn in_two_parts(bytes: &[u8], cut: usize) -> Answer {
    let whole = whole_lines(&bytes[..cut]);
    let (mut points, mut invalid, mut lines) = answer(&bytes[..whole]);
    let (more, other, count) = answer(&bytes[whole..]);
    points.extend(more);
    invalid.shape += other.shape;
    invalid.not_numeric += other.not_numeric;
    invalid.out_of_range += other.out_of_range;
    lines += count;
    (points, invalid, lines)
}

// Goal: where the bytes happen to be split means nothing.
#[test]
fn a_stream_cut_at_any_byte_means_the_same() {
    for (name, bytes) in goldens() {
        let start = &bytes[..bytes.len().min(700)];
        let all = answer(start);
        for cut in 0..=start.len() {
            assert_eq!(in_two_parts(start, cut), all, "{name} cut at {cut}");
        }
    }
}

// Goal: a datagram cut off anywhere costs the line that was cut and no other.
#[test]
fn a_line_without_its_end_costs_no_other() {
    let bytes = &goldens()["sender_carbon.txt"][..1000];
    let all = answer(bytes).0;
    for end in 0..bytes.len() {
        let (points, ..) = answer(&bytes[..end]);
        let whole = bytes[..end].iter().filter(|byte| **byte == b'\n').count();
        assert!(points.len() <= whole + 1);
        assert_eq!(points[..whole], all[..whole]);
    }
}

// Goal: what fuzzing found worth keeping stays answered, and alike however it is split.
#[test]
fn the_fuzz_corpus_replays() {
    let corpus = files("fuzz/corpus/line");
    assert!(!corpus.is_empty());
    for bytes in corpus.values() {
        let all = answer(bytes);
        for cut in [0, bytes.len() / 3, bytes.len() / 2, bytes.len()] {
            assert_eq!(in_two_parts(bytes, cut), all);
        }
    }
}

/// The grammar in the plainest words.
fn plain(bytes: &[u8]) -> Answer {
    let (mut points, mut invalid, mut lines) = (vec![], InvalidCounts::default(), 0);
    for line in bytes.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let fields: Vec<_> = line
            .split(|byte| b" \t".contains(byte))
            .filter(|field| !field.is_empty())
            .collect();
        lines += u64::from(!fields.is_empty());
        let (name, value, timestamp) = match fields[..] {
            [] => continue,
            [name, value] => (name, value, &b"-1"[..]),
            [name, value, timestamp] => (name, value, timestamp),
            _ => {
                invalid.add(Invalid::Shape);
                continue;
            }
        };
        match (number::parse(timestamp), number::parse(value)) {
            (Ok(timestamp), Ok(value)) => {
                let timestamp = match timestamp {
                    Number::Float(-1.0) => Number::Int(NOW),
                    other => other,
                };
                points.push((name.to_vec(), spelled(timestamp), spelled(value)));
            }
            (Err(why), _) | (_, Err(why)) => invalid.add(why),
        }
    }
    (points, invalid, lines)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_as_the_grammar_says(bytes in vec(any::<u8>(), 0..400)) {
        prop_assert_eq!(answer(&bytes), plain(&bytes));
    }

    // Pieces of lines, so that many are points and each rule is met.
    #[test]
    fn any_lines_are_read_as_the_grammar_says(
        pieces in vec(select(vec![
            "a.b", "n;k=v", " ", " ", " ", "  ", "\t", "\n", "\n", "\r\n", "\r", "1", "-1", "2.5", "1e3",
            "-1.0", "x", "1700000000", "\0", "a 1 2\n", "a 1\n", "99999999999999999999",
        ]), 0..60),
        cut in any::<prop::sample::Index>(),
    ) {
        let bytes = pieces.concat().into_bytes();
        let all = answer(&bytes);
        prop_assert_eq!(&all, &plain(&bytes));
        prop_assert_eq!(in_two_parts(&bytes, cut.index(bytes.len() + 1)), all);
    }
}
