//! A real redis-server of the harness's own: on a unix socket in a temporary
//! directory, on a CPU of its own, ended with the harness.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use redis::ConnectionLike;

use crate::process::{self, Process};

/// What Redis keeps on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Persistence {
    /// Nothing.
    None,
    /// An append-only file, synced once a second.
    Aof,
    /// An append-only file, synced before each answer.
    AofAlways,
}

/// A running redis-server.
#[derive(Debug)]
pub struct Redis {
    process: Process,
    dir: tempfile::TempDir,
    /// Its version.
    pub version: String,
}

/// What a Redis has done.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// CPU time, in ns.
    pub cpu_ns: u64,
    /// Bytes that came and went over its connections.
    pub bytes: u64,
    /// Calls by command, those within scripts too.
    pub calls: BTreeMap<String, u64>,
}

impl Usage {
    /// What was done since `before`.
    pub fn since(&self, before: &Self) -> Self {
        let calls = self.calls.iter().map(|(name, calls)| {
            let before = before.calls.get(name).copied().unwrap_or(0);
            (name.clone(), calls - before)
        });
        Self {
            cpu_ns: self.cpu_ns - before.cpu_ns,
            bytes: self.bytes - before.bytes,
            calls: calls.filter(|(_, calls)| *calls > 0).collect(),
        }
    }

    /// Calls of all commands.
    pub fn commands(&self) -> u64 {
        self.calls.values().sum()
    }

    /// Adds what was done in another time.
    pub fn add(&mut self, other: &Self) {
        self.cpu_ns += other.cpu_ns;
        self.bytes += other.bytes;
        for (name, calls) in &other.calls {
            *self.calls.entry(name.clone()).or_default() += calls;
        }
    }
}

impl Redis {
    /// Starts one on `cpu` and waits until it answers.
    pub fn start(cpu: usize, persistence: Persistence) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("skyring-perf-redis-")
            .tempdir()?;
        let socket = dir.path().join("redis.sock");
        let append = if persistence == Persistence::None {
            "no"
        } else {
            "yes"
        };
        let sync = if persistence == Persistence::AofAlways {
            "always"
        } else {
            "everysec"
        };
        let dir_text = dir.path().to_string_lossy().into_owned();
        let socket_text = socket.to_string_lossy().into_owned();
        let arguments = [
            ["--port", "0"],
            ["--unixsocket", &socket_text],
            ["--dir", &dir_text],
            ["--save", ""],
            ["--appendonly", append],
            ["--appendfsync", sync],
            ["--daemonize", "no"],
            ["--loglevel", "warning"],
        ]
        .concat()
        .into_iter()
        .map(str::to_owned)
        .collect::<Vec<_>>();
        let program = Path::new("redis-server");
        let mut process = Process::start("redis-server", cpu, program, &arguments, false)?;
        let deadline = Instant::now() + Duration::from_secs(20);
        let version = loop {
            process.still_runs().context("is redis-server installed?")?;
            if let Ok(version) = open(&socket).and_then(|mut c| version(&mut c)) {
                break version;
            }
            if Instant::now() > deadline {
                bail!("redis-server does not answer on {}", socket.display());
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        Ok(Self {
            process,
            dir,
            version,
        })
    }

    /// The unix socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("redis.sock")
    }

    /// A new connection.
    pub fn connect(&self) -> Result<redis::Connection> {
        open(&self.socket())
    }

    /// Removes every key, and waits until that is done.
    pub fn flush(&self) -> Result<()> {
        Ok(redis::cmd("FLUSHALL")
            .arg("SYNC")
            .exec(&mut self.connect()?)?)
    }

    /// CPU time used so far, in ns.
    pub fn cpu_ns(&self) -> Result<u64> {
        Ok(process::cpu(self.process.id(), "")?.all_ns)
    }

    /// What it has done so far, asked over a connection of the caller's.
    pub fn usage(&self, connection: &mut redis::Connection) -> Result<Usage> {
        let mut info = |section: &str| -> Result<String> {
            Ok(redis::cmd("INFO").arg(section).query(connection)?)
        };
        let (stats, commands) = (info("stats")?, info("commandstats")?);
        let number = |name: &str| -> Result<u64> {
            let line = stats.lines().find_map(|line| line.strip_prefix(name));
            Ok(line
                .with_context(|| format!("Redis tells no {name}"))?
                .parse()?)
        };
        let calls = commands.lines().filter_map(|line| {
            let (name, figures) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            let (calls, _) = figures.split_once(',')?;
            Some((name.to_owned(), calls.parse().ok()?))
        });
        Ok(Usage {
            cpu_ns: self.cpu_ns()?,
            bytes: number("total_net_input_bytes:")? + number("total_net_output_bytes:")?,
            // What it takes to ask is none of what is asked about.
            calls: calls.filter(|(name, _)| name != "info").collect(),
        })
    }

    /// Memory in use, in bytes.
    pub fn used_bytes(&self) -> Result<u64> {
        let info: String = redis::cmd("INFO")
            .arg("memory")
            .query(&mut self.connect()?)?;
        let line = info
            .lines()
            .find_map(|line| line.strip_prefix("used_memory:"));
        Ok(line.context("Redis tells no used_memory")?.parse()?)
    }

    /// The process.
    #[cfg(test)]
    pub fn process(&self) -> &Process {
        &self.process
    }
}

fn open(socket: &Path) -> Result<redis::Connection> {
    let url = format!("unix://{}", socket.display());
    Ok(redis::Client::open(url)?.get_connection()?)
}

fn version(connection: &mut redis::Connection) -> Result<String> {
    if !connection.check_connection() {
        bail!("Redis does not answer");
    }
    let info: String = redis::cmd("INFO").arg("server").query(connection)?;
    let line = info.lines().find_map(|l| l.strip_prefix("redis_version:"));
    Ok(line.unwrap_or("unknown").to_owned())
}
