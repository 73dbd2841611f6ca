//! One run of the pipeline: the threads, from source to the totals at the end.

use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::archive::Archive;
use super::looking::{Lookers, Looking};
use super::lookup::Lookup;
use super::output::{Exporting, Format, Printer, terminal_width};
use super::outputs::{Outputs, write_ledger};
use super::pipeline::{Ended, Pipeline, Time};
use super::queue::{Queue, WhenFull};
use super::screen::Settings;
use super::stop::Stop;
use super::{Failure, configure, say, usage};
use crate::capture::Source;
use crate::cli::{ColourChoice, ExportArgs, OutputArgs};
use crate::clock::{WallClock, monotonic};
use crate::engine::{Engine, Limits};
use crate::export::{self, Exporters, OwnSockets, Stopped, Target};
use crate::files::Output;
use crate::flow::Nanos;
use crate::har;
use crate::plural::counted;
use crate::policy;
use crate::process::Announcer;
use crate::redact::{self, Gate, Secret};
use crate::signal::span::SpanBuilder;
use crate::tap::{Delivery, Detail, Line, Palette, Report, Style};

/// What differs between the commands.
pub(super) struct Run<'a, S> {
    pub(super) source: S,
    pub(super) limits: Limits,
    pub(super) time: Time,
    pub(super) when_full: WhenFull,
    pub(super) clock: WallClock,
    pub(super) lookup: Lookup,
    pub(super) announcer: Option<Announcer>,
    pub(super) duration: Option<Duration>,
    pub(super) stop: Stop,
    /// Key of the hashes that stand for secrets.
    pub(super) key: [u8; 16],
    pub(super) output: &'a OutputArgs,
    pub(super) outputs: Outputs,
    /// Learns of the exporters' sockets.
    pub(super) own: Arc<dyn OwnSockets>,
    /// Who looks at exchanges while they come.
    pub(super) looking: Looking,
}

/// How long exporters may take with what is left at the end: as long as the service by default; a
/// person waits.
const DELIVERY: Duration = Duration::from_secs(10);

/// What is left of a run.
pub(super) struct Finished<S> {
    pub(super) ended: Ended<S>,
    pub(super) report: Report,
    /// Whether the output could be written.
    pub(super) output: io::Result<()>,
    pub(super) ledger: Option<Output>,
}

/// Runs until the source, a limit, a signal or the reader of the output ends it. The calling thread
/// is the data thread.
pub(super) fn run<S: Source>(mut run: Run<'_, S>) -> Result<Finished<S>, Failure> {
    let began = Instant::now();
    let startup_cpu = usage::cpu_time();
    let queue = Queue::default();
    let targets = std::mem::take(&mut run.outputs.targets);
    let (exporters, exporting) = start_exporters(&run, targets)?;
    let settings = settings(&run);
    let format = match run.outputs.prints && !run.looking.is_anybody() {
        true => format(run.output, settings.replays),
        false => Format::Nothing,
    };
    let lookers = Lookers::start(run.looking, settings, &run.stop, &run.own)?;
    let printer = Printer {
        out: io::stdout(),
        format,
        detail: run.output.detail(),
        filter: run.output.filter(),
        gate: gate(run.output, run.key, redact::Config::everything())?,
        har: run.outputs.har.map(archive).transpose()?,
        lookup: run.lookup,
        own: run.own.clone(),
        clock: run.clock,
        count: run.output.count,
        stop: run.stop.clone(),
        exporting,
        feed: lookers.as_ref().map(|lookers| lookers.feed(run.when_full)),
    };
    let pipeline = Pipeline {
        source: run.source,
        engine: Engine::new(run.limits),
        queue: &queue,
        when_full: run.when_full,
        time: run.time,
        stop: run.stop,
        deadline: run.duration.map(deadline),
        announcer: run.announcer,
        observer: None,
    };
    let (ended, (delivery, output)) = work(pipeline, printer, &queue)?;
    let report = Report {
        exporters: exporters.map(deliver).unwrap_or_default(),
        ledger: ended.engine.ledger().clone(),
        stats: ended.engine.stats().clone(),
        delivery: Delivery {
            output_full: ended.output_full,
            ..delivery
        },
        elapsed: began.elapsed(),
        cpu: usage::cpu_time().saturating_sub(startup_cpu),
        startup_cpu,
        max_rss: usage::max_rss(),
        ..Report::default()
    };
    Ok(Finished {
        ended,
        report,
        output: output.and(lookers.map_or(Ok(()), Lookers::finish)),
        ledger: run.outputs.ledger,
    })
}

/// How a screen looks.
fn settings<S>(run: &Run<'_, S>) -> Settings {
    Settings {
        colour: is_coloured(run.output.color),
        replays: run.time == Time::Source,
    }
}

/// Monotonic time of the end of a run that lasts so long from now.
fn deadline(duration: Duration) -> Nanos {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    monotonic().saturating_add(nanos)
}

/// What came of the output.
type Printed = (Delivery, io::Result<()>);

/// Runs both threads to their end: this one is the data thread.
fn work<S: Source>(
    pipeline: Pipeline<'_, S>,
    printer: Printer<io::Stdout>,
    queue: &Queue,
) -> Result<(Ended<S>, Printed), Failure> {
    thread::scope(|scope| {
        let output = thread::Builder::new()
            .name("output".into())
            .spawn_scoped(scope, || printer.run(queue))
            .map_err(Failure::Thread)?;
        let ended = pipeline.run();
        let printed = output.join().unwrap_or_else(|_| {
            let error = io::Error::other("the output thread has ended early");
            (Delivery::default(), Err(error))
        });
        Ok((ended, printed))
    })
}

/// Starts what exports spans, where spans are wanted; with what makes them.
fn start_exporters<S>(
    run: &Run<'_, S>,
    targets: Vec<Target>,
) -> Result<(Option<Exporters>, Option<Exporting>), Failure> {
    if targets.is_empty() {
        return Ok((None, None));
    }
    let exporters = Exporters::start(targets, &run.own).map_err(Failure::Thread)?;
    let exporting = Exporting {
        gate: gate(run.output, run.key, redact::Config::default())?,
        builder: span_builder(&run.output.export)?,
        handles: exporters.handles(),
        wait: run.when_full == WhenFull::Wait,
    };
    Ok((Some(exporters), Some(exporting)))
}

/// Waits for what is still to be delivered, and says so.
fn deliver(exporters: Exporters) -> Vec<export::Report> {
    if let Some(text) = waiting(&exporters.reports().read()) {
        say(&text);
    }
    exporters.shutdown(DELIVERY)
}

/// Bounds of the engine: no body bytes are kept that nobody will see (sizes are true all the same),
/// and of the two ends of a local connection each is emitted when only one side, or one process, is
/// looked at.
pub(super) fn limits(output: &OutputArgs, body: usize) -> Limits {
    let seen =
        output.detail() >= Detail::Bodies || output.har.is_some() || output.export.otlp.is_some();
    Limits {
        body: if seen { body } else { 0 },
        fold_peers: output.side.side().is_none() && output.pid.is_empty(),
        ..Limits::default()
    }
}

/// What is still to be delivered, for a person who waits for it.
fn waiting(reports: &[export::Report]) -> Option<String> {
    let queued: Vec<_> = (reports.iter())
        .filter(|report| report.totals.queued() > 0)
        .map(|report| {
            let (count, name) = (report.totals.queued(), &report.name);
            format!("{} to {name}", counted(count, report.kind.noun()))
        })
        .collect();
    (!queued.is_empty()).then(|| {
        format!(
            "meshtap: delivering {}; this takes {} s at most, a second Ctrl-C ends it\n",
            queued.join(", "),
            DELIVERY.as_secs()
        )
    })
}

/// An error when a destination did not take everything: what it refused, and what was dropped or
/// left behind; the totals say why. Who closed the other end of a pipe has read what they wanted.
pub(super) fn check_delivered(reports: &[export::Report]) -> Result<(), Failure> {
    let missing: Vec<_> = (reports.iter())
        .filter(|report| report.stopped != Some(Stopped::ReaderGone))
        .filter(|report| report.totals.exported < report.totals.accepted)
        .map(|report| {
            let missing = report.totals.accepted - report.totals.exported;
            let all = counted(report.totals.accepted, report.kind.noun());
            format!("{} misses {missing} of {all}", report.name)
        })
        .collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(Failure::Undelivered(missing.join("; "))),
    }
}

fn span_builder(args: &ExportArgs) -> Result<SpanBuilder, Failure> {
    let mut settings = crate::signal::span::Settings {
        profile: args.profile.unwrap_or_default(),
        ..crate::signal::span::Settings::default()
    };
    configure::resource(&mut settings)?;
    Ok(SpanBuilder::new(settings))
}

/// Reports the totals.
pub(super) fn report_totals(report: &Report, ledger: Option<Output>) -> Result<(), Failure> {
    say(&report.text());
    match ledger {
        Some(output) => write_ledger(output, &report.json()),
        None => Ok(()),
    }
}

fn archive(output: Output) -> Result<Archive, Failure> {
    let path = output.path().to_owned();
    match har::Writer::create(output) {
        Ok(writer) => Ok(Archive { path, writer }),
        Err(error) => Err(Failure::Write { path, error }),
    }
}

/// Every exchange with all its fields; secrets hidden unless that is turned off.
pub(super) fn gate(
    args: &OutputArgs,
    key: [u8; 16],
    mut config: redact::Config,
) -> Result<Gate, Failure> {
    let key = key.iter().map(|byte| format!("{byte:02x}")).collect();
    config.key = Some(Secret::new(key));
    if args.no_redact {
        config.switch_off();
    }
    Ok(Gate::new(&policy::Config::everything(), &config)?)
}

fn format(args: &OutputArgs, dates: bool) -> Format {
    if args.json {
        return Format::Json;
    }
    let stdout = io::stdout();
    let palette = Palette::new(is_coloured(args.color));
    let line = Line::new(palette, terminal_width(stdout.as_fd()), dates);
    let pretty = stdout.is_terminal();
    Format::Lines(Box::new(line), Style { palette, pretty })
}

fn is_coloured(choice: ColourChoice) -> bool {
    match choice {
        ColourChoice::Always => true,
        ColourChoice::Never => false,
        // https://no-color.org: set to anything but nothing.
        ColourChoice::Auto => {
            let unset = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            unset && io::stdout().is_terminal()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::delivery::Totals;

    fn report(name: &str, totals: Totals) -> export::Report {
        export::Report {
            name: name.to_owned(),
            totals,
            ..export::Report::default()
        }
    }

    /// Spans accepted, exported and waiting, per destination.
    #[track_caller]
    fn check(spans: &[(u64, u64, u64)], said: Option<&str>, failure: Option<&str>) {
        let reports: Vec<_> = (spans.iter().enumerate())
            .map(|(n, (accepted, exported, waiting))| {
                let totals = Totals {
                    accepted: *accepted,
                    exported: *exported,
                    waiting: *waiting,
                    ..Totals::default()
                };
                report(&format!("otlp-{n}"), totals)
            })
            .collect();
        let text = waiting(&reports);
        assert_eq!(text.is_some(), said.is_some(), "{text:?}");
        assert!(text.unwrap_or_default().contains(said.unwrap_or_default()));
        let found = check_delivered(&reports).err().map(|f| f.to_string());
        assert_eq!(found.is_some(), failure.is_some(), "{found:?}");
        assert!(
            found
                .unwrap_or_default()
                .contains(failure.unwrap_or_default())
        );
    }

    #[test]
    fn what_is_not_delivered_is_said() {
        check(&[], None, None);
        check(&[(5, 5, 0)], None, None);
        check(
            &[(5, 5, 0), (7, 4, 3)],
            Some("delivering 3 spans to otlp-1; this takes 10 s at most"),
            Some("otlp-1 misses 3 of 7 spans"),
        );
        check(&[(1, 1, 0)], None, None);
        check(
            &[(1, 0, 1)],
            Some("delivering 1 span to otlp-0;"),
            Some("otlp-0 misses 1 of 1 span"),
        );
    }

    #[test]
    fn what_is_refused_is_not_delivered() {
        let check = |totals: Totals, stopped, expected: Option<&str>| {
            let report = export::Report {
                stopped,
                ..report("otlp", totals)
            };
            let found = check_delivered(&[report]).err().map(|f| f.to_string());
            assert_eq!(found.is_some(), expected.is_some(), "{found:?}");
            assert!(
                found
                    .unwrap_or_default()
                    .contains(expected.unwrap_or_default())
            );
        };
        let accepted = |rejected, dropped| Totals {
            accepted: 2,
            exported: 2 - rejected - dropped,
            rejected,
            dropped: [0, 0, dropped, 0],
            ..Totals::default()
        };
        check(accepted(0, 0), None, None);
        check(accepted(1, 0), None, Some("otlp misses 1 of 2 spans"));
        check(accepted(0, 2), None, Some("otlp misses 2 of 2 spans"));
        check(accepted(0, 2), Some(Stopped::ReaderGone), None);
    }
}
