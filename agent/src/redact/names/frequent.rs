//! Names that are written in one way nearly everywhere: what they mean is looked up.

use super::Sensitivity;

/// Longest name of the table.
const LONGEST: usize = size_of::<u128>();

/// Slots of the table: a third of them is taken at most, so that the search for a name ends soon.
const SLOTS: usize = 2048;

/// Names and words of texts that have part of a name in them, beside those of the default list.
#[rustfmt::skip]
const NAMES: [&str; 71] = [
    "accessToken", "access_token", "apiKey", "api_key", "auth_token", "cardNumber", "card_number",
    "clientSecret", "client_secret", "csrf_token", "db_password", "id_token", "max_tokens",
    "next_token", "old_password", "new_password", "page_token", "private_key", "refresh_token",
    "secretKey", "secret_key", "sessionId", "session_id", "token_type",
    "address", "assigned", "author", "authors", "authorized", "basic", "besides", "card", "cards",
    "code", "codes", "compass", "connect", "connected", "connection", "consider",
    "description", "design", "designed", "encoded", "encoding", "inside", "key", "keyboard",
    "keys", "keyword", "keywords", "monkey", "opinion", "outside", "passed", "passenger",
    "passing", "phrase", "president", "session", "shipping", "shopping", "side", "sign", "signal",
    "significant", "signed", "signup", "typing", "verified", "verify",
];

/// What names mean, by their bytes.
#[derive(Clone, Debug)]
pub(super) struct Frequent {
    slots: Box<[(u128, Sensitivity); SLOTS]>,
    taken: usize,
    /// By first letter: bit `n` for a name of `n` bytes. Most names that are looked up are none.
    lens: [u32; LETTERS],
}

/// Letters, by their lower five bits.
const LETTERS: usize = 32;

impl Default for Frequent {
    /// Without any name.
    fn default() -> Self {
        Self {
            slots: Box::new([(0, Sensitivity::Plain); SLOTS]),
            taken: 0,
            lens: [0; LETTERS],
        }
    }
}

impl Frequent {
    /// Of these names and the ones of [`NAMES`], as they are and with a capital first letter; `of`
    /// says what each means.
    pub(super) fn new<'a>(
        names: impl Iterator<Item = &'a str>,
        of: impl Fn(&[u8]) -> Sensitivity,
    ) -> Self {
        let mut all = Self::default();
        for name in names.chain(NAMES) {
            let (first, rest) = name.split_at_checked(1).unwrap_or_default();
            for name in [name.to_owned(), first.to_ascii_uppercase() + rest] {
                all.add(name.as_bytes(), of(name.as_bytes()));
            }
        }
        all
    }

    fn add(&mut self, name: &[u8], sensitivity: Sensitivity) {
        /// More are not kept, so that some slots are free.
        const MOST: usize = SLOTS / 3;
        let Some(key) = key(name).filter(|_| self.taken < MOST) else {
            return;
        };
        let mut at = slot(key);
        while let Some((known, _)) = self.slots.get(at)
            && *known != 0
            && *known != key
        {
            at = (at + 1) % SLOTS;
        }
        if let Some(place) = self.slots.get_mut(at) {
            self.taken += usize::from(place.0 == 0);
            *place = (key, sensitivity);
            self.lens[letter(name)] |= 1 << name.len();
        }
    }

    /// What a name means; nothing when it is not in the table.
    #[inline]
    pub(super) fn of(&self, name: &[u8]) -> Option<Sensitivity> {
        if name.len() > LONGEST || self.lens[letter(name)] >> name.len() & 1 == 0 {
            return None;
        }
        let key = key(name)?;
        let mut at = slot(key);
        loop {
            let (known, sensitivity) = *self.slots.get(at)?;
            if known == key {
                return Some(sensitivity);
            }
            if known == 0 {
                return None;
            }
            at = (at + 1) % SLOTS;
        }
    }
}

#[inline]
fn letter(name: &[u8]) -> usize {
    usize::from(name.first().copied().unwrap_or_default()) % LETTERS
}

/// The bytes of a short name as a number, which is not zero: the last is none.
#[inline]
fn key(name: &[u8]) -> Option<u128> {
    if name.len() > LONGEST || name.last().is_none_or(|last| *last == 0) {
        return None;
    }
    let mut bytes = [0; LONGEST];
    bytes.get_mut(..name.len())?.copy_from_slice(name);
    Some(u128::from_le_bytes(bytes))
}

#[inline]
const fn slot(key: u128) -> usize {
    // An odd constant from the golden ratio spreads every bit upwards.
    let mixed =
        (key as u64 ^ ((key >> 64) as u64).rotate_left(31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> (u64::BITS - SLOTS.trailing_zeros())) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::fixture::names;

    #[test]
    fn a_name_means_what_its_words_mean() {
        let names = names();
        let mut found = 0;
        for name in super::super::NAMES.iter().chain(&NAMES) {
            let name = name.trim_matches(['*', '=']);
            for name in [name.to_owned(), name.to_uppercase(), format!("x{name}")] {
                if let Some(known) = names.frequent.of(name.as_bytes()) {
                    assert_eq!(known, names.judged(name.as_bytes()), "{name}");
                    found += 1;
                }
            }
        }
        assert!(found > 100, "{found}");
        assert_eq!(names.frequent.of(b""), None);
        assert_eq!(names.frequent.of(&[0; 4]), None);
        assert_eq!(names.frequent.of(b"token\0"), None);
        assert_eq!(names.frequent.of(b"a_name_of_more_than_sixteen"), None);
    }
}
