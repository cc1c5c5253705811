//! What a point must be like to be taken, with the words in which Skyline's Flux says
//! what is wrong.

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

use super::json::Json;

/// How far a timestamp may be ahead of this host's clock, in seconds.
const AHEAD_S: i64 = 60;
/// Longest element of a name, with what Whisper puts behind the last, in bytes: that of
/// a file's name.
const ELEMENT_BYTES_MAX: usize = 255;
/// Longest name, in bytes: that of a path, less Skyline's default
/// FLUX_GRAPHITE_WHISPER_PATH and what is put around the name.
const NAME_BYTES_MAX: usize = 4096 - "/opt/graphite/storage/whisper//.wsp".len() + 1;

/// Why a timestamp is refused.
pub type Reason = Cow<'static, str>;

/// The time against which timestamps are held.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Seconds since 1970.
    pub now: i64,
    /// Skyline's FLUX_MAX_AGE.
    pub max_age_s: i64,
}

impl Clock {
    /// By this host's clock.
    pub fn new(max_age_s: u32) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            now: since.map_or(0, |since| since.as_secs() as i64),
            max_age_s: max_age_s.into(),
        }
    }

    /// A timestamp from its text.
    ///
    /// # Errors
    ///
    /// Why it is none, or not one of the present.
    pub fn timestamp(&self, text: &str) -> Result<i64, Reason> {
        let whole = whole(text).ok_or("timestamp is not an int")?;
        let not_current = "timestamp is not a valid current unix timestamp";
        let timestamp: i64 = match whole.len() {
            10 => whole.parse().map_err(|_| not_current)?,
            _ => return Err(not_current.into()),
        };
        if timestamp < self.now - self.max_age_s {
            let max_age_s = self.max_age_s;
            let reason = format!("timestamp is too old, older than {max_age_s} seconds");
            return Err(reason.into());
        }
        if timestamp > self.now + AHEAD_S {
            return Err("timestamp is more than 1 minute in the future".into());
        }
        Ok(timestamp)
    }

    /// Whether [`Clock::timestamp`] takes this one, which has ten digits.
    #[inline]
    pub fn takes(&self, timestamp: i64) -> bool {
        (self.now - self.max_age_s..=self.now + AHEAD_S).contains(&timestamp)
    }

    /// The timestamp of a point that fills a gap: any; 0 means now. `None` if it is no
    /// integer.
    pub fn fill_timestamp(&self, text: &str) -> Option<i64> {
        let timestamp = whole(text)?.parse().ok()?;
        Some(if timestamp == 0 { self.now } else { timestamp })
    }
}

/// The text of an integer as Python's `int` reads it and `str` writes it.
fn whole(text: &str) -> Option<Cow<'_, str>> {
    let text = text.trim();
    let (is_negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let significant = digits.trim_start_matches('0');
    Some(match (is_negative, significant) {
        (_, "") => Cow::Borrowed("0"),
        (false, digits) => Cow::Borrowed(digits),
        (true, digits) => Cow::Owned(format!("-{digits}")),
    })
}

/// The text of a timestamp in JSON; a whole float's is that of the integer.
pub fn timestamp_text<'a>(json: &'a Json<'_>) -> Cow<'a, str> {
    /// From here on not every integer is a double.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match json {
        Json::Int(text) => Cow::Borrowed(text),
        Json::Float(_) => match json.number() {
            Some(number) if number.fract() == 0.0 && number.abs() < EXACT => {
                Cow::Owned((number as i64).to_string())
            }
            _ => json.to_text(),
        },
        json => json.to_text(),
    }
}

/// Whether a metric may have this name.
///
/// # Errors
///
/// Why not.
pub fn name(name: &str) -> Result<(), &'static str> {
    if !name.bytes().all(is_allowed) {
        return Err("invalid characters in name");
    }
    // Whisper puts `.wsp` behind the last.
    let last = name.len() - name.rfind('.').map_or(0, |at| at + 1) + ".wsp".len();
    let too_long = |element: &str| element.len() > ELEMENT_BYTES_MAX;
    if last > ELEMENT_BYTES_MAX || name.len() > ELEMENT_BYTES_MAX && name.split('.').any(too_long) {
        return Err("longer than 255 characters");
    }
    if name.len() > NAME_BYTES_MAX {
        return Err("name too long");
    }
    Ok(())
}

/// Letters, digits and `+-%._/=:`, by ranges, so that many are looked at at once.
#[inline]
fn is_allowed(byte: u8) -> bool {
    let is_letter = (byte | 0x20).wrapping_sub(b'a') < 26;
    // From - to : are - . / digits :
    let is_digit_or_near = byte.wrapping_sub(b'-') <= b':' - b'-';
    let is_other = (byte == b'+') | (byte == b'%') | (byte == b'_') | (byte == b'=');
    is_letter | is_digit_or_near | is_other
}

/// Whether a name is what [`normalised`] makes of it and [`name`] allows, of those that
/// are short enough for every limit: nearly every name.
#[inline]
pub fn is_plain_name(name: &str) -> bool {
    const AT_ONCE: usize = 16;
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes.len() > ELEMENT_BYTES_MAX - ".wsp".len() {
        return false;
    }
    // Each byte with the one before it; the last ones are looked at twice rather than
    // one by one.
    let (before, after) = (&bytes[..bytes.len() - 1], &bytes[1..]);
    let (befores, _) = before.as_chunks::<AT_ONCE>();
    let (afters, rest) = after.as_chunks::<AT_ONCE>();
    is_allowed(bytes[0])
        && befores
            .iter()
            .zip(afters)
            .all(|(before, after)| are_plain(before, after))
        && match (
            before.last_chunk::<AT_ONCE>(),
            after.last_chunk::<AT_ONCE>(),
        ) {
            (Some(before), Some(after)) => rest.is_empty() || are_plain(before, after),
            _ => are_plain(before, after),
        }
}

#[inline]
fn are_plain(before: &[u8], after: &[u8]) -> bool {
    before.iter().zip(after).fold(true, |all, (before, after)| {
        all & is_allowed(*after) & ((*before != b'.') | (*after != b'.'))
    })
}

/// A name without what Skyline's Flux replaces in those that are posted.
pub fn normalised(name: &str) -> Cow<'_, str> {
    let mut before = 0;
    let is_right = name.bytes().all(|byte| {
        let is_second_dot = byte == b'.' && before == b'.';
        before = byte;
        !is_second_dot && !matches!(byte, b' ' | b'*' | b'\'')
    });
    if is_right {
        return Cow::Borrowed(name);
    }
    // In Python's order: a blank between dots keeps them apart.
    let name = name.replace(' ', "_").replace("..", ".");
    Cow::Owned(name.replace(['*', '\''], "_"))
}

/// A finite number from its text, as Python's `float` reads it.
pub fn value(text: &str) -> Option<f64> {
    let value: f64 = text.trim().parse().ok()?;
    value.is_finite().then_some(value)
}

/// A finite number in JSON, or in a text there.
pub fn json_value(json: &Json<'_>) -> Option<f64> {
    match json {
        Json::Text(text) => value(text),
        json => json.number().filter(|number| number.is_finite()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CLOCK: Clock = Clock {
        now: 1_700_000_000,
        max_age_s: 3600,
    };

    #[test]
    fn timestamps_are_judged_as_skyline_does() {
        let not_int = Err("timestamp is not an int".into());
        let not_current = Err("timestamp is not a valid current unix timestamp".into());
        let old = Err("timestamp is too old, older than 3600 seconds".into());
        let ahead = Err("timestamp is more than 1 minute in the future".into());
        for (text, expected) in [
            ("1700000000", Ok(1_700_000_000)),
            (" +01700000000\n", Ok(1_700_000_000)),
            ("1699996400", Ok(1_699_996_400)),
            ("1699996399", old.clone()),
            ("1700000060", Ok(1_700_000_060)),
            ("1700000061", ahead),
            // Python counts the sign among the ten characters.
            ("-170000000", old.clone()),
            ("-17000000", not_current.clone()),
            ("0", not_current.clone()),
            ("17000000000", not_current.clone()),
            ("99999999999999999999999999", not_current.clone()),
            ("", not_int.clone()),
            ("1700000000.0", not_int.clone()),
            ("1.7e9", not_int.clone()),
            ("None", not_int.clone()),
            ("- 1", not_int.clone()),
            ("٣٣٣٣٣٣٣٣٣٣", not_int),
        ] {
            assert_eq!(CLOCK.timestamp(text), expected, "{text}");
            if let (10, Ok(timestamp)) = (text.len(), text.parse()) {
                assert_eq!(CLOCK.takes(timestamp), expected.is_ok(), "{text}");
            }
        }
        assert_eq!(CLOCK.timestamp("0000000000"), not_current);
        assert_eq!(CLOCK.fill_timestamp("0"), Some(CLOCK.now));
        assert_eq!(CLOCK.fill_timestamp("12"), Some(12));
        assert_eq!(CLOCK.fill_timestamp("x"), None);
    }

    #[test]
    fn names_are_judged_as_skyline_does() {
        let chars = Err("invalid characters in name");
        let long = Err("longer than 255 characters");
        let element = |bytes: usize| "a".repeat(bytes);
        for (text, expected) in [
            ("aZ9+-%._/=:", Ok(())),
            ("a;b", chars),
            ("a b", chars),
            ("é", chars),
            ("a\u{0}", chars),
            (&element(251), Ok(())),
            (&element(252), long),
            (&format!("{}.b", element(255)), Ok(())),
            (&format!("{}.b", element(256)), long),
            (&"abc.".repeat(1015), Ok(())),
            (&format!("{}ab", "abc.".repeat(1015)), Ok(())),
            (&format!("{}abc", "abc.".repeat(1015)), Err("name too long")),
        ] {
            assert_eq!(name(text), expected, "{} {text}", text.len());
        }
    }

    // The quick look at a name must say what the careful one does.
    proptest! {
        #[test]
        fn plain_names_are_those_that_stay_and_are_allowed(
            text in "([a-z0-9.+%_=/:*' ,\u{e9}-]{0,9}|[a-c.]{0,260})"
        ) {
            let is_right = !text.is_empty() && normalised(&text) == text && name(&text).is_ok();
            prop_assert_eq!(is_plain_name(&text), is_right && text.len() <= 251);
        }
    }

    #[test]
    fn only_skylines_characters_are_allowed() {
        let allowed: String = (0..128_u8)
            .filter(|byte| is_allowed(*byte))
            .map(char::from)
            .collect();
        assert_eq!(
            allowed,
            "%+-./0123456789:=ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
        );
        assert!((128..=255).all(|byte| !is_allowed(byte)));
    }

    #[test]
    fn names_are_normalised_as_skyline_does() {
        for (text, expected) in [
            ("a.b", "a.b"),
            ("a b*c'd", "a_b_c_d"),
            ("a....b..c", "a..b.c"),
            (". .", "._."),
        ] {
            assert_eq!(normalised(text), expected);
        }
    }

    #[test]
    fn only_finite_numbers_are_values() {
        for (text, expected) in [
            ("1", Some(1.0)),
            (" -1.5e3 ", Some(-1500.0)),
            ("nan", None),
            ("inf", None),
            ("1e999", None),
            ("", None),
            ("0x10", None),
            ("x", None),
        ] {
            assert_eq!(value(text), expected, "{text}");
        }
        for (text, expected) in [
            ("1", Some(1.0)),
            ("-1.2345678901234567e-3", Some(-1.2345678901234567e-3)),
            ("\"2.5\"", Some(2.5)),
            ("true", None),
            ("null", None),
            ("NaN", None),
            ("-Infinity", None),
            ("1e999", None),
            ("[]", None),
            ("\"x\"", None),
        ] {
            let json = Json::parse(text).unwrap();
            assert_eq!(json_value(&json), expected, "{text}");
        }
    }

    // Skyline refuses a float that is a whole number; nothing speaks against it.
    #[test]
    fn a_whole_float_is_a_timestamp() {
        let text = |json: &str| timestamp_text(&Json::parse(json).unwrap()).into_owned();
        assert_eq!(text("1700000000.0"), "1700000000");
        assert_eq!(text("1.7e9"), "1700000000");
        assert_eq!(text("1700000000.5"), "1700000000.5");
        assert_eq!(text("1e300"), "1e+300");
        assert_eq!(text("null"), "None");
        assert_eq!(text("true"), "True");
        assert_eq!(text("NaN"), "nan");
    }
}
