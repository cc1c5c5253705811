//! Skyline's own Roomba, as a model: of each series, in each pass, every record is
//! read, unpacked, sorted, rid of duplicates, packed and written back, in an
//! optimistic transaction over one connection.
//!
//! ```text
//! WATCH key  ->  GET key  ->  MULTI, SET key, EXEC     three round trips a series
//! ```

use anyhow::Result;
use redis::{Connection, Value};

use crate::verify::UNIQUE;

const LAST_TRIMMED: &str = "horizon.roomba.metrics_last_trimmed";

/// What its passes have met.
#[derive(Clone, Copy, Debug, Default)]
pub struct Vacuumed {
    /// Series that were written back.
    pub trimmed: u64,
    /// Series that were removed.
    pub removed: u64,
    /// Series that another writer changed meanwhile: they are left as they are.
    pub blocked: u64,
}

/// One pass at a time at which records up to `oldest_s` are too old.
pub fn pass(redis: &mut Connection, oldest_s: i64, now_s: i64) -> Result<Vacuumed> {
    let mut done = Vacuumed::default();
    let keys: Vec<Vec<u8>> = redis::cmd("SMEMBERS").arg(UNIQUE).query(redis)?;
    let mut trims = redis::cmd("HSET");
    trims.arg(LAST_TRIMMED);
    for key in &keys {
        redis::cmd("WATCH").arg(key).exec(redis)?;
        let series: Vec<u8> = redis::cmd("GET").arg(key).query(redis)?;
        let mut write = redis::pipe();
        write.atomic();
        let is_removed = match vacuum(&series, oldest_s) {
            Some(kept) => {
                write.cmd("SET").arg(key).arg(kept);
                false
            }
            None => {
                write.cmd("DEL").arg(key).cmd("SREM").arg(UNIQUE).arg(key);
                true
            }
        };
        let answer: Value = write.query(redis)?;
        match (answer, is_removed) {
            (Value::Nil, _) => done.blocked += 1,
            (_, true) => done.removed += 1,
            (_, false) => {
                done.trimmed += 1;
                trims.arg(key).arg(now_s);
            }
        }
    }
    if done.trimmed > 0 {
        trims.exec(redis)?;
    }
    Ok(done)
}

/// A record: its two numbers, for comparing, and its bytes.
struct Record<'a> {
    timestamp: f64,
    value: f64,
    bytes: &'a [u8],
}

/// The series afterwards, or `None` if it is removed. A record of which the end is
/// missing ends the series.
pub fn vacuum(series: &[u8], oldest_s: i64) -> Option<Vec<u8>> {
    let mut records = unpack(series);
    if records.is_empty() {
        return Some(series.to_vec());
    }
    let order = |one: &Record<'_>, two: &Record<'_>| {
        let by_time = one.timestamp.total_cmp(&two.timestamp);
        by_time.then(one.value.partial_cmp(&two.value).unwrap_or(by_time))
    };
    records.sort_by(order);
    records.retain(|record| record.timestamp > oldest_s as f64);
    records.dedup_by(|later, kept| later.timestamp == kept.timestamp);
    // Each record is packed again, as it was.
    let pack = |record: &Record<'_>| record.bytes.to_vec();
    let kept: Vec<u8> = records.iter().flat_map(pack).collect();
    (!kept.is_empty()).then_some(kept)
}

fn unpack(mut series: &[u8]) -> Vec<Record<'_>> {
    let mut records = Vec::with_capacity(series.len() / 15 + 1);
    while let Some(record) = record(series) {
        series = &series[record.bytes.len()..];
        records.push(record);
    }
    records
}

fn record(bytes: &[u8]) -> Option<Record<'_>> {
    let numbers = bytes.strip_prefix(b"\x92")?;
    let (timestamp, rest) = number(numbers)?;
    let (value, rest) = number(rest)?;
    Some(Record {
        timestamp,
        value,
        bytes: &bytes[..bytes.len() - rest.len()],
    })
}

/// The number that `bytes` begin with, and what is behind it.
fn number(bytes: &[u8]) -> Option<(f64, &[u8])> {
    let (&kind, rest) = bytes.split_first()?;
    let length = match kind {
        0x00..=0x7f => return Some((f64::from(kind), rest)),
        0xe0..=0xff => return Some((f64::from(kind as i8), rest)),
        0xc2 | 0xc3 => return Some((f64::from(kind - 0xc2), rest)),
        0xcc | 0xd0 => 1,
        0xcd | 0xd1 => 2,
        0xca | 0xce | 0xd2 => 4,
        0xcb | 0xcf | 0xd3 => 8,
        _ => return None,
    };
    let (digits, rest) = rest.split_at_checked(length)?;
    let mut whole = [0; 8];
    whole[8 - length..].copy_from_slice(digits);
    let unsigned = u64::from_be_bytes(whole);
    // The sign of a shorter integer is that of its first bit.
    let shift = 64 - 8 * length as u32;
    let signed = ((unsigned << shift) as i64) >> shift;
    let number = match kind {
        0xca => f64::from(f32::from_bits(unsigned as u32)),
        0xcb => f64::from_bits(unsigned),
        0xd0..=0xd3 => signed as f64,
        _ => unsigned as f64,
    };
    Some((number, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unhex(text: &str) -> Vec<u8> {
        let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
        (0..text.len()).step_by(2).map(byte).collect()
    }

    /// The model must not be another Roomba than Skyline's: what that makes of the
    /// same series was written down with Python's msgpack.
    #[test]
    fn the_model_makes_of_series_what_skylines_roomba_makes() {
        let text = include_str!("../../../../tests/goldens/roomba.json");
        let golden: serde_json::Value = serde_json::from_str(text).unwrap();
        let oldest_s = golden["oldest"].as_i64().unwrap();
        let mut compared = 0;
        for case in golden["cases"].as_array().unwrap() {
            let before = unhex(case["before"].as_str().unwrap());
            // Of numbers outside of records the model knows nothing.
            if before.first().is_some_and(|first| *first != 0x92) {
                continue;
            }
            let expected = case["after"].as_str().map(unhex);
            assert_eq!(vacuum(&before, oldest_s), expected, "{case}");
            compared += 1;
        }
        assert!(compared > 150);
    }
}
