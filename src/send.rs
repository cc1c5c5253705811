//! `skyring send`: points of the command line or of standard input, to any listener
//! of Skyring or carbon.
//!
//! A value or timestamp of digits only, with or without a minus, is an integer, any
//! other number a float.

use std::io::{self, BufRead, BufReader, ErrorKind, IsTerminal, Read};
use std::net::{ToSocketAddrs, UdpSocket};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::carbon::{self, Connection, End};
use crate::cli::{EXIT_FAILED, EXIT_USAGE, tell};
use crate::logging::printable;
use crate::point::Number;
use crate::shard::OwnedPoint;
use crate::wire::msgpack::Record;

/// Longest line that is read, in bytes; the longest name and two numbers fit.
const LINE_BYTES_MAX: u64 = 128 << 10;
/// Faulty lines that are told one by one; further ones are only counted.
const FAULTS_TOLD_MAX: u64 = 100;
/// Longest name that goes into a datagram with its numbers, in bytes.
const DATAGRAM_NAME_BYTES_MAX: usize = 65_000;
/// Datagrams that are sent without a pause.
const BURST_DATAGRAMS: u64 = 100;
/// The pause. Nothing but the size of its buffer tells a receiver of datagrams from
/// a hole, and Linux's default has room for some hundreds of short ones.
const BURST_PAUSE: Duration = Duration::from_millis(1);

/// The options of `skyring send`.
#[derive(Args, Clone, Debug)]
pub struct Options {
    #[command(flatten)]
    target: Target,
    /// Metric of the one point to send; without it lines are read from standard input
    #[arg(requires = "value")]
    metric: Option<String>,
    /// Its value
    #[arg(allow_negative_numbers = true)]
    value: Option<String>,
    /// Its time in seconds since 1970; -1 = now
    #[arg(allow_negative_numbers = true, default_value = "-1")]
    timestamp: String,
}

/// Where to, and in which form.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
struct Target {
    /// Send carbon's pickle frames over TCP, to HOST:PORT
    #[arg(long, value_name = "ADDR")]
    pickle: Option<String>,
    /// Send MessagePack datagrams over UDP, to HOST:PORT
    #[arg(long, value_name = "ADDR")]
    msgpack: Option<String>,
    /// Send Graphite's plain lines over TCP, to HOST:PORT
    #[arg(long, value_name = "ADDR")]
    line: Option<String>,
    /// Send Graphite's plain lines over UDP, one a datagram, to HOST:PORT
    #[arg(long, value_name = "ADDR")]
    line_udp: Option<String>,
}

/// Sends what the options say.
pub fn run(options: &Options) -> ExitCode {
    let now = now();
    let single = match (&options.metric, &options.value) {
        (Some(name), Some(value)) => {
            match point(name, value, &options.timestamp, now).and_then(|point| {
                options.target.check(&point)?;
                Ok(point)
            }) {
                Ok(point) => Some(point),
                Err(fault) => return tell(EXIT_USAGE, &fault.to_string()),
            }
        }
        _ => None,
    };
    let (mut link, address) = match options.target.open() {
        Ok(opened) => opened,
        Err((address, error)) => return tell(EXIT_FAILED, &explain(address, &error)),
    };
    let mut sent = Sent::default();
    let written = match single {
        Some(point) => link.send(&[point]),
        None => send_lines(&options.target, &mut link, &mut sent),
    };
    match written.and_then(|()| link.finish()) {
        Ok(End::Closed) => sent.exit_code(),
        Ok(End::Silent) => {
            // All of it is on its way, so this is no failure.
            tell(
                EXIT_FAILED,
                &format!("{address} has not closed the connection yet; it may still be reading"),
            );
            sent.exit_code()
        }
        Err(error) => {
            let text = format!("{address}: {error}; {} points were written", sent.points);
            tell(EXIT_FAILED, &text)
        }
    }
}

fn explain(address: &str, error: &io::Error) -> String {
    let mend = match error.kind() {
        ErrorKind::InvalidInput => "write it as HOST:PORT, an IPv6 address in brackets",
        ErrorKind::ConnectionRefused => "start the server, or correct the address",
        _ => "look at the address, the network and firewalls",
    };
    format!("cannot connect to {address}: {error}; {mend}")
}

impl Target {
    /// What cannot be sent in this form is told before it is tried.
    fn check(&self, point: &OwnedPoint) -> Result<(), Fault> {
        let is_line = self.line.is_some() || self.line_udp.is_some();
        let is_datagram = self.msgpack.is_some() || self.line_udp.is_some();
        if is_line && point.name.contains(char::is_whitespace) {
            return Err(Fault::NameBlank);
        }
        if is_datagram && point.name.len() > DATAGRAM_NAME_BYTES_MAX {
            return Err(Fault::NameTooLong(point.name.len()));
        }
        Ok(())
    }

    fn open(&self) -> Result<(Link, &str), (&str, io::Error)> {
        let (address, opened) = match (&self.pickle, &self.msgpack, &self.line, &self.line_udp) {
            (Some(address), ..) => (address, Connection::open(address).map(Link::Pickle)),
            (_, Some(address), ..) => (address, open_udp(address).map(Link::Msgpack)),
            (_, _, Some(address), _) => (address, Connection::open(address).map(Link::Line)),
            (.., Some(address)) => (address, open_udp(address).map(Link::LineUdp)),
            // The definition of the command line requires one of them.
            _ => {
                let error = io::Error::new(ErrorKind::InvalidInput, "no address");
                return Err(("", error));
            }
        };
        match opened {
            Ok(link) => Ok((link, address)),
            Err(error) => Err((address, error)),
        }
    }
}

fn open_udp(address: &str) -> io::Result<Datagrams> {
    let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in address.to_socket_addrs()? {
        let any = if address.is_ipv4() {
            "0.0.0.0:0"
        } else {
            "[::]:0"
        };
        let opened = UdpSocket::bind(any).and_then(|socket| {
            socket.connect(address)?;
            Ok(socket)
        });
        match opened {
            Ok(socket) => return Ok(Datagrams { socket, sent: 0 }),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A way for points to take.
enum Link {
    Pickle(Connection),
    Line(Connection),
    Msgpack(Datagrams),
    LineUdp(Datagrams),
}

impl Link {
    fn send(&mut self, points: &[OwnedPoint]) -> io::Result<()> {
        match self {
            Self::Pickle(connection) => {
                for frame in carbon::frames(points) {
                    connection.send(&frame?)?;
                }
                Ok(())
            }
            Self::Line(connection) => {
                let lines: String = points.iter().map(line).collect();
                connection.send(lines.as_bytes())
            }
            Self::Msgpack(datagrams) => points.iter().try_for_each(|point| {
                let datagram = msgpack(point)?;
                datagrams.send(&datagram)
            }),
            Self::LineUdp(datagrams) => points
                .iter()
                .try_for_each(|point| datagrams.send(line(point).as_bytes())),
        }
    }

    fn finish(self) -> io::Result<End> {
        match self {
            Self::Pickle(connection) | Self::Line(connection) => connection.finish(),
            // A host without a listener says so, if it is near enough to be quick.
            Self::Msgpack(datagrams) | Self::LineUdp(datagrams) => {
                match datagrams.socket.take_error()? {
                    Some(error) => Err(error),
                    None => Ok(End::Closed),
                }
            }
        }
    }
}

struct Datagrams {
    socket: UdpSocket,
    sent: u64,
}

impl Datagrams {
    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        self.socket.send(datagram)?;
        self.sent += 1;
        if self.sent.is_multiple_of(BURST_DATAGRAMS) {
            std::thread::sleep(BURST_PAUSE);
        }
        Ok(())
    }
}

/// `name value timestamp` and a line end.
fn line(point: &OwnedPoint) -> String {
    format!("{} {} {}\n", point.name, point.value, point.timestamp)
}

/// `[name, [timestamp, value]]`.
fn msgpack(point: &OwnedPoint) -> io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(point.name.len() + 32);
    rmp::encode::write_array_len(&mut out, 2).map_err(io::Error::from)?;
    rmp::encode::write_str(&mut out, &point.name).map_err(io::Error::from)?;
    out.extend_from_slice(Record::new(point.timestamp, point.value).as_bytes());
    Ok(out)
}

/// What became of standard input.
#[derive(Debug, Default)]
struct Sent {
    lines: u64,
    faulty: u64,
    /// Handed to the system.
    points: u64,
}

impl Sent {
    fn exit_code(&self) -> ExitCode {
        let Self { lines, faulty, .. } = self;
        if *faulty == 0 {
            return ExitCode::SUCCESS;
        }
        let text = format!("{faulty} of {lines} lines are no points and were left out");
        tell(EXIT_FAILED, &text)
    }
}

/// Sends standard input. Whatever can be read without waiting goes out together; when
/// input has to be waited for, nothing is held back.
fn send_lines(target: &Target, link: &mut Link, sent: &mut Sent) -> io::Result<()> {
    let stdin = io::stdin();
    let progress = Progress::new(&stdin);
    let mut reader = Lines::new(stdin.lock());
    let mut points = Vec::with_capacity(carbon::FRAME_POINTS_MAX);
    loop {
        let line = reader.next().map_err(|error| {
            let text = format!("standard input cannot be read: {error}");
            io::Error::new(error.kind(), text)
        })?;
        let Some(line) = line else { break };
        sent.lines += 1;
        match line.and_then(|line| parse(line, now())) {
            Ok(None) => {}
            Ok(Some(point)) => match target.check(&point) {
                Ok(()) => points.push(point),
                Err(fault) => sent.tell(fault, &progress),
            },
            Err(fault) => sent.tell(fault, &progress),
        }
        if points.len() == carbon::FRAME_POINTS_MAX || (!reader.has_more() && !points.is_empty()) {
            link.send(&points)?;
            sent.points += points.len() as u64;
            points.clear();
            progress.update(sent, reader.bytes);
        }
    }
    link.send(&points)?;
    sent.points += points.len() as u64;
    progress.finish(sent);
    Ok(())
}

impl Sent {
    fn tell(&mut self, fault: Fault, progress: &Progress) {
        self.faulty += 1;
        if self.faulty <= FAULTS_TOLD_MAX {
            let text = format!("line {}: {fault}", self.lines);
            progress.suspend(|| tell(EXIT_FAILED, &text));
        }
        if self.faulty == FAULTS_TOLD_MAX {
            progress.suspend(|| tell(EXIT_FAILED, "further faulty lines are only counted"));
        }
    }
}

/// Why a line is no point.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Fault {
    #[error("it is no UTF-8")]
    Encoding,
    #[error("it is longer than {LINE_BYTES_MAX} bytes")]
    TooLong,
    #[error("expected \"name value [timestamp]\", found {0} words")]
    Words(usize),
    #[error("the name is empty")]
    NameEmpty,
    #[error("the name has control characters: {0}")]
    NameControl(String),
    #[error("the name has blanks, which a plain line cannot hold; --pickle can")]
    NameBlank,
    #[error("the name has {0} bytes, and a datagram has room for {DATAGRAM_NAME_BYTES_MAX}")]
    NameTooLong(usize),
    #[error("the {what} {text:?} is no number")]
    NotNumeric { what: &'static str, text: String },
    #[error("the {what} {text:?} is not finite, or does not fit 64 bits")]
    OutOfRange { what: &'static str, text: String },
}

/// One line; nothing for an empty one.
fn parse(line: &[u8], now: i64) -> Result<Option<OwnedPoint>, Fault> {
    let line = std::str::from_utf8(line).map_err(|_| Fault::Encoding)?;
    let words: Vec<&str> = line.split_ascii_whitespace().take(5).collect();
    match words[..] {
        [] => Ok(None),
        [name, value] => point(name, value, "-1", now).map(Some),
        [name, value, timestamp] => point(name, value, timestamp, now).map(Some),
        _ => Err(Fault::Words(line.split_ascii_whitespace().count())),
    }
}

fn point(name: &str, value: &str, timestamp: &str, now: i64) -> Result<OwnedPoint, Fault> {
    if name.is_empty() {
        return Err(Fault::NameEmpty);
    }
    let shown = printable(name);
    if shown != name {
        return Err(Fault::NameControl(shown.into_owned()));
    }
    let timestamp = match number("timestamp", timestamp)? {
        Number::Int(-1) => Number::Int(now),
        Number::Float(-1.0) => Number::Int(now),
        number => number,
    };
    Ok(OwnedPoint {
        name: name.to_owned(),
        timestamp,
        value: number("value", value)?,
    })
}

fn number(what: &'static str, text: &str) -> Result<Number, Fault> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let out_of_range = || Fault::OutOfRange {
        what,
        text: text.to_owned(),
    };
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return match text.parse() {
            Ok(int) => Ok(Number::Int(int)),
            Err(_) => text.parse().map(Number::Uint).map_err(|_| out_of_range()),
        };
    }
    match text.parse::<f64>() {
        Ok(float) if float.is_finite() => Ok(Number::Float(float)),
        Ok(_) => Err(out_of_range()),
        Err(_) => Err(Fault::NotNumeric {
            what,
            text: text.to_owned(),
        }),
    }
}

/// Whole seconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs().cast_signed())
}

/// Lines of bounded length.
struct Lines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
    /// Read so far.
    bytes: u64,
}

impl<R: Read> Lines<R> {
    fn new(reader: R) -> Self {
        Self {
            reader: BufReader::with_capacity(64 << 10, reader),
            line: Vec::new(),
            bytes: 0,
        }
    }

    /// Whether another whole line can be read without waiting.
    fn has_more(&self) -> bool {
        self.reader.buffer().contains(&b'\n')
    }

    fn next(&mut self) -> io::Result<Option<Result<&[u8], Fault>>> {
        self.line.clear();
        let mut limited = (&mut self.reader).take(LINE_BYTES_MAX);
        let read = limited.read_until(b'\n', &mut self.line)?;
        self.bytes += read as u64;
        if read == 0 {
            return Ok(None);
        }
        if read as u64 == LINE_BYTES_MAX && !self.line.ends_with(b"\n") {
            self.bytes += self.reader.skip_until(b'\n')? as u64;
            return Ok(Some(Err(Fault::TooLong)));
        }
        Ok(Some(Ok(&self.line)))
    }
}

/// The bar on a terminal; elsewhere, and when the terminal is typed into, none.
struct Progress {
    bar: ProgressBar,
}

impl Progress {
    fn new(stdin: &io::Stdin) -> Self {
        if stdin.is_terminal() || !io::stderr().is_terminal() {
            let bar = ProgressBar::hidden();
            return Self { bar };
        }
        let length = file_bytes(stdin);
        let bar = match length {
            Some(bytes) => ProgressBar::new(bytes),
            None => ProgressBar::new_spinner(),
        };
        let template = if length.is_some() {
            "{wide_bar} {percent} %, {msg}, {eta} left"
        } else {
            "{spinner} {msg}, {elapsed}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self { bar }
    }

    fn update(&self, sent: &Sent, bytes: u64) {
        if self.bar.is_hidden() {
            return;
        }
        self.bar.set_position(bytes);
        self.bar.set_message(Self::message(sent));
    }

    fn message(sent: &Sent) -> String {
        format!("{} points", sent.points)
    }

    fn suspend<T>(&self, tell: impl FnOnce() -> T) -> T {
        self.bar.suspend(tell)
    }

    fn finish(&self, sent: &Sent) {
        self.bar.finish_with_message(Self::message(sent));
    }
}

/// How long standard input is, if it is a file that is read from its begin.
fn file_bytes(stdin: &io::Stdin) -> Option<u64> {
    let stat = rustix::fs::fstat(stdin).ok()?;
    let is_file = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file();
    is_file.then_some(stat.st_size.cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_302_404;

    fn parsed(line: &str) -> Result<Option<OwnedPoint>, Fault> {
        parse(line.as_bytes(), NOW)
    }

    fn shown(line: &str) -> String {
        match parsed(line) {
            Ok(Some(point)) => format!("{} {} {}", point.name, point.value, point.timestamp),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn digits_are_integers_and_other_numbers_floats() {
        for (line, expected) in [
            ("a 1 2", "a 1 2"),
            ("a -5 2", "a -5 2"),
            ("a 007 2", "a 7 2"),
            ("a 1.0 2.5", "a 1.0 2.5"),
            ("a +7 2", "a 7.0 2"),
            ("a 1e300 2", "a 1e300 2"),
            ("a 18446744073709551615 2", "a 18446744073709551615 2"),
            ("a -9223372036854775808 2", "a -9223372036854775808 2"),
        ] {
            assert_eq!(shown(line), expected, "{line}");
        }
    }

    #[test]
    fn a_missing_timestamp_or_minus_one_is_now() {
        for line in ["a 1", "a 1 -1", "a\t1\t-1\r\n", "  a   1  -1.0 "] {
            assert_eq!(shown(line), format!("a 1 {NOW}"), "{line}");
        }
    }

    #[test]
    fn what_is_no_point_says_why() {
        let fault = |line: &str| parsed(line).unwrap_err().to_string();
        assert_eq!(
            fault("a"),
            "expected \"name value [timestamp]\", found 1 words"
        );
        assert_eq!(
            fault("a 1 2 3 4 5"),
            "expected \"name value [timestamp]\", found 6 words"
        );
        assert_eq!(fault("a b 2"), "the value \"b\" is no number");
        assert_eq!(fault("a 1 b"), "the timestamp \"b\" is no number");
        for text in ["nan", "inf", "-infinity", "1e999", "18446744073709551616"] {
            assert_eq!(
                fault(&format!("a {text} 2")),
                format!("the value {text:?} is not finite, or does not fit 64 bits")
            );
        }
        assert_eq!(
            fault("a\u{1b}[31m 1 2"),
            "the name has control characters: a\\u{1b}[31m"
        );
        assert_eq!(parse(b"a\xff 1 2", NOW), Err(Fault::Encoding));
        assert_eq!(parsed(""), Ok(None));
        assert_eq!(parsed(" \r\n"), Ok(None));
    }

    // An endless line must cost itself alone, and no more memory than the bound.
    #[test]
    fn a_line_over_the_bound_costs_itself_alone() {
        let long = "x".repeat(3 * LINE_BYTES_MAX as usize);
        let text = format!("a 1 2\n{long}\nb 1 2");
        let mut lines = Lines::new(text.as_bytes());
        assert_eq!(lines.next().unwrap(), Some(Ok(&b"a 1 2\n"[..])));
        assert_eq!(lines.next().unwrap(), Some(Err(Fault::TooLong)));
        assert_eq!(lines.next().unwrap(), Some(Ok(&b"b 1 2"[..])));
        assert_eq!(lines.next().unwrap(), None);
        assert_eq!(lines.bytes, text.len() as u64);
        assert!(lines.line.capacity() <= 2 * LINE_BYTES_MAX as usize);
    }
}
