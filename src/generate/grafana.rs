//! A dashboard for Grafana: an overview made by hand, and below it a panel for each
//! metric of the catalogue.

use serde_json::{Value, json};

use crate::catalogue::{self, Kind, Metric};

/// Grafana's grid is this wide.
const WIDTH: u32 = 24;
/// Which servers are shown.
const SELECTED: &str = "instance=~\"$instance\"";

/// A panel of the overview.
struct Panel {
    title: &'static str,
    about: &'static str,
    unit: &'static str,
    width: u32,
    height: u32,
    /// `stat` or `timeseries`.
    form: &'static str,
    /// Expressions, each with its legend.
    lines: &'static [(&'static str, &'static str)],
}

const OVERVIEW: &[Panel] = &[
    Panel {
        title: "Ready",
        about: "1 if everything listens and Redis settles. /readyz says why it is not.",
        unit: "bool_yes_no",
        width: 4,
        height: 4,
        form: "stat",
        lines: &[("min(skyring_ready{})", "")],
    },
    Panel {
        title: "Points stored",
        about: "A second, by all listeners.",
        unit: "cps",
        width: 5,
        height: 4,
        form: "stat",
        lines: &[(
            "sum(rate(skyring_points_stored_total{}[$__rate_interval]))",
            "",
        )],
    },
    Panel {
        title: "Share that is stored",
        about: "Of the points received. The rest is dropped for a reason, or on its way.",
        unit: "percentunit",
        width: 5,
        height: 4,
        form: "stat",
        lines: &[(
            "sum(rate(skyring_points_stored_total{}[$__rate_interval])) / sum(rate(skyring_points_received_total{}[$__rate_interval]))",
            "",
        )],
    },
    Panel {
        title: "Latency, 99 %",
        about: "From the arrival of a point's bytes to Redis's answer.",
        unit: "s",
        width: 5,
        height: 4,
        form: "stat",
        lines: &[(
            "histogram_quantile(0.99, sum by (le) (rate(skyring_settle_latency_seconds_bucket{}[$__rate_interval])))",
            "",
        )],
    },
    Panel {
        title: "Metrics known",
        about: "In the shards' tables: one that came to two shards counts twice.",
        unit: "short",
        width: 5,
        height: 4,
        form: "stat",
        lines: &[("sum(skyring_metrics_known{})", "")],
    },
    Panel {
        title: "Points received and stored",
        about: "The gap between the two lines is what is dropped.",
        unit: "cps",
        width: 12,
        height: 8,
        form: "timeseries",
        lines: &[
            (
                "sum by (listener) (rate(skyring_points_received_total{}[$__rate_interval]))",
                "{{listener}} received",
            ),
            (
                "sum by (listener) (rate(skyring_points_stored_total{}[$__rate_interval]))",
                "{{listener}} stored",
            ),
        ],
    },
    Panel {
        title: "Points dropped, by reason",
        about: "not_mine, rule and skipped are as configured; all others are worth a look.",
        unit: "cps",
        width: 12,
        height: 8,
        form: "timeseries",
        lines: &[(
            "sum by (reason) (rate(skyring_points_dropped_total{}[$__rate_interval]))",
            "{{reason}}",
        )],
    },
    Panel {
        title: "Latency",
        about: "From the arrival of a point's bytes to Redis's answer.",
        unit: "s",
        width: 12,
        height: 8,
        form: "timeseries",
        lines: &[
            (
                "histogram_quantile(0.5, sum by (le) (rate(skyring_settle_latency_seconds_bucket{}[$__rate_interval])))",
                "50 %",
            ),
            (
                "histogram_quantile(0.9, sum by (le) (rate(skyring_settle_latency_seconds_bucket{}[$__rate_interval])))",
                "90 %",
            ),
            (
                "histogram_quantile(0.99, sum by (le) (rate(skyring_settle_latency_seconds_bucket{}[$__rate_interval])))",
                "99 %",
            ),
        ],
    },
    Panel {
        title: "Redis",
        about: "What waits for it, and for how long the oldest has.",
        unit: "short",
        width: 12,
        height: 8,
        form: "timeseries",
        lines: &[
            ("sum(skyring_points_in_flight{})", "points in flight"),
            ("sum(skyring_redis_batches_waiting{})", "batches waiting"),
            (
                "max(skyring_redis_unanswered_seconds{})",
                "seconds unanswered",
            ),
        ],
    },
];

/// The dashboard as JSON, to be imported.
pub(super) fn text() -> String {
    let mut panels = Vec::new();
    let mut place = Place::default();
    for panel in OVERVIEW {
        let lines = panel.lines.iter().map(|(expr, legend)| {
            (
                (*expr).replace("{}", &format!("{{{SELECTED}}}")),
                (*legend).to_owned(),
            )
        });
        let mut made = make(
            panel.form,
            panel.title,
            panel.about,
            panel.unit,
            lines.collect(),
        );
        place.put(&mut made, panel.width, panel.height);
        panels.push(made);
    }
    for part in catalogue::PARTS {
        place.end_line();
        let mut row = json!({ "type": "row", "title": part.title, "collapsed": true });
        place.put(&mut row, WIDTH, 1);
        let inner = part.metrics.iter().map(|metric| {
            let about = about(metric);
            let mut made = make(
                "timeseries",
                title(metric),
                &about,
                unit(metric),
                lines(metric),
            );
            place.put(&mut made, WIDTH / 3, 7);
            made
        });
        row["panels"] = inner.collect();
        panels.push(row);
    }
    let dashboard = json!({
        "uid": "skyring",
        "title": "Skyring",
        "tags": ["skyring"],
        "schemaVersion": 39,
        "refresh": "10s",
        "time": { "from": "now-1h", "to": "now" },
        "timezone": "browser",
        "templating": { "list": [
            { "name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus" },
            {
                "name": "instance", "label": "Server", "type": "query", "datasource": source(),
                "query": "label_values(skyring_build_info, instance)", "refresh": 2,
                "multi": true, "includeAll": true, "allValue": ".+",
                "current": { "text": "All", "value": "$__all" },
            },
        ] },
        "panels": panels,
    });
    format!("{dashboard:#}\n")
}

/// Where the next panel goes.
#[derive(Default)]
struct Place {
    id: u32,
    x: u32,
    y: u32,
    height: u32,
}

impl Place {
    fn put(&mut self, panel: &mut Value, width: u32, height: u32) {
        if self.x + width > WIDTH {
            self.end_line();
        }
        self.id += 1;
        panel["id"] = self.id.into();
        panel["gridPos"] = json!({ "x": self.x, "y": self.y, "w": width, "h": height });
        self.x += width;
        self.height = self.height.max(height);
    }

    fn end_line(&mut self) {
        self.y += self.height;
        (self.x, self.height) = (0, 0);
    }
}

fn source() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

fn make(form: &str, title: &str, about: &str, unit: &str, lines: Vec<(String, String)>) -> Value {
    let targets: Vec<Value> = lines
        .into_iter()
        .zip('A'..)
        .map(|((expr, legend), id)| {
            json!({
                "refId": id.to_string(), "datasource": source(), "expr": expr,
                "legendFormat": if legend.is_empty() { "__auto" } else { &legend },
            })
        })
        .collect();
    json!({
        "type": form, "title": title, "description": about, "datasource": source(),
        "targets": targets,
        "fieldConfig": { "defaults": { "unit": unit, "min": 0 }, "overrides": [] },
    })
}

fn title(metric: &Metric) -> &str {
    metric.name.strip_prefix("skyring_").unwrap_or(metric.name)
}

fn about(metric: &Metric) -> String {
    if metric.worry.is_empty() {
        return metric.help.to_owned();
    }
    format!("{} Worry if {}.", metric.help, metric.worry)
}

fn unit(metric: &Metric) -> &'static str {
    let is_rate = metric.kind == Kind::Counter;
    match metric.name {
        name if name.ends_with("_timestamp_seconds") => "dateTimeFromNow",
        name if name.ends_with("_seconds") => "s",
        name if name.ends_with("_bytes_total") => "Bps",
        name if name.ends_with("_bytes") => "bytes",
        _ if is_rate => "cps",
        _ => "short",
    }
}

/// What is drawn of a metric.
fn lines(metric: &Metric) -> Vec<(String, String)> {
    let name = metric.name;
    let mut legend = vec!["{{instance}}".to_owned()];
    legend.extend(metric.labels.iter().map(|label| format!("{{{{{label}}}}}")));
    let legend = legend.join(" ");
    let quantile = |quantile: &str| {
        let buckets = format!("rate({name}_bucket{{{SELECTED}}}[$__rate_interval])");
        let expr = format!("histogram_quantile({quantile}, sum by (instance, le) ({buckets}))");
        (expr, format!("{{{{instance}}}} {quantile}"))
    };
    match metric.kind {
        Kind::Counter => vec![(
            format!("rate({name}{{{SELECTED}}}[$__rate_interval])"),
            legend,
        )],
        // Grafana takes milliseconds.
        Kind::Gauge if name.ends_with("_timestamp_seconds") => {
            vec![(format!("{name}{{{SELECTED}}} * 1000"), legend)]
        }
        Kind::Gauge => vec![(format!("{name}{{{SELECTED}}}"), legend)],
        Kind::Histogram => ["0.5", "0.9", "0.99"].map(quantile).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two panels in one place hide each other.
    #[test]
    fn panels_have_their_own_place_and_number() {
        let dashboard: Value = serde_json::from_str(&text()).unwrap();
        let rows = dashboard["panels"].as_array().unwrap().iter();
        let inner = rows
            .clone()
            .filter_map(|row| row["panels"].as_array())
            .flatten();
        let mut cells = std::collections::BTreeSet::new();
        let mut ids = std::collections::BTreeSet::new();
        for panel in rows.chain(inner) {
            assert!(ids.insert(panel["id"].as_u64()), "{panel}");
            let at = |name: &str| panel["gridPos"][name].as_u64().unwrap();
            assert!(at("x") + at("w") <= u64::from(WIDTH), "{panel}");
            for x in at("x")..at("x") + at("w") {
                for y in at("y")..at("y") + at("h") {
                    assert!(cells.insert((x, y)), "{panel}");
                }
            }
        }
        assert!(ids.len() > catalogue::all().count());
    }
}
