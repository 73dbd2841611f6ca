//! A TLS session: what is counted of it while it lasts.

use aya_ebpf::helpers::{bpf_get_smp_processor_id, bpf_ktime_get_ns};

use crate::call::{self, Call};
use crate::emit;
use crate::maps::{self, SESSIONS, SOCKETS};
use crate::sock::Ends;

/// `ends` are those of the socket below.
pub(crate) const HAS_ENDS: u64 = 1;
/// Its handshake was seen: nothing came before offset zero.
pub(crate) const FROM_START: u64 = 1 << 1;
/// Nothing more is read.
pub(crate) const READ_ENDED: u64 = 1 << 2;
/// Nothing more is written.
pub(crate) const WRITE_ENDED: u64 = 1 << 3;
/// It gave bytes, and is counted for its process.
pub(crate) const COUNTED: u64 = 1 << 4;
/// It is one of rustls.
pub(crate) const RUSTLS: u64 = 1 << 5;

/// What the application calls its session: an address in its memory, which is used again for
/// another one once this is freed.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Key {
    ssl: u64,
    process: u64,
}

impl Key {
    /// Of a session of rustls, which has no address that its functions know: by that of its socket.
    /// No process has this number.
    #[inline(always)]
    pub(crate) const fn of_socket(sock: u64) -> Self {
        Self {
            ssl: sock,
            process: u64::MAX,
        }
    }

    /// `thread` as `bpf_get_current_pid_tgid` has it.
    #[inline(always)]
    pub(crate) const fn new(ssl: u64, thread: u64) -> Self {
        Self {
            ssl,
            process: thread >> 32,
        }
    }
}

/// A session.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Session {
    pub(crate) id: u64,
    /// Bytes that the application has read.
    pub(crate) read: u64,
    /// Bytes that it has written.
    pub(crate) written: u64,
    /// One more than what it had read when it first tried a write that has not succeeded yet.
    pub(crate) tried: u64,
    /// Of rustls: the key with which it was encrypted last, or zero.
    pub(crate) sealer: u64,
    /// Of the socket below, or zero.
    pub(crate) cookie: u64,
    /// Where that is, or zero.
    pub(crate) sock: u64,
    pub(crate) cgroup: u64,
    pub(crate) ends: Ends,
    pub(crate) state: u64,
}

const _: () = assert!(size_of::<Session>() == 8 * 8 + 40 + 8);

/// The session of a call that ends now with this result; a new one where the handle is used for
/// another one.
#[inline(always)]
pub(crate) fn of(call: &Call, key: &Key, result: i64) -> Option<*mut Session> {
    if let Some(session) = SESSIONS.get_ptr_mut(key) {
        // SAFETY: an element of the map.
        let known = unsafe { &mut *session };
        if !is_other(known, call, result) {
            adopt(known, call, key);
            return Some(session);
        }
        emit::closed(known);
        let fresh = Session {
            state: FROM_START,
            ..fresh(call)
        };
        *known = fresh;
        adopt(known, call, key);
        return Some(session);
    }
    // A call that completes at once without touching a socket does no handshake.
    let is_handshake =
        call.kind == call::HANDSHAKE && (call.state & call::TOUCHED != 0 || result <= 0);
    let fresh = Session {
        state: if is_handshake { FROM_START } else { 0 },
        ..fresh(call)
    };
    let _full = SESSIONS.insert(key, fresh, 0);
    let session = SESSIONS.get_ptr_mut(key)?;
    // SAFETY: an element of the map.
    adopt(unsafe { &mut *session }, call, key);
    Some(session)
}

/// Is the call one of another session than the one that is known by this handle?
#[inline(always)]
fn is_other(known: &Session, call: &Call, result: i64) -> bool {
    if call.state & call::HAS_ENDS != 0 && call.cookie != 0 && known.cookie != 0 {
        return call.cookie != known.cookie;
    }
    let is_used = known.read | known.written != 0;
    let shakes_hands = call.kind == call::HANDSHAKE
        && if call.state & call::TOUCHED != 0 {
            known.cookie == 0
        } else {
            result <= 0 && known.state & HAS_ENDS == 0
        };
    is_used && shakes_hands
}

#[inline(always)]
fn fresh(call: &Call) -> Session {
    new(call.cgroup)
}

/// A session of which nothing was seen yet.
#[inline(always)]
pub(crate) fn new(cgroup: u64) -> Session {
    // SAFETY: no arguments.
    let (time, processor) = unsafe { (bpf_ktime_get_ns(), bpf_get_smp_processor_id()) };
    Session {
        // Two sessions cannot begin at the same nanosecond on one processor.
        id: time << 10 | u64::from(processor & 0x3ff),
        read: 0,
        written: 0,
        tried: 0,
        sealer: 0,
        cookie: 0,
        sock: 0,
        cgroup,
        ends: Ends::UNKNOWN,
        state: 0,
    }
}

/// Notes the socket of the call as the session's.
#[inline(always)]
fn adopt(session: &mut Session, call: &Call, key: &Key) {
    if call.state & call::HAS_ENDS == 0 {
        return;
    }
    session.ends = call.ends;
    session.state |= HAS_ENDS;
    if call.cookie != 0 {
        session.cookie = call.cookie;
    }
    session.sock = call.sock;
    let _full = SOCKETS.insert(call.sock, key, 0);
}

/// A socket is gone, and the session on it.
#[inline(always)]
pub(crate) fn socket_released(sock: u64) {
    let Some(key) = SOCKETS.get_ptr(sock) else {
        return;
    };
    // SAFETY: an element of the map. A copy: the entry goes now.
    let key = unsafe { *key };
    let _gone = SOCKETS.remove(sock);
    let Some(session) = SESSIONS.get_ptr(key) else {
        return;
    };
    // SAFETY: an element of the map.
    let session = unsafe { &*session };
    if session.sock == sock {
        emit::closed(session);
        let _gone = SESSIONS.remove(key);
    }
}

/// Counts a session that gives its first bytes, for the guard.
#[inline(always)]
pub(crate) fn count(session: &mut Session, tgid: u64, plausible: bool) {
    let is_new = session.state & COUNTED == 0;
    session.state |= COUNTED;
    let touched = session.state & HAS_ENDS != 0;
    let started = session.state & FROM_START != 0;
    maps::note(tgid, |process| {
        if is_new {
            process.sessions = process.sessions.saturating_add(1);
            if started {
                process.started = process.started.saturating_add(1);
            }
            if touched {
                process.touched = process.touched.saturating_add(1);
            }
        }
        if plausible {
            process.plausible = process.plausible.saturating_add(1);
        }
    });
}
