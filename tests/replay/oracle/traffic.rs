//! Traffic whose every request is known beforehand: method, target with a number of its own, body
//! length, expected status.

use std::net::SocketAddr;
use std::path::Path;

use meshtap_tests::{Bench, Connection, HTTP_PORT, Nginx, Random, curl};

/// What a client asked for, and got.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: &'static str,
    pub target: String,
    pub status: u16,
    pub request_body: u64,
    /// The response may come before the end of the request, and the client may then stop sending.
    pub may_be_cut: bool,
    /// The representation, where the client knows it.
    pub response: Option<Vec<u8>>,
}

/// Requests in one write of a client that does not wait for responses.
pub const PIPELINED: usize = 10;

/// Length of curl's uploads.
const UPLOAD: u64 = 70_000;

/// Files that a server is given.
pub struct Files {
    pub text: Vec<u8>,
    pub page: Vec<u8>,
    pub large: Vec<u8>,
}

impl Files {
    pub fn write(root: &Path) -> Self {
        let line = |n: usize| format!("line {n} of a text that compresses well\n");
        let text: String = (0..60).map(line).collect();
        let page: String = (0..500).map(line).collect();
        let files = Self {
            text: text.into_bytes(),
            page: page.into_bytes(),
            large: Random::new(7).bytes(300_000),
        };
        for (name, bytes) in [
            ("text.txt", &files.text),
            ("page.txt", &files.page),
            ("large.bin", &files.large),
        ] {
            std::fs::write(root.join(name), bytes).expect("a file to serve");
        }
        files
    }
}

/// Numbers requests, so that each target is different from every other.
pub struct Counter(u64);

impl Counter {
    fn target(&mut self, path: &str) -> String {
        self.0 += 1;
        format!("{path}?n={}", self.0)
    }
}

/// One transfer of a curl run: lines of its configuration file (curl(1), `--config`).
fn transfer(host: &str, port: u16, asked: &Asked, options: &str) -> String {
    format!(
        "url = \"http://{host}:{port}{}\"\noutput = \"/dev/null\"\nnoproxy = \"*\"\nsilent\n{options}\n",
        asked.target
    )
}

/// Requests of many kinds over one kept connection after the other, in a random order.
pub fn curl_mix(
    bench: &Bench,
    (host, port): (&str, u16),
    files: &Files,
    kinds: &[Kind],
    (count, seed): (usize, u64),
    counter: &mut Counter,
) -> Vec<Asked> {
    // A file for each run: writing it anew would empty it under the curl of another.
    let upload = bench.scratch.write(
        &format!("upload-{seed}-{port}"),
        Random::new(9).bytes(usize::try_from(UPLOAD).expect("a length")),
    );
    let mut random = Random::new(seed);
    let mut all = Vec::new();
    let mut config = String::new();
    for n in 0..count {
        let pick = usize::try_from(random.below(kinds.len() as u64)).expect("an index");
        let (asked, options) = kinds[pick].make(files, counter, &upload);
        if n > 0 {
            config.push_str("next\n");
        }
        config.push_str(&transfer(host, port, &asked, &options));
        all.push(asked);
    }
    let config = bench.scratch.write(&format!("curl-{seed}-{port}"), config);
    let _ = curl(&["-K", config.to_str().expect("a path")]);
    all
}

/// What a curl transfer tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    TextCompressed,
    PageCompressed,
    Large,
    Range,
    Head,
    Missing,
    Http10,
    /// `Expect: 100-continue`, then the body.
    Expect,
    Chunked,
    /// The response comes while the body flows.
    Early,
}

/// What any server of files responds.
pub const FILES: [Kind; 8] = [
    Kind::Text,
    Kind::TextCompressed,
    Kind::PageCompressed,
    Kind::Large,
    Kind::Range,
    Kind::Head,
    Kind::Missing,
    Kind::Http10,
];

/// With what [`nginx`] serves besides.
pub const ALL: [Kind; 11] = [
    Kind::Text,
    Kind::TextCompressed,
    Kind::PageCompressed,
    Kind::Large,
    Kind::Range,
    Kind::Head,
    Kind::Missing,
    Kind::Http10,
    Kind::Expect,
    Kind::Chunked,
    Kind::Early,
];

impl Kind {
    /// The request, and curl's options for it.
    fn make(self, files: &Files, counter: &mut Counter, upload: &Path) -> (Asked, String) {
        let (path, response) = match self {
            Self::Text | Self::TextCompressed | Self::Http10 => {
                ("/text.txt", Some(&files.text[..]))
            }
            Self::PageCompressed => ("/page.txt", Some(&files.page[..])),
            Self::Large => ("/large.bin", Some(&files.large[..])),
            Self::Range => ("/page.txt", Some(&files.page[100..=5099])),
            Self::Head => ("/page.txt", Some(&[][..])),
            Self::Missing => ("/missing", None),
            Self::Expect | Self::Chunked => ("/taken", Some(&b"taken"[..])),
            Self::Early => ("/early", Some(&b"early"[..])),
        };
        let posts = matches!(self, Self::Expect | Self::Chunked | Self::Early);
        let asked = Asked {
            method: match self {
                Self::Head => "HEAD",
                _ if posts => "POST",
                _ => "GET",
            },
            target: counter.target(path),
            status: match self {
                Self::Range => 206,
                Self::Missing => 404,
                _ => 200,
            },
            request_body: if posts { UPLOAD } else { 0 },
            may_be_cut: self == Self::Early,
            response: response.map(<[u8]>::to_vec),
        };
        let options = match self {
            Self::TextCompressed | Self::PageCompressed => "compressed",
            Self::Range => "range = \"100-5099\"",
            Self::Head => "head",
            Self::Http10 => "http1.0",
            Self::Expect => "header = \"Expect: 100-continue\"",
            Self::Chunked => "header = \"Transfer-Encoding: chunked\"\nheader = \"Expect:\"",
            Self::Early => "header = \"Expect:\"",
            Self::Text | Self::Large | Self::Missing => "",
        };
        let body = match posts {
            true => format!(
                "\nheader = \"Content-Type: a/b\"\ndata-binary = \"@{}\"",
                upload.display()
            ),
            false => String::new(),
        };
        (asked, options.to_owned() + &body)
    }
}

/// Requests in one write, responses in one go: `depth` at a time, `rounds` times over one
/// connection.
pub fn pipelined(
    address: SocketAddr,
    files: &Files,
    (rounds, depth): (usize, usize),
    counter: &mut Counter,
) -> Vec<Asked> {
    let mut connection = Connection::open(address);
    let mut all = Vec::new();
    for round in 0..rounds {
        let batch: Vec<Asked> = (0..depth)
            .map(|n| {
                let text = (round + n) % 3 == 0;
                let (path, file) = if text {
                    ("/text.txt", &files.text)
                } else {
                    ("/page.txt", &files.page)
                };
                Asked {
                    method: "GET",
                    target: counter.target(path),
                    status: 200,
                    request_body: 0,
                    may_be_cut: false,
                    response: Some(file.clone()),
                }
            })
            .collect();
        let requests: String = batch
            .iter()
            .map(|asked| format!("GET {} HTTP/1.1\r\nHost: test\r\n\r\n", asked.target))
            .collect();
        connection.send(requests);
        for asked in &batch {
            let response = connection.response();
            assert_eq!(response.status, asked.status);
            assert_eq!(Some(&response.body), asked.response.as_ref());
        }
        all.extend(batch);
    }
    all
}

/// A chunked request with extensions and a trailer, its head and its chunks in writes of their own.
pub fn chunked_by_hand(address: SocketAddr, count: usize, counter: &mut Counter) -> Vec<Asked> {
    let mut connection = Connection::open(address);
    let one = |_| {
        let target = counter.target("/taken");
        let (line, fields) = (
            format!("POST {target} HTTP/1.1\r\nHo"),
            "st: test\r\nTransfer-Encoding: chunked\r\nContent-Type: a/b\r\n\r\n",
        );
        connection.send(line);
        connection.send(fields);
        connection.send("5;name=value\r\nhello\r\n");
        connection.send("1A\r\nabcdefghijklmnopqrstuvwxyz\r");
        connection.send("\n0\r\nX-Trailer: yes\r\n\r\n");
        let response = connection.response();
        assert_eq!(response.status, 200);
        Asked {
            method: "POST",
            target,
            status: 200,
            request_body: 31,
            may_be_cut: false,
            response: None,
        }
    };
    (0..count).map(one).collect()
}

/// Clients at once, on these addresses: curl runs, pipelining, and hand-made chunks where the
/// server takes them, each with connections of its own.
pub fn mixed(
    bench: &Bench,
    files: &Files,
    (hosts, port): (&[&'static str; 3], u16),
    kinds: &[Kind],
    size: usize,
) -> Vec<Asked> {
    let numbers = |n: u64| Counter(n * 1_000_000);
    let address = |host: &str| -> SocketAddr { format!("{host}:{port}").parse().expect("a host") };
    let run = |host: &'static str, seed: u64| {
        let mut counter = numbers(seed);
        move || {
            curl_mix(
                bench,
                (host, port),
                files,
                kinds,
                (size, seed),
                &mut counter,
            )
        }
    };
    let (first, second) = (address(hosts[0]), address(hosts[1]));
    let taken = if kinds.contains(&Kind::Chunked) {
        size / 4
    } else {
        0
    };
    std::thread::scope(|scope| {
        let threads = [
            scope.spawn(run(hosts[0], 1)),
            scope.spawn(run(hosts[1], 2)),
            scope.spawn(run(hosts[2], 3)),
            scope.spawn(move || {
                pipelined(first, files, (size / PIPELINED, PIPELINED), &mut numbers(4))
            }),
            scope.spawn(move || chunked_by_hand(second, taken, &mut numbers(5))),
        ];
        threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("a client"))
            .collect()
    })
}

/// nginx for all of it: compression, bodies that are read whole before the response (passed on over
/// a Unix socket, which no capture sees), and bodies that are responded while they come.
pub fn nginx(bench: &Bench) -> Nginx {
    let drain = bench.scratch.path().join("drain");
    let drain = drain.display();
    Nginx::start_http(
        bench,
        &format!(
            "error_log stderr crit; client_body_buffer_size 128k;
             gzip on; gzip_min_length 100; gzip_types text/plain;
             server {{
                 listen {HTTP_PORT}; listen [::]:{HTTP_PORT};
                 location /taken {{ proxy_pass http://unix:{drain}:/; }}
                 location /early {{ return 200 early; }}
                 location / {{ }}
             }}
             server {{ listen unix:{drain}; location / {{ return 200 taken; }} }}"
        ),
    )
}
