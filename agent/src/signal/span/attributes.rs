//! The attributes of a span: one buffer of text, and a list of what in it is what.

use std::str::Utf8Error;

use bytes::Bytes;

use super::body::Keys;

/// A value, borrowed from its span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Text.
    Str(&'a str),
    /// An integer.
    Int(i64),
    /// A truth.
    Bool(bool),
    /// Several texts.
    List(List<'a>),
}

/// Several texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct List<'a> {
    text: &'a str,
    items: &'a [Place],
}

impl<'a> List<'a> {
    /// The texts, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a str> + Clone + use<'a> {
        let text = self.text;
        self.items.iter().map(move |place| place.of(text))
    }
}

/// A range of the text buffer. Four bytes are enough: heads are below 64 KiB, and bodies stand
/// apart or are cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    start: u32,
    end: u32,
}

impl Place {
    fn of<'a>(&self, text: &'a str) -> &'a str {
        text.get(self.start as usize..self.end as usize)
            .unwrap_or_default()
    }
}

/// A body's text, shared with the exchange it came from.
#[derive(Clone, Debug)]
pub(super) struct Text(Bytes);

impl Text {
    /// The bytes, when they are UTF-8.
    pub(super) fn new(bytes: Bytes) -> Option<Self> {
        Self::check(&bytes).ok()
    }

    /// The same, and what is wrong with them.
    pub(super) fn check(bytes: &Bytes) -> Result<Self, Utf8Error> {
        str::from_utf8(bytes)?;
        Ok(Self(bytes.clone()))
    }

    fn as_str(&self) -> &str {
        // SAFETY: `check` is the only constructor and checked that the bytes, which never change,
        // are UTF-8.
        unsafe { str::from_utf8_unchecked(&self.0) }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[derive(Clone, Copy, Debug)]
enum Key {
    Fixed(&'static str),
    Own(Place),
}

#[derive(Clone, Debug)]
enum Stored {
    Own(Place),
    Fixed(&'static str),
    Body(Text),
    Int(i64),
    Bool(bool),
    List(Place),
}

/// The attributes of a span, in order.
#[derive(Clone, Debug, Default)]
pub struct Attributes {
    text: String,
    entries: Vec<(Key, Stored)>,
    items: Vec<Place>,
}

impl Attributes {
    /// Key and value of each.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, Value<'_>)> + Clone {
        self.entries.iter().map(|(key, stored)| {
            let key = match key {
                Key::Fixed(key) => key,
                Key::Own(place) => place.of(&self.text),
            };
            (key, self.value(stored))
        })
    }

    fn value<'a>(&'a self, stored: &'a Stored) -> Value<'a> {
        match stored {
            Stored::Own(place) => Value::Str(place.of(&self.text)),
            Stored::Fixed(text) => Value::Str(text),
            Stored::Body(text) => Value::Str(text.as_str()),
            Stored::Int(number) => Value::Int(*number),
            Stored::Bool(truth) => Value::Bool(*truth),
            Stored::List(Place { start, end }) => Value::List(List {
                text: &self.text,
                items: self
                    .items
                    .get(*start as usize..*end as usize)
                    .unwrap_or_default(),
            }),
        }
    }

    /// The value of an attribute.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Value<'_>> {
        self.iter().find(|(k, _)| *k == key).map(|(_, value)| value)
    }

    /// Without the bodies under any of `keys`, and with `reason` for each.
    pub(super) fn without_bodies(&self, keys: &[&Keys], reason: &'static str) -> Self {
        let is = |key: &Key, name: &str| matches!(key, Key::Fixed(key) if *key == name);
        let mut bodies: Vec<&Keys> = Vec::new();
        for (key, stored) in &self.entries {
            let found = keys.iter().find(|keys| is(key, keys.body));
            if let (Some(found), Stored::Body(_)) = (found, stored) {
                bodies.push(found);
            }
        }
        let mut light = self.clone();
        light.entries.retain(|(key, _)| {
            let of =
                |keys: &&Keys| [keys.body, keys.encoding, keys.truncated].map(|name| is(key, name));
            !bodies.iter().any(|keys| of(keys).contains(&true))
        });
        for keys in bodies {
            light
                .entries
                .push((Key::Fixed(keys.omitted), Stored::Fixed(reason)));
        }
        light
    }

    /// Bytes held, for bounds on memory.
    #[must_use]
    pub fn memory(&self) -> usize {
        let bodies: usize = self
            .entries
            .iter()
            .map(|(_, stored)| match stored {
                Stored::Body(text) => text.0.len(),
                _ => 0,
            })
            .sum();
        self.text.capacity() + self.entries.capacity() * size_of::<(Key, Stored)>() + bodies
    }
}

/// Makes [`Attributes`]. All text goes into one buffer.
#[derive(Debug)]
pub(super) struct Builder {
    text: Vec<u8>,
    entries: Vec<(Key, Stored)>,
    items: Vec<Place>,
}

impl Builder {
    /// With room for `text` bytes and `entries` attributes.
    pub(super) fn new(text: usize, entries: usize) -> Self {
        Self {
            text: Vec::with_capacity(text),
            entries: Vec::with_capacity(entries),
            items: Vec::new(),
        }
    }

    pub(super) fn fixed(&mut self, key: &'static str, value: &'static str) {
        self.entries.push((Key::Fixed(key), Stored::Fixed(value)));
    }

    pub(super) fn int(&mut self, key: &'static str, value: i64) {
        self.entries.push((Key::Fixed(key), Stored::Int(value)));
    }

    /// A size; sizes beyond 2^63 do not occur.
    pub(super) fn size(&mut self, key: &'static str, value: u64) {
        self.int(key, i64::try_from(value).unwrap_or(i64::MAX));
    }

    pub(super) fn bool(&mut self, key: &'static str, value: bool) {
        self.entries.push((Key::Fixed(key), Stored::Bool(value)));
    }

    pub(super) fn body(&mut self, key: &'static str, value: Text) {
        self.entries.push((Key::Fixed(key), Stored::Body(value)));
    }

    /// Text that need not be UTF-8; see [`push_text`].
    pub(super) fn bytes(&mut self, key: &'static str, value: &[u8]) {
        self.write(key, |out| push_text(out, value));
    }

    pub(super) fn str(&mut self, key: &'static str, value: &str) {
        self.write(key, |out| out.extend_from_slice(value.as_bytes()));
    }

    /// What `write` appends, which must be UTF-8.
    pub(super) fn write(&mut self, key: &'static str, write: impl FnOnce(&mut Vec<u8>)) {
        let place = self.place(write);
        self.entries.push((Key::Fixed(key), Stored::Own(place)));
    }

    /// An attribute whose key is not known before.
    pub(super) fn own(&mut self, key: &str, value: &str) {
        let key = self.place(|out| out.extend_from_slice(key.as_bytes()));
        let value = self.place(|out| out.extend_from_slice(value.as_bytes()));
        self.entries.push((Key::Own(key), Stored::Own(value)));
    }

    /// Likewise, an integer.
    pub(super) fn own_int(&mut self, key: &str, value: i64) {
        let key = self.place(|out| out.extend_from_slice(key.as_bytes()));
        self.entries.push((Key::Own(key), Stored::Int(value)));
    }

    /// A list under a prefix and a name that is put in lower case.
    pub(super) fn list<'v>(
        &mut self,
        prefix: &str,
        name: &[u8],
        values: impl Iterator<Item = &'v [u8]>,
    ) {
        let key = self.place(|out| {
            out.extend_from_slice(prefix.as_bytes());
            let start = out.len();
            push_text(out, name);
            out[start..].make_ascii_lowercase();
        });
        let start = self.items.len();
        for value in values {
            let place = self.place(|out| push_text(out, value));
            self.items.push(place);
        }
        let place = Place {
            start: position(start),
            end: position(self.items.len()),
        };
        self.entries.push((Key::Own(key), Stored::List(place)));
    }

    fn place(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Place {
        let start = position(self.text.len());
        write(&mut self.text);
        Place {
            start,
            end: position(self.text.len()),
        }
    }

    pub(super) fn build(self) -> Attributes {
        let text = String::from_utf8(self.text)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        Attributes {
            text,
            entries: self.entries,
            items: self.items,
        }
    }
}

fn position(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// Appends bytes as UTF-8. What is not UTF-8 is taken for ISO-8859-1, which HTTP's field values
/// were in before (RFC 9110 §5.5), so no byte is lost.
pub(super) fn push_text(out: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.is_ascii() || str::from_utf8(bytes).is_ok() {
        out.extend_from_slice(bytes);
    } else {
        for &byte in bytes {
            let mut utf8 = [0; 4];
            out.extend_from_slice(char::from(byte).encode_utf8(&mut utf8).as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(build: impl FnOnce(&mut Builder), expected: &[(&str, Value<'_>)]) {
        let mut builder = Builder::new(0, 0);
        build(&mut builder);
        let attributes = builder.build();
        let found: Vec<_> = attributes.iter().collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn every_kind_of_value() {
        check(
            |b| {
                b.fixed("a", "x");
                b.bytes("b", "é\"".as_bytes());
                b.bytes("c", b"\xe9");
                b.int("d", -1);
                b.own("e", "y");
                b.own_int("f", 2);
                b.bool("g", true);
                b.body("h", Text::new(Bytes::from_static(b"z")).unwrap());
            },
            &[
                ("a", Value::Str("x")),
                ("b", Value::Str("é\"")),
                ("c", Value::Str("é")),
                ("d", Value::Int(-1)),
                ("e", Value::Str("y")),
                ("f", Value::Int(2)),
                ("g", Value::Bool(true)),
                ("h", Value::Str("z")),
            ],
        );
        assert!(Text::new(Bytes::from_static(b"\xff")).is_none());
    }

    #[test]
    fn lists() {
        let mut builder = Builder::new(0, 0);
        builder.list("p.", b"X-Y", [&b"1"[..], b"2"].into_iter());
        builder.list("p.", b"z", std::iter::empty());
        let attributes = builder.build();
        let Some(Value::List(list)) = attributes.get("p.x-y") else {
            panic!("no list");
        };
        assert_eq!(list.iter().collect::<Vec<_>>(), ["1", "2"]);
        let Some(Value::List(list)) = attributes.get("p.z") else {
            panic!("no list");
        };
        assert_eq!(list.iter().len(), 0);
    }
}
