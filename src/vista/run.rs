//! The loop that takes jobs from the core, has them done, and settles them.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::RedisResult;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::background::Link;
use crate::flux::{Intake, Origin, Populate, Unavailable};
use crate::logging::{Throttle, printable};
use crate::server::Handle;
use crate::settings::Settings;
use crate::source::{self, Client};

use super::clock::Clock;
use super::core::{Core, Id, Job, Limits, Outcome, Task};
use super::entry::{self, Checked};
use super::fetch::Tools;
use super::gap::MINUTE_S;
use super::inherit::Inheritance;
use super::keys::Tidings;
use super::status::VistaStatus;

/// How often the status is made anew, at most: it names every entry.
const PUBLISH: Duration = Duration::from_secs(1);
/// How long is waited after Redis has failed.
const REDIS_WAIT_MS: i64 = 5000;
/// Metrics whose last points are asked for together.
const LAST_MAX: usize = 500;

static REDIS_FAILED: Throttle = Throttle::new(Duration::from_secs(60));

/// See the module.
pub(super) struct Runner {
    handle: Arc<Handle>,
    tools: Arc<Tools>,
    clock: Arc<dyn Clock>,
    core: Core,
    deeds: JoinSet<Deed>,
    /// Whether last points are being asked for, and when they may be.
    learning: Turn,
    /// The same for the keys in Redis.
    telling: Turn,
    tidings: Tidings,
    /// `None` while it is in use.
    link: Option<Link>,
    inherited: u64,
    redis_errors: u64,
    published: Option<Instant>,
    is_enabled: bool,
}

/// When something may be done that is done once at a time.
#[derive(Default)]
struct Turn {
    is_under_way: bool,
    not_before_ms: i64,
}

/// What was done by a task.
enum Deed {
    Job(Job, Vec<Outcome>),
    Learned(Vec<Id>, RedisResult<Vec<Option<i64>>>),
    Told(Box<Told>),
}

/// What became of the keys.
struct Told {
    link: Link,
    /// What is to be told again.
    left: Option<Tidings>,
    inherited: u64,
    error: Option<String>,
}

impl Runner {
    pub fn new(
        handle: Arc<Handle>,
        intake: Intake,
        populate: Populate,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let settings = handle.settings();
        let tools = Tools {
            client: Client::new(source::Limits::of(&settings)),
            handle: handle.clone(),
            intake,
            populate,
            clock: clock.clone(),
            tickets: Mutex::default(),
        };
        Self {
            link: Some(Link::new(settings.redis_url())),
            core: Core::new(limits(&settings), fastrand::u64(..)),
            handle,
            tools: Arc::new(tools),
            clock,
            deeds: JoinSet::new(),
            learning: Turn::default(),
            telling: Turn::default(),
            tidings: Tidings::default(),
            inherited: 0,
            redis_errors: 0,
            published: None,
            is_enabled: false,
        }
    }

    /// Runs until `reloads` is closed.
    pub async fn run(mut self, mut reloads: UnboundedReceiver<()>) {
        self.load();
        loop {
            let now_ms = self.clock.now_ms();
            self.begin(now_ms);
            let is_dirty = self.publish(now_ms);
            let wake_ms = self.wake_ms();
            if self.deeds.is_empty() {
                self.clock.idle(wake_ms);
            }
            let clock = self.clock.clone();
            tokio::select! {
                Some(deed) = self.deeds.join_next(), if !self.deeds.is_empty() => match deed {
                    Ok(deed) => self.settle(deed),
                    Err(error) => tracing::error!(%error, "a fetch has panicked, which is a bug"),
                },
                reload = reloads.recv() => match reload {
                    Some(()) => self.load(),
                    None => return,
                },
                () = clock.wait(wake_ms.unwrap_or(i64::MAX)), if wake_ms.is_some() => {}
                () = tokio::time::sleep(PUBLISH), if is_dirty => {}
            }
        }
    }

    /// Takes up the settings in force.
    fn load(&mut self) {
        let settings = self.handle.settings();
        self.is_enabled = settings.vista.enabled;
        self.tools.client.set_limits(source::Limits::of(&settings));
        let checked = if self.is_enabled {
            entry::check(&settings)
        } else {
            Vec::new()
        };
        tell_of(&checked);
        let rules = self.handle.rules();
        let elsewhere = |metric: &str| {
            // Who owns the name under which Horizon stores it gets its points.
            let stored = rules.stored(metric, |_| {});
            let stored = stored.unwrap_or(Cow::Borrowed(metric));
            let owners = rules.owners();
            if owners.are_we(stored.as_bytes()) {
                return None;
            }
            owners.owner(stored.as_bytes()).map(str::to_owned)
        };
        self.core.load(limits(&settings), checked, elsewhere);
        self.tidings.metrics = self.core.metrics();
        self.telling.not_before_ms = i64::MIN;
        self.published = None;
    }

    /// Begins all that can be begun now.
    fn begin(&mut self, now_ms: i64) {
        if self.learning.is_open(now_ms) {
            self.learn();
        }
        if self.telling.is_open(now_ms) && self.has_entries() {
            self.tell(now_ms);
        }
        while let Some(job) = self.core.take(now_ms) {
            let tools = self.tools.clone();
            self.deeds.spawn(async move {
                let outcomes = tools.work(&job).await;
                Deed::Job(job, outcomes)
            });
        }
    }

    fn has_entries(&self) -> bool {
        self.is_enabled && !self.core.is_empty()
    }

    /// When something may be begun though nothing ends before.
    fn wake_ms(&self) -> Option<i64> {
        let learning = self.learning.wake_ms(self.core.has_unknown());
        let telling = self.telling.wake_ms(self.has_entries());
        let all = [self.core.wake_ms(), learning, telling];
        all.into_iter().flatten().min()
    }

    /// Asks for last points that are not known.
    fn learn(&mut self) {
        let unknown = self.core.unknown(LAST_MAX);
        if unknown.is_empty() {
            return;
        }
        self.learning.is_under_way = true;
        let tools = self.tools.clone();
        self.deeds.spawn(async move {
            let metrics: Vec<&str> = unknown.iter().map(|it| it.1.metric.as_str()).collect();
            let last = tools.last(&metrics).await;
            Deed::Learned(unknown.into_iter().map(|(id, _)| id).collect(), last)
        });
    }

    /// Tells Redis what is to be told, and takes over what Python's Vista has left.
    fn tell(&mut self, now_ms: i64) {
        let Some(mut link) = self.link.take() else {
            return;
        };
        self.telling.is_under_way = true;
        let mut tidings = std::mem::take(&mut self.tidings);
        let is_wanted = self.handle.settings().horizon.side_keys;
        let intake = self.tools.intake.clone();
        self.deeds.spawn(async move {
            let now_s = now_ms.div_euclid(1000);
            let (back, told) = blocking(link, move |link| {
                let told = if is_wanted {
                    tidings.tell(link, now_s)
                } else {
                    Ok(())
                };
                if told.is_ok() {
                    tidings = Tidings::default();
                }
                (told, tidings)
            })
            .await;
            link = back;
            let (told, left) = told;
            let mut done = Told {
                link,
                left: told.is_err().then_some(left),
                inherited: 0,
                error: told.err().map(|error| error.to_string()),
            };
            if done.error.is_none() {
                done = inherit(done, &intake).await;
            }
            Deed::Told(Box::new(done))
        });
    }

    fn settle(&mut self, deed: Deed) {
        let now_ms = self.clock.now_ms();
        match deed {
            Deed::Job(job, outcomes) => {
                self.note(&job, &outcomes);
                self.core.settle(&job, outcomes, now_ms);
            }
            Deed::Learned(ids, Ok(last)) => {
                self.learning.is_under_way = false;
                for (id, last_s) in ids.into_iter().zip(last) {
                    self.core.learn(id, last_s, now_ms);
                }
            }
            Deed::Learned(_, Err(error)) => {
                self.learning.is_under_way = false;
                self.learning.not_before_ms = now_ms + REDIS_WAIT_MS;
                self.redis_failed(&error.to_string());
            }
            Deed::Told(told) => self.told(*told, now_ms),
        }
    }

    fn told(&mut self, told: Told, now_ms: i64) {
        self.link = Some(told.link);
        self.telling.is_under_way = false;
        self.inherited += told.inherited;
        self.telling.not_before_ms = now_ms + MINUTE_S * 1000;
        if let Some(error) = told.error {
            self.telling.not_before_ms = now_ms + REDIS_WAIT_MS;
            self.redis_failed(&error);
        }
        if let Some(mut left) = told.left {
            left.metrics.append(&mut self.tidings.metrics);
            left.delivered.append(&mut self.tidings.delivered);
            self.tidings = left;
        }
    }

    /// Keeps what the keys are to say of what was delivered.
    fn note(&mut self, job: &Job, outcomes: &[Outcome]) {
        // Whoever populates says it there.
        if job.task == Task::Populate {
            return;
        }
        for (asked, outcome) in job.asked.iter().zip(outcomes) {
            if let Ok(looked) = outcome
                && looked.points > 0
            {
                let target = asked.entry.fetch.remote_target.clone();
                let metric = asked.entry.metric.clone();
                let resolution_s = looked.resolution_s;
                self.tidings
                    .delivered
                    .insert(metric, (target, resolution_s));
            }
        }
    }

    fn redis_failed(&mut self, error: &str) {
        self.redis_errors += 1;
        if let Some(suppressed) = REDIS_FAILED.admit() {
            tracing::warn!(suppressed, "Vista: Redis: {error}");
        }
    }

    /// Shows what has changed, unless that was just done; whether it still is to be.
    fn publish(&mut self, now_ms: i64) -> bool {
        let is_early = self.published.is_some_and(|at| at.elapsed() < PUBLISH);
        if is_early {
            return true;
        }
        self.published = Some(Instant::now());
        let progress = self.tools.progress();
        let is_moving = !progress.is_empty();
        let status = VistaStatus {
            enabled: self.is_enabled,
            inherited: self.inherited,
            redis_errors: self.redis_errors,
            ..self.core.status(now_ms, &progress)
        };
        let board: &Mutex<VistaStatus> = &self.handle.boards.vista;
        *board.lock().unwrap_or_else(PoisonError::into_inner) = status;
        is_moving
    }
}

impl Turn {
    fn is_open(&self, now_ms: i64) -> bool {
        !self.is_under_way && now_ms >= self.not_before_ms
    }

    fn wake_ms(&self, is_wanted: bool) -> Option<i64> {
        (is_wanted && !self.is_under_way).then_some(self.not_before_ms)
    }
}

/// Delivers what Python's Vista has left, and removes it.
async fn inherit(mut done: Told, intake: &Intake) -> Told {
    loop {
        let (link, taken) = blocking(done.link, Inheritance::take).await;
        done.link = link;
        let mut inheritance = match taken {
            Ok(inheritance) if inheritance.len() == 0 => return done,
            Ok(inheritance) => inheritance,
            Err(error) => {
                done.error = Some(error.to_string());
                return done;
            }
        };
        if inheritance.unreadable > 0 {
            tracing::warn!(
                records = inheritance.unreadable,
                "vista.fetcher.metrics.json had records that cannot be read: removed"
            );
        }
        let points = std::mem::take(&mut inheritance.points);
        if !points.is_empty()
            && let Err(error) = intake.deliver(Origin::Vista, points).await
        {
            // They stay where they are until the next time.
            if error != Unavailable::Stopping {
                tracing::warn!(%error, "what Python's Vista has left waits for Flux");
            }
            return done;
        }
        done.inherited += inheritance.len() as u64;
        let (link, removed) = blocking(done.link, move |link| inheritance.remove(link)).await;
        done.link = link;
        if let Err(error) = removed {
            done.error = Some(error.to_string());
            return done;
        }
    }
}

/// Does something that waits for Redis on a thread made for waiting.
async fn blocking<T: Send + 'static>(
    mut link: Link,
    work: impl FnOnce(&mut Link) -> T + Send + 'static,
) -> (Link, T) {
    let work = tokio::task::spawn_blocking(move || {
        let done = work(&mut link);
        (link, done)
    });
    match work.await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn limits(settings: &Settings) -> Limits {
    let vista = &settings.vista;
    Limits {
        delay_ms: i64::from(vista.delay_s) * 1000,
        source_requests_max: vista.source_requests_max as usize,
        batch_targets_max: vista.batch_targets_max as usize,
        backfills_max: vista.backfills_max as usize,
        backfills_per_minute: vista.backfills_per_minute,
        populate_tries_max: vista.populate_tries_max,
    }
}

/// Says once of each entry what is wrong with it, or what should be known.
fn tell_of(checked: &[Checked]) {
    for (number, checked) in (1..).zip(checked) {
        match checked {
            Ok(entry) => {
                for note in &entry.notes {
                    tracing::info!("vista.fetch entry {number}, {}: {note}", entry.metric);
                }
            }
            Err(disabled) => tracing::error!(
                "vista.fetch entry {number}, {}, is not fetched: {}",
                printable(&disabled.metric),
                disabled.fault
            ),
        }
    }
}
