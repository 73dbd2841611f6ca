//! Recordings that were made once, replayed without privileges: the same exchanges as on the day,
//! to the byte.
//!
//! Belongs to the agent's package, so that `cargo test` runs it with nothing but a Rust toolchain.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn recordings() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/recordings")
}

fn replay(file: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_meshtap"))
        .args(["replay", "--json", "-vv"])
        .args(arguments)
        .arg(file)
        .output()
        .expect("meshtap");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).expect("JSON is UTF-8")
}

/// `NAME.meshtap`, replayed with `arguments`, gives the lines of `EXPECTED.jsonl`.
#[track_caller]
fn check(name: &str, arguments: &[&str], expected: &str) {
    let replayed = replay(
        &recordings().join(name).with_extension("meshtap"),
        arguments,
    );
    let golden = recordings().join(expected).with_extension("jsonl");
    let golden = fs::read_to_string(golden).expect("the expected exchanges");
    for (line, (found, wanted)) in replayed.lines().zip(golden.lines()).enumerate() {
        assert_eq!(found, wanted, "line {} of {expected}.jsonl", line + 1);
    }
    assert_eq!(replayed.lines().count(), golden.lines().count());
}

#[test]
fn both_ends() {
    check("servers", &[], "servers");
}

#[test]
fn a_filter() {
    check("servers", &["--status", "4xx,5xx"], "servers-errors");
}

#[test]
fn a_recording_that_is_cut_short_gives_what_is_there() {
    let whole = fs::read(recordings().join("servers.meshtap")).expect("the recording");
    let cut = std::env::temp_dir().join(format!("meshtap-cut-{}", std::process::id()));
    fs::write(&cut, &whole[..whole.len() / 2]).expect("a file");
    let output = Command::new(env!("CARGO_BIN_EXE_meshtap"))
        .args(["replay", "--json"])
        .arg(&cut)
        .output();
    fs::remove_file(&cut).expect("remove the file");
    let output = output.expect("meshtap");
    assert!(!output.stdout.is_empty(), "what came before the cut");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("panicked"), "{said}");
}
