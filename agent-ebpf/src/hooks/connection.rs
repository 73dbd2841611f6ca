//! `sock_ops`: the beginning and the end of every TCP connection, with its bytes. No packet costs
//! anything: the program runs when a connection is established and when its state changes.
//!
//! `bytes_acked` and `bytes_received` count SYN and FIN as one byte each. What was counted when the
//! connection was established is taken off, and so is a FIN: one was received when the socket went
//! to CLOSE_WAIT or CLOSING, or received anything after FIN_WAIT2; one was acknowledged when it
//! went to FIN_WAIT2, or was closed with nothing unacknowledged after it had sent one (RFC 9293
//! §3.3.2).

use aya_ebpf::bindings::{
    BPF_F_NO_PREALLOC, BPF_RB_NO_WAKEUP, BPF_SK_STORAGE_GET_F_CREATE, bpf_sock, bpf_sock_ops,
};
use aya_ebpf::helpers::{
    bpf_get_socket_cookie, bpf_ringbuf_reserve, bpf_ringbuf_submit, bpf_sock_ops_cb_flags_set,
};
use aya_ebpf::macros::{btf_map, map, sock_ops};
use aya_ebpf::maps::{Array, RingBuf};
use aya_ebpf::programs::SockOpsContext;
use meshtap_common::{
    CONNECTION_CLOSED, CONNECTION_OPENED, CONNECTION_RING_BYTES, ConnectionRecord,
};

use crate::maps;
use crate::read::{self, Operation, Progress};
use crate::storage::Storage;

/// Nothing is asked of the kernel: it goes on as without the program.
const PASS: u32 = 1;

// `enum` of include/uapi/linux/bpf.h: what a program is called for.
const ACTIVE_ESTABLISHED: u32 = 4;
const PASSIVE_ESTABLISHED: u32 = 5;
const STATE: u32 = 10;
/// `BPF_SOCK_OPS_STATE_CB_FLAG`
const STATE_FLAG: u32 = 1 << 2;

// `BPF_TCP_*`
const FIN_WAIT1: u32 = 4;
const FIN_WAIT2: u32 = 5;
const CLOSE: u32 = 7;
const CLOSE_WAIT: u32 = 8;
const LAST_ACK: u32 = 9;
const CLOSING: u32 = 11;

/// Beginnings and ends, for user space. The size is set at load.
#[map]
static CONNECTIONS: RingBuf = RingBuf::with_byte_size(CONNECTION_RING_BYTES, 0);

/// Those that found no room. One element.
#[map]
static CONNECTIONS_DROPPED: Array<u64> = Array::with_max_entries(1, 0);

/// By socket.
#[btf_map]
static OPEN: Storage<Open, { BPF_F_NO_PREALLOC as usize }> = Storage::new();

/// A connection that is open. The kernel changes a socket's state under the socket's lock, so the
/// program runs once at a time for each.
#[repr(C)]
struct Open {
    /// What was counted when it was established.
    acked: u64,
    received: u64,
    /// What had been received when it went to FIN_WAIT2.
    at_fin_wait2: u64,
    accepted: u8,
    /// The socket has sent its FIN.
    fin_sent: u8,
    fin_acked: u8,
    fin_received: u8,
    is_in_fin_wait2: u8,
    reserved: [u8; 3],
}

const _: () = assert!(size_of::<Open>() == 32);

#[sock_ops]
fn meshtap_sockops(ctx: SockOpsContext) -> u32 {
    inspect(ctx.ops);
    PASS
}

#[inline(always)]
fn inspect(ops: *mut bpf_sock_ops) -> Option<()> {
    let operation = Operation::new(ops);
    match operation.number() {
        ACTIVE_ESTABLISHED => established(operation, false),
        PASSIVE_ESTABLISHED => established(operation, true),
        STATE => moves(operation),
        _ => None,
    }
}

#[inline(always)]
fn established(operation: Operation, accepted: bool) -> Option<()> {
    let open = find(operation.socket()?, u64::from(BPF_SK_STORAGE_GET_F_CREATE))?;
    let Progress {
        acked, received, ..
    } = operation.progress();
    open.acked = acked;
    open.received = received;
    open.accepted = accepted as u8;
    // Other programs' wishes stay.
    let flags = operation.flags() | STATE_FLAG;
    // SAFETY: the program's context.
    unsafe { bpf_sock_ops_cb_flags_set(operation.as_ptr(), flags as i32) };
    emit(operation, CONNECTION_OPENED, open.accepted, 0, 0)
}

#[inline(always)]
fn moves(operation: Operation) -> Option<()> {
    let open = find(operation.socket()?, 0)?;
    match operation.next_state() {
        FIN_WAIT1 | LAST_ACK => open.fin_sent = 1,
        FIN_WAIT2 => {
            open.fin_acked = 1;
            open.is_in_fin_wait2 = 1;
            open.at_fin_wait2 = operation.progress().received;
        }
        CLOSE_WAIT | CLOSING => open.fin_received = 1,
        CLOSE => return closed(operation, open),
        _ => {}
    }
    Some(())
}

#[inline(always)]
fn closed(operation: Operation, open: &Open) -> Option<()> {
    let progress = operation.progress();
    let mut sent = progress.acked.wrapping_sub(open.acked);
    let mut received = progress.received.wrapping_sub(open.received);
    let is_fin_acked = open.fin_acked != 0 || (open.fin_sent != 0 && progress.is_settled);
    if is_fin_acked && sent > 0 {
        sent -= 1;
    }
    let more = open.is_in_fin_wait2 != 0 && progress.received != open.at_fin_wait2;
    if (open.fin_received != 0 || more) && received > 0 {
        received -= 1;
    }
    emit(operation, CONNECTION_CLOSED, open.accepted, sent, received)
}

#[inline(always)]
fn emit(operation: Operation, kind: u8, accepted: u8, sent: u64, received: u64) -> Option<()> {
    let ends = operation.ends()?;
    let size = size_of::<ConnectionRecord>() as u64;
    let ring = core::ptr::from_ref(&CONNECTIONS).cast_mut().cast();
    // SAFETY: the map is a ring buffer; what is reserved is submitted, whole.
    unsafe {
        let entry = bpf_ringbuf_reserve(ring, size, 0);
        if entry.is_null() {
            maps::count_one(&CONNECTIONS_DROPPED);
            return None;
        }
        let mut record = ConnectionRecord {
            time_ns: read::now(),
            cookie: bpf_get_socket_cookie(operation.as_ptr().cast()),
            sent,
            received,
            local_addr: [0; 16],
            remote_addr: [0; 16],
            local_port: ends.local_port,
            remote_port: ends.remote_port,
            kind,
            accepted,
            reserved: 0,
        };
        ends.write_connection(&mut record);
        entry.cast::<ConnectionRecord>().write(record);
        bpf_ringbuf_submit(entry, u64::from(BPF_RB_NO_WAKEUP));
    }
    Some(())
}

#[inline(always)]
fn find(sk: *mut bpf_sock, flags: u64) -> Option<&'static mut Open> {
    // SAFETY: the callers have `sk` from the kernel; the program runs once at a time for a socket.
    unsafe { OPEN.find(sk, flags).as_mut() }
}
