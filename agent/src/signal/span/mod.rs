//! A sanitized exchange as a span, in the attribute schema of a profile. Pure, and without
//! OpenTelemetry's types: an exporter reads a [`Span`] and writes its own format.

mod attributes;
mod body;
mod details;
mod headers;
mod lua;
mod peer;
mod rpc;
mod semconv;
mod settings;

use std::sync::Arc;

pub use attributes::{Attributes, List, Value};
pub use settings::{Profile, Settings};

use crate::flow::Process;
use crate::policy::{SpanId, TraceContext};
use crate::redact::Sanitized;
use attributes::Builder;

/// Which end of a request a span stands for, as OpenTelemetry has it. The numbers are OTLP's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Neither.
    Internal = 1,
    /// The end that responds.
    Server = 2,
    /// The end that sends requests.
    Client = 3,
}

/// How what a span stands for went. The numbers are OTLP's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Status {
    /// Nothing is said.
    #[default]
    Unset = 0,
    /// It failed.
    Error = 2,
}

/// What made the spans: a service, a pod, a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resource {
    /// Its attributes, in order.
    pub attributes: Vec<(String, ResourceValue)>,
}

/// A value of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResourceValue {
    /// Text.
    Str(String),
    /// An integer.
    Int(i64),
}

impl From<&str> for ResourceValue {
    fn from(text: &str) -> Self {
        Self::Str(text.to_owned())
    }
}

/// The instrumentation that made the spans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Its name.
    pub name: String,
    /// Its version; may be empty.
    pub version: String,
}

/// Whose socket an exchange was captured at, as far as is known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Origin<'a> {
    /// Attributes of the workload (`k8s.*`, `process.*`).
    pub attributes: &'a [(String, ResourceValue)],
    /// Its resource, from [`SpanBuilder::resource`], made once per workload. In the profile
    /// `semconv` it stands for the attributes.
    pub resource: Option<&'a Arc<Resource>>,
    /// Attributes of the exchange's two ends: the client, and the server.
    pub ends: [&'a [(String, ResourceValue)]; 2],
    /// Attributes that rules ask for.
    pub tags: &'a [(String, ResourceValue)],
    /// The process that has the socket. Only the profile `semconv` has a place for it.
    pub process: Option<&'a Process>,
}

/// A span.
#[derive(Clone, Debug)]
pub struct Span {
    /// Trace, span and parent.
    pub context: TraceContext,
    /// Nanoseconds since 1970.
    pub start: u64,
    /// Nanoseconds since 1970.
    pub end: u64,
    /// Which end it stands for.
    pub kind: Kind,
    /// How it went.
    pub status: Status,
    /// What it says.
    pub attributes: Attributes,
    /// What made it. Spans of one origin share it, so that an exporter groups them by its address.
    pub resource: Arc<Resource>,
    /// The instrumentation.
    pub scope: Arc<Scope>,
    name: Name,
}

/// Why a body is omitted that no receiver would take.
const TOO_LARGE: &str = "too_large";

#[derive(Clone, Debug)]
enum Name {
    Set(Arc<str>),
    /// A method of the conventions' list.
    Method(&'static str),
}

impl Span {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.name {
            Name::Set(name) => name,
            Name::Method(name) => name,
        }
    }

    /// The span of the request's sender.
    #[must_use]
    pub const fn parent(&self) -> Option<SpanId> {
        self.context.parent
    }

    /// The span without the bodies that stand in attributes of their own, each of which says so:
    /// for a receiver that takes no span of this size.
    #[must_use]
    pub fn without_bodies(&self) -> Self {
        let keys = [
            &lua::REQUEST,
            &lua::RESPONSE,
            &semconv::REQUEST,
            &semconv::RESPONSE,
        ];
        Self {
            attributes: self.attributes.without_bodies(&keys, TOO_LARGE),
            ..self.clone()
        }
    }

    /// Bytes held, for bounds on memory.
    #[must_use]
    pub fn memory(&self) -> usize {
        size_of::<Self>() + self.attributes.memory()
    }
}

/// Makes spans in one profile.
#[derive(Clone, Debug)]
pub struct SpanBuilder {
    settings: Settings,
    resource: Arc<Resource>,
    scope: Arc<Scope>,
    name: Option<Arc<str>>,
}

impl SpanBuilder {
    /// From settings.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let profile = settings.profile;
        let (scope_name, span_name) = match profile {
            Profile::Mesh => ("astra-istio-servicemesh", Some("example-span")),
            Profile::Gateway => ("bookinfo-gateway", Some("example-span")),
            Profile::Semconv => ("meshtap", None),
        };
        let version = match profile {
            Profile::Semconv => env!("CARGO_PKG_VERSION"),
            Profile::Mesh | Profile::Gateway => "",
        };
        let scope = Scope {
            name: settings
                .scope_name
                .clone()
                .unwrap_or_else(|| scope_name.to_owned()),
            version: version.to_owned(),
        };
        let name = settings.span_name.as_deref().or(span_name);
        Self {
            name: name.map(Arc::from),
            resource: Arc::new(base_resource(&settings)),
            scope: Arc::new(scope),
            settings,
        }
    }

    /// The resource of a workload: what the settings say, under what is known of the workload
    /// itself.
    #[must_use]
    pub fn resource(&self, workload: &[(String, ResourceValue)]) -> Arc<Resource> {
        if self.settings.profile != Profile::Semconv || workload.is_empty() {
            return self.resource.clone();
        }
        let mut attributes = workload.to_vec();
        let settings = &self.settings;
        if settings.service_name.is_some() {
            // What is configured goes before what is derived.
            attributes.retain(|(key, _)| key != "service.name");
        }
        for (key, value) in &self.resource.attributes {
            if attributes.iter().all(|(k, _)| k != key) {
                attributes.push((key.clone(), value.clone()));
            }
        }
        Arc::new(Resource { attributes })
    }

    /// The resource of what has no workload.
    #[must_use]
    pub const fn base(&self) -> &Arc<Resource> {
        &self.resource
    }

    /// The span of an exchange.
    #[must_use]
    pub fn build(&self, sanitized: &Sanitized, origin: &Origin<'_>) -> Span {
        let exchange = sanitized.exchange();
        let fields = &exchange.request.head.fields;
        let response = exchange
            .response
            .as_ref()
            .map(|response| &response.head.fields);
        // Heads in JSON take a few bytes more per field; 512 is for addresses, numbers and workload
        // attributes.
        let head = fields.bytes() + response.map_or(0, crate::http::Fields::bytes);
        let count = fields.len() + response.map_or(0, crate::http::Fields::len);
        let ends: usize = origin.ends.iter().map(|end| end.len()).sum();
        let profile = self.settings.profile;
        let mut out = match profile {
            Profile::Semconv => Builder::new(head + 32 * count + 512, 24 + count + ends),
            Profile::Mesh | Profile::Gateway => {
                Builder::new(head + 8 * count + 512, 20 + origin.attributes.len() + ends)
            }
        };
        let (kind, status, name) = match profile {
            Profile::Semconv => semconv::build(&mut out, &self.settings, sanitized),
            Profile::Mesh | Profile::Gateway => {
                let status = lua::build(&mut out, &self.settings, sanitized);
                (Kind::Internal, status, "")
            }
        };
        if profile != Profile::Semconv || origin.resource.is_none() {
            push(&mut out, origin.attributes);
        }
        for end in origin.ends {
            push(&mut out, end);
        }
        push(&mut out, origin.tags);
        if let Some(process) = origin.process.filter(|_| profile == Profile::Semconv) {
            out.int("process.pid", i64::from(process.pid));
            out.str("process.executable.name", &process.name);
        }
        Span {
            context: *sanitized.trace(),
            start: sanitized.started(),
            end: sanitized.ended(),
            kind,
            status,
            attributes: out.build(),
            resource: origin.resource.unwrap_or(&self.resource).clone(),
            scope: self.scope.clone(),
            name: self.name.clone().map_or(Name::Method(name), Name::Set),
        }
    }
}

fn push(out: &mut Builder, attributes: &[(String, ResourceValue)]) {
    for (key, value) in attributes {
        match value {
            ResourceValue::Str(text) => out.own(key, text),
            ResourceValue::Int(number) => out.own_int(key, *number),
        }
    }
}

fn base_resource(settings: &Settings) -> Resource {
    let (name, version) = match settings.profile {
        Profile::Semconv => ("unknown_service", None),
        Profile::Mesh | Profile::Gateway => ("astra-istio-instrumentation", Some("1.0.0")),
    };
    let mut attributes: Vec<(String, ResourceValue)> = Vec::new();
    let mut set = |key: &str, value: &str| {
        attributes.retain(|(k, _)| k != key);
        attributes.push((key.to_owned(), value.into()));
    };
    set(
        "service.name",
        settings.service_name.as_deref().unwrap_or(name),
    );
    if let Some(version) = settings.service_version.as_deref().or(version) {
        set("service.version", version);
    }
    if settings.profile != Profile::Mesh && !settings.sensor_id.is_empty() {
        set("sensor.id", &settings.sensor_id);
    }
    for (key, value) in &settings.resource {
        set(key, value);
    }
    Resource { attributes }
}

#[cfg(test)]
mod tests;
