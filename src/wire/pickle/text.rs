//! Texts inside pickles: lines of protocol 0, escapes, and numbers in letters.

use super::BadFrame;
use crate::point::Number;
use crate::wire::number;

/// Splits off the line at the start, without its newline, which must be there.
#[inline]
pub(super) fn line(rest: &[u8]) -> Result<(&[u8], &[u8]), BadFrame> {
    const LOW: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    const NEWLINES: u64 = u64::from_ne_bytes([b'\n'; 8]);
    // Most lines are shorter than what makes a call of memchr pay.
    let mut from = 0;
    while let Some(eight) = rest.get(from..).and_then(<[u8]>::first_chunk) {
        let difference = u64::from_le_bytes(*eight) ^ NEWLINES;
        let found = difference.wrapping_sub(LOW) & !difference & HIGH;
        if found != 0 {
            return cut(rest, from + (found.trailing_zeros() / 8) as usize);
        }
        from += eight.len();
    }
    let left = rest.get(from..).unwrap_or(&[]);
    let newline = left
        .iter()
        .position(|byte| *byte == b'\n')
        .ok_or(BadFrame::Truncated)?;
    cut(rest, from + newline)
}

#[inline]
fn cut(rest: &[u8], newline: usize) -> Result<(&[u8], &[u8]), BadFrame> {
    match rest.split_at_checked(newline) {
        Some((line, [_, after @ ..])) => Ok((line, after)),
        _ => Err(BadFrame::Truncated),
    }
}

/// Whether a text can stay as it is: ASCII without a backslash. Looks at all of it, as
/// that is quicker than to stop early.
#[inline]
pub(super) fn is_plain(text: &[u8]) -> bool {
    text.iter().fold(true, |plain, byte| {
        plain & (*byte < 0x80) & (*byte != b'\\')
    })
}

/// Reads the decimal text of an INT or LONG opcode: `None` if no 64-bit integer can
/// hold it.
pub(super) fn integer(line: &[u8]) -> Result<Option<Number>, BadFrame> {
    let text = line.trim_ascii();
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    // Python reads a leading zero as octal in INT, and refuses it in LONG.
    let ambiguous = digits.len() > 1 && digits.starts_with(b"0");
    if digits.is_empty() || ambiguous || !digits.iter().all(u8::is_ascii_digit) {
        return Err(BadFrame::BadNumber);
    }
    Ok(number::magnitude(digits).and_then(|n| {
        if negative {
            0_i64.checked_sub_unsigned(n).map(Number::Int)
        } else {
            Some(number::unsigned(n))
        }
    }))
}

/// Reads the text of a FLOAT opcode.
pub(super) fn float(line: &[u8]) -> Result<f64, BadFrame> {
    number::float(line.trim_ascii()).ok_or(BadFrame::BadNumber)
}

/// Reads the line of a memo index: digits only.
#[inline]
pub(super) fn index(rest: &[u8]) -> Result<(usize, &[u8]), BadFrame> {
    let mut index = 0_usize;
    let mut text = rest;
    while let [byte, after @ ..] = text {
        text = after;
        match byte {
            b'0'..=b'9' => {
                index = index
                    .saturating_mul(10)
                    .saturating_add(usize::from(byte - b'0'));
            }
            b'\n' if rest.len() > after.len() + 1 => return Ok((index, after)),
            _ => return Err(BadFrame::BadNumber),
        }
    }
    Err(BadFrame::Truncated)
}

/// Takes the quotes off the argument of a STRING opcode.
pub(super) fn unquoted(line: &[u8]) -> Result<&[u8], BadFrame> {
    match line {
        [b'\'', text @ .., b'\''] | [b'"', text @ .., b'"'] => Ok(text),
        _ => Err(BadFrame::BadText),
    }
}

/// Decodes the escapes of Python's `repr` of a byte string, and appends the result.
pub(super) fn unescape_bytes(mut text: &[u8], out: &mut Vec<u8>) -> Result<(), BadFrame> {
    while let [first, rest @ ..] = text {
        text = rest;
        if *first != b'\\' {
            out.push(*first);
            continue;
        }
        let [escape, rest @ ..] = rest else {
            return Err(BadFrame::BadText);
        };
        text = rest;
        match escape {
            b'\\' | b'\'' | b'"' => out.push(*escape),
            b'a' => out.push(7),
            b'b' => out.push(8),
            b't' => out.push(b'\t'),
            b'n' => out.push(b'\n'),
            b'v' => out.push(11),
            b'f' => out.push(12),
            b'r' => out.push(b'\r'),
            b'x' => {
                let (byte, rest) = hex(text, 2)?;
                out.push(byte as u8);
                text = rest;
            }
            b'0'..=b'7' => {
                let mut byte = u32::from(escape - b'0');
                for _ in 0..2 {
                    let [digit @ b'0'..=b'7', rest @ ..] = text else {
                        break;
                    };
                    byte = byte * 8 + u32::from(digit - b'0');
                    text = rest;
                }
                // Python keeps the low byte of what is above \377.
                out.push(byte as u8);
            }
            _ => out.extend([b'\\', *escape]),
        }
    }
    Ok(())
}

/// Decodes Python's raw-unicode-escape (Latin-1 with `\uXXXX` and `\UXXXXXXXX`), and
/// appends the result as UTF-8. `false` if it holds half of a surrogate pair alone:
/// then it is no Unicode text, and what was appended is of no use.
pub(super) fn unescape_unicode(text: &[u8], out: &mut Vec<u8>) -> Result<bool, BadFrame> {
    let mut codes = RawUnicode {
        text,
        verbatim: false,
    };
    let mut utf8 = [0; 4];
    let mut whole = true;
    let mut high = None;
    while let Some(code) = codes.next()? {
        let code = match (high.take(), code) {
            (None, 0xd800..=0xdbff) => {
                high = Some(code);
                continue;
            }
            // Python 2 wrote what lies beyond 16 bits as two escapes.
            (Some(high), 0xdc00..=0xdfff) => 0x10000 + ((high - 0xd800) << 10) + (code - 0xdc00),
            (Some(_), _) => {
                whole = false;
                continue;
            }
            (None, code) => code,
        };
        match char::from_u32(code) {
            Some(letter) => out.extend_from_slice(letter.encode_utf8(&mut utf8).as_bytes()),
            None => whole = false,
        }
    }
    Ok(whole && high.is_none())
}

/// The code points of a raw-unicode-escape text.
struct RawUnicode<'a> {
    text: &'a [u8],
    /// The next byte follows a backslash that began no escape, so it begins none.
    verbatim: bool,
}

impl RawUnicode<'_> {
    fn next(&mut self) -> Result<Option<u32>, BadFrame> {
        let verbatim = std::mem::take(&mut self.verbatim);
        let (code, rest) = match self.text {
            [] => return Ok(None),
            [b'\\', b'u', rest @ ..] if !verbatim => hex(rest, 4)?,
            [b'\\', b'U', rest @ ..] if !verbatim => hex(rest, 8)?,
            [first, rest @ ..] => {
                self.verbatim = *first == b'\\' && !verbatim;
                (u32::from(*first), rest)
            }
        };
        if code > 0x10_ffff {
            return Err(BadFrame::BadText);
        }
        self.text = rest;
        Ok(Some(code))
    }
}

fn hex(text: &[u8], digits: usize) -> Result<(u32, &[u8]), BadFrame> {
    let (digits, rest) = text.split_at_checked(digits).ok_or(BadFrame::BadText)?;
    let mut value = 0;
    for &digit in digits {
        let digit = char::from(digit).to_digit(16).ok_or(BadFrame::BadText)?;
        value = value << 4 | digit;
    }
    Ok((value, rest))
}
