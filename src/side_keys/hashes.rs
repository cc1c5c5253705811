//! The two hashes in which Skyline keeps which metrics are skipped, shared with
//! Python programs and operators, who edit them:
//!
//! ```text
//! horizon.skip_metrics, horizon.do_not_skip_metrics    name -> unix seconds
//! skyring.skip_lists    skip, do_not_skip -> the lists they were written under, JSON
//! ```
//!
//! For each metric do_not_skip_metrics wins, then skip_metrics, then the lists of
//! the settings. A metric whose place in the hashes contradicts the lists is an
//! edit, which is honoured and never written over. What we ourselves wrote under
//! lists that have changed since contradicts the new ones too, but is none: hence
//! the third key. Such fields are removed before anything is written under the new
//! lists, and come back when their metrics do.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use redis::{RedisError, RedisResult};

use super::ledger::Class;
use crate::background::{Link, Stop};
use crate::logging::Throttle;
use crate::rules::{SkipEdits, SkipLists};
use crate::settings::RedisUrl;

const SKIP: &str = "horizon.skip_metrics";
const DO_NOT_SKIP: &str = "horizon.do_not_skip_metrics";
/// What a field of each hash says of its metric.
const HASHES: [(Class, &str); 2] = [(Class::Skipped, SKIP), (Class::Kept, DO_NOT_SKIP)];
const LISTS: &str = "skyring.skip_lists";

/// Most fields or members of one command.
pub(super) const MEMBERS_MAX: usize = 500;
/// Most edits that are honoured: the rest is told.
const EDITS_MAX: usize = 1_000_000;
/// A hash with no more fields than this is read whole in every pass.
const SMALL: u64 = 10_000;
/// A larger one is read whole when its length is not what we left. Who removes one
/// field and adds another leaves the length: hence all of it is read in this many
/// passes in any case.
const ROUND_PASSES: u64 = 10;
/// Rest between two pages of a hash or set, so that Redis gets to other work.
pub(super) const PAGE_REST: Duration = Duration::from_millis(1);

/// How often a Redis that is away is tried for the first reading.
pub(super) const RETRY: Duration = Duration::from_millis(50);

static TOO_MANY: Throttle = Throttle::new(Duration::from_secs(3600));
static NO_LISTS: Throttle = Throttle::new(Duration::from_secs(3600));

/// A metric and how the data plane treats it.
pub(super) struct Treated<'a> {
    pub name: &'a [u8],
    pub class: Class,
}

/// What was found when the hashes were looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The edits are known.
    Known,
    /// They are, and nothing is left of what we wrote.
    Emptied,
    /// The word to end came in between.
    Stopped,
}

/// See the module.
#[derive(Default)]
pub(crate) struct SkipHashes {
    edits: SkipEdits,
    is_edited: bool,
    /// The lists that the hashes agree with; `None` before they were first read.
    under: Option<Texts>,
    /// How many fields we left in each of [`HASHES`].
    lengths: [u64; 2],
    readings: [Reading; 2],
    scans: u64,
}

/// How far the reading of a hash has come, which may take several passes.
#[derive(Default)]
struct Reading {
    /// Where Redis goes on; 0 at the beginning.
    cursor: u64,
    /// The edits found since the beginning.
    edited: HashSet<Box<[u8]>>,
    too_many: u64,
    /// Whether its end was reached since the hashes were last both read.
    is_over: bool,
}

/// Under what hashes are read.
struct Terms<'a> {
    lists: &'a SkipLists,
    /// The lists before, if they were others.
    former: Option<&'a SkipLists>,
    /// The word to end, which may come in the rests between two pages; without it
    /// there are no rests.
    stop: Option<&'a Stop>,
}

impl SkipHashes {
    /// Reads the hashes without rests. If Redis is away, or still loading, it is
    /// tried again for `timeout`; in the end they may not have been read.
    pub fn load(url: RedisUrl, lists: &SkipLists, timeout: Duration) -> Self {
        let deadline = Instant::now() + timeout;
        let mut link = Link::new(url);
        loop {
            let mut hashes = Self::default();
            let error = match hashes.refresh(&mut link, lists, None) {
                Ok(_) => return hashes,
                Err(error) => error,
            };
            if !is_away(&error) || Instant::now() >= deadline {
                tracing::warn!(
                    "the skip hashes in Redis could not be read yet; until then the skip lists \
                     alone hold: {error}"
                );
                return Self::default();
            }
            std::thread::sleep(RETRY);
        }
    }

    /// Whether they were ever read.
    pub fn is_read(&self) -> bool {
        self.under.is_some()
    }

    /// Reads what others have edited: all of it if it looks as if they had, or if
    /// it is little, else a part.
    pub(super) fn refresh(
        &mut self,
        link: &mut Link,
        lists: &SkipLists,
        stop: Option<&Stop>,
    ) -> RedisResult<Found> {
        let mut question = redis::pipe();
        question.cmd("HLEN").arg(SKIP).cmd("HLEN").arg(DO_NOT_SKIP);
        let mut lengths: [u64; 2] = link.run(&question)?;
        let texts = Texts::of(lists);
        let is_whole = self.under.as_ref() != Some(&texts) || lengths != self.lengths;
        let is_emptied = lengths == [0, 0] && lengths != self.lengths;
        let former = match self.under.clone() {
            Some(former) => Some(former),
            None => read_lists(link)?,
        };
        let former = former.filter(|former| *former != texts).map(Texts::compile);
        if is_whole {
            self.readings = Default::default();
        }
        let terms = Terms {
            lists,
            former: former.as_ref(),
            stop,
        };
        for (index, length) in lengths.iter_mut().enumerate() {
            let fields_max = match *length {
                _ if is_whole => u64::MAX,
                length if length <= SMALL => u64::MAX,
                length => SMALL.max(length.div_ceil(ROUND_PASSES)),
            };
            let Some(removed) = self.read_on(link, index, &terms, fields_max)? else {
                return Ok(Found::Stopped);
            };
            *length = length.saturating_sub(removed);
        }
        self.lengths = lengths;
        if is_whole {
            write_lists(link, &texts)?;
            self.under = Some(texts);
        }
        if self.readings.iter().all(|reading| reading.is_over) {
            self.scans += 1;
            for reading in &mut self.readings {
                reading.is_over = false;
            }
        }
        Ok(if is_emptied {
            Found::Emptied
        } else {
            Found::Known
        })
    }

    /// Writes these metrics, of which none is [`Class::NotMine`], where they belong.
    /// A metric on which the hashes say otherwise is left as it is, and what they
    /// say is honoured from now on. Says of each metric whether it was written.
    pub(super) fn record(
        &mut self,
        link: &mut Link,
        lists: &SkipLists,
        metrics: &[Treated<'_>],
        now_s: u64,
    ) -> RedisResult<Vec<bool>> {
        let mut written = Vec::with_capacity(metrics.len());
        for metrics in metrics.chunks(MEMBERS_MAX) {
            let names = || metrics.iter().map(|metric| metric.name).collect::<Vec<_>>();
            let mut question = redis::pipe();
            for key in [SKIP, DO_NOT_SKIP] {
                question.cmd("HMGET").arg(key).arg(names());
            }
            let [skipped, kept]: [Vec<Option<Vec<u8>>>; 2] = link.run(&question)?;
            let treated = metrics.iter().zip(skipped).zip(kept);
            let is_agreed = treated.map(|((metric, skipped), kept)| {
                let hashed = hashed(kept.is_some(), skipped.is_some());
                self.observe(metric.name, hashed, lists) == metric.class
            });
            let is_agreed: Vec<bool> = is_agreed.collect();
            for (index, (class, key)) in HASHES.into_iter().enumerate() {
                let agreed = metrics.iter().zip(&is_agreed);
                let fields: Vec<(&[u8], u64)> = agreed
                    .filter(|(metric, is_agreed)| **is_agreed && metric.class == class)
                    .map(|(metric, _)| (metric.name, now_s))
                    .collect();
                if !fields.is_empty() {
                    let added: u64 = link.query(redis::cmd("HSET").arg(key).arg(fields))?;
                    self.lengths[index] += added;
                }
            }
            written.extend(is_agreed);
        }
        Ok(written)
    }

    /// The edits, if they are others than when they were last taken.
    pub fn take_edits(&mut self) -> Option<SkipEdits> {
        if !std::mem::take(&mut self.is_edited) {
            return None;
        }
        tracing::info!(
            skipped = self.edits.skipped.len(),
            kept = self.edits.kept.len(),
            "the skip hashes in Redis overrule the skip lists on these many metrics"
        );
        Some(self.edits.clone())
    }

    /// How many edits are honoured.
    pub fn edits(&self) -> usize {
        self.edits.kept.len() + self.edits.skipped.len()
    }

    /// How often the hashes were read as a whole.
    pub fn scans(&self) -> u64 {
        self.scans
    }

    /// What a metric's place in the hashes and the lists together say of it. If they
    /// contradict each other, that is noted as an edit, and if not, no longer.
    fn observe(&mut self, name: &[u8], hashed: Option<Class>, lists: &SkipLists) -> Class {
        let listed = listed(lists, name);
        let edit = hashed.filter(|hashed| *hashed != listed);
        for (index, (class, _)) in HASHES.into_iter().enumerate() {
            if edit == Some(class) {
                self.enter(index, name.into());
            } else {
                self.strike(index, name);
            }
        }
        hashed.unwrap_or(listed)
    }

    /// Reads on in one of [`HASHES`] from where that was left, until its end is
    /// reached or about so many fields were seen. Fields that agree with the former
    /// lists and contradict the present ones are removed. Says how many those were;
    /// `None` if the word to end came.
    fn read_on(
        &mut self,
        link: &mut Link,
        index: usize,
        terms: &Terms<'_>,
        fields_max: u64,
    ) -> RedisResult<Option<u64>> {
        let (class, key) = HASHES[index];
        if fields_max < u64::MAX {
            self.look_for_edits(link, index)?;
        }
        let (mut seen, mut removed) = (0_u64, 0_u64);
        loop {
            let mut page = redis::cmd("HSCAN");
            let cursor = self.readings[index].cursor;
            page.arg(key).arg(cursor).arg("COUNT").arg(MEMBERS_MAX);
            let (cursor, fields): (u64, Vec<Vec<u8>>) = link.query(&page)?;
            seen += fields.len() as u64 / 2;
            let names = fields.into_iter().step_by(2);
            let (stale, edited): (Vec<_>, Vec<_>) = names
                .filter(|name| listed(terms.lists, name) != class)
                .partition(|name| {
                    terms
                        .former
                        .is_some_and(|lists| listed(lists, name) == class)
                });
            removed += remove(link, key, &stale)?;
            let edited = match class {
                Class::Skipped => not_in(link, DO_NOT_SKIP, edited)?,
                _ => edited,
            };
            self.readings[index].cursor = cursor;
            for name in edited {
                self.find(index, name.into());
            }
            if cursor == 0 {
                self.end_reading(index);
                return Ok(Some(removed));
            }
            if seen >= fields_max {
                return Ok(Some(removed));
            }
            if terms.stop.is_some_and(|stop| stop.wait(PAGE_REST)) {
                return Ok(None);
            }
        }
    }

    /// Strikes edits that were taken back in a hash that is read in parts, if they
    /// are not too many to look for.
    fn look_for_edits(&mut self, link: &mut Link, index: usize) -> RedisResult<()> {
        let edits = edits_of(&mut self.edits, index);
        if edits.len() as u64 > SMALL {
            return Ok(());
        }
        let names = edits.iter().map(|name| name.to_vec()).collect();
        for name in not_in(link, HASHES[index].1, names)? {
            self.strike(index, &name);
        }
        Ok(())
    }

    /// Takes note of an edit that the reading of a hash has found.
    fn find(&mut self, index: usize, name: Box<[u8]>) {
        let others = edits_of(&mut self.edits, 1 - index).len();
        let reading = &mut self.readings[index];
        if others + reading.edited.len() >= EDITS_MAX {
            reading.too_many += 1;
            return;
        }
        reading.edited.insert(name.clone());
        self.enter(index, name);
    }

    /// Honours an edit, if there is room for it.
    fn enter(&mut self, index: usize, name: Box<[u8]>) {
        let is_full = self.edits() >= EDITS_MAX;
        let edits = edits_of(&mut self.edits, index);
        if is_full || edits.contains(&name) {
            return;
        }
        let reading = &mut self.readings[index];
        if reading.cursor != 0 {
            reading.edited.insert(name.clone());
        }
        edits.insert(name);
        self.is_edited = true;
    }

    /// Honours an edit no longer.
    fn strike(&mut self, index: usize, name: &[u8]) {
        self.readings[index].edited.remove(name);
        self.is_edited |= edits_of(&mut self.edits, index).remove(name);
    }

    /// The edits are those that were found since the beginning of a hash.
    fn end_reading(&mut self, index: usize) {
        let reading = std::mem::take(&mut self.readings[index]);
        self.readings[index].is_over = true;
        let edits = edits_of(&mut self.edits, index);
        if *edits != reading.edited {
            *edits = reading.edited;
            self.is_edited = true;
        }
        if reading.too_many > 0
            && let Some(suppressed) = TOO_MANY.admit()
        {
            tracing::warn!(
                suppressed,
                "{} names in {} contradict horizon.skip beyond the {EDITS_MAX} that are honoured; \
                 mend horizon.skip, or remove them there",
                reading.too_many,
                HASHES[index].1,
            );
        }
    }
}

/// Whether trying again soon may mend an error: Redis is away, or still loading.
pub(super) fn is_away(error: &RedisError) -> bool {
    error.code().is_none_or(|code| code == "LOADING")
}

/// The edits that stand in one of [`HASHES`].
fn edits_of(edits: &mut SkipEdits, index: usize) -> &mut HashSet<Box<[u8]>> {
    match HASHES[index].0 {
        Class::Skipped => &mut edits.skipped,
        _ => &mut edits.kept,
    }
}

/// The skip lists as they stand in the settings and in Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Texts {
    skip: Vec<String>,
    do_not_skip: Vec<String>,
}

impl Texts {
    fn of(lists: &SkipLists) -> Self {
        Self {
            skip: lists.skip().to_vec(),
            do_not_skip: lists.do_not_skip().to_vec(),
        }
    }

    fn compile(self) -> SkipLists {
        SkipLists::new(&self.skip, &self.do_not_skip)
    }
}

fn read_lists(link: &mut Link) -> RedisResult<Option<Texts>> {
    let mut question = redis::cmd("HMGET");
    question.arg(LISTS).arg(&["skip", "do_not_skip"]);
    let texts: [Option<Vec<u8>>; 2] = link.query(&question)?;
    let [Some(skip), Some(do_not_skip)] = &texts else {
        return Ok(None);
    };
    let lists = (
        serde_json::from_slice(skip),
        serde_json::from_slice(do_not_skip),
    );
    if let (Ok(skip), Ok(do_not_skip)) = lists {
        return Ok(Some(Texts { skip, do_not_skip }));
    }
    if let Some(suppressed) = NO_LISTS.admit() {
        tracing::warn!(
            suppressed,
            "{LISTS} in Redis holds no lists: whatever contradicts horizon.skip in {SKIP} and \
             {DO_NOT_SKIP} counts as edited by hand"
        );
    }
    Ok(None)
}

fn write_lists(link: &mut Link, texts: &Texts) -> RedisResult<()> {
    let json = |list: &[String]| serde_json::json!(list).to_string();
    let mut write = redis::cmd("HSET");
    write.arg(LISTS).arg("skip").arg(json(&texts.skip));
    write.arg("do_not_skip").arg(json(&texts.do_not_skip));
    link.query(&write)
}

fn remove(link: &mut Link, key: &str, names: &[Vec<u8>]) -> RedisResult<u64> {
    let mut removed = 0;
    for names in names.chunks(MEMBERS_MAX) {
        removed += link.query::<u64>(redis::cmd("HDEL").arg(key).arg(names))?;
    }
    Ok(removed)
}

/// Those of the names that are no fields of a hash.
fn not_in(link: &mut Link, key: &str, names: Vec<Vec<u8>>) -> RedisResult<Vec<Vec<u8>>> {
    let mut left = Vec::new();
    for names in names.chunks(MEMBERS_MAX) {
        let values: Vec<Option<Vec<u8>>> = link.query(redis::cmd("HMGET").arg(key).arg(names))?;
        let pairs = names.iter().zip(values);
        left.extend(pairs.filter_map(|(name, value)| value.is_none().then(|| name.clone())));
    }
    Ok(left)
}

fn listed(lists: &SkipLists, name: &[u8]) -> Class {
    if lists.skips(name) {
        Class::Skipped
    } else {
        Class::Kept
    }
}

fn hashed(is_kept: bool, is_skipped: bool) -> Option<Class> {
    match (is_kept, is_skipped) {
        (true, _) => Some(Class::Kept),
        (false, true) => Some(Class::Skipped),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests;
