//! What every decoder yields: a point, borrowed from the bytes it came in.

use std::ops::AddAssign;

/// A number as its sender wrote it. The kind is kept because Redis must hold
/// the bytes that Python's msgpack makes of the same number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// An integer from -2^63 to 2^63 - 1.
    Int(i64),
    /// An integer from 2^63 to 2^64 - 1; smaller ones are always [`Number::Int`].
    Uint(u64),
    /// A double, finite or not: admission refuses what is not finite.
    Float(f64),
    /// `True` or `False`, which msgpack keeps apart from 1 and 0.
    Bool(bool),
}

/// One timestamp and value of one metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point<'a> {
    /// The metric's name as received: not yet known to be UTF-8 or short enough.
    pub name: &'a [u8],
    /// Seconds since 1970, of any number kind.
    pub timestamp: Number,
    /// The value, of any number kind.
    pub value: Number,
}

/// Why one item of an otherwise good frame, one line or one datagram is no point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// Not of the form `(name, (timestamp, value))`, or `name value timestamp` in a line.
    Shape,
    /// The timestamp or value is `None`, a container, or text that is not a number.
    NotNumeric,
    /// An integer that no msgpack integer can hold: below -2^63 or above 2^64 - 1.
    OutOfRange,
}

/// How many items were no points, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InvalidCounts {
    /// As [`Invalid::Shape`].
    pub shape: u64,
    /// As [`Invalid::NotNumeric`].
    pub not_numeric: u64,
    /// As [`Invalid::OutOfRange`].
    pub out_of_range: u64,
}

impl InvalidCounts {
    /// All reasons together.
    pub fn total(self) -> u64 {
        self.shape + self.not_numeric + self.out_of_range
    }

    /// Counts one item.
    pub fn add(&mut self, why: Invalid) {
        match why {
            Invalid::Shape => self.shape += 1,
            Invalid::NotNumeric => self.not_numeric += 1,
            Invalid::OutOfRange => self.out_of_range += 1,
        }
    }
}

impl AddAssign for InvalidCounts {
    fn add_assign(&mut self, other: Self) {
        self.shape += other.shape;
        self.not_numeric += other.not_numeric;
        self.out_of_range += other.out_of_range;
    }
}

const _: () = assert!(
    size_of::<Point>() == 48,
    "a frame of 500 points fits the first-level cache"
);
