//! The catalogue of metrics: each name on `/metrics` stands in it once, with its type,
//! labels, help, what a bad value means, and where its numbers come from. The page, its
//! documentation (`skyring generate metrics`), the dashboard and the alert rules are
//! made from it.
//!
//! To add a metric, add a row to the list of its part (`catalogue/flux.rs` and the
//! like), or to make a part, add its list to [`PARTS`]:
//!
//! ```text
//! Metric {
//!     name: "skyring_flux_points_total",       // base units; counters end in _total
//!     kind: Kind::Counter,
//!     labels: &["endpoint"],
//!     help: "Points taken.",                   // one sentence
//!     worry: "0 while requests come: ...",     // what a bad value means; "" if none is bad
//!     read: |status, samples| {
//!         for (endpoint, counts) in &status.flux.endpoints {
//!             samples.put(&[endpoint], counts.points);   // label values in the order of labels
//!         }
//!     },
//! }
//! ```
//!
//! Times are seconds and sizes bytes: [`seconds_of_us`] and [`seconds_of_ms`] turn what
//! is counted otherwise. A row whose labels come from elsewhere (names, addresses) must
//! be bounded. `tests/metrics.rs` holds all rows against a running server: the part of
//! the server that a new row counts must have something to show there.

mod beside;
mod flux;
mod points;
mod redis;
mod roomba;
mod server;
mod vista;

use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric as Sample, MetricFamily, MetricType,
};
use prometheus::{Encoder, TextEncoder};

use crate::status::{LatencyBuckets, Status};

/// Every part of the server with its metrics, in the order in which they are shown.
pub static PARTS: &[Part] = &[
    Part {
        title: "Points",
        metrics: points::METRICS,
    },
    Part {
        title: "Redis",
        metrics: redis::METRICS,
    },
    Part {
        title: "Server",
        metrics: server::METRICS,
    },
    Part {
        title: "Roomba",
        metrics: roomba::METRICS,
    },
    Part {
        title: "Flux",
        metrics: flux::METRICS,
    },
    Part {
        title: "Vista",
        metrics: vista::METRICS,
    },
    Part {
        title: "Side keys and self metrics",
        metrics: beside::METRICS,
    },
];

/// A part of the server.
pub struct Part {
    /// What it is called where its metrics are shown.
    pub title: &'static str,
    /// Its metrics.
    pub metrics: &'static [Metric],
}

/// One metric; see the module.
pub struct Metric {
    /// As on the page; of a histogram without `_bucket` and the like.
    pub name: &'static str,
    #[allow(missing_docs, reason = "the type says it")]
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it is, in a sentence.
    pub help: &'static str,
    /// What a value that is not as it should be means; empty if none is bad.
    pub worry: &'static str,
    /// Puts all its numbers.
    pub read: fn(&Status, &mut Samples),
}

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Never goes back while the server runs.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by upper bounds.
    Histogram,
}

impl Kind {
    /// As the page has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Every metric, in the order of the page.
pub fn all() -> impl Iterator<Item = &'static Metric> {
    PARTS.iter().flat_map(|part| part.metrics)
}

/// The numbers of one metric.
pub struct Samples {
    kind: Kind,
    labels: &'static [&'static str],
    all: Vec<Sample>,
}

impl Samples {
    /// A number, for these values of the metric's labels.
    pub fn put(&mut self, labels: &[&str], number: impl Number) {
        let mut sample = self.sample(labels);
        match self.kind {
            Kind::Counter => {
                let mut counter = Counter::default();
                counter.set_value(number.to_f64());
                sample.set_counter(counter);
            }
            _ => {
                let mut gauge = Gauge::default();
                gauge.set_value(number.to_f64());
                sample.set_gauge(gauge);
            }
        }
        self.all.push(sample);
    }

    /// A histogram.
    pub fn put_latencies(&mut self, latencies: &LatencyBuckets) {
        let buckets = latencies.buckets.iter().map(|(bound, count)| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(*count);
            bucket
        });
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(latencies.count);
        histogram.set_sample_sum(seconds_of_us(latencies.sum_us));
        let mut sample = self.sample(&[]);
        sample.set_histogram(histogram);
        self.all.push(sample);
    }

    fn sample(&self, values: &[&str]) -> Sample {
        let pairs = self.labels.iter().zip(values).map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        });
        Sample::from_label(pairs.collect())
    }
}

/// What can be put: Prometheus has doubles only.
pub trait Number {
    /// The number.
    fn to_f64(self) -> f64;
}

macro_rules! numbers {
    ($($type:ty),+) => {$(
        impl Number for $type {
            fn to_f64(self) -> f64 {
                self as f64
            }
        }
    )+};
}

numbers!(u64, i64, usize, u32, f64);

impl Number for bool {
    fn to_f64(self) -> f64 {
        f64::from(u8::from(self))
    }
}

/// Microseconds as seconds.
pub fn seconds_of_us(us: u64) -> f64 {
    us as f64 / 1e6
}

/// Milliseconds as seconds.
pub fn seconds_of_ms(ms: u64) -> f64 {
    ms as f64 / 1e3
}

/// The page: every metric that has numbers, in Prometheus's text format.
///
/// # Errors
///
/// Never for the names that stand here; the library cannot know that.
pub fn page(status: &Status) -> prometheus::Result<String> {
    let mut out = Vec::new();
    TextEncoder::new().encode(&families(status), &mut out)?;
    String::from_utf8(out).map_err(|error| prometheus::Error::Msg(error.to_string()))
}

fn families(status: &Status) -> Vec<MetricFamily> {
    let families = all().filter_map(|metric| {
        let mut samples = Samples {
            kind: metric.kind,
            labels: metric.labels,
            all: Vec::new(),
        };
        (metric.read)(status, &mut samples);
        if samples.all.is_empty() {
            return None;
        }
        let mut family = MetricFamily::default();
        family.set_name(metric.name.to_owned());
        family.set_help(metric.help.to_owned());
        family.set_field_type(match metric.kind {
            Kind::Counter => MetricType::COUNTER,
            Kind::Gauge => MetricType::GAUGE,
            Kind::Histogram => MetricType::HISTOGRAM,
        });
        family.set_metric(samples.all);
        Some(family)
    });
    families.collect()
}

/// The catalogue as Markdown.
pub fn markdown() -> String {
    let mut out = String::from(
        "# Metrics of Skyring\n\n\
         What `/metrics` at the admin address shows, in Prometheus's text format. Counters\n\
         begin at 0 with the server. A metric with labels of which nothing was seen yet is\n\
         not there yet.\n",
    );
    for part in PARTS {
        out.push_str(&format!(
            "\n## {}\n\n| metric | type | labels | is | worry if |\n| --- | --- | --- | --- | --- |\n",
            part.title
        ));
        for metric in part.metrics {
            let labels: Vec<String> = metric.labels.iter().map(|l| format!("`{l}`")).collect();
            out.push_str(&format!(
                "| `{}` | {} | {} | {} | {} |\n",
                metric.name,
                metric.kind.as_str(),
                labels.join(", "),
                metric.help,
                metric.worry
            ));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Prometheus's conventions, as far as promtool does not know them.
    #[test]
    fn names_and_words_are_as_the_conventions_want_them() {
        let names: BTreeSet<&str> = all().map(|metric| metric.name).collect();
        assert_eq!(names.len(), all().count(), "a name stands twice");
        for metric in all() {
            let name = metric.name;
            assert!(name.starts_with("skyring_"), "{name}");
            assert_eq!(
                name.ends_with("_total"),
                metric.kind == Kind::Counter,
                "{name}"
            );
            for bad in [
                "_us", "_ms", "micro", "milli", "_minutes", "_kb", "_count", "_sum",
            ] {
                assert!(!name.contains(bad), "{name}");
            }
            assert!(metric.help.ends_with('.'), "{name}: {}", metric.help);
            assert!(!metric.help.contains(['|', '\n']), "{name}");
            assert!(!metric.worry.contains(['|', '\n']), "{name}");
        }
    }
}
