//! The way to VictoriaMetrics, which keeps labelled metrics: JSON lines, POSTed to its
//! `/api/v1/import`.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Response};

use crate::settings::Settings;

/// How much of an answer is looked at.
const ANSWER_BYTES_MAX: usize = 4096;
/// Idle connections that are kept.
const IDLE_MAX: usize = 8;

/// Why lines were not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It cannot be reached, or cannot take anything now: worth trying again.
    #[error("VictoriaMetrics is away: {0}")]
    Away(String),
    /// It does not want these.
    #[error("VictoriaMetrics refuses: {0}")]
    Refused(String),
}

/// A client; clones share its connections.
#[derive(Clone, Debug)]
pub struct Victoria {
    client: Client,
    url: String,
    user: String,
    password: Option<String>,
}

impl Victoria {
    /// To the one of the settings; `None` if there is none.
    ///
    /// # Errors
    ///
    /// When no client can be made, for want of the system's certificates.
    pub fn new(settings: &Settings) -> Result<Option<Self>, reqwest::Error> {
        let victoria = &settings.victoriametrics;
        let Some(url) = &victoria.url else {
            return Ok(None);
        };
        let client = Client::builder()
            .connect_timeout(Duration::from_secs(victoria.connect_timeout_s.into()))
            .timeout(Duration::from_secs(victoria.timeout_s.into()))
            .pool_max_idle_per_host(IDLE_MAX)
            // One that answers elsewhere is not the one that was configured.
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let password = victoria.password_file.as_ref();
        Ok(Some(Self {
            client,
            url: format!("{}{}", url.as_str(), victoria.import_path),
            user: victoria.user.clone(),
            password: password.map(|file| file.password().to_owned()),
        }))
    }

    /// Hands lines over, each an object with `metric`, `values` and `timestamps` (in
    /// milliseconds).
    ///
    /// # Errors
    ///
    /// Nothing, or a part of the lines, was taken then.
    pub async fn import(&self, lines: Vec<u8>) -> Result<(), Failure> {
        let mut request = self.client.post(&self.url).body(lines);
        request = request.header(CONTENT_TYPE, "application/stream+json");
        if !self.user.is_empty() {
            request = request.basic_auth(&self.user, self.password.as_ref());
        }
        let answer = request.send().await;
        // Its text would have the URL, which may hold a password.
        let answer = answer.map_err(|error| Failure::Away(innermost(&error.without_url())))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let text = format!("{status}: {}", beginning(answer).await);
        // What passes with time or with a changed configuration must not cost points.
        let is_for_good = matches!(status.as_u16(), 400 | 413 | 422);
        Err(if is_for_good {
            Failure::Refused(text)
        } else {
            Failure::Away(text)
        })
    }
}

/// What is at the bottom of an error: "Connection refused" says more than "error
/// sending request".
fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

/// The first line of an answer, as far as it can be shown.
async fn beginning(mut answer: Response) -> String {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() >= ANSWER_BYTES_MAX {
            bytes.truncate(ANSWER_BYTES_MAX);
            break;
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().next().unwrap_or_default();
    line.chars().take(200).filter(|c| !c.is_control()).collect()
}
