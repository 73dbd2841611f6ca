//! Which processes may be read.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::process;
use crate::glob::Glob;

/// What is known of a process before its files are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its id, as `/proc` here shows it.
    pub pid: u32,
    /// The file name of its program.
    pub program: String,
    /// The path of its cgroup, as `/proc/PID/cgroup` here shows it; empty without cgroup v2.
    pub cgroup: String,
}

/// What is said of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be read.
    Admitted,
    /// It may not: a rule, or an annotation opts it out.
    Excluded,
    /// Its pod is not known yet. It is not read until it is.
    Unknown,
}

/// Who knows pods: rules on namespaces and labels, annotations.
pub trait Consent: Send {
    /// Whether a process may be read. Asked again from time to time.
    fn verdict(&self, candidate: &Candidate) -> Verdict;
}

/// Everybody may be read: where there are no pods.
#[derive(Clone, Copy, Debug, Default)]
pub struct Everyone;

impl Consent for Everyone {
    fn verdict(&self, _: &Candidate) -> Verdict {
        Verdict::Admitted
    }
}

/// Who is in one cgroup, or in one below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Below {
    /// As `/proc/PID/cgroup` here shows it.
    path: String,
}

impl Below {
    /// Those in the cgroup with this folder. `None` where every process is, or where the folder
    /// does not say how `/proc` names its cgroup: the agent's cgroup namespace
    /// (cgroup_namespaces(7)) is not that of the mount.
    #[must_use]
    pub fn new(folder: &Path) -> Option<Self> {
        let folder = folder.canonicalize().ok()?;
        let root = mount_root(&folder);
        let own = process::candidate(std::process::id()).ok()?.cgroup;
        let own = root.join(own.strip_prefix('/')?);
        if !own.join("cgroup.procs").exists() {
            return None;
        }
        let below = folder.strip_prefix(&root).ok()?.to_str()?;
        (!below.is_empty()).then(|| Self {
            path: format!("/{below}"),
        })
    }
}

impl Consent for Below {
    fn verdict(&self, candidate: &Candidate) -> Verdict {
        let rest = candidate.cgroup.strip_prefix(&self.path);
        match rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
            true => Verdict::Admitted,
            false => Verdict::Excluded,
        }
    }
}

/// The folder above on the same file system that has none above.
fn mount_root(folder: &Path) -> PathBuf {
    let device = |folder: &Path| fs::metadata(folder).map(|metadata| metadata.dev()).ok();
    let own = device(folder);
    let same = |above: &&Path| device(above) == own;
    let root = folder.ancestors().take_while(same).last();
    root.unwrap_or(folder).to_owned()
}

/// File names of programs, with `*` for any run of characters. Without a name that is allowed,
/// every program is; a name that is denied wins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Programs {
    allowed: Vec<Glob>,
    denied: Vec<Glob>,
}

impl Programs {
    /// Of patterns.
    #[must_use]
    pub fn new(allowed: &[String], denied: &[String]) -> Self {
        let globs = |list: &[String]| list.iter().map(|name| Glob::with_case(name)).collect();
        Self {
            allowed: globs(allowed),
            denied: globs(denied),
        }
    }

    pub(super) fn admit(&self, program: &str) -> bool {
        let any = |list: &[Glob]| list.iter().any(|glob| glob.matches(program.as_bytes()));
        !any(&self.denied) && (self.allowed.is_empty() || any(&self.allowed))
    }
}

/// The file name of a program, without what the kernel adds to removed files.
pub(super) fn program(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.strip_suffix(" (deleted)").unwrap_or(&name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cgroup_and_those_below() {
        let below = Below {
            path: "/a/b".to_owned(),
        };
        let check = |cgroup: &str, expected| {
            let candidate = Candidate {
                pid: 1,
                program: "curl".to_owned(),
                cgroup: cgroup.to_owned(),
            };
            assert_eq!(below.verdict(&candidate), expected, "{cgroup}");
        };
        check("/a/b", Verdict::Admitted);
        check("/a/b/c", Verdict::Admitted);
        check("/a/bc", Verdict::Excluded);
        check("/a", Verdict::Excluded);
        // Without cgroup v2 nothing says where it is.
        check("", Verdict::Excluded);
    }

    #[test]
    fn a_folder_that_is_no_cgroup() {
        assert_eq!(Below::new(Path::new("/proc")), None);
        assert_eq!(Below::new(Path::new("/not/there")), None);
    }

    #[test]
    fn deny_wins() {
        let list =
            |names: &[&str]| -> Vec<String> { names.iter().map(|&n| n.to_owned()).collect() };
        let check = |allow: &[&str], deny: &[&str], program, expected| {
            let programs = Programs::new(&list(allow), &list(deny));
            assert_eq!(programs.admit(program), expected, "{programs:?} {program}");
        };
        check(&[], &[], "curl", true);
        check(&["envoy"], &[], "curl", false);
        check(&["*"], &["curl"], "curl", false);
        check(&["py*on"], &[], "pythons", false);
        check(&["*python*"], &[], "python3", true);
    }

    #[test]
    fn names_of_programs() {
        assert_eq!(program(Path::new("/usr/bin/curl (deleted)")), "curl");
        assert_eq!(program(Path::new("/")), "");
    }
}
