//! The signals of OpenTelemetry: what differs between them on the wire and in the environment.

use opentelemetry_otlp as names;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a destination takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Signal {
    /// A span for each exchange that is sampled.
    #[default]
    Traces,
    /// Istio's metrics.
    Metrics,
    /// A record of the access log for each exchange that is sampled.
    Logs,
}

/// What a destination takes. Default: traces alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Signals(pub Vec<Signal>);

impl Default for Signals {
    fn default() -> Self {
        Self(vec![Signal::Traces])
    }
}

/// Names of the standard variables of a signal, or of all.
#[derive(Debug)]
pub(super) struct Variables {
    pub(super) endpoint: &'static str,
    pub(super) protocol: &'static str,
    pub(super) headers: &'static str,
    pub(super) timeout: &'static str,
    pub(super) compression: &'static str,
    pub(super) insecure: &'static str,
    pub(super) certificate: &'static str,
    pub(super) client_certificate: &'static str,
    pub(super) client_key: &'static str,
}

const ALL: Variables = Variables {
    endpoint: names::OTEL_EXPORTER_OTLP_ENDPOINT,
    protocol: names::OTEL_EXPORTER_OTLP_PROTOCOL,
    headers: names::OTEL_EXPORTER_OTLP_HEADERS,
    timeout: names::OTEL_EXPORTER_OTLP_TIMEOUT,
    compression: names::OTEL_EXPORTER_OTLP_COMPRESSION,
    insecure: names::OTEL_EXPORTER_OTLP_INSECURE,
    certificate: "OTEL_EXPORTER_OTLP_CERTIFICATE",
    client_certificate: "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
    client_key: "OTEL_EXPORTER_OTLP_CLIENT_KEY",
};

const TRACES: Variables = Variables {
    endpoint: names::OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,
    protocol: names::OTEL_EXPORTER_OTLP_TRACES_PROTOCOL,
    headers: names::OTEL_EXPORTER_OTLP_TRACES_HEADERS,
    timeout: names::OTEL_EXPORTER_OTLP_TRACES_TIMEOUT,
    compression: names::OTEL_EXPORTER_OTLP_TRACES_COMPRESSION,
    insecure: names::OTEL_EXPORTER_OTLP_TRACES_INSECURE,
    certificate: "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
    client_certificate: "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
    client_key: "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
};

const METRICS: Variables = Variables {
    endpoint: names::OTEL_EXPORTER_OTLP_METRICS_ENDPOINT,
    protocol: names::OTEL_EXPORTER_OTLP_METRICS_PROTOCOL,
    headers: names::OTEL_EXPORTER_OTLP_METRICS_HEADERS,
    timeout: names::OTEL_EXPORTER_OTLP_METRICS_TIMEOUT,
    compression: names::OTEL_EXPORTER_OTLP_METRICS_COMPRESSION,
    insecure: names::OTEL_EXPORTER_OTLP_METRICS_INSECURE,
    certificate: "OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE",
    client_certificate: "OTEL_EXPORTER_OTLP_METRICS_CLIENT_CERTIFICATE",
    client_key: "OTEL_EXPORTER_OTLP_METRICS_CLIENT_KEY",
};

const LOGS: Variables = Variables {
    endpoint: names::OTEL_EXPORTER_OTLP_LOGS_ENDPOINT,
    protocol: names::OTEL_EXPORTER_OTLP_LOGS_PROTOCOL,
    headers: names::OTEL_EXPORTER_OTLP_LOGS_HEADERS,
    timeout: names::OTEL_EXPORTER_OTLP_LOGS_TIMEOUT,
    compression: names::OTEL_EXPORTER_OTLP_LOGS_COMPRESSION,
    insecure: names::OTEL_EXPORTER_OTLP_LOGS_INSECURE,
    certificate: "OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE",
    client_certificate: "OTEL_EXPORTER_OTLP_LOGS_CLIENT_CERTIFICATE",
    client_key: "OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY",
};

impl Signal {
    pub(super) const ALL: [Self; 3] = [Self::Traces, Self::Metrics, Self::Logs];

    /// As it is configured.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }

    /// The name of the exporter of this signal to a destination of that name.
    #[must_use]
    pub fn exporter(self, destination: &str) -> String {
        match self {
            Self::Traces => destination.to_owned(),
            Self::Metrics | Self::Logs => format!("{destination}-{}", self.label()),
        }
    }

    /// The specification's path, over HTTP.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Traces => "/v1/traces",
            Self::Metrics => "/v1/metrics",
            Self::Logs => "/v1/logs",
        }
    }

    /// The gRPC method, likewise.
    pub(super) const fn method(self) -> &'static str {
        match self {
            Self::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Self::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            Self::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        }
    }

    /// The names of a variable: the signal's, then the one of all.
    pub(super) fn variable(self, name: fn(&Variables) -> &'static str) -> [&'static str; 2] {
        let own = match self {
            Self::Traces => &TRACES,
            Self::Metrics => &METRICS,
            Self::Logs => &LOGS,
        };
        [name(own), name(&ALL)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_named_after_their_signal() {
        for signal in Signal::ALL {
            let word = format!("_{}_", signal.label().to_uppercase());
            let names: [fn(&Variables) -> &'static str; 9] = [
                |names| names.endpoint,
                |names| names.protocol,
                |names| names.headers,
                |names| names.timeout,
                |names| names.compression,
                |names| names.insecure,
                |names| names.certificate,
                |names| names.client_certificate,
                |names| names.client_key,
            ];
            for [own, all] in names.map(|name| signal.variable(name)) {
                assert_eq!(own.replacen(&word, "_", 1), all);
            }
        }
    }
}
