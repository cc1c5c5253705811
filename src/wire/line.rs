//! Graphite's line protocol: `name value timestamp`, a point on each line.
//!
//! ```text
//! servers.web-1.load 0.25 1710159360\n
//! disk.used;host=web-1;mount=/ 71\t-1\r\n
//! ```
//!
//! Spaces and tabs separate, as many as there are, and may stand around it all. A line
//! ends with `\n` or `\r\n`, the last one also without. A timestamp that is missing or
//! equal to -1 means now. Names are taken as they are, tags included. Lines of nothing
//! but blanks are nothing.
//!
//! Nothing is kept between lines, so memory has no bound to need.

use std::iter::FusedIterator;

use memchr::{memchr, memchr2, memrchr};

use super::number;
use crate::point::{Invalid, InvalidCounts, Number, Point};

/// The points of some lines, in their order. What is no point is counted.
#[derive(Clone, Debug)]
pub struct Lines<'a> {
    rest: &'a [u8],
    now_s: i64,
    lines: u64,
    invalid: InvalidCounts,
}

impl<'a> Lines<'a> {
    /// Reads whole lines; only the last may lack its end, as in a datagram. `now_s` is
    /// the time, in seconds since 1970, of points that have none of their own.
    pub fn new(bytes: &'a [u8], now_s: i64) -> Self {
        Self {
            rest: bytes,
            now_s,
            lines: 0,
            invalid: InvalidCounts::default(),
        }
    }

    /// How many of the lines so far were no points.
    pub fn invalid(&self) -> InvalidCounts {
        self.invalid
    }

    /// How many lines there were so far that hold something: each is either a point or
    /// counted as invalid.
    pub fn lines(&self) -> u64 {
        self.lines
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Point<'a>;

    #[inline]
    fn next(&mut self) -> Option<Point<'a>> {
        while !self.rest.is_empty() {
            let line = self.line();
            let (name, fields) = name(line);
            if name.is_empty() {
                continue;
            }
            self.lines += 1;
            match point(name, fields, self.now_s) {
                Ok(point) => return Some(point),
                Err(why) => self.invalid.add(why),
            }
        }
        None
    }
}

impl FusedIterator for Lines<'_> {}

impl<'a> Lines<'a> {
    /// Takes a line, without its end.
    #[inline]
    fn line(&mut self) -> &'a [u8] {
        let end = memchr(b'\n', self.rest).unwrap_or(self.rest.len());
        let (line, after) = self.rest.split_at(end);
        self.rest = after.get(1..).unwrap_or(&[]);
        line.strip_suffix(b"\r").unwrap_or(line)
    }
}

/// How many bytes from the start are whole lines: up to and with the last `\n`.
pub fn whole_lines(bytes: &[u8]) -> usize {
    memrchr(b'\n', bytes).map_or(0, |at| at + 1)
}

#[inline]
fn point<'a>(name: &'a [u8], fields: &[u8], now_s: i64) -> Result<Point<'a>, Invalid> {
    let (value, rest) = field(fields);
    let (timestamp, rest) = field(rest);
    if value.is_empty() || !unblanked(rest).is_empty() {
        return Err(Invalid::Shape);
    }
    let timestamp = match timestamp {
        [] => Number::Int(now_s),
        text => match number::parse(text)? {
            Number::Float(-1.0) => Number::Int(now_s),
            seconds => seconds,
        },
    };
    Ok(Point {
        name,
        timestamp,
        value: number::parse(value)?,
    })
}

/// Splits off the first field, which is empty if there is none. Names are long enough
/// for a search by vectors.
#[inline]
fn name(line: &[u8]) -> (&[u8], &[u8]) {
    let line = unblanked(line);
    line.split_at(memchr2(b' ', b'\t', line).unwrap_or(line.len()))
}

/// As [`name`], for the short text of a number.
#[inline]
fn field(rest: &[u8]) -> (&[u8], &[u8]) {
    let rest = unblanked(rest);
    let end = rest.iter().position(is_blank).unwrap_or(rest.len());
    rest.split_at(end)
}

#[inline]
fn unblanked(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && is_blank(first)
    {
        text = rest;
    }
    text
}

#[inline]
fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::goldens::spelled;

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
}
