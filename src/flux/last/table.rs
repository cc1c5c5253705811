//! The last timestamps that are known, and the points that are on their way.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use foldhash::fast::RandomState;

use crate::flux::FluxPoint;

/// Memory that an entry takes besides its name, in bytes, with the tables grown to
/// twice what they hold.
const ENTRY_BYTES: usize = 2 * (size_of::<Box<str>>() + size_of::<Entry>()) + 32;
/// Length of a name as memory is reckoned.
const NAME_BYTES: usize = 64;

/// Before all timestamps.
const NEVER: i64 = i64::MIN;

/// Worst-case memory of a table, with names of 64 bytes.
pub(in crate::flux) fn bytes_max(metrics_max: usize) -> u64 {
    metrics_max.saturating_mul(ENTRY_BYTES + NAME_BYTES) as u64
}

#[derive(Clone, Copy)]
struct Entry {
    /// The table's epoch when the last timestamp was known for sure.
    epoch: u64,
    /// The newest timestamp that was delivered, as far as is known.
    last: i64,
    /// Its value, if it was delivered here.
    value: f64,
    /// The newest timestamp that is on its way.
    pending: i64,
    /// Points on their way.
    in_flight: u32,
    /// The minute in which it was last delivered.
    minute: u32,
    /// Whether Redis is to be told of the last timestamp.
    is_dirty: bool,
}

impl Entry {
    const NEW: Self = Self {
        epoch: 0,
        last: NEVER,
        value: 0.0,
        pending: NEVER,
        in_flight: 0,
        minute: 0,
        is_dirty: false,
    };

    /// Whether it holds what is nowhere else.
    fn is_busy(&self) -> bool {
        self.in_flight > 0 || self.is_dirty
    }
}

type Entries = HashMap<Box<str>, Entry, RandomState>;

/// See the module. Entries are in two halves: when one half is full, the other, of
/// entries that were not looked at since it was, is forgotten but for busy ones.
pub(super) struct Table {
    recent: Entries,
    older: Entries,
    half: usize,
    /// Entries that were known in another epoch are not known any more; 0 is none.
    epoch: u64,
    /// Changes by others that were told.
    changes: u64,
    /// Whether anything may be known beyond the request that asked for it.
    keeps: bool,
    /// The longest known first.
    dirty: VecDeque<Box<str>>,
    /// How often something was settled.
    marked: u64,
    /// Metrics delivered, each once in a minute.
    delivered: u64,
    /// Minutes since it began, and one.
    minute: u32,
    began: Instant,
}

/// What came of an attempt to let points pass.
#[derive(Debug, PartialEq)]
pub(super) enum Tried {
    /// For each point whether it is new; those are on their way now.
    Passed(Vec<bool>),
    /// The points at these places are of metrics of which nothing is known.
    Unknown(Vec<usize>),
    /// What becomes of some points depends on others that are on their way.
    Depends,
}

/// How points are let pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// Whether metrics of which nothing is known pass.
    pub unknown_pass: bool,
    /// Whether a point that is on its way counts as received.
    pub pending_counts: bool,
}

/// A last timestamp that Redis is to be told.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mark {
    pub metric: Box<str>,
    pub timestamp: i64,
    pub value: f64,
}

impl Table {
    pub fn new(metrics_max: usize) -> Self {
        Self {
            recent: Entries::default(),
            older: Entries::default(),
            half: (metrics_max / 2).max(1),
            epoch: 1,
            changes: 0,
            keeps: false,
            dirty: VecDeque::new(),
            marked: 0,
            delivered: 0,
            minute: 1,
            began: Instant::now(),
        }
    }

    /// Lets those of `points` pass that are newer than the last of their metric. What
    /// was just asked of Redis is in `learned`, and counts for more than what is
    /// remembered, but for what Redis is still to be told. Points that fill gaps always pass.
    pub fn admit(
        &mut self,
        points: &[FluxPoint],
        learned: &HashMap<&str, i64>,
        terms: Terms,
    ) -> Tried {
        let mut unknown = Vec::new();
        let mut depends = false;
        for (place, point) in points.iter().enumerate().filter(|(_, point)| !point.fill) {
            let entry = self.peek(&point.metric);
            let is_known = self.keeps && entry.is_some_and(|entry| entry.epoch == self.epoch);
            if !is_known && !terms.unknown_pass && !learned.contains_key(&*point.metric) {
                unknown.push(place);
            }
            depends |= entry.is_some_and(|entry| {
                let is_pending = entry.in_flight > 0 && point.timestamp <= entry.pending;
                is_pending && point.timestamp > entry.last
            });
        }
        if !unknown.is_empty() {
            return Tried::Unknown(unknown);
        }
        if depends && !terms.pending_counts {
            return Tried::Depends;
        }
        let pass = points
            .iter()
            .map(|point| point.fill || self.pass(point, learned));
        Tried::Passed(pass.collect())
    }

    fn pass(&mut self, point: &FluxPoint, learned: &HashMap<&str, i64>) -> bool {
        let epoch = self.epoch;
        let learned = learned.get(&*point.metric).copied();
        self.with(&point.metric, |entry| {
            if let Some(last) = learned {
                entry.last = match entry.is_dirty {
                    true => entry.last.max(last),
                    false => last,
                };
                entry.epoch = epoch;
            }
            let is_pending = entry.in_flight > 0 && point.timestamp <= entry.pending;
            if point.timestamp <= entry.last || is_pending {
                return false;
            }
            entry.pending = point.timestamp;
            entry.in_flight += 1;
            true
        })
    }

    /// A point that was let pass has been delivered, or never will be.
    pub fn settle(&mut self, metric: &str, timestamp: i64, value: f64, is_delivered: bool) {
        let minute = self.minute;
        let mut is_first = false;
        let is_newly_dirty = self.with(metric, |entry| {
            entry.in_flight = entry.in_flight.saturating_sub(1);
            if entry.in_flight == 0 {
                entry.pending = NEVER;
            }
            is_first = is_delivered && std::mem::replace(&mut entry.minute, minute) != minute;
            if !is_delivered || timestamp <= entry.last {
                return false;
            }
            entry.last = timestamp;
            entry.value = value;
            !std::mem::replace(&mut entry.is_dirty, true)
        });
        self.marked += 1;
        self.delivered += u64::from(is_first);
        if is_newly_dirty {
            self.dirty.push_back(metric.into());
        }
    }

    /// Metrics delivered so far, each once in a minute.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Lets the minute change.
    pub fn look_at_clock(&mut self) {
        self.minute = (self.began.elapsed().as_secs() / 60 + 1) as u32;
    }

    /// How often something was settled so far.
    pub fn marked(&self) -> u64 {
        self.marked
    }

    /// Of how many metrics Redis is to be told.
    pub fn dirty(&self) -> usize {
        self.dirty.len()
    }

    /// At most so many of what Redis is to be told, the longest known first; each is to
    /// be given back, or said to be written.
    pub fn take_dirty(&mut self, marks_max: usize) -> Vec<Mark> {
        let to = self.dirty.len().min(marks_max);
        let metrics: Vec<Box<str>> = self.dirty.drain(..to).collect();
        let mark = |metric: Box<str>| {
            let Entry { last, value, .. } = *self.peek(&metric)?;
            Some(Mark {
                metric,
                timestamp: last,
                value,
            })
        };
        metrics.into_iter().filter_map(mark).collect()
    }

    /// Redis was told of these.
    pub fn note_written(&mut self, marks: Vec<Mark>) {
        for mark in marks {
            let is_newer = self.with(&mark.metric, |entry| {
                entry.is_dirty &= entry.last > mark.timestamp;
                entry.is_dirty
            });
            if is_newer {
                self.dirty.push_back(mark.metric);
            }
        }
    }

    /// Redis could not be told of these: it is to be told later, if memory allows.
    /// Returns how many are given up.
    pub fn give_back(&mut self, marks: Vec<Mark>) -> usize {
        let mut given_up = 0;
        for mark in marks {
            if self.dirty.len() >= 2 * self.half {
                given_up += 1;
                self.with(&mark.metric, |entry| entry.is_dirty = false);
                continue;
            }
            self.dirty.push_back(mark.metric);
        }
        given_up
    }

    /// Redis was emptied: nothing that was delivered is there any more.
    pub fn empty(&mut self) {
        self.dirty.clear();
        self.forget_all();
        for entries in [&mut self.recent, &mut self.older] {
            entries.retain(|_, entry| {
                entry.is_dirty = false;
                entry.last = NEVER;
                entry.in_flight > 0
            });
        }
    }

    /// Whether others' changes are heard of from now on. Nothing is known then, and
    /// nothing stays known if they are not.
    pub fn set_keeps(&mut self, keeps: bool) {
        self.keeps = keeps;
        self.forget_all();
    }

    /// Somebody else may have changed any of the last timestamps.
    pub fn forget_all(&mut self) {
        self.changes += 1;
        self.epoch += 1;
    }

    /// The same for one metric.
    pub fn forget(&mut self, metric: &str) {
        self.changes += 1;
        if self.peek(metric).is_some() {
            self.with(metric, |entry| entry.epoch = 0);
        }
    }

    /// How often others may have changed something.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// The last timestamp of a metric, if that is known for sure.
    pub fn known(&self, metric: &str) -> Option<Option<i64>> {
        let entry = self.peek(metric)?;
        let is_known = self.keeps && entry.epoch == self.epoch;
        is_known.then_some((entry.last != NEVER).then_some(entry.last))
    }

    /// The newest timestamp that was delivered and that Redis is still to be told.
    pub fn untold(&self, metric: &str) -> Option<i64> {
        let entry = self.peek(metric)?;
        entry.is_dirty.then_some(entry.last)
    }

    fn peek(&self, metric: &str) -> Option<&Entry> {
        let recent = self.recent.get(metric);
        recent.or_else(|| self.older.get(metric))
    }

    fn with<T>(&mut self, metric: &str, work: impl FnOnce(&mut Entry) -> T) -> T {
        if let Some(entry) = self.recent.get_mut(metric) {
            return work(entry);
        }
        let (metric, mut entry) = match self.older.remove_entry(metric) {
            Some(found) => found,
            None => (metric.into(), Entry::NEW),
        };
        let done = work(&mut entry);
        if self.recent.len() >= self.half {
            self.rotate();
        }
        self.recent.insert(metric, entry);
        done
    }

    fn rotate(&mut self) {
        let older = std::mem::take(&mut self.older);
        self.older = std::mem::take(&mut self.recent);
        let busy = older.into_iter().filter(|(_, entry)| entry.is_busy());
        self.older.extend(busy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRICT: Terms = Terms {
        unknown_pass: false,
        pending_counts: false,
    };

    fn point(metric: &str, timestamp: i64) -> FluxPoint {
        FluxPoint {
            metric: metric.to_owned(),
            timestamp,
            value: 1.0,
            fill: false,
        }
    }

    fn table() -> Table {
        let mut table = Table::new(1000);
        table.set_keeps(true);
        table
    }

    fn learned(metric: &str, last: Option<i64>) -> HashMap<&str, i64> {
        HashMap::from([(metric, last.unwrap_or(NEVER))])
    }

    fn passed(tried: Tried) -> Vec<bool> {
        match tried {
            Tried::Passed(passed) => passed,
            tried => panic!("{tried:?}"),
        }
    }

    #[test]
    fn a_point_passes_if_it_is_newer_than_the_last() {
        let mut table = table();
        let points = [point("a", 10)];
        assert_eq!(
            table.admit(&points, &HashMap::new(), STRICT),
            Tried::Unknown(vec![0])
        );
        let learned = learned("a", Some(9));
        assert_eq!(passed(table.admit(&points, &learned, STRICT)), [true]);
        table.settle("a", 10, 1.0, true);
        for (timestamp, is_new) in [(9, false), (10, false), (11, true)] {
            let tried = table.admit(&[point("a", timestamp)], &HashMap::new(), STRICT);
            assert_eq!(passed(tried), [is_new], "{timestamp}");
        }
    }

    // Two requests with the same point at once: the second waits for the first, and
    // passes if that is not delivered.
    #[test]
    fn of_two_that_are_the_same_one_passes() {
        let mut table = table();
        let learned = learned("a", None);
        let points = [point("a", 10)];
        assert_eq!(passed(table.admit(&points, &learned, STRICT)), [true]);
        assert_eq!(table.admit(&points, &learned, STRICT), Tried::Depends);
        let terms = Terms {
            pending_counts: true,
            ..STRICT
        };
        assert_eq!(passed(table.admit(&points, &learned, terms)), [false]);
        table.settle("a", 10, 1.0, false);
        assert_eq!(passed(table.admit(&points, &learned, STRICT)), [true]);
        table.settle("a", 10, 1.0, true);
        assert_eq!(passed(table.admit(&points, &learned, STRICT)), [false]);
    }

    #[test]
    fn twice_in_one_request_passes_once() {
        let mut table = table();
        let learned = learned("a", None);
        let points = [
            point("a", 10),
            point("a", 10),
            point("a", 9),
            point("a", 11),
        ];
        let passed = passed(table.admit(&points, &learned, STRICT));
        assert_eq!(passed, [true, false, false, true]);
    }

    // What fills a gap is old, and must not hide what is not.
    #[test]
    fn fills_pass_and_change_nothing() {
        let mut table = table();
        let fill = FluxPoint {
            fill: true,
            ..point("a", 10)
        };
        assert_eq!(
            passed(table.admit(std::slice::from_ref(&fill), &HashMap::new(), STRICT)),
            [true]
        );
        assert!(table.dirty() == 0 && table.known("a").is_none());
    }

    #[test]
    fn what_others_may_have_changed_is_not_known() {
        let mut table = table();
        let points = [point("a", 10)];
        table.admit(&points, &learned("a", None), STRICT);
        table.settle("a", 10, 1.0, true);
        assert_eq!(table.known("a"), Some(Some(10)));
        table.forget("a");
        assert_eq!(table.known("a"), None);
        table.admit(&[point("a", 11)], &learned("a", Some(10)), STRICT);
        assert_eq!(table.known("a"), Some(Some(10)));
        table.forget_all();
        assert_eq!(table.known("a"), None);
        // Nor does what is asked of Redis take back what was delivered since.
        table.settle("a", 11, 1.0, true);
        let tried = table.admit(&[point("a", 11)], &learned("a", Some(10)), STRICT);
        assert_eq!(passed(tried), [false]);
    }

    #[test]
    fn redis_is_told_the_newest_of_each_metric_once() {
        let mut table = table();
        for timestamp in [10, 11, 12] {
            let tried = table.admit(&[point("a", timestamp)], &learned("a", None), STRICT);
            assert_eq!(passed(tried), [true]);
        }
        table.settle("a", 11, 2.0, true);
        table.settle("a", 10, 1.0, true);
        table.settle("a", 12, 3.0, false);
        let marks = table.take_dirty(10);
        let mark = Mark {
            metric: "a".into(),
            timestamp: 11,
            value: 2.0,
        };
        assert_eq!(marks, std::slice::from_ref(&mark));
        assert_eq!(table.dirty(), 0);
        assert_eq!(table.give_back(marks), 0);
        assert_eq!(table.take_dirty(10), std::slice::from_ref(&mark));
        // What comes while Redis is being told is told next, behind what is older.
        table.admit(&[point("a", 13)], &learned("a", None), STRICT);
        table.settle("a", 13, 4.0, true);
        assert_eq!(table.dirty(), 0);
        table.note_written(vec![mark]);
        table.admit(&[point("b", 1)], &learned("b", None), STRICT);
        table.settle("b", 1, 1.0, true);
        let marks = table.take_dirty(1);
        assert_eq!(marks[0].timestamp, 13);
        table.note_written(marks);
        let marks = table.take_dirty(10);
        assert_eq!(&*marks[0].metric, "b");
        table.note_written(marks);
        assert_eq!(table.dirty(), 0);
    }

    // What was deleted there, by whomever, may come again.
    #[test]
    fn what_redis_has_lost_is_not_remembered() {
        let mut table = table();
        let points = [point("a", 10)];
        for is_emptied in [true, false] {
            assert_eq!(
                passed(table.admit(&points, &learned("a", None), STRICT)),
                [true]
            );
            table.settle("a", 10, 1.0, true);
            if is_emptied {
                table.empty();
                assert_eq!(table.dirty(), 0);
            } else {
                let marks = table.take_dirty(1);
                table.note_written(marks);
                table.forget("a");
            }
            assert_eq!(table.known("a"), None);
        }
        assert_eq!(
            passed(table.admit(&points, &learned("a", None), STRICT)),
            [true]
        );
    }

    // Memory is bounded, and what is under way is never forgotten for it.
    #[test]
    fn a_full_table_forgets_what_is_idle() {
        let mut table = table();
        let learned = HashMap::new();
        let lenient = Terms {
            unknown_pass: true,
            ..STRICT
        };
        table.admit(&[point("busy", 10)], &learned, lenient);
        for number in 0..100_000 {
            table.forget(&number.to_string());
            table.with(&number.to_string(), |entry| entry.last = 1);
        }
        assert!(table.recent.len() + table.older.len() <= 1002);
        let tried = table.admit(&[point("busy", 10)], &learned, lenient);
        assert_eq!(tried, Tried::Depends);
    }
}
