//! What a datagram costs that is received, decoded, and refused by the skip list,
//! so that Redis has no part in it, against a loop that receives and does nothing.
//! Sender and receiver share a CPU.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use super::{Bench, ratios, turns};
use crate::datagrams::{BATCH, BYTES, Flood, PREFIX, Received, burst, receive};
use crate::process::Cpu;
use crate::report::{Findings, Table, Target, median};
use crate::server::{MSGPACK, Server};

/// How long the server may take to count what it has received.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs the scenario.
pub fn measure(bench: &Bench<'_>) -> Result<Findings> {
    let load = &bench.options.load;
    let metrics = load.metrics.unwrap_or(10_000);
    let slices = load.slices.unwrap_or(bench.size(2, 8));
    let points = load.points.unwrap_or(bench.size(100_000, 4_000_000));
    let count = points.div_ceil(slices);
    let settings = [
        "horizon.msgpack=[\"127.0.0.1:0\"]".to_owned(),
        format!("horizon.skip=[{PREFIX:?}]"),
    ];
    let redis = bench.redis()?;
    let Some(server) = bench.server_with(&redis.socket(), &settings)? else {
        return Ok(Findings::default());
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let flood = Flood::new(metrics, now)?;
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let asked = skyring::Settings::default().horizon.udp_buffer_bytes;
    // The server's socket is made in the same way, with the same default.
    let (socket, held) = skyring::plane::bind_datagrams(any, asked)?;
    let socket = UdpSocket::from(OwnedFd::from(socket));
    let bench = Receivers {
        bench,
        server: &server,
        socket,
        flood,
    };
    // Every metric is judged before the clock starts.
    bench.server(metrics, BATCH)?;
    let flooded = bench.sides("a flood", slices, count, burst(held))?;
    // One batch at a time: a good part is then the price of waking threads. The
    // sender's way to know that a batch was received is slow, so there are fewer.
    let single = bench.sides("single batches", slices, count.div_ceil(16), BATCH)?;
    server.end()?;
    let [ratio, ..] = flooded.ratios();
    let what = "CPU a datagram, decoded and skipped, against a bare recvmmsg loop";
    let title = format!("{BYTES}-byte datagrams, {metrics} metrics, all skipped");
    let columns = [
        "datagrams timed",
        "ns/datagram",
        "of that, shards",
        "datagrams/call",
        "shard wakes/1000 datagrams",
    ];
    let mut table = Table::new(title, &columns);
    let title = "datagrams: server / bare loop, CPU a datagram, neighbouring slices";
    let mut pairs = Table::new(title, &["median", "least", "most"]);
    for sides in [&flooded, &single] {
        sides.rows(&mut table);
        pairs.row(sides.name, &sides.ratios());
    }
    Ok(Findings {
        targets: vec![Target::at_most(what, ratio, 1.6)],
        tables: vec![table, pairs],
        ..Findings::default()
    })
}

/// Whom datagrams are sent to.
struct Receivers<'a> {
    bench: &'a Bench<'a>,
    server: &'a Server,
    socket: UdpSocket,
    flood: Flood,
}

/// What both have used, slice by slice.
struct Sides {
    name: &'static str,
    count: u64,
    floors: Vec<Received>,
    servers: Vec<Cpu>,
}

impl Receivers<'_> {
    /// Both in turns, `count` datagrams in each slice.
    fn sides(&self, name: &'static str, slices: u64, count: u64, burst: usize) -> Result<Sides> {
        let mut sides = Sides {
            name,
            count,
            floors: Vec::new(),
            servers: Vec::new(),
        };
        for round in 0..slices {
            for side in turns(round, 2) {
                let who = ["floor", "server"][side];
                let title = format!("datagrams: {name}, {who} {} of {slices}", round + 1);
                self.bench.progress.begin(&title);
                if side == 0 {
                    sides.floors.push(self.floor(count, burst).context(title)?);
                } else {
                    sides
                        .servers
                        .push(self.server(count, burst).context(title)?);
                }
            }
        }
        Ok(sides)
    }

    fn floor(&self, count: u64, burst: usize) -> Result<Received> {
        std::thread::scope(|scope| {
            let receiver = scope.spawn(|| receive(&self.socket, count));
            self.send(self.socket.local_addr()?, count, burst)?;
            receiver
                .join()
                .unwrap_or_else(|_| bail!("the receiver died"))
        })
    }

    fn server(&self, count: u64, burst: usize) -> Result<Cpu> {
        let counted = self.server.counted(MSGPACK)?;
        let before = self.server.cpu()?;
        self.send(self.server.address(MSGPACK)?, count, burst)?;
        settled(self.server, counted.skipped + count)?;
        let used = self.server.cpu()?.since(&before);
        if self.server.counted(MSGPACK)?.kernel_drops > counted.kernel_drops {
            bail!("the kernel dropped datagrams");
        }
        Ok(used)
    }

    fn send(&self, address: SocketAddr, count: u64, burst: usize) -> Result<()> {
        let progress = |sent| self.bench.progress.at(sent, count);
        let stop = self.bench.stop;
        self.flood.send(address, burst, count, stop, progress)
    }
}

impl Sides {
    fn rows(&self, table: &mut Table) {
        let timed = self.floors.len() as u64 * self.count;
        let per = |figure: f64| figure / self.count as f64;
        let calls = median(self.floors.iter().map(|f| f.calls as f64));
        table.row(
            format!("{}, bare loop", self.name),
            &[
                timed as f64,
                median(self.floor_ns()),
                f64::NAN,
                self.count as f64 / calls,
                f64::NAN,
            ],
        );
        table.row(
            format!("{}, server", self.name),
            &[
                timed as f64,
                median(self.server_ns()),
                median(self.servers.iter().map(|s| per(s.named_ns as f64))),
                f64::NAN,
                1000.0 * median(self.servers.iter().map(|s| per(s.named_sleeps as f64))),
            ],
        );
    }

    fn ratios(&self) -> [f64; 3] {
        ratios(&self.server_ns(), &self.floor_ns())
    }

    fn floor_ns(&self) -> Vec<f64> {
        let ns = |f: &Received| f.cpu_ns as f64 / self.count as f64;
        self.floors.iter().map(ns).collect()
    }

    fn server_ns(&self) -> Vec<f64> {
        let ns = |s: &Cpu| s.all_ns as f64 / self.count as f64;
        self.servers.iter().map(ns).collect()
    }
}

/// Waits until the server has counted so many datagrams as skipped.
fn settled(server: &Server, skipped: u64) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let counted = server.counted(MSGPACK)?;
        if counted.skipped == skipped {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("{skipped} datagrams skipped, the server counts {counted:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
