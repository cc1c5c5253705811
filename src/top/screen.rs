//! What is drawn. Everything comes from the server as JSON of whatever version, so that
//! what is missing is shown as 0 or left out; names are hostile text.

use std::time::Instant;

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::{Constraint, Layout, Rect};
use ratatui_core::style::{Color, Modifier, Style};
use ratatui_core::terminal::Frame;
use ratatui_core::text::{Line, Span};
use ratatui_core::widgets::Widget;
use ratatui_widgets::paragraph::{Paragraph, Wrap};
use ratatui_widgets::sparkline::Sparkline;
use ratatui_widgets::table::{Cell, Row, Table};
use serde_json::Value;

use crate::logging::printable;

/// Talkers by one to three dotted elements, and senders.
const DEPTHS: [&str; 4] = ["a", "a.b", "a.b.c", "senders"];

/// What the server has answered.
pub(super) struct View {
    pub status: Value,
    pub history: Value,
    pub talkers: Value,
}

/// How kinds of text look.
#[derive(Clone, Copy)]
pub(super) struct Theme {
    head: Style,
    quiet: Style,
    good: Style,
    warn: Style,
    bad: Style,
    line: Style,
}

impl Theme {
    /// With the terminal's own colours.
    pub fn coloured() -> Self {
        let of = |colour| Style::new().fg(colour);
        Self {
            head: of(Color::Cyan).add_modifier(Modifier::BOLD),
            quiet: Style::new().add_modifier(Modifier::DIM),
            good: of(Color::Green).add_modifier(Modifier::BOLD),
            warn: of(Color::Yellow),
            bad: of(Color::Red).add_modifier(Modifier::BOLD),
            line: of(Color::Cyan),
        }
    }

    /// Without any.
    pub fn plain() -> Self {
        let of = |modifier| Style::new().add_modifier(modifier);
        Self {
            head: of(Modifier::BOLD),
            quiet: Style::new(),
            good: of(Modifier::BOLD),
            warn: of(Modifier::BOLD),
            bad: of(Modifier::REVERSED),
            line: Style::new(),
        }
    }
}

/// The whole of it.
pub(super) struct Screen {
    url: String,
    theme: Theme,
    view: Option<View>,
    /// Why the server does not answer, since when.
    away: Option<(String, Instant)>,
    depth: usize,
}

impl Screen {
    /// An empty one.
    pub fn new(url: String, theme: Theme) -> Self {
        Self {
            url,
            theme,
            view: None,
            away: None,
            depth: 1,
        }
    }

    /// Shows talkers by the next kind of name.
    pub fn next_depth(&mut self) {
        self.depth = (self.depth + 1) % DEPTHS.len();
    }

    /// Takes an answer, or why there is none.
    pub fn take(&mut self, answer: Result<View, String>) {
        match answer {
            Ok(view) => (self.view, self.away) = (Some(view), None),
            Err(reason) => {
                let since = self
                    .away
                    .take()
                    .map_or_else(Instant::now, |(_, since)| since);
                self.away = Some((reason, since));
            }
        }
    }

    /// Draws all that has room.
    pub fn draw(&self, frame: &mut Frame<'_>) {
        self.render(frame.area(), frame.buffer_mut());
    }

    fn render(&self, area: Rect, buffer: &mut Buffer) {
        let told = self.trouble();
        let told_rows = told.as_ref().map_or(0, |told| rows_of(told, area.width));
        let [head, trouble, body] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(told_rows),
            Constraint::Fill(1),
        ])
        .areas(area);
        self.head().render(head, buffer);
        if let Some(told) = told {
            let told = Paragraph::new(told).style(self.theme.bad);
            told.wrap(Wrap { trim: true }).render(trouble, buffer);
        }
        if let Some(view) = &self.view {
            self.body(view, body, buffer);
        }
    }

    fn head(&self) -> Line<'static> {
        let mut spans = vec![Span::styled("Skyring ", self.theme.head)];
        if let Some(View { status, .. }) = &self.view {
            let (word, style) = match () {
                () if self.away.is_some() => ("NO ANSWER", self.theme.bad),
                () if status["draining"] == true => ("DRAINING", self.theme.warn),
                () if status["ready"] == true => ("READY", self.theme.good),
                () => ("NOT READY", self.theme.bad),
            };
            let up = age(number(status, "/uptime_s"));
            spans.push(Span::raw(format!("{} ", text(status, "/version"))));
            spans.push(Span::styled(word, style));
            spans.push(Span::raw(format!(" up {up} ")));
        }
        let url = printable(&self.url).into_owned();
        spans.push(Span::styled(url, self.theme.quiet));
        spans.push(Span::styled("  q quits, t other talkers", self.theme.quiet));
        Line::from(spans)
    }

    fn trouble(&self) -> Option<String> {
        if let Some((reason, since)) = &self.away {
            let old = match self.view {
                Some(_) => format!(" What is shown is {} s old.", since.elapsed().as_secs()),
                None => " Is it running, and is that its page?".to_owned(),
            };
            let reason = printable(reason);
            return Some(format!(
                "The server does not answer: {reason}; asking again every 2 s.{old}"
            ));
        }
        let Some(View { status, .. }) = &self.view else {
            return Some(format!("Asking {} ...", printable(&self.url)));
        };
        let reason = text(status, "/reason");
        (!reason.is_empty()).then_some(reason)
    }

    /// From what matters most to what matters least, as far as there is room.
    fn body(&self, view: &View, area: Rect, buffer: &mut Buffer) {
        let status = &view.status;
        let listeners = self.listeners(status);
        let shards = self.shards(status);
        let faults = self.faults(status);
        let beside = Self::beside(status);
        let rows = |rows: &[Row<'_>]| rows.len() as u16 + 2;
        let [totals, plots, by_listener, by_shard, redis, talkers, last] = Layout::vertical([
            Constraint::Length(3),
            Constraint::Length(if area.height > 34 { 6 } else { 0 }),
            Constraint::Length(rows(&listeners)),
            Constraint::Length(rows(&shards).min(area.height / 4)),
            Constraint::Length(beside.len() as u16 + 1),
            Constraint::Fill(3),
            Constraint::Length((faults.len() as u16 + 1).min(area.height / 4)),
        ])
        .areas(area);
        self.totals(status).render(totals, buffer);
        self.plots(view, plots, buffer);
        let widths = [14, 11, 11, 14, 14, 11, 11, 10, 11].map(Constraint::Length);
        let head = [
            "Listener",
            "Received/s",
            "Stored/s",
            "Received",
            "Stored",
            "In flight",
            "Not stored",
            "Bad frames",
            "Connections",
        ];
        self.table(&head, listeners, &widths)
            .render(by_listener, buffer);
        let widths = [14, 11, 11, 14, 14, 11, 11, 10].map(Constraint::Length);
        let head = [
            "Shard",
            "Busy",
            "CPU",
            "Connections",
            "Stored",
            "In flight",
            "Metrics",
            "Redis",
        ];
        self.table(&head, shards, &widths).render(by_shard, buffer);
        Paragraph::new(beside).render(redis, buffer);
        self.talkers(&view.talkers, talkers, buffer);
        Paragraph::new(faults).render(last, buffer);
    }

    fn table<'t>(&self, head: &[&'t str], rows: Vec<Row<'t>>, widths: &[Constraint]) -> Table<'t> {
        let cells = head.iter().enumerate().map(|(at, name)| {
            let line = Line::from(*name);
            Cell::from(if at == 0 { line } else { line.right_aligned() })
        });
        let head = Row::new(cells).style(self.theme.head);
        Table::new(rows, widths.iter().copied())
            .header(head)
            .column_spacing(1)
    }

    fn totals(&self, status: &Value) -> Paragraph<'static> {
        let listeners = || values(&status["listeners"]);
        let sum = |pointer: &str| listeners().map(|l| number(l, pointer)).sum::<f64>();
        let dropped: f64 = listeners().map(dropped).sum();
        let latency = &status["recent"]["latency_us"];
        let micros = |pointer| match number(latency, "/count") {
            0.0 => "-".to_owned(),
            _ => micros(number(latency, pointer)),
        };
        let cells = [
            ("Received/s", grouped(recent(status, None, "received"))),
            ("Stored/s", grouped(recent(status, None, "stored"))),
            ("Not stored", grouped(dropped)),
            ("In flight", grouped(sum("/in_flight"))),
            ("Median", micros("/p50")),
            ("p99", micros("/p99")),
            ("Metrics", grouped(number(status, "/metrics_known"))),
        ];
        let line = |of: &dyn Fn(&(&str, String)) -> String| -> String {
            cells
                .iter()
                .map(|cell| format!("{:>13}", of(cell)))
                .collect()
        };
        let names = line(&|(name, _)| (*name).to_owned());
        let numbers = line(&|(_, number)| number.clone());
        Paragraph::new(vec![
            Line::styled(names, self.theme.head),
            Line::styled(numbers, Style::new().add_modifier(Modifier::BOLD)),
        ])
    }

    fn plots(&self, view: &View, area: Rect, buffer: &mut Buffer) {
        let halves = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).spacing(2);
        let [left, right] = halves.areas(area);
        let received = |row: &Record<'_>| {
            let points: f64 = row.starting_with("received.").sum();
            Some((points * 1000.0 / row.get("span_ms").max(1.0)) as u64)
        };
        let p99 = |row: &Record<'_>| {
            let micros = row.get("p99_us");
            (micros >= 0.0).then_some(micros as u64)
        };
        self.plot("Received/s", &view.history, received, left, buffer);
        self.plot("Latency, p99, us", &view.history, p99, right, buffer);
    }

    fn plot(
        &self,
        name: &str,
        history: &Value,
        of: impl Fn(&Record<'_>) -> Option<u64>,
        area: Rect,
        buffer: &mut Buffer,
    ) {
        if area.height < 3 {
            return;
        }
        let rows = list(&history["rows"]);
        let last = &rows[rows.len().saturating_sub(area.width.into())..];
        let numbers: Vec<Option<u64>> = last
            .iter()
            .map(|row| of(&Record(&history["columns"], row)))
            .collect();
        let most = numbers.iter().flatten().max().copied().unwrap_or(0);
        let [head, plot] =
            Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
        let span = age(last.len() as f64 * 2.0);
        let title = format!(
            "{name}, at most {} in the last {span}",
            grouped(most as f64)
        );
        Line::styled(title, self.theme.quiet).render(head, buffer);
        Sparkline::default()
            .data(numbers)
            .style(self.theme.line)
            .render(plot, buffer);
    }

    fn listeners(&self, status: &Value) -> Vec<Row<'static>> {
        let mut rows = Vec::new();
        for (name, listener) in pairs(&status["listeners"]) {
            let is_used = !list(&listener["addresses"]).is_empty();
            if !is_used && number(listener, "/received") == 0.0 {
                continue;
            }
            let dropped = dropped(listener);
            let bad = sum_of(&listener["frames_bad"])
                + number(listener, "/frames_too_long")
                + number(listener, "/frames_cut_short");
            let loud = |count: f64| {
                let style = if count > 0.0 {
                    self.theme.warn
                } else {
                    Style::new()
                };
                Line::styled(grouped(count), style).right_aligned()
            };
            let plain = |count: f64| Line::from(grouped(count)).right_aligned();
            rows.push(Row::new([
                Line::from(printable(name).into_owned()),
                plain(recent(status, Some(name), "received")),
                plain(recent(status, Some(name), "stored")),
                plain(number(listener, "/received")),
                plain(number(listener, "/stored")),
                plain(number(listener, "/in_flight")),
                loud(dropped),
                loud(bad),
                plain(number(listener, "/connections")),
            ]));
        }
        rows
    }

    fn shards(&self, status: &Value) -> Vec<Row<'static>> {
        let row = |(index, shard): (usize, &Value)| {
            let plain = |pointer| Line::from(grouped(number(shard, pointer))).right_aligned();
            let busy = number(shard, "/busy_percent");
            let style = match busy {
                busy if busy > 95.0 => self.theme.bad,
                busy if busy > 80.0 => self.theme.warn,
                _ => Style::new(),
            };
            let redis = text(shard, "/redis");
            let link = if redis == "ready" {
                self.theme.good
            } else {
                self.theme.bad
            };
            Row::new([
                Line::from(format!("shard {index}")),
                Line::styled(format!("{busy:.1}%"), style).right_aligned(),
                plain("/cpu"),
                plain("/connections"),
                plain("/stored"),
                plain("/in_flight"),
                plain("/metrics_known"),
                Line::styled(redis, link).right_aligned(),
            ])
        };
        list(&status["shards"])
            .iter()
            .enumerate()
            .map(row)
            .collect()
    }

    /// What is not the shards: Redis, Roomba, Flux, Vista, a line each.
    fn beside(status: &Value) -> Vec<Line<'static>> {
        let (redis, roomba) = (&status["redis"], &status["roomba"]);
        let mut lines = vec![format!(
            "Redis {}: {} commands/s, {} of memory, {} clients, {} keys, batches {} in flight, {} wait",
            text(redis, "/state"),
            grouped(number(redis, "/info/commands_per_s")),
            bytes(number(redis, "/info/memory_bytes")),
            grouped(number(redis, "/info/clients")),
            grouped(number(redis, "/info/keys")),
            grouped(number(redis, "/in_flight_batches")),
            grouped(number(redis, "/waiting_batches")),
        )];
        if roomba["enabled"] == true {
            lines.push(format!(
                "Trimming: {} series, {} cut, {} put in order, {} removed, {} set aside {}",
                grouped(number(roomba, "/members")),
                grouped(number(roomba, "/cut")),
                grouped(number(roomba, "/mended")),
                grouped(number(roomba, "/removed")),
                grouped(number(roomba, "/quarantined")),
                text(roomba, "/error"),
            ));
        }
        let flux = &status["flux"];
        let endpoints: Vec<&Value> = values(&flux["endpoints"]).collect();
        if !endpoints.is_empty() {
            let answers = endpoints
                .iter()
                .map(|endpoint| sum_of(&endpoint["answers"]));
            let points = endpoints.iter().map(|endpoint| number(endpoint, "/points"));
            lines.push(format!(
                "Flux: {} answers, {} points taken, {} wait",
                grouped(answers.sum()),
                grouped(points.sum()),
                grouped(number(flux, "/queue_points")),
            ));
        }
        let entries = list(&status["vista"]["entries"]);
        if !entries.is_empty() {
            let failing = entries.iter().filter(|entry| entry["state"] == "failing");
            lines.push(format!(
                "Vista: {} entries, {} failing",
                entries.len(),
                failing.count()
            ));
        }
        lines.into_iter().map(Line::from).collect()
    }

    fn talkers(&self, talkers: &Value, area: Rect, buffer: &mut Buffer) {
        let by = DEPTHS[self.depth];
        let side = match by {
            "senders" => &talkers["senders"],
            _ => &talkers["prefixes"][self.depth],
        };
        let halves = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).spacing(2);
        let span = age(number(talkers, "/seconds"));
        let sides = [("points", "Points"), ("series", "New series")];
        for ((key, title), area) in sides.into_iter().zip(halves.areas::<2>(area).iter()) {
            let all = number(talkers, &format!("/{key}"));
            let title = format!("{title} by {by}, last {span}");
            let mut lines = vec![Line::styled(title, self.theme.head)];
            for row in list(&side[key]) {
                let count = number(row, "/count");
                let share = if all > 0.0 { 100.0 * count / all } else { 0.0 };
                let name = text(row, "/name");
                lines.push(Line::from(format!(
                    "{:>12} {share:>5.1}%  {name}",
                    grouped(count)
                )));
            }
            Paragraph::new(lines).render(*area, buffer);
        }
    }

    fn faults(&self, status: &Value) -> Vec<Line<'static>> {
        let now = number(status, "/now_ms") / 1000.0;
        let mut lines = Vec::new();
        for fault in list(&status["faults"]).iter().take(5) {
            let style = match fault["level"].as_str() {
                Some("error") => self.theme.bad,
                _ => self.theme.warn,
            };
            let ago = age(now - number(fault, "/last_s"));
            let often = match number(fault, "/count") {
                count if count > 1.0 => format!("{} times, last ", grouped(count)),
                _ => String::new(),
            };
            lines.push(Line::from(vec![
                Span::styled(text(fault, "/level"), style),
                Span::raw(format!(
                    " {often}{ago} ago: {} {}",
                    text(fault, "/message"),
                    text(fault, "/fields"),
                )),
            ]));
            let mend = text(fault, "/mend");
            if !mend.is_empty() {
                lines.push(Line::from(format!("  -> {mend}")));
            }
        }
        lines
    }
}

/// A row of the history, and the names of its columns.
struct Record<'h>(&'h Value, &'h Value);

impl Record<'_> {
    fn get(&self, column: &str) -> f64 {
        self.starting_with(column).sum()
    }

    fn starting_with<'s>(&'s self, prefix: &'s str) -> impl Iterator<Item = f64> + 's {
        let columns = list(self.0).iter().zip(list(self.1));
        let found = columns
            .filter(move |(name, _)| name.as_str().is_some_and(|name| name.starts_with(prefix)));
        found.filter_map(|(_, number)| number.as_f64())
    }
}

fn rows_of(told: &str, width: u16) -> u16 {
    let characters = told.chars().count();
    characters.div_ceil(usize::from(width.max(1))).min(4) as u16
}

fn number(value: &Value, pointer: &str) -> f64 {
    value
        .pointer(pointer)
        .and_then(Value::as_f64)
        .unwrap_or(0.0)
}

fn text(value: &Value, pointer: &str) -> String {
    let text = value.pointer(pointer).and_then(Value::as_str);
    printable(text.unwrap_or_default()).into_owned()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn pairs(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let pairs = value.as_object().into_iter().flatten();
    pairs.map(|(name, value)| (name.as_str(), value))
}

fn values(value: &Value) -> impl Iterator<Item = &Value> {
    pairs(value).map(|(_, value)| value)
}

fn sum_of(object: &Value) -> f64 {
    values(object).filter_map(Value::as_f64).sum()
}

fn dropped(listener: &Value) -> f64 {
    sum_of(&listener["dropped"]) + number(listener, "/kernel_drops")
}

/// Points a second in the last interval, of one listener or of all.
fn recent(status: &Value, listener: Option<&str>, what: &str) -> f64 {
    let recent = &status["recent"];
    let wanted = pairs(&recent["listeners"]);
    let wanted = wanted.filter(|(name, _)| listener.is_none_or(|listener| listener == *name));
    let points: f64 = wanted
        .map(|(_, fate)| fate[what].as_f64().unwrap_or(0.0))
        .sum();
    points * 1000.0 / number(recent, "/span_ms").max(1.0)
}

/// A count with its thousands set apart.
fn grouped(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn micros(micros: f64) -> String {
    match micros {
        micros if micros < 1e3 => format!("{micros:.0} us"),
        micros if micros < 1e6 => format!("{:.1} ms", micros / 1e3),
        micros => format!("{:.1} s", micros / 1e6),
    }
}

fn bytes(bytes: f64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut number, mut at) = (bytes, 0);
    while number >= 1024.0 && at + 1 < units.len() {
        number /= 1024.0;
        at += 1;
    }
    format!("{number:.1} {}", units[at])
}

fn age(seconds: f64) -> String {
    match seconds.max(0.0) {
        seconds if seconds < 120.0 => format!("{seconds:.0} s"),
        seconds if seconds < 7200.0 => format!("{:.0} min", seconds / 60.0),
        seconds if seconds < 172_800.0 => format!("{:.0} h", seconds / 3600.0),
        seconds => format!("{:.0} d", seconds / 86_400.0),
    }
}

#[cfg(test)]
mod tests;
