//! `meshtap tap`: live capture → exchanges.

use std::fs::File;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use meshtap_common::{
    CaptureConfig, Classification, DropReason, MAX_PORTS, MIN_STREAM_BUDGET, SIDE_BOTH,
    SIDE_CLIENT, SIDE_SERVER,
};

use super::looking::Looking;
use super::lookup::Lookup;
use super::outputs::{self, Outputs};
use super::own::OwnTable;
use super::pipeline::{Ended, Time};
use super::privileges::{self, Use};
use super::programs::Whose;
use super::queue::WhenFull;
use super::run::{self, Finished, Run, limits};
use super::signals::undisturbed;
use super::stop::Stop;
use super::{Failure, diagnostics, pids, programs, say};
use crate::capture::Source;
use crate::capture::kernel::{Capture, CaptureOptions, TlsLibraries};
use crate::capture::record::{Meta, ProcessRecorder, Recorder, RecordingSource};
use crate::capture::tls::discover::Programs;
use crate::cli::{SideChoice, TapArgs, TlsChoice, ZtunnelChoice};
use crate::clock::{WallClock, monotonic, nanos};
use crate::engine::Limits;
use crate::export::OwnSockets;
use crate::process::{Processes, Witness};
use crate::tap::{Dropped, Report, size_text};

/// The level of kernel diagnostics with `--log`: debug, of 1 (error) to 5 (trace).
const LOG_LEVEL: u32 = 4;

/// Runs the command.
pub(super) fn run(args: &TapArgs) -> Result<(), Failure> {
    capture(
        args,
        Looking::of(&args.output, "tap")?.keeps(args.record.is_some()),
    )
    .map(|_| ())
}

/// Captures, for whoever looks; how long it did.
pub(super) fn capture(args: &TapArgs, looking: Looking) -> Result<Duration, Failure> {
    diagnostics(args.log);
    pids::check(&args.output.pid)?;
    let mut outputs = Outputs::open(&args.output, args.record.as_deref(), None)?;
    let record = outputs.record.take();
    let record = record.map(outputs::start).transpose()?;
    let stop = Stop::default();
    stop.on_signals().map_err(Failure::Thread)?;
    let mut capture = undisturbed(|| Capture::start(&options(args)))?;
    stop.working();
    let programs = programs::start(
        &mut capture,
        Whose {
            programs: Programs::default(),
            pids: args.output.pid.clone(),
            libraries: libraries(args),
            workloads: None,
        },
        Box::new(|text| say(&format!("meshtap: {text}\n"))),
    );
    programs.map_err(Failure::Thread)?;
    privileges::drop_capabilities(Use::Processes).map_err(Failure::Privileges)?;
    let live = Live {
        own: Arc::new(OwnTable::new(capture.own_sockets())),
        processes: processes(&mut capture)?,
        clock: WallClock::now(),
        key: random_key()?,
        outputs,
        stop,
        looking,
    };
    say(&format!(
        "meshtap: capturing in {} with a ring buffer of {}iB; Ctrl-C ends it\n",
        capture.cgroup().display(),
        size_text(args.ring_size.into()),
    ));
    match record {
        Some((path, file)) => live.record(args, capture, path, file),
        None => live.show(args, capture),
    }
}

/// What a live run works with besides its source.
struct Live {
    own: Arc<dyn OwnSockets>,
    processes: Processes,
    clock: WallClock,
    key: [u8; 16],
    outputs: Outputs,
    stop: Stop,
    looking: Looking,
}

impl Live {
    fn show(self, args: &TapArgs, capture: Capture) -> Result<Duration, Failure> {
        let Finished {
            ended,
            mut report,
            output,
            ledger,
        } = self.run(args, capture, None)?;
        add_drops(&mut report, &ended.source, args.ring_size);
        let delivered = run::check_delivered(&report.exporters);
        run::report_totals(&report, ledger)?;
        output.map_err(Failure::Output)?;
        ended.error.map_err(Failure::Source)?;
        delivered.map(|()| report.elapsed)
    }

    /// Records besides.
    fn record(
        self,
        args: &TapArgs,
        capture: Capture,
        path: PathBuf,
        file: File,
    ) -> Result<Duration, Failure> {
        let recorder = self.recorder(args, &path, file)?;
        let names = recorder.processes();
        let source = RecordingSource::new(capture, recorder);
        let Finished {
            ended,
            mut report,
            output,
            ledger,
        } = self.run(args, source, Some(names))?;
        let Ended {
            source, at, error, ..
        } = ended;
        let (capture, recorder) = source.into_parts();
        add_drops(&mut report, &capture, args.ring_size);
        let (recorded, written) = recorder.finish(at);
        report.recorded = Some(recorded);
        let delivered = run::check_delivered(&report.exporters);
        run::report_totals(&report, ledger)?;
        output.map_err(Failure::Output)?;
        error.map_err(Failure::Source)?;
        written.map_err(|error| Failure::Write { path, error })?;
        delivered.map(|()| report.elapsed)
    }

    /// One whose disk fails ends the run, and says so at once.
    fn recorder(&self, args: &TapArgs, path: &Path, file: File) -> Result<Recorder, Failure> {
        let meta = Meta {
            offset: self.clock.offset,
            started: monotonic(),
            max_body: args.max_body as u64,
            ring_bytes: args.ring_size,
            key: self.key,
        };
        let (stop, name) = (self.stop.clone(), path.display().to_string());
        let failed = move |error: &io::Error| {
            stop.ask();
            if error.kind() != io::ErrorKind::BrokenPipe {
                say(&format!(
                    "meshtap: the recording ends here: {name}: {error}\n"
                ));
            }
        };
        Recorder::start(file, &meta, failed).map_err(|error| Failure::Write {
            path: path.to_owned(),
            error,
        })
    }

    fn run<S: Source>(
        self,
        args: &TapArgs,
        source: S,
        recorder: Option<ProcessRecorder>,
    ) -> Result<Finished<S>, Failure> {
        let announcer = self.processes.announcer();
        run::run(Run {
            source,
            limits: Limits {
                exchange_age: nanos(args.max_exchange_age),
                joins: args.ztunnel != ZtunnelChoice::Off,
                flows: args.ztunnel == ZtunnelChoice::Flows,
                ..limits(&args.output, args.max_body)
            },
            time: Time::Machine,
            when_full: WhenFull::Drop,
            clock: self.clock,
            lookup: Lookup::Live(self.processes, recorder),
            announcer: Some(announcer),
            duration: args.duration,
            stop: self.stop,
            key: self.key,
            output: &args.output,
            outputs: self.outputs,
            own: self.own,
            looking: self.looking,
        })
    }
}

/// Looks up the processes of sockets; the kernel's notes of them go first.
pub(super) fn processes(capture: &mut Capture) -> Result<Processes, Failure> {
    let witness = match capture.take_owners() {
        Some(Ok(owners)) => Some(Box::new(owners) as Box<dyn Witness>),
        Some(Err(reason)) => {
            say(&format!(
                "meshtap: processes of short-lived connections will often be missing: the kernel refused {reason}\n"
            ));
            None
        }
        None => None,
    };
    Processes::start(witness).map_err(Failure::Thread)
}

pub(super) fn random_key() -> Result<[u8; 16], Failure> {
    let mut key = [0; 16];
    rustix::rand::getrandom(&mut key, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| Failure::Random(error.into()))?;
    Ok(key)
}

fn libraries(args: &TapArgs) -> TlsLibraries {
    TlsLibraries {
        ssl: args.tls == TlsChoice::Auto,
        rustls: args.ztunnel != ZtunnelChoice::Off,
        when_needed: true,
    }
}

fn options(args: &TapArgs) -> CaptureOptions {
    let mut config = CaptureConfig {
        ignored_mark: args.ignore_mark.value,
        mark_mask: args.ignore_mark.mask,
        side: match args.output.side {
            SideChoice::Both => SIDE_BOTH,
            SideChoice::Server => SIDE_SERVER,
            SideChoice::Client => SIDE_CLIENT,
        },
        budget: budget(args.max_body),
        stream_budget: u32::try_from(args.max_body)
            .unwrap_or(u32::MAX)
            .max(MIN_STREAM_BUDGET),
        wakeup_bytes: args.ring_size / 8,
        overrun_bytes: args.ring_size / 2,
        log: if args.log { LOG_LEVEL } else { 0 },
        ..CaptureConfig::default()
    };
    if narrows_in_kernel(&args.output.port, ephemeral_ports()) {
        for (slot, port) in config.ports.iter_mut().zip(&args.output.port) {
            *slot = *port;
            config.port_count += 1;
        }
    }
    CaptureOptions {
        cgroup: args.cgroup.clone(),
        config,
        ring_bytes: args.ring_size,
        tls: libraries(args),
        ..CaptureOptions::default()
    }
}

/// Whether the BPF programs may exclude sockets without one of these ports. Not more ports than
/// they take; and not those that a client's socket gets (ip(7)), for a PROXY line may name one of
/// those, and no socket here has it then.
fn narrows_in_kernel(ports: &[u16], ephemeral: RangeInclusive<u16>) -> bool {
    ports.len() <= MAX_PORTS && !ports.iter().any(|port| ephemeral.contains(port))
}

/// `net.ipv4.ip_local_port_range`, or Linux's default.
fn ephemeral_ports() -> RangeInclusive<u16> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let text = text.unwrap_or_default();
    let mut numbers = text.split_ascii_whitespace().map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(first)), Some(Ok(last))) => first..=last,
        _ => 32_768..=60_999,
    }
}

/// Payload that the kernel copies per direction before it may stop: a whole body of the limit
/// besides a head, and never less than the default, which lets small messages that follow each
/// other be read without asking for more.
fn budget(max_body: usize) -> u32 {
    let least = CaptureConfig::default().budget;
    u32::try_from(max_body)
        .unwrap_or(u32::MAX)
        .saturating_add(least)
}

fn add_drops(report: &mut Report, capture: &Capture, ring_bytes: u32) {
    report.ring_bytes = Some(ring_bytes);
    report.sockets = (capture.classified().ok())
        .map(|classified| Classification::ALL.map(|kind| classified.sockets(kind)));
    // Without the counters the report says nothing of the kernel rather than that nothing was lost.
    report.kernel = capture.drops().ok().map(|drops| {
        DropReason::ALL.map(|reason| Dropped {
            segments: drops.segments(reason),
            bytes: drops.bytes(reason),
        })
    });
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use clap::{CommandFactory as _, Parser as _};

    use super::*;
    use crate::cli::{Cli, Command};

    /// How the BPF programs capture with these arguments.
    fn captures(arguments: &[&str]) -> String {
        let line = ["meshtap", "tap"].iter().chain(arguments);
        let Command::Tap(args) = Cli::try_parse_from(line).expect("arguments").command else {
            panic!("another command");
        };
        format!("{:?}", options(&args))
    }

    /// What docs/output.md says of a recording: these options change it, no other does.
    #[test]
    fn which_options_change_a_recording() {
        const CHANGING: [(&str, &str); 8] = [
            ("cgroup", "/sys/fs/cgroup/x"),
            ("side", "server"),
            ("ignore-mark", "0x539/0xfff"),
            ("port", "80"),
            ("max-body", "1MiB"),
            ("tls", "off"),
            ("ztunnel", "identity"),
            ("ring-size", "1MiB"),
        ];
        // They end it.
        const ENDING: [(&str, &str); 2] = [("duration", "3s"), ("count", "3")];
        const OTHERS: [(&str, &str); 20] = [
            ("pid", "1"),
            ("host", "a"),
            ("path", "/a"),
            ("method", "GET"),
            ("status", "5xx"),
            ("max-exchange-age", "1s"),
            ("record", "f"),
            ("har", "f"),
            ("ledger-json", "f"),
            ("color", "never"),
            ("otlp", "http://a"),
            ("web", "8080"),
            ("interactive", ""),
            ("json", ""),
            ("verbose", ""),
            ("no-redact", ""),
            ("log", ""),
            ("otlp-protocol", "grpc"),
            ("profile", "semconv"),
            ("web-idle", "1h"),
        ];
        let page = include_str!("../../../docs/output.md");
        let (_, page) = page.split_once("## Recordings").expect("the section");
        let usual = captures(&[]);
        let line = |(name, value): (&str, &str)| {
            let option = match value {
                "" => format!("--{name}"),
                value => format!("--{name}={value}"),
            };
            let needed = match name {
                "otlp-protocol" | "profile" => &["--otlp=http://a"][..],
                "web-idle" => &["--web"],
                _ => &[],
            };
            captures(&[&[option.as_str()], needed].concat())
        };
        for option in CHANGING {
            assert_ne!(line(option), usual, "{option:?}");
            assert!(page.contains(&format!("`--{}`", option.0)), "{option:?}");
        }
        for option in ENDING.iter().chain(&OTHERS) {
            // Diagnostics are no part of it.
            let same = line(*option).replace("log: 4", "log: 0") == usual;
            assert!(same, "{option:?}");
        }
        for (name, _) in ENDING.iter().chain(&OTHERS[..5]) {
            assert!(page.contains(&format!("`--{name}`")), "{name}");
        }
        let known = CHANGING.iter().chain(&ENDING).chain(&OTHERS);
        let known: HashSet<_> = known.map(|(name, _)| *name).collect();
        let command = Cli::command();
        let tap = command.find_subcommand("tap").expect("the command");
        for name in tap.get_arguments().filter_map(clap::Arg::get_long) {
            assert!(
                name.starts_with("web") || known.contains(name),
                "--{name} is not listed"
            );
        }
        assert!(
            page.contains(&format!("at most {MAX_PORTS} ports")),
            "{MAX_PORTS}"
        );
    }

    #[test]
    fn which_ports_narrow_the_capture() {
        let check = |ports: &[u16], expected| {
            assert_eq!(
                narrows_in_kernel(ports, 32_768..=60_999),
                expected,
                "{ports:?}"
            );
        };
        check(&[], true);
        check(&[80, 8080, 32_767], true);
        check(&[80, 51_234], false);
        check(&[80; MAX_PORTS + 1], false);
        assert!(!ephemeral_ports().is_empty());
    }
}
