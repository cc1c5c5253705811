//! A source: where it is, how to log in there, and whom to trust.

use std::fmt;
use std::path::{Path, PathBuf};

use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

use crate::settings::{Fetch, HttpUrl, Secret};

/// The header of an API key if no other is named.
const API_KEY_HEADER: &str = "x-api-key";

/// Headers that belong to the request as such, and are set by nobody else.
const OWN_HEADERS: [&str; 8] = [
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "te",
    "transfer-encoding",
];

/// What tells one server from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Origin {
    /// That of a URL; none if it is not of http or https.
    pub fn of(url: &Url) -> Option<Self> {
        if !matches!(url.scheme(), "http" | "https") {
            return None;
        }
        Some(Self {
            scheme: url.scheme().to_owned(),
            // A name may be written with a dot at its end.
            host: url.host_str()?.trim_end_matches('.').to_owned(),
            port: url.port_or_known_default()?,
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, host, port } = self;
        write!(f, "{scheme}://{host}")?;
        match (scheme.as_str(), port) {
            ("http", 80) | ("https", 443) => Ok(()),
            _ => write!(f, ":{port}"),
        }
    }
}

/// Whose certificates are good.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Tls {
    /// Nobody's: the source speaks plain HTTP.
    Off,
    /// Those that the host's own store vouches for.
    Host,
    /// Those that these certificates vouch for, in PEM.
    Only(Vec<u8>),
    /// Anybody's.
    Insecure,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "Off",
            Self::Host => "Host",
            Self::Only(_) => "Only",
            Self::Insecure => "Insecure",
        })
    }
}

/// Why an entry names no source that can be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the messages say it")]
pub enum SiteError {
    #[error("remote_host: expected a URL such as \"http://graphite.example.org:8080\"")]
    Url,
    #[error("remote_host: expected no ? and no #: the path and query belong into uri")]
    Query,
    #[error("{0}")]
    SecretFile(String),
    #[error("two logins: set one of token, user and password, or a login in remote_host")]
    TwoLogins,
    #[error("password: a password needs a user")]
    NoUser,
    #[error("user: expected no colon, which would end it")]
    Colon,
    #[error("{0}: expected text without control characters")]
    Header(&'static str),
    #[error("headers: {0:?} is no name of a header that can be set")]
    HeaderName(String),
    #[error("api_key_header: {0:?} is no name of a header that can be set")]
    KeyHeader(String),
    #[error("ca_file {}: {why}", .path.display())]
    CaFile { path: PathBuf, why: String },
    #[error("{0}: remote_host is no https URL, so there is no TLS")]
    NoTls(&'static str),
    #[error("ca_file and insecure: set one of them")]
    TwoTrusts,
}

/// A source. Neither its `Debug` nor its `Display` shows a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Site {
    /// Scheme, host, port and perhaps a path, without a slash at its end.
    base: String,
    origin: Origin,
    pub(super) headers: HeaderMap,
    pub(super) tls: Tls,
}

impl Site {
    /// That of an entry of `vista.fetch`.
    ///
    /// # Errors
    ///
    /// When its elements do not fit together, or its `ca_file` cannot be used.
    pub fn of(fetch: &Fetch) -> Result<Self, SiteError> {
        let mut site = Self::at(&fetch.remote_host)?;
        let set = |secret: Result<Option<&Secret>, String>| {
            let secret = secret.map_err(SiteError::SecretFile)?;
            Ok(secret.filter(|it| is_set(it.expose())).cloned())
        };
        let user = fetch.user.as_deref().filter(|user| is_set(user));
        site.log_in(set(fetch.token())?, user, set(fetch.password())?)?;
        if let Some(key) = set(fetch.api_key())? {
            let name = fetch.api_key_header.as_deref().unwrap_or(API_KEY_HEADER);
            let header = header_name(name).ok_or(SiteError::KeyHeader(name.to_owned()))?;
            site.headers
                .insert(header, secret("api_key", key.expose())?);
        }
        for (name, value) in fetch.headers.iter() {
            let header = header_name(name).ok_or(SiteError::HeaderName(name.to_owned()))?;
            site.headers
                .insert(header, secret("headers", value.expose())?);
        }
        site.tls = match (&fetch.ca_file, fetch.insecure, &site.tls) {
            (None, false, tls) => tls.clone(),
            (Some(_), true, _) => return Err(SiteError::TwoTrusts),
            (Some(_), _, Tls::Off) => return Err(SiteError::NoTls("ca_file")),
            (None, true, Tls::Off) => return Err(SiteError::NoTls("insecure")),
            (None, true, _) => Tls::Insecure,
            (Some(file), ..) => Tls::Only(certificates(file)?),
        };
        Ok(site)
    }

    /// One that is asked without more than what its URL says: a login in it is used,
    /// and not shown.
    ///
    /// # Errors
    ///
    /// When it is no URL of a host, or one with a query.
    pub fn at(url: &HttpUrl) -> Result<Self, SiteError> {
        Self::of_text(url.as_str())
    }

    pub(crate) fn of_text(url: &str) -> Result<Self, SiteError> {
        let mut url = Url::parse(url).map_err(|_| SiteError::Url)?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(SiteError::Query);
        }
        let origin = Origin::of(&url).ok_or(SiteError::Url)?;
        let login = (url.username().to_owned(), url.password().map(str::to_owned));
        // Neither fails for a URL with a host.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        let mut site = Self {
            base: url.as_str().trim_end_matches('/').to_owned(),
            tls: if url.scheme() == "https" {
                Tls::Host
            } else {
                Tls::Off
            },
            origin,
            headers: HeaderMap::new(),
        };
        if let (user, password) = login
            && (!user.is_empty() || password.is_some())
        {
            let password = Secret::from(decoded(&password.unwrap_or_default()).as_str());
            site.log_in(None, Some(&decoded(&user)), Some(password))?;
        }
        Ok(site)
    }

    /// Where it is.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The URL of a path and query there.
    ///
    /// # Errors
    ///
    /// When `path` does not begin with a slash or makes no URL of the same host.
    pub(super) fn url(&self, path: &str) -> Option<Url> {
        let url = path
            .starts_with('/')
            .then(|| format!("{}{path}", self.base))?;
        let url = Url::parse(&url).ok()?;
        (Origin::of(&url).as_ref() == Some(&self.origin)).then_some(url)
    }

    /// Logs in as this caller says, in place of what is configured.
    ///
    /// # Errors
    ///
    /// When there are two logins, or one that cannot be sent.
    pub fn log_in(
        &mut self,
        token: Option<Secret>,
        user: Option<&str>,
        password: Option<Secret>,
    ) -> Result<(), SiteError> {
        let value = match (token, user, password) {
            (None, None, None) => return Ok(()),
            (Some(_), Some(_), _) | (Some(_), _, Some(_)) => return Err(SiteError::TwoLogins),
            (None, None, Some(_)) => return Err(SiteError::NoUser),
            (Some(token), None, None) => secret("token", &format!("Bearer {}", token.expose()))?,
            (None, Some(user), _) if user.contains(':') => return Err(SiteError::Colon),
            (None, Some(user), password) => {
                let password = password.as_ref().map_or("", Secret::expose);
                secret(
                    "user",
                    &format!("Basic {}", base64(&format!("{user}:{password}"))),
                )?
            }
        };
        if self.headers.contains_key(AUTHORIZATION) {
            return Err(SiteError::TwoLogins);
        }
        self.headers.insert(AUTHORIZATION, value);
        Ok(())
    }

    /// The path below which everything is asked, without a slash at its end.
    pub fn base_path(&self) -> String {
        let origin = self.base.find("://").map_or(0, |at| at + 3);
        let path = self.base[origin..].find('/').map(|at| origin + at);
        path.map_or_else(String::new, |at| self.base[at..].to_owned())
    }

    /// The same without any login, key or header.
    pub fn without_login(mut self) -> Self {
        self.headers.clear();
        self
    }

    /// Whether it is asked with a login, a key or headers of its own.
    pub fn has_login(&self) -> bool {
        !self.headers.is_empty()
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Site({self}, {:?})", self.tls)
    }
}

/// The URL without its login.
impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}

/// Skyline's settings hold the text `None` where nothing is set.
fn is_set(text: &str) -> bool {
    !matches!(text, "" | "None")
}

fn header_name(name: &str) -> Option<HeaderName> {
    let header = HeaderName::from_bytes(name.as_bytes()).ok()?;
    (!OWN_HEADERS.contains(&header.as_str())).then_some(header)
}

/// A value that no log of requests shows.
fn secret(element: &'static str, text: &str) -> Result<HeaderValue, SiteError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| SiteError::Header(element))?;
    value.set_sensitive(true);
    Ok(value)
}

fn certificates(file: &Path) -> Result<Vec<u8>, SiteError> {
    let refuse = |why: String| SiteError::CaFile {
        path: file.to_owned(),
        why,
    };
    let pem = std::fs::read(file).map_err(|error| refuse(error.to_string()))?;
    match reqwest::Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(pem),
        _ => Err(refuse("it holds no certificate in PEM".to_owned())),
    }
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}

/// Base64 with the usual alphabet and padding (RFC 4648), for basic authentication.
fn base64(text: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let sign = ALPHABET[(bits >> (18 - 6 * place)) as usize & 63];
            out.push(if place <= chunk.len() {
                sign as char
            } else {
                '='
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    fn site(elements: &str) -> Result<Site, SiteError> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("skyring.toml");
        let text = format!(
            "[[vista.fetch]]\nremote_host_type = 'graphite'\nremote_target = 'a'\n{elements}\n"
        );
        std::fs::write(&file, text).unwrap();
        Site::of(&Settings::load(Some(&file), &[]).unwrap().vista.fetch[0])
    }

    fn authorization(elements: &str) -> String {
        let site = site(elements).unwrap();
        site.headers[AUTHORIZATION].to_str().unwrap().to_owned()
    }

    // The texts are those that Python's base64.b64encode makes.
    #[test]
    fn logins_become_headers() {
        let host = "remote_host = 'http://h'";
        for (user, password, wanted) in [
            ("a", "", "YTo="),
            ("aa", "b", "YWE6Yg=="),
            ("aa", "bc", "YWE6YmM="),
            ("u\u{e9}", "p\u{ff}", "dcOpOnDDvw=="),
        ] {
            let elements = format!("{host}\nuser = '{user}'\npassword = '{password}'");
            assert_eq!(authorization(&elements), format!("Basic {wanted}"));
        }
        assert_eq!(authorization(&format!("{host}\ntoken = 't'")), "Bearer t");
        assert_eq!(
            authorization("remote_host = 'http://aa:b%63@h/path/'"),
            "Basic YWE6YmM="
        );
        let none = site(&format!(
            "{host}\ntoken = 'None'\nuser = ''\npassword = 'None'"
        ));
        assert!(!none.unwrap().has_login());
    }

    #[test]
    fn a_key_and_further_headers_are_sent_under_their_names() {
        let host = "remote_host = 'http://h'\napi_key = 'k'";
        assert_eq!(site(host).unwrap().headers["x-api-key"], "k");
        let named =
            format!("{host}\napi_key_header = 'X-Key'\nheaders = {{ X-Scope-OrgID = 'me' }}");
        let site = site(&named).unwrap();
        assert_eq!(site.headers["x-key"], "k");
        assert_eq!(site.headers["x-scope-orgid"], "me");
    }

    #[test]
    fn secrets_are_shown_nowhere() {
        let site = site("remote_host = 'http://me:hunter2@h:81/p/'\napi_key = 'hunter2'").unwrap();
        for text in [
            format!("{site:?}"),
            site.to_string(),
            format!("{:?}", site.headers),
        ] {
            assert!(!text.contains("hunter2"), "{text}");
        }
        assert_eq!(site.to_string(), "http://h:81/p");
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        use SiteError::*;
        for (elements, error) in [
            (
                "remote_host = 'http://h'\ntoken = 't'\nuser = 'u'",
                TwoLogins,
            ),
            ("remote_host = 'http://a:b@h'\ntoken = 't'", TwoLogins),
            ("remote_host = 'http://h'\npassword = 'p'", NoUser),
            ("remote_host = 'http://h'\nuser = 'u:v'", Colon),
            ("remote_host = 'http://h/?a=b'", Query),
            ("remote_host = 'http://:80'", Url),
            ("remote_host = 'http://h:99999'", Url),
            (
                "remote_host = 'http://h'\ninsecure = true",
                NoTls("insecure"),
            ),
            (
                "remote_host = 'http://h'\nheaders = { host = 'x' }",
                HeaderName("host".into()),
            ),
            (
                "remote_host = 'http://h'\napi_key = 'k'\napi_key_header = 'a b'",
                KeyHeader("a b".into()),
            ),
            (
                "remote_host = 'https://h'\ninsecure = true\nca_file = '/x'",
                TwoTrusts,
            ),
        ] {
            assert_eq!(site(elements), Err(error), "{elements}");
        }
        let mut plain = site("remote_host = 'http://h'").unwrap();
        let token = Secret::from("a\r\nHost: b");
        assert_eq!(plain.log_in(Some(token), None, None), Err(Header("token")));
        let error = site("remote_host = 'https://h'\nca_file = '/etc/hostname'").unwrap_err();
        assert_eq!(
            error.to_string(),
            "ca_file /etc/hostname: it holds no certificate in PEM"
        );
    }

    // A path that made another host of the URL would send the login there.
    #[test]
    fn a_path_stays_on_the_host() {
        let site = site("remote_host = 'http://h'").unwrap();
        assert_eq!(
            site.url("/render?a=b").unwrap().as_str(),
            "http://h/render?a=b"
        );
        for path in ["@evil", ":81/", ".evil/", "render", ""] {
            assert_eq!(site.url(path), None, "{path}");
        }
    }
}
