//! `POST /upload_data` as it comes in: the parts of the form, files straight to disk.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::time::Duration;

use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request};
use axum::http::StatusCode;
use bytes::Bytes;

use super::archive::{extension, safe_name};
use super::job::Incoming;
use super::terms::Fields;
use super::{Uploads, failed};
use crate::flux::answer::Answer;
use crate::settings::FluxUploadsSettings;

/// Fields of a form, at most.
const FIELDS_MAX: usize = 64;
/// Longest text of a field.
const FIELD_BYTES_MAX: usize = 64 << 10;
/// What is written at once.
const PIECE_BYTES: usize = 1 << 20;

/// A form that has come as a whole.
pub struct Form {
    /// Its fields.
    pub fields: Fields,
    /// Where its files are.
    pub incoming: Incoming,
    /// The names of its files, by their fields.
    pub files: BTreeMap<String, String>,
}

/// Takes a form in.
///
/// # Errors
///
/// The answer to one that is too long, too slow, or no form.
pub async fn receive(
    uploads: &Uploads,
    settings: &FluxUploadsSettings,
    mut request: Request,
) -> Result<Form, Answer> {
    let max = settings.bytes_max;
    DefaultBodyLimit::max(max).apply(&mut request);
    let incoming = Incoming::new(&uploads.directory);
    let incoming = incoming.map_err(|error| disk(&error))?;
    let form = Form {
        fields: Fields::default(),
        incoming,
        files: BTreeMap::new(),
    };
    let time = Duration::from_secs(settings.receive_s.into());
    match tokio::time::timeout(time, parts(form, request, max)).await {
        Ok(form) => form,
        Err(_) => {
            let text = format!("the upload has not come within {} s", settings.receive_s);
            Err(failed(StatusCode::REQUEST_TIMEOUT, "too_slow", &text))
        }
    }
}

async fn parts(mut form: Form, request: Request, max: usize) -> Result<Form, Answer> {
    let multipart = Multipart::from_request(request, &()).await;
    let mut multipart = multipart.map_err(|_| {
        let text = "send multipart/form-data with a boundary, as curl -F does";
        failed(StatusCode::UNSUPPORTED_MEDIA_TYPE, "no_form", text)
    })?;
    for count in 0.. {
        let next = multipart.next_field().await;
        let Some(field) = next.map_err(|error| broken(&error, max))? else {
            break;
        };
        if count >= FIELDS_MAX {
            let text = format!("more than {FIELDS_MAX} fields");
            return Err(failed(StatusCode::BAD_REQUEST, "too_many_fields", &text));
        }
        let name = field.name().unwrap_or_default().to_owned();
        match field.file_name().map(str::to_owned) {
            Some(file) => take_file(&mut form, &name, &file, field, max).await?,
            None => {
                let text = text(field, max).await?;
                form.fields.set(&name, text);
            }
        }
    }
    Ok(form)
}

async fn text(mut field: Field<'_>, max: usize) -> Result<String, Answer> {
    let mut bytes = Vec::new();
    while let Some(piece) = field.chunk().await.map_err(|error| broken(&error, max))? {
        bytes.extend_from_slice(&piece);
        if bytes.len() > FIELD_BYTES_MAX {
            let text = format!("a field is longer than {FIELD_BYTES_MAX} bytes");
            return Err(failed(
                StatusCode::PAYLOAD_TOO_LARGE,
                "field_too_long",
                &text,
            ));
        }
    }
    let bad = |_| failed(StatusCode::BAD_REQUEST, "not_utf8", "a field is not UTF-8");
    String::from_utf8(bytes).map_err(bad)
}

async fn take_file(
    form: &mut Form,
    field_name: &str,
    told_name: &str,
    mut field: Field<'_>,
    max: usize,
) -> Result<(), Answer> {
    let bad = |text: &str| Err(failed(StatusCode::BAD_REQUEST, "bad_file_name", text));
    // A browser sends an empty part for a file that nobody chose.
    if told_name.is_empty() || !matches!(field_name, "data_file" | "info_file") {
        while field
            .chunk()
            .await
            .map_err(|error| broken(&error, max))?
            .is_some()
        {}
        return Ok(());
    }
    let name = safe_name(told_name);
    if name.ends_with("tar.gz") {
        return bad("error - tar.gz archives are not accepted");
    }
    let kinds = ["json", "csv", "xlsx", "xls", "zip", "gz"];
    if !kinds.contains(&&*extension(&name)) || name.trim_start_matches('.').len() < 4 {
        let text = format!(
            "error - {name} is not an accepted file: letters, digits and _ . - are, with one of \
             the endings {}",
            kinds.join(", ")
        );
        return bad(&text);
    }
    if form.files.contains_key(field_name) || form.files.values().any(|known| *known == name) {
        return bad("error - two files of one name, or two of one field");
    }
    let mut file = File::create_new(form.incoming.file(&name)).map_err(|error| disk(&error))?;
    let mut pieces = Vec::new();
    let mut waiting = 0;
    loop {
        let piece = field.chunk().await.map_err(|error| broken(&error, max))?;
        let is_last = piece.is_none();
        waiting += piece.as_ref().map_or(0, Bytes::len);
        pieces.extend(piece);
        if is_last || waiting >= PIECE_BYTES {
            file = write(file, std::mem::take(&mut pieces)).await?;
            waiting = 0;
        }
        if is_last {
            break;
        }
    }
    form.files.insert(field_name.to_owned(), name);
    Ok(())
}

/// Writes on a thread made for waiting: a slow disk holds up no other request.
async fn write(mut file: File, pieces: Vec<Bytes>) -> Result<File, Answer> {
    let writing = move || {
        for piece in pieces {
            file.write_all(&piece)?;
        }
        Ok(file)
    };
    let done = tokio::task::spawn_blocking(writing).await;
    let done = done.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    done.map_err(|error| disk(&error))
}

fn disk(error: &std::io::Error) -> Answer {
    tracing::warn!(%error, "an upload could not be written to disk");
    let text = "the upload could not be written to disk";
    failed(StatusCode::INSUFFICIENT_STORAGE, "disk", text)
}

fn broken(error: &MultipartError, max: usize) -> Answer {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let text = format!("longer than {max} bytes (flux.uploads.bytes_max)");
        return failed(StatusCode::PAYLOAD_TOO_LARGE, "too_long", &text);
    }
    failed(
        StatusCode::BAD_REQUEST,
        "broken_form",
        "the form is broken, or was cut off",
    )
}
