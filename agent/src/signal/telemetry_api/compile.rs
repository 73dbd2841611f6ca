//! From an object to rules, and to what of it cannot be honoured.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize as _;
use serde_json::Value;

use super::object::{
    AccessLogging, CustomTag, Metrics, Mode, Operation, Override, Provider, Spec, TargetRef,
    Tracing,
};
use super::rules::{Tag, TagValue};
use crate::flow::Side;
use crate::signal::expression::{Condition, Expression};
use crate::signal::metrics::Families;

/// Whom an object is for, within its namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// All.
    Namespace,
    /// Pods with all of these labels.
    Labels(BTreeMap<String, String>),
    /// Pods behind any of these services, and gateways of these names.
    Refs {
        services: Vec<String>,
        gateways: Vec<String>,
    },
}

/// What one entry says of metrics.
#[derive(Clone, Debug)]
pub(super) struct MetricRule {
    pub(super) mode: Mode,
    pub(super) families: Families,
    pub(super) disabled: Option<bool>,
    /// `None`: the label is removed.
    pub(super) labels: Vec<(Arc<str>, Option<TagValue>)>,
}

/// What one entry says of spans.
#[derive(Clone, Debug)]
pub(super) struct TracingRule {
    pub(super) mode: Mode,
    pub(super) ratio: Option<f64>,
    pub(super) is_off: Option<bool>,
    /// `None`: those that are inherited.
    pub(super) tags: Option<Arc<[Tag]>>,
}

/// What one entry says of the access log.
#[derive(Clone, Debug)]
pub(super) struct LoggingRule {
    pub(super) mode: Mode,
    pub(super) is_off: Option<bool>,
    pub(super) filter: Option<Arc<Condition>>,
}

/// An object, ready to be applied.
#[derive(Clone, Debug)]
pub struct Object {
    pub(super) namespace: Box<str>,
    pub(super) name: Box<str>,
    /// Seconds since 1970: of two objects for the same workloads, the older one counts.
    pub(super) created: i64,
    pub(super) target: Target,
    pub(super) metrics: Vec<MetricRule>,
    pub(super) tracing: Vec<TracingRule>,
    pub(super) logging: Vec<LoggingRule>,
    complaints: Vec<String>,
}

impl Mode {
    pub(super) const fn is_for(self, side: Side) -> bool {
        matches!(
            (self, side),
            (Self::ClientAndServer, _)
                | (Self::Client, Side::Client)
                | (Self::Server, Side::Server)
        )
    }
}

impl Object {
    /// Of what the API says. What cannot be read at all has no rules, and a complaint.
    #[must_use]
    pub fn new(namespace: &str, name: &str, created: i64, spec: &Value) -> Self {
        let mut object = Self {
            namespace: namespace.into(),
            name: name.into(),
            created,
            target: Target::Namespace,
            metrics: Vec::new(),
            tracing: Vec::new(),
            logging: Vec::new(),
            complaints: Vec::new(),
        };
        match Spec::deserialize(spec) {
            Ok(spec) => object.compile(spec),
            Err(error) => {
                // It is for nobody: what it would have been for is not known.
                object.target = Target::Refs {
                    services: Vec::new(),
                    gateways: Vec::new(),
                };
                object
                    .complaints
                    .push(format!("spec cannot be read: {error}"));
            }
        }
        object
    }

    /// What of it cannot be honoured, one reason each.
    #[must_use]
    pub fn complaints(&self) -> &[String] {
        &self.complaints
    }

    /// It is for pods behind services.
    #[must_use]
    pub fn names_services(&self) -> bool {
        matches!(&self.target, Target::Refs { services, .. } if !services.is_empty())
    }

    /// `namespace/name`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    fn complain(&mut self, place: &str, reason: impl std::fmt::Display) {
        self.complaints.push(format!("{place}: {reason}"));
    }

    fn compile(&mut self, spec: Spec) {
        let labels = spec.selector.map(|selector| selector.match_labels);
        let refs: Vec<_> = spec
            .target_ref
            .into_iter()
            .chain(spec.target_refs)
            .collect();
        self.target = match labels {
            Some(labels) if !labels.is_empty() => Target::Labels(labels),
            _ if refs.is_empty() => Target::Namespace,
            _ => self.refs(&refs),
        };
        for (index, metrics) in spec.metrics.into_iter().enumerate() {
            self.metrics(&format!("metrics[{index}]"), metrics);
        }
        for (index, tracing) in spec.tracing.into_iter().enumerate() {
            self.tracing(&format!("tracing[{index}]"), tracing);
        }
        for (index, logging) in spec.access_logging.into_iter().enumerate() {
            self.logging(&format!("accessLogging[{index}]"), &logging);
        }
    }

    fn refs(&mut self, refs: &[TargetRef]) -> Target {
        let (mut services, mut gateways) = (Vec::new(), Vec::new());
        for target in refs {
            match (&*target.group, &*target.kind) {
                ("" | "core", "Service") => services.push(target.name.clone()),
                ("gateway.networking.k8s.io", "Gateway") => gateways.push(target.name.clone()),
                (_, kind) => {
                    let reason = format!("no pod is known by a {kind}");
                    self.complain("targetRefs", reason);
                }
            }
        }
        Target::Refs { services, gateways }
    }

    /// Every destination of the configuration gets everything.
    fn providers(&mut self, place: &str, providers: &[Provider], own: &str) {
        let foreign = providers.iter().find(|provider| provider.name != own);
        if let Some(provider) = foreign {
            let name = &provider.name;
            let reason = format!("`{name}`: destinations are those of the agent's configuration");
            self.complain(&format!("{place}.providers"), reason);
        }
    }

    fn metrics(&mut self, place: &str, metrics: Metrics) {
        self.providers(place, &metrics.providers, "prometheus");
        if metrics.reporting_interval.is_some() {
            let place = format!("{place}.reportingInterval");
            self.complain(&place, "values are read when they are scraped or exported");
        }
        for (index, entry) in metrics.overrides.into_iter().enumerate() {
            self.metric(&format!("{place}.overrides[{index}]"), entry);
        }
    }

    fn metric(&mut self, place: &str, entry: Override) {
        let matched = entry.matched;
        let families = match (matched.metric.as_deref(), matched.custom_metric.as_deref()) {
            (_, Some(name)) => {
                Families::named(name).ok_or_else(|| format!("there is no metric `{name}`"))
            }
            (None | Some("ALL_METRICS"), None) => Ok(Families::ALL),
            (Some(name), None) => {
                families(name).ok_or_else(|| format!("there is no metric {name}"))
            }
        };
        let families = match families {
            Ok(families) => families,
            Err(reason) => return self.complain(&format!("{place}.match"), reason),
        };
        let mut labels = Vec::new();
        for (name, tag) in entry.tag_overrides {
            let value = match tag.operation {
                Operation::Remove => None,
                Operation::Upsert => match tag_value(&tag.value) {
                    Ok(value) => Some(value),
                    Err(reason) => {
                        let place = format!("{place}.tagOverrides.{name}");
                        self.complain(&place, reason);
                        continue;
                    }
                },
            };
            if value.is_some() && !is_label(&name) {
                let place = format!("{place}.tagOverrides.{name}");
                self.complain(&place, "not a name of a label");
                continue;
            }
            labels.push((Arc::from(name), value));
        }
        self.metrics.push(MetricRule {
            mode: matched.mode,
            families,
            disabled: entry.disabled,
            labels,
        });
    }

    fn tracing(&mut self, place: &str, tracing: Tracing) {
        self.providers(place, &tracing.providers, "");
        let ratio = tracing.random_sampling_percentage.filter(|percentage| {
            let is_one = (0.0..=100.0).contains(percentage);
            if !is_one {
                let place = format!("{place}.randomSamplingPercentage");
                self.complain(&place, format!("{percentage} is not between 0 and 100"));
            }
            is_one
        });
        if tracing.use_request_id_for_trace_sampling == Some(true) {
            let place = format!("{place}.useRequestIdForTraceSampling");
            self.complain(&place, "the trace id decides");
        }
        if tracing.enable_istio_tags == Some(false) {
            let place = format!("{place}.enableIstioTags");
            self.complain(&place, "attributes are those of `span.profile`");
        }
        let mut tags = Vec::new();
        for (name, tag) in &tracing.custom_tags {
            let place = format!("{place}.customTags.{name}");
            tags.extend(self.tag(&place, name, tag));
        }
        self.tracing.push(TracingRule {
            mode: tracing.matched.mode,
            ratio: ratio.map(|percentage| percentage / 100.0),
            is_off: tracing.disable_span_reporting,
            tags: (!tracing.custom_tags.is_empty()).then(|| tags.into()),
        });
    }

    fn tag(&mut self, place: &str, name: &str, tag: &CustomTag) -> Option<Tag> {
        let name: Arc<str> = name.into();
        let literal = |name, text: &str| Tag {
            name,
            header: None,
            text: Some(text.into()),
        };
        if let Some(value) = &tag.literal {
            return Some(literal(name, &value.value));
        }
        if let Some(header) = &tag.header {
            return Some(Tag {
                name,
                header: Some(header.name.to_ascii_lowercase().into()),
                text: header.default_value.as_deref().map(Arc::from),
            });
        }
        if let Some(variable) = &tag.environment {
            let reason = "a proxy's environment is not known here: the default value stands for it";
            self.complain(place, reason);
            let default = variable.default_value.as_deref()?;
            return Some(literal(name, default));
        }
        self.complain(place, "neither literal, header nor environment");
        None
    }

    fn logging(&mut self, place: &str, logging: &AccessLogging) {
        self.providers(place, &logging.providers, "envoy");
        let filter = match logging
            .filter
            .as_ref()
            .map(|f| Condition::new(&f.expression))
        {
            None => None,
            Some(Ok(condition)) => Some(Arc::new(condition)),
            Some(Err(reason)) => {
                self.complain(&format!("{place}.filter.expression"), reason);
                None
            }
        };
        self.logging.push(LoggingRule {
            mode: logging.matched.mode,
            is_off: logging.disabled,
            filter,
        });
    }
}

/// Istio's names of its metrics.
fn families(name: &str) -> Option<Families> {
    let name = match name {
        "REQUEST_COUNT" => "istio_requests_total",
        "REQUEST_DURATION" => "istio_request_duration_milliseconds",
        "REQUEST_SIZE" => "istio_request_bytes",
        "RESPONSE_SIZE" => "istio_response_bytes",
        "GRPC_REQUEST_MESSAGES" => "istio_request_messages_total",
        "GRPC_RESPONSE_MESSAGES" => "istio_response_messages_total",
        "TCP_SENT_BYTES" => "istio_tcp_sent_bytes_total",
        "TCP_RECEIVED_BYTES" => "istio_tcp_received_bytes_total",
        "TCP_OPENED_CONNECTIONS" => "istio_tcp_connections_opened_total",
        "TCP_CLOSED_CONNECTIONS" => "istio_tcp_connections_closed_total",
        _ => return None,
    };
    Families::named(name)
}

/// The value of a label: a text in quotes, or an expression.
fn tag_value(text: &str) -> Result<TagValue, String> {
    let text = text.trim();
    let quoted = |quote: char| {
        let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
        (!inner.contains([quote, '\\'])).then_some(inner)
    };
    if let Some(literal) = quoted('\'').or_else(|| quoted('"')) {
        return Ok(TagValue::Text(literal.into()));
    }
    let expression = Expression::new(text)?;
    Ok(TagValue::Expression(Arc::new(expression)))
}

/// What Prometheus takes for a name of a label.
fn is_label(name: &str) -> bool {
    let mut bytes = name.bytes();
    let begins = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    bytes.next().is_some_and(begins) && bytes.all(|byte| begins(byte) || byte.is_ascii_digit())
}
