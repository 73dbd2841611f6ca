//! Socket-local storage (`BPF_MAP_TYPE_SK_STORAGE`): a value for each socket, which goes with it.

use core::ptr::{from_ref, null, null_mut};

use aya_ebpf::bindings::bpf_map_type::BPF_MAP_TYPE_SK_STORAGE;
use aya_ebpf::bindings::bpf_sock;
use aya_ebpf::helpers::bpf_sk_storage_get;

/// A map definition in BTF: types that are never read, only their lengths. `FLAGS` has
/// `BPF_F_NO_PREALLOC`, which the kernel asks for. (That of `aya_ebpf` has no `BPF_F_CLONE`.)
#[repr(C)]
pub(crate) struct Storage<T, const FLAGS: usize> {
    r#type: *const [i32; BPF_MAP_TYPE_SK_STORAGE as usize],
    key: *const i32,
    value: *const T,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; FLAGS],
}

// SAFETY: the pointers are null, and never read.
unsafe impl<T, const FLAGS: usize> Sync for Storage<T, FLAGS> {}

impl<T, const FLAGS: usize> Storage<T, FLAGS> {
    pub(crate) const fn new() -> Self {
        Self {
            r#type: null(),
            key: null(),
            value: null(),
            max_entries: null(),
            map_flags: null(),
        }
    }

    /// The value of a socket, with `BPF_SK_STORAGE_GET_F_CREATE` made of zeroes when there is none;
    /// else null. It lives as long as its socket, which lives as long as the program runs. Programs
    /// that run at once for one socket share it.
    ///
    /// # Safety
    /// `sk` is a socket that the caller has from the kernel.
    #[inline(always)]
    pub(crate) unsafe fn find(&'static self, sk: *mut bpf_sock, flags: u64) -> *mut T {
        let map = from_ref(self).cast_mut().cast();
        // SAFETY: the caller's.
        unsafe { bpf_sk_storage_get(map, sk.cast(), null_mut(), flags).cast() }
    }
}
