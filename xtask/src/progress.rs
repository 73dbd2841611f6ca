//! How far a long task is: a line that moves on a terminal, a line now and then elsewhere.

use std::io::{self, IsTerminal as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// What ends sooner shows nothing.
const AFTER: Duration = Duration::from_secs(1);
/// Between lines elsewhere.
const BETWEEN: Duration = Duration::from_secs(30);
/// Between the movements on a terminal.
const TICK: Duration = Duration::from_millis(200);

/// A step has the terminal: another one within it shows nothing.
static SHOWN: AtomicBool = AtomicBool::new(false);

/// A step of a task. It is over when this is dropped.
#[derive(Debug)]
pub struct Step {
    over: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Step {
    /// One that writes nothing itself.
    pub fn of(what: impl Into<String>) -> Self {
        Self::start(what.into(), None, io::stderr().is_terminal())
    }

    /// One that takes so long.
    pub fn lasting(what: impl Into<String>, whole: Duration) -> Self {
        Self::start(what.into(), Some(whole), io::stderr().is_terminal())
    }

    /// A program that writes to the same place: what it writes is enough on a terminal.
    pub fn beside(what: impl Into<String>) -> Option<Self> {
        (!io::stderr().is_terminal()).then(|| Self::start(what.into(), None, false))
    }

    fn start(what: String, whole: Option<Duration>, on_terminal: bool) -> Self {
        let (over, ends) = mpsc::channel();
        let thread = thread::spawn(move || {
            let began = Instant::now();
            let (first, next) = match on_terminal {
                true => (AFTER, TICK),
                false => (BETWEEN, BETWEEN),
            };
            let mut shown = None;
            let mut wait = first;
            while ends.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                wait = next;
                match on_terminal {
                    true => {
                        shown = shown.take().or_else(|| Shown::take(&what, whole));
                        if let Some(Shown(bar)) = &shown {
                            bar.set_position(began.elapsed().as_secs());
                            bar.tick();
                        }
                    }
                    false => eprintln!("{}", line(&what, began.elapsed(), whole)),
                }
            }
        });
        Self {
            over: Some(over),
            thread: Some(thread),
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        drop(self.over.take());
        if let Some(thread) = self.thread.take() {
            // It draws, and does nothing that fails.
            let _ = thread.join();
        }
    }
}

/// What stands on the terminal.
struct Shown(ProgressBar);

impl Shown {
    /// Unless another step is there.
    fn take(what: &str, whole: Option<Duration>) -> Option<Self> {
        if SHOWN.swap(true, Ordering::Relaxed) {
            return None;
        }
        let whole = whole.map(|whole| whole.as_secs());
        let bar = ProgressBar::with_draw_target(whole, ProgressDrawTarget::stderr());
        let form = match whole {
            Some(_) => "{bar:30} {msg}, {eta} left",
            None => "{spinner} {msg}, {elapsed}",
        };
        if let Ok(style) = ProgressStyle::with_template(form) {
            bar.set_style(style);
        }
        bar.set_message(what.to_owned());
        Some(Self(bar))
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.0.finish_and_clear();
        SHOWN.store(false, Ordering::Relaxed);
    }
}

fn line(what: &str, passed: Duration, whole: Option<Duration>) -> String {
    let passed = passed.as_secs();
    match whole {
        Some(whole) => format!("{what}: {passed} of {} s", whole.as_secs()),
        None => format!("{what}: {passed} s so far"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_how_far() {
        let check = |whole: Option<u64>, expected| {
            let whole = whole.map(Duration::from_secs);
            assert_eq!(
                line("a task", Duration::from_millis(30_900), whole),
                expected
            );
        };
        check(None, "a task: 30 s so far");
        check(Some(120), "a task: 30 of 120 s");
    }

    #[test]
    fn a_step_within_a_step_leaves_the_terminal_to_it() {
        let outer = Shown::take("outer", None).expect("nobody has it");
        assert!(Shown::take("inner", Some(AFTER)).is_none());
        drop(outer);
        assert!(Shown::take("next", None).is_some());
    }

    #[test]
    fn a_step_ends_when_it_is_dropped() {
        for on_terminal in [true, false] {
            drop(Step::start("a task".to_owned(), None, on_terminal));
        }
    }
}
