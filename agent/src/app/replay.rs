//! `meshtap replay`: a recording, or a packet capture of another tool's → exchanges.

use std::fs::File;
use std::io::Read as _;
use std::sync::Arc;

use super::output::Lookup;
use super::pipeline::Time;
use super::queue::WhenFull;
use super::run::{self, Finished, Run, limits};
use super::stop::Stop;
use super::tap::random_key;
use super::{Failure, say};
use crate::capture::pcap::{self, Capture, Totals};
use crate::capture::record::{MAGIC, Owners, Reader};
use crate::cli::ReplayArgs;
use crate::clock::WallClock;
use crate::connection::Limits;

/// Runs the command.
pub(super) fn run(args: &ReplayArgs) -> Result<(), Failure> {
    let mut head = Vec::new();
    File::open(&args.file)
        .and_then(|file| file.take(8).read_to_end(&mut head))
        .map_err(|fault| Failure::Read {
            path: args.file.clone(),
            fault,
        })?;
    if head == MAGIC {
        recording(args)
    } else if pcap::recognizes(&head) {
        packets(args)
    } else {
        Err(Failure::Unknown(args.file.clone()))
    }
}

fn recording(args: &ReplayArgs) -> Result<(), Failure> {
    let fault = |fault| Failure::Recording {
        path: args.file.clone(),
        fault,
    };
    let source = Reader::open(&args.file).map_err(fault)?;
    let owners = Owners::open(&args.file).map_err(fault)?;
    let meta = *source.meta();
    let recorded_body = usize::try_from(meta.max_body).unwrap_or(usize::MAX);
    let stop = Stop::default();
    stop.on_signals().map_err(Failure::Thread)?;
    let Finished {
        ended,
        report,
        output,
    } = run::run(Run {
        source,
        limits: limits(&args.output, args.max_body.unwrap_or(recorded_body)),
        time: Time::Source,
        when_full: WhenFull::Wait,
        clock: WallClock {
            offset: meta.offset,
        },
        lookup: Lookup::Recorded(owners),
        announcer: None,
        duration: None,
        stop,
        key: meta.key,
        output: &args.output,
        own: Arc::new(()),
    })?;
    run::tell(&report, args.output.ledger_json.as_deref())?;
    let lost = ended.source.lost();
    if lost > 0 {
        say(&format!(
            "meshtap: {lost} events are missing from the recording: the disk was too slow for them\n"
        ));
    }
    output.map_err(Failure::Output)?;
    ended.fault.map_err(|error| Failure::Fault {
        path: args.file.clone(),
        events: ended.source.events(),
        fault: error.to_string(),
    })
}

fn packets(args: &ReplayArgs) -> Result<(), Failure> {
    let source = Capture::open(&args.file).map_err(|fault| Failure::Read {
        path: args.file.clone(),
        fault,
    })?;
    let stop = Stop::default();
    stop.on_signals().map_err(Failure::Thread)?;
    let Finished {
        ended,
        report,
        output,
    } = run::run(Run {
        source,
        limits: limits(
            &args.output,
            args.max_body.unwrap_or(Limits::default().body),
        ),
        time: Time::Source,
        when_full: WhenFull::Wait,
        // The times of a capture file are those of the wall clock already.
        clock: WallClock { offset: 0 },
        lookup: Lookup::None,
        announcer: None,
        duration: None,
        stop,
        key: random_key()?,
        output: &args.output,
        own: Arc::new(()),
    })?;
    run::tell(&report, args.output.ledger_json.as_deref())?;
    let totals = ended.source.totals();
    if let Some(text) = remarks(totals) {
        say(&text);
    }
    output.map_err(Failure::Output)?;
    ended.fault.map_err(|fault| Failure::CutPackets {
        path: args.file.clone(),
        packets: totals.packets,
        fault,
    })
}

/// What the file did not give: packets that were skipped, and those that the capture cut. Nothing when it gave all it has.
fn remarks(totals: &Totals) -> Option<String> {
    let mut text = String::new();
    if let Some(unread) = totals.unread() {
        text += &format!(
            "meshtap: {} packets, {} of them TCP; not read: {unread}\n",
            totals.packets, totals.tcp
        );
    }
    if totals.cut > 0 {
        text += &format!(
            "meshtap: {} packets were cut after {} bytes by the snap length of the capture; \
             heads and bodies miss the rest\n",
            totals.cut, totals.kept
        );
    }
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_file_needs_no_remark() {
        assert_eq!(remarks(&Totals::default()), None);
    }

    #[test]
    fn a_snap_length_is_named() {
        let mut totals = Totals::default();
        totals.cut = 3;
        totals.kept = 96;
        let text = remarks(&totals).unwrap();
        assert!(text.contains("3 packets were cut after 96 bytes"), "{text}");
    }
}
