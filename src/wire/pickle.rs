//! Python pickles of graphite's pickle receiver: `[(name, (timestamp, value)), ...]`.
//!
//! Protocols 0 to 5, from whatever wrote them: both picklers of CPython, and the
//! hand-made ones of statsd, brubeck, carbon-relay-ng and others. Lists and tuples
//! are interchangeable at every level, and an item may hold several points of its
//! name: `(name, (timestamp, value), (timestamp, value), ...)`.
//!
//! A pickle is a program for a stack machine. Opcodes that look up or call something
//! are refused, and with them the frame; nothing from the wire is ever run.
//!
//! Two levels give one answer. `fast` matches, in a straight line, the few opcode
//! sequences that CPython's C pickler writes for the plain form; it never fails, it
//! only gives up. Then `machine` starts the frame again from its first byte. It
//! knows every opcode and decides what is an error.
//!
//! # Limits
//!
//! Memory follows the frame's real length, never a length that the frame claims.
//! With `n` bytes in the frame, the scratch of one [`Decoder`] holds at most:
//!
//! | what | elements | bytes |
//! | --- | --- | --- |
//! | points | n / 10 + 8192 | 4 n + 320 KiB |
//! | arena: tuples, lists, and texts and floats of protocol 0 | 5 n / 8 + 16384 words | 2.5 n + 64 KiB |
//! | memo | n / 4 + 1024 | n + 4 KiB |
//! | stack | n / 8 + 4096 | n / 2 + 16 KiB |
//! | marks | 1024 | 4 KiB |
//! | decoded escapes | 2 n | 2 n, of protocol 0 only |
//!
//! A frame that needs more is refused as [`BadFrame::TooComplex`]. No sender comes
//! near: a point takes at least 25 bytes of a frame in practice. The time is linear
//! in `n` too, whatever the frame shares through its memo.

mod fast;
mod machine;
#[cfg(test)]
mod tests;
mod text;
mod walk;

use crate::point::{InvalidCounts, Number, Point};

/// Longest frame that is decoded: offsets must leave three bits for a tag.
pub const FRAME_BYTES_LIMIT: usize = 1 << 29;

/// Scratch that is kept from frame to frame: room for 100,000 plain points.
const KEEP_BYTES: usize = 4 << 20;

/// Decodes frames one after another, reusing its scratch memory.
#[derive(Default)]
pub struct Decoder {
    scratch: Scratch,
}

impl Decoder {
    /// A decoder without any memory yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Decodes one frame's payload (without its 4-byte length).
    ///
    /// Bytes after the pickle's STOP are ignored. An item that is no point is
    /// counted in [`Decoded::invalid`] and loses nothing but itself.
    ///
    /// # Errors
    ///
    /// [`BadFrame`] when the frame is no pickle of a list or tuple; then it yields
    /// no point at all.
    pub fn decode<'a>(&'a mut self, frame: &'a [u8]) -> Result<Decoded<'a>, BadFrame> {
        if frame.len() <= FRAME_BYTES_LIMIT {
            self.scratch.clear();
            if fast::decode(frame, &mut self.scratch).is_some() {
                return Ok(self.scratch.decoded(frame, InvalidCounts::default()));
            }
        }
        self.decode_general(frame)
    }

    /// Decodes one frame with the general machine only: the same answer, slower.
    /// For tests and benchmarks.
    ///
    /// # Errors
    ///
    /// As [`Decoder::decode`].
    pub fn decode_general<'a>(&'a mut self, frame: &'a [u8]) -> Result<Decoded<'a>, BadFrame> {
        if frame.is_empty() {
            return Err(BadFrame::Empty);
        }
        if frame.len() > FRAME_BYTES_LIMIT {
            return Err(BadFrame::TooLong);
        }
        self.scratch.clear();
        let invalid = machine::decode(frame, &mut self.scratch)?;
        Ok(self.scratch.decoded(frame, invalid))
    }

    /// Gives back the memory that an unusually large frame made it take. Meant to be
    /// called after each frame; frees nothing below 4 MiB, so that usual frames
    /// allocate nothing.
    pub fn trim(&mut self) {
        if self.scratch.bytes() > KEEP_BYTES {
            self.scratch = Scratch::default();
        }
    }

    /// Bytes of scratch memory held now.
    pub fn scratch_bytes(&self) -> usize {
        self.scratch.bytes()
    }
}

/// Most bytes of scratch memory that one [`Decoder`] ever holds when it is given
/// frames of at most `frame_bytes_max` bytes and trimmed after each: about 12 times
/// that. A part that grows exists twice for a moment, which is counted.
pub fn scratch_bytes_max(frame_bytes_max: usize) -> usize {
    let most = Limits::of(frame_bytes_max.min(FRAME_BYTES_LIMIT));
    let points = most.points * size_of::<Stored>();
    let words = most.arena + most.memo + most.stack + most.marks;
    // The old half of a growing part is at most half of the largest one.
    points + words * size_of::<u32>() + most.side + points / 2 + KEEP_BYTES
}

/// Most points that a frame of this many bytes can have.
pub fn points_max(frame_bytes: usize) -> usize {
    Limits::of(frame_bytes.min(FRAME_BYTES_LIMIT)).points
}

/// The points of one good frame, borrowed from it and from the decoder.
#[derive(Clone, Copy, Debug)]
pub struct Decoded<'a> {
    frame: &'a [u8],
    side: &'a [u8],
    points: &'a [Stored],
    invalid: InvalidCounts,
}

impl<'a> Decoded<'a> {
    /// Number of points.
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Whether the frame holds no point.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// The points, in the frame's order.
    pub fn points(&self) -> impl ExactSizeIterator<Item = Point<'a>> + use<'a> {
        let Self {
            frame,
            side,
            points,
            ..
        } = *self;
        points.iter().map(move |stored| Point {
            name: stored.name.of(frame, side),
            timestamp: stored.timestamp,
            value: stored.value,
        })
    }

    /// How many items were no points.
    pub fn invalid(&self) -> InvalidCounts {
        self.invalid
    }
}

/// Why a whole frame is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadFrame {
    /// The frame has no byte.
    #[error("the frame is empty")]
    Empty,
    /// The frame is longer than [`FRAME_BYTES_LIMIT`].
    #[error("the frame is longer than {FRAME_BYTES_LIMIT} bytes")]
    TooLong,
    /// The frame ends within an opcode or before STOP.
    #[error("the pickle is cut off")]
    Truncated,
    /// A byte that is no opcode.
    #[error("0x{0:02x} is no pickle opcode")]
    UnknownOpcode(u8),
    /// An opcode that would look up, build or call something outside the pickle.
    #[error("opcode 0x{0:02x} would look up or call something")]
    Forbidden(u8),
    /// A protocol after 5.
    #[error("pickle protocol {0} is not known")]
    Protocol(u8),
    /// The pickle is of neither a list nor a tuple.
    #[error("the pickle is of neither a list nor a tuple")]
    NotAList,
    /// An opcode takes more from the stack than there is.
    #[error("the pickle takes more from its stack than it put there")]
    StackUnderflow,
    /// An opcode needs a mark and there is none.
    #[error("the pickle uses a mark that it did not set")]
    NoMark,
    /// A memo entry is read that was not written.
    #[error("the pickle reads a memo entry that it did not write")]
    UnknownMemo,
    /// Something is added to what cannot hold it, such as an append to a tuple.
    #[error("the pickle adds to what is no list, dict or set")]
    WrongTarget,
    /// The text of an integer, float or memo index is none.
    #[error("the text of a number in the pickle is none")]
    BadNumber,
    /// A text has no quotes or a malformed escape.
    #[error("a text in the pickle is malformed")]
    BadText,
    /// The pickle needs more memory than its length justifies.
    #[error("the pickle needs more memory than its length justifies")]
    TooComplex,
}

impl BadFrame {
    /// The reason as one word, for a metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLong => "too_long",
            Self::Truncated => "truncated",
            Self::UnknownOpcode(_) => "unknown_opcode",
            Self::Forbidden(_) => "forbidden",
            Self::Protocol(_) => "protocol",
            Self::NotAList => "not_a_list",
            Self::StackUnderflow => "stack_underflow",
            Self::NoMark => "no_mark",
            Self::UnknownMemo => "unknown_memo",
            Self::WrongTarget => "wrong_target",
            Self::BadNumber => "bad_number",
            Self::BadText => "bad_text",
            Self::TooComplex => "too_complex",
        }
    }
}

/// A point as it is kept until the frame is done.
#[derive(Clone, Copy, Debug)]
struct Stored {
    name: TextAt,
    timestamp: Number,
    value: Number,
}

const _: () = assert!(
    size_of::<Stored>() == 40,
    "the points of a frame are 4 times its bytes"
);

/// Where a text stands: in the frame, or decoded in the side buffer.
#[derive(Clone, Copy, Debug)]
struct TextAt {
    /// Offset of its first byte; [`TextAt::SIDE`] is set for the side buffer.
    at: u32,
    bytes: u32,
}

impl TextAt {
    const SIDE: u32 = 1 << 31;

    #[inline]
    fn of<'a>(self, frame: &'a [u8], side: &'a [u8]) -> &'a [u8] {
        let buffer = if self.at & Self::SIDE == 0 {
            frame
        } else {
            side
        };
        let at = (self.at & !Self::SIDE) as usize;
        buffer.get(at..at + self.bytes as usize).unwrap_or(&[])
    }
}

/// All memory that decoding needs, reused from frame to frame.
#[derive(Default)]
struct Scratch {
    points: Vec<Stored>,
    memo: Vec<u32>,
    stack: Vec<u32>,
    marks: Vec<u32>,
    arena: Vec<u32>,
    side: Vec<u8>,
}

impl Scratch {
    /// Empties what is filled from its start. The stack and the arena stay as they are:
    /// the machine knows how much of them it has written.
    fn clear(&mut self) {
        self.points.clear();
        self.memo.clear();
        self.marks.clear();
        self.side.clear();
    }

    fn bytes(&self) -> usize {
        let words = self.memo.capacity()
            + self.stack.capacity()
            + self.marks.capacity()
            + self.arena.capacity();
        self.points.capacity() * size_of::<Stored>()
            + words * size_of::<u32>()
            + self.side.capacity()
    }

    fn decoded<'a>(&'a self, frame: &'a [u8], invalid: InvalidCounts) -> Decoded<'a> {
        Decoded {
            frame,
            side: &self.side,
            points: &self.points,
            invalid,
        }
    }
}

/// How many elements each part of the scratch may have for one frame.
#[derive(Clone, Copy)]
struct Limits {
    points: usize,
    arena: usize,
    memo: usize,
    stack: usize,
    marks: usize,
    side: usize,
}

impl Limits {
    fn of(frame_bytes: usize) -> Self {
        Self {
            points: frame_bytes / 10 + 8192,
            arena: frame_bytes * 5 / 8 + 16384,
            memo: frame_bytes / 4 + 1024,
            stack: frame_bytes / 8 + 4096,
            marks: 1024,
            side: frame_bytes * 2,
        }
    }
}

/// Makes room for `more` elements, if `part` may have them: `most` is its limit. Grows
/// by doubling, but never beyond the limit, so that the limit bounds memory too.
#[inline]
fn make_room<T>(part: &mut Vec<T>, more: usize, most: usize) -> Result<(), BadFrame> {
    if most.saturating_sub(part.len()) < more {
        return Err(BadFrame::TooComplex);
    }
    if part.capacity() - part.len() < more {
        grow(part, more, most);
    }
    Ok(())
}

#[cold]
#[inline(never)]
fn grow<T>(part: &mut Vec<T>, more: usize, most: usize) {
    let doubled = (part.capacity() * 2).clamp(64.min(most), most);
    part.reserve_exact(doubled.max(part.len() + more) - part.len());
}
