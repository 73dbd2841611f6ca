//! Programs that tests, VMs and benches need besides the toolchain, and the Debian packages that
//! bring them.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{self, find};

/// A program and the Debian or Ubuntu package that it comes in.
#[derive(Clone, Copy)]
pub struct Program {
    name: &'static str,
    package: &'static str,
}

const fn program(name: &'static str, package: &'static str) -> Program {
    Program { name, package }
}

/// What the tests of the page use: a browser, and what drives it.
pub const PAGE: &[Program] = &[
    program("chromium", "chromium"),
    program("node", "nodejs"),
    program("npm", "npm"),
];

/// What the live tests drive: servers, clients, an independent oracle, and the tools that make
/// namespaces.
pub const TEST: &[Program] = &[
    program("nginx", "nginx-light"),
    program("apache2", "apache2"),
    program("redis-server", "redis-server"),
    program("memcached", "memcached"),
    program("python3", "python3"),
    program("curl", "curl"),
    program("wrk", "wrk"),
    program("h2load", "nghttp2-client"),
    program("tshark", "tshark"),
    program("tcpdump", "tcpdump"),
    program("openssl", "openssl"),
    program("tmux", "tmux"),
    program("ip", "iproute2"),
    program("iptables", "iptables"),
    program("setpriv", "util-linux"),
    // libFuzzer is C++.
    program("c++", "g++"),
];

/// What the kernel matrix boots.
pub const VM: &[Program] = &[
    program("qemu-system-x86_64", "qemu-system-x86"),
    program("busybox", "busybox-static"),
    program("dpkg-deb", "dpkg"),
    program("apt-get", "apt"),
    program("openssl", "openssl"),
];

/// What builds container images.
pub const IMAGE: &[Program] = &[program("buildah", "buildah")];

/// What builds packages for a host.
pub const PACKAGE: &[Program] = &[
    program("dpkg-deb", "dpkg"),
    program("gzip", "gzip"),
    program("tar", "tar"),
    program("git", "git"),
];

/// What a package is tried with.
pub const TRIAL: &[Program] = &[
    program("debootstrap", "debootstrap"),
    program("systemd-analyze", "systemd"),
];

/// What boots a machine with the package on it.
pub const BOOT: &[Program] = &[
    program("qemu-system-x86_64", "qemu-system-x86"),
    program("busybox", "busybox-static"),
    program("cpio", "cpio"),
];

/// What runs the pods of `cluster`, and what its tests use.
pub const CLUSTER: &[Program] = &[
    program("buildah", "buildah"),
    program("containerd", "containerd"),
    program("runc", "runc"),
    program("iptables", "iptables"),
    program("nft", "nftables"),
    program("conntrack", "conntrack"),
    program("ip", "iproute2"),
    program("nsenter", "util-linux"),
    program("openssl", "openssl"),
    program("curl", "curl"),
    program("wrk", "wrk"),
    program("bpftool", "bpftool"),
    program("prometheus", "prometheus"),
];

/// Plugins are not in `PATH`: the package, and one of its files.
pub const NETWORK_PLUGINS: (&str, &str) = ("containernetworking-plugins", "/usr/lib/cni/ptp");

/// What the benches and `soak` drive and compare.
pub const BENCH: &[Program] = &[
    program("nginx", "nginx-light"),
    program("wrk", "wrk"),
    program("h2load", "nghttp2-client"),
    program("tcpdump", "tcpdump"),
];

/// What `bench instructions` counts with.
pub const COUNT: &[Program] = &[program("valgrind", "valgrind")];

/// Sees to it that every program is there: installs the packages of the missing ones when that is
/// possible without asking anybody (root on Debian or Ubuntu), else says what is missing.
pub fn ensure(programs: &[Program]) -> Result<()> {
    let missing = missing(programs);
    if missing.is_empty() {
        return Ok(());
    }
    let packages: BTreeSet<&str> = missing.iter().map(|program| program.package).collect();
    let packages: Vec<&str> = packages.into_iter().collect();
    if !command::is_root() || find("apt-get").is_none() {
        let names: Vec<&str> = missing.iter().map(|program| program.name).collect();
        bail!(
            "missing: {}. On Debian or Ubuntu: sudo apt-get install --no-install-recommends {}",
            names.join(", "),
            packages.join(" ")
        );
    }
    install(&packages)?;
    let still: Vec<&str> = programs
        .iter()
        .filter(|program| find(program.name).is_none())
        .map(|program| program.name)
        .collect();
    if !still.is_empty() {
        bail!("installed {packages:?}, and still missing: {still:?}");
    }
    Ok(())
}

/// The programs that are not there.
pub fn missing(programs: &[Program]) -> Vec<Program> {
    programs
        .iter()
        .copied()
        .filter(|program| find(program.name).is_none())
        .collect()
}

/// Installs packages without starting what is in them: a server's package would start it on a port
/// of this machine.
pub fn install(packages: &[&str]) -> Result<()> {
    let _stopped = ServicesHeld::new()?;
    command::run(apt_get().args(["update", "--quiet"]))?;
    command::run(
        apt_get()
            .args(["install", "--quiet", "--yes", "--no-install-recommends"])
            .args(packages),
    )
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(std::process::Stdio::null());
    command
}

/// Asked by `invoke-rc.d` and `deb-systemd-invoke` before a package's service is started; 101 means
/// no.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// While it lives, packages that are being installed do not start their services.
struct ServicesHeld {
    ours: bool,
}

impl ServicesHeld {
    fn new() -> Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        if Path::new(POLICY).exists() {
            return Ok(Self { ours: false });
        }
        std::fs::write(POLICY, "#!/bin/sh\nexit 101\n")
            .with_context(|| format!("cannot write {POLICY}"))?;
        let held = Self { ours: true };
        std::fs::set_permissions(POLICY, std::fs::Permissions::from_mode(0o755))
            .with_context(|| format!("cannot set the mode of {POLICY}"))?;
        Ok(held)
    }
}

impl Drop for ServicesHeld {
    fn drop(&mut self) {
        if self.ours {
            let _ = std::fs::remove_file(POLICY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_not_installed_and_what_is_not_is_named() {
        assert!(ensure(&[program("sh", "dash")]).is_ok());
        let absent = [program("sh", "dash"), program("no-such-program", "none")];
        let missing = missing(&absent);
        assert_eq!(missing.len(), 1);
        assert_eq!(missing[0].name, "no-such-program");
    }
}
