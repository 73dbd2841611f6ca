//! A document of any kind: which scanners look at it. The first pass looks at all; most documents
//! have no trace of a secret, and no other scanner looks at those. Of binary bodies the runs of
//! text are documents.

mod resemblance;

use memchr::{memchr, memchr3};

use super::config::Pattern;
use super::counts::Rule;
use super::edit::Edits;
use super::effort::Effort;
use super::fields::Look;
use super::media::MediaTypes;
use super::names::Names;
use super::query::Tools;
use super::sieve::{Sieve, Traces};
use super::text::Shape;
use super::unescape::{self, Unescaped};
use super::{binary, csv, decoded, json, known, multipart, query, rpc, text, xml};
pub(super) use resemblance::is_section;
use resemblance::{is_events, is_form, resembles_form, shape};

/// Deepest multipart in multipart that is looked into: mails in mails.
const DEPTH: usize = 3;

/// What documents are searched with.
#[derive(Clone, Debug)]
pub(super) struct Search {
    pub(super) names: Names,
    pub(super) sieve: Sieve,
    pub(super) patterns: Vec<Pattern>,
}

/// Reused from document to document.
#[derive(Clone, Debug, Default)]
pub(super) struct Room {
    traces: Traces,
    pub(super) media: MediaTypes,
}

impl Search {
    pub(super) const fn tools(&self) -> Tools<'_> {
        Tools {
            names: &self.names,
            sieve: &self.sieve,
        }
    }

    /// Finds what is to be hidden in a body. When the effort is spent it was not searched to its
    /// end.
    pub(super) fn body(
        &self,
        media_type: &[u8],
        text: &[u8],
        room: &mut Room,
        effort: &mut Effort,
        edits: &mut Edits,
    ) {
        if room.media.of(media_type).is_token {
            edits.push_plain(text, 0..text.len(), Rule::Token);
            return;
        }
        self.document(media_type, text, DEPTH, room, effort, edits);
        settle(edits, effort);
    }

    /// The same for a text of which nothing is known.
    pub(super) fn value(
        &self,
        text: &[u8],
        room: &mut Room,
        effort: &mut Effort,
        edits: &mut Edits,
    ) {
        self.document(b"", text, 0, room, effort, edits);
        if memchr(b'%', text).is_some() {
            query::scan_encoded(text, 0..text.len(), self.tools(), effort, edits);
        }
        settle(edits, effort);
    }

    /// Finds what is to be hidden in the value of a header field, as far as `look` says.
    pub(super) fn field(
        &self,
        look: Look,
        value: &[u8],
        room: &mut Room,
        effort: &mut Effort,
        edits: &mut Edits,
    ) {
        match look {
            Look::Drop | Look::Keep => {}
            Look::SearchIssued => self.issued(value, room, effort, edits),
            Look::SearchTokens => self.tokens(value, room, effort, edits),
            Look::Search => {
                self.sieve.mark(value, &mut room.traces);
                if may_hold(value, &room.traces) {
                    self.value(value, room, effort, edits);
                }
            }
        }
    }

    /// Finds what is to be hidden in the target of a request, but for the authority of a CONNECT.
    pub(super) fn target(
        &self,
        target: &[u8],
        room: &mut Room,
        effort: &mut Effort,
        edits: &mut Edits,
    ) {
        let traces = &mut room.traces;
        self.sieve.mark(target, traces);
        if query::may_find(target, traces, &self.names) {
            query::scan_url(target, self.tools(), effort, edits);
        }
        known::scan(target, traces, &self.patterns, effort, edits);
        settle(edits, effort);
    }

    /// Known tokens only.
    pub(super) fn tokens(
        &self,
        text: &[u8],
        room: &mut Room,
        effort: &mut Effort,
        edits: &mut Edits,
    ) {
        self.sieve.mark(text, &mut room.traces);
        known::scan(text, &room.traces, &self.patterns, effort, edits);
        settle(edits, effort);
    }

    /// Tokens of known issuers, and no numbers of cards: those of requests and versions are alike.
    fn issued(&self, text: &[u8], room: &mut Room, effort: &mut Effort, edits: &mut Edits) {
        if known::begins_none(text) {
            return;
        }
        self.sieve.mark(text, &mut room.traces);
        room.traces.digits.clear();
        known::scan(text, &room.traces, &self.patterns, effort, edits);
        settle(edits, effort);
    }

    fn document(
        &self,
        media_type: &[u8],
        text: &[u8],
        depth: usize,
        room: &mut Room,
        effort: &mut Effort,
        edits: &mut Edits,
    ) {
        let bare = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let bare = bare.trim_ascii_start();
        let is_multipart =
            depth > 0 && (bare.starts_with(b"--") || multipart::is_labelled(media_type));
        // What the parts are is said within.
        let label: &[u8] = if is_multipart { b"" } else { media_type };
        let is_binary = binary::is_binary(label, text);
        if is_binary && !is_multipart {
            self.binary(text, room, effort, edits);
            return;
        }
        let Room { traces, .. } = room;
        self.sieve.look(text, &self.names, effort, traces);
        known::scan(text, traces, &self.patterns, effort, edits);
        if !is_binary {
            query::scan_text(text, traces, self.tools(), effort, edits);
        }
        let is_form = is_form(media_type, bare);
        if is_form {
            query::scan_form(text, self.tools(), effort, edits);
        }
        let may_name = !traces.has_no_names();
        if is_multipart {
            let has_parts = may_name || multipart::may_have_base64(text);
            if !has_parts || self.parts(text, depth, effort, edits) {
                return;
            }
        }
        if unescape::is_needed(text, traces, effort) {
            self.unescaped(text, effort, edits);
        }
        let is_xml = xml::recognizes(bare);
        if !(may_name || is_xml && xml::has_letters(text)) {
            return;
        }
        if is_xml {
            xml::scan(text, &self.names, traces, effort, edits);
        }
        if is_events(media_type, bare) && decoded::scan_events(text, self.tools(), effort, edits) {
            return;
        }
        json::scan(text, &self.names, traces, effort, edits);
        if !is_form || !resembles_form(bare) {
            // Other things come under a form's media type, too.
            let shape = shape(bare, is_xml);
            self.plain(media_type, text, shape, traces, effort, edits);
        }
    }

    /// Text of any kind, in which there are names.
    fn plain(
        &self,
        media_type: &[u8],
        text: &[u8],
        shape: Shape,
        traces: &Traces,
        effort: &mut Effort,
        edits: &mut Edits,
    ) {
        text::scan(text, traces, shape, effort, edits);
        if shape == Shape::Quoted {
            decoded::scan_strings(text, traces, self.tools(), effort, edits);
        }
        csv::scan(text, media_type, traces, effort, edits);
        if csv::is_labelled(media_type) {
            decoded::scan_doubled(text, self.tools(), effort, edits);
        }
    }

    /// Texts that stand escaped in this one.
    fn unescaped(&self, text: &[u8], effort: &mut Effort, edits: &mut Edits) {
        let copy = Unescaped::of(text, effort);
        let (mut traces, mut found) = (Traces::default(), Edits::default());
        self.sieve
            .look(&copy.text, &self.names, effort, &mut traces);
        if traces.has_no_names() {
            return;
        }
        json::scan(&copy.text, &self.names, &traces, effort, &mut found);
        text::scan(&copy.text, &traces, Shape::Quoted, effort, &mut found);
        copy.restore(&found, edits);
    }

    /// The parts of a multipart body, each a document; whether it has parts.
    fn parts(&self, text: &[u8], depth: usize, effort: &mut Effort, edits: &mut Edits) -> bool {
        let mut room = Room::default();
        let each = |part: multipart::Part<'_>, effort: &mut Effort, edits: &mut Edits| {
            let content = text.get(part.range.clone()).unwrap_or_default();
            if depth == 1 && multipart::recognizes(part.media_type, content) {
                // Deeper than is looked into.
                return edits.push_plain(text, part.range, Rule::Multipart);
            }
            let mut found = Edits::default();
            let room = &mut room;
            if part.is_base64 && self.has_secret(&part, content, depth - 1, room, effort) {
                return edits.push_plain(text, part.range, Rule::Multipart);
            }
            self.document(
                part.media_type,
                content,
                depth - 1,
                room,
                effort,
                &mut found,
            );
            edits.append(found, part.range.start);
        };
        multipart::scan(text, &self.names, effort, edits, each)
    }

    /// Something is to be hidden in a part that is base64: it is hidden whole.
    fn has_secret(
        &self,
        part: &multipart::Part<'_>,
        content: &[u8],
        depth: usize,
        room: &mut Room,
        effort: &mut Effort,
    ) -> bool {
        if !effort.spend(2 * content.len()) {
            return true;
        }
        let letters = content.iter().copied();
        let letters: Vec<u8> = letters.filter(|b| !b.is_ascii_whitespace()).collect();
        let (decoded, mut found) = (rpc::decode_text(&letters), Edits::default());
        self.document(part.media_type, &decoded, depth, room, effort, &mut found);
        !found.is_empty()
    }

    /// A body that is plainly binary: known tokens, and what its runs of text hold.
    fn binary(&self, bytes: &[u8], room: &mut Room, effort: &mut Effort, edits: &mut Edits) {
        /// Steps that a document takes, whatever is in it.
        const STEPS: usize = 64;
        self.sieve.mark(bytes, &mut room.traces);
        effort.spend(bytes.len());
        // Addresses are too short to be sure of.
        let mut patterns = self.patterns.clone();
        patterns.retain(|&pattern| pattern != Pattern::Email);
        known::scan(bytes, &room.traces, &patterns, effort, edits);
        for run in binary::runs(bytes) {
            if !effort.spend(STEPS) {
                return;
            }
            let text = bytes.get(run.clone()).unwrap_or_default();
            let mut found = Edits::default();
            self.document(b"", text, 0, room, effort, &mut found);
            edits.append(found, run.start);
        }
    }
}

/// Puts what was found in order; nothing when the effort is spent, since then nothing of the text
/// leaves.
fn settle(edits: &mut Edits, effort: &mut Effort) {
    /// Steps that a replacement takes.
    const EDIT: usize = 48;
    if effort.afford(EDIT * edits.as_slice().len()) {
        edits.settle();
    } else {
        edits.clear();
    }
}

/// A value of which nothing is known may hold a secret: a name or a token, by what the first pass
/// found, a pair, a password in a URL, an address, or elements whose names are written with
/// references.
fn may_hold(value: &[u8], traces: &Traces) -> bool {
    !traces.is_bare()
        || memchr3(b'=', b'%', b'@', value).is_some()
        || xml::recognizes(value.trim_ascii_start())
}
