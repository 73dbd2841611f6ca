//! The near end of every destination: encodes spans on the thread that makes them, and closes batches by size and age.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Batch;
use super::delivery::{Account, Delivery, DropReason};
use super::queue::Queue;
use crate::redact::Sanitized;
use crate::signal::span::Span;

/// Turns spans into batches of one destination's format.
pub(crate) trait Encode: Send {
    /// Adds a span. Returns the batch that had to be closed to make room, if any.
    fn add(&mut self, span: &Span) -> Option<Batch>;
    /// The destination takes whole exchanges instead of spans.
    fn takes_exchanges(&self) -> bool {
        false
    }
    /// Adds an exchange, likewise. Destinations of spans take none.
    fn add_exchange(&mut self, _: &Sanitized) -> Option<Batch> {
        None
    }
    /// Ends the open batch, if it holds anything.
    fn close(&mut self) -> Option<Batch>;
}

/// What both ends of one destination share.
#[derive(Debug)]
pub(crate) struct Channel {
    /// Name in metrics and logs.
    pub(crate) name: String,
    /// Batches that wait.
    pub(crate) queue: Arc<Queue<Batch>>,
    /// The account.
    pub(crate) delivery: Arc<Delivery>,
    /// Spans in batches that are still being filled.
    open: AtomicU64,
    stopped: Mutex<Option<Stopped>>,
}

/// Why a file or pipe takes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The reader of a pipe has gone: the end that `| head` asks for.
    ReaderGone,
    /// Anything else, in the system's words.
    Failed(String),
}

impl Channel {
    pub(crate) fn new(name: String, queue: Queue<Batch>) -> Self {
        Self {
            name,
            queue: Arc::new(queue),
            delivery: Arc::default(),
            open: AtomicU64::new(0),
            stopped: Mutex::default(),
        }
    }

    /// Why nothing can be written just now.
    pub(crate) fn stopped(&self) -> Option<Stopped> {
        let stopped = self.stopped.lock();
        stopped.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Something was written, or could not be.
    pub(crate) fn wrote(&self, result: &io::Result<()>) {
        let state = result.as_ref().err().map(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Stopped::ReaderGone,
            _ => Stopped::Failed(error.to_string()),
        });
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// The account now.
    pub(crate) fn account(&self) -> Account {
        let open = self.open.load(Ordering::Relaxed);
        self.delivery.account(open, self.queue.spans())
    }

    fn push(&self, batch: Batch) {
        self.open.fetch_sub(batch.spans, Ordering::Relaxed);
        let dropped = self.queue.push(batch);
        if dropped > 0 {
            self.delivery.drop_spans(dropped, DropReason::QueueFull);
        }
    }
}

/// One thread's way to one destination.
struct Outlet {
    channel: Arc<Channel>,
    encode: Box<dyn Encode>,
    age: Duration,
    opened: Option<Instant>,
}

/// One thread's way to every destination.
#[derive(Default)]
pub struct Sink {
    outlets: Vec<Outlet>,
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.outlets.iter().map(|outlet| &outlet.channel.name);
        f.debug_list().entries(names).finish()
    }
}

impl Sink {
    pub(crate) fn add(&mut self, channel: Arc<Channel>, encode: Box<dyn Encode>, age: Duration) {
        self.outlets.push(Outlet {
            channel,
            encode,
            age,
            opened: None,
        });
    }

    /// Hands a span to every destination of spans. Never waits.
    pub fn span(&mut self, span: &Span, now: Instant) {
        for outlet in &mut self.outlets {
            if !outlet.encode.takes_exchanges() {
                outlet.add(now, |encode| encode.add(span));
            }
        }
    }

    /// Hands an exchange to every destination that takes exchanges instead of spans. Never waits.
    pub fn exchange(&mut self, sanitized: &Sanitized, now: Instant) {
        for outlet in &mut self.outlets {
            if outlet.encode.takes_exchanges() {
                outlet.add(now, |encode| encode.add_exchange(sanitized));
            }
        }
    }

    /// Closes the batches that are old enough. Call it at least as often as batches may age.
    pub fn expire(&mut self, now: Instant) {
        for outlet in &mut self.outlets {
            let old = |opened| now.saturating_duration_since(opened) >= outlet.age;
            if outlet.opened.is_some_and(old) {
                outlet.close();
            }
        }
    }

    /// Waits, at most `timeout`, until every destination's queue is half empty; whether it is. For who would rather wait than drop.
    pub fn wait_for_room(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        self.outlets.iter().all(|outlet| {
            let left = deadline.saturating_duration_since(Instant::now());
            outlet.channel.queue.wait_for_room(left)
        })
    }

    /// Closes every batch.
    pub fn flush(&mut self) {
        for outlet in &mut self.outlets {
            outlet.close();
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.flush();
    }
}

impl Outlet {
    fn add(&mut self, now: Instant, add: impl FnOnce(&mut dyn Encode) -> Option<Batch>) {
        self.channel.delivery.accept(1);
        self.channel.open.fetch_add(1, Ordering::Relaxed);
        if let Some(batch) = add(&mut *self.encode) {
            self.channel.push(batch);
            self.opened = None;
        }
        self.opened.get_or_insert(now);
    }

    fn close(&mut self) {
        self.opened = None;
        if let Some(batch) = self.encode.close() {
            self.channel.push(batch);
        }
    }
}
