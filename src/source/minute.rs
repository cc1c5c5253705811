//! Means per minute, and how far the points of a series lie apart.

use super::Sample;

/// Seconds of a minute.
pub const MINUTE: i64 = 60;

/// The start of the minute that `timestamp` lies in, UTC.
pub fn floor(timestamp: i64) -> i64 {
    timestamp - timestamp.rem_euclid(MINUTE)
}

/// The mean of each minute, under the minute's first second: the points of
/// `[60k, 60k + 60)` become one at `60k`. Minutes without a point stay without one.
/// `samples` are in the order of their timestamps, and so is what is returned.
///
/// A minute that lies at the end may be incomplete: whoever asks knows up to when
/// the source was asked.
pub fn means(samples: &[Sample]) -> Vec<Sample> {
    let minutes = samples.chunk_by(|one, next| floor(one.timestamp) == floor(next.timestamp));
    minutes
        .filter_map(|minute| {
            let first = minute.first()?;
            Some(Sample {
                timestamp: floor(first.timestamp),
                value: mean(minute),
            })
        })
        .collect()
}

/// As [`means`], if the points of the series lie closer than a minute; else they
/// stay as they are.
pub fn at_most_one_per_minute(samples: Vec<Sample>) -> Vec<Sample> {
    match resolution(&samples) {
        Some(seconds) if seconds < MINUTE => means(&samples),
        _ => samples,
    }
}

/// The most common difference between neighbours, in seconds: the first of those
/// that are equally common. None if there are no two points of different times.
pub fn resolution(samples: &[Sample]) -> Option<i64> {
    let mut differences: Vec<i64> = samples
        .windows(2)
        .map(|pair| pair[1].timestamp.saturating_sub(pair[0].timestamp))
        .filter(|difference| *difference > 0)
        .collect();
    let in_order = differences.clone();
    differences.sort_unstable();
    let runs = || differences.chunk_by(|one, next| one == next);
    let most = runs().map(<[i64]>::len).max()?;
    let common: Vec<i64> = runs()
        .filter(|run| run.len() == most)
        .map(|run| run[0])
        .collect();
    // They are still sorted.
    in_order
        .into_iter()
        .find(|it| common.binary_search(it).is_ok())
}

/// The mean of values that are each finite, finite itself.
fn mean(samples: &[Sample]) -> f64 {
    let count = samples.len() as f64;
    let sum: f64 = samples.iter().map(|sample| sample.value).sum();
    if sum.is_finite() {
        return sum / count;
    }
    // The sum is beyond what a float holds, the mean is not.
    samples.iter().map(|sample| sample.value / count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn samples(pairs: &[(i64, f64)]) -> Vec<Sample> {
        let sample = |&(timestamp, value)| Sample { timestamp, value };
        pairs.iter().map(sample).collect()
    }

    #[test]
    fn points_of_a_minute_become_their_mean_at_its_start() {
        let raw = samples(&[(60, 1.0), (75, 3.0), (130, 5.0), (300, 1.0)]);
        let wanted = samples(&[(60, 2.0), (120, 5.0), (300, 1.0)]);
        assert_eq!(means(&raw), wanted);
        assert_eq!(means(&[]), []);
        let edge = samples(&[(119, 1.0), (120, 3.0), (179, 5.0)]);
        assert_eq!(means(&edge), samples(&[(60, 1.0), (120, 4.0)]));
        assert_eq!(floor(-1), -60);
    }

    #[test]
    fn coarser_points_stay_as_they_are() {
        let coarse = samples(&[(90, 1.0), (180, 2.0), (270, 3.0)]);
        assert_eq!(at_most_one_per_minute(coarse.clone()), coarse);
        let fine = samples(&[(60, 1.0), (70, 3.0), (80, 2.0)]);
        assert_eq!(at_most_one_per_minute(fine), samples(&[(60, 2.0)]));
    }

    #[test]
    fn the_resolution_is_the_most_common_step_and_the_first_of_equals() {
        let at = |times: &[i64]| {
            let pairs: Vec<(i64, f64)> = times.iter().map(|time| (*time, 0.0)).collect();
            resolution(&samples(&pairs))
        };
        assert_eq!(at(&[0, 60, 120, 300, 360]), Some(60));
        assert_eq!(at(&[0, 300, 360]), Some(300));
        assert_eq!(at(&[0, 60, 360]), Some(60));
        assert_eq!(at(&[5, 5]), None);
        assert_eq!(at(&[5]), None);
    }

    // Two of the largest floats have a sum that no float holds.
    #[test]
    fn a_mean_of_finite_values_is_finite() {
        let large = samples(&[(0, f64::MAX), (1, f64::MAX)]);
        assert_eq!(means(&large), samples(&[(0, f64::MAX)]));
    }

    proptest! {
        #[test]
        fn each_minute_with_points_has_one_mean_within_their_range(
            mut times in prop::collection::vec(-5_000_i64..5_000, 0..200),
            values in prop::collection::vec(-1e6_f64..1e6, 200),
        ) {
            times.sort_unstable();
            let pairs: Vec<(i64, f64)> = times.iter().copied().zip(values).collect();
            let raw = samples(&pairs);
            let found = means(&raw);
            prop_assert!(found.is_sorted_by(|one, next| one.timestamp < next.timestamp));
            let mut minutes: Vec<i64> = times.iter().map(|time| floor(*time)).collect();
            minutes.dedup();
            let labels: Vec<i64> = found.iter().map(|sample| sample.timestamp).collect();
            prop_assert_eq!(labels, minutes);
            for mean in found {
                let of_it = raw.iter().filter(|one| floor(one.timestamp) == mean.timestamp);
                let (low, high) = of_it.fold((f64::MAX, f64::MIN), |(low, high), one| {
                    (low.min(one.value), high.max(one.value))
                });
                prop_assert!(low - 1e-6 <= mean.value && mean.value <= high + 1e-6);
            }
        }
    }
}
