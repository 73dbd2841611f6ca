//! Loads the embedded object: its maps, and the programs, not attached yet.

use aya::util::KernelVersion;
use aya::{Ebpf, EbpfLoader};
use meshtap_common::CONNECTION_RING_BYTES;

use super::error::{release, setup};
use super::{CaptureError, CaptureOptions};

#[cfg(meshtap_programs)]
static PROGRAMS: Option<&[u8]> = Some(aya::include_bytes_aligned!(env!("MESHTAP_EBPF_OBJECT")));
#[cfg(not(meshtap_programs))]
static PROGRAMS: Option<&[u8]> = None;

/// The oldest kernel that the programs are tried on.
const OLDEST: KernelVersion = KernelVersion::new(5, 10, 0);

/// The first kernel with `bpf_skc_to_mptcp_sock`.
const MPTCP_SOCK: KernelVersion = KernelVersion::new(5, 19, 0);

/// Whether the programs may ask the kernel if a socket is a subflow of Multipath TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MptcpSock {
    /// The kernel has the helper.
    Present,
    /// It has not, or it was built without what the helper needs.
    Absent,
}

impl MptcpSock {
    /// What this kernel's version says.
    pub(super) fn of_this_kernel() -> Self {
        match KernelVersion::current() {
            Ok(version) if version >= MPTCP_SOCK => Self::Present,
            _ => Self::Absent,
        }
    }
}

/// Loads the object.
///
/// # Errors
/// See [`CaptureError`].
pub(super) fn load(options: &CaptureOptions, mptcp: MptcpSock) -> Result<Ebpf, CaptureError> {
    let object = PROGRAMS.ok_or(CaptureError::NoPrograms)?;
    if KernelVersion::current().is_ok_and(|version| version < OLDEST) {
        return Err(CaptureError::Kernel { release: release() });
    }
    if let Some(missing) = super::privilege::missing() {
        return Err(CaptureError::Privilege { missing });
    }
    let log_level = u8::try_from(options.config.log).unwrap_or(u8::MAX);
    let has_mptcp_sock = u8::from(mptcp == MptcpSock::Present);
    EbpfLoader::new()
        // Read-only in the kernel: with zero the verifier removes the code that is never reached.
        .override_global(aya_log::LEVEL, &log_level, false)
        .override_global("HAS_MPTCP_SOCK", &has_mptcp_sock, true)
        .map_max_entries("EVENTS", options.ring_bytes)
        .map_max_entries("CONNECTIONS", connection_ring(options))
        .load(object)
        .map_err(setup)
}

/// A ring buffer that nobody writes to is as small as one can be.
const fn connection_ring(options: &CaptureOptions) -> u32 {
    match options.wanted.connections {
        true => CONNECTION_RING_BYTES,
        false => 4096,
    }
}

pub(super) fn missing_map(name: &str) -> CaptureError {
    CaptureError::Setup {
        reason: format!("there is no map {name}: the programs are of another build than the agent"),
    }
}
