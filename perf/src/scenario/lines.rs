//! The line protocol against pickle on the same points: the decoders alone, and the
//! whole way into Redis.

use std::hint::black_box;

use anyhow::{Context, Result};
use skyring::point::{Number, Point};
use skyring::wire::line::Lines;
use skyring::wire::pickle::Decoder;

use super::{Bench, describe, ratios, turns};
use crate::plan::{Calendar, Plan, Stamp};
use crate::process::own_cpu_ns;
use crate::report::{Findings, Table, Target, median};
use crate::slice::{Outcome, Slice, Writer, run};
use crate::tape::Tape;
use crate::{frames, lines};

/// Bytes of a pickle frame's length.
const HEAD_BYTES: usize = 4;

/// Decodes one frame, and sums up what is in it.
type Decode<'a> = &'a mut dyn FnMut(&[u8]) -> Result<f64>;

/// Runs the scenario.
pub fn measure(bench: &Bench<'_>) -> Result<Findings> {
    let mut findings = decoders(bench)?;
    let load = &bench.options.load;
    let plan = Plan {
        // As carbon sends lines.
        stamp: Stamp::Int,
        ..load.plan(bench.size(20_000, 100_000), 4, 500)
    };
    let slices = load.slices.unwrap_or(bench.size(2, 6));
    let points = load.points.unwrap_or(bench.size(400_000, 4_000_000));
    let names = plan.names();
    let slice = Slice {
        plan,
        names: &names,
        history: true,
        warm_rounds: 3,
        timed_rounds: plan.rounds_for(points.div_ceil(slices)),
        rate: None,
        warm_at_rate: false,
    };
    let redis = bench.redis()?;
    let settings = ["horizon.line_tcp=[\"127.0.0.1:0\"]".to_owned()];
    let Some(server) = bench.server_with(&redis.socket(), &settings)? else {
        return Ok(findings);
    };
    let sides = [
        ("pickle", Writer::Server(&server)),
        ("line", Writer::Lines(&server)),
    ];
    let mut outcomes: [Vec<Outcome>; 2] = Default::default();
    for round in 0..slices {
        for side in turns(round, sides.len()) {
            let (name, writer) = sides[side];
            let title = format!("lines: {name} {} of {slices}", round + 1);
            let stage = bench.stage(&redis, None);
            outcomes[side].push(run(stage, writer, slice, &title, || Ok(()))?);
        }
    }
    let columns = [
        "points timed",
        "points/s",
        "bytes/point",
        "Redis ns/point",
        "server ns/point",
    ];
    let title = format!("lines over TCP, whole way: {}", describe(&plan));
    let mut table = Table::new(title, &columns);
    for ((name, _), outcomes) in sides.iter().zip(&outcomes) {
        let bytes = |o: &Outcome| o.pumped.bytes as f64 / o.points as f64;
        let figures = [
            outcomes.iter().map(|o| o.points as f64).sum(),
            median(outcomes.iter().map(Outcome::points_per_s)),
            median(outcomes.iter().map(bytes)),
            median(outcomes.iter().map(Outcome::redis_ns_per_point)),
            median(outcomes.iter().map(Outcome::server_ns_per_point)),
        ];
        table.row(*name, &figures);
    }
    findings.tables.push(table);
    let figures = |side: usize, figure: fn(&Outcome) -> f64| -> Vec<f64> {
        outcomes[side].iter().map(figure).collect()
    };
    let title = "lines: line / pickle, neighbouring slices";
    let mut table = Table::new(title, &["median", "least", "most"]);
    for (name, figure) in [
        (
            "points stored/s",
            Outcome::points_per_s as fn(&Outcome) -> f64,
        ),
        ("server CPU a point", Outcome::server_ns_per_point),
    ] {
        table.row(name, &ratios(&figures(1, figure), &figures(0, figure)));
    }
    findings.tables.push(table);
    server.end()?;
    Ok(findings)
}

/// Decoders alone, in rounds that take turns, on points of 500 to the frame.
fn decoders(bench: &Bench<'_>) -> Result<Findings> {
    let plan = Plan {
        stamp: Stamp::Int,
        ..Plan::new(5000, 1, 500)
    };
    let (names, calendar) = (plan.names(), Calendar::new(1));
    let pickles = frames::tape(plan, 0, &names, &calendar);
    let texts = lines::tape(plan, 0, &names, &calendar);
    let mut decoder = Decoder::new();
    let mut sides: [(&str, &Tape, Decode<'_>); 3] = [
        ("pickle, general machine", &pickles, &mut {
            let mut decoder = Decoder::new();
            move |frame| Ok(sum(decoder.decode_general(&frame[HEAD_BYTES..])?.points()))
        }),
        ("pickle, fast path", &pickles, &mut |frame| {
            Ok(sum(decoder.decode(&frame[HEAD_BYTES..])?.points()))
        }),
        ("line", &texts, &mut |frame| Ok(sum(Lines::new(frame, 0)))),
    ];
    let mut ns: [Vec<f64>; 3] = Default::default();
    let repeats = bench.size(3, 20);
    let mut sums = [0.0; 3];
    for round in 0..bench.size(11, 101) {
        for side in turns(round, sides.len()) {
            let (_, tape, decode) = &mut sides[side];
            // CPU time: others may have the CPU in between.
            let before = own_cpu_ns();
            for _ in 0..repeats {
                sums[side] = 0.0;
                let mut from = 0;
                for frame in 0..plan.lap_frames() {
                    let to = tape.end(frame);
                    sums[side] += decode(black_box(&tape.bytes()[from..to]))?;
                    from = to;
                }
            }
            let points = (repeats * plan.lap_points()) as f64;
            ns[side].push((own_cpu_ns() - before) as f64 / points);
        }
    }
    let same = sums.iter().all(|sum| *sum == sums[0]);
    same.then_some(())
        .context("the decoders read different points")?;
    let title = "lines: decoding alone, 500 points a frame, whole-second timestamps";
    let mut table = Table::new(title, &["ns/point", "points/s of the general machine"]);
    for (side, (name, _, _)) in sides.iter().enumerate() {
        let [ratio, _, _] = ratios(&ns[0], &ns[side]);
        table.row(*name, &[median(ns[side].iter().copied()), ratio]);
    }
    let [ratio, _, _] = ratios(&ns[0], &ns[2]);
    let what = "line decode, points a second, against the general pickle machine";
    Ok(Findings {
        targets: vec![Target::at_least(what, ratio, 0.7)],
        tables: vec![table],
        ..Findings::default()
    })
}

/// Reads every point, so that nothing of the decoding can be left out.
fn sum<'p>(points: impl Iterator<Item = Point<'p>>) -> f64 {
    let float = |number| match number {
        Number::Float(n) => n,
        Number::Int(n) => n as f64,
        Number::Uint(n) => n as f64,
        Number::Bool(n) => f64::from(u8::from(n)),
    };
    points
        .map(|p| p.name.len() as f64 + float(p.timestamp) + float(p.value))
        .sum()
}
