//! The memory that all connections and unsettled batches of a server together
//! may hold.
//!
//! Partial frames could fill it so that none of them can be completed. So the
//! room of one whole frame is kept apart: one connection at a time may grow
//! into it, whatever the others hold.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Shared by all shards. Claims are made for buffers, not for points.
#[derive(Debug)]
pub struct Budget {
    bytes_max: usize,
    used: AtomicUsize,
    reserve_taken: AtomicBool,
}

impl Budget {
    /// A budget of `bytes_max`, of which `frame_bytes_max` is the reserve.
    pub fn new(bytes_max: usize, frame_bytes_max: usize) -> Self {
        Self {
            bytes_max: bytes_max.saturating_sub(frame_bytes_max),
            used: AtomicUsize::new(0),
            reserve_taken: AtomicBool::new(false),
        }
    }

    /// Whether anything may still be claimed.
    pub fn has_room(&self) -> bool {
        self.used() < self.bytes_max
    }

    /// Claims `bytes` if there is room for them.
    pub fn claim(&self, bytes: usize) -> bool {
        let claim = |used: usize| used.checked_add(bytes).filter(|&sum| sum <= self.bytes_max);
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, claim)
            .is_ok()
    }

    /// Counts `bytes` that are held in any case. Who does so looks at
    /// [`Budget::has_room`] first, and so exceeds the budget by one turn's worth.
    pub fn claim_always(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Gives back what was claimed.
    pub fn release(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Takes the reserve, if nobody has it.
    pub fn take_reserve(&self) -> bool {
        !self.reserve_taken.swap(true, Ordering::Relaxed)
    }

    /// Gives the reserve back.
    pub fn return_reserve(&self) {
        self.reserve_taken.store(false, Ordering::Relaxed);
    }

    /// Bytes claimed at present.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With the budget used up, exactly one frame can still be completed.
    #[test]
    fn the_reserve_is_outside_of_the_claims_and_for_one() {
        let budget = Budget::new(100, 40);
        assert!(budget.claim(60));
        assert!(!budget.has_room());
        assert!(!budget.claim(1));
        assert!(budget.take_reserve());
        assert!(!budget.take_reserve());
        budget.return_reserve();
        assert!(budget.take_reserve());
        budget.release(60);
        assert_eq!(budget.used(), 0);
        assert!(!budget.claim(usize::MAX));
    }
}
