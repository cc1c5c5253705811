//! What stands in Redis for a point: msgpack of `(timestamp, value)` as Skyline's
//! Python writes it.
//!
//! ```text
//! float timestamp: 92 cb <f64> cb <f64>   19 bytes
//! int timestamp:   92 ce <u32> cb <f64>   15 bytes
//! ```

use crate::plan::Stamp;

/// Appends one record to `out`.
pub fn put(out: &mut Vec<u8>, stamp: Stamp, second: u64, value: f64) {
    out.push(0x92);
    match stamp {
        Stamp::Float => {
            out.push(0xcb);
            out.extend_from_slice(&(second as f64).to_be_bytes());
        }
        Stamp::Int => {
            out.push(0xce);
            out.extend_from_slice(&(second as u32).to_be_bytes());
        }
    }
    out.push(0xcb);
    out.extend_from_slice(&value.to_be_bytes());
}

/// The bytes of one record.
pub fn bytes(stamp: Stamp) -> usize {
    match stamp {
        Stamp::Float => 19,
        Stamp::Int => 15,
    }
}

/// The values of a series of records; the rest is ignored from the first byte
/// that is no record of these two kinds.
pub fn values(mut series: &[u8]) -> impl Iterator<Item = f64> {
    std::iter::from_fn(move || {
        let length = match series {
            [0x92, 0xcb, ..] => 19,
            [0x92, 0xce, ..] => 15,
            _ => return None,
        };
        let (record, rest) = series.split_at_checked(length)?;
        series = rest;
        let value: [u8; 8] = record.last_chunk().copied()?;
        (record[length - 9] == 0xcb).then(|| f64::from_be_bytes(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that msgpack-python 0.5.6 gave for (1609459200.0, 1.5) and (1609459200, 1.0).
    #[test]
    fn records_are_what_pythons_msgpack_writes() {
        let mut out = Vec::new();
        put(&mut out, Stamp::Float, 1_609_459_200, 1.5);
        let float = b"\x92\xcb\x41\xd7\xfb\x99\x80\0\0\0\xcb\x3f\xf8\0\0\0\0\0\0";
        assert_eq!(out, float);
        put(&mut out, Stamp::Int, 1_609_459_200, 1.0);
        assert_eq!(
            &out[19..],
            b"\x92\xce\x5f\xee\x66\0\xcb\x3f\xf0\0\0\0\0\0\0"
        );
        assert_eq!(values(&out).collect::<Vec<_>>(), [1.5, 1.0]);
    }
}
