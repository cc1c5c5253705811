//! What a run sends, as arithmetic: which metric, round, frame and lane a point
//! belongs to, and what its timestamp and value are. Sender, floor, proxy and
//! verification all ask here, so nothing has to be remembered per point.
//!
//! ```text
//! lane 0: metrics 0 .. per_lane             one lane = one connection
//! lane 1: metrics per_lane .. 2 * per_lane  one round = one point of every metric
//! ...                                       one lap = the rounds of one tape
//! ```

use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Whether timestamps are doubles, as a carbon-relay sends them, or integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stamp {
    /// Python floats: `cb` and 8 bytes in Redis.
    Float,
    /// Python integers: `ce` and 4 bytes in Redis.
    Int,
}

/// The shape of a load.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Plan {
    /// Connections.
    pub lanes: u64,
    /// Metrics of one connection.
    pub per_lane: u64,
    /// Points in one frame.
    pub frame_points: u64,
    /// Pickle protocol: 0, 2 or 4.
    pub protocol: u8,
    /// Number kind of the timestamps.
    pub stamp: Stamp,
    /// Seed of the names.
    pub seed: u64,
    /// Of so many neighbouring metrics the first is stored and the others are
    /// refused by the server; 1: all are stored.
    pub stored_one_in: u64,
}

/// The seconds that rounds carry as their timestamps.
#[derive(Clone, Copy, Debug)]
pub struct Calendar {
    first_s: u64,
    rounds: u64,
}

/// When each frame of an open loop is due, seen from its points.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    plan: Plan,
    first_round: u64,
    rounds: u64,
    lane_points_per_ns: f64,
}

/// Rounds begin this long ago. A server refuses points older than 1000 s, and a
/// run takes less than the 400 s between the two.
const PAST_S: u64 = 600;

impl Plan {
    /// A plan for at least `metrics` metrics; the number is rounded up so that
    /// every connection carries the same number of them.
    pub fn new(metrics: u64, lanes: u64, frame_points: u64) -> Self {
        let lanes = lanes.max(1);
        Self {
            lanes,
            per_lane: metrics.max(1).div_ceil(lanes),
            frame_points: frame_points.max(1),
            protocol: 2,
            stamp: Stamp::Float,
            seed: 1,
            stored_one_in: 1,
        }
    }

    /// Metrics in all.
    pub fn metrics(&self) -> u64 {
        self.lanes * self.per_lane
    }

    /// Whether the points of a metric come to Redis.
    pub fn is_stored(&self, metric: u64) -> bool {
        metric.is_multiple_of(self.stored_one_in)
    }

    /// Metrics whose points come to Redis.
    pub fn stored_metrics(&self) -> u64 {
        self.metrics().div_ceil(self.stored_one_in)
    }

    /// Rounds on one tape: enough to fill one frame. Rounds are run in multiples of it.
    pub fn lap_rounds(&self) -> u64 {
        self.frame_points.div_ceil(self.per_lane)
    }

    /// Points on one lane's tape.
    pub fn lap_points(&self) -> u64 {
        self.lap_rounds() * self.per_lane
    }

    /// Frames on one lane's tape; the last may be shorter.
    pub fn lap_frames(&self) -> u64 {
        self.lap_points().div_ceil(self.frame_points)
    }

    /// The least number of rounds that is a multiple of a lap and holds `points` points.
    pub fn rounds_for(&self, points: u64) -> u64 {
        points
            .div_ceil(self.metrics())
            .max(1)
            .next_multiple_of(self.lap_rounds())
    }

    /// The names of all metrics, by index.
    pub fn names(&self) -> Vec<String> {
        (0..self.metrics())
            .map(|m| crate::names::name(self.seed, m))
            .collect()
    }

    /// A point's number, counted round by round.
    pub fn sequence(&self, round: u64, metric: u64) -> u64 {
        round * self.metrics() + metric
    }
}

/// The value of point number `sequence`: it is different for every point, so
/// that a stored record says which point it is, and its text has always 12
/// characters, so that it can be written over in place.
pub fn value(sequence: u64) -> f64 {
    1e9 + 0.5 + sequence as f64
}

/// The point number that [`value`] made `value` of.
pub fn sequence_of(value: f64) -> Option<u64> {
    let number = value - 0.5 - 1e9;
    ((0.0..9e9).contains(&number) && number.fract() == 0.0).then_some(number as u64)
}

impl Calendar {
    /// Timestamps for `rounds` rounds, a second apart where they fit into ten minutes.
    pub fn new(rounds: u64) -> Self {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        Self {
            first_s: now - PAST_S,
            rounds: rounds.max(1),
        }
    }

    /// The timestamp of a round, in seconds since 1970: never falling.
    pub fn second(&self, round: u64) -> u64 {
        if self.rounds <= PAST_S {
            self.first_s + round
        } else {
            self.first_s + round * PAST_S / self.rounds
        }
    }
}

impl Schedule {
    /// Frames of `rounds`, evenly spread at `points_per_s` over all lanes.
    pub fn new(plan: Plan, rounds: Range<u64>, points_per_s: f64) -> Self {
        Self {
            plan,
            first_round: rounds.start,
            rounds: rounds.end - rounds.start,
            lane_points_per_ns: points_per_s / 1e9 / plan.lanes as f64,
        }
    }

    /// When frame `frame` of `lane` is due, counted over laps from the loop's start.
    pub fn due(&self, lane: u64, frame: u64) -> Duration {
        let before = frame / self.plan.lap_frames() * self.plan.lap_points()
            + frame % self.plan.lap_frames() * self.plan.frame_points;
        // Lanes take turns: lane l is l / lanes of a frame behind lane 0.
        let turn = lane as f64 / self.plan.lanes as f64 * self.plan.frame_points as f64;
        Duration::from_nanos(((before as f64 + turn) / self.lane_points_per_ns) as u64)
    }

    /// When the frame of point number `sequence` is due; `None` if the point is
    /// no part of this loop.
    pub fn due_of(&self, sequence: u64) -> Option<Duration> {
        let round = (sequence / self.plan.metrics()).checked_sub(self.first_round)?;
        if round >= self.rounds {
            return None;
        }
        let metric = sequence % self.plan.metrics();
        let place = round * self.plan.per_lane + metric % self.plan.per_lane;
        let frame = place / self.plan.lap_points() * self.plan.lap_frames()
            + place % self.plan.lap_points() / self.plan.frame_points;
        Some(self.due(metric / self.plan.per_lane, frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_tells_its_point_and_keeps_its_width() {
        for sequence in [0, 1, 99, 123_456_789, 8_999_999_999] {
            assert_eq!(sequence_of(value(sequence)), Some(sequence));
            assert_eq!(format!("{:?}", value(sequence)).len(), 12);
        }
        assert_eq!(sequence_of(1.0), None);
        assert_eq!(sequence_of(f64::NAN), None);
    }

    /// A point found in a record must lead to the due time of the frame that
    /// the sender put it in, whatever the shape: walked here frame by frame.
    #[test]
    fn every_point_is_due_with_its_frame() {
        for (metrics, lanes, frame_points) in [(1000, 1, 500), (10, 4, 7), (100, 3, 1), (7, 2, 9)] {
            let plan = Plan::new(metrics, lanes, frame_points);
            let rounds = plan.lap_rounds() * 3;
            let schedule = Schedule::new(plan, 5..5 + rounds, 1e6);
            for lane in 0..plan.lanes {
                let (mut place, mut frame) = (0, 0);
                while place < rounds * plan.per_lane {
                    let left_in_lap = plan.lap_points() - place % plan.lap_points();
                    let points = plan.frame_points.min(left_in_lap);
                    for p in place..place + points {
                        let round = 5 + p / plan.per_lane;
                        let metric = lane * plan.per_lane + p % plan.per_lane;
                        let due = schedule.due_of(plan.sequence(round, metric));
                        assert_eq!(due, Some(schedule.due(lane, frame)));
                    }
                    place += points;
                    frame += 1;
                }
            }
            assert_eq!(schedule.due_of(0), None);
            assert_eq!(schedule.due_of(plan.sequence(5 + rounds, 0)), None);
        }
    }
}
