//! What a trim makes of one series: the algorithm, without Redis.
//!
//! The result is that of Skyline's Roomba: records newer than a bound, in ascending
//! order, one for each timestamp, of which the smallest value wins; in the bytes
//! they were written in. What is no record of two numbers is dropped alone.

use std::cmp::Ordering;
use std::ops::AddAssign;

use crate::point::Number;
use crate::wire::msgpack::RECORD_BYTES_MAX;
use crate::wire::series::{Kind, Values, hidden_record, next_record};

/// What is to be done with a series, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    Keep,
    /// These bytes take the place of those that were read.
    Replace(Vec<u8>),
    /// The series has no record that is new enough.
    Remove,
}

/// What was found on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Records that were read.
    pub records: u64,
    /// Records that are too old.
    pub old: u64,
    /// Records with the timestamp of another one that was kept.
    pub duplicates: u64,
    /// Values that are no records of two numbers.
    pub foreign: u64,
    /// Whether the records were not in ascending order.
    pub is_disordered: bool,
    /// Whether there are bytes that cannot be read, more than a record of which the
    /// end is missing, or no record at all but values of other kinds: what could be
    /// read is kept, and all should be set aside.
    pub is_broken: bool,
}

impl Found {
    /// Whether there is nothing to do but to cut off records that are too old.
    pub fn is_only_old(&self) -> bool {
        !self.is_disordered && !self.is_broken && self.duplicates + self.foreign == 0
    }
}

impl AddAssign for Found {
    fn add_assign(&mut self, other: Self) {
        self.records += other.records;
        self.old += other.old;
        self.duplicates += other.duplicates;
        self.foreign += other.foreign;
        self.is_disordered |= other.is_disordered;
        self.is_broken |= other.is_broken;
    }
}

/// The ends of a series that is in order, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Timestamp of the oldest record.
    pub first_s: i64,
    /// Timestamp of the newest record.
    pub last_s: i64,
    /// Bytes in front of the records of that second.
    pub last_at: usize,
}

/// Trims a whole series, or its end behind records that are all older than those
/// here. Records up to and with `oldest_s` are too old. The span is that of what is
/// left in the end, if there are records.
pub fn trim(bytes: &[u8], oldest_s: i64) -> (Action, Found, Option<Span>) {
    let Contents {
        mut records,
        scalar,
        mut found,
        others,
    } = read(bytes);
    if records.is_empty() {
        found.is_broken |= others > 0;
        return (without_records(scalar, oldest_s, &found), found, None);
    }
    found.is_disordered = !records.is_sorted_by(|one, two| one.order(two).is_le());
    if found.is_disordered {
        // Stable: of records that are equal but in kind, the one written first stays.
        records.sort_by(Record::order);
    }
    let oldest = Number::Int(oldest_s);
    let too_old = records.partition_point(|record| record.timestamp.compare(oldest).is_le());
    records.drain(..too_old);
    found.old = too_old as u64;
    let before = records.len();
    records.dedup_by(|later, kept| later.timestamp.compare(kept.timestamp).is_eq());
    found.duplicates = (before - records.len()) as u64;
    let Some(span) = span(&records) else {
        return (Action::Remove, found, None);
    };
    let kept_bytes: usize = records.iter().map(|record| record.bytes.len()).sum();
    if kept_bytes == bytes.len() && !found.is_disordered {
        return (Action::Keep, found, Some(span));
    }
    let mut kept = Vec::with_capacity(kept_bytes);
    for record in &records {
        kept.extend_from_slice(record.bytes);
    }
    (Action::Replace(kept), found, Some(span))
}

/// The timestamp of the record with which the bytes begin, if they do.
pub fn first_s(bytes: &[u8]) -> Option<i64> {
    match Values::new(bytes, 0).next()?.ok()?.kind {
        Kind::Record(timestamp, _) => Some(seconds(timestamp)),
        Kind::Scalar(_) | Kind::Other => None,
    }
}

/// How much at the front of a series that is in order is too old: whole records up
/// to and with `oldest_s`, and the timestamp of the first that is not. `None` if it
/// does not begin so, and has to be looked at as a whole.
pub fn old_front(bytes: &[u8], oldest_s: i64) -> Option<(usize, u64, Option<i64>)> {
    let mut end = 0;
    let mut records = 0;
    for value in Values::new(bytes, 0) {
        // The rest of a record may lie behind what was read.
        let Ok(value) = value else { break };
        let Kind::Record(timestamp, _) = value.kind else {
            return None;
        };
        if timestamp.compare(Number::Int(oldest_s)).is_gt() {
            return Some((end, records, Some(seconds(timestamp))));
        }
        end = value.at + value.bytes;
        records += 1;
    }
    Some((end, records, None))
}

/// A timestamp in whole seconds, cut; beyond 64 bits an end of them.
pub fn seconds(timestamp: Number) -> i64 {
    let whole = timestamp.whole();
    whole.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

struct Record<'a> {
    timestamp: Number,
    value: Number,
    at: usize,
    bytes: &'a [u8],
}

impl Record<'_> {
    fn order(&self, other: &Self) -> Ordering {
        let by_time = self.timestamp.compare(other.timestamp);
        by_time.then_with(|| self.value.compare(other.value))
    }
}

/// The span of records in order.
fn span(records: &[Record<'_>]) -> Option<Span> {
    let (first, last) = (records.first()?, records.last()?);
    let last_s = seconds(last.timestamp);
    let earlier = records.partition_point(|record| seconds(record.timestamp) < last_s);
    Some(Span {
        first_s: seconds(first.timestamp),
        last_s,
        last_at: records[..earlier].iter().map(|it| it.bytes.len()).sum(),
    })
}

/// What stands in a series.
#[derive(Default)]
struct Contents<'a> {
    records: Vec<Record<'a>>,
    /// The smallest number outside of any record.
    scalar: Option<Number>,
    found: Found,
    /// Values that are neither records, nor numbers, nor cut off.
    others: u64,
}

fn read(bytes: &[u8]) -> Contents<'_> {
    let mut contents = Contents {
        records: Vec::with_capacity(bytes.len() / 15 + 1),
        ..Contents::default()
    };
    let mut from = Some(0);
    while let Some(start) = from.take() {
        for value in Values::new(bytes, start) {
            let (at, end) = match &value {
                Ok(value) => match value.kind {
                    Kind::Record(timestamp, number) => {
                        let bytes = &bytes[value.at..value.at + value.bytes];
                        contents.records.push(Record {
                            timestamp,
                            value: number,
                            at: value.at,
                            bytes,
                        });
                        continue;
                    }
                    Kind::Scalar(_) | Kind::Other => (value.at, value.at + value.bytes),
                },
                Err(broken) => (broken.at, broken.at + RECORD_BYTES_MAX),
            };
            from = contents.find_hidden(bytes, at, end, value.is_err());
            if from.is_some() {
                break;
            }
            match value {
                Ok(value) => contents.count_foreign(value.kind),
                Err(broken) if broken.is_cut_record => contents.found.foreign += 1,
                Err(broken) => {
                    contents.found.is_broken = true;
                    from = next_record(bytes, broken.at);
                }
            }
        }
    }
    contents.found.records = contents.records.len() as u64;
    contents
}

impl Contents<'_> {
    fn count_foreign(&mut self, kind: Kind) {
        self.found.foreign += 1;
        let Kind::Scalar(number) = kind else {
            self.others += 1;
            return;
        };
        let is_smaller = self.scalar.is_none_or(|min| number.compare(min).is_lt());
        if is_smaller {
            self.scalar = Some(number);
        }
    }

    /// What is no record was read from `at` to `end`: where a record begins that was
    /// taken for a part of it, or of what was read before it. The end of a record is
    /// missing there.
    fn find_hidden(
        &mut self,
        bytes: &[u8],
        at: usize,
        end: usize,
        is_unreadable: bool,
    ) -> Option<usize> {
        let before = self.records.last();
        let before = before.filter(|record| record.at + record.bytes.len() == at);
        let hidden = hidden_record(bytes, before.map_or(at, |record| record.at), end)?;
        if hidden < at {
            self.records.pop();
        } else if is_unreadable && bytes[at] != 0x92 {
            self.found.is_broken = true;
        }
        self.found.foreign += 1;
        Some(hidden)
    }
}

/// A series of numbers outside of any record is removed when the smallest is too old,
/// and otherwise left as it is; so is one of no whole value.
fn without_records(scalar: Option<Number>, oldest_s: i64, found: &Found) -> Action {
    if found.is_broken {
        return Action::Remove;
    }
    match scalar {
        Some(number) if number.compare(Number::Int(oldest_s)).is_lt() => Action::Remove,
        Some(_) | None => Action::Keep,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::msgpack::Record as Encoded;

    fn unhex(text: &str) -> Vec<u8> {
        let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
        (0..text.len()).step_by(2).map(byte).collect()
    }

    fn after(bytes: &[u8], oldest_s: i64) -> Option<Vec<u8>> {
        match trim(bytes, oldest_s).0 {
            Action::Keep => Some(bytes.to_vec()),
            Action::Replace(kept) => Some(kept),
            Action::Remove => None,
        }
    }

    fn series(records: &[(f64, f64)]) -> Vec<u8> {
        let encode = |(timestamp, value): &(f64, f64)| {
            let record = Encoded::new(Number::Float(*timestamp), Number::Float(*value));
            record.as_bytes().to_vec()
        };
        records.iter().flat_map(encode).collect()
    }

    /// Histories out of order, with duplicates, mixed kinds and cut-off ends, and
    /// what Skyline's vacuum, in Python, makes of them.
    #[test]
    fn the_result_is_that_of_skylines_roomba() {
        let text = include_str!("../../tests/goldens/roomba.json");
        let golden: serde_json::Value = serde_json::from_str(text).unwrap();
        let oldest_s = golden["oldest"].as_i64().unwrap();
        let cases = golden["cases"].as_array().unwrap();
        assert!(cases.len() > 150);
        for case in cases {
            let before = unhex(case["before"].as_str().unwrap());
            let expected = case["after"].as_str().map(unhex);
            assert_eq!(after(&before, oldest_s), expected, "{case}");
        }
    }

    #[test]
    fn what_is_no_record_is_dropped_alone() {
        let one = series(&[(100.0, 1.0)]);
        let two = series(&[(200.0, 2.0)]);
        // None as a value, a text as a value, three elements, a bare number, a map.
        let foreign: [&[u8]; 5] = [
            b"\x92\x64\xc0",
            b"\x92\x64\xa31.5",
            b"\x93\x64\x01\x02",
            b"\x07",
            b"\x81\x01\x02",
        ];
        for bytes in foreign {
            let before = [&one[..], bytes, &two].concat();
            let (action, found, _) = trim(&before, 0);
            assert_eq!(action, Action::Replace([&one[..], &two].concat()));
            assert_eq!((found.foreign, found.is_broken), (1, false), "{bytes:?}");
        }
    }

    /// A byte that begins no value, or a length that reaches behind the end, must
    /// not cost what stands behind it.
    #[test]
    fn what_can_be_read_behind_broken_bytes_is_kept() {
        let one = series(&[(100.0, 1.0)]);
        let two = series(&[(200.0, 2.0), (300.0, 3.0)]);
        for broken in [&b"\xc1"[..], b"\xdb\xff\xff\xff\xff", b"\xc1\xc1\x92\xc1"] {
            let before = [&one[..], broken, &two].concat();
            let (action, found, _) = trim(&before, 0);
            assert!(found.is_broken);
            assert_eq!(action, Action::Replace([&one[..], &two].concat()));
        }
        let (action, found, _) = trim(b"\xc1\xc1", 0);
        assert_eq!((action, found.is_broken), (Action::Remove, true));
    }

    /// Something is appended behind a record that has lost its end, at each place where
    /// it can have been lost, for each size of record.
    #[test]
    fn what_was_appended_behind_a_cut_record_is_found_again() {
        let int = |timestamp, value| {
            let record = Encoded::new(Number::Int(timestamp), Number::Int(value));
            record.as_bytes().to_vec()
        };
        let now = 1_609_459_200;
        let encode: [&dyn Fn(i64) -> Vec<u8>; 4] = [
            &|at| series(&[((now + 60 * at) as f64, at as f64 + 0.1)]),
            &|at| int(now + 60 * at, 7),
            &|at| int(now + 60 * at, 70_000 + at),
            &|at| series(&[((now + 60 * at) as f64, 0.0)]),
        ];
        // Of other sizes, a cut record and a whole one can by chance make one together.
        for (one, other) in [
            (0, 0),
            (1, 1),
            (2, 2),
            (3, 3),
            (0, 3),
            (3, 0),
            (1, 2),
            (2, 1),
        ] {
            let cut = encode[one](3);
            for kept in 1..cut.len() {
                for appended in 1..12 {
                    let good: Vec<u8> = (0..3).flat_map(encode[one]).collect();
                    let rest: Vec<u8> = (4..4 + appended).flat_map(encode[other]).collect();
                    let before = [&good[..], &cut[..kept], &rest].concat();
                    let (action, found, _) = trim(&before, 0);
                    let seen = format!("{one} {other} {kept} {appended}");
                    assert_eq!(action, Action::Replace([good, rest].concat()), "{seen}");
                    assert_eq!((found.foreign, found.is_broken), (1, false), "{seen}");
                }
            }
        }
    }

    #[test]
    fn a_series_without_records_is_left_or_removed_or_set_aside() {
        let kind = |bytes: &[u8]| {
            let (action, found, _) = trim(bytes, 100);
            (action, found.is_broken)
        };
        // Nothing whole, and numbers of which none is too old.
        for bytes in [&b""[..], b"\x92", b"\x92\xcb\x41", b"\x64", b"\x7f\x64\x65"] {
            assert_eq!(kind(bytes), (Action::Keep, false), "{bytes:?}");
        }
        for bytes in [&b"\x63"[..], b"\x7f\x63\x65"] {
            assert_eq!(kind(bytes), (Action::Remove, false), "{bytes:?}");
        }
        for bytes in [
            &b"\xc0"[..],
            b"\xa3abc",
            b"\x92\x64\xc0",
            b"\x7f\xc0",
            b"\xc1",
        ] {
            assert_eq!(kind(bytes), (Action::Remove, true), "{bytes:?}");
        }
    }

    /// The records of the newest second are apart, so that what comes in the same
    /// second can be put in order with them alone.
    #[test]
    fn the_span_says_where_the_newest_second_begins() {
        let bytes = series(&[(1.5, 1.0), (2.0, 1.0), (2.5, 1.0), (2.25, 1.0)]);
        let span = trim(&bytes, 0).2.unwrap();
        assert_eq!((span.first_s, span.last_s, span.last_at), (1, 2, 19));
        assert_eq!(first_s(&bytes[19..]), Some(2));
        assert_eq!(
            (first_s(b""), first_s(b"\x07"), first_s(&bytes[1..])),
            (None, None, None)
        );
    }

    /// Few bytes that claim to be long, over and over, must not each be followed to
    /// the end.
    #[test]
    fn claims_of_length_cost_nothing() {
        let mut bytes = Vec::new();
        for _ in 0..100_000 {
            bytes.extend(series(&[(1e9, 1.0), (2e9, 1.0)]));
            bytes.extend(b"\xdd\xff\xff\xff\xff");
        }
        let (action, found, _) = trim(&bytes, 0);
        assert!(matches!(action, Action::Replace(kept) if kept.len() == 38));
        assert!(found.is_broken && found.records > 100_000);
    }

    #[test]
    fn the_old_front_ends_at_the_first_record_that_is_new_enough() {
        let bytes = series(&[(1.0, 1.0), (2.0, 1.0), (2.5, 1.0), (3.0, 1.0)]);
        assert_eq!(old_front(&bytes, 2), Some((38, 2, Some(2))));
        assert_eq!(old_front(&bytes, 0), Some((0, 0, Some(1))));
        // All that was read is old, and the last record was cut by the read.
        assert_eq!(old_front(&bytes[..50], 9), Some((38, 2, None)));
        assert_eq!(old_front(b"\x07", 9), None);
    }

    proptest! {
        /// A second trim finds nothing to do, and a front that is cut off is what a
        /// whole trim would have taken.
        #[test]
        fn a_trim_is_final_and_agrees_with_the_cut(
            stamps in proptest::collection::vec(0u32..200, 1..40),
            oldest_s in 0i64..200,
        ) {
            let records: Vec<_> = stamps.iter().map(|s| (f64::from(*s), 1.0)).collect();
            if let Some(once) = after(&series(&records), 0) {
                prop_assert_eq!(trim(&once, 0).0, Action::Keep);
                let (cut, _, first) = old_front(&once, oldest_s).unwrap();
                let trimmed = after(&once, oldest_s);
                prop_assert_eq!(trimmed.is_some(), first.is_some());
                prop_assert_eq!(trimmed.unwrap_or_default(), &once[cut..]);
            }
        }

        #[test]
        fn no_bytes_panic_and_what_is_kept_stays(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Action::Replace(kept) = trim(&bytes, 0).0 {
                prop_assert_eq!(trim(&kept, 0).0, Action::Keep);
            }
        }
    }
}
