//! Files that the agent writes: never through a link that a stranger made, never into a file of
//! somebody else, never over its own input.
//!
//! The agent is privileged and what it writes is secret. A folder that others can write to (`/tmp`)
//! may hold whatever they put there under the name that is asked for: a symbolic link (symlink(7)),
//! a hard link, a named pipe, a file of theirs. So a path is walked part by part, each below the
//! folder opened before (openat(2)); what is found at its end is opened without following, and
//! looked at before a byte is written.

mod folder;

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, Stat, fchmod, fcntl_setfl, fstat, ftruncate, openat};
use rustix::io::Errno;
use thiserror::Error;

use self::folder::folder_of;

/// What an output is made with: for its owner alone, whatever the umask.
const PRIVATE: Mode = Mode::from_raw_mode(0o600);
/// Times that a file which comes and goes is tried.
const TRIES: usize = 4;

/// Why a path is not written to.
#[derive(Debug, Error)]
pub enum Refused {
    /// Its last part is a symbolic link.
    #[error(
        "it is a symbolic link, and captured data is never written through one: name the file that it leads to"
    )]
    Link,
    /// A folder on the way is a link that neither root nor the running user made.
    #[error("its folder {} is a symbolic link of another user (uid {uid})", folder.display())]
    FolderLink {
        /// The link.
        folder: PathBuf,
        /// Its owner.
        uid: u32,
    },
    /// It belongs to another user.
    #[error(
        "it belongs to another user (uid {0}), who could read what is written: remove it, or choose another name"
    )]
    Owner(u32),
    /// It has other names.
    #[error(
        "it has {0} names (hard links), and would change under all of them: remove it, or choose another name"
    )]
    HardLinks(u64),
    /// It is nothing that can be written to.
    #[error("it is a {0}")]
    Kind(&'static str),
    /// A named pipe without a reader, or a socket.
    #[error("it is a named pipe that nobody reads, or a socket")]
    NoReader,
    /// It is the same file as something else of this command.
    #[error("it is the same file as {0}")]
    Same(String),
    /// The system says no.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<Errno> for Refused {
    fn from(error: Errno) -> Self {
        Self::Io(error.into())
    }
}

/// A file, whatever its name: device and inode number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity(u64, u64);

/// The files of one command: what it reads, and what it writes. Refuses to take one twice.
#[derive(Debug, Default)]
pub struct Files {
    taken: Vec<(Identity, String)>,
    /// Of them, those that are read.
    read: Vec<(Identity, String)>,
    /// Descriptors among the outputs.
    inherited: Vec<i32>,
}

impl Files {
    /// With standard output and standard error, in case they are files.
    #[must_use]
    pub fn new() -> Self {
        let mut files = Self::default();
        files.take("standard output", rustix::stdio::stdout());
        files.take("standard error", rustix::stdio::stderr());
        files
    }

    /// Takes a file that is written to already: nothing else is.
    fn take(&mut self, name: &str, file: impl AsFd) {
        let identity = identity_of(file);
        self.taken
            .extend(identity.map(|found| (found, name.to_owned())));
    }

    /// Takes a file that is read: nothing is written to it.
    pub fn input(&mut self, name: &str, file: impl AsFd) {
        if let Some(identity) = identity_of(file) {
            self.taken.push((identity, name.to_owned()));
            self.read.push((identity, name.to_owned()));
        }
    }

    /// Whether a descriptor that the agent was started with may be written to.
    ///
    /// # Errors
    /// When it leads to a file that is read.
    pub fn inherited(&self, file: impl AsFd) -> Result<(), Refused> {
        let found = identity_of(file);
        match (self.read.iter()).find(|(read, _)| Some(*read) == found) {
            Some((_, name)) => Err(Refused::Same(name.clone())),
            None => Ok(()),
        }
    }

    /// Opens an output. Nothing in it changes until [`Output::start`].
    ///
    /// # Errors
    /// When it must not or cannot be written to.
    pub fn output(&mut self, path: &Path) -> Result<Output, Refused> {
        let output = Output::open(path)?;
        if let Some(number) = number(path) {
            if self.inherited.contains(&number) {
                return Err(Refused::Same("another output".to_owned()));
            }
            self.inherited(&output.file)?;
            self.inherited.push(number);
            return Ok(output);
        }
        if let Some(identity) = identity(&fstat(&output.file)?) {
            if let Some((_, name)) = self.taken.iter().find(|(other, _)| *other == identity) {
                return Err(Refused::Same(name.clone()));
            }
            self.taken.push((identity, path.display().to_string()));
        }
        Ok(output)
    }
}

fn identity_of(file: impl AsFd) -> Option<Identity> {
    identity(&fstat(file).ok()?)
}

/// Of what holds data; two writers to a device do each other no harm.
fn identity(stat: &Stat) -> Option<Identity> {
    let kind = FileType::from_raw_mode(stat.st_mode);
    matches!(kind, FileType::RegularFile | FileType::Fifo)
        .then_some(Identity(stat.st_dev, stat.st_ino))
}

/// What an output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file of ours.
    File,
    /// A device or a named pipe: bytes that are gone once written.
    Stream,
    /// A descriptor that the agent was started with (`-`, `/dev/stdout`, `/dev/fd/N`): left as it
    /// is.
    Inherited,
}

/// An output that may be written to.
#[derive(Debug)]
pub struct Output {
    path: PathBuf,
    file: File,
    kind: Kind,
    /// Folder and name of a file that was made just now: it is removed again if it is not used.
    made: Option<(OwnedFd, OsString)>,
}

impl Output {
    fn open(path: &Path) -> Result<Self, Refused> {
        if let Some(number) = number(path) {
            return Ok(Self {
                path: path.to_owned(),
                file: File::from(duplicate(number)?),
                kind: Kind::Inherited,
                made: None,
            });
        }
        let (folder, name) = folder_of(path)?;
        for _ in 0..TRIES {
            match create(folder.as_fd(), &name) {
                Ok(file) => {
                    fchmod(&file, PRIVATE)?;
                    return Ok(Self {
                        path: path.to_owned(),
                        file: File::from(file),
                        kind: Kind::File,
                        made: Some((folder, name)),
                    });
                }
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            match existing(folder.as_fd(), &name) {
                // It has gone since.
                Err(Refused::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
                found => {
                    let (file, kind) = found?;
                    return Ok(Self {
                        path: path.to_owned(),
                        file,
                        kind,
                        made: None,
                    });
                }
            }
        }
        Err(Refused::Io(io::Error::other("it comes and goes")))
    }

    /// The path as it was given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// It was not there before.
    #[must_use]
    pub const fn is_new(&self) -> bool {
        self.made.is_some()
    }

    /// It was asked for as standard output.
    #[must_use]
    pub fn is_stdout(&self) -> bool {
        number(&self.path) == Some(1)
    }

    /// Empties it, for its owner alone.
    ///
    /// # Errors
    /// When the system says no.
    pub fn start(mut self) -> io::Result<File> {
        if self.kind == Kind::File {
            ftruncate(&self.file, 0)?;
        }
        self.made = None;
        self.file.try_clone()
    }
}

impl Output {
    /// Adds to what is in it, for its owner alone.
    ///
    /// # Errors
    /// When the system says no.
    pub fn append(mut self) -> io::Result<File> {
        if self.kind == Kind::File {
            let flags = rustix::fs::fcntl_getfl(&self.file)?;
            fcntl_setfl(&self.file, flags | OFlags::APPEND)?;
        }
        self.made = None;
        self.file.try_clone()
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some((folder, name)) = &self.made {
            // It is empty, and nobody asked for it in the end.
            let _ = rustix::fs::unlinkat(folder, name, rustix::fs::AtFlags::empty());
        }
    }
}

/// A file without a name, which is gone when it is closed.
///
/// # Errors
/// When the system says no.
pub fn unnamed() -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    let file = rustix::fs::open(std::env::temp_dir(), flags, PRIVATE)?;
    Ok(File::from(file))
}

/// A path stands for a descriptor that the process was started with.
#[must_use]
pub fn is_descriptor(path: &Path) -> bool {
    number(path).is_some()
}

/// The descriptor that a path stands for.
fn number(path: &Path) -> Option<i32> {
    match path.to_str()? {
        "-" | "/dev/stdout" => Some(1),
        "/dev/stderr" => Some(2),
        text => text
            .strip_prefix("/dev/fd/")
            .or_else(|| text.strip_prefix("/proc/self/fd/"))?
            .parse()
            .ok(),
    }
}

fn duplicate(number: i32) -> io::Result<OwnedFd> {
    if number < 0 {
        return Err(Errno::BADF.into());
    }
    // SAFETY: the descriptor is only asked to be duplicated while this call lasts; where there is
    // none the system says so (EBADF).
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    Ok(rustix::io::fcntl_dupfd_cloexec(borrowed, 3)?)
}

fn create(folder: BorrowedFd<'_>, name: &OsString) -> Result<OwnedFd, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(folder, name, flags, PRIVATE)
}

/// Opens what is there already, without changing its content.
fn existing(folder: BorrowedFd<'_>, name: &OsString) -> Result<(File, Kind), Refused> {
    // Without waiting for the reader of a named pipe, and without a terminal becoming ours.
    let flags =
        OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = openat(folder, name, flags, Mode::empty()).map_err(|error| match error {
        Errno::LOOP => Refused::Link,
        Errno::ISDIR => Refused::Kind("folder"),
        Errno::NXIO => Refused::NoReader,
        error => error.into(),
    })?;
    let stat = fstat(&file)?;
    let own = rustix::process::geteuid().as_raw();
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile | FileType::Fifo if stat.st_uid != own => {
            return Err(Refused::Owner(stat.st_uid));
        }
        FileType::RegularFile if stat.st_nlink > 1 => {
            return Err(Refused::HardLinks(stat.st_nlink));
        }
        FileType::RegularFile => Kind::File,
        FileType::Fifo => Kind::Stream,
        // A terminal, /dev/null. Only root makes devices.
        FileType::CharacterDevice => {
            fcntl_setfl(&file, OFlags::empty())?;
            return Ok((File::from(file), Kind::Stream));
        }
        FileType::BlockDevice => return Err(Refused::Kind("disk")),
        _ => return Err(Refused::Kind("socket, or something else that is no file")),
    };
    // Nobody else can read it before anything is in it.
    fchmod(&file, PRIVATE)?;
    fcntl_setfl(&file, OFlags::empty())?;
    Ok((File::from(file), kind))
}

#[cfg(test)]
mod tests;
