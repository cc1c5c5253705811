//! Graphite and Prometheus as sources of points: what is asked of them, and what they
//! answer.

/// One point of a source: seconds since 1970, and a finite value.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Sample {
    pub timestamp: i64,
    pub value: f64,
}
