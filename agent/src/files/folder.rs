//! The way to a file: folder by folder, none of them through a link that a stranger made.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;

use super::Refused;

/// Links followed in the folders of one path, as many as Linux follows (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// Opens the folder that a path's last part is in, and gives that part.
pub(super) fn folder_of(path: &Path) -> Result<(OwnedFd, OsString), Refused> {
    if path.as_os_str().as_bytes().ends_with(b"/") {
        return Err(Refused::Kind("folder"));
    }
    let mut left = parts(path);
    let name = match left.pop_back() {
        Some(Part::Name(name)) => name,
        None if path.as_os_str().is_empty() => {
            return Err(Refused::Io(io::ErrorKind::NotFound.into()));
        }
        Some(_) | None => return Err(Refused::Kind("folder")),
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = |at: BorrowedFd<'_>, name: &str| openat(at, name, flags, Mode::empty());
    let mut folder = open(CWD, ".")?;
    let mut links = 0;
    while let Some(part) = left.pop_front() {
        let name = match part {
            Part::Root => {
                folder = open(CWD, "/")?;
                continue;
            }
            Part::Up => {
                folder = open(folder.as_fd(), "..")?;
                continue;
            }
            Part::Name(name) => name,
        };
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let next = openat(&folder, &name, flags, Mode::empty())?;
        let stat = fstat(&next)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
            if stat.st_uid != 0 && stat.st_uid != rustix::process::geteuid().as_raw() {
                return Err(Refused::FolderLink {
                    folder: PathBuf::from(name),
                    uid: stat.st_uid,
                });
            }
            links += 1;
            if links > MAX_LINKS {
                return Err(Errno::LOOP.into());
            }
            // What this very link says; it may be another one by now under that name.
            let target = rustix::fs::readlinkat(&next, "", Vec::new())?;
            let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
            for part in parts(&target).into_iter().rev() {
                left.push_front(part);
            }
            continue;
        }
        folder = next;
    }
    Ok((folder, name))
}

enum Part {
    Root,
    Up,
    Name(OsString),
}

fn parts(path: &Path) -> VecDeque<Part> {
    path.components()
        .filter_map(|component| match component {
            Component::RootDir => Some(Part::Root),
            Component::ParentDir => Some(Part::Up),
            Component::Normal(name) => Some(Part::Name(name.to_owned())),
            Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}
