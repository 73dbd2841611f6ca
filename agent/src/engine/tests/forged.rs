//! What somebody else sends within a connection, or a client that wants to be seen wrong: the
//! exchanges are those of the server.

use super::wire::{CLIENT, Packet, Run, SERVER, Wire, line};
use crate::engine::Limits;
use crate::exchange::Exchange;
use crate::flow::Side;
use crate::http::Anomalies;

const GET: &[u8] = b"GET /harmless/index.html HTTP/1.1\r\nHost: h\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na";

/// A packet of the client, `ahead` of what comes next.
fn forged(wire: &mut Wire, ahead: u32, bytes: &[u8]) -> Packet {
    let mut packet = wire.say(CLIENT, b"").clone();
    wire.packets.pop();
    packet.expected = packet.seq;
    packet.seq += ahead;
    packet.wire_len = u32::try_from(bytes.len()).unwrap();
    packet.payload = bytes.to_vec();
    packet
}

/// One exchange; before the request comes what `insert` makes, and the request comes in `parts`.
fn exchange(wire: &mut Wire, parts: usize, insert: &dyn Fn(&mut Wire) -> Option<Packet>) {
    if let Some(packet) = insert(wire) {
        wire.packets.push(packet);
    }
    for part in GET.chunks(GET.len().div_ceil(parts)) {
        wire.say(CLIENT, part);
    }
    wire.say(SERVER, OK);
}

/// Three exchanges, the one at `index` with `insert`.
fn run(index: usize, parts: usize, insert: &dyn Fn(&mut Wire) -> Option<Packet>) -> Vec<Exchange> {
    let mut wire = Wire::new(Side::Server);
    for at in 0..3 {
        match at == index {
            true => exchange(&mut wire, parts, insert),
            false => exchange(&mut wire, 1, &|_| None),
        }
    }
    let mut run = Run::new(Limits::default());
    run.feed(&wire.packets);
    run.finish();
    run.output.exchanges
}

fn is_marked(exchange: &Exchange) -> bool {
    exchange.request.anomalies.contains(Anomalies::CONFLICT)
}

#[test]
fn bytes_beyond_a_hole_do_not_win_over_those_in_order() {
    let other = b"/admin/delete-all?user=bob HTTP/1.1\r\n\r\n";
    for index in 0..3 {
        for ahead in [1, 4, 5, 11, 20] {
            for len in [1, 2, 7, 26] {
                let insert = |wire: &mut Wire| Some(forged(wire, ahead, &other[..len]));
                let genuine = &GET[ahead as usize..][..len];
                let differs = genuine != &other[..len];
                let exchanges = run(index, 1, &insert);
                let whole = "GET /harmless/index.html \"\" -> 200 \"a\"";
                assert_eq!(exchanges.len(), 3);
                for (at, exchange) in exchanges.iter().enumerate() {
                    assert_eq!(line(exchange), whole, "{index} {ahead} {len}");
                    assert_eq!(
                        is_marked(exchange),
                        differs && at == index,
                        "{index} {ahead} {len} {at}"
                    );
                }
            }
        }
    }
}

/// TCP refuses the bytes beyond the hole, which are reached when the request comes in parts.
#[test]
fn bytes_beyond_a_hole_that_are_refused_are_marked() {
    let other = b"/admin/delete";
    for parts in [2, 3, 5] {
        for ahead in 1..12 {
            let insert = |wire: &mut Wire| Some(forged(wire, ahead, other));
            let exchanges = run(1, parts, &insert);
            assert!(is_marked(&exchanges[1]), "{parts} {ahead}");
        }
    }
}

#[test]
fn a_fin_ahead_ends_nothing() {
    for index in 0..3 {
        for ahead in [1, 2, 30, 45] {
            for parts in [1, 2, 4] {
                for len in [0, 1] {
                    let insert = |wire: &mut Wire| {
                        let text = &GET[ahead as usize..][..len];
                        let mut packet = forged(wire, ahead, text);
                        packet.fin = true;
                        Some(packet)
                    };
                    let part = GET.len().div_ceil(parts);
                    // There Linux takes it.
                    let end = ahead as usize + len;
                    if end.is_multiple_of(part) || end == GET.len() {
                        continue;
                    }
                    let exchanges = run(index, parts, &insert);
                    let whole = exchanges.iter().filter(|e| e.partial.is_none());
                    assert_eq!(whole.count(), 3, "{index} {ahead} {parts} {len}");
                }
            }
        }
    }
}

#[test]
fn a_reset_ahead_ends_nothing() {
    for index in 0..3 {
        for ahead in [1, 20, 46, 47, 5000] {
            let insert = |wire: &mut Wire| {
                let mut packet = forged(wire, ahead, b"");
                packet.rst = true;
                Some(packet)
            };
            for parts in [1, 3] {
                let exchanges = run(index, parts, &insert);
                let whole = exchanges.iter().filter(|e| e.partial.is_none());
                assert_eq!(whole.count(), 3, "{index} {ahead} {parts}");
            }
        }
    }
}

/// A reset that carries bytes may have a wrong checksum, and a server may take long to respond.
#[test]
fn a_reset_with_a_payload_ends_nothing() {
    for side in [Side::Server, Side::Client] {
        let mut wire = Wire::new(side);
        exchange(&mut wire, 1, &|_| None);
        wire.say(CLIENT, GET);
        let who = match side {
            Side::Server => CLIENT,
            Side::Client => SERVER,
        };
        let mut rst = wire.say(who, b"").clone();
        wire.packets.pop();
        rst.rst = true;
        rst.wire_len = 5;
        let before = std::mem::take(&mut wire.packets);
        wire.time += 60_000_000_000;
        wire.say(SERVER, OK);
        let mut run = Run::new(Limits::default());
        run.feed(&before);
        run.feed([&rst]);
        run.expire(30_000_000_000);
        run.feed(&wire.packets);
        run.finish();
        let whole = run.output.exchanges.iter().filter(|e| e.partial.is_none());
        assert_eq!(whole.count(), 2, "{side:?}");
    }
}

/// A reset at the end of what is kept beyond a hole is one that Linux may take. What comes after it
/// shows that it did not.
#[test]
fn a_reset_after_bytes_beyond_a_hole() {
    let mut wire = Wire::new(Side::Server);
    exchange(&mut wire, 1, &|_| None);
    let early = forged(&mut wire, 4, &GET[4..10]);
    let mut rst = forged(&mut wire, 10, b"");
    rst.rst = true;
    wire.packets.extend([early, rst]);
    exchange(&mut wire, 1, &|_| None);
    let mut run = Run::new(Limits::default());
    run.feed(&wire.packets);
    run.expire(60_000_000_000);
    run.finish();
    let whole = run.output.exchanges.iter().filter(|e| e.partial.is_none());
    assert_eq!(whole.count(), 2);
}
