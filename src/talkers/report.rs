//! What is told of talkers, by one shard and by all.

use std::collections::HashMap;
use std::fmt;

use serde::Serialize;

use super::{PREFIX_BYTES_MAX, ROWS, Sender};
use crate::logging::printable;

/// Items told of each kind.
const TOLD: usize = 20;

/// Who brings the most, in the last one to two minutes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// The time that it is of.
    pub seconds: f64,
    /// All points received in it.
    pub points: u64,
    /// All metrics that came for the first time in it, since the start or since they
    /// were forgotten.
    pub series: u64,
    /// Beginnings of names: of one dotted element, of two, of three.
    pub prefixes: Vec<Side>,
    /// Peers by their addresses; those over UDP are not told apart.
    pub senders: Side,
}

/// By what they bring, the most first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Side {
    /// Points.
    pub points: Vec<Row>,
    /// New series.
    pub series: Vec<Row>,
}

/// One of those who bring the most.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its name, with what could drive a terminal escaped.
    pub name: String,
    /// Points or new series: estimated from those that were looked at.
    pub count: u64,
    /// How many more it may be, beyond what is due to chance.
    pub error: u64,
}

impl Report {
    /// What all shards tell together.
    pub fn sum(reports: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Self::default();
        let mut parts = Vec::new();
        for report in reports {
            all.seconds = all.seconds.max(report.seconds);
            all.points += report.points;
            all.series += report.series;
            parts.push(report);
        }
        let depths = parts.iter().map(|part| part.prefixes.len()).max();
        for depth in 0..depths.unwrap_or(0) {
            let sides = parts.iter().filter_map(|part| part.prefixes.get(depth));
            all.prefixes.push(Side::sum(sides));
        }
        all.senders = Side::sum(parts.iter().map(|part| &part.senders));
        all
    }
}

impl Side {
    fn sum<'s>(sides: impl Iterator<Item = &'s Self> + Clone) -> Self {
        Self {
            points: sum(sides.clone().map(|side| &side.points)),
            series: sum(sides.map(|side| &side.series)),
        }
    }
}

/// A shard that does not tell of one has seen no more of it than of the last that it
/// tells of.
fn sum<'s>(shards: impl Iterator<Item = &'s Vec<Row>>) -> Vec<Row> {
    let mut rows: HashMap<&str, Row> = HashMap::new();
    for row in shards.flatten() {
        rows.entry(&row.name)
            .and_modify(|sum| {
                sum.count += row.count;
                sum.error += row.error;
            })
            .or_insert_with(|| row.clone());
    }
    let mut rows: Vec<Row> = rows.into_values().collect();
    rows.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name)));
    rows.truncate(TOLD);
    rows
}

const _: () = assert!(
    ROWS > TOLD,
    "what is third here may be first on another shard"
);

/// The beginning of a name, whatever bytes it has.
pub(super) fn text(prefix: &[u8]) -> String {
    let text = String::from_utf8_lossy(prefix);
    let cut = if prefix.len() >= PREFIX_BYTES_MAX {
        "\u{2026}"
    } else {
        ""
    };
    format!("{}{cut}", printable(&text))
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // A peer over IPv4 of a socket for both.
            Self::Peer(address) => address.to_canonical().fmt(f),
            Self::Datagrams(source) => write!(f, "UDP, {}", source.as_str()),
            Self::Inside => f.write_str("this server (HTTP, Vista, self metrics)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_summed_by_name_and_the_most_come_first() {
        let row = |name: &str, count| Row {
            name: name.to_owned(),
            count,
            error: 1,
        };
        let shard = |rows: &[(&str, u64)]| Report {
            seconds: 60.0,
            points: 10,
            series: 1,
            prefixes: vec![Side {
                points: rows.iter().map(|(name, count)| row(name, *count)).collect(),
                series: Vec::new(),
            }],
            senders: Side::default(),
        };
        let all = Report::sum([shard(&[("a", 5), ("b", 4)]), shard(&[("b", 4), ("c", 8)])]);
        let rows: Vec<_> = all.prefixes[0].points.iter().collect();
        let told: Vec<_> = rows.iter().map(|r| (&*r.name, r.count, r.error)).collect();
        assert_eq!(told, [("b", 8, 2), ("c", 8, 1), ("a", 5, 1)]);
        assert_eq!((all.points, all.series, all.seconds), (20, 2, 60.0));
        assert_eq!(Report::sum([]), Report::default());
    }
}
