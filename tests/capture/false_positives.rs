//! Protocols that are not HTTP, some of them dressed much like it: no exchange, and their bytes
//! stop being copied.

use std::io::Write as _;
use std::process::Command;

use meshtap_tests::{Bench, Connection, Daemon, Pair, Report, Tap, figure, live};

/// Bytes of bulk that follow each conversation, in each direction.
const BULK: usize = 16 << 20;
/// What may be copied of socket pairs that are not HTTP, of 32 MB and more: the BPF programs decide
/// from the first bytes of both ends, and give 64 KiB of what looks like HTTP before that.
const COPIED: u64 = 512 << 10;

/// Who says what.
enum Step {
    Client(&'static [u8]),
    Server(&'static [u8]),
}
use Step::{Client, Server};

#[track_caller]
fn assert_nothing_emitted(report: &Report, name: &str) {
    report.assert_balanced();
    assert!(report.exchanges.is_empty(), "{name}: {:#?}", report.lines);
    let copied = report.copied_bytes();
    figure(&format!("{name}: {copied} bytes copied"));
    assert!(copied < COPIED, "{name}: {copied}");
}

fn check(name: &str, turns: &[Step]) {
    live(|bench| {
        let tap = Tap::new(bench).start();
        let mut pair = Pair::new(9000);
        for turn in turns {
            match turn {
                Client(bytes) => pair.request(bytes),
                Server(bytes) => pair.respond(bytes),
            }
        }
        // Bytes that look like HTTP here are somebody's data.
        let line =
            b"GET /data HTTP/1.1\r\nHost: data\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        let bulk = line.repeat(BULK / line.len());
        pair.request(&bulk);
        pair.respond(&bulk);
        drop(pair);
        assert_nothing_emitted(&tap.finish(), name);
    });
}

#[test]
fn mysql() {
    check(
        "mysql",
        &[
            Server(b"\x4a\x00\x00\x00\x0a8.0.36\x00\x08\x00\x00\x00abcdefgh\x00\xff\xff\xff\x02\x00\xff\xdf\x15\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00ijklmnopqrst\x00mysql_native_password\x00"),
            Client(b"\x20\x00\x00\x01\x05\xa6\x0f\x00\x00\x00\x00\x01\x21\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00root\x00\x00"),
            Server(b"\x07\x00\x00\x02\x00\x00\x00\x02\x00\x00\x00"),
            Client(b"\x09\x00\x00\x00\x03SELECT 1"),
        ],
    );
}

#[test]
fn postgresql() {
    check(
        "postgresql",
        &[
            Client(b"\x00\x00\x00\x08\x04\xd2\x16\x2f"),
            Server(b"N"),
            Client(b"\x00\x00\x00\x1d\x00\x03\x00\x00user\x00app\x00database\x00app\x00\x00"),
            Server(b"R\x00\x00\x00\x08\x00\x00\x00\x00Z\x00\x00\x00\x05I"),
            Client(b"Q\x00\x00\x00\x0dSELECT 1\x00"),
        ],
    );
}

#[test]
fn kafka() {
    check(
        "kafka",
        &[
            Client(b"\x00\x00\x00\x1a\x00\x12\x00\x03\x00\x00\x00\x01\x00\x08producer\x00\x05java\x02\x31\x00"),
            Server(b"\x00\x00\x00\x0a\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00"),
        ],
    );
}

#[test]
fn smtp() {
    check(
        "smtp",
        &[
            Server(b"220 mail.example ESMTP ready\r\n"),
            Client(b"EHLO client.example\r\n"),
            Server(b"250-mail.example\r\n250 PIPELINING\r\n"),
            Client(b"MAIL FROM:<a@example>\r\nRCPT TO:<b@example>\r\nDATA\r\n"),
            Server(b"250 ok\r\n250 ok\r\n354 go on\r\n"),
        ],
    );
}

#[test]
fn ssh() {
    check(
        "ssh",
        &[
            Server(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"),
            Client(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"),
            Client(b"\x00\x00\x05\xdc\x07\x14aaaaaaaaaaaaaaaa"),
        ],
    );
}

#[test]
fn imap() {
    check(
        "imap",
        &[
            Server(b"* OK [CAPABILITY IMAP4rev1] ready\r\n"),
            Client(b"a1 LOGIN user pass\r\n"),
            Server(b"a1 OK done\r\n"),
        ],
    );
}

#[test]
fn tls_client_hello() {
    check(
        "tls",
        &[
            Client(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
            Server(b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03"),
        ],
    );
}

#[test]
fn rtsp() {
    check(
        "rtsp",
        &[
            Client(b"OPTIONS rtsp://camera/stream RTSP/1.0\r\nCSeq: 1\r\n\r\n"),
            Server(b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nPublic: DESCRIBE\r\n\r\n"),
        ],
    );
}

#[test]
fn sip() {
    check(
        "sip",
        &[
            Client(b"INVITE sip:bob@example SIP/2.0\r\nVia: SIP/2.0/TCP a\r\nContent-Length: 0\r\n\r\n"),
            Server(b"SIP/2.0 100 Trying\r\nVia: SIP/2.0/TCP a\r\nContent-Length: 0\r\n\r\n"),
        ],
    );
}

#[test]
fn a_name_that_is_not_a_method() {
    check(
        "getter",
        &[
            Client(b"GETTER of things\n"),
            Server(b"HTTPS is not this\n"),
        ],
    );
}

/// Redis as itself, with values that look like HTTP, and its inline commands, which start like
/// HTTP's.
#[test]
fn redis() {
    live(|bench| {
        let mut command = Command::new("redis-server");
        command
            .args([
                "--port",
                "6379",
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--dir",
            ])
            .arg(bench.scratch.path());
        let _redis = Daemon::start(bench, &mut command).listening(6379);
        let tap = Tap::new(bench).start();
        let value = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(BULK / 28 / 16);
        for inline in [false, true] {
            let mut connection = Connection::open(([127, 0, 0, 1], 6379));
            if inline {
                connection.send("GET key\r\n");
                connection.expect(b"$-1\r\n");
                connection.send("DELETE key HTTP\r\n");
                let _ = connection.line();
            }
            for _ in 0..16 {
                connection.send(format!(
                    "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n${}\r\n",
                    value.len()
                ));
                connection.send(&value);
                connection.send("\r\n");
                connection.expect(b"+OK\r\n");
            }
            connection.send("DEL key\r\n");
            connection.expect(b":1\r\n");
        }
        assert_nothing_emitted(&tap.finish(), "redis");
    });
}

/// memcached as itself, speaking its text protocol.
#[test]
fn memcached() {
    live(|bench| {
        let mut command = Command::new("memcached");
        command.args(["-u", "nobody", "-l", "127.0.0.1", "-p", "11211", "-I", "8m"]);
        let _memcached = Daemon::start(bench, &mut command).listening(11211);
        let tap = Tap::new(bench).start();
        let mut connection = Connection::open(([127, 0, 0, 1], 11211));
        connection.send("get key\r\n");
        connection.expect(b"END\r\n");
        let value = b"GET / HTTP/1.1\r\n\r\n".repeat(50_000);
        for _ in 0..16 {
            connection.send(format!("set key 0 0 {}\r\n", value.len()));
            connection.send(&value);
            connection.send("\r\n");
            connection.expect(b"STORED\r\n");
        }
        assert_nothing_emitted(&tap.finish(), "memcached");
    });
}

/// PostgreSQL as itself, where it is installed: it runs as a user of its own.
#[test]
fn postgresql_itself() {
    let Some(programs) = postgresql_programs() else {
        return;
    };
    live(|bench| {
        let data = start_postgresql(bench, &programs);
        let tap = Tap::new(bench).start();
        let mut psql = Command::new("psql")
            .args(["-h", "127.0.0.1", "-U", "test", "-d", "postgres", "-At"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("psql");
        let mut stdin = psql.stdin.take().expect("stdin");
        stdin
            .write_all(b"SELECT length(repeat('GET / HTTP/1.1', 100000)); SELECT repeat('HTTP/1.1 200 OK ', 1000000);")
            .expect("write");
        drop(stdin);
        let output = psql.wait_with_output().expect("psql");
        assert!(output.stdout.starts_with(b"1400000\n"));
        assert_nothing_emitted(&tap.finish(), "postgresql itself");
        drop(data);
    });
}

fn postgresql_programs() -> Option<std::path::PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut folders: Vec<_> = versions.flatten().map(|e| e.path().join("bin")).collect();
    folders.sort();
    folders
        .into_iter()
        .rfind(|folder| folder.join("initdb").exists())
}

fn start_postgresql(bench: &Bench, programs: &std::path::Path) -> Daemon {
    let data = bench.scratch.folder("postgresql").join("data");
    let as_nobody = |program: &str| {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .arg(programs.join(program))
            .arg("-D")
            .arg(&data);
        command
    };
    let made = as_nobody("initdb")
        .args(["-U", "test", "-A", "trust", "--no-sync"])
        .output()
        .expect("initdb");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let mut server = as_nobody("postgres");
    server
        .args(["-h", "127.0.0.1", "-p", "5432", "-F", "-k"])
        .arg(&data);
    Daemon::start(bench, &mut server).listening(5432)
}
