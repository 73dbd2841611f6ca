//! Network namespaces. One is held by a file descriptor alone, so the kernel removes it with
//! everything in it when the test process ends, however it ends.

use std::fs::File;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::process::Command;

use rustix::process::Pid;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A private network with its loopback device up (IPv4 and IPv6).
#[derive(Debug)]
pub struct Netns(File);

impl Netns {
    /// A new one. The calling thread stays where it is.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it makes a namespace")]
    pub fn new() -> Self {
        let made = std::thread::spawn(|| {
            // SAFETY: a new network namespace for this thread alone; nothing it shares (files,
            // memory) is unshared.
            unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }
                .expect("a network namespace");
            Self::current()
        });
        let netns = made.join().expect("the namespace's first thread");
        netns.ip("link set lo up");
        netns
    }

    fn current() -> Self {
        Self(File::open("/proc/thread-self/ns/net").expect("the thread's network namespace"))
    }

    /// The one that a process is in.
    pub(crate) fn of(process: Pid) -> Self {
        Self(
            File::open(format!("/proc/{process}/ns/net")).expect("the process's network namespace"),
        )
    }

    /// The machine's own, where the test process's first thread always is: to fetch what a test
    /// needs, and for nothing else.
    pub(crate) fn of_the_machine() -> Self {
        Self(File::open("/proc/self/ns/net").expect("the process's network namespace"))
    }

    /// The calling thread enters it; threads and processes that it starts are in it from the
    /// beginning.
    pub(crate) fn enter(&self) {
        move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))
            .expect("enter the network namespace");
    }

    /// Runs `f` with the calling thread in this namespace: processes it starts and sockets it makes
    /// belong there.
    pub fn inside<T>(&self, f: impl FnOnce() -> T) -> T {
        struct Back(Netns);
        impl Drop for Back {
            fn drop(&mut self) {
                self.0.enter();
            }
        }
        let _back = Back(Self::current());
        self.enter();
        f()
    }

    /// Runs `ip` with these words in it.
    pub fn ip(&self, words: &str) {
        let output = self
            .inside(|| Command::new("ip").args(words.split(' ')).output())
            .expect("ip (package iproute2)");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ip {words}: {errors}");
    }

    /// Joins it with another by a pair of devices, with an address (and prefix length) of each
    /// family at each end.
    pub fn join(&self, other: &Self, own: [&str; 2], others: [&str; 2]) {
        let target = format!("/proc/{}/fd/{}", std::process::id(), other.0.as_raw_fd());
        self.ip(&format!(
            "link add veth0 type veth peer name veth0 netns {target}"
        ));
        for (netns, addresses) in [(self, own), (other, others)] {
            netns.add_addresses("veth0", addresses);
        }
    }

    /// Gives a device its addresses and brings it up.
    pub(crate) fn add_addresses(&self, device: &str, [v4, v6]: [&str; 2]) {
        self.ip(&format!("address add {v4} dev {device}"));
        self.ip(&format!("-6 address add {v6} dev {device} nodad"));
        self.ip(&format!("link set {device} up"));
    }
}
