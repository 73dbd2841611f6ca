//! Colours of human output: the eight that every terminal theme defines.

/// The escape sequences in use; all empty when colour is off.
#[derive(Clone, Copy, Debug)]
pub struct Palette {
    on: bool,
}

/// What a range of text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    Dim,
    Bold,
    Green,
    Cyan,
    Yellow,
    Red,
    Magenta,
}

impl Palette {
    /// With colour, or without.
    #[must_use]
    pub const fn new(on: bool) -> Self {
        Self { on }
    }

    /// Begins a range.
    pub(super) const fn begin(self, ink: Ink) -> &'static str {
        if !self.on {
            return "";
        }
        match ink {
            Ink::Dim => "\x1b[2m",
            Ink::Bold => "\x1b[1m",
            Ink::Green => "\x1b[32m",
            Ink::Cyan => "\x1b[36m",
            Ink::Yellow => "\x1b[33m",
            Ink::Red => "\x1b[31m",
            Ink::Magenta => "\x1b[35m",
        }
    }

    /// Ends it.
    pub(super) const fn end(self) -> &'static str {
        if self.on { "\x1b[0m" } else { "" }
    }
}

/// The colour of a status code, by its class.
pub(super) const fn status_ink(status: u16) -> Ink {
    match status {
        200..=299 => Ink::Green,
        300..=399 | 100..=199 => Ink::Cyan,
        400..=499 => Ink::Yellow,
        _ => Ink::Red,
    }
}
