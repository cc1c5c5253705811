//! What the commands of the documents run against: real servers on free ports, and a
//! directory in the place of the host's.

use std::cell::RefCell;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

use super::text::{Document, root};
use crate::fixture::graphite_web::GraphiteWeb;
use crate::fixture::process::Process;
use crate::fixture::redis::Redis;
use crate::fixture::skyring::{Plan, Skyring};
use crate::fixture::tmux::Terminal;
use crate::fixture::{eventually, now_s};

const BINARY: &str = env!("CARGO_BIN_EXE_skyring");

/// In the place of `skyring` in the path. Where a host has /etc/skyring/skyring.toml,
/// which is what a command without --config reads, there are files of the test: that of
/// the running server; one of a server that could be started beside it; and what a
/// document has so far.
const SKYRING: &str = r#"#!/bin/sh
case " $* " in *" --config "*|*" --url "*) exec @BINARY@ "$@" ;; esac
case $1 in
    get | trim) exec @BINARY@ "$@" --config @RUNNING@ ;;
    top) exec @BINARY@ "$@" --url http://@ADMIN@/ ;;
    serve | check) exec @BINARY@ "$@" --config @FRESH@ ;;
    owner | test-rules | vista | generate) exec @BINARY@ "$@" --config @ETC@/skyring.toml ;;
    *) exec @BINARY@ "$@" ;;
esac
"#;

/// curl, to which an answer that is no success is one.
const CURL: &str = "#!/bin/sh\nexec /usr/bin/curl --silent --show-error --fail-with-body \"$@\"\n";

/// The servers, and a host's files.
pub struct World {
    pub skyring: Skyring,
    pub redis: Redis,
    web: GraphiteWeb,
    directory: TempDir,
    /// What the last upload was called.
    upload: RefCell<String>,
}

/// How a command has ended.
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl World {
    pub fn start() -> World {
        let redis = Redis::start();
        let plan = Plan::with(&redis)
            .set("horizon.line_tcp", "[\"127.0.0.1:0\", \"[::1]:0\"]")
            .set("flux.self_key", "\"KEY\"")
            .set("flux.uploads.enabled", "true")
            .set("flux.uploads.keys", "{ NAMESPACE = \"KEY\" }");
        let web = GraphiteWeb::start();
        let now_s = i64::try_from(now_s()).unwrap();
        let points: Vec<(i64, f64)> = (0..60).map(|at| (now_s - 60 * at, 1.5)).collect();
        web.write("stats.web01.procs_running", &[(60, 1440)], &points);
        let skyring = plan.start();
        let world = World {
            skyring,
            redis,
            web,
            directory: TempDir::with_prefix("skyring-documents-").unwrap(),
            upload: RefCell::default(),
        };
        world.furnish(&plan);
        world
    }

    fn furnish(&self, running: &Plan) {
        for name in ["bin", "etc", "units", "prometheus", "run", "log", "state"] {
            std::fs::create_dir(self.path(name)).unwrap();
        }
        let fresh = format!(
            "state_dir = '{}'\nhorizon.pickle = ['127.0.0.1:0']\nhorizon.msgpack = []\n\
             flux.listen = []\nadmin.listen = '127.0.0.1:0'\n",
            self.path("state").display()
        );
        std::fs::write(self.path("fresh.toml"), fresh).unwrap();
        let skyring = SKYRING
            .replace("@BINARY@", BINARY)
            .replace("@RUNNING@", running.file().to_str().unwrap())
            .replace("@ADMIN@", &self.skyring.admin())
            .replace("@FRESH@", self.path("fresh.toml").to_str().unwrap())
            .replace("@ETC@", self.path("etc").to_str().unwrap());
        for (name, script) in [("skyring", &*skyring), ("curl", CURL)] {
            let file = self.path("bin").join(name);
            std::fs::write(&file, script).unwrap();
            std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What a reader of this document has beside it: its configuration put into
    /// /etc/skyring/skyring.toml, and the files that its commands name.
    pub fn open(&self, document: &Document) {
        let blocks = document.blocks();
        let settings = blocks.iter().filter(|block| block.info == "toml");
        let settings: String = settings
            .map(|block| self.here(&block.text) + "\n")
            .collect();
        std::fs::write(self.path("etc/skyring.toml"), settings).unwrap();
        let work = self.path("work");
        let _ = std::fs::remove_dir_all(&work);
        std::fs::create_dir_all(work.join("bin")).unwrap();
        let now_s = now_s();
        let points = format!("from.a.file 1.5 {now_s}\nfrom.a.file 2 {}\n", now_s + 1);
        let data = "date,cpu,mem\n2026-11-28 12:00:00,1.5,2\n2026-11-28 12:01:00,2.5,3\n";
        for (name, text) in [
            ("points.txt", &*points),
            ("names.txt", "servers.web01.cpu\nprobe.a\n"),
            ("data.csv", data),
            ("bin/horizon.d", "#!/bin/sh\n# Skyline's own.\n"),
        ] {
            std::fs::write(work.join(name), text).unwrap();
        }
    }

    /// A text with the addresses and paths of this world instead of the document's.
    pub fn here(&self, text: &str) -> String {
        let lines = self.skyring.addresses_of("line_tcp");
        let pickle = self.skyring.pickle();
        let flux = self.skyring.ready["flux"][0].as_str().unwrap().to_owned();
        let admin = self.skyring.admin();
        let cpu = self.allowed_cpu();
        let skyline = root().join("tests/goldens/skyline/settings.py");
        let path = |name: &str| self.path(name).to_str().unwrap().to_owned();
        let pairs = [
            ("0.0.0.0:2024", "127.0.0.1:0".to_owned()),
            ("127.0.0.1:2024", pickle.clone()),
            ("relay.example.org:2004", pickle.clone()),
            ("skyring.example.org:2024", pickle),
            ("127.0.0.1:2003", lines[0].clone()),
            ("[::1]:2003", lines[1].clone()),
            ("127.0.0.1:8000", flux),
            ("127.0.0.1:2080", admin.clone()),
            (
                "https://NAME:PASSWORD@skyring.example.org/",
                format!("http://{admin}/"),
            ),
            ("https://graphite.example.org", self.web.url()),
            ("unix:/tmp/redis.sock", self.redis.unix_url()),
            ("/etc/skyring", path("etc")),
            ("/etc/prometheus", path("prometheus")),
            ("/etc/systemd/system", path("units")),
            (
                "/opt/skyline/github/skyline/skyline/settings.py",
                skyline.to_str().unwrap().to_owned(),
            ),
            ("target/release/skyring", "skyring".to_owned()),
            (
                "upload_id_key=ID",
                format!("upload_id_key={}", self.upload.borrow()),
            ),
            ("shards = 4\ncpus = [4, 5, 6, 7]", cpu),
        ];
        let replace = |text: String, (from, to): &(&str, String)| text.replace(from, to);
        pairs.iter().fold(text.to_owned(), replace)
    }

    /// The document's host has eight CPUs, this one has those that it has.
    fn allowed_cpu(&self) -> String {
        let cpus = skyring::host::allowed_cpus();
        format!("shards = 1\ncpus = [{}]", cpus[0])
    }

    /// Starts a command of a document, in a process group of its own.
    fn spawn(&self, command: &str) -> Process {
        Process::start("command", "/bin/bash", |process| {
            process.args(["-o", "pipefail", "-c", &self.here(command)]);
            process.current_dir(self.path("work"));
            let path = format!("{}:/usr/bin:/bin:/usr/sbin", self.path("bin").display());
            process.env("PATH", path);
            // What bin/horizon.d takes from there instead of what Skyline has.
            process.env("SKYRING", BINARY);
            process.env("SKYRING_CONFIG", self.path("fresh.toml"));
            process.env("PID_PATH", self.path("run"));
            process.env("LOG_PATH", self.path("log"));
            process.env("START_TIMEOUT", "60");
            process.process_group(0);
        })
    }

    /// Runs a command to its end.
    pub fn run(&self, command: &str) -> Ended {
        let mut process = self.spawn(command);
        let code = process.exit().code().unwrap_or(-1);
        let (stdout, stderr) = (process.stdout(), process.stderr());
        let told = serde_json::from_str::<serde_json::Value>(&stdout).unwrap_or_default();
        if let Some(id) = told["data"]["upload_id_key"].as_str() {
            *self.upload.borrow_mut() = id.to_owned();
        }
        Ended {
            code,
            stdout,
            stderr,
        }
    }

    /// Runs a server until it is ready, and ends it as Ctrl-C does.
    pub fn serve(&self, command: &str) {
        let mut process = self.spawn(command);
        eventually(&format!("{command}: ready"), || {
            let is_ready = process.stdout().starts_with("ready ");
            crate::fixture::holds(is_ready || !process.is_running(), || process.stderr())
        });
        process.signal(Signal::INT);
        let code = process.exit().code();
        assert_eq!(code, Some(0), "{command}: {}", process.stderr());
    }

    /// Runs what goes on for ever, until `is_done`.
    pub fn run_until(&self, command: &str, is_done: impl Fn() -> Result<(), String>) {
        let mut process = self.spawn(command);
        eventually(command, &is_done);
        let group = Pid::from_raw(process.id().cast_signed()).unwrap();
        kill_process_group(group, Signal::TERM).unwrap();
        process.exit();
    }

    /// Runs what wants a terminal, until it shows points, and presses `q`.
    pub fn run_in_terminal(&self, command: &str) {
        let path = self.path("bin").display().to_string();
        let ended = self.path("ended");
        let _ = std::fs::remove_file(&ended);
        let script = format!(
            "PATH={path}:$PATH; {}; echo $? > {}",
            self.here(command),
            ended.display()
        );
        let terminal = Terminal::start(&script, (120, 40));
        terminal.wait_for(&["pickle"]);
        terminal.press("q");
        let code = eventually("top ended", || {
            std::fs::read_to_string(&ended)
                .ok()
                .filter(|code| code.ends_with('\n'))
                .ok_or("no code yet".to_owned())
        });
        assert_eq!(code, "0\n", "{command}");
    }
}

/// A `bin/horizon.d start` whose test fails would leave its server behind.
impl Drop for World {
    fn drop(&mut self) {
        let Ok(text) = std::fs::read_to_string(self.path("run/horizon.pid")) else {
            return;
        };
        let pid = text
            .split_whitespace()
            .next()
            .and_then(|pid| pid.parse().ok());
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            // It may have ended by itself.
            let _ = rustix::process::kill_process(pid, Signal::TERM);
        }
    }
}
