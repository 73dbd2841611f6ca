//! Time that redaction takes per KB of body, by shape and size:
//! `cargo bench -p meshtap --no-default-features --features redact --bench redact`.
//!
//! With `-- --instructions` it counts instructions instead, by valgrind: the same on every run.
//! With `-- --worst` it looks for the dearest shape in every place (`-- --worst target`: in one).
//! With `-- --exchanges` it measures whole exchanges.
//!
//! Shapes are what clients and servers send, and what was made to be expensive. The best of many
//! rounds is shown: other work on the machine only adds to it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench is no service"
)]

#[path = "pipeline/messages.rs"]
mod messages;
#[path = "redact/ordinary.rs"]
mod ordinary;
#[path = "../src/redact/doubling/shapes.rs"]
mod shapes;
#[path = "redact/worst.rs"]
mod worst;

use std::hint::black_box;
use std::process::Command;
use std::time::Duration;

use meshtap::redact::{Config, Redactor};

const SIZES: [usize; 3] = [1024, 16 * 1024, 64 * 1024];

/// Longest measurement of one shape and size.
const TIME: Duration = Duration::from_millis(40);

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

/// Name, media type, what stands at the beginning, and what follows it to the end.
const SHAPES: [(&str, &str, &str, &str); 36] = [
    (
        "JSON",
        JSON,
        "{\"items\":[",
        "{\"id\":17,\"name\":\"article 17\",\"price\":12.5,\"currency\":\"EUR\",\"in_stock\":true},",
    ),
    (
        "JSON of texts",
        JSON,
        "[",
        "{\"title\":\"On the design of keyboards\",\"author\":\"Ann\",\"text\":\"The quick brown fox jumps over the lazy dog and goes shopping.\"},",
    ),
    ("form", FORM, "a=1", "&user=ann&page=2&text=hello+world%21"),
    (
        "text",
        "text/plain",
        "",
        "The quick brown fox jumps over the lazy dog, and nothing else happens. ",
    ),
    (
        "XML",
        "text/xml",
        "<a>",
        "<item id=\"17\"><name>article 17</name><price>12.5</price></item>",
    ),
    ("zeros", "application/octet-stream", "", "\0"),
    (
        "JSON, a token",
        JSON,
        "{\"token\":\"x\",\"items\":[",
        "{\"id\":17,\"name\":\"article 17\",\"price\":12.5,\"currency\":\"EUR\",\"in_stock\":true},",
    ),
    ("JSON of passwords", JSON, "[", "{\"password\":\"x\"},"),
    (
        "names and values",
        JSON,
        "[",
        "{\"name\":\"password\",\"value\":\"x\"},",
    ),
    ("token and backslashes", JSON, "\"token\":[", "\\"),
    ("escaped quotes", JSON, "{\"password\":[", "\\\""),
    ("colons", JSON, "\"password\"", "\":"),
    ("labels", JSON, "", "\"name\":\"password\",\"a\":\""),
    ("form of state=a", FORM, "", "state=a&"),
    ("form of token=a", FORM, "", "token=a&"),
    ("encoded equals", FORM, "token", "%3D"),
    ("encoded percents", FORM, "token=", "%2525"),
    ("URLs", "text/plain", "", "https://u:p@h/?token=a "),
    ("tags", "text/xml", "<a>", "<password>"),
    ("attributes", "text/xml", "<a ", "name=\"password\" "),
    (
        "parts",
        "multipart/form-data; boundary=b",
        "",
        "--b\r\nname=\"token\"\r\n\r\nx\r\n",
    ),
    (
        "boundaries",
        "multipart/form-data; boundary=b",
        "password",
        "--b",
    ),
    ("words", "text/plain", "", "password "),
    ("lines", "text/plain", "", "password: x\n"),
    ("stems", "text/plain", "", "key api "),
    ("token signs", "text/plain", "", "sk-key-eyJ."),
    (
        "values and names",
        JSON,
        "[",
        "{\"value\":{\"a\":[1,\"x\"]},\"name\":\"password\"},",
    ),
    (
        "objects in between",
        JSON,
        "{\"v\":\"x\"",
        ",\"a\":{},\"k\":\"pin\"",
    ),
    ("comments", JSON, "{", "\"a\"/*x*/:/*y*/1,"),
    (
        "lines in strings",
        JSON,
        "[",
        "{\"a\":\"b: 1\\npassword: |\\n  x\\n\"},",
    ),
    ("literals", "text/plain", "", "{'password': b'x', 'a': 1},"),
    ("form of pairs", FORM, "a=1", "&name=password&value=x"),
    (
        "XML of pairs",
        "text/xml",
        "<a>",
        "<p><value>x</value><name>password</name></p>",
    ),
    (
        "YAML of pairs",
        "text/plain",
        "",
        "- value: x\n  name: password\n",
    ),
    ("lines that go on", "text/plain", "", "password: x\n  y\n"),
    ("open brackets", "text/plain", "", "password=("),
];

fn text(first: &str, unit: &str, len: usize) -> Vec<u8> {
    first
        .bytes()
        .chain(unit.bytes().cycle())
        .take(len)
        .collect()
}

/// Best time of one look at a text.
fn best(redactor: &mut Redactor, media_type: &str, text: &[u8]) -> Duration {
    let start = thread_time();
    let mut best = Duration::MAX;
    while thread_time() - start < TIME {
        let round = thread_time();
        let _ = black_box(redactor.redact_text(media_type.as_bytes(), text));
        best = best.min(thread_time() - round);
    }
    best
}

/// Processor time of this thread: what others do meanwhile does not count.
fn thread_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(
        now.tv_sec.try_into().unwrap(),
        now.tv_nsec.try_into().unwrap(),
    )
}

/// Names the shape and the size of which instructions are counted, in a process of its own.
const SHAPE: &str = "MESHTAP_BENCH_SHAPE";
const SIZE: &str = "MESHTAP_BENCH_SIZE";

/// What valgrind counts.
#[inline(never)]
fn measured(redactor: &mut Redactor, media_type: &str, text: &[u8]) {
    let _ = black_box(redactor.redact_text(media_type.as_bytes(), text));
}

/// One look at one text, under valgrind.
fn look(shape: usize, len: usize) {
    let (_, media_type, first, unit) = SHAPES[shape];
    let text = text(first, unit, len);
    let mut redactor = Redactor::new(&Config::default()).unwrap();
    // Room is made once.
    let _ = redactor.redact_text(media_type.as_bytes(), &text);
    measured(&mut redactor, media_type, &text);
}

/// Instructions that one look at a text takes.
fn instructions(shape: usize, len: usize) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg("--toggle-collect=*measured*")
        .arg(std::env::current_exe().unwrap())
        .env(SHAPE, shape.to_string())
        .env(SIZE, len.to_string())
        .output()
        .expect("valgrind");
    let said = String::from_utf8_lossy(&output.stderr);
    let counted = said
        .lines()
        .find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    counted.unwrap_or_else(|| panic!("valgrind counted nothing: {said}"))
}

fn main() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    if let (Some(shape), Some(len)) = (number(SHAPE), number(SIZE)) {
        return look(shape, len);
    }
    let mut arguments = std::env::args().skip_while(|argument| argument != "--worst");
    if arguments.next().is_some() {
        let filter = arguments.find(|argument| argument != "--bench");
        return worst::print(filter.as_deref());
    }
    if std::env::args().any(|argument| argument == "--exchanges") {
        return ordinary::print();
    }
    if std::env::args().any(|argument| argument == "--instructions") {
        println!(
            "instructions per KB      {:>9} {:>9} {:>9}",
            "1 KB", "16 KB", "64 KB"
        );
        for (shape, (name, ..)) in SHAPES.iter().enumerate() {
            print!("{name:24}");
            for len in SIZES {
                print!(" {:>9}", instructions(shape, len) / (len as u64 / 1024));
            }
            println!();
        }
        return;
    }
    let mut redactor = Redactor::new(&Config::default()).unwrap();
    println!("µs per KB      {:>9} {:>9} {:>9}", "1 KB", "16 KB", "64 KB");
    for (name, media_type, first, unit) in SHAPES {
        print!("{name:24}");
        for len in SIZES {
            let text = text(first, unit, len);
            let took = best(&mut redactor, media_type, &text).as_secs_f64() * 1e6;
            let is_omitted = redactor.redact_text(media_type.as_bytes(), &text).is_err();
            let sign = if is_omitted { "!" } else { " " };
            print!(" {:>8.3}{sign}", took / (len as f64 / 1024.0));
        }
        println!();
    }
}
