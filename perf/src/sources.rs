//! Debian's graphite-web and Prometheus, each on one CPU, with points of the past.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::process::Process;

/// How long a source may take to answer for the first time.
const PATIENCE: Duration = Duration::from_secs(60);

/// Writes files of Whisper's: directory, metrics, from and until are its arguments.
const WHISPER: &str = "
import os, sys, whisper
directory, metrics, begin, end = sys.argv[1], *map(int, sys.argv[2:])
for at in range(metrics):
    path = '%s/m%d.wsp' % (directory, at)
    whisper.create(path, [(60, 1440)])
    whisper.update_many(path, [(time, time % 97 + at / 4) for time in range(begin, end, 60)])
";

/// A running source, whose metrics are `m0`, `m1` and so on, with a point each minute.
pub struct Source {
    _process: Process,
    _directory: TempDir,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Source {
    /// A graphite-web.
    ///
    /// # Errors
    ///
    /// When a part of it is not installed, or it does not answer.
    pub fn graphite(cpu: usize, metrics: u64, times: &Range<i64>) -> Result<Self> {
        let directory = TempDir::with_prefix("skyring-perf-graphite-")?;
        let path = directory.path();
        let files = path.join("files");
        std::fs::create_dir(&files)?;
        let numbers = [metrics as i64, times.start, times.end].map(|it| it.to_string());
        let written = Command::new("/usr/bin/python3")
            .args(["-c", WHISPER])
            .arg(&files)
            .args(numbers)
            .status()?;
        if !written.success() {
            bail!("no files for Graphite: .ci/install installs what writes them");
        }
        std::fs::write(path.join("graphite_of_perf.py"), django(path))?;
        let address = free_address()?;
        let arguments = [
            "--bind".to_owned(),
            address.to_string(),
            "--threads=8".to_owned(),
            "--log-level=error".to_owned(),
            format!("--pythonpath={}", path.display()),
            "--env=DJANGO_SETTINGS_MODULE=graphite_of_perf".to_owned(),
            "django.core.wsgi:get_wsgi_application()".to_owned(),
        ];
        let program = Path::new("/usr/bin/gunicorn");
        let process = Process::start("graphite-web", cpu, program, &arguments, false)?;
        Self::when_it_answers(
            process,
            directory,
            address,
            "/render/?format=json&target=m0",
        )
    }

    /// A Prometheus.
    ///
    /// # Errors
    ///
    /// As [`Source::graphite`].
    pub fn prometheus(cpu: usize, metrics: u64, times: &Range<i64>) -> Result<Self> {
        let directory = TempDir::with_prefix("skyring-perf-prometheus-")?;
        let path = directory.path();
        let mut samples = String::new();
        for at in 0..metrics {
            for time in times.clone().step_by(60) {
                let _ = writeln!(samples, "m{at} {} {time}", time % 97);
            }
        }
        std::fs::write(path.join("samples"), samples + "# EOF\n")?;
        std::fs::write(path.join("prometheus.yml"), "global: {}\n")?;
        let made = Command::new("promtool")
            .args(["tsdb", "create-blocks-from", "openmetrics"])
            .args([path.join("samples"), path.join("data")])
            .output()
            .context("promtool: .ci/install installs it")?;
        if !made.status.success() {
            bail!("promtool: {}", String::from_utf8_lossy(&made.stderr));
        }
        let address = free_address()?;
        let arguments = [
            format!("--config.file={}/prometheus.yml", path.display()),
            format!("--storage.tsdb.path={}/data", path.display()),
            format!("--web.listen-address={address}"),
            "--storage.tsdb.retention.time=10y".to_owned(),
            "--log.level=error".to_owned(),
        ];
        let program = Path::new("/usr/bin/prometheus");
        let process = Process::start("prometheus", cpu, program, &arguments, false)?;
        Self::when_it_answers(process, directory, address, "/-/ready")
    }

    fn when_it_answers(
        process: Process,
        directory: TempDir,
        address: SocketAddr,
        path: &str,
    ) -> Result<Self> {
        let begin = Instant::now();
        while !answers(address, path) {
            if begin.elapsed() > PATIENCE {
                bail!("the source at {address} does not answer");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(Self {
            _process: process,
            _directory: directory,
            address,
        })
    }
}

fn answers(address: SocketAddr, path: &str) -> bool {
    let ask = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.get(9..12) == Some(b"200"))
}

/// Neither program can choose a port itself.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn django(path: &Path) -> String {
    let path = path.display();
    format!(
        "from graphite.settings import *

SECRET_KEY = 'of the harness'
ALLOWED_HOSTS = ['*']
TIME_ZONE = 'UTC'
STORAGE_DIR = LOG_DIR = '{path}'
INDEX_FILE = '{path}/index'
WHISPER_DIR = '{path}/files'
DATA_DIRS = STANDARD_DIRS = [WHISPER_DIR]
CARBONLINK_HOSTS = CLUSTER_SERVERS = []
DATABASES = {{'default': {{'ENGINE': 'django.db.backends.sqlite3', 'NAME': ':memory:'}}}}
CACHES = {{'default': {{'BACKEND': 'django.core.cache.backends.dummy.DummyCache'}}}}
LOG_INFO_PERFORMANCE = LOG_ROTATION = False
"
    )
}
