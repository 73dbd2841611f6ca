//! Files that were read before.
//!
//! A build id alone does not name the contents: Envoy's is the commit, the same for every processor
//! and every choice of extensions. So the headers have to be the same too, with the sizes and
//! places of all segments.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use hashbrown::HashMap;

use super::elf::Elf;
use super::{BuildId, Located, Refusal, locate};

/// Contents that are remembered: a node has some hundred programs and libraries. When there are
/// more, it starts over.
const MAX_ENTRIES: usize = 8192;

/// What is in a file.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Contents {
    Built {
        build_id: BuildId,
        size: u64,
        headers: Box<[u8]>,
    },
    File {
        device: u64,
        inode: u64,
        size: u64,
        modified: (i64, i64),
    },
}

impl Contents {
    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let size = metadata.len();
        if let Ok(elf) = Elf::parse(file)
            && let Some(build_id) = elf.build_id()
        {
            return Ok(Self::Built {
                build_id,
                size,
                headers: elf.headers.into(),
            });
        }
        Ok(Self::File {
            device: metadata.dev(),
            inode: metadata.ino(),
            size,
            modified: (metadata.mtime(), metadata.mtime_nsec()),
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
    use super::*;

    #[test]
    fn a_copy_is_not_read_again_and_a_change_is() {
        let folder = std::env::temp_dir().join(format!("meshtap-cache-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let copy = |name: &str, from: &str| {
            let path = folder.join(name);
            std::fs::copy(from, &path).expect("copied");
            File::open(path).expect("opened")
        };
        let libssl = super::super::tests::libssl();
        let libssl = libssl.to_str().expect("text");
        let mut cache = Cache::default();
        let first = cache.locate(&copy("a", libssl)).expect("located");
        let again = cache.locate(&copy("b", libssl)).expect("located");
        assert!(Arc::ptr_eq(&first, &again), "the contents are the same");
        assert_eq!(cache.0.len(), 1);
        // The same path, other contents.
        let other = cache.locate(&copy("a", "/bin/true"));
        assert_eq!(other.unwrap_err(), Refusal::NoTls);
        assert_eq!(cache.0.len(), 2);
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
