//! What Redis holds against what was sent: every series byte for byte, and every
//! metric's membership in the set of metrics.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::history;
use crate::plan::{Calendar, Plan, value};
use crate::record;

/// What Skyline puts before the name in a key.
pub const NAMESPACE: &str = "metrics.";
/// The set of all metrics' keys.
pub const UNIQUE: &str = "metrics.unique_metrics";

/// Keys asked for in one pipeline.
const PAGE: usize = 500;

/// What ought to stand in Redis.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Shape of the load.
    pub plan: Plan,
    /// The plan's names.
    pub names: &'a [String],
    /// Timestamps.
    pub calendar: Calendar,
    /// Whether series began with what [`history::write`] has written.
    pub history: bool,
    /// Rounds 0 up to this one were sent.
    pub rounds: u64,
    /// Whether each metric must be a member of the set of metrics; the floor
    /// writes no members.
    pub membership: bool,
}

/// The first metric that is not as it ought to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    metric: String,
    what: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Redis does not hold what was sent: metric {}: {}",
            self.metric, self.what
        )
    }
}

impl std::error::Error for Mismatch {}

impl Expected<'_> {
    /// The bytes of metric `metric`'s series.
    pub fn series(&self, metric: u64) -> Vec<u8> {
        let stamp = self.plan.stamp;
        let mut series = Vec::with_capacity(self.length(metric));
        if self.history {
            history::put(&mut series, &self.plan, &self.calendar, metric);
        }
        for round in 0..self.rounds {
            let value = value(self.plan.sequence(round, metric));
            record::put(&mut series, stamp, self.calendar.second(round), value);
        }
        series
    }

    /// Its length.
    pub fn length(&self, metric: u64) -> usize {
        let history = if self.history {
            history::points(metric)
        } else {
            0
        };
        (history + self.rounds) as usize * record::bytes(self.plan.stamp)
    }

    /// Waits until the last stored metric of each connection has its full length, which
    /// is when the server has sent on all that it was sent. Returns the moment.
    ///
    /// # Errors
    /// When `patience` passes without any growth.
    pub fn wait(&self, redis: &mut redis::Connection, patience: Duration) -> Result<Instant> {
        let lanes = 1..=self.plan.lanes;
        let last = lanes.map(|l| l * self.plan.per_lane - 1);
        let last: Vec<u64> = last.map(|m| m - m % self.plan.stored_one_in).collect();
        let mut pipe = redis::pipe();
        for &metric in &last {
            pipe.cmd("STRLEN")
                .arg(format!("{NAMESPACE}{}", self.names[metric as usize]));
        }
        let (mut seen, mut grown) = (0, Instant::now());
        loop {
            let lengths: Vec<usize> = pipe.query(redis)?;
            let now = Instant::now();
            let short = |(metric, length): (&u64, &usize)| *length < self.length(*metric);
            let Some(lane) = last.iter().zip(&lengths).position(short) else {
                return Ok(now);
            };
            let sum = lengths.iter().sum();
            if sum > seen {
                (seen, grown) = (sum, now);
            }
            if now - grown > patience {
                let (stored, length) = (lengths[lane], self.length(last[lane]));
                let what = format!("{stored} of {length} bytes, {patience:?} without growth");
                return Err(self.mismatch(last[lane], what));
            }
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    /// The first metric that is no member of the set of metrics, and how long its series
    /// is.
    ///
    /// # Errors
    /// When Redis does not answer, or all are members.
    pub fn no_member(&self, redis: &mut redis::Connection) -> Result<String> {
        for metric in (0..self.plan.metrics()).filter(|m| self.plan.is_stored(*m)) {
            let key = format!("{NAMESPACE}{}", self.names[metric as usize]);
            let (is_member, length): (bool, usize) = redis::pipe()
                .cmd("SISMEMBER")
                .arg(UNIQUE)
                .arg(&key)
                .cmd("STRLEN")
                .arg(&key)
                .query(redis)?;
            if !is_member {
                return Ok(format!("{key}, whose series has {length} bytes"));
            }
        }
        bail!("all metrics are members of {UNIQUE}")
    }

    /// Compares everything.
    ///
    /// # Errors
    /// A [`Mismatch`] that names the metric, or that Redis does not answer.
    pub fn check(&self, redis: &mut redis::Connection) -> Result<()> {
        let metrics = (0..self.plan.metrics()).filter(|m| self.plan.is_stored(*m));
        let metrics: Vec<u64> = metrics.collect();
        for page in metrics.chunks(PAGE) {
            let mut pipe = redis::pipe();
            for &metric in page {
                pipe.cmd("GET")
                    .arg(format!("{NAMESPACE}{}", self.names[metric as usize]));
            }
            let stored: Vec<Option<Vec<u8>>> =
                pipe.query(redis).context("Redis does not answer")?;
            for (&metric, stored) in page.iter().zip(stored) {
                self.compare(metric, stored.as_deref())?;
            }
            if self.membership {
                self.members(page, redis)?;
            }
        }
        if self.membership {
            let count: u64 = redis::cmd("SCARD").arg(UNIQUE).query(redis)?;
            let stored = self.plan.stored_metrics();
            if count != stored {
                let text = format!("{count} members, of {stored} metrics to be stored");
                return Err(Mismatch {
                    metric: UNIQUE.to_owned(),
                    what: text,
                }
                .into());
            }
        }
        Ok(())
    }

    fn compare(&self, metric: u64, stored: Option<&[u8]>) -> Result<()> {
        let expected = self.series(metric);
        let Some(stored) = stored else {
            return Err(self.mismatch(metric, "has no key".to_owned()));
        };
        if stored == expected {
            return Ok(());
        }
        let record = record::bytes(self.plan.stamp);
        let at = stored.iter().zip(&expected).position(|(a, b)| a != b);
        let at = at.unwrap_or(stored.len().min(expected.len()));
        Err(self.mismatch(
            metric,
            format!(
                "{} bytes instead of {} ({} records of {record}), different from record {} on",
                stored.len(),
                expected.len(),
                self.rounds,
                at / record
            ),
        ))
    }

    fn members(&self, page: &[u64], redis: &mut redis::Connection) -> Result<()> {
        let mut command = redis::cmd("SMISMEMBER");
        command.arg(UNIQUE);
        for &metric in page {
            command.arg(format!("{NAMESPACE}{}", self.names[metric as usize]));
        }
        let is: Vec<bool> = command.query(redis)?;
        match page.iter().zip(is).find(|(_, is)| !is) {
            Some((&metric, _)) => Err(self.mismatch(metric, format!("no member of {UNIQUE}"))),
            None => Ok(()),
        }
    }

    fn mismatch(&self, metric: u64, what: String) -> anyhow::Error {
        Mismatch {
            metric: self.names[metric as usize].clone(),
            what,
        }
        .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::floor;
    use crate::plan::Stamp;
    use crate::process::Cores;
    use crate::redis::{Persistence, Redis};
    use crate::sender::{Answers, Job, Pace, pump};
    use std::sync::atomic::{AtomicBool, AtomicU64};

    /// The floor's points must be found as they were meant, and every way in
    /// which a series can differ must be found too, with the metric's name.
    #[test]
    fn what_differs_is_found_and_named() {
        let redis = Redis::start(Cores::choose().unwrap().redis, Persistence::None).unwrap();
        let mut connection = redis.connect().unwrap();
        for stamp in [Stamp::Float, Stamp::Int] {
            redis.flush().unwrap();
            let plan = Plan {
                stamp,
                ..Plan::new(700, 3, 1000)
            };
            let names = plan.names();
            let rounds = plan.lap_rounds() * 2;
            let calendar = Calendar::new(rounds);
            if stamp == Stamp::Int {
                history::write(&plan, &names, &calendar, &mut connection).unwrap();
            }
            let mut lanes = floor::lanes(plan, &names, &calendar, &redis.socket()).unwrap();
            let job = Job {
                first_round: 0,
                rounds,
                calendar,
                pace: Pace::Closed,
                start: Instant::now(),
                answers: Answers::Counted {
                    window: floor::WINDOW_POINTS,
                },
                stop: &AtomicBool::new(false),
                progress: &AtomicU64::new(0),
            };
            assert_eq!(
                pump(&mut lanes, &job).unwrap().points,
                rounds * plan.metrics()
            );
            let expected = Expected {
                plan,
                names: &names,
                calendar,
                history: stamp == Stamp::Int,
                rounds,
                membership: false,
            };
            expected
                .wait(&mut connection, Duration::from_secs(10))
                .unwrap();
            expected.check(&mut connection).unwrap();

            let key = format!("{NAMESPACE}{}", names[123]);
            let series = expected.series(123);
            let record = record::bytes(stamp);
            let mut swapped = series.clone();
            swapped.rotate_left(record);
            let mut flipped = series.clone();
            *flipped.last_mut().unwrap() ^= 1;
            let doubled = [&series[..], &series[series.len() - record..]].concat();
            let wrong = [
                swapped,
                flipped,
                doubled,
                series[record..].to_vec(),
                Vec::new(),
            ];
            for wrong in wrong {
                redis::cmd("SET")
                    .arg(&key)
                    .arg(wrong)
                    .exec(&mut connection)
                    .unwrap();
                let error = expected.check(&mut connection).unwrap_err();
                let mismatch: Mismatch = error.downcast().unwrap();
                assert_eq!(mismatch.metric, names[123]);
            }
            redis::cmd("DEL").arg(&key).exec(&mut connection).unwrap();
            let error = expected.check(&mut connection).unwrap_err();
            assert_eq!(error.downcast::<Mismatch>().unwrap().metric, names[123]);
            redis::cmd("SET")
                .arg(&key)
                .arg(&series)
                .exec(&mut connection)
                .unwrap();
            expected.check(&mut connection).unwrap();
        }
    }

    #[test]
    fn a_missing_and_a_strange_member_are_found() {
        let redis = Redis::start(Cores::choose().unwrap().redis, Persistence::None).unwrap();
        let mut connection = redis.connect().unwrap();
        let plan = Plan::new(600, 1, 1);
        let (names, calendar) = (plan.names(), Calendar::new(1));
        let expected = Expected {
            plan,
            names: &names,
            calendar,
            history: false,
            rounds: 1,
            membership: true,
        };
        let mut pipe = redis::pipe();
        for (metric, name) in names.iter().enumerate() {
            let key = format!("{NAMESPACE}{name}");
            pipe.cmd("SET")
                .arg(&key)
                .arg(expected.series(metric as u64))
                .ignore();
            pipe.cmd("SADD").arg(UNIQUE).arg(&key).ignore();
        }
        pipe.exec(&mut connection).unwrap();
        expected.check(&mut connection).unwrap();
        let mut found = |command: &str, member: &str| {
            let member = format!("{NAMESPACE}{member}");
            redis::cmd(command)
                .arg(UNIQUE)
                .arg(member)
                .exec(&mut connection)
                .unwrap();
            let error = expected.check(&mut connection).unwrap_err();
            error.downcast::<Mismatch>().unwrap().metric
        };
        assert_eq!(found("SREM", &names[599]), names[599]);
        redis::cmd("SADD")
            .arg(UNIQUE)
            .arg(format!("{NAMESPACE}{}", names[599]))
            .exec(&mut redis.connect().unwrap())
            .unwrap();
        assert_eq!(found("SADD", "stranger"), UNIQUE);
    }
}
