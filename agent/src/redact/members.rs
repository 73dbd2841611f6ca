//! Names and values that are fields of their own, in forms, queries and multipart bodies:
//! `name=password&value=x`, `items[0][name]=token&items[0][value]=x`, in either order.

use std::ops::Range;

use super::edit::Coding;
use super::effort::Effort;
use super::names::{Names, decode, is_label, is_member, is_value};

/// Longest value that is taken for a name; what is longer is a text that has the word in it.
const NAME: usize = 128;

/// Most fields that are kept in mind. Forms have tens.
const MOST: usize = 512;

/// What a field is to the others of its group.
#[derive(Debug)]
enum Role {
    /// It says a name, and whether that is a secret's.
    Label { is_secret: bool },
    /// It has the value of a name.
    Value(Range<usize>),
}

#[derive(Debug)]
struct Member {
    /// What its name has beside `name` or `value`: fields that belong together have the same.
    group: Vec<u8>,
    role: Role,
}

/// The fields of a message that may be names or values of others.
#[derive(Debug, Default)]
pub(super) struct Members(Vec<Member>);

impl Members {
    /// A field of this name may be one of them: a quick look.
    pub(super) fn may_have(&self, name: &[u8]) -> bool {
        self.0.len() < MOST && may_be_member(name)
    }

    /// Notes a field. `level`: fields of different levels never belong together.
    pub(super) fn note(
        &mut self,
        (name, value): (&[u8], &[u8]),
        range: Range<usize>,
        (coding, level): (Coding, u8),
        names: &Names,
        effort: &mut Effort,
    ) {
        effort.spend(name.len());
        let name = decode(name, coding);
        let Some((prefix, word, suffix)) = parts(&name) else {
            return;
        };
        let role = if is_label(word) {
            let looks = value.len() <= NAME && effort.spend(4 * value.len());
            let is_secret = looks && names.matches(value.trim_ascii(), coding);
            Role::Label { is_secret }
        } else if is_value(word) {
            Role::Value(range)
        } else {
            return;
        };
        // `v` belongs to `k`: elsewhere it is a version.
        let mut group = vec![level, u8::from(word.len() == 1)];
        group.extend(prefix.iter().chain(b"\0").chain(suffix));
        effort.spend(32 + group.len());
        self.0.push(Member { group, role });
    }

    /// The values that belong to the names of secrets.
    pub(super) fn secrets(mut self) -> Vec<Range<usize>> {
        let is_secret = |member: &Member| matches!(member.role, Role::Label { is_secret: true });
        if !self.0.iter().any(is_secret) {
            return Vec::new();
        }
        self.0.sort_by(|one, other| one.group.cmp(&other.group));
        let mut found = Vec::new();
        for group in self.0.chunk_by(|one, other| one.group == other.group) {
            let is_label = |member: &&Member| matches!(member.role, Role::Label { .. });
            let labels = group.iter().filter(is_label).count();
            let is_first = group.first().is_some_and(|first| is_label(&first));
            match (labels, is_first) {
                (1, _) if group.iter().any(is_secret) => paired(true, group.iter(), &mut found),
                (1, _) => {}
                (_, true) => paired(false, group.iter(), &mut found),
                (_, false) => paired(false, group.iter().rev(), &mut found),
            }
        }
        found
    }
}

/// Adds the values that come after the names of secrets; before the first name, when `secret` says
/// so.
fn paired<'a>(
    mut secret: bool,
    members: impl Iterator<Item = &'a Member>,
    found: &mut Vec<Range<usize>>,
) {
    for member in members {
        match &member.role {
            Role::Label { is_secret } => secret = *is_secret,
            Role::Value(range) if secret => found.push(range.clone()),
            Role::Value(_) => {}
        }
    }
}

/// What says so of most fields is how their names end.
fn may_be_member(name: &[u8]) -> bool {
    memchr::memchr(b'%', name).is_some() || parts(name).is_some_and(|(_, word, _)| is_member(word))
}

/// The last word of a name, what stands before it, and the numbers after it.
fn parts(name: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let is_number = |b: &&u8| !b.is_ascii_alphabetic();
    let end = name.len() - name.iter().rev().take_while(is_number).count();
    let letters = name.get(..end)?;
    let len = letters
        .iter()
        .rev()
        .take_while(|b| b.is_ascii_alphabetic())
        .count();
    let start = end - len;
    let word = letters.get(start..)?;
    // `paramName`: the last capital begins a word.
    let is_bump = |pair: &[u8]| matches!(pair, [b'a'..=b'z', b'A'..=b'Z']);
    let bump = word.windows(2).rposition(is_bump).map_or(0, |at| at + 1);
    let last = word.get(bump..)?;
    let start = match bump > 0 && is_member(last) {
        true => start + bump,
        false => start,
    };
    Some((name.get(..start)?, name.get(start..end)?, name.get(end..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::fixture::names;

    /// The values of pairs that are hidden.
    fn hidden(pairs: &[(&str, &str)]) -> Vec<usize> {
        let mut members = Members::default();
        let mut effort = Effort::for_len(1 << 16);
        for (index, (name, value)) in pairs.iter().enumerate() {
            let field = (name.as_bytes(), value.as_bytes());
            assert!(members.may_have(name.as_bytes()), "{name}");
            members.note(
                field,
                index..index + 1,
                (Coding::Percent, 0),
                names(),
                &mut effort,
            );
        }
        let mut found: Vec<usize> = members
            .secrets()
            .into_iter()
            .map(|range| range.start)
            .collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn values_belong_to_the_names_of_their_group() {
        assert_eq!(hidden(&[("name", "password"), ("value", "x")]), [1]);
        assert_eq!(hidden(&[("value", "x"), ("name", "password")]), [0]);
        assert_eq!(hidden(&[("name", "user"), ("value", "x")]), [0; 0]);
        for style in ["p[{}][{}]", "p%5B{}%5D%5B{}%5D", "{}.{}", "a{}_{}"] {
            let name =
                |index: &str, word: &str| style.replacen("{}", index, 1).replacen("{}", word, 1);
            let (a, b) = (name("0", "name"), name("0", "value"));
            let (c, d) = (name("1", "value"), name("1", "name"));
            let pairs = [(&*a, "user"), (&*b, "ann"), (&*c, "x"), (&*d, "api_key")];
            assert_eq!(hidden(&pairs), [2], "{style}");
        }
        assert_eq!(hidden(&[("paramName", "token"), ("paramValue", "x")]), [1]);
        assert_eq!(
            hidden(&[("name2", "token"), ("value1", "x"), ("value2", "y")]),
            [2]
        );
    }

    #[test]
    fn lists_are_paired_by_their_order() {
        let (n, v) = ("name", "value");
        assert_eq!(
            hidden(&[(n, "user"), (v, "a"), (n, "token"), (v, "x")]),
            [3]
        );
        assert_eq!(
            hidden(&[(v, "a"), (n, "user"), (v, "x"), (n, "token")]),
            [2]
        );
        assert_eq!(
            hidden(&[("key[]", "token"), ("key[]", "b"), ("value", "2")]),
            [0; 0]
        );
        assert_eq!(hidden(&[("name", "session_token"), ("v", "2")]), [0; 0]);
        assert_eq!(hidden(&[("k", "token"), ("v", "x")]), [1]);
    }
}
