//! The Kubernetes that `cargo xtask cluster` runs: one node, in namespaces of its own.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use serde_json::Value;

use crate::{Netns, skip};

/// For any one step, on a busy machine with two cores.
const TIMEOUT: Duration = Duration::from_secs(180);
/// How often to look at what reports no changes.
const LOOK: Duration = Duration::from_millis(100);

/// The running cluster.
#[derive(Debug)]
pub struct Cluster {
    folder: PathBuf,
    kubectl: PathBuf,
    helm: PathBuf,
    /// The process that holds the node's namespaces.
    first: Pid,
}

impl Cluster {
    /// The one that `cargo xtask cluster test` has started for this test. Without it, the test says
    /// that it is skipped.
    ///
    /// # Panics
    /// When what is said of it is not so.
    #[must_use]
    pub fn running() -> Option<Self> {
        let (Some(folder), Some(kubectl), Some(helm)) = (
            std::env::var_os("MESHTAP_CLUSTER"),
            std::env::var_os("MESHTAP_KUBECTL"),
            std::env::var_os("MESHTAP_HELM"),
        ) else {
            skip("there is no cluster: `cargo xtask cluster test` starts one");
            return None;
        };
        let folder = PathBuf::from(folder);
        Some(Self {
            first: process(&folder.join("node.pid")),
            folder,
            kubectl: kubectl.into(),
            helm: helm.into(),
        })
    }

    /// A folder on the node that the test can read, too.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.folder.join("shared").join(name);
        fs::create_dir_all(&folder).expect("a folder of the cluster");
        folder
    }

    /// A path as the node's processes see it.
    #[must_use]
    pub fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.first))
    }

    /// The node's network: services and pods can be reached from there.
    #[must_use]
    pub fn network(&self) -> Netns {
        Netns::of(self.first)
    }

    /// Runs `kubectl` with these words, and gives what it prints.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn kubectl(&self, words: &str) -> String {
        let output = self.try_kubectl(words, "");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {words}: {errors}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// Runs `helm` with these words in the folder of the workspace, and gives what it prints, also
    /// when it fails.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn helm(&self, words: &[&str]) -> Output {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        self.client(&self.helm)
            .current_dir(root)
            .args(words)
            .output()
            .expect("nsenter")
    }

    /// Gives the cluster these objects (YAML).
    ///
    /// # Panics
    /// When it refuses one.
    #[track_caller]
    pub fn apply(&self, objects: &str) {
        let output = self.try_kubectl("apply -f -", objects);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
    }

    /// Takes these objects (YAML) away, as far as they are there, and waits until they are.
    ///
    /// # Panics
    /// When it refuses.
    #[track_caller]
    pub fn delete(&self, objects: &str) {
        let output = self.try_kubectl("delete --ignore-not-found -f -", objects);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
    }

    /// What it says of objects.
    ///
    /// # Panics
    /// When it says nothing.
    #[track_caller]
    #[must_use]
    pub fn get(&self, words: &str) -> Value {
        serde_json::from_str(&self.kubectl(&format!("get -o json {words}"))).expect("JSON")
    }

    /// Waits until a Deployment or DaemonSet is as it should be.
    ///
    /// # Panics
    /// When it does not become so.
    #[track_caller]
    pub fn rolled_out(&self, namespace: &str, what: &str) {
        let timeout = TIMEOUT.as_secs();
        self.kubectl(&format!(
            "--namespace {namespace} rollout status {what} --timeout {timeout}s"
        ));
    }

    /// The API server responds.
    #[must_use]
    pub fn is_up(&self) -> bool {
        let output = self.try_kubectl("get --raw /readyz", "");
        output.stdout == b"ok"
    }

    /// What a container of a pod has printed and will print, also when the pod is gone by then.
    ///
    /// # Panics
    /// When there is no such pod.
    #[must_use]
    pub fn log(&self, pod: &Value) -> fs::File {
        let meta = |key: &str| pod["metadata"][key].as_str().expect("a name").to_owned();
        let name = format!("{}_{}_{}", meta("namespace"), meta("name"), meta("uid"));
        let folder = self.folder.join("var/log/pods").join(name);
        let container = pod["spec"]["containers"][0]["name"].as_str();
        let file = folder.join(container.expect("a container")).join("0.log");
        fs::File::open(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    }

    /// Ends a component (`kube-apiserver`) at once, as a crash does.
    ///
    /// # Panics
    /// When it does not end.
    pub fn stop(&self, component: &str) {
        let pid = process(&self.folder.join("pids").join(component));
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).expect("a running component");
        kill_process(pid, Signal::KILL).expect("end the component");
        let timeout = Timespec::try_from(TIMEOUT).expect("a duration");
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
        let ended = poll(&mut fds, Some(&timeout)).expect("poll a pidfd") > 0;
        assert!(ended, "{component} does not end");
    }

    /// Starts it again, as it was.
    ///
    /// # Panics
    /// When it does not start.
    #[expect(
        clippy::zombie_processes,
        reason = "it is there as long as the component, longer than this process"
    )]
    pub fn start(&self, component: &str) {
        let pids = self.folder.join("pids");
        let words = fs::read_to_string(pids.join(format!("{component}.command")));
        let words = words.expect("the component's command");
        let log = self.folder.join(format!("logs/{component}.log"));
        let log = fs::File::options().append(true).open(log).expect("a log");
        let child = self
            .enter(&["--net", "--mount", "--pid"])
            .arg("setsid")
            .args(words.split('\0'))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("nsenter");
        let children = format!("/proc/{0}/task/{0}/children", child.id());
        // nsenter stays outside, and the component is its child.
        until(&format!("{component} starts"), || {
            let children = fs::read_to_string(&children).unwrap_or_default();
            let pid = children.split_whitespace().next().map(str::to_owned);
            pid.is_some_and(|pid| fs::write(pids.join(component), pid).is_ok())
        });
    }

    /// A client of the API, as the administrator.
    fn client(&self, program: &Path) -> Command {
        let mut client = self.enter(&["--net"]);
        client.arg(program).arg("--kubeconfig");
        client.arg(self.folder.join("etc/admin.kubeconfig"));
        client
    }

    /// Runs `kubectl` with these words and this input, whatever becomes of it.
    ///
    /// # Panics
    /// When it does not start.
    pub fn try_kubectl(&self, words: &str, input: &str) -> Output {
        let mut child = self
            .client(&self.kubectl)
            .args(words.split_whitespace())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("nsenter");
        let mut stdin = child.stdin.take().expect("a pipe");
        // It may not want any.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        child.wait_with_output().expect("kubectl")
    }

    fn enter(&self, namespaces: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--target={}", self.first))
            .args(namespaces)
            .arg("--");
        command
    }
}

/// Looks until something is so that nobody reports.
///
/// # Panics
/// When it does not become so.
#[track_caller]
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !so() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(LOOK);
    }
}

/// The process that a file names first.
fn process(file: &Path) -> Pid {
    let text =
        fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let pid = text
        .split_whitespace()
        .next()
        .and_then(|pid| pid.parse().ok());
    pid.and_then(Pid::from_raw).expect("a process id")
}
