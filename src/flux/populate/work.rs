//! One history: fetched piece by piece, and delivered before the next piece.

use std::ops::Range;
use std::time::Duration;

use tokio::sync::watch;

use super::job::{Ask, Job};
use super::{Progress, Shared, State, last};
use crate::flux::{FluxPoint, Origin, Receipt, Unavailable};
use crate::settings::Settings;
use crate::source::graphite::{self, Window};
use crate::source::{FetchError, Reply, Sample, minute, prometheus};

/// Points that are delivered at one go.
const POINTS_MAX: usize = 2000;
/// How often a piece is asked for before the history is given up.
const TRIES_MAX: u32 = 3;
/// Longest wait before it is asked for again, even if the source wants more.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Points by whose distance the resolution is told.
const RESOLUTION_POINTS: usize = 30;
/// With a last point younger than this the metric counts as known at once.
const RECENT_S: i64 = 600;

/// Fetches and delivers a history, and says in `progress` how far it is.
pub(super) async fn run(shared: &Shared, job: Job, progress: &watch::Sender<Progress>) {
    progress.send_modify(|progress| progress.state = State::Running);
    let mut work = Work {
        settings: shared.handle.settings(),
        shared,
        job: &job,
        progress,
        newest: Vec::new(),
    };
    let state = match work.all().await {
        Ok(()) => State::Done,
        Err(Fault { why, may_pass }) => {
            progress.send_modify(|progress| progress.may_pass = may_pass);
            State::Failed(why)
        }
    };
    let Progress { points, .. } = *progress.borrow();
    let metric = job.metric.escape_debug();
    match &state {
        State::Failed(why) => tracing::warn!(
            "the history of {metric} from {} was given up after {points} points: {why}",
            job.site
        ),
        _ => tracing::info!("the history of {metric} from {}: {points} points", job.site),
    }
    progress.send_modify(|progress| progress.state = state);
}

/// Why a history is given up.
struct Fault {
    why: String,
    /// Whether it lies in a server that is away or has too much to do.
    may_pass: bool,
}

/// Redis, or the Graphite beside it, cannot be asked.
impl From<String> for Fault {
    fn from(why: String) -> Self {
        let may_pass = true;
        Self { why, may_pass }
    }
}

impl From<FetchError> for Fault {
    fn from(error: FetchError) -> Self {
        Self {
            why: error.to_string(),
            may_pass: error.is_transient() || error.is_of_the_source(),
        }
    }
}

struct Work<'a> {
    shared: &'a Shared,
    settings: std::sync::Arc<Settings>,
    job: &'a Job,
    progress: &'a watch::Sender<Progress>,
    /// The newest points as the source has them.
    newest: Vec<Sample>,
}

impl Work<'_> {
    async fn all(&mut self) -> Result<(), Fault> {
        let (from, to) = self.job.span();
        let mut last = last::last(self.shared, &self.settings, self.job).await?;
        if last.is_some_and(|last| last > to - RECENT_S) {
            self.note_as_known().await?;
        }
        let mut oldest = from;
        if self.settings.graphite.carbon_pickle.is_none() {
            // What is older the data plane does not store.
            oldest = oldest.max(to - i64::from(self.settings.redis.full_duration_s));
        }
        let mut any = false;
        for ask in &self.job.asks_after(self.job.since.elapsed()) {
            let start = last.map_or(oldest, |last| oldest.max(last + 1));
            // In the order of the times, since the older half is put on top.
            let mut todo = ask.pieces(start);
            todo.reverse();
            while let Some(piece) = todo.pop() {
                let reply = match self.fetch(ask, &piece).await {
                    Ok(reply) => reply,
                    Err(error) => {
                        let Some([older, newer]) = halves(&error, &piece) else {
                            return Err(error.into());
                        };
                        todo.extend([newer, older]);
                        continue;
                    }
                };
                let samples = self.samples(ask, reply)?;
                any |= !samples.is_empty();
                self.deliver(samples, &mut last).await?;
                self.progress
                    .send_modify(|progress| progress.at_s = piece.end);
            }
        }
        self.progress.send_modify(|progress| progress.at_s = to);
        if any {
            self.note_as_known().await?;
        }
        Ok(())
    }

    /// The answer for one piece; what may pass is tried again.
    async fn fetch(&self, ask: &Ask, piece: &Range<i64>) -> Result<Reply, FetchError> {
        let mut tries = 0;
        loop {
            let error = match self.fetch_once(ask, piece).await {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            tries += 1;
            if tries >= TRIES_MAX || !error.is_transient() {
                return Err(error);
            }
            let jitter = Duration::from_millis(fastrand::u64(0..1000));
            let wait = error
                .retry_after()
                .unwrap_or(Duration::from_secs(1 << tries));
            tokio::time::sleep(wait.min(WAIT_MAX) + jitter).await;
        }
    }

    async fn fetch_once(&self, ask: &Ask, piece: &Range<i64>) -> Result<Reply, FetchError> {
        let (client, site) = (&self.shared.client, &*self.job.site);
        match ask {
            Ask::Render { render, target, .. } => {
                let window = Window {
                    from: Some(piece.start),
                    until: Some(piece.end),
                };
                let replies = graphite::fetch(client, site, render, &[target], &window).await;
                replies
                    .into_iter()
                    .next()
                    .unwrap_or(Err(FetchError::NoSeries))
            }
            Ask::Samples { selector, .. } => {
                prometheus::samples(client, site, selector, piece).await
            }
            Ask::Steps { expression, .. } => {
                prometheus::range(client, site, expression, piece, minute::MINUTE).await
            }
        }
    }

    /// The points of the one series of a piece, at most one a minute. That there is no
    /// series is no fault: it may be younger than the piece.
    fn samples(&mut self, ask: &Ask, reply: Reply) -> Result<Vec<Sample>, FetchError> {
        for warning in &reply.warnings {
            let metric = self.job.metric.escape_debug();
            tracing::warn!("the history of {metric} from {}: {warning}", self.job.site);
        }
        let series = match reply.only() {
            Ok(series) => series,
            Err(FetchError::NoSeries) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let samples = series.samples;
        let newest = samples.len().saturating_sub(RESOLUTION_POINTS);
        self.newest.extend_from_slice(&samples[newest..]);
        let surplus = self.newest.len().saturating_sub(RESOLUTION_POINTS);
        self.newest.drain(..surplus);
        Ok(match ask {
            Ask::Render { .. } => minute::at_most_one_per_minute(samples),
            // Scrapes are not made on whole minutes, however far they lie apart.
            Ask::Samples { .. } => minute::means(&samples),
            Ask::Steps { .. } => samples,
        })
    }

    /// Delivers what is newer than `last`, which becomes the newest of it.
    async fn deliver(&self, samples: Vec<Sample>, last: &mut Option<i64>) -> Result<(), Fault> {
        let is_new = |sample: &&Sample| Some(sample.timestamp) > *last;
        let new: Vec<Sample> = samples.iter().filter(is_new).copied().collect();
        for some in new.chunks(POINTS_MAX) {
            let receipt = self.hand_over(some).await?;
            if receipt.skipped >= some.len() as u64 {
                return Err(Fault {
                    why: "the skip lists or a rule leave the metric out".to_owned(),
                    may_pass: false,
                });
            }
            self.progress.send_modify(|progress| {
                progress.points += receipt.taken;
                progress.refused += receipt.skipped + receipt.too_old + receipt.refused;
            });
            *last = some.last().map(|sample| sample.timestamp).max(*last);
        }
        Ok(())
    }

    /// Hands points over, as often as it takes.
    async fn hand_over(&self, samples: &[Sample]) -> Result<Receipt, String> {
        let points = samples.iter().map(|sample| FluxPoint {
            metric: self.job.metric.clone(),
            timestamp: sample.timestamp,
            value: sample.value,
            fill: false,
        });
        let points: Vec<FluxPoint> = points.collect();
        loop {
            let given = self.shared.intake.deliver(Origin::Populate, points.clone());
            match given.await {
                Ok(receipt) => return Ok(receipt),
                Err(
                    Unavailable::Full { retry_after }
                    | Unavailable::Away { retry_after }
                    | Unavailable::Late { retry_after },
                ) => {
                    let least = Duration::from_millis(100);
                    tokio::time::sleep(retry_after.clamp(least, WAIT_MAX)).await;
                }
                Err(error @ Unavailable::Stopping) => return Err(error.to_string()),
            }
        }
    }

    /// Tells Skyline's programs, by the keys that they know, that the metric has its
    /// history, and how far its points lie apart.
    async fn note_as_known(&self) -> Result<(), String> {
        let mut notes = redis::pipe();
        notes
            .sadd("vista.fetcher.unique_metrics", &self.job.remote_target)
            .ignore();
        if let Some(seconds) = minute::resolution(&self.newest) {
            let key = format!("vista.last.resolution.{}", self.job.metric);
            notes.set_ex(key, seconds, 3600).ignore();
        }
        let written = async {
            let mut redis = self.shared.intake.redis().await?;
            notes.query_async::<()>(&mut redis).await
        };
        let written = written.await;
        written.map_err(|error| format!("Redis cannot be told: {error}"))
    }
}

/// Both halves of a piece whose answer is too large, parted at a whole minute.
fn halves(error: &FetchError, piece: &Range<i64>) -> Option<[Range<i64>; 2]> {
    let middle = minute::floor(piece.start + (piece.end - piece.start) / 2);
    let can_be_halved = matches!(error, FetchError::TooLarge(_)) && middle > piece.start;
    can_be_halved.then_some([piece.start..middle, middle..piece.end])
}
