//! TUN devices: the far end of a network is a file of this process, which reads and writes bare IP
//! packets.

use std::fs::{File, OpenOptions};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use rustix::ioctl::{Opcode, Setter, ioctl};

use crate::Netns;

/// `struct ifreq` as TUNSETIFF reads it (kernel documentation, "Universal TUN/TAP device driver").
#[repr(C)]
#[derive(Clone, Copy)]
struct InterfaceRequest {
    name: [u8; 16],
    flags: u16,
    padding: [u8; 22],
}

/// `_IOW('T', 202, int)`
const TUNSETIFF: Opcode = 0x4004_54ca;
/// `IFF_TUN | IFF_NO_PI`: bare IP packets.
const TUN_BARE: u16 = 0x1001;
/// Longest wait for a device of the same name to go.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Makes a device in a network, with an address (and prefix length, `/24` for IPv4) of each family.
/// Reads do not block.
pub(crate) fn tun(netns: &Netns, device: &str, addresses: [&str; 2]) -> File {
    let file = netns.inside(|| {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/net/tun");
        let file = file.expect("/dev/net/tun");
        let mut request = InterfaceRequest {
            name: [0; 16],
            flags: TUN_BARE,
            padding: [0; 22],
        };
        request.name[..device.len()].copy_from_slice(device.as_bytes());
        let deadline = Instant::now() + TIMEOUT;
        loop {
            // SAFETY: TUNSETIFF reads a `struct ifreq`, 40 bytes, laid out as above.
            match unsafe { ioctl(&file, Setter::<TUNSETIFF, InterfaceRequest>::new(request)) } {
                // A device lives as long as its file. A process that another test starts holds a
                // copy of every file between its fork and its exec; nothing says when it lets go.
                Err(Errno::BUSY) if Instant::now() < deadline => thread::yield_now(),
                result => break result.expect("TUNSETIFF"),
            }
        }
        file
    });
    netns.add_addresses(device, addresses);
    // A lost packet must not cost the test 200 ms each (tcp(7), rto_min of ip-route(8)).
    netns.ip(&format!(
        "route change {} dev {device} rto_min 10ms",
        network(addresses[0])
    ));
    fcntl_setfl(&file, OFlags::NONBLOCK).expect("O_NONBLOCK");
    file
}

/// `10.1.0.1/24` → `10.1.0.0/24`: the route that comes with an address.
fn network(address: &str) -> String {
    let (ip, prefix) = address.split_once('/').expect("an address with a prefix");
    assert_eq!(prefix, "24", "the tests use /24 networks");
    let (front, _) = ip.rsplit_once('.').expect("an IPv4 address");
    format!("{front}.0/24")
}
