//! How far a long read has come: a bar on a terminal that shows nothing else, a line now and then
//! in a log.

use std::io::{self, IsTerminal as _, Read};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::say;
use crate::tap::units::size_words;

/// What ends sooner shows nothing: no bar, and no line in a log.
const AFTER: Duration = Duration::from_secs(1);
const AFTER_IN_LOG: Duration = Duration::from_secs(2);
/// Between lines in a log.
const BETWEEN: Duration = Duration::from_secs(10);

/// The bar that stands on the terminal.
static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

fn bar() -> MutexGuard<'static, Option<ProgressBar>> {
    // Every change is whole: a thread that panicked left nothing half done.
    BAR.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Runs `write`, which writes to the terminal, with the bar out of its way.
pub(super) fn beside(write: impl FnOnce()) {
    match bar().as_ref() {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

/// Where progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Terminal,
    Log,
    /// Exchanges pass on the same terminal, or somebody looks at them there.
    Nowhere,
}

/// A file that is read, and says how far.
#[derive(Debug)]
pub(super) struct Progress<R> {
    input: R,
    place: Place,
    read: u64,
    /// Its length, where that is known.
    whole: Option<u64>,
    next: Instant,
    bar: Option<ProgressBar>,
}

impl<R> Progress<R> {
    /// `shown`: exchanges are on the terminal, which is as good.
    pub(super) fn new(input: R, whole: Option<u64>, shown: bool) -> Self {
        let place = match (shown, io::stderr().is_terminal()) {
            (true, _) => Place::Nowhere,
            (false, true) => Place::Terminal,
            (false, false) => Place::Log,
        };
        Self::at(place, input, whole)
    }

    fn at(place: Place, input: R, whole: Option<u64>) -> Self {
        let first = match place {
            Place::Log => AFTER_IN_LOG,
            Place::Terminal | Place::Nowhere => AFTER,
        };
        Self {
            input,
            place,
            read: 0,
            whole,
            next: Instant::now() + first,
            bar: None,
        }
    }

    fn passed(&mut self, bytes: u64) {
        self.read += bytes;
        if let Some(bar) = &self.bar {
            // It draws some times a second at most.
            bar.set_position(self.read);
            return;
        }
        if self.place == Place::Nowhere || Instant::now() < self.next {
            return;
        }
        if self.place == Place::Terminal {
            return self.start();
        }
        self.next = Instant::now() + BETWEEN;
        say(&format!("meshtap: {}\n", self.line()));
    }

    fn start(&mut self) {
        let form = match self.whole {
            Some(_) => "{bar:30} {bytes} of {total_bytes}, {eta} left",
            None => "{spinner} {bytes} read",
        };
        let made = ProgressBar::with_draw_target(self.whole, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template(form) {
            made.set_style(style);
        }
        made.set_position(self.read);
        *bar() = Some(made.clone());
        self.bar = Some(made);
    }

    fn line(&self) -> String {
        let read = size_words(self.read);
        match self.whole {
            Some(whole) => {
                let percent = self.read * 100 / whole.max(1);
                format!("{read} of {} read ({percent} %)", size_words(whole))
            }
            None => format!("{read} read"),
        }
    }
}

impl<R: Read> Read for Progress<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(bytes)?;
        self.passed(read as u64);
        Ok(read)
    }
}

impl<R> Drop for Progress<R> {
    fn drop(&mut self) {
        if let Some(own) = self.bar.take() {
            bar().take();
            own.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_how_far() {
        let mut progress = Progress::at(Place::Nowhere, [0; 3 * 1024].as_slice(), Some(12 * 1024));
        io::copy(&mut progress, &mut io::sink()).unwrap();
        assert_eq!(progress.line(), "3.0 KiB of 12 KiB read (25 %)");
        progress.whole = None;
        assert_eq!(progress.line(), "3.0 KiB read");
        progress.whole = Some(0);
        assert!(progress.line().contains("of 0 B read"));
    }

    #[test]
    fn a_bar_stands_after_a_while_and_goes_with_its_reader() {
        let mut progress = Progress::at(Place::Terminal, [0; 64].as_slice(), Some(64));
        progress.passed(1);
        assert!(progress.bar.is_none());
        progress.next = Instant::now();
        progress.passed(1);
        let bar = progress.bar.clone().unwrap();
        assert_eq!((bar.position(), bar.length()), (2, Some(64)));
        let mut written = false;
        beside(|| written = true);
        assert!(written);
        drop(progress);
        assert!(bar.is_finished());
        assert!(BAR.lock().unwrap().is_none());
    }
}
