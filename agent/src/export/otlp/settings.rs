//! Where to send, and how: the file's section, completed from the environment and the specification's defaults, and checked.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::config::{
    BatchConfig, Compression, OtlpConfig, Protocol, QueueConfig, RetryConfig, TlsConfig,
};
use super::environment::{self, Endpoint, Lookup};

/// The specification's default for `OTEL_EXPORTER_OTLP_TIMEOUT`.
const DEFAULT_TIMEOUT: Duration = opentelemetry_otlp::OTEL_EXPORTER_OTLP_TIMEOUT_DEFAULT;
/// The specification's path of the trace signal.
const TRACES_PATH: &str = "v1/traces";
/// The gRPC method, likewise.
const GRPC_METHOD: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// The port registered for OTLP over gRPC (IANA).
const GRPC_PORT: u16 = 4317;

/// One destination, ready to be connected to.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name in metrics and logs.
    pub name: String,
    /// Where requests go.
    pub url: Uri,
    /// Wire protocol.
    pub protocol: Protocol,
    /// Sent with every request; values are marked sensitive.
    pub headers: HeaderMap,
    /// Longest wait for one answer.
    pub timeout: Duration,
    /// Compression of requests.
    pub compression: Compression,
    /// With TLS.
    pub tls: Option<Arc<rustls::ClientConfig>>,
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
    /// Completes `config` from `env`.
    ///
    /// # Errors
    /// What is wrong, in a sentence that names the key or the variable.
    pub fn resolve(config: &OtlpConfig, name: &str, env: Lookup<'_>) -> Result<Self, String> {
        let named = match &config.endpoint {
            Some(url) => Some(Endpoint::Base(url.clone())),
            None => environment::endpoint(env),
        };
        let protocol = match config.protocol {
            Some(protocol) => protocol,
            None => environment::protocol(env)?.unwrap_or_else(|| implied_protocol(named.as_ref())),
        };
        let endpoint = named.unwrap_or_else(|| default_endpoint(protocol));
        let insecure = config
            .insecure
            .unwrap_or_else(|| environment::insecure(env));
        let url = url(&endpoint, protocol, insecure)?;
        let compression = match config.compression {
            Some(compression) => compression,
            None => environment::compression(env)?.unwrap_or_default(),
        };
        let timeout = match config.timeout {
            Some(timeout) => timeout.0,
            None => environment::timeout(env)?.map_or(DEFAULT_TIMEOUT, |timeout| timeout.0),
        };
        let tls = (url.scheme() == Some(&Scheme::HTTPS))
            .then(|| tls(&with_environment(&config.tls, env), protocol))
            .transpose()?;
        Ok(Self {
            name: config.name.clone().unwrap_or_else(|| name.to_owned()),
            headers: headers(config, env)?,
            url,
            protocol,
            timeout,
            compression,
            tls,
            batch: config.batch.clone(),
            queue: config.queue.clone(),
            retry: config.retry.clone(),
            concurrency: usize::from(config.concurrency.0.get()),
        })
    }
}

/// The specification's default is http/protobuf; an endpoint on the gRPC port leaves no doubt, though.
fn implied_protocol(endpoint: Option<&Endpoint>) -> Protocol {
    let (Some(Endpoint::Exact(text)) | Some(Endpoint::Base(text))) = endpoint else {
        return Protocol::HttpProtobuf;
    };
    match text.parse::<Uri>().ok().and_then(|uri| uri.port_u16()) {
        Some(GRPC_PORT) => Protocol::Grpc,
        _ => Protocol::HttpProtobuf,
    }
}

fn default_endpoint(protocol: Protocol) -> Endpoint {
    Endpoint::Base(match protocol {
        Protocol::Grpc => "http://localhost:4317".to_owned(),
        Protocol::HttpProtobuf | Protocol::HttpJson => "http://localhost:4318".to_owned(),
    })
}

fn url(endpoint: &Endpoint, protocol: Protocol, insecure: bool) -> Result<Uri, String> {
    let (text, exact) = match endpoint {
        Endpoint::Exact(text) => (text, true),
        Endpoint::Base(text) => (text, false),
    };
    let text = text.trim();
    let complete = match text.split_once("://") {
        Some(("http" | "https", _)) => text.to_owned(),
        Some((scheme, _)) => {
            return Err(format!(
                "endpoint `{text}`: the scheme `{scheme}` is not http or https"
            ));
        }
        None if insecure => format!("http://{text}"),
        None => format!("https://{text}"),
    };
    let uri: Uri = complete
        .parse()
        .map_err(|error| format!("endpoint `{text}` is not a URL: {error}"))?;
    let mut parts = uri.into_parts();
    if parts.authority.as_ref().is_none_or(no_host) {
        return Err(format!("endpoint `{text}` has no host"));
    }
    // Not told: it is in the message, too.
    if parts
        .authority
        .as_ref()
        .is_some_and(|authority| authority.as_str().contains('@'))
    {
        return Err(
            "an endpoint with a user name or a password: give `headers` an authorization instead"
                .to_owned(),
        );
    }
    let path = parts
        .path_and_query
        .as_ref()
        .map_or("/", PathAndQuery::path);
    let path = match protocol {
        Protocol::Grpc => GRPC_METHOD.to_owned(),
        _ if exact || path.ends_with("/v1/traces") => path.to_owned(),
        _ => format!("{}/{TRACES_PATH}", path.trim_end_matches('/')),
    };
    parts.path_and_query = Some(
        path.parse()
            .map_err(|error| format!("endpoint `{text}`: {error}"))?,
    );
    Uri::from_parts(parts).map_err(|error| format!("endpoint `{text}`: {error}"))
}

fn no_host(authority: &Authority) -> bool {
    authority.host().is_empty()
}

fn headers(config: &OtlpConfig, env: Lookup<'_>) -> Result<HeaderMap, String> {
    let mut map = HeaderMap::new();
    let from_file = config
        .headers
        .iter()
        .map(|(k, v)| (k.clone(), v.reveal().to_owned()));
    for (name, value) in environment::headers(env)?.into_iter().chain(from_file) {
        let key = HeaderName::try_from(&name)
            .map_err(|_| format!("headers: `{name}` is not a header name"))?;
        let mut value = HeaderValue::try_from(&value)
            .map_err(|_| format!("headers: the value of `{name}` cannot stand in a header"))?;
        value.set_sensitive(true);
        map.insert(key, value);
    }
    Ok(map)
}

fn with_environment(config: &TlsConfig, env: Lookup<'_>) -> TlsConfig {
    let file = |given: &Option<PathBuf>, traces, all| {
        given
            .clone()
            .or_else(|| environment::file(env, traces, all).map(PathBuf::from))
    };
    TlsConfig {
        ca: file(
            &config.ca,
            "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
            "OTEL_EXPORTER_OTLP_CERTIFICATE",
        ),
        certificate: file(
            &config.certificate,
            "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
            "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
        ),
        key: file(
            &config.key,
            "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
            "OTEL_EXPORTER_OTLP_CLIENT_KEY",
        ),
    }
}

fn tls(files: &TlsConfig, protocol: Protocol) -> Result<Arc<rustls::ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS: {error}"))?
        .with_root_certificates(roots(files.ca.as_deref())?);
    let mut config = match (&files.certificate, &files.key) {
        (Some(certificate), Some(key)) => {
            let chain = certificates(certificate)?;
            let key = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| format!("private key {}: {error}", key.display()))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| format!("client certificate: {error}"))?
        }
        (None, None) => builder.with_no_client_auth(),
        (Some(_), None) => return Err("a client certificate needs its private key".to_owned()),
        (None, Some(_)) => return Err("a private key needs its client certificate".to_owned()),
    };
    let application = match protocol {
        Protocol::Grpc => "h2",
        Protocol::HttpProtobuf | Protocol::HttpJson => "http/1.1",
    };
    config.alpn_protocols = vec![application.into()];
    Ok(Arc::new(config))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let told = |error| format!("certificates {}: {error}", file.display());
    let found: Vec<_> = CertificateDer::pem_file_iter(file)
        .map_err(told)?
        .collect::<Result<_, _>>()
        .map_err(told)?;
    if found.is_empty() {
        return Err(format!("{}: no certificate in it", file.display()));
    }
    Ok(found)
}

fn roots(ca: Option<&Path>) -> Result<rustls::RootCertStore, String> {
    let mut store = rustls::RootCertStore::empty();
    match ca {
        Some(file) => {
            for certificate in certificates(file)? {
                store
                    .add(certificate)
                    .map_err(|error| format!("certificates {}: {error}", file.display()))?;
            }
        }
        None => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if store.is_empty() {
                return Err(
                    "this system has no certificate authorities; name a file with `tls.ca`"
                        .to_owned(),
                );
            }
        }
    }
    Ok(store)
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
            "{}",
            &[],
            Ok("HttpProtobuf http://localhost:4318/v1/traces"),
        );
        check(
            "{}",
            &[(PROTOCOL, "grpc")],
            Ok(&format!("Grpc http://localhost:4317{METHOD}")),
        );
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
            "endpoint: http://user:secret@c:4318",
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
            "{}",
            &[(PROTOCOL, "thrift")],
            Err("OTEL_EXPORTER_OTLP_PROTOCOL: `thrift` is none of grpc, http/protobuf, http/json"),
        );
        check(
            "{}",
            &[("OTEL_EXPORTER_OTLP_TIMEOUT", "10s")],
            Err("OTEL_EXPORTER_OTLP_TIMEOUT: `10s` is not a number of milliseconds"),
        );
        check(
            "{}",
            &[("OTEL_EXPORTER_OTLP_HEADERS", "a b=c")],
            Err("headers: `a b` is not a header name"),
        );
        check(
            "{endpoint: 'https://c', tls: {key: k.pem, ca: /nonexistent/ca.pem}}",
            &[],
            Err(
                "certificates /nonexistent/ca.pem: I/O error: No such file or directory (os error 2)",
            ),
        );
    }

    #[test]
    fn headers_of_the_file_go_before_the_environment() {
        let config: OtlpConfig = serde_saphyr::from_str("headers: {a: file}").unwrap();
        let env =
            |name: &str| (name == "OTEL_EXPORTER_OTLP_HEADERS").then(|| "a=env,b=x%20y".to_owned());
        let settings = Settings::resolve(&config, "otlp", &env).unwrap();
        assert_eq!(settings.headers["a"], "file");
        assert_eq!(settings.headers["b"], "x y");
        let shown = format!("{config:?} {settings:?}");
        assert!(!shown.contains("file") && !shown.contains("x y"), "{shown}");
    }
}
