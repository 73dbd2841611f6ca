//! Files that were read before.
//!
//! Only a file itself is known again. A build id says what its maker wants it to say: a copy of
//! another program's library, with its build id, size and headers and with other symbols, would
//! give that program's genuine library wrong offsets.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use hashbrown::HashMap;

use super::{Located, Refusal, locate};

/// Files that are remembered: a node has some hundred programs and libraries. When there are more,
/// it starts over.
const MAX_ENTRIES: usize = 8192;

/// A file, and its state.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Contents {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    /// Nobody can set it.
    changed: (i64, i64),
}

impl Contents {
    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// [`locate`] with a memory.
#[derive(Debug, Default)]
pub struct Cache(HashMap<Contents, Result<Arc<Located>, Refusal>>);

impl Cache {
    /// The functions of a file, or why there are none.
    ///
    /// # Errors
    /// Why nothing of this file is attached to.
    pub fn locate(&mut self, file: &File) -> Result<Arc<Located>, Refusal> {
        let contents = Contents::of(file).map_err(super::bytes::unreadable)?;
        if let Some(known) = self.0.get(&contents) {
            return known.clone();
        }
        let located = locate(file).map(Arc::new);
        // What could not be read may be readable the next time.
        if !matches!(located, Err(Refusal::Unreadable(_))) {
            if self.0.len() >= MAX_ENTRIES {
                self.0.clear();
            }
            self.0.insert(contents, located.clone());
        }
        located
    }
}

#[cfg(test)]
mod tests {
    use super::super::Role;
    use super::*;

    #[test]
    fn a_file_is_known_again_and_a_copy_is_not() {
        let folder = std::env::temp_dir().join(format!("meshtap-cache-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let copy = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            std::fs::write(&path, bytes).expect("written");
            File::open(path).expect("opened")
        };
        let libssl = std::fs::read(super::super::tests::libssl()).expect("read");
        let mut cache = Cache::default();
        let a = copy("a", &libssl);
        let first = cache.locate(&a).expect("located");
        let again = cache.locate(&a).expect("located");
        assert!(Arc::ptr_eq(&first, &again), "it is the same file");
        // The same build id, size and headers, and symbols that lie.
        let symbol = |role| {
            let entry = first.of(role).next().expect("located").entry;
            let values = [entry, entry - 4].map(u64::to_le_bytes);
            let is_there = |value: &[u8; 8]| memchr::memmem::find(&libssl, value).is_some();
            values.into_iter().find(is_there).expect("a symbol")
        };
        let (read, write) = (symbol(Role::Read), symbol(Role::Write));
        let mut lies = libssl.clone();
        for at in memchr::memmem::find_iter(&libssl, &read) {
            lies[at..at + 8].copy_from_slice(&write);
        }
        let lied = cache.locate(&copy("b", &lies)).expect("located");
        let entry = |located: &Located| located.of(Role::Read).next().map(|one| one.entry);
        assert_ne!(entry(&lied), entry(&first));
        let again = cache.locate(&a).expect("located");
        assert_eq!(entry(&again), entry(&first));
        // The same path, other contents.
        let other = cache.locate(&copy("a", &std::fs::read("/bin/true").expect("read")));
        assert_eq!(other.unwrap_err(), Refusal::NoTls);
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
