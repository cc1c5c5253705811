//! The floor: the same points written to Redis as ready-made APPEND commands by
//! nothing but a socket. The commands are encoded before the clock starts.

use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context, Result};

use crate::plan::{Calendar, Plan, Stamp, value};
use crate::record;
use crate::sender::Lane;
use crate::tape::{Ink, Mark, Tape};

/// Points without an answer for each connection: far more than Redis takes in one
/// read, so that it never waits for the socket.
pub const WINDOW_POINTS: u64 = 8192;

/// Lane `lane`'s tape of APPEND commands, in frames of the same points as
/// [`crate::frames::tape`] makes.
pub fn tape(plan: Plan, lane: u64, names: &[String], calendar: &Calendar) -> Tape {
    let ink = match plan.stamp {
        Stamp::Float => Ink::Double,
        Stamp::Int => Ink::BigInt,
    };
    let length = record::bytes(plan.stamp);
    Tape::new(plan, lane, ink, |page, metrics| {
        for metric in metrics {
            let name = &names[metric as usize];
            let key_bytes = crate::verify::NAMESPACE.len() + name.len();
            let head = format!(
                "*3\r\n$6\r\nAPPEND\r\n${key_bytes}\r\n{}{name}\r\n${length}\r\n",
                crate::verify::NAMESPACE
            );
            page.bytes.extend_from_slice(head.as_bytes());
            let record = page.bytes.len();
            record::put(page.bytes, plan.stamp, calendar.second(0), value(metric));
            let mark = Mark {
                timestamp: record as u32 + 2,
                value: page.bytes.len() as u32 - 8,
            };
            page.marks.push(mark);
            page.bytes.extend_from_slice(b"\r\n");
        }
    })
}

/// Lanes to the unix socket at `path`, one for each lane of the plan.
pub fn lanes(plan: Plan, names: &[String], calendar: &Calendar, path: &Path) -> Result<Vec<Lane>> {
    (0..plan.lanes)
        .map(|lane| {
            let socket = UnixStream::connect(path)
                .with_context(|| format!("no connection to {}", path.display()))?;
            Lane::new(socket, tape(plan, lane, names, calendar))
        })
        .collect()
}
