//! Header compression (RFC 7541), for one who may come late.
//!
//! A decoder of a connection that was there before the agent has not seen the entries that its
//! dynamic table holds. Indexes count from the newest entry on, so the arithmetic stays exact: each
//! index is of an entry that was seen, and known, or of an older one, and then the field is
//! *unknown*. It is never guessed, and later entries never shift it. After a header block that is
//! missing, nothing is known again, because it may have added entries.
//!
//! An error ends a connection whose decoder keeps to RFC 9113 §4.3. Not all do, and they differ in
//! what they take for one: what a decoder tolerates is read and marked ([`Decoder::take_odd`]).
//! After any other error nothing of the table is known, and the next block is read all the same.

mod huffman;
mod table;

use bytes::Bytes;

use self::huffman::Padding;
use self::table::{Entry, Table, Text};

/// Largest integer (RFC 7541 §5.1): an index or a length beyond is of no block that fits into
/// memory.
const MAX_INTEGER: usize = 1 << 28;

/// References to entries up to this size are always followed: what they give is in proportion to
/// the byte that each takes.
const SMALL: usize = 64;
/// Bytes that a block may give by reference for each byte of its own, beside each entry of the
/// table once.
const RATIO: usize = 32;
/// Most bytes of entries that each block may give. Senders refer to an entry once, so this is twice
/// what most servers take for a whole head; tables have 4096 bytes, if nothing else is agreed on.
const ONCE: usize = 16 * 1024;

/// Why a header block cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Error {
    /// The block ends inside a representation.
    #[error("header block ends inside a field")]
    Truncated,
    /// An integer beyond all bounds (§5.1).
    #[error("integer too large")]
    Integer,
    /// A string that is no Huffman code (§5.2).
    #[error("invalid Huffman code")]
    Huffman,
    /// An index of no entry (§2.3.3).
    #[error("index of no entry")]
    Index,
    /// A size update that is larger than the decoder allowed (§6.3).
    #[error("invalid table size update")]
    SizeUpdate,
}

impl Error {
    /// Every reason, in order.
    pub const ALL: [Self; 5] = [
        Self::Truncated,
        Self::Integer,
        Self::Huffman,
        Self::Index,
        Self::SizeUpdate,
    ];

    /// The metric's label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::Integer => "integer",
            Self::Huffman => "huffman",
            Self::Index => "index",
            Self::SizeUpdate => "size_update",
        }
    }
}

/// A header field. What was copied from an entry that was never seen is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name, in lower case as it came.
    pub name: Option<&'a [u8]>,
    /// The value.
    pub value: Option<&'a [u8]>,
    /// The sender forbids to compress it (§6.2.3): a secret.
    pub never_indexed: bool,
}

/// Decodes the header blocks of one direction.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
    /// Largest size that the other end is known to have allowed.
    allowed: usize,
    /// It has allowed no larger one.
    bounded: bool,
    /// A block broke a rule that decoders tolerate.
    odd: bool,
    /// Fields were omitted.
    cut: bool,
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// For a connection that is seen from its beginning.
    #[must_use]
    pub const fn new() -> Self {
        Self::with(Table::empty(), true)
    }

    /// For a connection that was there before: the entries of its table are unknown.
    #[must_use]
    pub const fn mid_stream() -> Self {
        Self::with(Table::unknown(), false)
    }

    const fn with(table: Table, bounded: bool) -> Self {
        Self {
            table,
            allowed: table::DEFAULT_SIZE,
            bounded,
            odd: false,
            cut: false,
            name: Vec::new(),
            value: Vec::new(),
        }
    }

    /// A header block is missing: what it added to the table has moved every index.
    pub fn forget(&mut self) {
        self.table.forget();
    }

    /// The other end allows a table of this size (`SETTINGS_HEADER_TABLE_SIZE`). An earlier, larger
    /// one stays allowed: when its acknowledgement was sent is not known here.
    pub fn allow(&mut self, size: u32) {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        self.allowed = self.allowed.max(size);
        self.table.may_hold(size);
    }

    /// What the other end allows is known from its beginning on.
    pub const fn bound(&mut self) {
        self.bounded = true;
    }

    /// The other end may have allowed a larger table: that was not seen.
    pub const fn unbound(&mut self) {
        self.bounded = false;
    }

    /// The direction begins here: its table is empty. What the other end allows stays as it is.
    pub fn begins(&mut self) {
        self.table.begins();
    }

    /// The last block broke a rule that decoders tolerate: a size update after a field (§4.2),
    /// padding of eight bits or more (§5.2), an integer with zeros in front (§5.1).
    pub const fn take_odd(&mut self) -> bool {
        std::mem::replace(&mut self.odd, false)
    }

    /// Fields of the last block were omitted: it refers to more than is followed. The table is as
    /// it would be with them.
    pub const fn take_cut(&mut self) -> bool {
        std::mem::replace(&mut self.cut, false)
    }

    /// Bytes held.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.table.memory() + self.name.capacity() + self.value.capacity()
    }

    /// Decodes a whole header block: hands over its fields in order.
    ///
    /// # Errors
    /// When the block is not valid. Fields before the error have been handed over.
    pub fn block(&mut self, block: &[u8], field: &mut dyn FnMut(Field<'_>)) -> Result<(), Error> {
        let once = self.table.size().min(ONCE);
        let mut input = Input::new(block, once + RATIO * block.len());
        let result = self.representations(&mut input, field);
        if result.is_err() {
            // What the rest of the block adds to the table moves every index.
            self.table.forget();
        }
        self.odd |= input.odd;
        self.cut |= input.cut;
        result
    }

    fn representations(
        &mut self,
        input: &mut Input<'_>,
        field: &mut dyn FnMut(Field<'_>),
    ) -> Result<(), Error> {
        let mut started = false;
        while !input.rest.is_empty() {
            started |= self.representation(input, started, field)?;
        }
        Ok(())
    }

    /// One representation (§6); whether it was a field.
    fn representation(
        &mut self,
        input: &mut Input<'_>,
        started: bool,
        field: &mut dyn FnMut(Field<'_>),
    ) -> Result<bool, Error> {
        let first = *input.rest.first().ok_or(Error::Truncated)?;
        match first.leading_zeros() {
            0 => {
                let entry = self.entry(input.integer(7)?)?;
                if input.affords(entry.len()) {
                    field(Field {
                        name: entry.name.as_ref().map(Text::bytes),
                        value: entry.value.as_ref().map(Text::bytes),
                        never_indexed: false,
                    });
                }
            }
            1 => self.literal(input, 6, field)?,
            2 => {
                let size = input.integer(5)?;
                if self.bounded && size > self.allowed {
                    return Err(Error::SizeUpdate);
                }
                input.odd |= started;
                self.table.resize(size);
                return Ok(false);
            }
            _ => self.literal(input, 4, field)?,
        }
        Ok(true)
    }

    /// A literal (§6.2): one whose index has six bits is added to the table.
    fn literal(
        &mut self,
        input: &mut Input<'_>,
        prefix: u32,
        field: &mut dyn FnMut(Field<'_>),
    ) -> Result<(), Error> {
        const NEVER_INDEXED: u8 = 0x10;
        let indexed = prefix == 6;
        let first = input.rest.first().copied().unwrap_or_default();
        let never_indexed = !indexed && first & NEVER_INDEXED != 0;
        let index = input.integer(prefix)?;
        let named = match index {
            0 => None,
            _ => Some(self.entry(index)?.name),
        };
        self.name.clear();
        if named.is_none() {
            input.string(&mut self.name)?;
        }
        self.value.clear();
        input.string(&mut self.value)?;
        let name = match &named {
            None => Some(&*self.name),
            Some(name) => name.as_ref().map(Text::bytes),
        };
        let referred = named.as_ref().map_or(0, |_| name.map_or(0, <[u8]>::len));
        if input.affords(referred) {
            field(Field {
                name,
                value: Some(&self.value),
                never_indexed,
            });
        }
        if indexed {
            let owned = |bytes: &[u8]| Text::Owned(Bytes::copy_from_slice(bytes));
            self.table.insert(Entry {
                name: named.unwrap_or_else(|| Some(owned(&self.name))),
                value: Some(owned(&self.value)),
            });
        }
        Ok(())
    }

    fn entry(&self, index: usize) -> Result<Entry, Error> {
        self.table.get(index).ok_or(Error::Index)
    }
}

/// The rest of a header block.
struct Input<'a> {
    rest: &'a [u8],
    /// A rule was broken that decoders tolerate.
    odd: bool,
    /// Bytes that references may give yet.
    budget: usize,
    /// One would have given more.
    cut: bool,
}

impl<'a> Input<'a> {
    const fn new(rest: &'a [u8], budget: usize) -> Self {
        Self {
            rest,
            odd: false,
            budget,
            cut: false,
        }
    }

    /// A reference to an entry of this size is followed.
    const fn affords(&mut self, size: usize) -> bool {
        if size <= SMALL {
            return true;
        }
        match self.budget.checked_sub(size) {
            Some(budget) => {
                self.budget = budget;
                true
            }
            None => {
                self.cut = true;
                false
            }
        }
    }

    /// An integer with a prefix of so many bits (§5.1).
    fn integer(&mut self, prefix: u32) -> Result<usize, Error> {
        let mask = u8::MAX >> (8 - prefix);
        let mut value = usize::from(self.byte()? & mask);
        if value < usize::from(mask) {
            return Ok(value);
        }
        let mut shift = 0;
        loop {
            let byte = self.byte()?;
            let bits = usize::from(byte & 0x7f);
            // Five bytes hold all that is allowed; zeros after them say nothing.
            match bits {
                0 => {}
                _ if shift > 28 => return Err(Error::Integer),
                _ => value += bits << shift,
            }
            if value > MAX_INTEGER {
                return Err(Error::Integer);
            }
            if byte & 0x80 == 0 {
                self.odd |= bits == 0 && shift > 0;
                return Ok(value);
            }
            // No further than what cannot hold any bits.
            shift = (shift + 7).min(35);
        }
    }

    /// A string (§5.2), onto `out`.
    fn string(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        const HUFFMAN: u8 = 0x80;
        let coded = self.rest.first().is_some_and(|first| first & HUFFMAN != 0);
        let len = self.integer(7)?;
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(Error::Truncated)?;
        self.rest = rest;
        match coded {
            true => {
                let padding = huffman::decode(bytes, out).map_err(|_| Error::Huffman)?;
                self.odd |= padding == Padding::Long;
                Ok(())
            }
            false => {
                out.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    fn byte(&mut self) -> Result<u8, Error> {
        let (first, rest) = self.rest.split_first().ok_or(Error::Truncated)?;
        self.rest = rest;
        Ok(*first)
    }
}

#[cfg(test)]
mod tests;
