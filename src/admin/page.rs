//! The dashboard: one page with its style and script, all of it in the binary.
//!
//! Everything that it shows it fetches from `/api/`. It may load nothing from elsewhere,
//! and be framed nowhere; names of metrics are hostile text, which the script only ever
//! sets as text.

use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const PAGE: (&str, &str) = ("text/html; charset=utf-8", include_str!("page/index.html"));
const STYLE: (&str, &str) = ("text/css; charset=utf-8", include_str!("page/style.css"));
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const SCRIPT: (&str, &str) = (JAVASCRIPT, include_str!("page/script.js"));
const SECTIONS: (&str, &str) = (JAVASCRIPT, include_str!("page/sections.js"));
const PLOT: (&str, &str) = (JAVASCRIPT, include_str!("page/plot.js"));
const TEXT: (&str, &str) = (JAVASCRIPT, include_str!("page/text.js"));
const ICON: (&str, &str) = ("image/svg+xml", include_str!("page/icon.svg"));

/// Its files.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/", get(async || file(PAGE)))
        .route("/style.css", get(async || file(STYLE)))
        .route("/script.js", get(async || file(SCRIPT)))
        .route("/plot.js", get(async || file(PLOT)))
        .route("/sections.js", get(async || file(SECTIONS)))
        .route("/text.js", get(async || file(TEXT)))
        .route("/icon.svg", get(async || file(ICON)))
}

fn file((kind, text): (&'static str, &'static str)) -> Response {
    let headers = [
        (CONTENT_TYPE, kind),
        (CONTENT_SECURITY_POLICY, POLICY),
        // A server of another version has another page.
        (CACHE_CONTROL, "no-cache"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    (headers, text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page and all that it loads, with which the first look at it begins.
    #[test]
    fn the_page_is_short() {
        let files = [PAGE, STYLE, SCRIPT, SECTIONS, PLOT, TEXT, ICON];
        let bytes: usize = files.iter().map(|(_, text)| text.len()).sum();
        assert!(bytes < 200 << 10, "{bytes} bytes");
    }
}
