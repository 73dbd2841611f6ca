//! What discovery reports.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use super::super::locate::{Located, Refusal};

/// A file that processes run or have loaded.
#[derive(Clone, Debug)]
pub struct Target {
    /// Which file it is.
    pub key: FileKey,
    /// Its path as the first process sees it: for people. It may lead nowhere from here.
    pub path: PathBuf,
    /// Held open, so it is this file whatever becomes of the path: attach to
    /// `/proc/self/fd/N`.
    pub file: Arc<File>,
    /// Its functions, or why nothing is attached to.
    pub functions: Result<Arc<Located>, Refusal>,
    /// The processes that use it and may be read, in ascending order: for people. Others may have
    /// the same file; whoever reads must check the cgroup.
    pub pids: Vec<u32>,
}

/// One file for probes. On overlayfs, files of several mounts can be one file underneath, to which
/// probes belong; those are one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileKey {
    /// The filesystem's device number; 0 for overlayfs.
    pub device: u64,
    /// The inode.
    pub inode: u64,
    /// Of overlayfs: size and time of the last change, which copies of one file share.
    pub version: u64,
}

/// What has changed.
#[derive(Clone, Debug)]
pub enum Change {
    /// A file has its first user. Reported once, with its functions or the reason why there are
    /// none; files without a TLS library are not reported.
    Added(Target),
    /// Other processes use it now.
    Users(FileKey, Vec<u32>),
    /// Its last user is gone.
    Removed(FileKey),
}
