//! The folders of a cgroup hierarchy, kept up to date by inotify.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use hashbrown::HashMap;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use super::Place;
use crate::flow::CgroupId;

/// Folders followed: ten times what a node at the kubelet's limit of pods has.
const MAX_FOLDERS: usize = 65_536;
/// Levels below the root. A node that is a container inside a pod has about twenty.
const MAX_DEPTH: usize = 64;
/// Events of several dozen folders, taken at once.
const EVENTS: usize = 8192;

/// What happened to a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is there; with what its path names.
    Appeared(CgroupId, Option<Place>),
    /// It is gone.
    Vanished(CgroupId),
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// Bytes of the path that may name a pod: up to the first folder that is not of the root's
    /// owner.
    trusted: usize,
    watch: Option<i32>,
    /// The last full reading that found it.
    found: u64,
}

/// The folders.
#[derive(Debug)]
pub(crate) struct Tree {
    root: PathBuf,
    /// The user that the root belongs to, which is the kubelet's.
    owner: u32,
    inotify: Option<OwnedFd>,
    folders: HashMap<u64, Folder>,
    ids: HashMap<PathBuf, u64>,
    watches: HashMap<i32, u64>,
    readings: u64,
    /// Some folder could not be watched: only reading them all finds what is new below it.
    blind: bool,
}

impl Tree {
    /// Of the folders from `root` on. Nothing is read yet.
    pub(crate) fn new(root: PathBuf) -> Self {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .inspect_err(|error| tracing::warn!(%error, "new containers are found late"))
            .ok();
        Self {
            owner: fs::metadata(&root).map_or(0, |root| root.uid()),
            root,
            blind: inotify.is_none(),
            inotify,
            folders: HashMap::new(),
            ids: HashMap::new(),
            watches: HashMap::new(),
            readings: 0,
        }
    }

    /// Where updates come from.
    pub(crate) fn events(&self) -> Option<BorrowedFd<'_>> {
        self.inotify.as_ref().map(AsFd::as_fd)
    }

    /// Updates may be missed, so that all must be read now and then.
    pub(crate) const fn is_blind(&self) -> bool {
        self.blind
    }

    /// Reads all folders.
    pub(crate) fn read_all(&mut self, changes: &mut Vec<Change>) {
        self.readings += 1;
        self.blind = self.inotify.is_none();
        self.enter(self.root.clone(), usize::MAX, changes);
        let gone: Vec<_> = self
            .folders
            .iter()
            .filter(|(_, folder)| folder.found != self.readings)
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            self.forget(id, changes);
        }
    }

    /// Takes the updates that there are.
    ///
    /// # Errors
    /// When the kernel gives none any more.
    pub(crate) fn take_events(&mut self, changes: &mut Vec<Change>) -> io::Result<()> {
        let Some(inotify) = &self.inotify else {
            return Ok(());
        };
        let mut updates = Vec::new();
        let mut overflow = false;
        let mut buffer = [MaybeUninit::uninit(); EVENTS];
        let mut reader = inotify::Reader::new(inotify, &mut buffer);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::WOULDBLOCK) => break,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let flags = event.events();
            overflow |= flags.contains(ReadFlags::QUEUE_OVERFLOW);
            if flags.contains(ReadFlags::ISDIR)
                && let Some(name) = event.file_name()
                && let Some(parent) = self.watches.get(&event.wd())
                && let Some(parent) = self.folders.get(parent)
            {
                let path = parent.path.join(OsStr::from_bytes(name.to_bytes()));
                updates.push((path, parent.trusted, flags.contains(ReadFlags::CREATE)));
            }
        }
        for (path, trusted, is_new) in updates {
            if is_new {
                self.enter(path, trusted, changes);
            } else if let Some(&id) = self.ids.get(&path) {
                self.forget(id, changes);
            }
        }
        if overflow {
            self.read_all(changes);
        }
        Ok(())
    }

    /// Takes up a folder and all below it. One that is gone again is nobody's. `trusted` is its
    /// parent's.
    fn enter(&mut self, path: PathBuf, trusted: usize, changes: &mut Vec<Change>) {
        let mut open = vec![(path, trusted, 0)];
        while let Some((path, trusted, depth)) = open.pop() {
            // Watched before it is read: what appears meanwhile is reported twice rather than
            // never.
            let watch = self.watch(&path);
            let Ok(metadata) = fs::symlink_metadata(&path) else {
                continue;
            };
            let above = path.parent().map_or(0, |parent| parent.as_os_str().len());
            let trusted = match metadata.uid() == self.owner {
                true => trusted,
                false => trusted.min(above),
            };
            let folder = Folder {
                path: path.clone(),
                trusted,
                watch,
                found: self.readings,
            };
            self.note(metadata.ino(), folder, changes);
            if depth >= MAX_DEPTH || self.folders.len() >= MAX_FOLDERS {
                self.blind = true;
                continue;
            }
            let entries = fs::read_dir(&path).into_iter().flatten().flatten();
            let folders = entries.filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir()));
            open.extend(folders.map(|entry| (entry.path(), trusted, depth + 1)));
        }
    }

    fn note(&mut self, id: u64, folder: Folder, changes: &mut Vec<Change>) {
        if let Some(watch) = folder.watch {
            self.watches.insert(watch, id);
        }
        let known = self.folders.get_mut(&id);
        if let Some(known) = known.filter(|known| known.path == folder.path) {
            known.found = folder.found;
            known.watch = known.watch.or(folder.watch);
            return;
        }
        // The one that had this path is gone, though nobody said so yet.
        if let Some(&former) = self.ids.get(&folder.path) {
            self.forget(former, changes);
        }
        let place = Place::of(&folder.path.to_string_lossy(), folder.trusted);
        self.ids.insert(folder.path.clone(), id);
        self.folders.insert(id, folder);
        changes.push(Change::Appeared(CgroupId(id), place));
    }

    fn watch(&mut self, path: &Path) -> Option<i32> {
        let flags = WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::ONLYDIR;
        match inotify::add_watch(self.inotify.as_ref()?, path, flags) {
            Ok(watch) => Some(watch),
            Err(Errno::NOENT) => None,
            // Most often ENOSPC: `fs.inotify.max_user_watches`.
            Err(error) => {
                if !self.blind {
                    let path = path.display();
                    tracing::warn!(%error, %path, "a cgroup cannot be watched: new containers are found late");
                }
                self.blind = true;
                None
            }
        }
    }

    fn forget(&mut self, id: u64, changes: &mut Vec<Change>) {
        let Some(folder) = self.folders.remove(&id) else {
            return;
        };
        if self.ids.get(&folder.path) == Some(&id) {
            self.ids.remove(&folder.path);
        }
        if let Some(watch) = folder.watch
            && self.watches.get(&watch) == Some(&id)
        {
            self.watches.remove(&watch);
            if let Some(inotify) = &self.inotify {
                // The kernel may have removed it with the folder.
                let _ = inotify::remove_watch(inotify, watch);
            }
        }
        changes.push(Change::Vanished(CgroupId(id)));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A folder of ordinary files does what cgroups do, as far as names, inode numbers and inotify
    /// go.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("meshtap-tree-{}-{name}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn make(&self, path: &str) -> u64 {
            let path = self.0.join(path);
            fs::create_dir_all(&path).unwrap();
            fs::metadata(path).unwrap().ino()
        }

        fn remove(&self, path: &str) {
            fs::remove_dir(self.0.join(path)).unwrap();
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// What is there after these changes.
    fn apply(known: &mut BTreeSet<u64>, changes: &mut Vec<Change>) {
        for change in changes.drain(..) {
            match change {
                Change::Appeared(id, _) => assert!(known.insert(id.0), "{id:?} appeared twice"),
                Change::Vanished(id) => assert!(known.remove(&id.0), "{id:?} was not there"),
            }
        }
    }

    fn read(tree: &mut Tree, known: &mut BTreeSet<u64>) {
        let mut changes = Vec::new();
        tree.read_all(&mut changes);
        apply(known, &mut changes);
    }

    fn hear(tree: &mut Tree, known: &mut BTreeSet<u64>) {
        let mut changes = Vec::new();
        tree.take_events(&mut changes).unwrap();
        apply(known, &mut changes);
    }

    #[test]
    fn folders_come_and_go() {
        let scratch = Scratch::new("updates");
        let a = scratch.make("a");
        let ab = scratch.make("a/b");
        let mut tree = Tree::new(scratch.0.clone());
        let mut known = BTreeSet::new();
        read(&mut tree, &mut known);
        let root = fs::metadata(&scratch.0).unwrap().ino();
        assert_eq!(known, [root, a, ab].into());

        // Made in one go, deeper than what is watched.
        let c = scratch.make("a/b/c");
        let e = scratch.make("d/e");
        let d = scratch.make("d");
        hear(&mut tree, &mut known);
        assert_eq!(known, [root, a, ab, c, d, e].into());

        // Something new below what was just made.
        let f = scratch.make("d/e/f");
        scratch.remove("a/b/c");
        scratch.remove("a/b");
        hear(&mut tree, &mut known);
        assert_eq!(known, [root, a, d, e, f].into());

        // Gone and made again under the same name.
        scratch.remove("d/e/f");
        let g = scratch.make("d/e/g");
        scratch.remove("d/e/g");
        let f = scratch.make("d/e/f");
        hear(&mut tree, &mut known);
        assert!(known.contains(&f) && (f == g || !known.contains(&g)));
        let before = known.clone();
        read(&mut tree, &mut known);
        assert_eq!(known, before, "reading all finds what the updates reported");
        assert!(!tree.is_blind());
    }

    #[test]
    fn reading_all_finds_what_was_missed() {
        let scratch = Scratch::new("reading");
        let a = scratch.make("a");
        let mut tree = Tree::new(scratch.0.clone());
        tree.inotify = None;
        let mut known = BTreeSet::new();
        read(&mut tree, &mut known);
        assert!(known.contains(&a) && tree.is_blind());
        let b = scratch.make("b/c");
        scratch.remove("a");
        hear(&mut tree, &mut known);
        assert!(!known.contains(&b));
        read(&mut tree, &mut known);
        assert!(known.contains(&b) && !known.contains(&a) || a == b);
    }

    #[test]
    fn paths_name_containers() {
        let scratch = Scratch::new("names");
        let id = "ab".repeat(32);
        let uid = "11111111-2222-4333-8444-555555555555";
        let folder = scratch.make(&format!("kubepods/pod{uid}/{id}"));
        let mut tree = Tree::new(scratch.0.clone());
        let mut changes = Vec::new();
        tree.read_all(&mut changes);
        let place = Place {
            pod: Some(uid.into()),
            container: Some(id.into()),
        };
        assert!(changes.contains(&Change::Appeared(CgroupId(folder), Some(place))));
    }
}
