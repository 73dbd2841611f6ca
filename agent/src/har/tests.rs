use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;
use crate::exchange::{Exchange, Partial};
use crate::files::Files;
use crate::http::Unknown;
use crate::policy::fixture;
use crate::redact::Config;
use crate::redact::fixture::sanitize_at;

/// The fields of each object, from the tables of the HAR 1.2 specification: name, JSON type,
/// whether it may be missing. `t`: ISO 8601 time, `o:…` and `a:…`: an object, or an array of
/// objects, of the named table.
const TABLES: [(&str, &str); 15] = [
    (
        "log",
        "version:s creator:o:creator browser:o:creator? pages:a:page? entries:a:entry comment:s?",
    ),
    ("creator", "name:s version:s comment:s?"),
    (
        "page",
        "startedDateTime:t id:s title:s pageTimings:o:none comment:s?",
    ),
    (
        "entry",
        "pageref:s? startedDateTime:t time:n request:o:request response:o:response cache:o:cache timings:o:timings serverIPAddress:s? connection:s? comment:s?",
    ),
    (
        "request",
        "method:s url:s httpVersion:s cookies:a:cookie headers:a:record queryString:a:record postData:o:postData? headersSize:n bodySize:n comment:s?",
    ),
    (
        "response",
        "status:n statusText:s httpVersion:s cookies:a:cookie headers:a:record content:o:content redirectURL:s headersSize:n bodySize:n comment:s?",
    ),
    (
        "cookie",
        "name:s value:s path:s? domain:s? expires:t? httpOnly:b? secure:b? comment:s?",
    ),
    ("record", "name:s value:s comment:s?"),
    ("postData", "mimeType:s params:a:param text:s comment:s?"),
    (
        "param",
        "name:s value:s? fileName:s? contentType:s? comment:s?",
    ),
    (
        "content",
        "size:n compression:n? mimeType:s text:s? encoding:s? comment:s?",
    ),
    (
        "cache",
        "beforeRequest:o:none? afterRequest:o:none? comment:s?",
    ),
    (
        "timings",
        "blocked:n? dns:n? connect:n? send:n wait:n receive:n ssl:n? comment:s?",
    ),
    ("root", "log:o:log"),
    ("none", ""),
];

fn check_object(value: &Value, table: &str) {
    let object = value
        .as_object()
        .unwrap_or_else(|| panic!("{table} is {value}"));
    let fields = TABLES.iter().find(|(name, _)| *name == table).unwrap().1;
    let mut known = Vec::new();
    for field in fields.split_whitespace() {
        let (name, kind) = field.split_once(':').unwrap();
        let (kind, optional) = kind
            .strip_suffix('?')
            .map_or((kind, false), |kind| (kind, true));
        known.push(name);
        match object.get(name) {
            Some(value) => check_field(value, kind, &format!("{table}.{name}")),
            None => assert!(optional, "{table}.{name} is missing"),
        }
    }
    for name in object.keys() {
        assert!(
            known.contains(&name.as_str()) || name.starts_with('_'),
            "{table}.{name} is not in HAR 1.2"
        );
    }
}

fn check_field(value: &Value, kind: &str, path: &str) {
    let right = match kind {
        "s" => value.is_string(),
        "n" => value.is_number(),
        "b" => value.is_boolean(),
        "t" => value
            .as_str()
            .is_some_and(|text| humantime::parse_rfc3339(text).is_ok()),
        _ => {
            let (shape, table) = kind.split_once(':').unwrap();
            if shape == "o" {
                check_object(value, table);
            } else {
                let items = value
                    .as_array()
                    .unwrap_or_else(|| panic!("{path} is {value}"));
                items.iter().for_each(|item| check_object(item, table));
            }
            true
        }
    };
    assert!(right, "{path} is {value}");
}

fn sanitize(exchange: Exchange) -> Sanitized {
    sanitize_at(&Config::everything(), exchange, 1_700_000_000_000_000_000)
}

/// The document of the exchanges, valid by the tables.
fn document(exchanges: Vec<Exchange>) -> Value {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes).unwrap();
    for exchange in exchanges {
        writer.write(&sanitize(exchange)).unwrap();
    }
    writer.finish().unwrap();
    let document = serde_json::from_slice(&bytes).unwrap();
    check_object(&document, "root");
    document
}

/// The values at some places of the only entry.
fn check(exchange: Exchange, expected: &[(&str, Value)]) -> Value {
    let document = document(vec![exchange]);
    let entry = &document["log"]["entries"][0];
    for (pointer, value) in expected {
        assert_eq!(
            entry.pointer(pointer),
            Some(value),
            "{pointer} of {entry:#}"
        );
    }
    entry.clone()
}

const REQUEST: &str = "POST /a%20b?q=x%20y&token=t&z HTTP/1.1\r\nhost: shop:8080\r\ncookie: a=1; b=2\r\ncontent-type: application/x-www-form-urlencoded\r\n\r\nu=v+w&password=p";

#[test]
fn an_entry() {
    let entry = check(
        fixture::exchange(
            REQUEST,
            "HTTP/1.1 302 X\r\nlocation: /next\r\nset-cookie: s=1; Path=/x; Secure; HttpOnly; Domain=h\r\ncontent-type: text/plain\r\n\r\n\"gr\u{fc}n\"\n",
        ),
        &[
            ("/startedDateTime", json!("2023-11-14T22:13:20.000Z")),
            ("/time", json!(0.004)),
            ("/request/method", json!("POST")),
            ("/request/httpVersion", json!("HTTP/1.1")),
            (
                "/request/queryString/0",
                json!({"name": "q", "value": "x y"}),
            ),
            ("/request/queryString/2", json!({"name": "z", "value": ""})),
            (
                "/request/postData/mimeType",
                json!("application/x-www-form-urlencoded"),
            ),
            (
                "/request/postData/params/0",
                json!({"name": "u", "value": "v w"}),
            ),
            ("/request/bodySize", json!(16)),
            ("/request/cookies/1/name", json!("b")),
            ("/response/status", json!(302)),
            ("/response/statusText", json!("Found")),
            ("/response/redirectURL", json!("/next")),
            ("/response/content/text", json!("\"gr\u{fc}n\"\n")),
            ("/response/content/size", json!(8)),
            ("/response/content/mimeType", json!("text/plain")),
            ("/response/cookies/0/path", json!("/x")),
            ("/response/cookies/0/domain", json!("h")),
            ("/response/cookies/0/secure", json!(true)),
            ("/response/cookies/0/httpOnly", json!(true)),
            ("/timings/send", json!(0.001)),
            ("/timings/wait", json!(0.001)),
            ("/timings/receive", json!(0.002)),
            ("/serverIPAddress", json!("10.0.0.1")),
        ],
    );
    let url = entry["request"]["url"].as_str().unwrap();
    assert!(
        url.starts_with("http://shop:8080/a%20b?q=x%20y&token=[redacted:"),
        "{url}"
    );
    let text = entry.to_string();
    assert_eq!(text.matches("[redacted:").count(), 10, "{text}");
}

#[test]
fn bytes_and_codings() {
    let mut coded = b"HTTP/1.1 200 X\r\ncontent-encoding: gzip\r\n\r\n".to_vec();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&[b'a'; 1000]).unwrap();
    let body = encoder.finish().unwrap();
    coded.extend_from_slice(&body);
    check(
        fixture::exchange(b"POST / HTTP/1.0\r\n\r\n\xff\xfe\x00", coded),
        &[
            ("/request/url", json!("http://10.0.0.1:8080/")),
            ("/request/httpVersion", json!("HTTP/1.0")),
            ("/request/postData/text", json!("//4A")),
            ("/request/postData/_encoding", json!("base64")),
            ("/response/content/text", json!("a".repeat(1000))),
            ("/response/content/size", json!(1000)),
            ("/response/content/compression", json!(1000 - body.len())),
            ("/response/bodySize", json!(body.len())),
        ],
    );
    check(
        fixture::exchange("GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 X\r\n\r\n\xff"),
        &[
            ("/response/content/text", json!("/w==")),
            ("/response/content/encoding", json!("base64")),
        ],
    );
}

#[test]
fn no_response() {
    let mut exchange = fixture::exchange(
        "OPTIONS * HTTP/1.1\r\nhost: h\r\n\r\n",
        "HTTP/1.1 200 X\r\n\r\n",
    );
    exchange.response = None;
    exchange.partial = Some(Partial::NoResponse);
    exchange.request.head.unknown = Unknown::SCHEME;
    check(
        exchange,
        &[
            ("/request/url", json!("http://h/")),
            ("/response/status", json!(0)),
            ("/_partial", json!("no_response")),
            ("/_unknown", json!(["scheme"])),
        ],
    );
}

#[test]
fn no_entry_or_many() {
    assert_eq!(document(Vec::new())["log"]["entries"], json!([]));
    let one = || fixture::exchange("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 X\r\n\r\n");
    let many = document((0..100).map(|_| one()).collect());
    assert_eq!(many["log"]["entries"].as_array().unwrap().len(), 100);
}

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("meshtap-har-{}-{name}", std::process::id())))
    }

    fn document(&self) -> Value {
        let document = serde_json::from_slice(&std::fs::read(&self.0).unwrap()).unwrap();
        check_object(&document, "root");
        document
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn get() -> Sanitized {
    sanitize(fixture::exchange(
        "GET / HTTP/1.1\r\n\r\n",
        "HTTP/1.1 200 X\r\n\r\n",
    ))
}

fn entries(document: &Value) -> usize {
    document["log"]["entries"].as_array().unwrap().len()
}

#[test]
fn a_file_is_whole_whenever_it_is_settled_or_dropped() {
    let scratch = Scratch::new("file");
    std::fs::write(&scratch.0, "x".repeat(10_000)).unwrap();
    let output = Files::default().output(&scratch.0).unwrap();
    let mut writer = Writer::create(output).unwrap();
    let exchange = get();
    for n in 0..3 {
        writer.settle().unwrap();
        assert_eq!(entries(&scratch.document()), n);
        writer.write(&exchange).unwrap();
    }
    drop(writer);
    assert_eq!(entries(&scratch.document()), 3);
}

/// A disk with so much room, which takes what it can of every write.
#[derive(Default)]
struct SmallDisk {
    bytes: Vec<u8>,
    room: usize,
}

impl Disk for &mut SmallDisk {
    fn write_at(&mut self, bytes: &[u8], at: u64) -> io::Result<()> {
        let at = usize::try_from(at).unwrap();
        let taken = bytes.len().min(self.room.saturating_sub(at));
        let end = at + taken;
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[at..end].copy_from_slice(&bytes[..taken]);
        if taken < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.bytes.truncate(usize::try_from(len).unwrap());
        Ok(())
    }
}

#[test]
fn a_document_is_whole_on_a_disk_of_any_size() {
    let exchange = get();
    let mut last = 0;
    for room in HEAD.len() + TAIL.len()..HEAD.len() + 3000 {
        let mut disk = SmallDisk {
            room,
            ..SmallDisk::default()
        };
        let mut writer = Writer::begin(Document {
            disk: &mut disk,
            end: 0,
        })
        .unwrap();
        let mut written = 0;
        while written < 100
            && writer
                .write(&exchange)
                .and_then(|()| writer.settle())
                .is_ok()
        {
            written += 1;
        }
        drop(writer);
        let document = serde_json::from_slice(&disk.bytes).unwrap();
        assert_eq!(entries(&document), written, "{room}");
        assert!(written >= last, "{room}");
        last = written;
    }
    assert!(last >= 2);
}

#[test]
fn a_document_goes_on_once_there_is_room() {
    let exchange = get();
    let mut disk = SmallDisk {
        room: HEAD.len() + TAIL.len(),
        ..SmallDisk::default()
    };
    let mut writer = Writer::begin(Document {
        disk: &mut disk,
        end: 0,
    })
    .unwrap();
    writer.write(&exchange).unwrap();
    assert!(writer.settle().is_err());
    drop(writer);
    assert_eq!(entries(&serde_json::from_slice(&disk.bytes).unwrap()), 0);
    disk.room = usize::MAX;
    let mut writer = Writer {
        place: Document {
            disk: &mut disk,
            end: HEAD.len() as u64,
        },
        gathered: Vec::new(),
        entry: Vec::new(),
        is_empty: true,
        is_finished: false,
        has_failed: false,
    };
    writer.write(&exchange).unwrap();
    writer.write(&exchange).unwrap();
    writer.finish().unwrap();
    assert_eq!(entries(&serde_json::from_slice(&disk.bytes).unwrap()), 2);
}

/// Fails once its room is used up.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self
            .0
            .checked_sub(bytes.len())
            .ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_of_a_stream_that_fails_is_reported() {
    let exchange = get();
    let mut writer = Writer::new(Full(BUFFER)).unwrap();
    let failed = (0..10_000).any(|_| writer.write(&exchange).is_err());
    assert!(failed);
    assert!(writer.settle().is_err());
    assert!(writer.finish().is_err());
}
