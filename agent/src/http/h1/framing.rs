//! How the end of a body is marked: RFC 9112 §6.3, rule by rule.

use super::ReadError;
use crate::http::{Anomalies, Fields, Method, RequestHead, ResponseHead, Version};

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framed {
    /// There is none.
    None,
    /// After this many bytes.
    Length(u64),
    /// Chunked.
    Chunked,
    /// With the connection.
    Close,
    /// There is none, and after the head the connection speaks something else: 101, or 2xx to
    /// CONNECT.
    Switched,
}

/// What else of a head matters to the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traits {
    /// Errors that were tolerated.
    pub anomalies: Anomalies,
    /// `Expect: 100-continue`.
    pub expects: bool,
    /// `Upgrade: websocket`.
    pub websocket: bool,
    /// Recipients differ in where the body ends: a transfer coding beside a length, in HTTP/1.0,
    /// or whose last is not chunked (RFC 9112 §6.1, §6.3).
    pub doubtful: bool,
}

#[derive(Default)]
struct Found {
    length: Option<u64>,
    coding: Coding,
    traits: Traits,
}

/// What `Transfer-Encoding` says.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Coding {
    #[default]
    Absent,
    Chunked,
    /// The last coding is not chunked: only the connection's end can end the body.
    Other,
}

/// How a request's body ends.
///
/// # Errors
/// When its length cannot be known (RFC 9112 §6.3 rules 4 and 5).
pub fn request(head: &RequestHead) -> Result<(Framed, Traits), ReadError> {
    let mut found = scan(&head.fields)?;
    let framed = found.framed(head.version).unwrap_or(Framed::None);
    Ok((framed, found.traits))
}

/// How a response's body ends, given the method of its request.
///
/// # Errors
/// When its length cannot be known.
pub fn response(head: &ResponseHead, method: Method) -> Result<(Framed, Traits), ReadError> {
    // Rules 1 and 2 come first: whatever the fields say does not matter.
    match (head.status, method) {
        (101, _) | (200..=299, Method::Connect) => {
            let traits = scan(&head.fields).map_or(Traits::default(), |found| found.traits);
            return Ok((Framed::Switched, traits));
        }
        (100..=199 | 204 | 304, _) | (_, Method::Head) => {
            return Ok((Framed::None, Traits::default()));
        }
        _ => {}
    }
    let mut found = scan(&head.fields)?;
    let framed = found.framed(head.version).unwrap_or(Framed::Close);
    Ok((framed, found.traits))
}

impl Found {
    fn framed(&mut self, version: Version) -> Option<Framed> {
        let odd = |found: &mut Self, anomaly| {
            found.traits.anomalies = found.traits.anomalies.with(anomaly);
        };
        if self.coding != Coding::Absent {
            if self.length.is_some() {
                odd(self, Anomalies::LENGTH_AND_CHUNKED);
            }
            if version == Version::Http10 {
                odd(self, Anomalies::ODD_CODING);
            }
        }
        self.traits.doubtful = match self.coding {
            Coding::Absent => false,
            Coding::Chunked => self.length.is_some() || version == Version::Http10,
            Coding::Other => true,
        };
        match self.coding {
            Coding::Chunked => Some(Framed::Chunked),
            Coding::Other => {
                odd(self, Anomalies::ODD_CODING);
                Some(Framed::Close)
            }
            Coding::Absent => self.length.map(|length| match length {
                0 => Framed::None,
                length => Framed::Length(length),
            }),
        }
    }
}

fn scan(fields: &Fields) -> Result<Found, ReadError> {
    let mut found = Found::default();
    for (name, value) in fields.slices() {
        // Lengths first: most fields are none of these.
        if !matches!(name.len, 6 | 7 | 14 | 17) {
            continue;
        }
        let (name, value) = (name.of(fields.buffer()), value.of(fields.buffer()));
        match name.len() {
            14 if name.eq_ignore_ascii_case(b"content-length") => length(&mut found, value)?,
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => coding(&mut found, value),
            7 if name.eq_ignore_ascii_case(b"upgrade") => {
                found.traits.websocket |=
                    list(value).any(|item| item.eq_ignore_ascii_case(b"websocket"));
            }
            6 if name.eq_ignore_ascii_case(b"expect") => {
                found.traits.expects |=
                    list(value).any(|item| item.eq_ignore_ascii_case(b"100-continue"));
            }
            _ => {}
        }
    }
    Ok(found)
}

fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|b| *b == b',').map(<[u8]>::trim_ascii)
}

/// One field, or one of several, or a list: all the same number, or the message is malformed (rule
/// 5).
fn length(found: &mut Found, value: &[u8]) -> Result<(), ReadError> {
    for item in list(value) {
        let number = decimal(item).ok_or(ReadError::Malformed)?;
        match found.length {
            None => found.length = Some(number),
            Some(known) if known == number => {
                found.traits.anomalies = found.traits.anomalies.with(Anomalies::REPEATED_LENGTH);
            }
            Some(_) => return Err(ReadError::Malformed),
        }
    }
    Ok(())
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// Only the last coding of all fields decides.
fn coding(found: &mut Found, value: &[u8]) {
    for item in list(value).filter(|item| !item.is_empty()) {
        found.coding = if item.eq_ignore_ascii_case(b"chunked") {
            Coding::Chunked
        } else if item.eq_ignore_ascii_case(b"identity") && found.coding == Coding::Absent {
            // Removed from HTTP/1.1 long ago; means that there is no coding.
            found.traits.anomalies = found.traits.anomalies.with(Anomalies::ODD_CODING);
            Coding::Absent
        } else {
            Coding::Other
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Bounds;
    use crate::http::h1::head;

    const BOUNDS: Bounds = Bounds {
        head: 65_535,
        body: 1024,
    };

    fn check_request(fields: &str, expected: Result<(Framed, Anomalies), ReadError>) {
        let text = format!("POST / HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
        let parsed = head::parse::<RequestHead>(text.as_bytes(), &BOUNDS)
            .unwrap()
            .unwrap();
        let got = request(&parsed.head).map(|(framed, traits)| (framed, traits.anomalies));
        assert_eq!(got, expected, "{fields:?}");
    }

    fn check_response(
        method: Method,
        start: &str,
        fields: &str,
        expected: Result<Framed, ReadError>,
    ) {
        let text = format!("{start}\r\n{fields}\r\n");
        let parsed = head::parse::<ResponseHead>(text.as_bytes(), &BOUNDS)
            .unwrap()
            .unwrap();
        let got = response(&parsed.head, method).map(|(framed, _)| framed);
        assert_eq!(got, expected, "{start:?} {fields:?}");
    }

    #[test]
    fn requests() {
        let none = Anomalies::default();
        check_request("", Ok((Framed::None, none)));
        check_request("Content-Length: 0\r\n", Ok((Framed::None, none)));
        check_request("content-length: 5\r\n", Ok((Framed::Length(5), none)));
        check_request("Content-Length: \t5 \r\n", Ok((Framed::Length(5), none)));
        check_request(
            "Content-Length: 18446744073709551615\r\n",
            Ok((Framed::Length(u64::MAX), none)),
        );
        for bad in [
            "18446744073709551616",
            "-1",
            "+1",
            "0x10",
            "1 2",
            "",
            "5,",
            ",",
            "5, 6",
        ] {
            check_request(
                &format!("Content-Length: {bad}\r\n"),
                Err(ReadError::Malformed),
            );
        }
        check_request(
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            Err(ReadError::Malformed),
        );
        check_request(
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            Ok((Framed::Length(5), Anomalies::REPEATED_LENGTH)),
        );
        check_request(
            "Content-Length: 5, 05\r\n",
            Ok((Framed::Length(5), Anomalies::REPEATED_LENGTH)),
        );
        check_request(
            "Transfer-Encoding: chunked\r\n",
            Ok((Framed::Chunked, none)),
        );
        check_request(
            "Transfer-Encoding: gzip, ChunkED\r\n",
            Ok((Framed::Chunked, none)),
        );
        check_request(
            "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
            Ok((Framed::Chunked, none)),
        );
        check_request(
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            Ok((Framed::Chunked, Anomalies::LENGTH_AND_CHUNKED)),
        );
        check_request(
            "Transfer-Encoding: chunked, gzip\r\n",
            Ok((Framed::Close, Anomalies::ODD_CODING)),
        );
        check_request(
            "Transfer-Encoding: identity\r\nContent-Length: 7\r\n",
            Ok((Framed::Length(7), Anomalies::ODD_CODING)),
        );
    }

    fn check_doubt(version: &str, fields: &str, expected: bool) {
        let text = format!("POST / HTTP/{version}\r\nHost: x\r\n{fields}\r\n");
        let parsed = head::parse::<RequestHead>(text.as_bytes(), &BOUNDS)
            .unwrap()
            .unwrap();
        let doubtful = request(&parsed.head).map(|(_, traits)| traits.doubtful);
        assert_eq!(doubtful, Ok(expected), "{version} {fields:?}");
    }

    #[test]
    fn where_recipients_differ() {
        let chunked = "Transfer-Encoding: chunked\r\n";
        let both = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n";
        check_doubt("1.1", "", false);
        check_doubt("1.0", "Content-Length: 5\r\n", false);
        check_doubt("1.1", chunked, false);
        check_doubt("1.0", chunked, true);
        check_doubt("1.0", both, true);
        check_doubt("1.1", both, true);
        check_doubt(
            "1.1",
            "Transfer-Encoding: xchunked\r\nContent-Length: 2\r\n",
            true,
        );
        check_doubt("1.1", "Transfer-Encoding: chunked, gzip\r\n", true);
        check_doubt(
            "1.1",
            "Transfer-Encoding: identity\r\nContent-Length: 2\r\n",
            false,
        );
    }

    #[test]
    fn responses() {
        use Method::{Connect, Head, Other};
        let ok = "HTTP/1.1 200 OK";
        check_response(Other, ok, "", Ok(Framed::Close));
        check_response(Other, ok, "Content-Length: 5\r\n", Ok(Framed::Length(5)));
        check_response(
            Other,
            ok,
            "Content-Length: x\r\n",
            Err(ReadError::Malformed),
        );
        check_response(Head, ok, "Content-Length: 5\r\n", Ok(Framed::None));
        check_response(Head, ok, "Transfer-Encoding: chunked\r\n", Ok(Framed::None));
        check_response(Connect, ok, "Content-Length: 5\r\n", Ok(Framed::Switched));
        check_response(
            Connect,
            "HTTP/1.1 407 x",
            "Content-Length: 5\r\n",
            Ok(Framed::Length(5)),
        );
        check_response(
            Other,
            "HTTP/1.1 204 No Content",
            "Content-Length: 5\r\n",
            Ok(Framed::None),
        );
        check_response(
            Other,
            "HTTP/1.1 304 Not Modified",
            "Content-Length: 5\r\n",
            Ok(Framed::None),
        );
        check_response(Other, "HTTP/1.1 100 Continue", "", Ok(Framed::None));
        check_response(Other, "HTTP/1.1 103 Early Hints", "", Ok(Framed::None));
        check_response(Other, "HTTP/1.1 101 Switching", "", Ok(Framed::Switched));
        check_response(
            Other,
            "HTTP/1.0 200 OK",
            "Transfer-Encoding: chunked\r\n",
            Ok(Framed::Chunked),
        );
    }
}
