//! Latency of points from their scheduled send time to Redis's answer: one
//! histogram of the whole, and one a quarter of a second for the plot.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::Result;
use hdrhistogram::Histogram;

use crate::plan::{Schedule, sequence_of};
use crate::record;

/// Width of a bucket of the timeline.
pub const BUCKET: Duration = Duration::from_millis(250);
/// Longest latency told apart, in us.
const LONGEST_US: u64 = 600_000_000;
/// Buckets kept: later points count in the last.
const BUCKETS: usize = 4096;

/// One open loop's measurement.
#[derive(Debug)]
pub struct Recorder {
    schedule: Schedule,
    start: Instant,
    /// In us, of points.
    pub histogram: Histogram<u64>,
    buckets: Vec<Histogram<u64>>,
    /// Error replies to commands of this loop.
    pub errors: u64,
}

/// One bucket of the timeline.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Bucket {
    /// Its middle, in seconds from the start.
    pub at_s: f64,
    /// Points answered a second.
    pub points_per_s: f64,
    /// Latency in us.
    pub p50_us: u64,
    /// Latency in us.
    pub p99_us: u64,
    /// Latency in us.
    pub max_us: u64,
}

/// Commands that one connection has not yet seen answered, in order.
#[derive(Debug, Default)]
pub struct Outstanding {
    runs: VecDeque<Run>,
}

/// Neighbouring commands whose points are due at the same time.
#[derive(Clone, Copy, Debug)]
struct Run {
    due: Option<Duration>,
    /// 0: these points belong to the same command as the next run's.
    commands: u64,
    points: u64,
}

impl Recorder {
    /// Counts the points of `schedule`, which began at `start`.
    pub fn new(schedule: Schedule, start: Instant) -> Result<Self> {
        let histogram = Histogram::new_with_bounds(1, LONGEST_US, 3)?;
        Ok(Self {
            schedule,
            start,
            histogram,
            buckets: Vec::new(),
            errors: 0,
        })
    }

    /// Points answered so far.
    pub fn points(&self) -> u64 {
        self.histogram.len()
    }

    /// The timeline.
    pub fn timeline(&self) -> Vec<Bucket> {
        let seconds = BUCKET.as_secs_f64();
        let buckets = self
            .buckets
            .iter()
            .enumerate()
            .filter(|(_, b)| !b.is_empty());
        buckets
            .map(|(index, bucket)| Bucket {
                at_s: (index as f64 + 0.5) * seconds,
                points_per_s: bucket.len() as f64 / seconds,
                p50_us: bucket.value_at_quantile(0.5),
                p99_us: bucket.value_at_quantile(0.99),
                max_us: bucket.max(),
            })
            .collect()
    }

    fn record(&mut self, due: Duration, points: u64, now: Instant) {
        let since = now.saturating_duration_since(self.start);
        let us = since.saturating_sub(due).as_micros() as u64;
        self.histogram.saturating_record_n(us, points);
        let index = (since.as_nanos() / BUCKET.as_nanos()) as usize;
        let index = index.min(BUCKETS - 1);
        while self.buckets.len() <= index {
            match Histogram::new_with_bounds(1, LONGEST_US, 2) {
                Ok(bucket) => self.buckets.push(bucket),
                Err(_) => return,
            }
        }
        self.buckets[index].saturating_record_n(us, points);
    }
}

impl Outstanding {
    /// A command has gone to Redis; `appended` is what it appends, if it does.
    pub fn sent(&mut self, appended: Option<&[u8]>, recorder: Option<&Recorder>) {
        let mut any = false;
        for value in record::values(appended.unwrap_or_default()) {
            let due = recorder
                .zip(sequence_of(value))
                .and_then(|(r, s)| r.schedule.due_of(s));
            let next = Run {
                due,
                commands: 0,
                points: 1,
            };
            match self.runs.back_mut().filter(|_| any) {
                Some(run) if run.due == due => run.points += 1,
                _ => self.runs.push_back(next),
            }
            any = true;
        }
        if !any {
            self.runs.push_back(Run {
                due: None,
                commands: 1,
                points: 0,
            });
            return;
        }
        if let Some(run) = self.runs.back_mut() {
            run.commands = 1;
        }
        self.join();
    }

    /// Redis has answered the oldest command, at `now`.
    pub fn answered(&mut self, error: bool, now: Instant, mut recorder: Option<&mut Recorder>) {
        while let Some(run) = self.runs.front_mut() {
            let last = run.commands > 0;
            // Joined runs hold one point a command.
            let points = if run.commands > 1 { 1 } else { run.points };
            if let (Some(due), Some(recorder)) = (run.due, recorder.as_deref_mut()) {
                if error {
                    recorder.errors += 1;
                } else {
                    recorder.record(due, points, now);
                }
            }
            run.points -= points;
            run.commands = run.commands.saturating_sub(1);
            if run.commands == 0 {
                self.runs.pop_front();
            }
            if last {
                return;
            }
        }
    }

    /// Puts the newest command's run into the one before it where both are of
    /// one point a command and due at the same time, as a frame's points are.
    fn join(&mut self) {
        let length = self.runs.len();
        if length < 2 {
            return;
        }
        let (newest, before) = (self.runs[length - 1], self.runs[length - 2]);
        if newest.points == 1 && newest.due == before.due && before.commands == before.points {
            self.runs[length - 2].commands += 1;
            self.runs[length - 2].points += 1;
            self.runs.pop_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Plan, Stamp, value};

    fn series(sequences: &[u64]) -> Vec<u8> {
        let mut out = Vec::new();
        for &sequence in sequences {
            record::put(&mut out, Stamp::Float, 1_700_000_000, value(sequence));
        }
        out
    }

    /// Commands of one point, of several points, of points due at different
    /// times, and of none must each take exactly one reply, and each point's
    /// latency must count from its own frame's due time.
    #[test]
    fn each_reply_settles_the_points_of_its_command() {
        // Ten metrics in frames of five at a point a ms: frames due every 5 ms.
        let plan = Plan::new(10, 1, 5);
        let schedule = Schedule::new(plan, 0..10, 1000.0);
        let start = Instant::now();
        let mut recorder = Recorder::new(schedule, start).unwrap();
        let mut outstanding = Outstanding::default();
        let commands: [Option<&[u64]>; 9] = [
            Some(&[0]),
            Some(&[1]),
            None,
            Some(&[2, 12, 22]),
            Some(&[3]),
            Some(&[4]),
            Some(&[5]),
            Some(&[6, 7]),
            Some(&[8]),
        ];
        for command in commands {
            outstanding.sent(command.map(series).as_deref(), Some(&recorder));
        }
        let now = start + Duration::from_millis(100);
        let mut points = Vec::new();
        for _ in commands {
            outstanding.answered(false, now, Some(&mut recorder));
            points.push(recorder.points());
        }
        assert_eq!(points, [1, 2, 2, 5, 6, 7, 8, 10, 11]);
        assert!(outstanding.runs.is_empty());
        let count = |us| recorder.histogram.count_at(us);
        // Points 0..5 were due at 0 ms, 5..10 at 5 ms, 12 at 10 ms, 22 at 20 ms.
        assert_eq!((count(100_000), count(95_000)), (5, 4));
        assert_eq!((count(90_000), count(80_000)), (1, 1));
    }

    #[test]
    fn points_of_no_loop_are_not_recorded() {
        let schedule = Schedule::new(Plan::new(10, 1, 5), 2..4, 1000.0);
        let mut recorder = Recorder::new(schedule, Instant::now()).unwrap();
        let mut outstanding = Outstanding::default();
        for sequence in [0, 19, 20, 39, 40] {
            outstanding.sent(Some(&series(&[sequence])), Some(&recorder));
        }
        for _ in 0..5 {
            outstanding.answered(false, Instant::now(), Some(&mut recorder));
        }
        assert_eq!(recorder.points(), 2);
    }
}
