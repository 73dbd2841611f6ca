//! What stands over the columns in a terminal.

use unicode_width::UnicodeWidthStr as _;

use super::{Layout, Line, MIN_TARGET, PLAIN_WIDTH};
use crate::tap::colour::Ink;

impl Line {
    /// Titles stand above the first line, and again above one that has other columns.
    pub fn with_titles(&mut self) {
        self.layout = self.roomy();
        self.titled = Some(String::new());
    }

    /// The most that leaves room for a target.
    pub(super) fn roomy(&self) -> Layout {
        let width = self.width.unwrap_or(PLAIN_WIDTH);
        let fits = |layout: &Layout| {
            let (left, right) = self.headings(*layout);
            left.width() + MIN_TARGET + right.width() <= width
        };
        Layout::ALL.into_iter().find(fits).unwrap_or(Layout::Path)
    }

    /// What stands over the columns before and after the request.
    fn headings(&self, layout: Layout) -> (String, String) {
        let (ends, process) = (self.ends, self.process);
        let mut left = match (layout, self.dates) {
            (Layout::Path, _) => String::new(),
            (_, true) => format!("{:<25}{:<5}", "TIME (UTC)", "END"),
            (_, false) => format!("{:<14}{:<5}", "TIME (UTC)", "END"),
        };
        match layout {
            Layout::Whole => left += &format!("{:<ends$}  ", "CLIENT → SERVER"),
            Layout::NoClient | Layout::NoProcess => left += &format!("{:<23}  ", "→ SERVER"),
            _ => {}
        }
        if layout <= Layout::NoClient {
            left += &format!("{:<process$}  ", "PROCESS");
        }
        let right = match layout >= Layout::NoSizes {
            true => format!("{:>6}", "STATUS"),
            false => format!("{:>6}  {:^11}  {:>6}", "STATUS", "SENT→GOT", "TOOK"),
        };
        (left, right)
    }

    pub(super) fn titles(&self, layout: Layout) -> String {
        let (dim, end) = (self.palette.begin(Ink::Dim), self.palette.end());
        let width = self.width.unwrap_or(PLAIN_WIDTH);
        let (left, right) = self.headings(layout);
        let room = width.saturating_sub(left.width() + right.width());
        let request = &"REQUEST"[..room.min("REQUEST".len())];
        format!("{dim}{left}{request:<room$}{right}{end}\n")
    }

    /// Appends the titles again where they are others now.
    pub(super) fn retitle(&mut self, out: &mut Vec<u8>, layout: Layout) {
        if self.titled.is_none() {
            return;
        }
        let title = self.titles(layout);
        if self.titled.as_ref() != Some(&title) {
            out.extend_from_slice(title.as_bytes());
            self.titled = Some(title);
        }
    }
}
