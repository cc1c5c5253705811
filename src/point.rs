//! What every decoder yields: a point, borrowed from the bytes it came in.

use std::fmt;

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

/// As a line of text has it: digits for an integer, a point or exponent in every
/// float, so that the kind can be read back.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(int) => write!(f, "{int}"),
            Self::Uint(int) => write!(f, "{int}"),
            Self::Float(float) => write!(f, "{float:?}"),
            Self::Bool(truth) => write!(f, "{truth}"),
        }
    }
}

impl Number {
    /// The nearest double.
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Int(int) => int as f64,
            Self::Uint(int) => int as f64,
            Self::Float(float) => float,
            Self::Bool(truth) => f64::from(u8::from(truth)),
        }
    }
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

/// Why one item of an otherwise good frame is no point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// Not of the form `(name, (timestamp, value))`.
    Shape,
    /// The timestamp or value is `None`, a container, or text that is not a number.
    NotNumeric,
    /// An integer that no msgpack integer can hold: below -2^63 or above 2^64 - 1.
    OutOfRange,
}

const _: () = assert!(
    size_of::<Point>() == 48,
    "a frame of 500 points fits the first-level cache"
);
