//! Signals: registered before anything that takes long, heeded by one thread of each command.

use std::io;
use std::mem::MaybeUninit;
use std::ptr;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A signal that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    Hangup,
    Interrupt,
    Terminate,
}

impl Received {
    /// Exit code of a process that it ends, as shells report it.
    pub(super) const fn exit_code(self) -> i32 {
        128 + match self {
            Self::Hangup => 1,
            Self::Interrupt => 2,
            Self::Terminate => 15,
        }
    }
}

/// The signals that commands heed.
#[derive(Debug)]
pub(super) struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Registers for them. From here on none is missed, and none ends the process by itself.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(super) fn register() -> io::Result<(Runtime, Self)> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let signals = Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        };
        drop(entered);
        Ok((runtime, signals))
    }

    /// The next one. Nothing is missed when it is dropped before its end.
    pub(super) async fn next(&mut self) -> Received {
        tokio::select! {
            _ = self.hangup.recv() => Received::Hangup,
            _ = self.interrupt.recv() => Received::Interrupt,
            _ = self.terminate.recv() => Received::Terminate,
        }
    }
}

/// Whoever started the process wants it to outlive the terminal, as `nohup` does. To be asked
/// before signals are registered.
pub(super) fn outlives_terminal() -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: nothing is set, and `action` is read only where the call filled it.
    unsafe {
        libc::sigaction(libc::SIGHUP, ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

/// Runs something on this thread while no signal is delivered to it: other threads take them. The
/// kernel breaks off the load of a BPF program for any signal (`EAGAIN`), whatever heeds it.
pub(super) fn undisturbed<T>(run: impl FnOnce() -> T) -> T {
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: both sets are valid for writes, and `all` is filled before it is read. A mask of
    // this thread alone changes.
    let masked = unsafe {
        let mut all = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) == 0
    };
    let result = run();
    if masked {
        // SAFETY: `before` was written, since the first call succeeded.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut());
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn blocked() -> u64 {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
        u64::from_str_radix(line.unwrap().trim(), 16).unwrap()
    }

    #[test]
    fn a_load_is_not_disturbed() {
        let before = blocked();
        let during = undisturbed(blocked);
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGWINCH] {
            let bit = 1 << (signal - 1);
            assert_eq!((before & bit, during & bit), (0, bit), "{signal}");
        }
        assert_eq!(blocked(), before);
    }

    #[test]
    fn exit_codes() {
        let codes = [Received::Hangup, Received::Interrupt, Received::Terminate];
        assert_eq!(codes.map(Received::exit_code), [129, 130, 143]);
    }
}
