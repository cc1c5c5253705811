//! The general pickle machine: every opcode that builds plain data, in any order.
//!
//! A value is a 32-bit handle: three bits of tag, and an offset. What stands in the
//! frame as it is (binary numbers, texts, `None`, booleans, integers in letters) is
//! the offset of its opcode, read again when a point is made of it. The rest are
//! words of the arena:
//!
//! ```text
//! text    at | bytes                        decoded text, or one of a line
//! float   low | high                        a float that came in letters
//! pair    first | second                    a tuple of two, the usual case
//! tuple   n | n handles
//! list    first chunk | last chunk          0 while empty
//! chunk   next chunk or 0 | n | n handles   what one APPEND or APPENDS added
//! ```
//!
//! So a list can grow while it is held in the memo or by another value, and values
//! that are shared or contain themselves are nothing special: the list is walked
//! once, at most three levels deep.
//!
//! Sets and dicts are never part of a point. They stand for themselves as the offset
//! of the opcode that made them, and what they hold is dropped.

use super::walk::{Walk, digits, is_bool};
use super::{BadFrame, Limits, Scratch, TextAt, make_room, text};
use crate::point::InvalidCounts;

const TAG_SHIFT: u32 = 29;
pub(super) const OFFSET: u32 = (1 << TAG_SHIFT) - 1;
pub(super) const ATOM: u32 = 0;
pub(super) const TEXT: u32 = 1 << TAG_SHIFT;
pub(super) const FLOAT: u32 = 2 << TAG_SHIFT;
pub(super) const PAIR: u32 = 3 << TAG_SHIFT;
pub(super) const TUPLE: u32 = 4 << TAG_SHIFT;
pub(super) const LIST: u32 = 5 << TAG_SHIFT;

/// No value: a memo entry that was never written. No handle has this tag.
const NOTHING: u32 = u32::MAX;

/// A text that is no Unicode text, as half of a surrogate pair makes it.
pub(super) const NO_TEXT: u32 = u32::MAX;

/// Runs the pickle and stores its points. Returns how many items were none.
pub(super) fn decode(frame: &[u8], scratch: &mut Scratch) -> Result<InvalidCounts, BadFrame> {
    let limits = Limits::of(frame.len());
    let Scratch {
        points,
        memo,
        stack,
        marks,
        arena,
        side,
    } = scratch;
    stack.truncate(limits.stack);
    arena.truncate(limits.arena);
    let mut machine = Machine {
        frame,
        limits,
        stack,
        height: 0,
        fence: 0,
        marks,
        arena,
        used: 0,
        memo,
        memo_entries: 0,
        side,
    };
    // Chunk 0 is no chunk.
    machine.alloc(1)?;
    let root = machine.run()?;
    Walk { frame, arena, side }.points(root, points, limits)
}

/// The stack and the arena are vectors whose length is what is there to be written to;
/// `height` and `used` say what was written by this frame. So a push is one comparison.
struct Machine<'a> {
    frame: &'a [u8],
    limits: Limits,
    stack: &'a mut Vec<u32>,
    height: usize,
    /// Height of the stack at the last mark: nothing below it may be taken.
    fence: usize,
    marks: &'a mut Vec<u32>,
    arena: &'a mut Vec<u32>,
    used: usize,
    memo: &'a mut Vec<u32>,
    memo_entries: usize,
    side: &'a mut Vec<u8>,
}

impl Machine<'_> {
    /// Runs the opcodes up to STOP, and returns the handle of what they built.
    fn run(&mut self) -> Result<u32, BadFrame> {
        let frame = self.frame;
        let mut rest = frame;
        while let Some((&opcode, after)) = rest.split_first() {
            let here = (frame.len() - rest.len()) as u32;
            rest = after;
            match opcode {
                b'.' => return self.pop(),

                b'K' => rest = self.atom(here, rest, 1)?,
                b'M' => rest = self.atom(here, rest, 2)?,
                b'J' => rest = self.atom(here, rest, 4)?,
                b'G' => rest = self.atom(here, rest, 8)?,
                b'U' | b'C' | 0x8a | 0x8c => {
                    let ([n], after) = split(rest)?;
                    rest = self.atom(here, after, usize::from(*n))?;
                    rest = self.put_next(ATOM | here, rest)?;
                }
                b'T' | b'X' | b'B' | 0x8b => {
                    let (n, after) = split(rest)?;
                    rest = self.atom(here, after, u32::from_le_bytes(*n) as usize)?;
                    rest = self.put_next(ATOM | here, rest)?;
                }
                0x8d | 0x8e | 0x96 => {
                    let (n, after) = split(rest)?;
                    let n = usize::try_from(u64::from_le_bytes(*n));
                    rest = self.atom(here, after, n.map_err(|_| BadFrame::Truncated)?)?;
                }
                b'N' | 0x88 | 0x89 | b'}' | 0x8f => self.push(ATOM | here)?,

                b'I' | b'L' => {
                    let (line, after) = text::line(rest)?;
                    if !is_bool(opcode, line) {
                        text::integer(digits(opcode, line))?;
                    }
                    self.push(ATOM | here)?;
                    rest = after;
                }
                b'F' => {
                    let (line, after) = text::line(rest)?;
                    let bits = text::float(line)?.to_bits();
                    let at = self.alloc_pair([bits as u32, (bits >> 32) as u32])?;
                    self.push(FLOAT | at)?;
                    rest = after;
                }
                b'S' => {
                    let (line, after) = text::line(rest)?;
                    // One byte for the opcode, one for the quote.
                    self.bytes_text(here + 2, text::unquoted(line)?)?;
                    rest = after;
                }
                b'V' => {
                    let (line, after) = text::line(rest)?;
                    self.unicode_text(here + 1, line)?;
                    rest = after;
                }

                b'(' => {
                    make_room(self.marks, 1, self.limits.marks)?;
                    self.marks.push(self.fence as u32);
                    self.fence = self.height;
                }
                b'0' => {
                    if self.height > self.fence {
                        self.height -= 1;
                    } else {
                        self.pop_mark()?;
                    }
                }
                b'1' => {
                    self.height = self.pop_mark()?;
                }
                b'2' => {
                    let top = self.top()?;
                    self.push(top)?;
                }

                0x86 => {
                    let [first, second] = self.pop_array()?;
                    let at = self.alloc_pair([first, second])?;
                    self.push(PAIR | at)?;
                    rest = self.put_next(PAIR | at, rest)?;
                }
                b')' => self.tuple([])?,
                0x85 => {
                    let elements = self.pop_array::<1>()?;
                    self.tuple(elements)?;
                }
                0x87 => {
                    let elements = self.pop_array::<3>()?;
                    self.tuple(elements)?;
                }
                b't' => self.tuple_from_mark()?,
                b']' => {
                    let at = self.alloc_pair([0, 0])?;
                    self.push(LIST | at)?;
                }
                b'l' => {
                    let at = self.alloc_pair([0, 0])?;
                    let start = self.pop_mark()?;
                    self.extend(at, start)?;
                    self.push(LIST | at)?;
                }
                b'a' => {
                    let start = self.start_of(1)?;
                    self.append(start)?;
                }
                b'e' => {
                    let start = self.pop_mark()?;
                    self.append(start)?;
                }
                b'd' | 0x91 => {
                    self.height = self.pop_mark()?;
                    self.push(ATOM | here)?;
                }
                b's' => {
                    let start = self.start_of(2)?;
                    self.drop_into(b"}d", start)?;
                }
                b'u' => {
                    let start = self.pop_mark()?;
                    self.drop_into(b"}d", start)?;
                }
                0x90 => {
                    let start = self.pop_mark()?;
                    self.drop_into(&[0x8f], start)?;
                }

                b'q' => {
                    let ([index], after) = split(rest)?;
                    self.put(usize::from(*index))?;
                    rest = after;
                }
                b'r' => {
                    let (index, after) = split(rest)?;
                    self.put(u32::from_le_bytes(*index) as usize)?;
                    rest = after;
                }
                b'p' => {
                    let (index, after) = text::index(rest)?;
                    self.put(index)?;
                    rest = after;
                }
                0x94 => self.put(self.memo_entries)?,
                b'h' => {
                    let ([index], after) = split(rest)?;
                    self.recall(usize::from(*index))?;
                    rest = after;
                }
                b'j' => {
                    let (index, after) = split(rest)?;
                    self.recall(u32::from_le_bytes(*index) as usize)?;
                    rest = after;
                }
                b'g' => {
                    let (index, after) = text::index(rest)?;
                    self.recall(index)?;
                    rest = after;
                }

                0x80 => {
                    let ([protocol], after) = split(rest)?;
                    if *protocol > 5 {
                        return Err(BadFrame::Protocol(*protocol));
                    }
                    rest = after;
                }
                // A frame of the pickle only tells a reader of files how far to read.
                0x95 => {
                    let (n, after) = split(rest)?;
                    if u64::from_le_bytes(*n) > after.len() as u64 {
                        return Err(BadFrame::Truncated);
                    }
                    rest = after;
                }

                // GLOBAL, INST, OBJ, REDUCE, BUILD, PERSID, BINPERSID, NEWOBJ, EXT1,
                // EXT2, EXT4, NEWOBJ_EX, STACK_GLOBAL, NEXT_BUFFER, READONLY_BUFFER.
                b'c'
                | b'i'
                | b'o'
                | b'R'
                | b'b'
                | b'P'
                | b'Q'
                | 0x81..=0x84
                | 0x92
                | 0x93
                | 0x97
                | 0x98 => return Err(BadFrame::Forbidden(opcode)),
                _ => return Err(BadFrame::UnknownOpcode(opcode)),
            }
        }
        Err(BadFrame::Truncated)
    }

    /// Pushes what begins at `here` and ends `n` bytes further on; returns what follows.
    #[inline]
    fn atom<'r>(&mut self, here: u32, rest: &'r [u8], n: usize) -> Result<&'r [u8], BadFrame> {
        let after = rest.get(n..).ok_or(BadFrame::Truncated)?;
        self.push(ATOM | here)?;
        Ok(after)
    }

    fn bytes_text(&mut self, at: u32, text: &[u8]) -> Result<(), BadFrame> {
        if !text.contains(&b'\\') {
            return self.push_text(at, text.len());
        }
        let side = &mut *self.side;
        make_room(side, text.len(), self.limits.side)?;
        let start = side.len();
        text::unescape_bytes(text, side)?;
        let bytes = side.len() - start;
        self.push_text(start as u32 | TextAt::SIDE, bytes)
    }

    fn unicode_text(&mut self, at: u32, text: &[u8]) -> Result<(), BadFrame> {
        if text::is_plain(text) {
            return self.push_text(at, text.len());
        }
        let side = &mut *self.side;
        make_room(side, 2 * text.len(), self.limits.side)?;
        let start = side.len();
        if !text::unescape_unicode(text, side)? {
            side.truncate(start);
            return self.push_text(NO_TEXT, 0);
        }
        let bytes = side.len() - start;
        self.push_text(start as u32 | TextAt::SIDE, bytes)
    }

    fn push_text(&mut self, at: u32, bytes: usize) -> Result<(), BadFrame> {
        let text = self.alloc_pair([at, bytes as u32])?;
        self.push(TEXT | text)
    }

    #[inline]
    fn push(&mut self, handle: u32) -> Result<(), BadFrame> {
        if self.height == self.stack.len() {
            lengthen(self.stack, 1, self.limits.stack, NOTHING)?;
        }
        if let Some(slot) = self.stack.get_mut(self.height) {
            *slot = handle;
            self.height += 1;
        }
        Ok(())
    }

    #[inline]
    fn pop(&mut self) -> Result<u32, BadFrame> {
        let top = self.top()?;
        self.height -= 1;
        Ok(top)
    }

    #[inline]
    fn pop_array<const N: usize>(&mut self) -> Result<[u32; N], BadFrame> {
        let start = self.start_of(N)?;
        self.height = start;
        let elements = self.stack.get(start..).and_then(<[u32]>::first_chunk);
        elements.copied().ok_or(BadFrame::StackUnderflow)
    }

    #[inline]
    fn top(&self) -> Result<u32, BadFrame> {
        let start = self.start_of(1)?;
        self.stack
            .get(start)
            .copied()
            .ok_or(BadFrame::StackUnderflow)
    }

    /// Height of the stack below its top `n` values.
    #[inline]
    fn start_of(&self, n: usize) -> Result<usize, BadFrame> {
        if self.height - self.fence < n {
            return Err(BadFrame::StackUnderflow);
        }
        Ok(self.height - n)
    }

    /// Takes the last mark away; returns the height of the stack at which it was set.
    #[inline]
    fn pop_mark(&mut self) -> Result<usize, BadFrame> {
        let below = self.marks.pop().ok_or(BadFrame::NoMark)?;
        Ok(std::mem::replace(&mut self.fence, below as usize))
    }

    /// The next `n` words of the arena, and where they are.
    #[inline]
    fn alloc(&mut self, n: usize) -> Result<(u32, &mut [u32]), BadFrame> {
        let at = self.used;
        if self.arena.len() - at < n {
            lengthen(
                self.arena,
                n - (self.arena.len() - at),
                self.limits.arena,
                0,
            )?;
        }
        self.used += n;
        let words = self
            .arena
            .get_mut(at..self.used)
            .ok_or(BadFrame::TooComplex)?;
        Ok((at as u32, words))
    }

    #[inline]
    fn alloc_pair(&mut self, pair: [u32; 2]) -> Result<u32, BadFrame> {
        let (at, words) = self.alloc(2)?;
        words.copy_from_slice(&pair);
        Ok(at)
    }

    fn tuple<const N: usize>(&mut self, elements: [u32; N]) -> Result<(), BadFrame> {
        let (at, words) = self.alloc(1 + N)?;
        if let Some((n, rest)) = words.split_first_mut() {
            *n = N as u32;
            rest.copy_from_slice(&elements);
        }
        self.push(TUPLE | at)
    }

    #[inline]
    fn tuple_from_mark(&mut self) -> Result<(), BadFrame> {
        let start = self.pop_mark()?;
        let handle = match *self.stack.get(start..self.height).unwrap_or(&[]) {
            [first, second] => PAIR | self.alloc_pair([first, second])?,
            ref elements => {
                let n = elements.len() as u32;
                let (at, words) = self.alloc(1)?;
                words.fill(n);
                self.move_to_arena(start)?;
                TUPLE | at
            }
        };
        self.height = start;
        self.push(handle)
    }

    /// Adds what lies above `start` to the list there.
    #[inline]
    fn append(&mut self, start: usize) -> Result<(), BadFrame> {
        let list = match start.checked_sub(1) {
            Some(at) if at >= self.fence => self.stack.get(at).copied(),
            _ => None,
        };
        let list = list.ok_or(BadFrame::StackUnderflow)?;
        if list & !OFFSET != LIST {
            return Err(BadFrame::WrongTarget);
        }
        self.extend(list & OFFSET, start)
    }

    /// Moves what lies above `start` on the stack into the list at `list`.
    fn extend(&mut self, list: u32, start: usize) -> Result<(), BadFrame> {
        let n = self.height - start;
        if n == 0 {
            return Ok(());
        }
        let list = list as usize;
        let last = self.arena.get(list + 1).map_or(0, |last| *last as usize);
        if last != 0
            && let Some(held) = self.arena.get_mut(last + 1)
            && last + 2 + *held as usize == self.used
        {
            // The last chunk ends the arena, so it can grow where it is.
            *held += n as u32;
        } else {
            let chunk = self.alloc_pair([0, n as u32])?;
            // The first chunk is linked from the list's own first word.
            let link = if last == 0 { list } else { last };
            for at in [link, list + 1] {
                if let Some(word) = self.arena.get_mut(at) {
                    *word = chunk;
                }
            }
        }
        self.move_to_arena(start)
    }

    fn move_to_arena(&mut self, start: usize) -> Result<(), BadFrame> {
        let n = self.height - start;
        self.height = start;
        let (at, _) = self.alloc(n)?;
        let words = self.arena.get_mut(at as usize..self.used);
        if let (Some(words), Some(elements)) = (words, self.stack.get(start..start + n)) {
            words.copy_from_slice(elements);
        }
        Ok(())
    }

    /// Drops what lies above `start` into the dict or set there, which one of
    /// `makers` made.
    fn drop_into(&mut self, makers: &[u8], start: usize) -> Result<(), BadFrame> {
        self.height = start;
        let target = self.top()?;
        let maker = self.frame.get(target as usize);
        if target & !OFFSET != ATOM || !maker.is_some_and(|maker| makers.contains(maker)) {
            return Err(BadFrame::WrongTarget);
        }
        Ok(())
    }

    /// Most texts and tuples are memoised at once: taking that along saves a turn of the
    /// loop.
    #[inline]
    fn put_next<'r>(&mut self, top: u32, rest: &'r [u8]) -> Result<&'r [u8], BadFrame> {
        let (index, after) = match rest {
            [b'q', index, after @ ..] => (usize::from(*index), after),
            [b'r', a, b, c, d, after @ ..] => {
                (u32::from_le_bytes([*a, *b, *c, *d]) as usize, after)
            }
            [0x94, after @ ..] => (self.memo_entries, after),
            _ => return Ok(rest),
        };
        self.put_at(index, top)?;
        Ok(after)
    }

    #[inline]
    fn put(&mut self, index: usize) -> Result<(), BadFrame> {
        let top = self.top()?;
        self.put_at(index, top)
    }

    #[inline]
    fn put_at(&mut self, index: usize, top: u32) -> Result<(), BadFrame> {
        if index >= self.memo.len() {
            let more = index.saturating_add(1) - self.memo.len();
            lengthen(self.memo, more, self.limits.memo, NOTHING)?;
        }
        if let Some(entry) = self.memo.get_mut(index) {
            self.memo_entries += usize::from(*entry == NOTHING);
            *entry = top;
        }
        Ok(())
    }

    #[inline]
    fn recall(&mut self, index: usize) -> Result<(), BadFrame> {
        match self.memo.get(index) {
            Some(&handle) if handle != NOTHING => self.push(handle),
            _ => Err(BadFrame::UnknownMemo),
        }
    }
}

/// Adds at least `more` elements, and then as many as the memory that it takes allows.
#[cold]
#[inline(never)]
fn lengthen(part: &mut Vec<u32>, more: usize, most: usize, with: u32) -> Result<(), BadFrame> {
    make_room(part, more, most)?;
    // Not all of what a large frame once took: that would be filled for each small one.
    let length = (part.len() * 2).max(part.len() + more).max(64);
    part.resize(length.min(part.capacity()).min(most), with);
    Ok(())
}

#[inline]
fn split<const N: usize>(rest: &[u8]) -> Result<(&[u8; N], &[u8]), BadFrame> {
    rest.split_first_chunk().ok_or(BadFrame::Truncated)
}
