//! WebSocket after an upgrade: bytes of both directions are counted, and messages (RFC 6455 §5.2).

use super::switch::SwitchedBy;
use super::{Context, Messages};
use crate::flow::{Demand, Direction, Offset};
use crate::transport::{Chunk, Gap};

/// A connection that speaks WebSocket.
#[derive(Debug)]
pub(crate) struct WebSocket {
    /// The direction that the client sends in.
    requests: Direction,
    frames: [Frames; 2],
    /// `None` inside of another connection.
    pub(super) by: Option<SwitchedBy>,
}

/// Frame boundaries of one direction.
#[derive(Debug, Default)]
struct Frames {
    /// The frame header so far.
    header: [u8; 14],
    have: u8,
    /// Payload of the current frame still to come.
    left: u64,
    /// Bytes are missing between frames: where they begin is not known any more.
    lost: bool,
}

impl WebSocket {
    pub(crate) fn new(requests: Direction, by: Option<SwitchedBy>) -> Self {
        Self {
            requests,
            by,
            frames: <[Frames; 2]>::default(),
        }
    }

    pub(crate) fn chunk(&mut self, direction: Direction, chunk: &Chunk<'_>, cx: &mut Context<'_>) {
        let index = Messages::of(direction, self.requests) as usize;
        cx.stats.upgraded_bytes[index] += chunk.bytes.len() as u64;
        cx.stats.websocket_messages[index] += self.frames[index].feed(chunk.bytes);
    }

    pub(crate) fn gap(&mut self, direction: Direction, gap: &Gap, cx: &mut Context<'_>) {
        let index = Messages::of(direction, self.requests) as usize;
        cx.stats.upgraded_bytes[index] += gap.len;
        self.frames[index].gap(gap.len);
    }

    /// The payload of a frame is of use for its number alone.
    pub(crate) fn demand(&self, direction: Direction, position: Offset) -> Demand {
        let frames = &self.frames[Messages::of(direction, self.requests) as usize];
        match frames.lost {
            true => Demand::From(Offset(u64::MAX)),
            false => Demand::From(position + frames.left),
        }
    }
}

impl Frames {
    /// Takes bytes; says how many data messages ended with the frames that began in them.
    fn feed(&mut self, mut bytes: &[u8]) -> u64 {
        let mut messages = 0;
        while !self.lost && !bytes.is_empty() {
            if self.left > 0 {
                let len = usize::try_from(self.left).unwrap_or(usize::MAX);
                let (payload, rest) = bytes.split_at(len.min(bytes.len()));
                self.left -= payload.len() as u64;
                bytes = rest;
                continue;
            }
            let Some((byte, rest)) = bytes.split_first() else {
                break;
            };
            bytes = rest;
            if let Some(slot) = self.header.get_mut(usize::from(self.have)) {
                *slot = *byte;
                self.have += 1;
            }
            if self.have >= self.header_len() {
                messages += u64::from(self.is_last_of_data());
                self.left = self.payload_len();
                self.have = 0;
            }
        }
        messages
    }

    fn gap(&mut self, len: u64) {
        if len <= self.left {
            self.left -= len;
        } else {
            self.lost = true;
        }
    }

    fn header_len(&self) -> u8 {
        let [_, second, ..] = self.header;
        let length = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        match self.have {
            0 | 1 => 2,
            _ => 2 + length + mask,
        }
    }

    fn payload_len(&self) -> u64 {
        let [_, second, a, b, c, d, e, f, g, h, ..] = self.header;
        match second & 0x7f {
            126 => u64::from(u16::from_be_bytes([a, b])),
            127 => u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            len => u64::from(len),
        }
    }

    /// FIN is set, on a text, binary or continuation frame.
    fn is_last_of_data(&self) -> bool {
        let [first, ..] = self.header;
        first & 0x80 != 0 && first & 0x0f <= 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u8, masked: bool, len: usize) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut frame = vec![first];
        match len {
            0..126 => frame.push(mask | u8::try_from(len).unwrap()),
            126..65_536 => {
                frame.push(mask | 126);
                frame.extend(u16::try_from(len).unwrap().to_be_bytes());
            }
            _ => {
                frame.push(mask | 127);
                frame.extend((len as u64).to_be_bytes());
            }
        }
        if masked {
            frame.extend([1, 2, 3, 4]);
        }
        frame.extend(vec![0x81; len]);
        frame
    }

    fn check(frames: &[(u8, bool, usize)], expected: u64) {
        let bytes: Vec<u8> = frames
            .iter()
            .flat_map(|(first, masked, len)| frame(*first, *masked, *len))
            .collect();
        for step in [1, 2, 5, 1000, bytes.len()] {
            let mut frames = Frames::default();
            let messages: u64 = bytes.chunks(step).map(|chunk| frames.feed(chunk)).sum();
            assert_eq!(messages, expected, "{step}");
            assert!(!frames.lost);
        }
    }

    #[test]
    fn messages() {
        check(&[(0x81, false, 5)], 1);
        check(
            &[(0x82, true, 125), (0x81, true, 126), (0x81, false, 70_000)],
            3,
        );
        // A message of three frames with a ping between them; a close.
        check(
            &[
                (0x01, true, 3),
                (0x00, true, 3),
                (0x89, true, 0),
                (0x80, true, 3),
                (0x88, true, 2),
            ],
            1,
        );
        check(&[(0x81, true, 0), (0x81, true, 0)], 2);
    }

    #[test]
    fn gaps() {
        let mut frames = Frames::default();
        let first = frame(0x81, false, 1000);
        assert_eq!(frames.feed(&first[..100]), 1);
        frames.gap((first.len() - 100) as u64);
        assert_eq!(frames.feed(&first), 1);
        frames.gap(1);
        assert_eq!(frames.feed(&first), 0);
        assert!(frames.lost);
    }
}
