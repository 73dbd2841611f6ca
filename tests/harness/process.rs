//! Processes that live as long as their owner.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open,
    set_parent_process_death_signal,
};

use crate::{Bench, Scratch};

/// How long a server may take to listen, on a busy machine with two cores.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How often to look whether it does; a process that ends is noticed at once.
const LOOK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 5_000_000,
};

/// A process and those that it starts: one process group, killed when this is dropped. Start it
/// from the test's own thread: it also ends when the thread that started it does.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    pidfd: OwnedFd,
    log: PathBuf,
}

impl Daemon {
    /// Starts `command`; what it prints goes to a file that is shown when the test fails.
    pub fn start(bench: &Bench, command: &mut Command) -> Self {
        Self::start_in(&bench.scratch, command)
    }

    /// Likewise, without a bench.
    pub(crate) fn start_in(scratch: &Scratch, command: &mut Command) -> Self {
        let name = PathBuf::from(command.get_program());
        let name = name
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let log = (0..)
            .map(|n| scratch.path().join(format!("{name}-{n}.log")))
            .find(|path| !path.exists())
            .expect("a free name");
        let file = File::create(&log).expect("log file");
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("log file"))
            .stderr(file);
        let child = spawn(command);
        let pidfd = pidfd_open(pid_of(&child), PidfdFlags::empty()).expect("pidfd");
        Self { child, pidfd, log }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits until something listens on this TCP port of the current network. No connection is
    /// made, which a server that counts them, or serves only one, would notice.
    ///
    /// # Panics
    /// When the process ends first, or takes too long.
    #[must_use]
    pub fn listening(mut self, port: u16) -> Self {
        let deadline = Instant::now() + TIMEOUT;
        while !listens(port) {
            let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
            let ended = poll(&mut fds, Some(&LOOK)).expect("poll a pidfd") > 0;
            let late = Instant::now() > deadline;
            assert!(
                !ended && !late,
                "nothing listens on port {port} ({:?}): {}",
                self.child.try_wait(),
                self.log()
            );
        }
        self
    }

    /// Asks it to end (SIGTERM).
    ///
    /// # Panics
    /// When it is not there any more.
    pub fn terminate(&self) {
        kill_process(pid_of(&self.child), Signal::TERM).expect("terminate");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it takes too long.
    pub fn wait(&mut self) -> std::process::ExitStatus {
        let timeout = Timespec::try_from(TIMEOUT).expect("a duration");
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        let ended = poll(&mut fds, Some(&timeout)).expect("poll a pidfd") > 0;
        assert!(ended, "still running: {}", self.log());
        self.child.wait().expect("wait")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        end_group(&mut self.child);
        if std::thread::panicking() {
            eprintln!("--- {}\n{}", self.log.display(), self.log());
        }
    }
}

pub(crate) fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed()).expect("a process id")
}

/// Starts a process as leader of a group of its own, which ends with the calling thread.
pub(crate) fn spawn(command: &mut Command) -> Child {
    command.process_group(0);
    // SAFETY: between fork and exec only one prctl is called, which is async-signal-safe and
    // touches no memory.
    unsafe {
        command.pre_exec(|| {
            set_parent_process_death_signal(Some(Signal::KILL))?;
            Ok(())
        });
    }
    command
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", command.get_program().display()))
}

/// Kills a process with its group and waits for it.
pub(crate) fn end_group(child: &mut Child) {
    let _ = kill_process_group(pid_of(child), Signal::KILL);
    let _ = child.wait();
}

/// Something listens on this port (`/proc/thread-self/net/tcp`, proc(5): state 0A).
fn listens(port: u16) -> bool {
    socket_states(port).any(|state| state == "0A")
}

/// States of the sockets of the current network with this local port.
#[must_use = "an iterator"]
pub fn socket_states(port: u16) -> impl Iterator<Item = String> {
    let suffix = format!(":{port:04X}");
    ["tcp", "tcp6"].into_iter().flat_map(move |family| {
        let table =
            fs::read_to_string(format!("/proc/thread-self/net/{family}")).unwrap_or_default();
        let suffix = suffix.clone();
        let states: Vec<String> = table
            .lines()
            .skip(1)
            .filter_map(|line| {
                let mut words = line.split_whitespace().skip(1);
                let local = words.next()?;
                let state = words.nth(1)?;
                local.ends_with(&suffix).then(|| state.to_owned())
            })
            .collect();
        states
    })
}
