//! Header fields (`-v`) and bodies (`-vv`) below an exchange's line, in curl's manner: `>` to the
//! server, `<` to the client.

use std::io::Write as _;

use super::body::{Text, media_type, messages};
use super::colour::{Ink, Palette};
use super::units::size_words;
use super::{Detail, View, pretty};
use crate::http::{Anomalies, Body, Fields, ResponseHead};
use crate::redact::{Content, Omitted};
use crate::visible::{self, Keep};

/// How exchanges are shown below their lines.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// The colours.
    pub palette: Palette,
    /// JSON bodies are indented: for a terminal. Elsewhere they are as they came.
    pub pretty: bool,
}

/// Appends what `detail` asks for and an empty line; nothing at [`Detail::Line`].
pub fn write(out: &mut Vec<u8>, view: &View<'_>, detail: Detail, style: Style) {
    if detail < Detail::Headers {
        return;
    }
    let exchange = view.exchange();
    let request = &exchange.request;
    let head = &request.head;
    let mut block = Block {
        out,
        style,
        mark: ">",
    };
    block.begin();
    visible::write(block.out, head.method(), Keep::Nothing);
    block.out.push(b' ');
    visible::write(block.out, head.target(), Keep::Nothing);
    let _ = write!(block.out, " {}", head.version.text());
    if let Some(stream) = exchange.stream {
        let _ = write!(block.out, " [stream {stream}]");
    }
    if let Some(code) = exchange.reset {
        let _ = write!(block.out, " [reset, error code {code}]");
    }
    if let Some(client) = &exchange.peers.claimed_client {
        let _ = write!(block.out, " [PROXY line: for {client}]");
    }
    block.out.push(b'\n');
    block.message(
        &head.fields,
        (&request.body, view.sanitized.request_content()),
        request.anomalies,
        detail,
    );
    block.mark = "<";
    for head in &exchange.interim.heads {
        block.status(head);
        block.fields(&head.fields);
    }
    if let Some(response) = &exchange.response {
        block.status(&response.head);
        let content = view.sanitized.response_content();
        let fields = &response.head.fields;
        block.message(
            fields,
            (&response.body, content),
            response.anomalies,
            detail,
        );
    }
    out.push(b'\n');
}

struct Block<'a> {
    out: &'a mut Vec<u8>,
    style: Style,
    mark: &'static str,
}

impl Block<'_> {
    fn begin(&mut self) {
        let (dim, end) = (self.style.palette.begin(Ink::Dim), self.style.palette.end());
        let _ = write!(self.out, "    {dim}{}{end} ", self.mark);
    }

    fn status(&mut self, head: &ResponseHead) {
        self.begin();
        let _ = write!(self.out, "{} {:03}", head.version.text(), head.status);
        let reason = head.reason.as_bytes();
        if !reason.is_empty() {
            self.out.push(b' ');
            visible::write(self.out, reason, Keep::Nothing);
        }
        self.out.push(b'\n');
    }

    /// What follows the first line of a message.
    fn message(
        &mut self,
        fields: &Fields,
        (body, content): (&Body, &Content),
        anomalies: Anomalies,
        detail: Detail,
    ) {
        self.fields(fields);
        let names: Vec<_> = anomalies.names().collect();
        if !names.is_empty() {
            self.note(format!("anomalies: {}", names.join(", ")).as_bytes());
        }
        if detail >= Detail::Bodies {
            self.body(fields, body, content);
        }
        if let Some(messages) = body.messages {
            let more = if messages.inexact { " or more" } else { "" };
            let (count, size) = (messages.count, size_words(messages.bytes));
            self.note(format!("messages: {count}{more}, {size}{more}").as_bytes());
        }
        if let Some(trailers) = &body.trailers {
            self.note(b"trailers");
            self.fields(trailers);
        }
    }

    fn fields(&mut self, fields: &Fields) {
        let (cyan, end) = (
            self.style.palette.begin(Ink::Cyan),
            self.style.palette.end(),
        );
        for (name, value) in fields.iter() {
            self.begin();
            self.out.extend_from_slice(cyan.as_bytes());
            visible::write(self.out, name, Keep::Nothing);
            let _ = write!(self.out, "{end}: ");
            visible::write(self.out, value, Keep::Nothing);
            self.out.push(b'\n');
        }
    }

    fn body(&mut self, fields: &Fields, body: &Body, content: &Content) {
        match content.omitted {
            Some(Omitted::Uninspected) => {
                return self.note(b"omitted: it cannot be searched for secrets");
            }
            Some(Omitted::Unwanted) => return self.note(b"omitted by a rule on its media type"),
            Some(Omitted::Overload) => return self.note(b"omitted under overload"),
            Some(Omitted::Effort) => {
                return self.note(b"omitted: searching it for secrets costs too much");
            }
            None if body.size == 0 && body.bytes.is_empty() => return,
            None => {}
        }
        if content.undecoded {
            self.note(b"as it came: its content coding could not be removed");
        }
        let messages = messages(fields, body, content);
        match messages
            .as_deref()
            .map_or_else(|| Text::of(body, content), Text::Utf8)
        {
            // A zero byte is in no text a person wants to read.
            Text::Utf8(text) if !text.contains('\0') => self.text(text),
            _ => {
                let mut note = size_words(content.full_size).into_bytes();
                note.extend_from_slice(b" of ");
                note.extend_from_slice(media_type(fields).unwrap_or(b"binary data"));
                return self.note(&note);
            }
        }
        if content.cut {
            let captured = size_words(body.bytes.len() as u64);
            let total = size_words(body.size);
            let note = match (content.decoded, body.size_exact) {
                (true, _) => format!("the rest was not captured; {total} before decoding"),
                (false, true) => format!("{captured} of {total} captured"),
                (false, false) => format!("{captured} of at least {total} captured"),
            };
            self.note(note.as_bytes());
        }
    }

    fn text(&mut self, text: &str) {
        self.begin();
        self.out.push(b'\n');
        let text = match self.style.pretty {
            true => pretty::json(text),
            false => text.into(),
        };
        for line in text.lines() {
            self.begin();
            visible::write(self.out, line.as_bytes(), Keep::Tabs);
            self.out.push(b'\n');
        }
    }

    /// A remark of the tool's own, set apart from captured text by its brackets and colour.
    fn note(&mut self, note: &[u8]) {
        self.begin();
        let _ = write!(self.out, "{}[", self.style.palette.begin(Ink::Magenta));
        visible::write(self.out, note, Keep::Nothing);
        let _ = writeln!(self.out, "]{}", self.style.palette.end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Exchange;
    use crate::http::Reason;
    use crate::tap::sample;

    fn shown(exchange: &Exchange, detail: Detail, pretty: bool) -> String {
        let palette = Palette::new(false);
        let mut out = Vec::new();
        write(
            &mut out,
            &sample::view(&sample::sanitized(exchange)),
            detail,
            Style { palette, pretty },
        );
        String::from_utf8(out).expect("UTF-8")
    }

    #[track_caller]
    fn check(exchange: &Exchange, detail: Detail, expected: &str) {
        assert_eq!(shown(exchange, detail, false), expected);
    }

    #[test]
    fn what_goes_with_a_message() {
        let mut exchange = sample::exchange();
        exchange
            .interim
            .push(sample::response_head(103, &[(b"Link", b"</a>")]));
        exchange.request.anomalies = Anomalies::BARE_LF;
        let response = exchange.response.as_mut().expect("a response");
        response.head.reason = crate::http::Reason::new(201, b"Made\x1b[2J");
        let trailers = sample::response_head(200, &[(b"Grpc-Status", b"0")]).fields;
        response.body.trailers = Some(Box::new(trailers));
        let text = shown(&exchange, Detail::Headers, false);
        for line in [
            "    > [anomalies: bare_lf]\n    < HTTP/1.1 103\n    < Link: </a>\n",
            "    < HTTP/1.1 201 Made\\x1b[2J\n",
            "    < [trailers]\n    < Grpc-Status: 0\n\n",
        ] {
            assert!(text.contains(line), "{line:?} in {text:?}");
        }
    }

    #[test]
    fn json_is_indented_for_a_terminal() {
        let exchange = sample::exchange();
        let body = "    > {\n    >   \"item\": \"té\"\n    > }\n";
        assert!(shown(&exchange, Detail::Bodies, true).contains(body));
        assert!(!shown(&exchange, Detail::Bodies, false).contains(body));
    }

    #[test]
    fn each_detail() {
        let exchange = sample::exchange();
        check(&exchange, Detail::Line, "");
        check(
            &exchange,
            Detail::Headers,
            "    > POST /cart?id=7 HTTP/1.1\n    > Host: shop.example\n    > Content-Type: application/json\n    \
             > X-Bytes: a\\xffb\n    < HTTP/1.1 201\n    < content-type: image/png\n    < Set-Cookie: a=1\n\n",
        );
        check(
            &exchange,
            Detail::Bodies,
            "    > POST /cart?id=7 HTTP/1.1\n    > Host: shop.example\n    > Content-Type: application/json\n    \
             > X-Bytes: a\\xffb\n    > \n    > {\"item\":\"té\"}\n    < HTTP/1.1 201\n    < content-type: image/png\n    \
             < Set-Cookie: a=1\n    < [10 B of image/png]\n\n",
        );
    }

    #[test]
    fn reasons_interim_responses_and_trailers() {
        let mut exchange = sample::exchange();
        exchange.request.head = sample::request_head(b"PUT", b"/", &[]);
        let trailers = sample::response_head(0, &[(b"Checksum", b"7")]).fields;
        exchange.request.body.trailers = Some(Box::new(trailers));
        let mut hints = sample::response_head(103, &[(b"Link", b"</a>")]);
        hints.reason = Reason::new(103, b"Early Hints");
        exchange.interim.push(hints);
        let response = exchange.response.as_mut().unwrap();
        response.head = sample::response_head(200, &[]);
        response.head.reason = Reason::new(200, b"Fine\x1b");
        check(
            &exchange,
            Detail::Headers,
            "    > PUT / HTTP/1.1\n    > [trailers]\n    > Checksum: 7\n    < HTTP/1.1 103 Early Hints\n    \
             < Link: </a>\n    < HTTP/1.1 200 Fine\\x1b\n\n",
        );
    }

    #[test]
    fn bodies_are_escaped_and_their_size_shown() {
        let mut exchange = sample::exchange();
        exchange.response = None;
        exchange.request.head = sample::request_head(b"PUT", b"/", &[(b"X", b"\x1b[31m")]);
        exchange.request.body = sample::body(b"a\x1b[2J\r\nb\tc\n");
        exchange.request.body.size = 2048;
        exchange.request.body.truncated = true;
        check(
            &exchange,
            Detail::Bodies,
            "    > PUT / HTTP/1.1\n    > X: \\x1b[31m\n    > \n    > a\\x1b[2J\n    > b\tc\n    \
             > [11 B of 2.0 KiB captured]\n\n",
        );
    }
}
