//! What of an answer is new: whole minutes after the last point.

use crate::source::{Sample, minute};

use super::gap::{MINUTE_S, minute_of};

/// How long after the end of a minute its points may still come, if none of a later
/// minute shows that they all have.
const STRAGGLE_S: i64 = 60;
/// Points of which the resolution is made, the newest.
const RESOLUTION_POINTS: usize = 30;

/// What is new in an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fresh {
    /// The points to deliver, in the order of their timestamps.
    pub points: Vec<Sample>,
    /// Seconds between two points of the source, if that can be told.
    pub resolution_s: Option<i64>,
}

/// The points of `samples`, which are sorted and each of a time of its own, that are
/// newer than `last_s` and not of the minute that `now_s` is in.
///
/// Where the source has several in a minute, whole minutes become their means, as
/// Flux's populate makes them of history. `known_s` is the resolution that earlier
/// answers had, for one that is too short to tell.
pub fn fresh(samples: &[Sample], last_s: Option<i64>, known_s: Option<i64>, now_s: i64) -> Fresh {
    let minute_s = minute_of(now_s);
    let newest = &samples[samples.len().saturating_sub(RESOLUTION_POINTS)..];
    let resolution_s = minute::resolution(newest).or(known_s);
    let is_over = |sample: &&Sample| sample.timestamp < minute_s;
    let is_new = |sample: &Sample| last_s.is_none_or(|last_s| sample.timestamp > last_s);
    let over: Vec<Sample> = samples.iter().filter(is_over).copied().collect();
    let points = match resolution_s {
        Some(resolution_s) if resolution_s < MINUTE_S => {
            let newest_s = samples.last().map_or(i64::MIN, |sample| sample.timestamp);
            let is_whole = |mean: &Sample| {
                let end_s = mean.timestamp + MINUTE_S;
                newest_s >= end_s || now_s >= end_s + STRAGGLE_S
            };
            let means = minute::means(&over).into_iter();
            means
                .filter(|mean| is_new(mean) && is_whole(mean))
                .collect()
        }
        _ => over.into_iter().filter(is_new).collect(),
    };
    Fresh {
        points,
        resolution_s,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A whole minute.
    const M: i64 = 1_795_296_060;

    fn samples(pairs: &[(i64, f64)]) -> Vec<Sample> {
        let sample = |&(timestamp, value)| Sample { timestamp, value };
        pairs.iter().map(sample).collect()
    }

    // A vector of the reference.
    #[test]
    fn the_current_minute_and_what_follows_it_are_left_out() {
        let all = samples(&[
            (M - 240, 1e22),
            (M - 180, 1e-7),
            (M - 120, 0.0),
            (M - 60, -5.0),
            (M, 8.0),
            (M + 60, 9.0),
        ]);
        for now_s in [M, M + 1, M + 59] {
            assert_eq!(fresh(&all, None, None, now_s).points, all[..4]);
        }
        assert_eq!(fresh(&all, None, None, M - 1).points, all[..3]);
        assert_eq!(fresh(&all, Some(M - 120), None, M).points, all[3..4]);
        assert_eq!(fresh(&all, Some(M - 119), None, M).points, all[3..4]);
        assert_eq!(fresh(&all, Some(M - 60), None, M).points, []);
    }

    #[test]
    fn several_points_in_a_minute_become_its_mean_once_it_is_whole() {
        let every_20_s: Vec<Sample> = (0..9)
            .map(|at| Sample {
                timestamp: M - 120 + 20 * at,
                value: at as f64,
            })
            .collect();
        let means = samples(&[(M - 120, 1.0), (M - 60, 4.0)]);
        // A point of the current minute shows that the last one is whole.
        assert_eq!(fresh(&every_20_s, None, None, M + 41).points, means);
        // Without it the last may still come, but not for ever.
        let late = &every_20_s[..5];
        assert_eq!(fresh(late, None, None, M + 5).points, means[..1]);
        let straggled = samples(&[(M - 120, 1.0), (M - 60, 3.5)]);
        assert_eq!(fresh(late, None, None, M + 60).points, straggled);
        assert_eq!(
            fresh(&every_20_s, Some(M - 120), None, M).points,
            means[1..]
        );
    }

    #[test]
    fn coarser_points_keep_their_times() {
        let hourly = samples(&[(M - 7205, 1.0), (M - 3605, 2.0), (M - 5, 3.0)]);
        let fresh = fresh(&hourly, Some(M - 7205), None, M + 30);
        assert_eq!(fresh.points, hourly[1..]);
        assert_eq!(fresh.resolution_s, Some(3600));
        assert_eq!(super::fresh(&[], None, None, M), Fresh::default());
    }

    proptest! {
        // However a stream of points is cut into questions, each minute is delivered once
        // and as a whole.
        #[test]
        fn every_minute_is_delivered_once(
            step_s in 1_i64..200,
            offset_s in 0_i64..60,
            waits in proptest::collection::vec(1_i64..180, 1..40),
        ) {
            let at = |at| M - 600 + offset_s + at * step_s;
            let all: Vec<Sample> = (0..8000 / step_s)
                .map(|place| Sample { timestamp: at(place), value: place as f64 })
                .collect();
            let answer = |now_s| {
                let count = all.partition_point(|sample| sample.timestamp <= now_s);
                &all[..count]
            };
            let (mut now_s, mut last_s, mut known_s) = (M, None, None);
            let mut delivered = Vec::new();
            for wait_s in waits {
                now_s += wait_s;
                let fresh = fresh(answer(now_s), last_s, known_s, now_s);
                delivered.extend(fresh.points);
                known_s = fresh.resolution_s;
                last_s = delivered.last().map(|sample: &Sample| sample.timestamp);
            }
            let over = answer(minute_of(now_s) - 1);
            let want = if step_s < MINUTE_S { minute::means(over) } else { over.to_vec() };
            // The last minute may not be known to be whole yet.
            prop_assert!(delivered.len() == want.len() || delivered.len() + 1 == want.len());
            prop_assert_eq!(&delivered[..], &want[..delivered.len()]);
        }
    }
}
