//! Sources behind Debian's nginx, which asks for a login.

use std::path::Path;

use tempfile::TempDir;

use super::world::World;
use super::{HOUR_S, assert_series, entry, minute, plan, records, write};
use crate::fixture::graphite_web::GraphiteWeb;
use crate::fixture::process::Process;
use crate::fixture::redis::Redis;
use crate::fixture::{eventually, free_port, holds, http};

/// A running nginx before one source.
struct Nginx {
    address: String,
    _process: Process,
    directory: TempDir,
}

impl Nginx {
    /// One that lets those pass whom `location`, a part of its configuration, allows.
    fn before(target: &str, location: &str) -> Nginx {
        let directory = TempDir::with_prefix("skyring-nginx-").unwrap();
        for _ in 0..5 {
            let address = format!("127.0.0.1:{}", free_port());
            configure(directory.path(), &address, target, location);
            let mut process = Process::start("nginx", "/usr/sbin/nginx", |command| {
                let path = directory.path();
                command
                    .arg("-p")
                    .arg(path)
                    .arg("-c")
                    .arg(path.join("nginx.conf"));
                command.args(["-e", "stderr", "-g", "daemon off;"]);
            });
            let is_there = eventually("nginx listened or ended", || {
                if !process.is_running() {
                    return Ok(false);
                }
                let answer = http::get(&address, "/nginx")?;
                holds(answer.code == 204, || answer.body.clone())?;
                Ok(true)
            });
            if is_there {
                return Nginx {
                    address,
                    _process: process,
                    directory,
                };
            }
        }
        panic!("nginx did not start; .ci/install installs it");
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A file beside it, with this content.
    fn file(&self, name: &str, content: &str) -> String {
        let path = self.directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    }
}

fn configure(path: &Path, address: &str, target: &str, location: &str) {
    let path_text = path.display();
    std::fs::write(path.join("users"), "me:{PLAIN}let-me-in\n").unwrap();
    let text = format!(
        "pid {path_text}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n\
         client_body_temp_path {path_text}/body;\nproxy_temp_path {path_text}/proxy;\n\
         fastcgi_temp_path {path_text}/fastcgi;\nuwsgi_temp_path {path_text}/uwsgi;\n\
         scgi_temp_path {path_text}/scgi;\nserver {{\nlisten {address};\n\
         location = /nginx {{ return 204; }}\n\
         location / {{\n{location}\nproxy_pass http://{target};\n}}\n}}\n}}\n"
    );
    std::fs::write(path.join("nginx.conf"), text).unwrap();
}

#[test]
fn logins_come_from_files_and_a_wrong_one_is_named() {
    let begin = minute() - HOUR_S;
    let web = GraphiteWeb::start();
    write(&web, "a", 60, begin - HOUR_S..begin + HOUR_S);
    let basic = "auth_basic source;\nauth_basic_user_file users;";
    let bearer = "if ($http_authorization != 'Bearer the-token') { return 401; }";
    let key = "if ($http_x_api_key != 'the-key') { return 403; }";
    let [basic, bearer, key] = [basic, bearer, key].map(|it| Nginx::before(web.address(), it));
    let password = basic.file("password", "let-me-in\n");
    let token = bearer.file("token", "the-token");
    let api_key = key.file("key", "the-key\n");
    let missing = format!("{api_key}.missing");
    let named = |name: &str, more: &str| format!("graphite_target = '{name}'{more}");
    let redis = Redis::start();
    let entries = [
        (
            &basic,
            "basic",
            format!(", user = 'me', password_file = '{password}'"),
        ),
        (&bearer, "bearer", format!(", token_file = '{token}'")),
        (&key, "key", format!(", api_key_file = '{api_key}'")),
        (
            &basic,
            "wrong",
            ", user = 'me', password = 'let-them-in'".to_owned(),
        ),
        (&bearer, "none", String::new()),
        (&key, "missing", format!(", api_key_file = '{missing}'")),
    ];
    let entries: Vec<String> = entries
        .iter()
        .map(|(nginx, name, more)| entry(&nginx.url(), "graphite", "a", &named(name, more)))
        .collect();
    let world = World::start(&plan(&redis, &entries), begin + 20);
    world.run_for(300);
    let expected = records((begin - 600..begin + 300).step_by(60));
    for metric in ["basic", "bearer", "key"] {
        assert_series(&redis, metric, &expected);
    }
    for (place, said) in [(3, "status 401"), (4, "status 401"), (5, "cannot read")] {
        let entry = world.wait_for(place, "the fault was named", |entry| {
            entry["error"].as_str().unwrap().contains(said)
        });
        assert!(!entry.to_string().contains("let-"), "{entry}");
    }
    let shown = world.status().to_string();
    for secret in ["let-me-in", "let-them-in", "the-token", "the-key"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    world.finish();
}
