//! A redis-server of our own, for a first run with nothing prepared: on a unix socket,
//! with an append-only file under the state directory, started again when it dies.
//!
//! ```text
//! state_dir/redis.sock   its socket            state_dir/appendonlydir/   its data
//! state_dir/redis.pid    its process           state_dir/redis.log        its log
//! ```
//!
//! It has a process group of its own, so that Ctrl-C reaches this server first, which
//! ends it only after the drain. After a kill -9 of this server it lives on; the next
//! start ends it, which flushes its file, and starts one anew over the same data.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tracing::{error, info, warn};

use crate::settings::{RedisUrl, SOCKET_PATH_BYTES_MAX};

const PROGRAM: &str = "redis-server";

/// How long an orphan may take to flush its file and end before it is killed.
const ORPHAN_END_TIMEOUT: Duration = Duration::from_secs(30);

/// How long ending may take when nobody has said.
const DROP_TIMEOUT: Duration = Duration::from_secs(10);

/// Waits before it is started again: the first, doubled up to the last.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// It counts as well again after it has run for this long.
const WELL_AFTER: Duration = Duration::from_secs(30);

/// Why no private Redis could be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrivateRedisError {
    /// A unix socket's path has at most 107 bytes.
    #[error("the socket path {path} is {length} bytes long, and the kernel takes at most 107; set state_dir to a shorter path", path = .0.display(), length = .0.as_os_str().len())]
    SocketPath(PathBuf),
    /// The state directory cannot be made.
    #[error("state directory {dir} cannot be used: {error}; make it writable, or set state_dir", dir = .dir.display())]
    StateDir {
        /// The directory.
        dir: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The program cannot be run.
    #[error("cannot run redis-server: {0}; apt install redis-server, or set redis.url")]
    Program(io::Error),
    /// One that an earlier run has left does not end.
    #[error(
        "redis-server, process {0}, which an earlier run has left, does not end; end it by hand"
    )]
    Orphan(i32),
    /// One whose process cannot be seen answers on the socket and does not end.
    #[error("a redis-server answers on {path} and does not shut down; end it by hand, or set state_dir", path = .0.display())]
    Foreign(PathBuf),
    /// The system gives no thread or file descriptor.
    #[error("cannot watch over redis-server: {0}")]
    Watch(io::Error),
}

/// The socket of the private Redis of a state directory, as an absolute path.
pub fn socket_path(state_dir: &Path) -> PathBuf {
    absolute(state_dir).join("redis.sock")
}

/// A redis-server that runs until this is stopped or dropped.
#[derive(Debug)]
pub struct PrivateRedis {
    watch: Arc<Watch>,
    watcher: Option<JoinHandle<()>>,
    socket: PathBuf,
}

impl PrivateRedis {
    /// Ends what an earlier run has left, which may take until it has flushed its
    /// file, and starts a redis-server over its data. Returns as soon as the process is there: it is for the caller to connect, and
    /// to try until it answers. The caller holds the [`crate::host::StateLock`] of the
    /// directory.
    ///
    /// The process inherits this thread's CPU affinity and blocked signals, so call
    /// this from a thread that is neither pinned nor blocks SIGTERM.
    ///
    /// # Errors
    ///
    /// Each names its mend. One that dies later, such as over a broken file, is
    /// logged and started again.
    pub fn start(state_dir: &Path) -> Result<Self, PrivateRedisError> {
        let dir = absolute(state_dir);
        let socket = socket_path(&dir);
        if socket.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
            return Err(PrivateRedisError::SocketPath(socket));
        }
        let made = DirBuilder::new().recursive(true).mode(0o750).create(&dir);
        // The kernel shows a process's directory without symbolic links.
        let dir = made
            .and_then(|()| dir.canonicalize())
            .map_err(|error| PrivateRedisError::StateDir { dir, error })?;
        end_orphans(&dir, &socket)?;
        let mut child = spawn(&dir, &socket).map_err(PrivateRedisError::Program)?;
        let watch = Arc::new(Watch::default());
        if let Err(error) = watch.adopt(&child) {
            kill(&mut child);
            return Err(PrivateRedisError::Watch(error));
        }
        let watching = Arc::clone(&watch);
        let (watcher_dir, watcher_socket) = (dir, socket.clone());
        let watcher = std::thread::Builder::new()
            .name("private-redis".to_owned())
            .spawn(move || watching.run(child, &watcher_dir, &watcher_socket))
            .map_err(PrivateRedisError::Watch)?;
        Ok(Self {
            watch,
            watcher: Some(watcher),
            socket,
        })
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The process that runs at this moment, if one does.
    pub fn pid(&self) -> Option<u32> {
        self.watch.lock().pid
    }

    /// Ends it and waits until it is gone. It flushes its append-only file first; if
    /// that takes longer than `timeout` it is killed, which loses nothing that it has
    /// answered unless the host goes down as well. Returns whether it ended by itself.
    pub fn stop(mut self, timeout: Duration) -> bool {
        self.end(timeout)
    }

    fn end(&mut self, timeout: Duration) -> bool {
        let Some(watcher) = self.watcher.take() else {
            return true;
        };
        let gently = self.watch.end(timeout);
        if watcher.join().is_err() {
            error!("the watcher of the private redis-server has panicked");
        }
        gently
    }
}

impl Drop for PrivateRedis {
    fn drop(&mut self) {
        self.end(DROP_TIMEOUT);
    }
}

/// What the watcher and the owner share.
#[derive(Debug, Default)]
struct Watch {
    state: Mutex<WatchState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct WatchState {
    /// Descriptor of the process, by which a signal can never reach another process
    /// that got the same number.
    process: Option<OwnedFd>,
    pid: Option<u32>,
    stopping: bool,
    /// The watcher has returned, and there is no process any more.
    over: bool,
}

impl Watch {
    fn lock(&self) -> MutexGuard<'_, WatchState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the process that was started.
    fn adopt(&self, child: &Child) -> io::Result<()> {
        let process = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
        let mut state = self.lock();
        state.process = Some(process);
        state.pid = Some(child.id());
        // Stopping may have begun between the process's start and now.
        if state.stopping {
            state.signal(Signal::TERM);
        }
        Ok(())
    }

    /// Waits for the process to end, and starts it again unless it was stopped.
    fn run(&self, mut child: Child, dir: &Path, socket: &Path) {
        let mut backoff = BACKOFF_MIN;
        let mut started = Instant::now();
        loop {
            let status = child.wait();
            let mut state = self.lock();
            state.process = None;
            state.pid = None;
            if state.stopping {
                break;
            }
            drop(state);
            if started.elapsed() >= WELL_AFTER {
                backoff = BACKOFF_MIN;
            }
            tell_end(status, dir, backoff);
            let Some(next) = self.start_again(dir, socket, &mut backoff) else {
                break;
            };
            (child, started) = (next, Instant::now());
        }
        self.lock().over = true;
        self.changed.notify_all();
    }

    /// Waits, then starts the process, until that succeeds; nothing once stopped.
    fn start_again(&self, dir: &Path, socket: &Path, backoff: &mut Duration) -> Option<Child> {
        loop {
            if self.wait_until(|state| state.stopping, *backoff) {
                return None;
            }
            *backoff = (*backoff * 2).min(BACKOFF_MAX);
            match spawn(dir, socket) {
                Ok(mut child) => match self.adopt(&child) {
                    Ok(()) => return Some(child),
                    Err(error) => {
                        warn!(%error, "cannot watch over the private redis-server");
                        kill(&mut child);
                    }
                },
                Err(error) => warn!(%error, "cannot start the private redis-server"),
            }
        }
    }

    /// Asks the process to end, and kills it after `timeout`. Returns whether it ended
    /// without being killed.
    fn end(&self, timeout: Duration) -> bool {
        let mut state = self.lock();
        state.stopping = true;
        state.signal(Signal::TERM);
        // A process that was stopped acts on nothing until it is continued.
        state.signal(Signal::CONT);
        drop(state);
        self.changed.notify_all();
        if self.wait_until(|state| state.over, timeout) {
            return true;
        }
        warn!(
            ?timeout,
            "the private redis-server does not end, so it is killed"
        );
        // It may just be started; then the watcher sees its end the same way.
        while !self.wait_until(|state| state.over, BACKOFF_MIN) {
            self.lock().signal(Signal::KILL);
        }
        false
    }

    fn wait_until(&self, done: impl Fn(&WatchState) -> bool, timeout: Duration) -> bool {
        let waiting = |state: &mut WatchState| !done(state);
        let result = self
            .changed
            .wait_timeout_while(self.lock(), timeout, waiting);
        done(&result.unwrap_or_else(PoisonError::into_inner).0)
    }
}

impl WatchState {
    fn signal(&self, signal: Signal) {
        if let Some(process) = &self.process {
            // It fails only if the process has just ended, which is what was wanted.
            let _ = pidfd_send_signal(process, signal);
        }
    }
}

fn spawn(dir: &Path, socket: &Path) -> io::Result<Child> {
    // Standard output belongs to the ready line, and an orphan must not keep our
    // standard error open: both go where its log goes.
    let log_path = dir.join("redis.log");
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&log_path)?;
    let child = Command::new(PROGRAM)
        .args(["--port", "0", "--unixsocketperm", "700", "--unixsocket"])
        .arg(socket)
        .args([
            "--appendonly",
            "yes",
            "--appendfsync",
            "everysec",
            "--save",
            "",
        ])
        .args(["--daemonize", "no", "--supervised", "no", "--dir"])
        .arg(dir)
        .arg("--pidfile")
        .arg(dir.join("redis.pid"))
        .arg("--logfile")
        .arg(&log_path)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()?;
    info!(pid = child.id(), socket = %socket.display(), "a private redis-server was started");
    Ok(child)
}

fn kill(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

fn tell_end(status: io::Result<ExitStatus>, dir: &Path, backoff: Duration) {
    let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
    let last_line = last_line(&dir.join("redis.log")).unwrap_or_default();
    warn!(%status, last_line, again_in = ?backoff, "the private redis-server has ended");
}

/// The last line of a log, looked for in its last 4 KiB.
fn last_line(path: &Path) -> io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let start = file.metadata()?.len().saturating_sub(4096);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(4096).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text
        .trim_end()
        .rsplit('\n')
        .next()
        .unwrap_or_default()
        .to_owned())
}

/// Ends every redis-server that runs over `dir`, and one that answers on the socket
/// from where its process cannot be seen, such as another container.
fn end_orphans(dir: &Path, socket: &Path) -> Result<(), PrivateRedisError> {
    for pid in servers_over(dir) {
        warn!(
            pid = pid.as_raw_pid(),
            "ending the redis-server that an earlier run has left"
        );
        end_orphan(pid, dir)?;
    }
    if UnixStream::connect(socket).is_ok() {
        warn!(socket = %socket.display(), "shutting down the redis-server that answers on our socket");
        let url = RedisUrl::unix(socket.to_owned());
        if let Ok(mut connection) = crate::host::connect_redis(&url) {
            // It closes the connection instead of answering.
            let _ = redis::cmd("SHUTDOWN").query::<()>(&mut connection);
        }
        if !poll(ORPHAN_END_TIMEOUT, || UnixStream::connect(socket).is_err()) {
            return Err(PrivateRedisError::Foreign(socket.to_owned()));
        }
    }
    Ok(())
}

fn end_orphan(pid: Pid, dir: &Path) -> Result<(), PrivateRedisError> {
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else {
        return Ok(());
    };
    // The number may have passed on to another process before the descriptor was open.
    if !runs_over(pid, dir) {
        return Ok(());
    }
    let _ = pidfd_send_signal(&process, Signal::TERM);
    let _ = pidfd_send_signal(&process, Signal::CONT);
    let gone = || !runs_over(pid, dir);
    if poll(ORPHAN_END_TIMEOUT, gone) {
        return Ok(());
    }
    let _ = pidfd_send_signal(&process, Signal::KILL);
    if poll(DROP_TIMEOUT, gone) {
        Ok(())
    } else {
        Err(PrivateRedisError::Orphan(pid.as_raw_pid()))
    }
}

/// Processes of redis-server whose directory is `dir`. Its files may be gone, or name
/// a process that is not it any more; its directory cannot.
fn servers_over(dir: &Path) -> Vec<Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            entry
                .file_name()
                .to_str()?
                .parse()
                .ok()
                .and_then(Pid::from_raw)
        })
        .filter(|pid| runs_over(*pid, dir))
        .collect()
}

fn runs_over(pid: Pid, dir: &Path) -> bool {
    let proc = PathBuf::from(format!("/proc/{}", pid.as_raw_pid()));
    let is_redis =
        std::fs::read_to_string(proc.join("comm")).is_ok_and(|name| name.trim_end() == PROGRAM);
    is_redis && std::fs::read_link(proc.join("cwd")).is_ok_and(|cwd| cwd == dir)
}

fn poll(timeout: Duration, done: impl Fn() -> bool) -> bool {
    let end = Instant::now() + timeout;
    while !done() {
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    true
}

fn absolute(dir: &Path) -> PathBuf {
    std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A redis-server for a test, on a unix socket in a directory of its own.
    pub(crate) struct TestRedis {
        child: Child,
        dir: tempfile::TempDir,
    }

    impl TestRedis {
        pub(crate) fn start(options: &[&str]) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let child = Command::new(PROGRAM)
                .args(["--port", "0", "--save", "", "--unixsocket"])
                .arg(dir.path().join("test.sock"))
                .arg("--dir")
                .arg(dir.path())
                .args(options)
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            let redis = Self { child, dir };
            let socket = redis.dir.path().join("test.sock");
            assert!(poll(Duration::from_secs(20), || UnixStream::connect(
                &socket
            )
            .is_ok()));
            redis
        }

        pub(crate) fn url(&self) -> RedisUrl {
            RedisUrl::unix(self.dir.path().join("test.sock"))
        }

        pub(crate) fn connect(&self) -> redis::Connection {
            crate::host::connect_redis(&self.url()).unwrap()
        }
    }

    impl Drop for TestRedis {
        fn drop(&mut self) {
            kill(&mut self.child);
        }
    }

    /// Runs one command, waiting until the server answers.
    fn ask<T: redis::FromRedisValue>(socket: &Path, words: &[&str]) -> T {
        let end = Instant::now() + Duration::from_secs(20);
        let url = RedisUrl::unix(socket.to_owned());
        loop {
            let answer = crate::host::connect_redis(&url).and_then(|mut connection| {
                redis::cmd(words[0]).arg(&words[1..]).query(&mut connection)
            });
            match answer {
                Ok(answer) => return answer,
                Err(error) => assert!(Instant::now() < end, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn send(pid: u32, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    #[test]
    fn it_starts_answers_and_stops_leaving_no_process() {
        let dir = tempfile::tempdir().unwrap();
        let redis = PrivateRedis::start(dir.path()).unwrap();
        let pong: String = ask(redis.socket(), &["PING"]);
        assert_eq!(pong, "PONG");
        for (name, value) in [
            ("appendonly", "yes"),
            ("appendfsync", "everysec"),
            ("save", ""),
        ] {
            let found: Vec<String> = ask(redis.socket(), &["CONFIG", "GET", name]);
            assert_eq!(found, [name, value]);
        }
        let pid = redis.pid().unwrap();
        let group = rustix::process::getpgid(Pid::from_raw(pid as i32)).unwrap();
        assert_eq!(group.as_raw_pid() as u32, pid, "Ctrl-C must not reach it");
        assert!(redis.stop(Duration::from_secs(20)));
        assert!(servers_over(&dir.path().canonicalize().unwrap()).is_empty());
    }

    #[test]
    fn killed_it_is_started_again_with_its_data() {
        let dir = tempfile::tempdir().unwrap();
        let redis = PrivateRedis::start(dir.path()).unwrap();
        let () = ask(redis.socket(), &["SET", "key", "value"]);
        let first = redis.pid().unwrap();
        send(first, Signal::KILL);
        assert!(poll(Duration::from_secs(20), || redis
            .pid()
            .is_some_and(|pid| pid != first)));
        let value: String = ask(redis.socket(), &["GET", "key"]);
        assert_eq!(value, "value");
    }

    // After a kill -9 of the server its Redis lives on; forgetting it does the same.
    #[test]
    fn an_orphan_is_ended_and_its_data_kept() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap();
        let mut orphan = spawn(&real, &socket_path(&real)).unwrap();
        let () = ask(&socket_path(&real), &["SET", "key", "value"]);
        // Even stopped, and without the file that names it.
        std::fs::remove_file(real.join("redis.pid")).unwrap();
        send(orphan.id(), Signal::STOP);
        let redis = PrivateRedis::start(dir.path()).unwrap();
        orphan.wait().unwrap();
        assert_ne!(redis.pid(), Some(orphan.id()));
        let value: String = ask(redis.socket(), &["GET", "key"]);
        assert_eq!(value, "value");
        assert_eq!(servers_over(&real).len(), 1);
    }

    #[test]
    fn a_foreign_redis_on_our_socket_is_shut_down() {
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let socket = socket_path(dir.path());
        let mut foreign = spawn(&elsewhere.path().canonicalize().unwrap(), &socket).unwrap();
        let _: String = ask(&socket, &["PING"]);
        let redis = PrivateRedis::start(dir.path()).unwrap();
        assert!(foreign.wait().unwrap().success());
        let _: String = ask(redis.socket(), &["PING"]);
    }

    #[test]
    fn dropping_it_ends_it_even_when_it_is_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let redis = PrivateRedis::start(dir.path()).unwrap();
        let _: String = ask(redis.socket(), &["PING"]);
        send(redis.pid().unwrap(), Signal::STOP);
        drop(redis);
        assert!(servers_over(&dir.path().canonicalize().unwrap()).is_empty());
    }

    // A file that Redis refuses to load must not keep the server from ending.
    #[test]
    fn one_that_keeps_dying_can_be_stopped() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("appendonlydir")).unwrap();
        std::fs::write(
            dir.path().join("appendonlydir/appendonly.aof.manifest"),
            "nonsense\n",
        )
        .unwrap();
        let redis = PrivateRedis::start(dir.path()).unwrap();
        let log = dir.path().join("redis.log");
        let told = || last_line(&log).is_ok_and(|line| !line.is_empty()) && redis.pid().is_none();
        assert!(poll(Duration::from_secs(20), told));
        redis.stop(Duration::from_secs(20));
        assert!(servers_over(&dir.path().canonicalize().unwrap()).is_empty());
    }

    #[test]
    fn a_socket_path_that_is_too_long_is_refused_with_its_length() {
        let dir = PathBuf::from(format!("/tmp/{}", "x".repeat(100)));
        let error = PrivateRedis::start(&dir).unwrap_err().to_string();
        assert!(
            error.contains("is 116 bytes long") && error.contains("set state_dir"),
            "{error}"
        );
        assert!(!dir.exists());
    }
}
