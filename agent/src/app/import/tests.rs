use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use clap::Parser as _;

use super::*;
use crate::cli::{Cli, Command};

fn import(line: &str) -> Import {
    let cli = Cli::try_parse_from(line.split(' ')).expect("arguments");
    let Command::Replay(args) = cli.command else {
        panic!("another command");
    };
    Import {
        store: Arc::default(),
        output: args.output,
        stop: Stop::default(),
    }
}

fn file(content: &[u8]) -> File {
    static FILES: AtomicU32 = AtomicU32::new(0);
    let number = FILES.fetch_add(1, Ordering::Relaxed);
    let name = format!("meshtap-import-{}-{number}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let mut options = std::fs::OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(true);
    let mut file = options.open(&path).expect("a file");
    std::fs::remove_file(&path).expect("removed");
    file.write_all(content).expect("written");
    file.rewind().expect("rewound");
    file
}

fn recorded() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/recordings/servers.meshtap");
    std::fs::read(path).expect("a recording")
}

#[test]
fn a_recording_gives_what_its_replay_gives() {
    let import = import("meshtap replay x --web");
    let imported = import.read(file(&recorded())).expect("read");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/recordings/servers.jsonl");
    let lines = std::fs::read_to_string(path).expect("lines");
    assert_eq!(imported.exchanges, lines.lines().count() as u64);
    assert_eq!(imported.remark, None);
    assert_eq!(import.store.held().next - 1, imported.exchanges);
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(content).expect("compressed");
    gzip.finish().expect("compressed")
}

#[test]
fn a_compressed_recording_gives_the_same() {
    let exchanges = |content: &[u8]| {
        let import = import("meshtap replay x --web");
        import
            .read(file(content))
            .map(|imported| imported.exchanges)
    };
    let plain = exchanges(&recorded()).expect("read");
    assert_eq!(exchanges(&gzip(&recorded())), Ok(plain));
    let error = exchanges(&gzip(b"something else")).expect_err("no capture");
    assert_eq!(error, "not a pcap, pcapng or snoop file");
}

#[test]
fn a_cut_recording_gives_what_there_is() {
    let import = import("meshtap replay x --web");
    let mut content = recorded();
    content.truncate(content.len() / 2 + 3);
    let imported = import.read(file(&content)).expect("a part");
    assert!(imported.exchanges > 0);
}

#[test]
fn secrets_in_a_document_are_hidden() {
    let text = br#" {"log":{"entries":[{"request":{"method":"GET","url":"http://a/?x=1",
        "headers":[{"name":"Authorization","value":"Bearer hunter2hunter2"}]}}]}}"#;
    for (line, hidden) in [
        ("meshtap replay x --web", true),
        ("meshtap replay x --web --no-redact", false),
    ] {
        let import = import(line);
        let imported = import.read(file(text)).expect("read");
        assert_eq!(imported.exchanges, 1);
        let shown = import.store.get(1).expect("an exchange");
        let json = String::from_utf8(shown.json()).expect("UTF-8");
        assert_eq!(json.contains("hunter2"), !hidden, "{json}");
    }
}

#[test]
fn what_is_nothing_of_these() {
    let import = import("meshtap replay x --web");
    for content in [
        &b""[..],
        b"PK\x03\x04",
        b"{}",
        b"{\"log\":",
        b"MESHTAP\0",
        b"\xd4\xc3\xb2\xa1",
    ] {
        assert!(import.read(file(content)).is_err(), "{content:?}");
    }
    assert_eq!(import.store.held().next, 1);
}
