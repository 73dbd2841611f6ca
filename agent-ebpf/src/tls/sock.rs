//! The socket that is used inside a call: `struct sock`, whose field offsets user space reads from
//! the kernel's own type information (BTF) and sets at load.

use aya_ebpf::Global;
use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_probe_read_kernel};

use crate::call::{AT_END, HAS_ENDS, TOUCHED};
use crate::maps::CALLS;

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const IPPROTO_TCP: u16 = 6;
const MSG_PEEK: u32 = 2;

/// `::ffff:0:0/96`, the third word in network order (RFC 4291 §2.5.5.2).
const V4_MAPPED: u64 = 0xffff_u32.to_be() as u64;

/// Offsets in `struct sock`, in bytes.
macro_rules! offsets {
    ($($name:ident $field:literal)*) => {
        $(
            #[doc = $field]
            #[unsafe(no_mangle)]
            static $name: Global<u32> = Global::new(0);
        )*
    };
}

offsets! {
    SOCK_FAMILY "`skc_family`"
    SOCK_LOCAL_PORT "`skc_num`"
    SOCK_REMOTE_PORT "`skc_dport`"
    SOCK_LOCAL_ADDR "`skc_rcv_saddr`"
    SOCK_REMOTE_ADDR "`skc_daddr`"
    SOCK_LOCAL_ADDR6 "`skc_v6_rcv_saddr`"
    SOCK_REMOTE_ADDR6 "`skc_v6_daddr`"
    SOCK_COOKIE "`skc_cookie`"
    SOCK_PROTOCOL "`sk_protocol`"
}

/// The two ends of a socket. Ports in host order, IPv4 mapped into IPv6. In words of 64 bits, which
/// the compiler copies in place; smaller ones it would copy by calling a function.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Ends {
    pub(crate) local_addr: [u64; 2],
    pub(crate) remote_addr: [u64; 2],
    pub(crate) local_port: u32,
    pub(crate) remote_port: u32,
}

impl Ends {
    /// No socket is known.
    pub(crate) const UNKNOWN: Self = Self {
        local_addr: [0; 2],
        remote_addr: [0; 2],
        local_port: 0,
        remote_port: 0,
    };

    /// Both are the same. Word by word, for the reason above.
    #[inline(always)]
    pub(crate) fn are(&self, other: &Self) -> bool {
        let [local, more] = self.local_addr;
        let [remote, rest] = self.remote_addr;
        let [other_local, other_more] = other.local_addr;
        let [other_remote, other_rest] = other.remote_addr;
        let ports = (self.local_port ^ other.local_port) | (self.remote_port ^ other.remote_port);
        let locals = (local ^ other_local) | (more ^ other_more);
        let remotes = (remote ^ other_remote) | (rest ^ other_rest);
        locals | remotes | u64::from(ports) == 0
    }
}

/// A socket received or sent so many bytes. If that was inside a call, it is the call's.
#[inline(always)]
pub(crate) fn used(sock: *const u8, received: Option<(i32, u32)>) {
    let Some(call) = CALLS.get_ptr_mut(bpf_get_current_pid_tgid()) else {
        return;
    };
    // SAFETY: an element of the map, of this thread.
    let call = unsafe { &mut *call };
    call.state |= TOUCHED;
    if let Some((0, flags)) = received
        && flags & MSG_PEEK == 0
    {
        call.state |= AT_END;
    }
    // The first one: what else a callback may use in between is not it.
    if call.cookie != 0 || call.state & HAS_ENDS != 0 {
        return;
    }
    let cookie = cookie(sock);
    call.sock = address(sock);
    if cookie != 0 && cookie == call.known {
        call.cookie = cookie;
        return;
    }
    if is_tcp(sock) && read_ends(sock, &mut call.ends) {
        call.cookie = cookie;
        call.state |= HAS_ENDS;
    }
}

/// Where a socket is in the kernel's memory: its own from its making until its release, and known
/// where nobody has asked for its number yet.
#[inline(always)]
pub(crate) fn address(sock: *const u8) -> u64 {
    sock.expose_provenance() as u64
}

/// The number of a socket, or zero where nobody has asked for it yet.
#[inline(always)]
pub(crate) fn cookie(sock: *const u8) -> u64 {
    read(sock, &SOCK_COOKIE)
}

#[inline(always)]
pub(crate) fn is_tcp(sock: *const u8) -> bool {
    read::<u16>(sock, &SOCK_PROTOCOL) == IPPROTO_TCP
}

/// Reads the two ends of a socket. False: it is closed already, or of another family.
#[inline(always)]
pub(crate) fn read_ends(sock: *const u8, ends: &mut Ends) -> bool {
    let local_port: u16 = read(sock, &SOCK_LOCAL_PORT);
    if local_port == 0 {
        return false;
    }
    match read::<u16>(sock, &SOCK_FAMILY) {
        AF_INET => {
            ends.local_addr = mapped(read(sock, &SOCK_LOCAL_ADDR));
            ends.remote_addr = mapped(read(sock, &SOCK_REMOTE_ADDR));
        }
        AF_INET6 => {
            ends.local_addr = read(sock, &SOCK_LOCAL_ADDR6);
            ends.remote_addr = read(sock, &SOCK_REMOTE_ADDR6);
        }
        _ => return false,
    }
    ends.local_port = u32::from(local_port);
    ends.remote_port = u32::from(u16::from_be(read(sock, &SOCK_REMOTE_PORT)));
    true
}

/// The programs run on little-endian machines alone.
#[inline(always)]
const fn mapped(ipv4: u32) -> [u64; 2] {
    [0, (ipv4 as u64) << 32 | V4_MAPPED]
}

/// A field, or zero when it cannot be read.
#[inline(always)]
fn read<T: Default>(sock: *const u8, offset: &Global<u32>) -> T {
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_kernel(sock.wrapping_add(offset.load() as usize).cast::<T>()) }
        .unwrap_or_default()
}
