//! A line of the access log as a record, for who takes records rather than lines.

use crate::exchange::Exchange;
use crate::http::target::{path_and_query, split_query};
use crate::redact::Sanitized;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The server responded with what was asked for, or with another place.
    Info,
    /// The request was wrong (4xx).
    Warn,
    /// The server was (5xx), or there was no response.
    Error,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A line, without its end.
    Text(String),
    /// Members; those without a value are omitted.
    Members(Vec<(String, Value)>),
}

/// The value of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Text.
    Text(String),
    /// A number.
    Number(i64),
}

/// A record of the access log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// How bad it is.
    pub severity: Severity,
    /// What it says, in the format that is configured.
    pub body: Body,
    /// The method.
    pub method: String,
    /// The path, without its query.
    pub path: String,
    /// The status, where there is a response.
    pub status: Option<u16>,
}

impl Record {
    pub(super) fn new(sanitized: &Sanitized, body: Body) -> Self {
        let exchange = sanitized.exchange();
        let head = &exchange.request.head;
        let path = split_query(path_and_query(head.target())).0;
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Self {
            severity: severity(exchange),
            body,
            method: text(head.method()),
            path: text(path),
            status: exchange.response.as_ref().map(|r| r.head.status),
        }
    }
}

fn severity(exchange: &Exchange) -> Severity {
    match exchange.response.as_ref().map(|r| r.head.status) {
        None | Some(500..) => Severity::Error,
        Some(400..) => Severity::Warn,
        Some(_) => Severity::Info,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::policy::fixture;
    use crate::redact::Config;
    use crate::redact::fixture::sanitize;
    use crate::signal::access_log::{AccessLogSection, Lines, Rules};

    fn record(section: &AccessLogSection, status: u16) -> Option<Record> {
        let exchange = fixture::exchange(
            "GET /a?b=1 HTTP/1.1\r\nhost: h\r\n\r\n",
            format!("HTTP/1.1 {status} X\r\n\r\n"),
        );
        let mut lines = Lines::new(Arc::new(Rules::new(section).unwrap()));
        lines.record(&sanitize(&Config::everything(), exchange))
    }

    #[test]
    fn severities() {
        let check = |status, expected| {
            let found = record(&AccessLogSection::default(), status).unwrap();
            assert_eq!((found.severity, found.status), (expected, Some(status)));
        };
        check(200, Severity::Info);
        check(304, Severity::Info);
        check(404, Severity::Warn);
        check(500, Severity::Error);
    }

    #[test]
    fn what_a_record_says_is_what_a_line_says() {
        let text = AccessLogSection {
            text: Some("%REQ(:METHOD)% %REQ(nothing)% \"%RESPONSE_CODE%\"".to_owned()),
            filter: Some("response.code != 404".to_owned()),
            ..AccessLogSection::default()
        };
        let found = record(&text, 200).unwrap();
        assert_eq!(found.body, Body::Text("GET - \"200\"".to_owned()));
        assert_eq!((&*found.method, &*found.path), ("GET", "/a"));
        assert_eq!(record(&text, 404), None);
        let members = [
            ("code", "%RESPONSE_CODE%"),
            ("none", "%ROUTE_NAME%"),
            ("path", "%REQ(:PATH)% %REQ(nothing)%"),
        ];
        let members = members.map(|(name, text)| (name.to_owned(), text.to_owned()));
        let json = AccessLogSection {
            json: BTreeMap::from(members),
            ..AccessLogSection::default()
        };
        let expected = vec![
            ("code".to_owned(), Value::Number(200)),
            ("path".to_owned(), Value::Text("/a?b=1 -".to_owned())),
        ];
        assert_eq!(record(&json, 200).unwrap().body, Body::Members(expected));
    }
}
