//! Functions by their symbols.
//!
//! Names are searched for in the string tables, and symbols are compared by where their name is:
//! nothing grows with the number of symbols.

use memchr::memmem::Finder;

use super::bytes::{read, u16_at, u32_at, u64_at, windows};
use super::elf::{Elf, Section};
use super::entry;
use super::{Function, Library, Refusal, Role, shared};

const SHT_SYMTAB: u32 = 2;
const SHT_DYNSYM: u32 = 11;
const SYMBOL: usize = 24;
/// The longest name that is read: aws-lc's have 50 bytes.
const LONGEST: usize = 96;
/// Places in a string table that hold one of the names. Linkers keep a string once; a file with
/// more is not one that they made.
const MAX_NAMES: usize = 64;
/// Versions of aws-lc in one program.
const MAX_VERSIONS: usize = 4;

/// The roles with names of their own.
const EXACT: [Role; 6] = [
    Role::Read,
    Role::Write,
    Role::ReadEx,
    Role::WriteEx,
    Role::Handshake,
    Role::Shutdown,
];

/// Those of aws-lc, with the version before their names.
const AEAD: [Role; 3] = [Role::AeadOpen, Role::AeadSeal, Role::AeadNew];

/// What the string tables say.
#[derive(Default)]
struct Names {
    /// Places of names, from the start of the table.
    places: Vec<(u32, Role)>,
    has_rustls: bool,
    has_ring: bool,
}

/// The functions that symbols name; nothing where they name none of a TLS library.
pub(super) fn locate(elf: &Elf<'_>) -> Result<Option<(Library, Vec<Function>)>, Refusal> {
    let mut has_rustls = false;
    let mut has_ring = false;
    let mut aead = Vec::new();
    for (kind, library) in [
        (SHT_DYNSYM, Library::Exported),
        (SHT_SYMTAB, Library::Symbols),
    ] {
        // There is one of each (System V ABI, 4-16).
        if let Some(table) = elf.sections.iter().find(|table| table.kind == kind) {
            let link = usize::try_from(table.link).unwrap_or(usize::MAX);
            let Some(strings) = elf.sections.get(link) else {
                continue;
            };
            let names = names(elf, strings)?;
            has_rustls |= names.has_rustls;
            has_ring |= names.has_ring;
            let (ssl, mut rest): (Vec<_>, Vec<_>) = addresses(elf, table, &names.places)?
                .into_iter()
                .partition(|(role, _)| EXACT.contains(role));
            if !ssl.is_empty() {
                return Ok(Some((library, ssl_functions(elf, &ssl)?)));
            }
            aead.append(&mut rest);
        }
    }
    match (has_rustls, aead.is_empty(), has_ring) {
        (true, false, _) => Ok(Some((Library::RustlsAwsLc, aead_functions(elf, aead)?))),
        (true, true, true) => Err(Refusal::RustlsRing),
        _ => Ok(None),
    }
}

/// `SSL_read` and `SSL_write`, both or nothing, and what there is of the others.
fn ssl_functions(elf: &Elf<'_>, found: &[(Role, u64)]) -> Result<Vec<Function>, Refusal> {
    let mut functions = Vec::new();
    for role in EXACT {
        let mut addresses = found
            .iter()
            .filter(|(named, _)| *named == role)
            .map(|(_, address)| *address);
        let Some(address) = addresses.next() else {
            continue;
        };
        if addresses.any(|other| other != address) {
            return Err(Refusal::Symbols("several functions under one name"));
        }
        functions.push(entry::function(elf, role, address)?);
    }
    let has = |role| functions.iter().any(|function| function.role == role);
    if !has(Role::Read) || !has(Role::Write) {
        return Err(Refusal::Symbols("not both of SSL_read and SSL_write"));
    }
    functions.extend(shared::functions(elf, found));
    Ok(functions)
}

/// The three functions of every version of aws-lc.
fn aead_functions(elf: &Elf<'_>, mut found: Vec<(Role, u64)>) -> Result<Vec<Function>, Refusal> {
    found.sort_unstable();
    found.dedup();
    let count = |role| found.iter().filter(|(named, _)| *named == role).count();
    let versions = count(Role::AeadOpen);
    let is_whole = AEAD.iter().all(|role| count(*role) == versions);
    if !is_whole || versions > MAX_VERSIONS {
        return Err(Refusal::Symbols("not all functions of aws-lc"));
    }
    found
        .into_iter()
        .map(|(role, address)| entry::function(elf, role, address))
        .collect()
}

/// Where the string table has one of the names. A name may be the end of another string.
fn names(elf: &Elf<'_>, strings: &Section) -> Result<Names, Refusal> {
    let ssl = Finder::new("SSL_");
    let aead = Finder::new("_EVP_AEAD_CTX_");
    let rustls = Finder::new("rustls");
    let ring = Finder::new("ring_core_");
    let mut names = Names::default();
    windows(
        elf.bytes,
        strings.offset,
        strings.size,
        LONGEST,
        |at, window| {
            names.has_rustls |= rustls.find(window).is_some();
            names.has_ring |= ring.find(window).is_some();
            let exact = ssl.find_iter(window).filter_map(|start| {
                let name = name(window, start)?;
                let role = EXACT
                    .into_iter()
                    .find(|role| role.name().as_bytes() == name)?;
                Some((start, role))
            });
            let versioned = aead.find_iter(window).filter_map(|middle| {
                let low = middle.saturating_sub(LONGEST);
                let before = window.get(low..middle)?;
                let start = low + before.iter().rposition(|byte| *byte == 0)? + 1;
                let role = aead_role(name(window, start)?)?;
                Some((start, role))
            });
            for (start, role) in exact.chain(versioned) {
                let place = u32::try_from(at + start as u64)
                    .map_err(|_| Refusal::TooLarge("a string table"))?;
                // Windows overlap.
                if names.places.contains(&(place, role)) {
                    continue;
                }
                names.places.push((place, role));
                if names.places.len() > MAX_NAMES {
                    return Err(Refusal::Symbols("a name that is there many times"));
                }
            }
            Ok(())
        },
    )?;
    Ok(names)
}

/// From `start` to the zero byte.
fn name(window: &[u8], start: usize) -> Option<&[u8]> {
    let rest = window.get(start..)?;
    let end = rest.iter().take(LONGEST).position(|byte| *byte == 0)?;
    rest.get(..end)
}

/// `aws_lc_0_34_0_EVP_AEAD_CTX_seal`, with `fips_` before the version in builds of that kind.
fn aead_role(name: &[u8]) -> Option<Role> {
    let version = name.strip_prefix(b"aws_lc_")?;
    let version = version.strip_prefix(b"fips_").unwrap_or(version);
    AEAD.into_iter().find(|role| {
        version
            .strip_suffix(role.name().as_bytes())
            .is_some_and(|version| {
                version.ends_with(b"_")
                    && version
                        .iter()
                        .all(|byte| byte.is_ascii_digit() || *byte == b'_')
            })
    })
}

/// The addresses of the functions that are defined under the names.
fn addresses(
    elf: &Elf<'_>,
    table: &Section,
    places: &[(u32, Role)],
) -> Result<Vec<(Role, u64)>, Refusal> {
    const CHUNK: u64 = 16 * 1024 * SYMBOL as u64;
    const STT_FUNC: u8 = 2;
    const SHN_UNDEF: u16 = 0;
    /// From here on the number is no section's.
    const SHN_LORESERVE: u16 = 0xff00;
    let mut found = Vec::new();
    if places.is_empty() {
        return Ok(found);
    }
    let mut at = 0;
    while at < table.size {
        let size = usize::try_from((table.size - at).min(CHUNK)).unwrap_or(0);
        let chunk = read(elf.bytes, table.offset + at, size)?;
        for symbol in chunk.chunks_exact(SYMBOL) {
            let name = u32_at(symbol, 0).unwrap_or(0);
            let section = u16_at(symbol, 6).unwrap_or(0);
            let is_function = symbol.get(4).is_some_and(|info| info & 15 == STT_FUNC);
            if !is_function || section == SHN_UNDEF || section >= SHN_LORESERVE {
                continue;
            }
            for (_, role) in places.iter().filter(|(place, _)| *place == name) {
                found.push((*role, u64_at(symbol, 8).unwrap_or(0)));
            }
            if found.len() > MAX_NAMES {
                return Err(Refusal::Symbols("several functions under one name"));
            }
        }
        at += CHUNK;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_aws_lc() {
        let check = |name: &str, expected| {
            assert_eq!(aead_role(name.as_bytes()), expected, "{name}");
        };
        check(
            "aws_lc_0_22_0_EVP_AEAD_CTX_open_gather",
            Some(Role::AeadOpen),
        );
        check("aws_lc_0_47_0_EVP_AEAD_CTX_seal", Some(Role::AeadSeal));
        check("aws_lc_fips_0_13_7_EVP_AEAD_CTX_zero", Some(Role::AeadNew));
        check("aws_lc_0_47_0_EVP_AEAD_CTX_seal_scatter", None);
        check("aws_lc_x_EVP_AEAD_CTX_seal", None);
        check("EVP_AEAD_CTX_seal", None);
    }
}
