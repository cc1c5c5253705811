//! Files of points uploaded to Flux, and the page that does it.

use crate::fixture::browser::Browser;
use tempfile::TempDir;

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
