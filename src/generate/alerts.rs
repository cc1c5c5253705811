//! Alert rules for Prometheus, on the metrics of the catalogue.

use super::quoted;

/// When somebody should look.
pub(super) struct Alert {
    name: &'static str,
    /// What is measured; with `when` it is the alert's expression.
    expr: &'static str,
    when: &'static str,
    /// How long it has to be so.
    hold: &'static str,
    severity: &'static str,
    summary: &'static str,
    mend: &'static str,
}

const ALERTS: &[Alert] = &[
    Alert {
        name: "SkyringDown",
        expr: "up{job=\"skyring\"}",
        when: "== 0",
        hold: "1m",
        severity: "critical",
        summary: "Skyring cannot be scraped",
        mend: "See systemctl status skyring and its log. Relays keep what they send for as long as their queues last.",
    },
    Alert {
        name: "SkyringNotReady",
        expr: "skyring_ready",
        when: "== 0",
        hold: "2m",
        severity: "critical",
        summary: "Skyring does not store points",
        mend: "/readyz at its admin address says why: mostly Redis is away or refuses commands.",
    },
    Alert {
        name: "SkyringNothingReceived",
        expr: "sum by (instance) (rate(skyring_points_received_total[10m]))",
        when: "== 0",
        hold: "10m",
        severity: "critical",
        summary: "No points arrive",
        mend: "Look at the relays' destinations, and at skyring_connections by listener.",
    },
    Alert {
        name: "SkyringPointsDropped",
        expr: "sum by (instance, listener, reason) (rate(skyring_points_dropped_total{reason!~\"not_mine|rule|skipped\"}[5m]))",
        when: "> 0",
        hold: "10m",
        severity: "warning",
        summary: "Points are dropped",
        mend: "The reason says what is wrong with them; the page \"listeners\" has each.",
    },
    Alert {
        name: "SkyringDatagramsLost",
        expr: "rate(skyring_kernel_drops_total[5m])",
        when: "> 0",
        hold: "5m",
        severity: "warning",
        summary: "The kernel drops datagrams",
        mend: "Raise horizon.udp_buffer_bytes and net.core.rmem_max, or send over TCP.",
    },
    Alert {
        name: "SkyringBadFrames",
        expr: "sum by (instance, listener, reason) (rate(skyring_frames_bad_total[15m]))",
        when: "> 0",
        hold: "15m",
        severity: "warning",
        summary: "Frames are refused",
        mend: "A sender speaks another protocol to this port, or is hostile; the log names it.",
    },
    Alert {
        name: "SkyringConnectionsRefused",
        expr: "rate(skyring_connections_refused_total[5m])",
        when: "> 0",
        hold: "5m",
        severity: "warning",
        summary: "Connections are refused",
        mend: "Raise horizon.connections_max and LimitNOFILE, or find who opens so many.",
    },
    Alert {
        name: "SkyringBufferNearlyFull",
        expr: "skyring_buffer_bytes / skyring_buffer_max_bytes",
        when: "> 0.8",
        hold: "5m",
        severity: "critical",
        summary: "Points wait for Redis, and soon senders will",
        mend: "Redis is slower than the stream, or away. Raise horizon.buffer_bytes_max for longer outages.",
    },
    Alert {
        name: "SkyringSlow",
        expr: "histogram_quantile(0.99, sum by (instance, le) (rate(skyring_settle_latency_seconds_bucket[5m])))",
        when: "> 1",
        hold: "10m",
        severity: "warning",
        summary: "Points take longer than a second to reach Redis",
        mend: "Redis or its host is overloaded: look at its slow log, forks, and the CPU it runs on.",
    },
    Alert {
        name: "SkyringRedisSilent",
        expr: "skyring_redis_unanswered_seconds",
        when: "> 5",
        hold: "1m",
        severity: "critical",
        summary: "Redis does not answer",
        mend: "It hangs: a slow command, a fork, swap, or a disk that does not keep up with its append-only file.",
    },
    Alert {
        name: "SkyringRedisErrors",
        expr: "sum by (instance, code) (rate(skyring_redis_errors_total[5m]))",
        when: "> 0",
        hold: "5m",
        severity: "warning",
        summary: "Redis answers with errors",
        mend: "OOM: give it memory. MISCONF: mend its disk. WRONGTYPE: a key under metrics. is no string.",
    },
    Alert {
        name: "SkyringMetricTableFull",
        expr: "rate(skyring_metrics_not_kept_total[5m])",
        when: "> 0",
        hold: "10m",
        severity: "warning",
        summary: "There are more metrics than the tables have room for",
        mend: "Raise horizon.metrics_max, or drop by a rule what makes new names all the time.",
    },
    Alert {
        name: "SkyringRoombaFailing",
        expr: "skyring_roomba_failing",
        when: "== 1",
        hold: "10m",
        severity: "warning",
        summary: "Series are not trimmed",
        mend: "The log and /api/status say why. Until then Redis grows with every point.",
    },
    Alert {
        name: "SkyringRoombaLate",
        expr: "((time() - skyring_roomba_last_pass_ended_timestamp_seconds) and on (instance) (skyring_roomba_enabled == 1))",
        when: "> 1200",
        hold: "20m",
        severity: "warning",
        summary: "No pass over the series has ended for 20 minutes",
        mend: "Redis is busy with points, or roomba.interval_s is too short for so many series.",
    },
    Alert {
        name: "SkyringSeriesSetAside",
        expr: "increase(skyring_roomba_quarantined_total[1h])",
        when: "> 0",
        hold: "0m",
        severity: "warning",
        summary: "A series could not be read and was set aside",
        mend: "Another program writes what is no series: the log names the keys, kept under skyring.quarantine.",
    },
    Alert {
        name: "SkyringRestarts",
        expr: "resets(skyring_uptime_seconds[1h])",
        when: "> 2",
        hold: "0m",
        severity: "warning",
        summary: "Skyring restarts again and again",
        mend: "See journalctl -u skyring, and the kernel's log for a lack of memory.",
    },
    Alert {
        name: "SkyringFluxQueueNearlyFull",
        expr: "skyring_flux_queue_bytes / skyring_flux_queue_bytes_max",
        when: "> 0.8",
        hold: "5m",
        severity: "warning",
        summary: "Points over HTTP are not delivered as fast as they come",
        mend: "Carbon or Redis is slow or away; soon clients are answered 503.",
    },
    Alert {
        name: "SkyringFluxPointsLost",
        expr: "sum by (instance, reason) (rate(skyring_flux_dropped_points_total[5m]))",
        when: "> 0",
        hold: "5m",
        severity: "critical",
        summary: "Points taken over HTTP were not delivered",
        mend: "The reason and the log say why.",
    },
    Alert {
        name: "SkyringVistaFailing",
        expr: "sum by (instance, state) (skyring_vista_entries{state=~\"failing|disabled\"})",
        when: "> 0",
        hold: "15m",
        severity: "warning",
        summary: "Metrics are not fetched",
        mend: "/api/status says of each entry what went wrong; skyring vista test NAME tries one now.",
    },
    Alert {
        name: "SkyringVistaLate",
        expr: "max by (instance) (skyring_vista_lag_seconds)",
        when: "> 7200",
        hold: "15m",
        severity: "warning",
        summary: "A fetched metric has had no new point for two hours",
        mend: "Its source has nothing new, or does not answer.",
    },
];

/// The rules as Prometheus's YAML. Strings are JSON, which YAML reads.
pub(super) fn text() -> String {
    let mut out = String::from(
        "# Alerts on Skyring's metrics, for rule_files of prometheus.yml. The first takes the\n\
         # job to be called skyring. Made by skyring generate alerts.\n\
         groups:\n  - name: skyring\n    rules:\n",
    );
    for alert in ALERTS {
        let Alert {
            name,
            expr,
            when,
            hold,
            severity,
            summary,
            mend,
        } = alert;
        out.push_str(&format!(
            "      - alert: {name}\n        expr: {}\n        for: {hold}\n        \
             labels:\n          severity: {severity}\n        annotations:\n          \
             summary: {}\n          description: {}\n",
            quoted(&format!("{expr} {when}")),
            quoted(&format!("{summary} ({{{{ $labels.instance }}}})")),
            quoted(mend),
        ));
    }
    out
}
