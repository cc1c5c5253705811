//! What a core shows of itself.

use std::collections::BTreeMap;

use super::{Core, Dropped, Id, Outcome, Phase, Row, State, Task};
use crate::flux::populate::Progress;
use crate::settings::Fetch;
use crate::vista::gap::MINUTE_S;
use crate::vista::status::{BackfillStatus, EntryStatus, SourceStatus, VistaStatus};

/// What was done since the start; never goes back.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Totals {
    pub requests: u64,
    pub requests_failed: u64,
    pub fetched: u64,
    pub delivered: u64,
    pub populates: u64,
    pub populates_failed: u64,
    pub points: u64,
    pub dropped: Dropped,
}

impl Totals {
    pub(super) fn begin(&mut self, task: Task) {
        match task {
            Task::Populate => self.populates += 1,
            _ => self.requests += 1,
        }
    }

    pub(super) fn end(&mut self, task: Task, outcomes: &[Outcome]) {
        let good = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        match task {
            Task::Populate if good == 0 => self.populates_failed += 1,
            Task::Populate => {}
            _ if good == 0 => self.requests_failed += 1,
            Task::Probe(_) => {}
            _ => {
                self.fetched += good as u64;
                let delivered = outcomes.iter().flatten().filter(|looked| looked.points > 0);
                self.delivered += delivered.count() as u64;
            }
        }
    }

    pub(super) fn add(&mut self, points: u64, dropped: Dropped) {
        self.points += points;
        self.dropped += dropped;
    }
}

impl Core {
    /// What was done since the start.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// What is shown of every entry and source at this time, with how far those are that
    /// are being filled.
    pub fn status(&self, now_ms: i64, progress: &BTreeMap<Id, Progress>) -> VistaStatus {
        let now_s = now_ms.div_euclid(1000);
        let rows = self.rows.iter().map(|row| match row {
            Row::Disabled(disabled) => EntryStatus {
                error: disabled.fault.clone(),
                ..blank(&disabled.metric, &disabled.fetch, "disabled")
            },
            Row::Elsewhere(entry, node) => EntryStatus {
                node: node.clone(),
                ..blank(&entry.metric, &entry.fetch, "elsewhere")
            },
            Row::Here(id) => match self.states.get(id) {
                Some(state) => EntryStatus {
                    backfill: progress.get(id).map(|progress| BackfillStatus {
                        from_s: progress.from_s,
                        to_s: progress.to_s,
                        at_s: progress.at_s,
                    }),
                    ..state.status(now_s)
                },
                None => EntryStatus::default(),
            },
        });
        let entries: Vec<EntryStatus> = rows.collect();
        let mut states = BTreeMap::new();
        for state in EntryStatus::STATES {
            states.insert(state, 0);
        }
        for entry in &entries {
            *states.entry(entry.state).or_default() += 1;
        }
        let totals = self.totals;
        VistaStatus {
            enabled: true,
            states,
            sources: self.sources_status(),
            requests: totals.requests,
            requests_failed: totals.requests_failed,
            fetched: totals.fetched,
            delivered: totals.delivered,
            slowest_ms: self.slowest.over_ms(now_ms).unsigned_abs(),
            populates: totals.populates,
            populates_failed: totals.populates_failed,
            points: totals.points,
            dropped: totals.dropped,
            lag_max_s: entries.iter().filter_map(|entry| entry.lag_s).max(),
            left_out: 0,
            entries,
            ..VistaStatus::default()
        }
    }

    fn sources_status(&self) -> Vec<SourceStatus> {
        let mut sources: BTreeMap<usize, SourceStatus> = self
            .sources
            .iter()
            .map(|(number, source)| {
                let status = SourceStatus {
                    remote_host: source.site().to_string(),
                    entries: 0,
                    running: source.running as u64,
                    waiting: (source.ready.len() + source.queued.len()) as u64,
                    is_failing: source.is_failing(),
                    error: source.error.clone(),
                };
                (*number, status)
            })
            .collect();
        for state in self.states.values() {
            if let Some(source) = sources.get_mut(&state.source) {
                source.entries += 1;
            }
        }
        sources.into_values().collect()
    }
}

fn blank(metric: &str, fetch: &Fetch, state: &'static str) -> EntryStatus {
    EntryStatus {
        metric: metric.to_owned(),
        remote_host: fetch.remote_host.redacted(),
        remote_target: fetch.remote_target.clone(),
        frequency_s: fetch.frequency,
        state,
        ..EntryStatus::default()
    }
}

impl State {
    fn status(&self, now_s: i64) -> EntryStatus {
        let state = match self.phase {
            Phase::Queued | Phase::Populating => "populating",
            _ if !self.error.is_empty() => "failing",
            _ if self.seen.looked_s.is_none() => "waiting",
            _ => "ok",
        };
        EntryStatus {
            last_point_s: self.seen.last_s,
            lag_s: self.seen.last_s.map(|last_s| now_s - last_s),
            error: self.error.clone(),
            next_fetch_s: match self.phase {
                Phase::Waiting(due_ms) => Some(due_ms.div_euclid(1000)),
                Phase::Unknown => None,
                _ => Some(now_s),
            },
            points: self.points,
            notes: self.entry.notes.clone(),
            ..blank(&self.entry.metric, &self.entry.fetch, state)
        }
    }
}

/// The longest of what was measured in this minute and the one before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slowest {
    minute: i64,
    now_ms: i64,
    before_ms: i64,
}

impl Slowest {
    pub fn note(&mut self, at_ms: i64, took_ms: i64) {
        self.turn(at_ms);
        self.now_ms = self.now_ms.max(took_ms);
    }

    fn over_ms(mut self, at_ms: i64) -> i64 {
        self.turn(at_ms);
        self.now_ms.max(self.before_ms)
    }

    fn turn(&mut self, at_ms: i64) {
        let minute = at_ms.div_euclid(MINUTE_S * 1000);
        if minute != self.minute {
            let is_next = minute == self.minute + 1;
            self.before_ms = if is_next { self.now_ms } else { 0 };
            (self.minute, self.now_ms) = (minute, 0);
        }
    }
}
