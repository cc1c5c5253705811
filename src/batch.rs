//! A batch: what goes to Redis in one write and is kept until it is answered.
//!
//! A batch gathers records by metric, so that the points of one metric in it
//! become one APPEND, in the order in which they came:
//!
//! ```text
//! items    [ a.b | first last bytes ] [ c.d | first last bytes ] ...
//!              |      \                    |
//! records  [ 92.. | next ] [ 92.. | next ] [ 92.. | end ] ...
//! members  a.b ...                                  metrics to be made known
//! ```
//!
//! It is encoded when it is flushed, and again if it has to be sent again, then
//! without what was answered.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Instant;

use crate::admit::{MetricId, Metrics};
use crate::stats::{DropReason, Source};
use crate::wire::msgpack::{RECORD_BYTES_MAX, Record};
use crate::wire::resp::Encoder;

/// Members in one SADD, at most: a longer command would hold up the others.
pub const SADD_MEMBERS_MAX: usize = 500;

/// In place of a [`MetricId`]: the metric has no entry, its name is kept here.
const NAMED: MetricId = MetricId::MAX;

/// In place of the next record: there is none.
const END: u32 = u32::MAX;

/// All records of one metric in one batch.
#[derive(Debug)]
pub struct Item {
    metric: MetricId,
    first: u32,
    last: u32,
    /// Length of the records together, which is the key's length in Redis
    /// afterwards if the key is new.
    pub bytes: u32,
    /// How many records.
    pub points: u32,
    name_at: u32,
    name_bytes: u16,
    settled: bool,
}

impl Item {
    /// The metric, if it has an entry.
    pub fn metric(&self) -> Option<MetricId> {
        (self.metric != NAMED).then_some(self.metric)
    }
}

#[derive(Debug)]
struct Kept {
    bytes: [u8; RECORD_BYTES_MAX],
    /// The record's length in the lower five bits, its source above.
    len_source: u8,
    next: u32,
}

const _: () =
    assert!(size_of::<Kept>() == 24 && RECORD_BYTES_MAX < 1 << 5 && Source::ALL.len() <= 8);

/// Memory that a point takes in a batch, at most: with an item and an arrival of
/// its own, the vectors grown to twice what they hold.
pub const POINT_BYTES_MAX: usize =
    2 * (size_of::<Kept>() + size_of::<Item>() + size_of::<Member>());

/// A member of the set of known metrics, to be sent.
#[derive(Clone, Copy, Debug)]
enum Member {
    Known(MetricId),
    Named { at: u32, bytes: u16 },
}

/// Tells somebody outside what became of points handed over together, when the
/// last batch that has some of them is done with.
pub struct Completion {
    outcome: RefCell<Outcome>,
    tell: Option<Box<dyn FnOnce(Outcome)>>,
}

/// What became of points handed over together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Points that were admitted.
    pub admitted: u64,
    /// Points that were not: their names, numbers or age forbid it.
    pub refused: u64,
    /// Points of the same batches that Redis refused for good or that were
    /// given up at shutdown. 0 means that all admitted points are in Redis;
    /// otherwise some of these points may be missing there.
    pub lost: u64,
    /// There was no room: nothing was taken, and nothing counted. To be tried
    /// again later.
    pub busy: bool,
    /// Each point that was refused, by its place among them all, and why.
    pub refusals: Vec<(u32, DropReason)>,
    /// The metrics, of the same batches, of which points were lost, and why. Points
    /// of others are all in Redis.
    pub lost_metrics: Vec<(Box<[u8]>, DropReason)>,
}

impl Completion {
    /// Calls `tell` in the end.
    pub fn new(tell: impl FnOnce(Outcome) + 'static) -> Self {
        Self {
            outcome: RefCell::default(),
            tell: Some(Box::new(tell)),
        }
    }

    /// Points that it knows of so far.
    pub fn points(&self) -> u64 {
        let outcome = self.outcome.borrow();
        outcome.admitted + outcome.refused
    }

    /// Notes how many more points were admitted and refused.
    pub fn note_admission(&self, admitted: u64, refused: u64) {
        let mut outcome = self.outcome.borrow_mut();
        outcome.admitted += admitted;
        outcome.refused += refused;
    }

    /// Notes why the point at this place was refused.
    pub fn note_refusal(&self, place: u64, reason: DropReason) {
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        self.outcome.borrow_mut().refusals.push((place, reason));
    }

    fn note_lost(&self, metric: &[u8], points: u64, reason: DropReason) {
        let mut outcome = self.outcome.borrow_mut();
        outcome.lost += points;
        outcome.lost_metrics.push((metric.into(), reason));
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        if let Some(tell) = self.tell.take() {
            tell(self.outcome.take());
        }
    }
}

/// See the module.
#[derive(Default)]
pub struct Batch {
    /// Its place in the order of batches.
    pub seq: u64,
    /// The newest batch that must be settled before this one may be sent, so
    /// that no metric is ever in flight twice: 0 for none.
    pub after: u64,
    items: Vec<Item>,
    records: Vec<Kept>,
    names: Vec<u8>,
    /// The items of metrics without an entry, by name.
    named: HashMap<Box<[u8]>, u32>,
    members: Vec<Member>,
    arrivals: Vec<(Instant, u32)>,
    completions: Vec<Rc<Completion>>,
    /// A set of bits, one for each [`Source`] that has points here.
    sources: u8,
    /// Items and groups of members that were answered since it was last sent.
    item_at: usize,
    member_at: usize,
    failed: bool,
    was_resent: bool,
    /// Bytes that the budget counts for this batch.
    pub claimed: usize,
}

impl Batch {
    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty() && self.members.is_empty()
    }

    /// Points in it.
    pub fn points(&self) -> usize {
        self.records.len()
    }

    /// Memory that it holds, in bytes.
    pub fn bytes(&self) -> usize {
        self.items.capacity() * size_of::<Item>()
            + self.records.capacity() * size_of::<Kept>()
            + self.members.capacity() * size_of::<Member>()
            + self.arrivals.capacity() * size_of::<(Instant, u32)>()
            + self.names.capacity()
    }

    /// Makes it a new, empty batch that keeps its memory for the next points.
    pub fn clear(&mut self, seq: u64) {
        self.seq = seq;
        self.after = 0;
        self.items.clear();
        self.records.clear();
        self.names.clear();
        self.named.clear();
        self.members.clear();
        self.arrivals.clear();
        self.completions.clear();
        self.sources = 0;
        self.item_at = 0;
        self.member_at = 0;
        self.failed = false;
        self.was_resent = false;
        self.claimed = 0;
    }

    /// Adds a record of a metric that has an entry. `oldest_unsettled` is the
    /// sequence number of the oldest batch that is not settled.
    pub fn append(
        &mut self,
        metrics: &mut Metrics,
        metric: MetricId,
        record: Record,
        source: Source,
        oldest_unsettled: u64,
    ) {
        let at = self.keep(record, source);
        let entry = metrics.entry(metric);
        if entry.batch == self.seq {
            self.chain(entry.item, at, record);
            return;
        }
        if entry.batch >= oldest_unsettled {
            self.after = self.after.max(entry.batch);
        }
        entry.batch = self.seq;
        entry.item = self.items.len() as u32;
        self.begin_item(metric, at, record, (0, 0));
    }

    /// Adds a record of a metric that has no entry: the slower path. Nothing is
    /// known of its records in other batches, so this one waits for all before
    /// it; and the metric is made known again.
    pub fn append_named(&mut self, name: &[u8], record: Record, source: Source) {
        let at = self.keep(record, source);
        if let Some(item) = self.named.get(name) {
            self.chain(*item, at, record);
            return;
        }
        self.named.insert(name.into(), self.items.len() as u32);
        let name_at = self.names.len() as u32;
        // Longer names are refused by the rules.
        let name_bytes = name.len() as u16;
        self.names.extend_from_slice(name);
        self.after = self.seq - 1;
        self.members.push(Member::Named {
            at: name_at,
            bytes: name_bytes,
        });
        self.begin_item(NAMED, at, record, (name_at, name_bytes));
    }

    /// Adds a metric to be made known.
    pub fn assert_member(&mut self, metric: MetricId) {
        self.members.push(Member::Known(metric));
    }

    /// Notes when bytes arrived that became `points` points of this batch.
    pub fn note_arrival(&mut self, at: Instant, points: u32) {
        self.arrivals.push((at, points));
    }

    /// When bytes arrived, and how many points of this batch they became.
    pub fn arrivals(&self) -> &[(Instant, u32)] {
        &self.arrivals
    }

    /// Has somebody told when this batch is done with.
    pub fn carry(&mut self, completion: &Rc<Completion>) {
        let known = self.completions.last();
        if !known.is_some_and(|known| Rc::ptr_eq(known, completion)) {
            self.completions.push(completion.clone());
        }
    }

    /// Tells those who wait that the points of an item are lost.
    pub fn note_lost(&self, metrics: &Metrics, item: &Item, reason: DropReason) {
        for completion in &self.completions {
            let name = self.name(metrics, item);
            completion.note_lost(name, u64::from(item.points), reason);
        }
    }

    fn name<'n>(&'n self, metrics: &'n Metrics, item: &Item) -> &'n [u8] {
        match item.metric {
            NAMED => self.kept_name(item.name_at, item.name_bytes),
            metric => metrics.name(metric),
        }
    }

    /// Writes the commands that are not yet settled, and begins to count
    /// answers from the first of them. Returns how many commands.
    pub fn encode(&mut self, metrics: &Metrics, encoder: &Encoder, out: &mut Vec<u8>) -> u64 {
        self.item_at = 0;
        self.member_at = 0;
        self.failed = false;
        let mut commands = 0;
        for item in self.items.iter().filter(|item| !item.settled) {
            let name = self.name(metrics, item);
            encoder.append_begin(out, name, item.bytes as usize);
            let mut at = item.first;
            while let Some(kept) = self.records.get(at as usize) {
                out.extend_from_slice(&kept.bytes[..usize::from(kept.len_source & 0x1f)]);
                at = kept.next;
            }
            encoder.append_end(out);
            commands += 1;
        }
        for group in self.members.chunks(SADD_MEMBERS_MAX) {
            let names = group.iter().map(|member| match *member {
                Member::Known(metric) => metrics.name(metric),
                Member::Named { at, bytes } => self.kept_name(at, bytes),
            });
            encoder.sadd(out, names);
            commands += 1;
        }
        commands
    }

    /// The command that the next answer is for. `None`: all were answered.
    pub fn next_answered(&mut self) -> Option<Answered> {
        while let Some(item) = self.items.get(self.item_at) {
            self.item_at += 1;
            if !item.settled {
                return Some(Answered::Item(self.item_at - 1));
            }
        }
        if self.member_at >= self.members.len() {
            return None;
        }
        let from = self.member_at;
        self.member_at = (from + SADD_MEMBERS_MAX).min(self.members.len());
        Some(Answered::Members {
            from,
            to: self.member_at,
        })
    }

    /// Whether every command has been answered since the batch was sent.
    pub fn is_answered(&self) -> bool {
        self.member_at >= self.members.len()
            && self.items[self.item_at.min(self.items.len())..]
                .iter()
                .all(|item| item.settled)
    }

    /// The item of this number.
    pub fn item(&self, item: usize) -> &Item {
        &self.items[item]
    }

    /// Notes that an item need not be sent again.
    pub fn settle_item(&mut self, item: usize) {
        self.items[item].settled = true;
    }

    /// Calls `count` with the source and number of the points of an item.
    pub fn count_points(&self, item: &Item, mut count: impl FnMut(Source, u64)) {
        if self.sources.is_power_of_two() {
            let source = Source::from_number(self.sources.trailing_zeros() as u8);
            count(source, u64::from(item.points));
            return;
        }
        let mut at = item.first;
        while let Some(kept) = self.records.get(at as usize) {
            count(Source::from_number(kept.len_source >> 5), 1);
            at = kept.next;
        }
    }

    /// The metrics with an entry among the members of one group.
    pub fn member_metrics(&self, from: usize, to: usize) -> impl Iterator<Item = MetricId> + '_ {
        self.members[from..to]
            .iter()
            .filter_map(|member| match *member {
                Member::Known(metric) => Some(metric),
                Member::Named { .. } => None,
            })
    }

    /// Notes that a command failed for now and has to be sent again.
    pub fn note_failed(&mut self) {
        self.failed = true;
    }

    /// Whether a command has to be sent again.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// Every item that is not settled.
    pub fn unsettled(&self) -> impl Iterator<Item = (usize, &Item)> {
        self.items
            .iter()
            .enumerate()
            .filter(|(_, item)| !item.settled)
    }

    /// Gives every metric its new number after a sweep of the table.
    pub fn renumber(&mut self, moved: &[Option<MetricId>]) {
        let renumbered = |metric: MetricId| moved.get(metric as usize).copied().flatten();
        for item in &mut self.items {
            if item.metric != NAMED
                && let Some(metric) = renumbered(item.metric)
            {
                item.metric = metric;
            }
        }
        for member in &mut self.members {
            if let Member::Known(metric) = member
                && let Some(number) = renumbered(*metric)
            {
                *metric = number;
            }
        }
    }

    /// Prepares it for being sent again: what was answered stays settled.
    /// Members are all sent again, since one more SADD of them does no harm.
    /// Returns whether this is the first time.
    pub fn rewind(&mut self) -> bool {
        self.item_at = 0;
        self.member_at = 0;
        !std::mem::replace(&mut self.was_resent, true)
    }

    fn keep(&mut self, record: Record, source: Source) -> u32 {
        let (bytes, len) = record.into_parts();
        let at = self.records.len() as u32;
        self.sources |= 1 << source as u8;
        self.records.push(Kept {
            bytes,
            len_source: len | (source as u8) << 5,
            next: END,
        });
        at
    }

    fn begin_item(&mut self, metric: MetricId, at: u32, record: Record, name: (u32, u16)) {
        let (name_at, name_bytes) = name;
        let bytes = record.as_bytes().len() as u32;
        let (first, last, points, settled) = (at, at, 1, false);
        self.items.push(Item {
            metric,
            first,
            last,
            bytes,
            points,
            name_at,
            name_bytes,
            settled,
        });
    }

    /// Adds a kept record to those of an item.
    fn chain(&mut self, item: u32, at: u32, record: Record) {
        let item = &mut self.items[item as usize];
        self.records[item.last as usize].next = at;
        item.last = at;
        item.bytes += record.as_bytes().len() as u32;
        item.points += 1;
    }

    fn kept_name(&self, at: u32, bytes: u16) -> &[u8] {
        &self.names[at as usize..at as usize + usize::from(bytes)]
    }
}

/// What an answer is for.
#[derive(Clone, Copy, Debug)]
pub enum Answered {
    /// The APPEND of an item.
    Item(usize),
    /// A SADD of these members.
    Members {
        /// First of them.
        from: usize,
        /// Behind the last of them.
        to: usize,
    },
}
