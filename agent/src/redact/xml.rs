//! Secrets in XML and HTML: the text of an element with a secret's name and of all within it
//! (SOAP's `wsse:Password`, a SAML assertion), attributes with such names, and names that stand
//! apart from their values (`<add key="ApiKey" value="x"/>`, `<name>password</name><value>x</
//! value>`, `<input name="csrf" value="x">`).
//!
//! A scanner from tag to tag instead of a parser: it needs no whole document, no well-formed one,
//! and reads HTML alike. Prefixes of namespaces are not looked at. An element that does not end
//! hides all that follows.

mod cell;
mod level;
mod reference;
mod tag;

use std::borrow::Cow;
use std::ops::Range;

use memchr::{memchr, memmem};

use super::counts::Rule;
use super::edit::{Coding, Edits};
use super::effort::Effort;
use super::names::{Names, is_label, is_value};
use super::sieve::{Ident, Traces};
use super::text::{self, Shape};
use cell::Cells;
use level::Levels;
pub(super) use reference::has_letters;
use tag::{attribute, local, name_at};

/// Longest text that is taken for a name.
const NAME: usize = 128;

/// Elements of HTML that have no content and no end tag.
const VOID: [&[u8]; 6] = [b"input", b"meta", b"link", b"img", b"source", b"param"];

/// The text is XML or HTML.
pub(super) fn recognizes(text: &[u8]) -> bool {
    matches!(
        text,
        [b'<', b'?' | b'!' | b'a'..=b'z' | b'A'..=b'Z' | b'_', ..]
    )
}

/// Finds the text and the attributes that are to be hidden, in order.
pub(super) fn scan(
    text: &[u8],
    names: &Names,
    traces: &Traces,
    effort: &mut Effort,
    edits: &mut Edits,
) {
    let mut scan = Scan {
        text,
        names,
        traces,
        effort,
        edits,
        hidden: None,
        label: None,
        value: None,
        levels: Levels::new(),
        cells: Cells::default(),
    };
    let mut begin = 0;
    let mut at = 0;
    while let Some(found) = text.get(at..).and_then(|rest| memchr(b'<', rest)) {
        let open = at + found;
        if !is_markup(&text[open..]) {
            at = open + 1;
            continue;
        }
        scan.text(begin..open);
        at = scan.markup(open);
        if !scan.effort.spend(at - begin + 4) {
            return;
        }
        begin = at;
    }
    scan.text(begin.min(text.len())..text.len());
}

/// What begins with this `<` is markup and not a bare sign in a text.
fn is_markup(text: &[u8]) -> bool {
    matches!(text, [_, b'!' | b'?' | b'/' | b'_', ..] | [_, b'a'..=b'z' | b'A'..=b'Z', ..])
}

/// An element whose content is hidden.
struct Hidden<'a> {
    name: &'a [u8],
    /// Elements of its name that are open, itself included.
    depth: usize,
}

struct Scan<'a, 'e> {
    text: &'a [u8],
    names: &'a Names,
    traces: &'e Traces,
    effort: &'e mut Effort,
    edits: &'e mut Edits,
    hidden: Option<Hidden<'a>>,
    /// An element that says a name is open: where its content begins.
    label: Option<usize>,
    /// An element is open that has the value of a name after it.
    value: Option<Value<'a>>,
    levels: Levels<'a>,
    cells: Cells,
}

/// An element of a value whose name is not known yet.
struct Value<'a> {
    name: &'a [u8],
    start: usize,
}

/// A start tag.
struct Tag<'a> {
    /// With its prefix.
    name: &'a [u8],
    /// After its `>`.
    end: usize,
    is_empty: bool,
    /// An attribute says a secret's name.
    is_named: bool,
    /// Another one may be its value.
    has_value: bool,
}

impl<'a> Scan<'a, '_> {
    /// What stands between two tags.
    fn text(&mut self, range: Range<usize>) {
        let raw = self.text.get(range.clone()).unwrap_or_default();
        if self.hidden.is_none() {
            self.lines(raw, range.start);
            return;
        }
        let start = range.start + (raw.len() - raw.trim_ascii_start().len());
        let end = start + raw.trim_ascii().len();
        self.hide(start..end);
    }

    /// Looks at the lines of an element's text in which a name stands.
    fn lines(&mut self, raw: &[u8], start: usize) {
        let idents = &self.traces.idents;
        let first = idents.partition_point(|ident| ident.range.start < start);
        let here = idents.get(first..).unwrap_or_default().iter();
        let here = here.take_while(|ident| ident.range.end <= start + raw.len());
        let idents: Vec<Ident> = here
            .map(|ident| Ident {
                range: ident.range.start - start..ident.range.end - start,
                ..ident.clone()
            })
            .collect();
        if idents.is_empty() || memchr(b'\n', raw.trim_ascii()).is_none() {
            return;
        }
        let traces = Traces {
            idents,
            ..Traces::default()
        };
        let mut found = Edits::default();
        text::scan(raw, &traces, Shape::Lines, self.effort, &mut found);
        self.edits.append(found, start);
    }

    /// A name, which stands in this range of the text, is a secret's.
    fn is_secret(&mut self, range: Range<usize>, name: &[u8]) -> bool {
        let decoded = reference::decode(name);
        (self.traces.may_name(range) || matches!(decoded, Cow::Owned(_)))
            && self.effort.spend(8 + 4 * name.len().min(NAME))
            && self.names.matches(&decoded, Coding::Plain)
    }

    fn hide(&mut self, range: Range<usize>) {
        self.edits.push_plain(self.text, range, Rule::Xml);
    }

    /// The markup whose `<` is at `at`; where it ends.
    fn markup(&mut self, at: usize) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        let until = |end: &[u8]| memmem::find(rest, end).map_or(rest.len(), |len| len + end.len());
        match rest {
            [b'<', b'!', b'-', b'-', ..] => at + until(b"-->"),
            [b'<', b'!', b'[', b'C', b'D', b'A', b'T', b'A', b'[', ..] => {
                const OPEN: usize = b"<![CDATA[".len();
                let end = memmem::find(rest, b"]]>").unwrap_or(rest.len());
                self.text(at + OPEN.min(end)..at + end);
                at + until(b"]]>")
            }
            [b'<', b'!' | b'?', ..] => at + until(b">"),
            [b'<', b'/', ..] => {
                self.end_tag(at);
                at + until(b">")
            }
            _ => self.start_tag(at),
        }
    }

    fn end_tag(&mut self, at: usize) {
        let name = name_at(self.text, at + 2);
        if let Some(hidden) = &mut self.hidden {
            hidden.depth -= usize::from(hidden.name == name);
            if hidden.depth > 0 {
                return;
            }
            self.hidden = None;
        }
        self.closes_cell(at);
        let looked = self.levels.close(name);
        self.effort.spend(looked / 4);
        if let Some(start) = self.label.take() {
            self.said(start..at);
        }
        if let Some(value) = self.value.take_if(|value| value.name == name) {
            self.levels.value(value.start..at);
        }
    }

    /// An element said a name. Values that stand before it are hidden when it is a secret's.
    fn said(&mut self, content: Range<usize>) {
        let text = self.text.get(content.clone()).unwrap_or_default();
        let text = cdata(text).trim_ascii();
        let is_secret = text.len() <= NAME && self.is_secret(content, text);
        for value in self.levels.label(is_secret) {
            let raw = self.text.get(value.clone()).unwrap_or_default();
            let start = value.start + (raw.len() - raw.trim_ascii_start().len());
            let end = start + raw.trim_ascii().len();
            if is_secret && self.effort.spend(end - start) {
                self.hide(start..end);
            }
        }
    }

    fn start_tag(&mut self, at: usize) -> usize {
        let tag = self.tag(at);
        if let Some(hidden) = &mut self.hidden {
            if hidden.name == tag.name && !tag.is_empty {
                hidden.depth += 1;
            }
            return tag.end;
        }
        let local = local(tag.name);
        self.label = None;
        if tag.is_empty || VOID.iter().any(|void| local.eq_ignore_ascii_case(void)) {
            return tag.end;
        }
        let is_value = is_value(local);
        let has_label = is_value && self.levels.has_label();
        let follows = is_value && self.levels.takes_label();
        let is_secret_cell = self.opens_cell(local, at, tag.end);
        self.levels.open(tag.name);
        if follows
            || is_secret_cell
            || tag.is_named && !tag.has_value
            || self.is_secret(at..at + 1 + tag.name.len(), local)
        {
            self.hidden = Some(Hidden {
                name: tag.name,
                depth: 1,
            });
        } else if is_label(local) {
            self.label = Some(tag.end);
        } else if is_value && !has_label && self.value.is_none() {
            self.value = Some(Value {
                name: tag.name,
                start: tag.end,
            });
        }
        tag.end
    }

    /// Reads the start tag at `at` and hides its secret attributes.
    fn tag(&mut self, at: usize) -> Tag<'a> {
        let text = self.text;
        let name = name_at(text, at + 1);
        let mut tag = Tag {
            name,
            end: text.len(),
            is_empty: false,
            is_named: false,
            has_value: false,
        };
        let mut values: [Option<Range<usize>>; 8] = Default::default();
        let mut named_value = false;
        let mut next = at + 1 + name.len();
        while let Some(attribute) = attribute(text, next, &mut tag) {
            next = attribute.end;
            let (key, value) = (local(attribute.name), attribute.value.clone());
            let content = text.get(value.clone()).unwrap_or_default();
            if self.is_secret(value.start.saturating_sub(NAME)..value.start, key) {
                self.hide(value);
            } else if is_value(key) {
                tag.has_value = true;
                if let Some(slot) = values.iter_mut().find(|slot| slot.is_none()) {
                    *slot = Some(value);
                }
            } else if content.len() <= NAME && self.is_secret(value.clone(), content) {
                let says_name = is_label(key);
                named_value |= says_name || key.eq_ignore_ascii_case(b"type");
                // An element's id is a hook for styles more often than a name.
                tag.is_named |= says_name && !key.eq_ignore_ascii_case(b"id");
            }
        }
        if named_value {
            for value in values.into_iter().flatten() {
                self.hide(value);
            }
        }
        tag
    }
}

/// The content of a section of characters, when there is nothing else.
fn cdata(text: &[u8]) -> &[u8] {
    let inner = text.trim_ascii().strip_prefix(b"<![CDATA[");
    inner
        .and_then(|inner| inner.strip_suffix(b"]]>"))
        .unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::fixture::{check_traced, names};

    #[track_caller]
    fn check(text: &str, expected: &str) {
        check_traced(text, expected, |text, traces, effort, edits| {
            scan(text, names(), traces, effort, edits);
        });
    }

    #[test]
    fn elements() {
        check(
            "<?xml version=\"1.0\"?><soap:Envelope><wsse:Username>u</wsse:Username><wsse:Password Type=\"t\">p&amp;q</wsse:Password><a>b</a></soap:Envelope>",
            "<?xml version=\"1.0\"?><soap:Envelope><wsse:Username>u</wsse:Username><wsse:Password Type=\"t\">#</wsse:Password><a>b</a></soap:Envelope>",
        );
        check(
            "<r><PASSWORD>\n x y \n</PASSWORD><a>b</a></r>",
            "<r><PASSWORD>\n # \n</PASSWORD><a>b</a></r>",
        );
        check(
            "<token><![CDATA[a<b]]></token><n>1</n>",
            "<token><![CDATA[#]]></token><n>1</n>",
        );
        check("<password/><a>b</a>", "<password/><a>b</a>");
        check("<password>x", "<password>#");
        check("<password>a < b</password>", "<password>#</password>");
    }

    #[test]
    fn everything_within() {
        check(
            "<saml:Assertion ID=\"i\"><a>b</a><saml:Assertion>c</saml:Assertion>d<ds:SignatureValue>e</ds:SignatureValue></saml:Assertion><f>g</f>",
            "<saml:Assertion ID=\"i\"><a>#</a><saml:Assertion>#</saml:Assertion>#<ds:SignatureValue>#</ds:SignatureValue></saml:Assertion><f>g</f>",
        );
    }

    #[test]
    fn attributes() {
        check(
            "<db user='u' password = 'p' a=\"b>c\" token=x />",
            "<db user='u' password = '#' a=\"b>c\" token=# />",
        );
        check("<a password=\"cut", "<a password=\"#");
        check("<a password><b>c</b>", "<a password><b>c</b>");
    }

    #[test]
    fn names_with_references() {
        check(
            "<a p&#97;ssword=\"S\" b=\"c\"/>",
            "<a p&#97;ssword=\"#\" b=\"c\"/>",
        );
        check(
            "<add key=\"api&#x4B;ey\" value=\"S\"/>",
            "<add key=\"api&#x4B;ey\" value=\"#\"/>",
        );
        for text in [
            "<a u&#115;er=\"S\"/>",
            "<a key=\"&#39;&#99999;&#;\" value=\"S\"/>",
        ] {
            check(text, text);
        }
    }

    #[test]
    fn names_apart_from_values() {
        check(
            "<add key=\"DbPassword\" value=\"x\"/><add value='y' key='ApiKey'/><add key=\"Size\" value=\"1\"/>",
            "<add key=\"DbPassword\" value=\"#\"/><add value='#' key='ApiKey'/><add key=\"Size\" value=\"1\"/>",
        );
        check(
            "<input type=\"hidden\" name=\"csrf_token\" value=\"x\"><input type=password value=y><p>text</p>",
            "<input type=\"hidden\" name=\"csrf_token\" value=\"#\"><input type=password value=#><p>text</p>",
        );
        check(
            "<meta name=\"csrf-token\" content=\"x\"><title>t</title>",
            "<meta name=\"csrf-token\" content=\"#\"><title>t</title>",
        );
        check(
            "<property name=\"password\">x</property><property name=\"a\">b</property>",
            "<property name=\"password\">#</property><property name=\"a\">b</property>",
        );
        check(
            "<member><name>password</name><value><string>x</string></value></member><member><name>a</name><value>b</value></member>",
            "<member><name>password</name><value><string>#</string></value></member><member><name>a</name><value>b</value></member>",
        );
        check(
            "<dict><key>token</key><string>x</string><key>a</key><string>b</string></dict>",
            "<dict><key>token</key><string>#</string><key>a</key><string>b</string></dict>",
        );
    }

    #[test]
    fn cells() {
        check(
            "<table><tr><td>User</td><td>ann</td></tr><tr><td><b>Password:</b></td>\n<td>S</td></tr></table>",
            "<table><tr><td>User</td><td>ann</td></tr><tr><td><b>Password:</b></td>\n<td>#</td></tr></table>",
        );
        check(
            "<TABLE><TR><TH>User<TH>API key</TR><TR><TD>ann</TD><TD>S</TD></TR><TR><TD>b</TD><TD>T</TD></TR></TABLE>",
            "<TABLE><TR><TH>User<TH>API key</TR><TR><TD>ann</TD><TD>#</TD></TR><TR><TD>b</TD><TD>#</TD></TR></TABLE>",
        );
        check(
            "<dl><dt>User</dt><dd>ann</dd><dt>Access token</dt><dd><code>S</code></dd><dt>a</dt><dd>b</dd></dl>",
            "<dl><dt>User</dt><dd>ann</dd><dt>Access token</dt><dd><code>#</code></dd><dt>a</dt><dd>b</dd></dl>",
        );
        for text in [
            "<table><tr><th>Keyboard</th><td>x</td></tr></table>",
            "<table><tr><td>Type your password to go on</td><td>x</td></tr></table>",
            "<table><tr><td>Password</td></tr><tr><td>x</td></tr></table>",
            "<table><tr><th>Password</th></tr></table><table><tr><td>x</td></tr></table>",
        ] {
            check(text, text);
        }
    }

    #[test]
    fn other_text_stays() {
        for text in [
            "<a id=\"password\">Forgot your password?</a>",
            "<!-- <password>x</password> --><a>b</a>",
            "<script>if (a<b && c>d) { x(\"password\"); }</script>",
            "<name>password</name><other>x</other><b><value>y</value></b>",
            "<b><value>y</value></b><name>password</name>",
            "<key>a</key><string>x</string><key>password</key>",
            "< password>x",
            "<",
            "<a",
            "<a b",
            "<a b=",
            "<![CDATA[",
        ] {
            check(text, text);
        }
        assert!(recognizes(b"<a>") && recognizes(b"<?xml") && recognizes(b"<!doctype"));
        assert!(!recognizes(b"< a") && !recognizes(b"a<b>") && !recognizes(b"<"));
    }
}
