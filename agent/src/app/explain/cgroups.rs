//! The folders of cgroup v2 by their ids.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use hashbrown::HashMap;

use crate::flow::CgroupId;

/// Most folders that are read: several times those of the fullest node.
const FOLDERS: usize = 65_536;

/// Every folder below one, with it. A cgroup's id is the inode of its folder.
pub(super) struct Cgroups {
    root: PathBuf,
    folders: HashMap<CgroupId, PathBuf>,
    /// Some were not read.
    is_cut: bool,
}

impl Cgroups {
    pub(super) fn below(root: &Path) -> Self {
        let mut found = Self {
            root: root.to_owned(),
            folders: HashMap::new(),
            is_cut: false,
        };
        let mut waiting = vec![root.to_owned()];
        while let Some(folder) = waiting.pop() {
            if found.folders.len() >= FOLDERS {
                found.is_cut = true;
                break;
            }
            let Ok(metadata) = fs::metadata(&folder) else {
                continue;
            };
            // Folders go as containers end.
            let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
            let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            waiting.extend(folders.map(|entry| entry.path()));
            found.folders.insert(CgroupId(metadata.ino()), folder);
        }
        found
    }

    /// The path of a cgroup below the root: `/`, `/kubepods/…`. `None`: it is not below it.
    pub(super) fn path(&self, id: CgroupId) -> Option<String> {
        let below = self.folders.get(&id)?.strip_prefix(&self.root).ok()?;
        Some(format!("/{}", below.display()))
    }

    /// Whether a cgroup is certainly not below the root.
    pub(super) fn is_outside(&self, id: CgroupId) -> bool {
        !self.is_cut && !self.folders.contains_key(&id)
    }

    /// Whether a cgroup is certainly not below that one.
    pub(super) fn is_beside(&self, id: CgroupId, above: CgroupId) -> bool {
        match (self.folders.get(&id), self.folders.get(&above)) {
            (Some(folder), Some(above)) => !folder.starts_with(above),
            _ => false,
        }
    }

    /// Whether a cgroup is of the pod with this unique id: a folder that is named after it, with
    /// the hyphens as they are (cgroupfs) or as underscores (systemd), is it or above it.
    pub(super) fn is_of_pod(&self, id: CgroupId, uid: &str) -> bool {
        let Some(path) = self.path(id) else {
            return false;
        };
        let escaped = uid.replace('-', "_");
        path.split('/').any(|part| {
            let part = part.strip_suffix(".slice").unwrap_or(part);
            part.ends_with(&format!("pod{uid}")) || part.ends_with(&format!("pod{escaped}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_by_their_inodes() {
        let root = std::env::temp_dir().join(format!("meshtap-cgroups-{}", std::process::id()));
        let pods = [
            "kubepods/burstable/pod11-22/abc",
            "kubepods.slice/kubepods-pod33_44.slice/cri-abc.scope",
        ];
        for pod in pods {
            fs::create_dir_all(root.join(pod)).expect("folders");
        }
        let id = |path: &str| CgroupId(fs::metadata(root.join(path)).expect("there").ino());
        let cgroups = Cgroups::below(&root);
        assert_eq!(cgroups.path(id("")).as_deref(), Some("/"));
        assert_eq!(cgroups.path(id(pods[0])), Some(format!("/{}", pods[0])));
        assert!(cgroups.is_of_pod(id(pods[0]), "11-22"));
        assert!(cgroups.is_of_pod(id(pods[1]), "33-44"));
        assert!(!cgroups.is_of_pod(id(pods[1]), "11-22"));
        assert!(!cgroups.is_of_pod(id("kubepods"), "11-22"));
        assert!(cgroups.is_outside(CgroupId(u64::MAX)));
        assert!(cgroups.is_beside(id(pods[0]), id(pods[1])));
        assert!(cgroups.is_beside(id("kubepods"), id(pods[0])));
        assert!(!cgroups.is_beside(id(pods[0]), id("kubepods")));
        assert!(!cgroups.is_beside(id("kubepods"), id("kubepods")));
        assert!(!cgroups.is_beside(id("kubepods"), CgroupId(u64::MAX)));
        assert!(!cgroups.is_outside(id("kubepods")));
        fs::remove_dir_all(&root).expect("removed");
    }
}
