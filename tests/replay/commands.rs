//! What a person meets at the command line, without privileges: files, pipes, standard streams,
//! mistakes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, File};
use std::io::{Read as _, pipe};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

/// A recording of exchanges with real servers.
const RECORDING: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../tests/recordings/servers.meshtap"
);

/// A folder of its own, with a copy of the recording.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder =
            std::env::temp_dir().join(format!("meshtap-commands-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::copy(RECORDING, folder.join("in")).unwrap();
        Self(folder)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshtap"));
        command.args(arguments).current_dir(&self.0);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.0.join(name)).unwrap()
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&self.read(name)).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn entries(document: &Value) -> usize {
    document["log"]["entries"].as_array().unwrap().len()
}

/// The command is refused with these words, and the recording is as it was.
#[track_caller]
fn refused(scratch: &Scratch, arguments: &[&str], words: &str) {
    let output = scratch.run(arguments);
    let stderr = text(&output.stderr);
    assert!(!output.status.success(), "{arguments:?}: {stderr}");
    assert!(stderr.contains(words), "{arguments:?}: {stderr}");
    assert_eq!(scratch.read("in"), fs::read(RECORDING).unwrap());
}

#[test]
fn outputs_are_neither_the_input_nor_each_other() {
    let scratch = Scratch::new();
    symlink("in", scratch.0.join("link")).unwrap();
    let same = "the same file as";
    refused(&scratch, &["replay", "in", "--har", "in"], same);
    refused(&scratch, &["replay", "in", "--ledger-json", "./in"], same);
    refused(
        &scratch,
        &["replay", "in", "--har", "link"],
        "symbolic link",
    );
    refused(
        &scratch,
        &["replay", "in", "--har", "x", "--ledger-json", "x"],
        same,
    );
    assert!(!scratch.0.join("x").exists(), "left behind");
    fs::hard_link(scratch.0.join("in"), scratch.0.join("hard")).unwrap();
    refused(&scratch, &["replay", "in", "--har", "hard"], "hard links");
    refused(&scratch, &["replay", "in", "--har", "."], "folder");
    refused(
        &scratch,
        &["replay", "in", "--har", "none/x"],
        "No such file",
    );
}

#[test]
fn what_is_written_is_private_and_whole() {
    let scratch = Scratch::new();
    fs::write(scratch.0.join("a.har"), "x".repeat(1 << 20)).unwrap();
    let arguments = ["replay", "in", "--har", "a.har", "--ledger-json", "l"];
    let output = scratch.run(&arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for name in ["a.har", "l"] {
        let mode = fs::metadata(scratch.0.join(name)).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600, "{name}");
    }
    let shown = scratch.json("l")["delivery"]["shown"].as_u64().unwrap();
    assert_eq!(entries(&scratch.json("a.har")) as u64, shown);
}

#[test]
fn standard_streams() {
    let scratch = Scratch::new();
    let shown = scratch.run(&["replay", "in", "--json"]).stdout;
    assert!(!shown.is_empty());
    // A file, and a pipe that can be read once.
    let mut file = scratch.command(&["replay", "-", "--json"]);
    file.stdin(File::open(scratch.0.join("in")).unwrap());
    let mut cat = Command::new("cat")
        .arg(scratch.0.join("in"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut piped = scratch.command(&["replay", "-", "--json"]);
    piped.stdin(cat.stdout.take().unwrap());
    for mut command in [file, piped] {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(text(&output.stdout), text(&shown));
    }
    assert!(cat.wait().unwrap().success());
    let output = scratch.run(&["replay", "in", "--har", "-"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(entries(&document), text(&shown).lines().count());
    refused(
        &scratch,
        &["replay", "in", "--har", "-", "--json"],
        "standard output",
    );
}

/// What a command says, and how it ends, when the reader of its output goes after a byte.
#[track_caller]
fn check_reader_goes(scratch: &Scratch, arguments: &[&str]) {
    let (mut reader, writer) = pipe().unwrap();
    // What is written does not fit.
    rustix::pipe::fcntl_setpipe_size(&writer, 4096).unwrap();
    let mut command = scratch.command(arguments);
    let child = command
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The command's own copy of the writing end must not keep the pipe open.
    drop(command);
    reader.read_exact(&mut [0]).unwrap();
    drop(reader);
    let output = child.wait_with_output().unwrap();
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    assert!(!stderr.contains("meshtap:"), "{arguments:?}: {stderr}");
}

#[test]
fn a_reader_that_goes_has_read_enough() {
    let scratch = Scratch::new();
    check_reader_goes(&scratch, &["config", "schema"]);
    check_reader_goes(&scratch, &["replay", "in", "--json", "-vv"]);
    check_reader_goes(&scratch, &["replay", "in", "-vv"]);
    check_reader_goes(&scratch, &["replay", "in", "--har", "-"]);
    check_reader_goes(&scratch, &["replay", "--help"]);
}

#[test]
fn a_full_disk_is_named() {
    let scratch = Scratch::new();
    refused(
        &scratch,
        &["replay", "in", "--har", "/dev/full"],
        "/dev/full cannot be written: No space left",
    );
}

#[test]
fn mistakes() {
    let scratch = Scratch::new();
    for (arguments, words) in [
        (["--status", "6xx"], "100 to 599"),
        (["--path", "api"], "write for example /api"),
        (["--host", "http://shop"], "no host can match"),
        (["--max-body", "1.5M"], "is not a size"),
    ] {
        let all = [["replay", "in"], arguments].concat();
        refused(&scratch, &all, words);
    }
    let config = |text: &str| {
        fs::write(scratch.0.join("m.yaml"), text).unwrap();
        let output = scratch.run(&["config", "check", "m.yaml"]);
        text_of_error(&output)
    };
    let error = config("limits:\n  bodies: 1\n");
    assert!(error.starts_with("meshtap: m.yaml:2:3: "), "{error}");
    assert!(!error.contains("at line"), "{error}");
}

#[track_caller]
fn text_of_error(output: &Output) -> String {
    assert!(!output.status.success());
    text(&output.stderr)
}

#[test]
fn checking_a_configuration_makes_no_file() {
    let scratch = Scratch::new();
    fs::write(scratch.0.join("m.yaml"), "export: {har: a.har}\n").unwrap();
    let output = scratch.run(&["config", "check", "m.yaml"]);
    let stdout = text(&output.stdout);
    assert_eq!(stdout, "m.yaml: good; 1 destination\n");
    assert!(!Path::new(&scratch.0.join("a.har")).exists());
}
