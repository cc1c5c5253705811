//! What Flux answers: codes, and bodies as Skyline's Python writes them.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};

use super::Unavailable;

/// An answer, and what is to be counted of it.
#[derive(Debug)]
pub struct Answer {
    /// What is sent.
    pub response: Box<Response<Body>>,
    /// Points that were taken.
    pub points: u64,
    /// Why the request was refused, in a word for the counters: one of few.
    pub refused: Option<&'static str>,
}

impl Answer {
    /// Without a body.
    pub fn empty(code: StatusCode) -> Self {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = code;
        Self::from(response)
    }

    /// 204: all points were taken.
    pub fn no_content() -> Self {
        Self::empty(StatusCode::NO_CONTENT)
    }

    /// With a JSON body that is ready to be sent.
    pub fn json(code: StatusCode, body: String) -> Self {
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = code;
        let kind = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        Self::from(response)
    }

    /// A refusal in Skyline's form, `{"code": 400, "message": "..."}`, counted as
    /// `reason`.
    pub fn refused(code: StatusCode, reason: &'static str, message: &str) -> Self {
        let body = format!(
            "{{\"code\": {}, \"message\": {}}}",
            code.as_u16(),
            json_text(message)
        );
        Self::json(code, body).because(reason)
    }

    /// A refusal with 400.
    pub fn bad(reason: &'static str, message: &str) -> Self {
        Self::refused(StatusCode::BAD_REQUEST, reason, message)
    }

    /// Counts it as refused for this reason.
    #[must_use]
    pub fn because(mut self, reason: &'static str) -> Self {
        self.refused = Some(reason);
        self
    }

    /// Counts so many points as taken.
    #[must_use]
    pub fn with_points(mut self, points: u64) -> Self {
        self.points = points;
        self
    }

    /// 503 with the time after which it is worth trying again.
    pub fn try_later(reason: &'static str, message: &str, retry_after: Duration) -> Self {
        let mut answer = Self::refused(StatusCode::SERVICE_UNAVAILABLE, reason, message);
        let seconds = HeaderValue::from(retry_after.as_secs().max(1));
        let headers = answer.response.headers_mut();
        headers.insert(header::RETRY_AFTER, seconds);
        answer
    }
}

impl From<Response<Body>> for Answer {
    fn from(response: Response<Body>) -> Self {
        Self {
            response: Box::new(response),
            points: 0,
            refused: None,
        }
    }
}

impl From<Unavailable> for Answer {
    fn from(why: Unavailable) -> Self {
        let (reason, after) = match why {
            Unavailable::Full { retry_after } => ("full", retry_after),
            Unavailable::Away { retry_after } => ("away", retry_after),
            Unavailable::Late { retry_after } => ("late", retry_after),
            Unavailable::Stopping => ("stopping", Duration::from_secs(5)),
        };
        Self::try_later(reason, &why.to_string(), after)
    }
}

/// A text as Python's `json.dumps` writes it: ASCII, everything else escaped.
pub fn json_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    out.push('"');
    out
}
