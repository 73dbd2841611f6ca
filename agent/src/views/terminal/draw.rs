//! The screen as cells.
//!
//! ```text
//! the line of totals                        reversed
//! titles of the columns
//! rows
//! the filter, the prompt, or a note
//! the keys
//! ```

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_width::UnicodeWidthStr as _;

use super::Screen;
use super::columns::{Columns, beside, cut};
use super::help;
use super::ink::{Ink, Inks};
use super::list::Order;
use super::numbers::{bars, grouped, rate};
use crate::plural::noun_after;
use crate::tap::size_text;
use crate::views::report;
use crate::views::stats::{By, Line};
use crate::views::store::Store;

/// Lines around the rows: two above, two below.
const FRAME: usize = 4;
/// Columns of a sparkline.
const SPARK: usize = 12;
/// What is left of a route and of a client beside a long name of a server.
const LEAST_ROUTE: usize = 14;
const LEAST_CLIENT: usize = 8;
/// Columns before a row: whether it is selected, and marked.
const MARKS: u16 = 2;

/// Where rows are drawn.
struct Canvas<'a> {
    buffer: &'a mut Buffer,
    area: Rect,
    inks: Inks,
}

impl Canvas<'_> {
    fn put(&mut self, x: u16, y: u16, text: &str, style: Style) {
        if y < self.area.height && x < self.area.width {
            let width = usize::from(self.area.width - x);
            self.buffer.set_stringn(x, y, text, width, style);
        }
    }

    /// A whole line with one style.
    fn line(&mut self, y: u16, text: &str, style: Style) {
        if y < self.area.height {
            self.put(0, y, text, style);
            self.buffer
                .set_style(Rect::new(0, y, self.area.width, 1), style);
        }
    }
}

fn row(index: usize) -> u16 {
    u16::try_from(index).unwrap_or(u16::MAX)
}

impl Screen {
    /// Draws everything.
    pub fn draw(&mut self, frame: &mut Frame<'_>, store: &Store) {
        let area = frame.area();
        let height = usize::from(area.height);
        self.rows = height.saturating_sub(FRAME).max(1);
        let inks = self.inks;
        let mut canvas = Canvas {
            buffer: frame.buffer_mut(),
            area,
            inks,
        };
        let bar = inks.style(Ink::Bar);
        canvas.line(0, &self.bar(usize::from(area.width)), bar);
        if self.help.is_some() {
            self.draw_help(&mut canvas);
        } else if self.detail.is_some() {
            self.draw_detail(&mut canvas);
        } else if self.is_totals {
            self.draw_totals(&mut canvas);
        } else {
            self.draw_list(&mut canvas, store);
        }
        let status = row(height.saturating_sub(2));
        let cursor = self.draw_status(&mut canvas, status);
        // What is wrong with a filter has the line of the keys: it is long.
        let error = self
            .prompt
            .as_ref()
            .and_then(|prompt| prompt.error.as_deref());
        let (text, ink) = match error {
            Some(error) => (error, Ink::Failure),
            None => (self.keys(), Ink::Dim),
        };
        canvas.put(0, row(height.saturating_sub(1)), text, inks.style(ink));
        if let Some(x) = cursor {
            frame.set_cursor_position((x.min(area.width.saturating_sub(1)), status));
        }
    }

    /// What is held, what is not, and how fast it comes: the more important first.
    fn bar(&self, width: usize) -> String {
        let held = &self.held;
        let mut text = format!(" meshtap  {}", exchanges(held.exchanges as u64));
        let mut add = |part: String| {
            if text.width() + part.width() + 2 <= width {
                text.push_str("  ");
                text.push_str(&part);
            }
        };
        match (self.list.paused, held.ended) {
            (Some(last), _) => add(format!(
                "PAUSED, {} new",
                grouped((held.next - 1).saturating_sub(last))
            )),
            (None, true) => add("ENDED".to_owned()),
            (None, false) => add(format!("{}/s", grouped(self.rate.now))),
        }
        if held.skipped > 0 {
            add(format!("{} not shown: too fast", grouped(held.skipped)));
        }
        if held.evicted > 0 {
            add(format!("{} fell out", grouped(held.evicted)));
        }
        if !self.is_totals && self.list.len() != held.exchanges {
            add(format!("{} match", grouped(self.list.len() as u64)));
        }
        if !self.list.marked.is_empty() {
            add(format!("{} marked", self.list.marked.len()));
        }
        add(format!("{}B", size_text(held.bytes as u64)));
        text
    }

    fn draw_list(&mut self, canvas: &mut Canvas<'_>, store: &Store) {
        let inks = canvas.inks;
        let width = usize::from(canvas.area.width.saturating_sub(MARKS));
        let columns = Columns::of(width);
        let (numbers, selected) = self.list.window(self.rows);
        canvas.put(MARKS, 1, &columns.title(), inks.style(Ink::Title));
        if numbers.is_empty() {
            let text = match self.held.exchanges {
                0 if self.held.ended => "Nothing was captured.",
                0 => "Nothing yet. An exchange is shown when it has ended.",
                _ => "No exchange passes the filter. Esc forgets it.",
            };
            canvas.put(MARKS, 3, text, inks.style(Ink::Dim));
        }
        for (index, id) in numbers.into_iter().enumerate() {
            let Some(shown) = store.get(id) else {
                continue;
            };
            let status = shown.exchange().response.as_ref().map(|r| r.head.status);
            let ink = match status {
                _ if shown.failed() => Ink::Failure,
                Some(400..) => Ink::Warning,
                _ => Ink::Plain,
            };
            let y = row(index + 2);
            let mark = if self.list.marked.contains(&id) {
                "*"
            } else {
                " "
            };
            let arrow = if index == selected { ">" } else { " " };
            canvas.put(0, y, &format!("{arrow}{mark}"), inks.style(Ink::Plain));
            canvas.put(MARKS, y, &columns.row(&shown), inks.style(ink));
            if index == selected {
                let style = Inks::selected(inks.style(ink));
                canvas
                    .buffer
                    .set_style(Rect::new(0, y, canvas.area.width, 1), style);
            }
        }
    }

    fn draw_totals(&mut self, canvas: &mut Canvas<'_>) {
        let inks = canvas.inks;
        let width = usize::from(canvas.area.width);
        let title = report::columns_title();
        // The sparkline goes first when there is little room, then the numbers do not.
        let has_spark = width >= title.width() + SPARK + 40;
        let spark = if has_spark { SPARK + 1 } else { 0 };
        let names = width.saturating_sub(title.width() + spark + 3);
        let by = report::title(self.totals.by);
        canvas.put(
            0,
            1,
            &format!("  {} {title}", padded(by, names)),
            inks.style(Ink::Title),
        );
        let (lines, selected) = self.totals.window(self.rows);
        for (index, line) in lines.iter().enumerate() {
            let arrow = if index == selected { ">" } else { " " };
            let name = padded(&named(self.totals.by, line, names), names);
            let mut text = format!("{arrow} {name} {}", report::columns(line));
            if has_spark {
                text.push(' ');
                text.push_str(&padded(&bars(&line.seconds, SPARK), SPARK));
            }
            let ink = match line.failed {
                0 => Ink::Plain,
                _ => Ink::Failure,
            };
            let y = row(index + 2);
            let style = inks.style(ink);
            match index == selected {
                true => canvas.line(y, &text, Inks::selected(style)),
                false => canvas.put(0, y, &text, style),
            }
        }
    }

    fn draw_detail(&mut self, canvas: &mut Canvas<'_>) {
        let inks = canvas.inks;
        let rows = self.rows;
        let Some(detail) = &mut self.detail else {
            return;
        };
        detail.fit(usize::from(canvas.area.width));
        let title = format!("exchange {}", detail.id);
        let lines = detail.window(rows).to_vec();
        let last = detail.top + lines.len();
        let place = format!(
            "{title}  lines {}-{last} of {}",
            detail.top + 1,
            detail.len()
        );
        canvas.put(0, 1, &place, inks.style(Ink::Dim));
        for (index, (line, ink)) in lines.iter().enumerate() {
            canvas.put(0, row(index + 2), line, inks.style(*ink));
        }
    }

    fn draw_help(&self, canvas: &mut Canvas<'_>) {
        let lines = help::lines();
        let top = self.help.unwrap_or(0);
        canvas.put(0, 1, "help", canvas.inks.style(Ink::Dim));
        for (index, (line, ink)) in lines.iter().skip(top).take(self.rows).enumerate() {
            canvas.put(0, row(index + 2), line, canvas.inks.style(*ink));
        }
    }

    /// The line above the keys; where the cursor is, if something is typed.
    fn draw_status(&self, canvas: &mut Canvas<'_>, y: u16) -> Option<u16> {
        let inks = canvas.inks;
        if let Some(prompt) = &self.prompt {
            let text = format!("{}{}", prompt.label(), prompt.text());
            let before = prompt.label().width() + prompt.before_cursor().width();
            // The end of a long text is what is typed.
            let room = usize::from(canvas.area.width).saturating_sub(1);
            let skipped = before.saturating_sub(room);
            let shown: String = text.chars().skip(skipped).collect();
            canvas.put(0, y, &shown, inks.style(Ink::Title));
            return Some(row(before - skipped));
        }
        if !self.note.is_empty() {
            canvas.put(0, y, &self.note, inks.style(Ink::Note));
            return None;
        }
        canvas.put(0, y, &self.state(), inks.style(Ink::Plain));
        None
    }

    /// In which order, and which of all.
    fn state(&self) -> String {
        if self.is_totals && self.detail.is_none() {
            let mut text = format!(
                "by {}, sorted by {}",
                self.totals.by.label(),
                self.totals.order.label()
            );
            if let Some(sum) = &self.totals.sum {
                text.push_str(&format!(
                    "; all: {}, {}/s, {} failed",
                    exchanges(sum.count),
                    rate(sum.rate),
                    grouped(sum.failed)
                ));
            }
            if self.totals.overflow > 0 {
                text.push_str(&format!(", {} in no line", grouped(self.totals.overflow)));
            }
            if self.totals.open > 0 {
                text.push_str(&format!("; {} open at the end", grouped(self.totals.open)));
            }
            return text;
        }
        let list = &self.list;
        let mut text = format!("sorted by {}", list.order.label());
        if list.descends != (list.order != Order::Time) {
            text.push_str(", reversed");
        }
        if list.follows && list.paused.is_none() {
            text.push_str("; following");
        }
        if let Some((_, key)) = &list.only {
            text.push_str(&format!("; only {}", report::name(key)));
        }
        if !list.text.is_empty() {
            text.push_str(&format!("; filter: {}", list.text));
        }
        text
    }

    fn keys(&self) -> &'static str {
        if let Some(prompt) = &self.prompt {
            return match prompt.asks {
                super::prompt::Asks::Filter => {
                    "Enter keep  Esc forget   method: status: path: host: header: body: took: -not"
                }
                _ => "Enter do it  Esc forget",
            };
        }
        if self.help.is_some() {
            return "↑↓ scroll  any other key: back";
        }
        if self.detail.is_some() {
            return "↑↓ scroll  Tab part  ←→ exchange  / find  c curl  w write  m mark  Esc back";
        }
        match self.is_totals {
            true => "? help  Enter exchanges  b by  o order  t exchanges  q quit",
            false => {
                "? help  / filter  Enter open  Space pause  o order  c curl  s HAR  t top  q quit"
            }
        }
    }
}

fn exchanges(count: u64) -> String {
    format!("{} {}", grouped(count), noun_after(count, "exchange"))
}

/// What a line is of, in so many columns. What two services differ by is cut last.
fn named(by: By, line: &Line, width: usize) -> String {
    let key = &line.key;
    match by {
        By::Route => {
            let route = format!("{:<6} {}", key.method, key.route);
            beside(&route, "  ", &key.server, LEAST_ROUTE, width)
        }
        By::Edge => beside(&key.client, " → ", &key.server, LEAST_CLIENT, width),
        By::Client | By::Server | By::Status => report::name(key),
    }
}

/// At exactly so many columns.
fn padded(text: &str, width: usize) -> String {
    let mut out = cut(text, width);
    let pad = width - out.width();
    out.extend(std::iter::repeat_n(' ', pad));
    out
}
