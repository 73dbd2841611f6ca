//! Who looks at the exchanges of a run while they come, and after it.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::Failure;
use super::feed::Feed;
use super::page;
use super::page::Paged;
use super::queue::WhenFull;
use super::screen::{self, Settings};
use super::stop::Stop;
use crate::cli::OutputArgs;
use crate::export::OwnSockets;
use crate::views::terminal::Page;
use crate::views::{Store, web};

/// How often an end looks whether the screen has ended, or its terminal.
const TICK: Duration = Duration::from_millis(10);

/// Who looks, as the command asks for it.
#[derive(Debug)]
pub(super) enum Looking {
    /// Nobody: exchanges are printed.
    Nobody,
    /// A person at the terminal; what they see first.
    Screen(Page),
    /// Whoever opens the page in a browser.
    Page(Box<Paged>),
    /// Whoever has the store.
    Store(Arc<Store>),
}

impl Looking {
    /// What the arguments of `tap` and `replay` ask for.
    ///
    /// # Errors
    /// When there is no terminal that can show it, or the page cannot listen. `source` is what is
    /// looked at, for a title.
    pub(super) fn of(args: &OutputArgs, source: &str) -> Result<Self, Failure> {
        if args.interactive {
            return Self::screen(Page::Exchanges);
        }
        let page = Paged::listen(args, source)?;
        Ok(page.map_or(Self::Nobody, |page| Self::Page(Box::new(page))))
    }

    /// A person at the terminal.
    ///
    /// # Errors
    /// When there is none, or one that can show nothing.
    pub(super) fn screen(page: Page) -> Result<Self, Failure> {
        let instead = match page {
            Page::Exchanges => "leave out -i, or use --json",
            Page::Totals(_) => "use --once, with --json for a script",
        };
        screen::check(instead).map_err(Failure::Usage)?;
        Ok(Self::Screen(page))
    }

    /// Something else wants the run, too, so that it does not end with the page.
    pub(super) fn keeps(mut self, keeps: bool) -> Self {
        if let Self::Page(page) = &mut self {
            page.keeps |= keeps;
        }
        self
    }

    pub(super) const fn is_anybody(&self) -> bool {
        !matches!(self, Self::Nobody)
    }
}

/// Those who look.
pub(super) struct Lookers {
    store: Arc<Store>,
    screen: Option<JoinHandle<io::Result<()>>>,
    page: Option<(web::Page, Stop)>,
}

impl Lookers {
    /// Starts them; `None` when nobody looks.
    pub(super) fn start(
        looking: Looking,
        settings: Settings,
        stop: &Stop,
        own: &Arc<dyn OwnSockets>,
    ) -> Result<Option<Self>, Failure> {
        let mut lookers = Self {
            store: Arc::default(),
            screen: None,
            page: None,
        };
        match looking {
            Looking::Nobody => return Ok(None),
            Looking::Store(store) => lookers.store = store,
            Looking::Page(page) => {
                let page = page.start(&lookers.store, stop, own)?;
                lookers.page = Some((page, stop.clone()));
            }
            Looking::Screen(page) => {
                let (store, stop) = (lookers.store.clone(), stop.clone());
                let screen = thread::Builder::new()
                    .name("screen".into())
                    .spawn(move || screen::run(page, settings, &store, &stop));
                lookers.screen = Some(screen.map_err(Failure::Thread)?);
            }
        }
        Ok(Some(lookers))
    }

    /// What the output thread gives its exchanges to.
    pub(super) fn feed(&self, when_full: WhenFull) -> Feed {
        Feed::new(self.store.clone(), when_full)
    }

    /// Waits until nobody looks any more.
    pub(super) fn finish(self) -> io::Result<()> {
        if let Some((page, stop)) = self.page {
            page::wait(&page, &stop);
            drop(page);
        }
        let Some(screen) = self.screen else {
            return Ok(());
        };
        // A terminal that went away while a key was read holds its thread, and nothing else.
        while !screen.is_finished() {
            if screen::is_gone() {
                screen::leave();
                return Ok(());
            }
            thread::sleep(TICK);
        }
        let ended = screen.join();
        ended.unwrap_or_else(|_| Err(io::Error::other("the screen's thread has ended early")))
    }
}
