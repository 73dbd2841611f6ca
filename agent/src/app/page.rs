//! The page of a command: listens before anything is captured, and is served until it is left.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::import::Import;
use super::stop::Stop;
use super::{Failure, say};
use crate::cli::OutputArgs;
use crate::export::OwnSockets;
use crate::views::Store;
use crate::views::store::DEFAULT_BYTES;
use crate::views::web::{Listener, Page, Settings};

/// How often a page whose capture has ended looks whether it was left.
const TICK: Duration = Duration::from_millis(100);

/// A page that is not served yet.
#[derive(Debug)]
pub(super) struct Paged {
    listener: Listener,
    output: OutputArgs,
    source: String,
    /// Something else wants the run, so that it does not end with the page.
    pub(super) keeps: bool,
}

impl Paged {
    /// Listens, where a page is asked for.
    ///
    /// # Errors
    /// When it cannot, or when others could reach the page and that was not asked for.
    pub(super) fn listen(args: &OutputArgs, source: &str) -> Result<Option<Self>, Failure> {
        let Some(address) = args.page.listens().map_err(Failure::Usage)? else {
            return Ok(None);
        };
        let listener = Listener::bind(address).map_err(|error| {
            Failure::Setting(format!("the page cannot listen on {address}: {error}"))
        })?;
        Ok(Some(Self {
            listener,
            output: args.clone(),
            source: source.to_owned(),
            keeps: args.har.is_some() || args.export.otlp.is_some(),
        }))
    }

    /// Serves it, and says where.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(super) fn start(
        self,
        store: &Arc<Store>,
        stop: &Stop,
        own: &Arc<dyn OwnSockets>,
    ) -> Result<Page, Failure> {
        let idle = self.output.page.idle;
        let import = Import {
            store: store.clone(),
            output: self.output,
            stop: stop.clone(),
        };
        let (stop, keeps) = (stop.clone(), self.keeps);
        let elsewhere = match self.listener.is_anywhere() {
            true => " (from elsewhere, with an address of this machine in its place)",
            false => "",
        };
        let page = Page::start(
            self.listener,
            Settings {
                source: self.source,
                store: store.clone(),
                max_bytes: DEFAULT_BYTES,
                importer: Arc::new(move |file| import.read(file)),
                own: own.clone(),
                idle,
                on_idle: Arc::new(move || {
                    say("meshtap: nobody has looked for long: the page is closed\n");
                    if !keeps {
                        stop.ask();
                    }
                }),
            },
        );
        let page = page.map_err(Failure::Thread)?;
        say(&format!("meshtap: {}{elsewhere}\n", page.url()));
        Ok(page)
    }
}

/// Waits until the page is left.
pub(super) fn wait(page: &Page, stop: &Stop) {
    if !stop.asked() {
        say("meshtap: everything is on the page; Ctrl-C ends it\n");
    }
    while !stop.asked() && !page.is_over() {
        thread::sleep(TICK);
    }
}
