//! The environment of one live test.

use std::io::Write as _;
use std::path::Path;
use std::thread;

use crate::{Cgroup, Netns, Scratch, binary, sweep};

/// What a live test has for itself: a network, a cgroup, a folder. The test's thread is inside the
/// first two, and so is everything that it starts.
#[derive(Debug)]
pub struct Bench {
    /// Its network.
    pub netns: Netns,
    /// Its cgroup; `meshtap` looks at this one only, so tests that run side by side never see each
    /// other.
    pub cgroup: Cgroup,
    /// Its folder.
    pub scratch: Scratch,
}

/// Runs `body` in an environment of its own, where it can start `meshtap`. Without root, or without
/// the binary, it says so and does nothing; with `CI` set, that is a failure.
///
/// # Panics
/// When `body` does.
pub fn live(body: impl FnOnce(&Bench) + Send) {
    match binary() {
        None => skip("there is no meshtap binary: run `cargo xtask build --release`"),
        Some(binary) => {
            assert!(Path::new(&binary).exists(), "{binary:?} does not exist");
            isolated(body);
        }
    }
}

/// Runs `body` in an environment of its own. Without root, it says so and does nothing; with `CI`
/// set, that is a failure.
///
/// # Panics
/// When `body` does.
pub fn isolated(body: impl FnOnce(&Bench) + Send) {
    if !rustix::process::geteuid().is_root() {
        return skip("it needs root (network namespaces, cgroups, eBPF)");
    }
    sweep();
    let bench = Bench {
        netns: Netns::new(),
        cgroup: Cgroup::new(),
        scratch: Scratch::new(),
    };
    let name = thread::current().name().unwrap_or("live test").to_owned();
    let outcome = thread::scope(|scope| {
        let inside = || {
            bench.netns.enter();
            bench.cgroup.enter();
            body(&bench);
        };
        thread::Builder::new()
            .name(name)
            .spawn_scoped(scope, inside)
            .expect("a thread for the test")
            .join()
    });
    // The cgroup can be removed only when the thread has left it.
    drop(bench);
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

/// Says that the current test does not run, so that nobody takes it for passed. Fails it where `CI`
/// is set.
///
/// # Panics
/// With `CI` set.
pub fn skip(reason: &str) {
    let name = thread::current().name().unwrap_or("live test").to_owned();
    assert!(
        std::env::var_os("CI").is_none(),
        "{name} was skipped: {reason}"
    );
    // Not `eprintln!`, which the test runner keeps to itself.
    let _ = writeln!(std::io::stderr(), "\nSKIPPED: {name}: {reason}\n");
}

/// Shows a figure that a test measured, also when it passes.
pub fn figure(text: &str) {
    let name = thread::current().name().unwrap_or("live test").to_owned();
    let _ = writeln!(std::io::stderr(), "figure: {name}: {text}");
}
