//! From a socket's cgroup to its container.
//!
//! The kernel's event carries the cgroup's id, which is the inode number of its folder. [`Tree`]
//! knows the folders below the captured cgroup: it reads them all at the start, and from then on
//! hears of new ones through inotify, so a container is known before its first process runs.
//! Reading them all again, on demand, is the fallback for whatever that missed.

mod mounts;
mod path;
mod tree;
mod watch;

pub(crate) use mounts::writable;
pub use path::Place;
pub(crate) use tree::Change;
pub(crate) use watch::{Listener, RescanTrigger, start};
