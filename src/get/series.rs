//! Reads a series: MessagePack records one behind the other, of which each should be
//! an array of a timestamp and a value. Others write series too, so whatever else
//! stands there is told and passed over.

use std::fmt;

use rmp::Marker;
use rmp::decode::{self, Bytes};

use crate::point::Number;

/// Faulty places that are told one by one; further ones are only counted.
const FAULTS_MAX: usize = 20;
/// How deeply arrays and maps may lie in each other in what is passed over.
const DEPTH_MAX: u32 = 16;

/// One record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample {
    pub timestamp: Number,
    pub value: Number,
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
    let mut at = 0;
    while at < series.len() {
        let rest = &series[at..];
        if let Some((sample, bytes)) = record(rest) {
            samples.push(sample);
            at += bytes;
            continue;
        }
        let (fault, bytes) = pass(rest, at);
        at += bytes;
        if faults.len() < FAULTS_MAX {
            faults.push(fault);
        } else {
            untold += 1;
        }
    }
    if untold > 0 {
        faults.push(Fault::More { places: untold });
    }
    // Stable, as Skyline's readers sort.
    samples.sort_by(|a, b| a.timestamp.as_f64().total_cmp(&b.timestamp.as_f64()));
    (samples, faults)
}

/// What stands at the begin of `rest` instead of a record, and how long it is.
fn pass(rest: &[u8], at: usize) -> (Fault, usize) {
    let bytes = match skip(rest, DEPTH_MAX) {
        Some(bytes) => return (Fault::Other { at, bytes }, bytes),
        None => next_record(rest),
    };
    // A record that was cut off is all there is behind the last good one.
    if bytes == rest.len() && rest[0] == 0x92 {
        return (Fault::Truncated { at, bytes }, bytes);
    }
    (Fault::Bad { at, bytes }, bytes)
}

/// Where the next record begins. One that stands alone in the midst of other bytes
/// may be chance, so what follows must be another one or the end.
fn next_record(rest: &[u8]) -> usize {
    let begins = |at: &usize| match record(&rest[*at..]) {
        Some((_, bytes)) => matches!(rest.get(at + bytes), None | Some(0x92)),
        None => false,
    };
    (1..rest.len()).find(begins).unwrap_or(rest.len())
}

fn record(bytes: &[u8]) -> Option<(Sample, usize)> {
    if *bytes.first()? != 0x92 {
        return None;
    }
    let mut reader = Bytes::new(&bytes[1..]);
    let timestamp = number(&mut reader)?;
    let value = number(&mut reader)?;
    let read = bytes.len() - reader.remaining_slice().len();
    Some((Sample { timestamp, value }, read))
}

fn number(reader: &mut Bytes<'_>) -> Option<Number> {
    let mut ahead = Bytes::new(reader.remaining_slice());
    match decode::read_marker(&mut ahead).ok()? {
        Marker::F64 => decode::read_f64(reader).ok().map(Number::Float),
        Marker::F32 => {
            let float = decode::read_f32(reader).ok()?;
            Some(Number::Float(f64::from(float)))
        }
        Marker::True | Marker::False => decode::read_bool(reader).ok().map(Number::Bool),
        Marker::U64 => {
            let int: u64 = decode::read_int(reader).ok()?;
            Some(i64::try_from(int).map_or(Number::Uint(int), Number::Int))
        }
        _ => decode::read_int(reader).ok().map(Number::Int),
    }
}

/// How long the value at the begin of `bytes` is; nothing if it is cut off, is no
/// MessagePack, or lies too deep.
fn skip(bytes: &[u8], depth: u32) -> Option<usize> {
    let mut reader = Bytes::new(bytes);
    let marker = decode::read_marker(&mut reader).ok()?;
    let (body, values) = match marker {
        Marker::Reserved => return None,
        Marker::FixPos(_) | Marker::FixNeg(_) | Marker::Null | Marker::True | Marker::False => {
            (0, 0)
        }
        Marker::U8 | Marker::I8 => (1, 0),
        Marker::U16 | Marker::I16 => (2, 0),
        Marker::U32 | Marker::I32 | Marker::F32 => (4, 0),
        Marker::U64 | Marker::I64 | Marker::F64 => (8, 0),
        Marker::FixStr(bytes) => (bytes.into(), 0),
        Marker::Str8 | Marker::Bin8 => (reader.len::<1>()?, 0),
        Marker::Str16 | Marker::Bin16 => (reader.len::<2>()?, 0),
        Marker::Str32 | Marker::Bin32 => (reader.len::<4>()?, 0),
        Marker::FixExt1 => (2, 0),
        Marker::FixExt2 => (3, 0),
        Marker::FixExt4 => (5, 0),
        Marker::FixExt8 => (9, 0),
        Marker::FixExt16 => (17, 0),
        Marker::Ext8 => (reader.len::<1>()?.checked_add(1)?, 0),
        Marker::Ext16 => (reader.len::<2>()?.checked_add(1)?, 0),
        Marker::Ext32 => (reader.len::<4>()?.checked_add(1)?, 0),
        Marker::FixArray(values) => (0, values.into()),
        Marker::Array16 => (0, reader.len::<2>()?),
        Marker::Array32 => (0, reader.len::<4>()?),
        Marker::FixMap(pairs) => (0, 2 * usize::from(pairs)),
        Marker::Map16 => (0, reader.len::<2>()?.checked_mul(2)?),
        Marker::Map32 => (0, reader.len::<4>()?.checked_mul(2)?),
    };
    let head = bytes.len() - reader.remaining_slice().len();
    let mut at = head.checked_add(body)?;
    for _ in 0..values {
        at += skip(bytes.get(at..)?, depth.checked_sub(1)?)?;
    }
    (at <= bytes.len()).then_some(at)
}

/// A big-endian length of `N` bytes.
trait Length {
    fn len<const N: usize>(&mut self) -> Option<usize>;
}

impl Length for Bytes<'_> {
    fn len<const N: usize>(&mut self) -> Option<usize> {
        let head: [u8; N] = self.remaining_slice().get(..N)?.try_into().ok()?;
        *self = Bytes::new(&self.remaining_slice()[N..]);
        let length = head
            .iter()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        Some(length)
    }
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
