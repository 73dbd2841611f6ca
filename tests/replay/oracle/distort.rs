//! A capture file rewritten as a bad link or a bad capture would have left it. Seeded: the same
//! file each time.

use meshtap_tests::{PCAP_HEAD, Random, record_at};

/// What happens to packets, in cases per thousand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Distortion {
    /// Not in the file.
    pub loss: u64,
    /// Written after one to three later ones.
    pub reorder: u64,
    /// Written twice.
    pub duplicate: u64,
}

struct Record {
    time: [u8; 8],
    rest: Vec<u8>,
}

/// What was done to a file.
#[derive(Debug, Default)]
pub struct Done {
    pub packets: usize,
    pub lost: usize,
    pub reordered: usize,
    pub duplicated: usize,
}

/// Applies it to a pcap file in this machine's byte order, which is what tcpdump writes. Times stay
/// in order.
pub fn distort(file: &[u8], distortion: Distortion, seed: u64) -> (Vec<u8>, Done) {
    let mut random = Random::new(seed);
    let mut done = Done::default();
    // Sorting by this key moves a packet behind as many later ones.
    let mut packets: Vec<(usize, Record)> = Vec::new();
    for (at, record) in records(file).enumerate() {
        done.packets += 1;
        if random.chance(distortion.loss) {
            done.lost += 1;
            continue;
        }
        let mut place = 4 * at;
        if random.chance(distortion.reorder) {
            done.reordered += 1;
            place += 4 * (1 + usize::try_from(random.below(3)).unwrap()) + 1;
        }
        if random.chance(distortion.duplicate) {
            done.duplicated += 1;
            let again = 4 * (at + usize::try_from(random.below(4)).unwrap()) + 2;
            let copy = Record {
                time: record.time,
                rest: record.rest.clone(),
            };
            packets.push((again, copy));
        }
        packets.push((place, record));
    }
    packets.sort_by_key(|(place, _)| *place);
    let mut times: Vec<[u8; 8]> = packets.iter().map(|(_, record)| record.time).collect();
    times.sort_by_key(|time| {
        let (seconds, fraction) = time.split_at(4);
        [seconds, fraction].map(|part| u32::from_ne_bytes(part.try_into().unwrap()))
    });
    let mut out = file[..PCAP_HEAD].to_vec();
    for ((_, record), time) in packets.iter().zip(times) {
        out.extend_from_slice(&time);
        out.extend_from_slice(&record.rest);
    }
    (out, done)
}

fn records(file: &[u8]) -> impl Iterator<Item = Record> {
    let mut at = PCAP_HEAD;
    std::iter::from_fn(move || {
        let record = record_at(file, at)?;
        at += record.len();
        Some(Record {
            time: record[..8].try_into().unwrap(),
            rest: record[8..].to_vec(),
        })
    })
}
