//! The record that a point becomes in Redis: the MessagePack array of its
//! timestamp and value, in the bytes that Python's msgpack writes.
//!
//! ```text
//! 92            array of two
//! ce 5fee6600   timestamp: the smallest integer form, or cb and a double
//! cb 3ff8...    value: the same, or c2 and c3 for False and True
//! ```
//!
//! A series is the plain concatenation of its records.

use crate::point::Number;

/// Longest record: the array's byte and two numbers of nine.
pub const RECORD_BYTES_MAX: usize = 19;

/// One encoded record.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    bytes: [u8; RECORD_BYTES_MAX],
    len: u8,
}

impl Record {
    /// Encodes a point.
    pub fn new(timestamp: Number, value: Number) -> Self {
        let mut record = Self {
            bytes: [0; RECORD_BYTES_MAX],
            len: 1,
        };
        record.bytes[0] = 0x92;
        record.push(timestamp);
        record.push(value);
        record
    }

    /// The encoded bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The encoded bytes in their place, those behind them without meaning, and
    /// how many they are.
    pub(crate) fn into_parts(self) -> ([u8; RECORD_BYTES_MAX], u8) {
        (self.bytes, self.len)
    }

    fn push(&mut self, number: Number) {
        match number {
            Number::Float(float) => self.put(0xcb, float.to_be_bytes()),
            Number::Uint(int) => self.put(0xcf, int.to_be_bytes()),
            Number::Bool(truth) => self.put(if truth { 0xc3 } else { 0xc2 }, []),
            Number::Int(int) => match int {
                // The byte is the number itself, in two's complement.
                -0x20..=0x7f => self.put(int as u8, []),
                0x80..=0xff => self.put(0xcc, [int as u8]),
                0x100..=0xffff => self.put(0xcd, (int as u16).to_be_bytes()),
                0x1_0000..=0xffff_ffff => self.put(0xce, (int as u32).to_be_bytes()),
                0x1_0000_0000.. => self.put(0xcf, int.to_be_bytes()),
                -0x80..=-0x21 => self.put(0xd0, [int as u8]),
                -0x8000..=-0x81 => self.put(0xd1, (int as i16).to_be_bytes()),
                -0x8000_0000..=-0x8001 => self.put(0xd2, (int as i32).to_be_bytes()),
                _ => self.put(0xd3, int.to_be_bytes()),
            },
        }
    }

    fn put<const N: usize>(&mut self, tag: u8, body: [u8; N]) {
        let at = usize::from(self.len);
        self.bytes[at] = tag;
        self.bytes[at + 1..at + 1 + N].copy_from_slice(&body);
        self.len += 1 + N as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(timestamp: Number, value: Number) -> String {
        Record::new(timestamp, value)
            .as_bytes()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// The expectations are what `msgpack.packb((timestamp, value))` printed.
    #[test]
    fn records_are_the_bytes_of_pythons_msgpack() {
        use Number::{Bool, Float, Int, Uint};
        let ts = Int(1_609_459_200);
        let cases = [
            (Float(1.0), "cb3ff0000000000000"),
            (Int(0), "00"),
            (Int(1), "01"),
            (Int(127), "7f"),
            (Int(128), "cc80"),
            (Int(255), "ccff"),
            (Int(256), "cd0100"),
            (Int(300), "cd012c"),
            (Int(65_535), "cdffff"),
            (Int(65_536), "ce00010000"),
            (Int(70_000), "ce00011170"),
            (Int(4_294_967_295), "ceffffffff"),
            (Int(4_294_967_296), "cf0000000100000000"),
            (Int(i64::MAX), "cf7fffffffffffffff"),
            (Uint(u64::MAX), "cfffffffffffffffff"),
            (Int(-1), "ff"),
            (Int(-32), "e0"),
            (Int(-33), "d0df"),
            (Int(-128), "d080"),
            (Int(-129), "d1ff7f"),
            (Int(-32_768), "d18000"),
            (Int(-32_769), "d2ffff7fff"),
            (Int(-2_147_483_648), "d280000000"),
            (Int(-2_147_483_649), "d3ffffffff7fffffff"),
            (Int(i64::MIN), "d38000000000000000"),
            (Bool(true), "c3"),
            (Bool(false), "c2"),
        ];
        for (value, expected) in cases {
            assert_eq!(
                hex(ts, value),
                format!("92ce5fee6600{expected}"),
                "{value:?}"
            );
        }
        assert_eq!(
            hex(Float(1_609_459_200.0), Float(1.5)),
            "92cb41d7fb9980000000cb3ff8000000000000"
        );
        assert_eq!(
            Record::new(Float(0.0), Float(0.0)).as_bytes().len(),
            RECORD_BYTES_MAX
        );
    }
}
