//! Variables of GraphQL under names of their own: in `login(password: $p)` the value of `p` is a
//! secret, among the variables and where it is declared with a default.

use memchr::memmem;

use super::is_word;
use super::quote::slashes_before;
use super::space::skip_space;
use super::value::Value;
use crate::redact::edit::Edits;
use crate::redact::effort::Effort;
use crate::redact::names::Sensitivity;
use crate::redact::sieve::Traces;

/// Most variables that are looked for. A call has one or two secrets.
const MOST: usize = 4;

/// Longest name of a variable.
const NAME: usize = 64;

/// Hides the values of variables that are given to arguments with the names of secrets.
pub(in super::super) fn scan(text: &[u8], traces: &Traces, effort: &mut Effort, edits: &mut Edits) {
    let mut found: [&[u8]; MOST] = [b""; MOST];
    let mut len = 0;
    for ident in &traces.idents {
        if let Some(name) = variable(text, ident.range.end)
            && !found.contains(&name)
            && let Some(place) = found.get_mut(len)
        {
            *place = name;
            len += 1;
        }
    }
    for name in found.get(..len).unwrap_or_default() {
        if !effort.spend(16 + text.len() / 4) {
            return;
        }
        values(text, name, effort, edits);
    }
}

/// The variable behind the name of an argument that ends at `end`.
fn variable(text: &[u8], end: usize) -> Option<&[u8]> {
    let rest = text.get(end..)?;
    let rest = rest.strip_prefix(b":")?;
    let rest = rest.strip_prefix(b" ").unwrap_or(rest).strip_prefix(b"$")?;
    let len = rest.iter().take(NAME).take_while(|&&b| is_word(b)).count();
    rest.get(..len).filter(|name| !name.is_empty())
}

/// Hides the values that stand behind a variable's name: `"p": "x"`, `$p: String = "x"`.
fn values(text: &[u8], name: &[u8], effort: &mut Effort, edits: &mut Edits) {
    let mut done = 0;
    for at in memmem::find_iter(text, name) {
        if at < done {
            continue;
        }
        if !effort.spend(16) {
            return;
        }
        let end = at + name.len();
        let before = at.checked_sub(1).and_then(|before| text.get(before));
        let (slashes, value) = match before {
            Some(b'"') => {
                let slashes = slashes_before(text, at - 1);
                (slashes, member(text, end, slashes))
            }
            Some(b'$') => (0, default(text, end)),
            _ => continue,
        };
        if let Some(start) = value {
            let value = Value {
                text,
                start,
                quoted_key: true,
                slashes,
            };
            done = value.redact(Sensitivity::Secret, effort, edits);
        }
    }
}

/// Where the value of a member begins whose name ends at `end`.
fn member(text: &[u8], end: usize, slashes: usize) -> Option<usize> {
    let quote = end + slashes;
    let is_closed = text.get(end..quote)?.iter().all(|&b| b == b'\\');
    let colon = skip_space(text, quote + 1);
    let is_member = is_closed && text.get(quote) == Some(&b'"') && text.get(colon) == Some(&b':');
    is_member.then(|| skip_space(text, colon + 1))
}

/// Where the default of a variable begins whose name ends at `end`.
fn default(text: &[u8], end: usize) -> Option<usize> {
    let rest = text.get(end..)?;
    let near = rest.get(..2 * NAME).unwrap_or(rest);
    let kind = near.strip_prefix(b":")?;
    let is_type = |b: &u8| b.is_ascii_alphanumeric() || b"_![] ".contains(b);
    let len = kind.iter().position(|b| !is_type(b))?;
    (kind.get(len) == Some(&b'=')).then(|| skip_space(text, end + 1 + len + 1))
}
