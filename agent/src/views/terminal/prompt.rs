//! A line that is typed below the table.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// Characters that fit in: a filter of more is no filter that a person types.
const MAX: usize = 1_000;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asks {
    /// A filter; it is in force while it is typed.
    Filter,
    /// Text in the exchange that is looked at.
    Find,
    /// The name of a HAR file.
    Har,
    /// The name of a file for a curl command.
    Curl,
}

/// What a key does to the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edit {
    /// Its text is another one, or the cursor moved.
    Changed,
    /// It is meant so.
    Done,
    /// Forget it.
    Left,
}

/// A line that is typed.
#[derive(Clone, Debug)]
pub(super) struct Prompt {
    pub(super) asks: Asks,
    text: Vec<char>,
    /// Characters before the cursor.
    cursor: usize,
    /// What the filter was before.
    pub(super) before: String,
    /// Why the text is no filter.
    pub(super) error: Option<String>,
}

impl Prompt {
    pub(super) fn new(asks: Asks, text: &str) -> Self {
        let text: Vec<char> = text.chars().collect();
        Self {
            asks,
            cursor: text.len(),
            before: text.iter().collect(),
            text,
            error: None,
        }
    }

    pub(super) fn text(&self) -> String {
        self.text.iter().collect()
    }

    /// What stands before the line.
    pub(super) const fn label(&self) -> &'static str {
        match self.asks {
            Asks::Filter => "filter: ",
            Asks::Find => "find: ",
            Asks::Har => "HAR file: ",
            Asks::Curl => "file for curl: ",
        }
    }

    /// The text before the cursor.
    pub(super) fn before_cursor(&self) -> String {
        self.text.iter().take(self.cursor).collect()
    }

    pub(super) fn insert(&mut self, c: char) {
        if self.text.len() < MAX {
            self.text.insert(self.cursor.min(self.text.len()), c);
            self.cursor += 1;
        }
    }

    pub(super) fn key(&mut self, key: KeyEvent) -> Edit {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Enter => return Edit::Done,
            KeyCode::Esc => return Edit::Left,
            KeyCode::Char('u') if control => {
                self.text.drain(..self.cursor);
                self.cursor = 0;
            }
            KeyCode::Char('w') if control => self.erase_word(),
            KeyCode::Char('a') if control => self.cursor = 0,
            KeyCode::Char('e') if control => self.cursor = self.text.len(),
            KeyCode::Char(c) if !control => self.insert(c),
            KeyCode::Backspace if self.cursor > 0 => {
                self.cursor -= 1;
                self.text.remove(self.cursor);
            }
            KeyCode::Delete if self.cursor < self.text.len() => {
                self.text.remove(self.cursor);
            }
            KeyCode::Left => self.cursor = self.cursor.saturating_sub(1),
            KeyCode::Right => self.cursor = (self.cursor + 1).min(self.text.len()),
            KeyCode::Home => self.cursor = 0,
            KeyCode::End => self.cursor = self.text.len(),
            _ => {}
        }
        Edit::Changed
    }

    fn erase_word(&mut self) {
        let before = self.text.get(..self.cursor).unwrap_or_default();
        let word = before.iter().rposition(|c| *c != ' ').unwrap_or(0);
        let start = before.get(..word).unwrap_or_default();
        let start = start.iter().rposition(|c| *c == ' ').map_or(0, |at| at + 1);
        self.text.drain(start..self.cursor);
        self.cursor = start;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A `<` erases, a `^` erases a word, a `[` moves left.
    #[track_caller]
    fn check(keys: &str, expected: &str) {
        let mut prompt = Prompt::new(Asks::Filter, "");
        for c in keys.chars() {
            let key = match c {
                '<' => KeyEvent::new(KeyCode::Backspace, KeyModifiers::NONE),
                '^' => KeyEvent::new(KeyCode::Char('w'), KeyModifiers::CONTROL),
                '[' => KeyEvent::new(KeyCode::Left, KeyModifiers::NONE),
                c => KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE),
            };
            assert_eq!(prompt.key(key), Edit::Changed);
        }
        assert_eq!(prompt.text(), expected);
    }

    #[test]
    fn editing() {
        check("abc", "abc");
        check("<abc<<d", "ad");
        check("ac[b", "abc");
        check("[[é[日", "日é");
        check("one two ^", "one ");
        check("one two^^^", "");
    }
}
