//! Who brings the most: which beginnings of names, and which senders, by points and by
//! new series.
//!
//! Each shard keeps sketches of frequent items (Apache DataSketches): of bounded size,
//! and wrong by no more than they say. Two windows of `WINDOW` take turns, so that what
//! is told is of the last one to two of them, and what has ended is forgotten.
//!
//! What a point costs is one comparison for each group of them. A `Sampler` picks
//! points at random, every one of a slow stream and ever fewer of a fast one, and each
//! that is picked stands for those since the last. Senders are counted by their
//! connections, exactly, and told once a second.

mod report;
mod sampler;

use std::borrow::Borrow;
use std::hash::Hash;
use std::net::IpAddr;
use std::ops::Sub;
use std::time::{Duration, Instant};

use datasketches::frequencies::{ErrorType, FrequentItemsSketch};

use crate::point::Point;
use crate::stats::Source;
use sampler::Sampler;

pub use report::{Report, Row, Side};

/// What is told is of the last one to two of these: so that it has every metric that
/// comes once a minute.
const WINDOW: Duration = Duration::from_secs(60);
/// Slots of a sketch, of which three quarters are used: it is wrong by at most 3.5 in
/// so many of all that it has seen.
const SKETCH_SLOTS: usize = 256;
/// Dotted elements of the longest beginning of a name that is counted.
pub const DEPTH: usize = 3;
/// Longest beginning, in bytes; what is longer is cut.
const PREFIX_BYTES_MAX: usize = 120;
/// Items of each kind that a shard tells.
const ROWS: usize = 40;

/// Memory of what one shard knows, at most, in bytes: of two windows, each item with its
/// key and its share of the sketch.
pub const BYTES_MAX: usize = 2 * 2 * SKETCH_SLOTS * (DEPTH * (PREFIX_BYTES_MAX + 64) + 64);

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sender {
    /// A peer over TCP.
    Peer(IpAddr),
    /// All peers of a listener for datagrams, which are not told apart.
    Datagrams(Source),
    /// This server: Flux, Vista, self metrics.
    Inside,
}

impl Hash for Source {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u8(*self as u8);
    }
}

/// Points and new series that somebody has brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Brought {
    /// Points received.
    pub points: u64,
    /// Metrics that got an entry in the shard's table by them.
    pub series: u64,
}

impl Sub for Brought {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            points: self.points - before.points,
            series: self.series - before.series,
        }
    }
}

/// What one shard knows.
#[derive(Debug)]
pub struct Talkers {
    points: Sampler,
    series: Sampler,
    now: Window,
    before: Window,
    /// How long the window before was.
    before_length: Duration,
    since: Instant,
}

impl Default for Talkers {
    fn default() -> Self {
        Self {
            points: Sampler::default(),
            series: Sampler::default(),
            now: Window::default(),
            before: Window::default(),
            before_length: Duration::ZERO,
            since: Instant::now(),
        }
    }
}

impl Talkers {
    /// Counts the points of a group by their names.
    pub fn note_points(&mut self, points: &[Point<'_>]) {
        let prefixes = &mut self.now.prefixes;
        self.points.pass(points.len(), |at, weight| {
            prefixes.note(points[at].name, weight, |by| &mut by.points);
        });
    }

    /// Counts a new series.
    pub fn note_series(&mut self, name: &[u8]) {
        let prefixes = &mut self.now.prefixes;
        self.series.pass(1, |_, weight| {
            prefixes.note(name, weight, |by| &mut by.series);
        });
    }

    /// Counts what a sender has brought.
    pub fn note_sender(&mut self, sender: Sender, brought: Brought) {
        let senders = &mut self.now.senders;
        senders.points.note(&sender, brought.points);
        senders.series.note(&sender, brought.series);
    }

    /// To be called about once a second.
    pub fn tick(&mut self) {
        self.points.tick();
        self.series.tick();
        let length = self.since.elapsed();
        if length >= WINDOW {
            self.before = std::mem::take(&mut self.now);
            self.before_length = length;
            self.since = Instant::now();
        }
    }

    /// What can be told now.
    pub fn report(&self) -> Report {
        let (now, before) = (&self.now, &self.before);
        let prefixes = |depth: usize| {
            let (now, before) = (&now.prefixes.0[depth], &before.prefixes.0[depth]);
            Side {
                points: rows(&now.points, &before.points, |name| report::text(name)),
                series: rows(&now.series, &before.series, |name| report::text(name)),
            }
        };
        let (now, before) = (&now.senders, &before.senders);
        Report {
            seconds: (self.since.elapsed() + self.before_length).as_secs_f64(),
            points: now.points.0.total_weight() + before.points.0.total_weight(),
            series: now.series.0.total_weight() + before.series.0.total_weight(),
            prefixes: (0..DEPTH).map(prefixes).collect(),
            senders: Side {
                points: rows(&now.points, &before.points, Sender::to_string),
                series: rows(&now.series, &before.series, Sender::to_string),
            },
        }
    }
}

/// What was counted since a window began.
#[derive(Debug, Default)]
struct Window {
    prefixes: Prefixes,
    senders: By<Sender>,
}

/// By the number of dotted elements, less one.
#[derive(Debug, Default)]
struct Prefixes([By<Vec<u8>>; DEPTH]);

impl Prefixes {
    /// A name of fewer elements counts whole.
    fn note(
        &mut self,
        name: &[u8],
        weight: u64,
        which: impl Fn(&mut By<Vec<u8>>) -> &mut Sketch<Vec<u8>>,
    ) {
        let mut dots = memchr::memchr_iter(b'.', name);
        let mut end = 0;
        for by in &mut self.0 {
            if end < name.len() {
                end = dots.next().unwrap_or(name.len());
            }
            which(by).note(&name[..end.min(PREFIX_BYTES_MAX)], weight);
        }
    }
}

#[derive(Debug)]
struct By<T> {
    points: Sketch<T>,
    series: Sketch<T>,
}

impl<T: Eq + Hash> Default for By<T> {
    fn default() -> Self {
        Self {
            points: Sketch::default(),
            series: Sketch::default(),
        }
    }
}

#[derive(Debug)]
struct Sketch<T>(FrequentItemsSketch<T>);

impl<T: Eq + Hash> Default for Sketch<T> {
    fn default() -> Self {
        #[allow(clippy::unwrap_used, reason = "a power of two is accepted")]
        Self(FrequentItemsSketch::new(SKETCH_SLOTS).unwrap())
    }
}

impl<T: Eq + Hash> Sketch<T> {
    fn note<Q>(&mut self, item: &Q, weight: u64)
    where
        T: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = T> + ?Sized,
    {
        self.0.update_with_count_ref(item, weight);
    }
}

/// The items of two windows that have the most, in both together.
fn rows<T: Clone + Eq + Hash>(
    now: &Sketch<T>,
    before: &Sketch<T>,
    name: impl Fn(&T) -> String,
) -> Vec<Row> {
    let mut both = before.0.clone();
    both.merge(&now.0);
    let rows = both.frequent_items(ErrorType::NoFalseNegatives);
    let told = rows.iter().take(ROWS).map(|row| Row {
        name: name(row.item()),
        count: row.lower_bound(),
        error: row.upper_bound() - row.lower_bound(),
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::point::Number;

    fn points<'n>(names: &'n [String]) -> Vec<Point<'n>> {
        let point = |name: &'n String| Point {
            name: name.as_bytes(),
            timestamp: Number::Int(0),
            value: Number::Int(0),
        };
        names.iter().map(point).collect()
    }

    fn found(rows: &[Row]) -> Vec<(&str, u64)> {
        rows.iter()
            .map(|row| (row.name.as_str(), row.count))
            .collect()
    }

    /// A small site sees true numbers.
    #[test]
    fn of_few_points_each_is_counted() {
        let mut talkers = Talkers::default();
        let names = ["a.b.c.d", "a.b.x", "a.y", "z", "", ".", "a..b"].map(String::from);
        for _ in 0..10 {
            talkers.note_points(&points(&names));
        }
        talkers.note_series(b"a.b.c.d");
        let report = talkers.report();
        assert_eq!(
            found(&report.prefixes[0].points)[..2],
            [("a", 40), ("", 20)]
        );
        let deepest: Vec<_> = found(&report.prefixes[2].points);
        assert!(deepest.contains(&("a.b.c", 10)), "{deepest:?}");
        assert!(deepest.contains(&("a.b.x", 10)), "{deepest:?}");
        assert!(deepest.contains(&("z", 10)), "{deepest:?}");
        assert_eq!(found(&report.prefixes[1].series), [("a.b", 1)]);
    }

    /// Names come in the same order each minute: what is picked must not be the same
    /// host each time.
    #[test]
    fn of_many_points_the_shares_are_told() {
        let mut talkers = Talkers::default();
        let hosts: Vec<String> = (0..32).map(|host| format!("host{host}.cpu")).collect();
        let group = points(&hosts);
        for _ in 0..100_000 {
            talkers.note_points(&group);
        }
        let report = talkers.report();
        let rows = &report.prefixes[0].points;
        assert_eq!(rows.len(), 32);
        let sum: u64 = rows.iter().map(|row| row.count).sum();
        let (all, each) = (3_200_000_f64, 100_000_f64);
        assert!((sum as f64 - all).abs() < all / 20.0, "{sum}");
        for row in rows {
            assert!((row.count as f64 - each).abs() < each / 2.0, "{row:?}");
        }
    }

    /// A sender of ever new names fills no memory, and hides nobody who brings much.
    #[test]
    fn a_flood_of_names_is_bounded_and_hides_no_one() {
        let mut talkers = Talkers::default();
        let loud = "l".repeat(1000);
        for n in 0..200_000 {
            let names = [format!("flood{n}.a.b"), loud.clone()];
            talkers.note_points(&points(&names));
            talkers.note_series(names[0].as_bytes());
        }
        let report = talkers.report();
        for side in &report.prefixes {
            assert!(side.points.len() <= ROWS && side.series.len() <= ROWS);
            let first = &side.points[0];
            assert_eq!(
                first.name,
                format!("{}\u{2026}", "l".repeat(PREFIX_BYTES_MAX))
            );
            let off = (first.count as f64 - 200_000.0).abs();
            assert!(off < 30_000.0, "{first:?}");
        }
    }

    #[test]
    fn senders_are_counted_exactly() {
        let mut talkers = Talkers::default();
        let peer = Sender::Peer([10, 0, 0, 1].into());
        for _ in 0..1000 {
            let (points, series) = (500, 0);
            talkers.note_sender(peer, Brought { points, series });
        }
        let (points, series) = (7, 3);
        talkers.note_sender(
            Sender::Datagrams(Source::Msgpack),
            Brought { points, series },
        );
        let report = talkers.report();
        let expected = [("10.0.0.1", 500_000), ("UDP, msgpack", 7)];
        assert_eq!(found(&report.senders.points), expected);
        assert_eq!(found(&report.senders.series), [("UDP, msgpack", 3)]);
        assert_eq!((report.points, report.series), (500_007, 3));
    }

    #[test]
    fn names_are_hostile_text_and_told_as_such() {
        let mut talkers = Talkers::default();
        let names = ["\u{1b}[31m\n.b".to_owned()];
        talkers.note_points(&points(&names));
        let report = talkers.report();
        assert_eq!(report.prefixes[0].points[0].name, "\\u{1b}[31m\\u{a}");
        assert_eq!(report::text(b"\xff."), "\u{fffd}.");
    }

    /// What has ended is forgotten, after two windows at the latest.
    #[test]
    fn windows_take_turns() {
        let mut talkers = Talkers::default();
        let brought = Brought {
            points: 1,
            series: 0,
        };
        let end_window = |talkers: &mut Talkers| {
            talkers.since -= WINDOW;
            talkers.tick();
        };
        talkers.note_sender(Sender::Inside, brought);
        end_window(&mut talkers);
        assert_eq!(talkers.report().points, 1);
        talkers.note_sender(Sender::Inside, brought);
        assert_eq!(talkers.report().senders.points[0].count, 2);
        end_window(&mut talkers);
        assert_eq!(talkers.report().points, 1);
        end_window(&mut talkers);
        assert!(talkers.report().senders.points.is_empty());
    }
}
