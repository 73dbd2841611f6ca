//! The route of an exchange: the first rule whose condition holds, else a rule of the Gateway API,
//! else the template of an `OpenAPI` document, else one made of the path, else `unknown`. The names
//! are few: what a client sends cannot add any beyond a bound.

mod config;
mod gateway;
mod gateway_match;
mod template;

use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashSet;
use serde_json::Value;

pub use config::{RouteRule, RoutesSection};
pub use gateway::{GatewayRoutes, RouteKind, RouteObject};

use super::expression::{Condition, Evaluator};
use super::metrics::UNKNOWN;
use crate::exchange::Exchange;
use crate::hash::Keyed;
use crate::http::target::{path_and_query, split_query};
use template::Templates;
pub(crate) use template::automatic;

/// Methods that a route may have: RFC 9110 §9 and PATCH (RFC 5789).
const METHODS: [&str; 9] = [
    "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE",
];
const OTHER: &str = "_OTHER";

/// What names routes; shared by all workers.
#[derive(Debug)]
pub struct Routes {
    rules: Vec<(Arc<str>, Condition)>,
    templates: Templates,
    automatic: Option<Automatic>,
    unknown: Arc<str>,
}

/// Routes that were made of paths.
#[derive(Debug)]
struct Automatic {
    names: Mutex<HashSet<Arc<str>, Keyed>>,
    limit: usize,
}

impl Routes {
    /// By a configuration, and the documents that it names; `None` when nothing names routes.
    /// `has_gateway`: rules of the Gateway API may.
    ///
    /// # Errors
    /// Says which rule or document cannot be used.
    pub fn new(
        section: &RoutesSection,
        documents: &[Value],
        has_gateway: bool,
    ) -> Result<Option<Self>, String> {
        if section.is_empty() && !has_gateway {
            return Ok(None);
        }
        let mut rules = Vec::new();
        for (index, rule) in section.rules.iter().enumerate() {
            let condition = Condition::new(&rule.condition);
            let condition = condition
                .map_err(|reason| format!("metrics.routes.rules.{index}.condition: {reason}"))?;
            rules.push((Arc::from(rule.value.as_str()), condition));
        }
        let mut templates = Templates::default();
        for (index, document) in documents.iter().enumerate() {
            let added = templates.add(document);
            added.map_err(|reason| format!("metrics.routes.openapi.{index}: {reason}"))?;
        }
        Ok(Some(Self {
            rules,
            templates,
            automatic: section.automatic.then(|| Automatic {
                names: Mutex::default(),
                limit: section.limit.get(),
            }),
            unknown: UNKNOWN.into(),
        }))
    }

    fn conditions(&self) -> impl Iterator<Item = &Condition> {
        self.rules.iter().map(|(_, condition)| condition)
    }
}

/// A worker's view of the routes.
#[derive(Debug)]
pub struct Router {
    routes: Arc<Routes>,
    gateway: Option<Gateway>,
    evaluator: Evaluator,
    buffer: String,
}

/// Rules of the Gateway API, as they were when they were last looked at.
#[derive(Debug)]
struct Gateway {
    routes: Arc<GatewayRoutes>,
    generation: u64,
    matches: Arc<[gateway::Match]>,
}

impl Gateway {
    fn find(&mut self, request: &gateway_match::Request<'_>) -> Option<Arc<str>> {
        let generation = self.routes.generation();
        if generation != self.generation {
            self.generation = generation;
            self.matches = self.routes.ordered();
        }
        gateway::find(&self.matches, request).cloned()
    }
}

impl Router {
    /// Of routes.
    #[must_use]
    pub fn new(routes: Arc<Routes>) -> Self {
        Self {
            evaluator: Evaluator::new(routes.conditions()),
            routes,
            gateway: None,
            buffer: String::new(),
        }
    }

    /// With rules of the Gateway API.
    #[must_use]
    pub fn with_gateway(mut self, routes: Option<Arc<GatewayRoutes>>) -> Self {
        self.gateway = routes.map(|routes| Gateway {
            routes,
            generation: 0,
            matches: Arc::default(),
        });
        self
    }

    /// The route of an exchange, whose destination is in `namespace`.
    pub fn route(&mut self, exchange: &Exchange, namespace: &str) -> Arc<str> {
        let routes = &self.routes;
        if !routes.rules.is_empty()
            && let Some(index) = self.evaluator.first(routes.conditions(), exchange)
            && let Some((name, _)) = routes.rules.get(index)
        {
            return name.clone();
        }
        let head = &exchange.request.head;
        let (path, query) = split_query(path_and_query(head.target()));
        let method = METHODS
            .iter()
            .find(|known| known.as_bytes() == head.method());
        let method = method.copied().unwrap_or(OTHER);
        // What is no UTF-8 is in no template.
        let Ok(path) = str::from_utf8(path) else {
            return routes.unknown.clone();
        };
        let request = gateway_match::Request {
            namespace,
            host: head.host().unwrap_or_default(),
            method: head.method(),
            path,
            query,
            fields: &head.fields,
        };
        if let Some(name) = self.gateway.as_mut().and_then(|rules| rules.find(&request)) {
            return name;
        }
        if let Some(name) = routes.templates.find(method, path) {
            return name.clone();
        }
        let made = routes.automatic.as_ref().and_then(|made| {
            self.buffer.clear();
            self.buffer.push_str(method);
            self.buffer.push(' ');
            automatic(&mut self.buffer, path);
            made.name(&self.buffer)
        });
        made.unwrap_or_else(|| routes.unknown.clone())
    }
}

impl Automatic {
    fn name(&self, text: &str) -> Option<Arc<str>> {
        // Every change is whole: a thread that panicked left nothing half done.
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = names.get(text) {
            return Some(name.clone());
        }
        if names.len() >= self.limit {
            return None;
        }
        let name: Arc<str> = text.into();
        names.insert(name.clone());
        Some(name)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use serde_json::json;

    use super::*;
    use crate::policy::fixture;

    fn router(section: &RoutesSection, documents: &[Value]) -> Router {
        let routes = Routes::new(section, documents, false).unwrap().unwrap();
        Router::new(Arc::new(routes))
    }

    #[track_caller]
    fn check(router: &mut Router, request: &str, expected: &str) {
        let request = format!("{request} HTTP/1.1\r\nhost: h\r\n\r\n");
        let exchange = fixture::exchange(request, "HTTP/1.1 200 X\r\n\r\n");
        assert_eq!(&*router.route(&exchange, "shop"), expected);
    }

    fn rule(value: &str, condition: &str) -> RouteRule {
        RouteRule {
            value: value.to_owned(),
            condition: condition.to_owned(),
        }
    }

    #[test]
    fn rules_then_templates_then_paths() {
        let section = RoutesSection {
            rules: vec![
                rule(
                    "health",
                    "request.url_path == '/healthz' && request.method == 'GET'",
                ),
                rule(
                    "echo",
                    "request.url_path == '/echo' && request.method == 'POST'",
                ),
            ],
            ..RoutesSection::default()
        };
        let documents = [json!({"paths": {"/orders/{id}": {"get": {}}}})];
        let mut plain = router(&section, &documents);
        check(&mut plain, "GET /healthz?x=1", "health");
        check(&mut plain, "POST /echo", "echo");
        check(&mut plain, "POST /healthz", "unknown");
        check(&mut plain, "GET /orders/7", "GET /orders/{id}");
        check(&mut plain, "GET http://h/orders/7", "GET /orders/{id}");
        let section = RoutesSection {
            automatic: true,
            ..section
        };
        let mut made = router(&section, &documents);
        check(&mut made, "POST /orders/7", "POST /orders/{id}");
        check(&mut made, "FROB /a/7b", "_OTHER /a/{id}");
        check(&mut made, "POST /echo", "echo");
    }

    #[test]
    fn paths_make_few_routes() {
        let section = RoutesSection {
            automatic: true,
            limit: NonZeroUsize::new(3).unwrap(),
            ..RoutesSection::default()
        };
        let mut made = router(&section, &[]);
        for (path, expected) in [
            ("/a", "GET /a"),
            ("/b", "GET /b"),
            ("/c", "GET /c"),
            ("/d", "unknown"),
            ("/a", "GET /a"),
        ] {
            check(&mut made, &format!("GET {path}"), expected);
        }
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        assert!(
            Routes::new(&RoutesSection::default(), &[], false)
                .unwrap()
                .is_none()
        );
        let section = RoutesSection {
            rules: vec![rule("a", "true"), rule("b", "request.")],
            ..RoutesSection::default()
        };
        let error = Routes::new(&section, &[], false).unwrap_err();
        assert!(
            error.starts_with("metrics.routes.rules.1.condition: "),
            "{error}"
        );
    }
}
