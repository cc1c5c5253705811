use super::*;
use serde_json::json;

fn view() -> View {
    let listener = json!({
        "addresses": ["127.0.0.1:2024"], "received": 1_234_567, "stored": 1_234_000,
        "in_flight": 7, "dropped": {"too_old": 560}, "frames_bad": {"empty": 1},
        "connections": 3,
    });
    View {
        status: json!({
            "version": "1.2.3", "ready": true, "reason": "", "uptime_s": 7300,
            "now_ms": 2_000_000, "metrics_known": 100_000,
            "listeners": {"pickle": listener},
            "recent": {
                "span_ms": 2000, "listeners": {"pickle": {"received": 9000, "stored": 8000}},
                "latency_us": {"count": 5, "p50": 900, "p99": 1500},
            },
            "shards": [{"cpu": 1, "busy_percent": 97.25, "stored": 5, "redis": "ready"}],
            "redis": {"state": "ready", "info": {"memory_bytes": 2048}},
            "faults": [{
                "level": "warn", "message": "a \u{1b}[31mbad\u{202e} frame", "fields": "",
                "mend": "mend it", "count": 12, "last_s": 1990,
            }],
        }),
        history: json!({
            "columns": ["span_ms", "p99_us", "received.pickle"],
            "rows": [[2000, -1, 100], [2000, 900, 4000]],
        }),
        talkers: json!({
            "seconds": 60, "points": 1000, "series": 0,
            "prefixes": [{}, {"points": [{"name": "a\n.b", "count": 250}]}],
            "senders": {"points": [{"name": "10.0.0.9", "count": 1000}]},
        }),
    }
}

fn drawn(screen: &Screen, width: u16, height: u16) -> String {
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    screen.render(area, &mut buffer);
    let mut out = String::new();
    for row in 0..height {
        out.extend((0..width).map(|column| buffer[(column, row)].symbol()));
        out.push('\n');
    }
    out
}

#[test]
fn what_the_server_says_is_shown_and_hostile_text_is_harmless() {
    let mut screen = Screen::new("http://h/".to_owned(), Theme::plain());
    screen.take(Ok(view()));
    let text = drawn(&screen, 130, 45);
    for wanted in [
        "Skyring 1.2.3 READY up 2 h http://h/",
        "4,500",
        "1,234,567",
        "97.2%",
        "1.5 ms",
        "2.0 KiB",
        "250  25.0%  a\\u{a}.b",
        "warn 12 times, last 10 s ago: a \\u{1b}[31mbad\\u{202e} frame",
        "  -> mend it",
        "at most 2,000",
    ] {
        assert!(text.contains(wanted), "{wanted} is missing:\n{text}");
    }
    assert!(!text.contains('\u{1b}'));
    screen.next_depth();
    screen.next_depth();
    assert!(drawn(&screen, 130, 45).contains("1,000 100.0%  10.0.0.9"));
}

#[test]
fn a_server_that_is_away_is_told_of_and_the_last_numbers_stay() {
    let mut screen = Screen::new("http://h/".to_owned(), Theme::plain());
    assert!(drawn(&screen, 100, 30).contains("Asking http://h/"));
    screen.take(Err("Connection refused".to_owned()));
    let text = drawn(&screen, 100, 30);
    assert!(
        text.contains("does not answer: Connection refused"),
        "{text}"
    );
    screen.take(Ok(view()));
    screen.take(Err("Connection refused".to_owned()));
    let text = drawn(&screen, 130, 30);
    assert!(
        text.contains("NO ANSWER") && text.contains("1,234,567"),
        "{text}"
    );
    screen.take(Ok(view()));
    assert!(!drawn(&screen, 130, 30).contains("does not answer"));
}

// A terminal may be of any size, and the server of any version.
#[test]
fn every_size_is_drawn_and_every_answer() {
    let mut screen = Screen::new("http://h/".to_owned(), Theme::coloured());
    for answer in [
        view(),
        View {
            status: json!({"listeners": {}}),
            history: Value::Null,
            talkers: json!([1]),
        },
    ] {
        screen.take(Ok(answer));
        for (width, height) in [(0, 0), (1, 1), (20, 5), (80, 24), (300, 100)] {
            drawn(&screen, width, height);
        }
    }
}
