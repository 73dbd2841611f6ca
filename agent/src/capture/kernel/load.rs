//! Loads the embedded programs and attaches them.

use std::fs::File;
use std::io;
use std::path::Path;

use aya::maps::{Array, MapData, MapError};
use aya::programs::{CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, ProgramError};
use aya::util::KernelVersion;
use aya::{Ebpf, EbpfError, EbpfLoader};
use meshtap_common::CaptureConfig;

use super::{CaptureError, CaptureOptions};

#[cfg(meshtap_programs)]
static PROGRAMS: Option<&[u8]> = Some(aya::include_bytes_aligned!(env!("MESHTAP_EBPF_OBJECT")));
#[cfg(not(meshtap_programs))]
static PROGRAMS: Option<&[u8]> = None;

/// The oldest kernel that the programs are tried on.
const OLDEST: KernelVersion = KernelVersion::new(5, 10, 0);

/// The programs of the socket hook.
const SOCKET_HOOK: [(&str, CgroupSkbAttachType); 2] = [
    ("meshtap_ingress", CgroupSkbAttachType::Ingress),
    ("meshtap_egress", CgroupSkbAttachType::Egress),
];

/// Loads the maps and the socket hook.
///
/// # Errors
/// See [`CaptureError`].
pub(super) fn load(options: &CaptureOptions) -> Result<Ebpf, CaptureError> {
    let object = PROGRAMS.ok_or(CaptureError::NoPrograms)?;
    if KernelVersion::current().is_ok_and(|version| version < OLDEST) {
        return Err(CaptureError::Kernel { release: release() });
    }
    if let Some(missing) = super::privilege::missing() {
        return Err(CaptureError::Privilege { missing });
    }
    let log_level = u8::try_from(options.config.log).unwrap_or(u8::MAX);
    let mut ebpf = EbpfLoader::new()
        // Read-only in the kernel: with zero the verifier removes the logging code.
        .override_global(aya_log::LEVEL, &log_level, false)
        .map_max_entries("EVENTS", options.ring_bytes)
        .map_max_entries("FLOWS", options.flows)
        .map_max_entries("RESUME", options.flows)
        .load(object)
        .map_err(setup)?;
    for (program, _) in SOCKET_HOOK {
        hook(&mut ebpf, program)?
            .load()
            .map_err(|error| refused(program, error))?;
    }
    Ok(ebpf)
}

/// Attaches both directions of the socket hook. They stay until `ebpf` goes, however it goes: a link lives as long as its file descriptor.
///
/// # Errors
/// See [`CaptureError`].
pub(super) fn attach(ebpf: &mut Ebpf, path: &Path, cgroup: &File) -> Result<(), CaptureError> {
    for (program, attach_type) in SOCKET_HOOK {
        // Flags of zero: a link always allows others beside it, and older kernels refuse any flag.
        hook(ebpf, program)?
            .attach(cgroup, attach_type, CgroupAttachMode::Single)
            .map_err(|error| match error {
                ProgramError::SyscallError(error) => CaptureError::Attach {
                    program,
                    path: path.to_path_buf(),
                    source: error.io_error,
                },
                error => setup(error.into()),
            })?;
    }
    Ok(())
}

/// Gives the programs their configuration, which starts them: until then they let everything pass unseen. Attaching takes the kernel
/// milliseconds per direction, and a connection seen from one side only looks like one that lost its answers.
///
/// # Errors
/// See [`CaptureError`].
pub(super) fn enable(
    map: &mut Array<MapData, CaptureConfig>,
    config: CaptureConfig,
) -> Result<CaptureConfig, CaptureError> {
    let config = CaptureConfig {
        enabled: 1,
        ..config
    };
    map.set(0, config, 0).map_err(|error| setup(error.into()))?;
    Ok(config)
}

fn hook<'a>(ebpf: &'a mut Ebpf, program: &str) -> Result<&'a mut CgroupSkb, CaptureError> {
    ebpf.program_mut(program)
        .ok_or_else(|| CaptureError::Setup {
            reason: format!("there is no program {program}"),
        })?
        .try_into()
        .map_err(|error: ProgramError| setup(error.into()))
}

pub(super) fn missing_map(name: &str) -> CaptureError {
    CaptureError::Setup {
        reason: format!("there is no map {name}"),
    }
}

fn release() -> String {
    rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned()
}

/// An error of loading or of a map, as far as its cause is known.
pub(super) fn setup(error: EbpfError) -> CaptureError {
    if let EbpfError::MapError(MapError::CreateError { io_error, .. }) = &error {
        return match io_error.raw_os_error() {
            Some(code) if code == rustix::io::Errno::NOMEM.raw_os_error() => memory(io_error),
            // Before 5.11 a map over RLIMIT_MEMLOCK is refused with EPERM.
            Some(code)
                if code == rustix::io::Errno::PERM.raw_os_error()
                    && KernelVersion::current()
                        .is_ok_and(|version| version < KernelVersion::new(5, 11, 0)) =>
            {
                memory(io_error)
            }
            Some(code) if code == rustix::io::Errno::PERM.raw_os_error() => forbidden(),
            _ => CaptureError::Setup {
                reason: error.to_string(),
            },
        };
    }
    CaptureError::Setup {
        reason: error.to_string(),
    }
}

fn memory(error: &io::Error) -> CaptureError {
    CaptureError::Memory {
        source: error
            .raw_os_error()
            .map_or_else(|| error.kind().into(), io::Error::from_raw_os_error),
    }
}

/// The capabilities are there and the kernel still says no: a user namespace, a security module, seccomp.
fn forbidden() -> CaptureError {
    CaptureError::Privilege {
        missing: "the bpf() system call in the initial user namespace".to_owned(),
    }
}

fn refused(program: &'static str, error: ProgramError) -> CaptureError {
    match error {
        ProgramError::LoadError {
            io_error,
            verifier_log,
        } => {
            let log = verifier_log.to_string();
            let last = last_words(&log);
            if last.is_empty() && io_error.kind() == io::ErrorKind::PermissionDenied {
                return forbidden();
            }
            CaptureError::Refused {
                program,
                reason: if last.is_empty() {
                    io_error.to_string()
                } else {
                    format!("{io_error}; {last}")
                },
                release: release(),
            }
        }
        error => setup(error.into()),
    }
}

/// The verifier's verdict: its last line that is not a statistic.
fn last_words(log: &str) -> &str {
    log.lines()
        .map(str::trim)
        .rfind(|line| {
            !line.is_empty()
                && !line.starts_with("processed ")
                && !line.starts_with("verification time")
                && !line.starts_with("stack depth")
        })
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(log: &str, expected: &str) {
        assert_eq!(last_words(log), expected);
    }

    #[test]
    fn the_verdict_is_found() {
        check("", "");
        check(
            "0: (b7) r0 = 1\nR3 unbounded memory access\nverification time 12 usec\nstack depth 0\nprocessed 3 insns (limit 1000000)\n\n",
            "R3 unbounded memory access",
        );
    }
}
