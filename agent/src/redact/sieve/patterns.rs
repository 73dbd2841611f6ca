//! What the first pass looks for: parts of names, and what well-known tokens begin with.

use Kind::{AnyCase, Jwk, Oauth, Stem, Token};

use super::Traces;

/// What a pattern says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Part of a name.
    Stem,
    /// That too, and the text speaks of OAuth.
    Oauth,
    /// The member that every JSON Web Key has (RFC 7517 §4.1).
    Jwk,
    /// [`super::super::known`] looks at what follows. It is written in one way.
    Token,
    /// The same, in capitals or not.
    AnyCase,
}

/// A text that is searched for without case; of it, the three bytes from the given one on are
/// looked up in the tables: its window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pattern(pub(super) &'static str, pub(super) usize, pub(super) Kind);

/// In every default name, however its words are joined, there is one of these stems, or
/// [`SHORTEST`].
///
/// Windows and groups were chosen by simulated annealing, so that few places in JSON and in
/// documentation look like one of a group: 1.1 %, of which half are one.
#[rustfmt::skip]
const GROUPS: [&[Pattern]; 15] = [
    &[
        Pattern("cvc", 0, Stem), Pattern("csc", 0, Stem), Pattern("cooki", 0, Stem),
        Pattern("hmac", 0, Stem), Pattern("social", 2, Stem), Pattern("gho_", 1, Token),
        Pattern("ghs_", 1, Token), Pattern("ACCA", 1, Token), Pattern("hf_", 0, Token),
        Pattern("hvb.", 0, Token),
    ],
    &[
        Pattern("auth", 0, Stem), Pattern("eyJ", 0, Token), Pattern("ghu_", 1, Token),
        Pattern("1//0", 0, Token), Pattern("PMAK-", 2, Token),
    ],
    &[
        Pattern("cvv", 0, Stem), Pattern("kennw", 2, Stem), Pattern("grant_type", 3, Oauth),
        Pattern("granttype", 3, Oauth), Pattern("redirect_uri", 6, Oauth),
        Pattern("k_test_", 1, Token), Pattern("mongo", 1, Token), Pattern("podman login", 1, Token), Pattern("ntn_", 1, Token), Pattern("figd_", 2, Token),
        Pattern("sntry", 0, Token),
    ],
    &[
        Pattern("beare", 1, Stem), Pattern("secr", 1, Stem), Pattern("docker", 3, Stem),
        Pattern("card", 0, Stem), Pattern("mariadb", 4, Token), Pattern("docker login", 3, Token), Pattern("whsec_", 3, Token),
    ],
    &[
        Pattern("jwt", 0, Stem), Pattern("key", 0, Stem), Pattern("assert", 3, Stem),
        Pattern("mnemo", 2, Stem), Pattern("verif", 1, Stem), Pattern("seed", 1, Stem),
        Pattern("-----BEGIN", 6, AnyCase), Pattern("key-", 0, Token), Pattern("xkeysib-", 1, Token),
        Pattern("tskey-", 2, Token),
        Pattern("$5$", 0, Token),
    ],
    &[
        Pattern("contras", 4, Stem), Pattern("ya29.", 0, Token), Pattern("sk-", 0, Token),
        Pattern("glsa_", 2, Token), Pattern("curl ", 2, Token), Pattern("pul-", 1, Token), Pattern("gsk_", 1, Token),
    ],
    &[
        Pattern("pin", 0, Stem), Pattern("sig", 0, Stem), Pattern("ssn", 0, Stem),
        Pattern("csrf", 1, Stem), Pattern("sshpass", 0, Token), Pattern("Private-Lines", 8, Token), Pattern("xsrf", 1, Stem), Pattern("SG.", 0, Token),
        Pattern("hvs.", 1, Token),
    ],
    &[
        Pattern("otp", 0, Stem), Pattern("xapp-", 1, Token), Pattern("AIza", 0, Token),
        Pattern("pypi-", 0, Token), Pattern("_v1_", 0, Token), Pattern("shpat_", 3, Token),
        Pattern("ATATT3x", 0, Token), Pattern(":AA", 0, Token),
    ],
    &[
        Pattern("cred", 1, Stem), Pattern("basic ", 3, AnyCase), Pattern("redirecturi", 0, Oauth), Pattern("redis-cli", 0, Token), Pattern("identified", 7, AnyCase),
        Pattern("github_pat_", 4, Token), Pattern("/webhooks/", 3, Token),
        Pattern("$2b$", 1, Token), Pattern("$argon2", 2, Token),
    ],
    &[
        Pattern("phras", 1, Stem), Pattern("senha", 2, Stem), Pattern("xox", 0, Token),
        Pattern("k_live_", 0, Token), Pattern("lin_api_", 2, Token), Pattern("smbclient", 1, Token),
    ],
    &[
        Pattern("pass", 0, Stem), Pattern("sess", 0, Stem), Pattern("AKIA", 0, Token),
        Pattern("ASIA", 0, Token), Pattern("ABIA", 0, Token), Pattern("mysql", 1, Token), Pattern("SECRET-KEY-1", 0, Token),
        Pattern("$scrypt$", 2, Token),
    ],
    &[
        Pattern("tok", 0, Stem), Pattern("sid", 0, Stem), Pattern("code", 0, Stem),
        Pattern("gldt-", 0, Token), Pattern("sqlcmd", 3, Token), Pattern("dckr_pat_", 0, Token),
        Pattern("$2a$", 0, Token), Pattern("$6$", 0, Token),
    ],
    &[
        Pattern("\"kty\"", 0, Jwk), Pattern("motde", 0, Stem), Pattern("ghr_", 1, Token),
        Pattern("glrt-", 1, Token), Pattern("slack.com/", 3, Token),
        Pattern("webhookb2/", 7, Token), Pattern("@tcp(", 1, Token), Pattern("@unix(", 2, Token),
        Pattern("$2y$", 1, Token), Pattern("$y$", 0, Token),
    ],
    &[
        Pattern("cvn", 0, Stem), Pattern("ccnu", 0, Stem), Pattern("saml", 0, Stem), Pattern("conn", 1, Stem),
        Pattern("sq0", 0, Token), Pattern("dapi", 0, Token), Pattern("ldap", 1, Token),
        Pattern("thin:", 2, Token),
    ],
    &[
        Pattern("psw", 0, Stem), Pattern("psk", 0, Stem), Pattern("ghp_", 0, Token), Pattern("glpat-", 0, Token),
        Pattern("glptt-", 0, Token), Pattern("GOCSPX-", 3, Token), Pattern("npm_", 1, Token),
        Pattern("answe", 1, Stem),
        Pattern("shpss_", 3, Token), Pattern("shpca_", 0, Token), Pattern("shppa_", 0, Token),
        Pattern("rubygems_", 6, Token), Pattern("sbp_", 1, Token),
    ],
];

/// The shortest name, a group of its own. It is no part of a longer word but of `pwd` and `pword`.
const SHORTEST: &[u8; 2] = b"pw";

/// In which groups a byte may stand at one place of a window. A bit is a group.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lane {
    /// By the lower four bits of a byte.
    pub(super) low: [u8; 16],
    /// By the upper four.
    pub(super) high: [u8; 16],
    /// Where every byte may stand.
    pub(super) any: u8,
}

impl Lane {
    /// The groups of a byte, for processors that look up one at a time.
    fn groups(&self, byte: u8) -> u8 {
        let found = self.low[usize::from(byte & 15)] & self.high[usize::from(byte >> 4)];
        found | self.any
    }

    fn add(&mut self, byte: u8, group: u8) {
        self.low[usize::from(byte & 15)] |= group;
        self.high[usize::from(byte >> 4)] |= group;
    }
}

/// The lanes of the first eight groups, and of the others.
#[derive(Clone, Debug)]
pub(super) struct Tables {
    pub(super) halves: [[Lane; 3]; 2],
    /// The same for every byte: by place in the window, both halves.
    pub(super) bytes: Box<[[u16; 256]; 3]>,
}

/// Slots of the table of patterns.
const SLOTS: usize = 256;

/// Bits of the filter of windows: thirty for each window, so that few others get through.
const FILTER: usize = 4096;

/// All patterns, found by their windows.
#[derive(Clone, Debug)]
pub(super) struct Patterns {
    pub(super) tables: Tables,
    /// The bit of every window is set: most places where groups meet have none, and that is all
    /// they cost.
    filter: Box<[u64; FILTER / 64]>,
    /// Each with its window, those of one slot in a row.
    sorted: Vec<(u32, Pattern)>,
    /// Where those of a slot begin.
    slots: [u8; SLOTS + 1],
}

impl Patterns {
    pub(super) fn new() -> Self {
        let mut tables = Tables {
            halves: Default::default(),
            bytes: Box::new([[0; 256]; 3]),
        };
        let mut sorted = Vec::new();
        for (index, group) in GROUPS.iter().enumerate() {
            let (half, bit) = (&mut tables.halves[index / 8], 1 << (index % 8));
            for &pattern in *group {
                let window = window(pattern.0.as_bytes(), pattern.1).unwrap_or_default();
                for (lane, byte) in half.iter_mut().zip(window) {
                    lane.add(byte, bit);
                    if pattern.2 != Token {
                        lane.add(byte.to_ascii_uppercase(), bit);
                        lane.add(byte.to_ascii_lowercase(), bit);
                    }
                }
                let [a, b, c] = window;
                sorted.push((fold(u32::from_le_bytes([a, b, c, 0])), pattern));
            }
        }
        let [_, [first, second, third]] = &mut tables.halves;
        for (lane, byte) in [(first, SHORTEST[0]), (second, SHORTEST[1])] {
            lane.add(byte, 1 << 7);
            lane.add(byte.to_ascii_uppercase(), 1 << 7);
        }
        third.any = 1 << 7;
        for (place, table) in tables.bytes.iter_mut().enumerate() {
            for (byte, groups) in (0..=u8::MAX).zip(table) {
                let [first, others] = &tables.halves;
                *groups =
                    u16::from_le_bytes([first[place].groups(byte), others[place].groups(byte)]);
            }
        }
        let mut filter = Box::new([0; FILTER / 64]);
        for (window, _) in &sorted {
            let (word, bit) = place(*window);
            filter[word] |= bit;
        }
        sorted.sort_by_key(|(window, _)| slot(*window));
        let mut slots = [0; SLOTS + 1];
        for (index, start) in slots.iter_mut().enumerate() {
            let before = sorted.partition_point(|(window, _)| slot(*window) < index);
            // There are some hundred patterns.
            *start = u8::try_from(before).unwrap_or(u8::MAX);
        }
        Self {
            tables,
            filter,
            sorted,
            slots,
        }
    }

    /// Notes the patterns whose window begins at `at`.
    #[inline]
    pub(super) fn note(&self, text: &[u8], at: usize, traces: &mut Traces) {
        let known = match text.get(at..).and_then(<[u8]>::first_chunk) {
            Some(bytes) => self.knows(fold(u32::from_le_bytes(*bytes))),
            None => true,
        };
        if known {
            self.note_known(text, at, traces);
        }
    }

    /// It may be the window of a pattern, or begins with [`SHORTEST`].
    #[inline]
    fn knows(&self, window: u32) -> bool {
        const FIRST: u32 = u16::from_le_bytes(*SHORTEST) as u32;
        let (word, bit) = place(window);
        self.filter[word] & bit != 0 || window & 0xffff == FIRST
    }

    #[inline(never)]
    fn note_known(&self, text: &[u8], at: usize, traces: &mut Traces) {
        if let Some([a, b, c]) = window(text, at) {
            let window = fold(u32::from_le_bytes([a, b, c, 0]));
            let slot = slot(window);
            let range = usize::from(self.slots[slot])..usize::from(self.slots[slot + 1]);
            for (known, Pattern(pattern, ahead, kind)) in self.sorted.get(range).unwrap_or_default()
            {
                let start = at.wrapping_sub(*ahead);
                let is_here = || {
                    let found = text.get(start..start.wrapping_add(pattern.len()));
                    found.is_some_and(|found| found.eq_ignore_ascii_case(pattern.as_bytes()))
                };
                if *known == window && is_here() {
                    traces.note(*kind, start);
                }
            }
        }
        if is_shortest(text, at) {
            traces.note(Stem, at);
        }
    }
}

/// [`SHORTEST`] stands here, not as part of another word.
fn is_shortest(text: &[u8], at: usize) -> bool {
    let rest = text.get(at..).unwrap_or_default();
    rest.get(..2)
        .is_some_and(|pw| pw.eq_ignore_ascii_case(SHORTEST))
        && rest.get(2).is_none_or(|next| {
            !next.is_ascii_alphabetic() || matches!(next, b'd' | b'D' | b'o' | b'O')
        })
}

fn window(text: &[u8], at: usize) -> Option<[u8; 3]> {
    text.get(at..)?.first_chunk().copied()
}

/// The first three of four bytes without case; some other bytes become equal besides letters.
#[inline]
const fn fold(bytes: u32) -> u32 {
    bytes & 0xff_ffff | 0x20_2020
}

/// An odd constant from the golden ratio spreads every bit upwards.
#[inline]
const fn mixed(window: u32) -> u32 {
    window.wrapping_mul(0x9e37_79b9)
}

fn slot(window: u32) -> usize {
    (mixed(window) >> 24) as usize
}

/// The word and the bit of a window in the filter.
#[inline]
const fn place(window: u32) -> (usize, u64) {
    let hash = mixed(window) >> (u32::BITS - FILTER.trailing_zeros());
    (hash as usize / 64, 1 << (hash % 64))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Every pattern, and how long it is.
    pub(in super::super) fn all() -> impl Iterator<Item = Pattern> {
        GROUPS.iter().flat_map(|group| group.iter().copied())
    }

    #[test]
    fn every_window_is_in_its_pattern() {
        for Pattern(text, ahead, _) in all() {
            assert!(window(text.as_bytes(), ahead).is_some(), "{text}");
        }
        assert!(all().count() < usize::from(u8::MAX));
    }
}
