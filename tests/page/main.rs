//! The page in a real browser (Chromium, driven by Playwright), beside the real binary.

use std::path::{Path, PathBuf};
use std::process::Command;

use meshtap_parts::page;
use meshtap_tests::{Bench, Daemon, binary, figure, live, skip, until};

/// Where the page listens, in the test's own network.
const PORT: u16 = 9321;
const SHOP: u16 = 8000;

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("page")
        .join(name)
}

/// What drives the browser, where it can be had.
fn modules() -> Option<PathBuf> {
    if !Path::new("/usr/bin/chromium").exists() && std::env::var_os("MESHTAP_CHROMIUM").is_none() {
        skip("there is no /usr/bin/chromium, and MESHTAP_CHROMIUM names none");
        return None;
    }
    let modules = page::modules().expect("Playwright");
    if modules.is_none() {
        skip(page::NO_NODE);
    }
    modules
}

/// The address that `meshtap` printed.
fn address(meshtap: &Daemon) -> String {
    let log = meshtap.log();
    let at = log
        .find("http://")
        .unwrap_or_else(|| panic!("no address: {log}"));
    log[at..]
        .split_whitespace()
        .next()
        .expect("an address")
        .to_owned()
}

/// `meshtap` with the page, ready.
fn serve(bench: &Bench, arguments: &[&str]) -> (Daemon, String) {
    let mut command = Command::new(binary().expect("a meshtap binary"));
    command.args(arguments).args(["--web", &PORT.to_string()]);
    let meshtap = Daemon::start(bench, &mut command).listening(PORT);
    // It listens before it has loaded its programs and says where.
    until("it says where", || meshtap.log().contains("http://"));
    let address = address(&meshtap);
    (meshtap, address)
}

/// Runs a script to its end.
fn drive(bench: &Bench, modules: &Path, name: &str, address: &str) {
    let mut command = Command::new("node");
    command.arg(script(name)).arg(address);
    command.env("MESHTAP_PAGE_MODULES", modules);
    command.env("HOME", bench.scratch.path());
    let output = command.output().expect("node");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.ends_with("passed\n"),
        "{name}: {}\n{text}\n{errors}",
        output.status
    );
    text.lines()
        .filter_map(|line| line.strip_prefix("figure: "))
        .for_each(figure);
}

#[test]
fn beside_live_traffic() {
    live(|bench| {
        let Some(modules) = modules() else { return };
        let cgroup = bench.cgroup.path().to_string_lossy().into_owned();
        let (mut meshtap, address) = serve(bench, &["tap", "--cgroup", &cgroup]);
        let _shop =
            Daemon::start(bench, Command::new("node").arg(script("shop.mjs"))).listening(SHOP);
        drive(bench, &modules, "live.mjs", &address);
        meshtap.terminate();
        let status = meshtap.wait();
        assert!(status.success(), "{status}: {}", meshtap.log());
        let log = meshtap.log();
        assert!(
            !log.contains("s3cr3t") && !log.contains("window.ran"),
            "{log}"
        );
    });
}

#[test]
fn a_hundred_thousand() {
    live(|bench| {
        let Some(modules) = modules() else { return };
        let recording = Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings/servers.meshtap");
        let recording = recording.to_string_lossy().into_owned();
        let (mut meshtap, address) = serve(bench, &["replay", &recording]);
        drive(bench, &modules, "many.mjs", &address);
        meshtap.terminate();
        let status = meshtap.wait();
        assert!(status.success(), "{status}: {}", meshtap.log());
    });
}

#[test]
fn who_is_not_asked_for_does_not_reach_it() {
    live(|_| {
        let run = |arguments: &[&str]| {
            let mut command = Command::new(binary().expect("a meshtap binary"));
            let output = command.args(["replay", "absent"]).args(arguments).output();
            String::from_utf8_lossy(&output.expect("meshtap").stderr).into_owned()
        };
        let refused = run(&["--web", "0.0.0.0:8080"]);
        assert!(refused.contains("add --web-remote"), "{refused}");
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = taken.local_addr().expect("an address").port();
        let refused = run(&["--web", &port.to_string()]);
        assert!(refused.contains("cannot listen on"), "{refused}");
    });
}
