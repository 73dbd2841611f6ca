//! One line per exchange for a person.
//!
//! ```text
//! 12:34:56.000  10.0.0.1:40000 → 10.0.0.2:8080  shop[4321]  POST shop.example/cart?id=7   201    14→10    1.50ms
//! ```
//!
//! Columns keep the widest value seen so far, so lines align without knowing what comes. In a terminal the target gets the
//! room that is left and is shortened to it; elsewhere nothing is ever shortened.

use std::io::Write as _;

use super::View;
use super::colour::{Ink, Palette, status_ink};
use super::escape::{self, Keep};
use super::units::{duration_text, size_text};
use crate::exchange::Exchange;
use crate::http::Body;

/// Width of the endpoints' column to begin with: two ends on this machine.
const ENDS: usize = 33;
/// Width of the process column to begin with.
const PROCESS: usize = 12;
/// Width that the endpoints' column grows to at most: two IPv4 ends. A longer one (IPv6) shifts its own line only.
const MAX_ENDS: usize = 45;
/// Width that the process column grows to at most: a name of 15 characters (TASK_COMM_LEN − 1) and a 7-digit pid.
const MAX_PROCESS: usize = 24;
/// Least room for method and target in a terminal: below, lines wrap rather than say nothing.
const MIN_TARGET: usize = 24;
/// Width of status, sizes and duration: 3 + 2 + 11 + 2 + 6, and two spaces before.
const RESULT: usize = 26;
/// Width of the method: the common ones all fit, so that targets align.
const METHOD: usize = "DELETE".len();
/// Room of a line outside a terminal.
const PLAIN_WIDTH: usize = 120;

/// Formats lines; remembers column widths.
#[derive(Clone, Debug)]
pub struct Line {
    palette: Palette,
    /// The terminal's width; `None` elsewhere.
    width: Option<usize>,
    ends: usize,
    process: usize,
    scratch: Vec<u8>,
}

impl Line {
    /// For a terminal of `width` columns, or for anything else.
    #[must_use]
    pub const fn new(palette: Palette, width: Option<usize>) -> Self {
        Self {
            palette,
            width,
            ends: ENDS,
            process: PROCESS,
            scratch: Vec::new(),
        }
    }

    /// Follows the terminal's width.
    pub const fn follow(&mut self, width: Option<usize>) {
        self.width = width;
    }

    /// Appends what the columns are, for the first line of a terminal.
    pub fn title(&mut self, out: &mut Vec<u8>) {
        let (dim, end) = (self.palette.begin(Ink::Dim), self.palette.end());
        let (ends, process) = (self.ends, self.process);
        // The status stands right above its numbers, in the room that the target leaves.
        let room = self.room(14 + ends + 2 + process + 2 + RESULT) - 1;
        let _ = writeln!(
            out,
            "{dim}{:<14}{:<ends$}  {:<process$}  {:<room$}{:>6}  {:^11}  {:>6}{end}",
            "TIME (UTC)", "CLIENT → SERVER", "PROCESS", "REQUEST", "STATUS", "SENT→GOT", "TOOK"
        );
    }

    /// What is left for method and target.
    fn room(&self, used: usize) -> usize {
        let width = self.width.unwrap_or(PLAIN_WIDTH);
        width.saturating_sub(used).max(MIN_TARGET)
    }

    /// Appends the line of an exchange.
    pub fn write(&mut self, out: &mut Vec<u8>, view: &View<'_>) {
        let exchange = view.exchange();
        let palette = self.palette;
        let (dim, end) = (palette.begin(Ink::Dim), palette.end());
        let time = view.clock.unix_nanos(exchange.request.began) / 1_000_000;
        let _ = write!(
            out,
            "{dim}{:02}:{:02}:{:02}.{:03}{end}  ",
            time / 3_600_000 % 24,
            time / 60_000 % 60,
            time / 1000 % 60,
            time % 1000
        );

        let mut used = 14;
        self.scratch.clear();
        let _ = write!(
            self.scratch,
            "{} → {}",
            exchange.peers.caller(),
            exchange.peers.server
        );
        used += column(out, &self.scratch, &mut self.ends, MAX_ENDS);

        self.scratch.clear();
        match &view.process {
            Some(process) => {
                escape::write(&mut self.scratch, process.name.as_bytes(), Keep::Nothing);
                let _ = write!(self.scratch, "[{}]", process.pid);
            }
            None => self.scratch.push(b'-'),
        }
        used += column(out, &self.scratch, &mut self.process, MAX_PROCESS);

        self.target(out, exchange, used + RESULT);
        Self::result(out, exchange, palette);
        out.push(b'\n');
    }

    /// Method, host and target, padded to what the other columns leave; and what deserves a mark at the end of that room.
    fn target(&mut self, out: &mut Vec<u8>, exchange: &Exchange, used: usize) {
        let head = &exchange.request.head;
        let marks = marks(exchange);
        let room = self.room(used);
        let room = room.saturating_sub(marks.len());
        self.scratch.clear();
        escape::write(&mut self.scratch, head.method(), Keep::Nothing);
        let method = self.scratch.len();
        self.scratch.resize(method.max(METHOD) + 1, b' ');
        let target = head.target();
        if matches!(target.first(), Some(b'/' | b'*'))
            && let Some(host) = head.host()
            && !is_endpoint(host, exchange)
        {
            escape::write(&mut self.scratch, host, Keep::Nothing);
        }
        escape::write(&mut self.scratch, target, Keep::Nothing);

        let text = str::from_utf8(&self.scratch).unwrap_or_default();
        let (shown, width) = match self.width {
            Some(_) => fit(text, room),
            None => (text, text.chars().count()),
        };
        let split = method.min(shown.len());
        let (bold, end) = (self.palette.begin(Ink::Bold), self.palette.end());
        let (method, rest) = shown.split_at_checked(split).unwrap_or((shown, ""));
        let cut = if shown.len() < text.len() { "…" } else { "" };
        let pad = room.saturating_sub(width + cut.chars().count());
        let mark = self.palette.begin(Ink::Magenta);
        let _ = write!(
            out,
            "{bold}{method}{end}{rest}{cut}{:pad$}{mark}{marks}{end}  ",
            ""
        );
    }

    fn result(out: &mut Vec<u8>, exchange: &Exchange, palette: Palette) {
        let end = palette.end();
        let sent = size(&exchange.request.body);
        match &exchange.response {
            Some(response) => {
                let status = response.head.status;
                let ink = palette.begin(status_ink(status));
                let received = size(&response.body);
                let _ = write!(out, "{ink}{status:>3}{end}  {sent:>5}→{received:<5}  ");
            }
            None => {
                let ink = palette.begin(Ink::Red);
                let _ = write!(out, "{ink}---{end}  {sent:>5}→{:<5}  ", "-");
            }
        }
        // Without an answer it took no time that is known.
        let took = exchange.response.is_some();
        let took = took.then(|| duration_text(exchange.duration()));
        let _ = write!(out, "{:>6}", took.as_deref().unwrap_or("-"));
    }
}

/// Appends a column and two spaces; the width used.
fn column(out: &mut Vec<u8>, text: &[u8], widest: &mut usize, most: usize) -> usize {
    let width = text.utf8_chunks().map(|c| c.valid().chars().count()).sum();
    *widest = (*widest).max(width).min(most);
    let pad = widest.saturating_sub(width);
    out.extend_from_slice(text);
    let _ = write!(out, "{:pad$}  ", "");
    width + pad + 2
}

/// The longest prefix of at most `room` columns, less one for an ellipsis when it is cut; and its width.
fn fit(text: &str, room: usize) -> (&str, usize) {
    let width = text.chars().count();
    if width <= room {
        return (text, width);
    }
    let keep = room.saturating_sub(1);
    let end = text
        .char_indices()
        .nth(keep)
        .map_or(text.len(), |(at, _)| at);
    (text.get(..end).unwrap_or(text), keep)
}

/// A host that only repeats the server's address says nothing.
fn is_endpoint(host: &[u8], exchange: &Exchange) -> bool {
    let Ok(host) = str::from_utf8(host) else {
        return false;
    };
    let server = &exchange.peers.server;
    host.parse::<std::net::SocketAddr>()
        .map(|host| host == (*server).into())
        .or_else(|_| {
            host.trim_matches(['[', ']'])
                .parse::<std::net::IpAddr>()
                .map(|ip| ip == server.ip() && server.port() == 80)
        })
        .unwrap_or(false)
}

/// What deserves a mark: a missing part, an upgrade.
fn marks(exchange: &Exchange) -> String {
    match (exchange.partial, exchange.upgrade) {
        (Some(partial), _) => format!(" [{}]", partial.label()),
        (None, true) => " [upgraded]".to_owned(),
        (None, false) => String::new(),
    }
}

fn size(body: &Body) -> String {
    let mut text = size_text(body.size);
    if !body.size_exact {
        text.push('+');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Partial;
    use crate::tap::sample;

    #[track_caller]
    fn check(exchange: &Exchange, width: Option<usize>, expected: &str) {
        let mut out = Vec::new();
        Line::new(Palette::new(false), width)
            .write(&mut out, &sample::view(&sample::sanitized(exchange)));
        assert_eq!(String::from_utf8_lossy(&out), format!("{expected}\n"));
    }

    #[test]
    fn a_whole_exchange() {
        check(
            &sample::exchange(),
            Some(120),
            "12:34:56.000  10.0.0.1:40000 → 10.0.0.2:8080     shop[4321]    POST   shop.example/cart?id=7    201     14→10     1.50ms",
        );
    }

    #[test]
    fn titles_stand_above_their_columns() {
        let mut line = Line::new(Palette::new(false), Some(120));
        let mut out = Vec::new();
        line.title(&mut out);
        let sanitized = sample::sanitized(&sample::exchange());
        line.write(&mut out, &sample::view(&sanitized));
        assert_eq!(
            String::from_utf8_lossy(&out),
            "TIME (UTC)    CLIENT → SERVER                    PROCESS       REQUEST                       STATUS   SENT→GOT      TOOK\n\
             12:34:56.000  10.0.0.1:40000 → 10.0.0.2:8080     shop[4321]    POST   shop.example/cart?id=7    201     14→10     1.50ms\n"
        );
    }

    #[test]
    fn no_answer() {
        let mut exchange = sample::exchange();
        exchange.response = None;
        exchange.partial = Some(Partial::NoResponse);
        check(
            &exchange,
            Some(120),
            "12:34:56.000  10.0.0.1:40000 → 10.0.0.2:8080     shop[4321]    POST   shop.exam… [no_response]  ---     14→-           -",
        );
    }

    #[test]
    fn a_terminal_line_never_exceeds_its_width() {
        let mut exchange = sample::exchange();
        exchange.request.head = sample::request_head(
            b"GET",
            "/größe/".repeat(40).as_bytes(),
            &[(b"Host", b"h\x1b[2J")],
        );
        for width in 90..200 {
            let mut out = Vec::new();
            Line::new(Palette::new(false), Some(width))
                .write(&mut out, &sample::view(&sample::sanitized(&exchange)));
            let text = String::from_utf8(out).expect("UTF-8");
            assert_eq!(
                text.trim_end_matches('\n').chars().count(),
                width.max(113),
                "{text}"
            );
            assert!(!text.contains('\x1b'));
        }
    }

    #[test]
    fn nothing_is_cut_outside_a_terminal() {
        let mut exchange = sample::exchange();
        let target = "/x".repeat(200);
        exchange.request.head = sample::request_head(b"DELETE", target.as_bytes(), &[]);
        let mut out = Vec::new();
        Line::new(Palette::new(false), None)
            .write(&mut out, &sample::view(&sample::sanitized(&exchange)));
        assert!(String::from_utf8_lossy(&out).contains(&format!("DELETE {target}  201")));
    }

    #[test]
    fn a_host_that_repeats_the_address_is_left_out() {
        let check = |host: &str, server: &str, expected| {
            let mut exchange = sample::exchange();
            let mut peers = (*exchange.peers).clone();
            peers.server = server
                .parse::<std::net::SocketAddr>()
                .expect("address")
                .into();
            exchange.peers = std::sync::Arc::new(peers);
            assert_eq!(
                is_endpoint(host.as_bytes(), &exchange),
                expected,
                "{host} {server}"
            );
        };
        check("10.0.0.2:8080", "10.0.0.2:8080", true);
        check("10.0.0.2", "10.0.0.2:8080", false);
        check("10.0.0.2", "10.0.0.2:80", true);
        check("[::1]:8080", "[::1]:8080", true);
        check("[::1]", "[::1]:80", true);
        check("localhost:8080", "127.0.0.1:8080", false);
    }

    #[test]
    fn sizes_that_are_lower_bounds_say_so() {
        let mut body = sample::body(b"abc");
        assert_eq!(size(&body), "3");
        body.size_exact = false;
        assert_eq!(size(&body), "3+");
    }

    #[test]
    fn columns_keep_their_width() {
        let mut line = Line::new(Palette::new(false), None);
        let sanitized = sample::sanitized(&sample::exchange());
        let mut view = sample::view(&sanitized);
        let mut out = Vec::new();
        line.write(&mut out, &view);
        view.process = None;
        line.write(&mut out, &view);
        let text = String::from_utf8(out).expect("UTF-8");
        let at: Vec<_> = text.lines().map(|l| l.find("POST")).collect();
        assert_eq!(at[0], at[1]);
    }
}
