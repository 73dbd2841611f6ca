//! The page over real sockets, asked as a browser asks, and as others do.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::mpsc;

use serde_json::Value;

use super::*;
use crate::tap::sample;
use crate::views::Shown;

/// A page, and what it was given.
struct Bench {
    page: Page,
    store: Arc<Store>,
    imported: mpsc::Receiver<Vec<u8>>,
    idled: mpsc::Receiver<()>,
}

/// A response: its head, and its body.
struct Got(String, Vec<u8>);

impl Got {
    fn status(&self) -> u16 {
        let status = self.0.split(' ').nth(1).expect("a status");
        status.parse().expect("a number")
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.1).expect("JSON")
    }
}

impl Bench {
    fn start(store: Store, idle: Duration) -> Self {
        let store = Arc::new(store);
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).expect("an address");
        let (give, imported) = mpsc::channel();
        let (idles, idled) = mpsc::channel();
        let settings = Settings {
            source: "test".to_owned(),
            store: store.clone(),
            max_bytes: 1 << 20,
            importer: Arc::new(move |mut file: File| {
                let mut content = Vec::new();
                file.read_to_end(&mut content)
                    .map_err(|error| error.to_string())?;
                if content == b"broken" {
                    return Err("it is broken".to_owned());
                }
                let exchanges = content.len() as u64;
                give.send(content).map_err(|error| error.to_string())?;
                Ok(Imported {
                    exchanges,
                    remark: None,
                })
            }),
            own: Arc::new(()),
            idle,
            on_idle: Arc::new(move || {
                let _ = idles.send(());
            }),
        };
        let page = Page::start(listener, settings).expect("a page");
        Self {
            page,
            store,
            imported,
            idled,
        }
    }

    fn new() -> Self {
        Self::start(Store::default(), Duration::MAX)
    }

    fn with(exchanges: usize) -> Self {
        let bench = Self::new();
        bench.append(exchanges);
        bench
    }

    fn append(&self, exchanges: usize) {
        self.store.append((0..exchanges).map(|_| shown()).collect());
    }

    /// Host and port, and the path with the token.
    fn place(&self) -> (&str, &str) {
        let url = self.page.url().strip_prefix("http://").expect("http");
        url.split_at(url.find('/').expect("a path"))
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.place().0).expect("connected");
        let timeout = Some(Duration::from_secs(60));
        stream.set_read_timeout(timeout).expect("a timeout");
        stream
    }

    /// Sends bytes, and reads until the connection ends.
    fn raw(&self, request: &[u8]) -> Got {
        let mut stream = self.connect();
        // The other end may refuse before it has all.
        let _ = stream.write_all(request);
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let at = bytes.windows(4).position(|part| part == b"\r\n\r\n");
        let at = at.unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&bytes)));
        let body = bytes.split_off(at + 4);
        Got(
            String::from_utf8(bytes)
                .expect("a head")
                .to_ascii_lowercase(),
            body,
        )
    }

    fn get(&self, path: &str) -> Got {
        let (host, token) = self.place();
        // Of a version without chunks.
        let request = format!("GET {token}{path} HTTP/1.0\r\nHost: {host}\r\n\r\n");
        self.raw(request.as_bytes())
    }

    fn post(&self, fields: &str, body: &[u8]) -> Got {
        let (host, token) = self.place();
        let head = format!(
            "POST {token}api/import HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
             Content-Length: {}\r\n{fields}\r\n",
            body.len()
        );
        self.raw(&[head.as_bytes(), body].concat())
    }

    /// Follows what comes after the row with this number.
    fn follow(&self, last: Option<u64>) -> Events {
        let (host, token) = self.place();
        let last = last.map_or_else(String::new, |last| format!("Last-Event-ID: {last}\r\n"));
        let request = format!("GET {token}api/events HTTP/1.0\r\nHost: {host}\r\n{last}\r\n");
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).expect("sent");
        Events(BufReader::new(stream))
    }
}

/// Events as a browser reads them.
struct Events(BufReader<TcpStream>);

impl Events {
    /// The next event's name, id and data.
    fn next(&mut self) -> Option<(String, Option<u64>, Value)> {
        let (mut name, mut id) = (None, None);
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).ok()? == 0 {
                return None;
            }
            match line.trim_end().split_once(": ") {
                Some(("event", text)) => name = Some(text.to_owned()),
                Some(("id", text)) => id = text.parse().ok(),
                Some(("data", text)) => {
                    let data = serde_json::from_str(text).expect("JSON");
                    return Some((name.expect("a name"), id, data));
                }
                _ => {}
            }
        }
    }

    /// The next rows: their numbers, and the id of the event.
    fn rows(&mut self) -> (Vec<u64>, Option<u64>) {
        loop {
            let (name, id, data) = self.next().expect("an event");
            if name == "rows" {
                let rows = data["rows"].as_array().expect("rows");
                let numbers = rows.iter().map(|row| row[0].as_u64().expect("a number"));
                return (numbers.collect(), id);
            }
        }
    }

    /// The next state of which this holds.
    fn held(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let (name, _, data) = self.next().expect("an event");
            if name == "held" && wanted(&data) {
                return data;
            }
        }
    }
}

fn shown() -> Shown {
    let sanitized = sample::sanitized(&sample::exchange());
    let view = sample::view(&sanitized);
    let (process, caller, clock) = (view.process, view.caller, view.clock);
    Shown {
        sanitized,
        process,
        caller,
        clock,
        service: None,
        place: None,
    }
}

#[test]
fn every_response_forbids_what_is_not_ours() {
    let bench = Bench::with(1);
    let files = assets::ASSETS.iter().map(|asset| asset.name);
    let pages = [
        "",
        "api/state",
        "api/match?filter=a",
        "api/exchange/1",
        "api/exchange/9",
        "no",
    ];
    for path in files.chain(pages) {
        let got = bench.get(path);
        let expected = match path {
            "no" => 404,
            "api/exchange/9" => 410,
            _ => 200,
        };
        assert_eq!(got.status(), expected, "{path}");
        for field in [
            "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; \
             connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'",
            "x-content-type-options: nosniff",
            "cache-control: no-store",
            "referrer-policy: no-referrer",
        ] {
            assert!(got.0.contains(field), "{path}: {}", got.0);
        }
        assert!(!got.0.contains("access-control"), "{path}");
        assert!(!got.1.is_empty(), "{path}");
    }
    assert!(
        bench
            .get("")
            .0
            .contains("content-type: text/html; charset=utf-8")
    );
}

#[test]
fn without_the_token_there_is_nothing() {
    let bench = Bench::with(1);
    let (host, token) = bench.place();
    let mut wrong = token.trim_end_matches('/').to_owned();
    let last = wrong.pop().expect("a character");
    wrong.push(if last == 'A' { 'B' } else { 'A' });
    let shorter = token.get(..token.len() - 3).expect("a part").to_owned();
    for path in [
        "/",
        "//",
        &wrong,
        &format!("{wrong}/"),
        &shorter,
        "/api/state",
    ] {
        for rest in ["", "/api/exchange/1", "/style.css"] {
            let request = format!("GET {path}{rest} HTTP/1.1\r\nHost: {host}\r\n\r\n");
            let got = bench.raw(request.as_bytes());
            assert_eq!(got.status(), 403, "{path}{rest}");
            assert!(got.0.contains("content-security-policy:"), "{}", got.0);
        }
    }
    // Without its last slash it leads to the page.
    let path = token.trim_end_matches('/');
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    assert_eq!(bench.raw(request.as_bytes()).status(), 308);
}

#[test]
fn names_of_others_are_refused() {
    let bench = Bench::with(1);
    let (_, token) = bench.place();
    let check = |fields: &str, expected| {
        let request = format!("GET {token} HTTP/1.1\r\n{fields}Connection: close\r\n\r\n");
        assert_eq!(bench.raw(request.as_bytes()).status(), expected, "{fields}");
    };
    check("Host: localhost:9\r\n", 200);
    check("Host: 127.0.0.1\r\n", 200);
    check("Host: evil.example\r\n", 421);
    check("Host: 127.0.0.1.evil.example:80\r\n", 421);
    check("Host: 127.0.0.1\r\nHost: evil.example\r\n", 421);
    check("Host: \r\n", 421);
    check("", 421);
    let request = format!(
        "GET http://evil.example{token} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(bench.raw(request.as_bytes()).status(), 421);
}

#[test]
fn one_exchange_and_those_that_match() {
    let bench = Bench::with(3);
    let got = bench.get("api/exchange/2").json();
    assert_eq!(got["record"]["status"], 201);
    assert_eq!(got["record"]["request"]["body"], "{\"item\":\"té\"}");
    let times = [
        ("send_ns", 400_000),
        ("wait_ns", 600_000),
        ("receive_ns", 500_000),
    ];
    for (name, expected) in times {
        assert_eq!(got["timing"][name], expected, "{name}");
    }
    assert!(
        got["curl"]
            .as_str()
            .is_some_and(|text| text.contains("/cart?id=7"))
    );
    let check = |query: &str, status, expected: &str| {
        let got = bench.get(&format!("api/match?{query}"));
        assert_eq!(got.status(), status, "{query}");
        let text = String::from_utf8(got.1).expect("UTF-8");
        assert!(text.contains(expected), "{query}: {text}");
    };
    check(
        "filter=method%3APOST",
        200,
        "{\"ranges\":[[1,3]],\"through\":3}",
    );
    check("filter=status:4xx", 200, "{\"ranges\":[],\"through\":3}");
    check(
        "filter=cart&after=2",
        200,
        "{\"ranges\":[[3,3]],\"through\":3}",
    );
    check("after=3", 200, "{\"ranges\":[],\"through\":3}");
    check("filter=nothing:x", 200, "`nothing:` is no kind of term");
}

#[test]
fn a_document_of_what_is_listed() {
    let bench = Bench::with(70);
    let entries = |query: &str| {
        let document = bench.get(&format!("api/har{query}")).json();
        document["log"]["entries"]
            .as_array()
            .expect("entries")
            .len()
    };
    assert_eq!(entries(""), 70);
    assert_eq!(entries("?ids=2-4,69"), 4);
    assert_eq!(entries("?ids=71"), 0);
    assert_eq!(entries("?filter=-cart"), 0);
    assert_eq!(bench.get("api/har?ids=4-2").status(), 400);
    assert_eq!(bench.get("api/har?filter=x:").status(), 400);
}

#[test]
fn a_browser_goes_on_where_it_was() {
    let bench = Bench::with(3);
    let mut events = bench.follow(None);
    assert_eq!(events.rows(), (vec![1, 2, 3], Some(3)));
    bench.append(2);
    assert_eq!(events.rows(), (vec![4, 5], Some(5)));
    drop(events);
    assert_eq!(bench.follow(Some(4)).rows(), (vec![5], Some(5)));
    // A number of another run.
    assert_eq!(bench.follow(Some(400)).rows().0, [1, 2, 3, 4, 5]);
    bench.store.end();
    bench.follow(Some(5)).held(|held| held["ended"] == true);
}

/// The first call of a service ends before its own first exchange does.
#[test]
fn a_row_gets_the_name_of_its_client_later() {
    let bench = Bench::new();
    let mut exchange = sample::exchange();
    Arc::make_mut(&mut exchange.peers).side = crate::flow::Side::Client;
    let sanitized = sample::sanitized(&exchange);
    bench.store.append(vec![Shown {
        sanitized,
        ..shown()
    }]);
    let mut events = bench.follow(None);
    let (name, _, data) = events.next().expect("an event");
    assert_eq!(
        (&*name, &data["rows"][0][9]),
        ("rows", &Value::from("shop"))
    );
    bench.append(1);
    loop {
        let (name, _, data) = events.next().expect("an event");
        if name == "names" {
            assert_eq!(data, serde_json::json!([[1, "shop:8080", "shop.example"]]));
            break;
        }
    }
}

#[test]
fn what_a_slow_browser_misses_is_counted() {
    let room = 40 * shown().memory();
    let bench = Bench::start(Store::new(room), Duration::MAX);
    bench.append(10);
    let mut events = bench.follow(None);
    assert_eq!(events.rows().1, Some(10));
    drop(events);
    // Nobody reads meanwhile, and nobody waits.
    bench.append(500);
    let mut events = bench.follow(Some(10));
    let (rows, _) = events.rows();
    let missed = rows.first().expect("a row") - 11;
    assert!(missed > 400, "{missed}");
    events.held(|held| held["missed"] == missed);
}

#[test]
fn a_browser_that_never_reads_holds_up_nobody() {
    let bench = Bench::new();
    let stuck: Vec<_> = (0..8).map(|_| bench.follow(None)).collect();
    for _ in 0..100 {
        bench.append(1000);
    }
    assert_eq!(bench.get("api/state").status(), 200);
    let mut events = bench.follow(None);
    let mut last = 0;
    while last < 100_000 {
        last = events.rows().1.expect("an id");
    }
    drop(stuck);
}

#[test]
fn a_file_is_read_whole_or_not_at_all() {
    const KIND: &str = "Content-Type: application/octet-stream\r\n";
    let bench = Bench::new();
    let got = bench.post(KIND, &vec![7; 300_000]);
    assert_eq!(
        (got.status(), got.json()["exchanges"].as_u64()),
        (200, Some(300_000))
    );
    assert_eq!(bench.imported.recv().expect("a file"), vec![7; 300_000]);
    let check = |fields: &str, body: &[u8], expected| {
        assert_eq!(bench.post(fields, body).status(), expected, "{fields}");
    };
    check(KIND, b"broken", 422);
    check("Content-Type: text/plain\r\n", b"x", 415);
    check("", b"x", 415);
    check(&format!("{KIND}Origin: http://evil.example\r\n"), b"x", 403);
    check(&format!("{KIND}Sec-Fetch-Site: cross-site\r\n"), b"x", 403);
    // It says that it is too large, and nothing of it is read.
    let (host, token) = bench.place();
    let head = |length: &str| {
        format!(
            "POST {token}api/import HTTP/1.1\r\nHost: {host}\r\n{KIND}Connection: close\r\n{length}\r\n\r\n"
        )
    };
    let got = bench.raw(head(&format!("Content-Length: {}", MAX_IMPORT + 1)).as_bytes());
    assert_eq!(got.status(), 413);
    // It breaks off.
    let mut stream = bench.connect();
    let request = head("Content-Length: 10") + "half";
    stream.write_all(request.as_bytes()).expect("sent");
    drop(stream);
    // Its place is free once that is noticed.
    while bench.post(KIND, b"x").status() == 409 {
        std::thread::yield_now();
    }
    assert_eq!(bench.imported.recv().expect("a file"), b"x");
    assert!(bench.imported.try_recv().is_err(), "half a file was read");
}

#[test]
fn only_what_is_asked_for_changes_anything() {
    let bench = Bench::with(1);
    let (host, token) = bench.place();
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        for path in ["", "api/state", "api/exchange/1", "api/events", "api/har"] {
            let request = format!(
                "{method} {token}{path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            assert_eq!(
                bench.raw(request.as_bytes()).status(),
                405,
                "{method} {path}"
            );
        }
    }
}

#[test]
fn a_head_has_its_bound() {
    let bench = Bench::new();
    let (host, token) = bench.place();
    let long = "x".repeat(100_000);
    let request = format!("GET {token} HTTP/1.1\r\nHost: {host}\r\nX: {long}\r\n\r\n");
    assert_eq!(bench.raw(request.as_bytes()).status(), 431);
}

#[test]
fn the_page_ends_and_says_so() {
    let bench = Bench::with(1);
    let mut events = bench.follow(None);
    events.rows();
    let address = bench.place().0.to_owned();
    drop(bench);
    let mut last = None;
    while let Some((name, _, _)) = events.next() {
        last = Some(name);
    }
    assert_eq!(last.as_deref(), Some("end"));
    assert!(TcpStream::connect(address).is_err(), "still listening");
}

#[test]
fn nobody_there_for_long_ends_it() {
    let bench = Bench::start(Store::default(), Duration::from_millis(1));
    bench
        .idled
        .recv_timeout(Duration::from_secs(60))
        .expect("idle");
}
