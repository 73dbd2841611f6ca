//! rustls over aws-lc, such as ztunnel: TLS 1.3 records, where two functions of aws-lc decrypt and
//! encrypt them.
//!
//! ```text
//! recv(socket) ── sock_recv_length            the thread's socket
//! EVP_AEAD_CTX_zero(ctx)                      a key is made, for the session on that socket
//! EVP_AEAD_CTX_open_gather(ctx, out, …)  →    `out` holds a record that came from that socket
//! EVP_AEAD_CTX_seal(ctx, …, in, …)            `in` holds a record for the session of the key
//! send(socket) ── sock_send_length            as many bytes as were encrypted: the key is its
//! ```
//!
//! rustls makes keys while it handles what it has just received, and decrypts at once what a read
//! gave it; so a key that was seen to be made belongs to the socket that its thread received from
//! last, and every record that is decrypted has to agree. A key that is older than the agent is
//! known by the first record that it decrypts, or, where it encrypts, by a send of exactly as many
//! bytes, twice. What is encrypted before that is not recorded, and counted.
//!
//! A session is one of a socket, and so are its offsets, whatever keys it has had.

pub(crate) mod cipher;
pub(crate) mod record;
pub(crate) mod thread;

use aya_ebpf::Global;
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::programs::ProbeContext;
use meshtap_common::{EXCLUDED_ALL, TlsConfig};

use self::cipher::{Cipher, Of, PERHAPS};
use self::thread::Thread;
use crate::call;
use crate::maps::{self, SESSIONS, SOCKETS};
use crate::session::{self, FROM_START, HAS_ENDS, Key, RUSTLS, Session};
use crate::sock;

/// Programs with rustls are attached to. Set at load: with zero the verifier does not see what
/// follows.
#[unsafe(no_mangle)]
pub(crate) static IS_WANTED: Global<u8> = Global::new(0);

/// A key is made.
#[inline(always)]
pub(crate) fn created(ctx: &ProbeContext) {
    let Some(config) = maps::config() else {
        return;
    };
    if config.enabled == 0 {
        return;
    }
    let Some(cgroup) = cgroup(config) else {
        return;
    };
    let thread = bpf_get_current_pid_tgid();
    thread::follow(thread);
    let mut of = Of::NONE;
    if let Some(last) = thread::of(thread) {
        // SAFETY: an element of the map, of this thread.
        let last = unsafe { &mut *last };
        if last.rekeyed != 0 {
            of = known(last.rekeyed);
            last.rekeyed = 0;
        } else if last.sock != 0 {
            of = first_key_of(last, cgroup);
        }
    }
    cipher::set(
        &Key::new(ctx.arg(0).unwrap_or_default(), thread),
        Cipher::new(of),
    );
}

/// The cgroup of this process, if it is read.
#[inline(always)]
fn cgroup(config: &TlsConfig) -> Option<u64> {
    // A ztunnel's sockets are excluded, and it is not.
    call::cgroup(config).filter(|cgroup| maps::excluded(*cgroup) != Some(EXCLUDED_ALL))
}

/// The socket that a thread has received from, if its session has not started.
#[inline(always)]
fn first_key_of(last: &Thread, cgroup: u64) -> Of {
    // Nothing of the session's data comes before its first key.
    let Some(session) = session(last, cgroup, FROM_START) else {
        return Of::NONE;
    };
    // SAFETY: an element of the map.
    let session = unsafe { &*session };
    match session.read | session.written {
        0 => session.of(),
        _ => Of::NONE,
    }
}

/// The session on a socket, if there is one.
#[inline(always)]
fn known(sock: u64) -> Of {
    // SAFETY: an element of the map.
    SESSIONS
        .get_ptr(Key::of_socket(sock))
        .map_or(Of::NONE, |session| unsafe { (*session).of() })
}

/// The session on the socket that a thread has received from. `state`: of one that is new.
#[inline(always)]
fn session(last: &Thread, cgroup: u64, state: u64) -> Option<*mut Session> {
    let key = Key::of_socket(last.sock);
    if let Some(known) = SESSIONS.get_ptr_mut(key) {
        // SAFETY: an element of the map.
        let session = unsafe { &mut *known };
        if session.cookie == 0 && session.ends.are(&last.ends) {
            // Somebody may have asked for it since.
            session.cookie = last.cookie;
        }
        if session.cookie == last.cookie {
            return Some(known);
        }
    }
    // Where one is known, its socket has gone, and it was not seen.
    let mut fresh = session::new(cgroup);
    fresh.cookie = last.cookie;
    fresh.sock = last.sock;
    fresh.ends = last.ends;
    fresh.state = state | HAS_ENDS | RUSTLS;
    let _full = SESSIONS.insert(key, fresh, 0);
    let _full = SOCKETS.insert(last.sock, key, 0);
    SESSIONS.get_ptr_mut(key)
}

impl Session {
    #[inline(always)]
    const fn of(&self) -> Of {
        Of {
            sock: self.sock,
            id: self.id,
        }
    }
}

/// A socket took so many bytes. If they are as many as the thread has encrypted, it is that of the
/// key.
#[inline(always)]
pub(crate) fn sent(socket: *const u8, bytes: i32) {
    if IS_WANTED.load() == 0 {
        return;
    }
    let thread = bpf_get_current_pid_tgid();
    let Some(last) = thread::of(thread) else {
        return;
    };
    // SAFETY: an element of the map, of this thread.
    let last = unsafe { &mut *last };
    let (sealed, sealed_bytes) = (last.sealed, last.sealed_bytes);
    last.sealed = 0;
    last.sealed_bytes = 0;
    if sealed == 0 || i64::from(bytes).cast_unsigned() != sealed_bytes {
        return;
    }
    let Some(session) = SESSIONS.get_ptr(Key::of_socket(sock::address(socket))) else {
        // It carries no session of rustls that is known.
        return;
    };
    // SAFETY: an element of the map.
    let session = unsafe { &*session };
    let is_other = session.cookie != 0 && session.cookie != sock::cookie(socket);
    if is_other || session.sealer != 0 || session.state & FROM_START != 0 {
        // Or its keys are known.
        return;
    }
    let Some(cipher) = cipher::get(&Key::new(sealed, thread)) else {
        return;
    };
    // SAFETY: an element of the map.
    let cipher = unsafe { &mut *cipher };
    // Once may be chance: what another session had left to send.
    if cipher.state & PERHAPS != 0 && cipher.session == session.of() {
        cipher.state &= !PERHAPS;
    } else {
        cipher.session = session.of();
        cipher.state |= PERHAPS;
    }
}
