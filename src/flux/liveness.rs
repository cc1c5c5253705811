//! The keys by which Skyline's Thunder knows that Flux lives.

use std::sync::Weak;
use std::time::Duration;

use redis::RedisResult;

use super::checks::Clock;
use super::http::{KEPT_S, LISTEN, Site};

/// The key of Flux's worker.
const WORKER: &str = "flux.worker";
/// The key of the process's number.
const PROCESS: &str = "flux.main_process_pid";

/// Writes the keys once in each `horizon.side_keys_s`, where side keys are on and Flux
/// listens.
pub async fn run(site: Weak<Site>) {
    loop {
        let Some(site) = site.upgrade() else {
            return;
        };
        let settings = site.handle.settings();
        let is_wanted = settings.horizon.side_keys && !settings.flux.listen.is_empty();
        if is_wanted && let Err(error) = write(&site).await {
            // Redis may be away, of which others speak.
            tracing::debug!(%error, "Flux's liveness keys are not written");
        }
        drop(site);
        let pause = Duration::from_secs(settings.horizon.side_keys_s.into());
        tokio::time::sleep(pause).await;
    }
}

async fn write(site: &Site) -> RedisResult<()> {
    let mut connection = site.intake.redis().await?;
    let now = Clock::new(0).now;
    let mut keys = redis::pipe();
    keys.set_ex(LISTEN, now, KEPT_S).ignore();
    keys.set_ex(WORKER, now, KEPT_S).ignore();
    keys.set(PROCESS, std::process::id()).ignore();
    keys.query_async(&mut connection).await
}
