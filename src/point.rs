//! What every decoder yields: a point, borrowed from the bytes it came in.

use std::cmp::Ordering;
use std::fmt;
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

impl Number {
    /// As Python compares numbers: by their values, whatever their kinds, exactly;
    /// and NaN, for which Python has no order, behind all others.
    pub fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Float(one), Self::Float(two)) => {
                let order = one.partial_cmp(&two);
                order.unwrap_or_else(|| one.is_nan().cmp(&two.is_nan()))
            }
            (Self::Float(one), _) => compare_float(one, other.whole()),
            (_, Self::Float(two)) => compare_float(two, self.whole()).reverse(),
            _ => self.whole().cmp(&other.whole()),
        }
    }

    /// The number cut to a whole one; all that is beyond 128 bits, and NaN, to an end
    /// of them or to 0.
    pub fn whole(self) -> i128 {
        match self {
            Self::Int(int) => int.into(),
            Self::Uint(int) => int.into(),
            Self::Float(float) => float as i128,
            Self::Bool(truth) => truth.into(),
        }
    }

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

fn compare_float(float: f64, whole: i128) -> Ordering {
    if float.is_nan() {
        return Ordering::Greater;
    }
    // All integers here have 64 bits, so that a float that is cut to an end of 128
    // bits is greater or less than any.
    let cut = (float as i128).cmp(&whole);
    cut.then_with(|| float.fract().partial_cmp(&0.0).unwrap_or(Ordering::Equal))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Orders that Python's `<` and `==` gave.
    #[test]
    fn numbers_compare_as_python_compares_them() {
        use Number::{Bool, Float, Int, Uint};
        let big = 9_007_199_254_740_993; // 2^53 + 1, which no double is.
        let ascending = [
            Float(f64::NEG_INFINITY),
            Int(i64::MIN),
            Float(-1.5),
            Int(-1),
            Float(-0.5),
            Int(0),
            Float(0.5),
            Bool(true),
            Float(1.5),
            Float(big as f64),
            Int(big),
            Uint(u64::MAX),
            Float(18_446_744_073_709_551_616.0),
            Float(f64::INFINITY),
            Float(f64::NAN),
        ];
        for (i, one) in ascending.iter().enumerate() {
            for (j, two) in ascending.iter().enumerate() {
                assert_eq!(one.compare(*two), i.cmp(&j), "{one:?} {two:?}");
            }
        }
        assert_eq!(Int(100).compare(Float(100.0)), Ordering::Equal);
        assert_eq!(Bool(false).compare(Float(-0.0)), Ordering::Equal);
    }
}
