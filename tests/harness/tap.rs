//! The `meshtap` binary: `meshtap tap --json`, watching the test's cgroup.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};

use crate::process::{end_group, pid_of, spawn};
use crate::{Bench, Exchange, Report, binary, with_only};

/// What the agent prints to standard error once every hook is attached.
const READY: &str = "capturing";
/// Loading and attaching takes well under a second; a busy machine may need more.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Every program of the machine is looked into first, which takes a debug build a minute.
const SAYS: Duration = Duration::from_secs(240);

/// `meshtap tap --json`, not started yet.
#[derive(Debug)]
pub struct Tap {
    command: Command,
    ledger: PathBuf,
    tls: bool,
}

impl Tap {
    /// On the test's cgroup, with bodies.
    #[must_use]
    pub fn new(bench: &Bench) -> Self {
        Self::on(bench, bench.cgroup.path())
    }

    /// On this cgroup, with bodies.
    #[must_use]
    pub fn on(bench: &Bench, cgroup: &Path) -> Self {
        let ledger = (0..)
            .map(|n| bench.scratch.path().join(format!("ledger-{n}.json")))
            .find(|path| !path.exists())
            .expect("a free name");
        fs::write(&ledger, "").expect("ledger file");
        let mut command = Command::new(binary().expect("a meshtap binary"));
        command
            .args(["tap", "--json", "-vv", "--cgroup"])
            .arg(cgroup)
            .arg("--ledger-json")
            .arg(&ledger);
        Self {
            command,
            ledger,
            tls: false,
        }
    }

    /// With the plaintext of TLS libraries, which is left alone else: most tests are about sockets,
    /// and programs are the whole machine's.
    #[must_use]
    pub const fn with_tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Only the sockets that requests arrive at: each exchange once, whatever else of the test is
    /// in the cgroup.
    #[must_use]
    pub fn server_side(self) -> Self {
        self.args(["--side", "server"])
    }

    /// With these arguments as well.
    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(arguments);
        self
    }

    /// As root with these capabilities alone.
    #[must_use]
    pub fn with_only(mut self, capabilities: &[&str]) -> Self {
        let words = with_only(capabilities);
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .arg(self.command.get_program())
            .args(self.command.get_args());
        self.command = command;
        self
    }

    /// With this argument as well.
    #[must_use]
    pub fn arg(self, argument: impl AsRef<OsStr>) -> Self {
        self.args([argument])
    }

    /// Starts it; when this returns, what happens on a socket is captured.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(self) -> Running {
        self.launch(true)
    }

    /// Starts it as [`Self::start`] does, but leaves what it prints in the pipe until it is asked
    /// to end.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_unread(self) -> Running {
        self.launch(false)
    }

    fn launch(mut self, read: bool) -> Running {
        if !self.tls {
            self.command.args(["--tls", "off"]);
        }
        self.command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = spawn(&mut self.command);
        let shared = Arc::new(Shared::default());
        let stdout = child.stdout.take().expect("stdout");
        let stderr = child.stderr.take().expect("stderr");
        let mut running = Running {
            child,
            ledger: self.ledger,
            readers: vec![shared.read(stderr, |seen| &mut seen.stderr)],
            shared,
            unread: Some(stdout),
        };
        if read {
            running.read();
        }
        running.until("it captures", |seen| {
            seen.stderr.iter().any(|line| line.contains(READY))
        });
        running
    }
}

#[derive(Debug, Default)]
struct Seen {
    stdout: Vec<String>,
    stderr: Vec<String>,
    ended: usize,
}

#[derive(Debug, Default)]
struct Shared {
    seen: Mutex<Seen>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(
        self: &Arc<Self>,
        stream: impl Read + Send + 'static,
        into: fn(&mut Seen) -> &mut Vec<String>,
    ) -> JoinHandle<()> {
        let shared = Arc::clone(self);
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                into(&mut shared.lock()).push(line);
                shared.changed.notify_all();
            }
            shared.lock().ended += 1;
            shared.changed.notify_all();
        })
    }
}

/// What keeps traffic in step with a running tap, so that a slow machine has no backlog at the end.
#[derive(Clone, Debug)]
pub struct Pace(Arc<Shared>);

impl Pace {
    /// Waits until this many exchanges are emitted, or the tap has ended.
    ///
    /// # Panics
    /// When neither happens.
    #[track_caller]
    pub fn until(&self, count: usize) {
        let waits = |seen: &mut Seen| seen.stdout.len() < count && seen.ended == 0;
        let waited = self
            .0
            .changed
            .wait_timeout_while(self.0.lock(), TIMEOUT, waits);
        let (seen, result) = waited.unwrap_or_else(PoisonError::into_inner);
        let emitted = seen.stdout.len();
        drop(seen);
        assert!(!result.timed_out(), "{emitted} of {count} are emitted");
    }
}

/// A running `meshtap tap`. Dropped, it is killed.
#[derive(Debug)]
pub struct Running {
    child: Child,
    ledger: PathBuf,
    shared: Arc<Shared>,
    readers: Vec<JoinHandle<()>>,
    unread: Option<ChildStdout>,
}

impl Running {
    /// Begins to read what it prints.
    fn read(&mut self) {
        if let Some(stdout) = self.unread.take() {
            let reader = self.shared.read(stdout, |seen| &mut seen.stdout);
            self.readers.push(reader);
        }
    }

    /// Stops it (SIGSTOP): the BPF programs go on, nobody reads.
    pub fn pause(&self) {
        kill_process(pid_of(&self.child), Signal::STOP).expect("pause meshtap");
    }

    /// Lets it run again.
    pub fn proceed(&self) {
        kill_process(pid_of(&self.child), Signal::CONT).expect("proceed meshtap");
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has emitted this many exchanges.
    ///
    /// # Panics
    /// When it does not.
    pub fn emitted(&self, count: usize) {
        self.until(&format!("{count} exchanges are emitted"), |seen| {
            seen.stdout.len() >= count
        });
    }

    /// Waits until each of these texts is in an exchange that it has emitted.
    ///
    /// # Panics
    /// When it does not.
    pub fn emitted_each(&self, texts: impl IntoIterator<Item = String>) {
        // Lines looked at, and texts not found yet.
        let state = RefCell::new((0, texts.into_iter().collect::<Vec<_>>()));
        self.until("each of some exchanges is emitted", |seen| {
            let (looked, texts) = &mut *state.borrow_mut();
            for line in &seen.stdout[*looked..] {
                texts.retain(|text| !line.contains(text.as_str()));
            }
            *looked = seen.stdout.len();
            texts.is_empty()
        });
    }

    /// How much it has emitted, for other threads.
    #[must_use]
    pub fn pace(&self) -> Pace {
        Pace(Arc::clone(&self.shared))
    }

    /// Waits until a line of what it says has all these words.
    ///
    /// # Panics
    /// When it does not say so.
    pub fn says(&self, words: &[&str]) {
        self.until_within(SAYS, &format!("it says {words:?}"), |seen| {
            let has_all = |line: &String| words.iter().all(|word| line.contains(word));
            seen.stderr.iter().any(has_all)
        });
    }

    fn until(&self, what: &str, condition: impl Fn(&Seen) -> bool) {
        self.until_within(TIMEOUT, what, condition);
    }

    fn until_within(&self, timeout: Duration, what: &str, condition: impl Fn(&Seen) -> bool) {
        let deadline = Instant::now() + timeout;
        let mut seen = self.shared.lock();
        while !condition(&seen) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero() && seen.ended < 2,
                "waiting until {what}: {} exchanges, and it says: {}",
                seen.stdout.len(),
                seen.stderr.join("\n")
            );
            let (next, _) = self
                .shared
                .changed
                .wait_timeout(seen, left)
                .unwrap_or_else(PoisonError::into_inner);
            seen = next;
        }
    }

    /// Interrupts it (Ctrl-C) and gives what it emitted.
    #[must_use]
    pub fn finish(self) -> Report {
        kill_process(pid_of(&self.child), Signal::INT).expect("interrupt meshtap");
        self.ended()
    }

    /// Waits for its own end and gives what it emitted.
    ///
    /// # Panics
    /// When it does not end.
    #[must_use]
    pub fn ended(mut self) -> Report {
        self.read();
        self.until_end();
        let status = self.child.wait().expect("wait for meshtap");
        for reader in self.readers.drain(..) {
            reader.join().expect("a reader");
        }
        let mut seen = self.shared.lock();
        report(
            status,
            std::mem::take(&mut seen.stdout),
            seen.stderr.join("\n"),
            &self.ledger,
        )
    }

    fn until_end(&self) {
        let deadline = Instant::now() + TIMEOUT;
        let mut seen = self.shared.lock();
        while seen.ended < 2 {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "meshtap does not end");
            let (next, _) = self
                .shared
                .changed
                .wait_timeout(seen, left)
                .unwrap_or_else(PoisonError::into_inner);
            seen = next;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- meshtap\n{}", self.shared.lock().stderr.join("\n"));
        }
        end_group(&mut self.child);
    }
}

fn report(status: ExitStatus, lines: Vec<String>, stderr: String, ledger: &Path) -> Report {
    let exchanges = lines.iter().map(|line| Exchange::parse(line)).collect();
    let ledger = fs::read_to_string(ledger).unwrap_or_default();
    Report {
        exchanges,
        lines,
        ledger: serde_json::from_str(&ledger).unwrap_or_default(),
        stderr,
        status,
    }
}
