//! The columns of the table of exchanges. All rows have those of the title, each of its own width:
//! what is too long is cut in its column. With less room, a column goes before what matters is cut:
//! method, path, status and time are readable on a terminal of 80 columns, and who calls whom.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::flow::Side;
use crate::tap::line::{marks, request, size, timestamp};
use crate::tap::units::duration_text;
use crate::views::shown::{Shown, process_text};
use crate::views::stats::key::{client, server};

/// Width of the time, and of what follows it: `12:34:56.000 `.
const TIME: usize = 13;
/// Of `In` and `Out`.
const SIDE: usize = 4;
/// Of status and duration.
const TAIL: usize = 7 + 2 + 6;
/// Of both sizes.
const SIZES: usize = 11 + 2;
/// Of method and target at least, and with ease.
const REQUEST: [usize; 3] = [24, 29, 40];
/// Of who calls whom: names, and names with the numbers of processes.
const WHO: [usize; 2] = [20, 34];
/// Of both addresses: IPv4 on this machine, and any of IPv4.
const ENDS: [usize; 2] = [33, 45];
/// Marks are cut before the target has less than this beside the method.
const LEAST: usize = 7 + 10;

/// What stays of a name beside a long one.
const FROM: usize = 8;

/// How wide each column is; zero: it is not there. A space follows each but the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Columns {
    time: usize,
    side: usize,
    ends: usize,
    who: usize,
    request: usize,
    sizes: usize,
    tail: usize,
}

impl Columns {
    /// Those for so much room: what matters more comes first.
    pub(super) fn of(width: usize) -> Self {
        let mut left = width;
        let mut take = |most: usize| match left.checked_sub(most) {
            Some(rest) => {
                left = rest;
                most
            }
            None => 0,
        };
        let mut columns = Self::default();
        let least = take(REQUEST[0]);
        columns.tail = take(TAIL);
        columns.time = take(TIME);
        columns.who = take(WHO[0] + 1);
        let more = take(REQUEST[1] - REQUEST[0]);
        columns.sizes = take(SIZES);
        columns.side = take(SIDE);
        columns.ends = take(ENDS[0] + 1);
        let wide = columns.ends > 0;
        columns.who += if wide { take(WHO[1] - WHO[0]) } else { 0 };
        let most = take(REQUEST[2] - REQUEST[1]);
        columns.ends += if wide { take(ENDS[1] - ENDS[0]) } else { 0 };
        columns.request = least + more + most + left;
        columns
    }

    pub(super) fn title(&self) -> String {
        let mut text = String::new();
        for (title, width) in [
            ("TIME (UTC)", self.time),
            ("END", self.side),
            ("CLIENT → SERVER", self.ends),
            ("FROM → TO", self.who),
        ] {
            cell(&mut text, title, width);
        }
        push(&mut text, "REQUEST", self.request);
        if self.tail > 0 {
            text.push_str(" STATUS");
        }
        if self.sizes > 0 {
            text.push_str(&format!("  {:^11}", "SENT→GOT"));
        }
        if self.tail > 0 {
            text.push_str(&format!("  {:>6}", "TOOK"));
        }
        text
    }

    /// The row of an exchange.
    pub(super) fn row(&self, shown: &Shown) -> String {
        let exchange = shown.exchange();
        let mut text = String::new();
        if self.time > 0 {
            cell(
                &mut text,
                &timestamp(shown.sanitized.started(), false),
                self.time,
            );
        }
        let side = match exchange.peers.side {
            Side::Server => "In",
            Side::Client => "Out",
        };
        cell(&mut text, side, self.side);
        let peers = &exchange.peers;
        if self.ends > 0 {
            let ends = (peers.caller().to_string(), peers.server.to_string());
            cell(&mut text, &pair(&ends.0, &ends.1, self.ends - 1), self.ends);
        }
        if self.who > 0 {
            cell(&mut text, &self.who(shown), self.who);
        }
        self.request(&mut text, shown);
        self.outcome(&mut text, shown);
        text
    }

    /// Who calls whom; with the numbers of processes where there is room.
    fn who(&self, shown: &Shown) -> String {
        let room = self.who - 1;
        let names = (client(shown), server(shown));
        let numbered = |process: Option<&crate::process::Process>, name: &str| match process {
            Some(process) => process_text(process),
            None => name.to_owned(),
        };
        let from = numbered(shown.client_process(), &names.0);
        let to = numbered(shown.server_process(), &names.1);
        match room >= WHO[1] && from.width() + to.width() + 3 <= room {
            true => format!("{from} → {to}"),
            false => pair(&names.0, &names.1, room),
        }
    }

    /// Method and target, and what deserves a mark. The host goes first when there is no room, then
    /// the end of the target.
    fn request(&self, text: &mut String, shown: &Shown) {
        let exchange = shown.exchange();
        let marks = marks(exchange, shown.sanitized.call());
        let marks = cut(&marks, self.request.saturating_sub(LEAST));
        let room = self.request - marks.width();
        let mut target = request(exchange, true).1;
        if target.width() > room {
            target = request(exchange, false).1;
        }
        push(text, &target, room);
        text.push_str(&marks);
    }

    fn outcome(&self, text: &mut String, shown: &Shown) {
        let exchange = shown.exchange();
        let response = exchange.response.as_ref();
        if self.tail == 0 {
            return;
        }
        let status = match response {
            Some(response) => format!("{:03}", response.head.status),
            None => "---".to_owned(),
        };
        text.push_str(&format!(" {status:>6}"));
        if self.sizes > 0 {
            let sent = size(&exchange.request.body);
            let got = response.map_or_else(|| "-".to_owned(), |response| size(&response.body));
            text.push_str(&format!("  {sent:>5}→{got:<5}"));
        }
        text.push_str(&format!("  {:>6}", duration_text(exchange.duration())));
    }
}

/// Appends a column, which ends with a space; nothing when it is not there.
fn cell(text: &mut String, value: &str, width: usize) {
    if let Some(room) = width.checked_sub(1) {
        push(text, value, room);
        text.push(' ');
    }
}

/// Appends a text at exactly so many columns.
fn push(text: &mut String, value: &str, width: usize) {
    let value = cut(value, width);
    text.push_str(&value);
    text.extend(std::iter::repeat_n(' ', width - value.width()));
}

/// Two ends in so many columns. Where both do not fit, the second one, whose end is a port, is
/// whole as far as that leaves something of the first.
fn pair(from: &str, to: &str, width: usize) -> String {
    beside(from, " → ", to, FROM, width)
}

/// As [`pair`], with something else between them; the first one is not cut below `least` columns.
pub(super) fn beside(from: &str, between: &str, to: &str, least: usize, width: usize) -> String {
    let room = width.saturating_sub(between.width());
    let from = cut_name(from, room.saturating_sub(to.width()).max(room.min(least)));
    let to = cut_name(to, room - from.width());
    format!("{from}{between}{to}")
}

/// As [`cut`], of the name of a service: its port, by which it differs from others, stays.
fn cut_name(text: &str, width: usize) -> String {
    let port = text.rfind(':').and_then(|at| text.split_at_checked(at));
    let port = port.filter(|(_, port)| port.bytes().skip(1).all(|byte| byte.is_ascii_digit()));
    match port {
        Some((name, port)) if text.width() > width && port.len() < width => {
            cut(name, width - port.len()) + port
        }
        _ => cut(text, width),
    }
}

/// A text of at most so many columns, with an ellipsis where it was cut.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut room = width;
    for c in text.chars() {
        let columns = c.width().unwrap_or(0);
        if columns >= room {
            break;
        }
        room -= columns;
        out.push(c);
    }
    if room > 0 {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::super::shown::tests::shown;
    use super::*;
    use crate::exchange::Partial;
    use crate::process::Process;
    use crate::tap::sample;

    fn named(mut shown: Shown, client: &str) -> Shown {
        let name = client.into();
        shown.caller = Some(Arc::new(Process { pid: 10_686, name }));
        shown
    }

    #[track_caller]
    fn check(shown: &Shown, width: usize, title: &str, row: &str) {
        let columns = Columns::of(width);
        assert_eq!(
            (columns.title().as_str(), columns.row(shown).as_str()),
            (title, row)
        );
    }

    #[test]
    fn what_matters_is_readable_at_80() {
        let title =
            "TIME (UTC)   FROM → TO            REQUEST                       STATUS    TOOK";
        let one = named(shown(&sample::exchange()), "curl");
        check(
            &one,
            78,
            title,
            "12:34:56.000 curl → shop:8080     POST   shop.example/cart?id=7    201  1.50ms",
        );
        // Two marks, of which the end is cut.
        let mut exchange = sample::exchange();
        exchange.request.head = sample::request_head(b"GET", b"/helloworld.Greeter", &[]);
        exchange.partial = Some(Partial::ResponseCut);
        exchange.upgrade = true;
        check(
            &named(shown(&exchange), "grpc-client-name"),
            78,
            title,
            "12:34:56.000 grpc-cl… → shop:8080 GET    /hellowor… [response_…    201  1.50ms",
        );
    }

    #[test]
    fn ports_stay() {
        let check = |from, to, expected| assert_eq!(pair(from, to, WHO[0]), expected);
        check("python3:19301", "python3:19302", "p…:19301 → py…:19302");
        check("curl", "python3:9301", "curl → python3:9301");
        check("curl", "a-long-name:9301", "curl → a-long-…:9301");
        check("10.0.0.1", "api.internal", "10.0.0.1 → api.inte…");
        check("a-name-of-sixteen", "b:1", "a-name-of-six… → b:1");
    }

    #[test]
    fn with_more_room_numbers_and_addresses() {
        let one = named(shown(&sample::exchange()), "curl");
        let row = Columns::of(180).row(&one);
        for text in [
            "10.0.0.1:40000 → 10.0.0.2:8080",
            "curl[10686] → shop[4321]",
            "14→10",
        ] {
            assert!(row.contains(text), "{row}");
        }
    }

    /// Whatever an exchange has, every row is as wide as the title, and what matters is in it.
    #[test]
    fn rows_have_the_columns_of_the_title() {
        let mut exchange = sample::exchange();
        for (target, partial) in [
            ("/x", None),
            (
                "/a/long/path/that/does/not/fit/into/the/room/that/there/is/日本語",
                None,
            ),
            ("/y", Some(Partial::GapInHead)),
        ] {
            exchange.request.head = sample::request_head(b"DELETE", target.as_bytes(), &[]);
            exchange.partial = partial;
            for client in ["c", "a-name-of-sixteen"] {
                let one = named(shown(&exchange), client);
                for width in 0..250 {
                    let columns = Columns::of(width);
                    let (title, row) = (columns.title(), columns.row(&one));
                    assert_eq!(
                        (title.width(), row.width()),
                        (width, width),
                        "{title}\n{row}"
                    );
                    let start = title.find("REQUEST").map(|at| title[..at].width());
                    let found = row.find("DELETE").map(|at| row[..at].width());
                    assert!(width < 24 || start == found, "{title}\n{row}");
                    for text in [target.get(..2).expect("ASCII"), "201", "12:34:56", "1.50ms"] {
                        assert!(width < 60 || row.contains(text), "{text}: {row}");
                    }
                }
            }
        }
    }
}
