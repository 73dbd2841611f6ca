//! A bad link: two TUN devices in two networks, and a relay between them that loses, reorders and
//! duplicates packets.
//!
//! (The kernels this is tried on have no netem.)

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fd::OwnedFd;

use crate::tun::tun;
use crate::{Netns, Random};

/// What the link does to packets, each in cases per thousand.
#[derive(Clone, Copy, Debug)]
pub struct Impairment {
    /// Lost.
    pub loss: u64,
    /// Overtaken by one to four later ones.
    pub reorder: u64,
    /// Delivered twice.
    pub duplicate: u64,
}

/// The link; dropped, it is gone with its devices.
#[derive(Debug)]
pub struct LossyLink {
    stop: Arc<OwnedFd>,
    relay: Option<JoinHandle<Tally>>,
}

/// What the relay did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Packets that came in.
    pub packets: u64,
    /// Not passed on.
    pub lost: u64,
    /// Passed on late.
    pub reordered: u64,
    /// Passed on twice.
    pub duplicated: u64,
}

const DEVICE: &str = "tun0";

impl LossyLink {
    /// Joins two networks. Each end has an address (and prefix length) of each family, as in
    /// [`Netns::join`].
    #[must_use]
    pub fn new(
        a: (&Netns, [&str; 2]),
        b: (&Netns, [&str; 2]),
        impairment: Impairment,
        seed: u64,
    ) -> Self {
        let ends = [tun(a.0, DEVICE, a.1), tun(b.0, DEVICE, b.1)];
        let stop = Arc::new(eventfd(0, EventfdFlags::empty()).expect("eventfd"));
        let stopped = Arc::clone(&stop);
        let relay =
            std::thread::spawn(move || relay(ends, impairment, Random::new(seed), &stopped));
        Self {
            stop,
            relay: Some(relay),
        }
    }

    /// Ends it, and says what it did.
    #[must_use]
    pub fn finish(mut self) -> Tally {
        self.end()
    }

    fn end(&mut self) -> Tally {
        let _ = rustix::io::write(&*self.stop, &1_u64.to_ne_bytes());
        let relay = self.relay.take().map(JoinHandle::join);
        relay.and_then(Result::ok).unwrap_or_default()
    }
}

impl Drop for LossyLink {
    fn drop(&mut self) {
        self.end();
    }
}

/// One way of the link: packets held back until so many others have passed.
#[derive(Default)]
struct Lane {
    held: VecDeque<(u64, Vec<u8>)>,
}

impl Lane {
    fn pass(
        &mut self,
        packet: &[u8],
        out: &mut File,
        impairment: Impairment,
        random: &mut Random,
        tally: &mut Tally,
    ) {
        tally.packets += 1;
        if random.chance(impairment.loss) {
            tally.lost += 1;
            return;
        }
        if random.chance(impairment.reorder) {
            tally.reordered += 1;
            self.held.push_back((1 + random.below(4), packet.to_vec()));
            return;
        }
        let _ = out.write(packet);
        if random.chance(impairment.duplicate) {
            tally.duplicated += 1;
            let _ = out.write(packet);
        }
        for (left, _) in &mut self.held {
            *left = left.saturating_sub(1);
        }
        while let Some((0, packet)) = self.held.front() {
            let _ = out.write(packet);
            self.held.pop_front();
        }
    }

    fn flush(&mut self, out: &mut File) {
        for (_, packet) in self.held.drain(..) {
            let _ = out.write(&packet);
        }
    }
}

fn relay(mut ends: [File; 2], impairment: Impairment, mut random: Random, stop: &OwnedFd) -> Tally {
    // Nothing else overtakes a held packet when the link is silent: it goes on after this long.
    const HOLD: Timespec = Timespec {
        tv_sec: 0,
        tv_nsec: 1_000_000,
    };
    let mut lanes = [Lane::default(), Lane::default()];
    let mut tally = Tally::default();
    let mut packet = vec![0; 65_536];
    loop {
        let waiting = lanes.iter().any(|lane| !lane.held.is_empty());
        let mut fds = [
            PollFd::new(&ends[0], PollFlags::IN),
            PollFd::new(&ends[1], PollFlags::IN),
            PollFd::new(stop, PollFlags::IN),
        ];
        let ready = poll(&mut fds, waiting.then_some(&HOLD)).unwrap_or(0);
        if !fds[2].revents().is_empty() {
            return tally;
        }
        for (from, lane) in lanes.iter_mut().enumerate() {
            let to = 1 - from;
            if ready == 0 {
                lane.flush(&mut ends[to]);
            }
            while let Ok(len) = ends[from].read(&mut packet) {
                lane.pass(
                    &packet[..len],
                    &mut ends[to],
                    impairment,
                    &mut random,
                    &mut tally,
                );
            }
        }
    }
}
