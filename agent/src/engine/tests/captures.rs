//! Packet captures at random: any segments, written in another order, twice, of one end alone, with
//! packets missing.

use proptest::collection::vec;
use proptest::prelude::*;

use super::files::{File, Packet};
use super::wire::{CLIENT, Run, SERVER, Who};

/// What a capture is like.
#[derive(Clone, Debug)]
struct Shape {
    /// Bytes of each request's body and each response's.
    bodies: Vec<(usize, usize)>,
    segment: usize,
    /// Which packets are acknowledged at once, by turns.
    acknowledged: Vec<bool>,
    /// Flags of the last packets.
    end: (&'static str, Who),
    /// How far packets move, at most.
    window: u8,
    moves: Vec<u8>,
    twice: Vec<bool>,
    /// Only the client's packets.
    alone: bool,
    /// Packets without payload, flags, are there.
    bare: bool,
    opened: bool,
    /// Of one end alone: packets with payload that are not there.
    missing: Vec<bool>,
}

fn shape() -> impl Strategy<Value = Shape> {
    let ends = prop_oneof![
        Just(("F", CLIENT)),
        Just(("F", SERVER)),
        Just(("R", CLIENT)),
        Just(("", CLIENT))
    ];
    let conversation = (
        vec((0_usize..400, 0_usize..400), 1..5),
        prop_oneof![1_usize..20, 20_usize..700],
        vec(any::<bool>(), 1..12),
        ends,
    );
    let order = (
        0_u8..8,
        vec(any::<u8>(), 1..40),
        vec(prop::bool::weighted(0.2), 1..40),
    );
    let lacks = (
        any::<bool>(),
        prop::bool::weighted(0.7),
        any::<bool>(),
        vec(prop::bool::weighted(0.2), 1..40),
    );
    (conversation, order, lacks).prop_map(
        |(
            (bodies, segment, acknowledged, end),
            (window, moves, twice),
            (alone, bare, opened, missing),
        )| {
            // After missing bytes, a segment has to show a method and the first of a target.
            let least = if alone { 8 } else { 1 };
            Shape {
                bodies,
                segment: segment.max(least),
                acknowledged,
                end,
                window,
                moves,
                twice,
                alone,
                bare,
                opened,
                missing,
            }
        },
    )
}

/// Where each message begins among the packets, and where it ends.
type Message = (Who, usize, std::ops::Range<usize>);

/// All that was said, in order.
fn conversation(shape: &Shape) -> (File, Vec<Message>) {
    let mut file = File::new(usize::MAX);
    let mut messages = Vec::new();
    let mut acknowledged = shape.acknowledged.iter().cycle();
    file.packet(0, CLIENT, "S", b"");
    file.packet(1, SERVER, "SA", b"");
    file.say(2, CLIENT, "");
    let mut millis = 3;
    for (n, (request, response)) in shape.bodies.iter().enumerate() {
        let body = |len: &usize| format!("Content-Length: {len}\r\n\r\n{}", "x".repeat(*len));
        for (who, text) in [
            (CLIENT, format!("POST /{n} HTTP/1.1\r\n{}", body(request))),
            (SERVER, format!("HTTP/1.1 200 OK\r\n{}", body(response))),
        ] {
            let first = file.packets.len();
            for part in text.as_bytes().chunks(shape.segment) {
                file.say(millis, who, part);
                millis += 1;
                if acknowledged.next() == Some(&true) {
                    file.say(millis, who.other(), "");
                }
            }
            messages.push((who, n, first..file.packets.len()));
        }
    }
    let (flags, who) = shape.end;
    if !flags.is_empty() {
        file.packet(millis, who, flags, b"");
    }
    if flags == "F" {
        file.packet(millis, who.other(), flags, b"");
        file.say(millis, who, "");
    }
    (file, messages)
}

/// Which packets the file has, of those that were sent.
fn captured(shape: &Shape, packets: &[Packet]) -> Vec<bool> {
    let mut missing = shape.missing.iter().cycle();
    let has = |packet: &Packet| {
        let is_there = match packet.payload {
            0 => shape.bare || !packet.flags.is_empty(),
            _ => !(missing.next() == Some(&true) && shape.alone),
        };
        let opens = packet.flags.contains('S');
        is_there && (packet.who == CLIENT || !shape.alone) && (shape.opened || !opens)
    };
    packets.iter().map(has).collect()
}

/// In the order in which a capture may write them, some twice.
fn written(shape: &Shape, packets: Vec<Packet>) -> Vec<Packet> {
    let moves = shape.moves.iter().cycle();
    let keyed = packets.into_iter().enumerate().zip(moves);
    let mut keyed: Vec<_> = keyed
        .map(|((at, packet), far)| (at + usize::from(far % (shape.window + 1)), packet))
        .collect();
    let times: Vec<_> = keyed.iter().map(|(_, packet)| packet.millis).collect();
    keyed.sort_by_key(|(key, _)| *key);
    let twice = shape.twice.iter().cycle();
    let in_time = keyed.into_iter().zip(times).zip(twice);
    in_time
        .flat_map(|(((_, packet), millis), twice)| {
            vec![Packet { millis, ..packet }; 1 + usize::from(*twice)]
        })
        .collect()
}

fn targets(run: &Run) -> Vec<String> {
    let exchanges = run.output.exchanges.iter();
    exchanges
        .map(|exchange| String::from_utf8_lossy(exchange.request.head.target()).into_owned())
        .collect()
}

fn check(shape: &Shape) -> Result<(), TestCaseError> {
    let (mut file, messages) = conversation(shape);
    let sent = std::mem::take(&mut file.packets);
    let has = captured(shape, &sent);
    let kept = { sent.iter().zip(&has) }.filter(|(_, has)| **has);
    file.packets = written(shape, kept.map(|(packet, _)| packet.clone()).collect());
    let run = file.run();
    let targets = targets(&run);
    let mut missing = 0;
    for (who, n, range) in messages {
        let parts = sent[range.clone()].iter().zip(&has[range]);
        let lacks: usize = parts
            .filter(|(packet, has)| packet.who == who && !**has)
            .map(|(packet, _)| packet.payload)
            .sum();
        missing += lacks as u64;
        let target = format!("/{n}");
        let shown = targets.iter().filter(|shown| **shown == target).count();
        prop_assert!(shown <= 1, "{target} twice: {targets:?}");
        prop_assert!(
            who == SERVER || lacks > 0 || shown == 1,
            "{target}: {targets:?}"
        );
        let whole = { run.output.exchanges.iter() }
            .any(|one| one.request.head.target() == target.as_bytes() && one.partial.is_none());
        prop_assert!(shape.alone || whole, "{target} lacks something");
    }
    let gaps = run.engine.stats().gap_bytes;
    prop_assert!(gaps <= missing, "{gaps} of {missing} bytes missing");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn what_a_capture_has_is_shown_and_nothing_else_is_missing(shape in shape()) {
        check(&shape)?;
    }
}
