//! Random bytes from the kernel, for keys and seeds.

use rustix::rand::{GetRandomFlags, getrandom};

/// Fills `buffer`. A kernel that refuses (a seccomp filter without getrandom) leaves what time and address layout give.
pub(super) fn fill(buffer: &mut [u8]) {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match getrandom(&mut *rest, GetRandomFlags::empty()) {
            Ok(n) if n > 0 => filled += n,
            Err(rustix::io::Errno::INTR) => {}
            _ => return weak(rest),
        }
    }
}

fn weak(buffer: &mut [u8]) {
    use std::hash::{BuildHasher, Hasher};
    // The standard library's hash keys: random too, by its own means.
    let keys = std::collections::hash_map::RandomState::new();
    for (i, chunk) in buffer.chunks_mut(8).enumerate() {
        let mut hasher = keys.build_hasher();
        hasher.write_usize(i);
        chunk.copy_from_slice(&hasher.finish().to_le_bytes()[..chunk.len()]);
    }
}

/// A seed for a fast generator.
pub(super) fn seed() -> u64 {
    let mut bytes = [0; 8];
    fill(&mut bytes);
    u64::from_le_bytes(bytes)
}
