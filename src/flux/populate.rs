//! Histories fetched by request: `POST /populate_metric`, and Vista in this process.
//!
//! ```text
//! POST /populate_metric ─┐            ┌─ runner ─┐
//!                        ├─▸ queue ──▸┤  ...     ├─▸ source, piece by piece
//! Vista ─────────────────┘  bounded   └─ runner ─┘        │ newer than the last point,
//!                                                          │ mean of each minute
//!                                        intake ◂─────────┘ oldest first
//! ```
//!
//! Each piece is delivered before the next is fetched, so that memory stays bounded,
//! and the last point that was delivered says where to go on: after an end at any
//! moment the same request continues there. Few histories run at a time from one
//! source, so that a slow one holds up no other.

pub mod job;
pub(crate) mod last;
pub mod request;
mod work;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime;
use tokio::sync::watch;

pub use job::{Ask, Job, JobError};

use super::lock;
use super::status::{FluxStatus, PopulateStatus};
use super::{Intake, Unavailable};
use crate::server::Handle;
use crate::settings::Settings;
use crate::source::{Client, Limits, Origin};

/// When it is worth asking again after the queue was full.
const FULL_RETRY: Duration = Duration::from_secs(60);
/// Largest answer that is read; what is larger is asked for in halves.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// An answer takes so many times its size while it is read: itself, its copy if it has
/// words that JSON has not, and its points, each of which takes six bytes in it at
/// least, and sixteen in memory; each of these grows by doubling.
const READ_BYTES_MAX: u64 = 2 * (1 + 1 + 3);
/// What a history that waits takes, in bytes: its questions and names.
const WAITING_BYTES: u64 = request::URLS_BYTES_MAX as u64 + (16 << 10);

/// How far a history is. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is done with it.
    pub state: State,
    /// Where it begins.
    pub from_s: i64,
    /// Where it ends.
    pub to_s: i64,
    /// All before this is fetched and delivered.
    pub at_s: i64,
    /// Points delivered.
    pub points: u64,
    /// Points that were fetched and are not stored: the skip lists say so, or they are
    /// older than `redis.full_duration_s`.
    pub refused: u64,
    /// Whether it failed for want of a server that may be there again later.
    pub may_pass: bool,
}

/// What is done with a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It waits for others.
    Waiting,
    /// It is being fetched.
    Running,
    /// All that the source has is delivered.
    Done,
    /// It was given up, for this reason; what is delivered stays.
    Failed(String),
}

/// A history that was asked for.
#[derive(Clone, Debug)]
pub struct Ticket(watch::Receiver<Progress>);

impl Ticket {
    /// How far it is.
    pub fn progress(&self) -> Progress {
        self.0.borrow().clone()
    }

    /// Waits until it is done or has failed.
    pub async fn finished(&mut self) -> Progress {
        let is_over = |it: &Progress| matches!(it.state, State::Done | State::Failed(_));
        if let Ok(progress) = self.0.wait_for(is_over).await {
            return progress.clone();
        }
        Progress {
            state: State::Failed("the server is ending".to_owned()),
            may_pass: true,
            ..self.progress()
        }
    }
}

/// The histories that wait and run. Clones are the same.
#[derive(Clone)]
pub struct Populate {
    shared: Arc<Shared>,
}

struct Shared {
    handle: Arc<Handle>,
    intake: Intake,
    client: Client,
    runtime: runtime::Handle,
    queue: Mutex<Queue>,
}

impl Populate {
    /// Runs histories on `runtime`.
    pub fn new(handle: Arc<Handle>, intake: Intake, runtime: runtime::Handle) -> Self {
        let client = Client::new(limits(&handle.settings()));
        let shared = Shared {
            handle,
            intake,
            client,
            runtime,
            queue: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Goes on under these settings.
    pub fn reload(&self, settings: &Settings) {
        self.shared.client.set_limits(limits(settings));
    }

    /// Has a history fetched. For a metric whose history waits or runs already it is
    /// that one's ticket.
    ///
    /// # Errors
    ///
    /// [`Unavailable::Full`] when too many wait.
    pub fn request(&self, job: Job) -> Result<Ticket, Unavailable> {
        let settings = self.shared.handle.settings();
        let mut queue = lock(&self.shared.queue);
        if let Some(progress) = queue.tickets.get(&job.metric) {
            return Ok(Ticket(progress.clone()));
        }
        if queue.waiting >= settings.flux.populate_queue_max as usize {
            return Err(Unavailable::Full {
                retry_after: FULL_RETRY,
            });
        }
        let (from_s, to_s) = job.span();
        let (progress, ticket) = watch::channel(Progress {
            state: State::Waiting,
            from_s,
            to_s,
            at_s: from_s,
            points: 0,
            refused: 0,
            may_pass: false,
        });
        queue.push(job, progress, ticket.clone());
        drop(queue);
        self.start_next();
        Ok(Ticket(ticket))
    }

    /// Starts what may run beside what runs.
    fn start_next(&self) {
        let settings = self.shared.handle.settings();
        let mut queue = lock(&self.shared.queue);
        while let Some(next) = queue.next(&Bounds::of(&settings)) {
            let populate = self.clone();
            self.shared.runtime.spawn(async move {
                let (origin, metric) = (next.job.site.origin().clone(), next.job.metric.clone());
                // Dropped last, so that a panic ends the history too.
                let _end = End {
                    populate: populate.clone(),
                    origin,
                    metric,
                    progress: next.progress.clone(),
                };
                work::run(&populate.shared, next.job, &next.progress).await;
            });
        }
    }

    /// How histories stand at the moment.
    pub(super) fn show(&self, status: &mut FluxStatus) {
        let queue = lock(&self.shared.queue);
        status.populate = PopulateStatus {
            waiting: queue.waiting as u64,
            running: queue.running.values().map(|count| *count as u64).sum(),
            done: queue.done,
            failed: queue.failed,
            points: queue.points,
        };
    }
}

/// The end of a history, however it comes.
struct End {
    populate: Populate,
    origin: Origin,
    metric: String,
    progress: watch::Sender<Progress>,
}

impl Drop for End {
    fn drop(&mut self) {
        self.progress.send_if_modified(|progress| {
            let is_open = matches!(progress.state, State::Waiting | State::Running);
            if is_open {
                progress.state = State::Failed("it was broken off".to_owned());
                progress.may_pass = true;
            }
            is_open
        });
        let progress = self.progress.borrow().clone();
        lock(&self.populate.shared.queue).end(&self.origin, &self.metric, &progress);
        self.populate.start_next();
    }
}

/// What may run at a time.
struct Bounds {
    running_max: usize,
    per_source_max: usize,
}

impl Bounds {
    fn of(settings: &Settings) -> Self {
        Self {
            running_max: settings.flux.populate_running_max as usize,
            per_source_max: settings.flux.populate_per_source_max as usize,
        }
    }
}

struct Pending {
    job: Job,
    progress: watch::Sender<Progress>,
}

/// Histories by their source: each source's in the order in which they came, the
/// sources in turn.
#[derive(Default)]
struct Queue {
    by_origin: HashMap<Origin, VecDeque<Pending>>,
    /// Sources with histories that wait, the one whose turn it is first.
    turns: VecDeque<Origin>,
    running: BTreeMap<Origin, usize>,
    /// Of all that wait or run, by metric.
    tickets: HashMap<String, watch::Receiver<Progress>>,
    waiting: usize,
    done: u64,
    failed: u64,
    points: u64,
}

impl Queue {
    fn push(
        &mut self,
        job: Job,
        progress: watch::Sender<Progress>,
        ticket: watch::Receiver<Progress>,
    ) {
        let origin = job.site.origin().clone();
        self.tickets.insert(job.metric.clone(), ticket);
        let jobs = self.by_origin.entry(origin.clone()).or_default();
        if jobs.is_empty() {
            self.turns.push_back(origin);
        }
        jobs.push_back(Pending { job, progress });
        self.waiting += 1;
    }

    /// Takes the next one that may run.
    fn next(&mut self, bounds: &Bounds) -> Option<Pending> {
        if self.running.values().sum::<usize>() >= bounds.running_max {
            return None;
        }
        let is_free = |origin: &Origin| {
            self.running.get(origin).copied().unwrap_or(0) < bounds.per_source_max
        };
        let turn = self.turns.iter().position(is_free)?;
        let origin = self.turns.remove(turn)?;
        let jobs = self.by_origin.get_mut(&origin)?;
        let next = jobs.pop_front();
        if jobs.is_empty() {
            self.by_origin.remove(&origin);
        } else {
            self.turns.push_back(origin.clone());
        }
        let next = next?;
        self.waiting -= 1;
        *self.running.entry(origin).or_default() += 1;
        Some(next)
    }

    fn end(&mut self, origin: &Origin, metric: &str, progress: &Progress) {
        self.tickets.remove(metric);
        if let Some(count) = self.running.get_mut(origin) {
            *count -= 1;
            if *count == 0 {
                self.running.remove(origin);
            }
        }
        match progress.state {
            State::Done => self.done += 1,
            _ => self.failed += 1,
        }
        self.points += progress.points;
    }
}

/// Worst-case memory of all histories, in bytes.
pub(super) fn bytes_max(settings: &Settings) -> u64 {
    let flux = &settings.flux;
    let running = u64::from(flux.populate_running_max);
    let answer = limits(settings).bytes_max as u64 * READ_BYTES_MAX;
    running * answer + u64::from(flux.populate_queue_max) * WAITING_BYTES
}

fn limits(settings: &Settings) -> Limits {
    let limits = Limits::of(settings);
    Limits {
        bytes_max: limits.bytes_max.min(ANSWER_BYTES_MAX),
        ..limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Site;

    fn push(queue: &mut Queue, host: &str, metric: &str) {
        let job = Job {
            metric: metric.to_owned(),
            remote_target: metric.to_owned(),
            site: Arc::new(Site::of_text(host).unwrap()),
            asks: Vec::new(),
            since: std::time::Instant::now(),
        };
        let (progress, ticket) = watch::channel(Progress {
            state: State::Waiting,
            from_s: 0,
            to_s: 0,
            at_s: 0,
            points: 0,
            refused: 0,
            may_pass: false,
        });
        queue.push(job, progress, ticket);
    }

    fn metrics(queue: &mut Queue, bounds: &Bounds) -> Vec<String> {
        std::iter::from_fn(|| queue.next(bounds))
            .map(|next| next.job.metric)
            .collect()
    }

    // A source that hangs keeps its own histories waiting, and nobody else's.
    #[test]
    fn sources_take_turns_and_none_takes_more_than_its_share() {
        let mut queue = Queue::default();
        for metric in ["a1", "a2", "a3", "a4"] {
            push(&mut queue, "http://a", metric);
        }
        push(&mut queue, "http://b", "b1");
        push(&mut queue, "http://c", "c1");
        let bounds = Bounds {
            running_max: 4,
            per_source_max: 2,
        };
        assert_eq!(metrics(&mut queue, &bounds), ["a1", "b1", "c1", "a2"]);
        assert_eq!(queue.waiting, 2);
        let origin = |host: &str| Site::of_text(host).unwrap().origin().clone();
        let over = Progress {
            state: State::Done,
            from_s: 0,
            to_s: 0,
            at_s: 0,
            points: 7,
            refused: 0,
            may_pass: false,
        };
        queue.end(&origin("http://b"), "b1", &over);
        assert_eq!(metrics(&mut queue, &bounds), [] as [&str; 0]);
        queue.end(&origin("http://a"), "a1", &over);
        assert_eq!(metrics(&mut queue, &bounds), ["a3"]);
        assert_eq!((queue.waiting, queue.done, queue.points), (1, 2, 14));
        assert!(queue.tickets.contains_key("a4") && !queue.tickets.contains_key("a1"));
    }
}
