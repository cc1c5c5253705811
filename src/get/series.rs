//! Reads a series: MessagePack records one behind the other, of which each should be
//! an array of a timestamp and a value. Others write series too, so whatever else
//! stands there is told and passed over.

use std::fmt;

use crate::point::Number;
use crate::wire::series::{Broken, Kind, Value, Values, next_record};

/// Faulty places that are told one by one; further ones are only counted.
const FAULTS_MAX: usize = 20;

/// One record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sample {
    pub timestamp: Number,
    pub value: Number,
}

impl Sample {
    /// A point of these numbers.
    pub fn of(timestamp_s: i64, value: f64) -> Self {
        Self {
            timestamp: Number::Int(timestamp_s),
            value: Number::Float(value),
        }
    }
}

/// A place of the series that holds no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Good MessagePack of another form, such as `[timestamp, None]`.
    Other { at: usize, bytes: usize },
    /// No MessagePack, up to the next record.
    Bad { at: usize, bytes: usize },
    /// The series ends in the midst of a record.
    Truncated { at: usize, bytes: usize },
    /// Places that are not told one by one.
    More { places: usize },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other { at, bytes } => {
                write!(
                    f,
                    "byte {at}: {bytes} bytes that are no timestamp and value"
                )
            }
            Self::Bad { at, bytes } => write!(f, "byte {at}: {bytes} bytes that are no record"),
            Self::Truncated { at, bytes } => {
                write!(
                    f,
                    "byte {at}: the last record is cut off after {bytes} bytes"
                )
            }
            Self::More { places } => write!(f, "{places} further faulty places"),
        }
    }
}

/// The records, sorted by timestamp, and the places that hold none.
pub(super) fn read(series: &[u8]) -> (Vec<Sample>, Vec<Fault>) {
    let mut samples = Vec::with_capacity(series.len() / 15);
    let mut faults = Vec::new();
    let mut untold = 0;
    let mut tell = |fault| {
        if faults.len() < FAULTS_MAX {
            faults.push(fault);
        } else {
            untold += 1;
        }
    };
    let mut from = Some(0);
    while let Some(start) = from.take() {
        for value in Values::new(series, start) {
            match value {
                Ok(Value {
                    kind: Kind::Record(timestamp, value),
                    ..
                }) => samples.push(Sample { timestamp, value }),
                Ok(Value { at, bytes, .. }) => tell(Fault::Other { at, bytes }),
                Err(Broken { at, is_cut_record }) => {
                    from = next_record(series, at).filter(|_| !is_cut_record);
                    let bytes = from.unwrap_or(series.len()) - at;
                    tell(if is_cut_record {
                        Fault::Truncated { at, bytes }
                    } else {
                        Fault::Bad { at, bytes }
                    });
                }
            }
        }
    }
    if untold > 0 {
        faults.push(Fault::More { places: untold });
    }
    // Stable, as Skyline's readers sort.
    samples.sort_by(|one, two| one.timestamp.compare(two.timestamp));
    (samples, faults)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::msgpack::Record;
    use Number::{Bool, Float, Int, Uint};

    fn bytes(samples: &[(Number, Number)]) -> Vec<u8> {
        let records = samples.iter();
        records
            .flat_map(|(timestamp, value)| Record::new(*timestamp, *value).as_bytes().to_vec())
            .collect()
    }

    fn pairs(samples: &[Sample]) -> Vec<(Number, Number)> {
        let pair = |sample: &Sample| (sample.timestamp, sample.value);
        samples.iter().map(pair).collect()
    }

    #[test]
    fn every_kind_of_number_reads_back() {
        let all: Vec<_> = [
            Int(0),
            Int(127),
            Int(128),
            Int(65_536),
            Int(i64::MAX),
            Uint(u64::MAX),
            Int(-1),
            Int(-33),
            Int(-40_000),
            Int(i64::MIN),
            Float(1.5),
            Bool(true),
        ]
        .map(|value| (Int(1_795_302_404), value))
        .into();
        let (samples, faults) = read(&bytes(&all));
        assert_eq!((pairs(&samples), faults), (all, vec![]));
    }

    // Readers see both of two points of one time, in the order of their arrival.
    #[test]
    fn the_order_is_by_time_and_then_by_arrival() {
        let series = bytes(&[
            (Int(20), Int(1)),
            (Float(10.5), Int(2)),
            (Float(20.0), Int(3)),
            (Int(10), Int(4)),
        ]);
        let (samples, _) = read(&series);
        let values: Vec<_> = samples.iter().map(|sample| sample.value).collect();
        assert_eq!(values, [Int(4), Int(2), Int(1), Int(3)]);
    }

    // The forms are those that Python's Horizon has been seen to leave.
    #[test]
    fn what_is_no_record_is_told_and_passed_over() {
        let good = bytes(&[(Int(10), Int(1))]);
        let last = bytes(&[(Int(11), Int(2))]);
        let others: [&[u8]; 6] = [
            b"\x92\x0a\xc0",
            b"\x92\x0a\xa31.5",
            b"\x93\x0a\x01\x02",
            b"\x07",
            b"\x92\x0a\x92\x01\x02",
            b"\x81\xa1a\xdc\x00\x01\xc4\x01x",
        ];
        for other in others {
            let (samples, faults) = read(&[&good[..], other, &last].concat());
            assert_eq!(samples.len(), 2, "{other:?}");
            let bytes = other.len();
            assert_eq!(faults, [Fault::Other { at: 3, bytes }], "{other:?}");
        }
        let (samples, faults) = read(&[&good[..], b"\xc1\xc1\x93", &last].concat());
        assert_eq!(samples.len(), 2);
        assert_eq!(faults, [Fault::Bad { at: 3, bytes: 3 }]);
        let (samples, faults) = read(&[&good[..], b"\x92\xcb\x00\x01"].concat());
        assert_eq!(samples.len(), 1);
        assert_eq!(faults, [Fault::Truncated { at: 3, bytes: 4 }]);
    }

    #[test]
    fn hostile_series_are_bounded_in_depth_and_words() {
        let deep = vec![0x91; 100_000];
        assert!(read(&deep).0.is_empty());
        let claims = b"\xdd\xff\xff\xff\xff\xdf\xff\xff\xff\xff\xc6\xff\xff\xff\xff";
        assert!(read(claims).0.is_empty());
        let (_, faults) = read(&[0x07; 1000]);
        assert_eq!(faults.len(), FAULTS_MAX + 1);
        assert_eq!(faults[FAULTS_MAX], Fault::More { places: 980 });
    }
}
