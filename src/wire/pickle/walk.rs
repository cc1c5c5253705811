//! Reads the points out of what the general machine built. The words that handles and
//! the arena are made of are described in [`super::machine`].

use super::machine::{ATOM, FLOAT, LIST, NO_TEXT, OFFSET, PAIR, TEXT, TUPLE};
use super::{BadFrame, Limits, Stored, TextAt, make_room, text};
use crate::point::{Invalid, InvalidCounts, Number};
use crate::wire::number;

/// Longest line that is read as an integer once more when a point is made of it. Python
/// writes at most 20 digits of what 64 bits hold; the same line can be in many points.
const INTEGER_LINE_BYTES_MAX: usize = 32;

/// Reads what the machine built.
pub(super) struct Walk<'a> {
    pub(super) frame: &'a [u8],
    pub(super) arena: &'a [u32],
    pub(super) side: &'a [u8],
}

impl<'a> Walk<'a> {
    /// Stores the points of the list or tuple `root`; returns how many items were none.
    pub(super) fn points(
        &self,
        root: u32,
        points: &mut Vec<Stored>,
        limits: Limits,
    ) -> Result<InvalidCounts, BadFrame> {
        let mut invalid = InvalidCounts::default();
        // An item of many points can be in the list many times, so what is looked at
        // is bounded as a whole.
        let mut looks = 2 * limits.points;
        for item in self.elements(root).ok_or(BadFrame::NotAList)? {
            looks = looks.checked_sub(1).ok_or(BadFrame::TooComplex)?;
            // The usual item: a name and one pair.
            if let Some([name, pair]) = self.pair(item)
                && let Some(name) = self.text(name)
                && let Some(pair) = self.pair(pair)
            {
                self.point(name, pair, points, limits, &mut invalid)?;
                continue;
            }
            let Some((name, pairs)) = self.item(item) else {
                invalid.add(Invalid::Shape);
                continue;
            };
            for pair in pairs {
                looks = looks.checked_sub(1).ok_or(BadFrame::TooComplex)?;
                match self.pair(pair) {
                    Some(pair) => self.point(name, pair, points, limits, &mut invalid)?,
                    None => invalid.add(Invalid::Shape),
                }
            }
        }
        Ok(invalid)
    }

    /// An item's name, and its pairs: the first one is there and is a pair.
    fn item(&self, item: u32) -> Option<(TextAt, Elements<'a>)> {
        let mut elements = self.elements(item)?;
        let name = self.text(elements.next()?)?;
        self.pair(elements.clone().next()?)?;
        Some((name, elements))
    }

    #[inline]
    fn point(
        &self,
        name: TextAt,
        [timestamp, value]: [u32; 2],
        points: &mut Vec<Stored>,
        limits: Limits,
        invalid: &mut InvalidCounts,
    ) -> Result<(), BadFrame> {
        match (self.number(timestamp), self.number(value)) {
            (Ok(timestamp), Ok(value)) => {
                make_room(points, 1, limits.points)?;
                points.push(Stored {
                    name,
                    timestamp,
                    value,
                });
            }
            (Err(why), _) | (_, Err(why)) => invalid.add(why),
        }
        Ok(())
    }

    /// The two elements of a list or tuple of exactly two.
    #[inline]
    fn pair(&self, handle: u32) -> Option<[u32; 2]> {
        if handle & !OFFSET == PAIR {
            return self.words(handle & OFFSET);
        }
        self.pair_of_any(handle)
    }

    #[inline(never)]
    fn pair_of_any(&self, handle: u32) -> Option<[u32; 2]> {
        let mut elements = self.elements(handle)?;
        let pair = [elements.next()?, elements.next()?];
        elements.next().is_none().then_some(pair)
    }

    /// The elements of a list or tuple.
    #[inline]
    fn elements(&self, handle: u32) -> Option<Elements<'a>> {
        let at = handle & OFFSET;
        let (chunk, here) = match handle & !OFFSET {
            PAIR => (0, self.slice(at, 2)),
            TUPLE => {
                let [n] = self.words(at)?;
                (0, self.slice(at + 1, n))
            }
            LIST => {
                let [chunk] = self.words(at)?;
                (chunk, &[][..])
            }
            _ => return None,
        };
        Some(Elements {
            arena: self.arena,
            here,
            chunk,
        })
    }

    /// Where a name stands, if it is one.
    #[inline]
    fn text(&self, handle: u32) -> Option<TextAt> {
        let at = handle & OFFSET;
        match handle & !OFFSET {
            ATOM => atom_text(self.frame, at),
            TEXT => match self.words(at)? {
                [NO_TEXT, _] => None,
                [at, bytes] => Some(TextAt { at, bytes }),
            },
            _ => None,
        }
    }

    #[inline]
    fn number(&self, handle: u32) -> Result<Number, Invalid> {
        let at = handle & OFFSET;
        match handle & !OFFSET {
            ATOM => match self.atom_number(at) {
                Some(number) => number,
                None => self.text_number(handle),
            },
            FLOAT => {
                let [low, high] = self.words(at).ok_or(Invalid::NotNumeric)?;
                let bits = u64::from(high) << 32 | u64::from(low);
                Ok(Number::Float(f64::from_bits(bits)))
            }
            _ => self.text_number(handle),
        }
    }

    /// The number whose opcode stands at `at`, if it is one of a number.
    #[inline]
    fn atom_number(&self, at: u32) -> Option<Result<Number, Invalid>> {
        let (opcode, rest) = self.frame.get(at as usize..)?.split_first()?;
        Some(Ok(match opcode {
            b'G' => Number::Float(f64::from_be_bytes(*rest.first_chunk()?)),
            b'J' => Number::Int(i32::from_le_bytes(*rest.first_chunk()?).into()),
            b'K' => Number::Int(i64::from(*rest.first()?)),
            b'M' => Number::Int(u16::from_le_bytes(*rest.first_chunk()?).into()),
            0x88 => Number::Bool(true),
            0x89 => Number::Bool(false),
            0x8a => {
                let (n, rest) = rest.split_first()?;
                return Some(two_complement(rest.get(..usize::from(*n))?));
            }
            0x8b => {
                let (n, rest) = rest.split_first_chunk()?;
                return Some(two_complement(rest.get(..u32::from_le_bytes(*n) as usize)?));
            }
            b'I' | b'L' => return Some(integer_line(*opcode, rest)),
            _ => return None,
        }))
    }

    /// The number that a text spells.
    fn text_number(&self, handle: u32) -> Result<Number, Invalid> {
        let text = self.text(handle).ok_or(Invalid::NotNumeric)?;
        number::parse(text.of(self.frame, self.side))
    }

    #[inline]
    fn words<const N: usize>(&self, at: u32) -> Option<[u32; N]> {
        self.arena.get(at as usize..)?.first_chunk().copied()
    }

    #[inline]
    fn slice(&self, at: u32, n: u32) -> &'a [u32] {
        self.arena
            .get(at as usize..at as usize + n as usize)
            .unwrap_or(&[])
    }
}

/// The handles in a list or tuple, in order.
#[derive(Clone)]
struct Elements<'a> {
    arena: &'a [u32],
    here: &'a [u32],
    /// The chunk after `here`, or 0.
    chunk: u32,
}

impl Iterator for Elements<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        // Every chunk holds something, so one step is enough.
        if self.here.is_empty() && self.chunk != 0 {
            let ([next, n], rest) = self.arena.get(self.chunk as usize..)?.split_first_chunk()?;
            self.here = rest.get(..*n as usize)?;
            self.chunk = *next;
        }
        let (first, rest) = self.here.split_first()?;
        self.here = rest;
        Some(*first)
    }
}

/// Where the text stands whose opcode is at `at`, if it is the opcode of a text.
#[inline]
pub(super) fn atom_text(frame: &[u8], at: u32) -> Option<TextAt> {
    let (opcode, rest) = frame.get(at as usize..)?.split_first()?;
    let (header, bytes) = match opcode {
        b'U' | b'C' | 0x8c => (2, u32::from(*rest.first()?)),
        b'X' | b'T' | b'B' => (5, u32::from_le_bytes(*rest.first_chunk()?)),
        // The machine found all these bytes in the frame, so the low half is all.
        0x8d | 0x8e | 0x96 => (9, u64::from_le_bytes(*rest.first_chunk()?) as u32),
        _ => return None,
    };
    Some(TextAt {
        at: at + header,
        bytes,
    })
}

/// The integer of a LONG1 or LONG4 argument: little-endian two's complement.
#[inline]
fn two_complement(bytes: &[u8]) -> Result<Number, Invalid> {
    const WIDTH: usize = size_of::<i128>();
    if bytes.len() > WIDTH {
        return Err(Invalid::OutOfRange);
    }
    let negative = bytes.last().is_some_and(|last| last & 0x80 != 0);
    let mut wide = if negative { [0xff; WIDTH] } else { [0; WIDTH] };
    for (to, from) in wide.iter_mut().zip(bytes) {
        *to = *from;
    }
    let n = i128::from_le_bytes(wide);
    i64::try_from(n)
        .map(Number::Int)
        .or_else(|_| u64::try_from(n).map(Number::Uint))
        .map_err(|_| Invalid::OutOfRange)
}

/// The number of an INT or LONG line, which the machine has checked.
fn integer_line(opcode: u8, rest: &[u8]) -> Result<Number, Invalid> {
    let rest = rest.get(..INTEGER_LINE_BYTES_MAX).unwrap_or(rest);
    let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
        return Err(Invalid::OutOfRange);
    };
    let line = rest.get(..end).unwrap_or(&[]);
    match (opcode, line) {
        (b'I', b"00") => Ok(Number::Bool(false)),
        (b'I', b"01") => Ok(Number::Bool(true)),
        _ => text::integer(digits(opcode, line))
            .ok()
            .flatten()
            .ok_or(Invalid::OutOfRange),
    }
}

/// Whether an INT line is `False` or `True`, which protocols 0 and 1 write so.
pub(super) fn is_bool(opcode: u8, line: &[u8]) -> bool {
    opcode == b'I' && matches!(line, b"00" | b"01")
}

/// The digits of an INT or LONG line: LONG may end in an L.
pub(super) fn digits(opcode: u8, line: &[u8]) -> &[u8] {
    let line = line.trim_ascii_end();
    if opcode == b'L' {
        line.strip_suffix(b"L").unwrap_or(line)
    } else {
        line
    }
}
