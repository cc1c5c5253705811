//! Why a source gave no points.

use std::fmt::Write;
use std::time::Duration;

/// How much of a source's own words is repeated, in bytes.
const EXCERPT_BYTES_MAX: usize = 200;

/// Why there are no points. The words name no login and no URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the messages say it")]
pub enum FetchError {
    #[error("no connection: {0}")]
    Connect(String),
    #[error("TLS: {0}")]
    Tls(String),
    #[error("no whole answer within {} s", .0.as_secs())]
    Timeout(Duration),
    #[error("the answer broke off: {0}")]
    Cut(String),
    #[error("status {code}{}", told(.text))]
    Status {
        code: u16,
        /// When the source wants to be asked again.
        retry_after: Option<Duration>,
        /// What it says, or the beginning of that.
        text: String,
    },
    #[error("redirects to {to}, which is not the host that is configured: set remote_host to it")]
    RedirectAway { to: String },
    #[error("redirects more than {0} times")]
    RedirectLoop(u32),
    #[error("an answer of more than {0} bytes: ask for less, or raise vista.answer_bytes_max")]
    TooLarge(usize),
    #[error("no JSON{}", told(.0))]
    NotJson(String),
    #[error("JSON of another form: {0}")]
    Shape(String),
    #[error("the source says{}", told(.0))]
    Source(String),
    #[error("no series: the source knows none of this name now")]
    NoSeries,
    #[error("{count} series where one is wanted: sum or average them, or name one")]
    SeveralSeries { count: usize },
    #[error("native histograms: ask for a number of them, such as histogram_quantile(0.9, x)")]
    Histogram,
}

fn told(text: &str) -> String {
    if text.is_empty() {
        ", without a word".to_owned()
    } else {
        format!(": {text}")
    }
}

impl FetchError {
    /// The kind of the fault in a word, for counters.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Tls(_) => "tls",
            Self::Timeout(_) => "timeout",
            Self::Cut(_) => "cut",
            Self::Status { .. } => "status",
            Self::RedirectAway { .. } | Self::RedirectLoop(_) => "redirect",
            Self::TooLarge(_) => "too_large",
            Self::NotJson(_) => "not_json",
            Self::Shape(_) => "shape",
            Self::Source(_) => "source",
            Self::NoSeries => "no_series",
            Self::SeveralSeries { .. } => "several_series",
            Self::Histogram => "histogram",
        }
    }

    /// Whether the same question may be answered when it is asked again soon: the
    /// fault lies in the network or in the state of the source, not in the question.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Timeout(_) | Self::Cut(_) => true,
            Self::Status { code, .. } => matches!(code, 408 | 425 | 429 | 500..),
            _ => false,
        }
    }

    /// Whether it lies in the source as a whole, so that other questions need not be
    /// asked now.
    pub fn is_of_the_source(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Tls(_) | Self::Timeout(_) => true,
            Self::RedirectAway { .. } | Self::RedirectLoop(_) => true,
            Self::Status { code, .. } => {
                matches!(code, 401 | 403 | 407 | 425 | 429 | 502 | 503 | 504)
            }
            _ => false,
        }
    }

    /// How long the source wants to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// The beginning of what somebody else has written, on one line and without control
/// characters.
pub(super) fn excerpt(text: &[u8]) -> String {
    let cut = &text[..text.len().min(EXCERPT_BYTES_MAX)];
    let text = String::from_utf8_lossy(cut);
    let mut out = String::new();
    let mut was_blank = true;
    for character in text.chars() {
        let is_blank = character.is_whitespace();
        if is_blank {
            if !was_blank {
                out.push(' ');
            }
        } else if is_unprintable(character) {
            // Writing to a String does not fail.
            let _ = write!(out, "{}", character.escape_unicode());
        } else {
            out.push(character);
        }
        was_blank = is_blank;
    }
    out.truncate(out.trim_end().len());
    out
}

/// Controls, and characters that turn the direction of what follows.
fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    // What a source says stands on the page, in the log and in terminals.
    #[test]
    fn an_excerpt_is_short_and_harmless() {
        assert_eq!(excerpt(b"<html>\r\n  <b>502</b>\n"), "<html> <b>502</b>");
        assert_eq!(excerpt(b"a\x1b[31m\0"), "a\\u{1b}[31m\\u{0}");
        assert_eq!(excerpt("a\u{202e}b".as_bytes()), "a\\u{202e}b");
        assert_eq!(excerpt(&[b'x'; 5000]).len(), EXCERPT_BYTES_MAX);
        assert_eq!(excerpt(b"\xff"), "\u{fffd}");
    }

    #[test]
    fn what_may_pass_is_told_from_what_will_not() {
        let status = |code| FetchError::Status {
            code,
            retry_after: None,
            text: String::new(),
        };
        for code in [408, 425, 429, 500, 502, 503, 504, 599] {
            assert!(status(code).is_transient(), "{code}");
        }
        for code in [400, 401, 403, 404, 422] {
            assert!(!status(code).is_transient(), "{code}");
        }
        assert!(status(401).is_of_the_source());
        assert!(!status(400).is_of_the_source() && !status(500).is_of_the_source());
        assert!(!FetchError::NoSeries.is_transient());
        assert_eq!(status(502).to_string(), "status 502, without a word");
    }
}
