//! The page to upload with, and what keeps other sites from having a browser upload:
//! a browser says where a request comes from, and only this page has a token that the
//! server takes. There are no cookies, so that nothing is sent for a user unasked.

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use quick_cache::sync::Cache;

use super::terms::Fields;
use super::{failed, header as text, off};
use crate::flux::answer::Answer;
use crate::flux::http::Site;

/// The whole of it.
const PAGE: &str = include_str!("upload.html");
/// What stands in it for the token and for the nonce of its script and its styles.
const TOKEN: &str = "@TOKEN@";
const NONCE: &str = "@NONCE@";
/// How long a page can be used.
const TOKEN_LIFE: Duration = Duration::from_secs(12 * 3600);
/// Pages that can be used at a time; the oldest goes first.
const TOKENS_MAX: usize = 10_000;

/// The tokens of the pages that were given out.
pub struct Tokens(Cache<String, Instant>);

impl Default for Tokens {
    fn default() -> Self {
        Self(Cache::new(TOKENS_MAX))
    }
}

/// A text that nobody can guess; `None` if the system has no randomness.
fn secret() -> Option<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).ok()?;
    Some(bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

/// Answers with the page.
pub async fn page(site: Arc<Site>, _request: Request) -> Answer {
    if !site.force().settings.flux_uploads.enabled {
        return off();
    }
    let (Some(token), Some(nonce)) = (secret(), secret()) else {
        return Answer::empty(StatusCode::INTERNAL_SERVER_ERROR).because("no_randomness");
    };
    site.uploads.tokens.0.insert(token.clone(), Instant::now());
    let page = PAGE.replace(TOKEN, &token).replace(NONCE, &nonce);
    let mut response = Response::new(Body::from(page));
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; \
         connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    );
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Answer::from(response)
}

/// Refuses what a browser sends for another site.
///
/// # Errors
///
/// The answer to it.
pub fn check_origin(headers: &HeaderMap) -> Result<(), Answer> {
    let is_foreign = match text(headers, "sec-fetch-site") {
        Some(site) => !matches!(site, "same-origin" | "none"),
        // Older browsers say only where from. Behind a proxy the port may differ.
        None => text(headers, "origin").is_some_and(|origin| {
            let host = text(headers, "host").unwrap_or_default();
            host_name(origin.rsplit_once("://").map_or("", |(_, host)| host)) != host_name(host)
        }),
    };
    if is_foreign {
        let text = "this came from a page of another site";
        return Err(failed(StatusCode::FORBIDDEN, "other_site", text));
    }
    Ok(())
}

/// Refuses what a browser sends without a token of a page that was given out.
///
/// # Errors
///
/// The answer to it.
pub fn check_token(headers: &HeaderMap, fields: &Fields, tokens: &Tokens) -> Result<(), Answer> {
    let is_browser = ["sec-fetch-site", "origin"]
        .iter()
        .any(|name| headers.contains_key(*name));
    let given = tokens.0.get(fields.get("token").unwrap_or_default());
    if is_browser && given.is_none_or(|given| given.elapsed() > TOKEN_LIFE) {
        let text = "this page is too old: load it anew";
        return Err(failed(StatusCode::FORBIDDEN, "no_token", text));
    }
    Ok(())
}

fn host_name(host: &str) -> &str {
    // The colons within brackets are no port's.
    match host.rsplit_once(':') {
        Some((name, port)) if port.chars().all(|c| c.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        pairs.collect()
    }

    #[test]
    fn requests_for_other_sites_are_refused() {
        let host = ("host", "flux.example.org:8000");
        for (pairs, is_taken) in [
            (vec![host], true),
            (vec![host, ("sec-fetch-site", "same-origin")], true),
            (vec![host, ("sec-fetch-site", "none")], true),
            (vec![host, ("sec-fetch-site", "same-site")], false),
            (vec![host, ("sec-fetch-site", "cross-site")], false),
            (vec![host, ("origin", "https://flux.example.org")], true),
            (
                vec![host, ("origin", "https://flux.example.org:8000")],
                true,
            ),
            (vec![host, ("origin", "https://evil.example.org")], false),
            (vec![host, ("origin", "null")], false),
            (
                vec![("host", "[::1]:8000"), ("origin", "http://[::1]:80")],
                true,
            ),
        ] {
            assert_eq!(
                check_origin(&headers(&pairs)).is_ok(),
                is_taken,
                "{pairs:?}"
            );
        }
    }

    #[test]
    fn a_browser_needs_the_token_of_a_page_and_a_program_none() {
        let tokens = Tokens::default();
        tokens.0.insert("given".to_owned(), Instant::now());
        let browser = headers(&[("sec-fetch-site", "same-origin")]);
        let program = HeaderMap::new();
        let mut fields = Fields::default();
        assert!(check_token(&program, &fields, &tokens).is_ok());
        assert!(check_token(&browser, &fields, &tokens).is_err());
        fields.set("token", "guessed".to_owned());
        assert!(check_token(&browser, &fields, &tokens).is_err());
        fields.set("token", "given".to_owned());
        assert!(check_token(&browser, &fields, &tokens).is_ok());
    }

    // A resource from elsewhere would tell others of every visit, and need a hole in
    // the policy.
    #[test]
    fn the_page_is_whole_by_itself() {
        for foreign in [
            "http:", "https:", "src=", "@import", "url(", " style=", "onclick",
        ] {
            assert!(!PAGE.contains(foreign), "{foreign}");
        }
        assert_eq!(PAGE.matches(NONCE).count(), 2);
        assert_eq!(PAGE.matches(TOKEN).count(), 1);
    }
}
