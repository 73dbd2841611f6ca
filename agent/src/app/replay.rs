//! `meshtap replay`: recording → exchanges.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::output::Lookup;
use super::pipeline::Time;
use super::queue::WhenFull;
use super::run::{self, Finished, Run, body_limit};
use super::stop::Stop;
use super::{Failure, say};
use crate::capture::record::{MAGIC, Owners, Reader, RecordError};
use crate::cli::ReplayArgs;
use crate::clock::WallClock;
use crate::connection::Limits;

/// Runs the command.
pub(super) fn run(args: &ReplayArgs) -> Result<(), Failure> {
    let fault = |fault| Failure::Recording {
        path: args.file.clone(),
        fault,
    };
    match kind(&args.file).map_err(fault)? {
        Kind::Recording => recording(args),
    }
}

/// What a file is, by its first bytes.
enum Kind {
    Recording,
}

fn kind(path: &Path) -> Result<Kind, RecordError> {
    let mut magic = Vec::new();
    File::open(path)?.take(8).read_to_end(&mut magic)?;
    if magic == MAGIC {
        Ok(Kind::Recording)
    } else {
        Err(RecordError::NotARecording)
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
        limits: Limits {
            body: body_limit(args.output.detail(), args.max_body.unwrap_or(recorded_body)),
            ..Limits::default()
        },
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
