//! Admission: which points go on to Redis, and what is known of their metrics.
//!
//! What depends on a metric's name alone is decided once, by [`Rules`], and
//! stands in the metric's entry of the [`Metrics`] table with the version of
//! the rules it was decided under. What depends on the point (its age, its
//! numbers) is decided for each point by [`admit`].
//!
//! An entry says two things of its name. As the name of a series: whether it is
//! stored here, what batch has records of it, how it stands in Redis. As a name that
//! points come under: whether the operator's rules fit it, and if so, that its points
//! are dropped, or under which other entry they are stored. So a series has one entry,
//! whatever names its points come under, and they keep their order.
//!
//! The table belongs to one shard. Behind its bound it forgets metrics that
//! have been silent for long; when there are none, a metric without an entry
//! takes the slower path: it is judged, and told to Redis as known, each time.

use std::hash::{BuildHasher, Hasher};
use std::ops::BitOrAssign;

use foldhash::quality::RandomState;

use crate::point::{Number, Point};
use crate::rules::{NEVER, Rules};
use crate::stats::{DropReason, RuleCounts};
use crate::wire::msgpack::Record;

/// Makes the record of a point that is young enough and finite.
///
/// `oldest` is the smallest timestamp that is accepted, in whole seconds; it is
/// compared with the timestamp cut to whole seconds. There is no largest.
///
/// Infinity and NaN are refused: carbon itself discards NaN, and readers of a
/// series take means and compare, which one such value spoils for the whole
/// series.
///
/// # Errors
///
/// Why the point is not stored.
pub fn admit(timestamp: Number, value: Number, oldest: i64) -> Result<Record, DropReason> {
    let young = match timestamp {
        Number::Int(seconds) => seconds >= oldest,
        Number::Uint(_) => true,
        Number::Float(seconds) if !seconds.is_finite() => return Err(DropReason::NotFinite),
        Number::Float(seconds) => seconds.trunc() >= oldest as f64,
        Number::Bool(truth) => i64::from(truth) >= oldest,
    };
    if !young {
        return Err(DropReason::TooOld);
    }
    if matches!(value, Number::Float(value) if !value.is_finite()) {
        return Err(DropReason::NotFinite);
    }
    Ok(Record::new(timestamp, value))
}

/// An entry's place in the [`Metrics`] table, valid until the table is swept.
pub type MetricId = u32;

/// What a shard knows of one metric.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The last batch that has records of this metric, and where in it.
    pub batch: u64,
    /// The item of that batch.
    pub item: u32,
    /// When Redis last confirmed the metric as a member of the set of known
    /// metrics, in seconds of the shard's clock; 0 is never.
    pub confirmed_s: u32,
    /// Length of its series after the last answered APPEND; 0 is unknown.
    series_bytes: u32,
    /// Newest timestamp that was appended, in whole seconds since 1970.
    newest_s: u32,
    hash: u32,
    name_at: u32,
    rules_version: u32,
    name_bytes: u16,
    verdict: Option<DropReason>,
    marks: u8,
}

/// A SADD with this metric waits for its turn or its answer.
const SADD_UNDER_WAY: u8 = 1;
/// Its series in Redis may hold records twice or out of order.
const DOUBTFUL: u8 = 2;
/// A point of this metric came since its last census.
const SEEN: u8 = 4;
/// As [`DOUBTFUL`], once what is under way is in Redis.
const DOUBT_UNDER_WAY: u8 = 8;
/// Redis has appended to its series since this was last asked.
const APPENDED: u8 = 16;
/// It was decided what becomes of points that come under this name.
const DECIDED: u8 = 32;
/// Rules of the operator fitted then: see [`Metrics::divert`].
const DIVERTED: u8 = 64;

/// What a shard can say of a metric's series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tidings {
    /// Whether points of it went through this shard since this was last asked: only
    /// then would it have heard of other writers.
    pub is_fed: bool,
    /// Whether the series may hold records twice or out of order, or was changed by
    /// another writer, since this was last asked.
    pub is_doubtful: bool,
}

/// Of a metric's series somebody in this process has taken bytes away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The metric's name.
    pub name: Box<[u8]>,
    /// How many bytes the series is shorter; `None`: it is no more, nor is the member.
    pub bytes: Option<u32>,
}

/// Names of metrics that were made known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MembersPage {
    /// The names.
    pub names: Vec<Box<[u8]>>,
    /// Where the next page begins, if there is more.
    pub next: Option<MetricId>,
}

impl BitOrAssign for Tidings {
    fn bitor_assign(&mut self, other: Self) {
        self.is_fed |= other.is_fed;
        self.is_doubtful |= other.is_doubtful;
    }
}

/// A part of what a shard knows of its metrics, for the keys beside the data.
#[derive(Clone, Debug, Default)]
pub struct CensusPage {
    /// Names, all UTF-8, one after the other.
    pub names: Vec<u8>,
    /// What is known of each.
    pub rows: Vec<CensusRow>,
    /// Where the next page begins, if there is more.
    pub next: Option<MetricId>,
    /// Whether the shard has points that wait for Redis.
    pub is_behind: bool,
}

/// One metric of a [`CensusPage`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CensusRow {
    /// Length of its name.
    pub name_bytes: u16,
    /// Whether a point of it came since its last census.
    pub is_seen: bool,
    /// Why its points are not stored, if they are not: it is skipped, or another
    /// node owns it.
    pub verdict: Option<DropReason>,
}

impl Entry {
    /// Whether the metric should be made known again: never confirmed, or last
    /// confirmed more than `period_s` ago, and up to as much again by its name.
    pub fn is_unconfirmed(&self, now_s: u32, period_s: u32) -> bool {
        let due_s = period_s + (self.hash >> 8) % period_s;
        self.confirmed_s == 0 || now_s.saturating_sub(self.confirmed_s) > due_s
    }

    /// Notes that the metric is on its way to be made known; false if it was
    /// already.
    pub fn begin_sadd(&mut self) -> bool {
        let begun = self.marks & SADD_UNDER_WAY == 0;
        self.marks |= SADD_UNDER_WAY;
        begun
    }

    /// Notes that the SADD with this metric was answered.
    pub fn end_sadd(&mut self) {
        self.marks &= !SADD_UNDER_WAY;
    }

    /// Whether a SADD with this metric waits for its turn or its answer.
    pub fn is_sadd_under_way(&self) -> bool {
        self.marks & SADD_UNDER_WAY != 0
    }

    /// Notes that a command of it is sent again, so that its series may come to hold
    /// records twice.
    pub fn expect_doubt(&mut self) {
        self.marks |= DOUBT_UNDER_WAY;
    }

    /// Notes the timestamp of a point that will be appended.
    pub fn note_time(&mut self, timestamp: Number) {
        let seconds = timestamp.whole().clamp(0, u32::MAX.into()) as u32;
        if seconds <= self.newest_s {
            self.marks |= DOUBT_UNDER_WAY;
        } else {
            self.newest_s = seconds;
        }
    }

    /// Notes that Redis has appended `bytes` from the batch `seq`, and that the
    /// series is now `length` long. If it has another length than these bytes alone
    /// would give it, somebody else has appended too, or cut it, or both.
    pub fn note_length(&mut self, bytes: u32, length: i64, seq: u64) {
        let expected = i64::from(self.series_bytes) + i64::from(bytes);
        self.marks |= APPENDED;
        if length != expected || self.marks & DOUBT_UNDER_WAY != 0 {
            self.marks |= DOUBTFUL;
        }
        if self.batch == seq {
            self.marks &= !DOUBT_UNDER_WAY;
        }
        self.series_bytes = u32::try_from(length).unwrap_or(u32::MAX);
    }

    /// Notes that the series has become shorter by so many bytes, or is no more. If an
    /// answer has come that nobody expected, it may have told just that: then the length
    /// stays.
    fn note_cut(&mut self, bytes: Option<u32>) {
        if bytes.is_none() {
            self.confirmed_s = 0;
        }
        if self.marks & DOUBTFUL == 0 {
            let left = bytes.map(|bytes| self.series_bytes.saturating_sub(bytes));
            self.series_bytes = left.unwrap_or(0);
        }
    }
}

const _: () = assert!(
    size_of::<Entry>() == 40,
    "entries are the larger part of the table"
);

/// What the operator's rules make of points that come under a name.
#[derive(Clone, Copy, Debug, Default)]
pub struct Diversion {
    /// The entry of the name that they are stored under; `None`: they are dropped.
    pub to: Option<MetricId>,
    /// The last rule that fitted, by its place.
    pub rule: u16,
}

/// Names lie in chunks, so that a growing table copies none of them.
const CHUNK_BYTES: usize = 1 << 20;
/// Names begin at multiples of this, so that 32 bits reach all of them.
const ALIGN: usize = 8;
/// Smallest number of slots; always a power of two.
const SLOTS_MIN: usize = 1 << 10;
/// Points that are looked up together, so that their cache misses overlap.
pub const GROUP: usize = 32;

/// The metrics that a shard knows, by name.
#[derive(Debug)]
pub struct Metrics {
    /// Open addressing: the upper half is the name's hash, the lower half its
    /// entry's number plus one, all zero is empty. At most three quarters full.
    slots: Vec<u64>,
    entries: Vec<Entry>,
    /// By the number of an entry that is [`DIVERTED`]; no longer than need be.
    diversions: Vec<Diversion>,
    chunks: Vec<Box<[u8]>>,
    chunk_used: usize,
    entries_max: usize,
    hasher: RandomState,
}

/// Where the look-up of one name stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct Probe {
    hash: u32,
    slot: u64,
    name_at: u32,
    name_bytes: u16,
}

impl Metrics {
    /// An empty table for at most `entries_max` metrics.
    pub fn new(entries_max: usize) -> Self {
        Self {
            slots: vec![0; SLOTS_MIN],
            entries: Vec::new(),
            diversions: Vec::new(),
            chunks: Vec::new(),
            chunk_used: CHUNK_BYTES,
            entries_max: entries_max.min(u32::MAX as usize - 1),
            hasher: RandomState::default(),
        }
    }

    /// How many metrics have an entry.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no metric has an entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Memory that the table takes, in bytes.
    pub fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<u64>()
            + self.entries.capacity() * size_of::<Entry>()
            + self.diversions.capacity() * size_of::<Diversion>()
            + self.chunks.len() * CHUNK_BYTES
    }

    /// Begins the look-up of a group of names, and finds for each the place of
    /// its likely entry. Each pass is short and its loads are independent, so
    /// that the processor waits for the memory of all names at once.
    pub fn probe<'n>(&self, names: impl Iterator<Item = &'n [u8]>, probes: &mut [Probe; GROUP]) {
        let mask = self.slots.len() - 1;
        let mut count = 0;
        for (probe, name) in probes.iter_mut().zip(names) {
            probe.hash = self.hash(name);
            count += 1;
        }
        for probe in &mut probes[..count] {
            probe.slot = self.slots[probe.hash as usize & mask];
        }
        for probe in &mut probes[..count] {
            let id = (probe.slot as u32).wrapping_sub(1);
            if let Some(entry) = self.entries.get(id as usize) {
                probe.name_at = entry.name_at;
                probe.name_bytes = entry.name_bytes;
            } else {
                probe.name_bytes = 0;
            }
        }
    }

    /// Ends the look-up: the metric of this name, if it has an entry.
    pub fn find(&self, name: &[u8], probe: &Probe) -> Option<MetricId> {
        let likely = (probe.slot >> 32) as u32 == probe.hash && probe.slot != 0;
        if likely && self.name_at(probe.name_at, probe.name_bytes) == name {
            return Some((probe.slot as u32) - 1);
        }
        self.search(name, probe.hash)
    }

    /// What was decided of points that come under this name: the metric they are stored
    /// as, or why they are not. `None` if it was not decided under these rules. A point
    /// is counted for the rule that fitted last, if any did.
    pub fn way(
        &mut self,
        id: MetricId,
        rules: &Rules,
        counts: &mut [RuleCounts],
    ) -> Option<Result<MetricId, DropReason>> {
        let entry = &mut self.entries[id as usize];
        let is_current = entry.rules_version == rules.version();
        if !is_current || entry.marks & (DECIDED | DIVERTED) != DECIDED {
            let is_diverted = is_current && entry.marks & DIVERTED != 0;
            return is_diverted.then(|| self.diverted(id, rules, counts));
        }
        entry.marks |= SEEN;
        Some(entry.verdict.map_or(Ok(id), Err))
    }

    #[inline(never)]
    fn diverted(
        &mut self,
        id: MetricId,
        rules: &Rules,
        counts: &mut [RuleCounts],
    ) -> Result<MetricId, DropReason> {
        let Diversion { to, rule } = self.diversions[id as usize];
        if let Some(counts) = counts.get_mut(usize::from(rule)) {
            counts.points += 1;
        }
        let to = to.ok_or(DropReason::Rule)?;
        self.verdict(to, rules).map_or(Ok(to), Err)
    }

    /// Whether points are stored under this name, judged anew if the rules have changed
    /// since. `None`: they are.
    pub fn verdict(&mut self, id: MetricId, rules: &Rules) -> Option<DropReason> {
        self.refresh(id, rules);
        let entry = &mut self.entries[id as usize];
        entry.marks |= SEEN;
        entry.verdict
    }

    fn refresh(&mut self, id: MetricId, rules: &Rules) {
        if self.entries[id as usize].rules_version == rules.version() {
            return;
        }
        let verdict = rules.judge(self.name(id)).err();
        let entry = &mut self.entries[id as usize];
        entry.rules_version = rules.version();
        entry.verdict = verdict;
        entry.marks &= !(DECIDED | DIVERTED);
    }

    /// Remembers that no rule of the operator fits this name; returns its verdict.
    pub fn decide(&mut self, id: MetricId, rules: &Rules) -> Option<DropReason> {
        let verdict = self.verdict(id, rules);
        self.entries[id as usize].marks |= DECIDED;
        verdict
    }

    /// Remembers what rules of the operator make of points that come under this name.
    pub fn divert(&mut self, id: MetricId, rules: &Rules, diversion: Diversion) {
        self.refresh(id, rules);
        self.entries[id as usize].marks |= DECIDED | DIVERTED;
        let rows = self.diversions.len().max(id as usize + 1);
        self.diversions.resize(rows, Diversion::default());
        self.diversions[id as usize] = diversion;
    }

    /// The metric of this name, outside of any group, if it has an entry.
    pub fn look_up(&self, name: &[u8]) -> Option<MetricId> {
        self.search(name, self.hash(name))
    }

    /// Gives a metric that has no entry one, if there is room, with the verdict
    /// that was found under `rules`, none of which fits its name.
    pub fn insert(
        &mut self,
        name: &[u8],
        probe: &Probe,
        rules: &Rules,
        verdict: Option<DropReason>,
    ) -> Option<MetricId> {
        let id = self.push(name, probe.hash, rules.version(), verdict)?;
        self.entries[id as usize].marks = SEEN | DECIDED;
        Some(id)
    }

    /// Gives a name that has no entry one, if there is room, of which nothing is
    /// decided yet.
    pub fn insert_undecided(&mut self, name: &[u8]) -> Option<MetricId> {
        self.push(name, self.hash(name), NEVER, None)
    }

    fn push(
        &mut self,
        name: &[u8],
        hash: u32,
        rules_version: u32,
        verdict: Option<DropReason>,
    ) -> Option<MetricId> {
        let name_bytes = u16::try_from(name.len()).ok()?;
        if self.entries.len() >= self.entries_max {
            return None;
        }
        if (self.entries.len() + 1) * 4 > self.slots.len() * 3 {
            self.grow();
        }
        let name_at = self.keep_name(name)?;
        let id = self.entries.len() as MetricId;
        self.entries.push(Entry {
            batch: 0,
            item: 0,
            confirmed_s: 0,
            series_bytes: 0,
            newest_s: 0,
            hash,
            name_at,
            rules_version,
            name_bytes,
            verdict,
            marks: 0,
        });
        self.occupy(hash, id);
        Some(id)
    }

    /// What can be said of a metric's series; what is doubtful is told once.
    pub fn inquire(&mut self, name: &[u8]) -> Tidings {
        let Some(id) = self.search(name, self.hash(name)) else {
            return Tidings::default();
        };
        let entry = &mut self.entries[id as usize];
        let tidings = Tidings {
            is_fed: entry.marks & APPENDED != 0,
            is_doubtful: entry.marks & DOUBTFUL != 0,
        };
        entry.marks &= !(APPENDED | DOUBTFUL);
        tidings
    }

    /// The names of those that were made known, of at most `entries_max` entries from
    /// the one numbered `from` on. A sweep in between may hide entries.
    pub fn members(&self, from: MetricId, entries_max: usize) -> MembersPage {
        let from = (from as usize).min(self.entries.len());
        let to = from.saturating_add(entries_max).min(self.entries.len());
        let known = self.entries[from..to]
            .iter()
            .filter(|entry| entry.confirmed_s != 0);
        MembersPage {
            names: known
                .map(|entry| self.name_at(entry.name_at, entry.name_bytes).into())
                .collect(),
            next: (to < self.entries.len()).then_some(to as MetricId),
        }
    }

    /// Notes that a series has become shorter: the next answer of Redis will say so,
    /// and no other writer is to be suspected for that.
    pub fn note_cut(&mut self, cut: &Cut) {
        if let Some(id) = self.search(&cut.name, self.hash(&cut.name)) {
            self.entries[id as usize].note_cut(cut.bytes);
        }
    }

    /// At most `entries_max` entries from the one numbered `from` on, and forgets
    /// that they were seen. A sweep in between may hide entries from one census.
    pub fn census(&mut self, from: MetricId, entries_max: usize) -> CensusPage {
        let from = (from as usize).min(self.entries.len());
        let to = from.saturating_add(entries_max).min(self.entries.len());
        let mut page = CensusPage::default();
        for id in from..to {
            let entry = &mut self.entries[id];
            let is_seen = entry.marks & SEEN != 0;
            entry.marks &= !SEEN;
            page.rows.push(CensusRow {
                name_bytes: entry.name_bytes,
                is_seen,
                verdict: entry.verdict,
            });
            let (at, bytes) = (entry.name_at, entry.name_bytes);
            page.names.extend_from_slice(self.name_at(at, bytes));
        }
        page.next = (to < self.entries.len()).then_some(to as MetricId);
        page
    }

    /// What is known of a metric.
    pub fn entry(&mut self, id: MetricId) -> &mut Entry {
        &mut self.entries[id as usize]
    }

    /// A metric's name.
    pub fn name(&self, id: MetricId) -> &[u8] {
        let entry = &self.entries[id as usize];
        self.name_at(entry.name_at, entry.name_bytes)
    }

    /// Whether no more entries can be made.
    pub fn is_full(&self) -> bool {
        self.entries.len() >= self.entries_max
    }

    /// Forgets every metric for which `keep` is false. Entries get new numbers:
    /// returns them by the old ones, `None` for a metric that was forgotten.
    pub fn sweep(&mut self, keep: impl Fn(&Entry) -> bool) -> Vec<Option<MetricId>> {
        let mut swept = Self::new(self.entries_max);
        swept.hasher = self.hasher.clone();
        let mut moved = vec![None; self.entries.len()];
        for (entry, moved) in self.entries.iter().zip(&mut moved) {
            if !keep(entry) {
                continue;
            }
            if (swept.entries.len() + 1) * 4 > swept.slots.len() * 3 {
                swept.grow();
            }
            let name = self.name_at(entry.name_at, entry.name_bytes);
            let Some(name_at) = swept.keep_name(name) else {
                continue;
            };
            let id = swept.entries.len() as MetricId;
            swept.entries.push(Entry { name_at, ..*entry });
            swept.occupy(entry.hash, id);
            *moved = Some(id);
        }
        self.divert_swept(&mut swept, &moved);
        *self = swept;
        moved
    }

    /// Has the entries that a sweep has left divert to where they did. One whose points
    /// went to an entry that is forgotten is decided anew.
    fn divert_swept(&self, swept: &mut Self, moved: &[Option<MetricId>]) {
        for (id, diversion) in self.diversions.iter().enumerate() {
            let Some(new) = moved[id].filter(|_| self.entries[id].marks & DIVERTED != 0) else {
                continue;
            };
            let to = diversion.to.map(|to| moved[to as usize]);
            if to == Some(None) {
                swept.entries[new as usize].marks &= !(DECIDED | DIVERTED);
                continue;
            }
            let rows = swept.diversions.len().max(new as usize + 1);
            swept.diversions.resize(rows, Diversion::default());
            swept.diversions[new as usize] = Diversion {
                to: to.flatten(),
                ..*diversion
            };
        }
    }

    fn hash(&self, name: &[u8]) -> u32 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(name);
        hasher.finish() as u32
    }

    fn search(&self, name: &[u8], hash: u32) -> Option<MetricId> {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                return None;
            }
            let id = slot as u32 - 1;
            if (slot >> 32) as u32 == hash && self.name(id) == name {
                return Some(id);
            }
            at = (at + 1) & mask;
        }
    }

    fn occupy(&mut self, hash: u32, id: MetricId) {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while self.slots[at] != 0 {
            at = (at + 1) & mask;
        }
        self.slots[at] = u64::from(hash) << 32 | u64::from(id + 1);
    }

    fn grow(&mut self) {
        let slots = vec![0; self.slots.len() * 2];
        for slot in std::mem::replace(&mut self.slots, slots) {
            if slot != 0 {
                self.occupy((slot >> 32) as u32, slot as u32 - 1);
            }
        }
    }

    fn keep_name(&mut self, name: &[u8]) -> Option<u32> {
        if self.chunk_used + name.len() > CHUNK_BYTES {
            self.chunks.push(vec![0; CHUNK_BYTES].into_boxed_slice());
            self.chunk_used = 0;
        }
        let chunk = self.chunks.len() - 1;
        let name_at = u32::try_from((chunk * CHUNK_BYTES + self.chunk_used) / ALIGN).ok()?;
        self.chunks[chunk][self.chunk_used..self.chunk_used + name.len()].copy_from_slice(name);
        self.chunk_used += name.len().next_multiple_of(ALIGN);
        Some(name_at)
    }

    fn name_at(&self, name_at: u32, name_bytes: u16) -> &[u8] {
        let at = name_at as usize * ALIGN;
        let within = at % CHUNK_BYTES;
        &self.chunks[at / CHUNK_BYTES][within..within + usize::from(name_bytes)]
    }
}

/// Worst-case memory of one shard's table, in bytes: the entries and slots of
/// `entries_max` metrics while the table grows, and their names at 64 bytes each.
pub fn table_bytes_max(entries_max: usize) -> u64 {
    let slots = (entries_max * 4 / 3 + 1).next_power_of_two().max(SLOTS_MIN);
    let entries = entries_max * 3 * size_of::<Entry>();
    (slots * size_of::<u64>() * 3 / 2 + entries + entries_max * 64) as u64
}

/// Worst-case memory of what the operator's rules make of the metrics of one shard's
/// table, while it grows, in bytes.
pub fn diversions_bytes_max(entries_max: usize) -> u64 {
    (entries_max * 3 * size_of::<Diversion>()) as u64
}

/// The names of points, for [`Metrics::probe`].
pub fn names<'p, 'a: 'p>(points: &'p [Point<'a>]) -> impl Iterator<Item = &'a [u8]> + 'p {
    points.iter().map(|point| point.name)
}

#[cfg(test)]
mod tests;
