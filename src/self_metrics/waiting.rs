//! The points about this server from their making until they are handed over.

use std::collections::VecDeque;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use crate::batch::Outcome;
use crate::shard::OwnedPoint;

/// Points that wait; behind it the oldest are dropped.
const WAITING_MAX: usize = 10_000;

/// See the module.
#[derive(Default)]
pub(super) struct Waiting {
    points: VecDeque<OwnedPoint>,
    /// What this server was given and has not answered.
    submitted: Option<Submitted>,
    /// Points that were taken.
    pub sent: u64,
    /// Points that were not, and will not be offered again.
    pub dropped: u64,
}

struct Submitted {
    points: Vec<OwnedPoint>,
    answer: Receiver<Outcome>,
}

impl Waiting {
    /// Adds a point behind the others.
    pub fn push(&mut self, point: OwnedPoint) {
        self.points.push_back(point);
        self.trim();
    }

    /// How many points are neither sent nor dropped.
    pub fn len(&self) -> usize {
        let submitted = self.submitted.as_ref();
        self.points.len() + submitted.map_or(0, |submitted| submitted.points.len())
    }

    /// Sends what waits, all or nothing.
    ///
    /// # Errors
    ///
    /// That of `send`; then everything waits on.
    pub fn send<E>(&mut self, send: impl FnOnce(&[OwnedPoint]) -> Result<(), E>) -> Result<(), E> {
        if self.points.is_empty() {
            return Ok(());
        }
        send(self.points.make_contiguous())?;
        self.sent += self.points.len() as u64;
        self.points.clear();
        Ok(())
    }

    /// Submits what waits to this server, unless it has yet to answer to what it was
    /// given before, and waits for its answer for `timeout`.
    pub fn submit(
        &mut self,
        submit: impl FnOnce(Vec<OwnedPoint>) -> Receiver<Outcome>,
        timeout: Duration,
    ) {
        self.settle(Duration::ZERO);
        if self.submitted.is_some() || self.points.is_empty() {
            return;
        }
        let points: Vec<OwnedPoint> = self.points.drain(..).collect();
        let answer = submit(points.clone());
        self.submitted = Some(Submitted { points, answer });
        self.settle(timeout);
    }

    /// Looks whether this server has answered.
    pub fn settle(&mut self, timeout: Duration) {
        let Some(Submitted { points, answer }) = self.submitted.take() else {
            return;
        };
        match answer.recv_timeout(timeout) {
            Ok(outcome) if !outcome.busy => {
                self.sent += outcome.admitted;
                self.dropped += outcome.refused;
            }
            // They may be in a shard's inbox, or wait for Redis as all points do.
            Err(RecvTimeoutError::Timeout) => {
                self.submitted = Some(Submitted { points, answer });
            }
            // There is no room, or the shard has ended.
            Ok(_) | Err(RecvTimeoutError::Disconnected) => {
                for point in points.into_iter().rev() {
                    self.points.push_front(point);
                }
                self.trim();
            }
        }
    }

    fn trim(&mut self) {
        let over = self.points.len().saturating_sub(WAITING_MAX);
        self.points.drain(..over);
        self.dropped += over as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::point::Number;

    fn point(name: &str) -> OwnedPoint {
        OwnedPoint {
            name: name.to_owned(),
            timestamp: Number::Int(1_700_000_000),
            value: Number::Float(1.0),
        }
    }

    fn filled(count: usize) -> Waiting {
        let mut waiting = Waiting::default();
        for at in 0..count {
            waiting.push(point(&at.to_string()));
        }
        waiting
    }

    fn figures(waiting: &Waiting) -> (usize, u64, u64) {
        (waiting.len(), waiting.sent, waiting.dropped)
    }

    // A server that is slow to say that it has no room gets them again, in order.
    #[test]
    fn a_late_answer_is_heard() {
        let mut waiting = filled(2);
        let (busy, answer) = crossbeam_channel::bounded(1);
        waiting.submit(|_| answer, Duration::ZERO);
        assert_eq!(figures(&waiting), (2, 0, 0), "no answer is no yes");
        waiting.push(point("2"));
        let twice = |_| -> Receiver<Outcome> { panic!("while there is no answer") };
        waiting.submit(twice, Duration::ZERO);
        let outcome = Outcome {
            busy: true,
            ..Outcome::default()
        };
        busy.send(outcome).unwrap();
        let (taken, answer) = crossbeam_channel::bounded(1);
        let mut names = Vec::new();
        let again = |points: Vec<OwnedPoint>| {
            names = points.into_iter().map(|point| point.name).collect();
            answer
        };
        waiting.submit(again, Duration::ZERO);
        assert_eq!(names, ["0", "1", "2"]);
        let outcome = Outcome {
            admitted: 2,
            refused: 1,
            ..Outcome::default()
        };
        taken.send(outcome).unwrap();
        waiting.settle(Duration::ZERO);
        assert_eq!(figures(&waiting), (0, 2, 1));
    }

    #[test]
    fn what_a_shard_that_has_ended_was_given_is_not_sent() {
        let mut waiting = filled(2);
        waiting.submit(|_| crossbeam_channel::bounded(1).1, Duration::ZERO);
        assert_eq!(figures(&waiting), (2, 0, 0));
    }

    #[test]
    fn sending_is_all_or_nothing_and_the_oldest_go_first() {
        let mut waiting = filled(WAITING_MAX + 1);
        assert_eq!(figures(&waiting), (WAITING_MAX, 0, 1));
        assert_eq!(waiting.send(|_| Err("no")), Err("no"));
        assert_eq!(figures(&waiting), (WAITING_MAX, 0, 1));
        let sent = waiting.send(|points| match points {
            [first, ..] if first.name == "1" => Ok(()),
            _ => Err("the oldest"),
        });
        assert_eq!(sent, Ok(()));
        assert_eq!(figures(&waiting), (0, WAITING_MAX as u64, 1));
    }
}
