//! Options on where spans go, common to all commands that read traffic.

use clap::Args;

use crate::export::otlp::{OtlpConfig, Protocol};
use crate::signal::span::Profile;

/// Where spans go.
#[derive(Clone, Debug, Default, Args)]
pub struct ExportArgs {
    /// Send spans to an OpenTelemetry collector, for example http://localhost:4317.
    ///
    /// What is not given here comes from the standard OTEL_EXPORTER_OTLP_* variables.
    #[arg(long, value_name = "ENDPOINT", help_heading = "Export")]
    pub otlp: Option<String>,

    /// Protocol to send with [default: grpc for port 4317, else http/protobuf].
    #[arg(
        long,
        value_enum,
        value_name = "PROTOCOL",
        requires = "otlp",
        help_heading = "Export"
    )]
    pub otlp_protocol: Option<Protocol>,

    /// Schema of the spans' attributes [default: mesh].
    #[arg(long, value_enum, value_name = "PROFILE", help_heading = "Export")]
    pub profile: Option<Profile>,
}

impl ExportArgs {
    /// The destination given by these options alone.
    #[must_use]
    pub fn destination(&self) -> Option<OtlpConfig> {
        self.otlp.as_ref().map(|endpoint| OtlpConfig {
            endpoint: Some(endpoint.clone()),
            protocol: self.otlp_protocol,
            ..OtlpConfig::default()
        })
    }
}
