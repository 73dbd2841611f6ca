//! `meshtap explain`: why live sockets are, or are not, captured.
//!
//! Where an agent runs, the state that its BPF programs keep of each socket says so; it is read
//! through `sock_diag(7)`, which shows what is stored with a socket. Where none runs, the programs
//! are attached for a moment, and what they made of the sockets is read. Nothing that they copy is
//! looked at.

mod cgroups;
mod text;
mod verdict;

use std::io::Write as _;
use std::time::Instant;

use meshtap_common::FlowReport;

use super::settings::options;
use super::{Failure, configure, pids};
use crate::capture::kernel::{
    AgentMaps, Capture, CaptureOptions, TlsLibraries, agents, cgroup_root, others,
};
use crate::cli::{ExplainArgs, ExportArgs, RunArgs};
use crate::config::Config;
use crate::process::{LiveSocket, Survey, survey};
use crate::workload::pod_uid;
use cgroups::Cgroups;
use text::Explained;
use verdict::{Known, Place, Stored, explain};

/// Whose state it is.
enum Witness {
    /// Agents that run.
    Running(Vec<AgentMaps>),
    /// This command, for a moment: the state is there as long as the capture lives.
    Own {
        maps: AgentMaps,
        _held: Box<Capture>,
    },
}

impl Witness {
    fn agents(&self) -> &[AgentMaps] {
        match self {
            Self::Running(agents) => agents,
            Self::Own { maps, .. } => std::slice::from_ref(maps),
        }
    }
}

/// Runs the command.
pub(super) fn run(args: &ExplainArgs) -> Result<(), Failure> {
    pids::check(args.pid.as_slice())?;
    let config = configure::load(&RunArgs {
        config: args.config.clone(),
        set: args.set.clone(),
        export: ExportArgs::default(),
        no_redact: false,
        ledger_json: None,
    })?;
    let uid = match &args.pod {
        None => None,
        Some(pod) => Some(
            pod_uid(&config.kubernetes, &pod.namespace, &pod.name)
                .map_err(|reason| Failure::Setting(format!("--pod: {reason}")))?,
        ),
    };
    let root = cgroup_root(config.capture.cgroup.as_deref())?;
    let witness = witness(args, &config)?;
    let cgroups = Cgroups::below(&root);
    let found = survey(args.pid, |socket| {
        is_wanted(socket, args, uid.as_deref(), &cgroups)
    });
    let found = found.map_err(Failure::Source)?;
    let explained = explained(&found, &witness, &cgroups);
    let mut out = std::io::stdout().lock();
    match args.json {
        true => writeln!(
            out,
            "{:#}",
            text::json(&explained, &found, &notice(&witness))
        ),
        false => out.write_all(text::lines(&explained, &found, &notice(&witness)).as_bytes()),
    }
    .map_err(Failure::Output)
}

/// Besides `--pid`.
fn is_wanted(
    socket: &LiveSocket,
    args: &ExplainArgs,
    uid: Option<&str>,
    cgroups: &Cgroups,
) -> bool {
    let ports = [socket.local.port(), socket.remote.port()];
    let by_port = args.port.iter().any(|port| ports.contains(port));
    let by_pod = uid.is_some_and(|uid| {
        socket
            .cgroup
            .is_some_and(|cgroup| cgroups.is_of_pod(cgroup, uid))
    });
    args.pid.is_some() || by_port || by_pod
}

/// The agents that run, or else this command, after it has looked for a while.
fn witness(args: &ExplainArgs, config: &Config) -> Result<Witness, Failure> {
    // Not listed without CAP_SYS_ADMIN; what is attached then is beside whoever runs.
    let running = agents().unwrap_or_default();
    if !running.is_empty() {
        return Ok(Witness::Running(running));
    }
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
    Ok(Witness::Own {
        maps,
        _held: Box::new(capture),
    })
}

fn notice(witness: &Witness) -> String {
    match witness {
        Witness::Running(agents) => match agents.len() {
            1 => "by the agent that runs".to_owned(),
            count => format!("by {count} agents that run: a line for each"),
        },
        Witness::Own { .. } => {
            "no agent runs: looked at for a moment, with the configuration that was given"
                .to_owned()
        }
    }
}

fn explained(found: &Survey, witness: &Witness, cgroups: &Cgroups) -> Vec<Explained> {
    let sockmaps = others().map(|others| others.sockmaps).unwrap_or_default();
    let is_mid_stream = matches!(witness, Witness::Own { .. });
    let one = |socket: &LiveSocket, agent: &AgentMaps| {
        let place = match socket.cgroup {
            Some(id) if agent.excluded.contains(&id) => Place::Excluded,
            Some(id) if cgroups.is_outside(id) => Place::Outside,
            Some(id) if agent.cgroup.is_some_and(|top| cgroups.is_beside(id, top)) => {
                Place::Outside
            }
            _ => Place::Inside,
        };
        let known = Known {
            is_listener: socket.is_listener,
            ports: (socket.local.port(), socket.remote.port()),
            mark: socket.mark,
            upper: socket.upper.as_deref(),
            place,
            flow: stored(socket, agent, found),
            config: &agent.config,
            sockmaps: &sockmaps,
            is_mid_stream,
        };
        explain(&known)
    };
    let mut all: Vec<_> = (found.sockets.iter())
        .map(|socket| Explained {
            socket: socket.clone(),
            cgroup: socket.cgroup.and_then(|id| cgroups.path(id)),
            verdicts: (witness.agents().iter())
                .map(|agent| one(socket, agent))
                .collect(),
        })
        .collect();
    all.sort_by_key(|one| {
        let socket = &one.socket;
        (
            !socket.is_listener,
            socket.local.port(),
            socket.remote.port(),
            socket.socket.0,
        )
    });
    all
}

fn stored(socket: &LiveSocket, agent: &AgentMaps, found: &Survey) -> Stored {
    if let Some(error) = &found.storage_refused {
        return Stored::Unreadable(error.clone());
    }
    let value = socket.stored.iter().find(|(map, _)| *map == agent.flows);
    match value.map(|(_, value)| FlowReport::read(value)) {
        Some(Some(report)) => Stored::There(report),
        Some(None) => Stored::Unreadable("it is of another version of meshtap".to_owned()),
        None => Stored::Absent,
    }
}
