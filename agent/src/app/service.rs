//! `meshtap run`: live capture → spans → collectors, until a signal ends it.
//!
//! ```text
//! data thread:    kernel ─► engine ─► queue               never waits
//! worker threads:             queue ─► workload ─► policy ─► span ─► exporters' queues
//! cgroup thread, Kubernetes thread:  folders, API ─► workload
//! export runtime:                                           queues ─► collectors
//! admin thread:   /metrics, /healthz, /readyz
//! control thread: signals, overload guard
//! ```

use std::fs::File;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use tracing::{error, info, warn};

use super::connections::{self, Counter};
use super::control::{Control, Starting};
use super::enrich::Enrichment;
use super::metered::{Metered, publish};
use super::outputs::{output, write_ledger};
use super::own::OwnTable;
use super::pipeline::{Ended, Pipeline, Time};
use super::privileges::{self, Use};
use super::programs::Whose;
use super::queue::{Queue, WhenFull};
use super::run::check_delivered;
use super::settings::{self, control_limits, limits, options, side};
use super::signals::undisturbed;
use super::stop::Stop;
use super::takeover::Takeover;
use super::tap::processes;
use super::totals::RunTotals;
use super::worker::{RuntimeConfig, RuntimeConfigs, Worker};
use super::{Failure, configure, programs};
use crate::capture::kernel::{self, Capture, HookStatus};
use crate::capture::tls::discover::Programs;
use crate::cli::RunArgs;
use crate::config::Config;
use crate::engine::Engine;
use crate::export::{Exporters, OwnSockets, Reopen, Report, Target};
use crate::files::{Files, Output};
use crate::handover::Handover;
use crate::policy::Policy;
use crate::process::Processes;
use crate::redact::{Gate, Redactor};
use crate::signal::metrics::Metrics;
use crate::signal::route::{Router, Routes};
use crate::signal::span::Profile;
use crate::telemetry::{Hook, HookState, STALLED, Server, Shared, to_stderr};
use crate::units::ByteSize;
use crate::workload::Workloads;

/// Lowers the priority of this thread, and of those that it starts, unless it is lower.
fn give_way(nice: u8) {
    let nice = nice.into();
    let lowered = match rustix::process::getpriority_process(None) {
        Ok(now) if now >= nice => Ok(()),
        Ok(_) => rustix::process::setpriority_process(None, nice),
        Err(errno) => Err(errno),
    };
    if let Err(error) = lowered {
        warn!("the priority stays as it is: {error}");
    }
}

/// Runs the command.
pub(super) fn run(args: &RunArgs) -> Result<(), Failure> {
    let stop = Stop::default();
    let starting = Starting::new(stop.clone()).map_err(Failure::Thread)?;
    let mut config = configure::load(args)?;
    let reopen = Reopen::default();
    let metrics = Metrics::new(&config.metrics).map(Arc::new);
    let (targets, ledger) = open_outputs(args, &config, &reopen, metrics.as_ref())?;
    if !targets.iter().any(Target::is_of_exchanges) {
        // Metrics want sizes alone, which are true however little of a body is copied.
        config.limits.body = ByteSize(0);
    }
    let routes = configure::routes(&config)?.map(Arc::new);
    let runtime = RuntimeConfig::of(&config);
    // One redactor that all workers copy: they share its hash key.
    let redactor = Redactor::new(&runtime.redaction)?;
    let shared = Arc::new(Shared::default());
    log(&config, &shared)?;
    if let Some(metrics) = metrics {
        shared.set_metrics(metrics);
    }

    let takeover = Takeover::new(&config.handover);
    let handover = takeover.handover.clone();
    let mut capture = undisturbed(|| Capture::start(&options(&config)))?;
    stop.working();
    give_way(config.budget.nice);
    let hooks: Vec<_> = capture.hooks().iter().map(hook).collect();
    info!(cgroup = %capture.cgroup().display(), "capturing");
    let own = Arc::new(OwnTable::new(capture.own_sockets()));
    let sockets: Arc<dyn OwnSockets> = own.clone();
    let listener = takeover.listen(config.telemetry.listen)?;
    let tls = &config.capture.tls;
    let (known, workloads) = sync_channel(1);
    let whose = Whose {
        programs: Programs::new(&tls.programs, &tls.excluded_programs),
        pids: Vec::new(),
        libraries: settings::libraries(&config),
        workloads: Some(workloads),
    };
    programs::start(&mut capture, whose, Box::new(|text| info!("{text}")))
        .map_err(Failure::Thread)?;
    let processes = drop_rights(&config, &mut capture)?;
    let workloads = start_workloads(&config, &capture)?;
    // Nobody waits for them where the hook is not in place.
    let _unwanted = known.send(Arc::downgrade(&workloads));
    shared.set_directory(workloads.directory());

    let ends_with_reader = matches!(targets.as_slice(), [Target::Stdout]);
    let counter = count_connections(
        &config,
        &mut capture,
        &workloads,
        &sockets,
        &handover,
        &shared,
    )?;
    let exporters = Exporters::start(targets, &sockets).map_err(Failure::Export)?;
    shared.set_reports(exporters.reports());
    let server = listener.map(|listener| Server::start(listener, shared.clone(), sockets.clone()));
    let server = server.transpose().map_err(Failure::Thread)?;
    let configs = Arc::new(RuntimeConfigs::new(runtime));
    let control = Control {
        stop: stop.clone(),
        configs: configs.clone(),
        shared: shared.clone(),
        own,
        budget: config.budget.clone(),
        reload: reload(args),
        reopen,
        limits: control_limits(&config),
        ends_with_reader,
        handover: handover.clone(),
        needed: needed(&config),
    };
    starting.go_on(control).map_err(Failure::Thread)?;
    // An agent is ready when it emits: one that is to take over is not yet.
    let hooked = shared.clone();
    let ready = move || hooked.set_hooks(hooks);
    let standby = takeover
        .start(stop.clone(), ready)
        .map_err(Failure::Thread)?;

    let work = Work {
        capture,
        processes,
        exporters: &exporters,
        configs: &configs,
        redactor: &redactor,
        shared: &shared,
        routes,
        workloads,
        own: sockets,
        stop,
        handover,
    };
    let ended = work.run(&config)?;
    standby.report(&shared);
    drop(counter);
    let reports = deliver(exporters, config.export.shutdown_timeout.0);
    report_totals(ledger, &ended, &shared, &reports)?;
    let Ended { source, error, .. } = ended;
    drop(source);
    error.map_err(Failure::Source)?;
    let alone = standby.wait();
    drop(server);
    check_delivered(&reports).and(alone)
}

/// Drops the rights that are not needed once capture has started, before any thread is started:
/// threads have what the one that started them had. Gives who names processes, where spans do.
fn drop_rights(config: &Config, capture: &mut Capture) -> Result<Option<Arc<Processes>>, Failure> {
    let needed = needed(config);
    privileges::drop_capabilities(needed).map_err(Failure::Privileges)?;
    let processes = (needed == Use::Processes).then(|| processes(capture));
    Ok(processes.transpose()?.map(Arc::new))
}

/// The capabilities that spans take.
const fn needed(config: &Config) -> Use {
    match config.span.profile {
        Profile::Semconv => Use::Processes,
        _ => Use::Capture,
    }
}

/// The destinations and the file of the ledger.
fn open_outputs(
    args: &RunArgs,
    config: &Config,
    reopen: &Reopen,
    metrics: Option<&Arc<Metrics>>,
) -> Result<(Vec<Target>, Option<Output>), Failure> {
    let mut files = Files::new();
    if let Some(path) = &args.config
        && let Ok(file) = File::open(path)
    {
        files.input("the configuration", &file);
    }
    let targets = configure::targets(config, &mut files, reopen, metrics)?;
    let ledger = args.ledger_json.as_deref();
    let ledger = ledger.map(|path| output(&mut files, path)).transpose()?;
    Ok((targets, ledger))
}

fn log(config: &Config, shared: &Shared) -> Result<(), Failure> {
    let section = &config.telemetry;
    to_stderr(&section.log_level, section.log_format, shared.suppressed())
        .map_err(|reason| Failure::Setting(format!("telemetry.log_level: {reason}")))
}

fn start_workloads(config: &Config, capture: &Capture) -> Result<Arc<Workloads>, Failure> {
    let workloads = Workloads::start(
        capture.cgroup().to_owned(),
        &config.kubernetes,
        &config.scope,
        &config.trust,
        settings::ztunnel(config),
        Some(Box::new(capture.cgroup_scope())),
    );
    workloads.map(Arc::new).map_err(Failure::Workloads)
}

/// Counts TCP connections, where that hook is in place.
fn count_connections(
    config: &Config,
    capture: &mut Capture,
    workloads: &Arc<Workloads>,
    own: &Arc<dyn OwnSockets>,
    handover: &Arc<Handover>,
    shared: &Arc<Shared>,
) -> Result<Option<Counter>, Failure> {
    let rules = (config.kubernetes.enrich_wait.0, side(config));
    let counter = (capture.take_connections()).map(|connections| {
        connections::start(connections, rules, workloads, own, handover, shared)
    });
    counter.transpose().map_err(Failure::Thread)
}

/// Delivers what waits, for `timeout` at most.
fn deliver(exporters: Exporters, timeout: Duration) -> Vec<Report> {
    for report in exporters.reports().read() {
        let (exporter, waiting) = (report.name, report.totals.queued());
        let seconds = timeout.as_secs_f64();
        info!(
            exporter,
            waiting, seconds, "stopping: delivering what waits, for so long at most"
        );
    }
    exporters.shutdown(timeout)
}

/// What the threads work with.
struct Work<'a> {
    capture: Capture,
    processes: Option<Arc<Processes>>,
    exporters: &'a Exporters,
    configs: &'a Arc<RuntimeConfigs>,
    redactor: &'a Redactor,
    shared: &'a Arc<Shared>,
    routes: Option<Arc<Routes>>,
    workloads: Arc<Workloads>,
    own: Arc<dyn OwnSockets>,
    stop: Stop,
    handover: Arc<Handover>,
}

impl Work<'_> {
    /// Runs until the stop. This thread is the data thread.
    fn run(self, config: &Config) -> Result<Ended<Metered>, Failure> {
        let queue = Queue::default();
        let shared = self.shared.clone();
        let gateway = self.workloads.gateway_routes();
        let heart = shared.heart("data thread", STALLED);
        let pipeline = Pipeline {
            source: Metered::new(self.capture, config, self.handover.clone()),
            engine: Engine::new(limits(config)),
            queue: &queue,
            when_full: WhenFull::Drop,
            time: Time::Machine,
            stop: self.stop,
            deadline: None,
            announcer: self.processes.as_deref().map(Processes::announcer),
            observer: Some(Box::new(move |source, engine, overflow| {
                heart.beat();
                source.follow(shared.level(), engine);
                publish(&shared, source, engine, overflow);
            })),
        };
        thread::scope(|scope| {
            for index in 0..usize::from(config.export.workers.get()) {
                let gate = Gate {
                    policy: Policy::new(&config.policy)?,
                    redactor: self.redactor.clone(),
                };
                let worker = Worker::new(
                    index,
                    self.configs.clone(),
                    gate,
                    self.exporters.handles(),
                    self.shared.clone(),
                    Enrichment::new(
                        self.workloads.clone(),
                        self.processes.clone(),
                        config.kubernetes.enrich_wait.0,
                        self.handover.clone(),
                        side(config),
                    ),
                    self.own.clone(),
                )
                .routing(
                    (self.routes.clone())
                        .map(|routes| Router::new(routes).with_gateway(gateway.clone())),
                );
                let queue = &queue;
                thread::Builder::new()
                    .name(format!("worker-{index}"))
                    .spawn_scoped(scope, move || worker.run(queue))
                    .map_err(|error| {
                        queue.close();
                        Failure::Thread(error)
                    })?;
            }
            Ok(pipeline.run())
        })
    }
}

/// Reads the configuration again. Policy, redaction and spans are taken up; the rest needs a
/// restart, and is said to.
fn reload(args: &RunArgs) -> Box<dyn Fn() -> Result<RuntimeConfig, String> + Send> {
    let args = args.clone();
    let first = configure::load(&args).ok();
    Box::new(move || {
        let config = configure::load(&args).map_err(|failure| failure.to_string())?;
        Gate::new(&config.policy, &config.redaction).map_err(|error| error.to_string())?;
        let fixed = |config: &Config| Config {
            policy: crate::policy::Config::default(),
            redaction: crate::redact::Config::default(),
            span: crate::signal::span::Settings::default(),
            ..config.clone()
        };
        if first
            .as_ref()
            .is_some_and(|first| fixed(first) != fixed(&config))
        {
            warn!(
                "only `policy`, `redaction` and `span` are taken up while running; the rest needs a restart"
            );
        }
        Ok(RuntimeConfig::of(&config))
    })
}

fn report_totals(
    ledger: Option<Output>,
    ended: &Ended<Metered>,
    shared: &Shared,
    reports: &[Report],
) -> Result<(), Failure> {
    let policy = shared.read().policy;
    let totals = RunTotals {
        ledger: ended.engine.ledger(),
        overflow: ended.output_full,
        policy: &policy,
        exporters: reports,
    };
    let json = totals.json();
    match totals.imbalance() {
        0 => info!(ledger = %json, "ended"),
        imbalance => {
            error!(imbalance, ledger = %json, "ended with exchanges that no total has: a bug")
        }
    }
    match ledger {
        Some(output) => write_ledger(output, &json),
        None => Ok(()),
    }
}

/// A hook, for the metrics and health.
fn hook(status: &HookStatus) -> Hook {
    Hook {
        name: status.name.label(),
        state: match &status.state {
            kernel::HookState::Attached => HookState::Attached,
            kernel::HookState::Refused { reason } => HookState::Refused(reason.clone()),
        },
    }
}
