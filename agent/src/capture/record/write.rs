//! Writes a recording beside a running capture, without ever making it wait.

use std::fs::File;
use std::io::{self, Write as _};
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hashbrown::HashMap;
use meshtap_common::{EventHeader, HEADER_LEN, KIND_CLOSED, KIND_PLAINTEXT, PLAINTEXT_LEN};

use super::disk::{Disk, Message, Written};
use super::{
    CALLER, END, EVENT, LOST, Meta, PLAINTEXT, PROCESS, RECORD_LEN, TICK, put_head, put_record,
};
use crate::capture::decode::decode;
use crate::capture::kernel::Capture;
use crate::capture::{Command, Event, Polled, Source};
use crate::flow::{Nanos, Process, SocketId};

/// Bytes handed to the writing thread at a time: large enough that the hand-over costs nothing per
/// event.
const CHUNK: usize = 256 * 1024;
/// Chunks waiting for the disk. With [`CHUNK`] 16 MiB: a disk that stalls for a second at 1 Gbit/s
/// of traffic costs little.
const CHUNKS: usize = 64;
/// Sockets whose last named process is remembered, so that each is written once.
const NAMED: usize = 65_536;
/// Process records kept while the disk is busy.
const PENDING: usize = 256 * 1024;

/// A capture whose events can be had as they came.
pub trait RawSource {
    /// Waits at most `timeout` for events, then hands over all that are there, in order: the
    /// header, and the bytes that follow it, of which the first `captured_len` are payload.
    ///
    /// # Errors
    /// When the source cannot be read any further.
    fn poll_raw(
        &mut self,
        timeout: Duration,
        handle: &mut dyn FnMut(&EventHeader, &[u8]),
    ) -> io::Result<Polled>;

    /// As [`Source::command`].
    fn command_raw(&mut self, commands: &[Command]);
}

impl RawSource for Capture {
    fn poll_raw(
        &mut self,
        timeout: Duration,
        handle: &mut dyn FnMut(&EventHeader, &[u8]),
    ) -> io::Result<Polled> {
        Self::poll_raw(self, timeout, handle)
    }

    fn command_raw(&mut self, commands: &[Command]) {
        Source::command(self, commands);
    }
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Events written.
    pub events: u64,
    /// Events dropped because the disk was too slow, or failed.
    pub dropped: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// The data thread's end of a recording.
#[derive(Debug)]
pub struct Recorder {
    chunk: Vec<u8>,
    /// Events and payload bytes dropped since the last one written.
    lost: (u64, u64),
    counts: Recorded,
    chunks: SyncSender<Message>,
    /// Events in `chunk`.
    gathered: u64,
    spare: Receiver<Vec<u8>>,
    failed: Arc<AtomicBool>,
    thread: JoinHandle<Written>,
}

impl Recorder {
    /// Writes the head and starts the writing thread. When the file cannot be written any more,
    /// `on_error` gets the reason at once.
    ///
    /// # Errors
    /// When the file cannot be written, or no thread be started.
    pub fn start(
        mut file: File,
        meta: &Meta,
        on_error: impl FnOnce(&io::Error) + Send + 'static,
    ) -> io::Result<Self> {
        let mut head = Vec::new();
        put_head(&mut head, meta);
        file.write_all(&head)?;
        let (chunks, receive) = sync_channel::<Message>(CHUNKS);
        let (give, spare) = sync_channel(CHUNKS);
        let failed = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&failed);
        let mut disk = Disk::new(file, head.len() as u64);
        let mut on_error = Some(on_error);
        let thread = thread::Builder::new()
            .name("record".into())
            .spawn(move || {
                for message in receive {
                    if let Some(error) = disk.take(&message)
                        && let Some(on_error) = on_error.take()
                    {
                        flag.store(true, Ordering::Relaxed);
                        on_error(error);
                    }
                    let mut chunk = message.into_bytes();
                    chunk.clear();
                    // Full: there are spare ones enough.
                    let _ = give.try_send(chunk);
                }
                disk.written()
            })?;
        Ok(Self {
            chunk: Vec::with_capacity(CHUNK + RECORD_LEN),
            lost: (0, 0),
            counts: Recorded::default(),
            chunks,
            gathered: 0,
            spare,
            failed,
            thread,
        })
    }

    /// For the thread that learns which process a socket belongs to.
    #[must_use]
    pub fn processes(&self) -> ProcessRecorder {
        ProcessRecorder {
            chunks: self.chunks.clone(),
            pending: Vec::new(),
            named: HashMap::new(),
        }
    }

    fn event(&mut self, header: &EventHeader, rest: &[u8]) {
        let (kind, more) = match header.kind {
            KIND_PLAINTEXT | KIND_CLOSED => (PLAINTEXT, PLAINTEXT_LEN),
            _ => (EVENT, 0),
        };
        let captured = usize::try_from(header.captured_len).unwrap_or(usize::MAX);
        let Some(payload) = rest
            .get(..captured.saturating_add(more))
            .filter(|_| header.captured_len <= header.wire_len)
        else {
            // Lengths that contradict each other: no event for the engine either.
            return;
        };
        if !self.room() {
            self.lost.0 += 1;
            self.lost.1 += u64::from(header.wire_len);
            self.counts.dropped += 1;
            return;
        }
        put_record(&mut self.chunk, kind, HEADER_LEN + payload.len());
        self.chunk.extend_from_slice(&header.to_bytes());
        self.chunk.extend_from_slice(payload);
        self.gathered += 1;
    }

    fn tick(&mut self, now: Nanos) {
        if self.room() {
            put_record(&mut self.chunk, TICK, 8);
            self.chunk.extend_from_slice(&now.to_ne_bytes());
            // What is recorded reaches the disk about ten times a second.
            self.hand_over();
        }
    }

    /// Room for one more record; makes it where possible, and says what was lost before.
    fn room(&mut self) -> bool {
        if self.failed.load(Ordering::Relaxed) || (self.chunk.len() >= CHUNK && !self.hand_over()) {
            return false;
        }
        if self.lost != (0, 0) {
            let (events, bytes) = mem::take(&mut self.lost);
            put_record(&mut self.chunk, LOST, 16);
            self.chunk.extend_from_slice(&events.to_ne_bytes());
            self.chunk.extend_from_slice(&bytes.to_ne_bytes());
        }
        true
    }

    /// Gives the chunk to the writing thread, unless that is too far behind.
    fn hand_over(&mut self) -> bool {
        let next = self
            .spare
            .try_recv()
            .unwrap_or_else(|_| Vec::with_capacity(CHUNK + RECORD_LEN));
        let message = Message::Records(mem::replace(&mut self.chunk, next), self.gathered);
        match self.chunks.try_send(message) {
            Ok(()) => {
                self.gathered = 0;
                true
            }
            Err(TrySendError::Full(message) | TrySendError::Disconnected(message)) => {
                self.chunk = message.into_bytes();
                false
            }
        }
    }

    /// Writes what is left and the end mark, and waits for the disk. Every [`ProcessRecorder`] must
    /// be gone.
    ///
    /// # Errors
    /// The first error of the file: nothing was written after it.
    pub fn finish(self, now: Nanos) -> (Recorded, io::Result<()>) {
        let mut mark = Vec::new();
        put_record(&mut mark, END, 8);
        mark.extend_from_slice(&now.to_ne_bytes());
        // Both wait. A failure shows in what the thread returns.
        let _ = self
            .chunks
            .send(Message::Records(self.chunk, self.gathered));
        let _ = self.chunks.send(Message::End(mark, self.lost.0));
        drop(self.chunks);
        match self.thread.join() {
            Ok(written) => (
                Recorded {
                    events: written.events,
                    dropped: self.counts.dropped + written.dropped,
                    bytes: written.bytes,
                },
                written.result,
            ),
            Err(_) => (
                self.counts,
                Err(io::Error::other("the recording thread ended early")),
            ),
        }
    }
}

/// The output thread's end of a recording.
#[derive(Debug)]
pub struct ProcessRecorder {
    chunks: SyncSender<Message>,
    pending: Vec<u8>,
    /// By the kind of the record.
    named: HashMap<(u32, SocketId), u32>,
}

impl ProcessRecorder {
    /// From the exchange with this index on, the socket is known to be the process's.
    pub fn name(&mut self, index: u64, socket: SocketId, process: &Process) {
        self.record(PROCESS, index, socket, process);
    }

    /// From the exchange with this index on, the other end of the socket is known to be the
    /// process's.
    pub fn name_caller(&mut self, index: u64, socket: SocketId, process: &Process) {
        self.record(CALLER, index, socket, process);
    }

    fn record(&mut self, kind: u32, index: u64, socket: SocketId, process: &Process) {
        if self.named.get(&(kind, socket)) == Some(&process.pid) {
            return;
        }
        if self.named.len() >= NAMED {
            // Some are written twice then, which a reader does not mind.
            self.named.clear();
        }
        self.named.insert((kind, socket), process.pid);
        if self.pending.len() >= PENDING {
            return;
        }
        let name = process.name.as_bytes();
        put_record(&mut self.pending, kind, 20 + name.len());
        self.pending.extend_from_slice(&index.to_ne_bytes());
        self.pending.extend_from_slice(&socket.0.to_ne_bytes());
        self.pending.extend_from_slice(&process.pid.to_ne_bytes());
        self.pending.extend_from_slice(name);
    }

    /// The socket is known to be the process's, whatever exchanges it has; a socket that was named
    /// before keeps its name.
    pub fn name_new(&mut self, socket: SocketId, process: &Process) {
        if !self.named.contains_key(&(PROCESS, socket)) {
            self.name(0, socket, process);
        }
    }

    /// Hands over what was named, if the writing thread can take it.
    pub fn flush(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let message = Message::Records(mem::take(&mut self.pending), 0);
        if let Err(TrySendError::Full(message)) = self.chunks.try_send(message) {
            self.pending = message.into_bytes();
        }
    }
}

impl Drop for ProcessRecorder {
    fn drop(&mut self) {
        if !self.pending.is_empty() {
            // The capture has ended: waiting for the disk holds nobody up.
            let pending = mem::take(&mut self.pending);
            let _ = self.chunks.send(Message::Records(pending, 0));
        }
    }
}

/// A capture that is recorded on its way to the engine.
#[derive(Debug)]
pub struct RecordingSource<R> {
    raw: R,
    recorder: Recorder,
}

impl<R> RecordingSource<R> {
    /// Records what `raw` gives.
    #[must_use]
    pub const fn new(raw: R, recorder: Recorder) -> Self {
        Self { raw, recorder }
    }

    /// The capture and the recorder again.
    #[must_use]
    pub fn into_parts(self) -> (R, Recorder) {
        (self.raw, self.recorder)
    }
}

impl<R: RawSource> Source for RecordingSource<R> {
    fn poll(
        &mut self,
        timeout: Duration,
        handle: &mut dyn FnMut(&Event<'_>),
    ) -> io::Result<Polled> {
        let recorder = &mut self.recorder;
        self.raw.poll_raw(timeout, &mut |header, payload| {
            recorder.event(header, payload);
            if let Some(event) = decode(header, payload) {
                handle(&event);
            }
        })
    }

    /// Both ends of a local connection are recorded whole, so that a replay may choose either.
    fn command(&mut self, commands: &[Command]) {
        for command in commands {
            if !matches!(command, Command::Fold(_)) {
                self.raw.command_raw(std::slice::from_ref(command));
            }
        }
    }

    fn expired(&mut self, now: Nanos) {
        self.recorder.tick(now);
    }
}
