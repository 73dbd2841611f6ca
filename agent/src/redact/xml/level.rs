//! Which elements are open, and what stands side by side in them: names and values.

use std::ops::Range;

/// Deepest elements that are distinguished.
const DEPTH: usize = 64;

/// Most values that wait for their name.
const VALUES: usize = 4;

/// An open element.
#[derive(Debug, Default)]
pub(super) struct Level<'a> {
    name: &'a [u8],
    /// A name was said and no value yet; whether it is a secret's.
    label: Option<bool>,
    /// Values before which no name was said.
    values: Vec<Range<usize>>,
}

/// The open elements, outermost first.
#[derive(Debug)]
pub(super) struct Levels<'a>(Vec<Level<'a>>);

impl<'a> Levels<'a> {
    pub(super) fn new() -> Self {
        Self(vec![Level::default()])
    }

    /// An element begins.
    pub(super) fn open(&mut self, name: &'a [u8]) {
        if self.0.len() < DEPTH {
            self.0.push(Level {
                name,
                ..Level::default()
            });
        }
    }

    /// The innermost element of this name ends, and all within; how many were looked at.
    pub(super) fn close(&mut self, name: &[u8]) -> usize {
        let open = self
            .0
            .iter()
            .skip(1)
            .rev()
            .position(|level| level.name == name);
        if let Some(above) = open {
            self.0.truncate(self.0.len() - above - 1);
        }
        open.unwrap_or(self.0.len())
    }

    /// A value begins: whether its name was a secret's.
    pub(super) fn takes_label(&mut self) -> bool {
        let level = self.0.last_mut();
        level.and_then(|level| level.label.take()).unwrap_or(false)
    }

    /// Whether a value here has its name before it.
    pub(super) fn has_label(&self) -> bool {
        self.0.last().is_some_and(|level| level.label.is_some())
    }

    /// A value ended before which no name was said.
    pub(super) fn value(&mut self, content: Range<usize>) {
        if let Some(level) = self.0.last_mut()
            && level.values.len() < VALUES
        {
            level.values.push(content);
        }
    }

    /// A name was said. Gives the values that stand before it.
    pub(super) fn label(&mut self, is_secret: bool) -> Vec<Range<usize>> {
        let Some(level) = self.0.last_mut() else {
            return Vec::new();
        };
        let before = std::mem::take(&mut level.values);
        level.label = before.is_empty().then_some(is_secret);
        before
    }
}
