//! Addresses: a host and a port of Skyline, each in a setting of its own, as one of
//! Skyring.

use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs};

use super::document::{array, quoted};
use super::reader::{Given, Reader, is_placeholder, placeholder};

/// A port, and the setting that it comes from.
pub(super) struct Port {
    name: &'static str,
    given: Given<u16>,
}

impl Reader<'_> {
    /// A port; a string of digits is one too.
    pub fn port(&mut self, name: &'static str) -> Option<Port> {
        let Given { value, line } = self.number(name)?;
        match u16::try_from(value) {
            Ok(value) if value != 0 => {
                let given = Given { value, line };
                Some(Port { name, given })
            }
            _ => {
                self.note(line, name, "expected a port from 1 to 65535");
                None
            }
        }
    }

    /// Puts the list of the one address that `host_name` and `port_name` make, which
    /// is listened on.
    pub fn put_listen(
        &mut self,
        section: &'static str,
        key: &'static str,
        host_name: &'static str,
        port_name: &'static str,
    ) {
        let Some(port) = self.port(port_name) else {
            return;
        };
        let host = self.text(host_name);
        let line = host.as_ref().map_or(port.given.line, |host| host.line);
        let origin = [(host_name, line), (port.name, port.given.line)];
        let number = port.given.value;
        let Some(Given { value: host, .. }) = host else {
            // What is given and not understood has been told of already.
            if !self.is_given(host_name) {
                let value = array(&[quoted(&format!("0.0.0.0:{number}"))]);
                let why = format!("{host_name} is not set");
                self.put_off(section, key, value, &origin[1..], &why);
            }
            return;
        };
        if is_placeholder(&host) {
            let value = array(&[quoted(&address(&host, number))]);
            let why = placeholder(&host);
            return self.put_off(section, key, value, &origin, &why);
        }
        match resolve(&host) {
            Some(ip) => {
                if host.parse::<IpAddr>().is_err() && !host.is_empty() {
                    let message = format!(
                        "{section}.{key} takes an address: {} was looked up and is {ip}",
                        quoted(&host)
                    );
                    self.note(line, host_name, message);
                }
                let value = array(&[quoted(&address(&ip.to_string(), number))]);
                self.document.put(section, key, value, &origin);
            }
            None => {
                let value = array(&[quoted(&address(&host, number))]);
                let why = format!("{} was looked up and is no address", quoted(&host));
                self.put_off(section, key, value, &origin, &why);
            }
        }
    }

    /// Puts the `host:port` that is connected to, if both are given; true if it is in
    /// effect.
    pub fn put_endpoint(
        &mut self,
        section: &'static str,
        key: &'static str,
        host_name: &'static str,
        port_name: &'static str,
    ) -> bool {
        let Some(host) = self.text(host_name) else {
            return false;
        };
        let Some(port) = self.port(port_name) else {
            return false;
        };
        if host.value.is_empty() {
            return false;
        }
        let origin = [(host_name, host.line), (port.name, port.given.line)];
        let value = quoted(&address(&host.value, port.given.value));
        if is_placeholder(&host.value) {
            let why = placeholder(&host.value);
            self.put_off(section, key, value, &origin, &why);
            return false;
        }
        self.document.put(section, key, value, &origin);
        true
    }
}

/// `host:port`, an IPv6 address in brackets.
pub(super) fn address(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// The address that a listener of Python binds to for `host`: any for an empty one,
/// of a name the first of IPv4, which is all that Skyline listens on.
fn resolve(host: &str) -> Option<IpAddr> {
    if host.is_empty() {
        return Some(Ipv4Addr::UNSPECIFIED.into());
    }
    if let Ok(ip) = host.parse() {
        return Some(ip);
    }
    let mut found = (host, 0).to_socket_addrs().ok()?;
    let found = found.find(|addr| addr.is_ipv4());
    found.map(|addr| addr.ip())
}
