//! Which heads are the same.

use std::hash::{BuildHasher as _, Hash as _, Hasher as _};

use super::RequestHead;

impl RequestHead {
    /// A number that heads with the same parts have, and others do not: random, for as long as the
    /// program runs.
    #[must_use]
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hasher = crate::hash::shared().build_hasher();
        let mut add = |bytes: &[u8]| bytes.hash(&mut hasher);
        add(self.version.label().as_bytes());
        add(self.method());
        add(self.target());
        add(self.host().unwrap_or_default());
        for (name, value) in self.fields.iter() {
            add(name);
            add(value);
        }
        hasher.finish()
    }
}
