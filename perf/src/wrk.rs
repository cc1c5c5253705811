//! Clients and servers of others that Flux is held against: Debian's wrk and nginx, and
//! Python's `json`.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process::{Process, cpu};

/// How long nginx may take to listen.
const PATIENCE: Duration = Duration::from_secs(20);

/// What wrk has found.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Requests answered a second.
    pub requests_per_s: f64,
    /// Requests answered.
    pub requests: f64,
    /// Answers that were no success.
    pub bad: u64,
}

/// One run of wrk.
pub struct Load<'a> {
    /// Its CPU.
    pub cpu: usize,
    /// Connections.
    pub connections: u64,
    /// How long.
    pub seconds: u64,
    /// Lua that makes the requests.
    pub script: &'a str,
}

impl Load<'_> {
    /// Starts it against the server at `address`.
    ///
    /// # Errors
    ///
    /// When wrk does not start.
    pub fn start(&self, address: SocketAddr) -> Result<Running> {
        let mut script = tempfile::Builder::new().suffix(".lua").tempfile()?;
        std::io::Write::write_all(&mut script, self.script.as_bytes())?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "taskset", "--cpu-list"])
            .args([&self.cpu.to_string(), "wrk", "--threads", "1"])
            .args(["--connections", &self.connections.to_string()])
            .args(["--duration", &format!("{}s", self.seconds), "--script"])
            .arg(script.path())
            .arg(format!("http://{address}/"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("wrk does not start: apt install wrk")?;
        Ok(Running {
            child,
            _script: script,
        })
    }

    /// Runs it to its end.
    ///
    /// # Errors
    ///
    /// As [`Load::start`], and when it finds an error.
    pub fn run(&self, address: SocketAddr) -> Result<Found> {
        self.start(address)?.finish()
    }
}

/// wrk at work.
pub struct Running {
    child: std::process::Child,
    _script: tempfile::NamedTempFile,
}

impl Running {
    /// Ends it, whatever it has found.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits for its end.
    ///
    /// # Errors
    ///
    /// When it fails, or sockets have.
    pub fn finish(self) -> Result<Found> {
        let output = self.child.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            bail!("wrk failed: {text}");
        }
        let number = |name: &str| {
            let line = text.lines().find_map(|line| line.trim().strip_prefix(name));
            line.and_then(|rest| rest.trim().parse::<f64>().ok())
        };
        if let Some(errors) = text.lines().find(|line| line.contains("Socket errors")) {
            bail!("wrk: {}", errors.trim());
        }
        let requests = text
            .lines()
            .find_map(|line| line.split_once(" requests in "));
        let requests = requests.and_then(|(count, _)| count.trim().parse().ok());
        Ok(Found {
            requests: requests.with_context(|| text.clone())?,
            requests_per_s: number("Requests/sec:").with_context(|| text.clone())?,
            bad: number("Non-2xx or 3xx responses:").unwrap_or(0.0) as u64,
        })
    }
}

/// An nginx that answers everything with an empty 204, with one worker.
pub struct Nginx {
    process: Process,
    _directory: tempfile::TempDir,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Nginx {
    /// Starts it on the CPU `on`.
    ///
    /// # Errors
    ///
    /// When it does not listen.
    pub fn start(on: usize) -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("skyring-perf-nginx-")
            .tempdir()?;
        // nginx cannot take any free port and say which.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let at = directory.path().display();
        let config = format!(
            "daemon off; master_process off; worker_processes 1; pid {at}/pid;\n\
             error_log stderr error;\n\
             events {{ worker_connections 1024; }}\n\
             http {{\n    access_log off; keepalive_requests 1000000000;\n    \
             client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; \
             fastcgi_temp_path {at}/fastcgi; uwsgi_temp_path {at}/uwsgi; \
             scgi_temp_path {at}/scgi;\n    \
             server {{ listen {address}; location / {{ return 204; }} }}\n}}\n"
        );
        let file = directory.path().join("nginx.conf");
        std::fs::write(&file, config)?;
        let arguments = ["-c".to_owned(), file.display().to_string()];
        let program = Path::new("/usr/sbin/nginx");
        let mut process = Process::start("nginx", on, program, &arguments, false)?;
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            process.still_runs()?;
            if Instant::now() > deadline {
                bail!("nginx does not listen on {address}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(Self {
            process,
            _directory: directory,
            address,
        })
    }

    /// Its CPU time so far, in ns.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn cpu_ns(&self) -> Result<u64> {
        Ok(cpu(self.process.id(), "")?.all_ns)
    }
}

/// How often in a second of its CPU time Python's `json.loads` reads the body in `file`,
/// on `cpu`.
///
/// # Errors
///
/// When Python does not start.
pub fn python_loads_per_s(cpu: usize, file: &Path, seconds: f64) -> Result<f64> {
    let script = "import json, sys, time\n\
        body = open(sys.argv[1], 'rb').read()\n\
        end, count, begin = float(sys.argv[2]), 0, time.process_time()\n\
        while time.process_time() - begin < end:\n    \
            json.loads(body); json.loads(body); count += 2\n\
        print(count / (time.process_time() - begin))\n";
    let output = Command::new("taskset")
        .args([
            "--cpu-list",
            &cpu.to_string(),
            "/usr/bin/python3",
            "-c",
            script,
        ])
        .arg(file)
        .arg(seconds.to_string())
        .stdin(Stdio::null())
        .output()
        .context("python3 does not start")?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().context("no figure from Python")
}
