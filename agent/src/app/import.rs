//! A file that was dropped on the page → exchanges in its store. The same sources, engine and
//! redaction as `replay`, on the thread that was handed the file.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::sync::Arc;
use std::time::Duration;

use super::lookup::{Lookup, Named};
use super::replay::{read_head, unpacked};
use super::run::{gate, limits};
use super::stop::Stop;
use super::tap::random_key;
use crate::capture::pcap::{self, Capture};
use crate::capture::record::{MAGIC, Owners, Reader};
use crate::capture::{Polled, Source};
use crate::cli::OutputArgs;
use crate::clock::WallClock;
use crate::engine::{Engine, Limits, Output};
use crate::exchange::Exchange;
use crate::flow::Nanos;
use crate::har::{self, Entries};
use crate::plural::counted;
use crate::policy::PolicyContext;
use crate::redact::{self, Gate};
use crate::views::web::{Imported, MAX_HAR};
use crate::views::{Shown, Store};

/// Longest recording that was compressed: what a page hands over must not fill the disk.
const MAX_UNPACKED: u64 = 4 * 1024 * 1024 * 1024;
/// How often the engine lets time pass, as in a replay.
const EXPIRE: Nanos = 100_000_000;

/// Reads dropped files.
pub(super) struct Import {
    pub(super) store: Arc<Store>,
    /// Redaction and bounds are those of the command.
    pub(super) output: OutputArgs,
    pub(super) stop: Stop,
}

/// What goes into the store, and how.
struct Intake<'a> {
    store: &'a Store,
    gate: Gate,
    clock: WallClock,
    lookup: Lookup,
    /// Exchanges that the source gave so far.
    seen: u64,
    taken: u64,
}

impl Intake<'_> {
    fn take(&mut self, exchanges: impl Iterator<Item = Exchange>) {
        let mut shown = Vec::new();
        for exchange in exchanges {
            let now = std::time::Instant::now();
            let Named { process, caller } = self.lookup.named(self.seen, &exchange, now);
            self.seen += 1;
            let passed = self
                .gate
                .pass(exchange, &PolicyContext::default(), &self.clock);
            shown.extend(passed.ok().map(|sanitized| Shown {
                sanitized,
                process,
                caller,
                clock: self.clock,
                service: None,
                place: None,
            }));
        }
        self.taken += shown.len() as u64;
        if !shown.is_empty() {
            self.store.append(shown);
        }
    }
}

impl Import {
    /// Reads a file from its beginning.
    ///
    /// # Errors
    /// Says why nothing came of it.
    pub(super) fn read(&self, mut file: File) -> Result<Imported, String> {
        let head = read_head(&mut file).map_err(|error| error.to_string())?;
        file.rewind().map_err(|error| error.to_string())?;
        if head == MAGIC {
            return self.recording(file);
        }
        let packed = file.try_clone().map_err(|error| error.to_string())?;
        let plain = unpacked(&head, packed, MAX_UNPACKED).map_err(|error| error.to_string())?;
        if let Some(plain) = plain {
            return self.recording(plain);
        }
        if pcap::recognizes(&head) {
            return self.packets(file);
        }
        let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&head);
        match text.trim_ascii_start().first() {
            Some(b'{') => self.document(file),
            _ => Err(
                "it is neither a HAR document, nor a packet capture, nor a recording of meshtap"
                    .to_owned(),
            ),
        }
    }

    fn recording(&self, mut file: File) -> Result<Imported, String> {
        let owners = file.try_clone().map_err(|error| error.to_string())?;
        let owners = Owners::read(owners).map_err(|error| error.to_string())?;
        file.rewind().map_err(|error| error.to_string())?;
        let source = Reader::buffered(file).map_err(|error| error.to_string())?;
        let meta = *source.meta();
        let body = usize::try_from(meta.max_body).unwrap_or(usize::MAX);
        let clock = WallClock {
            offset: meta.offset,
        };
        let mut intake = self.intake(meta.key, clock, Lookup::Recorded(owners))?;
        let error = self.drain(source, limits(&self.output, body), &mut intake);
        done(&intake, error)
    }

    fn packets(&self, file: File) -> Result<Imported, String> {
        let source = Capture::read(Box::new(file)).map_err(|error| error.to_string())?;
        let mut intake = self.intake_of_others()?;
        let limits = Limits {
            positions: false,
            ..limits(&self.output, Limits::default().body)
        };
        let error = self.drain(source, limits, &mut intake);
        done(&intake, error)
    }

    fn document(&self, mut file: File) -> Result<Imported, String> {
        let mut text = Vec::new();
        let read = (&mut file).take(MAX_HAR + 1).read_to_end(&mut text);
        if read.map_err(|error| error.to_string())? as u64 > MAX_HAR {
            return Err("it is a HAR document of more than 64 MiB".to_owned());
        }
        let Entries { exchanges, skipped } = har::read(&text).map_err(|error| error.to_string())?;
        drop(text);
        let mut intake = self.intake_of_others()?;
        for exchange in exchanges {
            intake.take(std::iter::once(exchange));
        }
        let unread = || format!("{} of it cannot be read", counted(skipped, "entry"));
        match (skipped, intake.taken) {
            (0, _) => done(&intake, None),
            (_, 0) => Err(unread()),
            (_, taken) => Ok(Imported {
                exchanges: taken,
                remark: Some(unread()),
            }),
        }
    }

    /// The times of what others wrote are those of the wall clock already.
    fn intake_of_others(&self) -> Result<Intake<'_>, String> {
        let key = random_key().map_err(|error| error.to_string())?;
        self.intake(key, WallClock { offset: 0 }, Lookup::None)
    }

    fn intake(
        &self,
        key: [u8; 16],
        clock: WallClock,
        lookup: Lookup,
    ) -> Result<Intake<'_>, String> {
        let gate = gate(&self.output, key, redact::Config::everything());
        Ok(Intake {
            store: &self.store,
            gate: gate.map_err(|error| error.to_string())?,
            clock,
            lookup,
            seen: 0,
            taken: 0,
        })
    }

    /// Takes all that a source has; why that was not all of the file, if so.
    fn drain<S: Source>(
        &self,
        mut source: S,
        limits: Limits,
        intake: &mut Intake<'_>,
    ) -> Option<String> {
        let mut engine = Engine::new(limits);
        let mut output = Output::default();
        let (mut last, mut expired) = (0, 0);
        let error = loop {
            let polled = source.poll(Duration::ZERO, &mut |event| {
                last = event.time();
                engine.event(event, &mut output);
            });
            let at = source.time().unwrap_or(last);
            if at.saturating_sub(expired) >= EXPIRE {
                expired = at;
                engine.expire(at, &mut output);
                source.expired(at);
            }
            source.command(&output.commands);
            output.commands.clear();
            intake.take(output.exchanges.drain(..));
            match polled {
                Ok(Polled::More | Polled::Pending) if !self.stop.asked() => {}
                Ok(_) => break None,
                Err(error) => break Some(error.to_string()),
            }
        };
        engine.finish(source.time().unwrap_or(last), &mut output);
        intake.take(output.exchanges.drain(..));
        error
    }
}

/// What there was is in the store, also of a file that is broken further on.
fn done(intake: &Intake<'_>, error: Option<String>) -> Result<Imported, String> {
    match error {
        Some(error) if intake.taken == 0 => Err(error),
        error => Ok(Imported {
            exchanges: intake.taken,
            remark: error.map(|error| format!("the rest cannot be read: {error}")),
        }),
    }
}

#[cfg(test)]
mod tests;
