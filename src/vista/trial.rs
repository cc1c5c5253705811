//! `skyring vista test`: fetches one entry now, and shows what was asked, what came, and
//! what of it would be submitted. Nothing is.

use std::fmt::Write;
use std::process::ExitCode;
use std::sync::Arc;

use jiff::Timestamp;

use crate::cli::{EXIT_FAILED, print, tell};
use crate::flux::{self, populate};
use crate::get::plot;
use crate::logging::printable;
use crate::settings::Settings;
use crate::source::{Client, FetchError, Limits, Series, prometheus};

use super::answer;
use super::clock::{Clock, HostClock};
use super::core::{Asked, Id, Task};
use super::entry::{self, Ask, Checked, Entry};
use super::fetch;
use super::gap::{self, MINUTE_S, Need, Seen, minute_of};

/// Most points that are listed, the newest.
const LISTED_MAX: usize = 60;

/// Fetches the entry of this final name or target. Fails if there is none, if it is at
/// fault, or if the source does not answer as it should.
pub fn run(settings: &Settings, name: &str) -> ExitCode {
    let checked = entry::check(settings);
    let entry = match find(&checked, name) {
        Ok(entry) => entry,
        Err(error) => return tell(EXIT_FAILED, &error),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return tell(EXIT_FAILED, &format!("no runtime: {error}")),
    };
    let (text, fault) = runtime.block_on(Trial { settings, entry }.run());
    let printed = print(&text);
    match fault {
        Some(fault) => tell(EXIT_FAILED, &fault),
        None => printed,
    }
}

/// The entry that is called so, or else the first that asks for a target of that name.
fn find(checked: &[Checked], name: &str) -> Result<Arc<Entry>, String> {
    let is_meant = |checked: &&Checked| match checked {
        Ok(entry) => entry.metric == name,
        Err(disabled) => disabled.metric == name,
    };
    let asks_for = |checked: &&Checked| match checked {
        Ok(entry) => entry.fetch.remote_target == name,
        Err(disabled) => disabled.fetch.remote_target == name,
    };
    let mut all = checked.iter();
    let found = all.clone().find(is_meant).or_else(|| all.find(asks_for));
    match found {
        Some(Ok(entry)) => Ok(entry.clone()),
        Some(Err(disabled)) => Err(format!(
            "{} is not fetched: {}",
            printable(&disabled.metric),
            disabled.fault
        )),
        None => Err(format!(
            "no entry of vista.fetch has the name or the target {}; there are {} entries",
            printable(name),
            checked.len()
        )),
    }
}

struct Trial<'a> {
    settings: &'a Settings,
    entry: Arc<Entry>,
}

impl Trial<'_> {
    /// What is shown, and why it failed, if so.
    async fn run(&self) -> (String, Option<String>) {
        let entry = &self.entry;
        let now_s = HostClock.now_ms().div_euclid(1000);
        let mut text = String::new();
        let mut row = |head: &str, words: &str| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{head:<11} {}", printable(words));
        };
        row("metric", &entry.metric);
        row("target", &entry.fetch.remote_target);
        for note in &entry.notes {
            row("note", note);
        }
        let last = self.last().await;
        let (last_s, words) = match last {
            Ok(Some(last_s)) => (Some(last_s), time(last_s)),
            Ok(None) => (None, "none yet".to_owned()),
            Err(error) => (None, format!("not known: {error}")),
        };
        row("last point", &words);
        let (task, fills) = self.task(last_s, now_s);
        if fills {
            row(
                "would fill",
                "what is missing is filled first; this is what a fetch gives",
            );
        }
        row(
            "asks",
            &format!("GET {}{}", entry.site, question(entry, task)),
        );
        let asked = Asked {
            id: Id::default(),
            entry: entry.clone(),
            seen: Seen {
                last_s,
                ..Seen::default()
            },
        };
        let client = Client::new(Limits::of(self.settings));
        let reply = fetch::ask(&client, task, &[asked]).await;
        let reply = reply
            .into_iter()
            .next()
            .unwrap_or(Err(FetchError::NoSeries));
        match reply.and_then(|reply| fetch::series(entry, reply)) {
            Ok((series, warning)) => {
                if !warning.is_empty() {
                    row("warning", &warning);
                }
                row("answer", &told(&series));
                text.push_str(&self.shown(&series, last_s, now_s));
                (text, None)
            }
            Err(error) => (text, Some(format!("{}: {error}", entry.site))),
        }
    }

    /// The last point that was delivered.
    async fn last(&self) -> Result<Option<i64>, redis::RedisError> {
        let metric = &self.entry.metric;
        let rules = entry::rules_here(self.settings);
        let stored = entry::stored(rules.as_ref(), metric);
        let metrics = [stored.as_deref().unwrap_or(metric)];
        let client = redis::Client::open(self.settings.redis_url().connection_info()?)?;
        let mut redis = client.get_multiplexed_async_connection().await?;
        let noted = flux::last::noted(&mut redis, &metrics).await?;
        let mut last = noted.into_iter().next().flatten();
        if rules.is_some() {
            let namespace = &self.settings.redis.namespace;
            let stored = populate::last::stored(&mut redis, namespace, &metrics).await?;
            last = last.max(stored.into_iter().next().flatten());
        }
        Ok(last)
    }

    /// What is fetched, and whether more than a fetch is needed.
    fn task(&self, last_s: Option<i64>, now_s: i64) -> (Task, bool) {
        let seen = Seen {
            last_s,
            // A gap is asked for as if the source had just been looked at.
            looked_s: Some(now_s),
            gave_up: true,
            ..Seen::default()
        };
        let gap = Seen {
            looked_s: None,
            gave_up: false,
            ..seen
        };
        let fills = gap::need(&self.entry, &gap, now_s) == Need::Populate;
        match gap::need(&self.entry, &seen, now_s) {
            Need::Fetch(window) | Need::Piece { window, .. } => (Task::Fetch(window), fills),
            Need::AsWritten | Need::Populate => (Task::FetchAsWritten, fills),
        }
    }

    /// A table of the points, and a plot of those that would be submitted.
    fn shown(&self, series: &Series, last_s: Option<i64>, now_s: i64) -> String {
        let fresh = answer::fresh(&series.samples, last_s, None, now_s);
        let mut text = String::new();
        if let Some(resolution_s) = fresh.resolution_s {
            let _ = writeln!(text, "{:<11} {resolution_s} s", "resolution");
        }
        let from = series.samples.len().saturating_sub(LISTED_MAX);
        if from > 0 {
            let _ = writeln!(text, "\nthe newest {LISTED_MAX} points:");
        }
        let is_fine = fresh.resolution_s.is_some_and(|seconds| seconds < MINUTE_S);
        let _ = writeln!(text, "\n{:<20} {:>22}  would be", "time in UTC", "value");
        for sample in &series.samples[from..] {
            let at = sample.timestamp;
            let mean_at = if is_fine { minute_of(at) } else { at };
            let is_submitted = fresh.points.iter().any(|point| point.timestamp == mean_at);
            let what = match is_submitted {
                _ if at >= minute_of(now_s) => "left: the present minute",
                true if is_fine => "submitted, in its minute's mean",
                true => "submitted",
                false if last_s.is_some_and(|last_s| mean_at <= last_s) => "left: is there",
                false => "left: its minute may not be whole",
            };
            let _ = writeln!(text, "{:<20} {:>22}  {what}", time(at), sample.value);
        }
        let points: Vec<plot::Sample> = fresh
            .points
            .iter()
            .map(|point| plot::Sample::of(point.timestamp, point.value))
            .collect();
        if points.len() > 1 {
            text.push('\n');
            let size = plot::terminal_size();
            text.push_str(&plot::draw(&self.entry.metric, &points, size));
        } else {
            let _ = writeln!(text, "\n{} points would be submitted", points.len());
        }
        text
    }
}

/// The path and query that are sent.
fn question(entry: &Entry, task: Task) -> String {
    let window = match task {
        Task::Fetch(window) | Task::FetchPiece { window, .. } | Task::Probe(window) => window,
        Task::FetchAsWritten | Task::Populate => gap::Window { from_s: 0, to_s: 0 },
    };
    let target = entry.fetch.remote_target.as_str();
    match &entry.ask {
        Ask::Graphite(render) => {
            let window = fetch::graphite_window(window);
            format!("{}?{}", render.path(), render.query(&[target], &window))
        }
        Ask::PrometheusRange => {
            let query = prometheus::range_query(target, window.from_s, window.to_s, MINUTE_S);
            format!("{}?{query}", prometheus::RANGE_PATH)
        }
        Ask::PrometheusUri(uri) => uri.clone(),
    }
}

fn told(series: &Series) -> String {
    let mut words = format!(
        "{}: {} points, {} null, {} not finite",
        series.name,
        series.samples.len(),
        series.nulls,
        series.not_finite
    );
    if let Some(newest) = series.newest {
        words.push_str(&format!(", newest {}", time(newest)));
    }
    words
}

fn time(timestamp_s: i64) -> String {
    match Timestamp::from_second(timestamp_s) {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => timestamp_s.to_string(),
    }
}
