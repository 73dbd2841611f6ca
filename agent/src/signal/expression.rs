//! Conditions in the Common Expression Language (<https://cel.dev>) over an exchange, with the
//! attributes of Envoy that a socket shows
//! (<https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/advanced/attributes>).
//!
//! | attribute | type |
//! |---|---|
//! | `request.method`, `request.path`, `request.url_path`, `request.query`, `request.host`, `request.scheme`, `request.protocol` | string |
//! | `request.headers`, `response.headers` | map of lower-case names; values of one name are joined with `,` |
//! | `request.size`, `response.size`, `response.code` | int |

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use cel::objects::Map;
use cel::{Context, ExecutionError, Program, Value};

use crate::exchange::Exchange;
use crate::http::Fields;
use crate::http::target::{path_and_query, split_query};

/// Longest text of a condition. Anything longer was made by a program, and takes long to read.
const MAX_TEXT: usize = 4096;

/// A condition.
pub struct Condition {
    program: Program,
    text: Box<str>,
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl Condition {
    /// From its text.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.len() > MAX_TEXT {
            return Err(format!("longer than {MAX_TEXT} bytes"));
        }
        let program = Program::compile(text).map_err(|error| error.to_string())?;
        // Tried once, so that a name that there is not is heard of now.
        let mut nothing = Context::default();
        nothing.add_variable_from_value("request", map(Vec::new()));
        nothing.add_variable_from_value("response", map(Vec::new()));
        if let Err(ExecutionError::UndeclaredReference(name)) = program.execute(&nothing) {
            return Err(format!(
                "there is no `{name}`; there are `request` and `response`"
            ));
        }
        Ok(Self {
            program,
            text: text.into(),
        })
    }

    fn mentions(&self, word: &str) -> bool {
        self.text.contains(word)
    }
}

/// An expression that has a value: text, a number or a truth.
#[derive(Debug)]
pub struct Expression(Condition);

impl Expression {
    /// From its text.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn new(text: &str) -> Result<Self, String> {
        Condition::new(text).map(Self)
    }

    /// Its text.
    #[must_use]
    pub const fn text(&self) -> &str {
        &self.0.text
    }
}

/// Evaluates conditions. Functions are set up once.
pub struct Evaluator {
    root: Context<'static, 'static>,
    /// Some condition looks at header fields.
    has_headers: bool,
}

impl fmt::Debug for Evaluator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Evaluator").finish_non_exhaustive()
    }
}

impl Evaluator {
    /// For these conditions.
    #[must_use]
    pub fn new<'a>(mut conditions: impl Iterator<Item = &'a Condition>) -> Self {
        Self {
            root: Context::default(),
            has_headers: conditions.any(|condition| condition.mentions("headers")),
        }
    }

    /// For whatever comes.
    #[must_use]
    pub fn of_any() -> Self {
        Self {
            root: Context::default(),
            has_headers: true,
        }
    }

    /// The value of an expression. `None`: it has none, or one that is no text.
    #[must_use]
    pub fn value(&self, expression: &Expression, exchange: &Exchange) -> Option<String> {
        let has_headers = expression.0.mentions("headers");
        let mut scope = self.root.new_inner_scope();
        scope.add_variable_from_value("request", request(exchange, has_headers));
        scope.add_variable_from_value("response", response(exchange, has_headers));
        match expression.0.program.execute(&scope).ok()? {
            Value::String(text) => Some((*text).clone()),
            Value::Int(number) => Some(number.to_string()),
            Value::UInt(number) => Some(number.to_string()),
            Value::Bool(truth) => Some(truth.to_string()),
            _ => None,
        }
    }

    /// The index of the first condition that holds. One that cannot be evaluated (it asks for a
    /// header that is not there) does not hold, as in Envoy.
    pub fn first<'a>(
        &self,
        conditions: impl Iterator<Item = &'a Condition>,
        exchange: &Exchange,
    ) -> Option<usize> {
        let mut scope = self.root.new_inner_scope();
        scope.add_variable_from_value("request", request(exchange, self.has_headers));
        scope.add_variable_from_value("response", response(exchange, self.has_headers));
        let mut conditions = conditions;
        conditions.position(|condition| {
            matches!(condition.program.execute(&scope), Ok(Value::Bool(true)))
        })
    }
}

fn text(bytes: &[u8]) -> Value {
    Value::String(Arc::new(String::from_utf8_lossy(bytes).into_owned()))
}

fn number(value: u64) -> Value {
    Value::Int(i64::try_from(value).unwrap_or(i64::MAX))
}

fn map(pairs: Vec<(&'static str, Value)>) -> Value {
    let pairs = pairs.into_iter();
    let map = pairs.map(|(key, value)| (key.into(), value)).collect();
    Value::Map(Map { map: Arc::new(map) })
}

fn headers(fields: &Fields) -> Value {
    let mut values: HashMap<String, Vec<u8>> = HashMap::new();
    for (name, value) in fields.iter() {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        values
            .entry(name)
            .and_modify(|all| {
                all.push(b',');
                all.extend_from_slice(value);
            })
            .or_insert_with(|| value.to_vec());
    }
    let values = values.into_iter();
    let map = values
        .map(|(name, value)| (name.into(), text(&value)))
        .collect();
    Value::Map(Map { map: Arc::new(map) })
}

fn request(exchange: &Exchange, has_headers: bool) -> Value {
    let head = &exchange.request.head;
    let path = path_and_query(head.target());
    let (url_path, query) = split_query(path);
    let mut pairs = vec![
        ("method", text(head.method())),
        ("path", text(path)),
        ("url_path", text(url_path)),
        ("query", text(query.unwrap_or_default())),
        ("host", text(head.host().unwrap_or_default())),
        ("scheme", text(exchange.scheme().unwrap_or_default())),
        (
            "protocol",
            text(format!("HTTP/{}", head.version.label()).as_bytes()),
        ),
        ("size", number(exchange.request.body.size)),
    ];
    if has_headers {
        pairs.push(("headers", headers(&head.fields)));
    }
    map(pairs)
}

fn response(exchange: &Exchange, has_headers: bool) -> Value {
    let Some(response) = &exchange.response else {
        return map(vec![("code", number(0)), ("size", number(0))]);
    };
    let mut pairs = vec![
        ("code", number(u64::from(response.head.status))),
        ("size", number(response.body.size)),
    ];
    if has_headers {
        pairs.push(("headers", headers(&response.head.fields)));
    }
    map(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture;

    #[track_caller]
    fn check(condition: &str, expected: bool) {
        let exchange = fixture::exchange(
            "POST /echo?a=1 HTTP/1.1\r\nHost: echo.shop\r\nX-A: 1\r\nx-a: 2\r\n\r\n",
            "HTTP/1.1 503 X\r\nretry-after: 3\r\n\r\n",
        );
        let condition = Condition::new(condition).unwrap();
        let evaluator = Evaluator::new([&condition].into_iter());
        let found = evaluator.first([&condition].into_iter(), &exchange);
        assert_eq!(found.is_some(), expected, "{condition:?}");
    }

    #[test]
    fn attributes() {
        check(
            "request.url_path == '/echo' && request.method == 'POST'",
            true,
        );
        check(
            "request.path == '/echo?a=1' && request.query == 'a=1'",
            true,
        );
        check(
            "request.url_path.startsWith('/ech') && request.host.endsWith('.shop')",
            true,
        );
        check("request.url_path.matches('^/e[a-z]+$')", true);
        check("request.method in ['GET', 'HEAD']", false);
        check("request.headers['x-a'] == '1,2'", true);
        check("'x-b' in request.headers", false);
        check(
            "response.code >= 500 && response.headers['retry-after'] == '3'",
            true,
        );
        check(
            "request.protocol == 'HTTP/1.1' && request.scheme == 'http'",
            true,
        );
        // What cannot be evaluated does not hold.
        check("request.headers['x-b'] == '1'", false);
        check("request.nothing == 1", false);
        check("request.method", false);
    }

    #[test]
    fn values() {
        let exchange = fixture::exchange(
            "GET /a HTTP/1.1\r\nhost: h\r\nx-a: 1\r\n\r\n",
            "HTTP/1.1 200 X\r\n\r\n",
        );
        let check = |text: &str, expected: Option<&str>| {
            let found = Evaluator::of_any().value(&Expression::new(text).unwrap(), &exchange);
            assert_eq!(found.as_deref(), expected, "{text}");
        };
        check("request.host", Some("h"));
        check("request.headers['x-a'] + '!'", Some("1!"));
        check("response.code", Some("200"));
        check("request.method == 'GET'", Some("true"));
        check("request.headers['x-b']", None);
        check("request.headers", None);
    }

    #[test]
    fn what_is_no_condition_is_refused() {
        for text in [
            "request.method ==",
            "source.ip == '1'",
            &"1 == 1 || ".repeat(1000),
        ] {
            assert!(Condition::new(text).is_err(), "{text}");
        }
    }
}
