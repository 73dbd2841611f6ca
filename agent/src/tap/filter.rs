//! Which exchanges are shown. Kinds of filter narrow each other; values of one kind widen it.

use std::ops::RangeInclusive;
use std::str::FromStr;

use super::pattern::{HostPattern, PathPattern};
use crate::exchange::Exchange;
use crate::flow::Side;
use crate::http::status;

/// The filters of one command. An empty list lets everything pass.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// A port of either end, or one that a PROXY line names.
    pub ports: Vec<u16>,
    /// The process of the recorded socket; one that is not known never matches.
    pub pids: Vec<u32>,
    /// The request's host.
    pub hosts: Vec<HostPattern>,
    /// The request's path.
    pub paths: Vec<PathPattern>,
    /// The request's method, compared without case.
    pub methods: Vec<String>,
    /// The response's status.
    pub statuses: Vec<StatusSet>,
    /// The side that the recorded socket is on.
    pub side: Option<Side>,
}

impl Filter {
    /// Whether an exchange passes everything but `pids`.
    #[must_use]
    pub fn accepts(&self, exchange: &Exchange) -> bool {
        let head = &exchange.request.head;
        let peers = &exchange.peers;
        any(&self.ports, |port| peers.ports().any(|end| end == *port))
            && self.side.is_none_or(|side| side == exchange.peers.side)
            && any(&self.methods, |m| {
                m.as_bytes().eq_ignore_ascii_case(head.method())
            })
            && any(&self.statuses, |set| {
                set.contains(exchange.response.as_ref().map(|r| r.head.status))
            })
            && any(&self.paths, |pattern| pattern.matches(head.target()))
            && any(&self.hosts, |pattern| {
                head.host().is_some_and(|host| pattern.matches(host))
            })
    }

    /// Whether the process passes.
    #[must_use]
    pub fn accepts_pid(&self, pid: Option<u32>) -> bool {
        any(&self.pids, |wanted| pid == Some(*wanted))
    }
}

fn any<T>(values: &[T], matches: impl FnMut(&T) -> bool) -> bool {
    values.is_empty() || values.iter().any(matches)
}

/// A value of `--status`: `200`, `4xx`, `400-499`, or `none` for exchanges without a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatusSet {
    /// Codes, both ends included.
    Codes(RangeInclusive<u16>),
    /// No response started.
    NoResponse,
}

impl StatusSet {
    pub(crate) fn contains(&self, status: Option<u16>) -> bool {
        match (self, status) {
            (Self::Codes(range), Some(code)) => range.contains(&code),
            (Self::NoResponse, None) => true,
            _ => false,
        }
    }
}

impl FromStr for StatusSet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self::NoResponse);
        }
        status::range(text).map(Self::Codes).ok_or_else(|| {
            format!(
                "`{text}` is no status that a response can have: three digits, or a class from 1xx \
                 to 5xx; write for example 200, 4xx, 400-499 or none"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tap::sample;

    fn parse<T: FromStr<Err: std::fmt::Debug>>(text: &str) -> Vec<T> {
        vec![text.parse().expect("valid")]
    }

    #[track_caller]
    fn check(filter: &Filter, expected: bool) {
        assert_eq!(filter.accepts(&sample::exchange()), expected, "{filter:?}");
    }

    #[test]
    fn each_kind() {
        let none = Filter::default;
        check(&none(), true);
        check(
            &Filter {
                ports: vec![8080],
                ..none()
            },
            true,
        );
        check(
            &Filter {
                ports: vec![1, 40_000],
                ..none()
            },
            true,
        );
        check(
            &Filter {
                ports: vec![80],
                ..none()
            },
            false,
        );
        check(
            &Filter {
                hosts: parse("shop.example"),
                ..none()
            },
            true,
        );
        check(
            &Filter {
                hosts: parse("*.example"),
                ..none()
            },
            true,
        );
        check(
            &Filter {
                hosts: parse("other"),
                ..none()
            },
            false,
        );
        check(
            &Filter {
                paths: parse("/cart"),
                ..none()
            },
            true,
        );
        check(
            &Filter {
                paths: parse("/x"),
                ..none()
            },
            false,
        );
        check(
            &Filter {
                methods: vec!["post".into()],
                ..none()
            },
            true,
        );
        check(
            &Filter {
                methods: vec!["GET".into()],
                ..none()
            },
            false,
        );
        check(
            &Filter {
                statuses: parse("2xx"),
                ..none()
            },
            true,
        );
        check(
            &Filter {
                statuses: parse("404"),
                ..none()
            },
            false,
        );
        check(
            &Filter {
                statuses: parse("none"),
                ..none()
            },
            false,
        );
        check(
            &Filter {
                side: Some(Side::Server),
                ..none()
            },
            true,
        );
        check(
            &Filter {
                side: Some(Side::Client),
                ..none()
            },
            false,
        );
        // Kinds narrow each other.
        check(
            &Filter {
                ports: vec![8080],
                methods: vec!["GET".into()],
                ..none()
            },
            false,
        );
    }

    #[test]
    fn the_ports_of_a_proxy_line() {
        let mut exchange = sample::exchange();
        let mut peers = (*exchange.peers).clone();
        peers.claimed_client = Some(
            "192.0.2.1:51234"
                .parse::<std::net::SocketAddr>()
                .expect("valid")
                .into(),
        );
        peers.claimed_port = Some(443);
        exchange.peers = std::sync::Arc::new(peers);
        for (port, expected) in [
            (51_234, true),
            (443, true),
            (40_000, true),
            (8080, true),
            (1, false),
        ] {
            let filter = Filter {
                ports: vec![port],
                ..Filter::default()
            };
            assert_eq!(filter.accepts(&exchange), expected, "{port}");
        }
    }

    #[test]
    fn no_response() {
        let mut exchange = sample::exchange();
        exchange.response = None;
        let filter = Filter {
            statuses: parse("none"),
            ..Filter::default()
        };
        assert!(filter.accepts(&exchange));
        let filter = Filter {
            statuses: parse("100-599"),
            ..Filter::default()
        };
        assert!(!filter.accepts(&exchange));
    }

    #[test]
    fn pids() {
        let filter = Filter {
            pids: vec![7, 8],
            ..Filter::default()
        };
        assert!(filter.accepts_pid(Some(8)));
        assert!(!filter.accepts_pid(Some(9)));
        assert!(!filter.accepts_pid(None));
        assert!(Filter::default().accepts_pid(None));
    }

    #[test]
    fn statuses() {
        let check = |text: &str, expected: Option<StatusSet>| {
            assert_eq!(text.parse().ok(), expected, "{text}");
        };
        check("4xx", Some(StatusSet::Codes(400..=499)));
        // As it is shown.
        check("099", Some(StatusSet::Codes(99..=99)));
        check("none", Some(StatusSet::NoResponse));
        for wrong in ["", "99", "6xx", "None"] {
            check(wrong, None);
        }
    }
}
