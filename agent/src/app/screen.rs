//! The terminal of an interactive command: taken, drawn, and given back as it was, however the
//! command ends.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crossterm::event::{self, DisableBracketedPaste, EnableBracketedPaste, Event};
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use crossterm::{cursor, execute};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd as _, BorrowedFd};

use super::stop::Stop;
use crate::views::Store;
use crate::views::terminal::{Effect, Page, Screen, save};

/// How often the screen is drawn at most, and looks for what has come.
const TICK: Duration = Duration::from_millis(100);
/// Bytes of messages that are kept until the terminal is given back.
const MAX_MESSAGES: usize = 64 * 1024;

/// How it looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    /// In colour.
    pub(super) colour: bool,
    /// Rates are of the time of the file.
    pub(super) replays: bool,
}

/// The terminal is ours now.
static TAKEN: AtomicBool = AtomicBool::new(false);
/// What was said meanwhile.
static MESSAGES: Mutex<String> = Mutex::new(String::new());

/// Says why no screen can be shown, and what to do instead.
pub(super) fn check(instead: &str) -> Result<(), String> {
    if !io::stdout().is_terminal() {
        return Err(format!(
            "an interactive screen needs a terminal, and standard output is none: {instead}"
        ));
    }
    match std::env::var("TERM").as_deref() {
        Ok("" | "dumb") | Err(_) => Err(format!(
            "this terminal (TERM is dumb or not set) cannot show a screen: {instead}"
        )),
        Ok(_) => Ok(()),
    }
}

/// Whether a screen has the terminal.
pub(super) fn is_taken() -> bool {
    TAKEN.load(Ordering::SeqCst)
}

/// Keeps a message until the terminal is given back; `false` when it is not taken.
pub(super) fn hold(text: &str) -> bool {
    if !is_taken() {
        return false;
    }
    let mut messages = messages();
    if messages.len() + text.len() <= MAX_MESSAGES {
        messages.push_str(text);
    }
    true
}

fn messages() -> std::sync::MutexGuard<'static, String> {
    // Every change is whole: a thread that panicked left nothing half done.
    MESSAGES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives the terminal back, if it is taken, and says what was to be said meanwhile.
pub(super) fn leave() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    // Whatever of it fails, the rest is tried.
    let _ = disable_raw_mode();
    let _ = execute!(
        io::stdout(),
        DisableBracketedPaste,
        LeaveAlternateScreen,
        cursor::Show
    );
    let text = std::mem::take(&mut *messages());
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Gives the terminal back at its end.
struct Taken;

impl Taken {
    fn take() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                leave();
                before(info);
            }));
        });
        enable_raw_mode()?;
        TAKEN.store(true, Ordering::SeqCst);
        let taken = Self;
        execute!(io::stdout(), EnterAlternateScreen, EnableBracketedPaste)?;
        Ok(taken)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        leave();
    }
}

/// Waits until there is something to read, a signal came, or the time is over; whether the terminal
/// is still there. Asked before every look for keys: the library that reads them never returns from
/// a terminal that gives EOF or EIO.
fn is_there(timeout: Duration, terminals: &[BorrowedFd<'_>]) -> bool {
    let mut fds: Vec<_> = (terminals.iter())
        .map(|terminal| PollFd::from_borrowed_fd(*terminal, PollFlags::IN))
        .collect();
    let timeout = Timespec::try_from(timeout).unwrap_or_default();
    let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
    match poll(&mut fds, Some(&timeout)) {
        Ok(_) => !fds.iter().any(|fd| fd.revents().intersects(gone)),
        // A signal: whether it is the one that says so is seen the next time.
        Err(_) => {
            timeout.tv_sec == 0 && timeout.tv_nsec == 0 || is_there(Duration::ZERO, terminals)
        }
    }
}

/// Whether the terminal went away: its window was closed, or the connection to it.
pub(super) fn is_gone() -> bool {
    !is_there(Duration::ZERO, &[io::stdout().as_fd()])
}

/// Shows exchanges until the person, a signal or the end of the terminal ends it; then the run ends
/// as well.
pub(super) fn run(page: Page, settings: Settings, store: &Store, stop: &Stop) -> io::Result<()> {
    let shown = show(page, settings, store, stop);
    stop.ask();
    // Nobody is there who would read that it cannot be drawn to.
    if is_gone() { Ok(()) } else { shown }
}

fn show(page: Page, settings: Settings, store: &Store, stop: &Stop) -> io::Result<()> {
    let taken = Taken::take()?;
    let mut terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
    let mut screen = Screen::new(page, settings.colour);
    let mut said = Announced::default();
    let (input, output) = (io::stdin(), io::stdout());
    // Keys come from the terminal itself where standard input is none.
    let terminals = match input.is_terminal() {
        true => [input.as_fd(), output.as_fd()],
        false => [output.as_fd(); 2],
    };
    loop {
        let now = match settings.replays {
            // Rates are of whole seconds, and the last one is over.
            true => store.stats(|stats| stats.latest() + 1),
            false => seconds(),
        };
        said.announce(&mut screen, Instant::now());
        // After a panic the terminal is not ours any more.
        if stop.is_signalled() || !is_taken() {
            break;
        }
        if screen.refresh(store, now) {
            terminal.draw(|frame| screen.draw(frame, store))?;
        }
        let mut timeout = TICK;
        loop {
            if !is_there(timeout, &terminals) {
                return Ok(());
            }
            timeout = Duration::ZERO;
            if !event::poll(timeout)? {
                break;
            }
            let effect = match event::read()? {
                Event::Key(key) => screen.key(key, store),
                Event::Paste(text) => {
                    screen.paste(&text);
                    Effect::None
                }
                Event::Resize(..) => {
                    screen.resized();
                    Effect::None
                }
                _ => Effect::None,
            };
            if !act(effect, &mut screen, store)? {
                return Ok(());
            }
        }
    }
    drop(taken);
    Ok(())
}

/// Does what a key asks for outside of the screen; `false` when that is the end.
fn act(effect: Effect, screen: &mut Screen, store: &Store) -> io::Result<bool> {
    match effect {
        Effect::None => {}
        Effect::Quit => return Ok(false),
        Effect::Copy(text) => {
            let mut out = io::stdout().lock();
            out.write_all(&save::clipboard(&text))?;
            out.flush()?;
        }
        Effect::SaveText(path, text) => screen.note(&save::text(&path, &text)),
        Effect::SaveHar(path, numbers) => screen.note(&save::har(&path, &numbers, store)),
    }
    Ok(true)
}

/// What is shown of what was said meanwhile.
#[derive(Debug, Default)]
struct Announced {
    /// Bytes of it.
    bytes: usize,
    /// The line, and since when.
    line: Option<(String, Instant)>,
}

impl Announced {
    /// How long a line stands where the state of the screen does, unless a key is pressed.
    const LIFETIME: Duration = Duration::from_secs(5);

    /// Shows the last line for a while.
    fn announce(&mut self, screen: &mut Screen, now: Instant) {
        let messages = messages();
        if messages.len() != self.bytes {
            self.bytes = messages.len();
            let last = messages.trim_end().lines().next_back().unwrap_or_default();
            screen.note(last);
            self.line = Some((last.to_owned(), now));
        }
        let is_over = |(_, since): &mut (String, Instant)| now - *since >= Self::LIFETIME;
        if let Some((line, _)) = self.line.take_if(is_over) {
            screen.withdraw(&line);
        }
    }
}

fn seconds() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
