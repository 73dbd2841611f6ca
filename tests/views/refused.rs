//! Where there is no screen, the command says so before it captures.

use std::process::{Command, Stdio};

use meshtap_tests::{Terminal, binary, live};

#[test]
fn standard_output_that_is_no_terminal() {
    live(|_| {
        for arguments in [&["tap", "-i"][..], &["top"], &["replay", "absent", "-i"]] {
            let mut command = Command::new(binary().expect("a meshtap binary"));
            command
                .args(arguments)
                .stdin(Stdio::null())
                .env("TERM", "xterm");
            let output = command.output().expect("meshtap");
            let errors = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{errors}");
            assert!(errors.contains("needs a terminal"), "{errors}");
            // What is advised is an option that was given, or that there is.
            let advice = if arguments == ["top"] {
                "use --once"
            } else {
                "leave out -i"
            };
            assert!(errors.contains(advice), "{errors}");
            assert_eq!(output.stdout, b"");
        }
    });
}

#[test]
fn a_terminal_that_shows_no_screen() {
    live(|bench| {
        let terminal = Terminal::start(bench, (80, 24), &["TERM=dumb"], &["tap", "-i"]);
        let (state, left) = terminal.ended();
        assert_eq!(state, "1:2::0", "{left}");
        assert!(left.contains("cannot show a screen"), "{left}");
    });
}

#[test]
fn json_beside_a_screen() {
    live(|_| {
        for arguments in [&["tap", "-i", "--json"][..], &["top", "--json"]] {
            let mut command = Command::new(binary().expect("a meshtap binary"));
            let output = command.args(arguments).output().expect("meshtap");
            assert!(!output.status.success(), "{arguments:?}");
        }
    });
}
