//! Names and values in the cells of a table and in lists of definitions:
//! `<th>Password</th><td>x</td>`, a column under such a head, `<dt>Password</dt><dd>x</dd>`.

use std::ops::Range;

use super::{NAME, Scan};

/// Most words of a cell that is taken for a name; more are a sentence.
const WORDS: usize = 3;

/// Where the scan is in a table or in a list.
#[derive(Debug, Default)]
pub(super) struct Cells {
    /// A cell that may say a name: its kind, and where its content begins.
    open: Option<(Kind, usize)>,
    /// Cells of the row before this one.
    column: u32,
    /// Bit `n`: the head of column `n` is the name of a secret.
    secrets: u64,
    /// The cell before says such a name.
    follows: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Table,
    Row,
    Head,
    Cell,
    Term,
    Details,
}

impl Kind {
    fn of(name: &[u8]) -> Option<Self> {
        const ALL: [(&[u8], Kind); 6] = [
            (b"table", Kind::Table),
            (b"tr", Kind::Row),
            (b"th", Kind::Head),
            (b"td", Kind::Cell),
            (b"dt", Kind::Term),
            (b"dd", Kind::Details),
        ];
        let known = ALL
            .iter()
            .find(|(known, _)| name.eq_ignore_ascii_case(known));
        known.map(|(_, kind)| *kind)
    }
}

impl Scan<'_, '_> {
    /// An element of this name begins at `at`, its content at `content`; whether that is a secret.
    pub(super) fn opens_cell(&mut self, name: &[u8], at: usize, content: usize) -> bool {
        let Some(kind) = Kind::of(name) else {
            return false;
        };
        self.closes_cell(at);
        let cells = &mut self.cells;
        let follows = std::mem::take(&mut cells.follows);
        let bit = cells.secrets.checked_shr(cells.column).unwrap_or(0) & 1;
        match kind {
            Kind::Table => *cells = Cells::default(),
            Kind::Row => cells.column = 0,
            Kind::Cell if follows || bit == 1 => {
                cells.column += 1;
                return true;
            }
            Kind::Details => return follows,
            Kind::Head | Kind::Cell | Kind::Term => cells.open = Some((kind, content)),
        }
        false
    }

    /// The cell that is open ends at `at`.
    pub(super) fn closes_cell(&mut self, at: usize) {
        let Some((kind, start)) = self.cells.open.take() else {
            return;
        };
        let is_secret = self.says_secret(start..at);
        let cells = &mut self.cells;
        if is_secret && kind == Kind::Head {
            cells.secrets |= 1_u64.checked_shl(cells.column).unwrap_or(0);
        }
        cells.column += u32::from(kind != Kind::Term);
        cells.follows = is_secret;
    }

    /// The text of a cell, maybe in another element, is the name of a secret.
    fn says_secret(&mut self, range: Range<usize>) -> bool {
        let raw = self.text.get(range.clone()).unwrap_or_default();
        if !self.traces.may_name(range.clone()) || !self.effort.spend(16 + raw.len() / 4) {
            return false;
        }
        let mut text = raw.trim_ascii();
        while let [b'<', rest @ ..] = text {
            let inner = memchr::memchr(b'>', rest).and_then(|end| rest.get(end + 1..));
            text = inner.unwrap_or_default().trim_ascii_start();
        }
        let text = text.split(|b| *b == b'<').next().unwrap_or_default();
        let text = text.trim_ascii();
        let name = text.strip_suffix(b":").unwrap_or(text);
        let words = name.split(|b| *b == b' ').count();
        name.len() <= NAME && words <= WORDS && self.is_secret(range, name)
    }
}
