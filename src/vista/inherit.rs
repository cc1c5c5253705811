//! What Python's Vista has left in Redis: fetched and not yet submitted. It is delivered
//! and removed, since it holds credentials, which are not looked at.
//!
//! `vista.fetcher.metrics.json` is a set of Python literals:
//!
//! ```text
//! [{'metric': 'a.b', 'datapoints': "[[1651211940, 0.92], ...]", 'token': ..., ...}]
//! ```

use redis::RedisResult;
use serde_json::Value;

use crate::background::Link;
use crate::flux::FluxPoint;
use crate::literal;

/// Python's queue.
const QUEUE: &str = "vista.fetcher.metrics.json";
/// Statistics of one of its cycles, which nobody else removes.
const FETCHED: &str = "vista.fetcher.metrics.fetched";
/// Records that are looked at together.
const RECORDS_MAX: usize = 100;

/// Some of what is left.
#[derive(Debug, Default)]
pub(super) struct Inheritance {
    /// The records as they stand in Redis.
    records: Vec<Vec<u8>>,
    /// Those of them that are none, which are removed all the same.
    pub unreadable: usize,
    /// What the others hold, in the order of the timestamps of each metric.
    pub points: Vec<FluxPoint>,
}

impl Inheritance {
    /// Looks at some records.
    ///
    /// # Errors
    ///
    /// Those of Redis.
    pub fn take(link: &mut Link) -> RedisResult<Self> {
        let mut command = redis::cmd("SRANDMEMBER");
        let records: Vec<Vec<u8>> = link.query(command.arg(QUEUE).arg(RECORDS_MAX))?;
        let mut inheritance = Self::default();
        for record in &records {
            match points(record) {
                Some(points) => inheritance.points.extend(points),
                None => inheritance.unreadable += 1,
            }
        }
        // One metric may have several records.
        inheritance.points.sort_by(|one, other| {
            (&one.metric, one.timestamp).cmp(&(&other.metric, other.timestamp))
        });
        inheritance.records = records;
        Ok(inheritance)
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Removes the records, of which all that is good was delivered.
    ///
    /// # Errors
    ///
    /// Those of Redis.
    pub fn remove(&self, link: &mut Link) -> RedisResult<()> {
        let mut commands = redis::pipe();
        if !self.records.is_empty() {
            commands.srem(QUEUE, &self.records).ignore();
        }
        commands.del(FETCHED).ignore();
        link.run(&commands)
    }
}

/// The points of a record; `None` if it is none.
fn points(record: &[u8]) -> Option<Vec<FluxPoint>> {
    let record = literal::parse(std::str::from_utf8(record).ok()?).ok()?;
    let record = match &record {
        Value::Array(items) => items.first()?,
        other => other,
    };
    let metric = record.get("metric")?.as_str()?;
    // The points may stand there as text within text.
    let mut points = record.get("datapoints")?.clone();
    while let Value::String(text) = &points {
        points = literal::parse(text).ok()?;
    }
    let points = points.as_array()?.iter().filter_map(|point| {
        Some(FluxPoint {
            metric: metric.to_owned(),
            timestamp: point.get(0)?.as_f64().map(|timestamp| timestamp as i64)?,
            // What is not finite reads as null.
            value: point.get(1)?.as_f64()?,
            fill: false,
        })
    });
    Some(points.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::private_redis::tests::TestRedis;

    /// As Python's Vista writes it: `[str(dict)]` with the points quoted once more.
    const RECORD: &str = "[{'remote_host_type': 'graphite', 'remote_target': 'a.b', \
        'graphite_target': 'a.b', 'metric': 'vista.a.b', 'namespace_prefix': 'vista', \
        'key': 'SECRET', 'token': 'None', 'user': 'None', 'password': 'SECRET', \
        'datapoints': '\"[[1651211940, 0.92], [1651212000, nan], [1651212060, 1e+22]]\"'}]";

    #[test]
    fn a_record_gives_its_points_and_those_that_are_no_numbers_are_left_out() {
        let points = points(RECORD.as_bytes()).unwrap();
        let read: Vec<(&str, i64, f64)> = points
            .iter()
            .map(|point| (point.metric.as_str(), point.timestamp, point.value))
            .collect();
        let want = [
            ("vista.a.b", 1_651_211_940, 0.92),
            ("vista.a.b", 1_651_212_060, 1e22),
        ];
        assert_eq!(read, want);
        for bad in [
            "",
            "[]",
            "[{}]",
            "[{'metric': 'a', 'datapoints': 'x'}]",
            "\u{ff}",
        ] {
            assert_eq!(super::points(bad.as_bytes()), None, "{bad}");
        }
    }

    // They hold credentials: even what cannot be read must go.
    #[test]
    fn records_are_removed_once_they_are_delivered() {
        let redis = TestRedis::start(&[]);
        let mut link = Link::new(redis.url());
        let mut add = redis::cmd("SADD");
        add.arg(QUEUE).arg(RECORD).arg("not a record");
        link.query::<()>(&add).unwrap();
        let inheritance = Inheritance::take(&mut link).unwrap();
        let counts = (inheritance.len(), inheritance.unreadable);
        assert_eq!((counts, inheritance.points.len()), ((2, 1), 2));
        inheritance.remove(&mut link).unwrap();
        assert_eq!(Inheritance::take(&mut link).unwrap().len(), 0);
    }
}
