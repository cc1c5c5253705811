//! What is asked of whom, and when: a state machine without a clock, a connection or a
//! task of its own. Whoever runs it takes jobs from it, does them, and settles them.
//!
//! ```text
//!            due          take                      settle
//! waiting ─────────▶ ready ─────▶ fetching ────────────────────▶ waiting
//!                      │                                            ▲
//!                      └─────▶ queued ─────▶ populating ────────────┘
//!                              oldest first
//! ```
//!
//! There is one heap for all entries, and one queue for each source, so that a source
//! that hangs holds up nobody else.

mod source;
mod view;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::sync::Arc;

use super::entry::{Ask, Checked, Disabled, Entry};
use super::gap::{self, MINUTE_S, Need, Seen, Window};

use source::Source;
use view::Slowest;
pub use view::Totals;

/// How far apart the windows of targets may begin that are asked for together: a window
/// that begins much earlier would have Graphite answer all of them coarsely.
const BATCH_SPREAD_S: i64 = 300;
/// How often an entry is asked for again before its next minute if its source fails.
const TRIES_A_MINUTE: u32 = 2;
/// How long the filling of history waits after each failure, in minutes.
const POPULATE_WAIT_M: [i64; 4] = [1, 2, 5, 15];

/// The bounds in force.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "as in the settings")]
pub struct Limits {
    pub delay_ms: i64,
    pub source_requests_max: usize,
    pub batch_targets_max: usize,
    pub backfills_max: usize,
    pub backfills_per_minute: u32,
    pub populate_tries_max: u32,
}

/// An entry of a running core, for as long as it is configured alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(u64);

/// Something to do.
#[derive(Clone, Debug)]
pub struct Job {
    /// Where it is asked: to be told at the end.
    pub source: usize,
    /// What is asked for, each with what is known of it.
    pub asked: Vec<Asked>,
    /// What is to be done.
    pub task: Task,
    /// When it was begun, in milliseconds since 1970.
    pub begun_ms: i64,
}

/// An entry that is asked for.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Asked {
    pub id: Id,
    pub entry: Arc<Entry>,
    pub seen: Seen,
}

/// What is to be done in a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Fetch this window; of one entry, or of several of a Graphite.
    Fetch(Window),
    /// Fetch a part of a gap, oldest first.
    #[allow(missing_docs, reason = "the names say it")]
    FetchPiece { window: Window, is_last: bool },
    /// See whether a source that has failed answers; nothing is delivered.
    Probe(Window),
    /// Send the entry's own uri.
    FetchAsWritten,
    /// Fill what is missing since the last point, or all history.
    Populate,
}

/// What became of an entry in a job.
pub type Outcome = Result<Looked, Failure>;

/// The source has answered, and what was new is delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// The newest point that was delivered, if any was.
    pub last_s: Option<i64>,
    /// Points that were delivered.
    pub points: u64,
    /// Points that were not, by reason.
    pub dropped: Dropped,
    /// Seconds between two points of the source, if that can be told.
    pub resolution_s: Option<i64>,
    /// Up to where was asked.
    pub to_s: i64,
    /// What the operator should know, such as that there is no such series.
    pub note: String,
}

/// Points that were fetched and not delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Dropped {
    pub null: u64,
    pub non_finite: u64,
    pub refused: u64,
}

/// Nothing new was delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What went wrong, for the operator, without secrets.
    pub text: String,
    /// Whose fault it is.
    pub blame: Blame,
}

/// Whose fault a failure is, and so what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The source cannot be reached, or has too much to do: leave it alone for a while.
    Source {
        /// How long it has asked to be left alone.
        retry_after_s: Option<i64>,
        /// Whether a smaller question could have been answered.
        is_slow: bool,
    },
    /// The source fails at this question, and perhaps at others.
    Server,
    /// The source does not take this question.
    Question,
    /// Flux has no room.
    Flux {
        /// When it is worth trying again.
        retry_after_ms: i64,
    },
}

/// See the module.
pub struct Core {
    limits: Limits,
    /// Every entry that is fetched here.
    states: BTreeMap<Id, State>,
    /// What `vista.fetch` has, in its order.
    rows: Vec<Row>,
    sources: BTreeMap<usize, Source>,
    due: BinaryHeap<Reverse<(i64, Id)>>,
    /// Entries whose last point is not known yet.
    unknown: BTreeSet<Id>,
    /// The first source that is looked at next for a job.
    turn: usize,
    next_id: u64,
    next_source: usize,
    totals: Totals,
    slowest: Slowest,
    random: fastrand::Rng,
}

/// One row of the status.
enum Row {
    Here(Id),
    Elsewhere(Arc<Entry>, String),
    Disabled(Box<Disabled>),
}

struct State {
    entry: Arc<Entry>,
    source: usize,
    seen: Seen,
    phase: Phase,
    /// Targets of one question with this one among them.
    batch_max: usize,
    /// Failures of the source since the entry was due.
    failures: u32,
    /// Tries to populate since it last was not needed.
    populate_tries: u32,
    error: String,
    points: u64,
    dropped: Dropped,
    was_asked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Its last point is not known yet.
    Unknown,
    /// It is due then, in milliseconds since 1970.
    Waiting(i64),
    Ready,
    Fetching,
    /// It waits until it can be populated.
    Queued,
    Populating,
}

impl Core {
    /// A core without entries.
    pub fn new(limits: Limits, seed: u64) -> Self {
        Self {
            limits,
            states: BTreeMap::new(),
            rows: Vec::new(),
            sources: BTreeMap::new(),
            due: BinaryHeap::new(),
            unknown: BTreeSet::new(),
            turn: 0,
            next_id: 0,
            next_source: 0,
            totals: Totals::default(),
            slowest: Slowest::default(),
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// Goes on with these entries. Those that are as they were stay as they are; the last
    /// points of the others are to be learned. `elsewhere` names the node that fetches a
    /// metric, if it is not this one.
    pub fn load(
        &mut self,
        limits: Limits,
        checked: Vec<Checked>,
        elsewhere: impl Fn(&str) -> Option<String>,
    ) {
        self.limits = limits;
        let mut before = std::mem::take(&mut self.states);
        let by_metric: HashMap<String, Id> = before
            .iter()
            .map(|(id, state)| (state.entry.metric.clone(), *id))
            .collect();
        self.rows.clear();
        let mut used = BTreeSet::new();
        for checked in checked {
            let entry = match checked {
                Ok(entry) => entry,
                Err(disabled) => {
                    self.rows.push(Row::Disabled(disabled));
                    continue;
                }
            };
            if let Some(node) = elsewhere(&entry.metric) {
                self.rows.push(Row::Elsewhere(entry, node));
                continue;
            }
            let id = by_metric.get(&entry.metric).copied();
            let same = id.filter(|id| before.get(id).is_some_and(|old| old.entry == entry));
            let (id, state) = match same.and_then(|id| Some((id, before.remove(&id)?))) {
                Some(kept) => kept,
                None => self.make(entry),
            };
            used.insert(state.source);
            self.rows.push(Row::Here(id));
            self.states.insert(id, state);
        }
        self.unknown.retain(|id| self.states.contains_key(id));
        self.sources.retain(|source, _| used.contains(source));
        for source in self.sources.values_mut() {
            source.retain(|id| self.states.contains_key(&id));
        }
    }

    fn make(&mut self, entry: Arc<Entry>) -> (Id, State) {
        let found = self.sources.iter().find(|(_, source)| source.is_of(&entry));
        let source = match found {
            Some((number, _)) => *number,
            None => {
                let number = self.next_source;
                self.next_source += 1;
                self.sources.insert(number, Source::new(&entry));
                number
            }
        };
        let id = Id(self.next_id);
        self.next_id += 1;
        self.unknown.insert(id);
        let state = State {
            entry,
            source,
            seen: Seen::default(),
            phase: Phase::Unknown,
            batch_max: usize::MAX,
            failures: 0,
            populate_tries: 0,
            error: String::new(),
            points: 0,
            dropped: Dropped::default(),
            was_asked: false,
        };
        (id, state)
    }

    /// Whether nothing is fetched here.
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// The final names of what is fetched here.
    pub fn metrics(&self) -> Vec<String> {
        let entries = self.states.values().map(|state| &state.entry);
        entries.map(|entry| entry.metric.clone()).collect()
    }

    /// Whether there are entries whose last point is not known yet.
    pub fn has_unknown(&self) -> bool {
        !self.unknown.is_empty()
    }

    /// Some of the entries whose last point is not known yet.
    pub fn unknown(&self, max: usize) -> Vec<(Id, Arc<Entry>)> {
        let unknown = self.unknown.iter().take(max);
        let states = unknown.filter_map(|id| Some((*id, self.states.get(id)?)));
        states
            .map(|(id, state)| (id, state.entry.clone()))
            .collect()
    }

    /// Takes up an entry whose last point is now known, or is known not to be.
    pub fn learn(&mut self, id: Id, last_s: Option<i64>, now_ms: i64) {
        let Some(state) = self.states.get_mut(&id) else {
            return;
        };
        if !self.unknown.remove(&id) {
            return;
        }
        state.seen.last_s = last_s;
        let delay_ms = self.sources.get(&state.source).map_or(0, Source::phase_ms);
        let delay_ms = delay_ms + self.limits.delay_ms;
        // What may have a point that is not here yet is asked for at once.
        let minute_s = gap::minute_of(now_ms.div_euclid(1000));
        let is_current = last_s.is_some_and(|last_s| last_s >= minute_s - MINUTE_S);
        let due_ms = if is_current {
            gap::next_due_ms(&state.entry, &state.seen, now_ms, delay_ms)
        } else {
            now_ms
        };
        state.phase = Phase::Waiting(due_ms);
        self.due.push(Reverse((due_ms, id)));
    }

    /// The next job, if there is one that can be begun now.
    pub fn take(&mut self, now_ms: i64) -> Option<Job> {
        self.wake_due(now_ms);
        while let Some((&number, _)) = self.sources.range(self.turn..).next() {
            while let Some(id) = self.next_ready(number, now_ms) {
                if let Some(job) = self.begin(number, id, now_ms) {
                    return Some(job);
                }
            }
            if let Some(job) = self.begin_populate(number, now_ms) {
                return Some(job);
            }
            self.turn = number + 1;
        }
        self.turn = 0;
        None
    }

    /// When there may be a next job though none is settled before, in milliseconds since
    /// 1970.
    pub fn wake_ms(&self) -> Option<i64> {
        let due = self.due.peek().map(|Reverse((due_ms, _))| *due_ms);
        let limits = &self.limits;
        let sources = self
            .sources
            .values()
            .filter_map(|source| source.wake_ms(limits));
        due.into_iter().chain(sources).min()
    }

    fn wake_due(&mut self, now_ms: i64) {
        while let Some(Reverse((due_ms, id))) = self.due.peek().copied() {
            if due_ms > now_ms {
                return;
            }
            self.due.pop();
            let Some(state) = self.states.get_mut(&id) else {
                continue;
            };
            // One that was made due at another time since is in the heap twice.
            if state.phase == Phase::Waiting(due_ms) {
                state.phase = Phase::Ready;
                if let Some(source) = self.sources.get_mut(&state.source) {
                    source.ready.push_back(id);
                }
            }
        }
    }

    fn next_ready(&mut self, number: usize, now_ms: i64) -> Option<Id> {
        let source = self.sources.get_mut(&number)?;
        if !source.has_room(&self.limits, now_ms) {
            return None;
        }
        source.ready.pop_front()
    }

    /// Begins what the entry needs; `None` if that has to wait.
    fn begin(&mut self, number: usize, id: Id, now_ms: i64) -> Option<Job> {
        let now_s = now_ms.div_euclid(1000);
        let state = self.states.get_mut(&id)?;
        let need = gap::need(&state.entry, &state.seen, now_s);
        let mut ids = vec![id];
        let task = match need {
            Need::Populate => {
                let source = self.sources.get_mut(&number)?;
                if !source.is_failing() {
                    state.phase = Phase::Queued;
                    let oldest_s = state.seen.last_s.unwrap_or(i64::MIN);
                    source.queued.insert((oldest_s, id));
                    return None;
                }
                Task::Probe(gap::probe(now_s))
            }
            Need::AsWritten => Task::FetchAsWritten,
            Need::Piece { window, is_last } => Task::FetchPiece { window, is_last },
            Need::Fetch(window) => Task::Fetch(self.gather(number, &mut ids, window, now_s)),
        };
        let source = self.sources.get_mut(&number)?;
        source.running += 1;
        Some(self.job(number, ids, task, now_ms))
    }

    /// Adds to the first of `ids` others of the same Graphite that can be asked for with
    /// it; returns the window that holds all of theirs.
    fn gather(&mut self, number: usize, ids: &mut Vec<Id>, window: Window, now_s: i64) -> Window {
        let limit = self.limits.batch_targets_max;
        let (Some(first), Some(source)) = (self.states.get(&ids[0]), self.sources.get_mut(&number))
        else {
            return window;
        };
        let Ask::Graphite(uri) = &first.entry.ask else {
            return window;
        };
        let mut room = first.batch_max.min(limit);
        let (mut earliest_s, mut latest_s) = (window.from_s, window.from_s);
        source.ready.retain(|id| {
            let Some(state) = self.states.get(id) else {
                return false;
            };
            let with_it = state.batch_max.min(room);
            if ids.len() >= with_it || state.entry.ask != Ask::Graphite(uri.clone()) {
                return true;
            }
            let Need::Fetch(its) = gap::need(&state.entry, &state.seen, now_s) else {
                return true;
            };
            let (early_s, late_s) = (earliest_s.min(its.from_s), latest_s.max(its.from_s));
            if its.to_s != window.to_s || late_s - early_s > BATCH_SPREAD_S {
                return true;
            }
            (earliest_s, latest_s, room) = (early_s, late_s, with_it);
            ids.push(*id);
            false
        });
        Window {
            from_s: earliest_s,
            to_s: window.to_s,
        }
    }

    fn begin_populate(&mut self, number: usize, now_ms: i64) -> Option<Job> {
        let source = self.sources.get_mut(&number)?;
        let id = source.next_populate(&self.limits, now_ms)?;
        Some(self.job(number, vec![id], Task::Populate, now_ms))
    }

    fn job(&mut self, source: usize, ids: Vec<Id>, task: Task, begun_ms: i64) -> Job {
        let phase = match task {
            Task::Populate => Phase::Populating,
            _ => Phase::Fetching,
        };
        let mut asked = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some(state) = self.states.get_mut(&id) {
                state.phase = phase;
                state.was_asked = true;
                asked.push(Asked {
                    id,
                    entry: state.entry.clone(),
                    seen: state.seen,
                });
            }
        }
        self.totals.begin(task);
        Job {
            source,
            asked,
            task,
            begun_ms,
        }
    }

    /// Ends a job: what became of each entry of it.
    pub fn settle(&mut self, job: &Job, outcomes: Vec<Outcome>, now_ms: i64) {
        let is_populate = job.task == Task::Populate;
        if !is_populate {
            self.slowest.note(now_ms, now_ms - job.begun_ms);
        }
        self.totals.end(job.task, &outcomes);
        if let Some(source) = self.sources.get_mut(&job.source) {
            source.end(is_populate, &outcomes, now_ms, &mut self.random);
        }
        let together = job.asked.len();
        for (asked, outcome) in job.asked.iter().zip(outcomes) {
            match outcome {
                Ok(looked) => self.looked(asked.id, job.task, looked, now_ms),
                Err(failure) => self.failed(asked.id, is_populate, together, failure, now_ms),
            }
        }
    }

    fn looked(&mut self, id: Id, task: Task, looked: Looked, now_ms: i64) {
        if let Task::Probe(_) = task {
            // What it needs can be begun now.
            return self.wait_until(id, now_ms);
        }
        let Some(state) = self.states.get_mut(&id) else {
            return;
        };
        let seen = &mut state.seen;
        seen.last_s = seen.last_s.max(looked.last_s);
        seen.looked_s = seen.looked_s.max(Some(looked.to_s));
        seen.resolution_s = looked.resolution_s.or(seen.resolution_s);
        // A populated metric without a point has no history: it is not asked for twice.
        seen.gave_up = seen.last_s.is_none();
        seen.piece_from_s = None;
        if matches!(task, Task::FetchPiece { is_last: false, .. }) {
            seen.piece_from_s = Some(looked.to_s);
            seen.gave_up = true;
        }
        let is_behind = seen.piece_from_s.is_some() || task == Task::Populate;
        state.failures = 0;
        state.populate_tries = 0;
        state.error = looked.note;
        state.points += looked.points;
        state.dropped += looked.dropped;
        state.batch_max = state.batch_max.saturating_mul(2);
        self.totals.add(looked.points, looked.dropped);
        if is_behind {
            self.wait_until(id, now_ms);
        } else {
            self.wait_for_next(id, now_ms);
        }
    }

    fn failed(
        &mut self,
        id: Id,
        is_populate: bool,
        together: usize,
        failure: Failure,
        now_ms: i64,
    ) {
        let tries_max = self.limits.populate_tries_max;
        let Some(state) = self.states.get_mut(&id) else {
            return;
        };
        state.error = failure.text;
        match failure.blame {
            Blame::Flux { retry_after_ms } => self.wait_until(id, now_ms + retry_after_ms.max(1)),
            Blame::Source { is_slow, .. } => {
                if is_slow && !is_populate {
                    state.batch_max = (together / 2).max(1);
                }
                state.failures += 1;
                if state.failures <= TRIES_A_MINUTE {
                    // The source says when that is.
                    self.wait_until(id, now_ms);
                } else {
                    state.failures = 0;
                    self.wait_for_next(id, now_ms);
                }
            }
            Blame::Server | Blame::Question if is_populate => {
                let waits = POPULATE_WAIT_M;
                let wait_m = waits[(state.populate_tries as usize).min(waits.len() - 1)];
                state.populate_tries += 1;
                if state.populate_tries >= tries_max {
                    state.populate_tries = 0;
                    state.seen.gave_up = true;
                    self.wait_until(id, now_ms);
                } else {
                    self.wait_until(id, now_ms + wait_m * MINUTE_S * 1000);
                }
            }
            Blame::Server | Blame::Question => {
                // Asked for alone it spoils no answer for others.
                state.batch_max = 1;
                self.wait_for_next(id, now_ms);
            }
        }
    }

    fn wait_for_next(&mut self, id: Id, now_ms: i64) {
        let Some(state) = self.states.get(&id) else {
            return;
        };
        let phase_ms = self.sources.get(&state.source).map_or(0, Source::phase_ms);
        let delay_ms = self.limits.delay_ms + phase_ms;
        let due_ms = gap::next_due_ms(&state.entry, &state.seen, now_ms, delay_ms);
        self.wait_until(id, due_ms);
    }

    fn wait_until(&mut self, id: Id, due_ms: i64) {
        if let Some(state) = self.states.get_mut(&id) {
            state.phase = Phase::Waiting(due_ms);
            self.due.push(Reverse((due_ms, id)));
        }
    }
}

impl std::ops::AddAssign for Dropped {
    fn add_assign(&mut self, other: Self) {
        self.null += other.null;
        self.non_finite += other.non_finite;
        self.refused += other.refused;
    }
}

#[cfg(test)]
mod tests;
