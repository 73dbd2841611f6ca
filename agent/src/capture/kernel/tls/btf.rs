//! Where the fields of `struct sock` are in this kernel: read from its own type information (BTF,
//! `Documentation/bpf/btf.rst`).
//!
//! Only what is needed is read: members of named structures, also those in unnamed structures and
//! unions inside them. Pure.

/// Field offsets in bytes, and the globals of the BPF programs that want them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SockFields(Vec<(&'static str, u32)>);

impl SockFields {
    /// By the name of the global.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, u32)> {
        self.0.iter().copied()
    }
}

/// Structure, member, global. `struct sock` begins with its `struct sock_common`.
const FIELDS: &[(&str, &str, &str)] = &[
    ("sock_common", "skc_family", "SOCK_FAMILY"),
    ("sock_common", "skc_num", "SOCK_LOCAL_PORT"),
    ("sock_common", "skc_dport", "SOCK_REMOTE_PORT"),
    ("sock_common", "skc_rcv_saddr", "SOCK_LOCAL_ADDR"),
    ("sock_common", "skc_daddr", "SOCK_REMOTE_ADDR"),
    ("sock_common", "skc_v6_rcv_saddr", "SOCK_LOCAL_ADDR6"),
    ("sock_common", "skc_v6_daddr", "SOCK_REMOTE_ADDR6"),
    ("sock_common", "skc_cookie", "SOCK_COOKIE"),
    ("sock", "sk_protocol", "SOCK_PROTOCOL"),
];

const MAGIC: u16 = 0xeb9f;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
/// Unnamed structures inside unnamed structures: the kernel has three.
const DEPTH: u32 = 8;
/// Bytes of a type before what depends on its kind.
const TYPE: usize = 12;
const MEMBER: usize = 12;

/// The offsets, or what is missing.
pub(super) fn sock_fields(btf: &[u8]) -> Result<SockFields, String> {
    let types = Types::parse(btf).ok_or("the kernel's type information is malformed")?;
    let offset = |&(structure, member, global): &(&str, &str, &'static str)| {
        let found = types
            .structure(structure)
            .and_then(|id| types.member(id, member, DEPTH));
        match found {
            Some(bits) if bits.is_multiple_of(8) => Ok((global, bits / 8)),
            _ => Err(format!(
                "the kernel's type information has no {structure}.{member}"
            )),
        }
    };
    FIELDS
        .iter()
        .map(offset)
        .collect::<Result<_, _>>()
        .map(SockFields)
}

/// A table of types.
struct Types<'a> {
    /// Where each begins; the first has the number 1.
    starts: Vec<usize>,
    types: &'a [u8],
    strings: &'a [u8],
}

/// A structure or union.
struct Aggregate<'a> {
    members: &'a [u8],
    /// The upper 8 bits of an offset are the size of a bit field.
    has_bit_fields: bool,
}

impl<'a> Types<'a> {
    fn parse(btf: &'a [u8]) -> Option<Self> {
        if btf.get(..2)? != MAGIC.to_ne_bytes() {
            return None;
        }
        let size = |at| usize::try_from(word(btf, at)?).ok();
        let body = btf.get(size(4)?..)?;
        let types = body.get(size(8)?..)?.get(..size(12)?)?;
        let strings = body.get(size(16)?..)?.get(..size(20)?)?;
        let mut starts = Vec::new();
        let mut at = 0;
        while at < types.len() {
            starts.push(at);
            at += TYPE + tail(word(types, at + 4)?)?;
        }
        Some(Self {
            starts,
            types,
            strings,
        })
    }

    fn name(&self, offset: u32) -> Option<&'a [u8]> {
        let rest = self.strings.get(usize::try_from(offset).ok()?..)?;
        rest.split(|byte| *byte == 0).next()
    }

    /// The number of a structure with this name.
    fn structure(&self, name: &str) -> Option<u32> {
        let at = self.starts.iter().position(|start| {
            let kind = word(self.types, start + 4).map(kind);
            let offset = word(self.types, *start);
            kind == Some(STRUCT) && offset.and_then(|o| self.name(o)) == Some(name.as_bytes())
        });
        u32::try_from(at?).ok()?.checked_add(1)
    }

    fn aggregate(&self, id: u32) -> Option<Aggregate<'a>> {
        let start = *self.starts.get(usize::try_from(id.checked_sub(1)?).ok()?)?;
        let info = word(self.types, start + 4)?;
        if !matches!(kind(info), STRUCT | UNION) {
            return None;
        }
        let members = self.types.get(start + TYPE..)?;
        Some(Aggregate {
            members: members.get(..count(info) * MEMBER)?,
            has_bit_fields: info >> 31 == 1,
        })
    }

    /// Offset of a member in bits.
    fn member(&self, id: u32, name: &str, depth: u32) -> Option<u32> {
        let aggregate = self.aggregate(id)?;
        aggregate.members.chunks_exact(MEMBER).find_map(|member| {
            let offset = match aggregate.has_bit_fields {
                true => word(member, 8)? & 0xff_ffff,
                false => word(member, 8)?,
            };
            match self.name(word(member, 0)?)? {
                b"" => self
                    .member(word(member, 4)?, name, depth.checked_sub(1)?)?
                    .checked_add(offset),
                found => (found == name.as_bytes()).then_some(offset),
            }
        })
    }
}

const fn kind(info: u32) -> u32 {
    info >> 24 & 0x1f
}

const fn count(info: u32) -> usize {
    (info & 0xffff) as usize
}

/// Bytes after a type that depend on its kind. `None`: of a kind that is not known.
const fn tail(info: u32) -> Option<usize> {
    Some(match kind(info) {
        // Pointers, forward declarations, names, qualifiers, functions, floats, type tags.
        2 | 7..=12 | 16 | 18 => 0,
        // Integers, variables, declaration tags.
        1 | 14 | 17 => 4,
        // Arrays.
        3 => 12,
        // Structures, unions, sections, 64-bit enumerations.
        STRUCT | UNION | 15 | 19 => count(info) * MEMBER,
        // Enumerations, prototypes.
        6 | 13 => count(info) * 8,
        _ => return None,
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_ne_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table with these types (each as its words), and these names.
    fn table(types: &[&[u32]], names: &[&str]) -> Vec<u8> {
        let words: Vec<u8> = types
            .concat()
            .iter()
            .flat_map(|w| w.to_ne_bytes())
            .collect();
        let strings: Vec<u8> = std::iter::once("")
            .chain(names.iter().copied())
            .flat_map(|name| [name.as_bytes(), b"\0"].concat())
            .collect();
        let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap();
        let head = [24, 0, len(&words), len(&words), len(&strings)];
        let mut btf = MAGIC.to_ne_bytes().to_vec();
        btf.extend([1, 0]);
        btf.extend(head.iter().flat_map(|word| word.to_ne_bytes()));
        btf.extend(words);
        btf.extend(strings);
        btf
    }

    #[test]
    fn members_are_found_also_in_unnamed_unions() {
        // Names: 1 "a", 3 "s", 5 "b".
        let btf = table(
            &[
                // 1: int
                &[1, 1 << 24, 4, 32],
                // 2: an unnamed union with b
                &[0, UNION << 24 | 1, 4, 5, 1, 16],
                // 3: struct s { int a; union { int b; }; }, with bit fields
                &[
                    3,
                    1 << 31 | STRUCT << 24 | 2,
                    8,
                    1,
                    1,
                    7 << 24 | 8,
                    0,
                    2,
                    64,
                ],
            ],
            &["a", "s", "b"],
        );
        let types = Types::parse(&btf).unwrap();
        let id = types.structure("s").unwrap();
        assert_eq!(id, 3);
        let check = |name, expected| assert_eq!(types.member(id, name, DEPTH), expected, "{name}");
        check("a", Some(8));
        check("b", Some(80));
        check("c", None);
        assert_eq!(types.structure("a"), None);
        assert!(sock_fields(&btf).unwrap_err().contains("skc_family"));
    }

    #[test]
    fn a_structure_inside_itself_ends() {
        let btf = table(&[&[1, STRUCT << 24 | 1, 4, 0, 1, 0]], &["s"]);
        let types = Types::parse(&btf).unwrap();
        assert_eq!(types.member(1, "x", DEPTH), None);
    }

    #[test]
    fn malformed_tables_are_refused() {
        let whole = table(&[&[1, 1 << 24, 4, 32]], &["a"]);
        assert!(Types::parse(&whole).is_some());
        for len in 0..whole.len() {
            assert!(Types::parse(&whole[..len]).is_none(), "{len}");
        }
        assert!(Types::parse(&table(&[&[1, 31 << 24, 4]], &["a"])).is_none());
    }

    /// The kernel that this runs on, where it says what it is made of.
    #[test]
    fn this_kernel() {
        let Ok(btf) = std::fs::read("/sys/kernel/btf/vmlinux") else {
            return;
        };
        let fields: Vec<_> = sock_fields(&btf).unwrap().iter().collect();
        let of = |name| fields.iter().find(|(n, _)| *n == name).unwrap().1;
        // include/net/sock.h: these have been the first of `struct sock_common` ever since.
        assert_eq!((of("SOCK_REMOTE_ADDR"), of("SOCK_LOCAL_ADDR")), (0, 4));
        assert_eq!(of("SOCK_LOCAL_PORT"), of("SOCK_REMOTE_PORT") + 2);
        assert!(of("SOCK_COOKIE").is_multiple_of(8));
        assert!(of("SOCK_PROTOCOL") > of("SOCK_COOKIE"));
    }
}
