//! The machine whose registers the programs read: the one that `aya-ebpf` is built for.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=CARGO_CFG_BPF_TARGET_ARCH");
    println!("cargo::rustc-check-cfg=cfg(bpf_target_arch, values(\"x86_64\", \"aarch64\"))");
    let named = std::env::var("CARGO_CFG_BPF_TARGET_ARCH").ok();
    let arch = named.or_else(|| {
        let host = std::env::var("HOST").ok()?;
        host.split('-').next().map(str::to_owned)
    });
    if let Some(arch) = arch {
        println!("cargo::rustc-cfg=bpf_target_arch=\"{arch}\"");
    }
}
