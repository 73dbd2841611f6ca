//! `--pid`: whether the sockets of a process can be known, said before anything is captured.

use std::fs;
use std::io;
use std::path::Path;

use super::Failure;

/// What helps: the three that capture takes, and two to look at the sockets of other users'
/// processes.
const CAPABILITIES: &str =
    "cap_bpf,cap_net_admin,cap_perfmon,cap_sys_ptrace,cap_dac_read_search+ep";

/// # Errors
/// Names the first process that is not there, or that cannot be looked at.
pub(super) fn check(pids: &[u32]) -> Result<(), Failure> {
    pids.iter().try_for_each(|pid| check_in("/proc", *pid))
}

fn check_in(proc: &str, pid: u32) -> Result<(), Failure> {
    let folder = Path::new(proc).join(pid.to_string());
    if !folder.exists() {
        return Err(Failure::Setting(format!(
            "--pid {pid}: there is no such process"
        )));
    }
    match fs::read_dir(folder.join("fd")) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let program = std::env::current_exe()
                .map_or_else(|_| "meshtap".to_owned(), |path| path.display().to_string());
            Err(Failure::Setting(format!(
                "--pid {pid}: its sockets cannot be seen without more rights; run meshtap as root, or once:\n\
                 sudo setcap {CAPABILITIES} {program}"
            )))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes() {
        assert!(check(&[std::process::id()]).is_ok());
        assert!(check(&[]).is_ok());
        // Larger than any (PID_MAX_LIMIT, proc(5)).
        let missing = check(&[std::process::id(), 4_194_305]).unwrap_err();
        assert_eq!(
            missing.to_string(),
            "--pid 4194305: there is no such process"
        );
    }
}
