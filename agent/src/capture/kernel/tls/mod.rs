//! The TLS hook: plaintext where a TLS library of a process takes and gives it.
//!
//! Its BPF programs are an object of their own, with a ring buffer of their own: whatever a kernel
//! refuses of it takes nothing else down. They attach to functions of files ([`TlsProbes`]), as
//! those come and go, and to the kernel's tracepoints of socket I/O while there is any such file.

mod attach;
mod btf;
mod guard;
mod keeper;

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use aya::EbpfLoader;
use aya::maps::{Array, HashMap, MapData, PerCpuArray, RingBuf};
use aya::util::KernelVersion;
use meshtap_common::{MAX_PORTS, RingShare, TlsConfig, TlsProcess};

use super::CaptureOptions;
use super::error::setup;

pub use self::attach::{Refused, TlsProbes};
pub use self::guard::Doubt;
pub use self::keeper::{Libraries, Notice, TargetState, TlsKeeper};

#[cfg(meshtap_programs)]
static PROGRAMS: Option<&[u8]> = Some(aya::include_bytes_aligned!(env!("MESHTAP_EBPF_TLS_OBJECT")));
#[cfg(not(meshtap_programs))]
static PROGRAMS: Option<&[u8]> = None;

/// The first kernel with `bpf_get_current_ancestor_cgroup_id` in probes.
const ANCESTORS: KernelVersion = KernelVersion::new(5, 15, 0);
const OLD: &str = "before Linux 5.15 a probe cannot say which processes are below a cgroup: capture \
                   the root of the hierarchy";

/// The kernel's type information.
const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// Names of the BPF programs, as `bpftool prog` shows them (the first 15 bytes).
pub(super) const NAMES: &[&str] = &[
    attach::READ,
    attach::WRITE,
    attach::READ_EX,
    attach::WRITE_EX,
    attach::READ_SHARED,
    attach::WRITE_FLAGS,
    attach::HANDSHAKE,
    attach::SHUTDOWN,
    attach::RETURN,
    attach::AEAD_NEW,
    attach::AEAD_OPEN,
    attach::AEAD_SEAL,
    attach::AEAD_RETURN,
    attach::SENT,
    attach::RECEIVED,
    attach::RECEIVED_TCP,
    attach::RELEASED,
    attach::ESTABLISHED,
];

/// Maps of what is known of rustls.
const OF_RUSTLS: &[&str] = &[
    "RUSTLS_PROCESSES",
    "RUSTLS_THREADS",
    "RUSTLS_CIPHERS",
    "RUSTLS_RECORDS",
];

/// What loading gives the capture.
pub(super) struct Loaded {
    pub(super) ring: RingBuf<MapData>,
    pub(super) drops: PerCpuArray<MapData, [u64; 2]>,
    pub(super) excluded: HashMap<MapData, u64, u32>,
    pub(super) shares: HashMap<MapData, u64, RingShare>,
    pub(super) probes: TlsProbes,
}

/// Loads the object, and its programs unless they can wait; nothing is attached yet. The error is
/// for a person.
pub(super) fn load(options: &CaptureOptions, path: &Path, cgroup: &File) -> Result<Loaded, String> {
    let config = config(options, path, cgroup)?;
    let is_below = u8::from(config.cgroup_level != 0);
    if is_below != 0 && KernelVersion::current().is_ok_and(|version| version < ANCESTORS) {
        return Err(OLD.to_owned());
    }
    let vmlinux = std::fs::read(VMLINUX);
    let vmlinux = vmlinux.map_err(|error| format!("{VMLINUX} cannot be read: {error}"))?;
    let fields = btf::sock_fields(&vmlinux)?;
    let fields: Vec<_> = fields.iter().collect();
    let object = PROGRAMS.ok_or("this meshtap was built without its kernel programs")?;
    let mut loader = EbpfLoader::new();
    loader.map_max_entries("EVENTS", options.ring_bytes);
    loader.override_global("IS_BELOW", &is_below, true);
    let is_wanted = u8::from(options.tls.rustls);
    loader.override_global("IS_WANTED", &is_wanted, true);
    if !options.tls.rustls {
        // Memory for nothing.
        for map in OF_RUSTLS {
            loader.map_max_entries(map, 1);
        }
    }
    for (global, offset) in &fields {
        loader.override_global(global, offset, true);
    }
    let mut ebpf = loader
        .load(object)
        .map_err(|error| setup(error).to_string())?;
    let missing = |name| format!("there is no map {name}");
    let mut take = |name: &'static str| ebpf.take_map(name).ok_or_else(|| missing(name));
    let wrong = |error: aya::maps::MapError| error.to_string();
    let mut settings: Array<_, TlsConfig> = take("CONFIG")?.try_into().map_err(wrong)?;
    settings.set(0, config, 0).map_err(wrong)?;
    let processes: HashMap<_, u64, TlsProcess> = take("PROCESSES")?.try_into().map_err(wrong)?;
    let rustls: HashMap<_, u64, u32> = take("RUSTLS_PROCESSES")?.try_into().map_err(wrong)?;
    let cgroup = cgroup.try_clone().map_err(|error| error.to_string())?;
    let ring = take("EVENTS")?.try_into().map_err(wrong)?;
    let drops = take("DROPS")?.try_into().map_err(wrong)?;
    let excluded = take("EXCLUDED_CGROUPS")?.try_into().map_err(wrong)?;
    let shares = take("RING_SHARES")?.try_into().map_err(wrong)?;
    let maps = (processes, rustls);
    let mut probes = TlsProbes::new(ebpf, options.tls, settings, maps, cgroup);
    if !options.tls.when_needed {
        probes.load().map_err(|error| error.to_string())?;
    }
    Ok(Loaded {
        ring,
        drops,
        excluded,
        shares,
        probes,
    })
}

fn config(options: &CaptureOptions, path: &Path, cgroup: &File) -> Result<TlsConfig, String> {
    let (cgroup_id, cgroup_level) = place(path, cgroup)?;
    let ports: [u16; MAX_PORTS] = options.config.ports;
    Ok(TlsConfig {
        enabled: 1,
        wakeup_bytes: options.config.wakeup_bytes,
        cgroup_id,
        cgroup_level,
        port_count: options.config.port_count,
        ports,
        // As aya rounds it when it makes the map.
        ring_bytes: u64::from(options.ring_bytes.next_power_of_two()),
    })
}

/// The id of a cgroup, and how far below the root of the hierarchy it is.
fn place(path: &Path, cgroup: &File) -> Result<(u64, u32), String> {
    /// Inode of the root of the hierarchy (`KERNFS_ROOT_INO`).
    const ROOT: u64 = 1;
    let text = |error: io::Error| format!("cgroup {} cannot be read: {error}", path.display());
    let own = cgroup.metadata().map_err(text)?;
    let mut folder: PathBuf = path.canonicalize().map_err(text)?;
    let (mut level, mut inode) = (0, own.ino());
    while inode != ROOT {
        let above = folder.parent().map(std::fs::metadata);
        match above {
            Some(Ok(above)) if above.dev() == own.dev() => inode = above.ino(),
            _ => {
                return Err(format!(
                    "the hierarchy above cgroup {} is not mounted here",
                    path.display()
                ));
            }
        }
        folder.pop();
        level += 1;
    }
    Ok((own.ino(), level))
}
