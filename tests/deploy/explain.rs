//! `meshtap explain`: for sockets of every kind, why they are, or are not, captured.

use std::os::fd::AsFd as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use meshtap_tests::{Bench, Netns, Pair, Running, Tap, live};
use serde_json::Value;

use crate::check::Under;

/// Verdicts on the sockets of this process with one port, which no other test has: each sees every
/// network of the machine. Other agents have their own opinion, which is not asked for: that of the
/// test's agent is among them.
struct Verdicts(Vec<Value>);

/// What the command says with these words.
#[track_caller]
fn report(under: &Under, words: &[&str]) -> Value {
    let mut command = under.command();
    let output = command.arg("explain").args(words).output();
    let output = output.expect("meshtap starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_str(&text).expect("JSON")
}

impl Verdicts {
    fn of(port: u16) -> Self {
        let port = port.to_string();
        let report = report(&Under::default(), &["--json", "--port", &port]);
        assert!(
            report["source"]
                .as_str()
                .is_some_and(|source| source.contains("agent")),
            "{report:#}"
        );
        let sockets = report["sockets"].as_array().expect("sockets").iter();
        let own = sockets.filter(|socket| socket["pid"] == std::process::id());
        Self(own.cloned().collect())
    }

    /// The socket with this local port.
    fn socket(&self, local: u16, listens: bool) -> Option<&Value> {
        let end = format!(":{local}");
        self.0.iter().find(|socket| {
            let is_local = socket["local"]
                .as_str()
                .is_some_and(|text| text.ends_with(&end));
            is_local && listens == socket["remote"].is_null()
        })
    }

    /// Whether the socket with this local port has this verdict, and these words say why.
    fn is(&self, local: u16, captured: &str, reason: &str, why: &str) -> bool {
        let socket = self.socket(local, reason == "listener");
        let verdicts = socket.and_then(|socket| socket["verdicts"].as_array());
        verdicts.into_iter().flatten().any(|verdict| {
            let says = verdict["why"]
                .as_str()
                .is_some_and(|text| text.contains(why));
            verdict["captured"] == captured && verdict["reason"] == reason && says
        })
    }

    /// It has.
    #[track_caller]
    fn has(&self, local: u16, captured: &str, reason: &str, why: &str) {
        let is_there = self.socket(local, reason == "listener").is_some();
        assert!(is_there, "no socket {local}: {:#?}", self.0);
        let found = self.is(local, captured, reason, why);
        assert!(found, "{captured}, {reason}: {:#?}", self.0);
    }
}

/// What a test does to a connection, under an agent with these options.
#[track_caller]
fn check(
    port: u16,
    options: &[&str],
    traffic: impl Fn(&mut Pair) + Send + Sync,
    (captured, reason, why): (&str, &str, &str),
) {
    live(|bench| {
        let agent = Tap::new(bench).args(options).start();
        let mut pair = Pair::new(port);
        traffic(&mut pair);
        let found = Verdicts::of(port);
        found.has(port, captured, reason, why);
        drop((pair, agent));
    });
}

fn http(pair: &mut Pair) {
    pair.request("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    pair.respond("HTTP/1.1 204 No Content\r\n\r\n");
}

#[test]
fn http_is_captured() {
    check(8101, &[], http, ("yes", "followed", "HTTP was recognised"));
}

#[test]
fn tls_is_left_alone() {
    // Records of a handshake (RFC 8446 §5.1): ClientHello, ServerHello.
    let traffic = |pair: &mut Pair| {
        pair.request(b"\x16\x03\x01\x00\x08\x01\x00\x00\x04\x03\x03\x00\x00");
        pair.respond(b"\x16\x03\x03\x00\x08\x02\x00\x00\x04\x03\x03\x00\x00");
    };
    check(8102, &[], traffic, ("no", "tls", "capture.tls.enabled"));
}

#[test]
fn another_protocol_is_proven_to_be_one() {
    let traffic = |pair: &mut Pair| {
        pair.respond("SSH-2.0-OpenSSH_9.2\r\n");
        pair.request("SSH-2.0-OpenSSH_9.2\r\n");
        // TCP has taken what proves it once the next packet comes.
        pair.respond("key exchange\n");
        pair.request("key exchange\n");
    };
    check(8103, &[], traffic, ("no", "not_http", "both directions"));
}

#[test]
fn nothing_was_sent_yet() {
    check(8104, &[], |_| {}, ("undecided", "no_payload", "no payload"));
}

#[test]
fn the_other_end_is_not_asked_for() {
    const PORT: u16 = 8108;
    live(|bench| {
        let agent = Tap::new(bench).server_side().start();
        let mut pair = Pair::new(PORT);
        http(&mut pair);
        let client = pair.client.local_addr().expect("an address").port();
        let found = Verdicts::of(PORT);
        found.has(client, "no", "side", "not asked for");
        found.has(PORT, "yes", "followed", "");
        drop(agent);
    });
}

#[test]
fn a_port_that_is_not_asked_for() {
    check(
        8105,
        &["--port", "9999"],
        http,
        ("no", "port", "capture.ports"),
    );
}

#[test]
fn a_mark_to_leave_alone() {
    let traffic = |pair: &mut Pair| {
        for socket in [&pair.client, &pair.server] {
            set_mark(socket.as_fd(), 0x539);
        }
        http(pair);
    };
    let options = ["--ignore-mark", "0x539/0xfff"];
    check(8106, &options, traffic, ("no", "mark", "SO_MARK 0x539"));
}

/// `SO_MARK` (socket(7)).
fn set_mark(socket: std::os::fd::BorrowedFd<'_>, mark: u32) {
    use std::os::fd::AsRawFd as _;
    let size = u32::try_from(size_of::<u32>()).expect("a size");
    // SAFETY: the kernel reads four bytes of a value that lives longer than the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MARK,
            std::ptr::from_ref(&mark).cast(),
            size,
        )
    };
    assert_eq!(result, 0, "SO_MARK");
}

#[test]
fn a_cgroup_that_is_not_captured() {
    const PORT: u16 = 8109;
    live(|bench| {
        let pod = bench.cgroup.pod(0xa1);
        let agent = Tap::on(bench, pod.path()).start();
        let mut pair = Pair::new(PORT);
        http(&mut pair);
        let found = Verdicts::of(PORT);
        found.has(PORT, "no", "outside", "capture.cgroup");
        drop(agent);
    });
}

/// Who may not list the kernel's programs does not know whether an agent runs, and says so.
#[test]
fn an_agent_that_cannot_be_listed_is_not_denied() {
    const PORT: u16 = 8112;
    live(|bench| {
        let agent = Tap::new(bench).start();
        let mut pair = Pair::new(PORT);
        http(&mut pair);
        let rights = Under::only(&["bpf", "net_admin", "perfmon"]);
        let words = ["--json", "--for", "1ms", "--port", "8112"];
        let report = report(&rights, &words);
        let source = report["source"].as_str().expect("a source");
        assert!(source.contains("CAP_SYS_ADMIN"), "{source}");
        assert!(!source.contains("no agent runs"), "{source}");
        let sockets = report["sockets"].as_array().expect("sockets");
        assert!(!sockets.is_empty(), "{report:#}");
        for socket in sockets {
            assert_eq!(socket["captured"], "unknown", "{socket:#}");
            assert_eq!(socket["verdicts"][0]["reason"], "agent_unknown");
        }
        drop((pair, agent));
    });
}

#[test]
fn two_agents_are_distinguished() {
    const PORT: u16 = 8113;
    live(|bench| {
        let pod = bench.cgroup.pod(0xa2);
        let agents = [Tap::new(bench).start(), Tap::on(bench, pod.path()).start()];
        let mut pair = Pair::new(PORT);
        http(&mut pair);
        let report = report(&Under::default(), &["--json", "--port", "8113"]);
        let end = format!(":{PORT}");
        let sockets = report["sockets"].as_array().expect("sockets").iter();
        // The client's end is shown by the server's.
        let servers = sockets.filter(|socket| {
            let local = socket["local"].as_str();
            local.is_some_and(|local| local.ends_with(&end))
        });
        for socket in servers {
            assert_eq!(socket["captured"], "yes", "{socket:#}");
            let verdicts = socket["verdicts"].as_array().expect("verdicts");
            for (agent, captured) in agents.iter().zip(["yes", "no"]) {
                let mut own = verdicts.iter();
                let own = own.find(|one| one["agent"]["pid"] == agent.pid());
                assert_eq!(
                    own.expect("its verdict")["captured"],
                    captured,
                    "{socket:#}"
                );
            }
        }
        drop((pair, agents));
    });
}

#[test]
fn no_socket_has_a_next_step() {
    live(|bench| {
        let agent = Tap::new(bench).start();
        let report = report(&Under::default(), &["--json", "--port", "8114"]);
        assert_eq!(report["sockets"], serde_json::json!([]));
        let next = report["next"].as_str().expect("a next step");
        assert!(next.contains("on this node"), "{next}");
        drop(agent);
    });
}

#[test]
fn a_listener() {
    const PORT: u16 = 8110;
    live(|bench| {
        let agent = Tap::new(bench).start();
        let listener = std::net::TcpListener::bind(("127.0.0.1", PORT)).expect("bind");
        Verdicts::of(PORT).has(PORT, "undecided", "listener", "looked at by itself");
        drop((listener, agent));
    });
}

#[test]
fn the_first_bytes_say_nothing_yet() {
    let traffic = |pair: &mut Pair| pair.request("hello\n");
    check(
        8107,
        &[],
        traffic,
        ("undecided", "not_http_so_far", "not HTTP so far"),
    );
}

/// Until a verdict is this: the agent reads what it is given a moment later.
#[track_caller]
fn becomes(port: u16, local: u16, (captured, reason, why): (&str, &str, &str)) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut found = Verdicts::of(port);
    while !found.is(local, captured, reason, why) && Instant::now() < deadline {
        found = Verdicts::of(port);
    }
    found.has(local, captured, reason, why);
}

/// Both ends are on this machine: the server's shows the exchanges.
#[test]
fn the_other_end_is_captured() {
    const PORT: u16 = 8115;
    live(|bench| {
        let agent = Tap::new(bench).start();
        let mut pair = Pair::new(PORT);
        let client = pair.client.local_addr().expect("an address").port();
        http(&mut pair);
        agent.emitted(1);
        becomes(PORT, client, ("no", "duplicate", "the server's socket"));
        becomes(PORT, PORT, ("yes", "followed", "HTTP was recognised"));
        drop((pair, agent));
    });
}

/// It begins like a request, and what responds is no HTTP: user space decides.
#[test]
fn not_http_after_all() {
    const PORT: u16 = 8116;
    live(|bench| {
        let agent = Tap::new(bench).server_side().start();
        let mut pair = Pair::new(PORT);
        for number in 1..4 {
            pair.request(format!(
                "OPTIONS rtsp://h/x RTSP/1.0\r\nCSeq: {number}\r\n\r\n"
            ));
            pair.respond(format!("RTSP/1.0 200 OK\r\nCSeq: {number}\r\n\r\n"));
        }
        becomes(PORT, PORT, ("no", "not_http", "not HTTP"));
        drop((pair, agent));
    });
}

/// HTTP/2 of which the first header fields were not seen.
#[test]
fn http2_that_began_before_the_agent() {
    const PORT: u16 = 8117;
    live(|bench| {
        let mut pair = Pair::new(PORT);
        pair.request(PREFACE);
        pair.respond(SETTINGS);
        let get = |pair: &mut Pair, stream: u8| {
            // GET, http, /, and an authority; status 200 (RFC 7541 Appendix A).
            pair.request(headers(stream, b"\x82\x86\x84\x41\x01a"));
            pair.respond(headers(stream, b"\x88"));
        };
        get(&mut pair, 1);
        let agent = Tap::new(bench).server_side().start();
        for stream in [3, 5, 7, 9] {
            get(&mut pair, stream);
        }
        becomes(PORT, PORT, ("yes", "mid_stream", "joined after it began"));
        let mut fresh = Pair::new(PORT + 1);
        fresh.request(PREFACE);
        fresh.respond(SETTINGS);
        get(&mut fresh, 1);
        becomes(
            PORT + 1,
            PORT + 1,
            ("yes", "followed", "HTTP was recognised"),
        );
        drop((pair, fresh, agent));
    });
}

/// What a client sends first, with SETTINGS (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";

/// HEADERS that end the stream (RFC 9113 §6.2).
fn headers(stream: u8, block: &[u8]) -> Vec<u8> {
    let len = u8::try_from(block.len()).expect("a short block");
    [&[0, 0, len, 1, 5, 0, 0, 0, stream], block].concat()
}

/// Another network of the machine is looked into as well.
#[test]
fn a_socket_in_another_network() {
    const PORT: u16 = 8111;
    live(|bench| {
        let agent: Running = Tap::new(bench).start();
        let other = Netns::new();
        // Networks are found by the processes in them.
        let mut process = other.inside(|| {
            let mut cat = Command::new("cat");
            cat.stdin(Stdio::piped()).spawn().expect("cat")
        });
        let mut pair = other.inside(|| Pair::new(PORT));
        http(&mut pair);
        let found = Verdicts::of(PORT);
        drop(process.stdin.take());
        process.wait().expect("cat ends");
        found.has(PORT, "yes", "followed", "");
        drop((pair, agent));
    });
}

#[test]
fn without_rights_one_sentence_says_so() {
    live(|_: &Bench| {
        let output = Under::only(&[])
            .command()
            .args(["explain", "--port", "8080"])
            .output()
            .expect("meshtap starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        assert!(said.contains("CAP_"), "{said}");
        assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    });
}
