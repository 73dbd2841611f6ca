//! Where the programs attach.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::bpf_get_socket_cookie;
use aya_ebpf::macros::{cgroup_sock, raw_tracepoint, sock_ops, uprobe, uretprobe};
use aya_ebpf::programs::{
    ProbeContext, RawTracePointContext, RetProbeContext, SockContext, SockOpsContext,
};

use crate::rustls::{record, thread};
use crate::{call, finish, maps, rustls, session, sock};

#[uprobe]
fn meshtap_ssl_read(ctx: ProbeContext) {
    call::enter(&ctx, call::READ);
}

#[uprobe]
fn meshtap_ssl_write(ctx: ProbeContext) {
    call::enter(&ctx, call::WRITE);
}

#[uprobe]
fn meshtap_ssl_readx(ctx: ProbeContext) {
    call::enter(&ctx, call::READ_EX);
}

#[uprobe]
fn meshtap_ssl_writex(ctx: ProbeContext) {
    call::enter(&ctx, call::WRITE_EX);
}

/// `ssl_read_internal`, which the two for reading call.
#[uprobe]
fn meshtap_ssl_readi(ctx: ProbeContext) {
    call::enter(&ctx, call::READ_SHARED);
}

/// `ssl_write_internal` with flags. Without them it has the arguments of `SSL_write_ex`.
#[uprobe]
fn meshtap_ssl_writef(ctx: ProbeContext) {
    call::enter(&ctx, call::WRITE_FLAGS);
}

#[uprobe]
fn meshtap_ssl_shake(ctx: ProbeContext) {
    call::enter(&ctx, call::HANDSHAKE);
}

#[uprobe]
fn meshtap_ssl_shut(ctx: ProbeContext) {
    call::enter(&ctx, call::SHUTDOWN);
}

/// Of each of these functions.
#[uretprobe]
fn meshtap_ssl_ret(ctx: RetProbeContext) {
    finish::leave(&ctx);
}

/// `void EVP_AEAD_CTX_zero(EVP_AEAD_CTX *)`
#[uprobe]
fn meshtap_aead_new(ctx: ProbeContext) {
    rustls::created(&ctx);
}

/// `int EVP_AEAD_CTX_open_gather(ctx, out, nonce, nonce_len, in, in_len, …)`
#[uprobe]
fn meshtap_aead_open(ctx: ProbeContext) {
    record::open(&ctx);
}

/// Of that function.
#[uretprobe]
fn meshtap_aead_ret(ctx: RetProbeContext) {
    record::opened(&ctx);
}

/// `int EVP_AEAD_CTX_seal(ctx, out, out_len, max_out_len, nonce, nonce_len, in, in_len, …)`
#[uprobe]
fn meshtap_aead_seal(ctx: ProbeContext) {
    record::seal(&ctx);
}

/// `sock_send_length(struct sock *, int ret, int flags)`, Linux 6.3.
#[raw_tracepoint]
fn meshtap_ssl_sent(ctx: RawTracePointContext) -> i32 {
    sock::used(ctx.arg(0), None);
    rustls::sent(ctx.arg(0), ctx.arg(1));
    0
}

/// `sock_recv_length(struct sock *, int ret, int flags)`, Linux 6.3.
#[raw_tracepoint]
fn meshtap_ssl_recv(ctx: RawTracePointContext) -> i32 {
    sock::used(ctx.arg(0), Some((ctx.arg(1), ctx.arg(2))));
    if ctx.arg::<i32>(1) > 0 {
        thread::received(ctx.arg(0));
    }
    0
}

/// `tcp_rcv_space_adjust(struct sock *)`: after bytes were received, in the process that receives
/// them. For kernels without the two above.
#[raw_tracepoint]
fn meshtap_ssl_tcp(ctx: RawTracePointContext) -> i32 {
    sock::used(ctx.arg(0), None);
    thread::received(ctx.arg(0));
    0
}

/// A connection begins: the kernel gives its socket the number by which it is known here. Where the
/// socket hook leaves a socket alone, nobody else asks for it.
#[sock_ops]
fn meshtap_ssl_new(ctx: SockOpsContext) -> u32 {
    const ACTIVE_ESTABLISHED: u32 = 4;
    const PASSIVE_ESTABLISHED: u32 = 5;
    if matches!(ctx.op(), ACTIVE_ESTABLISHED | PASSIVE_ESTABLISHED) {
        // SAFETY: the context of a program type that has this helper.
        let _known = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
    }
    1
}

/// The last reference to a socket is gone.
#[cgroup_sock(sock_release)]
fn meshtap_ssl_close(ctx: SockContext) -> i32 {
    session::socket_released(maps::address(ctx.sock));
    1
}
