//! `meshtap replay`: a recording, or a packet capture of another tool's → exchanges.

use std::fs::File;
use std::io::{self, BufReader, IsTerminal as _, Read, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::looking::Looking;
use super::lookup::Lookup;
use super::outputs::Outputs;
use super::pipeline::Time;
use super::progress::Progress;
use super::queue::WhenFull;
use super::run::{self, Finished, Run, limits};
use super::stop::Stop;
use super::tap::random_key;
use super::{Failure, diagnostics, say};
use crate::capture::pcap::{self, Capture, Totals};
use crate::capture::record::{MAGIC, Owners, Reader};
use crate::cli::ReplayArgs;
use crate::clock::WallClock;
use crate::engine::Limits;
use crate::files::unnamed;
use crate::plural::counted;

/// What is replayed.
struct Input {
    path: PathBuf,
    file: File,
    /// The first bytes, which say what it is. They were taken from the file when it is no regular
    /// one.
    head: Vec<u8>,
    is_regular: bool,
}

/// Bytes by which every kind of file is known.
const HEAD: u64 = 8;
/// Bytes of a compressed file by which what is in it is known.
const PACKED_HEAD: u64 = 64 * 1024;

impl Input {
    /// Opens a file, or standard input for `-`.
    fn open(path: &Path) -> io::Result<Self> {
        let mut file = match is_stdin(path) {
            true => File::from(rustix::io::dup(rustix::stdio::stdin())?),
            false => File::open(path)?,
        };
        let is_regular = file.metadata()?.is_file();
        let head = read_head(&mut file)?;
        if is_regular {
            file.rewind()?;
        }
        Ok(Self {
            path: named(path),
            file,
            head,
            is_regular,
        })
    }

    /// Bytes of a regular file.
    fn length(&self) -> Option<u64> {
        let metadata = self.file.metadata().ok().filter(|_| self.is_regular);
        metadata.map(|metadata| metadata.len())
    }

    fn read(&self, error: io::Error) -> Failure {
        Failure::Read {
            path: self.path.clone(),
            error,
        }
    }

    /// Decompressed, where it is a recording that was compressed. Packets are on their way.
    fn unpacked(self) -> io::Result<Self> {
        Ok(match unpacked(&self.head, self.stream()?, u64::MAX)? {
            None => self,
            Some(file) => Self {
                path: self.path,
                file,
                head: MAGIC.to_vec(),
                is_regular: true,
            },
        })
    }

    /// A file that can be read twice. What comes from a pipe goes to one without a name, which is
    /// gone when the replay is.
    fn spool(&self) -> io::Result<File> {
        if self.is_regular {
            return self.file.try_clone();
        }
        let mut spooled = unnamed()?;
        spooled.write_all(&self.head)?;
        io::copy(&mut self.file.try_clone()?, &mut spooled)?;
        spooled.rewind()?;
        Ok(spooled)
    }

    /// From the first byte on.
    fn stream(&self) -> io::Result<Box<dyn io::Read + Send>> {
        let file = self.file.try_clone()?;
        Ok(match self.is_regular {
            true => Box::new(file),
            false => Box::new(io::Cursor::new(self.head.clone()).chain(file)),
        })
    }
}

/// The first bytes of a file, which say what it is.
pub(super) fn read_head(file: &mut File) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    file.take(HEAD).read_to_end(&mut head)?;
    if pcap::is_compressed(&head) {
        file.take(PACKED_HEAD).read_to_end(&mut head)?;
    }
    Ok(head)
}

/// The recording that was compressed, if what begins with `head` is one: at most `most` bytes, in a
/// file without a name.
pub(super) fn unpacked(
    head: &[u8],
    packed: impl Read + Send + 'static,
    most: u64,
) -> io::Result<Option<File>> {
    if !pcap::is_compressed(head) || pcap::unpacked_head(head) != MAGIC {
        return Ok(None);
    }
    let mut plain = unnamed()?;
    pcap::unpack(packed, most, &mut plain)?;
    plain.rewind()?;
    Ok(Some(plain))
}

/// What is read can be seen on the terminal.
fn is_shown(looking: &Looking) -> bool {
    looking.is_anybody() || io::stdout().is_terminal()
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// What an error calls it.
fn named(path: &Path) -> PathBuf {
    match is_stdin(path) {
        true => "standard input".into(),
        false => path.to_owned(),
    }
}

/// Runs the command.
pub(super) fn run(args: &ReplayArgs) -> Result<(), Failure> {
    diagnostics(false);
    let name = args.file.file_name().unwrap_or(args.file.as_os_str());
    let looking = Looking::of(&args.output, &name.to_string_lossy())?;
    let input = Input::open(&args.file).map_err(|error| Failure::Read {
        path: named(&args.file),
        error,
    })?;
    let outputs = Outputs::open(&args.output, None, Some(&input.file))?;
    let path = input.path.clone();
    let input = input.unpacked();
    let input = input.map_err(|error| Failure::Read { path, error })?;
    if input.head == MAGIC {
        recording(args, &input, outputs, looking)
    } else if pcap::recognizes(&input.head) {
        packets(args, &input, outputs, looking)
    } else {
        Err(Failure::Unknown(input.path))
    }
}

/// A recording that says how far it was read.
type Recording = Reader<BufReader<Progress<File>>>;

/// The processes of a recording, and a reader of it that stands at its start.
fn opened(input: &Input, looking: &Looking) -> Result<(Owners, Recording), Failure> {
    let error = |error| Failure::Recording {
        path: input.path.clone(),
        error,
    };
    let mut file = input.spool().map_err(|error| input.read(error))?;
    let again = file.try_clone().map_err(|error| input.read(error))?;
    let owners = Owners::read(again).map_err(error)?;
    file.rewind().map_err(|error| input.read(error))?;
    let whole = file.metadata().ok().map(|metadata| metadata.len());
    let file = Progress::new(file, whole, is_shown(looking));
    Ok((owners, Reader::buffered(file).map_err(error)?))
}

fn recording(
    args: &ReplayArgs,
    input: &Input,
    outputs: Outputs,
    looking: Looking,
) -> Result<(), Failure> {
    let (owners, source) = opened(input, &looking)?;
    let meta = *source.meta();
    let recorded_body = usize::try_from(meta.max_body).unwrap_or(usize::MAX);
    let stop = Stop::default();
    stop.on_signals().map_err(Failure::Thread)?;
    stop.working();
    let Finished {
        ended,
        report,
        output,
        ledger,
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
        outputs,
        own: Arc::new(()),
        looking,
    })?;
    let delivered = run::check_delivered(&report.exporters);
    run::report_totals(&report, ledger)?;
    let lost = ended.source.lost();
    if lost > 0 {
        say(&format!(
            "meshtap: missing from the recording, whose disk was too slow or full: {}\n",
            counted(lost, "event")
        ));
    }
    output.map_err(Failure::Output)?;
    ended.error.map_err(|error| Failure::CutRecording {
        path: input.path.clone(),
        events: ended.source.events(),
        error: error.to_string(),
    })?;
    delivered
}

fn packets(
    args: &ReplayArgs,
    input: &Input,
    outputs: Outputs,
    looking: Looking,
) -> Result<(), Failure> {
    if !args.output.pid.is_empty() {
        return Err(Failure::Usage(format!(
            "--pid matches nothing: {} is a packet capture, which has no processes",
            input.path.display()
        )));
    }
    let stream = input.stream().map_err(|error| input.read(error))?;
    let stream = Progress::new(stream, input.length(), is_shown(&looking));
    let source = Capture::read(stream).map_err(|error| input.read(error.into()))?;
    let stop = Stop::default();
    stop.on_signals().map_err(Failure::Thread)?;
    stop.working();
    let Finished {
        ended,
        report,
        output,
        ledger,
    } = run::run(Run {
        source,
        limits: Limits {
            positions: false,
            ..limits(
                &args.output,
                args.max_body.unwrap_or(Limits::default().body),
            )
        },
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
        outputs,
        own: Arc::new(()),
        looking,
    })?;
    let delivered = run::check_delivered(&report.exporters);
    run::report_totals(&report, ledger)?;
    let totals = ended.source.totals();
    if let Some(text) = remarks(totals) {
        say(&text);
    }
    output.map_err(Failure::Output)?;
    ended.error.map_err(|error| Failure::CutPackets {
        path: input.path.clone(),
        packets: totals.packets,
        error,
    })?;
    delivered
}

/// What the file did not give: packets that were skipped, and those that the capture cut. Nothing
/// when it gave all it has.
fn remarks(totals: &Totals) -> Option<String> {
    let mut text = String::new();
    if let Some(unread) = totals.unread() {
        text += &format!(
            "meshtap: {}, {} of them TCP; not read: {unread}\n",
            counted(totals.packets, "packet"),
            totals.tcp
        );
    }
    if totals.cut > 0 {
        text += &format!(
            "meshtap: {} cut after {} by the snap length of the capture; heads and bodies miss the \
             rest\n",
            counted(totals.cut, "packet"),
            counted(totals.kept as u64, "byte")
        );
    }
    if totals.suspects > 0 {
        text += &format!(
            "meshtap: {} with a wrong TCP checksum, where others have a right one; what their \
             receiver acknowledged counts\n",
            counted(totals.suspects, "packet")
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
        assert!(text.contains("3 packets cut after 96 bytes"), "{text}");
    }
}
