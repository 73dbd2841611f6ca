//! Frames made here, header by header: each kind of link around each kind of tunnel.

use super::*;

const GRE: u8 = 47;
const UDP: u8 = 17;

const WIRED: &[u8] = &[2; 12];

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// The Ethernet type of an IP packet.
fn kind(ip: &[u8]) -> [u8; 2] {
    match ip[0] >> 4 {
        4 => [0x08, 0x00],
        _ => [0x86, 0xdd],
    }
}

fn frame(ip: &[u8]) -> Vec<u8> {
    join(&[WIRED, &kind(ip), ip])
}

/// IPv4 from 192.0.2.1 to 192.0.2.2, with this protocol.
fn outer4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut ip = Vec::new();
    let length = u16::try_from(payload.len()).unwrap();
    let mut header = etherparse::Ipv4Header::new(
        length,
        64,
        etherparse::IpNumber(protocol),
        [192, 0, 2, 1],
        [192, 0, 2, 2],
    )
    .unwrap();
    header.header_checksum = header.calc_header_checksum();
    header.write(&mut ip).unwrap();
    ip.extend_from_slice(payload);
    ip
}

/// IPv6 from fe80::1 to fe80::2, with this protocol.
fn outer6(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    let address = |last| [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
    let head = [0x60, 0, 0, 0, length[0], length[1], protocol, 64];
    join(&[&head, &address(1), &address(2), payload])
}

fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len() + 8).unwrap().to_be_bytes();
    let port = port.to_be_bytes();
    outer4(UDP, &join(&[&[0xc0, 0], &port, &length, &[0, 0], payload]))
}

fn llc(ip: &[u8]) -> Vec<u8> {
    join(&[&[0xaa, 0xaa, 3, 0, 0, 0], &kind(ip), ip])
}

/// A PPP payload, from its protocol field on.
fn ppp(ip: &[u8]) -> Vec<u8> {
    let protocol = match ip[0] >> 4 {
        4 => [0, 0x21],
        _ => [0, 0x57],
    };
    join(&[&protocol, ip])
}

/// An 802.11 data frame: its control field, more addresses and fields, its body.
fn wireless(control: [u8; 2], more: &[u8], body: &[u8]) -> Vec<u8> {
    join(&[&control, &[0; 22], more, body])
}

type Link = (&'static str, u16, fn(&[u8]) -> Vec<u8>);

/// Link types, each around an IP packet.
const LINKS: &[Link] = &[
    ("Ethernet", 1, frame),
    ("padded", 1, |ip| join(&[&frame(ip), &[0; 46]])),
    ("with its check sequence", 1, |ip| {
        join(&[&frame(ip), &[0xfc; 4]])
    }),
    ("four VLAN tags", 1, |ip| {
        let tags = [
            0x81, 0, 0, 1, 0x88, 0xa8, 0, 2, 0x91, 0, 0, 3, 0x92, 0, 0, 4,
        ];
        join(&[WIRED, &tags, &kind(ip), ip])
    }),
    ("802.1ah", 1, |ip| {
        join(&[
            WIRED,
            &[0x88, 0xa8, 0, 1, 0x88, 0xe7, 0, 0, 0, 7],
            &frame(ip),
        ])
    }),
    ("VN-Tag", 1, |ip| {
        join(&[WIRED, &[0x89, 0x26, 0, 1, 0, 2], &kind(ip), ip])
    }),
    ("E-TAG", 1, |ip| {
        join(&[WIRED, &[0x89, 0x3f, 0, 1, 0, 2, 0, 0], &kind(ip), ip])
    }),
    ("FRER", 1, |ip| {
        join(&[WIRED, &[0xf1, 0xc1, 0, 0, 0, 2], &kind(ip), ip])
    }),
    ("MACsec, authenticated", 1, |ip| {
        join(&[
            WIRED,
            &[0x88, 0xe5, 0, 0, 0, 0, 0, 1],
            &kind(ip),
            ip,
            &[7; 16],
        ])
    }),
    ("SNAP", 1, |ip| {
        let body = llc(ip);
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        join(&[WIRED, &length, &body])
    }),
    ("SNAP in a VLAN", 1, |ip| {
        let body = llc(ip);
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        join(&[WIRED, &[0x81, 0, 0, 5], &length, &body])
    }),
    ("MPLS", 1, |ip| {
        join(&[WIRED, &[0x88, 0x47, 0, 1, 0, 64, 0, 2, 1, 64], ip])
    }),
    ("MPLS in a VLAN", 1, |ip| {
        join(&[WIRED, &[0x81, 0, 0, 5, 0x88, 0x48, 0, 2, 1, 64], ip])
    }),
    ("pseudowire", 1, |ip| {
        join(&[WIRED, &[0x88, 0x47, 0, 2, 1, 64, 0, 0, 0, 0], &frame(ip)])
    }),
    ("pseudowire without control word", 1, |ip| {
        join(&[WIRED, &[0x88, 0x47, 0, 2, 1, 64], &frame(ip)])
    }),
    ("pseudowire of addresses like IP", 1, |ip| {
        let frame = join(&[&[0x45; 12], &kind(ip), ip]);
        join(&[WIRED, &[0x88, 0x47, 0, 2, 1, 64], &frame])
    }),
    ("PPPoE", 1, |ip| {
        let length = u16::try_from(ip.len() + 2).unwrap().to_be_bytes();
        let head = [0x88, 0x64, 0x11, 0, 0, 9, length[0], length[1]];
        join(&[WIRED, &head, &ppp(ip), &[0; 20]])
    }),
    ("bridged PPPoE", 1, |ip| {
        let body = join(&[&[0, 0x31, 0, 1], &frame(ip)]);
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        join(&[WIRED, &[0x88, 0x64, 0x11, 0, 0, 9], &length, &body])
    }),
    ("TRILL", 1, |ip| {
        join(&[
            WIRED,
            &[0x22, 0xf3, 0x00, 0x40, 0, 1, 0, 2, 1, 2, 3, 4],
            &frame(ip),
        ])
    }),
    ("NSH", 1, |ip| {
        join(&[
            WIRED,
            &[0x89, 0x4f, 0, 6, 1, 3, 0, 0, 0, 1],
            &[0; 16],
            &frame(ip),
        ])
    }),
    ("PPP", 9, ppp),
    ("PPP with a short protocol field", 9, |ip| {
        ppp(ip)[1..].to_vec()
    }),
    ("PPP in HDLC", 9, |ip| join(&[&[0xff, 3], &ppp(ip)])),
    ("serial PPP", 50, |ip| join(&[&[0xff, 3], &ppp(ip)])),
    ("serial Cisco HDLC", 50, |ip| {
        join(&[&[0x0f, 0], &kind(ip), ip])
    }),
    ("PPPoE alone", 51, |ip| {
        let length = u16::try_from(ip.len() + 2).unwrap().to_be_bytes();
        join(&[&[0x11, 0, 0, 9, length[0], length[1]], &ppp(ip)])
    }),
    ("ATM", 100, llc),
    ("bridged ATM", 100, |ip| {
        join(&[&[0xaa, 0xaa, 3, 0, 0x80, 0xc2, 0, 7, 0, 0], &frame(ip)])
    }),
    ("raw", 101, <[u8]>::to_vec),
    ("raw as BSD numbers it", 12, <[u8]>::to_vec),
    ("raw as OpenBSD numbers it", 14, <[u8]>::to_vec),
    ("Cisco HDLC", 104, |ip| join(&[&[0x8f, 0], &kind(ip), ip])),
    ("802.11", 105, |ip| wireless([0x08, 0x01], &[], &llc(ip))),
    ("802.11 with QoS", 105, |ip| {
        wireless([0x88, 0x02], &[0, 0], &llc(ip))
    }),
    ("802.11 with HT control", 105, |ip| {
        wireless([0x88, 0x82], &[0, 0, 1, 2, 3, 4], &llc(ip))
    }),
    ("802.11 between access points", 105, |ip| {
        wireless([0x88, 0x03], &[9, 9, 9, 9, 9, 9, 0, 0], &llc(ip))
    }),
    ("802.11 in an A-MSDU", 105, |ip| {
        let body = llc(ip);
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        let subframe = join(&[WIRED, &length, &body]);
        wireless([0x88, 0x02], &[0x80, 0], &subframe)
    }),
    ("netfilter log", 239, |ip| {
        let length = u16::try_from(ip.len() + 4).unwrap().to_le_bytes();
        let prefix = [6, 0, 10, 0, b'x', 0, 0, 0];
        join(&[&[2, 0, 0, 0], &prefix, &length, &[9, 0], ip])
    }),
    ("netfilter log of another machine", 239, |ip| {
        let length = u16::try_from(ip.len() + 4).unwrap().to_be_bytes();
        let prefix = [0, 6, 0, 10, b'x', 0, 0, 0];
        join(&[&[10, 0, 0, 0], &prefix, &length, &[0, 9], ip])
    }),
    ("radiotap", 127, |ip| {
        let head = [0, 0, 9, 0, 2, 0, 0, 0, 0];
        join(&[&head, &wireless([0x08, 0x01], &[], &llc(ip))])
    }),
    (
        "radiotap with time, padding and check sequence",
        127,
        |ip| {
            let mut head = vec![0, 0, 25, 0, 3, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0];
            head.extend_from_slice(&[1; 8]);
            head.push(0x30);
            join(&[
                &head,
                &wireless([0x88, 0x01], &[0, 0, 0, 0], &llc(ip)),
                &[7; 4],
            ])
        },
    ),
    ("Prism", 119, |ip| {
        let head = join(&[&[0x44, 0, 0, 0, 144, 0, 0, 0], &[0; 136]]);
        join(&[&head, &wireless([0x08, 0x01], &[], &llc(ip))])
    }),
    ("AVS as Prism", 119, |ip| {
        let head = join(&[&[0x80, 0x21, 0x10, 1, 0, 0, 0, 64], &[0; 56]]);
        join(&[&head, &wireless([0x08, 0x01], &[], &llc(ip))])
    }),
    ("AVS", 163, |ip| {
        let head = join(&[&[0x80, 0x21, 0x10, 1, 0, 0, 0, 64], &[0; 56]]);
        join(&[&head, &wireless([0x08, 0x01], &[], &llc(ip))])
    }),
    ("per-packet information", 192, |ip| {
        join(&[&[0, 0, 12, 0, 1, 0, 0, 0, 7, 7, 7, 7], &frame(ip)])
    }),
    ("PPP with a direction", 204, |ip| {
        join(&[&[1, 0xff, 3], &ppp(ip)])
    }),
    ("Cisco HDLC with a direction", 205, |ip| {
        join(&[&[1, 0x0f, 0], &kind(ip), ip])
    }),
    ("pppd", 166, |ip| join(&[&[1, 3], &ppp(ip)])),
    ("MPLS alone", 219, |ip| join(&[&[0, 2, 1, 64], ip])),
    ("IPNET", 226, |ip| {
        let family = if ip[0] >> 4 == 4 { 2 } else { 26 };
        join(&[&[1, family], &[0; 22], ip])
    }),
    ("null", 0, |ip| join(&[&[30, 0, 0, 0], ip])),
    ("loop", 108, |ip| join(&[&[0, 0, 0, 24], ip])),
    ("encryption interface", 109, |ip| {
        join(&[&[2, 0, 0, 0], &[0; 8], ip])
    }),
    ("packet filter log", 117, |ip| {
        join(&[&[61, 2], &[0; 62], ip])
    }),
    ("netANALYZER", 240, |ip| join(&[&[0; 4], &frame(ip)])),
    ("Apple", 258, |ip| {
        join(&[
            &[16, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0],
            &frame(ip),
        ])
    }),
    ("cooked", 113, |ip| join(&[&[0; 14], &kind(ip), ip])),
    ("cooked with VLANs", 113, |ip| {
        join(&[&[0; 14], &[0x81, 0, 0, 5, 0x81, 0, 0, 6], &kind(ip), ip])
    }),
    ("cooked 802.2", 113, |ip| {
        join(&[&[0; 14], &[0, 4], &llc(ip)])
    }),
    ("cooked radiotap", 113, |ip| {
        let head = [0, 0, 8, 0, 0, 0, 0, 0];
        let air = wireless([0x08, 0x01], &[], &llc(ip));
        join(&[&[0, 0, 3, 0x23], &[0; 10], &[0, 0], &head, &air])
    }),
    ("cooked 2", 276, |ip| join(&[&kind(ip), &[0; 18], ip])),
    ("cooked 2 with a VLAN", 276, |ip| {
        join(&[&[0x81, 0], &[0; 18], &[0, 5], &kind(ip), ip])
    }),
];

type Tunnel = (&'static str, fn(&[u8]) -> Vec<u8>);

/// Tunnels: an IP packet in another one.
const TUNNELS: &[Tunnel] = &[
    ("nothing", <[u8]>::to_vec),
    ("IP in IPv4", |ip| {
        outer4(if ip[0] >> 4 == 4 { 4 } else { 41 }, ip)
    }),
    ("IP in IPv6", |ip| {
        outer6(if ip[0] >> 4 == 4 { 4 } else { 41 }, ip)
    }),
    ("GRE", |ip| outer4(GRE, &join(&[&[0, 0], &kind(ip), ip]))),
    ("GRE over IPv6", |ip| {
        outer6(GRE, &join(&[&[0, 0], &kind(ip), ip]))
    }),
    ("GRE with everything", |ip| {
        outer4(GRE, &join(&[&[0xb0, 0], &kind(ip), &[1; 12], ip]))
    }),
    ("routed GRE", |ip| {
        let route = [0, 0, 0, 0, 8, 0, 0, 4, 192, 0, 2, 3, 0, 0, 0, 0];
        outer4(GRE, &join(&[&[0x40, 0], &kind(ip), &route, ip]))
    }),
    ("NVGRE", |ip| {
        outer4(
            GRE,
            &join(&[&[0x20, 0, 0x65, 0x58, 0, 0, 7, 1], &frame(ip)]),
        )
    }),
    ("PPTP", |ip| {
        let length = u16::try_from(ip.len() + 4).unwrap().to_be_bytes();
        let head = [0x30, 0x81, 0x88, 0x0b, length[0], length[1], 0, 1];
        outer4(GRE, &join(&[&head, &[0; 8], &[0xff, 3], &ppp(ip)]))
    }),
    ("MPLS in GRE", |ip| {
        outer4(GRE, &join(&[&[0, 0, 0x88, 0x47, 0, 2, 1, 64], ip]))
    }),
    ("ERSPAN I", |ip| {
        outer4(GRE, &join(&[&[0, 0, 0x88, 0xbe], &frame(ip)]))
    }),
    ("ERSPAN II", |ip| {
        let head = [0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 0, 0, 0, 0, 0, 0, 0];
        outer4(GRE, &join(&[&head, &frame(ip)]))
    }),
    ("ERSPAN III", |ip| {
        let head = [0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 0, 0, 0, 0, 0, 0, 0];
        outer4(GRE, &join(&[&head, &[0, 0, 0, 0], &frame(ip)]))
    }),
    ("ERSPAN III of a platform", |ip| {
        let head = [0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 0, 0, 0, 0, 0, 0, 0];
        outer4(GRE, &join(&[&head, &[0, 0, 0, 1], &[9; 8], &frame(ip)]))
    }),
    ("VXLAN", |ip| {
        udp(4789, &join(&[&[8, 0, 0, 0, 0, 0, 7, 0], &frame(ip)]))
    }),
    ("VXLAN as Linux had it", |ip| {
        udp(8472, &join(&[&[8, 0, 0, 0, 0, 0, 7, 0], &frame(ip)]))
    }),
    ("VXLAN-GPE", |ip| {
        let next = if ip[0] >> 4 == 4 { 1 } else { 2 };
        udp(4790, &join(&[&[0x0c, 0, 0, next, 0, 0, 7, 0], ip]))
    }),
    ("Geneve", |ip| {
        let head = [2, 0, 0x65, 0x58, 0, 0, 7, 0, 1, 2, 3, 1, 0, 0, 0, 0];
        udp(6081, &join(&[&head, &frame(ip)]))
    }),
    ("Geneve of IP", |ip| {
        let kind = kind(ip);
        udp(6081, &join(&[&[0, 0, kind[0], kind[1], 0, 0, 7, 0], ip]))
    }),
    ("GTP-U", |ip| {
        let length = u16::try_from(ip.len()).unwrap().to_be_bytes();
        udp(2152, &join(&[&[0x30, 255], &length, &[0, 0, 0, 1], ip]))
    }),
    ("GTP-U of 5G", |ip| {
        let length = u16::try_from(ip.len() + 8).unwrap().to_be_bytes();
        let extension = [0, 0, 0, 0x85, 1, 0x10, 9, 0];
        udp(
            2152,
            &join(&[&[0x34, 255], &length, &[0, 0, 0, 1], &extension, ip]),
        )
    }),
    ("MPLS in IP", |ip| outer4(137, &join(&[&[0, 2, 1, 64], ip]))),
    ("MPLS in UDP", |ip| udp(6635, &join(&[&[0, 2, 1, 64], ip]))),
    ("GRE in UDP", |ip| {
        udp(4754, &join(&[&[0, 0], &kind(ip), ip]))
    }),
    ("EtherIP", |ip| outer4(97, &join(&[&[0x30, 0], &frame(ip)]))),
    ("frame in IPv6", |ip| outer6(143, &frame(ip))),
    ("GUE", |ip| {
        let next = if ip[0] >> 4 == 4 { 4 } else { 41 };
        udp(6080, &join(&[&[0, next, 0, 0], ip]))
    }),
    ("GUE without header", |ip| udp(6080, ip)),
    ("L2TP", |ip| {
        let length = u16::try_from(ip.len() + 12).unwrap().to_be_bytes();
        let head = [0x40, 2, length[0], length[1], 0, 1, 0, 2, 0xff, 3];
        udp(1701, &join(&[&head, &ppp(ip)]))
    }),
    ("LISP", |ip| udp(4341, &join(&[&[0; 8], ip]))),
    ("TZSP", |ip| {
        udp(37_008, &join(&[&[1, 0, 0, 1, 0, 10, 1, 9, 1], &frame(ip)]))
    }),
    ("authenticated", |ip| {
        let next = if ip[0] >> 4 == 4 { 4 } else { 41 };
        outer4(51, &join(&[&[next, 4, 0, 0], &[0; 20], ip]))
    }),
    ("IPv6 extension headers", |ip| {
        let next = if ip[0] >> 4 == 4 { 4 } else { 41 };
        let hop = [60, 0, 1, 4, 0, 0, 0, 0];
        let options = [43, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let route = [44, 0, 0, 0, 0, 0, 0, 0];
        let atomic = [next, 0, 0, 0, 0, 0, 0, 1];
        outer6(0, &join(&[&hop, &options, &route, &atomic, ip]))
    }),
];

fn one(link: u16, frame: &[u8]) -> Vec<u8> {
    pcap(LITTLE, MICROS, link, &[(0, 1, frame, frame.len())])
}

fn all(link: u16, frames: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let frames: Vec<_> = frames.collect();
    let frames: Vec<_> = frames.iter().map(|f| (0, 1, &f[..], f.len())).collect();
    pcap(LITTLE, MICROS, link, &frames)
}

#[test]
fn every_link_around_every_tunnel() {
    for (_, link, wrap) in LINKS {
        for (ip, expected) in [(ipv4(REQUEST), V4), (ipv6(REQUEST), V6)] {
            let frames = TUNNELS.iter().map(|(_, tunnel)| wrap(&tunnel(&ip)));
            check(all(*link, frames), &[expected; TUNNELS.len()], &[]);
        }
    }
}

#[test]
fn every_tunnel_in_every_tunnel() {
    for (_, outer) in TUNNELS {
        for (ip, expected) in [(ipv4(REQUEST), V4), (ipv6(REQUEST), V6)] {
            let frames = TUNNELS.iter().map(|(_, inner)| outer(&inner(&ip)));
            check(all(RAW, frames), &[expected; TUNNELS.len()], &[]);
        }
    }
}

#[test]
fn what_is_cut_off_keeps_its_length() {
    let linked = LINKS
        .iter()
        .map(|(name, link, wrap)| (*name, *link, wrap(&ipv4(REQUEST))));
    let tunnels = TUNNELS.iter();
    let tunnelled = tunnels.map(|(name, tunnel)| (*name, 1, frame(&tunnel(&ipv4(REQUEST)))));
    for (name, link, frame) in linked.chain(tunnelled) {
        let end = memchr::memmem::find(&frame, REQUEST).unwrap();
        let cut = &frame[..end + 5];
        let file = pcap(LITTLE, MICROS, link, &[(0, 1, cut, frame.len())]);
        let (lines, totals, _) = read(file);
        assert_eq!(lines, [V4.replace("27/27", "5/27")], "{name}");
        assert_eq!((totals.cut, totals.kept), (1, cut.len()));
    }
}

#[test]
fn frames_nested_without_end_are_counted() {
    let mut ip = ipv4(REQUEST);
    for _ in 0..60 {
        ip = outer4(4, &ip);
    }
    check(one(RAW, &ip), &[], &[(Skip::Depth, 1)]);
    let mut tagged = WIRED.to_vec();
    tagged.extend_from_slice(&[0x81, 0, 0, 1].repeat(200));
    check(one(1, &tagged), &[], &[(Skip::Depth, 1)]);
}

#[test]
fn options_and_lengths_of_ip() {
    // Twelve bytes of options.
    let mut ip = ipv4(REQUEST);
    ip[0] = 0x48;
    let total = u16::try_from(ip.len() + 12).unwrap().to_be_bytes();
    ip[2..4].copy_from_slice(&total);
    ip.splice(20..20, [1; 12]);
    check(one(RAW, &ip), &[V4], &[]);
    // RFC 2675: a jumbogram.
    let ip = ipv6(REQUEST);
    let length = u32::try_from(ip.len() - 40 + 8).unwrap().to_be_bytes();
    let mut jumbo = ip[..40].to_vec();
    jumbo[4..7].copy_from_slice(&[0, 0, 0]);
    jumbo.extend_from_slice(&[6, 0, 0xc2, 4]);
    jumbo.extend_from_slice(&length);
    jumbo.extend_from_slice(&ip[40..]);
    jumbo.extend_from_slice(b"a trailer of the frame");
    check(one(RAW, &jumbo), &[V6], &[]);
    // A total length inside the header.
    let mut ip = ipv4(REQUEST);
    ip[2..4].copy_from_slice(&[0, 19]);
    check(one(RAW, &ip), &[], &[(Skip::Header, 1)]);
}

#[test]
fn a_routed_packet_goes_to_its_last_segment() {
    let ip = ipv6(REQUEST);
    let last = &ip[24..40].to_vec();
    let next = &ip[8..24].to_vec();
    let forward = join(&[&[6, 4, 0, 1, 0, 0, 0, 0], &[7; 16], last]);
    let segments = join(&[&[6, 4, 4, 1, 1, 0, 0, 0], last, next]);
    for route in [forward, segments] {
        let mut routed = ip[..40].to_vec();
        let length = u16::try_from(ip.len() - 40 + route.len()).unwrap();
        routed[4..6].copy_from_slice(&length.to_be_bytes());
        routed[6] = 43;
        routed[24..40].copy_from_slice(&[9; 16]);
        routed.extend_from_slice(&route);
        routed.extend_from_slice(&ip[40..]);
        check(one(RAW, &routed), &[V6], &[]);
    }
}

/// Fragments of an IPv4 packet: of at most so many bytes each.
fn fragments4(ip: &[u8], size: usize, id: u8) -> Vec<Vec<u8>> {
    let payload = &ip[20..];
    let parts = payload.chunks(size).enumerate();
    let last = payload.chunks(size).count() - 1;
    let of = |(at, bytes): (usize, &[u8])| {
        let mut part = ip[..20].to_vec();
        let length = u16::try_from(20 + bytes.len()).unwrap();
        let offset = u16::try_from(at * size / 8).unwrap() | if at < last { 0x2000 } else { 0 };
        part[2..4].copy_from_slice(&length.to_be_bytes());
        part[4..6].copy_from_slice(&[0, id]);
        part[6..8].copy_from_slice(&offset.to_be_bytes());
        part.extend_from_slice(bytes);
        part
    };
    parts.map(of).collect()
}

/// The same for IPv6.
fn fragments6(ip: &[u8], size: usize, id: u8) -> Vec<Vec<u8>> {
    let payload = &ip[40..];
    let last = payload.chunks(size).count() - 1;
    let of = |(at, bytes): (usize, &[u8])| {
        let mut part = ip[..40].to_vec();
        let length = u16::try_from(8 + bytes.len()).unwrap();
        let offset = u16::try_from(at * size).unwrap() | u16::from(at < last);
        part[4..6].copy_from_slice(&length.to_be_bytes());
        let number = part[6];
        part[6] = 44;
        part.extend_from_slice(&[number, 0]);
        part.extend_from_slice(&offset.to_be_bytes());
        part.extend_from_slice(&[0, 0, 0, id]);
        part.extend_from_slice(bytes);
        part
    };
    payload.chunks(size).enumerate().map(of).collect()
}

fn raw(frames: &[Vec<u8>]) -> Vec<u8> {
    all(RAW, frames.iter().cloned())
}

#[test]
fn fragments_are_put_together() {
    for (ip, expected, split) in [
        (ipv4(REQUEST), V4, fragments4 as fn(&[u8], usize, u8) -> _),
        (ipv6(REQUEST), V6, fragments6),
    ] {
        for size in [8, 16, 24, 40] {
            let parts: Vec<Vec<u8>> = split(&ip, size, 7);
            assert!(parts.len() > 1);
            check(raw(&parts), &[expected], &[]);
            let backwards: Vec<_> = parts.iter().rev().cloned().collect();
            check(raw(&backwards), &[expected], &[]);
            // Two datagrams, woven into each other.
            let others = split(&ip, size, 8);
            let woven = parts.iter().zip(&others).flat_map(|(a, b)| [a, b]);
            let woven: Vec<_> = woven.cloned().collect();
            check(raw(&woven), &[expected, expected], &[]);
            // One is missing.
            let missing = u64::try_from(parts.len() - 1).unwrap();
            check(raw(&parts[1..]), &[], &[(Skip::Fragment, missing)]);
        }
    }
}

#[test]
fn time_may_begin_between_fragments() {
    let parts = fragments4(&ipv4(REQUEST), 24, 7);
    let other = ipv4(b"");
    for before in 0..40 {
        let frames = std::iter::repeat_n(&other, before).chain(&parts);
        let records: Vec<_> = frames
            .map(|frame| (1_700_000_000, 1000, &**frame, frame.len()))
            .collect();
        let (_, totals, _) = read(pcap(LITTLE, NANOS, RAW, &records));
        assert_eq!(totals.all_skipped(), 0, "{before}");
        assert_eq!(totals.tcp, before as u64 + 1, "{before}");
    }
}

#[test]
fn fragments_in_tunnels_and_tunnels_in_fragments() {
    for (_, tunnel) in TUNNELS {
        let inside: Vec<_> = fragments4(&ipv4(REQUEST), 24, 7)
            .iter()
            .map(|part| tunnel(part))
            .collect();
        check(raw(&inside), &[V4], &[]);
        let ip = tunnel(&ipv4(REQUEST));
        let outside = match ip[0] >> 4 {
            4 => fragments4(&ip, 24, 7),
            _ => fragments6(&ip, 24, 7),
        };
        check(raw(&outside), &[V4], &[]);
    }
}

#[test]
fn fragments_that_contradict_each_other_are_of_two_datagrams() {
    let mut parts = fragments4(&ipv4(REQUEST), 24, 7);
    let mut other = parts.clone();
    // Ends earlier than the last one of the same number.
    let last = other.len() - 1;
    other[last].truncate(22);
    other[last][2..4].copy_from_slice(&[0, 22]);
    other[last][6..8].copy_from_slice(&[0, 1]);
    let stray = other.remove(last);
    let whole = std::mem::take(&mut parts);
    let mut frames = vec![stray];
    frames.extend(whole);
    let (lines, totals, _) = read(raw(&frames));
    let counted = totals.tcp + totals.joined + totals.all_skipped();
    assert_eq!(totals.packets, counted);
    assert!(lines.is_empty() || lines == [V4], "{lines:?}");
}

#[test]
fn fragments_that_never_end_are_bounded() {
    let ip = ipv4(&[b'x'; 1400]);
    let mut frames = Vec::new();
    for high in 0..=64 {
        for id in 0..=u8::MAX {
            let mut first = fragments4(&ip, 1000, id).swap_remove(0);
            first[4] = high;
            frames.push(first);
        }
    }
    let (lines, totals, _) = read(raw(&frames));
    assert!(lines.is_empty());
    assert_eq!(totals.skipped(Skip::Fragment), totals.packets);
}

#[test]
fn several_packets_in_one_wireless_frame() {
    let subframe = |ip: &[u8], last: bool| {
        let body = llc(ip);
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        let mut bytes = join(&[WIRED, &length, &body]);
        if !last {
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    };
    let body = join(&[
        &subframe(&ipv4(REQUEST), false),
        &subframe(&ipv6(REQUEST), true),
    ]);
    let frame = wireless([0x88, 0x02], &[0x80, 0], &body);
    check(one(105, &frame), &[V4, V6], &[]);
}

#[test]
fn what_is_not_read_is_named() {
    use super::super::Unread;
    let unread = |tunnel| Skip::Unread(tunnel);
    let cases: [(u16, Vec<u8>, Skip); 14] = [
        (RAW, outer4(50, &[0; 40]), unread(Unread::Esp)),
        (RAW, outer4(1, &[0; 40]), Skip::Protocol(1)),
        (RAW, udp(4500, &[1; 40]), unread(Unread::EspInUdp)),
        (RAW, udp(51_820, &[1; 40]), unread(Unread::WireGuard)),
        (RAW, udp(53, &[1; 40]), Skip::Udp),
        (
            RAW,
            udp(2152, &[0x30, 1, 0, 0, 0, 0, 0, 0]),
            unread(Unread::GtpControl),
        ),
        (RAW, outer4(GRE, &[0, 0, 0, 0]), unread(Unread::Gre)),
        (
            105,
            wireless([0x08, 0x41], &[], &[0; 40]),
            unread(Unread::EncryptedWireless),
        ),
        (105, wireless([0x80, 0], &[], &[0; 40]), Skip::Wireless),
        (9, join(&[&[0, 0x3d], &[0; 40]]), unread(Unread::Multilink)),
        (9, join(&[&[0xc0, 0x21], &[0; 40]]), Skip::Ppp(0xc021)),
        (
            1,
            join(&[WIRED, &[0x88, 0xcc], &[0; 46]]),
            Skip::EtherType(0x88cc),
        ),
        (
            1,
            join(&[WIRED, &[0x88, 0x63], &[0; 46]]),
            Skip::EtherType(0x8863),
        ),
        (
            1,
            join(&[WIRED, &[0x88, 0xe5, 0x0c, 0, 0, 0, 0, 1], &[0; 46]]),
            unread(Unread::Macsec),
        ),
    ];
    for (link, frame, skip) in cases {
        check(one(link, &frame), &[], &[(skip, 1)]);
    }
}

#[test]
fn every_cut_of_every_frame_is_counted_for() {
    let linked = LINKS
        .iter()
        .map(|(_, link, wrap)| (*link, wrap(&ipv4(b""))));
    let tunnelled = TUNNELS.iter().map(|(_, tunnel)| (RAW, tunnel(&ipv4(b""))));
    for (link, frame) in linked.chain(tunnelled) {
        let cuts: Vec<_> = (0..frame.len())
            .map(|len| (0, 1, &frame[..len], frame.len()))
            .collect();
        let (_, totals, end) = read(pcap(LITTLE, MICROS, link, &cuts));
        end.unwrap();
        let counted = totals.tcp + totals.joined + totals.all_skipped();
        assert_eq!(totals.packets, counted);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn damaged_frames_are_counted_for(
        link in any::<prop::sample::Index>(),
        tunnels in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        let mut ip = ipv4(REQUEST);
        for tunnel in tunnels {
            ip = TUNNELS[tunnel.index(TUNNELS.len())].1(&ip);
        }
        let (_, link, wrap) = LINKS[link.index(LINKS.len())];
        let mut frame = wrap(&ip);
        for (at, value) in flips {
            let at = at.index(frame.len());
            frame[at] = value;
        }
        let (_, totals, _) = read(one(link, &frame));
        let counted = totals.tcp + totals.joined + totals.all_skipped();
        prop_assert_eq!(totals.packets, counted);
    }
}
