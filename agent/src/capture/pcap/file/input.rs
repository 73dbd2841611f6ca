//! The bytes of a file, decompressed.

use std::fmt;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::sync::{Arc, Mutex, PoisonError};

use flate2::bufread::MultiGzDecoder;
use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, get_error_name};

use super::{Error, HEAD};

/// Read from the system at once, and decompressed before it is asked for by records of some bytes.
const BUFFER: usize = 256 * 1024;

/// log2 of the largest window of Zstandard taken: what its own tool takes without asking.
const WINDOW_LOG_MAX: u32 = 27;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Formats that are named rather than called "no capture".
const OTHERS: [(&[u8], &str); 4] = [
    (b"\xfd7zXZ\0", "xz"),
    (b"BZh", "bzip2"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"PK\x03\x04", "zip"),
];

type Source = Box<dyn Read + Send>;

/// The bytes begin a compressed file.
#[must_use]
pub fn is_compressed(head: &[u8]) -> bool {
    head.starts_with(&GZIP)
        || is_zstd(head)
        || OTHERS.iter().any(|(magic, _)| head.starts_with(magic))
}

/// A frame of Zstandard, or one to be skipped, which tools write before it (RFC 8878 §3.1.2).
fn is_zstd(head: &[u8]) -> bool {
    head.starts_with(&ZSTD) || matches!(head, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

/// The first bytes of what is compressed, as far as its own first bytes say.
#[must_use]
pub fn unpacked_head(bytes: &[u8]) -> Vec<u8> {
    let input = Input::open(Box::new(Cursor::new(bytes.to_vec())));
    input.map_or_else(|_| Vec::new(), |input| input.head)
}

/// Writes what is compressed to `out`, up to its end or to where it is cut off.
///
/// # Errors
/// When it is damaged, or more than `limit` bytes, or cannot be written.
pub fn unpack(
    source: impl Read + Send + 'static,
    limit: u64,
    out: &mut impl io::Write,
) -> io::Result<()> {
    let mut input = Input::open(Box::new(source))?;
    let failure = input.failure();
    let written = io::copy(&mut (&mut input).take(limit), out)?;
    match failure.take(written) {
        None | Some(Error::CutOff { .. }) if written < limit => Ok(()),
        Some(error) => Err(error.into()),
        None => Err(io::Error::other("it is too large when it is decompressed")),
    }
}

/// The bytes of a file. A read gives as many bytes as were asked for, or all that are left. An
/// error ends them: it is kept for the one who meets the end.
pub(super) struct Input {
    source: Source,
    head: Vec<u8>,
    failure: Failure,
}

/// The error that ended an input, if one did.
#[derive(Clone, Debug, Default)]
pub(super) struct Failure(Arc<Mutex<Option<io::Error>>>);

impl Failure {
    fn set(&self, error: io::Error) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    /// The error, for one that ends at byte `at`.
    pub(super) fn take(&self, at: u64) -> Option<Error> {
        let error = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()?;
        Some(match error.kind() {
            io::ErrorKind::UnexpectedEof => Error::CutOff { at },
            _ => Error::Unreadable { at, cause: error },
        })
    }
}

impl Input {
    /// Looks at the first bytes, and decompresses what follows if they say so.
    pub(super) fn open(source: Source) -> Result<Self, Error> {
        let raw = Self::over(Box::new(BufReader::with_capacity(BUFFER, source)))?;
        if let Some((_, name)) = OTHERS.iter().find(|(magic, _)| raw.head.starts_with(magic)) {
            return Err(Error::Compressed(name));
        }
        if raw.head.starts_with(&GZIP) {
            let plain = MultiGzDecoder::new(BufReader::new(raw));
            return Self::over(Box::new(BufReader::with_capacity(BUFFER, plain)));
        }
        if is_zstd(&raw.head) {
            let plain = Zstd::new(raw)?;
            return Self::over(Box::new(BufReader::with_capacity(BUFFER, plain)));
        }
        Ok(raw)
    }

    fn over(mut source: Source) -> Result<Self, Error> {
        let mut head = vec![0; HEAD];
        let failure = Failure::default();
        let len = read_all(&mut source, &mut head, &failure);
        if let Some(error) = failure.take(0) {
            return Err(error);
        }
        head.truncate(len);
        Ok(Self {
            source: Box::new(Cursor::new(head.clone()).chain(source)),
            head,
            failure,
        })
    }

    /// The first bytes.
    pub(super) fn head(&self) -> &[u8] {
        &self.head
    }

    /// Where the error that ends these bytes will be found.
    pub(super) fn failure(&self) -> Failure {
        self.failure.clone()
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(read_all(&mut self.source, buffer, &self.failure))
    }
}

fn read_all(source: &mut Source, buffer: &mut [u8], failure: &Failure) -> usize {
    let mut len = 0;
    while let Some(rest) = buffer.get_mut(len..).filter(|rest| !rest.is_empty()) {
        match source.read(rest) {
            Ok(0) => break,
            Ok(count) => len += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                failure.set(error);
                break;
            }
        }
    }
    len
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input").finish_non_exhaustive()
    }
}

/// Zstandard frames (RFC 8878), one after the other.
struct Zstd {
    source: BufReader<Input>,
    failure: Failure,
    context: DCtx<'static>,
    /// The last frame is whole.
    between: bool,
}

impl Zstd {
    fn new(source: Input) -> Result<Self, Error> {
        let unreadable = |text: &'static str| Error::Unreadable {
            at: 0,
            cause: io::Error::other(text),
        };
        let mut context = DCtx::try_create().ok_or_else(|| unreadable("no memory for zstd"))?;
        context
            .set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))
            .map_err(|code| unreadable(get_error_name(code)))?;
        Ok(Self {
            failure: source.failure(),
            source: BufReader::new(source),
            context,
            between: true,
        })
    }
}

impl Read for Zstd {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let bytes = self.source.fill_buf()?;
            let ended = bytes.is_empty();
            let mut input = InBuffer::around(bytes);
            let mut output = OutBuffer::around(buffer);
            let left = self
                .context
                .decompress_stream(&mut output, &mut input)
                .map_err(|code| io::Error::new(io::ErrorKind::InvalidData, get_error_name(code)))?;
            let (taken, given) = (input.pos(), output.pos());
            self.source.consume(taken);
            self.between = left == 0 || (self.between && taken == 0 && given == 0);
            if given > 0 {
                return Ok(given);
            }
            if ended {
                return match (self.failure.take(0), self.between) {
                    (Some(error), _) => Err(io::Error::other(error)),
                    (None, true) => Ok(0),
                    (None, false) => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
        }
    }
}
