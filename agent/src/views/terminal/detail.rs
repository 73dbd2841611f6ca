//! One exchange, whole: both heads, both bodies, times and ends.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use unicode_width::UnicodeWidthChar as _;

use super::body;
use super::ink::Ink;
use crate::exchange::Exchange;
use crate::http::{Anomalies, Body, Fields, ResponseHead};
use crate::redact::Content;
use crate::tap::units::duration_text;
use crate::views::shown::{Shown, process_text, visible};

/// An exchange that is looked at.
#[derive(Debug)]
pub(super) struct Detail {
    pub(super) id: u64,
    pub(super) shown: Arc<Shown>,
    lines: Vec<body::Line>,
    /// The lines, broken to a width; and the width.
    broken: (usize, Vec<body::Line>),
    /// First line on the screen.
    pub(super) top: usize,
    /// What was searched for last.
    pub(super) find: String,
}

impl Detail {
    pub(super) fn new(id: u64, shown: Arc<Shown>) -> Self {
        Self {
            id,
            lines: document(&shown),
            shown,
            broken: (0, Vec::new()),
            top: 0,
            find: String::new(),
        }
    }

    /// Breaks the lines to a width.
    pub(super) fn fit(&mut self, width: usize) {
        if self.broken.0 == width || width == 0 {
            return;
        }
        let lines = self
            .lines
            .iter()
            .flat_map(|(line, ink)| broken(line, width).into_iter().map(|part| (part, *ink)));
        self.broken = (width, lines.collect());
    }

    /// The lines on a screen with so many rows.
    pub(super) fn window(&mut self, rows: usize) -> &[body::Line] {
        let lines = &self.broken.1;
        self.top = self.top.min(lines.len().saturating_sub(rows));
        let end = lines.len().min(self.top + rows);
        lines.get(self.top..end).unwrap_or_default()
    }

    pub(super) fn len(&self) -> usize {
        self.broken.1.len()
    }

    pub(super) fn go(&mut self, by: isize) {
        self.top = self.top.saturating_add_signed(by).min(self.len());
    }

    /// To the next part: request, response.
    pub(super) fn next_part(&mut self) {
        let titles = self
            .broken
            .1
            .iter()
            .enumerate()
            .filter(|(_, (_, ink))| *ink == Ink::Title);
        let mut titles = titles.map(|(at, _)| at);
        self.top = titles.find(|at| *at > self.top).unwrap_or(0);
    }

    /// To the next line with the text; to the one before with `back`. Whether there is one.
    pub(super) fn find_next(&mut self, back: bool) -> bool {
        let wanted = self.find.to_lowercase();
        let lines = &self.broken.1;
        let has = |at: &usize| {
            let line = lines.get(*at);
            line.is_some_and(|(line, _)| line.to_lowercase().contains(&wanted))
        };
        let (top, len) = (self.top, lines.len());
        let mut after = (top + 1..len).chain(0..=top.min(len.saturating_sub(1)));
        let mut before = (0..top).rev().chain((top..len).rev());
        let found = match back {
            true => before.find(has),
            false => after.find(has),
        };
        self.top = found.unwrap_or(top);
        found.is_some()
    }
}

/// A line in parts of at most `width` columns.
fn broken(line: &str, width: usize) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut used = 0;
    for c in line.chars() {
        let columns = c.width().unwrap_or(0);
        if used + columns > width && used > 0 {
            parts.push(String::new());
            used = 0;
        }
        used += columns;
        if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    parts
}

fn document(shown: &Shown) -> Vec<body::Line> {
    let mut out = Vec::new();
    let exchange = shown.exchange();
    ends(&mut out, shown);
    times(&mut out, exchange);
    let request = &exchange.request;
    let head = &request.head;
    out.push((String::new(), Ink::Plain));
    out.push((
        format!(
            "> {} {} {}",
            visible(head.method()),
            visible(head.target()),
            head.version.text()
        ),
        Ink::Title,
    ));
    message(
        &mut out,
        (&head.fields, request.anomalies),
        (&request.body, shown.sanitized.request_content()),
    );
    for head in &exchange.interim.heads {
        status(&mut out, head);
        fields(&mut out, &head.fields);
    }
    out.push((String::new(), Ink::Plain));
    match &exchange.response {
        Some(response) => {
            status(&mut out, &response.head);
            message(
                &mut out,
                (&response.head.fields, response.anomalies),
                (&response.body, shown.sanitized.response_content()),
            );
        }
        None => out.push(("< no response".to_owned(), Ink::Title)),
    }
    out
}

/// Who, and what is particular about it.
fn ends(out: &mut Vec<body::Line>, shown: &Shown) {
    let exchange = shown.exchange();
    let peers = &exchange.peers;
    let named = |end: String, process: Option<&crate::process::Process>| match process {
        Some(process) => format!("{end} {}", process_text(process)),
        None => end,
    };
    let client = named(peers.caller().to_string(), shown.client_process());
    let server = named(peers.server.to_string(), shown.server_process());
    let started = UNIX_EPOCH + Duration::from_nanos(shown.sanitized.started());
    let started = humantime::format_rfc3339_micros(started);
    let mut rest = vec![
        started.to_string(),
        format!("seen at the {}", peers.side.label()),
        shown.protocol().to_owned(),
    ];
    if peers.connection.is_tls() {
        rest.push("tls".to_owned());
    }
    if let Some(client) = &peers.claimed_client {
        rest.push(format!("PROXY line for {client}"));
    }
    if let Some(stream) = exchange.stream {
        rest.push(format!("stream {stream}"));
    }
    if let Some(code) = exchange.reset {
        rest.push(format!("reset with {code}"));
    }
    if let Some(outcome) = shown.call_text() {
        rest.push(format!("call: {outcome}"));
    }
    if let Some(partial) = exchange.partial {
        rest.push(format!("partial: {}", partial.label()));
    }
    if exchange.upgrade {
        rest.push("upgraded".to_owned());
    }
    out.push((format!("{client} → {server}"), Ink::Plain));
    out.push((rest.join(", "), Ink::Plain));
}

fn times(out: &mut Vec<body::Line>, exchange: &Exchange) {
    let request = &exchange.request;
    let whole = duration_text(exchange.duration());
    let text = match &exchange.response {
        Some(response) => {
            let sent = request.ended.min(response.began);
            let part = |from: u64, to: u64| duration_text(to.saturating_sub(from));
            format!(
                "took {whole} = {} sent + {} waited + {} received",
                part(request.began, sent),
                part(sent, response.began),
                part(response.began, exchange.duration() + request.began),
            )
        }
        None => format!("took {whole}"),
    };
    out.push((text, Ink::Plain));
}

fn status(out: &mut Vec<body::Line>, head: &ResponseHead) {
    let reason = visible(head.reason.as_bytes());
    let text = format!("< {} {:03} {reason}", head.version.text(), head.status);
    out.push((text.trim_end().to_owned(), Ink::Title));
}

fn fields(out: &mut Vec<body::Line>, fields: &Fields) {
    for (name, value) in fields.iter() {
        out.push((format!("{}: {}", visible(name), visible(value)), Ink::Name));
    }
}

fn message(
    out: &mut Vec<body::Line>,
    (head, anomalies): (&Fields, Anomalies),
    (body, content): (&Body, &Content),
) {
    fields(out, head);
    let names: Vec<_> = anomalies.names().collect();
    if !names.is_empty() {
        out.push((format!("[anomalies: {}]", names.join(", ")), Ink::Note));
    }
    if body.size > 0 || !body.bytes.is_empty() {
        out.push((String::new(), Ink::Plain));
        body::write(out, head, body, content);
    }
    if let Some(trailers) = &body.trailers {
        out.push(("[trailers]".to_owned(), Ink::Note));
        fields(out, trailers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tap::sample;
    use crate::views::shown::tests::shown;

    fn lines(detail: &mut Detail, rows: usize) -> Vec<String> {
        detail
            .window(rows)
            .iter()
            .map(|(line, _)| line.clone())
            .collect()
    }

    #[test]
    fn both_messages_whole() {
        let mut detail = Detail::new(1, Arc::new(shown(&sample::exchange())));
        detail.fit(80);
        assert_eq!(
            lines(&mut detail, 100),
            [
                "10.0.0.1:40000 → 10.0.0.2:8080 shop[4321]",
                "2024-02-29T12:34:56.000000Z, seen at the server, http/1.1",
                "took 1.50ms = 400µs sent + 600µs waited + 500µs received",
                "",
                "> POST /cart?id=7 HTTP/1.1",
                "Host: shop.example",
                "Content-Type: application/json",
                "X-Bytes: a\\xffb",
                "",
                "{",
                "  \"item\": \"té\"",
                "}",
                "",
                "< HTTP/1.1 201",
                "content-type: image/png",
                "Set-Cookie: a=1",
                "",
                "[10 B of image/png]",
                "00000000  89 50 4e 47 0d 0a 1a 0a  00 ff                    .PNG......",
            ]
        );
        detail.next_part();
        assert_eq!(detail.top, 4);
        lines(&mut detail, 3);
        detail.next_part();
        assert_eq!(detail.top, 13);
        detail.next_part();
        assert_eq!(detail.top, 0);
        detail.find = "ITEM".to_owned();
        assert!(detail.find_next(false));
        assert_eq!(detail.top, 10);
        assert!(detail.find_next(true));
        assert_eq!(detail.top, 10);
        detail.find = "absent".to_owned();
        assert!(!detail.find_next(false));
    }

    #[test]
    fn no_line_is_wider_than_the_screen() {
        let mut exchange = sample::exchange();
        let target = "/日本語x".repeat(100);
        exchange.request.head = sample::request_head(b"GET", target.as_bytes(), &[]);
        let mut detail = Detail::new(1, Arc::new(shown(&exchange)));
        for width in 1..200 {
            detail.fit(width);
            let widest = lines(&mut detail, 10_000)
                .iter()
                .map(|line| unicode_width::UnicodeWidthStr::width(line.as_str()))
                .max();
            // A wide character has two columns wherever it stands.
            assert!(
                widest.is_some_and(|widest| widest <= width.max(2)),
                "{width}"
            );
        }
        detail.fit(80);
        let all = lines(&mut detail, 10_000).concat();
        assert!(all.contains(&target));
    }
}
