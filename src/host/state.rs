//! The state directory: where it is by default, and the lock that keeps a second
//! server out of it; and the file that names the server's process.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Access, access};

use super::Finding;

/// The state directory of a server that is a service of the host.
pub const STATE_DIR: &str = "/var/lib/skyring";

/// `/var/lib/skyring` where that can be written or made, else `skyring` under the
/// user's state directory.
pub fn default_state_dir() -> PathBuf {
    let system = PathBuf::from(STATE_DIR);
    if is_writable(&system) {
        return system;
    }
    let state = std::env::var_os("XDG_STATE_HOME");
    user_state_dir(state, std::env::var_os("HOME")).unwrap_or(system)
}

fn user_state_dir(state: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let absolute = |path: OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    let state = state.and_then(absolute);
    let state = state.or_else(|| Some(home.and_then(absolute)?.join(".local/state")));
    Some(state?.join("skyring"))
}

/// Whether the directory can be written or, if it is not there, made.
fn is_writable(dir: &Path) -> bool {
    let there = dir
        .ancestors()
        .find(|ancestor| ancestor.symlink_metadata().is_ok());
    there.is_some_and(|there| {
        there.is_dir() && access(there, Access::WRITE_OK | Access::EXEC_OK).is_ok()
    })
}

/// Why a state directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Another server has it.
    #[error("state directory {dir} is in use by process {holder}; set state_dir to another", dir = .dir.display(), holder = .pid.map_or("unknown".to_owned(), |pid| pid.to_string()))]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// The process, if it could be read.
        pid: Option<u32>,
    },
    /// It cannot be made or written.
    #[error("state directory {dir} cannot be used: {error}; make it writable, or set state_dir", dir = .dir.display())]
    Unusable {
        /// The directory.
        dir: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Longest wait for the rest of a server that was killed.
const ENDING_TIMEOUT: Duration = Duration::from_secs(5);
/// How often it is looked for.
const ENDING_POLL: Duration = Duration::from_millis(10);

/// Holds the state directory until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct StateLock {
    file: File,
}

impl StateLock {
    /// Makes the directory if need be and locks it for this process.
    ///
    /// # Errors
    ///
    /// [`StateError::InUse`] if another server, or another one of this process, has it.
    pub fn acquire(dir: &Path) -> Result<Self, StateError> {
        let unusable = |error| StateError::Unusable {
            dir: dir.to_owned(),
            error,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(dir)
            .map_err(unusable)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o640)
            .open(lock_path(dir))
            .map_err(unusable)?;
        let deadline = Instant::now() + ENDING_TIMEOUT;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(unusable(error)),
            }
            file.rewind().map_err(unusable)?;
            let pid = read_pid(&mut file);
            if !pid.is_some_and(is_ending) || Instant::now() > deadline {
                let dir = dir.to_owned();
                return Err(StateError::InUse { dir, pid });
            }
            std::thread::sleep(ENDING_POLL);
        }
        file.rewind().map_err(unusable)?;
        file.set_len(0).map_err(unusable)?;
        writeln!(file, "{}", std::process::id()).map_err(unusable)?;
        Ok(Self { file })
    }
}

impl Drop for StateLock {
    fn drop(&mut self) {
        // Closing alone would leave the lock with a process that is just being started
        // and has not yet closed its copy of the file.
        let _ = self.file.unlock();
    }
}

/// The file of `pid_file`; removed when dropped.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
}

impl PidFile {
    /// Writes the number of this process and a line end to `path`.
    ///
    /// # Errors
    ///
    /// Those of writing a file.
    pub fn create(path: &Path) -> io::Result<Self> {
        std::fs::write(path, format!("{}\n", std::process::id()))?;
        Ok(Self {
            path: path.to_owned(),
        })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Another server may have taken the file over.
        let mine = File::open(&self.path)
            .ok()
            .and_then(|mut file| read_pid(&mut file));
        if mine == Some(std::process::id()) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Probes the directory without making or keeping anything. Returns the process that
/// holds it, if one does.
pub(super) fn check(dir: &Path) -> (Finding, Option<u32>) {
    let shown = dir.display();
    if !is_writable(dir) {
        let message = format!("{shown} cannot be written");
        let mend = format!(
            "chown it to the user of the server (install -d -o USER {shown}), or set state_dir"
        );
        return (Finding::fault("state_dir", message, mend), None);
    }
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(lock_path(dir));
    let held = file.map(|mut file| match file.try_lock() {
        Err(TryLockError::WouldBlock) => Some(read_pid(&mut file)),
        _ => {
            let _ = file.unlock();
            None
        }
    });
    match held {
        Ok(Some(pid)) => {
            let pid_text = pid.map_or("unknown".to_owned(), |pid| pid.to_string());
            let message = format!("{shown} is in use by process {pid_text}");
            let mend = "to start a second server, set state_dir to another directory";
            (Finding::warn("state_dir", message, mend), pid)
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let message = format!("{}: {error}", lock_path(dir).display());
            let mend = format!(
                "chown -R it to the user of the server, or set state_dir; it is under {shown}"
            );
            (Finding::fault("state_dir", message, mend), None)
        }
        _ => (
            Finding::ok("state_dir", format!("{shown} can be written")),
            None,
        ),
    }
}

fn lock_path(dir: &Path) -> PathBuf {
    dir.join("lock")
}

/// Whether a process has ended but for threads that the kernel still winds up; until
/// then they keep what it had locked.
fn is_ending(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return true;
    };
    // The name before it may hold anything.
    let state = stat
        .rsplit(") ")
        .next()
        .and_then(|rest| rest.chars().next());
    matches!(state, Some('Z' | 'X'))
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    // The kernel may take a while to wind up the threads of a server that was killed:
    // one that is started at once must not be refused for that.
    #[test]
    fn the_end_of_a_process_is_seen_before_all_of_it_is_gone() {
        assert!(!is_ending(std::process::id()));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let is_zombie = || {
            let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()));
            status.is_ok_and(|status| status.contains("State:\tZ"))
        };
        while !is_zombie() {
            std::thread::yield_now();
        }
        assert!(is_ending(child.id()));
        child.wait().unwrap();
        assert!(is_ending(child.id()));
    }

    // Two servers in one directory would each run a Redis over the same files.
    #[test]
    fn a_second_holder_is_told_who_the_first_one_is() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("deep/state");
        let lock = StateLock::acquire(&dir).unwrap();
        let error = StateLock::acquire(&dir).unwrap_err();
        let pid = std::process::id();
        assert_eq!(
            error.to_string(),
            format!(
                "state directory {} is in use by process {pid}; set state_dir to another",
                dir.display()
            )
        );
        let (finding, holder) = check(&dir);
        assert_eq!((finding.verdict, holder), (Verdict::Warn, Some(pid)));
        drop(lock);
        assert_eq!(check(&dir).0.verdict, Verdict::Ok);
        StateLock::acquire(&dir).unwrap();
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_a_fault() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let below = file.join("state");
        let error = StateLock::acquire(&below).unwrap_err();
        assert!(matches!(error, StateError::Unusable { .. }), "{error}");
        assert_eq!(check(&below).0.verdict, Verdict::Fault);
    }

    #[test]
    fn the_check_makes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        assert_eq!(check(&state).0.verdict, Verdict::Ok);
        assert!(!state.exists());
    }

    #[test]
    fn the_users_state_directory_follows_the_environment() {
        let text = |text: &str| Some(OsString::from(text));
        assert_eq!(
            user_state_dir(text("/s"), text("/h")),
            Some(PathBuf::from("/s/skyring"))
        );
        let home = Some(PathBuf::from("/h/.local/state/skyring"));
        assert_eq!(user_state_dir(text("relative"), text("/h")), home);
        assert_eq!(user_state_dir(None, text("/h")), home);
        assert_eq!(user_state_dir(None, None), None);
    }

    #[test]
    fn a_pid_file_goes_with_its_server_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        let file = PidFile::create(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("{}\n", std::process::id()));
        drop(file);
        assert!(!path.exists());
        let file = PidFile::create(&path).unwrap();
        std::fs::write(&path, "1\n").unwrap();
        drop(file);
        assert!(path.exists());
    }
}
