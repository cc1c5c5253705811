//! A writer appends to the same series at full speed while they are trimmed: points
//! age out at the front, and what it writes is late or twice at the end.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::{Context, Result};
use redis::Connection;
use skyring::admit::{Cut, Tidings};
use skyring::roomba::pass::{Company, Namespace, PassError, Trimmer};

use super::python;
use crate::plan::Stamp;
use crate::record;
use crate::redis::Redis;
use crate::report::{Findings, Table, Target};
use crate::scenario::Bench;
use crate::verify::UNIQUE;

const SERIES: u64 = 100;
/// Points that each series begins with, which age out.
const AGING: u64 = 600;
/// The clock's start, and the second of the writer's first point: far behind.
const START_S: u64 = 1_700_000_000;
const WRITTEN_S: u64 = START_S + 10_000;
/// A record.
const RECORD_BYTES: usize = 19;

/// What is trimmed, how long it is kept, and nothing waits to be cut.
fn namespace() -> Namespace {
    Namespace {
        prefix: "metrics.".to_owned(),
        duration_s: AGING as i64,
        slack_s: 0,
        interval_s: 1,
        quarantine_s: 60,
    }
}

fn key(series: u64) -> String {
    format!("metrics.race.{series}")
}

fn point(out: &mut Vec<u8>, second: u64, value: f64) {
    record::put(out, Stamp::Float, second, value);
}

/// Races both, and counts what is lost.
pub fn measure(bench: &Bench<'_>, redis: &Redis, findings: &mut Findings) -> Result<()> {
    let columns = [
        "passes",
        "points written meanwhile",
        "changes made",
        "changes given up for the writer",
        "points lost or changed",
    ];
    let title = "trimming: against a writer at full speed on the same series";
    let mut table = Table::new(title, &columns);
    let rounds = bench.size(1_000, 10_000);
    let race = Race {
        bench,
        redis,
        rounds,
    };
    let mut connection = redis.connect()?;
    let python = race.run("Skyline's way", |now_s| {
        let oldest_s = now_s - namespace().duration_s;
        let done = python::pass(&mut connection, oldest_s, now_s)?;
        Ok((done.trimmed, done.blocked))
    })?;
    let mut trimmer = Trimmer::new(redis.connect()?, false)?;
    trimmer.carries = true;
    let skyring = race.run("Skyring", |now_s| {
        let before = trimmer.deeds.clone();
        trimmer.pass(&namespace(), &HashSet::new(), now_s, &mut Nobody)?;
        let deeds = &trimmer.deeds;
        let changes = deeds.cut + deeds.mended - before.cut - before.mended;
        Ok((changes, deeds.conflicts - before.conflicts))
    })?;
    for (name, raced) in [("Skyline's way", &python), ("Skyring", &skyring)] {
        table.row(name, &raced.figures());
    }
    findings.tables.push(table);
    let what = "points lost or changed with a writer at full speed on the same series";
    findings
        .targets
        .push(Target::at_most(what, skyring.lost as f64, 0.0));
    Ok(())
}

struct Race<'a> {
    bench: &'a Bench<'a>,
    redis: &'a Redis,
    rounds: u64,
}

#[derive(Default)]
struct Raced {
    passes: u64,
    points: u64,
    changes: u64,
    conflicts: u64,
    lost: u64,
}

impl Raced {
    fn figures(&self) -> [f64; 5] {
        let Self {
            passes,
            points,
            changes,
            conflicts,
            lost,
        } = *self;
        [passes, points, changes, conflicts, lost].map(|number| number as f64)
    }
}

impl Race<'_> {
    /// Passes, each at the time that it is told, until the writer is done; then two
    /// more, after which all must be there.
    fn run(&self, who: &str, mut pass: impl FnMut(i64) -> Result<(u64, u64)>) -> Result<Raced> {
        self.bench
            .progress
            .begin(&format!("trimming: {who} against a writer"));
        self.redis.flush()?;
        let mut connection = self.redis.connect()?;
        fill(&mut connection)?;
        let mut writer = self.redis.connect()?;
        let mut raced = Raced::default();
        let (round, is_done) = (AtomicU64::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| -> Result<()> {
            let writes = scope.spawn(|| {
                let written = write(&mut writer, self.rounds, &round);
                is_done.store(true, Ordering::Release);
                written
            });
            let mut last = 0;
            while last < 2 {
                last += u64::from(is_done.load(Ordering::Acquire));
                // While the writer runs, all that was there before ages out.
                let part = AGING * round.load(Ordering::Acquire) / self.rounds;
                let (changes, conflicts) = pass((START_S + AGING + part) as i64)?;
                raced.passes += 1;
                raced.changes += changes;
                raced.conflicts += conflicts;
            }
            raced.points = writes.join().ok().context("the writer died")??;
            Ok(())
        })?;
        raced.lost = self.lost(&mut connection)?;
        Ok(raced)
    }

    /// Points of the writer that are not there, or not as they were written, or not in
    /// order, or twice.
    fn lost(&self, redis: &mut Connection) -> Result<u64> {
        let mut wanted = Vec::new();
        for round in 0..self.rounds {
            point(&mut wanted, WRITTEN_S + round, round as f64);
        }
        let mut lost = 0;
        for series in 0..SERIES {
            let held: Vec<u8> = redis::cmd("GET").arg(key(series)).query(redis)?;
            let pairs = held.chunks(RECORD_BYTES).zip(wanted.chunks(RECORD_BYTES));
            let same = pairs.filter(|(one, two)| one == two).count() as u64;
            let more = held.len().saturating_sub(wanted.len()) / RECORD_BYTES;
            lost += self.rounds - same + more as u64;
        }
        Ok(lost)
    }
}

fn fill(redis: &mut Connection) -> Result<()> {
    let mut pipe = redis::pipe();
    for series in 0..SERIES {
        let mut bytes = Vec::new();
        for second in 1..=AGING {
            point(&mut bytes, START_S + second, second as f64);
        }
        pipe.cmd("SET").arg(key(series)).arg(bytes).ignore();
        pipe.cmd("SADD").arg(UNIQUE).arg(key(series)).ignore();
    }
    Ok(pipe.exec(redis)?)
}

/// One point of each series a round; now and then one that is much too old, and one
/// once more with a larger value, neither of which may stay.
fn write(redis: &mut Connection, rounds: u64, round: &AtomicU64) -> Result<u64> {
    let mut points = 0;
    for number in 0..rounds {
        let second = WRITTEN_S + number;
        let mut bytes = Vec::new();
        point(&mut bytes, second, number as f64);
        match number % 50 {
            7 => point(&mut bytes, START_S - number, 0.0),
            9 => point(&mut bytes, second, number as f64 + 0.25),
            _ => {}
        }
        let mut pipe = redis::pipe();
        for series in 0..SERIES {
            pipe.cmd("APPEND").arg(key(series)).arg(&bytes).ignore();
            points += 1;
        }
        pipe.exec(redis)?;
        round.store(number + 1, Ordering::Release);
    }
    Ok(points)
}

/// The writer is another program: nobody can tell anything of the series.
struct Nobody;

impl Company for Nobody {
    fn names(&mut self, _: usize) -> Option<Vec<Box<[u8]>>> {
        None
    }

    fn tidings(&mut self, names: Vec<Box<[u8]>>) -> Vec<Tidings> {
        vec![Tidings::default(); names.len()]
    }

    fn note_cuts(&mut self, _: Vec<Cut>) {}

    fn go_on(&mut self, _: u64, _: u64) -> Result<(), PassError> {
        Ok(())
    }
}
