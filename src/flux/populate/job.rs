//! What a history is asked for with, oldest first.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::settings::{Fetch, RemoteHostType};
use crate::source::graphite::{self, Render, UriError};
use crate::source::{Site, minute, prometheus};

/// Seconds of the steps in which an expression's history is asked for.
const STEP: i64 = minute::MINUTE;
/// Raw samples are asked for in pieces of this many seconds.
const SAMPLES_PIECE: i64 = 86_400;
/// A gap is asked of Graphite in windows of this many seconds, or in this many windows.
const GRAPHITE_GAP: i64 = 21_600;
const GRAPHITE_GAPS_MAX: i64 = 400;
/// So much younger than the age of an archive is what is asked of it, in seconds:
/// Graphite answers a whole window from a coarser archive if its first second has
/// just left the finer one.
const AGE_MARGIN: i64 = 600;

/// A history to be fetched: all that is newer than the last point of its metric.
#[derive(Clone, Debug)]
pub struct Job {
    /// The metric's final name.
    pub metric: String,
    /// What the source calls it; where Skyline's programs know of each other's work,
    /// they call it so.
    pub remote_target: String,
    /// Where it is fetched from.
    pub site: Arc<Site>,
    /// What is asked for, in the order of the times.
    pub asks: Vec<Ask>,
    /// Since when it waits.
    pub since: Instant,
}

/// One question, for a span of seconds since 1970 that begins and ends with a minute.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Ask {
    /// Graphite's render API.
    Render {
        render: Render,
        target: String,
        span: Range<i64>,
        /// Whether the span begins at the age of an archive.
        is_by_age: bool,
    },
    /// The raw samples of a plain selector of Prometheus.
    Samples { selector: String, span: Range<i64> },
    /// An expression of Prometheus, once a minute.
    Steps {
        expression: String,
        span: Range<i64>,
    },
}

/// Why there is no history to be fetched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the messages say it")]
pub enum JobError {
    #[error("populate_at_resolutions: expected spans such as \"7days\" or \"15d\", found {0:?}")]
    Resolution(String),
    #[error(transparent)]
    Uri(#[from] UriError),
    #[error("uri: with a path and query of its own a Prometheus entry has no history")]
    OwnUri,
}

impl Job {
    /// The history of an entry at its resolutions, up to the minute that `now` lies in.
    ///
    /// # Errors
    ///
    /// When a resolution is no span, or the entry's `uri` allows no history.
    pub fn history(
        fetch: &Fetch,
        metric: String,
        site: Arc<Site>,
        now: i64,
    ) -> Result<Self, JobError> {
        let resolutions = &fetch.populate_at_resolutions;
        let spans = match fetch.remote_host_type {
            RemoteHostType::Graphite => graphite::windows(resolutions, now),
            RemoteHostType::Prometheus => prometheus::reach(resolutions, now),
        };
        let spans = spans.map_err(JobError::Resolution)?;
        Self::of(fetch, metric, site, spans, true)
    }

    /// What an entry lacks since `from`, up to the minute that `now` lies in.
    ///
    /// # Errors
    ///
    /// When the entry's `uri` allows no history.
    pub fn gap(
        fetch: &Fetch,
        metric: String,
        site: Arc<Site>,
        from: i64,
        now: i64,
    ) -> Result<Self, JobError> {
        let span = minute::floor(from)..minute::floor(now);
        let spans = match fetch.remote_host_type {
            RemoteHostType::Graphite => graphite_gap(&span),
            RemoteHostType::Prometheus => vec![span],
        };
        Self::of(fetch, metric, site, spans, false)
    }

    fn of(
        fetch: &Fetch,
        metric: String,
        site: Arc<Site>,
        spans: Vec<Range<i64>>,
        is_by_age: bool,
    ) -> Result<Self, JobError> {
        let target = &fetch.remote_target;
        let asks = match fetch.remote_host_type {
            RemoteHostType::Graphite => {
                let render = Render::parse(&fetch.uri)?;
                let ask = |span| Ask::Render {
                    render: render.clone(),
                    target: target.clone(),
                    span,
                    is_by_age,
                };
                spans.into_iter().map(ask).collect()
            }
            RemoteHostType::Prometheus if fetch.uri != "default" => return Err(JobError::OwnUri),
            RemoteHostType::Prometheus => {
                let ask = |span| Ask::of_prometheus(target, span);
                spans.into_iter().map(ask).collect()
            }
        };
        Ok(Self {
            metric,
            remote_target: target.clone(),
            site,
            asks,
            since: Instant::now(),
        })
    }

    /// What is asked for after it has waited so long: what begins at the age of an
    /// archive begins so much later, and what comes before it reaches up to there.
    pub(super) fn asks_after(&self, waited: Duration) -> Vec<Ask> {
        let waited = i64::try_from(waited.as_secs()).unwrap_or(i64::MAX / 2);
        let later = minute::floor(AGE_MARGIN.saturating_add(waited).saturating_add(59));
        let mut asks = self.asks.clone();
        let mut next_start = None;
        for ask in asks.iter_mut().rev() {
            let Ask::Render {
                span, is_by_age, ..
            } = ask
            else {
                continue;
            };
            if let Some(next) = next_start {
                span.end = span.end.max(next);
            }
            if *is_by_age {
                span.start = span.start.saturating_add(later).min(span.end);
            }
            next_start = Some(span.start);
        }
        asks
    }

    /// From when to when it is.
    pub fn span(&self) -> (i64, i64) {
        let from = self.asks.iter().map(|ask| ask.span().start).min();
        let to = self.asks.iter().map(|ask| ask.span().end).max();
        (from.unwrap_or_default(), to.unwrap_or_default())
    }
}

impl Ask {
    /// The samples of a selector, or the steps of any other expression, of which there
    /// are no samples.
    pub fn of_prometheus(expression: &str, span: Range<i64>) -> Self {
        if prometheus::is_selector(expression) {
            Self::Samples {
                selector: expression.trim().to_owned(),
                span,
            }
        } else {
            Self::Steps {
                expression: expression.to_owned(),
                span,
            }
        }
    }

    /// The seconds that it asks for.
    pub fn span(&self) -> &Range<i64> {
        match self {
            Self::Render { span, .. } | Self::Samples { span, .. } | Self::Steps { span, .. } => {
                span
            }
        }
    }

    /// The spans in which what is from `from` on is fetched, oldest first.
    pub(super) fn pieces(&self, from: i64) -> Vec<Range<i64>> {
        let span = self.span();
        let rest = span.start.max(minute::floor(from))..span.end;
        let length = match self {
            // Graphite chooses the archive by the age at which a window begins.
            Self::Render { .. } => {
                return Some(rest).filter(|it| !it.is_empty()).into_iter().collect();
            }
            Self::Samples { .. } => SAMPLES_PIECE,
            Self::Steps { .. } => prometheus::STEPS_MAX * STEP,
        };
        pieces(rest, length)
    }
}

/// Graphite answers a whole window from the archive that reaches back to its beginning:
/// in short ones, counted back from the end, only the oldest is coarser than it need be.
fn graphite_gap(span: &Range<i64>) -> Vec<Range<i64>> {
    let length = GRAPHITE_GAP.max((span.end - span.start) / GRAPHITE_GAPS_MAX);
    let length = minute::floor(length + STEP - 1);
    let mut spans = Vec::new();
    let mut end = span.end;
    while end > span.start {
        let start = (end - length).max(span.start);
        spans.push(start..end);
        end = start;
    }
    spans.reverse();
    spans
}

fn pieces(span: Range<i64>, length: i64) -> Vec<Range<i64>> {
    let count = (span.end - span.start).max(0).div_euclid(length) + 1;
    (0..count)
        .map(|at| {
            let start = span.start + at * length;
            start..(start + length).min(span.end)
        })
        .filter(|piece| !piece.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    fn fetch(elements: &str) -> Fetch {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("skyring.toml");
        let text = format!("[[vista.fetch]]\nremote_host = 'http://h'\n{elements}\n");
        std::fs::write(&file, text).unwrap();
        let settings = Settings::load(Some(&file), &[]).unwrap();
        settings.vista.fetch[0].clone()
    }

    fn history(elements: &str, now: i64) -> Result<Vec<Ask>, JobError> {
        let fetch = fetch(elements);
        let site = Arc::new(Site::of(&fetch).unwrap());
        Job::history(&fetch, "m".to_owned(), site, now).map(|job| job.asks)
    }

    #[test]
    fn a_selector_is_asked_for_its_samples_and_an_expression_for_its_steps() {
        let prometheus = "remote_host_type = 'prometheus'\npopulate_at_resolutions = ['2h', '1h']";
        let asks = history(
            &format!("{prometheus}\nremote_target = 'up{{a=\"b\"}}'"),
            86_410,
        );
        let span = 79_200..86_400;
        assert_eq!(
            asks.unwrap(),
            [Ask::Samples {
                selector: "up{a=\"b\"}".to_owned(),
                span: span.clone()
            }]
        );
        let asks = history(&format!("{prometheus}\nremote_target = 'sum(up)'"), 86_410);
        assert_eq!(
            asks.unwrap(),
            [Ask::Steps {
                expression: "sum(up)".to_owned(),
                span
            }]
        );
    }

    #[test]
    fn an_entry_without_history_says_why() {
        let graphite = "remote_host_type = 'graphite'\nremote_target = 'a'";
        let with =
            |text: &str| history(&format!("{graphite}\npopulate_at_resolutions = {text}"), 0);
        assert_eq!(with("['7x']"), Err(JobError::Resolution("7x".to_owned())));
        let own =
            "remote_host_type = 'prometheus'\nremote_target = 'a'\nuri = '/api/v1/query?query=a'";
        assert_eq!(history(own, 0), Err(JobError::OwnUri));
    }

    // A window whose first second has left the archive would be coarse as a whole.
    #[test]
    fn an_archive_is_asked_for_what_it_still_has_when_its_turn_comes() {
        let fetch = fetch(
            "remote_host_type = 'graphite'\nremote_target = 'a'\n\
             populate_at_resolutions = ['7d', '6h']",
        );
        let site = Arc::new(Site::of(&fetch).unwrap());
        let now = 10_000_020;
        let job = Job::history(&fetch, "m".to_owned(), site.clone(), now).unwrap();
        let spans = |job: &Job, waited: u64| -> Vec<Range<i64>> {
            let asks = job.asks_after(Duration::from_secs(waited));
            asks.iter().map(|ask| ask.span().clone()).collect()
        };
        let (week, hours) = (now - 604_800, now - 21_600);
        assert_eq!(spans(&job, 0), [week + 600..hours + 600, hours + 600..now]);
        assert_eq!(spans(&job, 61), [week + 720..hours + 720, hours + 720..now]);
        assert_eq!(spans(&job, u64::MAX), [now..now, now..now]);
        let gap = Job::gap(&fetch, "m".to_owned(), site, now - 600, now).unwrap();
        assert_eq!(spans(&gap, 61).first(), Some(&(now - 600..now)));
    }

    #[test]
    fn pieces_begin_at_the_minute_of_the_last_point_and_leave_no_gap() {
        let ask = Ask::Samples {
            selector: "up".to_owned(),
            span: 0..200_000 / 60 * 60,
        };
        let found = ask.pieces(100);
        assert_eq!(found, [60..86_460, 86_460..172_860, 172_860..199_980]);
        assert_eq!(ask.pieces(199_980), []);
        assert_eq!(ask.pieces(500_000), []);
    }

    // Of a long window Graphite answers even the newest points coarsely.
    #[test]
    fn a_gap_is_asked_of_graphite_in_short_windows_without_a_gap() {
        let graphite = "remote_host_type = 'graphite'\nremote_target = 'a'";
        let fetch = fetch(graphite);
        let site = Arc::new(Site::of(&fetch).unwrap());
        let now = 1_795_295_764;
        for behind in [400, 7200, 2 * 86_400, 20 * 86_400, 4000 * 86_400] {
            let from = now - behind;
            let job = Job::gap(&fetch, "a".to_owned(), site.clone(), from, now).unwrap();
            assert_eq!(job.span(), (minute::floor(from), minute::floor(now)));
            let spans: Vec<_> = job.asks.iter().map(|ask| ask.span().clone()).collect();
            assert!(spans.windows(2).all(|pair| pair[0].end == pair[1].start));
            assert!(
                spans
                    .iter()
                    .all(|span| span.start % 60 == 0 && !span.is_empty())
            );
            assert!(
                spans.len() as i64 <= GRAPHITE_GAPS_MAX + 1,
                "{}",
                spans.len()
            );
            let newest = spans.last().unwrap();
            assert!(behind > 1000 * 86_400 || newest.end - newest.start <= GRAPHITE_GAP);
        }
    }
}
