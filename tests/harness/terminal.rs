//! A terminal of a test's own: a tmux server with one pane.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::{Bench, binary};

/// How long the screen may take to show something; a debug build that loads its programs on a busy
/// machine takes the longest.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A pane in which the agent runs. Its terminal ends with it.
pub struct Terminal {
    socket: PathBuf,
}

impl Terminal {
    /// Runs `meshtap` with these arguments in so many columns and lines.
    pub fn start(
        bench: &Bench,
        size: (u16, u16),
        environment: &[&str],
        arguments: &[&str],
    ) -> Self {
        let socket = (0..)
            .map(|n| bench.scratch.path().join(format!("tmux-{n}")))
            .find(|path| !path.exists())
            .expect("a free name");
        let config = bench.scratch.write(
            "tmux.conf",
            "set -s set-clipboard on\nset -g remain-on-exit on\nset -g status off\n\
             set -g default-terminal screen-256color\nset -g history-limit 1000\n",
        );
        let terminal = Self { socket };
        let (columns, lines) = (size.0.to_string(), size.1.to_string());
        let mut command = terminal.command();
        command.arg("-f").arg(config);
        command.args(["new-session", "-d", "-x", &columns, "-y", &lines, "-c"]);
        command.arg(bench.scratch.path()).args(["--", "env"]);
        command
            .args(environment)
            .arg(binary().expect("a meshtap binary"));
        output(command.args(arguments));
        terminal
    }

    /// `meshtap tap -i` or `top` on the test's cgroup; what happens on a socket from now on is
    /// captured.
    pub fn live(bench: &Bench, size: (u16, u16), environment: &[&str], command: &[&str]) -> Self {
        let cgroup = bench.cgroup.path().to_string_lossy().into_owned();
        let rest = ["--side", "server", "--cgroup", &cgroup];
        let all: Vec<_> = command.iter().chain(&rest).copied().collect();
        let terminal = Self::start(bench, size, environment, &all);
        // The screen comes when every hook is attached.
        terminal.shows("? help");
        terminal
    }

    fn command(&self) -> Command {
        let mut command = Command::new("tmux");
        // The machine's own tmux and its settings are not ours.
        command.env_remove("TMUX").env("LC_ALL", "C.UTF-8");
        command.arg("-u").arg("-S").arg(&self.socket);
        command
    }

    /// What tmux prints.
    pub fn tmux(&self, arguments: &[&str]) -> String {
        let output = output(self.command().args(arguments));
        String::from_utf8(output.stdout).expect("text")
    }

    /// What the terminal shows.
    pub fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Waits until the screen is as wanted; the screen.
    #[track_caller]
    pub fn until(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let screen = self.screen();
            if wanted(&screen) {
                return screen;
            }
            assert!(Instant::now() < deadline, "{what}:\n{screen}");
        }
    }

    /// Waits until the screen has this text.
    #[track_caller]
    pub fn shows(&self, text: &str) -> String {
        self.until(text, |screen| screen.contains(text))
    }

    /// Presses keys, by tmux's names.
    pub fn press(&self, keys: &[&str]) {
        let all: Vec<_> = ["send-keys"].iter().chain(keys).copied().collect();
        self.tmux(&all);
    }

    /// Types text.
    pub fn typed(&self, text: &str) {
        self.tmux(&["send-keys", "-l", text]);
    }

    /// Another size.
    pub fn resize(&self, columns: u16, lines: u16) {
        let (columns, lines) = (columns.to_string(), lines.to_string());
        self.tmux(&["resize-window", "-x", &columns, "-y", &lines]);
    }

    /// The process in the pane.
    pub fn pid(&self) -> String {
        self.tmux(&["display-message", "-p", "#{pane_pid}"])
            .trim()
            .to_owned()
    }

    /// The terminal goes away, as when its window is closed; waits until the agent has ended.
    #[track_caller]
    pub fn vanish(&self) {
        let pid = Pid::from_raw(self.pid().parse().expect("a number")).expect("a process id");
        let process = pidfd_open(pid, PidfdFlags::empty()).expect("it lives");
        self.tmux(&["kill-server"]);
        let mut fds = [PollFd::new(&process, PollFlags::IN)];
        let timeout = Timespec::try_from(TIMEOUT).expect("a time");
        assert_eq!(poll(&mut fds, Some(&timeout)), Ok(1), "it does not end");
    }

    /// Waits for the end of the agent; its exit code, and all that is left in the terminal.
    #[track_caller]
    pub fn ended(&self) -> (String, String) {
        let format = "#{pane_dead}:#{pane_dead_status}:#{pane_dead_signal}:#{alternate_on}";
        let pid = self.pid();
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let mut state = self.tmux(&["display-message", "-p", format]);
            // How it ended is known a little later than that it did. Now and then tmux misses the
            // signal that a child has ended, and the kernel alone knows.
            if let Some(rest) = state.strip_prefix("1:::")
                && let Some(code) = zombie(&pid)
            {
                state = format!("1:{code}::{rest}");
            }
            if state.starts_with("1:") && !state.starts_with("1:::") {
                let left = self.tmux(&["capture-pane", "-p", "-S", "-"]);
                return (state.trim().to_owned(), left);
            }
            assert!(Instant::now() < deadline, "{}", self.screen());
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let screen = self.command().args(["capture-pane", "-p"]).output();
            let screen = screen.map(|output| output.stdout).unwrap_or_default();
            eprintln!("--- the terminal\n{}", String::from_utf8_lossy(&screen));
        }
        let _ = self.command().arg("kill-server").output();
    }
}

/// The exit code of a process that has exited and that its parent has not waited for (proc(5),
/// `/proc/pid/stat`, fields 3 and 52).
fn zombie(pid: &str) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may hold spaces.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    let status: i32 = fields.nth(48)?.parse().ok()?;
    (state == "Z" && status & 0x7f == 0).then_some(status >> 8)
}

#[track_caller]
fn output(command: &mut Command) -> Output {
    let output = command.output().expect("tmux");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    output
}
