//! The thread that keeps the [`Tree`] up to date.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

use super::tree::{Change, Tree};
use crate::flow::CgroupId;

/// Wait between two readings of all folders that somebody asked for: they cost milliseconds each on
/// a full node.
const PAUSE: Duration = Duration::from_millis(50);
/// Readings of all folders when updates may be missed, and how often the listener lets time pass.
const PERIOD: Duration = Duration::from_secs(1);

/// Who hears of cgroups.
pub(crate) trait Listener: Send + Sync + 'static {
    /// Some came or went.
    fn changed(&self, changes: &[Change]);
    /// The pending lookups, since the last call.
    fn pending(&self) -> Vec<CgroupId>;
    /// All folders were read since these were requested: what is not known now is not there.
    fn scanned(&self, pending: &[CgroupId]);
    /// Time passes.
    fn tick(&self);
}

/// Asks for all folders to be read. The thread ends when this is dropped.
#[derive(Debug)]
pub(crate) struct RescanTrigger {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    eventfd: OwnedFd,
    is_requested: AtomicBool,
    stop: AtomicBool,
}

impl Shared {
    fn wake(&self) {
        // It only fails when the counter is full: then the thread is awake in any case.
        let _ = rustix::io::write(&self.eventfd, &1u64.to_ne_bytes());
    }
}

impl RescanTrigger {
    /// Asks.
    pub(crate) fn request(&self) {
        if !self.shared.is_requested.swap(true, Ordering::AcqRel) {
            self.shared.wake();
        }
    }
}

impl Drop for RescanTrigger {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.wake();
    }
}

/// Reads the folders below `root` and reports them, then starts the thread.
///
/// # Errors
/// When no thread can be started.
pub(crate) fn start(root: PathBuf, listener: Arc<impl Listener>) -> io::Result<RescanTrigger> {
    let eventfd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let shared = Arc::new(Shared {
        eventfd,
        is_requested: AtomicBool::new(false),
        stop: AtomicBool::new(false),
    });
    let mut tree = Tree::new(root);
    let mut changes = Vec::new();
    tree.read_all(&mut changes);
    listener.changed(&changes);
    let trigger = RescanTrigger {
        shared: shared.clone(),
    };
    thread::Builder::new()
        .name("cgroups".into())
        .spawn(move || follow(tree, &shared, &*listener))?;
    Ok(trigger)
}

fn follow(mut tree: Tree, shared: &Shared, listener: &impl Listener) {
    let mut read = Instant::now();
    let mut ticked = read;
    let mut changes = Vec::new();
    while !shared.stop.load(Ordering::Acquire) {
        let is_requested = shared.is_requested.load(Ordering::Acquire);
        let timeout = if is_requested { PAUSE } else { PERIOD };
        wait(&tree, shared, timeout);
        if let Err(error) = tree.take_events(&mut changes) {
            tracing::warn!(%error, "new containers are found late");
        }
        let since = read.elapsed();
        let due = tree.is_blind() && since >= PERIOD;
        let is_requested = shared.is_requested.load(Ordering::Acquire) && since >= PAUSE;
        let pending = if due || is_requested {
            shared.is_requested.store(false, Ordering::Release);
            let pending = listener.pending();
            tree.read_all(&mut changes);
            read = Instant::now();
            pending
        } else {
            Vec::new()
        };
        if !changes.is_empty() {
            listener.changed(&changes);
            changes.clear();
        }
        if !pending.is_empty() {
            listener.scanned(&pending);
        }
        if ticked.elapsed() >= PERIOD {
            ticked = Instant::now();
            listener.tick();
        }
    }
}

/// Until there is an update, somebody asks, or the time is over.
fn wait(tree: &Tree, shared: &Shared, timeout: Duration) {
    let timeout = Timespec {
        tv_sec: timeout.as_secs().cast_signed(),
        tv_nsec: timeout.subsec_nanos().into(),
    };
    let trigger = PollFd::from_borrowed_fd(shared.eventfd.as_fd(), PollFlags::IN);
    let mut fds = vec![trigger];
    fds.extend(
        tree.events()
            .map(|events| PollFd::from_borrowed_fd(events, PollFlags::IN)),
    );
    match poll(&mut fds, Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => {
            tracing::warn!(%error, "cgroups cannot be waited for");
            thread::sleep(PAUSE);
        }
    }
    let mut count = [0; 8];
    // Empty when nobody asked.
    let _ = rustix::io::read(&shared.eventfd, &mut count);
}
