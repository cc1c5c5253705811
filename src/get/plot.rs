//! Draws a series with the characters of a terminal.

use jiff::Timestamp;
use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::symbols::Marker;
use ratatui_core::widgets::Widget;
use ratatui_widgets::chart::{Axis, Chart, Dataset, GraphType};

pub(crate) use super::series::Sample;
use crate::logging::printable;

/// Columns and rows where there is no terminal.
const SIZE: (u16, u16) = (80, 24);
/// Most rows of the chart, so that the shape of the series stays in view.
const ROWS_MAX: u16 = 30;

/// Columns and rows of the terminal that standard output is.
pub(crate) fn terminal_size() -> (u16, u16) {
    match rustix::termios::tcgetwinsize(std::io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col, size.ws_row),
        _ => SIZE,
    }
}

/// The chart below a line that says what it shows, in `size` columns and rows.
pub(crate) fn draw(metric: &str, samples: &[Sample], size: (u16, u16)) -> String {
    let points: Vec<(f64, f64)> = samples
        .iter()
        .map(|sample| (sample.timestamp.as_f64(), sample.value.as_f64()))
        .filter(|(timestamp, value)| timestamp.is_finite() && value.is_finite())
        .collect();
    let head = format!("{}: {} points", printable(metric), samples.len());
    let (Some(newest), Some(times), Some(values)) = (
        samples.last(),
        bounds(points.iter().map(|point| point.0), 60.0),
        bounds(points.iter().map(|point| point.1), 1.0),
    ) else {
        return format!("{head}\n");
    };
    // One row is for the head, and one for the prompt that follows.
    let area = Rect::new(0, 0, size.0.clamp(40, 400), size.1.clamp(12, ROWS_MAX) - 2);
    let mut buffer = Buffer::empty(area);
    let dataset = Dataset::default()
        .marker(Marker::Braille)
        .graph_type(GraphType::Line)
        .data(&points);
    let middle = values[0] / 2.0 + values[1] / 2.0;
    Chart::new(vec![dataset])
        .x_axis(Axis::default().bounds(times).labels(times.map(time)))
        .y_axis(
            Axis::default()
                .bounds(values)
                .labels([values[0], middle, values[1]].map(amount)),
        )
        .render(area, &mut buffer);
    let mut text = format!("{head}, newest {}, times in UTC\n", newest.value);
    for row in 0..area.height {
        let cells = (0..area.width).map(|column| buffer[(column, row)].symbol());
        text.push_str(cells.collect::<String>().trim_end());
        text.push('\n');
    }
    text
}

/// The least and the greatest number, with `room` around them if they are one.
fn bounds(numbers: impl Iterator<Item = f64>, room: f64) -> Option<[f64; 2]> {
    let (min, max) = numbers.fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), number| {
        (min.min(number), max.max(number))
    });
    if min > max {
        return None;
    }
    if min < max {
        return Some([min, max]);
    }
    // A large number needs more for a difference to be seen at all.
    let room = room.max(min.abs() / 1e9);
    Some([min - room, max + room])
}

fn time(timestamp: f64) -> String {
    match Timestamp::from_second(timestamp as i64) {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => amount(timestamp),
    }
}

fn amount(number: f64) -> String {
    let size = number.abs();
    if size != 0.0 && !(1e-3..1e6).contains(&size) {
        format!("{number:.3e}")
    } else {
        format!("{number:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::point::Number;

    fn samples(values: impl Iterator<Item = f64>) -> Vec<Sample> {
        let sample = |(at, value)| Sample {
            timestamp: Number::Int(1_795_302_400 + 60 * at),
            value: Number::Float(value),
        };
        (0_i64..).zip(values).map(sample).collect()
    }

    #[test]
    fn a_ramp_goes_from_the_lower_left_to_the_upper_right() {
        let text = draw("a\u{9b}b", &samples((0..100).map(f64::from)), (80, 24));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "a\\u{9b}b: 100 points, newest 99.0, times in UTC");
        assert_eq!(lines.len(), 23, "{text}");
        assert!(
            lines.iter().all(|line| line.chars().count() <= 80),
            "{text}"
        );
        let first = lines
            .iter()
            .position(|line| line.contains("99.000"))
            .unwrap();
        let last = lines
            .iter()
            .position(|line| line.contains("0.000"))
            .unwrap();
        assert!(first <= 2 && last > first, "{text}");
        let width = |line: &str| line.trim_end_matches(|c| !is_dots(c)).chars().count();
        assert!(width(lines[first]) > 70, "{text}");
        assert!(text.contains("2026-11-21 "), "{text}");
    }

    fn is_dots(c: char) -> bool {
        ('\u{2801}'..='\u{28ff}').contains(&c)
    }

    // A terminal may be of any size, and a series of any numbers.
    #[test]
    fn odd_series_and_sizes_are_drawn_all_the_same() {
        let odd = [f64::NAN, f64::MAX, f64::MIN, 0.0, f64::INFINITY, 1e-300];
        for size in [(0, 0), (1, 1), (80, 24), (u16::MAX, u16::MAX)] {
            for count in 0..=odd.len() {
                let text = draw("m", &samples(odd.into_iter().take(count)), size);
                assert!(text.starts_with("m: "), "{text}");
            }
        }
        let far = Sample {
            timestamp: Number::Uint(u64::MAX),
            value: Number::Int(1),
        };
        assert!(draw("m", &[far], SIZE).contains("e19"));
    }
}
