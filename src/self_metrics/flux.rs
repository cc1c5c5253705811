//! Skyline's metrics about Flux, each of what has happened since the last pass.
//!
//! | `skyline.flux.<name>.` | is |
//! | --- | --- |
//! | `worker.metrics_sent_to_graphite` | metrics delivered, each once |
//! | `worker.discarded.already_received` | points not newer than the last |
//! | `worker.httpMetricDataQueue.size` | points on their way now |
//! | `listen.added_to_queue` | points taken over HTTP |
//! | `listen.discarded.<reason>` | requests refused |
//! | `listen.over_quota_metrics_count` | metrics over a quota, if there are quotas |
//! | `listen.dropped_non_numeric_metrics` | Telegraf's fields that are no numbers |
//! | `populate_metric_worker.datapoints_sent_to_graphite` | points of histories delivered |

use crate::flux::FluxStatus;

/// Reasons that have a metric of their own.
const DISCARDED: [&str; 5] = [
    "invalid_timestamp",
    "metric_name",
    "invalid_value",
    "invalid_key",
    "invalid_parameters",
];

/// The metrics of what has happened between two looks.
pub(super) fn figures(
    before: &FluxStatus,
    now: &FluxStatus,
    has_quotas: bool,
) -> Vec<(String, u64)> {
    let since = |count: fn(&FluxStatus) -> u64| count(now).saturating_sub(count(before));
    let refused = |reason: &str| {
        let all = |status: &FluxStatus| -> u64 {
            let counts = status.endpoints.values();
            counts
                .filter_map(|endpoint| endpoint.refused.get(reason))
                .sum()
        };
        all(now).saturating_sub(all(before))
    };
    let points = |status: &FluxStatus| status.endpoints.values().map(|one| one.points).sum();
    let mut figures = vec![
        (
            "worker.metrics_sent_to_graphite".to_owned(),
            since(|status| status.metrics_delivered),
        ),
        (
            "worker.discarded.already_received".to_owned(),
            since(|status| status.already_received),
        ),
        (
            "worker.httpMetricDataQueue.size".to_owned(),
            now.queue_points,
        ),
        ("listen.added_to_queue".to_owned(), since(points)),
        (
            "populate_metric_worker.datapoints_sent_to_graphite".to_owned(),
            since(|status| status.populate.points),
        ),
        (
            "listen.dropped_non_numeric_metrics".to_owned(),
            refused("not_numeric"),
        ),
    ];
    let discarded = DISCARDED.iter();
    figures.extend(discarded.map(|reason| (format!("listen.discarded.{reason}"), refused(reason))));
    if has_quotas {
        let name = "listen.over_quota_metrics_count".to_owned();
        figures.push((name, refused("over_quota")));
    }
    figures
}
