//! How many metrics a prefix may have: those that it has are in the set
//! `flux.quota.namespace_metrics.<prefix>` of Redis, as Skyline's Flux keeps it. Those
//! that were rejected, and in which minute last, are in the hash
//! `flux.quota.namespace_rejected_metrics.<prefix>`.

use std::collections::HashSet;
use std::sync::LazyLock;
use std::time::Duration;

use redis::Script;

use super::Intake;
use crate::logging::Throttle;
use crate::side_keys::now_s;

const SET: &str = "flux.quota.namespace_metrics.";
const REJECTED: &str = "flux.quota.namespace_rejected_metrics.";
/// Names in that hash, at most: whoever posts decides how many there are.
const REJECTED_MAX: usize = 10_000;

/// Says of each name whether it is in the set, putting it there while there is room,
/// and else into the hash.
static TAKE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local count = redis.call('SCARD', KEYS[1])
        local rejected = redis.call('HLEN', KEYS[2])
        local taken = {}
        for i = 4, #ARGV do
            local known = redis.call('SISMEMBER', KEYS[1], ARGV[i])
            if known == 0 and count < tonumber(ARGV[1]) then
                known = redis.call('SADD', KEYS[1], ARGV[i])
                count = count + 1
            end
            if known == 0 and (rejected < tonumber(ARGV[2])
                    or redis.call('HEXISTS', KEYS[2], ARGV[i]) == 1) then
                rejected = rejected + redis.call('HSET', KEYS[2], ARGV[i], ARGV[3])
            end
            taken[i - 3] = known
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
        take.key(format!("{REJECTED}{prefix}"));
        take.arg(quota).arg(REJECTED_MAX).arg(now_s() / 60 * 60);
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
