//! The dashboard in a real browser.

use serde_json::Value;

use crate::fixture::browser::Browser;
use crate::fixture::redis::Redis;
use crate::fixture::sender::{Sender, frame, framed};
use crate::fixture::skyring::{Plan, Skyring};
use crate::fixture::stream::Stream;
use crate::fixture::{eventually, free_port, holds, now_s};

/// Widths of a phone, a tablet and a desk.
const WIDTHS: [(u32, u32); 3] = [(390, 844), (820, 1180), (1440, 900)];

fn open(skyring: &Skyring) -> Browser {
    let browser = Browser::start();
    browser.open(&format!("http://{}/", skyring.admin()));
    browser.wait_for_text("#state", |text| text == "Ready");
    browser
}

/// What the page shows in a cell of a listener's row, as a number.
fn cell(browser: &Browser, listener: &str, column: usize) -> u64 {
    let script = format!(
        "return document.querySelector('[data-listener={listener}]')?.cells[{column}].textContent"
    );
    let text = browser.run(&script);
    let text = text.as_str().unwrap_or_default().replace(',', "");
    text.parse().unwrap_or(0)
}

/// What pages have told, but for requests to a server that was away.
fn assert_silent(browser: &Browser) {
    let mut told = browser.console();
    told.retain(|line| !line.contains("net::ERR_"));
    assert!(told.is_empty(), "{told:#?}");
}

const RECEIVED: usize = 4;
const STORED: usize = 5;

/// While points come, and when the last one has.
#[test]
fn the_dashboard_shows_true_numbers_while_a_stream_runs() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).start();
    let browser = open(&skyring);
    assert!(browser.text("#hint").contains("Nothing has come yet"));
    let metrics = (0..20).map(|n| format!("dash.host{}.cpu{n}", n % 4));
    let stream = Stream::start(&skyring, "pickle", &skyring.pickle(), metrics.collect());
    let mut before = 0;
    for _ in 0..3 {
        before = eventually("the page went on", || {
            let now = cell(&browser, "pickle", RECEIVED);
            holds(now > before, || format!("{now} after {before}"))?;
            Ok(now)
        });
        let received = skyring.counts().received;
        assert!(before <= received, "{before} of {received}");
    }
    eventually("the page showed a rate", || {
        let rate = cell(&browser, "pickle", 1);
        holds(rate > 0, || rate.to_string())
    });
    let sent = stream.stop().points();
    for column in [RECEIVED, STORED] {
        eventually("the page showed all points", || {
            let shown = cell(&browser, "pickle", column);
            holds(shown == sent, || format!("{shown} of {sent}"))
        });
    }
    assert!(browser.run("return document.querySelector('#hint').hidden") == true);
    // Who brings them: 4 hosts, evenly, or as evenly as chance picks.
    browser.wait_for_text("#talk-points", |text| text.contains("dash.host3"));
    browser.click("#depth input[value=senders]");
    browser.wait_for_text("#talk-points", |text| text.contains("127.0.0.1"));
    let status = skyring.status();
    let stored: u64 = status["shards"]
        .as_array()
        .unwrap()
        .iter()
        .map(|shard| shard["stored"].as_u64().unwrap())
        .sum();
    assert_eq!(stored, sent);
    let plotted = "return document.querySelector('#plot-latency path.s0').getAttribute('d')";
    assert!(browser.run(plotted).as_str().unwrap().starts_with('M'));
    browser.wait_for_text("#redis", |text| {
        text.contains("Answers") && text.contains("MiB")
    });
    assert_silent(&browser);
    skyring.finish();
}

/// The numbers of talkers are exact where points are few.
#[test]
fn talkers_are_told_by_prefix_and_by_sender() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).start();
    let mut sender = Sender::connect(&skyring.pickle());
    let now = now_s() as f64;
    for _ in 0..10 {
        sender.send(&frame(&[
            ("a.b.c.d", now, 1.0),
            ("a.b.x", now, 1.0),
            ("z", now, 1.0),
        ]));
    }
    skyring.wait_until_settled(30);
    let talkers = eventually("the shard's second was over", || {
        let answer = skyring.get("/api/talkers");
        let talkers: Value = serde_json::from_str(&answer.body).unwrap();
        holds(talkers["points"] == 30, || talkers.to_string())?;
        Ok(talkers)
    });
    let rows = |pointer: &str| -> Vec<(String, u64)> {
        let rows = talkers.pointer(pointer).unwrap().as_array().unwrap();
        let row = |row: &Value| {
            let name = row["name"].as_str().unwrap().to_owned();
            (name, row["count"].as_u64().unwrap())
        };
        rows.iter().map(row).collect()
    };
    let pair = |name: &str, count| (name.to_owned(), count);
    assert_eq!(rows("/prefixes/0/points"), [pair("a", 20), pair("z", 10)]);
    assert_eq!(rows("/prefixes/1/points"), [pair("a.b", 20), pair("z", 10)]);
    assert_eq!(rows("/prefixes/1/series"), [pair("a.b", 2), pair("z", 1)]);
    assert_eq!(rows("/senders/points"), [pair("127.0.0.1", 30)]);
    assert_eq!(rows("/senders/series"), [pair("127.0.0.1", 3)]);
    skyring.finish();
}

/// It says that the server is away, and goes on by itself with the next one.
#[test]
fn the_dashboard_outlives_its_server() {
    let redis = Redis::start();
    let admin = format!("127.0.0.1:{}", free_port());
    let plan = Plan::with(&redis).set("admin.listen", format!("{admin:?}"));
    let skyring = plan.start();
    let browser = open(&skyring);
    skyring.finish();
    browser.wait_for_text("#state", |text| text == "No answer");
    browser.wait_for_text("#trouble", |text| text.contains("does not answer"));
    let skyring = plan.start();
    browser.wait_for_text("#state", |text| text == "Ready");
    let mut sender = Sender::connect(&skyring.pickle());
    sender.send_point("after.the.restart", 1.0);
    eventually("the page showed the new server's numbers", || {
        let shown = cell(&browser, "pickle", STORED);
        holds(shown == 1, || shown.to_string())
    });
    assert!(browser.run("return document.querySelector('#trouble').hidden") == true);
    assert_silent(&browser);
    skyring.finish();
}

/// Names of metrics are whatever a sender likes. None becomes markup.
#[test]
fn names_with_markup_are_shown_as_text() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).start();
    let mut sender = Sender::connect(&skyring.pickle());
    // Without a dot, so that all of it is one element of the name.
    let evil = "<img src=x onerror=\"hit=1\">";
    let now = now_s() as f64;
    sender.send(&frame(&[
        (&format!("{evil}.a"), now, 1.0),
        ("<script>alert(1)</script>.b", now, 1.0),
        ("\u{1b}[31m.c", now, 1.0),
    ]));
    // It is logged, and told as a fault with its mend.
    sender.send(&framed(b"cos\nsystem\n."));
    skyring.wait_until_settled(3);
    let browser = open(&skyring);
    browser.click("#depth input[value='0']");
    browser.wait_for_text("#talk-points", |text| {
        text.contains(evil) && text.contains("<script>alert(1)</script>")
    });
    browser.wait_for_text("#faults", |text| {
        text.contains("a bad frame was skipped") && text.contains("carbon's pickles")
    });
    browser.wait_for_text("#dropped", |text| text.contains("Bad names"));
    let grown = "return document.querySelectorAll('main img, main script, [onerror]').length";
    assert_eq!(browser.run(grown), 0);
    assert_eq!(browser.run("return window.hit ?? 0"), 0);
    assert_silent(&browser);
    skyring.finish();
}

/// Nothing is loaded from elsewhere, and nothing could be.
#[test]
fn the_page_loads_nothing_from_elsewhere() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).start();
    for path in ["/", "/script.js", "/style.css"] {
        let head = skyring.get(path).head.to_ascii_lowercase();
        let policy = "content-security-policy: default-src 'none'; script-src 'self'";
        assert!(head.contains(policy), "{path}: {head}");
        assert!(head.contains("x-content-type-options: nosniff"), "{head}");
    }
    let browser = open(&skyring);
    let loaded = browser.run("return performance.getEntriesByType('resource').map(e => e.name)");
    let own = format!("http://{}/", skyring.admin());
    for url in loaded.as_array().unwrap() {
        assert!(url.as_str().unwrap().starts_with(&own), "{url}");
    }
    let inline = "const s = document.createElement('script'); s.textContent = 'window.ran = 1';\
                  document.body.append(s); return window.ran ?? 0";
    assert_eq!(browser.run(inline), 0, "inline scripts do not run");
    skyring.finish();
}

/// WCAG's contrast of every text that is seen with what is behind it.
const CONTRAST: &str = r#"
    const parse = (text) => text.match(/[\d.]+/g).map(Number);
    const light = (rgb) => {
        const [r, g, b] = rgb.map((v) => {
            const c = v / 255;
            return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (node) => {
        // The bar of a talker lies behind its text, beside it in the document.
        const bar = node.parentElement?.closest('.bars li')?.querySelector('i');
        const colours = [];
        if (bar) colours.push(parse(getComputedStyle(bar).backgroundColor));
        for (let at = node; at; at = at.parentElement) {
            const colour = parse(getComputedStyle(at).backgroundColor);
            if (colour.length < 4 || colour[3] > 0) { colours.push(colour); break; }
        }
        return colours;
    };
    const faults = [];
    let seen = 0;
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const node = walker.currentNode.parentElement;
        if (!walker.currentNode.textContent.trim() || !node.checkVisibility()) continue;
        if (node.closest('.hidden, .skip, svg, script, noscript')) continue;
        const style = getComputedStyle(node);
        const size = parseFloat(style.fontSize);
        const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
        for (const back of behind(node)) {
            const [a, b] = [light(parse(style.color).slice(0, 3)), light(back.slice(0, 3))];
            const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            seen += 1;
            if (ratio < (large ? 3 : 4.5)) {
                faults.push(`${ratio.toFixed(2)} ${node.className} ${node.textContent.slice(0, 40)}`);
            }
        }
    }
    return { seen, faults };
"#;

/// Points of every fate, a fault, and talkers, so that every part has something to
/// show.
fn fill(skyring: &Skyring) {
    let now = now_s() as f64;
    let mut sender = Sender::connect(&skyring.pickle());
    for at in 0..20 {
        let name = format!("fill.host{at}.value");
        sender.send(&frame(&[
            (&name, now, f64::from(at)),
            ("fill.old", now - 9_000.0, 1.0),
            ("fill.wild", now, f64::NAN),
        ]));
    }
    sender.send(&framed(b"cos\nsystem\n."));
    skyring.wait_until_settled(60);
}

#[test]
fn every_text_can_be_read_in_both_themes() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).start();
    fill(&skyring);
    let browser = Browser::start();
    for theme in ["light", "dark"] {
        browser.set_theme(theme);
        browser.open(&format!("http://{}/", skyring.admin()));
        browser.wait_for_text("#state", |text| text == "Ready");
        browser.wait_for_text("#talk-points", |text| text.contains("fill."));
        let found = browser.run(CONTRAST);
        assert!(found["seen"].as_u64() > Some(100), "{found}");
        assert_eq!(found["faults"], Value::Array(Vec::new()), "{theme}");
        let back = browser.run("return getComputedStyle(document.body).backgroundColor");
        let is_dark = back.as_str().unwrap().starts_with("rgb(15");
        assert_eq!(is_dark, theme == "dark", "{back}");
    }
    // The switch wins over what the system asks for, and is remembered.
    browser.click("#theme input[value=light]");
    browser.reload();
    browser.wait_for_text("#state", |text| text == "Ready");
    let back = browser.run("return getComputedStyle(document.body).backgroundColor");
    assert_eq!(back, "rgb(243, 245, 248)");
    assert_silent(&browser);
    skyring.finish();
}

/// On a phone, a tablet and a desk: nothing is cut off, nothing jumps when numbers
/// change.
#[test]
fn the_page_fits_every_width_and_does_not_jump() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).start();
    fill(&skyring);
    let browser = Browser::start();
    for (width, height) in WIDTHS {
        browser.resize(width, height);
        browser.open(&format!("http://{}/", skyring.admin()));
        browser.wait_for_text("#state", |text| text == "Ready");
        browser.wait_for_text("#redis", |text| text.contains("MiB"));
        let over = "const all = document.documentElement; return all.scrollWidth - all.clientWidth";
        assert_eq!(browser.run(over), 0, "nothing is wider than {width}");
        let small = "return [...document.querySelectorAll('input, a')]\
            .filter(n => n.checkVisibility() && !n.closest('.skip, p') && n.getBoundingClientRect().height < 24)\
            .map(n => n.outerHTML)";
        assert_eq!(
            browser.run(small),
            Value::Array(Vec::new()),
            "targets are large enough"
        );
        // What was filled in first may not have been painted yet: that is no jump.
        browser.run(
            "return new Promise(done => requestAnimationFrame(() => \
             requestAnimationFrame(() => done(true))))",
        );
        browser.run(
            "window.jumps = 0; window.jumped = []; \
             const name = n => n?.id || n?.className || n?.parentElement?.id || n?.nodeName; \
             new PerformanceObserver(l => l.getEntries().forEach(e => { \
             window.jumps += e.value; \
             window.jumped.push(e.sources.map(s => name(s.node))) })).observe({ type: 'layout-shift' })",
        );
        let stored = cell(&browser, "pickle", STORED);
        let metrics = (0..20).map(|n| format!("fill.host{n}.value")).collect();
        let stream = Stream::start(&skyring, "pickle", &skyring.pickle(), metrics);
        eventually("the numbers went on", || {
            let now = cell(&browser, "pickle", STORED);
            holds(now > stored + 200, || now.to_string())
        });
        stream.stop();
        let jumps = browser.run("return window.jumps").as_f64().unwrap();
        let jumped = browser.run("return window.jumped");
        assert!(jumps < 0.1, "{jumps} at {width}: {jumped}");
    }
    assert_silent(&browser);
    skyring.finish();
}

/// Everything can be reached by keys, in the order in which it is read, and is seen to
/// have the focus.
#[test]
fn the_page_can_be_used_by_keyboard() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).start();
    let browser = open(&skyring);
    let focused = "const n = document.activeElement; return n.closest('[id]')?.id ?? n.className";
    let mut order = Vec::new();
    for _ in 0..12 {
        browser.press("\u{e004}");
        let at = browser.run(focused);
        if at.as_str() == Some("") || order.contains(&at) {
            break;
        }
        let seen = "const n = document.activeElement; const m = n.matches('.segments input') ? n.nextSibling : n;\
                    return getComputedStyle(m).outlineStyle";
        assert_eq!(browser.run(seen), "solid", "{at} is seen to have the focus");
        order.push(at);
    }
    let order: Vec<&str> = order.iter().filter_map(Value::as_str).collect();
    let wanted = [
        "skip",
        "theme",
        "range",
        "plot-points",
        "plot-latency",
        "listeners-scroll",
        "depth",
    ];
    let mut at = order.iter();
    for id in wanted {
        assert!(
            at.any(|focused| *focused == id),
            "{id} in its place: {order:?}"
        );
    }
    // The switch moves by arrows.
    browser.run("document.querySelector('#theme input').focus()");
    browser.press("\u{e014}\u{e014}");
    assert_eq!(
        browser.run("return document.documentElement.dataset.theme"),
        "dark"
    );
    skyring.finish();
}

/// What a screen reader needs: a language, a title, landmarks, headings without a gap,
/// and a name for everything that can be used.
const STRUCTURE: &str = r#"
    const faults = [];
    const need = (is, what) => { if (!is) faults.push(what); };
    const all = (selector) => [...document.querySelectorAll(selector)];
    need(document.documentElement.lang === 'en', 'language');
    need(document.title.trim() !== '', 'title');
    for (const one of ['h1', 'main', 'body > header', 'body > footer']) {
        need(all(one).length === 1, `one ${one}`);
    }
    let level = 0;
    for (const head of all('h1, h2, h3, h4')) {
        const next = Number(head.tagName[1]);
        need(next <= level + 1, `heading ${head.textContent} after level ${level}`);
        need(head.textContent.trim() !== '', 'a heading without text');
        level = next;
    }
    const ids = all('[id]').map((node) => node.id);
    need(new Set(ids).size === ids.length, 'ids are unique');
    for (const input of all('input')) {
        need(input.labels.length > 0 && input.labels[0].textContent.trim() !== '', `label of ${input.outerHTML}`);
    }
    for (const set of all('fieldset')) need(set.querySelector('legend')?.textContent.trim(), `legend of ${set.id}`);
    for (const img of all('img')) need(img.hasAttribute('alt'), `alt of ${img.src}`);
    for (const th of all('th')) need(['col', 'row'].includes(th.scope), `scope of ${th.textContent}`);
    for (const table of all('table')) need(table.closest('section[aria-labelledby]'), 'name of a table');
    for (const part of all('main > section, main section.card')) {
        need(document.getElementById(part.getAttribute('aria-labelledby')), 'name of a section');
    }
    for (const node of all('[role=meter], [role=img], [role=region]')) {
        need(node.getAttribute('aria-label') || document.getElementById(node.getAttribute('aria-labelledby')), `name of a ${node.getAttribute('role')}`);
    }
    for (const meter of all('[role=meter]')) {
        const now = Number(meter.getAttribute('aria-valuenow'));
        need(meter.hasAttribute('aria-valuenow') && now >= 0 && now <= 100, 'value of a meter');
    }
    for (const link of all('a')) need(link.textContent.trim() !== '' && link.hasAttribute('href'), 'name of a link');
    for (const list of all('ul, ol')) {
        need([...list.children].every((child) => child.tagName === 'LI'), `children of ${list.id}`);
    }
    need(document.getElementById('state').getAttribute('role') === 'status', 'the state is announced');
    need(document.getElementById('trouble').getAttribute('role') === 'alert', 'trouble is announced');
    return faults;
"#;

#[test]
fn the_page_can_be_heard() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).start();
    fill(&skyring);
    let browser = open(&skyring);
    browser.wait_for_text("#talk-points", |text| text.contains("fill."));
    assert_eq!(browser.run(STRUCTURE), Value::Array(Vec::new()));
    let plot = "return document.querySelector('#plot-points svg').getAttribute('aria-label')";
    let label = browser.run(plot);
    let label = label.as_str().unwrap();
    assert!(label.starts_with("Points a second: Received"), "{label}");
    skyring.finish();
}

/// Whoever opens the page sees what was before he did; and asks for no more than he
/// lacks.
#[test]
fn the_history_has_what_was_before_anybody_looked() {
    let redis = Redis::start();
    let skyring = Plan::with(&redis).start();
    fill(&skyring);
    let history = |after: &str| -> Value {
        let answer = skyring.get(&format!("/api/history{after}"));
        assert_eq!(answer.code, 200, "{}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    };
    let column = |history: &Value, name: &str| -> Vec<i64> {
        let columns = history["columns"].as_array().unwrap();
        let at = columns.iter().position(|column| column == name).unwrap();
        let rows = history["rows"].as_array().unwrap().iter();
        rows.map(|row| row[at].as_i64().unwrap()).collect()
    };
    let whole = eventually("the history had all points", || {
        let whole = history("");
        let received: i64 = column(&whole, "received.pickle").iter().sum();
        holds(received == 60, || whole.to_string())?;
        Ok(whole)
    });
    assert_eq!(column(&whole, "stored").iter().sum::<i64>(), 20);
    assert_eq!(column(&whole, "dropped").iter().sum::<i64>(), 40);
    let numbers = column(&whole, "seq");
    assert!(numbers.is_sorted() && numbers[0] == 1, "{numbers:?}");
    let last = whole["last"].as_i64().unwrap();
    let newer = history(&format!("?after={last}"));
    assert!(column(&newer, "seq").iter().all(|seq| *seq > last));
    assert_eq!(skyring.get("/api/history?after=x").code, 400);
    skyring.finish();
}
