//! Flux behind a real nginx with TLS and basic authentication, as `skyring generate
//! nginx` sets it up.

use crate::fixture::nginx::{self, Nginx, Secrets};
use crate::fixture::now_s;
use crate::fixture::redis::Redis;
use crate::fixture::run::{run, run_other};
use crate::fixture::skyring::Plan;

#[test]
fn nginx_takes_its_configuration() {
    let secrets = Secrets::make();
    let path = secrets.path();
    std::fs::write(path.join("skyring.conf"), generate_nginx(&secrets, &[])).unwrap();
    let file = path.join("nginx.conf");
    std::fs::write(&file, nginx::main_file(&path.display().to_string())).unwrap();
    let (path, file) = (path.to_str().unwrap(), file.to_str().unwrap());
    let quietly = ["-t", "-q", "-e", "stderr", "-p", path, "-c", file];
    let ended = run_other("/usr/sbin/nginx", &quietly, b"");
    assert_eq!((ended.code, &*ended.stderr), (0, ""));
}

/// What `skyring generate nginx` prints for these files.
fn generate_nginx(secrets: &Secrets, more: &[&str]) -> String {
    let files = [
        "generate",
        "nginx",
        "--certificate",
        &secrets.certificate(),
        "--certificate-key",
        &secrets.key(),
        "--htpasswd",
        &secrets.htpasswd(),
    ];
    let ended = run(&[&files[..], more].concat(), b"");
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    ended.stdout
}

/// Runs curl as the user of [`nginx::USER`]: the code that it got.
fn curl(nginx: &Nginx, arguments: &[&str]) -> String {
    let user = format!("{}:{}", nginx::USER.0, nginx::USER.1);
    let certificate = nginx.certificate();
    let usual = [
        "-s",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "--cacert",
        &certificate,
    ];
    let arguments = [&usual[..], &["-u", &user], arguments].concat();
    run_other("curl", &arguments, b"").stdout
}

// The two commands of Skyline's document of Flux, but for the names of hosts and files.
#[test]
fn the_curl_commands_of_skylines_document_go_through_nginx() {
    let redis = Redis::start();
    let key = "YOURown32charSkylineAPIkeySecret";
    let plan = Plan::with(&redis).set("flux.self_key", format!("\"{key}\""));
    let skyring = plan.start();
    let flux = skyring.ready["flux"][0].as_str().unwrap();
    let secrets = Secrets::make();
    let listen = format!("flux.listen=[\"{flux}\"]");
    let server = generate_nginx(&secrets, &["--set", &listen]);
    let nginx = Nginx::start(secrets, &server);
    let url = nginx.url();
    let now = now_s();
    let metric = "vista.nodes.skyline-1.cputotals.user";
    let body = format!(
        "{{\"metric\": \"{metric}\", \"timestamp\": \"{}\", \"value\": \"1.0\", \"key\": \"{key}\"}}",
        now - 60
    );
    let post = format!("{url}/flux/metric_data_post");
    let json = "Content-Type: application/json";
    let posted = curl(
        &nginx,
        &["-v", "-d", &body, "-H", json, "-X", "POST", &post],
    );
    assert_eq!(posted, "204");
    let get = format!("{url}/flux/metric_data?metric={metric}&timestamp={now}&value=1.0&key={key}");
    assert_eq!(curl(&nginx, &["-v", &get]), "204");
    // Two records of 1 + 5 + 9 bytes.
    assert_eq!(redis.series(metric).len(), 30);
    // Without the password nothing gets to Flux but what has its own.
    assert_eq!(curl(&nginx, &["-u", "operator:wrong", &get]), "401");
    let write = format!("{url}/flux/prometheus/write");
    assert_eq!(curl(&nginx, &["-X", "POST", &write]), "404");
}
