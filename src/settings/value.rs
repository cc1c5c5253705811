//! The types that a setting can have: how each is read from TOML, shown as TOML,
//! and described when something else was found.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::str::FromStr;

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

/// What is shown in place of a secret.
pub(super) const MASK: &str = "***";

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
        list(value, limits)
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

impl Value for Vec<String> {
    fn parse(value: Span<'_>, limits: Limits) -> Result<Self, Bad> {
        list(value, limits)
    }

    fn show(&self) -> String {
        show_list(self)
    }

    fn expected(limits: Limits) -> String {
        let length = limits.range_text().map(|range| format!(" of {range}"));
        format!("a list of strings{}", length.unwrap_or_default())
    }
}

impl Value for bool {
    fn parse(value: Span<'_>, _: Limits) -> Result<Self, Bad> {
        match value.get_ref() {
            DeValue::Boolean(truth) => Ok(*truth),
            _ => Err(bad(value)),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }

    fn expected(_: Limits) -> String {
        "true or false".to_owned()
    }
}

/// A text that is never shown, compared only by those who need it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Secret(String);

impl Secret {
    /// The text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Value for Secret {
    const BARE: bool = true;
    const SECRET: bool = true;

    fn parse(value: Span<'_>, limits: Limits) -> Result<Self, Bad> {
        String::parse(value, limits).map(Self)
    }

    fn show(&self) -> String {
        quoted(MASK)
    }

    fn expected(limits: Limits) -> String {
        String::expected(limits)
    }
}

/// A host, by name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    host: String,
    port: u16,
}

impl Endpoint {
    /// The host's name or address, an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Endpoint {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (host, port) = text.rsplit_once(':').ok_or(())?;
        let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let host = bracketed.unwrap_or(host);
        let port = port.parse().map_err(|_| ())?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        let good = match bracketed {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.chars().all(is_name),
        };
        if !good || port == 0 {
            return Err(());
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}

impl Value for Endpoint {
    const BARE: bool = true;

    fn parse(value: Span<'_>, _: Limits) -> Result<Self, Bad> {
        text(value)?.parse().map_err(|()| bad(value))
    }

    fn show(&self) -> String {
        quoted(&self.to_string())
    }

    fn expected(_: Limits) -> String {
        "a host and port such as \"graphite.example.org:2004\" or \"[::1]:2004\"".to_owned()
    }
}

/// The URL of a server that speaks HTTP. A password in it is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpUrl(String);

impl fmt::Debug for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpUrl({})", self.redacted())
    }
}

impl HttpUrl {
    /// The URL as it was written, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same with the password of its login masked.
    pub fn redacted(&self) -> String {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("", &self.0));
        let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        match host.rsplit_once('@') {
            Some((login, host)) => {
                let user = login.split_once(':').map_or("", |(user, _)| user);
                format!("{scheme}://{user}:{MASK}@{host}{path}")
            }
            None => self.0.clone(),
        }
    }
}

impl Value for HttpUrl {
    const BARE: bool = true;
    const SECRET: bool = true;

    fn parse(value: Span<'_>, _: Limits) -> Result<Self, Bad> {
        let text = text(value)?.trim_end_matches('/');
        let rest = ["http://", "https://"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme));
        let is_good = |c: char| c.is_ascii_graphic() && !"\"<>\\^`{|}".contains(c);
        match rest {
            Some(rest) if !rest.is_empty() && rest.chars().all(is_good) => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(bad(value)),
        }
    }

    fn show(&self) -> String {
        quoted(&self.redacted())
    }

    fn expected(_: Limits) -> String {
        "a URL such as \"http://graphite.example.org:8080\"".to_owned()
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
        list(value, limits)
    }

    fn show(&self) -> String {
        show_list(self)
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

/// A list of values of one type.
pub(super) fn list<T: Value>(value: Span<'_>, limits: Limits) -> Result<Vec<T>, Bad> {
    let DeValue::Array(items) = value.get_ref() else {
        return Err(bad(value));
    };
    items.iter().map(|item| T::parse(item, limits)).collect()
}

/// The list as TOML.
pub(super) fn show_list<T: Value>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(Value::show).collect();
    format!("[{}]", items.join(", "))
}

pub(super) fn bad(value: Span<'_>) -> Bad {
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

pub(super) fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
