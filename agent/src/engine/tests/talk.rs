//! Random conversations: what is said, how it is cut into segments, how those arrive.

use proptest::collection::vec;
use proptest::prelude::*;

use super::wire::{CLIENT, Packet, SERVER, Who, Wire};
use crate::flow::{Direction, Side};

/// A message's body and how its end is marked.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    None,
    Length(Vec<u8>),
    /// Chunks with extensions; trailers.
    Chunked(Vec<(Vec<u8>, &'static str)>, usize),
    /// To the connection's end; only for the last response.
    Close(Vec<u8>),
}

/// A request and its response, with the same number in both.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) method: &'static str,
    pub(crate) request: Content,
    pub(crate) fields: usize,
    pub(crate) interim: usize,
    pub(crate) status: u16,
    pub(crate) response: Content,
    /// The response comes when half of the request's body is said.
    pub(crate) early: bool,
}

/// What is said, turn by turn.
#[derive(Clone, Debug)]
pub(crate) struct Talk {
    pub(crate) turns: Vec<(Who, Vec<u8>)>,
    pub(crate) ends: bool,
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..60),
        Just(b"GET /fake HTTP/1.1\r\nHost: x\r\n\r\nand more".to_vec()),
        Just(b"HTTP/1.1 200 OK\r\nX-Id: fake\r\nContent-Length: 3\r\n\r\nabc".to_vec()),
        Just(b"0\r\n\r\n".to_vec()),
        vec(any::<u8>(), 500..3000),
    ]
}

fn chunked() -> impl Strategy<Value = Content> {
    let extension = prop_oneof![Just(""), Just(";a"), Just("; a=\"b;c\""), Just(" ")];
    let chunk = (vec(any::<u8>(), 1..40), extension);
    (vec(chunk, 0..5), 0..3_usize).prop_map(|(chunks, trailers)| Content::Chunked(chunks, trailers))
}

fn content() -> impl Strategy<Value = Content> {
    prop_oneof![
        2 => Just(Content::None),
        3 => body().prop_map(Content::Length),
        2 => chunked(),
    ]
}

fn pair() -> impl Strategy<Value = Pair> {
    (
        prop_oneof![
            Just("GET"),
            Just("HEAD"),
            Just("POST"),
            Just("PUT"),
            Just("X-CUSTOM")
        ],
        content(),
        0..4_usize,
        prop_oneof![4 => Just(0), 1 => 1..3_usize],
        prop_oneof![5 => Just(200_u16), 1 => Just(204), 1 => Just(304), 1 => Just(404)],
        content(),
        prop_oneof![6 => Just(false), 1 => Just(true)],
    )
        .prop_map(
            |(method, request, fields, interim, status, response, early)| Pair {
                method,
                request,
                fields,
                interim,
                status,
                response,
                early,
            },
        )
}

/// How many requests go out before a response comes: batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pipelining {
    Never,
    Any,
    /// From the first batch on.
    Visible,
}

pub(crate) fn talk(pipelining: Pipelining) -> impl Strategy<Value = Talk> {
    let size = match pipelining {
        Pipelining::Never => 1..2_usize,
        Pipelining::Any => 1..4,
        Pipelining::Visible => 2..4,
    };
    let closes = prop_oneof![2 => Just(None), 1 => body().prop_map(Some)];
    (vec(vec(pair(), size), 1..7), closes).prop_map(|(mut batches, closes)| {
        let ends = closes.is_some();
        if let (Some(body), Some(pair)) = (closes, batches.last_mut().and_then(|b| b.last_mut())) {
            pair.status = 200;
            pair.method = "GET";
            pair.early = false;
            pair.response = Content::Close(body);
        }
        let mut turns = Vec::new();
        let mut id = 0;
        for batch in batches {
            say(&batch, &mut id, &mut turns);
        }
        Talk { turns, ends }
    })
}

fn say(batch: &[Pair], id: &mut usize, turns: &mut Vec<(Who, Vec<u8>)>) {
    let mut requests = Vec::new();
    let mut responses = Vec::new();
    for pair in batch {
        *id += 1;
        let head = request(pair, *id, &mut requests);
        if batch.len() == 1 && pair.early && requests.len() > head + 1 {
            // The second half of the body comes after the response.
            let half = requests.split_off(usize::midpoint(head, requests.len()));
            turns.push((CLIENT, std::mem::take(&mut requests)));
            response(pair, *id, &mut responses);
            turns.push((SERVER, std::mem::take(&mut responses)));
            turns.push((CLIENT, half));
            return;
        }
        response(pair, *id, &mut responses);
    }
    turns.push((CLIENT, requests));
    turns.push((SERVER, responses));
}

/// Appends a request; says how long its head is.
fn request(pair: &Pair, id: usize, out: &mut Vec<u8>) -> usize {
    let from = out.len();
    out.extend(format!("{} /{id} HTTP/1.1\r\nHost: x\r\n", pair.method).bytes());
    for field in 0..pair.fields {
        out.extend(format!("X-Field-{field}: value\r\n").bytes());
    }
    framing(&pair.request, out);
    let head = out.len() - from;
    content_bytes(&pair.request, out);
    head
}

fn response(pair: &Pair, id: usize, out: &mut Vec<u8>) {
    for _ in 0..pair.interim {
        out.extend(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
    }
    out.extend(format!("HTTP/1.1 {} Reason\r\nX-Id: {id}\r\n", pair.status).bytes());
    let content = match &pair.response {
        Content::None => Content::Length(Vec::new()),
        content => content.clone(),
    };
    framing(&content, out);
    if pair.method != "HEAD" && pair.status != 204 && pair.status != 304 {
        content_bytes(&content, out);
    }
}

fn framing(content: &Content, out: &mut Vec<u8>) {
    match content {
        Content::None | Content::Close(_) => {}
        Content::Length(body) => out.extend(format!("Content-Length: {}\r\n", body.len()).bytes()),
        Content::Chunked(..) => out.extend(b"Transfer-Encoding: chunked\r\n"),
    }
    out.extend(b"\r\n");
}

fn content_bytes(content: &Content, out: &mut Vec<u8>) {
    match content {
        Content::None => {}
        Content::Length(body) | Content::Close(body) => out.extend(body),
        Content::Chunked(chunks, trailers) => {
            for (data, extension) in chunks {
                out.extend(format!("{:x}{extension}\r\n", data.len()).bytes());
                out.extend(data);
                out.extend(b"\r\n");
            }
            out.extend(b"0\r\n");
            for trailer in 0..*trailers {
                out.extend(format!("T{trailer}: v\r\n").bytes());
            }
            out.extend(b"\r\n");
        }
    }
}

/// How the bytes travel. Numbers are used in turn, again and again.
#[derive(Clone, Debug)]
pub(crate) struct Travel {
    pub(crate) side: Side,
    first: [u32; 2],
    /// Lengths of segments.
    cuts: Vec<usize>,
    /// How far a segment is late, in segments.
    late: Vec<usize>,
    /// Where retransmissions begin and how long they are, in percent of what was said.
    again: Vec<(u8, u8)>,
    /// How far the socket's position lags.
    lag: Vec<u32>,
}

pub(crate) fn travel() -> impl Strategy<Value = Travel> {
    let length = prop_oneof![3 => 1..8_usize, 2 => 8..100_usize, 1 => 100..3000_usize];
    (
        prop_oneof![Just(Side::Server), Just(Side::Client)],
        [0..2_u32, 0..2_u32].prop_flat_map(|[a, b]| {
            // Half of them wrap soon.
            let near = |wraps: u32| match wraps {
                0 => 1..1_000_000_u32,
                _ => u32::MAX - 500..u32::MAX,
            };
            [near(a), near(b)]
        }),
        vec(length, 1..12),
        vec(prop_oneof![3 => Just(0), 1 => 0..5_usize], 1..12),
        vec((0..100_u8, 0..30_u8), 0..6),
        vec(prop_oneof![2 => Just(0_u32), 1 => 0..200_u32], 1..5),
    )
        .prop_map(|(side, first, cuts, late, again, lag)| Travel {
            side,
            first,
            cuts,
            late,
            again,
            lag,
        })
}

/// Each turn in one segment, in order.
pub(crate) fn at_once(talk: &Talk, travel: &Travel) -> Vec<Packet> {
    let mut wire = Wire::at(travel.side, 1, 5000, travel.first);
    for (who, bytes) in &talk.turns {
        wire.say(*who, bytes);
    }
    if talk.ends {
        wire.fin(SERVER);
        wire.fin(CLIENT);
    }
    wire.packets
}

/// Cut, shuffled and repeated, as TCP and the network do.
pub(crate) fn in_chunks(talk: &Talk, travel: &Travel) -> Vec<Packet> {
    let mut wire = Wire::at(travel.side, 1, 5000, travel.first);
    let mut cuts = travel.cuts.iter().cycle().copied();
    let mut late = travel.late.iter().cycle().copied();
    let mut lag = travel.lag.iter().cycle().copied();
    let mut again = travel.again.iter().copied();
    let mut said: [Vec<u8>; 2] = [Vec::new(), Vec::new()];
    let mut emitted = Vec::new();
    for (who, bytes) in &talk.turns {
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (chunk, more) = rest.split_at(cuts.next().unwrap().min(rest.len()));
            wire.say(*who, chunk);
            rest = more;
        }
        said[*who as usize].extend(bytes);
        let mut packets = std::mem::take(&mut wire.packets);
        let incoming = wire.direction(*who) == Direction::Ingress;
        if let Some((from, len)) = again.next().filter(|_| !packets.is_empty()) {
            let packet = repeat(&wire, &packets, *who, &said[*who as usize], from, len);
            packets.push(packet);
        }
        if incoming {
            let mut order: Vec<(usize, usize)> = (0..packets.len())
                .map(|at| (at + late.next().unwrap(), at))
                .collect();
            order.sort_unstable();
            packets = order.iter().map(|(_, at)| packets[*at].clone()).collect();
            receive(
                &mut packets,
                travel.first[*who as usize],
                &mut lag,
                &said[*who as usize],
                bytes.len(),
            );
        }
        emitted.append(&mut packets);
    }
    if talk.ends {
        wire.fin(SERVER);
        wire.fin(CLIENT);
        emitted.append(&mut wire.packets);
    }
    for (packet, time) in emitted.iter_mut().zip(2_000_000_000..) {
        packet.time = time;
    }
    emitted
}

/// A retransmission of some of what `who` said.
fn repeat(wire: &Wire, packets: &[Packet], who: Who, said: &[u8], from: u8, len: u8) -> Packet {
    let from = said.len() * usize::from(from) / 100;
    let to = (from + said.len() * usize::from(len) / 100).min(said.len());
    let mut packet = packets[packets.len() - 1].clone();
    let end = wire.next(who);
    packet.seq = end.wrapping_sub(u32::try_from(said.len() - from).unwrap());
    packet.payload = said[from..to].to_vec();
    packet.wire_len = u32::try_from(to - from).unwrap();
    packet.expected = end;
    packet.start = false;
    packet
}

/// Sets the position of a socket that receives these packets in this order.
fn receive(
    packets: &mut [Packet],
    first: u32,
    lag: &mut impl Iterator<Item = u32>,
    said: &[u8],
    new: usize,
) {
    let mut have = vec![false; said.len()];
    let before = said.len() - new;
    have[..before].fill(true);
    let mut position = before;
    for packet in packets {
        let lag = lag.next().unwrap().min(u32::try_from(position).unwrap());
        packet.expected = first.wrapping_add(u32::try_from(position).unwrap() - lag);
        packet.start = packet.expected == first;
        let from = packet.seq.wrapping_sub(first) as usize;
        have[from..from + packet.payload.len()].fill(true);
        while have.get(position) == Some(&true) {
            position += 1;
        }
    }
}

/// What each end sends when it has received everything, and has nothing more to say.
pub(crate) fn acknowledged(talk: &Talk, travel: &Travel) -> Vec<Packet> {
    let mut wire = Wire::at(travel.side, 1, 5000, travel.first);
    for (who, bytes) in &talk.turns {
        wire.lose(*who, bytes);
    }
    wire.time = 3_000_000_000;
    wire.say(CLIENT, "");
    wire.say(SERVER, "");
    wire.packets
}
