//! The thread that attaches the TLS hook to the programs and libraries of the node, as they come
//! and go.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::Weak;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::{Duration, Instant};

use super::privileges::{Use, drop_capabilities};
use crate::capture::kernel::{
    Capture, HookName, HookState, TargetState, TlsKeeper, TlsLibraries, TlsNotice,
};
use crate::capture::tls::discover::{Below, Candidate, Consent, Discovery, Programs, Verdict};
use crate::plural::counted;
use crate::workload::Workloads;

/// How often the calls of programs are looked at, and what has changed of them.
const LOOK: Duration = Duration::from_secs(1);

/// Says something to a person.
pub(super) type Report = Box<dyn Fn(&str) + Send>;

/// Whose programs are attached to.
pub(super) struct Whose {
    /// By the names of their files.
    pub(super) programs: Programs,
    /// Of these processes alone; empty: of all.
    pub(super) pids: Vec<u32>,
    /// By what they use.
    pub(super) libraries: TlsLibraries,
    /// By the rules of scope, once there is somebody who knows pods; without them every process.
    pub(super) workloads: Option<Receiver<Weak<Workloads>>>,
}

/// Who was named, who is in the captured cgroup, and whom the rules of scope and annotations admit.
struct InScope {
    pids: Vec<u32>,
    below: Option<Below>,
    workloads: Option<Weak<Workloads>>,
}

impl Consent for InScope {
    fn verdict(&self, candidate: &Candidate) -> Verdict {
        if !self.pids.is_empty() && !self.pids.contains(&candidate.pid) {
            return Verdict::Excluded;
        }
        let below = self.below.as_ref().map(|below| below.verdict(candidate));
        if below == Some(Verdict::Excluded) {
            return Verdict::Excluded;
        }
        let Some(workloads) = &self.workloads else {
            return Verdict::Admitted;
        };
        match workloads
            .upgrade()
            .and_then(|known| known.admits(&candidate.cgroup))
        {
            Some(true) => Verdict::Admitted,
            Some(false) => Verdict::Excluded,
            None => Verdict::Unknown,
        }
    }
}

/// Starts it, where the hook is in place; else says why it is not. The thread keeps what it needs
/// to attach, so start it before the rights are dropped.
///
/// # Errors
/// When there is no thread.
pub(super) fn start(capture: &mut Capture, whose: Whose, report: Report) -> io::Result<()> {
    for hook in capture.hooks() {
        if let (HookName::Tls, HookState::Refused { reason }) = (hook.name, &hook.state) {
            report(&format!("TLS is not read: {reason}"));
        }
    }
    let Some(probes) = capture.take_tls() else {
        return Ok(());
    };
    let below = Below::new(capture.cgroup());
    thread::Builder::new()
        .name("programs".into())
        .spawn(move || {
            // Needs no more, and is well without.
            let _ = drop_capabilities(Use::Programs);
            let (programs, libraries) = (whose.programs, whose.libraries);
            let (pids, workloads) = (whose.pids, whose.workloads);
            // Nobody sends them where the agent does not start.
            let Ok(workloads) = workloads.map(|known| known.recv()).transpose() else {
                return;
            };
            let scope = InScope {
                pids,
                below,
                workloads,
            };
            let mut keeper = TlsKeeper::new(probes, libraries);
            let mut discovery = Discovery::with_rules(programs, Box::new(scope));
            let mut refused = Refused::default();
            let first: Vec<_> = discovery
                .poll()
                .into_iter()
                .filter_map(|c| keeper.apply(c))
                .collect();
            report(&summary(&first, discovery.totals().unknown));
            first.iter().for_each(|notice| refused.note(notice));
            let mut spent = Duration::ZERO;
            loop {
                // Whatever there is to look at takes a quarter of a processor at most.
                thread::sleep(LOOK.max(3 * spent));
                let start = Instant::now();
                let changes = discovery.poll();
                let notices = changes
                    .into_iter()
                    .filter_map(|change| keeper.apply(change));
                let notices: Vec<_> = notices.collect();
                for notice in notices.iter().chain(&keeper.guard()) {
                    if !refused.has(notice) {
                        refused.note(notice);
                        report(&format!("TLS: {}", text(notice)));
                    }
                }
                spent = start.elapsed();
            }
        })?;
    Ok(())
}

/// Files that were refused, and reported: each is once, however often its program runs.
#[derive(Debug, Default)]
struct Refused(HashSet<PathBuf>);

impl Refused {
    /// Files that are remembered.
    const MOST: usize = 1024;

    /// A file that was refused before, and runs again.
    fn has(&self, notice: &TlsNotice) -> bool {
        matches!(notice.state, TargetState::Refused(_)) && self.0.contains(&notice.path)
    }

    /// Remembers what is reported.
    fn note(&mut self, notice: &TlsNotice) {
        if matches!(notice.state, TargetState::Refused(_)) && self.0.len() < Self::MOST {
            self.0.insert(notice.path.clone());
        }
    }
}

/// What was found at the start, in one line. `unknown`: processes whose pods are not known yet.
fn summary(notices: &[TlsNotice], unknown: usize) -> String {
    let mut texts: Vec<_> = notices.iter().map(text).collect();
    match (texts.is_empty(), unknown) {
        (true, 0) => texts.push("no program with a TLS library runs".to_owned()),
        (_, 0) => {}
        (_, unknown) => {
            let processes = counted(unknown as u64, "process");
            texts.push(format!("pods not known yet of {processes}"));
        }
    }
    format!("TLS: {}", texts.join("; "))
}

fn text(notice: &TlsNotice) -> String {
    let path = notice.path.display();
    match &notice.state {
        TargetState::Attached(how, users) => {
            format!(
                "reading {path} ({how}, {})",
                counted(*users as u64, "process")
            )
        }
        TargetState::Refused(reason) => format!("not reading {path} ({reason})"),
        TargetState::Gone => format!("{path} is not in use any more"),
        TargetState::Doubted(doubt) => format!("not reading {path} any more ({})", doubt.text()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_that_are_named_are_read_alone() {
        let verdict = |pids: &[u32]| {
            let scope = InScope {
                pids: pids.to_vec(),
                below: None,
                workloads: None,
            };
            scope.verdict(&Candidate {
                pid: 7,
                program: "curl".to_owned(),
                cgroup: "/a".to_owned(),
            })
        };
        assert_eq!(verdict(&[]), Verdict::Admitted);
        assert_eq!(verdict(&[6, 7]), Verdict::Admitted);
        assert_eq!(verdict(&[6]), Verdict::Excluded);
    }

    #[test]
    fn a_refused_file_is_reported_once() {
        let notice = |path: &str, state| TlsNotice {
            path: path.into(),
            state,
        };
        let mut refused = Refused::default();
        let curl = notice("/usr/bin/curl", TargetState::Refused("stripped".into()));
        assert!(!refused.has(&curl));
        refused.note(&curl);
        assert!(refused.has(&curl));
        // What becomes of it later is reported, and so is another file.
        let gone = notice("/usr/bin/curl", TargetState::Gone);
        refused.note(&gone);
        assert!(!refused.has(&gone));
        let wget = notice("/usr/bin/wget", TargetState::Refused("stripped".into()));
        assert!(!refused.has(&wget));
        for n in 0..2 * Refused::MOST {
            refused.note(&notice(&n.to_string(), TargetState::Refused("x".into())));
        }
        assert_eq!(refused.0.len(), Refused::MOST);
    }
}
