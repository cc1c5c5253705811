//! Vista: metrics fetched from Graphite and Prometheus, and handed to Flux.
//!
//! ```text
//! vista.fetch ─▸ entry ─▸ core ─▸ fetch ─▸ source ─▸ answer ─▸ flux::Intake
//!               judged   what is  asked    Graphite,  what is   delivered
//!                        due                Prometheus new
//! ```
//!
//! One thread with a runtime of its own does all of it. What is due of whom is decided
//! by [`core`] alone, on the arithmetic of [`gap`]; each job is a task that asks one
//! source, so that one that hangs holds up nobody else. The last point that was
//! delivered of each metric, which Flux keeps in Redis, is all that is remembered across
//! a restart: what is newer is fetched, what is missing is filled, and nothing is
//! delivered twice.

pub mod answer;
pub mod clock;
pub mod core;
pub mod entry;
mod fetch;
pub mod gap;
mod inherit;
mod keys;
mod run;
pub mod status;
pub mod trial;
pub mod view;

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::mpsc;

pub use clock::{Clock, DrivenClock, HostClock};
pub use status::VistaStatus;

use crate::flux::{Intake, Populate};
use crate::server::Handle;
use crate::settings::Settings;

/// The part of the server that fetches, and its runtime.
pub struct Vista {
    reload: Option<mpsc::UnboundedSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Vista {
    /// Fetches what the settings in force name, when it is due by `clock`, and hands it
    /// to `intake`; long gaps and histories are left to `populate`.
    ///
    /// # Errors
    ///
    /// When a thread or the runtime cannot be made.
    pub fn start(
        handle: Arc<Handle>,
        intake: Intake,
        populate: Populate,
        clock: Arc<dyn Clock>,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (reload, reloads) = mpsc::unbounded_channel();
        let body = move || {
            let runner = run::Runner::new(handle, intake, populate, clock);
            runtime.block_on(runner.run(reloads));
            // What still waits for Redis or a name is left behind.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new()
            .name("skyring-vista".to_owned())
            .spawn(body)?;
        Ok(Self {
            reload: Some(reload),
            thread: Some(thread),
        })
    }

    /// Goes on under these settings, which are in force.
    pub fn reload(&self, _settings: &Settings) {
        if let Some(reload) = &self.reload {
            let _ = reload.send(());
        }
    }

    /// Fetches nothing more; what is under way is given up, and is asked for again at
    /// the next start.
    pub fn stop(self) {}
}

impl Drop for Vista {
    fn drop(&mut self) {
        self.reload = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("Vista has panicked, which is a bug");
        }
    }
}
