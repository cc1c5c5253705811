//! Lines of Graphite's plaintext protocol: `name value timestamp\n`. Timestamps of
//! whole seconds are what carbon itself sends; as floats they have a `.0`.

use crate::plan::{Calendar, Plan, Stamp, value};
use crate::tape::{Ink, Mark, Tape};

/// Lane `lane`'s tape of lines, in frames of the same points as
/// [`crate::frames::tape`] makes.
pub fn tape(plan: Plan, lane: u64, names: &[String], calendar: &Calendar) -> Tape {
    let end = match plan.stamp {
        Stamp::Float => ".0\n",
        Stamp::Int => "\n",
    };
    Tape::new(plan, lane, Ink::Text, |page, metrics| {
        for metric in metrics {
            page.bytes
                .extend_from_slice(names[metric as usize].as_bytes());
            page.bytes.push(b' ');
            let at = page.bytes.len() as u32;
            let (value, second) = (value(metric), calendar.second(0));
            let text = format!("{value:?} {second:010}{end}");
            page.bytes.extend_from_slice(text.as_bytes());
            page.marks.push(Mark {
                timestamp: at + (text.len() - end.len() - 10) as u32,
                value: at,
            });
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use skyring::point::Number;
    use skyring::wire::line::Lines;

    /// Also those of a later lap, which are written over the first.
    #[test]
    fn lines_say_the_points_of_the_plan() {
        let calendar = Calendar::new(40);
        for stamp in [Stamp::Float, Stamp::Int] {
            let plan = Plan {
                stamp,
                ..Plan::new(700, 2, 500)
            };
            let names = plan.names();
            let mut tape = tape(plan, 1, &names, &calendar);
            for lap in [0, 3] {
                (0..plan.lap_frames()).for_each(|frame| tape.write(lap, frame, &calendar));
                let mut lines = Lines::new(tape.bytes(), 0);
                for place in 0..plan.lap_points() {
                    let round = lap * plan.lap_rounds() + place / plan.per_lane;
                    let metric = plan.per_lane + place % plan.per_lane;
                    let second = calendar.second(round);
                    let point = lines.next().unwrap();
                    assert_eq!(point.name, names[metric as usize].as_bytes());
                    assert_eq!(
                        point.value,
                        Number::Float(value(plan.sequence(round, metric)))
                    );
                    let timestamp = match stamp {
                        Stamp::Float => Number::Float(second as f64),
                        Stamp::Int => Number::Int(second as i64),
                    };
                    assert_eq!(point.timestamp, timestamp);
                }
                assert_eq!(lines.next(), None);
            }
        }
    }
}
