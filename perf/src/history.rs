//! What series hold before a slice begins. Redis doubles a string's room when it
//! is full. Series that all begin empty are full in the same round: then Redis
//! moves every one of them at once, which a stream that has run for a day never
//! does. So each series begins with another number of points.

use anyhow::Result;

use crate::plan::{Calendar, Plan};
use crate::record;
use crate::verify::{NAMESPACE, UNIQUE};

/// Different lengths that series begin with: 0 to 63 points.
const LENGTHS: u64 = 64;

/// Keys written in one pipeline.
const PAGE: usize = 1000;

/// Points that metric `metric` begins with.
pub fn points(metric: u64) -> u64 {
    // Neighbours differ, and so do the metrics of one frame.
    (metric.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) % LENGTHS
}

/// Appends the points that metric `metric` begins with to `out`.
pub fn put(out: &mut Vec<u8>, plan: &Plan, calendar: &Calendar, metric: u64) {
    let points = points(metric);
    for point in 0..points {
        let second = calendar.second(0) - (points - point);
        // The value says which of the points it is; no sent point has such a value.
        record::put(out, plan.stamp, second, point as f64 + 0.25);
    }
}

/// Writes them all, and the metrics that begin with any into the set of metrics.
/// Those that begin without are keys that the server has to make.
pub fn write(
    plan: &Plan,
    names: &[String],
    calendar: &Calendar,
    redis: &mut redis::Connection,
) -> Result<()> {
    let metrics: Vec<u64> = (0..plan.metrics())
        .filter(|m| plan.is_stored(*m) && points(*m) > 0)
        .collect();
    for page in metrics.chunks(PAGE) {
        let mut pipe = redis::pipe();
        let mut members = redis::cmd("SADD");
        members.arg(UNIQUE);
        for &metric in page {
            let key = format!("{NAMESPACE}{}", names[metric as usize]);
            let mut series = Vec::new();
            put(&mut series, plan, calendar, metric);
            pipe.cmd("SET").arg(&key).arg(series).ignore();
            members.arg(key);
        }
        pipe.add_command(members).ignore();
        pipe.exec(redis)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_begin_with_every_length_about_equally_often() {
        let mut counts = [0; LENGTHS as usize];
        for metric in 0..64_000 {
            counts[points(metric) as usize] += 1;
        }
        assert!(
            counts.iter().all(|count| (900..1100).contains(count)),
            "{counts:?}"
        );
    }
}
