//! From a column of values and one of times to the points of a metric.

use std::collections::BTreeMap;

use super::table::Cell;
use super::terms::Resample;
use crate::source::Sample;

/// Steps between the newest points that tell the resolution.
const STEPS: usize = 30;
/// Seconds of the periods that finer data are brought to.
const PERIOD_S: i64 = 60;

/// The points of a column that are newer than `after`, by time, one for each time: the
/// last of those that have the same. Where the step between them is mostly less than
/// a minute, they are brought to one a minute.
pub fn points(
    times: &[Option<i64>],
    cells: &[Cell],
    after: Option<i64>,
    resample: Resample,
) -> Vec<Sample> {
    let mut by_time = BTreeMap::new();
    for (time, cell) in times.iter().zip(cells) {
        if let (Some(time), Some(value)) = (time, cell.number())
            && after.is_none_or(|after| *time > after)
        {
            by_time.insert(*time, value);
        }
    }
    match step(&by_time) {
        Some(1..PERIOD_S) => resampled(&by_time, resample),
        _ => by_time
            .into_iter()
            .map(|(timestamp, value)| Sample { timestamp, value })
            .collect(),
    }
}

/// The commonest step between the newest points; of several, the shortest.
fn step(by_time: &BTreeMap<i64, f64>) -> Option<i64> {
    let newest: Vec<i64> = by_time.keys().rev().take(STEPS + 1).copied().collect();
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    for pair in newest.windows(2) {
        *counts.entry(pair[0] - pair[1]).or_default() += 1;
    }
    let commonest = counts.iter().max_by_key(|(step, count)| (**count, -**step));
    commonest.map(|(step, _)| *step)
}

/// One point for each minute that has any, at the minute's beginning.
fn resampled(by_time: &BTreeMap<i64, f64>, resample: Resample) -> Vec<Sample> {
    let mut minutes: BTreeMap<i64, (f64, u32)> = BTreeMap::new();
    for (time, value) in by_time {
        let minute = minutes
            .entry(time.div_euclid(PERIOD_S) * PERIOD_S)
            .or_default();
        minute.0 += value;
        minute.1 += 1;
    }
    let point = |(timestamp, (sum, count)): (i64, (f64, u32))| Sample {
        timestamp,
        value: match resample {
            Resample::Sum => sum,
            Resample::Mean => sum / f64::from(count),
        },
    };
    let points = minutes.into_iter().map(point);
    points.filter(|point| point.value.is_finite()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(rows: &[(i64, &str)], after: Option<i64>, resample: Resample) -> Vec<(i64, f64)> {
        let times: Vec<Option<i64>> = rows.iter().map(|(time, _)| Some(*time)).collect();
        let cells: Vec<Cell> = rows.iter().map(|(_, text)| Cell::text(text)).collect();
        let points = points(&times, &cells, after, resample).into_iter();
        points.map(|point| (point.timestamp, point.value)).collect()
    }

    #[test]
    fn what_is_no_number_or_known_already_is_left_out() {
        let rows = [
            (240, "4"),
            (60, "1"),
            (120, "x"),
            (180, ""),
            (300, "nan"),
            (360, "1e400"),
            (240, "5"),
        ];
        assert_eq!(run(&rows, None, Resample::Mean), [(60, 1.0), (240, 5.0)]);
        assert_eq!(run(&rows, Some(60), Resample::Mean), [(240, 5.0)]);
        assert_eq!(run(&rows, Some(240), Resample::Mean), []);
    }

    // Skyline sends NaN for minutes that have no point.
    #[test]
    fn finer_data_become_one_point_a_minute() {
        let rows = [
            (0, "1"),
            (30, "3"),
            (60, "5"),
            (90, "7"),
            (240, "9"),
            (270, "11"),
        ];
        assert_eq!(
            run(&rows, None, Resample::Mean),
            [(0, 2.0), (60, 6.0), (240, 10.0)]
        );
        assert_eq!(
            run(&rows, None, Resample::Sum),
            [(0, 4.0), (60, 12.0), (240, 20.0)]
        );
    }

    #[test]
    fn data_of_a_minute_and_coarser_stay_as_they_are() {
        let rows = [(1, "1"), (61, "2"), (3661, "3")];
        assert_eq!(
            run(&rows, None, Resample::Mean),
            [(1, 1.0), (61, 2.0), (3661, 3.0)]
        );
        assert_eq!(run(&[(7, "1")], None, Resample::Mean), [(7, 1.0)]);
    }
}
