//! From series as they were sent to lines for VictoriaMetrics: what is left out, and
//! why.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Instant;

use super::guard::{Bounds, Excess, Guard};
use super::message::{BadBody, TimeSeries};
use super::select::Selection;
use crate::rules::Rules;

/// The label that holds the name.
const NAME: &str = "__name__";
/// Set by us: a sender cannot pose as another tenant.
const TENANT: &str = "_tenant_id";
const SERVER: &str = "_server_id";
/// Longest name with its labels, as Skyline has it.
const NAME_BYTES_MAX: usize = 4096;

/// Who sends, and what holds for it.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// Its tenant and itself, which become labels.
    pub tenant: &'a str,
    #[allow(missing_docs, reason = "see tenant")]
    pub server: &'a str,
    /// What it wants dropped or kept.
    pub selection: &'a Selection,
    /// The skip lists.
    pub rules: &'a Rules,
    /// Whether the buckets of histograms are dropped.
    pub drop_buckets: bool,
    /// Samples before this, in milliseconds since 1970, are too old.
    pub oldest_ms: i64,
    /// How many series there may be.
    pub bounds: Bounds,
    /// Whether the series are to be listed, and not counted by the guard.
    pub is_test: bool,
}

/// What became of a request's series and samples.
#[derive(Debug, Default)]
pub struct Converted {
    /// JSON lines for VictoriaMetrics; empty in a test.
    pub lines: Vec<u8>,
    /// Series in the request, those without samples among them.
    pub series: u64,
    /// Series in the lines.
    pub taken_series: u64,
    /// Samples in the lines.
    pub taken: u64,
    /// Samples left out, by reason; series without samples count as one.
    pub refused: BTreeMap<&'static str, u64>,
    /// Whether a tenant that had no series yet has exceeded its quota.
    pub is_first_excess: bool,
    /// In a test: the names that would be taken, and that would be dropped.
    pub names: (Vec<String>, Vec<String>),
}

/// The reason of samples that are too old.
pub const TOO_OLD: &str = "too_old";
/// The reason of series that the tenant's quota leaves no room for.
pub const OVER_QUOTA: &str = "over_quota";
/// The reason of series that have no sample with a value.
pub const NO_SAMPLES: &str = "no_samples";

/// Judges each series.
///
/// # Errors
///
/// When the body is no message; what was judged before is forgotten.
pub fn convert(
    series: impl Iterator<Item = Result<TimeSeries, BadBody>>,
    terms: &Terms<'_>,
    guard: &Mutex<Guard>,
) -> Result<Converted, BadBody> {
    let mut out = Converted::default();
    let now = Instant::now();
    for series in series {
        let series = series?;
        out.series += 1;
        judge(series, terms, guard, now, &mut out);
    }
    Ok(out)
}

fn judge(
    mut series: TimeSeries,
    terms: &Terms<'_>,
    guard: &Mutex<Guard>,
    now: Instant,
    out: &mut Converted,
) {
    let samples = series.samples.len() as u64;
    let mut refuse = |reason, count| *out.refused.entry(reason).or_default() += count;
    series.labels.retain(|label| {
        let is_monitor = label.name == "monitor" && label.value == "master";
        !label.value.is_empty()
            && !is_monitor
            && label.name != TENANT
            && label.name != SERVER
            && (label.name == NAME || !terms.selection.drops_label(&label.name, &label.value))
    });
    let Some(name) = full_name(&series, terms) else {
        return refuse("name_invalid", samples.max(1));
    };
    series.samples.retain(|sample| sample.value.is_finite());
    refuse("not_finite", samples - series.samples.len() as u64);
    if series.samples.is_empty() {
        return refuse(NO_SAMPLES, u64::from(samples == 0));
    }
    let finite = series.samples.len() as u64;
    series
        .samples
        .retain(|sample| sample.timestamp >= terms.oldest_ms);
    let kept = series.samples.len() as u64;
    refuse(TOO_OLD, finite - kept);
    if kept == 0 {
        return;
    }
    if let Some(reason) = unwanted(&name, terms) {
        if terms.is_test {
            out.names.1.push(name);
        }
        return refuse(reason, kept);
    }
    if terms.is_test {
        out.taken_series += 1;
        out.taken += kept;
        return out.names.0.push(name);
    }
    let metric = name.split_once('{').map_or(&*name, |(metric, _)| metric);
    let passed = super::lock(guard).pass(now, terms.bounds, terms.tenant, metric, &name);
    if let Err(excess) = passed {
        let reason = match excess {
            Excess::Metric => "cardinality",
            Excess::Tenant => OVER_QUOTA,
            Excess::All => "series_max",
        };
        return refuse(reason, kept);
    }
    out.taken_series += 1;
    out.taken += kept;
    write_line(&mut out.lines, &series, terms);
}

/// The name in the form in which Skyline knows labelled metrics:
/// `name{_tenant_id="t",_server_id="s",label="value"}`; `None` if it has none, has one
/// label twice, or is too long.
fn full_name(series: &TimeSeries, terms: &Terms<'_>) -> Option<String> {
    let labels = &series.labels;
    let mut names: Vec<&str> = labels.iter().map(|label| &*label.name).collect();
    names.sort_unstable();
    let is_bad = |name: &&str| name.is_empty() || name.contains(char::is_control);
    if names.windows(2).any(|pair| pair[0] == pair[1]) || names.iter().any(is_bad) {
        return None;
    }
    let name = &labels.iter().find(|label| label.name == NAME)?.value;
    let mut out = format!(
        "{name}{{{TENANT}=\"{}\",{SERVER}=\"{}\"",
        terms.tenant, terms.server
    );
    for label in labels.iter().filter(|label| label.name != NAME) {
        out.push(',');
        out.push_str(&label.name);
        out.push_str("=\"");
        out.push_str(&label.value);
        out.push('"');
        if out.len() > NAME_BYTES_MAX {
            return None;
        }
    }
    out.push('}');
    (out.len() <= NAME_BYTES_MAX).then_some(out)
}

/// Why nobody wants a series.
fn unwanted(name: &str, terms: &Terms<'_>) -> Option<&'static str> {
    if terms.selection.keeps(name) {
        return None;
    }
    let metric = name.split_once('{').map_or(name, |(metric, _)| metric);
    if terms.drop_buckets && metric.ends_with("_bucket") {
        return Some("bucket");
    }
    if terms.selection.drops(name) {
        return Some("unwanted");
    }
    terms.rules.is_skipped(name.as_bytes()).then_some("skipped")
}

fn write_line(out: &mut Vec<u8>, series: &TimeSeries, terms: &Terms<'_>) {
    let text = |out: &mut Vec<u8>, text: &str| {
        // Writing to memory does not fail.
        let _ = serde_json::to_writer(out, text);
    };
    out.extend_from_slice(b"{\"metric\":{");
    for label in &series.labels {
        text(out, &label.name);
        out.push(b':');
        text(out, &label.value);
        out.push(b',');
    }
    for (name, value) in [(TENANT, terms.tenant), (SERVER, terms.server)] {
        text(out, name);
        out.push(b':');
        text(out, value);
        out.push(b',');
    }
    out.pop();
    out.extend_from_slice(b"},\"values\":");
    let values: Vec<f64> = series.samples.iter().map(|sample| sample.value).collect();
    let _ = serde_json::to_writer(&mut *out, &values);
    out.extend_from_slice(b",\"timestamps\":");
    let times: Vec<i64> = series
        .samples
        .iter()
        .map(|sample| sample.timestamp)
        .collect();
    let _ = serde_json::to_writer(&mut *out, &times);
    out.extend_from_slice(b"}\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flux::prometheus::message::{Label, Sample};
    use crate::settings::Settings;

    use serde_json::{Value, json};

    fn series(labels: &[(&str, &str)], samples: &[(f64, i64)]) -> TimeSeries {
        let label = |(name, value): &(&str, &str)| Label {
            name: (*name).to_owned(),
            value: (*value).to_owned(),
        };
        let sample = |(value, timestamp): &(f64, i64)| Sample {
            value: *value,
            timestamp: *timestamp,
        };
        TimeSeries {
            labels: labels.iter().map(label).collect(),
            samples: samples.iter().map(sample).collect(),
        }
    }

    fn run(headers: [&str; 3], is_test: bool, series: Vec<TimeSeries>) -> Converted {
        let terms = Terms {
            tenant: "t1",
            server: "s1",
            selection: &Selection::new(headers[0], headers[1], headers[2]).unwrap(),
            rules: &Rules::new(&Settings::default()),
            drop_buckets: true,
            oldest_ms: 1000,
            bounds: Bounds {
                metric_max: 3,
                tenant_max: None,
                all_max: 100,
            },
            is_test,
        };
        let guard = Mutex::new(Guard::new(Instant::now()));
        convert(series.into_iter().map(Ok), &terms, &guard).unwrap()
    }

    fn lines(converted: &Converted) -> Vec<Value> {
        let text = std::str::from_utf8(&converted.lines).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn refused(converted: &Converted) -> Vec<(&'static str, u64)> {
        let all = converted
            .refused
            .iter()
            .map(|(reason, count)| (*reason, *count));
        all.filter(|(_, count)| *count > 0).collect()
    }

    // What a sender says of its tenant in labels must not be believed.
    #[test]
    fn labels_stay_labels_and_tenant_and_server_are_ours() {
        let labels = [
            ("__name__", "up"),
            ("_tenant_id", "other"),
            ("monitor", "master"),
            ("path", "a\"b\\c\n"),
            ("empty", ""),
        ];
        let out = run(
            ["", "", ""],
            false,
            vec![series(&labels, &[(1.5, 1000), (0.1, 2000)])],
        );
        let metric = json!({
            "__name__": "up", "path": "a\"b\\c\n", "_tenant_id": "t1", "_server_id": "s1"
        });
        let wanted = json!({ "metric": metric, "values": [1.5, 0.1], "timestamps": [1000, 2000] });
        assert_eq!(lines(&out), [wanted]);
        assert_eq!((out.series, out.taken_series, out.taken), (1, 1, 2));
    }

    #[test]
    fn what_is_left_out_is_counted_by_its_reason() {
        let name = |name| [("__name__", name)];
        let stale = f64::from_bits(0x7ff0_0000_0000_0002);
        let out = run(
            ["dropped", "kept", ""],
            false,
            vec![
                series(
                    &name("ok"),
                    &[(1.0, 1000), (2.0, 999), (stale, 1000), (f64::INFINITY, 1)],
                ),
                series(&name("only_stale"), &[(stale, 1000)]),
                series(&name("empty"), &[]),
                series(&name("old"), &[(1.0, 1)]),
                series(&name("dropped_a"), &[(1.0, 1000)]),
                series(&name("dropped_kept"), &[(1.0, 1000)]),
                series(&name("x_bucket"), &[(1.0, 1000)]),
                series(&name("skyline.analyzer.x"), &[(1.0, 1000)]),
                series(&[("job", "nameless")], &[(1.0, 1000)]),
                series(
                    &[("__name__", "twice"), ("a", "1"), ("a", "2")],
                    &[(1.0, 1000)],
                ),
                series(
                    &[("__name__", "long"), ("a", &"x".repeat(5000))],
                    &[(1.0, 1000)],
                ),
            ],
        );
        let names: Vec<Value> = lines(&out)
            .iter()
            .map(|line| line["metric"]["__name__"].clone())
            .collect();
        assert_eq!(names, ["ok", "dropped_kept"]);
        assert_eq!(
            refused(&out),
            [
                ("bucket", 1),
                ("name_invalid", 3),
                (NO_SAMPLES, 1),
                ("not_finite", 3),
                ("skipped", 1),
                (TOO_OLD, 2),
                ("unwanted", 1),
            ]
        );
    }

    #[test]
    fn dropped_labels_do_not_make_series_apart() {
        let labels = |pod| [("__name__", "up"), ("pod", pod), ("code", "200")];
        let all = ["a", "b", "c", "d", "e"].map(|pod| series(&labels(pod), &[(1.0, 1000)]));
        let out = run(["", "", "[['pod', '*']]"], false, all.to_vec());
        assert_eq!(out.taken_series, 5);
        assert!(
            lines(&out)
                .iter()
                .all(|line| line["metric"].get("pod").is_none())
        );
        let out = run(["", "", ""], false, all.to_vec());
        assert_eq!(
            (out.taken_series, refused(&out)),
            (3, vec![("cardinality", 2)])
        );
    }

    #[test]
    fn a_test_lists_and_sends_nothing() {
        let all = ["up", "x_bucket"]
            .map(|name| series(&[("__name__", name), ("a", "1")], &[(1.0, 1000)]));
        let out = run(["", "", ""], true, all.to_vec());
        assert!(out.lines.is_empty());
        let wanted = |name| {
            vec![format!(
                "{name}{{_tenant_id=\"t1\",_server_id=\"s1\",a=\"1\"}}"
            )]
        };
        assert_eq!(out.names, (wanted("up"), wanted("x_bucket")));
    }
}
