//! The exchanges of a recording.

use std::net::SocketAddr;

use meshtap::capture::{Event, Segment};
use meshtap::engine::{Engine, Limits, Output};
use meshtap::exchange::Exchange;
use meshtap::flow::{CgroupId, Endpoint};

use super::recording;

/// So many of HTTP/1, with both bodies of so many bytes together.
pub(super) fn make(count: u64, body: usize) -> Vec<Exchange> {
    let mut engine = Engine::new(Limits::default());
    let mut output = Output::default();
    let mut made = Vec::new();
    let local = Endpoint::from(SocketAddr::from(([10, 0, 0, 1], 8080)));
    let mut time = 1;
    for chunk in recording::http1(count, body, 64) {
        time += 1000;
        let segment = Segment {
            time,
            cgroup: CgroupId(1),
            seq: chunk.seq,
            ack: chunk.ack,
            expected: chunk.seq,
            start: chunk.start,
            ..Segment::new(
                chunk.socket,
                chunk.direction,
                (local, chunk.remote),
                &chunk.payload,
            )
        };
        engine.event(&Event::Tcp(segment), &mut output);
        output.commands.clear();
        made.append(&mut output.exchanges);
    }
    engine.finish(time, &mut output);
    made.append(&mut output.exchanges);
    made
}
