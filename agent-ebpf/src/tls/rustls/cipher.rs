//! The keys of rustls, by their addresses: which socket's session each encrypts or decrypts. Never
//! the keys themselves.

use aya_ebpf::macros::map;
use aya_ebpf::maps::LruHashMap;

use crate::session::Key;

/// Two for each session; the size is set at load, and one where rustls is left alone.
const CIPHERS_MAX: u32 = 131_072;

#[map]
static RUSTLS_CIPHERS: LruHashMap<Key, Cipher> = LruHashMap::with_max_entries(CIPHERS_MAX, 0);

/// It was seen to be made, and has encrypted or decrypted nothing yet.
pub(super) const NEW: u64 = 1;
/// It is one of a handshake.
pub(super) const HANDSHAKE: u64 = 1 << 1;
/// What was seen of it contradicts itself: nothing of it is recorded any more.
pub(super) const WRONG: u64 = 1 << 2;
/// A socket sent as many bytes as it had encrypted, once: `session` may be that one's.
pub(super) const PERHAPS: u64 = 1 << 3;

/// A session, by the address of its socket, which another one may have later, and its number.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Of {
    pub(super) sock: u64,
    pub(super) id: u64,
}

impl Of {
    /// None.
    pub(super) const NONE: Self = Self { sock: 0, id: 0 };

    #[inline(always)]
    pub(super) const fn is_some(self) -> bool {
        self.id != 0
    }
}

/// One direction of a session, until its key changes.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Cipher {
    /// Its session, or none.
    pub(super) session: Of,
    /// Bytes of handshake messages so far.
    pub(super) offset: u64,
    pub(super) state: u64,
}

impl Cipher {
    /// One that is made now, of this session.
    pub(super) const fn new(session: Of) -> Self {
        Self {
            session,
            offset: 0,
            state: NEW,
        }
    }

    /// One that was made before anybody looked.
    pub(super) const UNKNOWN: Self = Self {
        session: Of::NONE,
        offset: 0,
        state: 0,
    };
}

#[inline(always)]
pub(super) fn get(key: &Key) -> Option<*mut Cipher> {
    RUSTLS_CIPHERS.get_ptr_mut(key)
}

#[inline(always)]
pub(super) fn set(key: &Key, cipher: Cipher) {
    let _full = RUSTLS_CIPHERS.insert(key, cipher, 0);
}

/// The one with this address, of which nothing need be known.
#[inline(always)]
pub(super) fn of(key: &Key) -> Option<*mut Cipher> {
    if let Some(known) = get(key) {
        return Some(known);
    }
    set(key, Cipher::UNKNOWN);
    get(key)
}
