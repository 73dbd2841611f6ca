//! The control thread of the service: signals, the overload guard, housekeeping. None of it touches
//! the data path.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info, warn};

use super::own::OwnTable;
use super::privileges::{Use, drop_capabilities};
use super::signals::{Received, Signals};
use super::stop::{OVERDUE, Stop};
use super::worker::{RuntimeConfig, RuntimeConfigs};
use crate::clock::monotonic;
use crate::export::{Reopen, Stopped};
use crate::handover::{Ending, Handover, Phase};
use crate::telemetry::guard::{Guard, Level, PERIOD};
use crate::telemetry::{BudgetSection, ExporterWatch, Heart, STALLED, Shared, Usages};

/// How often the agent's sockets are entered in the kernel's table again.
const REFRESH: Duration = Duration::from_secs(10);

/// What the control thread works with.
pub(super) struct Control {
    pub(super) stop: Stop,
    pub(super) configs: Arc<RuntimeConfigs>,
    pub(super) shared: Arc<Shared>,
    pub(super) own: Arc<OwnTable>,
    pub(super) budget: BudgetSection,
    pub(super) reload: Box<dyn Fn() -> Result<RuntimeConfig, String> + Send>,
    /// Files that are opened again with the configuration.
    pub(super) reopen: Reopen,
    pub(super) limits: Limits,
    /// The capabilities that stay.
    pub(super) needed: Use,
    /// The only destination is standard output: the agent ends when its reader goes.
    pub(super) ends_with_reader: bool,
    pub(super) handover: Arc<Handover>,
}

/// Longest waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Until an exporter that does not move counts as stuck.
    pub(super) exporter: Duration,
    /// From the first signal to the end of the process, whatever hangs.
    pub(super) shutdown: Duration,
}

/// What the control thread keeps.
struct Watch {
    guard: Guard,
    usages: Usages,
    exporters: ExporterWatch,
    heart: Heart,
    /// When the process ends, whatever hangs.
    deadline: Option<Instant>,
}

/// The control thread while the agent starts: it heeds signals.
pub(super) struct Starting(oneshot::Sender<Control>);

impl Starting {
    /// Registers for the signals and starts the thread. Until there is work to end, SIGINT and
    /// SIGTERM end the process at once; SIGHUP waits until the thread has its work.
    ///
    /// # Errors
    /// When the thread cannot be made.
    pub(super) fn new(stop: Stop) -> io::Result<Self> {
        let (runtime, mut signals) = Signals::register()?;
        let (sender, mut control) = oneshot::channel::<Control>();
        thread::Builder::new()
            .name("control".into())
            .spawn(move || {
                // Started before the capture, with all that this takes. It may read the
                // configuration again, and needs no more.
                let _ = drop_capabilities(Use::Processes);
                runtime.block_on(async {
                    let mut hung_up = false;
                    let control = loop {
                        tokio::select! {
                            control = &mut control => break control,
                            received = signals.next() => match received {
                                Received::Hangup => hung_up = true,
                                _ if !stop.is_immediate(received) => stop.ask(),
                                _ => std::process::exit(received.exit_code()),
                            },
                        }
                    };
                    // None is sent when the start has failed.
                    if let Ok(control) = control {
                        control.run(signals, hung_up).await;
                    }
                });
            })?;
        Ok(Self(sender))
    }

    /// Gives the thread its work.
    ///
    /// # Errors
    /// When the thread is gone.
    pub(super) fn go_on(self, control: Control) -> io::Result<()> {
        let sent = self.0.send(control);
        sent.map_err(|_| io::Error::other("the control thread has ended early"))
    }
}

impl Control {
    /// Runs for as long as the process. `hung_up`: a SIGHUP came before.
    async fn run(self, mut signals: Signals, hung_up: bool) {
        // Never fails for fewer capabilities.
        let _ = drop_capabilities(self.needed);
        let mut watch = Watch {
            guard: Guard::new(self.budget.clone()),
            usages: Usages::new(),
            exporters: ExporterWatch::default(),
            heart: self.shared.heart("control thread", STALLED),
            deadline: None,
        };
        let mut period = interval(PERIOD);
        let mut refresh = interval(REFRESH);
        period.set_missed_tick_behavior(MissedTickBehavior::Skip);
        refresh.set_missed_tick_behavior(MissedTickBehavior::Skip);
        if hung_up {
            self.reload();
        }
        loop {
            tokio::select! {
                received = signals.next() => match received {
                    Received::Hangup => self.reload(),
                    _ => self.end(received),
                },
                _ = period.tick() => self.observe(&mut watch),
                _ = refresh.tick() => self.own.refresh(),
            }
        }
    }

    /// The first time in good order, the second time at once.
    fn end(&self, received: Received) {
        match self.handover.request_end() {
            // Another agent has taken over: this one ends once its own exchanges are delivered.
            Ending::ByItself => return,
            Ending::Awaits if self.await_next() => return,
            Ending::Awaits | Ending::Now => {}
        }
        if self.stop.asked() {
            std::process::exit(received.exit_code());
        }
        self.stop.ask();
    }

    /// Has the agent end when the next one captures, or none comes. False: there is no thread that
    /// waits for it.
    fn await_next(&self) -> bool {
        let (handover, stop) = (Arc::clone(&self.handover), self.stop.clone());
        let waiting = thread::Builder::new().name("ending".into()).spawn(move || {
            if !handover.await_next() {
                stop.ask();
            }
        });
        waiting.is_ok()
    }

    /// Ends a process that does not end.
    fn enforce_deadline(&self, watch: &mut Watch) {
        if !self.stop.asked() || self.handover.phase() == Phase::StandingBy {
            return;
        }
        let now = Instant::now();
        let deadline = *(watch.deadline).get_or_insert_with(|| now + self.limits.shutdown);
        if now >= deadline {
            error!("shutdown takes too long: what is left is dropped");
            std::process::exit(OVERDUE);
        }
    }

    fn reload(&self) {
        self.reopen.ask();
        match (self.reload)() {
            Ok(config) => {
                self.configs.replace(config);
                self.shared.reloaded(true);
                info!("the configuration was read again");
            }
            Err(reason) => {
                self.shared.reloaded(false);
                error!(reason, "the configuration stays as it was");
            }
        }
    }

    fn observe(&self, watch: &mut Watch) {
        watch.heart.beat();
        let reports = self.shared.reports();
        let parts = (watch.exporters).observe(&reports, self.limits.exporter, monotonic());
        self.shared.publish_exporters(parts);
        if self.ends_with_reader
            && (reports.iter()).all(|report| report.stopped == Some(Stopped::ReaderGone))
        {
            self.stop.ask();
        }
        self.enforce_deadline(watch);
        let usage = watch.usages.read();
        self.shared.publish_usage(usage);
        let before = self.shared.level();
        if let Some(level) = watch.guard.observe(usage) {
            self.shared.set_level(level);
            let (cpu, memory) = (usage.cpu, usage.memory);
            if level == Level::Full {
                info!(
                    cpu,
                    memory, "within the budget again: everything is captured"
                );
            } else if level > before {
                let level = level.label();
                warn!(cpu, memory, level, "over the budget: less is captured");
            } else {
                let level = level.label();
                info!(
                    cpu,
                    memory, level, "below the budget: more is captured again"
                );
            }
        }
    }
}
