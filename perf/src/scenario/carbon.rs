//! Points acknowledged over HTTP and never received by a carbon receiver that is
//! killed, stays away and comes back, as real Python has read them.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use super::Bench;
use crate::posts::KEY;
use crate::process::Process;
use crate::report::{Findings, Table, Target};
use crate::server::{FLUX, Server};

const CLIENTS: u32 = 2;
/// Metrics in a POST; a bit of a mask stands for each.
const POSTED: u32 = 100;
/// Between two POSTs of a client.
const PACE: Duration = Duration::from_millis(10);
/// Longest wait for what was acknowledged.
const PATIENCE: Duration = Duration::from_secs(120);

/// POSTs by client and number, and which of their points were received.
type Received = HashMap<(u32, u32), u128>;

/// Runs the scenario.
pub fn measure(bench: &Bench<'_>) -> Result<Findings> {
    let redis = bench.redis()?;
    let received = Arc::new(Mutex::new(Received::new()));
    let (receiver, port) = Receiver::start(bench.cores.rest, 0, &received)?;
    let settings = [
        "flux.listen=[\"127.0.0.1:0\"]".to_owned(),
        format!("flux.self_key={KEY}"),
        format!("graphite.carbon_pickle=127.0.0.1:{port}"),
    ];
    let Some(server) = bench.server_with(&redis.socket(), &settings)? else {
        return Ok(Findings::default());
    };
    let (before, away) = (bench.size(1, 5), bench.size(2, 30));
    let is_over = AtomicBool::new(false);
    let address = server.address(FLUX)?;
    bench.progress.begin("carbon: killed, away, and back");
    let (acknowledged, receiver) = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let is_over = &is_over;
                scope.spawn(move || post(client, address, is_over))
            })
            .collect();
        let back = (|| {
            std::thread::sleep(Duration::from_secs(before));
            receiver.crash()?;
            std::thread::sleep(Duration::from_secs(away));
            let (receiver, _) = Receiver::start(bench.cores.rest, port, &received)?;
            std::thread::sleep(Duration::from_secs(before));
            anyhow::Ok(receiver)
        })();
        is_over.store(true, Ordering::Relaxed);
        let mut acknowledged = Vec::new();
        for client in clients {
            let posted = client.join().ok().context("a client has panicked")?;
            acknowledged.extend(posted?);
        }
        anyhow::Ok((acknowledged, back?))
    })?;
    wait_until_delivered(&server)?;
    let status = server.status()?;
    server.end()?;
    receiver.crash()?;
    Ok(findings(away, &acknowledged, &received, &status))
}

fn findings(
    away: u64,
    acknowledged: &[(u32, u32)],
    received: &Mutex<Received>,
    status: &serde_json::Value,
) -> Findings {
    let received = received.lock().unwrap_or_else(PoisonError::into_inner);
    let missing =
        |post: &(u32, u32)| POSTED - received.get(post).map_or(0, |mask| mask.count_ones());
    let missing: u32 = acknowledged.iter().map(missing).sum();
    let carbon = &status["flux"]["carbon"];
    let figure = |name: &str| carbon[name].as_f64().unwrap_or(f64::NAN);
    let points = acknowledged.len() as f64 * f64::from(POSTED);
    let title = format!("carbon: a receiver killed, away for {away} s, and back");
    let mut table = Table::new(title, &["points"]);
    table.row("acknowledged", &[points]);
    table.row("sent", &[figure("sent")]);
    table.row("sent again", &[figure("resent")]);
    table.row("never received", &[f64::from(missing)]);
    let what = format!("points acknowledged and never received by a carbon killed for {away} s");
    Findings {
        targets: vec![Target::at_most(&what, f64::from(missing), 0.0)],
        tables: vec![table],
        ..Findings::default()
    }
}

fn wait_until_delivered(server: &Server) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = server.status()?;
        if status["flux"]["carbon"]["queue_points"] == 0 {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!(
                "carbon has not got everything: {}",
                status["flux"]["carbon"]
            );
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Posts until it is over; the numbers of the POSTs that were answered 204.
fn post(client: u32, address: SocketAddr, is_over: &AtomicBool) -> Result<Vec<(u32, u32)>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let mut acknowledged = Vec::new();
    for number in 0.. {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let body = body(client, number);
        let length = body.len();
        let head = format!(
            "POST /metric_data_post HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all((head + &body).as_bytes())?;
        match answer(&mut stream)? {
            204 => acknowledged.push((client, number)),
            503 => {}
            code => bail!("a POST was answered {code}"),
        }
        std::thread::sleep(PACE);
    }
    Ok(acknowledged)
}

fn body(client: u32, number: u32) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now_s = now.map_or(0, |now| now.as_secs());
    let metric = |at| {
        format!("{{\"metric\":\"c.{client}.{number}.{at}\",\"value\":1,\"timestamp\":{now_s}}}")
    };
    let metrics: Vec<String> = (0..POSTED).map(metric).collect();
    format!("{{\"key\":\"{KEY}\",\"metrics\":[{}]}}", metrics.join(","))
}

/// Reads one answer to its end: its code.
fn answer(stream: &mut TcpStream) -> Result<u16> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head)?.to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    let length = length.map_or(Ok(0), |length| length.trim().parse())?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    let code = head.split(' ').nth(1).context("no HTTP")?;
    Ok(code.parse()?)
}

/// Python that reads carbon's pickles and prints each frame at once.
struct Receiver {
    process: Process,
    reader: JoinHandle<()>,
}

impl Receiver {
    fn start(cpu: usize, port: u16, received: &Arc<Mutex<Received>>) -> Result<(Self, u16)> {
        let script = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/python/carbon_receiver.py"
        );
        let arguments = [script.to_owned(), port.to_string()];
        let program = Path::new("/usr/bin/python3");
        let mut process = Process::start("the receiver", cpu, program, &arguments, true)?;
        let stdout = process.stdout().context("no output of the receiver")?;
        let mut lines = BufReader::new(stdout).lines();
        let port = lines.next().context("the receiver does not listen")??;
        let received = received.clone();
        let reader = std::thread::spawn(move || {
            // What a kill has cut off was not received.
            for line in lines.map_while(Result::ok) {
                note(&line, &received);
            }
        });
        Ok((Self { process, reader }, port.parse()?))
    }

    /// Kills it, and waits until everything that it has printed is read.
    fn crash(self) -> Result<()> {
        self.process.signal(Signal::KILL)?;
        drop(self.process);
        self.reader.join().ok().context("the reader has panicked")
    }
}

/// Notes the points of one frame.
fn note(line: &str, received: &Mutex<Received>) {
    let points: Vec<(String, i64, f64, String, String)> =
        serde_json::from_str(line).unwrap_or_default();
    let mut received = received.lock().unwrap_or_else(PoisonError::into_inner);
    for (name, ..) in points {
        let numbers: Vec<u32> = name.split('.').flat_map(str::parse).collect();
        if let [client, number, at @ 0..POSTED] = numbers[..] {
            *received.entry((client, number)).or_default() |= 1 << at;
        }
    }
}
