//! `meshtap explain`: why live sockets are, or are not, captured.
//!
//! Where an agent runs, the state that its BPF programs keep of each socket says so; it is read
//! through `sock_diag(7)`, which shows what is stored with a socket. Where none runs, the programs
//! are attached for a moment, and what they made of the sockets is read. Nothing that they copy is
//! looked at.

mod cgroups;
mod older;
mod text;
mod verdict;
mod witness;

use std::io::Write as _;

use meshtap_common::{FLOW_STATE_DORMANT, FLOW_STATE_WAITING, FlowReport};

use super::{Failure, configure, pids};
use crate::capture::kernel::{AgentMaps, cgroup_root, others};
use crate::cli::{ExplainArgs, ExportArgs, RunArgs};
use crate::config::KubernetesSection;
use crate::process::{LiveSocket, Survey, survey};
use crate::workload::{PodPlace, find_pod};
use cgroups::Cgroups;
use older::TlsPrograms;
use text::{Agent, Explained, Page, Said};
use verdict::{Known, Place, Stored, explain};
use witness::Witness;

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
    let pod = pod(args, &config.kubernetes)?;
    let uid = pod.as_ref().map(|pod| pod.uid.as_str());
    let root = cgroup_root(config.capture.cgroup.as_deref())?;
    let witness = Witness::new(args, &config)?;
    let cgroups = Cgroups::below(&root);
    let found = survey(args.pid, |socket| is_wanted(socket, args, uid, &cgroups));
    let found = found.map_err(Failure::Source)?;
    let page = Page {
        sockets: explained(&found, &witness, &cgroups),
        notice: witness.notice(),
        unseen: text::unseen(&found),
        next: text::next_step(args, pod.as_ref()),
    };
    let mut out = std::io::stdout().lock();
    match args.json {
        true => writeln!(out, "{:#}", page.json()),
        false => out.write_all(page.lines().as_bytes()),
    }
    .map_err(Failure::Output)
}

/// The pod that is asked for. One that is known to be elsewhere has no socket here.
fn pod(args: &ExplainArgs, section: &KubernetesSection) -> Result<Option<PodPlace>, Failure> {
    let Some(asked) = &args.pod else {
        return Ok(None);
    };
    let found = find_pod(section, &asked.namespace, &asked.name)
        .map_err(|reason| Failure::Setting(format!("--pod: {reason}")))?;
    match (&found.node, &section.node) {
        (Some(node), Some(own)) if node != own => Err(Failure::Setting(format!(
            "--pod: {}/{} is on node {node}, and this is {own}: run the command there",
            asked.namespace, asked.name
        ))),
        _ => Ok(Some(found)),
    }
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

fn explained(found: &Survey, witness: &Witness, cgroups: &Cgroups) -> Vec<Explained> {
    let sockmaps = others().map(|others| others.sockmaps).unwrap_or_default();
    let programs = tls_programs(found, witness);
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
            asked: agent.asked(socket.socket),
            older_tls: (socket.process.as_ref())
                .and_then(|process| programs.before(process.pid, agent.pid)),
            is_mid_stream: witness.is_own(),
        };
        let said = explain(&known);
        let verdict = match witness.is_in_the_dark() {
            true => said.of_this_command(),
            false => said,
        };
        Said {
            agent: (!witness.is_own()).then(|| Agent::of(agent)),
            verdict,
        }
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

/// Every process with a TLS library, where one matters: of a socket on which no HTTP was met.
fn tls_programs(found: &Survey, witness: &Witness) -> TlsPrograms {
    let has_no_http = |socket: &LiveSocket, agent: &AgentMaps| match stored(socket, agent, found) {
        Stored::There(flow) => matches!(flow.state, FLOW_STATE_WAITING | FLOW_STATE_DORMANT),
        Stored::Absent | Stored::Unreadable(_) => false,
    };
    let matters = found.sockets.iter().any(|socket| {
        let mut agents = witness.agents().iter();
        agents.any(|agent| has_no_http(socket, agent))
    });
    match matters {
        true => TlsPrograms::of_this_machine(),
        false => TlsPrograms::default(),
    }
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
