//! What `meshtap explain` prints.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::verdict::{Captured, Verdict};
use super::witness;
use crate::capture::kernel::AgentMaps;
use crate::cli::ExplainArgs;
use crate::plural::counted;
use crate::process::{LiveSocket, Survey};
use crate::workload::PodPlace;

/// A socket, and what is said of it.
pub(super) struct Explained {
    pub(super) socket: LiveSocket,
    /// Path below the root of cgroup v2.
    pub(super) cgroup: Option<String>,
    /// One for each agent.
    pub(super) verdicts: Vec<Said>,
}

/// What one agent makes of a socket.
pub(super) struct Said {
    /// `None`: this command itself.
    pub(super) agent: Option<Agent>,
    pub(super) verdict: Verdict,
}

/// How an agent is found.
#[derive(Clone)]
pub(super) struct Agent {
    pid: Option<u32>,
    program: u32,
    name: String,
}

impl Agent {
    pub(super) fn of(maps: &AgentMaps) -> Self {
        Self {
            pid: maps.pid,
            program: maps.program,
            name: witness::name(maps),
        }
    }
}

impl Explained {
    fn ends(&self) -> String {
        match self.socket.is_listener {
            true => format!("{} listening", self.socket.local),
            false => format!("{} ↔ {}", self.socket.local, self.socket.remote),
        }
    }

    /// Whether any agent captures it: a socket counts once.
    fn captured(&self) -> Captured {
        let says = |captured| {
            let mut verdicts = self.verdicts.iter();
            verdicts.any(|said| said.verdict.captured == captured)
        };
        let mut best = [Captured::Yes, Captured::Undecided, Captured::Unknown].into_iter();
        best.find(|captured| says(*captured))
            .unwrap_or(Captured::No)
    }

    fn lines(&self, text: &mut String) {
        let process = match &self.socket.process {
            Some(process) => format!("{}[{}]", process.name, process.pid),
            None => "no process that can be seen".to_owned(),
        };
        // Writing to a `String` does not fail.
        let _ = writeln!(text, "{}  {process}", self.ends());
        for Said { agent, verdict } in &self.verdicts {
            let whose = match agent {
                Some(agent) if self.verdicts.len() > 1 => format!("{}: ", agent.name),
                _ => String::new(),
            };
            let _ = writeln!(
                text,
                "  {whose}{}: {}",
                verdict.captured.label(),
                verdict.why
            );
        }
    }

    fn json(&self) -> Value {
        let socket = &self.socket;
        let process = socket.process.as_ref();
        let verdicts = self.verdicts.iter().map(|Said { agent, verdict }| {
            json!({
                "agent": agent.as_ref().map(|agent| json!({
                    "pid": agent.pid,
                    "program": agent.program,
                })),
                "captured": verdict.captured.word(),
                "reason": verdict.reason,
                "why": verdict.why,
            })
        });
        json!({
            "socket": socket.socket.0,
            "local": socket.local.to_string(),
            "remote": (!socket.is_listener).then(|| socket.remote.to_string()),
            "pid": process.map(|process| process.pid),
            "process": process.map(|process| &process.name),
            "cgroup": self.cgroup,
            "mark": socket.mark,
            "captured": self.captured().word(),
            "verdicts": verdicts.collect::<Vec<_>>(),
        })
    }
}

/// What could not be seen.
pub(super) fn unseen(found: &Survey) -> Vec<String> {
    let mut unseen = Vec::new();
    if found.closed_namespaces > 0 {
        unseen.push(format!(
            "{} network namespaces could not be entered (CAP_SYS_ADMIN): their sockets are not \
             listed",
            found.closed_namespaces
        ));
    }
    if let Some(error) = &found.storage_refused {
        unseen.push(format!(
            "what is stored with sockets could not be read (CAP_BPF): {error}"
        ));
    }
    unseen
}

/// What to do where there is no socket.
pub(super) fn next_step(args: &ExplainArgs, pod: Option<&PodPlace>) -> String {
    if let (Some(asked), Some(pod)) = (&args.pod, pod) {
        let name = format!("{}/{}", asked.namespace, asked.name);
        return match &pod.node {
            Some(node) => format!(
                "{name} is on node {node}: run the command there; where this is that node, the \
                 pod's containers have no TCP socket, or their cgroups cannot be seen"
            ),
            None => format!("{name} is on no node yet"),
        };
    }
    match args.pid {
        Some(pid) => format!("process {pid} has no TCP socket, or its files may not be seen"),
        None => "is the program on this node, and is this the port of its container, and not of a \
                 Service? In a pod without hostPID the sockets of other pods are not seen; \
                 `meshtap explain --pid PID` looks by process"
            .to_owned(),
    }
}

/// Everything that is said.
pub(super) struct Page {
    pub(super) sockets: Vec<Explained>,
    /// Whose state it is.
    pub(super) notice: String,
    pub(super) unseen: Vec<String>,
    /// What to do where there is no socket.
    pub(super) next: String,
}

impl Page {
    /// For a person.
    pub(super) fn lines(&self) -> String {
        let mut text = String::new();
        for one in &self.sockets {
            one.lines(&mut text);
        }
        let count = |captured| {
            let sockets = self.sockets.iter();
            sockets.filter(|one| one.captured() == captured).count()
        };
        let sockets = counted(self.sockets.len() as u64, "socket");
        let counts = match self.sockets.is_empty() {
            true => sockets,
            false => format!(
                "{sockets}: {} captured, {} not, {} not so far, {} not known",
                count(Captured::Yes),
                count(Captured::No),
                count(Captured::Undecided),
                count(Captured::Unknown),
            ),
        };
        // Writing to a `String` does not fail.
        let _ = writeln!(text, "{counts} ({})", self.notice);
        for line in &self.unseen {
            let _ = writeln!(text, "{line}");
        }
        if self.sockets.is_empty() {
            let _ = writeln!(text, "→ {}", self.next);
        }
        text
    }

    /// For scripts.
    pub(super) fn json(&self) -> Value {
        json!({
            "source": self.notice,
            "sockets": self.sockets.iter().map(Explained::json).collect::<Vec<_>>(),
            "unseen": self.unseen,
            "next": self.sockets.is_empty().then_some(&self.next),
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};
    use crate::flow::SocketId;

    fn said(pid: u32, captured: Captured) -> Said {
        Said {
            agent: Some(Agent {
                pid: Some(pid),
                program: 1000 + pid,
                name: format!("agent {pid}"),
            }),
            verdict: Verdict {
                captured,
                reason: "a",
                why: "because".to_owned(),
            },
        }
    }

    fn page(sockets: Vec<Vec<Said>>) -> Page {
        let end = |port| std::net::SocketAddr::from(([127, 0, 0, 1], port)).into();
        let explained = |verdicts| Explained {
            socket: LiveSocket::new(SocketId(7), end(8080), end(50_000)),
            cgroup: None,
            verdicts,
        };
        Page {
            sockets: sockets.into_iter().map(explained).collect(),
            notice: "by agents".to_owned(),
            unseen: Vec::new(),
            next: "look elsewhere".to_owned(),
        }
    }

    /// Two agents do not make two sockets of one.
    #[test]
    fn sockets_are_counted_and_agents_named() {
        use Captured::{No, Undecided, Unknown, Yes};
        let page = page(vec![
            vec![said(1, Yes), said(2, No)],
            vec![said(1, No), said(2, No)],
            vec![said(1, No), said(2, Undecided)],
            vec![said(1, Unknown), said(2, No)],
        ]);
        let text = page.lines();
        let total = "4 sockets: 1 captured, 1 not, 1 not so far, 1 not known (by agents)\n";
        assert!(text.ends_with(total), "{text}");
        assert!(
            text.contains("\n  agent 1: captured: because\n  agent 2: not captured: because\n")
        );
        let json = page.json();
        assert_eq!(json["sockets"][0]["captured"], "yes");
        assert_eq!(json["sockets"][0]["verdicts"][1]["agent"]["pid"], 2);
        assert_eq!(json["next"], Value::Null);
    }

    #[test]
    fn one_agent_is_not_named_in_each_line() {
        let text = page(vec![vec![said(1, Captured::Yes)]]).lines();
        assert!(text.contains("\n  captured: because\n"), "{text}");
    }

    #[test]
    fn no_socket_has_a_next_step() {
        assert!(page(Vec::new()).lines().ends_with("→ look elsewhere\n"));
        let step = |words: &[&str], node: Option<&str>| {
            let words = ["meshtap", "explain"].iter().chain(words);
            let Command::Explain(args) = Cli::parse_from(words).command else {
                panic!("explain");
            };
            let place = PodPlace {
                uid: "u".to_owned(),
                node: node.map(str::to_owned),
            };
            next_step(&args, args.pod.is_some().then_some(&place))
        };
        assert!(step(&["--pod", "shop/cart"], Some("worker-2")).contains("node worker-2"));
        assert!(step(&["--pod", "shop/cart"], None).contains("no node yet"));
        assert!(step(&["--port", "80"], None).contains("Service"));
        assert!(step(&["--pid", "4711"], None).contains("4711"));
    }
}
