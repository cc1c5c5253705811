//! What is left behind: settings of Horizon, Flux and Vista that Skyring has no
//! counterpart for, told of where they are not as in Skyline's own file.

use super::reader::{Given, Reader};
use super::value::Value;

/// A value at which nothing needs to be told.
enum Usual {
    /// Any that Python takes for false: `None`, 0, nothing.
    False,
    True,
    Number(i64),
    Text(&'static str),
}

/// What to tell, and of which settings unless they have their usual value.
const LEFT: [(&str, &[(&str, Usual)]); 9] = [
    (
        "not carried over: Skyring needs no such setting",
        &[
            ("CHUNK_SIZE", Usual::Number(10)),
            ("ROOMBA_PROCESSES", Usual::Number(1)),
            ("ROOMBA_TIMEOUT", Usual::Number(100)),
            ("FLUX_WORKERS", Usual::Number(2)),
            ("FLUX_BACKLOG", Usual::Number(254)),
            ("VISTA_FETCHER_PROCESSES", Usual::Number(1)),
            ("VISTA_FETCHER_PROCESS_MAX_RUNTIME", Usual::Number(50)),
            ("VISTA_WORKER_PROCESSES", Usual::Number(1)),
            ("VISTA_GRAPHITE_BATCH_SIZE", Usual::Number(20)),
        ],
    ),
    (
        "not carried over: Skyring has no such setting",
        &[
            ("GRAPHITE_AUTH_HEADER", Usual::False),
            ("GRAPHITE_CUSTOM_HEADERS", Usual::False),
            ("LONGTERM_FULL_DURATION_NAMESPACES", Usual::False),
            ("FLUX_MAX_AGE", Usual::Number(3600)),
            ("FLUX_PERSIST_QUEUE", Usual::False),
            ("FLUX_CHECK_LAST_TIMESTAMP", Usual::True),
            ("FLUX_EXTERNAL_AGGREGATE_NAMESPACES", Usual::False),
            ("FLUX_NAMESPACE_QUOTAS", Usual::False),
            ("FLUX_SEND_TO_STATSD", Usual::False),
            ("FLUX_OTEL_ENABLED", Usual::False),
            ("FLUX_TORNADO_ENABLED", Usual::False),
            ("VISTA_DO_NOT_SUBMIT_CURRENT_MINUTE", Usual::True),
            ("VISTA_BQ_ACCOUNTS", Usual::False),
        ],
    ),
    (
        "not carried over: labelled metrics go to the VictoriaMetrics of victoriametrics.url alone",
        &[
            ("PROMETHEUS_INGESTION", Usual::False),
            ("PROMETHEUS_SETTINGS", Usual::False),
            ("HORIZON_PROMETHEUS_METRIC_LIMIT", Usual::False),
        ],
    ),
    (
        "not carried over: Skyring does not write the series of Oculus",
        &[
            ("OCULUS_HOST", Usual::False),
            ("MINI_NAMESPACE", Usual::Text("mini.")),
            ("MINI_DURATION", Usual::Number(3600)),
        ],
    ),
    (
        "not carried over: logs go to standard error, see log.level and log.format",
        &[("LOG_PATH", Usual::Text("/var/log/skyline"))],
    ),
    (
        "not carried over: certificates are always verified",
        &[("VERIFY_SSL", Usual::True)],
    ),
    (
        "not carried over: shards says how many threads there are",
        &[("WORKER_PROCESSES", Usual::Number(2))],
    ),
    (
        "not carried over: horizon.buffer_bytes_max bounds what waits",
        &[("MAX_QUEUE_SIZE", Usual::Number(50_000))],
    ),
    (
        "not carried over: Skyring's own metrics are at /metrics of admin.listen",
        &[("EXPOSE_PROMETHEUS_METRICS", Usual::False)],
    ),
];

impl Reader<'_> {
    /// Tells of what was set on purpose and is left behind.
    pub fn left_behind(&mut self) {
        for (message, settings) in &LEFT {
            for (name, usual) in *settings {
                let Some(Given { value, line }) = self.known(name) else {
                    continue;
                };
                if !self.is_usual(&value, usual) {
                    self.note(line, name, *message);
                }
            }
        }
    }

    fn is_usual(&self, value: &Value, usual: &Usual) -> bool {
        let heap = &self.settings.heap;
        match usual {
            Usual::False => !value.truth(heap),
            Usual::True => value.truth(heap),
            Usual::Number(number) => value.to_int() == Some(*number),
            Usual::Text(text) => value.equals(&Value::text(text)) == Some(true),
        }
    }
}
