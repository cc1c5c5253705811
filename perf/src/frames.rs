//! Frames as Python's C pickler writes them: byte for byte what
//! `struct.pack("!L", len(p)) + p` with
//! `p = pickle.dumps([(name, (timestamp, value)), ...], protocol=n)` gives for
//! protocols 0, 2 and 4, every name being an object of its own.

use crate::plan::{Calendar, Plan, Stamp, value};
use crate::tape::{Ink, Mark, Page, Tape};

/// The C pickler begins a new APPENDS group after this many items.
const GROUP_ITEMS: usize = 1000;
/// Protocol 4: a frame is closed at the first object behind this many bytes.
const FRAME_BYTES: usize = 64 * 1024;

/// Lane `lane`'s tape of length-prefixed pickles.
pub fn tape(plan: Plan, lane: u64, names: &[String], calendar: &Calendar) -> Tape {
    let ink = match (plan.protocol, plan.stamp) {
        (0, _) => Ink::Text,
        (_, Stamp::Float) => Ink::Double,
        (_, Stamp::Int) => Ink::LittleInt,
    };
    Tape::new(plan, lane, ink, |page, metrics| {
        let points: Vec<(&str, u64, f64)> = metrics
            .map(|m| (names[m as usize].as_str(), calendar.second(0), value(m)))
            .collect();
        frame(page, plan.protocol, plan.stamp, &points);
    })
}

/// Appends one frame: the length, then the pickle of `points` as
/// `(name, timestamp in seconds, value)`. Values must have 12 characters as text
/// if the frame is to be written over in protocol 0.
pub fn frame(page: &mut Page<'_>, protocol: u8, stamp: Stamp, points: &[(&str, u64, f64)]) {
    let head = page.bytes.len();
    page.bytes.extend_from_slice(&[0; 4]);
    let mut pickler = Pickler {
        page,
        protocol,
        stamp,
        memo: 0,
        frame: None,
    };
    pickler.dump(points);
    let length = (page.bytes.len() - head - 4) as u32;
    page.bytes[head..head + 4].copy_from_slice(&length.to_be_bytes());
}

struct Pickler<'a, 'b> {
    page: &'a mut Page<'b>,
    protocol: u8,
    stamp: Stamp,
    memo: u32,
    /// Protocol 4: where the open frame's opcode stands.
    frame: Option<usize>,
}

impl Pickler<'_, '_> {
    fn dump(&mut self, points: &[(&str, u64, f64)]) {
        if self.protocol >= 2 {
            self.page.bytes.extend_from_slice(&[0x80, self.protocol]);
        }
        self.boundary();
        self.put(if self.protocol == 0 { b"(l" } else { b"]" });
        self.memoize();
        match points {
            [] => {}
            _ if self.protocol == 0 => {
                for point in points {
                    self.point(point);
                    self.put(b"a");
                }
            }
            [point] => {
                self.point(point);
                self.put(b"a");
            }
            _ => {
                for group in points.chunks(GROUP_ITEMS) {
                    self.put(b"(");
                    group.iter().for_each(|point| self.point(point));
                    self.put(b"e");
                }
            }
        }
        self.put(b".");
        self.close_frame();
    }

    fn point(&mut self, &(name, second, value): &(&str, u64, f64)) {
        self.boundary();
        self.open_tuple();
        self.name(name);
        self.boundary();
        self.open_tuple();
        self.boundary();
        let timestamp = self.next_operand();
        self.timestamp(second);
        self.boundary();
        let mark = Mark {
            timestamp,
            value: self.next_operand(),
        };
        self.float(value);
        self.page.marks.push(mark);
        self.close_tuple();
        self.close_tuple();
    }

    fn open_tuple(&mut self) {
        if self.protocol == 0 {
            self.put(b"(");
        }
    }

    fn close_tuple(&mut self) {
        self.put(if self.protocol == 0 { b"t" } else { b"\x86" });
        self.memoize();
    }

    fn name(&mut self, name: &str) {
        self.boundary();
        let length = name.len() as u32;
        match self.protocol {
            // raw-unicode-escape changes nothing in ASCII without a backslash.
            0 => self.put_text(b'V', name),
            4.. if length < 256 => {
                self.put(&[0x8c, length as u8]);
                self.put(name.as_bytes());
            }
            _ => {
                self.put(b"X");
                self.put(&length.to_le_bytes());
                self.put(name.as_bytes());
            }
        }
        self.memoize();
    }

    fn timestamp(&mut self, second: u64) {
        if self.stamp == Stamp::Float {
            return self.float(second as f64);
        }
        if self.protocol == 0 {
            return self.put_text(b'I', &second.to_string());
        }
        self.put(b"J");
        self.put(&(second as u32).to_le_bytes());
    }

    fn float(&mut self, value: f64) {
        if self.protocol == 0 {
            // Between 1e-4 and 1e16 Rust's shortest form is Python's repr.
            return self.put_text(b'F', &format!("{value:?}"));
        }
        self.put(b"G");
        self.put(&value.to_be_bytes());
    }

    /// Where the byte behind the next opcode will stand.
    fn next_operand(&self) -> u32 {
        let frame_head = if self.protocol >= 4 && self.frame.is_none() {
            9
        } else {
            0
        };
        (self.page.bytes.len() + frame_head + 1) as u32
    }

    fn memoize(&mut self) {
        let index = self.memo;
        self.memo += 1;
        match (self.protocol, u8::try_from(index)) {
            (0, _) => self.put_text(b'p', &index.to_string()),
            (4.., _) => self.put(b"\x94"),
            (_, Ok(index)) => self.put(&[b'q', index]),
            (_, Err(_)) => {
                self.put(b"r");
                self.put(&index.to_le_bytes());
            }
        }
    }

    fn put_text(&mut self, opcode: u8, text: &str) {
        self.put(&[opcode]);
        self.page.bytes.extend_from_slice(text.as_bytes());
        self.page.bytes.push(b'\n');
    }

    fn put(&mut self, bytes: &[u8]) {
        if self.protocol >= 4 && self.frame.is_none() {
            self.frame = Some(self.page.bytes.len());
            self.page
                .bytes
                .extend_from_slice(&[0x95, 0, 0, 0, 0, 0, 0, 0, 0]);
        }
        self.page.bytes.extend_from_slice(bytes);
    }

    /// What the C pickler does before each object: a frame that has become long
    /// enough is closed, and the next byte opens a new one.
    fn boundary(&mut self) {
        if self
            .frame
            .is_some_and(|at| self.page.bytes.len() - at - 9 >= FRAME_BYTES)
        {
            self.close_frame();
        }
    }

    fn close_frame(&mut self) {
        if let Some(at) = self.frame.take() {
            let length = (self.page.bytes.len() - at - 9) as u64;
            self.page.bytes[at + 1..at + 9].copy_from_slice(&length.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    const PYTHON: &str = r#"
import pickle, struct, sys, ast
for line in sys.stdin:
    protocol, stamp, points = ast.literal_eval(line)
    # Joining makes a string object of its own of each name, as a relay's reader does.
    fresh = lambda name: "".join(list(name))
    kind = float if stamp else int
    data = [(fresh(n), (kind(t), v)) for n, t, v in points]
    p = pickle.dumps(data, protocol=protocol)
    sys.stdout.write((struct.pack("!L", len(p)) + p).hex() + "\n")
"#;

    /// Protocol, kind of the timestamps, and points.
    type Case = (u8, Stamp, Vec<(String, u64, f64)>);

    fn python(cases: &[Case]) -> Vec<String> {
        let mut child = Command::new("/usr/bin/python3")
            .args(["-c", PYTHON])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let mut input = String::new();
        for (protocol, stamp, points) in cases {
            input += &format!("({protocol}, {}, [", (*stamp == Stamp::Float) as u8);
            for (name, second, value) in points {
                input += &format!("({name:?}, {second}, {value:?}),");
            }
            input += "])\n";
        }
        let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// Memo indexes beyond 255, APPEND for one item, several APPENDS groups, and
    /// protocol 4's 64 KiB frames must come out as Python's own pickler makes them.
    #[test]
    fn frames_are_pythons_byte_for_byte() {
        let mut cases = Vec::new();
        for protocol in [0, 2, 4] {
            for stamp in [Stamp::Float, Stamp::Int] {
                for count in [1, 2, 3, 84, 85, 86, 128, 500, 999, 1000, 1001, 2000, 2345] {
                    let points = (0..count)
                        .map(|i| (crate::names::name(3, i * 37), 1_700_000_000 + i, value(i)))
                        .collect();
                    cases.push((protocol, stamp, points));
                }
            }
        }
        // Shift the 64 KiB boundary over every kind of object.
        for extra in 0..60 {
            let points = (0..1500)
                .map(|i| {
                    let mut name = crate::names::name(3, i);
                    if i == 0 {
                        name += &"x".repeat(extra);
                    }
                    (name, 1_700_000_000, value(i))
                })
                .collect();
            cases.push((4, [Stamp::Float, Stamp::Int][extra % 2], points));
        }
        for (expected, (protocol, stamp, points)) in python(&cases).iter().zip(&cases) {
            let points: Vec<_> = points
                .iter()
                .map(|(n, t, v)| (n.as_str(), *t, *v))
                .collect();
            let (mut bytes, mut marks) = (Vec::new(), Vec::new());
            let page = &mut Page {
                bytes: &mut bytes,
                marks: &mut marks,
            };
            frame(page, *protocol, *stamp, &points);
            assert!(
                hex(&bytes) == *expected,
                "p{protocol} {stamp:?} {} points",
                points.len()
            );
            assert_eq!(marks.len(), points.len());
        }
    }

    /// Later laps are written over the first: they too must be what Python writes.
    #[test]
    fn a_tape_written_over_is_still_pythons() {
        let calendar = Calendar::new(40);
        for protocol in [0, 2, 4] {
            for stamp in [Stamp::Float, Stamp::Int] {
                let shapes = [
                    (2, 5),
                    (1300, 1),
                    (1300, 1100),
                    (3000, 3000),
                    (20_000, 20_000),
                ];
                for (metrics, frame_points) in shapes {
                    let plan = Plan {
                        protocol,
                        stamp,
                        ..Plan::new(metrics * 2, 2, frame_points)
                    };
                    let names = plan.names();
                    let mut tape = tape(plan, 1, &names, &calendar);
                    let (lap, mut cases, mut place) = (3, Vec::new(), 0);
                    for frame in 0..plan.lap_frames() {
                        tape.write(lap, frame, &calendar);
                        let end = (place + plan.frame_points).min(plan.lap_points());
                        let points = (place..end)
                            .map(|p| {
                                let round = lap * plan.lap_rounds() + p / plan.per_lane;
                                let m = plan.per_lane + p % plan.per_lane;
                                let value = value(plan.sequence(round, m));
                                (names[m as usize].clone(), calendar.second(round), value)
                            })
                            .collect();
                        cases.push((protocol, stamp, points));
                        place = end;
                    }
                    assert!(hex(tape.bytes()) == python(&cases).concat(), "{plan:?}");
                }
            }
        }
    }
}
