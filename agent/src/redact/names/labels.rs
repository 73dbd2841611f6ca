//! Fields that have a name and its value apart.

use super::short;

/// Fields and attributes that say a name.
const LABELS: [&str; 22] = [
    "k",
    "name",
    "key",
    "id",
    "field",
    "fieldname",
    "param",
    "parameter",
    "parametername",
    "paramname",
    "property",
    "propertyname",
    "attribute",
    "attributename",
    "header",
    "headername",
    "variable",
    "label",
    "attr",
    "env",
    "setting",
    "option",
];

/// Fields, elements and attributes beside those that have the value.
const VALUES: [&str; 18] = [
    "v",
    "value",
    "values",
    "val",
    "newvalue",
    "oldvalue",
    "currentvalue",
    "defaultvalue",
    "stringvalue",
    "content",
    "data",
    "text",
    "string",
    "paramvalue",
    "parametervalue",
    "fieldvalue",
    "propertyvalue",
    "headervalue",
];

/// The field of this name says a name, and another field beside it has the value.
pub(in super::super) fn is_label(raw: &[u8]) -> bool {
    is_one_of(&[&LABELS], const { ends(&[&LABELS]) }, raw)
}

/// The field of this name has the value of a name beside it.
pub(in super::super) fn is_value(raw: &[u8]) -> bool {
    is_one_of(&[&VALUES], const { ends(&[&VALUES]) }, raw)
}

/// Either of them.
pub(in super::super) fn is_member(raw: &[u8]) -> bool {
    const BOTH: [&[&str]; 2] = [&LABELS, &VALUES];
    is_one_of(&BOTH, const { ends(&BOTH) }, raw)
}

/// The bit of each word, by its first letter and its length: most names have none of them.
const fn ends(lists: &[&[&str]]) -> u64 {
    let (mut all, mut list) = (0, 0);
    while list < lists.len() {
        let mut at = 0;
        while at < lists[list].len() {
            all |= end(lists[list][at].as_bytes());
            at += 1;
        }
        list += 1;
    }
    all
}

#[inline]
const fn end(word: &[u8]) -> u64 {
    match word {
        [first, ..] => 1 << ((*first as usize * 5 + word.len() * 13) % 64),
        [] => 0,
    }
}

#[inline]
fn is_one_of(lists: &[&[&str]], ends: u64, raw: &[u8]) -> bool {
    short::<16>(raw).is_some_and(|(name, len)| {
        let name = name.get(..len).unwrap_or_default();
        let digits = name.iter().rev().take_while(|b| b.is_ascii_digit()).count();
        let name = name.get(..len - digits).unwrap_or_default();
        let is_known = |list: &&[&str]| list.iter().any(|word| word.as_bytes() == name);
        ends & end(name) != 0 && lists.iter().any(is_known)
    })
}
