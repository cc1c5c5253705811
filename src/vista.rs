//! Vista: metrics fetched from Graphite and Prometheus, and handed to Flux.

pub mod status;

use std::io;
use std::sync::Arc;

pub use status::VistaStatus;

use crate::flux::{Intake, Populate};
use crate::server::Handle;
use crate::settings::Settings;

/// The part of the server that fetches, and its runtime.
pub struct Vista {}

impl Vista {
    /// Fetches what the settings in force name, and hands it to `intake`; long gaps
    /// and histories are left to `populate`.
    ///
    /// # Errors
    ///
    /// When a thread or the runtime cannot be made.
    pub fn start(_handle: Arc<Handle>, _intake: Intake, _populate: Populate) -> io::Result<Self> {
        Ok(Self {})
    }

    /// Goes on under these settings.
    pub fn reload(&self, _settings: &Settings) {}

    /// Fetches nothing more; what is under way is given up.
    pub fn stop(self) {}
}
