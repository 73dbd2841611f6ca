//! The ledger of exchanges: started = emitted complete + emitted partial + dropped, by reason + in
//! flight.
//!
//! Reasons are enums that index arrays, and the same enums are the labels of the metrics.

/// Why an exchange that is emitted is not whole. One exchange has at most one: the first that
/// happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Partial {
    /// The connection ended before a response began.
    NoResponse,
    /// The connection ended inside the request.
    RequestCut,
    /// The connection ended inside the response.
    ResponseCut,
    /// Some bytes of a body are missing.
    Gap,
    /// The capture has no packet of the other direction: the response cannot be known.
    OneSided,
    /// Bytes are missing in a head: what came before them is there.
    GapInHead,
    /// The exchange outlived `max_exchange_age`; emitted with what there was.
    MaxAge,
    /// Capture stopped first.
    Shutdown,
    /// Dropped early to stay within the memory bound; emitted with what there was.
    Evicted,
    /// The end of a body was lost past the body budget: its size is a lower bound.
    SizeUnknown,
    /// A body's coding or length is broken, or the response is none: emitted with what came before.
    Malformed,
    /// A head is over the size limit: what is within is there.
    HeadTooLarge,
    /// Which response belongs to the request cannot be known any more after missing bytes.
    Unpaired,
    /// Header compression refers to what was sent before the agent came: the head says what is
    /// unknown.
    Hpack,
}

impl Partial {
    /// Every reason, in order.
    pub const ALL: [Self; 14] = [
        Self::NoResponse,
        Self::RequestCut,
        Self::ResponseCut,
        Self::Gap,
        Self::OneSided,
        Self::GapInHead,
        Self::MaxAge,
        Self::Shutdown,
        Self::Evicted,
        Self::SizeUnknown,
        Self::Malformed,
        Self::HeadTooLarge,
        Self::Unpaired,
        Self::Hpack,
    ];

    /// The metric's label and the JSON value.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::NoResponse => "no_response",
            Self::RequestCut => "request_cut",
            Self::ResponseCut => "response_cut",
            Self::Gap => "gap",
            Self::OneSided => "one_sided",
            Self::GapInHead => "gap_in_head",
            Self::MaxAge => "max_age",
            Self::Shutdown => "shutdown",
            Self::Evicted => "evicted",
            Self::SizeUnknown => "size_unknown",
            Self::Hpack => "hpack",
            Self::Malformed => "malformed",
            Self::HeadTooLarge => "head_too_large",
            Self::Unpaired => "unpaired",
        }
    }
}

/// Why an exchange that had started is not emitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dropped {
    /// A response whose request was never seen (mid-stream, or the request fell into a gap).
    ResponseOnly,
    /// What may be a request came where that cannot be known for certain.
    Uncertain,
    /// Missing bytes inside a request's head, before it says what is requested.
    GapInHead,
    /// A request's head over the size limit, which does not say what is requested.
    HeadTooLarge,
    /// Bytes that are not HTTP where a request should be.
    Malformed,
    /// The connection ended inside the request's head.
    HeadCut,
    /// The connection table or the memory bound was full before the request's head was whole.
    Evicted,
    /// Another socket on this node emits it: the other end's, or the application's own where
    /// ztunnel has it too.
    Folded,
}

impl Dropped {
    /// Every reason, in order.
    pub const ALL: [Self; 8] = [
        Self::ResponseOnly,
        Self::Uncertain,
        Self::GapInHead,
        Self::HeadTooLarge,
        Self::Malformed,
        Self::HeadCut,
        Self::Evicted,
        Self::Folded,
    ];

    /// The metric's label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::ResponseOnly => "response_only",
            Self::Uncertain => "uncertain",
            Self::GapInHead => "gap_in_head",
            Self::HeadTooLarge => "head_too_large",
            Self::Malformed => "malformed",
            Self::HeadCut => "head_cut",
            Self::Evicted => "evicted",
            Self::Folded => "folded",
        }
    }
}

/// Counts of exchanges. An exchange starts with the first byte of its request (or of a response
/// without one).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Exchanges started.
    pub started: u64,
    /// Emitted, with nothing missing.
    pub emitted_complete: u64,
    /// Emitted with something missing; index by `Partial as usize`.
    pub partial: [u64; Partial::ALL.len()],
    /// Not emitted; index by `Dropped as usize`.
    pub dropped: [u64; Dropped::ALL.len()],
    /// Started and not ended yet.
    pub in_flight: u64,
}

impl Ledger {
    /// An exchange starts.
    pub fn start(&mut self) {
        self.started += 1;
        self.in_flight += 1;
    }

    /// A started exchange is emitted.
    pub fn emit(&mut self, partial: Option<Partial>) {
        self.in_flight = self.in_flight.saturating_sub(1);
        match partial {
            None => self.emitted_complete += 1,
            Some(reason) => self.partial[reason as usize] += 1,
        }
    }

    /// An exchange that was just emitted is one that the application's own socket shows.
    pub fn fold(&mut self, partial: Option<Partial>) {
        let emitted = match partial {
            None => &mut self.emitted_complete,
            Some(reason) => &mut self.partial[reason as usize],
        };
        *emitted = emitted.saturating_sub(1);
        self.dropped[Dropped::Folded as usize] += 1;
    }

    /// A started exchange is dropped.
    pub fn drop_with(&mut self, reason: Dropped) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.dropped[reason as usize] += 1;
    }

    /// Exchanges emitted.
    #[must_use]
    pub fn emitted(&self) -> u64 {
        self.emitted_complete + self.partial.iter().sum::<u64>()
    }

    /// started − (emitted + dropped + in flight): zero, or there is a bug.
    #[must_use]
    pub fn imbalance(&self) -> i64 {
        let sum = self.emitted() + self.dropped.iter().sum::<u64>() + self.in_flight;
        self.started.cast_signed().wrapping_sub(sum.cast_signed())
    }
}
