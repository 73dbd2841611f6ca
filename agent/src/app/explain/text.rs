//! What `meshtap explain` prints.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::verdict::{Captured, Verdict};
use crate::plural::counted;
use crate::process::{LiveSocket, Survey};

/// A socket, and what is said of it.
pub(super) struct Explained {
    pub(super) socket: LiveSocket,
    /// Path below the root of cgroup v2.
    pub(super) cgroup: Option<String>,
    /// One for each agent.
    pub(super) verdicts: Vec<Verdict>,
}

impl Explained {
    fn ends(&self) -> String {
        match self.socket.is_listener {
            true => format!("{} listening", self.socket.local),
            false => format!("{} ↔ {}", self.socket.local, self.socket.remote),
        }
    }

    fn is(&self, captured: Captured) -> bool {
        self.verdicts
            .iter()
            .any(|verdict| verdict.captured == captured)
    }

    fn json(&self) -> Value {
        let socket = &self.socket;
        let process = socket.process.as_ref();
        let verdicts = self.verdicts.iter().map(|verdict| {
            json!({
                "captured": match verdict.captured {
                    Captured::Yes => "yes",
                    Captured::No => "no",
                    Captured::Undecided => "undecided",
                    Captured::Unknown => "unknown",
                },
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
            "verdicts": verdicts.collect::<Vec<_>>(),
        })
    }
}

/// What could not be seen.
fn unseen(found: &Survey) -> Vec<String> {
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

/// For a person.
pub(super) fn lines(explained: &[Explained], found: &Survey, notice: &str) -> String {
    let mut text = String::new();
    // Writing to a `String` does not fail.
    for one in explained {
        let process = match &one.socket.process {
            Some(process) => format!("{}[{}]", process.name, process.pid),
            None => "no process that can be seen".to_owned(),
        };
        let _ = writeln!(text, "{}  {process}", one.ends());
        for verdict in &one.verdicts {
            let _ = writeln!(text, "  {}: {}", verdict.captured.label(), verdict.why);
        }
    }
    let count = |captured| explained.iter().filter(|one| one.is(captured)).count();
    let _ = writeln!(
        text,
        "{}: {} captured, {} not, {} not so far, {} not known ({notice})",
        counted(explained.len() as u64, "socket"),
        count(Captured::Yes),
        count(Captured::No),
        count(Captured::Undecided),
        count(Captured::Unknown),
    );
    for line in unseen(found) {
        let _ = writeln!(text, "{line}");
    }
    text
}

/// For scripts.
pub(super) fn json(explained: &[Explained], found: &Survey, notice: &str) -> Value {
    json!({
        "source": notice,
        "sockets": explained.iter().map(Explained::json).collect::<Vec<_>>(),
        "unseen": unseen(found),
    })
}
