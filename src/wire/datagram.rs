//! MessagePack datagrams: each is one value, `[name, [timestamp, value]]`.
//!
//! ```text
//! 92                     array of two
//! a3 612e62              name: a string, or bytes
//! 92                     array of two
//! ce 5fee6600            timestamp: any number
//! cb 3ff8000000000000    value: any number
//! ```
//!
//! Arrays may have any of their three headers. A timestamp or value may be the text of
//! a number too. Nothing is allocated, and nothing nested is followed by recursion.

#[cfg(test)]
mod tests;

use super::number;
use crate::point::{Invalid, Number, Point};

/// Reads the point of one datagram.
///
/// # Errors
///
/// [`BadDatagram`] when the datagram is not of that form; [`Invalid`], inside, when it
/// is and its timestamp or value is no number.
pub fn decode(datagram: &[u8]) -> Result<Result<Point<'_>, Invalid>, BadDatagram> {
    point(datagram).ok_or_else(|| fault(datagram))
}

/// Why a datagram is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadDatagram {
    /// The datagram has no byte.
    #[error("the datagram is empty")]
    Empty,
    /// The datagram ends within its value.
    #[error("the datagram is cut off")]
    Truncated,
    /// The one byte that begins no value.
    #[error("0x{0:02x} begins no MessagePack value")]
    UnknownByte(u8),
    /// There is more than one value.
    #[error("bytes follow the datagram's value")]
    TrailingBytes,
    /// The value is not of the form `[name, [timestamp, value]]`.
    #[error("the datagram is not [name, [timestamp, value]]")]
    Shape,
}

impl BadDatagram {
    /// The reason as one word, for a metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Truncated => "truncated",
            Self::UnknownByte(_) => "unknown_byte",
            Self::TrailingBytes => "trailing_bytes",
            Self::Shape => "shape",
        }
    }
}

/// The point, if the datagram is of the one form; [`fault`] says why it is not.
#[inline]
fn point(datagram: &[u8]) -> Option<Result<Point<'_>, Invalid>> {
    let rest = pair(datagram)?;
    let (name, rest) = text(rest)?;
    let rest = pair(rest)?;
    let (timestamp, rest) = number(rest)?;
    let (value, rest) = number(rest)?;
    rest.is_empty().then(|| {
        Ok(Point {
            name,
            timestamp: timestamp?,
            value: value?,
        })
    })
}

/// What is wrong with a datagram that is no point: first whether it is one value, in
/// the order of its bytes.
#[cold]
fn fault(datagram: &[u8]) -> BadDatagram {
    if datagram.is_empty() {
        return BadDatagram::Empty;
    }
    match skip(datagram) {
        Ok([]) => BadDatagram::Shape,
        Ok(_) => BadDatagram::TrailingBytes,
        Err(why) => why,
    }
}

/// What follows the header of an array of two.
#[inline]
pub(super) fn pair(rest: &[u8]) -> Option<&[u8]> {
    match rest {
        [0x92, after @ ..] | [0xdc, 0, 2, after @ ..] | [0xdd, 0, 0, 0, 2, after @ ..] => {
            Some(after)
        }
        _ => None,
    }
}

/// A string or bytes, and what follows.
#[inline]
fn text(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let (tag, body) = rest.split_first()?;
    let (bytes, body) = match tag {
        0xa0..=0xbf => (usize::from(tag & 0x1f), body),
        0xc4..=0xc6 => length(tag - 0xc4, body)?,
        0xd9..=0xdb => length(tag - 0xd9, body)?,
        _ => return None,
    };
    body.split_at_checked(bytes)
}

/// A length or count of 1, 2 or 4 bytes, and what follows.
#[inline]
fn length(log2_bytes: u8, body: &[u8]) -> Option<(usize, &[u8])> {
    Some(match log2_bytes {
        0 => {
            let (n, rest) = fixed(body)?;
            (u8::from_be_bytes(n).into(), rest)
        }
        1 => {
            let (n, rest) = fixed(body)?;
            (u16::from_be_bytes(n).into(), rest)
        }
        _ => {
            let (n, rest) = fixed(body)?;
            (u32::from_be_bytes(n) as usize, rest)
        }
    })
}

#[inline]
fn fixed<const N: usize>(body: &[u8]) -> Option<([u8; N], &[u8])> {
    body.split_first_chunk().map(|(bytes, rest)| (*bytes, rest))
}

/// A value that should be a number, and what follows; `None` if there is no whole value.
#[inline]
pub(super) fn number(rest: &[u8]) -> Option<(Result<Number, Invalid>, &[u8])> {
    use Number::{Bool, Float, Int};
    let (tag, body) = rest.split_first()?;
    let (number, after) = match tag {
        0x00..=0x7f => (Int(i64::from(*tag)), body),
        0xe0..=0xff => (Int(i64::from(tag.cast_signed())), body),
        0xc2 | 0xc3 => (Bool(*tag == 0xc3), body),
        0xca => fixed(body).map(|(n, rest)| (Float(f32::from_be_bytes(n).into()), rest))?,
        0xcb => fixed(body).map(|(n, rest)| (Float(f64::from_be_bytes(n)), rest))?,
        0xcc => fixed(body).map(|(n, rest)| (Int(u8::from_be_bytes(n).into()), rest))?,
        0xcd => fixed(body).map(|(n, rest)| (Int(u16::from_be_bytes(n).into()), rest))?,
        0xce => fixed(body).map(|(n, rest)| (Int(u32::from_be_bytes(n).into()), rest))?,
        0xcf => fixed(body).map(|(n, rest)| (number::unsigned(u64::from_be_bytes(n)), rest))?,
        0xd0 => fixed(body).map(|(n, rest)| (Int(i8::from_be_bytes(n).into()), rest))?,
        0xd1 => fixed(body).map(|(n, rest)| (Int(i16::from_be_bytes(n).into()), rest))?,
        0xd2 => fixed(body).map(|(n, rest)| (Int(i32::from_be_bytes(n).into()), rest))?,
        0xd3 => fixed(body).map(|(n, rest)| (Int(i64::from_be_bytes(n)), rest))?,
        _ => {
            return match text(rest) {
                Some((text, after)) => Some((number::parse(text), after)),
                None => Some((Err(Invalid::NotNumeric), skip(rest).ok()?)),
            };
        }
    };
    Some((Ok(number), after))
}

/// Passes over one value of any kind. Containers add what they hold to the values still
/// to be passed over, so that depth costs nothing.
pub(super) fn skip(mut rest: &[u8]) -> Result<&[u8], BadDatagram> {
    let mut values = 1_usize;
    while values > 0 {
        let (tag, body) = rest.split_first().ok_or(BadDatagram::Truncated)?;
        let low = usize::from(tag & 0x0f);
        let counted = |log2_bytes| length(log2_bytes, body).ok_or(BadDatagram::Truncated);
        let (held, bytes, body) = match tag {
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => (0, 0, body),
            0x80..=0x8f => (2 * low, 0, body),
            0x90..=0x9f => (low, 0, body),
            0xa0..=0xbf => (0, usize::from(tag & 0x1f), body),
            0xc1 => return Err(BadDatagram::UnknownByte(*tag)),
            0xc4..=0xc6 => counted(tag - 0xc4).map(|(n, body)| (0, n, body))?,
            0xd9..=0xdb => counted(tag - 0xd9).map(|(n, body)| (0, n, body))?,
            // Extensions have a byte for their kind.
            0xc7..=0xc9 => counted(tag - 0xc7).map(|(n, body)| (0, n.saturating_add(1), body))?,
            0xd4..=0xd8 => (0, 1 + (1 << (tag - 0xd4)), body),
            0xca | 0xcb => (0, 4 << (tag - 0xca), body),
            0xcc..=0xcf => (0, 1 << (tag - 0xcc), body),
            0xd0..=0xd3 => (0, 1 << (tag - 0xd0), body),
            0xdc | 0xdd => counted(tag - 0xdb).map(|(n, body)| (n, 0, body))?,
            0xde | 0xdf => counted(tag - 0xdd).map(|(n, body)| (n.saturating_mul(2), 0, body))?,
        };
        rest = body.get(bytes..).ok_or(BadDatagram::Truncated)?;
        values = (values - 1).saturating_add(held);
    }
    Ok(rest)
}
