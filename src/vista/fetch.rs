//! A job done: the source is asked, what is new is handed to Flux, and each entry is
//! told what became of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::RedisResult;

use crate::flux::populate::{self, Job as History, Progress, State, Ticket};
use crate::flux::{FluxPoint, Intake, Origin, Populate, Receipt, Unavailable};
use crate::server::Handle;
use crate::settings::Several;
use crate::source::graphite::{self, Window};
use crate::source::{Client, FetchError, Reply, Series, prometheus};

use super::answer::{self, Fresh};
use super::clock::Clock;
use super::core::{Asked, Blame, Dropped, Failure, Id, Job, Looked, Outcome, Task};
use super::entry::{Ask, Entry};
use super::gap::{self, MINUTE_S, minute_of};

/// How long is waited after Flux has failed without saying for how long.
const FLUX_WAIT: Duration = Duration::from_secs(5);

/// What jobs are done with.
pub(super) struct Tools {
    pub handle: Arc<Handle>,
    pub client: Client,
    pub intake: Intake,
    pub populate: Populate,
    pub clock: Arc<dyn Clock>,
    /// Histories that are being filled.
    pub tickets: Mutex<BTreeMap<Id, Ticket>>,
}

impl Tools {
    /// Does a job to its end. There is one outcome for each entry, in their order.
    pub async fn work(&self, job: &Job) -> Vec<Outcome> {
        match (job.task, &job.asked[..]) {
            (Task::Populate, [asked]) => vec![self.populate(asked).await],
            _ => self.fetch(job).await,
        }
    }

    async fn fetch(&self, job: &Job) -> Vec<Outcome> {
        let replies = ask(&self.client, job.task, &job.asked).await;
        let now_s = self.clock.now_ms().div_euclid(1000);
        let to_s = match job.task {
            Task::Fetch(window) | Task::FetchPiece { window, .. } | Task::Probe(window) => {
                window.to_s
            }
            Task::FetchAsWritten | Task::Populate => minute_of(now_s),
        };
        if let Task::Probe(_) = job.task {
            return replies.into_iter().map(probed).collect();
        }
        let mut points = Vec::new();
        let outcomes: Vec<Outcome> = job
            .asked
            .iter()
            .zip(replies)
            .map(|(asked, reply)| look(asked, reply, to_s, now_s, &mut points))
            .collect();
        if points.is_empty() {
            return outcomes;
        }
        match self.intake.deliver(Origin::Vista, points).await {
            Ok(receipt) => told_of_refusals(outcomes, &receipt),
            Err(error) => undelivered(outcomes, error),
        }
    }

    /// Has everything filled that is missing since the last point.
    async fn populate(&self, asked: &Asked) -> Outcome {
        let now_s = self.clock.now_ms().div_euclid(1000);
        let history = history(&asked.entry, asked.seen.last_s, now_s);
        let mut ticket = match history.map(|history| self.populate.request(history)) {
            Ok(Ok(ticket)) => ticket,
            Ok(Err(error)) => return Err(unavailable(error)),
            Err(error) => {
                return Err(Failure {
                    text: error.to_string(),
                    blame: Blame::Question,
                });
            }
        };
        self.tickets().insert(asked.id, ticket.clone());
        let progress = ticket.finished().await;
        self.tickets().remove(&asked.id);
        if let State::Failed(text) = progress.state {
            let blame = match progress.may_pass {
                true => Blame::Source {
                    retry_after_s: None,
                    is_slow: false,
                },
                false => Blame::Question,
            };
            return Err(Failure { text, blame });
        }
        // Whoever filled it knows its last point, and tells it by Redis alone.
        let last = self.last(&[&asked.entry.metric]).await;
        let last_s = last.map_err(|error| Failure {
            text: format!("Redis: {error}"),
            blame: Blame::Flux {
                retry_after_ms: FLUX_WAIT.as_millis() as i64,
            },
        })?;
        Ok(populated(&progress, last_s.into_iter().next().flatten()))
    }

    /// The last point of each metric: as Flux has noted it; and where it is stored
    /// directly, as its series in Redis ends, since an end of the server may have come
    /// between the two.
    ///
    /// # Errors
    ///
    /// When Redis cannot be asked.
    pub async fn last(&self, metrics: &[&str]) -> RedisResult<Vec<Option<i64>>> {
        let noted = self.intake.last(metrics).await?;
        let settings = self.handle.settings();
        if settings.graphite.carbon_pickle.is_some() {
            return Ok(noted);
        }
        let mut redis = self.intake.redis().await?;
        let namespace = &settings.redis.namespace;
        let names: Vec<_> = metrics
            .iter()
            .map(|metric| self.intake.stored_name(metric))
            .collect();
        let names: Vec<&str> = names.iter().map(|name| &**name).collect();
        let stored = populate::last::stored(&mut redis, namespace, &names).await?;
        let both = noted.into_iter().zip(stored);
        Ok(both.map(|(noted, stored)| noted.max(stored)).collect())
    }

    /// How far each history is that is being filled.
    pub fn progress(&self) -> BTreeMap<Id, Progress> {
        let tickets = self.tickets();
        let progress = tickets.iter().map(|(id, ticket)| (*id, ticket.progress()));
        progress.collect()
    }

    fn tickets(&self) -> std::sync::MutexGuard<'_, BTreeMap<Id, Ticket>> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is asked for to fill what is missing: the gap, up to where history begins, and
/// history at its resolutions.
fn history(entry: &Entry, last_s: Option<i64>, now_s: i64) -> Result<History, populate::JobError> {
    let (fetch, metric, site) = (&entry.fetch, &entry.metric, &entry.site);
    let gap = |from_s, to_s| History::gap(fetch, metric.clone(), site.clone(), from_s, to_s);
    if !entry.has_history {
        return gap(last_s.unwrap_or(now_s), now_s);
    }
    let mut history = History::history(fetch, metric.clone(), site.clone(), now_s)?;
    let (begin_s, _) = history.span();
    if let Some(last_s) = last_s.filter(|last_s| *last_s < begin_s) {
        let mut asks = gap(last_s, begin_s)?.asks;
        asks.append(&mut history.asks);
        history.asks = asks;
    }
    Ok(history)
}

fn populated(progress: &Progress, last_s: Option<i64>) -> Looked {
    Looked {
        last_s,
        points: progress.points,
        dropped: Dropped {
            refused: progress.refused,
            ..Dropped::default()
        },
        to_s: progress.to_s,
        ..Looked::default()
    }
}

/// What the source answers for each entry.
pub(super) async fn ask(
    client: &Client,
    task: Task,
    asked: &[Asked],
) -> Vec<Result<Reply, FetchError>> {
    let Some(first) = asked.first().map(|asked| &asked.entry) else {
        return Vec::new();
    };
    let window = match task {
        Task::Fetch(window) | Task::FetchPiece { window, .. } | Task::Probe(window) => window,
        // Only what has no window of its own is asked for without one.
        Task::FetchAsWritten | Task::Populate => gap::Window { from_s: 0, to_s: 0 },
    };
    match &first.ask {
        Ask::Graphite(render) => {
            let targets: Vec<&str> = asked
                .iter()
                .map(|asked| asked.entry.fetch.remote_target.as_str())
                .collect();
            let window = graphite_window(window);
            graphite::fetch(client, &first.site, render, &targets, &window).await
        }
        Ask::PrometheusRange => {
            let expression = &first.fetch.remote_target;
            // Both ends of the window are on the grid.
            let span = window.from_s..window.to_s + 1;
            vec![prometheus::range(client, &first.site, expression, &span, MINUTE_S).await]
        }
        Ask::PrometheusUri(uri) => vec![prometheus::verbatim(client, &first.site, uri).await],
    }
}

/// What Graphite is asked for: also the minute after the window, whose points show that
/// the minute before is whole.
pub(super) fn graphite_window(window: gap::Window) -> Window {
    Window {
        from: Some(window.from_s),
        until: Some(window.to_s + MINUTE_S),
    }
}

/// Whether the source has answered at all.
fn probed(reply: Result<Reply, FetchError>) -> Outcome {
    match reply {
        Ok(_) | Err(FetchError::NoSeries) => Ok(Looked::default()),
        Err(error) => Err(blame(&error)),
    }
}

/// The series of an answer that the entry is about.
pub(super) fn series(entry: &Entry, reply: Reply) -> Result<(Series, String), FetchError> {
    let warning = reply.warnings.first().cloned().unwrap_or_default();
    let series = match entry.fetch.several {
        Several::First => reply.series.into_iter().next().ok_or(FetchError::NoSeries),
        Several::Error => reply.only(),
    };
    Ok((series?, warning))
}

/// What is new for one entry; its points are added to those that are delivered.
fn look(
    asked: &Asked,
    reply: Result<Reply, FetchError>,
    to_s: i64,
    now_s: i64,
    points: &mut Vec<FluxPoint>,
) -> Outcome {
    let (series, warning) = match reply.and_then(|reply| series(&asked.entry, reply)) {
        Ok(series) => series,
        // The source has answered: there is nothing, for now.
        Err(error @ FetchError::NoSeries) => {
            return Ok(Looked {
                to_s,
                note: error.to_string(),
                ..Looked::default()
            });
        }
        Err(error) => return Err(blame(&error)),
    };
    let seen = &asked.seen;
    let Fresh {
        points: fresh,
        resolution_s,
    } = answer::fresh(&series.samples, seen.last_s, seen.resolution_s, now_s);
    let looked = Looked {
        last_s: fresh.last().map(|sample| sample.timestamp),
        points: fresh.len() as u64,
        dropped: Dropped {
            null: series.nulls,
            non_finite: series.not_finite,
            refused: 0,
        },
        resolution_s,
        to_s,
        note: warning,
    };
    points.extend(fresh.into_iter().map(|sample| FluxPoint {
        metric: asked.entry.metric.clone(),
        timestamp: sample.timestamp,
        value: sample.value,
        fill: false,
    }));
    Ok(looked)
}

/// Points that are refused now are refused for good: they count as delivered, so that
/// they are not fetched again and again.
fn told_of_refusals(mut outcomes: Vec<Outcome>, receipt: &Receipt) -> Vec<Outcome> {
    let refused = receipt.skipped + receipt.too_old + receipt.refused;
    let sent: u64 = outcomes.iter().flatten().map(|looked| looked.points).sum();
    let mut rest = refused;
    let with_points = outcomes.iter_mut().flatten();
    for looked in with_points.filter(|looked| looked.points > 0) {
        let its = rest.min(looked.points);
        rest -= its;
        looked.dropped.refused = its;
        // Of some it cannot be told whose they were.
        if refused >= sent {
            looked.note = match receipt {
                Receipt { skipped: 1.., .. } => {
                    "its points are not stored: horizon.skip or a rule leaves it out"
                }
                Receipt { too_old: 1.., .. } => {
                    "its points are not stored: they are older than redis.full_duration_s"
                }
                _ => "its points are refused by Redis or by the way to it",
            }
            .to_owned();
        }
    }
    outcomes
}

/// Nothing was delivered: what had points for it is asked for again.
fn undelivered(outcomes: Vec<Outcome>, error: Unavailable) -> Vec<Outcome> {
    let failure = unavailable(error);
    let outcomes = outcomes.into_iter().map(|outcome| match outcome {
        Ok(looked) if looked.points > 0 => Err(failure.clone()),
        outcome => outcome,
    });
    outcomes.collect()
}

fn unavailable(error: Unavailable) -> Failure {
    let wait = match error {
        Unavailable::Full { retry_after }
        | Unavailable::Away { retry_after }
        | Unavailable::Late { retry_after } => retry_after,
        Unavailable::Stopping => FLUX_WAIT,
    };
    Failure {
        text: format!("Flux: {error}"),
        blame: Blame::Flux {
            retry_after_ms: i64::try_from(wait.as_millis()).unwrap_or(i64::MAX),
        },
    }
}

/// Whose fault it is, and what to say.
pub(super) fn blame(error: &FetchError) -> Failure {
    let retry_after_s = error.retry_after().map(|wait| wait.as_secs() as i64);
    let blame = match error {
        FetchError::Timeout(_) => Blame::Source {
            retry_after_s,
            is_slow: true,
        },
        FetchError::Cut(_) => Blame::Server,
        error if error.is_of_the_source() => Blame::Source {
            retry_after_s,
            is_slow: false,
        },
        error if error.is_transient() => Blame::Server,
        _ => Blame::Question,
    };
    Failure {
        text: error.to_string(),
        blame,
    }
}
