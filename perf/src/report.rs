//! What a run has found: tables and targets, as text and as JSON.

use std::fmt::{self, Write};

use crate::latency::Bucket;
use crate::rig::{Quiet, Rig};

/// One run's findings.
#[derive(Debug, serde::Serialize)]
pub struct Report {
    /// Where it was measured.
    pub rig: Rig,
    /// The command line.
    pub command: String,
    /// What else the machine did meanwhile.
    pub quiet: Quiet,
    /// Goals with what was reached.
    pub targets: Vec<Target>,
    /// Figures.
    pub tables: Vec<Table>,
    /// What the plot shows.
    pub timelines: Vec<Timeline>,
}

/// A goal.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Target {
    /// What is measured.
    pub what: String,
    /// What came out.
    pub measured: f64,
    /// `at least` or `at most`.
    pub sense: Sense,
    /// The goal.
    pub goal: f64,
    /// Whether it was reached.
    pub met: bool,
}

/// On which side of its goal a figure has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sense {
    /// Not below.
    AtLeast,
    /// Not above.
    AtMost,
}

/// Figures of one kind.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Table {
    /// What it shows.
    pub title: String,
    /// Heads of the columns behind the first, with units.
    pub columns: Vec<String>,
    /// Rows.
    pub rows: Vec<Row>,
}

/// A name and its figures.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Row {
    /// First column.
    pub name: String,
    /// One figure a column; `None` where there is none.
    pub figures: Vec<Option<f64>>,
}

/// Rate and latency over time of one slice.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Timeline {
    /// Scenario, side and number of the slice.
    pub name: String,
    /// Whether this is the floor's.
    pub floor: bool,
    /// Seconds from the slice's start and points a second.
    pub rate: Vec<(f64, f64)>,
    /// Latency, where it was measured.
    pub latency: Vec<Bucket>,
}

/// What one scenario adds to a report.
#[derive(Debug, Default)]
pub struct Findings {
    /// See [`Report::targets`].
    pub targets: Vec<Target>,
    /// See [`Report::tables`].
    pub tables: Vec<Table>,
    /// See [`Report::timelines`].
    pub timelines: Vec<Timeline>,
}

impl Target {
    /// A figure that must not be below its goal.
    pub fn at_least(what: &str, measured: f64, goal: f64) -> Self {
        let met = measured >= goal;
        Self {
            what: what.to_owned(),
            measured,
            sense: Sense::AtLeast,
            goal,
            met,
        }
    }

    /// A figure that must not be above its goal.
    pub fn at_most(what: &str, measured: f64, goal: f64) -> Self {
        let met = measured <= goal;
        Self {
            what: what.to_owned(),
            measured,
            sense: Sense::AtMost,
            goal,
            met,
        }
    }
}

impl Table {
    /// An empty table.
    pub fn new(title: impl Into<String>, columns: &[&str]) -> Self {
        let columns = columns.iter().map(|c| (*c).to_owned()).collect();
        Self {
            title: title.into(),
            columns,
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn row(&mut self, name: impl Into<String>, figures: &[f64]) {
        let figures = figures
            .iter()
            .map(|f| f.is_finite().then_some(*f))
            .collect();
        self.rows.push(Row {
            name: name.into(),
            figures,
        });
    }
}

impl Report {
    /// Whether every goal was reached.
    pub fn all_met(&self) -> bool {
        self.targets.iter().all(|t| t.met)
    }

    /// Adds what a scenario has found.
    pub fn add(&mut self, findings: Findings) {
        self.targets.extend(findings.targets);
        self.tables.extend(findings.tables);
        self.timelines.extend(findings.timelines);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "rig: {}", self.rig)?;
        writeln!(f, "command: {}", self.command)?;
        let Quiet {
            others_percent,
            stolen_percent,
        } = self.quiet;
        let loud = others_percent + stolen_percent > 5.0;
        let warning = if loud { ": NOT A QUIET MACHINE" } else { "" };
        writeln!(
            f,
            "CPU time used by other processes {others_percent:.1} %, \
             taken by other guests {stolen_percent:.1} %{warning}"
        )?;
        for table in &self.tables {
            writeln!(f, "\n{table}")?;
        }
        if !self.targets.is_empty() {
            writeln!(f, "\ntargets")?;
        }
        for target in &self.targets {
            let sense = if target.sense == Sense::AtLeast {
                "at least"
            } else {
                "at most"
            };
            let verdict = if target.met { "met" } else { "MISSED" };
            writeln!(
                f,
                "  {:<6}  {}: {:.3}, {sense} {}",
                verdict, target.what, target.measured, target.goal
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cells: Vec<Vec<String>> = self
            .rows
            .iter()
            .map(|r| r.figures.iter().map(|&v| figure(v)).collect())
            .collect();
        let first = self.rows.iter().map(|r| r.name.len()).max().unwrap_or(0);
        let widths: Vec<usize> = self
            .columns
            .iter()
            .enumerate()
            .map(|(i, head)| {
                cells
                    .iter()
                    .filter_map(|c| c.get(i))
                    .map(String::len)
                    .fold(head.len(), usize::max)
            })
            .collect();
        let mut line = format!("{:first$}", "");
        for (head, width) in self.columns.iter().zip(&widths) {
            write!(line, "  {head:>width$}")?;
        }
        write!(f, "{}\n  {}", self.title, line.trim_end())?;
        for (row, cells) in self.rows.iter().zip(&cells) {
            write!(f, "\n  {:first$}", row.name)?;
            for (cell, width) in cells.iter().zip(&widths) {
                write!(f, "  {cell:>width$}")?;
            }
        }
        Ok(())
    }
}

/// Three digits that count, and thousands told apart.
fn figure(value: Option<f64>) -> String {
    let Some(value) = value else {
        return "-".to_owned();
    };
    match value.abs() {
        0.0 => "0".to_owned(),
        v if v < 0.001 => format!("{value:.1e}"),
        v if v < 10.0 => format!("{value:.3}"),
        v if v < 1000.0 => format!("{value:.1}"),
        _ => {
            let digits = format!("{value:.0}");
            let mut out = String::new();
            for (index, digit) in digits.chars().enumerate() {
                if index > 0 && (digits.len() - index) % 3 == 0 && out != "-" {
                    out.push(',');
                }
                out.push(digit);
            }
            out
        }
    }
}

/// The middle of some figures; 0 of none.
pub fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = figures.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => 0.0,
        (length, half) if length % 2 == 0 => (sorted[half - 1] + sorted[half]) / 2.0,
        (_, half) => sorted[half],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_line_up_and_figures_are_readable() {
        let mut table = Table::new("speed", &["points/s", "ratio"]);
        table.row("floor", &[1_234_567.0, 1.0]);
        table.row("the server", &[0.0, f64::NAN]);
        let expected = "speed\n               points/s  ratio\n  floor       1,234,567  1.000\n  \
                        the server          0      -";
        assert_eq!(table.to_string(), expected);
    }

    #[test]
    fn a_median_is_the_middle_or_the_mean_of_the_two_middles() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median([]), 0.0);
    }
}
