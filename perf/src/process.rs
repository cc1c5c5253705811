//! Child processes: started on one CPU, ended on every way out, and the CPU time
//! and memory of any process as the kernel counts them.

use std::fs;
use std::io;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The two CPUs of a run.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Cores {
    /// Redis alone.
    pub redis: usize,
    /// Everything else: server, senders, proxy and the harness itself.
    pub rest: usize,
}

/// A child process that is killed when this is dropped, and by the kernel when
/// the thread that started it dies.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: &'static str,
}

/// CPU time that a process has used, in ns.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    /// All threads.
    pub all_ns: u64,
    /// Threads whose names begin with the prefix that was asked for.
    pub named_ns: u64,
    /// How often those threads went to sleep: so often they were woken.
    pub named_sleeps: u64,
}

impl Cpu {
    /// What was used since `before`. Threads that ended meanwhile are missing.
    pub fn since(&self, before: &Self) -> Self {
        Self {
            all_ns: self.all_ns.saturating_sub(before.all_ns),
            named_ns: self.named_ns.saturating_sub(before.named_ns),
            named_sleeps: self.named_sleeps.saturating_sub(before.named_sleeps),
        }
    }
}

impl Cores {
    /// The first and the last CPU that this process may use.
    ///
    /// # Errors
    /// When there are fewer than two.
    pub fn choose() -> Result<Self> {
        let set = sched_getaffinity(None).context("the CPUs of this process are not known")?;
        let allowed: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|&c| set.is_set(c)).collect();
        match allowed[..] {
            [rest, .., redis] => Ok(Self { redis, rest }),
            _ => bail!(
                "this needs two CPUs, one for Redis and one for everything else, and may use {}: \
                 widen the affinity (taskset) or the container's CPU set",
                allowed.len()
            ),
        }
    }

    /// Keeps this thread, and all that it starts from now on, on the CPU of
    /// everything else.
    pub fn keep_to_rest(&self) -> io::Result<()> {
        let mut set = CpuSet::new();
        set.set(self.rest);
        Ok(sched_setaffinity(None, &set)?)
    }
}

impl Process {
    /// Starts `program` with `arguments` on `cpu`. Its standard output is piped
    /// when `piped`, else dropped; its errors come out where ours do.
    pub fn start(
        name: &'static str,
        cpu: usize,
        program: &std::path::Path,
        arguments: &[String],
        piped: bool,
    ) -> Result<Self> {
        // setpriv and taskset replace themselves: the process id is the program's.
        let child = Command::new("setpriv")
            .args([
                "--pdeathsig",
                "KILL",
                "taskset",
                "--cpu-list",
                &cpu.to_string(),
            ])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(if piped { Stdio::piped() } else { Stdio::null() })
            .spawn()
            .with_context(|| {
                format!("{name} does not start: setpriv and taskset (util-linux) are needed")
            })?;
        Ok(Self { child, name })
    }

    /// The child's standard output, once.
    pub fn stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Fails when the process has ended.
    pub fn still_runs(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("{} has ended: {status}", self.name),
            None => Ok(()),
        }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_child(&self.child);
        Ok(kill_process(pid, signal)?)
    }

    /// Asks the process to end and waits.
    ///
    /// # Errors
    /// When it takes longer than `patience` (it is then killed) or ends with
    /// anything but success.
    pub fn end(mut self, patience: Duration) -> Result<()> {
        self.signal(Signal::TERM)?;
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("{} ended with {status}", self.name),
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        bail!("{} did not end within {patience:?} of SIGTERM", self.name)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; nothing else can be done about a failure here.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The CPU time of process `id`, and of its threads named `prefix...`.
pub fn cpu(id: u32, prefix: &str) -> Result<Cpu> {
    let mut cpu = Cpu::default();
    let tasks = fs::read_dir(format!("/proc/{id}/task"))
        .with_context(|| format!("process {id} has ended"))?;
    for task in tasks {
        let path = task?.path();
        // A thread may end between the listing and the reading.
        let Ok(times) = fs::read_to_string(path.join("schedstat")) else {
            continue;
        };
        let ns = times
            .split(' ')
            .next()
            .and_then(|n| n.parse().ok())
            .unwrap_or(0);
        cpu.all_ns += ns;
        if fs::read_to_string(path.join("comm")).is_ok_and(|n| n.starts_with(prefix)) {
            cpu.named_ns += ns;
            let status = fs::read_to_string(path.join("status")).unwrap_or_default();
            let sleeps = status
                .lines()
                .find_map(|l| l.strip_prefix("voluntary_ctxt_switches:"));
            cpu.named_sleeps += sleeps
                .and_then(|n| n.trim().parse::<u64>().ok())
                .unwrap_or(0);
        }
    }
    Ok(cpu)
}

/// The CPU time of the calling thread, in ns.
pub fn own_cpu_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The resident memory of process `id` in bytes.
pub fn resident_bytes(id: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status
        .lines()
        .find_map(|l| l.strip_prefix("VmRSS:"))
        .context("no VmRSS line")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_process_is_gone_and_ran_on_its_cpu() {
        let cores = Cores::choose().unwrap();
        let sleep = std::path::Path::new("sleep");
        let process = Process::start("sleep", cores.redis, sleep, &["1000".into()], false).unwrap();
        let id = process.id();
        let allowed = || {
            let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
            let line = status
                .lines()
                .find_map(|l| l.strip_prefix("Cpus_allowed_list:"));
            line.map(|l| l.trim().to_owned())
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        while allowed() != Some(cores.redis.to_string()) {
            assert!(Instant::now() < deadline, "taskset never took effect");
            std::thread::yield_now();
        }
        drop(process);
        assert!(cpu(id, "").is_err());
    }
}
