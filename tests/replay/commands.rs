//! What a person meets at the command line, without privileges: files, pipes, standard streams,
//! mistakes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, File};
use std::io::{Read as _, Write as _, pipe};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

/// A recording of exchanges with real servers.
const RECORDING: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../tests/recordings/servers.meshtap"
);

/// A folder of its own, with a copy of the recording.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder =
            std::env::temp_dir().join(format!("meshtap-commands-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::copy(RECORDING, folder.join("in")).unwrap();
        Self(folder)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshtap"));
        command.args(arguments).current_dir(&self.0);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.0.join(name)).unwrap()
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&self.read(name)).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn entries(document: &Value) -> usize {
    document["log"]["entries"].as_array().unwrap().len()
}

/// The command is refused with these words, and the recording is as it was.
#[track_caller]
fn refused(scratch: &Scratch, arguments: &[&str], words: &str) {
    let output = scratch.run(arguments);
    let stderr = text(&output.stderr);
    assert!(!output.status.success(), "{arguments:?}: {stderr}");
    if stderr.contains("is not written to") {
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
    }
    assert!(stderr.contains(words), "{arguments:?}: {stderr}");
    assert_eq!(scratch.read("in"), fs::read(RECORDING).unwrap());
}

#[test]
fn outputs_are_neither_the_input_nor_each_other() {
    let scratch = Scratch::new();
    symlink("in", scratch.0.join("link")).unwrap();
    let same = "the same file as";
    refused(&scratch, &["replay", "in", "--har", "in"], same);
    refused(&scratch, &["replay", "in", "--ledger-json", "./in"], same);
    refused(
        &scratch,
        &["replay", "in", "--har", "link"],
        "symbolic link",
    );
    refused(
        &scratch,
        &["replay", "in", "--har", "x", "--ledger-json", "x"],
        same,
    );
    assert!(!scratch.0.join("x").exists(), "left behind");
    fs::hard_link(scratch.0.join("in"), scratch.0.join("hard")).unwrap();
    refused(&scratch, &["replay", "in", "--har", "hard"], "hard links");
    refused(&scratch, &["replay", "in", "--har", "."], "folder");
    refused(
        &scratch,
        &["replay", "in", "--har", "none/x"],
        "No such file",
    );
}

/// `replay in >>in`, `replay in 1<>in`, `replay in --har /dev/fd/1 …`.
#[test]
fn standard_output_is_not_the_input() {
    let scratch = Scratch::new();
    let path = scratch.0.join("in");
    let appending = || File::options().append(true).open(&path).unwrap();
    let over = || File::options().read(true).write(true).open(&path).unwrap();
    for arguments in [
        &["replay", "in"][..],
        &["replay", "in", "--json"],
        &["replay", "in", "--har", "-"],
        &["replay", "in", "--ledger-json", "l"],
        &["replay", "-"],
    ] {
        for stdout in [appending(), over()] {
            let mut command = scratch.command(arguments);
            command.stdin(File::open(&path).unwrap()).stdout(stdout);
            let output = command.stderr(Stdio::piped()).output().unwrap();
            let stderr = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
            assert!(
                stderr.contains("standard output is not written to: it is the same file as"),
                "{arguments:?}: {stderr}"
            );
            assert_eq!(scratch.read("in"), fs::read(RECORDING).unwrap());
        }
    }
}

/// `replay in 2>>in`, `replay in --har x 2>x`. What is said cannot go there, either.
#[test]
fn standard_error_is_neither_the_input_nor_an_output() {
    let scratch = Scratch::new();
    let appending = |name: &str| {
        let mut options = File::options();
        let file = options.append(true).create(true).open(scratch.0.join(name));
        file.unwrap()
    };
    let mut command = scratch.command(&["replay", "in"]);
    let output = command.stderr(appending("in")).output().unwrap();
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("standard error is not written to: it is the same file as"),
        "{said}"
    );
    let mut command = scratch.command(&["replay", "in"]);
    let command = command.stdout(appending("in")).stderr(appending("in"));
    assert_eq!(command.status().unwrap().code(), Some(2));
    assert_eq!(scratch.read("in"), fs::read(RECORDING).unwrap());
    let mut command = scratch.command(&["replay", "in", "--har", "x"]);
    let output = command.stderr(appending("x")).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = text(&scratch.read("x"));
    assert!(said.contains("the same file as standard error"), "{said}");
}

#[test]
fn what_is_written_is_private_and_whole() {
    let scratch = Scratch::new();
    fs::write(scratch.0.join("a.har"), "x".repeat(1 << 20)).unwrap();
    let arguments = ["replay", "in", "--har", "a.har", "--ledger-json", "l"];
    let output = scratch.run(&arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for name in ["a.har", "l"] {
        let mode = fs::metadata(scratch.0.join(name)).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600, "{name}");
    }
    let shown = scratch.json("l")["delivery"]["shown"].as_u64().unwrap();
    assert_eq!(entries(&scratch.json("a.har")) as u64, shown);
}

#[test]
fn standard_streams() {
    let scratch = Scratch::new();
    let shown = scratch.run(&["replay", "in", "--json"]).stdout;
    assert!(!shown.is_empty());
    // A file, and a pipe that can be read once.
    let check = |mut file: Command, piped: &str| {
        let mut cat = Command::new("cat")
            .arg(scratch.0.join(piped))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pipe = scratch.command(&["replay", "-", "--json"]);
        pipe.stdin(cat.stdout.take().unwrap());
        for command in [&mut file, &mut pipe] {
            let output = command.output().unwrap();
            assert!(output.status.success(), "{}", text(&output.stderr));
            assert_eq!(text(&output.stdout), text(&shown));
        }
        assert!(cat.wait().unwrap().success());
    };
    let mut file = scratch.command(&["replay", "-", "--json"]);
    file.stdin(File::open(scratch.0.join("in")).unwrap());
    check(file, "in");
    // Compressed, both ways.
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&fs::read(RECORDING).unwrap()).unwrap();
    fs::write(scratch.0.join("packed"), packed.finish().unwrap()).unwrap();
    check(scratch.command(&["replay", "packed", "--json"]), "packed");
    let output = scratch.run(&["replay", "in", "--har", "-"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(entries(&document), text(&shown).lines().count());
    refused(
        &scratch,
        &["replay", "in", "--har", "-", "--json"],
        "standard output",
    );
}

/// What a command says, and how it ends, when the reader of its output goes after a byte.
#[track_caller]
fn check_reader_goes(scratch: &Scratch, arguments: &[&str]) {
    let (mut reader, writer) = pipe().unwrap();
    // What is written does not fit.
    rustix::pipe::fcntl_setpipe_size(&writer, 4096).unwrap();
    let mut command = scratch.command(arguments);
    let child = command
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The command's own copy of the writing end must not keep the pipe open.
    drop(command);
    reader.read_exact(&mut [0]).unwrap();
    drop(reader);
    let output = child.wait_with_output().unwrap();
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    assert!(!stderr.contains("meshtap:"), "{arguments:?}: {stderr}");
}

#[test]
fn a_reader_that_goes_has_read_enough() {
    let scratch = Scratch::new();
    check_reader_goes(&scratch, &["config", "schema"]);
    check_reader_goes(&scratch, &["replay", "in", "--json", "-vv"]);
    check_reader_goes(&scratch, &["replay", "in", "-vv"]);
    check_reader_goes(&scratch, &["replay", "in", "--har", "-"]);
    check_reader_goes(&scratch, &["replay", "--help"]);
}

/// Exit code 2, as for arguments that cannot be read at all.
#[test]
fn arguments_that_cannot_work() {
    let scratch = Scratch::new();
    for (arguments, words) in [
        (&["--status", "6xx"][..], "a class from 1xx to 5xx"),
        (&["--har", "-", "--json"], "standard output"),
        (&["--otlp", "nowhere:x"], "--otlp: endpoint"),
        (&["--otlp", "ftp://localhost"], "--otlp: endpoint"),
        (&["-i"], "needs a terminal"),
        (&["--web", "0.0.0.0:80"], "--web-remote"),
        (&["--har", "in"], "is not written to"),
    ] {
        let all = [&["replay", "in"], arguments].concat();
        refused(&scratch, &all, words);
        assert_eq!(scratch.run(&all).status.code(), Some(2), "{all:?}");
    }
}

#[test]
fn a_full_disk_is_named() {
    let scratch = Scratch::new();
    let full = || File::options().write(true).open("/dev/full").unwrap();
    for arguments in [&["--help"][..], &["replay", "--help"], &["--version"]] {
        let output = scratch.command(arguments).stdout(full()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    }
    refused(
        &scratch,
        &["replay", "in", "--har", "/dev/full"],
        "/dev/full cannot be written: No space left",
    );
}

#[test]
fn mistakes() {
    let scratch = Scratch::new();
    for (arguments, words) in [
        (["--status", "6xx"], "a class from 1xx to 5xx"),
        (["--status", "99"], "three digits"),
        (["--path", "api"], "write for example /api"),
        (["--host", "http://shop"], "no host can match"),
        (
            ["--path", "/a#b"],
            "what follows a `#` is not sent; write /a",
        ),
        (["--path", "/a b"], "write %20"),
        (["--method", ""], "is not a method"),
        (["--method", "P*"], "stands for nothing"),
        (["--max-body", "1.5M"], "is not a size"),
    ] {
        let all = [["replay", "in"], arguments].concat();
        refused(&scratch, &all, words);
    }
    let config = |text: &str| {
        fs::write(scratch.0.join("m.yaml"), text).unwrap();
        let output = scratch.run(&["config", "check", "m.yaml"]);
        text_of_error(&output)
    };
    let error = config("limits:\n  bodies: 1\n");
    assert!(error.starts_with("meshtap: m.yaml:2:3: "), "{error}");
    assert!(!error.contains("at line"), "{error}");
    let error = config("policy: {redaction: {mode: off}}\n");
    assert!(error.ends_with("; there is `redaction.mode`\n"), "{error}");
    let mut command = scratch.command(&["replay", "-"]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let error = text_of_error(&output);
    assert!(
        error.starts_with("meshtap: standard input is neither"),
        "{error}"
    );
}

/// A packet capture (pcap, raw IPv4) of connections: what the client says first, and the server.
fn packets(connections: &[(&[u8], &[u8])]) -> Vec<u8> {
    const CLIENT: [u8; 4] = [10, 0, 0, 1];
    const SERVER: [u8; 4] = [10, 0, 0, 2];
    let mut file = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 101]
        .map(u32::to_le_bytes)
        .concat();
    let mut seconds = 0;
    for (number, (first, second)) in connections.iter().enumerate() {
        let port = 40_000 + u16::try_from(number).unwrap();
        let mut packet = |from_client: bool, seq: u32, ack: u32, flags: u8, bytes: &[u8]| {
            let (ends, ports) = match from_client {
                true => ([CLIENT, SERVER], [port, 443]),
                false => ([SERVER, CLIENT], [443, port]),
            };
            let total = u16::try_from(40 + bytes.len()).unwrap();
            let ip = [
                &[0x45, 0][..],
                &total.to_be_bytes(),
                &[0, 0, 0x40, 0, 64, 6, 0, 0],
            ];
            let ip = [ip.concat(), ends.concat()].concat();
            let numbers = [seq.to_be_bytes(), ack.to_be_bytes()].concat();
            let ports = ports.map(u16::to_be_bytes).concat();
            let tcp = [
                &ports[..],
                &numbers,
                &[0x50, flags, 255, 255, 0, 0, 0, 0],
                bytes,
            ]
            .concat();
            seconds += 1;
            let length = u32::from(total);
            let head = [seconds, 0, length, length].map(u32::to_le_bytes).concat();
            file.extend([head, ip, tcp].concat());
        };
        let [after_first, after_second] =
            [first, second].map(|bytes| 1 + u32::try_from(bytes.len()).unwrap());
        packet(true, 0, 0, 2, b"");
        packet(false, 0, 1, 0x12, b"");
        packet(true, 1, 1, 0x18, first);
        packet(false, 1, after_first, 0x18, second);
        packet(true, after_first, after_second, 0x11, b"");
        packet(false, after_second, after_first + 1, 0x11, b"");
    }
    file
}

#[test]
fn what_is_not_read_is_summed_up_by_kind() {
    let scratch = Scratch::new();
    let hello: &[u8] = b"\x16\x03\x01\x00\xf0\x01\x00\x00\xec\x03\x03";
    let server: &[u8] = b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03";
    let version: &[u8] = b"SSH-2.0-OpenSSH_9\r\n";
    let alert: &[u8] = b"\x15\x03\x03\x00\x02\x02\x28";
    let plain: (&[u8], &[u8]) = (
        b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
    );
    let file = packets(&[(hello, server), plain, (version, version), (hello, alert)]);
    fs::write(scratch.0.join("a.pcap"), file).unwrap();
    let output = scratch.run(&["replay", "a.pcap"]);
    let said = text(&output.stderr);
    assert!(said.contains("1 exchange started = 1 shown\n"), "{said}");
    assert!(said.contains(" on 4 connections in "), "{said}");
    assert!(said.contains("; not read: 2 tls, 1 other\n"), "{said}");
    let refused = scratch.run(&["replay", "a.pcap", "--pid", "1"]);
    let said = text_of_error(&refused);
    assert!(
        said.contains("a packet capture, which has no processes"),
        "{said}"
    );
}

/// At the end of a run, what went wrong stands once.
#[test]
fn an_error_of_delivery_stands_once_at_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut bytes = [0; 64 * 1024];
            let _ = stream.read(&mut bytes);
            let reply = "HTTP/1.1 404 Not Found\r\nContent-Length: 8\r\n\r\nnobody!!";
            let _ = stream.write_all(reply.as_bytes());
        }
    });
    let scratch = Scratch::new();
    let output = scratch.run(&["replay", "in", "--otlp", &endpoint]);
    let said = text_of_error(&output);
    let (_, end) = said.split_once(" started = ").unwrap();
    assert_eq!(end.matches("nobody!!").count(), 1, "{said}");
    assert_eq!(end.matches("permanent_error").count(), 1, "{said}");
    let last = end.lines().last().unwrap();
    assert_eq!(
        last, "meshtap: not everything was delivered: otlp misses 36 of 36 spans",
        "{said}"
    );
}

#[track_caller]
fn text_of_error(output: &Output) -> String {
    assert!(!output.status.success());
    text(&output.stderr)
}

#[test]
fn checking_a_configuration_makes_no_file() {
    let scratch = Scratch::new();
    fs::write(scratch.0.join("m.yaml"), "export: {har: a.har}\n").unwrap();
    let output = scratch.run(&["config", "check", "m.yaml"]);
    let stdout = text(&output.stdout);
    assert_eq!(stdout, "m.yaml: good; 1 destination\n");
    assert!(!Path::new(&scratch.0.join("a.har")).exists());
}

/// What cannot work is refused, with the key, the file and the place in it.
#[test]
fn checking_a_configuration_finds_what_cannot_work() {
    let scratch = Scratch::new();
    for (yaml, expected) in [
        (
            "policy:\n  statuses:\n    include: ['6xx']\n",
            "3:5: policy.statuses: `6xx` is no status",
        ),
        (
            "limits:\n  exchange_age: 0s\n",
            "2:17: limits.exchange_age: must not be 0",
        ),
        (
            "export:\n  otlp:\n    - endpoint: http://c:4318\n      batch: {bytes: 0}\n",
            "4:22: export.otlp.0.batch.bytes: must not be 0",
        ),
        (
            "export:\n  otlp:\n    - endpoint: http://c:4318\n      tls: {ca: /nope}\n",
            "4:17: export.otlp.0.tls.ca: /nope: I/O error: No such file",
        ),
        (
            "export:\n  otlp:\n    - endpoint: http://c\n    - endpoint: http://256.1.1.1:4318\n",
            "4:17: export.otlp.1.endpoint `http://256.1.1.1:4318`: the host is not an IPv4",
        ),
        (
            "export: {otlp: [{endpoint: 'http://*:4318'}]}\n",
            "1:28: export.otlp.0.endpoint `http://*:4318`: the host is no name",
        ),
        (
            "export: {otlp: [{endpoint: 'http://a..b'}]}\n",
            "1:28: export.otlp.0.endpoint `http://a..b`: the host is no name",
        ),
    ] {
        fs::write(scratch.0.join("m.yaml"), yaml).unwrap();
        let said = text_of_error(&scratch.run(&["config", "check", "m.yaml"]));
        let expected = format!("meshtap: m.yaml:{expected}");
        assert!(said.starts_with(&expected), "{said}is not {expected}");
    }
}

/// A packet without a time is as late as the one before it.
#[test]
fn a_packet_without_a_time() {
    let scratch = Scratch::new();
    let plain: (&[u8], &[u8]) = (
        b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
    );
    let mut whole = packets(&[plain]);
    let field = |file: &[u8], at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    let mut starts = Vec::new();
    let mut at = 24;
    while at < whole.len() {
        starts.push(at);
        let time = field(&whole, at) + 1_700_000_000;
        whole[at..at + 4].copy_from_slice(&time.to_le_bytes());
        at += 16 + usize::try_from(field(&whole, at + 8)).unwrap();
    }
    for at in starts {
        let mut file = whole.clone();
        file[at..at + 8].fill(0);
        fs::write(scratch.0.join("a.pcap"), file).unwrap();
        let output = scratch.run(&["replay", "a.pcap", "--json"]);
        let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
        let nanos = shown["duration_ns"].as_u64().unwrap();
        assert!(nanos < 60_000_000_000, "{at}: {shown}");
    }
}
