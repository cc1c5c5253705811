//! The server that is measured: the released binary as a process of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process::{self, Cpu, Process};

/// The listener for pickles.
pub const PICKLE: &str = "pickle";
/// The listener for the line protocol over TCP.
pub const LINE_TCP: &str = "line_tcp";
/// The listener for MessagePack datagrams.
pub const MSGPACK: &str = "msgpack";

/// Flux.
pub const FLUX: &str = "flux";
/// Points that come from inside the process, Flux's among them.
pub const DIRECT: &str = "direct";

/// Threads of the data plane are named so.
pub const SHARD_THREADS: &str = "skyring-shard";

/// How long a server may take to be ready, and to drain.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running `skyring serve`.
#[derive(Debug)]
pub struct Server {
    process: Process,
    _state: tempfile::TempDir,
    /// What its ready line says.
    bound: serde_json::Value,
}

/// The server's own account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Points received.
    pub received: u64,
    /// Points whose APPEND Redis has answered.
    pub stored: u64,
    /// Points refused by the skip list.
    pub skipped: u64,
    /// Datagrams that the kernel had no room for.
    pub kernel_drops: u64,
}

impl Server {
    /// Starts `program` on `cpu`, writing to the Redis at `redis`, with `settings`
    /// (`section.key=value`) beyond those that a run needs, and waits for its
    /// ready line.
    pub fn start<'s>(
        program: &Path,
        cpu: usize,
        redis: &Path,
        settings: impl Iterator<Item = &'s String>,
    ) -> Result<Self> {
        let state = tempfile::Builder::new()
            .prefix("skyring-perf-state-")
            .tempdir()?;
        let mut arguments = vec!["serve".to_owned()];
        let needed = self::settings(redis, state.path());
        for setting in needed.into_iter().chain(settings.cloned()) {
            arguments.extend(["--set".to_owned(), setting]);
        }
        let mut process = Process::start("the server", cpu, program, &arguments, true)?;
        let stdout = process.stdout().context("no standard output")?;
        let (lines, ready) = mpsc::channel();
        // Ends with the server's standard output.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                lines.send(line).ok();
            }
        });
        let deadline = Instant::now() + PATIENCE;
        let line = loop {
            match ready.recv_timeout(Duration::from_millis(50)) {
                Ok(line) => break line,
                Err(_) => process.still_runs()?,
            }
            if Instant::now() > deadline {
                bail!("the server was not ready within {PATIENCE:?}");
            }
        };
        let json = line
            .strip_prefix("ready ")
            .with_context(|| format!("not ready: {line}"))?;
        Ok(Self {
            process,
            _state: state,
            bound: serde_json::from_str(json)?,
        })
    }

    /// Where it takes what comes to a listener, by the listener's name.
    pub fn address(&self, listener: &str) -> Result<SocketAddr> {
        let address = self.bound[listener][0].as_str();
        let address = address.with_context(|| format!("the server has no {listener} address"))?;
        Ok(address.parse()?)
    }

    /// CPU time so far: all threads, and those of the data plane.
    pub fn cpu(&self) -> Result<Cpu> {
        process::cpu(self.process.id(), SHARD_THREADS)
    }

    /// Resident memory in bytes.
    pub fn resident_bytes(&self) -> Result<u64> {
        process::resident_bytes(self.process.id())
    }

    /// What the server says of itself, if it has an admin page.
    pub fn status(&self) -> Result<serde_json::Value> {
        Ok(serde_json::from_str(&self.get("api/status")?)?)
    }

    /// What its admin page answers at `path`.
    pub fn get(&self, path: &str) -> Result<String> {
        let admin = self.bound["admin"].as_str();
        let admin: SocketAddr = admin.context("the server has no admin address")?.parse()?;
        let mut stream = TcpStream::connect(admin)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "GET /{path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        if !head.starts_with("HTTP/1.1 200") {
            bail!("/{path}: {}", head.lines().next().unwrap_or_default());
        }
        Ok(body.to_owned())
    }

    /// What a listener has received so far, and what became of it, by the server's
    /// own counters.
    pub fn counted(&self, listener: &str) -> Result<Counted> {
        let status = self.status()?;
        let counts = &status["listeners"][listener];
        let count = |key: &str| {
            counts[key]
                .as_u64()
                .with_context(|| format!("/api/status has no {key} of {listener}"))
        };
        Ok(Counted {
            received: count("received")?,
            stored: count("stored")?,
            skipped: counts["dropped"]["skipped"].as_u64().unwrap_or(0),
            kernel_drops: counts["kernel_drops"].as_u64().unwrap_or(0),
        })
    }

    /// Ends it: drained, with success.
    pub fn end(self) -> Result<()> {
        self.process.end(PATIENCE)
    }
}

/// Settings that every run needs: any free port for pickles and the admin page,
/// no listener besides, and nothing that works on its own, as far as the server has
/// others.
pub fn settings(redis: &Path, state: &Path) -> Vec<String> {
    let mut settings = vec![
        format!("redis.url=unix:{}", redis.display()),
        format!("state_dir={}", state.display()),
        "horizon.pickle=[\"127.0.0.1:0\"]".to_owned(),
        "horizon.msgpack=[]".to_owned(),
        "roomba.enabled=false".to_owned(),
        "flux.listen=[]".to_owned(),
        "admin.listen=127.0.0.1:0".to_owned(),
        "log.level=warn".to_owned(),
    ];
    // The keys beside the data are a scenario of their own, and trimmed series are
    // not what was sent.
    let others = [
        "horizon.side_keys=false",
        "roomba.enabled=false",
        "flux.listen=[]",
    ];
    let others = others.map(str::to_owned);
    let known = |s: &String| skyring::Settings::load(None, std::slice::from_ref(s)).is_ok();
    settings.extend(others.into_iter().filter(known));
    settings
}

/// The server's binary: `given`, or the one beside the harness's own, brought up
/// to date by cargo where cargo runs us.
pub fn program(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    let own = std::env::current_exe()?;
    let beside = own.with_file_name("skyring");
    if let Some(cargo) = std::env::var_os("CARGO") {
        let target = own
            .parent()
            .and_then(Path::parent)
            .context("no target directory")?;
        let mut build = Command::new(cargo);
        build.args([
            "build",
            "--quiet",
            "--package",
            "skyring",
            "--bin",
            "skyring",
        ]);
        build.arg("--target-dir").arg(target);
        build
            .arg("--manifest-path")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"));
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        if !build.status()?.success() {
            bail!("the server does not build; --server FILE names one that is built");
        }
    }
    if !beside.exists() {
        bail!(
            "no server at {}: build it, or name one with --server FILE",
            beside.display()
        );
    }
    Ok(beside)
}
