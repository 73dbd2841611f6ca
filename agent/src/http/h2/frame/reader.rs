//! One direction of a connection, cut into frames. DATA is handed on as it comes; every other frame
//! whole.

use super::{Flags, HEADER_LEN, Header, Invalid, Kind};

/// Longest frame other than DATA that is kept until it is whole: a head may be 64 KiB, and
/// compresses. What is longer is passed over, and said.
const MAX_WHOLE: u32 = 256 * 1024;

/// What comes next on a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A frame other than DATA, with its payload.
    Frame(Header, &'a [u8]),
    /// A DATA frame begins, with so many bytes of body; padding is not among them.
    Data(Header, u32),
    /// Body bytes of the DATA frame that began last.
    Bytes(&'a [u8]),
    /// So many body bytes of it are missing.
    Missing(u32),
    /// The DATA frame is whole.
    DataEnd(Header),
    /// The beginning of a frame other than DATA: the rest of it is missing.
    Cut(Header, &'a [u8]),
    /// A frame that is too long to keep; its payload is passed over.
    TooLong(Header),
    /// A frame that breaks the protocol. It is passed over where frames are known to begin; else
    /// nothing that follows can be believed.
    Invalid(Header, Invalid),
}

#[derive(Debug)]
enum State {
    /// In the header of a frame.
    Header,
    /// In the payload of a frame that is kept until it is whole.
    Whole(Header),
    /// At the length of the padding of a DATA frame.
    Padding(Header),
    /// In DATA: so many bytes of body, then of padding, are left.
    Data(Header, u32, u32),
    /// In a frame that is passed over.
    Pass(u32),
    /// After a frame that breaks the protocol, or is none.
    Broken,
}

/// Cuts a direction into frames.
#[derive(Debug)]
pub struct Reader {
    state: State,
    kept: Vec<u8>,
    max_size: u32,
    /// Frames are known to begin where they were read from.
    certain: bool,
}

impl Default for Reader {
    fn default() -> Self {
        Self::new(super::DEFAULT_MAX_SIZE)
    }
}

impl Reader {
    /// At what looks like the beginning of a frame; no payload is longer than `max_size`.
    #[must_use]
    pub const fn new(max_size: u32) -> Self {
        Self {
            state: State::Header,
            kept: Vec::new(),
            max_size,
            certain: false,
        }
    }

    /// At the beginning of a connection. What its receiver takes, only the receiver knows: a frame
    /// may be of any size, and one that breaks the protocol is passed over by its length.
    #[must_use]
    pub const fn from_start() -> Self {
        Self {
            state: State::Header,
            kept: Vec::new(),
            max_size: super::ANY_SIZE,
            certain: true,
        }
    }

    /// The receiver allows this size; an earlier, larger one stays allowed.
    pub fn allow(&mut self, max_size: u32) {
        self.max_size = self.max_size.max(max_size);
    }

    /// Bytes held.
    #[must_use]
    pub const fn memory(&self) -> usize {
        self.kept.capacity()
    }

    /// Between two frames.
    #[must_use]
    pub fn is_between(&self) -> bool {
        matches!(self.state, State::Header) && self.kept.is_empty()
    }

    /// Bytes to the header of the next frame, if that is known.
    #[must_use]
    pub fn left(&self) -> Option<u32> {
        match self.state {
            State::Header if self.kept.is_empty() => Some(0),
            State::Whole(header) => Some(header.length.saturating_sub(length(&self.kept))),
            State::Padding(header) => Some(header.length),
            State::Data(_, body, padding) => Some(body.saturating_add(padding)),
            State::Pass(left) => Some(left),
            State::Header | State::Broken => None,
        }
    }

    /// Where the next frame begins is not known: nothing more is read.
    #[must_use]
    pub const fn is_broken(&self) -> bool {
        matches!(self.state, State::Broken)
    }

    /// Reads the next bytes of the direction; what is left of them where it broke.
    pub fn push<'a>(&mut self, mut bytes: &'a [u8], handle: &mut dyn FnMut(Event<'_>)) -> &'a [u8] {
        while !bytes.is_empty() {
            bytes = match self.state {
                State::Header => self.header(bytes, handle),
                State::Whole(header) => self.whole(header, bytes, handle),
                State::Padding(header) => self.padding(header, bytes, handle),
                State::Data(header, body, padding) => {
                    self.data(header, (body, padding), bytes, handle)
                }
                State::Pass(left) => {
                    let (passed, rest) = split(bytes, left);
                    self.pass(left - length(passed));
                    rest
                }
                State::Broken => break,
            };
        }
        bytes
    }

    /// The next `len` bytes are missing. False: where frames begin is not known any more.
    #[must_use]
    pub fn miss(&mut self, len: u64, handle: &mut dyn FnMut(Event<'_>)) -> bool {
        let Ok(len) = u32::try_from(len) else {
            return false;
        };
        match self.state {
            State::Data(header, body, padding) if len <= body.saturating_add(padding) => {
                let missing = len.min(body);
                if missing > 0 {
                    handle(Event::Missing(missing));
                }
                self.advance(header, body - missing, padding - (len - missing), handle);
                true
            }
            State::Pass(left) if len <= left => {
                self.pass(left - len);
                true
            }
            State::Whole(header) => {
                let kept = std::mem::take(&mut self.kept);
                handle(Event::Cut(header, &kept));
                let left = header.length.saturating_sub(length(&kept));
                let is_inside = len <= left;
                self.pass(left.saturating_sub(len));
                is_inside
            }
            State::Broken => true,
            _ => false,
        }
    }

    fn header<'a>(&mut self, bytes: &'a [u8], handle: &mut dyn FnMut(Event<'_>)) -> &'a [u8] {
        let (header, rest) = if self.kept.is_empty()
            && let Some((header, rest)) = bytes.split_first_chunk::<HEADER_LEN>()
        {
            (Header::parse(header), rest)
        } else {
            let (more, rest) = split(bytes, 9 - length(&self.kept).min(9));
            self.kept.extend_from_slice(more);
            let Some(header) = self.kept.first_chunk::<HEADER_LEN>() else {
                return rest;
            };
            let header = Header::parse(header);
            self.kept.clear();
            (header, rest)
        };
        if let Err(invalid) = header.check(self.max_size) {
            self.breaks(header, header.length, invalid, handle);
        } else if header.kind == Kind::Data {
            match header.flags.has(Flags::PADDED) {
                true if header.length == 0 => self.breaks(header, 0, Invalid::Length, handle),
                true => self.state = State::Padding(header),
                false => self.begin(header, header.length, 0, handle),
            }
        } else if header.length > MAX_WHOLE {
            handle(Event::TooLong(header));
            self.pass(header.length);
        } else if header.length == 0 {
            handle(Event::Frame(header, &[]));
        } else {
            self.state = State::Whole(header);
        }
        rest
    }

    fn whole<'a>(
        &mut self,
        header: Header,
        bytes: &'a [u8],
        handle: &mut dyn FnMut(Event<'_>),
    ) -> &'a [u8] {
        let (more, rest) = split(bytes, header.length - length(&self.kept).min(header.length));
        if self.kept.is_empty() && length(more) == header.length {
            self.state = State::Header;
            handle(Event::Frame(header, more));
            return rest;
        }
        self.kept.extend_from_slice(more);
        if length(&self.kept) == header.length {
            self.state = State::Header;
            let kept = std::mem::take(&mut self.kept);
            handle(Event::Frame(header, &kept));
        }
        rest
    }

    fn padding<'a>(
        &mut self,
        header: Header,
        bytes: &'a [u8],
        handle: &mut dyn FnMut(Event<'_>),
    ) -> &'a [u8] {
        let Some((padding, rest)) = bytes.split_first() else {
            return bytes;
        };
        let padding = u32::from(*padding);
        match (header.length - 1).checked_sub(padding) {
            Some(body) => self.begin(header, body, padding, handle),
            None => self.breaks(header, header.length - 1, Invalid::Padding, handle),
        }
        rest
    }

    fn begin(
        &mut self,
        header: Header,
        body: u32,
        padding: u32,
        handle: &mut dyn FnMut(Event<'_>),
    ) {
        handle(Event::Data(header, body));
        self.advance(header, body, padding, handle);
    }

    fn data<'a>(
        &mut self,
        header: Header,
        (body, padding): (u32, u32),
        bytes: &'a [u8],
        handle: &mut dyn FnMut(Event<'_>),
    ) -> &'a [u8] {
        let (more, rest) = split(bytes, body);
        if !more.is_empty() {
            handle(Event::Bytes(more));
        }
        let (padded, rest) = split(rest, padding);
        self.advance(
            header,
            body - length(more),
            padding - length(padded),
            handle,
        );
        rest
    }

    /// So much of a DATA frame is left.
    fn advance(
        &mut self,
        header: Header,
        body: u32,
        padding: u32,
        handle: &mut dyn FnMut(Event<'_>),
    ) {
        if body == 0 && padding == 0 {
            self.state = State::Header;
            handle(Event::DataEnd(header));
        } else {
            self.state = State::Data(header, body, padding);
        }
    }

    fn pass(&mut self, left: u32) {
        self.state = match left {
            0 => State::Header,
            left => State::Pass(left),
        };
    }

    /// So much is left of a frame that breaks the protocol.
    fn breaks(
        &mut self,
        header: Header,
        left: u32,
        invalid: Invalid,
        handle: &mut dyn FnMut(Event<'_>),
    ) {
        match self.certain {
            true => self.pass(left),
            false => self.state = State::Broken,
        }
        handle(Event::Invalid(header, invalid));
    }
}

/// At most the first `len` bytes, and the rest.
fn split(bytes: &[u8], len: u32) -> (&[u8], &[u8]) {
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    bytes.split_at(len.min(bytes.len()))
}

/// Of bytes that are fewer than a frame may have.
fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}
