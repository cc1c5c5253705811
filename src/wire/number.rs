//! Numbers that were sent as texts: in lines, and where pickles and datagrams hold a
//! text in the place of a number.

use crate::point::{Invalid, Number};

/// Longest text that is read as a number. A text can be shared by every point of a
/// pickle, so its length must not multiply with their number. `repr` of a double takes
/// 24 bytes.
pub(super) const NUMERIC_TEXT_BYTES_MAX: usize = 128;

/// Most bytes after the sign that `short` reads: so many digits always fit 64 bits.
const SHORT_BYTES_MAX: usize = 19;

/// Largest integer up to which a double holds every one.
const EXACT_MAX: u64 = 1 << 53;

/// Doubles hold the powers of ten exactly up to 10^22; a short text needs no more.
const POWERS_OF_TEN: [f64; SHORT_BYTES_MAX] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18,
];

/// Reads a timestamp or value that was sent as a text: digits only make an integer,
/// or a float if it is too large for 64 bits; anything else that is numeric, a float.
///
/// Numeric is what Python's `float()` takes, the ASCII of it: blanks around it, a
/// sign, an exponent, `inf`, `infinity` and `nan` in any case. Not underscores, which
/// Python allows since it allows them in its source.
#[inline]
pub(super) fn parse(text: &[u8]) -> Result<Number, Invalid> {
    short(text).map_or_else(|| long(text), Ok)
}

/// Reads a text as a double, without blanks around it.
pub(super) fn float(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The integer kind that a number from 0 to 2^64 - 1 has.
#[inline]
pub(super) fn unsigned(n: u64) -> Number {
    i64::try_from(n).map_or(Number::Uint(n), Number::Int)
}

/// What digits make, or `None` if that is too large for 64 bits.
pub(super) fn magnitude(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |n, digit| {
        n.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    })
}

/// The double that is nearest to these digits with so many of them behind the point; `None`
/// if there are too many to tell.
///
/// The digits as an integer and the power of ten below them are both exact doubles, so
/// that their quotient is rounded once.
#[inline]
fn nearest(digits: u64, behind_point: usize, negative: bool) -> Option<f64> {
    if digits > EXACT_MAX {
        return None;
    }
    let size = digits as f64 / POWERS_OF_TEN.get(behind_point)?;
    Some(if negative { -size } else { size })
}

/// Reads what nearly all senders write: some digits, with a sign and a point perhaps.
/// `None` means that it must be read more carefully.
#[inline]
pub(crate) fn short(text: &[u8]) -> Option<Number> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.len() > SHORT_BYTES_MAX {
        return None;
    }
    let mut all = 0_u64;
    let mut rest = digits;
    // Timestamps begin with eight digits.
    if let Some((eight, after)) = rest.split_first_chunk()
        && let Some(n) = eight_digits(*eight)
    {
        all = n;
        rest = after;
    }
    let mut fraction = None;
    while let [byte, after @ ..] = rest {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            all = all * 10 + u64::from(digit);
        } else if *byte == b'.' && fraction.is_none() {
            fraction = Some(after.len());
        } else {
            return None;
        }
        rest = after;
    }
    if digits.len() == usize::from(fraction.is_some()) {
        return None;
    }
    if fraction.is_none() && !negative {
        return Some(unsigned(all));
    }
    nearest(all, fraction.unwrap_or(0), negative).map(Number::Float)
}

/// A number with which a text begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leading {
    /// Its length in bytes.
    pub bytes: usize,
    /// The number itself, where it is digits only.
    pub whole: Option<u64>,
    /// As a double, as [`short`] reads it.
    pub value: f64,
}

/// Reads the number with which a text begins, as JSON has them, if it is one that
/// [`short`] reads. `None` says nothing. The loop is not shared with that one, since lines
/// are then taken apart a third slower.
#[inline]
pub(crate) fn leading(text: &[u8]) -> Option<Leading> {
    let negative = text.first() == Some(&b'-');
    let digits = &text[usize::from(negative)..];
    let (mut all, mut at) = (0_u64, 0);
    // Timestamps begin with eight digits.
    if let Some(eight) = digits.first_chunk()
        && let Some(n) = eight_digits(*eight)
    {
        (all, at) = (n, 8);
    }
    let mut point = None;
    while let Some(byte) = digits.get(at) {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            // The byte before may be a point beyond them.
            if at >= SHORT_BYTES_MAX {
                return None;
            }
            all = all * 10 + u64::from(digit);
        } else if *byte == b'.' && point.is_none() {
            point = Some(at);
        } else if matches!(byte, b'e' | b'E') {
            return None;
        } else {
            break;
        }
        at += 1;
    }
    let before_point = point.unwrap_or(at);
    let leads_with_zero = before_point > 1 && digits.first() == Some(&b'0');
    if before_point == 0 || leads_with_zero {
        return None;
    }
    let bytes = usize::from(negative) + at;
    let fraction = match point {
        None if !negative => {
            return Some(Leading {
                bytes,
                whole: Some(all),
                value: all as f64,
            });
        }
        None => 0,
        Some(point) => at - point - 1,
    };
    if point.is_some() && fraction == 0 {
        return None;
    }
    Some(Leading {
        bytes,
        whole: None,
        value: nearest(all, fraction, negative)?,
    })
}

/// What eight digits make, all looked at at once.
#[inline]
fn eight_digits(text: [u8; 8]) -> Option<u64> {
    const ZEROS: u64 = u64::from_ne_bytes([b'0'; 8]);
    const SIXES: u64 = u64::from_ne_bytes([6; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0xf0; 8]);
    let text = u64::from_le_bytes(text);
    if text & HIGH != ZEROS || text.wrapping_add(SIXES) & HIGH != ZEROS {
        return None;
    }
    let ones = text - ZEROS;
    let pairs = ones * 10 + (ones >> 8);
    let low = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul(100 + (1_000_000 << 32));
    let high = (pairs >> 16 & 0x0000_00ff_0000_00ff).wrapping_mul(1 + (10_000 << 32));
    Some(low.wrapping_add(high) >> 32)
}

#[inline(never)]
fn long(text: &[u8]) -> Result<Number, Invalid> {
    if text.len() > NUMERIC_TEXT_BYTES_MAX {
        return Err(Invalid::NotNumeric);
    }
    let text = text.trim_ascii();
    if !text.is_empty()
        && text.iter().all(u8::is_ascii_digit)
        && let Some(n) = magnitude(text)
    {
        return Ok(unsigned(n));
    }
    float(text).map(Number::Float).ok_or(Invalid::NotNumeric)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::wire::goldens::spelled;

    fn said(text: &[u8]) -> Result<String, Invalid> {
        parse(text).map(spelled)
    }

    /// The quick reading must be the careful one, bit for bit, also of the sign of zero.
    fn both(text: &[u8]) {
        assert_eq!(said(text), long(text).map(spelled), "{text:?}");
    }

    #[test]
    fn the_limits_of_the_quick_reading_are_exact() {
        for text in [
            "",
            "-",
            ".",
            "-.",
            "0",
            "-0",
            "0.",
            ".0",
            "-.0",
            "1..2",
            "1.2.3",
            "--1",
            "+1",
            "007",
            "9007199254740992.",
            "9007199254740993.",
            "-9007199254740993",
            "900719925474099.3",
            ".000000000000000001",
            ".0000000000000000001",
            "0.000000000000000001",
            "9999999999999999999",
            "-9999999999999999999",
            "18446744073709551615",
            "18446744073709551616",
            "9223372036854775807",
            "9223372036854775808",
            "0.1",
            "123.456",
            "1e3",
            "1_0",
            "0x1",
            "nan",
            "-inf",
            " 1",
            "1 ",
            "1\n",
        ] {
            both(text.as_bytes());
        }
        assert_eq!(parse(b"12"), Ok(Number::Int(12)));
        assert_eq!(parse(b"-12"), Ok(Number::Float(-12.0)));
        assert_eq!(parse(b"18446744073709551615"), Ok(Number::Uint(u64::MAX)));
        assert_eq!(parse(b"0.3"), Ok(Number::Float(0.3)));
        assert_eq!(parse(b"1_0"), Err(Invalid::NotNumeric));
        assert_eq!(
            parse(&[b'1'; NUMERIC_TEXT_BYTES_MAX + 1]),
            Err(Invalid::NotNumeric)
        );
    }

    /// What a text begins with is read as that much alone is, and is a number in JSON.
    fn beginning(text: &str) {
        let Some(leading) = leading(text.as_bytes()) else {
            return;
        };
        let number = &text[..leading.bytes];
        let nearest: f64 = number.parse().unwrap();
        assert_eq!(leading.value.to_bits(), nearest.to_bits(), "{text}");
        let is_whole = number.bytes().all(|byte| byte.is_ascii_digit());
        let whole = is_whole.then(|| number.parse().unwrap());
        assert_eq!(leading.whole, whole, "{text}");
        assert!(serde_json::from_str::<f64>(number).is_ok(), "{text}");
        let goes_on = text[leading.bytes..].starts_with(|next: char| next.is_ascii_digit());
        assert!(!goes_on, "{text}");
    }

    #[test]
    fn the_limits_of_the_leading_number_are_exact() {
        for text in [
            "0,",
            "-0,",
            "1700000000,",
            "9999999999999999999,",
            "99999999999999999999,",
            // As a whole, 2^64 and more.
            "1844674407370955161.6,",
            "9999999999999999999.9,",
            "184467440737095516.1,",
            "9007199254740992,",
            "-9007199254740993,",
            "900719925474099.3,",
            "0.00000000000000001,",
            "0.000000000000000001,",
        ] {
            beginning(text);
        }
        let read = |text: &str| leading(text.as_bytes()).map(|it| (it.bytes, it.value));
        assert_eq!(read("-12.5}"), Some((5, -12.5)));
        for text in ["", "-", "x", ".5", "-.5", "1.", "01", "-00", "1e3", "1.5E3"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            cases: 4096,
            ..ProptestConfig::default()
        })]

        #[test]
        fn texts_like_numbers_are_read_alike(
            text in vec(select(b"0123456789012345678901234567890123456789..-+eE _nN".to_vec()), 0..24)
        ) {
            both(&text);
        }

        #[test]
        fn a_leading_number_is_read_as_alone(
            text in "-?[0-9]{0,20}[.]?[0-9]{0,9}[,} .e-]?",
        ) {
            beginning(&text);
        }

        #[test]
        fn short_decimals_are_the_nearest_doubles(
            sign in select(vec!["", "-"]),
            whole in 0..10_000_000_000_u64,
            fraction in "[0-9]{0,12}",
        ) {
            let text = format!("{sign}{whole}.{fraction}");
            let nearest: f64 = text.parse().unwrap();
            prop_assert_eq!(said(text.as_bytes()), Ok(spelled(Number::Float(nearest))));
        }

        // Goal: what Rust, like Python, prints of a double is read as that double.
        #[test]
        fn printed_doubles_come_back(x in any::<f64>().prop_filter("finite", |x| x.is_finite())) {
            for text in [format!("{x:?}"), format!("{x:e}.").trim_end_matches('.').to_owned()] {
                let back = match parse(text.as_bytes()) {
                    Ok(Number::Float(back)) => back,
                    Ok(Number::Int(back)) => back as f64,
                    other => panic!("{other:?} of {text}"),
                };
                prop_assert_eq!(back.to_bits(), x.to_bits());
            }
        }
    }
}
