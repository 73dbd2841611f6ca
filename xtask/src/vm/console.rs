//! What a guest said on its console, and whether that is what should have happened.

use serde_json::Value;

/// What `init.sh` serves at `/hello`.
pub const BODY: &str = "hello from the guest\n";

/// `enum bpf_attach_type` of the hooks that must be attached: BPF_CGROUP_INET_INGRESS and
/// BPF_CGROUP_INET_EGRESS.
const ATTACHED: &[&str] = &["0", "1"];

/// The lines of one guest, sorted.
#[derive(Debug, Default)]
pub struct Console {
    /// `uname -r`.
    pub release: Option<String>,
    /// `attach_type` of each link.
    attached: Vec<String>,
    /// What `meshtap tap --json` wrote.
    exchanges: Vec<String>,
    /// What it wrote to standard error.
    stderr: Vec<String>,
    /// Of `meshtap`, each time that it ran.
    exits: Vec<String>,
    /// The guest came to its end.
    pub ended: bool,
    /// Everything, for a person to read when something is wrong.
    pub all: Vec<String>,
}

impl Console {
    /// Takes one line of the console.
    pub fn line(&mut self, line: &str) {
        let line = line.trim_end_matches(['\r', '\n']);
        self.all.push(line.to_owned());
        // The firmware and the kernel may leave something in front of the first mark.
        let Some((_, said)) = line.split_once("@vm ") else {
            return;
        };
        let (kind, rest) = said.split_once([' ', '\t']).unwrap_or((said, ""));
        let rest = rest.trim().to_owned();
        match kind {
            "kernel" => self.release = Some(rest),
            "attach_type:" => self.attached.push(rest),
            "json" => self.exchanges.push(rest),
            "stderr" => self.stderr.push(rest),
            "exit" => self.exits.push(rest),
            "end" => self.ended = true,
            _ => {}
        }
    }

    /// Number of programs that were attached.
    pub fn attached(&self) -> usize {
        self.attached.len()
    }

    /// Number of exchanges that were captured.
    pub fn captured(&self) -> usize {
        self.exchanges.len()
    }

    /// Everything that is not as it should be.
    pub fn problems(&self, version: &str) -> Vec<String> {
        let mut problems = Vec::new();
        match &self.release {
            None => problems.push("the guest did not boot".to_owned()),
            Some(release) if !release.starts_with(&format!("{version}.")) => {
                problems.push(format!("booted {release}, not {version}"));
            }
            Some(_) => {}
        }
        let panic = self.all.iter().find(|line| line.contains("Kernel panic"));
        problems.extend(panic.map(|line| format!("the guest's kernel: {line}")));
        for kind in ATTACHED {
            if !self.attached.iter().any(|attached| attached == kind) {
                problems.push(format!("no link of attach type {kind}"));
            }
        }
        if self.exits != ["0", "0", "0"] {
            problems.push(format!("meshtap's exit statuses: {:?}", self.exits));
        }
        let expected = Expected::ALL;
        if self.exchanges.len() != expected.len() {
            problems.push(format!(
                "{} exchanges, not {}",
                self.exchanges.len(),
                expected.len()
            ));
        }
        for (line, expected) in self.exchanges.iter().zip(expected) {
            problems.extend(differences(line, expected));
        }
        if !problems.is_empty() {
            problems.extend(self.stderr.iter().map(|line| format!("meshtap: {line}")));
        }
        problems
    }
}

/// An exchange as it should be.
struct Expected {
    method: &'static str,
    target: &'static str,
    /// Address and port.
    server: (&'static str, u16),
    status: u64,
    /// Where in the line a size stands, and which.
    size: Option<(&'static str, usize)>,
}

impl Expected {
    /// In the order in which they end.
    const ALL: [Self; 5] = [
        Expected {
            method: "GET",
            target: "/hello?from=vm",
            server: ("127.0.0.1", 8080),
            status: 200,
            size: Some(("/response/body_size", BODY.len())),
        },
        Expected {
            method: "GET",
            target: "/absent",
            server: ("::1", 8080),
            status: 404,
            size: None,
        },
        // Half of its body came before a flood of connections (`flood.rs`).
        Expected {
            method: "POST",
            target: "/upload",
            server: ("127.0.0.1", 8081),
            status: 204,
            size: Some(("/request/body_size", 1 << 20)),
        },
        // What a TLS library has decrypted.
        Expected {
            method: "GET",
            target: "/hello",
            server: ("127.0.0.1", 8443),
            status: 200,
            size: Some(("/response/body_size", BODY.len())),
        },
        // The same, inside an Envoy without symbols.
        Expected {
            method: "GET",
            target: "/hello",
            server: ("127.0.0.1", 8444),
            status: 200,
            size: Some(("/response/body_size", BODY.len())),
        },
    ];
}

fn differences(line: &str, expected: Expected) -> Vec<String> {
    let target = expected.target;
    let Ok(exchange) = serde_json::from_str::<Value>(line) else {
        return vec![format!("not JSON: {line}")];
    };
    let mut differences = Vec::new();
    let mut compare = |pointer: &str, expected: Value| {
        let found = exchange.pointer(pointer).cloned().unwrap_or_default();
        if found != expected {
            differences.push(format!("{target}: {pointer} is {found}, not {expected}"));
        }
    };
    compare("/method", expected.method.into());
    compare("/target", target.into());
    compare("/status", expected.status.into());
    compare("/server/address", expected.server.0.into());
    compare("/server/port", expected.server.1.into());
    compare("/partial", Value::Null);
    if let Some((pointer, size)) = expected.size {
        compare(pointer, size.into());
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "SeaBIOS\r\n\u{1b}c@vm kernel 6.1.0-50-cloud-amd64\r\n@vm link_type:\tcgroup\r\n@vm attach_type:\t0\r\n\
        @vm attach_type:\t1\r\n@vm exit 0\r\n@vm exit 0\r\n@vm exit 0\r\n\
        @vm json {\"method\":\"GET\",\"target\":\"/hello?from=vm\",\"status\":200,\"server\":{\"address\":\"127.0.0.1\",\"port\":8080},\"response\":{\"body_size\":21}}\r\n\
        @vm json {\"method\":\"GET\",\"target\":\"/absent\",\"status\":404,\"server\":{\"address\":\"::1\",\"port\":8080}}\r\n\
        @vm json {\"method\":\"POST\",\"target\":\"/upload\",\"status\":204,\"server\":{\"address\":\"127.0.0.1\",\"port\":8081},\"request\":{\"body_size\":1048576}}\r\n\
        @vm json {\"method\":\"GET\",\"target\":\"/hello\",\"status\":200,\"server\":{\"address\":\"127.0.0.1\",\"port\":8443},\"response\":{\"body_size\":21}}\r\n\
        @vm json {\"method\":\"GET\",\"target\":\"/hello\",\"status\":200,\"server\":{\"address\":\"127.0.0.1\",\"port\":8444},\"response\":{\"body_size\":21}}\r\n@vm end\r\n";

    /// `expected` is part of the first problem, or empty when there is none.
    fn check(text: &str, expected: &str) {
        let mut console = Console::default();
        for line in text.lines() {
            console.line(line);
        }
        let problems = console.problems("6.1");
        match problems.first() {
            None => assert!(expected.is_empty(), "nothing found in {text}"),
            Some(first) => {
                assert!(
                    !expected.is_empty() && first.contains(expected),
                    "{problems:?}"
                );
            }
        }
    }

    #[test]
    fn every_difference_is_named() {
        check(GOOD, "");
        check("", "did not boot");
        check(
            &GOOD.replace("kernel 6.1.", "kernel 6.12."),
            "booted 6.12.0-50",
        );
        check(&GOOD.replace("attach_type:\t1", ""), "attach type 1");
        check(
            &GOOD.replace(
                "@vm exit 0",
                "[    3.5] Kernel panic - not syncing: Fatal exception",
            ),
            "not syncing",
        );
        check(&GOOD.replace("exit 0", "exit 1"), "exit status");
        check(
            &GOOD.replace("\"status\":200", "\"status\":500"),
            "/status is 500, not 200",
        );
        check(
            &GOOD.replace("\"body_size\":21", "\"body_size\":2"),
            "/response/body_size is 2",
        );
        check(
            &GOOD.replace("json {\"method\":\"GET\",\"target\":\"/absent\"", "x "),
            "4 exchanges, not 5",
        );
        check(
            &GOOD.replace("\"body_size\":1048576", "\"body_size\":524288"),
            "/request/body_size is 524288",
        );
        check(
            &GOOD.replace("\"status\":404", "\"status\":404,\"partial\":\"gap\""),
            "/partial is \"gap\"",
        );
    }
}
