//! One line per exchange for a person.
//!
//! ```text
//! 12:34:56.000  In   10.0.0.1:40000 → 10.0.0.2:8080  shop[4321]  POST shop.example/cart?id=7   201    14→10    1.50ms
//! ```
//!
//! `In`: the request arrived at a socket of this machine; `Out`: it left from one. Columns keep the
//! widest value seen so far, so lines align without knowing what comes. In a terminal a line never
//! exceeds its width: what does not fit gives way in the order of [`Layout`], the path last, and
//! does not come back; titles are repeated then. Elsewhere nothing is ever shortened.

mod titles;

use std::io::Write as _;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::View;
use super::colour::{Ink, Palette, status_ink};
use super::units::{duration_text, size_text};
use crate::exchange::Exchange;
use crate::flow::Side;
use crate::http::Body;
use crate::http::rpc::Code;
use crate::redact::Call;
use crate::visible::{self, Keep};

/// Width of the endpoints' column to begin with: two ends on this machine.
const ENDS: usize = 33;
/// Width of the process column to begin with.
const PROCESS: usize = 12;
/// Width that the endpoints' column grows to at most: two IPv4 ends. A longer one (IPv6) shifts its
/// own line only.
const MAX_ENDS: usize = 45;
/// Width that the process column grows to at most: two names of usual length with 7-digit pids, or
/// one of 15 characters (TASK_COMM_LEN − 1).
const MAX_PROCESS: usize = 36;
/// Room for method and target that makes a column of less use than a longer path.
const MIN_TARGET: usize = 24;
/// Room for them that both ends and the process make way for. A longer one is cut: columns that
/// have made way do not come back, and one long path should not cost all of them.
const TARGET: usize = 40;
/// Width of status, sizes and duration: 3 + 2 + 11 + 2 + 6, and two spaces before.
const RESULT: usize = 26;
/// Width of the method: the common ones all fit, so that targets align.
const METHOD: usize = "DELETE".len();
/// Room of a line outside a terminal.
const PLAIN_WIDTH: usize = 125;

/// What a line shows. Each has less than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Layout {
    /// Everything.
    Whole,
    /// Without the client.
    NoClient,
    /// And the process.
    NoProcess,
    /// And the server.
    NoServer,
    /// And sizes and duration.
    NoSizes,
    /// And time and side.
    Path,
}

impl Layout {
    const ALL: [Self; 6] = [
        Self::Whole,
        Self::NoClient,
        Self::NoProcess,
        Self::NoServer,
        Self::NoSizes,
        Self::Path,
    ];
}

/// Formats lines; remembers column widths.
#[derive(Clone, Debug)]
pub struct Line {
    palette: Palette,
    /// The terminal's width; `None` elsewhere.
    width: Option<usize>,
    /// Days are shown besides times.
    dates: bool,
    /// No line has more.
    layout: Layout,
    /// The titles that were written last, where any were.
    titled: Option<String>,
    ends: usize,
    process: usize,
    left: Vec<u8>,
    scratch: Vec<u8>,
}

impl Line {
    /// For a terminal of `width` columns, or for anything else; with `dates` for what was captured
    /// some other day.
    #[must_use]
    pub const fn new(palette: Palette, width: Option<usize>, dates: bool) -> Self {
        Self {
            palette,
            width,
            dates,
            layout: Layout::Whole,
            titled: None,
            ends: ENDS,
            process: PROCESS,
            left: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Follows the terminal's width.
    pub fn follow(&mut self, width: Option<usize>) {
        if self.width != width {
            self.width = width;
            self.layout = match self.titled.is_some() {
                true => self.roomy(),
                false => Layout::Whole,
            };
        }
    }

    /// Appends the line of an exchange.
    pub fn write(&mut self, out: &mut Vec<u8>, view: &View<'_>) {
        let exchange = view.exchange();
        let marks = marks(exchange, view.sanitized.call());
        let (split, mut text) = request(exchange, true);
        let (layout, room) = self.lay_out(view, text.width(), marks.len());
        self.retitle(out, layout);
        if self.width.is_some() && text.width() > room {
            text = request(exchange, false).1;
        }
        let (shown, width) = match self.width {
            Some(_) => fit(&text, room),
            None => (text.as_str(), text.width()),
        };
        let cut = if shown.len() < text.len() && room > 0 {
            "…"
        } else {
            ""
        };
        let (bold, end) = (self.palette.begin(Ink::Bold), self.palette.end());
        let (method, rest) = shown
            .split_at_checked(split.min(shown.len()))
            .unwrap_or((shown, ""));
        let pad = room.saturating_sub(width + cut.width());
        let mark = self.palette.begin(Ink::Magenta);
        out.extend_from_slice(&self.left);
        let _ = write!(
            out,
            "{bold}{method}{end}{rest}{cut}{:pad$}{mark}{marks}{end}  ",
            ""
        );
        result(out, exchange, layout, self.palette);
        out.push(b'\n');
    }

    /// Which columns a line has, and the room for its request. In a terminal they are those of the
    /// line before, or fewer, so that titles stand above them.
    fn lay_out(&mut self, view: &View<'_>, text: usize, marks: usize) -> (Layout, usize) {
        let (mut layout, mut room) = (Layout::Path, PLAIN_WIDTH);
        let most = self.layout;
        for each in Layout::ALL.into_iter().filter(|each| *each >= most) {
            layout = each;
            let used = self.columns(view, layout) + result_width(layout);
            room = self
                .width
                .unwrap_or(PLAIN_WIDTH)
                .saturating_sub(used + marks);
            let wanted = match layout < Layout::NoServer {
                true => text.min(TARGET),
                false => text.min(MIN_TARGET),
            };
            if self.width.is_none() || wanted <= room {
                break;
            }
        }
        if self.width.is_some() {
            self.layout = layout;
        }
        (layout, room)
    }

    /// Makes the columns before the request; their width.
    fn columns(&mut self, view: &View<'_>, layout: Layout) -> usize {
        let exchange = view.exchange();
        let (dim, end) = (self.palette.begin(Ink::Dim), self.palette.end());
        let left = &mut self.left;
        left.clear();
        let mut used = 0;
        if layout < Layout::Path {
            let time = timestamp(view.clock.unix_nanos(exchange.request.began), self.dates);
            let side = match exchange.peers.side {
                Side::Server => "In",
                Side::Client => "Out",
            };
            used += time.len() + 7;
            let _ = write!(left, "{dim}{time}  {side:<3}{end}  ");
        }
        self.scratch.clear();
        let peers = &exchange.peers;
        match layout {
            Layout::Whole => {
                let _ = write!(self.scratch, "{} → {}", peers.caller(), peers.server);
                used += column(left, &self.scratch, &mut self.ends, MAX_ENDS);
            }
            Layout::NoClient | Layout::NoProcess => {
                let _ = write!(self.scratch, "→ {}", peers.server);
                used += column(left, &self.scratch, &mut 23, MAX_ENDS);
            }
            Layout::NoServer | Layout::NoSizes | Layout::Path => {}
        }
        if layout <= Layout::NoClient {
            self.scratch.clear();
            processes(&mut self.scratch, view);
            used += column(left, &self.scratch, &mut self.process, MAX_PROCESS);
        }
        used
    }
}

/// `12:34:56.000`, with a day before it where asked for.
pub(crate) fn timestamp(nanos: u64, date: bool) -> String {
    let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_nanos(nanos);
    let text = humantime::format_rfc3339_millis(time).to_string();
    let (day, time) = text.split_once('T').unwrap_or(("", &text));
    let time = time.trim_end_matches('Z');
    match date {
        true => format!("{day} {time}"),
        false => time.to_owned(),
    }
}

/// Who has the socket; and who is at its other end, where that is a process of this machine.
fn processes(out: &mut Vec<u8>, view: &View<'_>) {
    let one = |out: &mut Vec<u8>, process: &crate::process::Process| {
        visible::write(out, process.name.as_bytes(), Keep::Nothing);
        let _ = write!(out, "[{}]", process.pid);
    };
    match (view.other(), &view.process) {
        (Some(caller), Some(process)) => {
            one(out, caller);
            out.extend_from_slice(" → ".as_bytes());
            one(out, process);
        }
        (None, Some(process)) => one(out, process),
        (Some(caller), None) => one(out, caller),
        (None, None) => out.push(b'-'),
    }
}

/// Method, host and target, and where the method ends. A host goes first when there is no room for
/// both.
pub(crate) fn request(exchange: &Exchange, with_host: bool) -> (usize, String) {
    let head = &exchange.request.head;
    let mut text = Vec::new();
    visible::write(&mut text, head.method(), Keep::Nothing);
    let method = text.len();
    text.resize(method.max(METHOD) + 1, b' ');
    let target = head.target();
    if with_host
        && matches!(target.first(), Some(b'/' | b'*'))
        && let Some(host) = head.host()
        && !is_endpoint(host, exchange)
    {
        visible::write(&mut text, host, Keep::Nothing);
    }
    visible::write(&mut text, target, Keep::Nothing);
    // What is escaped is UTF-8.
    (method, String::from_utf8(text).unwrap_or_default())
}

const fn result_width(layout: Layout) -> usize {
    match layout {
        Layout::NoSizes | Layout::Path => 5,
        _ => RESULT,
    }
}

fn result(out: &mut Vec<u8>, exchange: &Exchange, layout: Layout, palette: Palette) {
    let end = palette.end();
    let (status, ink) = match &exchange.response {
        Some(response) => {
            let status = response.head.status;
            (format!("{status:03}"), status_ink(status))
        }
        None => ("---".to_owned(), Ink::Red),
    };
    let _ = write!(out, "{}{status:>3}{end}", palette.begin(ink));
    if layout >= Layout::NoSizes {
        return;
    }
    let sent = size(&exchange.request.body);
    let received = exchange
        .response
        .as_ref()
        .map(|response| size(&response.body));
    let received = received.as_deref().unwrap_or("-");
    let _ = write!(
        out,
        "  {sent:>5}→{received:<5}  {:>6}",
        duration_text(exchange.duration())
    );
}

/// Appends a column and two spaces; the width used.
fn column(out: &mut Vec<u8>, text: &[u8], widest: &mut usize, most: usize) -> usize {
    let width = str::from_utf8(text).unwrap_or_default().width();
    *widest = (*widest).max(width).min(most);
    let pad = widest.saturating_sub(width);
    out.extend_from_slice(text);
    let _ = write!(out, "{:pad$}  ", "");
    width + pad + 2
}

/// The longest prefix of at most `room` columns, less one for an ellipsis when it is cut; and its
/// width.
fn fit(text: &str, room: usize) -> (&str, usize) {
    let width = text.width();
    if width <= room {
        return (text, width);
    }
    let keep = room.saturating_sub(1);
    let mut used = 0;
    for (at, c) in text.char_indices() {
        let next = used + c.width().unwrap_or(0);
        if next > keep {
            return (text.get(..at).unwrap_or(text), used);
        }
        used = next;
    }
    (text, used)
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
/// How a call ended, and what is missing.
pub(crate) fn marks(exchange: &Exchange, call: Option<&Call>) -> String {
    let mut marks = String::new();
    if let Some(outcome) = call.and_then(|call| call.outcome.as_ref()) {
        let name = outcome.known().map(Code::label);
        marks = match name {
            Some(name) => format!(" [{name}]"),
            None => format!(" [status {}]", outcome.code),
        };
    }
    match (exchange.partial, exchange.upgrade) {
        (Some(partial), _) => marks + &format!(" [{}]", partial.label()),
        (None, true) => marks + " [upgraded]",
        (None, false) => marks,
    }
}

pub(crate) fn size(body: &Body) -> String {
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

    fn line(exchange: &Exchange, width: Option<usize>) -> String {
        let mut out = Vec::new();
        Line::new(Palette::new(false), width, false)
            .write(&mut out, &sample::view(&sample::sanitized(exchange)));
        String::from_utf8(out).expect("UTF-8")
    }

    #[track_caller]
    fn check(exchange: &Exchange, width: Option<usize>, expected: &str) {
        assert_eq!(line(exchange, width), format!("{expected}\n"));
    }

    #[test]
    fn what_does_not_fit_gives_way_the_path_last() {
        let exchange = sample::exchange();
        for (width, expected) in [
            (
                130,
                "12:34:56.000  In   10.0.0.1:40000 → 10.0.0.2:8080     shop[4321]    POST   shop.example/cart?id=7         201     14→10     1.50ms",
            ),
            (
                115,
                "12:34:56.000  In   → 10.0.0.2:8080          shop[4321]    POST   shop.example/cart?id=7    201     14→10     1.50ms",
            ),
            (
                100,
                "12:34:56.000  In   → 10.0.0.2:8080          POST   shop.example/cart?id=7   201     14→10     1.50ms",
            ),
            (
                80,
                "12:34:56.000  In   POST   shop.example/cart?id=7        201     14→10     1.50ms",
            ),
            (
                55,
                "12:34:56.000  In   POST   shop.example/cart?id=7    201",
            ),
            (36, "POST   shop.example/cart?id=7    201"),
            (24, "POST   /cart?id=7    201"),
            (20, "POST   /cart?i…  201"),
        ] {
            assert_eq!(expected.width(), width, "{expected}");
            check(&exchange, Some(width), expected);
        }
    }

    #[test]
    fn titles_stand_above_their_columns() {
        let mut line = Line::new(Palette::new(false), Some(130), false);
        let mut out = Vec::new();
        line.with_titles();
        let sanitized = sample::sanitized(&sample::exchange());
        line.write(&mut out, &sample::view(&sanitized));
        assert_eq!(
            String::from_utf8_lossy(&out),
            "TIME (UTC)    END  CLIENT → SERVER                    PROCESS       REQUEST                            STATUS   SENT→GOT      TOOK\n\
             12:34:56.000  In   10.0.0.1:40000 → 10.0.0.2:8080     shop[4321]    POST   shop.example/cart?id=7         201     14→10     1.50ms\n"
        );
        for width in 0..200 {
            let line = Line::new(Palette::new(false), Some(width), true);
            let text = line.titles(line.roomy());
            assert!(
                text.trim_end_matches('\n').width() <= width.max(6),
                "{text}"
            );
        }
    }

    /// At any width and after any lines, what is written last as a title has the columns of the
    /// line below it.
    #[test]
    fn titles_have_the_columns_of_the_lines_below() {
        let targets = ["/x", "/a/path/of/usual/length", &"/long".repeat(20), "/y"];
        for width in 40..200 {
            let mut line = Line::new(Palette::new(false), Some(width), false);
            let mut out = Vec::new();
            line.with_titles();
            for (n, target) in targets.iter().enumerate() {
                if n == 3 {
                    line.follow(Some(width + 20));
                }
                let mut exchange = sample::exchange();
                exchange.request.head = sample::request_head(b"GET", target.as_bytes(), &[]);
                let sanitized = sample::sanitized(&exchange);
                let mut view = sample::view(&sanitized);
                view.caller = (n % 2 == 1).then(|| {
                    std::sync::Arc::new(crate::process::Process {
                        pid: 99,
                        name: "curl".into(),
                    })
                });
                line.write(&mut out, &view);
                let text = String::from_utf8(out.clone()).expect("UTF-8");
                let mut titles = text.lines().filter(|line| line.contains("REQUEST"));
                let (title, last) = (
                    titles.next_back().expect("one"),
                    text.lines().last().expect("one"),
                );
                let at = |line: &str, word: &str| Some(line.get(..line.find(word)?)?.width());
                let process = if n % 2 == 1 { "curl[99]" } else { "shop[" };
                for (heading, content) in [
                    ("CLIENT", "10.0.0.1:"),
                    ("→ SERVER", "→ 10.0.0.2"),
                    ("PROCESS", process),
                    ("REQUEST", "GET"),
                ] {
                    if heading == "→ SERVER" && title.contains("CLIENT") {
                        continue;
                    }
                    assert_eq!(at(title, heading), at(last, content), "{heading}\n{text}");
                }
                let took = [title.contains("TOOK"), last.contains("1.50ms")];
                assert_eq!(took[0], took[1], "{text}");
                assert_eq!(title.width(), last.width(), "{text}");
            }
            // Once for each change, and no oftener.
            let text = String::from_utf8(out).expect("UTF-8");
            let titles = text.lines().filter(|line| line.contains("REQUEST"));
            assert!(titles.count() <= 5, "{text}");
        }
    }

    #[test]
    fn no_response() {
        let mut exchange = sample::exchange();
        exchange.response = None;
        exchange.partial = Some(Partial::NoResponse);
        check(
            &exchange,
            Some(130),
            "12:34:56.000  In   → 10.0.0.2:8080          shop[4321]    POST   shop.example/cart?id=7    [no_response]  ---     14→-       400µs",
        );
    }

    #[test]
    fn a_terminal_line_never_exceeds_its_width() {
        let mut exchange = sample::exchange();
        for path in ["/größe/", "/日本語/", "/x"] {
            exchange.request.head = sample::request_head(
                b"GET",
                path.repeat(40).as_bytes(),
                &[(b"Host", b"h\x1b[2J")],
            );
            for width in 10..300 {
                let text = line(&exchange, Some(width));
                let text = text.trim_end_matches('\n');
                // Half of a wide character is no character.
                assert!(
                    (width - 1..=width).contains(&text.width()),
                    "{width}: {text}"
                );
                assert!(!text.contains('\x1b'));
            }
        }
    }

    #[test]
    fn dates() {
        let mut out = Vec::new();
        Line::new(Palette::new(false), None, true).write(
            &mut out,
            &sample::view(&sample::sanitized(&sample::exchange())),
        );
        assert!(out.starts_with(b"2024-02-29 12:34:56.000  In "));
    }

    #[test]
    fn both_ends_of_a_local_connection() {
        let sanitized = sample::sanitized(&sample::exchange());
        let mut view = sample::view(&sanitized);
        view.caller = Some(std::sync::Arc::new(crate::process::Process {
            pid: 99,
            name: "curl".into(),
        }));
        let mut out = Vec::new();
        processes(&mut out, &view);
        assert_eq!(String::from_utf8_lossy(&out), "curl[99] → shop[4321]");
    }

    #[test]
    fn nothing_is_cut_outside_a_terminal() {
        let mut exchange = sample::exchange();
        let target = "/x".repeat(200);
        exchange.request.head = sample::request_head(b"DELETE", target.as_bytes(), &[]);
        let mut out = Vec::new();
        Line::new(Palette::new(false), None, false)
            .write(&mut out, &sample::view(&sample::sanitized(&exchange)));
        assert!(String::from_utf8_lossy(&out).contains(&format!("DELETE {target}  201")));
    }

    #[test]
    fn a_host_that_repeats_the_address_is_omitted() {
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
        let mut line = Line::new(Palette::new(false), None, false);
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
