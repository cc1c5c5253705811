//! Logs: one line an event to standard error, as text or JSON, with nothing in it
//! that could drive a terminal or forge a line; and a brake for lines that hostile
//! input could flood.

mod recent;

pub use recent::{Fault, faults};

use std::borrow::Cow;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tracing::field::Field;
use tracing::{Level, Metadata};
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::SubscriberExt;

use crate::settings::{LogFormat, LogLevel};

/// Starts logging to standard error. Text is coloured only on a terminal. Later
/// calls change nothing, so that servers in one process may each call it.
pub fn init(level: LogLevel, format: LogFormat) {
    let ansi =
        io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let style = match format {
        LogFormat::Text => Style::Text { ansi },
        LogFormat::Json => Style::Json,
    };
    // An error means that a subscriber is set already.
    let _ = tracing::subscriber::set_global_default(subscriber(level, style, io::stderr));
}

/// `text` with every character escaped that could drive a terminal, forge a line or
/// reorder what is read: C0, DEL, C1, line and paragraph separators, and
/// bidirectional marks. Each becomes `\u{hex}`.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hostile) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_hostile(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// JSON of one line with the same escaped, as JSON escapes it: inside of strings it
/// allows what a terminal does not bear, such as C1.
pub fn printable_json(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        if is_hostile(c) {
            // All of them have four digits at most, so none needs a surrogate pair.
            safe.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            safe.push(c);
        }
    }
    safe
}

/// How many lines of the level `error` were logged since the start.
pub fn errors() -> u64 {
    ERRORS.load(Ordering::Relaxed)
}

/// A brake for one kind of log line: at most one each period, and that one says how
/// many were left out before it. Put one in a `static` for each kind.
///
/// ```
/// use std::time::Duration;
/// use skyring::logging::Throttle;
///
/// static BAD_FRAMES: Throttle = Throttle::new(Duration::from_secs(10));
/// if let Some(suppressed) = BAD_FRAMES.admit() {
///     tracing::warn!(suppressed, "a frame was refused");
/// }
/// ```
#[derive(Debug)]
pub struct Throttle {
    period_ms: u64,
    /// When the next line may be written, in milliseconds since the first use of any
    /// brake.
    next_ms: AtomicU64,
    suppressed: AtomicU64,
}

impl Throttle {
    /// A brake that lets one line through each `period`.
    pub const fn new(period: Duration) -> Self {
        Self {
            period_ms: period.as_millis() as u64,
            next_ms: AtomicU64::new(0),
            suppressed: AtomicU64::new(0),
        }
    }

    /// Whether a line may be written now; if so, how many were left out since the
    /// last one.
    pub fn admit(&self) -> Option<u64> {
        static START: OnceLock<Instant> = OnceLock::new();
        let now = START.get_or_init(Instant::now).elapsed();
        self.admit_at(now.as_millis() as u64)
    }

    fn admit_at(&self, now_ms: u64) -> Option<u64> {
        let next_ms = self.next_ms.load(Ordering::Relaxed);
        let mine = now_ms >= next_ms
            && self
                .next_ms
                .compare_exchange(
                    next_ms,
                    now_ms.saturating_add(self.period_ms),
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
                .is_ok();
        if mine {
            return Some(self.suppressed.swap(0, Ordering::Relaxed));
        }
        self.suppressed.fetch_add(1, Ordering::Relaxed);
        None
    }
}

static ERRORS: AtomicU64 = AtomicU64::new(0);

#[derive(Clone, Copy)]
enum Style {
    Text { ansi: bool },
    Json,
}

fn subscriber<W>(
    level: LogLevel,
    style: Style,
    make: fn() -> W,
) -> Box<dyn tracing::Subscriber + Send + Sync>
where
    W: Write + 'static,
{
    let level = match level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    };
    let builder = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        // They would go to standard error by a macro that panics when that is closed.
        .log_internal_errors(false);
    match style {
        Style::Text { ansi } => {
            let fields = debug_fn(write_field).delimited(" ");
            Box::new(
                builder
                    .with_ansi(ansi)
                    .fmt_fields(fields)
                    .with_writer(CountErrors(make))
                    .finish()
                    .with(recent::Keep),
            )
        }
        Style::Json => {
            let builder = builder.json().flatten_event(true).with_ansi(false);
            Box::new(
                builder
                    .with_writer(CountErrors(JsonEscape { make }))
                    .finish()
                    .with(recent::Keep),
            )
        }
    }
}

/// Writes one field of a text line. Colours are the only escape sequences that get
/// through, since whatever a field holds is escaped here.
fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let text = format!("{value:?}");
    let text = printable(&text);
    match (field.name(), writer.has_ansi_escapes()) {
        ("message", _) => write!(writer, "{text}"),
        (name, true) => write!(writer, "\u{1b}[3m{name}\u{1b}[0m={text}"),
        (name, false) => write!(writer, "{name}={text}"),
    }
}

/// Makes the writers of another, and counts those for errors. The formatter asks for
/// one writer for each event.
struct CountErrors<M>(M);

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for CountErrors<M> {
    type Writer = M::Writer;

    fn make_writer(&'a self) -> Self::Writer {
        self.0.make_writer()
    }

    fn make_writer_for(&'a self, about: &Metadata<'_>) -> Self::Writer {
        if *about.level() == Level::ERROR {
            ERRORS.fetch_add(1, Ordering::Relaxed);
        }
        self.0.make_writer_for(about)
    }
}

/// Makes writers that escape what JSON allows inside of strings but a terminal does
/// not bear, such as C1. The formatter hands over each event in one `write_all`.
struct JsonEscape<W> {
    make: fn() -> W,
}

struct JsonEscapeWriter<W>(W);

impl<'a, W: Write + 'static> MakeWriter<'a> for JsonEscape<W> {
    type Writer = JsonEscapeWriter<W>;

    fn make_writer(&'a self) -> Self::Writer {
        JsonEscapeWriter((self.make)())
    }
}

impl<W: Write> Write for JsonEscapeWriter<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let mut safe = printable_json(text.strip_suffix('\n').unwrap_or(&text));
        safe.push('\n');
        self.0.write_all(safe.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

pub(crate) fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    const HOSTILE: &str =
        "a\nb\r\u{1b}[31mc\u{0}\u{7f}\u{9b}31m\u{85}\u{2028}\u{202e}\u{2066}z\u{e9}";

    thread_local! {
        static WRITTEN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }

    struct Capture;

    impl Write for Capture {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            WRITTEN.with_borrow_mut(|written| written.extend_from_slice(bytes));
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Broken;

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    fn logged(level: LogLevel, style: Style, log: fn()) -> String {
        WRITTEN.with_borrow_mut(Vec::clear);
        tracing::subscriber::with_default(subscriber(level, style, || Capture), log);
        WRITTEN.with_borrow(|written| String::from_utf8(written.clone()).unwrap())
    }

    fn log_hostile() {
        tracing::warn!(debug = ?HOSTILE, display = %HOSTILE, value = HOSTILE, "told: {HOSTILE}");
    }

    // A metric's name is hostile text: whichever way a line carries it, the line stays
    // one line and moves no cursor.
    #[test]
    fn hostile_text_stays_on_one_line_in_both_formats() {
        for style in [Style::Text { ansi: false }, Style::Json] {
            let text = logged(LogLevel::Info, style, log_hostile);
            let line = text.strip_suffix('\n').unwrap();
            assert!(!line.contains(is_hostile), "{line:?}");
            assert!(line.contains("z\u{e9}"), "{line:?}");
        }
    }

    #[test]
    fn with_colours_only_the_formatter_writes_escape_sequences() {
        let text = logged(LogLevel::Info, Style::Text { ansi: true }, log_hostile);
        assert!(text.contains("\u{1b}["));
        assert!(!text.contains("\u{1b}[31mc"), "{text:?}");
        let bare = text.replace('\u{1b}', "");
        assert!(
            !bare.trim_end_matches('\n').contains(is_hostile),
            "{bare:?}"
        );
    }

    #[test]
    fn json_lines_parse_and_carry_the_text_unchanged() {
        let text = logged(LogLevel::Info, Style::Json, log_hostile);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["level"], "WARN");
        assert_eq!(value["value"], HOSTILE);
        assert!(value["timestamp"].is_string());
    }

    #[test]
    fn less_important_lines_than_the_level_are_left_out() {
        let log = || {
            tracing::info!("quiet");
            tracing::error!("loud");
        };
        let text = logged(LogLevel::Warn, Style::Text { ansi: false }, log);
        assert!(text.contains("loud") && !text.contains("quiet"), "{text}");
    }

    // Whoever looks at the page sees what the log says, and what mends it.
    #[test]
    fn warnings_and_errors_are_kept_with_their_mends() {
        logged(LogLevel::Info, Style::Json, || {
            for length in [1, 2] {
                let suppressed = 4_u64;
                tracing::warn!(
                    length,
                    suppressed,
                    mend = "do this",
                    "kept for the page: {HOSTILE}"
                );
            }
            tracing::info!("not kept for the page");
        });
        let kept = faults();
        let is_it = |fault: &&Fault| fault.message.starts_with("kept for the page: a\\u{a}b");
        let fault = kept.iter().find(is_it).unwrap();
        assert_eq!((fault.level, fault.count), ("warn", 10));
        assert_eq!((&*fault.fields, &*fault.mend), ("length=2", "do this"));
        assert!(
            !kept
                .iter()
                .any(|fault| fault.message.starts_with("not kept"))
        );
    }

    // Other tests of this process may log errors too, so there may be more.
    #[test]
    fn errors_are_counted_in_both_formats() {
        for style in [Style::Text { ansi: false }, Style::Json] {
            let before = errors();
            logged(LogLevel::Error, style, || {
                tracing::error!("one");
                tracing::error!("two");
            });
            assert!(errors() >= before + 2);
        }
    }

    // `2>&1 | head` closes standard error under a running server.
    #[test]
    fn a_log_that_cannot_be_written_is_no_error() {
        for style in [Style::Text { ansi: false }, Style::Json] {
            let broken = subscriber(LogLevel::Info, style, || Broken);
            tracing::subscriber::with_default(broken, || tracing::error!("nobody hears"));
        }
    }

    #[test]
    fn printable_escapes_and_leaves_good_text_alone() {
        assert!(matches!(printable("caf\u{e9} 1%"), Cow::Borrowed(_)));
        assert_eq!(printable("a\n\u{1b}\u{202e}b"), "a\\u{a}\\u{1b}\\u{202e}b");
    }

    #[test]
    fn a_throttle_lets_one_through_each_period_and_counts_the_rest() {
        let throttle = Throttle::new(Duration::from_secs(10));
        assert_eq!(throttle.admit_at(5), Some(0));
        assert_eq!(throttle.admit_at(6), None);
        assert_eq!(throttle.admit_at(10_004), None);
        assert_eq!(throttle.admit_at(10_005), Some(2));
        assert_eq!(throttle.admit_at(20_015), Some(0));
    }
}
