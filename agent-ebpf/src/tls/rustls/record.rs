//! A TLS record, where it is decrypted or encrypted: what it holds and which session it is of.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::pt_regs;
use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_probe_read_user};
use aya_ebpf::macros::map;
use aya_ebpf::maps::LruHashMap;
use aya_ebpf::programs::{ProbeContext, RetProbeContext};
use meshtap_common::{
    DIRECTION_EGRESS, DIRECTION_INGRESS, DropReason, FLAG_HANDSHAKE, FLAG_HEARD, FLAG_RUSTLS,
    FLAG_START, MAX_PLAINTEXT, TlsConfig,
};

use super::cipher::{self, Cipher, HANDSHAKE, NEW, PERHAPS, WRONG};
use super::{session, thread};
use crate::call::{self, Range, stack_pointer};
use crate::maps::{self, SESSIONS};
use crate::session::{FROM_START, HAS_ENDS, Key, READ_ENDED, Session, WRITE_ENDED};
use crate::{emit, finish};

/// Threads that decrypt or encrypt at a time; the size is set at load, and one where rustls is left
/// alone.
const RECORDS_MAX: u32 = 16_384;

/// The record that a thread decrypts or encrypts, by `pid_tgid`.
#[map]
static RUSTLS_RECORDS: LruHashMap<u64, Record> = LruHashMap::with_max_entries(RECORDS_MAX, 0);

/// Content types (RFC 8446 §5.1).
const ALERT: u8 = 21;
const MESSAGES: u8 = 22;
const DATA: u8 = 23;

/// The first message of a flight under the keys of a handshake (RFC 8446 §4): a server's
/// `EncryptedExtensions`, a client's `Certificate` or `Finished`. What comes under other keys is
/// not recorded.
const ENCRYPTED_EXTENSIONS: u8 = 8;
const CERTIFICATE: u8 = 11;
const FINISHED: u8 = 20;
/// What comes next is under another key (RFC 8446 §4.6.3).
const KEY_UPDATE: u8 = 24;

/// The additional data of a record is its header (RFC 8446 §5.2).
const HEADER: usize = 5;
/// What every cipher of TLS 1.3 that is in use adds.
const TAG: u64 = 16;
/// On the wire, of a record whose inner plaintext is counted.
const OVERHEAD: u64 = HEADER as u64 + TAG;

/// A record.
#[repr(C)]
#[derive(Clone, Copy)]
struct Record {
    /// The stack pointer at the entry.
    stack: u64,
    cipher: u64,
    buffer: u64,
    /// Of the inner plaintext: the content, and its type in the last byte.
    length: u64,
    range: Range,
}

const _: () = assert!(size_of::<Record>() == 4 * 8 + 24);

impl Record {
    /// Nothing is known yet of where it is in its session.
    #[inline(always)]
    const fn new(stack: u64, cipher: u64, buffer: u64, length: u64) -> Self {
        Self {
            stack,
            cipher,
            buffer,
            length,
            range: Range {
                offset: 0,
                heard: 0,
                direction: 0,
                flags: 0,
            },
        }
    }
}

/// A record is about to be decrypted.
#[inline(always)]
pub(crate) fn open(ctx: &ProbeContext) {
    if is_left_alone() {
        return;
    }
    let argument = |n| ctx.arg::<u64>(n).unwrap_or_default();
    let length = argument(5);
    let regs = ctx.as_ptr().cast();
    // SAFETY: the context of a probe is a `pt_regs`.
    let stack = unsafe { stack_pointer(regs) };
    if !is_record(stack, length) {
        return;
    }
    let record = Record::new(stack, argument(0), argument(1), length);
    let _full = RUSTLS_RECORDS.insert(bpf_get_current_pid_tgid(), record, 0);
}

/// It is decrypted, or was none.
#[inline(always)]
pub(crate) fn opened(ctx: &RetProbeContext) {
    let thread = bpf_get_current_pid_tgid();
    let Some(record) = RUSTLS_RECORDS.get_ptr_mut(thread) else {
        return;
    };
    // SAFETY: an element of the map, of this thread alone; the context is a `pt_regs`.
    let (record, stack) = unsafe { (&mut *record, call::stack_at_entry(ctx.as_ptr().cast())) };
    if record.stack != stack {
        return;
    }
    if ctx.ret::<i32>() == 1
        && let Some(config) = maps::config()
    {
        handle(config, record, thread, DIRECTION_INGRESS);
    }
    let _gone = RUSTLS_RECORDS.remove(thread);
}

/// A record is about to be encrypted, in place.
#[inline(always)]
pub(crate) fn seal(ctx: &ProbeContext) {
    if is_left_alone() {
        return;
    }
    let regs: *const pt_regs = ctx.as_ptr().cast();
    // SAFETY: the context of a probe is a `pt_regs`.
    let (stack, (buffer, length)) = unsafe { (stack_pointer(regs), seventh_and_eighth(regs)) };
    if !is_record(stack, length) {
        return;
    }
    let thread = bpf_get_current_pid_tgid();
    let cipher = ctx.arg(0).unwrap_or_default();
    let record = Record::new(stack, cipher, buffer, length);
    let _full = RUSTLS_RECORDS.insert(thread, record, 0);
    if let Some(config) = maps::config()
        && let Some(record) = RUSTLS_RECORDS.get_ptr_mut(thread)
    {
        // SAFETY: an element of the map, of this thread alone.
        handle(config, unsafe { &mut *record }, thread, DIRECTION_EGRESS);
    }
    let _gone = RUSTLS_RECORDS.remove(thread);
}

#[inline(always)]
fn is_left_alone() -> bool {
    let Some(config) = maps::config() else {
        return true;
    };
    config.enabled == 0 || super::cgroup(config).is_none()
}

/// Arguments after the sixth are on the stack of x86-64, and after the eighth on AArch64's.
///
/// # Safety
/// `regs` is the context of a probe at the entry of a function.
#[inline(always)]
unsafe fn seventh_and_eighth(regs: *const pt_regs) -> (u64, u64) {
    #[cfg(bpf_target_arch = "x86_64")]
    // SAFETY: the caller's. The return address is below.
    unsafe {
        let stack = stack_pointer(regs);
        (on_stack(stack, 8), on_stack(stack, 16))
    }
    #[cfg(bpf_target_arch = "aarch64")]
    // SAFETY: the caller's.
    unsafe {
        ((*regs).regs[6], (*regs).regs[7])
    }
    #[cfg(not(any(bpf_target_arch = "x86_64", bpf_target_arch = "aarch64")))]
    {
        let _ = regs;
        (0, 0)
    }
}

/// Where the ninth argument of both functions is, the additional data, from the stack pointer; its
/// length follows.
#[cfg(bpf_target_arch = "aarch64")]
const NINTH: u64 = 0;
#[cfg(not(bpf_target_arch = "aarch64"))]
const NINTH: u64 = 24;

#[inline(always)]
fn on_stack(stack: u64, at: u64) -> u64 {
    let address = core::ptr::with_exposed_provenance::<u64>(stack.wrapping_add(at) as usize);
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_user(address) }.unwrap_or_default()
}

/// Does the call handle a TLS 1.3 record with so much inner plaintext? Its additional data is the
/// record's header, which names the length.
#[inline(always)]
fn is_record(stack: u64, length: u64) -> bool {
    if length == 0 || length > MAX_PLAINTEXT as u64 + 1 {
        return false;
    }
    if on_stack(stack, NINTH + 8) != HEADER as u64 {
        return false;
    }
    let address =
        core::ptr::with_exposed_provenance::<[u8; HEADER]>(on_stack(stack, NINTH) as usize);
    // SAFETY: the helper checks the address.
    let Ok(header) = (unsafe { bpf_probe_read_user(address) }) else {
        return false;
    };
    let named = u64::from(header[3]) << 8 | u64::from(header[4]);
    header[0] == DATA && header[1] == 3 && header[2] == 3 && named == length + TAG
}

#[inline(always)]
fn byte(address: u64) -> Option<u8> {
    let address = core::ptr::with_exposed_provenance::<u8>(address as usize);
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_user(address) }.ok()
}

/// A record is in clear. One way for both directions, with one place that emits: the verifier walks
/// every path of it.
#[inline(always)]
fn handle(config: &TlsConfig, record: &mut Record, thread: u64, direction: u8) {
    // Not zero: see `is_record`.
    let length = (record.length as u32).wrapping_sub(1);
    let key = Key::new(record.cipher, thread);
    let Some(cipher) = cipher::of(&key) else {
        return;
    };
    // SAFETY: an element of the map.
    let cipher = unsafe { &mut *cipher };
    let Some(session) = session_of(cipher, record, thread, direction) else {
        maps::count(DropReason::NoSocket, length);
        maps::note(thread >> 32, |process| {
            process.untouched_calls = process.untouched_calls.saturating_add(1);
        });
        return;
    };
    // SAFETY: an element of the map.
    let session = unsafe { &mut *session };
    let Some(content) = byte(record.buffer.wrapping_add(u64::from(length))) else {
        maps::count(DropReason::Unreadable, length);
        return;
    };
    let is_new = cipher.state & NEW != 0;
    cipher.state &= !NEW;
    match content {
        DATA => data(session, record, length, direction, thread >> 32),
        MESSAGES => {
            let first = byte(record.buffer).unwrap_or_default();
            if is_new && is_of_handshake(first) {
                cipher.state |= HANDSHAKE;
            }
            if cipher.state & HANDSHAKE == 0 {
                if direction == DIRECTION_EGRESS && first == KEY_UPDATE {
                    rekeyed(thread, session.sock);
                }
                return;
            }
            record.range.offset = cipher.offset;
            record.range.flags = u32::from(FLAG_RUSTLS | FLAG_HANDSHAKE);
            cipher.offset = cipher.offset.wrapping_add(u64::from(length));
        }
        ALERT => return ended(config, session, direction),
        // Padding hides where the content ends.
        _ => {
            cipher.state |= WRONG;
            maps::count(DropReason::NoSocket, length);
            return;
        }
    }
    record.range.direction = u32::from(direction);
    if length != 0 && finish::is_wanted(config, session) {
        emit::range(config, session, &record.range, &record.buffer, length);
    }
}

const fn is_of_handshake(message: u8) -> bool {
    matches!(message, ENCRYPTED_EXTENSIONS | CERTIFICATE | FINISHED)
}

/// The session that a record is of.
#[inline(always)]
fn session_of(
    cipher: &mut Cipher,
    record: &Record,
    thread: u64,
    direction: u8,
) -> Option<*mut Session> {
    if cipher.state & WRONG != 0 {
        return None;
    }
    if direction == DIRECTION_EGRESS {
        if cipher.session.is_some() && cipher.state & PERHAPS == 0 {
            let session = SESSIONS.get_ptr_mut(Key::of_socket(cipher.session.sock))?;
            // SAFETY: an element of the map.
            return (unsafe { (*session).id } == cipher.session.id).then_some(session);
        }
        // The next send will say.
        // SAFETY: an element of the map, of this thread.
        let last = unsafe { &mut *thread::of_any(thread)? };
        if last.sealed != record.cipher {
            last.sealed = record.cipher;
            last.sealed_bytes = 0;
        }
        last.sealed_bytes = last.sealed_bytes.wrapping_add(record.length + OVERHEAD);
        return None;
    }
    // SAFETY: an element of the map, of this thread.
    let last = unsafe { &*thread::of(thread)? };
    if last.sock == 0 {
        return None;
    }
    // SAFETY: no arguments.
    let cgroup = unsafe { aya_ebpf::helpers::bpf_get_current_cgroup_id() };
    let session = session(last, cgroup, 0)?;
    // SAFETY: an element of the map.
    let of = unsafe { (*session).of() };
    if !cipher.session.is_some() {
        cipher.session = of;
    } else if cipher.session != of {
        cipher.state |= WRONG;
        maps::note(thread >> 32, |process| {
            process.refused = process.refused.saturating_add(1);
        });
        return None;
    }
    Some(session)
}

/// The next key that a thread makes is for this socket's session.
#[inline(always)]
fn rekeyed(thread: u64, sock: u64) {
    if let Some(last) = thread::of_any(thread) {
        // SAFETY: an element of the map, of this thread.
        unsafe { (*last).rekeyed = sock };
    }
}

/// Says where a record with data is in its session.
#[inline(always)]
fn data(session: &mut Session, record: &mut Record, length: u32, direction: u8, tgid: u64) {
    let (offset, heard) = if direction == DIRECTION_INGRESS {
        let offset = session.read;
        session.read = offset.wrapping_add(u64::from(length));
        (offset, session.written)
    } else {
        let offset = session.written;
        session.written = offset.wrapping_add(u64::from(length));
        session.sealer = record.cipher;
        (offset, session.read)
    };
    let start = session.state & FROM_START != 0;
    record.range.offset = offset;
    record.range.heard = heard;
    record.range.flags = u32::from(FLAG_RUSTLS | FLAG_HEARD | if start { FLAG_START } else { 0 });
    if offset == 0 && length != 0 {
        let is_plausible = emit::is_plausible(record.buffer, length);
        crate::session::count(session, tgid, is_plausible);
    }
}

/// An alert. `close_notify` ends a direction (RFC 8446 §6.1); so does every other.
#[inline(always)]
fn ended(config: &TlsConfig, session: &mut Session, direction: u8) {
    let (flag, offset) = if direction == DIRECTION_INGRESS {
        (READ_ENDED, session.read)
    } else {
        (WRITE_ENDED, session.written)
    };
    if session.state & (flag | HAS_ENDS) == HAS_ENDS && finish::is_wanted(config, session) {
        session.state |= flag;
        emit::end(session, direction, offset);
    }
}
