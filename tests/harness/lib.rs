//! What the test benches share: isolated environment (network namespace, cgroup, scratch folder),
//! real servers and clients inside them, and the `meshtap` binary watching.
//!
//! Nothing here touches the machine's own network. Whatever is made is removed when its owner is
//! dropped, also while a test panics; what a killed run left behind is removed by the next one
//! ([`sweep`]).
//!
//! A live test is a plain `#[test]` around [`live`]:
//!
//! ```no_run
//! # use meshtap_tests::{Nginx, Tap, curl, live, url};
//! # fn test() {
//! live(|bench| {
//!     let _nginx = Nginx::start(bench, "location / { return 200 hello; }");
//!     let tap = Tap::new(bench).start();
//!     curl(&[&url("localhost", "/")]);
//!     let report = tap.finish();
//!     report.assert_balanced();
//!     assert_eq!(report.exchanges[0].status(), Some(200));
//! });
//! # }
//! ```

mod apiserver;
mod bench;
mod binary;
mod cgroup;
mod client;
mod cluster;
mod envoy;
mod lossy;
mod messages;
mod netns;
mod packet;
mod pair;
mod process;
mod prometheus;
mod random;
mod raw_peer;
mod report;
mod scratch;
mod server;
mod set;
mod sniffer;
mod sweep;
mod tap;
mod terminal;
mod tun;

pub use apiserver::{ApiServer, Reply, built};
pub use bench::{Bench, figure, isolated, live, skip};
pub use binary::{binary, copy_binary, with_only};
pub use cgroup::{Cgroup, Pod};
pub use client::{Connection, ECHO, Response, curl, swarm};
pub use cluster::{Cluster, until};
pub use envoy::{ENVOY_PORT, Envoy};
pub use lossy::{Impairment, LossyLink, Tally};
pub use messages::{Accept, MessageServer, body_of, close, received, send};
pub use netns::Netns;
pub use packet::packet;
pub use pair::{Pair, reset};
pub use process::{Daemon, socket_states};
pub use prometheus::Prometheus;
pub use random::Random;
pub use raw_peer::{Ack, RawConnection, RawNetwork, Segment};
pub use report::{Exchange, Message, Report, decode_base64};
pub use scratch::Scratch;
pub use server::{Apache, HTTP_PORT, Nginx, PythonServer, url};
pub use set::SetOnDrop;
pub use sniffer::{PCAP_HEAD, Sniffer, record_at};
pub use sweep::sweep;
pub use tap::{Pace, Running, Tap};
pub use terminal::Terminal;
