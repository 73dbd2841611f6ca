//! `tap -i` and `replay -i`: what a person does there.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use meshtap_tests::{Bench, Nginx, Tap, Terminal, binary, curl, live, url};

const PAGES: &str = "location /echo { default_type application/json; return 200 '{\"id\":[1,2]}'; }
    location /missing { return 404 none; } location /broken { return 500 broken; }";

fn get(path: &str) -> Vec<u8> {
    curl(&[&url("127.0.0.1", path)])
}

/// Lines of the table: those with a time.
fn rows(screen: &str) -> Vec<&str> {
    let is_time = |word: &str| word.len() == 12 && word.split([':', '.']).count() == 4;
    let is_row = |line: &&str| line.split_whitespace().any(is_time);
    screen.lines().filter(is_row).collect()
}

/// Runs `check` at two sizes.
fn at_two_sizes(check: impl Fn(&Bench, &Terminal) + Sync) {
    for size in [(80, 24), (140, 45)] {
        live(|bench| {
            let _nginx = Nginx::start(bench, PAGES);
            let terminal = Terminal::live(bench, size, &[], &["tap", "-i"]);
            check(bench, &terminal);
        });
    }
}

#[test]
fn filter_and_pause_under_traffic() {
    at_two_sizes(|_, terminal| {
        for path in ["/echo?id=1", "/missing", "/broken", "/echo?id=2"] {
            let _ = get(path);
        }
        let screen = terminal.until("four exchanges", |screen| rows(screen).len() == 4);
        assert!(screen.contains("4 exchanges"), "{screen}");
        // In force while it is typed.
        terminal.typed("/status:4xx,5xx");
        terminal.until("two match", |screen| rows(screen).len() == 2);
        terminal.typed(" -path:/missing");
        let screen = terminal.until("one matches", |screen| rows(screen).len() == 1);
        assert!(rows(&screen)[0].contains("/broken"), "{screen}");
        terminal.press(&["Enter"]);
        terminal.shows("filter: status:4xx,5xx -path:/missing");
        let _ = get("/broken?again");
        terminal.until("what comes is filtered, too", |screen| {
            rows(screen).len() == 2
        });
        terminal.press(&["Escape"]);
        terminal.until("all again", |screen| rows(screen).len() == 5);
        terminal.press(&["Space"]);
        terminal.shows("PAUSED, 0 new");
        let _ = get("/echo?id=3");
        let screen = terminal.shows("PAUSED, 1 new");
        assert_eq!(rows(&screen).len(), 5, "{screen}");
        terminal.press(&["Space"]);
        terminal.until("it goes on", |screen| {
            rows(screen).len() == 6 && screen.contains("/echo?id=3")
        });
    });
}

#[test]
fn an_exchange_and_its_copy_as_curl() {
    at_two_sizes(|_, terminal| {
        let body = "name=a+b&value=%1b%5b2J";
        let response = curl(&["-d", body, "-H", "X-Id: it's", &url("127.0.0.1", "/echo")]);
        terminal.until("one exchange", |screen| rows(screen).len() == 1);
        terminal.press(&["Enter"]);
        let screen = terminal.shows("> POST /echo HTTP/1.1");
        for line in ["X-Id: it's", "name = a b", "value = \\x1b[2J"] {
            assert!(screen.contains(line), "{line}:\n{screen}");
        }
        terminal.press(&["Tab", "Tab"]);
        terminal.shows("  \"id\": [");
        terminal.press(&["c"]);
        terminal.shows("exchange 1 copied as curl");
        let command = terminal.tmux(&["show-buffer"]);
        // The same request has the same response.
        let again = Command::new("bash").arg("-c").arg(&command).output();
        let again = again.expect("bash");
        assert!(
            again.status.success() && again.stdout.ends_with(&response),
            "{command}"
        );
        terminal.press(&["Escape"]);
        terminal.until("the copy's own exchange", |screen| rows(screen).len() == 2);
        terminal.press(&["End", "Enter"]);
        terminal.shows("exchange 2 ");
        let screen = terminal.shows("> POST /echo HTTP/1.1");
        for line in ["X-Id: it's", "name = a b", "value = \\x1b[2J"] {
            assert!(screen.contains(line), "{line}:\n{screen}");
        }
    });
}

#[test]
fn another_size() {
    at_two_sizes(|_, terminal| {
        let _ = get("/echo?id=1");
        terminal.until("one exchange", |screen| rows(screen).len() == 1);
        for (columns, lines) in [(60, 15), (160, 50), (80, 24)] {
            terminal.resize(columns, lines);
            let screen = terminal.until("drawn anew", |screen| {
                let all: Vec<_> = screen.lines().collect();
                let last = all.iter().rposition(|line| line.starts_with("? help"));
                last == Some(usize::from(lines) - 1) && screen.contains("/echo")
            });
            assert!(
                screen
                    .lines()
                    .all(|line| line.chars().count() <= usize::from(columns))
            );
            let has_client = screen.contains("CLIENT → SERVER");
            assert_eq!(has_client, columns >= 130, "{screen}");
        }
    });
}

#[test]
fn the_end_leaves_the_terminal_as_it_was_and_the_ledger() {
    at_two_sizes(|_, terminal| {
        let _ = get("/echo?id=1");
        terminal.until("one exchange", |screen| rows(screen).len() == 1);
        terminal.press(&["C-c"]);
        let (state, left) = terminal.ended();
        assert_eq!(state, "1:0::0", "{left}");
        assert!(left.contains("1 exchange started = 1 shown"), "{left}");
        assert!(!left.contains("? help"), "{left}");
    });
}

#[test]
fn a_signal_ends_it_in_good_order() {
    live(|bench| {
        let _nginx = Nginx::start(bench, PAGES);
        let terminal = Terminal::live(bench, (80, 24), &[], &["tap", "-i"]);
        let _ = get("/echo?id=1");
        terminal.until("one exchange", |screen| rows(screen).len() == 1);
        let killed = Command::new("kill")
            .args(["-TERM", &terminal.pid()])
            .status();
        assert!(killed.expect("kill").success());
        let (state, left) = terminal.ended();
        assert_eq!(state, "1:0::0", "{left}");
        assert!(left.contains("1 exchange started = 1 shown"), "{left}");
    });
}

#[test]
fn saved_for_its_owner_alone() {
    live(|bench| {
        let _nginx = Nginx::start(bench, PAGES);
        let terminal = Terminal::live(bench, (80, 24), &[], &["tap", "-i"]);
        for path in ["/echo?id=1", "/missing", "/broken"] {
            let _ = get(path);
        }
        terminal.until("three exchanges", |screen| rows(screen).len() == 3);
        terminal.press(&["Home", "m", "m", "s"]);
        terminal.shows("HAR file: meshtap.har");
        terminal.press(&["Enter"]);
        terminal.shows("meshtap.har: 2 exchanges written");
        let path = bench.scratch.path().join("meshtap.har");
        let mode = std::fs::metadata(&path)
            .expect("a file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let document: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&path).expect("a file")).expect("JSON");
        let entries = document["log"]["entries"].as_array().expect("entries");
        let statuses: Vec<_> = entries
            .iter()
            .map(|e| e["response"]["status"].as_u64())
            .collect();
        assert_eq!(statuses, [Some(200), Some(404)]);
        // Not through a link.
        std::os::unix::fs::symlink(&path, bench.scratch.path().join("link")).expect("a link");
        terminal.press(&["s", "C-u"]);
        terminal.typed("link");
        terminal.press(&["Enter"]);
        terminal.shows("link is not written: it is a symbolic link");
    });
}

#[test]
fn a_recording_is_looked_at_after_its_end() {
    live(|bench| {
        let _nginx = Nginx::start(bench, PAGES);
        let file = bench.scratch.path().join("file.tap");
        let tap = Tap::new(bench).arg("--record").arg(&file).start();
        let _ = get("/echo?id=1");
        let _ = get("/broken");
        tap.finish().assert_balanced();
        let file = file.to_string_lossy().into_owned();
        let terminal = Terminal::start(bench, (80, 24), &[], &["replay", &file, "-i"]);
        let screen = terminal.until("its end", |screen| {
            screen.contains("ENDED") && screen.contains("/broken")
        });
        assert!(screen.contains("/echo?id=1"), "{screen}");
        terminal.press(&["t"]);
        terminal.until("totals", |screen| screen.contains("GET    /broken"));
        terminal.press(&["q"]);
        let (state, left) = terminal.ended();
        assert_eq!(state, "1:0::0", "{left}");
        assert!(left.contains("shown"), "{left}");
    });
}

#[test]
fn nothing_captured_reaches_the_terminal_as_it_was() {
    live(|bench| {
        let _nginx = Nginx::start(bench, PAGES);
        let terminal = Terminal::live(bench, (80, 24), &["NO_COLOR=1"], &["tap", "-i"]);
        let _ = curl(&[
            "-H",
            "X: \x1b]0;taken\x07\x1b[2J",
            &url("127.0.0.1", "/echo"),
        ]);
        terminal.until("one exchange", |screen| rows(screen).len() == 1);
        terminal.press(&["Enter"]);
        terminal.shows("X: \\x1b]0;taken\\x07\\x1b[2J");
        let title = terminal.tmux(&["display-message", "-p", "#{pane_title}"]);
        assert!(!title.contains("taken"), "{title}");
        // Without colour: only bold, dim and reversed.
        let raw = terminal.tmux(&["capture-pane", "-p", "-e"]);
        let codes = raw
            .split("\x1b[")
            .skip(1)
            .filter_map(|rest| rest.split('m').next());
        let colours: Vec<_> = codes.flat_map(|code| code.split(';')).collect();
        assert!(
            colours
                .iter()
                .all(|code| code.len() <= 1 || *code == "39" || *code == "49"),
            "{raw:?}"
        );
    });
}

/// What a terminal that goes away leaves of a run: everything that it wrote is whole.
#[test]
fn the_end_of_the_terminal_is_an_end_in_good_order() {
    live(|bench| {
        let _nginx = Nginx::start(bench, PAGES);
        let path = |name: &str| bench.scratch.path().join(name);
        let arguments = "tap -i --ledger-json l.json --record r.tap --har h.har";
        let arguments: Vec<_> = arguments.split(' ').collect();
        let terminal = Terminal::live(bench, (80, 24), &[], &arguments);
        let _ = get("/echo?id=1");
        terminal.until("one exchange", |screen| rows(screen).len() == 1);
        terminal.vanish();
        let read = |name: &str| -> serde_json::Value {
            let text = std::fs::read(path(name)).expect("a file");
            serde_json::from_slice(&text).expect("a whole document")
        };
        assert_eq!(read("l.json")["ledger"]["started"], 1);
        assert_eq!(
            read("h.har")["log"]["entries"].as_array().map(Vec::len),
            Some(1)
        );
        let replay = |more: &[&str]| {
            let mut command = Command::new(binary().expect("a meshtap binary"));
            command.arg("replay").arg(path("r.tap")).args(more);
            command
        };
        let output = replay(&[]).output().expect("meshtap");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        // The same of a replay.
        let (file, ledger) = (path("r.tap"), path("again.json"));
        let (file, ledger) = (file.to_string_lossy(), ledger.to_string_lossy());
        let arguments = ["replay", &*file, "-i", "--ledger-json", &*ledger];
        let terminal = Terminal::start(bench, (80, 24), &[], &arguments);
        terminal.shows("ENDED");
        terminal.vanish();
        assert_eq!(read("again.json")["ledger"]["started"], 1);
    });
}
