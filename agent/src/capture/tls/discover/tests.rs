use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::discovery::MAX_PER_CGROUP;
use super::*;

impl Discovery {
    /// All processes, however long it takes.
    fn scan(&mut self, now: Instant) -> std::io::Result<Vec<Change>> {
        self.scan_within(Duration::MAX, now)
    }
}

/// A program that uses libssl and waits for its input to end.
struct Client(Child);

impl Client {
    fn start(python: &Path) -> Self {
        let mut command = Command::new(python);
        command
            .args([
                "-c",
                "import ssl, sys; print(1, flush=True); sys.stdin.read()",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut client = Self(command.spawn().expect("python3"));
        client.wait_for_library();
        client
    }

    /// One that has loaded every library in a folder.
    fn with_libraries(folder: &Path) -> Self {
        let code = "import ctypes, glob, sys\n\
                    libraries = [ctypes.CDLL(path) for path in glob.glob(sys.argv[1] + '/*')]\n\
                    print(1, flush=True)\n\
                    sys.stdin.read()";
        let mut command = Command::new("python3");
        command
            .args(["-c", code])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut client = Self(command.spawn().expect("python3"));
        client.wait_for_library();
        client
    }

    /// It has loaded the library once it prints.
    fn wait_for_library(&mut self) {
        let output = self.0.stdout.as_mut().expect("piped");
        std::io::Read::read_exact(output, &mut [0; 2]).expect("a line");
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A copy of the interpreter under a name of its own, so that other processes of the machine do not
/// matter.
fn python(name: &str) -> (PathBuf, PathBuf) {
    let folder = std::env::temp_dir().join(format!("meshtap-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let output = Command::new("python3")
        .args(["-c", "import sys; print(sys.executable)"])
        .output()
        .expect("python3");
    let from = String::from_utf8(output.stdout).expect("text");
    let from = std::fs::canonicalize(from.trim()).expect("a path");
    let program = folder.join(name);
    std::os::unix::fs::symlink(&from, &program).expect("a link");
    (folder, program)
}

fn only(pid: u32) -> impl Fn(&Change) -> bool {
    move |change| match change {
        Change::Added(target) => target.pids.contains(&pid),
        Change::Users(_, pids) => pids.contains(&pid),
        Change::Removed(_) => false,
    }
}

/// Admits one process, until it is opted out.
struct One(u32, Arc<AtomicBool>);

impl Consent for One {
    fn verdict(&self, candidate: &Candidate) -> Verdict {
        match candidate.pid == self.0 && !self.1.load(Ordering::Relaxed) {
            true => Verdict::Admitted,
            false => Verdict::Excluded,
        }
    }
}

#[test]
fn a_library_from_its_first_user_to_its_last() {
    let (folder, program) = python("first-to-last");
    let client = Client::start(&program);
    let consent = One(client.pid(), Arc::default());
    let mut discovery = Discovery::with_rules(Programs::default(), Box::new(consent));
    let start = Instant::now();
    let changes = discovery.scan(start).expect("a scan");
    assert!(discovery.totals().processes > 0);
    let libssl = |target: &Target| target.path.to_string_lossy().contains("libssl");
    let added: Vec<&Target> = changes
        .iter()
        .filter_map(|change| match change {
            Change::Added(target) => Some(target),
            _ => None,
        })
        .filter(|target| libssl(target))
        .collect();
    let [target] = added[..] else {
        panic!("{changes:?}");
    };
    assert_eq!(target.pids, [client.pid()]);
    assert!(target.functions.is_ok(), "{target:?}");
    let key = target.key;
    assert!(discovery.scan(start).expect("a scan").is_empty());
    drop(client);
    let changes = discovery.scan(start).expect("a scan");
    let removed = |change: &Change| matches!(change, Change::Removed(removed) if *removed == key);
    assert!(changes.iter().any(removed), "{changes:?}");
    std::fs::remove_dir_all(folder).expect("removed");
}

#[test]
fn who_opts_out_is_a_user_no_more() {
    let (folder, program) = python("opts-out");
    let client = Client::start(&program);
    let opted_out = Arc::new(AtomicBool::new(false));
    let consent = One(client.pid(), opted_out.clone());
    let mut discovery = Discovery::with_rules(Programs::default(), Box::new(consent));
    let start = Instant::now();
    let added = discovery.scan(start).expect("a scan");
    assert!(added.iter().any(only(client.pid())), "{added:?}");
    opted_out.store(true, Ordering::Relaxed);
    let changes = discovery.scan(start).expect("a scan");
    let is_removed = |change: &Change| matches!(change, Change::Removed(_));
    assert!(
        !changes.is_empty() && changes.iter().all(is_removed),
        "{changes:?}"
    );
    // And back.
    opted_out.store(false, Ordering::Relaxed);
    let changes = discovery
        .scan(start + Duration::from_secs(60))
        .expect("a scan");
    assert!(changes.iter().any(only(client.pid())), "{changes:?}");
    std::fs::remove_dir_all(folder).expect("removed");
}

/// A library that is copied over in place: its inode is the same, and its code is not.
#[test]
fn a_file_that_is_written_to_is_let_go() {
    let (folder, library) = copies("written", 1);
    let mut client = Client::with_libraries(&folder);
    let consent = One(client.pid(), Arc::default());
    let mut discovery = Discovery::with_rules(Programs::default(), Box::new(consent));
    let start = Instant::now();
    let changes = discovery.scan(start).expect("a scan");
    let key = changes.iter().find_map(|change| match change {
        Change::Added(target) if target.path == library => Some(target.key),
        _ => None,
    });
    let key = key.unwrap_or_else(|| panic!("{changes:?}"));
    let is = |change: &Change, added: bool| match change {
        Change::Added(target) => added && target.key == key,
        Change::Removed(removed) => !added && *removed == key,
        Change::Users(..) => false,
    };
    assert!(discovery.scan(start).expect("a scan").is_empty());
    // The same bytes, but who knows.
    let file = std::fs::File::options().write(true).open(&library);
    let file = file.expect("opened");
    file.set_modified(std::time::UNIX_EPOCH).expect("a time");
    let changes = discovery.scan(start).expect("a scan");
    assert!(is(&changes[0], false), "{changes:?}");
    assert!(
        changes[1..].iter().any(|change| is(change, true)),
        "{changes:?}"
    );
    // Nothing of it is left.
    file.set_len(0).expect("truncated");
    let changes = discovery.scan(start).expect("a scan");
    assert!(is(&changes[0], false), "{changes:?}");
    assert!(
        !changes.iter().any(|change| is(change, true)),
        "{changes:?}"
    );
    client.0.kill().expect("killed");
    std::fs::remove_dir_all(folder).expect("removed");
}

/// Who runs many programs, or maps many libraries, takes no more than its share.
#[test]
fn a_cgroup_brings_no_more_than_some_files() {
    let (folder, _) = copies("many", 2 * MAX_PER_CGROUP);
    let client = Client::with_libraries(&folder);
    let consent = One(client.pid(), Arc::default());
    let mut discovery = Discovery::with_rules(Programs::default(), Box::new(consent));
    let changes = discovery.scan(Instant::now()).expect("a scan");
    assert_eq!(changes.len(), MAX_PER_CGROUP);
    std::fs::remove_dir_all(folder).expect("removed");
}

/// A folder with copies of libssl, and the last of them.
fn copies(name: &str, count: usize) -> (PathBuf, PathBuf) {
    let folder = std::env::temp_dir().join(format!("meshtap-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let mut last = PathBuf::new();
    for n in 0..count {
        last = folder.join(format!("libssl-{n}.so"));
        std::fs::copy(super::super::locate::tests::libssl(), &last).expect("copied");
    }
    (folder, last)
}

#[test]
fn programs_that_are_denied_are_not_read() {
    let (folder, program) = python("denied");
    let client = Client::start(&program);
    let name = std::fs::read_link(format!("/proc/{}/exe", client.pid())).expect("a program");
    let name = name
        .file_name()
        .expect("a name")
        .to_string_lossy()
        .into_owned();
    let programs = Programs::new(&[], &[name]);
    let consent = One(client.pid(), Arc::default());
    let mut discovery = Discovery::with_rules(programs, Box::new(consent));
    let changes = discovery.scan(Instant::now()).expect("a scan");
    assert!(changes.is_empty(), "{changes:?}");
    std::fs::remove_dir_all(folder).expect("removed");
}

#[test]
fn a_library_that_is_loaded_later_is_found() {
    let code = "import sys\nsys.stdin.readline()\nimport ssl\nprint(1)\nsys.stdin.read()";
    let mut command = Command::new("python3");
    command
        .args(["-u", "-c", code])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut client = Client(command.spawn().expect("python3"));
    let consent = One(client.pid(), Arc::default());
    let mut discovery = Discovery::with_rules(Programs::default(), Box::new(consent));
    let start = Instant::now();
    let changes = discovery.scan(start).expect("a scan");
    assert!(changes.is_empty(), "{changes:?}");
    let input = client.0.stdin.as_mut().expect("piped");
    std::io::Write::write_all(input, b"go\n").expect("written");
    client.wait_for_library();
    let changes = discovery
        .scan(start + Duration::from_secs(2))
        .expect("a scan");
    assert!(changes.iter().any(only(client.pid())), "{changes:?}");
}
