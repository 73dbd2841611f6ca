use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::{Color, Modifier};

use super::super::shown::tests::shown;
use super::*;
use crate::exchange::Exchange;
use crate::tap::sample;

/// A screen, what it looks at, and a terminal.
struct Bench {
    store: Store,
    screen: Screen,
    terminal: Terminal<TestBackend>,
    now: u64,
}

impl Bench {
    fn new(page: Page, width: u16, height: u16) -> Self {
        Self {
            store: Store::default(),
            screen: Screen::new(page, false),
            terminal: Terminal::new(TestBackend::new(width, height)).expect("a terminal"),
            now: 1_709_210_097,
        }
    }

    /// So many exchanges with these targets.
    fn with(targets: &[&str]) -> Self {
        let mut bench = Self::new(Page::Exchanges, 80, 24);
        bench.add(targets);
        bench.draw();
        bench
    }

    fn add(&mut self, targets: &[&str]) {
        let made = targets.iter().map(|target| shown(&exchange(target)));
        self.store.append(made.collect());
    }

    fn draw(&mut self) -> Vec<String> {
        self.screen.refresh(&self.store, self.now);
        let (screen, store) = (&mut self.screen, &self.store);
        self.terminal
            .draw(|frame| screen.draw(frame, store))
            .expect("drawn");
        let buffer = self.terminal.backend().buffer();
        let width = usize::from(buffer.area.width);
        let symbols: Vec<_> = buffer.content.iter().map(|cell| cell.symbol()).collect();
        symbols
            .chunks(width)
            .map(|row| row.concat().trim_end().to_owned())
            .collect()
    }

    fn press(&mut self, code: KeyCode) -> Effect {
        self.screen
            .key(KeyEvent::new(code, KeyModifiers::NONE), &self.store)
    }

    fn typed(&mut self, text: &str) {
        for c in text.chars() {
            assert_eq!(self.press(KeyCode::Char(c)), Effect::None, "{c}");
        }
    }

    /// Paths in the table, from the top; `>` before the selected one.
    fn paths(&mut self) -> String {
        let rows = self.draw();
        let rows = rows
            .iter()
            .skip(2)
            .take(20)
            .filter(|row| row.contains("shop.example"));
        let path = |row: &String| {
            let mark: String = row.chars().take(2).filter(|c| *c != ' ').collect();
            let path = row.split("shop.example").nth(1).expect("a host");
            mark + path.split(' ').next().expect("a path")
        };
        rows.map(path).collect::<Vec<_>>().join(" ")
    }
}

/// Duration, size and status by the target's query: `?3` is slower, larger and worse than `?1`.
fn exchange(target: &str) -> Exchange {
    let mut exchange = sample::exchange();
    exchange.request.head =
        sample::request_head(b"GET", target.as_bytes(), &[(b"Host", b"shop.example")]);
    let number = target
        .split('?')
        .nth(1)
        .and_then(|number| number.parse().ok());
    if let (Some(number), Some(response)) = (number, exchange.response.as_mut()) {
        let number: u16 = number;
        response.ended += u64::from(number) * 1_000_000;
        response.body = sample::body(&vec![b'x'; usize::from(number)]);
        response.head.status = 200 + number;
    }
    exchange
}

#[test]
fn the_table_fits_a_small_terminal() {
    let mut bench = Bench::with(&["/a", "/b"]);
    let rows = bench.draw();
    assert!(rows[0].starts_with(" meshtap  2 exchanges"), "{}", rows[0]);
    assert_eq!(
        rows[1],
        "  TIME (UTC)   FROM → TO            REQUEST                       STATUS    TOOK"
    );
    assert_eq!(
        rows[2],
        "  12:34:56.000 10.0.0.1 → shop:8080 GET    shop.example/a            201  1.50ms"
    );
    assert!(
        rows[3].starts_with("> 12:34:56.000 10.0.0.1 → shop:8080 GET    shop.example/b"),
        "{}",
        rows[3]
    );
    assert_eq!(rows[22], "sorted by time; following");
    assert!(rows[23].starts_with("? help  / filter"), "{}", rows[23]);
    // As drawn, without colour: the selection is reversed.
    let buffer = bench.terminal.backend().buffer();
    assert!(buffer[(0, 3)].modifier.contains(Modifier::REVERSED));
    assert!(
        buffer
            .content
            .iter()
            .all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset)
    );
}

#[test]
fn every_size_is_drawn() {
    for (width, height) in [(1, 1), (2, 3), (20, 4), (40, 5), (80, 24), (300, 100)] {
        let mut bench = Bench::new(Page::Exchanges, width, height);
        bench.add(&["/a?1", "/b?2"]);
        for keys in ["", "t", "t/x", "?", "o"] {
            for key in keys.chars() {
                bench.press(KeyCode::Char(key));
            }
            bench.draw();
        }
        bench.press(KeyCode::Esc);
        bench.press(KeyCode::Enter);
        bench.draw();
    }
}

#[test]
fn following_pausing_and_moving() {
    let mut bench = Bench::with(&["/a", "/b", "/c"]);
    assert_eq!(bench.paths(), "/a /b >/c");
    bench.add(&["/d"]);
    assert_eq!(bench.paths(), "/a /b /c >/d");
    bench.press(KeyCode::Up);
    bench.add(&["/e"]);
    assert_eq!(bench.paths(), "/a /b >/c /d /e");
    bench.press(KeyCode::Char(' '));
    bench.add(&["/f", "/g"]);
    assert_eq!(bench.paths(), "/a /b >/c /d /e");
    let rows = bench.draw();
    assert!(rows[0].contains("PAUSED, 2 new"), "{}", rows[0]);
    // A filter on what is paused does not let in what came since.
    bench.typed("/cart");
    bench.press(KeyCode::Esc);
    assert_eq!(bench.paths(), "/a /b >/c /d /e");
    bench.press(KeyCode::Char(' '));
    assert_eq!(bench.paths(), "/a /b >/c /d /e /f /g");
    bench.press(KeyCode::End);
    bench.add(&["/h"]);
    assert_eq!(bench.paths(), "/a /b /c /d /e /f /g >/h");
    bench.press(KeyCode::Home);
    bench.press(KeyCode::Char('f'));
    assert_eq!(bench.paths(), "/a /b /c /d /e /f /g >/h");
}

#[test]
fn a_filter_is_in_force_while_it_is_typed() {
    let mut bench = Bench::with(&["/cart", "/item", "/cart/x?4"]);
    bench.typed("/path:/cart");
    assert_eq!(bench.paths(), "/cart >/cart/x?4");
    assert!(bench.draw()[22].starts_with("filter: path:/cart"));
    bench.typed(" status:9");
    // Not a filter yet: the last one stays.
    assert_eq!(bench.paths(), "/cart >/cart/x?4");
    assert!(bench.draw()[23].contains("is no status"));
    bench.press(KeyCode::Enter);
    assert!(bench.draw()[22].starts_with("filter: "));
    for _ in 0.."status:9".len() {
        bench.press(KeyCode::Backspace);
    }
    bench.typed("-path:*x*");
    bench.press(KeyCode::Enter);
    assert_eq!(bench.paths(), ">/cart");
    assert_eq!(
        bench.draw()[22],
        "sorted by time; following; filter: path:/cart -path:*x*"
    );
    // Another text, forgotten again.
    bench.typed("/ nothing");
    bench.press(KeyCode::Esc);
    assert_eq!(bench.paths(), ">/cart");
    bench.press(KeyCode::Esc);
    assert_eq!(bench.paths(), "/cart /item >/cart/x?4");
}

#[test]
fn orders() {
    let mut bench = Bench::with(&["/a?2", "/b?3", "/c?1"]);
    for (label, expected) in [
        ("duration", ">/b?3 /a?2 /c?1"),
        ("size", ">/b?3 /a?2 /c?1"),
        ("status", ">/b?3 /a?2 /c?1"),
        ("time", "/a?2 /b?3 >/c?1"),
    ] {
        bench.press(KeyCode::Char('o'));
        assert_eq!(bench.paths(), expected);
        assert!(bench.draw()[22].starts_with(&format!("sorted by {label};")));
    }
    bench.press(KeyCode::Char('O'));
    assert_eq!(bench.paths(), ">/c?1 /b?3 /a?2");
    assert!(bench.draw()[22].starts_with("sorted by time, reversed"));
    // What comes is put where it belongs.
    bench.press(KeyCode::Char('O'));
    bench.press(KeyCode::Char('o'));
    bench.add(&["/d?9"]);
    assert_eq!(bench.paths(), ">/d?9 /b?3 /a?2 /c?1");
}

#[test]
fn what_falls_out_is_gone_and_counted() {
    let each = shown(&exchange("/a")).memory();
    let mut bench = Bench::with(&[]);
    bench.store = Store::new(2 * each + each / 2);
    bench.add(&["/a", "/b"]);
    bench.draw();
    bench.press(KeyCode::Char(' '));
    bench.press(KeyCode::Home);
    assert_eq!(bench.paths(), ">/a /b");
    bench.press(KeyCode::Char('m'));
    bench.add(&["/c"]);
    assert_eq!(bench.paths(), ">/b");
    bench.store.skip(7);
    let bar = bench.draw()[0].clone();
    assert!(
        bar.contains("1 fell out") && bar.contains("7 not shown: too fast"),
        "{bar}"
    );
    assert!(!bar.contains("marked"), "{bar}");
}

#[test]
fn an_exchange_whole_and_the_next_one() {
    let mut bench = Bench::with(&["/a", "/b"]);
    bench.press(KeyCode::Enter);
    let rows = bench.draw();
    assert_eq!(rows[1], "exchange 2  lines 1-17 of 17");
    assert_eq!(rows[6], "> GET /b HTTP/1.1");
    assert!(
        rows.iter()
            .any(|row| row.starts_with("00000000  89 50 4e 47"))
    );
    bench.press(KeyCode::Left);
    assert_eq!(bench.draw()[6], "> GET /a HTTP/1.1");
    // It stays, whatever comes and goes.
    bench.add(&["/c"]);
    bench.store.clear();
    assert_eq!(bench.draw()[6], "> GET /a HTTP/1.1");
    bench.typed("/png");
    bench.press(KeyCode::Enter);
    bench.press(KeyCode::Char('q'));
    assert_eq!(bench.paths(), "");
}

#[test]
fn nothing_captured_reaches_the_terminal_as_it_was() {
    let mut exchange = exchange("/\x1b]0;x\x07\u{202e}");
    exchange.request.body = sample::body(b"a\x1b[31m\r\n\x9b");
    let mut bench = Bench::new(Page::Exchanges, 140, 40);
    bench.store.append(vec![shown(&exchange)]);
    for keys in [
        &[][..],
        &[KeyCode::Enter],
        &[KeyCode::Esc, KeyCode::Char('t')],
    ] {
        for key in keys {
            bench.press(*key);
        }
        let text = bench.draw().concat();
        let is_escaped = text.contains("\\x1b]0;x\\x07\\u{202e}");
        // Of a route, an id is not shown.
        assert!(is_escaped || text.contains("GET    /{id}"), "{text}");
        assert!(!text.chars().any(crate::visible::hidden));
    }
}

#[test]
fn copying_and_saving() {
    let mut bench = Bench::with(&["/a", "/b", "/c"]);
    bench.draw();
    let Effect::Copy(command) = bench.press(KeyCode::Char('c')) else {
        panic!("no copy");
    };
    assert!(command.contains("'http://shop.example/c'"), "{command}");
    assert_eq!(bench.draw()[22], "exchange 3 copied as curl");
    bench.press(KeyCode::Char('w'));
    let expected = Effect::SaveText("exchange-3.sh".into(), format!("{command}\n"));
    assert_eq!(bench.press(KeyCode::Enter), expected);
    // All of the table, then what is marked.
    bench.press(KeyCode::Char('s'));
    assert_eq!(
        bench.press(KeyCode::Enter),
        Effect::SaveHar("meshtap.har".into(), vec![1, 2, 3])
    );
    bench.press(KeyCode::Home);
    bench.press(KeyCode::Char('m'));
    assert_eq!(bench.paths(), "*/a >/b /c");
    bench.press(KeyCode::Char('s'));
    assert_eq!(
        bench.press(KeyCode::Enter),
        Effect::SaveHar("meshtap.har".into(), vec![1])
    );
    bench.press(KeyCode::Char('s'));
    assert_eq!(bench.press(KeyCode::Esc), Effect::None);
    bench.press(KeyCode::Char('u'));
    assert_eq!(bench.paths(), "/a >/b /c");
}

#[test]
fn totals_and_their_exchanges() {
    let mut bench = Bench::with(&["/a?1", "/a?2", "/b?400"]);
    bench.press(KeyCode::Char('t'));
    let rows = bench.draw();
    assert!(rows[1].starts_with("  METHOD ROUTE  SERVER"), "{}", rows[1]);
    assert!(rows[2].starts_with("> GET    /a  shop:8080"), "{}", rows[2]);
    assert!(rows[3].starts_with("  GET    /b  shop:8080"), "{}", rows[3]);
    assert!(rows[3].contains("100%"), "{}", rows[3]);
    assert_eq!(
        rows[22],
        "by route, sorted by rate; all: 3 exchanges, 3.0/s, 1 failed"
    );
    bench.press(KeyCode::Down);
    bench.press(KeyCode::Enter);
    assert_eq!(bench.paths(), ">/b?400");
    assert!(bench.draw()[22].ends_with("only GET /b  shop:8080"));
    bench.press(KeyCode::Esc);
    for label in ["client", "server", "status", "edge", "route"] {
        bench.press(KeyCode::Char('b'));
        assert!(bench.draw()[22].starts_with(&format!("by {label}, ")));
    }
    bench.press(KeyCode::Char('o'));
    assert!(bench.draw()[22].contains("sorted by count"));
    bench.press(KeyCode::Char('t'));
    assert_eq!(bench.paths(), "/a?1 /a?2 >/b?400");
}

#[test]
fn totals_name_services_whole_at_80() {
    let mut bench = Bench::with(&["/a/route/that/is/longer/than/the/room"]);
    bench.press(KeyCode::Char('t'));
    let row = &bench.draw()[2];
    assert!(
        row.starts_with("> GET    /a/route/tha…  shop:8080 "),
        "{row}"
    );
}

#[test]
fn the_help_says_every_key_and_scrolls() {
    let mut bench = Bench::with(&["/a"]);
    bench.press(KeyCode::Char('?'));
    assert!(
        bench
            .draw()
            .iter()
            .any(|row| row.contains("filter as you type"))
    );
    bench.press(KeyCode::End);
    assert!(bench.draw().iter().any(|row| row.contains("--no-redact")));
    bench.press(KeyCode::Esc);
    assert_eq!(bench.paths(), ">/a");
}

#[test]
fn the_end() {
    let mut bench = Bench::with(&["/a"]);
    bench.store.end();
    assert!(bench.draw()[0].contains("ENDED"));
    bench.press(KeyCode::Enter);
    assert_eq!(bench.press(KeyCode::Char('q')), Effect::None);
    assert_eq!(bench.press(KeyCode::Char('q')), Effect::Quit);
    let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    bench.press(KeyCode::Char('/'));
    assert_eq!(bench.screen.key(interrupt, &bench.store), Effect::Quit);
}

#[test]
fn what_is_said_and_what_is_pasted() {
    let mut bench = Bench::with(&["/a"]);
    bench.screen.note("meshtap: \x1b[2J");
    assert_eq!(bench.draw()[22], "meshtap: \\x1b[2J");
    bench.screen.withdraw("another");
    assert_eq!(bench.draw()[22], "meshtap: \\x1b[2J");
    bench.screen.withdraw("meshtap: \x1b[2J");
    assert!(bench.draw()[22].starts_with("sorted by time"));
    bench.screen.note("meshtap: \x1b[2J");
    bench.press(KeyCode::Char('/'));
    bench.screen.paste("path:\n/x");
    assert_eq!(bench.draw()[22], "filter: path:/x");
    assert_eq!(bench.paths(), "");
}
