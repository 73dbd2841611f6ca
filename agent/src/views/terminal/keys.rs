//! What keys do.

use std::path::PathBuf;
use std::sync::Arc;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::detail::Detail;
use super::list::Order;
use super::prompt::{Asks, Edit, Prompt};
use super::save::MAX_CLIPBOARD;
use super::{Effect, Screen};
use crate::views::curl;
use crate::views::filter::Query;
use crate::views::shown::{Shown, visible};
use crate::views::stats::By;
use crate::views::store::Store;

impl Screen {
    /// A key was pressed.
    pub fn key(&mut self, key: KeyEvent, store: &Store) -> Effect {
        if key.kind == KeyEventKind::Release {
            return Effect::None;
        }
        self.is_dirty = true;
        self.note.clear();
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        if control && key.code == KeyCode::Char('c') {
            return Effect::Quit;
        }
        if self.prompt.is_some() {
            return self.prompt_key(key);
        }
        if self.help.is_some() {
            self.help_key(key.code);
            return Effect::None;
        }
        if key.code == KeyCode::Char('?') {
            self.help = Some(0);
            return Effect::None;
        }
        if self.detail.is_some() {
            return self.detail_key(key.code, store);
        }
        match self.is_totals {
            true => self.totals_key(key.code),
            false => self.list_key(key.code, store),
        }
    }

    /// Lines that a key moves by.
    fn steps(&self, code: KeyCode) -> Option<isize> {
        let page = isize::try_from(self.rows.saturating_sub(1).max(1)).unwrap_or(isize::MAX);
        Some(match code {
            KeyCode::Up | KeyCode::Char('k') => -1,
            KeyCode::Down | KeyCode::Char('j') => 1,
            KeyCode::PageUp => -page,
            KeyCode::PageDown => page,
            KeyCode::Home | KeyCode::Char('g') => isize::MIN,
            KeyCode::End | KeyCode::Char('G') => isize::MAX,
            _ => return None,
        })
    }

    fn help_key(&mut self, code: KeyCode) {
        let most = super::help::lines().len().saturating_sub(self.rows);
        let steps = self.steps(code);
        self.help = match (self.help, steps) {
            (Some(top), Some(steps)) => Some(top.saturating_add_signed(steps).min(most)),
            _ => None,
        };
    }

    fn list_key(&mut self, code: KeyCode, store: &Store) -> Effect {
        if let Some(steps) = self.steps(code) {
            self.list.go(steps);
            return Effect::None;
        }
        match code {
            KeyCode::Char('q') => return Effect::Quit,
            KeyCode::Enter => {
                self.detail = self
                    .selected(store)
                    .map(|(id, shown)| Detail::new(id, shown))
            }
            KeyCode::Esc if self.list.only.is_some() => self.show_totals(),
            KeyCode::Esc => self.list.filter("", Query::default()),
            KeyCode::Char('/') => {
                // What is typed is another term.
                let text = match self.list.text.as_str() {
                    "" => String::new(),
                    text => format!("{text} "),
                };
                self.prompt = Some(Prompt::new(Asks::Filter, &text));
            }
            KeyCode::Char(' ') => self.pause(),
            KeyCode::Char('f') => self.list.follow(!self.list.follows),
            // What is asked for by duration, size or status is the largest.
            KeyCode::Char('o') => {
                let order = self.list.order.next();
                self.list.set_order(order, order != Order::Time);
            }
            KeyCode::Char('O') => self.list.set_order(self.list.order, !self.list.descends),
            KeyCode::Char('m') => {
                self.mark(self.list.selected());
                self.list.go(1);
            }
            KeyCode::Char('u') => self.list.marked.clear(),
            KeyCode::Char('t') => self.show_totals(),
            _ => return self.take(code, store),
        }
        Effect::None
    }

    /// What copies and saves, in the table and beside an exchange.
    fn take(&mut self, code: KeyCode, store: &Store) -> Effect {
        match code {
            KeyCode::Char('c') => return self.copy(store),
            KeyCode::Char('w') => {
                if let Some((id, shown)) = self.selected(store) {
                    self.curl_of = Some(shown);
                    self.prompt = Some(Prompt::new(Asks::Curl, &format!("exchange-{id}.sh")));
                }
            }
            KeyCode::Char('s') => self.prompt = Some(Prompt::new(Asks::Har, "meshtap.har")),
            _ => {}
        }
        Effect::None
    }

    /// The exchange that is looked at, else the selected one.
    fn selected(&self, store: &Store) -> Option<(u64, Arc<Shown>)> {
        match &self.detail {
            Some(detail) => Some((detail.id, detail.shown.clone())),
            None => self.list.shown(store),
        }
    }

    fn pause(&mut self) {
        self.list.paused = match self.list.paused {
            Some(_) => None,
            None => Some(self.held.next.saturating_sub(1)),
        };
    }

    fn mark(&mut self, id: Option<u64>) {
        if let Some(id) = id
            && !self.list.marked.remove(&id)
        {
            self.list.marked.insert(id);
        }
    }

    fn show_totals(&mut self) {
        self.is_totals = true;
        if self.list.only.take().is_some() {
            self.list.restart();
        }
    }

    fn copy(&mut self, store: &Store) -> Effect {
        let Some((id, shown)) = self.selected(store) else {
            return Effect::None;
        };
        match curl::command(&shown) {
            Ok(command) if command.len() > MAX_CLIPBOARD => {
                self.note = "too long for a clipboard: w writes it to a file".to_owned();
                Effect::None
            }
            Ok(command) => {
                self.note = format!("exchange {id} copied as curl");
                if let Some(remark) = curl::remark(&shown) {
                    self.note += &format!(": {remark}");
                }
                Effect::Copy(command)
            }
            Err(reason) => {
                self.note = reason.to_owned();
                Effect::None
            }
        }
    }

    fn totals_key(&mut self, code: KeyCode) -> Effect {
        if let Some(steps) = self.steps(code) {
            self.totals.go(steps);
            return Effect::None;
        }
        match code {
            KeyCode::Char('q') => return Effect::Quit,
            KeyCode::Char('t') => self.is_totals = false,
            KeyCode::Char('o') => self.totals.set_order(self.totals.order.next()),
            KeyCode::Char('b') => {
                let at = By::ALL
                    .iter()
                    .position(|by| *by == self.totals.by)
                    .unwrap_or(0);
                let next = By::ALL.get(at + 1).or(By::ALL.first()).copied();
                self.totals.set_by(next.unwrap_or_default());
            }
            KeyCode::Enter => {
                if let Some(key) = self.totals.selected() {
                    self.list.only = Some((self.totals.by, key.clone()));
                    self.list.restart();
                    self.list.follow(true);
                    self.is_totals = false;
                }
            }
            _ => {}
        }
        Effect::None
    }

    fn detail_key(&mut self, code: KeyCode, store: &Store) -> Effect {
        let steps = self.steps(code);
        let Some(detail) = &mut self.detail else {
            return Effect::None;
        };
        if let Some(steps) = steps {
            detail.go(steps);
            return Effect::None;
        }
        match code {
            KeyCode::Esc | KeyCode::Enter | KeyCode::Backspace | KeyCode::Char('q') => {
                self.detail = None;
            }
            KeyCode::Tab => detail.next_part(),
            KeyCode::Char('/') => self.prompt = Some(Prompt::new(Asks::Find, "")),
            KeyCode::Char('n' | 'N') => {
                let found = detail.find_next(code == KeyCode::Char('N'));
                if !found {
                    self.note = "not found".to_owned();
                }
            }
            KeyCode::Left | KeyCode::Char('[') => self.next_exchange(-1, store),
            KeyCode::Right | KeyCode::Char(']') => self.next_exchange(1, store),
            KeyCode::Char('m') => {
                let id = detail.id;
                self.mark(Some(id));
            }
            _ => return self.take(code, store),
        }
        Effect::None
    }

    fn next_exchange(&mut self, by: isize, store: &Store) {
        self.list.go(by);
        self.list.follows = false;
        if let Some((id, shown)) = self.list.shown(store) {
            self.detail = Some(Detail::new(id, shown));
        }
    }

    fn prompt_key(&mut self, key: KeyEvent) -> Effect {
        let Some(prompt) = &mut self.prompt else {
            return Effect::None;
        };
        match prompt.key(key) {
            Edit::Changed => self.prompt_changed(),
            Edit::Left => {
                if let Some(prompt) = self.prompt.take()
                    && prompt.asks == Asks::Filter
                    && let Ok(query) = prompt.before.parse()
                {
                    self.list.filter(prompt.before.trim_end(), query);
                }
            }
            Edit::Done => return self.prompt_done(),
        }
        Effect::None
    }

    /// A filter is in force while it is typed, as far as it is one.
    pub(super) fn prompt_changed(&mut self) {
        let Some(prompt) = self
            .prompt
            .as_mut()
            .filter(|prompt| prompt.asks == Asks::Filter)
        else {
            return;
        };
        let text = prompt.text();
        match Query::typed(&text) {
            Ok(query) => {
                prompt.error = None;
                self.list.filter(&text, query);
            }
            Err(reason) => prompt.error = Some(visible(reason.as_bytes())),
        }
    }

    fn prompt_done(&mut self) -> Effect {
        let Some(prompt) = self.prompt.take() else {
            return Effect::None;
        };
        let text = prompt.text();
        match prompt.asks {
            Asks::Filter => self.filter_done(prompt, &text),
            Asks::Find => {
                if let Some(detail) = self.detail.as_mut().filter(|_| !text.is_empty()) {
                    detail.find = text;
                    if !detail.find_next(false) {
                        self.note = "not found".to_owned();
                    }
                }
            }
            Asks::Har if !text.is_empty() => {
                let chosen = self.list.chosen();
                return Effect::SaveHar(PathBuf::from(text), chosen);
            }
            Asks::Curl if !text.is_empty() => return self.save_curl(text),
            Asks::Har | Asks::Curl => {}
        }
        Effect::None
    }

    /// One that is no filter stays, to be corrected.
    fn filter_done(&mut self, mut prompt: Prompt, text: &str) {
        match text.parse() {
            Ok(query) => self.list.filter(text.trim(), query),
            Err(reason) => {
                prompt.error = Some(visible(reason.as_bytes()));
                self.prompt = Some(prompt);
            }
        }
    }

    fn save_curl(&mut self, path: String) -> Effect {
        match self.curl_of.take().as_deref().map(curl::command) {
            Some(Ok(command)) => Effect::SaveText(PathBuf::from(path), command + "\n"),
            Some(Err(reason)) => {
                self.note = reason.to_owned();
                Effect::None
            }
            None => Effect::None,
        }
    }
}
