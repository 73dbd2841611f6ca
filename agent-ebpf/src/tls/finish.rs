//! The return of a call: what it moved is known.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_probe_read_user};
use aya_ebpf::programs::RetProbeContext;
use meshtap_common::{
    DIRECTION_EGRESS, DIRECTION_INGRESS, FLAG_FIN, FLAG_HEARD, FLAG_START, TlsConfig,
};

use crate::call::{self, Call, Range};
use crate::emit;
use crate::maps::{self, CALLS};
use crate::session::{self, Key, Session};

/// A call ends.
#[inline(always)]
pub(crate) fn leave(ctx: &RetProbeContext) {
    let thread = bpf_get_current_pid_tgid();
    let Some(call) = CALLS.get_ptr_mut(thread) else {
        return;
    };
    // SAFETY: an element of the map, of this thread alone; the context is a `pt_regs`.
    let (call, stack) = unsafe { (&mut *call, call::stack_at_entry(ctx.as_ptr().cast())) };
    if call.stack != stack {
        // A call inside this one.
        return;
    }
    if let Some(config) = maps::config() {
        complete(config, call, thread, i64::from(ctx.ret::<i32>()));
    }
    let _gone = CALLS.remove(thread);
}

#[inline(always)]
fn complete(config: &TlsConfig, call: &mut Call, thread: u64, returned: i64) {
    let key = Key::new(call.ssl, thread);
    let moved = match call.kind {
        call::READ | call::WRITE => returned,
        call::READ_EX | call::WRITE_EX | call::READ_SHARED | call::WRITE_FLAGS if returned > 0 => {
            // SAFETY: the helper checks the address.
            unsafe { bpf_probe_read_user(call.result as *const u64) }.map_or(0, u64::cast_signed)
        }
        call::READ_SHARED => returned,
        call::READ_EX | call::WRITE_EX | call::WRITE_FLAGS => -1,
        _ => 0,
    };
    let Some(session) = session::of(call, &key, if moved == 0 { returned } else { moved }) else {
        return;
    };
    // SAFETY: an element of the map.
    let session = unsafe { &mut *session };
    match call.kind {
        call::READ
        | call::READ_EX
        | call::READ_SHARED
        | call::WRITE
        | call::WRITE_EX
        | call::WRITE_FLAGS => {
            data(config, call, session, thread >> 32, moved);
        }
        // It has sent that nothing more will come (RFC 8446 §6.1).
        call::SHUTDOWN
            if call.state & call::TOUCHED != 0
                && session.state & session::WRITE_ENDED == 0
                && is_wanted(config, session) =>
        {
            session.state |= session::WRITE_ENDED;
            emit::end(session, DIRECTION_EGRESS, session.written);
        }
        _ => {}
    }
}

/// Bytes were read or written. One way for both, with one place that emits: the verifier walks
/// every path of it.
#[inline(always)]
fn data(config: &TlsConfig, call: &mut Call, session: &mut Session, tgid: u64, moved: i64) {
    let is_read = matches!(call.kind, call::READ | call::READ_EX | call::READ_SHARED);
    let heard = match session.tried {
        // The most that the other end can have received when it sent this.
        _ if is_read => session.written,
        0 => call.heard,
        tried => tried - 1,
    };
    if moved <= 0 {
        if is_read {
            read_ended(config, call, session, moved);
        } else {
            // It will be tried again, and was said by now.
            session.tried = heard.wrapping_add(1);
        }
        return;
    }
    let Some(moved) = believed(moved, call.length, tgid) else {
        return;
    };
    let (offset, direction);
    if is_read {
        offset = session.read;
        session.read = offset.wrapping_add(u64::from(moved));
        direction = DIRECTION_INGRESS;
    } else {
        session.tried = 0;
        offset = session.written;
        session.written = offset.wrapping_add(u64::from(moved));
        direction = DIRECTION_EGRESS;
    }
    let mut flags = FLAG_HEARD;
    if !is_wanted(config, session) {
        return;
    }
    if session.state & session::FROM_START != 0 {
        flags |= FLAG_START;
    }
    if offset == 0 {
        session::count(session, tgid, emit::is_plausible(call.buffer, moved));
    } else if session.state & session::HAS_ENDS == 0 {
        maps::note(tgid, |process| {
            process.untouched_calls = process.untouched_calls.saturating_add(1);
        });
    }
    call.range = Range {
        offset,
        heard,
        direction: u32::from(direction),
        flags: u32::from(flags),
    };
    emit::range(config, session, &call.range, &call.buffer, moved);
}

/// A read gave nothing.
#[inline(always)]
fn read_ended(config: &TlsConfig, call: &Call, session: &mut Session, moved: i64) {
    let is_end = call.state & call::AT_END != 0 || (moved == 0 && call.length > 0);
    if is_end && session.state & session::READ_ENDED == 0 && is_wanted(config, session) {
        session.state |= session::READ_ENDED;
        emit::end(session, DIRECTION_INGRESS, session.read);
    }
}

/// How much was moved, if that can be.
#[inline(always)]
fn believed(moved: i64, length: u64, tgid: u64) -> Option<u32> {
    // An `int` bounds even the functions with a `size_t`.
    if moved.cast_unsigned() > length || moved > i64::from(i32::MAX) {
        maps::note(tgid, |process| {
            process.refused = process.refused.saturating_add(1);
        });
        return None;
    }
    Some(moved as u32)
}

/// Is either port of the session selected? Unused entries are zero, which is nobody's port.
#[inline(always)]
pub(crate) fn is_wanted(config: &TlsConfig, session: &Session) -> bool {
    if config.port_count == 0 {
        return true;
    }
    let (local, remote) = (session.ends.local_port, session.ends.remote_port);
    if session.state & session::HAS_ENDS == 0 {
        return false;
    }
    // All of them: the verifier of kernel 5.10 cannot follow a count.
    for &port in &config.ports {
        if u32::from(port) == local || u32::from(port) == remote {
            return true;
        }
    }
    false
}

/// The end of a direction; the flag is the emitter's.
pub(crate) const END: u16 = FLAG_FIN;
