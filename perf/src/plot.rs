//! Rate and latency over time, as SVG: the floor's slices and the server's on
//! one time axis each, side by side.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use crate::report::Timeline;

const FLOOR: RGBColor = RGBColor(110, 110, 110);
const SERVER: RGBColor = RGBColor(200, 70, 20);

/// Draws `timelines` into `file`.
pub fn draw(timelines: &[Timeline], file: &Path) -> Result<()> {
    let root = SVGBackend::new(file, (1000, 760)).into_drawing_area();
    root.fill(&WHITE).map_err(broken)?;
    let measured: Vec<&Timeline> = timelines.iter().filter(|t| !t.latency.is_empty()).collect();
    let parts = root.split_evenly((if measured.is_empty() { 1 } else { 2 }, 1));
    rate(&parts[0], timelines)?;
    if let Some(part) = parts.get(1) {
        latency(part, &measured)?;
    }
    root.present().map_err(broken)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn rate<'a>(area: &Area<'a>, timelines: &[Timeline]) -> Result<()> {
    let all = || timelines.iter().flat_map(|t| t.rate.iter());
    let (last, most) = (
        largest(all().map(|p| p.0)),
        largest(all().map(|p| p.1 / 1000.0)),
    );
    let mut chart = ChartBuilder::on(area)
        .caption(
            "thousand points a second, each slice from its start",
            ("sans-serif", 18),
        )
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..last, 0.0..most * 1.1)
        .map_err(broken)?;
    chart
        .configure_mesh()
        .x_desc("seconds")
        .draw()
        .map_err(broken)?;
    for (floor, color, name) in [(true, FLOOR, "floor"), (false, SERVER, "server")] {
        for (index, line) in timelines.iter().filter(|t| t.floor == floor).enumerate() {
            let points = line.rate.iter().map(|&(at, rate)| (at, rate / 1000.0));
            let drawn = chart
                .draw_series(LineSeries::new(points, color.stroke_width(2)))
                .map_err(broken)?;
            if index == 0 {
                drawn.label(name).legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2))
                });
            }
        }
    }
    legend(&mut chart)
}

fn latency<'a>(area: &Area<'a>, timelines: &[&Timeline]) -> Result<()> {
    let all = || timelines.iter().flat_map(|t| t.latency.iter());
    let (last, most) = (
        largest(all().map(|b| b.at_s)),
        largest(all().map(|b| ms(b.max_us))),
    );
    let mut chart = ChartBuilder::on(area)
        .caption(
            "ms from scheduled send to Redis's answer",
            ("sans-serif", 18),
        )
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..last, (0.05..most.max(0.1) * 1.5).log_scale())
        .map_err(broken)?;
    chart
        .configure_mesh()
        .x_desc("seconds")
        .draw()
        .map_err(broken)?;
    let kinds = [("p50", 1, 0.5), ("p99", 2, 1.0), ("max", 1, 0.25)];
    for (floor, color, side) in [(true, FLOOR, "floor"), (false, SERVER, "server")] {
        for (kind, width, opacity) in kinds {
            let style = color.mix(opacity).stroke_width(width);
            for (index, line) in timelines.iter().filter(|t| t.floor == floor).enumerate() {
                let points = line.latency.iter().map(|b| {
                    let us = [b.p50_us, b.p99_us, b.max_us];
                    let which = kinds.iter().position(|k| k.0 == kind).unwrap_or(0);
                    (b.at_s, ms(us[which]).max(0.05))
                });
                let drawn = chart
                    .draw_series(LineSeries::new(points, style))
                    .map_err(broken)?;
                if index == 0 {
                    drawn
                        .label(format!("{side} {kind}"))
                        .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
                }
            }
        }
    }
    legend(&mut chart)
}

fn legend<'a, X, Y>(chart: &mut ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, Y>>) -> Result<()>
where
    X: plotters::coord::ranged1d::Ranged<ValueType = f64>,
    Y: plotters::coord::ranged1d::Ranged<ValueType = f64>,
{
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .position(SeriesLabelPosition::UpperRight)
        .draw()
        .map_err(broken)
}

fn ms(us: u64) -> f64 {
    us as f64 / 1000.0
}

fn largest(figures: impl Iterator<Item = f64>) -> f64 {
    figures.fold(0.001, f64::max)
}

fn broken(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("the plot can't be drawn: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Bucket;

    #[test]
    fn a_plot_is_an_svg_with_both_sides() {
        let bucket = |at_s| Bucket {
            at_s,
            points_per_s: 1e5,
            p50_us: 90,
            p99_us: 800,
            max_us: 4000,
        };
        let timeline = |floor| Timeline {
            name: "latency".into(),
            floor,
            rate: vec![(0.1, 1e5), (0.2, 2e5)],
            latency: vec![bucket(0.1), bucket(0.4)],
        };
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("plot.svg");
        draw(&[timeline(true), timeline(false)], &file).unwrap();
        let svg = std::fs::read_to_string(&file).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        assert!(svg.contains("floor p99") && svg.contains("server p99"));
        draw(&[], &file).unwrap();
    }
}
