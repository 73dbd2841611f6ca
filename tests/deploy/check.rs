//! `meshtap check` where one thing is broken at a time: it says which, why, and what to do.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::thread;

use meshtap_tests::{Bench, Daemon, binary, live, skip};
use serde_json::Value;

/// What `meshtap check --json` says.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) exit: i32,
    rows: Vec<Value>,
}

impl Found {
    /// The row of this name.
    #[track_caller]
    pub(crate) fn row(&self, name: &str) -> &Value {
        let found = self.rows.iter().find(|row| row["name"] == name);
        found.unwrap_or_else(|| panic!("no row {name}: {self:#?}"))
    }

    /// The row has this result, and these words say why.
    #[track_caller]
    pub(crate) fn has(&self, name: &str, result: &str, why: &str) {
        let row = self.row(name);
        assert_eq!(row["result"], result, "{row:#}");
        let said = row["why"].as_str().unwrap_or_default();
        assert!(said.contains(why), "{row:#}");
        // What is missing has a next step, and nothing else has.
        assert_eq!(row["do"].is_string(), result == "missing", "{row:#}");
    }

    /// Only these are missing.
    #[track_caller]
    fn misses(&self, names: &[&str]) {
        let missing = self.rows.iter().filter(|row| row["result"] == "missing");
        let missing: Vec<_> = missing.filter_map(|row| row["name"].as_str()).collect();
        assert_eq!(missing, names, "{self:#?}");
    }
}

/// What a program is started under: words that go before it.
#[derive(Debug, Default)]
pub(crate) struct Under(Vec<String>);

impl Under {
    /// Root with these capabilities alone, as in a container.
    pub(crate) fn only(capabilities: &[&str]) -> Self {
        Self(meshtap_tests::with_only(capabilities))
    }

    /// A mount table of its own, in which this was run first.
    fn mounts(script: &str) -> Self {
        let words = ["unshare", "--mount", "sh", "-e", "-c"];
        let words = words.into_iter().map(str::to_owned);
        Self(
            words
                .chain([format!("{script}; exec \"$@\""), "sh".to_owned()])
                .collect(),
        )
    }

    /// The program under test.
    pub(crate) fn command(&self) -> Command {
        let binary = binary().expect("a meshtap binary");
        match self.0.split_first() {
            None => Command::new(binary),
            Some((first, words)) => {
                let mut command = Command::new(first);
                command.args(words).arg(binary);
                command
            }
        }
    }
}

/// Runs the check, with no port for metrics unless `arguments` set one.
#[track_caller]
pub(crate) fn check(bench: &Bench, under: &Under, arguments: &[&str]) -> Found {
    let output = under
        .command()
        .args(["check", "--json", "--set", "telemetry.listen=null"])
        .args(arguments)
        .current_dir(bench.scratch.path())
        .output()
        .expect("meshtap starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    let report: Value = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}{said}"));
    let exit = output.status.code().expect("an exit code");
    assert_eq!(report["exit"], exit, "{report:#}");
    Found {
        exit,
        rows: report["rows"].as_array().expect("rows").clone(),
    }
}

/// A collector with a certificate of its own: the message says how to trust it.
#[test]
fn a_certificate_that_nobody_has_signed() {
    live(|bench| {
        let folder = bench.scratch.path();
        // An authority's, as `openssl req -x509` makes it, and one that is of none.
        for (port, constraint) in [(4400, "CA:TRUE"), (4401, "CA:FALSE")] {
            let made = Command::new("openssl")
                .args(["req", "-x509", "-newkey", "ec", "-pkeyopt"])
                .args(["ec_paramgen_curve:prime256v1", "-noenc", "-days", "2"])
                .args([
                    "-keyout",
                    "own.key",
                    "-out",
                    "own.pem",
                    "-subj",
                    "/CN=collector",
                ])
                .args(["-addext", "subjectAltName=IP:127.0.0.1", "-addext"])
                .arg(format!("basicConstraints=critical,{constraint}"))
                .current_dir(folder)
                .output()
                .expect("openssl");
            assert!(made.status.success(), "{made:?}");
            let mut server = Command::new("openssl");
            server
                .args(["s_server", "-quiet", "-key", "own.key", "-cert", "own.pem"])
                .args(["-accept", &port.to_string()])
                .current_dir(folder);
            let _server = Daemon::start(bench, &mut server).listening(port);
            let collector = format!("https://127.0.0.1:{port}");
            let found = check(bench, &Under::default(), &["--otlp", &collector]);
            assert_eq!(found.exit, 1);
            found.has("collector otlp", "missing", "certificate");
            found.has("collector otlp", "missing", "`tls.ca`");
        }
    });
}

/// Nobody listens there.
const CLOSED: &str = "http://127.0.0.1:1";

#[test]
fn nothing_is_broken() {
    live(|bench| {
        let found = check(bench, &Under::default(), &[]);
        found.misses(&[]);
        assert_eq!(found.exit, 0);
        found.has("hook socket", "ok", "loaded and attached");
        found.has("multipath tcp", "ok", "");
    });
}

/// Each command that captures says what a limit of files is too low for, in one line.
#[test]
fn too_few_files_may_be_open() {
    live(|_| {
        let binary = binary().expect("a meshtap binary");
        for words in [
            "tap",
            "top --once",
            "run --otlp http://c",
            "check",
            "explain --port 80",
        ] {
            let output = Command::new("prlimit")
                .arg("--nofile=12:12")
                .arg(&binary)
                .args(words.split(' '))
                .output()
                .expect("prlimit");
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{words}: {said}");
            assert_eq!(said.trim_end().lines().count(), 1, "{words}: {said}");
            assert!(said.contains("only 12 files"), "{words}: {said}");
            assert!(said.contains("LimitNOFILE="), "{words}: {said}");
        }
    });
}

/// The lowest limit that is let pass is enough.
#[test]
fn as_many_files_as_are_asked_for_are_enough() {
    live(|bench| {
        let under = Under(["prlimit", "--nofile=128:128"].map(str::to_owned).to_vec());
        let found = check(bench, &under, &[]);
        found.misses(&[]);
        found.has("hook socket", "ok", "loaded and attached");
    });
}

#[test]
fn no_capabilities() {
    live(|bench| {
        let found = check(bench, &Under::only(&[]), &[]);
        assert_eq!(found.exit, 2);
        found.has(
            "capabilities",
            "missing",
            "CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON",
        );
        found.has("hooks", "missing", "CAP_");
    });
}

#[test]
fn no_cgroup_v2() {
    live(|bench| {
        let script = "mount --make-rprivate /; umount --lazy --all --types cgroup2";
        let found = check(bench, &Under::mounts(script), &[]);
        assert_eq!(found.exit, 2);
        found.has("cgroup v2", "missing", "cgroup");
    });
}

#[test]
fn a_cgroup_that_is_none() {
    live(|bench| {
        let folder = bench.scratch.path().display();
        let found = check(
            bench,
            &Under::default(),
            &["--set", &format!("capture.cgroup={folder}")],
        );
        assert_eq!(found.exit, 2);
        found.has("cgroup v2", "missing", &folder.to_string());
    });
}

#[test]
fn a_collector_that_is_not_there() {
    live(|bench| {
        let found = check(bench, &Under::default(), &["--otlp", CLOSED]);
        assert_eq!(found.exit, 1);
        found.misses(&["collector otlp"]);
        found.has("collector otlp", "missing", "refused");
    });
}

/// A server that gives everybody one response.
fn responding(response: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("accept");
            let _ = stream.read(&mut [0; 65_536]);
            let _ = stream.write_all(response.as_bytes());
        }
    });
    port
}

#[test]
fn a_collector_that_wants_other_credentials() {
    live(|bench| {
        let port = responding("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n");
        let url = format!("http://127.0.0.1:{port}");
        let arguments = ["--otlp", &url, "--otlp-protocol", "http/protobuf"];
        let found = check(bench, &Under::default(), &arguments);
        assert_eq!(found.exit, 1);
        found.misses(&["collector otlp"]);
        found.has("collector otlp", "missing", "401");
    });
}

#[test]
fn a_collector_of_another_protocol() {
    live(|bench| {
        let port = responding("220 mail.example ESMTP\r\n");
        let url = format!("http://127.0.0.1:{port}");
        for protocol in ["grpc", "http/protobuf"] {
            let arguments = ["--otlp", &url, "--otlp-protocol", protocol];
            let found = check(bench, &Under::default(), &arguments);
            assert_eq!(found.exit, 1, "{protocol}");
            found.misses(&["collector otlp"]);
        }
    });
}

#[test]
fn an_address_that_is_taken() {
    live(|bench| {
        let taken = TcpListener::bind("127.0.0.1:9464").expect("bind");
        let set = ["--set", "telemetry.listen=127.0.0.1:9464"];
        let found = check(bench, &Under::default(), &set);
        assert_eq!(found.exit, 1);
        found.misses(&["telemetry.listen"]);
        found.has("telemetry.listen", "missing", "in use");
        drop(taken);
        assert_eq!(check(bench, &Under::default(), &set).exit, 0);
    });
}

#[test]
fn a_folder_that_agents_cannot_meet_in() {
    use std::os::unix::fs::PermissionsExt as _;
    live(|bench| {
        let open = bench.scratch.path().join("open");
        std::fs::create_dir(&open).expect("a folder");
        let everybody = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(&open, everybody).expect("its mode");
        for (folder, why) in [
            ("/dev/null/meshtap", "/dev/null is no folder"),
            (open.to_str().expect("UTF-8"), "this user alone writes"),
        ] {
            let set = format!("handover.folder={folder}");
            let found = check(bench, &Under::default(), &["--set", &set]);
            assert_eq!(found.exit, 1);
            found.misses(&["handover.folder"]);
            found.has("handover.folder", "missing", why);
        }
        // The agent makes it.
        let absent = bench.scratch.path().join("a/b");
        let set = format!("handover.folder={}", absent.display());
        let found = check(bench, &Under::default(), &["--set", &set]);
        found.has("handover.folder", "ok", "a/b");
        assert!(!absent.exists());
    });
}

#[test]
fn a_file_that_cannot_be_made() {
    live(|bench| {
        let set = ["--set", "access_log.path=/nodir/x.log"];
        let found = check(bench, &Under::default(), &set);
        assert_eq!(found.exit, 2);
        found.misses(&["access_log.path"]);
    });
}

#[test]
fn a_container_that_sees_no_other_processes() {
    live(|bench| {
        let words = ["unshare", "--pid", "--fork", "--mount-proc"];
        let under = Under(words.map(str::to_owned).to_vec());
        let found = check(bench, &under, &TLS);
        found.has("tls programs", "missing", "only this container's");
        let row = found.row("tls programs");
        assert!(
            row["do"]
                .as_str()
                .is_some_and(|text| text.contains("hostPID"))
        );
    });
}

#[test]
fn a_kubernetes_api_that_does_not_respond() {
    live(|bench| {
        let config = bench.scratch.write(
            "kubeconfig",
            "apiVersion: v1\nkind: Config\ncurrent-context: a\n\
             clusters: [{name: a, cluster: {server: \"http://127.0.0.1:1\"}}]\n\
             users: [{name: a, user: {}}]\n\
             contexts: [{name: a, context: {cluster: a, user: a}}]\n",
        );
        let set = format!("kubernetes.kubeconfig={}", config.display());
        let found = check(bench, &Under::default(), &["--set", &set]);
        assert_eq!(found.exit, 1);
        found.misses(&["kubernetes api"]);
    });
}

const TLS: [&str; 2] = ["--set", "capture.tls.enabled=true"];

#[test]
fn no_types_of_the_kernel_for_tls() {
    live(|bench| {
        let script = "mount --make-rprivate /; mount -t tmpfs none /sys/kernel/btf";
        let found = check(bench, &Under::mounts(script), &TLS);
        assert_eq!(found.exit, 1);
        found.has("btf", "missing", "/sys/kernel/btf/vmlinux");
        // Nobody asks for them otherwise.
        let found = check(bench, &Under::mounts(script), &[]);
        assert_eq!(found.exit, 0, "{found:#?}");
        found.has("btf", "not_applicable", "only TLS needs it");
    });
}

#[test]
fn no_right_to_look_into_processes_for_tls() {
    live(|bench| {
        let found = check(bench, &Under::only(&["bpf", "net_admin", "perfmon"]), &TLS);
        assert_eq!(found.exit, 1);
        found.has(
            "process names",
            "missing",
            "CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH, CAP_SYS_ADMIN",
        );
    });
}

#[test]
fn a_key_that_does_not_exist() {
    live(|bench| {
        let config = bench.scratch.write("m.yaml", "capture:\n  sides: both\n");
        let output = Under::default()
            .command()
            .args(["check", "--json", "--config"])
            .arg(config)
            .output()
            .expect("meshtap starts");
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.contains("m.yaml:2") && said.contains("sides"),
            "{said}"
        );
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(report["exit"], 2, "{report:#}");
        assert!(
            report["error"]
                .as_str()
                .is_some_and(|text| text.contains("sides"))
        );
    });
}

/// Open now is something that is not read; over is only information.
#[test]
fn multipath_tcp() {
    let program = "
import socket, sys
MPTCP = 262
listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, MPTCP)
listener.bind(('127.0.0.1', 8080)); listener.listen(5)
client = socket.socket(socket.AF_INET, socket.SOCK_STREAM, MPTCP)
client.connect(('127.0.0.1', 8080)); server, _ = listener.accept()
client.sendall(b'x'); server.recv(1); server.sendall(b'y'); client.recv(1)
print('open', flush=True)
sys.stdin.read()
";
    live(|bench| {
        let netstat = std::fs::read_to_string("/proc/thread-self/net/netstat").unwrap_or_default();
        if !netstat.contains("MPCurrEstab") {
            return skip("this kernel does not count open connections of Multipath TCP");
        }
        let mut child = Command::new("python3")
            .args(["-c", program])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("python3");
        let mut line = [0; 5];
        let output = child.stdout.as_mut().expect("stdout");
        output.read_exact(&mut line).expect("it is open");
        let found = check(bench, &Under::default(), &[]);
        assert_eq!(found.exit, 1);
        found.misses(&["multipath tcp"]);
        found.has("multipath tcp", "missing", "open now");
        drop(child.stdin.take());
        child.wait().expect("it ends");
        // A closed connection may linger in TIME-WAIT for a while: that is none that is open.
        let found = check(bench, &Under::default(), &[]);
        found.has("multipath tcp", "ok", "since the boot");
        assert_eq!(found.exit, 0, "{found:#?}");
    });
}
