//! Marks the stretch from decode to encode, in which nothing may be allocated
//! in the steady state, so that an allocator that counts can tell.

use std::cell::Cell;

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is between decode and encode.
pub fn inside() -> bool {
    INSIDE.try_with(Cell::get).unwrap_or(false)
}

/// Marks this thread as inside until it is dropped.
pub(crate) struct Stretch(());

pub(crate) fn enter() -> Stretch {
    INSIDE.with(|inside| inside.set(true));
    Stretch(())
}

impl Drop for Stretch {
    fn drop(&mut self) {
        INSIDE.with(|inside| inside.set(false));
    }
}
