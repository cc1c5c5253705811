//! What the settings have a server listen on.

use std::net::SocketAddr;

use super::Settings;
use crate::stats::Source;

/// One address of one listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listen {
    /// What is spoken there.
    pub source: Source,
    /// Where; port 0 is any free port.
    pub address: SocketAddr,
}

impl Settings {
    /// Every TCP address that is to be listened on, with the key that names it.
    pub fn tcp_listens(&self) -> Vec<(&'static str, SocketAddr)> {
        let listeners = self.listeners().into_iter();
        let listeners = listeners.filter(|listener| !listener.source.is_udp());
        let admin = self.admin.listen.iter().map(|addr| ("admin.listen", *addr));
        let flux = self.flux.listen.iter().map(|addr| ("flux.listen", *addr));
        listeners
            .map(|listener| (listener.source.key(), listener.address))
            .chain(flux)
            .chain(admin)
            .collect()
    }

    /// Every UDP address that is to be listened on, with the key that names it.
    pub fn udp_listens(&self) -> Vec<(&'static str, SocketAddr)> {
        let listeners = self.listeners().into_iter();
        listeners
            .filter(|listener| listener.source.is_udp())
            .map(|listener| (listener.source.key(), listener.address))
            .collect()
    }

    /// Every listener of the data plane that is turned on.
    pub fn listeners(&self) -> Vec<Listen> {
        let addresses = |source| match source {
            Source::Pickle => &self.horizon.pickle[..],
            Source::ShardPickle if self.cluster.shards.is_empty() => &[],
            Source::ShardPickle => &self.cluster.shard_pickle,
            Source::Msgpack => &self.horizon.msgpack,
            Source::LineTcp => &self.horizon.line_tcp,
            Source::LineUdp => &self.horizon.line_udp,
            Source::Direct => &[],
        };
        Source::ALL
            .into_iter()
            .flat_map(|source| {
                let addresses = addresses(source).iter();
                addresses.map(move |address| Listen {
                    source,
                    address: *address,
                })
            })
            .collect()
    }
}
