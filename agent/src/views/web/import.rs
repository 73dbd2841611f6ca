//! A file that was dropped on the page: to a file without a name, then into the store.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use http_body_util::BodyExt as _;
use rustix::fs::{Mode, OFlags};
use serde::Serialize;

use super::api::{json, refused};
use super::guard::is_from_page;
use super::serve::Shared;
use super::{Imported, MAX_IMPORT};

/// Longest time that a file takes to come.
const TIME: Duration = Duration::from_secs(120);

/// Why a file was not taken.
#[derive(Debug)]
enum Failed {
    TooLarge,
    Broken(String),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Broken(format!("the file cannot be kept: {error}"))
    }
}

#[derive(Serialize)]
struct Done {
    exchanges: u64,
    remark: Option<String>,
}

/// Takes a file.
pub(super) async fn import(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    if let Err((status, why)) = admit(request.headers()) {
        return refused(status, why);
    }
    // One at a time: each costs the memory of a replay.
    let Ok(_turn) = shared.imports.try_acquire() else {
        return refused(StatusCode::CONFLICT, "another file is being read");
    };
    let received = tokio::time::timeout(TIME, receive(request.into_body())).await;
    let file = match received {
        Ok(Ok(file)) => file,
        Ok(Err(Failed::TooLarge)) => return refused(StatusCode::PAYLOAD_TOO_LARGE, TOO_LARGE),
        Ok(Err(Failed::Broken(why))) => return refused(StatusCode::BAD_REQUEST, &why),
        Err(_) => {
            return refused(
                StatusCode::REQUEST_TIMEOUT,
                "the file took too long to come",
            );
        }
    };
    let importer = shared.settings.importer.clone();
    match tokio::task::spawn_blocking(move || importer(file)).await {
        Ok(Ok(Imported { exchanges, remark })) => json(&Done { exchanges, remark }),
        Ok(Err(why)) => refused(StatusCode::UNPROCESSABLE_ENTITY, &why),
        Err(_) => refused(
            StatusCode::INTERNAL_SERVER_ERROR,
            "reading the file has failed",
        ),
    }
}

const TOO_LARGE: &str = "the file is too large for the page (256 MiB): use `meshtap replay`";

/// Whether a file may come. This media type is one that no other site can send unasked (Fetch
/// §2.2.2), and nobody is asked: there is no CORS here.
fn admit(headers: &HeaderMap) -> Result<(), (StatusCode, &'static str)> {
    if !is_from_page(headers) {
        return Err((StatusCode::FORBIDDEN, "this is not from the page"));
    }
    let kind = headers.get(header::CONTENT_TYPE);
    if kind.is_none_or(|kind| kind != "application/octet-stream") {
        let why = "a file is sent as application/octet-stream";
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
    }
    let length = headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    match length {
        Some(length) if length > MAX_IMPORT => Err((StatusCode::PAYLOAD_TOO_LARGE, TOO_LARGE)),
        _ => Ok(()),
    }
}

/// To a file of our own that has no name, and is gone with its last reader.
async fn receive(mut body: Body) -> Result<File, Failed> {
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    let file = rustix::fs::open(std::env::temp_dir(), flags, Mode::from_raw_mode(0o600));
    let mut file = File::from(file.map_err(io::Error::from)?);
    let mut size = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failed::Broken(format!("it broke off: {error}")))?;
        let Ok(bytes) = frame.into_data() else {
            continue;
        };
        size += bytes.len() as u64;
        if size > MAX_IMPORT {
            return Err(Failed::TooLarge);
        }
        file.write_all(&bytes)?;
    }
    file.rewind()?;
    Ok(file)
}
