//! What is exported: spans of exchanges, of some pods in turn.

use std::sync::Arc;

use meshtap::clock::WallClock;
use meshtap::policy::{self, PolicyContext};
use meshtap::redact::{self, Gate};
use meshtap::signal::span::{self, Origin, Profile, Resource, Span, SpanBuilder};
use opentelemetry::InstrumentationScope;

use super::exchanges;
use super::library::{self, Names};

/// Spans, and what the library needs besides.
pub(super) struct Made {
    /// The span at place `n` is of the resource at `n` modulo their number.
    pub(super) spans: Vec<Span>,
    pub(super) names: Vec<Vec<&'static str>>,
    pub(super) resources: Vec<opentelemetry_sdk::Resource>,
    pub(super) scope: InstrumentationScope,
}

/// Makes so many, with both bodies of so many bytes together.
pub(super) fn make(count: usize, body: usize, pods: usize) -> Made {
    let builder = SpanBuilder::new(span::Settings {
        profile: Profile::Semconv,
        ..span::Settings::default()
    });
    let pods: Vec<Arc<Resource>> = (0..pods)
        .map(|number| builder.resource(&workload(number)))
        .collect();
    let gate = Gate::new(&policy::Config::default(), &redact::Config::default());
    let mut gate = gate.unwrap();
    let clock = WallClock { offset: 0 };
    let (mut spans, mut names) = (Vec::new(), Vec::new());
    let mut known = Names::default();
    for (exchange, pod) in exchanges::make(count as u64, body)
        .into_iter()
        .zip(pods.iter().cycle())
    {
        let context = PolicyContext::default();
        let sanitized = gate.pass(exchange, &context, &clock);
        let Ok(sanitized) = sanitized else {
            panic!("nothing is filtered here");
        };
        let origin = Origin {
            resource: Some(pod),
            ..Origin::default()
        };
        let span = builder.build(&sanitized, &origin);
        names.push(known.of(&span));
        spans.push(span);
    }
    assert_eq!(spans.len(), count, "exchanges went missing");
    Made {
        scope: library::scope(&spans[0]),
        spans,
        names,
        resources: pods.iter().map(|pod| library::resource(pod)).collect(),
    }
}

/// What is known of a pod.
fn workload(number: usize) -> Vec<(String, span::ResourceValue)> {
    let name = format!("orders-7d4b9c6f5d-{number:05}");
    let uid = format!("0f8fad5b-d9cb-469f-a165-{number:012}");
    let pairs = [
        ("service.name", "orders"),
        ("k8s.namespace.name", "shop"),
        ("k8s.deployment.name", "orders"),
        ("k8s.pod.name", &name),
        ("k8s.pod.uid", &uid),
        ("k8s.container.name", "app"),
        ("k8s.node.name", "node-a"),
    ];
    let pairs = pairs.into_iter();
    pairs
        .map(|(key, value)| (key.to_owned(), value.into()))
        .collect()
}
