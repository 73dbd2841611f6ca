//! Random numbers of the kernel, for keys and seeds. There is no other source: a key that follows
//! from time and addresses can be guessed.

use rustix::rand::{GetRandomFlags, getrandom};

/// The kernel gives no random numbers (a seccomp filter without `getrandom`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRandom;

/// So many random bytes.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], NoRandom> {
    let mut buffer = [0; N];
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match getrandom(&mut *rest, GetRandomFlags::empty()) {
            Ok(n) if n > 0 => filled += n,
            Err(rustix::io::Errno::INTR) => {}
            _ => return Err(NoRandom),
        }
    }
    Ok(buffer)
}
