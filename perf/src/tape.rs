//! A tape: everything one connection sends in one lap, ready-made, with the
//! places marked where timestamps and values stand. Each lap the same bytes go
//! out again with new timestamps and values written over the old ones, so that
//! a run of any length needs the memory of one lap and a few ns a point.

use crate::plan::{Calendar, Plan, value};

/// How a timestamp stands in the bytes; a value is always a double, or text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// 8 bytes big-endian: pickle's `G`, msgpack's `cb`.
    Double,
    /// 4 bytes little-endian: pickle's `J`.
    LittleInt,
    /// 4 bytes big-endian: msgpack's `ce`.
    BigInt,
    /// Ten digits, whatever follows them: pickle protocol 0.
    Text,
}

/// Where the first bytes of a point's timestamp and value stand, behind their
/// type bytes. (Protocol 4 can open a new frame between the two.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Offset of the timestamp.
    pub timestamp: u32,
    /// Offset of the value.
    pub value: u32,
}

/// One lane's ready-made lap.
#[derive(Debug)]
pub struct Tape {
    bytes: Vec<u8>,
    marks: Vec<Mark>,
    ends: Vec<u32>,
    ink: Ink,
    plan: Plan,
    lane: u64,
}

/// One frame's worth of points as `(name, timestamp in seconds, value)`, and the
/// encoder's place to mark: it pushes bytes and one mark a point.
pub struct Page<'a> {
    /// Where the frame's bytes go.
    pub bytes: &'a mut Vec<u8>,
    /// Where the marks go, one a point.
    pub marks: &'a mut Vec<Mark>,
}

impl Tape {
    /// Makes lane `lane`'s tape: `encode` is called once a frame, in order, with
    /// the indexes of the metrics in the frame. The points on the fresh tape are
    /// those of lap 0, which [`Tape::write`] writes over.
    pub fn new(
        plan: Plan,
        lane: u64,
        ink: Ink,
        mut encode: impl FnMut(&mut Page<'_>, &mut dyn Iterator<Item = u64>),
    ) -> Self {
        let (mut bytes, mut marks, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        for frame in 0..plan.lap_frames() {
            let places =
                frame * plan.frame_points..((frame + 1) * plan.frame_points).min(plan.lap_points());
            let mut metrics = places.map(|p| lane * plan.per_lane + p % plan.per_lane);
            encode(
                &mut Page {
                    bytes: &mut bytes,
                    marks: &mut marks,
                },
                &mut metrics,
            );
            ends.push(u32::try_from(bytes.len()).expect("a tape is shorter than 4 GiB"));
        }
        bytes.shrink_to_fit();
        Self {
            bytes,
            marks,
            ends,
            ink,
            plan,
            lane,
        }
    }

    /// Writes the points of frame `frame` of lap `lap` into place.
    pub fn write(&mut self, lap: u64, frame: u64, calendar: &Calendar) {
        let plan = self.plan;
        let first = frame * plan.frame_points;
        let last = (first + plan.frame_points).min(plan.lap_points());
        let mut round = lap * plan.lap_rounds() + first / plan.per_lane;
        let mut column = first % plan.per_lane;
        let mut sequence = plan.sequence(round, self.lane * plan.per_lane + column);
        let mut second = calendar.second(round);
        for place in first..last {
            self.ink.put(
                &mut self.bytes,
                self.marks[place as usize],
                second,
                value(sequence),
            );
            column += 1;
            sequence += 1;
            if column == plan.per_lane {
                column = 0;
                round += 1;
                sequence = plan.sequence(round, self.lane * plan.per_lane);
                second = calendar.second(round);
            }
        }
    }

    /// The bytes of the whole lap.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where frame `frame` ends in [`Tape::bytes`].
    pub fn end(&self, frame: u64) -> usize {
        self.ends[frame as usize] as usize
    }

    /// Points of frame `frame`.
    pub fn points(&self, frame: u64) -> u64 {
        let plan = &self.plan;
        plan.frame_points
            .min(plan.lap_points() - frame * plan.frame_points)
    }

    /// The plan that the tape was made for.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }
}

impl Ink {
    fn put(self, bytes: &mut [u8], mark: Mark, second: u64, value: f64) {
        let (second_at, value_at) = (mark.timestamp as usize, mark.value as usize);
        match self {
            Self::Double => put(bytes, second_at, (second as f64).to_be_bytes()),
            Self::LittleInt => put(bytes, second_at, (second as u32).to_le_bytes()),
            Self::BigInt => put(bytes, second_at, (second as u32).to_be_bytes()),
            Self::Text => {
                put_digits(&mut bytes[second_at..second_at + 10], second);
                // What follows the digits, ".0" or ".5", never changes.
                return put_digits(&mut bytes[value_at..value_at + 10], value as u64);
            }
        }
        put(bytes, value_at, value.to_be_bytes());
    }
}

fn put<const N: usize>(bytes: &mut [u8], at: usize, number: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&number);
}

fn put_digits(place: &mut [u8], mut number: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}
