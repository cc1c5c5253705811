//! Redis: whether it answers, takes writes, and keeps what it is given.

use std::io;
use std::process::{Command, Stdio};
use std::time::Duration;

use redis::{Connection, ErrorKind, RedisError, RedisResult};

use super::Finding;
use crate::redis_info::InfoFields;
use crate::settings::{RedisAddress, RedisUrl, Settings};

/// How long connecting and each answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Checks the configured Redis or, if the server is to start its own, that it can.
pub(super) fn check(settings: &Settings) -> Vec<Finding> {
    if settings.redis_is_private() {
        return vec![check_server_program("redis-server")];
    }
    check_url(&settings.redis_url(), &settings.redis.namespace)
}

/// Connects to Redis and logs in, with a short time-out for this and each later answer.
pub(crate) fn connect(url: &RedisUrl) -> RedisResult<Connection> {
    let client = redis::Client::open(url.connection_info()?)?;
    let connection = client.get_connection_with_timeout(ANSWER_TIMEOUT)?;
    connection.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    connection.set_write_timeout(Some(ANSWER_TIMEOUT))?;
    Ok(connection)
}

fn check_server_program(program: &str) -> Finding {
    let output = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output();
    let output = match output {
        Ok(output) if output.status.success() => output,
        Ok(output) => {
            let message = format!("{program} --version ended with {}", output.status);
            return Finding::fault(
                "redis",
                message,
                "install redis-server anew, or set redis.url",
            );
        }
        Err(error) => {
            let message = format!("no redis.url is set, and {program} cannot be run: {error}");
            return Finding::fault(
                "redis",
                message,
                "apt install redis-server, or set redis.url",
            );
        }
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text
        .split_whitespace()
        .find_map(|word| word.strip_prefix("v="));
    let version = version.unwrap_or("of unknown version");
    Finding::ok(
        "redis",
        format!("a private {program} {version} will be started"),
    )
}

fn check_url(url: &RedisUrl, namespace: &str) -> Vec<Finding> {
    let shown = url.display();
    let mut connection = match connect(url) {
        Ok(connection) => connection,
        Err(error) => return vec![explain_connect(url, &error)],
    };
    let info: RedisResult<String> = redis::cmd("INFO").query(&mut connection);
    let info = match info {
        Ok(info) => info,
        Err(error) => return vec![explain_connect(url, &error)],
    };
    // A write that changes nothing where there is no such list, but is refused for
    // all the reasons for which Redis refuses APPEND.
    let key = format!("{namespace}skyring.check.write");
    let written = redis::cmd("LPUSHX")
        .arg(key)
        .arg("")
        .query::<()>(&mut connection);
    judge(&shown, &InfoFields::parse(&info), written.err().as_ref())
}

fn judge(shown: &str, info: &InfoFields<'_>, refused: Option<&RedisError>) -> Vec<Finding> {
    let version = info.text("redis_version");
    let mut findings = vec![Finding::ok(
        "redis",
        format!("{shown} answers, version {version}"),
    )];
    if info.number("loading") == 1 {
        findings.push(Finding::warn(
            "redis",
            format!(
                "still loads its data, {} s more by its own estimate",
                info.number("loading_eta_seconds")
            ),
            "wait: the server does so too, and keeps what it can",
        ));
        return findings;
    }
    if info.number("cluster_enabled") == 1 {
        findings.push(Finding::fault(
            "redis",
            "it is in cluster mode, in which Skyline's keys cannot be read together",
            "set cluster-enabled no in redis.conf and restart Redis, or use another one",
        ));
    }
    findings.extend(replication(info));
    findings.extend(memory(info, refused));
    findings.extend(persistence(info, refused));
    findings.extend(refused.and_then(explain_refusal));
    findings
}

fn replication(info: &InfoFields<'_>) -> Option<Finding> {
    if info.text("role") == "slave" {
        let master = format!("{}:{}", info.text("master_host"), info.text("master_port"));
        let message = format!("it is a read-only replica of {master}");
        let mend =
            format!("set redis.url to the master, {master}, or run redis-cli replicaof no one");
        return Some(Finding::fault("redis", message, mend));
    }
    let replicas = info.number("connected_slaves");
    (replicas > 0).then(|| {
        let message = format!("{replicas} replicas are connected: each write is sent to them too");
        Finding::warn(
            "redis",
            message,
            "redis-cli replicaof no one, on each replica",
        )
    })
}

fn memory(info: &InfoFields<'_>, refused: Option<&RedisError>) -> Vec<Finding> {
    let (used, max) = (info.number("used_memory"), info.number("maxmemory"));
    let policy = info.text("maxmemory_policy");
    let mut findings = Vec::new();
    if code(refused) == "OOM" || (max > 0 && used >= max && policy == "noeviction") {
        findings.push(Finding::fault(
            "redis",
            format!("its memory is full: {used} of {max} bytes (maxmemory)"),
            "redis-cli config set maxmemory BYTES to more (0 = no limit), and the same in redis.conf",
        ));
    }
    if max > 0 && policy != "noeviction" {
        findings.push(Finding::warn(
            "redis",
            format!("at maxmemory it throws whole series away (maxmemory-policy {policy})"),
            "redis-cli config set maxmemory-policy noeviction, and the same in redis.conf",
        ));
    }
    findings
}

fn persistence(info: &InfoFields<'_>, refused: Option<&RedisError>) -> Option<Finding> {
    let aof_failed = info.number("aof_enabled") == 1 && info.text("aof_last_write_status") == "err";
    let rdb_failed = info.text("rdb_last_bgsave_status") == "err";
    let message = match (aof_failed, rdb_failed) {
        (true, _) => "its last write to the append-only file failed",
        (false, true) => "its last snapshot failed",
        (false, false) => "it cannot write its data to disk",
    };
    let mend = "look into Redis's log and at the free space of its disk (df -h)";
    if code(refused) == "MISCONF" {
        let message = format!("{message}, so it refuses writes (MISCONF)");
        return Some(Finding::fault("redis", message, mend));
    }
    if aof_failed || rdb_failed {
        return Some(Finding::warn("redis", message, mend));
    }
    (info.number("aof_enabled") == 0).then(|| {
        Finding::warn(
            "redis",
            "without an append-only file it forgets what is newer than its last snapshot when \
             it ends",
            "redis-cli config set appendonly yes, and the same in redis.conf",
        )
    })
}

/// Refusals of the write that the fields of INFO do not already explain.
fn explain_refusal(error: &RedisError) -> Option<Finding> {
    match code(Some(error)) {
        "OOM" | "MISCONF" | "READONLY" | "LOADING" => None,
        "NOPERM" => Some(Finding::warn(
            "redis",
            format!("this user may not run LPUSHX, so writing could not be tried: {error}"),
            "acl setuser USER +append +sadd +lpushx, or look that it may run APPEND and SADD",
        )),
        _ => Some(Finding::fault(
            "redis",
            format!("it refuses a write: {error}"),
            "look into Redis's log",
        )),
    }
}

fn explain_connect(url: &RedisUrl, error: &RedisError) -> Finding {
    let shown = url.display();
    let fault =
        |message: &str, mend: &str| Finding::fault("redis", format!("{shown}: {message}"), mend);
    let text = error.to_string();
    if error.kind() == ErrorKind::AuthenticationFailed || code(Some(error)) == "NOAUTH" {
        return if url.password.is_some() && is_open(url) {
            let mend = "remove the password from redis.url and redis.password_file";
            fault("a password was sent, but this Redis has none", mend)
        } else if url.password.is_none() {
            fault(
                "it wants a password",
                "write it to a file and set redis.password_file to that",
            )
        } else {
            fault(
                "it refuses the user or password",
                "correct redis.url or redis.password_file",
            )
        };
    }
    if text.contains("DB index is out of range") {
        let message = format!("it has no database {}", url.db);
        return fault(
            &message,
            "set a smaller one in redis.url, or raise databases in redis.conf",
        );
    }
    if error.is_timeout() {
        let mend = "look whether it hangs or is stopped (redis-cli ping), and at firewalls";
        return fault("no answer in 2 seconds", mend);
    }
    match (&url.address, error.kind()) {
        (RedisAddress::Unix(path), ErrorKind::Io) => {
            let mend = match std::fs::metadata(path).map_err(|error| error.kind()) {
                Err(io::ErrorKind::NotFound) => {
                    "start Redis, or set redis.url to the unixsocket of its redis.conf"
                }
                _ => "start Redis; let the server's user into its socket (unixsocketperm, group)",
            };
            fault(&text, mend)
        }
        (RedisAddress::Tcp { .. }, ErrorKind::Io) => {
            let mend = "start Redis (systemctl start redis-server), or correct redis.url";
            fault(&text, mend)
        }
        _ => fault(&text, "look into Redis's log, or correct redis.url"),
    }
}

/// Whether it answers without login.
fn is_open(url: &RedisUrl) -> bool {
    let url = RedisUrl {
        user: None,
        password: None,
        db: 0,
        ..url.clone()
    };
    connect(&url)
        .and_then(|mut connection| redis::cmd("PING").query::<()>(&mut connection))
        .is_ok()
}

fn code(error: Option<&RedisError>) -> &str {
    error.and_then(RedisError::code).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;
    use crate::private_redis::tests::TestRedis;

    fn found(redis: &TestRedis) -> Vec<Finding> {
        check_url(&redis.url(), "metrics.")
    }

    fn has(findings: &[Finding], verdict: Verdict, text: &str) -> bool {
        findings
            .iter()
            .any(|finding| finding.verdict == verdict && finding.message.contains(text))
    }

    fn faults(findings: &[Finding]) -> usize {
        findings
            .iter()
            .filter(|finding| finding.verdict == Verdict::Fault)
            .count()
    }

    fn run(redis: &TestRedis, words: &[&str]) {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query::<()>(&mut redis.connect()).unwrap();
    }

    #[test]
    fn a_good_redis_is_found_good_and_left_unchanged() {
        let redis = TestRedis::start(&["--appendonly", "yes"]);
        let findings = found(&redis);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(
            has(&findings, Verdict::Ok, "answers, version "),
            "{findings:?}"
        );
        let keys: Vec<String> = redis::cmd("KEYS")
            .arg("*")
            .query(&mut redis.connect())
            .unwrap();
        assert!(keys.is_empty(), "{keys:?}");
    }

    #[test]
    fn cluster_mode_is_a_fault() {
        let redis = TestRedis::start(&["--cluster-enabled", "yes", "--port", "0"]);
        let findings = found(&redis);
        assert!(
            has(&findings, Verdict::Fault, "cluster mode"),
            "{findings:?}"
        );
    }

    #[test]
    fn full_memory_is_a_fault_and_eviction_a_warning() {
        let redis = TestRedis::start(&["--appendonly", "yes"]);
        run(&redis, &["CONFIG", "SET", "maxmemory", "1"]);
        let findings = found(&redis);
        assert!(
            has(&findings, Verdict::Fault, "memory is full"),
            "{findings:?}"
        );
        assert_eq!(faults(&findings), 1, "{findings:?}");
        run(
            &redis,
            &[
                "CONFIG",
                "SET",
                "maxmemory",
                "1gb",
                "maxmemory-policy",
                "allkeys-lru",
            ],
        );
        let findings = found(&redis);
        assert!(has(&findings, Verdict::Warn, "allkeys-lru"), "{findings:?}");
        assert_eq!(faults(&findings), 0, "{findings:?}");
    }

    #[test]
    fn a_replica_is_a_fault() {
        // Nothing listens on port 1, so the replica stays without its master.
        let redis = TestRedis::start(&["--replicaof", "127.0.0.1 1"]);
        let findings = found(&redis);
        assert!(
            has(&findings, Verdict::Fault, "replica of 127.0.0.1:1"),
            "{findings:?}"
        );
        assert_eq!(faults(&findings), 1, "{findings:?}");
    }

    #[test]
    fn no_append_only_file_is_a_warning() {
        let redis = TestRedis::start(&[]);
        let findings = found(&redis);
        assert!(
            has(&findings, Verdict::Warn, "append-only file"),
            "{findings:?}"
        );
    }

    #[test]
    fn a_missing_or_wrong_or_needless_password_is_told_apart() {
        let redis = TestRedis::start(&["--requirepass", "right"]);
        let with = |password: Option<&str>| {
            let url = RedisUrl {
                password: password.map(str::to_owned),
                ..redis.url()
            };
            check_url(&url, "metrics.")
        };
        assert!(has(&with(None), Verdict::Fault, "wants a password"));
        let wrong = with(Some("wrong"));
        assert!(
            has(&wrong, Verdict::Fault, "refuses the user or password"),
            "{wrong:?}"
        );
        assert_eq!(faults(&with(Some("right"))), 0);
        let open = TestRedis::start(&[]);
        let url = RedisUrl {
            password: Some("needless".to_owned()),
            ..open.url()
        };
        let needless = check_url(&url, "metrics.");
        assert!(
            has(&needless, Verdict::Fault, "but this Redis has none"),
            "{needless:?}"
        );
    }

    #[test]
    fn a_database_that_is_not_there_is_a_fault() {
        let redis = TestRedis::start(&[]);
        let findings = check_url(
            &RedisUrl {
                db: 99,
                ..redis.url()
            },
            "metrics.",
        );
        assert!(
            has(&findings, Verdict::Fault, "no database 99"),
            "{findings:?}"
        );
    }

    // A user made for Skyring alone may have just the commands that it needs.
    #[test]
    fn a_user_without_the_probing_command_is_a_warning() {
        let redis = TestRedis::start(&["--appendonly", "yes"]);
        run(
            &redis,
            &[
                "ACL", "SETUSER", "me", "on", ">pw", "~*", "+info", "+append", "+sadd",
            ],
        );
        let url = RedisUrl {
            user: Some("me".to_owned()),
            password: Some("pw".to_owned()),
            ..redis.url()
        };
        let findings = check_url(&url, "metrics.");
        assert!(has(&findings, Verdict::Warn, "LPUSHX"), "{findings:?}");
        assert_eq!(faults(&findings), 0, "{findings:?}");
    }

    #[test]
    fn an_absent_redis_is_a_fault_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let url = RedisUrl::unix(dir.path().join("none.sock"));
        let findings = check_url(&url, "metrics.");
        assert!(has(&findings, Verdict::Fault, "none.sock"), "{findings:?}");
        assert!(findings[0].mend.starts_with("start Redis"), "{findings:?}");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        drop(listener);
        let url = RedisUrl::parse(&format!("redis://{addr}")).unwrap();
        let findings = check_url(&url, "metrics.");
        assert!(
            has(&findings, Verdict::Fault, "Connection refused"),
            "{findings:?}"
        );
    }

    // A Redis that is stopped still accepts connections, by the kernel's hand.
    #[test]
    fn a_redis_that_does_not_answer_is_a_fault() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mute.sock");
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let findings = check_url(&RedisUrl::unix(path), "metrics.");
        assert!(
            has(&findings, Verdict::Fault, "no answer in 2 seconds"),
            "{findings:?}"
        );
    }

    // What cannot be brought about here with a real Redis: replies as Redis words them.
    #[test]
    fn failures_of_disk_and_loading_are_judged_from_what_redis_tells() {
        let info = InfoFields::parse;
        let error = |code: &str| {
            let reply = format!("-{code} whatever it says\r\n");
            let value = redis::parse_redis_value(reply.as_bytes()).unwrap();
            value.extract_error().unwrap_err()
        };
        let aof = "aof_enabled:1\r\naof_last_write_status:err\r\n";
        let misconf = judge("x", &info(aof), Some(&error("MISCONF")));
        assert!(
            has(&misconf, Verdict::Fault, "append-only file failed, so"),
            "{misconf:?}"
        );
        assert_eq!(faults(&misconf), 1, "{misconf:?}");
        let rdb = "aof_enabled:1\r\nrdb_last_bgsave_status:err\r\n";
        assert!(has(
            &judge("x", &info(rdb), None),
            Verdict::Warn,
            "snapshot failed"
        ));
        let loading = judge(
            "x",
            &info("loading:1\r\nloading_eta_seconds:7\r\n"),
            Some(&error("LOADING")),
        );
        assert!(
            has(&loading, Verdict::Warn, "7 s more") && faults(&loading) == 0,
            "{loading:?}"
        );
        let replicas = "role:master\r\nconnected_slaves:2\r\naof_enabled:1\r\n";
        assert!(has(
            &judge("x", &info(replicas), None),
            Verdict::Warn,
            "2 replicas"
        ));
        let odd = judge("x", &info("aof_enabled:1\r\n"), Some(&error("ODD")));
        assert!(has(&odd, Verdict::Fault, "refuses a write"), "{odd:?}");
    }

    #[test]
    fn a_private_redis_needs_its_program() {
        let finding = check_server_program("redis-server");
        assert!(finding.verdict == Verdict::Ok && finding.message.contains(" will be started"));
        let finding = check_server_program("no-such-redis-server");
        assert!(
            finding.mend.starts_with("apt install redis-server"),
            "{finding}"
        );
    }
}
