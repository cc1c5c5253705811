//! The thread that asks the server.

use std::error::Error;
use std::io;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use reqwest::{Client, Url};
use serde_json::Value;

use super::screen::{Screen, View};

/// How often it asks.
const EACH: Duration = Duration::from_secs(2);
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(8);
/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// What the server has answered, or why it has not.
pub(super) struct Answers(Receiver<Result<View, String>>);

impl Answers {
    /// Asks the page at `url` until this is dropped.
    ///
    /// # Errors
    ///
    /// When the thread or what it needs cannot be made.
    pub fn start(url: Url) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let client = Client::builder().timeout(PATIENCE).build();
        let client = client.map_err(io::Error::other)?;
        let (sender, answers) = bounded(1);
        std::thread::Builder::new()
            .name("skyring-top".to_owned())
            .spawn(move || runtime.block_on(ask_always(&client, &url, &sender)))?;
        Ok(Self(answers))
    }

    /// Takes what has come since the last time; whether anything has.
    pub fn take_into(&self, screen: &mut Screen) -> bool {
        let mut any = false;
        for answer in self.0.try_iter() {
            screen.take(answer);
            any = true;
        }
        any
    }
}

async fn ask_always(client: &Client, url: &Url, sender: &Sender<Result<View, String>>) {
    let mut pace = tokio::time::interval(EACH);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        pace.tick().await;
        let answer = view(client, url).await;
        if sender.send(answer).is_err() {
            return;
        }
    }
}

async fn view(client: &Client, url: &Url) -> Result<View, String> {
    let (status, history, talkers) = tokio::join!(
        json(client, url, "api/status"),
        json(client, url, "api/history"),
        json(client, url, "api/talkers"),
    );
    let status = status?;
    if !status["listeners"].is_object() {
        return Err("what answers there is no Skyring".to_owned());
    }
    Ok(View {
        status,
        history: history?,
        talkers: talkers?,
    })
}

async fn json(client: &Client, url: &Url, path: &str) -> Result<Value, String> {
    let url = url.join(path).map_err(|error| error.to_string())?;
    let answer = client
        .get(url)
        .send()
        .await
        .map_err(|error| reason(&error))?;
    let status = answer.status();
    if !status.is_success() {
        let mend = match status.as_u16() {
            401 => ": give name and password, http://NAME:PASSWORD@HOST",
            404 => ": is the path of the page right?",
            _ => "",
        };
        return Err(format!("{path} is answered with {status}{mend}"));
    }
    let text = read(answer).await?;
    serde_json::from_slice(&text).map_err(|_| "what answers there is no Skyring".to_owned())
}

async fn read(mut answer: reqwest::Response) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|error| reason(&error))? {
        text.extend_from_slice(&piece);
        if text.len() > ANSWER_BYTES_MAX {
            return Err("the answer is too long".to_owned());
        }
    }
    Ok(text)
}

/// The innermost cause: those around it only say that a request failed.
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", PATIENCE.as_secs());
    }
    let mut cause: &dyn Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// The address as it may be shown: without a password.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    if url.password().is_some() {
        // It has a host, so this cannot fail.
        let _ = url.set_password(Some("***"));
    }
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        let url = Url::parse("https://name:secret@host/").unwrap();
        assert_eq!(shown(&url), "https://name:***@host/");
        let url = Url::parse("http://host/").unwrap();
        assert_eq!(shown(&url), "http://host/");
    }
}
