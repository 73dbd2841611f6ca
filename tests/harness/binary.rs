//! The program under test.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

/// The binary under test: `MESHTAP_BIN`, or the one that `cargo xtask build --release` leaves.
#[must_use]
pub fn binary() -> Option<OsString> {
    if let Some(path) = std::env::var_os("MESHTAP_BIN") {
        return Some(path);
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/meshtap");
    path.exists().then(|| path.into_os_string())
}

/// Words that go before a program that root is to run with these capabilities alone, as a container
/// runtime would: names of capabilities(7) in lower case, without `CAP_`.
#[must_use]
pub fn with_only(capabilities: &[&str]) -> Vec<String> {
    let added = capabilities.iter().map(|name| format!(",+{name}"));
    let bounding = format!("--bounding-set=-all{}", added.collect::<String>());
    ["setpriv", &bounding, "--inh-caps=-all", "--"]
        .map(str::to_owned)
        .to_vec()
}

/// Copies the binary under test. A process of its own writes the file: whatever another test starts
/// at that moment would inherit it open, and Linux runs no program that is (execve(2), `ETXTBSY`).
///
/// # Panics
/// When it cannot be copied.
pub fn copy_binary(to: &Path) {
    let mut command = Command::new("cp");
    let status = command.arg(binary().expect("a binary")).arg(to).status();
    assert!(status.expect("cp").success(), "{}", to.display());
}
