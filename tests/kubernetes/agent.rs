//! `meshtap run` at an API server, watching pods made of cgroups and network namespaces; its spans
//! come as lines.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use meshtap_tests::{Bench, Connection, Daemon, Netns, Pair, Pod, binary};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Where it serves metrics, in the test's own network.
pub(crate) const ADMIN: u16 = 9464;
/// For any one step, on a busy machine with two cores.
const TIMEOUT: Duration = Duration::from_secs(120);
/// How often to look at what says nobody of its changes.
const LOOK: Duration = Duration::from_millis(20);

/// Waits until something is so that nobody says of.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(LOOK);
    }
}

/// A running agent.
pub(crate) struct Agent {
    daemon: Daemon,
    ledger: PathBuf,
}

impl Agent {
    /// Starts it on the bench's cgroup. `kubernetes` and `more` are lines of its configuration.
    /// When this returns, it captures.
    pub(crate) fn start(bench: &Bench, kubernetes: &str, more: &str) -> Self {
        Self::alone(
            bench,
            kubernetes,
            &format!("export: {{stdout: true}}\n{more}"),
        )
    }

    /// The same without a destination for spans.
    pub(crate) fn alone(bench: &Bench, kubernetes: &str, more: &str) -> Self {
        let ledger = bench.scratch.path().join("ledger.json");
        // The test's own requests come from the bench's cgroup, which is no pod's.
        let text = format!(
            "scope: {{host: false}}\ntelemetry: {{listen: '127.0.0.1:{ADMIN}'}}\nkubernetes: {{node: node-a, {kubernetes}}}\n{more}"
        );
        let config = bench.scratch.write("meshtap.yaml", text);
        let mut command = Command::new(binary().expect("a meshtap binary"));
        command
            .args(["run", "--config"])
            .arg(config)
            .arg("--set")
            .arg(format!("capture.cgroup={}", bench.cgroup.path().display()))
            .arg("--ledger-json")
            .arg(&ledger);
        // The program attaches its hooks before it listens.
        let daemon = Daemon::start(bench, &mut command).listening(ADMIN);
        Self { daemon, ledger }
    }

    /// Has it read its configuration again.
    pub(crate) fn hang_up(&self) {
        let pid = Pid::from_raw(self.pid().cast_signed()).expect("a process id");
        kill_process(pid, Signal::HUP).expect("signal");
    }

    pub(crate) fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// Every span so far.
    pub(crate) fn spans(&self) -> Vec<Value> {
        let log = self.daemon.log();
        let lines = log.lines().filter(|line| line.starts_with("{\"trace_id\""));
        lines
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// The attributes of the only span of a target, once it is there.
    #[track_caller]
    pub(crate) fn emitted(&self, target: &str) -> Value {
        until(&format!("{target} is emitted"), || {
            let spans = self.spans();
            let mut found = spans
                .into_iter()
                .filter(|span| span["attributes"]["http.target"] == target);
            let span = found.next()?;
            assert!(found.next().is_none(), "{target} is emitted twice");
            Some(span["attributes"].clone())
        })
    }

    /// A page of its own.
    pub(crate) fn page(&self, path: &str) -> String {
        let mut connection = Connection::open(([127, 0, 0, 1], ADMIN));
        let response = connection.get(path);
        assert_eq!(response.status, 200, "{path}");
        String::from_utf8(response.body).expect("text")
    }

    /// How a watch does, also while the agent is not ready yet.
    fn watch(&self, name: &str) -> Value {
        let response = Connection::open(([127, 0, 0, 1], ADMIN)).get("/readyz");
        let detail: Value = serde_json::from_slice(&response.body).expect("JSON");
        detail["workloads"]["watches"][name].clone()
    }

    /// Waits until a watch does so.
    #[track_caller]
    pub(crate) fn await_watch(&self, name: &str, state: &str) -> Value {
        until(&format!("{name} is {state}"), || {
            let watch = self.watch(name);
            (watch["state"] == state).then_some(watch)
        })
    }

    /// The sample of a metric.
    #[track_caller]
    pub(crate) fn metric(&self, sample: &str) -> f64 {
        let page = self.page("/metrics");
        let line = page.lines().find_map(|line| line.strip_prefix(sample));
        let value = line.unwrap_or_else(|| panic!("no {sample} in {page}"));
        value.trim().parse().expect("a number")
    }

    /// Ends it in good order; its ledger, which balances.
    pub(crate) fn finish(self) -> Value {
        self.end().0
    }

    /// The same, with all of its spans.
    pub(crate) fn end(mut self) -> (Value, Vec<Value>) {
        self.daemon.terminate();
        let status = self.daemon.wait();
        assert!(status.success(), "{status}");
        let text = fs::read_to_string(&self.ledger).expect("the ledger");
        let ledger: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(ledger["imbalance"], 0, "{text}");
        assert_eq!(ledger["in_flight"], 0, "{text}");
        (ledger, self.spans())
    }
}

/// Resident memory of a process, in MiB.
pub(crate) fn resident(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kib: f64 = kib.expect("VmRSS").trim().parse().expect("a number");
    kib / 1024.0
}

/// Two pods on one wire.
pub(crate) struct Wire {
    pub(crate) server: Place,
    pub(crate) client: Place,
}

/// Where a pod is: its container's cgroup and its network.
pub(crate) struct Place {
    pub(crate) cgroup: Pod,
    pub(crate) network: Netns,
    pub(crate) address: &'static str,
}

/// Id of a pod, as its cgroup's path has it.
pub(crate) fn uid(pod: &Pod) -> String {
    let slice = name(pod.path().parent().expect("a pod's slice"));
    let (_, uid) = slice.rsplit_once("-pod").expect("a pod's slice");
    uid.trim_end_matches(".slice").replace('_', "-")
}

/// Id of its container.
pub(crate) fn container(pod: &Pod) -> String {
    let scope = name(pod.path());
    let id = scope.strip_prefix("cri-containerd-").expect("a container");
    id.trim_end_matches(".scope").to_owned()
}

fn name(path: &Path) -> String {
    let name = path.file_name().expect("a name");
    name.to_str().expect("text").to_owned()
}

impl Place {
    pub(crate) fn inside<T>(&self, f: impl FnOnce() -> T) -> T {
        self.cgroup.inside(|| self.network.inside(f))
    }
}

impl Wire {
    pub(crate) fn new(bench: &Bench) -> Self {
        let (server, client) = (Netns::new(), Netns::new());
        server.join(
            &client,
            ["10.77.0.1/24", "fd77::1/64"],
            ["10.77.0.2/24", "fd77::2/64"],
        );
        Self {
            server: Place {
                cgroup: bench.cgroup.pod(0xa1),
                network: server,
                address: "10.77.0.1",
            },
            client: Place {
                cgroup: bench.cgroup.pod(0xb2),
                network: client,
                address: "10.77.0.2",
            },
        }
    }

    /// A connection from the client's pod to the server's.
    pub(crate) fn connect(&self, port: u16) -> Pair {
        let address = SocketAddr::new(self.server.address.parse().expect("an address"), port);
        let listener = self
            .server
            .inside(|| TcpListener::bind(address).expect("bind"));
        let client = self
            .client
            .inside(|| TcpStream::connect(address).expect("connect"));
        let (server, _) = listener.accept().expect("accept");
        Pair { client, server }
    }

    /// One request and its response, over a connection of its own.
    pub(crate) fn ask(&self, target: &str) {
        self.ask_with(target, "");
    }

    /// With these header lines.
    pub(crate) fn ask_with(&self, target: &str, lines: &str) {
        let mut pair = self.connect(8080);
        pair.request(format!("GET {target} HTTP/1.1\r\nhost: web\r\n{lines}\r\n"));
        pair.respond("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    }
}
