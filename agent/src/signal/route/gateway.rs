//! Rules of the Gateway API: `HTTPRoute` and `GRPCRoute`
//! (<https://gateway-api.sigs.k8s.io/reference/spec/>). A rule names the route
//! `namespace/route/rule`, by its name or else its number.
//!
//! A route is asked for hosts that it lists; without any, for its services: those that it is
//! attached to (`parentRefs`) and those that it leads to (`backendRefs`).

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use regex::Regex;
use serde_json::Value;

use super::gateway_match::{Field, HostMatch, PathMatch, Request};

/// Which kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RouteKind {
    /// `HTTPRoute`
    Http,
    /// `GRPCRoute`
    Grpc,
}

/// Matches kept: each is looked at for each exchange, the last one in some microseconds.
const MAX_MATCHES: usize = 2000;
/// Longest compiled expression; a client's path is matched against it.
const REGEX_LIMIT: usize = 64 * 1024;

/// One match of one rule for one host.
#[derive(Clone, Debug)]
pub(super) struct Match {
    name: Arc<str>,
    created: i64,
    host: HostMatch,
    path: PathMatch,
    method: Option<Box<str>>,
    headers: Vec<Field>,
    query: Vec<Field>,
}

/// All rules, as the API has them.
#[derive(Debug, Default)]
pub struct GatewayRoutes {
    state: Mutex<State>,
    generation: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    objects: HashMap<(RouteKind, Box<str>), (Vec<Match>, u64)>,
    /// In the order in which they go before each other.
    ordered: Arc<[Match]>,
}

/// An object as the API has it.
#[derive(Clone, Copy, Debug)]
pub struct RouteObject<'a> {
    /// Its kind.
    pub kind: RouteKind,
    /// Its id.
    pub uid: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Seconds since 1970.
    pub created: i64,
    /// Its specification.
    pub spec: &'a Value,
}

impl GatewayRoutes {
    /// Every change is whole: a thread that panicked left nothing half done.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        let mut all: Vec<Match> = state
            .objects
            .values()
            .flat_map(|(matches, _)| matches.iter().cloned())
            .collect();
        all.sort_by(|a, b| a.precedence().cmp(&b.precedence()));
        all.truncate(MAX_MATCHES);
        state.ordered = all.into();
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// An object is so. What of it cannot be used: a reason each.
    pub fn applied(&self, object: &RouteObject<'_>, listing: u64) -> Vec<String> {
        let mut reasons = Vec::new();
        let matches = compile(object, &mut reasons);
        let key = (object.kind, object.uid.into());
        self.change(|state| {
            state.objects.insert(key, (matches, listing));
        });
        reasons
    }

    /// An object is gone.
    pub fn deleted(&self, kind: RouteKind, uid: &str) {
        self.change(|state| {
            state.objects.remove(&(kind, Box::<str>::from(uid)));
        });
    }

    /// A listing is complete: what was not in it is gone.
    pub fn listed(&self, kind: RouteKind, listing: u64) {
        self.change(|state| {
            let is_there = |of: RouteKind, seen: u64| of != kind || seen == listing;
            state
                .objects
                .retain(|(of, _), (_, seen)| is_there(*of, *seen));
        });
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(super) fn ordered(&self) -> Arc<[Match]> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.ordered.clone()
    }
}

/// The route of a request, among matches in their order.
pub(super) fn find<'a>(matches: &'a [Match], request: &Request<'_>) -> Option<&'a Arc<str>> {
    let found = matches.iter().find(|candidate| candidate.holds(request));
    found.map(|found| &found.name)
}

impl Match {
    fn holds(&self, request: &Request<'_>) -> bool {
        self.host.holds(request)
            && self.path.holds(request.path)
            && (self.method.as_ref()).is_none_or(|m| m.as_bytes() == request.method)
            && self.headers.iter().all(|field| field.is_in(request.fields))
            && self
                .query
                .iter()
                .all(|field| field.is_in_query(request.query))
    }

    /// What goes before what: the host that says more, then path, method, the number of fields and
    /// parameters, then the older object, then the name.
    fn precedence(&self) -> Precedence<'_> {
        (
            Reverse(self.host.weight()),
            Reverse(self.path.weight()),
            Reverse(self.method.is_some()),
            Reverse((self.headers.len(), self.query.len())),
            self.created,
            &self.name,
        )
    }
}

type Weight = Reverse<(u8, usize)>;

type Precedence<'a> = (
    Weight,
    Weight,
    Reverse<bool>,
    Reverse<(usize, usize)>,
    i64,
    &'a Arc<str>,
);

fn compile(object: &RouteObject<'_>, reasons: &mut Vec<String>) -> Vec<Match> {
    let spec = object.spec;
    let hosts = hosts(object);
    let mut found = Vec::new();
    for (index, rule) in list(&spec["rules"]).enumerate() {
        let rule_name = rule["name"]
            .as_str()
            .map_or_else(|| index.to_string(), str::to_owned);
        let name: Arc<str> = format!("{}/{}/{rule_name}", object.namespace, object.name).into();
        let nothing = Value::Null;
        // Without a match a rule is for everything.
        let none = list(&rule["matches"]).next().is_none().then_some(&nothing);
        for says in list(&rule["matches"]).chain(none) {
            match one(object, says, &name) {
                Ok(one) => found.extend(hosts.iter().map(|host| Match {
                    host: host.clone(),
                    ..one.clone()
                })),
                Err(reason) => reasons.push(format!("rule {rule_name}: {reason}")),
            }
        }
    }
    found
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn hosts(object: &RouteObject<'_>) -> Vec<HostMatch> {
    let names = list(&object.spec["hostnames"]).filter_map(Value::as_str);
    let named: Vec<_> = names.map(HostMatch::named).collect();
    if !named.is_empty() {
        return named;
    }
    let rules = list(&object.spec["rules"]);
    let parents = list(&object.spec["parentRefs"]);
    let parents = parents.filter(|parent| parent["kind"] == "Service");
    let backends = rules.flat_map(|rule| list(&rule["backendRefs"]));
    let backends =
        backends.filter(|backend| matches!(backend["kind"].as_str(), None | Some("Service")));
    let services = parents.chain(backends).filter_map(|reference| {
        let namespace = reference["namespace"].as_str().unwrap_or(object.namespace);
        Some((Box::from(reference["name"].as_str()?), Box::from(namespace)))
    });
    vec![HostMatch::Services(services.collect())]
}

fn one(object: &RouteObject<'_>, says: &Value, name: &Arc<str>) -> Result<Match, String> {
    let path = match object.kind {
        RouteKind::Http => http_path(&says["path"])?,
        RouteKind::Grpc => grpc_path(&says["method"])?,
    };
    let method = says["method"]
        .as_str()
        .filter(|_| object.kind == RouteKind::Http);
    Ok(Match {
        name: name.clone(),
        created: object.created,
        host: HostMatch::Any,
        path,
        method: method.map(Box::from),
        headers: fields(&says["headers"])?,
        query: fields(&says["queryParams"])?,
    })
}

fn http_path(path: &Value) -> Result<PathMatch, String> {
    let value = path["value"].as_str().unwrap_or("/");
    match path["type"].as_str().unwrap_or("PathPrefix") {
        "Exact" => Ok(PathMatch::Exact(value.into())),
        "PathPrefix" => Ok(PathMatch::prefix(value)),
        "RegularExpression" => Ok(PathMatch::Regex(regex(value)?)),
        other => Err(format!("there is no type of path `{other}`")),
    }
}

fn grpc_path(method: &Value) -> Result<PathMatch, String> {
    let (service, call) = (method["service"].as_str(), method["method"].as_str());
    let is_regex = method["type"] == "RegularExpression";
    match (service, call) {
        (None, None) => Ok(PathMatch::prefix("/")),
        (Some(service), Some(call)) if !is_regex => {
            Ok(PathMatch::Exact(format!("/{service}/{call}").into()))
        }
        (Some(service), None) if !is_regex => Ok(PathMatch::prefix(&format!("/{service}"))),
        (service, call) => {
            let part = |part: Option<&str>| match part {
                None => "[^/]+".to_owned(),
                Some(text) if is_regex => format!("(?:{text})"),
                Some(text) => regex::escape(text),
            };
            let text = format!("/{}/{}", part(service), part(call));
            Ok(PathMatch::Regex(regex(&text)?))
        }
    }
}

fn fields(value: &Value) -> Result<Vec<Field>, String> {
    let field = |field: &Value| {
        let name = field["name"].as_str().unwrap_or_default();
        let value = field["value"].as_str().unwrap_or_default();
        match field["type"].as_str().unwrap_or("Exact") {
            "Exact" => Ok(Field::exact(name, value)),
            "RegularExpression" => Ok(Field::regex(name, regex(value)?)),
            other => Err(format!("there is no type of field `{other}`")),
        }
    };
    list(value).map(field).collect()
}

/// One that has to fit the whole.
fn regex(text: &str) -> Result<Regex, String> {
    regex::RegexBuilder::new(&format!("^(?:{text})$"))
        .size_limit(REGEX_LIMIT)
        .build()
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
