//! The certificates of a TLS 1.3 handshake (RFC 8446 §4), from its messages in clear.

use std::sync::Arc;

use pki_types::CertificateDer;

use crate::flow::{CgroupId, Direction, Offset, Secured};

/// Types of messages.
const CERTIFICATE: u8 = 11;
const FINISHED: u8 = 20;
/// Compressed (RFC 8879): not read.
const COMPRESSED_CERTIFICATE: u8 = 25;

/// Bytes of one message that are kept: chains of certificates have some kilobytes, and rustls takes
/// no longer message than this.
const LONGEST: usize = 64 * 1024;
/// A SPIFFE id has at most so many bytes (SPIFFE-ID §2.3).
const LONGEST_ID: usize = 2048;

/// A handshake that is not over.
#[derive(Debug, Default)]
pub(crate) struct Handshake {
    ways: [Way; 2],
}

/// One direction.
#[derive(Debug, Default)]
struct Way {
    /// The beginning of a message.
    pending: Vec<u8>,
    next: u64,
    /// Something is missing, or cannot be read.
    is_broken: bool,
    is_over: bool,
    certificate: Option<Certificate>,
}

/// What an end has shown. A client without a certificate shows an empty list.
#[derive(Debug)]
struct Certificate {
    is_there: bool,
    id: Option<Arc<str>>,
}

impl Handshake {
    /// Takes bytes of a direction's messages. Gives what the handshake proves, once both directions
    /// are over and whole.
    pub(crate) fn range(
        &mut self,
        direction: Direction,
        offset: Offset,
        bytes: &[u8],
    ) -> Option<Secured> {
        let [ingress, egress] = &mut self.ways;
        match direction {
            Direction::Ingress => ingress.take(offset, bytes),
            Direction::Egress => egress.take(offset, bytes),
        }
        if !ingress.is_over || !egress.is_over {
            return None;
        }
        let shown = |way: &Way| way.certificate.as_ref().is_some_and(|one| one.is_there);
        let (peer, own) = (shown(ingress), shown(egress));
        // One that goes on from an earlier one (RFC 8446 §2.2) shows none at all.
        (peer || own).then(|| {
            let peer = ingress.certificate.as_ref();
            Secured {
                mtls: shown(ingress) && own,
                peer: peer.and_then(|one| one.id.clone()),
                by: CgroupId(0),
            }
        })
    }

    /// Nothing more comes of it.
    pub(crate) fn is_over(&self) -> bool {
        let is_over = |way: &Way| way.is_over || way.is_broken;
        self.ways.iter().all(is_over)
    }

    /// Bytes held.
    pub(crate) fn memory(&self) -> usize {
        let pending = self.ways.iter().map(|way| way.pending.capacity());
        size_of::<Self>() + pending.sum::<usize>()
    }
}

impl Way {
    fn take(&mut self, offset: Offset, bytes: &[u8]) {
        if self.is_broken || self.is_over {
            return;
        }
        if offset.0 != self.next {
            self.fail();
            return;
        }
        self.next += bytes.len() as u64;
        self.pending.extend_from_slice(bytes);
        while let Some((kind, length)) = head(&self.pending) {
            if length > LONGEST {
                self.fail();
                return;
            }
            let Some(body) = self.pending.get(4..4 + length) else {
                return;
            };
            match kind {
                CERTIFICATE => match certificate(body) {
                    Some(certificate) => self.certificate = Some(certificate),
                    None => self.is_broken = true,
                },
                COMPRESSED_CERTIFICATE => self.is_broken = true,
                FINISHED => self.is_over = true,
                _ => {}
            }
            if self.is_broken {
                self.fail();
                return;
            }
            self.pending.drain(..4 + length);
            if self.is_over {
                self.pending = Vec::new();
                return;
            }
        }
    }

    fn fail(&mut self) {
        self.is_broken = true;
        self.pending = Vec::new();
        self.certificate = None;
    }
}

/// Type and length of a message (RFC 8446 §4).
fn head(bytes: &[u8]) -> Option<(u8, usize)> {
    let [kind, length @ ..] = bytes.first_chunk::<4>()?;
    Some((*kind, number(length)))
}

fn number(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .fold(0, |sum, byte| sum << 8 | usize::from(*byte))
}

/// Parts what has a length of `N` bytes before it.
fn vector<const N: usize>(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<N>()?;
    rest.split_at_checked(number(length))
}

/// The first certificate of the list is the end's own (RFC 8446 §4.4.2).
fn certificate(body: &[u8]) -> Option<Certificate> {
    let (_context, rest) = vector::<1>(body)?;
    let (list, rest) = vector::<3>(rest)?;
    if !rest.is_empty() {
        return None;
    }
    if list.is_empty() {
        return Some(Certificate {
            is_there: false,
            id: None,
        });
    }
    let (own, _) = vector::<3>(list)?;
    Some(Certificate {
        is_there: true,
        id: spiffe_id(own),
    })
}

/// The SPIFFE id of a certificate: its one URI (X509-SVID §2).
fn spiffe_id(certificate: &[u8]) -> Option<Arc<str>> {
    let certificate = CertificateDer::from(certificate);
    let certificate = webpki::EndEntityCert::try_from(&certificate).ok()?;
    let mut names = certificate.valid_uri_names();
    let name = names.next().filter(|_| names.next().is_none())?;
    let is_id = name.starts_with("spiffe://")
        && name.len() <= LONGEST_ID
        && name.bytes().all(|byte| byte.is_ascii_graphic());
    is_id.then(|| name.into())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::process::Command;

    use super::*;

    const ID: &str = "spiffe://cluster.local/ns/shop/sa/web";

    /// A certificate with these alternative names.
    fn der(names: &str) -> Vec<u8> {
        let names = format!("subjectAltName={names}");
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-nodes", "-subj", "/O=x"])
            .args(["-pkeyopt", "ec_paramgen_curve:P-256", "-addext", &names])
            .args(["-outform", "DER", "-keyout", "/dev/null"])
            .output()
            .expect("openssl");
        assert!(made.status.success(), "{made:?}");
        made.stdout
    }

    fn sized<const N: usize>(bytes: &[u8]) -> Vec<u8> {
        let length = (bytes.len() as u64).to_be_bytes();
        [&length[8 - N..], bytes].concat()
    }

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        [&[kind][..], &sized::<3>(body)].concat()
    }

    fn certificates(list: &[&[u8]]) -> Vec<u8> {
        let list: Vec<u8> = list
            .iter()
            .flat_map(|one| [sized::<3>(one), sized::<2>(b"")].concat())
            .collect();
        message(CERTIFICATE, &[sized::<1>(b""), sized::<3>(&list)].concat())
    }

    fn finished() -> Vec<u8> {
        message(FINISHED, &[7; 32])
    }

    /// A flight of an end with a certificate for this SPIFFE id, or with none.
    pub(crate) fn flight(id: Option<&str>) -> Vec<u8> {
        let own = id.map(|id| der(&format!("URI:{id}")));
        let list: Vec<&[u8]> = own.iter().map(Vec::as_slice).collect();
        [certificates(&list), message(15, b"signature"), finished()].concat()
    }

    /// What is proved by the flights of the other end and of the own one, however they are cut.
    #[track_caller]
    fn check(peer: &[u8], own: &[u8], expected: Option<(bool, Option<&str>)>) {
        for size in [1, 7, 100_000] {
            let mut handshake = Handshake::default();
            let mut found = None;
            for (direction, flight) in [(Direction::Egress, own), (Direction::Ingress, peer)] {
                let mut at = 0;
                for chunk in flight.chunks(size) {
                    assert_eq!(found, None);
                    found = handshake.range(direction, Offset(at), chunk);
                    at += chunk.len() as u64;
                }
            }
            let found = found.as_ref();
            let found = found.map(|secured| (secured.mtls, secured.peer.as_deref()));
            assert_eq!(found, expected, "cut to {size}");
        }
    }

    #[test]
    fn who_has_shown_a_certificate() {
        let (with, without) = (flight(Some(ID)), flight(None));
        check(&with, &with, Some((true, Some(ID))));
        check(&without, &with, Some((false, None)));
        check(&with, &without, Some((false, Some(ID))));
        // As when a session goes on from an earlier one.
        check(&finished(), &finished(), None);
        check(&without, &without, None);
    }

    #[test]
    fn names_that_are_no_spiffe_id() {
        let own = flight(Some(ID));
        let check = |names: &str, expected| {
            let peer = [certificates(&[&der(names)]), finished()].concat();
            check(&peer, &own, Some((true, expected)));
        };
        check(&format!("DNS:localhost,URI:{ID}"), Some(ID));
        check("DNS:localhost", None);
        check("URI:https://shop", None);
        check(&format!("URI:{ID},URI:{ID}2"), None);
        // Of a chain, the first is the end's own.
        let chain = [
            certificates(&[&der(&format!("URI:{ID}")), b"ca"]),
            finished(),
        ]
        .concat();
        super::tests::check(&chain, &own, Some((true, Some(ID))));
    }

    #[test]
    fn what_cannot_be_read() {
        let own = flight(Some(ID));
        check(
            &[message(CERTIFICATE, b"\x01"), finished()].concat(),
            &own,
            None,
        );
        check(
            &[message(COMPRESSED_CERTIFICATE, b"x"), finished()].concat(),
            &own,
            None,
        );
        check(&[11, 1, 0, 1], &own, None);
        // A certificate that is none names nobody.
        let odd = [certificates(&[b"no certificate"]), finished()].concat();
        check(&odd, &own, Some((true, None)));
        // A message is missing.
        let mut handshake = Handshake::default();
        assert_eq!(handshake.range(Direction::Egress, Offset(0), &own), None);
        assert_eq!(handshake.range(Direction::Ingress, Offset(5), &own), None);
        assert!(handshake.is_over());
    }
}
