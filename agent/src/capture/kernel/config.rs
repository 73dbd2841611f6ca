//! Section `capture` of the configuration: which sockets are captured.

use std::path::PathBuf;

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

use crate::units::ByteSize;

/// Smallest ring buffer: sixteen pages, two of the largest records.
const MIN_RING: ByteSize = ByteSize::kib(64);
/// Largest: locked kernel memory; more than this is a mistake.
const MAX_RING: ByteSize = ByteSize::mib(1024);

/// What is captured.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CaptureSection {
    /// The cgroup v2 folder whose sockets are captured. Default: the root of the mounted
    /// hierarchy.
    pub cgroup: Option<PathBuf>,
    /// Which end of a connection is recorded.
    pub side: SideChoice,
    /// Only sockets with one of these ports, local or remote; at most 16. Empty: all.
    pub ports: Vec<u16>,
    /// Sockets whose SO_MARK is this are left alone. Any process with CAP_NET_ADMIN, or
    /// CAP_NET_RAW since Linux 5.17, can set one, so the default is null: none. With
    /// Kubernetes, ztunnel's sockets (1337) are known by their cgroup.
    pub ignored_mark: Option<u32>,
    /// Buffer between the kernel and the agent: a power of two from 64KiB to 1GiB. With `tls`
    /// there are two.
    #[schemars(transform = ring_sizes)]
    pub ring: ByteSize,
    /// Plaintext of TLS, where programs decrypt and encrypt it.
    pub tls: TlsSection,
}

/// Plaintext of TLS.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TlsSection {
    /// Programs and libraries with OpenSSL or BoringSSL are attached to, where the privileges
    /// allow it. Off by default: it has not been measured enough.
    pub enabled: bool,
    /// File names of programs that are attached to, with `*` for any run of characters; empty:
    /// every program.
    pub programs: Vec<String>,
    /// File names of programs that are left alone, likewise. They win.
    pub excluded_programs: Vec<String>,
    /// What is read of ztunnel, and of other programs with rustls over aws-lc, where they decrypt
    /// and encrypt. Off by default: it has not been measured enough.
    pub ztunnel: ZtunnelMode,
    /// Runtime classes of pods whose exchanges `flows` emits, with `*` for any run of characters:
    /// those in virtual machines, or with a network of their own, have no socket of this kernel.
    /// The annotation `meshtap.dev/flows` of a pod goes first.
    pub flow_runtime_classes: Vec<String>,
}

impl TlsSection {
    /// Programs are attached to.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.enabled || self.ztunnel.is_on()
    }
}

impl Default for TlsSection {
    fn default() -> Self {
        Self {
            enabled: false,
            programs: Vec::new(),
            excluded_programs: Vec::new(),
            ztunnel: ZtunnelMode::Off,
            flow_runtime_classes: ["kata*", "gvisor*", "runsc*"].map(str::to_owned).to_vec(),
        }
    }
}

/// What is read of ztunnel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ZtunnelMode {
    /// Nothing.
    #[default]
    Off,
    /// Whether exchanges of applications came over mTLS, and with whom.
    Identity,
    /// And exchanges of pods that no socket of this kernel shows.
    Flows,
}

impl ZtunnelMode {
    /// Programs are attached to.
    #[must_use]
    pub fn is_on(self) -> bool {
        self != Self::Off
    }
}

impl Default for CaptureSection {
    fn default() -> Self {
        Self {
            cgroup: None,
            side: SideChoice::Server,
            ports: Vec::new(),
            ignored_mark: None,
            ring: ByteSize(u64::from(meshtap_common::DEFAULT_RING_BYTES)),
            tls: TlsSection::default(),
        }
    }
}

/// Which end of a connection is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SideChoice {
    /// The end that requests arrive at.
    #[default]
    Server,
    /// The end that requests leave from.
    Client,
    /// Both: a request between two workloads of this node is emitted twice, once by each.
    Both,
}

impl CaptureSection {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// Names the key and what it may be.
    pub fn check(&self) -> Result<(), String> {
        if !is_ring_size(self.ring) {
            return Err("capture.ring: must be a power of two from 64KiB to 1GiB".to_owned());
        }
        if self.ports.len() > meshtap_common::MAX_PORTS {
            return Err(
                "capture.ports: at most 16 ports; leave them out to capture all".to_owned(),
            );
        }
        if self.ports.contains(&0) {
            return Err("capture.ports: 0 is no port".to_owned());
        }
        Ok(())
    }
}

/// What the ring buffer may be: the kernel takes powers of two of whole pages.
#[must_use]
pub fn is_ring_size(size: ByteSize) -> bool {
    size.0.is_power_of_two() && (MIN_RING..=MAX_RING).contains(&size)
}

/// The same for those who read the schema alone: each power of two, in bytes or with a unit.
fn ring_sizes(schema: &mut Schema) {
    let powers = |least: u64, most: u64| {
        let powers = std::iter::successors(Some(least), |power| Some(power * 2));
        powers
            .take_while(move |power| *power <= most)
            .collect::<Vec<_>>()
    };
    let bytes = powers(MIN_RING.0, MAX_RING.0);
    let text = |powers: &[u64]| {
        let texts: Vec<_> = powers.iter().map(u64::to_string).collect();
        texts.join("|")
    };
    let pattern = format!(
        "^ *(({}) *[bB]?|({}) *[kK]([iI][bB])?|({}) *[mM]([iI][bB])?|1 *[gG]([iI][bB])?) *$",
        text(&bytes),
        text(&powers(MIN_RING.0 >> 10, MAX_RING.0 >> 10)),
        text(&powers(1, MAX_RING.0 >> 20)),
    );
    let choices = serde_json::json!([{ "type": "string", "pattern": pattern }, { "enum": bytes }]);
    schema.insert("anyOf".to_owned(), choices);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The schema has the rule's words: whoever reads it alone refuses the same.
    #[test]
    fn the_schema_has_powers_of_two_alone() {
        let schema = schemars::schema_for!(CaptureSection).to_value();
        let choices = &schema["properties"]["ring"]["anyOf"];
        let pattern = choices[0]["pattern"].as_str().expect("a pattern");
        let pattern = regex::Regex::new(pattern).expect("a regular expression");
        let sizes = [
            "64KiB",
            "64k",
            "63KiB",
            "100KiB",
            "1MiB",
            "16 mib",
            "3MiB",
            "1GiB",
            "2GiB",
            "65536",
            "65537",
            "131072b",
            "1MB",
            "2048MiB",
            "1048576KiB",
            "32KiB",
            "0",
        ];
        for text in sizes {
            let size: ByteSize = text.parse().expect("a size");
            assert_eq!(pattern.is_match(text), is_ring_size(size), "{text}");
        }
        let numbers = choices[1]["enum"].as_array().expect("numbers").iter();
        let numbers: Vec<_> = numbers.filter_map(serde_json::Value::as_u64).collect();
        assert!(numbers.iter().all(|number| is_ring_size(ByteSize(*number))));
        assert_eq!(numbers.len(), 15);
    }

    #[test]
    fn what_is_refused() {
        let check = |section: CaptureSection, expected: Option<&str>| {
            let found = section.check().err();
            assert_eq!(found.is_some(), expected.is_some(), "{found:?}");
            assert!(
                found
                    .unwrap_or_default()
                    .contains(expected.unwrap_or_default())
            );
        };
        let with = CaptureSection::default;
        check(with(), None);
        for (ring, good) in [
            (64 << 10, true),
            (100_000, false),
            (2 << 30, false),
            (0, false),
        ] {
            let section = CaptureSection {
                ring: ByteSize(ring),
                ..with()
            };
            check(section, (!good).then_some("capture.ring"));
        }
        let ports = |ports: Vec<u16>| CaptureSection { ports, ..with() };
        check(ports(vec![80; 16]), None);
        check(ports(vec![80; 17]), Some("at most 16"));
        check(ports(vec![0]), Some("0 is no port"));
    }
}
