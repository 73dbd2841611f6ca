//! RUSTC_BOOTSTRAP=1 cargo build --release -Z build-std=core --target aarch64-unknown-none, with
//! panic = "abort", opt-level = 2, lto = true; llvm-objcopy -S, or not.
#![no_std]
#![no_main]
use core::ptr::{addr_of_mut, read_volatile as r, write_volatile as w};
#[panic_handler]
fn p(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
#[repr(C)]
pub struct M {
    read: extern "C" fn(*mut S, *mut u8) -> i32,
    write: extern "C" fn(*mut S, *const u8) -> i32,
}
#[repr(C)]
pub struct S {
    m: *const M,
    s3: *mut u8,
    hs: Option<extern "C" fn(*mut S) -> i32>,
    state: i32,
    fatal: i32,
    quic: i32,
    pending: usize,
    err: i32,
}
static F: &[u8] = b"external/boringssl/ssl/ssl_lib.cc\0";
#[used]
static CIPHER: &[u8; 30] = b"ECDHE-ECDSA-CHACHA20-POLY1305\0";
static mut SEEN: i32 = 0;
#[inline(never)]
unsafe extern "C" fn put(l: i32, u: i32, c: i32, f: *const u8, n: u32) {
    w(addr_of_mut!(SEEN), l + u + c + n as i32 + r(f) as i32)
}
#[inline(never)]
unsafe extern "C" fn reset(s: *mut S) {
    w(addr_of_mut!((*s).err), 0);
    w(addr_of_mut!(SEEN), 0)
}
#[inline(never)]
unsafe extern "C" fn handshake(s: *mut S) -> i32 {
    reset(s);
    let Some(f) = (*s).hs else {
        put(16, 0, 134, F.as_ptr(), 880);
        return -1;
    };
    if (*s).state == 0 {
        return 1;
    }
    let x = f(s);
    if x <= 0 {
        (*s).fatal = x;
        return x;
    }
    1
}
#[inline(never)]
unsafe extern "C" fn imp(s: *mut S) -> i32 {
    reset(s);
    if (*s).hs.is_none() {
        put(16, 0, 226, F.as_ptr(), 1001);
        return -1;
    }
    while (*s).pending == 0 {
        if (*s).quic != 0 {
            put(16, 0, 66, F.as_ptr(), 1010);
            return -1;
        }
        let x = handshake(s);
        if x < 0 {
            return x;
        }
        if x == 0 {
            put(16, 0, 215, F.as_ptr(), 1016);
            return -1;
        }
        let x = ((*(*s).m).read)(s, (*s).s3);
        if x <= 0 {
            return x;
        }
    }
    1
}
#[inline(never)]
unsafe extern "C" fn peek(s: *mut S, b: *mut u8, n: i32) -> i32 {
    if (*s).quic != 0 {
        put(16, 0, 66, F.as_ptr(), 1060);
        return -1;
    }
    let x = imp(s);
    if x <= 0 {
        return x;
    }
    if n <= 0 {
        return n;
    }
    let k = if (*s).pending < n as usize {
        (*s).pending
    } else {
        n as usize
    };
    let mut i = 0;
    while i < k {
        w(b.add(i), r((*s).s3.add(i)));
        i += 1
    }
    k as i32
}
#[inline(never)]
unsafe extern "C" fn read(s: *mut S, b: *mut u8, n: i32) -> i32 {
    let x = peek(s, b, n);
    if x <= 0 {
        return x;
    }
    (*s).pending -= x as usize;
    (*s).s3 = (*s).s3.add(x as usize);
    x
}
#[inline(never)]
unsafe extern "C" fn write(s: *mut S, b: *const u8, n: i32) -> i32 {
    reset(s);
    if (*s).quic != 0 {
        put(16, 0, 66, F.as_ptr(), 1083);
        return -1;
    }
    if (*s).hs.is_none() {
        put(16, 0, 226, F.as_ptr(), 1088);
        return -1;
    }
    loop {
        if (*s).state != 0 {
            let x = handshake(s);
            if x < 0 {
                return x;
            }
            if x == 0 {
                put(16, 0, 215, F.as_ptr(), 1100);
                return -1;
            }
        }
        if n < 0 {
            put(16, 0, 111, F.as_ptr(), 1106);
            return -1;
        }
        let x = ((*(*s).m).write)(s, b);
        if x != 2 {
            return x;
        }
    }
}
#[inline(never)]
unsafe extern "C" fn shutdown(s: *mut S) -> i32 {
    reset(s);
    if (*s).hs.is_none() {
        put(16, 0, 226, F.as_ptr(), 1150);
        return -1;
    }
    if (*s).state != 0 {
        put(16, 0, 194, F.as_ptr(), 1160);
        return -1;
    }
    if (*s).pending != 0 {
        put(16, 0, 291, F.as_ptr(), 1170);
        return -1;
    }
    (*s).fatal
}
#[no_mangle]
pub unsafe extern "C" fn _start(s: *mut S, b: *mut u8, c: i32) -> ! {
    let x = match c {
        1 => read(s, b, c),
        2 => write(s, b, c),
        3 => shutdown(s),
        _ => peek(s, b, c),
    };
    w(addr_of_mut!(SEEN), x);
    loop {}
}
