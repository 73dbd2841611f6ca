//! Embeds the kernel programs that `cargo xtask build` made, named by `MESHTAP_EBPF`, and those of
//! the TLS hook, which are beside them. Without it the agent builds too, and says so when asked to
//! capture.

use std::path::PathBuf;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=MESHTAP_EBPF");
    println!("cargo::rustc-check-cfg=cfg(meshtap_programs)");
    let Some(object) = std::env::var_os("MESHTAP_EBPF").filter(|path| !path.is_empty()) else {
        return;
    };
    let object = PathBuf::from(object);
    assert!(
        object.is_absolute() && object.is_file(),
        "MESHTAP_EBPF must be the absolute path of the eBPF object, and {} is not",
        object.display()
    );
    println!("cargo::rerun-if-changed={}", object.display());
    println!("cargo::rustc-env=MESHTAP_EBPF_OBJECT={}", object.display());
    println!("cargo::rustc-cfg=meshtap_programs");
    let tls = object.with_file_name("meshtap-ebpf-tls");
    assert!(tls.is_file(), "there is no {}", tls.display());
    println!("cargo::rerun-if-changed={}", tls.display());
    println!("cargo::rustc-env=MESHTAP_EBPF_TLS_OBJECT={}", tls.display());
}
