//! Asking over HTTP, with every bound that a source could overstep.

use std::collections::HashMap;
use std::error::Error as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode, Url};

use super::error::{FetchError, excerpt};
use super::site::{Origin, Site, Tls};
use crate::settings::Settings;

/// Redirects that are followed, all to the same host.
const REDIRECTS_MAX: u32 = 3;
/// Of an answer that is none, no more is read than a message needs.
const ERROR_BYTES_MAX: usize = 16 << 10;
/// Longest time that a source may ask to be left alone for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);
/// Connections to one host that are kept for the next request.
const IDLE_CONNECTIONS_MAX: usize = 32;
/// How long they are kept. Most fetches come once a minute.
const IDLE_TIME: Duration = Duration::from_secs(90);
/// A longer question than this goes into the body: servers and proxies bound the
/// first line of a request, gunicorn at 4094 bytes.
const QUERY_BYTES_MAX: usize = 2000;

/// What an answer may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest time for a connection to be made.
    pub connect_timeout: Duration,
    /// Longest time for a whole answer, redirects and all.
    pub timeout: Duration,
    /// Largest body, uncompressed.
    pub bytes_max: usize,
}

impl Limits {
    /// Those that are configured.
    pub fn of(settings: &Settings) -> Self {
        let vista = &settings.vista;
        Self {
            connect_timeout: Duration::from_secs(vista.connect_timeout_s.into()),
            timeout: Duration::from_secs(vista.answer_timeout_s.into()),
            bytes_max: vista.answer_bytes_max,
        }
    }
}

/// Asks sources, and keeps connections to them. It belongs to one runtime: its
/// connections end with that.
///
/// The environment's proxies are not used, since then the proxy would decide where a
/// request goes.
pub struct Client {
    limits: Mutex<Limits>,
    /// One for each choice of whom to trust.
    clients: Mutex<HashMap<Tls, reqwest::Client>>,
}

impl Client {
    /// One without connections.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits: Mutex::new(limits),
            clients: Mutex::default(),
        }
    }

    /// Goes on within these bounds; requests under way keep theirs.
    pub fn set_limits(&self, limits: Limits) {
        let before = std::mem::replace(&mut *lock(&self.limits), limits);
        if before.connect_timeout != limits.connect_timeout {
            lock(&self.clients).clear();
        }
    }

    /// The body of a source's answer to `path`, which begins with a slash, and
    /// `query`, which is encoded. A long query is sent as a form.
    ///
    /// # Errors
    ///
    /// Every way in which it is no whole answer with status 200.
    pub async fn ask(&self, site: &Site, path: &str, query: &str) -> Result<Vec<u8>, FetchError> {
        let limits = *lock(&self.limits);
        let answer = self.follow(site, path, query, &limits);
        match tokio::time::timeout(limits.timeout, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(FetchError::Timeout(limits.timeout)),
        }
    }

    async fn follow(
        &self,
        site: &Site,
        path: &str,
        query: &str,
        limits: &Limits,
    ) -> Result<Vec<u8>, FetchError> {
        let is_form = query.len() > QUERY_BYTES_MAX;
        let whole = match (is_form, query) {
            (true, _) | (_, "") => path.to_owned(),
            (false, query) => format!("{path}?{query}"),
        };
        let bad = || FetchError::Connect(format!("{whole:?} is no path and query"));
        let mut url = site.url(&whole).ok_or_else(bad)?;
        let client = self.client(&site.tls, limits)?;
        for _ in 0..=REDIRECTS_MAX {
            let method = if is_form { Method::POST } else { Method::GET };
            let mut request = client
                .request(method, url.clone())
                .headers(site.headers.clone());
            if is_form {
                request = request
                    .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                    .body(query.to_owned());
            }
            let answer = request
                .send()
                .await
                .map_err(|error| fault(&error, limits))?;
            if !answer.status().is_redirection() {
                return body(answer, limits).await;
            }
            url = redirect(&answer, &url, site, is_form)?;
        }
        Err(FetchError::RedirectLoop(REDIRECTS_MAX))
    }

    fn client(&self, tls: &Tls, limits: &Limits) -> Result<reqwest::Client, FetchError> {
        if let Some(client) = lock(&self.clients).get(tls) {
            return Ok(client.clone());
        }
        let client = build(tls, limits).map_err(|error| FetchError::Tls(innermost(&error)))?;
        lock(&self.clients).insert(tls.clone(), client.clone());
        Ok(client)
    }
}

fn build(tls: &Tls, limits: &Limits) -> reqwest::Result<reqwest::Client> {
    let client = reqwest::Client::builder()
        .user_agent(concat!("skyring/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .dns_resolver(Resolver)
        .connect_timeout(limits.connect_timeout)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .pool_idle_timeout(IDLE_TIME);
    let client = match tls {
        Tls::Host => client,
        // No store is needed, and a host may have none.
        Tls::Off => client.tls_certs_only([]),
        Tls::Only(pem) => client.tls_certs_only(reqwest::Certificate::from_pem_bundle(pem)?),
        Tls::Insecure => client.tls_danger_accept_invalid_certs(true),
    };
    client.build()
}

/// Where an answer sends on to, if that is the same host.
fn redirect(answer: &Response, from: &Url, site: &Site, is_form: bool) -> Result<Url, FetchError> {
    let status = answer.status();
    let target = answer.headers().get(LOCATION);
    let target = target.and_then(|target| from.join(target.to_str().ok()?).ok());
    // All but these two would have the form forgotten on the way.
    let keeps_form = matches!(
        status,
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
    );
    let (Some(target), true) = (target, keeps_form || !is_form) else {
        return Err(status_error(status, answer.headers(), &[]));
    };
    match Origin::of(&target) {
        Some(origin) if origin == *site.origin() => Ok(target),
        Some(origin) => Err(FetchError::RedirectAway {
            to: excerpt(origin.to_string().as_bytes()),
        }),
        None => Err(FetchError::RedirectAway {
            to: excerpt(target.scheme().as_bytes()),
        }),
    }
}

async fn body(mut answer: Response, limits: &Limits) -> Result<Vec<u8>, FetchError> {
    let status = answer.status();
    let is_good = status == StatusCode::OK;
    let bytes_max = if is_good {
        limits.bytes_max
    } else {
        limits.bytes_max.min(ERROR_BYTES_MAX)
    };
    // Of a compressed body no length is known.
    if is_good && answer.content_length() > Some(bytes_max as u64) {
        return Err(FetchError::TooLarge(bytes_max));
    }
    let mut body = Vec::new();
    loop {
        let chunk = match answer.chunk().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => break,
            Err(_) if !is_good => break,
            Err(error) => return Err(fault(&error, limits)),
        };
        let room = bytes_max - body.len();
        if chunk.len() > room {
            if is_good {
                return Err(FetchError::TooLarge(bytes_max));
            }
            body.extend_from_slice(&chunk[..room]);
            break;
        }
        body.extend_from_slice(&chunk);
    }
    if is_good {
        Ok(body)
    } else {
        Err(status_error(status, answer.headers(), &body))
    }
}

fn status_error(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> FetchError {
    FetchError::Status {
        code: status.as_u16(),
        retry_after: headers
            .get(RETRY_AFTER)
            .and_then(|text| retry_after(text.to_str().ok()?, SystemTime::now())),
        text: words(body),
    }
}

/// What a body says that goes with an error: the form of Prometheus is known, of any
/// other the beginning is told.
fn words(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Words {
        #[serde(rename = "errorType", default)]
        kind: String,
        error: String,
    }
    match serde_json::from_slice::<Words>(body) {
        Ok(Words { kind, error }) if kind.is_empty() => excerpt(error.as_bytes()),
        Ok(Words { kind, error }) => excerpt(format!("{kind}: {error}").as_bytes()),
        Err(_) => excerpt(body),
    }
}

/// Seconds, or a date (RFC 9110).
fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let wait = match text.trim().parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = jiff::fmt::rfc2822::parse(text.trim()).ok()?;
            let date = SystemTime::from(date.timestamp());
            date.duration_since(now).unwrap_or_default()
        }
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

fn fault(error: &reqwest::Error, limits: &Limits) -> FetchError {
    let words = innermost(error);
    if error.is_timeout() {
        return FetchError::Timeout(limits.connect_timeout);
    }
    if is_of_tls(error) {
        return FetchError::Tls(words);
    }
    if error.is_body() || error.is_decode() || (error.is_request() && !error.is_connect()) {
        return FetchError::Cut(words);
    }
    FetchError::Connect(words)
}

/// The last of the causes, which says what the others wrap.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    let mut words = String::new();
    while let Some(error) = cause {
        words = error.to_string();
        cause = error.source();
    }
    excerpt(words.as_bytes())
}

/// The library of TLS is not one of ours, so that its errors are known by where they
/// come from alone.
fn is_of_tls(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        // The debug form of such an error names its kind.
        let inner = error.downcast_ref::<std::io::Error>();
        if let Some(inner) = inner.and_then(std::io::Error::get_ref) {
            let kind = format!("{inner:?}");
            return [
                "InvalidCertificate",
                "tls handshake",
                "InvalidMessage",
                "AlertReceived",
                "PeerIncompatible",
            ]
            .iter()
            .any(|known| kind.contains(known));
        }
        cause = error.source();
    }
    false
}

/// Looks names up as the host does, and leaves out addresses at which no source can
/// be: a name may be anybody's, and those lead to the host's own surroundings, such
/// as a cloud's service for credentials.
struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let good: Vec<SocketAddr> = found.filter(|it| is_reachable(it.ip())).collect();
            if good.is_empty() {
                return Err("the name has no address that a source can have".into());
            }
            let good: Addrs = Box::new(good.into_iter());
            Ok(good)
        })
    }
}

/// Whether a source can be there: no link-local, multicast or unspecified address.
fn is_reachable(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            !(v4.is_link_local() || v4.is_multicast() || v4.is_broadcast() || v4.octets()[0] == 0)
        }
        IpAddr::V6(v6) => !(v6.is_unicast_link_local() || v6.is_multicast() || v6.is_unspecified()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_says_in_seconds_or_by_a_date_when_to_come_again() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_445_412_480 - 30);
        let after = |text| retry_after(text, now).map(|wait| wait.as_secs());
        assert_eq!(after("120"), Some(120));
        assert_eq!(after(" 0 "), Some(0));
        assert_eq!(after("99999999999"), Some(3600));
        assert_eq!(after("Wed, 21 Oct 2015 07:28:00 GMT"), Some(30));
        assert_eq!(after("Wed, 21 Oct 2015 07:00:00 GMT"), Some(0));
        assert_eq!(after("soon"), None);
        assert_eq!(after("-1"), None);
    }

    #[test]
    fn no_name_leads_to_the_surroundings_of_the_host() {
        for bad in [
            "169.254.169.254",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "fe80::1",
            "ff02::1",
            "::ffff:169.254.169.254",
        ] {
            assert!(!is_reachable(bad.parse().unwrap()), "{bad}");
        }
        for good in [
            "127.0.0.1",
            "10.1.2.3",
            "192.0.2.1",
            "::1",
            "2001:db8::1",
            "fd00::1",
        ] {
            assert!(is_reachable(good.parse().unwrap()), "{good}");
        }
    }

    #[test]
    fn words_are_those_of_prometheus_or_the_beginning() {
        let body = br#"{"status":"error","errorType":"bad_data","error":"parse error"}"#;
        assert_eq!(words(body), "bad_data: parse error");
        assert_eq!(words(b"<h1>Bad Gateway</h1>"), "<h1>Bad Gateway</h1>");
    }
}
