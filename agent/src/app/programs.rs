//! The thread that attaches the TLS hook to the programs and libraries of the node, as they come
//! and go.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use super::privileges::{Use, drop_capabilities};
use crate::capture::kernel::{Capture, HookName, HookState, TargetState, TlsKeeper, TlsNotice};
use crate::capture::tls::discover::{Below, Consent, Discovery, Everyone, Programs};

/// How often the calls of programs are looked at, and what has changed of them.
const LOOK: Duration = Duration::from_secs(1);

/// Says something to a person.
pub(super) type Report = Box<dyn Fn(&str) + Send>;

/// Files of which it is remembered that they were refused. Each is reported once, however often
/// its program runs.
const REFUSED: usize = 1024;

/// Starts it, where the hook is in place; else says why it is not. Only processes in the captured
/// cgroup are attached to. The thread keeps what it needs to attach, so start it before the rights
/// are dropped.
///
/// # Errors
/// When there is no thread.
pub(super) fn start(capture: &mut Capture, programs: Programs, report: Report) -> io::Result<()> {
    for hook in capture.hooks() {
        if let (HookName::Tls, HookState::Refused { reason }) = (hook.name, &hook.state) {
            report(&format!("TLS is not read: {reason}"));
        }
    }
    let Some(probes) = capture.take_tls() else {
        return Ok(());
    };
    let consent: Box<dyn Consent> = match Below::new(capture.cgroup()) {
        Some(below) => Box::new(below),
        None => Box::new(Everyone),
    };
    thread::Builder::new()
        .name("programs".into())
        .spawn(move || {
            // Needs no more, and is well without.
            let _ = drop_capabilities(Use::Programs);
            let mut keeper = TlsKeeper::new(probes);
            let mut discovery = Discovery::with_rules(programs, consent);
            let mut refused = HashSet::new();
            let first: Vec<_> = discovery
                .poll()
                .into_iter()
                .filter_map(|c| keeper.apply(c))
                .collect();
            report(&summary(&first));
            first.iter().for_each(|notice| {
                is_first(notice, &mut refused);
            });
            loop {
                thread::sleep(LOOK);
                let changes = discovery.poll();
                let notices = changes
                    .into_iter()
                    .filter_map(|change| keeper.apply(change));
                let notices: Vec<_> = notices.collect();
                for notice in notices.iter().chain(&keeper.guard()) {
                    if is_first(notice, &mut refused) {
                        report(&format!("TLS: {}", text(notice)));
                    }
                }
            }
        })?;
    Ok(())
}

/// Whether it is to be reported: a file that was refused before, and runs again, is not.
fn is_first(notice: &TlsNotice, refused: &mut HashSet<PathBuf>) -> bool {
    match notice.state {
        TargetState::Refused(_) if refused.contains(&notice.path) => false,
        TargetState::Refused(_) => {
            if refused.len() < REFUSED {
                refused.insert(notice.path.clone());
            }
            true
        }
        _ => true,
    }
}

/// What was found at the start, in one line.
fn summary(notices: &[TlsNotice]) -> String {
    if notices.is_empty() {
        return "TLS: no program with a TLS library runs".to_owned();
    }
    let texts: Vec<_> = notices.iter().map(text).collect();
    format!("TLS: {}", texts.join("; "))
}

fn text(notice: &TlsNotice) -> String {
    let path = notice.path.display();
    match &notice.state {
        TargetState::Attached(how, users) => {
            let processes = match users {
                1 => "process",
                _ => "processes",
            };
            format!("reading {path} ({how}, {users} {processes})")
        }
        TargetState::Refused(reason) => format!("not reading {path} ({reason})"),
        TargetState::Gone => format!("{path} is not in use any more"),
        TargetState::Doubted(doubt) => format!("not reading {path} any more ({})", doubt.text()),
    }
}
