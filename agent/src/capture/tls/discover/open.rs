//! Opens the file of a mapping, in whatever mount namespace it is.
//!
//! What is opened is compared with the mapping, so a path that meanwhile leads elsewhere, or a link
//! that leads out of a container, opens nothing.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags, fstatfs, makedev, open as open_file};

use super::maps::Mapped;
use super::target::FileKey;

/// `OVERLAYFS_SUPER_MAGIC` of `linux/magic.h`.
const OVERLAYFS: u64 = 0x794c_7630;

/// The file, and which one it is.
pub(super) fn open(pid: u32, mapped: &Mapped) -> io::Result<(File, FileKey)> {
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo"))?;
    if is_of_a_program(&mounts, mapped.file.device) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    // The kernel's own link needs CAP_CHECKPOINT_RESTORE, and leads to removed files as well.
    let link = format!("/proc/{pid}/map_files/{}", mapped.range);
    if let Ok(file) = regular(Path::new(&link)) {
        let key = key(&file)?;
        return Ok((file, key));
    }
    let root = format!("/proc/{pid}/root");
    let path = mapped.path.strip_prefix("/").unwrap_or(&mapped.path);
    let through_root = Path::new(&root).join(path);
    let program = format!("/proc/{pid}/exe");
    let mut error = io::Error::from(io::ErrorKind::NotFound);
    for path in [through_root.as_path(), Path::new(&program)] {
        match regular(path) {
            Ok(file) if is_mapped(&file, mapped)? => {
                let key = key(&file)?;
                return Ok((file, key));
            }
            Ok(_) => {}
            Err(failure) => error = failure,
        }
    }
    Err(error)
}

/// The files of this device are what a program makes of them (FUSE): it may let whoever opens or
/// reads one wait for ever.
fn is_of_a_program(mountinfo: &str, device: u64) -> bool {
    // Id, parent, device …, type, source, options (proc_pid_mountinfo(5)).
    let mount = |line: &str| {
        let (mount, filesystem) = line.split_once(" - ")?;
        let (major, minor) = mount.split(' ').nth(2)?.split_once(':')?;
        let own = makedev(major.parse().ok()?, minor.parse().ok()?);
        Some(own == device && filesystem.starts_with("fuse"))
    };
    mountinfo.lines().filter_map(mount).any(|is| is)
}

/// Opens a regular file. Nothing waits: a FIFO is opened without its writer and then refused.
fn regular(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(open_file(path, flags, Mode::empty())?);
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// The inode is the mapping's, and so is the device, except where `maps` and `stat` name devices
/// differently (btrfs, overlayfs).
fn is_mapped(file: &File, mapped: &Mapped) -> io::Result<bool> {
    const BTRFS: u64 = 0x9123_683e;
    let metadata = file.metadata()?;
    let kind = filesystem(file)?;
    let same_device = metadata.dev() == mapped.file.device || kind == OVERLAYFS || kind == BTRFS;
    Ok(metadata.ino() == mapped.file.inode && same_device)
}

#[expect(
    clippy::cast_sign_loss,
    reason = "the type differs between processors; the number has 32 bits"
)]
fn filesystem(file: &File) -> io::Result<u64> {
    Ok(fstatfs(file)?.f_type as u64 & 0xffff_ffff)
}

/// Which file probes belong to. The kernel attaches to the inode underneath overlayfs, which
/// containers of one image share; `stat` shows its number, size and times through each mount.
fn key(file: &File) -> io::Result<FileKey> {
    let metadata = file.metadata()?;
    if filesystem(file)? != OVERLAYFS {
        return Ok(FileKey {
            device: metadata.dev(),
            inode: metadata.ino(),
            version: 0,
        });
    }
    let changed = metadata.mtime().cast_unsigned().wrapping_mul(1_000_000_000)
        ^ metadata.mtime_nsec().cast_unsigned();
    Ok(FileKey {
        device: 0,
        inode: metadata.ino(),
        version: changed ^ metadata.size().rotate_left(32),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_makes_of_its_files_is_not_opened() {
        let mounts = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
                      40 22 0:57 / /mnt/a\\040b rw,nosuid shared:9 - fuse.sshfs host: rw\n";
        let check = |major, minor, expected| {
            assert_eq!(is_of_a_program(mounts, makedev(major, minor)), expected);
        };
        check(8, 1, false);
        check(0, 57, true);
        check(0, 58, false);
        assert!(!is_of_a_program("broken\n - fuse\n", 0));
    }
}
