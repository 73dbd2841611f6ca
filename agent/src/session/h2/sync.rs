//! Where one direction of an HTTP/2 connection stands: whether it is known where frames begin.

use crate::http::h2::frame::{Reader, Search};

#[derive(Debug)]
pub(super) enum Sync {
    /// In the client's preface: so many bytes of it came.
    Preface(usize),
    /// At a frame, or in one.
    Frames(Reader),
    /// Where frames begin is not known; so many bytes were looked through. The flag: they were
    /// known before.
    Searching(Search, u64, bool),
    /// They were not found again.
    Lost,
    /// So many bytes were held back, and not read.
    Ended(u64),
}

impl Sync {
    /// It is known where frames begin.
    pub(super) const fn is_followed(&self) -> bool {
        matches!(self, Self::Frames(_))
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        match self {
            Self::Frames(reader) => reader.memory(),
            Self::Searching(search, ..) => search.memory(),
            Self::Preface(_) | Self::Lost | Self::Ended(_) => 0,
        }
    }
}
