//! `cgroup/connect4`, `cgroup/connect6`, `cgroup/sock_release`: which process a socket belongs
//! to, where the process itself is running, and when the application has closed it.
//!
//! A socket that lives for a millisecond is gone before anyone can look for it in `/proc`.
//! `connect` runs in the process that asks, closing in the one that ends it; both helpers that
//! name it are allowed here since 5.7. What cannot be known here (a socket that was accepted, and
//! is still open) is there to be found from user space.
//!
//! `sock_release` runs when the last descriptor of a socket is closed, wherever it was passed, and
//! before TCP does anything about it. A client that closes while it waits for a response receives
//! no packet that the socket hook could see: the socket is gone from under the connection.

use aya_ebpf::bindings::{bpf_sock, bpf_sock_addr};
use aya_ebpf::helpers::{bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_socket_cookie};
use aya_ebpf::macros::{cgroup_sock, cgroup_sock_addr, map};
use aya_ebpf::maps::LruHashMap;
use aya_ebpf::programs::{SockAddrContext, SockContext};
use meshtap_common::Owner;

use crate::flow::{self, Followed};
use crate::{emit, read};

/// Owners kept. User space asks within milliseconds: this is what 10 000 connections a second
/// leave behind in three seconds.
const OWNERS_MAX: u32 = 32_768;

/// The call goes on its way, always.
const PASS: i32 = 1;

/// By socket cookie.
#[map]
static OWNERS: LruHashMap<u64, Owner> = LruHashMap::with_max_entries(OWNERS_MAX, 0);

#[cgroup_sock_addr(connect4)]
fn meshtap_connect4(ctx: SockAddrContext) -> i32 {
    connecting(ctx.sock_addr);
    PASS
}

#[cgroup_sock_addr(connect6)]
fn meshtap_connect6(ctx: SockAddrContext) -> i32 {
    connecting(ctx.sock_addr);
    PASS
}

#[cgroup_sock(sock_release)]
fn meshtap_release(ctx: SockContext) -> i32 {
    releasing(ctx.sock);
    PASS
}

/// Not every connection will speak HTTP, but what it will speak is not known yet.
#[inline(always)]
fn connecting(ctx: *mut bpf_sock_addr) {
    if read::connects_tcp(ctx) {
        // SAFETY: the context of a program type that has this helper.
        note(unsafe { bpf_get_socket_cookie(ctx.cast()) });
    }
}

#[inline(always)]
fn releasing(ctx: *mut bpf_sock) {
    if !read::is_tcp(ctx) {
        return;
    }
    let Some(followed) = flow::followed(ctx) else {
        return;
    };
    // SAFETY: the context of a program type that has this helper.
    let cookie = unsafe { bpf_get_socket_cookie(ctx.cast()) };
    note(cookie);
    if followed == Followed::Socket {
        emit::released(cookie);
    }
}

#[inline(always)]
fn note(cookie: u64) {
    let Ok(comm) = bpf_get_current_comm() else {
        return;
    };
    let owner = Owner {
        // The upper half is the process, the lower its thread.
        pid: (bpf_get_current_pid_tgid() >> 32) as u32,
        comm,
    };
    let _full = OWNERS.insert(cookie, owner, 0);
}
