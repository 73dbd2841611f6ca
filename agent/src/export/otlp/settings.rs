//! Where to send, and how: the file's section, completed from the environment and the
//! specification's defaults, and checked.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};

use super::config::{
    BatchConfig, Compression, OtlpConfig, Protocol, QueueConfig, RetryConfig, Temporality,
    TlsConfig,
};
use super::environment::{self, Endpoint, Lookup};
use super::proxy::{self, Proxy};
use super::signal::Signal;
use super::{endpoint, tls};
use crate::redact::Secret;

/// The specification's default for `OTEL_EXPORTER_OTLP_TIMEOUT`.
const DEFAULT_TIMEOUT: Duration = opentelemetry_otlp::OTEL_EXPORTER_OTLP_TIMEOUT_DEFAULT;
/// The specification's default for `OTEL_METRIC_EXPORT_INTERVAL`.
const DEFAULT_INTERVAL: Duration = opentelemetry_sdk::metrics::OTEL_METRIC_EXPORT_INTERVAL_DEFAULT;

/// The specification's default is this machine. A collector that is not there is a mistake that
/// nobody would see.
const NO_ENDPOINT: &str = "endpoint: not set: write where the collector is, such as `http://collector:4318`, or set \
     OTEL_EXPORTER_OTLP_ENDPOINT";

/// One destination of one signal, ready to be connected to.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name in metrics and logs.
    pub name: String,
    /// What it takes.
    pub signal: Signal,
    /// Where requests go.
    pub url: Uri,
    /// Wire protocol.
    pub protocol: Protocol,
    /// Sent with every request; values are marked sensitive.
    pub headers: HeaderMap,
    /// Longest wait for one response.
    pub timeout: Duration,
    /// Compression of requests.
    pub compression: Compression,
    /// With TLS.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// Through this proxy.
    pub proxy: Option<Arc<Proxy>>,
    /// How often metrics are exported.
    pub interval: Duration,
    /// What their values count from.
    pub temporality: Temporality,
    /// When batches are closed.
    pub batch: BatchConfig,
    /// What waits.
    pub queue: QueueConfig,
    /// When to try again.
    pub retry: RetryConfig,
    /// Requests under way at a time.
    pub concurrency: usize,
}

impl Settings {
    /// Completes `config` from `env`, for spans.
    ///
    /// # Errors
    /// What is wrong, in a sentence that names the key or the variable.
    pub fn resolve(config: &OtlpConfig, name: &str, env: Lookup<'_>) -> Result<Self, String> {
        Self::of_signal(config, Signal::Traces, name, env)
    }

    /// Completes `config` from `env`, for one signal.
    ///
    /// # Errors
    /// What is wrong, in a sentence that names the key or the variable.
    pub fn of_signal(
        config: &OtlpConfig,
        signal: Signal,
        name: &str,
        env: Lookup<'_>,
    ) -> Result<Self, String> {
        let named = match &config.endpoint {
            Some(url) if url.trim().is_empty() => return Err(NO_ENDPOINT.to_owned()),
            Some(url) => Some(Endpoint::Base(url.clone())),
            None => environment::endpoint(env, signal),
        };
        let protocol = match config.protocol {
            Some(protocol) => protocol,
            None => environment::protocol(env, signal)?
                .unwrap_or_else(|| endpoint::implied_protocol(named.as_ref())),
        };
        let named = named.ok_or(NO_ENDPOINT)?;
        let insecure = config
            .insecure
            .unwrap_or_else(|| environment::insecure(env, signal));
        let url = endpoint::url(&named, signal, protocol, insecure)?;
        let configured = config.proxy.as_ref().map(Secret::reveal);
        let proxy = proxy::choose(configured, &url, env)?.map(Arc::new);
        let compression = match config.compression {
            Some(compression) => compression,
            None => environment::compression(env, signal)?.unwrap_or_default(),
        };
        tls::check(&config.tls)?;
        let tls = (url.scheme() == Some(&Scheme::HTTPS))
            .then(|| tls::client(&with_environment(&config.tls, signal, env), protocol))
            .transpose()?;
        let (interval, temporality) = metrics(config, env)?;
        Ok(Self {
            name: signal.exporter(config.name.as_deref().unwrap_or(name)),
            signal,
            headers: headers(config, signal, env)?,
            url,
            protocol,
            timeout: timeout(config, signal, env)?,
            interval,
            temporality,
            compression,
            tls,
            proxy,
            batch: config.batch.clone(),
            queue: config.queue.clone(),
            retry: config.retry.clone(),
            concurrency: usize::from(config.concurrency.0.get()),
        })
    }
}

fn timeout(config: &OtlpConfig, signal: Signal, env: Lookup<'_>) -> Result<Duration, String> {
    let timeout = match config.timeout {
        Some(timeout) => Some(timeout),
        None => environment::timeout(env, signal)?,
    };
    match timeout.map_or(DEFAULT_TIMEOUT, |timeout| timeout.0) {
        Duration::ZERO => Err("timeout: must not be 0".to_owned()),
        timeout => Ok(timeout),
    }
}

fn metrics(config: &OtlpConfig, env: Lookup<'_>) -> Result<(Duration, Temporality), String> {
    let interval = match config.metrics.interval {
        Some(interval) => Some(interval),
        None => environment::metric_interval(env)?,
    };
    let temporality = match config.metrics.temporality {
        Some(temporality) => temporality,
        None => environment::temporality(env)?.unwrap_or_default(),
    };
    match interval.map_or(DEFAULT_INTERVAL, |interval| interval.0) {
        Duration::ZERO => Err("metrics.interval: must not be 0".to_owned()),
        interval => Ok((interval, temporality)),
    }
}

fn headers(config: &OtlpConfig, signal: Signal, env: Lookup<'_>) -> Result<HeaderMap, String> {
    let mut map = HeaderMap::new();
    let from_file = config
        .headers
        .iter()
        .map(|(k, v)| (k.clone(), v.reveal().to_owned()));
    for (name, value) in environment::headers(env, signal)?
        .into_iter()
        .chain(from_file)
    {
        let key = HeaderName::try_from(&name)
            .map_err(|_| format!("headers: `{name}` is not a header name"))?;
        if is_ours(&key) {
            return Err(format!("headers: `{name}` is made by the exporter itself"));
        }
        let mut value = HeaderValue::try_from(&value)
            .map_err(|_| format!("headers: the value of `{name}` cannot stand in a header"))?;
        value.set_sensitive(true);
        map.insert(key, value);
    }
    Ok(map)
}

/// Fields that frame a message or describe it (RFC 9110 §7.6.1, §8; gRPC): another value breaks
/// every request.
fn is_ours(name: &HeaderName) -> bool {
    let ours = [
        header::CONNECTION,
        header::CONTENT_ENCODING,
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    ours.contains(name) || name.as_str() == "keep-alive" || name.as_str().starts_with("grpc-")
}

fn with_environment(config: &TlsConfig, signal: Signal, env: Lookup<'_>) -> TlsConfig {
    let file = |given: &Option<PathBuf>, name| {
        let named = || environment::file(env, &signal.variable(name)).map(PathBuf::from);
        given.clone().or_else(named)
    };
    TlsConfig {
        ca: file(&config.ca, |names| names.certificate),
        certificate: file(&config.certificate, |names| names.client_certificate),
        key: file(&config.key, |names| names.client_key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Resolves a YAML section and an environment to `protocol url`, or to the error.
    fn check(yaml: &str, variables: &[(&str, &str)], expected: Result<&str, &str>) {
        let config: OtlpConfig = serde_saphyr::from_str(yaml).unwrap();
        let env = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let resolved = Settings::resolve(&config, "otlp", &env)
            .map(|settings| format!("{:?} {}", settings.protocol, settings.url));
        assert_eq!(
            resolved.as_deref().map_err(String::as_str),
            expected,
            "{yaml} {variables:?}"
        );
    }

    const BASE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    const TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
    const METHOD: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

    #[test]
    fn endpoint_and_protocol() {
        check(
            "endpoint: http://c:4318",
            &[(PROTOCOL, "grpc")],
            Ok(&format!("Grpc http://c:4318{METHOD}")),
        );
        for nowhere in ["{}", "endpoint: ''", "endpoint: ' '"] {
            check(nowhere, &[], Err(NO_ENDPOINT));
            check(nowhere, &[(PROTOCOL, "grpc")], Err(NO_ENDPOINT));
        }
        check("endpoint: ''", &[(BASE, "http://c")], Err(NO_ENDPOINT));
        check(
            "{}",
            &[(BASE, "http://c:4318/x/")],
            Ok("HttpProtobuf http://c:4318/x/v1/traces"),
        );
        check(
            "{}",
            &[(BASE, "http://c:4318"), (TRACES, "http://d/y")],
            Ok("HttpProtobuf http://d/y"),
        );
        check(
            "endpoint: http://c:4317",
            &[(BASE, "http://other")],
            Ok(&format!("Grpc http://c:4317{METHOD}")),
        );
        check(
            "{endpoint: 'http://c:4317', protocol: http/json}",
            &[],
            Ok("HttpJson http://c:4317/v1/traces"),
        );
        check(
            "{endpoint: 'c:4317', insecure: true}",
            &[],
            Ok(&format!("Grpc http://c:4317{METHOD}")),
        );
        check(
            "{endpoint: '[::1]:4318'}",
            &[("OTEL_EXPORTER_OTLP_INSECURE", "TRUE")],
            Ok("HttpProtobuf http://[::1]:4318/v1/traces"),
        );
    }

    #[test]
    fn errors_name_what_is_wrong() {
        check(
            "endpoint: http://user:secret@c:4318/x@y",
            &[],
            Err(
                "an endpoint with a user name or a password: give `headers` an authorization instead",
            ),
        );
        check(
            "endpoint: ftp://c",
            &[],
            Err("endpoint `ftp://c`: the scheme `ftp` is not http or https"),
        );
        check(
            "{endpoint: 'http://c:4317/x', protocol: grpc}",
            &[],
            Err(
                "endpoint `http://c:4317/x`: gRPC takes no path and no query; with a path, `protocol` is http/protobuf",
            ),
        );
        check(
            "{endpoint: 'http://c', headers: {Content-Length: '1'}}",
            &[],
            Err("headers: `Content-Length` is made by the exporter itself"),
        );
        check(
            "endpoint: http://c",
            &[("OTEL_EXPORTER_OTLP_TIMEOUT", "0")],
            Err("timeout: must not be 0"),
        );
        check(
            "{endpoint: 'http://c', proxy: 'ftp://p'}",
            &[],
            Err("proxy: the scheme `ftp` is not http, the only one that is supported"),
        );
        check(
            "{}",
            &[(PROTOCOL, "thrift")],
            Err("OTEL_EXPORTER_OTLP_PROTOCOL: `thrift` is none of grpc, http/protobuf, http/json"),
        );
        check(
            "endpoint: http://c",
            &[("OTEL_EXPORTER_OTLP_TIMEOUT", "10s")],
            Err("OTEL_EXPORTER_OTLP_TIMEOUT: `10s` is not a number of milliseconds"),
        );
        check(
            "endpoint: http://c",
            &[("OTEL_EXPORTER_OTLP_HEADERS", "a b=c")],
            Err("headers: `a b` is not a header name"),
        );
        check(
            "{endpoint: 'https://c', tls: {key: k.pem, ca: /nonexistent/ca.pem}}",
            &[],
            Err("tls.ca: /nonexistent/ca.pem: I/O error: No such file or directory (os error 2)"),
        );
        // Where it is not needed, too.
        check(
            "{endpoint: 'http://c', tls: {key: /nonexistent/k.pem}}",
            &[],
            Err("tls.key: /nonexistent/k.pem: I/O error: No such file or directory (os error 2)"),
        );
    }

    #[test]
    fn signals_have_variables_of_their_own() {
        #[track_caller]
        fn check(signal: Signal, yaml: &str, expected: Result<&str, &str>) {
            let env = |name: &str| {
                let value = match name {
                    BASE => "http://all:4318",
                    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT" => "http://m/exact",
                    "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL" => "http/json",
                    "OTEL_METRIC_EXPORT_INTERVAL" => "5000",
                    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE" => "Delta",
                    _ => return None,
                };
                Some(value.to_owned())
            };
            let config: OtlpConfig = serde_saphyr::from_str(yaml).unwrap();
            let found = Settings::of_signal(&config, signal, "otlp", &env).map(|settings| {
                format!(
                    "{} {} {:?} {:?} {:?}",
                    settings.name,
                    settings.url,
                    settings.protocol,
                    settings.interval,
                    settings.temporality
                )
            });
            assert_eq!(found.as_deref().map_err(String::as_str), expected);
        }
        let traces = "otlp http://all:4318/v1/traces HttpProtobuf 5s Delta";
        check(Signal::Traces, "{}", Ok(traces));
        let metrics = "x-metrics http://m/exact HttpProtobuf 1s Cumulative";
        let yaml = "{name: x, metrics: {interval: 1s, temporality: cumulative}}";
        check(Signal::Metrics, yaml, Ok(metrics));
        let logs = "otlp-logs http://all:4318/v1/logs HttpJson 5s Delta";
        check(Signal::Logs, "{}", Ok(logs));
        let other = "endpoint `http://c/v1/logs`: this is the path of logs: leave `/v1/logs` out, and each signal gets its own";
        check(Signal::Metrics, "endpoint: http://c/v1/logs", Err(other));
    }

    #[test]
    fn headers_of_the_file_go_before_the_environment() {
        let config: OtlpConfig =
            serde_saphyr::from_str("{endpoint: http://c, headers: {a: file}}").unwrap();
        let env =
            |name: &str| (name == "OTEL_EXPORTER_OTLP_HEADERS").then(|| "a=env,b=x%20y".to_owned());
        let settings = Settings::resolve(&config, "otlp", &env).unwrap();
        assert_eq!(settings.headers["a"], "file");
        assert_eq!(settings.headers["b"], "x y");
        let shown = format!("{config:?} {settings:?}");
        assert!(!shown.contains("file") && !shown.contains("x y"), "{shown}");
    }
}
