//! The two messages of an entry: heads, bodies and what they say of themselves.

use serde::Serialize;

use super::cookies;
use super::entry::UNKNOWN;
use super::pairs::{Encoded, Headers, Owned};
use super::text::{BodyText, Text};
use crate::exchange::{Exchange, Response};
use crate::http::target::{path_and_query, split_query};
use crate::http::{Body, Fields, RequestHead, ResponseHead};
use crate::redact::Content;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RequestPart<'a> {
    method: Text<'a>,
    url: Owned<Vec<u8>>,
    http_version: &'static str,
    cookies: cookies::Sent<'a>,
    headers: Headers<'a>,
    query_string: Encoded<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    post_data: Option<PostData<'a>>,
    headers_size: i64,
    body_size: i64,
    #[serde(rename = "_trailers", skip_serializing_if = "Option::is_none")]
    trailers: Option<Headers<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResponsePart<'a> {
    status: u16,
    status_text: Text<'a>,
    http_version: &'static str,
    cookies: cookies::Set<'a>,
    headers: Headers<'a>,
    content: ContentPart<'a>,
    #[serde(rename = "redirectURL")]
    redirect: Text<'a>,
    headers_size: i64,
    body_size: i64,
    #[serde(rename = "_trailers", skip_serializing_if = "Option::is_none")]
    trailers: Option<Headers<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PostData<'a> {
    mime_type: Text<'a>,
    params: Encoded<'a>,
    text: BodyText<'a>,
    /// The format has no place for it here; this is what others write for bytes.
    #[serde(rename = "_encoding", skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ContentPart<'a> {
    size: u64,
    /// Bytes saved; negative when the coding made it larger.
    #[serde(skip_serializing_if = "Option::is_none")]
    compression: Option<i128>,
    mime_type: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<BodyText<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

impl<'a> RequestPart<'a> {
    pub(super) fn new(exchange: &'a Exchange, content: &Content) -> Self {
        let (head, body) = (&exchange.request.head, &exchange.request.body);
        let (_, query) = split_query(path_and_query(head.target()));
        Self {
            method: Text(head.method()),
            url: Owned(url(exchange)),
            http_version: head.version.text(),
            cookies: cookies::Sent(&head.fields),
            headers: Headers(Some(&head.fields)),
            query_string: Encoded(query.unwrap_or_default()),
            post_data: BodyText::of(body, content).map(|text| PostData::new(head, body, text)),
            headers_size: UNKNOWN,
            body_size: size(body),
            trailers: trailers(body),
            comment: comment(content),
        }
    }
}

impl<'a> PostData<'a> {
    fn new(head: &'a RequestHead, body: &'a Body, text: BodyText<'a>) -> Self {
        let kind = media_type(&head.fields);
        let is_form = kind.starts_with(b"application/x-www-form-urlencoded");
        Self {
            mime_type: Text(kind),
            params: Encoded(if is_form { &body.bytes } else { b"" }),
            encoding: text.encoding(),
            text,
        }
    }
}

impl<'a> ResponsePart<'a> {
    pub(super) fn new(response: &'a Response, content: &Content) -> Self {
        let (head, body) = (&response.head, &response.body);
        let text = BodyText::of(body, content);
        let is_whole = content.decoded && !content.cut && body.size_exact;
        Self {
            status: head.status,
            status_text: Text(phrase(head)),
            http_version: head.version.text(),
            cookies: cookies::Set(Some(&head.fields)),
            headers: Headers(Some(&head.fields)),
            content: ContentPart {
                size: content.full_size,
                compression: is_whole
                    .then(|| i128::from(content.full_size) - i128::from(body.size)),
                mime_type: Text(media_type(&head.fields)),
                encoding: text.and_then(BodyText::encoding),
                text,
                comment: comment(content),
            },
            redirect: Text(head.fields.get("location").unwrap_or_default()),
            headers_size: UNKNOWN,
            body_size: size(body),
            trailers: trailers(body),
        }
    }

    /// What browsers write for a request without a response.
    pub(super) fn none(exchange: &Exchange) -> Self {
        Self {
            status: 0,
            status_text: Text(b""),
            http_version: exchange.request.head.version.text(),
            cookies: cookies::Set(None),
            headers: Headers(None),
            content: ContentPart {
                size: 0,
                compression: None,
                mime_type: Text(b""),
                text: None,
                encoding: None,
                comment: None,
            },
            redirect: Text(b""),
            headers_size: UNKNOWN,
            body_size: UNKNOWN,
            trailers: None,
        }
    }
}

/// An absolute URL, as the format asks for: where its scheme is unknown, that of the connection.
/// What is not UTF-8 is taken for ISO-8859-1.
fn url(exchange: &Exchange) -> Vec<u8> {
    let head = &exchange.request.head;
    let of_connection = || exchange.peers.scheme().as_bytes();
    let mut url = exchange.scheme().unwrap_or_else(of_connection).to_vec();
    url.extend_from_slice(b"://");
    match head.host().filter(|host| !host.is_empty()) {
        Some(host) => url.extend_from_slice(host),
        None => url.extend_from_slice(exchange.peers.server.to_string().as_bytes()),
    }
    let target = path_and_query(head.target());
    if target.first() == Some(&b'/') {
        url.extend_from_slice(target);
    } else {
        url.push(b'/');
    }
    url
}

fn comment(content: &Content) -> Option<String> {
    match content.omitted {
        Some(reason) => Some(format!("body omitted: {}", reason.label())),
        None => content.cut.then(|| "body cut".to_owned()),
    }
}

fn media_type(fields: &Fields) -> &[u8] {
    fields.get("content-type").unwrap_or_default()
}

fn size(body: &Body) -> i64 {
    match body.size_exact {
        true => i64::try_from(body.size).unwrap_or(i64::MAX),
        false => UNKNOWN,
    }
}

fn trailers(body: &Body) -> Option<Headers<'_>> {
    let trailers = body.trailers.as_deref();
    trailers.map(|trailers| Headers(Some(trailers)))
}

/// The reason phrase as it came or, where a protocol has none, the registered one.
fn phrase(head: &ResponseHead) -> &[u8] {
    match head.reason.as_bytes() {
        b"" => {
            let status = ::http::StatusCode::from_u16(head.status);
            let phrase = status.ok().and_then(|status| status.canonical_reason());
            phrase.unwrap_or_default().as_bytes()
        }
        phrase => phrase,
    }
}
