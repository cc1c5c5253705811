//! Python's strings: what a literal stands for, and the two ways of formatting, `%`
//! and `format`, without widths and precisions.

use super::value::{Text, Value};

/// The longest text that formatting makes, in bytes: a short template may repeat a
/// long value any number of times.
const MADE_BYTES_MAX: usize = 1 << 20;

/// What the letters before the opening quote mean.
pub(super) struct Prefix {
    pub raw: bool,
    pub bytes: bool,
    pub formatted: bool,
}

impl Prefix {
    /// Reads `start`, the letters and the opening quotes of a literal.
    pub fn of(start: &str) -> Self {
        let has = |letter: char| start.chars().any(|c| c.to_ascii_lowercase() == letter);
        Self {
            raw: has('r'),
            bytes: has('b'),
            // Template strings are no strings until something has made one of them.
            formatted: has('f') || has('t'),
        }
    }
}

/// The text that `written`, a part of a literal, stands for; none if it has an escape
/// that is not known.
pub(super) fn unescaped(written: &str, prefix: &Prefix) -> Option<String> {
    let mut text = if prefix.raw {
        written.to_owned()
    } else {
        without_escapes(written)?
    };
    if prefix.formatted {
        text = text.replace("{{", "{").replace("}}", "}");
    }
    Some(text)
}

fn without_escapes(written: &str) -> Option<String> {
    let mut out = String::with_capacity(written.len());
    let mut rest = written;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let escape = after.chars().next()?;
        rest = &after[escape.len_utf8()..];
        match escape {
            '\n' => {}
            '\\' | '\'' | '"' => out.push(escape),
            'a' => out.push('\u{7}'),
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'v' => out.push('\u{b}'),
            'x' => out.push(hexadecimal(&mut rest, 2)?),
            'u' => out.push(hexadecimal(&mut rest, 4)?),
            'U' => out.push(hexadecimal(&mut rest, 8)?),
            'N' => return None,
            '0'..='7' => {
                let digits = after.bytes().take(3);
                let count = digits
                    .take_while(|byte| (b'0'..=b'7').contains(byte))
                    .count();
                let (digits, behind) = after.split_at(count);
                out.push(char::from_u32(u32::from_str_radix(digits, 8).ok()?)?);
                rest = behind;
            }
            // Python keeps the backslash of what is no escape.
            _ => {
                out.push('\\');
                out.push(escape);
            }
        }
    }
    out.push_str(rest);
    Some(out)
}

fn hexadecimal(rest: &mut &str, digits: usize) -> Option<char> {
    let (number, behind) = rest.split_at_checked(digits)?;
    if !number.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    *rest = behind;
    char::from_u32(u32::from_str_radix(number, 16).ok()?)
}

/// `template % values`. `values` are those of the tuple, or the one value; `named`
/// finds those of a dict.
///
/// None if that is an error in Python, or has anything but `%s`, `%d` and `%i`.
pub(super) fn percent(
    template: &Text,
    values: &[Value],
    named: impl Fn(&str) -> Option<Value>,
) -> Option<Text> {
    let mut out = String::new();
    let mut of_host = template.of_host;
    let mut values = values.iter();
    let mut by_name = false;
    let mut rest = &*template.text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        if let Some(behind) = after.strip_prefix('%') {
            out.push('%');
            rest = behind;
            continue;
        }
        let (value, after) = match after.strip_prefix('(') {
            Some(after) => {
                let (name, after) = after.split_once(')')?;
                by_name = true;
                (named(name)?, after)
            }
            None => (values.next()?.clone(), after),
        };
        let text = match after.bytes().next()? {
            b's' => value.to_text()?,
            b'd' | b'i' => Value::Int(value.to_int()?).to_text()?,
            _ => return None,
        };
        if out.len() + text.text.len() > MADE_BYTES_MAX {
            return None;
        }
        out.push_str(&text.text);
        of_host |= text.of_host;
        rest = &after[1..];
    }
    if values.next().is_some() && !by_name {
        return None;
    }
    out.push_str(rest);
    let text = out.into();
    Some(Text { text, of_host })
}

/// `template.format(values, named)`.
///
/// None if that is an error in Python, or has more than a number or a name between
/// its braces.
pub(super) fn format(
    template: &Text,
    values: &[Value],
    named: impl Fn(&str) -> Option<Value>,
) -> Option<Text> {
    let mut out = String::new();
    let mut of_host = template.of_host;
    let mut next = 0;
    let mut rest = &*template.text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        let (brace, after) = after.split_at(1);
        if let Some(behind) = after.strip_prefix(brace) {
            out.push_str(brace);
            rest = behind;
            continue;
        }
        let (field, behind) = after.split_once('}').filter(|_| brace == "{")?;
        let value = if field.is_empty() {
            next += 1;
            values.get(next - 1)?.clone()
        } else if field.bytes().all(|byte| byte.is_ascii_digit()) {
            values.get(field.parse::<usize>().ok()?)?.clone()
        } else {
            named(field)?
        };
        let text = value.to_text()?;
        if out.len() + text.text.len() > MADE_BYTES_MAX {
            return None;
        }
        out.push_str(&text.text);
        of_host |= text.of_host;
        rest = behind;
    }
    out.push_str(rest);
    let text = out.into();
    Some(Text { text, of_host })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(written: &str) -> Option<String> {
        unescaped(written, &Prefix::of("'"))
    }

    // Expected as /usr/bin/python3 prints them.
    #[test]
    fn escapes_are_those_of_python() {
        let cases = [
            (r"a\n\t\\\'b", "a\n\t\\'b"),
            (r"\x41\u00e9\U0001F600", "A\u{e9}\u{1f600}"),
            (r"\101\0\1234", "A\0S4"),
            (r"\d\.", r"\d\."),
            ("a\\\nb", "ab"),
        ];
        for (written, expected) in cases {
            assert_eq!(plain(written).as_deref(), Some(expected), "{written}");
        }
        for written in [
            r"\x4",
            r"\xg1",
            r"\ud800",
            r"\N{BULLET}",
            r"\U00110000",
            "\\",
        ] {
            assert_eq!(plain(written), None, "{written}");
        }
        assert_eq!(
            unescaped(r"\d", &Prefix::of("rb\"")).as_deref(),
            Some(r"\d")
        );
        assert_eq!(
            unescaped("{{a}}", &Prefix::of("F'")).as_deref(),
            Some("{a}")
        );
    }

    fn template(text: &str) -> Text {
        Text {
            text: text.into(),
            of_host: false,
        }
    }

    #[test]
    fn both_ways_of_formatting_give_what_python_gives_or_nothing() {
        let values = [Value::text("a"), Value::Int(7)];
        let named = |name: &str| (name == "k").then_some(Value::Bool(true));
        let percent = |text, values| percent(&template(text), values, named).map(|t| t.text);
        assert_eq!(percent("%s-%d%%", &values).as_deref(), Some("a-7%"));
        assert_eq!(percent("%(k)s", &values).as_deref(), Some("True"));
        for wrong in ["%s", "%s%s%s", "%d%d", "%5s%d", "%", "%(", "%(x)s", "%s%"] {
            assert_eq!(percent(wrong, &values), None, "{wrong}");
        }
        let format = |text| format(&template(text), &values, named).map(|t| t.text);
        assert_eq!(format("{}/{}").as_deref(), Some("a/7"));
        assert_eq!(format("{1}{0}{k}{{}}").as_deref(), Some("7aTrue{}"));
        for wrong in ["{}{}{}", "{9}", "{x}", "{0!r}", "{0:>3}", "{", "}", "{0.a}"] {
            assert_eq!(format(wrong), None, "{wrong}");
        }
    }
}
