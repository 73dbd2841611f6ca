//! The identity of a connection, however deep it is nested.

use std::fmt;
use std::hash::{Hash, Hasher};

use super::SocketId;

/// How deep connections nest: a stream inside a TLS session, a tunnel inside it, another one inside
/// that. Real meshes need two (HBONE inside TLS, and a CONNECT or an upgrade inside); what is
/// deeper is not looked into.
pub const MAX_DEPTH: usize = 4;

/// A connection: a socket, a TLS session, or a stream inside another connection.
#[derive(Clone, Copy, Eq)]
pub struct ConnectionId {
    root: u64,
    kind: Kind,
    depth: u8,
    /// Stream identifiers, outermost first; zero from `depth` on.
    streams: [u32; MAX_DEPTH],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Socket,
    Tls,
    Rustls,
}

impl ConnectionId {
    /// The connection that a socket carries.
    #[must_use]
    pub const fn socket(socket: SocketId) -> Self {
        Self::root(socket.0, Kind::Socket)
    }

    /// A TLS session, by the number that the hook gave it. It is never used again while the hook
    /// lives.
    #[must_use]
    pub const fn tls(session: u64) -> Self {
        Self::root(session, Kind::Tls)
    }

    /// The same, where the hook reads TLS records of rustls: ztunnel's, for one.
    #[must_use]
    pub const fn rustls(session: u64) -> Self {
        Self::root(session, Kind::Rustls)
    }

    const fn root(root: u64, kind: Kind) -> Self {
        Self {
            root,
            kind,
            depth: 0,
            streams: [0; MAX_DEPTH],
        }
    }

    /// The stream with this identifier inside this connection; zero for a tunnel that takes all of
    /// it. `None`: too deep ([`MAX_DEPTH`]).
    #[must_use]
    pub fn inner(mut self, stream: u32) -> Option<Self> {
        *self.streams.get_mut(usize::from(self.depth))? = stream;
        self.depth += 1;
        Some(self)
    }

    /// It is the plaintext of a TLS session itself, not of a stream or tunnel inside one.
    #[must_use]
    pub const fn is_tls(&self) -> bool {
        matches!(self.kind, Kind::Tls | Kind::Rustls) && self.depth == 0
    }

    /// It is a TLS session of rustls, or inside one.
    #[must_use]
    pub const fn is_rustls(&self) -> bool {
        matches!(self.kind, Kind::Rustls)
    }

    /// It is a session of rustls itself: of ztunnel, whose streams are tunnels.
    #[must_use]
    pub const fn carries_tunnels(&self) -> bool {
        self.is_rustls() && self.is_tls()
    }

    /// It is what a socket carries itself.
    #[must_use]
    pub const fn is_socket(&self) -> bool {
        matches!(self.kind, Kind::Socket) && self.depth == 0
    }

    /// How many connections it is inside of.
    #[must_use]
    pub const fn depth(&self) -> usize {
        self.depth as usize
    }

    /// The identifiers of the streams that it is inside of, outermost first.
    #[must_use]
    pub fn streams(&self) -> &[u32] {
        self.streams
            .get(..usize::from(self.depth))
            .unwrap_or_default()
    }
}

impl PartialEq for ConnectionId {
    /// Most connections are sockets: what is zero in all of them is compared last.
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.root == other.root
            && self.depth == other.depth
            && self.kind == other.kind
            && (self.depth == 0 || self.streams == other.streams)
    }
}

impl Hash for ConnectionId {
    /// Most connections are sockets: their hash is that of one number.
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.root);
        if self.depth > 0 || self.kind != Kind::Socket {
            self.kind.hash(state);
            self.streams.hash(state);
        }
    }
}

impl fmt::Display for ConnectionId {
    /// `socket 12`, `tls 3`, `rustls 4/1`, `socket 12/1/0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Socket => "socket",
            Kind::Tls => "tls",
            Kind::Rustls => "rustls",
        };
        write!(f, "{kind} {}", self.root)?;
        self.streams()
            .iter()
            .try_for_each(|stream| write!(f, "/{stream}"))
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(root: ConnectionId, streams: &[u32], expected: Option<&str>) {
        let inner = streams
            .iter()
            .try_fold(root, |id, stream| id.inner(*stream));
        assert_eq!(inner.map(|id| id.to_string()).as_deref(), expected);
        if let Some(inner) = inner {
            assert_eq!(inner.streams(), streams);
            assert_eq!(inner == root, streams.is_empty());
        }
    }

    #[test]
    fn nesting() {
        let socket = ConnectionId::socket(SocketId(12));
        check(socket, &[], Some("socket 12"));
        check(ConnectionId::tls(12), &[], Some("tls 12"));
        check(ConnectionId::rustls(12), &[1], Some("rustls 12/1"));
        check(socket, &[1, 0], Some("socket 12/1/0"));
        check(
            socket,
            &[u32::MAX; MAX_DEPTH],
            Some("socket 12/4294967295/4294967295/4294967295/4294967295"),
        );
        check(socket, &[0; MAX_DEPTH + 1], None);
        assert_ne!(socket, ConnectionId::tls(12));
        assert!(ConnectionId::tls(12).is_tls() && !socket.is_tls());
        assert!(!ConnectionId::tls(12).inner(1).unwrap().is_tls());
        assert_ne!(socket.inner(0), Some(socket));
        assert_ne!(ConnectionId::rustls(12), ConnectionId::tls(12));
        assert!(ConnectionId::rustls(12).is_tls() && ConnectionId::rustls(12).is_rustls());
        let session = ConnectionId::rustls(12);
        assert!(session.carries_tunnels());
        assert!(
            !session
                .inner(1)
                .is_some_and(|inner| inner.carries_tunnels())
        );
        assert!(!ConnectionId::tls(12).carries_tunnels());
        assert!(socket.is_socket() && !socket.inner(1).unwrap().is_socket());
    }
}
