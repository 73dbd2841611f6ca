//! Who looks at the exchanges of a run while they come, and after it.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use super::Failure;
use super::feed::Feed;
use super::queue::WhenFull;
use super::screen::{self, Settings};
use super::stop::Stop;
use crate::cli::OutputArgs;
use crate::views::Store;
use crate::views::terminal::Page;

/// Who looks, as the command asks for it.
#[derive(Clone, Debug)]
pub(super) enum Looking {
    /// Nobody: exchanges are printed.
    Nobody,
    /// A person at the terminal; what they see first.
    Screen(Page),
    /// Whoever has the store.
    Store(Arc<Store>),
}

impl Looking {
    /// What the arguments of `tap` and `replay` ask for.
    ///
    /// # Errors
    /// When there is no terminal that can show it.
    pub(super) fn of(args: &OutputArgs) -> Result<Self, Failure> {
        match args.interactive {
            true => Self::screen(Page::Exchanges),
            false => Ok(Self::Nobody),
        }
    }

    /// A person at the terminal.
    ///
    /// # Errors
    /// When there is none, or one that can show nothing.
    pub(super) fn screen(page: Page) -> Result<Self, Failure> {
        screen::check().map_err(Failure::Setting)?;
        Ok(Self::Screen(page))
    }

    pub(super) const fn is_anybody(&self) -> bool {
        !matches!(self, Self::Nobody)
    }
}

/// Those who look.
pub(super) struct Lookers {
    store: Arc<Store>,
    screen: Option<JoinHandle<io::Result<()>>>,
}

impl Lookers {
    /// Starts them; `None` when nobody looks.
    pub(super) fn start(
        looking: Looking,
        settings: Settings,
        stop: &Stop,
    ) -> Result<Option<Self>, Failure> {
        let (store, page) = match looking {
            Looking::Nobody => return Ok(None),
            Looking::Screen(page) => (Arc::default(), Some(page)),
            Looking::Store(store) => (store, None),
        };
        let screen = page.map(|page| {
            let (store, stop) = (store.clone(), stop.clone());
            thread::Builder::new()
                .name("screen".into())
                .spawn(move || screen::run(page, settings, &store, &stop))
        });
        let screen = screen.transpose().map_err(Failure::Thread)?;
        Ok(Some(Self { store, screen }))
    }

    /// What the output thread gives its exchanges to.
    pub(super) fn feed(&self, when_full: WhenFull) -> Feed {
        Feed::new(self.store.clone(), when_full)
    }

    /// Waits until nobody looks any more.
    pub(super) fn finish(self) -> io::Result<()> {
        let Some(screen) = self.screen else {
            return Ok(());
        };
        let ended = screen.join();
        ended.unwrap_or_else(|_| Err(io::Error::other("the screen's thread has ended early")))
    }
}
