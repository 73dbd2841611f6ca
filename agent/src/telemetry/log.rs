//! Log lines on stderr: filtered by level, bounded in number ([`super::limit`]).

use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::callsite::Identifier;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter, Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt};

use super::LogFormat;
use super::limit::{Limit, Verdict};
use crate::clock::monotonic;
use crate::plural::counted;

/// `kube` logs each failed request; `workload` reports the first.
const QUIET: &str = "kube_client=off";

/// Sends log lines to stderr. `suppressed` counts those that were too many.
///
/// # Errors
/// When the level is no level, or lines go somewhere already.
pub fn to_stderr(level: &str, format: LogFormat, suppressed: Arc<AtomicU64>) -> Result<(), String> {
    let mut filter = EnvFilter::try_new(level).map_err(|error| error.to_string())?;
    if !level.contains("kube_client") {
        let quiet = QUIET.parse();
        filter = filter.add_directive(quiet.map_err(|_| QUIET.to_owned())?);
    }
    let bound = Bound {
        format,
        limit: Mutex::new(Limit::new()),
        suppressed,
    };
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    let registry = tracing_subscriber::registry();
    match format {
        LogFormat::Text => registry
            .with(lines.with_filter(bound).with_filter(filter))
            .try_init(),
        LogFormat::Json => registry
            .with(lines.json().with_filter(bound).with_filter(filter))
            .try_init(),
    }
    .map_err(|error| error.to_string())
}

struct Bound {
    format: LogFormat,
    limit: Mutex<Limit<Identifier>>,
    suppressed: Arc<AtomicU64>,
}

impl<S: Subscriber> Filter<S> for Bound {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let mut limit = self.limit.lock().unwrap_or_else(PoisonError::into_inner);
        let verdict = limit.line(event.metadata().callsite(), monotonic());
        drop(limit);
        match verdict {
            Verdict::Write => true,
            Verdict::WriteAfter(count) => {
                let target = event.metadata().target();
                // That stderr may be closed is nobody's concern.
                let _ = writeln!(std::io::stderr(), "{}", notice(self.format, target, count));
                true
            }
            Verdict::Suppress => {
                self.suppressed.fetch_add(1, Ordering::Relaxed);
                false
            }
        }
    }
}

/// The line that stands for others.
fn notice(format: LogFormat, target: &str, count: u64) -> String {
    let text = format!("not written: {} like the next", counted(count, "line"));
    match format {
        LogFormat::Text => format!("{target}: {text}"),
        LogFormat::Json => {
            serde_json::json!({ "target": target, "fields": { "message": text } }).to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices() {
        let check = |format, expected| assert_eq!(notice(format, "a::b", 3), expected);
        check(LogFormat::Text, "a::b: not written: 3 lines like the next");
        check(
            LogFormat::Json,
            r#"{"fields":{"message":"not written: 3 lines like the next"},"target":"a::b"}"#,
        );
    }

    #[test]
    fn a_flood_of_one_line_is_bounded() {
        let suppressed = Arc::new(AtomicU64::new(0));
        let bound = Bound {
            format: LogFormat::Text,
            limit: Mutex::new(Limit::new()),
            suppressed: Arc::clone(&suppressed),
        };
        let lines = fmt::layer().with_writer(std::io::sink);
        let subscriber = tracing_subscriber::registry().with(lines.with_filter(bound));
        tracing::subscriber::with_default(subscriber, || {
            for _ in 0..100 {
                tracing::warn!("again");
            }
            tracing::warn!("another");
        });
        assert_eq!(suppressed.load(Ordering::Relaxed), 90);
    }
}
