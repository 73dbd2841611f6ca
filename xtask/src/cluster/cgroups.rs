//! The cgroup that every pod of the cluster is below, in each hierarchy of the machine: cgroup v2,
//! and v1 where it is mounted.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::until;

/// As the kubelet is configured.
pub const ROOT: &str = "/meshtap-cluster";

/// Makes it.
///
/// # Errors
/// When the kernel refuses.
pub fn make() -> Result<()> {
    for hierarchy in hierarchies()? {
        let path = hierarchy.path.join(ROOT.trim_start_matches('/'));
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        if hierarchy.unified {
            for group in [&hierarchy.path, &path] {
                delegate(group)?;
            }
        } else if path.join("cpuset.cpus").exists() {
            for file in ["cpuset.cpus", "cpuset.mems"] {
                let parents = fs::read_to_string(hierarchy.path.join(file))?;
                fs::write(path.join(file), parents.trim())?;
            }
        }
    }
    Ok(())
}

/// Lets groups below have what this one has.
fn delegate(group: &Path) -> Result<()> {
    let controllers = fs::read_to_string(group.join("cgroup.controllers"))?;
    for controller in controllers.split_whitespace() {
        // One that cannot be had is one that the kubelet will name, if it needs it.
        let _ = fs::write(
            group.join("cgroup.subtree_control"),
            format!("+{controller}"),
        );
    }
    Ok(())
}

/// Removes it, with everything below.
///
/// # Errors
/// When something stays in it.
pub fn remove() -> Result<()> {
    for hierarchy in hierarchies()? {
        let path = hierarchy.path.join(ROOT.trim_start_matches('/'));
        // What was killed leaves a moment later.
        until(&format!("{} is empty", path.display()), || {
            Ok(remove_tree(&path))
        })?;
    }
    Ok(())
}

/// It is gone.
fn remove_tree(path: &Path) -> bool {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    let _ = fs::remove_dir(path);
    !path.exists()
}

struct Hierarchy {
    path: PathBuf,
    unified: bool,
}

fn hierarchies() -> Result<Vec<Hierarchy>> {
    Ok(parse(&fs::read_to_string("/proc/self/mountinfo")?))
}

/// Mount points of cgroup v1 and v2 (proc_pid_mountinfo(5)).
fn parse(mountinfo: &str) -> Vec<Hierarchy> {
    mountinfo
        .lines()
        .filter_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let unified = match right.split(' ').next()? {
                "cgroup" => false,
                "cgroup2" => true,
                _ => return None,
            };
            let path = PathBuf::from(left.split(' ').nth(4)?);
            Some(Hierarchy { path, unified })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hierarchy_is_found() {
        let found = parse(
            "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
             41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n",
        );
        let found: Vec<_> = found
            .iter()
            .map(|h| (h.path.to_str().unwrap(), h.unified))
            .collect();
        assert_eq!(
            found,
            [
                ("/sys/fs/cgroup/cpu", false),
                ("/sys/fs/cgroup/unified", true)
            ]
        );
    }
}
