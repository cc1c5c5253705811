//! How points come into a pipeline: what they are called, whether they are stored, and
//! where their records wait.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::Instant;

use super::{Arrival, Pipeline, REASSERT_S};
use crate::admit::{self, Diversion, GROUP, MetricId, Probe};
use crate::batch::Completion;
use crate::point::{Number, Point};
use crate::stats::{DropReason, Source};
use crate::stretch;

/// Which names points have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// Those under which they came: the operator's rules are still to be followed.
    Received,
    /// Those under which they are stored.
    Stored,
}

impl Pipeline {
    /// Admits points and appends them to the batches. All are counted.
    ///
    /// Points handed over inside the process (`Source::Direct`) may be as old
    /// as a series reaches back; those of live streams must be younger than
    /// `horizon.max_resolution_s`.
    pub fn append<'a>(
        &mut self,
        points: impl Iterator<Item = Point<'a>>,
        source: Source,
        arrival: Arrival,
        completion: Option<Rc<Completion>>,
    ) {
        self.append_under(Names::Received, points, source, arrival, completion);
    }

    /// As [`Pipeline::append`], of points under these names.
    pub fn append_under<'a>(
        &mut self,
        names: Names,
        mut points: impl Iterator<Item = Point<'a>>,
        source: Source,
        arrival: Arrival,
        completion: Option<Rc<Completion>>,
    ) {
        let _stretch = stretch::enter();
        let linger_runs = self.current_since.is_some();
        let age_max_s = match source {
            Source::Direct => self.full_duration_s,
            _ => self.max_resolution_s,
        };
        let turn = Turn {
            names,
            source,
            at: arrival.at,
            oldest: arrival.unix_s.saturating_sub(age_max_s),
            now_s: self.clock_s(),
        };
        let mut received = 0;
        let mut refused = 0;
        let mut group = [Point {
            name: b"",
            timestamp: Number::Int(0),
            value: Number::Int(0),
        }; GROUP];
        loop {
            let mut count = 0;
            for (slot, point) in group.iter_mut().zip(&mut points) {
                *slot = point;
                count += 1;
            }
            if count == 0 {
                break;
            }
            refused += self.append_group(&group[..count], turn, received, completion.as_ref());
            received += count as u64;
            self.talkers.note_points(&group[..count]);
        }
        let counts = self.counts.source(source);
        counts.received += received;
        counts.in_flight += received - refused;
        if let Some(completion) = completion {
            completion.note_admission(received - refused, refused);
        }
        self.wake_link_if_due(linger_runs);
    }

    /// Appends at most [`GROUP`] points, the first of which is the one at `place`;
    /// returns how many were refused.
    fn append_group(
        &mut self,
        points: &[Point<'_>],
        turn: Turn,
        place: u64,
        completion: Option<&Rc<Completion>>,
    ) -> u64 {
        let mut probes = [Probe::default(); GROUP];
        self.metrics.probe(admit::names(points), &mut probes);
        let oldest_unsettled = self.oldest_unsettled();
        let mut refused = 0;
        for (index, (point, probe)) in points.iter().zip(&probes).enumerate() {
            if let Err(reason) = self.append_point(point, probe, turn, oldest_unsettled) {
                self.counts.source(turn.source).drop(reason, 1);
                refused += 1;
                if let Some(completion) = completion {
                    let before = completion.points() + place;
                    completion.note_refusal(before + index as u64, reason);
                }
            }
        }
        let appended = points.len() as u64 - refused;
        if appended > 0 {
            if self.current_since.is_none() {
                self.current_since = Some(turn.at);
            }
            self.current.note_arrival(turn.at, appended as u32);
            if let Some(completion) = completion {
                self.current.carry(completion);
            }
        }
        if self.current.points() >= self.batch_points_max {
            self.seal();
        }
        refused
    }

    fn append_point(
        &mut self,
        point: &Point<'_>,
        probe: &Probe,
        turn: Turn,
        oldest_unsettled: u64,
    ) -> Result<(), DropReason> {
        if self.given_up {
            return Err(DropReason::Shutdown);
        }
        let found = self.metrics.find(point.name, probe);
        let counts = &mut self.counts.rules;
        let way = match (turn.names, found) {
            (Names::Received, found) => {
                match found.and_then(|id| self.metrics.way(id, &self.rules, counts)) {
                    Some(metric) => Way::Known(metric?),
                    None => self.decide(point.name, probe, found)?,
                }
            }
            (Names::Stored, Some(id)) => match self.metrics.verdict(id, &self.rules) {
                None => Way::Known(id),
                Some(reason) => return Err(reason),
            },
            (Names::Stored, None) => self.judge_ruled(Cow::Borrowed(point.name)).1?,
        };
        let record = admit::admit(point.timestamp, point.value, turn.oldest)?;
        let (metric, name) = match &way {
            Way::Known(metric) => (Some(*metric), point.name),
            Way::New => {
                let inserted = self.insert(point.name, probe, None);
                (inserted, point.name)
            }
            Way::Named(name) => (None, &**name),
        };
        let Some(metric) = metric else {
            self.counts.metrics_not_kept += 1;
            self.current.append_named(name, record, turn.source);
            return Ok(());
        };
        self.current.append(
            &mut self.metrics,
            metric,
            record,
            turn.source,
            oldest_unsettled,
        );
        let entry = self.metrics.entry(metric);
        entry.note_time(point.timestamp);
        if entry.is_unconfirmed(turn.now_s, REASSERT_S) && entry.begin_sadd() {
            self.current.assert_member(metric);
        }
        Ok(())
    }

    /// Decides what becomes of points that come under a name, and remembers it if there
    /// is room; `found` is the name's entry, if it has one.
    #[cold]
    fn decide<'n>(
        &mut self,
        name: &'n [u8],
        probe: &Probe,
        found: Option<MetricId>,
    ) -> Result<Way<'n>, DropReason> {
        let mut last = None;
        let counts = &mut self.counts.rules;
        let stored = self.rules.follow(name, |rule| {
            counts[rule].judged += 1;
            last = Some(rule);
        });
        let Some(rule) = last else {
            stored?;
            return match found {
                Some(id) => {
                    let verdict = self.metrics.decide(id, &self.rules);
                    verdict.map_or(Ok(Way::Known(id)), Err)
                }
                None => self.judge_new(name, probe).map(|()| Way::New),
            };
        };
        counts[rule].points += 1;
        let (to, way) = match stored {
            Ok(stored) => self.judge_ruled(stored),
            Err(reason) => (None, Err(reason)),
        };
        if to.is_some() || matches!(way, Err(DropReason::Rule)) {
            let rule = rule as u16;
            let own = found.or_else(|| self.metrics.look_up(name));
            match own.or_else(|| self.metrics.insert_undecided(name)) {
                Some(id) => self.metrics.divert(id, &self.rules, Diversion { to, rule }),
                None => self.counts.metrics_not_kept += 1,
            }
        }
        way
    }

    /// Judges the name under which rules have points stored: its entry, if it has one
    /// or there is room and it is a good name, and what becomes of the points.
    fn judge_ruled<'n>(
        &mut self,
        name: Cow<'n, [u8]>,
    ) -> (Option<MetricId>, Result<Way<'n>, DropReason>) {
        if let Err(reason) = self.rules.check_name(&name) {
            return (None, Err(reason));
        }
        let mut entry = self.metrics.look_up(&name);
        if entry.is_none() {
            entry = self.metrics.insert_undecided(&name);
            if entry.is_some() {
                self.note_series(&name);
            }
        }
        match entry {
            Some(id) => {
                let verdict = self.metrics.verdict(id, &self.rules);
                (Some(id), verdict.map_or(Ok(Way::Known(id)), Err))
            }
            None => (None, self.rules.judge(&name).map(|()| Way::Named(name))),
        }
    }

    /// Judges a metric without an entry, and remembers it if it is to be dropped
    /// each time.
    fn judge_new(&mut self, name: &[u8], probe: &Probe) -> Result<(), DropReason> {
        let verdict = self.rules.judge(name);
        if let Err(reason) = verdict
            && reason.is_remembered()
        {
            let kept = self.insert(name, probe, Some(reason));
            self.counts.metrics_not_kept += u64::from(kept.is_none());
        }
        verdict
    }

    /// Gives a metric an entry, if there is room.
    fn insert(
        &mut self,
        name: &[u8],
        probe: &Probe,
        verdict: Option<DropReason>,
    ) -> Option<MetricId> {
        let metric = self.metrics.insert(name, probe, &self.rules, verdict)?;
        self.note_series(name);
        Some(metric)
    }

    fn note_series(&mut self, name: &[u8]) {
        self.counts.series_new += 1;
        self.talkers.note_series(name);
    }

    // ---- flush ----------------------------------------------------------
}

/// Where a point goes that is stored.
enum Way<'n> {
    /// To this metric.
    Known(MetricId),
    /// To the metric of the name it came under, which has no entry.
    New,
    /// To the metric of this name, for which the table has no room.
    Named(Cow<'n, [u8]>),
}

/// What is the same for all points of one call of [`Pipeline::append`].
#[derive(Clone, Copy)]
struct Turn {
    names: Names,
    source: Source,
    at: Instant,
    /// Smallest timestamp that is accepted.
    oldest: i64,
    now_s: u32,
}
