//! A series as Redis holds it: records, one after the other, whoever wrote them.
//!
//! Skyring writes records of two numbers only. Other programs, and older versions
//! of Skyline, have left all that msgpack can say, and bytes that it cannot.

use super::datagram::{BadDatagram, number, pair, skip};
use super::msgpack::RECORD_BYTES_MAX;
use crate::point::Number;

/// Longest value that is read as one: what claims to be longer is broken, so that no
/// few bytes make a reader pass over a long series again and again.
const VALUE_BYTES_MAX: usize = 4096;

/// One whole value of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Value {
    /// Where it begins.
    pub at: usize,
    /// Its length.
    pub bytes: usize,
    /// What it is.
    pub kind: Kind,
}

/// What a value of a series is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A point: timestamp and value.
    Record(Number, Number),
    /// A number outside of any record.
    Scalar(Number),
    /// Anything else.
    Other,
}

/// Where a series can be read no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Where the value begins that cannot be read.
    pub at: usize,
    /// Whether it could be a record of which only the end is missing.
    pub is_cut_record: bool,
}

/// Reads the values of a series, in their order.
#[derive(Clone, Debug)]
pub struct Values<'a> {
    bytes: &'a [u8],
    at: usize,
    is_over: bool,
}

impl<'a> Values<'a> {
    /// Reads `bytes` from the value at `at` on.
    pub fn new(bytes: &'a [u8], at: usize) -> Self {
        Self {
            bytes,
            at,
            is_over: false,
        }
    }
}

impl Iterator for Values<'_> {
    type Item = Result<Value, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.at..)?;
        if rest.is_empty() || self.is_over {
            return None;
        }
        let at = self.at;
        let (kind, bytes) = match record(rest) {
            Some((timestamp, value, after)) => {
                (Kind::Record(timestamp, value), rest.len() - after.len())
            }
            None => match other(&rest[..rest.len().min(VALUE_BYTES_MAX)]) {
                Ok(found) => found,
                Err(fault) => {
                    self.is_over = true;
                    let is_cut = fault == BadDatagram::Truncated;
                    return Some(Err(Broken {
                        at,
                        is_cut_record: is_cut && rest.len() < RECORD_BYTES_MAX,
                    }));
                }
            },
        };
        self.at += bytes;
        Some(Ok(Value { at, bytes, kind }))
    }
}

/// The next place behind `at` where a record begins that a value or the end
/// follows.
pub fn next_record(bytes: &[u8], at: usize) -> Option<usize> {
    (at + 1..bytes.len()).find(|start| {
        let rest = &bytes[*start..];
        let Some((Number::Int(_) | Number::Float(_), _, after)) = record(rest) else {
            return false;
        };
        after.is_empty() || pair(after).is_some()
    })
}

/// The first place behind `after` and before `end` where a record begins whose time is
/// written as clocks give it, and that a value or the end follows.
///
/// When something is appended behind a record of which the end is missing, its first
/// bytes are read as that end, and what follows them as anything. This finds it again.
pub fn hidden_record(bytes: &[u8], after: usize, end: usize) -> Option<usize> {
    let is_time = |tag: Option<&u8>| matches!(tag, Some(0xcb | 0xce | 0xcf));
    (after + 1..end.min(bytes.len())).find(|start| {
        let rest = &bytes[*start..];
        rest[0] == 0x92
            && is_time(rest.get(1))
            && record(rest).is_some_and(|(.., after)| after.is_empty() || pair(after).is_some())
    })
}

fn record(rest: &[u8]) -> Option<(Number, Number, &[u8])> {
    let (timestamp, rest) = plain(pair(rest)?)?;
    let (value, rest) = plain(rest)?;
    let is_time = !matches!(timestamp, Number::Float(float) if float.is_nan());
    is_time.then_some((timestamp, value, rest))
}

/// A number that is not the text of one.
fn plain(rest: &[u8]) -> Option<(Number, &[u8])> {
    let is_text = matches!(rest.first()?, 0xa0..=0xbf | 0xc4..=0xc6 | 0xd9..=0xdb);
    match number(rest)? {
        (Ok(number), after) if !is_text => Some((number, after)),
        _ => None,
    }
}

fn other(rest: &[u8]) -> Result<(Kind, usize), BadDatagram> {
    let bytes = rest.len() - skip(rest)?.len();
    let kind = plain(rest).map_or(Kind::Other, |(number, _)| Kind::Scalar(number));
    Ok((kind, bytes))
}
