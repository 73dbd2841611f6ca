//! Finds the cgroup v2 hierarchy. It may be the only one (`/sys/fs/cgroup`) or stand beside v1
//! (`/sys/fs/cgroup/unified`), so `/proc/self/mountinfo` is asked (proc_pid_mountinfo(5)), never
//! a path assumed.

use std::fs::{self, File};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::CaptureError;

/// `CGROUP2_SUPER_MAGIC` of linux/magic.h.
const CGROUP2_MAGIC: u64 = 0x6367_7270;

/// Opens the cgroup to attach to: `chosen`, or the root of the hierarchy.
///
/// # Errors
/// When there is none, or it cannot be opened.
pub(super) fn open(chosen: Option<&Path>) -> Result<(PathBuf, File), CaptureError> {
    let path = match chosen {
        Some(path) => path.to_path_buf(),
        None => fs::read("/proc/self/mountinfo")
            .ok()
            .and_then(|mountinfo| find(&mountinfo))
            .ok_or(CaptureError::NoCgroup)?,
    };
    let folder = File::open(&path).map_err(|source| CaptureError::Cgroup {
        path: path.clone(),
        source,
    })?;
    let is_cgroup = rustix::fs::fstatfs(&folder)
        .is_ok_and(|statfs| u64::try_from(statfs.f_type).is_ok_and(|magic| magic == CGROUP2_MAGIC));
    if is_cgroup {
        Ok((path, folder))
    } else {
        Err(CaptureError::NotCgroup { path })
    }
}

/// The folder that is captured: `chosen`, or the root of the hierarchy.
///
/// # Errors
/// When there is none, or it cannot be opened.
pub fn root(chosen: Option<&Path>) -> Result<PathBuf, CaptureError> {
    open(chosen).map(|(path, _folder)| path)
}

/// The mount point of cgroup v2: of several, the one that shows most of the hierarchy.
///
/// In a container with a cgroup namespace of its own, `/` is the container's own cgroup; the
/// machine's, mounted from outside, is above it and begins with `/..` (cgroup_namespaces(7)).
fn find(mountinfo: &[u8]) -> Option<PathBuf> {
    let mut found: Option<(Height, PathBuf)> = None;
    for line in mountinfo.split(|&byte| byte == b'\n') {
        let mut fields = line.split(|&byte| byte == b' ');
        let (Some(root), Some(mount_point)) = (fields.nth(3), fields.next()) else {
            continue;
        };
        // Optional fields end with a lone hyphen; the file system type follows.
        if !fields.any(|field| field == b"-") || fields.next() != Some(b"cgroup2") {
            continue;
        }
        let height = height(root);
        if found.as_ref().is_none_or(|(best, _)| height > *best) {
            let path = PathBuf::from(std::ffi::OsString::from_vec(unescape(mount_point)));
            found = Some((height, path));
        }
    }
    found.map(|(_, path)| path)
}

/// How far above the reader's own root a mount begins; less than that are parts of what the
/// reader has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Height {
    Part,
    Root,
    Above(usize),
}

fn height(root: &[u8]) -> Height {
    let above = root
        .split(|&byte| byte == b'/')
        .filter(|part| part == b"..")
        .count();
    match above {
        0 if root == b"/" => Height::Root,
        0 => Height::Part,
        levels => Height::Above(levels),
    }
}

/// Octal escapes of space, tab, newline and backslash.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, tail)) = rest.split_first() {
        let code = tail
            .get(..3)
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) if byte == b'\\' => {
                bytes.push(code);
                rest = tail.get(3..).unwrap_or_default();
            }
            _ => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(mountinfo: &str, expected: Option<&str>) {
        assert_eq!(
            find(mountinfo.as_bytes()).as_deref(),
            expected.map(Path::new)
        );
    }

    #[test]
    fn unified() {
        check(
            "22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n25 22 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
            Some("/sys/fs/cgroup"),
        );
    }

    #[test]
    fn hybrid() {
        check(
            "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
             41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n",
            Some("/sys/fs/cgroup/unified"),
        );
    }

    #[test]
    fn v1_only() {
        check(
            "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n",
            None,
        );
        check("", None);
        check("32 31 0:29 / /cgroup2 rw cgroup2\n", None);
    }

    #[test]
    fn the_root_wins_over_a_part() {
        check(
            "40 31 0:38 /pod /here rw - cgroup2 cgroup2 rw\n41 31 0:38 / /host/sys/fs/cgroup rw master:1 propagate_from:2 - cgroup2 cgroup2 rw\n",
            Some("/host/sys/fs/cgroup"),
        );
        check(
            "40 31 0:38 /pod /here rw - cgroup2 cgroup2 rw\n",
            Some("/here"),
        );
    }

    #[test]
    fn the_machines_wins_over_the_containers() {
        check(
            "40 31 0:38 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n41 31 0:38 /../../../.. /host/sys/fs/cgroup ro - cgroup2 cgroup2 rw\n",
            Some("/host/sys/fs/cgroup"),
        );
        check(
            "40 31 0:38 /.. /pod ro - cgroup2 cgroup rw\n41 31 0:38 /../.. /host ro - cgroup2 cgroup2 rw\n",
            Some("/host"),
        );
    }

    #[test]
    fn escapes() {
        check(
            "41 31 0:38 / /a\\040b\\134c rw - cgroup2 cgroup2 rw\n",
            Some("/a b\\c"),
        );
        check(
            "41 31 0:38 / /a\\04 rw - cgroup2 cgroup2 rw\n",
            Some("/a\\04"),
        );
    }
}
