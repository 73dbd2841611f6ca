//! All destinations together: started, fed through [`Sink`]s, drained, accounted for.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::delivery::{Account, DropReason};
use super::outlet::{Channel, Encode, Sink, Stopped};
use super::queue::{DropPolicy, Queue};
use super::{OwnSockets, har, otlp, stdout, writer};
use crate::files::Output;

/// Threads of the runtime that talks to collectors: one that waits and one that compresses.
const RUNTIME_THREADS: usize = 2;
/// Most bytes of lines that wait for a slow reader.
const LINES_WAITING: usize = 16 * 1024 * 1024;
/// How long past the deadline what was cancelled may take to end.
const GRACE: Duration = Duration::from_secs(1);

/// Where spans go.
#[derive(Debug)]
pub enum Target {
    /// A collector.
    Otlp(Box<otlp::Settings>),
    /// JSON lines on standard output.
    Stdout,
    /// A HAR file.
    Har(Output),
}

type MakeEncoder = Box<dyn Fn() -> Box<dyn Encode> + Send + Sync>;

struct Destination {
    channel: Arc<Channel>,
    age: Duration,
    encoder: MakeEncoder,
}

/// The state of one destination, for metrics.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its name.
    pub name: String,
    /// Its account.
    pub account: Account,
    /// Bytes that wait.
    pub queue_bytes: usize,
    /// Most bytes that may wait.
    pub queue_limit: usize,
    /// Why nothing can be written to it just now, if so: a full disk, a reader that has gone.
    pub stopped: Option<Stopped>,
}

impl Report {
    /// The account, for a machine.
    #[must_use]
    pub fn json(&self) -> Value {
        let account = &self.account;
        let dropped: Map<_, _> = (DropReason::ALL.iter().zip(account.dropped))
            .map(|(reason, count)| (reason.label().to_owned(), count.into()))
            .collect();
        json!({
            "accepted": account.accepted,
            "exported": account.exported,
            "rejected": account.rejected,
            "dropped": dropped,
            "queued": account.queued(),
            "batches": account.batches,
            "bytes": account.bytes,
            "attempts": account.attempts,
            "failures": account.failures,
        })
    }

    /// The account, for a person: `otlp: 20 spans = 18 exported + 2 rejected`.
    #[must_use]
    pub fn text(&self) -> String {
        let account = &self.account;
        let mut text = format!(
            "{}: {} spans = {} exported",
            self.name, account.accepted, account.exported
        );
        let dropped = DropReason::ALL.iter().zip(account.dropped);
        let rest = std::iter::once(("rejected", account.rejected))
            .chain(dropped.map(|(reason, count)| (reason.label(), count)))
            .chain(std::iter::once(("queued", account.queued())));
        for (label, count) in rest.filter(|(_, count)| *count > 0) {
            text.push_str(&format!(" + {count} {label}"));
        }
        text
    }
}

/// Reads the state of every destination, from any thread.
#[derive(Clone, Debug)]
pub struct Reports(Arc<[Arc<Channel>]>);

impl Reports {
    /// The state now.
    #[must_use]
    pub fn read(&self) -> Vec<Report> {
        let report = |channel: &Arc<Channel>| Report {
            name: channel.name.clone(),
            account: channel.account(),
            queue_bytes: channel.queue.bytes(),
            queue_limit: channel.queue.limit(),
            stopped: channel.stopped(),
        };
        self.0.iter().map(report).collect()
    }
}

/// The destinations.
pub struct Exporters {
    destinations: Vec<Destination>,
    reports: Reports,
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
            reports: Reports(Arc::new([])),
            runtime,
            tasks: JoinSet::new(),
            writers: Vec::new(),
            stop: watch::Sender::new(None),
            writers_stop: Arc::default(),
        };
        for target in targets {
            match target {
                Target::Otlp(settings) => exporters.otlp(*settings, own),
                Target::Stdout => exporters.stdout()?,
                Target::Har(output) => exporters.har(output)?,
            }
        }
        let channels = exporters.destinations.iter().map(|d| d.channel.clone());
        exporters.reports = Reports(channels.collect());
        Ok(exporters)
    }

    fn otlp(&mut self, settings: otlp::Settings, own: &Arc<dyn OwnSockets>) {
        let queue = Queue::new(settings.queue.bytes.bytes(), settings.queue.drop);
        let channel = Arc::new(Channel::new(settings.name.clone(), queue));
        let age = settings.batch.age.0;
        let _guard = self.runtime.enter();
        otlp::spawn(
            &settings,
            own.clone(),
            &channel,
            &self.stop,
            &mut self.tasks,
        );
        self.destinations.push(Destination {
            channel,
            age,
            encoder: Box::new(move || Box::new(otlp::Requests::new(&settings.batch))),
        });
    }

    fn stdout(&mut self) -> io::Result<()> {
        let encoder: MakeEncoder = Box::new(|| Box::<stdout::Lines>::default());
        self.writer("stdout", stdout::AGE, encoder, io::stdout())
    }

    fn har(&mut self, output: Output) -> io::Result<()> {
        let path = output.path().display().to_string();
        let document = har::Document::create(output).map_err(|error| {
            io::Error::new(error.kind(), format!("{path} cannot be written: {error}"))
        })?;
        let encoder: MakeEncoder = Box::new(|| Box::<har::Entries>::default());
        self.writer("har", har::AGE, encoder, document)
    }

    /// A destination that one thread writes to.
    fn writer(
        &mut self,
        name: &str,
        age: Duration,
        encoder: MakeEncoder,
        out: impl io::Write + Send + 'static,
    ) -> io::Result<()> {
        let queue = Queue::new(LINES_WAITING, DropPolicy::Newest);
        let channel = Arc::new(Channel::new(name.to_owned(), queue));
        let shared = channel.clone();
        let stop = self.writers_stop.clone();
        let deadline = move || *stop.lock().unwrap_or_else(PoisonError::into_inner);
        let thread = std::thread::Builder::new().name(format!("meshtap-{name}"));
        self.writers
            .push(thread.spawn(move || writer::run(&shared, out, deadline))?);
        self.destinations.push(Destination {
            channel,
            age,
            encoder,
        });
        Ok(())
    }

    /// A way to every destination, for one thread.
    #[must_use]
    pub fn sink(&self) -> Sink {
        let mut sink = Sink::default();
        for destination in &self.destinations {
            let channel = destination.channel.clone();
            sink.add(channel, (destination.encoder)(), destination.age);
        }
        sink
    }

    /// Reads the state of the destinations.
    #[must_use]
    pub fn reports(&self) -> Reports {
        self.reports.clone()
    }

    /// Delivers what waits, within `patience`; what is left then is counted as dropped. Every [`Sink`] must be gone.
    pub fn shutdown(mut self, patience: Duration) -> Vec<Report> {
        let deadline = Instant::now() + patience;
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
            // A reader of standard output that hangs must not keep the process: its thread is left behind.
            while !writer.is_finished() && Instant::now() < deadline {
                std::thread::park_timeout(Duration::from_millis(5));
            }
        }
        let mut reports = self.reports.read();
        for report in &mut reports {
            report.account.abandon();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn check(account: Account, expected: &str) {
        let report = Report {
            name: "otlp".to_owned(),
            account,
            queue_bytes: 0,
            queue_limit: 0,
            stopped: None,
        };
        assert_eq!(report.text(), expected);
        assert_eq!(report.json()["accepted"], report.account.accepted);
    }

    #[test]
    fn an_account_in_words() {
        check(Account::default(), "otlp: 0 spans = 0 exported");
        check(
            Account {
                accepted: 10,
                exported: 4,
                rejected: 1,
                dropped: [2, 0, 3, 0],
                ..Account::default()
            },
            "otlp: 10 spans = 4 exported + 1 rejected + 2 queue_full + 3 permanent_error",
        );
    }
}
