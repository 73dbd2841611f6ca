//! The control thread of the service: signals, the overload guard, housekeeping. None of it touches the data path.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info, warn};

use super::own::OwnTable;
use super::stop::{INTERRUPTED, Stop};
use super::worker::{Plan, Plans};
use crate::config::BudgetSection;
use crate::telemetry::guard::{Guard, Level, PERIOD};
use crate::telemetry::{Shared, Usages};

/// How often the kernel side is told of the agent's sockets again.
const REFRESH: Duration = Duration::from_secs(10);

/// What the control thread works with.
pub(super) struct Control {
    pub(super) stop: Stop,
    pub(super) plans: Arc<Plans>,
    pub(super) shared: Arc<Shared>,
    pub(super) own: Arc<OwnTable>,
    pub(super) budget: BudgetSection,
    pub(super) reload: Box<dyn Fn() -> Result<Plan, String> + Send>,
}

impl Control {
    /// Registers for the signals, then runs for as long as the process.
    ///
    /// # Errors
    /// When the thread cannot be made.
    pub(super) fn start(self) -> io::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        // Registered before this returns: no signal is missed.
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        drop(entered);
        thread::Builder::new()
            .name("control".into())
            .spawn(move || {
                runtime.block_on(async {
                    let mut guard = Guard::new(self.budget.clone());
                    let mut usages = Usages::new();
                    let mut period = interval(PERIOD);
                    let mut refresh = interval(REFRESH);
                    period.set_missed_tick_behavior(MissedTickBehavior::Skip);
                    refresh.set_missed_tick_behavior(MissedTickBehavior::Skip);
                    loop {
                        tokio::select! {
                            _ = interrupt.recv() => self.end(),
                            _ = terminate.recv() => self.end(),
                            _ = hangup.recv() => self.reload(),
                            _ = period.tick() => self.observe(&mut guard, &mut usages),
                            _ = refresh.tick() => self.own.refresh(),
                        }
                    }
                });
            })?;
        Ok(())
    }

    /// The first time in good order, the second time at once.
    fn end(&self) {
        if self.stop.asked() {
            std::process::exit(INTERRUPTED);
        }
        self.stop.ask();
    }

    fn reload(&self) {
        match (self.reload)() {
            Ok(plan) => {
                self.plans.replace(plan);
                self.shared.reloaded(true);
                info!("the configuration was read again");
            }
            Err(reason) => {
                self.shared.reloaded(false);
                error!(reason, "the configuration stays as it was");
            }
        }
    }

    fn observe(&self, guard: &mut Guard, usages: &mut Usages) {
        let usage = usages.read();
        self.shared.publish_usage(usage);
        let before = self.shared.level();
        if let Some(level) = guard.observe(usage) {
            self.shared.set_level(level);
            let (cpu, memory) = (usage.cpu, usage.memory);
            if level == Level::Full {
                info!(cpu, memory, "within the budget again: everything is told");
            } else if level > before {
                let level = level.label();
                warn!(cpu, memory, level, "over the budget: less is told");
            } else {
                let level = level.label();
                info!(cpu, memory, level, "below the budget: more is told again");
            }
        }
    }
}
