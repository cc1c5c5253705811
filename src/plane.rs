//! The runtime under the shards: executors, sockets, timers, and the way in
//! from other threads.
//!
//! This is the only module that names glommio, so that another runtime could
//! take its place. What the rest of the data plane may rely on:
//!
//! - a shard is one thread, pinned to one CPU, with one executor; futures never
//!   leave it, so its state needs no locks;
//! - an executor with nothing to do sleeps in the kernel;
//! - nothing is preempted, and I/O is looked at only when no task can run: a
//!   task that has done a turn's worth of work awaits [`let_others_run`].

mod inbox;
mod socket;

use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

pub use inbox::{Inbox, Sender, inbox};
pub use socket::{Accepted, Listener, Stream, bind_datagrams, bind_listener};

/// Memory that each ring of an executor registers with the kernel. Sockets
/// need none of it, and the default of 10 MiB a ring would not fit the usual
/// limit of locked memory.
const IO_MEMORY_BYTES: usize = 64 << 10;

/// After this time glommio would take the CPU from its tasks. It must never be
/// over: when it is over before the first task has run, because the thread was
/// kept from its CPU, glommio takes the tasks that are ready for none, and
/// sleeps until something else wakes it. So tasks hand over by themselves.
const PREEMPT: Duration = Duration::from_secs(10);

/// A wait that is over when the executor has looked at its I/O once.
const MOMENT: Duration = Duration::from_micros(1);

/// Looks at this host's CPUs as an executor does, which bears no failure there.
///
/// # Errors
///
/// Such as that there is no sysfs.
pub fn probe_cpus() -> Result<(), String> {
    let found = glommio::CpuSet::online();
    found.map(drop).map_err(|error| error.to_string())
}

/// Runs `body` on an executor of its own, on a new thread that is pinned to
/// `cpu`. Returns once the executor exists.
///
/// A panic on the executor is a bug that would leave the server half alive, so
/// it ends the process.
///
/// # Errors
///
/// When the thread or its rings cannot be made, or `cpu` may not be used.
pub fn launch<T, F, Fut>(name: String, cpu: usize, body: F) -> io::Result<JoinHandle<T>>
where
    T: Send + 'static,
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = T> + 'static,
{
    let (built, wait_built) = mpsc::sync_channel(1);
    let thread = std::thread::Builder::new()
        .name(name.clone())
        .spawn(move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                let executor = glommio::LocalExecutorBuilder::new(glommio::Placement::Fixed(cpu))
                    .io_memory(IO_MEMORY_BYTES)
                    .preempt_timer(PREEMPT)
                    .make();
                match executor {
                    Ok(executor) => {
                        let _ = built.send(Ok(()));
                        Some(executor.run(async move { body().await }))
                    }
                    Err(error) => {
                        let _ = built.send(Err(io::Error::other(error.to_string())));
                        None
                    }
                }
            }));
            match outcome {
                Ok(Some(value)) => value,
                // The launcher has the error; nobody joins this thread.
                Ok(None) => std::panic::resume_unwind(Box::new("no executor")),
                Err(panic) => {
                    let _ = built.send(Err(io::Error::other("the executor could not be built")));
                    tracing::error!(
                        shard = name,
                        "a shard has panicked: this is a bug in Skyring"
                    );
                    drop(panic);
                    std::process::abort();
                }
            }
        })?;
    match wait_built.recv() {
        Ok(Ok(())) => Ok(thread),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(io::Error::other(
            "the executor's thread ended before it ran",
        )),
    }
}

/// Starts a task on this thread's executor, which lives until it returns.
pub fn spawn(task: impl Future<Output = ()> + 'static) {
    glommio::spawn_local(task).detach();
}

/// Returns after `duration`.
pub async fn sleep(duration: Duration) {
    glommio::timer::sleep(duration).await;
}

/// A timer to be polled beside other things.
pub struct Timer(glommio::timer::Timer);

impl Timer {
    /// Ready `duration` from now.
    pub fn after(duration: Duration) -> Self {
        Self(glommio::timer::Timer::new(duration))
    }

    /// Whether it is time; otherwise the task is woken when it is.
    pub fn poll(&mut self, cx: &mut std::task::Context<'_>) -> bool {
        std::pin::Pin::new(&mut self.0).poll(cx).is_ready()
    }
}

/// Lets every other task run that can, and looks at I/O and timers.
pub async fn let_others_run() {
    sleep(MOMENT).await;
}

/// As [`let_others_run`], for a task that is a state machine: it is polled again
/// afterwards.
pub fn poll_after_others(cx: &mut std::task::Context<'_>) -> Timer {
    let mut timer = Timer::after(MOMENT);
    if timer.poll(cx) {
        cx.waker().wake_by_ref();
    }
    timer
}

/// Runs `work`, which may block, on a thread made for such work.
pub async fn unblock<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    glommio::executor().spawn_blocking(work).await
}
