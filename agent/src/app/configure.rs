//! From arguments, variables and a file to a configuration that works, and `meshtap config`.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use super::{Failure, outputs};
use crate::cli::{ConfigCommand, ExportArgs, RunArgs};
use crate::config::{self, Config, Overrides};
use crate::export::otlp::{MetricSource, OtlpConfig, Settings, Signal, environment};
use crate::export::{AccessLog, Reopen, Target};
use crate::files::Files;
use crate::plural::counted;
use crate::redact::Gate;
use crate::signal::access_log::Rules;
use crate::signal::metrics::Metrics;
use crate::signal::route::Routes;
use crate::signal::span::{Resource, ResourceValue};

/// Runs `meshtap config`.
pub(super) fn run(command: &ConfigCommand) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match command {
        ConfigCommand::Check { file } => {
            let overrides = Overrides::from_environment(variables());
            let config = config::load(Some(file), &overrides)?;
            let count = check(config).map_err(|error| placed(&error, &overrides, Some(file)))?;
            let count = counted(count as u64, "destination");
            writeln!(out, "{}: good; {count}", file.display())
        }
        ConfigCommand::Schema => writeln!(out, "{:#}", config::schema()),
    }
    .map_err(Failure::Output)
}

/// Checks all that can be checked without capture; how many destinations there are.
fn check(config: Config) -> Result<usize, Failure> {
    let config = complete(config)?;
    Gate::new(&config.policy, &config.redaction)?;
    routes(&config)?;
    let mut count = collectors(&config)?.len();
    count += usize::from(config.export.stdout) + usize::from(config.export.har.is_some());
    count += usize::from(config.access_log.path.is_some());
    refuse_none(count, &config)?;
    Ok(count)
}

/// An error about a value, with where that comes from before it.
fn placed(error: &Failure, overrides: &Overrides, file: Option<&Path>) -> Failure {
    let reason = error.to_string();
    let key = reason.split([':', ' ']).next().unwrap_or_default();
    let origin = overrides.origin(key).map(str::to_owned);
    let in_file = || {
        let file = file?;
        let text = std::fs::read_to_string(file).unwrap_or_default();
        Some(match config::place(&text, key) {
            Some((line, column)) => format!("{}:{line}:{column}", file.display()),
            None => file.display().to_string(),
        })
    };
    match origin.or_else(in_file) {
        Some(origin) => Failure::Setting(format!("{origin}: {reason}")),
        None => Failure::Setting(reason),
    }
}

/// The configuration of `meshtap run`: flags before variables before the file.
pub(super) fn load(args: &RunArgs) -> Result<Config, Failure> {
    read(args, args.config.as_deref())
}

fn read(args: &RunArgs, file: Option<&Path>) -> Result<Config, Failure> {
    let mut overrides = Overrides::from_environment(variables());
    for setting in &args.set {
        overrides.set(setting)?;
    }
    let mut config = config::load(file, &overrides)?;
    config.export.otlp.extend(args.export.destination());
    if let Some(profile) = args.export.profile {
        config.span.profile = profile;
    }
    if args.no_redact {
        config.redaction.switch_off();
    }
    complete(config).map_err(|error| placed(&error, &overrides, file))
}

/// Adds what the standard variables say, and checks the result.
fn complete(mut config: Config) -> Result<Config, Failure> {
    let named = environment::names_endpoint(&environment::process);
    if config.export.otlp.is_empty()
        && !config.export.stdout
        && config.export.har.is_none()
        && named
    {
        config.export.otlp.push(OtlpConfig::default());
    }
    resource(&mut config.span)?;
    config.check().map_err(Failure::Setting)?;
    Ok(config)
}

/// `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`, behind what is configured.
pub(super) fn resource(span: &mut crate::signal::span::Settings) -> Result<(), Failure> {
    let attributes = environment::resource(&environment::process).map_err(Failure::Setting)?;
    for (key, value) in attributes {
        let slot = match key.as_str() {
            "service.name" => &mut span.service_name,
            "service.version" => &mut span.service_version,
            _ => {
                if span.resource.iter().all(|(k, _)| *k != key) {
                    span.resource.push((key, value));
                }
                continue;
            }
        };
        slot.get_or_insert(value);
    }
    Ok(())
}

/// What names routes. Reads the documents among it.
pub(super) fn routes(config: &Config) -> Result<Option<Routes>, Failure> {
    let section = &config.metrics.routes;
    let documents = section.openapi.iter().map(|path| {
        let text = std::fs::read_to_string(path).map_err(|error| Failure::Read {
            path: path.clone(),
            error,
        })?;
        // JSON is YAML, but for what no document has.
        serde_saphyr::from_str(&text).map_err(|error| {
            Failure::Setting(format!("{}: not YAML or JSON: {error}", path.display()))
        })
    });
    let documents = documents.collect::<Result<Vec<_>, _>>()?;
    Routes::new(section, &documents, config.kubernetes.routes).map_err(Failure::Setting)
}

/// Where signals go. Opens the files among them. `metrics`: those that there are.
pub(super) fn targets(
    config: &Config,
    files: &mut Files,
    reopen: &Reopen,
    metrics: Option<&Arc<Metrics>>,
) -> Result<Vec<Target>, Failure> {
    let mut targets = Vec::new();
    for settings in collectors(config)? {
        targets.extend(collector(settings, config, metrics)?);
    }
    if config.export.stdout {
        targets.push(Target::Stdout);
    }
    if let Some(path) = &config.export.har {
        targets.push(Target::Har(outputs::output(files, path)?));
    }
    if let Some(path) = &config.access_log.path {
        let rules = Rules::new(&config.access_log).map_err(Failure::Setting)?;
        targets.push(Target::AccessLog(AccessLog {
            output: outputs::output(files, path)?,
            rules: Arc::new(rules),
            reopen: reopen.clone(),
        }));
    }
    refuse_none(targets.len(), config)?;
    Ok(targets)
}

/// A collector. `None`: there is nothing that it would take.
fn collector(
    settings: Settings,
    config: &Config,
    metrics: Option<&Arc<Metrics>>,
) -> Result<Option<Target>, Failure> {
    let settings = Box::new(settings);
    Ok(match settings.signal {
        Signal::Traces => Some(Target::Otlp(settings)),
        Signal::Metrics => metrics.map(|metrics| {
            let source = MetricSource {
                metrics: metrics.clone(),
                resource: Arc::new(agent(config)),
            };
            Target::OtlpMetrics(settings, source)
        }),
        Signal::Logs => {
            let rules = Rules::new(&config.access_log).map_err(Failure::Setting)?;
            Some(Target::OtlpLogs(settings, Arc::new(rules)))
        }
    })
}

/// This agent as a resource: its metrics are of many pods. With the host in it, series of two nodes
/// are two.
fn agent(config: &Config) -> Resource {
    let span = &config.span;
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let node = config.kubernetes.node.clone();
    let cluster = config.kubernetes.cluster_name.clone();
    let name = span.service_name.clone();
    let known = [
        (
            "service.name",
            Some(name.unwrap_or_else(|| "meshtap".to_owned())),
        ),
        (
            "service.version",
            Some(env!("CARGO_PKG_VERSION").to_owned()),
        ),
        (
            "service.instance.id",
            Some(node.clone().unwrap_or_else(|| host.clone())),
        ),
        ("host.name", Some(host)),
        ("k8s.node.name", node),
        ("k8s.cluster.name", cluster),
    ];
    let known = known.into_iter();
    let mut attributes: Vec<_> = known
        .filter_map(|(key, value)| Some((key.to_owned(), value?)))
        .collect();
    for (key, value) in &span.resource {
        attributes.retain(|(known, _)| known != key);
        attributes.push((key.clone(), value.clone()));
    }
    let attributes = attributes.into_iter();
    Resource {
        attributes: attributes
            .map(|(key, value)| (key, ResourceValue::Str(value)))
            .collect(),
    }
}

/// The collectors of each signal, with what the environment says of them.
pub(super) fn collectors(config: &Config) -> Result<Vec<Settings>, Failure> {
    let mut found = Vec::new();
    for (index, otlp) in config.export.otlp.iter().enumerate() {
        let name = config.export.name(index);
        for signal in &otlp.signals.0 {
            let settings = Settings::of_signal(otlp, *signal, &name, &environment::process);
            found.push(settings.map_err(|reason| Failure::Setting(keyed(index, &reason)))?);
        }
    }
    Ok(found)
}

/// An error of a destination with its key before it, as others have it.
fn keyed(index: usize, reason: &str) -> String {
    let word = reason.split([':', ' ', '.']).next().unwrap_or_default();
    match word {
        "endpoint" | "headers" | "metrics" | "proxy" | "timeout" | "tls" => {
            format!("export.otlp.{index}.{reason}")
        }
        _ => format!("export.otlp.{index}: {reason}"),
    }
}

/// An agent that nobody hears of is a mistake. Metrics alone are a use.
fn refuse_none(destinations: usize, config: &Config) -> Result<(), Failure> {
    let has_metrics = config.metrics.enabled && config.telemetry.listen.is_some();
    if destinations > 0 || has_metrics {
        return Ok(());
    }
    Err(Failure::Setting(
        "no destination: set `export.otlp`, `export.stdout`, `export.har` or `access_log.path` in the configuration, give --otlp ENDPOINT, or set `metrics.enabled` and `telemetry.listen`"
            .to_owned(),
    ))
}

/// The destinations that options alone name.
pub(super) fn targets_of(args: &ExportArgs) -> Result<Vec<Target>, Failure> {
    let destination = args.destination();
    destination
        .iter()
        .map(|otlp| {
            let settings = Settings::of_signal(otlp, Signal::Traces, "otlp", &environment::process);
            let settings =
                settings.map_err(|reason| Failure::Usage(format!("--otlp: {reason}")))?;
            Ok(Target::Otlp(Box::new(settings)))
        })
        .collect()
}

/// The environment; what is not UTF-8 is not ours.
fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}
