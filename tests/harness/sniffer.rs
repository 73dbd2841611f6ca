//! `tcpdump`, started and stopped without guessing at time: it has started when it says so, and it
//! has seen everything when it has seen a datagram that was sent last.

use std::io::{BufRead as _, BufReader, Read};
use std::net::UdpSocket;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Length of a pcap file's head, and of a record's.
pub const PCAP_HEAD: usize = 24;
const RECORD: usize = 16;

/// Discard (RFC 863): nothing listens there.
const DISCARD: u16 = 9;
const LAST: &[u8] = b"the last datagram of this capture";

/// The kernel's buffer for tcpdump: all of a test's traffic, so that a busy machine loses none of
/// it.
const BUFFER_KIB: &str = "262144";

/// tcpdump hands on what it has at least once a second.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A datagram may be lost; so many are not.
const TRIES: usize = 12;

/// `tcpdump`, until dropped.
#[derive(Debug)]
pub struct Sniffer {
    tcpdump: Child,
    file: Receiver<Vec<u8>>,
    stderr: Option<JoinHandle<String>>,
    towards: &'static str,
}

impl Sniffer {
    /// Captures TCP on a device of the thread's own network. A datagram sent to the IPv4 address
    /// `towards` must pass that device.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(device: &str, towards: &'static str) -> Self {
        let mut tcpdump = Command::new("tcpdump")
            .args(["-i", device, "-s", "0", "-n", "-U", "-B", BUFFER_KIB])
            .args(["-Z", "root", "-w", "-"])
            .arg(format!("tcp or udp port {DISCARD}"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("tcpdump");
        let stdout = tcpdump.stdout.take().expect("stdout");
        let (whole, file) = channel();
        std::thread::spawn(move || {
            // Nobody waits for it any more when the test has failed.
            let _ = whole.send(until_last(stdout));
        });
        let mut stderr = BufReader::new(tcpdump.stderr.take().expect("stderr"));
        let mut said = String::new();
        while !said.contains("listening on") {
            let read = stderr.read_line(&mut said).expect("tcpdump's messages");
            assert_ne!(read, 0, "tcpdump ended: {said}");
        }
        Self {
            tcpdump,
            file,
            stderr: Some(std::thread::spawn(move || rest(stderr))),
            towards,
        }
    }

    /// Everything captured up to now, as a pcap file.
    ///
    /// # Panics
    /// When some of it is missing.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        let socket = UdpSocket::bind(("0.0.0.0", 0)).expect("a UDP socket");
        let file = (0..TRIES).find_map(|_| {
            // Refused when an earlier one was responded with "port unreachable".
            let _ = socket.send_to(LAST, (self.towards, DISCARD));
            self.file.recv_timeout(TIMEOUT).ok()
        });
        let pid = Pid::from_raw(self.tcpdump.id().cast_signed()).expect("a process id");
        kill_process(pid, Signal::INT).expect("interrupt tcpdump");
        let _ = self.tcpdump.wait();
        let said = self.stderr.take().expect("stderr").join().expect("stderr");
        assert!(said.contains("\n0 packets dropped by kernel"), "{said}");
        file.unwrap_or_else(|| panic!("the last datagram was not captured: {said}"))
    }
}

impl Drop for Sniffer {
    fn drop(&mut self) {
        let _ = self.tcpdump.kill();
        let _ = self.tcpdump.wait();
    }
}

/// What tcpdump writes until the last datagram, or its end.
fn until_last(mut stdout: impl Read) -> Vec<u8> {
    let mut file = Vec::new();
    let mut buffer = vec![0; 1 << 20];
    let mut at = PCAP_HEAD;
    while let Ok(read) = stdout.read(&mut buffer)
        && read > 0
    {
        file.extend_from_slice(&buffer[..read]);
        while let Some(record) = record_at(&file, at) {
            if record.ends_with(LAST) {
                return file;
            }
            at += record.len();
        }
    }
    file
}

fn rest(mut stderr: BufReader<ChildStderr>) -> String {
    let mut said = "\n".to_owned();
    let _ = stderr.read_to_string(&mut said);
    said
}

/// The record at an offset of a pcap file in this machine's byte order, which is what tcpdump
/// writes; with its head, if it is there whole.
#[must_use]
pub fn record_at(file: &[u8], at: usize) -> Option<&[u8]> {
    let rest = file.get(at..)?;
    let length = u32::from_ne_bytes(*rest.get(8..12)?.first_chunk()?);
    rest.get(..RECORD + usize::try_from(length).ok()?)
}
