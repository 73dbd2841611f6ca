//! PROXY protocol v1 and v2 preambles (haproxy.org, proxy-protocol.txt): passed over, the source
//! address kept.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use meshtap_common::PROXY_V2_SIGNATURE;

use crate::flow::Claim;
use crate::http::h1::{Class, classify};

const V1: &[u8] = b"PROXY ";
/// §2.1: the longest line, with CRLF.
const V1_LONGEST: usize = 107;
const V2: &[u8] = &PROXY_V2_SIGNATURE;
const V2_HEADER: usize = 16;

/// What a connection begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Preamble {
    /// No preamble.
    None,
    /// Too few bytes to know.
    Undecided,
    /// One that is whole.
    Whole {
        /// Bytes it takes.
        len: usize,
        /// The client, unless it is unknown, local to the proxy, or no internet address.
        source: Option<Claim>,
    },
    /// One that breaks the format.
    Malformed,
}

/// Class for a preamble at the beginning of a connection.
pub(crate) fn parse(bytes: &[u8]) -> Preamble {
    if bytes.starts_with(V1) {
        v1(bytes)
    } else if bytes.starts_with(V2) {
        v2(bytes)
    } else if V1.starts_with(bytes) || (bytes.len() > 2 && V2.starts_with(bytes)) {
        Preamble::Undecided
    } else {
        Preamble::None
    }
}

/// A line that breaks the format may be a request, whose method has that name.
fn v1(bytes: &[u8]) -> Preamble {
    let is_request = |line| matches!(classify(line), Class::Request | Class::OddRequest);
    let window = bytes.get(..V1_LONGEST).unwrap_or(bytes);
    let Some(end) = memchr::memchr(b'\n', window) else {
        return match window.len() < V1_LONGEST {
            true => Preamble::Undecided,
            false => Preamble::None,
        };
    };
    if bytes.get(..=end).is_some_and(is_request) {
        return Preamble::None;
    }
    let line = window.get(V1.len()..end).unwrap_or_default();
    let Some(line) = line
        .strip_suffix(b"\r")
        .and_then(|line| std::str::from_utf8(line).ok())
    else {
        return Preamble::Malformed;
    };
    let mut words = line.split(' ');
    let source = match words.next() {
        // The rest of the line is to be ignored. nginx takes more letters, too.
        Some(word) if word.starts_with("UNKNOWN") => None,
        Some("TCP4" | "TCP6") => {
            let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
            let port = words.nth(1).and_then(|word| word.parse::<u16>().ok());
            match (address, port, words.next(), words.next()) {
                (Some(address), Some(port), Some(to), None) => {
                    let client = SocketAddr::new(address, port).into();
                    let port = to.parse().ok();
                    Some(Claim { client, port })
                }
                // nginx takes what is no address for an unknown one.
                (None, Some(_), Some(_), None) => None,
                _ => return Preamble::Malformed,
            }
        }
        _ => return Preamble::Malformed,
    };
    Preamble::Whole {
        len: end + 1,
        source,
    }
}

fn v2(bytes: &[u8]) -> Preamble {
    let Some((header, rest)) = bytes.split_at_checked(V2_HEADER) else {
        return Preamble::Undecided;
    };
    let [.., version, family, high, low] = header else {
        return Preamble::Malformed;
    };
    let len = usize::from(u16::from_be_bytes([*high, *low]));
    let Some(addresses) = rest.get(..len) else {
        return Preamble::Undecided;
    };
    let port = |high: &u8, low: &u8| u16::from_be_bytes([*high, *low]);
    let ends = match (version, family) {
        // LOCAL: the proxy itself, a health check. Commands that there are not say nothing.
        (0x20 | 0x22..=0x2f, _) => None,
        (0x21, 0x11) => match addresses {
            [a, b, c, d, _, _, _, _, high, low, to_high, to_low, ..] => {
                let address = Ipv4Addr::new(*a, *b, *c, *d);
                let source = SocketAddr::from((address, port(high, low)));
                Some((source, port(to_high, to_low)))
            }
            _ => return Preamble::Malformed,
        },
        (0x21, 0x21) => match (addresses.first_chunk::<16>(), addresses.get(32..36)) {
            (Some(address), Some([high, low, to_high, to_low])) => {
                let source = SocketAddr::from((Ipv6Addr::from(*address), port(high, low)));
                Some((source, port(to_high, to_low)))
            }
            _ => return Preamble::Malformed,
        },
        // Unspecified, datagram or unix sockets: the addresses are to be ignored.
        (0x21, _) => None,
        _ => return Preamble::Malformed,
    };
    Preamble::Whole {
        len: V2_HEADER + len,
        source: ends.map(|(client, port)| Claim {
            client: client.into(),
            port: Some(port),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: Option<(usize, Option<&str>)>) {
        let got = match parse(bytes) {
            Preamble::Whole { len, source } => {
                let port = source.map(|claim| claim.port);
                // Those of the examples below.
                assert!(matches!(port, None | Some(Some(80 | 9))), "{port:?}");
                Some((len, source.map(|claim| claim.client.to_string())))
            }
            Preamble::Malformed => None,
            other => panic!("{other:?}"),
        };
        let expected = expected.map(|(len, source)| (len, source.map(str::to_owned)));
        assert_eq!(got, expected, "{bytes:?}");
        // Whatever is cut off makes it undecided, never something else.
        if let Some((len, _)) = got {
            for cut in 0..len {
                let early = parse(&bytes[..cut]);
                let short = cut < 3 && early == Preamble::None;
                assert!(early == Preamble::Undecided || short, "{cut} {early:?}");
            }
        }
    }

    fn v2(version: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let mut bytes = V2.to_vec();
        bytes.extend([version, family]);
        bytes.extend(u16::try_from(addresses.len()).unwrap().to_be_bytes());
        bytes.extend(addresses);
        bytes.extend(b"GET / HTTP/1.1\r\n");
        bytes
    }

    #[test]
    fn version_1() {
        check(
            b"PROXY TCP4 192.0.2.1 192.0.2.2 5000 80\r\nGET",
            Some((40, Some("192.0.2.1:5000"))),
        );
        check(
            b"PROXY TCP6 2001:db8::1 2001:db8::2 5000 80\r\n",
            Some((44, Some("[2001:db8::1]:5000"))),
        );
        check(b"PROXY UNKNOWN\r\nGET", Some((15, None)));
        check(b"PROXY UNKNOWN ffff:f 1 2 3\r\n", Some((28, None)));
        check(b"PROXY TCP4 192.0.2.1 192.0.2.2 5000\r\n", None);
        check(b"PROXY TCP4 x 192.0.2.2 5000 80\r\n", Some((32, None)));
        check(
            b"PROXY TCP4 999.0.2.1 192.0.2.2 5000 80\r\n",
            Some((40, None)),
        );
        check(b"PROXY UNKNOWNxyz\r\n", Some((18, None)));
        check(b"PROXY TCP4 192.0.2.1 192.0.2.2 5000 80\n", None);
        check(b"PROXY IPX 1 2 3 4\r\n", None);
    }

    #[test]
    fn version_2() {
        let four = [192, 0, 2, 1, 192, 0, 2, 2, 0x13, 0x88, 0, 80];
        check(&v2(0x21, 0x11, &four), Some((28, Some("192.0.2.1:5000"))));
        let with_options = [four.as_slice(), &[4, 0, 1, 0]].concat();
        check(
            &v2(0x21, 0x11, &with_options),
            Some((32, Some("192.0.2.1:5000"))),
        );
        let mut six = [0; 36];
        six[0] = 0xfe;
        six[15] = 7;
        six[33] = 9;
        six[35] = 9;
        check(&v2(0x21, 0x21, &six), Some((52, Some("[fe00::7]:9"))));
        check(&v2(0x20, 0x00, &[]), Some((16, None)));
        check(&v2(0x20, 0x11, &four), Some((28, None)));
        check(&v2(0x21, 0x31, &[0; 216]), Some((232, None)));
        check(&v2(0x21, 0x00, &[]), Some((16, None)));
        check(&v2(0x21, 0x11, &[1, 2, 3]), None);
        check(&v2(0x11, 0x11, &four), None);
        check(&v2(0x25, 0x11, &four), Some((28, None)));
        check(&v2(0x31, 0x11, &four), None);
    }

    #[test]
    fn none() {
        assert_eq!(parse(b"GET / HTTP/1.1\r\n"), Preamble::None);
        assert_eq!(parse(b"PUT / HTTP/1.1\r\n"), Preamble::None);
        // A method of that name.
        for request in [
            &b"PROXY /a HTTP/1.1\r\n"[..],
            b"PROXY UNKNOWN HTTP/1.1\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 5000 HTTP/1.0\n",
            &[b"PROXY /".as_slice(), &[b'x'; 200]].concat(),
        ] {
            assert_eq!(parse(request), Preamble::None, "{}", request.escape_ascii());
        }
        assert_eq!(parse(b"\r\nGET / HTTP/1.1\r\n"), Preamble::None);
    }
}
