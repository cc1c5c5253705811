//! Graphite: whether carbon takes a connection and reads it, and whether the URL
//! answers as Graphite does.

use std::io::{self, ErrorKind};
use std::time::Duration;

use reqwest::StatusCode;

use super::Finding;
use crate::carbon::{Connection, End};
use crate::settings::{Endpoint, HttpUrl, Settings};

/// Longest wait for Graphite's answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// What Graphite is asked for: a metric that there is not.
const QUESTION: &str = "/render/?target=skyring.check.no.such.metric&format=json&from=-1min";
/// Longest part of an answer that is looked at.
const ANSWER_BYTES_MAX: usize = 1 << 16;

/// Checks each carbon and the Graphite that are configured.
pub(super) fn check(settings: &Settings) -> Vec<Finding> {
    let graphite = &settings.graphite;
    let carbons = [
        ("graphite.carbon_pickle", &graphite.carbon_pickle),
        ("self_metrics.carbon", &settings.self_metrics.carbon),
    ];
    let mut findings = Vec::new();
    for (key, carbon) in carbons {
        if let Some(carbon) = carbon {
            let connected = Connection::open(&carbon.to_string()).and_then(Connection::finish);
            findings.push(judge_carbon(key, carbon, connected));
        }
    }
    if let Some(url) = &graphite.url {
        findings.push(judge_graphite(url, ask(url)));
    }
    findings
}

fn judge_carbon(key: &str, carbon: &Endpoint, connected: io::Result<End>) -> Finding {
    let error = match connected {
        Ok(End::Closed) => {
            return Finding::ok("carbon", format!("{key} {carbon} takes connections"));
        }
        Ok(End::Silent) => {
            let message = format!("{key} {carbon} takes connections but does not read them");
            let mend = "look whether carbon hangs or its cache is full (MAX_CACHE_SIZE, \
                        USE_FLOW_CONTROL), and whether it is carbon that listens there";
            return Finding::warn("carbon", message, mend);
        }
        Err(error) => error,
    };
    let mend = match error.kind() {
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset => format!(
            "look into carbon's log, and at MAX_RECEIVER_CONNECTIONS in its carbon.conf; or set \
             {key}"
        ),
        _ => mend_connect(key, carbon.host(), carbon.port(), &error),
    };
    let what = "PICKLE_RECEIVER_INTERFACE and PICKLE_RECEIVER_PORT in its carbon.conf";
    let mend = mend.replace("{listens}", what);
    Finding::fault("carbon", format!("{key} {carbon}: {error}"), mend)
}

/// How to mend that there is no connection; `{listens}` stands for what says where the
/// other side listens.
fn mend_connect(key: &str, host: &str, port: u16, error: &io::Error) -> String {
    let open = format!("iptables -I INPUT -p tcp --dport {port} -j ACCEPT");
    match error.kind() {
        ErrorKind::ConnectionRefused => format!(
            "start it there, or look at {{listens}} (ss -lnt 'sport = :{port}' on {host} shows \
             who listens); a firewall that rejects looks the same; or set {key}"
        ),
        ErrorKind::TimedOut => format!(
            "a firewall there or on the way drops what is sent to port {port}: let it in ({open}, \
             on {host}), or look whether the host is up; or set {key}"
        ),
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => format!(
            "a firewall there rejects what is sent to port {port} ({open}, on {host}), or there \
             is no route (ip route get {host}); or set {key}"
        ),
        ErrorKind::PermissionDenied => format!(
            "a firewall on this host forbids it: iptables -I OUTPUT -p tcp --dport {port} -j \
             ACCEPT"
        ),
        _ => format!("getent hosts {host} shows what the name means here; or set {key}"),
    }
}

/// Why Graphite has not answered as it does.
#[derive(Debug)]
enum Trouble {
    /// There is no connection.
    Connect(io::Error),
    /// It has answered with this code.
    Code(StatusCode),
    /// Its answer is no list.
    NotGraphite,
    /// Whatever else, in words.
    Other(String),
}

fn ask(url: &HttpUrl) -> Result<(), Trouble> {
    let other = |error: &dyn std::error::Error| Trouble::Other(words(error));
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime
        .enable_all()
        .build()
        .map_err(|error| other(&error))?;
    runtime.block_on(async {
        let client = reqwest::Client::builder().timeout(ANSWER_TIMEOUT).build();
        let client = client.map_err(|error| other(&error))?;
        let question = client.get(format!("{}{QUESTION}", url.as_str())).send();
        let mut answer = question.await.map_err(|error| trouble(&error))?;
        if answer.status() != StatusCode::OK {
            return Err(Trouble::Code(answer.status()));
        }
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(|error| trouble(&error))? {
            body.extend_from_slice(&part);
            if body.len() > ANSWER_BYTES_MAX {
                return Err(Trouble::NotGraphite);
            }
        }
        let list: Result<Vec<serde_json::Value>, _> = serde_json::from_slice(&body);
        list.map(drop).map_err(|_| Trouble::NotGraphite)
    })
}

fn trouble(error: &reqwest::Error) -> Trouble {
    if error.is_timeout() {
        let text = format!("no answer in {} s", ANSWER_TIMEOUT.as_secs());
        return Trouble::Connect(io::Error::new(ErrorKind::TimedOut, text));
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
        if let Some(error) = cause.downcast_ref::<io::Error>()
            && error.raw_os_error().is_some()
        {
            return Trouble::Connect(io::Error::new(error.kind(), error.to_string()));
        }
    }
    Trouble::Other(words(error))
}

/// An error with its causes.
fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        text.push_str(&format!(": {deeper}"));
        cause = deeper.source();
    }
    text
}

/// Without it nothing is lost, only history is not found: so it is a warning.
fn judge_graphite(url: &HttpUrl, asked: Result<(), Trouble>) -> Finding {
    let shown = url.as_str();
    let trouble = match asked {
        Ok(()) => return Finding::ok("graphite", format!("graphite.url {shown} answers")),
        Err(trouble) => trouble,
    };
    let (message, mend) = match trouble {
        Trouble::Connect(error) => {
            let parsed = reqwest::Url::parse(shown).ok();
            let port = parsed
                .as_ref()
                .and_then(reqwest::Url::port_or_known_default);
            let host = parsed.as_ref().and_then(reqwest::Url::host_str);
            let (host, port) = (host.unwrap_or_default(), port.unwrap_or(80));
            let mend = mend_connect("graphite.url", host, port, &error);
            let mend = mend.replace("{listens}", "the address that its web server listens on");
            (error.to_string(), mend)
        }
        Trouble::Code(code @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)) => (
            format!("it answers {code}"),
            "let this host in without a login, in the configuration of its web server".to_owned(),
        ),
        Trouble::Code(code) => (
            format!("it answers {code} to /render"),
            "set graphite.url to what stands before /render; or look into Graphite's log"
                .to_owned(),
        ),
        Trouble::NotGraphite => (
            "what answers to /render is no Graphite".to_owned(),
            "set graphite.url to what stands before /render".to_owned(),
        ),
        Trouble::Other(text) => (text, "correct graphite.url".to_owned()),
    };
    Finding::warn("graphite", format!("graphite.url {shown}: {message}"), mend)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::super::Verdict;
    use super::*;

    fn settings(sets: &[String]) -> Settings {
        Settings::load(None, sets).unwrap()
    }

    fn listen() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        (listener, address)
    }

    #[test]
    fn without_either_there_is_nothing_to_say() {
        assert_eq!(check(&Settings::default()), []);
    }

    #[test]
    fn a_carbon_that_reads_to_the_end_is_good() {
        let (listener, address) = listen();
        let reader = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            listener
                .accept()
                .unwrap()
                .0
                .read_to_end(&mut bytes)
                .unwrap()
        });
        let found = check(&settings(&[format!("graphite.carbon_pickle={address}")]));
        assert_eq!(found[0].verdict, Verdict::Ok, "{found:?}");
        assert_eq!(reader.join().unwrap(), 0, "no point is made up");
    }

    #[test]
    fn a_port_that_nobody_listens_on_is_named_with_the_firewall() {
        let (listener, address) = listen();
        drop(listener);
        let sets = [
            "graphite.carbon_pickle",
            "self_metrics.carbon",
            "graphite.url",
        ];
        let port = address.rsplit(':').next().unwrap();
        let set = |key: &&str| match *key {
            "graphite.url" => format!("{key}=http://{address}/x"),
            _ => format!("{key}={address}"),
        };
        let found = check(&settings(&sets.iter().map(set).collect::<Vec<_>>()));
        assert_eq!(found.len(), 3);
        for (finding, key) in found.iter().zip(sets) {
            let text = finding.to_string();
            let wanted = [key, &address, "refused", "firewall", port, "ss -lnt"];
            for part in wanted {
                assert!(text.contains(part), "{part}: {text}");
            }
        }
        let verdicts: Vec<Verdict> = found.iter().map(|finding| finding.verdict).collect();
        assert_eq!(verdicts, [Verdict::Fault, Verdict::Fault, Verdict::Warn]);
    }

    // What only a network can bring about.
    #[test]
    fn firewalls_that_drop_or_reject_and_hosts_that_are_not_are_told_apart() {
        let endpoint: Endpoint = "graphite.example.org:2004".parse().unwrap();
        let mend = |error: io::Error| {
            let finding = judge_carbon("graphite.carbon_pickle", &endpoint, Err(error));
            assert_eq!(finding.verdict, Verdict::Fault);
            finding.mend
        };
        let dropped = mend(io::ErrorKind::TimedOut.into());
        assert!(
            dropped.contains("iptables -I INPUT -p tcp --dport 2004 -j ACCEPT, on graphite.ex"),
            "{dropped}"
        );
        let rejected = mend(io::ErrorKind::HostUnreachable.into());
        assert!(rejected.contains("firewall") && rejected.contains("ip route get graphite."));
        let own = mend(io::ErrorKind::PermissionDenied.into());
        assert!(own.contains("OUTPUT -p tcp --dport 2004"), "{own}");
        let name = mend(io::Error::other("failed to lookup address information"));
        assert!(name.contains("getent hosts graphite.example.org"), "{name}");
        let closed = mend(io::ErrorKind::ConnectionReset.into());
        assert!(closed.contains("MAX_RECEIVER_CONNECTIONS"), "{closed}");
        let silent = judge_carbon("graphite.carbon_pickle", &endpoint, Ok(End::Silent));
        assert_eq!(silent.verdict, Verdict::Warn);
    }

    /// Answers one request with this.
    fn answering(text: &'static str) -> HttpUrl {
        let (listener, address) = listen();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let length = stream.read(&mut request).unwrap();
            let asked = String::from_utf8_lossy(&request[..length]).into_owned();
            assert!(
                asked.starts_with("GET /graphite/render/?target="),
                "{asked}"
            );
            stream.write_all(text.as_bytes()).unwrap();
        });
        let url = format!("graphite.url=http://{address}/graphite/");
        settings(&[url]).graphite.url.unwrap()
    }

    #[test]
    fn what_answers_is_held_against_what_graphite_answers() {
        let judge = |text| {
            let url = answering(text);
            judge_graphite(&url, ask(&url))
        };
        let good = judge("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]");
        assert_eq!(good.verdict, Verdict::Ok, "{good}");
        for (answer, part) in [
            (
                "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n",
                "without a login",
            ),
            (
                "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",
                "stands before /render",
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
                "is no Graphite",
            ),
            ("SSH-2.0-OpenSSH\r\n", "correct graphite.url"),
        ] {
            let finding = judge(answer);
            assert_eq!(finding.verdict, Verdict::Warn);
            assert!(finding.to_string().contains(part), "{finding}");
        }
    }
}
