//! Skyring's performance harness: load generator, floor, and the scenarios that
//! hold one against the other.
//!
//! ```text
//! CPU A                                            CPU B
//! frames -> sender ==TCP==> server ==unix==> [proxy] ==> Redis
//! datagrams ========UDP===> server, or a bare loop
//! wrk ==============HTTP==> server, or nginx
//! ready-made APPENDs -> floor ======unix===> [proxy] ==> Redis
//!                                            verify  <== Redis
//! ```
//!
//! `plan` says by arithmetic which point is where; `tape`, `frames`, `lines`, `posts`
//! and `floor` make the bytes; `sender` writes them; `datagrams` does both for UDP, and
//! receives; `proxy` and `latency` stamp answers;
//! `verify` compares; `slice` puts these into one measurement, and the scenarios
//! put slices into a report.

mod alloc;
mod datagrams;
mod floor;
mod frames;
mod history;
mod latency;
mod lines;
mod names;
mod options;
mod plan;
mod plot;
mod posts;
mod process;
mod progress;
mod proxy;
mod record;
mod redis;
mod report;
mod resp;
mod rig;
mod scenario;
mod sender;
mod server;
mod slice;
mod sources;
mod tape;
mod verify;
mod wrk;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use clap::Parser;

use crate::options::Options;
use crate::report::Report;

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(report) if options.strict && !report.all_met() => ExitCode::FAILURE,
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("skyring-perf: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<Report> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // The second signal ends the process at once, and the kernel its children.
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let cores = process::Cores::choose()?;
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let program = match options.floor_only {
        true => None,
        false => Some(server::program(options.server.as_deref())?),
    };
    cores
        .keep_to_rest()
        .context("this process can't be kept on one CPU")?;
    let progress = progress::Progress::new();
    let bench = scenario::Bench {
        options,
        cores,
        program,
        stop: &stop,
        progress: &progress,
    };
    let mut rig = rig::Rig::here(cores, cpus);
    rig.redis = bench.redis()?.version;
    let mut report = Report {
        rig,
        command: std::env::args().skip(1).collect::<Vec<_>>().join(" "),
        quiet: rig::Quiet::default(),
        targets: Vec::new(),
        tables: Vec::new(),
        timelines: Vec::new(),
    };
    let before = rig::Ticks::now();
    scenario::measure(&bench, options.scenario, &mut report)?;
    report.quiet = rig::Ticks::now().since(&before);
    progress.clear();
    print!("{report}");
    println!(
        "\nall that Redis held was what was sent; {:.0?} in all",
        progress.elapsed()
    );
    if let Some(file) = &options.json {
        let json = serde_json::to_string_pretty(&report)?;
        std::fs::write(file, json + "\n").with_context(|| file.display().to_string())?;
    }
    if let Some(file) = &options.plot {
        plot::draw(&report.timelines, file)?;
    }
    Ok(report)
}
