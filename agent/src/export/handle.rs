//! The handles of exporters: a worker's end of each. They encode items on the thread that makes
//! them, and close batches by size and age.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Batch;
use super::ItemKind;
use super::delivery::{Delivery, DropReason, Totals};
use super::queue::Queue;
use crate::redact::Sanitized;
use crate::signal::span::{Resource, Span};

/// What an exporter makes an item of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Input<'a> {
    /// A span.
    Span(&'a Span),
    /// A whole exchange, and what made it.
    Exchange(&'a Sanitized, &'a Arc<Resource>),
}

/// Turns items into batches of one destination's format.
pub(crate) trait Encode: Send {
    /// Adds an item. Returns the batch that had to be closed to make room, if any. Only called with
    /// input for its exporter's kind of items.
    fn add(&mut self, input: Input<'_>) -> Option<Batch>;
    /// Ends the open batch, if it holds anything.
    fn close(&mut self) -> Option<Batch>;
}

/// What both ends of one destination share.
#[derive(Debug)]
pub(crate) struct Channel {
    /// Name in metrics and logs.
    pub(crate) name: String,
    /// What its items are.
    pub(crate) kind: ItemKind,
    /// Batches that wait.
    pub(crate) queue: Arc<Queue<Batch>>,
    /// The totals.
    pub(crate) delivery: Arc<Delivery>,
    /// Items in batches that are still being filled.
    filling: AtomicU64,
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
    pub(crate) fn new(name: String, kind: ItemKind, queue: Queue<Batch>) -> Self {
        Self {
            name,
            kind,
            queue: Arc::new(queue),
            delivery: Arc::default(),
            filling: AtomicU64::new(0),
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

    /// The totals now.
    pub(crate) fn totals(&self) -> Totals {
        let filling = self.filling.load(Ordering::Relaxed);
        self.delivery.totals(filling, self.queue.items())
    }

    /// Items that will be in a batch to come.
    pub(crate) fn accept(&self, items: u64) {
        self.delivery.accept(items);
        self.filling.fetch_add(items, Ordering::Relaxed);
    }

    /// Items in batches that are still being filled.
    pub(crate) fn filling(&self) -> u64 {
        self.filling.load(Ordering::Relaxed)
    }

    /// Items of a batch that is being filled are not wanted: a filter says so.
    pub(crate) fn omit(&self, items: u64) {
        self.filling.fetch_sub(items, Ordering::Relaxed);
        self.delivery.omit(items);
    }

    /// Items of a batch that is being filled find no room in it.
    pub(crate) fn overflow(&self, items: u64) {
        self.filling.fetch_sub(items, Ordering::Relaxed);
        self.delivery.drop_waiting(items, DropReason::QueueFull);
    }

    /// Hands a batch on. Its items were accepted.
    pub(crate) fn push(&self, batch: Batch) {
        self.filling.fetch_sub(batch.items, Ordering::Relaxed);
        let dropped = self.queue.push(batch);
        if dropped > 0 {
            self.delivery.drop_waiting(dropped, DropReason::QueueFull);
        }
    }
}

/// One thread's end of one exporter.
struct Handle {
    channel: Arc<Channel>,
    encode: Box<dyn Encode>,
    age: Duration,
    /// When the first item of the batch that is being filled was added.
    since: Option<Instant>,
}

/// One thread's ends of every exporter.
#[derive(Default)]
pub struct Handles {
    handles: Vec<Handle>,
}

impl std::fmt::Debug for Handles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.handles.iter().map(|handle| &handle.channel.name);
        f.debug_list().entries(names).finish()
    }
}

impl Handles {
    pub(crate) fn add(&mut self, channel: Arc<Channel>, encode: Box<dyn Encode>, age: Duration) {
        self.handles.push(Handle {
            channel,
            encode,
            age,
            since: None,
        });
    }

    /// There is no exporter.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.handles.is_empty()
    }

    /// Some exporter takes spans.
    #[must_use]
    pub fn take_spans(&self) -> bool {
        let mut handles = self.handles.iter();
        handles.any(|handle| handle.channel.kind.is_of_spans())
    }

    /// Hands a span to every exporter of spans. Never waits.
    pub fn span(&mut self, span: &Span, now: Instant) {
        let input = Input::Span(span);
        for handle in &mut self.handles {
            if input.is_for(handle.channel.kind) {
                handle.add(input, now);
            }
        }
    }

    /// There is no span of an exchange: rules say so. It counts as exported.
    pub fn omit_span(&mut self) {
        let handles = self.handles.iter();
        for handle in handles.filter(|handle| handle.channel.kind.is_of_spans()) {
            handle.omit();
        }
    }

    /// Hands an exchange to every exporter that takes exchanges instead of spans. Never waits.
    /// `resource`: what made it. `is_logged`: the access log has it.
    pub fn exchange(
        &mut self,
        sanitized: &Sanitized,
        resource: &Arc<Resource>,
        is_logged: bool,
        now: Instant,
    ) {
        let input = Input::Exchange(sanitized, resource);
        for handle in &mut self.handles {
            let kind = handle.channel.kind;
            if !input.is_for(kind) {
                continue;
            }
            match is_logged || !kind.is_of_log() {
                true => handle.add(input, now),
                false => handle.omit(),
            }
        }
    }

    /// Some batch is open, and will be old enough at some time.
    #[must_use]
    pub fn are_filling(&self) -> bool {
        self.handles.iter().any(|handle| handle.since.is_some())
    }

    /// Closes the batches that are old enough. Call it at least as often as batches may age.
    pub fn expire(&mut self, now: Instant) {
        for handle in &mut self.handles {
            let old = |since| now.saturating_duration_since(since) >= handle.age;
            if handle.since.is_some_and(old) {
                handle.close();
            }
        }
    }

    /// Waits, at most `timeout`, until every exporter's queue is half empty; whether it is. For who
    /// would rather wait than drop.
    pub fn wait_for_room(&self, timeout: Duration) -> bool {
        let start = Instant::now();
        self.handles.iter().all(|handle| {
            let left = timeout.saturating_sub(start.elapsed());
            handle.channel.queue.wait_for_room(left)
        })
    }

    /// Closes every batch.
    pub fn flush(&mut self) {
        for handle in &mut self.handles {
            handle.close();
        }
    }
}

impl Drop for Handles {
    fn drop(&mut self) {
        self.flush();
    }
}

impl Input<'_> {
    /// An exporter of these items takes this input.
    const fn is_for(self, kind: ItemKind) -> bool {
        match self {
            Self::Span(_) => kind.is_of_spans(),
            Self::Exchange(..) => !kind.is_of_spans(),
        }
    }
}

impl Handle {
    /// An item that nobody wants.
    fn omit(&self) {
        self.channel.accept(1);
        self.channel.omit(1);
    }

    fn add(&mut self, input: Input<'_>, now: Instant) {
        self.channel.accept(1);
        if let Some(batch) = self.encode.add(input) {
            self.channel.push(batch);
            self.since = None;
        }
        self.since.get_or_insert(now);
    }

    fn close(&mut self) {
        self.since = None;
        if let Some(batch) = self.encode.close() {
            self.channel.push(batch);
        }
    }
}
