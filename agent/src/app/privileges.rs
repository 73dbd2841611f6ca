//! What the process may do: no more than it needs, from the moment on at which it does not need it
//! any more.

use std::fs;
use std::io;

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, set_capabilities,
    set_no_new_privs,
};

/// From this version on, maps that are open can be used without CAP_BPF, whatever
/// `kernel.unprivileged_bpf_disabled` says.
const OPEN_MAPS: (u32, u32) = (5, 19);

/// What stays after the capture was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Nothing but the open maps.
    Capture,
    /// And the names of processes: `/proc/PID/fd` of other users, sockets of other network
    /// namespaces.
    Processes,
    /// And attaching to the programs of processes as they come and go. Of one thread, which reads
    /// files and no traffic.
    Programs,
}

/// Enough for the probes of every file that is attached to at most, and all else.
const DESCRIPTORS: u64 = 32 * 1024;

/// Nobody else reads what this process holds: no core dump, no ptrace by the same user, no new
/// rights by exec.
pub(super) fn harden() {
    // Each can only fail where a sandbox forbids the call, and then forbids more than this.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let _ = setrlimit(Resource::Core, none);
    // A probe in a function of a TLS library takes two; many systems give 1024 unless asked.
    let own = getrlimit(Resource::Nofile);
    let more = own
        .maximum
        .map_or(DESCRIPTORS, |most| most.min(DESCRIPTORS));
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: own.current.map(|current| current.max(more)),
            ..own
        },
    );
    let _ = set_no_new_privs(true);
}

/// Fewer files than this are not enough to attach the programs and to read what they record.
const FEWEST_DESCRIPTORS: u64 = 128;

/// Whether so many files may be open as a capture needs.
///
/// # Errors
/// Says how many may be, and where that is set.
pub(super) fn can_open_enough() -> Result<(), String> {
    match getrlimit(Resource::Nofile).current {
        Some(most) if most < FEWEST_DESCRIPTORS => Err(too_few(most)),
        _ => Ok(()),
    }
}

fn too_few(most: u64) -> String {
    format!(
        "only {most} files may be open at a time, which is too few to capture: allow \
         {FEWEST_DESCRIPTORS} or more (`ulimit -n {DESCRIPTORS}`, LimitNOFILE= of a unit)"
    )
}

/// Gives up the capabilities that are not needed any more, for this thread and those that it starts
/// from now on.
///
/// # Errors
/// When the kernel refuses, which it never does for fewer capabilities.
pub(super) fn drop_capabilities(needed: Use) -> io::Result<()> {
    let has = capabilities(None)?;
    let keep = kept(needed, open_maps_need_bpf());
    let sets = CapabilitySets {
        effective: has.effective & keep,
        permitted: has.permitted & keep,
        inheritable: CapabilitySet::empty(),
    };
    // An ambient set is there from Linux 4.3 on.
    let _ = clear_ambient_capability_set();
    Ok(set_capabilities(None, sets)?)
}

fn kept(needed: Use, maps_need_bpf: bool) -> CapabilitySet {
    let mut kept = CapabilitySet::empty();
    if maps_need_bpf {
        kept |= CapabilitySet::BPF;
    }
    if needed != Use::Capture {
        kept |=
            CapabilitySet::SYS_PTRACE | CapabilitySet::DAC_READ_SEARCH | CapabilitySet::SYS_ADMIN;
    }
    if needed == Use::Programs {
        kept |= CapabilitySet::BPF | CapabilitySet::PERFMON | CapabilitySet::NET_ADMIN;
    }
    kept
}

/// Older kernels ask for CAP_BPF at every use of a map, where unprivileged use of BPF is off
/// (bpf(2); kernel commit c8644cd0efe7).
fn open_maps_need_bpf() -> bool {
    let is_off = fs::read_to_string("/proc/sys/kernel/unprivileged_bpf_disabled")
        .map_or(true, |text| text.trim() != "0");
    let release = rustix::system::uname();
    let is_old = version(&release.release().to_string_lossy()).is_none_or(|v| v < OPEN_MAPS);
    is_off && is_old
}

/// The first two numbers of a release: `6.1.0-13-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases() {
        let check = |release, expected| assert_eq!(version(release), expected, "{release}");
        check("6.1.0-13-amd64", Some((6, 1)));
        check("5.10.0", Some((5, 10)));
        check("6.18+", Some((6, 18)));
        check("6", None);
        check("", None);
        assert!(version("5.19.0") >= Some(OPEN_MAPS) && version("5.18.99") < Some(OPEN_MAPS));
    }

    #[test]
    fn only_what_is_needed_is_kept() {
        let check = |needed, bpf, expected: CapabilitySet| assert_eq!(kept(needed, bpf), expected);
        let processes =
            CapabilitySet::SYS_PTRACE | CapabilitySet::DAC_READ_SEARCH | CapabilitySet::SYS_ADMIN;
        check(Use::Capture, false, CapabilitySet::empty());
        check(Use::Capture, true, CapabilitySet::BPF);
        check(Use::Processes, false, processes);
        check(Use::Processes, true, processes | CapabilitySet::BPF);
        let programs = CapabilitySet::BPF | CapabilitySet::PERFMON | CapabilitySet::NET_ADMIN;
        check(Use::Programs, false, processes | programs);
    }

    #[test]
    fn a_thread_has_no_more_than_it_keeps_and_its_threads_no_more_than_it() {
        // A thread of its own: capabilities are a thread's.
        let sets = std::thread::spawn(|| {
            drop_capabilities(Use::Processes).unwrap();
            let child = std::thread::spawn(|| capabilities(None).unwrap());
            (capabilities(None).unwrap(), child.join().unwrap())
        });
        let (own, child) = sets.join().unwrap();
        let most = kept(Use::Processes, true);
        for sets in [own, child] {
            assert!(most.contains(sets.permitted) && most.contains(sets.effective));
            assert!(sets.inheritable.is_empty());
        }
    }
}
