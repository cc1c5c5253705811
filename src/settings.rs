//! Settings: one table, from which come the typed structures, the defaults and
//! ranges, the TOML reader, and the commented TOML that `skyring config` prints.
//!
//! To add a setting, add one entry to the table below: its comment, name, type
//! and default, and for a number its range and unit. A rule that binds several
//! settings to each other goes to `settings/relations.rs`.

mod fault;
mod listens;
mod load;
mod maps;
mod print;
mod records;
mod redis_url;
mod relations;
mod reload;
mod rule;
mod value;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::rules::rule::Rule;

pub use fault::{Fault, Place, SettingsError};
pub use listens::Listen;
pub use maps::{Headers, Keys, NamespaceKeys, Quotas, ShardTable};
pub use records::{Aggregate, Fetch, Method, Remote, RemoteHostType, SecretFile, Several};
pub(crate) use redis_url::SOCKET_PATH_BYTES_MAX;
pub use redis_url::{RedisAddress, RedisUrl, RedisUrlError};
pub use reload::Change;
pub use value::{Endpoint, HttpUrl, LogFormat, LogLevel, PasswordFile, Secret};

use value::{Bad, Limits, Span, Value};

/// The configuration file that is read when none is named and it exists.
pub const DEFAULT_FILE: &str = "/etc/skyring/skyring.toml";

/// Skyline's own SKIP_LIST.
const SKIP: [&str; 4] = [
    "skyline.analyzer.",
    "skyline.boundary.",
    "skyline.ionosphere.",
    "skyline.mirage.",
];

/// Skyline's own DO_NOT_SKIP_LIST.
const DO_NOT_SKIP: [&str; 16] = [
    "skyline.analyzer.run_time",
    "skyline.boundary.run_time",
    "skyline.analyzer.ionosphere_metrics",
    "skyline.analyzer.mirage_metrics",
    "skyline.analyzer.total_analyzed",
    "skyline.analyzer.total_anomalies",
    "skyline.analyzer.anomalous",
    "skyline.analyzer.metrics_sparsity",
    "skyline.exceptions",
    "skyline.mirage.checks",
    "skyline.logged_errors",
    "skyline.mirage.run_time",
    "skyline.ionosphere.features_calculation_time",
    "skyline.analyzer.labelled_metrics.anomalous",
    "skyline.analyzer.labelled_metrics.checked",
    "skyline.horizon.prometheus.flux_received",
];

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// One setting as the table describes it.
pub struct Entry {
    /// Table of the TOML file, empty for the top level.
    pub section: &'static str,
    /// Name within the section.
    pub name: &'static str,
    /// The comment, one line each, with the blank that follows `///`.
    pub doc: &'static [&'static str],
    limits: Limits,
    /// Whether the value may be given bare, without quotes, on the command line.
    bare: bool,
    /// Whether the value must not be repeated in an error.
    secret: bool,
    expected: fn(Limits) -> String,
    set: fn(&mut Settings, Span<'_>, Limits) -> Result<(), Bad>,
    copy: fn(&mut Settings, &Settings),
    is_same: fn(&Settings, &Settings) -> bool,
    show: fn(&Settings) -> String,
}

impl Entry {
    /// `section.name`, or the name alone at the top level.
    pub fn key(&self) -> String {
        match self.section {
            "" => self.name.to_owned(),
            section => format!("{section}.{}", self.name),
        }
    }
}

macro_rules! limits {
    () => {
        Limits::NONE
    };
    ($range:expr, $unit:literal) => {
        Limits::new($range, $unit)
    };
}

macro_rules! entry {
    ($section:expr, [$($field:ident).+], $name:ident, $type:ty, $limits:expr, [$($doc:literal)+]) => {
        Entry {
            section: $section,
            name: stringify!($name),
            doc: &[$($doc),+],
            limits: $limits,
            bare: <$type as Value>::BARE,
            secret: <$type as Value>::SECRET,
            expected: <$type as Value>::expected,
            set: |settings, value, limits| {
                settings.$($field).+ = Value::parse(value, limits)?;
                Ok(())
            },
            copy: |to, from| to.$($field).+.clone_from(&from.$($field).+),
            is_same: |one, other| one.$($field).+ == other.$($field).+,
            show: |settings| Value::show(&settings.$($field).+),
        }
    };
}

macro_rules! table {
    (
        $(#[doc = $root_doc:literal])+
        $root:ident {
            $(
                $(#[doc = $doc:literal])+
                $name:ident: $type:ty = $default:expr $(, $range:expr, $unit:literal)?;
            )+
        }
        $(
            $(#[doc = $section_doc:literal])+
            [$section:ident = $path:literal] $struct:ident {
                $(
                    $(#[doc = $s_doc:literal])+
                    $s_name:ident: $s_type:ty = $s_default:expr
                        $(, $s_range:expr, $s_unit:literal)?;
                )+
            }
        )+
    ) => {
        $(#[doc = $root_doc])+
        #[derive(Clone, Debug, PartialEq)]
        pub struct $root {
            $($(#[doc = $doc])+ pub $name: $type,)+
            $($(#[doc = $section_doc])+ pub $section: $struct,)+
        }

        impl Default for $root {
            fn default() -> Self {
                Self { $($name: $default,)+ $($section: $struct::default(),)+ }
            }
        }

        $(
            $(#[doc = $section_doc])+
            #[derive(Clone, Debug, PartialEq)]
            pub struct $struct {
                $($(#[doc = $s_doc])+ pub $s_name: $s_type,)+
            }

            impl Default for $struct {
                fn default() -> Self {
                    Self { $($s_name: $s_default,)+ }
                }
            }
        )+

        /// Every setting, in the order in which they are printed.
        pub static ENTRIES: &[Entry] = &[
            $(entry!("", [$name], $name, $type, limits!($($range, $unit)?), [$($doc)+]),)+
            $($(
                entry!(
                    $path, [$section.$s_name], $s_name, $s_type,
                    limits!($($s_range, $s_unit)?), [$($s_doc)+]
                ),
            )+)+
        ];

        /// The sections of the TOML file, each with its comment.
        pub static SECTIONS: &[(&str, &[&str])] =
            &[$(($path, &[$($section_doc),+]),)+];
    };
}

table! {
    /// Everything that can be configured.
    Settings {
        /// Data-plane shards, each a thread pinned to one CPU; 0 = chosen from the
        /// CPUs this process may use.
        shards: u32 = 0, 0..=1024, "shards";
        /// CPUs to pin the shards to, one for each; empty = chosen.
        cpus: Vec<usize> = Vec::new(), 0..=1023, "";
        /// Directory of the lock and of the private Redis. The default is
        /// /var/lib/skyring where that can be written, else skyring under the
        /// user's state directory.
        state_dir: PathBuf = crate::host::default_state_dir();
        /// Longest time that the end of the server may take to settle what it has
        /// received; what is left after it is counted as dropped.
        drain_s: u32 = 20, 0..=3600, "seconds";
        /// File to hold the process number while the server runs; empty = none.
        pid_file: Option<PathBuf> = None;
        /// Rules for the names of metrics, as `[[rule]]`, in order, before shards and skip
        /// lists: `prefix` or `match` (a regular expression), `action` ("rename", "drop",
        /// or "keep", behind which no rule is looked at), `to` for rename (what replaces
        /// all that was found; ${1} is the first group), and a `name` for counters.
        rule: Vec<Rule> = Vec::new();
    }

    /// The Redis that Skyline reads.
    [redis = "redis"] RedisSettings {
        /// `unix:/path`, or `redis://[:password@]host[:port][/db]`; empty = a private
        /// redis-server under state_dir, started and ended with this server.
        url: Option<RedisUrl> = None;
        /// File whose contents are the password; it wins over one in the URL.
        password_file: Option<PasswordFile> = None;
        /// Skyline's FULL_NAMESPACE, put before each metric's name.
        namespace: String = "metrics.".to_owned(), 1..=256, "bytes";
        /// Skyline's FULL_DURATION: how long Redis keeps a point. Older points are
        /// dropped.
        full_duration_s: u32 = 86_400, 60..=315_360_000, "seconds";
        /// Points that one batch holds before it is full.
        batch_points_max: u32 = 2048, 16..=65_536, "points";
        /// Batches of one shard that Redis has not yet answered; behind them reading
        /// stops.
        in_flight_max: u32 = 8, 1..=64, "batches";
    }

    /// The listeners, and the bounds of what they take in.
    [horizon = "horizon"] HorizonSettings {
        /// Addresses for carbon-relay's pickle stream; port 0 = any free port,
        /// [] = off.
        pickle: Vec<SocketAddr> = vec![value::local(2024)];
        /// Addresses for msgpack over UDP, one point in each datagram; port 0 = any
        /// free port, [] = off.
        msgpack: Vec<SocketAddr> = vec![value::local(2025)];
        /// Addresses for Graphite's line protocol over TCP; [] = off.
        line_tcp: Vec<SocketAddr> = Vec::new();
        /// Addresses for Graphite's line protocol over UDP; [] = off.
        line_udp: Vec<SocketAddr> = Vec::new();
        /// What the kernel is asked to hold for each UDP listener until it is read;
        /// net.core.rmem_max bounds it.
        udp_buffer_bytes: usize = 4 << 20, 65_536..=1 << 30, "bytes";
        /// Skyline's SKIP_LIST: metrics whose name contains one of these, or every
        /// dotted part of one of these, are dropped.
        skip: Vec<String> = owned(&SKIP), 1..=4096, "bytes each";
        /// Skyline's DO_NOT_SKIP_LIST: metrics that one of these fits are kept,
        /// whatever horizon.skip says.
        do_not_skip: Vec<String> = owned(&DO_NOT_SKIP), 1..=4096, "bytes each";
        /// Points older than this when they arrive are dropped.
        max_resolution_s: u32 = 1000, 1..=315_360_000, "seconds";
        /// Longest frame; the connection that announces a longer one is closed.
        frame_bytes_max: usize = 64 << 20, 1024..=1 << 30, "bytes";
        /// Longest name of a metric; points with a longer one are dropped.
        name_bytes_max: usize = 4096, 16..=65_535, "bytes";
        /// Connections at a time; further ones are closed at once.
        connections_max: u32 = 10_000, 1..=1_000_000, "connections";
        /// What all connections' buffers and all unsettled batches together may hold;
        /// behind it reading stops.
        buffer_bytes_max: usize = 256 << 20, 1 << 20..=1 << 40, "bytes";
        /// Longest wait of a point for company in its batch.
        linger_us: u32 = 500, 0..=1_000_000, "microseconds";
        /// Metrics that one shard remembers; behind them points take a slower path,
        /// they are never dropped.
        metrics_max: usize = 4_000_000, 16..=1_000_000_000, "metrics";
        /// A partial frame that has not grown for this long is given up with its
        /// connection.
        frame_stall_s: u32 = 60, 1..=3600, "seconds";
        /// Whether the keys that other Skyline programs read besides the data are
        /// kept: the heartbeat, the names received, the skip hashes.
        side_keys: bool = true;
        /// Time in which those keys are brought up to date once.
        side_keys_s: u32 = 60, 1..=60, "seconds";
    }

    /// Trimming of the series in Redis.
    [roomba = "roomba"] RoombaSettings {
        /// Whether series are trimmed.
        enabled: bool = true;
        /// Time between passes, Skyline's ROOMBA_OPTIMUM_RUN_DURATION.
        interval_s: u32 = 60, 1..=86_400, "seconds";
        /// Time that points are kept beyond redis.full_duration_s, Skyline's
        /// ROOMBA_GRACE_TIME.
        grace_s: u32 = 600, 0..=86_400, "seconds";
        /// Whether the metrics of batch processing are left to Skyline's
        /// analyzer_batch, Skyline's ROOMBA_DO_NOT_PROCESS_BATCH_METRICS.
        skip_batch: bool = false;
        /// Skyline's MINI_NAMESPACE, whose series are trimmed too; "" = there are none.
        mini_namespace: Option<String> = None, 1..=256, "bytes";
        /// Skyline's MINI_DURATION: how long series in that namespace are kept.
        mini_duration_s: u32 = 3600, 60..=315_360_000, "seconds";
        /// How long a series that cannot be read is kept aside.
        quarantine_s: u32 = 604_800, 60..=315_360_000, "seconds";
    }

    /// Skyline's batch processing, whose metrics Roomba may leave alone.
    [batch = "batch"] BatchSettings {
        /// Skyline's BATCH_PROCESSING.
        enabled: bool = false;
        /// Skyline's BATCH_PROCESSING_NAMESPACES.
        namespaces: Vec<String> = Vec::new(), 1..=4096, "bytes each";
    }

    /// The cluster of Skyline instances, each of which stores its share of the
    /// metrics.
    [cluster = "cluster"] ClusterSettings {
        /// This node's name in `shards`; the default is the host's name.
        node: String = crate::host::name(), 1..=255, "bytes";
        /// Skyline's HORIZON_SHARDS: each node's name and number, 0 to n-1 without a
        /// gap, the same on all nodes; {} = no cluster.
        shards: ShardTable = ShardTable::default();
        /// Addresses for what other nodes' relays send, in pickle; they are listened
        /// on only when shards are set.
        shard_pickle: Vec<SocketAddr> = vec![value::local(2026)];
        /// Skyline's REMOTE_SKYLINE_INSTANCES, as [[cluster.remote]]: node, url, user
        /// and password_file of each. Not yet in force.
        remote: Vec<Remote> = Vec::new();
    }

    /// The Graphite that stands beside Skyline.
    [graphite = "graphite"] GraphiteSettings {
        /// `host:port` of carbon's pickle receiver, where Flux delivers; "" = Flux
        /// feeds Horizon directly.
        carbon_pickle: Option<Endpoint> = None;
        /// URL under which history is looked up; "" = none.
        url: Option<HttpUrl> = None;
        /// Points that wait for carbon, or for the proof that it has read them; behind
        /// them Flux answers 503.
        queue_points_max: u32 = 1_000_000, 1..=1_000_000_000, "points";
        /// What those points may take in memory.
        queue_bytes_max: usize = 128 << 20, 65_536..=1 << 40, "bytes";
        /// Time after which a connection to carbon is ended and followed by another,
        /// which proves that carbon has read what was sent.
        confirm_ms: u32 = 1000, 1..=60_000, "milliseconds";
    }

    /// Skyline's metrics about itself.
    [self_metrics = "self_metrics"] SelfMetricsSettings {
        /// Whether this server's own are made.
        enabled: bool = false;
        /// Skyline's SERVER_METRICS_NAME, a part of their names; the default is the
        /// host's name, "" drops the part.
        name: String = crate::host::name(), 0..=255, "bytes";
        /// `host:port` of the carbon pickle receiver that they are sent to, with those
        /// that Skyline's programs leave in Redis; "" = this server takes its own
        /// directly, and leaves the others.
        carbon: Option<Endpoint> = None;
    }

    /// Metrics over HTTP.
    [flux = "flux"] FluxSettings {
        /// Addresses of Flux; port 0 = any free port, [] = off.
        listen: Vec<SocketAddr> = vec![value::local(8000)];
        /// Skyline's FLUX_SELF_API_KEY, which the nodes share; "" = there is none.
        self_key: Option<Secret> = None;
        /// Skyline's FLUX_API_KEYS: each key and the prefix of the names it may
        /// send; the prefix is put before names that do not begin with it and a dot.
        keys: Keys = Keys::default();
        /// Skyline's FLUX_NAMESPACE_QUOTAS: each prefix and how many metrics it may
        /// have.
        quotas: Quotas = Quotas::default();
        /// Skyline's FLUX_MAX_AGE: older points are refused, unless they fill a gap.
        max_age_s: u32 = 3600, 1..=315_360_000, "seconds";
        /// Skyline's FLUX_CHECK_LAST_TIMESTAMP: whether points not newer than the last
        /// of their metric are left out. Those of Vista always are.
        check_last_timestamp: bool = true;
        /// Metrics whose last timestamp is kept in memory; those of others are asked
        /// of Redis.
        last_metrics_max: usize = 1_000_000, 1000..=100_000_000, "metrics";
        /// Threads that serve HTTP, beside the shards.
        threads: u32 = 1, 1..=256, "threads";
        /// Connections at a time; further ones wait.
        connections_max: u32 = 4096, 1..=1_000_000, "connections";
        /// Longest head of a request, its URL among it.
        head_bytes_max: usize = 16 << 10, 8192..=1 << 20, "bytes";
        /// Longest wait for the head of a request; an idle connection is closed after
        /// it too.
        head_s: u32 = 75, 1..=3600, "seconds";
        /// How long a connection may live; the request under way then is its last.
        connection_s: u32 = 600, 1..=86_400, "seconds";
        /// Longest body of a request, as it comes.
        body_bytes_max: usize = 4 << 20, 1024..=1 << 30, "bytes";
        /// Longest body of a request, decompressed.
        decompressed_bytes_max: usize = 16 << 20, 1024..=1 << 30, "bytes";
        /// Longest time that a body may take to come.
        body_s: u32 = 30, 1..=3600, "seconds";
        /// What all bodies together may hold, decompressed; further requests are
        /// answered 503.
        bodies_bytes_max: usize = 64 << 20, 1 << 20..=1 << 40, "bytes";
        /// Points in one request.
        request_points_max: u32 = 10_000, 1..=10_000_000, "points";
        /// What points on their way to Redis may hold in memory; behind it requests
        /// wait.
        queue_bytes_max: usize = 64 << 20, 1 << 20..=1 << 40, "bytes";
        /// Longest wait of a request for its points' delivery; then it is answered
        /// 503.
        wait_s: u32 = 10, 1..=3600, "seconds";
        /// Skyline's FLUX_AGGREGATE_NAMESPACES, as [[flux.aggregate]]: namespace,
        /// method, interval, zero_fill, last_known_value and method_suffix of each. Of
        /// the points of a metric that one fits, one point is made in each interval.
        aggregate: Vec<Aggregate> = Vec::new();
        /// Periods that are aggregated at a time, and metrics that are known for it.
        aggregate_periods_max: usize = 1_000_000, 1..=1_000_000_000, "periods";
        /// Skyline's FLUX_ZERO_FILL_NAMESPACES: metrics that get 0 in each minute
        /// without a point.
        zero_fill: Vec<String> = Vec::new(), 1..=4096, "bytes each";
        /// Skyline's FLUX_LAST_KNOWN_VALUE_NAMESPACES: metrics that get their last value
        /// in each minute without a point.
        last_known_value: Vec<String> = Vec::new(), 1..=4096, "bytes each";
        /// Metrics that are filled, at most.
        fill_metrics_max: usize = 100_000, 1..=100_000_000, "metrics";
        /// How long the points of a period that is over are waited for before it is
        /// aggregated, or filled.
        grace_s: u32 = 15, 0..=3600, "seconds";
        /// Histories asked for by POST /populate_metric or by Vista that wait, at most.
        populate_queue_max: u32 = 1000, 1..=100_000, "histories";
        /// Histories that are fetched at a time.
        populate_running_max: u32 = 8, 1..=256, "histories";
        /// Histories that are fetched at a time from one source.
        populate_per_source_max: u32 = 2, 1..=256, "histories";
    }

    /// Prometheus's remote write, whose series go to VictoriaMetrics.
    [flux_prometheus = "flux.prometheus"] FluxPrometheusSettings {
        /// Skyline's FLUX_PROMETHEUS_MAX_AGE: older samples are left out, and a request
        /// that has no others is answered 400; 0 = however old.
        max_age_s: u32 = 300, 0..=315_360_000, "seconds";
        /// Skyline's FLUX_DROP_BUCKET_METRICS: whether the buckets of histograms are
        /// left out.
        drop_buckets: bool = true;
        /// Series of one metric of a tenant at a time; further ones are left out until
        /// others have ended.
        metric_series_max: u32 = 5000, 1..=100_000_000, "series";
        /// Series of all tenants at a time.
        series_max: u32 = 1_000_000, 1..=1_000_000_000, "series";
    }

    /// The VictoriaMetrics that keeps labelled metrics.
    [victoriametrics = "victoriametrics"] VictoriaMetricsSettings {
        /// Its URL, such as http://127.0.0.1:8428; "" = there is none.
        url: Option<HttpUrl> = None;
        /// The path at which it takes JSON lines, Skyline's jsonl_insert_path.
        import_path: String = "/api/v1/import".to_owned(), 1..=1024, "bytes";
        /// The user of its basic authentication; "" = none.
        user: String = String::new(), 0..=255, "bytes";
        /// File that holds that user's password.
        password_file: Option<PasswordFile> = None;
        /// Longest wait for a connection.
        connect_timeout_s: u32 = 5, 1..=3600, "seconds";
        /// Longest wait for its answer.
        timeout_s: u32 = 45, 1..=3600, "seconds";
    }

    /// Files of points uploaded to Flux.
    [flux_uploads = "flux.uploads"] FluxUploadsSettings {
        /// Whether they are taken.
        enabled: bool = false;
        /// Skyline's FLUX_UPLOADS_KEYS: each namespace and its key, or each key and its
        /// namespace.
        keys: NamespaceKeys = NamespaceKeys::default();
        /// Directory in which they are kept; "" = they are not.
        save_dir: Option<PathBuf> = None;
        /// One upload, all its files together.
        bytes_max: usize = 32 << 20, 1024..=1 << 40, "bytes";
        /// Longest time that an upload may take to come.
        receive_s: u32 = 300, 1..=86_400, "seconds";
        /// Uploads that may come in at a time.
        at_once_max: u32 = 4, 1..=1024, "uploads";
        /// Uploads that may wait to be processed.
        waiting_max: u32 = 16, 1..=100_000, "uploads";
        /// Files in an archive.
        files_max: u32 = 100, 1..=100_000, "files";
        /// The files of an archive, unpacked.
        unpacked_bytes_max: usize = 256 << 20, 1024..=1 << 40, "bytes";
        /// How many times its packed size a file may have.
        ratio_max: u32 = 200, 1..=1_000_000, "times";
        /// Cells of one file's table.
        cells_max: usize = 2_000_000, 16..=1_000_000_000, "cells";
        /// Memory of the process that reads a spreadsheet.
        workbook_bytes_max: usize = 512 << 20, 64 << 20..=1 << 40, "bytes";
    }

    /// Metrics fetched from Graphite and Prometheus.
    [vista = "vista"] VistaSettings {
        /// Whether they are fetched; off on a hot standby.
        enabled: bool = true;
        /// What is fetched, as [[vista.fetch]].
        fetch: Vec<Fetch> = Vec::new();
        /// Longest wait for a connection to a source.
        connect_timeout_s: u32 = 5, 1..=300, "seconds";
        /// Longest time that a source's whole answer may take.
        answer_timeout_s: u32 = 45, 1..=3600, "seconds";
        /// Largest answer of a source, uncompressed.
        answer_bytes_max: usize = 64 << 20, 65_536..=1 << 30, "bytes";
        /// How long after the end of a minute its points are asked for, so that the
        /// source has them.
        delay_s: u32 = 5, 0..=50, "seconds";
        /// Requests to one source at a time.
        source_requests_max: u32 = 8, 1..=256, "requests";
        /// Targets in one request to Graphite, Skyline's VISTA_GRAPHITE_BATCH_SIZE.
        batch_targets_max: u32 = 20, 1..=100, "targets";
        /// Gaps and histories of one source that are filled at a time.
        backfills_max: u32 = 2, 1..=64, "metrics";
        /// Gaps and histories of one source that are begun in a minute, oldest first.
        backfills_per_minute: u32 = 300, 1..=60_000, "metrics";
        /// How often the filling of one gap or history is tried; then the metric is
        /// fetched without it.
        populate_tries_max: u32 = 4, 1..=100, "tries";
    }

    /// The page for operators: dashboard, /healthz, /readyz, /metrics, /api/status.
    [admin = "admin"] AdminSettings {
        /// Address of the page; port 0 = any free port, "" = off.
        listen: Option<SocketAddr> = Some(value::local(2080));
    }

    /// Logs, which go to standard error.
    [log = "log"] LogSettings {
        /// The least important level that is written.
        level: LogLevel = LogLevel::Info;
        /// How a line is written.
        format: LogFormat = LogFormat::Text;
    }
}

impl Settings {
    /// Reads `file` if one is given, then applies each `section.key=value` of
    /// `sets` in order, so that the last one wins. What neither names has its
    /// default. A value in `sets` is TOML, or a bare string where a string is
    /// expected.
    ///
    /// # Errors
    ///
    /// Every fault that was found, not only the first.
    pub fn load(file: Option<&Path>, sets: &[String]) -> Result<Self, SettingsError> {
        load::load(file, sets)
    }

    /// The defaults on a host whose name and user are not known yet.
    pub fn of_no_host() -> Self {
        let mut settings = Self {
            state_dir: PathBuf::from(crate::host::STATE_DIR),
            ..Self::default()
        };
        settings.cluster.node = "localhost".to_owned();
        settings.self_metrics.name = "localhost".to_owned();
        settings
    }

    /// Where Redis is, with the password of `redis.password_file` put in; the
    /// private Redis's socket when no URL is set.
    pub fn redis_url(&self) -> RedisUrl {
        let mut url = match &self.redis.url {
            Some(url) => url.clone(),
            None => RedisUrl::unix(crate::private_redis::socket_path(&self.state_dir)),
        };
        if self.redis.url.is_some()
            && let Some(file) = &self.redis.password_file
        {
            url.password = Some(file.password().to_owned());
        }
        url
    }

    /// Whether the server starts a Redis of its own.
    pub fn redis_is_private(&self) -> bool {
        self.redis.url.is_none()
    }
}

#[cfg(test)]
mod tests;
