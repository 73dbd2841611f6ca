//! Properties of the engine over random conversations, travels and losses.

use proptest::collection::vec;
use proptest::prelude::*;

use super::talk::{Pipelining, Talk, Travel, acknowledged, at_once, in_chunks, talk, travel};
use super::wire::{Packet, Run, line};
use crate::capture::Command;
use crate::engine::Limits;
use crate::exchange::{Exchange, Partial};

fn run(packets: &[Packet]) -> Run {
    let mut run = Run::new(Limits::default());
    run.feed(packets);
    run.finish();
    run
}

/// Everything of an exchange but its times.
fn whole(exchange: &Exchange) -> String {
    let fields = |fields: &crate::http::Fields| format!("{:?}", fields.iter().collect::<Vec<_>>());
    let mut text = line(exchange);
    text += &fields(&exchange.request.head.fields);
    text += &format!("{:?}", exchange.request.body.bytes);
    if let Some(response) = &exchange.response {
        text += &fields(&response.head.fields);
        text += &format!("{:?}", response.body.bytes);
    }
    text
}

fn number(exchange: &Exchange) -> String {
    String::from_utf8_lossy(&exchange.request.head.target()[1..]).into_owned()
}

fn check_pairs(run: &Run) {
    for exchange in &run.output.exchanges {
        if let Some(response) = &exchange.response {
            let id = response.head.fields.get("x-id").unwrap_or_default();
            let id = String::from_utf8_lossy(id);
            let number = number(exchange);
            // Of heads with a gap, the first bytes are there: of the target, or not the field.
            let same = match exchange.partial {
                Some(Partial::GapInHead) => id.is_empty() || id.starts_with(&number),
                Some(_) => id.is_empty() || id == number,
                None => id == number,
            };
            assert!(same, "{id} {}", line(exchange));
        }
    }
}

fn same_however_it_travels(talk: &Talk, travel: &Travel) {
    let reference = run(&at_once(talk, travel));
    check_pairs(&reference);
    let requests = talk.turns.len();
    assert!(!reference.output.exchanges.is_empty(), "{requests}");
    assert!(
        reference
            .output
            .exchanges
            .iter()
            .all(|e| e.partial.is_none() && e.response.is_some())
    );
    let chunks = run(&in_chunks(talk, travel));
    let emitted = |run: &Run| run.output.exchanges.iter().map(whole).collect::<Vec<_>>();
    assert_eq!(emitted(&chunks), emitted(&reference));
    assert_eq!(chunks.engine.ledger(), reference.engine.ledger());
    assert_eq!(chunks.engine.stats().gaps, 0);
}

fn never_a_wrong_pair(talk: &Talk, travel: &Travel, losses: &[bool], keep: usize) {
    let mut packets = in_chunks(talk, travel);
    let mut lost = losses.iter().cycle();
    let mut at = 0;
    packets.retain(|_| {
        at += 1;
        at <= keep || !lost.next().unwrap()
    });
    check_pairs(&run(&packets));
}

/// What becomes of a segment on its way to the engine.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Captured,
    /// It is not captured.
    Lost,
    /// Its first bytes are.
    Cut,
    /// The hook skips all but its first bytes on purpose.
    Skipped,
}

/// Captured, skipped and missing bytes are the bytes of the streams.
fn every_byte_is_counted_once(talk: &Talk, travel: &Travel, fates: &[Fate], positions: bool) {
    let talk = Talk {
        turns: talk.turns.clone(),
        ends: false,
    };
    let mut packets = in_chunks(&talk, travel);
    // The first one says where both directions begin, if it brings anything.
    packets.retain(|packet| !packet.payload.is_empty());
    let first = packets.remove(0);
    let mut fates = fates.iter().cycle();
    packets.retain_mut(|packet| {
        let half = packet.payload.len() / 2;
        match fates.next().unwrap() {
            Fate::Captured => true,
            Fate::Lost => false,
            Fate::Cut => {
                packet.payload.truncate(half);
                true
            }
            Fate::Skipped => {
                packet.payload.truncate(half);
                packet.skipped = true;
                true
            }
        }
    });
    packets.insert(0, first);
    packets.extend(acknowledged(&talk, travel));
    let mut run = Run::new(Limits {
        positions,
        ..Limits::default()
    });
    run.feed(&packets);
    run.finish();
    let is_ignored = |command: &Command| matches!(command, Command::Ignore(..));
    if run.output.commands.iter().any(is_ignored) {
        return;
    }
    let said: usize = talk.turns.iter().map(|(_, bytes)| bytes.len()).sum();
    let stats = run.engine.stats();
    let counted = stats.captured_bytes + stats.skipped_bytes + stats.gap_bytes;
    assert_eq!(counted, said as u64, "{stats:?}");
    assert!(stats.unread_bytes <= stats.captured_bytes, "{stats:?}");
}

fn config(cases: u32) -> ProptestConfig {
    // More with PROPTEST_CASES.
    let cases = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(cases);
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn cuts_shuffles_and_repeats_change_nothing(
        talk in talk(Pipelining::Any),
        travel in travel(),
    ) {
        same_however_it_travels(&talk, &travel);
    }

    #[test]
    fn losses_never_make_a_wrong_pair(
        talk in talk(Pipelining::Never),
        travel in travel(),
        losses in vec(prop::bool::weighted(0.2), 1..40),
    ) {
        never_a_wrong_pair(&talk, &travel, &losses, 0);
    }

    #[test]
    fn losses_never_make_a_wrong_pair_of_pipelined_requests(
        talk in talk(Pipelining::Visible),
        travel in travel(),
        losses in vec(prop::bool::weighted(0.2), 1..40),
    ) {
        // The first two turns are whole: pipelining is seen.
        let whole = Talk { turns: talk.turns[..2].to_vec(), ends: false };
        let keep = in_chunks(&whole, &travel).len();
        never_a_wrong_pair(&talk, &travel, &losses, keep);
    }

    #[test]
    fn bytes_are_captured_skipped_or_missing(
        talk in talk(Pipelining::Any),
        travel in travel(),
        fates in vec(
            prop_oneof![
                6 => Just(Fate::Captured),
                1 => Just(Fate::Lost),
                1 => Just(Fate::Cut),
                1 => Just(Fate::Skipped),
            ],
            1..40,
        ),
        positions in any::<bool>(),
    ) {
        every_byte_is_counted_once(&talk, &travel, &fates, positions);
    }

    #[test]
    fn random_bytes_do_no_harm(
        turns in vec((any::<bool>(), vec(any::<u8>(), 0..300)), 1..20),
        travel in travel(),
        real in talk(Pipelining::Any),
        after in 0..3_usize,
    ) {
        let mut talk = Talk { turns: real.turns.into_iter().take(after).collect(), ends: false };
        talk.turns.extend(turns.into_iter().map(|(client, bytes)| {
            (if client { super::wire::CLIENT } else { super::wire::SERVER }, bytes)
        }));
        run(&in_chunks(&talk, &travel));
    }

    #[test]
    fn random_segments_do_no_harm(
        segments in vec((any::<[u32; 4]>(), 0..60_u32, any::<[bool; 7]>(), 0..200_usize), 1..60),
        travel in travel(),
        talk in talk(Pipelining::Any),
        near in any::<bool>(),
    ) {
        let mut packets = in_chunks(&talk, &travel);
        for ([seq, ack, expected, at], more, [out, start, fin, rst, skipped, listener, other], len) in segments {
            let at = at as usize % packets.len();
            let mut packet = packets[at].clone();
            let nudge = |value: u32, by: u32| match near {
                true => value.wrapping_add(by % 64),
                false => by,
            };
            packet.seq = nudge(packet.seq, seq);
            packet.ack = nudge(packet.ack, ack);
            packet.expected = nudge(packet.expected, expected);
            packet.payload.truncate(len);
            packet.wire_len = u32::try_from(packet.payload.len()).unwrap() + more;
            packet.direction = if out { packet.direction.opposite() } else { packet.direction };
            packet.start = start;
            packet.fin = fin;
            packet.rst = rst && fin;
            packet.skipped = skipped;
            packet.listener = listener && start;
            packet.socket = 1 + u64::from(other);
            packets.insert(at, packet);
        }
        run(&packets);
    }
}
