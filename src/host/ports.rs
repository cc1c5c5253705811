//! Listen addresses: whether each can be had.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};

use super::Finding;
use crate::settings::Settings;

/// The kind of socket that listens on an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Transport {
    Tcp,
    Udp,
}

/// Binds `addr` for a moment and returns the address that was bound, which has a port
/// of its own if the port of `addr` is 0.
///
/// It binds without `SO_REUSEPORT`, which the shards then bind with: two servers of
/// one user would else share a port unseen, and each get some of the connections.
///
/// # Errors
///
/// Those of `bind`; in particular [`io::ErrorKind::AddrInUse`].
pub fn probe_port(addr: SocketAddr, transport: Transport) -> io::Result<SocketAddr> {
    let domain = Domain::for_address(addr);
    let socket = match transport {
        Transport::Tcp => Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?,
        Transport::Udp => Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?,
    };
    if transport == Transport::Tcp {
        // Without it, connections of an ended server that linger in TIME_WAIT would count.
        socket.set_reuse_address(true)?;
    }
    socket.bind(&addr.into())?;
    let bound = socket.local_addr()?.as_socket();
    bound.ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

/// Probes every listen address. `holder` is the process that holds the state
/// directory, if there is one: most likely it is the very server that is checked.
pub(super) fn check(settings: &Settings, holder: Option<u32>) -> Vec<Finding> {
    let tcp = settings.tcp_listens().into_iter();
    let udp = settings.udp_listens().into_iter();
    let listens: Vec<_> = tcp
        .map(|listen| (Transport::Tcp, listen))
        .chain(udp.map(|listen| (Transport::Udp, listen)))
        .collect();
    if listens.is_empty() {
        let mend = "set horizon.pickle";
        return vec![Finding::warn("listen", "no listen address is set", mend)];
    }
    listens
        .into_iter()
        .map(|(transport, (key, addr))| judge(key, addr, probe_port(addr, transport), holder))
        .collect()
}

fn judge(
    key: &str,
    addr: SocketAddr,
    probed: io::Result<SocketAddr>,
    holder: Option<u32>,
) -> Finding {
    let error = match probed {
        Ok(_) => return Finding::ok("listen", format!("{key} {addr} is free")),
        Err(error) => error,
    };
    let message = format!("{key} {addr}: {error}");
    match (error.kind(), holder) {
        (io::ErrorKind::AddrInUse, Some(pid)) => {
            let message = format!("{message}, presumably by the server that runs as process {pid}");
            Finding::warn("listen", message, "")
        }
        (io::ErrorKind::AddrInUse, None) => {
            let port = addr.port();
            let mend = format!("ss -lntup 'sport = :{port}' shows who listens there; or set {key}");
            Finding::fault("listen", message, mend)
        }
        (io::ErrorKind::AddrNotAvailable, _) => {
            let mend = format!("ip addr shows the addresses of this host; or set {key}");
            Finding::fault("listen", message, mend)
        }
        (io::ErrorKind::PermissionDenied, _) => Finding::fault(
            "listen",
            message,
            format!(
                "AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit file, or set {key} to a \
                 port above 1023"
            ),
        ),
        _ => Finding::fault("listen", message, format!("set {key}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_free_port_is_found_and_a_taken_one_refused() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        assert_ne!(probe_port(any, Transport::Tcp).unwrap().port(), 0);
        let taken = std::net::TcpListener::bind(any).unwrap();
        let error = probe_port(taken.local_addr().unwrap(), Transport::Tcp).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_taken_udp_port_is_refused_and_does_not_take_the_tcp_port() {
        let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let addr = taken.local_addr().unwrap();
        let error = probe_port(addr, Transport::Udp).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        assert_ne!(probe_port(any, Transport::Udp).unwrap().port(), 0);
    }

    // A server that listens with SO_REUSEPORT, as Skyring does, must be seen too.
    #[test]
    fn a_port_that_is_shared_by_reuseport_is_refused() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.set_reuse_port(true).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        socket.bind(&any.into()).unwrap();
        socket.listen(1).unwrap();
        let addr = socket.local_addr().unwrap().as_socket().unwrap();
        assert_eq!(
            probe_port(addr, Transport::Tcp).unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
    }

    #[test]
    fn each_failure_has_its_mend() {
        let addr: SocketAddr = "10.9.8.7:80".parse().unwrap();
        let judge = |kind: io::ErrorKind, holder| {
            let finding = judge("horizon.pickle", addr, Err(kind.into()), holder);
            (finding.verdict, finding.mend)
        };
        let (verdict, mend) = judge(io::ErrorKind::AddrInUse, None);
        assert!(
            verdict == Verdict::Fault && mend.starts_with("ss -lntup 'sport = :80'"),
            "{mend}"
        );
        let (verdict, _) = judge(io::ErrorKind::AddrInUse, Some(7));
        assert_eq!(verdict, Verdict::Warn);
        let (verdict, mend) = judge(io::ErrorKind::AddrNotAvailable, Some(7));
        assert!(
            verdict == Verdict::Fault && mend.starts_with("ip addr"),
            "{mend}"
        );
        let (_, mend) = judge(io::ErrorKind::PermissionDenied, None);
        assert!(mend.starts_with("AmbientCapabilities"), "{mend}");
    }
}
