//! `meshtap top`: live capture → totals by service and route.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use super::looking::Looking;
use super::{Failure, tap};
use crate::cli::TopArgs;
use crate::views::terminal::Page;
use crate::views::{Store, report};

/// How long `--once` captures by itself.
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
            false => tap::capture(&args.tap, Looking::screen(Page::Totals(args.by))?).map(|_| ()),
        };
    }
    let mut tap = args.tap.clone();
    if tap.duration.is_none() && tap.output.count.is_none() {
        tap.duration = Some(ONCE);
    }
    let store = Arc::new(Store::default());
    let lasted = tap::capture(&tap, Looking::Store(store.clone()))?;
    // What came after the end was only written down.
    let lasted = tap.duration.map_or(lasted, |most| most.min(lasted));
    let seconds = lasted.as_secs_f64();
    let text = store.stats(|stats| match args.tap.output.json {
        true => report::json(stats, args.by, seconds),
        false => report::text(stats, args.by, seconds),
    });
    let mut out = io::stdout().lock();
    let printed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    printed.map_err(Failure::Output)
}
