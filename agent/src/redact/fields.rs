//! Header fields: which are kept, which are hidden, and which say something that a span needs. One
//! look-up per field.

mod keys;

use bytes::Bytes;

use super::config::{Config, Mode};
use super::counts::Rule;
use super::defaults::{PLAIN_HEADERS, SECRET_HEADERS};
use super::edit::{Coding, Edits};
use super::effort::Effort;
use super::lines::ends;
use super::names::Names;
use super::query::Tools;
use super::{credentials, query};
use crate::http::Slice;
use keys::is_key;

/// Fields that later stages read even where they are not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Known {
    ForwardedFor,
    ForwardedProto,
    ExternalAddress,
    RealIp,
    PeerMetadataId,
    ContentType,
    ContentEncoding,
    UserAgent,
}

const KNOWN: [(&str, Known); 8] = [
    ("x-forwarded-for", Known::ForwardedFor),
    ("x-forwarded-proto", Known::ForwardedProto),
    ("x-envoy-external-address", Known::ExternalAddress),
    ("x-real-ip", Known::RealIp),
    ("x-envoy-peer-metadata-id", Known::PeerMetadataId),
    ("content-type", Known::ContentType),
    ("content-encoding", Known::ContentEncoding),
    ("user-agent", Known::UserAgent),
];

/// Fields that hold a URL, or a part of one.
const URLS: [&str; 16] = [
    "content-location",
    "destination",
    "hx-current-url",
    "link",
    "location",
    "origin",
    "referer",
    "refresh",
    "sourcemap",
    "x-accel-redirect",
    "x-envoy-original-path",
    "x-forwarded-uri",
    "x-forwarded-url",
    "x-original-uri",
    "x-original-url",
    "x-rewrite-url",
];

/// Fields that hold a host, before which some clients leave a user name and a password.
const HOSTS: [&str; 4] = [
    "host",
    "x-envoy-original-dst-host",
    "x-forwarded-host",
    "x-original-host",
];

/// Fields of the default list whose value may be anything.
const FREE_TEXT: [&str; 9] = [
    "content-disposition",
    "content-security-policy",
    "server",
    "user-agent",
    "via",
    "warning",
    "x-envoy-decorator-operation",
    "x-istio-attributes",
    "x-istio-auth-userinfo",
];

/// How a field's value is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Treatment {
    Keep,
    Authorization,
    Cookie,
    SetCookie,
    Challenge,
    Forwarded,
    Subprotocols,
    Secret,
    Url,
    Host,
    /// Not known: it may hold anything, and is looked through like a body.
    Any,
}

impl Treatment {
    /// The value is seen, but for secrets in it.
    const fn is_open(self) -> bool {
        matches!(
            self,
            Self::Keep | Self::Url | Self::Host | Self::Forwarded | Self::Any
        )
    }
}

#[derive(Clone, Debug)]
struct Entry {
    name: Vec<u8>,
    kept: bool,
    treatment: Treatment,
    known: Option<Known>,
}

/// The rules on fields, as a hash table.
#[derive(Clone, Debug)]
pub(super) struct Table {
    entries: Vec<Entry>,
    /// Index into `entries` plus one; zero is free. Twice as many as entries, a power of two.
    slots: Vec<u16>,
    keep_all: bool,
    /// Secrets are looked for.
    inspect: bool,
    /// And hidden.
    hide: bool,
}

/// What is read of a head besides its kept fields.
#[derive(Clone, Debug, Default)]
pub(crate) struct KnownFields {
    buffer: Bytes,
    slots: [Slice; KNOWN.len()],
    present: u16,
    /// Values of `content-encoding` after the first: all of them count.
    encodings: Vec<Slice>,
}

impl KnownFields {
    /// The first value of a field, unless it is one whose value is hidden.
    pub(crate) fn get(&self, known: Known) -> Option<&[u8]> {
        let slot = self.slots.get(known as usize)?;
        (self.present & 1 << known as u16 != 0).then(|| slot.of(&self.buffer))
    }

    /// Every value of `content-encoding`, in wire order.
    pub(super) fn encodings(&self) -> impl Iterator<Item = &[u8]> {
        let more = self.encodings.iter().map(|slot| slot.of(&self.buffer));
        self.get(Known::ContentEncoding).into_iter().chain(more)
    }

    pub(super) fn over(buffer: &Bytes) -> Self {
        Self {
            buffer: buffer.clone(),
            ..Self::default()
        }
    }

    #[inline]
    pub(super) fn note(&mut self, known: Known, value: Slice) {
        let bit = 1 << known as u16;
        if self.present & bit != 0 {
            if known == Known::ContentEncoding {
                self.encodings.push(value);
            }
        } else {
            self.present |= bit;
            self.slots[known as usize] = value;
        }
    }
}

impl Table {
    pub(super) fn new(config: &Config, names: &Names) -> Self {
        let mode = config.mode;
        let mut table = Self {
            entries: Vec::new(),
            slots: Vec::new(),
            keep_all: config.allowed_headers.iter().any(|name| name == "*"),
            inspect: mode != Mode::Off,
            hide: mode == Mode::On,
        };
        for name in &config.allowed_headers {
            table.entry(name).kept = true;
        }
        for (name, known) in KNOWN {
            table.entry(name).known = Some(known);
        }
        for name in URLS {
            table.entry(name).treatment = Treatment::Url;
        }
        for entry in &mut table.entries {
            if is_secret(names, &entry.name) {
                entry.treatment = Treatment::Secret;
            }
        }
        for name in HOSTS {
            table.entry(name).treatment = Treatment::Host;
        }
        for name in PLAIN_HEADERS {
            table.entry(name).treatment = Treatment::Keep;
        }
        for name in FREE_TEXT {
            table.entry(name).treatment = Treatment::Any;
        }
        for name in SECRET_HEADERS {
            table.entry(name).treatment = Treatment::Secret;
        }
        for (name, treatment) in [
            ("authorization", Treatment::Authorization),
            ("proxy-authorization", Treatment::Authorization),
            ("cookie", Treatment::Cookie),
            ("set-cookie", Treatment::SetCookie),
            ("www-authenticate", Treatment::Challenge),
            ("proxy-authenticate", Treatment::Challenge),
            ("forwarded", Treatment::Forwarded),
            ("sec-websocket-protocol", Treatment::Subprotocols),
        ] {
            table.entry(name).treatment = treatment;
        }
        for name in &config.headers {
            table.entry(name).treatment = Treatment::Secret;
        }
        table.index();
        table
    }

    fn entry(&mut self, name: &str) -> &mut Entry {
        let name = name.to_ascii_lowercase().into_bytes();
        let at = match self.entries.iter().position(|entry| entry.name == name) {
            Some(at) => at,
            None => {
                self.entries.push(Entry {
                    name,
                    kept: self.keep_all,
                    treatment: Treatment::Keep,
                    known: None,
                });
                self.entries.len() - 1
            }
        };
        &mut self.entries[at]
    }

    fn index(&mut self) {
        self.slots = vec![0; (self.entries.len() * 2).next_power_of_two()];
        for (i, entry) in self.entries.iter().enumerate() {
            let mut slot = hash(&entry.name) & (self.slots.len() - 1);
            while self.slots[slot] != 0 {
                slot = (slot + 1) & (self.slots.len() - 1);
            }
            // A configuration with 65 535 header names is cut there.
            self.slots[slot] = u16::try_from(i + 1).unwrap_or(0);
        }
    }

    #[inline]
    fn find(&self, name: &[u8]) -> Option<&Entry> {
        let mask = self.slots.len() - 1;
        let mut slot = hash(name) & mask;
        loop {
            let index = usize::from(*self.slots.get(slot)?);
            let entry = self.entries.get(index.checked_sub(1)?)?;
            // Most clients and all proxies write names in lower case.
            if entry.name == name || entry.name.eq_ignore_ascii_case(name) {
                return Some(entry);
            }
            slot = (slot + 1) & mask;
        }
    }

    /// What is to be done with a field. Adds what is to be hidden in its value.
    pub(super) fn look(
        &self,
        (name, value): (&[u8], &[u8]),
        tools: Tools<'_>,
        edits: &mut Edits,
    ) -> (Look, Option<Known>) {
        match self.find(name) {
            Some(entry) => {
                let known = entry
                    .known
                    .filter(|_| !self.hide || entry.treatment.is_open());
                (self.treat(entry, value, tools, edits), known)
            }
            None => (self.unknown((name, value), tools, edits), None),
        }
    }

    /// A field that no rule names.
    fn unknown(&self, (name, value): (&[u8], &[u8]), tools: Tools<'_>, edits: &mut Edits) -> Look {
        if !self.keep_all {
            return Look::Drop;
        }
        if !self.inspect {
            return Look::Keep;
        }
        if is_secret(tools.names, name) {
            edits.push_plain(value, 0..value.len(), Rule::Header);
            return Look::Keep;
        }
        Look::Search
    }

    fn treat(&self, entry: &Entry, value: &[u8], tools: Tools<'_>, edits: &mut Edits) -> Look {
        if !entry.kept {
            return Look::Drop;
        }
        if !self.inspect {
            return Look::Keep;
        }
        match entry.treatment {
            Treatment::Keep => return Look::SearchIssued,
            Treatment::Authorization => credentials::authorization(value, edits),
            Treatment::Cookie => credentials::cookie(value, edits),
            Treatment::SetCookie => credentials::set_cookie(value, edits),
            Treatment::Challenge => credentials::challenge(value, edits),
            Treatment::Forwarded => {
                credentials::forwarded(value, tools.names, edits);
                return Look::SearchIssued;
            }
            Treatment::Subprotocols => credentials::subprotocols(value, edits),
            Treatment::Host => {
                query::scan_host(value, edits);
                scan_url(value, tools, edits);
                return Look::SearchIssued;
            }
            Treatment::Secret => edits.push_plain(value, 0..value.len(), Rule::Header),
            Treatment::Url => {
                scan_url(value, tools, edits);
                return Look::SearchTokens;
            }
            Treatment::Any => return Look::Search,
        }
        Look::Keep
    }
}

/// The field's name is that of a secret.
fn is_secret(names: &Names, name: &[u8]) -> bool {
    names.matches(name, Coding::Plain) || is_key(name)
}

/// A value that is a URL; hidden whole when it costs too much.
fn scan_url(value: &[u8], tools: Tools<'_>, edits: &mut Edits) {
    let mut effort = Effort::for_len(value.len());
    query::scan_url(value, tools, &mut effort, edits);
    if effort.is_spent() {
        edits.clear();
        edits.push_plain(value, 0..value.len(), Rule::Effort);
    }
}

/// What becomes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// It is not kept.
    Drop,
    /// It is kept; all that is to be hidden in it was found.
    Keep,
    /// It is kept; tokens of known issuers may be in it. Numbers are none of cards.
    SearchIssued,
    /// It is kept; what is recognised by its form may be in it.
    SearchTokens,
    /// It is kept; it may hold anything.
    Search,
}

impl Look {
    /// More is to be looked for in the value.
    pub(super) const fn searches(self) -> bool {
        !matches!(self, Self::Drop | Self::Keep)
    }
}

/// Mixes length, first and last bytes without case.
#[inline]
fn hash(name: &[u8]) -> usize {
    const CASE: u64 = 0x2020_2020_2020_2020;
    let (head, tail) = ends(name);
    // Odd constants from the golden ratio spread every bit upwards.
    let mixed = ((head | CASE) ^ (tail | CASE).rotate_left(23) ^ name.len() as u64)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 40) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::defaults;
    use crate::redact::fixture::search;

    fn check(headers: &[&str], name: &str, value: &str, kept: bool, hidden: &[&str]) {
        let mut config = Config {
            allowed_headers: headers.iter().map(|&h| h.to_owned()).collect(),
            ..Config::default()
        };
        let tools = search().tools();
        for (name, redact) in [
            (name.to_owned(), true),
            (name.to_uppercase(), true),
            (name.to_owned(), false),
        ] {
            config.mode = if redact { Mode::On } else { Mode::Off };
            let table = Table::new(&config, tools.names);
            let mut edits = Edits::default();
            let field = (name.as_bytes(), value.as_bytes());
            let (look, _) = table.look(field, tools, &mut edits);
            assert_eq!(look != Look::Drop, kept, "{name}");
            let found: Vec<_> = edits
                .as_slice()
                .iter()
                .map(|e| &value[e.range.clone()])
                .collect();
            assert_eq!(found, if redact { hidden } else { &[] }, "{name}");
        }
    }

    #[test]
    fn the_default_list() {
        for name in defaults::HEADERS {
            check(&defaults::HEADERS, name, "", true, &[]);
        }
        for name in ["x-secret", "x-custom", "x", "", "traceparent", "x-api-key"] {
            check(&defaults::HEADERS, name, "v", false, &[]);
        }
    }

    #[test]
    fn all_fields_with_secrets_by_name() {
        for name in [
            "x-api-key",
            "x-auth-token",
            "x-amz-security-token",
            "x-csrf-token",
            "x-my-secret",
            "api_key",
            "authentication",
            "x-authentication",
            "x-api-key-2",
            "x-hub-signature-256",
            "x-goog-iap-jwt-assertion",
            "x-amz-server-side-encryption-customer-key",
            "dpop",
            "x-csrf",
            "x-sid",
            "session",
            "x-insert-key",
            "fastly-key",
            "x-rapidapi-key",
            "x_vendor_key",
        ] {
            check(&["*"], name, "v", true, &["v"]);
        }
        for name in [
            "x-custom",
            "accept",
            "idempotency-key",
            "www-authenticate",
            "sec-websocket-key",
            "surrogate-key",
            "x-cache-key",
            "x-ms-documentdb-partitionkey",
            "x-partition-key",
            "key",
            "x-key-id",
            "monkey",
        ] {
            check(&["*"], name, "v", true, &[]);
        }
    }

    #[test]
    fn treatments() {
        check(&["*"], "authorization", "Bearer x", true, &["x"]);
        check(&["*"], "proxy-authorization", "Basic x", true, &["x"]);
        check(&["*"], "cookie", "a=b", true, &["b"]);
        check(&["*"], "set-cookie", "a=b; Path=/", true, &["b"]);
        check(
            &["*"],
            "location",
            "https://u:p@h/?token=t",
            true,
            &["p", "t"],
        );
        check(&["*"], "referer", "/?token=t", true, &["t"]);
        check(&["*"], "accept", "/?token=t", true, &[]);
        check(&["*"], "host", "u:p@h:80", true, &["p"]);
        check(&["*"], "host", "h?token=t", true, &["t"]);
        check(&["*"], "forwarded", "for=h;token=t;by=b", true, &["t"]);
        check(
            &["*"],
            "forwarded",
            "for=\"[::1]:80\";proto=https",
            true,
            &[],
        );
        check(&["*"], "www-authenticate", "Basic realm=x", true, &[]);
        check(
            &["*"],
            "access-control-allow-credentials",
            "true",
            true,
            &[],
        );
        check(&["*"], "sec-websocket-protocol", "bearer, x", true, &["x"]);
    }
}
