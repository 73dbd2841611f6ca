//! One term of a filter: what it asks of an exchange.

use std::str::FromStr;
use std::time::Duration;

use super::parse::Word;
use crate::clock::nanos;
use crate::flow::{Endpoint, Peers, Side};
use crate::glob::Glob;
use crate::http::h1::is_token;
use crate::http::pattern::check_whole_method;
use crate::http::{Body, Fields};
use crate::process::Process;
use crate::tap::{HostPattern, PathPattern, StatusSet};
use crate::views::shown::Shown;

/// Every kind.
pub(super) const KINDS: [&str; 13] = [
    "method", "status", "path", "host", "port", "pid", "process", "side", "proto", "is", "header",
    "body", "took",
];
/// Kinds of which every term narrows.
pub(super) const NARROWING: [&str; 4] = ["text", "body", "header", "took"];

/// What an exchange is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Term {
    Method(String),
    Status(StatusSet),
    Path(PathPattern),
    Host(HostPattern),
    Port(u16),
    Pid(u32),
    Process(Glob),
    Side(Side),
    Protocol(String),
    Header(String, Option<Glob>),
    Body(Needle),
    LongerThan(u64),
    ShorterThan(u64),
    Is(Kind),
    Text(Needle),
}

/// A value of `is:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Failed,
    Tls,
    Partial,
    Anomaly,
    Upgrade,
    Call,
}

/// Text that is searched for without case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Needle(Vec<u8>);

impl Needle {
    fn new(text: &str) -> Self {
        Self(text.to_ascii_lowercase().into_bytes())
    }

    /// Linear in the text for what people search for: a first byte that differs ends a comparison.
    fn is_in(&self, text: &[u8]) -> bool {
        let Some((first, rest)) = self.0.split_first() else {
            return true;
        };
        let upper = first.to_ascii_uppercase();
        memchr::memchr2_iter(*first, upper, text).any(|at| {
            let after = text.get(at + 1..at + 1 + rest.len());
            after.is_some_and(|after| after.eq_ignore_ascii_case(rest))
        })
    }
}

/// Terms of a word, and their kind.
///
/// # Errors
/// Says what to write.
pub(super) fn parse(word: &Word) -> Result<(&'static str, Vec<Term>), String> {
    let value = word.value.as_str();
    let Some(kind) = word.kind.as_deref() else {
        return Ok(("text", vec![Term::Text(Needle::new(value))]));
    };
    if value.is_empty() {
        return Err(format!("`{kind}:` has no value"));
    }
    Ok(match kind {
        "method" => ("method", each(value, method)?),
        "status" => ("status", each(value, |v| v.parse().map(Term::Status))?),
        "path" => ("path", each(value, |v| v.parse().map(Term::Path))?),
        "host" => ("host", each(value, |v| v.parse().map(Term::Host))?),
        "port" => ("port", each(value, |v| number(v, "port").map(Term::Port))?),
        "pid" => (
            "pid",
            each(value, |v| number(v, "process id").map(Term::Pid))?,
        ),
        "process" => ("process", each(value, |v| Ok(Term::Process(Glob::new(v))))?),
        "side" => ("side", each(value, side)?),
        "proto" => (
            "proto",
            each(value, |v| Ok(Term::Protocol(v.to_ascii_lowercase())))?,
        ),
        "is" => ("is", each(value, |v| kind_of(v).map(Term::Is))?),
        "header" => ("header", vec![header(value)?]),
        "body" => ("body", vec![Term::Body(Needle::new(value))]),
        "took" => ("took", vec![took(value)?]),
        _ => {
            return Err(format!(
                "`{kind}:` is no kind of term; text with a colon stands in quotes"
            ));
        }
    })
}

fn each(value: &str, parse: impl Fn(&str) -> Result<Term, String>) -> Result<Vec<Term>, String> {
    value.split(',').map(parse).collect()
}

fn method(text: &str) -> Result<Term, String> {
    check_whole_method(text).map(|()| Term::Method(text.to_owned()))
}

fn number<T: FromStr>(text: &str, what: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| format!("`{text}` is not a {what}"))
}

fn side(text: &str) -> Result<Term, String> {
    match text {
        "server" => Ok(Term::Side(Side::Server)),
        "client" => Ok(Term::Side(Side::Client)),
        _ => Err(format!("`{text}` is not a side; write server or client")),
    }
}

fn kind_of(text: &str) -> Result<Kind, String> {
    Ok(match text {
        "failed" => Kind::Failed,
        "tls" => Kind::Tls,
        "partial" => Kind::Partial,
        "anomaly" => Kind::Anomaly,
        "upgrade" => Kind::Upgrade,
        "call" => Kind::Call,
        _ => {
            return Err(format!(
                "`is:{text}` is unknown; write failed, tls, partial, anomaly, upgrade or call"
            ));
        }
    })
}

fn header(text: &str) -> Result<Term, String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(Glob::new(value))),
        None => (text, None),
    };
    match !name.is_empty() && name.bytes().all(is_token) {
        true => Ok(Term::Header(name.to_ascii_lowercase(), value)),
        false => Err(format!("`{name}` is not a field name")),
    }
}

fn took(text: &str) -> Result<Term, String> {
    let wrong = || format!("`took:{text}` is not understood; write for example took:>100ms");
    let time = |text: &str| -> Result<u64, String> {
        let parsed: Result<Duration, _> = humantime::parse_duration(text.trim_start_matches('='));
        parsed.map(nanos).map_err(|_| wrong())
    };
    match (text.strip_prefix('>'), text.strip_prefix('<')) {
        (Some(least), _) => time(least).map(Term::LongerThan),
        (_, Some(most)) => time(most).map(Term::ShorterThan),
        (None, None) => Err(wrong()),
    }
}

/// Both ends, and the client that a PROXY line names.
fn ends(peers: &Peers) -> impl Iterator<Item = &Endpoint> {
    [&peers.client, &peers.server]
        .into_iter()
        .chain(&peers.claimed_client)
}

impl Term {
    /// Whether an exchange is what is asked for.
    pub(super) fn matches(&self, shown: &Shown) -> bool {
        let exchange = shown.exchange();
        let head = &exchange.request.head;
        let peers = &exchange.peers;
        let response = exchange.response.as_ref();
        match self {
            Self::Method(method) => method.as_bytes().eq_ignore_ascii_case(head.method()),
            Self::Status(set) => set.contains(response.map(|r| r.head.status)),
            Self::Path(pattern) => pattern.matches(head.target()),
            Self::Host(pattern) => head.host().is_some_and(|host| pattern.matches(host)),
            Self::Port(port) => peers.ports().any(|end| end == *port),
            Self::Pid(pid) => processes(shown).any(|process| process.pid == *pid),
            Self::Process(name) => {
                processes(shown).any(|process| name.matches(process.name.as_bytes()))
            }
            Self::Side(side) => peers.side == *side,
            Self::Protocol(name) => {
                let protocol = shown.protocol();
                protocol == name || protocol.split('/').next() == Some(name)
            }
            Self::Header(name, value) => {
                fields(shown).any(|fields| has(fields, name, value.as_ref()))
            }
            Self::Body(needle) => bodies(shown).any(|body| needle.is_in(&body.bytes)),
            Self::LongerThan(least) => exchange.duration() >= *least,
            Self::ShorterThan(most) => exchange.duration() < *most,
            Self::Is(kind) => kind.matches(shown),
            Self::Text(needle) => contains(shown, needle),
        }
    }
}

impl Kind {
    fn matches(self, shown: &Shown) -> bool {
        let exchange = shown.exchange();
        let none = crate::http::Anomalies::default();
        match self {
            Self::Failed => shown.failed(),
            Self::Tls => exchange.peers.connection.is_tls(),
            Self::Partial => exchange.partial.is_some(),
            Self::Anomaly => {
                exchange.request.anomalies != none
                    || (exchange.response.as_ref()).is_some_and(|r| r.anomalies != none)
            }
            Self::Upgrade => exchange.upgrade,
            Self::Call => shown.sanitized.call().is_some(),
        }
    }
}

fn processes(shown: &Shown) -> impl Iterator<Item = &Process> {
    [&shown.process, &shown.caller]
        .into_iter()
        .filter_map(|process| process.as_deref())
}

fn fields(shown: &Shown) -> impl Iterator<Item = &Fields> {
    let exchange = shown.exchange();
    let response = exchange.response.as_ref();
    bodies(shown)
        .filter_map(|body| body.trailers.as_deref())
        .chain([&exchange.request.head.fields])
        .chain(response.map(|response| &response.head.fields))
}

fn bodies(shown: &Shown) -> impl Iterator<Item = &Body> {
    let exchange = shown.exchange();
    let response = exchange.response.as_ref();
    [&exchange.request.body]
        .into_iter()
        .chain(response.map(|response| &response.body))
}

fn has(fields: &Fields, name: &str, value: Option<&Glob>) -> bool {
    let mut values = fields.get_all(name);
    match value {
        Some(glob) => values.any(|value| glob.matches(value)),
        None => values.next().is_some(),
    }
}

fn contains(shown: &Shown, needle: &Needle) -> bool {
    let exchange = shown.exchange();
    let head = &exchange.request.head;
    needle.is_in(head.target())
        || needle.is_in(head.method())
        || head.host().is_some_and(|host| needle.is_in(host))
        || processes(shown).any(|process| needle.is_in(process.name.as_bytes()))
        || ends(&exchange.peers).any(|end| needle.is_in(end.to_string().as_bytes()))
}
