//! A configuration as a tree that overrides are put into, whose plain words mean what they mean in
//! a file.
//!
//! YAML 1.1 reads `off` as false, YAML 1.2 as a word. A file is read with the type of each key at
//! hand, so `mode: off` is a word and `host: off` is false. A tree has no types; so it keeps both
//! readings, and hands out the one that the key's type asks for.

use serde::de::value::{MapDeserializer, SeqDeserializer, StringDeserializer};
use serde::de::{DeserializeOwned, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Map, Value};

use crate::plural::counted;

/// The same YAML read in two ways; the shape is the same.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Tree {
    /// Only `true` and `false` are booleans.
    words: Value,
    /// So are `on`, `off`, `yes`, `no`.
    booleans: Value,
}

impl Tree {
    /// Reads YAML.
    pub(super) fn read(text: &str) -> Result<Self, serde_saphyr::Error> {
        let strict = serde_saphyr::options! { strict_booleans: true };
        Ok(Self {
            words: serde_saphyr::from_str_with_options(text, strict)?,
            booleans: serde_saphyr::from_str(text)?,
        })
    }

    /// Its keys, and values as words.
    pub(super) const fn words(&self) -> &Value {
        &self.words
    }

    /// A word that is no YAML.
    pub(super) fn word(text: &str) -> Self {
        Self {
            words: Value::String(text.to_owned()),
            booleans: Value::String(text.to_owned()),
        }
    }

    /// Puts `value` where `path` leads, making what is missing on the way.
    pub(super) fn place(&mut self, path: &[String], value: Self) -> Result<(), String> {
        place(&mut self.words, path, value.words)?;
        place(&mut self.booleans, path, value.booleans)
    }

    /// What it says.
    pub(super) fn get<T: DeserializeOwned>(&self) -> Result<T, String> {
        let node = Node {
            words: &self.words,
            booleans: &self.booleans,
        };
        T::deserialize(node).map_err(|error| error.to_string())
    }
}

fn place(tree: &mut Value, path: &[String], value: Value) -> Result<(), String> {
    let Some((first, rest)) = path.split_first() else {
        *tree = value;
        return Ok(());
    };
    if let Ok(index) = first.parse::<usize>() {
        if tree.is_null() {
            *tree = Value::Array(Vec::new());
        }
        let list = tree.as_array_mut().ok_or("not a list")?;
        if index > list.len() {
            let count = counted(list.len() as u64, "element");
            return Err(format!("the list has {count}"));
        }
        if index == list.len() {
            list.push(Value::Null);
        }
        return match list.get_mut(index) {
            Some(slot) => place(slot, rest, value),
            None => Ok(()),
        };
    }
    if tree.is_null() {
        *tree = Value::Object(Map::new());
    }
    let map = tree.as_object_mut().ok_or("not a section")?;
    place(map.entry(first).or_insert(Value::Null), rest, value)
}

/// A node of both readings.
#[derive(Clone, Copy)]
struct Node<'a> {
    words: &'a Value,
    booleans: &'a Value,
}

impl<'de> Node<'de> {
    fn pairs(self, map: &'de Map<String, Value>) -> impl Iterator<Item = (&'de str, Self)> {
        map.iter().map(move |(key, words)| {
            let booleans = self.booleans.get(key).unwrap_or(words);
            (key.as_str(), Self { words, booleans })
        })
    }

    fn elements(self, list: &'de [Value]) -> impl Iterator<Item = Self> {
        list.iter().enumerate().map(move |(index, words)| {
            let booleans = self.booleans.get(index).unwrap_or(words);
            Self { words, booleans }
        })
    }

    /// The text of a scalar that YAML takes for something else: a name of digits, `true`.
    fn text(self) -> Option<StringDeserializer<Error>> {
        match self.words {
            Value::String(text) => Some(text.clone().into_deserializer()),
            Value::Bool(truth) => Some(truth.to_string().into_deserializer()),
            Value::Number(number) => Some(number.to_string().into_deserializer()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

impl<'de> IntoDeserializer<'de, Error> for Node<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Node<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.words {
            Value::Object(map) => visitor.visit_map(MapDeserializer::new(self.pairs(map))),
            Value::Array(list) => visitor.visit_seq(SeqDeserializer::new(self.elements(list))),
            scalar => scalar.deserialize_any(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.booleans.deserialize_bool(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.text() {
            Some(text) => text.deserialize_str(visitor),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.words {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.text() {
            Some(text) => text.deserialize_enum(name, variants, visitor),
            None => self.words.deserialize_enum(name, variants, visitor),
        }
    }

    /// A section with nothing but comments has nothing but defaults.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.words {
            Value::Null => {
                let none = std::iter::empty::<(&str, Self)>();
                visitor.visit_map(MapDeserializer::new(none))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default, deny_unknown_fields)]
    struct Whole {
        mode: Mode,
        names: Vec<String>,
        name: Option<String>,
        host: bool,
        part: Part,
        many: Vec<Part>,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Mode {
        #[default]
        Auto,
        On,
        Off,
        True,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default, deny_unknown_fields)]
    struct Part {
        mode: Mode,
        count: u32,
        is: Option<bool>,
    }

    /// A tree says what the same text says where the types are known.
    #[track_caller]
    fn check(text: &str) {
        let typed: Whole = serde_saphyr::from_str(text).unwrap();
        assert_eq!(Tree::read(text).unwrap().get(), Ok(typed), "{text}");
    }

    #[test]
    fn words_mean_what_they_mean_in_a_file() {
        check("mode: off");
        check("mode: on\nhost: on");
        check("mode: true\nhost: true");
        check("host: no\npart: {mode: off, is: yes, count: 3}");
        check("names: [on, off, 7, true, x]");
        check("name: off");
        check("name: null\npart: {is: null}");
        check("name: 'null'");
        check("many:\n  - mode: off\n  - is: off\n");
        check("part: {}\n");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |text: &str| Tree::read(text).unwrap().get::<Whole>().unwrap_err();
        assert!(error("mode: sometimes").contains("sometimes"));
        assert!(error("host: 7").contains("expected a boolean"));
        assert!(error("part: {kount: 1}").contains("kount"));
    }

    #[test]
    fn values_are_put_in_place() {
        let mut tree = Tree::read("part: {mode: on}").unwrap();
        let path = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<_>>();
        let off = Tree::read("off").unwrap();
        tree.place(&path("part.is"), off.clone()).unwrap();
        tree.place(&path("many.0.mode"), off).unwrap();
        let whole: Whole = tree.get().unwrap();
        assert_eq!(whole.part.mode, Mode::On);
        assert_eq!(whole.part.is, Some(false));
        assert_eq!(whole.many[0].mode, Mode::Off);
        let far = tree.place(&path("many.5.mode"), Tree::word("x"));
        assert_eq!(far, Err("the list has 1 element".to_owned()));
    }
}
