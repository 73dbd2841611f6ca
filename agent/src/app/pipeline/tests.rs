use super::super::queue::Popped;
use super::*;
use crate::capture::Event;
use crate::engine::Limits;
use crate::engine::tests::wire::{CLIENT, SERVER, Wire};
use crate::flow::{ConnectionId, Side, SocketId};

const CONNECTIONS: u64 = 200;
const EACH: usize = 100;

/// Requests of all connections in one poll, and in the next one the end of all of them, where it
/// comes before the end of the run.
struct Burst {
    polls: u8,
    closes: bool,
}

impl Source for Burst {
    fn poll(
        &mut self,
        _timeout: Duration,
        handle: &mut dyn FnMut(&Event<'_>),
    ) -> io::Result<Polled> {
        self.polls += 1;
        for socket in 1..=CONNECTIONS {
            let mut wire = Wire::at(Side::Server, socket, 5000, [10, 20]);
            match self.polls {
                1 => {
                    wire.say(CLIENT, "GET /a HTTP/1.1\r\n\r\n".repeat(EACH));
                    wire.say(SERVER, "");
                    for packet in &wire.packets {
                        handle(&Event::Tcp(packet.segment()));
                    }
                }
                2 if self.closes => handle(&Event::Closed {
                    connection: ConnectionId::socket(SocketId(socket)),
                    time: wire.time + 10_000_000,
                }),
                _ => return Ok(Polled::End),
            }
        }
        Ok(Polled::More)
    }

    fn time(&self) -> Option<Nanos> {
        Some(2_000_000_000)
    }
}

/// Exchanges in the queue, bytes of its largest batch, and exchanges that found no room.
fn run(closes: bool, max_bytes: usize) -> (u64, usize, u64) {
    let queue = Queue::new(1_000_000, max_bytes);
    let pipeline = Pipeline {
        source: Burst { polls: 0, closes },
        engine: Engine::new(Limits::default()),
        queue: &queue,
        when_full: WhenFull::Drop,
        time: Time::Source,
        stop: Stop::default(),
        deadline: None,
        announcer: None,
        observer: None,
    };
    let ended = pipeline.run();
    let (mut kept, mut largest) = (0, 0);
    while let Popped::Batch(batch) = queue.pop(Duration::ZERO) {
        assert!(batch.first >= kept, "in order");
        kept += batch.exchanges.len() as u64;
        largest = largest.max(batch.exchanges.iter().map(Exchange::memory).sum());
    }
    assert_eq!(ended.engine.ledger().imbalance(), 0);
    assert_eq!(ended.engine.ledger().emitted(), kept + ended.output_full);
    (kept, largest, ended.output_full)
}

#[test]
fn what_ends_at_once_is_handed_over_in_parts() {
    let all = CONNECTIONS * EACH as u64;
    for closes in [true, false] {
        let (kept, largest, dropped) = run(closes, 1 << 40);
        assert_eq!((kept, dropped), (all, 0));
        // What one connection adds comes on top.
        assert!(largest < 2 * PART, "{largest}");
        let (kept, largest, dropped) = run(closes, 4 * PART);
        assert_eq!(kept + dropped, all);
        assert!(kept > 0 && dropped > 0 && largest < 2 * PART, "{largest}");
    }
}
