//! The straight-line matcher for what CPython's C picklers write of a plain list of
//! `(name, (timestamp, value))`, in protocols 2 to 5:
//!
//! ```text
//! PROTO FRAME? EMPTY_LIST put? ( MARK item* APPENDS )* ( item APPEND )? STOP
//! item: name put? number number TUPLE2 put? TUPLE2 put?
//! ```
//!
//! It gives up (`None`) at anything else, and the general machine starts anew. So it
//! takes nothing that the machine would refuse, and reads nothing differently.

use super::walk::atom_text;
use super::{Limits, Scratch, Stored, TextAt, make_room};
use crate::point::Number;

/// Shortest timestamp, with its opcode, of a point whose time matters. With it the
/// shortest item is 11 bytes long, or 13 if it is alone between MARK and APPENDS, or 14
/// with three memo entries: so whatever is matched is within the machine's [`Limits`].
const TIMESTAMP_BYTES_MIN: usize = 5;

/// A memo entry that is no name.
const NO_NAME: u32 = u32::MAX;

/// Matches the whole frame and stores its points; `None` if it is of another form.
pub(super) fn decode(frame: &[u8], scratch: &mut Scratch) -> Option<()> {
    let [0x80, 2..=5, rest @ ..] = frame else {
        return None;
    };
    let mut rest = rest;
    if let [0x95, after @ ..] = rest {
        let (n, after) = after.split_first_chunk()?;
        if u64::from_le_bytes(*n) > after.len() as u64 {
            return None;
        }
        rest = after;
    }
    let [b']', after @ ..] = rest else {
        return None;
    };
    let limits = Limits::of(frame.len());
    let mut matcher = Matcher {
        frame,
        limits,
        scratch,
        rest: after,
        gap: false,
    };
    matcher.put(NO_NAME)?;
    loop {
        let (opcode, after) = matcher.rest.split_first()?;
        match opcode {
            b'(' => {
                matcher.rest = after;
                while !matcher.skip(b'e') {
                    matcher.item()?;
                }
            }
            b'.' => return Some(()),
            _ => {
                matcher.item()?;
                return (matcher.skip(b'a') && matcher.skip(b'.')).then_some(());
            }
        }
    }
}

struct Matcher<'a> {
    frame: &'a [u8],
    limits: Limits,
    scratch: &'a mut Scratch,
    /// What is not yet matched.
    rest: &'a [u8],
    /// The memo begins with entry 1, as in Python 2.
    gap: bool,
}

impl Matcher<'_> {
    #[inline(always)]
    fn item(&mut self) -> Option<()> {
        let name = self.name()?;
        let before = self.rest.len();
        let timestamp = self.number()?;
        if before - self.rest.len() < TIMESTAMP_BYTES_MIN {
            return None;
        }
        let value = self.number()?;
        for _ in 0..2 {
            if !self.skip(0x86) {
                return None;
            }
            self.put(NO_NAME)?;
        }
        make_room(&mut self.scratch.points, 1, self.limits.points).ok()?;
        self.scratch.points.push(Stored {
            name,
            timestamp,
            value,
        });
        Some(())
    }

    #[inline(always)]
    fn name(&mut self) -> Option<TextAt> {
        let at = self.frame.len() - self.rest.len();
        let (opcode, rest) = self.rest.split_first()?;
        let (bytes, rest) = match opcode {
            b'X' => {
                let (bytes, rest) = rest.split_first_chunk()?;
                (u32::from_le_bytes(*bytes), rest)
            }
            b'U' | 0x8c => {
                let (bytes, rest) = rest.split_first()?;
                (u32::from(*bytes), rest)
            }
            b'h' => {
                let (index, rest) = rest.split_first()?;
                self.rest = rest;
                return self.recall(usize::from(*index));
            }
            b'j' => {
                let (index, rest) = rest.split_first_chunk()?;
                self.rest = rest;
                return self.recall(u32::from_le_bytes(*index) as usize);
            }
            _ => return None,
        };
        let name_at = self.frame.len() - rest.len();
        self.rest = rest.get(bytes as usize..)?;
        self.put(at as u32)?;
        Some(TextAt {
            at: name_at as u32,
            bytes,
        })
    }

    #[inline(always)]
    fn number(&mut self) -> Option<Number> {
        let (opcode, rest) = self.rest.split_first()?;
        let (number, rest) = match opcode {
            b'G' => {
                let (bytes, rest) = rest.split_first_chunk()?;
                (Number::Float(f64::from_be_bytes(*bytes)), rest)
            }
            b'J' => {
                let (bytes, rest) = rest.split_first_chunk()?;
                (Number::Int(i32::from_le_bytes(*bytes).into()), rest)
            }
            b'K' => {
                let (byte, rest) = rest.split_first()?;
                (Number::Int(i64::from(*byte)), rest)
            }
            b'M' => {
                let (bytes, rest) = rest.split_first_chunk()?;
                (Number::Int(u16::from_le_bytes(*bytes).into()), rest)
            }
            0x8a => {
                let (n, rest) = rest.split_first()?;
                let (bytes, rest) = rest.split_at_checked(usize::from(*n))?;
                (Number::Int(eight_bytes(bytes)?), rest)
            }
            _ => return None,
        };
        self.rest = rest;
        Some(number)
    }

    /// Matches what memoises the value before it, if that is there. The entries must be
    /// numbered one after another, as CPython does it.
    #[inline(always)]
    fn put(&mut self, name: u32) -> Option<()> {
        let (index, rest) = match self.rest {
            [b'q', index, rest @ ..] => (usize::from(*index), rest),
            [b'r', a, b, c, d, rest @ ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, rest),
            [0x94, rest @ ..] if !self.gap => (self.scratch.memo.len(), rest),
            _ => return Some(()),
        };
        let memo = &mut self.scratch.memo;
        make_room(memo, 2, self.limits.memo).ok()?;
        if index != memo.len() {
            if index != 1 || !memo.is_empty() {
                return None;
            }
            memo.push(NO_NAME);
            self.gap = true;
        }
        memo.push(name);
        self.rest = rest;
        Some(())
    }

    #[inline]
    fn recall(&self, index: usize) -> Option<TextAt> {
        match self.scratch.memo.get(index) {
            Some(&at) if at != NO_NAME => atom_text(self.frame, at),
            _ => None,
        }
    }

    #[inline(always)]
    fn skip(&mut self, opcode: u8) -> bool {
        match self.rest {
            [first, rest @ ..] if *first == opcode => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }
}

/// A LONG1 of at most 64 bits: little-endian two's complement.
#[inline]
fn eight_bytes(bytes: &[u8]) -> Option<i64> {
    let mut wide = [0; 8];
    let unused = 8_usize.checked_sub(bytes.len())?;
    wide.get_mut(unused..)?.copy_from_slice(bytes);
    // The shift brings the sign along.
    i64::from_le_bytes(wide)
        .checked_shr(8 * unused as u32)
        .or(Some(0))
}
