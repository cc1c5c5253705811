//! One source: what waits for it, what runs there, and how long it is left alone after
//! failures.

use std::collections::{BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::settings::RemoteHostType;
use crate::source::Site;
use crate::vista::entry::Entry;

use super::{Blame, Failure, Id, Limits, Outcome};

/// How long a source is left alone after its first failure; twice as long after each
/// further one.
const BACK_OFF_MS: i64 = 2000;
const BACK_OFF_MS_MAX: i64 = 60_000;
/// Longest that a source may ask to be left alone.
const RETRY_AFTER_S_MAX: i64 = 3600;
/// Questions after one another that a source fails at before that is taken for its own
/// failure.
const SERVER_ERRORS_MAX: u32 = 3;
/// Sources are asked at times that differ by up to this much, so that they do not all
/// answer in the same second.
const PHASE_MS_MAX: u64 = 5000;

pub(super) struct Source {
    site: Arc<Site>,
    host_type: RemoteHostType,
    phase_ms: i64,
    /// Entries that are due, in the order in which they became so.
    pub ready: VecDeque<Id>,
    /// Entries to be populated, those with the oldest last points first.
    pub queued: BTreeSet<(i64, Id)>,
    /// Questions that are not answered.
    pub running: usize,
    populating: usize,
    /// When the next may be begun to be populated.
    next_populate_ms: i64,
    failures: u32,
    server_errors: u32,
    alone_until_ms: i64,
    pub error: String,
}

impl Source {
    pub fn new(entry: &Entry) -> Self {
        let mut hasher = DefaultHasher::new();
        entry.site.origin().hash(&mut hasher);
        Self {
            site: entry.site.clone(),
            host_type: entry.fetch.remote_host_type,
            phase_ms: (hasher.finish() % PHASE_MS_MAX) as i64,
            ready: VecDeque::new(),
            queued: BTreeSet::new(),
            running: 0,
            populating: 0,
            next_populate_ms: i64::MIN,
            failures: 0,
            server_errors: 0,
            alone_until_ms: i64::MIN,
            error: String::new(),
        }
    }

    /// Whether the entry is asked for there: the same server by the same credentials.
    pub fn is_of(&self, entry: &Entry) -> bool {
        self.site == entry.site && self.host_type == entry.fetch.remote_host_type
    }

    /// The server.
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// How much later than others this source is asked.
    pub fn phase_ms(&self) -> i64 {
        self.phase_ms
    }

    pub fn retain(&mut self, is_kept: impl Fn(Id) -> bool) {
        self.ready.retain(|id| is_kept(*id));
        self.queued.retain(|(_, id)| is_kept(*id));
    }

    /// Whether one more question can be asked. A source that has failed is asked one at a
    /// time until it answers.
    pub fn has_room(&self, limits: &Limits, now_ms: i64) -> bool {
        let max = if self.failures > 0 {
            1
        } else {
            limits.source_requests_max
        };
        now_ms >= self.alone_until_ms && self.running < max
    }

    /// The next entry to populate, if one may be begun now. While the source fails, that
    /// is left to cheaper questions.
    pub fn next_populate(&mut self, limits: &Limits, now_ms: i64) -> Option<Id> {
        if self.populating >= self.populating_max(limits)
            || now_ms < self.alone_until_ms
            || now_ms < self.next_populate_ms
        {
            return None;
        }
        let (_, id) = self.queued.pop_first()?;
        self.populating += 1;
        self.next_populate_ms = now_ms + 60_000 / i64::from(limits.backfills_per_minute.max(1));
        Some(id)
    }

    fn populating_max(&self, limits: &Limits) -> usize {
        match self.failures {
            0 => limits.backfills_max,
            // There may be nobody else to ask.
            _ => usize::from(self.ready.is_empty() && self.running == 0),
        }
    }

    /// When more can be done though nothing ends before.
    pub fn wake_ms(&self, limits: &Limits) -> Option<i64> {
        let max = if self.failures > 0 { 1 } else { usize::MAX };
        let max = max.min(limits.source_requests_max);
        let can_ask = !self.ready.is_empty() && self.running < max;
        let can_fill = !self.queued.is_empty() && self.populating < self.populating_max(limits);
        let ask_ms = can_ask.then_some(self.alone_until_ms);
        let fill_ms = can_fill.then(|| self.next_populate_ms.max(self.alone_until_ms));
        ask_ms.into_iter().chain(fill_ms).min()
    }

    /// Whether it is left alone.
    pub fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// A question has ended.
    pub fn end(
        &mut self,
        is_populate: bool,
        outcomes: &[Outcome],
        now_ms: i64,
        random: &mut fastrand::Rng,
    ) {
        if is_populate {
            self.populating = self.populating.saturating_sub(1);
        } else {
            self.running = self.running.saturating_sub(1);
        }
        let mut failure = None;
        for outcome in outcomes {
            match outcome {
                Err(Failure { text, blame }) => failure = failure.or(Some((text, *blame))),
                Ok(_) => {
                    self.failures = 0;
                    self.server_errors = 0;
                    self.error.clear();
                    return;
                }
            }
        }
        match failure {
            Some((text, Blame::Source { retry_after_s, .. })) => {
                self.back_off(retry_after_s, now_ms, random);
                self.error.clone_from(text);
            }
            Some((text, Blame::Server)) => {
                self.server_errors += 1;
                if self.server_errors >= SERVER_ERRORS_MAX {
                    self.back_off(None, now_ms, random);
                    self.error.clone_from(text);
                }
            }
            // It answers.
            Some((_, Blame::Question)) => {
                self.failures = 0;
                self.server_errors = 0;
            }
            Some((_, Blame::Flux { .. })) | None => {}
        }
    }

    fn back_off(&mut self, retry_after_s: Option<i64>, now_ms: i64, random: &mut fastrand::Rng) {
        // Questions that were asked together fail together: that is one failure.
        if now_ms < self.alone_until_ms {
            return;
        }
        self.failures = self.failures.saturating_add(1);
        let doublings = self.failures.min(16) - 1;
        let wait_ms = (BACK_OFF_MS << doublings).min(BACK_OFF_MS_MAX);
        let wait_ms = random.i64(wait_ms / 2..=wait_ms);
        let asked_ms = retry_after_s.unwrap_or(0).clamp(0, RETRY_AFTER_S_MAX) * 1000;
        self.alone_until_ms = now_ms + wait_ms.max(asked_ms);
    }
}
