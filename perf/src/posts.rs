//! POSTs of metrics to Flux, as the JSON that Python's `json.dumps` writes.

use crate::plan::{Calendar, Plan, value};
use crate::tape::{Ink, Mark, Page, Tape};

/// The key that the server is given.
pub const KEY: &str = "YOURown32charSkylineAPIkeySecret";

/// Lane `lane`'s tape of requests, one for each frame of the plan.
pub fn tape(plan: Plan, lane: u64, names: &[String], calendar: &Calendar) -> Tape {
    Tape::new(plan, lane, Ink::Text, |page, metrics| {
        let (mut body, mut marks) = (Vec::new(), Vec::new());
        let metrics = metrics.map(|m| (names[m as usize].as_str(), calendar.second(0), value(m)));
        self::body(
            &mut Page {
                bytes: &mut body,
                marks: &mut marks,
            },
            metrics,
            "",
        );
        let head = head("/metric_data_post", body.len());
        page.bytes.extend_from_slice(head.as_bytes());
        let from = page.bytes.len() as u32;
        page.bytes.extend_from_slice(&body);
        page.marks.extend(marks.iter().map(|mark| Mark {
            timestamp: mark.timestamp + from,
            value: mark.value + from,
        }));
    })
}

/// Appends a body with these points, `(name, timestamp in seconds, value)`, and with
/// `more` behind them.
pub fn body<'n>(
    page: &mut Page<'_>,
    points: impl Iterator<Item = (&'n str, u64, f64)>,
    more: &str,
) {
    let begin = format!("{{\"key\": \"{KEY}\", \"metrics\": [");
    page.bytes.extend_from_slice(begin.as_bytes());
    let mut separator = "";
    for (name, second, value) in points {
        let before = format!("{separator}{{\"metric\": \"{name}\", \"timestamp\": ");
        page.bytes.extend_from_slice(before.as_bytes());
        let timestamp = page.bytes.len() as u32;
        let between = format!("{second:010}, \"value\": ");
        page.bytes.extend_from_slice(between.as_bytes());
        let mark = Mark {
            timestamp,
            value: page.bytes.len() as u32,
        };
        page.bytes
            .extend_from_slice(format!("{value:?}}}").as_bytes());
        page.marks.push(mark);
        separator = ", ";
    }
    page.bytes.extend_from_slice(b"]");
    page.bytes.extend_from_slice(more.as_bytes());
    page.bytes.extend_from_slice(b"}");
}

fn head(path: &str, length: usize) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Also those of a later lap, which are written over the first.
    #[test]
    fn requests_say_the_points_of_the_plan() {
        let calendar = Calendar::new(40);
        let plan = Plan::new(700, 2, 450);
        let names = plan.names();
        let mut tape = tape(plan, 1, &names, &calendar);
        for lap in [0, 3] {
            (0..plan.lap_frames()).for_each(|frame| tape.write(lap, frame, &calendar));
            let (mut from, mut place) = (0, 0);
            for frame in 0..plan.lap_frames() {
                let request = std::str::from_utf8(&tape.bytes()[from..tape.end(frame)]).unwrap();
                from = tape.end(frame);
                let (head, body) = request.split_once("\r\n\r\n").unwrap();
                assert!(head.ends_with(&format!("Content-Length: {}", body.len())));
                let body: serde_json::Value = serde_json::from_str(body).unwrap();
                for point in body["metrics"].as_array().unwrap() {
                    let round = lap * plan.lap_rounds() + place / plan.per_lane;
                    let metric = plan.per_lane + place % plan.per_lane;
                    let value = value(plan.sequence(round, metric));
                    let wanted = serde_json::json!({
                        "metric": names[metric as usize],
                        "timestamp": calendar.second(round),
                        "value": value,
                    });
                    assert_eq!(*point, wanted);
                    place += 1;
                }
            }
            assert_eq!(place, plan.lap_points());
        }
    }
}
