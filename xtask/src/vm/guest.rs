//! A machine under QEMU without KVM: a kernel, a file system in memory, and a serial console.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// QEMU 7.2 emulates `cmpxchg16b` wrong now and then: it leaves the processor's flags with what
/// belongs to another register, and the guest panics in its allocator. A kernel on a processor
/// without it does the same in another way.
const CPU: &str = "max,cx16=off";

/// What it is made of.
#[derive(Clone, Copy, Debug)]
pub struct Machine<'a> {
    pub kernel: &'a Path,
    pub initramfs: &'a Path,
    /// MiB.
    pub memory: u32,
}

/// A running QEMU; gone when this is.
#[derive(Debug)]
pub struct Guest(Child);

impl Guest {
    /// Boots it.
    ///
    /// # Errors
    /// When there is no QEMU.
    pub fn start(machine: &Machine<'_>) -> Result<Self> {
        let guest = Command::new("qemu-system-x86_64")
            .args(["-accel", "tcg", "-cpu", CPU])
            .args(["-m", &machine.memory.to_string()])
            .args(["-no-reboot", "-nodefaults"])
            .args(["-display", "none", "-serial", "stdio", "-kernel"])
            .arg(machine.kernel)
            .arg("-initrd")
            .arg(machine.initramfs)
            .args(["-append", "console=ttyS0 quiet panic=-1 no_timer_check"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start qemu-system-x86_64")?;
        Ok(Self(guest))
    }

    /// Gives each line of the console to `line`, which says whether the guest came to its end,
    /// until it is off. Whether it came there in time.
    ///
    /// # Errors
    /// When the console was taken already.
    pub fn listen(
        &mut self,
        timeout: Duration,
        mut line: impl FnMut(&str) -> bool,
    ) -> Result<bool> {
        let output = self.0.stdout.take().context("no console")?;
        let (sender, lines) = mpsc::sync_channel(1024);
        std::thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                if sender
                    .send(String::from_utf8_lossy(&line).into_owned())
                    .is_err()
                {
                    return;
                }
            }
        });
        let deadline = Instant::now() + timeout;
        let mut ended = false;
        loop {
            match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(text) => ended = line(&text),
                Err(RecvTimeoutError::Disconnected) => return Ok(true),
                Err(RecvTimeoutError::Timeout) => return Ok(ended),
            }
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
