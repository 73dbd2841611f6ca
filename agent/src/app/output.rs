//! The output thread: queue → filters → process → format → writer. Slow is fine here; the queue
//! bounds what that costs.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::termios::{isatty, tcgetwinsize};

use super::archive::Archive;
use super::feed::Feed;
use super::lookup::{Lookup, Named};
use super::queue::{Batch, Popped, Queue};
use super::stop::Stop;
use crate::clock::WallClock;
use crate::exchange::Exchange;
use crate::export;
use crate::policy::{ClientOrigin, PolicyContext};
use crate::process::{Process, TIMEOUT};
use crate::redact::{Gate, Sanitized};
use crate::signal::span::{Origin, SpanBuilder};
use crate::tap::{Delivery, Detail, Filter, Line, Style, View, write_json, write_verbose};
use crate::views::Shown;

/// Bytes gathered before a write: few system calls under load. Written earlier whenever nothing is
/// waiting.
const BUFFER: usize = 256 * 1024;
/// How often an idle output looks whether its reader is still there.
const IDLE: Duration = Duration::from_millis(250);
/// How often a recording gets the names of sockets that are not shown. A kill costs those of the
/// last such time.
const NAMING: Duration = Duration::from_secs(1);

/// How exchanges are written.
#[derive(Clone, Debug)]
pub(super) enum Format {
    /// For a person; and how it looks below the line.
    Lines(Box<Line>, Style),
    /// One JSON object a line.
    Json,
    /// Not at all: something else has standard output.
    Nothing,
}

/// A writer that knows whether it is a terminal.
pub(super) trait Terminal: Write + AsFd + Send {
    fn is_terminal(&self) -> bool {
        isatty(self.as_fd())
    }
}
impl<T: Write + AsFd + Send> Terminal for T {}

/// Writes exchanges.
pub(super) struct Printer<W> {
    pub(super) out: W,
    pub(super) format: Format,
    pub(super) detail: Detail,
    pub(super) filter: Filter,
    pub(super) gate: Gate,
    pub(super) har: Option<Archive>,
    pub(super) lookup: Lookup,
    /// Knows the agent's own sockets.
    pub(super) own: Arc<dyn export::OwnSockets>,
    pub(super) clock: WallClock,
    /// The run ends when so many were shown.
    pub(super) count: Option<u64>,
    pub(super) stop: Stop,
    /// Where spans go as well.
    pub(super) exporting: Option<Exporting>,
    /// Who looks at exchanges while they come.
    pub(super) feed: Option<Feed>,
}

/// Makes spans of what is shown, and hands them to exporters.
pub(super) struct Exporting {
    /// What `run` lets leave by default: fewer header fields than are shown.
    pub(super) gate: Gate,
    pub(super) builder: SpanBuilder,
    pub(super) handles: export::Handles,
    /// Wait for exporters rather than drop: a file can.
    pub(super) wait: bool,
}

impl Exporting {
    fn export(
        &mut self,
        exchange: Exchange,
        process: Option<&Process>,
        context: &PolicyContext,
        clock: &WallClock,
        stop: &Stop,
    ) {
        let Ok(sanitized) = self.gate.pass(exchange, context, clock) else {
            return;
        };
        let origin = Origin {
            process,
            ..Origin::default()
        };
        let span = self.builder.build(&sanitized, &origin);
        self.handles.span(&span, Instant::now());
        while self.wait && !stop.asked() && !self.handles.wait_for_room(IDLE) {}
    }
}

/// What has been written so far.
struct Progress {
    delivery: Delivery,
    buffer: Vec<u8>,
    /// Exchanges in `buffer`.
    buffered: u64,
    /// The reader is gone, or the writer failed.
    closed: bool,
    error: Option<io::Error>,
    /// When the other sockets of a recording were named last.
    named: Instant,
}

impl Progress {
    fn new() -> Self {
        Self {
            delivery: Delivery::default(),
            buffer: Vec::new(),
            buffered: 0,
            closed: false,
            error: None,
            named: Instant::now(),
        }
    }

    /// Nothing more can be written: the run ends.
    fn fail(&mut self, error: io::Error, stop: &Stop) {
        self.closed = true;
        if error.kind() != io::ErrorKind::BrokenPipe {
            self.error.get_or_insert(error);
        }
        stop.ask();
    }
}

impl<W: Terminal> Printer<W> {
    /// Runs until the queue is closed and empty.
    ///
    /// # Errors
    /// When the output cannot be written, other than because its reader has gone.
    pub(super) fn run(mut self, queue: &Queue) -> (Delivery, io::Result<()>) {
        let _abandon = Abandon(queue);
        let mut progress = Progress::new();
        let mut timeout = Duration::ZERO;
        if let Format::Lines(line, _) = &mut self.format
            && self.out.is_terminal()
        {
            line.with_titles();
        }
        loop {
            if let Some(exporting) = &mut self.exporting {
                exporting.handles.expire(Instant::now());
            }
            match queue.pop(timeout) {
                Popped::Batch(batch) => {
                    timeout = Duration::ZERO;
                    if let Some(feed) = &mut self.feed {
                        feed.begin(queue.is_pressed());
                    }
                    self.batch(batch, &mut progress);
                }
                Popped::Nothing => {
                    // The queue is empty: what there is goes out, and the next batch is waited for.
                    self.flush(&mut progress);
                    self.archive(&mut progress, Archive::settle);
                    if timeout > Duration::ZERO && !progress.closed && reader_gone(self.out.as_fd())
                    {
                        progress.closed = true;
                        self.stop.ask();
                    }
                    timeout = IDLE;
                }
                Popped::Closed => break,
            }
        }
        self.flush(&mut progress);
        self.feed = None;
        self.lookup.name_others(Instant::now() + TIMEOUT);
        if let Some(har) = self.har.take()
            && let Err(error) = har.finish()
        {
            progress.fail(error, &self.stop);
        }
        (progress.delivery, progress.error.map_or(Ok(()), Err))
    }

    fn batch(&mut self, batch: Batch, progress: &mut Progress) {
        if let Format::Lines(line, _) = &mut self.format {
            line.follow(terminal_width(self.out.as_fd()));
        }
        // One wait for all of a batch: sockets that are not found cost no more than this.
        let deadline = Instant::now() + TIMEOUT;
        for (index, exchange) in (batch.first..).zip(batch.exchanges) {
            self.exchange(index, exchange, deadline, progress);
            self.stop.goes_on();
            if progress.buffer.len() >= BUFFER {
                self.flush(progress);
            }
        }
        if let Some(feed) = &mut self.feed {
            feed.settle();
        }
    }

    fn exchange(
        &mut self,
        index: u64,
        mut exchange: Exchange,
        deadline: Instant,
        progress: &mut Progress,
    ) {
        // A recording names the processes of every exchange in it, whatever is shown.
        let named = match self.lookup.records() {
            true => Some(self.lookup.named(index, &exchange, deadline)),
            false => None,
        };
        if !self.is_wanted(&exchange, progress) || self.is_skipped(progress) {
            return;
        }
        let Named { process, caller } =
            named.unwrap_or_else(|| self.lookup.named(index, &exchange, deadline));
        if !self.filter.accepts_pid(process.as_ref().map(|p| p.pid)) {
            progress.delivery.filtered += 1;
            return;
        }
        if self.detail < Detail::Bodies && self.har.is_none() && self.exporting.is_none() {
            forget_bodies(&mut exchange);
        }
        let Some(sanitized) = self.release(exchange, process.as_deref()) else {
            progress.delivery.filtered += 1;
            return;
        };
        let view = View {
            sanitized: &sanitized,
            caller,
            process,
            clock: self.clock,
        };
        self.show(&view, progress);
        let View {
            process, caller, ..
        } = view;
        if let Some(feed) = &mut self.feed {
            feed.push(Shown {
                sanitized,
                process,
                caller,
                clock: self.clock,
                service: None,
                place: None,
            });
        }
    }

    /// Counts the exchange where those who look cannot follow, and nothing else wants it.
    fn is_skipped(&mut self, progress: &mut Progress) -> bool {
        let is_all = self.har.is_some() || self.exporting.is_some();
        let skips = !is_all && self.feed.as_mut().is_some_and(Feed::skips);
        progress.delivery.skipped += u64::from(skips);
        skips
    }

    /// Counts the exchange where it is not wanted, as far as that is known without its process.
    fn is_wanted(&self, exchange: &Exchange, progress: &mut Progress) -> bool {
        let delivery = &mut progress.delivery;
        let refused = if progress.closed {
            &mut delivery.output_closed
        } else if self.count.is_some_and(|count| delivery.shown >= count) {
            &mut delivery.past_count
        } else if !self.filter.accepts(exchange) {
            &mut delivery.filtered
        } else {
            return true;
        };
        *refused += 1;
        false
    }

    /// What of the exchange may be shown, if anything; makes a span of it where spans are wanted.
    fn release(&mut self, exchange: Exchange, process: Option<&Process>) -> Option<Sanitized> {
        let context = PolicyContext {
            client: match self.own.is_own(&exchange.peers.client) {
                true => ClientOrigin::Agent,
                false => ClientOrigin::Unknown,
            },
            ..PolicyContext::default()
        };
        // Cheap: bodies and fields are shared.
        let exported = self.exporting.as_ref().map(|_| exchange.clone());
        let sanitized = self.gate.pass(exchange, &context, &self.clock).ok()?;
        if let Some((exporting, exchange)) = self.exporting.as_mut().zip(exported) {
            exporting.export(exchange, process, &context, &self.clock, &self.stop);
        }
        Some(sanitized)
    }

    /// Writes what was released to the buffer and to the archive.
    fn show(&mut self, view: &View<'_>, progress: &mut Progress) {
        match &mut self.format {
            Format::Nothing => {}
            Format::Json => write_json(&mut progress.buffer, view, self.detail),
            Format::Lines(line, style) => {
                line.write(&mut progress.buffer, view);
                write_verbose(&mut progress.buffer, view, self.detail, *style);
            }
        }
        self.archive(progress, |har| har.write(view.sanitized));
        progress.buffered += 1;
        progress.delivery.shown += 1;
        if Some(progress.delivery.shown) == self.count {
            self.stop.ask();
        }
    }

    /// Does something to the archive, if there is one. One that cannot be written ends the run.
    fn archive(
        &mut self,
        progress: &mut Progress,
        act: impl FnOnce(&mut Archive) -> io::Result<()>,
    ) {
        if let Some(Err(error)) = self.har.as_mut().map(act) {
            self.har = None;
            progress.fail(error, &self.stop);
        }
    }

    fn flush(&mut self, progress: &mut Progress) {
        let now = Instant::now();
        if now.saturating_duration_since(progress.named) >= NAMING {
            progress.named = now;
            self.lookup.name_others(now);
        }
        if let Lookup::Live(_, Some(recorder)) = &mut self.lookup {
            recorder.flush();
        }
        if progress.buffer.is_empty() {
            return;
        }
        let written = self
            .out
            .write_all(&progress.buffer)
            .and_then(|()| self.out.flush());
        if let Err(error) = written {
            progress.delivery.shown -= progress.buffered;
            progress.delivery.output_closed += progress.buffered;
            progress.fail(error, &self.stop);
        }
        progress.buffer.clear();
        progress.buffered = 0;
    }
}

/// Bodies that are not shown need not be decoded and searched for secrets.
fn forget_bodies(exchange: &mut Exchange) {
    exchange.request.body.bytes = Bytes::new();
    if let Some(response) = &mut exchange.response {
        response.body.bytes = Bytes::new();
    }
}

/// However the output thread ends, the data thread must not wait for it.
struct Abandon<'a>(&'a Queue);

impl Drop for Abandon<'_> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// A pipe or socket whose other end is closed (`| head`).
fn reader_gone(out: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(out, PollFlags::empty())];
    matches!(
        poll(&mut fds, Some(&rustix::time::Timespec::default())),
        Ok(1..)
    ) && fds
        .iter()
        .any(|fd| fd.revents().intersects(PollFlags::ERR | PollFlags::HUP))
}

/// Columns of a terminal; `None` for anything else.
pub(super) fn terminal_width(out: BorrowedFd<'_>) -> Option<usize> {
    let size = tcgetwinsize(out).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::{PipeReader, Read as _, pipe};
    use std::thread;

    use super::super::queue::{Size, WhenFull};
    use super::*;
    use crate::files::Files;
    use crate::har;
    use crate::policy;
    use crate::redact;
    use crate::tap::sample;
    use crate::views::Store;

    fn printer<W>(out: W) -> Printer<W> {
        Printer {
            out,
            format: Format::Json,
            detail: Detail::Line,
            filter: Filter::default(),
            gate: Gate::new(&policy::Config::everything(), &redact::Config::everything())
                .expect("a configuration"),
            har: None,
            exporting: None,
            feed: None,
            lookup: Lookup::None,
            own: Arc::new(()),
            clock: WallClock { offset: 0 },
            count: None,
            stop: Stop::default(),
        }
    }

    /// Prints so many exchanges; where they went.
    fn print<W: Terminal>(printer: Printer<W>, exchanges: u64) -> (Delivery, io::Result<()>) {
        let queue = Queue::default();
        for first in 0..exchanges {
            queue.push(
                first,
                vec![sample::exchange()],
                Size::default(),
                WhenFull::Wait,
            );
        }
        queue.close();
        printer.run(&queue)
    }

    #[track_caller]
    fn check(
        exchanges: u64,
        change: impl FnOnce(&mut Printer<io::PipeWriter>),
        expected: Delivery,
    ) {
        let (mut reader, writer) = pipe().expect("a pipe");
        let mut printer = printer(writer);
        change(&mut printer);
        let stop = printer.stop.clone();
        let count = printer.count;
        let (delivery, result) = print(printer, exchanges);
        result.expect("written");
        assert_eq!(delivery, expected);
        assert_eq!(delivery.total(), exchanges);
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("UTF-8");
        assert_eq!(text.lines().count() as u64, expected.shown);
        assert_eq!(stop.asked(), count == Some(expected.shown));
    }

    #[test]
    fn every_exchange_is_counted() {
        let none = Delivery::default;
        check(0, |_| (), none());
        check(3, |_| (), Delivery { shown: 3, ..none() });
        check(
            5,
            |printer| printer.count = Some(2),
            Delivery {
                shown: 2,
                past_count: 3,
                ..none()
            },
        );
        check(
            2,
            |printer| printer.filter.ports = vec![1],
            Delivery {
                filtered: 2,
                ..none()
            },
        );
        // A process that is not known matches no --pid.
        check(
            2,
            |printer| printer.filter.pids = vec![1],
            Delivery {
                filtered: 2,
                ..none()
            },
        );
    }

    #[test]
    fn a_reader_that_leaves_is_a_good_end() {
        let (reader, writer) = pipe().expect("a pipe");
        drop(reader);
        let printer = printer(writer);
        let stop = printer.stop.clone();
        let (delivery, result) = print(printer, 3);
        result.expect("no failure");
        assert_eq!(
            delivery,
            Delivery {
                output_closed: 3,
                ..Delivery::default()
            }
        );
        assert!(stop.asked());
    }

    #[test]
    fn a_full_disk_is_not() {
        let full = OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .expect("/dev/full");
        let (delivery, result) = print(printer(full), 3);
        assert_eq!(
            result.expect_err("no room").kind(),
            io::ErrorKind::StorageFull
        );
        assert_eq!(
            delivery,
            Delivery {
                output_closed: 3,
                ..Delivery::default()
            }
        );
    }

    fn archive(path: &str) -> Archive {
        let output = Files::default().output(path.as_ref()).expect("a file");
        Archive {
            path: path.into(),
            writer: har::Writer::create(output).expect("written"),
        }
    }

    #[test]
    fn what_is_shown_is_archived_with_its_bodies() {
        let path = format!(
            "{}/meshtap-archive-{}.har",
            std::env::temp_dir().display(),
            std::process::id()
        );
        let null = OpenOptions::new()
            .write(true)
            .open("/dev/null")
            .expect("/dev/null");
        let mut printer = printer(null);
        printer.har = Some(archive(&path));
        printer.count = Some(2);
        print(printer, 3).1.expect("written");
        let text = std::fs::read(&path).expect("the file");
        std::fs::remove_file(&path).expect("removed");
        let document: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        let entries = document["log"]["entries"].as_array().expect("entries");
        assert_eq!(entries.len(), 2);
        assert!(entries[0]["response"]["content"]["text"].is_string());
    }

    /// Has room for the beginning of a document, and no more.
    struct FullDisk;

    impl har::Place for FullDisk {
        fn start(&mut self) -> io::Result<()> {
            Ok(())
        }

        fn add(&mut self, _: &[u8]) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn finish(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_archive_that_cannot_be_written_ends_the_run() {
        let null = OpenOptions::new()
            .write(true)
            .open("/dev/null")
            .expect("/dev/null");
        let mut printer = printer(null);
        printer.har = Some(Archive {
            path: "a.har".into(),
            writer: har::Writer::begin(Box::new(FullDisk) as har::OutputPlace).expect("started"),
        });
        let stop = printer.stop.clone();
        let (delivery, result) = print(printer, 2);
        let error = result.expect_err("no room");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(error.to_string().starts_with("a.har: "), "{error}");
        assert_eq!(delivery.total(), 2);
        assert!(stop.asked());
    }

    #[test]
    fn a_screen_that_cannot_follow_gets_a_sample() {
        let check = |archive: bool, shown: u64, skipped: u64| {
            let null = OpenOptions::new().write(true).open("/dev/null");
            let mut printer = printer(null.expect("/dev/null"));
            let store = Arc::new(Store::default());
            printer.format = Format::Nothing;
            printer.feed = Some(Feed::new(store.clone(), WhenFull::Drop));
            printer.har = archive.then(|| Archive {
                path: "a.har".into(),
                writer: har::Writer::begin(Box::new(Anywhere) as har::OutputPlace)
                    .expect("started"),
            });
            // More than half full until four are left of the room of eight.
            let queue = Queue::new(8, usize::MAX);
            for first in 0..8 {
                queue.push(
                    first,
                    vec![sample::exchange()],
                    Size::default(),
                    WhenFull::Wait,
                );
            }
            queue.close();
            let (delivery, result) = printer.run(&queue);
            result.expect("written");
            assert_eq!((delivery.shown, delivery.skipped), (shown, skipped));
            assert_eq!(delivery.total(), 8);
            let held = store.held();
            assert_eq!((held.next - 1, held.skipped), (shown, skipped));
            assert!(held.ended);
        };
        check(false, 5, 3);
        // A file gets all.
        check(true, 8, 0);
    }

    /// Has room for everything.
    struct Anywhere;

    impl har::Place for Anywhere {
        fn start(&mut self) -> io::Result<()> {
            Ok(())
        }

        fn add(&mut self, _: &[u8]) -> io::Result<()> {
            Ok(())
        }

        fn finish(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_leaves_is_noticed_without_traffic() {
        let (reader, writer): (PipeReader, _) = pipe().expect("a pipe");
        let printer = printer(writer);
        let stop = printer.stop.clone();
        let queue = Queue::default();
        thread::scope(|scope| {
            let output = scope.spawn(|| printer.run(&queue));
            drop(reader);
            while !stop.asked() {
                thread::yield_now();
            }
            queue.close();
            let (delivery, result) = output.join().expect("no panic");
            assert_eq!(delivery, Delivery::default());
            result.expect("a good end");
        });
    }
}
