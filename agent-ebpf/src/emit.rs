//! The one writer to the ring buffer.
//!
//! A record is reserved in the smallest bucket that holds it (the verifier wants a constant
//! size), filled in place, and submitted without a wake-up; the reader has a timer. Once per
//! packet the writer looks how much is pending and wakes the reader when that is a lot.

use core::mem::offset_of;

use aya_ebpf::bindings::{__sk_buff, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::{bpf_ringbuf_reserve, bpf_ringbuf_submit};
use meshtap_common::{
    DropReason, EventHeader, FLAG_FIN, FLAG_OUTLINE, FLAG_RST, FLAG_SKIPPED, FrameMark, HEADER_LEN,
    KIND_RELEASED, MARK_LEN, MAX_CHUNK, MAX_MARKS, MAX_SKB,
};

use crate::maps::{self, EVENTS, Marks, count, pending, wakeup};
use crate::{asm, read, share};

const CHUNK: u32 = MAX_CHUNK as u32;
const CHUNKS: u32 = (MAX_SKB / MAX_CHUNK) as u32;

/// The same value, of which the verifier knows nothing. It follows a place once for each value that
/// it knows there and that decides what comes; where it knows none, once. `any`: a number that it
/// does not know.
#[inline(always)]
pub(crate) fn unknown(value: u32, any: u32) -> u32 {
    value ^ any ^ asm::opaque(any)
}

/// Writes a packet's record, or several: each has at most [`MAX_CHUNK`] bytes. `header` is that
/// of the whole, and its `captured_len` says how much payload is wanted: all, or none.
#[inline(always)]
pub(crate) fn segment(
    skb: *mut __sk_buff,
    header: &mut EventHeader,
    offset: u32,
    wakeup_bytes: u32,
    ring_bytes: u32,
) {
    let flags = header.flags;
    let any = header.time_ns as u32;
    let mut offset = unknown(offset, any);
    let mut wire_len = unknown(header.wire_len, any);
    let mut left = unknown(header.captured_len, any);
    let pending = pending();
    if !share::admits(header.cgroup_id, left, pending, ring_bytes) {
        count(DropReason::RingShare, left);
        return;
    }
    let wakeup = unknown(wakeup(pending, wakeup_bytes, left), any);
    header.flags &= !(FLAG_FIN | FLAG_RST);
    for _ in 1..CHUNKS {
        if left <= CHUNK {
            break;
        }
        header.wire_len = CHUNK;
        header.captured_len = CHUNK;
        if !write(skb, header, offset, BPF_RB_NO_WAKEUP) {
            // The ring is full: what is left is one gap.
            count(DropReason::RingFull, left);
            return;
        }
        header.seq = header.seq.wrapping_add(CHUNK);
        offset += CHUNK;
        left -= CHUNK;
        wire_len -= CHUNK;
    }
    header.wire_len = wire_len;
    if left > CHUNK {
        count(DropReason::Oversize, left - CHUNK);
        left = CHUNK;
    }
    header.captured_len = left;
    header.flags = flags;
    if !write(skb, header, offset, wakeup) {
        count(DropReason::RingFull, left);
    }
}

/// Writes the record of a part of a packet of which nothing but the headers of frames is copied:
/// `count` of the marks from `first` on. `base`: where the part begins in the packet.
#[inline(always)]
pub(crate) fn outline(
    header: &mut EventHeader,
    (marks, first, base): (&Marks, u32, u32),
    count: u32,
    ring_bytes: u32,
) {
    const FEW: usize = 4;
    let len = count.wrapping_mul(MARK_LEN as u32);
    let pending = pending();
    if !share::admits(header.cgroup_id, len, pending, ring_bytes) {
        maps::count(DropReason::RingShare, len);
        return;
    }
    header.flags |= FLAG_OUTLINE | FLAG_SKIPPED;
    header.captured_len = len;
    let first = asm::opaque(first) as usize & (2 * MAX_MARKS - 1);
    if first > MAX_MARKS {
        return;
    }
    // SAFETY: of the `2 * MAX_MARKS` marks.
    let from = unsafe { marks.as_ptr().add(first) };
    // SAFETY: there are `MAX_MARKS` from there on.
    let written = unsafe {
        if count <= FEW as u32 {
            write_marks::<FEW>(header, from, base)
        } else {
            write_marks::<MAX_MARKS>(header, from, base)
        }
    };
    if !written {
        maps::count(DropReason::RingFull, len);
    }
}

/// Writes that the application has closed a socket.
#[inline(always)]
pub(crate) fn released(cookie: u64) {
    let entry = reserve_exactly(HEADER_LEN);
    if entry.is_null() {
        count(DropReason::RingFull, 0);
        return;
    }
    // SAFETY: `entry` was reserved with room for a header, which is of whole 8-byte words, aligned.
    unsafe {
        for n in 0..HEADER_LEN / 8 {
            entry.cast::<u64>().add(n).write_volatile(0);
        }
        let header = entry.cast::<EventHeader>();
        (*header).time_ns = read::now();
        (*header).cookie = cookie;
        (*header).kind = KIND_RELEASED;
        bpf_ringbuf_submit(entry.cast(), u64::from(BPF_RB_NO_WAKEUP));
    }
}

/// Writes a header and `N` marks, as far as they are from `base`. False when the ring is full.
///
/// # Safety
/// There are `N` marks at `from`.
#[inline(always)]
unsafe fn write_marks<const N: usize>(
    header: &EventHeader,
    from: *const FrameMark,
    base: u32,
) -> bool {
    let entry = reserve_exactly(HEADER_LEN + N * MARK_LEN);
    if entry.is_null() {
        return false;
    }
    // SAFETY: `entry` was reserved with room for a header, 8-byte aligned, and `N` marks, which are
    // words that begin where a header of whole 8-byte words ends.
    unsafe {
        entry.cast::<EventHeader>().write(*header);
        let to = entry.add(HEADER_LEN).cast::<u32>();
        let from = from.cast::<u32>();
        for n in 0..N * MARK_LEN / 4 {
            let word = from.add(n).read_volatile();
            let is_place = n * 4 % MARK_LEN == offset_of!(FrameMark, at);
            let less = if is_place { base } else { 0 };
            to.add(n).write_volatile(word.wrapping_sub(less));
        }
        bpf_ringbuf_submit(entry.cast(), u64::from(BPF_RB_NO_WAKEUP));
    }
    true
}

/// Writes one record. False when the ring is full.
#[inline(always)]
fn write(skb: *mut __sk_buff, header: &EventHeader, offset: u32, wakeup: u32) -> bool {
    // Two ways to the end, not one with two tests of the length: the verifier of kernel 5.10 does
    // not see that they agree.
    if header.captured_len == 0 {
        let entry = reserve_exactly(HEADER_LEN);
        if entry.is_null() {
            return false;
        }
        // SAFETY: `entry` was reserved with room for a header, 8-byte aligned.
        unsafe {
            entry.cast::<EventHeader>().write(*header);
            bpf_ringbuf_submit(entry.cast(), u64::from(wakeup));
        }
        return true;
    }
    // Less one, so that the comparisons in `reserve` give the verifier of kernel 5.10 both bounds
    // of the length: it learns nothing from a comparison with zero. Opaque, because the compiler
    // knows the upper bound and would omit the last comparison.
    let last = asm::opaque(header.captured_len.wrapping_sub(1));
    let entry = reserve(last);
    if entry.is_null() {
        return false;
    }
    // SAFETY: `entry` was reserved with room for a header, 8-byte aligned, and `last + 1` bytes.
    unsafe {
        let written = entry.cast::<EventHeader>();
        written.write(*header);
        if !read::payload(skb, offset, entry.add(HEADER_LEN), last + 1) {
            count(DropReason::Unreadable, header.captured_len);
            (*written).captured_len = 0;
        }
        bpf_ringbuf_submit(entry.cast(), u64::from(wakeup));
    }
    true
}

/// Room for a header and payload bytes with indices up to `last`, or null.
///
/// Steps of half an octave keep the waste under a third; below 512 bytes, where most heads are,
/// they are finer.
#[inline(always)]
fn reserve(last: u32) -> *mut u8 {
    macro_rules! buckets {
        ($($payload:literal)*) => {
            $(if last < $payload { return reserve_exactly(HEADER_LEN + $payload); })*
        };
    }
    buckets!(128 256 384 512 768 1024 1536 2048 3072 4096 6144 8192 12288 16384 24576 32768);
    core::ptr::null_mut()
}

#[inline(always)]
fn reserve_exactly(size: usize) -> *mut u8 {
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
