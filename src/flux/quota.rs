//! How many metrics a prefix may have: those that it has are in the set
//! `flux.quota.namespace_metrics.<prefix>` of Redis, as Skyline's Flux keeps it.

use std::collections::HashSet;
use std::sync::LazyLock;
use std::time::Duration;

use redis::Script;

use super::Intake;
use crate::logging::Throttle;

const SET: &str = "flux.quota.namespace_metrics.";

/// Says of each name whether it is in the set, putting it there while there is room.
static TAKE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local count = redis.call('SCARD', KEYS[1])
        local taken = {}
        for i = 2, #ARGV do
            local known = redis.call('SISMEMBER', KEYS[1], ARGV[i])
            if known == 0 and count < tonumber(ARGV[1]) then
                known = redis.call('SADD', KEYS[1], ARGV[i])
                count = count + 1
            end
            taken[i - 1] = known
        end
        return taken",
    )
});

static FAILED: Throttle = Throttle::new(Duration::from_secs(60));

/// Those of `metrics`, by their final names, that are over the quota of a prefix; the
/// others belong to it from now on. None, if Redis cannot be asked.
pub async fn rejected<'m>(
    intake: &Intake,
    prefix: &str,
    quota: u32,
    metrics: &[&'m str],
) -> HashSet<&'m str> {
    let mut seen = HashSet::new();
    let metrics: Vec<&str> = metrics
        .iter()
        .copied()
        .filter(|m| seen.insert(*m))
        .collect();
    let taken = async {
        let mut connection = intake.redis().await?;
        let mut take = TAKE.key(format!("{SET}{prefix}"));
        take.arg(quota);
        for metric in &metrics {
            take.arg(*metric);
        }
        take.invoke_async::<Vec<u8>>(&mut connection).await
    };
    match taken.await {
        Ok(taken) => {
            let both = metrics.into_iter().zip(taken);
            both.filter(|(_, taken)| *taken == 0)
                .map(|(metric, _)| metric)
                .collect()
        }
        Err(error) => {
            if let Some(suppressed) = FAILED.admit() {
                tracing::warn!(%error, suppressed, "flux.quotas cannot be looked at: metrics are taken without");
            }
            HashSet::new()
        }
    }
}
