//! The page in a real browser (Chromium, driven by Playwright), beside the real binary; and what a
//! terminal shows, drawn there for the documentation.

use std::path::{Path, PathBuf};
use std::process::Command;

use meshtap_parts::page;
use meshtap_tests::{Bench, Daemon, Terminal, binary, figure, live, skip, until};

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
fn drive(bench: &Bench, modules: &Path, name: &str, arguments: &[&str]) {
    let mut command = Command::new("node");
    command.arg(script(name)).args(arguments);
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

/// Services that call each other, and people who buy.
fn shop(bench: &Bench) -> Daemon {
    Daemon::start(bench, Command::new("node").arg(script("shop.mjs"))).listening(SHOP)
}

#[test]
fn beside_live_traffic() {
    live(|bench| {
        let Some(modules) = modules() else { return };
        let cgroup = bench.cgroup.path().to_string_lossy().into_owned();
        let (mut meshtap, address) = serve(bench, &["tap", "--cgroup", &cgroup]);
        let _shop = shop(bench);
        drive(bench, &modules, "live.mjs", &[&address]);
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
        drive(bench, &modules, "many.mjs", &[&address]);
        meshtap.terminate();
        let status = meshtap.wait();
        assert!(status.success(), "{status}: {}", meshtap.log());
    });
}

/// What the documentation shows of terminals.
#[test]
fn in_a_terminal() {
    live(|bench| {
        let Some(modules) = modules() else { return };
        let draw = |name: &str, columns: u16, terminal: &Terminal| {
            let screen = terminal.tmux(&["capture-pane", "-p", "-e", "-N"]);
            let file = bench.scratch.write(name, &screen);
            let (columns, file) = (columns.to_string(), file.to_string_lossy());
            drive(bench, &modules, "terminal.mjs", &[name, &columns, &file]);
        };
        let cgroup = bench.cgroup.path().to_string_lossy().into_owned();
        // Both ends, so that callers have names.
        let start = |size, arguments: &[&str]| {
            let all = [arguments, &["--cgroup", &cgroup]].concat();
            let terminal = Terminal::start(bench, size, &[], &all);
            terminal.shows("? help");
            terminal
        };
        let list = start((80, 30), &["tap", "-i"]);
        let top = start((100, 18), &["top"]);
        let _shop = shop(bench);
        // A payment that failed, and whom it failed; what comes goes on until it is paused.
        let has_failure = |screen: &str| screen.contains(" 503 ") && screen.contains(" 502 ");
        loop {
            list.until("a failure", has_failure);
            list.press(&["Space"]);
            if has_failure(&list.shows("PAUSED")) {
                break;
            }
            list.press(&["Space"]);
            list.until("it goes on", |screen| !screen.contains("PAUSED"));
        }
        draw("list", 80, &list);
        list.typed("/is:failed process:payment");
        list.until("payments alone", |screen| !screen.contains("/orders"));
        list.press(&["Enter", "Enter"]);
        list.shows("the bank does not respond");
        draw("exchange", 80, &list);
        top.until("some seconds of traffic", |screen| {
            let all = screen.split("all: ").nth(1);
            let count = all.and_then(|all| all.split(" exchanges").next());
            let count: Option<u64> = count.and_then(|count| count.replace(' ', "").parse().ok());
            count >= Some(600)
        });
        draw("top", 100, &top);
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
