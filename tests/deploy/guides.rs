//! The commands of the documents that need no cluster, run as they are written: beside the small
//! shop that the documents speak of, on its ports.

use std::ffi::OsString;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use meshtap_tests::{Bench, SetOnDrop, binary, live};
use rustix::process::{Pid, Signal, kill_process_group};

#[path = "../docs/guide.rs"]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#[allow(dead_code, reason = "the test of the documents uses the rest")]
mod guide;
#[path = "../docs/places.rs"]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#[allow(dead_code, reason = "the test of the documents uses the rest")]
mod places;

use guide::{Block, Guide};

/// For any one step, on a busy machine with two cores.
const TIMEOUT: Duration = Duration::from_secs(120);
/// The shop's port; the one that `explain` asks for.
const PORTS: [u16; 2] = [8080, 8480];

/// The documents' commands for one machine, in order.
fn commands() -> Vec<(String, String)> {
    let places = places::all();
    let mut found = Vec::new();
    for guide in Guide::all() {
        for (number, line) in guide.blocks.iter().flat_map(Block::commands) {
            let line = line.split(" #").next().unwrap_or_default().trim();
            let place = places::find(&places, line).map(|place| places[place].place.as_str());
            if place == Some("host") {
                let plain = line.strip_prefix("sudo ").unwrap_or(line);
                found.push((format!("{}:{number}", guide.path), plain.to_owned()));
            }
        }
    }
    found
}

/// Responds as the shop does: a page, a secret, an error, late, never.
fn respond(mut stream: TcpStream) {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(len @ 1..) = stream.read(&mut buffer) {
        seen.extend_from_slice(&buffer[..len]);
        // The requests below come in one write each.
        let text = String::from_utf8_lossy(&seen).into_owned();
        seen.clear();
        let path = text.split(' ').nth(1).unwrap_or_default();
        let (status, body) = match path {
            "/hang" => return drop(stream.read(&mut buffer)),
            "/login" => (
                "200 OK",
                "{\"user\":\"ada\",\"token\":\"tok-1f9e8c7b6a5d4e3f2a1b0c9d\"}",
            ),
            "/checkout" => ("500 Internal Server Error", "{\"error\":\"no stock\"}"),
            _ => ("200 OK", "{\"items\":[1,2,3]}"),
        };
        if path == "/slow" {
            thread::sleep(Duration::from_millis(350));
        }
        let response = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.write_all(response.as_bytes()).is_err() {
            return;
        }
    }
}

/// What its customers do, again and again.
fn ask(port: u16) {
    for (method, path, body) in [
        ("GET", "/cart", ""),
        (
            "POST",
            "/login",
            "{\"user\":\"ada\",\"password\":\"correct horse\"}",
        ),
        ("POST", "/checkout", "{\"id\":17}"),
        ("GET", "/slow", ""),
        ("GET", "/hang", ""),
    ] {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
            return;
        };
        let wait = if path == "/hang" { 20 } else { 10_000 };
        let timeout = Some(Duration::from_millis(wait));
        stream.set_read_timeout(timeout).expect("a timeout");
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: shop.example\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).expect("a request");
        let mut response = [0; 4096];
        // That of `/hang` never comes.
        let _ = stream.read(&mut response);
    }
}

/// A command of a shell that runs, in a group of its own.
struct Shell {
    child: Child,
    output: Arc<Mutex<String>>,
    readers: Vec<thread::JoinHandle<()>>,
}

impl Shell {
    fn start(bench: &Bench, path: &OsString, line: &str, terminal: bool) -> Self {
        // A single command takes the place of bash, and Ctrl-C is its alone.
        let mut command = Command::new(if terminal { "script" } else { "bash" });
        // A terminal of `script` has no size of its own where standard input is none.
        let sized = format!("stty rows 24 cols 80; exec {line}");
        match terminal {
            true => command.args(["-qefc", &sized, "/dev/null"]),
            false => command.args(["-c", line]),
        };
        let mut child = command
            .current_dir(bench.scratch.path())
            .env("PATH", path)
            .env("USER", "root")
            .env("TERM", "xterm-256color")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a shell");
        let output = Arc::new(Mutex::new(String::new()));
        let out = child.stdout.take().expect("stdout");
        let err = child.stderr.take().expect("stderr");
        let readers = vec![read(out, &output), read(err, &output)];
        Self {
            child,
            output,
            readers,
        }
    }

    fn said(&self) -> String {
        self.output.lock().expect("no panic in a reader").clone()
    }

    /// Until it has printed one of these.
    #[track_caller]
    fn prints(&mut self, words: &[&str], at: &str) {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let said = self.said();
            if words.iter().any(|word| said.contains(word)) {
                return;
            }
            let ended = self.child.try_wait().expect("a child");
            let in_time = Instant::now() < deadline;
            assert!(
                ended.is_none() && in_time,
                "{at}: {ended:?}: {words:?}: {said}"
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ctrl-C, for all of a pipe.
    fn interrupt(&self) {
        let group = Pid::from_raw(self.child.id().cast_signed()).expect("a process id");
        kill_process_group(group, Signal::INT).expect("a signal");
    }

    /// Its exit code, and all that it has printed.
    #[track_caller]
    fn end(mut self, at: &str) -> (Option<i32>, String) {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + TIMEOUT;
        let status = loop {
            match self.child.try_wait().expect("a child") {
                Some(status) => break status,
                None => assert!(Instant::now() < deadline, "{at}: runs on: {}", self.said()),
            }
            thread::sleep(Duration::from_millis(20));
        };
        for reader in self.readers.drain(..) {
            reader.join().expect("a reader");
        }
        (status.code(), self.said())
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let group = Pid::from_raw(self.child.id().cast_signed()).expect("a process id");
            let _ = kill_process_group(group, Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

fn read(
    mut from: impl std::io::Read + Send + 'static,
    to: &Arc<Mutex<String>>,
) -> thread::JoinHandle<()> {
    let to = Arc::clone(to);
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(len @ 1..) = from.read(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..len]).into_owned();
            to.lock().expect("no panic in a reader").push_str(&text);
        }
    })
}

/// Runs a line until it has shown what it is for, and ends it as a person would.
#[track_caller]
fn follow(bench: &Bench, path: &OsString, at: &str, line: &str) {
    let has = |word: &str| line.split_whitespace().any(|one| one == word);
    let is_screen = has("-i") || (has("top") && !has("--once"));
    let mut shell = Shell::start(bench, path, line, is_screen);
    let (ends, words): (&[i32], &[&str]) = if is_screen {
        shell.prints(&["help"], at);
        let keys = shell.child.stdin.as_mut().expect("stdin");
        keys.write_all(b"q").expect("a key");
        (&[0], &[])
    } else if has("--web") {
        shell.prints(&["http://127.0.0.1:"], at);
        shell.interrupt();
        (&[0], &[])
    } else if has("jq") {
        shell.prints(&["[\"/slow\",200,"], at);
        shell.interrupt();
        // Of the last of the pipe, which the signal ends.
        (&[0, 2, 130, 1], &[])
    } else if has("tap") {
        let shown = match () {
            () if has("5xx") => "shop.example/checkout",
            () if has("none") => "shop.example/hang",
            () if has("-vv") => "\"password\":\"[redacted:",
            () => "shop.example/",
        };
        shell.prints(&[shown], at);
        shell.interrupt();
        (&[0], &["exchanges started ="])
    } else if has("run") {
        shell.prints(&["capturing"], at);
        let (code, said) = Shell::start(bench, path, SCRAPE, false).end(at);
        assert_eq!(code, Some(0), "{at}: {said}");
        assert!(
            said.contains("meshtap_exchanges_started_total"),
            "{at}: {said}"
        );
        shell.interrupt();
        // Nobody listens at that collector: what was not delivered is said.
        (&[0, 1], &[])
    } else if has("check") {
        (&[1], &["✗ collector otlp", "✓ hook socket"])
    } else if has("explain") {
        (&[0], &["8480 listening", " not so far,"])
    } else if has("top") {
        (&[0], &["\"rows\""])
    } else if has("replay") {
        (&[0], &["exchange"])
    } else {
        (&[0], &[])
    };
    let (code, said) = shell.end(at);
    assert!(
        code.is_some_and(|code| ends.contains(&code)),
        "{at}: {code:?}: {said}"
    );
    for word in words {
        assert!(said.contains(word), "{at}: {word}: {said}");
    }
}

const SCRAPE: &str = "curl --silent --fail http://127.0.0.1:9464/metrics";

/// The names that the documents give to programs and files.
fn prepare(bench: &Bench) -> OsString {
    let binary = fs::canonicalize(binary().expect("a meshtap binary")).expect("the binary");
    let folder = bench.scratch.folder("bin");
    let release = bench.scratch.folder("target/release");
    for place in [&folder, &release] {
        std::os::unix::fs::symlink(&binary, place.join("meshtap")).expect("a link");
    }
    let recordings = Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings");
    for (from, to) in [
        ("servers.meshtap", "file.tap"),
        ("pcap/http2-nginx.pcap.gz", "trace.pcapng"),
    ] {
        fs::copy(recordings.join(from), bench.scratch.path().join(to)).expect("a recording");
    }
    let mut path = folder.into_os_string();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    path
}

#[test]
fn every_command_for_one_machine_runs() {
    live(|bench| {
        let path = prepare(bench);
        let over = AtomicBool::new(false);
        let commands = commands();
        assert!(commands.len() > 20, "{commands:#?}");
        thread::scope(|scope| {
            let _over = SetOnDrop(&over);
            for port in PORTS {
                let listener = TcpListener::bind(("127.0.0.1", port)).expect("bind");
                listener.set_nonblocking(true).expect("O_NONBLOCK");
                let over = &over;
                scope.spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        match listener.accept() {
                            Ok((stream, _)) => {
                                stream.set_nonblocking(false).expect("no O_NONBLOCK");
                                scope.spawn(move || respond(stream));
                            }
                            Err(_) => thread::sleep(Duration::from_millis(2)),
                        }
                    }
                });
            }
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    PORTS.into_iter().for_each(ask);
                }
            });
            for (at, line) in &commands {
                // It is asked for beside the agent that it is a page of.
                if !line.starts_with("curl ") {
                    follow(bench, &path, at, line);
                }
            }
        });
    });
}
