//! What a `meshtap` run emitted.

use std::collections::HashMap;
use std::process::ExitStatus;

use serde_json::Value;

/// Everything that one run said.
#[derive(Debug)]
pub struct Report {
    /// The exchanges, in the order they were emitted.
    pub exchanges: Vec<Exchange>,
    /// The same, as printed.
    pub lines: Vec<String>,
    /// The ledger (`--ledger-json`).
    pub ledger: Value,
    /// Standard error.
    pub stderr: String,
    /// How it ended.
    pub status: ExitStatus,
}

impl Report {
    /// A counter of the ledger, by its path (`/ledger/started`).
    ///
    /// # Panics
    /// When there is no such counter.
    #[track_caller]
    #[must_use]
    pub fn count(&self, pointer: &str) -> u64 {
        self.ledger
            .pointer(pointer)
            .and_then(Value::as_u64)
            .unwrap_or_else(|| panic!("no {pointer} in the ledger: {:#}", self.ledger))
    }

    /// The sum of all counters under a path.
    #[track_caller]
    fn sum(&self, pointer: &str) -> u64 {
        let counters = self.ledger.pointer(pointer).and_then(Value::as_object);
        let counters = counters.unwrap_or_else(|| panic!("no {pointer} in {:#}", self.ledger));
        counters.values().filter_map(Value::as_u64).sum()
    }

    /// The run ended well, and every exchange that it began is counted, in the ledger and in what
    /// it printed.
    #[track_caller]
    pub fn assert_balanced(&self) {
        assert!(self.status.success(), "{}: {}", self.status, self.stderr);
        let started = self.count("/ledger/started");
        let emitted = self.count("/ledger/emitted_complete") + self.sum("/ledger/partial");
        let lost = self.sum("/ledger/dropped");
        assert_eq!(self.count("/ledger/in_flight"), 0, "{:#}", self.ledger);
        assert_eq!(started, emitted + lost, "{:#}", self.ledger);
        assert_eq!(emitted, self.sum("/delivery"), "{:#}", self.ledger);
        let shown = self.count("/delivery/shown");
        assert_eq!(shown, self.exchanges.len() as u64, "{:#}", self.ledger);
    }

    /// Balanced, and the kernel dropped nothing, no stream had a gap, no exchange is partial, none
    /// was dropped but those that the other end of a local connection emits.
    #[track_caller]
    pub fn assert_nothing_lost(&self) {
        self.assert_balanced();
        for reason in [
            "ring_full",
            "ring_share",
            "unreadable",
            "oversize",
            "headers",
            "flow_state",
            "mptcp",
        ] {
            let pointer = format!("/kernel_drops/{reason}/segments");
            assert_eq!(self.count(&pointer), 0, "{:#}", self.ledger);
        }
        assert_eq!(self.count("/stats/gaps"), 0, "{:#}", self.ledger);
        assert_eq!(self.sum("/ledger/partial"), 0, "{:#}", self.ledger);
        assert_eq!(self.count("/delivery/output_full"), 0, "{:#}", self.ledger);
        assert_eq!(
            self.sum("/ledger/dropped"),
            self.folded(),
            "{:#}",
            self.ledger
        );
    }

    /// How many exchanges the other end of the same local connection emitted. The agent stops
    /// looking at an end once it knows that the other one emits everything: at least the first
    /// exchange of a connection is counted here, at most all.
    #[track_caller]
    #[must_use]
    pub fn folded(&self) -> u64 {
        self.count("/ledger/dropped/folded")
    }

    /// Payload bytes that the BPF programs copied out.
    #[track_caller]
    #[must_use]
    pub fn copied_bytes(&self) -> u64 {
        self.count("/stats/payload_bytes")
    }

    /// The only exchange.
    #[track_caller]
    #[must_use]
    pub fn only(&self) -> &Exchange {
        assert_eq!(self.exchanges.len(), 1, "{:#?}", self.lines);
        &self.exchanges[0]
    }

    /// How often each id was emitted, after checking that every response is its request's own: the
    /// body is the `id` of the target.
    #[track_caller]
    #[must_use]
    pub fn ids(&self) -> HashMap<&str, usize> {
        let mut ids = HashMap::new();
        for exchange in &self.exchanges {
            let target = exchange.target();
            let (_, id) = target
                .split_once("id=")
                .unwrap_or_else(|| panic!("{target}"));
            assert_eq!(exchange.status(), Some(200), "{exchange:?}");
            assert_eq!(exchange.response().text(), id, "mispaired: {exchange:?}");
            *ids.entry(id).or_default() += 1;
        }
        ids
    }

    /// Exactly these ids were emitted, each once, each with its own response.
    #[track_caller]
    pub fn assert_ids(&self, expected: &[String]) {
        let ids = self.ids();
        let twice: Vec<_> = ids
            .iter()
            .filter(|(_, count)| **count > 1)
            .take(5)
            .collect();
        assert!(twice.is_empty(), "emitted more than once: {twice:?}");
        let missing: Vec<_> = expected
            .iter()
            .filter(|id| !ids.contains_key(id.as_str()))
            .take(5)
            .collect();
        assert!(
            missing.is_empty(),
            "missing: {missing:?} in {:#}",
            self.ledger
        );
        assert_eq!(ids.len(), expected.len());
    }
}

/// One exchange: a line of JSON.
#[derive(Clone, Debug)]
pub struct Exchange(pub Value);

impl Exchange {
    /// From a line.
    ///
    /// # Panics
    /// When it is not JSON.
    #[track_caller]
    #[must_use]
    pub fn parse(line: &str) -> Self {
        let shown = || line.chars().take(200).collect::<String>();
        Self(serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {}", shown())))
    }

    fn text(&self, pointer: &str) -> Option<&str> {
        self.0.pointer(pointer).and_then(Value::as_str)
    }

    /// Any member, by its JSON pointer.
    #[must_use]
    pub fn at(&self, pointer: &str) -> Option<&Value> {
        self.0.pointer(pointer)
    }

    /// The method.
    #[track_caller]
    #[must_use]
    pub fn method(&self) -> &str {
        self.text("/method").unwrap_or_else(|| panic!("{self:?}"))
    }

    /// The request target.
    #[track_caller]
    #[must_use]
    pub fn target(&self) -> &str {
        self.text("/target").unwrap_or_else(|| panic!("{self:?}"))
    }

    /// The status, if a response began.
    #[must_use]
    pub fn status(&self) -> Option<u64> {
        self.0.get("status").and_then(Value::as_u64)
    }

    /// Which end was recorded.
    #[track_caller]
    #[must_use]
    pub fn side(&self) -> &str {
        self.text("/side").unwrap_or_else(|| panic!("{self:?}"))
    }

    /// What is missing, if anything.
    #[must_use]
    pub fn partial(&self) -> Option<&str> {
        self.text("/partial")
    }

    /// `address` and `port` of `client` or `server`.
    #[track_caller]
    #[must_use]
    pub fn end(&self, which: &str) -> (&str, u16) {
        let address = self.text(&format!("/{which}/address"));
        let port = self.0.pointer(&format!("/{which}/port"));
        let port = port.and_then(Value::as_u64).and_then(|p| p.try_into().ok());
        address.zip(port).unwrap_or_else(|| panic!("{self:?}"))
    }

    /// The process that owns the socket: pid and name.
    #[must_use]
    pub fn process(&self) -> Option<(u64, &str)> {
        let pid = self.0.pointer("/process/pid").and_then(Value::as_u64)?;
        Some((pid, self.text("/process/name")?))
    }

    /// The request.
    #[track_caller]
    #[must_use]
    pub fn request(&self) -> Message<'_> {
        Message(self.0.get("request").unwrap_or_else(|| panic!("{self:?}")))
    }

    /// The response.
    #[track_caller]
    #[must_use]
    pub fn response(&self) -> Message<'_> {
        Message(self.0.get("response").unwrap_or_else(|| panic!("{self:?}")))
    }
}

/// Header fields and body of one side of an exchange.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a>(&'a Value);

impl<'a> Message<'a> {
    /// Header fields in wire order.
    #[track_caller]
    #[must_use]
    pub fn headers(&self) -> Vec<(&'a str, &'a str)> {
        let headers = self.0.get("headers").and_then(Value::as_array);
        let headers = headers.unwrap_or_else(|| panic!("no headers: {self:?}"));
        let pair = |field: &'a Value| Some((field.get(0)?.as_str()?, field.get(1)?.as_str()?));
        headers
            .iter()
            .map(|field| pair(field).unwrap_or_else(|| panic!("not a pair of texts: {field}")))
            .collect()
    }

    /// The first value of a field.
    #[track_caller]
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a str> {
        let headers = self.headers();
        let found = headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| *value)
    }

    /// The true size of the body.
    #[track_caller]
    #[must_use]
    pub fn body_size(&self) -> u64 {
        let size = self.0.get("body_size").and_then(Value::as_u64);
        size.unwrap_or_else(|| panic!("no body_size: {self:?}"))
    }

    /// The body, which is text.
    #[track_caller]
    #[must_use]
    pub fn text(&self) -> &'a str {
        assert!(self.0.get("body_encoding").is_none(), "{self:?}");
        self.0
            .get("body")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// The body's bytes, base64 undone.
    #[track_caller]
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let text = self
            .0
            .get("body")
            .and_then(Value::as_str)
            .unwrap_or_default();
        match self.0.get("body_encoding").and_then(Value::as_str) {
            None => text.as_bytes().to_vec(),
            Some("base64") => decode_base64(text),
            Some(other) => panic!("body_encoding {other}"),
        }
    }
}

/// RFC 4648 §4.
///
/// # Panics
/// When the text is not base64.
#[track_caller]
#[must_use]
pub fn decode_base64(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => u32::from(byte - b'A'),
        b'a'..=b'z' => u32::from(byte - b'a') + 26,
        b'0'..=b'9' => u32::from(byte - b'0') + 52,
        b'+' => 62,
        b'/' => 63,
        _ => panic!("not base64: {byte:#x}"),
    };
    let text = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 3);
    for group in text.chunks(4) {
        let bits = group.iter().fold(0, |bits, &byte| bits << 6 | value(byte));
        let [_, a, b, c] = (bits << (6 * (4 - group.len()))).to_be_bytes();
        bytes.extend_from_slice(&[a, b, c][..group.len() * 6 / 8]);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::decode_base64;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(decode_base64(text), expected.as_bytes());
    }

    #[test]
    fn base64_of_every_remainder() {
        check("", "");
        check("Zg==", "f");
        check("Zm8=", "fo");
        check("Zm9v", "foo");
        check("Zm9vYmFy", "foobar");
    }
}
