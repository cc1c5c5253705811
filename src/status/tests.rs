use super::*;
use crate::flux::status::{CarbonStatus, EndpointStatus};
use crate::history::{Interval, Intervals};
use crate::logging::Fault;
use crate::redis::LinkState;
use crate::talkers::{Report, Row, Side};
use crate::vista::status::{EntryStatus, SourceStatus};

/// An answer may not be longer, in bytes.
const ANSWER_BYTES_MAX: usize = 200 << 10;
/// As large as a count becomes in years.
const COUNT: u64 = 9_876_543_210_123;

fn text(bytes: usize, at: usize) -> String {
    format!("{at:x<bytes$}")
}

fn source_counts() -> SourceCounts {
    let mut frames_bad = Tally::default();
    for word in 0..100 {
        frames_bad.count(&text(30, word));
    }
    SourceCounts {
        received: COUNT,
        stored: COUNT,
        dropped: [COUNT; DropReason::ALL.len()],
        in_flight: COUNT,
        frames: COUNT,
        frames_bad,
        frames_too_long: COUNT,
        frames_cut_short: COUNT,
        bytes: COUNT,
        connections: 10_000,
        connections_accepted: COUNT,
        connections_refused: COUNT,
        connections_stalled: COUNT,
    }
}

fn counts() -> Counts {
    let mut counts = Counts::new();
    counts.sources.fill_with(source_counts);
    counts.redis.errors = source_counts().frames_bad;
    counts.latency_us.saturating_record(COUNT);
    counts
}

fn interval(seq: u64) -> Interval {
    let fate = crate::history::Fate {
        received: 12_345_678,
        stored: 12_345_678,
        dropped: 12_345_678,
    };
    Interval {
        seq: 1_000_000 + seq,
        at_ms: 1_800_000_000_000 + seq,
        span_ms: 10_000,
        sources: [fate; Source::ALL.len()],
        in_flight: 12_345_678,
        appends: 12_345_678,
        series_new: 1_234_567,
        latency_us: LatencyStatus::new(&counts().latency_us),
        cpu_us: vec![2_000_000; 10],
    }
}

fn flux() -> FluxStatus {
    let endpoint = || EndpointStatus {
        answers: (0..15).map(|at| (200 + at, COUNT)).collect(),
        points: COUNT,
        refused: (0..30).map(|at| (text(30, at), COUNT)).collect(),
    };
    let paths = [
        "/metric_data",
        "/metric_data_post",
        "/populate_metric",
        "/upload_data",
        "/prometheus/write",
        "/api",
    ];
    FluxStatus {
        addresses: vec![text(40, 0); 4],
        endpoints: paths.map(|path| (path, endpoint())).into(),
        carbon: Some(CarbonStatus::default()),
        ..FluxStatus::default()
    }
}

/// 5,000 entries at 20 sources, a tenth of which fail.
fn vista() -> VistaStatus {
    let entry = |at: usize| {
        let is_failing = at.is_multiple_of(10);
        EntryStatus {
            metric: text(80, at),
            remote_host: text(40, at),
            remote_target: text(120, at),
            frequency_s: 60,
            state: if is_failing { "failing" } else { "ok" },
            last_point_s: Some(1_800_000_000),
            lag_s: Some(123_456),
            error: text(if is_failing { 100 } else { 0 }, at),
            next_fetch_s: Some(1_800_000_000),
            points: COUNT,
            ..EntryStatus::default()
        }
    };
    let source = |at: usize| SourceStatus {
        remote_host: text(40, at),
        error: text(100, at),
        ..SourceStatus::default()
    };
    VistaStatus {
        enabled: true,
        sources: (0..20).map(source).collect(),
        entries: (0..5000).map(entry).collect(),
        ..VistaStatus::default()
    }
}

/// Ten shards, every listener, every rule of many, every fault that is kept, and more
/// of Vista's entries than are shown.
fn full() -> Status {
    let counts = counts();
    let listener = |(source, counts): (Source, &SourceCounts)| {
        let addresses = vec![text(21, 0); 4];
        let status = ListenerStatus::new(counts, addresses, Some(COUNT));
        (source.as_str(), status)
    };
    let rule = |at: usize| RuleStatus {
        name: text(30, at),
        action: "rename",
        judged: COUNT,
        points: COUNT,
    };
    let fault = |at: usize| Fault {
        level: "warn",
        message: text(100, at),
        fields: text(200, at),
        mend: text(100, at),
        count: COUNT,
        first_s: 1_800_000_000,
        last_s: 1_800_000_000,
    };
    let shard = ShardStatus::new(1, &counts, Some(&LinkState::Ready));
    let redis = &counts.redis;
    Status {
        version: env!("CARGO_PKG_VERSION"),
        uptime_s: COUNT,
        started_ms: COUNT,
        now_ms: COUNT,
        ready: false,
        reason: text(200, 0),
        draining: false,
        listeners: sources(&counts).map(listener).collect(),
        rules: (0..100).map(rule).collect(),
        latency_us: LatencyStatus::new(&counts.latency_us),
        latency_buckets: LatencyBuckets::new(&counts.latency_us),
        recent: Some(RecentStatus::new(&interval(1))),
        shards: vec![shard; 10],
        redis: RedisStatus {
            connected: true,
            url: text(100, 0),
            state: "ready",
            batches: COUNT,
            in_flight_batches: COUNT,
            waiting_batches: COUNT,
            appends: COUNT,
            members_asserted: COUNT,
            resent: COUNT,
            connections: COUNT,
            errors: words(&redis.errors),
            unanswered_ms: COUNT,
            info: Some(RedisInfo::default()),
        },
        metrics_known: COUNT,
        metrics_bytes: COUNT,
        metrics_not_kept: COUNT,
        series_new: COUNT,
        buffer_bytes: COUNT as usize,
        buffer_bytes_max: COUNT as usize,
        roomba: RoombaStatus::default(),
        side_keys: SideKeysStatus::default(),
        self_metrics: SelfMetricsStatus::default(),
        flux: flux(),
        vista: vista(),
        faults: (0..50).map(fault).collect(),
    }
}

fn talkers() -> Report {
    let rows = || {
        let row = |at| Row {
            name: text(120, at),
            count: COUNT,
            error: COUNT,
        };
        (0..1000).map(row).collect()
    };
    let side = || Side {
        points: rows(),
        series: rows(),
    };
    let shard = || Report {
        seconds: 120.0,
        points: COUNT,
        series: COUNT,
        prefixes: std::iter::repeat_with(side).take(3).collect(),
        senders: side(),
    };
    Report::sum((0..10).map(|_| shard()))
}

/// Many metrics, shards, peers and entries make no answer long that the page asks for
/// every two seconds.
#[test]
fn every_answer_of_a_large_server_is_short() {
    let status = full();
    let mut history = Intervals::default();
    (0..1000).for_each(|seq| history.push(interval(seq)));
    let answers = [
        ("/api/status", serde_json::to_string(&status).unwrap()),
        (
            "/api/vista",
            serde_json::to_string(&status.vista.view("failing")).unwrap(),
        ),
        ("/api/talkers", serde_json::to_string(&talkers()).unwrap()),
        (
            "/api/history",
            serde_json::to_string(&history.after(0)).unwrap(),
        ),
    ];
    for (path, answer) in answers {
        let bytes = answer.len();
        // Nothing that was put in is without effect.
        assert!(bytes > 10_000, "{path}: {bytes} bytes");
        assert!(bytes < ANSWER_BYTES_MAX, "{path}: {bytes} bytes");
    }
}
