//! All exporters together: started, fed through [`Handles`], drained.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::access_log::{self, AccessLog};
use super::handle::{Channel, Encode, Handles};
use super::queue::{DropPolicy, Queue};
use super::report::{Report, Reports};
use super::{ItemKind, OwnSockets, har, otlp, stdout, writer};
use crate::files::Output;
use crate::signal::access_log::{Lines, Rules};

/// Threads of the runtime that talks to collectors: one that waits and one that compresses.
const RUNTIME_THREADS: usize = 2;
/// Most bytes of lines that wait for a slow reader.
const LINES_WAITING: usize = 16 * 1024 * 1024;
/// What is beyond it cannot be added to a clock, and nobody waits for it.
const LONGEST_SHUTDOWN: Duration = Duration::from_secs(24 * 3600);
/// How long past the deadline what was cancelled may take to end.
const GRACE: Duration = Duration::from_secs(1);

/// Where items go.
#[derive(Debug)]
pub enum Target {
    /// A collector of spans.
    Otlp(Box<otlp::Settings>),
    /// A collector of metrics.
    OtlpMetrics(Box<otlp::Settings>, otlp::MetricSource),
    /// A collector of logs: records of the access log.
    OtlpLogs(Box<otlp::Settings>, Arc<Rules>),
    /// JSON lines on standard output.
    Stdout,
    /// A HAR file.
    Har(Output),
    /// An access log.
    AccessLog(AccessLog),
}

impl Target {
    /// Items for it are made of exchanges.
    #[must_use]
    pub const fn is_of_exchanges(&self) -> bool {
        !matches!(self, Self::OtlpMetrics(..))
    }
}

type MakeEncoder = Box<dyn Fn() -> Box<dyn Encode> + Send + Sync>;

struct Destination {
    channel: Arc<Channel>,
    age: Duration,
    /// `None`: workers hand it nothing.
    encoder: Option<MakeEncoder>,
}

/// The exporters.
pub struct Exporters {
    destinations: Vec<Destination>,
    reports: Reports,
    providers: Vec<otlp::Provider>,
    runtime: Runtime,
    tasks: JoinSet<()>,
    writers: Vec<JoinHandle<()>>,
    stop: watch::Sender<Option<tokio::time::Instant>>,
    writers_stop: Arc<Mutex<Option<Instant>>>,
}

impl Exporters {
    /// Starts delivery to `targets`.
    ///
    /// # Errors
    /// When a thread or a file cannot be made.
    pub fn start(targets: Vec<Target>, own: &Arc<dyn OwnSockets>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(RUNTIME_THREADS)
            .thread_name("meshtap-export")
            .enable_all()
            .build()?;
        let mut exporters = Self {
            destinations: Vec::new(),
            reports: Reports::default(),
            providers: Vec::new(),
            runtime,
            tasks: JoinSet::new(),
            writers: Vec::new(),
            stop: watch::Sender::new(None),
            writers_stop: Arc::default(),
        };
        for target in targets {
            match target {
                Target::Otlp(settings) => exporters.otlp(*settings, own),
                Target::OtlpMetrics(settings, source) => {
                    exporters.otlp_metrics(&settings, &source, own);
                }
                Target::OtlpLogs(settings, rules) => exporters.otlp_logs(&settings, rules, own),
                Target::Stdout => exporters.stdout()?,
                Target::Har(output) => exporters.har(output)?,
                Target::AccessLog(log) => exporters.access_log(log)?,
            }
        }
        let channels = exporters.destinations.iter().map(|d| d.channel.clone());
        exporters.reports = Reports::of(channels.collect());
        Ok(exporters)
    }

    /// The channel of a collector, and the tasks that empty it.
    fn collector(
        &mut self,
        settings: &otlp::Settings,
        kind: ItemKind,
        own: &Arc<dyn OwnSockets>,
    ) -> Arc<Channel> {
        let queue = Queue::new(settings.queue.bytes.bytes(), settings.queue.drop);
        let channel = Arc::new(Channel::new(settings.name.clone(), kind, queue));
        let _guard = self.runtime.enter();
        let (own, stop) = (own.clone(), &self.stop);
        otlp::spawn(settings, own, &channel, stop, &mut self.tasks);
        channel
    }

    fn otlp(&mut self, settings: otlp::Settings, own: &Arc<dyn OwnSockets>) {
        let channel = self.collector(&settings, ItemKind::Span, own);
        self.destinations.push(Destination {
            channel,
            age: settings.batch.age.0,
            encoder: Some(Box::new(move || {
                let (batch, queue) = (&settings.batch, settings.queue.bytes.bytes());
                Box::new(otlp::Requests::new(batch).for_queue(batch, queue))
            })),
        });
    }

    fn otlp_metrics(
        &mut self,
        settings: &otlp::Settings,
        source: &otlp::MetricSource,
        own: &Arc<dyn OwnSockets>,
    ) {
        let channel = self.collector(settings, ItemKind::DataPoint, own);
        self.providers
            .extend(otlp::Provider::metrics(settings, source, &channel));
        self.destinations.push(Destination {
            channel,
            age: settings.batch.age.0,
            encoder: None,
        });
    }

    fn otlp_logs(
        &mut self,
        settings: &otlp::Settings,
        rules: Arc<Rules>,
        own: &Arc<dyn OwnSockets>,
    ) {
        let channel = self.collector(settings, ItemKind::LogRecord, own);
        let (provider, encoder) = otlp::Provider::logs(settings, rules, &channel);
        self.providers.push(provider);
        self.destinations.push(Destination {
            channel,
            age: settings.batch.age.0,
            encoder: Some(Box::new(encoder)),
        });
    }

    fn stdout(&mut self) -> io::Result<()> {
        let encoder: MakeEncoder = Box::new(|| Box::<stdout::Lines>::default());
        self.writer("stdout", ItemKind::Span, stdout::AGE, encoder, io::stdout())
    }

    fn har(&mut self, output: Output) -> io::Result<()> {
        let path = output.path().display().to_string();
        let document = har::Document::create(output).map_err(|error| {
            io::Error::new(error.kind(), format!("{path} cannot be written: {error}"))
        })?;
        let encoder: MakeEncoder = Box::new(|| Box::<har::Entries>::default());
        self.writer("har", ItemKind::HarEntry, har::AGE, encoder, document)
    }

    fn access_log(&mut self, log: AccessLog) -> io::Result<()> {
        let AccessLog {
            output,
            rules,
            reopen,
        } = log;
        let file = access_log::Appended::open(output, reopen)?;
        let encoder: MakeEncoder =
            Box::new(move || Box::new(access_log::Encoder::new(Lines::new(rules.clone()))));
        let (kind, age) = (ItemKind::LogLine, access_log::AGE);
        self.writer("access-log", kind, age, encoder, file)
    }

    /// A destination that one thread writes to.
    fn writer(
        &mut self,
        name: &str,
        kind: ItemKind,
        age: Duration,
        encoder: MakeEncoder,
        out: impl io::Write + Send + 'static,
    ) -> io::Result<()> {
        let queue = Queue::new(LINES_WAITING, DropPolicy::Newest);
        let channel = Arc::new(Channel::new(name.to_owned(), kind, queue));
        let shared = channel.clone();
        let stop = self.writers_stop.clone();
        let deadline = move || *stop.lock().unwrap_or_else(PoisonError::into_inner);
        let thread = std::thread::Builder::new().name(format!("meshtap-{name}"));
        self.writers
            .push(thread.spawn(move || writer::run(&shared, out, deadline))?);
        self.destinations.push(Destination {
            channel,
            age,
            encoder: Some(encoder),
        });
        Ok(())
    }

    /// The ends of every exporter, for one thread.
    #[must_use]
    pub fn handles(&self) -> Handles {
        let mut handles = Handles::default();
        for destination in &self.destinations {
            let channel = destination.channel.clone();
            if let Some(encoder) = &destination.encoder {
                handles.add(channel, encoder(), destination.age);
            }
        }
        handles
    }

    /// Reads the state of the exporters.
    #[must_use]
    pub fn reports(&self) -> Reports {
        self.reports.clone()
    }

    /// Delivers what waits, within `timeout`; what is left then is counted as dropped. Every
    /// [`Handles`] must be gone.
    pub fn shutdown(mut self, timeout: Duration) -> Vec<Report> {
        let deadline = Instant::now() + timeout.min(LONGEST_SHUTDOWN);
        for provider in &self.providers {
            provider.end(timeout);
        }
        for destination in &self.destinations {
            destination.channel.queue.close();
        }
        *self
            .writers_stop
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(deadline);
        self.stop.send_replace(Some(deadline.into()));
        let tasks = &mut self.tasks;
        let _ = self.runtime.block_on(async {
            let all = async { while tasks.join_next().await.is_some() {} };
            tokio::time::timeout_at((deadline + GRACE).into(), all).await
        });
        for writer in self.writers {
            // A reader of standard output that hangs must not keep the process: its thread is left
            // behind.
            while !writer.is_finished() && Instant::now() < deadline {
                std::thread::park_timeout(Duration::from_millis(5));
            }
        }
        let mut reports = self.reports.read();
        for report in &mut reports {
            report.totals.abandon();
        }
        self.runtime.shutdown_background();
        reports
    }
}

impl std::fmt::Debug for Exporters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.destinations.iter().map(|d| &d.channel.name);
        f.debug_list().entries(names).finish()
    }
}
