//! Crates and calls that only some folders may name.

use super::source::{Source, within};

/// Where the pure core is: bytes in, values out; time is an argument, and nothing waits.
const PURE: &[&str] = &[
    "agent/src/flow/",
    "agent/src/transport/",
    "agent/src/http/",
    "agent/src/exchange/",
    "agent/src/session/",
    "agent/src/engine/",
    "agent/src/policy/",
    "agent/src/redact/",
    "agent/src/signal/",
    "agent/src/ledger/",
];

/// Crates and calls that the pure core may not name.
const IMPURE: &[&str] = &["tokio", "Instant::now", "SystemTime::now", "thread::sleep"];

/// Names that only some folders of the agent may use.
struct Confined {
    names: &'static [&'static str],
    to: &'static [&'static str],
}

const CONFINED: &[Confined] = &[
    Confined {
        names: &["aya", "aya_log", "aya_obj"],
        to: &["agent/src/capture/"],
    },
    Confined {
        names: &["kube", "k8s_openapi"],
        to: &["agent/src/workload/"],
    },
    Confined {
        names: &[
            "opentelemetry",
            "opentelemetry_otlp",
            "opentelemetry_proto",
            "opentelemetry_sdk",
        ],
        to: &["agent/src/export/"],
    },
];

/// What has numbers of TCP in it; above these folders a byte has an offset.
const WIRE: Confined = Confined {
    names: &[
        "Command::ResumeOffset",
        "Command::Frames",
        "WirePosition",
        "meshtap_common::distance",
    ],
    to: &["agent/src/capture/", "agent/src/transport/"],
};

/// Reports what a file of the agent names and may not.
pub fn check(source: &Source, findings: &mut Vec<String>) {
    let path = source.path.as_str();
    let Some(rust) = &source.rust else { return };
    if !path.starts_with("agent/src/") || source.is_tests() {
        return;
    }
    let pure = PURE.iter().any(|part| within(path, part));
    for named in &rust.paths {
        let mut report = |what: String| findings.push(format!("{path}:{}: {what}", named.line));
        for rule in CONFINED {
            let allowed = rule.to.iter().any(|part| within(path, part));
            let first = named.segments.first().map(String::as_str);
            if let Some(name) = first.filter(|first| !allowed && rule.names.contains(first)) {
                report(format!("`{name}` belongs to {}", rule.to.join(", ")));
            }
        }
        let is_low = WIRE.to.iter().any(|part| within(path, part));
        let is_named = |name: &&&str| {
            let parts: Vec<String> = name.split("::").map(str::to_owned).collect();
            named.segments.ends_with(&parts)
        };
        if let Some(name) = WIRE.names.iter().find(is_named).filter(|_| !is_low) {
            report(format!("`{name}` belongs to {}", WIRE.to.join(", ")));
        }
        for name in IMPURE
            .iter()
            .filter(|name| pure && ends(&named.segments, name))
        {
            report(format!("`{name}` in the pure core"));
        }
        let printed = ["print!", "println!"]
            .iter()
            .any(|name| ends(&named.segments, name));
        if printed && path != "agent/src/main.rs" {
            report("the library prints nothing; write to what you are given".to_owned());
        }
    }
}

/// The path starts with the name of a crate, or ends with a longer one.
fn ends(segments: &[String], name: &str) -> bool {
    let parts: Vec<&str> = name.split("::").collect();
    if parts.len() == 1 && !name.ends_with('!') {
        return segments.first().is_some_and(|first| first == name);
    }
    segments.len() >= parts.len()
        && segments
            .iter()
            .rev()
            .zip(parts.iter().rev())
            .all(|(segment, part)| segment == part)
}

#[cfg(test)]
mod tests {
    use super::super::source::expect_one;
    use super::*;

    #[track_caller]
    fn check_one(path: &str, text: &str, expected: &str) {
        expect_one(path, text, expected, check);
    }

    #[test]
    fn crates_stay_in_their_folder() {
        check_one("agent/src/capture/load.rs", "use aya::Ebpf;", "");
        check_one("agent/src/capture.rs", "use aya::Ebpf;", "");
        check_one(
            "agent/src/app.rs",
            "use aya::Ebpf;",
            "app.rs:1: `aya` belongs to",
        );
        check_one("agent/src/app.rs", "use aya;", "`aya` belongs to");
        check_one(
            "agent/src/app.rs",
            "use {aya_log::EbpfLogger, std::fs};",
            "`aya_log` belongs",
        );
        check_one(
            "agent/src/app.rs",
            "fn a(e: aya::Ebpf) {}",
            "`aya` belongs to",
        );
        check_one("agent/src/app.rs", "use crate::aya::Ebpf;", "");
        check_one("agent/src/app.rs", "// not aya::Ebpf", "");
        check_one(
            "agent/src/signal/mod.rs",
            "use opentelemetry::trace;",
            "belongs to",
        );
        check_one("agent/src/export/otlp.rs", "use opentelemetry::trace;", "");
        check_one(
            "agent/src/app.rs",
            "\nuse kube::Client;",
            "app.rs:2: `kube` belongs",
        );
        check_one(
            "agent/src/policy/mod.rs",
            "#[cfg(test)] fn a() {} use kube::Client;",
            "`kube`",
        );
    }

    #[test]
    fn numbers_of_the_wire_stay_below_the_engine() {
        let belongs = "belongs to agent/src/capture/, agent/src/transport/";
        for text in [
            "use crate::transport::tcp::WirePosition;",
            "fn a() { Command::ResumeOffset { seq: 1 }; }",
            "fn a() { crate::capture::Command::Frames; }",
            "use meshtap_common::{MAX_PORTS, distance};",
        ] {
            check_one("agent/src/engine/connection.rs", text, belongs);
            check_one("agent/src/session/mod.rs", text, belongs);
            check_one("agent/src/transport/tcp/mod.rs", text, "");
            check_one("agent/src/capture/command.rs", text, "");
            check_one("agent/src/engine/tests/losses.rs", text, "");
        }
        check_one(
            "agent/src/engine/connection.rs",
            "use crate::transport::Place;",
            "",
        );
        check_one(
            "agent/src/engine/connection.rs",
            "fn a() { Command::Ignore(1); }",
            "",
        );
    }

    #[test]
    fn the_core_is_pure() {
        check_one(
            "agent/src/http/h1/mod.rs",
            "use tokio::sync::mpsc;",
            "`tokio` in the pure",
        );
        check_one(
            "agent/src/ledger.rs",
            "fn a() { Instant::now(); }",
            "`Instant::now`",
        );
        check_one(
            "agent/src/flow.rs",
            "fn a() { std::time::SystemTime::now(); }",
            "`SystemTime::now`",
        );
        check_one("agent/src/app.rs", "fn a() { Instant::now(); }", "");
        let tested = "#[cfg(test)]\nmod tests { fn t() { Instant::now(); } }\n";
        check_one("agent/src/transport/mod.rs", tested, "");
    }

    #[test]
    fn the_library_does_not_print() {
        check_one(
            "agent/src/tap/mod.rs",
            "fn a() { println!(); }",
            "prints nothing",
        );
        check_one(
            "agent/src/tap/mod.rs",
            "fn a() { std::print!(\"\"); }",
            "prints nothing",
        );
        check_one("agent/src/tap/mod.rs", "fn a() { eprintln!(); }", "");
        check_one("agent/src/main.rs", "fn a() { println!(); }", "");
    }
}
