//! One direction of an HTTP/1 connection as messages.

use super::body::{Progress, Reading};
use super::classify::may_be_status_line;
use super::head::{self, Kind, Parsed, ReadError, find_end};
use super::long::LongHead;
use super::{Damage, Framed, Head, Traits, Wanted, lenient};
use crate::http::rpc::Counter;
use crate::http::{Anomalies, Body, Bounds};

/// What a [`Reader`] made of its input.
#[derive(Debug)]
pub enum Event<H> {
    /// All of it was taken, and no message has got any further.
    More,
    /// A head is whole. [`Reader::body`] must know how its body ends before anything else.
    Head {
        /// The head.
        head: H,
        /// Errors that were tolerated.
        anomalies: Anomalies,
    },
    /// A head that was passed over has ended ([`Reader::pass_head`]): what it says of its body.
    /// [`Reader::body`] must know that before anything else. After an error, the reader is of no
    /// more use.
    Passed(Result<(Framed, Traits), ReadError>),
    /// The message is over.
    End(Body),
    /// The message cannot be read any further. The reader is of no more use.
    Error(ReadError, Option<Body>),
}

/// Reads the messages of one direction.
#[derive(Debug, Default)]
pub struct Reader {
    state: State,
    /// The next message is a request, whatever its line says.
    any_line: bool,
}

#[derive(Debug, Default)]
enum State {
    /// Between messages.
    #[default]
    Between,
    /// In a head that did not come whole.
    Head(Partial),
    /// In a head that is over the bounds.
    Long(Box<LongHead>),
    /// In a body.
    Body(Reading),
}

/// By then a status line has said whether it is one. What comes later is not looked at again, so
/// that single bytes do not cost a look at all of them each.
const UNDECIDED: usize = 64;

/// A head that did not come whole.
#[derive(Debug)]
struct Partial {
    buffer: Vec<u8>,
    /// Where the search for its end goes on.
    searched: usize,
}

impl Reader {
    /// Of requests, the first of which its response has shown to be one, whatever its line says. It
    /// must be read in one go.
    #[must_use]
    pub(crate) fn of_any_line() -> Self {
        Self {
            state: State::Between,
            any_line: true,
        }
    }

    /// Between messages: the next byte, if it is not an empty line, begins one.
    #[must_use]
    pub const fn is_between(&self) -> bool {
        matches!(self.state, State::Between)
    }

    /// In a head, some bytes of which are there.
    #[must_use]
    pub fn partial_head(&self) -> Option<&[u8]> {
        match &self.state {
            State::Head(partial) => Some(&partial.buffer),
            State::Between | State::Long(_) | State::Body(_) => None,
        }
    }

    /// In a head that is over the bounds, whose end is looked for.
    #[must_use]
    pub const fn passes_head(&self) -> bool {
        matches!(self.state, State::Long(_))
    }

    /// Looks for the end of a request's head that is over the bounds. `false`: there is none.
    pub fn pass_head(&mut self) -> bool {
        let State::Head(partial) = &self.state else {
            return false;
        };
        self.state = State::Long(Box::new(LongHead::new(&partial.buffer)));
        true
    }

    /// The body that is being read.
    #[must_use]
    pub const fn reading(&self) -> Option<&Reading> {
        match &self.state {
            State::Body(reading) => Some(reading),
            State::Between | State::Head(_) | State::Long(_) => None,
        }
    }

    /// Which of the bytes to come are of use.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        self.reading()
            .map_or(Wanted::Next, super::body::Reading::wanted)
    }

    /// Bytes held.
    #[must_use]
    pub fn memory(&self) -> usize {
        match &self.state {
            State::Between => 0,
            State::Head(partial) => partial.buffer.capacity(),
            State::Long(long) => size_of::<LongHead>() + long.memory(),
            State::Body(reading) => reading.memory(),
        }
    }

    /// Takes what it can of the input, up to the next event.
    pub fn read<H: Head>(&mut self, input: &mut &[u8], bounds: &Bounds) -> Event<H> {
        let parsed = match &mut self.state {
            State::Body(reading) => {
                let event = match reading.feed(input) {
                    Progress::More => return Event::More,
                    Progress::End(body) => Event::End(body),
                    Progress::Malformed(body) => Event::Error(ReadError::Malformed, Some(body)),
                };
                self.state = State::Between;
                return event;
            }
            State::Long(long) => {
                return long.feed(input).map_or(Event::More, |passed| {
                    self.state = State::Between;
                    Event::Passed(passed)
                });
            }
            State::Between => match std::mem::take(&mut self.any_line) {
                true => lenient::parse_any(input, bounds),
                false => head::parse(input, bounds),
            }
            .map(|parsed| match parsed {
                Some(parsed) => {
                    *input = input.get(parsed.len..).unwrap_or_default();
                    Some(parsed)
                }
                None => {
                    self.state = State::Head(Partial::new(input));
                    *input = &[];
                    None
                }
            }),
            State::Head(partial) => partial.push(input, bounds),
        };
        match parsed {
            Ok(None) => Event::More,
            Ok(Some(Parsed {
                head, anomalies, ..
            })) => {
                self.state = State::Between;
                Event::Head { head, anomalies }
            }
            // What there is of the head stays, for the caller to look at.
            Err(error) => {
                if error == ReadError::TooLarge && matches!(self.state, State::Between) {
                    let (start, rest) = input.split_at(bounds.head.min(input.len()));
                    self.state = State::Head(Partial::new(start));
                    *input = rest;
                }
                Event::Error(error, None)
            }
        }
    }

    /// How the body ends whose head was just given, and what counts its messages. A message without
    /// one is over at once: its body is returned.
    pub fn body(
        &mut self,
        framed: Framed,
        counter: Option<Counter>,
        bounds: &Bounds,
    ) -> Option<Body> {
        match Reading::new(framed, counter, bounds) {
            Some(reading) => {
                self.state = State::Body(reading);
                None
            }
            None => Some(Body {
                size_exact: true,
                ..Body::default()
            }),
        }
    }

    /// Bytes are missing inside a body; `None` when there is none being read.
    pub fn gap(&mut self, len: u64, lost: bool) -> Option<Damage> {
        let State::Body(reading) = &mut self.state else {
            return None;
        };
        let damage = reading.gap(len, lost);
        if !matches!(damage, Damage::Survived { end: None, .. }) {
            self.state = State::Between;
        }
        Some(damage)
    }

    /// The direction has ended inside a body: `Ok` if that is how it ends. `None` when there is
    /// none being read.
    pub fn fin(&mut self) -> Option<Result<Body, Body>> {
        let State::Body(reading) = &mut self.state else {
            return None;
        };
        let end = reading.fin();
        self.state = State::Between;
        Some(end)
    }

    /// The body as far as it goes, without an end. Nothing more of it is kept, but its end is still
    /// looked for.
    pub fn so_far(&mut self) -> Option<Body> {
        match &mut self.state {
            State::Body(reading) => Some(reading.so_far()),
            State::Between | State::Head(_) | State::Long(_) => None,
        }
    }
}

impl Partial {
    fn new(input: &[u8]) -> Self {
        Self {
            buffer: input.to_vec(),
            searched: 0,
        }
    }

    /// Adds input until the head is whole. Only then is it parsed, so single bytes do not cost a
    /// parse each.
    fn push<H: Head>(
        &mut self,
        input: &mut &[u8],
        bounds: &Bounds,
    ) -> Result<Option<Parsed<H>>, ReadError> {
        let before = self.buffer.len();
        let room = bounds.head.saturating_sub(before).min(input.len());
        self.buffer
            .extend_from_slice(input.get(..room).unwrap_or_default());
        let Some(end) = find_end(&self.buffer, self.searched) else {
            if self.buffer.len() >= bounds.head {
                *input = input.get(room..).unwrap_or_default();
                return Err(ReadError::TooLarge);
            }
            if before < UNDECIDED && H::KIND == Kind::Response && !may_be_status_line(&self.buffer)
            {
                return Err(ReadError::Malformed);
            }
            // An empty line may have started with the last two bytes.
            self.searched = self.buffer.len().saturating_sub(2);
            *input = &[];
            return Ok(None);
        };
        *input = input.get(end.saturating_sub(before)..).unwrap_or_default();
        self.buffer.truncate(end);
        head::parse(&self.buffer, bounds)?
            .map(Some)
            .ok_or(ReadError::Malformed)
    }
}
