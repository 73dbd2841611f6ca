//! What only a kernel, a real server or a real client does: the agent captures live traffic of one
//! machine.

mod closing;
mod concurrency;
mod conformance;
mod encrypted;
mod envoy;
mod false_positives;
mod flows;
mod handover;
mod harness;
mod limits;
mod lossy_link;
mod messages;
mod options;
mod overload;
mod proxy_protocol;
mod raw_peer;
mod record;
mod servers;
mod sides;
mod signals;
mod sockets;
mod urgent;
