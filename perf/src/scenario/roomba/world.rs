//! Series under a clock that the harness sets: full of points, one more each minute,
//! and whoever appends them knows what a shard would know.

use std::collections::HashMap;

use anyhow::{Result, bail};
use redis::Connection;
use skyring::admit::{Cut, Tidings};
use skyring::roomba::pass::{Company, Namespace, PassError};

use crate::plan::Stamp;
use crate::record;
use crate::verify::{NAMESPACE, UNIQUE};

/// Seconds between two points of a series, and between two passes.
pub const MINUTE_S: i64 = 60;
/// When the clock starts: a whole minute.
const START_S: i64 = 1_700_000_040;
/// Bytes of a record.
const RECORD_BYTES: usize = 19;
/// Series that are written with one round trip.
const FILL_PAGE: usize = 100;
/// The same, of commands of one point.
const APPEND_PAGE: usize = 1000;

/// See the module.
pub struct World {
    /// How long points are kept, as Skyring's defaults have it.
    pub namespace: Namespace,
    keys: Vec<String>,
    places: HashMap<String, usize>,
    /// What the last APPEND of each has answered.
    lengths: Vec<u32>,
    told: Vec<Tidings>,
    /// How many names this pass was told.
    told_of: usize,
    /// Minutes that have passed.
    minute: i64,
}

impl World {
    /// Series of these names, as none has written them yet.
    pub fn new(names: &[String], namespace: Namespace) -> Self {
        let places = names.iter().cloned().zip(0..).collect();
        Self {
            namespace,
            keys: names
                .iter()
                .map(|name| format!("{NAMESPACE}{name}"))
                .collect(),
            places,
            lengths: vec![0; names.len()],
            told: vec![Tidings::default(); names.len()],
            told_of: 0,
            minute: 0,
        }
    }

    /// Now, at the end of a minute.
    pub fn now_s(&self) -> i64 {
        START_S + self.minute * MINUTE_S
    }

    /// The second up to which points are too old.
    pub fn oldest_s(&self) -> i64 {
        self.now_s() - self.namespace.duration_s
    }

    /// Points of each series that are young enough, of one a minute.
    pub fn points(&self) -> i64 {
        self.namespace.duration_s / MINUTE_S
    }

    /// The second of series `at`'s point of a minute, counted from the start: each
    /// series has its own place in the minute.
    fn second(at: usize, minute: i64) -> i64 {
        START_S + (minute - 1) * MINUTE_S + 1 + at as i64 % MINUTE_S
    }

    fn put(out: &mut Vec<u8>, at: usize, minute: i64) {
        let value = at as f64 + minute as f64 / 1024.0;
        record::put(out, Stamp::Float, Self::second(at, minute) as u64, value);
    }

    /// Bytes of the points of series `at` from one minute to another.
    fn series(at: usize, minutes: std::ops::RangeInclusive<i64>) -> Vec<u8> {
        let mut out = Vec::new();
        minutes.for_each(|minute| Self::put(&mut out, at, minute));
        out
    }

    /// Writes every series as it is found in a steady state: those that are kept, and
    /// up to as many too old ones as wait to be cut off together.
    pub fn fill(&mut self, redis: &mut Connection) -> Result<()> {
        let waiting = (self.namespace.slack_s / MINUTE_S) as usize + 2;
        let points = self.points();
        for (page, keys) in self.keys.chunks(FILL_PAGE).enumerate() {
            let mut pipe = redis::pipe();
            for (number, key) in keys.iter().enumerate() {
                let at = page * FILL_PAGE + number;
                let first = 1 - points - (at % waiting) as i64;
                let series = Self::series(at, first..=0);
                self.lengths[at] = series.len() as u32;
                pipe.cmd("SET").arg(key).arg(series).ignore();
            }
            pipe.cmd("SADD").arg(UNIQUE).arg(keys).ignore();
            pipe.exec(redis)?;
        }
        Ok(())
    }

    /// Writes so many points of each series one by one, the newest of them now.
    pub fn grow(&mut self, redis: &mut Connection, points: i64) -> Result<()> {
        self.minute -= points;
        (0..points).try_for_each(|_| self.append(redis))
    }

    /// A minute passes: a point of each series.
    pub fn append(&mut self, redis: &mut Connection) -> Result<()> {
        self.minute += 1;
        for (page, keys) in self.keys.chunks(APPEND_PAGE).enumerate() {
            let mut pipe = redis::pipe();
            for (number, key) in keys.iter().enumerate() {
                let mut bytes = Vec::with_capacity(RECORD_BYTES);
                Self::put(&mut bytes, page * APPEND_PAGE + number, self.minute);
                pipe.cmd("APPEND").arg(key).arg(bytes);
            }
            let lengths: Vec<u32> = pipe.query(redis)?;
            for (number, length) in lengths.into_iter().enumerate() {
                let at = page * APPEND_PAGE + number;
                let expected = self.lengths[at] + RECORD_BYTES as u32;
                self.told[at].is_fed = true;
                self.told[at].is_doubtful |= length != expected;
                self.lengths[at] = length;
            }
        }
        Ok(())
    }

    /// Bytes of each series, and of the memory that Redis has for it: the means.
    pub fn memory(&self, redis: &mut Connection) -> Result<[f64; 2]> {
        let mut sums = [0; 2];
        for keys in self.keys.chunks(APPEND_PAGE) {
            let mut pipe = redis::pipe();
            for key in keys {
                pipe.cmd("STRLEN").arg(key);
                pipe.cmd("MEMORY").arg("USAGE").arg(key);
            }
            let numbers: Vec<u64> = pipe.query(redis)?;
            for pair in numbers.chunks(2) {
                sums[0] += pair[0];
                sums[1] += pair[1];
            }
        }
        Ok(sums.map(|sum| sum as f64 / self.keys.len() as f64))
    }

    /// Points that are young enough and are not there, or are other ones, or are not
    /// in their place. Fails if something is there that is too old by more than may
    /// wait.
    pub fn missing(&self, redis: &mut Connection) -> Result<u64> {
        let mut missing = 0;
        for (page, keys) in self.keys.chunks(FILL_PAGE).enumerate() {
            let held: Vec<Vec<u8>> = redis::cmd("MGET").arg(keys).query(redis)?;
            for (number, series) in held.iter().enumerate() {
                let at = page * FILL_PAGE + number;
                let newest = (self.minute - self.points()..=self.minute)
                    .filter(|minute| Self::second(at, *minute) > self.oldest_s());
                let newest: Vec<i64> = newest.collect();
                let wanted = Self::series(at, newest[0]..=self.minute);
                let more = series.len().saturating_sub(wanted.len());
                let there = &series[more..];
                let pairs = there.chunks(RECORD_BYTES).zip(wanted.chunks(RECORD_BYTES));
                let same = pairs.filter(|(one, two)| one == two).count();
                missing += (newest.len() - same) as u64;
                let waiting = (self.namespace.slack_s / MINUTE_S) as usize + 1;
                if more > waiting * RECORD_BYTES {
                    bail!("{}: {more} bytes too many", keys[number]);
                }
            }
        }
        Ok(missing)
    }
}

impl Company for World {
    fn names(&mut self, count: usize) -> Option<Vec<Box<[u8]>>> {
        let keys = self.keys[self.told_of..].iter().take(count);
        let name = |key: &String| Box::from(&key.as_bytes()[NAMESPACE.len()..]);
        let names: Vec<Box<[u8]>> = keys.map(name).collect();
        self.told_of += names.len();
        if names.is_empty() {
            self.told_of = 0;
        }
        (!names.is_empty()).then_some(names)
    }

    fn tidings(&mut self, names: Vec<Box<[u8]>>) -> Vec<Tidings> {
        let take = |name: Box<[u8]>| {
            let name = std::str::from_utf8(&name).ok()?;
            self.places
                .get(name)
                .map(|at| std::mem::take(&mut self.told[*at]))
        };
        names
            .into_iter()
            .map(take)
            .map(Option::unwrap_or_default)
            .collect()
    }

    fn note_cuts(&mut self, cuts: Vec<Cut>) {
        for cut in cuts {
            let name = std::str::from_utf8(&cut.name).unwrap_or_default();
            if let Some(at) = self.places.get(name) {
                self.lengths[*at] -= cut.bytes.unwrap_or(self.lengths[*at]);
            }
        }
    }

    fn go_on(&mut self, _: u64, _: u64) -> Result<(), PassError> {
        Ok(())
    }
}
