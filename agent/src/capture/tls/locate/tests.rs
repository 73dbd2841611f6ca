use std::path::Path;
use std::process::Command;

use super::*;

fn open(path: &Path) -> File {
    File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The libssl that this machine's curl has loaded.
pub(in crate::capture::tls) fn libssl() -> std::path::PathBuf {
    let output = Command::new("ldconfig")
        .arg("-p")
        .output()
        .expect("ldconfig");
    let list = String::from_utf8(output.stdout).expect("text");
    let line = list
        .lines()
        .find(|line| line.contains("libssl.so"))
        .expect("a libssl");
    line.rsplit(' ').next().expect("a path").into()
}

#[test]
fn a_shared_library_by_its_symbols() {
    let path = libssl();
    let located = locate(&open(&path)).expect("located");
    assert_eq!(located.library, Library::Exported);
    assert_eq!(Some(located.machine), Machine::own());
    assert!(located.build_id.is_some());
    for role in [
        Role::Read,
        Role::Write,
        Role::ReadEx,
        Role::WriteEx,
        Role::Handshake,
        Role::Shutdown,
    ] {
        assert_eq!(located.of(role).count(), 1, "{role:?}");
    }
    // The truth: what `nm` says. Code is loaded where it is in the file.
    let output = Command::new("nm")
        .args(["-D", "--defined-only"])
        .arg(&path)
        .output()
        .expect("nm");
    let symbols = String::from_utf8(output.stdout).expect("text");
    for function in &located.functions {
        let name = function.role.name();
        if name.starts_with("ssl_") {
            // Not exported.
            continue;
        }
        let line = symbols.lines().find(|line| {
            let symbol = line.rsplit(' ').next().unwrap_or_default();
            symbol.split('@').next() == Some(name)
        });
        let address = line.and_then(|line| line.split(' ').next()).expect(name);
        let address = u64::from_str_radix(address, 16).expect("hexadecimal");
        assert!(
            function.entry == address || function.entry == address + 4,
            "{name}"
        );
    }
}

/// A probe at which the kernel steps through an instruction costs six times as much.
#[cfg(target_arch = "x86_64")]
#[test]
fn probes_are_where_the_kernel_emulates() {
    let located = locate(&open(&libssl())).expect("located");
    let roles = [
        Role::Read,
        Role::ReadEx,
        Role::ReadShared,
        Role::Write,
        Role::WriteEx,
        Role::WriteShared,
        Role::WriteFlags,
    ];
    let probed: Vec<_> = roles
        .iter()
        .flat_map(|role| located.probed(*role))
        .collect();
    assert!(!probed.is_empty());
    assert!(
        probed.iter().all(|function| function.is_emulated),
        "{probed:?}"
    );
}

#[test]
fn files_without_tls() {
    let check = |path: &str, expected| {
        assert_eq!(
            locate(&open(Path::new(path))).unwrap_err(),
            expected,
            "{path}"
        );
    };
    check("/bin/true", Refusal::NoTls);
    check("/etc/passwd", Refusal::NotElf);
    check("/dev/null", Refusal::NotElf);
}

#[test]
fn this_program_has_rustls_over_ring() {
    let program = std::env::current_exe().expect("a path");
    assert_eq!(locate(&open(&program)).unwrap_err(), Refusal::RustlsRing);
}

/// Lines of the table in `docs/tls.md`, for the files that `MESHTAP_BINARIES` names, separated by
/// spaces: what is located, and the same without symbols.
#[test]
#[ignore = "wants files"]
#[expect(clippy::print_stdout, reason = "the table is for a person")]
fn a_table_of_binaries() {
    let paths = std::env::var("MESHTAP_BINARIES").expect("MESHTAP_BINARIES");
    let line = |located: Result<Located, Refusal>| match located {
        Ok(Located { functions, .. }) => functions
            .iter()
            .map(|one| {
                let cost = if one.is_emulated { "" } else { " (stepped)" };
                format!("{} {:#x}{cost}", one.role.name(), one.entry)
            })
            .collect::<Vec<_>>()
            .join(", "),
        Err(refusal) => refusal.to_string(),
    };
    for path in paths.split(' ') {
        let file = open(Path::new(path));
        println!("{path}\n  {}", line(locate(&file)));
        println!("  without: {}", line(locate_without_symbols(&file)));
    }
}
