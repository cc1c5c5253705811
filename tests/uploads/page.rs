//! The upload page in a real browser.

use tempfile::TempDir;

use super::{KEY, NAMESPACE, csv, expected, flux, form, plan, stored};
use crate::fixture::browser::Browser;
use crate::fixture::redis::Redis;
use crate::fixture::{eventually, holds, http};

// Shows that the driver, the console and the screenshots that the other tests trust work.
#[test]
fn the_browser_runs_scripts_and_tells_their_errors() {
    let directory = TempDir::new().unwrap();
    let page = directory.path().join("page.html");
    let text = "<!doctype html><h1>A page</h1><input id=i><button id=b>b</button>\
                <script>b.onclick = () => { document.querySelector('h1').textContent = i.value; \
                console.error('clicked') }</script>";
    std::fs::write(&page, text).unwrap();
    let browser = Browser::start();
    browser.open(&format!("file://{}", page.display()));
    browser.type_into("#i", "typed");
    browser.click("#b");
    assert_eq!(
        browser.wait_for_text("h1", |text| text != "A page"),
        "typed"
    );
    assert!(
        browser
            .console()
            .iter()
            .any(|line| line.contains("clicked"))
    );
    browser.set_theme("dark");
    let script = "return matchMedia('(prefers-color-scheme: dark)').matches";
    assert_eq!(browser.run(script), true);
    let picture = directory.path().join("page.png");
    browser.screenshot(&picture);
    assert!(std::fs::read(&picture).unwrap().starts_with(b"\x89PNG"));
}

#[test]
fn a_file_is_uploaded_by_the_page_and_the_result_is_seen() {
    let redis = Redis::start();
    let skyring = plan(&redis).start();
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("data.csv");
    std::fs::write(&file, csv("UTC", "%Y-%m-%d %H:%M:%S")).unwrap();
    let browser = Browser::start();
    browser.open(&format!("http://{}/flux/upload", flux(&skyring)));
    browser.type_into("#namespace", NAMESPACE);
    browser.type_into("#data_file", file.to_str().unwrap());
    browser.type_into("#columns_to_metrics", "date,cpu,mem");
    browser.click("#send");
    let said = browser.wait_for_text("#headline", |text| !text.is_empty());
    assert_eq!(said, "Not sent: Key of the namespace is needed");
    browser.type_into("#key", "wrong");
    browser.click("#send");
    browser.wait_for_text("#headline", |text| {
        text == "Refused: the key is not the namespace's"
    });
    browser.run("document.getElementById('key').value = ''");
    browser.type_into("#key", KEY);
    // Enter sends the form: no mouse is needed.
    browser.press("\u{e007}");
    browser.wait_for_text("#headline", |text| text == "Done: all was processed");
    let table = browser.text("#table");
    assert!(
        table.contains("completed - processed all 2 data columns OK"),
        "{table}"
    );
    assert_eq!(stored(&redis), expected());
    // The refusal with 401 is told by the browser itself.
    let told = browser.console();
    assert!(told.iter().all(|line| line.contains("401")), "{told:?}");
}

#[test]
fn the_page_fits_phones_and_both_themes_and_all_its_fields_have_labels() {
    let redis = Redis::start();
    let skyring = plan(&redis).start();
    let browser = Browser::start();
    browser.open(&format!("http://{}/upload", flux(&skyring)));
    for (theme, width) in [
        ("light", 360),
        ("dark", 360),
        ("light", 1280),
        ("dark", 1280),
    ] {
        browser.set_theme(theme);
        browser.resize(width, 900);
        let wide =
            "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
        assert_eq!(browser.run(wide), 0, "{theme} {width}");
    }
    browser.reload();
    let nameless = "return [...document.querySelectorAll('input, select')]\
                    .filter((field) => field.labels.length === 0).map((field) => field.name)";
    assert_eq!(browser.run(nameless), serde_json::json!([]));
    assert!(browser.console().is_empty());
    let head = http::get(&flux(&skyring), "/upload")
        .unwrap()
        .head
        .to_ascii_lowercase();
    assert!(
        head.contains("content-security-policy: default-src 'none'; script-src 'nonce-"),
        "{head}"
    );
    assert!(head.contains("frame-ancestors 'none'") && head.contains("cache-control: no-store"));
}

// A page of another site could else have the browser of an operator upload.
#[test]
fn a_page_of_another_site_cannot_upload() {
    let redis = Redis::start();
    let skyring = plan(&redis).start();
    let address = flux(&skyring);
    // Another port is another origin, and the name of the host another site.
    let other = plan(&redis).start();
    let browser = Browser::start();
    let port = flux(&other).rsplit_once(':').unwrap().1.to_owned();
    browser.open(&format!("http://localhost:{port}/healthz"));
    browser.run(&format!(
        "const form = new FormData(); form.set('key', '{KEY}');\
         fetch('http://{address}/upload_data', {{ method: 'POST', mode: 'no-cors', body: form }})\
         .catch(() => 0)"
    ));
    eventually("the request was refused", || {
        let status = skyring.status();
        let refused = &status["flux"]["endpoints"]["upload_data"]["refused"];
        holds(refused["other_site"] == 1, || refused.to_string())
    });
    // And a request of the same site without the token of a page.
    let data = form(&[]).file("data_file", "data.csv", b"date,cpu,mem\n");
    let origin = format!("http://{address}");
    let answer = data.post(&address, "/upload_data", &[("Origin", &origin)]);
    assert_eq!(answer.code, 403);
    assert!(
        answer.body.contains("this page is too old"),
        "{}",
        answer.body
    );
}
