//! An HTTP/1 connection: two readers and the exchanges between them.
//!
//! # States
//!
//! ```text
//!  requests:            gap outside a body of known length, malformed, head too large
//!           ┌─────────────────────────────────────────────────────────────► Seek
//!        Reading ◄──────────── a request at a turning point ────────────────┘
//!           │ CONNECT is whole             ┌── 2xx ──► Tunnel
//!           └────────────────────► Hold ───┴── any other answer ──► Reading
//!  responses:
//!        Await ──── its first byte is the expected one ────► Reading ── 101, 2xx to CONNECT ──► Tunnel
//!                                                             │  ▲
//!                gap outside a body of known length, malformed│  │ the next request begins at a turning point
//!                                                             ▼  │
//!                                                             Seek
//!  both: FIN ──► Ended
//! ```
//!
//! # Which answer belongs to which request
//!
//! Answers come in the order of their requests (RFC 9112 §9.3.2), so as long as both directions are whole, the n-th answer
//! belongs to the n-th request. Bytes may be missing, and then it depends on where:
//!
//! * **Inside a body of known length** (`Content-Length`, or within one chunk): nothing is lost but those bytes.
//! * **Elsewhere in the requests**: how many requests the gap holds is unknown. Those before it are still answered in
//!   order; an answer after those is not paired.
//! * **Elsewhere in the answers**: how many answers the gap holds is unknown. No pending request is paired any more,
//!   except the one whose answer was being read; it is told with what there was.
//!
//! What comes after is paired again only where TCP itself says that both sides had nothing left to say: at a turning
//! point ([`super::quiescent`]). On a connection whose client waits for each answer, every request begins at one, and its
//! answer begins exactly at the request's acknowledgement number. So:
//!
//! * if only the answers were lost track of, the next request to begin says where its answer will begin;
//! * if the requests were lost track of, a request is believed only at a turning point whose two sides were both seen:
//!   then the first bytes after it are not in the middle of anything;
//! * a connection that was there before the agent is picked up at the first bytes of a request, if they are a whole request
//!   line at the start of a segment, and if, when the answer begins, they are a whole request and nothing else, all of
//!   which the server had received. (The middle of a body does not look like that; a body that ends with exactly one
//!   request in a segment of its own would.)
//!
//! A client that pipelines has no turning points to rely on: once a request was seen to begin while an earlier one was
//! unanswered, a loss of track is final. Its later requests are counted as [`Dropped::PairingLost`] as far as they can be made
//! out, and when they cannot, the socket is left alone. (A client that pipelines for the first time exactly within a gap,
//! in such a way that no acknowledgement shows it, cannot be told from one that does not.)

mod ending;
mod requests;
mod responses;
mod resync;

pub(crate) use ending::End;
pub(crate) use requests::is_known_request;

use std::collections::VecDeque;
use std::sync::Arc;

use super::quiescent::Turn;
use super::websocket::Tunnel;
use super::{Context, Half};
use crate::exchange::{Account, Open, Peers};
use crate::flow::Nanos;
use crate::http::h1::{Appetite, Reader};
use crate::ledger::Dropped;
use crate::transport::tcp::Credit;
use crate::transport::tcp::Item;

/// An HTTP/1 connection.
#[derive(Debug)]
pub(crate) struct H1 {
    peers: Arc<Peers>,
    requests: Requests,
    responses: Responses,
    /// Begun exchanges whose request's head is whole, in the order of their requests.
    open: VecDeque<Open>,
    /// The request whose head is being read.
    begun: Option<Begun>,
    /// The request whose body is being read is the last of `open`.
    current: bool,
    /// How far each direction was told.
    turns: [Turn; 2],
    credits: [Credit; 2],
    tunnel: Option<Box<Tunnel>>,
    facts: Facts,
    /// Bytes that `open` holds.
    held: usize,
    /// Sequence number of the last request's first byte.
    last_request: u32,
    /// Acknowledgement number of that byte's segment.
    last_ack: u32,
}

/// A request whose head is not whole.
#[derive(Clone, Copy, Debug)]
struct Begun {
    time: Nanos,
    seq: u32,
    /// It is in the ledger. The first bytes of a connection are not, before they are known to be HTTP.
    counted: bool,
}

/// What was seen of the connection.
#[derive(Clone, Copy, Debug, Default)]
struct Facts {
    /// Its first byte was seen.
    fresh: bool,
    /// A whole request line was seen.
    recognised: bool,
    /// A request began while an earlier one was unanswered.
    pipelined: bool,
    /// Nothing more can be paired.
    lost: bool,
    /// The other end of the same connection tells its exchanges.
    mirrored: bool,
    /// A request began since the last look.
    news: Option<u32>,
    /// Not HTTP after all.
    not_http: bool,
    /// The connection was picked up at a request that nothing before it vouches for.
    joined: bool,
    /// A request was given up whose answer may come.
    owed: bool,
}

#[derive(Debug)]
enum Requests {
    Reading(Reader),
    Seek,
    /// After a CONNECT: bytes that came before its answer.
    Hold(u64),
    Tunnel,
    Ended,
}

#[derive(Debug)]
enum Responses {
    /// Nothing of this direction was seen. The answer begins at this sequence number, or with the first byte of all.
    Await(Option<u32>),
    Reading(Reader),
    Seek,
    Tunnel,
    Ended,
}

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes on.
    Go,
    /// It does not speak HTTP.
    NotHttp,
    /// Nothing more can be told of it.
    Hopeless,
    /// Both directions have ended.
    Over,
}

impl H1 {
    /// `fresh`: nothing came before what the direction's first item will be. Both arguments by [`Half`].
    pub(crate) fn new(peers: Arc<Peers>, turns: [Turn; 2], fresh: [bool; 2]) -> Self {
        let [_, answers] = &turns;
        let [fresh, fresh_answers] = fresh;
        let responses = match answers.end() {
            None => Responses::Await(None),
            Some(_) if fresh_answers => Responses::Reading(Reader::default()),
            Some(_) => Responses::Seek,
        };
        Self {
            peers,
            requests: match fresh {
                true => Requests::Reading(Reader::default()),
                false => Requests::Seek,
            },
            responses,
            open: VecDeque::new(),
            begun: None,
            current: false,
            turns,
            credits: [Credit::default(); 2],
            tunnel: None,
            facts: Facts {
                fresh,
                ..Facts::default()
            },
            held: 0,
            last_request: 0,
            last_ack: 0,
        }
    }

    /// Takes what a direction's stream hands on.
    #[inline]
    pub(crate) fn item(&mut self, half: Half, item: Item<'_>, cx: &mut Context<'_>) {
        match (half, item) {
            (_, Item::Opens { seq, fresh }) => {
                self.turns[half as usize].opens(seq);
                match half {
                    Half::Requests => self.requests_open(fresh),
                    Half::Responses => self.answers_open(seq, fresh, cx),
                }
            }
            (Half::Requests, Item::Bytes(piece)) => {
                self.credits[Half::Requests as usize].spoke(piece.seq);
                self.credits[Half::Responses as usize].heard();
                self.request_bytes(piece, cx);
                self.turns[Half::Requests as usize].bytes(&piece);
                self.hint(Half::Requests, piece.end(), cx);
            }
            (Half::Responses, Item::Bytes(piece)) => {
                self.credits[Half::Responses as usize].spoke(piece.seq);
                self.credits[Half::Requests as usize].heard();
                self.response_bytes(piece, cx);
                self.turns[Half::Responses as usize].answer(&piece);
                self.hint(Half::Responses, piece.end(), cx);
            }
            (Half::Requests, Item::Gap(gap)) => {
                self.request_gap(&gap, cx);
                self.turns[Half::Requests as usize].gap(&gap);
                self.hint(half, gap.seq.wrapping_add(gap.len), cx);
            }
            (Half::Responses, Item::Gap(gap)) => {
                self.response_gap(&gap, cx);
                self.turns[Half::Responses as usize].gap(&gap);
                self.hint(half, gap.seq.wrapping_add(gap.len), cx);
            }
            (Half::Requests, Item::Fin { time }) => self.request_fin(time, cx),
            (Half::Responses, Item::Fin { time }) => self.response_fin(time, cx),
        }
    }

    /// What becomes of the connection now.
    #[inline]
    pub(crate) fn verdict(&self) -> Verdict {
        match (&self.requests, &self.responses) {
            _ if self.facts.not_http => Verdict::NotHttp,
            (Requests::Ended, Responses::Ended) => Verdict::Over,
            (Requests::Seek, _) if self.facts.lost && self.open.is_empty() => Verdict::Hopeless,
            _ => Verdict::Go,
        }
    }

    /// Bytes held.
    #[inline]
    pub(crate) fn memory(&self) -> usize {
        let requests = match &self.requests {
            Requests::Reading(reader) => reader.memory(),
            _ => 0,
        };
        let responses = match &self.responses {
            Responses::Reading(reader) => reader.memory(),
            _ => 0,
        };
        self.held + requests + responses
    }

    /// When the oldest exchange began that is not told yet.
    pub(crate) fn oldest(&self) -> Option<Nanos> {
        self.open
            .iter()
            .find_map(Open::began)
            .or(self.begun.map(|begun| begun.time))
    }

    /// An exchange was told before it was over.
    pub(crate) fn has_told_early(&self) -> bool {
        self.open.iter().any(Open::is_told)
    }

    /// The first request that began since the last call.
    #[inline]
    pub(crate) const fn news(&mut self) -> Option<u32> {
        self.facts.news.take()
    }

    /// One of its requests that are known begins at `seq`.
    pub(crate) fn has_request_at(&self, seq: u32) -> bool {
        (self.facts.recognised && self.last_request == seq)
            || self.open.iter().any(|open| open.seq == seq)
    }

    pub(crate) const fn peers(&self) -> &Arc<Peers> {
        &self.peers
    }

    /// The other end of the same local connection tells its exchanges.
    pub(crate) const fn folded(&mut self) {
        self.facts.mirrored = true;
    }

    /// Bytes before this are not wanted in a direction.
    pub(crate) const fn unneeded(&self, half: Half) -> Option<u32> {
        self.credits[half as usize].until()
    }

    fn account<'a>(&'a self, cx: &'a mut Context<'_>) -> Account<'a> {
        account(&self.peers, self.facts.mirrored, cx)
    }

    /// A request or an answer that is in the ledger's account but not in `open` is given up.
    fn lose(&self, reason: Dropped, cx: &mut Context<'_>) {
        cx.ledger.drop_with(match self.facts.mirrored {
            true => Dropped::Folded,
            false => reason,
        });
    }

    /// Ends what the first of `open` may have reached, and tells it.
    fn settle(&mut self, now: Nanos, cx: &mut Context<'_>) {
        while let Some(open) = self.open.front_mut().filter(|open| open.is_over()) {
            self.held = self.held.saturating_sub(open.memory());
            open.tell(
                false,
                now,
                &mut account(&self.peers, self.facts.mirrored, cx),
            );
            self.open.pop_front();
        }
    }

    /// Gives up every begun exchange but one that only waits for the end of its request.
    fn abandon(&mut self, cx: &mut Context<'_>) {
        let mut account = account(&self.peers, self.facts.mirrored, cx);
        let kept = self
            .open
            .front()
            .is_some_and(|open| open.answer == crate::exchange::Answer::Done);
        for open in self.open.iter_mut().skip(usize::from(kept)) {
            open.lose(Dropped::PairingLost, &mut account);
        }
        self.current &= kept && self.open.len() == 1;
        self.open.truncate(usize::from(kept));
        self.held = self.open.iter().map(Open::memory).sum();
    }

    /// Tells the hook which bytes are not needed, or that more are.
    #[inline]
    fn hint(&mut self, half: Half, position: u32, cx: &mut Context<'_>) {
        let appetite = match half {
            Half::Requests => match &self.requests {
                Requests::Reading(reader) => reader.appetite(),
                Requests::Tunnel => self.tunnel_appetite(half),
                Requests::Seek | Requests::Hold(_) | Requests::Ended => Appetite::Nothing,
            },
            Half::Responses => match &self.responses {
                Responses::Reading(reader) => reader.appetite(),
                Responses::Tunnel => self.tunnel_appetite(half),
                Responses::Await(_) | Responses::Seek | Responses::Ended => Appetite::Nothing,
            },
        };
        if let Some(seq) = self.credits[half as usize].advance(position, appetite) {
            cx.resume(&self.peers, half, seq);
        }
    }

    fn tunnel_appetite(&self, half: Half) -> Appetite {
        match self
            .tunnel
            .as_ref()
            .map(|tunnel| tunnel.uninteresting(half))
        {
            Some(0) | None => Appetite::Next,
            Some(len) => Appetite::After(len),
        }
    }
}

fn account<'a>(peers: &'a Arc<Peers>, mirrored: bool, cx: &'a mut Context<'_>) -> Account<'a> {
    Account {
        ledger: cx.ledger,
        exchanges: &mut cx.output.exchanges,
        peers,
        mirrored,
    }
}
