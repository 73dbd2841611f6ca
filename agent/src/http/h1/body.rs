//! Bodies: where they end, what of them is kept, how large they truly are.

use bytes::Bytes;

use super::chunked::{Chunked, Part};
use super::{Framed, head};
use crate::http::rpc::Counter;
use crate::http::{Body, Bounds, Framing};

/// A body being read.
#[derive(Debug)]
pub struct Reading {
    rule: Rule,
    kept: Vec<u8>,
    /// Most bytes kept.
    limit: usize,
    size: u64,
    missing: u64,
    /// A byte is missing: what follows it is not kept.
    broken: bool,
    /// Counts messages, in a call.
    messages: Option<Box<Counter>>,
}

#[derive(Debug)]
enum Rule {
    Length(u64),
    Chunked(Box<Chunked>),
    Close,
}

/// What came of some input.
#[derive(Debug)]
pub(super) enum Progress {
    More,
    End(Body),
    Malformed(Body),
}

/// What a gap did to a body.
#[derive(Debug)]
pub enum Damage {
    /// Its end is still known. The body is over when it was the last bytes that are missing.
    Survived {
        /// Bytes of it are among those lost.
        lost: bool,
        /// The body, if it is over.
        end: Option<Body>,
    },
    /// Where the next message begins is not known any more. `lost` as above.
    Broken {
        /// What there was; its size is exact if the end of the body lies within the gap.
        body: Body,
        /// Bytes that were wanted are among those lost.
        lost: bool,
    },
}

/// Which bytes of a body are of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Those that come next.
    Next,
    /// Not the next `0`.
    After(u64),
    /// None, as long as the other direction is silent.
    Nothing,
}

impl Reading {
    pub(super) fn new(framed: Framed, counter: Option<Counter>, bounds: &Bounds) -> Option<Self> {
        let rule = match framed {
            Framed::None | Framed::Switched => return None,
            Framed::Length(length) => Rule::Length(length),
            Framed::Chunked => Rule::Chunked(Box::new(Chunked::new())),
            Framed::Close => Rule::Close,
        };
        Some(Self {
            rule,
            kept: Vec::new(),
            limit: bounds.body,
            size: 0,
            missing: 0,
            broken: false,
            messages: counter.map(Box::new),
        })
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        let chunked = match &self.rule {
            Rule::Chunked(chunked) => chunked.memory() + size_of::<Chunked>(),
            Rule::Length(_) | Rule::Close => 0,
        };
        let counter = self.messages.as_ref().map_or(0, |_| size_of::<Counter>());
        self.kept.capacity() + chunked + counter
    }

    /// No byte of it has come.
    #[must_use]
    pub fn untouched(&self) -> bool {
        self.size == 0 && !matches!(&self.rule, Rule::Chunked(chunked) if !chunked.untouched())
    }

    /// Bytes were skipped on purpose.
    fn truncated(&self) -> bool {
        self.size > self.limit as u64 || (self.missing == 0 && self.size > self.kept.len() as u64)
    }

    /// What there is so far, for emitting early. Nothing more of it is kept.
    pub(super) fn so_far(&mut self) -> Body {
        let framing = match self.rule {
            Rule::Length(_) => Framing::Length,
            Rule::Chunked(_) => Framing::Chunked,
            Rule::Close => Framing::Close,
        };
        let truncated = self.truncated();
        let mut kept = std::mem::take(&mut self.kept);
        kept.shrink_to_fit();
        self.limit = 0;
        Body {
            truncated,
            bytes: kept.into(),
            size: self.size,
            size_exact: false,
            missing: self.missing,
            framing,
            trailers: None,
            messages: self.messages.as_ref().map(|messages| messages.seen()),
        }
    }

    /// Which of the bytes to come are of use.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        if self.size < self.limit as u64 && !self.broken {
            return Wanted::Next;
        }
        match &self.rule {
            Rule::Length(left) => Wanted::After(*left),
            Rule::Chunked(chunked) => Wanted::After(chunked.left()),
            Rule::Close => Wanted::After(u64::MAX),
        }
    }

    pub(super) fn feed(&mut self, input: &mut &[u8]) -> Progress {
        loop {
            match &mut self.rule {
                Rule::Length(left) => {
                    let len = usize::try_from(*left).unwrap_or(usize::MAX);
                    let (data, rest) = input.split_at(len.min(input.len()));
                    *input = rest;
                    *left -= data.len() as u64;
                    let over = *left == 0;
                    if over && self.size == 0 {
                        return Progress::End(self.at_once(data));
                    }
                    self.keep(data);
                    return match over {
                        true => Progress::End(self.finish(true)),
                        false => Progress::More,
                    };
                }
                Rule::Chunked(chunked) => match chunked.feed(input) {
                    Part::Data(data) => self.keep(data),
                    Part::More => return Progress::More,
                    Part::End => return Progress::End(self.finish(true)),
                    Part::Malformed => return Progress::Malformed(self.finish(false)),
                },
                Rule::Close => {
                    self.keep(input);
                    *input = &[];
                    return Progress::More;
                }
            }
        }
    }

    /// The whole body came in one chunk: one copy.
    fn at_once(&mut self, data: &[u8]) -> Body {
        if let Some(messages) = &mut self.messages {
            messages.push(data);
        }
        Body {
            bytes: Bytes::copy_from_slice(data.get(..self.limit).unwrap_or(data)),
            size: data.len() as u64,
            size_exact: true,
            missing: 0,
            truncated: data.len() > self.limit,
            framing: Framing::Length,
            trailers: None,
            messages: self.messages.as_ref().map(|messages| messages.seen()),
        }
    }

    fn keep(&mut self, data: &[u8]) {
        self.size = self.size.saturating_add(data.len() as u64);
        if let Some(messages) = &mut self.messages {
            messages.push(data);
        }
        if self.broken {
            return;
        }
        let room = self.limit.saturating_sub(self.kept.len()).min(data.len());
        let Some(data) = data.get(..room).filter(|data| !data.is_empty()) else {
            return;
        };
        if self.kept.capacity() == 0 {
            // A body of moderate, known length gets its room at once; a long one grows with what
            // really comes.
            let known = match &self.rule {
                Rule::Length(left) => *left + data.len() as u64,
                Rule::Chunked(chunked) => chunked.left() + data.len() as u64,
                Rule::Close => 0,
            };
            let known = usize::try_from(known).unwrap_or(usize::MAX);
            self.kept
                .reserve_exact(known.min(self.limit).min(AT_ONCE).max(data.len()));
        }
        self.kept.extend_from_slice(data);
    }

    /// `len` bytes are not there; `lost`: not on purpose.
    pub(super) fn gap(&mut self, len: u64, lost: bool) -> Damage {
        let wanted = (self.limit as u64).saturating_sub(self.size);
        let (inside, survives) = match &mut self.rule {
            Rule::Length(left) => {
                let inside = len.min(*left);
                *left -= inside;
                (inside, len == inside)
            }
            Rule::Chunked(chunked) => match chunked.gap(len) {
                true => (len, true),
                // How many of them are content is not known.
                false => (0, false),
            },
            Rule::Close => (len, true),
        };
        let over = matches!(self.rule, Rule::Length(0));
        let harm = lost && (inside > 0 || (!survives && !over));
        if lost {
            self.missing += inside;
        }
        self.size = self.size.saturating_add(inside);
        self.broken |= inside.min(wanted) > 0;
        if let Some(messages) = &mut self.messages {
            messages.miss(inside);
            if !survives && !over {
                messages.lose();
            }
        }
        match survives {
            true => Damage::Survived {
                lost: harm,
                end: over.then(|| self.finish(true)),
            },
            false => Damage::Broken {
                lost: harm,
                body: self.finish(over),
            },
        }
    }

    /// The direction has ended: over if that is how this body ends, else cut.
    pub(super) fn fin(&mut self) -> Result<Body, Body> {
        match self.rule {
            Rule::Close => Ok(self.finish(true)),
            Rule::Length(_) | Rule::Chunked(_) => Err(self.finish(false)),
        }
    }

    /// What there is.
    pub(super) fn finish(&mut self, size_exact: bool) -> Body {
        let (framing, trailers) = match std::mem::replace(&mut self.rule, Rule::Close) {
            Rule::Length(_) => (Framing::Length, None),
            Rule::Close => (Framing::Close, None),
            Rule::Chunked(chunked) => {
                let section = chunked.into_trailers();
                (
                    Framing::Chunked,
                    head::parse_trailers(section).map(Box::new),
                )
            }
        };
        let truncated = self.truncated();
        let mut kept = std::mem::take(&mut self.kept);
        kept.shrink_to_fit();
        Body {
            truncated,
            bytes: kept.into(),
            size: self.size,
            size_exact,
            missing: self.missing,
            framing,
            trailers,
            messages: self.messages.as_ref().map(|messages| messages.seen()),
        }
    }
}

/// Room made at once for a body of known length: most bodies, and little to lose when the rest
/// never comes.
const AT_ONCE: usize = 16 * 1024;
