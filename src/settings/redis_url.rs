//! Where a Redis is: the two forms of URL that redis-py and redis-cli know.
//!
//! ```text
//! unix:/path[?db=N]      unix:///path[?db=N]
//! redis://[user][:password@]host[:port][/N]      host may be [IPv6]
//! ```
//!
//! Path, user and password may be percent-encoded.

use std::fmt;
use std::path::PathBuf;

/// Where a Redis is and how to log in to it.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    /// The socket.
    pub address: RedisAddress,
    /// The user of Redis's access control list; none = the default user.
    pub user: Option<String>,
    /// The password; none = no AUTH is sent.
    pub password: Option<String>,
    /// The database for SELECT.
    pub db: u32,
}

/// The socket of a Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisAddress {
    /// A unix socket, as an absolute path.
    Unix(PathBuf),
    /// A TCP port.
    Tcp {
        /// A name, or an IPv4 or IPv6 address without brackets.
        host: String,
        /// The port, not 0.
        port: u16,
    },
}

/// Why a URL was refused. The words never repeat the URL, which may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum RedisUrlError {
    #[error("expected a URL that begins with unix: or redis://")]
    Scheme,
    #[error("TLS to Redis is not supported: use redis:// through a tunnel, or a unix socket")]
    Tls,
    #[error("expected an absolute path after unix:, such as unix:/run/redis/redis.sock")]
    Path,
    #[error("the path of a unix socket must be at most 107 bytes long")]
    PathTooLong,
    #[error("expected a host after redis://, an IPv6 address in brackets, no blanks")]
    Host,
    #[error("expected a port from 1 to 65535 after the host")]
    Port,
    #[error("expected a database number after the host, such as redis://127.0.0.1:6379/0")]
    Db,
    #[error("db is the only parameter that is known; a password belongs into redis.password_file")]
    Parameter,
    #[error("expected two hexadecimal digits after each %, and valid UTF-8 (%25 is a % itself)")]
    Encoding,
}

/// The longest path that `sockaddr_un` holds, without its closing zero byte.
pub(crate) const SOCKET_PATH_BYTES_MAX: usize = 107;

impl RedisUrl {
    /// A unix socket, without login, database 0.
    pub fn unix(path: PathBuf) -> Self {
        Self {
            address: RedisAddress::Unix(path),
            user: None,
            password: None,
            db: 0,
        }
    }

    /// Reads a URL of the forms at the top of this module.
    ///
    /// # Errors
    ///
    /// What is wrong with it, without repeating it.
    pub fn parse(url: &str) -> Result<Self, RedisUrlError> {
        let (scheme, rest) = url.split_once(':').ok_or(RedisUrlError::Scheme)?;
        match scheme.to_ascii_lowercase().as_str() {
            "unix" => parse_unix(rest),
            "redis" => parse_tcp(rest.strip_prefix("//").ok_or(RedisUrlError::Scheme)?),
            "rediss" => Err(RedisUrlError::Tls),
            _ => Err(RedisUrlError::Scheme),
        }
    }

    /// The address and database without user and password, as the ready line has it.
    pub fn display(&self) -> String {
        Self {
            user: None,
            password: None,
            ..self.clone()
        }
        .to_string()
    }

    /// The same for the `redis` crate.
    ///
    /// # Errors
    ///
    /// Those of the crate; none is known for what [`RedisUrl::parse`] yields.
    pub fn connection_info(&self) -> redis::RedisResult<redis::ConnectionInfo> {
        use redis::IntoConnectionInfo;
        let address = match &self.address {
            RedisAddress::Unix(path) => redis::ConnectionAddr::Unix(path.clone()),
            RedisAddress::Tcp { host, port } => redis::ConnectionAddr::Tcp(host.clone(), *port),
        };
        let mut login = redis::RedisConnectionInfo::default()
            .set_db(i64::from(self.db))
            .set_skip_set_lib_name();
        if let Some(user) = &self.user {
            login = login.set_username(user);
        }
        if let Some(password) = &self.password {
            login = login.set_password(password);
        }
        Ok(address.into_connection_info()?.set_redis_settings(login))
    }
}

/// The URL with its password masked.
impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            RedisAddress::Unix(path) => {
                let path = encoded(&path.to_string_lossy(), "/-._~@:+=,");
                write!(f, "unix:{path}")?;
                if self.db != 0 {
                    write!(f, "?db={}", self.db)
                } else {
                    Ok(())
                }
            }
            RedisAddress::Tcp { host, port } => {
                f.write_str("redis://")?;
                let user = encoded(self.user.as_deref().unwrap_or_default(), "-._~");
                match (&self.user, &self.password) {
                    (_, Some(_)) => write!(f, "{user}:***@")?,
                    (Some(_), None) => write!(f, "{user}@")?,
                    (None, None) => {}
                }
                if host.contains(':') {
                    write!(f, "[{host}]:{port}/{}", self.db)
                } else {
                    write!(f, "{host}:{port}/{}", self.db)
                }
            }
        }
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({self})")
    }
}

fn parse_unix(rest: &str) -> Result<RedisUrl, RedisUrlError> {
    let (path, db) = split_db(rest.strip_prefix("//").unwrap_or(rest))?;
    let path = decoded(path)?;
    if !path.starts_with('/') || path.contains('\0') {
        return Err(RedisUrlError::Path);
    }
    if path.len() > SOCKET_PATH_BYTES_MAX {
        return Err(RedisUrlError::PathTooLong);
    }
    Ok(RedisUrl {
        db: db.unwrap_or(0),
        ..RedisUrl::unix(PathBuf::from(path))
    })
}

fn parse_tcp(rest: &str) -> Result<RedisUrl, RedisUrlError> {
    // A password may hold an @ that was not encoded, so the last one counts; but one
    // behind the path is none of the login.
    let end = rest.rfind('@').map_or(0, |at| at + 1);
    let (login, rest) = rest.split_at(end);
    let (rest, parameter) = split_db(rest)?;
    let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = split_port(address)?;
    let path_db = match path {
        "" => None,
        path => Some(path.parse().map_err(|_| RedisUrlError::Db)?),
    };
    let (user, password) = match login.strip_suffix('@').map(|login| login.split_once(':')) {
        None => (None, None),
        Some(Some((user, password))) => (some(decoded(user)?), some(decoded(password)?)),
        Some(None) => (some(decoded(login.trim_end_matches('@'))?), None),
    };
    Ok(RedisUrl {
        address: RedisAddress::Tcp {
            host: host.to_owned(),
            port,
        },
        user,
        password,
        db: path_db.or(parameter).unwrap_or(0),
    })
}

/// Cuts off `?db=N`.
fn split_db(rest: &str) -> Result<(&str, Option<u32>), RedisUrlError> {
    let Some((before, query)) = rest.split_once('?') else {
        return Ok((rest, None));
    };
    let db = query.strip_prefix("db=").ok_or(RedisUrlError::Parameter)?;
    if db.contains('&') {
        return Err(RedisUrlError::Parameter);
    }
    Ok((before, Some(db.parse().map_err(|_| RedisUrlError::Db)?)))
}

fn split_port(address: &str) -> Result<(&str, u16), RedisUrlError> {
    let (host, port) = if let Some(rest) = address.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or(RedisUrlError::Host)?;
        host.parse::<std::net::Ipv6Addr>()
            .map_err(|_| RedisUrlError::Host)?;
        match port {
            "" => (host, None),
            port => (
                host,
                Some(port.strip_prefix(':').ok_or(RedisUrlError::Port)?),
            ),
        }
    } else {
        match address.split_once(':') {
            None => (address, None),
            Some((_, port)) if port.contains(':') => return Err(RedisUrlError::Host),
            Some((host, port)) => (host, Some(port)),
        }
    };
    let odd = |c: char| c.is_control() || c.is_whitespace() || "/?#[]%".contains(c);
    if host.is_empty() || host.contains(odd) {
        return Err(RedisUrlError::Host);
    }
    match port {
        None => Ok((host, 6379)),
        Some(port) => match port.parse() {
            Ok(0) | Err(_) => Err(RedisUrlError::Port),
            Ok(port) => Ok((host, port)),
        },
    }
}

fn some(text: String) -> Option<String> {
    if text.is_empty() { None } else { Some(text) }
}

fn decoded(text: &str) -> Result<String, RedisUrlError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(RedisUrlError::Encoding);
        };
        bytes.push((high * 16 + low) as u8);
    }
    String::from_utf8(bytes).map_err(|_| RedisUrlError::Encoding)
}

/// Percent-encodes all but ASCII letters, digits and the bytes of `plain`.
fn encoded(text: &str, plain: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || plain.as_bytes().contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16, user: &str, password: &str, db: u32) -> RedisUrl {
        RedisUrl {
            address: RedisAddress::Tcp {
                host: host.to_owned(),
                port,
            },
            user: some(user.to_owned()),
            password: some(password.to_owned()),
            db,
        }
    }

    fn unix(path: &str, db: u32) -> RedisUrl {
        RedisUrl {
            db,
            ..RedisUrl::unix(PathBuf::from(path))
        }
    }

    #[test]
    fn every_form_is_read() {
        let cases = [
            ("unix:/run/redis.sock", unix("/run/redis.sock", 0)),
            ("unix:///run/redis.sock", unix("/run/redis.sock", 0)),
            ("UNIX:/a%20b?db=3", unix("/a b", 3)),
            ("unix:/a@b:c", unix("/a@b:c", 0)),
            ("redis://host", tcp("host", 6379, "", "", 0)),
            ("redis://host/", tcp("host", 6379, "", "", 0)),
            (
                "redis://127.0.0.1:7000/5",
                tcp("127.0.0.1", 7000, "", "", 5),
            ),
            ("redis://host?db=2", tcp("host", 6379, "", "", 2)),
            ("redis://[::1]", tcp("::1", 6379, "", "", 0)),
            ("redis://[fe80::1]:1/1", tcp("fe80::1", 1, "", "", 1)),
            ("redis://:pw@host", tcp("host", 6379, "", "pw", 0)),
            ("redis://me:pw@host:1", tcp("host", 1, "me", "pw", 0)),
            ("redis://me@host", tcp("host", 6379, "me", "", 0)),
            (
                "redis://m%40e:p%2Fw%25@host",
                tcp("host", 6379, "m@e", "p/w%", 0),
            ),
            (
                "redis://:p@ss:w/o?rd@host/1",
                tcp("host", 6379, "", "p@ss:w/o?rd", 1),
            ),
            ("redis://:@host", tcp("host", 6379, "", "", 0)),
        ];
        for (text, expected) in cases {
            let url = RedisUrl::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert!(url == expected, "{text}: {url} {:?}", url.address);
        }
    }

    #[test]
    fn what_is_no_url_is_refused_with_its_reason() {
        use RedisUrlError::*;
        let long = format!("unix:/{}", "x".repeat(107));
        let cases = [
            ("", Scheme),
            ("localhost:6379", Scheme),
            ("http://host", Scheme),
            ("redis:host", Scheme),
            ("rediss://host", Tls),
            ("unix:", Path),
            ("unix:run/redis.sock", Path),
            ("unix://run/redis.sock", Path),
            ("unix:/a%00b", Path),
            (long.as_str(), PathTooLong),
            ("unix:/a%zz", Encoding),
            ("unix:/a%f", Encoding),
            ("unix:/a?db=x", Db),
            ("unix:/a?password=x", Parameter),
            ("unix:/a?db=1&password=x", Parameter),
            ("redis://", Host),
            ("redis://:6379", Host),
            ("redis://ho st", Host),
            ("redis://::1", Host),
            ("redis://[::1", Host),
            ("redis://[nonsense]", Host),
            ("redis://[::1]6379", Port),
            ("redis://host:", Port),
            ("redis://host:0", Port),
            ("redis://host:65536", Port),
            ("redis://host/x", Db),
            ("redis://host/-1", Db),
            ("redis://host/1/2", Db),
            ("redis://%ff@host", Encoding),
        ];
        for (text, expected) in cases {
            let error = RedisUrl::parse(text).err();
            assert_eq!(error, Some(expected), "{text}");
        }
    }

    // The ready line and the printed configuration must name the same place again.
    #[test]
    fn what_is_shown_is_read_back_and_holds_no_password() {
        for text in [
            "unix:/run/redis.sock",
            "unix:/a%20b%3Fc?db=3",
            "redis://host:1/0",
            "redis://[::1]:6379/2",
        ] {
            let url = RedisUrl::parse(text).unwrap();
            assert_eq!(url.display(), text);
            assert_eq!(RedisUrl::parse(&url.to_string()).unwrap(), url);
        }
        let url = RedisUrl::parse("redis://me:hunter2@host").unwrap();
        assert_eq!(url.display(), "redis://host:6379/0");
        assert_eq!(
            format!("{url} {url:?}"),
            "redis://me:***@host:6379/0 RedisUrl(redis://me:***@host:6379/0)"
        );
    }
}
