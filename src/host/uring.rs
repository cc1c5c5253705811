//! io_uring, on which the shards run: whether it may be used, and has what is needed.

use std::io;

use io_uring::{IoUring, Probe, opcode};

use super::Finding;

/// The operations without which glommio 0.9.0 ends the process. All are in Linux 5.8.
const OPERATIONS: &[(&str, u8)] = &[
    ("NOP", opcode::Nop::CODE),
    ("READV", opcode::Readv::CODE),
    ("WRITEV", opcode::Writev::CODE),
    ("FSYNC", opcode::Fsync::CODE),
    ("READ_FIXED", opcode::ReadFixed::CODE),
    ("WRITE_FIXED", opcode::WriteFixed::CODE),
    ("POLL_ADD", opcode::PollAdd::CODE),
    ("POLL_REMOVE", opcode::PollRemove::CODE),
    ("SENDMSG", opcode::SendMsg::CODE),
    ("RECVMSG", opcode::RecvMsg::CODE),
    ("TIMEOUT", opcode::Timeout::CODE),
    ("TIMEOUT_REMOVE", opcode::TimeoutRemove::CODE),
    ("ACCEPT", opcode::Accept::CODE),
    ("LINK_TIMEOUT", opcode::LinkTimeout::CODE),
    ("CONNECT", opcode::Connect::CODE),
    ("FALLOCATE", opcode::Fallocate::CODE),
    ("OPENAT", opcode::OpenAt::CODE),
    ("CLOSE", opcode::Close::CODE),
    ("STATX", opcode::Statx::CODE),
    ("READ", opcode::Read::CODE),
    ("WRITE", opcode::Write::CODE),
    ("SEND", opcode::Send::CODE),
    ("RECV", opcode::Recv::CODE),
];

const KERNEL: &str = "run Linux 5.8 or newer, built with CONFIG_IO_URING";

/// Sets up a small ring and asks it for the operations.
pub(super) fn check() -> Finding {
    // What the kernel still does for a ring that was closed interrupts the next
    // waits of its thread: so the ring gets a thread of its own.
    let probed = std::thread::spawn(probe).join();
    match probed.unwrap_or_else(|_| Err(io::Error::other("the probe ended early"))) {
        Ok(missing) if missing.is_empty() => Finding::ok("io_uring", "usable"),
        Ok(missing) => {
            let message = format!("the kernel lacks the operations {}", missing.join(", "));
            Finding::fault("io_uring", message, KERNEL)
        }
        Err(error) => explain(&error, switch().as_deref(), filtered()),
    }
}

fn probe() -> io::Result<Vec<&'static str>> {
    let ring = IoUring::new(8)?;
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe)?;
    let lacks = |(_, code): &&(&str, u8)| !probe.is_supported(*code);
    Ok(OPERATIONS
        .iter()
        .filter(lacks)
        .map(|(name, _)| *name)
        .collect())
}

/// Why `io_uring_setup` failed. `switch` is the value of kernel.io_uring_disabled, and
/// `filtered` whether a filter of system calls is in force.
fn explain(error: &io::Error, switch: Option<&str>, filtered: bool) -> Finding {
    let fault = |message: &str, mend: &str| Finding::fault("io_uring", message, mend);
    let errno = error
        .raw_os_error()
        .map(rustix::io::Errno::from_raw_os_error);
    let denied = matches!(
        errno,
        Some(rustix::io::Errno::PERM | rustix::io::Errno::ACCESS)
    );
    match (switch, errno) {
        (Some("2"), _) if denied => fault(
            "switched off on this host (kernel.io_uring_disabled = 2)",
            "sysctl -w kernel.io_uring_disabled=0",
        ),
        (Some("1"), _) if denied => fault(
            "only for privileged processes on this host (kernel.io_uring_disabled = 1)",
            "sysctl -w kernel.io_uring_disabled=0, or put the user into the group of \
             kernel.io_uring_group",
        ),
        _ if filtered && (denied || errno == Some(rustix::io::Errno::NOSYS)) => fault(
            "blocked by a filter of system calls, as the seccomp profiles of Docker and \
             containerd do by default",
            "docker run --security-opt seccomp=unconfined, or a profile that allows \
             io_uring_setup, io_uring_enter and io_uring_register; under systemd look at \
             SystemCallFilter=",
        ),
        (_, Some(rustix::io::Errno::NOSYS | rustix::io::Errno::INVAL)) => fault(
            &format!("the kernel has none that is usable: {error}"),
            KERNEL,
        ),
        (_, Some(rustix::io::Errno::NOMEM)) => fault(
            "there is not enough locked memory for a ring",
            "ulimit -l 8192 as root, or LimitMEMLOCK=8M in the unit file",
        ),
        (_, Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE)) => fault(
            &format!("no file can be opened for a ring: {error}"),
            "ulimit -n 65536 as root, or LimitNOFILE=65536 in the unit file",
        ),
        _ if denied => fault(
            &format!("not permitted: {error}"),
            "look for a security module (dmesg | grep -i -e apparmor -e avc) that forbids it",
        ),
        _ => fault(&error.to_string(), KERNEL),
    }
}

fn switch() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok()?;
    Some(text.trim().to_owned())
}

fn filtered() -> bool {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    text.lines().any(|line| {
        line.strip_prefix("Seccomp:")
            .is_some_and(|mode| mode.trim() != "0")
    })
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    // An operator who reads only this line must know what to do.
    #[test]
    fn each_failure_has_its_own_words_and_mend() {
        use rustix::io::Errno;
        let cases = [
            (
                Errno::PERM,
                Some("2"),
                false,
                "disabled = 2",
                "sysctl -w kernel.io_uring_disabled=0",
            ),
            (
                Errno::PERM,
                Some("1"),
                false,
                "disabled = 1",
                "kernel.io_uring_group",
            ),
            (
                Errno::PERM,
                Some("0"),
                true,
                "seccomp",
                "docker run --security-opt",
            ),
            (
                Errno::NOSYS,
                None,
                true,
                "seccomp",
                "docker run --security-opt",
            ),
            (
                Errno::NOSYS,
                None,
                false,
                "the kernel has none",
                "Linux 5.8",
            ),
            (
                Errno::NOMEM,
                Some("0"),
                true,
                "locked memory",
                "LimitMEMLOCK=8M",
            ),
            (
                Errno::MFILE,
                Some("0"),
                false,
                "no file can be opened",
                "LimitNOFILE=",
            ),
            (
                Errno::PERM,
                Some("0"),
                false,
                "not permitted",
                "security module",
            ),
            (Errno::IO, None, false, "os error 5", "Linux 5.8"),
        ];
        for (errno, switch, filtered, message, mend) in cases {
            let finding = explain(&errno.into(), switch, filtered);
            assert_eq!(finding.verdict, Verdict::Fault);
            assert!(finding.message.contains(message), "{finding}");
            assert!(finding.mend.contains(mend), "{finding}");
        }
    }

    #[test]
    fn the_probe_answers_in_one_of_the_known_ways() {
        let finding = check();
        assert_eq!(finding.name, "io_uring");
        assert!(
            finding.verdict == Verdict::Ok || !finding.mend.is_empty(),
            "{finding}"
        );
    }
}
