//! Whose state of sockets is read.

use std::time::Instant;

use crate::app::Failure;
use crate::app::settings::options;
use crate::capture::kernel::{AgentMaps, Agents, Capture, CaptureOptions, TlsLibraries, agents};
use crate::cli::ExplainArgs;
use crate::config::Config;

/// Whose state it is.
pub(super) enum Witness {
    /// Agents that run.
    Running(Agents),
    /// This command, for a moment: the state is there as long as the capture lives.
    Own {
        maps: AgentMaps,
        _held: Box<Capture>,
        beside: Beside,
    },
}

/// The agents that run beside this command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Beside {
    Nobody,
    /// So many of another version.
    Foreign(usize),
    /// The kernel does not list them, and why.
    Unknown(String),
}

impl Witness {
    /// The agents that run, or else this command, after it has looked for a while.
    pub(super) fn new(args: &ExplainArgs, config: &Config) -> Result<Self, Failure> {
        let beside = match agents() {
            Ok(found) if !found.known.is_empty() => return Ok(Self::Running(found)),
            Ok(found) if found.foreign > 0 => Beside::Foreign(found.foreign),
            Ok(_) => Beside::Nobody,
            Err(error) => Beside::Unknown(error),
        };
        let options = CaptureOptions {
            ring_bytes: 64 * 1024,
            tls: TlsLibraries::default(),
            ..options(config)
        };
        let mut capture = Capture::start(&options)?;
        let deadline = Instant::now() + args.time;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            // Taken out of the ring buffer, and not looked at.
            capture
                .poll_raw(left, &mut |_, _| {})
                .map_err(Failure::Source)?;
        }
        let maps = capture.maps().ok_or_else(|| {
            Failure::Setting("the kernel does not number its maps: Linux 4.13 does".to_owned())
        })?;
        Ok(Self::Own {
            maps,
            _held: Box::new(capture),
            beside,
        })
    }

    pub(super) fn agents(&self) -> &[AgentMaps] {
        match self {
            Self::Running(agents) => &agents.known,
            Self::Own { maps, .. } => std::slice::from_ref(maps),
        }
    }

    /// The state is that of this command.
    pub(super) const fn is_own(&self) -> bool {
        matches!(self, Self::Own { .. })
    }

    /// Whether an agent runs whose state cannot be read: what it captures is not known.
    pub(super) fn is_in_the_dark(&self) -> bool {
        match self {
            Self::Running(_) => false,
            Self::Own { beside, .. } => *beside != Beside::Nobody,
        }
    }

    /// Says whose state it is.
    pub(super) fn notice(&self) -> String {
        match self {
            Self::Running(agents) => running(agents),
            Self::Own { beside, .. } => alone(beside),
        }
    }
}

fn running(agents: &Agents) -> String {
    let mut text = match agents.known.as_slice() {
        [one] => format!("by {}, which runs", name(one)),
        all => format!("by {} agents that run: a line for each", all.len()),
    };
    if agents.foreign > 0 {
        text = format!("{text}; not by {}", foreign(agents.foreign));
    }
    text
}

fn alone(beside: &Beside) -> String {
    let looked = "looked at for a moment, with the configuration that was given";
    match beside {
        Beside::Nobody => format!("no agent runs: {looked}"),
        Beside::Foreign(count) => format!(
            "{} runs, whose state this one cannot read; {looked}",
            foreign(*count)
        ),
        Beside::Unknown(error) => format!(
            "whether an agent runs is not known, since the kernel lists its programs to \
             CAP_SYS_ADMIN alone: {error}; {looked}"
        ),
    }
}

fn foreign(count: usize) -> String {
    match count {
        1 => "an agent of another version of meshtap".to_owned(),
        count => format!("{count} agents of another version of meshtap"),
    }
}

/// How a person finds the agent.
pub(super) fn name(agent: &AgentMaps) -> String {
    match agent.pid {
        Some(pid) => format!("agent {pid}"),
        None => format!("the agent of BPF program {}", agent.program),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_cannot_be_read_is_said() {
        let check = |beside: Beside, words: &[&str]| {
            let said = alone(&beside);
            for word in words {
                assert!(said.contains(word), "{said}");
            }
        };
        check(Beside::Nobody, &["no agent runs"]);
        let refused = Beside::Unknown("EPERM".to_owned());
        check(refused, &["not known", "CAP_SYS_ADMIN", "EPERM"]);
        check(Beside::Foreign(1), &["an agent of another version"]);
        check(Beside::Foreign(2), &["2 agents of another version"]);
        let agents = Agents {
            known: Vec::new(),
            foreign: 1,
        };
        assert!(running(&agents).contains("not by an agent of another version"));
    }
}
