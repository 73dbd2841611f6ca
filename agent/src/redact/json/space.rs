//! White space and comments between the tokens of JSON.

use memchr::{memchr, memmem};

/// Longest comment that is passed over.
const COMMENT: usize = 512;

/// After white space, also in its escaped forms, as it stands in JSON within a string, and after
/// comments (JSON5 and other dialects).
pub(super) fn skip_space(text: &[u8], from: usize) -> usize {
    let mut at = from;
    loop {
        match text.get(at..) {
            Some([b, ..]) if is_space(*b) => at += 1,
            Some([b'\\', rest @ ..]) => {
                let more = rest.iter().take_while(|&&b| b == b'\\').count();
                match rest.get(more) {
                    Some(b'n' | b'r' | b't') => at += more + 2,
                    _ => return at,
                }
            }
            Some([b'/' | b'#', ..]) => match comment(text, at) {
                Some(end) => at = end,
                None => return at,
            },
            _ => return at,
        }
    }
}

/// Where the comment ends that begins at `at`, if one does.
pub(super) fn comment(text: &[u8], at: usize) -> Option<usize> {
    let rest = text.get(at..)?;
    let near = rest.get(..COMMENT).unwrap_or(rest);
    match near {
        [b'/', b'*', inner @ ..] => Some(at + 2 + memmem::find(inner, b"*/")? + 2),
        [b'/', b'/', ..] | [b'#', ..] => Some(at + memchr(b'\n', near)?),
        _ => None,
    }
}

/// Before white space and comments that end at `end`.
pub(super) fn before_space(text: &[u8], mut end: usize) -> usize {
    loop {
        let from = end;
        while end > 0 && text.get(end - 1).is_some_and(|&b| is_space(b)) {
            end -= 1;
        }
        let before = text
            .get(end.saturating_sub(COMMENT / 2)..end)
            .unwrap_or_default();
        if before.ends_with(b"*/")
            && let Some(open) = memmem::rfind(before, b"/*")
        {
            end -= before.len() - open;
            continue;
        }
        let skipped = text.get(end..from).unwrap_or_default();
        if memchr(b'\n', skipped).is_some() {
            let line = before.rsplit(|&b| b == b'\n').next().unwrap_or_default();
            let sign = memmem::find_iter(line, b"//").find(|&at| {
                let key = line.get(..at).unwrap_or_default().trim_ascii_end();
                matches!(key.last(), Some(b'"' | b'\'' | b',' | b'}' | b']'))
            });
            let is_whole = line.trim_ascii_start().starts_with(b"//");
            if let Some(at) = sign.or(is_whole.then_some(0)) {
                end -= line.len() - at;
                continue;
            }
        }
        return end;
    }
}

pub(super) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}
