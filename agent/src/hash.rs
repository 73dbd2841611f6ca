//! Keys of hash maps: random numbers of the operating system, never times or addresses, which
//! others can guess.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

use foldhash::SharedSeed;
use foldhash::fast::{FoldHasher, SeedableRandomState};

/// Makes the fast hashers of foldhash, each map with a key of its own.
#[derive(Clone, Debug)]
pub struct Keyed(SeedableRandomState);

/// A random number: the standard library has its hash keys from the operating system.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(0_u8)
}

/// One for all that compares what it hashed.
pub(crate) fn shared() -> &'static Keyed {
    static SHARED: OnceLock<Keyed> = OnceLock::new();
    SHARED.get_or_init(Keyed::default)
}

impl Default for Keyed {
    fn default() -> Self {
        static SHARED: OnceLock<SharedSeed> = OnceLock::new();
        let shared = SHARED.get_or_init(|| SharedSeed::from_u64(random()));
        Self(SeedableRandomState::with_seed(random(), shared))
    }
}

impl BuildHasher for Keyed {
    type Hasher = FoldHasher<'static>;

    fn build_hasher(&self) -> Self::Hasher {
        self.0.build_hasher()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_map_has_a_key_of_its_own() {
        let (a, b) = (Keyed::default(), Keyed::default());
        assert_eq!(a.hash_one(7), a.clone().hash_one(7));
        assert_ne!(a.hash_one(7), b.hash_one(7));
    }
}
