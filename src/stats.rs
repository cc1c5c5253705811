//! What a shard counts, and how the counts of all shards become one.
//!
//! A shard counts alone and publishes by answering with a copy of everything,
//! taken between two of its turns. So in every copy, for each listener,
//! `received = stored + the sum of dropped + in_flight`.

use std::ops::AddAssign;
use std::sync::Arc;

use hdrhistogram::Histogram;

use crate::point::InvalidCounts;
use crate::rules::rule::Rule;

/// Longest latency that is told apart, in microseconds: one hour.
const LATENCY_US_MAX: u64 = 3_600_000_000;

/// Where points come in.
///
/// A new listener is a decoder in [`crate::wire`], a row here, a setting that
/// [`crate::Settings::listeners`] reads, and an arm where its bytes are decoded:
/// [`crate::connection`] for a stream, [`crate::datagrams`] for datagrams. Binding,
/// counting, bounds, reload and the drain then come with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Source {
    /// Length-prefixed pickles over TCP.
    Pickle,
    /// The same, from the relays of a cluster's other nodes.
    ShardPickle,
    /// One msgpack point in each UDP datagram.
    Msgpack,
    /// Graphite's lines over TCP.
    LineTcp,
    /// Graphite's lines in UDP datagrams.
    LineUdp,
    /// Points handed over inside the process.
    Direct,
}

impl Source {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 6] = [
        Self::Pickle,
        Self::ShardPickle,
        Self::Msgpack,
        Self::LineTcp,
        Self::LineUdp,
        Self::Direct,
    ];

    /// The name in counters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pickle => "pickle",
            Self::ShardPickle => "shard_pickle",
            Self::Msgpack => "msgpack",
            Self::LineTcp => "line_tcp",
            Self::LineUdp => "line_udp",
            Self::Direct => "direct",
        }
    }

    /// The setting that holds its addresses; empty if it has none.
    pub fn key(self) -> &'static str {
        match self {
            Self::Pickle => "horizon.pickle",
            Self::ShardPickle => "cluster.shard_pickle",
            Self::Msgpack => "horizon.msgpack",
            Self::LineTcp => "horizon.line_tcp",
            Self::LineUdp => "horizon.line_udp",
            Self::Direct => "",
        }
    }

    /// Whether it comes in datagrams.
    pub fn is_udp(self) -> bool {
        matches!(self, Self::Msgpack | Self::LineUdp)
    }

    /// The source of this number; numbers come from [`Source`] itself.
    pub(crate) fn from_number(number: u8) -> Self {
        Self::ALL
            .get(usize::from(number))
            .copied()
            .unwrap_or(Self::Direct)
    }
}

/// Why a point was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum DropReason {
    /// Older than `horizon.max_resolution_s`.
    TooOld,
    /// Another node of the cluster owns the metric.
    NotMine,
    /// A rule of the operator says so.
    Rule,
    /// The skip lists say so.
    Skipped,
    /// The name is empty, not UTF-8, or has control characters.
    NameInvalid,
    /// The name is longer than `horizon.name_bytes_max`.
    NameTooLong,
    /// The timestamp or value is no number.
    NotNumeric,
    /// The timestamp or value is NaN or infinite.
    NotFinite,
    /// The timestamp or value is an integer of more than 64 bits.
    OutOfRange,
    /// The item of the frame is not of the form `(name, (timestamp, value))`.
    BadShape,
    /// The metric's key in Redis is of another type than string.
    WrongType,
    /// Redis refused the command for good, for another reason.
    RefusedByRedis,
    /// Not yet in Redis when the time for the drain was over.
    Shutdown,
}

impl DropReason {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 13] = [
        Self::TooOld,
        Self::NotMine,
        Self::Rule,
        Self::Skipped,
        Self::NameInvalid,
        Self::NameTooLong,
        Self::NotNumeric,
        Self::NotFinite,
        Self::OutOfRange,
        Self::BadShape,
        Self::WrongType,
        Self::RefusedByRedis,
        Self::Shutdown,
    ];

    /// Whether the metric table remembers metrics that are refused for this: not
    /// those whose names are no good, which a hostile sender could fill it with.
    pub fn is_remembered(self) -> bool {
        matches!(self, Self::NotMine | Self::Rule | Self::Skipped)
    }

    /// The name in counters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooOld => "too_old",
            Self::NotMine => "not_mine",
            Self::Rule => "rule",
            Self::Skipped => "skipped",
            Self::NameInvalid => "name_invalid",
            Self::NameTooLong => "name_too_long",
            Self::NotNumeric => "not_numeric",
            Self::NotFinite => "not_finite",
            Self::OutOfRange => "out_of_range",
            Self::BadShape => "bad_shape",
            Self::WrongType => "wrong_type",
            Self::RefusedByRedis => "refused_by_redis",
            Self::Shutdown => "shutdown",
        }
    }
}

/// Counts by the words that say what is counted: few words, seen rarely.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    words: Vec<(String, u64)>,
    last: usize,
}

/// Words beyond this many are counted together, since some come from outside.
const TALLY_WORDS_MAX: usize = 32;

impl Tally {
    /// Counts one more of `word`.
    pub fn count(&mut self, word: &str) {
        self.last = self.add(word, 1);
    }

    /// The word that was counted last.
    pub fn last(&self) -> Option<&str> {
        self.words.get(self.last).map(|(word, _)| word.as_str())
    }

    /// Every word and its count.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.words
            .iter()
            .map(|(word, count)| (word.as_str(), *count))
    }

    /// All of them together.
    pub fn sum(&self) -> u64 {
        self.words.iter().map(|(_, count)| count).sum()
    }

    fn add(&mut self, word: &str, count: u64) -> usize {
        let place = |words: &[(String, u64)], word: &str| words.iter().position(|(w, _)| w == word);
        let full = self.words.len() >= TALLY_WORDS_MAX;
        let word = if full && place(&self.words, word).is_none() {
            "other"
        } else {
            word
        };
        let at = place(&self.words, word).unwrap_or_else(|| {
            self.words.push((word.to_owned(), 0));
            self.words.len() - 1
        });
        self.words[at].1 += count;
        at
    }
}

impl AddAssign<&Self> for Tally {
    fn add_assign(&mut self, other: &Self) {
        for (word, count) in &other.words {
            self.add(word, *count);
        }
    }
}

/// What is counted for each [`Source`].
#[derive(Clone, Debug, Default)]
pub struct SourceCounts {
    /// Points that were decoded, and items that should have been points.
    pub received: u64,
    /// Points that Redis has confirmed.
    pub stored: u64,
    /// Points that were not stored, by [`DropReason`].
    pub dropped: [u64; DropReason::ALL.len()],
    /// Points that wait for Redis's answer, or to be sent.
    pub in_flight: u64,
    /// Frames, msgpack datagrams and lines that were decoded.
    pub frames: u64,
    /// Frames that were skipped because they are no good pickle, and datagrams that
    /// are no good msgpack, by reason.
    pub frames_bad: Tally,
    /// Frames longer than `horizon.frame_bytes_max`, each with its connection closed;
    /// and lines that are longer than any could be, each skipped.
    pub frames_too_long: u64,
    /// Frames whose connection ended in their middle.
    pub frames_cut_short: u64,
    /// Bytes received.
    pub bytes: u64,
    /// Connections that are open.
    pub connections: u64,
    /// Connections that were accepted.
    pub connections_accepted: u64,
    /// Connections that were closed at once because `horizon.connections_max` were open.
    pub connections_refused: u64,
    /// Connections that were given up in the middle of a frame that did not grow.
    pub connections_stalled: u64,
}

impl SourceCounts {
    /// Counts a point that is not stored.
    pub fn drop(&mut self, reason: DropReason, points: u64) {
        self.dropped[reason as usize] += points;
    }

    /// Counts items that should have been points.
    pub fn drop_invalid(&mut self, invalid: InvalidCounts) {
        self.received += invalid.total();
        self.drop(DropReason::BadShape, invalid.shape);
        self.drop(DropReason::NotNumeric, invalid.not_numeric);
        self.drop(DropReason::OutOfRange, invalid.out_of_range);
    }

    /// Points not stored, for any reason.
    pub fn dropped_sum(&self) -> u64 {
        self.dropped.iter().sum()
    }
}

impl AddAssign<&Self> for SourceCounts {
    fn add_assign(&mut self, other: &Self) {
        self.received += other.received;
        self.stored += other.stored;
        for (sum, count) in self.dropped.iter_mut().zip(&other.dropped) {
            *sum += count;
        }
        self.in_flight += other.in_flight;
        self.frames += other.frames;
        self.frames_bad += &other.frames_bad;
        self.frames_too_long += other.frames_too_long;
        self.frames_cut_short += other.frames_cut_short;
        self.bytes += other.bytes;
        self.connections += other.connections;
        self.connections_accepted += other.connections_accepted;
        self.connections_refused += other.connections_refused;
        self.connections_stalled += other.connections_stalled;
    }
}

/// What is counted for one rule of the operator.
#[derive(Clone, Debug)]
pub struct RuleCounts {
    /// What counters call it.
    pub name: Arc<str>,
    /// `rename`, `drop` or `keep`.
    pub action: &'static str,
    /// Judgements in which it fitted: about one for each metric and shard, and again
    /// when rules or lists have changed; of points from Flux, one for each.
    pub judged: u64,
    /// Points for which it was the last rule that fitted: each in at most one rule.
    pub points: u64,
}

/// The counts of `rules`, going on from those of the same names in `before`.
pub fn rule_counts(rules: &[Rule], before: &[RuleCounts]) -> Vec<RuleCounts> {
    let rules = rules.iter().enumerate();
    let counts = rules.map(|(place, rule)| {
        let name = rule.label(place);
        let known = before.iter().find(|counts| *counts.name == *name);
        RuleCounts {
            action: rule.action.as_str(),
            judged: known.map_or(0, |known| known.judged),
            points: known.map_or(0, |known| known.points),
            name: name.into(),
        }
    });
    counts.collect()
}

/// What is counted of the way to Redis.
#[derive(Clone, Debug, Default)]
pub struct RedisCounts {
    /// Batches that Redis has answered in full.
    pub batches: u64,
    /// APPEND commands that were answered.
    pub appends: u64,
    /// Members that were sent in SADD commands.
    pub members_asserted: u64,
    /// Commands that were sent again after a lost connection or an error that passes.
    pub resent: u64,
    /// Connections that were made.
    pub connections: u64,
    /// Error replies, by Redis's code.
    pub errors: Tally,
    /// Batches that are sent and not answered in full.
    pub batches_in_flight: u64,
    /// Batches that wait to be sent.
    pub batches_waiting: u64,
    /// How long the oldest unanswered batch has been waiting, in milliseconds.
    pub unanswered_ms: u64,
}

impl AddAssign<&Self> for RedisCounts {
    fn add_assign(&mut self, other: &Self) {
        self.batches += other.batches;
        self.appends += other.appends;
        self.members_asserted += other.members_asserted;
        self.resent += other.resent;
        self.connections += other.connections;
        self.errors += &other.errors;
        self.batches_in_flight += other.batches_in_flight;
        self.batches_waiting += other.batches_waiting;
        self.unanswered_ms = self.unanswered_ms.max(other.unanswered_ms);
    }
}

/// Everything that one shard counts, or the sum over shards.
#[derive(Clone, Debug)]
pub struct Counts {
    /// By [`Source`].
    pub sources: [SourceCounts; Source::ALL.len()],
    /// By rule of the operator, in their order.
    pub rules: Vec<RuleCounts>,
    /// The way to Redis.
    pub redis: RedisCounts,
    /// From bytes received to settled, in microseconds, each point once.
    pub latency_us: Histogram<u64>,
    /// Metrics in the shard's table.
    pub metrics_known: u64,
    /// Memory of that table, in bytes.
    pub metrics_bytes: u64,
    /// Metrics that found the table full, each time.
    pub metrics_not_kept: u64,
    /// Metrics that got an entry in the table, each time.
    pub series_new: u64,
    /// CPU time of the shard's thread, in microseconds.
    pub cpu_us: u64,
}

impl Counts {
    /// All zero.
    ///
    /// # Panics
    ///
    /// Never: the histogram's bounds are constants that it accepts.
    pub fn new() -> Self {
        #[allow(
            clippy::unwrap_used,
            reason = "1 < LATENCY_US_MAX and two digits are accepted"
        )]
        let latency_us = Histogram::new_with_bounds(1, LATENCY_US_MAX, 2).unwrap();
        Self {
            sources: Default::default(),
            rules: Vec::new(),
            redis: RedisCounts::default(),
            latency_us,
            metrics_known: 0,
            metrics_bytes: 0,
            metrics_not_kept: 0,
            series_new: 0,
            cpu_us: 0,
        }
    }

    /// The counts of one source.
    pub fn source(&mut self, source: Source) -> &mut SourceCounts {
        &mut self.sources[source as usize]
    }
}

impl Default for Counts {
    fn default() -> Self {
        Self::new()
    }
}

impl Counts {
    /// Adds what was counted elsewhere of those rules of the operator that are counted
    /// here.
    pub fn add_to_rules(&mut self, rules: &[RuleCounts]) {
        for counts in rules {
            if let Some(sum) = self.rules.iter_mut().find(|sum| sum.name == counts.name) {
                sum.judged += counts.judged;
                sum.points += counts.points;
            }
        }
    }
}

impl AddAssign<&Self> for Counts {
    fn add_assign(&mut self, other: &Self) {
        for (sum, counts) in self.sources.iter_mut().zip(&other.sources) {
            *sum += counts;
        }
        for counts in &other.rules {
            if !self.rules.iter().any(|sum| sum.name == counts.name) {
                let (judged, points) = (0, 0);
                self.rules.push(RuleCounts {
                    judged,
                    points,
                    ..counts.clone()
                });
            }
        }
        self.add_to_rules(&other.rules);
        self.redis += &other.redis;
        // Both have the same bounds, which is the only way this can fail.
        let _ = self.latency_us.add(&other.latency_us);
        self.metrics_known += other.metrics_known;
        self.metrics_bytes += other.metrics_bytes;
        self.metrics_not_kept += other.metrics_not_kept;
        self.series_new += other.series_new;
        self.cpu_us += other.cpu_us;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_of_reasons_and_sources_are_unique() {
        for (number, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, number);
            assert_eq!(
                DropReason::ALL
                    .iter()
                    .filter(|r| r.as_str() == reason.as_str())
                    .count(),
                1
            );
        }
        for (number, source) in Source::ALL.iter().enumerate() {
            assert_eq!(Source::from_number(number as u8), *source);
        }
    }

    /// Words in a tally may come from a Redis that is none.
    #[test]
    fn a_tally_does_not_grow_without_bound() {
        let mut tally = Tally::default();
        for word in 0..1000 {
            tally.count(&word.to_string());
        }
        assert_eq!(tally.sum(), 1000);
        assert!(tally.iter().count() <= TALLY_WORDS_MAX + 1);
    }
}
