//! Secrets among the arguments of commands, where an option of one letter says what they are: `curl
//! -u ann:x`, `mysql -px`, `sshpass -p x`. In a line of a text, in a script, in a JSON string.

use std::ops::Range;

use Argument::{After, Joined, Word};

use super::begins;
use crate::redact::counts::Rule;
use crate::redact::digest::{REPLACEMENT, is_replacement};
use crate::redact::edit::Edits;
use crate::redact::effort::Effort;

/// How an option has its secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Argument {
    /// Behind it, in its own word or in the next.
    Word,
    /// In its own word alone: without one, the program asks.
    Joined,
    /// The same as [`Self::Word`], behind this sign.
    After(u8),
}

/// An option, and how it has its secret.
type Secret = (&'static [u8], Argument);

/// Programs, by how their names begin, and their options. Those with a long name are found by that.
static COMMANDS: [(&[u8], &[Secret]); 10] = [
    (
        b"curl",
        &[
            (b"--user", After(b':')),
            (b"--proxy-user", After(b':')),
            (b"-u", After(b':')),
            (b"-U", After(b':')),
        ],
    ),
    (b"mysql", &[(b"-p", Joined)]),
    (b"mariadb", &[(b"-p", Joined)]),
    (b"sshpass", &[(b"-p", Word)]),
    (b"redis-cli", &[(b"-a", Word)]),
    (b"ldap", &[(b"-w", Word), (b"-s", Word), (b"-a", Word)]),
    (b"sqlcmd", &[(b"-P", Word)]),
    (b"mongo", &[(b"-p", Word)]),
    (b"smbclient", &[(b"-U", After(b'%'))]),
    (b"docker login", &[(b"-p", Word)]),
];

/// The same command of another program.
static SAME: [(&[u8], &[u8]); 1] = [(b"podman login", b"docker login")];

/// Of `ldap…`, the program that sets a password: others have these options for something else.
const SETS_PASSWORD: &[u8] = b"ldappasswd";

/// Longest command that is read.
const LONGEST: usize = 1024;

/// Hides the secrets of the command whose name begins at `at`; where it was read to.
pub(super) fn scan(
    text: &[u8],
    at: usize,
    effort: &mut Effort,
    edits: &mut Edits,
) -> Option<usize> {
    let rest = text.get(at..)?;
    let rest = rest.get(..LONGEST).unwrap_or(rest);
    let (options, len) = command(rest)?;
    if rest.get(len) != Some(&b' ') || !begins(text, at) {
        return None;
    }
    let mut words = Words {
        text: rest,
        at: len,
    };
    let mut awaited = None;
    for word in words.by_ref() {
        let content = rest.get(word.clone()).unwrap_or_default();
        if let Some(argument) = awaited.take() {
            hide(text, at, word, argument, edits);
            continue;
        }
        let option = options
            .iter()
            .find(|(option, _)| content.starts_with(option));
        let Some((option, argument)) = option else {
            continue;
        };
        let value = word.start + option.len()..word.end;
        match content.get(option.len()) {
            None if *argument == Joined => {}
            None => awaited = Some(*argument),
            Some(b'=') => hide(text, at, value.start + 1..value.end, *argument, edits),
            Some(_) if option.len() == 2 => hide(text, at, value, *argument, edits),
            Some(_) => {}
        }
    }
    effort.spend(words.at);
    Some(at + words.at)
}

/// The options of the command that a text begins with, and the length of its name.
fn command(rest: &[u8]) -> Option<(&'static [Secret], usize)> {
    // Most places are other tokens.
    if !matches!(
        rest.get(1),
        Some(b'u' | b'y' | b'a' | b's' | b'e' | b'd' | b'q' | b'o' | b'm')
    ) {
        return None;
    }
    let same = SAME.iter().find(|(name, _)| rest.starts_with(name));
    let found = same.map_or(rest, |(_, known)| known);
    let (name, options) = COMMANDS.iter().find(|(name, _)| found.starts_with(name))?;
    let is_of_name = |b: &&u8| b.is_ascii_lowercase() || matches!(**b, b'-' | b'_');
    let after = rest.get(name.len()..)?;
    let len = name.len() + after.iter().take_while(is_of_name).count();
    let is_other = *name == b"ldap" && !rest.starts_with(SETS_PASSWORD);
    let known = if is_other { 1 } else { options.len() };
    Some((options.get(..known)?, len))
}

/// Hides what is secret of an argument, whose place is counted from `at`.
fn hide(text: &[u8], at: usize, range: Range<usize>, argument: Argument, edits: &mut Edits) {
    let mut range = at + range.start..at + range.end;
    if let After(sign) = argument {
        let value = text.get(range.clone()).unwrap_or_default();
        let is_hidden = value.get(..REPLACEMENT).is_some_and(is_replacement);
        let Some(sign) = memchr::memchr(sign, value).filter(|_| !is_hidden) else {
            return;
        };
        // A key stands for a user without a password.
        match range.start + sign + 1 == range.end {
            true => range.end -= 1,
            false => range.start += sign + 1,
        }
    }
    let value = text.get(range.clone()).unwrap_or_default();
    // A variable, another option, addresses of published ports.
    let is_port = |b: &u8| b.is_ascii_digit() || b".:/".contains(b);
    let is_none = matches!(value.first(), Some(b'$' | b'-' | b'%' | b'<' | b'*' | b'/'))
        || memchr::memchr(b':', value).is_some() && value.iter().all(is_port);
    if !is_none {
        edits.push_plain(text, range, Rule::Text);
    }
}

/// The words of a command, without their quotes.
struct Words<'a> {
    text: &'a [u8],
    at: usize,
}

impl Iterator for Words<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        loop {
            let rest = self.text.get(self.at..)?;
            let slashes = rest.iter().take_while(|&&b| b == b'\\').count();
            match rest.get(slashes)? {
                b' ' | b'\t' if slashes == 0 => self.at += 1,
                // The line goes on: in a text, or in a JSON string.
                b'\n' | b'\r' if slashes == 1 => self.at += 2,
                b'n' | b'r' if slashes > 1 => self.at += slashes + 1,
                b'\n' | b'\r' | b'|' | b';' | b'&' | b'n' | b'r' if slashes <= 1 => {
                    let is_word = slashes == 0 && matches!(rest.first(), Some(b'n' | b'r'));
                    return is_word.then(|| self.word(0)).flatten();
                }
                _ => return self.word(slashes),
            }
        }
    }
}

impl Words<'_> {
    /// The word that begins here; its quote stands after so many backslashes.
    fn word(&mut self, slashes: usize) -> Option<Range<usize>> {
        let quote = self.at + slashes;
        let sign = *self.text.get(quote)?;
        if matches!(sign, b'"' | b'\'') {
            let start = quote + 1;
            let inner = self.text.get(start..)?;
            let len = inner.iter().position(|&b| b == sign || b == b'\n');
            let end = start + len.unwrap_or(inner.len());
            self.at = end + 1;
            let before = self.text.get(..end.max(start))?;
            let last = before.get(start..)?;
            let escapes = last.iter().rev().take_while(|&&b| b == b'\\').count();
            return Some(start..end - escapes.min(slashes));
        }
        let rest = self.text.get(self.at..)?;
        let ends = |b: &u8| {
            b.is_ascii_whitespace() || matches!(b, b'"' | b'\'' | b'\\' | b'|' | b';' | b'<' | b'`')
        };
        let len = rest.iter().position(ends).unwrap_or(rest.len());
        let start = self.at;
        if len == 0 {
            return None;
        }
        self.at += len;
        // `-u'ann:x'`, `--user="ann:x"`: what is quoted belongs to the word.
        if let Some(sign @ (b'"' | b'\'')) = self.text.get(self.at)
            && self.text.get(start) == Some(&b'-')
            && let Some(inner) = self.text.get(self.at + 1..)
            && let Some(close) = inner.iter().position(|b| b == sign || *b == b'\n')
            && inner.get(close) == Some(sign)
            && !matches!(inner.first(), Some(b',' | b'}' | b']' | b':'))
        {
            self.at += close + 2;
            return Some(start..self.at - 1);
        }
        let end = self.at;
        if self.text.get(end) == Some(&b'"') {
            // The string ends that the command stands in.
            self.at = self.text.len();
        }
        Some(start..end)
    }
}
