//! The harness's allocator: mimalloc, as the server uses it, that counts what
//! each thread asks of it, and apart from the rest what is asked inside the
//! server's stretch from decode to encode.
#![allow(unsafe_code, reason = "a global allocator can't be written without")]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use mimalloc::MiMalloc;

/// Threads told apart; those that come later share the last place.
const THREADS: usize = 512;

struct Counting;

#[global_allocator]
static GLOBAL: Counting = Counting;

/// What one thread has asked for.
struct Place {
    thread: AtomicU32,
    stretch: AtomicU64,
    elsewhere: AtomicU64,
}

static PLACES: [Place; THREADS] = [const {
    Place {
        thread: AtomicU32::new(0),
        stretch: AtomicU64::new(0),
        elsewhere: AtomicU64::new(0),
    }
}; THREADS];
static TAKEN: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    // Constant and without a destructor: touching it never allocates.
    static MINE: Cell<Option<&'static Place>> = const { Cell::new(None) };
}

/// Allocations (new, zeroed and grown ones) of some threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allocations {
    /// Between decode and encode.
    pub stretch: u64,
    /// In the rest.
    pub elsewhere: u64,
}

/// What the live threads of this process whose names begin with `prefix` have
/// asked for since they began.
pub fn of_threads(prefix: &str) -> std::io::Result<Allocations> {
    let mut sum = Allocations::default();
    for task in std::fs::read_dir("/proc/self/task")? {
        let task = task?;
        let named = std::fs::read_to_string(task.path().join("comm"));
        let id: Option<u32> = task.file_name().to_str().and_then(|n| n.parse().ok());
        let (Ok(name), Some(id)) = (named, id) else {
            continue;
        };
        if !name.starts_with(prefix) {
            continue;
        }
        for place in PLACES
            .iter()
            .filter(|p| p.thread.load(Ordering::Relaxed) == id)
        {
            sum.stretch += place.stretch.load(Ordering::Relaxed);
            sum.elsewhere += place.elsewhere.load(Ordering::Relaxed);
        }
    }
    Ok(sum)
}

fn count() {
    MINE.with(|mine| {
        let place = mine.get().unwrap_or_else(|| {
            let index = TAKEN.fetch_add(1, Ordering::Relaxed).min(THREADS - 1);
            let id = rustix::thread::gettid().as_raw_nonzero().get();
            PLACES[index].thread.store(id as u32, Ordering::Relaxed);
            mine.set(Some(&PLACES[index]));
            &PLACES[index]
        });
        let counter = if skyring::stretch::inside() {
            &place.stretch
        } else {
            &place.elsewhere
        };
        counter.fetch_add(1, Ordering::Relaxed);
    });
}

// SAFETY: every method hands its arguments unchanged to MiMalloc, which keeps
// GlobalAlloc's contract; counting allocates nothing and never unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of this method, which is MiMalloc's.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above; the pointer came from MiMalloc.
        unsafe { MiMalloc.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above; the pointer came from MiMalloc.
        unsafe { MiMalloc.realloc(pointer, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    /// Allocations must land on the thread that made them, found by its name.
    #[test]
    fn allocations_are_counted_to_the_thread_that_made_them() {
        let barrier = Barrier::new(2);
        std::thread::scope(|scope| {
            let worker = std::thread::Builder::new().name("alloc-test-worker".into());
            worker
                .spawn_scoped(scope, || {
                    barrier.wait();
                    barrier.wait();
                    for size in 0..1000 {
                        std::hint::black_box(Vec::<u8>::with_capacity(size + 1));
                    }
                    barrier.wait();
                    barrier.wait();
                })
                .unwrap();
            barrier.wait();
            // A thread's name in /proc holds 15 characters.
            let before = of_threads("alloc-test-work").unwrap();
            barrier.wait();
            barrier.wait();
            let after = of_threads("alloc-test-work").unwrap();
            barrier.wait();
            assert_eq!(after.elsewhere - before.elsewhere, 1000);
            assert_eq!(after.stretch, 0);
        });
    }
}
