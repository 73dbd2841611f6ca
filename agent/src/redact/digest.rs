//! The keyed hash that stands for a secret: SipHash-2-4 (a pseudo-random function under a secret
//! 128-bit key), so equal values are recognised and nobody without the key can test a guess.

use std::hash::Hasher;

use siphasher::sip::SipHasher24;

use super::RedactError;
use super::edit::Coding;
use super::escape::decode_json;
use crate::http::percent::decode_percent;
use crate::policy::random;

/// What stands before the hash.
const OPEN: &[u8] = b"[redacted:";

/// Hexadecimal digits of the hash: 48 bits distinguish values, and are too few to be of use to
/// anyone else.
const DIGITS: usize = 12;

/// Bytes of a replacement.
pub(super) const REPLACEMENT: usize = OPEN.len() + DIGITS + 1;

/// Makes replacements under one key.
#[derive(Clone)]
pub(super) struct Digest(SipHasher24);

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Digest")
    }
}

impl Digest {
    /// Under `secret`, or a random key when there is none.
    pub(super) fn new(secret: Option<&str>) -> Result<Self, RedactError> {
        let key = match secret {
            Some(secret) => {
                let mut key = [0_u8; 16];
                // Two independent halves from a passphrase of any length.
                for (half, salt) in key.chunks_exact_mut(8).zip([1_u64, 2]) {
                    let mut hasher = SipHasher24::new_with_keys(salt, !salt);
                    hasher.write(secret.as_bytes());
                    half.copy_from_slice(&hasher.finish().to_le_bytes());
                }
                key
            }
            None => random::bytes()?,
        };
        Ok(Self(SipHasher24::new_with_key(&key)))
    }

    /// Appends what stands for `value`. Encoded values hash as what they mean, so one secret has
    /// one hash everywhere.
    pub(super) fn replace(&self, value: &[u8], coding: Coding, out: &mut Vec<u8>) {
        let mut hasher = self.0;
        match coding {
            Coding::Percent if value.iter().any(|b| matches!(b, b'%' | b'+')) => {
                hasher.write(&decode_percent(value));
            }
            Coding::Json if value.contains(&b'\\') => hasher.write(&decode_json(value)),
            _ => hasher.write(value),
        }
        let hash = hasher.finish();
        let mut text = [b']'; REPLACEMENT];
        text[..OPEN.len()].copy_from_slice(OPEN);
        for (digit, place) in text[OPEN.len()..][..DIGITS].iter_mut().enumerate() {
            let nibble = (hash >> (60 - 4 * digit)) & 0xf;
            *place = b"0123456789abcdef"[nibble as usize];
        }
        out.extend_from_slice(&text);
    }
}

/// The value is a replacement already.
pub(super) fn is_replacement(value: &[u8]) -> bool {
    value.len() == REPLACEMENT
        && value.starts_with(OPEN)
        && value.ends_with(b"]")
        && value[OPEN.len()..REPLACEMENT - 1]
            .iter()
            .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &str, coding: Coding, same_as: &str) {
        let digest = Digest::new(Some("key")).unwrap();
        let (mut a, mut b) = (Vec::new(), Vec::new());
        digest.replace(value.as_bytes(), coding, &mut a);
        digest.replace(same_as.as_bytes(), Coding::Plain, &mut b);
        assert!(is_replacement(&a), "{a:?}");
        assert_eq!(a, b, "{value}");
    }

    #[test]
    fn one_secret_has_one_hash_however_it_is_encoded() {
        check("s3cret", Coding::Plain, "s3cret");
        check("a%2Fb+c", Coding::Percent, "a/b c");
        check(r#"a\/b\u0020\"c"#, Coding::Json, "a/b \"c");
    }

    #[test]
    fn keys_and_values_change_the_hash() {
        let mut seen = std::collections::HashSet::new();
        for key in [Some("a"), Some("b"), None, None] {
            for value in ["x", "y"] {
                let mut out = Vec::new();
                Digest::new(key)
                    .unwrap()
                    .replace(value.as_bytes(), Coding::Plain, &mut out);
                assert!(seen.insert(out));
            }
        }
    }
}
