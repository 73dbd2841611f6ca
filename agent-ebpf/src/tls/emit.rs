//! The one writer to the ring buffer.
//!
//! A record is reserved in the smallest of a few sizes that holds it (the verifier wants a constant
//! size), filled in place, and submitted without a wake-up; the reader has a timer.

use aya_ebpf::bindings::BPF_RB_NO_WAKEUP;
use aya_ebpf::helpers::{
    bpf_ktime_get_ns, bpf_probe_read_user, bpf_ringbuf_reserve, bpf_ringbuf_submit, generated,
};
use meshtap_common::{
    DIRECTION_INGRESS, DropReason, EventHeader, FLAG_RUSTLS, HEADER_LEN, KIND_CLOSED,
    KIND_PLAINTEXT, MAX_PLAINTEXT, PLAINTEXT_LEN, PlaintextHeader, TlsConfig,
};

use crate::asm::opaque;
use crate::call::Range;
use crate::finish::END;
use crate::maps::{self, EVENTS};
use crate::session::{RUSTLS, Session};
use crate::share;

const CHUNK: u32 = MAX_PLAINTEXT as u32;
/// Most records of one call: what a write of 512 KiB makes. The rest of a longer one is a gap of
/// known length.
const CHUNKS: u32 = 32;
const HEAD: usize = HEADER_LEN + PLAINTEXT_LEN;

/// What a record says besides its bytes.
struct Record {
    kind: u8,
    direction: u8,
    flags: u16,
    offset: u64,
    heard: u64,
    len: u32,
    captured: u32,
}

/// Writes the records of what a call has moved: `len` bytes, not zero, in the application's memory,
/// where `buffer` says. Both are in an element of a map.
#[inline(always)]
pub(crate) fn range(config: &TlsConfig, session: &Session, range: &Range, buffer: &u64, len: u32) {
    let Some(pending) = admitted(config, session, len) else {
        return;
    };
    let wakeup = opaque(maps::wakeup(pending, config.wakeup_bytes, len));
    let mut left = len;
    // SAFETY: references. Read anew, so that nothing is known of it.
    let (range, mut buffer) = unsafe {
        (
            Range {
                offset: (&raw const range.offset).read_volatile(),
                heard: (&raw const range.heard).read_volatile(),
                direction: (&raw const range.direction).read_volatile(),
                flags: (&raw const range.flags).read_volatile(),
            },
            core::ptr::from_ref(buffer).read_volatile(),
        )
    };
    let mut record = Record {
        kind: KIND_PLAINTEXT,
        direction: range.direction as u8,
        flags: range.flags as u16,
        offset: range.offset,
        heard: range.heard,
        len: CHUNK,
        captured: CHUNK,
    };
    for _ in 1..CHUNKS {
        if left <= CHUNK {
            break;
        }
        if !write::<MAX_PLAINTEXT>(session, &record, buffer, CHUNK, BPF_RB_NO_WAKEUP) {
            // The ring is full: what is left is one gap.
            maps::count(DropReason::RingFull, left);
            return;
        }
        record.offset = record.offset.wrapping_add(u64::from(CHUNK));
        buffer = buffer.wrapping_add(u64::from(CHUNK));
        left -= CHUNK;
    }
    if left > CHUNK {
        maps::count(DropReason::Oversize, left - CHUNK);
        left = CHUNK;
    }
    record.len = left;
    record.captured = left;
    // Less one, so that the comparisons below give the verifier both bounds of the length.
    let last = opaque(left.wrapping_sub(1));
    macro_rules! sizes {
        ($($size:literal)*) => {
            $(if last < $size {
                if !write::<$size>(session, &record, buffer, last + 1, wakeup) {
                    maps::count(DropReason::RingFull, left);
                }
                return;
            })*
        };
    }
    sizes!(256 1024 4096 16384);
}

/// What is pending in the ring buffer, where the session's cgroup has room left for so many bytes.
/// Else they are counted.
#[inline(always)]
fn admitted(config: &TlsConfig, session: &Session, len: u32) -> Option<u64> {
    let pending = maps::pending();
    if share::admits(session.cgroup, len, pending, config.ring_bytes as u32) {
        return Some(pending);
    }
    maps::count(DropReason::RingShare, len);
    None
}

/// A direction has ended.
#[inline(always)]
pub(crate) fn end(session: &Session, direction: u8, offset: u64) {
    let record = Record {
        kind: KIND_PLAINTEXT,
        direction,
        flags: END | library(session),
        offset,
        heard: 0,
        len: 0,
        captured: 0,
    };
    head(session, &record);
}

/// Nothing more comes of a session.
#[inline(always)]
pub(crate) fn closed(session: &Session) {
    let record = Record {
        kind: KIND_CLOSED,
        direction: DIRECTION_INGRESS,
        flags: library(session),
        offset: 0,
        heard: 0,
        len: 0,
        captured: 0,
    };
    head(session, &record);
}

/// The flag of a session's library.
#[inline(always)]
fn library(session: &Session) -> u16 {
    match session.state & RUSTLS {
        0 => 0,
        _ => FLAG_RUSTLS,
    }
}

/// Writes a record without bytes.
#[inline(always)]
fn head(session: &Session, record: &Record) {
    let entry = reserve(HEAD);
    if entry.is_null() {
        maps::count(DropReason::RingFull, 0);
        return;
    }
    // SAFETY: reserved with room for both headers, 8-byte aligned.
    unsafe {
        fill(entry, session, record);
        bpf_ringbuf_submit(entry.cast(), u64::from(BPF_RB_NO_WAKEUP));
    }
}

/// Writes one record with `len` bytes, at most `SIZE`. False when the ring is full.
#[inline(always)]
fn write<const SIZE: usize>(
    session: &Session,
    record: &Record,
    buffer: u64,
    len: u32,
    wakeup: u32,
) -> bool {
    let entry = reserve(HEAD + SIZE);
    if entry.is_null() {
        return false;
    }
    // SAFETY: reserved with room for both headers, 8-byte aligned, and `SIZE` bytes; the helper
    // checks the address that it reads.
    unsafe {
        fill(entry, session, record);
        let failed = generated::bpf_probe_read_user(
            entry.add(HEAD).cast(),
            len,
            core::ptr::with_exposed_provenance(buffer as usize),
        );
        if failed != 0 {
            maps::count(DropReason::Unreadable, record.len);
            (*entry.cast::<EventHeader>()).captured_len = 0;
        }
        bpf_ringbuf_submit(entry.cast(), u64::from(wakeup));
    }
    true
}

/// Writes both headers.
///
/// # Safety
/// `entry` has room for them, 8-byte aligned.
#[inline(always)]
unsafe fn fill(entry: *mut u8, session: &Session, record: &Record) {
    const ALIGNED: bool = core::mem::offset_of!(EventHeader, local_addr).is_multiple_of(8)
        && core::mem::offset_of!(EventHeader, remote_addr).is_multiple_of(8);
    const { assert!(ALIGNED) };
    // SAFETY: the caller's; every field is written. Addresses in words of 64 bits: they are aligned
    // to 8 in both. The helper has no arguments.
    unsafe {
        let header = entry.cast::<EventHeader>();
        (*header).time_ns = bpf_ktime_get_ns();
        (*header).cookie = session.cookie;
        (*header).cgroup_id = session.cgroup;
        (*header).seq = 0;
        (*header).ack = 0;
        (*header).expected = 0;
        (*header).wire_len = record.len;
        (*header).captured_len = record.captured;
        (*header).kind = record.kind;
        (*header).direction = record.direction;
        (*header).flags = record.flags;
        (*header).local_port = session.ends.local_port as u16;
        (*header).remote_port = session.ends.remote_port as u16;
        (*header).urgent = 0;
        (&raw mut (*header).local_addr)
            .cast::<[u64; 2]>()
            .write(session.ends.local_addr);
        (&raw mut (*header).remote_addr)
            .cast::<[u64; 2]>()
            .write(session.ends.remote_addr);
        entry
            .add(HEADER_LEN)
            .cast::<PlaintextHeader>()
            .write(PlaintextHeader {
                session: session.id,
                offset: record.offset,
                heard: record.heard,
            });
    }
}

#[inline(always)]
fn reserve(size: usize) -> *mut u8 {
    // SAFETY: the map is a ring buffer.
    unsafe {
        bpf_ringbuf_reserve(
            core::ptr::from_ref(&EVENTS).cast_mut().cast(),
            size as u64,
            0,
        )
        .cast()
    }
}

/// `SETTINGS_MAX_FRAME_SIZE` where nobody has set it (RFC 9113 §6.5.2).
const MAX_FRAME: u32 = 16 * 1024;
/// Types of frames that RFC 9113 §6 has.
const FRAME_TYPES: u32 = 10;

/// Does a direction that begins with this look like HTTP? A frame of HTTP/2 does: what is seen of a
/// session from the middle often begins with one.
#[inline(always)]
pub(crate) fn is_plausible(buffer: u64, len: u32) -> bool {
    if len < 8 {
        return false;
    }
    let address: *const u64 = core::ptr::with_exposed_provenance(buffer as usize);
    // SAFETY: the helper checks the address.
    let Ok(first) = (unsafe { bpf_probe_read_user(address) }) else {
        return false;
    };
    const KNOWN: [[u8; 4]; 12] = [
        *b"GET ", *b"POST", *b"HTTP", *b"PRI ", *b"PUT ", *b"HEAD", *b"DELE", *b"PATC", *b"OPTI",
        *b"CONN", *b"TRAC", *b"PROX",
    ];
    // Without a branch for each: the verifier would walk all that follows once for each.
    let mut differs = not_a_frame(first);
    for known in KNOWN {
        differs = opaque(differs.min(first as u32 ^ u32::from_ne_bytes(known)));
    }
    differs == 0
}

/// Zero where these are the first bytes of a frame (RFC 9113 §4.1), and not zeros alone.
#[inline(always)]
fn not_a_frame(first: u64) -> u32 {
    let byte = |n: u32| (first >> (8 * n)) as u32 & 0xff;
    let length = byte(0) << 16 | byte(1) << 8 | byte(2);
    // The sign of a difference: no branch.
    let too_long = opaque(MAX_FRAME.wrapping_sub(length)) >> 31;
    let unknown = opaque((FRAME_TYPES - 1).wrapping_sub(byte(3))) >> 31;
    let reserved = byte(5) >> 7;
    // No frame of length 0 and type DATA comes without flags.
    let empty = opaque((first as u32 | byte(4)).wrapping_sub(1)) >> 31;
    too_long | unknown | reserved | empty
}
