//! A server's text, made fit for a log line.

use bytes::Bytes;

use super::Reply;
use crate::plural::counted;

/// Most characters of a server's text that are repeated: an error and its reason, not a page.
const TEXT_LIMIT: usize = 256;
/// Bytes of a body in which the text is looked for. A page's own text may stand behind some KiB of
/// style.
const SOURCE_LIMIT: usize = 8 * 1024;

/// `text` in one line of at most [`TEXT_LIMIT`] characters: runs of space and of control characters
/// become one space, characters that change the direction of text are removed.
pub(in super::super) fn one_line(text: &str) -> String {
    let mut line = String::new();
    let mut count = 0;
    let mut space = false;
    for c in text.chars() {
        if c.is_whitespace() || c.is_control() {
            space = count > 0;
            continue;
        }
        if is_format(c) {
            continue;
        }
        if count >= TEXT_LIMIT {
            line.push('…');
            break;
        }
        if std::mem::take(&mut space) {
            line.push(' ');
            count += 1;
        }
        line.push(c);
        count += 1;
    }
    line
}

/// Marks, embeddings, overrides and isolates of direction (Unicode UAX 9), and the byte order mark.
const fn is_format(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// What a body says to a person; empty when it says nothing.
pub(super) fn of(reply: &Reply, content: Option<&Bytes>) -> String {
    let Some(content) = content else {
        return "a body whose content coding cannot be removed".to_owned();
    };
    let kind = reply.content_type();
    let start = content.get(..SOURCE_LIMIT).unwrap_or(content);
    let text = String::from_utf8_lossy(start);
    // A few control characters, such as colours, do not make a text something else.
    let odd = |c: &char| *c == '\u{fffd}' || c.is_control() && !c.is_whitespace();
    let looks_binary = text.chars().filter(odd).count() * 4 > text.chars().count();
    if kind.contains("html") || text.trim_start().starts_with("<!") {
        one_line(&without_tags(&text))
    } else if looks_binary {
        format!(
            "{} that are not text",
            counted(content.len() as u64, "byte")
        )
    } else if let Some(message) = json_message(content) {
        one_line(&message)
    } else {
        one_line(&text)
    }
}

/// The text of a page: what is neither a tag nor a style or a script. Only moves forward.
fn without_tags(page: &str) -> String {
    let mut text = String::new();
    let mut rest = page;
    while let Some((before, tag)) = rest.split_once('<') {
        text.push_str(before);
        text.push(' ');
        rest = tag.split_once('>').map_or("", |(_, after)| after);
        for name in ["style", "script"] {
            if starts_with(tag, name) {
                rest = after_end_tag(rest, name);
            }
        }
    }
    text + rest
}

fn starts_with(text: &str, name: &str) -> bool {
    text.get(..name.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(name))
}

/// What follows `</name>`; nothing when that does not come.
fn after_end_tag<'a>(text: &'a str, name: &str) -> &'a str {
    let mut rest = text;
    while let Some((_, tag)) = rest.split_once("</") {
        if starts_with(tag, name) {
            return tag.split_once('>').map_or("", |(_, after)| after);
        }
        rest = tag;
    }
    ""
}

/// The message of an error in JSON, under one of the names that servers use.
fn json_message(content: &[u8]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(content).ok()?;
    let names = ["message", "error_description", "detail", "error", "reason"];
    let found = names.iter().find_map(|name| match value.get(name)? {
        serde_json::Value::String(text) => Some(text.clone()),
        object => Some(object.get("message")?.as_str()?.to_owned()),
    });
    found.filter(|text| !text.is_empty())
}
