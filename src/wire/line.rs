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
//! Nothing is kept between lines, and nothing is allocated.

#[cfg(test)]
mod tests;

use std::iter::FusedIterator;

use memchr::{memchr, memchr3, memrchr};

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
            let (name, fields) = self.line();
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
    /// Takes a line: its first field, empty if there is none, and the rest without the
    /// line's end. The name is most of a line, so it is looked at only once.
    #[inline]
    fn line(&mut self) -> (&'a [u8], &'a [u8]) {
        let rest = unblanked(self.rest);
        let name = memchr3(b' ', b'\t', b'\n', rest).unwrap_or(rest.len());
        let (name, tail) = rest.split_at(name);
        let end = memchr(b'\n', tail).unwrap_or(tail.len());
        let (fields, after) = tail.split_at(end);
        self.rest = after.get(1..).unwrap_or(&[]);
        if fields.is_empty() {
            return (name.strip_suffix(b"\r").unwrap_or(name), fields);
        }
        (name, fields.strip_suffix(b"\r").unwrap_or(fields))
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

/// Splits off the first field, which is empty if there is none.
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
