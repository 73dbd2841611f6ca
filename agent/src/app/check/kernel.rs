//! What the kernel gives: its version, capabilities, maps, and every hook.

use rustix::thread::CapabilitySet;

use super::row::{Need, Row};
use crate::capture::kernel::{CaptureError, HookName, HookState, HookStatus, Others, Trial};
use crate::config::Config;
use crate::signal::span::Profile;

/// What was found.
#[derive(Debug)]
pub(super) struct Kernel {
    pub(super) trial: Trial,
    pub(super) ring_buffer: Result<bool, String>,
    pub(super) socket_storage: Result<bool, String>,
    /// `/sys/kernel/security/lockdown`; the error where there is none.
    pub(super) lockdown: Result<String, String>,
    /// Whether `/sys/kernel/btf/vmlinux` can be read.
    pub(super) types: Result<(), String>,
    /// The kernel has probes of user space (`perf_event_open(2)`).
    pub(super) has_uprobes: bool,
    pub(super) others: Result<Others, String>,
}

/// CAP_SYS_ADMIN stands in for CAP_BPF and CAP_PERFMON (capabilities(7)).
const CAPTURE: [(&str, CapabilitySet); 3] = [
    ("CAP_BPF", CapabilitySet::BPF),
    ("CAP_NET_ADMIN", CapabilitySet::NET_ADMIN),
    ("CAP_PERFMON", CapabilitySet::PERFMON),
];
const PROCESSES: [(&str, CapabilitySet); 3] = [
    ("CAP_SYS_PTRACE", CapabilitySet::SYS_PTRACE),
    ("CAP_DAC_READ_SEARCH", CapabilitySet::DAC_READ_SEARCH),
    ("CAP_SYS_ADMIN", CapabilitySet::SYS_ADMIN),
];

/// The rows.
pub(super) fn rows(kernel: &Kernel, config: &Config, has: CapabilitySet) -> Vec<Row> {
    let tls = config.capture.tls.is_on();
    let mut rows = vec![
        version(&kernel.trial),
        capture_rights(has),
        process_rights(has, tls || config.span.profile == Profile::Semconv),
        cgroup(&kernel.trial),
        map("ring buffer", "5.8", &kernel.ring_buffer),
        map("socket storage", "5.2", &kernel.socket_storage),
    ];
    match &kernel.trial.hooks {
        Ok(hooks) => rows.extend(hooks.iter().map(hook)),
        Err(error) => rows.push(programs(error)),
    }
    if !tls {
        rows.push(Row::idle("hook tls", "capture.tls is off"));
    }
    rows.push(types(&kernel.types, tls));
    rows.push(uprobes(kernel.has_uprobes, tls));
    rows.push(lockdown(&kernel.lockdown, tls));
    rows.extend(others(&kernel.others));
    rows
}

fn version(trial: &Trial) -> Row {
    let name = "kernel";
    match &trial.hooks {
        Err(CaptureError::Kernel { release }) => Row::missing(
            name,
            Need::Capture,
            format!("{release} is older than 5.10"),
            "run it on Linux 5.10 or newer",
        ),
        _ => Row::ok(name, trial.release.clone()),
    }
}

fn lacking(has: CapabilitySet, wanted: &[(&str, CapabilitySet)]) -> String {
    let stands_in = |one: CapabilitySet| {
        has.contains(CapabilitySet::SYS_ADMIN)
            && (one == CapabilitySet::BPF || one == CapabilitySet::PERFMON)
    };
    let lacking = wanted
        .iter()
        .filter(|(_, one)| !has.contains(*one) && !stands_in(*one));
    let names: Vec<_> = lacking.map(|(name, _)| *name).collect();
    names.join(", ")
}

fn capture_rights(has: CapabilitySet) -> Row {
    let name = "capabilities";
    match lacking(has, &CAPTURE) {
        lacking if lacking.is_empty() => Row::ok(name, "CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON"),
        lacking => Row::missing(
            name,
            Need::Capture,
            format!("{lacking}: not in the effective set"),
            "run it as root; in a pod add them under securityContext.capabilities",
        ),
    }
}

fn process_rights(has: CapabilitySet, are_wanted: bool) -> Row {
    let name = "process names";
    match lacking(has, &PROCESSES) {
        lacking if lacking.is_empty() => {
            Row::ok(name, "CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH, CAP_SYS_ADMIN")
        }
        lacking if are_wanted => Row::missing(
            name,
            Need::Feature,
            format!("{lacking}: not in the effective set"),
            "add them: deploy/README.md gives the reason of each",
        ),
        lacking => Row::idle(
            name,
            format!("no need of {lacking}: nothing asks for names"),
        ),
    }
}

fn cgroup(trial: &Trial) -> Row {
    let name = "cgroup v2";
    match &trial.cgroup {
        Ok(path) => Row::ok(name, format!("mounted at {}", path.display())),
        Err(error) => Row::missing(
            name,
            Need::Capture,
            error.to_string(),
            "in a pod mount the node's /sys/fs/cgroup; elsewhere mount cgroup2",
        ),
    }
}

fn map(name: &str, since: &str, found: &Result<bool, String>) -> Row {
    match found {
        Ok(true) => Row::ok(name, format!("there (Linux {since} and newer)")),
        Ok(false) => Row::missing(
            name,
            Need::Capture,
            "this kernel has no such map",
            format!("run it on Linux {since} or newer"),
        ),
        Err(error) => Row::idle(name, format!("cannot be tried: {error}")),
    }
}

/// None of the hooks could be tried, or none that captures is allowed.
fn programs(error: &CaptureError) -> Row {
    let remedy = match error {
        CaptureError::Privilege { .. } => "see the row of capabilities",
        CaptureError::Kernel { .. } => "see the row of the kernel",
        CaptureError::Memory { .. } => {
            "LimitMEMLOCK=infinity in the unit, or a smaller capture.ring"
        }
        CaptureError::NoPrograms => "cargo xtask build --release",
        CaptureError::Attach { .. } => "bpftool cgroup tree shows what is attached",
        _ => "report the line, with uname -r",
    };
    Row::missing("hooks", Need::Capture, error.to_string(), remedy)
}

fn hook(status: &HookStatus) -> Row {
    let name = format!("hook {}", status.name.label());
    let attached = match status.name {
        HookName::Tls => "loaded; attached to files as they come",
        _ => "loaded and attached",
    };
    match &status.state {
        HookState::Attached => {
            Row::ok(&name, format!("{attached}: {}", status.programs.join(", ")))
        }
        HookState::Refused { reason } => {
            let need = match status.name {
                HookName::Socket => Need::Capture,
                _ => Need::Feature,
            };
            Row::missing(&name, need, reason.clone(), status.without)
        }
    }
}

fn types(found: &Result<(), String>, are_wanted: bool) -> Row {
    let name = "btf";
    match found {
        Ok(()) => Row::ok(name, "/sys/kernel/btf/vmlinux"),
        Err(error) if are_wanted => Row::missing(
            name,
            Need::Feature,
            error.clone(),
            "use a kernel with CONFIG_DEBUG_INFO_BTF: TLS is left alone without it",
        ),
        Err(error) => Row::idle(name, format!("{error}; only TLS needs it")),
    }
}

fn uprobes(are_there: bool, are_wanted: bool) -> Row {
    let name = "uprobes";
    match (are_there, are_wanted) {
        (true, _) => Row::ok(
            name,
            "there; attached one by one (uprobe_multi is not used)",
        ),
        (false, false) => Row::idle(name, "not there; only TLS needs them"),
        (false, true) => Row::missing(
            name,
            Need::Feature,
            "/sys/bus/event_source/devices/uprobe is not there",
            "use a kernel with CONFIG_UPROBE_EVENTS: TLS is left alone without it",
        ),
    }
}

/// `none [integrity] confidentiality`: the mode stands in brackets (kernel_lockdown(7)).
fn lockdown(found: &Result<String, String>, tls: bool) -> Row {
    let name = "lockdown";
    let Ok(modes) = found else {
        return Row::idle(name, "this kernel does not say");
    };
    let mode = modes
        .split_whitespace()
        .find_map(|word| word.strip_prefix('[')?.strip_suffix(']'));
    match mode {
        Some("confidentiality") if tls => Row::missing(
            name,
            Need::Feature,
            "confidentiality: BPF programs may not read kernel memory",
            "boot with lockdown=integrity, or leave capture.tls.enabled off",
        ),
        Some(mode) => Row::ok(name, mode),
        None => Row::idle(name, format!("not understood: {}", modes.trim())),
    }
}

fn others(found: &Result<Others, String>) -> Vec<Row> {
    let (beside, joined) = ("other programs", "sockmaps");
    let others = match found {
        Ok(others) => others,
        Err(error) => {
            let why = format!("cannot be listed without CAP_SYS_ADMIN: {error}");
            return vec![Row::idle(beside, why.clone()), Row::idle(joined, why)];
        }
    };
    let mut text = match others.programs.as_slice() {
        [] => "none of others on the same hooks".to_owned(),
        names => format!("beside these of others: {}", names.join(", ")),
    };
    if others.agents > 0 {
        text = format!("{text}; meshtap runs already: {}", others.agents);
    }
    let joined = match others.sockmaps.as_slice() {
        [] => Row::ok(joined, "none"),
        // Of others, and nothing is asked of it: whether a socket is in one is not said.
        names => Row::idle(
            joined,
            format!(
                "there are: {}; a socket that is in one carries no packets and is not seen",
                names.join(", ")
            ),
        ),
    };
    vec![Row::ok(beside, text), joined]
}

#[cfg(test)]
mod tests {
    use super::super::row::Presence;
    use super::*;

    const MISSED: Presence = Presence::Missing(Need::Capture);
    const LESS: Presence = Presence::Missing(Need::Feature);

    #[track_caller]
    fn check(row: &Row, presence: Presence, why: &str) {
        assert_eq!(row.presence, presence, "{row:?}");
        assert!(row.why.contains(why), "{row:?}");
        let has_remedy = !row.remedy.is_empty();
        assert_eq!(
            has_remedy,
            matches!(presence, Presence::Missing(_)),
            "{row:?}"
        );
    }

    fn trial(hooks: Result<Vec<HookStatus>, CaptureError>) -> Trial {
        Trial {
            release: "6.1.0".to_owned(),
            cgroup: Ok("/sys/fs/cgroup".into()),
            hooks,
        }
    }

    #[test]
    fn versions() {
        check(&version(&trial(Ok(Vec::new()))), Presence::Ok, "6.1.0");
        let old = CaptureError::Kernel {
            release: "5.4.0".to_owned(),
        };
        check(&version(&trial(Err(old))), MISSED, "5.4.0 is older");
    }

    #[test]
    fn each_capability_is_named() {
        let all = CapabilitySet::BPF | CapabilitySet::NET_ADMIN | CapabilitySet::PERFMON;
        check(&capture_rights(all), Presence::Ok, "CAP_BPF");
        for (name, one) in CAPTURE {
            let row = capture_rights(all - one);
            check(&row, MISSED, &format!("{name}: not in"));
        }
        // CAP_SYS_ADMIN stands in for two of them.
        let admin = CapabilitySet::SYS_ADMIN;
        check(&capture_rights(admin), MISSED, "CAP_NET_ADMIN: not");
        check(
            &capture_rights(admin | CapabilitySet::NET_ADMIN),
            Presence::Ok,
            "",
        );
    }

    #[test]
    fn names_of_processes_are_missed_where_they_are_wanted() {
        let none = CapabilitySet::empty();
        check(&process_rights(none, false), Presence::NotApplicable, "");
        check(&process_rights(none, true), LESS, "CAP_SYS_PTRACE");
        let all = PROCESSES.iter().fold(none, |all, (_, one)| all | *one);
        check(&process_rights(all, true), Presence::Ok, "");
        for (name, one) in PROCESSES {
            check(&process_rights(all - one, true), LESS, name);
        }
    }

    #[test]
    fn maps_and_cgroups() {
        let row = |found| map("ring buffer", "5.8", &found);
        check(&row(Ok(true)), Presence::Ok, "");
        check(&row(Ok(false)), MISSED, "no such map");
        let refused = Err("bpf_map_create: EPERM".to_owned());
        check(&row(refused), Presence::NotApplicable, "EPERM");
        check(&cgroup(&trial(Ok(Vec::new()))), Presence::Ok, "/sys/fs");
        let absent = Trial {
            cgroup: Err(CaptureError::NoCgroup),
            ..trial(Ok(Vec::new()))
        };
        check(&cgroup(&absent), MISSED, "no cgroup v2");
    }

    #[test]
    fn a_hook_that_is_refused() {
        let row = |name, state| {
            hook(&HookStatus {
                name,
                without: "less is known",
                programs: vec!["meshtap_x"],
                state,
            })
        };
        let refused = || HookState::Refused {
            reason: "the kernel says no".to_owned(),
        };
        check(
            &row(HookName::Socket, HookState::Attached),
            Presence::Ok,
            "meshtap_x",
        );
        check(&row(HookName::Socket, refused()), MISSED, "says no");
        for name in [HookName::Owner, HookName::Connection, HookName::Tls] {
            check(&row(name, refused()), LESS, "says no");
        }
        let missing = "CAP_BPF".to_owned();
        check(
            &programs(&CaptureError::Privilege { missing }),
            MISSED,
            "CAP_BPF",
        );
        check(
            &programs(&CaptureError::NoPrograms),
            MISSED,
            "without its kernel",
        );
    }

    #[test]
    fn what_only_tls_needs() {
        let absent = || Err("there is none".to_owned());
        check(
            &types(&absent(), false),
            Presence::NotApplicable,
            "only TLS",
        );
        check(&types(&absent(), true), LESS, "there is none");
        check(&types(&Ok(()), true), Presence::Ok, "");
        check(&uprobes(false, false), Presence::NotApplicable, "");
        check(&uprobes(false, true), LESS, "");
        check(&uprobes(true, true), Presence::Ok, "");
        let locked = |text: &str, tls| lockdown(&Ok(text.to_owned()), tls);
        check(
            &locked("[none] integrity confidentiality\n", true),
            Presence::Ok,
            "none",
        );
        check(
            &locked("none integrity [confidentiality]", true),
            LESS,
            "kernel memory",
        );
        check(
            &locked("none integrity [confidentiality]", false),
            Presence::Ok,
            "",
        );
        check(
            &locked("?", true),
            Presence::NotApplicable,
            "not understood",
        );
        let unknown = lockdown(&Err("not mounted".to_owned()), true);
        check(&unknown, Presence::NotApplicable, "");
    }

    #[test]
    fn what_others_have() {
        let found = Others {
            programs: vec!["sd_fw_egress".to_owned()],
            sockmaps: vec!["cilium_sock_ops".to_owned()],
            agents: 1,
        };
        let rows = others(&Ok(found));
        check(&rows[0], Presence::Ok, "sd_fw_egress; meshtap runs already");
        check(&rows[1], Presence::NotApplicable, "cilium_sock_ops");
        let rows = others(&Ok(Others::default()));
        check(&rows[0], Presence::Ok, "none of others");
        check(&rows[1], Presence::Ok, "none");
        for row in others(&Err("EPERM".to_owned())) {
            check(&row, Presence::NotApplicable, "EPERM");
        }
    }
}
