//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, ValueEnum};

use crate::plan::{Plan, Stamp};
use crate::redis::Persistence;

/// Measures Skyring against the least that Redis itself costs.
///
/// Starts a redis-server of its own on one CPU and keeps everything else on
/// another; all traffic stays on this host. Every run compares what Redis holds
/// with what was sent and fails when one byte differs. Exit codes: 0 done,
/// 1 failed (or, with --strict, a target missed), 2 bad usage.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
pub struct Options {
    /// What to measure.
    #[arg(value_enum)]
    pub scenario: Scenario,
    /// Seconds instead of minutes: for tests, too short for figures to be quoted.
    #[arg(long)]
    pub small: bool,
    /// Writes the report as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Draws rate and latency over time as SVG.
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
    /// Fails when a target is missed.
    #[arg(long)]
    pub strict: bool,
    /// The server's binary [default: the one beside this one, built when cargo runs this].
    #[arg(long, value_name = "FILE")]
    pub server: Option<PathBuf>,
    /// A setting for the server, as its own --set takes it.
    #[arg(long = "server-set", value_name = "SECTION.KEY=VALUE")]
    pub settings: Vec<String>,
    /// Measures the floor alone.
    #[arg(long)]
    pub floor_only: bool,
    /// What Redis keeps on disk.
    #[arg(long, value_enum, default_value = "none")]
    pub persistence: Persistence,
    /// The load's shape.
    #[command(flatten)]
    pub load: Load,
}

/// What is sent; each scenario has its own defaults.
#[derive(Clone, Debug, Args)]
pub struct Load {
    /// Metrics, 1 to 4 million, rounded up to the same number on each connection.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=4_000_000))]
    pub metrics: Option<u64>,
    /// Connections to the server.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=256))]
    pub connections: Option<u64>,
    /// Connections of the floor to Redis.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=256))]
    pub floor_connections: u64,
    /// Points in a frame.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=5000))]
    pub frame_points: Option<u64>,
    /// Pickle protocol.
    #[arg(long, default_value = "2", value_parser = protocol)]
    pub protocol: u8,
    /// Number kind of timestamps.
    #[arg(long, value_enum, default_value = "float")]
    pub stamp: Stamp,
    /// Seed of the names.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Points under the clock for each side, over all slices.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=500_000_000))]
    pub points: Option<u64>,
    /// Slices of each side, which take turns.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub slices: Option<u64>,
    /// Points a second of the open loop [default: half of the capacity, measured before each pair of slices].
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub rate: Option<u64>,
    /// Seconds of the open loop for each side, over all slices.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub seconds: Option<u64>,
}

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Points stored a second and CPU time a point, against the floor; allocations a point.
    Capacity,
    /// Allocations a point, with the server in this process.
    Allocations,
    /// From scheduled send to Redis's answer, at half of the capacity, against the floor.
    Latency,
    /// Resident memory a metric.
    Memory,
    /// Many shapes of load, each for a short time.
    Matrix,
    /// Points stored a second with 100 skip patterns and 3 cluster shards, against without.
    Rules,
    /// Redis's CPU time with the keys beside the data, against without; a second is a minute.
    SideKeys,
    /// CPU time a datagram that is decoded and skipped, against a bare recvmmsg loop.
    Datagrams,
    /// What the page costs: CPU time and size of an answer, and of the data plane with a
    /// browser open against without.
    Dashboard,
    /// The line protocol against pickle: decoding alone, and points stored a second.
    Lines,
    /// Redis's CPU time and bytes to trim series for an hour, against Skyline's own way.
    Roomba,
    /// Flux: requests against nginx, bodies against Python, points against pickle.
    Flux,
    /// Points acknowledged over HTTP that a carbon which is killed and comes back never gets.
    Carbon,
    /// Metrics fetched a second from Graphite and Prometheus, against wrk's same requests.
    Vista,
    /// Everything.
    All,
}

impl Load {
    /// The plan, with a scenario's defaults.
    pub fn plan(&self, metrics: u64, connections: u64, frame_points: u64) -> Plan {
        let plan = Plan::new(
            self.metrics.unwrap_or(metrics),
            self.connections.unwrap_or(connections),
            self.frame_points.unwrap_or(frame_points),
        );
        Plan {
            protocol: self.protocol,
            stamp: self.stamp,
            seed: self.seed,
            ..plan
        }
    }

    /// The same metrics over the floor's connections.
    pub fn floor_plan(&self, plan: Plan) -> Plan {
        // Only a divisor keeps the number of metrics the same.
        let lanes = (1..=self.floor_connections)
            .rev()
            .find(|l| plan.metrics().is_multiple_of(*l));
        let lanes = lanes.unwrap_or(1);
        Plan {
            lanes,
            per_lane: plan.metrics() / lanes,
            ..plan
        }
    }
}

fn protocol(text: &str) -> Result<u8, String> {
    match text {
        "0" | "2" | "4" => Ok(text.as_bytes()[0] - b'0'),
        _ => Err("0, 2 or 4".to_owned()),
    }
}
