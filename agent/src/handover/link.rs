//! How the agents of a node meet: a socket in a folder of the node.
//!
//! The new agent connects before it does anything that takes long, and sends [`STARTS`]: an old one
//! that is asked to end goes on until the new one captures, or has ended. Once it captures, it
//! connects again and sends [`HELLO`]; the old one responds with `from NANOSECONDS`, the moment on
//! the monotonic clock. Both connections stay for as long as the new agent lives: an old one that
//! stands by sees by their end that it is alone. Only a process of the same user is listened to
//! (SO_PEERCRED, unix(7)), and the folder must be that user's alone.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, access};
use rustix::process::{Uid, geteuid};

use crate::flow::Nanos;

/// The line of an agent that starts.
const STARTS: &str = "meshtap starts 1\n";
/// The line of a new agent that captures.
const HELLO: &str = "meshtap handover 1\n";
/// Name of the socket.
const SOCKET: &str = "handover.sock";
/// Longest line: the greeting, or a response with 20 digits.
const LINE: u64 = 64;
/// Longest wait for a line of a process that is there. The search for the moment takes a tenth of a
/// second.
pub(super) const TIMEOUT: Duration = Duration::from_secs(2);

/// The agent that runs, as the new one sees it.
#[derive(Debug)]
pub struct Predecessor {
    socket: PathBuf,
    /// Shows it that this agent lives.
    _announced: UnixStream,
}

/// What the new agent has taken over. Keep it for as long as the agent lives: the other one sees
/// its end.
#[derive(Debug)]
pub struct Taken {
    /// Exchanges that start at this or later are the new agent's.
    pub from: Nanos,
    _connection: UnixStream,
}

/// Who has connected to an agent that runs.
#[derive(Debug)]
pub enum Caller {
    /// An agent that does not capture yet.
    Starts(Starting),
    /// One that captures, and takes over.
    TakesOver(Successor),
}

/// An agent that starts, as the one that runs sees it.
#[derive(Debug)]
pub struct Starting(UnixStream);

/// The new agent, as the one that runs sees it.
#[derive(Debug)]
pub struct Successor(UnixStream);

/// Where the next agent is waited for.
#[derive(Debug)]
pub struct Listener {
    listener: UnixListener,
}

impl Predecessor {
    /// The agent that listens in `folder`, if there is one. It learns that this one starts.
    ///
    /// # Errors
    /// When the folder cannot be used, or the process there is another user's.
    pub fn find(folder: &Path) -> io::Result<Option<Self>> {
        let socket = prepare(folder)?;
        let stream = match UnixStream::connect(&socket) {
            Ok(stream) => stream,
            // Nobody was there ever, or nobody is any more.
            Err(error) if is_nobody(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        check_user(&stream)?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        // One that ends just now does not read it, which shows when it is to hand over.
        let _unread = (&stream).write_all(STARTS.as_bytes());
        Ok(Some(Self {
            socket,
            _announced: stream,
        }))
    }

    /// Takes over.
    ///
    /// # Errors
    /// When there is no response in time, or one that is not understood.
    pub fn take_over(&self) -> io::Result<Taken> {
        let stream = UnixStream::connect(&self.socket)?;
        check_user(&stream)?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        (&stream).write_all(HELLO.as_bytes())?;
        let line = line(&stream)?;
        let moment = line
            .strip_prefix("from ")
            .and_then(|n| n.trim_end().parse().ok());
        let refuse = || io::Error::new(io::ErrorKind::InvalidData, "not a moment");
        Ok(Taken {
            from: moment.ok_or_else(refuse)?,
            _connection: stream,
        })
    }
}

impl Listener {
    /// Listens in `folder`, in place of whoever did before.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn bind(folder: &Path) -> io::Result<Self> {
        let path = prepare(folder)?;
        // Beside it first: there is always somebody at the name.
        let beside = path.with_extension(std::process::id().to_string());
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&beside)?;
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o600))?;
        fs::rename(&beside, &path)?;
        Ok(Self { listener })
    }

    /// Waits for an agent. Others that connect are passed over.
    ///
    /// # Errors
    /// When the kernel gives no connections any more.
    pub fn accept(&self) -> io::Result<Caller> {
        loop {
            let (stream, _) = self.listener.accept()?;
            let greeting = check_user(&stream).and_then(|()| line(&stream));
            match greeting {
                Ok(greeting) if greeting == HELLO => {
                    return Ok(Caller::TakesOver(Successor(stream)));
                }
                Ok(greeting) if greeting == STARTS => return Ok(Caller::Starts(Starting(stream))),
                // An agent of an older version looks whether somebody is there.
                Ok(greeting) if greeting.is_empty() => {}
                Ok(_) => tracing::warn!("a process at the hand-over's socket is no agent"),
                Err(error) => tracing::warn!(%error, "a hand-over was not asked for"),
            }
        }
    }
}

impl Successor {
    /// Says from when on exchanges are the new agent's.
    ///
    /// # Errors
    /// When it is gone.
    pub fn hand_over(&self, from: Nanos) -> io::Result<()> {
        self.0.set_write_timeout(Some(TIMEOUT))?;
        (&self.0).write_all(format!("from {from}\n").as_bytes())
    }

    /// The new agent has ended.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        is_gone(&self.0)
    }
}

impl Starting {
    /// The agent has ended.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        is_gone(&self.0)
    }
}

/// The other end, which has said all that it says, is not there any more.
fn is_gone(mut stream: &UnixStream) -> bool {
    let mut byte = [0];
    let read = (stream.set_nonblocking(true)).and_then(|()| stream.read(&mut byte));
    match read {
        Ok(count) => count == 0,
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
    }
}

/// The socket's path in a folder that is this user's alone, made if need be.
fn prepare(folder: &Path) -> io::Result<PathBuf> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    check_folder(folder)?;
    Ok(folder.join(SOCKET))
}

/// Whether agents could meet in `folder`, or in one that would be made there. Makes nothing.
///
/// # Errors
/// When they could not.
pub fn examine(folder: &Path) -> io::Result<()> {
    let mut existing = folder
        .ancestors()
        .filter(|path| !path.as_os_str().is_empty());
    match existing.find(|path| path.symlink_metadata().is_ok()) {
        Some(found) if found == folder => check_folder(folder)?,
        Some(above) if !above.metadata()?.is_dir() => {
            return Err(io::Error::other(format!(
                "{} is no folder",
                above.display()
            )));
        }
        _ => {}
    }
    let above = folder.ancestors().find(|path| path.is_dir());
    access(
        above.unwrap_or(Path::new(".")),
        Access::WRITE_OK | Access::EXEC_OK,
    )
    .map_err(Into::into)
}

fn check_folder(folder: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(folder)?;
    let is_own = metadata.is_dir() && metadata.uid() == geteuid().as_raw();
    // Others may look (a kubelet makes folders of a node so), and write nothing.
    if !is_own || metadata.mode() & 0o022 != 0 {
        let reason = format!(
            "{} must be a folder that this user alone writes",
            folder.display()
        );
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
    }
    Ok(())
}

fn is_nobody(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
    )
}

fn check_user(stream: &UnixStream) -> io::Result<()> {
    let user = peer_user(stream)?;
    if user == geteuid() {
        return Ok(());
    }
    let reason = format!("a process of user {} is there", user.as_raw());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, reason))
}

/// The user at the other end. Between two pods its process id is 0, since it has none in this PID
/// namespace: rustix's type for the same has no place for that.
fn peer_user(stream: &UnixStream) -> io::Result<Uid> {
    let mut peer = libc::ucred {
        pid: 0,
        uid: 0,
        gid: 0,
    };
    let mut length = libc::socklen_t::try_from(size_of_val(&peer)).unwrap_or(0);
    // SAFETY: the kernel writes at most `length` bytes, the size of `peer`, whose fields are
    // integers.
    let result = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut length,
        )
    };
    match result {
        0 if usize::try_from(length) == Ok(size_of_val(&peer)) => Ok(Uid::from_raw(peer.uid)),
        0 => Err(io::ErrorKind::InvalidData.into()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn line(stream: &UnixStream) -> io::Result<String> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    let mut line = String::new();
    BufReader::new(stream.take(LINE)).read_line(&mut line)?;
    Ok(line)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    impl Starting {
        /// One, and what it lives for.
        pub(in crate::handover) fn pair() -> (Self, UnixStream) {
            let (own, other) = UnixStream::pair().unwrap();
            (Self(own), other)
        }
    }

    struct Scratch(PathBuf);

    impl Listener {
        /// The next one that takes over; those that start are passed over.
        fn successor(&self) -> Successor {
            loop {
                if let Caller::TakesOver(successor) = self.accept().unwrap() {
                    return successor;
                }
            }
        }
    }

    impl Scratch {
        fn new(name: &str) -> Self {
            let name = format!("meshtap-handover-{}-{name}", std::process::id());
            Self(std::env::temp_dir().join(name))
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn nobody_is_there() {
        let scratch = Scratch::new("nobody");
        assert!(Predecessor::find(&scratch.0).unwrap().is_none());
        drop(Listener::bind(&scratch.0).unwrap());
        // One that has ended left its socket.
        assert!(Predecessor::find(&scratch.0).unwrap().is_none());
        let mode = fs::metadata(&scratch.0).unwrap().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn one_after_another() {
        let scratch = Scratch::new("chain");
        let mut listener = Listener::bind(&scratch.0).unwrap();
        for round in 1..4 {
            let predecessor = Predecessor::find(&scratch.0).unwrap().expect("an agent");
            thread::scope(|scope| {
                let old = scope.spawn(|| {
                    let successor = listener.successor();
                    successor.hand_over(round * 1000).unwrap();
                    successor
                });
                let taken = predecessor.take_over().unwrap();
                assert_eq!(taken.from, round * 1000);
                let successor = old.join().unwrap();
                assert!(!successor.is_gone());
                drop(taken);
                assert!(successor.is_gone());
            });
            listener = Listener::bind(&scratch.0).unwrap();
        }
    }

    #[test]
    fn one_that_starts_is_known_before_it_captures() {
        let scratch = Scratch::new("starts");
        let listener = Listener::bind(&scratch.0).unwrap();
        let predecessor = Predecessor::find(&scratch.0).unwrap().expect("an agent");
        let Caller::Starts(starting) = listener.accept().unwrap() else {
            panic!("it does not capture yet");
        };
        assert!(!starting.is_gone());
        drop(predecessor);
        assert!(starting.is_gone());
    }

    #[test]
    fn others_are_passed_over() {
        let scratch = Scratch::new("others");
        let listener = Listener::bind(&scratch.0).unwrap();
        let path = scratch.0.join(SOCKET);
        for text in ["GET / HTTP/1.1\r\n\r\n", "", &"x".repeat(1000)] {
            let mut stream = UnixStream::connect(&path).unwrap();
            stream.write_all(text.as_bytes()).unwrap();
        }
        let predecessor = Predecessor::find(&scratch.0).unwrap().expect("an agent");
        thread::scope(|scope| {
            scope.spawn(|| listener.successor().hand_over(7).unwrap());
            assert_eq!(predecessor.take_over().unwrap().from, 7);
        });
    }

    #[test]
    fn a_folder_that_others_write_is_refused() {
        let scratch = Scratch::new("writable");
        fs::create_dir(&scratch.0).unwrap();
        fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o777)).unwrap();
        let refused = |error: io::Error| error.kind() == io::ErrorKind::PermissionDenied;
        assert!(Predecessor::find(&scratch.0).is_err_and(refused));
        assert!(Listener::bind(&scratch.0).is_err_and(refused));
        let file = scratch.0.join("file");
        fs::write(&file, "").unwrap();
        assert!(Listener::bind(&file).is_err());
        // What is said of it before is the same, and makes nothing.
        assert!(examine(&scratch.0).is_err_and(refused));
        assert!(examine(&file).is_err());
        assert!(examine(&file.join("below")).is_err());
        fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o700)).unwrap();
        examine(&scratch.0).unwrap();
        let below = scratch.0.join("a/b");
        examine(&below).unwrap();
        assert!(!scratch.0.join("a").exists());
        assert!(Predecessor::find(&below).unwrap().is_none());
    }
}
