//! The types that a setting can have: how each is read from TOML, shown as TOML,
//! and described when something else was found.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeInteger, DeValue};

use super::redis_url::RedisUrl;

/// A TOML value together with where it stands in its text.
pub(super) type Span<'a> = &'a Spanned<DeValue<'a>>;

/// Why a value was refused.
pub(super) struct Bad {
    /// The part of the text that is at fault.
    pub span: Range<usize>,
    /// Words that say what is wrong; without them, what was expected and found.
    pub message: Option<String>,
}

/// Bounds of a number, of each number of a list, or of a string's length.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    min: u64,
    max: u64,
    unit: &'static str,
    bounded: bool,
}

impl Limits {
    pub const NONE: Self = Self {
        min: 0,
        max: u64::MAX,
        unit: "",
        bounded: false,
    };

    pub const fn new(range: RangeInclusive<u64>, unit: &'static str) -> Self {
        Self {
            min: *range.start(),
            max: *range.end(),
            unit,
            bounded: true,
        }
    }

    /// `0 to 10 seconds`, if there are bounds.
    pub fn range_text(self) -> Option<String> {
        let Self {
            min,
            max,
            unit,
            bounded,
        } = self;
        bounded.then(|| format!("{min} to {max} {unit}").trim_end().to_owned())
    }

    #[cfg(test)]
    pub fn number_range(self) -> Option<(u64, u64)> {
        self.bounded.then_some((self.min, self.max))
    }

    fn hold(self, number: u64) -> bool {
        (self.min..=self.max).contains(&number)
    }
}

/// A type that a setting can have.
pub(super) trait Value: Sized {
    /// Whether the command line may give it without quotes.
    const BARE: bool = false;
    /// Whether an error must not repeat it.
    const SECRET: bool = false;

    /// Reads a TOML value.
    fn parse(value: Span<'_>, limits: Limits) -> Result<Self, Bad>;

    /// The value as TOML, secrets masked.
    fn show(&self) -> String;

    /// What a right value looks like, to follow the word "expected".
    fn expected(limits: Limits) -> String;
}

/// How important a log line must be to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people; coloured on a terminal.
    Text,
    /// One JSON object a line.
    Json,
}

/// A file whose contents are a password, read when the settings are.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordFile {
    path: PathBuf,
    password: String,
}

impl PasswordFile {
    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its contents, without the line end.
    pub fn password(&self) -> &str {
        &self.password
    }
}

impl fmt::Debug for PasswordFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PasswordFile({})", self.path.display())
    }
}

/// An address on this host alone.
pub(super) fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

macro_rules! numbers {
    ($($type:ty),+) => {$(
        impl Value for $type {
            fn parse(value: Span<'_>, limits: Limits) -> Result<Self, Bad> {
                number(value, limits)
                    .and_then(|number| Self::try_from(number).ok())
                    .ok_or_else(|| bad(value))
            }

            fn show(&self) -> String {
                self.to_string()
            }

            fn expected(limits: Limits) -> String {
                format!("a whole number from {} to {}", limits.min, limits.max)
            }
        }
    )+};
}

numbers!(u32, usize);

impl Value for Vec<usize> {
    fn parse(value: Span<'_>, limits: Limits) -> Result<Self, Bad> {
        let DeValue::Array(items) = value.get_ref() else {
            return Err(bad(value));
        };
        items
            .iter()
            .map(|item| usize::parse(item, limits))
            .collect()
    }

    fn show(&self) -> String {
        format!("{self:?}")
    }

    fn expected(limits: Limits) -> String {
        format!(
            "a list of whole numbers from {} to {}",
            limits.min, limits.max
        )
    }
}

impl Value for String {
    const BARE: bool = true;

    fn parse(value: Span<'_>, limits: Limits) -> Result<Self, Bad> {
        let text = text(value)?;
        let good = limits.hold(text.len() as u64) && !text.contains(char::is_control);
        if good {
            Ok(text.to_owned())
        } else {
            Err(bad(value))
        }
    }

    fn show(&self) -> String {
        quoted(self)
    }

    fn expected(limits: Limits) -> String {
        let length = limits.range_text().map(|range| format!("of {range} "));
        format!(
            "a string {}without control characters",
            length.unwrap_or_default()
        )
    }
}

impl Value for PathBuf {
    const BARE: bool = true;

    fn parse(value: Span<'_>, _: Limits) -> Result<Self, Bad> {
        path(value, text(value)?)
    }

    fn show(&self) -> String {
        quoted(&self.to_string_lossy())
    }

    fn expected(_: Limits) -> String {
        "a path".to_owned()
    }
}

impl Value for SocketAddr {
    const BARE: bool = true;

    fn parse(value: Span<'_>, _: Limits) -> Result<Self, Bad> {
        text(value)?.parse().map_err(|_| bad(value))
    }

    fn show(&self) -> String {
        quoted(&self.to_string())
    }

    fn expected(_: Limits) -> String {
        "an address and port such as \"127.0.0.1:2024\" or \"[::1]:2024\"".to_owned()
    }
}

impl Value for Vec<SocketAddr> {
    fn parse(value: Span<'_>, limits: Limits) -> Result<Self, Bad> {
        let DeValue::Array(items) = value.get_ref() else {
            return Err(bad(value));
        };
        items
            .iter()
            .map(|item| SocketAddr::parse(item, limits))
            .collect()
    }

    fn show(&self) -> String {
        let items: Vec<String> = self.iter().map(Value::show).collect();
        format!("[{}]", items.join(", "))
    }

    fn expected(_: Limits) -> String {
        "a list of addresses and ports such as [\"127.0.0.1:2024\", \"[::1]:2024\"]".to_owned()
    }
}

/// An empty string is the value that switches something off.
impl<T: Value> Value for Option<T> {
    const BARE: bool = T::BARE;
    const SECRET: bool = T::SECRET;

    fn parse(value: Span<'_>, limits: Limits) -> Result<Self, Bad> {
        match value.get_ref() {
            DeValue::String(text) if text.is_empty() => Ok(None),
            _ => T::parse(value, limits).map(Some),
        }
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(|| quoted(""), Value::show)
    }

    fn expected(limits: Limits) -> String {
        format!("{}, or \"\"", T::expected(limits))
    }
}

impl Value for RedisUrl {
    const BARE: bool = true;
    const SECRET: bool = true;

    fn parse(value: Span<'_>, _: Limits) -> Result<Self, Bad> {
        let url = Self::parse(text(value)?);
        url.map_err(|error| Bad {
            span: value.span(),
            message: Some(error.to_string()),
        })
    }

    fn show(&self) -> String {
        quoted(&self.to_string())
    }

    fn expected(_: Limits) -> String {
        "a URL such as \"unix:/run/redis/redis.sock\" or \"redis://127.0.0.1:6379/0\"".to_owned()
    }
}

impl Value for PasswordFile {
    const BARE: bool = true;

    fn parse(value: Span<'_>, _: Limits) -> Result<Self, Bad> {
        let path = path(value, text(value)?)?;
        let refuse = |why: String| Bad {
            span: value.span(),
            message: Some(format!("cannot use {}: {why}", path.display())),
        };
        let contents = std::fs::read_to_string(&path).map_err(|error| refuse(error.to_string()))?;
        let password = contents.strip_suffix('\n').unwrap_or(&contents);
        let password = password.strip_suffix('\r').unwrap_or(password).to_owned();
        if password.is_empty() || password.contains('\n') {
            return Err(refuse("it must hold one line, the password".to_owned()));
        }
        Ok(Self { path, password })
    }

    fn show(&self) -> String {
        self.path.show()
    }

    fn expected(_: Limits) -> String {
        "the path of a file that can be read".to_owned()
    }
}

macro_rules! choices {
    ($type:ident { $($variant:ident = $text:literal),+ }) => {
        impl Value for $type {
            const BARE: bool = true;

            fn parse(value: Span<'_>, _: Limits) -> Result<Self, Bad> {
                match text(value)? {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(bad(value)),
                }
            }

            fn show(&self) -> String {
                quoted(match self { $(Self::$variant => $text,)+ })
            }

            fn expected(_: Limits) -> String {
                let names = [$(concat!("\"", $text, "\"")),+];
                format!("one of {}", names.join(", "))
            }
        }
    };
}

choices!(LogLevel {
    Error = "error",
    Warn = "warn",
    Info = "info",
    Debug = "debug",
    Trace = "trace"
});
choices!(LogFormat { Text = "text", Json = "json" });

fn bad(value: Span<'_>) -> Bad {
    Bad {
        span: value.span(),
        message: None,
    }
}

fn text<'a>(value: Span<'a>) -> Result<&'a str, Bad> {
    match value.get_ref() {
        DeValue::String(text) => Ok(text),
        _ => Err(bad(value)),
    }
}

/// A path made absolute, so that it means the same after a change of directory.
fn path(value: Span<'_>, text: &str) -> Result<PathBuf, Bad> {
    if text.contains('\0') {
        return Err(bad(value));
    }
    std::path::absolute(text).map_err(|_| bad(value))
}

fn number(value: Span<'_>, limits: Limits) -> Option<u64> {
    let DeValue::Integer(integer) = value.get_ref() else {
        return None;
    };
    whole(integer).filter(|number| limits.hold(*number))
}

fn whole(integer: &DeInteger<'_>) -> Option<u64> {
    u64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
