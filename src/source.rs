//! Graphite and Prometheus as sources of points: what is asked of them, and what they
//! answer.
//!
//! ```text
//! Site (where, login, TLS) ─┐
//!                           ├─▸ Client ─▸ graphite::fetch, prometheus::fetch ─▸ Reply
//! what is asked for ────────┘                                                    │
//!                                        minute::means ◂── Series of Samples ◂───┘
//! ```
//!
//! An answer is hostile until it is read: its size, its time, its numbers and the
//! place that it redirects to are bounded here, and each fault is a [`FetchError`]
//! that says in a line what was wrong.

pub mod client;
pub mod error;
#[cfg(test)]
mod goldens;
pub mod graphite;
mod json;
pub mod minute;
pub mod prometheus;
pub mod site;

pub use client::{Client, Limits};
pub use error::FetchError;
pub use site::{Origin, Site, SiteError, Tls};

/// One point of a source: seconds since 1970, and a finite value.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Sample {
    pub timestamp: i64,
    pub value: f64,
}

/// One series of an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// What the source calls it: Graphite's target, or the labels of Prometheus.
    pub name: String,
    /// Its points in the order of their timestamps.
    pub samples: Vec<Sample>,
    /// Points that were left out since they are null.
    pub nulls: u64,
    /// Points that were left out since they are NaN or infinite.
    pub not_finite: u64,
    /// The newest timestamp that was answered, even if its value was left out.
    pub newest: Option<i64>,
}

impl Series {
    /// Sorts the points by their timestamps; of those of one second the last stays.
    pub fn sort_and_keep_last(&mut self) {
        self.sort();
        // Of two neighbours the first is given up, so the order is turned around.
        self.samples.reverse();
        self.samples.dedup_by_key(|sample| sample.timestamp);
        self.samples.reverse();
    }

    /// Sorts the points by their timestamps, and keeps all of them.
    pub fn sort(&mut self) {
        self.samples.sort_by_key(|sample| sample.timestamp);
    }
}

/// What a source has answered for one target.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reply {
    /// The series, in the order of the answer.
    pub series: Vec<Series>,
    /// What the source says of its own answer. With any of these it may be
    /// incomplete: what is missing in it may come later.
    pub warnings: Vec<String>,
}

impl Reply {
    /// The one series that is wanted.
    ///
    /// # Errors
    ///
    /// When there is none, or more than one.
    pub fn only(self) -> Result<Series, FetchError> {
        let count = self.series.len();
        let mut series = self.series.into_iter();
        match (series.next(), count) {
            (Some(series), 1) => Ok(series),
            (None, _) => Err(FetchError::NoSeries),
            _ => Err(FetchError::SeveralSeries { count }),
        }
    }
}
