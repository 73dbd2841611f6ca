//! `meshtap top`: live capture → totals by service and route.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use super::looking::Looking;
use super::{Failure, tap};
use crate::cli::TopArgs;
use crate::views::terminal::Page;
use crate::views::{Store, report};

/// How long `--once` captures by itself: as long as a rate is of.
const ONCE: Duration = Duration::from_secs(10);

/// Runs the command.
pub(super) fn run(args: &TopArgs) -> Result<(), Failure> {
    if args.tap.output.page.address.is_some() {
        let why = "--web is not for totals alone: use `meshtap tap --web`";
        return Err(Failure::Usage(why.to_owned()));
    }
    if !args.once {
        return match args.tap.output.json {
            true => Err(Failure::Usage("--json needs --once".to_owned())),
            false => tap::capture(&args.tap, Looking::screen(Page::Totals(args.by))?),
        };
    }
    let mut tap = args.tap.clone();
    if tap.duration.is_none() && tap.output.count.is_none() {
        tap.duration = Some(ONCE);
    }
    let store = Arc::new(Store::default());
    tap::capture(&tap, Looking::Store(store.clone()))?;
    // The second in which the last exchange ended is over: rates are of whole seconds.
    let text = store.stats(|stats| {
        let now = stats.latest() + 1;
        match args.tap.output.json {
            true => report::json(stats, args.by, now),
            false => report::text(stats, args.by, now),
        }
    });
    let mut out = io::stdout().lock();
    let printed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    printed.map_err(Failure::Output)
}
