//! The standard variables of the OTLP exporters
//! (<https://opentelemetry.io/docs/specs/otel/protocol/exporter/#configuration-options>).
//!
//! The variable of the signal goes before the general one; an empty one is not set. A value
//! that cannot be understood is an error that names its variable: an agent that silently sends
//! somewhere else is worse than one that does not start.

use opentelemetry_otlp::{
    OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE,
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,
};
use opentelemetry_sdk::metrics::OTEL_METRIC_EXPORT_INTERVAL;

use super::config::{Compression, Protocol, Temporality};
use super::signal::Signal;
use crate::http::percent::decode_escapes;
use crate::units::Interval;

/// Reads a variable.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The process's own environment.
#[must_use]
pub fn process(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A value, and the variable that it came from.
type Found = (&'static str, String);

/// The first of `names` that is set.
pub(super) fn first(env: Lookup<'_>, names: &[&'static str]) -> Option<Found> {
    names.iter().find_map(|name| {
        let value = env(name)?;
        (!value.trim().is_empty()).then(|| (*name, value.trim().to_owned()))
    })
}

fn invalid(name: &str, reason: impl std::fmt::Display) -> String {
    format!("{name}: {reason}")
}

/// `true` when the environment alone names a destination.
#[must_use]
pub fn names_endpoint(env: Lookup<'_>) -> bool {
    let names = [
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,
        OTEL_EXPORTER_OTLP_ENDPOINT,
    ];
    first(env, &names).is_some()
}

/// The URL for one signal as it is, or the base URL for all.
pub(super) enum Endpoint {
    Exact(String),
    Base(String),
}

pub(super) fn endpoint(env: Lookup<'_>, signal: Signal) -> Option<Endpoint> {
    let [own, all] = signal.variable(|names| names.endpoint);
    first(env, &[own])
        .map(|(_, url)| Endpoint::Exact(url))
        .or_else(|| first(env, &[all]).map(|(_, url)| Endpoint::Base(url)))
}

pub(super) fn protocol(env: Lookup<'_>, signal: Signal) -> Result<Option<Protocol>, String> {
    let Some((name, value)) = first(env, &signal.variable(|names| names.protocol)) else {
        return Ok(None);
    };
    match value.as_str() {
        "grpc" => Ok(Some(Protocol::Grpc)),
        "http/protobuf" => Ok(Some(Protocol::HttpProtobuf)),
        "http/json" => Ok(Some(Protocol::HttpJson)),
        _ => Err(invalid(
            name,
            format!("`{value}` is none of grpc, http/protobuf, http/json"),
        )),
    }
}

fn milliseconds(env: Lookup<'_>, names: &[&'static str]) -> Result<Option<Interval>, String> {
    first(env, names)
        .map(|(name, value)| match value.parse() {
            Ok(millis) => Ok(Interval::millis(millis)),
            Err(_) => Err(invalid(
                name,
                format!("`{value}` is not a number of milliseconds"),
            )),
        })
        .transpose()
}

pub(super) fn timeout(env: Lookup<'_>, signal: Signal) -> Result<Option<Interval>, String> {
    milliseconds(env, &signal.variable(|names| names.timeout))
}

/// How often metrics are exported.
pub(super) fn metric_interval(env: Lookup<'_>) -> Result<Option<Interval>, String> {
    milliseconds(env, &[OTEL_METRIC_EXPORT_INTERVAL])
}

/// What the values of metrics are since.
pub(super) fn temporality(env: Lookup<'_>) -> Result<Option<Temporality>, String> {
    first(env, &[OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE])
        .map(|(name, value)| match value.to_ascii_lowercase().as_str() {
            "cumulative" => Ok(Temporality::Cumulative),
            "delta" => Ok(Temporality::Delta),
            _ => Err(invalid(
                name,
                format!("`{value}` is neither cumulative nor delta"),
            )),
        })
        .transpose()
}

pub(super) fn compression(env: Lookup<'_>, signal: Signal) -> Result<Option<Compression>, String> {
    first(env, &signal.variable(|names| names.compression))
        .map(|(name, value)| match value.as_str() {
            "gzip" => Ok(Compression::Gzip),
            "none" => Ok(Compression::None),
            _ => Err(invalid(name, format!("`{value}` is neither gzip nor none"))),
        })
        .transpose()
}

pub(super) fn insecure(env: Lookup<'_>, signal: Signal) -> bool {
    first(env, &signal.variable(|names| names.insecure))
        .is_some_and(|(_, value)| value.eq_ignore_ascii_case("true"))
}

pub(super) fn headers(env: Lookup<'_>, signal: Signal) -> Result<Vec<(String, String)>, String> {
    first(env, &signal.variable(|names| names.headers)).map_or(Ok(Vec::new()), |(name, value)| {
        pairs(&value).ok_or_else(|| invalid(name, "not of the form `name=value,name=value`"))
    })
}

/// The file that one of the `..._CERTIFICATE`, `..._CLIENT_CERTIFICATE`, `..._CLIENT_KEY` variables
/// names.
pub(super) fn file(env: Lookup<'_>, names: &[&'static str; 2]) -> Option<String> {
    first(env, names).map(|(_, value)| value)
}

/// What `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME` add to every resource; the latter goes
/// before a `service.name` of the former.
///
/// # Errors
/// When the list is not one.
pub fn resource(env: Lookup<'_>) -> Result<Vec<(String, String)>, String> {
    const ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";
    const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
    let mut attributes = match first(env, &[ATTRIBUTES]) {
        Some((name, value)) => {
            pairs(&value).ok_or_else(|| invalid(name, "not of the form `key=value,key=value`"))?
        }
        None => Vec::new(),
    };
    if let Some((_, name)) = first(env, &[SERVICE_NAME]) {
        attributes.retain(|(key, _)| key != "service.name");
        attributes.push(("service.name".to_owned(), name));
    }
    Ok(attributes)
}

/// `key=value,key=value` with percent-encoded values (W3C Baggage, without properties).
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    text.split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=')?;
            let key = percent_decoded(key.trim())?;
            (!key.is_empty()).then_some((key, percent_decoded(value.trim())?))
        })
        .collect()
}

/// RFC 3986 §2.1. A `%` that begins no escape stands for itself.
pub(super) fn percent_decoded(text: &str) -> Option<String> {
    String::from_utf8(decode_escapes(text.as_bytes())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(variables: &[(&str, &str)], expected: Result<&[(&str, &str)], &str>) {
        let env = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let expected = expected
            .map(|pairs| {
                let owned = |&(k, v): &(&str, &str)| (k.to_owned(), v.to_owned());
                pairs.iter().map(owned).collect::<Vec<_>>()
            })
            .map_err(str::to_owned);
        assert_eq!(resource(&env), expected, "{variables:?}");
    }

    #[test]
    fn resource_attributes() {
        const LIST: &str = "OTEL_RESOURCE_ATTRIBUTES";
        const NAME: &str = "OTEL_SERVICE_NAME";
        check(&[], Ok(&[]));
        check(&[(LIST, "")], Ok(&[]));
        check(
            &[(LIST, "a=b, c = d%2Ce ,")],
            Ok(&[("a", "b"), ("c", "d,e")]),
        );
        check(&[(LIST, "a=100%")], Ok(&[("a", "100%")]));
        check(&[(LIST, "a==")], Ok(&[("a", "=")]));
        check(
            &[(LIST, "service.name=x,b=c"), (NAME, "y")],
            Ok(&[("b", "c"), ("service.name", "y")]),
        );
        check(
            &[(LIST, "a")],
            Err("OTEL_RESOURCE_ATTRIBUTES: not of the form `key=value,key=value`"),
        );
        check(
            &[(LIST, "=a")],
            Err("OTEL_RESOURCE_ATTRIBUTES: not of the form `key=value,key=value`"),
        );
    }
}
