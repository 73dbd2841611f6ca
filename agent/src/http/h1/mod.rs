//! HTTP/1.0 and HTTP/1.1 (RFC 9112): heads by `httparse`, framing and bodies here.
//!
//! One [`Reader`] per direction turns bytes and gaps into messages. It knows nothing of pairing:
//! when a head is whole, the caller says how its body ends ([`framing`]), because that depends on
//! the request.
//!
//! ```text
//!            begins             head whole, body follows
//! Between ───────────► Head ───────────────────────────► Body ──┐
//!    ▲                   │ no body                         │     │ gap that the framing survives,
//!    └───────────────────┴──────────── end ◄───────────────┘◄────┘ more bytes
//!
//! Head, Body ── gap, malformed, too large ──► the caller leaves the reader and looks for the next message
//! Head ── too large ── `pass_head` ──► Long ── its end ──► Body, or Between
//! ```

mod body;
mod chunked;
mod classify;
mod cut;
mod framing;
mod head;
mod lanes;
mod lenient;
mod line;
mod long;
mod mask;
mod plain;
mod reader;

pub use body::{Damage, Reading, Wanted};
pub use classify::{Class, classify};
pub use cut::{cut_request, cut_request_line, cut_response};
pub use framing::{Framed, Traits, request, response};
pub use head::{Head, ReadError};
pub(crate) use line::is_token;
pub use reader::{Event, Reader};
